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
