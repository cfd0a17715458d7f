// SPDX-License-Identifier: BSD-2-Clause
//! Tasks of the workspace: `cargo xtask <task>`.

mod kmod;
mod proof;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task> [options]

  kmod    cross-build the kernel module vps.ko and prove its properties
  vpsctl  build the FreeBSD programs that go with it
  proof   prove the properties of a module already built
  help    this text

`cargo xtask <task> --help` tells the options of one.
";

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let task = match args.next() {
        Ok(Some(lexopt::Arg::Value(task))) => task.to_string_lossy().into_owned(),
        Ok(None | Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help"))) => "help".to_owned(),
        Ok(Some(other)) => {
            eprintln!("error: {}\n\n{HELP}", other.unexpected());
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let done = match task.as_str() {
        "kmod" => kmod::main(args),
        "vpsctl" => kmod::program::main(args),
        "proof" => proof::main(args),
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        other => {
            eprintln!("error: no task `{other}`\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
