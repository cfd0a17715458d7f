// SPDX-License-Identifier: BSD-2-Clause
//! Finding the tools, and saying which package has one that is missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Tools {
    /// A compiler whose sysroot has the sources of `core` and `alloc`.
    pub(crate) rustc: PathBuf,
    /// The cargo that belongs to it.
    pub(crate) cargo: PathBuf,
    /// Whether it is a release that must be told that unstable options are meant.
    pub(crate) bootstrap: bool,
    /// zig, whose `zig cc` is a clang.
    pub(crate) zig: PathBuf,
    /// zig's library directory, with FreeBSD's headers.
    pub(crate) zig_lib: PathBuf,
    /// LLVM's linker.
    pub(crate) lld: PathBuf,
    /// Directory with Concurrency Kit's headers, which FreeBSD keeps outside `sys/`.
    pub(crate) ck: PathBuf,
}

const NO_RUST: &str = "no rustc with library sources found: \
    `apt install rustc-web cargo-web rust-web-src` (Debian), or \
    `rustup toolchain install nightly --component rust-src`, or set VPS_KMOD_RUSTC and VPS_KMOD_CARGO";
const NO_ZIG: &str = "zig not found: `pip install ziglang`, or set VPS_KMOD_ZIG";
const NO_LLD: &str = "ld.lld not found: `apt install lld`, or set VPS_KMOD_LLD";
const NO_CK: &str = "ck_epoch.h not found: `apt install libck-dev`, or set VPS_KMOD_CK";

impl Tools {
    /// Finds all, or names the first that is missing and where to get it.
    pub(crate) fn find() -> Result<Self> {
        let (rustc, cargo) = rust()?;
        let version = output(Command::new(&rustc).arg("--version"))?;
        let zig = zig().context(NO_ZIG)?;
        let env = output(Command::new(&zig).arg("env"))?;
        let zig_lib = zig_lib(&zig, &env).context("zig has no lib directory beside it")?;
        let lld = from_env("VPS_KMOD_LLD")
            .or_else(|| in_path("ld.lld"))
            .or_else(|| (11..30).rev().find_map(|n| in_path(format!("ld.lld-{n}"))))
            .context(NO_LLD)?;
        let ck = from_env("VPS_KMOD_CK")
            .or_else(|| {
                ["/usr/include", "/usr/local/include"]
                    .iter()
                    .map(PathBuf::from)
                    .find(|dir| dir.join("ck_epoch.h").is_file())
            })
            .context(NO_CK)?;
        Ok(Self {
            bootstrap: !version.contains("nightly"),
            rustc,
            cargo,
            zig,
            zig_lib,
            lld,
            ck,
        })
    }

    /// A call of cargo with the compiler that builds `core` and `alloc`.
    pub(crate) fn cargo_command(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .env("RUSTC", &self.rustc)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        if self.bootstrap {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// Directory with the headers of FreeBSD's newest release that zig carries.
    pub(crate) fn headers(&self, which: &str) -> PathBuf {
        self.zig_lib.join("libc/include").join(which)
    }
}

/// Runs a command and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let run = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !run.status.success() {
        bail!(
            "{command:?} failed:\n{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

/// Runs a command whose output the person should see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

fn rust() -> Result<(PathBuf, PathBuf)> {
    if let Some(rustc) = from_env("VPS_KMOD_RUSTC") {
        let cargo = from_env("VPS_KMOD_CARGO")
            .or_else(|| Some(rustc.with_file_name("cargo")).filter(|path| path.is_file()))
            .context("VPS_KMOD_RUSTC is set, and no cargo beside it: set VPS_KMOD_CARGO too")?;
        return Ok((rustc, cargo));
    }
    let mut candidates = vec![PathBuf::from("/usr/bin/rustc")];
    let nightly = Command::new("rustup")
        .args(["which", "--toolchain", "nightly", "rustc"])
        .output();
    if let Ok(found) = nightly {
        candidates.push(PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()));
    }
    for rustc in candidates {
        let cargo = rustc.with_file_name("cargo");
        if rustc.is_file() && cargo.is_file() && has_sources(&rustc) {
            return Ok((rustc, cargo));
        }
    }
    bail!(NO_RUST)
}

fn has_sources(rustc: &Path) -> bool {
    output(Command::new(rustc).args(["--print", "sysroot"])).is_ok_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .is_file()
    })
}

fn zig() -> Option<PathBuf> {
    from_env("VPS_KMOD_ZIG")
        .or_else(|| in_path("zig"))
        .or_else(|| {
            let script = "import ziglang, os; print(os.path.dirname(ziglang.__file__))";
            let dir = output(Command::new("python3").args(["-c", script])).ok()?;
            Some(Path::new(dir.trim()).join("zig")).filter(|path| path.is_file())
        })
}

/// `zig env` prints `.lib_dir = "..."` (or JSON's `"lib_dir": "..."` before 0.15).
fn zig_lib(zig: &Path, env: &str) -> Option<PathBuf> {
    let line = env.lines().find(|line| line.contains("lib_dir"))?;
    let value = line.rsplit('"').nth(1)?;
    let dir = Path::new(value);
    let dir = if dir.is_absolute() {
        dir.to_owned()
    } else {
        zig.parent()?.join(dir)
    };
    dir.is_dir().then_some(dir)
}

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn in_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name.as_ref()))
        .find(|candidate| candidate.is_file())
}
