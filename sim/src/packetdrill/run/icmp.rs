// SPDX-License-Identifier: BSD-2-Clause
//! ICMP messages that a script injects, with the packet that they quote (RFC 792, RFC 4443, RFC 4861).

use super::flow::Flow;
use crate::packetdrill::ast::{Icmp, Quoted};
use crate::packetdrill::icmp_syntax::ROUTER_ADVERTISEMENT;
use crate::packetdrill::wire::{self, Datagram, Frame, FrameBody, Segment};
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of the transport header that the error quotes (RFC 792).
const QUOTED: usize = 8;

/// Bytes of a UDP header, which stands before an encapsulated segment.
const UDP_HEADER: usize = 8;

/// Whom a router advertises to and from: link-local addresses of the interface and its router.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The message as a packet from the script's side.
pub fn message(icmp: &Icmp, flow: &Flow) -> Frame {
    let v6 = flow.remote.is_ipv6();
    let advertisement = v6 && icmp.kind == ROUTER_ADVERTISEMENT;
    let (src, dst) = if advertisement {
        (IpAddr::V6(ROUTER), IpAddr::V6(HOST))
    } else {
        (flow.remote.ip(), flow.local.ip())
    };
    let mut message = vec![icmp.kind, icmp.code, 0, 0];
    if advertisement {
        // No hop limit, flags, lifetimes or timers (RFC 4861, section 4.2), and an MTU option (4.6.4).
        message.extend_from_slice(&[0; 12]);
        message.extend_from_slice(&[5, 1, 0, 0]);
        message.extend_from_slice(&icmp.mtu.unwrap_or(0).to_be_bytes());
    } else {
        let second = match icmp.mtu {
            // IPv4 has the MTU in the lower half of the second word (RFC 1191), IPv6 in all of it.
            Some(mtu) => mtu,
            None => u32::from(icmp.id) << 16,
        };
        message.extend_from_slice(&second.to_be_bytes());
        message.extend_from_slice(&quoted(icmp, flow));
    }
    let sum = checksum(v6, src, dst, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    Frame {
        src,
        dst,
        tos: 0,
        ttl: 255,
        flow_label: 0,
        body: FrameBody::Other(if v6 { 58 } else { 1 }, message),
    }
}

fn quoted(icmp: &Icmp, flow: &Flow) -> Vec<u8> {
    let (sport, dport) = (flow.local.port(), flow.remote.port());
    let (body, bytes) = match icmp.quoted {
        Quoted::Tcp { seq, len, udp } => {
            let segment = Segment {
                sport,
                dport,
                seq: flow.script_seq(seq.unwrap_or(0)),
                ack: 0,
                flags: 0,
                window: 0,
                urgent: 0,
                options: Vec::new(),
                option_bytes: Vec::new(),
                data: vec![0; len as usize],
                udp,
            };
            let outer = if udp.is_some() { UDP_HEADER } else { 0 };
            (FrameBody::Tcp(segment), QUOTED + outer)
        }
        Quoted::Udp(len) => {
            let data = vec![0; usize::from(len)];
            (FrameBody::Udp(Datagram { sport, dport, data }), QUOTED)
        }
    };
    let frame = Frame {
        src: flow.local.ip(),
        dst: flow.remote.ip(),
        tos: 0,
        ttl: 64,
        flow_label: 0,
        body,
    };
    frame.quoted(bytes)
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
