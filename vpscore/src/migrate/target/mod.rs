// SPDX-License-Identifier: BSD-2-Clause
//! The target's end: it has the instance once the source says so and its own journal does.

mod phase;

pub use phase::{Act, Event, Phase};

use super::flow::Budget;
use super::journal::{Found, Mark, Record, Role};
use super::message::{
    Abort, Accept, Ack, Attempt, Bare, InstanceKey, Message, MigrationId, Offer, Reason, Refuse,
};
use super::output::{Action, Output, Outputs, Reject, Report};
use super::terms::Capabilities;
use crate::limits::MIGRATE_WINDOW_MAX;
use crate::time::{Duration, Instant};

/// What the target's kernel and operator report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// [`Action::Check`] found room.
    Checked,
    /// [`Action::Check`] did not.
    CheckFailed(Reason),
    /// [`Action::Apply`] is done.
    Applied {
        /// Its number.
        seq: u64,
    },
    /// [`Action::Restore`] is done: the whole is as sent, and built.
    Restored,
    /// Something failed; what was sent is not what has come, say.
    Failed(Reason),
    /// The record with this mark is in the journal.
    Persisted(Mark),
    /// The record with this mark could not be written, or it is not known whether it was.
    PersistFailed(Mark),
    /// The operator gives up; refused once the target is in doubt.
    OperatorAbort,
    /// The operator takes the instance here while in doubt.
    OperatorOwn,
    /// The operator throws it away while in doubt; the source is told that it is lost.
    OperatorDiscard,
}

/// One migration, seen from the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    phase: Phase,
    migration: MigrationId,
    instance: InstanceKey,
    attempt: Attempt,
    budget: Budget,
    version: u16,
    window: u32,
    /// The chunk that is due.
    due: u64,
    /// Chunks below it are applied.
    applied: u64,
    /// What [`Action::Restore`] is to compare with.
    digest: [u8; 32],
    reason: Reason,
    interval: Duration,
    resend_at: Option<Instant>,
    deadline: Option<Instant>,
}

impl Target {
    /// An offer has come for a migration that this host knows nothing of. The machine may be over
    /// at once, with a refusal.
    pub fn begin(
        offer: &Offer,
        host: &Capabilities,
        attempt: Attempt,
        budget: Budget,
        now: Instant,
    ) -> (Self, Outputs) {
        let (migration, instance) = (offer.migration, offer.instance);
        let mut target = Self::at(Phase::Checking, migration, instance, attempt, budget);
        target.window = host.window.clamp(1, MIGRATE_WINDOW_MAX);
        let mut outputs = Outputs::NONE;
        match host.judge(offer) {
            Ok(version) => {
                target.version = version;
                target.enter(Phase::Checking, now);
                outputs.push(Output::Do(Action::Check));
            }
            Err(reason) => {
                target.reason = reason;
                target.enter(Phase::Discarded, now);
                target.fill(Act::Refuse, &mut outputs);
            }
        }
        (target, outputs)
    }

    /// Makes the machine anew after a crash from this host's journal. `None` where the journal has
    /// nothing of it: the target holds nothing.
    pub fn recover(
        migration: MigrationId,
        records: &[Record],
        budget: Budget,
        now: Instant,
    ) -> Option<(Self, Outputs)> {
        let marks = Found::of(records, migration, Role::Target)?;
        let (phase, acts): (Phase, &[Act]) = if marks.has(Mark::Owned) {
            (
                Phase::Owned,
                &[Act::Report(Report::DiedWithHost), Act::Owned],
            )
        } else if marks.has(Mark::Lost) {
            (Phase::Lost, &[Act::Lost])
        } else if marks.has(Mark::Prepared) {
            (Phase::Losing, &[Act::Persist(Mark::Lost)])
        } else {
            return None;
        };
        let mut target = Self::at(phase, migration, marks.instance, marks.attempt, budget);
        target.enter(phase, now);
        let mut outputs = Outputs::NONE;
        for act in acts {
            target.fill(*act, &mut outputs);
        }
        Some((target, outputs))
    }

    const fn at(
        phase: Phase,
        migration: MigrationId,
        instance: InstanceKey,
        attempt: Attempt,
        budget: Budget,
    ) -> Self {
        Self {
            phase,
            migration,
            instance,
            attempt,
            budget,
            version: 0,
            window: 1,
            due: 0,
            applied: 0,
            digest: [0; 32],
            reason: Reason::Unknown,
            interval: budget.resend,
            resend_at: None,
            deadline: None,
        }
    }

    /// Where it stands.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The digest that the source gave for the whole; zero until the final message has come.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// When to call [`Target::tick`] next.
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
        match message.attempt() {
            Some(got) if got != self.attempt => return Err(Reject::WrongAttempt { got }),
            _ => {}
        }
        let event = match message {
            Message::Offer(_) => Event::OfferAgain,
            Message::Chunk(chunk) => self.chunk(chunk.seq)?,
            Message::Final(last) => {
                let whole = last.chunks == self.applied;
                if whole && self.phase == Phase::Receiving {
                    self.digest = last.digest;
                } else if !whole {
                    self.note_reason(Reason::Mismatch);
                }
                if whole {
                    Event::FinalWhole
                } else {
                    Event::FinalShort
                }
            }
            Message::Commit(_) => Event::Commit,
            Message::Done(_) => Event::Done,
            Message::Abort(abort) => {
                self.note_reason(abort.reason);
                Event::SourceAborted
            }
            Message::Accept(_)
            | Message::Refuse(_)
            | Message::Ack(_)
            | Message::Prepared(_)
            | Message::Owned(_)
            | Message::Lost(_) => {
                return Err(Reject::WrongRole {
                    got: message.kind(),
                });
            }
        };
        if self.deadline.is_some() {
            self.deadline = Some(now.after(self.budget.silence));
        }
        self.step(event, now)
    }

    /// The local kernel or the operator has something to say.
    ///
    /// # Errors
    /// [`Reject`]; nothing has changed.
    pub fn local(&mut self, local: Local, now: Instant) -> Result<Outputs, Reject> {
        let before = self.reason;
        let event = match local {
            Local::Checked => Event::Checked,
            Local::CheckFailed(reason) => {
                self.note_reason(reason);
                Event::CheckFailed
            }
            Local::Applied { seq } => {
                if self.phase != Phase::Receiving || seq != self.applied || seq >= self.due {
                    return Ok(Outputs::NONE);
                }
                self.applied = self.applied.saturating_add(1);
                Event::Applied
            }
            Local::Restored => Event::Restored,
            Local::Failed(reason) => {
                self.note_reason(reason);
                Event::LocalFailed
            }
            Local::Persisted(mark) if self.phase.awaits() == Some(mark) => Event::Persisted,
            Local::PersistFailed(mark) if self.phase.awaits() == Some(mark) => {
                self.note_reason(Reason::TargetFailed);
                Event::PersistFailed
            }
            // The result for a record that is no longer waited for says nothing.
            Local::Persisted(_) | Local::PersistFailed(_) => return Ok(Outputs::NONE),
            Local::OperatorAbort | Local::OperatorDiscard => {
                self.note_reason(Reason::Operator);
                if local == Local::OperatorAbort {
                    Event::OperatorAbort
                } else {
                    Event::OperatorDiscard
                }
            }
            Local::OperatorOwn => Event::OperatorOwn,
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

    fn chunk(&mut self, seq: u64) -> Result<Event, Reject> {
        let end = self.applied.saturating_add(u64::from(self.window));
        if seq >= end {
            return Err(Reject::OutOfWindow { got: seq, end });
        }
        if seq != self.due || self.phase != Phase::Receiving {
            return Ok(Event::ChunkOther);
        }
        self.due = self.due.saturating_add(1);
        Ok(Event::ChunkDue)
    }

    const fn note_reason(&mut self, reason: Reason) {
        if !self.phase.is_over() {
            self.reason = reason;
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
        self.deadline = phase.gives_up().then(|| now.after(self.budget.silence));
    }

    fn fill(&self, act: Act, outputs: &mut Outputs) {
        let migration = self.migration;
        let reason = self.reason;
        let attempt = self.attempt;
        let bare = Bare { migration, attempt };
        let output = match act {
            Act::Accept => Output::Send(Message::Accept(Accept {
                migration,
                version: self.version,
                window: self.window,
                attempt,
            })),
            Act::Refuse => Output::Send(Message::Refuse(Refuse { migration, reason })),
            Act::Ack => Output::Send(Message::Ack(Ack {
                migration,
                through: self.applied,
                attempt,
            })),
            Act::Prepared => Output::Send(Message::Prepared(bare)),
            Act::Owned => Output::Send(Message::Owned(bare)),
            Act::Lost => Output::Send(Message::Lost(bare)),
            Act::Abort => Output::Send(Message::Abort(Abort { migration, reason })),
            Act::Apply => Output::Do(Action::Apply {
                seq: self.due.saturating_sub(1),
            }),
            Act::Persist(mark) => Output::Persist(Record {
                migration,
                instance: self.instance,
                role: Role::Target,
                mark,
                attempt,
            }),
            Act::Do(action) => Output::Do(action),
            Act::Aborted => Output::Report(Report::Aborted(reason)),
            Act::Report(report) => Output::Report(report),
        };
        outputs.push(output);
    }

    /// Whether the numbers agree with each other and with the phase.
    pub const fn invariants(&self) -> bool {
        let ordered = self.applied <= self.due;
        let bounded = self.due.saturating_sub(self.applied) <= self.window as u64;
        let sure = self.phase.gives_up() || self.deadline.is_none();
        ordered && bounded && sure
    }
}
