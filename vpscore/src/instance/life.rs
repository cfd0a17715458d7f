// SPDX-License-Identifier: BSD-2-Clause
//! Moving instances through their life cycle, with what is above and below them.

use super::error::{ReapError, TransitionError};
use super::node::Node;
use super::slab::Remains;
use super::state::{Event, State};
use super::tree::Tree;
use crate::types::InstanceId;

impl<S> Tree<S> {
    /// Applies an event to an instance. [`Event::Destroy`], [`Event::RestoreFailed`] and
    /// [`Event::MigrateCommitted`] take everything below it along.
    ///
    /// # Errors
    /// [`TransitionError`]; nothing has changed.
    pub fn transition(&mut self, id: InstanceId, event: Event) -> Result<State, TransitionError> {
        let next = self.may(id, event)?;
        self.assign(id, next);
        if next == State::Dying {
            self.doom_below(id);
        }
        self.check_invariants();
        Ok(next)
    }

    /// What [`Tree::transition`] would say, without doing it.
    ///
    /// # Errors
    /// [`TransitionError`].
    pub fn may(&self, id: InstanceId, event: Event) -> Result<State, TransitionError> {
        let node = self.node(id).ok_or(TransitionError::NoInstance { id })?;
        if id == InstanceId::VPS0 {
            return Err(TransitionError::Host);
        }
        let state = node.state;
        let next =
            state
                .next(event)
                .map_err(|why| TransitionError::Refused { state, event, why })?;
        self.check_fence(id, event)?;
        self.check_above(id, event)?;
        self.check_below(id, event)?;
        Ok(next)
    }

    /// The one place where a state is assigned.
    pub(super) fn assign(&mut self, id: InstanceId, state: State) {
        if let Some(node) = self.node_mut(id) {
            node.state = state;
            if state == State::Dead {
                node.prison = None;
            }
        }
    }

    /// A fenced instance, or one with a fenced instance above or below it, goes nowhere but down:
    /// what would resume it, copy it or hand it over is refused.
    fn check_fence(&self, id: InstanceId, event: Event) -> Result<(), TransitionError> {
        if ends(event) || matches!(event, Event::Halted | Event::Stopped | Event::StopFailed) {
            return Ok(());
        }
        let spreads = matches!(event, Event::Snapshot | Event::Migrate);
        let above = self.path_up(id).find(|node| node.fenced);
        let below = self.subtree(id).find(|node| spreads && node.fenced);
        match above.or(below) {
            Some(node) => Err(TransitionError::Fenced { at: node.id }),
            None => Ok(()),
        }
    }

    /// No ancestor may have an operation under way, but one that takes this instance with it.
    fn check_above(&self, id: InstanceId, event: Event) -> Result<(), TransitionError> {
        let found = self.path_up(id).skip(1).find(|above| match event {
            Event::Drained | Event::Halted => false,
            Event::Restored { .. } | Event::RestoreFailed => {
                !(above.state.at_rest() || above.state == State::Restoring)
            }
            _ => !above.state.at_rest(),
        });
        busy(found)
    }

    /// What begins an operation on a subtree needs all of it at rest; what ends one leaf by leaf
    /// needs nothing below.
    fn check_below(&self, id: InstanceId, event: Event) -> Result<(), TransitionError> {
        let found = match event {
            Event::Suspend | Event::Snapshot | Event::Migrate => {
                self.any_below(id, |state| !state.at_rest())
            }
            Event::Restored { .. } => self.any_below(id, |state| state == State::Restoring),
            Event::RestoreFailed => self.any_below(id, |state| {
                !(state.at_rest() || matches!(state, State::Restoring | State::Dying | State::Dead))
            }),
            Event::Destroy => self.any_below(id, |state| {
                !(state.at_rest() || matches!(state, State::Dying | State::Dead))
            }),
            Event::Drained => self.any_below(id, |_| true),
            Event::Start
            | Event::Halted
            | Event::Stopped
            | Event::StopFailed
            | Event::Resume
            | Event::SnapshotDone
            | Event::MigrateStopped
            | Event::MigrateAborted
            | Event::MigrateCommitted => None,
        };
        busy(found)
    }

    /// Everything below a dying instance dies with it (I3).
    fn doom_below(&mut self, top: InstanceId) {
        let mut here = self.next_in_subtree(top, top);
        while let Some(id) = here {
            if self.node(id).is_some_and(|node| node.state != State::Dead) {
                self.assign(id, State::Dying);
            }
            here = self.next_in_subtree(top, id);
        }
    }

    /// Takes the record of a dead instance out of the tree. Its memory is handed back, to be
    /// dropped after the lock is given up; its id names nothing from then on.
    ///
    /// # Errors
    /// [`ReapError`]; [`ReapError::Held`] while the kernel still holds a charge on it.
    pub fn reap(&mut self, id: InstanceId) -> Result<Remains<S>, ReapError> {
        let node = self.node(id).ok_or(ReapError::NoInstance { id })?;
        // A dead instance has nothing below it: `Drained` saw to that and nothing is created there.
        if node.state != State::Dead || node.first_child.is_some() {
            return Err(ReapError::NotDead { state: node.state });
        }
        if let Some((resource, total)) = node.account.first_in_use() {
            return Err(ReapError::Held { resource, total });
        }
        let (parent, prev, next) = (node.parent, node.prev_sibling, node.next_sibling);
        if let Some(next) = next.and_then(|next| self.node_mut(next)) {
            next.prev_sibling = prev;
        }
        if let Some(prev) = prev.and_then(|prev| self.node_mut(prev)) {
            prev.next_sibling = next;
        } else if let Some(parent) = parent.and_then(|parent| self.node_mut(parent)) {
            parent.first_child = next;
        }
        if let Some(parent) = parent {
            self.count_below(parent, false);
        }
        let remains = self.slab.remove(id).ok_or(ReapError::NoInstance { id })?;
        self.check_invariants();
        Ok(remains)
    }

    /// Does nothing but, where feature `invariants` is on, check [`Tree::invariants`].
    #[inline]
    pub(crate) fn check_invariants(&self) {
        #[cfg(feature = "invariants")]
        assert!(self.invariants(), "instance: a broken invariant");
    }

    /// Whether I1 to I3 and I5 hold (I4 is a matter of refusals).
    pub fn invariants(&self) -> bool {
        let all = (0..self.slab.capacity()).filter_map(|index| self.slab.at(index));
        let count = all.clone().count();
        let reachable = self.subtree(InstanceId::VPS0).count();
        count == self.len() as usize
            && reachable == count
            && all.into_iter().all(|node| self.node_holds(node))
    }

    fn node_holds(&self, node: &Node<S>) -> bool {
        let above = node.parent.and_then(|parent| self.node(parent));
        let linked = match above {
            None => node.id == InstanceId::VPS0 && node.depth == 0,
            Some(above) => {
                node.depth == above.depth.saturating_add(1)
                    && usize::from(node.depth) <= crate::limits::DEPTH_MAX
            }
        };
        let before = match node.prev_sibling {
            Some(prev) => self.node(prev).is_some_and(|prev| {
                prev.next_sibling == Some(node.id) && prev.parent == node.parent
            }),
            None => above.is_none_or(|above| above.first_child == Some(node.id)),
        };
        let below = self.children(node.id).fold(0_u32, |sum, child| {
            sum.saturating_add(child.below).saturating_add(1)
        });
        let named = node.state == State::Dead || self.named_unlike_the_next(node);
        let doomed = !matches!(above.map(|above| above.state), Some(State::Dying))
            || matches!(node.state, State::Dying | State::Dead);
        let barren = node.state != State::Dead || node.first_child.is_none();
        linked
            && before
            && below == node.below
            && named
            && doomed
            && barren
            && node
                .privileges
                .agrees_with(above.map(|above| &above.privileges))
            && self.account_holds(node)
    }

    /// Whether no later sibling has its name; earlier ones are asked for themselves.
    fn named_unlike_the_next(&self, node: &Node<S>) -> bool {
        let after = |node: &Node<S>| node.next_sibling.and_then(|next| self.node(next));
        core::iter::successors(after(node), |next| after(next))
            .take(self.len() as usize)
            .all(|next| next.state == State::Dead || next.name != node.name)
    }

    /// [`crate::racct`] I1 for one node.
    fn account_holds(&self, node: &Node<S>) -> bool {
        crate::racct::Resource::ALL.iter().all(|resource| {
            let usage = node.account.usage(*resource);
            let sum = self.children(node.id).try_fold(usage.own, |sum, child| {
                sum.checked_add(child.account.usage(*resource).total)
            });
            sum == Some(usage.total) && usage.limit.soft <= usage.limit.hard
        })
    }
}

const fn ends(event: Event) -> bool {
    matches!(
        event,
        Event::Destroy
            | Event::Drained
            | Event::RestoreFailed
            | Event::MigrateAborted
            | Event::MigrateCommitted
    )
}

fn busy<S>(found: Option<&Node<S>>) -> Result<(), TransitionError> {
    match found {
        Some(node) => Err(TransitionError::Busy {
            at: node.id,
            state: node.state,
        }),
        None => Ok(()),
    }
}
