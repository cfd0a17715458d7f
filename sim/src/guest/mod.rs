// SPDX-License-Identifier: BSD-2-Clause
//! What runs in a process: a small register machine and its assembler.
