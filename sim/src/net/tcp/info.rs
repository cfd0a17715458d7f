// SPDX-License-Identifier: BSD-2-Clause
//! `TCP_INFO`: a connection as a program may see it (`tcp_fill_info`, `tcp_usrreq.c`, 15-CURRENT of early
//! 2024; `netinet/tcp.h`).

use super::flags::{
    TF_FASTOPEN, TF_RCVD_SCALE, TF_RCVD_TSTMP, TF_REQ_SCALE, TF_REQ_TSTMP, TF_SACK_PERMIT,
    TF2_ACE_PERMIT, TF2_ECN_PERMIT,
};
use super::tcpcb::{RTT_SHIFT, RTTVAR_SHIFT, Tcpcb, ticks};
use crate::time::Instant;

/// `struct tcp_info`, the fields that FreeBSD fills. Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Each has the name of its tcpi_ field.
pub struct TcpInfo {
    pub state: u8,
    pub options: u8,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub rto: u32,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    pub last_data_recv: u32,
    pub rtt: u32,
    pub rttvar: u32,
    pub snd_ssthresh: u32,
    pub snd_cwnd: u32,
    pub rcv_space: u32,
    pub snd_wnd: u32,
    pub snd_nxt: u32,
    pub rcv_nxt: u32,
    pub snd_rexmitpack: u32,
    pub rcv_ooopack: u32,
    pub snd_zerowin: u32,
    pub delivered_ce: u32,
    pub received_ce: u32,
    pub snd_una: u32,
    pub snd_max: u32,
    pub rcv_numsacks: u32,
    pub rcv_adv: u32,
    pub dupacks: u32,
    /// In ticks, unlike the others.
    pub rttmin: u32,
}

/// `TCPI_OPT_*`
const OPT_TIMESTAMPS: u8 = 0x01;
const OPT_SACK: u8 = 0x02;
const OPT_WSCALE: u8 = 0x04;
const OPT_ECN: u8 = 0x08;
const OPT_TFO: u8 = 0x20;
const OPT_ACE: u8 = 0x40;

impl TcpInfo {
    pub(crate) fn of(tp: &Tcpcb, now: Instant) -> Self {
        let usecs = |ticks: i32, shift: u32| ((i64::from(ticks) * 1000) >> shift) as u32;
        let scaled = tp.has_all(TF_REQ_SCALE | TF_RCVD_SCALE);
        let (ecn, ace) = (tp.has2(TF2_ECN_PERMIT), tp.has2(TF2_ACE_PERMIT));
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        Self {
            state: tp.t_state as u8,
            options: flag(tp.has_all(TF_REQ_TSTMP | TF_RCVD_TSTMP), OPT_TIMESTAMPS)
                | flag(tp.has(TF_SACK_PERMIT), OPT_SACK)
                | flag(scaled, OPT_WSCALE)
                | flag(ecn && !ace, OPT_ECN)
                | flag(ace, OPT_ACE)
                | flag(tp.has(TF_FASTOPEN), OPT_TFO),
            snd_wscale: if scaled { tp.snd_scale } else { 0 },
            rcv_wscale: if scaled { tp.rcv_scale } else { 0 },
            rto: usecs(tp.t_rxtcur, 0),
            snd_mss: tp.t_maxseg,
            rcv_mss: tp.t_maxseg,
            last_data_recv: ticks(now).wrapping_sub(tp.t_rcvtime).wrapping_mul(1000),
            rtt: usecs(tp.t_srtt, RTT_SHIFT),
            rttvar: usecs(tp.t_rttvar, RTTVAR_SHIFT),
            snd_ssthresh: tp.snd_ssthresh,
            snd_cwnd: tp.snd_cwnd,
            rcv_space: tp.rcv_wnd,
            snd_wnd: tp.snd_wnd,
            snd_nxt: tp.snd_nxt.0,
            rcv_nxt: tp.rcv_nxt.0,
            snd_rexmitpack: tp.t_sndrexmitpack,
            rcv_ooopack: tp.t_rcvoopack,
            snd_zerowin: tp.t_sndzerowin,
            // The counter of accurate ECN begins at 5.
            delivered_ce: tp.t_scep.wrapping_sub(if ecn && ace { 5 } else { 0 }),
            received_ce: tp.t_rcep,
            snd_una: tp.snd_una.0,
            snd_max: tp.snd_max.0,
            rcv_numsacks: tp.rcv_numsacks as u32,
            rcv_adv: tp.rcv_adv.0,
            dupacks: tp.t_dupacks,
            rttmin: tp.t_rttlow,
        }
    }

    /// The bytes of `struct tcp_info` (little endian, as on all FreeBSD's 64-bit platforms).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![self.state, 0, 0, 0, 0, self.options];
        out.extend([self.snd_wscale | self.rcv_wscale << 4, 0]);
        let words = [
            self.rto,
            0,
            self.snd_mss,
            self.rcv_mss,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            self.last_data_recv,
            0,
            0,
            0,
            self.rtt,
            self.rttvar,
            self.snd_ssthresh,
            self.snd_cwnd,
            0,
            0,
            0,
            self.rcv_space,
            self.snd_wnd,
            0,
            self.snd_nxt,
            self.rcv_nxt,
            0,
            self.snd_rexmitpack,
            self.rcv_ooopack,
            self.snd_zerowin,
            self.delivered_ce,
            self.received_ce,
        ];
        for word in words {
            out.extend(word.to_le_bytes());
        }
        // Accurate ECN byte counters and tail loss probes, which the default stack does not count.
        out.extend([0; 6 * 4 + 4 + 8]);
        for word in [
            self.snd_una,
            self.snd_max,
            self.rcv_numsacks,
            self.rcv_adv,
            self.dupacks,
        ] {
            out.extend(word.to_le_bytes());
        }
        // tcpi_rttmin, and room for more (__tcpi_pad).
        out.extend(self.rttmin.to_le_bytes());
        out.extend([0; 14 * 4]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_as_long_as_the_headers_say_and_its_fields_are_in_their_places() {
        let info = TcpInfo {
            state: 4,
            snd_wscale: 6,
            rcv_wscale: 7,
            rto: 0x11,
            received_ce: 0x22,
            snd_una: 0x33,
            rttmin: 0x44,
            ..TcpInfo::default()
        };
        let bytes = info.to_bytes();
        assert_eq!(bytes.len(), 256);
        let at = |place: usize| bytes[place];
        assert_eq!([at(0), at(6), at(8)], [4, 0x76, 0x11]);
        assert_eq!([at(136), at(176), at(196)], [0x22, 0x33, 0x44]);
    }
}
