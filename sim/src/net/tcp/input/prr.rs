// SPDX-License-Identifier: BSD-2-Clause
//! Proportional rate reduction: what may be sent while recovering (RFC 6937 and its successor;
//! `tcp_do_prr_ack`, 15-CURRENT of 2025).

use super::super::Conn;
use super::super::flags::{TF_CONGRECOVERY, TF_FASTRECOVERY};
use super::super::sack::{Changed, REXMTTHRESH};
use super::super::seq::Seq;
use super::Pass;

impl Conn<'_, '_> {
    /// Recovery begins, on this acknowledgement.
    pub(super) fn prr_begin(&mut self, ack: Seq, sack: bool, maxseg: u32) {
        let tp = &mut self.tp;
        tp.sackhint.prr_delivered = if sack {
            // What limited transmit answered counts.
            let answered = (tp.snd_limited + 1).saturating_mul(maxseg);
            answered.min(tp.snd_max - ack) as i32
        } else {
            maxseg as i32
        };
        tp.sackhint.recover_fs = (tp.snd_nxt - tp.snd_una).max(1);
    }

    /// Sets the window for what this acknowledgement lets out.
    ///
    /// The pipe is that of before `snd_una` moves, as in the kernel, where `tcp_do_prr_ack` precedes
    /// the bookkeeping of the acknowledgement: one that covers eight segments lets as many go at once.
    pub(super) fn prr_ack(&mut self, pass: &Pass) {
        let maxseg = i64::from(self.maxseg().max(1));
        let sack = self.is_sack_recovery(pass.seg);
        let tp = &self.tp;
        let congestion_only = tp.has(TF_CONGRECOVERY) && !tp.has(TF_FASTRECOVERY);
        let (delivered, pipe) = if sack || congestion_only {
            let pipe = i64::from(self.compute_pipe());
            (i64::from(tp.sackhint.delivered_data), pipe)
        } else {
            let outstanding = i64::from(tp.snd_recover.diff(tp.snd_una));
            let limit = i64::from(REXMTTHRESH) * maxseg + outstanding;
            let delivered = if i64::from(tp.sackhint.prr_delivered) < limit {
                maxseg
            } else {
                0
            };
            let left = i64::from(tp.t_dupacks.min(i32::MAX as u32 / 65_536)) * maxseg;
            (
                delivered,
                (i64::from(tp.snd_max - tp.snd_una) - left).max(0),
            )
        };
        let segs = self.prr_segments(pass, delivered, pipe, maxseg);
        let tp = &mut self.tp;
        let grant = segs * maxseg;
        let cwnd = if tp.has(TF_FASTRECOVERY) {
            if sack {
                pipe - delivered + grant
            } else {
                i64::from(tp.snd_max - tp.snd_una) + grant
            }
        } else if tp.has(TF_CONGRECOVERY) {
            pipe - delivered + grant
        } else {
            i64::from(tp.snd_cwnd)
        };
        tp.snd_cwnd = cwnd.max(maxseg).min(i64::from(i32::MAX)) as u32;
    }

    /// How many segments may go.
    fn prr_segments(&mut self, pass: &Pass, delivered: i64, pipe: i64, maxseg: i64) -> i64 {
        let tp = &mut self.tp;
        let ssthresh = i64::from(tp.snd_ssthresh);
        let hint = &mut tp.sackhint;
        hint.prr_delivered = hint.prr_delivered.saturating_add(delivered as i32);
        let total = i64::from(hint.prr_delivered);
        let out = i64::from(hint.prr_out);
        let count = if pipe >= ssthresh {
            if hint.recover_fs == 0 {
                hint.recover_fs = (tp.snd_nxt - tp.snd_una).max(1);
            }
            let fs = i64::from(hint.recover_fs);
            (total * ssthresh + fs - 1) / fs - out + maxseg - 1
        } else {
            // A sign of further loss, or nothing delivered: no more goes out than came in.
            let limit = if pass.changed == Changed::NewLoss || delivered == 0 {
                total - out
            } else {
                (total - out).max(delivered) + maxseg
            };
            (ssthresh - pipe).min(limit)
        };
        count.max(0) / maxseg
    }
}

#[cfg(test)]
#[path = "prr_tests.rs"]
mod tests;
