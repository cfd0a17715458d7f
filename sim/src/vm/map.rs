// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces and their entries (`sys/vm/vm_map.c`, 15.0).

use super::object::{ObjId, Objects};
use super::{PAGE_SIZE, VM_MAXUSER_ADDRESS, VM_MIN_ADDRESS, round_page};
use crate::errno::Errno;
use std::collections::BTreeMap;

/// What may be done with memory (`PROT_*`, `sys/mman.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prot {
    /// `PROT_READ`.
    pub read: bool,
    /// `PROT_WRITE`.
    pub write: bool,
    /// `PROT_EXEC`.
    pub exec: bool,
}

impl Prot {
    /// Read and write.
    pub const RW: Self = Self::from_bits(3);
    /// Read and execute.
    pub const RX: Self = Self::from_bits(5);

    /// From the `PROT_*` bits; others are dropped.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            read: bits & 1 != 0,
            write: bits & 2 != 0,
            exec: bits & 4 != 0,
        }
    }

    /// As `PROT_*` bits.
    pub const fn bits(self) -> u64 {
        self.read as u64 | (self.write as u64) << 1 | (self.exec as u64) << 2
    }
}

/// What a fork does with an entry (`minherit(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// The child shares the memory (`INHERIT_SHARE`).
    Share,
    /// The child gets a copy, made on write (`INHERIT_COPY`).
    Copy,
    /// The child does not get it (`INHERIT_NONE`).
    None,
}

/// Why an operation on a map was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmError {
    /// The range is empty, not aligned, or leaves the user's address range.
    BadRange {
        /// First address asked for.
        start: u64,
        /// Bytes asked for.
        len: u64,
    },
    /// No hole is large enough, or the range is taken.
    NoSpace {
        /// Bytes asked for.
        len: u64,
    },
    /// The map would pass its limit (`RLIMIT_VMEM`).
    Limit {
        /// Bytes the map may hold.
        max: u64,
    },
    /// Part of the range is not mapped.
    NotMapped {
        /// First address asked for.
        start: u64,
    },
}

impl VmError {
    /// The error that a system call reports (mmap(2), mprotect(2)).
    pub fn errno(self) -> Errno {
        match self {
            Self::BadRange { .. } => Errno::EINVAL,
            Self::NoSpace { .. } | Self::Limit { .. } | Self::NotMapped { .. } => Errno::ENOMEM,
        }
    }
}

/// One range of addresses with one object behind it. C: `struct vm_map_entry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// The object that holds the pages.
    pub object: ObjId,
    /// Page number in the object of the page at `start`. C: `offset`.
    pub pindex: u64,
    /// What the user may do.
    pub prot: Prot,
    /// What a fork does.
    pub inherit: Inherit,
    /// The object is to be shadowed before the first write. C: `MAP_ENTRY_NEEDS_COPY`.
    pub needs_copy: bool,
}

/// An address space. C: `struct vmspace` with its `vm_map`.
#[derive(Clone, Debug)]
pub struct Vmspace {
    pub(crate) entries: BTreeMap<u64, MapEntry>,
    /// Bytes mapped.
    pub(crate) size: u64,
    /// Bytes that may be mapped.
    pub(crate) size_max: u64,
    /// Start of the data segment that `break(2)` moves the end of. C: `vm_daddr`.
    pub(crate) daddr: u64,
    /// Bytes in that segment, page aligned. C: `vm_dsize`.
    pub(crate) dsize: u64,
    /// Processes that share this address space. C: `vm_refcnt`.
    pub(crate) refs: u32,
}

/// Where mmap looks first for a hole: above the largest program.
const MMAP_BASE: u64 = 0x8_0000_0000;

impl Vmspace {
    /// An empty address space that may hold `size_max` bytes, with one reference.
    pub fn new(size_max: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            size: 0,
            size_max,
            daddr: VM_MIN_ADDRESS,
            dsize: 0,
            refs: 1,
        }
    }

    /// The entries in order of address.
    pub fn entries(&self) -> impl Iterator<Item = &MapEntry> {
        self.entries.values()
    }

    /// Bytes mapped.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The entry that holds this address.
    pub fn lookup(&self, va: u64) -> Option<&MapEntry> {
        let (_, entry) = self.entries.range(..=va).next_back()?;
        (va < entry.end).then_some(entry)
    }

    pub(super) fn lookup_mut(&mut self, va: u64) -> Option<&mut MapEntry> {
        let (_, entry) = self.entries.range_mut(..=va).next_back()?;
        (va < entry.end).then_some(entry)
    }

    /// Maps `len` bytes (rounded up) of fresh zeros at `start`, which must be free. Returns the
    /// object behind them.
    ///
    /// # Errors
    /// Bad range, range taken, limit reached.
    pub fn map_at(
        &mut self,
        objects: &mut Objects,
        start: u64,
        len: u64,
        prot: Prot,
        inherit: Inherit,
    ) -> Result<ObjId, VmError> {
        let end = check_range(start, len)?;
        if self.entries_in(start, end).next().is_some() {
            return Err(VmError::NoSpace { len });
        }
        self.charge(end - start)?;
        let object = objects.create(None);
        self.insert(MapEntry {
            start,
            end,
            object,
            pindex: 0,
            prot,
            inherit,
            needs_copy: false,
        });
        Ok(object)
    }

    /// Puts an entry with an object that exists already; takes over one reference. For restore.
    ///
    /// # Errors
    /// As [`Vmspace::map_at`]; the reference is still the caller's then.
    pub fn map_object(&mut self, entry: MapEntry) -> Result<(), VmError> {
        let len = entry.end.saturating_sub(entry.start);
        let end = check_range(entry.start, len)?;
        if end != entry.end || entry.pindex.checked_add(len / PAGE_SIZE).is_none() {
            return Err(VmError::BadRange {
                start: entry.start,
                len,
            });
        }
        if self.entries_in(entry.start, end).next().is_some() {
            return Err(VmError::NoSpace { len });
        }
        self.charge(len)?;
        self.insert(entry);
        Ok(())
    }

    /// A free range of `len` bytes at or above `hint` (`vm_map_findspace`).
    ///
    /// # Errors
    /// Bad length, no hole.
    pub fn find_space(&self, hint: u64, len: u64) -> Result<u64, VmError> {
        let mut start = super::trunc_page(hint.max(VM_MIN_ADDRESS));
        if hint == 0 {
            start = MMAP_BASE;
        }
        let first = self.lookup(start).map_or(start, |entry| entry.start);
        for entry in self.entries.range(first..).map(|(_, entry)| entry) {
            let end = check_range(start, len)?;
            if end <= entry.start {
                return Ok(start);
            }
            start = start.max(entry.end);
        }
        match check_range(start, len) {
            Ok(_) => Ok(start),
            Err(_) => Err(VmError::NoSpace { len }),
        }
    }

    /// Unmaps the range; holes in it are no error (munmap(2)).
    ///
    /// # Errors
    /// Bad range.
    pub fn unmap(&mut self, objects: &mut Objects, start: u64, len: u64) -> Result<(), VmError> {
        let end = check_range(start, len)?;
        self.clip(objects, start, end);
        let gone: Vec<u64> = self.entries.range(start..end).map(|(&s, _)| s).collect();
        for at in gone {
            if let Some(entry) = self.entries.remove(&at) {
                let pages = (entry.end - entry.start) / PAGE_SIZE;
                objects.drop_pages(entry.object, entry.pindex, entry.pindex + pages);
                objects.rele(entry.object);
                self.size -= entry.end - entry.start;
            }
        }
        Ok(())
    }

    /// Changes protection of a range that is mapped throughout (mprotect(2)).
    ///
    /// # Errors
    /// Bad range, hole in it.
    pub fn protect(
        &mut self,
        objects: &mut Objects,
        start: u64,
        len: u64,
        prot: Prot,
    ) -> Result<(), VmError> {
        let end = self.check_mapped(start, len)?;
        self.clip(objects, start, end);
        for entry in self.entries.range_mut(start..end).map(|(_, e)| e) {
            entry.prot = prot;
        }
        Ok(())
    }

    /// Changes what a fork does with a range that is mapped throughout (minherit(2)).
    ///
    /// # Errors
    /// Bad range, hole in it.
    pub fn set_inherit(
        &mut self,
        objects: &mut Objects,
        start: u64,
        len: u64,
        inherit: Inherit,
    ) -> Result<(), VmError> {
        let end = self.check_mapped(start, len)?;
        self.clip(objects, start, end);
        for entry in self.entries.range_mut(start..end).map(|(_, e)| e) {
            entry.inherit = inherit;
        }
        Ok(())
    }

    /// Moves the end of the data segment (`sys_break`, `sys/vm/vm_unix.c`).
    ///
    /// # Errors
    /// Bad range, no room, limit.
    pub fn set_break(&mut self, objects: &mut Objects, to: u64) -> Result<(), VmError> {
        let bad = VmError::BadRange { start: to, len: 0 };
        let end = round_page(to).ok_or(bad)?;
        let new = end.checked_sub(self.daddr).ok_or(bad)?;
        let old_end = self.daddr + self.dsize;
        if new > self.dsize {
            self.map_at(objects, old_end, new - self.dsize, Prot::RW, Inherit::Copy)?;
        } else if new < self.dsize {
            self.unmap(objects, end, self.dsize - new)?;
        }
        self.dsize = new;
        Ok(())
    }

    /// The address space of a child (`vmspace_fork`).
    pub fn fork(&mut self, objects: &mut Objects) -> Self {
        let mut child = Self {
            entries: BTreeMap::new(),
            refs: 1,
            size: 0,
            ..*self
        };
        for entry in self.entries.values_mut() {
            match entry.inherit {
                Inherit::None => continue,
                Inherit::Share => shadow_if_needed(objects, entry),
                Inherit::Copy => {
                    objects.collapse(entry.object);
                    entry.needs_copy = true;
                }
            }
            objects.hold(entry.object);
            child.size += entry.end - entry.start;
            child.insert(entry.clone());
        }
        child
    }

    /// Gives up every entry.
    pub fn free(&mut self, objects: &mut Objects) {
        for entry in std::mem::take(&mut self.entries).into_values() {
            objects.rele(entry.object);
        }
        self.size = 0;
    }

    /// Whether I1 holds and the size is right; for tests and fuzzing.
    pub fn invariants(&self) -> bool {
        let mut last = 0;
        let mut size = 0;
        self.entries.iter().all(|(&start, entry)| {
            let good = start == entry.start
                && last <= start
                && start < entry.end
                && start.is_multiple_of(PAGE_SIZE)
                && entry.end.is_multiple_of(PAGE_SIZE);
            last = entry.end;
            size += entry.end - start;
            good
        }) && size == self.size
    }

    fn insert(&mut self, entry: MapEntry) {
        self.entries.insert(entry.start, entry);
    }

    fn charge(&mut self, len: u64) -> Result<(), VmError> {
        let max = self.size_max;
        let size = self.size.checked_add(len).filter(|&size| size <= max);
        self.size = size.ok_or(VmError::Limit { max })?;
        Ok(())
    }

    fn entries_in(&self, start: u64, end: u64) -> impl Iterator<Item = &MapEntry> {
        let first = self.lookup(start).map_or(start, |entry| entry.start);
        self.entries.range(first..end).map(|(_, entry)| entry)
    }

    fn check_mapped(&self, start: u64, len: u64) -> Result<u64, VmError> {
        let end = check_range(start, len)?;
        let mut at = start;
        for entry in self.entries_in(start, end) {
            if entry.start > at {
                break;
            }
            at = entry.end;
        }
        if at < end {
            return Err(VmError::NotMapped { start: at });
        }
        Ok(end)
    }

    /// Splits entries so that none crosses `start` or `end` (`vm_map_clip_start`, `_end`).
    fn clip(&mut self, objects: &mut Objects, start: u64, end: u64) {
        for at in [start, end] {
            let Some(entry) = self.lookup_mut(at) else {
                continue;
            };
            if entry.start == at {
                continue;
            }
            let mut upper = entry.clone();
            upper.start = at;
            upper.pindex += (at - entry.start) / PAGE_SIZE;
            entry.end = at;
            objects.hold(upper.object);
            self.insert(upper);
        }
    }
}

/// Puts a shadow object before the entry's, where the entry needs its copy and somebody else
/// names the object too.
pub(super) fn shadow_if_needed(objects: &mut Objects, entry: &mut MapEntry) {
    if !entry.needs_copy {
        return;
    }
    entry.needs_copy = false;
    if !objects.is_sole(entry.object) {
        entry.object = objects.create(Some(entry.object));
        objects.collapse(entry.object);
    }
}

/// The end of the range, rounded up to a page.
fn check_range(start: u64, len: u64) -> Result<u64, VmError> {
    let bad = VmError::BadRange { start, len };
    let end = start.checked_add(len).and_then(round_page).ok_or(bad)?;
    let good = len > 0
        && start.is_multiple_of(PAGE_SIZE)
        && start >= VM_MIN_ADDRESS
        && end <= VM_MAXUSER_ADDRESS;
    if good { Ok(end) } else { Err(bad) }
}
