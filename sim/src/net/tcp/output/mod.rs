// SPDX-License-Identifier: BSD-2-Clause
//! Sending: what may go, whether it should, and the segment itself (`tcp_default_output`,
//! `sys/netinet/tcp_output.c`, 15-CURRENT of 2025).
//!
//! Each round builds one [`Plan`]: how much, from where, with which flags ([`Conn::plan`]). If one of
//! the reasons to send holds ([`Conn::must_send`]), the segment is built and handed to IP
//! ([`Conn::transmit`]), and another round follows while there is more.

mod decide;
mod persist;
mod transmit;

use super::Conn;
use super::flags::{
    TF_FASTOPEN, TF_FASTRECOVERY, TF_FORCEDATA, TF_LASTIDLE, TF_MORETOCOME, TF_NEEDFIN, TF_NEEDSYN,
    TF_NOOPT, TF_SACK_PERMIT,
};
use super::fsm::State;
use super::sack::REXMTTHRESH;
use super::tcpcb::{Ticks, Timer};
use super::wire::{TH_FIN, TH_RST, TH_SYN};
use crate::errno::Errno;

/// One segment in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// `TH_*`.
    flags: u16,
    /// Bytes of text; not negative after planning.
    len: i64,
    /// Where in the send buffer the text starts.
    off: i64,
    /// The hole of the scoreboard that is retransmitted (`sack_rxmit`).
    hole: Option<usize>,
    /// Another round follows.
    sendalot: bool,
    /// The smaller of the peer's and the congestion window.
    sendwin: u32,
    /// The window that could be advertised.
    recwin: u32,
}

impl Conn<'_, '_> {
    /// Sends what may be sent (`tcp_output`).
    pub(crate) fn output(&mut self) -> Result<(), Errno> {
        if self.tfo_waits() {
            return Ok(());
        }
        let idle = self.idle();
        loop {
            let plan = self.plan();
            if !self.must_send(&plan, idle) {
                self.nothing_to_send();
                return Ok(());
            }
            if !self.transmit(plan)? {
                return Ok(());
            }
        }
    }

    /// A Fast Open connection sends its SYN or SYN-ACK once, and again only by the timer.
    fn tfo_waits(&self) -> bool {
        let tp = &self.tp;
        tp.has(TF_FASTOPEN)
            && matches!(tp.t_state, State::SynSent | State::SynReceived)
            && tp.snd_max.gt(tp.snd_una)
            && tp.snd_nxt != tp.snd_una
    }

    /// Whether nothing is in flight; restarts the congestion window after a pause (RFC 5681
    /// section 4.1).
    fn idle(&mut self) -> bool {
        let mut idle = self.tp.has(TF_LASTIDLE) || self.tp.snd_max == self.tp.snd_una;
        let now = self.ticks();
        let long = |since: Ticks| now.wrapping_sub(since) as i32 >= self.tp.t_rxtcur;
        if idle && (long(self.tp.t_rcvtime) || (self.tp.t_sndtime != 0 && long(self.tp.t_sndtime)))
        {
            self.cc_after_idle();
        }
        self.tp.clear(TF_LASTIDLE);
        if idle && self.tp.has(TF_MORETOCOME) {
            self.tp.set(TF_LASTIDLE);
            idle = false;
        }
        idle
    }

    /// Determines text and flags of the next segment.
    fn plan(&mut self) -> Plan {
        let scoreboard = self.tp.has(TF_SACK_PERMIT) && self.tp.sackhint.nexthole.is_some();
        let reported = if scoreboard && !self.tp.has(TF_FASTRECOVERY) {
            self.sack_adjust()
        } else {
            0
        };
        let mut plan = Plan {
            flags: self.tp.t_state.outflags(),
            len: 0,
            off: i64::from(self.tp.snd_nxt.diff(self.tp.snd_una)),
            hole: None,
            sendalot: false,
            sendwin: (self.tp.snd_wnd).min(self.tp.snd_cwnd.saturating_add(reported)),
            recwin: 0,
        };
        let rexmitted = self.plan_hole(&mut plan);
        if self.tp.has(TF_NEEDFIN) {
            plan.flags |= TH_FIN;
        }
        if self.tp.has(TF_NEEDSYN) {
            plan.flags |= TH_SYN;
        }
        self.plan_forced(&mut plan);
        if plan.hole.is_none() {
            self.plan_new(&mut plan, rexmitted);
        }
        self.plan_syn(&mut plan);
        if plan.len <= 0 {
            plan.len = 0;
            self.window_closed(&plan);
        }
        self.sndbuf_autoscale(plan.sendwin);
        let start = plan
            .hole
            .map_or(self.tp.snd_nxt, |h| self.tp.snd_holes[h].rxmit);
        let unsent = self.tp.snd_una + self.so.so_snd.used();
        if (start + plan.len as u32).lt(unsent) {
            plan.flags &= !TH_FIN;
        }
        plan.recwin = self.rcv_space().min(self.maxwin());
        plan
    }

    /// In recovery, text that the scoreboard says is lost goes first (RFC 6675 section 5); likewise
    /// where duplicates after a timeout tell of it.
    ///
    /// Returns the bytes retransmitted so far, where the scoreboard was asked. A hole is planned even
    /// where the window has no room for it: new text does not overtake it.
    fn plan_hole(&mut self, plan: &mut Plan) -> u32 {
        let tp = &self.tp;
        let fast = tp.has(TF_FASTRECOVERY);
        let lagging = tp.snd_nxt.lt(tp.snd_max) && tp.t_dupacks >= REXMTTHRESH;
        if !tp.has(TF_SACK_PERMIT) || !(fast || lagging) {
            return 0;
        }
        let (hole, rexmitted) = self.sack_output();
        let Some(index) = hole else { return rexmitted };
        let used = if fast {
            i64::from(self.compute_pipe())
        } else {
            plan.off
        };
        let cwin = (i64::from(plan.sendwin) - used).max(0);
        let hole = self.tp.snd_holes[index];
        // What lies beyond the recovery point waits for the next recovery.
        let end = if hole.end.gt(self.tp.snd_recover) {
            if hole.rxmit.geq(self.tp.snd_recover) {
                return rexmitted;
            }
            self.tp.snd_recover
        } else {
            hole.end
        };
        let wanted = i64::from(end.diff(hole.rxmit));
        plan.len = wanted.min(cwin);
        plan.sendalot = cwin > wanted;
        if plan.len > 0 {
            plan.off = i64::from(hole.rxmit.diff(self.tp.snd_una));
        }
        plan.hole = Some(index);
        rexmitted
    }

    /// A window probe sends a byte into a closed window; an open window ends the probing.
    fn plan_forced(&mut self, plan: &mut Plan) {
        if !self.tp.has(TF_FORCEDATA) {
            return;
        }
        if plan.sendwin == 0 {
            if plan.off < i64::from(self.so.so_snd.used()) {
                plan.flags &= !TH_FIN;
            }
            plan.sendwin = 1;
        } else {
            self.tp.stop(Timer::Persist);
            self.tp.t_rxtshift = 0;
        }
    }

    /// New data, or old data after a timeout: as far as the windows reach.
    fn plan_new(&mut self, plan: &mut Plan, rexmitted: u32) {
        let reach = i64::from(self.so.so_snd.used().min(plan.sendwin));
        if rexmitted == 0 || self.tp.snd_nxt.lt(self.tp.snd_max) {
            plan.len = reach - plan.off;
        } else {
            // All holes are sent again. What lies beyond SND.UNA counts whether reported or not, so that
            // a reduced window lets nothing new out: as tcp_output.c of 2025 has it, however slow.
            plan.len = (reach - i64::from(self.compute_pipe()).max(plan.off)).max(0);
        }
    }

    /// A SYN goes once, and takes text along only with Fast Open (RFC 7413).
    fn plan_syn(&self, plan: &mut Plan) {
        let tp = &self.tp;
        let fastopen = tp.has(TF_FASTOPEN);
        if plan.flags & TH_SYN != 0 && tp.snd_nxt.gt(tp.snd_una) {
            if tp.t_state != State::SynReceived || fastopen {
                plan.flags &= !TH_SYN;
            }
            plan.off -= 1;
            plan.len += 1;
        }
        if plan.flags & TH_SYN != 0 && tp.has(TF_NOOPT) {
            plan.len = 0;
            plan.flags &= !TH_FIN;
        }
        if fastopen {
            let retransmitted = plan.flags & TH_SYN != 0 && tp.t_rxtshift > 0;
            let asks = tp.t_state == State::SynSent && tp.t_tfo_client_cookie.is_empty();
            if retransmitted || asks || plan.flags & TH_RST != 0 {
                plan.len = 0;
            }
        } else if plan.flags & TH_SYN != 0 {
            plan.len = 0;
        }
    }

    /// The send buffer grows with the window of a busy connection (`tcp_sndbuf_autoscale`).
    fn sndbuf_autoscale(&mut self, sendwin: u32) {
        let sysctl = &self.tcp.sysctl;
        let sb = &self.so.so_snd;
        if sysctl.sendbuf_auto == 0 || sb.sb_flags & crate::net::sockbuf::SB_AUTOSIZE == 0 {
            return;
        }
        let lowat = if sysctl.sendbuf_auto_lowat != 0 {
            sb.sb_lowat
        } else {
            0
        };
        let (used, hiwat) = (sb.used(), sb.sb_hiwat);
        let max = sysctl.sendbuf_max as u32;
        let inflight = self.tp.snd_nxt - self.tp.snd_una;
        if self.tp.snd_wnd / 4 * 5 >= hiwat.wrapping_sub(lowat)
            && used >= (hiwat / 8 * 7).wrapping_sub(lowat)
            && used < max
            && sendwin >= used.wrapping_sub(inflight)
        {
            // A negative step makes the buffer smaller.
            let size = hiwat.wrapping_add(sysctl.sendbuf_inc as u32).min(max);
            if !self.tcp.reserve(&mut self.so.so_snd, size) {
                self.so.so_snd.sb_flags &= !crate::net::sockbuf::SB_AUTOSIZE;
            }
        }
    }
}
