// SPDX-License-Identifier: BSD-2-Clause
//! The numbers that must never be mistaken for one another, each a type of its own.
//!
//! A *host id* is a number in the kernel's own space: `p_pid`, `pg_id`, `s_sid`, `td_tid`. A
//! *view id* is the number that programs of one instance use for the same thing. Only
//! [`crate::ids`] turns the one into the other.

/// A number in the kernel's own id space (`p_pid`, `pg_id`, `s_sid` or `td_tid` of the host).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub i32);

/// The number of the same process, group, session or thread as one instance sees it; 0 where it
/// is outside that instance's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub i32);

impl ViewId {
    /// What an instance reads for anything outside its view, as for the parent of its init.
    pub const NONE: Self = Self(0);
    /// The init of every instance.
    pub const INIT: Self = Self(1);
}

/// The kernel's opaque handle of a process (the address of its `struct proc`, say).
///
/// Unique among live and zombie processes, and only compared. A host PID alone is no key: the
/// kernel may give it to a new process before our record of the old one is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcHandle(pub u64);

/// The kernel's opaque handle of what holds up an instance: its prison, with its vnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrisonHandle(pub u64);

/// An instance on this host: a slot and the generation of its use, so that the id of a destroyed
/// instance never names its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// Slot in the table of instances.
    pub slot: u32,
    /// How often the slot had been used before.
    pub generation: u32,
}

impl InstanceId {
    /// The host itself, the root of the tree.
    pub const VPS0: Self = Self {
        slot: 0,
        generation: 0,
    };
}
