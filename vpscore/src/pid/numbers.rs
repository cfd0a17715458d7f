// SPDX-License-Identifier: BSD-2-Clause
//! One range of numbers (the PIDs, or the TIDs, of one instance) and what each of them stands for.
//!
//! A two-level table maps a number to the slot of its entry in [`super::Table`]. A leaf of 1024
//! numbers is brought in by the caller, who allocated it outside the lock. A leaf whose numbers
//! are all given back serves the next place that needs one, so that a space whose numbers went
//! round holds no more leaves than it ever needed at once.
//!
//! Numbers are handed out as `fork_findpid` does (`kern_fork.c`, 15.0): the next one after the
//! last, skipping those in use; at the end of the range the search starts again at its beginning
//! ([`crate::limits::PID_AGAIN`] for PIDs). `tid_alloc` (`kern_thread.c`, 15.0) does the same for TIDs.
//!
//! # Invariants
//! * I1: `used` is the sum of the leaves' counts, and a leaf's count that of its non-zero cells.
//! * I2: `empty` counts the leaves with no number in use, which are the first to be used again.
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
    empty: usize,
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
            empty: 0,
            leaves,
        })
    }

    /// A range without any number; allocates nothing.
    pub(super) const fn none() -> Self {
        Self {
            range: Range {
                lowest: 0,
                restart: 0,
                end: 0,
            },
            last: 0,
            used: 0,
            empty: 0,
            leaves: List::new(),
        }
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
    pub(super) fn set_last(&mut self, last: i32) {
        self.last = if last >= self.range.restart && last < self.range.end {
            last
        } else {
            self.range.restart.saturating_sub(1)
        };
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
            Some(None) => Ok(self.empty == 0),
            Some(Some(leaf)) => match leaf.cells.get(cell) {
                Some(0) => Ok(false),
                Some(_) => Err(NumberError::InUse { number }),
                None => Err(NumberError::OutOfRange { number }),
            },
        }
    }

    /// Makes `number` stand for `slot`; takes a leaf from `spares` where it needs one. With
    /// `advance` it becomes the last number handed out.
    ///
    /// # Errors
    /// As [`Numbers::probe`], and [`NumberError::NeedsLeaf`]; nothing has changed then.
    pub(super) fn take(
        &mut self,
        number: i32,
        slot: Slot,
        advance: bool,
        spares: &mut List<Leaf>,
    ) -> Result<(), NumberError> {
        let out_of_range = NumberError::OutOfRange { number };
        let needs_leaf = self.probe(number)?;
        let (index, cell) = self.place(number).ok_or(out_of_range)?;
        if self.leaves.get(index).is_some_and(Option::is_none) {
            let leaf = if needs_leaf {
                spares.pop()
            } else {
                self.detach_empty()
            };
            let leaf = leaf.ok_or(NumberError::NeedsLeaf)?;
            *self.leaves.get_mut(index).ok_or(out_of_range)? = Some(leaf);
            self.empty = self.empty.saturating_add(1);
        }
        let leaf = self.leaves.get_mut(index).ok_or(out_of_range)?;
        let leaf = leaf.as_mut().ok_or(NumberError::NeedsLeaf)?;
        let value = leaf.cells.get_mut(cell).ok_or(out_of_range)?;
        *value = slot.checked_add(1).ok_or(out_of_range)?;
        if leaf.used == 0 {
            self.empty = self.empty.saturating_sub(1);
        }
        leaf.used = leaf.used.saturating_add(1);
        self.used = self.used.saturating_add(1);
        if advance {
            self.last = number;
        }
        Ok(())
    }

    /// Makes `number`, which stands for `from`, stand for `to`.
    pub(super) fn repoint(&mut self, number: i32, from: Slot, to: Slot) {
        if self.get(number) != Some(from) {
            return;
        }
        let Some((index, cell)) = self.place(number) else {
            return;
        };
        if let Some(Some(leaf)) = self.leaves.get_mut(index)
            && let Some(value) = leaf.cells.get_mut(cell)
        {
            *value = to.saturating_add(1);
        }
    }

    /// Gives `number` back if it stands for `slot`; whether it did.
    pub(super) fn give_back(&mut self, number: i32, slot: Slot) -> bool {
        if self.get(number) != Some(slot) {
            return false;
        }
        let Some((index, cell)) = self.place(number) else {
            return false;
        };
        let Some(Some(leaf)) = self.leaves.get_mut(index) else {
            return false;
        };
        let Some(value) = leaf.cells.get_mut(cell) else {
            return false;
        };
        *value = 0;
        leaf.used = leaf.used.saturating_sub(1);
        self.used = self.used.saturating_sub(1);
        if leaf.used == 0 {
            self.empty = self.empty.saturating_add(1);
        }
        true
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
                None => Some((skip, self.empty == 0)),
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

    /// Takes a leaf out in which no number is in use.
    fn detach_empty(&mut self) -> Option<Leaf> {
        if self.empty == 0 {
            return None;
        }
        let is_empty =
            |place: &&mut Option<Leaf>| place.as_ref().is_some_and(|leaf| leaf.used == 0);
        let leaf = self.leaves.iter_mut().find(is_empty)?.take()?;
        self.empty = self.empty.saturating_sub(1);
        Some(leaf)
    }

    /// Whether I1 to I3 hold.
    #[cfg(any(test, feature = "invariants"))]
    pub fn invariants(&self) -> bool {
        let mut used = 0usize;
        let mut empty = 0usize;
        for (index, leaf) in self.leaves.iter().enumerate() {
            let Some(leaf) = leaf else { continue };
            let count = leaf.cells.iter().filter(|cell| **cell != 0).count();
            if count != leaf.used {
                return false;
            }
            for (cell, value) in leaf.cells.iter().enumerate() {
                if *value != 0 && self.number_of(index, cell).is_none() {
                    return false;
                }
            }
            used = used.saturating_add(count);
            empty = empty.saturating_add(usize::from(count == 0));
        }
        used == self.used && empty == self.empty
    }
}

#[cfg(test)]
#[path = "numbers_tests.rs"]
mod tests;
