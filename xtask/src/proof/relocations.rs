// SPDX-License-Identifier: BSD-2-Clause
//! Only relocations that every supported kernel's loader carries out.
//!
//! The lists are the cases of `elf_reloc_internal` in `sys/amd64/amd64/elf_machdep.c` and
//! `sys/arm64/arm64/elf_machdep.c` of FreeBSD 12.1, less those that make no sense in a module;
//! 14 and 15 accept them too. A compiler left to itself emits R_X86_64_REX_GOTPCRELX, which none
//! of them knows.

use std::collections::BTreeMap;

use object::elf;

use super::module::{Arch, Module};
use super::report::Report;

const AMD64: &[(u32, &str)] = &[
    (elf::R_X86_64_64, "R_X86_64_64"),
    (elf::R_X86_64_PC32, "R_X86_64_PC32"),
    (elf::R_X86_64_PLT32, "R_X86_64_PLT32"),
    (elf::R_X86_64_32S, "R_X86_64_32S"),
];

const ARM64: &[(u32, &str)] = &[
    (elf::R_AARCH64_ABS64, "R_AARCH64_ABS64"),
    (elf::R_AARCH64_GLOB_DAT, "R_AARCH64_GLOB_DAT"),
    (elf::R_AARCH64_JUMP_SLOT, "R_AARCH64_JUMP_SLOT"),
    (elf::R_AARCH64_RELATIVE, "R_AARCH64_RELATIVE"),
];

pub(crate) fn check(module: &Module, report: &mut Report) {
    let accepted = match module.arch {
        Arch::Amd64 => AMD64,
        Arch::Arm64 => ARM64,
    };
    let mut faults = Vec::new();
    let mut counts = BTreeMap::new();
    for reloc in &module.relocs {
        match accepted.iter().find(|(kind, _)| *kind == reloc.kind) {
            Some((_, name)) => *counts.entry(*name).or_insert(0u64) += 1,
            None => faults.push(format!(
                "type {} in {} at {:#x} ({:?})",
                reloc.kind, reloc.section, reloc.offset, reloc.target
            )),
        }
    }
    let figure = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(", ");
    report.figure("relocations", serde_json::json!(counts));
    report.check("relocations the loader accepts", figure, faults);
}
