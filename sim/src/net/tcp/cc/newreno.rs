// SPDX-License-Identifier: BSD-2-Clause
//! NewReno (RFC 5681, RFC 6582; `sys/netinet/cc/cc_newreno.c`, 15.0).

use super::super::Conn;
use super::super::flags::{TF_CONGRECOVERY, TF_FASTRECOVERY, TF_RECOVERY};
use super::super::subr::maxseg;
use super::{Ack, CCF_ABC_SENTAWND, CCF_CWND_LIMITED, Signal};

/// `net.inet.tcp.cc.newreno.beta`: what is left of the window after a loss, in percent.
const BETA: u64 = 50;

impl Conn<'_, '_> {
    pub(super) fn newreno_ack_received(&mut self, kind: Ack) {
        let tp = &mut self.tp;
        if kind != Ack::New || tp.has(TF_RECOVERY) || tp.t_ccv.flags & CCF_CWND_LIMITED == 0 {
            return;
        }
        let abc = self.tcp.sysctl.rfc3465 != 0;
        let maxseg = tp.t_maxseg;
        let incr = if tp.snd_cwnd > tp.snd_ssthresh {
            if !abc {
                (maxseg * maxseg / tp.snd_cwnd.max(1)).max(1)
            } else if tp.t_ccv.flags & CCF_ABC_SENTAWND != 0 {
                tp.t_ccv.flags &= !CCF_ABC_SENTAWND;
                maxseg
            } else {
                0
            }
        } else if abc {
            self.slow_start_increment()
        } else {
            maxseg
        };
        self.grow_cwnd(incr);
    }

    pub(super) fn newreno_cong_signal(&mut self, signal: Signal) {
        let mss = maxseg(self.tp, true).max(1);
        let tp = &mut self.tp;
        let reduced = (u64::from(tp.snd_cwnd) * BETA / (100 * u64::from(mss))).max(2) as u32 * mss;
        match signal {
            Signal::Ndupack => {
                if !tp.has(TF_FASTRECOVERY) {
                    if !tp.has(TF_CONGRECOVERY) {
                        tp.snd_ssthresh = reduced;
                    }
                    tp.set(TF_RECOVERY);
                }
            }
            Signal::Ecn => {
                if !tp.has(TF_CONGRECOVERY) {
                    tp.snd_ssthresh = reduced;
                    tp.snd_cwnd = reduced;
                    tp.set(TF_CONGRECOVERY);
                }
            }
            Signal::Rto => {
                tp.snd_ssthresh = (tp.snd_wnd.min(tp.snd_cwnd) / 2 / mss).max(2) * mss;
                tp.snd_cwnd = mss;
            }
            Signal::RtoErr => {}
        }
    }

    pub(super) fn newreno_post_recovery(&mut self) {
        if !self.tp.has(TF_FASTRECOVERY) {
            return;
        }
        let pipe = self.recovery_pipe();
        let tp = &mut self.tp;
        tp.snd_cwnd = if pipe < tp.snd_ssthresh {
            pipe.max(tp.t_maxseg) + tp.t_maxseg
        } else {
            tp.snd_ssthresh
        };
    }

    /// Bytes in flight at the end of recovery.
    pub(super) fn recovery_pipe(&self) -> u32 {
        if self.tcp.sysctl.sack_revised != 0 {
            self.compute_pipe().max(0) as u32
        } else {
            self.tp.snd_max - self.tp.t_ccv.curack
        }
    }

    pub(super) fn newreno_after_idle(&mut self) {
        let restart = self.compute_initwnd(self.maxseg());
        let tp = &mut self.tp;
        tp.snd_ssthresh = tp.snd_ssthresh.max(tp.snd_cwnd - (tp.snd_cwnd >> 2));
        tp.snd_cwnd = tp.snd_cwnd.min(restart);
    }
}
