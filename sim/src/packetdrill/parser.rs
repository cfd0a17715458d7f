// SPDX-License-Identifier: BSD-2-Clause
//! From a script's text to its [`Script`].
//!
//! `#ifdef NAME` ... `#else` ... `#endif` are resolved first, line by line, so that lines keep their
//! numbers; the names that hold are the caller's.

use super::ast::{Action, Assertion, Event, Expr, Options, Script, SyntaxError, Time};
use super::cursor::Cursor;
use super::{packet_syntax, syscall_syntax};

/// Nesting of parentheses in an assertion; more is refused.
const EXPR_DEPTH_MAX: usize = 16;

/// Operators in one expression outside parentheses; more is refused. Each is a level of the tree, over which
/// evaluation and drop recurse.
const EXPR_OPERATORS_MAX: usize = 64;

/// How deep `#ifdef`s nest; more is refused.
const CONDITIONS_MAX: usize = 64;

/// Parses a script; `defined` are the names for which `#ifdef` holds.
///
/// # Errors
/// [`SyntaxError`] at the first thing that is not of the dialect.
pub fn parse(text: &str, defined: &[&str]) -> Result<Script, SyntaxError> {
    let text = resolve_conditions(text, defined)?;
    let mut cursor = Cursor::new(&text);
    let mut script = Script {
        options: options(&mut cursor)?,
        ..Script::default()
    };
    while !cursor.at_end() {
        let line = cursor.line();
        if cursor.eat("`") {
            let command = cursor.take_until("`")?.to_owned();
            let place = if script.events.is_empty() {
                &mut script.init
            } else {
                &mut script.cleanup
            };
            place.push((line, command));
            continue;
        }
        script.events.push(event(&mut cursor, line)?);
    }
    // As in the original's grammar: a file that was cut short must not pass for a script that was fulfilled.
    if script.events.is_empty() {
        return cursor.expected("an event, `TIME packet` or `TIME call(...) = result`");
    }
    Ok(script)
}

fn resolve_conditions(text: &str, defined: &[&str]) -> Result<String, SyntaxError> {
    let mut out = String::with_capacity(text.len());
    let mut taken: Vec<bool> = Vec::new();
    let mut opened = 0;
    for (index, line) in text.lines().enumerate() {
        let wrong = |expected: &str| SyntaxError {
            line: index + 1,
            column: 1,
            expected: expected.to_owned(),
        };
        let mut words = line.split_whitespace();
        match words.next() {
            Some("#ifdef") if taken.len() >= CONDITIONS_MAX => {
                return Err(wrong("fewer #ifdefs within each other"));
            }
            Some("#ifdef") => {
                opened = index + 1;
                let name = words.next().ok_or_else(|| wrong("a name after #ifdef"))?;
                taken.push(defined.contains(&name));
            }
            Some("#ifndef") if taken.len() >= CONDITIONS_MAX => {
                return Err(wrong("fewer #ifdefs within each other"));
            }
            Some("#ifndef") => {
                opened = index + 1;
                let name = words.next().ok_or_else(|| wrong("a name after #ifndef"))?;
                taken.push(!defined.contains(&name));
            }
            Some("#else") => {
                let last = taken
                    .last_mut()
                    .ok_or_else(|| wrong("an #ifdef before #else"))?;
                *last = !*last;
            }
            Some("#endif") => {
                taken
                    .pop()
                    .ok_or_else(|| wrong("an #ifdef before #endif"))?;
            }
            _ if taken.iter().all(|t| *t) => out.push_str(line),
            _ => {}
        }
        out.push('\n');
    }
    if taken.is_empty() {
        return Ok(out);
    }
    Err(SyntaxError {
        line: opened,
        column: 1,
        expected: "an #endif after this".to_owned(),
    })
}

fn options(cursor: &mut Cursor<'_>) -> Result<Options, SyntaxError> {
    let mut options = Options::default();
    while cursor.eat("--") {
        let start = *cursor;
        let name = cursor.word().unwrap_or_default();
        let value = if cursor.eat_raw("=") {
            cursor.take_while(|c| !c.is_whitespace())
        } else {
            ""
        };
        let number = || value.parse::<u64>().ok();
        match name {
            "ip_version" if value == "ipv4" => options.ipv6 = false,
            "ip_version" if value == "ipv6" => options.ipv6 = true,
            "ip_version" => return start.expected("--ip_version=ipv4 or ipv6"),
            "tolerance_usecs" => match number() {
                Some(us) => options.tolerance_us = us,
                None => return start.expected("--tolerance_usecs=MICROSECONDS"),
            },
            "mtu" => match number().and_then(|mtu| u32::try_from(mtu).ok()) {
                Some(mtu) => options.mtu = mtu,
                None => return start.expected("--mtu=BYTES"),
            },
            "udp_encapsulation" if value == "tcp" => options.udp_encapsulation = true,
            "udp_encapsulation" => return start.expected("--udp_encapsulation=tcp"),
            "tcp_md5_secret" => options.md5_secret = Some(value.to_owned()),
            "non_fatal" => {
                options.non_fatal_syscalls = value.contains("syscall");
                options.non_fatal_packets = value.contains("packet");
            }
            // Where the script's addresses come from is the runner's business.
            "local_ip" | "remote_ip" | "netmask_ip" | "gateway_ip" | "dry_run" | "verbose" => {}
            _ => return start.expected("an option of packetdrill"),
        }
    }
    Ok(options)
}

fn event(cursor: &mut Cursor<'_>, line: usize) -> Result<Event, SyntaxError> {
    let time = time(cursor)?;
    let mut end = None;
    if cursor.eat("...") {
        end = Some(self::time(cursor)?);
    }
    let action = match cursor.peek() {
        Some('<' | '>') => Action::Packet(packet_syntax::packet(cursor)?),
        Some('`') => {
            cursor.need("`")?;
            Action::Command(cursor.take_until("`")?.trim().to_owned())
        }
        Some('%') => {
            cursor.need("%{")?;
            Action::Code(assertions(cursor)?)
        }
        _ => Action::Syscall(syscall_syntax::syscall(cursor, end)?),
    };
    Ok(Event { line, time, action })
}

/// A time, absolute or relative, as a point or a range.
fn time(cursor: &mut Cursor<'_>) -> Result<Time, SyntaxError> {
    if cursor.eat("*") {
        return Ok(Time::Any);
    }
    let relative = cursor.eat("+");
    let from = cursor.seconds()?;
    if !cursor.eat_raw("~") {
        return Ok(if relative {
            Time::Relative(from)
        } else {
            Time::Absolute(from)
        });
    }
    let _ = cursor.eat_raw("+");
    let to = cursor.seconds()?;
    Ok(if relative {
        Time::RelativeRange(from, to)
    } else {
        Time::AbsoluteRange(from, to)
    })
}

fn assertions(cursor: &mut Cursor<'_>) -> Result<Vec<Assertion>, SyntaxError> {
    let mut all = Vec::new();
    loop {
        if cursor.eat("}%") {
            return Ok(all);
        }
        if cursor.eat(";") {
            continue;
        }
        if cursor.word() != Some("assert") {
            return cursor.expected("`assert` or `}%`");
        }
        let before = cursor.rest();
        let left = expr(cursor, 0)?;
        let mut op = None;
        for candidate in ["==", "!=", "<=", ">=", "<", ">"] {
            if cursor.eat(candidate) {
                op = Some(candidate);
                break;
            }
        }
        let Some(op) = op else {
            return cursor.expected("a comparison");
        };
        let right = expr(cursor, 0)?;
        let text = before[..before.len() - cursor.rest().len()]
            .trim()
            .to_owned();
        let _ = cursor.eat(",");
        all.push(Assertion {
            left,
            op: op.to_owned(),
            right,
            text,
        });
    }
}

/// Operators of one precedence, from the left: scripts use parentheses where it matters.
fn expr(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expr, SyntaxError> {
    let mut left = term(cursor, depth)?;
    for _ in 0..=EXPR_OPERATORS_MAX {
        let op = match cursor.peek() {
            Some(op @ ('|' | '&' | '+' | '-' | '*' | '/')) => op,
            _ => return Ok(left),
        };
        cursor.need(op.encode_utf8(&mut [0; 4]))?;
        let right = term(cursor, depth)?;
        left = Expr::Binary(Box::new(left), op, Box::new(right));
    }
    cursor.expected("fewer operators")
}

fn term(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expr, SyntaxError> {
    if depth >= EXPR_DEPTH_MAX {
        return cursor.expected("fewer parentheses");
    }
    if cursor.eat("(") {
        let inner = expr(cursor, depth + 1)?;
        cursor.need(")")?;
        return Ok(inner);
    }
    match cursor.word() {
        Some(name) => Ok(Expr::Name(name.to_owned())),
        None => Ok(Expr::Number(cursor.integer()?)),
    }
}
