// SPDX-License-Identifier: BSD-2-Clause
//! Virtual memory: address spaces, anonymous objects, copy-on-write by shadow objects.
//!
//! A fork must cost the entries of a map, not its pages; a page must be copied at the first write
//! only, and be stored once as long as nobody has written. So an entry names an [`VmObject`], and
//! where two address spaces hold the same one *for copy*, the first to write puts a shadow object
//! in front of it, which holds the pages written since (`vm_object_shadow`, `sys/vm/vm_object.c`,
//! 15.0).
//!
//! # Invariants
//! * I1: entries of a map do not overlap, are page aligned and not empty.
//! * I2: an object's reference count is the number of entries and shadow objects that name it.
//! * I3: a chain of shadows is at most [`CHAIN_MAX`] long.
//! * I4: a page in an object whose entry still needs its copy is not written.
//! * I5: the number of resident pages is the sum over the objects.
//!
//! # Failure modes
//! Every operation checks before it changes: on an error the map is as before.
//!
//! Shadow objects number their pages as the object behind them does
//! (`backing_object_offset` is always 0), which costs nothing where page tables are maps.

mod map;
mod object;
mod view;

pub use map::{Inherit, MapEntry, Prot, VmError, Vmspace};
pub use object::{CHAIN_MAX, ObjId, Objects, Page, PageSlot, VmObject};
pub use view::{Access, Fault, FaultKind, View};

/// Bytes in a page (`PAGE_SIZE`, amd64).
pub const PAGE_SIZE: u64 = 4096;

/// The lowest address a map may hold: the first page always faults (`VM_MIN_ADDRESS` with
/// `security.bsd.map_at_zero=0`).
pub const VM_MIN_ADDRESS: u64 = PAGE_SIZE;

/// One past the highest user address (`VM_MAXUSER_ADDRESS`, amd64 with 4-level paging).
pub const VM_MAXUSER_ADDRESS: u64 = 0x8000_0000_0000;

/// The address rounded down to its page.
pub const fn trunc_page(va: u64) -> u64 {
    va & !(PAGE_SIZE - 1)
}

/// The address rounded up to a page, or `None` where that overflows.
pub const fn round_page(va: u64) -> Option<u64> {
    match va.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(trunc_page(sum)),
        None => None,
    }
}

#[cfg(test)]
mod tests;
