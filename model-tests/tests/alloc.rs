// SPDX-License-Identifier: BSD-2-Clause
//! The core and memory: nothing is allocated or freed while its state is locked, and a failed
//! allocation at any site leaves everything as it was.
//!
//! A test binary of its own, since it replaces the global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use model_tests::fake_kernel::FakeKernel;
use model_tests::host_lock::{Context, HostLocks, OsThreads, Watched};
use vpscore::collections::NoMemory;
use vpscore::instance::{Birth, Name};
use vpscore::limits::{PID_MAX, PID_MAX_LEAST};
use vpscore::state::{AttachError, Config, Core, ForkError, ManageError, ThreadError};
use vpscore::types::{HostId, InstanceId, ProcHandle};

type Locks = Watched<HostLocks, OsThreads>;

/// Whether this thread holds the core's state.
fn state_held() -> bool {
    OsThreads::held(Cell::get).state
}

/// The system's allocator, counted and watched, and made to fail on demand.
struct Counted;

thread_local! {
    /// Whether this thread is inside the core, and its memory therefore watched.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// Allocations left until one fails; `None` for never.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    /// Allocations and frees made under the state lock.
    static UNDER_LOCK: Cell<u64> = const { Cell::new(0) };
    /// Allocations less frees, of watched code.
    static BALANCE: Cell<i64> = const { Cell::new(0) };
}

fn watched() -> bool {
    WATCHED.with(Cell::get)
}

fn touched(balance: i64) {
    BALANCE.with(|b| b.set(b.get() + balance));
    if state_held() {
        UNDER_LOCK.with(|count| count.set(count.get() + 1));
    }
}

/// Whether the allocation at hand is the one to fail.
fn fails() -> bool {
    LEFT.with(|left| match left.get() {
        None => false,
        Some(0) => {
            left.set(None);
            true
        }
        Some(n) => {
            left.set(Some(n - 1));
            false
        }
    })
}

// SAFETY: every method hands its arguments unchanged to the system's allocator, or returns null,
// which is how an allocator says that it has none.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if watched() {
            if fails() {
                return std::ptr::null_mut();
            }
            touched(1);
        }
        // SAFETY: the caller's duties are those of the method called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if watched() {
            touched(-1);
        }
        // SAFETY: the caller's duties are those of the method called.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if watched() {
            if fails() {
                return std::ptr::null_mut();
            }
            touched(0);
        }
        // SAFETY: the caller's duties are those of the method called.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Runs `f`, with the `nth` allocation (from 0) failing; and whether one failed.
fn failing<R>(nth: Option<u64>, f: impl FnOnce() -> R) -> (R, bool) {
    LEFT.with(|left| left.set(nth));
    WATCHED.with(|watched| watched.set(true));
    let result = f();
    WATCHED.with(|watched| watched.set(false));
    let failed = nth.is_some() && LEFT.with(|left| left.take()).is_none();
    (result, failed)
}

/// What can be told apart from outside, for comparing before and after.
fn digest(core: &Core<Locks>) -> String {
    let mut text = String::new();
    let mut here = Some(InstanceId::VPS0);
    while let Some(id) = here {
        if let Some(mut report) = core.report(InstanceId::VPS0, id) {
            // A number that was picked and given back is not handed out at once again.
            report.last_pid = 0;
            text.push_str(&format!("{report:?}\n"));
        }
        for resource in [
            vpscore::racct::Resource::Nproc,
            vpscore::racct::Resource::Nthr,
        ] {
            text.push_str(&format!("{:?}\n", core.usage(id, resource)));
        }
        here = core.next_instance(InstanceId::VPS0, here.unwrap());
    }
    text.push_str(&format!("outstanding {}\n", core.outstanding()));
    text
}

/// One step of the script. Says whether memory was short; any other refusal is a mistake here.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create { below: usize },
    CreateRefused { below: usize },
    Enter { instance: usize },
    Fork { parent: usize },
    ForkAborted { parent: usize },
    Thread { proc: usize },
    Deeper { proc: usize, instance: usize },
    Restore { instance: usize, pid: i32 },
    Exit { proc: usize },
    Reap { proc: usize },
    Destroy { instance: usize },
}

/// Enough to meet every site: first leaves and later ones, first chunks and later ones, all depths.
fn script() -> Vec<Step> {
    let mut steps = vec![
        Step::CreateRefused { below: 0 },
        Step::Create { below: 0 },
        Step::Enter { instance: 1 },
        Step::Create { below: 1 },
        Step::Fork { parent: 0 },
        Step::Deeper {
            proc: 1,
            instance: 2,
        },
        Step::Thread { proc: 1 },
        Step::ForkAborted { parent: 1 },
        Step::Create { below: 2 },
        Step::Enter { instance: 3 },
    ];
    // More than a chunk of entries.
    steps.extend((0..70).map(|_| Step::Fork { parent: 1 }));
    steps.extend([
        Step::Create { below: 0 },
        Step::Restore {
            instance: 4,
            pid: 1,
        },
        Step::Restore {
            instance: 4,
            pid: 90_000,
        },
        Step::Exit { proc: 0 },
        Step::Reap { proc: 0 },
        Step::Exit { proc: 2 },
        Step::Reap { proc: 2 },
    ]);
    steps
}

struct Run {
    core: Core<Locks>,
    kernel: FakeKernel,
    instances: Vec<InstanceId>,
    procs: Vec<(ProcHandle, HostId)>,
    tids: i32,
}

/// Memory was short; the message of any other refusal.
fn short(error: &impl std::fmt::Debug, is_short: bool) {
    assert!(is_short, "refused for another reason: {error:?}");
}

impl Run {
    fn new() -> Self {
        let mut kernel = FakeKernel::new();
        let config = Config {
            procs_max: 64,
            threads_max: 256,
        };
        let core = Core::create(&mut kernel, config).unwrap();
        Self {
            core,
            kernel,
            instances: vec![InstanceId::VPS0],
            procs: Vec::with_capacity(1000),
            tids: 300_000,
        }
    }

    fn tid(&mut self) -> HostId {
        self.tids += 1;
        HostId(self.tids)
    }

    /// Does one step with the `nth` allocation failing. On success the harness's own records are
    /// brought up to date.
    fn step(&mut self, step: Step, nth: Option<u64>) -> (Result<(), ()>, bool) {
        match step {
            Step::Create { below } => self.create(below, nth),
            Step::CreateRefused { below } => {
                self.kernel.refuses = true;
                let (done, failed) = self.create(below, nth);
                self.kernel.refuses = false;
                (done, failed)
            }
            Step::Enter { instance } => {
                let (proc, host) = self.kernel.new_proc();
                let done = self.attach(proc, host, instance, nth);
                match done.0 {
                    Ok(()) => self.procs.push((proc, host)),
                    Err(()) => self.kernel.reaped(host),
                }
                done
            }
            Step::Deeper { proc, instance } => {
                let (proc, host) = self.procs[proc];
                self.attach(proc, host, instance, nth)
            }
            Step::Fork { parent } => self.fork(parent, true, nth),
            Step::ForkAborted { parent } => self.fork(parent, false, nth),
            Step::Thread { proc } => self.thread(proc, nth),
            Step::Restore { instance, pid } => self.restore(instance, pid, nth),
            Step::Exit { proc } => {
                let proc = self.procs[proc].0;
                let (core, kernel) = (&self.core, &mut self.kernel);
                let (_, failed) = failing(nth, || core.proc_exit(kernel, proc));
                (Ok(()), failed)
            }
            Step::Reap { proc } => {
                let (proc, host) = self.procs[proc];
                let (_, failed) = failing(nth, || self.core.proc_reap(proc, host, None));
                self.kernel.reaped(host);
                (Ok(()), failed)
            }
            Step::Destroy { instance } => {
                let id = self.instances[instance];
                let (core, kernel) = (&self.core, &mut self.kernel);
                let (done, failed) = failing(nth, || core.instance_destroy(kernel, id));
                done.unwrap();
                (Ok(()), failed)
            }
        }
    }

    fn create(&mut self, below: usize, nth: Option<u64>) -> (Result<(), ()>, bool) {
        let parent = self.instances[below];
        let name = format!("i{}", self.instances.len());
        let name = Name::parse(name.as_bytes()).unwrap();
        let birth = if self.instances.len() == 4 {
            Birth::Restore
        } else {
            Birth::Empty
        };
        let (core, kernel) = (&self.core, &mut self.kernel);
        let (done, failed) = failing(nth, || {
            core.instance_create(kernel, parent, name, birth, PID_MAX)
        });
        match done {
            Ok(id) => {
                self.instances.push(id);
                (Ok(()), failed)
            }
            Err(ManageError::Kernel(_)) if self.kernel.refuses => (Ok(()), failed),
            Err(error) => {
                short(&error, error == ManageError::NoMemory);
                (Err(()), failed)
            }
        }
    }

    fn attach(
        &mut self,
        proc: ProcHandle,
        host: HostId,
        instance: usize,
        nth: Option<u64>,
    ) -> (Result<(), ()>, bool) {
        let to = self.instances[instance];
        let tid = self.tid();
        let (core, kernel) = (&self.core, &mut self.kernel);
        let (done, failed) = failing(nth, || {
            let reserved = core.attach_reserve(kernel, proc, to)?;
            let _ = core.attach_commit(reserved, proc, host, tid);
            Ok(())
        });
        let done = done.map_err(|error: AttachError| {
            short(&error, error == AttachError::Refused(ForkError::NoMemory));
        });
        (done, failed)
    }

    fn fork(&mut self, parent: usize, commit: bool, nth: Option<u64>) -> (Result<(), ()>, bool) {
        let parent = self.procs[parent].0;
        let (child, host) = self.kernel.new_proc();
        let tid = self.tid();
        let (core, kernel) = (&self.core, &mut self.kernel);
        let (done, failed) = failing(nth, || {
            let reserved = core.fork_reserve(kernel, parent)?;
            if commit {
                let _ = core.fork_commit(reserved, child, host, tid);
            } else {
                core.fork_abort(reserved);
            }
            Ok(())
        });
        let done = done.map_err(|error: ForkError| short(&error, error == ForkError::NoMemory));
        if commit && done.is_ok() {
            self.procs.push((child, host));
        } else {
            self.kernel.reaped(host);
        }
        (done, failed)
    }

    fn thread(&mut self, proc: usize, nth: Option<u64>) -> (Result<(), ()>, bool) {
        let proc = self.procs[proc].0;
        let tid = self.tid();
        let (core, kernel) = (&self.core, &mut self.kernel);
        let (done, failed) = failing(nth, || {
            let reserved = core.thread_reserve(kernel, proc)?;
            core.thread_commit(reserved, proc, tid);
            core.thread_exit(tid);
            Ok(())
        });
        let done = done.map_err(|error: ThreadError| {
            short(&error, error == ThreadError::Refused(ForkError::NoMemory));
        });
        (done, failed)
    }

    fn restore(&mut self, instance: usize, pid: i32, nth: Option<u64>) -> (Result<(), ()>, bool) {
        let to = self.instances[instance];
        let (child, host) = self.kernel.new_proc();
        let tid = self.tid();
        let number = vpscore::limits::TID_MIN + pid;
        let (core, kernel) = (&self.core, &mut self.kernel);
        let (done, failed) = failing(nth, || {
            let reserved = core.proc_restore(kernel, to, &[pid], &[number])?;
            let _ = core.fork_commit(reserved, child, host, tid);
            Ok(())
        });
        let done = done.map_err(|error: ForkError| short(&error, error == ForkError::NoMemory));
        match done {
            Ok(()) => self.procs.push((child, host)),
            Err(()) => self.kernel.reaped(host),
        }
        (done, failed)
    }
}

#[test]
fn a_failed_allocation_at_any_site_leaves_no_trace() {
    let mut run = Run::new();
    let mut sites = 0;
    for step in script() {
        let mut nth = 0;
        // The step is tried with its first, second, ... allocation failing, until it meets none.
        loop {
            let before = digest(&run.core);
            let balance = BALANCE.with(Cell::get);
            let (done, failed) = run.step(step, Some(nth));
            assert!(run.core.invariants(), "{step:?} at allocation {nth}");
            if !failed {
                assert!(done.is_ok(), "{step:?} refused though nothing failed");
                break;
            }
            sites += 1;
            if done.is_ok() {
                // It went on without what it could not have.
                break;
            }
            assert_eq!(digest(&run.core), before, "{step:?} at allocation {nth}");
            let leaked = BALANCE.with(Cell::get) - balance;
            assert_eq!(leaked, 0, "{step:?} at allocation {nth} leaks");
            nth += 1;
        }
    }
    assert!(sites > 40, "the script meets {sites} sites only");
    assert_eq!(UNDER_LOCK.with(Cell::get), 0);
}

#[test]
fn nothing_is_allocated_or_freed_under_the_state_lock() {
    let mut run = Run::new();
    for step in script() {
        let (done, _) = run.step(step, None);
        done.unwrap();
        let count = UNDER_LOCK.with(Cell::get);
        assert_eq!(count, 0, "{step:?} touched the allocator under the lock");
    }
    for proc in 1..run.procs.len() {
        let alive = run.core.proc_report(run.procs[proc].0).is_some();
        if alive {
            run.step(Step::Exit { proc }, None).0.unwrap();
            run.step(Step::Reap { proc }, None).0.unwrap();
        }
    }
    for instance in [1, 4] {
        run.step(Step::Destroy { instance }, None).0.unwrap();
    }
    assert_eq!(UNDER_LOCK.with(Cell::get), 0);
    assert!(run.core.invariants());
    assert_eq!(
        run.core.next_instance(InstanceId::VPS0, InstanceId::VPS0),
        None
    );
}

#[test]
fn a_core_that_cannot_be_had_is_an_error_at_every_site() {
    let mut nth = 0;
    loop {
        let mut kernel = FakeKernel::new();
        let (core, failed) = failing(Some(nth), || {
            Core::<Locks>::create(&mut kernel, Config::DEFAULT)
        });
        if !failed {
            assert!(core.is_ok());
            break;
        }
        assert_eq!(core.err(), Some(NoMemory));
        nth += 1;
    }
    assert!(nth > 4);
    const { assert!(PID_MAX_LEAST < PID_MAX) };
}

#[test]
fn the_watch_sees_an_allocation_under_the_lock() {
    use vpscore::kpi::{Lock, LockFamily, LockRank};
    let lock: <Locks as LockFamily>::Lock<Vec<u8>> =
        Lock::create(LockRank::State, Vec::new()).unwrap();
    let (_, failed) = failing(None, || lock.write(|list| list.push(1)));
    assert!(!failed);
    assert_eq!(UNDER_LOCK.with(Cell::get), 1);
}

/// Runs `f` with each of its allocations failing in turn: every time it says so, and at last succeeds.
fn at_every_site(f: impl Fn() -> bool) {
    let mut sites = 0;
    loop {
        let (done, hit) = failing(Some(sites), &f);
        assert_eq!(done, !hit, "allocation {sites}");
        if !hit {
            break;
        }
        sites += 1;
    }
    assert!(sites > 0, "nothing was allocated");
}

#[test]
fn an_image_that_memory_is_too_short_for_is_an_error_at_every_site() {
    let bytes = model_tests::image::sample().unwrap();
    at_every_site(|| {
        let mut reader = vpscore::image::Reader::new();
        let mut input = bytes.as_slice();
        loop {
            match reader.feed(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => return reader.finish().is_ok(),
                Err(_) => return false,
            }
        }
    });
}

#[test]
fn a_migration_stream_that_memory_is_too_short_for_is_an_error_at_every_site() {
    use vpscore::collections::List;
    use vpscore::migrate::stream::{Receiver, Sender};
    let image = model_tests::image::sample().unwrap();
    let page = [7; 4096];
    at_every_site(|| {
        let mut stream = List::new();
        let mut sender = Sender::new();
        let sent =
            sender.page(&page, &mut stream).is_ok() && sender.image(&image, &mut stream).is_ok();
        let mut receiver = Receiver::new(1 << 30);
        sent && receiver.feed(stream.as_slice()).is_ok() && receiver.finish().is_ok()
    });
}

#[test]
fn a_request_that_memory_is_too_short_for_is_refused_at_every_site_and_done_at_last() {
    use vpscore::cbor::{Text, encode_to_list};
    use vpscore::ctl::{Op, Request, VERSION, serve};
    let request = encode_to_list(&Request {
        version: VERSION,
        op: Op::Create,
        path: Text::copy("a").unwrap(),
        after: None,
        pid_max: None,
    });
    let request = request.unwrap();
    let mut sites = 0;
    loop {
        let mut run = Run::new();
        let before = digest(&run.core);
        let (answer, hit) = failing(Some(sites), || {
            serve(
                &run.core,
                &mut run.kernel,
                InstanceId::VPS0,
                request.as_slice(),
            )
        });
        let made = run.core.lookup(InstanceId::VPS0, b"a").is_ok();
        if !hit {
            assert!(answer.is_ok() && made);
            break;
        }
        assert!(made || digest(&run.core) == before, "allocation {sites}");
        sites += 1;
    }
    assert!(sites > 2, "{sites}");
}
