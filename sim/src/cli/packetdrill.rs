// SPDX-License-Identifier: BSD-2-Clause
//! `vpsim packetdrill`.

use super::{FAILED, GOOD, WRONG};
use crate::packetdrill::run::emulated::Emulated;
use crate::packetdrill::run::moved::Moving;
use crate::packetdrill::suite::{self, Verdict};
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Scripts to run and what to print.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scripts, and folders that are searched for `*.pkt`.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print one JSON object with all reports.
    #[arg(long)]
    json: bool,
    /// Write the reports in JUnit's form.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Seed of what the stack draws at random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Move the stack to another host, through an image.
    #[arg(long, value_name = "WHEN")]
    migrate: Option<Migrate>,
    /// Print the counts only, not each failure.
    #[arg(long, short)]
    quiet: bool,
}

/// When the stack moves.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Migrate {
    /// After each packet, call and callout.
    Each,
}

pub(super) fn run(args: &Args) -> Result<u8, String> {
    let scripts = suite::find(&args.paths)?;
    if scripts.is_empty() {
        return Err("no *.pkt file there; name scripts or a folder that has some".into());
    }
    let progress = std::io::stderr().is_terminal() && !args.json;
    let emulated = Emulated { seed: args.seed };
    let reports = match args.migrate {
        None => suite::run_all(&emulated, &scripts, progress),
        Some(Migrate::Each) => suite::run_all(&Moving { emulated }, &scripts, progress),
    };
    if let Some(file) = &args.junit {
        std::fs::write(file, suite::junit(&reports))
            .map_err(|e| format!("{}: cannot be written: {e}", file.display()))?;
    }
    if args.json {
        let counts: serde_json::Map<_, _> = suite::count(&reports)
            .into_iter()
            .map(|(folder, count)| (folder, serde_json::json!(count)))
            .collect();
        println!(
            "{}",
            serde_json::json!({ "counts": counts, "reports": reports })
        );
    } else {
        let told = |v: Verdict| matches!(v, Verdict::Failed | Verdict::Invalid);
        for report in reports.iter().filter(|r| !args.quiet && told(r.verdict)) {
            print!("{}", suite::describe(report));
        }
        print!("{}", suite::table(&reports));
    }
    Ok(if !suite::all_valid(&reports) {
        WRONG
    } else if suite::all_well(&reports) {
        GOOD
    } else {
        FAILED
    })
}
