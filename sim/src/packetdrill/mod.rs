// SPDX-License-Identifier: BSD-2-Clause
//! Runs packetdrill scripts against an emulated stack in virtual time.

pub mod ast;
mod code_syntax;
mod cursor;
mod icmp_syntax;
mod ip_syntax;
#[cfg(test)]
mod judge_tests;
mod option_syntax;
mod option_text;
mod options_syntax;
mod packet_syntax;
mod packet_text;
#[cfg(test)]
mod packet_text_tests;
pub mod parser;
#[cfg(test)]
mod parser_tests;
pub mod report;
pub mod run;
#[cfg(test)]
mod sibling_tests;
pub mod suite;
#[cfg(test)]
mod suite_tests;
mod syscall_syntax;
#[cfg(test)]
mod sysctl_tests;
pub mod wire;
#[cfg(test)]
mod wire_tests;
