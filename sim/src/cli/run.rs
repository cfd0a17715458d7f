// SPDX-License-Identifier: BSD-2-Clause
//! `vpsim run`.

use super::{FAILED, GOOD, say, write};
use crate::progress;
use crate::world::World;
use crate::world::scenario::Scenario;
use indicatif::ProgressBar;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Events between two looks at the progress.
const EVENTS_PER_TICK: u64 = 4_096;

/// A scenario to run and what to write.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The scenario file, such as scenarios/echo-migration.toml.
    scenario: PathBuf,
    /// Seed of all that is random, in place of the scenario's; the same one gives the same run.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Write what happened as JSON, to be opened in Perfetto (https://ui.perfetto.dev).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write the frames on all cables as pcapng, to be opened in Wireshark.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<u8, String> {
    let scenario = Scenario::load(&args.scenario).map_err(|e| e.to_string())?;
    let deadline_ms = scenario.deadline_ms;
    let mut world =
        World::build(scenario, args.seed, args.trace.is_some()).map_err(|e| e.to_string())?;
    if args.pcap.is_some() {
        world.capture();
    }
    let bar = if std::io::stderr().is_terminal() && !args.json {
        progress::bar(deadline_ms, "virtual ms")
    } else {
        ProgressBar::hidden()
    };
    while !world.is_over() && world.step() {
        if world.steps().is_multiple_of(EVENTS_PER_TICK) {
            bar.set_position(world.now().as_nanos() / 1_000_000);
        }
    }
    bar.finish_and_clear();
    let report = world.report();
    if let Some(file) = &args.trace {
        write(file, world.perfetto().to_string().as_bytes())?;
    }
    if let Some(file) = &args.pcap {
        write(file, &world.take_capture().unwrap_or_default())?;
    }
    if args.json {
        say(&format!("{}\n", serde_json::json!(report)))?;
    } else {
        say(&report.text())?;
    }
    Ok(if report.failures.is_empty() {
        GOOD
    } else {
        FAILED
    })
}
