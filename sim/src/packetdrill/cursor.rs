// SPDX-License-Identifier: BSD-2-Clause
//! A place in a script's text: the few readings that every part of the parser is made of.
//!
//! White space and comments (`//`, `#`, `/* */`) are skipped between words. All readings are bounded by
//! the text; none panics on any input.

use super::ast::SyntaxError;

/// Characters of a word that a complaint names.
const FOUND_MAX: usize = 32;

/// What some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A place in the text.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    /// Where this line begins.
    line_at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            line_at: 0,
        }
    }

    /// What is left, from here.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The line of this place, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Goes over `len` bytes. Lines are counted here, once each: counting them from the top whenever one is
    /// asked for, or a reading is tried that may not fit, would take the square of the script's length.
    fn go(&mut self, len: usize) {
        let passed = &self.rest()[..len];
        if let Some(end) = passed.rfind('\n') {
            self.line += passed.matches('\n').count();
            self.line_at = self.at + end + 1;
        }
        self.at += len;
    }

    /// A complaint at this place.
    pub(super) fn expected<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        let mut after = *self;
        after.skip();
        if after.rest().starts_with("/*") {
            let what = "`*/` somewhere after this, for the comment to end";
            return after.complaint(what.to_owned());
        }
        self.complaint(what.into())
    }

    /// A complaint that names what stands at this place.
    pub(super) fn instead<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        let mut after = *self;
        after.skip();
        let what = what.into();
        after.expected(match after.found() {
            Some(found) => format!("{what}, not `{found}`"),
            None => format!("{what}, not the end of the script"),
        })
    }

    /// The word that stands here, or the character where none does; one that nobody can see by its number.
    fn found(&self) -> Option<String> {
        let rest = self.rest();
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        Some(match (end, rest.chars().next()?) {
            (0, c) if c.is_control() || c == BYTE_ORDER_MARK => format!("U+{:04X}", u32::from(c)),
            (0, c) => c.to_string(),
            (end, _) => rest[..end.min(FOUND_MAX)].to_owned(),
        })
    }

    /// What is missing at the end of a script is missing behind its last word.
    fn complaint<T>(&self, expected: String) -> Result<T, SyntaxError> {
        let (mut line, mut column) = (self.line, 1 + self.at - self.line_at);
        if self.rest().trim_start().is_empty() {
            let before = self.text[..self.at].trim_end();
            line = 1 + before.matches('\n').count();
            column = 1 + before.len() - before.rfind('\n').map_or(0, |nl| nl + 1);
        }
        Err(SyntaxError {
            line,
            column,
            expected,
        })
    }

    /// Goes over white space and comments, line ends included. It stays before a comment that does not end:
    /// nothing can be read there.
    pub(super) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.go(rest.len() - trimmed.len());
            if trimmed.starts_with("//") || trimmed.starts_with('#') {
                self.go(trimmed.find('\n').unwrap_or(trimmed.len()));
            } else if let Some(comment) = trimmed.strip_prefix("/*")
                && let Some(end) = comment.find("*/")
            {
                self.go(end + 4);
            } else {
                return;
            }
        }
    }

    /// Goes over blanks within a line.
    pub(super) fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.go(rest.len() - rest.trim_start_matches([' ', '\t']).len());
    }

    /// The next character, white space included.
    pub(super) fn peek_raw(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next character after white space and comments.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.peek_raw()
    }

    /// Takes `token` if it is next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        self.skip();
        self.eat_raw(token)
    }

    /// Takes `token` if it stands right here.
    pub(super) fn eat_raw(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.go(token.len());
        }
        there
    }

    /// Takes `token`, which must be next.
    pub(super) fn need(&mut self, token: &str) -> Result<(), SyntaxError> {
        if self.eat(token) {
            Ok(())
        } else {
            self.instead(format!("`{token}`"))
        }
    }

    /// Takes characters as long as `wanted` holds; may be none.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.go(end);
        &rest[..end]
    }

    /// Takes everything up to `end`, and `end`.
    pub(super) fn take_until(&mut self, end: &str) -> Result<&'a str, SyntaxError> {
        let rest = self.rest();
        match rest.find(end) {
            Some(found) => {
                self.go(found + end.len());
                Ok(&rest[..found])
            }
            None => self.expected(format!("`{end}` somewhere after this")),
        }
    }

    /// Takes what stands up to the character `end`, and that; a backslash keeps the character after it from
    /// ending the text, and goes with it.
    pub(super) fn take_quoted(&mut self, end: char) -> Result<&'a str, SyntaxError> {
        let rest = self.rest();
        let mut kept = false;
        for (at, c) in rest.char_indices() {
            if !kept && c == end {
                self.go(at + c.len_utf8());
                return Ok(&rest[..at]);
            }
            kept = !kept && c == '\\';
        }
        self.expected(format!("`{end}` somewhere after this"))
    }

    /// Takes a word of letters, digits and underscores that does not begin with a digit.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.skip();
        if !self.peek_raw()?.is_ascii_alphabetic() && self.peek_raw() != Some('_') {
            return None;
        }
        Some(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_'))
    }

    /// Takes an integer, decimal or `0x` hexadecimal, with an optional sign.
    pub(super) fn integer(&mut self) -> Result<i64, SyntaxError> {
        self.skip();
        let start = *self;
        let negative = self.eat_raw("-");
        let parsed = if self.eat_raw("0x") {
            i64::from_str_radix(self.take_while(|c| c.is_ascii_hexdigit()), 16)
        } else {
            self.take_while(|c| c.is_ascii_digit()).parse::<i64>()
        };
        match parsed {
            Ok(n) => Ok(if negative { -n } else { n }),
            Err(_) => {
                *self = start;
                self.instead("a number")
            }
        }
    }

    /// Takes an integer that fits `T`.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, SyntaxError> {
        self.skip();
        let start = *self;
        let n = self.integer()?;
        T::try_from(n).or_else(|_| start.expected("a number in range"))
    }

    /// Takes seconds with decimals (`1`, `.25`, `0.000001`) as microseconds.
    pub(super) fn seconds(&mut self) -> Result<u64, SyntaxError> {
        self.skip();
        let start = *self;
        let whole = self.take_while(|c| c.is_ascii_digit());
        let mut digits = "";
        let mut after = *self;
        if after.eat_raw(".") && !after.rest().starts_with('.') {
            digits = after.take_while(|c| c.is_ascii_digit());
            *self = after;
        }
        if whole.is_empty() && digits.is_empty() {
            return start.instead("a time in seconds");
        }
        let micros: u64 = format!("{digits:0<6}")[..6].parse().unwrap_or(0);
        let whole = if whole.is_empty() {
            Some(0)
        } else {
            whole.parse::<u64>().ok()
        };
        match whole
            .and_then(|w| w.checked_mul(1_000_000))
            .and_then(|w| w.checked_add(micros))
        {
            Some(us) => Ok(us),
            None => start.expected("a time below 2^64 microseconds"),
        }
    }

    /// Whether nothing but white space and comments is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }
}
