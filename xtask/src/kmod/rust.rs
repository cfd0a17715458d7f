// SPDX-License-Identifier: BSD-2-Clause
//! The Rust half: `kmod-adapter` with feature `kernel`, as one static library.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::options::{Options, workspace};
use super::tools::{self, Tools};

/// Builds the library and gives its path.
///
/// `core` and `alloc` are built with it, so that `no_global_oom_handling` holds for them: an
/// `alloc` in which no infallible allocation exists.
pub(crate) fn build(options: &Options, tools: &Tools) -> Result<PathBuf> {
    let target = format!("{}-freebsd-kmod", options.arch.llvm());
    let json = workspace().join(format!("kmod-adapter/targets/{target}.json"));
    let target_dir = workspace().join("target/kmod");
    let mut command = tools.cargo_command();
    command
        .current_dir(workspace())
        .env("RUSTFLAGS", "--cfg no_global_oom_handling")
        .args(["rustc", "--package", "kmod-adapter", "--lib"])
        .args(["--crate-type", "staticlib", "--features", "kernel"])
        .args(["--profile", "kmod", "-Zbuild-std=core,alloc"])
        .args(["-Zjson-target-spec", "--target"])
        .arg(json)
        .arg("--target-dir")
        .arg(&target_dir);
    tools::run(&mut command)?;
    let library = target_dir.join(target).join("kmod/libkmod_adapter.a");
    if !library.is_file() {
        bail!("cargo left no {}", library.display());
    }
    Ok(library)
}
