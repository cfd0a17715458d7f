// SPDX-License-Identifier: BSD-2-Clause
use super::*;

fn small() -> Numbers {
    Numbers::create(Range {
        lowest: 0,
        restart: 2,
        end: 3000,
    })
    .unwrap()
}

fn spares(n: usize) -> List<Leaf> {
    let mut list = List::new();
    for _ in 0..n {
        list.push(Leaf::create().unwrap()).unwrap();
    }
    list
}

/// Takes what `pick` says, as the table does.
fn next(numbers: &mut Numbers, slot: Slot) -> i32 {
    let (number, needs_leaf) = numbers.pick().unwrap();
    let mut leaves = spares(usize::from(needs_leaf));
    numbers.take(number, slot, true, &mut leaves).unwrap();
    assert!(leaves.is_empty());
    assert!(numbers.invariants());
    number
}

#[test]
fn numbers_go_up_from_two_and_skip_what_is_in_use() {
    let mut numbers = small();
    numbers.take(3, 7, false, &mut spares(1)).unwrap();
    assert_eq!(next(&mut numbers, 0), 2);
    assert_eq!(next(&mut numbers, 1), 4);
    assert_eq!(numbers.get(3), Some(7));
    assert_eq!(numbers.get(4), Some(1));
    assert_eq!(numbers.get(5), None);
}

#[test]
fn a_number_given_back_is_not_handed_out_before_the_range_came_round() {
    let mut numbers = small();
    assert_eq!(next(&mut numbers, 0), 2);
    numbers.give_back(2, 0);
    assert_eq!(next(&mut numbers, 0), 3);
}

#[test]
fn after_the_end_the_search_starts_again_at_two() {
    let mut numbers = small();
    numbers.set_last(2998);
    assert_eq!(next(&mut numbers, 0), 2999);
    assert_eq!(next(&mut numbers, 1), 2);
}

#[test]
fn a_full_range_is_exhausted_and_one_number_given_back_is_found() {
    let mut numbers = small();
    for slot in 0..2998 {
        next(&mut numbers, slot);
    }
    assert_eq!(numbers.pick(), Err(NumberError::Exhausted));
    let slot = numbers.get(1500).unwrap();
    numbers.give_back(1500, slot);
    assert_eq!(next(&mut numbers, 9999), 1500);
    assert_eq!(numbers.pick(), Err(NumberError::Exhausted));
}

#[test]
fn a_number_below_the_restart_is_had_by_name_only() {
    let mut numbers = small();
    numbers.take(1, 0, false, &mut spares(1)).unwrap();
    assert_eq!(next(&mut numbers, 1), 2);
    assert_eq!(
        numbers.probe(-1),
        Err(NumberError::OutOfRange { number: -1 })
    );
    assert_eq!(
        numbers.probe(3000),
        Err(NumberError::OutOfRange { number: 3000 })
    );
    assert_eq!(numbers.probe(2999), Ok(true));
    assert_eq!(numbers.probe(1), Err(NumberError::InUse { number: 1 }));
}

#[test]
fn taking_without_a_leaf_at_hand_changes_nothing() {
    let mut numbers = small();
    let before = numbers.last();
    assert_eq!(
        numbers.take(5, 0, true, &mut List::new()).err(),
        Some(NumberError::NeedsLeaf)
    );
    assert_eq!(
        (numbers.used(), numbers.last(), numbers.get(5)),
        (0, before, None)
    );
}

#[test]
fn giving_back_for_another_slot_changes_nothing() {
    let mut numbers = small();
    assert_eq!(next(&mut numbers, 4), 2);
    numbers.give_back(2, 5);
    assert_eq!(numbers.get(2), Some(4));
}

#[test]
fn a_leaf_that_became_empty_serves_the_next_place_that_needs_one() {
    let mut numbers = small();
    assert_eq!(next(&mut numbers, 0), 2);
    assert_eq!(numbers.probe(2000), Ok(true));
    numbers.give_back(2, 0);
    assert_eq!(numbers.probe(2000), Ok(false));
    numbers.take(2000, 1, true, &mut List::new()).unwrap();
    assert_eq!(numbers.probe(2), Ok(true), "its leaf went to 2000");
    assert!(numbers.invariants());
}

#[test]
fn a_number_is_repointed_only_from_the_slot_that_has_it() {
    let mut numbers = small();
    assert_eq!(next(&mut numbers, 4), 2);
    numbers.repoint(2, 5, 6);
    assert_eq!(numbers.get(2), Some(4));
    numbers.repoint(2, 4, 6);
    assert_eq!(numbers.get(2), Some(6));
    assert!(numbers.invariants());
}

#[test]
fn the_walk_sees_every_number_in_use_in_order() {
    let mut numbers = small();
    for (slot, number) in [1, 2, 1023, 1024, 2999].into_iter().enumerate() {
        let slot = u32::try_from(slot).unwrap();
        numbers.take(number, slot, false, &mut spares(1)).unwrap();
    }
    let mut seen = std::vec::Vec::new();
    let mut at = i32::MIN;
    while let Some((number, slot)) = numbers.next_after(at) {
        seen.push((number, slot));
        at = number;
    }
    assert_eq!(seen, [(1, 0), (2, 1), (1023, 2), (1024, 3), (2999, 4)]);
    assert_eq!(numbers.next_after(i32::MAX), None);
}
