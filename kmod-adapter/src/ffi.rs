// SPDX-License-Identifier: BSD-2-Clause
//! The C side's functions, as `c/vps_shim.h` declares them.

use core::ffi::c_int;

/// `VPS_TRACKER_WORDS`: room for a reader's `struct rm_priotracker`; the C side asserts it.
pub(crate) const TRACKER_WORDS: usize = 12;

/// A lock of the C side, reached by pointer only.
#[repr(C)]
pub(crate) struct VpsLock {
    opaque: [u8; 0],
}

unsafe extern "C" {
    pub(crate) fn vps_k_malloc(size: usize, align: usize) -> *mut u8;
    pub(crate) fn vps_k_free(ptr: *mut u8);

    pub(crate) fn vps_k_lock_create(rank: c_int) -> *mut VpsLock;
    pub(crate) fn vps_k_lock_destroy(lk: *mut VpsLock);
    pub(crate) fn vps_k_lock_read(lk: *mut VpsLock, tracker: *mut [u64; TRACKER_WORDS]);
    pub(crate) fn vps_k_lock_read_done(lk: *mut VpsLock, tracker: *mut [u64; TRACKER_WORDS]);
    pub(crate) fn vps_k_lock_write(lk: *mut VpsLock);
    pub(crate) fn vps_k_lock_write_done(lk: *mut VpsLock);
}
