// SPDX-License-Identifier: BSD-2-Clause
//! Registers, parameters, and the number of operands.

use super::error::AsmErrorKind as Kind;
use super::lex::{Token, Wrong};
use crate::guest::isa::{AT, SP};

/// The register with this name that programs may use.
pub(super) fn register(word: &str) -> Option<u8> {
    if word == "sp" {
        return Some(SP);
    }
    let digits = word.strip_prefix('r')?;
    let number: u8 = digits.parse().ok()?;
    (number < AT && number.to_string() == digits).then_some(number)
}

/// The same, or what is wrong.
pub(super) fn want_register(token: &Token) -> Result<u8, Wrong> {
    let text = token.text();
    register(&text).ok_or((token.column, Kind::NotARegister(text)))
}

/// The mistake of too few or too many operands.
pub(super) fn operand_count(word: &Token, takes: usize, operands: &[Token]) -> Wrong {
    let kind = Kind::Operands {
        word: word.text(),
        takes,
        given: operands.len(),
    };
    (word.column, kind)
}

/// Replaces each `$NAME`.
pub(super) fn substitute(line: &str, params: &[(&str, &str)]) -> Result<String, Wrong> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let (name, later) = after.split_at(end.unwrap_or(after.len()));
        let value = params.iter().find(|(param, _)| *param == name);
        let column = out.chars().count() + 1;
        let (_, value) = value.ok_or((column, Kind::UnknownParameter(name.into())))?;
        out.push_str(value);
        rest = later;
    }
    out.push_str(rest);
    Ok(out)
}
