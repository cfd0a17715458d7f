// SPDX-License-Identifier: BSD-2-Clause
//! System calls of a script: `connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)`.

use super::ast::{Arg, Field, SyntaxError, Syscall, Value};
use super::cursor::Cursor;
use super::run::{calls, names};
use crate::errno::Errno;

/// Arguments of one call, or items of one list; FreeBSD's calls have at most eight.
const ITEMS_MAX: usize = 64;

/// Lists and structures within each other: a message has an array of vectors.
const DEPTH_MAX: usize = 8;

/// Parses a system call, from its name on.
pub(super) fn syscall(cursor: &mut Cursor<'_>, end: Option<u64>) -> Result<Syscall, SyntaxError> {
    cursor.skip();
    let start = *cursor;
    let Some(name) = cursor.word() else {
        return cursor.expected("a packet, a system call, a command or an assertion");
    };
    let Some(arguments) = calls::arguments(name) else {
        return start.expected(if name.starts_with("sctp_") {
            "a call on TCP or UDP: SCTP is not emulated".to_owned()
        } else if matches!(name, "open" | "sendfile") {
            format!("a call on sockets: the program has no files to `{name}`")
        } else {
            format!(
                "a system call of the dialect: `{name}` is none ({})",
                calls::known()
            )
        });
    };
    cursor.need("(")?;
    let args = items(cursor, ")", 0)?;
    if !arguments.contains(&args.len()) {
        let (least, most) = (arguments.start(), arguments.end());
        let how_many = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        return start.expected(format!(
            "{how_many} arguments of {name}, not {}",
            args.len()
        ));
    }
    cursor.need("=")?;
    let result = result(cursor)?;
    cursor.skip_blanks();
    let errno = errno(cursor)?;
    cursor.skip_blanks();
    // `(flags O_RDWR)`, `(Operation now in progress)`: for the reader only.
    if cursor.eat_raw("(") {
        cursor.take_until(")")?;
    }
    Ok(Syscall {
        name: name.to_owned(),
        args,
        end,
        result,
        errno,
    })
}

fn result(cursor: &mut Cursor<'_>) -> Result<Option<i64>, SyntaxError> {
    cursor.skip();
    let start = *cursor;
    match arg(cursor, 0)? {
        Arg::Ellipsis => Ok(None),
        Arg::Value(value) => match names::number(&value) {
            Ok(number) => Ok(Some(number)),
            Err(_) => start.expected("a result"),
        },
        _ => start.expected("a number as result"),
    }
}

fn errno(cursor: &mut Cursor<'_>) -> Result<Option<Errno>, SyntaxError> {
    let start = *cursor;
    if cursor.peek_raw() != Some('E') {
        return Ok(None);
    }
    match cursor.take_while(|c| c.is_ascii_alphanumeric()) {
        "EWOULDBLOCK" => Ok(Some(Errno::EWOULDBLOCK)),
        name => match Errno::from_name(name) {
            Some(errno) => Ok(Some(errno)),
            None => start.instead("an error of errno(2)"),
        },
    }
}

fn items(cursor: &mut Cursor<'_>, end: &str, depth: usize) -> Result<Vec<Arg>, SyntaxError> {
    let mut all = Vec::new();
    if cursor.eat(end) {
        return Ok(all);
    }
    loop {
        if all.len() >= ITEMS_MAX {
            return cursor.expected("fewer arguments");
        }
        all.push(arg(cursor, depth)?);
        if cursor.eat(end) {
            return Ok(all);
        }
        if !cursor.eat(",") {
            return cursor.instead(format!("`,` or `{end}`"));
        }
    }
}

fn arg(cursor: &mut Cursor<'_>, depth: usize) -> Result<Arg, SyntaxError> {
    if depth > DEPTH_MAX {
        return cursor.expected("fewer lists within each other");
    }
    if cursor.eat("...") {
        return Ok(Arg::Ellipsis);
    }
    if cursor.eat("[") {
        return Ok(Arg::List(items(cursor, "]", depth + 1)?));
    }
    if cursor.eat("{") {
        return Ok(Arg::Struct(fields(cursor, depth + 1)?));
    }
    if cursor.eat("\"") {
        let text = cursor.take_quoted('"')?.to_owned();
        let _ = cursor.eat("...");
        return Ok(Arg::Text(text));
    }
    value(cursor)
}

fn fields(cursor: &mut Cursor<'_>, depth: usize) -> Result<Vec<Field>, SyntaxError> {
    let mut all: Vec<Field> = Vec::new();
    loop {
        if all.len() >= ITEMS_MAX {
            return cursor.expected("fewer fields");
        }
        let start = *cursor;
        let mut probe = *cursor;
        let name = probe.word().unwrap_or_default();
        let mut count = None;
        // `msg_iov(1)=[...]`: how many items the array has.
        if !name.is_empty() && !matches!(name, "htons" | "htonl" | "inet_addr") && probe.eat("(") {
            count = Some(arg(&mut probe, depth)?);
            probe.need(")")?;
        }
        let named = !name.is_empty() && probe.eat("=");
        let name = if named {
            *cursor = probe;
            name
        } else {
            ""
        };
        let value = if name == "psk" {
            key(cursor)?
        } else {
            arg(cursor, depth)?
        };
        if let (Some(Arg::Value(Value::Number(count))), Arg::List(items), true) =
            (count, &value, named)
            && usize::try_from(count) != Ok(items.len())
        {
            return start.expected(format!("as many items as `{name}({count})` says"));
        }
        all.push(Field {
            name: name.to_owned(),
            value,
        });
        if cursor.eat("}") {
            return Ok(all);
        }
        if !cursor.eat(",") {
            return cursor.instead("`,` or `}`");
        }
    }
}

/// A Fast Open key, 32 hexadecimal digits.
fn key(cursor: &mut Cursor<'_>) -> Result<Arg, SyntaxError> {
    if cursor.eat("...") {
        return Ok(Arg::Ellipsis);
    }
    let start = *cursor;
    let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
    if digits.len() != 32 {
        return start.expected("32 hexadecimal digits");
    }
    Ok(Arg::Text(digits.to_owned()))
}

/// A number, symbols joined by `|`, or one of the functions that scripts write around numbers.
fn value(cursor: &mut Cursor<'_>) -> Result<Arg, SyntaxError> {
    let mut probe = *cursor;
    let function = probe.word().filter(|_| probe.peek_raw() == Some('('));
    if let Some(name @ ("htons" | "htonl" | "inet_addr")) = function {
        *cursor = probe;
        cursor.need("(")?;
        let value = if name == "inet_addr" {
            cursor.need("\"")?;
            Arg::Text(cursor.take_quoted('"')?.to_owned())
        } else if name == "htonl" {
            Arg::Value(Value::Number(i64::from(
                cursor.number::<u32>()?.swap_bytes(),
            )))
        } else {
            // A port stands in a structure that is in network order anyway.
            Arg::Value(Value::Number(i64::from(cursor.number::<u16>()?)))
        };
        cursor.need(")")?;
        return Ok(value);
    }
    let mut names = vec![symbol(cursor)?];
    while cursor.eat("|") {
        if names.len() >= ITEMS_MAX {
            return cursor.expected("fewer symbols");
        }
        names.push(symbol(cursor)?);
    }
    if let [one] = names.as_slice()
        && let Some(number) = names::literal(one)
    {
        return Ok(Arg::Value(Value::Number(number)));
    }
    Ok(Arg::Value(Value::Symbols(names)))
}

/// A number or a name that is known.
fn symbol(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    cursor.skip();
    let start = *cursor;
    match cursor.word() {
        Some(name) if names::constant(name).is_some() => Ok(name.to_owned()),
        Some(name) if name.contains("SCTP") => start.expected(format!(
            "a constant of TCP or UDP: SCTP ({name}) is not emulated"
        )),
        Some(name) => start.expected(format!(
            "a constant of FreeBSD's headers: `{name}` is not known"
        )),
        None => match cursor.integer() {
            Ok(number) => Ok(number.to_string()),
            Err(_) => start.expected("a number, a constant, `[`, `{`, a text or `...`"),
        },
    }
}
