// SPDX-License-Identifier: BSD-2-Clause
//! The command line as a process: where its output goes to a reader that has gone, or to a full disk.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

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
