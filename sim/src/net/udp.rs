// SPDX-License-Identifier: BSD-2-Clause
//! UDP and raw IP (RFC 768; `netinet/udp_usrreq.c`, `netinet/raw_ip.c` and their IPv6 kin,
//! FreeBSD 15.0).
//!
//! Datagram sockets need no control block beyond their addresses, so everything here is a function
//! of the socket layer's table. A datagram is queued whole or dropped; a send never sleeps.

mod datagram;
mod raw;
#[cfg(test)]
mod socket_tests;

use std::net::IpAddr;

use super::checksum::{Sum, transport_cksum};

/// `IPPROTO_UDP`.
pub const PROTO_UDP: u8 = 17;

const HEADER: usize = 8;

/// A parsed UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port; 0 where the sender wants no answer.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
}

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpBad {
    /// Shorter than its header, or than the length that it states (`udps_hdrops`, `udps_badlen`).
    Length,
    /// Its checksum is wrong, or missing over IPv6 (`udps_badsum`, `udps_nosum`).
    Checksum,
    /// Destination port 0.
    Port,
}

impl UdpHeader {
    /// Splits a datagram, padding taken off.
    ///
    /// # Errors
    /// Why it is to be dropped.
    pub fn parse(src: IpAddr, dst: IpAddr, datagram: &[u8]) -> Result<(Self, &[u8]), UdpBad> {
        let (h, _) = datagram
            .split_first_chunk::<HEADER>()
            .ok_or(UdpBad::Length)?;
        let word = |at: usize| u16::from_be_bytes([h[at], h[at + 1]]);
        let header = Self {
            sport: word(0),
            dport: word(2),
        };
        if header.dport == 0 {
            return Err(UdpBad::Port);
        }
        let whole = datagram.get(..usize::from(word(4))).ok_or(UdpBad::Length)?;
        let data = whole.get(HEADER..).ok_or(UdpBad::Length)?;
        let sum_ok = match word(6) {
            0 => src.is_ipv4(),
            _ => transport_cksum(src, dst, PROTO_UDP, whole) == 0,
        };
        if !sum_ok {
            return Err(UdpBad::Checksum);
        }
        Ok((header, data))
    }

    /// The datagram of this header and `data`, which together have at most 65,535 bytes.
    pub fn emit(self, src: IpAddr, dst: IpAddr, data: &[u8]) -> Vec<u8> {
        let length = HEADER + data.len();
        debug_assert!(length <= 0xffff);
        let mut head = [0; HEADER];
        head[0..2].copy_from_slice(&self.sport.to_be_bytes());
        head[2..4].copy_from_slice(&self.dport.to_be_bytes());
        head[4..6].copy_from_slice(&(length as u16).to_be_bytes());
        let sum = Sum::new()
            .pseudo(src, dst, PROTO_UDP, length)
            .with(&head)
            .with(data)
            .finish();
        // 0 means that there is none, so a sum of 0 is sent as its other form.
        let sum = if sum == 0 { 0xffff } else { sum };
        head[6..8].copy_from_slice(&sum.to_be_bytes());
        [head.as_slice(), data].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(v6: bool) -> (IpAddr, IpAddr) {
        if v6 {
            (
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
            )
        } else {
            ([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
        }
    }

    const HEADER: UdpHeader = UdpHeader {
        sport: 5353,
        dport: 53,
    };

    #[test]
    fn reads_back_what_it_wrote_and_takes_padding_off() {
        for v6 in [false, true] {
            let (src, dst) = ends(v6);
            let mut bytes = HEADER.emit(src, dst, b"question");
            bytes.push(0);
            let parsed = UdpHeader::parse(src, dst, &bytes);
            assert_eq!(parsed, Ok((HEADER, b"question".as_slice())));
        }
    }

    #[test]
    fn a_missing_checksum_is_allowed_over_ipv4_only() {
        for v6 in [false, true] {
            let (src, dst) = ends(v6);
            let mut bytes = HEADER.emit(src, dst, b"x");
            bytes[6..8].fill(0);
            assert_eq!(UdpHeader::parse(src, dst, &bytes).is_ok(), !v6);
            bytes[7] = 1;
            let wrong = UdpHeader::parse(src, dst, &bytes);
            assert_eq!(wrong, Err(UdpBad::Checksum));
        }
    }

    #[test]
    fn lengths_and_port_zero_are_checked() {
        let (src, dst) = ends(false);
        let bytes = HEADER.emit(src, dst, b"abc");
        let parse = |b: &[u8]| UdpHeader::parse(src, dst, b).map(|_| ());
        assert_eq!(parse(&bytes[..7]), Err(UdpBad::Length));
        assert_eq!(parse(&bytes[..10]), Err(UdpBad::Length));
        let mut short = bytes.clone();
        short[5] = 7;
        assert_eq!(parse(&short), Err(UdpBad::Length));
        let mut zero = bytes;
        zero[2..4].fill(0);
        assert_eq!(parse(&zero), Err(UdpBad::Port));
    }
}
