// SPDX-License-Identifier: BSD-2-Clause
use super::{Mapping, Remap, RemapError, Way};
use crate::cbor::{Fault, decode_all, encode_to_list};
use crate::collections::List;
use crate::limits::REMAP_MAX;
use crate::sock::InAddr;
use std::vec::Vec;

fn v4(text: &str) -> InAddr {
    let addr: std::net::Ipv4Addr = text.parse().unwrap();
    InAddr::V4(addr.octets())
}

fn v6(text: &str) -> InAddr {
    let addr: std::net::Ipv6Addr = text.parse().unwrap();
    InAddr::V6(addr.octets())
}

fn mapping(from: InAddr, to: InAddr) -> Mapping {
    Mapping {
        from,
        to,
        prefixlen: 24,
        router: None,
    }
}

fn remap(mappings: &[Mapping]) -> Result<Remap, RemapError> {
    let mut list = List::new();
    list.extend(mappings).unwrap();
    Remap::new(list)
}

#[test]
fn addresses_that_no_host_can_take_along_are_refused_by_name() {
    let own = v4("10.0.0.9");
    for special in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.3.4",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let special = v4(special);
        assert_eq!(
            remap(&[mapping(own, special)]),
            Err(RemapError::Special(special))
        );
        assert_eq!(
            remap(&[mapping(special, own)]),
            Err(RemapError::Special(special))
        );
    }
    let own = v6("2001:db8::9");
    for special in [
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "ff02::1",
        "fe80::1",
        "febf::1",
    ] {
        let special = v6(special);
        assert_eq!(
            remap(&[mapping(own, special)]),
            Err(RemapError::Special(special))
        );
    }
    for good in ["fec0::1", "fd00::1", "1::1"] {
        assert!(remap(&[mapping(own, v6(good))]).is_ok(), "{good}");
    }
}

#[test]
fn masks_and_routers_that_do_not_fit_are_refused_by_name() {
    let (from, to) = (v4("10.0.0.9"), v4("10.1.0.9"));
    let with = |to, prefixlen, router: Option<&str>| {
        remap(&[Mapping {
            from,
            to,
            prefixlen,
            router: router.map(v4),
        }])
    };
    for bits in [0, 33] {
        assert_eq!(with(to, bits, None), Err(RemapError::Mask(to)));
    }
    for bits in [1, 24, 31, 32] {
        assert!(with(to, bits, None).is_ok(), "{bits}");
    }
    for end in ["10.1.0.0", "10.1.0.255"] {
        assert_eq!(with(v4(end), 24, None), Err(RemapError::Mask(v4(end))));
        assert!(with(v4(end), 31, None).is_ok(), "{end}");
    }
    assert!(with(to, 24, Some("10.1.0.1")).is_ok());
    for wrong in ["10.1.1.1", "10.1.0.9", "10.1.0.255", "127.0.0.1"] {
        let router = v4(wrong);
        assert_eq!(with(to, 24, Some(wrong)), Err(RemapError::Router(router)));
    }
    let other = Mapping {
        router: Some(to),
        ..mapping(v4("10.0.0.10"), v4("10.1.0.10"))
    };
    assert_eq!(
        remap(&[mapping(from, to), other]),
        Err(RemapError::Router(to))
    );
    let six = mapping(from, v6("2001:db8::9"));
    assert_eq!(remap(&[six]), Err(RemapError::Family(from)));
}

#[test]
fn mappings_are_sorted_and_no_two_lead_to_one_address() {
    let (a, b, c) = (v4("10.0.0.1"), v4("10.0.0.2"), v4("10.0.0.3"));
    assert_eq!(
        remap(&[mapping(b, c), mapping(a, b)]),
        Err(RemapError::Order(a))
    );
    assert_eq!(
        remap(&[mapping(a, b), mapping(a, c)]),
        Err(RemapError::Order(a))
    );
    assert_eq!(
        remap(&[mapping(a, c), mapping(b, c)]),
        Err(RemapError::Twice(c))
    );
    // Two that change places are a bijection.
    assert!(remap(&[mapping(a, b), mapping(b, a)]).is_ok());
    let many = |n: usize| {
        let addr = |net: u8, n: usize| InAddr::V4([10, net, (n >> 7) as u8, (n & 127) as u8 + 1]);
        let all: Vec<_> = (0..n).map(|n| mapping(addr(0, n), addr(1, n))).collect();
        remap(&all)
    };
    assert!(many(REMAP_MAX).is_ok());
    assert_eq!(many(REMAP_MAX + 1), Err(RemapError::TooMany));
}

#[test]
fn a_remap_is_read_as_written_and_one_that_cannot_be_is_refused() {
    let (a, b) = (v4("10.0.0.1"), v4("10.0.0.2"));
    let good = remap(&[mapping(a, b), mapping(b, a)]).unwrap();
    let bytes = encode_to_list(&good).unwrap();
    assert_eq!(decode_all::<Remap>(bytes.as_slice()), Ok(good));
    let mut list = List::new();
    list.extend(&[mapping(b, a), mapping(a, b)]).unwrap();
    let bytes = encode_to_list(&list).unwrap();
    let error = decode_all::<Remap>(bytes.as_slice()).unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
}

/// The sum of a packet's words in one's complement; all ones where its checksum is right.
fn sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

const A: [u8; 4] = [10, 0, 0, 9];
const B: [u8; 4] = [192, 168, 77, 200];
const PEER: [u8; 4] = [172, 16, 3, 4];

fn ip4(src: [u8; 4], dst: [u8; 4], proto: u8, offset: u16, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len() as u16).to_be_bytes();
    let mut head = std::vec![0x45, 0, len[0], len[1], 0, 7, 0, 0, 64, proto, 0, 0];
    head[6..8].copy_from_slice(&offset.to_be_bytes());
    head.extend(src);
    head.extend(dst);
    let check = !sum(&[&head]);
    head[10..12].copy_from_slice(&check.to_be_bytes());
    head.extend(payload);
    head
}

/// A datagram of UDP, or a segment of TCP, whose checksum is right.
fn summed(src: &[u8], dst: &[u8], proto: u8, at: usize, mut payload: Vec<u8>) -> Vec<u8> {
    let len = payload.len() as u16;
    let pseudo = [&[0, proto], &len.to_be_bytes()[..]].concat();
    let check = !sum(&[src, dst, &pseudo, &payload]);
    payload[at..at + 2].copy_from_slice(&check.to_be_bytes());
    payload
}

fn segment(src: &[u8], dst: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![0; 33];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = (n * 37) as u8;
    }
    bytes[16..18].fill(0);
    summed(src, dst, 6, 16, bytes)
}

fn a_to_b() -> Remap {
    remap(&[mapping(InAddr::V4(A), InAddr::V4(B))]).unwrap()
}

#[test]
fn a_translated_packet_is_the_one_that_the_other_address_would_have_sent() {
    let map = a_to_b();
    let inside = ip4(B, PEER, 6, 0, &segment(&B, &PEER));
    let outside = ip4(A, PEER, 6, 0, &segment(&A, &PEER));
    let mut packet = inside.clone();
    map.packet(Way::Out, &mut packet);
    assert_eq!(packet, outside);
    map.packet(Way::In, &mut packet);
    assert_eq!(packet, inside);
    // What is between others passes as it is.
    let mut packet = ip4(PEER, [1, 2, 3, 4], 6, 0, &segment(&PEER, &[1, 2, 3, 4]));
    let before = packet.clone();
    map.packet(Way::In, &mut packet);
    assert_eq!(packet, before);
}

#[test]
fn a_wrong_checksum_stays_as_wrong_and_none_stays_none() {
    let map = a_to_b();
    let with = |check: u16, addr: [u8; 4]| {
        let mut udp = std::vec![0, 7, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4];
        udp[6..8].copy_from_slice(&check.to_be_bytes());
        ip4(PEER, addr, 17, 0, &udp)
    };
    let mut none = with(0, A);
    map.packet(Way::In, &mut none);
    assert_eq!(none, with(0, B));
    for wrong in [1, 0x1234, 0xfffe, 0xffff] {
        let mut packet = with(wrong, A);
        map.packet(Way::In, &mut packet);
        assert_ne!(packet[26..28], [0, 0], "0 would stand for none");
        map.packet(Way::Out, &mut packet);
        assert_eq!(packet, with(wrong, A));
    }
}

#[test]
fn of_fragments_the_one_with_the_checksum_is_changed() {
    let map = a_to_b();
    let (inside, outside) = (segment(&B, &PEER), segment(&A, &PEER));
    for (units, range) in [(0_u16, 0..16), (2, 16..33), (4, 32..33)] {
        let more = if range.end == 33 { 0 } else { 0x2000 };
        let mut packet = ip4(PEER, A, 6, units | more, &outside[range.clone()]);
        // The segment goes to the peer here, but its sum is the same the other way.
        map.packet(Way::In, &mut packet);
        assert_eq!(packet, ip4(PEER, B, 6, units | more, &inside[range]));
    }
}

#[test]
fn what_an_icmp_error_quotes_is_translated_with_all_three_checksums() {
    let map = a_to_b();
    let error = |addr: [u8; 4], quote: usize| {
        let quoted = ip4(addr, PEER, 6, 0, &segment(&addr, &PEER));
        let mut icmp = std::vec![3, 4, 0, 0, 0, 0, 5, 0];
        icmp.extend(&quoted[..quote]);
        let check = !sum(&[&icmp]);
        icmp[2..4].copy_from_slice(&check.to_be_bytes());
        ip4([9, 9, 9, 9], addr, 1, 0, &icmp)
    };
    for quote in [20, 28, 36, 38, 53] {
        let mut packet = error(A, quote);
        map.packet(Way::In, &mut packet);
        assert_eq!(packet, error(B, quote), "{quote} bytes");
    }
    // An echo has no address in it.
    let mut echo = ip4(PEER, A, 1, 0, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    map.packet(Way::In, &mut echo);
    assert_eq!(echo, ip4(PEER, B, 1, 0, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]));
}

fn ip6(src: [u8; 16], dst: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = std::vec![0x60, 0, 0, 0];
    head.extend((payload.len() as u16).to_be_bytes());
    head.extend([next, 64]);
    head.extend(src);
    head.extend(dst);
    head.extend(payload);
    head
}

#[test]
fn behind_extension_headers_of_ipv6_the_checksum_is_found() {
    let (InAddr::V6(a), InAddr::V6(b), InAddr::V6(peer)) =
        (v6("2001:db8::9"), v6("fd00:77::abcd"), v6("2001:db8:5::1"))
    else {
        unreachable!()
    };
    let map = remap(&[Mapping {
        prefixlen: 64,
        ..mapping(InAddr::V6(a), InAddr::V6(b))
    }])
    .unwrap();
    // Hop-by-hop options, and a fragment header with the first fragment.
    let chain = |addr: [u8; 16], fragment: [u8; 2]| {
        let mut payload = std::vec![
            44,
            0,
            1,
            4,
            0,
            0,
            0,
            0,
            6,
            0,
            fragment[0],
            fragment[1],
            0,
            0,
            0,
            1
        ];
        payload.extend(segment(&addr, &peer));
        ip6(addr, peer, 0, &payload)
    };
    let mut packet = chain(b, [0, 1]);
    map.packet(Way::Out, &mut packet);
    assert_eq!(packet, chain(a, [0, 1]));
    // In a later fragment there is none.
    let later = |addr: [u8; 16]| {
        let mut payload = std::vec![6, 0, 5, 0x28, 0, 0, 0, 1];
        payload.extend([7; 40]);
        ip6(addr, peer, 44, &payload)
    };
    let mut packet = later(b);
    map.packet(Way::Out, &mut packet);
    assert_eq!(packet, later(a));
    // An ICMPv6 error: its own checksum covers both its addresses and what it quotes.
    let error = |addr: [u8; 16]| {
        let mut icmp = std::vec![1, 4, 0, 0, 0, 0, 0, 0];
        icmp.extend(ip6(addr, peer, 6, &segment(&addr, &peer)));
        ip6(peer, addr, 58, &summed(&peer, &addr, 58, 2, icmp))
    };
    let mut packet = error(a);
    map.packet(Way::In, &mut packet);
    assert_eq!(packet, error(b));
}

#[test]
fn what_is_cut_short_or_no_packet_is_left_alone() {
    let map = a_to_b();
    let whole = ip4(PEER, A, 6, 0, &segment(&PEER, &A));
    for len in 0..whole.len() {
        let mut cut = whole[..len].to_vec();
        map.packet(Way::In, &mut cut);
        assert_eq!(cut.len(), len);
        assert!(len < 20 || cut[16..20] == B);
    }
    let mut noise = [0xff; 64];
    map.packet(Way::In, &mut noise);
    assert_eq!(noise, [0xff; 64]);
}
