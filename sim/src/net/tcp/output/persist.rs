// SPDX-License-Identifier: BSD-2-Clause
//! The persist state: a closed window is probed, so that a lost window update stops nobody for ever
//! (RFC 9293 section 3.8.6.1).

use super::super::Conn;
use super::super::flags::{TF_PREVVALID, TF_SACK_PERMIT};
use super::super::fsm::State;
use super::super::tcpcb::Timer;
use super::super::timer::BACKOFF;
use super::Plan;

impl Conn<'_, '_> {
    /// Enters the persist state where data wait and the window is closed.
    pub(super) fn window_closed(&mut self, plan: &Plan) {
        if plan.sendwin == 0
            && self.tp.t_state.have_established()
            && plan.off < i64::from(self.so.so_snd.used())
            && !self.tp.active(Timer::Persist)
        {
            self.tp.stop(Timer::Rexmt);
            self.tp.t_rxtshift = 0;
            self.tp.snd_nxt = self.tp.snd_una;
            self.setpersist();
        }
    }

    /// Data may wait in the buffer with no timer running: starts the one that fits.
    pub(super) fn nothing_to_send(&mut self) {
        let running = self.tp.active(Timer::Rexmt) || self.tp.active(Timer::Persist);
        if running {
            return;
        }
        if self.tp.has(TF_SACK_PERMIT) && self.tp.snd_max.gt(self.tp.snd_una) {
            let rxtcur = self.rxtcur();
            self.activate(Timer::Rexmt, rxtcur);
        } else if self.so.so_snd.used() > 0 {
            self.tp.t_rxtshift = 0;
            self.setpersist();
        }
    }

    /// Starts the persist timer, backed off (`tcp_setpersist`).
    pub(crate) fn setpersist(&mut self) {
        self.tp.clear(TF_PREVVALID);
        if self.tp.t_state == State::Closed {
            return;
        }
        let t = i64::from((self.tp.t_srtt >> 2).saturating_add(self.tp.t_rttvar) >> 1);
        let backoff = i64::from(BACKOFF[self.tp.t_rxtshift as usize]);
        let (min, max) = (self.tcp.sysctl.persmin, self.tcp.sysctl.persmax);
        let mut tt = self.rangeset(t * backoff, min, max);
        let maxunack = self.maxunacktime();
        if maxunack != 0 && self.tp.t_acktime != 0 {
            let end = self.tp.t_acktime.wrapping_add(maxunack);
            let left = (end.wrapping_sub(self.ticks()) as i32).max(1);
            tt = tt.min(left);
        }
        self.activate(Timer::Persist, tt as u32);
        if i64::from(self.tp.t_rxtshift) < self.tcp.sysctl.retries {
            self.tp.t_rxtshift += 1;
        }
    }
}
