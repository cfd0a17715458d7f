// SPDX-License-Identifier: BSD-2-Clause
//! The receiver's report of what arrived out of order or twice (RFC 2018 section 4, RFC 2883;
//! `tcp_sack.c`, 15.0).

use super::options::{MAX_SACK_BLKS, SackBlk};
use super::seq::Seq;
use super::tcpcb::Tcpcb;

impl Tcpcb {
    fn set_sackblks(&mut self, blocks: &[SackBlk]) {
        let count = blocks.len().min(MAX_SACK_BLKS);
        self.sackblks[..count].copy_from_slice(&blocks[..count]);
        self.rcv_numsacks = count;
    }

    /// Forgets all blocks (`tcp_clean_sackreport`).
    pub(crate) fn clean_sackreport(&mut self) {
        self.rcv_numsacks = 0;
        self.sackblks = [SackBlk::default(); MAX_SACK_BLKS];
    }

    /// Forgets blocks below `rcv_nxt`: duplicates are reported once (`tcp_clean_dsack_blocks`).
    pub(crate) fn clean_dsack_blocks(&mut self) {
        let rcv_nxt = self.rcv_nxt;
        let kept: Vec<SackBlk> = self.sackblks[..self.rcv_numsacks]
            .iter()
            .filter(|b| b.start.lt(b.end) && b.start.gt(rcv_nxt))
            .copied()
            .collect();
        self.set_sackblks(&kept);
    }

    /// Puts a block in front, merged with those it touches (`tcp_update_sack_list`).
    pub(crate) fn update_sack_list(&mut self, start: Seq, end: Seq) {
        let first = self.sackblks[0];
        let retained = start == end && self.rcv_numsacks >= 1 && end == first.end;
        let mut head = if retained {
            first
        } else {
            SackBlk { start, end }
        };
        let mut saved: Vec<SackBlk> = Vec::with_capacity(MAX_SACK_BLKS + 1);
        let save = |saved: &mut Vec<SackBlk>, block: SackBlk| {
            let inside = |b: &SackBlk| b.start.geq(block.start) && b.end.leq(block.end);
            if saved.last().is_some_and(inside) {
                saved.pop();
            }
            saved.push(block);
        };
        for &block in &self.sackblks[..self.rcv_numsacks] {
            if block.start.geq(block.end) || block.start.leq(self.rcv_nxt) {
                continue;
            }
            if head.start.gt(block.end) || head.end.lt(block.start) {
                save(&mut saved, block);
            } else if head.start == block.end {
                head.start = block.start;
            } else if head.end == block.start {
                head.end = block.end;
            } else {
                // They overlap: the overlap is a duplicate, the union is held.
                let union = SackBlk {
                    start: head.start.min(block.start),
                    end: head.end.max(block.end),
                };
                head = SackBlk {
                    start: head.start.max(block.start),
                    end: head.end.min(block.end),
                };
                if head != union {
                    save(&mut saved, union);
                }
            }
        }
        let mut blocks = Vec::with_capacity(MAX_SACK_BLKS + 1);
        if start.lt(end) {
            blocks.push(head);
        } else if start == end && self.rcv_numsacks >= 1 && start == first.end {
            blocks.push(first);
        }
        blocks.extend(saved);
        self.set_sackblks(&blocks);
    }

    /// Reports text that overlaps what is reported: the overlap in front as a duplicate, then the
    /// block that contains it (`tcp_update_dsack_list`).
    pub(crate) fn update_dsack_list(&mut self, start: Seq, end: Seq) {
        let held = &self.sackblks[..self.rcv_numsacks];
        let known = held.first().is_some_and(|b| b.end == self.rcv_nxt);
        let old = end.lt(self.rcv_nxt) || (end == self.rcv_nxt && known);
        let mut dup = if old {
            SackBlk { start, end }
        } else {
            SackBlk::default()
        };
        let mut head = SackBlk::default();
        let mut mid = SackBlk { start, end };
        let mut identical = false;
        for block in held {
            if end.lt(block.start) || start.gt(block.end) {
                continue;
            }
            let (from, to) = (start.max(block.start), end.min(block.end));
            if self.rcv_nxt.gt(block.end) {
                if from != to && (head.start.gt(from) || head.start == head.end) {
                    head = SackBlk {
                        start: from,
                        end: to,
                    };
                }
                continue;
            }
            if (head.start == head.end || block.start.lt(head.start))
                && block.end.gt(start)
                && block.start.leq(end)
            {
                head = *block;
            }
            mid = SackBlk {
                start: mid.start.min(block.start),
                end: mid.end.max(block.end),
            };
            identical |= mid == *block;
        }
        if head.start.lt(head.end) {
            dup = SackBlk {
                start: start.max(head.start),
                end: end.min(head.end),
            };
        }
        let mut blocks = vec![dup];
        if (self.rcv_nxt.lt(mid.end) && mid != dup) || identical {
            blocks.push(mid);
        }
        for block in held {
            let apart = block.end.lt(mid.start) || block.start.gt(mid.end);
            if apart && block.start.gt(self.rcv_nxt) && blocks.len() < MAX_SACK_BLKS {
                blocks.push(*block);
            }
        }
        blocks.retain(|b| b.start.lt(b.end));
        self.set_sackblks(&blocks);
    }
}

impl super::Conn<'_, '_> {
    /// [`Tcpcb::clean_dsack_blocks`]
    pub(crate) fn clean_dsack_blocks(&mut self) {
        self.tp.clean_dsack_blocks();
    }
}
