// SPDX-License-Identifier: BSD-2-Clause
//! Urgent pointer, text and FIN (RFC 9293 section 3.10.7.4, sixth to eighth check).

use super::super::Conn;
use super::super::flags::{
    TCPOOB_HADDATA, TCPOOB_HAVEDATA, TF_ACKNOW, TF_DELACK, TF_FASTOPEN, TF_NEEDSYN, TF_SACK_PERMIT,
    TF_WAKESOR,
};
use super::super::fsm::State;
use super::super::reass::Reassembled;
use super::super::wire::{TH_FIN, TH_URG};
use super::{Exit, Pass};
use crate::net::cx::SoWait;
use crate::net::sockbuf::SBS_RCVATMARK;
use crate::net::socket::bits::SO_OOBINLINE;

impl Conn<'_, '_> {
    /// Wakes the reader where text came (`tcp_handle_wakeup`).
    pub(super) fn handle_wakeup(&mut self) {
        if self.tp.has(TF_WAKESOR) {
            self.tp.clear(TF_WAKESOR);
            self.cx.wakeup(self.so.id, SoWait::Rcv);
        }
    }

    /// The urgent pointer marks the stream, and the byte before it is taken out of it.
    pub(super) fn urgent(&mut self, pass: &mut Pass) {
        let urp = u32::from(pass.seg.urp);
        if !pass.has(TH_URG) || urp == 0 || self.tp.t_state.have_rcvd_fin() {
            if self.tp.rcv_nxt.gt(self.tp.rcv_up) {
                self.tp.rcv_up = self.tp.rcv_nxt;
            }
            return;
        }
        let avail = self.so.so_rcv.used();
        if i64::from(urp) + i64::from(avail) > self.tcp.sysctl.maxsockbuf {
            pass.seg.urp = 0;
            pass.flags &= !TH_URG;
            return;
        }
        let up = pass.seg.seq + urp;
        if up.gt(self.tp.rcv_up) {
            self.tp.rcv_up = up;
            self.so.so_oobmark = (avail + (up - self.tp.rcv_nxt)).wrapping_sub(1);
            if self.so.so_oobmark == 0 {
                self.so.so_rcv.sb_state |= SBS_RCVATMARK;
            }
            self.cx.wakeup(self.so.id, SoWait::Rcv);
            self.tp.t_oobflags &= !(TCPOOB_HAVEDATA | TCPOOB_HADDATA);
        }
        if urp <= pass.seg.tlen() && !self.so.option(SO_OOBINLINE) {
            // tcp_pulloutofband: the byte keeps its sequence number but leaves the text.
            let at = pass.seg.start + urp as usize - 1;
            if at < pass.seg.payload.len() {
                self.tp.t_iobc = pass.seg.payload.remove(at);
                self.tp.t_oobflags |= TCPOOB_HAVEDATA;
                pass.pulled = 1;
            }
        }
    }

    /// The text goes to the reader, or waits for what precedes it.
    pub(super) fn text(&mut self, pass: &mut Pass) {
        let tlen = pass.seg.tlen() + pass.pulled;
        let fin = pass.has(TH_FIN);
        if (tlen == 0 && !fin) || self.tp.t_state.have_rcvd_fin() {
            pass.flags &= !TH_FIN;
            return;
        }
        let (start, rnxt) = (pass.seg.seq, self.tp.rcv_nxt);
        let tfo_syn = self.tp.t_state == State::SynReceived && self.tp.has(TF_FASTOPEN);
        let synced = self.tp.t_state.have_established() || tfo_syn;
        let placed = if start == rnxt && self.tp.t_segq.is_empty() && synced {
            self.tp.set(if self.delay_ack(tlen) || tfo_syn {
                TF_DELACK
            } else {
                TF_ACKNOW
            });
            self.tp.rcv_nxt += tlen;
            if tlen > 0 {
                self.first_byte_in();
            }
            self.append_text(pass.seg);
            self.tp.set(TF_WAKESOR);
            Reassembled {
                start,
                len: tlen,
                fin,
            }
        } else {
            let oob = self.put_back(pass);
            let placed = self.reass(pass.seg, fin, oob);
            self.tp.set(TF_ACKNOW);
            placed
        };
        if placed.fin {
            pass.flags |= TH_FIN;
        } else {
            pass.flags &= !TH_FIN;
        }
        if self.tp.has(TF_SACK_PERMIT) && tlen > 0 && self.tp.t_state.have_established() {
            self.report_text(start, tlen, rnxt, placed);
        }
        self.handle_wakeup();
    }

    /// Puts the byte that was pulled out of a segment in its place again: the queue knows where it
    /// is, and leaves it out when it presents the text. FreeBSD queues the shorter text under the
    /// whole length (`tcp_reass.c`, 15.0), which comes to the same unless segments overlap.
    fn put_back(&mut self, pass: &mut Pass) -> Option<super::super::seq::Seq> {
        if pass.pulled == 0 {
            return None;
        }
        let at = u32::from(pass.seg.urp).saturating_sub(1);
        let index = pass.seg.start + at as usize;
        if index > pass.seg.payload.len() {
            return None;
        }
        pass.seg.payload.insert(index, self.tp.t_iobc);
        Some(pass.seg.seq + at)
    }

    /// Notes for the next acknowledgement what came out of order or twice.
    fn report_text(
        &mut self,
        start: super::super::seq::Seq,
        tlen: u32,
        rnxt: super::super::seq::Seq,
        placed: Reassembled,
    ) {
        let tp = &mut self.tp;
        let end = start + tlen;
        if placed.len == 0 && start.lt(rnxt) {
            tp.update_sack_list(start, end);
        } else if placed.len > 0 && tp.rcv_nxt.gt(rnxt) {
            let first = tp.sackblks[0];
            if tp.rcv_numsacks >= 1 && first.end == start {
                tp.update_sack_list(first.start, first.end);
            } else {
                tp.update_dsack_list(start, end);
            }
        } else if placed.len >= tlen {
            tp.update_dsack_list(start, end);
        } else if placed.len > 0 {
            tp.update_dsack_list(start, start + placed.len);
        }
    }

    /// The peer has closed.
    pub(super) fn fin(&mut self, pass: &Pass) -> Result<(), Exit> {
        if !pass.has(TH_FIN) {
            return Ok(());
        }
        if !self.tp.t_state.have_rcvd_fin() {
            self.so.socantrcvmore(self.cx);
            self.tp.set(if self.tp.has(TF_NEEDSYN) {
                TF_DELACK
            } else {
                TF_ACKNOW
            });
            self.tp.rcv_nxt += 1;
        }
        match self.tp.t_state {
            State::SynReceived => {
                self.tp.t_starttime = self.ticks();
                self.state_change(State::CloseWait);
            }
            State::Established => self.state_change(State::CloseWait),
            State::FinWait1 => self.state_change(State::Closing),
            State::FinWait2 => {
                self.twstart();
                return Err(Exit::Drop);
            }
            _ => {}
        }
        Ok(())
    }
}
