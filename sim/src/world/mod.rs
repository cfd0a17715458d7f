// SPDX-License-Identifier: BSD-2-Clause
//! A world: virtual clock, one event queue, hosts, links, fault plan, observers.
//!
//! A world is built from a scenario and a seed, and nothing else decides what happens in it. It is
//! single-threaded; one [`World::step`] is one event: a frame arrives, a kernel runs one slice or
//! what is due, a program starts, a migration goes on.
//!
//! # Invariants
//! * I1: same scenario and seed, same trace digest; on every machine, debug or release.
//! * I2: after a step no frame waits in a host: all that is to be sent is on a cable.
//! * I3: the trace holds what programs and peers can observe, and nothing of a kernel's own.

pub mod build;
pub mod fabric;
pub mod faults;
pub mod host;
pub mod moves;
mod perfetto;
pub mod programs;
pub mod queue;
mod remaps;
pub mod report;
pub mod scenario;
pub mod trace;
pub mod translator;
pub mod transplant;

use crate::kern::trace::TraceItem;
use crate::kern::types::{Tid, signal_name};
use crate::net::pcapng::{CaptureId, LinkType, PcapNg, Way};
use crate::rng::fnv1a;
use crate::time::Instant;
use fabric::{Fabric, Transit};
use faults::Faults;
use host::Host;
use moves::{Move, Side};
use programs::Programs;
use queue::Queue;
use remaps::Remaps;
use report::PidTable;
use scenario::Scenario;
use std::collections::{BTreeMap, VecDeque};
use trace::{Place, Trace, call_name};
use vpscore::net::Way as To;

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A kernel has something to do.
    Wake {
        /// Index of the host.
        host: usize,
    },
    /// A frame arrives.
    Transit(Transit),
    /// A program starts.
    Start {
        /// Its index in the scenario.
        program: usize,
    },
    /// A migration begins.
    Move {
        /// Its index in the scenario.
        migrate: usize,
    },
    /// A timer of a migration may be due.
    MoveTimer {
        /// Its index among those begun.
        index: usize,
        /// Which end's.
        side: Side,
    },
}

/// A capture of all frames on the cables.
struct Capture {
    file: PcapNg<Vec<u8>>,
    cables: Vec<CaptureId>,
}

/// A world.
pub struct World {
    /// What it was built from.
    pub scenario: Scenario,
    /// The seed that it was built with.
    pub seed: u64,
    /// Its machines.
    pub hosts: Vec<Host>,
    /// The programs of the scenario, and what has become of them.
    pub programs: Programs,
    /// What has happened.
    pub trace: Trace,
    /// What programs have done wrong.
    pub faults: Faults,
    /// The migrations begun.
    pub moves: Vec<Move>,
    /// Migrations that could not even begin, by their index in the scenario, and why.
    refused_moves: BTreeMap<usize, String>,
    pids: Vec<PidTable>,
    fabric: Fabric,
    remaps: Remaps,
    queue: Queue<Event>,
    capture: Option<Capture>,
    steps: u64,
}

impl World {
    /// The virtual clock.
    pub fn now(&self) -> Instant {
        self.queue.now()
    }

    /// How many events have happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Captures all frames from now on.
    pub fn capture(&mut self) {
        let Ok(mut file) = PcapNg::new(Vec::new()) else {
            return;
        };
        let names = self.hosts.iter().map(|host| format!("{}:em0", host.name));
        let cables = names.filter_map(|name| file.interface(&name, LinkType::Ethernet).ok());
        let cables = cables.collect();
        self.capture = Some(Capture { file, cables });
    }

    /// The capture as a pcapng file, which Wireshark opens; `None` where none was asked for.
    pub fn take_capture(&mut self) -> Option<Vec<u8>> {
        self.capture.take()?.file.finish().ok()
    }

    /// Lets the next thing happen; false where nothing is left, or only after the deadline.
    pub fn step(&mut self) -> bool {
        let deadline = Instant::BOOT.after(crate::time::Duration::from_millis(
            self.scenario.deadline_ms,
        ));
        if self.queue.next_at().is_none_or(|at| at > deadline) {
            return false;
        }
        let Some(event) = self.queue.pop() else {
            return false;
        };
        self.steps += 1;
        match event {
            Event::Wake { host } => self.wake(host),
            Event::Transit(Transit::AtSwitch { host, frame }) => {
                let now = self.now();
                for (at, transit) in self.fabric.forward(now, host, &frame) {
                    self.queue.push(at, Event::Transit(transit));
                }
            }
            Event::Transit(Transit::AtHost { host, frame }) => self.arrive(host, frame),
            Event::Start { program } => self.start_program(program),
            Event::Move { migrate } => self.begin_move(migrate),
            Event::MoveTimer { index, side } => self.move_timer(index, side),
        }
        true
    }

    /// Whether all that the scenario waits for has happened: programs have started, those that must
    /// end have ended and those that must write have written, moves are over on both sides. A scenario that waits for nothing runs to its
    /// deadline.
    pub fn is_over(&self) -> bool {
        let programs = &self.scenario.program;
        let waits = programs
            .iter()
            .any(|p| p.expect_exit.is_some() || !p.expect_output.is_empty());
        let tried = self.moves.len() + self.refused_moves.len();
        let moved = tried == self.scenario.migrate.len() && self.moves.iter().all(Move::is_over);
        (waits || tried > 0) && moved && self.programs.all_started() && self.all_ended()
    }

    /// Runs until nothing is left to happen, or the deadline.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// A frame has come to a host.
    fn arrive(&mut self, host: usize, frame: Vec<u8>) {
        let now = self.now();
        self.record_frame(host, Way::In, &frame);
        if self.move_frame(host, &frame) {
            return;
        }
        let Some(machine) = self.hosts.get_mut(host) else {
            return;
        };
        let (inside, outside) = self.remaps.pass(host, To::In, frame);
        let mut out = Vec::new();
        for frame in inside {
            out.extend(machine.from_cable(now, frame));
        }
        self.launch(host, outside);
        self.send(host, out);
        self.settle(host);
    }

    /// A kernel does what is due: callouts, and one slice.
    fn wake(&mut self, host: usize) {
        let now = self.now();
        let Some(machine) = self.hosts.get_mut(host) else {
            return;
        };
        if machine.wake_at != Some(now) {
            return;
        }
        machine.wake_at = None;
        machine.kern.run_net_callouts(now);
        machine.kern.run_callouts(now, &mut machine.join);
        machine.kern.run_slice(now, &mut machine.join);
        self.settle(host);
    }

    /// After anything that a kernel did: what it has to send is sent, what it did is recorded, and
    /// it is woken when it next has something to do.
    pub(crate) fn settle(&mut self, host: usize) {
        let now = self.now();
        let Some(machine) = self.hosts.get_mut(host) else {
            return;
        };
        let out = machine.flush(now);
        self.send(host, out);
        self.drain_trace(host);
        let Some(machine) = self.hosts.get_mut(host) else {
            return;
        };
        if let Some(at) = machine.kern.next_event() {
            let at = at.max(now);
            if machine.wake_at.is_none_or(|before| at < before) {
                machine.wake_at = Some(at);
                self.queue.push(at, Event::Wake { host });
            }
        }
    }

    /// Sends frames of a host, through the translations on its cable.
    pub(crate) fn send(&mut self, host: usize, frames: Vec<Vec<u8>>) {
        let now = self.now();
        let mut frames = VecDeque::from(frames);
        while let Some(frame) = frames.pop_front() {
            let (outside, inside) = self.remaps.pass(host, To::Out, frame);
            self.launch(host, outside);
            for frame in inside {
                if let Some(machine) = self.hosts.get_mut(host) {
                    frames.extend(machine.from_cable(now, frame));
                }
            }
        }
    }

    /// Puts frames on the cable of a host.
    fn launch(&mut self, host: usize, frames: Vec<Vec<u8>>) {
        let now = self.now();
        for frame in frames {
            self.record_frame(host, Way::Out, &frame);
            for (at, transit) in self.fabric.send(now, host, frame) {
                self.queue.push(at, Event::Transit(transit));
            }
        }
    }

    fn record_frame(&mut self, host: usize, way: Way, frame: &[u8]) {
        let now = self.now();
        if let Some(capture) = &mut self.capture
            && let Some(cable) = capture.cables.get(host)
        {
            // Writing to memory cannot fail.
            let _ = capture.file.frame(now, *cable, way, frame, "");
        }
        if way == Way::Out
            && let Some(machine) = self.hosts.get(host)
        {
            let place = Place {
                instance: machine.name.clone(),
                pid: 0,
                tid: 0,
            };
            let detail = format!("{} bytes {:016x}", frame.len(), fnv1a(frame));
            self.trace.record(now, place, "frame", detail);
        }
    }

    /// Makes records of what a kernel has told.
    fn drain_trace(&mut self, host: usize) {
        let now = self.now();
        let Some(machine) = self.hosts.get_mut(host) else {
            return;
        };
        for item in machine.kern.take_trace() {
            let (p, tid) = subject(&machine.kern, &item);
            let Some(p) = p else { continue };
            let place = machine.place(p, tid);
            let Some((kind, detail)) = detail(machine, &item) else {
                continue;
            };
            self.programs.note(&place, &item);
            self.faults.note(now, &place, &item);
            self.trace.record(now, place, kind, detail);
            if let TraceItem::Reap { p } = item {
                machine.forget_place(p);
            }
        }
    }
}

/// Whom an item is about.
fn subject(
    kern: &crate::kern::Kern,
    item: &TraceItem,
) -> (Option<crate::kern::types::ProcId>, Option<Tid>) {
    match item {
        TraceItem::Enter { tid, .. }
        | TraceItem::Return { tid, .. }
        | TraceItem::Block { tid, .. }
        | TraceItem::Wakeup { tid } => (kern.proc_of(*tid), Some(*tid)),
        TraceItem::Fork { child: p, .. }
        | TraceItem::Signal { p, .. }
        | TraceItem::Exec { p, .. }
        | TraceItem::Exit { p, .. }
        | TraceItem::Reap { p }
        | TraceItem::Console { p, .. } => (Some(*p), None),
    }
}

/// Kind and details of an item, in the program's own numbers.
fn detail(host: &mut Host, item: &TraceItem) -> Option<(&'static str, String)> {
    let hex = |args: &[u64]| args.iter().map(|a| format!(" {a:#x}")).collect::<String>();
    Some(match item {
        TraceItem::Enter { code, args, .. } => {
            ("call", format!("{}{}", call_name(*code), hex(args)))
        }
        TraceItem::Return {
            code,
            result: Ok(values),
            ..
        } => ("return", format!("{}{}", call_name(*code), hex(values))),
        TraceItem::Return {
            code,
            result: Err(errno),
            ..
        } => ("return", format!("{} {}", call_name(*code), errno.name())),
        TraceItem::Block { wmesg, .. } => ("block", (*wmesg).to_owned()),
        TraceItem::Wakeup { .. } => ("wakeup", String::new()),
        TraceItem::Signal { signo, handler, .. } => {
            ("signal", format!("{} {handler:#x}", signal_name(*signo)))
        }
        TraceItem::Fork { parent, .. } => {
            let parent = host.place(*parent, None);
            ("fork", format!("by {} {}", parent.instance, parent.pid))
        }
        TraceItem::Exec { path, .. } => ("exec", path.clone()),
        TraceItem::Exit { status, signo, .. } => ("exit", format!("{status} {signo}")),
        TraceItem::Reap { .. } => ("reap", String::new()),
        TraceItem::Console { text, .. } => ("console", String::from_utf8_lossy(text).into_owned()),
    })
}

#[cfg(test)]
mod output_tests;
#[cfg(test)]
mod tests;
