// SPDX-License-Identifier: BSD-2-Clause
//! Signals: sending, and what they do to a process that has not caught them
//! (`sys/kern/kern_sig.c`, 15.0).

use super::Kern;
use super::hooks::Hooks;
use super::proc::{Interrupt, WCOREFLAG};
use super::trace::TraceItem;
use super::types::{
    DefaultAction, Pid, ProcId, SI_KERNEL, SI_USER, SIG_MAXSIG, SIGCONT, SIGKILL, SIGSTOP, SIGTSTP,
    SIGTTIN, SIGTTOU, SigSet, Siginfo, Tid, sigprop,
};
use crate::errno::Errno;

/// `SIG_IGN`
pub const SIG_IGN: u64 = 1;
/// `SA_RESTART`: calls go on after the handler.
pub const SA_RESTART: u32 = 0x2;

const STOPMASK: [i32; 4] = [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU];

/// What a signal will do to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Hold,
    Catch,
    Default,
}

impl Kern {
    /// `kern_psignal`, `pksignal`: sends a signal to a process, past every check. A process that
    /// is gone or a zombie is no error.
    pub fn psignal(&mut self, p: ProcId, signo: i32, info: Option<Siginfo>) {
        let Some(td) = self.sigtd(p, signo) else {
            return;
        };
        self.tdsendsignal(p, td, signo, info, false);
    }

    /// `killpg1`, `sys_kill`: sends a signal as kill(2) does; `pid` in the kernel's own space.
    ///
    /// # Errors
    /// `EINVAL`, `ESRCH`, or the refusal where no process could be signalled.
    pub fn kill(
        &mut self,
        hooks: &mut dyn Hooks,
        cur: ProcId,
        pid: i32,
        signo: i32,
    ) -> Result<(), Errno> {
        if !(0..=SIG_MAXSIG).contains(&signo) {
            return Err(Errno::EINVAL);
        }
        if pid > 0 {
            let target = self.pfind(Pid(pid)).ok_or(Errno::ESRCH)?;
            return self.kill_one(hooks, cur, target, signo);
        }
        let targets = match pid {
            -1 => {
                let all = self.procs.values().rev().filter(|proc| !proc.is_zombie());
                all.map(|proc| proc.id).filter(|&p| p != cur).collect()
            }
            _ => {
                let own = self.procs.get(&cur).map(|proc| proc.pgrp);
                let id = if pid == 0 {
                    own.unwrap_or_default()
                } else {
                    Pid(pid.checked_neg().ok_or(Errno::ESRCH)?)
                };
                let pgrp = self.pgrps.get(&id).ok_or(Errno::ESRCH)?;
                pgrp.members.clone()
            }
        };
        let mut result = Err(Errno::ESRCH);
        for target in targets {
            // The kernel's own processes: init, and what has no number (p_pid <= 1, P_SYSTEM).
            if self.procs.get(&target).is_none_or(|proc| proc.pid.0 <= 1) {
                continue;
            }
            match self.kill_one(hooks, cur, target, signo) {
                Ok(()) => result = Ok(()),
                Err(errno) if result == Err(Errno::ESRCH) => result = Err(errno),
                Err(_) => {}
            }
        }
        result
    }

    fn kill_one(
        &mut self,
        hooks: &mut dyn Hooks,
        cur: ProcId,
        target: ProcId,
        signo: i32,
    ) -> Result<(), Errno> {
        self.p_cansignal(hooks, cur, target, signo)?;
        if signo != 0 {
            let sender = self.procs.get(&cur);
            let info = sender.map(|proc| Siginfo {
                signo,
                code: SI_USER,
                pid: proc.pid,
                uid: proc.ucred.ruid,
                status: 0,
                addr: 0,
            });
            self.psignal(target, signo, info);
        }
        Ok(())
    }

    /// `p_cansee`: prisons first, then the hook.
    ///
    /// # Errors
    /// `ESRCH`, or the hook's refusal.
    pub fn p_cansee(
        &self,
        hooks: &mut dyn Hooks,
        who: ProcId,
        target: ProcId,
    ) -> Result<(), Errno> {
        let (Some(a), Some(b)) = (self.procs.get(&who), self.procs.get(&target)) else {
            return Err(Errno::ESRCH);
        };
        if !self.prison_within(b.ucred.prison, a.ucred.prison) {
            return Err(Errno::ESRCH);
        }
        hooks.proc_check_see(self, who, target)
    }

    /// `p_cansignal`, `cr_cansignal`: prisons, the hook, then users; a process may always signal
    /// itself, and continue one of its session.
    ///
    /// # Errors
    /// `ESRCH`, `EPERM`, or the hook's refusal.
    pub fn p_cansignal(
        &self,
        hooks: &mut dyn Hooks,
        who: ProcId,
        target: ProcId,
        signo: i32,
    ) -> Result<(), Errno> {
        let (Some(a), Some(b)) = (self.procs.get(&who), self.procs.get(&target)) else {
            return Err(Errno::ESRCH);
        };
        if who == target {
            return Ok(());
        }
        if !self.prison_within(b.ucred.prison, a.ucred.prison) {
            return Err(Errno::ESRCH);
        }
        hooks.proc_check_signal(self, who, target, signo)?;
        let same_session = self.session_of(who) == self.session_of(target);
        if signo == SIGCONT && same_session {
            return Ok(());
        }
        let (a, b) = (&a.ucred, &b.ucred);
        let same_user = [a.uid, a.ruid]
            .iter()
            .any(|u| *u == b.ruid || *u == b.svuid);
        if same_user || a.uid == 0 {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// The thread that a signal to the process goes to: the first that does not block it.
    fn sigtd(&self, p: ProcId, signo: i32) -> Option<Tid> {
        let proc = self
            .procs
            .get(&p)
            .filter(|proc| !proc.is_zombie() && !proc.wexit)?;
        let open = |td: &&Tid| {
            let thread = self.threads.get(td);
            thread.is_some_and(|thread| !thread.sigmask.has(signo))
        };
        let threads = &proc.threads;
        threads
            .iter()
            .find(open)
            .or_else(|| threads.first())
            .copied()
    }

    /// `tdsendsignal`
    pub(crate) fn tdsendsignal(
        &mut self,
        p: ProcId,
        td: Tid,
        signo: i32,
        info: Option<Siginfo>,
        to_thread: bool,
    ) {
        let Some(action) = self.sigaction_of(p, td, signo) else {
            return;
        };
        let prop = sigprop(signo);
        if !self.cancel_opposites(p, prop, action) {
            return;
        }
        let info = info.unwrap_or(Siginfo {
            signo,
            code: SI_KERNEL,
            ..Siginfo::default()
        });
        if to_thread {
            if let Some(thread) = self.threads.get_mut(&td) {
                thread.sigqueue.entry(signo).or_insert(info);
            }
        } else if let Some(proc) = self.procs.get_mut(&p) {
            proc.sigqueue.entry(signo).or_insert(info);
        }
        let stopped = self.procs.get(&p).is_some_and(|proc| proc.stopped);
        let continues = prop == DefaultAction::Continue && stopped;
        if action == Action::Hold && !continues {
            return;
        }
        let interrupt = self.interrupt_kind(p, signo);
        if stopped {
            self.signal_stopped(p, td, signo, action, interrupt);
        } else {
            // What is to be done is found out where a hook can be asked, by the thread itself: a
            // sleep that turns out to go on does so with its deadline as it was.
            self.sleep_abort(td, interrupt);
        }
    }

    /// What the signal will do; `None` where it is ignored.
    fn sigaction_of(&self, p: ProcId, td: Tid, signo: i32) -> Option<Action> {
        let proc = self.procs.get(&p)?;
        let handler = proc.action(signo).handler;
        let prop = sigprop(signo);
        // SIGCONT is never among the ignored, so that it continues.
        let ignored = match prop {
            DefaultAction::Continue => false,
            DefaultAction::Ignore => handler <= SIG_IGN,
            _ => handler == SIG_IGN,
        };
        if ignored {
            return None;
        }
        let masked = self
            .threads
            .get(&td)
            .is_some_and(|thread| thread.sigmask.has(signo));
        Some(if masked {
            Action::Hold
        } else if handler > SIG_IGN {
            Action::Catch
        } else {
            Action::Default
        })
    }

    /// A stop signal cancels a pending SIGCONT and the other way round. False where the signal is
    /// a terminal stop to an orphaned group, which is dropped.
    fn cancel_opposites(&mut self, p: ProcId, prop: DefaultAction, action: Action) -> bool {
        match prop {
            DefaultAction::Continue => {
                for signo in STOPMASK {
                    self.dequeue_signal(p, signo);
                }
            }
            DefaultAction::Stop { tty } => {
                let pgrp = self.procs.get(&p).map(|proc| proc.pgrp).unwrap_or_default();
                if tty && action == Action::Default && !self.has_job_control(pgrp) {
                    return false;
                }
                self.dequeue_signal(p, SIGCONT);
                if let Some(proc) = self.procs.get_mut(&p) {
                    proc.continued = false;
                }
            }
            _ => {}
        }
        true
    }

    /// A signal to a stopped process.
    fn signal_stopped(
        &mut self,
        p: ProcId,
        td: Tid,
        signo: i32,
        action: Action,
        interrupt: Interrupt,
    ) {
        match sigprop(signo) {
            _ if signo == SIGKILL => {
                self.continue_proc(p);
                self.sleep_abort(td, interrupt);
            }
            DefaultAction::Continue => {
                self.continue_proc(p);
                if let Some(proc) = self.procs.get_mut(&p) {
                    proc.continued = true;
                    proc.xsig = SIGCONT;
                }
                self.childproc_continued(p);
                match action {
                    Action::Default => self.dequeue_signal(p, signo),
                    Action::Catch => self.sleep_abort(td, interrupt),
                    Action::Hold => {}
                }
            }
            DefaultAction::Stop { .. } if action == Action::Default => {
                self.dequeue_signal(p, signo);
            }
            // It will look at the signal when it is continued.
            _ => self.sleep_abort(td, interrupt),
        }
    }

    /// Stops every thread of the process where it is, and tells the parent.
    pub(crate) fn stop_proc(&mut self, p: ProcId, signo: i32) {
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.stopped = true;
            proc.waited = false;
            proc.xsig = signo;
        }
        for td in self.threads_of(p) {
            self.unplace(td);
        }
        self.childproc_stopped(p);
    }

    fn continue_proc(&mut self, p: ProcId) {
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.stopped = false;
        }
        for td in self.threads_of(p) {
            self.setrunnable(td);
        }
    }

    pub(crate) fn dequeue_signal(&mut self, p: ProcId, signo: i32) {
        for td in self.threads_of(p) {
            if let Some(thread) = self.threads.get_mut(&td) {
                thread.sigqueue.remove(&signo);
            }
        }
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.sigqueue.remove(&signo);
        }
    }

    pub(crate) fn interrupt_kind(&self, p: ProcId, signo: i32) -> Interrupt {
        let action = self.procs.get(&p).map(|proc| proc.action(signo));
        match action {
            Some(action) if action.handler > SIG_IGN && action.flags & SA_RESTART == 0 => {
                Interrupt::Eintr
            }
            _ => Interrupt::Restart,
        }
    }

    /// Signals that wait for this thread and are not blocked.
    pub(crate) fn pending(&self, td: Tid) -> SigSet {
        let Some(thread) = self.threads.get(&td) else {
            return SigSet::default();
        };
        let shared = self.procs.get(&thread.proc).map(|proc| &proc.sigqueue);
        let all = shared.into_iter().flatten().chain(&thread.sigqueue);
        all.fold(SigSet::default(), |set, (&signo, _)| set.with(signo))
    }

    /// `issignal`, `postsig`: lets pending signals take their effect. Returns false where the
    /// thread does not go on: its process is stopped or gone, or it sleeps.
    pub(crate) fn userret(&mut self, td: Tid, hooks: &mut dyn Hooks) -> bool {
        loop {
            let Some(thread) = self.threads.get(&td) else {
                return false;
            };
            let p = thread.proc;
            if thread.asleep || self.is_stopped(p) {
                return false;
            }
            match self.issignal(td, hooks) {
                None => {
                    // No handler took the mask of a sigsuspend (ast: TDP_OLDMASK).
                    let thread = self.threads.get_mut(&td);
                    if let Some(thread) = thread
                        && let Some(mask) = thread.oldsigmask.take()
                    {
                        thread.sigmask = mask;
                        continue;
                    }
                    return !self.is_stopped(p);
                }
                Some((signo, info)) => self.postsig(td, signo, info, hooks),
            }
        }
    }

    /// The next signal that a handler or death is to follow, taken off its queue; stops and what
    /// is to be ignored are dealt with here.
    pub(crate) fn issignal(&mut self, td: Tid, hooks: &mut dyn Hooks) -> Option<(i32, Siginfo)> {
        loop {
            let thread = self.threads.get(&td)?;
            let p = thread.proc;
            let waiting = self.pending(td).minus(thread.sigmask);
            if waiting.0 == 0 || self.is_stopped(p) {
                return None;
            }
            let signo = waiting.0.trailing_zeros() as i32 + 1;
            let info = self.take_signal(td, p, signo);
            let proc = self.procs.get(&p)?;
            let (pid, ppwait, pgrp) = (proc.pid, proc.ppwait, proc.pgrp);
            match proc.action(signo).handler {
                0 => {}
                SIG_IGN => continue,
                _ => return Some((signo, info)),
            }
            if pid.0 <= 1 || hooks.init_protected(self, p) {
                continue;
            }
            match sigprop(signo) {
                DefaultAction::Kill { .. } => return Some((signo, info)),
                DefaultAction::Ignore | DefaultAction::Continue => {}
                DefaultAction::Stop { tty } => {
                    if !ppwait && (!tty || self.has_job_control(pgrp)) {
                        self.stop_proc(p, signo);
                    }
                }
            }
        }
    }

    fn take_signal(&mut self, td: Tid, p: ProcId, signo: i32) -> Siginfo {
        let own = self
            .threads
            .get_mut(&td)
            .and_then(|td| td.sigqueue.remove(&signo));
        let shared = || self.procs.get_mut(&p)?.sigqueue.remove(&signo);
        own.or_else(shared).unwrap_or(Siginfo {
            signo,
            ..Siginfo::default()
        })
    }

    /// `trapsignal`: a signal for what the thread itself has done. Where it is blocked or ignored
    /// the process dies of it (`kern.forcesigexit`).
    pub(crate) fn trapsignal(&mut self, td: Tid, info: Siginfo, hooks: &mut dyn Hooks) {
        let Some(thread) = self.threads.get(&td) else {
            return;
        };
        let p = thread.proc;
        let blocked = thread.sigmask.has(info.signo);
        let handler = self
            .procs
            .get(&p)
            .map_or(0, |proc| proc.action(info.signo).handler);
        if handler > SIG_IGN && !blocked {
            self.postsig(td, info.signo, info, hooks);
        } else {
            self.sigexit(p, info.signo, hooks);
        }
    }

    /// `sigexit`: the process dies of the signal.
    pub(crate) fn sigexit(&mut self, p: ProcId, signo: i32, hooks: &mut dyn Hooks) {
        self.trace.push(TraceItem::Signal {
            p,
            signo,
            handler: 0,
        });
        let core = sigprop(signo) == DefaultAction::Kill { core: true };
        let flag = if core { WCOREFLAG } else { 0 };
        self.exit1(hooks, p, 0, signo | flag);
    }
}
