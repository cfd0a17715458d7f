// SPDX-License-Identifier: BSD-2-Clause
//! Processes, threads, groups and sessions as data (`sys/proc.h`, 15.0).

use super::file::Filedesc;
use super::sleep::WaitState;
use super::types::{Pid, PrisonId, ProcId, SigSet, Siginfo, SyscallFrame, Tid, VmId};
use crate::guest::Regs;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Credentials (`struct ucred`), shared by all threads of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ucred {
    /// Effective user.
    pub uid: u32,
    /// Real user.
    pub ruid: u32,
    /// Saved user.
    pub svuid: u32,
    /// Effective group.
    pub gid: u32,
    /// The prison it is in.
    pub prison: PrisonId,
}

/// What a program wants done with a signal (`struct sigaction`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigAction {
    /// `SIG_DFL` (0), `SIG_IGN` (1) or the address of a handler.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u32,
    /// What is blocked while the handler runs.
    pub mask: SigSet,
}

/// Signals that wait to be delivered, with what they bring; one of each number.
pub type SigQueue = BTreeMap<i32, Siginfo>;

/// Where a process is in its life (`p_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcState {
    /// `PRS_NORMAL`
    Normal,
    /// `PRS_ZOMBIE`: exited and not yet waited for.
    Zombie,
}

/// A real-time interval timer (`p_realtimer`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Itimer {
    /// The callout that fires next.
    pub(crate) callout: Option<(Instant, u64)>,
    /// What was left when the prison was suspended.
    pub(crate) frozen: Option<Duration>,
    /// The time between further firings; zero for a single one.
    pub(crate) interval: Duration,
    /// Its turn among what is due at the same moment; a suspension does not change it.
    pub(crate) order: u64,
}

/// A process (`struct proc`).
#[derive(Clone, Debug)]
pub struct Proc {
    /// What the kernel knows it by.
    pub(crate) id: ProcId,
    /// `p_pid`.
    pub(crate) pid: Pid,
    /// `p_comm`.
    pub(crate) comm: String,
    pub(crate) state: ProcState,
    /// `p_pptr`.
    pub(crate) parent: ProcId,
    /// `p_children`, the newest first.
    pub(crate) children: Vec<ProcId>,
    /// `p_reaper`: who gets the children when it exits.
    pub(crate) reaper: ProcId,
    /// `p_reapsubtree`: the id of the reaper's child it descends from.
    pub(crate) reapsubtree: Pid,
    /// `P_TREE_REAPER`.
    pub(crate) is_reaper: bool,
    /// `p_pgrp`, by its id.
    pub(crate) pgrp: Pid,
    pub(crate) ucred: Ucred,
    pub(crate) vm: VmId,
    pub(crate) fds: Filedesc,
    /// `p_threads`, the first one first.
    pub(crate) threads: Vec<Tid>,
    /// `ps_sigact`: what is not the default.
    pub(crate) sigacts: BTreeMap<i32, SigAction>,
    pub(crate) sigqueue: SigQueue,
    /// `P_STOPPED_SIG`.
    pub(crate) stopped: bool,
    /// `P_WAITED`: the stop was reported.
    pub(crate) waited: bool,
    /// `P_CONTINUED`: a continuation is to be reported.
    pub(crate) continued: bool,
    /// `P_PPWAIT`: its parent sleeps in vfork.
    pub(crate) ppwait: bool,
    /// `P_WEXIT`: it is exiting.
    pub(crate) wexit: bool,
    /// `P_EXEC`: it has executed a program since it was forked.
    pub(crate) execed: bool,
    /// `p_xexit`.
    pub(crate) xexit: i32,
    /// `p_xsig`: the signal it died or stopped of; with [`WCOREFLAG`] where it left a core.
    pub(crate) xsig: i32,
    pub(crate) itimer: Itimer,
    /// Virtual time spent running.
    pub(crate) runtime: Duration,
}

/// Set in `xsig` where the process left a core.
pub const WCOREFLAG: i32 = 0o200;

impl Proc {
    /// What the kernel knows it by.
    pub fn id(&self) -> ProcId {
        self.id
    }

    /// Its process id in the kernel's own space.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The name of its program.
    pub fn comm(&self) -> &str {
        &self.comm
    }

    /// Its parent.
    pub fn parent(&self) -> ProcId {
        self.parent
    }

    /// Its children, the newest first.
    pub fn children(&self) -> &[ProcId] {
        &self.children
    }

    /// The id of its process group.
    pub fn pgrp(&self) -> Pid {
        self.pgrp
    }

    /// Its credentials.
    pub fn ucred(&self) -> &Ucred {
        &self.ucred
    }

    /// Whether it has exited and was not yet waited for.
    pub fn is_zombie(&self) -> bool {
        self.state == ProcState::Zombie
    }

    /// Its threads.
    pub fn threads(&self) -> &[Tid] {
        &self.threads
    }

    /// Exit value, and the signal it died of or 0.
    pub fn exit_status(&self) -> (i32, i32) {
        (self.xexit, self.xsig)
    }

    /// Virtual time it ran.
    pub fn runtime(&self) -> Duration {
        self.runtime
    }

    /// What is to be done with the signal.
    pub(crate) fn action(&self, signo: i32) -> SigAction {
        self.sigacts.get(&signo).copied().unwrap_or_default()
    }
}

/// Where a thread that can run waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: asleep, stopped or suspended.
    Nowhere,
    /// On the run queue, with its turn.
    Queue(u64),
    /// On a processor, its quantum not used up. The turn is that it would have on the queue.
    Cpu(usize, u64),
}

/// Why a sleep was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// `EINTR`
    Eintr,
    /// `ERESTART`: the call is made again after the handler.
    Restart,
}

/// A thread (`struct thread`).
#[derive(Clone, Debug)]
pub struct Thread {
    pub(crate) tid: Tid,
    pub(crate) proc: ProcId,
    pub(crate) regs: Regs,
    /// The call it is in.
    pub(crate) frame: Option<SyscallFrame>,
    /// What it sleeps on, or slept on until it was woken and has not yet run again.
    pub(crate) wait: Option<WaitState>,
    /// `TD_ON_SLEEPQ`
    pub(crate) asleep: bool,
    pub(crate) place: Place,
    /// The sleep was cut short by a signal.
    pub(crate) abort: Option<Interrupt>,
    pub(crate) sigmask: SigSet,
    /// Signals for this thread alone.
    pub(crate) sigqueue: SigQueue,
    /// `td_oldsigmask` with `TDP_OLDMASK`: the mask to return to after sigsuspend.
    pub(crate) oldsigmask: Option<SigSet>,
    /// Instructions of its quantum it has used.
    pub(crate) quantum_used: u64,
    /// When what it has executed is over; it runs no earlier.
    pub(crate) ready_at: Instant,
    /// What was left until then when its prison was suspended.
    pub(crate) frozen: Option<Duration>,
}

impl Thread {
    /// Its id.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Its process.
    pub fn proc(&self) -> ProcId {
        self.proc
    }

    /// Its registers.
    pub fn regs(&self) -> &Regs {
        &self.regs
    }

    /// The call it is in.
    pub fn frame(&self) -> Option<&SyscallFrame> {
        self.frame.as_ref()
    }

    /// What it sleeps on.
    pub fn wait(&self) -> Option<&WaitState> {
        self.wait.as_ref().filter(|_| self.asleep)
    }
}

/// A process group (`struct pgrp`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pgrp {
    /// `pg_id`.
    pub id: Pid,
    /// The session, by its id.
    pub session: Pid,
    /// `pg_members`, the newest first; zombies are among them.
    pub members: Vec<ProcId>,
}

/// A session (`struct session`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `s_sid`.
    pub sid: Pid,
    /// `s_leader`; `None` when it has exited.
    pub leader: Option<ProcId>,
    /// Groups in it.
    pub groups: u32,
}
