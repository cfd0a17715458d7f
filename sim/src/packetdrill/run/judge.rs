// SPDX-License-Identifier: BSD-2-Clause
//! Whether a packet is the one that the script expects, and how both look side by side.
//!
//! Every field that the script gives is judged, and what it leaves out has a meaning: no `urg` is an
//! urgent pointer of 0, no options are none, data are the zeros that were written. Only `...`, an absent
//! `win` and absent fields of the IP header leave a field open.

use super::flow::{self, Flow};
use super::read;
use crate::packetdrill::ast::{self, Body, IpSpec, TcpOption};
use crate::packetdrill::packet_text::{self, PacketText};
use crate::packetdrill::wire::{self, Frame, FrameBody, Segment};

/// How far timestamps may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// Microseconds of a tick; 0 judges no timestamp.
    pub tick_us: u64,
    /// Microseconds that it may be off.
    pub tolerance_us: u64,
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
    let ipv6 = frame.src.is_ipv6();
    let mut wrong = ip_differences(&packet.ip, frame);
    let mut odd = Vec::new();
    let mut shown = read::body(frame, flow, absolute(packet));
    match (&packet.body, &frame.body) {
        (Body::Tcp(tcp), FrameBody::Tcp(segment)) => {
            let seen = flow.in_script_numbers(segment, tcp.absolute);
            wrong.extend(tcp_differences(tcp, &seen, rule));
            odd = odd_options(tcp, &seen, &wrong);
            if packet.udp != segment.udp {
                wrong.push("UDP encapsulation");
            }
            if let (Some([TcpOption::Blob(_)]), Some(Body::Tcp(shown))) =
                (tcp.options.as_deref(), &mut shown)
            {
                // Bytes beside bytes.
                let bytes = Some(seen.option_bytes).filter(|bytes| !bytes.is_empty());
                shown.options = Some(bytes.map(TcpOption::Blob).into_iter().collect());
            }
        }
        (Body::Udp(len), FrameBody::Udp(datagram)) => {
            if usize::from(*len) != datagram.data.len() {
                wrong.push("length");
            } else if datagram.data.iter().any(|byte| *byte != 0) {
                wrong.push("data");
            }
        }
        _ => wrong.push("transport"),
    }
    let seen = shown.map(|body| ast::Packet {
        direction: ast::Direction::Out,
        ip: told_of(&packet.ip, frame),
        body,
        udp: frame.segment().and_then(|segment| segment.udp),
        ports: packet.ports,
    });
    let seen = seen.map_or_else(
        || read::unreadable(frame),
        |seen| PacketText::new(&seen, ipv6),
    );
    let (seen, marks) = seen.marked(&wrong, &odd);
    Comparison {
        expected: expected(packet),
        wrong,
        seen,
        marks,
    }
}

/// Whether the script counts the packet's numbers as they stand in it.
fn absolute(packet: &ast::Packet) -> bool {
    matches!(&packet.body, Body::Tcp(tcp) if tcp.absolute)
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
    let same = same_option(expected, seen);
    expected.len() == seen.options.len() && (0..expected.len()).all(|i| same(i, i))
}

/// Compares options by their indices.
fn same_option<'a>(
    expected: &'a [TcpOption],
    seen: &'a Segment,
) -> impl Fn(usize, usize) -> bool + 'a {
    let mut rest = seen.option_bytes.as_slice();
    let bytes: Vec<&[u8]> = seen
        .options
        .iter()
        .map(|option| {
            let len = wire::one_option(option).len().min(rest.len());
            let (bytes, after) = rest.split_at(len);
            rest = after;
            bytes
        })
        .collect();
    move |i, j| match (expected.get(i), seen.options.get(j)) {
        (Some(TcpOption::Timestamp { ecr, .. }), Some(TcpOption::Timestamp { ecr: seen, .. })) => {
            ecr == seen
        }
        (Some(TcpOption::Md5 { valid }), Some(TcpOption::Md5 { valid: seen })) => valid == seen,
        (Some(expected), Some(_)) => {
            wire::one_option(expected) == bytes.get(j).copied().unwrap_or_default()
        }
        _ => false,
    }
}

/// The options of the seen segment to point at, by their index.
fn odd_options(tcp: &ast::Tcp, seen: &Segment, wrong: &[&'static str]) -> Vec<usize> {
    let Some(expected) = tcp.options.as_deref() else {
        return Vec::new();
    };
    if wrong.contains(&"options") {
        return match expected {
            // Shown by its bytes, as one.
            [TcpOption::Blob(_)] => vec![0],
            _ => packet_text::odd_options(expected, &seen.options, same_option(expected, seen)),
        };
    }
    let is_timestamp = |option: &TcpOption| matches!(option, TcpOption::Timestamp { .. });
    let timestamp = wrong.contains(&"timestamp");
    let at = seen.options.iter().position(is_timestamp);
    at.filter(|_| timestamp).into_iter().collect()
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

/// The expected packet as the script writes it.
pub fn expected(packet: &ast::Packet) -> String {
    // An ICMP message, which is called differently in the two, is never expected.
    PacketText::new(packet, false).line()
}

/// Of the seen IP header what the script speaks of.
fn told_of(spec: &IpSpec, frame: &Frame) -> IpSpec {
    IpSpec {
        dscp: spec.dscp.map(|_| frame.tos >> 2),
        ecn: (spec.ecn.is_some() || spec.ect01).then_some(frame.tos & 3),
        ect01: false,
        ttl: spec.ttl.map(|_| frame.ttl),
        flow_label: spec.flow_label.map(|_| frame.flow_label),
    }
}
