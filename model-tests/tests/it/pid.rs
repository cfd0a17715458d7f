// SPDX-License-Identifier: BSD-2-Clause
//! PID spaces against their model.

use model_tests::model::pid::{Op, Pair};
use proptest::prelude::*;
use quickcheck::{Arbitrary, Gen, QuickCheck};

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    prop_oneof![
        2 => n().prop_map(Op::Create),
        3 => n().prop_map(Op::Enter),
        2 => (n(), n()).prop_map(|(proc, to)| Op::Deeper(proc, to)),
        9 => n().prop_map(Op::Fork),
        1 => n().prop_map(Op::ForkFails),
        6 => n().prop_map(Op::Exit),
        6 => n().prop_map(Op::Reap),
        2 => n().prop_map(Op::Name),
        1 => Just(Op::Unname),
        2 => Just(Op::HostFork),
    ]
}

fn run(ops: impl IntoIterator<Item = Op>) {
    let mut pair = Pair::new();
    for op in ops {
        pair.step(op);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spaces_show_what_the_model_shows(ops in proptest::collection::vec(op(), 1..120)) {
        run(ops);
    }
}

/// An operation for quickcheck, whose shrinking drops whole operations.
#[derive(Clone, Debug)]
struct AnyOp(Op);

impl Arbitrary for AnyOp {
    fn arbitrary(g: &mut Gen) -> Self {
        let (a, b) = (u8::arbitrary(g), u8::arbitrary(g));
        Self(match u8::arbitrary(g) % 16 {
            0 => Op::Create(a),
            1 | 2 => Op::Enter(a),
            3 => Op::Deeper(a, b),
            4..=8 => Op::Fork(a),
            9 => Op::ForkFails(a),
            10 | 11 => Op::Exit(a),
            12 | 13 => Op::Reap(a),
            14 => Op::Name(a),
            _ => {
                if a < 64 {
                    Op::Unname
                } else {
                    Op::HostFork
                }
            }
        })
    }
}

#[test]
fn spaces_show_what_the_model_shows_under_quickcheck_too() {
    fn holds(ops: Vec<AnyOp>) -> bool {
        run(ops.into_iter().map(|op| op.0));
        true
    }
    QuickCheck::new()
        .tests(48)
        .quickcheck(holds as fn(Vec<AnyOp>) -> bool);
}

/// The range comes round several times while a group carries a number in its way.
#[test]
fn numbers_come_round_and_leave_out_what_is_carried() {
    let mut pair = Pair::new();
    pair.step(Op::Create(0));
    pair.step(Op::Enter(0));
    pair.step(Op::Fork(0));
    pair.step(Op::Name(1));
    pair.step(Op::Exit(1));
    pair.step(Op::Reap(0));
    for _ in 0..650 {
        pair.step(Op::Fork(0));
        pair.step(Op::Exit(1));
        pair.step(Op::Reap(0));
    }
}
