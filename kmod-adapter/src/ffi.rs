// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's functions, as `include/vpscore.h` declares them.
//!
//! In the module the C files define them; hosted, [`crate::host`] does, over an emulated kernel. All
//! are safe to call with any numbers; the duties are about pointers, and each is written where the
//! call is.

use core::ffi::{c_int, c_void};

/// `VPS_TRACKER_WORDS`: room for a reader's `struct rm_priotracker`; the C side asserts it.
pub(crate) const TRACKER_WORDS: usize = 12;

/// A lock of the C side, reached by pointer only.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct VpsLock {
    opaque: [u8; 0],
}

/// `struct vps_call`: a system call of a process in an instance.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Call {
    /// The caller, by the address of its `struct proc`.
    pub(crate) proc: u64,
    /// Its `p_pid`.
    pub(crate) pid: i32,
    /// `SYS_xxx`.
    pub(crate) code: i32,
    /// The arguments, eight words, which may be changed before the call is forwarded.
    pub(crate) args: *mut u64,
    /// `td_retval[0]`.
    pub(crate) ret: u64,
    /// [`CALL_NATIVE`], [`CALL_CAPMODE`].
    pub(crate) options: i32,
    /// Unused.
    pub(crate) reserved: u32,
    /// The calling thread, of no meaning here.
    pub(crate) td: *mut c_void,
    /// The vector it came through, of no meaning here.
    pub(crate) live: *mut c_void,
}

/// `VPS_CALL_NATIVE`: the number is FreeBSD's own.
pub(crate) const CALL_NATIVE: i32 = 1;
/// `VPS_CALL_CAPMODE`: the caller is in capability mode.
pub(crate) const CALL_CAPMODE: i32 = 2;

/// `VPS_EACH_ALL`: every process of the system.
pub(crate) const EACH_ALL: c_int = 0;
/// `VPS_EACH_GROUP`: those of one process group.
pub(crate) const EACH_GROUP: c_int = 1;

/// `VPS_WANTED_NOT`: a signal is not meant for it.
pub(crate) const WANTED_NOT: c_int = 0;
/// `VPS_WANTED`: to be signalled.
pub(crate) const WANTED: c_int = 1;
/// `VPS_WANTED_QUIET`: meant, but ignored.
pub(crate) const WANTED_QUIET: c_int = 2;

unsafe extern "C" {
    pub(crate) fn vps_k_lock_create(rank: c_int) -> *mut VpsLock;
    pub(crate) fn vps_k_lock_destroy(lk: *mut VpsLock);
    pub(crate) fn vps_k_lock_read(lk: *mut VpsLock, tracker: *mut [u64; TRACKER_WORDS]);
    pub(crate) fn vps_k_lock_read_done(lk: *mut VpsLock, tracker: *mut [u64; TRACKER_WORDS]);
    pub(crate) fn vps_k_lock_write(lk: *mut VpsLock);
    pub(crate) fn vps_k_lock_write_done(lk: *mut VpsLock);

    pub(crate) fn vps_k_uptime() -> u64;
    pub(crate) fn vps_k_random() -> u64;
    pub(crate) fn vps_k_pause();
    pub(crate) fn vps_k_id_named(id: i32) -> c_int;
    pub(crate) fn vps_k_signal(proc: u64, signum: c_int);
    pub(crate) fn vps_k_pending_set(pending: *mut c_void) -> c_int;
    pub(crate) fn vps_k_signal_one(
        call: *mut Call,
        pid: i32,
        signum: c_int,
        filter: *const c_void,
    ) -> c_int;
    pub(crate) fn vps_k_signal_each(
        call: *mut Call,
        which: c_int,
        pgid: i32,
        signum: c_int,
        filter: *const c_void,
    ) -> c_int;
    pub(crate) fn vps_k_default_action(proc: u64, signum: c_int) -> c_int;
    pub(crate) fn vps_k_pgid(proc: u64) -> i32;
    pub(crate) fn vps_k_user_get(address: u64, value: *mut i32) -> c_int;
    pub(crate) fn vps_k_user_put(address: u64, value: i32) -> c_int;

    pub(crate) fn vps_k_forward(call: *mut Call) -> c_int;

    pub(crate) fn vps_k_prison_create(
        parent: u64,
        instance: u64,
        name: *const u8,
        namelen: usize,
        out: *mut u64,
    ) -> c_int;
    pub(crate) fn vps_k_prison_destroy(prison: u64) -> c_int;
    pub(crate) fn vps_k_prison_suspend(prison: u64) -> c_int;
    pub(crate) fn vps_k_prison_resume(prison: u64);
    pub(crate) fn vps_k_prison_drain(prison: u64) -> c_int;
    pub(crate) fn vps_k_prison_enter(prison: u64, init: c_int) -> c_int;
}
