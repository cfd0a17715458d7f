// SPDX-License-Identifier: BSD-2-Clause
//! `ip_output` and `ip6_output`: route, source address, fragments, next hop.

use std::net::IpAddr;

use super::{IpStack, LOMTU, LOOPBACK_DELAY, LOOPBACK_MAX, OUTPUT_MAX, is_multicast};
use crate::errno::Errno;
use crate::net::bandlim::Bandlim;
use crate::net::cx::IpLayer;
use crate::net::ether::{ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader, MacAddr};
use crate::net::ifnet::{IfIndex, IfKind};
use crate::net::ipv4::{IP_MAXPACKET, Ipv4Header};
use crate::net::ipv6::{FragmentHeader, IPV6_HDR_LEN, Ipv6Header, PROTO_FRAGMENT};
use crate::net::lltable::Resolved;
use crate::net::packet::{IpPacket, OutPacket};

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// It is for this host.
    Local,
    /// By an interface, to a neighbour there; `gateway` where that is not the destination itself.
    Link {
        ifindex: IfIndex,
        next: IpAddr,
        gateway: bool,
        to: Station,
    },
}

/// Who is meant by the next address on an Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Station {
    /// The one neighbour that has it.
    Neighbour,
    /// Those who listen to a group.
    Group,
    /// All.
    All,
}

impl IpStack {
    /// Where a packet to `dst` goes next.
    pub(super) fn hop_to(&self, dst: IpAddr) -> Option<Hop> {
        if self.is_own(dst) || is_loopback_net(dst) {
            return Some(Hop::Local);
        }
        if is_multicast(dst) || self.has_broadcast(dst) {
            let ifindex = self.group_interface(dst)?;
            return Some(self.link(ifindex, dst, false));
        }
        let route = self.fib.lookup(dst)?;
        if self.ifnets.get(route.ifindex)?.kind == IfKind::Loopback {
            return Some(Hop::Local);
        }
        let next = route.gateway.unwrap_or(dst);
        Some(self.link(route.ifindex, next, route.gateway.is_some()))
    }

    fn link(&self, ifindex: IfIndex, next: IpAddr, gateway: bool) -> Hop {
        let to = if is_multicast(next) {
            Station::Group
        } else if self.has_broadcast(next) {
            Station::All
        } else {
            Station::Neighbour
        };
        Hop::Link {
            ifindex,
            next,
            gateway,
            to,
        }
    }

    /// The interface for a group or broadcast address: that of its subnet, of its route, or the
    /// first that is not the loopback.
    fn group_interface(&self, dst: IpAddr) -> Option<IfIndex> {
        let by_subnet = self.ifnets().find(|(_, i)| match dst {
            IpAddr::V4(v4) => !v4.is_broadcast() && i.is_broadcast(v4),
            IpAddr::V6(_) => false,
        });
        by_subnet
            .map(|(index, _)| index)
            .or_else(|| self.fib.lookup(dst).map(|r| r.ifindex))
            .or_else(|| {
                self.ifnets()
                    .find(|(_, i)| i.kind != IfKind::Loopback)
                    .map(|(index, _)| index)
            })
    }

    /// Sends a transport's packet, fragmented where it must be and may.
    pub(super) fn send(&mut self, mut packet: IpPacket) -> Result<(), Errno> {
        self.stats.localout += 1;
        let Some((hop, mtu)) = self.route_to(packet.dst) else {
            self.stats.noroute += 1;
            return Err(Errno::EHOSTUNREACH);
        };
        // Only lo0 takes a checksum that is left open, and in one piece (ip_output, ip_fragment).
        if hop != Hop::Local || packet.len() > mtu {
            packet.delayed_cksum();
        } else {
            packet.pseudo_cksum();
        }
        if packet.src.is_ipv4() {
            self.send_v4(hop, mtu, packet)
        } else {
            self.send_v6(hop, mtu, packet)
        }
    }

    pub(super) fn mtu_of(&self, hop: Hop) -> u32 {
        match hop {
            Hop::Local => {
                let mut lo = self.ifnets.values().filter(|i| i.kind == IfKind::Loopback);
                lo.next().map_or(LOMTU, |i| i.mtu)
            }
            Hop::Link { ifindex, .. } => self.ifnets.get(ifindex).map_or(0, |i| i.mtu),
        }
    }

    fn send_v4(&mut self, hop: Hop, mtu: usize, packet: IpPacket) -> Result<(), Errno> {
        // RFC 6864: an atomic datagram needs no identification (`net.inet.ip.rfc6864`).
        let id = if packet.df { 0 } else { self.next_ip_id() };
        let header = Ipv4Header::of(&packet, id).ok_or(Errno::EINVAL)?;
        if header.len() + packet.payload.len() > IP_MAXPACKET {
            return Err(Errno::EMSGSIZE);
        }
        if header.len() + packet.payload.len() <= mtu {
            let bytes = header.fixed(packet.payload.len());
            return self.transmit(hop, OutPacket::with_header(&bytes, packet.payload));
        }
        self.send_v4_parts(hop, mtu, &header, &packet.payload)
    }

    fn next_ip_id(&mut self) -> u16 {
        self.ip_id = self.ip_id.wrapping_add(1).max(1);
        self.ip_id
    }

    /// Sends a header and payload as one packet or as fragments (`ip_fragment`).
    pub(super) fn send_v4_parts(
        &mut self,
        hop: Hop,
        mtu: usize,
        header: &Ipv4Header,
        payload: &[u8],
    ) -> Result<(), Errno> {
        if header.len() + payload.len() <= mtu {
            let bytes = header.bytes(payload.len());
            return self.transmit(hop, OutPacket::of(&[&bytes, payload]));
        }
        let room = mtu.saturating_sub(header.len()) & !7;
        if header.df || room == 0 {
            return Err(Errno::EMSGSIZE);
        }
        let mut result = Ok(());
        let count = payload.chunks(room).len();
        for (n, chunk) in payload.chunks(room).enumerate() {
            let mut part = header.clone();
            part.offset = header.offset + (n * room) as u16;
            part.mf = header.mf || n + 1 < count;
            self.stats.ofragments += 1;
            let bytes = part.bytes(chunk.len());
            result = result.and(self.transmit(hop, OutPacket::of(&[&bytes, chunk])));
        }
        result
    }

    fn send_v6(&mut self, hop: Hop, mtu: usize, packet: IpPacket) -> Result<(), Errno> {
        let header = Ipv6Header::of(&packet).ok_or(Errno::EINVAL)?;
        if packet.payload.len() > IP_MAXPACKET {
            return Err(Errno::EMSGSIZE);
        }
        if IPV6_HDR_LEN + packet.payload.len() <= mtu {
            let bytes = header.bytes(packet.payload.len());
            return self.transmit(hop, OutPacket::with_header(&bytes, packet.payload));
        }
        let room = mtu.saturating_sub(IPV6_HDR_LEN + FragmentHeader::LEN) & !7;
        if packet.df || room == 0 {
            return Err(Errno::EMSGSIZE);
        }
        self.frag6_id = self.frag6_id.wrapping_add(1);
        let (mut result, count) = (Ok(()), packet.payload.chunks(room).len());
        for (n, chunk) in packet.payload.chunks(room).enumerate() {
            let fragment = FragmentHeader {
                next: header.next,
                offset: (n * room) as u16,
                more: n + 1 < count,
                id: self.frag6_id,
            };
            let mut part = header;
            part.next = PROTO_FRAGMENT;
            self.stats.ofragments += 1;
            let bytes = part.bytes(FragmentHeader::LEN + chunk.len());
            let out = OutPacket::of(&[&bytes, &fragment.emit(), chunk]);
            result = result.and(self.transmit(hop, out));
        }
        result
    }

    /// Hands a whole IP packet to the link or to the loopback queue.
    pub(super) fn transmit(&mut self, hop: Hop, packet: OutPacket) -> Result<(), Errno> {
        let Hop::Link {
            ifindex,
            next,
            gateway,
            to,
        } = hop
        else {
            return self.loop_back(packet);
        };
        let ifnet = self.ifnets.get(ifindex).ok_or(Errno::ENXIO)?;
        if !ifnet.up {
            return Err(Errno::ENETDOWN);
        }
        match (ifnet.kind, to) {
            (IfKind::Loopback, _) => self.loop_back(packet),
            (IfKind::Tun, _) => self.enqueue(ifindex, packet.into_bytes()),
            (IfKind::Ethernet { .. }, Station::Group) => {
                self.send_ether(ifindex, MacAddr::of_multicast(next), packet)
            }
            (IfKind::Ethernet { .. }, Station::All) => {
                self.send_ether(ifindex, MacAddr::BROADCAST, packet)
            }
            (IfKind::Ethernet { .. }, Station::Neighbour) => {
                self.send_to_neighbour(ifindex, next, gateway, packet)
            }
        }
    }

    fn send_to_neighbour(
        &mut self,
        ifindex: IfIndex,
        next: IpAddr,
        gateway: bool,
        packet: OutPacket,
    ) -> Result<(), Errno> {
        let at = (ifindex, next);
        match self.lltable.resolve(self.now, at, packet, gateway) {
            Resolved::Send(mac, packet) => self.send_ether(ifindex, mac, packet),
            Resolved::Held { ask } => {
                if ask {
                    self.ask_neighbour(ifindex, next, None);
                }
                Ok(())
            }
            Resolved::Down { ask, errno } => {
                if ask {
                    self.ask_neighbour(ifindex, next, None);
                }
                Err(errno)
            }
        }
    }

    /// Sends an IP packet in an Ethernet frame.
    pub(super) fn send_ether(
        &mut self,
        ifindex: IfIndex,
        dst: MacAddr,
        packet: OutPacket,
    ) -> Result<(), Errno> {
        let kind = match packet.bytes().first() {
            Some(first) if first >> 4 == 4 => ETHERTYPE_IP,
            _ => ETHERTYPE_IPV6,
        };
        let src = self.mac_of(ifindex).ok_or(Errno::ENXIO)?;
        self.enqueue(ifindex, packet.into_frame(EtherHeader { dst, src, kind }))
    }

    /// Puts a frame into the queue for the links.
    pub(super) fn enqueue(&mut self, ifindex: IfIndex, frame: Vec<u8>) -> Result<(), Errno> {
        let ifnet = self.ifnets.counting(ifindex).ok_or(Errno::ENXIO)?;
        if !ifnet.up {
            return Err(Errno::ENETDOWN);
        }
        if self.output.len() >= OUTPUT_MAX {
            self.stats.odropped += 1;
            return Err(Errno::ENOBUFS);
        }
        ifnet.data.opackets += 1;
        ifnet.data.obytes += frame.len() as u64;
        self.output.push_back((ifindex, frame));
        Ok(())
    }

    fn loop_back(&mut self, packet: OutPacket) -> Result<(), Errno> {
        if self.loopback.len() >= LOOPBACK_MAX {
            self.stats.odropped += 1;
            return Err(Errno::ENOBUFS);
        }
        self.loopback
            .push_back((self.now.after(LOOPBACK_DELAY), packet));
        Ok(())
    }

    /// Source address for a new flow (`in_pcbladdr`, `in6_selectsrc`): that of the interface by
    /// which packets leave, of the right scope.
    pub(crate) fn select_source(&self, dst: IpAddr) -> Result<IpAddr, Errno> {
        if self.is_own(dst) {
            return Ok(dst);
        }
        let none = if dst.is_ipv4() {
            Errno::ENETUNREACH
        } else {
            Errno::EHOSTUNREACH
        };
        let ifindex = match self.hop_to(dst).ok_or(none)? {
            Hop::Local => {
                return self
                    .ifnets
                    .values()
                    .filter(|i| i.kind == IfKind::Loopback)
                    .find_map(|i| i.addrs.iter().find(|a| a.addr.is_ipv4() == dst.is_ipv4()))
                    .map(|a| a.addr)
                    .ok_or(Errno::EADDRNOTAVAIL);
            }
            Hop::Link { ifindex, .. } => ifindex,
        };
        let next = match self.hop_to(dst) {
            Some(Hop::Link { next, .. }) => next,
            _ => dst,
        };
        let ifnet = self.ifnets.get(ifindex).ok_or(none)?;
        match (next, dst) {
            (IpAddr::V4(next), _) => ifnet.v4_for(next).map(IpAddr::V4),
            (_, IpAddr::V6(dst)) => {
                let local = dst.is_unicast_link_local() || dst.octets()[..2] == [0xff, 0x02];
                let own = |want_local: bool| {
                    ifnet.addrs.iter().map(|a| a.addr).find(|a| match a {
                        IpAddr::V6(v6) => v6.is_unicast_link_local() == want_local,
                        IpAddr::V4(_) => false,
                    })
                };
                own(local).or_else(|| own(!local))
            }
            _ => None,
        }
        .ok_or(Errno::EADDRNOTAVAIL)
    }
}

/// 127.0.0.0/8 and ::1 never leave the host.
fn is_loopback_net(addr: IpAddr) -> bool {
    addr.is_loopback()
}

impl IpLayer for IpStack {
    fn output(&mut self, packet: IpPacket) -> Result<(), Errno> {
        self.send(packet)
    }

    fn source_for(&self, dst: IpAddr) -> Result<IpAddr, Errno> {
        self.select_source(dst)
    }

    fn is_local(&self, addr: IpAddr) -> bool {
        self.is_own(addr)
    }

    fn is_near(&self, addr: IpAddr) -> bool {
        self.is_own_or_on_link(addr)
    }

    fn is_on_link(&self, addr: IpAddr) -> bool {
        self.is_own_or_neighbour(addr)
    }

    fn is_broadcast(&self, addr: IpAddr) -> bool {
        self.has_broadcast(addr)
    }

    fn mtu_for(&self, dst: IpAddr) -> u32 {
        self.hop_to(dst).map_or(0, |hop| self.mtu_of(hop))
    }

    fn default_ttl(&self, dst: IpAddr) -> u8 {
        match dst {
            // `IP_DEFAULT_MULTICAST_TTL`, `IPV6_DEFAULT_MULTICAST_HOPS`
            _ if is_multicast(dst) => 1,
            IpAddr::V4(_) => self.sysctls.ttl,
            IpAddr::V6(_) => self.sysctls.hlim,
        }
    }

    fn badport_bandlim(&mut self, class: Bandlim) -> bool {
        self.may_answer(class)
    }
}
