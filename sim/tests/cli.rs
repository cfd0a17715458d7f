// SPDX-License-Identifier: BSD-2-Clause
//! The command line as a process: where its output goes to a reader that has gone, to a full disk, or to
//! folders that are not there yet.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn list() -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model-tests/packetdrill");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vpsim"));
    command.args(["packetdrill", "--list"]).arg(scripts);
    command.stderr(Stdio::piped());
    command
}

#[test]
fn a_reader_that_has_gone_is_no_fault() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = list().stdout(writer).output().expect("vpsim");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_told() {
    let full = File::options().write(true).open("/dev/full");
    let output = list().stdout(full.expect("/dev/full")).output();
    let output = output.expect("vpsim");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("vpsim: standard output: "), "{told}");
}

/// A folder of this test's own, taken away at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("vpsim-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).expect("a file");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn vpsim(args: &[&dyn AsRef<OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vpsim"));
    command.args(args).output().expect("vpsim")
}

const WORLD: &str = "name = \"t\"\ndeadline_ms = 100\n[[host]]\nname = \"a\"\naddress = \"10.0.0.1/24\"\n\
                     [[program]]\nname = \"p\"\nin = \"a\"\nfile = \"p.pgm\"\nexpect_exit = 0\n";

#[test]
fn folders_above_what_is_written_are_made() {
    let folder = Folder::new("folders");
    folder.write("p.pgm", "exit 0\n");
    let world = folder.write("x.toml", WORLD);
    let script = folder.write("x.pkt", "0 `true`\n");
    let new = |name: &str| folder.0.join("a").join(name).join("file");
    let (trace, pcap, junit) = (new("trace"), new("pcap"), new("junit"));
    let run = vpsim(&[&"run", &world, &"--trace", &trace, &"--pcap", &pcap]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let scripts = vpsim(&[
        &"packetdrill",
        &script,
        &"--junit",
        &junit,
        &"--pcap",
        &new("c"),
    ]);
    assert_eq!(scripts.status.code(), Some(0), "{scripts:?}");
    for file in [trace, pcap, junit] {
        assert!(file.metadata().is_ok_and(|m| m.len() > 0), "{file:?}");
    }
    assert!(new("c").is_dir());
    let under_a_file = world.join("trace");
    let refused = vpsim(&[&"run", &world, &"--trace", &under_a_file]);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("x.toml/trace: cannot be written: "), "{told}");
}

#[test]
fn the_examples_of_the_help_run_and_it_tells_the_exit_status() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for command in [&[][..], &["run"], &["packetdrill"]] {
        let mut vpsim = Command::new(env!("CARGO_BIN_EXE_vpsim"));
        let help = vpsim.args(command).arg("--help").output().expect("help");
        let help = String::from_utf8(help.stdout).expect("text");
        assert!(help.contains("Exit status: 0 "), "{help}");
        for example in help
            .lines()
            .filter_map(|line| line.strip_prefix("  vpsim "))
        {
            let mut vpsim = Command::new(env!("CARGO_BIN_EXE_vpsim"));
            let ran = vpsim.args(example.split(' ')).current_dir(&root).output();
            let ran = ran.expect("vpsim");
            assert_eq!(ran.status.code(), Some(0), "{example}: {ran:?}");
            count += 1;
        }
    }
    assert_eq!(count, 3);
}

#[test]
fn a_program_that_died_of_a_signal_is_told_by_the_signal() {
    let folder = Folder::new("signal");
    folder.write("p.pgm", "sys getpid -> r8\nsys kill r8 SIGTERM\nexit 0\n");
    let run = vpsim(&[&"run", &folder.write("x.toml", WORLD)]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let told = String::from_utf8_lossy(&run.stdout);
    let row = told.lines().find(|line| line.starts_with("p "));
    let cells: Vec<&str> = row.expect("its row").split_whitespace().collect();
    assert_eq!(cells[1..], ["a", "2", "SIGTERM"], "{told}");
    assert!(
        told.contains("\nfault: a, process 2 died of SIGTERM, at 0 ms\n"),
        "{told}"
    );
    assert!(
        told.contains("\nfailed: program p died of SIGTERM; expected exit 0\n"),
        "{told}"
    );
}
