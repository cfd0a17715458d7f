// SPDX-License-Identifier: BSD-2-Clause
//! The `--name=value` lines at the top of a script (nplab's `config.c`).

use super::ast::{Options, SyntaxError};
use super::cursor::Cursor;
use std::net::IpAddr;

/// Words that a script may define; more are refused.
const DEFINES_MAX: usize = 64;

/// Bytes of the value of one: each place that names it grows by so much.
const VALUE_MAX: usize = 64;

/// Parses the options.
pub(super) fn options(cursor: &mut Cursor<'_>) -> Result<Options, SyntaxError> {
    let mut options = Options::default();
    while cursor.eat("--") {
        option(cursor, &mut options)?;
    }
    let family = |ip: &Option<IpAddr>| ip.is_some_and(|ip| ip.is_ipv6() != options.ipv6);
    if family(&options.local) || family(&options.remote) {
        return cursor
            .expected("--local_ip and --remote_ip of the family of --ip_version, above this");
    }
    Ok(options)
}

fn option(cursor: &mut Cursor<'_>, options: &mut Options) -> Result<(), SyntaxError> {
    let start = *cursor;
    let name = cursor.word().unwrap_or_default();
    let value = if cursor.eat("=") { value(cursor)? } else { "" };
    let number = || value.parse::<u64>().ok();
    let port = || number().and_then(|n| u16::try_from(n).ok());
    let wrong = |usage: &str| start.expected(usage);
    match name {
        "ip_version" => match value {
            "ipv4" => options.ipv6 = false,
            "ipv6" => options.ipv6 = true,
            "ipv4_mapped_ipv6" => return wrong("ipv4 or ipv6: mapped addresses are not emulated"),
            _ => return wrong("--ip_version=ipv4 or ipv6"),
        },
        "tolerance_usecs" => match number() {
            Some(us) => options.tolerance_us = us,
            None => return wrong("--tolerance_usecs=MICROSECONDS"),
        },
        "tolerance_percent" => match permyriad(value) {
            Some(part) => options.tolerance_permyriad = Some(part),
            None => return wrong("--tolerance_percent=PERCENT, 0 to 100"),
        },
        "tcp_ts_tick_usecs" => match number().filter(|us| *us <= 1_000_000) {
            Some(us) => options.ts_tick_us = us,
            None => return wrong("--tcp_ts_tick_usecs=MICROSECONDS, at most 1000000"),
        },
        "mtu" => match number().and_then(|mtu| u32::try_from(mtu).ok()) {
            Some(mtu) => options.mtu = mtu,
            None => return wrong("--mtu=BYTES"),
        },
        "bind_port" => match port() {
            Some(port) => options.bind_port = port,
            None => return wrong("--bind_port=PORT"),
        },
        "connect_port" => match port() {
            Some(port) => options.connect_port = port,
            None => return wrong("--connect_port=PORT"),
        },
        "local_ip" | "remote_ip" => {
            // A prefix length says which addresses are on the script's side; one is enough for us.
            let Ok(ip) = value
                .split('/')
                .next()
                .unwrap_or_default()
                .parse::<IpAddr>()
            else {
                return start.expected(format!("--{name}=ADDRESS"));
            };
            let place = if name == "local_ip" {
                &mut options.local
            } else {
                &mut options.remote
            };
            *place = Some(ip);
        }
        "udp_encapsulation" if value == "tcp" => options.udp_encapsulation = true,
        "udp_encapsulation" => return wrong("--udp_encapsulation=tcp"),
        "tcp_md5_secret" => options.md5_secret = Some(value.to_owned()),
        "non_fatal" => {
            for kind in value.split([',', ' ']).filter(|kind| !kind.is_empty()) {
                match kind {
                    "syscall" => options.non_fatal_syscalls = true,
                    "packet" => options.non_fatal_packets = true,
                    _ => return wrong("--non_fatal=packet,syscall"),
                }
            }
        }
        "define" => {}
        // What only matters to a tool that works on a real machine.
        "netmask_ip"
        | "gateway_ip"
        | "local_linklocal_ip"
        | "gateway_linklocal_ip"
        | "speed"
        | "tun_dev"
        | "persistent_tun_dev"
        | "no_cleanup"
        | "verbose"
        | "debug"
        | "code_command"
        | "code_format"
        | "code_sockopt" => {}
        "init_scripts" => return wrong("no --init_scripts: write the commands into the script"),
        "dry_run" => return wrong("no --dry_run: use `--list`, which only reads the scripts"),
        _ if name.starts_with("wire_") => {
            return start.expected(format!(
                "no --{name}: the stack is emulated, there is no wire"
            ));
        }
        _ => return start.expected(format!("an option of packetdrill: --{name} is none")),
    }
    Ok(())
}

fn value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, SyntaxError> {
    cursor.skip_blanks();
    if cursor.eat_raw("\"") {
        return cursor.take_quoted('"');
    }
    Ok(cursor.take_while(|c| !c.is_whitespace()))
}

/// Hundredths of a percent.
fn permyriad(value: &str) -> Option<u32> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let part: u32 = format!("{part:0<2}").get(..2)?.parse().ok()?;
    let all = whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(part)?;
    Some(all).filter(|all| *all <= 10_000)
}

/// Puts the values of `--define=NAME=VALUE` in the place of the words that they name.
pub(super) fn define(text: String) -> Result<String, SyntaxError> {
    let mut defines: Vec<(&str, &str)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(definition) = line.trim().strip_prefix("--define=") else {
            continue;
        };
        let wrong = |expected: String| SyntaxError {
            line: index + 1,
            column: 1 + line.len() - line.trim_start().len(),
            expected,
        };
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match definition.split_once('=') {
            Some((name, value))
                if !name.is_empty()
                    && name.chars().all(word)
                    && (1..=VALUE_MAX).contains(&value.len()) =>
            {
                defines.push((name, value));
            }
            _ => {
                return Err(wrong(format!(
                    "--define=NAME=VALUE, of at most {VALUE_MAX} bytes"
                )));
            }
        }
        if defines.len() > DEFINES_MAX {
            return Err(wrong(format!("at most {DEFINES_MAX} definitions")));
        }
    }
    if defines.is_empty() {
        return Ok(text);
    }
    let lines = text.lines().map(|line| substitute(line, &defines));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// One line with its defined words replaced, texts and comments left as they are.
fn substitute(line: &str, defines: &[(&str, &str)]) -> String {
    if line.trim_start().starts_with("--") {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut quote = None;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if quote.is_none() && word(first) {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let found = defines.iter().find(|(name, _)| *name == &rest[..end]);
            out.push_str(found.map_or(&rest[..end], |(_, value)| value));
            rest = &rest[end..];
            continue;
        }
        if quote.is_none() && (rest.starts_with("//") || first == '#') {
            out.push_str(rest);
            return out;
        }
        if quote == Some(first) {
            quote = None;
        } else if quote.is_none() && (first == '"' || first == '`') {
            quote = Some(first);
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}
