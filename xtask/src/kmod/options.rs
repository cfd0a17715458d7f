// SPDX-License-Identifier: BSD-2-Clause
//! Options of `cargo xtask kmod`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

pub(crate) const HELP: &str = "\
cargo xtask kmod [options]

Cross-builds vps.ko and proves its properties (see docs/kernel-module.md). Beside it go libvpscore.a
and vpscore.h, for a kernel that compiles the core in.

  --arch amd64|arm64   machine to build for (amd64)
  --sysdir DIR         sys/ of a FreeBSD source tree; without it, the headers of FreeBSD 15 that
                       the ziglang package carries
  --builddir DIR       kernel build directory with opt_global.h (and the other opt_*.h) of the kernel
                       that will load the module; without it, the options of a stock GENERIC
  --out DIR            where to put the result (target/kmod/ARCH)
  --json FILE          write the proof's figures to FILE as JSON
  --no-proof           build only

Tools are found by themselves; these variables override:
  VPS_KMOD_RUSTC, VPS_KMOD_CARGO   a rustc with library sources, and its cargo
  VPS_KMOD_ZIG                     zig
  VPS_KMOD_LLD                     ld.lld
  VPS_KMOD_CK                      directory with ck_epoch.h
";

/// A machine the module is built for, by FreeBSD's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    /// x86-64: the module is a relocatable object.
    Amd64,
    /// AArch64: the module is a shared object.
    Arm64,
}

impl Arch {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The first part of LLVM's triple.
    pub(crate) const fn llvm(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) arch: Arch,
    pub(crate) sysdir: Option<PathBuf>,
    pub(crate) builddir: Option<PathBuf>,
    pub(crate) out: PathBuf,
    pub(crate) json: Option<PathBuf>,
    pub(crate) proof: bool,
}

impl Options {
    /// The options, or `None` where help was asked for.
    pub(crate) fn parse(mut args: lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short};
        let mut options = Self {
            arch: Arch::Amd64,
            sysdir: None,
            builddir: None,
            out: PathBuf::new(),
            json: None,
            proof: true,
        };
        while let Some(arg) = args.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("arch") => {
                    let arch = args.value()?;
                    options.arch = match arch.to_str() {
                        Some("amd64" | "x86_64") => Arch::Amd64,
                        Some("arm64" | "aarch64") => Arch::Arm64,
                        _ => bail!("--arch is amd64 or arm64, not {}", arch.display()),
                    }
                }
                Long("sysdir") => options.sysdir = Some(PathBuf::from(args.value()?)),
                Long("builddir") => options.builddir = Some(PathBuf::from(args.value()?)),
                Long("out") => options.out = PathBuf::from(args.value()?),
                Long("json") => options.json = Some(PathBuf::from(args.value()?)),
                Long("no-proof") => options.proof = false,
                other => return Err(other.unexpected().into()),
            }
        }
        if options.out.as_os_str().is_empty() {
            options.out = workspace().join("target/kmod").join(options.arch.name());
        }
        require(
            options.sysdir.as_deref(),
            "--sysdir",
            "sys/param.h",
            "the sys directory of a FreeBSD tree",
        )?;
        require(
            options.builddir.as_deref(),
            "--builddir",
            "opt_global.h",
            "the directory where config(8) left a kernel's options",
        )?;
        Ok(Some(options))
    }
}

/// Refuses a directory that does not hold what it should.
fn require(dir: Option<&Path>, option: &str, file: &str, give: &str) -> Result<()> {
    match dir {
        Some(dir) if !dir.join(file).is_file() => {
            bail!("{option} {} has no {file}: give {give}", dir.display())
        }
        _ => Ok(()),
    }
}

/// The workspace's root.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}
