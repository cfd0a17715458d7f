// SPDX-License-Identifier: BSD-2-Clause
use super::ast::{TcpOption, flag};
use super::wire::*;

fn frame(v6: bool, udp: Option<(u16, u16)>) -> Frame {
    let ip = |v4: &str, v6_text: &str| if v6 { v6_text } else { v4 }.parse().unwrap();
    Frame {
        src: ip("192.0.2.1", "2001:db8::1"),
        dst: ip("192.168.0.1", "fd3d:fa7b:d17d::1"),
        tos: 0x2a,
        ttl: 64,
        flow_label: 0,
        body: FrameBody::Tcp(Segment {
            sport: 8_080,
            dport: 50_000,
            seq: 7,
            ack: 9,
            flags: flag::SYN | flag::ACK,
            window: 1_000,
            urgent: 0,
            options: vec![
                TcpOption::Mss(1_460),
                TcpOption::Sack(vec![(1, 2), (3, 4)]),
                TcpOption::Md5 { valid: true },
            ],
            data: b"hello".to_vec(),
            udp,
            option_bytes: Vec::new(),
        }),
    }
}

#[test]
fn decode_undoes_encode_for_both_families_and_encapsulated() {
    for v6 in [false, true] {
        for udp in [None, Some((9_899, 9_811))] {
            let mut wanted = frame(v6, udp);
            let bytes = wanted.encode(Some("secret"));
            let seen = decode(&bytes, udp.is_some(), Some("secret")).unwrap();
            let FrameBody::Tcp(segment) = &mut wanted.body else {
                panic!()
            };
            segment.option_bytes = seen.segment().unwrap().option_bytes.clone();
            assert_eq!(seen, wanted);
        }
    }
}

#[test]
fn a_wrong_checksum_and_a_wrong_digest_are_seen() {
    let mut bytes = frame(false, None).encode(Some("other"));
    let seen = decode(&bytes, false, Some("secret")).unwrap();
    let options = &seen.segment().unwrap().options;
    assert!(options.contains(&TcpOption::Md5 { valid: false }));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(
        decode(&bytes, false, None)
            .unwrap_err()
            .contains("TCP checksum")
    );
}

#[test]
fn a_datagram_is_read_back_and_its_checksum_judged() {
    for v6 in [false, true] {
        let mut wanted = frame(v6, None);
        wanted.flow_label = if v6 { 0xabcde } else { 0 };
        wanted.body = FrameBody::Udp(Datagram {
            sport: 8_080,
            dport: 9,
            data: vec![7; 33],
        });
        let mut bytes = wanted.encode(None);
        assert_eq!(decode(&bytes, false, None).unwrap(), wanted);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(
            decode(&bytes, false, None)
                .unwrap_err()
                .contains("UDP checksum")
        );
    }
}

#[test]
fn options_by_their_bytes_stand_in_the_header_as_they_are() {
    let mut wanted = frame(false, None);
    let FrameBody::Tcp(segment) = &mut wanted.body else {
        panic!()
    };
    segment.options = vec![TcpOption::Blob(vec![2, 9, 5, 0xb4])];
    let bytes = wanted.encode(None);
    assert_eq!(bytes[40..44], [2, 9, 5, 0xb4]);
    assert!(
        decode(&bytes, false, None)
            .unwrap_err()
            .contains("option 2 of length 9")
    );
}
