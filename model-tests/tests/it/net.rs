// SPDX-License-Identifier: BSD-2-Clause
//! The network under hostile input and faulty links.

use model_tests::fuzz::frames::{PORT, frames, spelled};
use proptest::collection::vec;
use proptest::prelude::*;
use sim::net::link::{Wire, WireConfig};
use sim::net::reass::{FragKey, Fragment, Reass};
use sim::rng::Rng;
use sim::time::{Duration, Instant};

/// A TCP header to the open port, of few peers and near numbers, so that segments meet.
fn tcp_header() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![3 => 0..4_u32, 1 => any::<u32>()];
    (
        1..3_u16,
        small.clone(),
        small,
        any::<u8>(),
        5..16_u8,
        any::<u16>(),
    )
        .prop_map(|(sport, seq, ack, flags, off, win)| {
            let mut h = Vec::new();
            h.extend_from_slice(&sport.to_be_bytes());
            h.extend_from_slice(&PORT.to_be_bytes());
            h.extend_from_slice(&seq.to_be_bytes());
            h.extend_from_slice(&ack.to_be_bytes());
            h.extend_from_slice(&[off << 4, flags]);
            h.extend_from_slice(&win.to_be_bytes());
            h.extend_from_slice(&[0; 4]);
            h
        })
}

/// A frame of the fuzz body's language, near enough to a real one to get past the first checks.
fn near_frame() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (
        any::<[u8; 4]>(),
        0..4_u16,
        prop_oneof![Just(1_u8), Just(6), Just(17), any::<u8>()],
    )
        .prop_map(|(noise, offset, proto)| {
            let flags = (u16::from(noise[0] > 200) << 13 | offset).to_be_bytes();
            let mut p = vec![0x45, noise[1], 0, 0, 0, noise[2] & 3];
            p.extend_from_slice(&flags);
            p.extend_from_slice(&[noise[3], proto, 0, 0, 172, 16, 0, 9, 10, 0, 0, 1]);
            p
        });
    let v6 = (
        prop_oneof![
            Just(58_u8),
            Just(44),
            Just(0),
            Just(43),
            Just(60),
            any::<u8>()
        ],
        any::<u8>(),
    )
        .prop_map(|(next, hlim)| {
            let mut p = vec![0x60, 0, 0, 0, 0, 0, next, hlim];
            p.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
            p.extend_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1]);
            p
        });
    let icmp = prop_oneof![
        prop_oneof![Just(8_u8), Just(13)].prop_map(|kind| vec![kind, 0, 0, 0, 0, 0, 0, 0]),
        Just(vec![135, 0, 0, 0, 0, 0, 0, 0]),
        Just(vec![136, 0, 0, 0, 0xe0, 0, 0, 0]),
        Just(vec![3, 4, 0, 0, 0, 0, 5, 0, 0x45]),
        Just(vec![2, 0, 0, 0, 0, 0, 5, 0, 0x60]),
        vec(any::<u8>(), 0..16),
        tcp_header(),
    ];
    let body = prop_oneof![vec(any::<u8>(), 0..16), vec(any::<u8>(), 0..120)];
    let fix = prop_oneof![4 => Just(0xfe_u8), 1 => any::<u8>()];
    (fix, prop_oneof![v4, v6], icmp, body, any::<bool>()).prop_map(
        |(fix, header, icmp, body, bare)| {
            let mut frame = if bare {
                Vec::new()
            } else {
                vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]
            };
            frame.extend_from_slice(&header);
            frame.extend_from_slice(&icmp);
            frame.extend_from_slice(&body);
            let mut spelled = vec![fix & 0xfe | u8::from(bare) | 0x40];
            spelled.extend_from_slice(&(frame.len() as u16).to_be_bytes());
            spelled.extend_from_slice(&frame);
            spelled
        },
    )
}

/// A conversation that begins as one should, and goes on as its peer likes.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![4 => Just(0x10_u8), 4 => Just(0x18), 1 => Just(0x11), 1 => Just(2), 1 => Just(4), 2 => any::<u8>()];
    let off = prop_oneof![4 => Just(0_i16), 1 => -3..300_i16, 1 => any::<i16>()];
    let segment = (flags, off.clone(), off, any::<u16>(), any::<u8>());
    (any::<bool>(), vec(segment, 0..40)).prop_map(|(v6, segments)| {
        let begin = [(2, 0, 0, 65_535, 0), (0x10, 0, 0, 65_535, 0)];
        let all = begin.into_iter().chain(segments);
        all.flat_map(|segment| spelled(v6, segment)).collect()
    })
}

#[test]
fn a_conversation_reaches_the_program() {
    for v6 in [false, true] {
        let all = [
            (2, 0, 0, 65_535, 0),
            (0x10, 0, 0, 65_535, 0),
            (0x18, 0, 0, 65_535, 100),
            (0x11, 0, 0, 65_535, 7),
        ];
        let data: Vec<u8> = all
            .into_iter()
            .flat_map(|segment| spelled(v6, segment))
            .collect();
        assert_eq!(frames(&data), 107, "IPv6: {v6}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn conversations_of_any_peer_never_break_a_vnet_and_leave_nothing(data in conversation()) {
        frames(&data);
    }

    #[test]
    fn random_frames_never_break_a_vnet(data in vec(any::<u8>(), 0..600)) {
        frames(&data);
    }

    #[test]
    fn nearly_right_frames_never_break_a_vnet(data in vec(near_frame(), 0..40)) {
        frames(&data.concat());
    }

    /// Any order and any repetition of a datagram's fragments gives it back, once.
    #[test]
    fn reassembly_gives_back_what_was_cut(
        // As many fragments as IPv4 takes (`net.inet.ip.maxfragsperpacket`).
        payload in vec(any::<u8>(), 9..=128),
        cut in 1..6_usize,
        order in vec(any::<prop::sample::Index>(), 0..20),
        v6 in any::<bool>(),
    ) {
        let room = cut * 8;
        let parts: Vec<Fragment<()>> = payload
            .chunks(room)
            .enumerate()
            .map(|(n, chunk)| Fragment {
                offset: n * room,
                more: (n + 1) * room < payload.len(),
                ecn: 0,
                header: (),
                data: chunk.to_vec(),
            })
            .collect();
        let key = FragKey {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            proto: 17,
            id: 1,
        };
        let mut reass = if v6 { Reass::v6() } else { Reass::v4() };
        let mut sent = vec![false; parts.len()];
        let mut whole = Vec::new();
        let first = order.iter().map(|i| i.index(parts.len()));
        for n in first.chain(0..parts.len()) {
            if whole.is_empty() {
                sent[n] = true;
                whole.extend(reass.insert(Instant::BOOT, key, parts[n].clone()));
                prop_assert_eq!(!whole.is_empty(), sent.iter().all(|s| *s));
            }
        }
        prop_assert_eq!(&whole[0].payload, &payload);
        prop_assert!(reass.is_empty());
    }

    /// A wire without reordering keeps the order, never beats light, and forgets nothing it counts.
    #[test]
    fn a_wire_keeps_order_and_accounts_for_every_frame(
        seed in any::<u64>(),
        loss_ppm in 0..1_000_000_u32,
        duplicate_ppm in 0..1_000_000_u32,
        bandwidth_bps in prop_oneof![Just(0_u64), 1_000..1_000_000_000_u64],
        queue_limit_bytes in 0..10_000_u64,
        sends in vec((0..5_000_u64, 1..1_500_usize), 1..60),
    ) {
        let config = WireConfig {
            latency: Duration::from_micros(300),
            bandwidth_bps,
            queue_limit_bytes,
            loss_ppm,
            duplicate_ppm,
            ..WireConfig::default()
        };
        let mut wire = Wire::new(config);
        let mut rng = Rng::new(seed, "wire");
        let (mut now, mut last, mut arrived) = (Instant::BOOT, Instant::BOOT, 0);
        for (gap, length) in &sends {
            now = now.after(Duration::from_micros(*gap));
            for arrival in wire.send(now, &mut rng, vec![0; *length]) {
                prop_assert!(arrival.at >= last.max(now.after(config.latency)));
                last = arrival.at;
                arrived += 1;
            }
        }
        let s = wire.stats;
        prop_assert_eq!(s.sent, sends.len() as u64);
        prop_assert_eq!(arrived, s.sent - s.lost - s.overflowed + s.duplicated);
    }
}
