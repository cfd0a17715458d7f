// SPDX-License-Identifier: BSD-2-Clause
//! Forks and entries against what is done to their instance as a whole.

use crate::world::{VPS0, World, explore, explore_some, start};
use vpscore::errno::Errno;
use vpscore::instance::State as Life;
use vpscore::racct::Resource;
use vpscore::state::{AttachError, Committed, ForkError, ManageError};
use vpscore::types::{InstanceId, ViewId};

/// Ends what a first attempt at destroying `id` has left.
fn destroy_at_last(world: &World, id: InstanceId, first: Result<(), ManageError>) {
    world.bury();
    match first {
        Ok(()) => {}
        Err(ManageError::Kernel(Errno::EBUSY)) => world
            .core
            .instance_destroy(&mut world.kpi(), id)
            .expect("nothing holds it any more"),
        Err(error) => panic!("{error:?}"),
    }
    world.assert_empty();
}

#[test]
fn a_fork_in_an_instance_that_is_destroyed_is_killed_or_refused() {
    let met = explore(|world, met| {
        let (a, _) = world.started(VPS0, "a");
        let (_, inner) = world.started(a, "b");
        let forking = start(world, move |world| world.fork(inner));
        let first = world.core.instance_destroy(&mut world.kpi(), a);
        match forking.join().expect("a thread") {
            Ok((child, done)) => {
                met.met(done);
                assert!(world.was_killed(child), "a child that nobody killed");
            }
            Err(ForkError::WrongState { state, .. }) => met.met(state),
            Err(error) => panic!("{error:?}"),
        }
        destroy_at_last(world, a, first);
    });
    assert_eq!(met, ["Doomed", "Dying", "Runs"]);
}

#[test]
fn a_fork_in_an_instance_that_is_suspended_notices_nothing() {
    let met = explore_some(|world, met| {
        let (a, _) = world.started(VPS0, "a");
        let (b, inner) = world.started(a, "b");
        let forking = start(world, move |world| world.fork(inner));
        let mut kpi = world.kpi();
        world.core.instance_suspend(&mut kpi, a).expect("at rest");
        assert_eq!(world.prisons(), [true, true]);
        met.met(world.total(b, Resource::Nproc));
        world.core.instance_resume(&mut kpi, a).expect("suspended");
        assert_eq!(world.prisons(), [false, false]);
        let (child, done) = forking.join().expect("a thread").expect("a fork");
        assert_eq!(done, Committed::Runs);
        assert_eq!(world.core.own_pid(child.handle, child.host), ViewId(2));
        assert_eq!(world.total(a, Resource::Nproc), Some(3));
    });
    assert_eq!(met, ["Some(1)", "Some(2)"]);
}

#[test]
fn of_two_processes_that_enter_an_empty_instance_one_is_init() {
    let met = explore(|world, met| {
        let a = world.create(VPS0, "a");
        let (mine, other) = (world.outsider(), world.outsider());
        let entering = start(world, move |world| world.enter(other, a));
        let mine = world.enter(mine, a).expect("it enters").expect("a prison");
        let other = entering.join().expect("a thread");
        let other = other.expect("it enters").expect("a prison");
        assert_eq!((mine.1, other.1), (Committed::Runs, Committed::Runs));
        met.met((mine.0.0, other.0.0));
        let report = world.core.report(VPS0, a).expect("an instance");
        assert_eq!((report.state, report.members), (Life::Running, 2));
        assert_eq!(world.total(a, Resource::Nproc), Some(2));
    });
    assert_eq!(met, ["(1, 2)", "(2, 1)"]);
}

#[test]
fn an_entry_into_an_instance_that_is_destroyed_is_killed_or_refused() {
    let met = explore(|world, met| {
        let a = world.create(VPS0, "a");
        let entering = start(world, move |world| {
            let proc = world.outsider();
            (proc, world.enter(proc, a))
        });
        let first = world.core.instance_destroy(&mut world.kpi(), a);
        let (proc, entered) = entering.join().expect("a thread");
        match entered {
            Ok(Some((_, done))) => {
                met.met(done);
                assert!(world.was_killed(proc), "a process that nobody killed");
            }
            Ok(None) => met.met("no prison"),
            Err(AttachError::Refused(ForkError::WrongState { state, .. })) => met.met(state),
            Err(AttachError::NoInstance { .. }) => met.met("no instance"),
            Err(error) => panic!("{error:?}"),
        }
        destroy_at_last(world, a, first);
    });
    assert_eq!(met, ["\"no instance\"", "Doomed", "Dying", "Runs"]);
}

#[test]
fn an_entry_into_an_instance_whose_init_exits_is_killed_or_refused() {
    let met = explore(|world, met| {
        let (a, init) = world.started(VPS0, "a");
        let proc = world.outsider();
        let entering = start(world, move |world| world.enter(proc, a));
        world.exit(init);
        match entering.join().expect("a thread") {
            Ok(Some((_, done))) => {
                met.met(done);
                assert!(world.was_killed(proc), "a process that nobody killed");
            }
            Err(AttachError::Refused(ForkError::Halting { .. })) => met.met("Halting"),
            other => panic!("{other:?}"),
        }
        world.forget(init);
        world.reap(init, None);
        world.bury();
        assert_eq!(world.total(a, Resource::Nproc), Some(0));
        let report = world.core.report(VPS0, a).expect("an instance");
        assert_eq!((report.state, report.members), (Life::Created, 0));
    });
    assert_eq!(met, ["\"Halting\"", "Doomed", "Runs"]);
}
