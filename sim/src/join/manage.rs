// SPDX-License-Identifier: BSD-2-Clause
//! Instances made, entered, stopped and destroyed on one host.

use super::{Join, SimKpi, handle, host_id, host_tid};
use crate::errno::Errno;
use crate::kern::Kern;
use crate::kern::types::{PrisonId, ProcId, SIGKILL};
use vpscore::instance::{Birth, Name};
use vpscore::limits::PID_MAX;
use vpscore::state::{Committed, ManageError};
use vpscore::types::InstanceId;

impl Join {
    /// Creates an instance below `parent`, with a prison and a network stack of its own.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn create(
        &mut self,
        kern: &mut Kern,
        parent: InstanceId,
        name: Name,
        birth: Birth,
    ) -> Result<InstanceId, ManageError> {
        let core = self.core();
        let now = kern.now();
        let id = core.instance_create(
            &mut SimKpi { kern, join: self },
            parent,
            name,
            birth,
            PID_MAX,
        )?;
        // Its uptime begins now, as the original's did.
        self.uptime_offset
            .insert(id, -i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        Ok(id)
    }

    /// The prison of an instance.
    pub fn prison_of(&self, id: InstanceId) -> Option<PrisonId> {
        let report = self.core.report(InstanceId::VPS0, id)?;
        report.prison.map(|prison| PrisonId(prison.0))
    }

    /// Moves a process of the host into an instance, where it begins to be what `fork_commit` makes
    /// of a child; the first is the instance's init.
    ///
    /// # Errors
    /// The errno of the refusal; nothing has changed then.
    pub fn attach(&mut self, kern: &mut Kern, p: ProcId, to: InstanceId) -> Result<(), Errno> {
        let core = self.core();
        let reservation = core
            .attach_reserve(&mut SimKpi { kern, join: self }, handle(p), to)
            .map_err(|refused| refused.errno())?;
        let prison = self.prison_of(to).unwrap_or(PrisonId::HOST);
        let moved = kern.prison_attach(p, prison);
        let ids = kern
            .proc(p)
            .and_then(|proc| Some((proc.pid(), *proc.threads().first()?)));
        let (Ok(()), Some((pid, tid))) = (moved, ids) else {
            core.attach_abort(reservation);
            return Err(moved.err().unwrap_or(Errno::ESRCH));
        };
        let committed = core.attach_commit(reservation, handle(p), host_id(pid), host_tid(tid));
        if committed == Committed::Doomed {
            kern.psignal(p, SIGKILL, None);
        }
        // Orphans of the instance go to its init, so the kernel's reaper of its members is that.
        match core.init_of(to).map(|init| ProcId(init.0)) {
            Some(init) if init == p => kern.reap_acquire(p),
            Some(init) => {
                if let Some(proc) = kern.procs.get_mut(&p) {
                    (proc.reaper, proc.reapsubtree) = (init, pid);
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Stops every thread in an instance and below it where it is.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn suspend(&mut self, kern: &mut Kern, id: InstanceId) -> Result<(), ManageError> {
        let core = self.core();
        core.instance_suspend(&mut SimKpi { kern, join: self }, id)
    }

    /// Lets a suspended instance go on.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn resume(&mut self, kern: &mut Kern, id: InstanceId) -> Result<(), ManageError> {
        let core = self.core();
        core.instance_resume(&mut SimKpi { kern, join: self }, id)
    }

    /// Makes an end of an instance and everything below it.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn destroy(&mut self, kern: &mut Kern, id: InstanceId) -> Result<(), ManageError> {
        let core = self.core();
        core.instance_destroy(&mut SimKpi { kern, join: self }, id)
    }

    /// As [`Join::destroy`], for an instance that lives on elsewhere: its peers hear nothing of it.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn release(&mut self, kern: &mut Kern, id: InstanceId) -> Result<(), ManageError> {
        let core = self.core();
        self.silent = true;
        let released = match core.migrate_release(&mut SimKpi { kern, join: self }, id) {
            // What was never given away, but only built, is destroyed as quietly.
            Err(ManageError::State(_)) => self.destroy(kern, id),
            released => released,
        };
        self.silent = false;
        released
    }

    /// Stops the threads of a migrating instance, for the last part of its image.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn migrate_stop(&mut self, kern: &mut Kern, id: InstanceId) -> Result<(), ManageError> {
        let core = self.core();
        core.migrate_stop(&mut SimKpi { kern, join: self }, id)
    }

    /// Lets a migrating instance go on here, as if nothing had been tried.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn migrate_abort(&mut self, kern: &mut Kern, id: InstanceId) -> Result<(), ManageError> {
        let core = self.core();
        core.migrate_abort(&mut SimKpi { kern, join: self }, id)
    }
}
