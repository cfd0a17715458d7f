// SPDX-License-Identifier: BSD-2-Clause
//! `cargo xtask vpsctl`: the FreeBSD programs, static and without a C library.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::options::workspace;
use super::tools::{self, Tools};

const HELP: &str = "\
cargo xtask vpsctl [--out DIR]

Builds the static FreeBSD/amd64 programs `vpsctl`, `guest` (which looks at PID spaces from inside an
instance) and `trial` (which tries the module on a real kernel) with the tools that
`cargo xtask kmod` uses, into DIR (target/vpsctl).
";

/// Runs the task.
pub(crate) fn main(mut args: lexopt::Parser) -> Result<()> {
    use lexopt::Arg::{Long, Short};
    let mut out = workspace().join("target/vpsctl");
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            Long("out") => out = PathBuf::from(args.value()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let tools = Tools::find()?;
    let dir = workspace().join("vpsctl");
    let target = "x86_64-freebsd-static";
    let built = workspace().join("target/vpsctl-build");
    let mut command = tools.cargo_command();
    command
        .current_dir(&dir)
        .env("RUSTFLAGS", "")
        .args(["build", "--release", "--bins", "-Zbuild-std=core,alloc"])
        .args([
            "-Zbuild-std-features=compiler-builtins-mem",
            "-Zjson-target-spec",
        ])
        .arg("--config")
        .arg(format!(
            "target.{target}.linker={:?}",
            tools.lld.display().to_string()
        ))
        .arg("--target")
        .arg(dir.join(format!("targets/{target}.json")))
        .arg("--target-dir")
        .arg(&built);
    tools::run(&mut command)?;
    std::fs::create_dir_all(&out)?;
    for name in ["vpsctl", "guest", "trial"] {
        let from = built.join(target).join("release").join(name);
        let to = out.join(name);
        std::fs::copy(&from, &to).with_context(|| format!("cargo left no {}", from.display()))?;
        println!("{}: {} bytes", to.display(), std::fs::metadata(&to)?.len());
    }
    Ok(())
}
