// SPDX-License-Identifier: BSD-2-Clause
//! What a step asks its driver to do, and why a step was refused.

use super::journal::Record;
use super::message::{Attempt, Message, MessageKind, MigrationId, Reason};
use crate::errno::Errno;
use crate::limits::MIGRATE_OUTPUTS_MAX;

/// What the local kernel is to do. Results come back as `Local` inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Source: note which pages are written from now on.
    Track,
    /// Source: stop noting it.
    Untrack,
    /// Source: collect what has to be sent in the next round.
    Scan,
    /// Source: send these chunks, each with its [`super::Chunk`] before it. Chunks sent before and
    /// not acknowledged are sent again.
    SendChunks {
        /// The first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Source: stop all threads of the instance and below, within the deadline, and collect what
    /// is left to be sent, the state of the kernel included.
    Stop,
    /// Source: let the threads go on, as if nothing had been tried; also cancels a [`Action::Stop`]
    /// under way. Without effect where the instance died with its host.
    Resume,
    /// Source: destroy the local copy without a sound on the network.
    Release,
    /// Target: see whether limits and resources suffice and the names are free, and set them aside.
    Check,
    /// Target: apply the bytes of this chunk.
    Apply {
        /// Its number.
        seq: u64,
    },
    /// Target: check the whole and build the instance, all threads stopped.
    Restore,
    /// Target: throw away all that was set aside, received or built.
    Discard,
    /// Target: announce the addresses and let the threads run.
    Activate,
    /// Either: the journal drops all records of this migration, after what was asked for before.
    Forget,
}

/// What the operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Given up before the commit point: the source has the instance.
    Aborted(Reason),
    /// The target has the instance.
    Moved,
    /// The target lost the instance after the commit point and before it ran. The source, if it
    /// has not crashed, holds a stopped copy for an operator to reclaim.
    Lost,
    /// The target's host crashed while it owned the instance.
    DiedWithHost,
    /// The other end claims an instance that an operator gave to this end.
    Conflict,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send it to the other end; it may be lost.
    Send(Message),
    /// Write it to the journal, durably, then report `Persisted`.
    Persist(Record),
    /// Have the kernel do it.
    Do(Action),
    /// Tell the operator.
    Report(Report),
}

/// What one step asks for, to be done in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    items: [Option<Output>; MIGRATE_OUTPUTS_MAX],
    len: usize,
}

impl Outputs {
    /// Nothing to do.
    pub const NONE: Self = Self {
        items: [None; MIGRATE_OUTPUTS_MAX],
        len: 0,
    };

    /// Adds one. The tables never ask for more than fit.
    pub(super) fn push(&mut self, output: Output) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = Some(output);
            self.len = self.len.saturating_add(1);
        }
    }

    /// The outputs in order.
    pub fn iter(&self) -> impl Iterator<Item = &Output> {
        self.items.iter().flatten()
    }
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The message is about another migration.
    WrongMigration {
        /// Which.
        got: MigrationId,
    },
    /// The message belongs to another attempt of the target.
    WrongAttempt {
        /// Which.
        got: Attempt,
    },
    /// Only the other role sends such a message here.
    WrongRole {
        /// The message.
        got: MessageKind,
    },
    /// The table has no rule for it in this phase.
    WrongPhase,
    /// The target chose a version that was not offered.
    BadVersion {
        /// Which.
        got: u16,
    },
    /// A chunk or acknowledgement beyond what may have been sent.
    OutOfWindow {
        /// Its number.
        got: u64,
        /// The first number that cannot be.
        end: u64,
    },
    /// The local kernel reported more chunks than a migration may have.
    TooManyChunks {
        /// How many.
        got: u64,
    },
}

impl Reject {
    /// What the ioctl that carried the input returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::WrongMigration { .. } | Self::WrongAttempt { .. } => Errno::ESRCH,
            Self::WrongRole { .. } | Self::BadVersion { .. } | Self::OutOfWindow { .. } => {
                Errno::EPROTO
            }
            Self::WrongPhase => Errno::EBUSY,
            Self::TooManyChunks { .. } => Errno::EFBIG,
        }
    }
}
