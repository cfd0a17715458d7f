// SPDX-License-Identifier: BSD-2-Clause
//! Putting processes back that were taken apart elsewhere, on a kernel that has others already.
//!
//! Nothing keeps its number: process and thread ids, handles, files, pipes, address spaces are
//! new, and whoever restores translates. The prison is suspended while this goes on, so nothing
//! runs; its resumption starts every clock where it stood. What takes turns is put back in the
//! order of [`Thread::turn`].
//!
//! On an error nothing was added; what was added before is undone by draining the prison.

use super::Kern;
use super::file::{File, FileKind, Filedesc};
use super::hooks::Hooks;
use super::pipe::Pipe;
use super::proc::ProcState;
use super::proc::{
    Interrupt, Itimer, Pgrp, Place, Proc, Session, SigAction, SigQueue, Thread, Ucred,
};
use super::sleep::WaitState;
use super::types::{FileId, Pid, PipeId, ProcId, SigSet, SyscallFrame, Tid, VmId};
use crate::errno::Errno;
use crate::guest::Regs;
use crate::time::Duration;
use crate::vm::{Objects, Vmspace};
use std::collections::BTreeMap;

/// A process to be put back. Ids in it are this kernel's.
#[derive(Clone, Debug)]
pub struct ProcSeed {
    /// Its id, had by [`super::restore_ids`]; `None` for the next free one.
    pub pid: Option<Pid>,
    /// `p_comm`
    pub comm: String,
    /// Its parent, restored before.
    pub parent: ProcId,
    /// Who gets its children; `None` for the parent's own reaper, or the parent if it is one.
    pub reaper: Option<ProcId>,
    /// `p_reapsubtree`; `None` for what its parent and its reaper make of it.
    pub reapsubtree: Option<Pid>,
    /// Whether it is a reaper itself.
    pub is_reaper: bool,
    /// Its group; `None` makes a group of its own id in the session, or where there is none, a
    /// session too.
    pub pgrp: Option<Pid>,
    /// Its session, where it leads a new group in it.
    pub session: Option<Pid>,
    /// Its credentials, in a suspended prison.
    pub ucred: Ucred,
    /// Its address space; it takes over one reference.
    pub vm: VmId,
    /// Its descriptors; it takes over their references.
    pub fds: Filedesc,
    /// What it does with signals.
    pub sigacts: BTreeMap<i32, SigAction>,
    /// Signals that wait.
    pub sigqueue: SigQueue,
    /// Exit value and signal, where it is a zombie.
    pub zombie: Option<(i32, i32)>,
    /// Stopped by this signal; whether that was reported.
    pub stopped: Option<(i32, bool)>,
    /// A continuation is to be reported.
    pub continued: bool,
    /// Its parent sleeps in vfork.
    pub ppwait: bool,
    /// It has executed a program since it was forked.
    pub execed: bool,
    /// What its timer has left, and its interval.
    pub itimer: Option<(Duration, Duration)>,
    /// How long it ran.
    pub runtime: Duration,
}

/// A thread to be put back. Ids in its frame's arguments and its wait state are this kernel's.
#[derive(Clone, Debug)]
pub struct ThreadSeed {
    /// Its id, had by [`super::restore_ids`]; `None` for the next free one.
    pub tid: Option<Tid>,
    /// Its registers.
    pub regs: Regs,
    /// The call it is in.
    pub frame: Option<SyscallFrame>,
    /// What it sleeps on, with [`WaitState::frozen`] for its deadline.
    pub wait: Option<WaitState>,
    /// Whether it sleeps, or was woken and has not looked again.
    pub asleep: bool,
    /// Its sleep was cut short.
    pub abort: Option<Interrupt>,
    /// Blocked signals.
    pub sigmask: SigSet,
    /// Signals for this thread alone.
    pub sigqueue: SigQueue,
    /// The mask to return to after sigsuspend.
    pub oldsigmask: Option<SigSet>,
    /// Instructions of its quantum it has used.
    pub quantum_used: u64,
    /// How long what it has executed still takes.
    pub busy: Duration,
    /// The processor that it keeps from others, if that is free.
    pub oncpu: Option<usize>,
}

impl Thread {
    /// Its turn: smaller is earlier, among sleepers and among those that are ready. `None` while
    /// its process is stopped.
    pub fn turn(&self) -> Option<u64> {
        match self.place {
            _ if self.asleep => self.wait.as_ref().map(|wait| wait.turn),
            Place::Queue(turn) | Place::Cpu(_, turn) => Some(turn),
            Place::Nowhere => None,
        }
    }

    /// The thread of a suspended prison, as it is to be put back elsewhere; its ids are still this
    /// kernel's.
    pub fn seed(&self) -> ThreadSeed {
        ThreadSeed {
            tid: None,
            regs: self.regs,
            frame: self.frame,
            wait: self.wait.clone(),
            asleep: self.asleep,
            abort: self.abort,
            sigmask: self.sigmask,
            sigqueue: self.sigqueue.clone(),
            oldsigmask: self.oldsigmask,
            quantum_used: self.quantum_used,
            busy: self.frozen.unwrap_or(Duration::ZERO),
            oncpu: match self.place {
                Place::Cpu(cpu, _) => Some(cpu),
                Place::Queue(_) | Place::Nowhere => None,
            },
        }
    }
}

impl Kern {
    /// The objects behind all memory, to fill those of a restored address space.
    pub fn objects(&mut self) -> &mut Objects {
        &mut self.objects
    }

    /// Adds an address space, with the reference of one process.
    pub fn restore_vmspace(&mut self, space: Vmspace) -> VmId {
        let id = VmId(self.unique());
        self.vmspaces.insert(id, space);
        id
    }

    /// Another process shares the address space.
    pub fn share_vmspace(&mut self, vm: VmId) {
        self.hold_vm(vm);
    }

    /// Adds a pipe.
    pub fn restore_pipe(&mut self, pipe: Pipe) -> PipeId {
        let id = PipeId(self.unique());
        self.pipes.insert(id, pipe);
        id
    }

    /// Adds an open file that `refs` descriptors are going to name.
    pub fn restore_file(&mut self, kind: FileKind, nonblock: bool, refs: u32) -> FileId {
        let id = FileId(self.unique());
        self.files.insert(
            id,
            File {
                refs,
                kind,
                nonblock,
            },
        );
        id
    }

    /// Adds a process without threads; raises `process_fork`.
    ///
    /// # Errors
    /// `ESRCH` where parent, group or session is missing; `EINVAL` where the prison is not
    /// suspended; `EAGAIN` where there are too many.
    pub fn restore_proc(&mut self, hooks: &mut dyn Hooks, seed: ProcSeed) -> Result<ProcId, Errno> {
        if !self.prison_suspended(seed.ucred.prison) {
            return Err(Errno::EINVAL);
        }
        if self.procs.len() >= self.config.maxproc {
            return Err(Errno::EAGAIN);
        }
        let parent = self.procs.get(&seed.parent).ok_or(Errno::ESRCH)?;
        let parents_reaper = if parent.is_reaper {
            parent.id
        } else {
            parent.reaper
        };
        let parents_subtree = parent.reapsubtree;
        let reaper = seed.reaper.unwrap_or(parents_reaper);
        let missing_pgrp = seed.pgrp.is_some_and(|id| !self.pgrps.contains_key(&id));
        let missing_session = seed
            .session
            .is_some_and(|id| !self.sessions.contains_key(&id));
        if missing_pgrp || missing_session || !self.procs.contains_key(&reaper) {
            return Err(Errno::ESRCH);
        }
        let pid = match seed.pid {
            Some(pid) => pid,
            None => self.find_pid().ok_or(Errno::EAGAIN)?,
        };
        let id = ProcId(self.unique());
        let pgrp = match seed.pgrp {
            Some(pgrp) => pgrp,
            None => self.restore_pgrp(id, pid, seed.session),
        };
        let (xexit, mut xsig) = seed.zombie.unwrap_or_default();
        if let Some((signo, _)) = seed.stopped {
            xsig = signo;
        }
        let itimer = seed
            .itimer
            .map_or(Itimer::default(), |(left, interval)| Itimer {
                callout: None,
                frozen: Some(left),
                interval,
                order: 0,
            });
        let reapsubtree = match seed.reapsubtree {
            Some(head) => head,
            None if reaper == seed.parent => pid,
            None => parents_subtree,
        };
        let state = if seed.zombie.is_some() {
            ProcState::Zombie
        } else {
            ProcState::Normal
        };
        self.link_proc(Proc {
            id,
            pid,
            comm: seed.comm,
            state,
            parent: seed.parent,
            children: Vec::new(),
            reaper,
            reapsubtree,
            is_reaper: seed.is_reaper,
            pgrp,
            ucred: seed.ucred,
            vm: seed.vm,
            fds: seed.fds,
            threads: Vec::new(),
            sigacts: seed.sigacts,
            sigqueue: seed.sigqueue,
            stopped: seed.stopped.is_some(),
            waited: seed.stopped.is_some_and(|(_, waited)| waited),
            continued: seed.continued,
            ppwait: seed.ppwait,
            wexit: seed.zombie.is_some(),
            execed: seed.execed,
            xexit,
            xsig,
            itimer,
            runtime: seed.runtime,
        });
        hooks.process_fork(self, seed.parent, id);
        Ok(id)
    }

    /// A group that the process leads, in the session or in a new one that it leads too.
    fn restore_pgrp(&mut self, leader: ProcId, pid: Pid, session: Option<Pid>) -> Pid {
        let sid = session.unwrap_or(pid);
        let entry = self.sessions.entry(sid).or_insert(Session {
            sid,
            leader: Some(leader),
            groups: 0,
        });
        entry.groups += 1;
        self.pgrps.insert(
            pid,
            Pgrp {
                id: pid,
                session: sid,
                members: Vec::new(),
            },
        );
        pid
    }

    /// Adds a thread to a restored process; it stands still until its prison is resumed. Raises
    /// `thread_ctor`.
    ///
    /// # Errors
    /// `ESRCH` where there is no such process or it is a zombie; `EAGAIN` where no id is free.
    pub fn restore_thread(
        &mut self,
        hooks: &mut dyn Hooks,
        p: ProcId,
        seed: ThreadSeed,
    ) -> Result<Tid, Errno> {
        let alive = self.procs.get(&p).is_some_and(|proc| !proc.is_zombie());
        if !alive || (seed.asleep && seed.wait.is_none()) {
            return Err(Errno::ESRCH);
        }
        let tid = match seed.tid {
            Some(tid) => tid,
            None => self.find_tid().ok_or(Errno::EAGAIN)?,
        };
        self.add_thread(tid, p, seed.regs, seed.sigmask);
        let turn = self.unique();
        let mut wait = seed.wait;
        if let Some(wait) = &mut wait {
            wait.turn = turn;
            wait.callout = None;
            if seed.asleep {
                for &chan in &wait.chans {
                    self.sleepq.entry(chan).or_default().insert(turn, tid);
                }
            }
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.frame = seed.frame;
            thread.wait = wait;
            thread.asleep = seed.asleep;
            thread.abort = seed.abort;
            thread.sigqueue = seed.sigqueue;
            thread.oldsigmask = seed.oldsigmask;
            thread.quantum_used = seed.quantum_used;
            thread.frozen = Some(seed.busy);
        }
        hooks.thread_ctor(self, tid);
        self.setrunnable(tid);
        if let Some(cpu) = seed.oncpu {
            self.take_cpu(tid, cpu);
        }
        Ok(tid)
    }
}

impl Kern {
    /// Counts ids, handles and turns on as if `processes` processes had run here already, so that
    /// nothing on this kernel has the numbers that it has on another.
    pub fn populate(&mut self, processes: u32) {
        let count = i32::try_from(processes).unwrap_or(i32::MAX / 2);
        self.lastpid = self.lastpid.saturating_add(count) % self.config.pid_max;
        self.lasttid = self.lasttid.saturating_add(count);
        for _ in 0..processes {
            self.unique();
        }
    }
}
