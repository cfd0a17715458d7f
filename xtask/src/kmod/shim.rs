// SPDX-License-Identifier: BSD-2-Clause
//! The C half: the shim, compiled against the kernel's headers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::options::{Arch, Options, workspace};
use super::tools::{self, Tools};

/// Compiles every file of `kmod-adapter/c`; gives the objects.
pub(crate) fn compile(options: &Options, tools: &Tools, out: &Path) -> Result<Vec<PathBuf>> {
    let dir = workspace().join("kmod-adapter/c");
    let mut sources = Vec::new();
    for entry in
        std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    let flags = flags(options, tools, out)?;
    let mut objects = Vec::new();
    for source in sources {
        let name = source.file_stem().unwrap_or_default();
        let object = out.join(name).with_extension("o");
        tools::run(
            Command::new(&tools.zig)
                .arg("cc")
                .args(&flags)
                .arg("-c")
                .arg(&source)
                .arg("-o")
                .arg(&object),
        )?;
        objects.push(object);
    }
    Ok(objects)
}

fn flags(options: &Options, tools: &Tools, out: &Path) -> Result<Vec<String>> {
    let arch = options.arch;
    let mut flags: Vec<String> = [
        "-D_KERNEL",
        "-DKLD_MODULE",
        "-O2",
        "-std=gnu11",
        "-ffreestanding",
        "-fwrapv",
        "-fno-strict-aliasing",
        "-fno-common",
        "-fno-builtin-bcmp",
        "-fno-stack-protector",
        "-fno-asynchronous-unwind-tables",
        "-fno-unwind-tables",
        "-fno-omit-frame-pointer",
        "-ffunction-sections",
        "-fno-sanitize=all",
        "-nostdinc",
        "-g0",
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
    ]
    .map(str::to_owned)
    .to_vec();
    flags.push("-target".to_owned());
    // For FreeBSD itself zig adds its own headers whatever one says, and a header that a tree lacks
    // would come from another release.
    if options.sysdir.is_some() {
        flags.push(format!("{}-freestanding-none", arch.llvm()));
        flags.push("-D__FreeBSD__".to_owned());
    } else {
        flags.push(format!("{}-freebsd.15.0", arch.llvm()));
    }
    // zig drops clang's own -mno-sse and the like without a word; only its -mcpu counts.
    let machine: &[&str] = match arch {
        Arch::Amd64 => &[
            "-mcmodel=kernel",
            "-mno-red-zone",
            "-fno-pic",
            "-mcpu=x86_64-x87-mmx-sse-sse2+soft_float",
        ],
        Arch::Arm64 => &[
            "-fPIC",
            "-mcpu=generic-neon-fp_armv8+reserve_x18+strict_align",
        ],
    };
    flags.extend(machine.iter().map(|flag| (*flag).to_owned()));
    let mut include = |how: &str, dir: &Path| {
        flags.push(how.to_owned());
        flags.push(dir.display().to_string());
    };
    include("-I", &workspace().join("kmod-adapter/c"));
    include("-I", &workspace().join("kmod-adapter/include"));
    match &options.sysdir {
        Some(sysdir) => {
            let links = links(arch, sysdir, out)?;
            include("-I", &links);
            include("-isystem", sysdir);
            include("-isystem", &sysdir.join("contrib/ck/include"));
        }
        None => {
            include(
                "-isystem",
                &tools.headers(&format!("{}-freebsd-none", arch.llvm())),
            );
            include("-isystem", &tools.headers("generic-freebsd"));
            include("-idirafter", &tools.ck);
        }
    }
    match &options.builddir {
        Some(dir) => {
            include("-I", dir);
            include("-include", &dir.join("opt_global.h"));
            flags.push("-DHAVE_KERNEL_OPTION_HEADERS".to_owned());
        }
        None => include(
            "-include",
            &workspace().join("kmod-adapter/c/opt/opt_global.h"),
        ),
    }
    Ok(flags)
}

/// A kernel build names the machine's headers by links, `machine` and `x86`; makes them.
fn links(arch: Arch, sysdir: &Path, out: &Path) -> Result<PathBuf> {
    let dir = out.join("links");
    std::fs::create_dir_all(&dir)?;
    let mut pairs = vec![("machine", arch.name())];
    if arch == Arch::Amd64 {
        pairs.push(("x86", "x86"));
    }
    for (name, of) in pairs {
        let link = dir.join(name);
        let target = sysdir.canonicalize()?.join(of).join("include");
        if link.is_symlink() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(&target, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(dir)
}
