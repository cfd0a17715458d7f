// SPDX-License-Identifier: BSD-2-Clause
//! Where a kernel calls the core, each joint with its FreeBSD hook and its context.
