// SPDX-License-Identifier: BSD-2-Clause
//! Prisons (`sys/kern/kern_jail.c`, 15.0), each with a vnet of its own, and what can be done to
//! all processes of one at once: stop them where they are, let them go on, make an end of them.

use super::Kern;
use super::callout::Callout;
use super::hooks::Hooks;
use super::proc::Itimer;
use super::types::{PrisonId, ProcId, SIGKILL, Tid, VnetId};
use crate::errno::Errno;

/// A prison (`struct prison`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prison {
    /// `pr_parent`; `None` for the host.
    pub parent: Option<PrisonId>,
    /// `pr_name`.
    pub name: String,
    /// `pr_vnet`.
    pub vnet: VnetId,
    /// Its threads are stopped where they are, and so are those of the prisons below.
    pub suspended: bool,
}

impl Prison {
    pub(super) fn host() -> Self {
        Self {
            parent: None,
            name: "0".into(),
            vnet: VnetId(0),
            suspended: false,
        }
    }
}

impl Kern {
    /// Makes a prison below `parent`, with the vnet of this name, which the caller adds to
    /// [`Kern::vnets`].
    ///
    /// # Errors
    /// `ENOENT` where there is no such parent; `EAGAIN` where it is suspended.
    pub fn prison_create(
        &mut self,
        hooks: &mut dyn Hooks,
        parent: PrisonId,
        name: &str,
    ) -> Result<(PrisonId, VnetId), Errno> {
        if !self.prisons.contains_key(&parent) {
            return Err(Errno::ENOENT);
        }
        if self.prison_suspended(parent) {
            return Err(Errno::EAGAIN);
        }
        let id = PrisonId(self.unique());
        let vnet = VnetId(id.0);
        let prison = Prison {
            parent: Some(parent),
            name: name.into(),
            vnet,
            suspended: false,
        };
        self.prisons.insert(id, prison);
        hooks.prison_create(self, id);
        Ok((id, vnet))
    }

    /// Removes an empty prison and its vnet.
    ///
    /// # Errors
    /// `ENOENT` where there is none; `EBUSY` where it has processes or prisons below.
    pub fn prison_destroy(&mut self, hooks: &mut dyn Hooks, id: PrisonId) -> Result<(), Errno> {
        let prison = self.prisons.get(&id).ok_or(Errno::ENOENT)?;
        let vnet = prison.vnet;
        let used = id == PrisonId::HOST
            || self.prisons.values().any(|below| below.parent == Some(id))
            || self.procs.values().any(|proc| proc.ucred.prison == id);
        if used {
            return Err(Errno::EBUSY);
        }
        hooks.prison_destroy(self, id);
        self.prisons.remove(&id);
        self.vnets.remove(&vnet);
        Ok(())
    }

    /// The prison.
    pub fn prison(&self, id: PrisonId) -> Option<&Prison> {
        self.prisons.get(&id)
    }

    /// Whether `id` is `above` or below it (`prison_ischild`, with itself).
    pub fn prison_within(&self, id: PrisonId, above: PrisonId) -> bool {
        let mut at = Some(id);
        for _ in 0..=self.prisons.len() {
            match at {
                Some(prison) if prison == above => return true,
                Some(prison) => at = self.prisons.get(&prison).and_then(|prison| prison.parent),
                None => return false,
            }
        }
        false
    }

    /// Whether the prison or one above is suspended.
    pub fn prison_suspended(&self, id: PrisonId) -> bool {
        let mut at = Some(id);
        for _ in 0..=self.prisons.len() {
            let Some(prison) = at.and_then(|id| self.prisons.get(&id)) else {
                return false;
            };
            if prison.suspended {
                return true;
            }
            at = prison.parent;
        }
        false
    }

    /// The processes of the prison and of those below, the oldest first.
    pub fn prison_procs(&self, id: PrisonId) -> Vec<ProcId> {
        let inside = self.procs.values();
        let inside = inside.filter(|proc| self.prison_within(proc.ucred.prison, id));
        inside.map(|proc| proc.id).collect()
    }

    /// Stops every thread of the prison and of those below where it is, with the time that its
    /// sleep or its process's timer has left. No call is interrupted.
    ///
    /// # Errors
    /// `ENOENT` where there is none; `EALREADY` where it is suspended.
    pub fn prison_suspend(&mut self, id: PrisonId) -> Result<(), Errno> {
        let prison = self.prisons.get_mut(&id).ok_or(Errno::ENOENT)?;
        if prison.suspended {
            return Err(Errno::EALREADY);
        }
        prison.suspended = true;
        for p in self.prison_procs(id) {
            self.freeze_itimer(p);
            for td in self.threads_of(p) {
                self.freeze_thread(td);
            }
        }
        Ok(())
    }

    /// Lets the threads of the prison go on, unless a prison above is suspended too. They have kept
    /// their turns; what they had left to wait begins now.
    pub fn prison_resume(&mut self, id: PrisonId) {
        match self.prisons.get_mut(&id) {
            Some(prison) if prison.suspended => prison.suspended = false,
            _ => return,
        }
        for p in self.prison_procs(id) {
            let prison = self.procs.get(&p).map(|proc| proc.ucred.prison);
            if prison.is_none_or(|prison| self.prison_suspended(prison)) {
                continue;
            }
            self.thaw_itimer(p);
            for td in self.threads_of(p) {
                self.thaw_thread(td);
            }
        }
    }

    /// Ends and reaps every process of the prison and of those below, children before their
    /// parents. A zombie whose parent is outside becomes init's, which reaps it.
    ///
    /// # Errors
    /// `ENOENT` where there is no such prison; `EPERM` for the host.
    pub fn prison_drain(&mut self, hooks: &mut dyn Hooks, id: PrisonId) -> Result<(), Errno> {
        if id == PrisonId::HOST {
            return Err(Errno::EPERM);
        }
        if !self.prisons.contains_key(&id) {
            return Err(Errno::ENOENT);
        }
        for p in self.prison_procs(id).into_iter().rev() {
            if self.procs.get(&p).is_some_and(|proc| !proc.is_zombie()) {
                self.exit1(hooks, p, 0, SIGKILL);
            }
        }
        let init = self.initproc;
        for p in self.prison_procs(id).into_iter().rev() {
            self.reparent(p, init);
            self.reap(hooks, p);
        }
        Ok(())
    }

    /// `jail_attach(2)` as the kernel's own act: puts the process into the prison.
    ///
    /// # Errors
    /// `ESRCH`, `ENOENT` where one is missing; `EINVAL` where the prison is not below its own.
    pub fn prison_attach(&mut self, p: ProcId, id: PrisonId) -> Result<(), Errno> {
        let prison = self.procs.get(&p).ok_or(Errno::ESRCH)?.ucred.prison;
        if !self.prisons.contains_key(&id) {
            return Err(Errno::ENOENT);
        }
        if !self.prison_within(id, prison) {
            return Err(Errno::EINVAL);
        }
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.ucred.prison = id;
        }
        Ok(())
    }

    pub(crate) fn threads_of(&self, p: ProcId) -> Vec<Tid> {
        self.procs
            .get(&p)
            .map_or_else(Vec::new, |proc| proc.threads.clone())
    }

    fn freeze_itimer(&mut self, p: ProcId) {
        let now = self.now;
        let Some(proc) = self.procs.get_mut(&p) else {
            return;
        };
        if let Some(callout) = proc.itimer.callout.take() {
            proc.itimer.frozen = Some(callout.0.since(now));
            self.callouts.remove(&callout);
        }
    }

    pub(crate) fn thaw_itimer(&mut self, p: ProcId) {
        let Some(Itimer {
            frozen,
            interval,
            order,
            ..
        }) = self.procs.get(&p).map(|proc| proc.itimer)
        else {
            return;
        };
        if let Some(left) = frozen {
            let at = self.now.after(left);
            let callout = self.callout_resume(at, order, Callout::Itimer(p));
            if let Some(proc) = self.procs.get_mut(&p) {
                proc.itimer = Itimer {
                    callout: Some(callout),
                    frozen: None,
                    interval,
                    order,
                };
            }
        }
    }

    fn freeze_thread(&mut self, td: Tid) {
        let now = self.now;
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        if thread.frozen.is_some() {
            return;
        }
        thread.frozen = Some(thread.ready_at.since(now));
        let Some(wait) = &mut thread.wait else {
            return;
        };
        wait.frozen = wait.deadline.map(|deadline| deadline.since(now));
        if let Some(callout) = wait.callout.take() {
            self.callouts.remove(&callout);
        }
    }

    pub(crate) fn thaw_thread(&mut self, td: Tid) {
        let now = self.now;
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        if let Some(left) = thread.frozen.take() {
            thread.ready_at = now.after(left);
        }
        let asleep = thread.asleep;
        let Some(wait) = &mut thread.wait else {
            return;
        };
        let Some(left) = wait.frozen.take() else {
            return;
        };
        let deadline = now.after(left);
        wait.deadline = Some(deadline);
        let turn = wait.turn;
        if asleep {
            let callout = self.callout_resume(deadline, turn, Callout::Wakeup(td));
            let wait = self.threads.get_mut(&td).and_then(|td| td.wait.as_mut());
            if let Some(wait) = wait {
                wait.callout = Some(callout);
            }
        }
    }
}
