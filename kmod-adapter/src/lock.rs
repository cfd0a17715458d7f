// SPDX-License-Identifier: BSD-2-Clause
//! The core's locks over sx(9) and rmlock(9), which the C side makes and owns.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use vpscore::collections::NoMemory;
use vpscore::kpi::{Lock, LockFamily, LockRank};

use crate::ffi;

/// The kernel's locks.
pub(crate) enum KernelLocks {}

impl LockFamily for KernelLocks {
    type Lock<T: Send + Sync> = KernelLock<T>;
}

/// A value and the lock of the C side that guards it.
///
/// # Invariants
/// `raw` is a lock made by `vps_k_lock_create` and destroyed by this value's drop alone; `value`
/// is reached with it held only.
pub(crate) struct KernelLock<T> {
    raw: NonNull<ffi::VpsLock>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock is a kernel object usable from any thread, and owns the value.
unsafe impl<T: Send> Send for KernelLock<T> {}
// SAFETY: readers get `&T` (hence `Sync`), one writer at a time gets `&mut T` (hence `Send`).
unsafe impl<T: Send + Sync> Sync for KernelLock<T> {}

impl<T> Lock<T> for KernelLock<T> {
    fn create(rank: LockRank, value: T) -> Result<Self, NoMemory> {
        let rank = match rank {
            LockRank::Control => 0,
            LockRank::State => 1,
        };
        // SAFETY: both ranks are known to the C side.
        let raw = NonNull::new(unsafe { ffi::vps_k_lock_create(rank) }).ok_or(NoMemory)?;
        Ok(Self {
            raw,
            value: UnsafeCell::new(value),
        })
    }

    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let mut tracker = [0; ffi::TRACKER_WORDS];
        let tracker = &raw mut tracker;
        // SAFETY: `raw` is live (invariant); the tracker stays in place until the lock is let go.
        unsafe { ffi::vps_k_lock_read(self.raw.as_ptr(), tracker) };
        // SAFETY: held shared, and a writer would hold it exclusively.
        let result = f(unsafe { &*self.value.get() });
        // SAFETY: taken above by this thread with this tracker.
        unsafe { ffi::vps_k_lock_read_done(self.raw.as_ptr(), tracker) };
        result
    }

    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: `raw` is live (invariant).
        unsafe { ffi::vps_k_lock_write(self.raw.as_ptr()) };
        // SAFETY: held exclusively.
        let result = f(unsafe { &mut *self.value.get() });
        // SAFETY: taken above by this thread.
        unsafe { ffi::vps_k_lock_write_done(self.raw.as_ptr()) };
        result
    }
}

impl<T> Drop for KernelLock<T> {
    fn drop(&mut self) {
        // SAFETY: `raw` is live, and nobody else can reach it: `self` is owned.
        unsafe { ffi::vps_k_lock_destroy(self.raw.as_ptr()) };
    }
}
