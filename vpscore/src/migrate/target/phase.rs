// SPDX-License-Identifier: BSD-2-Clause
//! The table of the target: phases, events and rules.

use super::super::journal::Mark;
use super::super::output::{Action, Report};

/// Where the target stands. The chart is in [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The kernel sees whether there is room.
    Checking,
    /// Chunks come in.
    Receiving,
    /// The kernel checks the whole and builds the instance.
    Restoring,
    /// That it is prepared is being written down.
    Preparing,
    /// In doubt: the source decides. It runs nowhere here.
    Prepared,
    /// The source has committed; that is being written down.
    Owning,
    /// It runs here; the source is told so until it answers.
    Owned,
    /// Over: the source knows.
    Finished,
    /// After a crash, or by an operator: that what was prepared is gone is being written down.
    Losing,
    /// It is gone and will never run here; the source is told so until it answers.
    Lost,
    /// Over: nothing is held.
    Discarded,
}

/// What an input amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The offer, again.
    OfferAgain,
    /// The chunk that is due.
    ChunkDue,
    /// A chunk that is not due, but may come.
    ChunkOther,
    /// The final message, and all chunks are applied.
    FinalWhole,
    /// The final message, and they are not.
    FinalShort,
    /// The source has committed.
    Commit,
    /// The source has noted the outcome.
    Done,
    /// The source has given up.
    SourceAborted,
    /// There is room.
    Checked,
    /// There is not.
    CheckFailed,
    /// The chunk is applied.
    Applied,
    /// The whole is checked and built.
    Restored,
    /// The kernel cannot go on.
    LocalFailed,
    /// The record waited for is in the journal.
    Persisted,
    /// The journal could not be written; whether the record is there is not known.
    PersistFailed,
    /// Time to say again what was not answered.
    Resend,
    /// Nothing has come for too long.
    Deadline,
    /// An operator gives the migration up.
    OperatorAbort,
    /// An operator answers for the source never running the instance again, and takes it here.
    OperatorOwn,
    /// An operator throws away what is prepared.
    OperatorDiscard,
}

/// One thing to do, its numbers not filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send that it is accepted.
    Accept,
    /// Send that it is refused, and why.
    Refuse,
    /// Send what has been applied.
    Ack,
    /// Send that it is prepared.
    Prepared,
    /// Send that it is owned.
    Owned,
    /// Send that it is lost.
    Lost,
    /// Send an abort message with the reason.
    Abort,
    /// Apply the chunk that is due.
    Apply,
    /// Write a record.
    Persist(Mark),
    /// Have the kernel do it.
    Do(Action),
    /// Tell the operator that it was aborted, and why.
    Aborted,
    /// Tell the operator something else.
    Report(Report),
}

impl Phase {
    /// The table: the next phase and what to do. `None` refuses the event.
    pub const fn rule(self, event: Event) -> Option<(Self, &'static [Act])> {
        use super::super::output::Report as Outcome;
        use Act::{Do, Persist, Report};
        use Event as E;
        use Phase as P;
        if let Some(rule) = self.abort_rule(event) {
            return Some(rule);
        }
        let rule: (Self, &'static [Act]) = match (self, event) {
            (P::Checking, E::Checked) => (P::Receiving, &[Act::Accept]),
            (P::Checking, E::CheckFailed) => (P::Discarded, &[Act::Refuse, Act::Aborted]),
            (P::Receiving, E::OfferAgain) => (P::Receiving, &[Act::Accept]),
            (P::Receiving, E::ChunkDue) => (P::Receiving, &[Act::Apply]),
            (P::Receiving, E::ChunkOther | E::Applied) => (P::Receiving, &[Act::Ack]),
            (P::Receiving, E::FinalWhole) => (P::Restoring, &[Do(Action::Restore)]),
            (P::Restoring, E::Restored) => (P::Preparing, &[Persist(Mark::Prepared)]),
            (P::Restoring | P::Preparing | P::Prepared, E::ChunkOther) => (self, &[Act::Ack]),
            (P::Preparing, E::Persisted) => (P::Prepared, &[Act::Prepared]),
            (P::Prepared, E::FinalWhole | E::Resend) => (P::Prepared, &[Act::Prepared]),
            (P::Prepared, E::Commit | E::OperatorOwn) => (P::Owning, &[Persist(Mark::Owned)]),
            (P::Prepared, E::OperatorDiscard) => {
                (P::Losing, &[Do(Action::Discard), Persist(Mark::Lost)])
            }
            (P::Owning, E::Persisted) => (
                P::Owned,
                &[Do(Action::Activate), Act::Owned, Report(Outcome::Moved)],
            ),
            (P::Owning, E::Resend) => (P::Owning, &[Persist(Mark::Owned)]),
            (P::Owned, E::Commit | E::Resend) => (P::Owned, &[Act::Owned]),
            (P::Owned, E::Done) => (P::Finished, &[Do(Action::Forget)]),
            (P::Losing, E::Persisted) => (P::Lost, &[Act::Lost]),
            (P::Losing, E::Resend) => (P::Losing, &[Persist(Mark::Lost)]),
            (P::Lost, E::Commit | E::Resend) => (P::Lost, &[Act::Lost]),
            (P::Lost, E::Done | E::SourceAborted) => (P::Discarded, &[Do(Action::Forget)]),
            (
                P::Discarded,
                E::OfferAgain | E::ChunkDue | E::ChunkOther | E::FinalWhole | E::FinalShort,
            ) => (P::Discarded, &[Act::Abort]),
            _ if event.may_come_late() => (self, &[]),
            _ => return None,
        };
        Some(rule)
    }

    /// The edges to [`Phase::Discarded`]: the target holds nothing.
    const fn abort_rule(self, event: Event) -> Option<(Self, &'static [Act])> {
        use Act::Do;
        use Event as E;
        const DROP: &[Act] = &[Do(Action::Discard), Act::Aborted];
        const TELL: &[Act] = &[Do(Action::Discard), Act::Abort, Act::Aborted];
        const NOTE: &[Act] = &[Do(Action::Discard), Do(Action::Forget), Act::Aborted];
        const NOTE_TELL: &[Act] = &[
            Do(Action::Discard),
            Do(Action::Forget),
            Act::Abort,
            Act::Aborted,
        ];
        let acts = match (self, event) {
            (Self::Checking | Self::Receiving | Self::Restoring, E::SourceAborted) => DROP,
            (
                Self::Checking | Self::Receiving | Self::Restoring,
                E::Deadline | E::LocalFailed | E::OperatorAbort,
            )
            | (Self::Receiving, E::FinalShort) => TELL,
            (Self::Preparing | Self::Prepared, E::SourceAborted) => NOTE,
            // The source has not been told, so it cannot commit, record or none.
            (Self::Preparing, E::PersistFailed | E::LocalFailed | E::OperatorAbort) => NOTE_TELL,
            _ => return None,
        };
        Some((Self::Discarded, acts))
    }

    /// Whether the machine has nothing left to do of its own.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Discarded)
    }

    pub(super) const fn awaits(self) -> Option<Mark> {
        match self {
            Self::Preparing => Some(Mark::Prepared),
            Self::Owning => Some(Mark::Owned),
            Self::Losing => Some(Mark::Lost),
            _ => None,
        }
    }

    pub(super) const fn repeats(self) -> bool {
        matches!(
            self,
            Self::Prepared | Self::Owning | Self::Owned | Self::Losing | Self::Lost
        )
    }

    /// Whether silence of the source ends it.
    pub(super) const fn gives_up(self) -> bool {
        matches!(self, Self::Checking | Self::Receiving | Self::Restoring)
    }

    /// Every phase, for tests that go through the table.
    pub const ALL: &[Self] = &[
        Self::Checking,
        Self::Receiving,
        Self::Restoring,
        Self::Preparing,
        Self::Prepared,
        Self::Owning,
        Self::Owned,
        Self::Finished,
        Self::Losing,
        Self::Lost,
        Self::Discarded,
    ];
}

impl Event {
    /// As for the source: where the table has no use for one of these, it changes nothing.
    const fn may_come_late(self) -> bool {
        !matches!(
            self,
            Self::OperatorAbort | Self::OperatorOwn | Self::OperatorDiscard
        )
    }

    /// Every event, for tests that go through the table.
    pub const ALL: &[Self] = &[
        Self::OfferAgain,
        Self::ChunkDue,
        Self::ChunkOther,
        Self::FinalWhole,
        Self::FinalShort,
        Self::Commit,
        Self::Done,
        Self::SourceAborted,
        Self::Checked,
        Self::CheckFailed,
        Self::Applied,
        Self::Restored,
        Self::LocalFailed,
        Self::Persisted,
        Self::PersistFailed,
        Self::Resend,
        Self::Deadline,
        Self::OperatorAbort,
        Self::OperatorOwn,
        Self::OperatorDiscard,
    ];
}
