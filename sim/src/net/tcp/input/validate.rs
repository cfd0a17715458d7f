// SPDX-License-Identifier: BSD-2-Clause
//! Is the segment acceptable? Resets, SYNs, timestamps, sequence numbers (RFC 9293
//! section 3.10.7.4, RFC 5961, RFC 7323 section 5).

use super::super::Conn;
use super::super::flags::{TF_ACKNOW, TF_CLOSED, TF_SACK_PERMIT};
use super::super::fsm::State;
use super::super::seq::tstmp_lt;
use super::super::wire::{TH_FIN, TH_PUSH, TH_RST, TH_SYN, TH_URG};
use super::{Exit, Pass};
use crate::errno::Errno;

/// `TCP_PAWS_IDLE`: 24 days, after which a timestamp says nothing.
const PAWS_IDLE: u32 = 24 * 24 * 60 * 60 * 1000;

impl Conn<'_, '_> {
    /// All checks in order; trims the segment to the window.
    pub(super) fn validate(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        if pass.has(TH_RST) {
            self.reset_received(pass);
            return Err(Exit::Drop);
        }
        self.check_syn(pass)?;
        self.check_paws(pass)?;
        // The sequence numbers can't have wrapped yet: a partial defence against LAND.
        if self.tp.t_state == State::SynReceived && pass.seg.seq.lt(self.tp.irs) {
            return Err(Exit::DropWithReset);
        }
        self.trim_old(pass);
        let more = pass.seg.tlen() > 0 && !self.tp.t_state.have_rcvd_fin();
        if self.tp.has(TF_CLOSED) && more {
            // Nobody will read it (RFC 1122 section 4.2.2.13). Text beyond the peer's FIN is none
            // (tcp_input.c, 15-CURRENT of 2025).
            let survives = self.close();
            return Err(if survives {
                Exit::DropWithReset
            } else {
                Exit::ResetClosed
            });
        }
        self.trim_beyond(pass)?;
        self.record_timestamp(pass);
        Ok(())
    }

    /// Whether a number is one at which a reset or SYN may be meant for this window.
    fn in_window(&self, pass: &Pass) -> bool {
        let start = self.tp.last_ack_sent;
        pass.seg.seq.geq(start) && pass.seg.seq.lt(start + self.tp.rcv_wnd)
    }

    /// RFC 5961 section 3.2: only the exact number resets; others in the window are challenged.
    fn reset_received(&mut self, pass: &Pass) {
        let exact = self.tp.last_ack_sent == pass.seg.seq;
        let closed = self.tp.rcv_wnd == 0 && exact;
        if !self.in_window(pass) && !closed {
            return;
        }
        if !exact && self.tcp.sysctl.insecure_rst == 0 {
            self.challenge_ack(pass.seg);
            return;
        }
        self.tcp.stat.drops += 1;
        match self.tp.t_state {
            State::SynReceived => self.so.so_error = Some(Errno::ECONNREFUSED),
            State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => self.so.so_error = Some(Errno::ECONNRESET),
            State::Closed | State::Listen | State::SynSent | State::TimeWait => {}
        }
        self.close();
    }

    /// RFC 5961 section 4.2: any SYN on a synchronised connection is challenged.
    fn check_syn(&mut self, pass: &Pass) -> Result<(), Exit> {
        if !pass.has(TH_SYN) || self.tp.t_state == State::SynReceived {
            return Ok(());
        }
        if self.tcp.sysctl.insecure_syn != 0 && self.in_window(pass) {
            self.drop_connection(Some(Errno::ECONNRESET));
        } else {
            self.ecn_input_syn_sent(pass.flags, pass.seg.tos);
            self.challenge_ack(pass.seg);
        }
        Err(Exit::Drop)
    }

    /// Protection against wrapped sequence numbers (RFC 7323 section 5).
    fn check_paws(&mut self, pass: &Pass) -> Result<(), Exit> {
        let Some((val, _)) = pass.seg.to.ts else {
            return Ok(());
        };
        if self.tp.ts_recent == 0 || !tstmp_lt(val, self.tp.ts_recent) {
            return Ok(());
        }
        if self.ticks().wrapping_sub(self.tp.ts_recent_age) > PAWS_IDLE {
            self.tp.ts_recent = 0;
            return Ok(());
        }
        self.tcp.stat.pawsdrop += 1;
        Err(if pass.seg.tlen() > 0 {
            Exit::DropAfterAck
        } else {
            Exit::Drop
        })
    }

    /// Cuts off what was received before.
    fn trim_old(&mut self, pass: &mut Pass) {
        let mut todrop = self.tp.rcv_nxt.diff(pass.seg.seq);
        if todrop <= 0 {
            return;
        }
        if pass.has(TH_SYN) {
            pass.flags &= !TH_SYN;
            pass.seg.seq += 1;
            if pass.seg.urp > 1 {
                pass.seg.urp -= 1;
            } else {
                pass.flags &= !TH_URG;
            }
            todrop -= 1;
        }
        let tlen = pass.seg.tlen();
        let mut todrop = todrop as u32;
        if todrop > tlen || (todrop == tlen && !pass.has(TH_FIN)) {
            // A FIN here is an old one. The rest is acknowledged again, so that both agree.
            pass.flags &= !TH_FIN;
            self.tp.set(TF_ACKNOW);
            todrop = tlen;
        }
        if todrop > 0 && self.tp.has(TF_SACK_PERMIT) {
            let start = pass.seg.seq;
            self.tp.update_sack_list(start, start + todrop);
            self.tp.set(TF_ACKNOW);
        }
        pass.seg.trim_front(todrop);
        pass.seg.seq += todrop;
        if u32::from(pass.seg.urp) > todrop {
            pass.seg.urp -= todrop as u16;
        } else {
            pass.flags &= !TH_URG;
            pass.seg.urp = 0;
        }
    }

    /// Cuts off what lies beyond the window.
    fn trim_beyond(&mut self, pass: &mut Pass) -> Result<(), Exit> {
        let tlen = pass.seg.tlen();
        let end = pass.seg.seq + tlen;
        let todrop = end.diff(self.tp.rcv_nxt + self.tp.rcv_wnd);
        if todrop <= 0 {
            return Ok(());
        }
        if todrop as u32 >= tlen {
            // A closed window is probed at its edge: such a segment is looked at further.
            if self.tp.rcv_wnd != 0 || pass.seg.seq != self.tp.rcv_nxt {
                return Err(Exit::DropAfterAck);
            }
            self.tp.set(TF_ACKNOW);
        }
        pass.seg.trim_back(todrop as u32);
        pass.flags &= !(TH_PUSH | TH_FIN);
        Ok(())
    }

    /// Which timestamp to echo (RFC 7323 section 4.3).
    fn record_timestamp(&mut self, pass: &Pass) {
        let Some((val, _)) = pass.seg.to.ts else {
            return;
        };
        let last = self.tp.last_ack_sent;
        let end = pass.seg.seq + (pass.seg.tlen() + u32::from(pass.has(TH_SYN | TH_FIN)));
        if pass.seg.seq.leq(last) && last.leq(end) {
            self.tp.ts_recent_age = self.ticks();
            self.tp.ts_recent = val;
        }
    }
}
