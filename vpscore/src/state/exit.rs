// SPDX-License-Identifier: BSD-2-Clause
//! The ends of processes and threads, and of an instance whose init ends.

use super::fork::runs;
use super::{Core, State};
use crate::instance::Event;
use crate::kpi::{Kpi, LockFamily};
use crate::pid::{Slot, Stage};
use crate::racct::Resource;
use crate::types::{HostId, InstanceId, ProcHandle, ViewId};
use crate::view::Sight;

/// `SIGKILL` (`sys/signal.h`).
pub const SIGKILL: i32 = 9;

/// Processes looked at under one hold of the lock, when all of an instance are gone through.
const BATCH: usize = 16;

/// Whose exit it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A process of the host, or one of an instance but its init.
    Ordinary,
    /// The init of an instance: all others in it and below have been sent `SIGKILL`.
    Init {
        /// Whose.
        instance: InstanceId,
    },
}

impl<F: LockFamily> Core<F> {
    /// A process is exiting (`process_exit`): its threads go, and it keeps its numbers as a zombie.
    /// If it is the init of an instance, everything else in it and below is killed.
    pub fn proc_exit<K: Kpi>(&self, kpi: &mut K, proc: ProcHandle) -> Exit {
        let instance = self.write(|state| {
            let (slot, entry) = state.proc(proc)?;
            let instance = entry.instance();
            while let Some((thread, _)) = state.threads.by_handle(proc) {
                state.drop_thread(thread);
            }
            state.procs.exit(slot);
            state.checked(instance, &[slot], &[]);
            let node = state.tree.node(instance)?;
            (node.space.init() == Some(slot)).then_some(instance)
        });
        match instance {
            None => Exit::Ordinary,
            Some(instance) => {
                self.kill_all(kpi, instance);
                Exit::Init { instance }
            }
        }
    }

    /// A zombie is reaped (`process_dtor`): its numbers linger until nothing carries them. Returns
    /// its PID as `waiter` sees it, which is what `wait4(2)` returns there. Neither sleeps nor fails;
    /// `host` is the kernel's number, for a process of the host.
    pub fn proc_reap(&self, proc: ProcHandle, host: HostId, waiter: Option<ProcHandle>) -> ViewId {
        let (tracked, seen) = self.read(|state| {
            let sight = state.sight(waiter.map_or(InstanceId::VPS0, |w| state.instance_of(w)));
            match state.proc(proc) {
                Some((slot, _)) => (true, state.proc_as_seen(&sight, slot)),
                None => (
                    false,
                    if matches!(sight, Sight::Host) {
                        ViewId(host.0)
                    } else {
                        ViewId::NONE
                    },
                ),
            }
        });
        if tracked {
            self.write(|state| {
                if let Some((slot, entry)) = state.proc(proc) {
                    let instance = entry.instance();
                    state.procs.reap(&mut state.tree, slot);
                    state.uncharge(instance, &[(Resource::Nproc, 1)]);
                    state.checked(instance, &[slot], &[]);
                    state.settle(instance);
                }
            });
        }
        seen
    }

    /// A thread has ended, its process goes on (`thread_dtor`). Neither sleeps nor fails.
    pub fn thread_exit(&self, tid: HostId) {
        if self.read(|state| state.threads.by_host(tid).is_some()) {
            self.write(|state| {
                if let Some((slot, _)) = state.threads.by_host(tid) {
                    state.drop_thread(slot);
                }
            });
        }
    }

    /// Sends `SIGKILL` to every process in `instance` and below it.
    pub(super) fn kill_all<K: Kpi>(&self, kpi: &mut K, instance: InstanceId) {
        let mut after = 0;
        loop {
            let mut batch = [None; BATCH];
            let last = self.read(|state| state.alive_after(instance, after, &mut batch));
            for proc in batch.into_iter().flatten() {
                kpi.signal(proc, SIGKILL);
            }
            match last {
                Some(last) => after = last,
                None => return,
            }
        }
    }
}

impl State {
    /// Fills `batch` with the live processes that have numbers above `after` in `instance`, and
    /// returns the number to go on after; `None` at the end.
    pub(crate) fn alive_after(
        &self,
        instance: InstanceId,
        after: i32,
        batch: &mut [Option<ProcHandle>],
    ) -> Option<i32> {
        let space = &self.tree.node(instance)?.space;
        let mut at = after;
        for place in batch {
            *place = loop {
                let (number, slot) = space.pids().next_after(at)?;
                at = number;
                let entry = self.procs.get(slot);
                let alive = entry.filter(|entry| entry.stage() == Stage::Live);
                if let Some(entry) = alive {
                    break Some(entry.handle());
                }
            };
        }
        Some(at)
    }

    /// The number of a process as an instance sees it.
    pub(crate) fn proc_as_seen(&self, sight: &Sight<'_>, slot: Slot) -> ViewId {
        match sight {
            Sight::Nothing => ViewId::NONE,
            Sight::Host => self
                .procs
                .get(slot)
                .map_or(ViewId::NONE, |entry| ViewId(entry.host().0)),
            Sight::Inside { space, depth } => self
                .procs
                .number_in(space, *depth, slot)
                .map_or(ViewId::NONE, ViewId),
        }
    }

    /// Notes for `id` and all above it that they hold no process any more, where that is so.
    pub(super) fn settle(&mut self, id: InstanceId) {
        let mut at = Some(id);
        while let Some(node) = at.and_then(|id| self.tree.node(id)) {
            let (id, parent) = (node.id(), node.parent());
            let empty = node.depth() > 0 && node.space.members() == 0 && runs(node.state());
            if empty {
                // A refusal means that an operation is under way which ends in a state of its own.
                let _ = self.tree.transition(id, Event::Halted);
            }
            at = parent;
        }
    }
}
