// SPDX-License-Identifier: BSD-2-Clause
//! The commands that scripts run in backquotes, answered by an emulated userland.
//!
//! `sysctl`, `sockstat`, `tcpdrop`, `setkey`, `kldload` and its like, with `grep` behind a pipe, and
//! `;`, `||`, `&&` between; `sleep` is the runner's. A command that is none of these is an error of the script: answering
//! it with success would judge nothing.

use super::stack::Stack;
use crate::errno::Errno;
use crate::time::{Duration, Instant};
use std::net::IpAddr;

/// What the program under test is called in `sockstat`, cut to the column as there.
const COMMAND: &str = "packetdril";

/// Runs a line of shell.
///
/// # Errors
/// What failed, with its output.
pub fn run<S: Stack>(stack: &mut S, now: Instant, line: &str) -> Result<(), String> {
    let mut outcome = Ok(String::new());
    for statement in statements(line) {
        let skip = match statement.after {
            After::Always => false,
            After::Failure => outcome.is_ok(),
            After::Success => outcome.is_err(),
        };
        if !skip {
            outcome = pipeline(stack, now, &statement.text);
        }
    }
    outcome.map(|_| ())
}

/// A time in seconds, with decimals, of at most a day.
pub fn seconds(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let micros: u64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
    let whole: u64 = whole.parse().ok().filter(|whole| *whole <= 86_400)?;
    Some(Duration::from_secs(whole).plus(Duration::from_micros(micros)))
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

fn pipeline<S: Stack>(stack: &mut S, now: Instant, text: &str) -> Result<String, String> {
    let mut output = String::new();
    let mut stages = text.split('|').peekable();
    while let Some(stage) = stages.next() {
        let words: Vec<&str> = stage.split_whitespace().collect();
        output = match words.as_slice() {
            ["sysctl", arguments @ ..] => sysctl(stack, now, arguments)?,
            ["sockstat", options @ ..] => sockstat(stack, options)?,
            ["grep", arguments @ ..] => {
                let found = grep(&output, arguments)?;
                // As in a shell, only the last command of a pipe tells whether it succeeded.
                if stages.peek().is_none() && !found.any {
                    return Err(format!(
                        "{} finds nothing in: {}",
                        stage.trim(),
                        output.trim()
                    ));
                }
                found.output
            }
            ["tcpdrop", "-s", state] => {
                stack.drop_connections(now, state);
                String::new()
            }
            ["echo", ..] => stage.trim().trim_start_matches("echo").replace('\'', ""),
            ["setkey", "-F"] => {
                stack.md5_key(now, None);
                String::new()
            }
            ["setkey", "-c"] => {
                security_associations(stack, now, &output)?;
                String::new()
            }
            [tool @ ("kldstat" | "kldload" | "kldunload"), arguments @ ..] => {
                kld(tool, arguments)?;
                String::new()
            }
            ["true"] => String::new(),
            ["false"] => return Err("false".into()),
            _ => return Err(format!("no such command here: {}", stage.trim())),
        };
    }
    Ok(output)
}

/// The modules whose function the emulated kernel has: their files and how `kldstat -m` knows them.
const MODULES: [(&str, &str); 3] = [
    ("tcpmd5", "tcpmd5"),
    ("cc_cubic", "cubic"),
    ("cc_newreno", "newreno"),
];

/// `kldload`, `kldstat` and `kldunload` of modules. What the kernel has is there from the beginning and stays;
/// what it has not is no file, as a script that goes on without it would be judged by another kernel than it
/// asks for.
fn kld(tool: &str, arguments: &[&str]) -> Result<(), String> {
    let name = |word: &&str| !word.starts_with('-');
    for module in arguments.iter().copied().filter(name) {
        let file = module.strip_suffix(".ko").unwrap_or(module);
        let known = |(known, of): &(&str, &str)| match tool {
            "kldstat" => module == *of || module == *known,
            _ => file == *known,
        };
        if !MODULES.iter().any(known) {
            return Err(match tool {
                "kldload" => format!("kldload: can't load {module}: No such file or directory"),
                _ => format!("{tool}: can't find {module}: No such file or directory"),
            });
        }
    }
    Ok(())
}

/// Sets variables, `name=value` each. Reading one would print what nobody judges.
fn sysctl<S: Stack>(stack: &mut S, now: Instant, arguments: &[&str]) -> Result<String, String> {
    let assignments = arguments
        .iter()
        .filter(|word| !matches!(**word, "-w" | "-q" | "-i"));
    let mut any = false;
    for assignment in assignments {
        let (name, value) = assignment.split_once('=').ok_or_else(|| {
            format!("sysctl {assignment}: no value to set; variables are not read here")
        })?;
        stack
            .sysctl(now, name, value)
            .map_err(|errno| format!("sysctl {assignment}: {errno}"))?;
        any = true;
    }
    if any {
        Ok(String::new())
    } else {
        Err("sysctl: no variable to set".into())
    }
}

/// The lines with the text, `-v` those without, `-c` their number, `-q` nothing.
fn grep(input: &str, arguments: &[&str]) -> Result<Found, String> {
    let mut options = String::new();
    let mut pattern = None;
    for word in arguments {
        match word.strip_prefix('-') {
            Some(letters) if letters.chars().all(|c| "vcq".contains(c)) => options += letters,
            None if pattern.is_none() => pattern = Some(word.trim_matches(['\'', '"'])),
            _ => return Err(format!("grep {word}: not understood here")),
        }
    }
    let pattern = pattern.ok_or("grep: no pattern")?;
    let keeps = |line: &&str| line.contains(pattern) != options.contains('v');
    let kept: Vec<&str> = input.lines().filter(keeps).collect();
    let output = if options.contains('c') {
        format!("{}\n", kept.len())
    } else if options.contains('q') {
        String::new()
    } else {
        kept.iter().map(|line| format!("{line}\n")).collect()
    };
    Ok(Found {
        output,
        any: !kept.is_empty(),
    })
}

/// What `grep` prints, and whether it found anything.
struct Found {
    output: String,
    any: bool,
}

fn sockstat<S: Stack>(stack: &S, options: &[&str]) -> Result<String, String> {
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
        let owner = if connection.open {
            format!("root {COMMAND} 1000")
        } else {
            "? ? ?".to_owned()
        };
        let (local, foreign) = (connection.local, connection.foreign);
        lines += &format!(
            "{owner} tcp{version} {local} {foreign} {}\n",
            connection.state
        );
    }
    Ok(lines)
}

/// Bytes of a key for MD5 signatures (`tcpsignature_init_impl`, `netipsec/xform_tcp.c`, FreeBSD 15.0).
const MD5_KEY: std::ops::RangeInclusive<usize> = 1..=80;

/// `add SRC DST tcp SPI -A tcp-md5 "KEY" ;` of setkey(8).
fn security_associations<S: Stack>(stack: &mut S, now: Instant, text: &str) -> Result<(), String> {
    for statement in text.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let ["add", src, dst, "tcp", _, "-A", "tcp-md5", key] = words.as_slice() else {
            return Err(format!("setkey: {statement}: not understood"));
        };
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("setkey: {text}: no address"))
        };
        let key = key.trim_matches('"');
        if !MD5_KEY.contains(&key.len()) {
            return Err(format!(
                "setkey: a key of {} bytes: {}",
                key.len(),
                Errno::EINVAL
            ));
        }
        stack.md5_key(now, Some((address(src)?, address(dst)?, key)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::packetdrill::parser::parse;
    use crate::packetdrill::run::emulated::Emulated;
    use crate::packetdrill::run::run;

    fn failure(command: &str) -> Option<String> {
        let script = parse(&format!("0 `{command}`\n"), &[]).unwrap();
        run(&Emulated { seed: 1 }, &script).failure.map(|f| f.what)
    }

    #[test]
    fn the_last_command_of_a_pipe_and_the_operators_between_decide() {
        for command in [
            "true",
            "sysctl net.inet.tcp.sack.enable=1 net.inet.tcp.rfc1323=0",
            "sockstat -4 -P tcp | grep LISTEN | grep -c X | grep 0",
            "sockstat -4 | grep -v -c LISTEN | grep 0",
            "false || true",
            "false ; true",
            "false && false || true",
            "echo 'a b' | grep -q 'b'",
            "sleep 1.5",
            "kldstat -q -m tcpmd5 || kldload tcpmd5",
            "kldload -n tcpmd5.ko cc_cubic",
            "kldstat -q -m newreno && kldunload cc_newreno",
            "kldstat -q -m rack || true",
        ] {
            assert_eq!(failure(command), None, "{command}");
        }
        for (command, why) in [
            ("false", "false"),
            ("true && false", "false"),
            ("sockstat -4 | grep LISTEN", "finds nothing"),
            ("sockstat -4 | grep -c LISTEN", "finds nothing"),
            ("echo a | grep -q b", "finds nothing"),
            ("sysctl net.inet.tcp.no_such=1", "ENOENT"),
            ("sysctl net.inet.tcp.sack.enable", "no value"),
            ("sleep soon", "no time"),
            (
                "echo 'add ::1 ::2 tcp 1 -A tcp-md5 \"\" ;' | setkey -c",
                "0 bytes: EINVAL",
            ),
            ("ifconfig tun0 down", "no such command"),
            ("rm -rf /", "no such command"),
            (
                "kldload tcp_rack",
                "kldload: can't load tcp_rack: No such file or directory",
            ),
            ("kldload tcpmd5 tcp_bbr", "can't load tcp_bbr"),
            ("kldstat -q -m rack", "kldstat: can't find rack"),
            ("kldunload tcp_rack", "kldunload: can't find tcp_rack"),
        ] {
            let told = failure(command).unwrap_or_else(|| panic!("{command} succeeds"));
            assert!(told.contains(why), "{command}: {told}");
        }
    }
}
