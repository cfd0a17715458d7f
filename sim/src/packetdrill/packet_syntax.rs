// SPDX-License-Identifier: BSD-2-Clause
//! Packets of a script: `> S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>/udp(9811 > 2)`.

use super::ast::{Body, Direction, Icmp, IpSpec, Packet, SyntaxError, Tcp, TcpOption, flag};
use super::cursor::Cursor;
use super::wire;

/// TCP options hold 40 bytes, so no packet has more of them (RFC 9293, section 3.1).
const OPTIONS_MAX: usize = 40;

/// Bytes of data in one packet: the total length of an IP packet has 16 bits (RFC 791, section 3.1).
const DATA_MAX: u32 = 65_535;

/// Parses a packet, from its `<` or `>` on.
pub(super) fn packet(cursor: &mut Cursor<'_>) -> Result<Packet, SyntaxError> {
    let direction = if cursor.eat("<") {
        Direction::In
    } else {
        cursor.need(">")?;
        Direction::Out
    };
    let ip = ip(cursor)?;
    let mut probe = *cursor;
    let body = if matches!(probe.word(), Some("icmp" | "icmpv6")) {
        *cursor = probe;
        Body::Icmp(icmp(cursor)?)
    } else {
        Body::Tcp(tcp(cursor)?)
    };
    let udp = udp(cursor)?;
    Ok(Packet {
        direction,
        ip,
        body,
        udp,
    })
}

fn ip(cursor: &mut Cursor<'_>) -> Result<IpSpec, SyntaxError> {
    let mut spec = IpSpec::default();
    if cursor.eat("[") {
        spec.ecn = Some(ecn(cursor)?);
        cursor.need("]")?;
    }
    while cursor.eat("(") {
        match cursor.word() {
            Some("ttl" | "hlim") => spec.ttl = Some(cursor.number()?),
            Some("tos") => {
                let tos: u8 = cursor.number()?;
                spec.dscp = Some(tos >> 2);
                spec.ecn = Some(tos & 3);
            }
            Some(name @ ("noecn" | "ect0" | "ect1" | "ce")) => spec.ecn = ecn_named(name),
            _ => return cursor.expected("`ttl`, `hlim`, `tos` or an ECN code point"),
        }
        cursor.need(")")?;
    }
    Ok(spec)
}

fn ecn(cursor: &mut Cursor<'_>) -> Result<u8, SyntaxError> {
    let start = *cursor;
    match cursor.word().and_then(ecn_named) {
        Some(ecn) => Ok(ecn),
        None => start.expected("noecn, ect0, ect1 or ce"),
    }
}

/// Code points of RFC 3168, section 5.
fn ecn_named(name: &str) -> Option<u8> {
    match name {
        "noecn" => Some(0),
        "ect1" => Some(1),
        "ect0" => Some(2),
        "ce" => Some(3),
        _ => None,
    }
}

fn tcp(cursor: &mut Cursor<'_>) -> Result<Tcp, SyntaxError> {
    let flags = flags(cursor)?;
    let mut tcp = Tcp {
        flags,
        seq: None,
        len: 0,
        absolute: false,
        ack: None,
        window: None,
        urgent: None,
        options: Some(Vec::new()),
    };
    if !cursor.eat("...") {
        tcp.seq = Some(cursor.number()?);
        cursor.need(":")?;
        if !cursor.eat("...") {
            let _end: u32 = cursor.number()?;
        }
    }
    tcp.len = data_len(cursor)?;
    if let Some(seq) = tcp.seq.filter(|_| cursor.eat_raw("!")) {
        tcp.absolute = true;
        tcp.seq = Some(seq);
    }
    loop {
        let mut probe = *cursor;
        match probe.word() {
            Some("ack") => tcp.ack = Some(probe.number()?),
            Some("win") => tcp.window = Some(probe.number()?),
            Some("urg") => tcp.urgent = Some(probe.number()?),
            _ => break,
        }
        *cursor = probe;
    }
    // `<` opens options only on the packet's own line; on the next it is a time-less packet.
    cursor.skip_blanks();
    if cursor.eat_raw("<") {
        tcp.options = options(cursor)?;
    }
    Ok(tcp)
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
    if cursor.eat_raw("-") {
        return Ok(0);
    }
    for letter in cursor.take_while(|c| !c.is_whitespace()).chars() {
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
            _ => return start.expected("TCP flags out of FSRP.UEWA, or -"),
        };
    }
    // The original reads letters and dot as two words, so a blank may part them.
    let mut probe = *cursor;
    if probe.eat(".") && probe.peek_raw().is_some_and(char::is_whitespace) {
        *cursor = probe;
        flags |= flag::ACK;
    }
    Ok(flags)
}

fn options(cursor: &mut Cursor<'_>) -> Result<Option<Vec<TcpOption>>, SyntaxError> {
    if cursor.eat("...") {
        cursor.need(">")?;
        return Ok(None);
    }
    let start = *cursor;
    let mut all = Vec::new();
    loop {
        if cursor.eat(">") {
            if wire::options_len(&all) > OPTIONS_MAX {
                return start.expected(format!("options of at most {OPTIONS_MAX} bytes"));
            }
            return Ok(Some(all));
        }
        if all.len() >= OPTIONS_MAX {
            return cursor.expected("`>`: a header holds no more options");
        }
        all.push(option(cursor)?);
        let _ = cursor.eat(",");
    }
}

fn option(cursor: &mut Cursor<'_>) -> Result<TcpOption, SyntaxError> {
    let start = *cursor;
    Ok(match cursor.word() {
        Some("nop") => TcpOption::Nop,
        Some("eol") => TcpOption::Eol,
        Some("mss") => TcpOption::Mss(cursor.number()?),
        Some("wscale") => TcpOption::Wscale(cursor.number()?),
        Some("sackOK") => TcpOption::SackPermitted,
        Some("sack") => TcpOption::Sack(sack(cursor)?),
        Some("TS") => {
            word(cursor, "val")?;
            let val = cursor.number()?;
            word(cursor, "ecr")?;
            TcpOption::Timestamp {
                val,
                ecr: cursor.number()?,
            }
        }
        Some("FO") => TcpOption::FastOpen(hex(cursor)?),
        Some("FOEXP") => TcpOption::FastOpenExperimental(hex(cursor)?),
        Some("md5") => match cursor.word() {
            Some("valid") => TcpOption::Md5 { valid: true },
            Some("invalid") => TcpOption::Md5 { valid: false },
            _ => return cursor.expected("`valid` or `invalid`"),
        },
        _ => return start.expected("a TCP option"),
    })
}

fn word(cursor: &mut Cursor<'_>, wanted: &str) -> Result<(), SyntaxError> {
    let start = *cursor;
    if cursor.word() == Some(wanted) {
        Ok(())
    } else {
        start.expected(format!("`{wanted}`"))
    }
}

fn sack(cursor: &mut Cursor<'_>) -> Result<Vec<(u32, u32)>, SyntaxError> {
    let mut blocks = Vec::new();
    while cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        let left = cursor.number()?;
        cursor.need(":")?;
        blocks.push((left, cursor.number()?));
        if blocks.len() > OPTIONS_MAX {
            return cursor.expected("fewer SACK blocks");
        }
    }
    Ok(blocks)
}

/// The bytes of a cookie; a missing half byte is refused.
fn hex(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, SyntaxError> {
    cursor.skip_blanks();
    let start = *cursor;
    let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
    if !digits.len().is_multiple_of(2) {
        return start.expected("an even number of hexadecimal digits");
    }
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or(0);
    Ok((0..digits.len()).step_by(2).map(byte).collect())
}

fn icmp(cursor: &mut Cursor<'_>) -> Result<Icmp, SyntaxError> {
    let Some(kind) = cursor.word() else {
        return cursor.expected("an ICMP type");
    };
    let mut icmp = Icmp {
        kind: kind.to_owned(),
        code: None,
        mtu: None,
        quoted_seq: None,
        quoted_len: 0,
        quoted_udp: None,
    };
    while let Some(name) = cursor.word() {
        if name == "mtu" {
            icmp.mtu = Some(cursor.number()?);
        } else {
            icmp.code = Some(name.to_owned());
        }
    }
    cursor.need("[")?;
    if !cursor.eat("...") {
        icmp.quoted_seq = Some(cursor.number()?);
        cursor.need(":")?;
        let _end: u32 = cursor.number()?;
        icmp.quoted_len = data_len(cursor)?;
    }
    icmp.quoted_udp = udp(cursor)?;
    cursor.need("]")?;
    Ok(icmp)
}

/// `/udp(9811 > 2)` right behind a packet.
fn udp(cursor: &mut Cursor<'_>) -> Result<Option<(u16, u16)>, SyntaxError> {
    if !cursor.eat_raw("/udp") {
        return Ok(None);
    }
    cursor.need("(")?;
    let source = cursor.number()?;
    cursor.need(">")?;
    let destination = cursor.number()?;
    cursor.need(")")?;
    Ok(Some((source, destination)))
}
