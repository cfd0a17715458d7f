// SPDX-License-Identifier: BSD-2-Clause
//! What the core tells about instances and processes, as plain data.

use super::Core;
use crate::instance::{self, LookupError, Path};
use crate::kpi::LockFamily;
use crate::limits::DEPTH_MAX;
use crate::pid::{Entry, Stage};
use crate::racct::{Resource, Usage};
use crate::types::{HostId, InstanceId, PrisonHandle, ProcHandle, ViewId};

/// An instance, as an instance at or above it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceReport {
    /// Its id on this host.
    pub id: InstanceId,
    /// The one it is in; `None` for the host.
    pub parent: Option<InstanceId>,
    /// Levels below the host.
    pub depth: usize,
    /// How the viewer names it; "." for itself.
    pub path: Path,
    /// Its own state.
    pub state: instance::State,
    /// Whether a broken invariant was found in it.
    pub fenced: bool,
    /// The kernel's side.
    pub prison: Option<PrisonHandle>,
    /// The kernel's number of its init.
    pub init: Option<HostId>,
    /// Processes with a number in it, zombies with them; 0 for the host.
    pub members: usize,
    /// The last PID handed out in it.
    pub last_pid: i32,
    /// How often it was restored.
    pub restores: u32,
}

/// The numbers of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcReport {
    /// The instance it is in.
    pub instance: InstanceId,
    /// The kernel's number.
    pub host: HostId,
    /// How far along its life it is.
    pub stage: Stage,
    depth: usize,
    numbers: [i32; DEPTH_MAX],
}

impl ProcReport {
    pub(super) fn of(entry: &Entry) -> Self {
        let mut numbers = [0; DEPTH_MAX];
        for (to, from) in numbers.iter_mut().zip(entry.numbers()) {
            *to = *from;
        }
        Self {
            instance: entry.instance(),
            host: entry.host(),
            stage: entry.stage(),
            depth: entry.depth(),
            numbers,
        }
    }

    /// Its numbers from the outermost instance to its own.
    pub fn numbers(&self) -> &[i32] {
        self.numbers.get(..self.depth).unwrap_or(&[])
    }
}

impl<F: LockFamily> Core<F> {
    /// An instance as `viewer` sees it; `None` where it is not there, or not at or below it.
    pub fn report(&self, viewer: InstanceId, id: InstanceId) -> Option<InstanceReport> {
        self.read(|state| {
            let node = state.tree.node(id)?;
            let init = node.space.init().and_then(|slot| state.procs.get(slot));
            Some(InstanceReport {
                id,
                parent: node.parent(),
                depth: usize::from(node.depth()),
                path: state.tree.path(viewer, id)?,
                state: node.state(),
                fenced: node.fenced(),
                prison: node.prison(),
                init: init.filter(|init| init.is_there()).map(|init| init.host()),
                members: node.space.members(),
                last_pid: node.space.last_pid(),
                restores: node.restores(),
            })
        })
    }

    /// The instance after `here` in a walk over `top` and everything below it, parents before
    /// children; a walk starts with `top` itself.
    pub fn next_instance(&self, top: InstanceId, here: InstanceId) -> Option<InstanceId> {
        self.read(|state| state.tree.next_in_subtree(top, here))
    }

    /// The instance that `path` names as `viewer` sees it.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn lookup(&self, viewer: InstanceId, path: &[u8]) -> Result<InstanceId, LookupError> {
        self.read(|state| state.tree.lookup(viewer, path))
    }

    /// The instance that a prison of the kernel holds up.
    pub fn by_prison(&self, prison: PrisonHandle) -> Option<InstanceId> {
        self.read(|state| state.tree.by_prison(prison))
    }

    /// What an instance uses of a resource.
    pub fn usage(&self, id: InstanceId, resource: Resource) -> Option<Usage> {
        self.read(|state| Some(*state.tree.node(id)?.account().usage(resource)))
    }

    /// The numbers of a process; `None` for one of the host's.
    pub fn proc_report(&self, proc: ProcHandle) -> Option<ProcReport> {
        self.read(|state| {
            let (_, entry) = state.proc(proc)?;
            Some(ProcReport::of(entry))
        })
    }

    /// The numbers of a thread from the outermost instance to its own, as an image needs them, and
    /// the instance; `None` for a thread of the host.
    pub fn thread_report(&self, tid: HostId) -> Option<ProcReport> {
        self.read(|state| {
            let (_, entry) = state.threads.by_host(tid)?;
            Some(ProcReport::of(entry))
        })
    }

    /// The process that has this number in an instance, be it a zombie.
    pub fn proc_by_number(&self, instance: InstanceId, pid: ViewId) -> Option<ProcHandle> {
        self.read(|state| {
            let space = &state.tree.node(instance)?.space;
            let (_, entry) = state.procs.by_number(space, pid.0)?;
            entry.is_there().then(|| entry.handle())
        })
    }
}
