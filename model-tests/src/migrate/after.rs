// SPDX-License-Identifier: BSD-2-Clause
//! What one step does to a state.

use vpscore::migrate::source::{self, Source};
use vpscore::migrate::target::{self, Target};
use vpscore::migrate::{Attempt, Budget, Mark, Message, Reason, Record, answer_unknown};

use super::{Faults, HOST, MIGRATION, NOW, SourceWork, Step, TargetWork, World, Write, plain};

impl World {
    /// The state after `step`. An input that a machine refuses changes nothing.
    pub fn after(&self, step: Step, faults: &Faults) -> Self {
        let mut next = self.clone();
        match step {
            Step::ToSource(message) => next.source_hears(&message),
            Step::ToTarget(message) => next.target_hears(&message, faults),
            Step::Scanned => {
                next.s_work.scan = false;
                let bytes = u64::from(
                    next.source
                        .as_ref()
                        .is_none_or(|s| s.progress().rounds == 0),
                );
                next.source_local(source::Local::Scanned { chunks: 1, bytes });
            }
            Step::Stopped => {
                next.s_work.stop = false;
                next.s.runs = false;
                next.source_local(source::Local::Stopped {
                    chunks: 1,
                    bytes: 1,
                    digest: [0; 32],
                });
            }
            Step::StopFailed => {
                next.s_work.stop = false;
                next.source_local(source::Local::StopFailed);
            }
            Step::TargetWorked => next.target_worked(),
            Step::TargetFailed => {
                let local = if next.t_work.check {
                    target::Local::CheckFailed(Reason::Operator)
                } else {
                    target::Local::Failed(Reason::Operator)
                };
                next.t_work.check = false;
                next.t_work.apply = None;
                next.t_work.restore = false;
                next.target_local(local);
            }
            Step::Written(at_source) => {
                if let Some(record) = next.write(at_source) {
                    next.persisted(at_source, record.mark, true);
                }
            }
            Step::NotWritten(at_source, effect) => {
                next.bad_writes += 1;
                let host = if at_source { &mut next.s } else { &mut next.t };
                let first = host.queue.first().copied();
                if effect {
                    next.write(at_source);
                } else {
                    host.queue.remove(0);
                }
                if let Some(Write::Record(record)) = first {
                    next.persisted(at_source, record.mark, false);
                }
            }
            Step::Crash(at_source, after_write) => {
                if after_write {
                    next.write(at_source);
                }
                next.crash(at_source);
            }
            Step::Recover(at_source) => next.recover(at_source),
            Step::Drop(true) => {
                next.source.take_if(|s| s.phase().is_over());
            }
            Step::Drop(false) => {
                next.target.take_if(|t| t.phase().is_over());
            }
            Step::Resend(at_source) => next.resend(at_source),
            Step::OperatorAbort(true) => next.source_local(source::Local::OperatorAbort),
            Step::OperatorAbort(false) => next.target_local(target::Local::OperatorAbort),
            Step::Reclaim => {
                if next
                    .source
                    .as_ref()
                    .is_some_and(|s| s.phase() == source::Phase::Lost)
                {
                    next.source_local(source::Local::OperatorReclaim);
                }
            }
            Step::Discard => next.target_local(target::Local::OperatorDiscard),
        }
        next
    }

    pub(super) fn source_hears(&mut self, message: &Message) {
        match &mut self.source {
            Some(source) => {
                if let Ok(outputs) = source.message(message, NOW) {
                    self.perform_source(&outputs);
                }
            }
            None => {
                self.to_t
                    .extend(answer_unknown(message).as_ref().map(plain));
            }
        }
    }

    pub(super) fn target_hears(&mut self, message: &Message, faults: &Faults) {
        match (&mut self.target, message) {
            (Some(target), _) => {
                if let Ok(outputs) = target.message(message, NOW) {
                    self.perform_target(&outputs);
                }
            }
            (None, Message::Offer(offer)) => {
                if self.attempts < faults.attempts {
                    self.attempts += 1;
                    let attempt = Attempt(u64::from(self.attempts));
                    let (target, outputs) = Target::begin(offer, &HOST, attempt, Budget::LAN, NOW);
                    self.target = Some(target);
                    self.perform_target(&outputs);
                }
            }
            (None, _) => {
                self.to_s
                    .extend(answer_unknown(message).as_ref().map(plain));
            }
        }
    }

    fn source_local(&mut self, local: source::Local) {
        if let Some(Ok(outputs)) = self.source.as_mut().map(|s| s.local(local, NOW)) {
            self.perform_source(&outputs);
        }
    }

    fn target_local(&mut self, local: target::Local) {
        if let Some(Ok(outputs)) = self.target.as_mut().map(|t| t.local(local, NOW)) {
            self.perform_target(&outputs);
        }
    }

    pub(super) fn target_worked(&mut self) {
        let work = &mut self.t_work;
        let local = if work.check {
            work.check = false;
            if self.t.configured {
                target::Local::CheckFailed(Reason::Operator)
            } else {
                work.holds = true;
                target::Local::Checked
            }
        } else if let Some(seq) = work.apply.take() {
            target::Local::Applied { seq }
        } else {
            work.restore = false;
            target::Local::Restored
        };
        self.target_local(local);
    }

    /// Does the first write waiting; the record, if it is one.
    fn write(&mut self, at_source: bool) -> Option<Record> {
        let host = if at_source { &mut self.s } else { &mut self.t };
        match host.queue.remove(0) {
            Write::Forget => {
                host.journal.clear();
                None
            }
            Write::Record(record) => {
                if !host.journal.contains(&record) {
                    host.journal.push(record);
                }
                match record.mark {
                    Mark::Committed => self.committed = true,
                    Mark::Reclaimed => self.reclaimed = true,
                    Mark::Owned => self.t.configured = true,
                    Mark::Prepared | Mark::Released | Mark::Lost | Mark::LostKnown => {}
                }
                Some(record)
            }
        }
    }

    fn persisted(&mut self, at_source: bool, mark: Mark, ok: bool) {
        if at_source {
            self.source_local(match ok {
                true => source::Local::Persisted(mark),
                false => source::Local::PersistFailed(mark),
            });
        } else {
            self.target_local(match ok {
                true => target::Local::Persisted(mark),
                false => target::Local::PersistFailed(mark),
            });
        }
    }

    fn crash(&mut self, at_source: bool) {
        if at_source {
            self.s.crash();
            self.source = None;
            self.s_work = SourceWork::default();
        } else {
            self.t.crash();
            self.target = None;
            self.t_work = TargetWork::default();
        }
    }

    pub(super) fn recover(&mut self, at_source: bool) {
        if at_source {
            self.s.up = true;
            match Source::recover(MIGRATION, &self.s.journal, Budget::LAN, NOW) {
                Some((source, outputs)) => {
                    self.source = Some(source);
                    self.perform_source(&outputs);
                }
                // Nothing binds it: what it is configured to run, it runs, from its disks.
                None => self.s.runs = self.s.configured,
            }
        } else {
            self.t.up = true;
            if let Some((target, outputs)) =
                Target::recover(MIGRATION, &self.t.journal, Budget::LAN, NOW)
            {
                self.target = Some(target);
                self.perform_target(&outputs);
            }
        }
    }

    /// Says again what was not answered. Timers are not part of the state: a tick that changes
    /// nothing else leaves the machine as it was.
    fn resend(&mut self, at_source: bool) {
        let late = NOW.after(Budget::LAN.resend);
        if at_source {
            let Some(mut source) = self.source.clone() else {
                return;
            };
            let outputs = source.tick(late);
            self.perform_source(&outputs);
        } else {
            let Some(mut target) = self.target.clone() else {
                return;
            };
            let outputs = target.tick(late);
            self.perform_target(&outputs);
        }
    }
}
