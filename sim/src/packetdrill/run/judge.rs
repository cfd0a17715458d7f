// SPDX-License-Identifier: BSD-2-Clause
//! Whether a packet is the one that the script expects, and how both look side by side.
//!
//! Every field that the script gives is judged, and what it leaves out has a meaning: no `urg` is an
//! urgent pointer of 0, no options are none, data are the zeros that were written. Only `...`, an absent
//! `win` and absent fields of the IP header leave a field open.

use super::flow::{self, Flow};
use crate::packetdrill::ast::{self, Body, IpSpec, TcpOption, flag};
use crate::packetdrill::wire::{self, Datagram, Frame, FrameBody, Segment};
use std::fmt::Write as _;

/// How far timestamps may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// Microseconds of a tick; 0 judges no timestamp.
    pub tick_us: u64,
    /// Microseconds that it may be off.
    pub tolerance_us: u64,
}

/// A part of a packet as a script writes it, with the fields that it shows.
struct Piece {
    fields: &'static [&'static str],
    text: String,
}

/// Both packets as the script would write them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Every field in which the seen packet is not the expected one; empty where it is.
    pub wrong: Vec<&'static str>,
    /// The expected packet.
    pub expected: String,
    /// The seen packet.
    pub seen: String,
    /// What is below the seen packet to point at what is wrong in it.
    pub marks: String,
}

/// Compares a packet of the stack with that of the script.
pub fn compare(
    packet: &ast::Packet,
    frame: &Frame,
    flow: &Flow,
    rule: TimestampRule,
) -> Comparison {
    let mut wrong = ip_differences(&packet.ip, frame);
    let seen = match (&packet.body, &frame.body) {
        (Body::Tcp(tcp), FrameBody::Tcp(segment)) => {
            let seen = flow.in_script_numbers(segment, tcp.absolute);
            wrong.extend(tcp_differences(tcp, &seen, rule));
            if packet.udp != segment.udp {
                wrong.push("UDP encapsulation");
            }
            segment_pieces(&seen)
        }
        (Body::Udp(len), FrameBody::Udp(datagram)) => {
            if usize::from(*len) != datagram.data.len() {
                wrong.push("length");
            } else if datagram.data.iter().any(|byte| *byte != 0) {
                wrong.push("data");
            }
            datagram_pieces(datagram)
        }
        (_, FrameBody::Tcp(segment)) => {
            wrong.push("transport");
            segment_pieces(&flow.in_script_numbers(segment, false))
        }
        (_, FrameBody::Udp(datagram)) => {
            wrong.push("transport");
            datagram_pieces(datagram)
        }
        (_, FrameBody::Other(proto, _)) => {
            wrong.push("transport");
            vec![Piece {
                fields: &["transport"],
                text: format!("protocol {proto}"),
            }]
        }
    };
    let mut pieces = ip_pieces(&packet.ip, frame);
    pieces.extend(seen);
    let (seen, marks) = line(&pieces, &wrong);
    Comparison {
        expected: expected(packet),
        wrong,
        seen,
        marks,
    }
}

fn ip_differences(spec: &IpSpec, frame: &Frame) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if spec.dscp.is_some_and(|dscp| dscp != frame.tos >> 2) {
        wrong.push("DSCP");
    }
    let ecn = frame.tos & 3;
    if spec.ecn.is_some_and(|wanted| wanted != ecn) || (spec.ect01 && !matches!(ecn, 1 | 2)) {
        wrong.push("ECN");
    }
    if spec.ttl.is_some_and(|ttl| ttl != frame.ttl) {
        wrong.push("TTL");
    }
    if spec
        .flow_label
        .is_some_and(|label| label != frame.flow_label)
    {
        wrong.push("flow label");
    }
    wrong
}

fn tcp_differences(tcp: &ast::Tcp, seen: &Segment, rule: TimestampRule) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let mut check = |same: bool, field| {
        if !same {
            wrong.push(field);
        }
    };
    check(seen.flags == tcp.flags, "flags");
    check(tcp.seq.is_none_or(|seq| seq == seen.seq), "sequence number");
    let same_length = seen.data.len() == tcp.len as usize;
    check(same_length, "length");
    check(!same_length || seen.data == flow::data(tcp), "data");
    // A field that does not count is 0 in what the stack sends, and in what a script leaves out.
    check(tcp.ack.unwrap_or(0) == seen.ack, "acknowledgement number");
    check(
        tcp.window.is_none_or(|window| window == seen.window),
        "window",
    );
    check(tcp.urgent.unwrap_or(0) == seen.urgent, "urgent pointer");
    if let Some(options) = &tcp.options {
        check(same_options(options, seen), "options");
        check(same_timestamp(options, tcp, seen, rule), "timestamp");
    }
    wrong
}

/// Whether the options are the same in their order and padding, timestamps' own values apart.
fn same_options(expected: &[TcpOption], seen: &Segment) -> bool {
    // What the script gives by its bytes is compared by its bytes.
    if let [TcpOption::Blob(bytes)] = expected {
        return *bytes == seen.option_bytes;
    }
    if expected.len() != seen.options.len() {
        return false;
    }
    let mut at = 0;
    expected
        .iter()
        .zip(&seen.options)
        .all(|(expected, seen_option)| {
            let len = wire::one_option(seen_option).len();
            let bytes = seen.option_bytes.get(at..at + len).unwrap_or_default();
            at += len;
            match (expected, seen_option) {
                (TcpOption::Timestamp { ecr, .. }, TcpOption::Timestamp { ecr: seen, .. }) => {
                    ecr == seen
                }
                (TcpOption::Md5 { valid }, TcpOption::Md5 { valid: seen }) => valid == seen,
                (expected, _) => wire::one_option(expected) == bytes,
            }
        })
}

fn same_timestamp(
    options: &[TcpOption],
    tcp: &ast::Tcp,
    seen: &Segment,
    rule: TimestampRule,
) -> bool {
    let timestamp = |options: &[TcpOption]| {
        options.iter().find_map(|option| match option {
            TcpOption::Timestamp { val, .. } => Some(*val),
            _ => None,
        })
    };
    match (timestamp(options), timestamp(&seen.options)) {
        (Some(expected), Some(seen)) if rule.tick_us > 0 && !tcp.ts_val_any => {
            let off = expected.wrapping_sub(seen).min(seen.wrapping_sub(expected));
            u64::from(off).saturating_mul(rule.tick_us) <= rule.tolerance_us
        }
        _ => true,
    }
}

/// The expected packet as the script would write it.
pub fn expected(packet: &ast::Packet) -> String {
    let mut pieces = spec_pieces(&packet.ip);
    match &packet.body {
        Body::Tcp(tcp) => pieces.extend(tcp_pieces(tcp, packet.udp)),
        Body::Udp(len) => pieces.push(Piece {
            fields: &[],
            text: format!("udp ({len})"),
        }),
        Body::Icmp(icmp) => pieces.push(Piece {
            fields: &[],
            text: format!("icmp type_{} code_{}", icmp.kind, icmp.code),
        }),
    }
    line(&pieces, &[]).0
}

/// A packet of either side as a script would write it.
pub fn describe(frame: &Frame, flow: &Flow, from_stack: bool) -> String {
    let pieces = match &frame.body {
        FrameBody::Tcp(segment) if from_stack => {
            segment_pieces(&flow.in_script_numbers(segment, false))
        }
        FrameBody::Tcp(segment) => segment_pieces(&flow.as_script_wrote(segment)),
        FrameBody::Udp(datagram) => datagram_pieces(datagram),
        FrameBody::Other(1 | 58, message) => vec![Piece {
            fields: &[],
            text: match message.as_slice() {
                [kind, code, ..] => format!("icmp type_{kind} code_{code}"),
                _ => "icmp".to_owned(),
            },
        }],
        FrameBody::Other(proto, _) => vec![Piece {
            fields: &[],
            text: format!("protocol {proto}"),
        }],
    };
    line(&pieces, &[]).0
}

/// The pieces in a line, and a line of carets below those that show a wrong field; what is missing is
/// pointed at behind the end.
fn line(pieces: &[Piece], wrong: &[&'static str]) -> (String, String) {
    let mut text = String::new();
    let mut marks = String::new();
    let shown = |field: &&str| pieces.iter().any(|piece| piece.fields.contains(field));
    for piece in pieces {
        if !text.is_empty() {
            text.push(' ');
            marks.push(' ');
        }
        let bad = piece.fields.iter().any(|field| wrong.contains(field));
        text.push_str(&piece.text);
        marks.extend(piece.text.chars().map(|_| if bad { '^' } else { ' ' }));
    }
    if wrong.iter().any(|field| !shown(field)) {
        marks.push_str(" ^");
    }
    (text, marks.trim_end().to_owned())
}

fn spec_pieces(spec: &IpSpec) -> Vec<Piece> {
    let ecn = |ecn: u8| ["noecn", "ect1", "ect0", "ce"][usize::from(ecn & 3)];
    let fields = [
        spec.ttl.map(|ttl| format!("ttl {ttl}")),
        spec.dscp.map(|dscp| format!("dscp {dscp:#04x}")),
        spec.ecn.map(|code| format!("ecn {}", ecn(code))),
        spec.ect01.then(|| "ecn ect01".to_owned()),
        spec.flow_label
            .map(|label| format!("flowlabel {label:#07x}")),
    ];
    let fields: Vec<String> = fields.into_iter().flatten().collect();
    if fields.is_empty() {
        return Vec::new();
    }
    vec![Piece {
        fields: &["TTL", "DSCP", "ECN", "flow label"],
        text: format!("({})", fields.join(", ")),
    }]
}

/// Of the seen IP header what the script speaks of.
fn ip_pieces(spec: &IpSpec, frame: &Frame) -> Vec<Piece> {
    spec_pieces(&IpSpec {
        dscp: spec.dscp.map(|_| frame.tos >> 2),
        ecn: (spec.ecn.is_some() || spec.ect01).then_some(frame.tos & 3),
        ect01: false,
        ttl: spec.ttl.map(|_| frame.ttl),
        flow_label: spec.flow_label.map(|_| frame.flow_label),
    })
}

fn datagram_pieces(datagram: &Datagram) -> Vec<Piece> {
    vec![Piece {
        fields: &["transport", "length", "data"],
        text: format!("udp ({})", datagram.data.len()),
    }]
}

fn tcp_pieces(tcp: &ast::Tcp, udp: Option<(u16, u16)>) -> Vec<Piece> {
    let mut pieces = segment_pieces(&Segment {
        sport: 0,
        dport: 0,
        seq: tcp.seq.unwrap_or(0),
        ack: tcp.ack.unwrap_or(0),
        flags: tcp.flags,
        window: tcp.window.unwrap_or(0),
        urgent: tcp.urgent.unwrap_or(0),
        options: tcp.options.clone().unwrap_or_else(|| vec![TcpOption::Nop]),
        option_bytes: Vec::new(),
        data: flow::data(tcp),
        udp,
    });
    for piece in &mut pieces {
        if tcp.seq.is_none() && piece.fields.contains(&"sequence number") {
            piece.text = format!("...({})", tcp.len);
        }
        if tcp.options.is_none() && piece.fields.contains(&"options") {
            piece.text = "<...>".into();
        }
    }
    pieces.retain(|piece| tcp.window.is_some() || !piece.fields.contains(&"window"));
    pieces
}

fn segment_pieces(segment: &Segment) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut piece = |fields, text| pieces.push(Piece { fields, text });
    piece(&["flags", "transport"], flags(segment.flags));
    let len = segment.data.len();
    let end = segment
        .seq
        .wrapping_add(u32::try_from(len).unwrap_or(u32::MAX));
    piece(
        &["sequence number", "length", "data"],
        format!("{}:{end}({len})", segment.seq),
    );
    if segment.flags & flag::ACK != 0 || segment.ack != 0 {
        piece(&["acknowledgement number"], format!("ack {}", segment.ack));
    }
    piece(&["window"], format!("win {}", segment.window));
    if segment.urgent != 0 {
        piece(&["urgent pointer"], format!("urg {}", segment.urgent));
    }
    if !segment.options.is_empty() {
        let options: Vec<String> = segment.options.iter().map(option).collect();
        piece(
            &["options", "timestamp"],
            format!("<{}>", options.join(",")),
        );
    }
    if let Some((from, to)) = segment.udp {
        piece(&["UDP encapsulation"], format!("/udp({from} > {to})"));
    }
    pieces
}

fn flags(flags: u16) -> String {
    let letters = [
        (flag::AE, 'A'),
        (flag::CWR, 'W'),
        (flag::ECE, 'E'),
        (flag::URG, 'U'),
        (flag::SYN, 'S'),
        (flag::FIN, 'F'),
        (flag::RST, 'R'),
        (flag::PSH, 'P'),
        (flag::ACK, '.'),
    ];
    let text: String = letters
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    if text.is_empty() { "-".into() } else { text }
}

fn option(option: &TcpOption) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let with = |name: &str, bytes: &[u8]| format!("{name} {}", hex(bytes)).trim_end().to_owned();
    match option {
        TcpOption::Nop => "nop".into(),
        TcpOption::Eol => "eol".into(),
        TcpOption::Mss(mss) => format!("mss {mss}"),
        TcpOption::Wscale(shift) => format!("wscale {shift}"),
        TcpOption::SackPermitted => "sackOK".into(),
        TcpOption::Sack(blocks) => {
            let blocks: Vec<String> = blocks.iter().map(|(l, r)| format!("{l}:{r}")).collect();
            format!("sack {}", blocks.join(" "))
        }
        TcpOption::Timestamp { val, ecr } => format!("TS val {val} ecr {ecr}"),
        TcpOption::FastOpen(cookie) => with("FO", cookie),
        TcpOption::FastOpenExperimental(cookie) => with("exp-FO", cookie),
        TcpOption::Md5 { valid: true } => "md5 valid".into(),
        TcpOption::Md5 { valid: false } => "md5 invalid".into(),
        TcpOption::Raw(kind, payload) => with(&format!("gen-{kind}"), payload),
        TcpOption::Blob(bytes) => hex(bytes),
    }
}
