// SPDX-License-Identifier: BSD-2-Clause
use super::ast::Script;
use super::report::{all_valid, all_well, count, describe, describe_not_fatal, json, junit, table};
use super::run::emulated::Emulated;
use super::run::moved::RunScript;
use super::run::{Manner, Outcome, Watch};
use super::suite::{Report, Settings, Verdict, find, run_all, run_one};
use std::path::PathBuf;

fn report(script: &str, verdict: Verdict) -> Report {
    Report {
        script: PathBuf::from(script),
        verdict,
        line: Some(7),
        column: None,
        source: Some("+0\t> S. 0:0(0)".into()),
        what: Some("packet differs: flags".into()),
        expected: Some("S. 0:0(0)".into()),
        seen: Some("R <&> 0:0(0)".into()),
        differs: vec!["flags"],
        marks: "^".into(),
        before: vec!["0.000000 < S 0:0(0)".into()],
        warnings: 0,
        not_fatal: Vec::new(),
        virtual_us: 1_500_000,
        runs: 1,
        moves: 0,
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
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "           7  +0 > S. 0:0(0)",
            "    expected  S. 0:0(0)",
            "    seen      R <&> 0:0(0)",
            "              ^",
            "    before    0.000000 < S 0:0(0)",
        ]
    );
}

#[test]
fn faults_that_a_script_declares_not_fatal_are_told_each() {
    let text = "--non_fatal=packet,syscall\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
                +0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 7\n+0 < S 0:0(0) win 9 <mss 1460>\n\
                +0 > S. 0:0(0) ack 1 win 9 <mss 1460>\n";
    let root = folder("not-fatal", &[("x.pkt", text.as_bytes())]);
    let report = run_one(
        &Emulated { seed: 1 },
        &root.join("x.pkt"),
        &Settings::default(),
    );
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!((report.verdict, report.warnings), (Verdict::Passed, 2));
    let told = describe_not_fatal(&report);
    let script = root.join("x.pkt");
    let script = script.display();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 7, "{told}");
    assert_eq!(
        lines[0],
        format!("{script}:4: not fatal: listen returns otherwise")
    );
    assert_eq!(lines[1], "    expected  listen(...) = 7");
    assert_eq!(lines[2], "    seen      listen(...) = 0");
    assert_eq!(
        lines[3],
        format!("{script}:6: not fatal: packet differs: window")
    );
    let json = json(&[report]);
    let second = &json["reports"][0]["not_fatal"][1];
    assert_eq!(
        (&second["line"], &second["differs"][0]),
        (&6.into(), &"window".into())
    );
    let mut names: Vec<&String> = second.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["differs", "expected", "line", "seen", "what"]);
}

#[test]
fn junit_escapes_what_packets_contain() {
    let xml = junit(&some());
    assert!(xml.contains("R &lt;&amp;&gt; 0:0(0)"));
    let suite = "<testsuite name=\"s/a\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"3.000000\">";
    assert!(xml.contains(suite), "{xml}");
    assert!(xml.contains("<testcase classname=\"s/b\" name=\"4\" time=\"1.500000\"/>"));
    let mut odd = report("a/\u{1}.pkt", Verdict::Failed);
    odd.seen = Some("\u{1b}[0m".into());
    assert!(!junit(&[odd]).contains(['\u{1}', '\u{1b}']));
}

#[test]
fn json_has_the_fields_that_its_document_names() {
    let value = json(&some());
    assert_eq!(value["format"], 2);
    assert_eq!(value["counts"]["total"]["failed"], 1);
    assert_eq!(value["counts"]["folders"]["s/a"]["passed"], 1);
    let mut names: Vec<&String> = value["reports"][1].as_object().unwrap().keys().collect();
    names.sort();
    let documented = include_str!("../../../docs/packetdrill.md");
    for name in &names {
        assert!(
            documented.contains(&format!("| `{name}` |")),
            "{name} is not documented"
        );
    }
    assert_eq!(names.len(), 15);
}

/// A folder of this test's own with these files.
fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let root = std::env::temp_dir().join(format!("vpsim-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    for (name, bytes) in files {
        std::fs::write(root.join(name), bytes).unwrap();
    }
    root
}

#[test]
fn what_is_no_script_is_told_by_what_it_is() {
    let long = vec![b'#'; (4 << 20) + 1];
    let root = folder(
        "no-scripts",
        &[
            ("bytes.pkt", b"0 `true`\n\xff\xfe"),
            ("crlf.pkt", b"--mtu=1500\r\n\r\n0 `true`\r\n+1 `true`\r\n"),
            ("empty.pkt", b""),
            ("long.pkt", &long),
            ("word.pkt", b"0 `true`\n+0 > S. 0:0(0) ack 1 wim 3\n"),
        ],
    );
    let scripts = find(std::slice::from_ref(&root)).unwrap();
    let reports = run_all(&Emulated { seed: 1 }, &scripts, &Settings::default());
    let told: Vec<String> = reports.iter().map(describe).collect();
    assert!(told[0].contains("line 2 is not UTF-8"), "{}", told[0]);
    assert_eq!(reports[1].verdict, Verdict::Passed, "{}", told[1]);
    assert_eq!(reports[1].virtual_us, 1_000_000);
    assert!(told[2].contains("expected an event"), "{}", told[2]);
    assert!(told[3].contains("longer than"), "{}", told[3]);
    assert!(told[4].contains("word.pkt:2:22: expected"), "{}", told[4]);
    std::fs::remove_dir_all(&root).unwrap();
}

/// Runs a script plain, and says whether a move made a difference.
struct Seen(bool);

impl RunScript for Seen {
    fn run_script<'w>(&self, script: &Script, manner: Manner, watch: &'w mut Watch<'w>) -> Outcome {
        let outcome = Emulated { seed: 1 }.run_script(script, manner, watch);
        let move_seen = self.0;
        Outcome {
            move_seen,
            ..outcome
        }
    }
}

#[test]
fn a_move_that_is_seen_is_a_failure_even_where_the_script_is_expected_to_fail() {
    let files: [(&str, &[u8]); 2] = [("one.pkt", b"0 `false`\n"), ("one.exfail", b"")];
    let root = folder("exfail", &files);
    let verdict = |seen| run_one(&Seen(seen), &root.join("one.pkt"), &Settings::default()).verdict;
    assert_eq!(verdict(false), Verdict::FailedAsExpected);
    assert_eq!(verdict(true), Verdict::Failed);
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn of_a_long_line_the_part_around_the_fault_is_shown_without_control_characters() {
    let mut long = report("x.pkt", Verdict::Invalid);
    (long.line, long.column, long.expected, long.seen) = (Some(7), Some(5001), None, None);
    let line = format!("{}\u{1b}[2J{}", "é".repeat(2500), "b".repeat(5000));
    long.source = Some(line);
    let told = describe(&long);
    let rows: Vec<&str> = told.lines().collect();
    assert_eq!(rows[1].chars().count(), 14 + 240, "{told}");
    let caret = rows[2].chars().count() - 1;
    let around: String = rows[1].chars().skip(caret - 1).take(5).collect();
    assert_eq!(around, "é [2J");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_and_one_that_leads_to_no_file_are_reported() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut odd = report("x.pkt", Verdict::Passed);
    odd.script = PathBuf::from(std::ffi::OsStr::from_bytes(b"s/\xff.pkt"));
    let told = json(&[odd]);
    assert_eq!(told["reports"][0]["script"], "s/\u{fffd}.pkt");

    let dir = folder("no-file", &[("a.pkt", b"0 `true`\n")]);
    std::os::unix::fs::symlink("/dev/zero", dir.join("zero.pkt")).unwrap();
    let scripts = find(std::slice::from_ref(&dir)).unwrap();
    let reports = run_all(&Emulated { seed: 1 }, &scripts, &Settings::default());
    let verdicts: Vec<_> = reports
        .iter()
        .map(|r| (r.verdict, r.what.as_deref()))
        .collect();
    assert_eq!(
        verdicts,
        [
            (Verdict::Passed, None),
            (Verdict::Invalid, Some("is no file"))
        ]
    );
    let told = find(&[PathBuf::from("/dev/zero")]).unwrap_err();
    assert!(told.contains("neither a file nor a folder"), "{told}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_path_that_is_not_there_and_a_folder_without_scripts_are_named() {
    let root = folder("empty", &[("readme.txt", b"")]);
    let wrong = |path: &std::path::Path| find(&[path.to_owned()]).unwrap_err();
    assert!(wrong(&root).contains("no *.pkt file in this folder"));
    assert!(wrong(&root.join("not-there")).contains("not-there: no such file or folder"));
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn packets_of_a_script_are_captured_below_its_own_path() {
    let text = b"0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n+1 sendto(3, ..., 9, 0, ..., ...) = 9\n+0 > udp (9)\n";
    let root = folder("capture", &[("one.pkt", text)]);
    let settings = Settings {
        pcap: Some(root.join("out")),
        ..Settings::default()
    };
    let script = root.join("one.pkt");
    let report = run_one(&Emulated { seed: 1 }, &script, &settings);
    assert_eq!(report.verdict, Verdict::Passed, "{}", describe(&report));
    let inside: PathBuf = script.components().skip(1).collect();
    let capture = std::fs::read(root.join("out").join(inside).with_extension("pcapng")).unwrap();
    // The datagram: IP and UDP headers, nine zeros; its time stamp is one second.
    assert!(capture.windows(4).any(|w| w == [0x45, 0, 0, 37]));
    assert!(
        capture
            .windows(4)
            .any(|w| w == 1_000_000_000_u32.to_le_bytes())
    );
    std::fs::remove_dir_all(&root).unwrap();
}

/// Where FreeBSD's TCP test suite is: `TCP_TESTSUITE`.
pub(super) fn suite() -> Option<PathBuf> {
    let root = std::env::var_os("TCP_TESTSUITE").map(PathBuf::from)?;
    assert!(
        root.is_dir(),
        "TCP_TESTSUITE: {} is no folder",
        root.display()
    );
    Some(root)
}

#[test]
fn the_suite_ends_as_its_table_says_where_the_suite_is_there() {
    let Some(root) = suite() else {
        println!("skipped: set TCP_TESTSUITE to a checkout of freebsd-net/tcp-testsuite");
        return;
    };
    let scripts = find(&[root]).unwrap();
    let reports = run_all(&Emulated { seed: 1 }, &scripts, &Settings::default());
    let failed: String = reports
        .iter()
        .filter(|r| matches!(r.verdict, Verdict::Failed | Verdict::Invalid))
        .map(describe)
        .collect();
    assert_eq!(failed, "");
    insta::assert_snapshot!(table(&reports));
}
