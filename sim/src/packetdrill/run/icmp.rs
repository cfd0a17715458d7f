// SPDX-License-Identifier: BSD-2-Clause
//! ICMP messages that a script injects, with the packet that they quote (RFC 792, RFC 4443, RFC 4861).

use super::flow::Flow;
use crate::packetdrill::ast::{Direction, Icmp, Quoted};
use crate::packetdrill::icmp_syntax::ROUTER_ADVERTISEMENT;
use crate::packetdrill::wire::{self, Datagram, Frame, FrameBody, Segment};
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of the transport header that the error quotes (RFC 792).
const QUOTED: usize = 8;

/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

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

/// A message on the wire as the script would write it; a packet that it quotes in the script's numbers. `None`
/// where it is cut short.
pub(in crate::packetdrill) fn read(
    message: &[u8],
    v6: bool,
    flow: &Flow,
    way: Direction,
) -> Option<Icmp> {
    let (head, quoted) = message.split_first_chunk::<8>()?;
    let [kind, code, _, _, second @ ..] = *head;
    let second = u32::from_be_bytes(second);
    let mut icmp = Icmp::new(kind, code);
    if v6 && kind == ROUTER_ADVERTISEMENT {
        icmp.mtu = quoted
            .get(12..)?
            .first_chunk()
            .copied()
            .map(u32::from_be_bytes);
        return Some(icmp);
    }
    if second != 0 && (v6, kind, code) == (false, 3, 4) {
        icmp.mtu = Some(second & 0xffff);
    } else if v6 && kind == 2 {
        icmp.mtu = Some(second);
    } else {
        icmp.id = u16::try_from(second >> 16).unwrap_or(0);
    }
    if let Some(packet) = read_quoted(quoted, v6, flow, way) {
        icmp.quoted = packet;
    }
    Some(icmp)
}

/// The packet that a message quotes, as far as it does. A script's message quotes more of a datagram than its
/// header only where a segment is in it.
fn read_quoted(quoted: &[u8], v6: bool, flow: &Flow, way: Direction) -> Option<Quoted> {
    let u16_at = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let (proto, header, total) = match v6 {
        true => (*quoted.get(6)?, 40, usize::from(u16_at(quoted, 4)?) + 40),
        false => {
            let header = usize::from(*quoted.first()? & 15) * 4;
            (*quoted.get(9)?, header, usize::from(u16_at(quoted, 2)?))
        }
    };
    let carried = quoted.get(header..)?;
    let len = total.checked_sub(header)?;
    let (segment, len, udp) = match proto {
        6 => (carried, len, None),
        17 if way == Direction::In && carried.len() > UDP_HEADER => {
            let ports = (u16_at(carried, 0)?, u16_at(carried, 2)?);
            let len = len.checked_sub(UDP_HEADER)?;
            (carried.get(UDP_HEADER..)?, len, Some(ports))
        }
        17 => {
            let len = len.checked_sub(UDP_HEADER)?;
            return Some(Quoted::Udp(u16::try_from(len).ok()?));
        }
        _ => return None,
    };
    let seq = u32::from_be_bytes(*segment.get(4..)?.first_chunk()?);
    // Beyond the first bytes of its header not all is quoted.
    let offset = segment
        .get(12)
        .map_or(TCP_HEADER, |byte| usize::from(byte >> 4) * 4);
    Some(Quoted::Tcp {
        seq: Some(match way {
            Direction::In => flow.counted(seq),
            Direction::Out => seq,
        }),
        len: u32::try_from(len.checked_sub(offset)?).ok()?,
        udp,
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
