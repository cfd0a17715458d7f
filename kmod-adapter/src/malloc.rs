// SPDX-License-Identifier: BSD-2-Clause
//! malloc(9) as the module's allocator.

use core::alloc::{GlobalAlloc, Layout};

unsafe extern "C" {
    fn vps_k_malloc(size: usize, align: usize) -> *mut u8;
    fn vps_k_free(ptr: *mut u8);
}

/// The kernel's allocator, malloc type `M_VPS`. Never sleeps.
struct KernelMalloc;

#[global_allocator]
static MALLOC: KernelMalloc = KernelMalloc;

// SAFETY: `vps_k_malloc` gives memory of at least `size` bytes, aligned to `align`, or null; it
// belongs to the caller until `vps_k_free` gets the same pointer. Neither unwinds.
unsafe impl GlobalAlloc for KernelMalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power of two are good arguments.
        unsafe { vps_k_malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: the caller had `ptr` from `alloc` of this allocator.
        unsafe { vps_k_free(ptr) }
    }
}
