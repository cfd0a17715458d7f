// SPDX-License-Identifier: BSD-2-Clause
//! Linking the two halves into what the kernel's loader takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::options::{Arch, Options, workspace};
use super::tools::{self, Tools};

/// Links `vps.ko`: a relocatable object on amd64, a shared one on arm64 (`sys/conf/kmod.mk`).
///
/// Sections that nothing refers to are dropped, and with them panic paths that nothing reaches;
/// the linker sets, which nothing refers to either, are kept by the script.
pub(crate) fn link(
    options: &Options,
    tools: &Tools,
    out: &Path,
    library: &Path,
    objects: &[PathBuf],
) -> Result<PathBuf> {
    let module = out.join("vps.ko");
    let script = workspace().join(format!("kmod-adapter/ld/kmod-{}.ld", options.arch.name()));
    let mut command = Command::new(&tools.lld);
    match options.arch {
        Arch::Amd64 => command.args(["-m", "elf_x86_64_fbsd", "-r"]),
        Arch::Arm64 => command.args(["-m", "aarch64elf", "-shared", "-Bsymbolic", "-znotext"]),
    };
    command
        .args(["--gc-sections", "--strip-debug", "-T"])
        .arg(script)
        .arg("-o")
        .arg(&module)
        .args(objects)
        .arg(library);
    tools::run(&mut command)?;
    Ok(module)
}
