// SPDX-License-Identifier: BSD-2-Clause
//! The record of one instance.

use super::name::Name;
use super::state::State;
use crate::limits::{DEPTH_MAX, INSTANCES_MAX};
use crate::privilege;
use crate::racct::Account;
use crate::types::{InstanceId, PrisonHandle};

/// How much an instance may have below it. What holds is the least on the way to the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// Instances below it, at all levels.
    pub instances: u32,
    /// Levels below it.
    pub depth: u8,
}

impl Ceilings {
    /// As much as the core can hold.
    pub const MOST: Self = Self {
        instances: INSTANCES_MAX as u32,
        depth: DEPTH_MAX as u8,
    };
}

const _: () = assert!(INSTANCES_MAX <= u32::MAX as usize && DEPTH_MAX <= u8::MAX as usize);

/// One instance. Reached through [`super::Tree`]; fields that others depend on change through the
/// tree's methods only.
#[derive(Debug)]
pub struct Node<S> {
    pub(super) id: InstanceId,
    pub(super) parent: Option<InstanceId>,
    pub(super) first_child: Option<InstanceId>,
    pub(super) prev_sibling: Option<InstanceId>,
    pub(super) next_sibling: Option<InstanceId>,
    pub(super) depth: u8,
    /// Descendants, the dead counted in.
    pub(super) below: u32,
    pub(super) name: Name,
    pub(super) state: State,
    pub(super) fenced: bool,
    pub(super) prison: Option<PrisonHandle>,
    pub(super) ceilings: Ceilings,
    pub(super) restores: u32,
    pub(super) account: Account,
    pub(super) privileges: privilege::Set,
    /// What [`crate::pid`] keeps for this instance.
    pub space: S,
}

impl<S> Node<S> {
    /// A node in no tree yet.
    pub(super) fn unlinked(space: S) -> Self {
        Self {
            id: InstanceId::VPS0,
            parent: None,
            first_child: None,
            prev_sibling: None,
            next_sibling: None,
            depth: 0,
            below: 0,
            name: Name::HOST,
            state: State::Created,
            fenced: false,
            prison: None,
            ceilings: Ceilings::MOST,
            restores: 0,
            account: Account::NEW,
            privileges: privilege::Set::host(),
            space,
        }
    }

    /// Its id.
    pub const fn id(&self) -> InstanceId {
        self.id
    }

    /// The instance it is in; `None` for vps0.
    pub const fn parent(&self) -> Option<InstanceId> {
        self.parent
    }

    /// The child created last; the others follow by [`Node::next_sibling`].
    pub const fn first_child(&self) -> Option<InstanceId> {
        self.first_child
    }

    /// The next older child of the same parent.
    pub const fn next_sibling(&self) -> Option<InstanceId> {
        self.next_sibling
    }

    /// Levels below vps0, which has 0.
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// How many instances are below it, at all levels.
    pub const fn below(&self) -> u32 {
        self.below
    }

    /// Its name within its parent; empty for vps0.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its own state; see [`super::Tree::stopped_by`] for what its ancestors do to it.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether a broken invariant was found in it.
    pub const fn fenced(&self) -> bool {
        self.fenced
    }

    /// The kernel's side of it; `None` for vps0, before it is made and after it is gone.
    pub const fn prison(&self) -> Option<PrisonHandle> {
        self.prison
    }

    /// What it may have below it, as set here.
    pub const fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// How often it has been restored, or moved here.
    pub const fn restores(&self) -> u32 {
        self.restores
    }

    /// What it uses.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) const fn account_mut(&mut self) -> &mut Account {
        &mut self.account
    }

    /// What it may do.
    pub const fn privileges(&self) -> &privilege::Set {
        &self.privileges
    }
}
