// SPDX-License-Identifier: BSD-2-Clause
//! Memory as a program, or the kernel on a program's behalf, reads and writes it.

use super::map::{MapEntry, Vmspace, shadow_if_needed};
use super::object::{Objects, Page};
use super::{PAGE_SIZE, trunc_page};
use std::sync::Arc;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Exec,
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is mapped there (`KERN_INVALID_ADDRESS`).
    NotMapped,
    /// The mapping forbids it (`KERN_PROTECTION_FAILURE`).
    Protection,
    /// No page can be had (`KERN_RESOURCE_SHORTAGE`).
    NoMemory,
}

/// A failed access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first address that could not be accessed.
    pub va: u64,
    /// What was tried.
    pub access: Access,
    /// Why it failed.
    pub kind: FaultKind,
}

/// An address space together with the objects behind it.
#[derive(Debug)]
pub struct View<'a> {
    /// The address space.
    pub space: &'a mut Vmspace,
    /// The objects of its kernel.
    pub objects: &'a mut Objects,
}

/// What a page reads as that no object holds.
static ZEROS: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];

impl View<'_> {
    /// Reads `out.len()` bytes at `va`.
    ///
    /// # Errors
    /// The fault at the first byte that cannot be read; `out` is then partly filled.
    pub fn read(&self, va: u64, out: &mut [u8]) -> Result<(), Fault> {
        let mut va = va;
        let mut rest = out;
        while !rest.is_empty() {
            let offset = (va % PAGE_SIZE) as usize;
            let here = rest.len().min(PAGE_SIZE as usize - offset);
            let (now, later) = rest.split_at_mut(here);
            let page = self.page(va, Access::Read)?.map_or(&ZEROS, |page| page);
            now.copy_from_slice(&page[offset..offset + here]);
            va = va.wrapping_add(here as u64);
            rest = later;
        }
        Ok(())
    }

    /// Writes `data` at `va`.
    ///
    /// # Errors
    /// The fault at the first byte that cannot be written; what is before it has been written.
    pub fn write(&mut self, va: u64, data: &[u8]) -> Result<(), Fault> {
        let mut va = va;
        let mut rest = data;
        while !rest.is_empty() {
            let offset = (va % PAGE_SIZE) as usize;
            let here = rest.len().min(PAGE_SIZE as usize - offset);
            let (now, later) = rest.split_at(here);
            let page = self.page_mut(va)?;
            page[offset..offset + here].copy_from_slice(now);
            va = va.wrapping_add(here as u64);
            rest = later;
        }
        Ok(())
    }

    /// The contents of the executable page at `va`, for the interpreter to keep as long as the
    /// page cannot be written; and whether it cannot.
    ///
    /// # Errors
    /// The fault.
    pub fn fetch(&self, va: u64) -> Result<(Page, bool), Fault> {
        let entry = self.entry(va, Access::Exec)?;
        let stable = !entry.prot.write && entry.inherit != super::Inherit::Share;
        let page = self.page(va, Access::Exec)?;
        Ok((page.cloned().unwrap_or_else(|| Arc::new(ZEROS)), stable))
    }

    /// Whether `len` bytes at `va` could be accessed so.
    pub fn check(&self, va: u64, len: u64, access: Access) -> Result<(), Fault> {
        let end = va.saturating_add(len);
        let mut at = va;
        while at < end {
            at = self.entry(at, access)?.end;
        }
        Ok(())
    }

    fn entry(&self, va: u64, access: Access) -> Result<&MapEntry, Fault> {
        let fault = |kind| Fault { va, access, kind };
        let entry = self.space.lookup(va);
        let entry = entry.ok_or_else(|| fault(FaultKind::NotMapped))?;
        let allowed = match access {
            Access::Read => entry.prot.read,
            Access::Write => entry.prot.write,
            Access::Exec => entry.prot.exec,
        };
        if allowed {
            Ok(entry)
        } else {
            Err(fault(FaultKind::Protection))
        }
    }

    fn page(&self, va: u64, access: Access) -> Result<Option<&Page>, Fault> {
        let entry = self.entry(va, access)?;
        Ok(self.objects.lookup(entry.object, page_index(entry, va)))
    }

    fn page_mut(&mut self, va: u64) -> Result<&mut [u8; PAGE_SIZE as usize], Fault> {
        self.entry(va, Access::Write)?;
        let fault = |kind| Fault {
            va,
            access: Access::Write,
            kind,
        };
        let entry = self.space.lookup_mut(va);
        let entry = entry.ok_or_else(|| fault(FaultKind::NotMapped))?;
        shadow_if_needed(self.objects, entry);
        let index = page_index(entry, va);
        let page = self.objects.page_mut(entry.object, index);
        page.ok_or_else(|| fault(FaultKind::NoMemory))
    }
}

fn page_index(entry: &MapEntry, va: u64) -> u64 {
    entry.pindex + (trunc_page(va) - entry.start) / PAGE_SIZE
}
