// SPDX-License-Identifier: BSD-2-Clause
//! `cargo xtask kmod`: cross-builds the kernel module from packages alone.
//!
//! Five steps, each a child module: find the tools ([`tools`]), build the Rust half as a static
//! library against `core` and `alloc` of our own making ([`rust`]), compile the C shim against the
//! kernel's headers ([`shim`]), link both into what the kernel's loader takes ([`link`]), prove the result
//! ([`crate::proof`]).

mod link;
mod options;
pub(crate) mod program;
mod rust;
mod shim;
mod tools;

use anyhow::{Context as _, Result};

use options::Options;

/// Runs the task.
pub(crate) fn main(args: lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(args)? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let tools = tools::Tools::find()?;
    let out = options.out.clone();
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let library = rust::build(&options, &tools)?;
    std::fs::copy(&library, out.join("libvpscore.a"))?;
    std::fs::copy(
        options::workspace().join("kmod-adapter/include/vpscore.h"),
        out.join("vpscore.h"),
    )?;
    let objects = shim::compile(&options, &tools, &out)?;
    let module = link::link(&options, &tools, &out, &library, &objects)?;
    if options.proof {
        // A kernel lies in its build directory where it was built there.
        let kernel = options.builddir.as_ref().map(|dir| dir.join("kernel"));
        let kernel = kernel.filter(|kernel| kernel.is_file());
        crate::proof::prove(&module, options.json.as_deref(), kernel.as_deref())?;
    } else {
        println!("{}", module.display());
    }
    Ok(())
}
