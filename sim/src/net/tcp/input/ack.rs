// SPDX-License-Identifier: BSD-2-Clause
//! The acknowledgement field (RFC 9293 section 3.10.7.4, fifth check; `tcp_input.c`, 15-CURRENT of 2025).

use super::super::Conn;
use super::super::cc::{Ack, Signal};
use super::super::flags::{
    TF_ACKNOW, TF_CONGRECOVERY, TF_FASTOPEN, TF_FASTRECOVERY, TF_LRD, TF_NEEDFIN, TF_NEEDSYN,
    TF_RCVD_SCALE, TF_RECOVERY, TF_REQ_SCALE, TF_SACK_PERMIT, TF_SONOTCONN, TF2_NO_ISS_CHECK,
};
use super::super::fsm::State;
use super::super::sack::Changed;
use super::super::tcpcb::{MAXWIN, Timer};
use super::super::wire::{Segment, TH_FIN};
use super::{Exit, Pass};
use crate::net::cx::SoWait;
use crate::net::sockbuf::SBS_CANTRCVMORE;

impl Conn<'_, '_> {
    /// Everything that an acknowledgement does.
    pub(super) fn ack_processing(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        if self.tp.t_state == State::SynReceived {
            self.syn_received_acked(pass);
        }
        self.check_ack_range(pass)?;
        if self.is_sack_recovery(pass.seg) {
            pass.changed = self.sack_doack(pass.seg);
            if pass.changed != Changed::No && self.tp.has(TF_LRD) {
                self.sack_lost_retransmission(pass.seg.ack);
            }
        } else {
            self.tp.sackhint.sacked_bytes = 0;
        }
        if pass.seg.ack.leq(self.tp.snd_una) {
            return self.duplicate_ack(pass);
        }
        self.tp.t_dupacks = 0;
        let informs = match pass.changed {
            Changed::No => false,
            Changed::Yes => self.tp.t_rxtshift == 0,
            Changed::NewLoss => true,
        };
        let caught_up = self.tp.snd_nxt == self.tp.snd_max;
        if self.is_sack_recovery(pass.seg) && informs && caught_up {
            self.tp.t_dupacks = self.tp.t_dupacks.wrapping_add(1);
            let threshold = 2 * self.maxseg() as i32;
            if !self.tp.has(TF_FASTRECOVERY) && self.tp.sackhint.sacked_bytes > threshold {
                self.enter_recovery(pass)?;
            }
        }
        self.retract_window(pass);
        if self.tp.has(TF_NEEDSYN) {
            self.tp.clear(TF_NEEDSYN);
            self.tp.snd_una += 1;
            self.scale_receive_window();
        }
        self.process_ack(pass)
    }

    /// `tcp_is_sack_recovery`
    pub(super) fn is_sack_recovery(&self, seg: &Segment) -> bool {
        self.tp.has(TF_SACK_PERMIT) && (!seg.to.sacks.is_empty() || !self.tp.snd_holes.is_empty())
    }

    fn scale_receive_window(&mut self) {
        if self.tp.has_all(TF_RCVD_SCALE | TF_REQ_SCALE) {
            self.tp.rcv_scale = self.tp.request_r_scale;
        }
    }

    /// The handshake is complete.
    fn syn_received_acked(&mut self, pass: &mut Pass) {
        self.tcp.stat.connects += 1;
        if self.tp.has(TF_SONOTCONN) {
            self.tp.clear(TF_SONOTCONN);
            self.so.soisconnected(self.cx);
        }
        self.scale_receive_window();
        self.tp.snd_wnd = pass.win;
        self.tp.t_starttime = self.ticks();
        if self.tp.has(TF_FASTOPEN)
            && let Some(listener) = self.tp.t_tfo_pending.take()
        {
            self.tcp.tfo_released.push(listener);
        }
        if self.tp.has(TF_NEEDFIN) {
            self.tp.t_acktime = self.ticks();
            self.state_change(State::FinWait1);
            self.tp.clear(TF_NEEDFIN);
        } else {
            self.state_change(State::Established);
            if !self.tp.has(TF_FASTOPEN) {
                self.cc_conn_init();
            }
            let keepidle = self.keepidle();
            self.activate(Timer::Keep, keepidle);
        }
        if pass.seg.ack.gt(self.tp.snd_una) && !self.tp.has(TF_NEEDSYN) {
            pass.incforsyn = true;
        }
        if pass.seg.tlen() == 0 && !pass.has(TH_FIN) {
            self.reass_present();
            self.handle_wakeup();
        }
        self.tp.snd_wl1 = pass.seg.seq - 1;
    }

    /// An acknowledgement too old is challenged (RFC 5961 section 5.2), one of what was never sent
    /// is told where this side stands (RFC 9293 section 3.10.7.4).
    fn check_ack_range(&mut self, pass: &Pass) -> Result<(), Exit> {
        let ack = pass.seg.ack;
        let tp = &mut self.tp;
        // A window away from the start, the start no longer tells old acknowledgements apart.
        if tp.snd_una.geq(tp.iss + (MAXWIN << tp.snd_scale)) {
            tp.t_flags2 |= TF2_NO_ISS_CHECK;
        }
        if self.tcp.sysctl.insecure_ack == 0 {
            let oldest = self.tp.snd_una - self.tp.max_sndwnd;
            let first = self.tp.iss + 1;
            let ghosts = !self.tp.has2(TF2_NO_ISS_CHECK) && first.gt(oldest);
            if ack.lt(if ghosts { first } else { oldest }) {
                self.challenge_ack(pass.seg);
                return Err(Exit::Drop);
            }
        }
        if ack.gt(self.tp.snd_max) {
            return Err(Exit::DropAfterAck);
        }
        Ok(())
    }

    /// A partial acknowledgement: recovery goes on, and a window inflated for it is retracted.
    fn retract_window(&mut self, pass: &mut Pass) {
        let ack = pass.seg.ack;
        if !ack.lt(self.tp.snd_recover) {
            return;
        }
        let prr = self.tcp.sysctl.prr != 0;
        if self.tp.has(TF_FASTRECOVERY) {
            if !self.tp.has(TF_SACK_PERMIT) {
                self.newreno_partial_ack(ack);
            } else if prr && !pass.seg.to.sacks.is_empty() {
                self.tp.stop(Timer::Rexmt);
                self.tp.t_rtttime = 0;
                self.prr_ack(pass);
                self.tp.set(TF_ACKNOW);
                let _ = self.output();
            } else {
                self.sack_partialack(ack);
            }
        } else if self.tp.has(TF_CONGRECOVERY) && prr {
            self.tp.sackhint.delivered_data = (ack - self.tp.snd_una) as i32;
            self.tp.snd_fack = ack;
            pass.changed = Changed::Yes;
            self.prr_ack(pass);
            let _ = self.output();
        }
    }

    /// Something new is acknowledged (`process_ACK`).
    pub(super) fn process_ack(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        if pass.incforsyn {
            self.tp.snd_una += 1;
        }
        let ack = pass.seg.ack;
        let acked = ack - self.tp.snd_una;
        self.tcp.stat.rcvackpack += 1;
        self.tcp.stat.rcvackbyte += u64::from(acked);
        // Outside of header prediction only a time stamp tells (tcp_input.c, 15-CURRENT of 2025).
        if pass.seg.to.ts.is_some() && self.spurious_rto(pass) {
            self.cc_cong_signal(Some(ack), Signal::RtoErr);
        }
        self.measure_rtt(pass);
        let avail = self.so.so_snd.used();
        if (self.tp.t_state <= State::CloseWait && acked == avail) || acked > avail {
            self.tp.t_acktime = 0;
        } else if acked > 1 {
            self.tp.t_acktime = self.ticks();
        }
        if ack == self.tp.snd_max {
            self.tp.stop(Timer::Rexmt);
            pass.needoutput = true;
        } else if !self.tp.active(Timer::Persist) {
            let rxtcur = self.rxtcur();
            self.activate(Timer::Rexmt, rxtcur);
        }
        if acked == 0 {
            return Ok(());
        }
        self.cc_ack_received(ack, Ack::New);
        pass.ourfinisacked = acked > avail;
        let text = acked.min(avail);
        self.so.so_snd.bytes.drop_front(text as usize);
        self.tp.snd_wnd = self.tp.snd_wnd.saturating_sub(text);
        self.cx.wakeup(self.so.id, SoWait::Snd);
        self.advance_una(pass);
        self.fin_acked(pass)
    }

    fn advance_una(&mut self, pass: &Pass) {
        let ack = pass.seg.ack;
        let tp = &mut self.tp;
        let recover = tp.snd_recover;
        if !tp.has(TF_RECOVERY) && tp.snd_una.gt(recover) && ack.leq(recover) {
            tp.snd_recover = ack - 1;
        }
        tp.snd_una = ack;
        if tp.has(TF_RECOVERY) && ack.geq(tp.snd_recover) {
            self.cc_post_recovery(ack);
        }
        let tp = &mut self.tp;
        tp.snd_recover = tp.snd_recover.max(tp.snd_una);
        tp.snd_nxt = tp.snd_nxt.max(tp.snd_una);
    }

    /// What follows when this side's FIN is acknowledged.
    fn fin_acked(&mut self, pass: &Pass) -> Result<(), Exit> {
        if !pass.ourfinisacked {
            return Ok(());
        }
        match self.tp.t_state {
            State::FinWait1 => {
                if self.so.so_rcv.state(SBS_CANTRCVMORE) {
                    self.free_sackholes();
                    self.so.soisdisconnected(self.cx);
                    let wait = if self.tcp.sysctl.fast_finwait2_recycle != 0 {
                        self.tcp.sysctl.finwait2_timeout as u32
                    } else {
                        self.maxidle()
                    };
                    self.activate(Timer::Msl2, wait);
                }
                self.state_change(State::FinWait2);
                Ok(())
            }
            State::Closing => {
                self.twstart();
                Err(Exit::Drop)
            }
            State::LastAck => {
                self.close();
                Err(Exit::Drop)
            }
            _ => Ok(()),
        }
    }

    /// The peer's window, unless the segment is older than the last update (RFC 9293
    /// section 3.10.7.4, SND.WL1 and SND.WL2).
    pub(super) fn update_window(&mut self, pass: &mut Pass) {
        use super::super::wire::TH_ACK;
        let (seq, ack) = (pass.seg.seq, pass.seg.ack);
        let tp = &mut self.tp;
        let newer = tp.snd_wl1.lt(seq)
            || (tp.snd_wl1 == seq
                && (tp.snd_wl2.lt(ack) || (tp.snd_wl2 == ack && pass.win > tp.snd_wnd)));
        if pass.has(TH_ACK) && newer {
            tp.snd_wnd = pass.win;
            tp.snd_wl1 = seq;
            tp.snd_wl2 = ack;
            tp.max_sndwnd = tp.max_sndwnd.max(tp.snd_wnd);
            pass.needoutput = true;
        }
    }
}
