// SPDX-License-Identifier: BSD-2-Clause
//! Values at fixed indices, whose room grows by chunks brought in from outside.
//!
//! A table that is written under a lock cannot grow there. So the room for the list of chunks is
//! had when the slab is made, a [`Chunk`] is allocated before the lock is taken and handed over
//! under it, and inserting and removing never touch the allocator.
//!
//! # Invariants
//! * I1: an index names the same value until that value is removed.
//! * I2: `len` counts the used cells, and the free list holds all the others.
//! * I3: no method but [`Slab::create`] and [`Chunk::create`] allocates.

use super::{List, NoMemory};

/// Cells in a chunk.
const CHUNK: usize = 64;
/// `index >> CHUNK_SHIFT` is the chunk, `index & CHUNK_MASK` the cell in it.
const CHUNK_SHIFT: u32 = 6;
const CHUNK_MASK: u32 = 63;

const _: () = assert!(1 << CHUNK_SHIFT == CHUNK && CHUNK_MASK as usize == CHUNK - 1);

/// A cell: a value, or a link of the free list (an index; `None` at its end).
#[derive(Debug)]
enum Cell<T> {
    Free(Option<u32>),
    Used(T),
}

/// Room for more values, allocated outside any lock.
#[derive(Debug)]
pub struct Chunk<T>(List<Cell<T>>);

impl<T> Chunk<T> {
    /// Room for 64 values.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn create() -> Result<Self, NoMemory> {
        let mut cells = List::with_capacity(CHUNK)?;
        for _ in 0..CHUNK {
            cells
                .push_reserved(Cell::Free(None))
                .map_err(|_| NoMemory)?;
        }
        Ok(Self(cells))
    }
}

/// Values at fixed indices.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: List<Chunk<T>>,
    chunks_max: usize,
    free: Option<u32>,
    len: usize,
}

impl<T> Slab<T> {
    /// A slab that can grow to `max` values at least; holds no room yet.
    ///
    /// # Errors
    /// [`NoMemory`] for the list of chunks, and where `max` is beyond what a `u32` can index.
    pub fn create(max: usize) -> Result<Self, NoMemory> {
        if u32::try_from(max).is_err() {
            return Err(NoMemory);
        }
        let chunks_max = max.div_ceil(CHUNK);
        Ok(Self {
            chunks: List::with_capacity(chunks_max)?,
            chunks_max,
            free: None,
            len: 0,
        })
    }

    /// How many values it holds.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next insertion needs no chunk.
    pub const fn has_room(&self) -> bool {
        self.free.is_some()
    }

    /// Whether it can take no further chunk.
    pub const fn is_at_limit(&self) -> bool {
        self.chunks.len() >= self.chunks_max
    }

    /// Takes in more room.
    ///
    /// # Errors
    /// Gives the chunk back where the slab has all it may.
    pub fn grow(&mut self, mut chunk: Chunk<T>) -> Result<(), Chunk<T>> {
        if self.is_at_limit() {
            return Err(chunk);
        }
        let Ok(base) = u32::try_from(self.chunks.len()) else {
            return Err(chunk);
        };
        let base = base << CHUNK_SHIFT;
        let old = self.free;
        for (offset, cell) in (0u32..).zip(chunk.0.iter_mut()) {
            let next = offset.saturating_add(1);
            *cell = Cell::Free(if next <= CHUNK_MASK {
                Some(base | next)
            } else {
                old
            });
        }
        self.chunks.push_reserved(chunk)?;
        self.free = Some(base);
        Ok(())
    }

    /// Puts `value` into a free cell and returns its index.
    ///
    /// # Errors
    /// Gives `value` back where no room is left (see [`Slab::grow`]).
    pub fn insert(&mut self, value: T) -> Result<u32, T> {
        let Some(index) = self.free else {
            return Err(value);
        };
        let Some(cell) = self.cell_mut(index) else {
            return Err(value);
        };
        let Cell::Free(next) = *cell else {
            return Err(value);
        };
        *cell = Cell::Used(value);
        self.free = next;
        self.len = self.len.saturating_add(1);
        Ok(index)
    }

    /// Takes the value at `index` out.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let cell = self.cell_mut(index)?;
        if matches!(cell, Cell::Free(_)) {
            return None;
        }
        let Cell::Used(value) = core::mem::replace(cell, Cell::Free(free)) else {
            return None;
        };
        self.free = Some(index);
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get((index >> CHUNK_SHIFT) as usize)?;
        match chunk.0.get((index & CHUNK_MASK) as usize)? {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    /// The value at `index`, to be changed in place.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.cell_mut(index)? {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    /// The values with their indices, in the order of the indices.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let cells = self.chunks.iter().flat_map(|chunk| chunk.0.iter());
        (0u32..).zip(cells).filter_map(|(index, cell)| match cell {
            Cell::Used(value) => Some((index, value)),
            Cell::Free(_) => None,
        })
    }

    fn cell_mut(&mut self, index: u32) -> Option<&mut Cell<T>> {
        let chunk = self.chunks.get_mut((index >> CHUNK_SHIFT) as usize)?;
        chunk.0.get_mut((index & CHUNK_MASK) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_slab_without_room_gives_the_value_back() {
        let mut slab = Slab::create(64).unwrap();
        assert!(!slab.has_room());
        assert_eq!(slab.insert(7), Err(7));
        slab.grow(Chunk::create().unwrap()).unwrap();
        for i in 0..64 {
            assert_eq!(slab.insert(i), Ok(i));
        }
        assert_eq!(slab.insert(64), Err(64));
        assert_eq!(slab.len(), 64);
        assert!(slab.grow(Chunk::create().unwrap()).is_err());
    }

    #[test]
    fn an_index_is_reused_only_after_its_value_was_removed() {
        let mut slab = Slab::create(128).unwrap();
        slab.grow(Chunk::create().unwrap()).unwrap();
        let a = slab.insert('a').unwrap();
        let b = slab.insert('b').unwrap();
        assert_ne!(a, b);
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.get(b), Some(&'b'));
        assert_eq!(slab.insert('c'), Ok(a));
        slab.grow(Chunk::create().unwrap()).unwrap();
        let seen: Vec<_> = slab.iter().collect();
        assert_eq!(seen, [(a, &'c'), (b, &'b')]);
    }

    #[test]
    fn an_index_beyond_all_chunks_is_nothing() {
        let mut slab: Slab<u8> = Slab::create(64).unwrap();
        assert_eq!(slab.get(0), None);
        assert_eq!(slab.remove(u32::MAX), None);
        slab.grow(Chunk::create().unwrap()).unwrap();
        assert_eq!(slab.get(64), None);
        assert_eq!(slab.get_mut(3), None);
    }

    #[test]
    fn both_chunks_fill_up_whatever_order_they_came_in() {
        let mut slab = Slab::create(65).unwrap();
        slab.grow(Chunk::create().unwrap()).unwrap();
        slab.grow(Chunk::create().unwrap()).unwrap();
        let mut indices: Vec<_> = (0..128).map(|i| slab.insert(i).unwrap()).collect();
        indices.sort_unstable();
        assert_eq!(indices, (0..128).collect::<Vec<_>>());
    }
}
