// SPDX-License-Identifier: BSD-2-Clause
//! What passes between the IP layer and a transport protocol.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use super::checksum::{Sum, transport_cksum};
use super::ipv4::{IPV4_HDR_LEN, Ipv4Header};
use super::ipv6::{IPV6_HDR_LEN, Ipv6Header};

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
    pub payload: Mbuf,
}

impl IpPacket {
    /// Length in bytes of the packet in one piece, under an IP header without options.
    pub(crate) fn len(&self) -> usize {
        ip_header_len(self.dst.is_ipv6()) + self.payload.len()
    }

    /// Leaves the transport's checksum, `at` bytes behind the start of its header, to whoever knows by
    /// which interface the packet goes.
    pub fn delay_cksum(&mut self, at: u8) {
        self.payload.csum = Csum::Delayed(at);
    }

    /// Puts where a checksum that is left open will stand the sum of the pseudo header, as `tcp_output`
    /// does it: an ICMP error that quotes the packet shows it.
    pub fn pseudo_cksum(&mut self) {
        if let Csum::Delayed(at) = self.payload.csum {
            let pseudo = Sum::new().pseudo(self.src, self.dst, self.proto, self.payload.len());
            self.payload.put_cksum(at, !pseudo.finish());
        }
    }

    /// Makes a checksum that was left open (`in_delayed_cksum`, `in6_delayed_cksum`).
    pub fn delayed_cksum(&mut self) {
        if let Csum::Delayed(at) = self.payload.csum {
            self.payload.put_cksum(at, 0);
            let sum = transport_cksum(self.src, self.dst, self.proto, &self.payload);
            self.payload.put_cksum(at, sum);
            self.payload.csum = Csum::InPlace;
        }
    }
}

/// What is known of the checksum of the transport in a packet (`csum_flags` of `m_pkthdr`, `mbuf(9)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Csum {
    /// It stands in the packet, for the receiver to look at.
    #[default]
    InPlace,
    /// It is not made yet and will stand so many bytes behind the start of the transport's header
    /// (`CSUM_DELAY_DATA`, `csum_data`).
    Delayed(u8),
    /// The packet was never on a wire: nobody looks at it (`CSUM_DATA_VALID`).
    Valid,
}

/// Room before an outgoing packet, for the header of its frame.
const ROOM: usize = super::ether::ETHER_HDR_LEN;

/// Room for an IP header without options and the header of its frame, before what a transport sends.
pub fn transport_room(v6: bool) -> usize {
    ROOM + ip_header_len(v6)
}

/// Length of an IP header without options, in bytes.
fn ip_header_len(v6: bool) -> usize {
    if v6 { IPV6_HDR_LEN } else { IPV4_HDR_LEN }
}

/// Bytes with room before them, so that headers are put on (`M_PREPEND`) and taken off (`m_adj`)
/// where they stand (`mbuf(9)`).
///
/// I1: `start` is at most the length of `buf`.
#[derive(Clone, Debug, Default)]
pub struct Mbuf {
    buf: Vec<u8>,
    start: usize,
    csum: Csum,
}

impl Mbuf {
    /// The parts one after the other, behind so much room.
    pub fn of(room: usize, parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut mbuf = Self::with_capacity(room, length);
        for part in parts {
            mbuf.buf.extend_from_slice(part);
        }
        mbuf
    }

    /// Nothing yet, with room before it and memory for `length` bytes.
    pub fn with_capacity(room: usize, length: usize) -> Self {
        let mut buf = Vec::with_capacity(room + length);
        buf.resize(room, 0);
        Self {
            buf,
            start: room,
            csum: Csum::InPlace,
        }
    }

    /// The bytes of `buf` from `start` on.
    pub fn behind(buf: Vec<u8>, start: usize) -> Self {
        let start = start.min(buf.len());
        Self {
            buf,
            start,
            csum: Csum::InPlace,
        }
    }

    /// Puts a header before the bytes; moves them only where there is no room.
    pub fn prepend<const N: usize>(&mut self, header: &[u8; N]) {
        let room = self.buf.get_mut(..self.start).unwrap_or_default();
        if let Some(place) = room.last_chunk_mut() {
            *place = *header;
            self.start -= N;
        } else {
            let csum = self.csum;
            *self = Self::of(ROOM, &[header, self]);
            self.csum = csum;
        }
    }

    /// The buffer, to be added to at its end.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Takes `n` bytes off the front.
    pub fn trim_front(&mut self, n: usize) {
        self.start = self.buf.len().min(self.start + n);
    }

    /// Takes off what is beyond `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(self.start + len);
    }

    /// What is known of the transport's checksum.
    pub fn csum(&self) -> Csum {
        self.csum
    }

    /// The packet went from this host to itself (`looutput`, `net/if_loop.c`, 15-CURRENT, where
    /// `lo0` offers to make and to check checksums, and does neither).
    pub(crate) fn looped(&mut self) {
        self.csum = Csum::Valid;
    }

    fn put_cksum(&mut self, at: u8, sum: u16) {
        let at = usize::from(at);
        if let Some(field) = self.get_mut(at..at + 2) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// The buffer, and where the bytes begin in it.
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        (self.buf, self.start)
    }

    /// The bytes alone.
    pub fn into_vec(mut self) -> Vec<u8> {
        if self.start > 0 {
            self.buf.drain(..self.start);
        }
        self.buf
    }
}

impl Deref for Mbuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }
}

impl DerefMut for Mbuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.start..).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Mbuf {
    fn from(buf: Vec<u8>) -> Self {
        Self::behind(buf, 0)
    }
}

impl From<&[u8]> for Mbuf {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&Vec<u8>> for Mbuf {
    fn from(bytes: &Vec<u8>) -> Self {
        bytes.clone().into()
    }
}

/// The room is nobody's business.
impl PartialEq for Mbuf {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Mbuf {}

/// An IP packet as it leaves, with room before it for the header of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPacket(Mbuf);

impl OutPacket {
    /// A packet of these parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(Mbuf::of(ROOM, parts))
    }

    /// A packet of an IP header and what a transport sends.
    pub fn with_header<const N: usize>(header: &[u8; N], mut payload: Mbuf) -> Self {
        payload.prepend(header);
        Self(payload)
    }

    /// The packet; its transport's checksum may be left open.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The packet as it would be on a wire, all checksums made.
    pub fn completed(&self) -> Cow<'_, [u8]> {
        let Csum::Delayed(at) = self.0.csum else {
            return Cow::Borrowed(&self.0);
        };
        let whole = Ipv4Header::parse(&self.0)
            .map(|(header, _)| {
                (
                    header.len(),
                    header.src.into(),
                    header.dst.into(),
                    header.proto,
                )
            })
            .ok()
            .or_else(|| {
                let (header, _) = Ipv6Header::parse(&self.0)?;
                Some((
                    IPV6_HDR_LEN,
                    header.src.into(),
                    header.dst.into(),
                    header.next,
                ))
            });
        let mut bytes = self.0.clone();
        if let Some((room, src, dst, proto)) = whole {
            let mut payload = bytes.clone();
            payload.trim_front(room);
            payload.put_cksum(at, 0);
            let sum = transport_cksum(src, dst, proto, &payload);
            bytes.put_cksum(at + room as u8, sum);
        }
        Cow::Owned(bytes.into_vec())
    }

    /// The packet in an Ethernet frame.
    pub fn into_frame(mut self, header: super::ether::EtherHeader) -> Vec<u8> {
        self.0.prepend(&header.bytes());
        self.0.into_vec()
    }

    /// The packet alone.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_vec()
    }

    /// The packet alone, to be taken in again.
    pub fn into_mbuf(self) -> Mbuf {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_stands_before_the_bytes_with_room_for_it_and_without() {
        for room in [0, 2, 4] {
            let mut mbuf = Mbuf::of(room, &[b"text"]);
            mbuf.prepend(b"head");
            assert_eq!(*mbuf, *b"headtext");
            mbuf.trim_front(2);
            mbuf.truncate(4);
            assert_eq!(*mbuf, *b"adte");
            assert_eq!(mbuf.clone().into_vec(), b"adte");
            mbuf.trim_front(99);
            assert!(mbuf.is_empty());
        }
    }

    #[test]
    fn equal_bytes_are_equal_whatever_the_room() {
        assert_eq!(Mbuf::of(7, &[b"a", b"b"]), Mbuf::from(b"ab".as_slice()));
    }
}
