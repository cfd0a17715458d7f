// SPDX-License-Identifier: BSD-2-Clause
//! A trace as a file to look at, in the form of Chrome's trace viewer, which Perfetto opens;
//! `docs/output.md` describes it.
//!
//! An instance is a process there, and so is each host; its tracks are its processes and their threads, by the
//! numbers that it knows them by: thread ids begin above all process ids, as on FreeBSD. What takes time is a
//! slice: a process's life, a system call and each sleep in it, a stop of the instance, a migration and its
//! phases. What takes none is an instant.

use super::World;
use super::moves::Move;
use super::trace::{Place, Record};
use crate::guest::consts::syscall_by_name;
use crate::time::Instant;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The row of all migrations.
const MIGRATIONS: &str = "migrations";

/// An event of the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct TraceEvent {
    /// Phase: `X` a slice, `i` an instant, `M` a name.
    ph: char,
    name: String,
    cat: &'static str,
    /// Microseconds since the world began.
    ts: f64,
    /// Microseconds that a slice takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// How far an instant's mark reaches: its track.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<char>,
    pid: usize,
    tid: i64,
    args: Map<String, Value>,
}

/// Where an event is drawn: instance or host, and a process or thread of it; 0 is the whole of it.
type Track = (String, i64);

/// Something that has begun and not ended.
#[derive(Clone, Debug)]
struct Open {
    began_ns: u64,
    name: String,
    args: Map<String, Value>,
}

/// What is under way on the tracks while the records pass.
#[derive(Default)]
struct Drawing {
    /// Rows of the file, by instance or host.
    rows: BTreeMap<String, usize>,
    /// Names of tracks.
    tracks: BTreeMap<Track, String>,
    events: Vec<TraceEvent>,
    /// Lives of processes, and of those that are zombies.
    lives: BTreeMap<Track, (&'static str, Open)>,
    /// Calls and the sleeps in them, by thread, with the process.
    calls: BTreeMap<Track, (i32, Open)>,
    sleeps: BTreeMap<Track, Open>,
}

fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

fn args<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

impl Drawing {
    fn row(&mut self, name: &str) -> usize {
        if let Some(row) = self.rows.get(name) {
            return *row;
        }
        let row = self.rows.len() + 1;
        self.rows.insert(name.to_owned(), row);
        row
    }

    fn slice(&mut self, cat: &'static str, track: &Track, open: Open, end_ns: u64) {
        let (pid, tid) = (self.row(&track.0), track.1);
        self.events.push(TraceEvent {
            ph: 'X',
            name: open.name,
            cat,
            ts: micros(open.began_ns),
            dur: Some(micros(end_ns.saturating_sub(open.began_ns))),
            s: None,
            pid,
            tid,
            args: open.args,
        });
    }

    fn instant(&mut self, cat: &'static str, track: &Track, at_ns: u64, name: String) {
        let (pid, tid) = (self.row(&track.0), track.1);
        self.events.push(TraceEvent {
            ph: 'i',
            name,
            cat,
            ts: micros(at_ns),
            dur: None,
            s: Some('t'),
            pid,
            tid,
            args: Map::new(),
        });
    }

    /// Draws what a record tells.
    fn record(&mut self, record: &Record) {
        let Place { instance, pid, tid } = &record.place;
        let process = (instance.clone(), i64::from(*pid));
        let thread = (instance.clone(), i64::from(*tid));
        let at = record.at_ns;
        if *pid != 0 && record.kind != "reap" && !self.lives.contains_key(&process) {
            self.born(&process, at);
        }
        if *tid != 0 {
            let name = || format!("thread {tid} of {pid}");
            self.tracks.entry(thread.clone()).or_insert_with(name);
        }
        let detail = || record.detail.clone();
        match record.kind {
            "call" => self.call(&thread, *pid, record),
            "return" => self.returns(&thread, record),
            "block" => {
                self.wakes(&thread, at);
                let open = Open {
                    began_ns: at,
                    name: format!("sleep {}", record.detail),
                    args: args([("wmesg", json!(record.detail))]),
                };
                self.sleeps.insert(thread, open);
            }
            "wakeup" => self.wakes(&thread, at),
            "exit" => self.exits(&process, *pid, record),
            "reap" => {
                if let Some((cat, open)) = self.lives.remove(&process) {
                    self.slice(cat, &process, open, at);
                }
            }
            "exec" => {
                self.instant("exec", &process, at, format!("exec {}", detail()));
                self.runs(&process, &record.detail);
            }
            "fork" => {
                self.instant("fork", &process, at, format!("fork {}", detail()));
                if let Some(path) = self.path_of_parent(&record.detail) {
                    self.runs(&process, &path);
                }
            }
            kind => {
                if *pid == 0 {
                    let name = || "cable".to_owned();
                    self.tracks.entry(process.clone()).or_insert_with(name);
                }
                self.instant(kind, &process, at, format!("{kind} {}", detail()));
            }
        }
    }

    fn born(&mut self, process: &Track, at_ns: u64) {
        let pid = process.1;
        let open = Open {
            began_ns: at_ns,
            name: format!("process {pid}"),
            args: Map::new(),
        };
        self.lives.insert(process.clone(), ("process", open));
        let name = || format!("process {pid}");
        self.tracks.entry(process.clone()).or_insert_with(name);
    }

    /// The program of the process that `by INSTANCE PID` names.
    fn path_of_parent(&self, by: &str) -> Option<String> {
        let (instance, pid) = by.strip_prefix("by ")?.rsplit_once(' ')?;
        let parent = (instance.to_owned(), pid.parse().ok()?);
        let (_, life) = self.lives.get(&parent)?;
        Some(life.args.get("path")?.as_str()?.to_owned())
    }

    /// From now on a process runs this program.
    fn runs(&mut self, process: &Track, path: &str) {
        let pid = process.1;
        if let Some((_, open)) = self.lives.get_mut(process) {
            open.name = format!("{path} {pid}");
            open.args.insert("path".into(), json!(path));
        }
        let name = format!("process {pid}: {path}");
        self.tracks.insert(process.clone(), name);
    }

    fn call(&mut self, thread: &Track, pid: i32, record: &Record) {
        // A call that does not return, as sigreturn(2), has no length.
        if let Some((_, open)) = self.calls.remove(thread) {
            let end = open.began_ns;
            self.slice("call", thread, open, end);
        }
        let mut words = record.detail.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let takes = syscall_by_name(&name).map_or(usize::MAX, |call| call.nargs);
        let arguments: Vec<&str> = words.take(takes).collect();
        let open = Open {
            began_ns: record.at_ns,
            name,
            args: args([("arguments", json!(arguments))]),
        };
        self.calls.insert(thread.clone(), (pid, open));
    }

    fn returns(&mut self, thread: &Track, record: &Record) {
        self.wakes(thread, record.at_ns);
        let Some((_, mut open)) = self.calls.remove(thread) else {
            return;
        };
        let (_, result) = record.detail.split_once(' ').unwrap_or_default();
        open.args.insert("result".into(), json!(result));
        self.slice("call", thread, open, record.at_ns);
    }

    fn wakes(&mut self, thread: &Track, at_ns: u64) {
        if let Some(open) = self.sleeps.remove(thread) {
            self.slice("sleep", thread, open, at_ns);
        }
    }

    /// A process is a zombie from now on; calls of its threads end.
    fn exits(&mut self, process: &Track, pid: i32, record: &Record) {
        let at = record.at_ns;
        let of =
            |(track, (owner, _)): &(&Track, &(i32, Open))| track.0 == process.0 && *owner == pid;
        let threads = self.calls.iter().filter(of);
        let threads: Vec<Track> = threads.map(|(track, _)| track.clone()).collect();
        for thread in threads {
            self.wakes(&thread, at);
            if let Some((_, open)) = self.calls.remove(&thread) {
                self.slice("call", &thread, open, at);
            }
        }
        let (status, signal) = record.detail.split_once(' ').unwrap_or_default();
        if let Some((cat, mut open)) = self.lives.remove(process) {
            open.args.insert("status".into(), json!(status));
            open.args.insert("signal".into(), json!(signal));
            self.slice(cat, process, open, at);
        }
        let zombie = Open {
            began_ns: at,
            name: "zombie".to_owned(),
            args: Map::new(),
        };
        self.lives.insert(process.clone(), ("zombie", zombie));
    }

    fn phase(
        &mut self,
        track: &Track,
        cat: &'static str,
        name: &str,
        (from, to): (Instant, Instant),
        args: Map<String, Value>,
    ) {
        let open = Open {
            began_ns: from.as_nanos(),
            name: name.to_owned(),
            args,
        };
        self.slice(cat, track, open, to.as_nanos());
    }

    /// Draws a migration, and the stop of all instances that it takes along.
    fn migration(&mut self, index: usize, mv: &Move, title: &str, along: &[&str], end: Instant) {
        let track = (MIGRATIONS.to_owned(), index as i64 + 1);
        self.tracks.insert(track.clone(), title.to_owned());
        let known = mv.ended.unwrap_or(end);
        let ended = mv.resumed.map_or(known, |resumed| resumed.max(known));
        let whole = args([
            ("rounds", json!(mv.scans.len())),
            ("image_bytes", json!(mv.image_bytes)),
        ]);
        self.phase(&track, "migration", title, (mv.began, ended), whole);
        let stopped = mv.stopped.unwrap_or(ended);
        let ends = mv.scans.iter().copied().skip(1).chain([stopped]);
        for (round, (from, to)) in mv.scans.iter().zip(ends).enumerate() {
            let name = format!("pre-copy, round {}", round + 1);
            self.phase(&track, "phase", &name, (*from, to), Map::new());
        }
        let Some(stopped) = mv.stopped else {
            return;
        };
        let resumed = mv.resumed.unwrap_or(ended);
        self.phase(&track, "phase", "stopped", (stopped, resumed), Map::new());
        self.phase(&track, "phase", "closing", (resumed, ended), Map::new());
        for path in along {
            let track = ((*path).to_owned(), 0);
            self.tracks.insert(track.clone(), "instance".to_owned());
            let span = (stopped, resumed);
            self.phase(&track, "suspended", "suspended", span, Map::new());
        }
    }

    /// Ends what has not ended, and gives the file.
    fn finish(mut self, end_ns: u64) -> Value {
        for (track, open) in std::mem::take(&mut self.sleeps) {
            self.slice("sleep", &track, open, end_ns);
        }
        for (track, (_, open)) in std::mem::take(&mut self.calls) {
            self.slice("call", &track, open, end_ns);
        }
        for (track, (cat, open)) in std::mem::take(&mut self.lives) {
            self.slice(cat, &track, open, end_ns);
        }
        let name = |name: &str, pid, tid, what: &str| TraceEvent {
            ph: 'M',
            name: name.to_owned(),
            cat: "name",
            ts: 0.0,
            dur: None,
            s: None,
            pid,
            tid,
            args: args([("name", json!(what))]),
        };
        let rows = self.rows.iter();
        let mut events: Vec<TraceEvent> = rows
            .map(|(row, pid)| name("process_name", *pid, 0, row))
            .collect();
        for ((row, tid), what) in &self.tracks {
            let pid = self.rows.get(row).copied().unwrap_or(0);
            events.push(name("thread_name", pid, *tid, what));
        }
        events.extend(self.events);
        json!({ "traceEvents": events, "displayTimeUnit": "ns" })
    }
}

impl World {
    /// The kept records and the migrations as a file that Perfetto opens.
    pub fn perfetto(&self) -> Value {
        let mut drawing = Drawing::default();
        for record in self.trace.records() {
            drawing.record(record);
        }
        let name = |host: usize| self.hosts.get(host).map_or("", |host| host.name.as_str());
        for (index, mv) in self.moves.iter().enumerate() {
            let title = format!("{}: {} -> {}", mv.path, name(mv.from), name(mv.to));
            let below = format!("{}.", mv.path);
            let paths = self.scenario.instance.iter().map(|i| i.name.get_ref());
            let along = paths.filter(|path| **path == mv.path || path.starts_with(&below));
            let along: Vec<&str> = along.map(String::as_str).collect();
            drawing.migration(index, mv, &title, &along, self.now());
        }
        drawing.finish(self.now().as_nanos())
    }
}
