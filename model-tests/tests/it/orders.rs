// SPDX-License-Identifier: BSD-2-Clause
//! Every short order of management and process operations over a parent, its child and a sibling.
//!
//! # Checked after every operation
//! * The core's invariants hold, and nothing is fenced.
//! * A refused operation has changed nothing that can be read.
//! * The kernel's prisons are stopped where the tree says so, and nowhere else.
//!
//! And at the end of every order: all of it can be torn down, and no account, number or prison is left.

use model_tests::host_kernel::{HostKernel, HostProc};
use model_tests::host_lock::HostLocks;
use vpscore::cbor::{Text, decode_all, encode_to_list};
use vpscore::ctl::{Answer, Op as Ask, Request, VERSION, serve};
use vpscore::errno::Errno;
use vpscore::limits::PID_MAX_LEAST;
use vpscore::privilege::{Priv, Verdict};
use vpscore::racct::{Limit, Resource};
use vpscore::state::{Config, Core};
use vpscore::types::InstanceId;

/// Instances that an order is about: a parent, its child, a sibling.
const PATHS: [&str; 3] = ["a", "a.b", "c"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// A request of the host's about one of [`PATHS`].
    Ask(Ask, usize),
    /// A process of the host enters it.
    Attach(usize),
    /// The process that entered or was made last forks.
    Fork,
    /// It enters the child.
    Deeper,
    /// The oldest process that lives exits.
    Exit,
    /// The oldest zombie is reaped.
    Reap,
    /// At most one process in the parent.
    Limit,
    /// The parent loses a privilege.
    Deny,
    /// The kernel refuses what it may, from now on, or no more.
    Refuse,
}

struct World {
    core: Core<HostLocks>,
    kernel: HostKernel,
    live: Vec<HostProc>,
    zombies: Vec<HostProc>,
}

/// All that can be read of the core and the kernel.
type Seen = (Vec<String>, Vec<(u64, u64)>, usize, Vec<bool>);

impl World {
    fn new() -> Self {
        let mut kernel = HostKernel::default();
        let core = Core::create(&mut kernel, Config::DEFAULT).expect("memory");
        Self {
            core,
            kernel,
            live: Vec::new(),
            zombies: Vec::new(),
        }
    }

    fn id(&self, path: usize) -> Option<InstanceId> {
        let path = PATHS[path].as_bytes();
        self.core.lookup(InstanceId::VPS0, path).ok()
    }

    fn ask(&mut self, op: Ask, path: &str) -> u16 {
        let request = Request {
            version: VERSION,
            op,
            path: Text::copy(path).expect("memory"),
            after: None,
            pid_max: (op == Ask::Create).then_some(PID_MAX_LEAST),
        };
        let request = encode_to_list(&request).expect("memory");
        let answer = serve(
            &self.core,
            &mut self.kernel,
            InstanceId::VPS0,
            request.as_slice(),
        );
        let answer: Answer = decode_all(answer.expect("memory").as_slice()).expect("an answer");
        answer.errno
    }

    fn seen(&self) -> Seen {
        let mut reports = Vec::new();
        let mut usage = Vec::new();
        let mut here = Some(InstanceId::VPS0);
        while let Some(id) = here {
            let report = self.core.report(InstanceId::VPS0, id).expect("there");
            assert!(!report.fenced, "{report:?}");
            reports.push(format!("{report:?}"));
            for resource in [Resource::Nproc, Resource::Nthr] {
                let used = self.core.usage(id, resource).expect("there");
                usage.push((used.own, used.total));
            }
            here = self.core.next_instance(InstanceId::VPS0, id);
        }
        let prisons = self.kernel.prisons.values().copied().collect();
        (reports, usage, self.core.outstanding(), prisons)
    }

    /// Does it; false where it was refused, `None` where there is nothing to do it to.
    fn apply(&mut self, op: Op) -> Option<bool> {
        Some(match op {
            Op::Ask(ask, at) => self.ask(ask, PATHS[at]) == 0,
            Op::Attach(at) => {
                let (to, proc) = (self.id(at)?, self.kernel.make());
                self.enter(proc, to)?
            }
            Op::Deeper => {
                let (to, proc) = (self.id(1)?, self.live.pop()?);
                let entered = self.enter(proc, to)?;
                if !entered {
                    self.live.push(proc);
                }
                entered
            }
            Op::Fork => {
                let parent = *self.live.last()?;
                let child = self.kernel.make();
                match self.core.fork_reserve(&mut self.kernel, parent.handle) {
                    Ok(reserved) => {
                        let _ =
                            self.core
                                .fork_commit(reserved, child.handle, child.host, child.tid);
                        self.live.push(child);
                        true
                    }
                    Err(_) => false,
                }
            }
            Op::Exit => {
                if self.live.is_empty() {
                    return None;
                }
                let proc = self.live.remove(0);
                self.core.proc_exit(&mut self.kernel, proc.handle);
                self.zombies.push(proc);
                true
            }
            Op::Reap => {
                if self.zombies.is_empty() {
                    return None;
                }
                let proc = self.zombies.remove(0);
                self.core.proc_reap(proc.handle, proc.host, None);
                true
            }
            Op::Limit => {
                let limit = Limit { soft: 1, hard: 1 };
                let id = self.id(0)?;
                self.core.set_limit(id, Resource::Nproc, limit).is_ok()
            }
            Op::Deny => {
                let (id, raw) = (self.id(0)?, i32::from(Priv::NET_RAW.raw()));
                let set = self
                    .core
                    .set_privilege(InstanceId::VPS0, id, raw, Verdict::Deny);
                set.is_ok()
            }
            Op::Refuse => {
                self.kernel.refuse = match self.kernel.refuse {
                    None => Some(Errno::EAGAIN),
                    Some(_) => None,
                };
                true
            }
        })
    }

    fn enter(&mut self, proc: HostProc, to: InstanceId) -> Option<bool> {
        Some(
            match self.core.attach_reserve(&mut self.kernel, proc.handle, to) {
                Ok(reserved) => {
                    let _ = self
                        .core
                        .attach_commit(reserved, proc.handle, proc.host, proc.tid);
                    self.live.push(proc);
                    true
                }
                Err(_) => false,
            },
        )
    }

    fn step(&mut self, op: Op) {
        let before = self.seen();
        let done = self.apply(op);
        assert!(self.core.invariants());
        let after = self.seen();
        // A destruction that the kernel cut short, with a process left, is to be repeated (I1 of `ctl`).
        let cut_short = matches!(op, Op::Ask(Ask::Destroy, _));
        if done != Some(true) && !cut_short {
            assert_eq!(before, after, "refused, and yet it changed something");
        }
        self.threads_stand_as_the_tree_says();
    }

    fn threads_stand_as_the_tree_says(&self) {
        let stops = |id| {
            let state = self.core.report(InstanceId::VPS0, id).expect("there").state;
            state.stops()
        };
        let mut here = self.core.next_instance(InstanceId::VPS0, InstanceId::VPS0);
        while let Some(id) = here {
            let report = self.core.report(InstanceId::VPS0, id).expect("there");
            let above = report
                .parent
                .is_some_and(|up| up != InstanceId::VPS0 && stops(up));
            if let Some(prison) = report.prison {
                assert_eq!(
                    self.kernel.is_suspended(prison),
                    above || stops(id),
                    "{report:?}"
                );
            }
            here = self.core.next_instance(InstanceId::VPS0, id);
        }
    }

    fn tear_down(mut self) {
        self.kernel.refuse = None;
        for path in ["a", "c"] {
            self.ask(Ask::Destroy, path);
        }
        while self.apply(Op::Exit).is_some() {}
        while self.apply(Op::Reap).is_some() {}
        for path in ["a", "c"] {
            self.ask(Ask::Destroy, path);
        }
        let (reports, usage, outstanding, prisons) = self.seen();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(usage.iter().all(|used| *used == (0, 0)), "{usage:?}");
        assert_eq!(outstanding, 0);
        assert!(prisons.is_empty());
        assert!(self.core.invariants());
    }
}

/// Runs every order of `len` of `ops` after `first`.
fn every_order(first: &[Op], ops: &[Op], len: u32) {
    let count = ops.len().pow(len);
    for number in 0..count {
        let mut rest = number;
        let order: Vec<Op> = (0..len)
            .map(|_| {
                let op = ops[rest % ops.len()];
                rest /= ops.len();
                op
            })
            .collect();
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::new();
            for op in first.iter().chain(&order) {
                world.step(*op);
            }
            world.tear_down();
        });
        assert!(ran.is_ok(), "after {first:?}: {order:?}");
    }
}

const CREATED: [Op; 2] = [Op::Ask(Ask::Create, 0), Op::Ask(Ask::Create, 1)];

const FROM_NOTHING: [Op; 10] = [
    Op::Ask(Ask::Create, 0),
    Op::Ask(Ask::Create, 1),
    Op::Ask(Ask::Destroy, 0),
    Op::Ask(Ask::Suspend, 0),
    Op::Ask(Ask::Resume, 0),
    Op::Attach(0),
    Op::Attach(1),
    Op::Fork,
    Op::Exit,
    Op::Reap,
];

const STOPPING: [Op; 7] = [
    Op::Ask(Ask::Suspend, 0),
    Op::Ask(Ask::Resume, 0),
    Op::Ask(Ask::Suspend, 1),
    Op::Ask(Ask::Resume, 1),
    Op::Ask(Ask::Destroy, 1),
    Op::Ask(Ask::Create, 1),
    Op::Refuse,
];

const PROCESSES: [Op; 7] = [
    Op::Attach(0),
    Op::Deeper,
    Op::Fork,
    Op::Exit,
    Op::Reap,
    Op::Ask(Ask::Suspend, 0),
    Op::Ask(Ask::Destroy, 0),
];

const RIGHTS: [Op; 8] = [
    Op::Limit,
    Op::Deny,
    Op::Attach(0),
    Op::Attach(1),
    Op::Attach(2),
    Op::Fork,
    Op::Exit,
    Op::Reap,
];

#[test]
fn every_order_from_nothing() {
    every_order(&[], &FROM_NOTHING, 3);
}

#[test]
fn every_order_of_stopping_and_destroying_a_parent_and_its_child() {
    every_order(&CREATED, &STOPPING, 4);
}

#[test]
fn every_order_of_processes_between_a_parent_and_its_child() {
    every_order(&CREATED, &PROCESSES, 4);
}

#[test]
fn every_order_with_limits_and_privileges() {
    every_order(
        &[CREATED[0], CREATED[1], Op::Ask(Ask::Create, 2)],
        &RIGHTS,
        3,
    );
}

#[test]
#[ignore = "two minutes; for a change of the life cycle"]
fn every_longer_order() {
    every_order(&[], &FROM_NOTHING, 4);
    every_order(&CREATED, &STOPPING, 5);
    every_order(&CREATED, &PROCESSES, 5);
    every_order(
        &[CREATED[0], CREATED[1], Op::Ask(Ask::Create, 2)],
        &RIGHTS,
        4,
    );
}
