// SPDX-License-Identifier: BSD-2-Clause
//! Running a script against a stack, in virtual time.
//!
//! The script is the judge: the runner injects what it injects, makes the calls that it makes, and
//! compares what the stack sends and returns, and when. Nothing in a script is recognised by name.
//!
//! # Invariants
//! * I1: one script, one stack: the outcome depends on nothing else.
//! * I2: time moves only to the next event of the script or the next callout of the stack.
//! * I3: a script ends; the runner waits `PATIENCE` for a packet or a call, never for ever.

pub mod calls;
pub mod emulated;
pub mod flow;
pub mod icmp;
pub mod judge;
pub mod moved;
pub mod names;
pub mod stack;
mod steps;
pub mod userland;

use super::ast::{Event, Script, Syscall, Time};
use super::wire::{self, Frame};
use crate::time::{Duration, Instant};
use calls::{Program, Resume};
use flow::Flow;
use stack::{MakeStack, Stack};
use std::collections::VecDeque;
use std::net::IpAddr;

/// How long the runner waits for what a script demands, beyond its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The kernel has been up this long when a script begins.
const UPTIME: Instant = Instant::from_nanos(1_000_000_000_000);

/// A script was not fulfilled: where and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the script.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// The expected packet or result.
    pub expected: Option<String>,
    /// What came instead.
    pub seen: Option<String>,
}

impl Failure {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            expected: None,
            seen: None,
        }
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
    /// Failures that the script declares not fatal.
    pub warnings: Vec<Failure>,
    /// Virtual time that it took.
    pub took: Duration,
}

/// A call of the program that sleeps.
struct Sleeping<'a> {
    line: usize,
    call: &'a Syscall,
    resume: Resume,
    began: Instant,
}

/// A script being run.
struct Run<'a, S> {
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
}

/// Runs a script against a new stack.
pub fn run<M: MakeStack>(make: &M, script: &Script) -> Outcome {
    let (local, remote) = addresses(script.options.ipv6);
    let mut run = Run {
        script,
        stack: make.make(local, script.options.mtu),
        now: UPTIME,
        last: UPTIME,
        flow: None,
        listening: false,
        program: Program {
            descriptors: Default::default(),
            local,
            remote,
        },
        sleeping: None,
        sent: VecDeque::new(),
        remote_ports: 0,
        warnings: Vec::new(),
    };
    let broken = |run: &Run<'_, M::Stack>| run.stack.broken().map(|why| Failure::at(0, why));
    let failure = run.all().err();
    let failure = broken(&run).or(failure);
    Outcome {
        failure,
        warnings: run.warnings,
        took: run.now.since(UPTIME),
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

impl<'a, S: Stack> Run<'a, S> {
    fn all(&mut self) -> Result<(), Failure> {
        for (line, command) in &self.script.init {
            self.command(*line, command)?;
        }
        for event in &self.script.events {
            self.event(event)?;
            self.last = self.now;
        }
        self.finish_call()?;
        for (line, command) in &self.script.cleanup {
            self.command(*line, command)?;
        }
        Ok(())
    }

    fn tolerance(&self) -> Duration {
        Duration::from_micros(self.script.options.tolerance_us)
    }

    /// Earliest and latest moment of an event, without tolerance.
    fn window(&self, time: Time) -> (Instant, Instant) {
        let us = Duration::from_micros;
        match time {
            Time::Absolute(at) => (UPTIME.after(us(at)), UPTIME.after(us(at))),
            Time::Relative(span) => (self.last.after(us(span)), self.last.after(us(span))),
            Time::Any => (self.now, Instant::from_nanos(u64::MAX)),
            Time::AbsoluteRange(a, b) => (UPTIME.after(us(a)), UPTIME.after(us(b))),
            Time::RelativeRange(a, b) => (self.last.after(us(a)), self.last.after(us(b))),
        }
    }

    /// Moves time to `until`, running what the stack has to do on the way.
    fn advance(&mut self, until: Instant) -> Result<(), Failure> {
        self.pump()?;
        while let Some(at) = self.stack.next_callout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.run_callouts(self.now);
            self.pump()?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Moves time to the stack's next callout, if it is no later than `limit`.
    fn advance_once(&mut self, limit: Instant) -> Result<bool, Failure> {
        let Some(at) = self.stack.next_callout().filter(|at| *at <= limit) else {
            return Ok(false);
        };
        self.now = self.now.max(at);
        self.stack.run_callouts(self.now);
        self.pump()?;
        Ok(true)
    }

    /// Takes what the stack has sent, and lets a sleeping call try again.
    fn pump(&mut self) -> Result<(), Failure> {
        self.take_packets()?;
        let mut woken = false;
        while self.stack.sockets().take_wakeup().is_some() {
            woken = true;
        }
        if woken {
            self.retry_call()?;
            self.take_packets()?;
        }
        Ok(())
    }

    fn take_packets(&mut self) -> Result<(), Failure> {
        while let Some(bytes) = self.stack.take_packet() {
            let options = &self.script.options;
            let key = options.md5_secret.as_deref();
            match wire::decode(&bytes, options.udp_encapsulation, key) {
                Ok(frame) if frame.segment().is_some() => self.sent.push_back((self.now, frame)),
                // The script speaks of segments only; ICMP of the stack's own is not judged.
                Ok(_) => {}
                Err(what) => {
                    let line = self.script.events.last().map_or(0, |event| event.line);
                    return Err(Failure::at(
                        line,
                        format!("the stack sent a bad packet: {what}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Moves time to when an event of the script's own doing is due.
    fn wait_for(&mut self, event: &Event) -> Result<(), Failure> {
        let (from, to) = self.window(event.time);
        if self.now > to.after(self.tolerance()) {
            return Err(Failure::at(event.line, "its time has passed")
                .with(self.clock(from), self.clock(self.now)));
        }
        self.advance(from)
    }

    fn clock(&self, at: Instant) -> String {
        let us = at.since(UPTIME).as_micros();
        format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
    }
}
