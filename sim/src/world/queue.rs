// SPDX-License-Identifier: BSD-2-Clause
//! The one event queue of a world, ordered by (time, sequence).
//!
//! Two events of one moment happen in the order in which they were queued, so a run depends on
//! nothing but its inputs.
//!
//! # Invariants
//! * I1: time never goes back: an event queued for the past happens now.
//! * I2: a sequence number is used once.

use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

struct Entry<E> {
    at: Instant,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// A queue of events, earliest first, with the virtual clock that they drive.
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    now: Instant,
    sequence: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            now: Instant::BOOT,
            sequence: 0,
        }
    }
}

impl<E> Queue<E> {
    /// The virtual clock: the moment of the event taken last.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Queues an event for `at`, or for now where that has passed.
    pub fn push(&mut self, at: Instant, event: E) {
        let entry = Entry {
            at: at.max(self.now),
            sequence: self.sequence,
            event,
        };
        self.sequence += 1;
        self.heap.push(Reverse(entry));
    }

    /// Takes the next event and sets the clock to its moment.
    pub fn pop(&mut self) -> Option<E> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_moment_come_in_the_order_of_queueing() {
        let mut queue = Queue::default();
        queue.push(Instant::from_nanos(5), "b");
        queue.push(Instant::from_nanos(3), "a");
        queue.push(Instant::from_nanos(5), "c");
        assert_eq!(
            (queue.pop(), queue.pop(), queue.pop()),
            (Some("a"), Some("b"), Some("c"))
        );
        assert_eq!(queue.now(), Instant::from_nanos(5));
    }

    #[test]
    fn an_event_for_the_past_happens_now() {
        let mut queue = Queue::default();
        queue.push(Instant::from_nanos(9), 1);
        queue.pop();
        queue.push(Instant::from_nanos(2), 2);
        assert_eq!(queue.next_at(), Some(Instant::from_nanos(9)));
    }
}
