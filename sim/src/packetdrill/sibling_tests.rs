// SPDX-License-Identifier: BSD-2-Clause
//! Each script of FreeBSD's TCP test suite, rewritten for the other version of IP, ends as it does itself.
//!
//! TCP is the same over both, but for sizes: an IPv6 header is 20 bytes longer, so segments are 20
//! bytes shorter, and the receive buffer of 65,536 bytes, rounded up to whole segments
//! (`tcp_mss`, `tcp_input.c`, 15.0), is 46 of 1,440 bytes instead of 45 of 1,460.

use super::parser::parse;
use super::run::{self, emulated::Emulated};
use super::suite::find;
use super::suite_tests::suite;

/// Names and sizes that belong to one version of IP: a script with one of these has no sibling.
const OF_ONE_VERSION: [&str; 12] = [
    "icmp",
    "--mtu",
    "md5",
    "IP_TTL",
    "IP_TOS",
    "IPV6_UNICAST_HOPS",
    "IPV6_TCLASS",
    "TCP_MAXSEG",
    "USE_MIN_MTU",
    "blackhole_detection",
    "tcpi_options",
    "(536)",
];

const BUFFER_V4: u64 = 45 * 1460;
const BUFFER_V6: u64 = 46 * 1440;

/// Text with each decimal number replaced by what `f` makes of it and the text before it.
fn map_numbers(line: &str, f: impl Fn(&str, u64) -> u64) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, after) = from.split_at(end.unwrap_or(from.len()));
        match word.parse() {
            Ok(number) if !word.starts_with('0') => {
                let new = f(&out, number);
                out.push_str(&new.to_string());
            }
            _ => out.push_str(word),
        }
        rest = after;
    }
    out + rest
}

fn number(outbound: bool, to_v6: bool, before: &str, n: u64) -> u64 {
    let (from, to) = if to_v6 {
        (BUFFER_V4, BUFFER_V6)
    } else {
        (BUFFER_V6, BUFFER_V4)
    };
    if before.ends_with("mss ") {
        let own = if to_v6 { 1420..=1460 } else { 1400..=1440 };
        return match n {
            n if !own.contains(&n) => n,
            n if to_v6 => n - 20,
            n => n + 20,
        };
    }
    if before.ends_with("win ") {
        // What is left of the buffer, in 16 bits.
        return if outbound && to_v6 && n > 30_000 {
            (n + BUFFER_V6 - BUFFER_V4).min(65_535)
        } else {
            n
        };
    }
    if (from..from + 100).contains(&n) {
        n - from + to
    } else {
        n
    }
}

/// The script for the other version, where it can be told.
fn sibling(text: &str) -> Option<String> {
    if OF_ONE_VERSION.iter().any(|name| text.contains(name)) {
        return None;
    }
    let to_v6 = !text.contains("--ip_version=ipv6");
    let mut out = String::new();
    if !text.contains("--ip_version=") {
        out.push_str("--ip_version=ipv6\n");
    }
    for line in text.lines() {
        let line = if to_v6 {
            line.replace("=ipv4", "=ipv6")
                .replace("sockstat -4", "sockstat -6")
        } else {
            line.replace("=ipv6", "=ipv4")
                .replace("sockstat -6", "sockstat -4")
        };
        let outbound = line.split_whitespace().nth(1) == Some(">");
        let options = line.starts_with("--") || line.starts_with("//");
        if options {
            out.push_str(&line);
        } else {
            out.push_str(&map_numbers(&line, |before, n| {
                number(outbound, to_v6, before, n)
            }));
        }
        out.push('\n');
    }
    Some(out)
}

#[test]
fn numbers_that_follow_from_the_segment_size_change_and_no_others() {
    let script = "--ip_version=ipv4\n+0 < . 65701:65701(0) ack 1 win 65000 <mss 1460>\n\
                  +0 > . 1:1(0) ack 1 win 65401\n+0 `sockstat -4 -p 8080`\n";
    let expected = "--ip_version=ipv6\n+0 < . 66241:66241(0) ack 1 win 65000 <mss 1440>\n\
                    +0 > . 1:1(0) ack 1 win 65535\n+0 `sockstat -6 -p 8080`\n";
    assert_eq!(sibling(script).as_deref(), Some(expected));
    assert_eq!(sibling("+0 < icmp unreachable no_route [1:1(0)]\n"), None);
}

#[test]
fn every_script_ends_alike_over_the_other_version_of_ip() {
    let Some(root) = suite() else {
        println!("skipped: set TCP_TESTSUITE to a checkout of freebsd-net/tcp-testsuite");
        return;
    };
    let emulated = Emulated { seed: 1 };
    let (mut wrong, mut siblings) = (Vec::new(), 0);
    for path in find(&[root]).unwrap() {
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(other) = sibling(&text) else {
            continue;
        };
        siblings += 1;
        let ends = |text: &str| {
            parse(text, &["FreeBSD"])
                .map(|script| run::run(&emulated, &script).failure)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let (own, other) = (ends(&text), ends(&other));
        if own.is_some() != other.is_some() {
            wrong.push(format!("{}: {own:?}, but {other:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{siblings} scripts over the other version of IP");
    assert!(siblings > 600, "only {siblings} have a sibling");
}
