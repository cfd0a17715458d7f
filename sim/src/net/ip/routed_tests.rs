// SPDX-License-Identifier: BSD-2-Clause
//! What is remembered of the last packet does not outlive what it follows from; who makes a checksum.

use super::tests::{deliveries, ip, packet, settle, stack};
use super::*;
use crate::net::checksum::transport_cksum;
use crate::net::cx::IpLayer as _;
use crate::net::packet::Csum;

/// Where in a UDP header its checksum stands.
const UH_SUM: u8 = 6;

/// A datagram whose checksum is left open.
fn open(src: &str, dst: &str, data: usize) -> IpPacket {
    let mut packet = packet(src, dst, 17, vec![0x35; 8 + data]);
    packet.delay_cksum(UH_SUM);
    packet
}

fn is_right(packet: &IpPacket) -> bool {
    transport_cksum(packet.src, packet.dst, packet.proto, &packet.payload) == 0
}

#[test]
fn a_checksum_left_open_is_made_before_a_packet_is_on_a_wire() {
    for (a, b) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        for data in [0, 1, 700, 4000] {
            let mut pair = [stack(1), stack(2)];
            pair[0].0.output(open(a, b, data)).unwrap();
            settle(&mut pair);
            let got = deliveries(&mut pair[1].0);
            assert!(got.iter().any(is_right), "{b} {data}: {got:?}");
            assert_eq!(got.first().map(|p| p.payload.csum()), Some(Csum::InPlace));
        }
    }
}

#[test]
fn lo0_takes_a_packet_without_checksum_and_its_receiver_does_not_ask() {
    for lo in ["127.0.0.1", "::1"] {
        let (mut stack, _) = stack(1);
        stack.output(open(lo, lo, 999)).unwrap();
        let (due, held) = stack.loopback.front().cloned().unwrap();
        let completed = held.completed();
        let room = completed.len() - 1007;
        let mut on_a_wire = open(lo, lo, 999);
        on_a_wire.payload = completed[room..].into();
        assert!(is_right(&on_a_wire), "as it goes into an image");
        stack.set_now(due);
        stack.run_callouts();
        let got = deliveries(&mut stack);
        assert_eq!(got[0].payload.csum(), Csum::Valid);
        assert!(!is_right(&got[0]), "nobody made it");
    }
}

#[test]
fn the_longest_packet_that_lo0_takes_in_one_piece_needs_no_checksum() {
    for (lo, header) in [("127.0.0.1", 20), ("::1", 40)] {
        for over in [0, 1] {
            let (mut stack, _) = stack(1);
            let data = LOMTU as usize - header - 8 + over;
            stack.output(open(lo, lo, data)).unwrap();
            stack.set_now(stack.now.after(LOOPBACK_DELAY));
            stack.run_callouts();
            let got = deliveries(&mut stack);
            assert_eq!(is_right(&got[0]), over == 1, "{lo} {over}");
        }
    }
}

#[test]
fn a_packet_in_pieces_over_lo0_has_its_checksum_made_first() {
    let (mut stack, _) = stack(1);
    stack
        .output(open("127.0.0.1", "127.0.0.1", 20_000))
        .unwrap();
    stack.set_now(stack.loopback.back().unwrap().0);
    stack.run_callouts();
    let got = deliveries(&mut stack);
    assert!(is_right(&got[0]));
}

#[test]
fn the_next_packet_follows_new_routes_addresses_and_mtus() {
    let (mut stack, ether) = stack(1);
    let to = ip("192.0.2.9");
    stack.route_add(ip("0.0.0.0"), 0, ip("10.0.0.2")).unwrap();
    assert!(stack.route_to(to).is_some_and(|(_, mtu)| mtu == 1500));
    stack.ifnet_mut(ether).unwrap().mtu = 1400;
    assert!(stack.route_to(to).is_some_and(|(_, mtu)| mtu == 1400));
    let before = stack.route_to(to);
    stack.route_add(to, 32, ip("10.0.0.3")).unwrap();
    assert_ne!(stack.route_to(to), before);
    let ifa = IfAddr {
        addr: ip("192.0.2.10"),
        prefix_len: 32,
    };
    assert!(!stack.is_own_unicast(ifa.addr));
    stack.ifaddr_add(ether, ifa).unwrap();
    assert!(stack.is_own_unicast(ifa.addr));
    stack.ifaddr_delete(ether, ifa.addr).unwrap();
    assert!(!stack.is_own_unicast(ifa.addr));
    stack.if_detach(ether).unwrap();
    assert!(stack.route_to(to).is_none());
}
