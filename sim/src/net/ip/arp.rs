// SPDX-License-Identifier: BSD-2-Clause
//! Asking for neighbours and answering for own addresses: ARP, and the sending half of ND.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::IpStack;
use crate::net::checksum::transport_cksum;
use crate::net::ether::{ArpOp, ArpPacket, ETHERTYPE_ARP, ETHERTYPE_IPV6, EtherHeader, MacAddr};
use crate::net::ifnet::IfIndex;
use crate::net::ipv6::Ipv6Header;
use crate::net::packet::OutPacket;

/// `IPPROTO_ICMPV6`.
pub(super) const PROTO_ICMPV6: u8 = 58;

/// All nodes of the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group on which the owner of `addr` listens for solicitations (RFC 4291 section 2.7.1).
pub(super) fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = addr.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a & 0xff, b)
}

impl IpStack {
    /// Takes in an ARP packet (`in_arpinput`, `netinet/if_ether.c`, FreeBSD 15.0).
    pub(super) fn arp_input(&mut self, ifindex: IfIndex, data: &[u8]) {
        let (Some(arp), Some(mac)) = (ArpPacket::parse(data), self.mac_of(ifindex)) else {
            self.stats.bad += 1;
            return;
        };
        let own = |stack: &Self, addr: Ipv4Addr| {
            stack
                .ifnets
                .get(ifindex)
                .is_some_and(|i| i.addrs.iter().any(|a| a.addr == IpAddr::V4(addr)))
        };
        // Own frames that came back, group addresses as senders, and claims to our own address.
        if arp.sha == mac || arp.sha.is_group() || own(self, arp.spa) {
            self.stats.badaddr += u64::from(arp.sha != mac);
            return;
        }
        let for_us = own(self, arp.tpa);
        if arp.spa != Ipv4Addr::UNSPECIFIED && !arp.spa.is_multicast() {
            let at = (ifindex, IpAddr::V4(arp.spa));
            let held = self.lltable.arp_heard(self.now, at, arp.sha, for_us);
            self.send_held(ifindex, arp.sha, held);
        }
        if for_us && arp.op == ArpOp::Request {
            let reply = ArpPacket {
                op: ArpOp::Reply,
                sha: mac,
                spa: arp.tpa,
                tha: arp.sha,
                tpa: arp.spa,
            };
            self.send_arp(ifindex, arp.sha, reply);
        }
    }

    fn send_arp(&mut self, ifindex: IfIndex, dst: MacAddr, packet: ArpPacket) {
        let header = EtherHeader {
            dst,
            src: packet.sha,
            kind: ETHERTYPE_ARP,
        };
        // A down interface or full queue loses the packet as a wire would.
        let _lost = self.enqueue(ifindex, header.emit(&packet.emit()));
    }

    /// Sends the packets that waited for a neighbour.
    pub(super) fn send_held(&mut self, ifindex: IfIndex, mac: MacAddr, held: VecDeque<OutPacket>) {
        for packet in held {
            let _lost = self.send_ether(ifindex, mac, packet);
        }
    }

    /// Sends an ARP request or neighbour solicitation.
    pub(super) fn ask_neighbour(
        &mut self,
        ifindex: IfIndex,
        addr: IpAddr,
        unicast: Option<MacAddr>,
    ) {
        let (Some(ifnet), Some(mac)) = (self.ifnets.get(ifindex), self.mac_of(ifindex)) else {
            return;
        };
        match addr {
            IpAddr::V4(tpa) => {
                let Some(spa) = ifnet.v4_for(tpa) else {
                    return;
                };
                let request = ArpPacket {
                    op: ArpOp::Request,
                    sha: mac,
                    spa,
                    tha: MacAddr::default(),
                    tpa,
                };
                self.send_arp(ifindex, unicast.unwrap_or(MacAddr::BROADCAST), request);
            }
            IpAddr::V6(target) => {
                let dst = match unicast {
                    Some(_) => target,
                    None => solicited_node(target),
                };
                let Ok(IpAddr::V6(src)) = self.select_source(target.into()) else {
                    return;
                };
                let to = unicast.unwrap_or(MacAddr::of_multicast(dst.into()));
                self.send_nd(ifindex, to, (src, dst), 135, 0, target, (1, mac));
            }
        }
    }

    /// Sends a neighbour advertisement (RFC 4861 section 4.4); `flags` in the upper three bits.
    pub(super) fn advertise(
        &mut self,
        ifindex: IfIndex,
        to: MacAddr,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        flags: u8,
    ) {
        if let Some(mac) = self.mac_of(ifindex) {
            self.send_nd(ifindex, to, (src, dst), 136, flags, src, (2, mac));
        }
    }

    /// Sends a neighbour solicitation or advertisement with one link-layer address option.
    #[allow(clippy::too_many_arguments)] // the fields of one message, in its order
    fn send_nd(
        &mut self,
        ifindex: IfIndex,
        to: MacAddr,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        kind: u8,
        flags: u8,
        target: Ipv6Addr,
        (option, option_mac): (u8, MacAddr),
    ) {
        let mut body = vec![kind, 0, 0, 0, flags, 0, 0, 0];
        body.extend_from_slice(&target.octets());
        body.extend_from_slice(&[option, 1]);
        body.extend_from_slice(&option_mac.0);
        let sum = transport_cksum(src.into(), dst.into(), PROTO_ICMPV6, &body).to_be_bytes();
        body[2] = sum[0];
        body[3] = sum[1];
        let header = Ipv6Header {
            tos: 0,
            flow: 0,
            next: PROTO_ICMPV6,
            hlim: 255,
            src,
            dst,
        };
        let Some(mac) = self.mac_of(ifindex) else {
            return;
        };
        let ether = EtherHeader {
            dst: to,
            src: mac,
            kind: ETHERTYPE_IPV6,
        };
        let _lost = self.enqueue(ifindex, ether.emit(&header.emit(&body)));
    }

    /// Announces an own address: `arp_announce`, or an unsolicited advertisement to all nodes.
    pub(super) fn announce_addr(&mut self, ifindex: IfIndex, addr: IpAddr) {
        let Some(mac) = self.mac_of(ifindex) else {
            return;
        };
        match addr {
            IpAddr::V4(own) => {
                let request = ArpPacket {
                    op: ArpOp::Request,
                    sha: mac,
                    spa: own,
                    tha: MacAddr::default(),
                    tpa: own,
                };
                self.send_arp(ifindex, MacAddr::BROADCAST, request);
            }
            IpAddr::V6(own) => {
                let to = MacAddr::of_multicast(ALL_NODES.into());
                self.advertise(ifindex, to, (own, ALL_NODES), 0x20);
            }
        }
    }
}
