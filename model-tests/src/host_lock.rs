// SPDX-License-Identifier: BSD-2-Clause
//! The core's locks in user space, and the rules about them under test.
//!
//! [`HostLocks`] is a plain family, for benches. [`Watched`] wraps a family so that every hold of a
//! lock is checked against the rules of [`vpscore::kpi`]; [`WatchedKpi`] does so for the calls that
//! the core makes. A broken rule is a panic that names it.
//!
//! # Rules
//! * R1: no call of a `Kpi` while a lock of rank `State` is held.
//! * R2: no allocation and no free while one is held. What counts them is a [`Context`]'s own.
//! * R3: a lock is taken only where every lock held by the same thread has an earlier rank, so no
//!   lock is taken twice.

use parking_lot::RwLock;
use std::cell::Cell;
use std::marker::PhantomData;
use vpscore::collections::NoMemory;
use vpscore::errno::Errno;
use vpscore::kpi::{Kpi, Lock, LockFamily, LockRank};
use vpscore::time::Instant;
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

/// Locks of the process that runs the tests.
#[derive(Debug)]
pub enum HostLocks {}

impl LockFamily for HostLocks {
    type Lock<T: Send + Sync> = HostLock<T>;
}

/// A readers-writer lock; its rank is not looked at.
#[derive(Debug)]
pub struct HostLock<T>(RwLock<T>);

impl<T> Lock<T> for HostLock<T> {
    fn create(_: LockRank, value: T) -> Result<Self, NoMemory> {
        Ok(Self(RwLock::new(value)))
    }

    #[inline]
    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.read())
    }

    #[inline]
    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.write())
    }
}

/// Which ranks the current thread holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The lock that serialises management.
    pub control: bool,
    /// The lock around the state.
    pub state: bool,
}

impl Held {
    const fn with(self, rank: LockRank) -> Self {
        match rank {
            LockRank::Control => Self {
                control: true,
                ..self
            },
            LockRank::State => Self {
                state: true,
                ..self
            },
        }
    }

    /// Whether a lock of this rank may be taken.
    const fn allows(self, rank: LockRank) -> bool {
        match rank {
            LockRank::Control => !self.control && !self.state,
            LockRank::State => !self.state,
        }
    }
}

/// What "the current thread" means, and who counts its allocations.
pub trait Context {
    /// Runs `f` with what the current thread holds.
    fn held<R>(f: impl FnOnce(&Cell<Held>) -> R) -> R;

    /// Runs `f`, in which nothing may be allocated or freed; panics where it was.
    fn without_memory<R>(f: impl FnOnce() -> R) -> R;
}

/// Threads of the operating system, whose allocations nobody counts.
#[derive(Debug)]
pub enum OsThreads {}

impl Context for OsThreads {
    fn held<R>(f: impl FnOnce(&Cell<Held>) -> R) -> R {
        thread_local!(static HELD: Cell<Held> = const { Cell::new(Held { control: false, state: false }) });
        HELD.with(f)
    }

    fn without_memory<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// The locks of `F`, with the rules checked in `C`.
#[derive(Debug)]
pub struct Watched<F, C>(PhantomData<(F, C)>);

impl<F: LockFamily, C: Context> LockFamily for Watched<F, C> {
    type Lock<T: Send + Sync> = WatchedLock<F::Lock<T>, C>;
}

/// A lock that knows its rank.
#[derive(Debug)]
pub struct WatchedLock<L, C> {
    rank: LockRank,
    inner: L,
    context: PhantomData<fn() -> C>,
}

impl<T, L: Lock<T>, C: Context> Lock<T> for WatchedLock<L, C> {
    fn create(rank: LockRank, value: T) -> Result<Self, NoMemory> {
        Ok(Self {
            rank,
            inner: L::create(rank, value)?,
            context: PhantomData,
        })
    }

    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        ask::<C>(self.rank);
        self.inner
            .read(|value| hold::<C, R>(self.rank, || f(value)))
    }

    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        ask::<C>(self.rank);
        self.inner
            .write(|value| hold::<C, R>(self.rank, || f(value)))
    }
}

/// R3, before the thread may wait for the lock: a wrong order is reported, not hung upon.
fn ask<C: Context>(rank: LockRank) {
    let held = C::held(Cell::get);
    assert!(
        held.allows(rank),
        "{rank:?} is taken by a thread with {held:?}"
    );
}

fn hold<C: Context, R>(rank: LockRank, f: impl FnOnce() -> R) -> R {
    /// Puts back what was held before, also where a test fails and the thread goes on.
    struct Restore<C: Context>(Held, PhantomData<C>);

    impl<C: Context> Drop for Restore<C> {
        fn drop(&mut self) {
            C::held(|held| held.set(self.0));
        }
    }

    let before = C::held(|held| held.replace(held.get().with(rank)));
    let _restore: Restore<C> = Restore(before, PhantomData);
    match rank {
        LockRank::Control => f(),
        LockRank::State => C::without_memory(f),
    }
}

/// A kernel that the core calls, with R1 checked in `C`.
#[derive(Debug)]
pub struct WatchedKpi<K, C> {
    /// The kernel.
    pub kernel: K,
    context: PhantomData<fn() -> C>,
}

impl<K, C: Context> WatchedKpi<K, C> {
    /// Watches the calls to `kernel`.
    pub const fn new(kernel: K) -> Self {
        Self {
            kernel,
            context: PhantomData,
        }
    }

    fn called(&mut self) -> &mut K {
        let held = C::held(Cell::get);
        assert!(
            !held.state,
            "the kernel is called by a thread with {held:?}"
        );
        &mut self.kernel
    }
}

impl<K: Kpi, C: Context> Kpi for WatchedKpi<K, C> {
    fn uptime(&mut self) -> Instant {
        self.called().uptime()
    }

    fn random(&mut self) -> u64 {
        self.called().random()
    }

    fn id_named(&mut self, id: HostId) -> bool {
        self.called().id_named(id)
    }

    fn prison_create(
        &mut self,
        parent: Option<PrisonHandle>,
        instance: InstanceId,
        name: &str,
    ) -> Result<PrisonHandle, Errno> {
        self.called().prison_create(parent, instance, name)
    }

    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.called().prison_destroy(prison)
    }

    fn signal(&mut self, proc: ProcHandle, signum: i32) {
        self.called().signal(proc, signum);
    }

    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.called().prison_suspend(prison)
    }

    fn prison_resume(&mut self, prison: PrisonHandle) {
        self.called().prison_resume(prison);
    }

    fn prison_drain(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.called().prison_drain(prison)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_kernel::HostKernel;

    type Locks = Watched<HostLocks, OsThreads>;

    fn lock(rank: LockRank) -> <Locks as LockFamily>::Lock<u8> {
        Lock::create(rank, 0).expect("memory")
    }

    #[test]
    fn state_is_taken_within_control_and_both_are_given_back() {
        let (control, state) = (lock(LockRank::Control), lock(LockRank::State));
        control.write(|_| state.write(|value| *value += 1));
        control.read(|_| state.read(|value| assert_eq!(*value, 1)));
        assert_eq!(OsThreads::held(Cell::get), Held::default());
    }

    #[test]
    #[should_panic(expected = "Control is taken by a thread with")]
    fn control_within_state_is_found() {
        let (control, state) = (lock(LockRank::Control), lock(LockRank::State));
        state.read(|_| control.read(|_| ()));
    }

    #[test]
    #[should_panic(expected = "State is taken by a thread with")]
    fn two_readers_of_one_thread_are_found() {
        let state = lock(LockRank::State);
        state.read(|_| state.read(|_| ()));
    }

    #[test]
    #[should_panic(expected = "the kernel is called by a thread with")]
    fn a_call_to_the_kernel_within_state_is_found() {
        let state = lock(LockRank::State);
        let mut kpi = WatchedKpi::<_, OsThreads>::new(HostKernel::default());
        state.read(|_| kpi.random());
    }

    #[test]
    fn a_call_to_the_kernel_within_control_is_right() {
        let control = lock(LockRank::Control);
        let mut kpi = WatchedKpi::<_, OsThreads>::new(HostKernel::default());
        control.write(|_| kpi.random());
    }

    #[test]
    fn a_panic_within_a_lock_leaves_the_thread_with_none() {
        let state = lock(LockRank::State);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            state.read(|_| panic!("a test fails"));
        }));
        assert!(failed.is_err());
        assert_eq!(OsThreads::held(Cell::get), Held::default());
    }
}
