// SPDX-License-Identifier: BSD-2-Clause
//! Numbers of a migration: budgets, the window of chunks, and when pre-copy ends.

use crate::limits::{MIGRATE_CHUNKS_MAX, MIGRATE_ROUNDS_MAX};
use crate::time::{Duration, Instant};

/// What a migration may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// For the target to answer the offer.
    pub negotiation: Duration,
    /// For all pre-copy rounds together.
    pub precopy: Duration,
    /// Pre-copy rounds; at most [`MIGRATE_ROUNDS_MAX`].
    pub rounds: u32,
    /// Bytes sent in all pre-copy rounds together.
    pub bytes: u64,
    /// Pre-copy ends as soon as what is left would take no longer than this to send.
    pub downtime_wanted: Duration,
    /// The instance is not stopped for longer than this before the commit point; and where pre-copy
    /// ends by its budget with more than this left to send, the migration is given up.
    pub downtime_most: Duration,
    /// First interval after which an unanswered message is sent again; doubles each time.
    pub resend: Duration,
    /// The interval does not grow beyond this.
    pub resend_most: Duration,
    /// The target gives up when nothing has come for this long, before it is prepared.
    pub silence: Duration,
}

impl Budget {
    /// For a local network: stop for 300 ms at best, 5 s at worst.
    pub const LAN: Self = Self {
        negotiation: Duration::from_secs(10),
        precopy: Duration::from_secs(600),
        rounds: 30,
        bytes: 1 << 40,
        downtime_wanted: Duration::from_millis(300),
        downtime_most: Duration::from_secs(5),
        resend: Duration::from_millis(200),
        resend_most: Duration::from_secs(5),
        silence: Duration::from_secs(30),
    };
}

/// What comes after a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Another round while the instance runs.
    Again,
    /// Little enough is left: stop the instance.
    Stop,
    /// The budget is spent and too much is left.
    GiveUp,
}

/// What has been sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Rounds begun.
    pub rounds: u32,
    /// Bytes in all rounds.
    pub bytes: u64,
    /// Bytes of the round sent last.
    pub round_bytes: u64,
    /// When it began.
    pub round_began: Instant,
    /// How long it took.
    pub round_took: Duration,
    /// When pre-copy began.
    pub began: Instant,
}

impl Progress {
    pub(super) const fn start(now: Instant) -> Self {
        Self {
            rounds: 0,
            bytes: 0,
            round_bytes: 0,
            round_began: now,
            round_took: Duration::ZERO,
            began: now,
        }
    }

    pub(super) const fn begin_round(&mut self, bytes: u64, now: Instant) {
        self.rounds = self.rounds.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.round_bytes = bytes;
        self.round_began = now;
    }

    pub(super) const fn end_round(&mut self, now: Instant) {
        self.round_took = now.since(self.round_began);
    }

    /// The rule of convergence: what is left, sent at the pace of the last round, against the two
    /// downtimes; and the budget.
    pub fn next(&self, left: u64, budget: &Budget, now: Instant) -> Next {
        // Nothing to send would be a round that no acknowledgement ends.
        if left == 0 {
            return Next::Stop;
        }
        if self.rounds == 0 {
            return Next::Again;
        }
        if self.fits(left, budget.downtime_wanted.min(budget.downtime_most)) {
            return Next::Stop;
        }
        let spent = self.rounds >= budget.rounds.min(MIGRATE_ROUNDS_MAX)
            || self.bytes.saturating_add(left) > budget.bytes
            || now.since(self.began) >= budget.precopy;
        match (spent, self.fits(left, budget.downtime_most)) {
            (false, _) => Next::Again,
            (true, true) => Next::Stop,
            (true, false) => Next::GiveUp,
        }
    }

    /// Whether `left` bytes take at most `within` at the pace of the last round:
    /// left / (bytes / took) <= within, without dividing.
    fn fits(&self, left: u64, within: Duration) -> bool {
        let wanted = u128::from(left).saturating_mul(u128::from(self.round_took.as_nanos()));
        let had = u128::from(within.as_nanos()).saturating_mul(u128::from(self.round_bytes));
        wanted <= had
    }
}

/// Chunk numbers at the source: acknowledged, handed to the kernel, end of the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window {
    pub(super) acked: u64,
    pub(super) sent: u64,
    pub(super) end: u64,
    pub(super) size: u64,
}

impl Window {
    pub(super) const EMPTY: Self = Self {
        acked: 0,
        sent: 0,
        end: 0,
        size: 1,
    };

    /// Adds a round of `chunks`; `None` where a migration may not have so many.
    pub(super) fn add_round(&mut self, chunks: u64) -> Option<()> {
        let end = self.end.checked_add(chunks)?;
        if end > MIGRATE_CHUNKS_MAX {
            return None;
        }
        self.end = end;
        Some(())
    }

    /// What may be handed to the kernel now: first and count.
    pub(super) fn open(&mut self) -> (u64, u64) {
        let first = self.sent;
        let most = self.acked.saturating_add(self.size).min(self.end);
        self.sent = self.sent.max(most);
        (first, self.sent.saturating_sub(first))
    }

    /// What is under way and not acknowledged: first and count.
    pub(super) const fn outstanding(&self) -> (u64, u64) {
        (self.acked, self.sent.saturating_sub(self.acked))
    }
}
