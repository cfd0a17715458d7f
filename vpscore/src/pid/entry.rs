// SPDX-License-Identifier: BSD-2-Clause
//! All the numbers of one process or thread, hung together.

use super::numbers::Slot;
use crate::limits::DEPTH_MAX;
use crate::types::{HostId, InstanceId, ProcHandle, ViewId};

/// How far along its life an entry is.
///
/// ```text
///             commit          exit           reap              sweep
///  Reserved ─────────> Live ─────────> Zombie ─────> Lingering ─────> (gone)
///      │ abort           └──────────────────────────────^  (a thread skips both: exit frees it)
///      v
///    (gone)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its numbers are taken, the kernel has no such process yet.
    Reserved,
    /// The kernel has it.
    Live,
    /// It has exited and waits to be reaped.
    Zombie,
    /// It is reaped; a group, session or reaper subtree may still carry its number.
    Lingering,
}

/// The numbers of one process or thread: one in its instance and one in each instance above it,
/// and the kernel's own.
#[derive(Debug)]
pub struct Entry {
    pub(super) instance: InstanceId,
    pub(super) host: HostId,
    pub(super) handle: ProcHandle,
    pub(super) stage: Stage,
    depth: u8,
    numbers: [i32; DEPTH_MAX],
    /// Never used twice, so that an entry can be found again after the lock was let go.
    pub(super) serial: u64,
    pub(super) next_by_handle: Option<Slot>,
    pub(super) next_by_host: Option<Slot>,
    pub(super) linger_prev: Option<Slot>,
    pub(super) linger_next: Option<Slot>,
}

impl Entry {
    /// A reserved entry with these numbers, outermost instance first; `None` where they are none
    /// or more than [`DEPTH_MAX`].
    pub(super) fn reserved(instance: InstanceId, numbers: &[i32], serial: u64) -> Option<Self> {
        let mut own = [0; DEPTH_MAX];
        if numbers.is_empty() || numbers.len() > own.len() {
            return None;
        }
        for (to, from) in own.iter_mut().zip(numbers) {
            *to = *from;
        }
        Some(Self {
            instance,
            host: HostId(0),
            handle: ProcHandle(0),
            stage: Stage::Reserved,
            depth: u8::try_from(numbers.len()).ok()?,
            numbers: own,
            serial,
            next_by_handle: None,
            next_by_host: None,
            linger_prev: None,
            linger_next: None,
        })
    }

    /// The instance it is in.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The kernel's number; 0 while it is reserved only, and once the kernel has given it to
    /// another process.
    pub const fn host(&self) -> HostId {
        self.host
    }

    /// The process (for a thread, the one that it belongs to).
    pub const fn handle(&self) -> ProcHandle {
        self.handle
    }

    /// How far along its life it is.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// How deep its instance lies, which is how many numbers it has beside the kernel's.
    pub fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    /// Its numbers from the outermost instance (depth 1) to its own.
    pub fn numbers(&self) -> &[i32] {
        self.numbers.get(..self.depth()).unwrap_or(&[])
    }

    /// Its number in its own instance.
    #[inline]
    pub fn own_number(&self) -> ViewId {
        self.number_at(self.depth())
    }

    /// Its number in the instance at `depth` on the way down to its own: the kernel's at depth 0,
    /// [`ViewId::NONE`] below its own instance.
    #[inline]
    pub fn number_at(&self, depth: usize) -> ViewId {
        let Some(index) = depth.checked_sub(1) else {
            return ViewId(self.host.0);
        };
        self.numbers()
            .get(index)
            .copied()
            .map_or(ViewId::NONE, ViewId)
    }

    /// Whether the kernel has this process, be it a zombie.
    pub const fn is_there(&self) -> bool {
        matches!(self.stage, Stage::Live | Stage::Zombie)
    }
}
