// SPDX-License-Identifier: BSD-2-Clause
//! Who sees whom: an instance sees itself and what is below it, nothing else.
//!
//! Every interface that names a process, group, session or thread goes through here, in both
//! directions. All of it only reads, allocates nothing and does not sleep.
//!
//! # Invariants
//! * I1: what is outside the viewer's sight reads as 0, and no number that a viewer can say leads
//!   outside its sight.
//! * I2: the host sees the kernel's own numbers, unchanged.
//! * I3: a number of a process that is gone leads to no process. It still leads to a group, session
//!   or reaper subtree, since those may outlive the process that they are named after.

use crate::kpi::LockFamily;
use crate::pid::{Slot, Space, Stage};
use crate::state::{Core, State};
use crate::types::{HostId, InstanceId, ProcHandle, ViewId};

/// What an id is the id of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdKind {
    /// A process.
    Pid,
    /// A process group (`pg_id`).
    Pgid,
    /// A session (`s_sid`).
    Sid,
    /// A subtree of a reaper (`p_reapsubtree`).
    ReapSubtree,
    /// A thread.
    Tid,
}

/// Whose eyes something is seen with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Viewer {
    /// Those of a process, which are its instance's.
    Proc(ProcHandle),
    /// Those of an instance.
    Instance(InstanceId),
}

impl From<ProcHandle> for Viewer {
    fn from(proc: ProcHandle) -> Self {
        Self::Proc(proc)
    }
}

impl From<InstanceId> for Viewer {
    fn from(instance: InstanceId) -> Self {
        Self::Instance(instance)
    }
}

/// What a viewer has to look numbers up in.
#[derive(Debug)]
pub(crate) enum Sight<'a> {
    /// The kernel's own numbers.
    Host,
    /// A space, that of an instance at `depth`.
    Inside { space: &'a Space, depth: usize },
    /// The viewer is not there.
    Nothing,
}

impl State {
    #[inline]
    pub(crate) fn sight(&self, instance: InstanceId) -> Sight<'_> {
        if instance == InstanceId::VPS0 {
            return Sight::Host;
        }
        match self.tree.node(instance) {
            Some(node) => Sight::Inside {
                space: &node.space,
                depth: usize::from(node.depth()),
            },
            None => Sight::Nothing,
        }
    }

    #[inline]
    fn sight_of(&self, viewer: Viewer) -> Sight<'_> {
        match viewer {
            Viewer::Proc(proc) => self.sight(self.instance_of(proc)),
            Viewer::Instance(instance) => self.sight(instance),
        }
    }

    /// See [`Core::id_to_view`].
    pub(crate) fn view_id_of(&self, viewer: Viewer, kind: IdKind, id: HostId) -> ViewId {
        let (space, depth) = match self.sight_of(viewer) {
            Sight::Host => return ViewId(id.0),
            Sight::Nothing => return ViewId::NONE,
            Sight::Inside { space, depth } => (space, depth),
        };
        let table = match kind {
            IdKind::Tid => &self.threads,
            IdKind::Pid | IdKind::Pgid | IdKind::Sid | IdKind::ReapSubtree => &self.procs,
        };
        table
            .by_host(id)
            .and_then(|(slot, _)| table.number_in(space, depth, slot))
            .map_or(ViewId::NONE, ViewId)
    }

    /// See [`Core::id_from_view`].
    pub(crate) fn host_id_of(&self, viewer: Viewer, kind: IdKind, id: ViewId) -> Option<HostId> {
        let space = match self.sight_of(viewer) {
            Sight::Host => return Some(HostId(id.0)),
            Sight::Nothing => return None,
            Sight::Inside { space, .. } => space,
        };
        // What is gone as a process may still name a group; no function pointer decides it, since
        // the kernel build's stack is computed over calls that are known.
        let (table, named) = match kind {
            IdKind::Tid => (&self.threads, false),
            IdKind::Pid => (&self.procs, false),
            IdKind::Pgid | IdKind::Sid | IdKind::ReapSubtree => (&self.procs, true),
        };
        let (_, entry) = table.by_number(space, id.0)?;
        let fits = entry.is_there() || (named && entry.stage() != Stage::Reserved);
        (fits && entry.host().0 != 0).then_some(entry.host())
    }

    /// Whether the viewer sees the process in `slot`.
    pub(crate) fn sees(&self, viewer: Viewer, slot: Slot) -> bool {
        match self.sight_of(viewer) {
            Sight::Host => true,
            Sight::Nothing => false,
            Sight::Inside { space, depth } => self.procs.number_in(space, depth, slot).is_some(),
        }
    }

    /// See [`Core::visible`].
    pub(crate) fn visible(&self, viewer: Viewer, target: ProcHandle) -> bool {
        match self.proc(target) {
            Some((slot, _)) => self.sees(viewer, slot),
            None => matches!(self.sight_of(viewer), Sight::Host),
        }
    }
}

impl<F: LockFamily> Core<F> {
    /// The PID of a process in its own instance, `getpid(2)`: one look into a hash. `host` is its
    /// `p_pid`, which is the answer for a process of the host.
    #[inline]
    pub fn own_pid(&self, proc: ProcHandle, host: HostId) -> ViewId {
        self.read(|state| {
            state
                .proc(proc)
                .map_or(ViewId(host.0), |(_, entry)| entry.own_number())
        })
    }

    /// What the viewer reads for an id of the kernel: [`ViewId::NONE`] where it is outside.
    #[inline]
    pub fn id_to_view<V: Into<Viewer>>(&self, viewer: V, kind: IdKind, id: HostId) -> ViewId {
        let viewer = viewer.into();
        self.read(|state| state.view_id_of(viewer, kind, id))
    }

    /// What the kernel calls the thing for which the viewer says `id`; `None` where the viewer
    /// sees no such thing (`ESRCH`, for most calls).
    #[inline]
    pub fn id_from_view<V: Into<Viewer>>(
        &self,
        viewer: V,
        kind: IdKind,
        id: ViewId,
    ) -> Option<HostId> {
        let viewer = viewer.into();
        self.read(|state| state.host_id_of(viewer, kind, id))
    }

    /// Whether the viewer may know that a process exists (`p_cansee`): it is in the viewer's
    /// instance or below it.
    #[inline]
    pub fn visible<V: Into<Viewer>>(&self, viewer: V, target: ProcHandle) -> bool {
        let viewer = viewer.into();
        self.read(|state| state.visible(viewer, target))
    }

    /// The instance that a process is in; vps0 for one of the host's.
    pub fn instance_of(&self, proc: ProcHandle) -> InstanceId {
        self.read(|state| state.instance_of(proc))
    }

    /// The init of an instance, to which orphans of the instance go; `None` while it has none, and
    /// for the host.
    pub fn init_of(&self, instance: InstanceId) -> Option<ProcHandle> {
        self.read(|state| {
            let slot = state.tree.node(instance)?.space.init()?;
            let entry = state.procs.get(slot)?;
            (entry.stage() == Stage::Live).then_some(entry.handle())
        })
    }

    /// The process to which the children of an exiting one go, unless a reaper of its own stands
    /// in between: the init of its instance, so that an orphan never leaves it. `None` where the
    /// kernel's own rule holds: for the host's processes, and when the instance has lost its init.
    pub fn reaper_of(&self, proc: ProcHandle) -> Option<ProcHandle> {
        let instance = self.instance_of(proc);
        self.init_of(instance).filter(|init| *init != proc)
    }

    /// The live processes that an instance sees, by rising number, from the first above `after` on:
    /// fills `batch` and returns the number to go on after, `None` when all have been seen. Nothing
    /// for the host, whose processes the kernel lists by itself.
    pub fn procs_after(
        &self,
        instance: InstanceId,
        after: ViewId,
        batch: &mut [Option<ProcHandle>],
    ) -> Option<ViewId> {
        for place in batch.iter_mut() {
            *place = None;
        }
        self.read(|state| state.alive_after(instance, after.0, batch))
            .map(ViewId)
    }
}
