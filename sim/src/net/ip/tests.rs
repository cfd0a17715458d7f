// SPDX-License-Identifier: BSD-2-Clause
//! Two and three stacks on a wire without faults, and hostile packets into one.

use super::*;
use crate::net::checksum::{in_cksum, transport_cksum};
use crate::net::cx::IpLayer as _;
use crate::net::ether::{ArpPacket, ETHERTYPE_ARP, EtherHeader};

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

pub(super) fn stack(n: u8) -> (IpStack, IfIndex) {
    let mut stack = IpStack::new(Rng::new(u64::from(n), "ip"));
    let lo = stack.if_attach("lo0", IfKind::Loopback, LOMTU);
    for (addr, prefix_len) in [(ip("127.0.0.1"), 8), (ip("::1"), 128)] {
        stack.ifaddr_add(lo, IfAddr { addr, prefix_len }).unwrap();
    }
    let ether = stack.if_attach("epair0b", IfKind::Ethernet { mac: mac(n) }, 1500);
    let v4 = ip(&format!("10.0.0.{n}"));
    let v6 = ip(&format!("2001:db8::{n}"));
    for (addr, prefix_len) in [(v4, 24), (v6, 64), (IpAddr::V6(mac(n).link_local()), 64)] {
        stack
            .ifaddr_add(ether, IfAddr { addr, prefix_len })
            .unwrap();
    }
    while stack.take_output().is_some() {}
    (stack, ether)
}

/// Carries frames between the stacks' Ethernets until none is left; gives all that passed.
pub(super) fn settle(stacks: &mut [(IpStack, IfIndex)]) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        let mut frames = Vec::new();
        for (from, (stack, _)) in stacks.iter_mut().enumerate() {
            while let Some((_, frame)) = stack.take_output() {
                frames.push((from, frame));
            }
        }
        if frames.is_empty() {
            return seen;
        }
        for (from, frame) in frames {
            for (to, (stack, ether)) in stacks.iter_mut().enumerate() {
                if to != from {
                    let ether = *ether;
                    stack.input(ether, &frame);
                }
            }
            seen.push(frame);
        }
    }
}

pub(super) fn packet(src: &str, dst: &str, proto: u8, payload: Vec<u8>) -> IpPacket {
    IpPacket {
        src: ip(src),
        dst: ip(dst),
        tos: 0,
        ttl: 64,
        flow: 0,
        df: false,
        proto,
        payload: payload.into(),
    }
}

fn echo(src: &str, dst: &str, data: &[u8]) -> IpPacket {
    let v4 = ip(dst).is_ipv4();
    let mut message = vec![if v4 { 8 } else { 128 }, 0, 0, 0, 0, 1, 0, 1];
    message.extend_from_slice(data);
    let proto = if v4 { 1 } else { 58 };
    let sum = if v4 {
        in_cksum(&message)
    } else {
        transport_cksum(ip(src), ip(dst), proto, &message)
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(src, dst, proto, message)
}

pub(super) fn deliveries(stack: &mut IpStack) -> Vec<IpPacket> {
    std::iter::from_fn(|| stack.take_delivery())
        .filter_map(|d| match d {
            Delivery::Packet { packet, .. } => Some(packet),
            Delivery::Error { .. } => None,
        })
        .collect()
}

fn errors(stack: &mut IpStack) -> Vec<(IcmpError, IpAddr, u8)> {
    std::iter::from_fn(|| stack.take_delivery())
        .filter_map(|d| match d {
            Delivery::Error {
                error, dst, proto, ..
            } => Some((error, dst, proto)),
            Delivery::Packet { .. } => None,
        })
        .collect()
}

#[test]
fn ping_resolves_the_neighbour_first_and_comes_back() {
    for (a, b, frames) in [
        ("10.0.0.1", "10.0.0.2", 4),
        ("2001:db8::1", "2001:db8::2", 4),
    ] {
        let mut pair = [stack(1), stack(2)];
        pair[0].0.output(echo(a, b, b"hello")).unwrap();
        assert_eq!(settle(&mut pair).len(), frames, "ask, answer, ping, pong");
        let back = deliveries(&mut pair[0].0);
        let pong = back.iter().find(|p| p.payload.ends_with(b"hello")).unwrap();
        assert_eq!(pong.src, ip(b));
        // Raw sockets of IPv6 see the request as well, those of IPv4 do not.
        let asked = deliveries(&mut pair[1].0);
        let seen = asked.iter().any(|p| p.payload.ends_with(b"hello"));
        assert_eq!(seen, ip(b).is_ipv6());
    }
}

#[test]
fn a_datagram_longer_than_the_link_is_fragmented_and_put_together() {
    for (a, b) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        let mut pair = [stack(1), stack(2)];
        let payload: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
        let sent = packet(a, b, 99, payload.clone());
        pair[0].0.output(sent).unwrap();
        let frames = settle(&mut pair);
        assert!(frames.iter().all(|f| f.len() <= 1514));
        let got = deliveries(&mut pair[1].0);
        let whole = got.iter().find(|p| p.proto == 99).unwrap();
        assert_eq!(*whole.payload, *payload);
        assert_eq!(pair[1].0.stats.reassembled, 1);
    }
}

#[test]
fn dont_fragment_is_refused_beyond_the_mtu() {
    let (mut one, _) = stack(1);
    let mut big = packet("10.0.0.1", "10.0.0.2", 17, vec![0; 1481]);
    big.df = true;
    assert_eq!(one.output(big.clone()), Err(Errno::EMSGSIZE));
    big.payload.truncate(big.payload.len() - 1);
    assert_eq!(one.output(big), Ok(()));
    assert_eq!(one.mtu_for(ip("10.0.0.2")), 1500);
    assert_eq!(one.mtu_for(ip("10.0.0.1")), LOMTU);
    assert_eq!(one.mtu_for(ip("192.0.2.1")), 0);
}

#[test]
fn routes_and_sources_are_chosen_by_destination() {
    let (mut one, _) = stack(1);
    assert_eq!(one.source_for(ip("10.0.0.9")), Ok(ip("10.0.0.1")));
    assert_eq!(one.source_for(ip("127.0.0.1")), Ok(ip("127.0.0.1")));
    assert_eq!(one.source_for(ip("192.0.2.1")), Err(Errno::ENETUNREACH));
    assert_eq!(one.source_for(ip("2001:dead::1")), Err(Errno::EHOSTUNREACH));
    assert_eq!(
        one.source_for(ip("fe80::2")),
        Ok(mac(1).link_local().into())
    );
    one.route_add(ip("0.0.0.0"), 0, ip("10.0.0.254")).unwrap();
    assert_eq!(one.source_for(ip("192.0.2.1")), Ok(ip("10.0.0.1")));
    let lost = packet("10.0.0.1", "2001:dead::1", 17, vec![]);
    assert_eq!(one.output(lost), Err(Errno::EHOSTUNREACH));
}

#[test]
fn own_addresses_loop_back_after_a_while_and_never_reach_the_link() {
    let (mut one, _) = stack(1);
    one.output(packet("10.0.0.1", "10.0.0.1", 17, vec![7]))
        .unwrap();
    assert!(one.take_output().is_none());
    assert!(one.take_delivery().is_none());
    let due = one.next_callout().unwrap();
    assert_eq!(due, Instant::BOOT.after(LOOPBACK_DELAY));
    one.set_now(due);
    one.run_callouts();
    assert_eq!(deliveries(&mut one).len(), 1);
}

/// Stack 1 on 10.0.0/24, a router (stack 2) with a second Ethernet on 10.0.1/24, stack 3 there.
fn routed() -> (Vec<(IpStack, IfIndex)>, (IpStack, IfIndex), IfIndex) {
    let mut left = vec![stack(1), stack(2)];
    let router = &mut left[1].0;
    let second = router.if_attach("epair1b", IfKind::Ethernet { mac: mac(20) }, 1000);
    let addr = ip("10.0.1.2");
    router
        .ifaddr_add(
            second,
            IfAddr {
                addr,
                prefix_len: 24,
            },
        )
        .unwrap();
    router.sysctls.forwarding = true;
    while router.take_output().is_some() {}
    left[0]
        .0
        .route_add(ip("10.0.1.0"), 24, ip("10.0.0.2"))
        .unwrap();
    let mut far = IpStack::new(Rng::new(3, "ip"));
    let ether = far.if_attach("epair1a", IfKind::Ethernet { mac: mac(3) }, 1000);
    let addr = ip("10.0.1.3");
    far.ifaddr_add(
        ether,
        IfAddr {
            addr,
            prefix_len: 24,
        },
    )
    .unwrap();
    far.route_add(ip("0.0.0.0"), 0, ip("10.0.1.2")).unwrap();
    while far.take_output().is_some() {}
    (left, (far, ether), second)
}

fn settle_routed(left: &mut [(IpStack, IfIndex)], far: &mut (IpStack, IfIndex), second: IfIndex) {
    for _ in 0..20 {
        for at in 0..2 {
            while let Some((by, frame)) = left[at].0.take_output() {
                if at == 1 && by == second {
                    let ether = far.1;
                    far.0.input(ether, &frame);
                } else {
                    let ether = left[1 - at].1;
                    left[1 - at].0.input(ether, &frame);
                }
            }
        }
        while let Some((_, frame)) = far.0.take_output() {
            left[1].0.input(second, &frame);
        }
    }
}

#[test]
fn a_router_forwards_with_a_lower_ttl_and_fragments() {
    let (mut left, mut far, second) = routed();
    left[0]
        .0
        .output(packet("10.0.0.1", "10.0.1.3", 99, vec![5; 1400]))
        .unwrap();
    settle_routed(&mut left, &mut far, second);
    let got = deliveries(&mut far.0);
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].ttl, got[0].payload.len()), (63, 1400));
    assert_eq!(left[1].0.stats.ofragments, 2);
}

#[test]
fn a_router_says_what_stopped_a_packet() {
    let (mut left, mut far, second) = routed();
    let mut expect = |mut p: IpPacket, ttl: u8, df: bool, kind, code, mtu| {
        (p.ttl, p.df) = (ttl, df);
        let dst = p.dst;
        left[0].0.output(p).unwrap();
        settle_routed(&mut left, &mut far, second);
        let error = IcmpError { kind, code, mtu };
        assert_eq!(errors(&mut left[0].0), [(error, dst, 17)]);
    };
    let small = packet("10.0.0.1", "10.0.1.3", 17, vec![0; 8]);
    expect(small.clone(), 1, false, 11, 0, 0);
    let big = packet("10.0.0.1", "10.0.1.3", 17, vec![0; 1200]);
    expect(big, 64, true, 3, 4, 1000);
    left[0]
        .0
        .route_add(ip("10.9.0.0"), 16, ip("10.0.0.2"))
        .unwrap();
    let lost = packet("10.0.0.1", "10.9.0.1", 17, vec![0; 8]);
    left[0].0.output(lost).unwrap();
    settle_routed(&mut left, &mut far, second);
    assert_eq!(errors(&mut left[0].0)[0].0.code, 1);
}

#[test]
fn errors_are_not_answered_by_errors_nor_sent_for_groups() {
    let (mut one, ether) = stack(1);
    let err = packet("10.0.0.9", "10.0.0.1", 1, vec![3, 1, 0, 0, 0, 0, 0, 0]);
    one.icmp_unreach(ether, 2, 0, &err);
    let multi = packet("10.0.0.9", "224.0.0.5", 17, vec![0; 8]);
    one.icmp_unreach(ether, 3, 0, &multi);
    assert!(one.take_output().is_none());
    let plain = packet("10.0.0.9", "10.0.0.1", 17, vec![0; 8]);
    one.icmp_unreach(ether, 3, 0, &plain);
    assert!(one.take_output().is_some(), "an ARP request for the sender");
}

#[test]
fn arp_answers_for_own_addresses_only_and_announces_new_ones() {
    let (mut one, ether) = stack(1);
    let ask = |tpa: &str| {
        let arp = ArpPacket {
            op: crate::net::ether::ArpOp::Request,
            sha: mac(9),
            spa: "10.0.0.9".parse().unwrap(),
            tha: MacAddr::default(),
            tpa: tpa.parse().unwrap(),
        };
        EtherHeader {
            dst: MacAddr::BROADCAST,
            src: mac(9),
            kind: ETHERTYPE_ARP,
        }
        .emit(&arp.emit())
    };
    one.input(ether, ask("10.0.0.5"));
    assert!(one.take_output().is_none());
    one.input(ether, ask("10.0.0.1"));
    let (_, reply) = one.take_output().unwrap();
    let (header, body) = EtherHeader::parse(&reply).unwrap();
    assert_eq!(header.dst, mac(9));
    assert_eq!(ArpPacket::parse(body).unwrap().sha, mac(1));
    one.announce();
    let (_, garp) = one.take_output().unwrap();
    let (header, body) = EtherHeader::parse(&garp).unwrap();
    let garp = ArpPacket::parse(body).unwrap();
    assert_eq!((header.dst, garp.spa), (MacAddr::BROADCAST, garp.tpa));
}

#[test]
fn frames_for_others_and_broadcast_pings_are_left_alone() {
    let (mut one, ether) = stack(1);
    let ping = echo("10.0.0.9", "10.0.0.1", b"x");
    let bytes = Ipv4Header::of(&ping, 1).unwrap().emit(&ping.payload);
    let to = |dst| {
        EtherHeader {
            dst,
            src: mac(9),
            kind: 0x0800,
        }
        .emit(&bytes)
    };
    one.input(ether, to(mac(7)));
    assert_eq!(one.ifnet(ether).unwrap().data.iqdrops, 1);
    one.input(ether, to(MacAddr::BROADCAST));
    assert!(one.take_output().is_none());
    one.input(ether, to(mac(1)));
    assert!(one.take_output().is_some());
}

#[test]
fn a_silent_neighbour_of_ipv6_is_reported_to_the_sender() {
    let (mut one, _) = stack(1);
    one.output(packet("2001:db8::1", "2001:db8::9", 17, vec![0; 8]))
        .unwrap();
    for _ in 0..8 {
        if let Some(due) = one.next_callout() {
            one.set_now(due);
            one.run_callouts();
        }
    }
    let error = IcmpError {
        kind: 1,
        code: 3,
        mtu: 0,
    };
    assert_eq!(errors(&mut one), [(error, ip("2001:db8::9"), 17)]);
}

#[test]
fn detaching_takes_addresses_routes_and_neighbours_away() {
    let (mut one, ether) = stack(1);
    one.output(packet("10.0.0.1", "10.0.0.2", 17, vec![0; 8]))
        .unwrap();
    one.if_detach(ether).unwrap();
    assert!(one.take_output().is_none());
    assert_eq!(one.lltable.entries.len(), 0);
    assert!(!one.is_local(ip("10.0.0.1")));
    assert_eq!(one.source_for(ip("10.0.0.2")), Err(Errno::ENETUNREACH));
    assert_eq!(one.if_detach(ether), Err(Errno::ENXIO));
}

#[test]
fn timers_keep_what_remains_when_the_clock_changes() {
    let (mut one, _) = stack(1);
    one.set_now(Instant::from_nanos(1_000_000_000));
    one.output(packet("10.0.0.1", "10.0.0.2", 17, vec![0; 8]))
        .unwrap();
    let left = one.next_callout().unwrap().since(one.now);
    let there = Instant::from_nanos(77_000_000_000);
    one.shift_timers(one.now, there);
    assert_eq!(one.next_callout().unwrap().since(there), left);
}

/// A packet of IPv6 that carries a fragment header and `data`.
fn fragment6(offset: u16, more: bool, id: u32, data: &[u8]) -> IpPacket {
    let mut payload = vec![17, 0];
    payload.extend((offset | u16::from(more)).to_be_bytes());
    payload.extend(id.to_be_bytes());
    payload.extend(data);
    packet("2001:db8::1", "2001:db8::2", 44, payload)
}

#[test]
fn a_lone_whole_fragment_passes_those_that_wait_under_its_name() {
    let mut stacks = [stack(1), stack(2)];
    for part in [
        fragment6(0, true, 7, b"aaaaaaaa"),
        fragment6(0, false, 7, b"whole"),
    ] {
        stacks[0].0.output(part).unwrap();
        settle(&mut stacks);
    }
    let (stack, _) = &mut stacks[1];
    let datagrams = deliveries(stack).into_iter().filter(|p| p.proto == 17);
    let got: Vec<Vec<u8>> = datagrams.map(|p| p.payload.into_vec()).collect();
    assert_eq!(got, [b"whole".to_vec()]);
    assert_eq!(stack.reassembly_queues(), 1);
}

#[test]
fn the_sender_of_an_impossible_fragment_of_ipv6_is_told_where_it_is_wrong() {
    for (part, pointer) in [
        (fragment6(0, true, 7, b"odd"), 4),
        (fragment6(65_528, false, 7, &[0; 16]), 42),
    ] {
        let mut stacks = [stack(1), stack(2)];
        stacks[0].0.output(part).unwrap();
        let seen = settle(&mut stacks);
        // Parameter problem (4), erroneous header field (0), and the pointer.
        let told = seen.iter().any(|frame| {
            let icmp = frame.get(54..62).unwrap_or_default();
            frame.get(20) == Some(&58) && icmp.starts_with(&[4, 0]) && icmp.ends_with(&[pointer])
        });
        assert!(told, "{pointer}");
        assert_eq!(stacks[1].0.reassembly_queues(), 0);
    }
}
