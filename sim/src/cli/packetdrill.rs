// SPDX-License-Identifier: BSD-2-Clause
//! `vpsim packetdrill`.

use super::{FAILED, GOOD, WRONG, say, write};
use crate::packetdrill::report;
use crate::packetdrill::run::Manner;
use crate::packetdrill::run::emulated::Emulated;
use crate::packetdrill::run::moved::{Form, Moving};
use crate::packetdrill::suite::{self, Report, Settings, Verdict};
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
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
    /// Write the reports as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the packets of each script as pcapng below this folder.
    #[arg(long, value_name = "DIR")]
    pcap: Option<PathBuf>,
    /// Only scripts whose path contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print the scripts' paths and run none.
    #[arg(long)]
    list: bool,
    /// Seed of what the stack draws at random.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Run each script again, and move the instance that its program is in to another host, through its image.
    /// All that happens is compared, bit for bit, with a run in which it stays.
    #[arg(long, value_name = "WHEN")]
    migrate: Option<Migrate>,
    /// Move it once, after this event of the script's run, counted from 1: failures of `--migrate` name one.
    #[arg(long, value_name = "EVENT", conflicts_with = "migrate")]
    migrate_at: Option<NonZeroUsize>,
    /// With each of these moves the instance gets another address in another network, behind a translation: to
    /// the script nothing may change. Where it has signed connections (TCP MD5), it keeps its address.
    #[arg(long)]
    remap: bool,
    /// Tolerate times that are off by this part of the time since the event before, where a script has no
    /// `--tolerance_percent`; nplab's tool on FreeBSD tolerates 5.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    tolerance_percent: u32,
    /// Print the counts only, not each failure and what scripts declare not fatal.
    #[arg(long, short)]
    quiet: bool,
}

/// When the instance moves.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Migrate {
    /// In both ways that follow.
    Each,
    /// In one run, after every event: a packet in or out, the beginning, a sleep or the end of a system call, a
    /// callout, a command.
    Every,
    /// In as many runs as there are events, after one of them each.
    Once,
}

impl Args {
    fn form(&self) -> Option<Form> {
        match (self.migrate, self.migrate_at) {
            (Some(Migrate::Each), _) => Some(Form::Each),
            (Some(Migrate::Every), _) => Some(Form::Every),
            (Some(Migrate::Once), _) => Some(Form::Once),
            (None, event) => event.map(|event| Form::At(event.get())),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8, String> {
    let mut scripts = suite::find(&args.paths)?;
    if let Some(text) = &args.filter {
        scripts.retain(|script| script.to_string_lossy().contains(text.as_str()));
        if scripts.is_empty() {
            return Err(format!("no script there has `{text}` in its path"));
        }
    }
    if args.list {
        for script in &scripts {
            say(&format!("{}\n", script.display()))?;
        }
        return Ok(GOOD);
    }
    let settings = Settings {
        progress: std::io::stderr().is_terminal() && !args.json,
        manner: Manner {
            tolerance_permyriad: args.tolerance_percent * 100,
            ..Manner::default()
        },
        pcap: args.pcap.clone(),
    };
    let emulated = Emulated { seed: args.seed };
    let form = args.form();
    if args.remap && form.is_none() {
        return Err("--remap says how to move: add --migrate or --migrate-at".to_owned());
    }
    let reports = match form {
        None => suite::run_all(&emulated, &scripts, &settings),
        Some(form) => {
            let remap = args.remap;
            let moving = Moving {
                emulated,
                form,
                remap,
            };
            suite::run_all(&moving, &scripts, &settings)
        }
    };
    if let Some(file) = &args.junit {
        write(file, report::junit(&reports).as_bytes())?;
    }
    if args.json {
        say(&format!("{}\n", report::json(&reports)))?;
    } else {
        let told = |v: Verdict| matches!(v, Verdict::Failed | Verdict::Invalid);
        for one in reports.iter().filter(|r| !args.quiet && told(r.verdict)) {
            say(&format!("{}\n", report::describe(one)))?;
        }
        for one in reports.iter().filter(|r| !args.quiet && r.warnings > 0) {
            say(&format!("{}\n", report::describe_not_fatal(one)))?;
        }
        say(&report::table(&reports))?;
        if form.is_some() {
            let of = |count: fn(&Report) -> usize| reports.iter().map(count).sum::<usize>();
            let (runs, moves) = (of(|r| r.runs), of(|r| r.moves));
            say(&format!("{moves} moves in {runs} runs\n"))?;
        }
    }
    Ok(if !report::all_valid(&reports) {
        WRONG
    } else if report::all_well(&reports) {
        GOOD
    } else {
        FAILED
    })
}
