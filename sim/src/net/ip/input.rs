// SPDX-License-Identifier: BSD-2-Clause
//! `ether_input`, `ip_input`, `ip6_input` and forwarding.

use std::net::{IpAddr, Ipv4Addr};

use super::arp::PROTO_ICMPV6;
use super::output::Hop;
use super::{Delivery, IpStack, Ipv6First, is_multicast};
use crate::errno::Errno;
use crate::net::ether::{ETHER_HDR_LEN, ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader};
use crate::net::ifnet::{IfIndex, IfKind};
use crate::net::ipv4::Ipv4Header;
use crate::net::ipv6::{
    ChainEnd, FragmentHeader, IPV6_HDR_LEN, Ipv6Header, PROTO_FRAGMENT, walk_chain,
};
use crate::net::packet::{IpPacket, Mbuf, OutPacket};
use crate::net::reass::{FragKey, Fragment};

/// `IPPROTO_ICMP`.
pub(super) const PROTO_ICMP: u8 = 1;

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Interface.
    pub(super) rcvif: IfIndex,
    /// In a frame to a group address (`M_BCAST`, `M_MCAST`).
    pub(super) group: bool,
    /// From the loopback queue.
    pub(super) looped: bool,
}

impl IpStack {
    /// Takes in a frame from the link of an interface.
    pub fn input(&mut self, ifindex: IfIndex, frame: impl Into<Mbuf>) {
        self.frame_input(ifindex, frame.into());
    }

    fn frame_input(&mut self, ifindex: IfIndex, mut frame: Mbuf) {
        let Some(ifnet) = self.ifnets.counting(ifindex) else {
            return;
        };
        if !ifnet.up {
            return;
        }
        ifnet.data.ipackets += 1;
        ifnet.data.ibytes += frame.len() as u64;
        let IfKind::Ethernet { mac } = ifnet.kind else {
            return self.ip_any_input(ifindex, frame);
        };
        let Some((header, _)) = EtherHeader::parse(&frame) else {
            ifnet.data.iqdrops += 1;
            return;
        };
        let group = header.dst.is_group();
        if !group && header.dst != mac || header.src.is_group() {
            ifnet.data.iqdrops += 1;
            return;
        }
        let arrival = Arrival {
            rcvif: ifindex,
            group,
            looped: false,
        };
        frame.trim_front(ETHER_HDR_LEN);
        match header.kind {
            ETHERTYPE_ARP => self.arp_input(ifindex, &frame),
            ETHERTYPE_IP => self.ip_input(arrival, frame),
            ETHERTYPE_IPV6 => self.ip6_input(arrival, frame),
            _ => ifnet.data.iqdrops += 1,
        }
    }

    /// Takes in a bare IP packet.
    fn ip_any_input(&mut self, rcvif: IfIndex, packet: Mbuf) {
        let arrival = Arrival {
            rcvif,
            group: false,
            looped: false,
        };
        self.ip_by_version(arrival, packet);
    }

    fn ip_by_version(&mut self, arrival: Arrival, packet: Mbuf) {
        match packet.first().map(|first| first >> 4) {
            Some(4) => self.ip_input(arrival, packet),
            Some(6) => self.ip6_input(arrival, packet),
            _ => self.stats.bad += 1,
        }
    }

    /// Delivers what the loopback queue holds and is due.
    pub(super) fn run_loopback(&mut self) {
        let rcvif = self
            .ifnets()
            .find(|(_, i)| i.kind == IfKind::Loopback)
            .map_or(IfIndex(0), |(index, _)| index);
        while let Some((due, _)) = self.loopback.front() {
            if *due > self.now {
                break;
            }
            if let Some((_, packet)) = self.loopback.pop_front() {
                let arrival = Arrival {
                    rcvif,
                    group: false,
                    looped: true,
                };
                let mut packet = packet.into_mbuf();
                packet.looped();
                self.ip_by_version(arrival, packet);
            }
        }
    }

    fn ip_input(&mut self, arrival: Arrival, mut packet: Mbuf) {
        self.stats.total += 1;
        let Ok((header, payload)) = Ipv4Header::parse(&packet) else {
            self.stats.bad += 1;
            return;
        };
        let length = payload.len();
        packet.trim_front(header.len());
        packet.truncate(length);
        let loopback = header.src.is_loopback() || header.dst.is_loopback();
        let bad_source =
            header.src.is_multicast() || header.src.is_broadcast() || header.dst.is_unspecified();
        if loopback && !arrival.looped || bad_source || header.has_source_route() {
            self.stats.badaddr += 1;
            return;
        }
        let dst = IpAddr::V4(header.dst);
        if self.is_own_unicast(dst) {
            return self.ip_local(arrival, header, packet);
        }
        let group = self.has_broadcast(dst) || header.dst == Ipv4Addr::new(224, 0, 0, 1);
        if group || arrival.looped {
            let arrival = Arrival {
                group: arrival.group || group,
                ..arrival
            };
            return self.ip_local(arrival, header, packet);
        }
        if !self.sysctls.forwarding || arrival.group || header.dst.is_multicast() {
            self.stats.cantforward += 1;
            return;
        }
        self.ip_forward(arrival, header, &packet);
    }

    /// Reassembles and delivers a packet for this host.
    fn ip_local(&mut self, arrival: Arrival, mut header: Ipv4Header, payload: Mbuf) {
        if !header.mf && header.offset == 0 {
            let id = header.id;
            let packet = header.into_packet(payload);
            return self.deliver(arrival, id, packet);
        }
        self.stats.fragments += 1;
        let key = FragKey {
            src: header.src.into(),
            dst: header.dst.into(),
            proto: header.proto,
            id: header.id.into(),
        };
        let fragment = Fragment {
            offset: header.offset.into(),
            more: header.mf,
            ecn: header.tos & 3,
            data: payload.into_vec(),
            header: {
                header.df = false;
                header
            },
        };
        if let Some(whole) = self.reass4.insert(self.now, key, fragment) {
            self.stats.reassembled += 1;
            let mut header = whole.header;
            header.tos = header.tos & !3 | whole.ecn;
            let id = header.id;
            self.deliver(arrival, id, header.into_packet(whole.payload.into()));
        }
    }

    /// `ip_forward`, `netinet/ip_input.c`, FreeBSD 15.0.
    fn ip_forward(&mut self, arrival: Arrival, mut header: Ipv4Header, payload: &[u8]) {
        if header.ttl <= 1 {
            return self.icmp_error(arrival, (11, 0), 0, &header, payload);
        }
        let hop = match self.hop_to(header.dst.into()) {
            Some(hop @ Hop::Link { .. }) => hop,
            Some(Hop::Local) | None => {
                self.stats.noroute += 1;
                return self.icmp_error(arrival, (3, 1), 0, &header, payload);
            }
        };
        header.ttl -= 1;
        let mtu = self.mtu_of(hop);
        let sent = self.send_v4_parts(hop, mtu as usize, &header, payload);
        header.ttl += 1;
        match sent {
            Ok(()) => self.stats.forward += 1,
            Err(Errno::EMSGSIZE) => self.icmp_error(arrival, (3, 4), mtu, &header, payload),
            Err(Errno::ENOBUFS) => {}
            Err(_) => self.icmp_error(arrival, (3, 1), 0, &header, payload),
        }
    }

    fn ip6_input(&mut self, arrival: Arrival, mut packet: Mbuf) {
        self.stats.total += 1;
        let Some((header, payload)) = Ipv6Header::parse(&packet) else {
            self.stats.bad += 1;
            return;
        };
        let length = payload.len();
        packet.trim_front(IPV6_HDR_LEN);
        packet.truncate(length);
        let loopback = header.src.is_loopback() || header.dst.is_loopback();
        let mapped = header.src.to_ipv4_mapped().is_some() || header.dst.to_ipv4_mapped().is_some();
        if loopback && !arrival.looped
            || mapped
            || header.src.is_multicast()
            || header.dst.is_unspecified()
        {
            self.stats.badaddr += 1;
            return;
        }
        let group = header.dst.is_multicast();
        if group || self.is_own(header.dst.into()) || arrival.looped {
            if group && !arrival.looped && !self.listens_to(arrival.rcvif, header.dst) {
                return;
            }
            let arrival = Arrival {
                group: arrival.group || group,
                ..arrival
            };
            return self.ip6_local(arrival, header, packet);
        }
        let local_scope = header.src.is_unicast_link_local() || header.dst.is_unicast_link_local();
        if !self.sysctls.forwarding6 || arrival.group || local_scope {
            self.stats.cantforward += 1;
            return;
        }
        self.ip6_forward(arrival, header, &packet);
    }

    /// Walks the extension headers, reassembles and delivers a packet for this host.
    fn ip6_local(&mut self, arrival: Arrival, header: Ipv6Header, mut payload: Mbuf) {
        match walk_chain(header.next, &payload) {
            ChainEnd::Upper { proto, at } => {
                payload.trim_front(at);
                self.deliver(arrival, 0, header.into_packet(proto, payload));
            }
            ChainEnd::Fragment {
                header: fragment,
                at,
            } => self.fragment6(arrival, header, fragment, &payload, at),
            ChainEnd::Problem { code, pointer } => {
                self.icmp6_error((4, code), pointer, header, &payload);
            }
            ChainEnd::Drop => self.stats.bad += 1,
        }
    }

    fn fragment6(
        &mut self,
        arrival: Arrival,
        header: Ipv6Header,
        fragment: FragmentHeader,
        payload: &[u8],
        at: usize,
    ) {
        self.stats.fragments += 1;
        let data = payload.get(at..).unwrap_or_default().to_vec();
        if fragment.offset == 0 && !fragment.more {
            // A whole datagram in a fragment's clothes meets no other (RFC 6946 section 4).
            return self.reassembled6(arrival, header, fragment.next, &data);
        }
        // Not a multiple of eight bytes, or beyond the longest datagram: the sender is told where
        // (RFC 8200 section 4.5; frag6_input).
        if fragment.more && data.len() % 8 != 0 {
            return self.icmp6_error((4, 0), 4, header, payload);
        }
        if usize::from(fragment.offset) + data.len() > 0xffff {
            let pointer = IPV6_HDR_LEN + at.saturating_sub(FragmentHeader::LEN) + 2;
            return self.icmp6_error((4, 0), pointer as u32, header, payload);
        }
        let mut first = Ipv6First {
            header,
            next: fragment.next,
            quote: Vec::new(),
        };
        if fragment.offset == 0 {
            first.quote = payload.to_vec();
        }
        let key = FragKey {
            src: header.src.into(),
            dst: header.dst.into(),
            proto: 0,
            id: fragment.id,
        };
        let fragment = Fragment {
            offset: fragment.offset.into(),
            more: fragment.more,
            ecn: header.tos & 3,
            header: first,
            data,
        };
        let Some(whole) = self.reass6.insert(self.now, key, fragment) else {
            return;
        };
        self.stats.reassembled += 1;
        let mut header = whole.header.header;
        header.tos = header.tos & !3 | whole.ecn;
        self.reassembled6(arrival, header, whole.header.next, &whole.payload);
    }

    /// Goes on with what a fragment header was before.
    fn reassembled6(&mut self, arrival: Arrival, header: Ipv6Header, next: u8, payload: &[u8]) {
        match walk_chain(next, payload) {
            ChainEnd::Upper { proto, at } if proto != PROTO_FRAGMENT => {
                let data = payload.get(at..).unwrap_or_default().into();
                self.deliver(arrival, 0, header.into_packet(proto, data));
            }
            _ => self.stats.bad += 1,
        }
    }

    fn ip6_forward(&mut self, _arrival: Arrival, mut header: Ipv6Header, payload: &[u8]) {
        if header.hlim <= 1 {
            return self.icmp6_error((3, 0), 0, header, payload);
        }
        let hop = match self.hop_to(header.dst.into()) {
            Some(hop @ Hop::Link { .. }) => hop,
            Some(Hop::Local) | None => {
                self.stats.noroute += 1;
                return self.icmp6_error((1, 0), 0, header, payload);
            }
        };
        let mtu = self.mtu_of(hop);
        let original = header;
        header.hlim -= 1;
        let packet = OutPacket::of(&[&header.bytes(payload.len()), payload]);
        if packet.bytes().len() > mtu as usize {
            return self.icmp6_error((2, 0), mtu, original, payload);
        }
        match self.transmit(hop, packet) {
            Ok(()) => self.stats.forward += 1,
            Err(_) => self.icmp6_error((1, 3), 0, original, payload),
        }
    }

    /// Hands a whole packet to ICMP or leaves it for the transports.
    fn deliver(&mut self, arrival: Arrival, id: u16, packet: IpPacket) {
        self.stats.delivered += 1;
        let v4 = packet.dst.is_ipv4();
        let to_raw = match packet.proto {
            PROTO_ICMP if v4 => self.icmp_input(arrival, &packet),
            PROTO_ICMPV6 if !v4 => self.icmp6_input(arrival, &packet),
            _ => true,
        };
        if to_raw {
            self.deliveries.push_back(Delivery::Packet {
                broadcast: arrival.group || is_multicast(packet.dst),
                packet,
                id,
                rcvif: arrival.rcvif,
            });
        }
    }
}
