// SPDX-License-Identifier: BSD-2-Clause
//! The end of processes, and waiting for it (`sys/kern/kern_exit.c`, 15.0).

use super::Kern;
use super::hooks::Hooks;
use super::proc::{ProcState, WCOREFLAG};
use super::sleep::Chan;
use super::trace::TraceItem;
use super::types::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, Pid, ProcId, SIGCHLD, SIGCONT,
    Siginfo, Tid,
};
use crate::errno::Errno;

/// `WNOHANG`: do not sleep.
pub const WNOHANG: i32 = 1;
/// `WUNTRACED`: report stopped children too.
pub const WUNTRACED: i32 = 2;
/// `WCONTINUED`: report continued children too.
pub const WCONTINUED: i32 = 4;
/// `WNOWAIT`: leave the child as it is.
pub const WNOWAIT: i32 = 8;

/// `SA_NOCLDWAIT`: children do not become zombies.
pub const SA_NOCLDWAIT: u32 = 0x20;
/// `SA_NOCLDSTOP`: no signal for stopped children.
pub const SA_NOCLDSTOP: u32 = 0x8;

/// What wait4 found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A child with its status word; it was reaped if it was a zombie.
    Child(Pid, i32),
    /// There are children, but none with something to report.
    Nothing,
}

impl Kern {
    /// `exit1`: the process ends with an exit value or by a signal.
    pub(crate) fn exit1(&mut self, hooks: &mut dyn Hooks, p: ProcId, status: i32, signo: i32) {
        let Some(proc) = self.procs.get_mut(&p) else {
            return;
        };
        if proc.is_zombie() || proc.wexit {
            return;
        }
        proc.xexit = status & 0xff;
        proc.xsig = signo;
        proc.wexit = true;
        proc.stopped = false;
        hooks.process_exit(self, p);
        self.stop_itimer(p);
        for td in self.threads_of(p) {
            self.end_thread(hooks, td);
        }
        self.fdescfree(p);
        let vm = self.procs.get(&p).map(|proc| proc.vm);
        if let Some(vm) = vm {
            self.rele_vm(vm);
        }
        self.end_of_leader(p);
        let orphaned = self.orphan_candidates(p);
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.state = ProcState::Zombie;
            proc.sigqueue.clear();
        }
        self.vfork_done(p);
        self.reparent_children(hooks, p);
        self.trace.push(TraceItem::Exit {
            p,
            status,
            signo: signo & !WCOREFLAG,
        });
        self.orphan_pgrps(&orphaned);
        self.tell_parent(hooks, p);
    }

    /// Waits for a child: `pid` as wait4(2) has it, in the kernel's own space.
    ///
    /// # Errors
    /// `ECHILD` where no child fits; `EINVAL` for options that are none.
    pub(crate) fn kern_wait(
        &mut self,
        hooks: &mut dyn Hooks,
        cur: ProcId,
        pid: i32,
        options: i32,
    ) -> Result<Waited, Errno> {
        if options & !(WNOHANG | WUNTRACED | WCONTINUED | WNOWAIT) != 0 {
            return Err(Errno::EINVAL);
        }
        let proc = self.procs.get(&cur).ok_or(Errno::ESRCH)?;
        let own_pgrp = proc.pgrp;
        let mut found = false;
        for child in proc.children.clone() {
            let Some(candidate) = self.procs.get_mut(&child) else {
                continue;
            };
            let fits = match pid {
                -1 => true,
                0 => candidate.pgrp == own_pgrp,
                1.. => candidate.pid.0 == pid,
                _ => candidate.pgrp.0 == pid.wrapping_neg(),
            };
            if !fits {
                continue;
            }
            found = true;
            let id = candidate.pid;
            let keep = options & WNOWAIT != 0;
            if candidate.is_zombie() {
                let status = wstatus(candidate.xexit, candidate.xsig);
                if !keep {
                    self.reap(hooks, child);
                }
                return Ok(Waited::Child(id, status));
            }
            if options & WUNTRACED != 0 && candidate.stopped && !candidate.waited {
                candidate.waited = !keep;
                return Ok(Waited::Child(id, candidate.xsig << 8 | 0o177));
            }
            if options & WCONTINUED != 0 && candidate.continued {
                candidate.continued = keep;
                return Ok(Waited::Child(id, SIGCONT));
            }
        }
        if found {
            Ok(Waited::Nothing)
        } else {
            Err(Errno::ECHILD)
        }
    }

    /// `proc_reap`: the zombie is no more.
    pub(crate) fn reap(&mut self, hooks: &mut dyn Hooks, p: ProcId) {
        if self.procs.get(&p).is_none_or(|proc| !proc.is_zombie()) {
            return;
        }
        self.leave_pgrp(p);
        let Some(proc) = self.procs.remove(&p) else {
            return;
        };
        self.pids.remove(&proc.pid);
        if let Some(parent) = self.procs.get_mut(&proc.parent) {
            parent.children.retain(|&child| child != p);
        }
        self.trace.push(TraceItem::Reap { p });
        hooks.process_dtor(self, p);
    }

    /// `proc_reparent`
    pub(crate) fn reparent(&mut self, p: ProcId, to: ProcId) {
        let Some(proc) = self.procs.get_mut(&p) else {
            return;
        };
        let from = std::mem::replace(&mut proc.parent, to);
        if from == to {
            return;
        }
        if let Some(parent) = self.procs.get_mut(&from) {
            parent.children.retain(|&child| child != p);
        }
        if let Some(parent) = self.procs.get_mut(&to) {
            parent.children.insert(0, p);
        }
    }

    /// The thread is no more.
    pub(crate) fn end_thread(&mut self, hooks: &mut dyn Hooks, td: Tid) {
        self.unsleep(td);
        self.unplace(td);
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        let p = thread.proc;
        if let Some(frame) = thread.frame.take() {
            hooks.syscall_abandoned(self, td, &frame);
        }
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.threads.retain(|&thread| thread != td);
        }
        self.threads.remove(&td);
        hooks.thread_dtor(self, td);
    }

    /// Tells the parent that the child has stopped (`childproc_stopped`).
    pub(crate) fn childproc_stopped(&mut self, p: ProcId) {
        let status = self.procs.get(&p).map_or(0, |proc| proc.xsig);
        self.childproc_jobstate(p, CLD_STOPPED, status);
    }

    /// Tells the parent that the child goes on (`childproc_continued`).
    pub(crate) fn childproc_continued(&mut self, p: ProcId) {
        self.childproc_jobstate(p, CLD_CONTINUED, SIGCONT);
    }

    fn childproc_jobstate(&mut self, p: ProcId, code: i32, status: i32) {
        let Some((pid, uid, parent)) = self.identity(p) else {
            return;
        };
        self.wakeup(Chan::Children(parent));
        let quiet = self
            .procs
            .get(&parent)
            .is_none_or(|parent| parent.action(SIGCHLD).flags & SA_NOCLDSTOP != 0);
        if !quiet {
            let info = Siginfo {
                signo: SIGCHLD,
                code,
                pid,
                uid,
                status,
                addr: 0,
            };
            self.psignal(parent, SIGCHLD, Some(info));
        }
    }

    fn identity(&self, p: ProcId) -> Option<(Pid, u32, ProcId)> {
        let proc = self.procs.get(&p)?;
        Some((proc.pid, proc.ucred.ruid, proc.parent))
    }

    /// A session whose leader exits has none; its foreground is hung up. There are no terminals
    /// here, so nothing is in the foreground (`killjobc`).
    fn end_of_leader(&mut self, p: ProcId) {
        let session = self
            .session_of(p)
            .and_then(|sid| self.sessions.get_mut(&sid));
        if let Some(session) = session
            && session.leader == Some(p)
        {
            session.leader = None;
        }
    }

    /// Gives the children to the reaper, which is told of zombies among them.
    fn reparent_children(&mut self, hooks: &mut dyn Hooks, p: ProcId) {
        let Some(proc) = self.procs.get(&p) else {
            return;
        };
        let inherits = proc.is_reaper;
        let heir = proc.reaper;
        for child in proc.children.clone() {
            let reaper = match self.procs.get(&child) {
                Some(child) if inherits && child.reaper == p => heir,
                Some(child) => child.reaper,
                None => continue,
            };
            self.reparent(child, reaper);
            if !self
                .procs
                .get(&child)
                .is_some_and(|child| child.is_zombie())
            {
                continue;
            }
            if reaper == self.initproc {
                self.reap(hooks, child);
            } else {
                self.psignal(reaper, SIGCHLD, self.exit_info(child));
                self.wakeup(Chan::Children(reaper));
            }
        }
        if inherits {
            self.reaper_abandon(p, heir);
        }
    }

    /// `reaper_abandon_children`: the next reaper above takes over the subtree.
    pub(crate) fn reaper_abandon(&mut self, p: ProcId, heir: ProcId) {
        let heir_subtree = self.procs.get(&p).map(|proc| proc.reapsubtree);
        for proc in self.procs.values_mut() {
            if proc.reaper == p && proc.id != p {
                proc.reaper = heir;
                proc.reapsubtree = heir_subtree.unwrap_or_default();
            }
        }
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.is_reaper = false;
        }
    }

    /// The parent that sleeps in vfork has its address space back.
    pub(crate) fn vfork_done(&mut self, p: ProcId) {
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.ppwait = false;
        }
        self.wakeup(Chan::Vfork(p));
    }

    /// Wakes and signals the parent; or lets the reaper have the zombie where the parent does not
    /// want it. The kernel's init reaps at once.
    fn tell_parent(&mut self, hooks: &mut dyn Hooks, p: ProcId) {
        let Some(mut parent) = self.procs.get(&p).map(|proc| proc.parent) else {
            return;
        };
        let action = self.procs.get(&parent).map(|proc| proc.action(SIGCHLD));
        let unwanted = action.is_some_and(|a| a.handler == 1 || a.flags & SA_NOCLDWAIT != 0);
        let reaper = self.procs.get(&p).map_or(self.initproc, |proc| proc.reaper);
        if unwanted && reaper != parent {
            self.reparent(p, reaper);
            let alone = self
                .procs
                .get(&parent)
                .is_some_and(|proc| proc.children.is_empty());
            if alone {
                self.wakeup(Chan::Children(parent));
            }
            parent = reaper;
        }
        if parent == self.initproc {
            return self.reap(hooks, p);
        }
        self.psignal(parent, SIGCHLD, self.exit_info(p));
        self.wakeup(Chan::Children(parent));
    }

    /// `childproc_exited`
    fn exit_info(&self, p: ProcId) -> Option<Siginfo> {
        let proc = self.procs.get(&p)?;
        let (code, status) = match proc.xsig {
            0 => (CLD_EXITED, proc.xexit),
            signo if signo & WCOREFLAG != 0 => (CLD_DUMPED, signo & !WCOREFLAG),
            signo => (CLD_KILLED, signo),
        };
        Some(Siginfo {
            signo: SIGCHLD,
            code,
            pid: proc.pid,
            uid: proc.ucred.ruid,
            status,
            addr: 0,
        })
    }
}

/// `KW_EXITCODE`: the status word of a zombie.
fn wstatus(xexit: i32, xsig: i32) -> i32 {
    xexit << 8 | xsig
}
