// SPDX-License-Identifier: BSD-2-Clause
//! What happens when a connection's timer fires (`tcp_timer.c`, 15-CURRENT of early 2024).

use super::Conn;
use super::cc::Signal;
use super::flags::{
    TF_ACKNOW, TF_CONGRECOVERY, TF_FASTRECOVERY, TF_FORCEDATA, TF_PREVVALID, TF_RCVD_TSTMP,
    TF_REQ_SCALE, TF_REQ_TSTMP, TF_SACK_PERMIT, TF_WASCRECOVERY, TF_WASFRECOVERY,
    TF2_PLPMTU_BLACKHOLE, TF2_PLPMTU_MAXSEGSNT, TF2_PLPMTU_PMTUD,
};
use super::fsm::State;
use super::tcpcb::{RTT_SHIFT, Timer};
use crate::errno::Errno;
use crate::net::sockbuf::SBS_CANTRCVMORE;
use crate::net::socket::bits::SO_KEEPALIVE;

/// `tcp_backoff`: factors of the retransmission timeout.
pub(crate) const BACKOFF: [u32; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512];
/// Their sum (`tcp_totbackoff`).
const TOTBACKOFF: i64 = 2559;
/// `TCPTV_PERSMAX`, whatever `net.inet.tcp.persmax` says.
const PERSMAX: i32 = 60_000;
/// `tcp_maxpersistidle`: two hours, whatever `net.inet.tcp.keepidle` says.
const MAXPERSISTIDLE: i32 = 7_200_000;

impl Conn<'_, '_> {
    /// Runs the timer that is due first; the caller has seen that it is due.
    pub(crate) fn timer_enter(&mut self) {
        let Some((_, timer)) = self.tp.next_timer() else {
            return;
        };
        self.tp.stop(timer);
        match timer {
            Timer::Delack => self.timer_delack(),
            Timer::Rexmt => self.timer_rexmt(),
            Timer::Persist => self.timer_persist(),
            Timer::Keep => self.timer_keep(),
            Timer::Msl2 => self.timer_2msl(),
        }
    }

    fn timer_delack(&mut self) {
        self.tp.set(TF_ACKNOW);
        let _ = self.output();
    }

    fn timer_2msl(&mut self) {
        self.free_sackholes();
        let recycle = self.tcp.sysctl.fast_finwait2_recycle != 0
            && self.tp.t_state == State::FinWait2
            && self.so.so_rcv.state(SBS_CANTRCVMORE);
        let idle = self.ticks().wrapping_sub(self.tp.t_rcvtime);
        if self.tp.t_state != State::TimeWait && !recycle && idle <= self.maxidle() {
            let keepintvl = self.keepintvl();
            self.activate(Timer::Msl2, keepintvl);
        } else {
            self.close();
        }
    }

    fn timer_keep(&mut self) {
        let idle = self.ticks().wrapping_sub(self.tp.t_rcvtime);
        let keepidle = self.keepidle();
        if self.tp.t_state.have_established() && idle < keepidle {
            self.activate(Timer::Keep, keepidle - idle);
            return;
        }
        if self.tp.t_state < State::Established {
            self.drop_connection(Some(Errno::ETIMEDOUT));
            return;
        }
        let wanted = self.tcp.sysctl.always_keepalive != 0 || self.so.option(SO_KEEPALIVE);
        if !wanted || self.tp.t_state > State::Closing {
            self.activate(Timer::Keep, keepidle);
            return;
        }
        if idle >= keepidle.saturating_add(self.maxidle()) {
            self.tcp.stat.keepdrops += 1;
            self.drop_connection(Some(Errno::ETIMEDOUT));
            return;
        }
        // An old sequence number obliges the peer to answer (RFC 9293 section 3.8.4).
        let (ack, seq) = (self.tp.rcv_nxt, self.tp.snd_una - 1);
        self.keepalive_probe(ack, seq);
        let keepintvl = self.keepintvl();
        self.activate(Timer::Keep, keepintvl);
    }

    /// No progress for longer than allowed (`tcp_maxunacktime_check`).
    fn maxunacktime_exceeded(&self) -> bool {
        let max = self.maxunacktime();
        let end = self.tp.t_acktime.wrapping_add(max);
        max != 0 && self.tp.t_acktime != 0 && (end.wrapping_sub(self.ticks()) as i32) <= 0
    }

    fn timer_persist(&mut self) {
        let idle = self.ticks().wrapping_sub(self.tp.t_rcvtime) as i32;
        let exhausted = i64::from(self.tp.t_rxtshift) >= self.tcp.sysctl.retries
            && (idle >= MAXPERSISTIDLE
                || i64::from(idle) >= i64::from(self.rexmtval()) * TOTBACKOFF);
        let abandoned = self.tp.t_state > State::CloseWait && idle >= PERSMAX;
        if self.maxunacktime_exceeded() || exhausted || abandoned {
            self.tcp.stat.persistdrop += 1;
            self.drop_connection(Some(Errno::ETIMEDOUT));
            return;
        }
        self.setpersist();
        self.tp.set(TF_FORCEDATA);
        let _ = self.output();
        self.tp.clear(TF_FORCEDATA);
    }

    fn timer_rexmt(&mut self) {
        self.tp.t_rxtshift += 1;
        let retries = self.tcp.sysctl.retries as u32;
        if self.tp.t_rxtshift > retries || self.maxunacktime_exceeded() {
            self.tp.t_rxtshift = retries;
            self.tcp.stat.timeoutdrop += 1;
            self.drop_connection(Some(Errno::ETIMEDOUT));
            return;
        }
        self.save_for_undo();
        self.tcp.stat.rexmttimeo += 1;
        let backoff = i64::from(BACKOFF[self.tp.t_rxtshift as usize]);
        let base = match self.tp.t_state {
            State::SynSent | State::SynReceived => self.tcp.sysctl.rexmit_initial,
            _ => i64::from(self.rexmtval()),
        };
        let min = i64::from(self.tp.t_rttmin);
        self.tp.t_rxtcur = self.rangeset(base * backoff, min, self.tcp.sysctl.rexmit_max);
        self.detect_blackhole();
        if self.tcp.sysctl.rexmit_drop_options != 0
            && self.tp.t_state == State::SynSent
            && self.tp.t_rxtshift == 3
        {
            self.tp.clear(TF_REQ_SCALE | TF_REQ_TSTMP | TF_SACK_PERMIT);
        }
        self.tp.snd_nxt = self.tp.snd_una;
        self.tp.snd_recover = self.tp.snd_max;
        self.tp.set(TF_ACKNOW);
        self.tp.t_rtttime = 0;
        self.cc_cong_signal(None, Signal::Rto);
        if self.tp.t_state == State::SynSent {
            // Tells cc_conn_init to start with one segment, as its comment and RFC 5681 section 3.1
            // have it. In the sources of early 2024 this came before the signal, which undid it.
            self.tp.snd_cwnd = 1;
        }
        let _ = self.output();
    }

    /// At the first timeout keeps what an undo needs (`TF_PREVVALID`).
    fn save_for_undo(&mut self) {
        let now = self.ticks();
        if self.tp.t_state == State::SynSent {
            return;
        }
        if self.tp.t_rxtshift == 1 {
            let tp = &mut self.tp;
            tp.snd_cwnd_prev = tp.snd_cwnd;
            tp.snd_ssthresh_prev = tp.snd_ssthresh;
            tp.snd_recover_prev = tp.snd_recover;
            tp.clear(TF_WASFRECOVERY | TF_WASCRECOVERY);
            if tp.has(TF_FASTRECOVERY) {
                tp.set(TF_WASFRECOVERY);
            }
            if tp.has(TF_CONGRECOVERY) {
                tp.set(TF_WASCRECOVERY);
            }
            if !tp.has(TF_RCVD_TSTMP) {
                tp.t_badrxtwin = now.wrapping_add((tp.t_srtt >> (RTT_SHIFT + 1)) as u32);
            }
            tp.set(TF_PREVVALID);
            self.resend_sackholes();
        } else {
            self.tp.clear(TF_PREVVALID);
            self.free_sackholes();
        }
    }

    /// Large segments that vanish without an ICMP error: tries smaller ones (RFC 4821 in spirit).
    fn detect_blackhole(&mut self) {
        let v6 = self.is_v6();
        let on = match self.tcp.sysctl.pmtud_blackhole_detection {
            1 => true,
            2 => !v6,
            3 => v6,
            _ => false,
        };
        if !on || !matches!(self.tp.t_state, State::Established | State::FinWait1) {
            return;
        }
        let hole_mss = if v6 {
            self.tcp.sysctl.v6pmtud_blackhole_mss
        } else {
            self.tcp.sysctl.pmtud_blackhole_mss
        } as u32;
        let dflt = self.tcp.mssdflt(v6);
        let tp = &mut self.tp;
        if tp.t_rxtshift == 1 {
            tp.t_blackhole_enter = 2;
            tp.t_blackhole_exit = 2;
            if tp.t_maxseg > hole_mss {
                tp.t_blackhole_exit = tp.t_blackhole_exit.wrapping_add(2);
            }
            if tp.t_maxseg > dflt && hole_mss > dflt {
                tp.t_blackhole_exit = tp.t_blackhole_exit.wrapping_add(2);
            }
        }
        let suspicious = TF2_PLPMTU_PMTUD | TF2_PLPMTU_MAXSEGSNT;
        if tp.t_flags2 & suspicious == suspicious
            && tp.t_rxtshift >= tp.t_blackhole_enter
            && tp.t_rxtshift < tp.t_blackhole_exit
            && (tp.t_rxtshift - tp.t_blackhole_enter).is_multiple_of(2)
        {
            if !tp.has2(TF2_PLPMTU_BLACKHOLE) {
                tp.t_flags2 |= TF2_PLPMTU_BLACKHOLE;
                tp.t_pmtud_saved_maxseg = tp.t_maxseg;
            }
            if tp.t_maxseg > hole_mss && hole_mss > dflt {
                self.set_maxseg(hole_mss);
            } else {
                tp.t_flags2 &= !TF2_PLPMTU_PMTUD;
                self.set_maxseg(dflt);
            }
            self.cc_algo_conn_init();
        } else if tp.has2(TF2_PLPMTU_BLACKHOLE) && tp.t_rxtshift >= tp.t_blackhole_exit {
            tp.t_flags2 |= TF2_PLPMTU_PMTUD;
            tp.t_flags2 &= !TF2_PLPMTU_BLACKHOLE;
            let saved = tp.t_pmtud_saved_maxseg;
            self.set_maxseg(saved);
            self.cc_algo_conn_init();
        }
    }
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
