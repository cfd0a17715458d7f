// SPDX-License-Identifier: BSD-2-Clause
//! What is printed of a packet is read as the same packet, and carets stand below what is wrong.

use super::ast::{
    Action, Body, Direction, Icmp, IpSpec, Packet, Quoted, Script, Tcp, TcpOption, flag,
};
use super::packet_text::{PacketText, odd_options};
use super::parser::parse;
use super::run::flow::Flow;
use super::run::icmp;
use super::suite::find;
use super::suite_tests::suite;
use super::wire::{FrameBody, options_len};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::path::Path;

/// What a packet in a script of its own is read as.
fn read_again(packet: &Packet, ipv6: bool) -> Result<Packet, String> {
    let sign = match packet.direction {
        Direction::In => '<',
        Direction::Out => '>',
    };
    let version = if ipv6 { "--ip_version=ipv6" } else { "" };
    let text = PacketText::new(packet, ipv6).line();
    let script = format!("{version}\n--udp_encapsulation=tcp\n0 {sign} {text}\n");
    let read = parse(&script, &[]).map_err(|e| format!("{text}: {e}"))?;
    match read.events.as_slice() {
        [event] => match &event.action {
            Action::Packet(packet) => Ok(packet.clone()),
            other => Err(format!("{text}: {other:?}")),
        },
        events => Err(format!("{text}: {} events", events.len())),
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

fn option() -> impl Strategy<Value = TcpOption> {
    prop_oneof![
        Just(TcpOption::Nop),
        Just(TcpOption::Eol),
        any::<u16>().prop_map(TcpOption::Mss),
        any::<u8>().prop_map(TcpOption::Wscale),
        Just(TcpOption::SackPermitted),
        vec(any::<(u32, u32)>(), 1..4).prop_map(TcpOption::Sack),
        any::<(u32, u32)>().prop_map(|(val, ecr)| TcpOption::Timestamp { val, ecr }),
        bytes(16).prop_map(TcpOption::FastOpen),
        bytes(16).prop_map(TcpOption::FastOpenExperimental),
        any::<bool>().prop_map(|valid| TcpOption::Md5 { valid }),
        any::<u8>().prop_map(|rate| TcpOption::Raw(254, vec![0, 0xac, rate])),
        any::<[u8; 16]>().prop_map(|digest| TcpOption::Raw(19, digest.to_vec())),
        (
            prop_oneof![Just(172), Just(174), Just(254), any::<u8>()],
            bytes(12)
        )
            .prop_map(|(kind, payload)| TcpOption::Raw(kind, payload)),
        (
            prop_oneof![
                Just([0xac, 0xc0]),
                Just([0xac, 0xc1]),
                Just([0, 0xac]),
                Just([0xf9, 0x89])
            ],
            bytes(9)
        )
            .prop_map(|(id, rest)| TcpOption::Raw(254, [&id[..], &rest].concat())),
    ]
}

/// Options that fill words, in 40 bytes.
fn options() -> impl Strategy<Value = Option<Vec<TcpOption>>> {
    let list = vec(option(), 0..8).prop_map(|mut all| {
        while options_len(&all) > 40 {
            all.pop();
        }
        while !options_len(&all).is_multiple_of(4) {
            all.push(TcpOption::Nop);
        }
        Some(all)
    });
    let words = vec(any::<[u8; 4]>(), 1..=10);
    let blob = words.prop_map(|words| Some(vec![TcpOption::Blob(words.concat())]));
    prop_oneof![8 => list, 1 => blob, 1 => Just(None)]
}

prop_compose! {
    fn tcp()(
        flags in 0_u16..0x200,
        seq in of(any::<u32>()),
        len in 0_u32..=65_535,
        absolute: bool,
        ack in of(any::<u32>()),
        window in of(any::<u16>()),
        urgent in of(any::<u16>()),
        options in options(),
        open: (bool, bool),
        reason in of(any::<(u16, u32)>()),
    ) -> Tcp {
        let reason = reason.filter(|_| flags & flag::RST != 0);
        let mut options = options;
        // One mark holds for all timestamps of a packet.
        let mut times = 0;
        if let Some(options) = &mut options {
            options.retain(|option| match option {
                TcpOption::Timestamp { .. } => { times += 1; times == 1 }
                _ => true,
            });
            while !options_len(options).is_multiple_of(4) {
                options.push(TcpOption::Eol);
            }
            if open.0 {
                options.iter_mut().for_each(|option| if let TcpOption::Timestamp { val, .. } = option { *val = 0 });
            }
        }
        let len = if reason.is_some() { 8 } else { len };
        let there = times > 0;
        Tcp {
            flags, seq, len, absolute, ack, window, urgent, options,
            ts_val_any: open.0 && there, ts_ecr_absolute: open.1 && there, reason,
        }
    }
}

prop_compose! {
    fn ip()(
        dscp in of(0_u8..64),
        ecn in of(0_u8..4),
        ect01: bool,
        ttl in of(any::<u8>()),
        flow_label in of(0_u32..1 << 20),
    ) -> IpSpec {
        IpSpec { dscp, ecn, ect01: ect01 && ecn.is_none(), ttl, flow_label }
    }
}

fn icmp_of(ipv6: bool) -> impl Strategy<Value = Icmp> {
    let quoted = prop_oneof![
        Just(Quoted::Tcp {
            seq: None,
            len: 0,
            udp: None
        }),
        (of(any::<u32>()), 0_u32..40_000, of(any::<(u16, u16)>()))
            .prop_map(|(seq, len, udp)| Quoted::Tcp { seq, len, udp }),
        (0_u16..40_000).prop_map(Quoted::Udp),
    ];
    let with_mtu = if ipv6 { 2 } else { 3 };
    let kind = prop_oneof![Just(with_mtu), 0_u8..20, 125_u8..140, any::<u8>()];
    (
        kind,
        prop_oneof![Just(4_u8), 0_u8..16, any::<u8>()],
        1_u16..,
        any::<u16>(),
        quoted,
    )
        .prop_map(move |(kind, code, mtu, id, quoted)| {
            let has_mtu = match ipv6 {
                true => matches!(kind, 2 | 134),
                false => (kind, code) == (3, 4),
            };
            Icmp {
                kind,
                code,
                mtu: has_mtu.then_some(mtu.into()),
                id: if has_mtu { 0 } else { id },
                quoted,
            }
        })
}

/// A packet that a script may have, and whether the script is one over IPv6.
fn packet() -> impl Strategy<Value = (Packet, bool)> {
    let body = |ipv6| {
        prop_oneof![
            4 => tcp().prop_map(Body::Tcp),
            1 => (0_u16..=65_507).prop_map(Body::Udp),
            1 => icmp_of(ipv6).prop_map(Body::Icmp),
        ]
    };
    let body = any::<bool>().prop_flat_map(move |ipv6| (body(ipv6), Just(ipv6)));
    let ports = of(any::<(u16, u16)>());
    (body, any::<bool>(), ip(), of(any::<(u16, u16)>()), ports).prop_map(
        |((mut body, ipv6), inward, mut ip, udp, ports)| {
            let inward = inward || matches!(body, Body::Icmp(_));
            if inward {
                ip.ect01 = false;
            }
            if let (Body::Tcp(tcp), true) = (&mut body, inward) {
                tcp.window.get_or_insert(7);
                tcp.options.get_or_insert_default();
                if tcp.options.as_ref().is_some_and(Vec::is_empty) {
                    (tcp.ts_val_any, tcp.ts_ecr_absolute) = (false, false);
                }
            }
            let direction = if inward {
                Direction::In
            } else {
                Direction::Out
            };
            let udp = udp.filter(|_| matches!(body, Body::Tcp(_)));
            (
                Packet {
                    direction,
                    ip,
                    body,
                    udp,
                    ports,
                },
                ipv6,
            )
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_of_a_packet_is_read_as_the_same_packet((packet, ipv6) in packet()) {
        let again = read_again(&packet, ipv6).map_err(TestCaseError::fail)?;
        prop_assert_eq!(again, packet);
    }

    #[test]
    fn an_icmp_message_on_the_wire_is_told_as_the_script_has_it(
        (icmp, ipv6) in any::<bool>().prop_flat_map(|v6| (icmp_of(v6), Just(v6))),
        isn: u32,
    ) {
        let end = |host: &str, port| format!("{host}:{port}").parse().unwrap();
        let (local, remote) = match ipv6 {
            true => (end("[fd00::1]", 7), end("[2001:db8::1]", 9)),
            false => (end("10.0.0.1", 7), end("192.0.2.1", 9)),
        };
        let mut flow = Flow::new(local, remote);
        flow.local_isn = Some(isn);
        let FrameBody::Other(_, message) = icmp::message(&icmp, &flow).body else {
            return Err(TestCaseError::fail("no ICMP"));
        };
        let read = icmp::read(&message, ipv6, &flow, Direction::In);
        // What a script says nothing of is the first number.
        let wanted = match icmp.quoted {
            _ if ipv6 && icmp.kind == 134 => Quoted::Tcp { seq: None, len: 0, udp: None },
            Quoted::Tcp { seq, len, udp } => Quoted::Tcp { seq: Some(seq.unwrap_or(0)), len, udp },
            quoted => quoted,
        };
        prop_assert_eq!(read, Some(Icmp { quoted: wanted, ..icmp }));
        for end in 0..message.len() {
            let _ = icmp::read(&message[..end], ipv6, &flow, Direction::In);
        }
    }

    #[test]
    fn no_message_is_too_odd_to_be_told(message in bytes(80), ipv6: bool, out: bool) {
        let flow = Flow::new("10.0.0.1:7".parse().unwrap(), "10.0.0.2:9".parse().unwrap());
        let way = if out { Direction::Out } else { Direction::In };
        let _ = icmp::read(&message, ipv6, &flow, way);
    }
}

fn packets(script: &Script) -> impl Iterator<Item = &Packet> {
    script
        .events
        .iter()
        .filter_map(|event| match &event.action {
            Action::Packet(packet) => Some(packet),
            _ => None,
        })
}

#[test]
fn every_packet_of_the_scripts_is_printed_as_it_is_read() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model-tests/packetdrill");
    let folders: Vec<_> = [Some(own), suite()].into_iter().flatten().collect();
    let mut count = 0;
    for path in find(&folders).unwrap() {
        let text = std::fs::read_to_string(&path).unwrap();
        let Ok(script) = parse(&text, &["FreeBSD"]) else {
            continue;
        };
        for packet in packets(&script) {
            let again = read_again(packet, script.options.ipv6).unwrap();
            assert_eq!(&again, packet, "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 100, "{count} packets");
}

#[test]
fn packets_are_written_as_in_scripts() {
    for text in [
        "SEWA 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0>",
        "SE. 0:0(0) ack 1",
        "[ect0] P. 1:101(100) ack 1 win 1027 <nop,nop,TS val 20 ecr 200>",
        "(ttl 3) F. 1:1(0) ack 1",
        "(ttl 3, dscp 0x0a, ecn ce) . 1:1(0) ack 1",
        "- ...(0)",
        "FP. 9:10(1)! ack 1 urg 7 <...>",
        "S 0:0(0) win 1 <TS val ... ecr 7!,exp-FO,eol,eol>/udp(9811 > 2)",
        "R. 1:9(8) ack 1 win 0 [code 3, pen 0]",
        "S. 0:0(0) ack 1 <AccECN0 ee0b 1 eceb 2 ee1b 3,nop>",
        "udp 8080 > 53 (10)",
    ] {
        let script = parse(&format!("--udp_encapsulation=tcp\n0 > {text}\n"), &[]).unwrap();
        let packet = packets(&script).next().unwrap();
        assert_eq!(PacketText::new(packet, false).line(), text);
    }
    for (v6, text) in [
        (
            false,
            "icmp unreachable frag_needed mtu 1200 [1:1461(1460)]",
        ),
        (
            false,
            "icmp time_exceeded ttl_exceeded_in_transit [0:0(0)/udp(1 > 2)]",
        ),
        (false, "icmp type_77 code_9 id 3 [udp (5)]"),
        (true, "(hlim 7) icmpv6 packet_too_big mtu 1280 [1:1(0)]"),
    ] {
        let version = if v6 { "--ip_version=ipv6" } else { "" };
        let script = parse(&format!("{version}\n0 < {text}\n"), &[]).unwrap();
        let packet = packets(&script).next().unwrap();
        assert_eq!(PacketText::new(packet, v6).line(), text);
    }
}

#[test]
fn of_a_list_only_the_options_that_are_not_the_same_are_odd() {
    let odd = |expected: &str, seen: &str| {
        let options = |text: &str| -> Vec<TcpOption> {
            let of = |c: char| TcpOption::Wscale(c.to_digit(36).unwrap() as u8);
            text.chars().map(of).collect()
        };
        let (expected, seen) = (options(expected), options(seen));
        odd_options(&expected, &seen, |i, j| expected[i] == seen[j])
    };
    assert_eq!(odd("abc", "abc"), [0; 0]);
    assert_eq!(odd("abc", "axc"), [1]);
    assert_eq!(odd("abc", "xby"), [0, 2]);
    assert_eq!(odd("abc", "abxc"), [2]);
    assert_eq!(odd("abc", "ac"), [1], "what stands where one is missing");
    assert_eq!(odd("abc", "ab"), [0; 0], "the end is pointed at");
    assert_eq!(odd("abc", "abcd"), [3]);
    assert_eq!(odd("aab", "ab"), [1]);
    assert_eq!(odd("", "ab"), [0, 1]);
    assert_eq!(odd("ab", ""), [0; 0]);
}
