// SPDX-License-Identifier: BSD-2-Clause
//! Building a planned segment, sending it, and booking that it was sent.

use super::super::Conn;
use super::super::flags::{
    TF_ACKNOW, TF_DELACK, TF_FASTOPEN, TF_FORCEDATA, TF_LRD, TF_NOOPT, TF_RCVD_TSTMP, TF_RECOVERY,
    TF_REQ_SCALE, TF_REQ_TSTMP, TF_RXWIN0SENT, TF_SACK_PERMIT, TF_SENTFIN, TF_SIGNATURE,
    TF2_ACE_PERMIT, TF2_ECN_PERMIT, TF2_ECN_SND_ECE, TF2_PLPMTU_MAXSEGSNT, TF2_PLPMTU_PMTUD,
};
use super::super::fsm::State;
use super::super::options::{Emitted, TcpOpt};
use super::super::seq::Seq;
use super::super::tcpcb::{MAXWIN, Timer};
use super::super::wire::{Header, TH_FIN, TH_PUSH, TH_RST, TH_SYN, TH_URG};
use super::Plan;
use crate::errno::Errno;
use crate::net::sockbuf::SB_AUTOSIZE;

impl Conn<'_, '_> {
    /// Sends the planned segment; true where another round should follow.
    pub(super) fn transmit(&mut self, mut plan: Plan) -> Result<bool, Errno> {
        if plan.len > 0 {
            if plan.len as u32 >= self.tp.t_maxseg {
                self.tp.t_flags2 |= TF2_PLPMTU_MAXSEGSNT;
            } else {
                self.tp.t_flags2 &= !TF2_PLPMTU_MAXSEGSNT;
            }
        }
        if plan.flags & TH_SYN != 0 {
            self.tp.snd_nxt = self.tp.iss;
        }
        let (options, one_only) = self.options(&mut plan);
        if self.tp.t_port != 0 && self.tcp.sysctl.udp_tunneling_port == 0 {
            return Err(Errno::EHOSTUNREACH);
        }
        let optlen = options.bytes.len() as u32;
        if plan.len as u32 + optlen > self.tp.t_maxseg {
            plan.flags &= !TH_FIN;
            if optlen >= self.tp.t_maxseg {
                plan.hole = None;
                self.account(&plan, Err(Errno::EMSGSIZE));
                return self.sent(&plan, Err(Errno::EMSGSIZE));
            }
            plan.len = i64::from(self.tp.t_maxseg - optlen);
            plan.sendalot = !one_only;
        }
        if plan.len > 0
            && plan.off + plan.len == i64::from(self.so.so_snd.used())
            && plan.flags & TH_SYN == 0
        {
            plan.flags |= TH_PUSH;
        }
        self.count_segment(&plan);
        let result = self.build_and_send(&mut plan, &options);
        if plan.flags & TH_RST != 0 {
            // The block is about to go: nothing is booked, and one segment says it all.
            self.tcp.stat.sndtotal += 1;
            return Ok(false);
        }
        self.account(&plan, result);
        self.sent(&plan, result)
    }

    /// The options of the segment, and whether it must be the only one of this call.
    fn options(&mut self, plan: &mut Plan) -> (Emitted, bool) {
        if self.tp.has(TF_NOOPT) {
            return (Emitted::default(), false);
        }
        let syn = plan.flags & TH_SYN != 0;
        let mut to = TcpOpt::default();
        let mut one_only = false;
        let mut wanted_cookie = false;
        if syn {
            let overhead = if self.tp.t_port != 0 {
                self.tcp.sysctl.udp_tunneling_overhead as u32
            } else {
                0
            };
            to.mss = Some(self.mssopt().saturating_sub(overhead) as u16);
            if self.tp.has(TF_FASTOPEN) && self.tp.t_rxtshift == 0 {
                wanted_cookie = self.fastopen_option(&mut to);
                one_only = self.tp.t_state == State::SynSent;
            }
            if self.tp.has(TF_REQ_SCALE) {
                to.wscale = Some(self.tp.request_r_scale);
            }
            to.sackperm = self.tp.has(TF_SACK_PERMIT);
        } else if self.tp.has(TF_SACK_PERMIT) && self.tp.t_state.have_established() {
            to.sacks = self.tp.sackblks[..self.tp.rcv_numsacks].to_vec();
        }
        let now = self.ticks();
        if self.tp.has(TF_RCVD_TSTMP) || (syn && self.tp.has(TF_REQ_TSTMP)) {
            to.ts = Some((now.wrapping_add(self.tp.ts_offset), self.tp.ts_recent));
            if self.tp.t_rxtshift == 1 {
                self.tp.t_badrxtwin = now;
            }
        }
        if self.tp.rfbuf_ts == 0 && self.so.so_rcv.sb_flags & SB_AUTOSIZE != 0 {
            self.tp.rfbuf_ts = now;
        }
        if self.tp.has(TF_SIGNATURE) {
            to.signature = Some([0; 16]);
        }
        let emitted = to.emit();
        if wanted_cookie && !emitted.fastopen {
            plan.len = 0;
        }
        (emitted, one_only)
    }

    /// The Fast Open option of a first SYN or SYN-ACK; true where there is one.
    fn fastopen_option(&self, to: &mut TcpOpt) -> bool {
        to.fastopen = match self.tp.t_state {
            State::SynReceived => Some(self.tp.t_tfo_server_cookie.to_ne_bytes().to_vec()),
            State::SynSent => Some(self.tp.t_tfo_client_cookie.clone()),
            _ => None,
        };
        to.fastopen.is_some()
    }

    fn count_segment(&mut self, plan: &Plan) {
        let stat = &mut self.tcp.stat;
        let len = plan.len as u64;
        if plan.len == 0 {
            stat.sndctrl += 1;
        } else if self.tp.has(TF_FORCEDATA) && plan.len == 1 {
            stat.sndprobe += 1;
        } else if self.tp.snd_nxt.lt(self.tp.snd_max) || plan.hole.is_some() {
            self.tp.t_sndrexmitpack = self.tp.t_sndrexmitpack.wrapping_add(1);
            stat.sndrexmitpack += 1;
            stat.sndrexmitbyte += len;
        } else {
            stat.sndpack += 1;
            stat.sndbyte += len;
        }
    }

    /// Fills in header and text and hands the packet to IP.
    fn build_and_send(&mut self, plan: &mut Plan, options: &Emitted) -> Result<(), Errno> {
        // A FIN sent again has the number it had.
        if plan.flags & TH_FIN != 0 && self.tp.has(TF_SENTFIN) && self.tp.snd_nxt == self.tp.snd_max
        {
            self.tp.snd_nxt -= 1;
        }
        let ect = self.ecn_marks(plan);
        let seq = self.sequence_number(plan);
        if self.tp.has(TF_RECOVERY) {
            self.tp.sackhint.prr_out = self.tp.sackhint.prr_out.wrapping_add(plan.len as i32);
        }
        let win = self.advertise(plan);
        let urp = if self.tp.snd_up.gt(self.tp.snd_nxt) {
            plan.flags |= TH_URG;
            (self.tp.snd_up - self.tp.snd_nxt) as u16
        } else {
            self.tp.snd_up = self.tp.snd_una;
            0
        };
        let header = Header {
            src: (self.inp.inc.laddr, self.inp.inc.lport),
            dst: (self.inp.inc.faddr, self.inp.inc.fport),
            seq,
            ack: self.tp.rcv_nxt,
            flags: plan.flags,
            win,
            urp,
        };
        let mut bytes = header.emit(&options.bytes, plan.len as usize);
        self.so
            .so_snd
            .bytes
            .copy_out(plan.off as usize, plan.len as usize, bytes.tail());
        let df = self.dont_fragment(plan);
        self.send_segment(header, bytes, options.signature_at, ect, df, self.tp.t_port)
    }

    /// ECN flags of the segment; returns the codepoint for the IP header.
    fn ecn_marks(&mut self, plan: &mut Plan) -> u8 {
        if self.tp.t_state == State::SynSent && self.tcp.sysctl.ecn_enable != 0 {
            plan.flags |= self.ecn_output_syn_sent();
        }
        if !self.tp.t_state.have_rcvd_syn() || !self.tp.has2(TF2_ECN_PERMIT | TF2_ACE_PERMIT) {
            return 0;
        }
        let ect =
            self.ecn_output_established(&mut plan.flags, plan.len as u32, plan.hole.is_some());
        if self.tp.t_state == State::SynReceived {
            self.tp.t_flags2 &= !TF2_ECN_SND_ECE;
        }
        ect
    }

    /// Text, SYN, FIN and probes have a number of their own; a pure acknowledgement has the next
    /// new one. Advances the hole that is being filled.
    fn sequence_number(&mut self, plan: &Plan) -> Seq {
        let recover = self.tp.snd_recover;
        let lrd = self.tp.has(TF_LRD);
        let Some(hole) = plan.hole.and_then(|h| self.tp.snd_holes.get_mut(h)) else {
            let numbered = plan.len > 0
                || plan.flags & (TH_SYN | TH_FIN) != 0
                || self.tp.active(Timer::Persist);
            return if numbered {
                self.tp.snd_nxt
            } else {
                self.tp.snd_max
            };
        };
        let seq = hole.rxmit;
        hole.rxmit += plan.len as u32;
        if lrd && hole.rxmit.geq(hole.end) {
            hole.rxmit = hole.rxmit.max(recover);
        }
        self.tp.sackhint.sack_bytes_rexmit = self
            .tp
            .sackhint
            .sack_bytes_rexmit
            .wrapping_add(plan.len as i32);
        seq
    }

    /// The window field; a window once advertised is not taken back (RFC 9293 section 3.8.6).
    fn advertise(&mut self, plan: &mut Plan) -> u16 {
        let tp = &mut self.tp;
        if plan.flags & TH_RST != 0 {
            plan.recwin = 0;
        } else {
            if plan.recwin < self.so.so_rcv.sb_hiwat / 4 && plan.recwin < tp.t_maxseg {
                plan.recwin = 0;
            }
            if tp.rcv_adv.gt(tp.rcv_nxt) {
                plan.recwin = plan.recwin.max(tp.rcv_adv - tp.rcv_nxt);
            }
        }
        let win = if plan.flags & TH_SYN != 0 {
            self.so.so_rcv.space().clamp(0, i64::from(MAXWIN)) as u16
        } else {
            // Rounding up keeps the scaled window from shrinking below what was advertised.
            plan.recwin = plan.recwin.next_multiple_of(1 << tp.rcv_scale);
            (plan.recwin >> tp.rcv_scale) as u16
        };
        if win == 0 {
            tp.t_sndzerowin = tp.t_sndzerowin.wrapping_add(1);
            tp.set(TF_RXWIN0SENT);
        } else {
            tp.clear(TF_RXWIN0SENT);
        }
        win
    }

    /// Whether routers may not fragment the packet (RFC 1191).
    fn dont_fragment(&mut self, plan: &Plan) -> bool {
        let minmss = self.tcp.sysctl.minmss as u32;
        if self.tcp.sysctl.path_mtu_discovery == 0 || self.tp.t_maxseg <= minmss {
            self.tp.t_flags2 &= !TF2_PLPMTU_PMTUD;
            return false;
        }
        self.tp.t_flags2 |= TF2_PLPMTU_PMTUD;
        self.tp.t_port == 0 || (plan.len as u32) < minmss
    }

    /// Books sequence numbers and timers of a segment, sent or not.
    fn account(&mut self, plan: &Plan, result: Result<(), Errno>) {
        if result.is_ok() {
            self.tp.t_sndbytes = self.tp.t_sndbytes.wrapping_add(plan.len as u64);
        }
        let syn = plan.flags & TH_SYN != 0;
        let fin = plan.flags & TH_FIN != 0;
        let len = plan.len as u32;
        if self.tp.has(TF_FORCEDATA) && self.tp.active(Timer::Persist) {
            if fin {
                self.tp.set(TF_SENTFIN);
            }
            let end = self.tp.snd_nxt + (len + u32::from(syn) + u32::from(fin));
            self.tp.snd_max = self.tp.snd_max.max(end);
            return;
        }
        let startseq = self.tp.snd_nxt;
        self.tp.snd_nxt += u32::from(syn) + u32::from(fin);
        if fin {
            self.tp.set(TF_SENTFIN);
        }
        if plan.hole.is_none() {
            self.tp.snd_nxt += len;
            self.account_new(startseq);
        }
        self.start_timer(plan);
    }

    /// New data were sent: starts timing them.
    fn account_new(&mut self, startseq: Seq) {
        let now = self.ticks();
        let tp = &mut self.tp;
        if !tp.snd_nxt.gt(tp.snd_max) {
            return;
        }
        if tp.snd_una == tp.snd_max {
            tp.t_acktime = now;
        }
        tp.snd_max = tp.snd_nxt;
        tp.t_sndtime = now;
        if tp.t_rtttime == 0 {
            tp.t_rtttime = now;
            tp.t_rtseq = startseq;
        }
    }

    /// Something unacknowledged is covered by the retransmission timer, waiting data by a probe.
    fn start_timer(&mut self, plan: &Plan) {
        if self.tp.active(Timer::Rexmt) {
            return;
        }
        let outstanding = (plan.hole.is_some() && self.tp.snd_nxt != self.tp.snd_max)
            || self.tp.snd_nxt != self.tp.snd_una;
        if outstanding {
            if self.tp.active(Timer::Persist) {
                self.tp.stop(Timer::Persist);
                self.tp.t_rxtshift = 0;
            }
            let rxtcur = self.rxtcur();
            self.activate(Timer::Rexmt, rxtcur);
        } else if plan.len == 0 && self.so.so_snd.used() > 0 && !self.tp.active(Timer::Persist) {
            self.tp.t_rxtshift = 0;
            self.setpersist();
        }
    }

    /// What follows from IP's answer; true where another round should follow.
    fn sent(&mut self, plan: &Plan, result: Result<(), Errno>) -> Result<bool, Errno> {
        if let Err(errno) = result {
            self.back_out(plan, errno);
            return self.send_failed(errno);
        }
        if self.tp.t_state.have_established()
            && self.tp.has(TF_SACK_PERMIT)
            && self.tp.rcv_numsacks > 0
        {
            self.clean_dsack_blocks();
        }
        // After a timeout the scoreboard pulls the next number along.
        if let Some(hole) = plan.hole.and_then(|h| self.tp.snd_holes.get(h)) {
            self.tp.snd_nxt = self.tp.snd_nxt.max(hole.rxmit.min(hole.end));
        }
        self.tcp.stat.sndtotal += 1;
        let adv = self.tp.rcv_nxt + plan.recwin;
        if adv.gt(self.tp.rcv_adv) {
            self.tp.rcv_adv = adv;
        }
        self.tp.last_ack_sent = self.tp.rcv_nxt;
        self.tp.clear(TF_ACKNOW | TF_DELACK);
        self.tp.stop(Timer::Delack);
        Ok(plan.sendalot)
    }

    /// The packet did not leave: takes the sequence numbers back.
    fn back_out(&mut self, plan: &Plan, errno: Errno) {
        let persisting = self.tp.has(TF_FORCEDATA) && self.tp.active(Timer::Persist);
        if persisting || plan.flags & TH_SYN != 0 || errno == Errno::EPERM {
            return;
        }
        let len = plan.len as u32;
        match plan.hole.and_then(|h| self.tp.snd_holes.get_mut(h)) {
            Some(hole) => {
                hole.rxmit = hole.end.min(hole.rxmit) - len;
                self.tp.sackhint.sack_bytes_rexmit =
                    self.tp.sackhint.sack_bytes_rexmit.wrapping_sub(len as i32);
            }
            None => {
                self.tp.snd_nxt -= len;
                if plan.flags & TH_FIN != 0 {
                    self.tp.snd_nxt -= 1;
                }
            }
        }
        if self.tp.has(TF_RECOVERY) {
            self.tp.sackhint.prr_out = self.tp.sackhint.prr_out.wrapping_sub(len as i32);
        }
    }

    fn send_failed(&mut self, errno: Errno) -> Result<bool, Errno> {
        match errno {
            Errno::EACCES | Errno::EPERM => {
                self.tp.t_softerror = Some(errno);
                Err(errno)
            }
            Errno::ENOBUFS => {
                self.tp.snd_cwnd = self.maxseg();
                Ok(false)
            }
            Errno::EMSGSIZE => {
                let mtu = self.cx.ip.mtu_for(self.inp.inc.faddr);
                let before = self.tp.t_maxseg;
                if mtu != 0 {
                    self.mss_update(None, Some(mtu));
                }
                // Without a smaller segment another round would fail as this one did.
                if self.tp.t_maxseg < before {
                    Ok(true)
                } else {
                    Err(errno)
                }
            }
            Errno::EHOSTDOWN | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::ENETUNREACH
                if self.tp.t_state.have_rcvd_syn() =>
            {
                self.tp.t_softerror = Some(errno);
                Ok(false)
            }
            _ => Err(errno),
        }
    }
}
