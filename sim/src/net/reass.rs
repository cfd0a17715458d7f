// SPDX-License-Identifier: BSD-2-Clause
//! Reassembly of IP fragments, bounded in every direction.
//!
//! One type for both families, which differ in how overlaps are treated: IPv4 trims them
//! (`ip_reass`, `netinet/ip_reass.c`, FreeBSD 15.0), IPv6 drops the datagram (RFC 5722; an exact
//! repetition is ignored, RFC 8200 section 4.5).
//!
//! - I1: at most [`QUEUES_MAX`] datagrams wait, with at most [`FRAGS_MAX_V4`] or [`FRAGS_MAX_V6`]
//!   fragments each; one more fragment that does not complete its datagram takes it away, a further
//!   datagram pushes the oldest out.
//! - I2: the fragments of a queue are sorted and do not overlap.
//! - I3: a datagram waits no longer than its time to live in the queue.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::time::{Duration, Instant};

/// Datagrams that may wait at once.
pub const QUEUES_MAX: usize = 256;
/// Fragments of one datagram of IPv4 (`net.inet.ip.maxfragsperpacket`).
pub const FRAGS_MAX_V4: usize = 16;
/// Fragments of one datagram of IPv6 (`net.inet6.ip6.maxfragsperpacket`).
pub const FRAGS_MAX_V6: usize = 64;
/// How long an IPv4 datagram waits (`IPFRAGTTL`).
pub const FRAG_TTL_V4: Duration = Duration::from_secs(30);
/// How long an IPv6 datagram waits (`IPV6_FRAGTTL`, RFC 8200 section 4.5).
pub const FRAG_TTL_V6: Duration = Duration::from_secs(60);

/// What fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FragKey {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol for IPv4; 0 for IPv6, where it is no part of the key.
    pub proto: u8,
    /// Identification.
    pub id: u32,
}

/// A fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment<H> {
    /// Offset in bytes.
    pub offset: usize,
    /// More follow.
    pub more: bool,
    /// ECN field of the packet that carried it.
    pub ecn: u8,
    /// The header of the packet that carried it; that of the first fragment becomes the datagram's.
    pub header: H,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A whole datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<H> {
    /// The first fragment's header.
    pub header: H,
    /// ECN field: congestion experienced where any fragment met it (RFC 3168 section 5.3).
    pub ecn: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

/// What has come of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queue<H> {
    /// Order of arrival.
    pub(crate) born: u64,
    /// When its time is up.
    pub(crate) deadline: Instant,
    /// The first fragment's header.
    pub(crate) first: Option<H>,
    /// Its ECN field so far.
    pub(crate) ecn: u8,
    /// Its length, once the last fragment has come.
    pub(crate) total: Option<usize>,
    /// Its bytes with their offsets.
    pub(crate) pieces: Vec<(usize, Vec<u8>)>,
}

/// The datagrams of one family that wait for fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reass<H> {
    queues: BTreeMap<FragKey, Queue<H>>,
    births: u64,
    ttl: Duration,
    trims_overlaps: bool,
    /// Fragments of one datagram; with 0 none is taken in.
    pub(crate) maxfrags: usize,
}

const ECN_CE: u8 = 3;

impl<H> Reass<H> {
    /// The queues for IPv4.
    pub fn v4() -> Self {
        Self::new(FRAG_TTL_V4, true, FRAGS_MAX_V4)
    }

    /// The queues for IPv6.
    pub fn v6() -> Self {
        Self::new(FRAG_TTL_V6, false, FRAGS_MAX_V6)
    }

    fn new(ttl: Duration, trims_overlaps: bool, maxfrags: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            births: 0,
            ttl,
            trims_overlaps,
            maxfrags,
        }
    }

    /// What waits, oldest first.
    pub(crate) fn by_age(&self) -> Vec<(&FragKey, &Queue<H>)> {
        let mut all: Vec<_> = self.queues.iter().collect();
        all.sort_by_key(|(_, queue)| queue.born);
        all
    }

    /// Goes on with a datagram that began elsewhere; they come oldest first. Its pieces are sorted and
    /// apart, and not yet the whole; false where not, or where there is no room.
    pub(crate) fn restore(&mut self, key: FragKey, mut queue: Queue<H>) -> bool {
        let end = |(at, data): &(usize, Vec<u8>)| at.saturating_add(data.len());
        let mut floor = 0;
        for piece in &queue.pieces {
            if piece.0 < floor || end(piece) > queue.total.unwrap_or(0xffff) {
                return false;
            }
            floor = end(piece);
        }
        // What came before the variable was set lower may be more; what is apart is bounded by the packet.
        let full = self.queues.len() >= QUEUES_MAX;
        let whole = queue.complete() || queue.total.is_some_and(|total| total > 0xffff);
        if full || whole || queue.pieces.is_empty() || self.queues.contains_key(&key) {
            return false;
        }
        queue.born = self.births;
        self.births += 1;
        self.queues.insert(key, queue);
        true
    }

    /// Datagrams that wait.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// True where none waits.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Takes a fragment in; gives the datagram that it completes.
    ///
    /// Fragments that cannot be part of a datagram (empty or of odd length with more to come, past
    /// 65,535 bytes, past the end that the last one fixed) are dropped.
    pub fn insert(&mut self, now: Instant, key: FragKey, f: Fragment<H>) -> Option<Datagram<H>> {
        if self.maxfrags == 0 {
            return None;
        }
        let end = f.offset.checked_add(f.data.len())?;
        if end > 0xffff || f.more && (f.data.is_empty() || !f.data.len().is_multiple_of(8)) {
            return None;
        }
        if !self.queues.contains_key(&key) && self.queues.len() >= QUEUES_MAX {
            self.drop_oldest();
        }
        let (births, deadline) = (self.births, now.after(self.ttl));
        let queue = self.queues.entry(key).or_insert_with(|| Queue {
            born: births,
            deadline,
            first: None,
            ecn: f.ecn,
            total: None,
            pieces: Vec::new(),
        });
        self.births += 1;
        let known_end = queue.pieces.last().map_or(0, |(at, d)| at + d.len());
        let bad_end = match queue.total {
            Some(total) => end > total || !f.more && end != total,
            None => !f.more && end < known_end,
        };
        if bad_end {
            if queue.pieces.is_empty() {
                self.queues.remove(&key);
            }
            return None;
        }
        if !self.trims_overlaps && queue.overlaps(f.offset, &f.data) {
            if !queue.repeats(f.offset, &f.data) {
                self.queues.remove(&key);
            }
            return None;
        }
        queue.ecn = combine_ecn(queue.ecn, f.ecn)?;
        if f.offset == 0 && queue.first.is_none() {
            queue.first = Some(f.header);
        }
        if !f.more {
            queue.total = Some(end);
        }
        queue.place(f.offset, f.data);
        if !queue.complete() {
            // ip_reass and frag6_input count only then.
            if queue.pieces.len() > self.maxfrags {
                self.queues.remove(&key);
            }
            return None;
        }
        let queue = self.queues.remove(&key)?;
        Some(Datagram {
            header: queue.first?,
            ecn: queue.ecn,
            payload: queue.pieces.into_iter().flat_map(|(_, d)| d).collect(),
        })
    }

    fn drop_oldest(&mut self) {
        let oldest = self
            .queues
            .iter()
            .min_by_key(|(_, q)| q.born)
            .map(|(k, _)| *k);
        if let Some(key) = oldest {
            self.queues.remove(&key);
        }
    }

    /// When the next datagram's time is up.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.queues.values().map(|q| q.deadline).min()
    }

    /// Drops the datagrams whose time is up; gives the headers of those whose first fragment came.
    pub fn expire(&mut self, now: Instant) -> Vec<H> {
        let due: Vec<FragKey> = self
            .queues
            .iter()
            .filter(|(_, q)| q.deadline <= now)
            .map(|(key, _)| *key)
            .collect();
        due.iter()
            .filter_map(|key| self.queues.remove(key)?.first)
            .collect()
    }

    /// Moves every deadline from a clock that reads `from` to one that reads `to`.
    #[cfg(test)]
    pub fn shift(&mut self, from: Instant, to: Instant) {
        for queue in self.queues.values_mut() {
            queue.deadline = to.after(queue.deadline.since(from));
        }
    }
}

impl<H> Queue<H> {
    fn overlaps(&self, offset: usize, data: &[u8]) -> bool {
        let end = offset + data.len();
        self.pieces
            .iter()
            .any(|(at, d)| offset < at + d.len() && *at < end)
    }

    fn repeats(&self, offset: usize, data: &[u8]) -> bool {
        self.pieces
            .iter()
            .any(|(at, d)| *at == offset && d.as_slice() == data)
    }

    /// Puts a piece in its place. What overlaps a piece before it is cut off; pieces after it lose
    /// what it covers.
    fn place(&mut self, offset: usize, mut data: Vec<u8>) {
        let mut offset = offset;
        let at = self.pieces.partition_point(|(start, _)| *start <= offset);
        if let Some((start, before)) = at.checked_sub(1).and_then(|i| self.pieces.get(i)) {
            let covered = (start + before.len()).saturating_sub(offset);
            if covered >= data.len() && !data.is_empty() {
                return;
            }
            data.drain(..covered.min(data.len()));
            offset += covered;
        }
        let end = offset + data.len();
        while let Some((start, after)) = self.pieces.get_mut(at) {
            if *start >= end {
                break;
            }
            let covered = end - *start;
            if covered < after.len() {
                after.drain(..covered);
                *start = end;
                break;
            }
            self.pieces.remove(at);
        }
        self.pieces.insert(at, (offset, data));
    }

    fn complete(&self) -> bool {
        let Some(total) = self.total else {
            return false;
        };
        let mut next = 0;
        for (at, data) in &self.pieces {
            if *at != next {
                return false;
            }
            next = at + data.len();
        }
        next == total && self.first.is_some()
    }
}

/// The ECN field of a datagram of which `a` is known when `b` arrives; `None` drops the fragment
/// (`ip_reass`: a fragment that is not ECN-capable does not go with one that is, nor CE after it).
fn combine_ecn(a: u8, b: u8) -> Option<u8> {
    match (a, b) {
        (0, ECN_CE) => None,
        (_, ECN_CE) => Some(ECN_CE),
        (a, 0) if a != 0 => None,
        (a, _) => Some(a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(5);

    fn key(id: u32) -> FragKey {
        FragKey {
            src: IpAddr::from([10, 0, 0, 1]),
            dst: IpAddr::from([10, 0, 0, 2]),
            proto: 17,
            id,
        }
    }

    fn frag(offset: usize, more: bool, data: &[u8]) -> Fragment<usize> {
        Fragment {
            offset,
            more,
            ecn: 0,
            header: offset,
            data: data.to_vec(),
        }
    }

    #[test]
    fn fragments_in_any_order_make_the_datagram_with_the_first_ones_header() {
        let parts = [
            frag(0, true, b"aaaaaaaa"),
            frag(8, true, b"bbbbbbbb"),
            frag(16, false, b"cc"),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut reass = Reass::v4();
            let done: Vec<_> = order
                .iter()
                .filter_map(|&i: &usize| reass.insert(NOW, key(1), parts[i].clone()))
                .collect();
            assert_eq!(done.len(), 1, "{order:?}");
            assert_eq!(done[0].payload, b"aaaaaaaabbbbbbbbcc");
            assert_eq!(done[0].header, 0);
            assert!(reass.is_empty());
        }
    }

    #[test]
    fn v4_trims_overlaps_and_v6_drops_the_datagram() {
        let first = frag(0, true, b"aaaaaaaaaaaaaaaa");
        let over = frag(8, false, b"bbbbbbbbbb");
        let mut v4 = Reass::v4();
        assert_eq!(v4.insert(NOW, key(1), first.clone()), None);
        let done = v4.insert(NOW, key(1), over.clone()).unwrap();
        assert_eq!(done.payload, b"aaaaaaaaaaaaaaaabb");

        let mut v6 = Reass::v6();
        assert_eq!(v6.insert(NOW, key(1), first.clone()), None);
        assert_eq!(v6.insert(NOW, key(1), first), None);
        assert_eq!(v6.len(), 1, "a repetition is harmless");
        assert_eq!(v6.insert(NOW, key(1), over), None);
        assert!(v6.is_empty());
    }

    #[test]
    fn impossible_fragments_leave_nothing_behind() {
        let mut reass = Reass::v4();
        assert_eq!(reass.insert(NOW, key(1), frag(0, true, b"odd")), None);
        assert_eq!(reass.insert(NOW, key(1), frag(0, true, b"")), None);
        assert_eq!(
            reass.insert(NOW, key(1), frag(65_528, false, b"12345678")),
            None
        );
        assert!(reass.is_empty());
    }

    #[test]
    fn a_fragment_past_the_known_end_is_dropped() {
        let mut reass = Reass::v4();
        assert_eq!(reass.insert(NOW, key(1), frag(8, false, b"end")), None);
        assert_eq!(reass.insert(NOW, key(1), frag(16, true, b"aaaaaaaa")), None);
        let done = reass
            .insert(NOW, key(1), frag(0, true, b"aaaaaaaa"))
            .unwrap();
        assert_eq!(done.payload, b"aaaaaaaaend");
    }

    #[test]
    fn one_fragment_too_many_takes_the_datagram_away_unless_it_completes_it() {
        let mut v4 = Reass::v4();
        let piece = |n: usize, more| frag(8 * n, more, b"aaaaaaaa");
        for n in 0..FRAGS_MAX_V4 {
            assert_eq!(v4.insert(NOW, key(1), piece(2 * n, true)), None);
        }
        assert_eq!(v4.len(), 1);
        v4.insert(NOW, key(1), piece(2 * FRAGS_MAX_V4, true));
        assert!(v4.is_empty());

        for n in 0..FRAGS_MAX_V4 {
            assert_eq!(v4.insert(NOW, key(2), piece(n, true)), None);
        }
        let done = v4.insert(NOW, key(2), piece(FRAGS_MAX_V4, false)).unwrap();
        assert_eq!(done.payload.len(), 8 * (FRAGS_MAX_V4 + 1));

        let mut v6 = Reass::v6();
        for n in 0..FRAGS_MAX_V6 {
            assert_eq!(v6.insert(NOW, key(1), piece(2 * n, true)), None);
        }
        assert_eq!(v6.len(), 1);
    }

    #[test]
    fn what_waits_is_restored_though_fewer_fragments_are_allowed_by_now() {
        let mut old = Reass::v4();
        for n in 0..3 {
            old.insert(NOW, key(1), frag(16 * n, true, b"aaaaaaaa"));
        }
        let mut new = Reass::v4();
        new.maxfrags = 1;
        for (key, queue) in old.by_age() {
            assert!(new.restore(*key, queue.clone()));
        }
        assert_eq!(new.queues, old.queues);
    }

    #[test]
    fn queues_are_bounded_and_expire() {
        let mut reass = Reass::v4();
        for id in 0..QUEUES_MAX as u32 + 1 {
            reass.insert(NOW, key(id), frag(0, true, b"aaaaaaaa"));
        }
        assert_eq!(reass.len(), QUEUES_MAX);
        let deadline = reass.next_deadline().unwrap();
        assert_eq!(deadline, NOW.after(FRAG_TTL_V4));
        assert!(reass.expire(NOW).is_empty());
        assert_eq!(reass.expire(deadline).len(), QUEUES_MAX);
        assert!(reass.is_empty());
    }

    #[test]
    fn congestion_marks_survive_and_contradictions_are_dropped() {
        let mut reass = Reass::v4();
        let mut a = frag(0, true, b"aaaaaaaa");
        let mut b = frag(8, false, b"b");
        (a.ecn, b.ecn) = (2, 3);
        reass.insert(NOW, key(1), a.clone());
        assert_eq!(reass.insert(NOW, key(1), b.clone()).unwrap().ecn, 3);
        a.ecn = 0;
        reass.insert(NOW, key(2), a);
        assert_eq!(reass.insert(NOW, key(2), b), None);
    }
}
