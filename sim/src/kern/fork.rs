// SPDX-License-Identifier: BSD-2-Clause
//! New processes and threads (`sys/kern/kern_fork.c`, 15.0).

use super::Kern;
use super::file::Filedesc;
use super::hooks::Hooks;
use super::proc::{Itimer, Pgrp, Place, Proc, ProcState, Session, SigQueue, Thread, Ucred};
use super::trace::TraceItem;
use super::types::{Pid, ProcId, SigSet, Tid, VmId};
use crate::errno::Errno;
use crate::guest::Regs;
use crate::time::Duration;
use crate::vm::Vmspace;
use std::collections::BTreeMap;

impl Kern {
    /// `fork1`: a child of the thread's process, with one thread that is a copy of this one. With
    /// `share_vm` (vfork) they share the address space.
    ///
    /// # Errors
    /// `EAGAIN` where there are `kern.maxproc` processes or no id is free.
    pub(crate) fn fork1(
        &mut self,
        hooks: &mut dyn Hooks,
        td: Tid,
        share_vm: bool,
    ) -> Result<ProcId, Errno> {
        if self.procs.len() >= self.config.maxproc {
            return Err(Errno::EAGAIN);
        }
        let p = self.proc_of(td).ok_or(Errno::ESRCH)?;
        let (pid, tid) = self.find_pid().zip(self.find_tid()).ok_or(Errno::EAGAIN)?;
        let parent = self.procs.get(&p).ok_or(Errno::ESRCH)?.clone();
        let vm = if share_vm {
            self.hold_vm(parent.vm);
            parent.vm
        } else {
            self.fork_vm(parent.vm)?
        };
        let id = ProcId(self.unique());
        let (reaper, reapsubtree) = if parent.is_reaper {
            (p, pid)
        } else {
            (parent.reaper, parent.reapsubtree)
        };
        let child = Proc {
            id,
            pid,
            state: ProcState::Normal,
            parent: p,
            children: Vec::new(),
            reaper,
            reapsubtree,
            is_reaper: false,
            vm,
            fds: self.fdcopy(&parent.fds),
            threads: Vec::new(),
            sigqueue: SigQueue::new(),
            stopped: false,
            waited: false,
            continued: false,
            ppwait: share_vm,
            wexit: false,
            execed: false,
            xexit: 0,
            xsig: 0,
            itimer: Itimer::default(),
            runtime: Duration::ZERO,
            ..parent
        };
        self.link_proc(child);
        self.copy_thread(td, tid, id);
        hooks.thread_ctor(self, tid);
        self.trace.push(TraceItem::Fork {
            parent: p,
            child: id,
        });
        hooks.process_fork(self, p, id);
        self.setrunnable(tid);
        Ok(id)
    }

    /// The child's thread: as the parent's, in a fork that returns 0 and 1 (`cpu_fork`).
    fn copy_thread(&mut self, from: Tid, tid: Tid, proc: ProcId) {
        let Some(thread) = self.threads.get(&from) else {
            return;
        };
        let mut regs = thread.regs;
        let [r0, r1, ..] = &mut regs.r;
        (*r0, *r1) = (0, 1);
        regs.carry = false;
        let sigmask = thread.sigmask;
        self.add_thread(tid, proc, regs, sigmask);
    }

    /// A thread that is ready, without a turn yet.
    pub(crate) fn add_thread(&mut self, tid: Tid, proc: ProcId, regs: Regs, sigmask: SigSet) {
        let thread = Thread {
            tid,
            proc,
            regs,
            frame: None,
            wait: None,
            asleep: false,
            place: Place::Nowhere,
            abort: None,
            sigmask,
            sigqueue: SigQueue::new(),
            oldsigmask: None,
            quantum_used: 0,
            ready_at: self.now,
            frozen: None,
        };
        self.threads.insert(tid, thread);
        if let Some(proc) = self.procs.get_mut(&proc) {
            proc.threads.push(tid);
        }
    }

    /// Enters a process into the tables, its parent's children and its group.
    pub(crate) fn link_proc(&mut self, proc: Proc) {
        let (id, pid, parent, pgrp) = (proc.id, proc.pid, proc.parent, proc.pgrp);
        self.pids.insert(pid, id);
        self.procs.insert(id, proc);
        if parent != id
            && let Some(parent) = self.procs.get_mut(&parent)
        {
            parent.children.insert(0, id);
        }
        if let Some(pgrp) = self.pgrps.get_mut(&pgrp) {
            pgrp.members.insert(0, id);
        }
    }

    /// A process of the kernel's own making, child of init, in a session of its own and with an
    /// empty address space; it has no thread yet.
    ///
    /// # Errors
    /// `EAGAIN` as fork.
    pub(crate) fn make_proc(&mut self, comm: &str, ucred: Ucred) -> Result<ProcId, Errno> {
        if self.procs.len() >= self.config.maxproc {
            return Err(Errno::EAGAIN);
        }
        let pid = self.find_pid().ok_or(Errno::EAGAIN)?;
        let id = ProcId(self.unique());
        let vm = VmId(self.unique());
        self.vmspaces.insert(vm, Vmspace::new(self.config.vmem_max));
        let init = if self.procs.is_empty() {
            id
        } else {
            self.initproc
        };
        self.sessions.insert(
            pid,
            Session {
                sid: pid,
                leader: Some(id),
                groups: 1,
            },
        );
        self.pgrps.insert(
            pid,
            Pgrp {
                id: pid,
                session: pid,
                members: Vec::new(),
            },
        );
        self.link_proc(Proc {
            id,
            pid,
            comm: comm.into(),
            state: ProcState::Normal,
            parent: init,
            children: Vec::new(),
            reaper: init,
            reapsubtree: if init == id { Pid(0) } else { pid },
            is_reaper: init == id,
            pgrp: pid,
            ucred,
            vm,
            fds: Filedesc::default(),
            threads: Vec::new(),
            sigacts: BTreeMap::new(),
            sigqueue: SigQueue::new(),
            stopped: false,
            waited: false,
            continued: false,
            ppwait: false,
            wexit: false,
            execed: false,
            xexit: 0,
            xsig: 0,
            itimer: Itimer::default(),
            runtime: Duration::ZERO,
        });
        Ok(id)
    }

    /// The kernel's init has no thread: it is only a parent.
    pub(crate) fn make_init(&mut self) -> ProcId {
        // The first process of an empty table cannot be refused.
        self.make_proc("init", Ucred::default())
            .unwrap_or(ProcId(0))
    }

    fn fork_vm(&mut self, vm: VmId) -> Result<VmId, Errno> {
        let id = VmId(self.unique());
        let space = self.vmspaces.get_mut(&vm).ok_or(Errno::ESRCH)?;
        let child = space.fork(&mut self.objects);
        self.vmspaces.insert(id, child);
        Ok(id)
    }

    pub(crate) fn hold_vm(&mut self, vm: VmId) {
        if let Some(space) = self.vmspaces.get_mut(&vm) {
            space.refs += 1;
        }
    }

    /// Gives up a process's hold on its address space (`vmspace_exit`).
    pub(crate) fn rele_vm(&mut self, vm: VmId) {
        let Some(space) = self.vmspaces.get_mut(&vm) else {
            return;
        };
        space.refs = space.refs.saturating_sub(1);
        if space.refs == 0 {
            space.free(&mut self.objects);
            self.vmspaces.remove(&vm);
        }
    }
}
