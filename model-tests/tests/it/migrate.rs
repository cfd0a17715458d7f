// SPDX-License-Identifier: BSD-2-Clause
//! One owner and free abort at every crash point of the migration, by exhaustive search. In every
//! state reached: the rules of [`model_tests::migrate::World::check`] hold, and once faults end,
//! exactly one side has the instance or it is reported lost.

use model_tests::fuzz::migrate as bodies;
use model_tests::migrate::{Explored, Faults, explore};
use proptest::prelude::*;

/// Searches, and makes sure that the outcomes the rules are about were met at all.
fn all(source_crashes: u8, target_crashes: u8, bad_writes: u8, attempts: u8) -> Explored {
    let faults = Faults {
        source_crashes,
        target_crashes,
        bad_writes,
        attempts,
    };
    match explore(&faults) {
        Ok(found) => {
            assert!(
                found.moved > 0 && found.lost > 0 && found.nowhere > 0,
                "{found:?}"
            );
            found
        }
        Err(history) => panic!("{history}"),
    }
}

#[test]
fn one_owner_and_free_abort_with_any_loss_repetition_and_order_of_messages() {
    all(0, 0, 0, 1);
}

#[test]
fn one_owner_and_free_abort_with_journals_that_fail() {
    all(0, 0, 2, 1);
}

#[test]
fn one_owner_and_free_abort_at_every_crash_point_of_the_source() {
    all(2, 0, 0, 1);
}

#[test]
fn one_owner_and_free_abort_at_every_crash_point_of_the_target_and_its_second_attempt() {
    all(0, 1, 0, 2);
}

#[test]
fn one_owner_and_free_abort_at_every_crash_point_of_both() {
    all(1, 1, 0, 1);
}

#[test]
fn the_search_is_the_same_every_time() {
    assert_eq!(all(0, 0, 0, 1), all(0, 0, 0, 1));
}

#[test]
#[ignore = "some minutes: run with --ignored"]
fn one_owner_and_free_abort_with_two_crashes_of_each_or_bad_journals_besides() {
    all(2, 2, 0, 2);
    all(1, 1, 1, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn messages_results_and_times_in_any_order_keep_the_discipline_of_the_journal(
        data in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        bodies::machines(&data);
    }

    #[test]
    fn any_bytes_are_one_message_or_none(
        data in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        bodies::decode(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_long_history_with_crashes_of_both_has_one_owner(
        data in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        bodies::history(&data);
    }
}
