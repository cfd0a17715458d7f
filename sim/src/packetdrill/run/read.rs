// SPDX-License-Identifier: BSD-2-Clause
//! Packets on the wire as the script would write them, in its own numbers.

use super::flow::Flow;
use super::icmp;
use crate::packetdrill::ast::{Body, Direction, IpSpec, Packet, Tcp, flag};
use crate::packetdrill::packet_text::PacketText;
use crate::packetdrill::wire::{Frame, FrameBody, Segment};

/// What hosts give packets that scripts say nothing of: hops of a packet, and of an ICMP message.
const TTL: u8 = 64;
const TTL_ICMP: u8 = 255;

/// Magic of a reset's diagnostic payload.
pub(super) const REASON_MAGIC: [u8; 2] = [0x33, 0xaa];

/// A packet of either side, with what is not usual of its IP header.
pub(super) fn packet(frame: &Frame, flow: &Flow, direction: Direction) -> Option<Packet> {
    let body = match (&frame.body, direction) {
        (FrameBody::Tcp(segment), Direction::In) => {
            Body::Tcp(tcp(&flow.as_script_wrote(segment), false))
        }
        (FrameBody::Other(1 | 58, message), _) => {
            let v6 = frame.src.is_ipv6();
            Body::Icmp(icmp::read(message, v6, flow, direction)?)
        }
        _ => body(frame, flow, false)?,
    };
    let usual = match &body {
        Body::Icmp(_) => TTL_ICMP,
        Body::Tcp(_) | Body::Udp(_) => TTL,
    };
    let (dscp, ecn) = (frame.tos >> 2, frame.tos & 3);
    // The stack draws its labels.
    let labelled = direction == Direction::In && frame.flow_label != 0;
    Some(Packet {
        direction,
        ip: IpSpec {
            dscp: Some(dscp).filter(|dscp| *dscp != 0),
            ecn: Some(ecn).filter(|ecn| *ecn != 0),
            ect01: false,
            ttl: Some(frame.ttl).filter(|ttl| *ttl != usual),
            flow_label: Some(frame.flow_label).filter(|_| labelled),
        },
        body,
        udp: frame.segment().and_then(|segment| segment.udp),
        ports: flow.ports_of(frame, direction),
    })
}

/// What a packet of the stack carries, where the dialect has it.
pub(super) fn body(frame: &Frame, flow: &Flow, absolute: bool) -> Option<Body> {
    match &frame.body {
        FrameBody::Tcp(segment) => {
            let segment = flow.in_script_numbers(segment, absolute);
            Some(Body::Tcp(tcp(&segment, absolute)))
        }
        FrameBody::Udp(datagram) => {
            let len = u16::try_from(datagram.data.len());
            Some(Body::Udp(len.unwrap_or(u16::MAX)))
        }
        FrameBody::Other(..) => None,
    }
}

/// What is no packet of the dialect.
pub(super) fn unreadable(frame: &Frame) -> PacketText {
    PacketText::other(match &frame.body {
        FrameBody::Other(proto, _) => format!("protocol {proto}"),
        FrameBody::Tcp(_) | FrameBody::Udp(_) => "a packet".to_owned(),
    })
}

fn tcp(segment: &Segment, absolute: bool) -> Tcp {
    let acks = segment.flags & flag::ACK != 0 || segment.ack != 0;
    Tcp {
        flags: segment.flags,
        seq: Some(segment.seq),
        len: u32::try_from(segment.data.len()).unwrap_or(u32::MAX),
        absolute,
        ack: Some(segment.ack).filter(|_| acks),
        window: Some(segment.window),
        urgent: Some(segment.urgent).filter(|urgent| *urgent != 0),
        options: Some(segment.options.clone()),
        ts_val_any: false,
        ts_ecr_absolute: false,
        reason: reason(segment),
    }
}

/// The diagnostic payload of a reset.
fn reason(segment: &Segment) -> Option<(u16, u32)> {
    let rest = segment.data.strip_prefix(&REASON_MAGIC)?;
    let (code, pen) = rest.split_first_chunk::<2>()?;
    let pen = <[u8; 4]>::try_from(pen).ok()?;
    let resets = segment.flags & flag::RST != 0;
    resets.then(|| (u16::from_be_bytes(*code), u32::from_be_bytes(pen)))
}
