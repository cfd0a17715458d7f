// SPDX-License-Identifier: BSD-2-Clause
//! Refusals of the tree, one enum per family of operations; none of them has changed anything.

use super::name::NameError;
use super::state::{Event, Refusal, State};
use crate::errno::Errno;
use crate::racct::Resource;
use crate::types::InstanceId;

/// Why a name leads to no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// Part of the path is no name.
    Bad(NameError),
    /// More levels than an instance can have below it.
    TooDeep,
    /// No such instance below the caller.
    NotFound,
}

impl LookupError {
    /// What the ioctl returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Bad(error) => error.errno(),
            Self::TooDeep => Errno::ENAMETOOLONG,
            Self::NotFound => Errno::ESRCH,
        }
    }
}

/// Why an instance was not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The parent is not there.
    NoInstance {
        /// As named.
        id: InstanceId,
    },
    /// The parent has a living child of that name.
    NameTaken {
        /// That child.
        by: InstanceId,
    },
    /// The parent, or one above it, is in a state in which nothing is created below it.
    Busy {
        /// Which one.
        at: InstanceId,
        /// Its state.
        state: State,
    },
    /// A broken invariant was found in it before.
    Fenced {
        /// Which one.
        at: InstanceId,
    },
    /// It would be deeper than an ancestor, or the core, allows.
    TooDeep {
        /// Whose ceiling it is.
        at: InstanceId,
        /// How many levels below it there may be.
        max: u8,
    },
    /// An ancestor has as many instances below it as it may.
    TooMany {
        /// Whose ceiling it is.
        at: InstanceId,
        /// How many there may be.
        max: u32,
    },
    /// The table has its full size ([`crate::limits::INSTANCES_MAX`]) or the seed brought no room.
    NoSlot,
}

impl CreateError {
    /// What the ioctl returns. A taken name is `EADDRINUSE`, as the original's.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::NameTaken { .. } => Errno::EADDRINUSE,
            Self::Busy { .. } => Errno::EBUSY,
            Self::Fenced { .. } => Errno::ENOTRECOVERABLE,
            Self::TooDeep { .. } => Errno::EPERM,
            Self::TooMany { .. } => Errno::EAGAIN,
            Self::NoSlot => Errno::ENOMEM,
        }
    }
}

/// Why a ceiling was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeilingError {
    /// The instance is not there.
    NoInstance {
        /// As named.
        id: InstanceId,
    },
    /// vps0 is limited by the core's own bounds only.
    Host,
    /// More than the parent may have.
    AboveParent {
        /// Whose ceiling stands in the way.
        at: InstanceId,
    },
}

impl CeilingError {
    /// What the ioctl returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::Host | Self::AboveParent { .. } => Errno::EPERM,
        }
    }
}

/// Why the state of an instance did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionError {
    /// The instance is not there.
    NoInstance {
        /// As named.
        id: InstanceId,
    },
    /// vps0 is the host; its life is the kernel's.
    Host,
    /// The table refuses.
    Refused {
        /// The state it is in.
        state: State,
        /// What was asked.
        event: Event,
        /// Whether it is so already, or does not fit.
        why: Refusal,
    },
    /// An instance above or below it has an operation under way.
    Busy {
        /// Which one.
        at: InstanceId,
        /// Its state.
        state: State,
    },
    /// A broken invariant was found in it before: only its destruction is left.
    Fenced {
        /// Which one.
        at: InstanceId,
    },
}

impl TransitionError {
    /// What the ioctl returns: `EBUSY` for a wrong state, as the original's.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::Host => Errno::EPERM,
            Self::Refused {
                why: Refusal::Already,
                ..
            } => Errno::EALREADY,
            Self::Refused {
                why: Refusal::Invalid,
                ..
            }
            | Self::Busy { .. } => Errno::EBUSY,
            Self::Fenced { .. } => Errno::ENOTRECOVERABLE,
        }
    }
}

/// Why the record of a dead instance could not be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReapError {
    /// The instance is not there.
    NoInstance {
        /// As named.
        id: InstanceId,
    },
    /// It is not dead.
    NotDead {
        /// The state it is in.
        state: State,
    },
    /// Something in the kernel still holds a charge on it (sockets in TIME_WAIT, say).
    Held {
        /// Of what.
        resource: Resource,
        /// How much.
        total: u64,
    },
}

impl ReapError {
    /// What the ioctl returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::NotDead { .. } | Self::Held { .. } => Errno::EBUSY,
        }
    }
}
