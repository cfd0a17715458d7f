// SPDX-License-Identifier: BSD-2-Clause
//! Congestion control: what the input and timer code tell an algorithm, and the two algorithms
//! (`mod_cc(9)`, `sys/netinet/cc/cc.c`, and the wrappers of `tcp_input.c`, both of 2025).

mod cubic;
mod newreno;

pub use cubic::Cubic;

use super::Conn;
use super::flags::{
    TF_CONGRECOVERY, TF_FASTRECOVERY, TF_PREVVALID, TF_RECOVERY, TF_WASCRECOVERY, TF_WASFRECOVERY,
    TF2_ECN_PERMIT, TF2_ECN_SND_CWR,
};
use super::seq::Seq;
use super::subr::maxseg;
use super::sysctl::Sysctl;
use super::tcpcb::{MAXWIN, RTT_SHIFT, RTTVAR_SHIFT};

/// `CCF_CWND_LIMITED`: the congestion window, not the peer's, limits sending.
const CCF_CWND_LIMITED: u32 = 0x0004;
/// `CCF_ABC_SENTAWND`: a window's worth of bytes was acknowledged (RFC 3465).
const CCF_ABC_SENTAWND: u32 = 0x0001;

/// Which algorithm a connection uses (`TCP_CONGESTION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 6582 and 5681.
    NewReno,
    /// RFC 9438; the default.
    Cubic,
}

impl Algorithm {
    /// The name that `TCP_CONGESTION` and `net.inet.tcp.cc.algorithm` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewReno => "newreno",
            Self::Cubic => "cubic",
        }
    }

    /// The algorithm of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NewReno, Self::Cubic]
            .into_iter()
            .find(|a| a.name() == name)
    }
}

/// What an algorithm keeps with the connection (`struct cc_var`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CcVar {
    pub(crate) algo: Algorithm,
    /// `CCF_*`.
    pub(crate) flags: u32,
    /// Bytes that the present acknowledgement acknowledges.
    pub(crate) bytes_this_ack: u32,
    /// `th_ack` of the present segment.
    pub(crate) curack: Seq,
    /// CUBIC's own state; unused with NewReno.
    pub(crate) cubic: Cubic,
}

impl CcVar {
    /// The state of a new connection under the vnet's default algorithm.
    pub(crate) fn new(sysctl: &Sysctl) -> Self {
        Self::of(if sysctl.cubic != 0 {
            Algorithm::Cubic
        } else {
            Algorithm::NewReno
        })
    }

    /// The state of a connection that begins to use an algorithm.
    pub(crate) fn of(algo: Algorithm) -> Self {
        Self {
            algo,
            flags: 0,
            bytes_this_ack: 0,
            curack: Seq(0),
            cubic: Cubic::default(),
        }
    }
}

/// Kinds of acknowledgement (`CC_ACK`, `CC_DUPACK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// Acknowledges something new.
    New,
    /// Acknowledges nothing new.
    Duplicate,
}

/// Congestion signals (`CC_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The peer echoed a congestion mark.
    Ecn,
    /// The retransmission timer fired.
    Rto,
    /// Enough duplicate acknowledgements.
    Ndupack,
    /// The retransmission was a mistake.
    RtoErr,
}

impl Conn<'_, '_> {
    /// `cc_ack_received`
    pub(crate) fn cc_ack_received(&mut self, ack: Seq, kind: Ack) {
        let newcwv = self.tcp.sysctl.newcwv != 0;
        let pipe = self.compute_pipe();
        let tp = &mut self.tp;
        tp.t_ccv.bytes_this_ack = ack - tp.snd_una;
        let limited =
            tp.snd_cwnd <= tp.snd_wnd && (!newcwv || u64::from(tp.snd_cwnd) < u64::from(pipe) * 2);
        if limited {
            tp.t_ccv.flags |= CCF_CWND_LIMITED;
        } else {
            tp.t_ccv.flags &= !CCF_CWND_LIMITED;
        }
        if kind == Ack::New {
            if tp.snd_cwnd > tp.snd_ssthresh {
                tp.t_bytes_acked = tp.t_bytes_acked.wrapping_add(tp.t_ccv.bytes_this_ack);
                if tp.t_bytes_acked >= tp.snd_cwnd {
                    tp.t_bytes_acked = tp.t_bytes_acked.wrapping_sub(tp.snd_cwnd);
                    tp.t_ccv.flags |= CCF_ABC_SENTAWND;
                }
            } else {
                tp.t_ccv.flags &= !CCF_ABC_SENTAWND;
                tp.t_bytes_acked = 0;
            }
        }
        tp.t_ccv.curack = ack;
        match tp.t_ccv.algo {
            Algorithm::NewReno => self.newreno_ack_received(kind),
            Algorithm::Cubic => self.cubic_ack_received(kind),
        }
    }

    /// `cc_conn_init`: windows and times at the start, from the host cache where it knows the peer.
    pub(crate) fn cc_conn_init(&mut self) {
        let limits = self.tcp.hostcache_limits();
        let peer = self.inp.inc.faddr;
        let metrics = self.tcp.hostcache.metrics(peer, self.cx.now, limits);
        let maxseg = self.maxseg();
        if self.tp.t_srtt == 0 && metrics.rmx_rtt != 0 {
            self.tp.t_srtt = metrics.rmx_rtt;
            self.tp.t_rttvar = if metrics.rmx_rttvar != 0 {
                metrics.rmx_rttvar
            } else {
                self.tp.t_srtt >> (RTT_SHIFT - RTTVAR_SHIFT)
            };
            let value = (self.tp.t_srtt >> 2).saturating_add(self.tp.t_rttvar) >> 1;
            let (min, max) = (i64::from(self.tp.t_rttmin), self.tcp.sysctl.rexmit_max);
            self.tp.t_rxtcur = self.rangeset(i64::from(value), min, max);
        }
        if metrics.rmx_ssthresh != 0 {
            self.tp.snd_ssthresh = metrics.rmx_ssthresh.max(2 * maxseg);
        }
        self.tp.snd_cwnd = if self.tp.snd_cwnd == 1 {
            maxseg
        } else {
            self.compute_initwnd(maxseg)
        };
        self.cc_algo_conn_init();
    }

    /// The algorithm's own part of [`Conn::cc_conn_init`].
    pub(crate) fn cc_algo_conn_init(&mut self) {
        if self.tp.t_ccv.algo == Algorithm::Cubic {
            self.tp.t_ccv.cubic.w_max = self.tp.snd_cwnd;
        }
    }

    /// `cc_cong_signal`
    pub(crate) fn cc_cong_signal(&mut self, ack: Option<Seq>, signal: Signal) {
        let tp = &mut self.tp;
        let mut send_cwr = false;
        match signal {
            Signal::Ndupack => {
                if !tp.has(TF_FASTRECOVERY) {
                    tp.snd_recover = tp.snd_max;
                    send_cwr = true;
                }
            }
            Signal::Ecn => {
                if !tp.has(TF_CONGRECOVERY) || ack.is_some_and(|a| a.geq(tp.snd_recover)) {
                    tp.clear(TF_CONGRECOVERY);
                    tp.snd_recover = tp.snd_max + 1;
                    send_cwr = true;
                }
            }
            Signal::Rto => {
                tp.t_dupacks = 0;
                tp.t_bytes_acked = 0;
                tp.clear(TF_RECOVERY);
                send_cwr = true;
            }
            Signal::RtoErr => self.undo_rto(),
        }
        let tp = &mut self.tp;
        if send_cwr && tp.has2(TF2_ECN_PERMIT) {
            tp.t_flags2 |= TF2_ECN_SND_CWR;
        }
        if tp.snd_fack.lt(tp.snd_una) || tp.snd_fack.gt(tp.snd_max) {
            tp.snd_fack = tp.snd_una;
        }
        if let Some(ack) = ack {
            tp.t_ccv.curack = ack;
        }
        match tp.t_ccv.algo {
            Algorithm::NewReno => self.newreno_cong_signal(signal),
            Algorithm::Cubic => self.cubic_cong_signal(signal),
        }
    }

    /// The timeout was spurious: everything as it was before.
    fn undo_rto(&mut self) {
        let tp = &mut self.tp;
        tp.snd_cwnd = tp.snd_cwnd_prev;
        tp.snd_ssthresh = tp.snd_ssthresh_prev;
        tp.snd_recover = tp.snd_recover_prev;
        if tp.has(TF_WASFRECOVERY) {
            tp.set(TF_FASTRECOVERY);
        }
        if tp.has(TF_WASCRECOVERY) {
            tp.set(TF_CONGRECOVERY);
        }
        tp.snd_nxt = tp.snd_max;
        tp.clear(TF_PREVVALID);
        tp.t_rxtshift = 0;
        tp.t_badrxtwin = 0;
        self.tcp.stat.sndrexmitbad += 1;
    }

    /// Recovery is over (`cc_post_recovery`). `snd_una` is `ack` already, so that bytes in flight
    /// are those beyond it.
    pub(crate) fn cc_post_recovery(&mut self, ack: Seq) {
        if self.tp.snd_fack.lt(ack) || self.tp.snd_fack.gt(self.tp.snd_max) {
            self.tp.snd_fack = ack;
        }
        self.tp.t_ccv.curack = ack;
        match self.tp.t_ccv.algo {
            Algorithm::NewReno => self.newreno_post_recovery(),
            Algorithm::Cubic => self.cubic_post_recovery(),
        }
        self.tp.clear(TF_RECOVERY);
        self.tp.t_bytes_acked = 0;
        self.tp.sackhint.delivered_data = 0;
        self.tp.sackhint.prr_delivered = 0;
        self.tp.sackhint.prr_out = 0;
    }

    /// `cc_after_idle`
    pub(crate) fn cc_after_idle(&mut self) {
        match self.tp.t_ccv.algo {
            Algorithm::NewReno => self.newreno_after_idle(),
            Algorithm::Cubic => self.cubic_after_idle(),
        }
    }

    /// The initial window (`tcp_compute_initwnd`; RFC 6928, 3390, 5681). More segments than a window
    /// has bytes go round, as FreeBSD's do.
    pub(crate) fn compute_initwnd(&self, maxseg: u32) -> u32 {
        let segments = self.tcp.sysctl.initcwnd_segments as u32;
        if segments != 0 {
            let usual = segments.wrapping_mul(1460);
            segments.wrapping_mul(maxseg).min((2 * maxseg).max(usual))
        } else if self.tcp.sysctl.rfc3390 != 0 {
            (4 * maxseg).min((2 * maxseg).max(4380))
        } else if maxseg > 2190 {
            2 * maxseg
        } else if maxseg > 1095 {
            3 * maxseg
        } else {
            4 * maxseg
        }
    }

    /// Bytes in flight (`tcp_compute_pipe`; `SetPipe` of RFC 6675 section 4): sent, neither
    /// reported nor given up for lost, and retransmitted.
    pub(crate) fn compute_pipe(&self) -> u32 {
        let tp = &self.tp;
        let hint = &tp.sackhint;
        let rexmitted = i64::from(hint.sack_bytes_rexmit);
        let pipe = if self.tcp.sysctl.sack_revised != 0 {
            i64::from(tp.snd_max - tp.snd_una) + rexmitted
                - i64::from(hint.sacked_bytes)
                - i64::from(hint.lost_bytes)
        } else {
            i64::from(tp.snd_nxt.diff(tp.snd_fack)) + rexmitted
        };
        pipe.clamp(0, i64::from(i32::MAX)) as u32
    }

    /// Grows the window by `incr` bytes, no further than the peer's scale can express.
    fn grow_cwnd(&mut self, incr: u32) {
        if incr > 0 {
            let max = MAXWIN << self.tp.snd_scale;
            self.tp.snd_cwnd = self.tp.snd_cwnd.saturating_add(incr).min(max);
        }
    }

    /// The increment of slow start with byte counting (RFC 3465 section 2.2).
    fn slow_start_increment(&self, mss: u32) -> u32 {
        let tp = &self.tp;
        // After a timeout snd_nxt lags behind: then one segment at most.
        let limit = if tp.snd_nxt == tp.snd_max {
            self.tcp.sysctl.abc_l_var as u32
        } else {
            1
        };
        tp.t_ccv.bytes_this_ack.min(limit.saturating_mul(mss))
    }

    /// The segment size that windows are counted in: only options that every segment carries are
    /// taken off (`tcp_fixed_maxseg`).
    fn cc_mss(&self) -> u32 {
        maxseg(self.tp, true)
    }

    /// The threshold after a first timeout: this share of what the peer's window and the path
    /// held, in whole segments and at least two (RFC 5681 equation 4).
    fn rto_ssthresh(&self, mss: u32, share: impl Fn(u64) -> u64) -> u32 {
        let flight = self.tp.snd_wnd.min(self.compute_pipe());
        let segments = share(u64::from(flight)) / u64::from(mss.max(1));
        (segments.max(2) as u32).saturating_mul(mss)
    }

    /// The window of congestion avoidance after this acknowledgement: one segment more per window
    /// acknowledged (`newreno_cc_cwnd_in_cong_avoid`).
    fn cong_avoid_cwnd(&mut self, mss: u32) -> u32 {
        let abc = self.tcp.sysctl.rfc3465 != 0;
        let tp = &mut self.tp;
        let incr = if !abc {
            (mss.saturating_mul(mss) / tp.snd_cwnd.max(1)).max(1)
        } else if tp.t_ccv.flags & CCF_ABC_SENTAWND != 0 {
            tp.t_ccv.flags &= !CCF_ABC_SENTAWND;
            mss
        } else {
            return tp.snd_cwnd;
        };
        tp.snd_cwnd.saturating_add(incr).min(MAXWIN << tp.snd_scale)
    }
}
