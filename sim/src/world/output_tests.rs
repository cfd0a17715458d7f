// SPDX-License-Identifier: BSD-2-Clause
//! What a run gives is what `docs/output.md` says, no more and no less.

use super::World;
use super::faults::Faults;
use super::scenario::Scenario;
use super::trace::Place;
use crate::errno::Errno;
use crate::kern::trace::TraceItem;
use crate::kern::types::{ProcId, Tid};
use crate::time::Instant;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const DOCUMENT: &str = include_str!("../../../docs/output.md");

/// A child that dies of a signal, which its parent waits for.
const MORTAL: &str = "start: sys fork -> r8\nbeq r8, 0, child\nsys wait4 -1 0 0 0\nexit 0\n\
                      child: sys getpid -> r8\nsys kill r8 SIGTERM\nexit 0\n";

/// The world of the remapped echo, with a program more, to its end.
fn run() -> World {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut scenario = Scenario::load(&folder.join("echo-remapped.toml")).unwrap();
    let own = format!(
        "vpsim-mortal-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let program = std::env::temp_dir().join(own);
    std::fs::write(&program, MORTAL).unwrap();
    let mut more = Scenario::load(&folder.join("echo-remapped.toml"))
        .unwrap()
        .program;
    let mut mortal = more.swap_remove(0);
    *mortal.name.get_mut() = "mortal".to_owned();
    *mortal.file.get_mut() = program.clone();
    mortal.at_ms = 100;
    mortal.expect_exit = Some(0);
    scenario.program.push(mortal);
    let world = World::build(scenario, None, true);
    std::fs::remove_file(program).unwrap();
    let mut world = world.unwrap();
    while !world.is_over() && world.step() {}
    assert_eq!(world.report().failures, [""; 0]);
    world
}

/// The rows of the tables of a section, cell by cell.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let (_, text) = DOCUMENT.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect());
    rows.skip_while(|row: &Vec<_>| row[0] == "`cat`").collect()
}

/// The words in backquotes of a cell.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The fields of a value by their paths; a list of objects is followed, a map of the scenario's words is not.
fn fields(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if path != "moves[].addresses" => {
            for (name, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                fields(value, &path, all);
                all.insert(path);
            }
        }
        Value::Array(items) => {
            let objects = items.iter().filter(|item| item.is_object());
            objects.for_each(|item| fields(item, &format!("{path}[]"), all));
        }
        _ => {}
    }
}

#[test]
fn the_report_has_the_fields_that_its_document_names_and_no_others() {
    let report = run().report();
    let mut found = BTreeSet::new();
    fields(&serde_json::json!(report), "", &mut found);
    let documented = rows("The report")
        .iter()
        .flat_map(|row| words(row[0]))
        .collect();
    assert_eq!(found, documented);
    let [fault] = &report.faults[..] else {
        panic!("{:?}", report.faults)
    };
    assert_eq!(
        (fault.instance.as_str(), fault.what.as_str()),
        ("web", "died of SIGTERM")
    );
    let told = format!(
        "fault: web, process {} died of SIGTERM, at 100 ms\n",
        fault.pid
    );
    assert!(report.text().contains(&told), "{}", report.text());
}

fn events(world: &World) -> Vec<Value> {
    world.perfetto()["traceEvents"].as_array().unwrap().clone()
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

#[test]
fn the_trace_has_the_events_that_its_document_names_and_no_others() {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for event in events(&run()) {
        let kind = (
            text(&event, "cat").to_owned(),
            text(&event, "ph").to_owned(),
        );
        let names = event["args"].as_object().unwrap().keys().cloned();
        found.entry(kind).or_default().extend(names);
        let slice = event["ph"] == "X";
        let mut fields = vec!["args", "cat", "name", "ph", "pid", "tid", "ts"];
        fields.extend(slice.then_some("dur"));
        fields.extend((event["ph"] == "i").then_some("s"));
        let there: BTreeSet<&str> = event
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(there, fields.into_iter().collect(), "{event}");
    }
    let documented = rows("The trace");
    let documented = documented.iter().map(|row| {
        let word = |cell| words(cell).pop_first().unwrap();
        ((word(row[0]), word(row[1])), words(row[4]))
    });
    assert_eq!(found, documented.collect());
}

/// Slices of a track: from, to, name.
type Slices<'a> = Vec<(u64, u64, &'a str)>;

/// Slices of each track, by their beginning, longer ones first.
fn slices(events: &[Value]) -> BTreeMap<(u64, i64), Slices<'_>> {
    let mut tracks: BTreeMap<_, Slices<'_>> = BTreeMap::new();
    // Whole nanoseconds can be compared.
    let ns = |value: &Value| (value.as_f64().unwrap() * 1_000.0).round() as u64;
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let track = (
            event["pid"].as_u64().unwrap(),
            event["tid"].as_i64().unwrap(),
        );
        let (from, span) = (ns(&event["ts"]), ns(&event["dur"]));
        let slice = (from, from + span, text(event, "name"));
        tracks.entry(track).or_default().push(slice);
    }
    for slices in tracks.values_mut() {
        slices.sort_by_key(|(from, to, _)| (*from, u64::MAX - to));
    }
    tracks
}

#[test]
fn slices_of_a_track_lie_in_each_other_or_beside_each_other() {
    let events = events(&run());
    for (track, slices) in slices(&events) {
        let mut within: Vec<u64> = Vec::new();
        for (from, to, name) in slices {
            within.retain(|end| *end > from);
            let fits = within.last().is_none_or(|end| to <= *end);
            assert!(
                fits,
                "{name} on {track:?} from {from} to {to} in {within:?}"
            );
            within.push(to);
        }
    }
}

#[test]
fn what_takes_time_is_a_slice_of_that_time_by_its_name() {
    let world = run();
    let events = events(&world);
    let of = |cat: &str| -> Vec<&Value> { events.iter().filter(|e| e["cat"] == *cat).collect() };
    // Each call once, by its name and not its number.
    let calls = world.trace.records().iter().filter(|r| r.kind == "call");
    assert_eq!(of("call").len(), calls.count());
    assert!(
        of("call")
            .iter()
            .all(|call| !text(call, "name").starts_with(['#', '0']))
    );
    let naps = of("sleep");
    assert!(
        naps.iter()
            .any(|nap| text(nap, "name") == "sleep accept" && nap["dur"].as_f64() > Some(1_000.0))
    );
    // Both instances stand still for the downtime of the migration.
    let report = world.report();
    let downtime = report.moves[0].downtime_us.unwrap();
    let stops = of("suspended");
    assert_eq!(stops.len(), 2);
    assert!(
        stops
            .iter()
            .all(|stop| stop["dur"].as_f64().unwrap() as u64 == downtime)
    );
    let phases: Vec<&str> = of("phase")
        .iter()
        .map(|phase| text(phase, "name"))
        .collect();
    let rounds = report.moves[0].rounds;
    assert_eq!(phases.len(), rounds + 2);
    assert_eq!(phases[rounds..], ["stopped", "closing"]);
    // The child that was killed is a zombie until its parent has waited for it; all processes have a life.
    let lives = of("process");
    let killed: Vec<_> = lives
        .iter()
        .filter(|life| life["args"]["signal"] == "15")
        .collect();
    assert_eq!(killed.len(), 1);
    assert_eq!(killed[0]["args"]["path"], "/scenario/mortal");
    let forks = world.trace.records().iter().filter(|r| r.kind == "fork");
    assert_eq!(lives.len(), forks.count());
}

#[test]
fn faults_without_end_are_counted_and_the_first_ones_kept() {
    let mut faults = Faults::default();
    let place = Place {
        instance: "web".to_owned(),
        pid: 7,
        tid: 0,
    };
    let mut note = |item| faults.note(Instant::from_nanos(3_000_000), &place, &item);
    let returns = |code, errno| TraceItem::Return {
        tid: Tid(100_007),
        code,
        result: Err(errno),
    };
    let p = ProcId(9);
    note(TraceItem::Exit {
        p,
        status: 1,
        signo: 0,
    });
    note(returns(3, Errno::EBADF));
    note(returns(4_000, Errno::ENOSYS));
    note(returns(26, Errno::ENOSYS));
    for _ in 0..200 {
        note(TraceItem::Exit {
            p,
            status: 0,
            signo: 11,
        });
    }
    assert_eq!((faults.count, faults.first.len()), (202, 100));
    let told = |i: usize| {
        (
            faults.first[i].at_ms,
            faults.first[i].pid,
            faults.first[i].what.as_str(),
        )
    };
    assert_eq!(
        told(0),
        (3, 7, "made the system call #4000, which is not there")
    );
    assert_eq!(
        told(1),
        (3, 7, "made the system call ptrace, which is not there")
    );
    assert_eq!(told(2), (3, 7, "died of SIGSEGV"));
}

#[test]
fn every_reason_for_an_aborted_migration_is_in_the_document_as_it_is_told() {
    use crate::world::moves::told;
    use vpscore::cbor::Code;
    use vpscore::migrate::Reason;
    for (name, code) in Reason::NAMES.1 {
        let reason = Reason::from_code(*code).unwrap();
        let row = format!("| `{name}` | {} |", told::reason(reason));
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
