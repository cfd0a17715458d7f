// SPDX-License-Identifier: BSD-2-Clause
//! What each end writes down before it says what depends on it.

use super::message::{Attempt, InstanceKey, MigrationId};

crate::codes! {
    /// Which end of a migration.
    pub enum Role {
        /// Where the instance is when it begins.
        Source = 0,
        /// Where it is to go.
        Target = 1,
    }
}

crate::codes! {
    /// What a record says.
    pub enum Mark {
        /// Target: it has everything, and the source decides.
        Prepared = 0,
        /// Source: the target owns the instance. The commit point.
        Committed = 1,
        /// Target: it owns the instance.
        Owned = 2,
        /// Source: the target has said that it owns the instance.
        Released = 3,
        /// Target: what it had prepared is gone and was never run.
        Lost = 4,
        /// Source: the target has said that it lost the instance.
        LostKnown = 5,
        /// Source: an operator took the instance back by hand.
        Reclaimed = 6,
    }
}

crate::record! {
    /// A record of the journal. Records of one migration are kept until the machine says
    /// [`super::Action::Forget`], which takes effect after all that was asked for before it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Record {
        /// The migration.
        0 => migration: MigrationId,
        /// The instance.
        1 => instance: InstanceKey,
        /// Whose journal it is in.
        2 => role: Role,
        /// What it says.
        3 => mark: Mark,
        /// The target's attempt.
        4 => attempt: Attempt,
    }
}

/// What a journal has for one migration, role and attempt. Later marks overrule earlier ones
/// whatever their order on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    marks: u16,
    pub(super) instance: InstanceKey,
    pub(super) attempt: Attempt,
}

impl Found {
    /// Everything about `migration`. The attempt is that of the last record: records of an earlier
    /// attempt are gone before another begins.
    pub(super) fn of(records: &[Record], migration: MigrationId, role: Role) -> Option<Self> {
        let mine = |record: &&Record| record.migration == migration && record.role == role;
        let last = records.iter().rev().find(mine)?;
        let mut found = Self {
            marks: 0,
            instance: last.instance,
            attempt: last.attempt,
        };
        for record in records.iter().filter(mine) {
            if record.attempt == last.attempt {
                found.marks |= Self::bit(record.mark);
            }
        }
        Some(found)
    }

    pub(super) const fn has(self, mark: Mark) -> bool {
        self.marks & Self::bit(mark) != 0
    }

    const fn bit(mark: Mark) -> u16 {
        1 << mark as u16
    }
}
