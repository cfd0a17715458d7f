// SPDX-License-Identifier: BSD-2-Clause
//! Both ends of a migration with their journals, kernels and a bad network, as one state that a
//! search can go through exhaustively.
//!
//! * **Network**: what was ever sent can be delivered at any later time, any number of times, in any
//!   order, or never. That is loss, repetition and reordering at once, and needs no queue.
//! * **Journal**: a queue of writes; a crash loses those not yet done, and may come after a write
//!   is done and before the machine hears of it. A write may fail, with or without effect.
//! * **Crash**: takes a host's memory: machine, running or stopped copy, kernel work under way. What
//!   remains is the journal and whether the host has the instance in its configuration.
//!
//! The truth is kept here, apart from the machines: who runs the instance, and whether the commit
//! point was passed.

use std::collections::BTreeSet;

use vpscore::instance::Name;
use vpscore::migrate::source::{self, Source};
use vpscore::migrate::target::{self, Target};
use vpscore::migrate::{
    Abort, Action, Attempt, Budget, Capabilities, Chunk, InstanceKey, Mark, Message, MigrationId,
    Offer, Output, Outputs, Reason, Record, answer_unknown,
};
use vpscore::time::Instant;

mod search;
mod settle;

pub use search::{Explored, explore};

const MIGRATION: MigrationId = MigrationId([1; 16]);
const NOW: Instant = Instant::BOOT;

/// How much may go wrong in one history.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Crashes of the source.
    pub source_crashes: u8,
    /// Crashes of the target.
    pub target_crashes: u8,
    /// Writes to either journal that fail.
    pub bad_writes: u8,
    /// Attempts of the target; one more than its crashes lets repeated offers make new ones.
    pub attempts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    Record(Record),
    Forget,
}

/// What a host has that does not depend on its role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Host {
    up: bool,
    crashes: u8,
    /// Runs the instance.
    runs: bool,
    /// Has the instance in its configuration; survives a crash.
    configured: bool,
    /// Writes asked for and not done.
    queue: Vec<Write>,
    journal: Vec<Record>,
}

/// Kernel work of the source under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct SourceWork {
    scan: bool,
    stop: bool,
}

/// Kernel work of the target under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct TargetWork {
    check: bool,
    apply: Option<u64>,
    restore: bool,
    /// Room is set aside, or more.
    holds: bool,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    s: Host,
    t: Host,
    source: Option<Source>,
    target: Option<Target>,
    s_work: SourceWork,
    t_work: TargetWork,
    to_s: BTreeSet<Message>,
    to_t: BTreeSet<Message>,
    bad_writes: u8,
    attempts: u8,
    /// The source's journal has, or has had, `Committed`.
    committed: bool,
    /// An operator has taken it back after the target had lost it.
    reclaimed: bool,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message reaches the source.
    ToSource(Message),
    /// A message reaches the target.
    ToTarget(Message),
    /// The source's kernel has scanned, and another round is due, or little is left.
    Scanned,
    /// The source's threads are stopped.
    Stopped,
    /// They did not stop by the deadline.
    StopFailed,
    /// The target's kernel has done what it was asked.
    TargetWorked,
    /// It could not.
    TargetFailed,
    /// The first write waiting is done: source, or target.
    Written(bool),
    /// It failed, with or without effect.
    NotWritten(bool, bool),
    /// The host crashes, before or after the first write waiting is done.
    Crash(bool, bool),
    /// The host comes back and reads its journal.
    Recover(bool),
    /// A host forgets a machine that is over.
    Drop(bool),
    /// What was not answered is said again.
    Resend(bool),
    /// An operator gives up.
    OperatorAbort(bool),
    /// An operator reclaims what the target lost.
    Reclaim,
    /// An operator throws away what the target has prepared.
    Discard,
}

impl Host {
    fn new(has: bool) -> Self {
        Self {
            up: true,
            crashes: 0,
            runs: has,
            configured: has,
            queue: Vec::new(),
            journal: Vec::new(),
        }
    }

    fn crash(&mut self) {
        self.up = false;
        self.runs = false;
        self.crashes += 1;
        self.queue.clear();
    }

    fn ask(&mut self, write: Write) {
        if self.queue.last() != Some(&write) {
            self.queue.push(write);
        }
    }
}

fn offer() -> Offer {
    Offer {
        migration: MIGRATION,
        instance: InstanceKey([2; 16]),
        name: Name::parse(b"i").expect("a name"),
        version_min: 1,
        version_max: 1,
        release: 1,
        release_min: 1,
        abi: 1,
        features: 0,
        instances: 1,
        procs: 1,
        memory: 1,
    }
}

const HOST: Capabilities = Capabilities {
    version_min: 1,
    version_max: 1,
    release: 1,
    abi: 1,
    features: 0,
    window: 1,
};

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An instance runs at the source, which has just offered it.
    pub fn new() -> Self {
        let (source, outputs) = Source::begin(offer(), Budget::LAN, NOW);
        let mut world = Self {
            s: Host::new(true),
            t: Host::new(false),
            source: Some(source),
            target: None,
            s_work: SourceWork::default(),
            t_work: TargetWork::default(),
            to_s: BTreeSet::new(),
            to_t: BTreeSet::new(),
            bad_writes: 0,
            attempts: 0,
            committed: false,
            reclaimed: false,
        };
        world.perform_source(&outputs);
        world
    }

    fn perform_source(&mut self, outputs: &Outputs) {
        for output in outputs.iter() {
            match output {
                Output::Send(message) => {
                    self.to_t.insert(plain(message));
                }
                Output::Persist(record) => self.s.ask(Write::Record(*record)),
                Output::Do(action) => self.do_source(*action),
                Output::Report(_) => {}
            }
        }
    }

    fn do_source(&mut self, action: Action) {
        match action {
            Action::Scan => self.s_work.scan = true,
            Action::SendChunks { first, count } => {
                let attempt = self.source.as_ref().and_then(Source::attempt);
                for seq in first..first + count {
                    self.to_t.insert(Message::Chunk(Chunk {
                        migration: MIGRATION,
                        seq,
                        bytes: 1,
                        attempt: attempt.expect("chunks follow an acceptance"),
                    }));
                }
            }
            Action::Stop => self.s_work.stop = true,
            Action::Resume => {
                self.s_work.stop = false;
                self.s.runs = true;
            }
            Action::Release => {
                assert!(!self.s.runs, "released while it runs");
                self.s.configured = false;
            }
            Action::Forget => self.s.ask(Write::Forget),
            Action::Track | Action::Untrack => {}
            other => panic!("{other:?} is not for a source"),
        }
    }

    fn perform_target(&mut self, outputs: &Outputs) {
        for output in outputs.iter() {
            match output {
                Output::Send(message) => {
                    self.to_s.insert(plain(message));
                }
                Output::Persist(record) => self.t.ask(Write::Record(*record)),
                Output::Do(action) => self.do_target(*action),
                Output::Report(_) => {}
            }
        }
    }

    fn do_target(&mut self, action: Action) {
        match action {
            Action::Check => self.t_work.check = true,
            Action::Apply { seq } => self.t_work.apply = Some(seq),
            Action::Restore => self.t_work.restore = true,
            // What an earlier attempt has made its own is no longer held, and stays.
            Action::Discard => self.t_work = TargetWork::default(),
            Action::Activate => {
                assert!(self.t_work.holds, "activated out of nothing");
                self.t_work.holds = false;
                self.t.runs = true;
            }
            Action::Forget => self.t.ask(Write::Forget),
            other => panic!("{other:?} is not for a target"),
        }
    }

    /// Everything that can happen next.
    pub fn steps(&self, faults: &Faults) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.s.up {
            steps.extend(self.to_s.iter().map(|message| Step::ToSource(*message)));
            if self.s_work.scan {
                steps.push(Step::Scanned);
            }
            if self.s_work.stop {
                steps.extend([Step::Stopped, Step::StopFailed]);
            }
            steps.extend([Step::OperatorAbort(true), Step::Reclaim]);
        }
        if self.t.up {
            steps.extend(self.to_t.iter().map(|message| Step::ToTarget(*message)));
            let work = &self.t_work;
            if work.check || work.apply.is_some() || work.restore {
                steps.extend([Step::TargetWorked, Step::TargetFailed]);
            }
            steps.extend([Step::OperatorAbort(false), Step::Discard]);
        }
        for (at_source, host, crashes) in [
            (true, &self.s, faults.source_crashes),
            (false, &self.t, faults.target_crashes),
        ] {
            if !host.up {
                steps.push(Step::Recover(at_source));
                continue;
            }
            steps.push(Step::Resend(at_source));
            let writes = !host.queue.is_empty();
            if writes {
                steps.push(Step::Written(at_source));
            } else {
                steps.push(Step::Drop(at_source));
            }
            // A driver tries to forget until it has.
            let record = matches!(host.queue.first(), Some(Write::Record(_)));
            if record && self.bad_writes < faults.bad_writes {
                steps.push(Step::NotWritten(at_source, false));
                steps.push(Step::NotWritten(at_source, true));
            }
            if host.crashes < crashes {
                steps.push(Step::Crash(at_source, false));
                if writes {
                    steps.push(Step::Crash(at_source, true));
                }
            }
        }
        steps
    }

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

    fn source_hears(&mut self, message: &Message) {
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

    fn target_hears(&mut self, message: &Message, faults: &Faults) {
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

    fn target_worked(&mut self) {
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

    fn recover(&mut self, at_source: bool) {
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

    /// What must hold at every instant.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (!(self.s.runs && self.t.runs), "two hosts run it"),
            (
                !self.t.runs || self.committed,
                "it runs at the target before the commit point",
            ),
            (
                !self.t.runs || self.t.configured,
                "it runs at the target without a record",
            ),
            (
                !self.s.runs || !self.committed || self.reclaimed,
                "it runs at the source after the commit point",
            ),
            (
                !self.t.runs || !self.t_work.holds,
                "the target has it twice",
            ),
            (
                !self.reclaimed || !self.t.configured,
                "reclaimed though the target owns it",
            ),
            (
                self.source.as_ref().is_none_or(Source::invariants),
                "the source's numbers disagree",
            ),
            (
                self.target.as_ref().is_none_or(Target::invariants),
                "the target's numbers disagree",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(rule),
            None => Ok(()),
        }
    }
}

/// The message without the reason it gives: reasons change nothing and would multiply the states.
fn plain(message: &Message) -> Message {
    match message {
        Message::Abort(abort) => Message::Abort(Abort {
            reason: Reason::Operator,
            ..*abort
        }),
        other => *other,
    }
}
