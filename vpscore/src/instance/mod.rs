// SPDX-License-Identifier: BSD-2-Clause
//! The tree of instances under vps0, their names and their life cycle.
