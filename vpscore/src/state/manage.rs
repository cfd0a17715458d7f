// SPDX-License-Identifier: BSD-2-Clause
//! Management of instances: the tree's rules, joined with the kernel's prisons.
//!
//! One operation runs at a time (the `Control` lock). Each is refused by the tree before the kernel
//! is asked for anything, and undone in the tree where the kernel refuses.

use super::error::ManageError;
use super::{Core, State};
use crate::errno::Errno;
use crate::instance::{Birth, Event, Name, Remains, Seed};
use crate::kpi::{Kpi, LockFamily};
use crate::pid::Space;
use crate::privilege::{self, Verdict};
use crate::racct::{self, Limit, LimitError, Resource};
use crate::types::{InstanceId, PrisonHandle, ProcHandle};

impl<F: LockFamily> Core<F> {
    /// Creates an instance below `parent`, empty or to be restored into, with its prison. Its PIDs
    /// are below `pid_max`.
    ///
    /// # Errors
    /// [`ManageError`]; nothing is there then.
    pub fn instance_create<K: Kpi>(
        &self,
        kpi: &mut K,
        parent: InstanceId,
        name: Name,
        birth: Birth,
        pid_max: i32,
    ) -> Result<InstanceId, ManageError> {
        self.manage(|| {
            let mut seed = Seed::prepare(
                Space::create(pid_max)?,
                self.read(|state| state.tree.has_room()),
            )?;
            let (id, above) = self
                .write(|state| {
                    let id = state.tree.create(&mut seed, parent, name, birth)?;
                    Ok((id, state.prison(parent)))
                })
                .map_err(ManageError::Create)?;
            match kpi.prison_create(above, id, name.as_str()) {
                Ok(prison) => {
                    self.write(|state| state.tree.set_prison(id, Some(prison)));
                    Ok(id)
                }
                Err(errno) => {
                    let gone = self.write(|state| state.unmake(id));
                    drop(gone);
                    Err(ManageError::Kernel(errno))
                }
            }
        })
    }

    /// Stops every thread in an instance and below it.
    ///
    /// # Errors
    /// [`ManageError`]; no thread is stopped then that was not before.
    pub fn instance_suspend<K: Kpi>(&self, kpi: &mut K, id: InstanceId) -> Result<(), ManageError> {
        self.manage(|| {
            self.write(|state| state.tree.transition(id, Event::Suspend))?;
            match self.stop_threads(kpi, id) {
                Ok(()) => {
                    self.write(|state| state.tree.transition(id, Event::Stopped))?;
                    Ok(())
                }
                Err(errno) => {
                    self.write(|state| state.event(id, Event::StopFailed))?;
                    Err(ManageError::Kernel(errno))
                }
            }
        })
    }

    /// Lets the threads of an instance, and of those below it that were not suspended by
    /// themselves, go on.
    ///
    /// # Errors
    /// [`ManageError`]; all stay stopped then.
    pub fn instance_resume<K: Kpi>(&self, kpi: &mut K, id: InstanceId) -> Result<(), ManageError> {
        self.manage(|| {
            self.write(|state| state.event(id, Event::Resume))?;
            self.run_threads(kpi, id);
            Ok(())
        })
    }

    /// Applies an event of the life cycle that stops and starts nothing in the kernel: those of
    /// snapshot, restore and migration.
    ///
    /// # Errors
    /// [`ManageError::State`]; nothing has changed then.
    pub fn instance_event(&self, id: InstanceId, event: Event) -> Result<(), ManageError> {
        self.manage(|| Ok(self.write(|state| state.event(id, event))?))
    }

    /// Kills everything in an instance and below it, and takes it down, the innermost first. Where
    /// the kernel does not let go of a prison in time, it stays dying and this can be repeated.
    ///
    /// # Errors
    /// [`ManageError`]; what was torn down by then is gone.
    pub fn instance_destroy<K: Kpi>(&self, kpi: &mut K, id: InstanceId) -> Result<(), ManageError> {
        self.manage(|| {
            self.write(|state| match state.tree.transition(id, Event::Destroy) {
                Ok(_) => Ok(()),
                // A former attempt got so far already.
                Err(_) if state.is_doomed(id) => Ok(()),
                // What is being restored is given up.
                Err(error) => match state.tree.transition(id, Event::RestoreFailed) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(error),
                },
            })?;
            self.kill_all(kpi, id);
            self.run_threads(kpi, id);
            while let Some(leaf) = self.read(|state| state.tree.next_to_tear_down(id)) {
                let gone = self.tear_down(kpi, leaf)?;
                drop(gone);
                if leaf == id {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Takes down one instance with nothing below it and no living process.
    fn tear_down<K: Kpi>(
        &self,
        kpi: &mut K,
        id: InstanceId,
    ) -> Result<Remains<Space>, ManageError> {
        if let Some(prison) = self.read(|state| state.prison(id)) {
            kpi.prison_drain(prison).map_err(ManageError::Kernel)?;
            self.sweep(kpi, usize::MAX);
            if !self.write(|state| state.forget_lingering(id)) {
                return Err(ManageError::Kernel(Errno::EBUSY));
            }
            kpi.prison_destroy(prison).map_err(ManageError::Kernel)?;
            self.write(|state| state.tree.set_prison(id, None));
        }
        self.write(|state| {
            match state.tree.transition(id, Event::Drained) {
                Ok(_) => {}
                Err(_) if state.is_doomed(id) => {}
                Err(error) => return Err(ManageError::State(error)),
            }
            state.tree.reap(id).map_err(ManageError::Held)
        })
    }

    /// Stops the threads of `top` and of all below it; on an error none that it stopped.
    pub(super) fn stop_threads<K: Kpi>(&self, kpi: &mut K, top: InstanceId) -> Result<(), Errno> {
        let mut here = Some(top);
        while let Some(id) = here {
            if let Some(prison) = self.read(|state| state.prison_stopped_by(id, top))
                && let Err(errno) = kpi.prison_suspend(prison)
            {
                let mut undo = Some(top).filter(|top| *top != id);
                while let Some(at) = undo.filter(|at| *at != id) {
                    if let Some(prison) = self.read(|state| state.prison_stopped_by(at, top)) {
                        kpi.prison_resume(prison);
                    }
                    undo = self.read(|state| state.tree.next_in_subtree(top, at));
                }
                return Err(errno);
            }
            here = self.read(|state| state.tree.next_in_subtree(top, id));
        }
        Ok(())
    }

    /// Lets the threads go on in `top` and all below it that nothing keeps stopped any more.
    pub(super) fn run_threads<K: Kpi>(&self, kpi: &mut K, top: InstanceId) {
        let mut here = Some(top);
        while let Some(id) = here {
            let free = self.read(|state| {
                let stopped = state.tree.stopped_by(id);
                state.prison(id).filter(|_| stopped.is_none())
            });
            if let Some(prison) = free {
                kpi.prison_resume(prison);
            }
            here = self.read(|state| state.tree.next_in_subtree(top, id));
        }
    }

    /// Whether `priv_check(9)` of this privilege may go on for a process: `EPERM` or `ENOSYS` where
    /// its instance does not have it (`mac_priv_check`, `kern_priv.c`). The host has all.
    ///
    /// # Errors
    /// [`Errno::EPERM`], [`Errno::ENOSYS`].
    pub fn priv_check(&self, proc: ProcHandle, raw: i32) -> Result<(), Errno> {
        self.read(|state| {
            let Some((_, entry)) = state.proc(proc) else {
                return Ok(());
            };
            state.priv_check(entry.instance(), raw)
        })
    }

    /// [`Core::priv_check`] for a kernel that asks by a credential and not by a process.
    ///
    /// # Errors
    /// [`Errno::EPERM`], [`Errno::ENOSYS`].
    pub fn priv_check_in(&self, instance: InstanceId, raw: i32) -> Result<(), Errno> {
        if instance == InstanceId::VPS0 {
            return Ok(());
        }
        self.read(|state| state.priv_check(instance, raw))
    }

    /// Changes what an instance says of a privilege.
    ///
    /// # Errors
    /// As [`crate::instance::Tree::set_privilege`].
    pub fn set_privilege(
        &self,
        asker: InstanceId,
        id: InstanceId,
        raw: i32,
        wish: Verdict,
    ) -> Result<(), privilege::Error> {
        self.manage(|| self.write(|state| state.tree.set_privilege(asker, id, raw, wish)))
    }

    /// Charges the instance of a process and all above it.
    ///
    /// # Errors
    /// [`racct::Error`]; nothing is charged then. A process of the host is not charged.
    pub fn charge(
        &self,
        proc: ProcHandle,
        resource: Resource,
        amount: u64,
    ) -> Result<(), racct::Error> {
        if self.read(|state| state.proc(proc).is_none()) {
            return Ok(());
        }
        self.write(|state| {
            let id = state.instance_of(proc);
            racct::charge(&mut state.tree, id, resource, amount)
        })
    }

    /// Gives back to the account of an instance what [`Core::charge`] took.
    ///
    /// # Errors
    /// [`racct::Error`].
    pub fn release(
        &self,
        id: InstanceId,
        resource: Resource,
        amount: u64,
    ) -> Result<(), racct::Error> {
        if id == InstanceId::VPS0 {
            return Ok(());
        }
        self.write(|state| racct::release(&mut state.tree, id, resource, amount))
    }

    /// Sets the limits of one resource.
    ///
    /// # Errors
    /// [`LimitError`].
    pub fn set_limit(
        &self,
        id: InstanceId,
        resource: Resource,
        limit: Limit,
    ) -> Result<(), LimitError> {
        self.manage(|| self.write(|state| racct::set_limit(&mut state.tree, id, resource, limit)))
    }

    /// Sets the number after which PIDs are handed out in an instance, as its image says.
    pub fn set_last_pid(&self, id: InstanceId, last: i32) {
        self.write(|state| {
            if let Some(node) = state.tree.node_mut(id) {
                node.space.set_last_pid(last);
            }
        });
    }
}

impl State {
    fn priv_check(&self, instance: InstanceId, raw: i32) -> Result<(), Errno> {
        match self.tree.node(instance) {
            Some(node) => node.privileges().check(raw),
            None => Err(Errno::EPERM),
        }
    }

    fn prison(&self, id: InstanceId) -> Option<PrisonHandle> {
        self.tree.node(id)?.prison()
    }

    /// The prison of `id` where it is `top` that stops it, and not itself or one in between.
    fn prison_stopped_by(&self, id: InstanceId, top: InstanceId) -> Option<PrisonHandle> {
        let stopped = self.tree.stopped_by(id);
        self.prison(id)
            .filter(|_| stopped.is_none_or(|by| self.tree.is_within(top, by)))
    }

    /// Whether an instance is being torn down, or is.
    pub(super) fn is_doomed(&self, id: InstanceId) -> bool {
        use crate::instance::State as Life;
        self.tree
            .node(id)
            .is_some_and(|node| matches!(node.state(), Life::Dying | Life::Dead))
    }

    /// Applies an event and notes where an instance has lost its last process meanwhile.
    pub(super) fn event(
        &mut self,
        id: InstanceId,
        event: Event,
    ) -> Result<(), crate::instance::TransitionError> {
        self.tree.transition(id, event)?;
        self.settle(id);
        Ok(())
    }

    /// Takes out an instance that never got its prison.
    fn unmake(&mut self, id: InstanceId) -> Option<Remains<Space>> {
        let _ = self
            .tree
            .transition(id, Event::Destroy)
            .or_else(|_| self.tree.transition(id, Event::RestoreFailed));
        let _ = self.tree.transition(id, Event::Drained);
        self.tree.reap(id).ok()
    }

    /// Drops all that lingers in an instance of which no process is left, so that nothing can carry
    /// its numbers any more; false where it has one yet.
    fn forget_lingering(&mut self, id: InstanceId) -> bool {
        let mut at = 0;
        loop {
            let Some(node) = self.tree.node(id) else {
                return true;
            };
            if node.space.members() > 0 {
                return false;
            }
            let Some((number, slot)) = node.space.pids().next_after(at) else {
                return node.space.is_empty();
            };
            at = number;
            self.procs.release(&mut self.tree, slot);
        }
    }
}
