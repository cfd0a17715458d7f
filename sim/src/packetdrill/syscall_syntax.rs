// SPDX-License-Identifier: BSD-2-Clause
//! System calls of a script: `connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)`.

use super::ast::{Arg, SyntaxError, Syscall, Time, Value};
use super::cursor::Cursor;
use crate::errno::Errno;

/// Arguments of one call, or items of one list; FreeBSD's calls have at most eight.
const ITEMS_MAX: usize = 64;

/// Parses a system call, from its name on.
pub(super) fn syscall(cursor: &mut Cursor<'_>, end: Option<Time>) -> Result<Syscall, SyntaxError> {
    let Some(name) = cursor.word() else {
        return cursor.expected("a packet, a system call, a command or an assertion");
    };
    let mut call = Syscall {
        name: name.to_owned(),
        args: Vec::new(),
        end,
        result: None,
        errno: None,
    };
    cursor.need("(")?;
    while !cursor.eat(")") {
        if call.args.len() >= ITEMS_MAX {
            return cursor.expected("fewer arguments");
        }
        call.args.push(arg(cursor)?);
        let _ = cursor.eat(",");
    }
    if !cursor.eat("=") || cursor.eat("...") {
        return Ok(call);
    }
    call.result = Some(cursor.integer()?);
    cursor.skip_blanks();
    let start = *cursor;
    if cursor.peek_raw() == Some('E') {
        let name = cursor.take_while(|c| c.is_ascii_alphanumeric());
        call.errno = match name {
            "EWOULDBLOCK" => Some(Errno::EWOULDBLOCK),
            _ => Errno::from_name(name),
        };
        if call.errno.is_none() {
            return start.expected("an error of errno(2)");
        }
        cursor.skip_blanks();
    }
    // `(flags O_RDWR)`, `(Operation now in progress)`: for the reader only.
    if cursor.eat_raw("(") {
        cursor.take_until(")")?;
    }
    Ok(call)
}

fn arg(cursor: &mut Cursor<'_>) -> Result<Arg, SyntaxError> {
    if cursor.eat("...") {
        return Ok(Arg::Ellipsis);
    }
    if cursor.eat("[") {
        let mut items = Vec::new();
        while !cursor.eat("]") {
            if items.len() >= ITEMS_MAX {
                return cursor.expected("fewer items");
            }
            if !cursor.eat("...") {
                items.push(value(cursor)?);
            }
            let _ = cursor.eat(",");
        }
        return Ok(Arg::List(items));
    }
    if cursor.eat("{") {
        let mut fields = Vec::new();
        while !cursor.eat("}") {
            if fields.len() >= ITEMS_MAX {
                return cursor.expected("fewer fields");
            }
            let Some(name) = cursor.word() else {
                return cursor.expected("a field's name");
            };
            cursor.need("=")?;
            fields.push((name.to_owned(), value(cursor)?));
            let _ = cursor.eat(",");
        }
        return Ok(Arg::Struct(fields));
    }
    match value(cursor)? {
        Value::Text(text) => Ok(Arg::Text(text)),
        value => Ok(Arg::Value(value)),
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Value, SyntaxError> {
    if cursor.eat("\"") {
        return Ok(Value::Text(cursor.take_until("\"")?.to_owned()));
    }
    let Some(first) = cursor.word() else {
        return Ok(Value::Number(cursor.integer()?));
    };
    let mut names = vec![first.to_owned()];
    while cursor.eat("|") {
        match cursor.word() {
            Some(name) if names.len() < ITEMS_MAX => names.push(name.to_owned()),
            _ => return cursor.expected("a symbol after `|`"),
        }
    }
    Ok(Value::Symbols(names))
}
