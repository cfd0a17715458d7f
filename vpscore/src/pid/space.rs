// SPDX-License-Identifier: BSD-2-Clause
//! The PID space of one instance: its PIDs, its TIDs, and which process is its init.

use super::numbers::{Numbers, Range, Slot};
use crate::collections::NoMemory;
use crate::limits;

/// The PIDs and TIDs of one instance. Part of the instance's node; the host has none, since its
/// numbers are the kernel's own.
///
/// # Invariants
/// * I1: `init`, where there is one, has the number 1.
/// * I2: `members` counts the PIDs that do not linger.
/// * I3: the numbers' own (see [`Numbers`]).
#[derive(Debug)]
pub struct Space {
    pub(super) pids: Numbers,
    pub(super) tids: Numbers,
    pub(super) init: Option<Slot>,
    pub(super) members: usize,
}

impl Space {
    /// An empty space whose PIDs are below `pid_max`, as `kern.pid_max` bounds FreeBSD's; values
    /// outside what `sysctl_kern_pid_max` accepts (`kern_mib.c`, 15.0: 300 to `PID_MAX`, here to
    /// [`limits::PID_MAX_WIDE`]) are brought to the nearest one.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn create(pid_max: i32) -> Result<Self, NoMemory> {
        Ok(Self {
            pids: Numbers::create(Range {
                lowest: 1,
                restart: limits::PID_AGAIN,
                end: pid_max.clamp(limits::PID_MAX_LEAST, limits::PID_MAX_WIDE),
            })?,
            tids: Numbers::create(Range {
                lowest: limits::TID_MIN,
                restart: limits::TID_MIN,
                end: limits::TID_MAX,
            })?,
            init: None,
            members: 0,
        })
    }

    /// What stands in for a space at the root of the tree: the host's numbers are the kernel's
    /// own, so it has room for none. Allocates nothing.
    pub const fn host() -> Self {
        Self {
            pids: Numbers::none(),
            tids: Numbers::none(),
            init: None,
            members: 0,
        }
    }

    /// The PIDs.
    pub const fn pids(&self) -> &Numbers {
        &self.pids
    }

    /// The TIDs.
    pub const fn tids(&self) -> &Numbers {
        &self.tids
    }

    /// The slot of the instance's init, from its reservation until it is reaped.
    pub const fn init(&self) -> Option<Slot> {
        self.init
    }

    /// How many processes have a number here, those about to be and zombies with them.
    pub const fn members(&self) -> usize {
        self.members
    }

    /// Whether no process, thread or lingering id has a number here; only then may the instance
    /// go.
    pub const fn is_empty(&self) -> bool {
        self.pids.used() == 0 && self.tids.used() == 0
    }

    /// The number that was handed out last (`kern.lastpid`), which an image keeps.
    pub const fn last_pid(&self) -> i32 {
        self.pids.last()
    }

    /// Sets the number after which the next search starts, as an image says.
    pub fn set_last_pid(&mut self, last: i32) {
        self.pids.set_last(last);
    }

    /// The same for TIDs.
    pub fn set_last_tid(&mut self, last: i32) {
        self.tids.set_last(last);
    }

    /// Whether the invariants hold.
    #[cfg(any(test, feature = "invariants"))]
    pub fn invariants(&self) -> bool {
        self.pids.invariants()
            && self.tids.invariants()
            && self.init.is_none_or(|slot| self.pids.get(1) == Some(slot))
    }
}
