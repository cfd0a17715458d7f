// SPDX-License-Identifier: BSD-2-Clause
//! Objects made to break one property each, and the proof that must see it.

use std::collections::BTreeMap;
use std::path::Path;

use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};

use super::declared::Declared;
use super::module::Module;
use super::report::Report;
use super::{code, relocations, sets, stack, symbols};

/// An amd64 object under construction.
struct Built {
    object: Object<'static>,
    text: SectionId,
    names: BTreeMap<&'static str, SymbolId>,
    declared: Declared,
}

const RET: u8 = 0xc3;
/// call rel32, to be filled by a relocation.
const CALL: &[u8] = &[0xe8, 0, 0, 0, 0];

impl Built {
    fn new() -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        let declared = Declared {
            ceiling: 1024,
            ..Declared::default()
        };
        Self {
            object,
            text,
            names: BTreeMap::new(),
            declared,
        }
    }

    /// A name, defined or not yet.
    fn symbol(&mut self, name: &'static str) -> SymbolId {
        let object = &mut self.object;
        *self.names.entry(name).or_insert_with(|| {
            object.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Undefined,
                flags: SymbolFlags::None,
            })
        })
    }

    /// A function of these pieces; an empty piece is a call of the next name.
    fn function(&mut self, name: &'static str, pieces: &[&[u8]], calls: &[&'static str]) {
        let mut code = Vec::new();
        let mut fixes = Vec::new();
        let mut calls = calls.iter();
        for piece in pieces {
            if piece.is_empty() {
                fixes.push((code.len() as u64 + 1, *calls.next().expect("a callee")));
                code.extend_from_slice(CALL);
            } else {
                code.extend_from_slice(piece);
            }
        }
        let symbol = self.symbol(name);
        let at = self.object.add_symbol_data(symbol, self.text, &code, 16);
        for (offset, callee) in fixes {
            self.relocate(at + offset, callee, elf::R_X86_64_PLT32);
        }
    }

    fn relocate(&mut self, offset: u64, to: &'static str, r_type: u32) {
        let symbol = self.symbol(to);
        let relocation = Relocation {
            offset,
            symbol,
            addend: -4,
            flags: RelocationFlags::Elf { r_type },
        };
        self.object.add_relocation(self.text, relocation).unwrap();
    }

    fn prove(self) -> Report {
        let bytes = self.object.write().unwrap();
        let module = Module::parse(&bytes).unwrap();
        let mut report = Report::new(Path::new("test.ko"), bytes.len(), module.arch);
        let code = code::Code::decode(&module, &self.declared).unwrap();
        symbols::check(&module, &self.declared, &code, &mut report);
        relocations::check(&module, &mut report);
        sets::check(&module, &mut report);
        code::check(&code, &mut report);
        stack::check(&code, &self.declared, &mut report);
        report
    }
}

const STACK: &str = "stack within its ceiling";
/// sub rsp, 64; add rsp, 64
const DOWN: &[u8] = &[0x48, 0x83, 0xec, 64];
const UP: &[u8] = &[0x48, 0x83, 0xc4, 64];

#[test]
fn a_reachable_panic_is_seen_with_the_way_to_it() {
    let mut built = Built::new();
    built.function("handler", &[&[], &[RET]], &["vps_panic_is_reachable"]);
    built.function("middle", &[&[], &[RET]], &["handler"]);
    built.function("entry", &[&[], &[RET]], &["middle"]);
    let report = built.prove();
    let faults = report.faults("no panic path");
    assert!(
        faults
            .iter()
            .any(|fault| fault == "entry > middle > handler"),
        "{faults:?}"
    );
}

#[test]
fn a_module_without_the_handler_has_no_panic_path() {
    let mut built = Built::new();
    built.function("entry", &[&[RET]], &[]);
    assert!(built.prove().faults("no panic path").is_empty());
}

#[test]
fn a_kernel_symbol_that_nobody_reviewed_is_a_fault() {
    let mut built = Built::new();
    built
        .declared
        .symbols
        .insert("malloc".into(), "sys/malloc.h".into());
    built.function("entry", &[&[], &[], &[RET]], &["malloc", "sneaky"]);
    let report = built.prove();
    let faults = report.faults("kernel symbols all reviewed");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("sneaky "));
}

#[test]
fn infallible_allocation_is_seen_by_its_error_handling() {
    let mut built = Built::new();
    built.function("alloc_handle_alloc_error", &[&[RET]], &[]);
    assert_eq!(built.prove().faults("no infallible allocation").len(), 1);
}

#[test]
fn a_relocation_that_the_loader_does_not_know_is_a_fault() {
    let mut built = Built::new();
    built.function("entry", &[&[0x48, 0x8b, 0x05, 0, 0, 0, 0], &[RET]], &[]);
    built.relocate(3, "thing", elf::R_X86_64_REX_GOTPCRELX);
    let report = built.prove();
    let faults = report.faults("relocations the loader accepts");
    assert!(faults[0].starts_with("type 42 "), "{faults:?}");
}

#[test]
fn dropped_linker_sets_are_missed() {
    let mut built = Built::new();
    built.function("entry", &[&[RET]], &[]);
    assert_eq!(built.prove().faults("linker sets present").len(), 3);
}

#[test]
fn vector_and_x87_instructions_are_seen() {
    let float = "no floating point or vector instruction";
    // movups [rdi], xmm0; fld1; movq mm0, rax
    for code in [
        &[0x0f, 0x11, 0x07][..],
        &[0xd9, 0xe8],
        &[0x48, 0x0f, 0x6e, 0xc0],
    ] {
        let mut built = Built::new();
        built.function("entry", &[code, &[RET]], &[]);
        assert_eq!(built.prove().faults(float).len(), 1, "{code:x?}");
    }
    let mut built = Built::new();
    built.function("entry", &[DOWN, UP, &[RET]], &[]);
    assert!(built.prove().faults(float).is_empty());
}

#[test]
fn the_deepest_chain_adds_frames_and_return_addresses() {
    let mut built = Built::new();
    built.function("leaf", &[&[0x55], DOWN, UP, &[0x5d, RET]], &[]);
    built.function("shallow", &[&[RET]], &[]);
    built.function("entry", &[DOWN, &[], &[], UP, &[RET]], &["shallow", "leaf"]);
    let report = built.prove();
    assert!(report.faults(STACK).is_empty());
    assert_eq!(report.value("stack_deepest"), 64 + 8 + 8 + 64);
    assert_eq!(report.value("frame_largest"), 72);
}

#[test]
fn a_chain_beyond_the_ceiling_is_a_fault() {
    let mut built = Built::new();
    built.declared.ceiling = 100;
    built.function("leaf", &[DOWN, UP, &[RET]], &[]);
    built.function("entry", &[DOWN, &[], UP, &[RET]], &["leaf"]);
    assert_eq!(built.prove().faults(STACK), ["136 bytes, ceiling 100"]);
}

#[test]
fn recursion_is_a_fault_until_its_depth_is_declared() {
    let build = || {
        let mut built = Built::new();
        built.function("again", &[DOWN, &[], UP, &[RET]], &["again"]);
        built
    };
    let report = build().prove();
    assert_eq!(report.faults(STACK), ["recursion, undeclared: again"]);
    let mut declared = build();
    declared.declared.recursion.insert("again".into(), 4);
    let report = declared.prove();
    assert!(report.faults(STACK).is_empty());
    assert_eq!(report.value("stack_deepest"), 4 * 72);
}

#[test]
fn a_call_through_a_pointer_is_a_fault_until_it_is_declared() {
    let build = || {
        let mut built = Built::new();
        // call rax
        built.function("entry", &[DOWN, &[0xff, 0xd0], UP, &[RET]], &[]);
        built.function("leaf", &[DOWN, UP, &[RET]], &[]);
        built
    };
    let report = build().prove();
    assert_eq!(
        report.faults(STACK),
        ["entry: calls through a pointer, undeclared"]
    );
    let mut declared = build();
    declared
        .declared
        .indirect
        .insert("entry".into(), vec!["leaf".into()]);
    let report = declared.prove();
    assert!(report.faults(STACK).is_empty());
    assert_eq!(report.value("stack_deepest"), 64 + 8 + 64);
}

#[test]
fn a_stack_moved_by_a_register_is_a_fault() {
    let mut built = Built::new();
    // sub rsp, rax
    built.function("entry", &[&[0x48, 0x29, 0xc4], &[RET]], &[]);
    assert_eq!(built.prove().faults(STACK).len(), 1);
}
