// SPDX-License-Identifier: BSD-2-Clause
//! The source's end: it has the instance until it commits.

mod phase;

pub use phase::{Act, Event, Phase};

use super::flow::{Budget, Next, Progress, Window};
use super::journal::{Found, Mark, Record, Role};
use super::message::{
    Abort, Attempt, Bare, Final, InstanceKey, Message, MigrationId, Offer, Reason,
};
use super::output::{Action, Output, Outputs, Reject, Report};
use crate::time::{Duration, Instant};

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    phase: Phase,
    offer: Option<Offer>,
    migration: MigrationId,
    instance: InstanceKey,
    /// The attempt of the target that was accepted first.
    attempt: Option<Attempt>,
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
        records: &[Record],
        budget: Budget,
        now: Instant,
    ) -> Option<(Self, Outputs)> {
        let marks = Found::of(records, migration, Role::Source)?;
        let instance = marks.instance;
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
        source.attempt = Some(marks.attempt);
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
            attempt: None,
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

    /// The attempt of the target it deals with, to be put into the [`super::Chunk`] messages.
    pub const fn attempt(&self) -> Option<Attempt> {
        self.attempt
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
        self.check_attempt(message)?;
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
                    self.attempt = Some(accept.attempt);
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

    /// Whatever follows the first acceptance must be of the same attempt. Once the migration is
    /// aborted, every attempt that may hold something is told so.
    fn check_attempt(&self, message: &Message) -> Result<(), Reject> {
        let free = match message {
            Message::Accept(_) => matches!(self.phase, Phase::Offering | Phase::Aborted),
            Message::Ack(_) | Message::Prepared(_) => self.phase == Phase::Aborted,
            Message::Owned(_) | Message::Lost(_) => false,
            // Without an attempt, or refused for their role whatever it is.
            Message::Offer(_)
            | Message::Refuse(_)
            | Message::Chunk(_)
            | Message::Final(_)
            | Message::Commit(_)
            | Message::Done(_)
            | Message::Abort(_) => true,
        };
        match message.attempt() {
            Some(got) if !free && self.attempt != Some(got) => Err(Reject::WrongAttempt { got }),
            _ => Ok(()),
        }
    }

    /// The local kernel or the operator has something to say.
    ///
    /// # Errors
    /// [`Reject`]; nothing has changed.
    pub fn local(&mut self, local: Local, now: Instant) -> Result<Outputs, Reject> {
        let before = self.reason;
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
        let outputs = self.step(event, now);
        if outputs.is_err() {
            self.reason = before;
        }
        outputs
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
        if self.phase == Phase::Aborted {
            return Ok(Event::AckedOld);
        }
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
        // Nothing that names the attempt is said before there is one.
        let attempt = self.attempt.unwrap_or(Attempt(0));
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
                attempt,
            })),
            Act::Commit => Output::Send(Message::Commit(Bare { migration, attempt })),
            Act::Done => Output::Send(Message::Done(Bare { migration, attempt })),
            Act::Abort => Output::Send(Message::Abort(Abort {
                migration,
                reason: self.reason,
            })),
            Act::Persist(mark) => Output::Persist(Record {
                migration,
                instance: self.instance,
                role: Role::Source,
                mark,
                attempt,
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
