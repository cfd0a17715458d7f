// SPDX-License-Identifier: BSD-2-Clause
//! Forks against forks, and against the exit of init.

use crate::world::{VPS0, explore, start};
use vpscore::limits::PID_MAX_LEAST;
use vpscore::racct::{Limit, Resource};
use vpscore::state::{Committed, ForkError};
use vpscore::types::ViewId;

#[test]
fn of_two_forks_for_the_last_process_under_a_limit_one_is_refused_and_leaves_no_trace() {
    let met = explore(|world, met| {
        let (a, init) = world.started(VPS0, "a");
        let (b, inner) = world.started(a, "b");
        let limit = Limit { soft: 3, hard: 3 };
        world
            .core
            .set_limit(a, Resource::Nproc, limit)
            .expect("a limit");
        let there = start(world, move |world| world.fork(inner));
        let here = world.fork(init);
        let there = there.join().expect("a thread");
        met.met(here.is_ok());
        assert_ne!(here.is_ok(), there.is_ok());
        let refused = here.err().or(there.err()).expect("one is refused");
        assert!(matches!(refused, ForkError::Limit(_)));
        assert_eq!(world.total(a, Resource::Nproc), Some(3));
        assert_eq!(world.total(a, Resource::Nthr), Some(3));
        assert_eq!(
            world.total(b, Resource::Nproc),
            Some(1 + u64::from(there.is_ok()))
        );
    });
    assert_eq!(met, ["false", "true"]);
}

#[test]
fn two_forks_at_the_end_of_the_numbers_get_different_ones() {
    let met = explore(|world, met| {
        let (a, init) = world.started(VPS0, "a");
        let (sibling, _) = world.fork(init).expect("a fork");
        world.core.set_last_pid(a, PID_MAX_LEAST - 2);
        let other = start(world, move |world| world.fork(sibling));
        let (mine, _) = world.fork(init).expect("a fork");
        let (other, _) = other.join().expect("a thread").expect("a fork");
        let pids = [mine, other].map(|proc| world.core.own_pid(proc.handle, proc.host).0);
        met.met(pids);
    });
    let last = PID_MAX_LEAST - 1;
    assert_eq!(met, [format!("[{last}, 3]"), format!("[3, {last}]")]);
}

#[test]
fn of_two_forks_for_one_lingering_number_one_gets_it() {
    let met = explore(|world, met| {
        let (a, init) = world.started(VPS0, "a");
        let limit = Limit { soft: 3, hard: 3 };
        world
            .core
            .set_limit(a, Resource::Nproc, limit)
            .expect("a limit");
        let (sibling, _) = world.fork(init).expect("a fork");
        let (gone, _) = world.fork(init).expect("a fork");
        world.end(gone);
        world.core.set_last_pid(a, 2);
        let other = start(world, move |world| world.fork(sibling));
        let mine = world.fork(init);
        let other = other.join().expect("a thread");
        assert_ne!(mine.is_ok(), other.is_ok());
        let (child, _) = mine.or(other).expect("one of them");
        let pid = world.core.own_pid(child.handle, child.host);
        assert!(
            pid == ViewId(3) || pid == ViewId(4),
            "the number is free, or lingers yet"
        );
        met.met(mine.is_ok());
    });
    assert_eq!(met, ["false", "true"]);
}

#[test]
fn nobody_forks_away_from_the_exit_of_init() {
    let met = explore(|world, met| {
        let (a, init) = world.started(VPS0, "a");
        let (b, inner) = world.started(a, "b");
        let forking = start(world, move |world| world.fork(inner));
        world.exit(init);
        let forked = forking.join().expect("a thread");
        match forked {
            Ok((child, done)) => {
                met.met(done);
                assert!(world.was_killed(child), "a child that nobody killed");
            }
            Err(ForkError::Halting { instance }) => {
                assert_eq!(instance, a);
                met.met("Halting");
            }
            Err(error) => panic!("{error:?}"),
        }
        world.forget(init);
        world.reap(init, None);
        assert!(world.was_killed(inner));
        assert_eq!(world.bury(), 1 + usize::from(forked.is_ok()));
        for id in [a, b] {
            assert_eq!(world.total(id, Resource::Nproc), Some(0));
            assert_eq!(world.total(id, Resource::Nthr), Some(0));
            let report = world.core.report(VPS0, id).expect("an instance");
            assert_eq!(report.members, 0);
        }
        // It has come to rest and can be started anew.
        world
            .core
            .instance_suspend(&mut world.kpi(), a)
            .expect("at rest");
        world
            .core
            .instance_resume(&mut world.kpi(), a)
            .expect("at rest");
        let again = world.outsider();
        let (pid, done) = world.enter(again, a).expect("it enters").expect("a prison");
        assert_eq!((pid, done), (ViewId::INIT, Committed::Runs));
    });
    assert_eq!(met, ["\"Halting\"", "Doomed", "Runs"]);
}

#[test]
fn a_fork_in_an_instance_whose_init_is_reaped_meanwhile_is_killed_or_refused() {
    let met = explore(|world, met| {
        let (a, init) = world.started(VPS0, "a");
        let (parent, _) = world.fork(init).expect("a fork");
        let forking = start(world, move |world| world.fork(parent));
        world.end(init);
        let forked = forking.join().expect("a thread");
        met.met(forked.map(|(_, done)| done).ok());
        if let Ok((child, _)) = forked {
            assert!(world.was_killed(child), "a child that nobody killed");
        }
        assert_eq!(world.bury(), 1 + usize::from(forked.is_ok()));
        assert_eq!(world.total(a, Resource::Nproc), Some(0));
    });
    assert_eq!(met, ["None", "Some(Doomed)", "Some(Runs)"]);
}
