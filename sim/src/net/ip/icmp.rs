// SPDX-License-Identifier: BSD-2-Clause
//! ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2; `netinet/ip_icmp.c`, FreeBSD 15.0).
//!
//! Redirects are counted as malformed and obeyed by nobody here: routes change by command only.

use std::net::{IpAddr, Ipv4Addr};

use super::input::{Arrival, PROTO_ICMP};
use super::{Delivery, IpStack};
use crate::net::bandlim::Bandlim;
use crate::net::checksum::in_cksum;
use crate::net::cx::IcmpError;
use crate::net::ifnet::{IfIndex, Ifnet};
use crate::net::ipv4::{IPV4_HDR_LEN, Ipv4Header};
use crate::net::packet::{IpPacket, Mbuf};

const ECHOREPLY: u8 = 0;
const UNREACH: u8 = 3;
const ECHO: u8 = 8;
const TIMXCEED: u8 = 11;
const PARAMPROB: u8 = 12;
const TSTAMP: u8 = 13;
const TSTAMPREPLY: u8 = 14;

/// Length of the fixed part of an ICMP message.
const ICMP_MINLEN: usize = 8;

/// True for the messages that ask or answer, to which errors may be sent (`ICMP_INFOTYPE`).
fn is_info(kind: u8) -> bool {
    matches!(kind, ECHOREPLY | ECHO | 9 | 10 | 13..=18)
}

/// Path MTUs that networks have, the table of RFC 1191 as FreeBSD keeps it.
const PLATEAUS: [u16; 12] = [
    65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_280, 1_006, 508, 296, 68,
];

/// The path MTU to try when a packet of this length was too big (`ip_next_mtu`, 15.0); 0 below the
/// least.
fn next_plateau(len: u16) -> u32 {
    let smaller = PLATEAUS.iter().find(|mtu| **mtu < len);
    smaller.map_or(0, |mtu| u32::from(*mtu))
}

impl IpStack {
    /// Takes in an ICMP message; true where raw sockets are to see it.
    pub(super) fn icmp_input(&mut self, arrival: Arrival, packet: &IpPacket) -> bool {
        let data: &[u8] = &packet.payload;
        if data.len() < ICMP_MINLEN || in_cksum(data) != 0 {
            self.stats.icmp_bad += 1;
            return false;
        }
        let (kind, code) = (data[0], data[1]);
        match (kind, code) {
            (UNREACH, 0..=15) | (TIMXCEED | PARAMPROB, 0..=1) => self.icmp_error_input(data),
            (UNREACH | TIMXCEED | PARAMPROB, _) => {
                self.stats.icmp_bad += 1;
                true
            }
            (ECHO, _) => {
                let quiet = arrival.group && !self.sysctls.bmcastecho;
                if !quiet && self.may_answer(Bandlim::IcmpEcho) {
                    let mut reply = data.to_vec();
                    reply[0] = ECHOREPLY;
                    self.icmp_reflect(arrival, packet, reply);
                }
                false
            }
            (TSTAMP, _) if self.sysctls.tstamprepl => {
                let quiet = arrival.group && !self.sysctls.bmcastecho;
                if data.len() >= 20 && !quiet && self.may_answer(Bandlim::IcmpTstamp) {
                    // Milliseconds of the virtual day that began at boot (`iptime`).
                    let now = (self.now.as_nanos() / 1_000_000 % 86_400_000) as u32;
                    let mut reply = data.to_vec();
                    reply[0] = TSTAMPREPLY;
                    reply[12..16].copy_from_slice(&now.to_be_bytes());
                    reply[16..20].copy_from_slice(&now.to_be_bytes());
                    self.icmp_reflect(arrival, packet, reply);
                }
                false
            }
            (5, _) => {
                self.stats.icmp_bad += 1;
                true
            }
            _ => true,
        }
    }

    /// An error about a packet of ours: the quoted header says whose.
    fn icmp_error_input(&mut self, data: &[u8]) -> bool {
        let quoted = &data[ICMP_MINLEN..];
        let Some(inner) = Ipv4Header::parse_quoted(quoted) else {
            self.stats.icmp_bad += 1;
            return false;
        };
        let (header, rest) = inner;
        if header.dst.is_multicast() || rest.len() < 8 {
            self.stats.icmp_bad += 1;
            return false;
        }
        let mtu = match (data[0], data[1]) {
            (UNREACH, 4) => match u16::from_be_bytes([data[6], data[7]]) {
                // A router older than RFC 1191 does not say.
                0 => next_plateau(u16::from_be_bytes([quoted[2], quoted[3]])),
                said => u32::from(said),
            },
            _ => 0,
        };
        self.deliveries.push_back(Delivery::Error {
            error: IcmpError {
                kind: data[0],
                code: data[1],
                mtu,
            },
            src: header.src.into(),
            dst: header.dst.into(),
            proto: header.proto,
            quoted: rest.to_vec(),
        });
        true
    }

    /// Sends a message back to where `packet` came from (`icmp_reflect`).
    fn icmp_reflect(&mut self, arrival: Arrival, packet: &IpPacket, mut message: Vec<u8>) {
        let IpAddr::V4(to) = packet.src else {
            return;
        };
        if to.is_unspecified() || to.is_multicast() || self.has_broadcast(packet.src) {
            return; // a bad return address
        }
        let Some(from) = self.icmp_source(arrival.rcvif, packet.dst, to) else {
            return;
        };
        message[2] = 0;
        message[3] = 0;
        let sum = in_cksum(&message).to_be_bytes();
        message[2] = sum[0];
        message[3] = sum[1];
        let reply = IpPacket {
            src: from.into(),
            dst: packet.src,
            tos: packet.tos,
            ttl: self.sysctls.ttl,
            flow: 0,
            df: packet.df,
            proto: PROTO_ICMP,
            payload: message.into(),
        };
        self.stats.icmp_sent += 1;
        let _lost = self.send(reply);
    }

    /// The address that an answer comes from: the one that was asked, or one of the interface.
    fn icmp_source(&self, rcvif: IfIndex, asked: IpAddr, to: Ipv4Addr) -> Option<Ipv4Addr> {
        if let IpAddr::V4(own) = asked
            && (self.is_own(asked) || own.is_loopback())
        {
            return Some(own);
        }
        let of = |i: &Ifnet| i.v4_for(to);
        self.ifnets
            .get(rcvif)
            .and_then(of)
            .or_else(|| self.ifnets.values().find_map(of))
    }

    /// Answers a packet of IPv4 with an error, unless it is one that must not be answered
    /// (RFC 1122 section 3.2.2).
    ///
    /// `aux` is the next hop's MTU in a "fragmentation needed".
    pub(super) fn icmp_error(
        &mut self,
        arrival: Arrival,
        (kind, code): (u8, u8),
        aux: u32,
        header: &Ipv4Header,
        payload: &[u8],
    ) {
        let answers_error =
            header.proto == PROTO_ICMP && !payload.first().is_some_and(|&k| is_info(k));
        if arrival.group || header.offset != 0 || answers_error || header.dst.is_multicast() {
            return;
        }
        let transport = match (header.proto, payload.get(12)) {
            // the whole TCP header, whatever `quotelen` says
            (6, Some(off)) => usize::from(off >> 4) * 4,
            _ => 8,
        };
        let quote = transport
            .max(self.sysctls.quotelen as usize)
            .min(payload.len());
        let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
        if (kind, code) == (UNREACH, 4) {
            let mtu = u16::try_from(aux).unwrap_or(u16::MAX).to_be_bytes();
            message[6] = mtu[0];
            message[7] = mtu[1];
        }
        // The quoted total length is the packet's own, not the quote's.
        let whole = header.emit(payload);
        message.extend_from_slice(&whole[..header.len() + quote]);
        let mut packet = header.clone().into_packet(Mbuf::default());
        (packet.tos, packet.df) = (0, false);
        self.icmp_reflect(arrival, &packet, message);
    }

    /// Answers a packet that a transport did not want: (3, 3) no port, (3, 2) no protocol.
    pub fn icmp_unreach(&mut self, rcvif: IfIndex, code: u8, id: u16, packet: &IpPacket) {
        let arrival = Arrival {
            rcvif,
            group: false,
            looped: false,
        };
        if let Some(header) = Ipv4Header::of(packet, id) {
            let fits = packet.payload.len() + IPV4_HDR_LEN <= super::super::ipv4::IP_MAXPACKET;
            // Only of ports that are not there the answers are limited (`udp_input`).
            if fits && (code != 3 || self.may_answer(Bandlim::IcmpUnreach)) {
                self.icmp_error(arrival, (UNREACH, code), 0, &header, &packet.payload);
            }
        } else if let Some(header) = crate::net::ipv6::Ipv6Header::of(packet) {
            // No port is code 4 in ICMPv6; an unknown protocol is a parameter problem.
            let (kind, pointer) = if code == 3 { ((1, 4), 0) } else { ((4, 1), 6) };
            if code != 3 || self.may_answer(Bandlim::Icmp6Unreach) {
                self.icmp6_error(kind, pointer, header, &packet.payload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_plateau_is_below_the_packet_that_was_too_big() {
        for (len, mtu) in [
            (65_535, 32_000),
            (1_500, 1_492),
            (1_492, 1_280),
            (68, 0),
            (0, 0),
        ] {
            assert_eq!(next_plateau(len), mtu);
        }
    }
}
