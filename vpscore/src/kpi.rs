// SPDX-License-Identifier: BSD-2-Clause
//! What the core asks of a kernel.
//!
//! The core has no clock, no randomness, no I/O and no locks of its own: a kernel hands it these.
//! A [`Kpi`] is passed by `&mut` to the *sleepable* joints (see [`crate::joints`]) and to no others,
//! so a joint that runs in a non-sleepable section cannot call back into the kernel by mistake.
//!
//! # Rules
//! * R1: the core never calls a `Kpi` method while it holds a [`Lock`].
//! * R2: the core never allocates or frees while it holds a [`Lock`].
//! * R3: a `Kpi` method may sleep, and may itself raise joints (killing a process raises its exit).

use crate::collections::NoMemory;
use crate::errno::Errno;
use crate::time::Instant;
use crate::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

/// The place of a lock in the lock order, outermost first. A thread that holds one may only take
/// a later one; the hosted lock implementations check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockRank {
    /// Serialises management operations (`sx(9)` in a kernel: may be held across a sleep). The one
    /// lock that may be held while the `Kpi` is called or memory is allocated: nothing but `()` is
    /// inside it.
    Control,
    /// The core's state: instances, PID spaces, accounts (`rmlock(9)` in a kernel: readers are
    /// non-sleepable and cheap).
    State,
}

/// A lock with the value it protects. Created by the kernel, fallibly; readers may share it.
///
/// The value is reached through closures, so a lock can neither be leaked nor held across a
/// return.
pub trait Lock<T>: Sized {
    /// Makes the lock.
    ///
    /// # Errors
    /// [`NoMemory`] where the kernel has none for it.
    fn create(rank: LockRank, value: T) -> Result<Self, NoMemory>;

    /// Runs `f` with the value shared.
    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R;

    /// Runs `f` with the value to itself.
    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

/// The locks of a kernel: which [`Lock`] it has for any value. The core's objects are generic over
/// this, and over nothing else.
pub trait LockFamily {
    /// The kernel's lock.
    type Lock<T: Send + Sync>: Lock<T>;
}

/// What the core asks of a kernel. Passed to sleepable joints only.
pub trait Kpi {
    /// Monotonic uptime of the kernel (`sbinuptime`).
    fn uptime(&mut self) -> Instant;

    /// A number nobody can guess (`arc4random(9)`; in the simulator, the world's seeded stream).
    fn random(&mut self) -> u64;

    /// Whether a process group, session or reaper subtree still carries this id, though the
    /// process that gave it its number may be gone (`pgfind`, `s_sid`, `p_reapsubtree`).
    fn id_named(&mut self, id: HostId) -> bool;

    /// Makes the kernel side of an instance, a prison with a vnet of its own below `parent`
    /// (`kern_jail_set` with `vnet=new`; `None` is the host). Holds no process yet.
    ///
    /// # Errors
    /// The kernel's own refusal.
    fn prison_create(
        &mut self,
        parent: Option<PrisonHandle>,
        instance: InstanceId,
        name: &str,
    ) -> Result<PrisonHandle, Errno>;

    /// Removes what [`Kpi::prison_create`] made. All its processes are gone and reaped.
    ///
    /// # Errors
    /// `EBUSY` where something still holds the prison; the core keeps the instance dying then.
    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno>;

    /// Sends a signal to a process from the kernel itself, past every check (`kern_psignal`).
    /// A process that is gone already is no error.
    fn signal(&mut self, proc: ProcHandle, signum: i32);

    /// Stops every thread of the instance where it is; no call is interrupted, no sleep starts
    /// over. On error none is stopped.
    ///
    /// # Errors
    /// `EAGAIN` where a thread did not stop by the kernel's deadline; the kernel's own otherwise.
    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno>;

    /// Lets the threads stopped by [`Kpi::prison_suspend`] go on.
    fn prison_resume(&mut self, prison: PrisonHandle);

    /// Waits until the processes of the prison are gone and reaped, or the kernel's deadline has
    /// passed. The core has sent them `SIGKILL`.
    ///
    /// # Errors
    /// `EBUSY` at the deadline.
    fn prison_drain(&mut self, prison: PrisonHandle) -> Result<(), Errno>;
}
