// SPDX-License-Identifier: BSD-2-Clause
//! The sender's scoreboard of selective acknowledgements (RFC 2018, RFC 6675; `tcp_sack.c`,
//! 15-CURRENT of early 2024).
//!
//! - I1: holes are sorted and disjoint, within `snd_una` and `snd_fack`.
//! - I2: `sack_bytes_rexmit` is the sum over the holes of what was retransmitted from them, and of what was
//!   found lost once more. The kernel leaves the last segment counted when a rescue hole stands for it once
//!   more; here it is not.

use super::Conn;
use super::cc::Signal;
use super::flags::{TF_ACKNOW, TF_LRD, TF_RECOVERY, TF_SENTFIN};
use super::options::SackBlk;
use super::seq::Seq;
use super::tcpcb::{SackHint, SackHole, Timer};
use super::wire::Segment;

/// `tcprexmtthresh`: so many signs make a loss.
pub(super) const REXMTTHRESH: u32 = 3;

/// What an acknowledgement changed in the scoreboard (`sackstatus_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// `SACK_NOCHANGE`
    No,
    /// `SACK_CHANGE`: something was unknown before.
    Yes,
    /// `SACK_NEWLOSS`: and it tells of a further loss. Stays when another block only fills a hole,
    /// where the file of early 2024 forgets it.
    NewLoss,
}

impl Conn<'_, '_> {
    /// Updates the scoreboard from an acknowledgement (`tcp_sack_doack`).
    pub(crate) fn sack_doack(&mut self, seg: &Segment) -> Changed {
        let mut changed = Changed::No;
        let mut delivered = 0_i32;
        let mut left_edge = 0_i32;
        let mut blocks: Vec<SackBlk> = Vec::with_capacity(5);
        let (una, ack) = (self.tp.snd_una, seg.ack);
        // What the cumulative acknowledgement covers counts as a block.
        if una.lt(ack) && !self.tp.snd_holes.is_empty() {
            left_edge = (ack - una) as i32;
            blocks.push(SackBlk {
                start: una,
                end: ack,
            });
            if self.tp.snd_fack.lt(ack) {
                delivered += left_edge;
                self.tp.snd_fack = ack;
                changed = Changed::Yes;
            }
        }
        for sack in &seg.to.sacks {
            if sack.end.gt(sack.start)
                && sack.start.gt(una)
                && sack.start.gt(ack)
                && sack.start.lt(self.tp.snd_max)
                && sack.end.gt(una)
                && sack.end.leq(self.tp.snd_max)
            {
                blocks.push(*sack);
            }
        }
        if blocks.is_empty() {
            return changed;
        }
        blocks.sort_by(|a, b| a.end.diff(b.end).cmp(&0));
        if self.tp.snd_holes.is_empty() {
            self.tp.snd_fack = una.max(ack);
            self.tp.sackhint.sacked_bytes = 0;
        }
        let mut sweep = Sweep {
            blocks,
            changed,
            delivered,
        };
        self.sack_extend(&mut sweep);
        self.sack_sweep(&mut sweep);
        if seg.to.sacks.is_empty() {
            sweep.changed = Changed::No;
        }
        let lost = self.sack_lost_bytes();
        let hint = &mut self.tp.sackhint;
        hint.delivered_data = sweep.delivered;
        hint.sacked_bytes = (hint.sacked_bytes + sweep.delivered - left_edge).max(0);
        hint.lost_bytes = lost;
        sweep.changed
    }

    /// Bytes of holes above which enough was reported to call them lost (`IsLost`, RFC 6675
    /// section 4): three blocks, or more than two segments.
    fn sack_lost_bytes(&self) -> i32 {
        let threshold = i64::from(REXMTTHRESH - 1) * i64::from(self.tp.t_maxseg);
        let (mut blocks, mut bytes, mut lost) = (0, 0_i64, 0_u32);
        let mut above = self.tp.snd_fack;
        for hole in self.tp.snd_holes.iter().rev() {
            bytes += i64::from(above.diff(hole.end));
            above = hole.start;
            blocks += 1;
            if blocks >= REXMTTHRESH || bytes > threshold {
                lost = lost.saturating_add(hole.end - hole.start);
            }
        }
        i32::try_from(lost).unwrap_or(i32::MAX)
    }

    /// The highest block may lie beyond everything reported before: then a hole ends the list.
    fn sack_extend(&mut self, sweep: &mut Sweep) {
        let Some(&last) = sweep.blocks.last() else {
            return;
        };
        self.tp.sackhint.last_sack_ack = last.end;
        let fack = self.tp.snd_fack;
        if !fack.lt(last.start) {
            if fack.lt(last.end) {
                sweep.delivered += (last.end - fack) as i32;
                self.tp.snd_fack = last.end;
                sweep.changed = Changed::Yes;
            }
            return;
        }
        let edge = self.tp.snd_una.max(fack);
        let count = self.tp.snd_holes.len();
        if let Some(hole) = self.tp.snd_holes.last_mut().filter(|h| fack.leq(h.end)) {
            // A rescue retransmission arrived: the hole moves to the left of the block.
            let rexmitted = (hole.rxmit.min(hole.end) - hole.start) as i32;
            self.tp.sackhint.sack_bytes_rexmit =
                self.tp.sackhint.sack_bytes_rexmit.wrapping_sub(rexmitted);
            let start = edge.min(last.start);
            *hole = SackHole {
                start,
                end: last.start,
                rxmit: start,
            };
            sweep.changed = Changed::NewLoss;
        } else if self.sack_insert(count, fack, last.start) {
            sweep.changed = Changed::Yes;
        } else {
            self.sack_skip_beyond(sweep);
            return;
        }
        sweep.delivered += (last.end - last.start) as i32;
        self.tp.snd_fack = last.end;
        sweep.blocks.pop();
    }

    /// No room for another hole: blocks beyond what is known are ignored.
    fn sack_skip_beyond(&mut self, sweep: &mut Sweep) {
        while sweep
            .blocks
            .last()
            .is_some_and(|b| self.tp.snd_fack.lt(b.start))
        {
            sweep.blocks.pop();
        }
        if let Some(block) = sweep.blocks.last()
            && self.tp.snd_fack.lt(block.end)
        {
            sweep.delivered += (block.end - self.tp.snd_fack) as i32;
            self.tp.snd_fack = block.end;
            sweep.changed = Changed::NewLoss;
        }
    }

    /// One pass over holes and blocks from their ends: fills, trims and splits holes.
    fn sack_sweep(&mut self, sweep: &mut Sweep) {
        let mut cur = self.tp.snd_holes.len();
        while cur > 0 {
            let index = cur - 1;
            let Some(&block) = sweep.blocks.last() else {
                break;
            };
            let hole = self.tp.snd_holes[index];
            if block.start.geq(hole.end) {
                sweep.blocks.pop();
                continue;
            }
            if block.end.leq(hole.start) {
                cur -= 1;
                continue;
            }
            self.tp.sackhint.sack_bytes_rexmit = self
                .tp
                .sackhint
                .sack_bytes_rexmit
                .wrapping_sub((hole.rxmit.min(hole.end) - hole.start) as i32);
            sweep.changed = if sweep.changed == Changed::NewLoss {
                Changed::NewLoss
            } else {
                Changed::Yes
            };
            if block.start.leq(hole.start) && block.end.geq(hole.end) {
                sweep.delivered += (hole.end - hole.start) as i32;
                self.sack_remove(index);
                cur -= 1;
                continue;
            }
            self.sack_cut(index, block, sweep);
            let hole = self.tp.snd_holes[index];
            self.tp.sackhint.sack_bytes_rexmit = self
                .tp
                .sackhint
                .sack_bytes_rexmit
                .wrapping_add((hole.rxmit.min(hole.end) - hole.start) as i32);
            if block.start.leq(hole.start) {
                cur -= 1;
            } else {
                sweep.blocks.pop();
            }
        }
    }

    /// A block covers part of a hole.
    fn sack_cut(&mut self, index: usize, block: SackBlk, sweep: &mut Sweep) {
        let lrd = self.tp.has(TF_LRD);
        let recover = self.tp.snd_recover;
        let hole = &mut self.tp.snd_holes[index];
        if block.start.leq(hole.start) {
            sweep.delivered += (block.end - hole.start) as i32;
            hole.start = block.end;
            hole.rxmit = hole.rxmit.max(hole.start);
            return;
        }
        let old = *hole;
        if block.end.geq(hole.end) {
            sweep.delivered += (hole.end - block.start) as i32;
        } else {
            sweep.changed = Changed::NewLoss;
            if !self.sack_insert(index + 1, block.end, old.end) {
                return;
            }
            let new = &mut self.tp.snd_holes[index + 1];
            if old.rxmit.gt(new.rxmit) {
                new.rxmit = old.rxmit;
                self.tp.sackhint.sack_bytes_rexmit = self
                    .tp
                    .sackhint
                    .sack_bytes_rexmit
                    .wrapping_add((new.rxmit.min(new.end) - new.start) as i32);
            }
            sweep.delivered += (block.end - block.start) as i32;
        }
        let hole = &mut self.tp.snd_holes[index];
        hole.end = block.start;
        hole.rxmit = hole.rxmit.min(hole.end);
        if lrd && hole.rxmit.geq(hole.end) {
            hole.rxmit = recover;
        }
    }

    /// Adds a hole (`tcp_sackhole_insert`); false where the scoreboard is full.
    fn sack_insert(&mut self, index: usize, start: Seq, end: Seq) -> bool {
        if self.tp.snd_holes.len() as i64 >= self.tcp.sysctl.sack_maxholes {
            return false;
        }
        self.tp.snd_holes.insert(
            index,
            SackHole {
                start,
                end,
                rxmit: start,
            },
        );
        let next = &mut self.tp.sackhint.nexthole;
        *next = match *next {
            None => Some(index),
            Some(n) if n >= index => Some(n + 1),
            keep => keep,
        };
        true
    }

    /// Takes a hole out (`tcp_sackhole_remove`).
    fn sack_remove(&mut self, index: usize) {
        self.tp.snd_holes.remove(index);
        let left = self.tp.snd_holes.len();
        let next = &mut self.tp.sackhint.nexthole;
        *next = match *next {
            Some(n) if n > index => Some(n - 1),
            Some(n) if n == index && n >= left => None,
            keep => keep,
        };
    }

    /// Empties the scoreboard (`tcp_free_sackholes`).
    pub(crate) fn free_sackholes(&mut self) {
        self.tp.snd_holes.clear();
        let hint = &mut self.tp.sackhint;
        *hint = SackHint {
            nexthole: None,
            sack_bytes_rexmit: 0,
            delivered_data: 0,
            sacked_bytes: 0,
            lost_bytes: 0,
            ..*hint
        };
    }

    /// After a first timeout all holes are sent again (`tcp_resend_sackholes`).
    pub(crate) fn resend_sackholes(&mut self) {
        for hole in &mut self.tp.snd_holes {
            hole.rxmit = hole.start;
        }
        self.tp.sackhint.nexthole = (!self.tp.snd_holes.is_empty()).then_some(0);
        self.tp.sackhint.sack_bytes_rexmit = 0;
    }

    /// The hole to retransmit from and the bytes retransmitted so far (`tcp_sack_output`).
    pub(crate) fn sack_output(&mut self) -> (Option<usize>, u32) {
        let rexmitted = self.tp.sackhint.sack_bytes_rexmit.max(0) as u32;
        let Some(first) = self.tp.sackhint.nexthole else {
            return (None, rexmitted);
        };
        let holes = &self.tp.snd_holes;
        let open = |h: &SackHole| h.rxmit.lt(h.end);
        let found = holes.iter().skip(first).position(open).map(|n| first + n);
        if let Some(index) = found {
            self.tp.sackhint.nexthole = Some(index);
        }
        (found, rexmitted)
    }

    /// After a timeout, skips what the peer already has (`tcp_sack_adjust`).
    ///
    /// Returns the bytes reported below `snd_nxt`, which are no longer in flight: as much may be
    /// sent beyond the congestion window, so that acknowledgements keep coming.
    pub(crate) fn sack_adjust(&mut self) -> u32 {
        let tp = &mut self.tp;
        let all = tp.sackhint.sacked_bytes.max(0) as u32;
        let Some(mut cur) = tp.snd_holes.first().copied() else {
            return 0;
        };
        if tp.snd_nxt.geq(tp.snd_fack) {
            return all;
        }
        let mut sacked = 0_u32;
        for next in tp.snd_holes.iter().skip(1) {
            if tp.snd_nxt.lt(cur.end) {
                return sacked;
            }
            sacked = sacked.saturating_add(next.start - cur.end);
            if tp.snd_nxt.lt(next.start) {
                tp.snd_nxt = next.start;
                return sacked;
            }
            cur = *next;
        }
        if tp.snd_nxt.lt(cur.end) {
            return sacked;
        }
        tp.snd_nxt = tp.snd_fack;
        all
    }

    /// An acknowledgement within recovery that fills no hole (`tcp_sack_partialack`).
    pub(crate) fn sack_partialack(&mut self, ack: Seq) {
        // With sack.revised the window is concluded from RFC 6675's pipe, by what of it the revision
        // that was read has (delivered_data and lost_bytes in tcp_compute_pipe).
        let maxseg = self.maxseg().max(1);
        self.tp.stop(Timer::Rexmt);
        self.tp.t_rtttime = 0;
        let acked = ack - self.tp.snd_una;
        let segs = if acked / maxseg >= 2 { 2 } else { 1 };
        let tp = &self.tp;
        let hint = &tp.sackhint;
        let rexmitted = i64::from(hint.sack_bytes_rexmit);
        let flight = if self.tcp.sysctl.sack_revised != 0 {
            let beyond = i64::from(tp.snd_nxt.diff(ack)) + rexmitted;
            (beyond - i64::from(hint.sacked_bytes) - i64::from(hint.lost_bytes))
                .max(i64::from(maxseg))
        } else {
            rexmitted + i64::from(tp.snd_nxt.diff(tp.snd_recover)).max(0)
        };
        let cwnd = flight + segs * i64::from(maxseg);
        self.tp.snd_cwnd = cwnd.clamp(0, i64::from(self.tp.snd_ssthresh)) as u32;
        self.tp.set(TF_ACKNOW);
        self.rescue_hole(ack, maxseg);
        // The window was measured from the acknowledgement, while bytes in flight are still counted
        // from snd_una: what goes now is a bare acknowledgement, with the number of the hole, and what
        // the window lets out goes when the acknowledgement is booked.
        let _ = self.output();
    }

    /// The rescue retransmission (RFC 6675 section 4, NextSeg rule 4): with nothing else to send, the
    /// last segment goes again.
    fn rescue_hole(&mut self, ack: Seq, maxseg: u32) {
        let tp = &self.tp;
        if self.tcp.sysctl.sack_revised == 0
            || !ack.lt(tp.snd_recover)
            || !tp.snd_holes.is_empty()
            || tp.sackhint.delivered_data <= 0
        {
            return;
        }
        let sent = if tp.has(TF_SENTFIN) {
            tp.snd_max - 1
        } else {
            tp.snd_max
        };
        let highdata = sent.min(tp.snd_recover);
        if ack.lt(highdata) {
            self.tp.snd_fack = ack;
            self.sack_insert(0, ack.max(highdata - maxseg), highdata);
        }
    }

    /// Lost retransmission detection: the peer has data sent after a whole hole was retransmitted
    /// (`tcp_sack_lost_retransmission`).
    pub(crate) fn sack_lost_retransmission(&mut self, ack: Seq) {
        let tp = &mut self.tp;
        let fack = tp.snd_fack;
        let lost = |h: &SackHole| h.rxmit.geq(h.end) && fack.geq(h.rxmit);
        if !tp.has(TF_RECOVERY)
            || !fack.gt(tp.snd_recover)
            || !tp.snd_holes.first().is_some_and(lost)
        {
            return;
        }
        tp.sackhint.nexthole = Some(0);
        for hole in &mut tp.snd_holes {
            if lost(hole) {
                hole.rxmit = hole.start;
            }
        }
        tp.snd_cwnd = tp.snd_ssthresh;
        tp.clear(TF_RECOVERY);
        self.cc_cong_signal(Some(ack), Signal::Ndupack);
        self.tp.snd_cwnd = self.maxseg();
        let tp = &mut self.tp;
        tp.sackhint.recover_fs = (tp.snd_max - tp.snd_una).wrapping_sub(tp.sackhint.recover_fs);
    }
}

/// A pass over the scoreboard: blocks still to be looked at, highest last, and what was found.
struct Sweep {
    blocks: Vec<SackBlk>,
    changed: Changed,
    delivered: i32,
}

#[cfg(test)]
#[path = "sack_tests.rs"]
mod tests;
