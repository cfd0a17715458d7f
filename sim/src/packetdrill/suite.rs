// SPDX-License-Identifier: BSD-2-Clause
//! Many scripts at once: finding them, running them in parallel, and the count that comes of it.
//!
//! A script is named by its path and judged by its text. Beside `x.pkt` may lie `x.exfail`: the suite
//! expects the script to fail on FreeBSD, for a bug that is described there; either outcome is
//! accepted then and counted apart.

use super::parser;
use super::run::stack::MakeStack;
use super::run::{self, Failure};
use indicatif::{ParallelProgressIterator, ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

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
    /// Its file.
    pub script: PathBuf,
    /// How it ended.
    pub verdict: Verdict,
    /// Line of the failure, if any.
    pub line: Option<usize>,
    /// What is wrong, if anything.
    pub what: Option<String>,
    /// What the script says, where it can be shown.
    pub expected: Option<String>,
    /// What happened instead.
    pub seen: Option<String>,
    /// Failures that the script declares not fatal.
    pub warnings: usize,
    /// Virtual microseconds that it took.
    pub virtual_us: u64,
}

/// Finds the scripts under the given files and folders, in order of their paths.
///
/// # Errors
/// The path that cannot be read, and why.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut scripts = Vec::new();
    let mut folders = Vec::new();
    for path in paths {
        if path.is_dir() {
            folders.push(path.clone());
        } else if path.is_file() {
            scripts.push(path.clone());
        } else {
            return Err(format!("{}: no such file or folder", path.display()));
        }
    }
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
    scripts.sort();
    scripts.dedup();
    Ok(scripts)
}

/// Runs the scripts, as many at once as there are processors.
pub fn run_all<M: MakeStack>(make: &M, scripts: &[PathBuf], progress: bool) -> Vec<Report> {
    let bar = if progress {
        bar(scripts.len())
    } else {
        ProgressBar::hidden()
    };
    scripts
        .par_iter()
        .progress_with(bar)
        .map(|script| run_one(make, script))
        .collect()
}

fn bar(len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} scripts, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style)
}

/// The text of a script, which is refused unread where it is too long.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    // One byte more than may be: a file can grow.
    file.take(SCRIPT_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SCRIPT_MAX {
        let what = format!("longer than {SCRIPT_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// Runs one script.
pub fn run_one<M: MakeStack>(make: &M, path: &Path) -> Report {
    let mut report = Report {
        script: path.to_owned(),
        verdict: Verdict::Invalid,
        line: None,
        what: None,
        expected: None,
        seen: None,
        warnings: 0,
        virtual_us: 0,
    };
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => {
            report.what = Some(format!("cannot be read: {error}"));
            return report;
        }
    };
    let script = match parser::parse(&text, &DEFINED) {
        Ok(script) => script,
        Err(error) => {
            report.line = Some(error.line);
            report.what = Some(format!(
                "column {}: expected {}",
                error.column, error.expected
            ));
            return report;
        }
    };
    let outcome = run::run(make, &script);
    let exfail = path.with_extension("exfail").is_file();
    report.verdict = match (outcome.failure.is_some(), exfail) {
        (false, false) => Verdict::Passed,
        (true, false) => Verdict::Failed,
        (false, true) => Verdict::PassedUnexpectedly,
        (true, true) => Verdict::FailedAsExpected,
    };
    report.warnings = outcome.warnings.len();
    report.virtual_us = outcome.took.as_micros();
    if let Some(Failure {
        line,
        what,
        expected,
        seen,
        ..
    }) = outcome.failure
    {
        report.line = Some(line);
        report.what = Some(what);
        report.expected = expected;
        report.seen = seen;
    }
    report
}

/// Scripts of one folder by verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Ended as they say.
    pub passed: usize,
    /// Did not.
    pub failed: usize,
    /// Have an `.exfail` file, whatever they did.
    pub exfail: usize,
    /// Are no scripts.
    pub invalid: usize,
}

impl Count {
    /// All of them.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.exfail + self.invalid
    }

    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::PassedUnexpectedly | Verdict::FailedAsExpected => self.exfail += 1,
            Verdict::Invalid => self.invalid += 1,
        }
    }
}

/// Counts the reports by folder, with the total last, under the name `total`.
pub fn count(reports: &[Report]) -> Vec<(String, Count)> {
    let mut by_folder: BTreeMap<String, Count> = BTreeMap::new();
    let mut total = Count::default();
    for report in reports {
        let folder = report
            .script
            .parent()
            .unwrap_or(Path::new(""))
            .display()
            .to_string();
        by_folder.entry(folder).or_default().add(report.verdict);
        total.add(report.verdict);
    }
    by_folder
        .into_iter()
        .chain([("total".to_owned(), total)])
        .collect()
}

/// Whether every file was a script.
pub fn all_valid(reports: &[Report]) -> bool {
    !reports.iter().any(|r| r.verdict == Verdict::Invalid)
}

/// Whether every script ended as it should.
pub fn all_well(reports: &[Report]) -> bool {
    let bad = |r: &Report| matches!(r.verdict, Verdict::Failed | Verdict::Invalid);
    !reports.iter().any(bad)
}

/// The counts as a table, folders shortened to what tells them apart.
pub fn table(reports: &[Report]) -> String {
    let rows = count(reports);
    let folders: Vec<&str> = rows
        .iter()
        .rev()
        .skip(1)
        .map(|(name, _)| name.as_str())
        .collect();
    let shared = match folders.first() {
        Some(first) if folders.len() > 1 => {
            let cut = (0..=first.len())
                .rev()
                .find(|n| {
                    first.is_char_boundary(*n)
                        && folders.iter().all(|f| f.starts_with(&first[..*n]))
                })
                .unwrap_or(0);
            first[..cut].rfind('/').map_or(0, |slash| slash + 1)
        }
        _ => 0,
    };
    let name = |name: &str| {
        name.get(shared..)
            .filter(|_| name != "total")
            .unwrap_or(name)
            .to_owned()
    };
    let width = rows
        .iter()
        .map(|(n, _)| name(n).len())
        .max()
        .unwrap_or(0)
        .max(6);
    let mut out = format!(
        "{:width$} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
        "folder", "scripts", "passed", "failed", "exfail", "invalid"
    );
    for (folder, count) in &rows {
        out += &format!(
            "{:width$} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
            name(folder),
            count.total(),
            count.passed,
            count.failed,
            count.exfail,
            count.invalid
        );
    }
    out
}

/// A failure with the expected and the seen side by side, at the line of the script.
pub fn describe(report: &Report) -> String {
    let line = report
        .line
        .map(|line| format!(":{line}"))
        .unwrap_or_default();
    let what = report.what.as_deref().unwrap_or("failed");
    let mut out = format!("{}{line}: {what}\n", report.script.display());
    if let Some(expected) = &report.expected {
        out += &format!("    expected  {expected}\n");
    }
    if let Some(seen) = &report.seen {
        out += &format!("    seen      {seen}\n");
    }
    out
}

/// The reports in JUnit's form, one suite a folder.
pub fn junit(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (folder, count) in count(reports).iter().filter(|(name, _)| name != "total") {
        out += &format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n",
            xml(folder),
            count.total(),
            count.failed,
            count.invalid
        );
        let here = |r: &&Report| r.script.parent() == Some(Path::new(folder));
        for report in reports.iter().filter(here) {
            let name = report
                .script
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            let seconds = report.virtual_us as f64 / 1e6;
            out += &format!("    <testcase name=\"{}\" time=\"{seconds}\"", xml(&name));
            let tag = match report.verdict {
                Verdict::Passed | Verdict::PassedUnexpectedly => {
                    out += "/>\n";
                    continue;
                }
                Verdict::FailedAsExpected => "skipped",
                Verdict::Failed => "failure",
                Verdict::Invalid => "error",
            };
            let message = xml(report.what.as_deref().unwrap_or(""));
            out += &format!(
                "><{tag} message=\"{message}\">{}</{tag}></testcase>\n",
                xml(&describe(report))
            );
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
