// SPDX-License-Identifier: BSD-2-Clause
//! The module as an ELF file: a relocatable object (amd64) or a shared one (arm64).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags,
    RelocationTarget, SymbolKind,
};

/// The machine a module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// A function of the module.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Address: in a relocatable object, the offset in `.text`.
    pub(crate) start: u64,
    pub(crate) code: Vec<u8>,
}

/// What a relocation of `.text` refers to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A name that the module does not define.
    Kernel(String),
    /// An address in the module's code.
    Code(u64),
    /// Data.
    Data,
}

/// A relocation that the kernel's loader has to carry out.
#[derive(Clone, Debug)]
pub(crate) struct Reloc {
    pub(crate) kind: u32,
    pub(crate) section: String,
    pub(crate) offset: u64,
    pub(crate) target: Target,
}

/// What the checks need of the file.
pub(crate) struct Module {
    pub(crate) arch: Arch,
    /// Sorted by address.
    pub(crate) functions: Vec<Function>,
    pub(crate) relocs: Vec<Reloc>,
    /// Names it wants from the kernel.
    pub(crate) undefined: Vec<String>,
    /// Every name in its symbol table.
    pub(crate) names: Vec<String>,
    /// Sections and their sizes.
    pub(crate) sections: BTreeMap<String, u64>,
    /// Addresses of `.plt` entries and the names they lead to (arm64).
    pub(crate) plt: BTreeMap<u64, String>,
}

impl Module {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let file: ElfFile64<'_, Endianness> =
            ElfFile64::parse(bytes).context("the module is not a 64-bit ELF file")?;
        let header = file.elf_header();
        let endian = file.endian();
        let arch = match (header.e_machine(endian), header.e_type(endian)) {
            (elf::EM_X86_64, elf::ET_REL) => Arch::Amd64,
            (elf::EM_AARCH64, elf::ET_DYN) => Arch::Arm64,
            (machine, kind) => {
                bail!("no module for a known kernel: machine {machine}, type {kind}")
            }
        };
        let undefined = if arch == Arch::Amd64 {
            undefined(file.symbols())
        } else {
            undefined(file.dynamic_symbols())
        };
        let mut module = Self {
            arch,
            functions: functions(&file)?,
            relocs: Vec::new(),
            undefined,
            names: file
                .symbols()
                .filter_map(|symbol| Some(symbol.name().ok()?.to_owned()))
                .collect(),
            sections: file
                .sections()
                .filter_map(|section| Some((section.name().ok()?.to_owned(), section.size())))
                .collect(),
            plt: BTreeMap::new(),
        };
        match arch {
            Arch::Amd64 => module.relocs = static_relocs(&file)?,
            Arch::Arm64 => module.take_dynamic(&file)?,
        }
        Ok(module)
    }

    /// The function that holds an address.
    pub(crate) fn function_at(&self, address: u64) -> Option<usize> {
        let after = self.functions.partition_point(|f| f.start <= address);
        let index = after.checked_sub(1)?;
        let f = &self.functions[index];
        (address < f.start + f.code.len().max(1) as u64).then_some(index)
    }

    fn take_dynamic(&mut self, file: &ElfFile64<'_, Endianness>) -> Result<()> {
        let names: BTreeMap<_, _> = file
            .dynamic_symbols()
            .filter_map(|symbol| Some((symbol.index().0, symbol.name().ok()?.to_owned())))
            .collect();
        let plt = file.section_by_name(".plt").map(|plt| plt.address());
        // A `.plt` has a header of 32 bytes, then 16 bytes for each jump slot, in their order.
        let mut entry = plt.map(|address| address + 32);
        for (offset, reloc) in file.dynamic_relocations().context("no relocations")? {
            let RelocationFlags::Elf { r_type } = reloc.flags() else {
                bail!("relocation without a type");
            };
            let name = match reloc.target() {
                RelocationTarget::Symbol(index) => names.get(&index.0).cloned(),
                _ => None,
            };
            if r_type == elf::R_AARCH64_JUMP_SLOT
                && let (Some(address), Some(name)) = (entry, &name)
            {
                self.plt.insert(address, name.clone());
                entry = Some(address + 16);
            }
            self.relocs.push(Reloc {
                kind: r_type,
                section: "dynamic".to_owned(),
                offset,
                target: name.map_or(Target::Code(reloc.addend() as u64), Target::Kernel),
            });
        }
        Ok(())
    }
}

fn undefined<'a>(symbols: impl Iterator<Item = impl object::ObjectSymbol<'a>>) -> Vec<String> {
    let mut names: Vec<String> = symbols
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| Some(symbol.name().ok()?.to_owned()))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn functions(file: &ElfFile64<'_, Endianness>) -> Result<Vec<Function>> {
    let text = file
        .section_by_name(".text")
        .context("the module has no .text")?;
    let code = text.data()?;
    let mut functions = Vec::new();
    for symbol in file.symbols() {
        if symbol.kind() != SymbolKind::Text || symbol.section_index() != Some(text.index()) {
            continue;
        }
        let start = symbol.address();
        let from = usize::try_from(start - text.address())?;
        let to = from + usize::try_from(symbol.size())?;
        let Some(code) = code.get(from..to) else {
            bail!("symbol {} is outside .text", symbol.name()?);
        };
        functions.push(Function {
            name: symbol.name()?.to_owned(),
            start,
            code: code.to_vec(),
        });
    }
    functions.sort_by_key(|f| f.start);
    functions.dedup_by_key(|f| f.start);
    Ok(functions)
}

fn static_relocs(file: &ElfFile64<'_, Endianness>) -> Result<Vec<Reloc>> {
    let mut relocs = Vec::new();
    for section in file.sections() {
        for (offset, reloc) in section.relocations() {
            let RelocationFlags::Elf { r_type } = reloc.flags() else {
                bail!("relocation without a type");
            };
            let RelocationTarget::Symbol(index) = reloc.target() else {
                bail!("relocation without a symbol in {}", section.name()?);
            };
            let symbol = file.symbol_by_index(index)?;
            let in_text = symbol
                .section_index()
                .and_then(|index| file.section_by_index(index).ok())
                .is_some_and(|section| section.name() == Ok(".text"));
            // A branch's addend counts from the end of its four bytes.
            let back = match r_type {
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => 4,
                _ => 0,
            };
            let target = if symbol.is_undefined() {
                Target::Kernel(symbol.name()?.to_owned())
            } else if in_text {
                Target::Code(symbol.address().wrapping_add_signed(reloc.addend() + back))
            } else {
                Target::Data
            };
            relocs.push(Reloc {
                kind: r_type,
                section: section.name()?.to_owned(),
                offset,
                target,
            });
        }
    }
    Ok(relocs)
}
