// SPDX-License-Identifier: BSD-2-Clause
//! The TCP control block: all that a connection remembers (`struct tcpcb`, `netinet/tcp_var.h` of
//! November 2024).
//!
//! Field names are FreeBSD's, so that one who knows the kernel finds his way, and so that what a
//! migration carries has one name everywhere. Times without a type are ticks of one millisecond;
//! see [`Ticks`].
//!
//! - I1: `snd_una` <= `snd_nxt` <= `snd_max`, in sequence space, once the SYN is sent.
//! - I2: `t_segq` is sorted, its blocks do not touch, and lie after `rcv_nxt`.
//! - I3: `snd_holes` is sorted, disjoint, within `snd_una` and `snd_fack`; the last may be a rescue
//!   retransmission beyond that.
//! - I4: `t_timers` are data; that they fire is [`super::Tcp`]'s duty.

use super::cc::CcVar;
use super::flags::{TF_LRD, TF_REQ_SCALE, TF_REQ_TSTMP, TF_SACK_PERMIT};
use super::fsm::State;
use super::options::{MAX_SACK_BLKS, SackBlk};
use super::reass::Segq;
use super::respond::ChallengeAck;
use super::seq::Seq;
use super::sysctl::Sysctl;
use crate::errno::Errno;
use crate::net::cx::SoId;
use crate::time::Instant;

/// `ticks`: milliseconds of uptime, modulo 2^32, starting at one so that zero can mean "never".
pub type Ticks = u32;

/// The tick that an instant falls into.
pub(crate) fn ticks(now: Instant) -> Ticks {
    (now.as_nanos() / 1_000_000) as u32 + 1
}

/// Fixed-point bits of `t_srtt` (`TCP_RTT_SHIFT`).
pub(super) const RTT_SHIFT: u32 = 5;
/// Fixed-point bits of `t_rttvar` (`TCP_RTTVAR_SHIFT`).
pub(super) const RTTVAR_SHIFT: u32 = 4;
/// `TCP_DELTA_SHIFT`.
pub(crate) const DELTA_SHIFT: u32 = 2;
/// The largest window without scaling (`TCP_MAXWIN`).
pub(crate) const MAXWIN: u32 = 65_535;

/// The timers (`tt_which`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Timer {
    /// Delayed acknowledgement.
    Delack = 0,
    /// Retransmission.
    Rexmt = 1,
    /// Window probe.
    Persist = 2,
    /// Keep-alive, and connection establishment.
    Keep = 3,
    /// Twice the maximum segment lifetime, and the wait for the peer's FIN.
    Msl2 = 4,
}

impl Timer {
    /// All timers, in order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Delack,
        Self::Rexmt,
        Self::Persist,
        Self::Keep,
        Self::Msl2,
    ];
}

/// A gap in what the peer has acknowledged selectively (`struct sackhole`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SackHole {
    /// First missing sequence number.
    pub start: Seq,
    /// First one after the gap.
    pub end: Seq,
    /// Next one to retransmit.
    pub rxmit: Seq,
}

/// Sums over the scoreboard (`struct sackhint`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackHint {
    /// Index of the hole to look at next (`nexthole`).
    pub nexthole: Option<usize>,
    /// Bytes retransmitted in this recovery and still in flight.
    pub sack_bytes_rexmit: i32,
    /// The largest sequence number that the last acknowledgement reported.
    pub last_sack_ack: Seq,
    /// Bytes that the last acknowledgement reported as delivered.
    pub delivered_data: i32,
    /// Bytes in all reported blocks.
    pub sacked_bytes: i32,
    /// Flight size when recovery began.
    pub recover_fs: u32,
    /// Bytes delivered in this recovery (PRR).
    pub prr_delivered: i32,
    /// Bytes sent in this recovery (PRR).
    pub prr_out: i32,
    /// Bytes of the holes that the last acknowledgement gave up for lost (`IsLost`, RFC 6675).
    pub lost_bytes: i32,
}

/// A TCP control block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each field is documented under its name in netinet/tcp_var.h; groups below.
pub struct Tcpcb {
    // State.
    pub(crate) t_state: State,
    pub(crate) t_flags: u32,
    pub(crate) t_flags2: u32,
    pub(crate) t_maxseg: u32,
    /// Peer's UDP encapsulation port, 0 for none.
    pub(crate) t_port: u16,
    /// Deadlines of the five timers.
    pub(crate) t_timers: [Option<Instant>; 5],

    // Send sequence (RFC 9293 section 3.3.1).
    pub(crate) snd_una: Seq,
    pub(crate) snd_max: Seq,
    pub(crate) snd_nxt: Seq,
    pub(crate) snd_up: Seq,
    pub(crate) snd_wl1: Seq,
    pub(crate) snd_wl2: Seq,
    pub(crate) snd_wnd: u32,
    pub(crate) max_sndwnd: u32,
    pub(crate) iss: Seq,
    pub(crate) snd_scale: u8,

    // Receive sequence.
    pub(crate) irs: Seq,
    pub(crate) rcv_nxt: Seq,
    pub(crate) rcv_adv: Seq,
    pub(crate) rcv_up: Seq,
    pub(crate) rcv_wnd: u32,
    pub(crate) last_ack_sent: Seq,
    pub(crate) rcv_scale: u8,
    pub(crate) request_r_scale: u8,
    pub(crate) rfbuf_ts: u32,
    pub(crate) rfbuf_cnt: u32,

    // Timestamps (RFC 7323).
    pub(crate) ts_recent: u32,
    pub(crate) ts_recent_age: u32,
    pub(crate) ts_offset: u32,

    // Congestion.
    pub(crate) snd_cwnd: u32,
    pub(crate) snd_ssthresh: u32,
    pub(crate) snd_recover: Seq,
    pub(crate) snd_limited: u32,
    pub(crate) t_dupacks: u32,
    pub(crate) t_bytes_acked: u32,
    pub(crate) snd_cwnd_prev: u32,
    pub(crate) snd_ssthresh_prev: u32,
    pub(crate) snd_recover_prev: Seq,
    pub(crate) t_badrxtwin: u32,
    pub(crate) t_ccv: CcVar,

    // Round-trip time.
    pub(crate) t_rcvtime: Ticks,
    pub(crate) t_starttime: Ticks,
    pub(crate) t_rtttime: Ticks,
    pub(crate) t_rtseq: Seq,
    pub(crate) t_rttupdated: u32,
    pub(crate) t_rxtcur: i32,
    pub(crate) t_srtt: i32,
    pub(crate) t_rttvar: i32,
    pub(crate) t_rttmin: i32,
    pub(crate) t_rttlow: u32,
    pub(crate) t_rxtshift: u32,
    pub(crate) t_acktime: Ticks,
    pub(crate) t_sndtime: Ticks,
    pub(crate) t_softerror: Option<Errno>,

    // Selective acknowledgement (RFC 2018, 2883, 6675).
    pub(crate) sackblks: [SackBlk; MAX_SACK_BLKS],
    pub(crate) rcv_numsacks: usize,
    pub(crate) snd_holes: Vec<SackHole>,
    pub(crate) snd_fack: Seq,
    pub(crate) sackhint: SackHint,

    // Reassembly.
    pub(crate) t_segq: Segq,

    // Urgent data.
    pub(crate) t_oobflags: u8,
    pub(crate) t_iobc: u8,

    // Keep-alive settings in ticks, 0 for the vnet's.
    pub(crate) t_keepinit: u32,
    pub(crate) t_keepidle: u32,
    pub(crate) t_keepintvl: u32,
    pub(crate) t_keepcnt: u32,
    pub(crate) t_maxunacktime: u32,

    // Path MTU black-hole detection.
    pub(crate) t_blackhole_enter: u32,
    pub(crate) t_blackhole_exit: u32,
    pub(crate) t_pmtud_saved_maxseg: u32,

    // Challenge acknowledgements (RFC 5961).
    pub(crate) t_challenge_ack: ChallengeAck,

    // ECN.
    pub(crate) t_scep: u32,
    pub(crate) t_rcep: u32,

    // First bytes.
    pub(crate) t_fbyte_in: Ticks,
    pub(crate) t_fbyte_out: Ticks,

    // Fast Open.
    pub(crate) t_tfo_client_cookie: Vec<u8>,
    pub(crate) t_tfo_server_cookie: u64,
    /// The listener whose counter of pending connections this one is part of.
    pub(crate) t_tfo_pending: Option<SoId>,
    /// Of a listener: how many such connections there are; `None` where it does no Fast Open.
    pub(crate) t_tfo_pending_count: Option<u32>,

    // Statistics.
    pub(crate) t_sndbytes: u64,
    pub(crate) t_sndrexmitpack: u32,
    pub(crate) t_rcvoopack: u32,
    pub(crate) t_sndzerowin: u32,
}

impl Tcpcb {
    /// A fresh block (`tcp_newtcpcb`).
    pub(crate) fn new(sysctl: &Sysctl, v6: bool, now: Instant) -> Self {
        let mut t_flags = match sysctl.rfc1323 {
            0 => 0,
            2 => TF_REQ_SCALE,
            3 => TF_REQ_TSTMP,
            _ => TF_REQ_SCALE | TF_REQ_TSTMP,
        };
        if sysctl.sack_enable != 0 {
            t_flags |= TF_SACK_PERMIT;
        }
        if sysctl.sack_lrd != 0 {
            t_flags |= TF_LRD;
        }
        let maxseg = if v6 { sysctl.v6mssdflt } else { sysctl.mssdflt };
        let unlimited = MAXWIN << super::options::MAX_WINSHIFT;
        Self {
            t_state: State::Closed,
            t_flags,
            t_flags2: 0,
            t_maxseg: maxseg as u32,
            t_port: 0,
            t_timers: [None; 5],
            snd_una: Seq(0),
            snd_max: Seq(0),
            snd_nxt: Seq(0),
            snd_up: Seq(0),
            snd_wl1: Seq(0),
            snd_wl2: Seq(0),
            snd_wnd: 0,
            max_sndwnd: 0,
            iss: Seq(0),
            snd_scale: 0,
            irs: Seq(0),
            rcv_nxt: Seq(0),
            rcv_adv: Seq(0),
            rcv_up: Seq(0),
            rcv_wnd: 0,
            last_ack_sent: Seq(0),
            rcv_scale: 0,
            request_r_scale: 0,
            rfbuf_ts: 0,
            rfbuf_cnt: 0,
            ts_recent: 0,
            ts_recent_age: 0,
            ts_offset: 0,
            snd_cwnd: unlimited,
            snd_ssthresh: unlimited,
            snd_recover: Seq(0),
            snd_limited: 0,
            t_dupacks: 0,
            t_bytes_acked: 0,
            snd_cwnd_prev: 0,
            snd_ssthresh_prev: 0,
            snd_recover_prev: Seq(0),
            t_badrxtwin: 0,
            t_ccv: CcVar::new(sysctl),
            t_rcvtime: ticks(now),
            t_starttime: 0,
            t_rtttime: 0,
            t_rtseq: Seq(0),
            t_rttupdated: 0,
            t_rxtcur: sysctl.rexmit_initial as i32,
            t_srtt: 0,
            t_rttvar: ((sysctl.rexmit_initial << RTTVAR_SHIFT) / 4) as i32,
            t_rttmin: sysctl.rexmit_min as i32,
            t_rttlow: 0,
            t_rxtshift: 0,
            t_acktime: 0,
            t_sndtime: 0,
            t_softerror: None,
            sackblks: [SackBlk::default(); MAX_SACK_BLKS],
            rcv_numsacks: 0,
            snd_holes: Vec::new(),
            snd_fack: Seq(0),
            sackhint: SackHint::default(),
            t_segq: Segq::default(),
            t_oobflags: 0,
            t_iobc: 0,
            t_keepinit: 0,
            t_keepidle: 0,
            t_keepintvl: 0,
            t_keepcnt: 0,
            t_maxunacktime: 0,
            t_blackhole_enter: 0,
            t_blackhole_exit: 0,
            t_pmtud_saved_maxseg: 0,
            t_challenge_ack: ChallengeAck::default(),
            t_scep: 0,
            t_rcep: 0,
            t_fbyte_in: 0,
            t_fbyte_out: 0,
            t_tfo_client_cookie: Vec::new(),
            t_tfo_server_cookie: 0,
            t_tfo_pending: None,
            t_tfo_pending_count: None,
            t_sndbytes: 0,
            t_sndrexmitpack: 0,
            t_rcvoopack: 0,
            t_sndzerowin: 0,
        }
    }

    /// True where any of these `t_flags` is set.
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.t_flags & flags != 0
    }

    /// True where all of these `t_flags` are set.
    pub(crate) fn has_all(&self, flags: u32) -> bool {
        self.t_flags & flags == flags
    }

    /// Sets `t_flags`.
    pub(crate) fn set(&mut self, flags: u32) {
        self.t_flags |= flags;
    }

    /// Clears `t_flags`.
    pub(crate) fn clear(&mut self, flags: u32) {
        self.t_flags &= !flags;
    }

    /// True where any of these `t_flags2` is set.
    pub(crate) fn has2(&self, flags: u32) -> bool {
        self.t_flags2 & flags != 0
    }

    /// Whether a timer runs (`tcp_timer_active`).
    pub(crate) fn active(&self, timer: Timer) -> bool {
        self.t_timers[timer as usize].is_some()
    }

    /// Stops a timer (`tcp_timer_activate` with a time of 0).
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.t_timers[timer as usize] = None;
    }

    /// The earliest deadline and its timer; of equal ones the first (`tcp_timer_next`).
    pub(crate) fn next_timer(&self) -> Option<(Instant, Timer)> {
        let mut best: Option<(Instant, Timer)> = None;
        for timer in Timer::ALL {
            if let Some(at) = self.t_timers[timer as usize]
                && best.is_none_or(|(other, _)| at < other)
            {
                best = Some((at, timer));
            }
        }
        best
    }

    /// `tcp_sendseqinit`: everything before the SYN is acknowledged, nothing is sent.
    pub(crate) fn sendseqinit(&mut self) {
        self.snd_una = self.iss;
        self.snd_nxt = self.iss;
        self.snd_max = self.iss;
        self.snd_up = self.iss;
        self.snd_recover = self.iss;
        self.snd_fack = self.iss;
    }

    /// `tcp_rcvseqinit`: the peer's SYN is received, nothing is advertised.
    pub(crate) fn rcvseqinit(&mut self) {
        self.rcv_nxt = self.irs + 1;
        self.rcv_adv = self.rcv_nxt;
    }
}
