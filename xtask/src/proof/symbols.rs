// SPDX-License-Identifier: BSD-2-Clause
//! What the module wants from the kernel, and what it must not contain.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSymbol as _};

use super::code::Code;
use super::declared::Declared;
use super::module::Module;
use super::report::Report;

/// What the panic handler calls; no kernel has it.
const PANIC: &str = "vps_panic_is_reachable";

/// Parts of names that occur only where memory is allocated as if it could not fail.
const INFALLIBLE: &[&str] = &[
    "handle_alloc_error",
    "capacity_overflow",
    "alloc_error_handler",
];

pub(crate) fn check(module: &Module, declared: &Declared, code: &Code, report: &mut Report) {
    let mut faults = Vec::new();
    if module.names.iter().any(|name| name == PANIC) {
        faults.push(format!("{PANIC} is wanted; some of the ways there:"));
        faults.extend(code.ways_to(PANIC, 12));
    }
    report.check("no panic path", String::new(), faults);

    let infallible = module
        .names
        .iter()
        .filter(|name| INFALLIBLE.iter().any(|part| name.contains(part)))
        .map(|name| demangle(name))
        .collect();
    report.check("no infallible allocation", String::new(), infallible);

    let unknown: Vec<String> = module
        .undefined
        .iter()
        .filter(|name| *name != PANIC && !declared.symbols.contains_key(*name))
        .map(|name| format!("{name} is not in kmod-adapter/symbols.allow"))
        .collect();
    report.figure("kernel_symbols", serde_json::json!(module.undefined));
    report.check(
        "kernel symbols all reviewed",
        format!("{} symbols", module.undefined.len()),
        unknown,
    );
}

/// Whether a kernel has every symbol that the module wants; some that compilers call by themselves
/// are macros in one release and functions in another.
pub(crate) fn check_kernel(module: &Module, kernel: &[u8], report: &mut Report) -> Result<()> {
    let kernel = object::File::parse(kernel).context("the kernel is no object file")?;
    let has: BTreeSet<&str> = kernel
        .symbols()
        .filter(|symbol| !symbol.is_undefined())
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    let missing = module
        .undefined
        .iter()
        .filter(|name| !has.contains(name.as_str()))
        .map(|name| format!("{name} is not in the kernel"))
        .collect();
    report.check("this kernel has them all", String::new(), missing);
    Ok(())
}

/// A name as its source has it.
pub(crate) fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
