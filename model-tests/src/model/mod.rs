// SPDX-License-Identifier: BSD-2-Clause
//! Reference models: obviously right, slow, written from the rules and not from the code.

pub mod instance;
pub mod pid;
pub mod racct;
