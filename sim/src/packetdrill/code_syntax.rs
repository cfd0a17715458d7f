// SPDX-License-Identifier: BSD-2-Clause
//! Assertions in `%{ }%`: `assert tcpi_state == TCPI_ESTABLISHED and tcpi_snd_cwnd > 2 * 1460, "text"`.
//!
//! The original hands this text to Python. Here it is the part of that language which compares numbers;
//! anything else is refused by its word. Precedence is Python's.

use super::ast::{Assertion, Expr, Operator, SyntaxError};
use super::cursor::Cursor;
use super::run::names;

/// Nesting of parentheses in an assertion; more is refused.
const DEPTH_MAX: usize = 16;

/// Operators in one assertion; more is refused. Each is a level of the tree, over which evaluation and drop
/// recurse.
const OPERATORS_MAX: usize = 64;

/// Operators between two by precedence, loosest first; of two that begin alike the longer comes first.
const LEVELS: [&[(&str, Operator)]; 9] = [
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("|", Operator::BitOr)],
    &[("^", Operator::BitXor)],
    &[("&", Operator::BitAnd)],
    &[("<<", Operator::ShiftLeft), (">>", Operator::ShiftRight)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[
        ("*", Operator::Multiply),
        ("//", Operator::FloorDivide),
        ("/", Operator::Divide),
        ("%", Operator::Modulo),
    ],
];

/// The level of comparisons.
const COMPARISONS: usize = 2;

/// Parses assertions up to and with `}%`.
pub(super) fn assertions(cursor: &mut Cursor<'_>) -> Result<Vec<Assertion>, SyntaxError> {
    let mut all = Vec::new();
    loop {
        skip(cursor);
        if cursor.eat_raw("}%") {
            return Ok(all);
        }
        if cursor.eat_raw(";") {
            continue;
        }
        if cursor.rest().is_empty() {
            return cursor.expected("`}%` at the end of the code");
        }
        let start = *cursor;
        if cursor.word() != Some("assert") {
            return start
                .expected("`assert` or `}%`: of Python only assertions are understood here");
        }
        let before = cursor.rest();
        let mut left = OPERATORS_MAX;
        let expr = binary(cursor, 0, 0, &mut left)?;
        let text = before[..before.len() - cursor.rest().len()].trim();
        if cursor.eat_raw(",") {
            skip(cursor);
            let quote = if cursor.eat_raw("'") { '\'' } else { '"' };
            if quote == '"' && !cursor.eat_raw("\"") {
                return cursor.expected("a text after the comma");
            }
            cursor.take_quoted(quote)?;
            skip(cursor);
        }
        if !cursor.rest().starts_with("}%") && !cursor.rest().starts_with(';') && !new_line(cursor)
        {
            return cursor.expected("an operator, `;`, a new line or `}%`");
        }
        all.push(Assertion {
            expr,
            text: text.to_owned(),
        });
    }
}

/// Goes over white space and Python's comments: `//` is an operator here.
fn skip(cursor: &mut Cursor<'_>) {
    loop {
        cursor.take_while(char::is_whitespace);
        if !cursor.rest().starts_with('#') {
            return;
        }
        cursor.take_while(|c| c != '\n');
    }
}

/// Whether the next assertion stands at the beginning of its line.
fn new_line(cursor: &Cursor<'_>) -> bool {
    let mut probe = *cursor;
    probe.word() == Some("assert")
}

fn operator(cursor: &mut Cursor<'_>, level: usize) -> Option<Operator> {
    skip(cursor);
    for (text, operator) in LEVELS.get(level).copied().unwrap_or_default() {
        let rest = cursor.rest();
        let Some(after) = rest.strip_prefix(text) else {
            continue;
        };
        let longer = match operator {
            Operator::Or | Operator::And => {
                after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            }
            Operator::Less => after.starts_with('<'),
            Operator::Greater => after.starts_with('>'),
            Operator::Multiply => after.starts_with('*'),
            _ => false,
        };
        if !longer {
            cursor.eat_raw(text);
            return Some(*operator);
        }
    }
    None
}

fn binary(
    cursor: &mut Cursor<'_>,
    level: usize,
    depth: usize,
    left: &mut usize,
) -> Result<Expr, SyntaxError> {
    if level >= LEVELS.len() {
        return unary(cursor, depth, left);
    }
    // `not` binds looser than a comparison and tighter than `and`.
    if level == COMPARISONS && keyword(cursor, "not") {
        spend(cursor, left)?;
        let inner = binary(cursor, level, depth, left)?;
        return Ok(Expr::Unary(Operator::Not, Box::new(inner)));
    }
    let mut all = binary(cursor, level + 1, depth, left)?;
    let mut compared = false;
    while let Some(operator) = operator(cursor, level) {
        if level == COMPARISONS && compared {
            return cursor.expected("one comparison: join two with `and`");
        }
        compared = true;
        spend(cursor, left)?;
        let right = binary(cursor, level + 1, depth, left)?;
        all = Expr::Binary(Box::new(all), operator, Box::new(right));
    }
    Ok(all)
}

fn spend(cursor: &Cursor<'_>, left: &mut usize) -> Result<(), SyntaxError> {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            Ok(())
        }
        None => cursor.expected(format!("at most {OPERATORS_MAX} operators")),
    }
}

fn keyword(cursor: &mut Cursor<'_>, wanted: &str) -> bool {
    skip(cursor);
    let mut probe = *cursor;
    let there = probe.word() == Some(wanted);
    if there {
        *cursor = probe;
    }
    there
}

fn unary(cursor: &mut Cursor<'_>, depth: usize, left: &mut usize) -> Result<Expr, SyntaxError> {
    skip(cursor);
    for (text, operator) in [("-", Operator::Subtract), ("~", Operator::BitNot)] {
        if cursor.eat_raw(text) {
            spend(cursor, left)?;
            let inner = unary(cursor, depth, left)?;
            return Ok(Expr::Unary(operator, Box::new(inner)));
        }
    }
    if depth >= DEPTH_MAX {
        return cursor.expected("fewer parentheses");
    }
    if cursor.eat_raw("(") {
        let inner = binary(cursor, 0, depth + 1, left)?;
        skip(cursor);
        if !cursor.eat_raw(")") {
            return cursor.expected("`)` or an operator");
        }
        return Ok(inner);
    }
    let start = *cursor;
    match cursor.word() {
        Some("True") => Ok(Expr::Number(1)),
        Some("False") => Ok(Expr::Number(0)),
        Some(name) if names::assertable(name) => Ok(Expr::Name(name.to_owned())),
        Some(name) => start.expected(format!(
            "a field of FreeBSD's tcp_info or a TCPI_ constant: `{name}` is none"
        )),
        None => match cursor.integer() {
            Ok(n) => Ok(Expr::Number(n)),
            Err(_) => start.expected("a number, a name or `(`"),
        },
    }
}
