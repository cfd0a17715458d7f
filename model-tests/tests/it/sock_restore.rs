// SPDX-License-Identifier: BSD-2-Clause
//! Socket state that was altered on its way: refused, or a state like any other.

use model_tests::fuzz::sock_restore::{sock_restore, templates};
use sim::rng::Rng;

/// Seeded inputs of the fuzz target.
const RUNS: u64 = 300;

#[test]
fn altered_sockets_are_refused_or_behave_as_sockets() {
    for seed in 0..RUNS {
        let mut rng = Rng::new(seed, "sock_restore");
        let data: Vec<u8> = (0..40 + rng.below(600))
            .map(|_| rng.next_u64() as u8)
            .collect();
        let ran = std::panic::catch_unwind(|| sock_restore(&data));
        assert!(ran.is_ok(), "seed {seed}");
    }
}

#[test]
fn the_images_that_are_altered_have_every_state() {
    let mut seen = std::collections::BTreeSet::new();
    for items in templates() {
        for item in items {
            if let model_tests::image::Item::Object(_, object) = item
                && let vpscore::image::Object::Socket(so) = &**object
                && let Some(tp) = &so.tcpcb
            {
                seen.insert(format!("{:?}", tp.t_state));
            }
        }
    }
    println!("{} images", templates().len());
    assert_eq!(seen.len(), 11, "{seen:?}");
}

/// Inputs that were found by the fuzz target.
#[test]
fn inputs_that_broke_a_promise_once_break_none() {
    let found: [&[u8]; 3] = [
        // A SYN to be sent on a connection whose SYN has been acknowledged.
        &[0xf8, 0x79, 0x21, 0x7a, 0x36, 0x98, 0x30, 0x74, 0x12],
        // A second of a rate limit, and a change of secret, long due at the end of time.
        &[
            0x40, 0x74, 0x01, 0x00, 0x2a, 0x2c, 0xb0, 0x74, 0x31, 0xc0, 0x8b, 0xfe, 0x97, 0x2a,
            0x2c,
        ],
        &LONG_DUE,
    ];
    for input in found {
        sock_restore(input);
    }
}

/// What `syncookie_overdue` could not say.
const LONG_DUE: [u8; 62] = [
    0x3a, 0xff, 0x69, 0x65, 0x2e, 0xff, 0x6e, 0x74, 0x2e, 0x65, 0x74, 0x6e, 0x65, 0x74, 0x36, 0x2e,
    0x69, 0x70, 0x36, 0x2e, 0x63, 0x6f, 0x74, 0x36, 0x2e, 0x69, 0x70, 0x36, 0x2e, 0x63, 0x6f, 0x6e,
    0x6e, 0x65, 0x63, 0x74, 0x2e, 0x5f, 0x69, 0x6e, 0x36, 0x61, 0x70, 0x32, 0x74, 0x01, 0x01, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10, 0x2f, 0x8d,
];
