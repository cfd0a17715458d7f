// SPDX-License-Identifier: BSD-2-Clause
//! The table of the source: phases, events and rules.

use super::super::journal::Mark;
use super::super::output::{Action, Report};

/// Where the source stands. The chart is in [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The offer is out.
    Offering,
    /// The kernel collects what the next round has to send.
    Scanning,
    /// A pre-copy round is under way.
    Copying,
    /// The threads are being stopped.
    Stopping,
    /// Stopped; the last chunks are under way.
    Finishing,
    /// All is there; the target makes sure of it.
    Preparing,
    /// The commit record is being written. Whether it is there is not known: nothing resumes.
    Committing,
    /// The target owns the instance and is told so until it answers.
    Committed,
    /// It has answered; that is being noted.
    Releasing,
    /// Over: the target has it.
    Released,
    /// The target lost it after the commit point; that is being noted.
    Losing,
    /// Lost. An operator may reclaim the stopped copy, as the target never ran it.
    Lost,
    /// An operator takes it back; that is being noted.
    Reclaiming,
    /// Over: taken back by hand.
    Reclaimed,
    /// Over: given up before the commit point; the source has it.
    Aborted,
}

/// What an input amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The target accepts.
    Accepted,
    /// The target refuses.
    Refused,
    /// Chunks were acknowledged, and more of the round are to come.
    AckedMore,
    /// The whole round is acknowledged.
    AckedAll,
    /// An acknowledgement that says nothing new.
    AckedOld,
    /// The target is prepared.
    TargetPrepared,
    /// The target owns the instance.
    TargetOwns,
    /// The target lost what it had prepared.
    TargetLost,
    /// The target has given up.
    TargetAborted,
    /// A scan found that another round is worth it.
    ScanAgain,
    /// A scan found that little is left.
    ScanStop,
    /// A scan found that too much is left and the budget spent.
    ScanGiveUp,
    /// The threads are stopped and there are last chunks to send.
    Stopped,
    /// The threads are stopped and nothing is left to send.
    StoppedEmpty,
    /// The threads did not stop by the deadline.
    StopFailed,
    /// The kernel cannot go on.
    LocalFailed,
    /// The record waited for is in the journal.
    Persisted,
    /// The journal could not be written; whether the record is there is not known.
    PersistFailed,
    /// Time to say again what was not answered.
    Resend,
    /// The phase has taken too long.
    Deadline,
    /// An operator gives the migration up.
    OperatorAbort,
    /// An operator takes the instance back, and answers for the target not running it.
    OperatorReclaim,
    /// An operator knows that the target has the instance and drops the copy here.
    OperatorRelease,
}

/// One thing to do, its numbers not filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send the offer.
    Offer,
    /// Send chunks as far as the window allows.
    Chunks,
    /// Send again the chunks under way.
    ChunksAgain,
    /// Send the final message.
    Final,
    /// Send the commit message.
    Commit,
    /// Send the done message.
    Done,
    /// Send an abort message with the reason.
    Abort,
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
        use Act::{Chunks, ChunksAgain, Do, Persist, Report};
        use Event as E;
        use Phase as P;
        if self.before_commit()
            && let Some(rule) = self.abort_rule(event)
        {
            return Some(rule);
        }
        let rule: (Self, &'static [Act]) = match (self, event) {
            (P::Offering, E::Accepted) => (P::Scanning, &[Do(Action::Track), Do(Action::Scan)]),
            (P::Offering, E::Resend) => (P::Offering, &[Act::Offer]),
            (P::Scanning, E::ScanAgain) => (P::Copying, &[Chunks]),
            (P::Scanning, E::ScanStop) => (P::Stopping, &[Do(Action::Stop)]),
            (P::Copying, E::AckedMore) => (P::Copying, &[Chunks]),
            (P::Copying, E::AckedAll) => (P::Scanning, &[Do(Action::Scan)]),
            (P::Copying, E::Resend) => (P::Copying, &[ChunksAgain]),
            (P::Stopping, E::Stopped) => (P::Finishing, &[Chunks]),
            (P::Stopping, E::StoppedEmpty) => (P::Preparing, &[Act::Final]),
            (P::Finishing, E::AckedMore) => (P::Finishing, &[Chunks]),
            (P::Finishing, E::AckedAll) => (P::Preparing, &[Act::Final]),
            (P::Finishing, E::Resend) => (P::Finishing, &[ChunksAgain]),
            (P::Preparing, E::Resend) => (P::Preparing, &[Act::Final]),
            (P::Preparing, E::TargetPrepared) => (P::Committing, &[Persist(Mark::Committed)]),

            (P::Committing, E::Persisted) => (P::Committed, &[Act::Commit]),
            (P::Committing, E::Resend) => (P::Committing, &[Persist(Mark::Committed)]),
            (P::Committed, E::Resend | E::TargetPrepared) => (P::Committed, &[Act::Commit]),
            (P::Committed, E::TargetOwns) => (P::Releasing, &[Persist(Mark::Released)]),
            (P::Committed, E::TargetLost) => (P::Losing, &[Persist(Mark::LostKnown)]),
            (P::Committed | P::Lost, E::OperatorRelease) => {
                (P::Releasing, &[Persist(Mark::Released)])
            }
            (P::Committed | P::Lost, E::OperatorReclaim) => {
                (P::Reclaiming, &[Persist(Mark::Reclaimed)])
            }
            (P::Releasing, E::Persisted) => (
                P::Released,
                &[
                    Do(Action::Release),
                    Act::Done,
                    Report(Outcome::Moved),
                    Do(Action::Forget),
                ],
            ),
            (P::Releasing, E::Resend) => (P::Releasing, &[Persist(Mark::Released)]),
            (P::Released, E::TargetOwns | E::TargetLost) => (P::Released, &[Act::Done]),
            (P::Losing, E::Persisted) => (P::Lost, &[Act::Done, Report(Outcome::Lost)]),
            (P::Losing, E::Resend) => (P::Losing, &[Persist(Mark::LostKnown)]),
            (P::Lost, E::TargetLost) => (P::Lost, &[Act::Done]),
            (P::Lost | P::Reclaimed, E::TargetPrepared) => (self, &[Act::Abort]),
            (P::Reclaiming, E::Persisted) => (P::Reclaimed, &[Do(Action::Resume)]),
            (P::Reclaiming, E::Resend) => (P::Reclaiming, &[Persist(Mark::Reclaimed)]),
            (P::Reclaimed, E::TargetLost) | (P::Aborted, E::TargetLost) => (self, &[Act::Done]),
            (P::Reclaimed, E::TargetOwns) | (P::Aborted, E::TargetOwns) => {
                (self, &[Report(Outcome::Conflict)])
            }
            (
                P::Aborted,
                E::Accepted | E::TargetPrepared | E::AckedOld | E::AckedMore | E::AckedAll,
            ) => (P::Aborted, &[Act::Abort]),
            _ if event.may_come_late() => (self, &[]),
            _ => return None,
        };
        Some(rule)
    }

    /// The edges to [`Phase::Aborted`], one for each phase before the commit point: the source as
    /// if nothing had been tried.
    const fn abort_rule(self, event: Event) -> Option<(Self, &'static [Act])> {
        use Act::Do;
        use Event as E;
        let told = matches!(event, E::Refused | E::TargetAborted);
        let lost = matches!(event, E::TargetLost);
        let stop_failed = matches!((self, event), (Self::Stopping, E::StopFailed));
        let give_up = matches!((self, event), (Self::Scanning, E::ScanGiveUp));
        let ours = matches!(event, E::Deadline | E::LocalFailed | E::OperatorAbort);
        if !(told || lost || stop_failed || give_up || ours) {
            return None;
        }
        if matches!(event, E::Refused) && !matches!(self, Self::Offering) {
            return None;
        }
        let acts: &'static [Act] = match (self, told, lost) {
            (Self::Offering, true, _) => &[Act::Aborted],
            (Self::Offering, _, true) => &[Act::Done, Act::Aborted],
            (Self::Offering, _, _) => &[Act::Abort, Act::Aborted],
            (Self::Scanning | Self::Copying, true, _) => &[Do(Action::Untrack), Act::Aborted],
            (Self::Scanning | Self::Copying, _, true) => {
                &[Do(Action::Untrack), Act::Done, Act::Aborted]
            }
            (Self::Scanning | Self::Copying, _, _) => {
                &[Do(Action::Untrack), Act::Abort, Act::Aborted]
            }
            (_, true, _) => &[Do(Action::Resume), Do(Action::Untrack), Act::Aborted],
            (_, _, true) => &[
                Do(Action::Resume),
                Do(Action::Untrack),
                Act::Done,
                Act::Aborted,
            ],
            _ => &[
                Do(Action::Resume),
                Do(Action::Untrack),
                Act::Abort,
                Act::Aborted,
            ],
        };
        Some((Self::Aborted, acts))
    }

    /// Whether a failure here leads back to the running instance.
    pub const fn before_commit(self) -> bool {
        matches!(
            self,
            Self::Offering
                | Self::Scanning
                | Self::Copying
                | Self::Stopping
                | Self::Finishing
                | Self::Preparing
        )
    }

    /// Whether the machine has nothing left to do of its own.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Reclaimed | Self::Aborted)
    }

    /// The record whose writing this phase waits for.
    pub(super) const fn awaits(self) -> Option<Mark> {
        match self {
            Self::Committing => Some(Mark::Committed),
            Self::Releasing => Some(Mark::Released),
            Self::Losing => Some(Mark::LostKnown),
            Self::Reclaiming => Some(Mark::Reclaimed),
            _ => None,
        }
    }

    /// Whether something is said again here until it is answered.
    pub(super) const fn repeats(self) -> bool {
        matches!(
            self,
            Self::Offering
                | Self::Copying
                | Self::Finishing
                | Self::Preparing
                | Self::Committing
                | Self::Committed
                | Self::Releasing
                | Self::Losing
                | Self::Reclaiming
        )
    }

    /// Every phase, for tests that go through the table.
    pub const ALL: &[Self] = &[
        Self::Offering,
        Self::Scanning,
        Self::Copying,
        Self::Stopping,
        Self::Finishing,
        Self::Preparing,
        Self::Committing,
        Self::Committed,
        Self::Releasing,
        Self::Released,
        Self::Losing,
        Self::Lost,
        Self::Reclaiming,
        Self::Reclaimed,
        Self::Aborted,
    ];
}

impl Event {
    /// Events that a repeated or overtaken message, a late result or a tick gives rise to: where
    /// the table has no use for one, it changes nothing. The others are mistakes of the caller.
    const fn may_come_late(self) -> bool {
        !matches!(
            self,
            Self::OperatorAbort | Self::OperatorReclaim | Self::OperatorRelease
        )
    }

    /// Every event, for tests that go through the table.
    pub const ALL: &[Self] = &[
        Self::Accepted,
        Self::Refused,
        Self::AckedMore,
        Self::AckedAll,
        Self::AckedOld,
        Self::TargetPrepared,
        Self::TargetOwns,
        Self::TargetLost,
        Self::TargetAborted,
        Self::ScanAgain,
        Self::ScanStop,
        Self::ScanGiveUp,
        Self::Stopped,
        Self::StoppedEmpty,
        Self::StopFailed,
        Self::LocalFailed,
        Self::Persisted,
        Self::PersistFailed,
        Self::Resend,
        Self::Deadline,
        Self::OperatorAbort,
        Self::OperatorReclaim,
        Self::OperatorRelease,
    ];
}
