// SPDX-License-Identifier: BSD-2-Clause
//! SYN-SENT and SYN-RECEIVED (RFC 9293 section 3.10.7.3 and .4).

use super::super::Conn;
use super::super::flags::{
    TF_ACKNOW, TF_FASTOPEN, TF_NEEDFIN, TF_NEEDSYN, TF_NOOPT, TF_RCVD_SCALE, TF_RCVD_TSTMP,
    TF_REQ_SCALE, TF_REQ_TSTMP, TF_SACK_PERMIT, TF_SONOTCONN,
};
use super::super::fsm::State;
use super::super::tcpcb::Timer;
use super::super::wire::{TH_ACK, TH_FIN, TH_RST, TH_SYN};
use super::{Exit, Pass};
use crate::errno::Errno;

impl Conn<'_, '_> {
    /// What the peer's SYN offers is agreed on where this side offered it too.
    pub(super) fn syn_sent_options(&mut self, pass: &Pass) {
        self.ecn_input_parallel_syn(pass.flags, pass.seg.tos);
        let noopt = self.tp.has(TF_NOOPT);
        let to = &pass.seg.to;
        match to.wscale {
            Some(scale) if self.tp.has(TF_REQ_SCALE) && !noopt => {
                self.tp.set(TF_RCVD_SCALE);
                self.tp.snd_scale = scale;
            }
            _ => self.tp.clear(TF_REQ_SCALE),
        }
        // A SYN's own window is never scaled (RFC 7323 section 2.2).
        self.tp.snd_wnd = u32::from(pass.seg.win);
        match to.ts {
            Some((val, _)) if self.tp.has(TF_REQ_TSTMP) && !noopt => {
                self.tp.set(TF_RCVD_TSTMP);
                self.tp.ts_recent = val;
                self.tp.ts_recent_age = self.ticks();
            }
            _ => self.tp.clear(TF_REQ_TSTMP),
        }
        if let Some(mss) = to.mss {
            self.mss(Some(u32::from(mss)));
        }
        if !to.sackperm || noopt {
            self.tp.clear(TF_SACK_PERMIT);
        }
        if self.tp.has(TF_FASTOPEN) {
            match &to.fastopen {
                Some(cookie) if !noopt => {
                    let dflt = if self.is_v6() { 1220 } else { 536 };
                    let cookie = cookie.clone();
                    self.fastopen_update_cache(to.mss.unwrap_or(dflt), &cookie);
                }
                _ => self.fastopen_disable_path(),
            }
        }
    }

    /// SYN-RECEIVED: an acknowledgement of something else is reset.
    pub(super) fn syn_received_check(&mut self, pass: &Pass) -> Result<(), Exit> {
        if pass.has(TH_RST) {
            return Ok(());
        }
        let ack = pass.seg.ack;
        if pass.has(TH_ACK) && (ack.leq(self.tp.snd_una) || ack.gt(self.tp.snd_max)) {
            return Err(Exit::DropWithReset);
        }
        if self.tp.has(TF_FASTOPEN) {
            if pass.flags & (TH_SYN | TH_ACK) == TH_SYN | TH_ACK {
                return Err(Exit::DropWithReset);
            }
            if pass.has(TH_SYN) {
                // A repeated SYN: the answer is under way.
                if self.tp.active(Timer::Delack) || self.tp.active(Timer::Rexmt) {
                    return Err(Exit::Drop);
                }
            } else if !pass.has(TH_ACK | TH_FIN | TH_RST) {
                return Err(Exit::Drop);
            }
        }
        Ok(())
    }

    /// SYN-SENT: the answer to this side's SYN.
    pub(super) fn syn_sent(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        if pass.flags & (TH_ACK | TH_RST) == TH_ACK | TH_RST {
            self.drop_connection(Some(Errno::ECONNREFUSED));
        }
        if pass.has(TH_RST) || !pass.has(TH_SYN) {
            return Err(Exit::Drop);
        }
        self.tp.irs = pass.seg.seq;
        self.tp.rcvseqinit();
        if pass.has(TH_ACK) {
            self.syn_acked(pass);
        } else {
            // Simultaneous open.
            self.tp.set(TF_ACKNOW | TF_NEEDSYN | TF_SONOTCONN);
            self.tp.stop(Timer::Rexmt);
            self.state_change(State::SynReceived);
        }
        pass.seg.seq += 1;
        let tlen = pass.seg.tlen();
        if tlen > self.tp.rcv_wnd {
            pass.seg.trim_back(tlen - self.tp.rcv_wnd);
            pass.flags &= !TH_FIN;
        }
        self.tp.snd_wl1 = pass.seg.seq - 1;
        self.tp.rcv_up = pass.seg.seq;
        if pass.has(TH_ACK) {
            self.process_ack(pass)?;
        }
        self.after_ack(pass)
    }

    /// This side's SYN is acknowledged.
    fn syn_acked(&mut self, pass: &mut Pass) {
        self.tcp.stat.connects += 1;
        self.so.soisconnected(self.cx);
        if self.tp.has_all(TF_RCVD_SCALE | TF_REQ_SCALE) {
            self.tp.rcv_scale = self.tp.request_r_scale;
        }
        let maxwin = self.maxwin();
        self.tp.rcv_adv += self.tp.rcv_wnd.min(maxwin);
        self.tp.snd_una += 1;
        if self.tp.snd_nxt.lt(self.tp.snd_una) {
            self.tp.snd_nxt = self.tp.snd_una;
        }
        // Fast Open text that was not taken goes again at once.
        let partial = self.tp.has(TF_FASTOPEN) && self.tp.snd_una != self.tp.snd_max;
        if partial {
            self.tp.snd_nxt = pass.seg.ack;
        }
        let tlen = pass.seg.tlen();
        if self.delay_ack(tlen) && tlen != 0 && !partial {
            let delay = self.tcp.sysctl.delacktime as u32;
            self.activate(Timer::Delack, delay);
        } else {
            self.tp.set(TF_ACKNOW);
        }
        self.ecn_input_syn_sent(pass.flags, pass.seg.tos);
        self.tp.t_starttime = self.ticks();
        if self.tp.has(TF_NEEDFIN) {
            self.tp.t_acktime = self.ticks();
            self.state_change(State::FinWait1);
            self.tp.clear(TF_NEEDFIN);
            pass.flags &= !TH_SYN;
        } else {
            self.state_change(State::Established);
            self.cc_conn_init();
            let keepidle = self.keepidle();
            self.activate(Timer::Keep, keepidle);
        }
    }
}
