// SPDX-License-Identifier: BSD-2-Clause
//! What each end writes down before it says what depends on it.

use super::message::{InstanceKey, MigrationId};

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
        /// Target: it has thrown away what it had prepared.
        Discarded = 7,
    }
}

crate::record! {
    /// A record of the journal. Records of one migration are kept in the order in which they were
    /// written, until the machine says [`super::Action::Forget`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Record {
        /// The migration.
        0 => migration: MigrationId,
        /// The instance.
        1 => instance: InstanceKey,
        /// Whose journal it is in.
        2 => role: Role,
        /// What it says.
        3 => mark: Mark,
    }
}

/// Which marks a journal has for one migration and role. The order does not matter: a later one
/// overrules an earlier one whatever the order on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks(u16);

impl Marks {
    pub(super) fn of(records: &[Record], migration: MigrationId, role: Role) -> Self {
        let mut marks = Self::default();
        for record in records {
            if record.migration == migration && record.role == role {
                marks.0 |= Self::bit(record.mark);
            }
        }
        marks
    }

    pub(super) const fn has(self, mark: Mark) -> bool {
        self.0 & Self::bit(mark) != 0
    }

    const fn bit(mark: Mark) -> u16 {
        1 << mark as u16
    }
}
