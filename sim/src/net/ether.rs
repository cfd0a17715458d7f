// SPDX-License-Identifier: BSD-2-Clause
//! Ethernet frames (without preamble and frame check sequence) and ARP packets (RFC 826).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of an Ethernet header in bytes.
pub const ETHER_HDR_LEN: usize = 14;
/// `ETHERTYPE_IP`.
pub const ETHERTYPE_IP: u16 = 0x0800;
/// `ETHERTYPE_ARP`.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// `ETHERTYPE_IPV6`.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A 48-bit MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The address of all stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// True for group addresses, broadcast included.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The group address onto which an IPv4 (RFC 1112 section 6.4) or IPv6 (RFC 2464 section 7)
    /// multicast address is mapped.
    pub fn of_multicast(group: IpAddr) -> Self {
        match group {
            IpAddr::V4(group) => {
                let [_, b, c, d] = group.octets();
                Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
            }
            IpAddr::V6(group) => {
                let o = group.octets();
                Self([0x33, 0x33, o[12], o[13], o[14], o[15]])
            }
        }
    }

    /// The link-local IPv6 address that follows from this one (RFC 2464 section 5).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0.map(u16::from);
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            (a ^ 2) << 8 | b,
            c << 8 | 0xff,
            0xfe00 | d,
            e << 8 | f,
        )
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The header of an Ethernet frame (`ether_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtherHeader {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// Ethertype of the payload.
    pub kind: u16,
}

impl EtherHeader {
    /// The header and payload of `frame`, or `None` where it is shorter than a header.
    pub fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (dst, rest) = frame.split_first_chunk()?;
        let (src, rest) = rest.split_first_chunk()?;
        let (kind, payload) = rest.split_first_chunk()?;
        let header = Self {
            dst: MacAddr(*dst),
            src: MacAddr(*src),
            kind: u16::from_be_bytes(*kind),
        };
        Some((header, payload))
    }

    /// The header's bytes.
    pub fn bytes(self) -> [u8; ETHER_HDR_LEN] {
        let mut data = [0; ETHER_HDR_LEN];
        data[..6].copy_from_slice(&self.dst.0);
        data[6..12].copy_from_slice(&self.src.0);
        data[12..].copy_from_slice(&self.kind.to_be_bytes());
        data
    }

    /// The frame of this header and `payload`.
    pub fn emit(self, payload: &[u8]) -> Vec<u8> {
        [self.bytes().as_slice(), payload].concat()
    }
}

/// What an ARP packet asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOp {
    /// `ARPOP_REQUEST`.
    Request,
    /// `ARPOP_REPLY`.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Operation.
    pub op: ArpOp,
    /// Sender's hardware address.
    pub sha: MacAddr,
    /// Sender's protocol address.
    pub spa: Ipv4Addr,
    /// Target's hardware address; meaningless in a request.
    pub tha: MacAddr,
    /// Target's protocol address.
    pub tpa: Ipv4Addr,
}

impl ArpPacket {
    /// Length in bytes.
    pub const LEN: usize = 28;

    /// Parses a packet; `None` where it is short, or not about IPv4 over Ethernet.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (p, _padding) = data.split_first_chunk::<{ Self::LEN }>()?;
        if p[..6] != [0, 1, 0x08, 0x00, 6, 4] {
            return None;
        }
        let op = match [p[6], p[7]] {
            [0, 1] => ArpOp::Request,
            [0, 2] => ArpOp::Reply,
            _ => return None,
        };
        let mac = |at: usize| MacAddr(std::array::from_fn(|i| p[at + i]));
        let ip = |at: usize| Ipv4Addr::new(p[at], p[at + 1], p[at + 2], p[at + 3]);
        Some(Self {
            op,
            sha: mac(8),
            spa: ip(14),
            tha: mac(18),
            tpa: ip(24),
        })
    }

    /// The packet's bytes.
    pub fn emit(self) -> Vec<u8> {
        let op = match self.op {
            ArpOp::Request => 1,
            ArpOp::Reply => 2,
        };
        let mut data = vec![0, 1, 0x08, 0x00, 6, 4, 0, op];
        data.extend_from_slice(&self.sha.0);
        data.extend_from_slice(&self.spa.octets());
        data.extend_from_slice(&self.tha.0);
        data.extend_from_slice(&self.tpa.octets());
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arp_reads_back_what_it_wrote_and_refuses_other_hardware() {
        let packet = ArpPacket {
            op: ArpOp::Request,
            sha: MacAddr([2, 0, 0, 0, 0, 1]),
            spa: Ipv4Addr::new(10, 0, 0, 1),
            tha: MacAddr::default(),
            tpa: Ipv4Addr::new(10, 0, 0, 2),
        };
        let mut bytes = packet.emit();
        assert_eq!(ArpPacket::parse(&bytes), Some(packet));
        assert_eq!(ArpPacket::parse(&bytes[..27]), None);
        bytes[1] = 6;
        assert_eq!(ArpPacket::parse(&bytes), None);
    }

    #[test]
    fn link_local_address_flips_the_universal_bit() {
        let mac = MacAddr([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
        assert_eq!(mac.link_local().to_string(), "fe80::11:22ff:fe33:4455");
    }

    #[test]
    fn multicast_maps_the_low_bits_only() {
        let mac = MacAddr::of_multicast("239.129.2.3".parse().unwrap());
        assert_eq!(mac, MacAddr([0x01, 0x00, 0x5e, 0x01, 0x02, 0x03]));
    }
}
