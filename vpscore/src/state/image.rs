// SPDX-License-Identifier: BSD-2-Clause
//! What an image carries of the core's own state, and its way back in.
//!
//! An image is taken while nothing in it runs, so these only read. Restore goes by
//! [`Core::proc_restore`] for processes, by [`Core::zombie_restore`] for those that have exited, and
//! by [`Core::id_restore`] for numbers whose process is reaped while a group, a session or a reaper
//! subtree carries them on. Limits are set last, so that they refuse nothing that was there.

use super::error::{ForkError, ManageError};
use super::fork::Try;
use super::{Core, ProcReport};
use crate::instance::{Ceilings, Event, Name, State as Life};
use crate::kpi::{Kpi, LockFamily};
use crate::pid::{Slot, Spares};
use crate::privilege;
use crate::racct::{self, Resource};
use crate::types::{HostId, InstanceId, ProcHandle};

/// What an instance is allowed and where its numbers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name within its parent.
    pub name: Name,
    /// What it wishes to be allowed.
    pub allow: privilege::Bits,
    /// What it wishes not to exist.
    pub nosys: privilege::Bits,
    /// What it may have below it.
    pub ceilings: Ceilings,
    /// The number below which its PIDs are.
    pub pid_max: i32,
    /// The PID handed out last.
    pub last_pid: i32,
    /// The TID handed out last.
    pub last_tid: i32,
}

/// The number of a process that is gone, to be kept from being handed out.
#[derive(Debug)]
#[must_use = "commit or abort it"]
pub struct IdReservation(Slot);

/// A process that has exited, numbered and charged.
#[derive(Debug)]
#[must_use = "commit or abort it"]
pub struct ZombieReservation {
    slot: Slot,
    instance: InstanceId,
}

impl<F: LockFamily> Core<F> {
    /// What an instance is allowed; `None` for the host and for what is not there.
    pub fn settings(&self, id: InstanceId) -> Option<Settings> {
        self.read(|state| {
            let node = state.tree.node(id).filter(|node| node.depth() > 0)?;
            let (allow, nosys) = node.privileges().wishes();
            Some(Settings {
                name: *node.name(),
                allow: *allow,
                nosys: *nosys,
                ceilings: node.ceilings(),
                pid_max: node.space.pids().range().end,
                last_pid: node.space.pids().last(),
                last_tid: node.space.tids().last(),
            })
        })
    }

    /// Sets what an instance that is being restored may have below it and what it wishes for. The
    /// one at the top may wish for nothing that its parent does not hold; one below may, as one
    /// whose parent has lost something does, and holds it no more than before.
    ///
    /// # Errors
    /// [`ManageError`]: it is not being restored, or would have more than its parent may.
    pub fn restore_settings(
        &self,
        id: InstanceId,
        settings: &Settings,
        top: bool,
    ) -> Result<(), ManageError> {
        self.manage(|| {
            self.write(|state| {
                let restoring = Event::RestoreFailed;
                state.tree.may(id, restoring)?;
                if settings.ceilings != Ceilings::MOST {
                    let set = state.tree.set_ceilings(id, settings.ceilings);
                    set.map_err(ManageError::Ceiling)?;
                }
                let (allow, nosys) = (settings.allow, settings.nosys);
                let set = state.tree.restore_privileges(id, allow, nosys, top);
                set.map_err(ManageError::Privilege)
            })
        })
    }

    /// Sets the numbers after which PIDs and TIDs are handed out in an instance.
    pub fn set_last_ids(&self, id: InstanceId, last_pid: i32, last_tid: i32) {
        self.write(|state| {
            if let Some(node) = state.tree.node_mut(id) {
                node.space.set_last_pid(last_pid);
                node.space.set_last_tid(last_tid);
            }
        });
    }

    /// What a number of the kernel stands for: a process, a zombie, or one that is reaped and whose
    /// number something carries on. `None` where it is the host's.
    pub fn id_report(&self, host: HostId) -> Option<ProcReport> {
        self.read(|state| {
            let (_, entry) = state.procs.by_host(host)?;
            Some(ProcReport::of(entry))
        })
    }

    /// Reserves the numbers of a process that is gone, in an instance being restored: `pids` are
    /// those in the restored instance and the ones below it.
    ///
    /// # Errors
    /// [`ForkError`]; nothing is taken then.
    pub fn id_restore<K: Kpi>(
        &self,
        kpi: &mut K,
        instance: InstanceId,
        pids: &[i32],
    ) -> Result<IdReservation, ForkError> {
        self.reserve(kpi, |state, spares| {
            state.may_restore(instance)?;
            Ok(match state.reserve_id(instance, pids, spares)? {
                Try::Done(slot) => Try::Done(IdReservation(slot)),
                Try::Needs(depth) => Try::Needs(depth),
            })
        })
    }

    /// The kernel carries the number as `host` from now on. `handle` is no process's and was never
    /// any. Neither sleeps nor fails.
    pub fn id_commit(&self, reservation: IdReservation, handle: ProcHandle, host: HostId) {
        self.write(|state| {
            let slot = reservation.0;
            state.procs.commit(&mut state.tree, slot, handle, host);
            state.procs.exit(slot);
            state.procs.reap(&mut state.tree, slot);
            state.checked(InstanceId::VPS0, &[slot], &[]);
        });
    }

    /// Reserves a process that an image brings and that has exited: charged as a process, without
    /// a thread.
    ///
    /// # Errors
    /// [`ForkError`]; nothing is charged or taken then.
    pub fn zombie_restore<K: Kpi>(
        &self,
        kpi: &mut K,
        instance: InstanceId,
        pids: &[i32],
    ) -> Result<ZombieReservation, ForkError> {
        self.reserve(kpi, |state, spares| {
            state.may_restore(instance)?;
            racct::charge(&mut state.tree, instance, Resource::Nproc, 1)?;
            let slot = match state.reserve_id(instance, pids, spares) {
                Ok(Try::Done(slot)) => Ok(Try::Done(ZombieReservation { slot, instance })),
                Ok(Try::Needs(depth)) => Ok(Try::Needs(depth)),
                Err(error) => Err(error),
            };
            if !matches!(slot, Ok(Try::Done(_))) {
                state.uncharge(instance, &[(Resource::Nproc, 1)]);
            }
            slot
        })
    }

    /// The kernel has the zombie. Neither sleeps nor fails.
    pub fn zombie_commit(&self, reservation: ZombieReservation, proc: ProcHandle, host: HostId) {
        self.write(|state| {
            let slot = reservation.slot;
            state.procs.commit(&mut state.tree, slot, proc, host);
            state.procs.exit(slot);
            state.checked(reservation.instance, &[slot], &[]);
        });
    }

    /// The kernel could not make it after all. Neither sleeps nor fails.
    pub fn zombie_abort(&self, reservation: ZombieReservation) {
        self.write(|state| {
            let instance = reservation.instance;
            state.procs.release(&mut state.tree, reservation.slot);
            state.uncharge(instance, &[(Resource::Nproc, 1)]);
            state.checked(instance, &[], &[]);
        });
    }
}

impl super::State {
    /// Takes the numbers of a process, without a thread or a charge.
    fn reserve_id(
        &mut self,
        instance: InstanceId,
        pids: &[i32],
        spares: &mut Spares,
    ) -> Result<Try<Slot>, ForkError> {
        let plan = self.procs.plan(&self.tree, instance, pids, None)?;
        if !spares.cover(Some(&plan), None) {
            use crate::pid::Spaces;
            return Ok(Try::Needs(self.tree.depth(instance)));
        }
        Ok(Try::Done(self.procs.apply(
            &mut self.tree,
            &plan,
            spares,
        )?))
    }

    pub(super) fn may_restore(&self, instance: InstanceId) -> Result<(), ForkError> {
        self.not_fenced(instance)?;
        match self.tree.node(instance).map(|node| node.state()) {
            None => Err(ForkError::Numbers(crate::pid::PlanError::NoInstance {
                instance,
            })),
            Some(Life::Restoring) => Ok(()),
            Some(state) => Err(ForkError::WrongState { instance, state }),
        }
    }
}
