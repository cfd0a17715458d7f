// SPDX-License-Identifier: BSD-2-Clause
//! Many scripts at once: finding them, and running them in parallel.
//!
//! A script is named by its path and judged by its text. Beside `x.pkt` may lie `x.exfail`: the suite
//! expects the script to fail on FreeBSD, for a bug that is described there; either outcome is
//! accepted then and counted apart.

use super::parser;
use super::run::moved::RunScript;
use super::run::{self, Failure, Manner};
use crate::net::pcapng::{LinkType, PcapNg};
use crate::progress;
use indicatif::{ParallelProgressIterator, ProgressBar};
use rayon::prelude::*;
use serde::Serialize;
use std::io::{BufWriter, Read as _};
use std::path::{Component, Path, PathBuf};

/// The names for which `#ifdef` holds: the stack is FreeBSD's.
const DEFINED: [&str; 1] = ["FreeBSD"];

/// Bytes of a script; the longest of the TCP suite has 7 KiB.
const SCRIPT_MAX: u64 = 4 << 20;

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it says.
    Passed,
    /// Otherwise.
    Failed,
    /// As it says, though the suite expects it to fail.
    PassedUnexpectedly,
    /// Otherwise, as the suite expects.
    FailedAsExpected,
    /// It is no script.
    Invalid,
}

/// What came of one script.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its file; in JSON what is not UTF-8 of the path is replaced.
    #[serde(serialize_with = "lossy")]
    pub script: PathBuf,
    /// How it ended.
    pub verdict: Verdict,
    /// Line of the failure, if any.
    pub line: Option<usize>,
    /// Column, where the script is none.
    pub column: Option<usize>,
    /// That line of the script.
    pub source: Option<String>,
    /// What is wrong, if anything.
    pub what: Option<String>,
    /// What the script says, where it can be shown.
    pub expected: Option<String>,
    /// What happened instead.
    pub seen: Option<String>,
    /// The fields in which a packet differs.
    pub differs: Vec<&'static str>,
    /// Carets below `seen` at what differs.
    #[serde(skip)]
    pub marks: String,
    /// The last packets before, oldest first: time, direction, packet.
    pub before: Vec<String>,
    /// How many failures there are that the script declares not fatal.
    pub warnings: usize,
    /// These failures.
    pub not_fatal: Vec<Failure>,
    /// Virtual microseconds that it took.
    pub virtual_us: u64,
    /// How often it was run.
    pub runs: usize,
    /// How often the instance moved in all runs.
    pub moves: usize,
}

fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

impl Report {
    fn new(script: &Path) -> Self {
        Self {
            script: script.to_owned(),
            verdict: Verdict::Invalid,
            line: None,
            column: None,
            source: None,
            what: None,
            expected: None,
            seen: None,
            differs: Vec::new(),
            marks: String::new(),
            before: Vec::new(),
            warnings: 0,
            not_fatal: Vec::new(),
            virtual_us: 0,
            runs: 0,
            moves: 0,
        }
    }

    fn tell(&mut self, failure: Failure) {
        self.line = Some(failure.line);
        self.what = Some(failure.what);
        self.expected = failure.expected;
        self.seen = failure.seen;
        self.differs = failure.differs;
        self.marks = failure.marks.into();
    }
}

/// How scripts are run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Show a progress bar.
    pub progress: bool,
    /// What the runner may choose.
    pub manner: Manner,
    /// Folder for the packets of each script as pcapng, under the path of the script.
    pub pcap: Option<PathBuf>,
}

/// Finds the scripts under the given files and folders, in order of their paths.
///
/// # Errors
/// The path that cannot be read or holds no script, and why.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut scripts = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = scripts.len();
            folder(path, &mut scripts)?;
            if scripts.len() == before {
                return Err(format!("{}: no *.pkt file in this folder", path.display()));
            }
        } else if path.is_file() {
            scripts.push(path.clone());
        } else if path.exists() {
            return Err(format!("{}: neither a file nor a folder", path.display()));
        } else {
            return Err(format!("{}: no such file or folder", path.display()));
        }
    }
    scripts.sort();
    scripts.dedup();
    Ok(scripts)
}

fn folder(path: &Path, scripts: &mut Vec<PathBuf>) -> Result<(), String> {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let wrong = |e: std::io::Error| format!("{}: {e}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let path = entry.path();
            // A link to a folder is not followed: it could lead back up.
            if entry.file_type().map_err(wrong)?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pkt") {
                scripts.push(path);
            }
        }
    }
    Ok(())
}

/// Runs the scripts, as many at once as there are processors; the reports are in the order of the scripts.
pub fn run_all<R: RunScript>(how: &R, scripts: &[PathBuf], settings: &Settings) -> Vec<Report> {
    let bar = if settings.progress {
        progress::bar(scripts.len() as u64, "scripts, {elapsed}")
    } else {
        ProgressBar::hidden()
    };
    scripts
        .par_iter()
        .progress_with(bar)
        .map(|script| run_one(how, script, settings))
        .collect()
}

/// The text of a script, which is refused unread where it is too long.
fn read(path: &Path) -> Result<String, String> {
    let wrong = |e: std::io::Error| format!("cannot be read: {e}");
    // A named pipe would be waited for as it is opened, and for ever.
    if !std::fs::metadata(path).map_err(wrong)?.is_file() {
        return Err("is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    // One byte more than may be: a file can grow.
    file.take(SCRIPT_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    if bytes.len() as u64 > SCRIPT_MAX {
        return Err(format!(
            "longer than {SCRIPT_MAX} bytes, so it is no script"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        format!("no text: a byte in line {line} is not UTF-8")
    })
}

/// Runs one script.
pub fn run_one<R: RunScript>(how: &R, path: &Path, settings: &Settings) -> Report {
    let mut report = Report::new(path);
    let text = match read(path) {
        Ok(text) => text,
        Err(what) => {
            report.what = Some(what);
            return report;
        }
    };
    match parser::parse(&text, &DEFINED) {
        Err(error) => {
            report.line = Some(error.line);
            report.column = Some(error.column);
            report.what = Some(format!("expected {}", error.expected));
        }
        Ok(script) => {
            let capture = match settings.pcap.as_deref().map(|dir| capture(dir, path)) {
                Some(Err(what)) => {
                    report.what = Some(what);
                    return report;
                }
                Some(Ok(capture)) => Some(capture),
                None => None,
            };
            let (outcome, written) = watched(how, &script, settings.manner, capture);
            let exfail = path.with_extension("exfail").is_file() && !outcome.move_seen;
            report.verdict = match (outcome.failure.is_some(), exfail) {
                (false, false) => Verdict::Passed,
                (true, false) => Verdict::Failed,
                (false, true) => Verdict::PassedUnexpectedly,
                (true, true) => Verdict::FailedAsExpected,
            };
            report.warnings = outcome.warnings.len();
            report.not_fatal = outcome.warnings;
            report.virtual_us = outcome.took.as_micros();
            (report.runs, report.moves) = (outcome.runs, outcome.moves);
            if let Some(failure) = outcome.failure {
                report.tell(failure);
                report.before = outcome.before;
            }
            if let Err(error) = written {
                report.verdict = Verdict::Invalid;
                report.what = Some(format!("its capture cannot be written: {error}"));
            }
        }
    }
    let line = report.line.and_then(|line| line.checked_sub(1));
    report.source = line
        .and_then(|line| text.lines().nth(line))
        .map(str::to_owned);
    report
}

type Capture = PcapNg<BufWriter<std::fs::File>>;

/// Begins the capture of a script, under the script's own path in `dir`.
fn capture(dir: &Path, script: &Path) -> Result<Capture, String> {
    let normal = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        _ => None,
    };
    let inside: PathBuf = script.components().filter_map(normal).collect();
    let path = dir.join(inside).with_extension("pcapng");
    let wrong = |e: std::io::Error| format!("{}: cannot be written: {e}", path.display());
    std::fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(wrong)?;
    let file = std::fs::File::create(&path).map_err(wrong)?;
    PcapNg::new(BufWriter::new(file)).map_err(wrong)
}

fn watched<R: RunScript>(
    how: &R,
    script: &super::ast::Script,
    manner: Manner,
    capture: Option<Capture>,
) -> (run::Outcome, std::io::Result<()>) {
    let Some(mut capture) = capture else {
        return (how.run_script(script, manner, &mut |_, _, _| {}), Ok(()));
    };
    let tun = match capture.interface("tun0", LinkType::Raw) {
        Ok(tun) => tun,
        Err(error) => {
            return (
                how.run_script(script, manner, &mut |_, _, _| {}),
                Err(error),
            );
        }
    };
    let mut written = Ok(());
    let outcome = how.run_script(script, manner, &mut |at, way, bytes| {
        if written.is_ok() {
            written = capture.frame(at, tun, way, bytes, "");
        }
    });
    let flushed = capture.finish().map(drop);
    (outcome, written.and(flushed))
}
