// SPDX-License-Identifier: BSD-2-Clause
//! What came of many scripts, for people and for machines: the table by folder, failures at their lines,
//! JUnit and JSON.

use super::run::Failure;
use super::suite::{Report, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The format of the JSON report; it changes when a field goes or changes its meaning.
const FORMAT: u32 = 2;

/// Characters of a line of a script that are shown with a failure there.
const SOURCE_MAX: usize = 240;

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

fn folder_of(report: &Report) -> String {
    let parent = report.script.parent().unwrap_or(Path::new(""));
    parent.display().to_string()
}

/// Counts the reports by folder, with the total last, under the name `total`.
pub fn count(reports: &[Report]) -> Vec<(String, Count)> {
    let mut by_folder: BTreeMap<String, Count> = BTreeMap::new();
    let mut total = Count::default();
    for report in reports {
        by_folder
            .entry(folder_of(report))
            .or_default()
            .add(report.verdict);
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

/// A failure at its line of the script: the line itself, both sides with carets at what differs, and the
/// packets before.
pub fn describe(report: &Report) -> String {
    let place: String = [report.line, report.column]
        .into_iter()
        .flatten()
        .map(|number| format!(":{number}"))
        .collect();
    let what = report.what.as_deref().unwrap_or("failed");
    let mut out = format!("{}{place}: {what}\n", report.script.display());
    if let (Some(line), Some(source)) = (report.line, &report.source) {
        let (shown, caret) = excerpt(source.trim_end(), report.column);
        out += &format!("    {line:>8}  {shown}\n");
        if report.column.is_some() {
            out += &format!("    {:8}  {:caret$}^\n", "", "");
        }
    }
    out += &sides(&report.expected, &report.seen, &report.marks);
    for (index, packet) in report.before.iter().enumerate() {
        let label = if index == 0 { "before" } else { "" };
        out += &format!("    {label:8}  {packet}\n");
    }
    out
}

/// What is shown of a line, and how many characters of that are before the column. A tab is one column for the
/// caret; what would move a terminal's cursor is a blank too.
fn excerpt(source: &str, column: Option<usize>) -> (String, usize) {
    // Columns count bytes; what is before the caret may be wider.
    let bytes = column.map_or(0, |column| column.saturating_sub(1));
    let before = source
        .get(..bytes)
        .map_or(bytes, |text| text.chars().count());
    let from = match before.checked_sub(SOURCE_MAX / 2) {
        Some(from) if source.chars().nth(SOURCE_MAX).is_some() => from,
        _ => 0,
    };
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown = source.chars().skip(from).take(SOURCE_MAX).map(visible);
    (shown.collect(), before - from)
}

/// Both sides of a failure, with carets at what differs.
fn sides(expected: &Option<String>, seen: &Option<String>, marks: &str) -> String {
    let marks = Some(marks).filter(|marks| !marks.is_empty());
    let rows = [
        ("expected", expected.as_deref()),
        ("seen", seen.as_deref()),
        ("", marks),
    ];
    let rows = rows
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)));
    rows.map(|(name, text)| format!("    {name:8}  {text}\n"))
        .collect()
}

/// What the script declares not fatal, each failure at its line.
pub fn describe_not_fatal(report: &Report) -> String {
    let script = report.script.display();
    let one = |fault: &Failure| {
        let head = format!("{script}:{}: not fatal: {}\n", fault.line, fault.what);
        head + &sides(&fault.expected, &fault.seen, &fault.marks)
    };
    report.not_fatal.iter().map(one).collect()
}

/// All reports with their counts, as `docs/packetdrill.md` describes it.
pub fn json(reports: &[Report]) -> serde_json::Value {
    let mut counts = count(reports);
    let total = counts.pop().map(|(_, total)| total);
    let folders: serde_json::Map<_, _> = counts
        .into_iter()
        .map(|(folder, count)| (folder, serde_json::json!(count)))
        .collect();
    let counts = serde_json::json!({ "folders": folders, "total": total });
    serde_json::json!({ "format": FORMAT, "counts": counts, "reports": reports })
}

/// The reports in JUnit's form, one suite a folder; times are virtual.
pub fn junit(reports: &[Report]) -> String {
    let all = count(reports);
    let (_, total) = all.last().cloned().unwrap_or_default();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {}>\n",
        attributes("packetdrill", &total, reports.iter())
    );
    for (folder, count) in &all[..all.len() - 1] {
        let here = |r: &&Report| folder_of(r) == *folder;
        out += &format!(
            "  <testsuite {}>\n",
            attributes(folder, count, reports.iter().filter(here))
        );
        for report in reports.iter().filter(here) {
            out += &testcase(folder, report);
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

fn attributes<'a>(
    name: &str,
    count: &Count,
    reports: impl Iterator<Item = &'a Report> + Clone,
) -> String {
    let time = reports.clone().map(|r| r.virtual_us).sum();
    let skipped = reports.filter(|r| r.verdict == Verdict::FailedAsExpected);
    format!(
        "name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        xml(name),
        count.total(),
        count.failed,
        count.invalid,
        skipped.count(),
        seconds(time)
    )
}

fn testcase(folder: &str, report: &Report) -> String {
    let name = report.script.file_stem().unwrap_or_default();
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        xml(folder),
        xml(&name.to_string_lossy()),
        seconds(report.virtual_us)
    );
    let message = xml(report.what.as_deref().unwrap_or(""));
    let body = match report.verdict {
        Verdict::Passed | Verdict::PassedUnexpectedly => return head + "/>\n",
        // The schema gives what is skipped a message only.
        Verdict::FailedAsExpected => format!("<skipped message=\"{message}\"/>"),
        Verdict::Failed => failure("failure", &message, report),
        Verdict::Invalid => failure("error", &message, report),
    };
    format!("{head}>\n      {body}\n    </testcase>\n")
}

fn failure(tag: &str, message: &str, report: &Report) -> String {
    let text = xml(&describe(report));
    format!("<{tag} message=\"{message}\" type=\"packetdrill\">{text}</{tag}>")
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Text of an XML document: what markup means is escaped, what XML 1.0 cannot hold is replaced.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
