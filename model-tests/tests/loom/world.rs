// SPDX-License-Identifier: BSD-2-Clause
//! A core under loom's locks, with a kernel that several threads call.

use loom::sync::Mutex;
use loom::thread;
use model_tests::host_kernel::{HostKernel, HostProc};
use model_tests::host_lock::{Context, Held, Watched, WatchedKpi};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vpscore::collections::NoMemory;
use vpscore::errno::Errno;
use vpscore::instance::{Birth, Name};
use vpscore::kpi::{Kpi, Lock, LockFamily, LockRank};
use vpscore::limits::PID_MAX_LEAST;
use vpscore::racct::Resource;
use vpscore::state::{AttachError, Committed, Config, Core, Exit, ForkError};
use vpscore::time::Instant;
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle, ViewId};

pub(crate) const VPS0: InstanceId = InstanceId::VPS0;

/// Switches away from a thread that could go on, in one order of a case that has too many of them.
/// A bug between two critical sections needs one or two.
const PREEMPTIONS: usize = 3;

/// Loom's locks. A mutex serves readers too: only the order of the holds matters here, since a
/// reader can change nothing, and loom explores no fewer orders for two readers than for two writers.
pub(crate) enum LoomLocks {}

impl LockFamily for LoomLocks {
    type Lock<T: Send + Sync> = LoomLock<T>;
}

pub(crate) struct LoomLock<T>(Mutex<T>);

impl<T> Lock<T> for LoomLock<T> {
    fn create(_: LockRank, value: T) -> Result<Self, NoMemory> {
        Ok(Self(Mutex::new(value)))
    }

    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.lock().expect("no thread has panicked"))
    }

    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().expect("no thread has panicked"))
    }
}

/// Loom's threads, with their allocations counted.
pub(crate) enum LoomThreads {}

loom::thread_local! {
    static HELD: Cell<Held> = Cell::new(Held::default());
}

impl Context for LoomThreads {
    fn held<R>(f: impl FnOnce(&Cell<Held>) -> R) -> R {
        HELD.with(f)
    }

    /// Loom runs all its threads on one of the system's and switches at loom's own locks only, of
    /// which there are none within `State`: what is counted is `f`'s.
    fn without_memory<R>(f: impl FnOnce() -> R) -> R {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(f()));
        assert_eq!(
            (counted.count_total, counted.count_current),
            (0, 0),
            "allocated, and allocated less freed, within State"
        );
        result.expect("it has run")
    }
}

type Locks = Watched<LoomLocks, LoomThreads>;

/// What the kernel knows: where each of its processes is.
#[derive(Default)]
struct Kernel {
    host: HostKernel,
    procs: BTreeMap<ProcHandle, (HostProc, Option<PrisonHandle>)>,
}

/// A kernel as one of its threads calls it.
pub(crate) struct Shared<'a>(&'a Mutex<Kernel>);

impl Shared<'_> {
    fn with<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        f(&mut self.0.lock().expect("no thread has panicked"))
    }
}

impl Kpi for Shared<'_> {
    fn uptime(&mut self) -> Instant {
        self.with(|kernel| kernel.host.uptime())
    }

    fn random(&mut self) -> u64 {
        self.with(|kernel| kernel.host.random())
    }

    fn id_named(&mut self, id: HostId) -> bool {
        self.with(|kernel| kernel.host.id_named(id))
    }

    fn prison_create(
        &mut self,
        parent: Option<PrisonHandle>,
        instance: InstanceId,
        name: &str,
    ) -> Result<PrisonHandle, Errno> {
        self.with(|kernel| kernel.host.prison_create(parent, instance, name))
    }

    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.with(|kernel| {
            assert!(!kernel.holds(prison), "destroyed with a process in it");
            kernel.host.prison_destroy(prison)
        })
    }

    fn signal(&mut self, proc: ProcHandle, signum: i32) {
        self.with(|kernel| kernel.host.signal(proc, signum));
    }

    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.with(|kernel| kernel.host.prison_suspend(prison))
    }

    fn prison_resume(&mut self, prison: PrisonHandle) {
        self.with(|kernel| kernel.host.prison_resume(prison));
    }

    /// The deadline passes at once.
    fn prison_drain(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.with(|kernel| match kernel.holds(prison) {
            true => Err(Errno::EBUSY),
            false => kernel.host.prison_drain(prison),
        })
    }
}

impl Kernel {
    fn holds(&self, prison: PrisonHandle) -> bool {
        self.procs.values().any(|(_, at)| *at == Some(prison))
    }
}

/// A core and the kernel under it.
pub(crate) struct World {
    pub(crate) core: Core<Locks>,
    kernel: Mutex<Kernel>,
}

impl World {
    fn boot() -> Self {
        let kernel = Mutex::new(Kernel::default());
        let config = Config {
            procs_max: 64,
            threads_max: 256,
        };
        let mut kpi = WatchedKpi::<_, LoomThreads>::new(Shared(&kernel));
        let core = Core::create(&mut kpi, config).expect("memory");
        Self { core, kernel }
    }

    pub(crate) fn kpi(&self) -> WatchedKpi<Shared<'_>, LoomThreads> {
        WatchedKpi::new(Shared(&self.kernel))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        Shared(&self.kernel).with(f)
    }

    /// A process of the host.
    pub(crate) fn outsider(&self) -> HostProc {
        self.with(|kernel| {
            let proc = kernel.host.make();
            kernel.procs.insert(proc.handle, (proc, None));
            proc
        })
    }

    pub(crate) fn create(&self, parent: InstanceId, name: &str) -> InstanceId {
        let name = Name::parse(name.as_bytes()).expect("a name");
        self.core
            .instance_create(&mut self.kpi(), parent, name, Birth::Empty, PID_MAX_LEAST)
            .expect("an instance")
    }

    /// An instance with an init.
    pub(crate) fn started(&self, parent: InstanceId, name: &str) -> (InstanceId, HostProc) {
        let id = self.create(parent, name);
        let init = self.outsider();
        let entered = self.enter(init, id).expect("it enters");
        assert_eq!(entered, Some((ViewId::INIT, Committed::Runs)));
        (id, init)
    }

    /// `jail_attach(2)`: `None` where the kernel's prison was gone when it came to it.
    pub(crate) fn enter(
        &self,
        proc: HostProc,
        to: InstanceId,
    ) -> Result<Option<(ViewId, Committed)>, AttachError> {
        let core = &self.core;
        let reserved = core.attach_reserve(&mut self.kpi(), proc.handle, to)?;
        let pid = reserved.pid();
        let prison = core.report(VPS0, to).and_then(|report| report.prison);
        let moved = self.with(|kernel| {
            let there = prison.filter(|prison| kernel.host.prisons.contains_key(prison));
            if there.is_some() {
                kernel.procs.insert(proc.handle, (proc, there));
            }
            there.is_some()
        });
        if !moved {
            core.attach_abort(reserved);
            return Ok(None);
        }
        let done = core.attach_commit(reserved, proc.handle, proc.host, proc.tid);
        self.obey(proc, done);
        Ok(Some((pid, done)))
    }

    /// `fork(2)`.
    pub(crate) fn fork(&self, parent: HostProc) -> Result<(HostProc, Committed), ForkError> {
        self.fork_as(parent, None)
    }

    /// `fork(2)`, the child getting an id that was given to another before.
    pub(crate) fn fork_as(
        &self,
        parent: HostProc,
        host: Option<HostId>,
    ) -> Result<(HostProc, Committed), ForkError> {
        let reserved = self.core.fork_reserve(&mut self.kpi(), parent.handle)?;
        let child = self.with(|kernel| {
            let child = match host {
                Some(host) => kernel.host.hand_out(host),
                None => kernel.host.make(),
            };
            let prison = kernel.procs.get(&parent.handle).and_then(|(_, at)| *at);
            kernel.procs.insert(child.handle, (child, prison));
            child
        });
        let done = self
            .core
            .fork_commit(reserved, child.handle, child.host, child.tid);
        self.obey(child, done);
        Ok((child, done))
    }

    /// What a kernel does with a doomed process.
    fn obey(&self, proc: HostProc, done: Committed) {
        if done == Committed::Doomed {
            self.kpi().signal(proc.handle, 9);
        }
    }

    pub(crate) fn exit(&self, proc: HostProc) -> Exit {
        self.core.proc_exit(&mut self.kpi(), proc.handle)
    }

    /// The kernel's own part of `wait4(2)`, after which it may give the id to another process.
    pub(crate) fn forget(&self, proc: HostProc) {
        self.with(|kernel| kernel.procs.remove(&proc.handle));
    }

    /// `process_dtor`.
    pub(crate) fn reap(&self, proc: HostProc, waiter: Option<HostProc>) -> ViewId {
        let waiter = waiter.map(|waiter| waiter.handle);
        self.core.proc_reap(proc.handle, proc.host, waiter)
    }

    /// From its exit to the end of its zombie.
    pub(crate) fn end(&self, proc: HostProc) {
        self.exit(proc);
        self.forget(proc);
        self.reap(proc, None);
    }

    /// Lets everyone who was killed go, and returns how many there were.
    pub(crate) fn bury(&self) -> usize {
        let dead: Vec<HostProc> = self.with(|kernel| {
            let killed: BTreeSet<ProcHandle> = kernel.host.killed().collect();
            let procs = kernel.procs.values();
            let dead = procs.filter(|(proc, _)| killed.contains(&proc.handle));
            dead.map(|(proc, _)| *proc).collect()
        });
        for proc in &dead {
            self.end(*proc);
        }
        dead.len()
    }

    pub(crate) fn was_killed(&self, proc: HostProc) -> bool {
        self.with(|kernel| kernel.host.killed().any(|killed| killed == proc.handle))
    }

    /// Whether the id is one that the kernel could hand out.
    pub(crate) fn is_free(&self, host: HostId) -> bool {
        self.with(|kernel| !kernel.procs.values().any(|(proc, _)| proc.host == host))
    }

    /// Says that a process group carries an id.
    pub(crate) fn name(&self, host: HostId) {
        self.with(|kernel| kernel.host.named.insert(host));
    }

    /// The prisons that are there, and whether each is suspended.
    pub(crate) fn prisons(&self) -> Vec<bool> {
        self.with(|kernel| kernel.host.prisons.values().copied().collect())
    }

    /// Usage of an instance with what is below it.
    pub(crate) fn total(&self, id: InstanceId, resource: Resource) -> Option<u64> {
        self.core.usage(id, resource).map(|usage| usage.total)
    }

    /// Nothing is left of any instance.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.core.next_instance(VPS0, VPS0), None);
        assert!(self.prisons().is_empty());
        for resource in [Resource::Nproc, Resource::Nthr] {
            assert_eq!(self.total(VPS0, resource), Some(0));
        }
    }
}

/// Which outcomes an exploration has met.
#[derive(Clone, Default)]
pub(crate) struct Outcomes(Arc<std::sync::Mutex<BTreeSet<String>>>);

impl Outcomes {
    pub(crate) fn met(&self, outcome: impl std::fmt::Debug) {
        let mut all = self.0.lock().expect("no thread has panicked");
        all.insert(format!("{outcome:?}"));
    }
}

/// A thread of a case.
pub(crate) fn start<R: Send + 'static>(
    world: &Arc<World>,
    f: impl FnOnce(&World) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let world = Arc::clone(world);
    let builder = thread::Builder::new().stack_size(STACK);
    builder.spawn(move || f(&world)).expect("a thread")
}

/// Words of stack of a thread, for frames that nobody has optimised.
const STACK: usize = 64 * 1024;

/// Runs `case` in every order of its threads, and asserts what holds after each; returns the
/// outcomes that were met, sorted.
pub(crate) fn explore(case: fn(&Arc<World>, &Outcomes)) -> Vec<String> {
    explore_within(None, case)
}

/// The same with few switches in each order: a million others are left out.
pub(crate) fn explore_some(case: fn(&Arc<World>, &Outcomes)) -> Vec<String> {
    explore_within(Some(PREEMPTIONS), case)
}

fn explore_within(preemptions: Option<usize>, case: fn(&Arc<World>, &Outcomes)) -> Vec<String> {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 10_000;
    let outcomes = Outcomes::default();
    let orders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (met, counted) = (outcomes.clone(), Arc::clone(&orders));
    model.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let world = Arc::new(World::boot());
        let met = met.clone();
        // Loom's first thread has a small stack of its own.
        start(&world.clone(), move |_| {
            case(&world, &met);
            assert_eq!(world.core.outstanding(), 0);
            assert!(world.core.invariants());
        })
        .join()
        .expect("the case");
    });
    println!(
        "{} orders",
        orders.load(std::sync::atomic::Ordering::Relaxed)
    );
    let all = outcomes.0.lock().expect("no thread has panicked");
    all.iter().cloned().collect()
}
