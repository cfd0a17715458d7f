// SPDX-License-Identifier: BSD-2-Clause
//! Callouts as data (`sys/kern/kern_timeout.c`, 15.0): what is to happen when, never a closure.

use super::Kern;
use super::hooks::Hooks;
use super::types::{ProcId, SIGALRM, Tid};
use crate::time::{Duration, Instant};

/// What happens when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callout {
    /// A sleep is over.
    Wakeup(Tid),
    /// A process's real-time interval timer fires (`realitexpire`).
    Itimer(ProcId),
}

impl Kern {
    /// When the next callout fires.
    pub fn next_callout(&self) -> Option<Instant> {
        self.callouts.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Fires the callouts that are due, those of equal time in the order they were set.
    pub fn run_callouts(&mut self, now: Instant, hooks: &mut dyn Hooks) {
        let _ = hooks;
        self.advance(now);
        while let Some(first) = self.callouts.first_entry() {
            if first.key().0 > now {
                break;
            }
            match first.remove() {
                Callout::Wakeup(td) => self.wake(td),
                Callout::Itimer(p) => self.realitexpire(p),
            }
        }
    }

    pub(crate) fn callout_reset(&mut self, at: Instant, what: Callout) -> (Instant, u64) {
        let order = self.unique();
        self.callout_resume(at, order, what)
    }

    /// The same for one that had its turn before a suspension and keeps it.
    pub(crate) fn callout_resume(
        &mut self,
        at: Instant,
        order: u64,
        what: Callout,
    ) -> (Instant, u64) {
        let key = (at, order);
        self.callouts.insert(key, what);
        key
    }

    /// `realitexpire`: sends the signal and sets the timer again, at a multiple of the interval
    /// past its first time, not past now.
    fn realitexpire(&mut self, p: ProcId) {
        let now = self.now;
        let Some(proc) = self.procs.get_mut(&p) else {
            return;
        };
        let fired = proc.itimer.callout.take().map_or(now, |(at, _)| at);
        let interval = proc.itimer.interval;
        self.psignal(p, SIGALRM, None);
        if interval > Duration::ZERO {
            let missed = now.since(fired).as_nanos() / interval.as_nanos();
            let next = fired.after(interval.times(missed + 1));
            let callout = self.callout_reset(next, Callout::Itimer(p));
            if let Some(proc) = self.procs.get_mut(&p) {
                proc.itimer.callout = Some(callout);
                proc.itimer.order = callout.1;
            }
        }
    }

    /// Sets or stops (`value` zero) the real-time interval timer.
    pub(crate) fn set_itimer(&mut self, p: ProcId, value: Duration, interval: Duration) {
        let at = self.now.after(value);
        self.stop_itimer(p);
        if value == Duration::ZERO || !self.procs.contains_key(&p) {
            return;
        }
        let callout = self.callout_reset(at, Callout::Itimer(p));
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.itimer.callout = Some(callout);
            proc.itimer.order = callout.1;
            proc.itimer.interval = interval;
        }
    }

    pub(crate) fn stop_itimer(&mut self, p: ProcId) {
        if let Some(proc) = self.procs.get_mut(&p) {
            if let Some(callout) = proc.itimer.callout.take() {
                self.callouts.remove(&callout);
            }
            proc.itimer = super::proc::Itimer::default();
        }
    }
}
