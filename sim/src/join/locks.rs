// SPDX-License-Identifier: BSD-2-Clause
//! Locks for a core that runs hosted, which check the rules that a real kernel relies on.
//!
//! - I1: a thread that holds a lock takes only one of a later rank.
//! - I2: while a lock of rank [`LockRank::State`] is held, [`state_locked`] says so, so that test
//!   allocators and Kpi implementations can refuse to be called.

use parking_lot::RwLock;
use std::cell::Cell;
use vpscore::collections::NoMemory;
use vpscore::kpi::{Lock, LockFamily, LockRank};

thread_local! {
    /// The rank held last by this thread.
    static HELD: Cell<Option<LockRank>> = const { Cell::new(None) };
}

/// Whether this thread holds a lock under which nothing may be allocated, freed or called.
pub fn state_locked() -> bool {
    HELD.with(|held| held.get() == Some(LockRank::State))
}

/// Locks of user space.
#[derive(Clone, Copy, Debug)]
pub struct HostedLocks;

impl LockFamily for HostedLocks {
    type Lock<T: Send + Sync> = HostedLock<T>;
}

/// A reader-writer lock that checks the lock order.
#[derive(Debug)]
pub struct HostedLock<T> {
    rank: LockRank,
    value: RwLock<T>,
}

/// Puts the rank back that was held before, also when a test unwinds through it.
struct Restore(Option<LockRank>);

impl Drop for Restore {
    fn drop(&mut self) {
        HELD.with(|held| held.set(self.0));
    }
}

impl<T> HostedLock<T> {
    fn enter(&self) -> Restore {
        HELD.with(|held| {
            let before = held.get();
            assert!(
                before.is_none_or(|before| before < self.rank),
                "lock order: {:?} taken while {before:?} is held",
                self.rank
            );
            held.set(Some(self.rank));
            Restore(before)
        })
    }
}

impl<T: Send + Sync> Lock<T> for HostedLock<T> {
    fn create(rank: LockRank, value: T) -> Result<Self, NoMemory> {
        Ok(Self {
            rank,
            value: RwLock::new(value),
        })
    }

    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let _held = self.enter();
        f(&self.value.read())
    }

    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let _held = self.enter();
        f(&mut self.value.write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_the_order_of_their_ranks() {
        let control = HostedLock::create(LockRank::Control, ()).unwrap();
        let state = HostedLock::create(LockRank::State, 1).unwrap();
        let inner = control.write(|()| {
            assert!(!state_locked());
            state.read(|n| (*n, state_locked()))
        });
        assert_eq!(inner, (1, true));
        assert!(!state_locked());
        let wrong = std::panic::AssertUnwindSafe(|| state.read(|_| control.read(|()| ())));
        assert!(std::panic::catch_unwind(wrong).is_err());
        assert!(!state_locked());
    }
}
