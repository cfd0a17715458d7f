// SPDX-License-Identifier: BSD-2-Clause
//! Two stacks, a faulty link, programs at both ends: what must hold, held for random worlds.
//!
//! `PROPTEST_CASES` sets how many worlds are tried for each property.

use model_tests::net::app::{Kind, Op, SOL_SOCKET, TCP};
use model_tests::net::world::{Conn, Outcome, Pause, Plan, Router, run};
use proptest::collection::vec;
use proptest::prelude::*;
use sim::net::link::WireConfig;
use sim::time::Duration;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The port for TCP in UDP (`IPPORT_TCP_OVER_UDP`, RFC 6951's).
const ENCAPSULATED: u16 = 9_899;

fn op() -> impl Strategy<Value = Op> {
    let flag = |level, name| (0..2).prop_map(move |on| Op::Set(level, name, on));
    prop_oneof![
        8 => prop_oneof![1..20_u32, 500..3_000_u32, 3_000..60_000_u32].prop_map(Op::Write),
        1 => prop_oneof![Just(1_u32), 2..2_000_u32].prop_map(Op::Urgent),
        2 => Just(Op::Stall),
        2 => prop_oneof![1..100_u32, 100..9_000_u32, Just(u32::MAX)].prop_map(Op::Read),
        1 => (1..5_000_u32).prop_map(Op::ReadOnce),
        1 => Just(Op::ReadUrgent),
        1 => flag(TCP, 1), // TCP_NODELAY
        1 => flag(TCP, 4), // TCP_NOPUSH
        1 => flag(SOL_SOCKET, 0x100), // SO_OOBINLINE
        1 => (500..100_000).prop_map(|n| Op::Set(SOL_SOCKET, 0x1001, n)), // SO_SNDBUF
        1 => (500..100_000).prop_map(|n| Op::Set(SOL_SOCKET, 0x1002, n)), // SO_RCVBUF
        1 => (1..4_000).prop_map(|n| Op::Set(SOL_SOCKET, 0x1004, n)), // SO_RCVLOWAT
        1 => (10..100).prop_map(|s| Op::Set(TCP, 256, s)), // TCP_KEEPIDLE
        1 => Just(Op::NewReno),
    ]
}

fn last() -> impl Strategy<Value = Option<Op>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Op::ShutWr)),
        1 => Just(Some(Op::Close)),
        1 => Just(Some(Op::ShutRd)),
        1 => Just(Some(Op::Abort)),
    ]
}

fn script() -> impl Strategy<Value = Vec<(Duration, Op)>> {
    let gap =
        prop_oneof![2 => Just(0_u64), 3 => 0..50_u64, 2 => 50..3_000_u64, 1 => 3_000..20_000_u64];
    let ops = vec((gap.clone().prop_map(ms), op()), 0..8);
    (ops, gap.prop_map(ms), last()).prop_map(|(mut ops, gap, last)| {
        ops.extend(last.map(|op| (gap, op)));
        ops
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    (any::<bool>(), 0..8_u8).prop_map(|(v6, special)| Kind {
        v6,
        signed: special == 0,
        encapsulated: if special == 1 { ENCAPSULATED } else { 0 },
        fast_open: special == 2,
    })
}

fn sysctls(kind: Kind) -> impl Strategy<Value = Vec<(&'static str, i64)>> {
    let maybe = |name, values: Vec<i64>| prop_oneof![3 => Just(None), 1 => prop::sample::select(values).prop_map(move |v| Some((name, v)))];
    (
        maybe("net.inet.tcp.rfc1323", vec![0, 2, 3]),
        maybe("net.inet.tcp.sack.enable", vec![0]),
        maybe("net.inet.tcp.ecn.enable", vec![0, 1, 3]),
        maybe("net.inet.tcp.syncookies_only", vec![1]),
        maybe("net.inet.tcp.syncookies", vec![0]),
        maybe("net.inet.tcp.delayed_ack", vec![0]),
        maybe("net.inet.tcp.recvspace", vec![2_000, 20_000]),
        maybe("net.inet.tcp.sendspace", vec![3_000, 100_000]),
        maybe("net.inet.tcp.sack.lrd", vec![0]),
        maybe("net.inet.tcp.do_prr", vec![0]),
    )
        .prop_map(move |(a, b, c, d, e, f, g, h, i, j)| {
            let mut all: Vec<_> = [a, b, c, d, e, f, g, h, i, j]
                .into_iter()
                .flatten()
                .collect();
            if kind.encapsulated != 0 {
                all.push(("net.inet.tcp.udp_tunneling_port", kind.encapsulated.into()));
            }
            if kind.fast_open {
                all.push(("net.inet.tcp.fastopen.server_enable", 1));
            }
            all
        })
}

/// A wire whose faults are below `worst`, per million.
fn wire(worst: u32) -> impl Strategy<Value = WireConfig> {
    let fault = move || prop_oneof![1 => Just(0), 1 => 0..=worst];
    (
        1..100_000_u64,
        prop::sample::select(vec![0, 1_000_000, 10_000_000, 1_000_000_000]),
        20_000..200_000_u64,
        (fault(), fault(), fault(), fault()),
        1..50_000_u64,
    )
        .prop_map(
            |(latency, bandwidth_bps, queue, (loss, dup, corrupt, reorder), held)| WireConfig {
                latency: Duration::from_micros(latency),
                bandwidth_bps,
                queue_limit_bytes: queue,
                loss_ppm: loss,
                duplicate_ppm: dup,
                corrupt_ppm: corrupt,
                reorder_ppm: reorder,
                reorder_delay: Duration::from_micros(held),
            },
        )
}

fn conns() -> impl Strategy<Value = Vec<Conn>> {
    let conn =
        (0..2_usize, 0..3_000_u64, script(), script()).prop_map(|(active, start, a, b)| Conn {
            active,
            start: ms(1_000 + start),
            scripts: [a, b],
        });
    vec(conn, 1..3)
}

/// FreeBSD counts the urgent pointer of a hole's retransmission from `snd_nxt` (`tcp_output.c`,
/// 15.0), and so takes another byte out of the stream: urgent data goes without SACK here.
fn without_sack(mut sysctls: Vec<(&'static str, i64)>, conns: &[Conn]) -> Vec<(&'static str, i64)> {
    let mut ops = conns.iter().flat_map(|conn| conn.scripts.iter().flatten());
    if ops.any(|(_, op)| matches!(op, Op::Urgent(_))) {
        sysctls.push(("net.inet.tcp.sack.enable", 0));
    }
    sysctls
}

/// A world whose faults no connection may break of.
fn gentle() -> impl Strategy<Value = Plan> {
    let router = prop_oneof![
        3 => Just(None),
        1 => (1_280..1_500_u32).prop_map(|mtu| Some(Router { mtu, silent: false })),
    ];
    (
        any::<u64>(),
        kind(),
        (wire(60_000), wire(60_000)),
        router,
        conns(),
    )
        .prop_flat_map(|(seed, kind, wires, router, conns)| {
            (
                Just((seed, kind, wires, router, conns)),
                sysctls(kind),
                sysctls(kind),
            )
        })
        .prop_map(|((seed, kind, wires, router, conns), a, b)| Plan {
            kind,
            sysctls: [without_sack(a, &conns), b],
            wires: [wires.0, wires.1],
            // FreeBSD passes over an MTU that is smaller by less than the UDP header (`tcp_ctlinput`).
            router: router.map(|r: Router| Router {
                mtu: if kind.encapsulated != 0 {
                    r.mtu.min(1_490)
                } else {
                    r.mtu
                },
                ..r
            }),
            conns,
            heals: Duration::from_secs(100_000),
            ..Plan::new(seed)
        })
}

fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    ProptestConfig {
        max_shrink_time: 8_000,
        failure_persistence: None,
        ..if asked {
            ProptestConfig::default()
        } else {
            ProptestConfig::with_cases(default)
        }
    }
}

pub(crate) fn same(there: &Outcome, here: &Outcome) {
    let differ = there
        .trace
        .iter()
        .zip(&here.trace)
        .position(|(a, b)| a != b);
    let show = |outcome: &Outcome| differ.map(|n| format!("{n}: {:02x?}", outcome.trace[n]));
    assert_eq!(show(there), show(here), "after {} moves", here.moved);
    assert_eq!(
        (&there.errors, &there.read, there.ended),
        (&here.errors, &here.read, here.ended)
    );
    assert_eq!(there.trace.len(), here.trace.len());
}

proptest! {
    #![proptest_config(cases(60))]

    /// Each stream arrives whole, in order and once, unless an end let go; both ends close; nothing
    /// is left; and on the wire every rule of the observer holds.
    #[test]
    fn what_a_faulty_link_takes_the_stacks_mend(plan in gentle()) {
        run(&plan);
    }
}

/// A world whose link may be as bad as it likes, and may be cut for ever.
fn harsh() -> impl Strategy<Value = Plan> {
    let cut = (
        0..30_000_u64,
        prop_oneof![2 => (1..120_000_u64).prop_map(Some), 1 => Just(None)],
    );
    let router = prop_oneof![
        1 => Just(None),
        1 => (1_280..1_500_u32).prop_map(|mtu| Some(Router { mtu, silent: true })),
    ];
    let faults = (wire(600_000), wire(600_000));
    (gentle(), faults, vec(cut, 0..3), router, 0..200_000_u64).prop_map(
        |(plan, wires, cuts, router, heals)| Plan {
            wires: [wires.0, wires.1],
            cuts: cuts
                .into_iter()
                .map(|(from, to)| (ms(from), to.map(|span| ms(from + span))))
                .collect(),
            router,
            heals: ms(heals),
            gentle: false,
            ..plan
        },
    )
}

fn pauses() -> impl Strategy<Value = Vec<Pause>> {
    let pause = (0..20_000_u64, 0..2_usize, 0..5_000_u64, any::<bool>());
    vec(
        pause.prop_map(|(at, host, length, queued)| Pause {
            at: ms(at),
            host,
            length: ms(length),
            queued,
        }),
        0..4,
    )
}

/// Addresses are kept, or each move leads to a network that is drawn.
fn networks() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 2 => any::<u64>().prop_map(Some)]
}

proptest! {
    #![proptest_config(cases(40))]

    /// On a link that is no link the programs are told, and never told that all is well; nothing
    /// hangs for ever and nothing is left.
    #[test]
    fn a_dead_link_is_reported_and_nothing_is_left(plan in harsh()) {
        run(&plan);
    }

    /// The same plan, the same trace; and the same again where stacks move in between.
    #[test]
    fn moves_that_take_no_time_leave_no_trace(
        plan in gentle(),
        at in vec((0..4_000_u64, 1..4_u8), 1..30),
        networks in networks(),
    ) {
        // What an ARP entry was used for does not move: it may be asked for again after 20 minutes.
        let plan = Plan { gentle: false, limit: Duration::from_secs(1_000), ..plan };
        let there = run(&plan);
        same(&there, &run(&plan));
        same(&there, &run(&Plan { moves: at.into_iter().collect(), networks, ..plan }));
    }

    /// What holds without moves holds with moves that take time, whether the frames that come
    /// meanwhile wait or are lost.
    #[test]
    fn moves_that_take_time_lose_nothing(
        plan in gentle(),
        pauses in pauses(),
        networks in networks(),
    ) {
        run(&Plan { pauses, networks, ..plan });
    }

    /// The same on bad links.
    #[test]
    fn moves_on_a_bad_link_lose_nothing_in_silence(
        plan in harsh(),
        pauses in pauses(),
        networks in networks(),
    ) {
        run(&Plan { pauses, networks, ..plan });
    }
}
