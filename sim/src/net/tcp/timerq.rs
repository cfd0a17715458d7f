// SPDX-License-Identifier: BSD-2-Clause
//! The connections' deadlines, of which the earliest is wanted.
//!
//! A connection's deadline moves with nearly every segment and seldom comes. FreeBSD keeps it in a
//! wheel of callouts (`sys/kern/kern_timeout.c`, 15.0), here it plays a tournament: a move costs no
//! memory and as many comparisons as it takes to meet an earlier deadline.
//!
//! - I1: a node holds the earlier of its two below, of equal deadlines the older socket's.

use crate::net::cx::SoId;
use crate::time::{Duration, Instant};

/// A deadline and whose it is.
type Entry = (Instant, SoId);

/// No deadline: later than all that are.
const NONE: Entry = (Instant::BOOT.after(Duration::MAX), SoId(u64::MAX));

/// The next deadline of each socket, at the place that its name tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timerq {
    /// The root is at 1, below each node `n` are `2 * n` and `2 * n + 1`; the lower half is the sockets'.
    nodes: Vec<Entry>,
}

/// Equal deadlines are equal, however many places there are.
impl PartialEq for Timerq {
    fn eq(&self, other: &Self) -> bool {
        self.entries().eq(other.entries())
    }
}

impl Eq for Timerq {}

impl Timerq {
    /// Places there are.
    fn places(&self) -> usize {
        self.nodes.len() / 2
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let places = self.nodes.iter().skip(self.places());
        places.filter(|entry| **entry != NONE)
    }

    /// The earliest deadline, of equal ones that of the oldest socket.
    pub(crate) fn first(&self) -> Option<Entry> {
        self.nodes.get(1).copied().filter(|first| *first != NONE)
    }

    /// Sets a socket's deadline, or takes it away.
    pub(crate) fn set(&mut self, so: SoId, at: Option<Instant>) {
        let place = so.0 as u32 as usize;
        let entry = at.map_or(NONE, |at| (at, so));
        if place >= self.places() {
            if at.is_none() {
                return;
            }
            self.grow(place + 1);
        }
        let mut node = self.places() + place;
        let mut winner = entry;
        while node > 0 && self.nodes[node] != winner {
            self.nodes[node] = winner;
            winner = winner.min(self.nodes[node ^ 1]);
            node /= 2;
        }
    }

    /// Makes room for at least so many places.
    fn grow(&mut self, places: usize) {
        let places = places.next_power_of_two();
        let mut nodes = vec![NONE; 2 * places];
        let old = &self.nodes[self.places()..];
        nodes[places..places + old.len()].copy_from_slice(old);
        for node in (1..places).rev() {
            nodes[node] = nodes[2 * node].min(nodes[2 * node + 1]);
        }
        self.nodes = nodes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::{BTreeMap, BTreeSet};

    fn so(age: u64, place: u64) -> SoId {
        SoId(age << 32 | place)
    }

    #[test]
    fn the_first_is_that_of_a_sorted_set_whatever_is_set_and_taken_away() {
        let mut rng = Rng::new(1, "deadlines");
        let (mut queue, mut by_place) = (Timerq::default(), BTreeMap::new());
        for age in 0..20_000 {
            let place = rng.below(1 + age / 100);
            // The name of a place's socket changes only when the place has no deadline.
            let name = match by_place.get(&place) {
                Some((_, name)) => *name,
                None => so(age, place),
            };
            let at = (rng.below(3) > 0).then(|| Instant::from_nanos(rng.below(50)));
            queue.set(name, at);
            match at {
                Some(at) => by_place.insert(place, (at, name)),
                None => by_place.remove(&place),
            };
            let sorted: BTreeSet<_> = by_place.values().copied().collect();
            assert_eq!(queue.first(), sorted.first().copied(), "{age}");
        }
    }

    #[test]
    fn a_deadline_that_never_comes_is_one_all_the_same() {
        let mut queue = Timerq::default();
        queue.set(so(0, 0), Some(NONE.0));
        assert_eq!(queue.first(), Some((NONE.0, so(0, 0))));
    }

    #[test]
    fn queues_are_equal_by_what_is_in_them() {
        let (mut a, mut b) = (Timerq::default(), Timerq::default());
        a.set(so(1, 900), Some(Instant::BOOT));
        a.set(so(1, 900), None);
        assert_eq!(a, b);
        a.set(so(2, 1), Some(Instant::BOOT));
        assert_ne!(a, b);
        b.set(so(2, 1), Some(Instant::BOOT));
        assert_eq!(a, b);
    }
}
