// SPDX-License-Identifier: BSD-2-Clause
//! Live migrations: the core's two state machines, driven over the emulated network.
//!
//! Messages travel as Ethernet frames of their own type between the hosts' network cards, so they
//! are lost, delayed and seen in captures like any other; the machines cope with all of that. The
//! bytes of a chunk follow its message in the frame. A journal is durable at once; what is asked of
//! a kernel is done in no virtual time, but for the time that its bytes take on the wire.
//!
//! # Invariants
//! * I1: the threads of an instance run on one host at most, and no two hosts have its addresses.
//! * I2: what the target builds, it builds from the bytes that arrived and nothing else.

mod act;
pub mod told;
mod wire;

use super::{Event, World};
use crate::net::ether::EtherHeader;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use vpscore::migrate::source::{self, Source};
use vpscore::migrate::stream::{Receiver, Sender};
use vpscore::migrate::target::{self, Target};
use vpscore::migrate::{
    Attempt, Budget, Capabilities, InstanceKey, Message, MigrationId, Offer, Output, Outputs,
    PROTOCOL_MAX, PROTOCOL_MIN, Reason, Record, Report, answer_unknown,
};
use vpscore::types::InstanceId;
use wire::{ETHERTYPE, unpack};

/// Bytes of the image in a frame, so that the whole fits Ethernet's 1500.
const CHUNK: usize = 1_280;
/// Bytes that pages sent ahead and the image may take together on the target.
const IMAGE_MOST: u64 = 1 << 32;
/// Chunks under way at once.
const WINDOW: u32 = 64;
/// What all emulated kernels are (`__FreeBSD_version` of 15.0).
const RELEASE: u32 = 1_500_068;

/// Which end of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the instance was.
    Source,
    /// Where it goes.
    Target,
}

/// How a migration ended, as far as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has the instance.
    Moved,
    /// The source has it.
    Aborted(Reason),
    /// Nobody has it.
    Lost,
}

/// A live migration of the scenario.
pub struct Move {
    /// Its index in the scenario.
    pub spec: usize,
    /// Path of the instance.
    pub path: String,
    /// Indices of the hosts.
    pub from: usize,
    /// See `from`.
    pub to: usize,
    /// When it was asked for.
    pub began: Instant,
    /// When each round of pre-copy began.
    pub scans: Vec<Instant>,
    /// When its threads stopped, and when they went on, at the target or where they had stopped.
    pub stopped: Option<Instant>,
    /// See `stopped`.
    pub resumed: Option<Instant>,
    /// Bytes of the image.
    pub image_bytes: usize,
    /// Frames that carried chunks, repeated ones too.
    pub chunks_sent: u64,
    /// When it was known how it ended, and how.
    pub ended: Option<Instant>,
    /// See `ended`.
    pub outcome: Option<Outcome>,
    /// What a kernel said where it could not go on.
    pub complaint: Option<String>,
    id: MigrationId,
    source: Option<Source>,
    target: Option<Target>,
    sender: Sender,
    stream: Vec<Vec<u8>>,
    /// Chunks of the stream that the machine has asked for.
    handed: usize,
    /// Bytes in the rounds of pre-copy.
    pub precopied: usize,
    receiver: Receiver,
    digest: Option<[u8; 32]>,
    restored: Option<InstanceId>,
    journal: [Vec<Record>; 2],
}

impl Move {
    /// How long the instance did not run.
    pub fn downtime(&self) -> Option<Duration> {
        Some(self.resumed?.since(self.stopped?))
    }

    /// Whether both sides know how it ended and have nothing left to say.
    pub fn is_over(&self) -> bool {
        let quiet = |side| self.next_timer(side).is_none();
        self.outcome.is_some() && quiet(Side::Source) && quiet(Side::Target)
    }

    /// Cuts bytes into chunks behind those of the stream; returns how many wait to be sent, and
    /// their bytes. What a scan found waits until the machine decides for another round or for the
    /// last one.
    fn append(&mut self, bytes: &[u8]) -> (u64, u64) {
        self.stream.extend(bytes.chunks(CHUNK).map(<[u8]>::to_vec));
        let waiting = self.stream.get(self.handed..).unwrap_or_default();
        let bytes: usize = waiting.iter().map(Vec::len).sum();
        (waiting.len() as u64, bytes as u64)
    }

    /// What a kernel said, to stand behind the outcome.
    pub fn why(&self) -> String {
        let why = match (&self.complaint, self.outcome) {
            (Some(why), _) => why,
            (None, Some(Outcome::Aborted(reason))) => told::reason(reason),
            (None, _) => return String::new(),
        };
        format!(" ({why})")
    }

    fn next_timer(&self, side: Side) -> Option<Instant> {
        match side {
            Side::Source => self.source.as_ref()?.next_timer(),
            Side::Target => self.target.as_ref()?.next_timer(),
        }
    }
}

/// Budget of the emulated hosts: they are on one switch, so answers come within milliseconds.
const BUDGET: Budget = Budget {
    resend: Duration::from_millis(20),
    resend_most: Duration::from_secs(1),
    ..Budget::LAN
};

impl World {
    /// Begins the migration of this index in the scenario.
    pub(super) fn begin_move(&mut self, index: usize) {
        if let Err(why) = self.try_move(index) {
            self.refused_moves.insert(index, why);
        }
    }

    fn try_move(&mut self, index: usize) -> Result<(), String> {
        let spec = self
            .scenario
            .migrate
            .get(index)
            .ok_or("no such migration")?;
        let (path, to) = (spec.instance.get_ref().clone(), spec.to.get_ref().clone());
        let now = self.now();
        let Some((from, Some(instance))) = self.find(&path) else {
            return Err("it is on no host".to_owned());
        };
        let Some((to, None)) = self.find(&to) else {
            return Err(format!("there is no host {to}"));
        };
        self.may_move(from, instance, index)?;
        let machine = self.hosts.get_mut(from).ok_or("no such host")?;
        let core = machine.join.core();
        let mut random = [0; 4];
        random
            .iter_mut()
            .for_each(|word| *word = machine.join.random());
        let id = MigrationId(bytes16(random[0], random[1]));
        let (_, name) = machine
            .parent_of(&path)
            .map_err(|errno| errno.to_string())?;
        core.migrate_begin(instance).map_err(told::begun)?;
        let below = |at| core.next_instance(instance, at);
        let instances = std::iter::successors(Some(instance), |at| below(*at));
        let offer = Offer {
            migration: id,
            instance: InstanceKey(bytes16(random[2], random[3])),
            name,
            version_min: PROTOCOL_MIN,
            version_max: PROTOCOL_MAX,
            release: RELEASE,
            release_min: RELEASE,
            abi: 1,
            features: 0,
            instances: u32::try_from(instances.count()).unwrap_or(u32::MAX),
            procs: machine.kern.procs().count() as u64,
            memory: 0,
        };
        let (source, outputs) = Source::begin(offer, BUDGET, now);
        self.pids
            .extend(self.pid_table(from, &format!("before {path} moves")));
        self.moves.push(Move {
            spec: index,
            path,
            from,
            to,
            began: now,
            scans: Vec::new(),
            stopped: None,
            resumed: None,
            image_bytes: 0,
            chunks_sent: 0,
            ended: None,
            outcome: None,
            complaint: None,
            id,
            source: Some(source),
            target: None,
            sender: Sender::new(),
            stream: Vec::new(),
            handed: 0,
            precopied: 0,
            receiver: Receiver::new(IMAGE_MOST),
            digest: None,
            restored: None,
            journal: [Vec::new(), Vec::new()],
        });
        let at = self.moves.len() - 1;
        self.perform(at, Side::Source, outputs);
        Ok(())
    }

    /// A timer of a migration is due.
    pub(super) fn move_timer(&mut self, index: usize, side: Side) {
        let now = self.now();
        let Some(mv) = self.moves.get_mut(index) else {
            return;
        };
        if mv.next_timer(side).is_none_or(|at| at > now) {
            return;
        }
        let outputs = match side {
            Side::Source => mv.source.as_mut().map(|source| source.tick(now)),
            Side::Target => mv.target.as_mut().map(|target| target.tick(now)),
        };
        self.perform(index, side, outputs.unwrap_or(Outputs::NONE));
    }

    /// Takes a frame in if it is a message of a migration for this host; false where it is not.
    pub(super) fn move_frame(&mut self, host: usize, frame: &[u8]) -> bool {
        let Some((header, payload)) = EtherHeader::parse(frame) else {
            return false;
        };
        let mine = self
            .hosts
            .get(host)
            .is_some_and(|machine| machine.mac == header.dst);
        if header.kind != ETHERTYPE || !mine {
            return header.kind == ETHERTYPE;
        }
        // A frame that a wire has corrupted is as good as lost.
        if let Some((message, bytes)) = unpack(payload) {
            self.move_message(host, &message, bytes);
        }
        true
    }

    fn move_message(&mut self, host: usize, message: &Message, bytes: &[u8]) {
        let now = self.now();
        let Some(index) = self
            .moves
            .iter()
            .position(|mv| mv.id == message.migration())
        else {
            return;
        };
        let random = self
            .hosts
            .get_mut(host)
            .map_or(0, |machine| machine.join.random());
        let Some(mv) = self.moves.get_mut(index) else {
            return;
        };
        let side = if host == mv.from {
            Side::Source
        } else {
            Side::Target
        };
        let outputs = match (side, message) {
            (Side::Target, Message::Offer(offer)) if mv.target.is_none() => {
                let host = Capabilities {
                    version_min: PROTOCOL_MIN,
                    version_max: PROTOCOL_MAX,
                    release: RELEASE,
                    abi: 1,
                    features: 0,
                    window: WINDOW,
                };
                let (target, outputs) = Target::begin(offer, &host, Attempt(random), BUDGET, now);
                mv.target = Some(target);
                outputs
            }
            (Side::Source, message) => match &mut mv.source {
                Some(source) => source.message(message, now).unwrap_or(Outputs::NONE),
                None => return self.answer(index, side, message),
            },
            (Side::Target, message) => match &mut mv.target {
                Some(target) => target.message(message, now).unwrap_or(Outputs::NONE),
                None => return self.answer(index, side, message),
            },
        };
        self.perform_with(index, side, outputs, bytes);
    }

    fn answer(&mut self, index: usize, side: Side, message: &Message) {
        if let Some(answer) = answer_unknown(message) {
            self.send_message(index, side, &answer, &[]);
        }
    }

    fn perform(&mut self, index: usize, side: Side, outputs: Outputs) {
        self.perform_with(index, side, outputs, &[]);
    }

    /// Does what a step asks for, in order, and what follows from the results, until nothing does.
    fn perform_with(&mut self, index: usize, side: Side, outputs: Outputs, bytes: &[u8]) {
        let mut todo: VecDeque<Output> = outputs.iter().copied().collect();
        while let Some(output) = todo.pop_front() {
            let more = match output {
                Output::Send(message) => {
                    self.send_message(index, side, &message, &[]);
                    Outputs::NONE
                }
                Output::Persist(record) => self.persist(index, side, record),
                Output::Do(action) => self.act(index, side, action, bytes),
                Output::Report(report) => {
                    self.note_outcome(index, report);
                    Outputs::NONE
                }
            };
            todo.extend(more.iter().copied());
        }
        if let Some(at) = self.moves.get(index).and_then(|mv| mv.next_timer(side)) {
            self.queue.push(at, Event::MoveTimer { index, side });
        }
    }

    fn persist(&mut self, index: usize, side: Side, record: Record) -> Outputs {
        let now = self.now();
        let Some(mv) = self.moves.get_mut(index) else {
            return Outputs::NONE;
        };
        mv.journal[side as usize].push(record);
        let done = match side {
            Side::Source => {
                let local = source::Local::Persisted(record.mark);
                mv.source.as_mut().map(|source| source.local(local, now))
            }
            Side::Target => {
                let local = target::Local::Persisted(record.mark);
                mv.target.as_mut().map(|target| target.local(local, now))
            }
        };
        done.and_then(Result::ok).unwrap_or(Outputs::NONE)
    }

    fn note_outcome(&mut self, index: usize, report: Report) {
        let now = self.now();
        let Some(mv) = self.moves.get_mut(index) else {
            return;
        };
        mv.ended.get_or_insert(now);
        match report {
            Report::Moved => mv.outcome = Some(Outcome::Moved),
            Report::Aborted(reason) => mv.outcome = Some(Outcome::Aborted(reason)),
            Report::Lost | Report::DiedWithHost => mv.outcome = Some(Outcome::Lost),
            Report::Conflict => {}
        }
    }
}

fn bytes16(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}
