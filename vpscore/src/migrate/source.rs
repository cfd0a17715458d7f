// SPDX-License-Identifier: BSD-2-Clause
//! The source's end: it has the instance until it commits.

use super::flow::{Budget, Next, Progress, Window};
use super::journal::{Mark, Marks, Record, Role};
use super::message::{
    Abort, Bare, Final, InstanceKey, Message, MessageKind, MigrationId, Offer, Reason,
};
use super::output::{Action, Output, Outputs, Reject, Report};
use crate::time::{Duration, Instant};

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
                    Report(super::Report::Moved),
                    Do(Action::Forget),
                ],
            ),
            (P::Releasing, E::Resend) => (P::Releasing, &[Persist(Mark::Released)]),
            (P::Released, E::TargetOwns | E::TargetLost) => (P::Released, &[Act::Done]),
            (P::Losing, E::Persisted) => (P::Lost, &[Act::Done, Report(super::Report::Lost)]),
            (P::Losing, E::Resend) => (P::Losing, &[Persist(Mark::LostKnown)]),
            (P::Lost, E::TargetLost) => (P::Lost, &[Act::Done]),
            (P::Lost | P::Reclaimed, E::TargetPrepared) => (self, &[Act::Abort]),
            (P::Reclaiming, E::Persisted) => (P::Reclaimed, &[Do(Action::Resume)]),
            (P::Reclaiming, E::Resend) => (P::Reclaiming, &[Persist(Mark::Reclaimed)]),
            (P::Reclaimed, E::TargetLost) | (P::Aborted, E::TargetLost) => (self, &[Act::Done]),
            (P::Reclaimed, E::TargetOwns) | (P::Aborted, E::TargetOwns) => {
                (self, &[Report(super::Report::Conflict)])
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
    const fn awaits(self) -> Option<Mark> {
        match self {
            Self::Committing => Some(Mark::Committed),
            Self::Releasing => Some(Mark::Released),
            Self::Losing => Some(Mark::LostKnown),
            Self::Reclaiming => Some(Mark::Reclaimed),
            _ => None,
        }
    }

    /// Whether something is said again here until it is answered.
    const fn repeats(self) -> bool {
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

/// What the source's kernel and operator report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// [`Action::Scan`] is done.
    Scanned {
        /// Chunks to send.
        chunks: u64,
        /// Bytes in them.
        bytes: u64,
    },
    /// [`Action::Stop`] is done.
    Stopped {
        /// Last chunks to send.
        chunks: u64,
        /// Bytes in them.
        bytes: u64,
        /// The digest of the whole image.
        digest: [u8; 32],
    },
    /// [`Action::Stop`] failed at its deadline; no thread is stopped.
    StopFailed,
    /// Something else failed: the instance holds what cannot be carried, say.
    Failed,
    /// The record with this mark is in the journal.
    Persisted(Mark),
    /// The record with this mark could not be written, or it is not known whether it was.
    PersistFailed(Mark),
    /// The operator gives up; refused from the commit point on.
    OperatorAbort,
    /// The operator takes the instance back after the commit point.
    OperatorReclaim,
    /// The operator says that the target has it.
    OperatorRelease,
}

/// One migration, seen from the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    phase: Phase,
    offer: Option<Offer>,
    migration: MigrationId,
    instance: InstanceKey,
    budget: Budget,
    window: Window,
    progress: Progress,
    digest: [u8; 32],
    reason: Reason,
    stopped_at: Option<Instant>,
    downtime: Option<Duration>,
    interval: Duration,
    resend_at: Option<Instant>,
    deadline: Option<Instant>,
}

impl Source {
    /// Begins a migration.
    pub fn begin(offer: Offer, budget: Budget, now: Instant) -> (Self, Outputs) {
        let mut source = Self::at(
            Phase::Offering,
            offer.migration,
            offer.instance,
            budget,
            now,
        );
        source.offer = Some(offer);
        source.enter(Phase::Offering, now);
        let mut outputs = Outputs::NONE;
        source.fill(Act::Offer, &mut outputs);
        (source, outputs)
    }

    /// Makes the machine anew after a crash from this host's journal. `None` where the journal has
    /// nothing that binds the source: the migration is aborted, and [`super::answer_unknown`] says
    /// so to whoever asks.
    pub fn recover(
        migration: MigrationId,
        instance: InstanceKey,
        records: &[Record],
        budget: Budget,
        now: Instant,
    ) -> Option<(Self, Outputs)> {
        let marks = Marks::of(records, migration, Role::Source);
        let (phase, acts): (Phase, &[Act]) = if marks.has(Mark::Reclaimed) {
            (Phase::Reclaimed, &[Act::Do(Action::Resume)])
        } else if marks.has(Mark::Released) {
            (
                Phase::Released,
                &[Act::Do(Action::Release), Act::Done, Act::Do(Action::Forget)],
            )
        } else if marks.has(Mark::LostKnown) {
            (Phase::Lost, &[Act::Done, Act::Report(Report::Lost)])
        } else if marks.has(Mark::Committed) {
            (Phase::Committed, &[Act::Commit])
        } else {
            return None;
        };
        let mut source = Self::at(phase, migration, instance, budget, now);
        source.enter(phase, now);
        let mut outputs = Outputs::NONE;
        for act in acts {
            source.fill(*act, &mut outputs);
        }
        Some((source, outputs))
    }

    fn at(
        phase: Phase,
        migration: MigrationId,
        instance: InstanceKey,
        budget: Budget,
        now: Instant,
    ) -> Self {
        Self {
            phase,
            offer: None,
            migration,
            instance,
            budget,
            window: Window::EMPTY,
            progress: Progress::start(now),
            digest: [0; 32],
            reason: Reason::Unknown,
            stopped_at: None,
            downtime: None,
            interval: budget.resend,
            resend_at: None,
            deadline: None,
        }
    }

    /// Where it stands.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What has been sent.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// From the request to stop until the target said that it owns the instance: an upper bound of
    /// the time during which nobody ran it.
    pub const fn downtime(&self) -> Option<Duration> {
        self.downtime
    }

    /// When to call [`Source::tick`] next.
    pub fn next_timer(&self) -> Option<Instant> {
        match (self.resend_at, self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// A message has come.
    ///
    /// # Errors
    /// [`Reject`]; nothing has changed.
    pub fn message(&mut self, message: &Message, now: Instant) -> Result<Outputs, Reject> {
        let got = message.migration();
        if got != self.migration {
            return Err(Reject::WrongMigration { got });
        }
        let event = match message {
            Message::Accept(accept) => {
                if self.phase == Phase::Offering {
                    let offered = self.offer.as_ref().is_some_and(|offer| {
                        (offer.version_min..=offer.version_max).contains(&accept.version)
                    });
                    if !offered {
                        return Err(Reject::BadVersion {
                            got: accept.version,
                        });
                    }
                    self.window.size = u64::from(accept.window);
                }
                Event::Accepted
            }
            Message::Refuse(refuse) => {
                self.note_reason(refuse.reason);
                Event::Refused
            }
            Message::Ack(ack) => self.acked(ack.through, now)?,
            Message::Prepared(_) => Event::TargetPrepared,
            Message::Owned(_) => {
                self.note_owned(now);
                Event::TargetOwns
            }
            Message::Lost(_) => {
                self.note_reason(Reason::TargetLost);
                Event::TargetLost
            }
            Message::Abort(abort) => {
                self.note_reason(abort.reason);
                Event::TargetAborted
            }
            Message::Offer(_)
            | Message::Chunk(_)
            | Message::Final(_)
            | Message::Commit(_)
            | Message::Done(_) => {
                return Err(Reject::WrongRole {
                    got: message.kind(),
                });
            }
        };
        self.step(event, now)
    }

    /// The local kernel or the operator has something to say.
    ///
    /// # Errors
    /// [`Reject`]; nothing has changed.
    pub fn local(&mut self, local: Local, now: Instant) -> Result<Outputs, Reject> {
        let event = match local {
            Local::Scanned { chunks, bytes } => self.scanned(chunks, bytes, now)?,
            Local::Stopped {
                chunks,
                bytes,
                digest,
            } => self.stopped(chunks, bytes, digest, now)?,
            Local::StopFailed => {
                self.note_reason(Reason::StopFailed);
                Event::StopFailed
            }
            Local::Failed => {
                self.note_reason(Reason::SourceFailed);
                Event::LocalFailed
            }
            // The result for a record that is no longer waited for says nothing.
            Local::Persisted(mark) if self.phase.awaits() == Some(mark) => Event::Persisted,
            Local::PersistFailed(mark) if self.phase.awaits() == Some(mark) => Event::PersistFailed,
            Local::Persisted(_) | Local::PersistFailed(_) => return Ok(Outputs::NONE),
            Local::OperatorAbort => {
                self.note_reason(Reason::Operator);
                Event::OperatorAbort
            }
            Local::OperatorReclaim => Event::OperatorReclaim,
            Local::OperatorRelease => Event::OperatorRelease,
        };
        self.step(event, now)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Outputs {
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.note_reason(Reason::Deadline);
            return self.step(Event::Deadline, now).unwrap_or(Outputs::NONE);
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            let doubled = self.interval.times(2).min(self.budget.resend_most);
            let outputs = self.step(Event::Resend, now).unwrap_or(Outputs::NONE);
            self.interval = doubled;
            self.resend_at = self.phase.repeats().then(|| now.after(doubled));
            return outputs;
        }
        Outputs::NONE
    }

    fn scanned(&mut self, chunks: u64, bytes: u64, now: Instant) -> Result<Event, Reject> {
        if self.phase != Phase::Scanning {
            return Ok(Event::ScanStop);
        }
        Ok(match self.progress.next(bytes, &self.budget, now) {
            Next::Again => {
                // A round of nothing would never be acknowledged.
                self.add_round(chunks.max(1), bytes, now)?;
                Event::ScanAgain
            }
            Next::Stop => Event::ScanStop,
            Next::GiveUp => {
                self.note_reason(Reason::NotConverging);
                Event::ScanGiveUp
            }
        })
    }

    fn stopped(
        &mut self,
        chunks: u64,
        bytes: u64,
        digest: [u8; 32],
        now: Instant,
    ) -> Result<Event, Reject> {
        if self.phase == Phase::Stopping {
            self.add_round(chunks, bytes, now)?;
            self.digest = digest;
        }
        Ok(if chunks == 0 {
            Event::StoppedEmpty
        } else {
            Event::Stopped
        })
    }

    fn add_round(&mut self, chunks: u64, bytes: u64, now: Instant) -> Result<(), Reject> {
        self.window
            .add_round(chunks)
            .ok_or(Reject::TooManyChunks { got: chunks })?;
        self.progress.begin_round(bytes, now);
        Ok(())
    }

    fn acked(&mut self, through: u64, now: Instant) -> Result<Event, Reject> {
        if through > self.window.sent {
            let end = self.window.sent.saturating_add(1);
            return Err(Reject::OutOfWindow { got: through, end });
        }
        let copying = matches!(self.phase, Phase::Copying | Phase::Finishing);
        if through <= self.window.acked || !copying {
            return Ok(Event::AckedOld);
        }
        self.window.acked = through;
        self.interval = self.budget.resend;
        self.resend_at = Some(now.after(self.interval));
        if through == self.window.end {
            self.progress.end_round(now);
            Ok(Event::AckedAll)
        } else {
            Ok(Event::AckedMore)
        }
    }

    /// Why it is given up; the first reason stays once it is.
    const fn note_reason(&mut self, reason: Reason) {
        if self.phase.before_commit() {
            self.reason = reason;
        }
    }

    fn note_owned(&mut self, now: Instant) {
        if self.phase == Phase::Committed {
            self.downtime = self.stopped_at.map(|at| now.since(at));
        }
    }

    fn step(&mut self, event: Event, now: Instant) -> Result<Outputs, Reject> {
        let (next, acts) = self.phase.rule(event).ok_or(Reject::WrongPhase)?;
        if next != self.phase {
            self.enter(next, now);
        }
        let mut outputs = Outputs::NONE;
        for act in acts {
            self.fill(*act, &mut outputs);
        }
        Ok(outputs)
    }

    /// The one place where the phase is assigned; sets its timers.
    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.interval = self.budget.resend;
        self.resend_at = phase.repeats().then(|| now.after(self.interval));
        match phase {
            Phase::Offering => self.deadline = Some(now.after(self.budget.negotiation)),
            // A round that hangs is caught by the same clock as one that does not converge, plus
            // the time a last round may take.
            Phase::Scanning if self.progress.rounds == 0 => {
                self.progress = Progress::start(now);
                let most = self.budget.precopy.plus(self.budget.silence);
                self.deadline = Some(now.after(most));
            }
            Phase::Stopping => {
                self.stopped_at = Some(now);
                self.deadline = Some(now.after(self.budget.downtime_most));
            }
            Phase::Scanning | Phase::Copying | Phase::Finishing | Phase::Preparing => {}
            Phase::Committing
            | Phase::Committed
            | Phase::Releasing
            | Phase::Released
            | Phase::Losing
            | Phase::Lost
            | Phase::Reclaiming
            | Phase::Reclaimed
            | Phase::Aborted => self.deadline = None,
        }
    }

    fn fill(&mut self, act: Act, outputs: &mut Outputs) {
        let migration = self.migration;
        let output = match act {
            Act::Offer => match self.offer {
                Some(offer) => Output::Send(Message::Offer(offer)),
                None => return,
            },
            Act::Chunks | Act::ChunksAgain => {
                let (first, count) = if act == Act::Chunks {
                    self.window.open()
                } else {
                    self.window.outstanding()
                };
                if count == 0 {
                    return;
                }
                Output::Do(Action::SendChunks { first, count })
            }
            Act::Final => Output::Send(Message::Final(Final {
                migration,
                chunks: self.window.end,
                digest: self.digest,
            })),
            Act::Commit => Output::Send(Message::Commit(Bare { migration })),
            Act::Done => Output::Send(Message::Done(Bare { migration })),
            Act::Abort => Output::Send(Message::Abort(Abort {
                migration,
                reason: self.reason,
            })),
            Act::Persist(mark) => Output::Persist(Record {
                migration,
                instance: self.instance,
                role: Role::Source,
                mark,
            }),
            Act::Do(action) => Output::Do(action),
            Act::Aborted => Output::Report(Report::Aborted(self.reason)),
            Act::Report(report) => Output::Report(report),
        };
        outputs.push(output);
    }

    /// Whether the numbers agree with each other and with the phase.
    pub fn invariants(&self) -> bool {
        let window = &self.window;
        let ordered = window.acked <= window.sent && window.sent <= window.end;
        let bounded = window.sent.saturating_sub(window.acked) <= window.size;
        let sure = self.phase.before_commit() || self.deadline.is_none();
        let done = self.phase != Phase::Preparing || window.acked == window.end;
        ordered && bounded && sure && done
    }
}

/// Messages that a source receives.
pub const RECEIVES: &[MessageKind] = &[
    MessageKind::Accept,
    MessageKind::Refuse,
    MessageKind::Ack,
    MessageKind::Prepared,
    MessageKind::Owned,
    MessageKind::Lost,
    MessageKind::Abort,
];
