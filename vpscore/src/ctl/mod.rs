// SPDX-License-Identifier: BSD-2-Clause
//! Requests and answers of the management plane.
