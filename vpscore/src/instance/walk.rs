// SPDX-License-Identifier: BSD-2-Clause
//! Walks over the tree, none of them recursive.
//!
//! Every walk is bounded: upward by [`DEPTH_MAX`] + 1 nodes, over children and subtrees by the
//! number of nodes in the table, whatever the links say.

use super::node::Node;
use super::state::State;
use super::tree::Tree;
use crate::limits::DEPTH_MAX;
use crate::types::InstanceId;

/// An instance and everything below it, parents before children. See [`Tree::subtree`].
#[derive(Debug)]
pub struct Subtree<'a, S> {
    tree: &'a Tree<S>,
    top: InstanceId,
    here: Option<InstanceId>,
    left: u32,
}

impl<'a, S> Iterator for Subtree<'a, S> {
    type Item = &'a Node<S>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = self.tree.node(self.here?)?;
        self.here = self.tree.next_in_subtree(self.top, node.id());
        Some(node)
    }
}

impl<S> Tree<S> {
    /// The instance, its parent, and so on to vps0.
    pub fn path_up(&self, id: InstanceId) -> impl Iterator<Item = &Node<S>> {
        core::iter::successors(self.node(id), |node| {
            node.parent().and_then(|parent| self.node(parent))
        })
        .take(DEPTH_MAX.saturating_add(1))
    }

    /// The children, the one created last first; the dead counted in.
    pub fn children(&self, id: InstanceId) -> impl Iterator<Item = &Node<S>> {
        let first = self.node(id).and_then(Node::first_child);
        core::iter::successors(first.and_then(|id| self.node(id)), |node| {
            node.next_sibling().and_then(|next| self.node(next))
        })
        .take(self.len() as usize)
    }

    /// The instance and everything below it, parents before children.
    pub fn subtree(&self, top: InstanceId) -> Subtree<'_, S> {
        Subtree {
            tree: self,
            top,
            here: Some(top),
            left: self.len(),
        }
    }

    /// The next after `here` in the order of [`Tree::subtree`], for a walk that gives up the lock
    /// between two steps. `None` at the end, or where `here` is gone.
    pub fn next_in_subtree(&self, top: InstanceId, here: InstanceId) -> Option<InstanceId> {
        let node = self.node(here)?;
        if node.first_child.is_some() {
            return node.first_child;
        }
        for node in self.path_up(here) {
            if node.id == top {
                return None;
            }
            if node.next_sibling.is_some() {
                return node.next_sibling;
            }
        }
        None
    }

    /// The next instance to tear down for `top` to go: a leaf of its subtree, `top` itself last.
    /// `None` where `top` is gone.
    pub fn next_to_tear_down(&self, top: InstanceId) -> Option<InstanceId> {
        let mut node = self.node(top)?;
        for _ in 0..DEPTH_MAX {
            match node.first_child.and_then(|child| self.node(child)) {
                Some(child) => node = child,
                None => break,
            }
        }
        Some(node.id)
    }

    /// Whether `id` is `top` or below it.
    pub fn is_within(&self, id: InstanceId, top: InstanceId) -> bool {
        self.path_up(id).any(|node| node.id == top)
    }

    /// The lowest instance that has both in it.
    pub fn common_ancestor(&self, a: InstanceId, b: InstanceId) -> Option<InstanceId> {
        self.path_up(a)
            .map(Node::id)
            .find(|above| self.is_within(b, *above))
    }

    /// The instance whose state keeps the threads of `id` stopped: itself or one above it.
    pub fn stopped_by(&self, id: InstanceId) -> Option<InstanceId> {
        self.path_up(id)
            .find(|node| node.state.stops())
            .map(Node::id)
    }

    /// Whether anything below `id`, or `id` itself where it is no longer whole, is in `state`.
    pub(super) fn any_below(
        &self,
        id: InstanceId,
        bad: impl Fn(State) -> bool,
    ) -> Option<&Node<S>> {
        self.subtree(id)
            .find(|node| node.id != id && bad(node.state))
    }
}
