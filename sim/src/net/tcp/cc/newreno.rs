// SPDX-License-Identifier: BSD-2-Clause
//! NewReno (RFC 5681, RFC 6582, RFC 8511; `sys/netinet/cc/cc_newreno.c` and the `newreno_cc_*` of
//! `cc.c`; 15-CURRENT of 2024).

use super::super::Conn;
use super::super::flags::{TF_CONGRECOVERY, TF_FASTRECOVERY, TF_RECOVERY};
use super::{Ack, CCF_CWND_LIMITED, Signal};

impl Conn<'_, '_> {
    pub(super) fn newreno_ack_received(&mut self, kind: Ack) {
        let tp = &self.tp;
        if kind != Ack::New || tp.has(TF_RECOVERY) || tp.t_ccv.flags & CCF_CWND_LIMITED == 0 {
            return;
        }
        let mss = self.cc_mss();
        if self.tp.snd_cwnd > self.tp.snd_ssthresh {
            self.tp.snd_cwnd = self.cong_avoid_cwnd(mss);
        } else if self.tcp.sysctl.rfc3465 != 0 {
            let incr = self.slow_start_increment(mss);
            self.grow_cwnd(incr);
        } else {
            self.grow_cwnd(mss);
        }
    }

    /// The window that is left of the present one after a signal, in whole segments and at least
    /// two (`newreno_cc_cwnd_on_multiplicative_decrease`). `percent` is what is left.
    pub(super) fn decreased_cwnd(&self, mss: u32, percent: i64) -> u32 {
        let left = u64::from(self.tp.snd_cwnd) * percent.unsigned_abs();
        ((left / (100 * u64::from(mss.max(1)))).max(2) as u32).saturating_mul(mss)
    }

    pub(super) fn newreno_cong_signal(&mut self, signal: Signal) {
        let mss = self.cc_mss();
        let beta = self.tcp.sysctl.newreno_beta;
        match signal {
            Signal::Ndupack => {
                if !self.tp.has(TF_FASTRECOVERY) {
                    if !self.tp.has(TF_CONGRECOVERY) {
                        self.tp.snd_ssthresh = self.decreased_cwnd(mss, beta);
                    }
                    self.tp.set(TF_RECOVERY);
                }
            }
            Signal::Ecn => {
                if !self.tp.has(TF_CONGRECOVERY) {
                    // A mark comes before the queue overflows: less is given up (RFC 8511).
                    let left = if self.tcp.sysctl.cc_abe != 0 {
                        self.tcp.sysctl.newreno_beta_ecn
                    } else {
                        beta
                    };
                    let reduced = self.decreased_cwnd(mss, left);
                    self.tp.snd_ssthresh = reduced;
                    self.tp.snd_cwnd = reduced;
                    self.tp.set(TF_CONGRECOVERY);
                }
            }
            Signal::Rto => {
                // Later timeouts of the same segment leave the threshold (RFC 5681 section 3.1).
                if self.tp.t_rxtshift == 1 {
                    let share = |flight: u64| flight * beta.unsigned_abs() / 100;
                    self.tp.snd_ssthresh = self.rto_ssthresh(mss, share);
                }
                self.tp.snd_cwnd = mss;
            }
            Signal::RtoErr => {}
        }
    }

    pub(super) fn newreno_post_recovery(&mut self) {
        if !self.tp.has(TF_FASTRECOVERY) {
            return;
        }
        let (pipe, mss) = (self.compute_pipe(), self.cc_mss());
        let tp = &mut self.tp;
        tp.snd_cwnd = if pipe < tp.snd_ssthresh {
            pipe.max(mss).saturating_add(mss)
        } else {
            tp.snd_ssthresh
        };
    }

    pub(super) fn newreno_after_idle(&mut self) {
        let restart = self.compute_initwnd(self.cc_mss());
        let tp = &mut self.tp;
        tp.snd_ssthresh = tp.snd_ssthresh.max(tp.snd_cwnd - (tp.snd_cwnd >> 2));
        tp.snd_cwnd = tp.snd_cwnd.min(restart);
    }
}
