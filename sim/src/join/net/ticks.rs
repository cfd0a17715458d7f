// SPDX-License-Identifier: BSD-2-Clause
//! Ticks of a kernel as spans of time of an image, and back.
//!
//! A tick is a millisecond, and says nothing on another host: a tick that was becomes how long ago it was, one that
//! comes what remains until then. Both are exact, so that a vnet whose clock goes on where it stood gets every tick
//! back bit by bit.

use vpscore::limits::SPAN_MAX;

use super::error::Unfit;
use crate::net::tcp::Ticks;
use crate::time::{Duration, Instant};

/// Nanoseconds of a unit of `t_srtt` and of `t_rttvar`: 1/32 and 1/16 of a tick.
pub(super) const SRTT_UNIT: i64 = 1_000_000 / 32;
pub(super) const RTTVAR_UNIT: i64 = 1_000_000 / 16;

/// The length of so many ticks.
pub(super) fn span(ticks: u32) -> Duration {
    Duration::from_millis(ticks.into())
}

/// So many ticks, at most what a positive `int` holds.
pub(super) fn as_ticks(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).map_or(i32::MAX as u32, |t| t.min(i32::MAX as u32))
}

/// So many ticks, at most what an `unsigned int` holds.
pub(super) fn as_long_ticks(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// How long ago a tick was; `None` for 0, which is never.
pub(super) fn age(now: Ticks, then: Ticks) -> Option<Duration> {
    (then != 0).then(|| span(now.wrapping_sub(then)))
}

/// The tick so long ago; never 0 where there was one.
pub(super) fn ago(now: Ticks, age: Option<Duration>) -> Ticks {
    let Some(age) = age else { return 0 };
    match now.wrapping_sub(u32::try_from(age.as_millis()).unwrap_or(u32::MAX)) {
        0 => u32::MAX,
        then => then,
    }
}

/// How long ago a moment was, as far as an image says it: of what has been waited for since, nothing takes longer.
pub(super) fn past(now: Instant, then: Instant) -> Duration {
    now.since(then).min(SPAN_MAX)
}

/// The moment so long before `now`.
pub(super) fn before(now: Instant, age: Duration) -> Instant {
    Instant::from_nanos(now.as_nanos().saturating_sub(age.as_nanos()))
}

/// What remains until a moment; `None` where it has come.
pub(super) fn left(now: Instant, at: Instant) -> Option<Duration> {
    (at > now).then(|| at.since(now))
}

/// A fixed-point time in nanoseconds.
pub(super) fn fixed(value: i32, unit: i64) -> i64 {
    i64::from(value) * unit
}

/// A fixed-point time of so many nanoseconds.
pub(super) fn from_fixed(ns: i64, unit: i64) -> Result<i32, Unfit> {
    i32::try_from(ns / unit).map_err(|_| Unfit::Limit)
}
