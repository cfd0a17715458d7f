// SPDX-License-Identifier: BSD-2-Clause
//! The source's side of a live migration, as far as the instance itself is concerned: its threads
//! run during pre-copy, stop for the last part, and go on or end with the outcome.

use super::Core;
use super::error::ManageError;
use crate::instance::Event;
use crate::kpi::{Kpi, LockFamily};
use crate::types::InstanceId;

impl<F: LockFamily> Core<F> {
    /// The instance becomes the source of a migration; its threads run on.
    ///
    /// # Errors
    /// [`ManageError::State`]; nothing has changed then.
    pub fn migrate_begin(&self, id: InstanceId) -> Result<(), ManageError> {
        self.instance_event(id, Event::Migrate)
    }

    /// Stops every thread in it and below, for the last part.
    ///
    /// # Errors
    /// [`ManageError`]; no thread is stopped then, and the migration can still be aborted.
    pub fn migrate_stop<K: Kpi>(&self, kpi: &mut K, id: InstanceId) -> Result<(), ManageError> {
        self.manage(|| {
            self.read(|state| state.tree.may(id, Event::MigrateStopped))?;
            self.stop_threads(kpi, id).map_err(ManageError::Kernel)?;
            self.write(|state| state.event(id, Event::MigrateStopped))?;
            Ok(())
        })
    }

    /// The migration failed before its commit point: the instance is as if nothing had been tried.
    ///
    /// # Errors
    /// [`ManageError::State`]; nothing has changed then.
    pub fn migrate_abort<K: Kpi>(&self, kpi: &mut K, id: InstanceId) -> Result<(), ManageError> {
        self.manage(|| {
            self.write(|state| state.event(id, Event::MigrateAborted))?;
            self.run_threads(kpi, id);
            Ok(())
        })
    }

    /// The target owns the instance: the copy here ends, with everything below it. The kernel sees
    /// to it that no peer hears of that.
    ///
    /// # Errors
    /// As [`Core::instance_destroy`]; can be repeated.
    pub fn migrate_release<K: Kpi>(&self, kpi: &mut K, id: InstanceId) -> Result<(), ManageError> {
        match self.instance_event(id, Event::MigrateCommitted) {
            Ok(()) => {}
            // A former attempt got so far already.
            Err(_) if self.read(|state| state.is_doomed(id)) => {}
            Err(error) => return Err(error),
        }
        self.instance_destroy(kpi, id)
    }
}
