// SPDX-License-Identifier: BSD-2-Clause
//! The emulated kernel: processes, threads, signals, descriptors, system calls.
//!
//! It owns mechanism: who exists, who runs, who waits for what. It behaves as FreeBSD 15.0 does,
//! raises [`hooks`] where FreeBSD has them, and does not know what is behind them. Its time is the
//! world's: [`Kern::run_slice`] runs one thread from one trap up to the next and says how much
//! virtual time that took, so every system call happens at an exact moment of the world.
//!
//! # Invariants
//! * I1: a blocked system call is data ([`sleep::WaitState`]): a thread is its registers, its
//!   frame, its wait state, its masks and queues, never a host stack.
//! * I2: a thread is in exactly one place: asleep, on the run queue, on a processor, or ready in a
//!   stopped process. A suspended prison's threads keep their places and are passed over.
//! * I3: a process is among its parent's children, and in the group that it names; a group is in
//!   the session that it names; the counts agree.
//! * I4: ids of processes, groups, sessions and reaper subtrees are not given out while any of
//!   these carries them.
//! * I5: the same calls at the same moments give the same trace.
//!
//! # Failure modes
//! A refused call changes nothing. A program can make its own process fail, never the kernel:
//! whatever the registers and memory hold, calls end in an errno or a signal.

pub mod callout;
pub mod debug;
pub mod exec;
pub mod exit;
pub mod file;
pub mod fork;
pub mod hooks;
pub mod id;
pub mod net;
pub mod pgrp;
pub mod pipe;
pub mod prison;
pub mod proc;
pub mod restore;
pub mod restore_ids;
pub mod sched;
pub mod sig;
pub mod sleep;
pub mod socklayer;
pub mod syscall;
pub mod trace;
pub mod types;

mod invariants;
mod sendsig;

pub use invariants::Broken;

use crate::guest::Program;
use crate::net::stack::InetVnet;
use crate::time::{Duration, Instant};
use crate::vm::{Objects, View, Vmspace};
use callout::Callout;
use file::File;
use hooks::Hooks;
use pipe::Pipe;
use prison::Prison;
use proc::{Pgrp, Proc, Session, Thread};
use sleep::Chan;
use std::collections::BTreeMap;
use std::sync::Arc;
use trace::TraceItem;
use types::{FileId, Pid, PipeId, PrisonId, ProcId, Tid, VmId, VnetId};

/// What a kernel is built with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Processors.
    pub ncpu: usize,
    /// Instructions a thread may execute before the next one gets its turn.
    pub quantum: u64,
    /// Virtual nanoseconds per instruction; 0 only where whoever runs the kernel bounds how many slices there
    /// are in one moment.
    pub insn_ns: u64,
    /// Virtual nanoseconds per system call; 0 as for instructions.
    pub syscall_ns: u64,
    /// `kern.pid_max`.
    pub pid_max: i32,
    /// `kern.maxproc`, zombies included.
    pub maxproc: usize,
    /// Descriptors of one process at most (`RLIMIT_NOFILE`).
    pub nofile: usize,
    /// Bytes of one address space at most (`RLIMIT_VMEM`).
    pub vmem_max: u64,
    /// Pages of memory.
    pub pages: usize,
    /// Time of day at boot, in nanoseconds since 1970.
    pub boottime: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ncpu: 2,
            quantum: 100_000,
            insn_ns: 1,
            syscall_ns: 200,
            pid_max: 99_999,
            maxproc: 6_000,
            nofile: 1_024,
            vmem_max: 1 << 28,
            pages: 1 << 18,
            boottime: 1_700_000_000_000_000_000,
        }
    }
}

/// A processor.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    /// When it has finished what it has executed.
    pub(crate) busy_until: Instant,
    /// The thread that keeps it.
    pub(crate) current: Option<Tid>,
}

/// A kernel.
pub struct Kern {
    pub(crate) config: Config,
    /// The moment of what is going on.
    pub(crate) now: Instant,
    pub(crate) procs: BTreeMap<ProcId, Proc>,
    pub(crate) pids: BTreeMap<Pid, ProcId>,
    pub(crate) threads: BTreeMap<Tid, Thread>,
    pub(crate) pgrps: BTreeMap<Pid, Pgrp>,
    pub(crate) sessions: BTreeMap<Pid, Session>,
    pub(crate) prisons: BTreeMap<PrisonId, Prison>,
    pub(crate) vmspaces: BTreeMap<VmId, Vmspace>,
    pub(crate) objects: Objects,
    pub(crate) files: BTreeMap<FileId, File>,
    pub(crate) pipes: BTreeMap<PipeId, Pipe>,
    /// The network stacks, by vnet.
    pub vnets: BTreeMap<VnetId, InetVnet>,
    pub(crate) programs: BTreeMap<String, Arc<Program>>,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) runq: BTreeMap<u64, Tid>,
    pub(crate) sleepq: BTreeMap<Chan, BTreeMap<u64, Tid>>,
    pub(crate) callouts: BTreeMap<(Instant, u64), Callout>,
    pub(crate) trace: Vec<TraceItem>,
    pub(crate) lastpid: i32,
    pub(crate) lasttid: i32,
    /// The next number for handles, turns and callouts; they are never used twice.
    next: u64,
    initproc: ProcId,
}

impl Kern {
    /// A kernel that has booted: the host's prison, and an init that is only there to inherit
    /// orphans, which it reaps at once.
    pub fn new(config: Config) -> Self {
        let ncpu = config.ncpu.max(1);
        let mut kern = Self {
            now: Instant::BOOT,
            procs: BTreeMap::new(),
            pids: BTreeMap::new(),
            threads: BTreeMap::new(),
            pgrps: BTreeMap::new(),
            sessions: BTreeMap::new(),
            prisons: BTreeMap::from([(PrisonId::HOST, Prison::host())]),
            vmspaces: BTreeMap::new(),
            objects: Objects::new(config.pages),
            files: BTreeMap::new(),
            pipes: BTreeMap::new(),
            vnets: BTreeMap::new(),
            programs: BTreeMap::new(),
            cpus: vec![
                Cpu {
                    busy_until: Instant::BOOT,
                    current: None,
                };
                ncpu
            ],
            runq: BTreeMap::new(),
            sleepq: BTreeMap::new(),
            callouts: BTreeMap::new(),
            trace: Vec::new(),
            lastpid: 0,
            lasttid: id::NO_PID,
            next: 1,
            initproc: ProcId(0),
            config,
        };
        kern.initproc = kern.make_init();
        kern
    }

    /// The process.
    pub fn proc(&self, p: ProcId) -> Option<&Proc> {
        self.procs.get(&p)
    }

    /// All processes, zombies too, the oldest first.
    pub fn procs(&self) -> impl Iterator<Item = &Proc> {
        self.procs.values()
    }

    /// The process with this id, a zombie too (`pfind_any`).
    pub fn pfind(&self, pid: Pid) -> Option<ProcId> {
        self.pids.get(&pid).copied()
    }

    /// The thread.
    pub fn thread(&self, tid: Tid) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// The process of a thread.
    pub fn proc_of(&self, tid: Tid) -> Option<ProcId> {
        self.threads.get(&tid).map(|td| td.proc)
    }

    /// The process group with this id.
    pub fn pgfind(&self, id: Pid) -> Option<&Pgrp> {
        self.pgrps.get(&id)
    }

    /// The session of a process, by its id.
    pub fn session_of(&self, p: ProcId) -> Option<Pid> {
        let pgrp = self.procs.get(&p)?.pgrp;
        self.pgrps.get(&pgrp).map(|pgrp| pgrp.session)
    }

    /// The kernel's init, which inherits orphans of the host.
    pub fn initproc(&self) -> ProcId {
        self.initproc
    }

    /// The moment of the call that is being served.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the kernel was built with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Adds a program to those that exec finds, in place of one with the same path.
    pub fn install_program(&mut self, path: &str, program: Program) {
        self.programs.insert(path.into(), Arc::new(program));
    }

    /// Takes what has happened since the last call.
    pub fn take_trace(&mut self) -> Vec<TraceItem> {
        std::mem::take(&mut self.trace)
    }

    /// Memory of a process, as it or a debugger sees it.
    pub fn view(&mut self, p: ProcId) -> Option<View<'_>> {
        let vm = self.procs.get(&p)?.vm;
        let space = self.vmspaces.get_mut(&vm)?;
        let objects = &mut self.objects;
        Some(View { space, objects })
    }

    /// A number that was never used for anything.
    pub(crate) fn unique(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Whether the privilege is held (`priv_check_cred`): by the super-user, unless a hook refuses.
    pub fn priv_check(&self, hooks: &mut dyn Hooks, p: ProcId, privilege: i32) -> bool {
        let root = self.procs.get(&p).is_some_and(|p| p.ucred.uid == 0);
        root && hooks.priv_check(self, p, privilege).is_ok()
    }

    /// The latest moment at which nothing will have happened unless something comes from outside:
    /// when the next thread can run or the next callout fires.
    pub fn next_event(&self) -> Option<Instant> {
        let events = [
            self.next_slice(),
            self.next_callout(),
            self.next_net_callout(),
        ];
        events.into_iter().flatten().min()
    }

    /// What is left until a moment.
    pub(crate) fn left(&self, until: Instant) -> Duration {
        until.since(self.now)
    }
}

#[cfg(test)]
mod tests;
