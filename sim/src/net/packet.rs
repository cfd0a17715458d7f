// SPDX-License-Identifier: BSD-2-Clause
//! What passes between the IP layer and a transport protocol.

use std::net::IpAddr;

/// An IP packet as a transport sees it: reassembled, header checked and taken off.
///
/// Both families in one type: the transports differ by pseudo header and header size only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// Source address; of the same family as `dst`.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IPv4 type of service or IPv6 traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// IPv4 time to live or IPv6 hop limit.
    pub ttl: u8,
    /// IPv6 flow label; 0 for IPv4.
    pub flow: u32,
    /// IPv4 don't-fragment; always true for IPv6.
    pub df: bool,
    /// Protocol number (IANA; `IPPROTO_TCP` is 6).
    pub proto: u8,
    /// The transport's header and data.
    pub payload: Vec<u8>,
}

/// Room before an outgoing packet, for the header of its frame.
const ROOM: usize = super::ether::ETHER_HDR_LEN;

/// An IP packet as it leaves, with room before it for the header of its frame.
///
/// I1: there are at least `ROOM` bytes before the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPacket(Vec<u8>);

impl OutPacket {
    /// A packet of these parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut buf = Vec::with_capacity(ROOM + length);
        buf.extend_from_slice(&[0; ROOM]);
        for part in parts {
            buf.extend_from_slice(part);
        }
        Self(buf)
    }

    /// The packet.
    pub fn bytes(&self) -> &[u8] {
        self.0.get(ROOM..).unwrap_or_default()
    }

    /// The packet in an Ethernet frame.
    pub fn into_frame(mut self, header: super::ether::EtherHeader) -> Vec<u8> {
        for (to, from) in self.0.iter_mut().zip(header.bytes()) {
            *to = from;
        }
        self.0
    }

    /// The packet alone.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.0.drain(..ROOM);
        self.0
    }
}
