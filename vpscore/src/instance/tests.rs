// SPDX-License-Identifier: BSD-2-Clause
use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::errno::Errno;
use crate::limits::{DEPTH_MAX, INSTANCES_MAX, NAME_MAX};
use crate::privilege::{Priv, Verdict};
use crate::racct::{self, Limit, Resource};
use crate::types::{InstanceId, PrisonHandle};

const HOST: InstanceId = InstanceId::VPS0;

fn tree() -> Tree<()> {
    Tree::new(()).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn try_create(
    tree: &mut Tree<()>,
    parent: InstanceId,
    called: &str,
) -> Result<InstanceId, CreateError> {
    let mut seed = Seed::prepare((), tree.has_room()).unwrap();
    let made = tree.create(&mut seed, parent, name(called), Birth::Empty);
    assert!(tree.invariants());
    made
}

fn create(tree: &mut Tree<()>, parent: InstanceId, called: &str) -> InstanceId {
    try_create(tree, parent, called).unwrap()
}

fn go(tree: &mut Tree<()>, id: InstanceId, events: &[Event]) -> State {
    for event in events {
        tree.transition(id, *event).unwrap();
        assert!(tree.invariants());
    }
    tree.node(id).unwrap().state()
}

fn tear_down(tree: &mut Tree<()>, top: InstanceId) -> Vec<InstanceId> {
    let mut order = Vec::new();
    while let Some(id) = tree.next_to_tear_down(top) {
        tree.transition(id, Event::Drained).unwrap();
        drop(tree.reap(id).unwrap());
        assert!(tree.invariants());
        order.push(id);
    }
    order
}

#[test]
fn the_life_cycle_is_the_table_on_record() {
    let mut text = String::new();
    for state in State::ALL {
        for event in Event::ALL {
            let cell = match state.next(*event) {
                Ok(next) => format!("{next:?}"),
                Err(Refusal::Already) => String::from("already"),
                Err(Refusal::Invalid) => continue,
            };
            text += &format!("{state:?} -- {event:?} --> {cell}\n");
        }
    }
    assert_eq!(text, include_str!("matrix.txt"), "found:\n{text}");
}

#[test]
fn every_state_but_dead_has_a_way_to_dead() {
    for start in State::ALL {
        let mut seen = std::vec![*start];
        let mut at = 0;
        while let Some(state) = seen.get(at).copied() {
            for event in Event::ALL {
                if let Ok(next) = state.next(*event)
                    && !seen.contains(&next)
                {
                    seen.push(next);
                }
            }
            at += 1;
        }
        assert!(seen.contains(&State::Dead), "{start:?}");
    }
}

#[test]
fn names_are_printable_bounded_and_without_dot_or_slash() {
    assert_eq!(Name::parse(b""), Err(NameError::Empty));
    assert_eq!(
        Name::parse(b"a.b"),
        Err(NameError::BadByte { byte: b'.', at: 1 })
    );
    assert_eq!(
        Name::parse(b"/"),
        Err(NameError::BadByte { byte: b'/', at: 0 })
    );
    for byte in [b' ', b'\n', 0, 0x7f, 0x80, 0xff] {
        assert_eq!(
            Name::parse(&[b'x', byte]),
            Err(NameError::BadByte { byte, at: 1 })
        );
    }
    assert_eq!(
        Name::parse(&[b'n'; NAME_MAX]).unwrap().as_bytes(),
        &[b'n'; NAME_MAX]
    );
    let long = [b'n'; NAME_MAX + 1];
    assert_eq!(
        Name::parse(&long),
        Err(NameError::TooLong { len: NAME_MAX + 1 })
    );
    assert_eq!(Name::parse(&long).unwrap_err().errno(), Errno::ENAMETOOLONG);
}

#[test]
fn a_name_leads_downward_from_the_caller_only() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    let c = create(&mut tree, HOST, "c");
    assert_eq!(tree.lookup(HOST, b"a.b"), Ok(b));
    assert_eq!(tree.lookup(a, b"b"), Ok(b));
    assert_eq!(tree.lookup(b, b"."), Ok(b));
    assert_eq!(tree.lookup(a, b"c"), Err(LookupError::NotFound));
    assert_eq!(tree.lookup(b, b"a"), Err(LookupError::NotFound));
    assert_eq!(
        tree.lookup(HOST, b""),
        Err(LookupError::Bad(NameError::Empty))
    );
    assert_eq!(
        tree.lookup(HOST, b".."),
        Err(LookupError::Bad(NameError::Empty))
    );
    assert_eq!(
        tree.lookup(HOST, b"a.b."),
        Err(LookupError::Bad(NameError::Empty))
    );
    assert_eq!(tree.path(HOST, b).unwrap().as_str(), "a.b");
    assert_eq!(tree.path(a, b).unwrap().as_str(), "b");
    assert_eq!(tree.path(b, b).unwrap().as_str(), ".");
    assert_eq!(tree.path(c, b), None);
    assert_eq!(tree.path(b, a), None);
}

#[test]
fn a_taken_name_is_refused_and_free_again_once_its_bearer_is_dead() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    assert_eq!(
        try_create(&mut tree, HOST, "a"),
        Err(CreateError::NameTaken { by: a })
    );
    assert_eq!(CreateError::NameTaken { by: a }.errno(), Errno::EADDRINUSE);
    create(&mut tree, a, "a");
    racct::charge(&mut tree, a, Resource::Nofile, 1).unwrap();
    go(&mut tree, a, &[Event::Destroy]);
    assert!(try_create(&mut tree, HOST, "a").is_err());
    let leaf = tree.next_to_tear_down(a).unwrap();
    tree.transition(leaf, Event::Drained).unwrap();
    drop(tree.reap(leaf).unwrap());
    tree.transition(a, Event::Drained).unwrap();
    let held = ReapError::Held {
        resource: Resource::Nofile,
        total: 1,
    };
    assert_eq!(tree.reap(a).unwrap_err(), held);
    let second = create(&mut tree, HOST, "a");
    assert_eq!(tree.lookup(HOST, b"a"), Ok(second));
    racct::release(&mut tree, a, Resource::Nofile, 1).unwrap();
    drop(tree.reap(a).unwrap());
    assert!(tree.node(a).is_none());
}

#[test]
fn the_id_of_a_destroyed_instance_never_names_its_successor() {
    let mut tree = tree();
    let first = create(&mut tree, HOST, "a");
    go(&mut tree, first, &[Event::Destroy]);
    tear_down(&mut tree, first);
    let second = create(&mut tree, HOST, "a");
    assert_eq!(first.slot, second.slot);
    assert_ne!(first, second);
    assert!(tree.node(first).is_none());
    assert_eq!(
        tree.transition(first, Event::Start),
        Err(TransitionError::NoInstance { id: first })
    );
}

#[test]
fn a_slot_whose_generations_are_used_up_is_left_empty() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    tree.slab.exhaust_generations(a.slot);
    let a = InstanceId {
        slot: a.slot,
        generation: u32::MAX,
    };
    tree.node_mut(HOST).unwrap().first_child = Some(a);
    go(&mut tree, a, &[Event::Destroy]);
    tear_down(&mut tree, a);
    assert!(tree.node(a).is_none());
    assert_ne!(create(&mut tree, HOST, "b").slot, a.slot);
}

#[test]
fn instances_nest_as_deep_as_the_bound_and_no_deeper() {
    let mut tree = tree();
    let mut here = HOST;
    for _ in 0..DEPTH_MAX {
        here = create(&mut tree, here, "n");
    }
    let too_deep = CreateError::TooDeep {
        at: HOST,
        max: DEPTH_MAX as u8,
    };
    assert_eq!(try_create(&mut tree, here, "n"), Err(too_deep));
    assert_eq!(tree.node(HOST).unwrap().below() as usize, DEPTH_MAX);
}

#[test]
fn the_table_holds_as_many_instances_as_the_bound_and_no_more() {
    let mut tree = tree();
    for i in 1..INSTANCES_MAX {
        let mut seed = Seed::prepare((), tree.has_room()).unwrap();
        // Spread over parents, so that looking for a taken name stays short.
        let parent = if i <= 64 {
            HOST
        } else {
            tree.lookup(HOST, format!("n{}", i % 64 + 1).as_bytes())
                .unwrap()
        };
        tree.create(&mut seed, parent, name(&format!("n{i}")), Birth::Empty)
            .unwrap();
    }
    assert!(tree.invariants());
    assert_eq!(
        try_create(&mut tree, HOST, "over"),
        Err(CreateError::NoSlot)
    );
    assert_eq!(tree.len() as usize, INSTANCES_MAX);
}

#[test]
fn a_seed_without_room_is_refused_and_the_tree_unchanged() {
    let mut tree = tree();
    while tree.has_room() {
        let n = format!("n{}", tree.len());
        create(&mut tree, HOST, &n);
    }
    let before = tree.len();
    let mut poor = Seed::prepare((), true).unwrap();
    assert_eq!(
        tree.create(&mut poor, HOST, name("x"), Birth::Empty),
        Err(CreateError::NoSlot)
    );
    assert_eq!(tree.len(), before);
    assert!(tree.invariants());
}

#[test]
fn a_ceiling_lowered_in_a_parent_holds_for_everything_below() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    tree.set_ceilings(
        a,
        Ceilings {
            instances: 2,
            depth: 2,
        },
    )
    .unwrap();
    assert_eq!(
        tree.effective_ceilings(b),
        Ceilings {
            instances: 2,
            depth: 1
        }
    );
    let c = create(&mut tree, b, "c");
    assert_eq!(
        try_create(&mut tree, c, "d"),
        Err(CreateError::TooDeep { at: a, max: 2 })
    );
    assert_eq!(
        try_create(&mut tree, b, "d"),
        Err(CreateError::TooMany { at: a, max: 2 })
    );
    let more = Ceilings {
        instances: 3,
        depth: 1,
    };
    assert_eq!(
        tree.set_ceilings(b, more),
        Err(CeilingError::AboveParent { at: a })
    );
    let deeper = Ceilings {
        instances: 1,
        depth: 2,
    };
    assert_eq!(
        tree.set_ceilings(b, deeper),
        Err(CeilingError::AboveParent { at: a })
    );
    assert_eq!(tree.set_ceilings(HOST, deeper), Err(CeilingError::Host));
}

#[test]
fn suspending_an_instance_stops_what_is_below_and_resuming_wakes_only_what_was_awake() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    let c = create(&mut tree, a, "c");
    for id in [a, b, c] {
        go(&mut tree, id, &[Event::Start]);
    }
    go(&mut tree, b, &[Event::Suspend, Event::Stopped]);
    go(&mut tree, a, &[Event::Suspend]);
    assert_eq!(
        tree.stopped_by(c),
        None,
        "threads may run until they are stopped"
    );
    go(&mut tree, a, &[Event::Stopped]);
    assert_eq!(tree.stopped_by(c), Some(a));
    assert_eq!(tree.node(c).unwrap().state(), State::Running);
    go(&mut tree, a, &[Event::Resume]);
    assert_eq!(tree.stopped_by(c), None);
    assert_eq!(tree.stopped_by(b), Some(b));
}

#[test]
fn an_operation_above_keeps_those_below_still_and_the_other_way_round() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    go(&mut tree, a, &[Event::Migrate]);
    let state = State::Migrating {
        from: Live::Created,
        stopped: false,
    };
    assert_eq!(
        tree.transition(b, Event::Suspend),
        Err(TransitionError::Busy { at: a, state })
    );
    assert_eq!(
        tree.transition(b, Event::Destroy),
        Err(TransitionError::Busy { at: a, state })
    );
    assert_eq!(
        try_create(&mut tree, b, "c"),
        Err(CreateError::Busy { at: a, state })
    );
    go(&mut tree, a, &[Event::MigrateAborted]);
    go(&mut tree, b, &[Event::Suspend]);
    let state = State::Suspending {
        from: Live::Created,
    };
    for event in [Event::Suspend, Event::Migrate, Event::Destroy] {
        assert_eq!(
            tree.transition(a, event),
            Err(TransitionError::Busy { at: b, state })
        );
    }
}

#[test]
fn destroying_takes_everything_below_leaf_by_leaf() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    let c = create(&mut tree, b, "c");
    let d = create(&mut tree, a, "d");
    let other = create(&mut tree, HOST, "other");
    tree.set_prison(c, Some(PrisonHandle(7)));
    assert_eq!(tree.by_prison(PrisonHandle(7)), Some(c));
    go(&mut tree, a, &[Event::Destroy]);
    for id in [a, b, c, d] {
        assert_eq!(tree.node(id).unwrap().state(), State::Dying);
    }
    assert!(matches!(
        tree.transition(a, Event::Drained),
        Err(TransitionError::Busy { .. })
    ));
    assert_eq!(tear_down(&mut tree, a), [d, c, b, a]);
    assert_eq!(tree.len(), 2);
    assert_eq!(tree.node(HOST).unwrap().first_child(), Some(other));
}

#[test]
fn a_committed_migration_dooms_the_source_with_its_children() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    go(
        &mut tree,
        a,
        &[Event::Start, Event::Migrate, Event::MigrateStopped],
    );
    go(&mut tree, a, &[Event::MigrateCommitted]);
    assert_eq!(tree.node(b).unwrap().state(), State::Dying);
}

#[test]
fn a_restored_tree_comes_to_life_children_first() {
    let mut tree = tree();
    let mut seed = Seed::prepare((), true).unwrap();
    let a = tree
        .create(&mut seed, HOST, name("a"), Birth::Restore)
        .unwrap();
    assert!(matches!(
        try_create(&mut tree, a, "b"),
        Err(CreateError::Busy { .. })
    ));
    let mut seed = Seed::prepare((), true).unwrap();
    let b = tree
        .create(&mut seed, a, name("b"), Birth::Restore)
        .unwrap();
    let restored = Event::Restored {
        to: Live::Running,
        suspended: false,
    };
    assert!(
        matches!(tree.transition(a, restored), Err(TransitionError::Busy { at, .. }) if at == b)
    );
    assert_eq!(tree.stopped_by(b), Some(b));
    go(&mut tree, b, &[restored]);
    assert_eq!(tree.stopped_by(b), Some(a));
    go(&mut tree, a, &[restored]);
    assert_eq!(tree.stopped_by(b), None);
    assert_eq!(tree.node(a).unwrap().restores(), 1);
}

#[test]
fn a_fenced_instance_can_only_be_destroyed() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    tree.fence(b);
    let fenced = Err(TransitionError::Fenced { at: b });
    assert_eq!(tree.transition(b, Event::Start), fenced);
    assert_eq!(tree.transition(a, Event::Migrate), fenced);
    assert_eq!(
        try_create(&mut tree, b, "c"),
        Err(CreateError::Fenced { at: b })
    );
    go(&mut tree, a, &[Event::Start]);
    go(&mut tree, b, &[Event::Destroy]);
    assert_eq!(tear_down(&mut tree, b), [b]);
    tree.fence(HOST);
    create(&mut tree, HOST, "x");
}

#[test]
fn the_host_has_no_life_cycle() {
    let mut tree = tree();
    for event in Event::ALL {
        assert_eq!(tree.transition(HOST, *event), Err(TransitionError::Host));
    }
}

#[test]
fn a_privilege_taken_from_a_parent_is_gone_from_all_below_and_back_with_it() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    let c = create(&mut tree, b, "c");
    let raw = i32::from(Priv::NET_RAW.raw());
    let check = |tree: &Tree<()>, id| tree.node(id).unwrap().privileges().check(raw);
    assert_eq!(check(&tree, c), Ok(()));
    tree.set_privilege(HOST, a, raw, Verdict::Deny).unwrap();
    for id in [a, b, c] {
        assert_eq!(check(&tree, id), Err(Errno::EPERM));
    }
    let refused = Err(crate::privilege::Error::NotHeld {
        privilege: Priv::NET_RAW,
    });
    assert_eq!(tree.set_privilege(a, b, raw, Verdict::Allow), refused);
    assert_eq!(
        tree.set_privilege(a, a, raw, Verdict::Deny),
        refused,
        "not on itself"
    );
    assert_eq!(
        tree.set_privilege(b, a, raw, Verdict::Deny),
        refused,
        "not upward"
    );
    tree.set_privilege(HOST, a, raw, Verdict::Allow).unwrap();
    assert_eq!(check(&tree, c), Ok(()));
    let late = create(&mut tree, c, "late");
    tree.set_privilege(a, b, raw, Verdict::Nosys).unwrap();
    assert_eq!(check(&tree, late), Err(Errno::ENOSYS));
}

#[test]
fn a_limit_is_never_above_what_holds_in_the_parent() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    let c = create(&mut tree, b, "c");
    let limit = |hard| Limit { soft: hard, hard };
    racct::set_limit(&mut tree, a, Resource::Nproc, limit(10)).unwrap();
    assert_eq!(racct::effective_limit(&tree, c, Resource::Nproc), (a, 10));
    assert_eq!(
        racct::set_limit(&mut tree, c, Resource::Nproc, limit(11)),
        Err(racct::LimitError::AboveParent { at: a, limit: 10 })
    );
    racct::set_limit(&mut tree, c, Resource::Nproc, limit(10)).unwrap();
    racct::set_limit(&mut tree, a, Resource::Nproc, limit(3)).unwrap();
    assert_eq!(racct::effective_limit(&tree, c, Resource::Nproc), (a, 3));
    assert!(tree.invariants());
}

#[test]
fn an_instance_without_children_is_not_reaped_before_it_is_dead() {
    let mut tree = tree();
    let a = create(&mut tree, HOST, "a");
    let state = tree.node(a).unwrap().state();
    assert_eq!(tree.reap(a).unwrap_err(), ReapError::NotDead { state });
    assert!(tree.node(a).is_some());
}
