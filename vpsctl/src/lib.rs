// SPDX-License-Identifier: BSD-2-Clause
//! The little of a run-time that a static FreeBSD/amd64 program needs: entry, system calls,
//! output, memory, panic. No C library; numbers are those of FreeBSD 12.1 to 15 (`sys/syscall.h`),
//! whose kernels keep the old ones.
#![no_std]

pub mod memory;
pub mod out;
pub mod start;
pub mod sys;
pub mod tally;
