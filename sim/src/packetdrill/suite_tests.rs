// SPDX-License-Identifier: BSD-2-Clause
use super::run::emulated::Emulated;
use super::suite::{Report, Verdict, all_valid, all_well, count, describe, junit, table};
use std::path::PathBuf;

fn report(script: &str, verdict: Verdict) -> Report {
    Report {
        script: PathBuf::from(script),
        verdict,
        line: Some(7),
        what: Some("packet differs: flags".into()),
        expected: Some("S. 0:0(0)".into()),
        seen: Some("R <&> 0:0(0)".into()),
        warnings: 0,
        virtual_us: 1_500_000,
    }
}

fn some() -> Vec<Report> {
    vec![
        report("s/a/1.pkt", Verdict::Passed),
        report("s/a/2.pkt", Verdict::Failed),
        report("s/b/3.pkt", Verdict::FailedAsExpected),
        report("s/b/4.pkt", Verdict::PassedUnexpectedly),
    ]
}

#[test]
fn expected_failures_are_counted_apart_and_are_no_failure() {
    let rows = count(&some());
    assert_eq!(rows.len(), 3);
    let (name, total) = rows.last().unwrap();
    assert_eq!(
        (name.as_str(), total.passed, total.failed, total.exfail),
        ("total", 1, 1, 2)
    );
    assert!(!all_well(&some()));
    assert!(all_well(&some()[2..]));
    assert!(!all_well(&[report("x.pkt", Verdict::Invalid)]));
    assert!(all_valid(&some()) && !all_valid(&[report("x.pkt", Verdict::Invalid)]));
}

#[test]
fn the_table_drops_what_all_folders_share() {
    let table = table(&some());
    let first: Vec<&str> = table
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(first, ["folder", "a", "b", "total"]);
}

#[test]
fn a_failure_is_told_at_its_line_with_both_sides() {
    let text = describe(&report("x.pkt", Verdict::Failed));
    assert!(text.starts_with("x.pkt:7: packet differs"));
    assert!(text.contains("expected  S. 0:0(0)\n"));
}

#[test]
fn junit_escapes_what_packets_contain() {
    let xml = junit(&some());
    assert!(xml.contains("R &lt;&amp;&gt; 0:0(0)"));
    assert!(xml.contains("<testsuite name=\"s/a\" tests=\"2\" failures=\"1\" errors=\"0\">"));
}

/// Scripts of FreeBSD's TCP test suite that pass, where it is there.
const SUITE_PASSES: usize = 685;

#[test]
fn every_script_of_the_suite_ends_as_it_should_where_the_suite_is_there() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/tcp-testsuite");
    if !root.is_dir() {
        return;
    }
    let scripts = super::suite::find(&[root]).unwrap();
    let reports = super::suite::run_all(&Emulated { seed: 1 }, &scripts, false);
    let failed: String = reports
        .iter()
        .filter(|r| matches!(r.verdict, Verdict::Failed | Verdict::Invalid))
        .map(describe)
        .collect();
    assert_eq!(failed, "");
    let passed = reports
        .iter()
        .filter(|r| r.verdict == Verdict::Passed)
        .count();
    assert_eq!(passed, SUITE_PASSES);
}
