// SPDX-License-Identifier: BSD-2-Clause
//! Round-trip time and receive buffer sizing (RFC 6298; `tcp_xmit_timer`, `tcp_autorcvbuf`; 15-CURRENT of
//! 2025).

use super::super::Conn;
use super::super::flags::TF2_FBYTES_COMPLETE;
use super::super::tcpcb::{DELTA_SHIFT, RTT_SHIFT, RTTVAR_SHIFT};
use super::Pass;
use crate::net::sockbuf::SB_AUTOSIZE;

/// `TCP_RTT_INVALIDATE`: so many timeouts make the estimate worthless.
const RTT_INVALIDATE: u32 = 3;

impl Conn<'_, '_> {
    /// Takes a round-trip time from an acknowledgement: by timestamp, else by the timed segment,
    /// which is never a retransmitted one (Karn).
    pub(super) fn measure_rtt(&mut self, pass: &Pass) {
        let now = self.ticks();
        let ecr = pass.seg.to.ts.map_or(0, |(_, ecr)| ecr);
        let (t, rtt) = if ecr != 0 {
            let t = now.wrapping_sub(ecr);
            (t, t.wrapping_add(1))
        } else if self.tp.t_rtttime != 0 && pass.seg.ack.gt(self.tp.t_rtseq) {
            let t = now.wrapping_sub(self.tp.t_rtttime);
            (t, t)
        } else {
            return;
        };
        if self.tp.t_rttlow == 0 || self.tp.t_rttlow > t {
            self.tp.t_rttlow = t;
        }
        self.xmit_timer(rtt as i32);
    }

    /// Smooths a measurement in and sets the timeout (`tcp_xmit_timer`).
    fn xmit_timer(&mut self, rtt: i32) {
        let tp = &mut self.tp;
        tp.t_rttupdated = (tp.t_rttupdated + 1).min(255);
        if tp.t_srtt != 0 && tp.t_rxtshift <= RTT_INVALIDATE {
            let delta = (rtt.wrapping_sub(1) << DELTA_SHIFT)
                .wrapping_sub(tp.t_srtt >> (RTT_SHIFT - DELTA_SHIFT));
            tp.t_srtt = tp.t_srtt.wrapping_add(delta).max(1);
            let deviation = delta
                .wrapping_abs()
                .wrapping_sub(tp.t_rttvar >> (RTTVAR_SHIFT - DELTA_SHIFT));
            tp.t_rttvar = tp.t_rttvar.wrapping_add(deviation).max(1);
        } else {
            tp.t_srtt = rtt << RTT_SHIFT;
            tp.t_rttvar = rtt << (RTTVAR_SHIFT - 1);
        }
        tp.t_rtttime = 0;
        tp.t_rxtshift = 0;
        let min = i64::from(tp.t_rttmin.max(rtt.saturating_add(2)));
        let value = i64::from(self.rexmtval());
        self.tp.t_rxtcur = self.rangeset(value, min, self.tcp.sysctl.rexmit_max);
        self.tp.t_softerror = None;
    }

    /// The receive buffer's next size, where the connection fills it in half a round trip
    /// (`tcp_autorcvbuf`).
    pub(super) fn autorcvbuf(&mut self, tlen: u32) -> Option<u32> {
        let now = self.ticks();
        let hiwat = self.so.so_rcv.sb_hiwat;
        let max = self.tcp.sysctl.recvbuf_max as u32;
        let on = self.tcp.sysctl.recvbuf_auto != 0 && self.so.so_rcv.sb_flags & SB_AUTOSIZE != 0;
        let tp = &mut self.tp;
        let elapsed = now.wrapping_sub(tp.rfbuf_ts);
        if !on
            || tp.t_srtt == 0
            || tp.rfbuf_ts == 0
            || elapsed <= ((tp.t_srtt >> RTT_SHIFT) / 2) as u32
        {
            tp.rfbuf_cnt = tp.rfbuf_cnt.saturating_add(tlen);
            return None;
        }
        let busy = tp.rfbuf_cnt > hiwat / 2 / 4 * 3;
        tp.rfbuf_ts = 0;
        tp.rfbuf_cnt = 0;
        (busy && hiwat < max).then(|| hiwat.saturating_add(hiwat / 2).min(max))
    }

    /// Notes the first text that arrived.
    pub(super) fn first_byte_in(&mut self) {
        if self.tp.has2(TF2_FBYTES_COMPLETE) || self.tp.t_fbyte_in != 0 {
            return;
        }
        self.tp.t_fbyte_in = self.ticks().max(1);
        if self.tp.t_fbyte_out != 0 {
            self.tp.t_flags2 |= TF2_FBYTES_COMPLETE;
        }
    }
}

#[cfg(test)]
#[path = "rtt_tests.rs"]
mod tests;
