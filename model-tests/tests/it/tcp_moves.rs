// SPDX-License-Identifier: BSD-2-Clause
//! Small worlds in which one delicate thing happens, with a move at every single event of it.
//!
//! Each world says by what its wire shows that the delicate thing has happened, so that a change
//! of a default does not leave a test of nothing.

use std::collections::BTreeMap;

use model_tests::net::app::{Kind, Op};
use model_tests::net::packet::{FIN, Packet, SYN, Seg, read};
use model_tests::net::world::{Conn, Outcome, Pause, Plan, run};
use sim::time::Duration;

use crate::tcp::same;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn conn(start: u64, zero: &[(u64, Op)], one: &[(u64, Op)]) -> Conn {
    let script = |ops: &[(u64, Op)]| ops.iter().map(|(gap, op)| (ms(*gap), *op)).collect();
    Conn {
        active: 0,
        start: ms(start),
        scripts: [script(zero), script(one)],
    }
}

/// The segments on the wire, with their moments and senders.
fn segments(outcome: &Outcome) -> Vec<(Duration, usize, Seg)> {
    let seg = |(at, host, frame): &(Duration, usize, Vec<u8>)| match read(frame, 0) {
        Ok(Packet::Tcp(seg)) => Some((*at, *host, seg)),
        _ => None,
    };
    outcome.trace.iter().filter_map(seg).collect()
}

/// How many segments of a host have all these flags.
fn count(outcome: &Outcome, host: usize, flags: u16) -> usize {
    let has =
        |(_, from, seg): &&(Duration, usize, Seg)| *from == host && seg.flags & flags == flags;
    segments(outcome).iter().filter(has).count()
}

/// Host 0, host 1, or both move after each event, with their addresses or to another network: nobody
/// can tell, bit for bit.
fn moved_at_each_event(plan: &Plan, there: &Outcome) {
    let moved = |moves: BTreeMap<u64, u8>, networks| {
        let moved = run(&Plan {
            moves,
            networks,
            ..plan.clone()
        });
        same(there, &moved);
    };
    for event in 1..=there.events {
        for mask in 1..=3 {
            moved([(event, mask)].into(), None);
        }
        moved([(event, 3)].into(), Some(event));
    }
    for networks in [None, Some(1)] {
        moved(
            (1..=there.events).map(|event| (event, 3)).collect(),
            networks,
        );
    }
}

/// Host 0, host 1, or both are away for a while from each moment on at which a frame is sent or
/// arrives, and what comes meanwhile waits: nothing is lost.
fn away_at_each_moment(plan: &Plan, there: &Outcome) {
    let sent = there.trace.iter().map(|(at, ..)| *at);
    let mut moments: Vec<_> = sent.flat_map(|at| [at, at.plus(ms(10))]).collect();
    moments.sort_unstable();
    moments.dedup();
    for at in moments {
        for hosts in [&[0][..], &[1], &[0, 1]] {
            let away = |host: &usize| Pause {
                at,
                host: *host,
                length: ms(300),
                queued: true,
            };
            let pauses = hosts.iter().map(away).collect();
            let here = run(&Plan {
                pauses,
                ..plan.clone()
            });
            assert_eq!(here.errors, there.errors, "{hosts:?} away at {at:?}");
            assert_eq!(here.read, there.read, "{hosts:?} away at {at:?}");
        }
    }
}

fn everywhere(plan: &Plan, happened: impl Fn(&Outcome) -> bool) {
    let there = run(plan);
    assert!(
        happened(&there),
        "not the world it should be: {:?}",
        there.seen
    );
    assert!(there.errors.iter().flatten().all(Option::is_none));
    moved_at_each_event(plan, &there);
    away_at_each_moment(plan, &there);
}

#[test]
fn a_handshake_whose_syn_ack_is_lost_survives_a_move_at_each_event() {
    let plan = Plan {
        conns: vec![conn(1_000, &[(0, Op::Write(100))], &[(0, Op::Write(100))])],
        cuts: vec![(ms(1_025), Some(ms(1_100)))],
        ..Plan::new(1)
    };
    everywhere(&plan, |seen| count(seen, 1, SYN) > 1);
}

/// The first connection asks for the cookie, the second has data in its SYN (RFC 7413).
#[test]
fn fast_open_survives_a_move_at_each_event() {
    let enable = vec![("net.inet.tcp.fastopen.server_enable", 1)];
    let client = vec![("net.inet.tcp.fastopen.client_enable", 1)];
    let plan = Plan {
        kind: Kind {
            fast_open: true,
            ..Kind::default()
        },
        sysctls: [client, enable],
        conns: vec![
            conn(1_000, &[], &[(200, Op::Write(100))]),
            conn(3_000, &[], &[(50, Op::Write(100))]),
        ],
        one_port: true,
        ..Plan::new(2)
    };
    everywhere(&plan, |seen| {
        let data = |(_, _, seg): &(Duration, usize, Seg)| seg.has(SYN) && !seg.text.is_empty();
        segments(seen).iter().any(data)
    });
}

#[test]
fn a_closed_window_and_its_reopening_survive_a_move_at_each_event() {
    let reader = [(0, Op::Stall), (40_000, Op::Read(u32::MAX))];
    let plan = Plan {
        sysctls: [vec![], vec![("net.inet.tcp.recvspace", 4_000)]],
        conns: vec![conn(1_000, &[(100, Op::Write(12_000))], &reader)],
        ..Plan::new(3)
    };
    everywhere(&plan, |seen| seen.seen.probes > 1);
}

/// Two segments in the middle of a flight are lost.
#[test]
fn the_recovery_from_losses_with_sack_survives_a_move_at_each_event() {
    let cut = |us: u64| {
        (
            Duration::from_micros(us),
            Some(Duration::from_micros(us + 130)),
        )
    };
    let plan = Plan {
        conns: vec![conn(1_000, &[(460, Op::Write(60_000))], &[])],
        cuts: vec![cut(1_500_400), cut(1_520_900)],
        ..Plan::new(4)
    };
    everywhere(&plan, |seen| seen.seen.sacks > 0 && seen.seen.repeated > 0);
}

/// The FINs cross on the wire (RFC 9293 section 3.6).
#[test]
fn a_simultaneous_close_survives_a_move_at_each_event() {
    let plan = Plan {
        conns: vec![conn(
            1_000,
            &[(500, Op::Write(10))],
            &[(495, Op::Write(10))],
        )],
        ..Plan::new(5)
    };
    everywhere(&plan, |seen| {
        let all = segments(seen);
        let fin = |host| {
            all.iter()
                .find(|(_, from, seg)| *from == host && seg.has(FIN))
        };
        let (zero, one) = (fin(0).expect("a FIN"), fin(1).expect("a FIN"));
        zero.0 < one.0.plus(ms(10)) && one.0 < zero.0.plus(ms(10))
    });
}

/// Without SACK: FreeBSD counts the urgent pointer of a hole's retransmission from `snd_nxt`
/// (`tcp_output.c`, 15.0).
#[test]
fn urgent_data_after_a_half_close_survives_a_move_at_each_event() {
    let zero = [
        (300, Op::Write(3_000)),
        (50, Op::Urgent(5)),
        (50, Op::Write(2_000)),
        (0, Op::Urgent(1)),
    ];
    let one = [
        (0, Op::ShutWr),
        (350, Op::Stall),
        (20, Op::ReadUrgent),
        (20, Op::Read(100)),
    ];
    let plan = Plan {
        sysctls: [vec![("net.inet.tcp.sack.enable", 0)], vec![]],
        conns: vec![conn(1_000, &zero, &one)],
        ..Plan::new(6)
    };
    const URG: u16 = 0x20;
    everywhere(&plan, |seen| {
        count(seen, 0, URG) > 1 && count(seen, 1, FIN) == 1
    });
}
