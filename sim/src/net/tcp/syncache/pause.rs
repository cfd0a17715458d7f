// SPDX-License-Identifier: BSD-2-Clause
//! What happens where the SYN cache has no room: a row or the whole of it is full (`syncache_insert`,
//! `syncache_add`, `syncache_pause`, `syncache_unpause`; `tcp_syncache.c`, 15.0).
//!
//! The oldest entry of the row goes. Where there are SYN cookies, the cache is then left alone for a
//! while and every SYN is answered with one: under an attack entries would only push each other out.
//! An attack that goes on, or comes back soon, doubles the pause.

use super::cookie::LIFETIME;
use crate::net::inpcb::InConninfo as Conninfo;
use crate::net::tcp::{Sysctl, Tcp};
use crate::time::{Duration, Instant};

/// `TCP_SYNCACHE_MAX_BACKOFF`: the longest pause is 16 minutes.
const MAX_BACKOFF: u8 = 6;

/// `TCP_SYNCACHE_PAUSE_TIME`, doubled so often.
fn pause_time(backoff: u8) -> Duration {
    Duration::from_nanos(LIFETIME.as_nanos() << backoff.min(MAX_BACKOFF))
}

/// Whether the cache is left alone, and for how long it was the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    /// `paused`
    pub(crate) paused: bool,
    /// `pause_until`: when the pause ends, or the last one ended.
    pub(crate) until: Option<Instant>,
    /// `pause_backoff`
    pub(crate) backoff: u8,
}

impl Pause {
    fn begin(&mut self, now: Instant) {
        if self.paused {
            return;
        }
        let span = pause_time(self.backoff);
        if self.until.is_some_and(|until| until.after(span) > now) {
            self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
        } else {
            self.backoff = 0;
        }
        self.paused = true;
        self.until = Some(now.after(pause_time(self.backoff)));
    }

    /// When the pause ends, while one lasts.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.until.filter(|_| self.paused)
    }

    pub(super) fn run(&mut self, now: Instant) {
        if self.ends().is_some_and(|at| at <= now) {
            self.paused = false;
        }
    }
}

impl Tcp {
    /// Drops the oldest entry of a row for want of room; false where it has none.
    fn syncache_overflow(&mut self, bucket: u32, now: Instant) -> bool {
        let Some(row) = self.syncache.buckets.get_mut(&bucket) else {
            return false;
        };
        let Some(oldest) = row.list.first().copied() else {
            return false;
        };
        row.last_overflow = Some(now);
        if self.sysctl.syncookies != 0 {
            self.syncache.pause.begin(now);
        }
        let hashsize = self.sysctl.syncache_hashsize;
        self.syncache.remove(&oldest, hashsize);
        true
    }

    /// Whether the cache has room for one more entry, if need be that of the oldest of its row.
    pub(super) fn syncache_has_room(&mut self, inc: &Conninfo, now: Instant) -> bool {
        let used = self.syncache.entries.len() as i64;
        let bucket = self.syncache.bucket(inc, self.sysctl.syncache_hashsize);
        used < self.sysctl.syncache_cachelimit || self.syncache_overflow(bucket, now)
    }

    /// Makes room in the row of a new entry.
    pub(super) fn syncache_row_room(&mut self, inc: &Conninfo, now: Instant) {
        let bucket = self.syncache.bucket(inc, self.sysctl.syncache_hashsize);
        let used = self.syncache.buckets.get(&bucket);
        let used = used.map_or(0, |row| row.list.len()) as i64;
        if used >= self.sysctl.syncache_bucketlimit.max(1) {
            self.syncache_overflow(bucket, now);
        }
    }

    /// The limits or the number of rows have changed: as if it had always been so, what has no room goes, the
    /// oldest first. In FreeBSD these are tunables of the loader (`CTLFLAG_RDTUN`) and never change.
    pub(in crate::net::tcp) fn syncache_resize(&mut self, old: &Sysctl, now: Instant) {
        let new = &self.sysctl;
        let rows = old.syncache_hashsize != new.syncache_hashsize;
        let limits = |s: &Sysctl| (s.syncache_bucketlimit, s.syncache_cachelimit);
        if !rows && limits(old) == limits(new) {
            return;
        }
        let mut entries = std::mem::take(&mut self.syncache.entries)
            .into_values()
            .collect::<Vec<_>>();
        entries.sort_by_key(|sc| sc.age);
        let most = usize::try_from(new.syncache_cachelimit).unwrap_or(0);
        entries.drain(..entries.len().saturating_sub(most));
        self.syncache.timerq.clear();
        if rows {
            self.syncache.buckets.clear();
        }
        for row in self.syncache.buckets.values_mut() {
            row.list.clear();
        }
        for sc in entries {
            self.syncache_restore(sc, now);
        }
    }

    /// During a pause the timer of a row drops all its entries, due or not (`syncache_timer`).
    pub(super) fn syncache_drop_row(&mut self, inc: &Conninfo) {
        let hashsize = self.sysctl.syncache_hashsize;
        let bucket = self.syncache.bucket(inc, hashsize);
        let row = self.syncache.buckets.get_mut(&bucket);
        let entries = row.map_or_else(Vec::new, |row| std::mem::take(&mut row.list));
        for entry in entries {
            self.syncache.remove(&entry, hashsize);
        }
    }
}
