// SPDX-License-Identifier: BSD-2-Clause
//! Fields of the IP header before a packet's flags: `(ttl 64, tos 0x02)`, `[ect0]`, `(dscp af11, ecn ce)`.

use super::ast::{IpSpec, SyntaxError};
use super::cursor::Cursor;

/// Parses `( ... )` or `[ ... ]`, if there is one.
pub(super) fn ip(cursor: &mut Cursor<'_>) -> Result<IpSpec, SyntaxError> {
    let mut spec = IpSpec::default();
    let end = if cursor.eat("(") {
        ")"
    } else if cursor.eat("[") {
        "]"
    } else {
        return Ok(spec);
    };
    loop {
        field(cursor, &mut spec)?;
        if !cursor.eat(",") {
            break;
        }
    }
    cursor.need(end)?;
    Ok(spec)
}

fn field(cursor: &mut Cursor<'_>, spec: &mut IpSpec) -> Result<(), SyntaxError> {
    cursor.skip();
    let start = *cursor;
    let taken = |there: bool| match there {
        true => start.expected("a field that is not set yet"),
        false => Ok(()),
    };
    match cursor.word() {
        Some("ttl" | "hlim") => spec.ttl = Some(cursor.number()?),
        Some("tos" | "class") => {
            taken(spec.dscp.is_some() || spec.ecn.is_some() || spec.ect01)?;
            let tos: u8 = cursor.number()?;
            spec.dscp = Some(tos >> 2);
            spec.ecn = Some(tos & 3);
        }
        Some("flowlabel") => {
            let before = *cursor;
            let label: u32 = cursor.number()?;
            if label >= 1 << 20 {
                return before.expected("a flow label of 20 bits");
            }
            spec.flow_label = Some(label);
        }
        Some("dscp") => {
            taken(spec.dscp.is_some())?;
            spec.dscp = Some(dscp(cursor)?);
        }
        Some("ecn") => {
            taken(spec.ecn.is_some() || spec.ect01)?;
            let before = *cursor;
            let name = cursor.word();
            if !ecn(spec, name.unwrap_or_default()) {
                return before.instead("noecn, ect0, ect1, ect01 or ce");
            }
        }
        Some(name) => {
            taken(spec.ecn.is_some() || spec.ect01)?;
            if !ecn(spec, name) {
                return start.instead(
                    "`ttl`, `hlim`, `tos`, `class`, `dscp`, `ecn`, `flowlabel` or an ECN code point",
                );
            }
        }
        None => return start.expected("a field of the IP header"),
    }
    Ok(())
}

/// Code points of RFC 3168, section 5; whether `name` is one.
fn ecn(spec: &mut IpSpec, name: &str) -> bool {
    spec.ecn = match name {
        "noecn" => Some(0),
        "ect1" => Some(1),
        "ect0" => Some(2),
        "ce" => Some(3),
        "ect01" => {
            spec.ect01 = true;
            None
        }
        _ => return false,
    };
    true
}

/// Code points of the IANA registry `dscp-registry`.
fn dscp(cursor: &mut Cursor<'_>) -> Result<u8, SyntaxError> {
    cursor.skip();
    let start = *cursor;
    let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '-');
    let known = match name {
        "ef" => Some(0x2e),
        "voice-admit" => Some(0x2c),
        "le" => Some(1),
        _ => match (name.get(..2), name.get(2..)) {
            (Some("cs"), Some(class)) => class.parse().ok().filter(|n| *n < 8).map(|n: u8| n << 3),
            (Some("af"), Some(class)) => class.parse().ok().and_then(assured),
            (Some("0x"), Some(digits)) => u8::from_str_radix(digits, 16).ok().filter(|n| *n < 64),
            _ => None,
        },
    };
    match known {
        Some(dscp) => Ok(dscp),
        None => start.instead("0x00 to 0x3f, cs0 to cs7, af11 to af43, ef, voice-admit or le"),
    }
}

/// `af11` to `af43` (RFC 2597, section 6).
fn assured(digits: u8) -> Option<u8> {
    let (class, drop) = (digits / 10, digits % 10);
    ((1..=4).contains(&class) && (1..=3).contains(&drop)).then_some(class << 3 | drop << 1)
}
