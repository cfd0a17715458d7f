// SPDX-License-Identifier: BSD-2-Clause
//! The tree: creating, finding and reading instances, and what one may have below it.

use super::error::{CeilingError, CreateError, LookupError};
use super::name::{Name, Path};
use super::node::{Ceilings, Node};
use super::slab::{Seed, Slab};
use super::state::State;
use crate::collections::NoMemory;
use crate::limits::DEPTH_MAX;
use crate::privilege::{self, Priv, Verdict};
use crate::types::{InstanceId, PrisonHandle};

/// How an instance comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// Empty, for a first process to enter.
    Empty,
    /// To be filled from an image.
    Restore,
}

/// All instances of a host.
#[derive(Debug)]
pub struct Tree<S> {
    pub(super) slab: Slab<S>,
}

impl<S> Tree<S> {
    /// A tree of vps0 alone; `space` is the kernel's own.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(space: S) -> Result<Self, NoMemory> {
        let mut tree = Self {
            slab: Slab::create()?,
        };
        let mut seed = Seed::prepare(space, false)?;
        tree.slab.make_room(&mut seed);
        let host = tree.slab.insert(&mut seed).ok_or(NoMemory)?;
        tree.assign(host, State::Running);
        tree.check_invariants();
        Ok(tree)
    }

    /// Whether a [`Seed`] needs no room of its own.
    pub const fn has_room(&self) -> bool {
        self.slab.has_room()
    }

    /// How many instances there are, vps0 and the dead counted in.
    pub const fn len(&self) -> u32 {
        self.slab.used()
    }

    /// Never: vps0 is always there.
    pub const fn is_empty(&self) -> bool {
        self.slab.used() == 0
    }

    /// The instance with this id.
    pub fn node(&self, id: InstanceId) -> Option<&Node<S>> {
        self.slab.get(id)
    }

    /// The instance with this id, to be changed in place.
    pub fn node_mut(&mut self, id: InstanceId) -> Option<&mut Node<S>> {
        self.slab.get_mut(id)
    }

    /// Creates an instance below `parent`. Its privileges are the defaults as far as the parent
    /// goes, its limits none of its own. The kernel's side comes next ([`Tree::set_prison`]).
    ///
    /// # Errors
    /// [`CreateError`]; the seed stays whole but for room that the table took.
    pub fn create(
        &mut self,
        seed: &mut Seed<S>,
        parent: InstanceId,
        name: Name,
        birth: Birth,
    ) -> Result<InstanceId, CreateError> {
        let above = self
            .node(parent)
            .ok_or(CreateError::NoInstance { id: parent })?;
        let depth = above.depth.saturating_add(1);
        let eldest = above.first_child;
        let privileges = privilege::Set::child_of(&above.privileges);
        self.may_have_child(parent, birth)?;
        if let Some(by) = self.child_named(parent, &name) {
            return Err(CreateError::NameTaken { by });
        }
        if !self.slab.make_room(seed) {
            return Err(CreateError::NoSlot);
        }
        let id = self.slab.insert(seed).ok_or(CreateError::NoSlot)?;
        if let Some(node) = self.node_mut(id) {
            node.parent = Some(parent);
            node.next_sibling = eldest;
            node.depth = depth;
            node.name = name;
            node.privileges = privileges;
            node.restores = u32::from(birth == Birth::Restore);
        }
        self.assign(
            id,
            match birth {
                Birth::Empty => State::Created,
                Birth::Restore => State::Restoring,
            },
        );
        if let Some(older) = eldest.and_then(|eldest| self.node_mut(eldest)) {
            older.prev_sibling = Some(id);
        }
        if let Some(above) = self.node_mut(parent) {
            above.first_child = Some(id);
        }
        self.count_below(parent, true);
        self.check_invariants();
        Ok(id)
    }

    /// Asks every instance from `parent` up whether one more may be created below it.
    fn may_have_child(&self, parent: InstanceId, birth: Birth) -> Result<(), CreateError> {
        let mut levels = 1_u8;
        for above in self.path_up(parent) {
            let at = above.id;
            if above.fenced {
                return Err(CreateError::Fenced { at });
            }
            let open = match above.state {
                State::Created | State::Running => true,
                State::Restoring => birth == Birth::Restore,
                _ => false,
            };
            if !open {
                return Err(CreateError::Busy {
                    at,
                    state: above.state,
                });
            }
            if levels > above.ceilings.depth {
                let max = above.ceilings.depth;
                return Err(CreateError::TooDeep { at, max });
            }
            if above.below >= above.ceilings.instances {
                let max = above.ceilings.instances;
                return Err(CreateError::TooMany { at, max });
            }
            levels = levels.saturating_add(1);
        }
        Ok(())
    }

    /// Counts one instance more or less in `from` and all above it.
    pub(super) fn count_below(&mut self, from: InstanceId, more: bool) {
        let mut here = Some(from);
        while let Some(node) = here.and_then(|at| self.node_mut(at)) {
            node.below = if more {
                node.below.saturating_add(1)
            } else {
                node.below.saturating_sub(1)
            };
            here = node.parent;
        }
    }

    /// Notes the kernel's side of an instance, or that it is gone. Returns what it was.
    pub fn set_prison(
        &mut self,
        id: InstanceId,
        prison: Option<PrisonHandle>,
    ) -> Option<PrisonHandle> {
        let node = self.node_mut(id)?;
        core::mem::replace(&mut node.prison, prison)
    }

    /// The instance that has this prison, for a joint that knows only the kernel's side.
    pub fn by_prison(&self, prison: PrisonHandle) -> Option<InstanceId> {
        (0..self.slab.capacity())
            .filter_map(|index| self.slab.at(index))
            .find(|node| node.prison == Some(prison))
            .map(|node| node.id)
    }

    /// The living child of that name.
    pub fn child_named(&self, parent: InstanceId, name: &Name) -> Option<InstanceId> {
        self.children(parent)
            .find(|child| child.state != State::Dead && child.name == *name)
            .map(|child| child.id)
    }

    /// The instance that `path` names as seen from `caller`: "." is the caller, `a.b` the child b
    /// of its child a. Nobody can name an ancestor or a sibling.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn lookup(&self, caller: InstanceId, path: &[u8]) -> Result<InstanceId, LookupError> {
        self.node(caller).ok_or(LookupError::NotFound)?;
        if path == b"." {
            return Ok(caller);
        }
        let mut here = caller;
        for (level, part) in path.split(|byte| *byte == b'.').enumerate() {
            if level >= DEPTH_MAX {
                return Err(LookupError::TooDeep);
            }
            let name = Name::parse(part).map_err(LookupError::Bad)?;
            here = self.child_named(here, &name).ok_or(LookupError::NotFound)?;
        }
        Ok(here)
    }

    /// How `viewer` names `id`; `None` where `id` is not the viewer and not below it.
    pub fn path(&self, viewer: InstanceId, id: InstanceId) -> Option<Path> {
        let mut path = Path::EMPTY;
        for node in self.path_up(id) {
            if node.id == viewer {
                if path.is_empty() {
                    path.prepend_bytes(b".");
                }
                return Some(path);
            }
            path.prepend(&node.name);
        }
        None
    }

    /// What an instance may have below it, its ancestors' ceilings counted in.
    pub fn effective_ceilings(&self, id: InstanceId) -> Ceilings {
        let mut least = Ceilings::MOST;
        let mut levels = 0_u8;
        for node in self.path_up(id) {
            let depth = node.ceilings.depth.saturating_sub(levels);
            least.depth = least.depth.min(depth);
            least.instances = least.instances.min(node.ceilings.instances);
            levels = levels.saturating_add(1);
        }
        least
    }

    /// Sets what an instance may have below it. What is there already stays.
    ///
    /// # Errors
    /// [`CeilingError`]: not more than the parent may have.
    pub fn set_ceilings(&mut self, id: InstanceId, ceilings: Ceilings) -> Result<(), CeilingError> {
        let node = self.node(id).ok_or(CeilingError::NoInstance { id })?;
        let parent = node.parent.ok_or(CeilingError::Host)?;
        let most = self.effective_ceilings(parent);
        let deeper = ceilings.depth > most.depth.saturating_sub(1);
        if deeper || ceilings.instances > most.instances {
            return Err(CeilingError::AboveParent { at: parent });
        }
        if let Some(node) = self.node_mut(id) {
            node.ceilings = ceilings;
        }
        self.check_invariants();
        Ok(())
    }

    /// Changes what an instance says of one privilege, and works out what holds in it and in all
    /// below it.
    ///
    /// # Errors
    /// [`privilege::Error::NotHeld`] for an *allow* that does not hold in `asker`;
    /// [`privilege::Error::Invalid`] for a number that is no privilege. `id` must be there and below
    /// `asker`; if not, nothing is held.
    pub fn set_privilege(
        &mut self,
        asker: InstanceId,
        id: InstanceId,
        raw: i32,
        wish: Verdict,
    ) -> Result<(), privilege::Error> {
        let privilege = Priv::from_raw(raw).ok_or(privilege::Error::Invalid { raw })?;
        let refused = privilege::Error::NotHeld { privilege };
        if asker == id || !self.is_within(id, asker) {
            return Err(refused);
        }
        let held = self
            .node(asker)
            .is_some_and(|node| node.privileges.verdict(privilege) == Verdict::Allow);
        if wish == Verdict::Allow && !held {
            return Err(refused);
        }
        if let Some(node) = self.node_mut(id) {
            node.privileges.set_wish(privilege, wish);
        }
        self.inherit_privileges(id);
        self.check_invariants();
        Ok(())
    }

    /// Replaces the privileges of an instance being restored; it has nothing below it yet. With
    /// `strict` it may wish for nothing that its parent does not hold; without, a wish is only that.
    ///
    /// # Errors
    /// [`privilege::Error::NotHeld`] for the first that its parent does not hold, if `strict`.
    pub fn restore_privileges(
        &mut self,
        id: InstanceId,
        allow: privilege::Bits,
        nosys: privilege::Bits,
        strict: bool,
    ) -> Result<(), privilege::Error> {
        let Some(above) = self
            .node(id)
            .and_then(|node| node.parent)
            .and_then(|parent| self.node(parent))
        else {
            return Ok(());
        };
        let host = privilege::Set::host();
        let above = if strict { &above.privileges } else { &host };
        let set = privilege::Set::restore(allow, nosys, above)?;
        if let Some(node) = self.node_mut(id) {
            node.privileges = set;
        }
        self.inherit_privileges(id);
        self.check_invariants();
        Ok(())
    }

    /// Works out what privileges hold in `top` and, parents first, in everything below it.
    fn inherit_privileges(&mut self, top: InstanceId) {
        let mut here = Some(top);
        while let Some(id) = here {
            let above = self
                .node(id)
                .and_then(|node| node.parent)
                .and_then(|parent| self.node(parent))
                .map(|parent| parent.privileges);
            if let Some(node) = self.node_mut(id) {
                match above {
                    Some(above) => node.privileges.inherit(&above),
                    None => node.privileges.inherit_nothing(),
                }
            }
            here = self.next_in_subtree(top, id);
        }
    }

    /// Marks an instance in which a broken invariant was found: nothing but its destruction is
    /// allowed from then on. vps0 itself cannot be fenced.
    pub fn fence(&mut self, id: InstanceId) {
        if id != InstanceId::VPS0
            && let Some(node) = self.node_mut(id)
        {
            node.fenced = true;
        }
    }
}
