// SPDX-License-Identifier: BSD-2-Clause
//! ICMP errors that a script injects: names of types and codes (RFC 792, RFC 1812, RFC 4443), and the
//! message with the quoted segment.

use super::flow::Flow;
use crate::packetdrill::ast;
use crate::packetdrill::wire::{self, Frame, FrameBody, Segment};
use std::net::IpAddr;

/// Bytes of the transport header that the error quotes (RFC 792).
const QUOTED: usize = 8;

/// The error as a packet from the script's side, or what name is unknown.
///
/// # Errors
/// The unknown name.
pub fn error(icmp: &ast::Icmp, flow: &Flow) -> Result<Frame, String> {
    let v6 = flow.remote.is_ipv6();
    let (kind, code) = numbers(v6, &icmp.kind, icmp.code.as_deref())
        .ok_or_else(|| format!("icmp {} {}", icmp.kind, icmp.code.as_deref().unwrap_or("")))?;
    let isn = flow.local_isn.unwrap_or(0);
    let quoted = Frame {
        src: flow.local.ip(),
        dst: flow.remote.ip(),
        tos: 0,
        ttl: 64,
        body: FrameBody::Tcp(Segment {
            sport: flow.local.port(),
            dport: flow.remote.port(),
            seq: icmp.quoted_seq.unwrap_or(0).wrapping_add(isn),
            ack: 0,
            flags: 0,
            window: 0,
            urgent: 0,
            options: Vec::new(),
            data: vec![0; icmp.quoted_len as usize],
            udp: icmp.quoted_udp,
        }),
    };
    let inner = if icmp.quoted_udp.is_some() {
        QUOTED + 8
    } else {
        QUOTED
    };
    let mut message = vec![kind, code, 0, 0];
    let mtu = icmp.mtu.unwrap_or(0).to_be_bytes();
    // IPv4 has the MTU in the lower half of the second word (RFC 1191), IPv6 in all of it.
    message.extend_from_slice(&mtu);
    message.extend_from_slice(&quoted.quoted(inner));
    let sum = checksum(v6, flow.remote.ip(), flow.local.ip(), &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let proto = if v6 { 58 } else { 1 };
    Ok(Frame {
        src: flow.remote.ip(),
        dst: flow.local.ip(),
        tos: 0,
        ttl: 255,
        body: FrameBody::Other(proto, message),
    })
}

fn checksum(v6: bool, src: IpAddr, dst: IpAddr, message: &[u8]) -> u16 {
    let mut bytes = Vec::new();
    if let (true, IpAddr::V6(src), IpAddr::V6(dst)) = (v6, src, dst) {
        bytes.extend_from_slice(&src.octets());
        bytes.extend_from_slice(&dst.octets());
        bytes.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 58]);
    }
    bytes.extend_from_slice(message);
    !wire::sum(&bytes)
}

fn numbers(v6: bool, kind: &str, code: Option<&str>) -> Option<(u8, u8)> {
    let code = code.unwrap_or("");
    let index = |names: &[&str]| {
        names
            .iter()
            .position(|name| *name == code)
            .and_then(|i| u8::try_from(i).ok())
    };
    if v6 {
        return match kind {
            "unreachable" => {
                let codes = [
                    "no_route",
                    "admin_prohibited",
                    "not_neighbour",
                    "address_unreachable",
                    "port_unreachable",
                ];
                Some((1, index(&codes)?))
            }
            "packet_too_big" => Some((2, 0)),
            "time_exceeded" => Some((3, index(&["exceeded_hop_limit", "exceeded_frag_time"])?)),
            "parameter_problem" => Some((
                4,
                index(&["header_field", "unknown_next_header", "unknown_option"])?,
            )),
            _ => None,
        };
    }
    match kind {
        "unreachable" => {
            let codes = [
                "net_unreachable",
                "host_unreachable",
                "protocol_unreachable",
                "port_unreachable",
                "frag_needed",
                "source_route_failed",
                "net_unknown",
                "host_unknown",
                "source_host_isolated",
                "net_prohibited",
                "host_prohibited",
                "net_unreachable_for_tos",
                "host_unreachable_for_tos",
                "admin_prohibited",
                "precedence_violation",
                "precedence_cutoff",
            ];
            let other_names = [
                ("packet_filtered", 13),
                ("communication_prohibited", 13),
                ("host_precedence_violation", 14),
            ];
            let other = other_names
                .iter()
                .find(|(name, _)| *name == code)
                .map(|(_, n)| *n);
            Some((3, index(&codes).or(other)?))
        }
        "source_quench" => Some((4, 0)),
        "time_exceeded" => Some((11, index(&["exceeded_hop_limit", "exceeded_frag_time"])?)),
        "parameter_problem" => Some((
            12,
            index(&["header_field", "unknown_option", "bad_length"])?,
        )),
        _ => None,
    }
}
