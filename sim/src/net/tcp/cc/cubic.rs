// SPDX-License-Identifier: BSD-2-Clause
//! CUBIC (RFC 9438; `sys/netinet/cc/cc_cubic.h` of 2025, `cc_cubic.c` of late 2024).
//!
//! The header of 2025 has `cwnd_epoch` and a `cubic_k` of two windows; no `cc_cubic.c` that uses them
//! was at hand. Where it sets and restores them is concluded from the older file and from RFC 9438
//! section 4.2: an epoch begins with the window that follows a reduction, an idle time or a timeout.
//!
//! In fixed point, since a kernel has no floating point: 8 bits after the point. The Reno-friendly
//! region follows NewReno itself (RFC 9438 section 4.3).
//!
//! HyStart++ (RFC 9406) is no part of this: FreeBSD's default stack neither tells an algorithm of
//! rounds (`newround`, `rttsample`) nor sets `CCF_HYSTART_ALLOWED`; only RACK does.

use super::super::Conn;
use super::super::flags::{TF_CONGRECOVERY, TF_FASTRECOVERY, TF_RECOVERY};
use super::super::tcpcb::{RTT_SHIFT, Ticks};
use super::{Ack, CCF_CWND_LIMITED, Signal};

const SHIFT: u32 = 8;
/// 0.7
const BETA: u64 = 179;
/// 0.4
const C_FACTOR: u32 = 102;
/// 0.85, fast convergence
const FC_FACTOR: u64 = 217;
/// Round-trip times before the smoothed one is trusted.
const MIN_RTT_SAMPLES: u32 = 8;
/// Largest time whose cube still fits.
const CUBED_ROOT_MAX: i64 = 448_845;
/// Microseconds in a tick.
const TICK: i64 = 1_000;

const CONG_EVENT: u32 = 0x01;
const IN_SLOWSTART: u32 = 0x02;
const IN_APPLIMIT: u32 = 0x04;
const RTO_EVENT: u32 = 0x08;
const IN_TF: u32 = 0x40;

/// CUBIC's state (`struct cubic`). Windows are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cubic {
    /// Time from the start of the epoch until the window is back at `w_max`, in seconds.
    pub(crate) k: i64,
    pub(crate) sum_rtt_usecs: i64,
    /// Window before the last reduction.
    pub(crate) w_max: u32,
    /// Window at the start of this epoch.
    pub(crate) cwnd_epoch: u32,
    pub(crate) flags: u32,
    pub(crate) min_rtt_usecs: u32,
    pub(crate) mean_rtt_usecs: u32,
    pub(crate) epoch_ack_count: u32,
    /// When the present epoch began.
    pub(crate) t_epoch: Ticks,
    pub(crate) undo_t_epoch: Ticks,
    pub(crate) undo_k: i64,
    pub(crate) undo_w_max: u32,
    pub(crate) undo_cwnd_epoch: u32,
}

impl Cubic {
    /// An epoch begins with this window (RFC 9438 section 4.2).
    fn begin_epoch(&mut self, now: Ticks, cwnd: u32, mss: u32) {
        self.t_epoch = now;
        self.cwnd_epoch = cwnd;
        self.update_k(mss);
    }

    fn update_k(&mut self, mss: u32) {
        let mss = mss.max(1);
        self.k = cubic_k(self.w_max / mss, self.cwnd_epoch / mss);
    }
}

/// `cubic_k`: RFC 9438 figure 2, the cube root of (`wmax` - `epoch`) / 0.4, both in segments.
///
/// The shift wraps at 32 bits as FreeBSD's does: windows of more than 65,535 segments are beyond
/// what the largest scaled window holds with any usual segment size.
fn cubic_k(wmax: u32, epoch: u32) -> i64 {
    let Some(gap) = wmax.checked_sub(epoch).filter(|gap| *gap > 0) else {
        return 0;
    };
    let mut s = i64::from((gap << (2 * SHIFT)) / C_FACTOR);
    let mut p = 0;
    while s >= 256 {
        s >>= 3;
        p += 1;
    }
    let k = ((s * 275) >> SHIFT) + 98 - (((s * s * 120) >> SHIFT) >> SHIFT);
    k << p
}

/// `cubic_cwnd`: RFC 9438 figure 1.
fn cubic_cwnd(usecs: i64, wmax: u32, smss: u32, k: i64) -> u32 {
    let second = 1_000 * TICK;
    let t = ((usecs << SHIFT) - k * second) / second;
    if t > CUBED_ROOT_MAX {
        return i32::MAX as u32;
    }
    if t < -CUBED_ROOT_MAX {
        return 0;
    }
    let cube =
        (i128::from(t) * i128::from(t) * i128::from(t) * i128::from(C_FACTOR)) >> (4 * SHIFT);
    (cube * i128::from(smss) + i128::from(wmax)).clamp(0, i128::from(i32::MAX)) as u32
}

/// This much after multiplicative decrease.
fn times_beta(window: u64) -> u64 {
    (window * BETA) >> SHIFT
}

impl Conn<'_, '_> {
    pub(super) fn cubic_ack_received(&mut self, kind: Ack) {
        self.cubic_record_rtt();
        if kind != Ack::New || self.tp.has(TF_RECOVERY) {
            return;
        }
        if self.tp.t_ccv.flags & CCF_CWND_LIMITED == 0 {
            self.tp.t_ccv.cubic.flags |= IN_APPLIMIT;
            return;
        }
        let mss = self.cc_mss();
        if self.tp.snd_cwnd <= self.tp.snd_ssthresh || self.tp.t_ccv.cubic.min_rtt_usecs == 0 {
            self.tp.t_ccv.cubic.flags |= IN_SLOWSTART;
            let incr = self.slow_start_increment(mss);
            self.grow_cwnd(incr);
        } else {
            self.cubic_avoid_congestion(mss);
        }
    }

    fn cubic_avoid_congestion(&mut self, mss: u32) {
        let now = self.ticks();
        let tp = &mut self.tp;
        let cubic = &mut tp.t_ccv.cubic;
        if cubic.flags & (RTO_EVENT | IN_SLOWSTART) == RTO_EVENT | IN_SLOWSTART {
            // RFC 9438 section 4.8: after a timeout the first epoch starts at its maximum.
            cubic.flags &= !(RTO_EVENT | IN_SLOWSTART);
            cubic.w_max = tp.snd_cwnd;
            cubic.begin_epoch(now, tp.snd_cwnd, mss);
        } else if cubic.flags & (IN_SLOWSTART | IN_APPLIMIT) != 0 {
            cubic.flags &= !(IN_SLOWSTART | IN_APPLIMIT);
            cubic.begin_epoch(now, tp.snd_cwnd, mss);
        }
        let usecs = i64::from(now.wrapping_sub(cubic.t_epoch)) * TICK;
        let usecs = usecs.min(i64::from(i32::MAX)) + i64::from(cubic.mean_rtt_usecs.max(1));
        let w_cubic = cubic_cwnd(usecs, cubic.w_max, mss, cubic.k);
        let w_est = self.cong_avoid_cwnd(mss);
        let tp = &mut self.tp;
        let cubic = &mut tp.t_ccv.cubic;
        if w_cubic < w_est {
            tp.snd_cwnd = w_est;
            cubic.flags |= IN_TF;
        } else if tp.snd_cwnd < w_cubic {
            tp.snd_cwnd = w_cubic;
            cubic.flags &= !IN_TF;
        }
        if cubic.flags & CONG_EVENT == 0 && cubic.w_max < tp.snd_cwnd {
            cubic.w_max = tp.snd_cwnd;
            cubic.update_k(mss);
        }
    }

    fn cubic_record_rtt(&mut self) {
        let tp = &mut self.tp;
        if tp.t_rttupdated < MIN_RTT_SAMPLES {
            return;
        }
        let srtt = ((i64::from(tp.t_srtt) * TICK) >> RTT_SHIFT) as u32;
        let cubic = &mut tp.t_ccv.cubic;
        if srtt < cubic.min_rtt_usecs || cubic.min_rtt_usecs == 0 {
            // No less than one unit of the smoothed time.
            cubic.min_rtt_usecs = srtt.max((TICK >> RTT_SHIFT) as u32);
            cubic.mean_rtt_usecs = cubic.mean_rtt_usecs.max(cubic.min_rtt_usecs);
        }
        cubic.sum_rtt_usecs += i64::from(srtt);
        cubic.epoch_ack_count += 1;
    }

    /// What is given up for congestion (`cubic_ssthresh_update`; RFC 9438 sections 4.6, 4.7).
    fn cubic_ssthresh_update(&mut self, mss: u32) {
        let friendly = self.decreased_cwnd(mss, self.tcp.sysctl.newreno_beta);
        let tp = &mut self.tp;
        let cubic = &mut tp.t_ccv.cubic;
        let mut cwnd = u64::from(tp.snd_cwnd);
        if tp.snd_cwnd < cubic.w_max {
            cwnd = (cwnd * FC_FACTOR) >> SHIFT;
        }
        cubic.undo_w_max = cubic.w_max;
        cubic.w_max = cwnd as u32;
        let ssthresh = if cubic.flags & IN_TF != 0 {
            friendly
        } else if cubic.flags & CONG_EVENT == 0 {
            cubic.w_max = times_beta(cwnd) as u32;
            (cwnd >> 1) as u32
        } else {
            times_beta(cwnd) as u32
        };
        tp.snd_ssthresh = ssthresh.max(mss.saturating_mul(2));
    }

    /// A congestion event: the threshold falls and an epoch begins at it.
    fn cubic_congestion(&mut self, mss: u32) {
        self.cubic_ssthresh_update(mss);
        let (now, ssthresh) = (self.ticks(), self.tp.snd_ssthresh);
        let cubic = &mut self.tp.t_ccv.cubic;
        cubic.flags |= CONG_EVENT;
        cubic.begin_epoch(now, ssthresh, mss);
    }

    pub(super) fn cubic_cong_signal(&mut self, signal: Signal) {
        let mss = self.cc_mss();
        match signal {
            Signal::Ndupack => {
                if !self.tp.has(TF_FASTRECOVERY) {
                    if !self.tp.has(TF_CONGRECOVERY) {
                        self.cubic_congestion(mss);
                    }
                    self.tp.set(TF_RECOVERY);
                }
            }
            Signal::Ecn => {
                if !self.tp.has(TF_CONGRECOVERY) {
                    self.cubic_congestion(mss);
                    self.tp.snd_cwnd = self.tp.snd_ssthresh;
                    self.tp.set(TF_CONGRECOVERY);
                }
            }
            Signal::Rto => {
                if self.tp.t_rxtshift == 1 {
                    self.tp.snd_ssthresh = self.rto_ssthresh(mss, times_beta);
                    let cubic = &mut self.tp.t_ccv.cubic;
                    cubic.undo_t_epoch = cubic.t_epoch;
                    cubic.undo_cwnd_epoch = cubic.cwnd_epoch;
                    cubic.undo_k = cubic.k;
                }
                let cubic = &mut self.tp.t_ccv.cubic;
                cubic.flags |= CONG_EVENT | RTO_EVENT;
                cubic.undo_w_max = cubic.w_max;
                self.tp.snd_cwnd = mss;
            }
            Signal::RtoErr => {
                let cubic = &mut self.tp.t_ccv.cubic;
                cubic.flags &= !(CONG_EVENT | RTO_EVENT);
                cubic.k = cubic.undo_k;
                cubic.w_max = cubic.undo_w_max;
                cubic.cwnd_epoch = cubic.undo_cwnd_epoch;
                cubic.t_epoch = cubic.undo_t_epoch;
            }
        }
    }

    pub(super) fn cubic_post_recovery(&mut self) {
        if self.tp.has(TF_FASTRECOVERY) {
            let (pipe, mss) = (self.compute_pipe(), self.cc_mss());
            let tp = &mut self.tp;
            tp.snd_cwnd = if pipe < tp.snd_ssthresh {
                pipe.max(mss).saturating_add(mss)
            } else {
                let reduced = times_beta(u64::from(tp.t_ccv.cubic.w_max)) as u32;
                reduced.max(mss.saturating_mul(2))
            };
        }
        let cubic = &mut self.tp.t_ccv.cubic;
        let count = i64::from(cubic.epoch_ack_count);
        if count > 0 && cubic.sum_rtt_usecs >= count {
            cubic.mean_rtt_usecs = (cubic.sum_rtt_usecs / count) as u32;
        }
        cubic.epoch_ack_count = 0;
        cubic.sum_rtt_usecs = 0;
    }

    pub(super) fn cubic_after_idle(&mut self) {
        let (now, mss) = (self.ticks(), self.cc_mss());
        let cubic = &mut self.tp.t_ccv.cubic;
        cubic.w_max = cubic.w_max.max(self.tp.snd_cwnd);
        self.newreno_after_idle();
        let cwnd = self.tp.snd_cwnd;
        self.tp.t_ccv.cubic.begin_epoch(now, cwnd, mss);
    }
}

#[cfg(test)]
#[path = "cubic_tests.rs"]
mod tests;
