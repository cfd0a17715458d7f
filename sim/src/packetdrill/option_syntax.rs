// SPDX-License-Identifier: BSD-2-Clause
//! TCP options of a packet: `<mss 1460,nop,wscale 6>`, `<...>`, `<020405b4>`.

use super::ast::{SyntaxError, Tcp, TcpOption};
use super::cursor::Cursor;
use super::packet_syntax::word;
use super::wire;

/// TCP options hold 40 bytes, so no packet has more of them (RFC 9293, section 3.1).
const OPTIONS_MAX: usize = 40;

/// What the dialect calls options, for a complaint.
const KNOWN: &str = "nop, eol, mss, wscale, sackOK, sack, TS, FO, exp-FO, md5, AccECN0, AccECN1, exp-AccECN0, \
                     exp-AccECN1, exp-tarr, gen-KIND or exp-EXID";

/// Kinds that the dialect writes by name and that are compared by their bytes.
pub(super) const EXPERIMENTAL: u8 = 254;
pub(super) const MD5: u8 = 19;
pub(super) const ACC_ECN_0: u8 = 172;
pub(super) const ACC_ECN_1: u8 = 174;

/// Experiment identifiers of the older forms (nplab's `tcp.h`).
pub(super) const ACC_ECN_0_EXID: u16 = 0xacc0;
pub(super) const ACC_ECN_1_EXID: u16 = 0xacc1;
pub(super) const TARR_EXID: u16 = 0x00ac;

/// The counters of the two forms of accurate ECN, in their order (RFC 9768, section 3.2.3).
pub(super) const COUNTERS_0: [&str; 3] = ["ee0b", "eceb", "ee1b"];
pub(super) const COUNTERS_1: [&str; 3] = ["ee1b", "eceb", "ee0b"];

/// Parses options, from behind their `<` to their `>`.
pub(super) fn options(cursor: &mut Cursor<'_>, tcp: &mut Tcp) -> Result<(), SyntaxError> {
    let start = *cursor;
    if cursor.eat("...") {
        tcp.options = None;
        return cursor.need(">");
    }
    let all = match blob(cursor) {
        Some(bytes) => vec![TcpOption::Blob(bytes)],
        None => list(cursor, tcp)?,
    };
    let len = wire::options_len(&all);
    if len > OPTIONS_MAX {
        return start.expected(format!("options of at most {OPTIONS_MAX} bytes"));
    }
    if !len.is_multiple_of(4) {
        return start.expected(format!(
            "options of a multiple of 4 bytes, not {len}: fill them with nop or eol"
        ));
    }
    tcp.options = Some(all);
    Ok(())
}

fn list(cursor: &mut Cursor<'_>, tcp: &mut Tcp) -> Result<Vec<TcpOption>, SyntaxError> {
    let mut all = Vec::new();
    loop {
        if all.len() >= OPTIONS_MAX {
            return cursor.expected("`>`: a header holds no more options");
        }
        all.push(option(cursor, tcp)?);
        if cursor.eat(">") {
            return Ok(all);
        }
        if !cursor.eat(",") {
            return cursor.instead("`,` or `>`");
        }
    }
}

/// All options by their bytes.
fn blob(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let mut probe = *cursor;
    probe.skip();
    let digits = probe.take_while(|c| c.is_ascii_hexdigit());
    if digits.is_empty() || !probe.eat(">") {
        return None;
    }
    let bytes = bytes(digits)?;
    *cursor = probe;
    Some(bytes)
}

fn option(cursor: &mut Cursor<'_>, tcp: &mut Tcp) -> Result<TcpOption, SyntaxError> {
    cursor.skip();
    let start = *cursor;
    let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    Ok(match name {
        "nop" => TcpOption::Nop,
        "eol" => TcpOption::Eol,
        "mss" => TcpOption::Mss(cursor.number()?),
        "wscale" => TcpOption::Wscale(cursor.number()?),
        "sackOK" => TcpOption::SackPermitted,
        "sack" => TcpOption::Sack(sack(cursor)?),
        "TS" => timestamp(cursor, tcp)?,
        "FO" => TcpOption::FastOpen(hex(cursor)?),
        "exp-FO" | "EXP-FO" => TcpOption::FastOpenExperimental(hex(cursor)?),
        "md5" => md5(cursor)?,
        "AccECN0" => TcpOption::Raw(ACC_ECN_0, counters(cursor, COUNTERS_0)?),
        "AccECN1" => TcpOption::Raw(ACC_ECN_1, counters(cursor, COUNTERS_1)?),
        "exp-AccECN0" => experiment(ACC_ECN_0_EXID, counters(cursor, COUNTERS_0)?),
        "exp-AccECN1" => experiment(ACC_ECN_1_EXID, counters(cursor, COUNTERS_1)?),
        "exp-tarr" => {
            let rate = if cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
                let start = *cursor;
                let rate: u8 = cursor.number()?;
                if rate > 127 {
                    return start.expected("a rate of 7 bits");
                }
                vec![rate << 1]
            } else {
                Vec::new()
            };
            experiment(TARR_EXID, rate)
        }
        _ => match (name.strip_prefix("gen-"), name.strip_prefix("exp-")) {
            (Some(kind), _) => match kind.parse() {
                Ok(kind) => TcpOption::Raw(kind, hex(cursor)?),
                Err(_) => return start.expected("gen-0 to gen-255"),
            },
            (_, Some(id)) => match u16::from_str_radix(id, 16) {
                Ok(id) => experiment(id, hex(cursor)?),
                Err(_) => return start.expected("exp-0000 to exp-ffff"),
            },
            _ => return start.instead(format!("a TCP option ({KNOWN})")),
        },
    })
}

fn experiment(id: u16, payload: Vec<u8>) -> TcpOption {
    TcpOption::Raw(EXPERIMENTAL, [&id.to_be_bytes()[..], &payload].concat())
}

fn timestamp(cursor: &mut Cursor<'_>, tcp: &mut Tcp) -> Result<TcpOption, SyntaxError> {
    word(cursor, "val")?;
    let val = if cursor.eat("...") {
        tcp.ts_val_any = true;
        0
    } else {
        cursor.number()?
    };
    word(cursor, "ecr")?;
    let ecr = cursor.number()?;
    tcp.ts_ecr_absolute = cursor.eat("!");
    Ok(TcpOption::Timestamp { val, ecr })
}

fn md5(cursor: &mut Cursor<'_>) -> Result<TcpOption, SyntaxError> {
    let start = *cursor;
    match cursor.word() {
        Some("valid") => return Ok(TcpOption::Md5 { valid: true }),
        Some("invalid") => return Ok(TcpOption::Md5 { valid: false }),
        _ => *cursor = start,
    }
    let digest = hex(cursor)?;
    if digest.len() != 16 {
        return start.expected("`valid`, `invalid` or 32 hexadecimal digits");
    }
    Ok(TcpOption::Raw(MD5, digest))
}

/// Counters of 24 bits each, the later ones only behind the earlier (RFC 9768, section 3.2.3).
fn counters(cursor: &mut Cursor<'_>, names: [&str; 3]) -> Result<Vec<u8>, SyntaxError> {
    let mut payload = Vec::new();
    for name in names {
        let mut probe = *cursor;
        if probe.word() != Some(name) {
            break;
        }
        *cursor = probe;
        let start = *cursor;
        let count: u32 = cursor.number()?;
        if count >= 1 << 24 {
            return start.expected("a counter of 24 bits");
        }
        payload.extend_from_slice(&count.to_be_bytes()[1..]);
    }
    Ok(payload)
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
    if blocks.is_empty() {
        return cursor.expected("a SACK block, `LEFT:RIGHT`");
    }
    Ok(blocks)
}

/// The bytes of a cookie or a payload; a missing half byte is refused.
fn hex(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, SyntaxError> {
    cursor.skip_blanks();
    let start = *cursor;
    let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
    match bytes(digits) {
        Some(bytes) => Ok(bytes),
        None => start.expected("an even number of hexadecimal digits"),
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| {
        digits
            .get(at..at + 2)
            .and_then(|d| u8::from_str_radix(d, 16).ok())
    };
    (0..digits.len()).step_by(2).map(byte).collect()
}
