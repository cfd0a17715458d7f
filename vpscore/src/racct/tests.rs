// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::errno::Errno;
use crate::instance::{Birth, Name, Seed, Tree};
use crate::types::InstanceId;

const HOST: InstanceId = InstanceId::VPS0;

fn create(tree: &mut Tree<()>, parent: InstanceId, name: &str) -> InstanceId {
    let mut seed = Seed::prepare((), tree.has_room()).unwrap();
    let name = Name::parse(name.as_bytes()).unwrap();
    tree.create(&mut seed, parent, name, Birth::Empty).unwrap()
}

/// vps0 > a > b, and vps0 > c.
fn family() -> (Tree<()>, InstanceId, InstanceId, InstanceId) {
    let mut tree = Tree::new(()).unwrap();
    let a = create(&mut tree, HOST, "a");
    let b = create(&mut tree, a, "b");
    let c = create(&mut tree, HOST, "c");
    (tree, a, b, c)
}

fn used(tree: &Tree<()>, id: InstanceId, resource: Resource) -> (u64, u64) {
    let usage = tree.node(id).unwrap().account().usage(resource);
    (usage.own, usage.total)
}

fn hits(tree: &Tree<()>, id: InstanceId, resource: Resource) -> (u32, u32) {
    let usage = tree.node(id).unwrap().account().usage(resource);
    (usage.soft_hits, usage.hard_hits)
}

fn limit(soft: u64, hard: u64) -> Limit {
    Limit { soft, hard }
}

#[test]
fn resources_are_numbered_and_named_as_racct_and_rctl_do() {
    assert_eq!(COUNT, 25);
    for (raw, resource) in Resource::ALL.iter().enumerate() {
        assert_eq!(*resource as usize, raw);
        assert_eq!(Resource::from_raw(raw as u8), Some(*resource));
        assert_eq!(Resource::from_name(resource.name()), Some(*resource));
    }
    assert_eq!(Resource::from_raw(25), None);
    assert_eq!(Resource::from_name("maxproc"), Some(Resource::Nproc));
}

#[test]
fn what_an_instance_uses_counts_in_everything_above_it() {
    let (mut tree, a, b, c) = family();
    charge(&mut tree, b, Resource::Nproc, 3).unwrap();
    charge(&mut tree, a, Resource::Nproc, 2).unwrap();
    assert_eq!(used(&tree, b, Resource::Nproc), (3, 3));
    assert_eq!(used(&tree, a, Resource::Nproc), (2, 5));
    assert_eq!(used(&tree, HOST, Resource::Nproc), (0, 5));
    assert_eq!(used(&tree, c, Resource::Nproc), (0, 0));
    release(&mut tree, b, Resource::Nproc, 3).unwrap();
    release(&mut tree, a, Resource::Nproc, 2).unwrap();
    for id in [HOST, a, b, c] {
        assert_eq!(tree.node(id).unwrap().account().first_in_use(), None);
    }
}

#[test]
fn a_refusal_names_the_limit_in_the_way_and_leaves_nothing_but_a_hit_there() {
    let (mut tree, a, b, _) = family();
    set_limit(&mut tree, a, Resource::Nproc, limit(4, 5)).unwrap();
    charge(&mut tree, b, Resource::Nproc, 4).unwrap();
    let refused = Error::Refused {
        at: a,
        resource: Resource::Nproc,
        usage: 4,
        limit: 5,
        amount: 2,
    };
    assert_eq!(charge(&mut tree, b, Resource::Nproc, 2), Err(refused));
    assert_eq!(refused.errno(), Errno::EAGAIN);
    assert_eq!(used(&tree, b, Resource::Nproc), (4, 4));
    assert_eq!(used(&tree, a, Resource::Nproc), (0, 4));
    assert_eq!(hits(&tree, a, Resource::Nproc), (0, 1));
    assert_eq!(hits(&tree, b, Resource::Nproc), (0, 0));
    charge(&mut tree, b, Resource::Nproc, 1).unwrap();
    assert_eq!(
        hits(&tree, a, Resource::Nproc),
        (1, 1),
        "over the soft limit is granted"
    );
    assert_eq!(charge(&mut tree, a, Resource::Nproc, 0), Ok(()));
}

#[test]
fn a_charge_of_several_resources_is_all_or_nothing() {
    let (mut tree, a, b, _) = family();
    set_limit(&mut tree, a, Resource::Nthr, limit(1, 1)).unwrap();
    let fork = [(Resource::Nproc, 1), (Resource::Nthr, 1)];
    charge_all(&mut tree, b, &fork).unwrap();
    let again = charge_all(&mut tree, b, &fork).unwrap_err();
    assert!(matches!(again, Error::Refused { at, resource: Resource::Nthr, .. } if at == a));
    assert_eq!(used(&tree, a, Resource::Nproc), (0, 1));
    release_all(&mut tree, b, &fork).unwrap();
    let twice = [(Resource::Nthr, 1), (Resource::Nthr, 1)];
    assert!(
        charge_all(&mut tree, b, &twice).is_err(),
        "entries of one resource add up"
    );
    assert_eq!(used(&tree, a, Resource::Nthr), (0, 0));
}

#[test]
fn giving_back_more_than_was_taken_is_found_fences_and_changes_nothing() {
    let (mut tree, a, b, _) = family();
    charge(&mut tree, a, Resource::Vmem, 10).unwrap();
    charge(&mut tree, b, Resource::Vmem, 1).unwrap();
    let found = release(&mut tree, a, Resource::Vmem, 11).unwrap_err();
    assert_eq!(
        found,
        Error::Underflow {
            at: a,
            resource: Resource::Vmem
        }
    );
    assert_eq!(found.errno(), Errno::ENOTRECOVERABLE);
    assert!(tree.node(a).unwrap().fenced());
    assert_eq!(used(&tree, a, Resource::Vmem), (10, 11));
    assert_eq!(used(&tree, b, Resource::Vmem), (1, 1));
}

#[test]
fn a_counter_that_would_wrap_refuses() {
    let (mut tree, a, b, c) = family();
    charge(&mut tree, b, Resource::Cpu, u64::MAX).unwrap();
    for id in [b, a, c] {
        let refused = charge_forced(&mut tree, id, Resource::Cpu, 1).unwrap_err();
        assert!(matches!(
            refused,
            Error::Refused {
                limit: UNLIMITED,
                ..
            }
        ));
    }
    assert_eq!(used(&tree, c, Resource::Cpu), (0, 0));
    let max = [(Resource::Nsem, u64::MAX), (Resource::Nsem, 1)];
    assert!(charge_all(&mut tree, c, &max).is_err());
    release(&mut tree, b, Resource::Cpu, u64::MAX).unwrap();
}

#[test]
fn what_cannot_be_denied_is_charged_and_counted() {
    let (mut tree, a, _, _) = family();
    for resource in [
        Resource::Rss,
        Resource::Cpu,
        Resource::Wallclock,
        Resource::Readbps,
    ] {
        set_limit(&mut tree, a, resource, limit(1, 1)).unwrap();
        charge(&mut tree, a, resource, 2).unwrap();
        assert_eq!(hits(&tree, a, resource), (0, 1), "{resource:?}");
    }
    set_limit(&mut tree, a, Resource::Swap, limit(0, 0)).unwrap();
    assert!(charge(&mut tree, a, Resource::Swap, 1).is_err());
    charge_forced(&mut tree, a, Resource::Swap, 1).unwrap();
    assert_eq!(used(&tree, a, Resource::Swap), (1, 1));
}

#[test]
fn usage_moved_between_instances_asks_only_the_limits_it_newly_meets() {
    let (mut tree, a, b, c) = family();
    set_limit(&mut tree, a, Resource::Nproc, limit(2, 2)).unwrap();
    set_limit(&mut tree, c, Resource::Nproc, limit(1, 1)).unwrap();
    charge(&mut tree, a, Resource::Nproc, 2).unwrap();
    transfer_all(&mut tree, a, b, &[(Resource::Nproc, 2)]).unwrap();
    assert_eq!(used(&tree, b, Resource::Nproc), (2, 2));
    assert_eq!(used(&tree, a, Resource::Nproc), (0, 2));
    assert_eq!(hits(&tree, a, Resource::Nproc), (0, 0));
    let refused = transfer_all(&mut tree, b, c, &[(Resource::Nproc, 2)]).unwrap_err();
    assert!(matches!(refused, Error::Refused { at, .. } if at == c));
    transfer_all(&mut tree, b, c, &[(Resource::Nproc, 1)]).unwrap();
    assert_eq!(used(&tree, a, Resource::Nproc), (0, 1));
    assert_eq!(used(&tree, HOST, Resource::Nproc), (0, 2));
    transfer_all(&mut tree, c, HOST, &[(Resource::Nproc, 1)]).unwrap();
    assert_eq!(used(&tree, HOST, Resource::Nproc), (1, 2));
    assert!(transfer_all(&mut tree, c, a, &[(Resource::Nproc, 1)]).is_err());
}

#[test]
fn a_soft_limit_above_the_hard_one_and_a_limit_on_the_host_are_refused() {
    let (mut tree, a, _, _) = family();
    let odd = limit(2, 1);
    assert_eq!(
        set_limit(&mut tree, a, Resource::Nproc, odd),
        Err(LimitError::SoftAboveHard { limit: odd })
    );
    assert_eq!(
        set_limit(&mut tree, HOST, Resource::Nproc, limit(1, 1)),
        Err(LimitError::Host)
    );
}

#[test]
fn an_instance_that_is_not_there_is_neither_charged_nor_released() {
    let (mut tree, a, ..) = family();
    let id = InstanceId {
        slot: 77,
        generation: 3,
    };
    let none = Err(Error::NoInstance { id });
    assert_eq!(charge(&mut tree, id, Resource::Nproc, 1), none);
    assert_eq!(charge_forced(&mut tree, id, Resource::Nproc, 1), none);
    assert_eq!(release(&mut tree, id, Resource::Nproc, 0), none);
    charge(&mut tree, a, Resource::Nproc, 1).unwrap();
    let one = [(Resource::Nproc, 1)];
    assert_eq!(transfer_all(&mut tree, a, id, &one), none);
    assert_eq!(transfer_all(&mut tree, id, a, &one), none);
    assert_eq!(used(&tree, a, Resource::Nproc), (1, 1));
}

#[test]
fn of_equal_limits_on_the_way_up_the_nearest_is_the_one_that_holds() {
    let (mut tree, a, b, _) = family();
    set_limit(&mut tree, a, Resource::Nproc, limit(4, 5)).unwrap();
    set_limit(&mut tree, b, Resource::Nproc, limit(4, 5)).unwrap();
    assert_eq!(effective_limit(&tree, b, Resource::Nproc), (b, 5));
    assert_eq!(effective_limit(&tree, a, Resource::Nproc), (a, 5));
    set_limit(&mut tree, a, Resource::Nproc, limit(4, 4)).unwrap();
    assert_eq!(effective_limit(&tree, b, Resource::Nproc), (a, 4));
}
