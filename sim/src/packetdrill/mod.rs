// SPDX-License-Identifier: BSD-2-Clause
//! Runs packetdrill scripts against an emulated stack in virtual time.

pub mod ast;
mod cursor;
mod packet_syntax;
pub mod parser;
#[cfg(test)]
mod parser_tests;
pub mod run;
pub mod suite;
#[cfg(test)]
mod suite_tests;
mod syscall_syntax;
pub mod wire;
