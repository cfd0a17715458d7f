// SPDX-License-Identifier: BSD-2-Clause
//! The commands that scripts run in backquotes, answered by an emulated userland.
//!
//! `sysctl`, `sockstat`, `tcpdrop`, `setkey`, `kldload` and `kldstat`, with `grep` behind a pipe, and
//! `;`, `||`, `&&` between. A command that is none of these is an error of the script: answering
//! it with success would judge nothing.

use super::stack::Stack;
use crate::net::cx::SoId;
use crate::time::Instant;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What the program under test is called in `sockstat`, cut to the column as there.
const COMMAND: &str = "packetdril";

/// Runs a line of shell.
///
/// # Errors
/// What failed, with its output.
pub fn run<S: Stack>(
    stack: &mut S,
    now: Instant,
    open: &BTreeSet<SoId>,
    line: &str,
) -> Result<(), String> {
    let mut outcome = Ok(String::new());
    for statement in statements(line) {
        let skip = match statement.after {
            After::Always => false,
            After::Failure => outcome.is_ok(),
            After::Success => outcome.is_err(),
        };
        if !skip {
            outcome = pipeline(stack, now, open, &statement.text);
        }
    }
    outcome.map(|_| ())
}

#[derive(Clone, Copy)]
enum After {
    Always,
    Failure,
    Success,
}

struct Statement {
    after: After,
    text: String,
}

/// Cuts at `;`, `||` and `&&` outside single quotes.
fn statements(line: &str) -> Vec<Statement> {
    let mut all = vec![Statement {
        after: After::Always,
        text: String::new(),
    }];
    let mut quoted = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        quoted ^= c == '\'';
        let cut = [
            (";", After::Always),
            ("||", After::Failure),
            ("&&", After::Success),
        ]
        .into_iter()
        .find(|(mark, _)| !quoted && rest.starts_with(mark));
        if let Some((mark, after)) = cut {
            all.push(Statement {
                after,
                text: String::new(),
            });
            rest = &rest[mark.len()..];
            continue;
        }
        if let Some(last) = all.last_mut() {
            last.text.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    all.retain(|statement| !statement.text.trim().is_empty());
    all
}

fn pipeline<S: Stack>(
    stack: &mut S,
    now: Instant,
    open: &BTreeSet<SoId>,
    text: &str,
) -> Result<String, String> {
    let mut output = String::new();
    for stage in text.split('|') {
        let words: Vec<&str> = stage.split_whitespace().collect();
        output = match words.as_slice() {
            ["sysctl", "-w", assignment] | ["sysctl", assignment] => {
                let (name, value) = assignment
                    .split_once('=')
                    .ok_or_else(|| format!("sysctl {assignment}: no value to set"))?;
                stack
                    .sysctl(now, name, value)
                    .map_err(|errno| format!("sysctl {assignment}: {errno}"))?;
                String::new()
            }
            ["sockstat", options @ ..] => sockstat(stack, open, options)?,
            ["grep", "-c", pattern] => {
                let count = output.lines().filter(|line| line.contains(pattern)).count();
                format!("{count}\n")
            }
            ["grep", pattern] => {
                let kept: String = output
                    .lines()
                    .filter(|line| line.contains(pattern))
                    .map(|line| format!("{line}\n"))
                    .collect();
                if kept.is_empty() {
                    return Err(format!(
                        "grep {pattern} finds nothing in: {}",
                        output.trim()
                    ));
                }
                kept
            }
            ["tcpdrop", "-s", state] => {
                stack.drop_connections(now, state);
                String::new()
            }
            ["echo", ..] => stage.trim().trim_start_matches("echo").replace('\'', ""),
            ["setkey", "-F"] => {
                stack.md5_key(None);
                String::new()
            }
            ["setkey", "-c"] => {
                security_associations(stack, &output)?;
                String::new()
            }
            // Everything a module would bring is in the emulated kernel.
            ["kldstat" | "kldload", ..] | ["true"] => String::new(),
            _ => return Err(format!("no such command here: {}", stage.trim())),
        };
    }
    Ok(output)
}

fn sockstat<S: Stack>(
    stack: &S,
    open: &BTreeSet<SoId>,
    options: &[&str],
) -> Result<String, String> {
    let mut family = None;
    let mut port = None;
    let mut words = options.iter();
    while let Some(option) = words.next() {
        match *option {
            "-4" => family = Some(4),
            "-6" => family = Some(6),
            "-s" | "-n" => {}
            "-P" => drop(words.next()),
            "-p" => port = words.next().and_then(|word| word.parse::<u16>().ok()),
            _ => return Err(format!("sockstat {option}: no such option here")),
        }
    }
    let mut lines = String::new();
    for connection in stack.connections() {
        let version = if connection.local.is_ipv4() { 4 } else { 6 };
        let ports = [connection.local.port(), connection.foreign.port()];
        if family.is_some_and(|f| f != version) || port.is_some_and(|p| !ports.contains(&p)) {
            continue;
        }
        // A socket without a descriptor has no owner: sockstat(1) prints question marks.
        let owner = match connection.so.filter(|so| open.contains(so)) {
            Some(_) => format!("root {COMMAND} 1000"),
            None => "? ? ?".to_owned(),
        };
        let (local, foreign) = (connection.local, connection.foreign);
        lines += &format!(
            "{owner} tcp{version} {local} {foreign} {}\n",
            connection.state
        );
    }
    Ok(lines)
}

/// `add SRC DST tcp SPI -A tcp-md5 "KEY" ;` of setkey(8).
fn security_associations<S: Stack>(stack: &mut S, text: &str) -> Result<(), String> {
    for statement in text.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let ["add", src, dst, "tcp", _, "-A", "tcp-md5", key] = words.as_slice() else {
            return Err(format!("setkey: {statement}: not understood"));
        };
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("setkey: {text}: no address"))
        };
        stack.md5_key(Some((address(src)?, address(dst)?, key.trim_matches('"'))));
    }
    Ok(())
}
