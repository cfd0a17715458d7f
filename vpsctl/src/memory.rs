// SPDX-License-Identifier: BSD-2-Clause
//! Memory: a fixed arena that is never given back, and the four functions that compilers call.
//!
//! A run handles one request and ends, so freeing would be work for nothing.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 1 << 20;

/// Memory to hand out from, upwards.
struct Arena {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: `used` gives every byte to one caller only.
unsafe impl Sync for Arena {}

#[cfg_attr(target_os = "none", global_allocator)]
#[cfg_attr(not(target_os = "none"), allow(dead_code))]
static ARENA: Arena = Arena {
    bytes: UnsafeCell::new([0; SIZE]),
    used: AtomicUsize::new(0),
};

// SAFETY: what `alloc` gives lies inside the arena, is aligned, and is given once.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.bytes.get().cast::<u8>();
        let mut from = 0;
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let start = (base as usize).checked_add(used)?;
                from = start.checked_next_multiple_of(layout.align())? - base as usize;
                from.checked_add(layout.size()).filter(|end| *end <= SIZE)
            });
        match taken {
            // SAFETY: `from` plus the size was found to lie in the arena.
            Ok(_) => unsafe { base.add(from) },
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
