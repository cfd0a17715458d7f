// SPDX-License-Identifier: BSD-2-Clause
//! Lines into words.

use super::error::AsmErrorKind;

/// A word of a line, with the column (from 1) where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) column: usize,
    pub(super) kind: TokenKind,
}

/// What sort of word it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Anything between separators.
    Word(String),
    /// What is between square brackets.
    Address(String),
    /// A string, its escapes resolved.
    String(Vec<u8>),
}

impl Token {
    /// The word as written, for messages.
    pub(super) fn text(&self) -> String {
        match &self.kind {
            TokenKind::Word(word) => word.clone(),
            TokenKind::Address(inner) => format!("[{inner}]"),
            TokenKind::String(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        }
    }
}

/// Where and what is wrong in a line.
pub(super) type Wrong = (usize, AsmErrorKind);

/// The words of one line, comments dropped.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, Wrong> {
    let chars: Vec<char> = line.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let column = at + 1;
        let kind = match c {
            '#' | ';' => break,
            ',' => {
                at += 1;
                continue;
            }
            '"' => {
                let (bytes, next) = string(&chars, at + 1)?;
                at = next;
                TokenKind::String(bytes)
            }
            '[' => {
                let inner: String = chars
                    .iter()
                    .skip(at + 1)
                    .take_while(|c| **c != ']')
                    .collect();
                at += inner.chars().count() + 2;
                if at > chars.len() {
                    return Err((column, AsmErrorKind::Unclosed('[')));
                }
                TokenKind::Address(inner)
            }
            _ if c.is_whitespace() => {
                at += 1;
                continue;
            }
            _ => {
                let word = word(&chars, at);
                at += word.chars().count();
                TokenKind::Word(word)
            }
        };
        out.push(Token { column, kind });
    }
    Ok(out)
}

fn word(chars: &[char], at: usize) -> String {
    let rest = chars.iter().skip(at);
    // A character constant may hold a separator: `'#'`, `' '`.
    if chars.get(at) == Some(&'\'') && chars.get(at + 2) == Some(&'\'') {
        return rest.take(3).collect();
    }
    rest.take_while(|c| !c.is_whitespace() && !matches!(c, ',' | '#' | ';' | '"' | '['))
        .collect()
}

/// The string that begins at `at`, and where what follows its closing quote begins.
fn string(chars: &[char], at: usize) -> Result<(Vec<u8>, usize), Wrong> {
    let open = at;
    let mut at = at;
    let mut bytes = Vec::new();
    loop {
        let c = *chars.get(at).ok_or((open, AsmErrorKind::Unclosed('"')))?;
        at += 1;
        match c {
            '"' => return Ok((bytes, at)),
            '\\' => {
                let escape = *chars.get(at).ok_or((open, AsmErrorKind::Unclosed('"')))?;
                let column = at;
                at += 1;
                bytes.push(match escape {
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    '0' => 0,
                    '\\' | '"' => escape as u8,
                    'x' => {
                        let digits: String = chars.iter().skip(at).take(2).collect();
                        at += 2;
                        let byte = u8::from_str_radix(&digits, 16);
                        byte.map_err(|_| (column, AsmErrorKind::BadEscape('x')))?
                    }
                    other => return Err((column, AsmErrorKind::BadEscape(other))),
                });
            }
            other => {
                let mut utf8 = [0; 4];
                bytes.extend_from_slice(other.encode_utf8(&mut utf8).as_bytes());
            }
        }
    }
}
