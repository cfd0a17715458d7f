// SPDX-License-Identifier: BSD-2-Clause
//! The invariants of the whole state.

use super::{Core, State};
use crate::kpi::LockFamily;
use crate::pid::{Kind, Slot, Stage};
use crate::racct::Resource;
use crate::types::InstanceId;

impl State {
    /// Whether what a change has touched is whole: the entries, and the spaces from `instance` up.
    pub(crate) fn invariants_of(
        &self,
        instance: InstanceId,
        procs: &[Slot],
        threads: &[Slot],
    ) -> bool {
        procs
            .iter()
            .all(|slot| self.procs.entry_invariants(&self.tree, *slot))
            && threads
                .iter()
                .all(|slot| self.threads.entry_invariants(&self.tree, *slot))
            && self
                .tree
                .path_up(instance)
                .filter(|node| node.depth() > 0)
                .all(|node| node.space.invariants())
    }

    /// Whether everything is whole. Costs a walk over everything.
    pub fn invariants(&self) -> bool {
        let below = |id: InstanceId| id != InstanceId::VPS0;
        self.tree.invariants()
            && self.procs.invariants(&self.tree)
            && self.threads.invariants(&self.tree)
            && self
                .tree
                .subtree(InstanceId::VPS0)
                .filter(|node| below(node.id()))
                .all(|node| {
                    let id = node.id();
                    self.procs.space_invariants(&self.tree, id, Kind::Pid)
                        && self.threads.space_invariants(&self.tree, id, Kind::Tid)
                        && self.charges_agree(id)
                })
    }

    /// I2, for an instance through which no process is on its way to a deeper one: while an entry
    /// is reserved, its charge may have come from elsewhere.
    fn charges_agree(&self, id: InstanceId) -> bool {
        if self.procs.reserved() > 0 {
            return true;
        }
        let Some(node) = self.tree.node(id) else {
            return false;
        };
        let procs = self
            .procs
            .iter()
            .filter(|(_, entry)| entry.instance() == id && entry.stage() != Stage::Lingering)
            .count();
        let threads = self
            .threads
            .iter()
            .filter(|(_, entry)| entry.instance() == id)
            .count();
        node.account().usage(Resource::Nproc).own == procs as u64
            && node.account().usage(Resource::Nthr).own == threads as u64
    }
}

impl<F: LockFamily> Core<F> {
    /// Whether the whole state keeps its invariants. For tests and for the simulator's checkers.
    pub fn invariants(&self) -> bool {
        self.read(State::invariants)
    }
}
