// SPDX-License-Identifier: BSD-2-Clause
//! The reassembly queue: text that arrived before what precedes it (`tcp_reass.c`, 15.0).
//!
//! - I1: entries are sorted, have text or a FIN, and neither overlap nor touch.
//! - I2: only the last entry may carry a FIN; nothing is queued behind it.
//! - I3: a byte that was taken out as urgent data keeps its place in the text, so that sequence
//!   numbers and text agree, until the run is presented without it.
//! - I4: the number of entries is bounded by the receive buffer and `reass.maxqueuelen`.

use super::Conn;
use super::flags::TF_WAKESOR;
use super::seq::Seq;
use super::wire::Segment;
use crate::net::sockbuf::SBS_CANTRCVMORE;

/// A run of text ahead of `rcv_nxt` (`struct tseg_qent`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegqEntry {
    /// First sequence number.
    pub(crate) start: Seq,
    /// The text.
    pub(crate) text: Vec<u8>,
    /// A FIN follows the text.
    pub(crate) fin: bool,
    /// Bytes of the text that the program gets as urgent data only, in order.
    pub(crate) oob: Vec<Seq>,
}

impl SegqEntry {
    fn end(&self) -> Seq {
        self.start + self.text.len() as u32
    }

    /// The text as the program reads it.
    fn into_stream(mut self) -> Vec<u8> {
        for at in self.oob.iter().rev() {
            let at = at.diff(self.start).max(0) as usize;
            if at < self.text.len() {
                self.text.remove(at);
            }
        }
        self.text
    }
}

/// The queue (`t_segq`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segq {
    pub(crate) entries: Vec<SegqEntry>,
}

/// What became of a segment: where the run that holds it starts and how long it is, and whether the
/// text presented to the user ends with a FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reassembled {
    pub(crate) start: Seq,
    pub(crate) len: u32,
    pub(crate) fin: bool,
}

impl Segq {
    /// `SEGQ_EMPTY`
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Merges an entry with those it overlaps or touches; returns the index of the run.
    fn merge(&mut self, new: SegqEntry) -> usize {
        let from = self.entries.partition_point(|e| e.end().lt(new.start));
        let to = self.entries.partition_point(|e| e.start.leq(new.end()));
        if from >= to {
            self.entries.insert(from, new);
            return from;
        }
        let mut run = SegqEntry {
            start: new.start,
            text: Vec::new(),
            fin: false,
            oob: Vec::new(),
        };
        let mut new = Some(new);
        let mut pieces: Vec<SegqEntry> = Vec::with_capacity(to - from + 1);
        for old in self.entries.drain(from..to) {
            if new.as_ref().is_some_and(|n| n.start.lt(old.start)) {
                pieces.extend(new.take());
            }
            pieces.push(old);
        }
        pieces.extend(new);
        run.start = pieces[0].start;
        for piece in pieces {
            // Where two overlap, the text of the one that begins earlier stands, as in
            // tcp_reass_append and tcp_reass_prepend.
            let have = run.end();
            let skip = (have.diff(piece.start).max(0) as usize).min(piece.text.len());
            if run.text.is_empty() && skip == 0 {
                run.text = piece.text;
            } else {
                run.text.extend_from_slice(&piece.text[skip..]);
            }
            run.fin |= piece.fin;
            run.oob.extend(piece.oob);
        }
        let start = run.start;
        run.oob.sort_unstable_by_key(|at| at.diff(start));
        run.oob.dedup();
        self.entries.insert(from, run);
        from
    }
}

impl Conn<'_, '_> {
    /// Queues a segment and presents what is now in order (`tcp_reass`); `oob` is a byte of it that
    /// was taken out as urgent data.
    pub(crate) fn reass(&mut self, seg: &mut Segment, fin: bool, oob: Option<Seq>) -> Reassembled {
        let len = seg.tlen();
        let nothing = Reassembled {
            start: seg.seq,
            len,
            fin: false,
        };
        let established = self.tp.t_state.have_established();
        if len == 0 && !(fin && established) {
            return nothing;
        }
        let end = seg.seq + len;
        if let Some(last) = self.tp.t_segq.entries.last() {
            let data_after_fin = last.fin && end.gt(last.end());
            if (fin && end.lt(last.end())) || data_after_fin {
                return Reassembled { len: 0, ..nothing };
            }
        }
        let queue = &self.tp.t_segq.entries;
        // A FIN behind text that is all held already goes unnoticed; the peer sends it again.
        let covered = queue
            .iter()
            .find(|e| e.start.leq(seg.seq) && end.leq(e.end()) && (!fin || seg.seq.lt(e.end())));
        if let Some(run) = covered {
            return Reassembled {
                start: run.start,
                len: run.text.len() as u32,
                fin: false,
            };
        }
        let touches = queue
            .iter()
            .any(|e| e.start.leq(end) && seg.seq.leq(e.end()));
        if !touches {
            if seg.seq == self.tp.rcv_nxt && established {
                return self.reass_in_order(seg, fin, oob);
            }
            if self.reass_full(len) {
                self.tcp.stat.rcvreassfull += 1;
                return Reassembled { len: 0, ..nothing };
            }
            self.tp.t_rcvoopack = self.tp.t_rcvoopack.wrapping_add(1);
        }
        let entry = queued(seg, fin, oob);
        let index = self.tp.t_segq.merge(entry);
        let run = &self.tp.t_segq.entries[index];
        let (start, len) = (run.start, run.text.len() as u32);
        Reassembled {
            start,
            len,
            fin: self.reass_present(),
        }
    }

    /// Whether the queue is too long for one more entry; by the newer rule
    /// (`net.inet.tcp.reass.new_limit`) only for a small one, of less than an mbuf.
    fn reass_full(&self, len: u32) -> bool {
        const MSIZE: u32 = 256;
        let sysctl = &self.tcp.sysctl;
        let held = self.tp.t_segq.entries.len() as i64;
        if sysctl.reass_new_limit != 0 {
            return held > sysctl.reass_queueguard && len < MSIZE;
        }
        let by_buffer = self.so.so_rcv.sb_hiwat / self.tp.t_maxseg.max(1) + 1;
        held >= i64::from(by_buffer).min(sysctl.reass_maxqueuelen)
    }

    /// The segment is the next one and fills no gap.
    fn reass_in_order(&mut self, seg: &mut Segment, fin: bool, oob: Option<Seq>) -> Reassembled {
        let (start, len) = (seg.seq, seg.tlen());
        self.tp.rcv_nxt += len;
        let run = queued(seg, fin, oob);
        self.present(run);
        self.tp.set(TF_WAKESOR);
        Reassembled { start, len, fin }
    }

    /// Gives a segment's text to the reader, if he still wants any.
    pub(crate) fn append_text(&mut self, seg: &mut Segment) {
        let (payload, start) = seg.take_text();
        if !self.so.so_rcv.state(SBS_CANTRCVMORE) && payload.len() > start {
            self.so.so_rcv.bytes.append(payload, start);
        }
    }

    /// Presents the first run where nothing is missing before it; true where it ends in a FIN.
    pub(crate) fn reass_present(&mut self) -> bool {
        if !self.tp.t_state.have_established() {
            return false;
        }
        let first = self.tp.t_segq.entries.first();
        if first.is_none_or(|e| e.start != self.tp.rcv_nxt) {
            return false;
        }
        let run = self.tp.t_segq.entries.remove(0);
        self.tp.rcv_nxt += run.text.len() as u32;
        let fin = run.fin;
        self.present(run);
        self.tp.set(TF_WAKESOR);
        fin
    }

    /// Gives a run to the reader, if he still wants any.
    fn present(&mut self, run: SegqEntry) {
        let text = run.into_stream();
        if !self.so.so_rcv.state(SBS_CANTRCVMORE) && !text.is_empty() {
            self.so.so_rcv.bytes.append(text, 0);
        }
    }
}

/// A segment's text as an entry of the queue.
fn queued(seg: &mut Segment, fin: bool, oob: Option<Seq>) -> SegqEntry {
    let (mut text, start) = seg.take_text();
    text.drain(..start);
    SegqEntry {
        start: seg.seq,
        text,
        fin,
        oob: oob.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: u32, text: &[u8]) -> SegqEntry {
        SegqEntry {
            start: Seq(start),
            text: text.to_vec(),
            fin: false,
            oob: Vec::new(),
        }
    }

    #[test]
    fn urgent_bytes_leave_the_text_only_when_it_is_presented() {
        let mut queue = Segq::default();
        let with = |start, text: &[u8], oob: &[u32]| SegqEntry {
            oob: oob.iter().map(|at| Seq(*at)).collect(),
            ..entry(start, text)
        };
        queue.merge(with(10, b"ab!", &[12]));
        queue.merge(with(12, b"!cd?", &[12, 15]));
        let run = queue.entries.pop().unwrap();
        assert_eq!(run, with(10, b"ab!cd?", &[12, 15]));
        assert_eq!(run.into_stream(), b"abcd");
    }

    #[test]
    fn overlapping_and_touching_runs_become_one() {
        let mut queue = Segq::default();
        queue.merge(entry(10, b"abc"));
        queue.merge(entry(20, b"xyz"));
        assert_eq!(queue.entries.len(), 2);
        queue.merge(entry(12, b"CDEFGHIJ"));
        assert_eq!(queue.entries, [entry(10, b"abcDEFGHIJxyz")]);
    }

    #[test]
    fn a_run_over_many_swallows_them() {
        let mut queue = Segq::default();
        for n in [10, 14, 18] {
            queue.merge(entry(n, b"--"));
        }
        let at = queue.merge(entry(8, b"ABCDEFGHIJKLMN"));
        assert_eq!((at, queue.entries.len()), (0, 1));
        assert_eq!(queue.entries[0], entry(8, b"ABCDEFGHIJKLMN"));
    }
}
