// SPDX-License-Identifier: BSD-2-Clause
//! Anonymous memory objects and their shadow chains (`sys/vm/vm_object.c`, 15.0).

use super::PAGE_SIZE;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest chain of shadow objects.
///
/// A chain grows by one whenever a process writes after a fork whose child still lives; one that
/// would pass the bound is flattened, which shares page contents and so costs pointers only.
pub const CHAIN_MAX: usize = 32;

/// The contents of a page. Shared until written.
pub type Page = Arc<[u8; PAGE_SIZE as usize]>;

/// The name of an object within one kernel; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjId(pub u64);

/// A page in an object.
#[derive(Clone, Debug)]
pub struct PageSlot {
    /// What it holds.
    pub data: Page,
    /// Written since the last [`Objects::clear_dirty`]; a new page is dirty.
    pub dirty: bool,
}

/// An anonymous memory object. C: `struct vm_object` of type `OBJT_SWAP`.
#[derive(Clone, Debug, Default)]
pub struct VmObject {
    /// Entries and shadow objects that name this one.
    pub(crate) refs: u32,
    /// The object this one shadows, with the same page numbers. C: `backing_object`.
    pub(crate) backing: Option<ObjId>,
    /// Resident pages by page number; one that is in no object of the chain reads as zeros.
    pub(crate) pages: BTreeMap<u64, PageSlot>,
}

impl VmObject {
    /// The object it shadows.
    pub fn backing(&self) -> Option<ObjId> {
        self.backing
    }

    /// Its own pages by page number, those of the shadowed object not among them.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &PageSlot)> {
        self.pages.iter().map(|(&index, slot)| (index, slot))
    }
}

/// All objects of one kernel.
#[derive(Clone, Debug)]
pub struct Objects {
    slots: BTreeMap<ObjId, VmObject>,
    next: u64,
    resident: usize,
    resident_max: usize,
}

impl Objects {
    /// No objects, and room for `resident_max` pages in all of them together.
    pub fn new(resident_max: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            next: 1,
            resident: 0,
            resident_max,
        }
    }

    /// The object with this name.
    pub fn get(&self, id: ObjId) -> Option<&VmObject> {
        self.slots.get(&id)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Pages in all objects together.
    pub fn resident(&self) -> usize {
        self.resident
    }

    /// A new empty object with one reference, shadowing `backing`, whose reference it takes over.
    pub fn create(&mut self, backing: Option<ObjId>) -> ObjId {
        let id = ObjId(self.next);
        self.next += 1;
        let object = VmObject {
            refs: 1,
            backing,
            pages: BTreeMap::new(),
        };
        self.slots.insert(id, object);
        id
    }

    /// One more reference. C: `vm_object_reference`.
    pub fn hold(&mut self, id: ObjId) {
        if let Some(object) = self.slots.get_mut(&id) {
            object.refs += 1;
        }
    }

    /// One reference less; the last one frees the object and what only it held. C:
    /// `vm_object_deallocate`.
    pub fn rele(&mut self, id: ObjId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(object) = self.slots.get_mut(&id) else {
                return;
            };
            object.refs = object.refs.saturating_sub(1);
            if object.refs > 0 {
                return;
            }
            next = object.backing;
            self.resident -= object.pages.len();
            self.slots.remove(&id);
        }
    }

    /// The page as seen through the chain that begins at `id`; `None` reads as zeros.
    pub fn lookup(&self, id: ObjId, index: u64) -> Option<&Page> {
        let mut at = self.slots.get(&id);
        while let Some(object) = at {
            if let Some(slot) = object.pages.get(&index) {
                return Some(&slot.data);
            }
            at = object.backing.and_then(|backing| self.slots.get(&backing));
        }
        None
    }

    /// The page to write to, in the object `id` itself: copied there from further back in the
    /// chain, or made. `None` where memory is full.
    pub fn page_mut(&mut self, id: ObjId, index: u64) -> Option<&mut [u8; PAGE_SIZE as usize]> {
        let here = self.slots.get(&id)?.pages.contains_key(&index);
        if !here {
            let data = match self.lookup(id, index) {
                Some(page) => page.clone(),
                None => Arc::new([0; PAGE_SIZE as usize]),
            };
            self.put(id, index, data)?;
        }
        let slot = self.slots.get_mut(&id)?.pages.get_mut(&index)?;
        slot.dirty = true;
        Some(Arc::make_mut(&mut slot.data))
    }

    /// Puts a page into the object, dirty; for page-in of a program's text and for restore.
    /// `None` where memory is full or there is no such object.
    pub fn put(&mut self, id: ObjId, index: u64, data: Page) -> Option<()> {
        if self.resident >= self.resident_max {
            return None;
        }
        let object = self.slots.get_mut(&id)?;
        let slot = PageSlot { data, dirty: true };
        if object.pages.insert(index, slot).is_none() {
            self.resident += 1;
        }
        Some(())
    }

    /// Drops pages `first..end` of an object that nobody else names (`vm_object_page_remove`).
    pub fn drop_pages(&mut self, id: ObjId, first: u64, end: u64) {
        let Some(object) = self.slots.get_mut(&id) else {
            return;
        };
        if object.refs != 1 {
            return;
        }
        let gone: Vec<u64> = object.pages.range(first..end).map(|(&i, _)| i).collect();
        for index in &gone {
            object.pages.remove(index);
        }
        self.resident -= gone.len();
    }

    /// Whether the object has exactly one reference.
    pub fn is_sole(&self, id: ObjId) -> bool {
        self.slots.get(&id).is_some_and(|object| object.refs == 1)
    }

    /// How many objects the chain that begins at `id` has.
    pub fn chain_len(&self, id: ObjId) -> usize {
        let mut len = 0;
        let mut at = self.slots.get(&id);
        while let Some(object) = at {
            len += 1;
            at = object.backing.and_then(|backing| self.slots.get(&backing));
        }
        len
    }

    /// Merges into `id` what only it shadows (`vm_object_collapse`), and flattens the chain where
    /// it would pass [`CHAIN_MAX`].
    pub fn collapse(&mut self, id: ObjId) {
        while let Some(backing) = self.slots.get(&id).and_then(|object| object.backing) {
            if !self.is_sole(backing) {
                break;
            }
            let Some(old) = self.slots.remove(&backing) else {
                break;
            };
            self.resident -= old.pages.len();
            self.adopt(id, old.pages);
            if let Some(object) = self.slots.get_mut(&id) {
                object.backing = old.backing;
            }
        }
        if self.chain_len(id) >= CHAIN_MAX {
            self.flatten(id);
        }
    }

    /// Clears the dirty mark of every page of the object.
    pub fn clear_dirty(&mut self, id: ObjId) {
        if let Some(object) = self.slots.get_mut(&id) {
            for slot in object.pages.values_mut() {
                slot.dirty = false;
            }
        }
    }

    /// The numbers of the object's own pages written since [`Objects::clear_dirty`].
    pub fn dirty_pages(&self, id: ObjId) -> Vec<u64> {
        self.slots.get(&id).map_or_else(Vec::new, |object| {
            let dirty = object.pages.iter().filter(|(_, slot)| slot.dirty);
            dirty.map(|(&index, _)| index).collect()
        })
    }

    /// Takes over the pages that `id` has not itself.
    fn adopt(&mut self, id: ObjId, pages: BTreeMap<u64, PageSlot>) {
        let Some(object) = self.slots.get_mut(&id) else {
            return;
        };
        for (index, slot) in pages {
            if let std::collections::btree_map::Entry::Vacant(place) = object.pages.entry(index) {
                place.insert(slot);
                self.resident += 1;
            }
        }
    }

    fn flatten(&mut self, id: ObjId) {
        let first = self.slots.get(&id).and_then(|object| object.backing);
        let mut at = first;
        while let Some(backing) = at {
            let Some(object) = self.slots.get(&backing) else {
                break;
            };
            let pages = object.pages.clone();
            at = object.backing;
            self.adopt(id, pages);
        }
        if let Some(object) = self.slots.get_mut(&id) {
            object.backing = None;
        }
        if let Some(backing) = first {
            self.rele(backing);
        }
    }

    /// Whether I3 and I5 hold, and no object names one that is gone; for tests and fuzzing.
    pub fn invariants(&self) -> bool {
        let resident: usize = self.slots.values().map(|o| o.pages.len()).sum();
        resident == self.resident
            && self.slots.iter().all(|(&id, object)| {
                object.refs > 0
                    && object.backing.is_none_or(|b| self.slots.contains_key(&b))
                    && self.chain_len(id) <= CHAIN_MAX + 1
            })
    }
}
