// SPDX-License-Identifier: BSD-2-Clause
//! Memory: address spaces, mappings, objects. Pages follow their object in frames of their own.

use crate::codes;
use crate::image::{PAGE_SIZE, VmObjectRef};
use crate::record;

codes! {
    /// The type of a memory object (`objtype_t`, `vm.h`).
    pub enum ObjType {
        /// `OBJT_SWAP` (`OBJT_DEFAULT` before 14): anonymous memory.
        Anon = 1,
        /// `OBJT_PHYS`: memory that is never paged out, such as the shared page.
        Phys = 2,
    }
}

record! {
    /// A memory object (`struct vm_object`). A page that is neither in it nor in an object it
    /// shadows reads as zeros.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VmObject, check = VmObject::offset_with_backing {
        /// `type`.
        0 => ty: ObjType,
        /// `size`, pages.
        1 => size: u64,
        /// `backing_object`: the object that it shadows, which came before.
        2 => backing_object: Option<VmObjectRef>,
        /// `backing_object_offset`, bytes.
        3 => backing_object_offset: u64,
        /// `flags`: `OBJ_ONEMAPPING` and `OBJ_ANON`.
        4 => flags: u16,
        /// `charge`: bytes of swap reserved for it.
        5 => charge: u64,
    }
}

impl VmObject {
    fn offset_with_backing(&self) -> Result<(), u64> {
        if self.size.checked_mul(PAGE_SIZE as u64).is_none() {
            return Err(Self::size);
        }
        let aligned = self.backing_object_offset.is_multiple_of(PAGE_SIZE as u64);
        if !aligned || (self.backing_object.is_none() && self.backing_object_offset != 0) {
            return Err(Self::backing_object_offset);
        }
        Ok(())
    }
}

record! {
    /// An address space (`struct vmspace` with its `vm_map`). Its mappings follow it, by increasing
    /// address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Vmspace, check = Vmspace::ordered {
        /// `vm_map.header.end`: the lowest address.
        0 => vm_map_min: u64,
        /// `vm_map.header.start`: the address after the highest.
        1 => vm_map_max: u64,
        /// `vm_tsize`: pages of text.
        2 => vm_tsize: u64,
        /// `vm_dsize`: pages of data.
        3 => vm_dsize: u64,
        /// `vm_ssize`: pages of stack.
        4 => vm_ssize: u64,
        /// `vm_taddr`: the address of the text.
        5 => vm_taddr: u64,
        /// `vm_daddr`: the address of the data, below the break.
        6 => vm_daddr: u64,
        /// `vm_maxsaddr`: the lowest address that the stack may grow to.
        7 => vm_maxsaddr: u64,
        /// `vm_stacktop`: the address after the stack.
        8 => vm_stacktop: u64,
        /// `vm_map.flags`: `MAP_WIREFUTURE`, `MAP_ASLR` and the like.
        9 => vm_map_flags: u32,
        /// `vm_shp_base`: the address of the shared page; 0 for none.
        10 => vm_shp_base: u64,
    }
}

impl Vmspace {
    fn ordered(&self) -> Result<(), u64> {
        if self.vm_map_min >= self.vm_map_max {
            return Err(Self::vm_map_max);
        }
        Ok(())
    }
}

codes! {
    /// What a fork does to a mapping (`vm_inherit_t`, `vm.h`), numbered as there.
    pub enum Inherit {
        /// `VM_INHERIT_SHARE`.
        Share = 0,
        /// `VM_INHERIT_COPY`.
        Copy = 1,
        /// `VM_INHERIT_NONE`.
        None = 2,
        /// `VM_INHERIT_ZERO`.
        Zero = 3,
    }
}

/// `VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXECUTE`.
const PROT_ALL: u8 = 7;

record! {
    /// A mapping (`struct vm_map_entry`) of the address space before it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VmMapEntry, check = VmMapEntry::plausible {
        /// `start`.
        0 => start: u64,
        /// `end`: the address after it.
        1 => end: u64,
        /// `object.vm_object`: what is mapped; absent for memory never touched, and for a guard.
        2 => object: Option<VmObjectRef>,
        /// `offset` into the object, bytes.
        3 => offset: u64,
        /// `protection`, bits `VM_PROT_*`.
        4 => protection: u8,
        /// `max_protection`, likewise.
        5 => max_protection: u8,
        /// `inheritance`.
        6 => inheritance: Inherit,
        /// `eflags`, bits `MAP_ENTRY_*`: `COW`, `NEEDS_COPY`, `GUARD`, `STACK_GAP`, `GROWS_DOWN`,
        /// `NOSYNC`, `NOCOREDUMP`, `USER_WIRED`.
        7 => eflags: u32,
        /// `wired_count` by the user: 0 or 1.
        8 => user_wired: bool,
    }
}

impl VmMapEntry {
    fn plausible(&self) -> Result<(), u64> {
        let page = PAGE_SIZE as u64;
        if !self.start.is_multiple_of(page) {
            return Err(Self::start);
        }
        if !self.end.is_multiple_of(page) || self.end <= self.start {
            return Err(Self::end);
        }
        let length = self.end.wrapping_sub(self.start);
        if !self.offset.is_multiple_of(page) || self.offset.checked_add(length).is_none() {
            return Err(Self::offset);
        }
        if self.protection & !self.max_protection != 0 {
            return Err(Self::protection);
        }
        if self.max_protection & !PROT_ALL != 0 {
            return Err(Self::max_protection);
        }
        Ok(())
    }
}
