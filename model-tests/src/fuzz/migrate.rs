// SPDX-License-Identifier: BSD-2-Clause
//! Messages of a migration: any bytes as one, and any order of them into both machines.
//!
//! [`machines`] plays a peer and a kernel that say anything at any time, so it holds each machine
//! only to what it promises by itself: order of journal and messages, and that a refused input
//! changes nothing. [`history`] plays a right peer over a bad network, where the promise is one owner.

use vpscore::cbor::{Decode, Encode, decode_all, encode_to_list};
use vpscore::instance::Name;
use vpscore::migrate::source::{self, Source};
use vpscore::migrate::target::{self, Target};
use vpscore::migrate::{
    Abort, Accept, Ack, Action, Attempt, Bare, Budget, Capabilities, Chunk, Final, InstanceKey,
    Mark, Message, MigrationId, Offer, Output, Outputs, Reason, Record, Refuse, answer_unknown,
};
use vpscore::time::{Duration, Instant};

use crate::migrate::{Faults, World};

const MIGRATION: MigrationId = MigrationId([7; 16]);
const OTHER: MigrationId = MigrationId([8; 16]);

/// Steps of one history at most; what comes after them is not looked at.
const STEPS_MAX: usize = 300;

/// Reads the bytes as a message and as a record of the journal; what is accepted and has no keys
/// that are skipped has no other encoding.
///
/// # Panics
/// Where it has.
pub fn decode(data: &[u8]) {
    again::<Record>(data);
    if let Ok(message) = Message::read(data) {
        let bytes = message.write().expect("memory");
        assert!(bytes.len() <= data.len());
        assert_eq!(Message::read(bytes.as_slice()), Ok(message));
        if let Some(answer) = answer_unknown(&message) {
            assert_eq!(answer.migration(), message.migration());
        }
    }
}

fn again<T: Decode + Encode>(data: &[u8]) {
    if let Ok(value) = decode_all::<T>(data) {
        let bytes = encode_to_list(&value).expect("memory");
        assert!(bytes.len() <= data.len());
        if bytes.len() == data.len() {
            assert_eq!(bytes.as_slice(), data);
        }
    }
}

/// One message of each kind.
pub fn sample_messages() -> Vec<Message> {
    (0..12_u8).map(|kind| Feed(&[kind]).message()).collect()
}

/// Takes one step of a whole migration for each byte, among those that can happen: the rules of
/// [`World::check`] hold after each, and in the end it settles.
///
/// # Panics
/// Where they do not.
pub fn history(data: &[u8]) {
    let Some((first, steps)) = data.split_first() else {
        return;
    };
    let faults = Faults {
        source_crashes: first & 3,
        target_crashes: first >> 2 & 3,
        bad_writes: first >> 4 & 3,
        attempts: 1 + (first >> 6 & 3),
    };
    let mut world = World::new();
    for byte in steps.iter().take(STEPS_MAX) {
        let can = world.steps(&faults);
        let Some(step) = can.get(usize::from(*byte) % can.len().max(1)) else {
            break;
        };
        world = world.after(*step, &faults);
        assert_eq!(world.check(), Ok(()), "after {step:?}");
    }
    assert_eq!(world.settles(), Ok(()));
}

/// Bytes taken one by one; zeros once there are none.
struct Feed<'a>(&'a [u8]);

impl Feed<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Mostly small, sometimes any.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => u64::from(self.byte()) << 40,
            small => u64::from(small >> 4),
        }
    }

    fn offer(&mut self) -> Offer {
        Offer {
            migration: self.migration(),
            instance: InstanceKey([2; 16]),
            name: Name::parse(b"i").expect("a name"),
            version_min: 1,
            version_max: 1 + u16::from(self.byte() & 1),
            release: 1,
            release_min: 1,
            abi: 1,
            features: 0,
            instances: 1,
            procs: self.number(),
            memory: self.number(),
        }
    }

    fn migration(&mut self) -> MigrationId {
        if self.byte() == 255 { OTHER } else { MIGRATION }
    }

    fn message(&mut self) -> Message {
        let kind = self.byte() % 12;
        let migration = self.migration();
        let attempt = Attempt(u64::from(self.byte() >> 7));
        let bare = Bare { migration, attempt };
        let reason = Reason::Mismatch;
        match kind {
            0 => Message::Offer(self.offer()),
            1 => Message::Accept(Accept {
                migration,
                version: u16::from(self.byte() & 3),
                window: 1 + u32::from(self.byte() & 7),
                attempt,
            }),
            2 => Message::Refuse(Refuse { migration, reason }),
            3 => Message::Chunk(Chunk {
                migration,
                seq: self.number(),
                bytes: 1,
                attempt,
            }),
            4 => Message::Ack(Ack {
                migration,
                through: self.number(),
                attempt,
            }),
            5 => Message::Final(Final {
                migration,
                chunks: self.number(),
                digest: [self.byte(); 32],
                attempt,
            }),
            6 => Message::Prepared(bare),
            7 => Message::Commit(bare),
            8 => Message::Owned(bare),
            9 => Message::Done(bare),
            10 => Message::Abort(Abort { migration, reason }),
            _ => Message::Lost(bare),
        }
    }

    fn mark(&mut self) -> Mark {
        const MARKS: [Mark; 7] = [
            Mark::Prepared,
            Mark::Committed,
            Mark::Owned,
            Mark::Released,
            Mark::Lost,
            Mark::LostKnown,
            Mark::Reclaimed,
        ];
        MARKS[usize::from(self.byte()) % MARKS.len()]
    }

    fn source_local(&mut self) -> source::Local {
        use source::Local as L;
        match self.byte() % 9 {
            0 => L::Scanned {
                chunks: self.number(),
                bytes: self.number(),
            },
            1 => L::Stopped {
                chunks: self.number(),
                bytes: self.number(),
                digest: [3; 32],
            },
            2 => L::StopFailed,
            3 => L::Failed,
            4 => L::Persisted(self.mark()),
            5 => L::PersistFailed(self.mark()),
            6 => L::OperatorAbort,
            7 => L::OperatorReclaim,
            _ => L::OperatorRelease,
        }
    }

    fn target_local(&mut self) -> target::Local {
        use target::Local as L;
        match self.byte() % 10 {
            0 => L::Checked,
            1 => L::CheckFailed(Reason::Resources),
            2 => L::Applied { seq: self.number() },
            3 => L::Restored,
            4 => L::Failed(Reason::Mismatch),
            5 => L::Persisted(self.mark()),
            6 => L::PersistFailed(self.mark()),
            7 => L::OperatorAbort,
            8 => L::OperatorOwn,
            _ => L::OperatorDiscard,
        }
    }
}

/// What one machine has done, and whether it may do the next thing.
#[derive(Default)]
struct Watch {
    /// Marks asked to be written, and those that were reported written after that.
    asked: Vec<Mark>,
    written: Vec<Mark>,
    stopped: bool,
    activated: bool,
    committing: bool,
}

impl Watch {
    fn wrote(&mut self, mark: Mark) {
        if self.asked.contains(&mark) {
            self.written.push(mark);
        }
    }

    fn has(&self, mark: Mark) -> bool {
        self.written.contains(&mark)
    }

    fn see(&mut self, outputs: &Outputs) {
        for output in outputs.iter() {
            match output {
                Output::Persist(record) => {
                    assert_eq!(record.migration, MIGRATION);
                    self.asked.push(record.mark);
                    self.committing |= record.mark == Mark::Committed;
                }
                Output::Send(message) => self.sent(message),
                Output::Do(action) => self.does(*action),
                Output::Report(_) => {}
            }
        }
    }

    fn sent(&self, message: &Message) {
        assert_eq!(message.migration(), MIGRATION);
        let needs: &[Mark] = match message {
            Message::Commit(_) => &[Mark::Committed],
            Message::Prepared(_) => &[Mark::Prepared],
            Message::Owned(_) => &[Mark::Owned],
            Message::Lost(_) => &[Mark::Lost],
            _ => &[],
        };
        for mark in needs {
            assert!(self.has(*mark), "{message:?} before {mark:?}");
        }
        if matches!(message, Message::Abort(_)) {
            let ruled = !self.committing || self.has(Mark::LostKnown) || self.has(Mark::Reclaimed);
            assert!(ruled, "given up after the commit point");
        }
    }

    fn does(&mut self, action: Action) {
        match action {
            Action::Resume => {
                let free = !self.committing || self.has(Mark::Reclaimed);
                assert!(free, "resumed after the commit point");
            }
            Action::Stop => self.stopped = true,
            Action::Release => assert!(self.has(Mark::Released) && self.stopped),
            Action::Activate => {
                assert!(self.has(Mark::Owned) && !self.activated);
                self.activated = true;
            }
            Action::Discard => assert!(!self.activated && !self.asked.contains(&Mark::Owned)),
            Action::Track
            | Action::Untrack
            | Action::Scan
            | Action::SendChunks { .. }
            | Action::Check
            | Action::Apply { .. }
            | Action::Restore
            | Action::Forget => {}
        }
    }
}

/// Messages, results and times in any order, into a source and into a target.
///
/// # Panics
/// Where a machine panics, breaks its invariants, says what its journal does not have yet, or has
/// changed though it refused.
pub fn machines(data: &[u8]) {
    let mut feed = Feed(data);
    let offer = Offer {
        migration: MIGRATION,
        ..feed.offer()
    };
    let host = Capabilities {
        version_min: 1,
        version_max: 1,
        release: 1,
        abi: 1,
        features: 0,
        window: 1 + u32::from(feed.byte() & 7),
    };
    let mut now = Instant::BOOT;
    let (mut source, outputs) = Source::begin(offer, Budget::LAN, now);
    let mut from = Watch::default();
    from.see(&outputs);
    let (mut target, outputs) = Target::begin(&offer, &host, Attempt(0), Budget::LAN, now);
    let mut to = Watch::default();
    to.see(&outputs);
    while !feed.0.is_empty() {
        let kind = feed.byte();
        match kind % 8 {
            0..=2 => {
                let message = feed.message();
                step(&mut source, &mut from, |s| s.message(&message, now));
                step(&mut target, &mut to, |t| t.message(&message, now));
            }
            3 | 4 => {
                let local = feed.source_local();
                if let source::Local::Persisted(mark) = local {
                    from.wrote(mark);
                }
                step(&mut source, &mut from, |s| s.local(local, now));
            }
            5 | 6 => {
                let local = feed.target_local();
                if let target::Local::Persisted(mark) = local {
                    to.wrote(mark);
                }
                step(&mut target, &mut to, |t| t.local(local, now));
            }
            _ => {
                now = now.after(Duration::from_millis(u64::from(kind) * 20));
                from.see(&source.tick(now));
                to.see(&target.tick(now));
            }
        }
        assert!(source.invariants() && target.invariants());
    }
}

fn step<M: Clone + PartialEq + core::fmt::Debug, E>(
    machine: &mut M,
    watch: &mut Watch,
    input: impl FnOnce(&mut M) -> Result<Outputs, E>,
) {
    let before = machine.clone();
    match input(machine) {
        Ok(outputs) => watch.see(&outputs),
        Err(_) => assert_eq!(*machine, before, "a refusal changes nothing"),
    }
}
