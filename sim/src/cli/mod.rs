// SPDX-License-Identifier: BSD-2-Clause
//! The command line of `vpsim`.
//!
//! Exit status: 0 where all went as it should, 1 where an expectation failed, 2 where the input is
//! wrong; the message says what to do then.

mod packetdrill;
mod run;

use clap::{Parser, Subcommand};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// What every command ends with.
const EXIT_STATUS: &str = "\
Exit status: 0 where all went as it should, 1 where an expectation failed, 2 where the input is wrong.";

/// Emulated FreeBSD worlds with virtual private systems.
#[derive(Debug, Parser)]
#[command(name = "vpsim", version, about, after_help = format!("\
Examples:
  vpsim run scenarios/echo-migration.toml
  vpsim packetdrill model-tests/packetdrill --filter close

{EXIT_STATUS}"))]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario: hosts, instances, programs, migrations.
    #[command(after_help = format!("\
The file is TOML and described in docs/scenarios.md, what is written in docs/output.md.

{EXIT_STATUS}"))]
    Run(run::Args),
    /// Run packetdrill scripts against the emulated TCP/IP stack.
    #[command(after_help = format!("\
A script x.pkt with a file x.exfail beside it may fail. docs/packetdrill.md describes the dialect, how to read a
failure, and the JSON.

Example: move the instance at every event of every script of a folder
  vpsim packetdrill model-tests/packetdrill/urgent --migrate each

{EXIT_STATUS}"))]
    Packetdrill(packetdrill::Args),
}

/// All went as it should.
const GOOD: u8 = 0;
/// An expectation failed.
const FAILED: u8 = 1;
/// The input is wrong.
const WRONG: u8 = 2;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let status = match args.command {
        Command::Run(args) => run::run(&args),
        Command::Packetdrill(args) => packetdrill::run(&args),
    };
    ExitCode::from(status.unwrap_or_else(|complaint| {
        eprintln!("vpsim: {complaint}");
        WRONG
    }))
}

/// Writes a file, and makes the folders above it that are not there.
fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let above = file.parent().filter(|above| !above.as_os_str().is_empty());
    above
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(file, bytes))
        .map_err(|e| format!("{}: cannot be written: {e}", file.display()))
}

/// Writes to standard output. Its reader may have had enough and closed it: that is no fault.
fn say(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: cannot be written: {error}"))
        }
        _ => Ok(()),
    }
}
