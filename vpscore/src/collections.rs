// SPDX-License-Identifier: BSD-2-Clause
//! The only user of `alloc`: containers whose growth can fail, and says so.
//!
//! A kernel cannot abort because memory is short, and the core may not allocate while it holds a
//! lock. So every container here separates the two steps: *reserve* (fallible, outside any lock)
//! and *commit* (infallible, into room already reserved). The module compiles on stable Rust and
//! against an `alloc` built with `no_global_oom_handling`, where `Vec::push`, `Box::new`,
//! `BTreeMap` and `format!` do not exist.
//!
//! # Invariants
//! * I1: no method of this module panics or aborts, whatever its arguments.
//! * I2: a method that returns an error has changed nothing.
//! * I3: methods named `*_reserved` never allocate.

use alloc::vec::Vec;

mod slab;

pub use slab::{Chunk, Slab};

/// Memory was short; nothing has changed. Maps to `ENOMEM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl From<NoMemory> for crate::errno::Errno {
    fn from(_: NoMemory) -> Self {
        Self::ENOMEM
    }
}

/// A growable array with fallible growth.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> List<T> {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty list with room for `n` items.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn with_capacity(n: usize) -> Result<Self, NoMemory> {
        let mut list = Self::new();
        list.reserve(n)?;
        Ok(list)
    }

    /// Makes room for at least `n` more items.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn reserve(&mut self, n: usize) -> Result<(), NoMemory> {
        self.0.try_reserve(n).map_err(|_| NoMemory)
    }

    /// Appends `item`, growing if need be.
    ///
    /// # Errors
    /// [`NoMemory`]; `item` is dropped then.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), NoMemory> {
        self.reserve(1)?;
        self.push_reserved(item).map_err(|_| NoMemory)
    }

    /// Appends `item` into room already reserved; never allocates.
    ///
    /// # Errors
    /// Gives `item` back where no room is left.
    #[inline]
    pub fn push_reserved(&mut self, item: T) -> Result<(), T> {
        if self.0.len() == self.0.capacity() {
            return Err(item);
        }
        #[cfg(no_global_oom_handling)]
        {
            self.0.push_within_capacity(item).map(|_| ())
        }
        #[cfg(not(no_global_oom_handling))]
        {
            self.0.push(item);
            Ok(())
        }
    }

    /// Removes and returns the last item.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Removes the item at `index` in constant time; the last item takes its place.
    pub fn swap_remove(&mut self, index: usize) -> Option<T> {
        let last = self.0.len().checked_sub(1)?;
        if index > last {
            return None;
        }
        if index < last {
            self.0.as_mut_slice().swap(index, last);
        }
        self.0.pop()
    }

    /// Removes all items; the room stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops all items from `len` on; does nothing where the list is shorter.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// How many items it holds.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// How many items fit without allocating.
    pub const fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        self.0.as_slice()
    }

    /// The items, to be changed in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.0.as_mut_slice()
    }

    /// The item at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)
    }

    /// The item at `index`, if there is one, to be changed in place.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.get_mut(index)
    }

    /// The items in order.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The items in order, to be changed in place.
    pub fn iter_mut(&mut self) -> core::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

impl<T: Copy> List<T> {
    /// Appends a copy of every item of `items`, all or none.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn extend(&mut self, items: &[T]) -> Result<(), NoMemory> {
        self.reserve(items.len())?;
        #[cfg(no_global_oom_handling)]
        for item in items {
            self.push_reserved(*item).map_err(|_| NoMemory)?;
        }
        // Into room reserved: allocates nothing, and copies all at once.
        #[cfg(not(no_global_oom_handling))]
        self.0.extend_from_slice(items);
        Ok(())
    }

    /// Appends `n` copies of `item`, all or none.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn extend_filled(&mut self, item: T, n: usize) -> Result<(), NoMemory> {
        self.reserve(n)?;
        #[cfg(no_global_oom_handling)]
        for _ in 0..n {
            self.push_reserved(item).map_err(|_| NoMemory)?;
        }
        // Into room reserved, as above.
        #[cfg(not(no_global_oom_handling))]
        self.0.resize(self.0.len().saturating_add(n), item);
        Ok(())
    }

    /// A list of `n` copies of `item`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn filled(item: T, n: usize) -> Result<Self, NoMemory> {
        let mut list = Self::new();
        list.extend_filled(item, n)?;
        Ok(list)
    }

    /// A copy of the whole list.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn duplicate(&self) -> Result<Self, NoMemory> {
        let mut list = Self::new();
        list.extend(self.as_slice())?;
        Ok(list)
    }
}

/// Sorts in place, in `n log n` steps for any input, without allocating and without a way to panic, which
/// `slice::sort_unstable` has (heapsort). Equal items are equal, so their order is no matter.
pub fn sort<T: Copy + Ord>(items: &mut [T]) {
    for root in (0..items.len() / 2).rev() {
        sift(items, root);
    }
    let mut rest = items;
    while let Some(end) = rest.len().checked_sub(1).filter(|end| *end > 0) {
        swap(rest, 0, end);
        rest = rest
            .split_at_mut_checked(end)
            .map_or(&mut [], |(heap, _)| heap);
        sift(rest, 0);
    }
}

/// Lets the item at `at` sink until no child is greater.
fn sift<T: Copy + Ord>(heap: &mut [T], mut at: usize) {
    loop {
        let left = at.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let child = if heap.get(right) > heap.get(left) {
            right
        } else {
            left
        };
        // Past the end there is nothing, which is less than anything.
        if heap.get(child) <= heap.get(at) {
            return;
        }
        swap(heap, at, child);
        at = child;
    }
}

fn swap<T: Copy>(items: &mut [T], a: usize, b: usize) {
    let (Some(x), Some(y)) = (items.get(a).copied(), items.get(b).copied()) else {
        return;
    };
    if let Some(place) = items.get_mut(a) {
        *place = y;
    }
    if let Some(place) = items.get_mut(b) {
        *place = x;
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_leaves_the_same_items_in_order() {
        let mut seed = 1_u32;
        for len in 0..200 {
            let mut items: alloc::vec::Vec<u32> = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    seed >> 26
                })
                .collect();
            let mut model = items.clone();
            model.sort_unstable();
            sort(&mut items);
            assert_eq!(items, model);
        }
    }

    #[test]
    fn push_reserved_gives_the_item_back_when_no_room_is_left() {
        let mut list = List::with_capacity(1).unwrap();
        let room = list.capacity();
        for i in 0..room {
            list.push_reserved(i).unwrap();
        }
        assert_eq!(list.push_reserved(99), Err(99));
        assert_eq!(list.len(), room);
    }

    #[test]
    fn swap_remove_out_of_range_changes_nothing() {
        let mut list = List::new();
        assert_eq!(list.swap_remove(0), None);
        list.extend(&[1, 2, 3]).unwrap();
        assert_eq!(list.swap_remove(3), None);
        assert_eq!(list.swap_remove(0), Some(1));
        assert_eq!(list.as_slice(), &[3, 2]);
    }

    #[test]
    fn a_reservation_that_cannot_be_had_is_an_error() {
        let mut list: List<u64> = List::new();
        assert_eq!(list.reserve(usize::MAX), Err(NoMemory));
    }
}
