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
use vpscore::migrate::source::Source;
use vpscore::migrate::target::Target;
use vpscore::migrate::{
    Abort, Action, Budget, Capabilities, Chunk, InstanceKey, Message, MigrationId, Offer, Output,
    Outputs, Reason, Record,
};
use vpscore::time::Instant;

mod after;
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
