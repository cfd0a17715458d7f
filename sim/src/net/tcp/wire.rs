// SPDX-License-Identifier: BSD-2-Clause
//! Segments on the wire: header, flags, checksum (RFC 9293 section 3.1).
//!
//! - I1: a [`Segment`] comes only from a packet whose checksum and data offset are right.
//! - I2: an emitted segment parses back to the same header, options and data.

use std::net::IpAddr;

use super::options::{Accept, MAXOLEN, TcpOpt};
use super::seq::Seq;
use crate::net::checksum::transport_cksum;
use crate::net::packet::{Csum, IpPacket, Mbuf, transport_room};

/// `IPPROTO_TCP`.
pub(crate) const IPPROTO_TCP: u8 = 6;
/// Where in a header its checksum stands (`th_sum`).
pub(crate) const TH_SUM: u8 = 16;
/// Header without options, in bytes.
pub(crate) const TCPHDR: usize = 20;

/// `TH_FIN`.
pub(crate) const TH_FIN: u16 = 0x01;
/// `TH_SYN`.
pub(crate) const TH_SYN: u16 = 0x02;
/// `TH_RST`.
pub(crate) const TH_RST: u16 = 0x04;
/// `TH_PUSH`.
pub(crate) const TH_PUSH: u16 = 0x08;
/// `TH_ACK`.
pub(crate) const TH_ACK: u16 = 0x10;
/// `TH_URG`.
pub(crate) const TH_URG: u16 = 0x20;
/// `TH_ECE` (RFC 3168).
pub(crate) const TH_ECE: u16 = 0x40;
/// `TH_CWR` (RFC 3168).
pub(crate) const TH_CWR: u16 = 0x80;

/// `TH_AE`: the third flag of accurate ECN (RFC 9768).
pub(crate) const TH_AE: u16 = 0x100;

/// A parsed segment, on its way through the input functions, which trim it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it came from.
    pub src: (IpAddr, u16),
    /// Where it goes.
    pub dst: (IpAddr, u16),
    /// Type of service or traffic class of the packet.
    pub tos: u8,
    /// TTL or hop limit of the packet.
    pub ttl: u8,
    /// `th_seq`.
    pub seq: Seq,
    /// `th_ack`.
    pub ack: Seq,
    /// `TH_*`.
    pub flags: u16,
    /// `th_win`, unscaled.
    pub win: u16,
    /// `th_urp`.
    pub urp: u16,
    /// Options.
    pub to: TcpOpt,
    /// The buffer that the segment came in; its text is `payload[start..]`.
    pub payload: Vec<u8>,
    /// Where the segment's header starts in it.
    pub header: usize,
    /// Where the text that is left starts.
    pub start: usize,
    /// UDP encapsulation port of the peer (RFC 6951's scheme), 0 where there is none.
    pub port: u16,
}

/// Why a packet is not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than a header (`tcps_rcvshort`).
    Short,
    /// Wrong checksum (`tcps_rcvbadsum`).
    BadSum,
    /// A data offset inside the header or past the end (`tcps_rcvbadoff`).
    BadOffset,
}

impl Segment {
    /// Parses a packet; `port` is the UDP encapsulation port, whose presence waives the checksum.
    pub fn parse(packet: IpPacket, port: u16, accept: Accept) -> Result<Self, Malformed> {
        let bytes: &[u8] = &packet.payload;
        if bytes.len() < TCPHDR {
            return Err(Malformed::Short);
        }
        let sum = || transport_cksum(packet.src, packet.dst, IPPROTO_TCP, bytes);
        if port == 0 && packet.payload.csum() == Csum::InPlace && sum() != 0 {
            return Err(Malformed::BadSum);
        }
        let off = usize::from(bytes[12] >> 4) * 4;
        if off < TCPHDR || off > bytes.len() {
            return Err(Malformed::BadOffset);
        }
        let flags = u16::from(bytes[12] & 0x0f) << 8 | u16::from(bytes[13]);
        let mut seg = Self {
            src: (packet.src, be16(bytes, 0)),
            dst: (packet.dst, be16(bytes, 2)),
            tos: packet.tos,
            ttl: packet.ttl,
            seq: Seq(be32(bytes, 4)),
            ack: Seq(be32(bytes, 8)),
            flags,
            win: be16(bytes, 14),
            urp: be16(bytes, 18),
            to: TcpOpt::parse(&bytes[TCPHDR..off], flags & TH_SYN != 0, accept),
            payload: Vec::new(),
            header: 0,
            start: 0,
            port,
        };
        (seg.payload, seg.header) = packet.payload.into_parts();
        seg.start = seg.header + off;
        Ok(seg)
    }

    /// `tlen`: how much text is left.
    pub fn tlen(&self) -> u32 {
        (self.payload.len() - self.start) as u32
    }

    /// The text that is left.
    pub fn text(&self) -> &[u8] {
        &self.payload[self.start..]
    }

    /// Cuts `n` bytes of text off the front.
    pub(crate) fn trim_front(&mut self, n: u32) {
        self.start = self.payload.len().min(self.start + n as usize);
    }

    /// Cuts `n` bytes of text off the end.
    pub(crate) fn trim_back(&mut self, n: u32) {
        let len = self.payload.len().saturating_sub(n as usize);
        self.payload.truncate(len.max(self.start));
    }

    /// Takes the text out, leaving none.
    pub(crate) fn take_text(&mut self) -> (Vec<u8>, usize) {
        let start = std::mem::take(&mut self.start);
        (std::mem::take(&mut self.payload), start)
    }

    /// The segment as it came, header and all.
    pub(crate) fn whole(&self) -> &[u8] {
        self.payload.get(self.header..).unwrap_or_default()
    }

    /// True where any of these flags is set.
    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// The fixed part of a header to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) src: (IpAddr, u16),
    pub(crate) dst: (IpAddr, u16),
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: u16,
    pub(crate) win: u16,
    pub(crate) urp: u16,
}

impl Header {
    /// Header and options as bytes, with room for `len` bytes of text behind them and for the headers
    /// of lower layers before them; the checksum is zero.
    pub(crate) fn emit(&self, options: &[u8], len: usize) -> Mbuf {
        let head = TCPHDR + options.len();
        let mut bytes = [0; TCPHDR + MAXOLEN];
        bytes[..2].copy_from_slice(&self.src.1.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.dst.1.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        bytes[12] = ((head / 4) << 4) as u8 | (self.flags >> 8) as u8 & 0x0f;
        bytes[13] = self.flags as u8;
        bytes[14..16].copy_from_slice(&self.win.to_be_bytes());
        bytes[18..20].copy_from_slice(&self.urp.to_be_bytes());
        bytes[TCPHDR..head].copy_from_slice(options);
        let room = transport_room(self.dst.0.is_ipv6());
        let mut out = Mbuf::with_capacity(room, head + len);
        out.tail().extend_from_slice(&bytes[..head]);
        out
    }
}

/// Fills in the checksum of a segment's bytes.
#[cfg(test)]
pub(crate) fn fill_checksum(src: IpAddr, dst: IpAddr, bytes: &mut [u8]) {
    bytes[16..18].fill(0);
    let sum = transport_cksum(src, dst, IPPROTO_TCP, bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Accept = Accept {
        sack: true,
        fastopen: true,
    };

    fn packet(text: &[u8]) -> IpPacket {
        let (src, dst) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let header = Header {
            src: (src, 1234),
            dst: (dst, 80),
            seq: Seq(7),
            ack: Seq(9),
            flags: TH_ACK | TH_PUSH | 0x100,
            win: 500,
            urp: 3,
        };
        let mut payload = header.emit(&[1, 1, 1, 0], text.len());
        payload.tail().extend(text);
        fill_checksum(src, dst, &mut payload);
        IpPacket {
            src,
            dst,
            tos: 0,
            ttl: 64,
            flow: 0,
            df: true,
            proto: IPPROTO_TCP,
            payload,
        }
    }

    #[test]
    fn an_emitted_segment_parses_back() {
        let seg = Segment::parse(packet(b"odd"), 0, ALL).unwrap();
        assert_eq!(
            (seg.src.1, seg.dst.1, seg.seq, seg.ack),
            (1234, 80, Seq(7), Seq(9))
        );
        assert_eq!(seg.flags, TH_ACK | TH_PUSH | 0x100);
        assert_eq!((seg.win, seg.urp, seg.text()), (500, 3, &b"odd"[..]));
    }

    #[test]
    fn any_flipped_bit_fails_the_checksum() {
        let good = packet(b"text");
        for bit in 0..good.payload.len() * 8 {
            let mut bad = good.clone();
            bad.payload[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Segment::parse(bad, 0, ALL), Err(Malformed::BadSum));
        }
    }

    #[test]
    fn offsets_outside_the_packet_are_refused() {
        for off in [0x40, 0xf0] {
            let mut bad = packet(b"");
            bad.payload[12] = off;
            let (src, dst) = (bad.src, bad.dst);
            fill_checksum(src, dst, &mut bad.payload);
            assert_eq!(Segment::parse(bad, 0, ALL), Err(Malformed::BadOffset));
        }
        let mut short = packet(b"");
        short.payload.truncate(19);
        assert_eq!(Segment::parse(short, 0, ALL), Err(Malformed::Short));
    }

    #[test]
    fn trimming_never_leaves_the_text() {
        let mut seg = Segment::parse(packet(b"abcdef"), 0, ALL).unwrap();
        seg.trim_front(2);
        seg.trim_back(1);
        assert_eq!(seg.text(), b"cde");
        seg.trim_back(99);
        assert_eq!(seg.tlen(), 0);
    }
}
