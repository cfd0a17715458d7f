// SPDX-License-Identifier: BSD-2-Clause
//! The emulated kernel: processes, threads, signals, descriptors, system calls.
