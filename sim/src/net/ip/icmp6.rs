// SPDX-License-Identifier: BSD-2-Clause
//! ICMPv6 (RFC 4443) and the receiving half of neighbour discovery (RFC 4861).
//!
//! Router discovery and duplicate address detection are not done: addresses and routes are given by
//! command, as with `net.inet6.ip6.accept_rtadv=0` and `dad_count=0`.

use std::net::{IpAddr, Ipv6Addr};

use super::arp::{ALL_NODES, PROTO_ICMPV6, solicited_node};
use super::input::Arrival;
use super::{Delivery, IpStack, Ipv6First};
use crate::net::checksum::transport_cksum;
use crate::net::cx::IcmpError;
use crate::net::ether::MacAddr;
use crate::net::ifnet::IfIndex;
use crate::net::ipv6::{ChainEnd, FragmentHeader, IPV6_HDR_LEN, IPV6_MMTU, Ipv6Header, walk_chain};
use crate::net::packet::IpPacket;

const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const NEIGHBOR_SOLICIT: u8 = 135;
const NEIGHBOR_ADVERT: u8 = 136;

impl IpStack {
    /// True where the interface listens to a group: all nodes, or the solicited-node group of one
    /// of its addresses.
    pub(super) fn listens_to(&self, ifindex: IfIndex, group: Ipv6Addr) -> bool {
        let Some(ifnet) = self.ifnets.get(ifindex) else {
            return false;
        };
        group == ALL_NODES
            || ifnet.addrs.iter().any(|a| match a.addr {
                IpAddr::V6(v6) => solicited_node(v6) == group,
                IpAddr::V4(_) => false,
            })
    }

    /// Takes in an ICMPv6 message; true where raw sockets are to see it.
    pub(super) fn icmp6_input(&mut self, arrival: Arrival, packet: &IpPacket) -> bool {
        let data: &[u8] = &packet.payload;
        let good =
            data.len() >= 8 && transport_cksum(packet.src, packet.dst, PROTO_ICMPV6, data) == 0;
        let (IpAddr::V6(src), IpAddr::V6(dst), true) = (packet.src, packet.dst, good) else {
            self.stats.icmp_bad += 1;
            return false;
        };
        match data[0] {
            1..=4 => self.icmp6_error_input(data),
            // Unlike ICMP's, the request goes on to raw sockets (icmp6_input).
            ECHO_REQUEST => {
                if data[1] == 0 {
                    self.echo6(dst, packet);
                }
                true
            }
            NEIGHBOR_SOLICIT | NEIGHBOR_ADVERT => {
                // RFC 4861 sections 7.1.1 and 7.1.2: not from beyond the link.
                if packet.ttl != 255 || data[1] != 0 || data.len() < 24 {
                    self.stats.icmp_bad += 1;
                    return false;
                }
                if data[0] == NEIGHBOR_SOLICIT {
                    self.nd_solicit_input(arrival, src, data);
                } else {
                    self.nd_advert_input(arrival, data);
                }
                true
            }
            _ => true,
        }
    }

    fn icmp6_error_input(&mut self, data: &[u8]) -> bool {
        let quoted = &data[8..];
        let Some((header, rest)) = Ipv6Header::parse_quoted(quoted) else {
            self.stats.icmp_bad += 1;
            return false;
        };
        let ChainEnd::Upper { proto, at } = walk_chain(header.next, rest) else {
            return true;
        };
        let mtu = match data[0] {
            2 => u32::from_be_bytes([data[4], data[5], data[6], data[7]]),
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
            proto,
            quoted: rest.get(at..).unwrap_or_default().to_vec(),
        });
        true
    }

    fn echo6(&mut self, dst: Ipv6Addr, packet: &IpPacket) {
        if !self.icmp6_ratelimit(ECHO_REPLY) {
            return;
        }
        let own = if dst.is_multicast() {
            self.select_source(packet.src).ok()
        } else {
            Some(packet.dst)
        };
        if let Some(from) = own {
            let mut message = packet.payload.to_vec();
            message[0] = ECHO_REPLY;
            self.send_icmp6(from, packet.src, message);
        }
    }

    fn send_icmp6(&mut self, from: IpAddr, to: IpAddr, mut message: Vec<u8>) {
        message[2] = 0;
        message[3] = 0;
        let sum = transport_cksum(from, to, PROTO_ICMPV6, &message).to_be_bytes();
        message[2] = sum[0];
        message[3] = sum[1];
        self.stats.icmp_sent += 1;
        let _lost = self.send(IpPacket {
            src: from,
            dst: to,
            tos: 0,
            ttl: self.sysctls.hlim,
            flow: 0,
            df: false,
            proto: PROTO_ICMPV6,
            payload: message.into(),
        });
    }

    /// `nd6_ns_input`.
    fn nd_solicit_input(&mut self, arrival: Arrival, src: Ipv6Addr, data: &[u8]) {
        let (Some(target), Some(mac)) = (target_of(data), nd_options(data, 1)) else {
            self.stats.icmp_bad += 1;
            return;
        };
        let ours = self
            .ifnets
            .get(arrival.rcvif)
            .is_some_and(|i| i.addrs.iter().any(|a| a.addr == IpAddr::V6(target)));
        if !ours {
            return;
        }
        if src.is_unspecified() {
            // Somebody checks whether the address is free: it is not (RFC 4862 section 5.4.3).
            let to = MacAddr::of_multicast(ALL_NODES.into());
            return self.advertise(arrival.rcvif, to, (target, ALL_NODES), 0x20);
        }
        let at = (arrival.rcvif, IpAddr::V6(src));
        if let Some(mac) = mac {
            let held = self.lltable.nd_solicited_by(self.now, at, mac);
            self.send_held(arrival.rcvif, mac, held);
        }
        let known = self.lltable.entries.get(&at).and_then(|e| e.mac);
        if let Some(to) = known {
            self.advertise(arrival.rcvif, to, (target, src), 0x60);
        }
    }

    /// `nd6_na_input`.
    fn nd_advert_input(&mut self, arrival: Arrival, data: &[u8]) {
        let (Some(target), Some(mac)) = (target_of(data), nd_options(data, 2)) else {
            self.stats.icmp_bad += 1;
            return;
        };
        let (solicited, overrides) = (data[4] & 0x40 != 0, data[4] & 0x20 != 0);
        if self.is_own(target.into()) || solicited && arrival.group {
            self.stats.badaddr += 1;
            return;
        }
        let at = (arrival.rcvif, IpAddr::V6(target));
        let held = self
            .lltable
            .nd_advertised(self.now, at, mac, solicited, overrides);
        if let Some(mac) = self.lltable.entries.get(&at).and_then(|e| e.mac) {
            self.send_held(arrival.rcvif, mac, held);
        }
    }

    /// Answers a packet of IPv6 with an error, unless it must not be answered (RFC 4443 section 2.4).
    ///
    /// `aux` is the MTU of a "packet too big" or the pointer of a "parameter problem".
    pub(super) fn icmp6_error(
        &mut self,
        (kind, code): (u8, u8),
        aux: u32,
        header: Ipv6Header,
        payload: &[u8],
    ) {
        let about_group = header.dst.is_multicast() && kind != 2 && (kind, code) != (4, 2);
        let from_nobody = header.src.is_unspecified() || header.src.is_multicast();
        if about_group || from_nobody || is_error(header.next, payload) {
            return;
        }
        if !self.icmp6_ratelimit(kind) {
            return;
        }
        let to = IpAddr::V6(header.src);
        let from = if self.is_own(header.dst.into()) {
            header.dst.into()
        } else {
            match self.select_source(to) {
                Ok(from) => from,
                Err(_) => return,
            }
        };
        let mut message = vec![kind, code, 0, 0];
        message.extend_from_slice(&aux.to_be_bytes());
        let whole = header.emit(payload);
        let room = IPV6_MMTU - IPV6_HDR_LEN - 8;
        message.extend_from_slice(whole.get(..room).unwrap_or(&whole));
        self.send_icmp6(from, to, message);
    }

    /// A neighbour did not answer for a packet that waits (`nd6_llinfo_timer`).
    pub(super) fn neighbour_unreachable(&mut self, packet: &[u8]) {
        if let Some((header, payload)) = Ipv6Header::parse(packet) {
            self.icmp6_error((1, 3), 0, header, payload);
        }
    }

    /// A datagram's fragments did not all come (`frag6_freef`).
    pub(super) fn reassembly_timeout6(&mut self, first: &Ipv6First) {
        self.icmp6_error((3, 1), 0, first.header, &first.quote);
    }
}

/// True where the packet carries an ICMPv6 error, or a redirect, however deep in its headers.
fn is_error(next: u8, payload: &[u8]) -> bool {
    let (proto, at) = match walk_chain(next, payload) {
        ChainEnd::Upper { proto, at } => (proto, at),
        ChainEnd::Fragment {
            header: FragmentHeader { next, offset, .. },
            at,
        } => {
            if offset != 0 {
                return next == PROTO_ICMPV6;
            }
            (next, at)
        }
        ChainEnd::Problem { .. } | ChainEnd::Drop => return false,
    };
    proto == PROTO_ICMPV6
        && payload
            .get(at)
            .is_none_or(|&kind| kind < 128 || kind == 137)
}

/// The target of a solicitation or advertisement; `None` where it is a group.
fn target_of(data: &[u8]) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = data.get(8..24)?.try_into().ok()?;
    Some(Ipv6Addr::from(octets)).filter(|t| !t.is_multicast())
}

/// The link-layer address in the options, if any; `None` where the options are malformed.
fn nd_options(data: &[u8], wanted: u8) -> Option<Option<MacAddr>> {
    let mut rest = data.get(24..)?;
    let mut found = None;
    while let [kind, units, ..] = *rest {
        let length = usize::from(units) * 8;
        if length == 0 {
            return None;
        }
        let option = rest.get(..length)?;
        if kind == wanted && units == 1 {
            found = option[2..8].try_into().ok().map(MacAddr);
        }
        rest = &rest[length..];
    }
    rest.is_empty()
        .then_some(found.filter(|mac| !mac.is_group()))
}
