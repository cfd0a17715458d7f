// SPDX-License-Identifier: BSD-2-Clause
//! The window of pages stored last, in which a page that comes again is found.

use super::PAGE_SIZE;
use crate::collections::{List, NoMemory};
use crate::crc32c::crc32c;
use crate::limits::PAGE_WINDOW;

/// How a page stands in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageForm {
    /// Whole.
    Raw,
    /// As so many pages of zeros.
    Zero(u32),
    /// As the page stored whole so many such pages ago, 1 for the last.
    Copy(u32),
}

impl PageForm {
    pub(super) const fn encode(self) -> (u32, u32) {
        match self {
            Self::Raw => (0, 0),
            Self::Zero(pages) => (1, pages),
            Self::Copy(distance) => (2, distance),
        }
    }

    pub(super) const fn decode(form: u32, argument: u32) -> Option<Self> {
        match (form, argument) {
            (0, 0) => Some(Self::Raw),
            (1, 1..) => Some(Self::Zero(argument)),
            (2, 1..) => Some(Self::Copy(argument)),
            _ => None,
        }
    }
}

/// The last [`PAGE_WINDOW`] pages stored whole. No two of them are equal.
#[derive(Debug, Default)]
pub(super) struct PageWindow {
    bytes: List<u8>,
    checks: List<u32>,
    /// The slot that the next page takes.
    next: usize,
}

impl PageWindow {
    /// A window with nothing in it.
    pub(super) const fn new() -> Self {
        Self {
            bytes: List::new(),
            checks: List::new(),
            next: 0,
        }
    }

    /// How long ago an equal page was stored.
    pub(super) fn find(&self, page: &[u8; PAGE_SIZE]) -> Option<u32> {
        let check = crc32c(page);
        let held = self.checks.len();
        for distance in 1..=held {
            let slot = self.slot(distance)?;
            if self.checks.get(slot) == Some(&check) && self.page(slot)? == page {
                return u32::try_from(distance).ok();
            }
        }
        None
    }

    /// The page stored so long ago.
    pub(super) fn get(&self, distance: u32) -> Option<&[u8; PAGE_SIZE]> {
        let distance = usize::try_from(distance).ok()?;
        if distance == 0 || distance > self.checks.len() {
            return None;
        }
        self.page(self.slot(distance)?)
    }

    /// Remembers a page that was stored whole.
    pub(super) fn push(&mut self, page: &[u8; PAGE_SIZE]) -> Result<(), NoMemory> {
        let check = crc32c(page);
        let (chunks, _) = self.bytes.as_mut_slice().as_chunks_mut::<PAGE_SIZE>();
        match (chunks.get_mut(self.next), self.checks.get_mut(self.next)) {
            (Some(bytes), Some(old)) => {
                *bytes = *page;
                *old = check;
            }
            _ => {
                self.checks.reserve(1)?;
                self.bytes.extend(page)?;
                self.checks.push(check)?;
            }
        }
        self.next = self.next.wrapping_add(1) % PAGE_WINDOW;
        Ok(())
    }

    fn page(&self, slot: usize) -> Option<&[u8; PAGE_SIZE]> {
        self.bytes.as_slice().as_chunks::<PAGE_SIZE>().0.get(slot)
    }

    fn slot(&self, distance: usize) -> Option<usize> {
        let ahead = self.next.checked_add(PAGE_WINDOW)?;
        Some(ahead.checked_sub(distance)? % PAGE_WINDOW)
    }
}

/// Whether the page holds zeros only.
pub(super) fn is_zero(page: &[u8; PAGE_SIZE]) -> bool {
    page.as_chunks::<16>()
        .0
        .iter()
        .all(|chunk| *chunk == [0; 16])
}
