// SPDX-License-Identifier: BSD-2-Clause
//! The invariants of the table, checked from outside its own links.

use super::entry::{Entry, Stage};
use super::numbers::Slot;
use super::table::{Kind, Spaces, Table};
use crate::types::InstanceId;

impl Table {
    /// Whether the entry in `slot` keeps I1 and, for a reserved one, I2. Affordable after every
    /// mutation, since it touches one entry and its levels.
    pub fn entry_invariants<S: Spaces>(&self, spaces: &S, slot: Slot) -> bool {
        let Some(entry) = self.get(slot) else {
            return true;
        };
        let mut at = Some(entry.instance());
        for depth in (1..=entry.depth()).rev() {
            let Some(id) = at else { return false };
            let Some(space) = spaces.space(id) else {
                return false;
            };
            let mine = self.number_in(space, depth, slot).is_some();
            // While a process is about to enter a deeper instance, its reserved entry has a copy
            // of the numbers that the old one still holds.
            if !mine && entry.stage() != Stage::Reserved {
                return false;
            }
            at = spaces.parent(id);
        }
        let by_handle = self.by_handle(entry.handle());
        match entry.stage() {
            Stage::Reserved => entry.host().0 == 0,
            Stage::Live | Stage::Zombie => {
                let host = entry.host();
                by_handle.is_some() && (host.0 == 0 || self.by_host(host).is_some())
            }
            Stage::Lingering => self.by_host(entry.host()).is_some(),
        }
    }

    /// Whether I1 to I3 hold for the whole table. Costs a walk over everything.
    pub fn invariants<S: Spaces>(&self, spaces: &S) -> bool {
        let count = |stage: Stage| {
            self.iter()
                .filter(|(_, entry)| entry.stage() == stage)
                .count()
        };
        let there = count(Stage::Live).saturating_add(count(Stage::Zombie));
        let lingering = count(Stage::Lingering);
        self.iter()
            .all(|(slot, _)| self.entry_invariants(spaces, slot))
            && count(Stage::Reserved) == self.reserved()
            && lingering == self.lingering()
            && self.linger_line() == Some(lingering)
            && self.chained(Entry::is_there, false) == Some(there)
            && self.chained(|entry| entry.host().0 != 0, true)
                == Some(self.iter().filter(|(_, entry)| entry.host().0 != 0).count())
    }

    /// Whether every number of the space of `id` stands for an entry that has it.
    pub fn space_invariants<S: Spaces>(&self, spaces: &S, id: InstanceId, kind: Kind) -> bool {
        let (Some(space), depth) = (spaces.space(id), spaces.depth(id)) else {
            return false;
        };
        let mut at = i32::MIN;
        let mut members = 0usize;
        while let Some((number, slot)) = space.numbers(kind).next_after(at) {
            if self.number_in(space, depth, slot) != Some(number) {
                return false;
            }
            let counts = |entry: &Entry| entry.stage() != Stage::Lingering;
            members = members.saturating_add(usize::from(self.get(slot).is_some_and(counts)));
            at = number;
        }
        (kind == Kind::Tid || members == space.members()) && space.invariants()
    }

    /// The length of the line of lingering entries; `None` where it holds another, or its links
    /// disagree.
    fn linger_line(&self) -> Option<usize> {
        let mut count = 0usize;
        let (mut before, mut at) = (None, self.oldest);
        while let Some(slot) = at {
            let entry = self.get(slot)?;
            if entry.stage() != Stage::Lingering || entry.linger_prev != before {
                return None;
            }
            count = count.checked_add(1).filter(|n| *n <= self.len())?;
            (before, at) = (at, entry.linger_next);
        }
        (self.newest == before).then_some(count)
    }

    /// How many entries are in the chains of host ids, or of processes; `None` where one does not
    /// belong there.
    fn chained(&self, belongs: impl Fn(&Entry) -> bool, by_host: bool) -> Option<usize> {
        let mut count = 0usize;
        let chains = if by_host {
            &self.by_host
        } else {
            &self.by_handle
        };
        for head in chains.heads() {
            let mut at = Some(head);
            while let Some(slot) = at {
                let entry = self.get(slot).filter(|entry| belongs(entry))?;
                count = count.checked_add(1).filter(|n| *n <= self.len())?;
                at = if by_host {
                    entry.next_by_host
                } else {
                    entry.next_by_handle
                };
            }
        }
        Some(count)
    }
}
