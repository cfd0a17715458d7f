// SPDX-License-Identifier: BSD-2-Clause
//! What came of a world: for people as text, for programs as JSON.

use super::World;
use super::faults::Fault;
use super::moves::Outcome;
use super::scenario::Cidr;
use crate::kern::types::{ProcId, signal_name};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use vpscore::types::{InstanceId, ProcHandle};

/// A process with the numbers that it has: the host's, then one in each instance on the way down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidRow {
    /// Its program.
    pub command: String,
    /// Its instance.
    pub instance: String,
    /// The kernel's number.
    pub host: i32,
    /// Instances from the outermost down, with its number in each.
    pub numbers: Vec<(String, i32)>,
}

/// The processes of all instances at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidTable {
    /// What the moment is.
    pub when: String,
    /// Virtual milliseconds.
    pub at_ms: u64,
    /// The host they are on.
    pub on: String,
    /// By the host's numbers.
    pub rows: Vec<PidRow>,
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
    /// Its name in the scenario.
    pub name: String,
    /// Where it ran.
    pub place: String,
    /// Its number there.
    pub pid: Option<i32>,
    /// Exit value, once it has ended.
    pub exit: Option<i32>,
    /// The signal it died of, or 0.
    pub signal: i32,
    /// What it wrote.
    pub output: String,
}

/// What became of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveReport {
    /// The instance.
    pub instance: String,
    /// From this host.
    pub from: String,
    /// To this one.
    pub to: String,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// `moved`, `aborted: REASON`, `lost`, or `unfinished`.
    pub outcome: String,
    /// How long it did not run, in virtual microseconds.
    pub downtime_us: Option<u64>,
    /// Rounds of pre-copy while it ran.
    pub rounds: usize,
    /// Bytes sent in them.
    pub precopied_bytes: usize,
    /// Bytes of its image.
    pub image_bytes: usize,
    /// Frames that carried them, repeated ones too.
    pub frames: u64,
    /// The addresses that peers know, with those that the instances have since.
    pub addresses: BTreeMap<Ipv4Addr, Cidr>,
    /// The router that they have since.
    pub router: Option<Ipv4Addr>,
}

/// What came of a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Digest of the trace: equal runs have equal ones.
    pub digest: String,
    /// Events that happened.
    pub events: u64,
    /// Records of the trace.
    pub records: u64,
    /// Virtual milliseconds that passed.
    pub virtual_ms: u64,
    /// The programs.
    pub programs: Vec<ProgramReport>,
    /// The migrations.
    pub moves: Vec<MoveReport>,
    /// The processes, before and after each move.
    pub pids: Vec<PidTable>,
    /// What programs have done wrong, whether or not the scenario speaks of it; the first hundred.
    pub faults: Vec<Fault>,
    /// How many of these there are.
    pub fault_count: u64,
    /// What did not come out as the scenario demands; empty where all is well.
    pub failures: Vec<String>,
}

impl World {
    /// The processes in the instances of a host.
    pub fn pid_table(&self, host: usize, when: &str) -> Option<PidTable> {
        let machine = self.hosts.get(host)?;
        let core = machine.join.core();
        let mut rows: Vec<PidRow> = machine
            .kern
            .procs()
            .filter_map(|proc| {
                let report = core.proc_report(ProcHandle(proc.id().0))?;
                let path = core.report(InstanceId::VPS0, report.instance)?.path;
                let path = path.as_str().to_owned();
                let above = path.match_indices('.').map(|(at, _)| &path[..at]);
                let names = above.chain([path.as_str()]).map(str::to_owned);
                Some(PidRow {
                    command: proc.comm().to_owned(),
                    host: proc.pid().0,
                    numbers: names.zip(report.numbers().iter().copied()).collect(),
                    instance: path,
                })
            })
            .collect();
        rows.sort_by_key(|row| row.host);
        let at_ms = self.now().as_nanos() / 1_000_000;
        Some(PidTable {
            when: when.to_owned(),
            at_ms,
            on: machine.name.clone(),
            rows,
        })
    }

    /// Judges the world as it is now.
    pub fn report(&self) -> Report {
        let mut failures = Vec::new();
        let programs = self.report_programs(&mut failures);
        let moves = self.report_moves(&mut failures);
        for machine in &self.hosts {
            self.check_host(machine, &mut failures);
        }
        Report {
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            digest: self.trace.digest(),
            events: self.steps(),
            records: self.trace.count(),
            virtual_ms: self.now().as_nanos() / 1_000_000,
            programs,
            moves,
            pids: self.pids.clone(),
            faults: self.faults.first.clone(),
            fault_count: self.faults.count,
            failures,
        }
    }

    fn report_programs(&self, failures: &mut Vec<String>) -> Vec<ProgramReport> {
        let mut reports = Vec::new();
        for (spec, fate) in self.scenario.program.iter().zip(&self.programs.fates) {
            let name = spec.name.get_ref().clone();
            if let Some(why) = &fate.refused {
                failures.push(format!("program {name} did not start: {why}"));
            }
            match (spec.expect_exit, fate.ended) {
                (Some(wanted), Some((exit, signal))) if exit != wanted || signal != 0 => {
                    let how = match signal {
                        0 => format!("ended with exit {exit}"),
                        signal => format!("died of {}", signal_name(signal)),
                    };
                    failures.push(format!("program {name} {how}; expected exit {wanted}"));
                }
                (Some(_), None) if fate.refused.is_none() => {
                    failures.push(format!("program {name} has not ended"));
                }
                _ => {}
            }
            for words in &fate.missing {
                failures.push(format!("program {name} did not write \"{words}\""));
            }
            reports.push(ProgramReport {
                name,
                place: spec.place.get_ref().clone(),
                pid: fate.place.as_ref().map(|(_, pid)| *pid),
                exit: fate.ended.map(|(exit, _)| exit),
                signal: fate.ended.map_or(0, |(_, signal)| signal),
                output: fate.output.clone(),
            });
        }
        reports
    }

    fn report_moves(&self, failures: &mut Vec<String>) -> Vec<MoveReport> {
        let host = |index: usize| {
            self.hosts
                .get(index)
                .map(|h| h.name.clone())
                .unwrap_or_default()
        };
        let mut reports = Vec::new();
        for (index, spec) in self.scenario.migrate.iter().enumerate() {
            let path = spec.instance.get_ref();
            let mv = self.moves.iter().find(|mv| mv.spec == index);
            let Some(mv) = mv else {
                let why = self
                    .refused_moves
                    .get(&index)
                    .map_or("not begun", String::as_str);
                failures.push(format!("{path} was not moved: {why}"));
                continue;
            };
            let outcome = match mv.outcome {
                Some(Outcome::Moved) => "moved".to_owned(),
                Some(Outcome::Aborted(reason)) => format!("aborted: {reason:?}"),
                Some(Outcome::Lost) => "lost".to_owned(),
                None => "unfinished".to_owned(),
            };
            let moved = mv.outcome == Some(Outcome::Moved);
            if !moved {
                failures.push(format!("{path} to {}: {outcome}{}", host(mv.to), mv.why()));
            }
            let new = spec.addresses.iter().filter(|_| moved);
            let downtime_us = mv.downtime().map(|span| span.as_micros());
            if let (Some(most), Some(us)) = (spec.max_downtime_ms, downtime_us)
                && us > most * 1_000
            {
                failures.push(format!(
                    "{path} stood still for {us} us; at most {most} ms allowed"
                ));
            }
            reports.push(MoveReport {
                instance: path.clone(),
                from: host(mv.from),
                to: host(mv.to),
                at_ms: mv.began.as_nanos() / 1_000_000,
                outcome,
                downtime_us,
                rounds: mv.scans.len(),
                precopied_bytes: mv.precopied,
                image_bytes: mv.image_bytes,
                frames: mv.chunks_sent,
                addresses: new.map(|(known, to)| (*known, *to.get_ref())).collect(),
                router: spec.router().filter(|_| moved),
            });
        }
        reports
    }

    /// What must hold of every host at the end: no process of an instance is unknown to the core or
    /// the other way round, nothing is reserved for ever, an instance is on one host.
    fn check_host(&self, machine: &super::host::Host, failures: &mut Vec<String>) {
        let core = machine.join.core();
        // A core without its checks, as in a measurement, has none of this.
        #[cfg(feature = "checks")]
        if !core.invariants() {
            failures.push(format!(
                "{}: an invariant of the core is broken",
                machine.name
            ));
        }
        if core.outstanding() != 0 {
            failures.push(format!(
                "{}: {} reservations are lost",
                machine.name,
                core.outstanding()
            ));
        }
        let known = |p: ProcId| core.proc_report(ProcHandle(p.0)).is_some();
        for proc in machine.kern.procs() {
            let inside = proc.ucred().prison != crate::kern::types::PrisonId::HOST;
            if inside != known(proc.id()) {
                let pid = proc.pid().0;
                failures.push(format!(
                    "{}: process {pid} is in one place only",
                    machine.name
                ));
            }
        }
        for spec in &self.scenario.instance {
            let path = spec.name.get_ref();
            let here = machine.instance(path).is_some();
            let elsewhere = self
                .hosts
                .iter()
                .filter(|h| h.instance(path).is_some())
                .count();
            if here && elsewhere > 1 {
                failures.push(format!("{path} is on {elsewhere} hosts"));
            }
        }
    }
}

impl Report {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = format!("{}, seed {}\n\n", self.scenario, self.seed);
        self.tell_programs(&mut out);
        self.tell_pids(&mut out);
        self.tell_moves(&mut out);
        self.tell_faults(&mut out);
        let _ = writeln!(
            out,
            "\n{} events in {} ms of virtual time; trace digest {}",
            self.events, self.virtual_ms, self.digest
        );
        if self.failures.is_empty() {
            out += "good: every expectation and invariant held\n";
        }
        for failure in &self.failures {
            let _ = writeln!(out, "failed: {failure}");
        }
        out
    }

    /// A program a row; further lines of its output stand below the first.
    fn tell_programs(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "{:<16} {:<8} {:>5} {:>7}  output",
            "program", "in", "pid", "exit"
        );
        for program in &self.programs {
            let number = |n: Option<i32>| n.map_or("-".to_owned(), |n| n.to_string());
            let ended = match program.signal {
                0 => number(program.exit),
                signal => signal_name(signal).into_owned(),
            };
            let mut row = format!(
                "{:<16} {:<8} {:>5} {:>7}  ",
                program.name,
                program.place,
                number(program.pid),
                ended
            );
            let below = format!("\n{:width$}", "", width = row.chars().count());
            row += &program.output.trim_end().replace('\n', &below);
            let _ = writeln!(out, "{}", row.trim_end());
        }
    }

    /// The processes at each moment, a table each.
    fn tell_pids(&self, out: &mut String) {
        for table in &self.pids {
            let _ = writeln!(
                out,
                "\n{} at {} ms, on {}",
                table.when, table.at_ms, table.on
            );
            let _ = writeln!(out, "{:<16} {:>8}  inside", "process", table.on);
            for row in &table.rows {
                let inside: Vec<String> = row
                    .numbers
                    .iter()
                    .map(|(name, pid)| format!("{name} {pid}"))
                    .collect();
                let _ = writeln!(
                    out,
                    "{:<16} {:>8}  {}",
                    row.command,
                    row.host,
                    inside.join(", ")
                );
            }
        }
    }

    /// Three lines a migration.
    fn tell_moves(&self, out: &mut String) {
        for mv in &self.moves {
            let downtime = mv.downtime_us.map_or("-".to_owned(), |us| {
                format!("{}.{:03} ms", us / 1_000, us % 1_000)
            });
            let _ = writeln!(
                out,
                "\n{}: {} -> {} at {} ms: {}\n  {} rounds of pre-copy, {} bytes; image {} bytes; {} frames; \
                 down for {downtime}",
                mv.instance,
                mv.from,
                mv.to,
                mv.at_ms,
                mv.outcome,
                mv.rounds,
                mv.precopied_bytes,
                mv.image_bytes,
                mv.frames
            );
            if !mv.addresses.is_empty() {
                let new = mv.addresses.iter();
                let new: Vec<_> = new.map(|(known, to)| format!("{known} is {to}")).collect();
                let router = mv.router.map(|router| format!("; router {router}"));
                let (new, router) = (new.join(", "), router.unwrap_or_default());
                let _ = writeln!(out, "  new addresses: {new}{router}");
            }
        }
    }

    /// A fault a line.
    fn tell_faults(&self, out: &mut String) {
        for (index, fault) in self.faults.iter().enumerate() {
            let before = if index == 0 { "\n" } else { "" };
            let Fault {
                at_ms,
                instance,
                pid,
                what,
            } = fault;
            let _ = writeln!(
                out,
                "{before}fault: {instance}, process {pid} {what}, at {at_ms} ms"
            );
        }
        if self.fault_count > self.faults.len() as u64 {
            let _ = writeln!(out, "{} faults in all", self.fault_count);
        }
    }
}
