// SPDX-License-Identifier: BSD-2-Clause
//! The two locks, and a check of the rules under which they are held.
//!
//! Each thread knows what it holds. A lock out of order, or any other function of the kernel called
//! with `State` held, is a broken rule of [`vpscore::kpi`] and ends the test.

use core::ffi::c_int;
use std::cell::RefCell;
use std::sync::{Condvar, Mutex, PoisonError};
use std::vec::Vec;

use crate::ffi::{TRACKER_WORDS, VpsLock};

/// `VPS_LOCK_STATE`.
const STATE: c_int = 1;

std::thread_local! {
    static HELD: RefCell<Vec<c_int>> = const { RefCell::new(Vec::new()) };
}

/// A lock that threads may share for reading.
struct HostLock {
    rank: c_int,
    /// Readers, or -1 for a writer.
    users: Mutex<i32>,
    freed: Condvar,
}

/// Whether this thread holds the state lock: it may not allocate, sleep or call the kernel then.
pub(crate) fn in_section() -> bool {
    HELD.try_with(|held| held.try_borrow().is_ok_and(|held| held.contains(&STATE)))
        .unwrap_or(false)
}

/// For every function of the kernel that may sleep.
pub(crate) fn may_sleep() {
    assert!(!in_section(), "kernel called with the state lock held");
}

fn enter(rank: c_int) {
    HELD.with(|held| {
        let mut held = held.borrow_mut();
        assert!(
            held.iter().all(|other| *other < rank),
            "lock {rank} taken with {held:?} held"
        );
        held.reserve(1);
        held.push(rank);
    });
}

fn leave(rank: c_int) {
    HELD.with(|held| {
        assert_eq!(
            held.borrow_mut().pop(),
            Some(rank),
            "locks not let go in order"
        );
    });
}

impl HostLock {
    /// Waits until `free` holds of the users, then changes them.
    fn take(&self, free: impl Fn(i32) -> bool, change: i32) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        while !free(*users) {
            users = self
                .freed
                .wait(users)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *users += change;
        drop(users);
        enter(self.rank);
    }

    fn give(&self, change: i32) {
        leave(self.rank);
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) += change;
        self.freed.notify_all();
    }
}

/// # Safety
/// `lk` came from [`vps_k_lock_create`] and was not destroyed.
unsafe fn lock<'a>(lk: *mut VpsLock) -> &'a HostLock {
    // SAFETY: the caller's duty.
    unsafe { &*lk.cast::<HostLock>() }
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_lock_create(rank: c_int) -> *mut VpsLock {
    may_sleep();
    if super::out_of_memory() {
        return core::ptr::null_mut();
    }
    let made = std::boxed::Box::new(HostLock {
        rank,
        users: Mutex::new(0),
        freed: Condvar::new(),
    });
    std::boxed::Box::into_raw(made).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_lock_destroy(lk: *mut VpsLock) {
    // SAFETY: made by `vps_k_lock_create`, and nobody uses it any more.
    let lock = unsafe { std::boxed::Box::from_raw(lk.cast::<HostLock>()) };
    let users = *lock.users.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(users, 0, "lock destroyed while held");
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_lock_read(lk: *mut VpsLock, tracker: *mut [u64; TRACKER_WORDS]) {
    // SAFETY: a live lock; the tracker is the caller's.
    unsafe {
        lock(lk).take(|users| users >= 0, 1);
        (*tracker)[0] = lk as u64;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_lock_read_done(lk: *mut VpsLock, tracker: *mut [u64; TRACKER_WORDS]) {
    // SAFETY: a live lock; the tracker is the one it was taken with.
    unsafe {
        assert_eq!((*tracker)[0], lk as u64, "another lock's tracker");
        lock(lk).give(-1);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_lock_write(lk: *mut VpsLock) {
    // SAFETY: a live lock.
    unsafe { lock(lk).take(|users| users == 0, -1) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_lock_write_done(lk: *mut VpsLock) {
    // SAFETY: a live lock.
    unsafe { lock(lk).give(1) }
}
