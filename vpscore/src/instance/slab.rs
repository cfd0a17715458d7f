// SPDX-License-Identifier: BSD-2-Clause
//! Slots for nodes, and the memory of both, which is made and freed outside the lock.
//!
//! A slot has room for the pointer to a node. Slots come in chunks, which stay for the life of the
//! tree; a slot's generation rises with each use, and a slot whose generations are used up is left
//! empty for good, so that no id is ever given twice.

use super::node::Node;
use crate::collections::{List, NoMemory};
use crate::limits::INSTANCES_MAX;
use crate::types::InstanceId;

/// log2 of the slots in a chunk.
const CHUNK_SHIFT: u32 = 8;
const CHUNK_SLOTS: usize = 1 << CHUNK_SHIFT;
const CHUNKS_MAX: usize = INSTANCES_MAX >> CHUNK_SHIFT;
const _: () = assert!(CHUNKS_MAX << CHUNK_SHIFT == INSTANCES_MAX);

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    next_free: Option<u32>,
    /// Holds one node or none; a list because it is the one kind of box that can fail to be had.
    node: List<Node<S>>,
}

/// Slots not yet in a tree.
#[derive(Debug)]
pub struct Chunk<S>(List<Slot<S>>);

impl<S> Chunk<S> {
    fn allocate() -> Result<Self, NoMemory> {
        let mut slots = List::with_capacity(CHUNK_SLOTS)?;
        for _ in 0..CHUNK_SLOTS {
            slots.push(Slot {
                generation: 0,
                next_free: None,
                node: List::new(),
            })?;
        }
        Ok(Self(slots))
    }
}

/// The memory a new instance needs, made before the lock is taken. What is left in it after
/// [`super::Tree::create`] is dropped with it, after the lock is given up.
#[derive(Debug)]
pub struct Seed<S> {
    pub(super) node: List<Node<S>>,
    chunk: Option<Chunk<S>>,
}

impl<S> Seed<S> {
    /// Makes the memory; `has_room` is what [`super::Tree::has_room`] said.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn prepare(space: S, has_room: bool) -> Result<Self, NoMemory> {
        let mut node = List::with_capacity(1)?;
        node.push(Node::unlinked(space))?;
        let chunk = if has_room {
            None
        } else {
            Some(Chunk::allocate()?)
        };
        Ok(Self { node, chunk })
    }
}

/// The memory of an instance that is gone, to be dropped after the lock is given up.
#[derive(Debug)]
#[must_use = "to be dropped after the lock is given up"]
pub struct Remains<S> {
    #[expect(dead_code, reason = "kept only to be dropped elsewhere")]
    node: List<Node<S>>,
}

/// All slots of a tree.
#[derive(Debug)]
pub(super) struct Slab<S> {
    chunks: List<Chunk<S>>,
    free: Option<u32>,
    used: u32,
}

impl<S> Slab<S> {
    /// A slab without slots.
    pub(super) fn create() -> Result<Self, NoMemory> {
        Ok(Self {
            chunks: List::with_capacity(CHUNKS_MAX)?,
            free: None,
            used: 0,
        })
    }

    pub(super) const fn has_room(&self) -> bool {
        self.free.is_some()
    }

    /// How many nodes it holds.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// Slots there are, used or not.
    pub(super) const fn capacity(&self) -> u32 {
        // At most INSTANCES_MAX, which fits.
        (self.chunks.len() << CHUNK_SHIFT) as u32
    }

    fn slot(&self, index: u32) -> Option<&Slot<S>> {
        let chunk = self.chunks.get((index >> CHUNK_SHIFT) as usize)?;
        chunk.0.get(index as usize & (CHUNK_SLOTS - 1))
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<S>> {
        let chunk = self.chunks.get_mut((index >> CHUNK_SHIFT) as usize)?;
        chunk.0.get_mut(index as usize & (CHUNK_SLOTS - 1))
    }

    pub(super) fn get(&self, id: InstanceId) -> Option<&Node<S>> {
        let slot = self.slot(id.slot)?;
        if slot.generation == id.generation {
            slot.node.get(0)
        } else {
            None
        }
    }

    pub(super) fn get_mut(&mut self, id: InstanceId) -> Option<&mut Node<S>> {
        let slot = self.slot_mut(id.slot)?;
        if slot.generation == id.generation {
            slot.node.get_mut(0)
        } else {
            None
        }
    }

    /// The node in this slot, whatever its generation.
    pub(super) fn at(&self, index: u32) -> Option<&Node<S>> {
        self.slot(index)?.node.get(0)
    }

    /// Puts the seed's chunk in place if no slot is free. Never allocates.
    pub(super) fn make_room(&mut self, seed: &mut Seed<S>) -> bool {
        if self.free.is_some() {
            return true;
        }
        let base = self.capacity();
        if self.chunks.len() >= CHUNKS_MAX {
            return false;
        }
        let Some(mut chunk) = seed.chunk.take() else {
            return false;
        };
        let mut index = base;
        let last = chunk.0.len().saturating_sub(1);
        for (i, slot) in chunk.0.iter_mut().enumerate() {
            index = index.saturating_add(1);
            slot.next_free = if i == last { None } else { Some(index) };
        }
        match self.chunks.push_reserved(chunk) {
            Ok(()) => {
                self.free = Some(base);
                true
            }
            Err(chunk) => {
                seed.chunk = Some(chunk);
                false
            }
        }
    }

    /// Moves the seed's node into a free slot. `None` where there is none, or no node.
    pub(super) fn insert(&mut self, seed: &mut Seed<S>) -> Option<InstanceId> {
        if seed.node.is_empty() {
            return None;
        }
        let index = self.free?;
        let slot = self.slot_mut(index)?;
        let id = InstanceId {
            slot: index,
            generation: slot.generation,
        };
        core::mem::swap(&mut slot.node, &mut seed.node);
        let next = slot.next_free.take();
        if let Some(node) = slot.node.get_mut(0) {
            node.id = id;
        }
        self.free = next;
        self.used = self.used.saturating_add(1);
        Some(id)
    }

    /// Takes a node out; its memory is the caller's to drop.
    pub(super) fn remove(&mut self, id: InstanceId) -> Option<Remains<S>> {
        self.get(id)?;
        let free = self.free;
        let slot = self.slot_mut(id.slot)?;
        let node = core::mem::take(&mut slot.node);
        match slot.generation.checked_add(1) {
            Some(generation) => {
                slot.generation = generation;
                slot.next_free = free;
                self.free = Some(id.slot);
            }
            // Left empty: no generation matches a node that is not there.
            None => slot.next_free = None,
        }
        self.used = self.used.saturating_sub(1);
        Some(Remains { node })
    }

    #[cfg(test)]
    pub(super) fn exhaust_generations(&mut self, index: u32) {
        let slot = self.slot_mut(index).unwrap();
        slot.generation = u32::MAX;
        if let Some(node) = slot.node.get_mut(0) {
            node.id.generation = u32::MAX;
        }
    }
}
