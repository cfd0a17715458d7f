// SPDX-License-Identifier: BSD-2-Clause
//! The IPv6 header and its extension headers (RFC 8200).

use std::net::{IpAddr, Ipv6Addr};

use super::packet::{IpPacket, Mbuf};

/// Length of the fixed header in bytes.
pub const IPV6_HDR_LEN: usize = 40;
/// `IPV6_MMTU`: every link carries packets of this length (RFC 8200 section 5).
pub const IPV6_MMTU: usize = 1280;
/// Extension headers that a packet may have (`net.inet6.ip6.hdrnestlimit`).
pub const HDR_NEST_MAX: usize = 15;

/// `IPPROTO_HOPOPTS`.
pub const PROTO_HOPOPTS: u8 = 0;
/// `IPPROTO_ROUTING`.
pub const PROTO_ROUTING: u8 = 43;
/// `IPPROTO_FRAGMENT`.
pub const PROTO_FRAGMENT: u8 = 44;
/// `IPPROTO_NONE`.
pub const PROTO_NONE: u8 = 59;
/// `IPPROTO_DSTOPTS`.
pub const PROTO_DSTOPTS: u8 = 60;

/// A parsed fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Traffic class: DSCP and ECN.
    pub tos: u8,
    /// Flow label, 20 bits.
    pub flow: u32,
    /// Type of the header that follows.
    pub next: u8,
    /// Hop limit.
    pub hlim: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Splits `data` into header and payload, the link's padding taken off; `None` where the
    /// packet is short or of another version.
    pub fn parse(data: &[u8]) -> Option<(Self, &[u8])> {
        let (h, rest) = data.split_first_chunk::<IPV6_HDR_LEN>()?;
        if h[0] >> 4 != 6 {
            return None;
        }
        let payload = rest.get(..usize::from(u16::from_be_bytes([h[4], h[5]])))?;
        Some((Self::fields(h), payload))
    }

    /// Splits what an ICMPv6 error quotes, which may be cut short.
    pub fn parse_quoted(data: &[u8]) -> Option<(Self, &[u8])> {
        let (h, rest) = data.split_first_chunk::<IPV6_HDR_LEN>()?;
        (h[0] >> 4 == 6).then(|| (Self::fields(h), rest))
    }

    fn fields(h: &[u8; IPV6_HDR_LEN]) -> Self {
        let addr = |at: usize| Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| h[at + i]));
        Self {
            tos: h[0] << 4 | h[1] >> 4,
            flow: u32::from_be_bytes([0, h[1] & 0xf, h[2], h[3]]),
            next: h[6],
            hlim: h[7],
            src: addr(8),
            dst: addr(24),
        }
    }

    /// The packet of this header and `payload`, whose length is at most 65,535 bytes.
    pub fn emit(&self, payload: &[u8]) -> Vec<u8> {
        [self.bytes(payload.len()).as_slice(), payload].concat()
    }

    /// The header's bytes for a payload of this length.
    pub fn bytes(&self, payload_len: usize) -> [u8; IPV6_HDR_LEN] {
        debug_assert!(payload_len <= 0xffff);
        let word = 6 << 28 | u32::from(self.tos) << 20 | self.flow & 0xf_ffff;
        let mut data = [0; IPV6_HDR_LEN];
        data[..4].copy_from_slice(&word.to_be_bytes());
        data[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        data[6] = self.next;
        data[7] = self.hlim;
        data[8..24].copy_from_slice(&self.src.octets());
        data[24..].copy_from_slice(&self.dst.octets());
        data
    }

    /// The header of an outgoing packet; `None` where the packet is not IPv6.
    pub fn of(packet: &IpPacket) -> Option<Self> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else {
            return None;
        };
        Some(Self {
            tos: packet.tos,
            flow: packet.flow,
            next: packet.proto,
            hlim: packet.ttl,
            src,
            dst,
        })
    }

    /// The packet as a transport sees it, when `proto` is what the chain of headers ended in.
    pub fn into_packet(self, proto: u8, payload: Mbuf) -> IpPacket {
        IpPacket {
            src: self.src.into(),
            dst: self.dst.into(),
            tos: self.tos,
            ttl: self.hlim,
            flow: self.flow,
            df: true,
            proto,
            payload,
        }
    }
}

/// A fragment header (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Type of the header that the fragmented part begins with.
    pub next: u8,
    /// Offset in bytes; a multiple of 8.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
}

impl FragmentHeader {
    /// Length in bytes.
    pub const LEN: usize = 8;

    /// The header's bytes.
    pub fn emit(self) -> [u8; Self::LEN] {
        let off = (self.offset & 0xfff8 | u16::from(self.more)).to_be_bytes();
        let id = self.id.to_be_bytes();
        [self.next, 0, off[0], off[1], id[0], id[1], id[2], id[3]]
    }
}

/// Where walking the chain of extension headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// At an upper-layer header: its protocol, and its offset in the payload.
    Upper {
        /// Protocol number.
        proto: u8,
        /// Offset of the upper-layer header in the payload that was walked.
        at: usize,
    },
    /// At a fragment header; what follows it starts at `at`.
    Fragment {
        /// The header.
        header: FragmentHeader,
        /// Offset of the fragment's data in the payload that was walked.
        at: usize,
    },
    /// An unknown option or routing header demands a parameter problem (code, and pointer from the
    /// start of the IPv6 header).
    Problem {
        /// ICMPv6 code.
        code: u8,
        /// Octet at fault, counted from the start of the packet.
        pointer: u32,
    },
    /// Dropped without an answer.
    Drop,
}

/// Walks the extension headers of a packet that is for this host.
pub fn walk_chain(next: u8, payload: &[u8]) -> ChainEnd {
    let (mut next, mut at) = (next, 0_usize);
    for nesting in 0..=HDR_NEST_MAX {
        let rest = payload.get(at..).unwrap_or_default();
        match next {
            PROTO_HOPOPTS if nesting > 0 => {
                // Only directly after the fixed header (RFC 8200 section 4.1).
                return problem(1, at);
            }
            PROTO_HOPOPTS | PROTO_DSTOPTS | PROTO_ROUTING => {
                let [following, len, ..] = *rest else {
                    return ChainEnd::Drop;
                };
                let length = (usize::from(len) + 1) * 8;
                let Some(body) = rest.get(2..length) else {
                    return ChainEnd::Drop;
                };
                if next == PROTO_ROUTING {
                    // segments left: RFC 8200 section 4.4, RFC 5095 for type 0
                    if body.get(1).is_none_or(|&left| left != 0) {
                        return problem(0, at + 2);
                    }
                } else if let Some(end) = check_options(body, at + 2) {
                    return end;
                }
                next = following;
                at += length;
            }
            PROTO_FRAGMENT => {
                let Some((h, _)) = rest.split_first_chunk::<{ FragmentHeader::LEN }>() else {
                    return ChainEnd::Drop;
                };
                let off = u16::from_be_bytes([h[2], h[3]]);
                let header = FragmentHeader {
                    next: h[0],
                    offset: off & 0xfff8,
                    more: off & 1 != 0,
                    id: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
                };
                let at = at + FragmentHeader::LEN;
                return ChainEnd::Fragment { header, at };
            }
            PROTO_NONE => return ChainEnd::Drop,
            proto => return ChainEnd::Upper { proto, at },
        }
    }
    ChainEnd::Drop
}

/// Looks for options that this host does not know and may not skip (RFC 8200 section 4.2).
fn check_options(body: &[u8], at: usize) -> Option<ChainEnd> {
    let mut offset = 0;
    while let Some(&kind) = body.get(offset) {
        if kind == 0 {
            offset += 1;
            continue;
        }
        let Some(&len) = body.get(offset + 1) else {
            return Some(ChainEnd::Drop);
        };
        let known = matches!(kind, 1 | 5);
        match kind >> 6 {
            _ if known => {}
            0 => {}
            1 => return Some(ChainEnd::Drop),
            _ => return Some(problem(2, at + offset)),
        }
        offset += 2 + usize::from(len);
        if offset > body.len() {
            return Some(ChainEnd::Drop);
        }
    }
    None
}

fn problem(code: u8, at: usize) -> ChainEnd {
    ChainEnd::Problem {
        code,
        pointer: (IPV6_HDR_LEN + at) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_and_takes_padding_off() {
        let header = Ipv6Header {
            tos: 0xb9,
            flow: 0xabcde,
            next: 6,
            hlim: 64,
            src: "2001:db8::1".parse().unwrap(),
            dst: "fe80::2".parse().unwrap(),
        };
        let mut bytes = header.emit(b"xyz");
        bytes.push(0);
        assert_eq!(Ipv6Header::parse(&bytes), Some((header, b"xyz".as_slice())));
        assert_eq!(Ipv6Header::parse(&bytes[..42]), None);
    }

    #[test]
    fn known_and_skippable_headers_lead_to_the_upper_layer() {
        let hop = [60, 0, 5, 2, 0, 0, 1, 0];
        let dst = [17, 0, 0x1e, 4, 0, 0, 0, 0];
        let chain = [hop.as_slice(), &dst, b"udp"].concat();
        assert_eq!(
            walk_chain(PROTO_HOPOPTS, &chain),
            ChainEnd::Upper { proto: 17, at: 16 }
        );
    }

    #[test]
    fn options_that_may_not_be_skipped_end_the_walk() {
        let with = |kind: u8| walk_chain(PROTO_DSTOPTS, &[17, 0, kind, 4, 0, 0, 0, 0]);
        assert_eq!(with(0x40 | 0x1e), ChainEnd::Drop);
        assert_eq!(
            with(0x80 | 0x1e),
            ChainEnd::Problem {
                code: 2,
                pointer: 42
            }
        );
    }

    #[test]
    fn a_routing_header_with_segments_left_is_a_problem() {
        let chain = [6, 2, 0, 1, 0, 0, 0, 0];
        let chain = [chain.as_slice(), &[0; 16]].concat();
        assert_eq!(
            walk_chain(PROTO_ROUTING, &chain),
            ChainEnd::Problem {
                code: 0,
                pointer: 42
            }
        );
    }

    #[test]
    fn endless_chains_are_dropped() {
        let chain: Vec<u8> = [PROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0].repeat(HDR_NEST_MAX + 2);
        assert_eq!(walk_chain(PROTO_DSTOPTS, &chain), ChainEnd::Drop);
    }
}
