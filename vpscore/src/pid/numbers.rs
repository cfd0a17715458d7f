// SPDX-License-Identifier: BSD-2-Clause
//! One range of numbers (the PIDs, or the TIDs, of one instance) and what each of them stands for.
//!
//! A two-level table maps a number to the slot of its entry in [`super::Table`]. Leaves of 1024
//! numbers come and go: one is brought in by the caller, who allocated it outside the lock, and is
//! handed out again when its last number is given back, to be freed outside the lock.
//!
//! Numbers are handed out as `fork_findpid` does (`kern_fork.c`, 15.0): the next one after the
//! last, skipping those in use; at the end of the range the search starts again at its beginning
//! (2 for PIDs). `tid_alloc` (`kern_thread.c`, 15.0) does the same for TIDs.
//!
//! # Invariants
//! * I1: `used` is the sum of the leaves' counts, and a leaf's count that of its non-zero cells.
//! * I2: no leaf is empty but the one that `last` lies in.
//! * I3: every number taken lies in `lowest..end`.

use crate::collections::{List, NoMemory};

/// Numbers in a leaf; `number >> LEAF_SHIFT` after subtracting the base is the leaf.
const LEAF: usize = 1024;
const LEAF_SHIFT: u32 = 10;
const LEAF_MASK: u32 = 1023;

const _: () = assert!(1 << LEAF_SHIFT == LEAF && LEAF_MASK as usize == LEAF - 1);

/// The slot of an entry in its [`super::Table`].
pub type Slot = u32;

/// Room for 1024 numbers, allocated outside any lock. A cell holds a slot plus one, or 0.
#[derive(Debug)]
pub struct Leaf {
    cells: List<u32>,
    used: usize,
}

impl Leaf {
    /// An empty leaf.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn create() -> Result<Self, NoMemory> {
        Ok(Self {
            cells: List::filled(0, LEAF)?,
            used: 0,
        })
    }
}

/// Why a number cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// It does not lie in the range.
    OutOfRange {
        /// The number asked for.
        number: i32,
    },
    /// An entry has it.
    InUse {
        /// The number asked for.
        number: i32,
    },
    /// Its leaf is missing and the caller brought none; nothing has changed.
    NeedsLeaf,
    /// Every number of the range is in use.
    Exhausted,
}

/// Which numbers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest number that an entry may have at all.
    pub lowest: i32,
    /// Where a search starts, and starts again after the end.
    pub restart: i32,
    /// One more than the highest number.
    pub end: i32,
}

/// The numbers of one range, and the slot that each stands for.
#[derive(Debug)]
pub struct Numbers {
    range: Range,
    last: i32,
    used: usize,
    leaves: List<Option<Leaf>>,
}

impl Numbers {
    /// A range with no number in use; `last` is one below where the first search starts.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub(super) fn create(range: Range) -> Result<Self, NoMemory> {
        let span = u32::try_from(range.end.saturating_sub(range.lowest)).unwrap_or(0);
        let count = (span.saturating_add(LEAF_MASK) >> LEAF_SHIFT) as usize;
        let mut leaves = List::with_capacity(count)?;
        for _ in 0..count {
            leaves.push_reserved(None).map_err(|_| NoMemory)?;
        }
        Ok(Self {
            range,
            last: range.restart.saturating_sub(1),
            used: 0,
            leaves,
        })
    }

    /// How many numbers are in use.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// The number handed out last (`lastpid`).
    pub const fn last(&self) -> i32 {
        self.last
    }

    /// The range as it was made.
    pub const fn range(&self) -> Range {
        self.range
    }

    /// Sets the number after which the next search starts, as when an image is restored; one
    /// outside the range is taken as its beginning.
    pub(super) fn set_last(&mut self, last: i32) -> Option<Leaf> {
        let old = self.last;
        self.last = if last >= self.range.restart && last < self.range.end {
            last
        } else {
            self.range.restart.saturating_sub(1)
        };
        self.detach_if_empty(old)
    }

    /// The slot that `number` stands for.
    #[inline]
    pub fn get(&self, number: i32) -> Option<Slot> {
        let (leaf, cell) = self.place(number)?;
        let value = *self.leaves.get(leaf)?.as_ref()?.cells.get(cell)?;
        value.checked_sub(1)
    }

    /// The number that the next allocation gets, and whether it needs a leaf. Changes nothing.
    ///
    /// # Errors
    /// [`NumberError::Exhausted`].
    pub(super) fn pick(&self) -> Result<(i32, bool), NumberError> {
        let mut start = self.last.saturating_add(1);
        if start >= self.range.end || start < self.range.restart {
            start = self.range.restart;
        }
        self.first_free(start, self.range.end)
            .or_else(|| self.first_free(self.range.restart, start))
            .ok_or(NumberError::Exhausted)
    }

    /// Whether `number` could be taken, and whether that needs a leaf. Changes nothing.
    ///
    /// # Errors
    /// [`NumberError::OutOfRange`], [`NumberError::InUse`].
    pub(super) fn probe(&self, number: i32) -> Result<bool, NumberError> {
        let Some((leaf, cell)) = self.place(number) else {
            return Err(NumberError::OutOfRange { number });
        };
        match self.leaves.get(leaf) {
            None => Err(NumberError::OutOfRange { number }),
            Some(None) => Ok(true),
            Some(Some(leaf)) => match leaf.cells.get(cell) {
                Some(0) => Ok(false),
                Some(_) => Err(NumberError::InUse { number }),
                None => Err(NumberError::OutOfRange { number }),
            },
        }
    }

    /// Makes `number` stand for `slot`; takes a leaf from `spares` where it needs one. With
    /// `advance` it becomes the last number handed out, and a leaf that held nothing but the old
    /// one's place is handed out to be freed outside the lock.
    ///
    /// # Errors
    /// As [`Numbers::probe`], and [`NumberError::NeedsLeaf`]; nothing has changed then.
    pub(super) fn take(
        &mut self,
        number: i32,
        slot: Slot,
        advance: bool,
        spares: &mut List<Leaf>,
    ) -> Result<Option<Leaf>, NumberError> {
        let needs_leaf = self.probe(number)?;
        let (index, cell) = self
            .place(number)
            .ok_or(NumberError::OutOfRange { number })?;
        let place = self
            .leaves
            .get_mut(index)
            .ok_or(NumberError::OutOfRange { number })?;
        if needs_leaf {
            *place = Some(spares.pop().ok_or(NumberError::NeedsLeaf)?);
        }
        let leaf = place.as_mut().ok_or(NumberError::NeedsLeaf)?;
        let value = leaf
            .cells
            .get_mut(cell)
            .ok_or(NumberError::OutOfRange { number })?;
        *value = slot
            .checked_add(1)
            .ok_or(NumberError::OutOfRange { number })?;
        leaf.used = leaf.used.saturating_add(1);
        self.used = self.used.saturating_add(1);
        if !advance {
            return Ok(None);
        }
        let old = core::mem::replace(&mut self.last, number);
        Ok(self.detach_if_empty(old))
    }

    /// Gives `number` back if it stands for `slot`. A leaf that is empty then is handed out, to
    /// be freed outside the lock.
    pub(super) fn give_back(&mut self, number: i32, slot: Slot) -> Option<Leaf> {
        if self.get(number) != Some(slot) {
            return None;
        }
        let (index, cell) = self.place(number)?;
        let leaf = self.leaves.get_mut(index)?.as_mut()?;
        *leaf.cells.get_mut(cell)? = 0;
        leaf.used = leaf.used.saturating_sub(1);
        self.used = self.used.saturating_sub(1);
        self.detach_if_empty(number)
    }

    /// The first number above `number` that is in use, with its slot.
    pub fn next_after(&self, number: i32) -> Option<(i32, Slot)> {
        let start = number.max(self.range.lowest.saturating_sub(1));
        let (first, skip) = self.place(start.saturating_add(1))?;
        let rest = self.leaves.iter().enumerate().skip(first);
        for (index, leaf) in rest {
            let Some(leaf) = leaf.as_ref().filter(|leaf| leaf.used > 0) else {
                continue;
            };
            let skip = if index == first { skip } else { 0 };
            let found = leaf.cells.iter().enumerate().skip(skip);
            for (cell, value) in found {
                if let Some(slot) = value.checked_sub(1) {
                    return Some((self.number_of(index, cell)?, slot));
                }
            }
        }
        None
    }

    /// The first number of `from..to` that is free, and whether it needs a leaf.
    ///
    /// Full leaves are stepped over by their count, so this looks at no more than two leaves'
    /// cells and the counts of the others.
    fn first_free(&self, from: i32, to: i32) -> Option<(i32, bool)> {
        let (first, skip) = self.place(from)?;
        for (index, leaf) in self.leaves.iter().enumerate().skip(first) {
            let skip = if index == first { skip } else { 0 };
            let cell = match leaf {
                None => Some((skip, true)),
                Some(leaf) if leaf.used >= LEAF => None,
                Some(leaf) => leaf
                    .cells
                    .iter()
                    .enumerate()
                    .skip(skip)
                    .find_map(|(cell, value)| (*value == 0).then_some((cell, false))),
            };
            if let Some((cell, needs_leaf)) = cell {
                let number = self.number_of(index, cell)?;
                return (number < to).then_some((number, needs_leaf));
            }
        }
        None
    }

    /// The leaf and the cell of a number of the range.
    #[inline]
    fn place(&self, number: i32) -> Option<(usize, usize)> {
        if number < self.range.lowest || number >= self.range.end {
            return None;
        }
        let offset = u32::try_from(number.checked_sub(self.range.lowest)?).ok()?;
        Some((
            (offset >> LEAF_SHIFT) as usize,
            (offset & LEAF_MASK) as usize,
        ))
    }

    fn number_of(&self, leaf: usize, cell: usize) -> Option<i32> {
        let offset = leaf.checked_mul(LEAF)?.checked_add(cell)?;
        let number = i32::try_from(offset).ok()?.checked_add(self.range.lowest)?;
        (number < self.range.end).then_some(number)
    }

    /// Detaches the leaf that `number` lies in if nothing is left in it; the leaf of the last
    /// number stays, lest a fork and an exit in turn allocate and free it every time.
    fn detach_if_empty(&mut self, number: i32) -> Option<Leaf> {
        let (index, _) = self.place(number)?;
        if self.place(self.last).is_some_and(|(last, _)| last == index) {
            return None;
        }
        let place = self.leaves.get_mut(index)?;
        if place.as_ref()?.used > 0 {
            return None;
        }
        place.take()
    }

    /// Whether I1 to I3 hold.
    #[cfg(any(test, feature = "invariants"))]
    pub fn invariants(&self) -> bool {
        let last = self.place(self.last).map(|(leaf, _)| leaf);
        let mut used = 0usize;
        for (index, leaf) in self.leaves.iter().enumerate() {
            let Some(leaf) = leaf else { continue };
            let count = leaf.cells.iter().filter(|cell| **cell != 0).count();
            if count != leaf.used || (count == 0 && last != Some(index)) {
                return false;
            }
            for (cell, value) in leaf.cells.iter().enumerate() {
                if *value != 0 && self.number_of(index, cell).is_none() {
                    return false;
                }
            }
            used = used.saturating_add(count);
        }
        used == self.used
    }
}

#[cfg(test)]
#[path = "numbers_tests.rs"]
mod tests;
