// SPDX-License-Identifier: BSD-2-Clause
//! What is wrong with a program's text, where, and how to mend it.

use std::fmt;

/// A mistake in a program's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The mistake.
    pub kind: AsmErrorKind,
}

/// The mistake; a variant carries the word it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsmErrorKind {
    /// More source text than [`super::SOURCE_MAX`].
    SourceTooLong,
    /// More instructions than [`super::INSNS_MAX`].
    TooManyInstructions,
    /// More data than [`super::DATA_MAX`].
    TooMuchData,
    /// A quote or bracket is not closed.
    Unclosed(char),
    /// An escape in a string that is none.
    BadEscape(char),
    /// No instruction, directive or data item has this name.
    UnknownWord(String),
    /// No system call has this name.
    UnknownSyscall(String),
    /// `$NAME` without a value given for it.
    UnknownParameter(String),
    /// A label or constant that is nowhere defined.
    Undefined(String),
    /// A label or constant defined twice, or one that is a register or a C constant.
    Redefined(String),
    /// A register was expected.
    NotARegister(String),
    /// A value was expected.
    NotAValue(String),
    /// A value that does not fit its place.
    TooLarge(String),
    /// `[REG]` or `[REG + VALUE]` was expected.
    NotAnAddress(String),
    /// `A.B.C.D:PORT` was expected.
    NotASockaddr(String),
    /// Not as many operands as the word takes.
    Operands {
        /// The word.
        word: String,
        /// How many it takes.
        takes: usize,
        /// How many there are.
        given: usize,
    },
    /// A string was expected.
    NotAString,
    /// An instruction in `.data`, or a datum in `.text`.
    WrongSection(String),
    /// No instruction at all.
    Empty,
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, kind } = self;
        write!(f, "line {line}, column {column}: {kind}")
    }
}

impl fmt::Display for AsmErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceTooLong => write!(f, "text longer than {} bytes", super::SOURCE_MAX),
            Self::TooManyInstructions => {
                write!(f, "more than {} instructions", super::INSNS_MAX)
            }
            Self::TooMuchData => write!(f, "more than {} bytes of data", super::DATA_MAX),
            Self::Unclosed(mark) => write!(f, "`{mark}` is not closed on its line; close it"),
            Self::BadEscape(c) => {
                write!(
                    f,
                    "`\\{c}` is no escape; use \\n \\r \\t \\0 \\\\ \\\" or \\xHH"
                )
            }
            Self::UnknownWord(word) => write!(
                f,
                "`{word}` is no instruction, data item or directive; a label ends with `:`"
            ),
            Self::UnknownSyscall(name) => {
                write!(
                    f,
                    "no system call `{name}`; use a FreeBSD name, as in `sys getpid`"
                )
            }
            Self::UnknownParameter(name) => {
                write!(f, "nothing is given for `${name}`; `define` must have it")
            }
            Self::Undefined(name) => {
                write!(
                    f,
                    "`{name}` is not defined; add `{name}:` or `{name} = VALUE`"
                )
            }
            Self::Redefined(name) => write!(f, "`{name}` has a meaning already; rename it"),
            Self::NotARegister(word) => {
                write!(f, "`{word}` is no register; use r0 to r13, or sp")
            }
            Self::NotAValue(word) => {
                write!(f, "`{word}` is no value; use a number, constant or label")
            }
            Self::TooLarge(word) => write!(f, "`{word}` does not fit here; use `set`"),
            Self::NotAnAddress(word) => {
                write!(f, "`{word}` is no address; write [REG] or [REG + VALUE]")
            }
            Self::NotASockaddr(word) => {
                write!(f, "`{word}` is no socket address; write A.B.C.D:PORT")
            }
            Self::Operands { word, takes, given } => {
                write!(f, "`{word}` takes {takes} operands, not {given}")
            }
            Self::NotAString => write!(f, "a string in double quotes goes here"),
            Self::WrongSection(word) => {
                write!(
                    f,
                    "`{word}` does not go here; put `.text` or `.data` before it"
                )
            }
            Self::Empty => write!(f, "no instruction; add at least `exit 0`"),
        }
    }
}

impl std::error::Error for AsmError {}
