// SPDX-License-Identifier: BSD-2-Clause
//! ICMP messages of a script, with the numbers of their names (RFC 792, RFC 1812, RFC 4443, RFC 4861):
//! `icmp unreachable frag_needed mtu 1200 [1:1461(1460)]`.

use super::ast::{Icmp, Options, Quoted, SyntaxError};
use super::cursor::Cursor;
use super::packet_syntax::{sequence, udp};

/// Type of a router advertisement in ICMPv6.
pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;

type Codes = &'static [(&'static str, u8)];

/// Types of ICMP with their codes.
const V4: [(&str, u8, Codes); 13] = [
    ("echo_reply", 0, &[]),
    (
        "unreachable",
        3,
        &[
            ("net_unreachable", 0),
            ("host_unreachable", 1),
            ("protocol_unreachable", 2),
            ("port_unreachable", 3),
            ("frag_needed", 4),
            ("source_route_failed", 5),
            ("net_unknown", 6),
            ("host_unknown", 7),
            ("source_host_isolated", 8),
            ("net_prohibited", 9),
            ("host_prohibited", 10),
            ("net_unreachable_for_tos", 11),
            ("host_unreachable_for_tos", 12),
            ("packet_filtered", 13),
            ("communication_prohibited", 13),
            ("admin_prohibited", 13),
            ("precedence_violation", 14),
            ("host_precedence_violation", 14),
            ("precedence_cutoff", 15),
        ],
    ),
    ("source_quench", 4, &[]),
    ("redirect", 5, &[]),
    ("echo_request", 8, &[]),
    (
        "time_exceeded",
        11,
        &[
            ("ttl_exceeded_in_transit", 0),
            ("exceeded_hop_limit", 0),
            ("frag_reass_exceeded", 1),
            ("exceeded_frag_time", 1),
        ],
    ),
    (
        "parameter_problem",
        12,
        &[
            ("header_field", 0),
            ("unknown_option", 1),
            ("bad_length", 2),
        ],
    ),
    ("timestamp_request", 13, &[]),
    ("timestamp_reply", 14, &[]),
    ("information_request", 15, &[]),
    ("information_reply", 16, &[]),
    ("address_mask_request", 17, &[]),
    ("address_mask_reply", 18, &[]),
];

/// Types of ICMPv6 with their codes.
const V6: [(&str, u8, Codes); 7] = [
    (
        "unreachable",
        1,
        &[
            ("no_route", 0),
            ("admin_prohibited", 1),
            ("not_neighbour", 2),
            ("address_unreachable", 3),
            ("port_unreachable", 4),
        ],
    ),
    ("packet_too_big", 2, &[]),
    (
        "time_exceeded",
        3,
        &[("exceeded_hop_limit", 0), ("exceeded_frag_time", 1)],
    ),
    (
        "parameter_problem",
        4,
        &[
            ("header_field", 0),
            ("unknown_next_header", 1),
            ("unknown_option", 2),
        ],
    ),
    ("echo_request", 128, &[]),
    ("echo_reply", 129, &[]),
    ("router_advertisement", ROUTER_ADVERTISEMENT, &[]),
];

/// Parses a message, from behind the word `icmp`.
pub(super) fn icmp(cursor: &mut Cursor<'_>, options: &Options) -> Result<Icmp, SyntaxError> {
    let (kind, codes) = kind(cursor, options.ipv6)?;
    let mut icmp = Icmp::new(kind, code(cursor, codes)?);
    let start = *cursor;
    for name in ["mtu", "id"] {
        let mut probe = *cursor;
        if probe.word() != Some(name) {
            continue;
        }
        match name {
            "mtu" => icmp.mtu = Some(probe.number()?),
            _ => icmp.id = probe.number()?,
        }
        *cursor = probe;
    }
    check_mtu(&start, &icmp, options.ipv6)?;
    // On its own line only: on the next, `[` would begin nothing.
    cursor.skip_blanks();
    if cursor.eat_raw("[") {
        icmp.quoted = quoted(cursor)?;
        cursor.need("]")?;
    }
    Ok(icmp)
}

/// A type and a code as scripts write them, `icmp unreachable frag_needed`; by their numbers where they have no
/// name.
pub(super) fn name(kind: u8, code: u8, ipv6: bool) -> String {
    let (family, table): (_, &[(&str, u8, Codes)]) = match ipv6 {
        true => ("icmpv6", &V6),
        false => ("icmp", &V4),
    };
    let known = table.iter().find(|(_, number, _)| *number == kind);
    let (kind, codes) = match known {
        Some((name, _, codes)) => ((*name).to_owned(), *codes),
        None => (format!("type_{kind}"), &[] as Codes),
    };
    let code = match codes.iter().find(|(_, number)| *number == code) {
        Some((name, _)) => format!(" {name}"),
        None if code == 0 => String::new(),
        None => format!(" code_{code}"),
    };
    format!("{family} {kind}{code}")
}

fn check_mtu(start: &Cursor<'_>, icmp: &Icmp, ipv6: bool) -> Result<(), SyntaxError> {
    let needs = ipv6 && matches!(icmp.kind, 2 | ROUTER_ADVERTISEMENT);
    match icmp.mtu {
        None if needs => start.expected("`mtu N`, which this type needs"),
        Some(_) if !ipv6 && (icmp.kind, icmp.code) != (3, 4) => {
            start.expected("no mtu: only `unreachable frag_needed` has one")
        }
        Some(_) if ipv6 && !needs => start.expected("no mtu: this type has none"),
        Some(mtu) if !ipv6 && mtu > 0xffff => start.expected("an mtu of 16 bits"),
        _ => Ok(()),
    }
}

fn kind(cursor: &mut Cursor<'_>, ipv6: bool) -> Result<(u8, Codes), SyntaxError> {
    let table: &[(&str, u8, Codes)] = if ipv6 { &V6 } else { &V4 };
    let start = *cursor;
    let name = cursor.word().unwrap_or_default();
    if let Some(Ok(number)) = name.strip_prefix("type_").map(str::parse) {
        return Ok((number, &[]));
    }
    match table.iter().find(|(known, _, _)| *known == name) {
        Some((_, number, codes)) => Ok((*number, codes)),
        None => {
            let names: Vec<&str> = table.iter().map(|(name, _, _)| *name).collect();
            let family = if ipv6 { "ICMPv6" } else { "ICMP" };
            start.instead(format!(
                "a type of {family} ({} or type_N)",
                names.join(", ")
            ))
        }
    }
}

fn code(cursor: &mut Cursor<'_>, codes: Codes) -> Result<u8, SyntaxError> {
    let mut probe = *cursor;
    let Some(name) = probe.word().filter(|name| !matches!(*name, "mtu" | "id")) else {
        return Ok(0);
    };
    let start = *cursor;
    *cursor = probe;
    if let Some(Ok(number)) = name.strip_prefix("code_").map(str::parse) {
        return Ok(number);
    }
    match codes.iter().find(|(known, _)| *known == name) {
        Some((_, number)) => Ok(*number),
        None => {
            let names: Vec<&str> = codes.iter().map(|(name, _)| *name).collect();
            start.instead(format!(
                "a code of this type ({} or code_N)",
                names.join(", ")
            ))
        }
    }
}

fn quoted(cursor: &mut Cursor<'_>) -> Result<Quoted, SyntaxError> {
    let mut probe = *cursor;
    match probe.word() {
        Some("udp") => {
            *cursor = probe;
            cursor.need("(")?;
            let len = cursor.number()?;
            cursor.need(")")?;
            return Ok(Quoted::Udp(len));
        }
        Some(_) => return cursor.expected("a quoted segment, `SEQ:SEQ(LEN)`, or `udp(LEN)`"),
        None => {}
    }
    let sequence = sequence(cursor)?;
    Ok(Quoted::Tcp {
        seq: sequence.seq,
        len: sequence.len,
        udp: udp(cursor)?,
    })
}
