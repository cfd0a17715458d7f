// SPDX-License-Identifier: BSD-2-Clause
//! The linker sets that make a module do anything at all.
//!
//! The kernel finds them by name and nothing in the module refers to them, so a linker that drops
//! unreferenced sections drops them: the module then loads, and does nothing.

use super::module::Module;
use super::report::Report;

/// Set, and how many entries it must have at least: modules and malloc types register themselves
/// through the first two; the third names the module, its version and its dependence on a kernel.
const SETS: &[(&str, u64)] = &[
    ("set_sysinit_set", 2),
    ("set_sysuninit_set", 1),
    ("set_modmetadata_set", 3),
];

pub(crate) fn check(module: &Module, report: &mut Report) {
    let mut faults = Vec::new();
    let mut figure = Vec::new();
    for (name, least) in SETS {
        let entries = module.sections.get(*name).copied().unwrap_or(0) / 8;
        if entries < *least {
            faults.push(format!("{name} has {entries} entries, needs {least}"));
        }
        figure.push(format!("{} {entries}", name.trim_start_matches("set_")));
    }
    report.check("linker sets present", figure.join(", "), faults);
}
