// SPDX-License-Identifier: BSD-2-Clause
//! Why a joint refuses. Nothing has changed in any of these cases.

use crate::collections::NoMemory;
use crate::errno::Errno;
use crate::instance::{CeilingError, CreateError, ReapError, State, TransitionError};
use crate::pid::PlanError;
use crate::privilege;
use crate::racct;
use crate::types::InstanceId;

/// Why a process cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkError {
    /// Memory was short.
    NoMemory,
    /// A limit, of the instance or of one above it.
    Limit(racct::Error),
    /// Numbers could not be had.
    Numbers(PlanError),
    /// The init of the instance, or of one above it, has exited.
    Halting {
        /// Whose.
        instance: InstanceId,
    },
    /// The instance is in a state in which it gets no process this way.
    WrongState {
        /// Which one.
        instance: InstanceId,
        /// Its state.
        state: State,
    },
    /// A broken invariant was found in the instance, or in one above it.
    Fenced {
        /// Which one.
        instance: InstanceId,
    },
}

impl ForkError {
    /// What `fork(2)` returns: `EAGAIN` where a limit or the table of processes is exhausted, and
    /// where the instance is on its way down.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoMemory => Errno::ENOMEM,
            Self::Limit(racct::Error::Refused { .. })
            | Self::Halting { .. }
            | Self::WrongState { .. } => Errno::EAGAIN,
            Self::Limit(error) => error.errno(),
            Self::Numbers(error) => error.errno(),
            Self::Fenced { .. } => Errno::ENOTRECOVERABLE,
        }
    }
}

impl From<NoMemory> for ForkError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<PlanError> for ForkError {
    fn from(error: PlanError) -> Self {
        Self::Numbers(error)
    }
}

impl From<racct::Error> for ForkError {
    fn from(error: racct::Error) -> Self {
        Self::Limit(error)
    }
}

/// Why a thread cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadError {
    /// As for a process.
    Refused(ForkError),
}

impl ThreadError {
    /// What `thr_new(2)` returns: `EPROCLIM` at a limit (`kern_thr.c`, 15.0).
    pub const fn errno(self) -> Errno {
        match self {
            Self::Refused(ForkError::Limit(error)) => error.errno(),
            Self::Refused(error) => error.errno(),
        }
    }
}

/// Why a process cannot enter an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// As for a fork there.
    Refused(ForkError),
    /// The instance is not there.
    NoInstance {
        /// As named.
        instance: InstanceId,
    },
    /// The instance does not lie below that of the process.
    NotBelow {
        /// Where the process is.
        from: InstanceId,
        /// Where it wants to go.
        to: InstanceId,
    },
    /// The process has more threads than the one that calls.
    Threads {
        /// How many.
        count: usize,
    },
    /// The process is the init of its instance, which would be left without.
    Init {
        /// Whose.
        instance: InstanceId,
    },
    /// The instance cannot be started, or its former init still lingers.
    Start(TransitionError),
}

impl AttachError {
    /// What the request returns; several threads are `EINVAL` and a wrong state is `EBUSY`, as the
    /// original's.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Refused(
                ForkError::WrongState { .. }
                | ForkError::Halting { .. }
                | ForkError::Numbers(PlanError::InUse { .. }),
            ) => Errno::EBUSY,
            Self::Refused(error) => error.errno(),
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::NotBelow { .. } | Self::Init { .. } => Errno::EPERM,
            Self::Threads { .. } => Errno::EINVAL,
            Self::Start(error) => error.errno(),
        }
    }
}

impl From<ForkError> for AttachError {
    fn from(error: ForkError) -> Self {
        Self::Refused(error)
    }
}

/// Why an instance was not created, stopped, resumed or destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManageError {
    /// Memory was short.
    NoMemory,
    /// The tree refuses the new instance.
    Create(CreateError),
    /// The tree refuses the change of state.
    State(TransitionError),
    /// The kernel refuses; the instance is as it was, or stays dying.
    Kernel(Errno),
    /// The kernel still holds something of the instance; it stays dying, or dead.
    Held(ReapError),
    /// An instance being restored may have more below it than its parent.
    Ceiling(CeilingError),
    /// An instance being restored wishes for what its parent does not hold.
    Privilege(privilege::Error),
}

impl ManageError {
    /// What the request returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoMemory => Errno::ENOMEM,
            Self::Create(error) => error.errno(),
            Self::State(error) => error.errno(),
            Self::Kernel(errno) => errno,
            Self::Held(error) => error.errno(),
            Self::Ceiling(error) => error.errno(),
            Self::Privilege(error) => error.errno(),
        }
    }
}

impl From<NoMemory> for ManageError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<TransitionError> for ManageError {
    fn from(error: TransitionError) -> Self {
        Self::State(error)
    }
}
