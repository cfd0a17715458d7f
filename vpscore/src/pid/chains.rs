// SPDX-License-Identifier: BSD-2-Clause
//! The heads of hash chains, an array sized once, as `pidhashtbl` is.

use super::numbers::Slot;
use crate::collections::{List, NoMemory};

/// 2^64 divided by the golden ratio: multiplying by it spreads neighbouring keys over the high
/// bits (Knuth, TAOCP 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Heads of the chains of one key. The links are in the entries.
#[derive(Debug)]
pub(super) struct Chains {
    heads: List<Option<Slot>>,
    shift: u32,
    seed: u64,
}

impl Chains {
    /// At least `buckets` chains, rounded up to a power of two; `seed` keeps guests from choosing
    /// ids that fall into one chain.
    pub(super) fn create(buckets: usize, seed: u64) -> Result<Self, NoMemory> {
        let count = buckets.clamp(2, 1 << 20).next_power_of_two();
        Ok(Self {
            heads: List::filled(None, count)?,
            shift: u64::BITS.saturating_sub(count.trailing_zeros()),
            seed,
        })
    }

    #[inline]
    fn bucket(&self, key: u64) -> usize {
        // The shift leaves as many bits as the array has, and `count` is at most 2^20.
        ((key ^ self.seed)
            .wrapping_mul(SPREAD)
            .wrapping_shr(self.shift)) as usize
    }

    /// The first of the chain in which `key` lies.
    #[inline]
    pub(super) fn head(&self, key: u64) -> Option<Slot> {
        *self.heads.get(self.bucket(key))?
    }

    /// Puts `slot` first in the chain of `key`; the old head is returned, to be linked behind it.
    pub(super) fn push(&mut self, key: u64, slot: Slot) -> Option<Slot> {
        let bucket = self.bucket(key);
        self.heads.get_mut(bucket)?.replace(slot)
    }

    /// Sets the head of the chain of `key`.
    pub(super) fn set_head(&mut self, key: u64, slot: Option<Slot>) {
        let bucket = self.bucket(key);
        if let Some(head) = self.heads.get_mut(bucket) {
            *head = slot;
        }
    }

    /// Every head there is.
    #[cfg(any(test, feature = "invariants"))]
    pub(super) fn heads(&self) -> impl Iterator<Item = Slot> {
        self.heads.iter().filter_map(|head| *head)
    }
}
