// SPDX-License-Identifier: BSD-2-Clause
//! Translation of numbers against the end of what they stand for.

use crate::world::{VPS0, World, explore, start};
use model_tests::host_kernel::HostProc;
use vpscore::types::{HostId, InstanceId, ViewId};
use vpscore::view::IdKind;

const KINDS: [IdKind; 4] = [IdKind::Pid, IdKind::Pgid, IdKind::Sid, IdKind::ReapSubtree];

/// What programs of an instance reach by a number, whatever it is taken for.
fn reached(world: &World, from: InstanceId, number: ViewId) -> Vec<HostId> {
    let reach = |kind| world.core.id_from_view(from, kind, number);
    KINDS.into_iter().filter_map(reach).collect()
}

#[test]
fn a_number_leads_to_its_process_or_to_nothing_while_that_exits_and_is_reaped() {
    let met = explore(|world, met| {
        let (_, init) = world.started(VPS0, "a");
        let (child, _) = world.fork(init).expect("a fork");
        let ending = start(world, move |world| {
            world.exit(child);
            world.forget(child);
            world.reap(child, Some(init))
        });
        let look = || world.core.id_from_view(init.handle, IdKind::Pid, ViewId(2));
        let (first, second) = (look(), look());
        assert!(first == Some(child.host) || first.is_none());
        assert!(second.is_none() || second == first, "it came back");
        assert_eq!(ending.join().expect("a thread"), ViewId(2), "wait4(2)");
        assert_eq!(look(), None);
        met.met((first.is_some(), second.is_some()));
    });
    assert_eq!(met, ["(false, false)", "(true, false)", "(true, true)"]);
}

#[test]
fn a_fork_sweeps_what_lingers_and_never_a_number_that_is_carried() {
    let met = explore(|world, met| {
        let (_, init) = world.started(VPS0, "a");
        let (leader, _) = world.fork(init).expect("a fork");
        let (plain, _) = world.fork(init).expect("a fork");
        world.name(leader.host);
        world.end(leader);
        let ending = start(world, move |world| world.end(plain));
        let (child, _) = world.fork(init).expect("a fork");
        ending.join().expect("a thread");
        assert_eq!(world.core.own_pid(child.handle, child.host), ViewId(4));
        let group = |host| world.core.id_to_view(init.handle, IdKind::Pgid, host);
        assert_eq!(group(leader.host), ViewId(2));
        met.met(group(plain.host).0);
    });
    assert_eq!(met, ["0", "3"]);
}

/// A process of `a` ends; its id goes to a child of `to` before or after the core is told.
fn id_goes_to(world: &std::sync::Arc<World>, to: HostProc) -> Option<(HostProc, InstanceId)> {
    let (a, init) = world.started(VPS0, "a");
    let (old, _) = world.fork(init).expect("a fork");
    world.exit(old);
    let ending = start(world, move |world| {
        world.forget(old);
        world.reap(old, Some(init))
    });
    let freed = world.is_free(old.host);
    let (new, _) = world
        .fork_as(to, freed.then_some(old.host))
        .expect("a fork");
    // A process group of the new process.
    world.name(new.host);
    assert_eq!(ending.join().expect("a thread"), ViewId(2), "wait4(2)");
    if !freed {
        // A group may carry it, unless the fork has swept it.
        let still = reached(world, a, ViewId(2));
        assert!(still.is_empty() || still == [old.host; 3]);
        return None;
    }
    assert_eq!(
        reached(world, a, ViewId(2)),
        [],
        "another's process or group"
    );
    for kind in KINDS {
        let seen = world.core.id_to_view(a, kind, new.host);
        assert_eq!(seen, ViewId::NONE, "{kind:?}");
    }
    Some((new, a))
}

#[test]
fn an_id_that_goes_to_another_instance_before_the_exit_is_told_leads_there_no_more() {
    let met = explore(|world, met| {
        let (b, init) = world.started(VPS0, "b");
        let gone = id_goes_to(world, init);
        met.met(gone.is_some());
        if let Some((new, a)) = gone {
            assert_eq!(world.core.own_pid(new.handle, new.host), ViewId(2));
            assert_eq!(world.core.id_to_view(b, IdKind::Pid, new.host), ViewId(2));
            assert_eq!(reached(world, b, ViewId(2)), [new.host; 4]);
            assert!(!world.core.visible(a, new.handle));
        }
    });
    assert_eq!(met, ["false", "true"]);
}

#[test]
fn an_id_that_goes_to_the_host_before_the_exit_is_told_leads_there_no_more() {
    let met = explore(|world, met| {
        let outsider = world.outsider();
        let gone = id_goes_to(world, outsider);
        met.met(gone.is_some());
    });
    assert_eq!(met, ["false", "true"]);
}
