// SPDX-License-Identifier: BSD-2-Clause
//! Acknowledgements of nothing new: fast retransmit, limited transmit (RFC 5681 section 3.2,
//! RFC 6675 section 5, RFC 3042, RFC 6582; `tcp_input.c`, 15-CURRENT of 2025).

use super::super::Conn;
use super::super::cc::{Ack, Signal};
use super::super::flags::{TF_ACKNOW, TF_FASTRECOVERY, TF_SACK_PERMIT};
use super::super::sack::{Changed, REXMTTHRESH};
use super::super::seq::Seq;
use super::super::tcpcb::Timer;
use super::super::wire::TH_FIN;
use super::{Exit, Pass};

impl Conn<'_, '_> {
    /// An acknowledgement at or below `snd_una`.
    ///
    /// `Ok` where the segment goes on to window, text and FIN.
    pub(super) fn duplicate_ack(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        let maxseg = self.maxseg();
        let sack = self.tp.has(TF_SACK_PERMIT);
        if !pass.no_data || !(pass.win == self.tp.snd_wnd || sack) {
            return Ok(());
        }
        // The first FIN of a simultaneous close is no duplicate.
        if pass.has(TH_FIN) && !self.tp.t_state.have_rcvd_fin() {
            self.tp.t_dupacks = 0;
            return Ok(());
        }
        self.tcp.stat.rcvdupack += 1;
        let uninformative = self.is_sack_recovery(pass.seg) && pass.changed == Changed::No;
        if pass.seg.ack != self.tp.snd_una || uninformative {
            return Ok(());
        }
        if !self.tp.active(Timer::Rexmt) {
            self.tp.t_dupacks = 0;
            return Ok(());
        }
        self.tp.t_dupacks = self.tp.t_dupacks.wrapping_add(1);
        let revised = self.tcp.sysctl.sack_revised != 0;
        let sacked_enough =
            sack && revised && self.tp.sackhint.sacked_bytes > ((REXMTTHRESH - 1) * maxseg) as i32;
        if self.tp.t_dupacks > REXMTTHRESH || self.tp.has(TF_FASTRECOVERY) {
            self.recovery_dupack(pass, maxseg);
            Err(Exit::Drop)
        } else if self.tp.t_dupacks == REXMTTHRESH || sacked_enough {
            self.enter_recovery(pass)
        } else if self.tcp.sysctl.rfc3042 != 0 {
            self.limited_transmit(pass, maxseg);
            Err(Exit::Drop)
        } else {
            Ok(())
        }
    }

    /// A further duplicate while recovering: something left the network.
    fn recovery_dupack(&mut self, pass: &Pass, maxseg: u32) {
        self.cc_ack_received(pass.seg.ack, Ack::Duplicate);
        let fast = self.tp.has(TF_FASTRECOVERY);
        // What was delivered, within reason.
        let delivered = self.tp.sackhint.delivered_data.max(0) as u32;
        let step = delivered.min(2 * maxseg).max(maxseg);
        let grown = self.tp.snd_cwnd.saturating_add(step);
        if self.tcp.sysctl.prr != 0 && fast && self.tp.has(TF_SACK_PERMIT) {
            self.prr_ack(pass);
        } else if !self.is_sack_recovery(pass.seg) || !fast {
            self.tp.snd_cwnd = self.tp.snd_cwnd.saturating_add(maxseg);
        } else if self.tp.snd_nxt.lt(self.tp.snd_max) {
            self.tp.snd_cwnd = grown;
        } else if self.compute_pipe() < self.tp.snd_ssthresh {
            self.tp.snd_cwnd = grown.min(self.tp.snd_ssthresh);
        }
        let _ = self.output();
    }

    /// Enough signs of a loss: fast retransmit.
    ///
    /// `Ok` where the acknowledgement also advances and is processed further.
    pub(super) fn enter_recovery(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        let maxseg = self.maxseg();
        let ack = pass.seg.ack;
        let advances = ack.gt(self.tp.snd_una);
        self.tp.t_dupacks = REXMTTHRESH;
        let onxt = self.tp.snd_nxt;
        let prr = self.tcp.sysctl.prr != 0;
        let sack = self.is_sack_recovery(pass.seg);
        let already = if sack {
            self.tp.has(TF_FASTRECOVERY)
        } else {
            ack.leq(self.tp.snd_recover)
        };
        if already {
            self.tp.t_dupacks = 0;
            return Ok(());
        }
        self.cc_cong_signal(Some(ack), Signal::Ndupack);
        self.cc_ack_received(ack, Ack::Duplicate);
        self.tp.stop(Timer::Rexmt);
        self.tp.t_rtttime = 0;
        if prr {
            self.prr_begin(ack, sack, maxseg);
        }
        self.tp.snd_limited = 0;
        if sack {
            // After a timeout all holes are open again.
            self.resend_sackholes();
            self.tp.snd_nxt = self.tp.snd_max;
            self.tp.snd_cwnd = self.compute_pipe().saturating_add(maxseg);
            let _ = self.output();
            self.tp.snd_cwnd = self.tp.snd_ssthresh;
            return if advances { Ok(()) } else { Err(Exit::Drop) };
        }
        self.tp.snd_nxt = ack;
        self.tp.snd_cwnd = maxseg;
        let _ = self.output();
        let inflated = maxseg.saturating_mul(self.tp.t_dupacks);
        self.tp.snd_cwnd = self.tp.snd_ssthresh.saturating_add(inflated);
        if onxt.gt(self.tp.snd_nxt) {
            self.tp.snd_nxt = onxt;
        }
        Err(Exit::Drop)
    }

    /// The first two duplicates each let one new segment go (RFC 3042).
    fn limited_transmit(&mut self, pass: &Pass, maxseg: u32) {
        self.cc_ack_received(pass.seg.ack, Ack::Duplicate);
        let (oldcwnd, oldmax) = (self.tp.snd_cwnd, self.tp.snd_max);
        if self.tp.t_dupacks == 1 {
            self.tp.snd_limited = 0;
        }
        // Planning adds what is reported once, though it is taken off twice where nothing was sent
        // again (tcp_input.c, 15-CURRENT of 2025): with SACK, new text goes only as far as a duplicate
        // reports less than a segment.
        let reported = self.sack_adjust();
        if self.tp.snd_nxt == self.tp.snd_max && self.tp.t_rxtshift == 0 {
            let inflight = self.tp.snd_nxt - self.tp.snd_una;
            self.tp.snd_cwnd = inflight.saturating_sub(reported);
        }
        let allowed = self.tp.t_dupacks.saturating_sub(self.tp.snd_limited);
        let cwnd = i64::from(self.tp.snd_cwnd) + i64::from(allowed) * i64::from(maxseg);
        self.tp.snd_cwnd = (cwnd - i64::from(reported)).max(0) as u32;
        let inflight = self.tp.snd_nxt - self.tp.snd_una;
        if self.so.so_snd.used() >= inflight || self.tp.has(TF_ACKNOW) {
            let _ = self.output();
        }
        let sent = self.tp.snd_max - oldmax;
        if sent > maxseg {
            self.tp.snd_limited = 2;
        } else if sent > 0 {
            self.tp.snd_limited += 1;
        }
        self.tp.snd_cwnd = oldcwnd;
    }

    /// A partial acknowledgement without SACK sends the next hole (`tcp_newreno_partial_ack`,
    /// RFC 6582 section 3.2 step 3).
    pub(super) fn newreno_partial_ack(&mut self, ack: Seq) {
        let maxseg = self.maxseg();
        let (onxt, ocwnd) = (self.tp.snd_nxt, self.tp.snd_cwnd);
        let acked = ack - self.tp.snd_una;
        self.tp.stop(Timer::Rexmt);
        self.tp.t_rtttime = 0;
        self.tp.snd_nxt = ack;
        self.tp.snd_cwnd = maxseg + acked;
        self.tp.set(TF_ACKNOW);
        let _ = self.output();
        if onxt.gt(self.tp.snd_nxt) {
            self.tp.snd_nxt = onxt;
        }
        self.tp.snd_cwnd = ocwnd.saturating_sub(acked) + maxseg;
    }
}
