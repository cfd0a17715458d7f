// SPDX-License-Identifier: BSD-2-Clause
//! What becomes of a state once nothing goes wrong any more.

use vpscore::migrate::source;
use vpscore::time::Duration;

use super::{Faults, NOW, Step, World};

impl World {
    /// Lets all faults end: both hosts up, every message delivered, every work done, time passing.
    /// Then exactly one side has the instance, or it is reported lost.
    ///
    /// # Errors
    /// What is wrong with the outcome.
    pub fn settles(&self) -> Result<(), String> {
        let none = Faults {
            source_crashes: 0,
            target_crashes: 0,
            bad_writes: 0,
            attempts: self.attempts,
        };
        let mut world = self.clone();
        for round in 1..40_u64 {
            world.settle_round(&none);
            world.check().map_err(String::from)?;
            let s_over = world
                .source
                .as_ref()
                .is_none_or(|s| s.phase().is_over() || s.phase() == source::Phase::Lost);
            let t_over = world.target.as_ref().is_none_or(|t| t.phase().is_over());
            if s_over && t_over && world.s.queue.is_empty() && world.t.queue.is_empty() {
                return world.outcome();
            }
            let late = NOW.after(Duration::from_secs(3600 * round));
            if let Some(outputs) = world.source.as_mut().map(|s| s.tick(late)) {
                world.perform_source(&outputs);
            }
            if let Some(outputs) = world.target.as_mut().map(|t| t.tick(late)) {
                world.perform_target(&outputs);
            }
        }
        Err(format!("never resolved: {world:#?}"))
    }

    fn settle_round(&mut self, none: &Faults) {
        for at_source in [true, false] {
            let up = if at_source { self.s.up } else { self.t.up };
            if !up {
                self.recover(at_source);
            }
        }
        // Every write, work and message once, in an order that lets what is sent arrive.
        for _ in 0..8 {
            for at_source in [true, false] {
                let host = if at_source { &self.s } else { &self.t };
                for _ in 0..host.queue.len() {
                    *self = self.after(Step::Written(at_source), none);
                }
            }
            if self.s_work.scan {
                *self = self.after(Step::Scanned, none);
            }
            if self.s_work.stop {
                *self = self.after(Step::Stopped, none);
            }
            let work = self.t_work;
            if work.check || work.apply.is_some() || work.restore {
                self.target_worked();
            }
            for message in self.to_s.clone() {
                self.source_hears(&message);
            }
            for message in self.to_t.clone() {
                self.target_hears(&message, none);
            }
        }
    }

    fn outcome(&self) -> Result<(), String> {
        let lost = self
            .source
            .as_ref()
            .is_some_and(|s| s.phase() == source::Phase::Lost);
        let at_source = self.s.configured && self.s.runs;
        let at_target = self.t.configured;
        let owners = [at_source, at_target, lost]
            .iter()
            .filter(|has| **has)
            .count();
        if owners != 1 {
            return Err(format!("{owners} outcomes: {self:#?}"));
        }
        if !self.committed && !at_source {
            return Err(format!("an abort that was not free: {self:#?}"));
        }
        if !at_target && (self.t_work.holds || !self.t.journal.is_empty()) {
            return Err(format!("the target still holds something: {self:#?}"));
        }
        Ok(())
    }
}
