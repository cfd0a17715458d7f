// SPDX-License-Identifier: BSD-2-Clause
//! Running a script against a stack, in virtual time.
//!
//! The script is the judge: the runner injects what it injects, makes the calls that it makes, and
//! compares what the stack sends and returns, and when. Nothing in a script is recognised by name.
//!
//! # Invariants
//! * I1: one script, one stack: the outcome depends on nothing else.
//! * I2: time moves only to the next event of the script or the next callout of the stack.
//! * I3: a script ends; the runner waits `PATIENCE` for a packet or a call, never for ever, and no more happens than
//!   `HAPPENED_MAX`.
//! * I4: packets are judged in their order; those of other connections than the one under test are
//!   passed over, as the original does, and told when a packet is missing.

pub mod args;
mod assert;
pub mod calls;
mod constants;
pub mod emulated;
pub mod flow;
pub mod icmp;
pub mod judge;
pub mod machine;
pub mod moved;
#[cfg(test)]
mod moved_tests;
pub mod names;
pub mod networks;
mod read;
pub mod stack;
mod steps;
pub mod userland;
pub mod written;

use super::ast::{Direction, Event, Script, Syscall, Time};
use super::packet_text::PacketText;
use super::wire::{self, Frame};
use crate::time::{Duration, Instant};
use calls::Program;
use flow::Flow;
use judge::Comparison;
use serde::Serialize;
use stack::{Ends, Happened, MakeStack, Stack};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

pub use crate::net::pcapng::Way;

/// How long the runner waits for what a script demands, beyond its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Things that happen while a script runs ([`Stack::happened`]), and bytes of its packets. All are kept for the
/// comparison with a run that moves; timers of a millisecond or large packets could make of a short script more
/// than there is memory for. A script of the suite makes a few thousands.
const HAPPENED_MAX: usize = 1 << 20;
const PACKETS_MAX: usize = 1 << 27;

/// The end of the time that `*` leaves.
const FOREVER: Instant = Instant::from_nanos(u64::MAX);

/// Packets before a failure that are told with it.
const HISTORY: usize = 6;

/// The kernel has been up this long when a script begins.
const UPTIME: Instant = Instant::from_nanos(1_000_000_000_000);

/// A script was not fulfilled: where and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Line of the script.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// The expected packet or result.
    pub expected: Option<String>,
    /// What came instead.
    pub seen: Option<String>,
    /// The fields in which a packet differs.
    pub differs: Vec<&'static str>,
    /// Carets below `seen` at what differs; empty where nothing can be pointed at.
    #[serde(skip)]
    pub marks: Box<str>,
}

impl Failure {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            expected: None,
            seen: None,
            differs: Vec::new(),
            marks: "".into(),
        }
    }

    fn differing(line: usize, comparison: Comparison) -> Self {
        let what = format!("packet differs: {}", comparison.wrong.join(", "));
        let mut failure = Self::at(line, what).with(comparison.expected, comparison.seen);
        failure.differs = comparison.wrong;
        failure.marks = comparison.marks.into();
        failure
    }

    fn with(mut self, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self.seen = Some(seen.into());
        self
    }
}

/// What came of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `None` where all was as the script says.
    pub failure: Option<Failure>,
    /// A move failed, and `failure` says why; what happened since then is that of no instance.
    pub broken: bool,
    /// Failures that the script declares not fatal.
    pub warnings: Vec<Failure>,
    /// The last packets before the failure, with their times, oldest first.
    pub before: Vec<String>,
    /// Virtual time that it took.
    pub took: Duration,
    /// All that happened to the system.
    pub happened: Vec<Happened>,
    /// How many things had happened when each event of the script was over, with its line.
    pub lines: Vec<(usize, usize)>,
    /// How often the script was run for this.
    pub runs: usize,
    /// How often the instance moved in all runs.
    pub moves: usize,
    /// The event after which one move alone makes a difference.
    pub culprit: Option<usize>,
    /// A move makes a difference: that is the failure then, and none that a suite can expect.
    pub move_seen: bool,
}

impl Outcome {
    /// Of a script that was not even begun.
    fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            broken: false,
            warnings: Vec::new(),
            before: Vec::new(),
            took: Duration::ZERO,
            happened: Vec::new(),
            lines: Vec::new(),
            runs: 1,
            moves: 0,
            culprit: None,
            move_seen: false,
        }
    }

    /// The line of the script at which the `n`th thing happened, counted from 1.
    pub fn line_of(&self, n: usize) -> Option<usize> {
        let reached = |(happened, _): &&(usize, usize)| *happened >= n;
        self.lines.iter().find(reached).map(|(_, line)| *line)
    }
}

/// A call of the program that sleeps.
struct Sleeping<'a> {
    line: usize,
    call: &'a Syscall,
    /// When it must return.
    ends: Instant,
}

/// What is told of each packet, as it passes.
pub type Watch<'w> = dyn FnMut(Instant, Way, &[u8]) + 'w;

/// A script being run.
struct Run<'a, 'w, S> {
    script: &'a Script,
    stack: S,
    now: Instant,
    /// When the event before was done; relative times count from here.
    last: Instant,
    flow: Option<Flow>,
    /// The program listens and no packet has come yet: the next one opens a connection.
    listening: bool,
    program: Program,
    sleeping: Option<Sleeping<'a>>,
    sent: VecDeque<(Instant, Frame)>,
    remote_ports: u16,
    warnings: Vec<Failure>,
    /// The last packets both ways, for a failure's report.
    history: VecDeque<(Instant, Way, Option<Frame>)>,
    watch: &'w mut Watch<'w>,
    /// The most that may happen.
    happened_max: usize,
    /// Bytes of all packets so far.
    packets: usize,
    /// Percentage of tolerance, in hundredths, where the script names none.
    tolerance_permyriad: u32,
    line: usize,
    lines: Vec<(usize, usize)>,
}

/// What whoever runs a script may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Tolerance of times in hundredths of a percent of the time since the event before, where the script
    /// names none. Virtual time is exact, so there is none by default; the original has 5 % on FreeBSD.
    pub tolerance_permyriad: u32,
    /// The most that may happen; a script that makes more happen has failed.
    pub happened_max: usize,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            tolerance_permyriad: 0,
            happened_max: HAPPENED_MAX,
        }
    }
}

/// Runs a script against a new stack.
pub fn run<M: MakeStack>(make: &M, script: &Script) -> Outcome {
    run_watched(make, script, Manner::default(), &mut |_, _, _| {})
}

/// Runs a script against a new stack, and tells each packet to `watch`, with the time since the script
/// began.
pub fn run_watched<'w, M: MakeStack>(
    make: &M,
    script: &Script,
    manner: Manner,
    watch: &'w mut Watch<'w>,
) -> Outcome {
    let options = &script.options;
    let (local, remote) = addresses(options.ipv6);
    let (local, remote) = (
        options.local.unwrap_or(local),
        options.remote.unwrap_or(remote),
    );
    let stack = match make.make(UPTIME, Ends { local, remote }, options.mtu) {
        Ok(stack) => stack,
        Err(why) => return Outcome::failed(Failure::at(0, why)),
    };
    let room = stack.room();
    let mut run = Run {
        script,
        stack,
        now: UPTIME,
        last: UPTIME,
        flow: None,
        listening: false,
        program: Program {
            descriptors: Default::default(),
            local: SocketAddr::new(local, options.bind_port),
            remote: SocketAddr::new(remote, options.connect_port),
            room,
        },
        sleeping: None,
        sent: VecDeque::new(),
        remote_ports: 0,
        warnings: Vec::new(),
        history: VecDeque::new(),
        watch,
        happened_max: manner.happened_max,
        packets: 0,
        tolerance_permyriad: options
            .tolerance_permyriad
            .unwrap_or(manner.tolerance_permyriad),
        line: 0,
        lines: Vec::new(),
    };
    let mut failure = run.all().err();
    let why = run.stack.broken();
    let broken = why.is_some();
    if let Some(why) = why {
        failure = Some(Failure::at(run.line, why));
    }
    Outcome {
        before: if failure.is_some() {
            run.told()
        } else {
            Vec::new()
        },
        failure,
        broken,
        warnings: run.warnings,
        took: run.now.since(UPTIME),
        happened: run.stack.happened().to_vec(),
        lines: run.lines,
        runs: 1,
        moves: 0,
        culprit: None,
        move_seen: false,
    }
}

/// The addresses that the suite's security associations name.
fn addresses(ipv6: bool) -> (IpAddr, IpAddr) {
    if ipv6 {
        let local = [0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1];
        (local.into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into())
    } else {
        ([192, 168, 0, 1].into(), [192, 0, 2, 1].into())
    }
}

impl<'a, S: Stack> Run<'a, '_, S> {
    fn all(&mut self) -> Result<(), Failure> {
        for (line, command) in &self.script.init {
            self.command(*line, command)?;
        }
        for event in &self.script.events {
            self.line = event.line;
            let done = self.event(event);
            self.lines.push((self.stack.happened().len(), event.line));
            done?;
            self.last = self.now;
        }
        self.finish_call()?;
        for (line, command) in &self.script.cleanup {
            self.command(*line, command)?;
        }
        Ok(())
    }

    /// How far from `wanted` an event may be.
    fn tolerance(&self, wanted: Instant) -> Duration {
        let least = self.script.options.tolerance_us;
        let part = wanted
            .since(self.last)
            .as_micros()
            .saturating_mul(u64::from(self.tolerance_permyriad))
            / 10_000;
        Duration::from_micros(least.max(part))
    }

    /// Earliest and latest moment of an event, without tolerance.
    fn window(&self, time: Time) -> (Instant, Instant) {
        let us = Duration::from_micros;
        match time {
            Time::Absolute(at) => (UPTIME.after(us(at)), UPTIME.after(us(at))),
            Time::Relative(span) => (self.last.after(us(span)), self.last.after(us(span))),
            Time::Any => (self.now, FOREVER),
            Time::AbsoluteRange(a, b) => (UPTIME.after(us(a)), UPTIME.after(us(b))),
            Time::RelativeRange(a, b) => (self.last.after(us(a)), self.last.after(us(b))),
        }
    }

    /// Moves time to `until`, running what the stack has to do on the way.
    fn advance(&mut self, until: Instant) -> Result<(), Failure> {
        self.pump()?;
        while self.advance_once(until)? {}
        self.now = self.now.max(until);
        Ok(())
    }

    /// Moves time to the next callout, if it is no later than `limit`.
    fn advance_once(&mut self, limit: Instant) -> Result<bool, Failure> {
        let Some(at) = self.stack.next_callout().filter(|at| *at <= limit) else {
            return Ok(false);
        };
        self.now = self.now.max(at);
        self.stack.run_callouts(self.now);
        self.pump()?;
        Ok(true)
    }

    /// Takes what the stack has sent, and lets the program go on where it was woken.
    fn pump(&mut self) -> Result<(), Failure> {
        let most = self.happened_max;
        if self.stack.happened().len() > most {
            let what = format!("more than {most} packets, calls and callouts");
            return Err(Failure::at(self.line, what));
        }
        if self.packets > PACKETS_MAX {
            let what = format!("packets of more than {PACKETS_MAX} bytes together");
            return Err(Failure::at(self.line, what));
        }
        self.take_packets()?;
        while self.stack.run_program(self.now) {
            self.end_call()?;
            self.take_packets()?;
        }
        Ok(())
    }

    fn take_packets(&mut self) -> Result<(), Failure> {
        while let Some(bytes) = self.stack.take_packet(self.now) {
            let options = &self.script.options;
            let key = options.md5_secret.as_deref();
            let frame = wire::decode(&bytes, options.udp_encapsulation, key);
            self.note(Way::Out, &bytes, frame.as_ref().ok());
            match frame {
                Ok(frame) if frame.ends().is_some() => self.sent.push_back((self.now, frame)),
                // The script speaks of segments and datagrams; ICMP of the stack's own is not judged.
                Ok(_) => {}
                Err(what) => {
                    let what = format!("the stack sent a bad packet: {what}");
                    return Err(Failure::at(self.line, what));
                }
            }
        }
        Ok(())
    }

    /// Remembers a packet for a failure's report, and tells it to whoever watches.
    fn note(&mut self, way: Way, bytes: &[u8], frame: Option<&Frame>) {
        self.packets = self.packets.saturating_add(bytes.len());
        (self.watch)(Instant::BOOT.after(self.now.since(UPTIME)), way, bytes);
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((self.now, way, frame.cloned()));
    }

    /// The last packets, in the script's numbers as far as they are known by now.
    fn told(&self) -> Vec<String> {
        let nobody = Flow::new(self.program.local, self.program.remote);
        let flow = self.flow.as_ref().unwrap_or(&nobody);
        let tell = |(at, way, frame): &(Instant, Way, Option<Frame>)| {
            let (sign, direction) = match way {
                Way::In => ('<', Direction::In),
                Way::Out => ('>', Direction::Out),
            };
            let text = match frame {
                Some(frame) => read::packet(frame, flow, direction)
                    .map_or_else(
                        || read::unreadable(frame),
                        |packet| PacketText::new(&packet, frame.src.is_ipv6()),
                    )
                    .line(),
                None => "a packet that cannot be read".to_owned(),
            };
            format!("{} {sign} {text}", self.clock(*at))
        };
        self.history.iter().map(tell).collect()
    }

    /// Moves time to when an event of the script's own doing is due.
    fn wait_for(&mut self, event: &Event) -> Result<(), Failure> {
        let (from, to) = self.window(event.time);
        if self.now > to.after(self.tolerance(from)) {
            return Err(self.mistimed(event.line, "its turn comes", (from, to), self.now));
        }
        self.advance(from)
    }

    fn clock(&self, at: Instant) -> String {
        let us = at.since(UPTIME).as_micros();
        format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
    }
}
