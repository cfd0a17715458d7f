// SPDX-License-Identifier: BSD-2-Clause
//! The IPv4 header (RFC 791).

use std::net::{IpAddr, Ipv4Addr};

use super::checksum::{in_cksum, in_cksum_hdr};
use super::packet::{IpPacket, Mbuf};

/// Length of a header without options, in bytes.
pub const IPV4_HDR_LEN: usize = 20;
/// `IP_MAXPACKET`.
pub const IP_MAXPACKET: usize = 65_535;

/// A parsed IPv4 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Type of service: DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Don't fragment.
    pub df: bool,
    /// More fragments.
    pub mf: bool,
    /// Fragment offset in bytes; a multiple of 8.
    pub offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol.
    pub proto: u8,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Options as they stand, padding included; at most 40 bytes.
    pub options: Vec<u8>,
}

/// Why `ip_input` drops a packet before looking where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Bad {
    /// Shorter than a header, or than the header says (`ips_tooshort`, `ips_toosmall`).
    Short,
    /// Not version 4 (`ips_badvers`).
    Version,
    /// Header length below 20 bytes or beyond the packet (`ips_badhlen`).
    HeaderLength,
    /// Header checksum wrong (`ips_badsum`).
    Checksum,
    /// Total length below the header's (`ips_badlen`).
    TotalLength,
}

impl Ipv4Header {
    /// Splits `data` into header and payload, the link's padding taken off.
    ///
    /// The checks and their order are those of `ip_input` (`netinet/ip_input.c`, FreeBSD 15.0).
    pub fn parse(data: &[u8]) -> Result<(Self, &[u8]), Ipv4Bad> {
        let (h, _) = data
            .split_first_chunk::<IPV4_HDR_LEN>()
            .ok_or(Ipv4Bad::Short)?;
        if h[0] >> 4 != 4 {
            return Err(Ipv4Bad::Version);
        }
        let hlen = usize::from(h[0] & 0xf) * 4;
        if hlen < IPV4_HDR_LEN {
            return Err(Ipv4Bad::HeaderLength);
        }
        let header = data.get(..hlen).ok_or(Ipv4Bad::HeaderLength)?;
        let sum = match hlen {
            IPV4_HDR_LEN => in_cksum_hdr(h),
            _ => in_cksum(header),
        };
        if sum != 0 {
            return Err(Ipv4Bad::Checksum);
        }
        let total = usize::from(u16::from_be_bytes([h[2], h[3]]));
        if total < hlen {
            return Err(Ipv4Bad::TotalLength);
        }
        let payload = data.get(hlen..total).ok_or(Ipv4Bad::Short)?;
        Ok((Self::fields(h, header), payload))
    }

    /// Splits what an ICMP error quotes, which may be cut short and whose checksum is not looked at.
    pub fn parse_quoted(data: &[u8]) -> Option<(Self, &[u8])> {
        let (h, _) = data.split_first_chunk::<IPV4_HDR_LEN>()?;
        let hlen = usize::from(h[0] & 0xf) * 4;
        if h[0] >> 4 != 4 || hlen < IPV4_HDR_LEN {
            return None;
        }
        let (header, rest) = data.split_at_checked(hlen)?;
        Some((Self::fields(h, header), rest))
    }

    fn fields(h: &[u8; IPV4_HDR_LEN], header: &[u8]) -> Self {
        let off = u16::from_be_bytes([h[6], h[7]]);
        Self {
            tos: h[1],
            id: u16::from_be_bytes([h[4], h[5]]),
            df: off & 0x4000 != 0,
            mf: off & 0x2000 != 0,
            offset: (off & 0x1fff) << 3,
            ttl: h[8],
            proto: h[9],
            src: Ipv4Addr::new(h[12], h[13], h[14], h[15]),
            dst: Ipv4Addr::new(h[16], h[17], h[18], h[19]),
            options: header[IPV4_HDR_LEN..].to_vec(),
        }
    }

    /// Length of the header with its options, in bytes.
    pub fn len(&self) -> usize {
        IPV4_HDR_LEN + self.options.len()
    }

    /// Never: a header has 20 bytes at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The packet of this header and `payload`, lengths and checksum filled in.
    ///
    /// The caller has made sure that both together are at most [`IP_MAXPACKET`] bytes.
    pub fn emit(&self, payload: &[u8]) -> Vec<u8> {
        [self.bytes(payload.len()).as_slice(), payload].concat()
    }

    /// The header's bytes for a payload of this length.
    pub fn bytes(&self, payload_len: usize) -> Vec<u8> {
        let mut data = self.fixed(payload_len).to_vec();
        if !self.options.is_empty() {
            data[10..12].fill(0);
            data.extend_from_slice(&self.options);
            let sum = in_cksum(&data).to_be_bytes();
            data[10..12].copy_from_slice(&sum);
        }
        data
    }

    /// The first 20 of these bytes, whose checksum is right where no options follow.
    pub fn fixed(&self, payload_len: usize) -> [u8; IPV4_HDR_LEN] {
        let hlen = self.len();
        let total = hlen + payload_len;
        debug_assert!(total <= IP_MAXPACKET && hlen <= 60 && hlen.is_multiple_of(4));
        let off =
            self.offset >> 3 | if self.df { 0x4000 } else { 0 } | if self.mf { 0x2000 } else { 0 };
        let mut data = [0; IPV4_HDR_LEN];
        data[0] = 0x40 | (hlen / 4) as u8;
        data[1] = self.tos;
        data[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        data[4..6].copy_from_slice(&self.id.to_be_bytes());
        data[6..8].copy_from_slice(&off.to_be_bytes());
        data[8] = self.ttl;
        data[9] = self.proto;
        data[12..16].copy_from_slice(&self.src.octets());
        data[16..].copy_from_slice(&self.dst.octets());
        let sum = in_cksum_hdr(&data).to_be_bytes();
        data[10..12].copy_from_slice(&sum);
        data
    }

    /// The header of an outgoing packet; `None` where the packet is not IPv4.
    pub fn of(packet: &IpPacket, id: u16) -> Option<Self> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.src, packet.dst) else {
            return None;
        };
        Some(Self {
            tos: packet.tos,
            id,
            df: packet.df,
            mf: false,
            offset: 0,
            ttl: packet.ttl,
            proto: packet.proto,
            src,
            dst,
            options: Vec::new(),
        })
    }

    /// The packet as a transport sees it.
    pub fn into_packet(self, payload: Mbuf) -> IpPacket {
        IpPacket {
            src: self.src.into(),
            dst: self.dst.into(),
            tos: self.tos,
            ttl: self.ttl,
            flow: 0,
            df: self.df,
            proto: self.proto,
            payload,
        }
    }

    /// True where a source route option (LSRR, SSRR) is among the options, or they are malformed.
    ///
    /// FreeBSD drops such packets by default (`net.inet.ip.accept_sourceroute` and
    /// `net.inet.ip.sourceroute` are 0).
    pub fn has_source_route(&self) -> bool {
        let mut rest = self.options.as_slice();
        loop {
            rest = match rest {
                [] | [0, ..] => return false,
                [1, tail @ ..] => tail,
                [131 | 137, ..] => return true,
                [_, len, ..] if *len >= 2 => match rest.get(usize::from(*len)..) {
                    Some(tail) => tail,
                    None => return true,
                },
                _ => return true,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Ipv4Header {
        Ipv4Header {
            tos: 0x2e,
            id: 7,
            df: true,
            mf: false,
            offset: 0,
            ttl: 64,
            proto: 6,
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 168, 0, 1),
            options: Vec::new(),
        }
    }

    #[test]
    fn reads_back_what_it_wrote_and_takes_padding_off() {
        let mut bytes = header().emit(b"data");
        bytes.extend_from_slice(&[0; 20]);
        assert_eq!(
            Ipv4Header::parse(&bytes),
            Ok((header(), b"data".as_slice()))
        );
    }

    #[test]
    fn every_single_bit_error_of_the_header_is_refused() {
        let good = header().emit(b"");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Ipv4Header::parse(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn each_check_of_ip_input_names_its_reason() {
        let good = header().emit(b"12345678");
        assert_eq!(Ipv4Header::parse(&good[..19]), Err(Ipv4Bad::Short));
        assert_eq!(Ipv4Header::parse(&good[..25]), Err(Ipv4Bad::Short));
        let with = |at: usize, value: u8| {
            let mut bad = good.clone();
            bad[at] = value;
            Ipv4Header::parse(&bad).map(|_| ())
        };
        assert_eq!(with(0, 0x65), Err(Ipv4Bad::Version));
        assert_eq!(with(0, 0x44), Err(Ipv4Bad::HeaderLength));
        assert_eq!(with(0, 0x4f), Err(Ipv4Bad::HeaderLength));
        assert_eq!(with(8, 1), Err(Ipv4Bad::Checksum));
    }

    #[test]
    fn source_routes_and_malformed_options_are_found() {
        let with = |options: &[u8]| {
            let mut h = header();
            h.options = options.to_vec();
            h.has_source_route()
        };
        assert!(!with(&[1, 1, 7, 3, 0, 0]));
        assert!(with(&[1, 131, 3, 4]));
        assert!(with(&[7, 1, 0, 0]));
        assert!(with(&[7, 9, 0, 0]));
        assert!(!with(&[0, 131]));
    }
}
