// SPDX-License-Identifier: BSD-2-Clause
//! PID spaces written from the rules: a process has one number in each instance on the way down to
//! its own, a number is not used twice at a time, and stays used while anything carries it.
//!
//! [`Op`] is what happens; [`Pair::step`] does it to the core and to the model and compares all that
//! can be seen. Which free number is handed out is checked against the rule (the next one after the
//! last, none skipped that was free for certain) and then taken over by the model, since a number
//! that lingers for nothing may be free or not.

use std::collections::{BTreeMap, BTreeSet};

use vpscore::ids::{Addressed, SignalVerdict};
use vpscore::instance::{Birth, Name};
use vpscore::limits::PID_MAX_LEAST;
use vpscore::racct::Resource;
use vpscore::state::{Committed, Config, Core, Exit};
use vpscore::types::{HostId, InstanceId, ProcHandle, ViewId};
use vpscore::view::IdKind;

use crate::fake_kernel::FakeKernel;
use crate::host_lock::{HostLocks, OsThreads, Watched};

/// Something that happens. Numbers pick among what there is, modulo its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An instance is created below another, or below the host.
    Create(u8),
    /// A process of the host enters an instance.
    Enter(u8),
    /// A process enters an instance below its own.
    Deeper(u8, u8),
    /// A process forks.
    Fork(u8),
    /// A process reserves a fork that the kernel then cannot do.
    ForkFails(u8),
    /// A process exits.
    Exit(u8),
    /// A zombie is reaped.
    Reap(u8),
    /// A group, session or reaper subtree carries the id of a process from now on.
    Name(u8),
    /// Nothing but the process itself, if it is there, carries the ids named so far.
    Unname,
    /// A process of the host is made, with an id that may have been somebody else's.
    HostFork,
}

/// A process as the model knows it.
#[derive(Clone, Debug)]
struct Proc {
    handle: ProcHandle,
    host: HostId,
    /// Its instances from the outermost to its own, with its number in each.
    numbers: Vec<(usize, i32)>,
    zombie: bool,
}

impl Proc {
    fn instance(&self) -> usize {
        self.numbers.last().expect("it is in an instance").0
    }

    fn number_in(&self, instance: usize) -> i32 {
        let found = self.numbers.iter().find(|(at, _)| *at == instance);
        found.map_or(0, |(_, number)| *number)
    }
}

/// An instance as the model knows it.
#[derive(Clone, Debug)]
struct Instance {
    id: InstanceId,
    parent: Option<usize>,
    /// Who has a number: an index of `Model::procs`, by number. Reaped ones are in it until their
    /// number is seen to be given to another.
    numbers: BTreeMap<i32, u64>,
    last: i32,
    init: Option<u64>,
    /// Its init has exited and others have not been reaped.
    halting: bool,
}

/// Core and model side by side.
pub struct Pair {
    core: Core<Watched<HostLocks, OsThreads>>,
    kernel: FakeKernel,
    instances: Vec<Instance>,
    /// Living processes and zombies, by a serial of the model's.
    procs: BTreeMap<u64, Proc>,
    /// Host ids of reaped processes.
    reaped: BTreeMap<u64, HostId>,
    serial: u64,
    tids: i32,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

/// Instances at most, so that they get deep and full.
const INSTANCES: usize = 8;

impl Pair {
    /// A host with nothing on it.
    ///
    /// # Panics
    /// If the core cannot be made.
    pub fn new() -> Self {
        let mut kernel = FakeKernel::new();
        let core = Core::create(&mut kernel, Config::DEFAULT).expect("a core");
        Self {
            core,
            kernel,
            instances: Vec::new(),
            procs: BTreeMap::new(),
            reaped: BTreeMap::new(),
            serial: 0,
            tids: 500_000,
        }
    }

    /// Does `op` to both and compares what they show.
    ///
    /// # Panics
    /// Where the two differ, or an invariant of the core is broken.
    pub fn step(&mut self, op: Op) {
        match op {
            Op::Create(below) => self.create(below),
            Op::Enter(to) => {
                if let Some(to) = pick(self.instances.len(), to) {
                    let (handle, host) = self.kernel.new_proc();
                    if !self.attach(None, handle, host, to) {
                        self.kernel.reaped(host);
                    }
                }
            }
            Op::Deeper(proc, to) => {
                let to = pick(self.instances.len(), to);
                if let (Some(serial), Some(to)) = (self.alive(proc), to) {
                    let proc = &self.procs[&serial];
                    let (handle, host) = (proc.handle, proc.host);
                    self.attach(Some(serial), handle, host, to);
                }
            }
            Op::Fork(parent) => self.fork(parent, true),
            Op::ForkFails(parent) => self.fork(parent, false),
            Op::Exit(proc) => self.exit(proc),
            Op::Reap(proc) => self.reap(proc),
            Op::Name(proc) => {
                if let Some(serial) = self.alive(proc) {
                    self.kernel.named.insert(self.procs[&serial].host.0);
                }
            }
            Op::Unname => self.kernel.named.clear(),
            Op::HostFork => {
                let (handle, host) = self.kernel.new_proc();
                let parent = ProcHandle(1);
                let reserved = self.core.fork_reserve(&mut self.kernel, parent);
                let reserved = reserved.expect("the host forks");
                let tid = self.tid();
                let _ = self.core.fork_commit(reserved, handle, host, tid);
                self.forget_host(host);
                assert_eq!(self.core.own_pid(handle, host).0, host.0);
                self.core.proc_reap(handle, host, None);
                self.kernel.reaped(host);
            }
        }
        self.compare();
    }

    fn tid(&mut self) -> HostId {
        self.tids += 1;
        HostId(self.tids)
    }

    /// A living process, its model's serial.
    fn alive(&self, nth: u8) -> Option<u64> {
        let alive: Vec<u64> = self
            .procs
            .iter()
            .filter(|(_, proc)| !proc.zombie)
            .map(|(serial, _)| *serial)
            .collect();
        pick(alive.len(), nth).map(|at| alive[at])
    }

    fn path(&self, to: usize) -> Vec<usize> {
        let mut path = vec![to];
        while let Some(parent) = self.instances[path[0]].parent {
            path.insert(0, parent);
        }
        path
    }

    fn halting(&self, to: usize) -> bool {
        self.path(to).iter().any(|at| self.instances[*at].halting)
    }

    fn create(&mut self, below: u8) {
        if self.instances.len() >= INSTANCES {
            return;
        }
        let parent = pick(self.instances.len() + 1, below).and_then(|at| at.checked_sub(1));
        let name = format!("i{}", self.instances.len());
        let name = Name::parse(name.as_bytes()).expect("a name");
        let above = parent.map_or(InstanceId::VPS0, |at| self.instances[at].id);
        let id = self
            .core
            .instance_create(&mut self.kernel, above, name, Birth::Empty, PID_MAX_LEAST)
            .expect("an instance");
        self.instances.push(Instance {
            id,
            parent,
            numbers: BTreeMap::new(),
            last: 1,
            init: None,
            halting: false,
        });
    }

    /// A process of the host (no serial) or of an instance enters `to`; whether it did.
    fn attach(&mut self, who: Option<u64>, handle: ProcHandle, host: HostId, to: usize) -> bool {
        let path = self.path(to);
        let kept = who.map_or(Vec::new(), |serial| self.procs[&serial].numbers.clone());
        let from = kept.last().map(|(at, _)| *at);
        let below = from.is_none_or(|from| path.contains(&from) && from != to);
        let leaves_init = from.is_some_and(|from| self.instances[from].init == who);
        let id = self.instances[to].id;
        let reserved = self.core.attach_reserve(&mut self.kernel, handle, id);
        let Ok(reserved) = reserved else {
            let one_lingers = self.instances[to].numbers.contains_key(&1);
            let first = self.instances[to].init.is_none();
            assert!(
                !below || leaves_init || self.halting(to) || (first && one_lingers),
                "refused without a reason: {:?}",
                reserved.err()
            );
            return false;
        };
        assert!(below && !leaves_init && !self.halting(to));
        let pid = reserved.pid();
        let tid = self.tid();
        let done = self.core.attach_commit(reserved, handle, host, tid);
        assert_eq!(done, Committed::Runs, "nothing was killed in between");
        if who.is_none() {
            self.forget_host(host);
        }
        let first = self.instances[to].init.is_none();
        assert_eq!(pid == ViewId::INIT, first, "the first is init");
        let serial = who.unwrap_or_else(|| self.next_serial());
        self.admit(serial, handle, host, &path, &kept, first);
        if first {
            self.instances[to].init = Some(serial);
        }
        true
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn fork(&mut self, parent: u8, succeeds: bool) {
        let Some(parent) = self.alive(parent) else {
            return;
        };
        let at = self.procs[&parent].instance();
        let handle = self.procs[&parent].handle;
        let reserved = self.core.fork_reserve(&mut self.kernel, handle);
        let Ok(reserved) = reserved else {
            let full = self
                .path(at)
                .iter()
                .any(|at| self.instances[*at].numbers.len() >= 200);
            assert!(
                self.halting(at) || full,
                "refused without a reason: {:?}",
                reserved.err()
            );
            return;
        };
        assert!(!self.halting(at));
        let said = reserved.pid().expect("a number");
        if !succeeds {
            self.core.fork_abort(reserved);
            // The number was picked on every level; nothing else has changed.
            for at in self.path(at) {
                let report = self.core.report(InstanceId::VPS0, self.instances[at].id);
                self.instances[at].last = report.expect("it is there").last_pid;
            }
            return;
        }
        let (child, host) = self.kernel.new_proc();
        let tid = self.tid();
        let done = self.core.fork_commit(reserved, child, host, tid);
        assert_eq!(done, Committed::Runs);
        self.forget_host(host);
        assert_eq!(self.core.own_pid(child, host), said);
        let serial = self.next_serial();
        let path = self.path(at);
        self.admit(serial, child, host, &path, &[], false);
    }

    /// Takes the numbers of a process over from the core, checking each against the rule.
    fn admit(
        &mut self,
        serial: u64,
        handle: ProcHandle,
        host: HostId,
        path: &[usize],
        kept: &[(usize, i32)],
        init: bool,
    ) {
        let report = self.core.proc_report(handle).expect("it is tracked");
        assert_eq!(report.numbers().len(), path.len());
        let mut numbers = Vec::new();
        for (level, (at, number)) in path.iter().zip(report.numbers()).enumerate() {
            numbers.push((*at, *number));
            if let Some((_, old)) = kept.get(level) {
                assert_eq!(number, old, "a number above stays");
                continue;
            }
            if init && level + 1 == path.len() {
                assert_eq!(*number, 1);
            } else {
                self.check_next(*at, *number);
                self.instances[*at].last = *number;
            }
            let other = self.instances[*at].numbers.insert(*number, serial);
            if let Some(other) = other {
                assert!(!self.procs.contains_key(&other), "{number} is in use");
                let carried = self.reaped.get(&other).map(|host| host.0);
                let carried = carried.is_some_and(|host| self.kernel.named.contains(&host));
                assert!(!carried, "{number} is still carried");
            }
        }
        self.procs.insert(
            serial,
            Proc {
                handle,
                host,
                numbers,
                zombie: false,
            },
        );
    }

    /// The rule: the first number after the last that is not in use, from 2 again at the end.
    fn check_next(&self, at: usize, number: i32) {
        let instance = &self.instances[at];
        assert!((2..PID_MAX_LEAST).contains(&number));
        let mut expected = instance.last;
        loop {
            expected = if expected + 1 >= PID_MAX_LEAST {
                2
            } else {
                expected + 1
            };
            if expected == number {
                return;
            }
            assert!(
                instance.numbers.contains_key(&expected),
                "{number} was handed out though {expected} is free"
            );
        }
    }

    /// The kernel has handed `host` out again: nothing lingers under it any more.
    fn forget_host(&mut self, host: HostId) {
        let gone: BTreeSet<u64> = self
            .reaped
            .iter()
            .filter(|(_, old)| **old == host)
            .map(|(serial, _)| *serial)
            .collect();
        self.reaped.retain(|serial, _| !gone.contains(serial));
        for instance in &mut self.instances {
            instance.numbers.retain(|_, serial| !gone.contains(serial));
        }
    }

    fn exit(&mut self, nth: u8) {
        let Some(serial) = self.alive(nth) else {
            return;
        };
        let proc = self.procs[&serial].clone();
        let at = proc.instance();
        let init = self.instances[at].init == Some(serial);
        self.kernel.killed.clear();
        let exit = self.core.proc_exit(&mut self.kernel, proc.handle);
        let expected = if init {
            Exit::Init {
                instance: self.instances[at].id,
            }
        } else {
            Exit::Ordinary
        };
        assert_eq!(exit, expected);
        self.procs.get_mut(&serial).expect("it is there").zombie = true;
        let killed: BTreeSet<ProcHandle> = self.kernel.killed.iter().copied().collect();
        let others: BTreeSet<ProcHandle> = self
            .procs
            .values()
            .filter(|proc| init && !proc.zombie && proc.number_in(at) != 0)
            .map(|proc| proc.handle)
            .collect();
        assert_eq!(killed, others, "all in it and below, and nobody else");
        self.instances[at].halting |= init;
    }

    fn reap(&mut self, nth: u8) {
        let zombies: Vec<u64> = self
            .procs
            .iter()
            .filter(|(_, proc)| proc.zombie)
            .map(|(serial, _)| *serial)
            .collect();
        let Some(at) = pick(zombies.len(), nth) else {
            return;
        };
        let serial = zombies[at];
        let proc = self.procs.remove(&serial).expect("it is there");
        let own = self.instances[proc.instance()].init;
        let waiter = own.and_then(|init| self.procs.get(&init));
        let seen = waiter.map_or(proc.host.0, |waiter| proc.number_in(waiter.instance()));
        let waiter = waiter.map(|waiter| waiter.handle);
        assert_eq!(self.core.proc_reap(proc.handle, proc.host, waiter).0, seen);
        self.kernel.reaped(proc.host);
        self.reaped.insert(serial, proc.host);
        for instance in &mut self.instances {
            if instance.init == Some(serial) {
                instance.init = None;
            }
        }
        for (at, _) in &proc.numbers {
            let members = self.procs.values().filter(|p| p.number_in(*at) != 0);
            if members.count() == 0 {
                self.instances[*at].halting = false;
            }
        }
    }

    /// Everything that can be seen, by everybody, of everybody.
    fn compare(&self) {
        assert!(self.core.invariants());
        assert_eq!(self.core.outstanding(), 0);
        for (at, instance) in self.instances.iter().enumerate() {
            let viewer = instance.id;
            let mut own = 0;
            for proc in self.procs.values() {
                let number = proc.number_in(at);
                own += u64::from(proc.instance() == at);
                let seen = self.core.id_to_view(viewer, IdKind::Pid, proc.host);
                assert_eq!(seen.0, number);
                assert_eq!(self.core.visible(viewer, proc.handle), number != 0);
                if number != 0 {
                    let back = self.core.id_from_view(viewer, IdKind::Pid, seen);
                    assert_eq!(back, Some(proc.host));
                    assert_eq!(self.core.proc_by_number(viewer, seen), Some(proc.handle));
                }
            }
            let usage = self.core.usage(viewer, Resource::Nproc).expect("usage");
            assert_eq!(usage.own, own);
            for number in 0..PID_MAX_LEAST {
                let serial = instance.numbers.get(&number);
                let proc = serial.and_then(|serial| self.procs.get(serial));
                let found = self.core.proc_by_number(viewer, ViewId(number));
                assert_eq!(found, proc.map(|proc| proc.handle));
            }
        }
        self.compare_signals();
    }

    /// Who may signal whom, with the rule for init.
    fn compare_signals(&self) {
        let some: Vec<(&u64, &Proc)> = self.procs.iter().take(6).collect();
        for (_, sender) in &some {
            for (serial, target) in &some {
                let at = sender.instance();
                let sees = target.number_in(at) != 0;
                let own = target.instance() == at;
                let init = self.instances[target.instance()].init == Some(**serial);
                let verdict =
                    self.core
                        .signal_check(Some(sender.handle), target.handle, 15, Addressed::One);
                let expected = match (sees, own && init) {
                    (false, _) => None,
                    (true, true) => Some(SignalVerdict::DeliverIfCaught),
                    (true, false) => Some(SignalVerdict::Deliver),
                };
                assert_eq!(verdict.ok(), expected);
            }
        }
    }
}

fn pick(len: usize, nth: u8) -> Option<usize> {
    usize::from(nth).checked_rem(len)
}
