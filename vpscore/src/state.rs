// SPDX-License-Identifier: BSD-2-Clause
//! The core's whole state, and the object that a kernel holds.
