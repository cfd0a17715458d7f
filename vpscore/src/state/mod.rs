// SPDX-License-Identifier: BSD-2-Clause
//! The core's whole state, and the object that a kernel holds.
//!
//! A kernel makes one [`Core`] and calls its methods at its joints ([`crate::joints`] lists them).
//! Everything lies under one lock that readers share: the joints that a running program meets
//! often, the translation of ids, only read.
//!
//! A process of the host itself is unknown here: a handle that is in no table belongs to vps0, whose
//! numbers are the kernel's own. So a host without instances pays a look into an empty table.
//!
//! # Reserve and commit
//! What can fail or needs memory is done by the `*_reserve` methods, called before the kernel has
//! made anything: limits are charged, numbers taken, memory had. `*_commit` then cannot fail and
//! does not sleep. A reservation is committed or aborted; [`Core::outstanding`] counts those that
//! are neither.
//!
//! # Init
//! The first process that enters an instance is its init, with the number 1. When it exits,
//! everything else in the instance and below it is killed, and nobody can fork there any more
//! ([`ForkError::Halting`]); when the last of them is reaped, the instance is empty
//! ([`Event::Halted`]) and may be started again. (The original left the others running without an
//! init; a Linux PID namespace kills them, as here.)
//!
//! # Invariants
//! * I1: those of the tables, the spaces and the tree.
//! * I2: of `maxproc` an instance itself uses one for each of its processes that is not lingering,
//!   and of `nthr` one for each of its threads.
//! * I3: nothing is allocated, freed or asked of the kernel while the lock is held.

mod attach;
mod error;
mod exit;
mod fork;
mod image;
#[cfg(any(test, feature = "invariants"))]
mod invariants;
mod manage;
mod moves;
mod report;
#[cfg(test)]
pub(crate) mod tests;

pub use attach::AttachReservation;
pub use error::{AttachError, ForkError, ManageError, ThreadError};
pub use exit::{Exit, SIGKILL};
pub use fork::{Committed, ForkReservation, ThreadReservation};
pub use image::{IdReservation, Settings, ZombieReservation};
pub use report::{InstanceReport, ProcReport};

use crate::collections::NoMemory;
#[cfg(doc)]
use crate::instance::Event;
use crate::instance::{Node, Tree};
use crate::kpi::{Kpi, Lock, LockFamily, LockRank};
use crate::limits::PROCS_MAX;
use crate::pid::{Entry, Kind, Slot, Space, Spaces, Table};
use crate::types::{InstanceId, ProcHandle};

/// How large the tables of a core are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Processes on the host (`kern.maxproc`); at most [`PROCS_MAX`].
    pub procs_max: usize,
    /// Threads on the host (`kern.maxthread`); at most four times [`PROCS_MAX`].
    pub threads_max: usize,
}

impl Config {
    /// What a small host has.
    pub const DEFAULT: Self = Self {
        procs_max: 8192,
        threads_max: 32768,
    };
}

/// What lies under the lock.
#[derive(Debug)]
pub struct State {
    pub(crate) tree: Tree<Space>,
    pub(crate) procs: Table,
    pub(crate) threads: Table,
}

/// The core, as a kernel holds it.
#[derive(Debug)]
pub struct Core<F: LockFamily> {
    /// Serialises management; held across calls to the kernel.
    control: F::Lock<()>,
    state: F::Lock<State>,
}

impl<F: LockFamily> Core<F> {
    /// A core that knows the host and no instance.
    ///
    /// A table holds four entries per process: its own, and a lingering one for each of its group,
    /// session and reaper subtree, which are all it can keep named.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn create<K: Kpi>(kpi: &mut K, config: Config) -> Result<Self, NoMemory> {
        let procs = config.procs_max.min(PROCS_MAX).saturating_mul(4);
        let threads = config.threads_max.min(PROCS_MAX.saturating_mul(4));
        let state = State {
            tree: Tree::new(Space::host())?,
            procs: Table::create(Kind::Pid, procs, kpi.random())?,
            threads: Table::create(Kind::Tid, threads, kpi.random())?,
        };
        Ok(Self {
            control: Lock::create(LockRank::Control, ())?,
            state: Lock::create(LockRank::State, state)?,
        })
    }

    /// Runs `f` with the state shared. What it returns must own no memory taken from the state.
    #[inline]
    pub(crate) fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        self.state.read(f)
    }

    /// Runs `f` with the state to itself.
    #[inline]
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.write(f)
    }

    /// Runs `f` while no other management operation runs.
    pub(crate) fn manage<R>(&self, f: impl FnOnce() -> R) -> R {
        self.control.write(|()| f())
    }

    /// How many reservations are neither committed nor aborted. 0 in a quiet kernel: anything else
    /// there is a reservation that was lost, and keeps its charges and numbers.
    pub fn outstanding(&self) -> usize {
        self.read(|state| {
            state
                .procs
                .reserved()
                .saturating_add(state.threads.reserved())
        })
    }
}

impl State {
    /// The entry of a process; `None` for one of the host's.
    #[inline]
    pub(crate) fn proc(&self, handle: ProcHandle) -> Option<(Slot, &Entry)> {
        self.procs.by_handle(handle)
    }

    /// The instance that a process is in.
    #[inline]
    pub(crate) fn instance_of(&self, handle: ProcHandle) -> InstanceId {
        self.proc(handle)
            .map_or(InstanceId::VPS0, |(_, entry)| entry.instance())
    }
}

impl Spaces for Tree<Space> {
    #[inline]
    fn space(&self, id: InstanceId) -> Option<&Space> {
        self.node(id)
            .filter(|node| node.depth() > 0)
            .map(|node| &node.space)
    }

    #[inline]
    fn space_mut(&mut self, id: InstanceId) -> Option<&mut Space> {
        self.node_mut(id)
            .filter(|node| node.depth() > 0)
            .map(|node| &mut node.space)
    }

    fn parent(&self, id: InstanceId) -> Option<InstanceId> {
        self.node(id).and_then(Node::parent)
    }

    fn depth(&self, id: InstanceId) -> usize {
        self.node(id).map_or(0, |node| usize::from(node.depth()))
    }
}
