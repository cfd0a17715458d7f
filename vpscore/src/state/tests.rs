// SPDX-License-Identifier: BSD-2-Clause
//! A core under a kernel that only knows which processes it has.

use super::*;
use crate::errno::Errno;
use crate::instance::{Birth, Event, Name, State as Life};
use crate::limits::PID_MAX_LEAST;
use crate::pid::PlanError;
use crate::racct::{Limit, Resource};
use crate::time::Instant;
use crate::types::{HostId, PrisonHandle, ViewId};
use crate::view::IdKind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::RwLock;
use std::vec::Vec;

pub(crate) struct StdLock<T>(RwLock<T>);

impl<T> Lock<T> for StdLock<T> {
    fn create(_: LockRank, value: T) -> Result<Self, NoMemory> {
        Ok(Self(RwLock::new(value)))
    }

    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.read().unwrap())
    }

    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.write().unwrap())
    }
}

pub(crate) struct StdLocks;

impl LockFamily for StdLocks {
    type Lock<T: Send + Sync> = StdLock<T>;
}

/// What the kernel would do, written down.
#[derive(Default)]
pub(crate) struct Kernel {
    next: i32,
    named: BTreeSet<i32>,
    killed: Vec<ProcHandle>,
    prisons: u64,
    destroyed: Vec<PrisonHandle>,
    stopped: BTreeMap<u64, bool>,
    refuse: Option<Errno>,
}

impl Kpi for Kernel {
    fn uptime(&mut self) -> Instant {
        Instant::BOOT
    }

    fn random(&mut self) -> u64 {
        0x0123_4567_89ab_cdef
    }

    fn id_named(&mut self, id: HostId) -> bool {
        self.named.contains(&id.0)
    }

    fn prison_create(
        &mut self,
        _: Option<PrisonHandle>,
        _: InstanceId,
        _: &str,
    ) -> Result<PrisonHandle, Errno> {
        if let Some(errno) = self.refuse {
            return Err(errno);
        }
        self.prisons += 1;
        Ok(PrisonHandle(self.prisons))
    }

    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.destroyed.push(prison);
        Ok(())
    }

    fn signal(&mut self, proc: ProcHandle, signum: i32) {
        assert_eq!(signum, 9);
        self.killed.push(proc);
    }

    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        if self.refuse.is_some() && self.stopped.len() == 1 {
            return Err(Errno::EAGAIN);
        }
        self.stopped.insert(prison.0, true);
        Ok(())
    }

    fn prison_resume(&mut self, prison: PrisonHandle) {
        self.stopped.insert(prison.0, false);
    }

    fn prison_drain(&mut self, _: PrisonHandle) -> Result<(), Errno> {
        match self.refuse {
            Some(errno) => Err(errno),
            None => Ok(()),
        }
    }
}

pub(crate) struct World {
    pub(crate) core: Core<StdLocks>,
    pub(crate) kernel: Kernel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proc {
    pub(crate) handle: ProcHandle,
    pub(crate) host: HostId,
    pub(crate) tid: HostId,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut kernel = Kernel {
            next: 5000,
            ..Kernel::default()
        };
        let core = Core::create(&mut kernel, Config::DEFAULT).unwrap();
        Self { core, kernel }
    }

    fn ids(&mut self) -> Proc {
        self.kernel.next += 1;
        let host = self.kernel.next;
        Proc {
            handle: ProcHandle(u64::try_from(host).unwrap() << 8),
            host: HostId(host),
            tid: HostId(host + 200_000),
        }
    }

    /// A process of the host.
    pub(crate) fn outsider(&mut self) -> Proc {
        self.ids()
    }

    pub(crate) fn create(&mut self, parent: InstanceId, name: &str) -> InstanceId {
        let name = Name::parse(name.as_bytes()).unwrap();
        self.core
            .instance_create(&mut self.kernel, parent, name, Birth::Empty, PID_MAX_LEAST)
            .unwrap()
    }

    pub(crate) fn enter(&mut self, proc: Proc, to: InstanceId) -> ViewId {
        let reserved = self
            .core
            .attach_reserve(&mut self.kernel, proc.handle, to)
            .unwrap();
        let pid = reserved.pid();
        let done = self
            .core
            .attach_commit(reserved, proc.handle, proc.host, proc.tid);
        assert_eq!(done, Committed::Runs);
        self.check();
        pid
    }

    pub(crate) fn fork(&mut self, parent: Proc) -> Proc {
        let child = self.ids();
        let reserved = self
            .core
            .fork_reserve(&mut self.kernel, parent.handle)
            .unwrap();
        let done = self
            .core
            .fork_commit(reserved, child.handle, child.host, child.tid);
        assert_eq!(done, Committed::Runs);
        self.check();
        child
    }

    pub(crate) fn exit(&mut self, proc: Proc) -> Exit {
        let exit = self.core.proc_exit(&mut self.kernel, proc.handle);
        self.check();
        exit
    }

    pub(crate) fn reap(&mut self, proc: Proc, waiter: Option<Proc>) -> ViewId {
        let waiter = waiter.map(|w| w.handle);
        let seen = self.core.proc_reap(proc.handle, proc.host, waiter);
        self.check();
        seen
    }

    pub(crate) fn check(&self) {
        assert!(self.core.invariants());
    }

    pub(crate) fn pid(&self, proc: Proc) -> i32 {
        self.core.own_pid(proc.handle, proc.host).0
    }

    /// An instance below `parent` with an init in it, which came from the host.
    pub(crate) fn started(&mut self, parent: InstanceId, name: &str) -> (InstanceId, Proc) {
        let id = self.create(parent, name);
        let init = self.outsider();
        assert_eq!(self.enter(init, id), ViewId::INIT);
        (id, init)
    }
}

const VPS0: InstanceId = InstanceId::VPS0;

#[test]
fn getpid_is_one_for_init_and_the_hosts_number_for_the_hosts_processes() {
    let mut world = World::new();
    let (_, init) = world.started(VPS0, "a");
    let outsider = world.outsider();
    assert_eq!(world.pid(init), 1);
    assert_eq!(world.pid(outsider), outsider.host.0);
    let child = world.fork(init);
    assert_eq!(world.pid(child), 2);
}

#[test]
fn the_parent_is_told_the_number_that_the_child_has_in_their_instance() {
    let mut world = World::new();
    let (_, init) = world.started(VPS0, "a");
    let reserved = world
        .core
        .fork_reserve(&mut world.kernel, init.handle)
        .unwrap();
    assert_eq!(reserved.pid(), Some(ViewId(2)));
    assert_eq!(world.core.outstanding(), 2);
    world.core.fork_abort(reserved);
    assert_eq!(world.core.outstanding(), 0);
    world.check();
    let outsider = world.outsider();
    let reserved = world
        .core
        .fork_reserve(&mut world.kernel, outsider.handle)
        .unwrap();
    assert_eq!(reserved.pid(), None);
    world.core.fork_abort(reserved);
}

#[test]
fn every_level_has_its_own_number_for_one_process() {
    let mut world = World::new();
    let (a, init_a) = world.started(VPS0, "a");
    let b = world.create(a, "b");
    let entering = world.fork(init_a);
    assert_eq!(world.enter(entering, b), ViewId::INIT);
    let child = world.fork(entering);
    let report = world.core.proc_report(child.handle).unwrap();
    assert_eq!(report.numbers(), [3, 2]);
    let see = |viewer: InstanceId| world.core.id_to_view(viewer, IdKind::Pid, child.host).0;
    assert_eq!((see(VPS0), see(a), see(b)), (child.host.0, 3, 2));
    // A child's parent outside reads as 0, and so does everything beside it.
    assert_eq!(
        world
            .core
            .id_to_view(entering.handle, IdKind::Pid, init_a.host),
        ViewId::NONE
    );
    assert_eq!(
        world
            .core
            .id_from_view(entering.handle, IdKind::Pid, ViewId(3)),
        None
    );
    assert_eq!(
        world
            .core
            .id_from_view(init_a.handle, IdKind::Pid, ViewId(3)),
        Some(child.host)
    );
}

#[test]
fn siblings_do_not_see_each_other_and_the_host_sees_all() {
    let mut world = World::new();
    let (a, init_a) = world.started(VPS0, "a");
    let (_, init_b) = world.started(VPS0, "b");
    let outsider = world.outsider();
    let core = &world.core;
    assert!(!core.visible(init_a.handle, init_b.handle));
    assert!(!core.visible(init_a.handle, outsider.handle));
    assert!(core.visible(outsider.handle, init_a.handle));
    assert!(core.visible(outsider.handle, outsider.handle));
    assert!(core.visible(a, init_a.handle));
    let gone = InstanceId {
        slot: 77,
        generation: 0,
    };
    assert!(!core.visible(gone, init_a.handle));
    assert_eq!(
        core.id_to_view(gone, IdKind::Pid, init_a.host),
        ViewId::NONE
    );
}

#[test]
fn a_refused_charge_leaves_no_trace_and_the_limit_itself_is_reached() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let limit = Limit { soft: 2, hard: 2 };
    world.core.set_limit(a, Resource::Nproc, limit).unwrap();
    let child = world.fork(init);
    let error = world
        .core
        .fork_reserve(&mut world.kernel, init.handle)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EAGAIN);
    world.check();
    world.exit(child);
    let full = world.core.fork_reserve(&mut world.kernel, init.handle);
    assert!(full.is_err(), "a zombie counts");
    world.reap(child, Some(init));
    let again = world.fork(init);
    assert_eq!(world.pid(again), 3);
}

#[test]
fn a_limit_on_an_ancestor_refuses_below() {
    let mut world = World::new();
    let (a, _) = world.started(VPS0, "a");
    let (_, inner) = world.started(a, "b");
    let limit = Limit { soft: 2, hard: 2 };
    world.core.set_limit(a, Resource::Nproc, limit).unwrap();
    let error = world
        .core
        .fork_reserve(&mut world.kernel, inner.handle)
        .unwrap_err();
    assert!(matches!(
        error,
        ForkError::Limit(crate::racct::Error::Refused { at, .. }) if at == a
    ));
    assert_eq!(world.core.outstanding(), 0);
}

#[test]
fn when_the_numbers_run_out_those_that_linger_for_nothing_are_swept() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let free = PID_MAX_LEAST - 2;
    let children: Vec<Proc> = (0..free).map(|_| world.fork(init)).collect();
    let error = world
        .core
        .fork_reserve(&mut world.kernel, init.handle)
        .unwrap_err();
    assert_eq!(
        error,
        ForkError::Numbers(PlanError::Exhausted { instance: a })
    );
    assert_eq!(error.errno(), Errno::EAGAIN);
    for child in children.iter().take(20) {
        world.kernel.named.insert(child.host.0);
    }
    for child in children.iter().take(21) {
        world.exit(*child);
        world.reap(*child, Some(init));
    }
    // Only the 21st is named by nothing.
    let next = world.fork(init);
    assert_eq!(world.pid(next), 22);
    let full = world.core.fork_reserve(&mut world.kernel, init.handle);
    assert!(full.is_err());
}

#[test]
fn a_group_outlives_its_leader_and_the_number_leads_to_the_group_only() {
    let mut world = World::new();
    let (_, init) = world.started(VPS0, "a");
    let leader = world.fork(init);
    world.kernel.named.insert(leader.host.0);
    world.exit(leader);
    assert_eq!(world.reap(leader, Some(init)), ViewId(2));
    let number = |kind| world.core.id_from_view(init.handle, kind, ViewId(2));
    assert_eq!(number(IdKind::Pid), None);
    assert_eq!(number(IdKind::Pgid), Some(leader.host));
    assert_eq!(number(IdKind::Sid), Some(leader.host));
    assert_eq!(
        world
            .core
            .id_to_view(init.handle, IdKind::Pgid, leader.host),
        ViewId(2)
    );
    // The kernel hands the id to a process of the host: it means nothing inside from then on.
    world.core.host_id_taken(leader.host);
    assert_eq!(
        world
            .core
            .id_from_view(init.handle, IdKind::Pgid, ViewId(2)),
        None
    );
    assert_eq!(
        world
            .core
            .id_to_view(init.handle, IdKind::Pgid, leader.host),
        ViewId::NONE
    );
}

#[test]
fn each_fork_sweeps_a_few_lingering_ids() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    for _ in 0..6 {
        let child = world.fork(init);
        world.exit(child);
        world.reap(child, None);
    }
    let survivor = world.fork(init);
    let members = world.core.report(VPS0, a).unwrap().members;
    assert_eq!(members, 2);
    assert_eq!(world.core.read(|state| state.procs.lingering()), 0);
    assert_eq!(world.pid(survivor), 8);
}

#[test]
fn the_exit_of_init_kills_all_in_and_below_and_nobody_forks_there_again() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let child = world.fork(init);
    let (_, inner) = world.started(a, "b");
    let (_, other) = world.started(VPS0, "c");
    let reserved = world
        .core
        .fork_reserve(&mut world.kernel, inner.handle)
        .unwrap();
    assert_eq!(world.exit(init), Exit::Init { instance: a });
    assert_eq!(world.kernel.killed, [child.handle, inner.handle]);
    for parent in [child, inner] {
        let error = world
            .core
            .fork_reserve(&mut world.kernel, parent.handle)
            .unwrap_err();
        assert_eq!(error, ForkError::Halting { instance: a });
    }
    // One that was reserved before is there, and is to be killed.
    let late = world.outsider();
    let done = world
        .core
        .fork_commit(reserved, late.handle, late.host, late.tid);
    assert_eq!(done, Committed::Doomed);
    world.fork(other);
    let outsider = world.outsider();
    let error = world
        .core
        .attach_reserve(&mut world.kernel, outsider.handle, a)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
}

#[test]
fn an_instance_whose_last_process_is_reaped_can_be_started_again() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let child = world.fork(init);
    world.kernel.named.insert(init.host.0);
    world.exit(init);
    world.reap(init, None);
    let state = |world: &World| world.core.report(VPS0, a).unwrap().state;
    assert_eq!(state(&world), Life::Running, "a process is left");
    world.exit(child);
    world.reap(child, None);
    assert_eq!(state(&world), Life::Created);
    // The former init's number is still carried by its group.
    let next = world.outsider();
    let error = world
        .core
        .attach_reserve(&mut world.kernel, next.handle, a)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    assert_eq!(state(&world), Life::Created);
    world.kernel.named.clear();
    assert_eq!(world.enter(next, a), ViewId::INIT);
    assert_eq!(state(&world), Life::Running);
}

#[test]
fn only_downward_alone_and_not_as_init() {
    let mut world = World::new();
    let (a, init_a) = world.started(VPS0, "a");
    let (b, _) = world.started(a, "b");
    let (c, _) = world.started(VPS0, "c");
    let child = world.fork(init_a);
    let mut refuse = |proc: Proc, to| {
        world
            .core
            .attach_reserve(&mut world.kernel, proc.handle, to)
            .unwrap_err()
    };
    assert_eq!(
        refuse(child, VPS0),
        AttachError::NotBelow { from: a, to: VPS0 }
    );
    assert_eq!(refuse(child, a), AttachError::NotBelow { from: a, to: a });
    assert_eq!(refuse(child, c), AttachError::NotBelow { from: a, to: c });
    assert_eq!(refuse(init_a, b), AttachError::Init { instance: a });
    let second = world
        .core
        .thread_reserve(&mut world.kernel, child.handle)
        .unwrap();
    world
        .core
        .thread_commit(second, child.handle, HostId(900_000));
    let error = world
        .core
        .attach_reserve(&mut world.kernel, child.handle, b)
        .unwrap_err();
    assert_eq!(error, AttachError::Threads { count: 2 });
    world.core.thread_exit(HostId(900_000));
    assert_eq!(world.enter(child, b), ViewId(2));
    assert_eq!(
        world.core.id_to_view(a, IdKind::Pid, child.host),
        ViewId(3),
        "its number above is the one it had"
    );
}

#[test]
fn an_aborted_entry_leaves_the_instance_as_empty_as_it_was() {
    let mut world = World::new();
    let a = world.create(VPS0, "a");
    let outsider = world.outsider();
    let reserved = world
        .core
        .attach_reserve(&mut world.kernel, outsider.handle, a)
        .unwrap();
    world.core.attach_abort(reserved);
    world.check();
    let report = world.core.report(VPS0, a).unwrap();
    assert_eq!((report.state, report.members), (Life::Created, 0));
    assert_eq!(world.pid(outsider), outsider.host.0);
    assert_eq!(world.enter(outsider, a), ViewId::INIT);
}

#[test]
fn threads_have_numbers_of_their_own_on_every_level() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let (b, inner) = world.started(a, "b");
    let reserved = world
        .core
        .thread_reserve(&mut world.kernel, inner.handle)
        .unwrap();
    let first = crate::limits::TID_MIN;
    assert_eq!(reserved.tid(), Some(ViewId(first + 1)));
    let tid = HostId(777_777);
    world.core.thread_commit(reserved, inner.handle, tid);
    world.check();
    let see = |viewer: InstanceId| world.core.id_to_view(viewer, IdKind::Tid, tid).0;
    assert_eq!((see(b), see(a)), (first + 1, first + 2));
    assert_eq!(
        world
            .core
            .id_from_view(init.handle, IdKind::Tid, ViewId(first + 2)),
        Some(tid)
    );
    assert_eq!(world.core.usage(a, Resource::Nthr).unwrap().total, 3);
    world.exit(inner);
    assert_eq!(world.core.usage(a, Resource::Nthr).unwrap().total, 1);
    assert_eq!(see_none(&world, a, tid), ViewId::NONE);
}

fn see_none(world: &World, viewer: InstanceId, tid: HostId) -> ViewId {
    world.core.id_to_view(viewer, IdKind::Tid, tid)
}

#[test]
fn a_restored_process_has_the_numbers_of_the_image_inside_and_new_ones_above() {
    let mut world = World::new();
    let (a, init_a) = world.started(VPS0, "a");
    for _ in 0..3 {
        world.fork(init_a);
    }
    let name = Name::parse(b"b").unwrap();
    let b = world
        .core
        .instance_create(&mut world.kernel, a, name, Birth::Restore, PID_MAX_LEAST)
        .unwrap();
    let mut restore = |pid: i32, tid: i32| {
        world
            .core
            .proc_restore(&mut world.kernel, b, &[pid], &[tid])
    };
    let tid = crate::limits::TID_MIN + 40;
    let init = restore(1, tid).unwrap();
    let other = restore(77, tid + 1).unwrap();
    assert_eq!(
        restore(77, tid + 2).unwrap_err(),
        ForkError::Numbers(PlanError::InUse {
            instance: b,
            number: 77
        })
    );
    assert_eq!(
        restore(78, tid).unwrap_err(),
        ForkError::Numbers(PlanError::InUse {
            instance: b,
            number: tid
        })
    );
    assert_eq!(world.core.usage(a, Resource::Nproc).unwrap().total, 6);
    let (one, two) = (world.outsider(), world.outsider());
    let core = &world.core;
    assert_eq!(
        core.fork_commit(init, one.handle, one.host, one.tid),
        Committed::Runs
    );
    assert_eq!(
        core.fork_commit(other, two.handle, two.host, two.tid),
        Committed::Runs
    );
    world.core.set_last_pid(b, 80);
    assert_eq!(
        world.core.proc_report(two.handle).unwrap().numbers(),
        [6, 77]
    );
    assert_eq!(world.core.init_of(b), None.or(Some(one.handle)));
    let error = world
        .core
        .fork_reserve(&mut world.kernel, two.handle)
        .unwrap_err();
    assert!(matches!(error, ForkError::WrongState { .. }));
    let event = Event::Restored {
        to: crate::instance::Live::Running,
        suspended: false,
    };
    world.core.instance_event(b, event).unwrap();
    let child = world.fork(two);
    assert_eq!(world.pid(child), 81);
    let late = world
        .core
        .proc_restore(&mut world.kernel, b, &[90], &[tid + 9]);
    assert!(late.is_err(), "it is restored already");
}

#[test]
fn a_restored_zombie_is_charged_without_a_thread_and_a_restored_number_lingers() {
    let mut world = World::new();
    let name = Name::parse(b"b").unwrap();
    let b = world
        .core
        .instance_create(&mut world.kernel, VPS0, name, Birth::Restore, PID_MAX_LEAST)
        .unwrap();
    let (dead, gone) = (world.outsider(), world.outsider());
    world.kernel.named.insert(gone.host.0);
    let core = &world.core;
    let zombie = core.zombie_restore(&mut world.kernel, b, &[5]).unwrap();
    core.zombie_commit(zombie, dead.handle, dead.host);
    let id = core.id_restore(&mut world.kernel, b, &[6]).unwrap();
    core.id_commit(id, ProcHandle(u64::MAX), gone.host);
    let usage = |resource| core.usage(b, resource).unwrap().total;
    assert_eq!((usage(Resource::Nproc), usage(Resource::Nthr)), (1, 0));
    assert_eq!(core.id_report(gone.host).unwrap().numbers(), [6]);
    assert_eq!(core.id_report(dead.host).unwrap().numbers(), [5]);
    assert_eq!(core.proc_by_number(b, ViewId(6)), None);
    for taken in [5, 6] {
        let again = core.zombie_restore(&mut world.kernel, b, &[taken]);
        assert!(matches!(
            again,
            Err(ForkError::Numbers(PlanError::InUse { .. }))
        ));
    }
    let third = core.zombie_restore(&mut world.kernel, b, &[7]);
    core.zombie_abort(third.unwrap());
    assert_eq!(core.usage(b, Resource::Nproc).unwrap().total, 1);
    core.proc_reap(dead.handle, dead.host, None);
    assert_eq!(core.usage(b, Resource::Nproc).unwrap().total, 0);
    assert_eq!(core.outstanding(), 0);
    assert!(core.invariants());
}

#[test]
fn restored_settings_are_those_of_the_image_and_never_more_than_the_parent_holds() {
    use crate::instance::Ceilings;
    let mut world = World::new();
    let mut restoring = |parent, name: &str| {
        let name = Name::parse(name.as_bytes()).unwrap();
        world
            .core
            .instance_create(
                &mut world.kernel,
                parent,
                name,
                Birth::Restore,
                PID_MAX_LEAST,
            )
            .unwrap()
    };
    let a = restoring(VPS0, "a");
    let b = restoring(a, "b");
    let core = &world.core;
    let plain = core.settings(a).unwrap();
    let all = crate::privilege::Set::host();
    let ceilings = Ceilings {
        instances: 4,
        depth: 2,
    };
    let asks = super::Settings {
        ceilings,
        allow: *all.wishes().0,
        nosys: *all.wishes().1,
        ..core.settings(b).unwrap()
    };
    core.restore_settings(a, &super::Settings { ceilings, ..plain }, true)
        .unwrap();
    assert!(matches!(
        core.restore_settings(b, &asks, true),
        Err(ManageError::Ceiling(_))
    ));
    let within = super::Settings {
        ceilings: Ceilings {
            instances: 4,
            depth: 1,
        },
        ..asks
    };
    assert!(matches!(
        core.restore_settings(b, &within, true),
        Err(ManageError::Privilege(_))
    ));
    core.restore_settings(b, &within, false).unwrap();
    assert_eq!(core.settings(b), Some(within));
    let lacks = |id, raw| core.priv_check_in(id, raw).is_err();
    assert!((1..700).any(|raw| lacks(a, raw)), "a has less than all");
    assert!((1..700).all(|raw| !lacks(a, raw) || lacks(b, raw)));
    core.set_last_ids(b, 41, crate::limits::TID_MIN + 9);
    let settings = core.settings(b).unwrap();
    assert_eq!(
        (settings.last_pid, settings.last_tid),
        (41, crate::limits::TID_MIN + 9)
    );
}

#[test]
fn destroying_takes_the_innermost_first_and_forgets_what_lingers() {
    let mut world = World::new();
    let (a, init_a) = world.started(VPS0, "a");
    let (b, init_b) = world.started(a, "b");
    world.kernel.refuse = Some(Errno::EBUSY);
    let error = world
        .core
        .instance_destroy(&mut world.kernel, a)
        .unwrap_err();
    assert_eq!(error, ManageError::Kernel(Errno::EBUSY));
    assert_eq!(world.core.report(VPS0, b).unwrap().state, Life::Dying);
    assert_eq!(world.kernel.killed, [init_a.handle, init_b.handle]);
    for proc in [init_a, init_b] {
        world.kernel.named.insert(proc.host.0);
        world.exit(proc);
        world.reap(proc, None);
    }
    world.kernel.refuse = None;
    world.core.instance_destroy(&mut world.kernel, a).unwrap();
    world.check();
    assert_eq!(world.kernel.destroyed, [PrisonHandle(2), PrisonHandle(1)]);
    assert!(world.core.report(VPS0, a).is_none());
    assert!(world.core.report(VPS0, b).is_none());
    assert_eq!(world.core.usage(VPS0, Resource::Nproc).unwrap().total, 0);
    assert!(world.core.read(|state| state.procs.is_empty()));
}

#[test]
fn destroying_waits_for_a_process_that_is_not_reaped() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    world.exit(init);
    let error = world
        .core
        .instance_destroy(&mut world.kernel, a)
        .unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    assert!(world.kernel.destroyed.is_empty());
    world.reap(init, None);
    world.core.instance_destroy(&mut world.kernel, a).unwrap();
}

#[test]
fn a_prison_that_the_kernel_refuses_leaves_no_instance() {
    let mut world = World::new();
    world.kernel.refuse = Some(Errno::EPERM);
    let name = Name::parse(b"a").unwrap();
    for birth in [Birth::Empty, Birth::Restore] {
        let error = world
            .core
            .instance_create(&mut world.kernel, VPS0, name, birth, PID_MAX_LEAST)
            .unwrap_err();
        assert_eq!(error, ManageError::Kernel(Errno::EPERM));
        assert_eq!(world.core.lookup(VPS0, b"a").ok(), None);
    }
    world.check();
    world.kernel.refuse = None;
    world.create(VPS0, "a");
}

#[test]
fn suspend_stops_what_is_below_and_a_failed_one_stops_nothing() {
    let mut world = World::new();
    let (a, _) = world.started(VPS0, "a");
    let (b, _) = world.started(a, "b");
    world.kernel.refuse = Some(Errno::EAGAIN);
    let error = world
        .core
        .instance_suspend(&mut world.kernel, a)
        .unwrap_err();
    assert_eq!(error, ManageError::Kernel(Errno::EAGAIN));
    assert!(world.kernel.stopped.values().all(|stopped| !stopped));
    assert_eq!(world.core.report(VPS0, a).unwrap().state, Life::Running);
    world.kernel.refuse = None;
    world.core.instance_suspend(&mut world.kernel, b).unwrap();
    world.core.instance_suspend(&mut world.kernel, a).unwrap();
    assert!(world.kernel.stopped.values().all(|stopped| *stopped));
    world.core.instance_resume(&mut world.kernel, a).unwrap();
    assert_eq!(world.kernel.stopped.get(&1), Some(&false));
    assert_eq!(
        world.kernel.stopped.get(&2),
        Some(&true),
        "it was suspended by itself"
    );
}

#[test]
fn a_reaped_child_is_reported_by_the_number_that_the_waiter_knows() {
    let mut world = World::new();
    let (a, init_a) = world.started(VPS0, "a");
    let b = world.create(a, "b");
    let child = world.fork(init_a);
    world.enter(child, b);
    world.exit(child);
    assert_eq!(world.reap(child, Some(init_a)), ViewId(2));
    let outsider = world.outsider();
    assert_eq!(world.reap(outsider, None).0, outsider.host.0);
    assert_eq!(world.reap(outsider, Some(init_a)), ViewId::NONE);
}

#[test]
fn all_that_an_instance_sees_can_be_listed_in_order() {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let children: Vec<Proc> = (0..5).map(|_| world.fork(init)).collect();
    let (_, inner) = world.started(a, "b");
    world.exit(children[0]);
    let mut batch = [None; 2];
    let mut seen = Vec::new();
    let mut after = ViewId(0);
    loop {
        let next = world.core.procs_after(a, after, &mut batch);
        seen.extend(batch.iter().flatten().copied());
        let Some(next) = next else { break };
        after = next;
    }
    let mut expected = Vec::from([init.handle]);
    expected.extend(children.iter().skip(1).map(|child| child.handle));
    expected.push(inner.handle);
    assert_eq!(seen, expected);
    assert_eq!(world.core.reaper_of(children[1].handle), Some(init.handle));
    assert_eq!(world.core.reaper_of(init.handle), None);
}

#[test]
fn an_id_that_the_kernel_hands_out_again_before_the_end_is_told_leads_nowhere() {
    for reaped in [false, true] {
        let mut world = World::new();
        let (_, init) = world.started(VPS0, "a");
        let (_, other) = world.started(VPS0, "b");
        let old = world.fork(init);
        world.kernel.named.insert(old.host.0);
        if reaped {
            world.exit(old);
        }
        let reserved = world.core.fork_reserve(&mut world.kernel, other.handle);
        let new = Proc {
            host: old.host,
            ..world.ids()
        };
        let done = world
            .core
            .fork_commit(reserved.unwrap(), new.handle, new.host, new.tid);
        assert_eq!(done, Committed::Runs);
        world.check();
        for kind in [IdKind::Pid, IdKind::Pgid, IdKind::Sid] {
            let (from, to) = (init.handle, other.handle);
            let reached = |world: &World| world.core.id_from_view(from, kind, ViewId(2));
            assert_eq!(reached(&world), None, "{kind:?}");
            let seen = world.core.id_to_view(from, kind, new.host);
            assert_eq!(seen, ViewId::NONE, "{kind:?}");
            assert_eq!(world.core.id_to_view(to, kind, new.host), ViewId(2));
        }
        assert_eq!(world.pid(old), 2, "it is still itself");
        world.exit(old);
        assert_eq!(world.reap(old, Some(init)), ViewId(2));
        let lingers = world
            .core
            .id_from_view(init.handle, IdKind::Pgid, ViewId(2));
        assert_eq!(lingers, None);
        assert_eq!(world.pid(new), 2);
    }
}

#[test]
fn who_enters_while_the_init_exits_or_the_instance_is_destroyed_is_doomed() {
    for destroyed in [false, true] {
        let mut world = World::new();
        let (a, init) = world.started(VPS0, "a");
        let entering = world.outsider();
        let reserved = world
            .core
            .attach_reserve(&mut world.kernel, entering.handle, a)
            .unwrap();
        if destroyed {
            let _ = world.core.instance_destroy(&mut world.kernel, a);
        } else {
            world.exit(init);
        }
        let done = world
            .core
            .attach_commit(reserved, entering.handle, entering.host, entering.tid);
        assert_eq!(done, Committed::Doomed);
    }
}
