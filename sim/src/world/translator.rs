// SPDX-License-Identifier: BSD-2-Clause
//! A translation of addresses on a cable, before an instance whose peers know it by others.
//!
//! It stands on the link and is seen by nobody: addresses in packets, in ARP (RFC 826) and in
//! neighbour discovery (RFC 4861) are changed as they pass, link-layer addresses stay. Where the
//! instance has a router to go by, it also is that router: it answers for its address and passes
//! on what is sent to it to the neighbour outside for whom it is.
//!
//! - I1: a frame without an address of the remap passes as it is.
//! - I2: what it keeps is bounded: neighbours of one link, and few packets that wait for one.

use crate::net::checksum::transport_cksum;
use crate::net::ether::{
    ArpOp, ArpPacket, ETHER_HDR_LEN, ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader,
    MacAddr,
};
use crate::net::ipv6::Ipv6Header;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use vpscore::net::{Remap, Way};
use vpscore::sock::InAddr;

/// The router's own link-layer address; locally administered.
const ROUTER_MAC: MacAddr = MacAddr([0x02, 0x56, 0x50, 0x53, 0xff, 0xfe]);
/// Packets that wait for a neighbour outside.
const HOLD_MAX: usize = 64;
/// Neighbours outside that are remembered.
const NEIGHBOURS_MAX: usize = 4_096;
/// ICMPv6, and the types of a neighbour solicitation and advertisement (RFC 4861 section 4).
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// What became of a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Frames to the instance.
    pub inward: Vec<Vec<u8>>,
    /// Frames from it.
    pub outward: Vec<Vec<u8>>,
}

/// A translation on a cable.
#[derive(Debug)]
pub struct Translator {
    /// From the addresses that peers know to those that the instance has.
    remap: Remap,
    /// Neighbours outside, as they were seen to speak.
    neighbours: BTreeMap<Ipv4Addr, MacAddr>,
    /// Packets for neighbours that have not spoken yet.
    hold: VecDeque<(Ipv4Addr, Vec<u8>)>,
}

/// Source and destination of a frame that carries IPv4.
fn ends(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (header, packet) = EtherHeader::parse(frame)?;
    let addr = |at: usize| packet.get(at..)?.first_chunk::<4>().copied();
    let (src, dst) = (addr(12)?, addr(16)?);
    (header.kind == ETHERTYPE_IP).then(|| (src.into(), dst.into()))
}

/// What a frame says or asks by ARP.
fn arp(frame: &[u8]) -> Option<ArpPacket> {
    let (header, packet) = EtherHeader::parse(frame)?;
    let packet = ArpPacket::parse(packet)?;
    (header.kind == ETHERTYPE_ARP).then_some(packet)
}

fn arp_frame(dst: MacAddr, src: MacAddr, packet: ArpPacket) -> Vec<u8> {
    let kind = ETHERTYPE_ARP;
    EtherHeader { dst, src, kind }.emit(&packet.emit())
}

impl Translator {
    /// A translation from the addresses that peers know to those that the instance has.
    pub fn new(remap: Remap) -> Self {
        Self {
            remap,
            neighbours: BTreeMap::new(),
            hold: VecDeque::new(),
        }
    }

    /// A frame comes from outside.
    pub fn inward(&mut self, frame: Vec<u8>) -> Passed {
        Passed {
            outward: self.learn(&frame),
            inward: vec![self.translated(Way::In, frame)],
        }
    }

    /// A frame comes from the instance.
    pub fn outward(&mut self, frame: Vec<u8>) -> Passed {
        if let Some(answer) = self.answer(&frame) {
            let (inward, outward) = (vec![answer], Vec::new());
            return Passed { inward, outward };
        }
        let routed = frame.starts_with(&ROUTER_MAC.0);
        let frame = self.translated(Way::Out, frame);
        let outward = match ends(&frame) {
            Some(ends) if routed => self.route(ends, frame),
            _ => vec![frame],
        };
        let inward = Vec::new();
        Passed { inward, outward }
    }

    /// Passes on what was sent to the router, when the neighbour for whom it is has been found.
    fn route(&mut self, (src, dst): (Ipv4Addr, Ipv4Addr), mut frame: Vec<u8>) -> Vec<Vec<u8>> {
        if let Some(mac) = self.neighbours.get(&dst) {
            frame.splice(..6, mac.0);
            return vec![frame];
        }
        let Some((header, _)) = EtherHeader::parse(&frame) else {
            return Vec::new();
        };
        // Asked for in the instance's name.
        let request = ArpPacket {
            op: ArpOp::Request,
            sha: header.src,
            spa: src,
            tha: MacAddr([0; 6]),
            tpa: dst,
        };
        if self.hold.len() >= HOLD_MAX {
            self.hold.pop_front();
        }
        self.hold.push_back((dst, frame));
        vec![arp_frame(MacAddr::BROADCAST, header.src, request)]
    }

    /// Who speaks outside is a neighbour there; gives what has waited for it.
    fn learn(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let spoke = match (arp(frame), ends(frame)) {
            (Some(arp), _) => Some((arp.spa, arp.sha)),
            (None, Some((src, _))) => {
                EtherHeader::parse(frame).map(|(header, _)| (src, header.src))
            }
            (None, None) => None,
        };
        let Some((ip, mac)) = spoke.filter(|(ip, _)| !ip.is_unspecified()) else {
            return Vec::new();
        };
        if self.neighbours.len() < NEIGHBOURS_MAX || self.neighbours.contains_key(&ip) {
            self.neighbours.insert(ip, mac);
        }
        let mut waited = Vec::new();
        self.hold.retain_mut(|(dst, frame)| {
            if *dst != ip {
                return true;
            }
            frame.splice(..6, mac.0);
            waited.push(std::mem::take(frame));
            false
        });
        waited
    }

    /// The router's answer, where the instance asks for the router.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let asked = arp(frame).filter(|arp| arp.op == ArpOp::Request)?;
        let router = InAddr::V4(asked.tpa.octets());
        let mut routers = self.remap.mappings().iter().map(|mapping| mapping.router);
        if !routers.any(|named| named == Some(router)) {
            return None;
        }
        let reply = ArpPacket {
            op: ArpOp::Reply,
            sha: ROUTER_MAC,
            spa: asked.tpa,
            tha: asked.sha,
            tpa: asked.spa,
        };
        Some(arp_frame(asked.sha, ROUTER_MAC, reply))
    }

    fn translated(&self, way: Way, mut frame: Vec<u8>) -> Vec<u8> {
        if let Some(said) = arp(&frame) {
            let packet = ArpPacket {
                spa: self.addr4(way, said.spa),
                tpa: self.addr4(way, said.tpa),
                ..said
            };
            let at = ETHER_HDR_LEN..ETHER_HDR_LEN + ArpPacket::LEN;
            frame.splice(at, packet.emit());
            return frame;
        }
        let kind = EtherHeader::parse(&frame).map(|(header, _)| header.kind);
        if matches!(kind, Some(ETHERTYPE_IP | ETHERTYPE_IPV6))
            && let Some(packet) = frame.get_mut(ETHER_HDR_LEN..)
        {
            self.remap.packet(way, packet);
        }
        self.discovery(way, &frame).unwrap_or(frame)
    }

    fn addr4(&self, way: Way, addr: Ipv4Addr) -> Ipv4Addr {
        match self.remap.translate(way, InAddr::V4(addr.octets())) {
            InAddr::V4(new) => new.into(),
            InAddr::V6(_) => addr,
        }
    }

    /// A neighbour solicitation or advertisement with another target. The group that a solicitation
    /// goes to ends in the last three bytes of the target (RFC 4291 section 2.7.1).
    fn discovery(&self, way: Way, frame: &[u8]) -> Option<Vec<u8>> {
        let (mut ether, packet) = EtherHeader::parse(frame)?;
        let (mut header, icmp) = Ipv6Header::parse(packet)?;
        let target: [u8; 16] = *icmp.get(8..)?.first_chunk()?;
        let named = matches!(icmp.first()?, &(SOLICITATION | ADVERTISEMENT));
        let InAddr::V6(new) = self.remap.translate(way, InAddr::V6(target)) else {
            return None;
        };
        if header.next != ICMPV6 || header.hlim != 255 || !named || new == target {
            return None;
        }
        let mut icmp = icmp.to_vec();
        let sum = |header: &Ipv6Header, icmp: &[u8]| {
            transport_cksum(header.src.into(), header.dst.into(), ICMPV6, icmp)
        };
        let sound = sum(&header, &icmp) == 0;
        icmp[8..24].copy_from_slice(&new);
        let mut group = header.dst.octets();
        if let [0xff, 2, .., 0xff, a, b, c] = &mut group {
            let [.., x, y, z] = new;
            (*a, *b, *c) = (x, y, z);
            header.dst = Ipv6Addr::from(group);
            ether.dst = MacAddr::of_multicast(header.dst.into());
        }
        if sound {
            icmp[2..4].fill(0);
            let sum = sum(&header, &icmp);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        Some(ether.emit(&header.emit(&icmp)))
    }
}
