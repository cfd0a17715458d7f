// SPDX-License-Identifier: BSD-2-Clause
//! Packets of a script: `> S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>/udp(9811 > 2)`.

use super::ast::{Body, Direction, Options, Packet, SyntaxError, Tcp, flag};
use super::cursor::Cursor;
use super::{icmp_syntax, ip_syntax, option_syntax};

/// Bytes of data in one packet: the total length of an IP packet has 16 bits (RFC 791, section 3.1).
const DATA_MAX: u32 = 65_535;

/// Bytes of data in one datagram over IPv4.
const UDP_DATA_MAX: u16 = 65_507;

/// Bytes of a reset's diagnostic payload.
const REASON_LEN: u32 = 8;

/// Parses a packet, from its `<` or `>` on.
pub(super) fn packet(cursor: &mut Cursor<'_>, options: &Options) -> Result<Packet, SyntaxError> {
    let start = *cursor;
    let direction = if cursor.eat("<") {
        Direction::In
    } else {
        cursor.need(">")?;
        Direction::Out
    };
    unsupported(
        cursor,
        &["ipv4", "ipv6", "gre", "mpls"],
        "headers around a packet",
    )?;
    let ip = ip_syntax::ip(cursor)?;
    if ip.ect01 && direction == Direction::In {
        return start.expected("ect0 or ect1: ect01 is for packets of the stack (`>`)");
    }
    unsupported(cursor, &["sctp", "udplite"], "this transport")?;
    let mut ports = ports(cursor)?;
    unsupported(cursor, &["sctp", "udplite"], "this transport")?;
    let mut probe = *cursor;
    let body = match probe.word() {
        Some("icmp" | "icmpv6") => {
            *cursor = probe;
            if direction == Direction::Out {
                return start.expected("`<`: ICMP of the stack is not judged in this dialect");
            }
            Body::Icmp(icmp_syntax::icmp(cursor, options)?)
        }
        Some("udp") => {
            *cursor = probe;
            ports = ports.or(self::ports(cursor)?);
            Body::Udp(udp_len(cursor)?)
        }
        _ => Body::Tcp(tcp(cursor, direction)?),
    };
    let udp = match body {
        Body::Tcp(_) => udp(cursor)?,
        _ => None,
    };
    if udp.is_some() && !options.udp_encapsulation {
        return start.expected("--udp_encapsulation=tcp above a packet with /udp");
    }
    Ok(Packet {
        direction,
        ip,
        body,
        udp,
        ports,
    })
}

/// Refuses what the dialect has and this stack has not, by its name.
fn unsupported(cursor: &Cursor<'_>, words: &[&str], what: &str) -> Result<(), SyntaxError> {
    let mut probe = *cursor;
    match probe.word() {
        Some(word) if words.contains(&word) => cursor.expected(format!(
            "a TCP, UDP or ICMP packet: {what} ({word}) cannot be emulated; take it out of the script"
        )),
        _ => Ok(()),
    }
}

/// `8080 > 53` before the flags.
fn ports(cursor: &mut Cursor<'_>) -> Result<Option<(u16, u16)>, SyntaxError> {
    let mut probe = *cursor;
    if probe.integer().is_err() || !probe.eat(">") {
        return Ok(None);
    }
    let source = cursor.number()?;
    cursor.need(">")?;
    Ok(Some((source, cursor.number()?)))
}

/// `(LEN)` of a datagram.
fn udp_len(cursor: &mut Cursor<'_>) -> Result<u16, SyntaxError> {
    cursor.need("(")?;
    let start = *cursor;
    let len = cursor.number()?;
    if len > UDP_DATA_MAX {
        return start.expected(format!("at most {UDP_DATA_MAX} bytes, as a datagram holds"));
    }
    cursor.need(")")?;
    Ok(len)
}

fn tcp(cursor: &mut Cursor<'_>, direction: Direction) -> Result<Tcp, SyntaxError> {
    let start = *cursor;
    let flags = flags(cursor)?;
    let sequence = sequence(cursor)?;
    let mut tcp = Tcp {
        flags,
        seq: sequence.seq,
        len: sequence.len,
        absolute: cursor.eat_raw("!"),
        ack: None,
        window: None,
        urgent: None,
        options: Some(Vec::new()),
        ts_val_any: false,
        ts_ecr_absolute: false,
        reason: None,
    };
    for (name, place) in [("ack", 0), ("win", 1), ("urg", 2)] {
        let mut probe = *cursor;
        if probe.word() != Some(name) {
            continue;
        }
        match place {
            0 => tcp.ack = Some(probe.number()?),
            1 => tcp.window = Some(probe.number()?),
            _ => tcp.urgent = Some(probe.number()?),
        }
        *cursor = probe;
    }
    // On the packet's own line only a word that is none of these can follow.
    cursor.skip_blanks();
    if cursor.peek_raw().is_some_and(|c| c.is_ascii_alphabetic()) {
        return cursor
            .instead("`ack N`, `win N` and `urg N`, in this order, or the end of the packet");
    }
    if tcp.window.is_none() && direction == Direction::In {
        return start.expected("a window (`win N`) in a packet to the stack");
    }
    // `<` opens options only on the packet's own line; on the next it is a time-less packet.
    let before = *cursor;
    if cursor.eat_raw("<") {
        option_syntax::options(cursor, &mut tcp)?;
    }
    if tcp.options.is_none() && direction == Direction::In {
        return before.expected("options: `<...>` is for packets of the stack (`>`)");
    }
    reason(cursor, &mut tcp)?;
    Ok(tcp)
}

/// `[code N, pen N]` behind a reset.
fn reason(cursor: &mut Cursor<'_>, tcp: &mut Tcp) -> Result<(), SyntaxError> {
    let start = *cursor;
    cursor.skip_blanks();
    if !cursor.eat_raw("[") {
        return Ok(());
    }
    word(cursor, "code")?;
    let code = cursor.number()?;
    cursor.need(",")?;
    word(cursor, "pen")?;
    tcp.reason = Some((code, cursor.number()?));
    cursor.need("]")?;
    if tcp.len != REASON_LEN || tcp.flags & flag::RST == 0 {
        return start.expected(format!(
            "a diagnostic payload on a reset of {REASON_LEN} bytes"
        ));
    }
    Ok(())
}

/// First number and length of a segment.
pub(super) struct Sequence {
    /// `None` where it is not judged.
    pub(super) seq: Option<u32>,
    /// Bytes of data.
    pub(super) len: u32,
}

/// `1:1001(1000)` or `...(1000)`.
pub(super) fn sequence(cursor: &mut Cursor<'_>) -> Result<Sequence, SyntaxError> {
    let start = *cursor;
    if cursor.eat("...") {
        let len = data_len(cursor)?;
        return Ok(Sequence { seq: None, len });
    }
    let seq: u32 = cursor.number()?;
    cursor.need(":")?;
    let end: u32 = cursor.number()?;
    let len = data_len(cursor)?;
    if end != seq.wrapping_add(len) {
        return start.expected(format!(
            "{seq}:{}({len}): numbers and length disagree",
            seq.wrapping_add(len)
        ));
    }
    Ok(Sequence {
        seq: Some(seq),
        len,
    })
}

/// `(LEN)`: how much data a segment has.
fn data_len(cursor: &mut Cursor<'_>) -> Result<u32, SyntaxError> {
    cursor.need("(")?;
    let start = *cursor;
    let len = cursor.number()?;
    if len > DATA_MAX {
        return start.expected(format!("at most {DATA_MAX} bytes, as IP packets hold"));
    }
    cursor.need(")")?;
    Ok(len)
}

fn flags(cursor: &mut Cursor<'_>) -> Result<u16, SyntaxError> {
    cursor.skip();
    let start = *cursor;
    let mut flags = 0;
    let mut count = None;
    if cursor.eat_raw("-") {
        return Ok(0);
    }
    let mut letters = cursor.take_while(|c| !c.is_whitespace()).to_owned();
    // The original reads letters and dot as two words, so a blank may part them.
    let mut probe = *cursor;
    if probe.eat(".") && probe.peek_raw().is_some_and(char::is_whitespace) {
        *cursor = probe;
        letters.push('.');
    }
    for letter in letters.chars() {
        flags |= match letter {
            'F' => flag::FIN,
            'S' => flag::SYN,
            'R' => flag::RST,
            'P' => flag::PSH,
            '.' => flag::ACK,
            'U' => flag::URG,
            'E' => flag::ECE,
            'W' => flag::CWR,
            'A' => flag::AE,
            // The three as one number, for accurate ECN.
            '0'..='7' if count.is_none() => {
                let n = letter.to_digit(8).unwrap_or(0);
                count = Some(n);
                let bit = |n: u32, flag| if n == 0 { 0 } else { flag };
                bit(n & 1, flag::ECE) | bit(n & 2, flag::CWR) | bit(n & 4, flag::AE)
            }
            _ => {
                let what = "a packet: TCP flags out of FSRP.UEWA and 0 to 7, or -, or udp or icmp";
                return start.instead(what);
            }
        };
    }
    if count.is_some() && letters.contains(['E', 'W', 'A']) {
        return start.expected("ECN flags as letters or as one number, not both");
    }
    Ok(flags)
}

/// Takes a word that must be there.
pub(super) fn word(cursor: &mut Cursor<'_>, wanted: &str) -> Result<(), SyntaxError> {
    let start = *cursor;
    if cursor.word() == Some(wanted) {
        Ok(())
    } else {
        start.instead(format!("`{wanted}`"))
    }
}

/// `/udp(9811 > 2)` right behind a packet.
pub(super) fn udp(cursor: &mut Cursor<'_>) -> Result<Option<(u16, u16)>, SyntaxError> {
    let mut probe = *cursor;
    probe.skip_blanks();
    if !probe.eat_raw("/udp") {
        return Ok(None);
    }
    *cursor = probe;
    cursor.need("(")?;
    let source = cursor.number()?;
    cursor.need(">")?;
    let destination = cursor.number()?;
    cursor.need(")")?;
    Ok(Some((source, destination)))
}
