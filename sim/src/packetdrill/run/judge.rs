// SPDX-License-Identifier: BSD-2-Clause
//! Whether a packet is the one that the script expects, and how both look side by side.

use super::flow::Flow;
use crate::packetdrill::ast::{self, Body, TcpOption, flag};
use crate::packetdrill::wire::{Frame, Segment};
use std::fmt::Write as _;

/// Names every field in which the seen packet is not the expected one; empty where it is.
pub fn differences(packet: &ast::Packet, frame: &Frame, flow: &Flow) -> Vec<&'static str> {
    let Body::Tcp(tcp) = &packet.body else {
        return vec!["a TCP segment was not expected"];
    };
    let Some(segment) = frame.segment() else {
        return vec!["not TCP"];
    };
    let seen = flow.in_script_numbers(segment, tcp.absolute);
    let mut wrong = Vec::new();
    let mut check = |same: bool, field| {
        if !same {
            wrong.push(field);
        }
    };
    check(seen.flags == tcp.flags, "flags");
    check(tcp.seq.is_none_or(|seq| seq == seen.seq), "sequence number");
    check(seen.data.len() == tcp.len as usize, "length");
    check(
        tcp.ack.is_none_or(|ack| ack == seen.ack),
        "acknowledgement number",
    );
    check(
        tcp.ack.is_some() == (seen.flags & flag::ACK != 0),
        "acknowledgement",
    );
    check(
        tcp.window.is_none_or(|window| window == seen.window),
        "window",
    );
    check(tcp.urgent.unwrap_or(0) == seen.urgent, "urgent pointer");
    check(
        tcp.options
            .as_ref()
            .is_none_or(|options| *options == seen.options),
        "options",
    );
    check(packet.udp == segment.udp, "UDP encapsulation");
    check(
        packet.ip.dscp.is_none_or(|dscp| dscp == frame.tos >> 2),
        "DSCP",
    );
    check(packet.ip.ecn.is_none_or(|ecn| ecn == frame.tos & 3), "ECN");
    check(packet.ip.ttl.is_none_or(|ttl| ttl == frame.ttl), "TTL");
    check(
        frame.dst == flow.remote.ip() && frame.src == flow.local.ip(),
        "addresses",
    );
    check(segment.dport == flow.remote.port(), "destination port");
    check(
        flow.local.port() == 0 || segment.sport == flow.local.port(),
        "source port",
    );
    wrong
}

/// A packet of the stack as a script would write it.
pub fn describe(frame: &Frame, flow: &Flow, absolute: bool) -> String {
    match frame.segment() {
        Some(segment) => describe_segment(&flow.in_script_numbers(segment, absolute)),
        None => format!("{:?}", frame.body),
    }
}

/// The expected packet in the same form.
pub fn describe_expected(tcp: &ast::Tcp, udp: Option<(u16, u16)>) -> String {
    let mut text = describe_segment(&Segment {
        sport: 0,
        dport: 0,
        seq: tcp.seq.unwrap_or(0),
        ack: tcp.ack.unwrap_or(0),
        flags: tcp.flags,
        window: tcp.window.unwrap_or(0),
        urgent: tcp.urgent.unwrap_or(0),
        options: tcp.options.clone().unwrap_or_default(),
        data: vec![0; tcp.len as usize],
        udp,
    });
    for (absent, field) in [
        (tcp.seq.is_none(), "any seq"),
        (tcp.window.is_none(), "any win"),
        (tcp.options.is_none(), "any options"),
    ] {
        if absent {
            let _ = write!(text, " [{field}]");
        }
    }
    text
}

fn describe_segment(segment: &Segment) -> String {
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
    let mut text: String = letters
        .iter()
        .filter(|(bit, _)| segment.flags & bit != 0)
        .map(|(_, l)| l)
        .collect();
    if text.is_empty() {
        text.push('-');
    }
    let len = segment.data.len();
    let end = segment
        .seq
        .wrapping_add(u32::try_from(len).unwrap_or(u32::MAX));
    let _ = write!(text, " {}:{end}({len})", segment.seq);
    if segment.flags & flag::ACK != 0 {
        let _ = write!(text, " ack {}", segment.ack);
    }
    let _ = write!(text, " win {}", segment.window);
    if segment.urgent != 0 {
        let _ = write!(text, " urg {}", segment.urgent);
    }
    if !segment.options.is_empty() {
        let options: Vec<String> = segment.options.iter().map(describe_option).collect();
        let _ = write!(text, " <{}>", options.join(","));
    }
    if let Some((from, to)) = segment.udp {
        let _ = write!(text, "/udp({from} > {to})");
    }
    text
}

fn describe_option(option: &TcpOption) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
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
        TcpOption::FastOpen(cookie) => format!("FO {}", hex(cookie)).trim_end().to_owned(),
        TcpOption::FastOpenExperimental(cookie) => format!("FOEXP {}", hex(cookie)),
        TcpOption::Md5 { valid: true } => "md5 valid".into(),
        TcpOption::Md5 { valid: false } => "md5 invalid".into(),
        TcpOption::Raw(kind, payload) => format!("kind {kind} {}", hex(payload)),
    }
}
