// SPDX-License-Identifier: BSD-2-Clause
//! The way of a segment through a connection (`tcp_do_segment`; RFC 9293 section 3.10.7.3 and
//! following). Each step is a function; a step that ends the way returns an [`Exit`].

use super::super::Conn;
use super::super::cc::{Ack, Signal};
use super::super::flags::{
    TF_ACKNOW, TF_DELACK, TF_NEEDFIN, TF_NEEDSYN, TF_PREVVALID, TF_RCVD_TSTMP, TF_RECOVERY,
    TF_RXWIN0SENT, TF_SACK_PERMIT, TF2_PROC_SACK_PROHIBIT,
};
use super::super::fsm::State;
use super::super::sack::Changed;
use super::super::seq::{Seq, tstmp_gt, tstmp_lt};
use super::super::tcpcb::Timer;
use super::super::wire::{Segment, TH_ACK, TH_FIN, TH_RST, TH_SYN, TH_URG};
use super::{Exit, Pass};
use crate::net::cx::SoWait;
use crate::net::sockbuf::SB_AUTOSIZE;

impl Conn<'_, '_> {
    /// Processes a segment of this connection.
    pub(crate) fn do_segment(&mut self, seg: &mut Segment) {
        let win = u32::from(seg.win) << self.tp.snd_scale;
        let mut pass = Pass {
            flags: seg.flags,
            win,
            needoutput: false,
            ourfinisacked: false,
            incforsyn: false,
            changed: Changed::No,
            no_data: seg.tlen() == 0,
            pulled: 0,
            seg,
        };
        match self.steps(&mut pass) {
            Ok(()) => {
                if pass.needoutput || self.tp.has(TF_ACKNOW) {
                    let _ = self.output();
                }
                self.check_delack();
            }
            Err(Exit::CheckDelack) => self.check_delack(),
            Err(Exit::Drop) => {}
            Err(Exit::DropAfterAck) => self.drop_after_ack(&pass),
            Err(Exit::DropWithReset) => self.dropwithreset(pass.seg),
            Err(Exit::ResetClosed) => {
                self.tcp.dropwithreset(self.cx, pass.seg);
            }
        }
    }

    fn steps(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        self.arrive(pass)?;
        if self.tp.t_state == State::SynSent && pass.has(TH_SYN) {
            self.syn_sent_options(pass);
        }
        self.check_timestamp_present(pass)?;
        self.header_prediction(pass)?;
        let win = self.rcv_space();
        let advertised = self.tp.rcv_adv.diff(self.tp.rcv_nxt).max(0) as u32;
        self.tp.rcv_wnd = win.max(advertised);
        match self.tp.t_state {
            State::SynReceived => self.syn_received_check(pass)?,
            State::SynSent => return self.syn_sent(pass),
            _ => {}
        }
        self.validate(pass)?;
        if !pass.has(TH_ACK) {
            self.no_ack(pass)?;
        } else {
            self.ack_processing(pass)?;
        }
        self.after_ack(pass)
    }

    /// Window, urgent pointer, text and FIN (`step6` and below).
    pub(super) fn after_ack(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        self.update_window(pass);
        self.urgent(pass);
        self.text(pass);
        self.fin(pass)
    }

    /// What comes before all validation.
    fn arrive(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        self.tp.sackhint.last_sack_ack = Seq(0);
        if pass.has(TH_SYN) && pass.has(TH_FIN) && self.tcp.sysctl.drop_synfin != 0 {
            return Err(Exit::Drop);
        }
        let ack = pass.seg.ack;
        if self.tp.t_state == State::SynSent
            && pass.has(TH_ACK)
            && (ack.leq(self.tp.iss) || ack.gt(self.tp.snd_max))
        {
            return Err(Exit::DropWithReset);
        }
        self.tp.t_rcvtime = self.ticks();
        if self.ecn_input_segment(pass.seg) {
            self.cc_cong_signal(Some(ack), Signal::Ecn);
        }
        if self.tp.has2(TF2_PROC_SACK_PROHIBIT) {
            pass.seg.to.sacks.clear();
        }
        self.echoed_timestamp(pass);
        Ok(())
    }

    /// The peer's echo, in this side's own time; 0 where it can't be true.
    fn echoed_timestamp(&self, pass: &mut Pass) {
        let now = self.ticks();
        let offset = self.tp.ts_offset;
        if let Some((_, ecr)) = &mut pass.seg.to.ts
            && *ecr != 0
        {
            *ecr = ecr.wrapping_sub(offset);
            if tstmp_gt(*ecr, now) {
                *ecr = 0;
            }
        }
    }

    /// Whether an acknowledgement of something new shows that the first retransmission was not
    /// needed: it echoes a time before it (RFC 3522), or, without time stamps, comes sooner than an
    /// answer to it could.
    pub(super) fn spurious_rto(&self, pass: &Pass) -> bool {
        let tp = &self.tp;
        let moment = match pass.seg.to.ts {
            Some((_, 0)) => return false,
            Some((_, ecr)) => ecr,
            None => self.ticks(),
        };
        tp.t_rxtshift == 1
            && tp.has(TF_PREVVALID)
            && tp.t_badrxtwin != 0
            && tstmp_lt(moment, tp.t_badrxtwin)
    }

    /// RFC 7323 section 3.2: a segment without the agreed timestamp is dropped silently.
    fn check_timestamp_present(&self, pass: &Pass) -> Result<(), Exit> {
        let missing = self.tp.has(TF_RCVD_TSTMP) && pass.seg.to.ts.is_none();
        if missing && !pass.has(TH_RST) && self.tcp.sysctl.tolerate_missing_ts == 0 {
            return Err(Exit::Drop);
        }
        Ok(())
    }

    /// The two common cases of an established connection, done quickly (Van Jacobson).
    fn header_prediction(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        let tp = &mut self.tp;
        let odd = TH_SYN | TH_FIN | TH_RST | TH_URG | TH_ACK;
        let ts_ok = pass
            .seg
            .to
            .ts
            .is_none_or(|(val, _)| !tstmp_lt(val, tp.ts_recent));
        if tp.t_state != State::Established
            || pass.seg.seq != tp.rcv_nxt
            || pass.flags & odd != TH_ACK
            || tp.snd_nxt != tp.snd_max
            || pass.win == 0
            || pass.win != tp.snd_wnd
            || tp.has(TF_NEEDSYN | TF_NEEDFIN)
            || !tp.t_segq.is_empty()
            || !ts_ok
        {
            return Ok(());
        }
        let ack = pass.seg.ack;
        if pass.seg.tlen() == 0 {
            let pure = ack.gt(tp.snd_una)
                && ack.leq(tp.snd_max)
                && !tp.has(TF_RECOVERY)
                && pass.seg.to.sacks.is_empty()
                && tp.snd_holes.is_empty();
            self.predicted_timestamp(pass);
            return if pure {
                self.predicted_ack(pass)
            } else {
                Ok(())
            };
        }
        let fits = ack == tp.snd_una && i64::from(pass.seg.tlen()) <= self.so.so_rcv.space();
        self.predicted_timestamp(pass);
        if fits {
            self.predicted_text(pass)
        } else {
            Ok(())
        }
    }

    fn predicted_timestamp(&mut self, pass: &Pass) {
        if let Some((val, _)) = pass.seg.to.ts
            && pass.seg.seq.leq(self.tp.last_ack_sent)
        {
            self.tp.ts_recent_age = self.ticks();
            self.tp.ts_recent = val;
        }
    }

    /// A pure acknowledgement of outstanding text.
    fn predicted_ack(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        self.tcp.stat.predack += 1;
        let ack = pass.seg.ack;
        if self.spurious_rto(pass) {
            self.cc_cong_signal(Some(ack), Signal::RtoErr);
        }
        self.measure_rtt(pass);
        let acked = ack - self.tp.snd_una;
        self.tcp.stat.rcvackpack += 1;
        self.tcp.stat.rcvackbyte += u64::from(acked);
        self.so.so_snd.bytes.drop_front(acked as usize);
        if self.tp.snd_una.gt(self.tp.snd_recover) && ack.leq(self.tp.snd_recover) {
            self.tp.snd_recover = ack - 1;
        }
        self.cc_ack_received(ack, Ack::New);
        self.tp.snd_una = ack;
        self.tp.snd_wl2 = ack;
        self.tp.t_dupacks = 0;
        if self.so.so_snd.used() == 0 {
            self.tp.t_acktime = 0;
        } else if acked > 1 {
            self.tp.t_acktime = self.ticks();
        }
        if self.tp.snd_una == self.tp.snd_max {
            self.tp.stop(Timer::Rexmt);
        } else if !self.tp.active(Timer::Persist) {
            let rxtcur = self.rxtcur();
            self.activate(Timer::Rexmt, rxtcur);
        }
        self.cx.wakeup(self.so.id, SoWait::Snd);
        let inflight = self.tp.snd_max - self.tp.snd_una;
        if self.so.so_snd.used() >= inflight || self.tp.has(TF_ACKNOW) {
            let _ = self.output();
        }
        Err(Exit::CheckDelack)
    }

    /// The next text in sequence, and nothing else new.
    fn predicted_text(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        self.tcp.stat.preddat += 1;
        let tlen = pass.seg.tlen();
        if self.tp.has(TF_SACK_PERMIT) && self.tp.rcv_numsacks > 0 {
            self.tp.clean_sackreport();
        }
        self.tp.rcv_nxt += tlen;
        self.first_byte_in();
        self.tp.snd_wl1 = pass.seg.seq;
        self.tp.rcv_up = self.tp.rcv_nxt;
        if let Some(size) = self.autorcvbuf(tlen)
            && !self.tcp.reserve(&mut self.so.so_rcv, size)
        {
            self.so.so_rcv.sb_flags &= !SB_AUTOSIZE;
        }
        self.append_text(pass.seg);
        self.cx.wakeup(self.so.id, SoWait::Rcv);
        if self.delay_ack(tlen) {
            self.tp.set(TF_DELACK);
        } else {
            self.tp.set(TF_ACKNOW);
            let _ = self.output();
        }
        Err(Exit::CheckDelack)
    }

    /// `DELAY_ACK`: every other full segment is acknowledged at once (RFC 9293 section 3.8.6.3).
    pub(super) fn delay_ack(&self, tlen: u32) -> bool {
        !self.tp.active(Timer::Delack)
            && !self.tp.has(TF_RXWIN0SENT)
            && tlen <= self.tp.t_maxseg
            && (self.tcp.sysctl.delayed_ack != 0 || self.tp.has(TF_NEEDSYN))
    }

    fn check_delack(&mut self) {
        if self.tp.has(TF_DELACK) {
            self.tp.clear(TF_DELACK);
            let delay = self.tcp.sysctl.delacktime as u32;
            self.activate(Timer::Delack, delay);
        }
    }

    /// Tells the peer where this side stands; in SYN-RECEIVED a wrong acknowledgement is reset,
    /// which ends the loop of two forged listeners.
    fn drop_after_ack(&mut self, pass: &Pass) {
        let ack = pass.seg.ack;
        let wrong = self.tp.snd_una.gt(ack) || ack.gt(self.tp.snd_max);
        if self.tp.t_state == State::SynReceived && pass.has(TH_ACK) && wrong {
            self.dropwithreset(pass.seg);
            return;
        }
        self.tp.set(TF_ACKNOW);
        let _ = self.output();
    }

    /// A segment without acknowledgement: text may be queued before the connection stands.
    fn no_ack(&mut self, pass: &Pass) -> Result<(), Exit> {
        use super::super::flags::TF_FASTOPEN;
        if self.tp.t_state == State::SynReceived || self.tp.has(TF_NEEDSYN) {
            if self.tp.t_state == State::SynReceived && self.tp.has(TF_FASTOPEN) {
                self.tp.snd_wnd = pass.win;
                self.cc_conn_init();
            }
            return Ok(());
        }
        Err(if self.tp.has(TF_ACKNOW) {
            Exit::DropAfterAck
        } else {
            Exit::Drop
        })
    }
}
