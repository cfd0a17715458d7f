// SPDX-License-Identifier: BSD-2-Clause
//! From a script's text to its [`Script`].
//!
//! `#ifdef NAME` ... `#else` ... `#endif` are resolved first, line by line, so that lines keep their
//! numbers; the names that hold are the caller's.

use super::ast::{Action, Direction, Event, Options, Script, SyntaxError, Time};
use super::cursor::Cursor;
use super::{code_syntax, options_syntax, packet_syntax, syscall_syntax};

/// How deep `#ifdef`s nest; more is refused.
const CONDITIONS_MAX: usize = 64;

/// Bytes of a command in backquotes: each stage of a pipe goes through what the one before printed.
const COMMAND_MAX: usize = 4_096;

/// Parses a script; `defined` are the names for which `#ifdef` holds.
///
/// # Errors
/// [`SyntaxError`] at the first thing that is not of the dialect.
pub fn parse(text: &str, defined: &[&str]) -> Result<Script, SyntaxError> {
    let text = resolve_conditions(text, defined)?;
    let text = options_syntax::define(text)?;
    let mut cursor = Cursor::new(&text);
    let mut script = Script {
        options: options_syntax::options(&mut cursor)?,
        ..Script::default()
    };
    let mut before = None;
    while !cursor.at_end() {
        let line = cursor.line();
        if cursor.peek_raw() == Some('`') {
            let command = command(&mut cursor)?;
            let place = if script.events.is_empty() {
                &mut script.init
            } else {
                &mut script.cleanup
            };
            place.push((line, command));
            continue;
        }
        if !script.cleanup.is_empty() {
            return cursor.expected(
                "the end of the script: a command without a time is its last, write `+0` before it",
            );
        }
        let event = event(&mut cursor, &script.options, before)?;
        if let Time::Absolute(at) | Time::AbsoluteRange(at, _) = event.time {
            before = Some(at);
        }
        script.events.push(event);
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

fn event(
    cursor: &mut Cursor<'_>,
    options: &Options,
    before: Option<u64>,
) -> Result<Event, SyntaxError> {
    let start = *cursor;
    let line = cursor.line();
    let time = time(cursor)?;
    if let (Time::Absolute(at), Some(before)) = (time, before)
        && at < before
    {
        return start.expected("a time that is not before that of the last event");
    }
    let end = if cursor.eat("...") {
        Some(cursor.seconds()?)
    } else {
        None
    };
    let action = match cursor.peek() {
        Some('<' | '>') => Action::Packet(packet_syntax::packet(cursor, options)?),
        Some('`') => Action::Command(command(cursor)?),
        Some('%') => {
            cursor.need("%{")?;
            Action::Code(code_syntax::assertions(cursor)?)
        }
        _ => Action::Syscall(syscall_syntax::syscall(cursor, end)?),
    };
    let waits = matches!(&action, Action::Packet(packet) if packet.direction == Direction::Out);
    if !waits && !matches!(time, Time::Absolute(_) | Time::Relative(_)) {
        return start.expected("one time: `*` and ranges are for packets of the stack (`>`)");
    }
    if end.is_some() && !matches!(action, Action::Syscall(_)) {
        return start.expected("one time: only a system call has an end");
    }
    Ok(Event { line, time, action })
}

/// A command in backquotes; a backslash keeps the character after it.
fn command(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    cursor.need("`")?;
    let start = *cursor;
    let command = cursor.take_quoted('`')?.trim();
    if command.len() > COMMAND_MAX {
        return start.expected(format!("a command of at most {COMMAND_MAX} bytes"));
    }
    Ok(command.to_owned())
}

fn time(cursor: &mut Cursor<'_>) -> Result<Time, SyntaxError> {
    if cursor.eat("*") {
        return Ok(Time::Any);
    }
    let relative = cursor.eat("+");
    if !relative && !matches!(cursor.peek(), Some('0'..='9' | '.')) {
        return cursor
            .instead("an event, which begins with its time (`1.5`, `+.1`, `1~2`, `+0~+1` or `*`)");
    }
    let from = cursor.seconds()?;
    if !cursor.eat("~") {
        return Ok(if relative {
            Time::Relative(from)
        } else {
            Time::Absolute(from)
        });
    }
    let start = *cursor;
    if relative {
        cursor.need("+")?;
    }
    let to = cursor.seconds()?;
    if to < from {
        return start.expected("an end that is not before the beginning");
    }
    Ok(if relative {
        Time::RelativeRange(from, to)
    } else {
        Time::AbsoluteRange(from, to)
    })
}
