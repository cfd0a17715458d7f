// SPDX-License-Identifier: BSD-2-Clause
//! CUBIC (RFC 9438; `sys/netinet/cc/cc_cubic.c` and `.h`, 15.0).
//!
//! In fixed point, since a kernel has no floating point: 8 bits after the point.

use super::super::Conn;
use super::super::flags::{TF_CONGRECOVERY, TF_FASTRECOVERY, TF_RECOVERY};
use super::super::tcpcb::{RTT_SHIFT, Ticks};
use super::{Ack, CCF_ABC_SENTAWND, CCF_CWND_LIMITED, Signal};

const SHIFT: u32 = 8;
/// 0.7
const BETA: u64 = 179;
/// 1 - 0.7
const ONE_SUB_BETA: u64 = 77;
/// 3 * 0.3
const THREE_X_PT3: u64 = 230;
/// 2 - 0.3
const TWO_SUB_PT3: u64 = 435;
/// 0.4
const C_FACTOR: i64 = 102;
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

/// CUBIC's state (`struct cubic`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cubic {
    /// Time from the start of the epoch until the window is back at `w_max`, in seconds.
    pub(crate) k: i64,
    pub(crate) sum_rtt_usecs: i64,
    /// Window before the last reduction.
    pub(crate) w_max: u64,
    pub(crate) flags: u32,
    pub(crate) min_rtt_usecs: u32,
    pub(crate) mean_rtt_usecs: u32,
    pub(crate) epoch_ack_count: u32,
    /// When the present epoch began.
    pub(crate) t_epoch: Ticks,
    pub(crate) undo_t_epoch: Ticks,
    pub(crate) undo_k: i64,
    pub(crate) undo_w_max: u64,
}

/// `cubic_k`: the cube root of `w_max` * 0.3 / 0.4, in segments.
fn cubic_k(wmax_pkts: u64) -> i64 {
    let mut s = (((wmax_pkts * ONE_SUB_BETA) << SHIFT) / C_FACTOR as u64) as i64;
    let mut p = 0;
    while s >= 256 {
        s >>= 3;
        p += 1;
    }
    let k = ((s * 275) >> SHIFT) + 98 - (((s * s * 120) >> SHIFT) >> SHIFT);
    k << p
}

/// `cubic_cwnd`: RFC 9438 equation 1.
fn cubic_cwnd(usecs: i64, wmax: u64, smss: u32, k: i64) -> u64 {
    let second = 1_000 * TICK;
    let t = ((usecs << SHIFT) - k * second) / second;
    if t > CUBED_ROOT_MAX {
        return u64::from(i32::MAX as u32);
    }
    if t < -CUBED_ROOT_MAX {
        return 0;
    }
    let cube =
        (i128::from(t) * i128::from(t) * i128::from(t) * i128::from(C_FACTOR)) >> (4 * SHIFT);
    (cube * i128::from(smss) + i128::from(wmax)).clamp(0, i128::from(u32::MAX)) as u64
}

/// `tf_cwnd`: the window that NewReno with CUBIC's reduction would have.
fn tf_cwnd(usecs: i64, rtt_usecs: u32, wmax: u64, smss: u32) -> u64 {
    let usecs = usecs.max(0) as u64;
    let grown = ((THREE_X_PT3 * usecs * u64::from(smss)) << SHIFT)
        / (TWO_SUB_PT3 * u64::from(rtt_usecs.max(1)));
    (wmax * BETA + grown) >> SHIFT
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
        if self.tp.snd_cwnd <= self.tp.snd_ssthresh || self.tp.t_ccv.cubic.min_rtt_usecs == 0 {
            self.tp.t_ccv.cubic.flags |= IN_SLOWSTART;
            let incr = self.slow_start_increment();
            self.grow_cwnd(incr);
        } else {
            self.cubic_avoid_congestion();
        }
    }

    fn cubic_avoid_congestion(&mut self) {
        let now = self.ticks();
        let tp = &mut self.tp;
        let smss = tp.t_maxseg.max(1);
        let cubic = &mut tp.t_ccv.cubic;
        if cubic.flags & (RTO_EVENT | IN_SLOWSTART) == RTO_EVENT | IN_SLOWSTART {
            cubic.flags &= !(RTO_EVENT | IN_SLOWSTART);
            cubic.w_max = u64::from(tp.snd_cwnd);
            cubic.k = 0;
        } else if cubic.flags & (IN_SLOWSTART | IN_APPLIMIT) != 0 {
            cubic.flags &= !(IN_SLOWSTART | IN_APPLIMIT);
            cubic.t_epoch = now;
            cubic.k = cubic_k(cubic.w_max / u64::from(smss));
        }
        let usecs = i64::from(now.wrapping_sub(cubic.t_epoch)) * TICK;
        let usecs = usecs.min(i64::from(i32::MAX));
        let mean = cubic.mean_rtt_usecs.max(1);
        let w_est = tf_cwnd(usecs, mean, cubic.w_max, smss);
        let w_cubic = cubic_cwnd(usecs + i64::from(mean), cubic.w_max, smss, cubic.k);
        tp.t_ccv.flags &= !CCF_ABC_SENTAWND;
        let target = if w_cubic < w_est { w_est } else { w_cubic };
        let cwnd = target.min(u64::from(i32::MAX as u32)) as u32;
        tp.snd_cwnd = tp.snd_cwnd.max(cwnd);
        if cubic.flags & CONG_EVENT == 0 && cubic.w_max < u64::from(tp.snd_cwnd) {
            cubic.w_max = u64::from(tp.snd_cwnd);
            cubic.k = cubic_k(cubic.w_max / u64::from(smss));
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
            cubic.min_rtt_usecs = srtt.max(1);
            cubic.mean_rtt_usecs = cubic.mean_rtt_usecs.max(cubic.min_rtt_usecs);
        }
        cubic.sum_rtt_usecs += i64::from(srtt);
        cubic.epoch_ack_count += 1;
    }

    fn cubic_ssthresh_update(&mut self, mss: u32) {
        let tp = &mut self.tp;
        let cubic = &mut tp.t_ccv.cubic;
        let mut cwnd = u64::from(tp.snd_cwnd);
        if cwnd < cubic.w_max {
            cwnd = (cwnd * FC_FACTOR) >> SHIFT;
        }
        cubic.undo_w_max = cubic.w_max;
        cubic.w_max = cwnd;
        let ssthresh = if cubic.flags & CONG_EVENT == 0 {
            cubic.w_max = (cwnd * BETA) >> SHIFT;
            cwnd >> 1
        } else {
            (cwnd * BETA) >> SHIFT
        };
        tp.snd_ssthresh = (ssthresh as u32).max(2 * mss);
    }

    fn cubic_new_epoch(&mut self, mss: u32) {
        let now = self.ticks();
        let cubic = &mut self.tp.t_ccv.cubic;
        cubic.flags |= CONG_EVENT;
        cubic.t_epoch = now;
        cubic.k = cubic_k(cubic.w_max / u64::from(mss));
    }

    pub(super) fn cubic_cong_signal(&mut self, signal: Signal) {
        let mss = self.maxseg().max(1);
        match signal {
            Signal::Ndupack => {
                if !self.tp.has(TF_FASTRECOVERY) {
                    if !self.tp.has(TF_CONGRECOVERY) {
                        self.cubic_ssthresh_update(mss);
                        self.cubic_new_epoch(mss);
                    }
                    self.tp.set(TF_RECOVERY);
                }
            }
            Signal::Ecn => {
                if !self.tp.has(TF_CONGRECOVERY) {
                    self.cubic_ssthresh_update(mss);
                    self.cubic_new_epoch(mss);
                    self.tp.snd_cwnd = self.tp.snd_ssthresh;
                    self.tp.set(TF_CONGRECOVERY);
                }
            }
            Signal::Rto => {
                let tp = &mut self.tp;
                let cubic = &mut tp.t_ccv.cubic;
                if tp.t_rxtshift == 1 {
                    cubic.undo_t_epoch = cubic.t_epoch;
                    cubic.undo_k = cubic.k;
                }
                cubic.flags |= CONG_EVENT | RTO_EVENT;
                cubic.undo_w_max = cubic.w_max;
                tp.snd_ssthresh = ((u64::from(tp.snd_cwnd) * BETA) >> SHIFT) as u32;
                tp.snd_cwnd = mss;
            }
            Signal::RtoErr => {
                let cubic = &mut self.tp.t_ccv.cubic;
                cubic.flags &= !(CONG_EVENT | RTO_EVENT);
                cubic.k = cubic.undo_k;
                cubic.w_max = cubic.undo_w_max;
                cubic.t_epoch = cubic.undo_t_epoch;
            }
        }
    }

    pub(super) fn cubic_post_recovery(&mut self) {
        if self.tp.has(TF_FASTRECOVERY) {
            let pipe = self.recovery_pipe();
            let tp = &mut self.tp;
            tp.snd_cwnd = if pipe < tp.snd_ssthresh {
                pipe.max(tp.t_maxseg) + tp.t_maxseg
            } else {
                (((tp.t_ccv.cubic.w_max * BETA) >> SHIFT) as u32).max(2 * tp.t_maxseg)
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
        let now = self.ticks();
        let tp = &mut self.tp;
        let smss = u64::from(tp.t_maxseg.max(1));
        let cubic = &mut tp.t_ccv.cubic;
        cubic.w_max = cubic.w_max.max(u64::from(tp.snd_cwnd));
        cubic.k = cubic_k(cubic.w_max / smss);
        cubic.t_epoch = now;
        self.newreno_after_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_back_at_its_maximum_after_k() {
        // 100 segments: K = cbrt(100 * 0.3 / 0.4) = 4.217 s.
        let k = cubic_k(100);
        assert!((k - 1080).abs() < 30, "{k}");
        let wmax = 100 * 1448;
        let at_k = cubic_cwnd(k * 1_000_000 / 256, wmax, 1448, k);
        assert!(at_k.abs_diff(wmax) < 2 * 1448, "{at_k}");
        assert!(cubic_cwnd(0, wmax, 1448, k) < wmax * 75 / 100);
        assert!(cubic_cwnd(8_000_000, wmax, 1448, k) > wmax * 110 / 100);
    }

    #[test]
    fn extreme_times_and_windows_do_not_overflow() {
        for usecs in [0, 1, i64::from(i32::MAX), 2 * i64::from(i32::MAX)] {
            for wmax in [0, 1, u64::from(u32::MAX)] {
                let k = cubic_k(wmax / 536);
                assert!(cubic_cwnd(usecs, wmax, 65_535, k) <= u64::from(u32::MAX));
                let _ = tf_cwnd(usecs, 1, wmax, 65_535);
            }
        }
    }
}
