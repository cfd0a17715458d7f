// SPDX-License-Identifier: BSD-2-Clause
//! Programs as people write them.
//!
//! ```text
//! # Answers every byte that one client sends.
//! .data
//! here:   sockaddr_in 0.0.0.0:7
//! buf:    space 4096
//! .text
//! start:  sys socket AF_INET SOCK_STREAM 0 -> r8
//!         jerr fail
//!         sys bind r8 here here.len
//!         sys listen r8 5
//!         sys accept r8 0 0 -> r9
//!         jerr fail
//! again:  sys read r9 buf buf.len -> r10
//!         jerr fail
//!         beq r10, 0, done
//!         sys write r9 buf r10
//!         jok again
//! fail:   exit 1
//! done:   exit 0
//! ```
//!
//! One line holds any number of `label:` and then one instruction, data item or directive; a
//! comment runs from `#` or `;` to the end. Operands are separated by blanks or commas.
//!
//! * `sys NAME ARGS.. [-> REG [REG]]`: a system call by its FreeBSD name (or `recv`, `send`,
//!   `wait`, `pipe` as libc has them); the result is in `r0`, or the errno with carry set, for
//!   `jerr` and `jok`. `->` copies the first and the second result.
//! * Arithmetic and branches take a constant for their last register: `add r1, r1, 8`,
//!   `beq r0, EINTR, again`.
//! * `set REG VALUE` for any value, `print LABEL` writes a datum to descriptor 1, `exit VALUE`.
//! * Data: `string "text\n"` (no closing NUL), `asciz`, `space N`, `byte`, `half`, `word`, `quad`
//!   with values, `sockaddr_in ADDR:PORT`, `timespec SEC NSEC`, `pollfd FD EVENTS`. `LABEL.len`
//!   is the size of the datum.
//! * Values: numbers, `'c'`, constants of the C headers, labels, `NAME = VALUE`, and `A|B`.
//! * `$NAME` in the text stands for what [`assemble`] is given for it.
//!
//! Execution begins at the label `start`, or else at the first instruction.

mod emit;
mod error;
mod lex;
mod operand;

pub use emit::assemble;
pub use error::{AsmError, AsmErrorKind};

use super::isa::INSN_SIZE;
use std::collections::BTreeMap;

/// Where text begins.
pub const TEXT_BASE: u64 = 0x40_0000;
/// Where data begins.
pub const DATA_BASE: u64 = 0x80_0000;
/// Instructions in a program at most.
pub const INSNS_MAX: usize = 1 << 16;
/// Bytes of data in a program at most.
pub const DATA_MAX: usize = 1 << 22;
/// Bytes of source text at most.
pub const SOURCE_MAX: usize = 1 << 20;

const _: () = assert!(TEXT_BASE + (INSNS_MAX as u64) * INSN_SIZE <= DATA_BASE);

/// A program, ready to be executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Instructions, from [`TEXT_BASE`].
    pub text: Vec<u8>,
    /// Data, from [`DATA_BASE`].
    pub data: Vec<u8>,
    /// Address of the first instruction.
    pub entry: u64,
    /// Address and size of each label.
    pub symbols: BTreeMap<String, (u64, u64)>,
}

#[cfg(test)]
mod tests;
