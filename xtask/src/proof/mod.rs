// SPDX-License-Identifier: BSD-2-Clause
//! What can be proved of a module before any kernel loads it.
//!
//! All is read from the linked object itself, not from how it was built: the symbols it wants
//! ([`symbols`]), the relocations it asks the loader for ([`relocations`]), the linker sets it
//! must carry ([`sets`]), and, from its machine code, that nothing touches the floating point
//! unit and how deep its stack can get ([`code`], [`stack`]).

mod amd64;
mod arm64;
mod code;
mod declared;
mod module;
mod relocations;
mod report;
mod sets;
mod stack;
mod symbols;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use module::Module;
use report::Report;

const HELP: &str = "\
cargo xtask proof [--json FILE] [--kernel FILE] MODULE

Proves of a linked vps.ko: no panic path, no infallible allocation, only reviewed kernel symbols, only
relocations that the loader accepts, its linker sets present, no floating point or SIMD
instruction, a stack within its ceiling. With --kernel, also that this kernel has every symbol that
the module wants. Exit status 0 when all hold.
";

/// Runs the task on a module already built.
pub(crate) fn main(mut args: lexopt::Parser) -> Result<()> {
    use lexopt::Arg::{Long, Short, Value};
    let mut json = None;
    let mut kernel = None;
    let mut path = None;
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            Long("json") => json = Some(PathBuf::from(args.value()?)),
            Long("kernel") => kernel = Some(PathBuf::from(args.value()?)),
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let Some(path) = path else {
        bail!("which module? Give the path of a vps.ko");
    };
    prove(&path, json.as_deref(), kernel.as_deref())
}

/// Checks everything, prints the table, and fails where anything does not hold.
pub(crate) fn prove(path: &Path, json: Option<&Path>, kernel: Option<&Path>) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let module = Module::parse(&bytes)?;
    let declared = declared::Declared::read(module.arch)?;
    let mut report = Report::new(path, bytes.len(), module.arch);
    let code = code::Code::decode(&module, &declared)?;
    symbols::check(&module, &declared, &code, &mut report);
    if let Some(kernel) = kernel {
        symbols::check_kernel(&module, &std::fs::read(kernel)?, &mut report)?;
    }
    relocations::check(&module, &mut report);
    sets::check(&module, &mut report);
    code::check(&code, &mut report);
    stack::check(&code, &declared, &mut report);
    report.print();
    if let Some(json) = json {
        std::fs::write(json, report.json())?;
    }
    report.verdict()
}
