// SPDX-License-Identifier: BSD-2-Clause
//! Congestion control's own state (`struct cc_var`, `struct cubic`) as records of an image, and back.

use vpscore::sock;

use super::ticks::{age, ago};
use super::values::{from_seq, seq};
use crate::net::tcp::{Algorithm, CcVar, Cubic, Sysctl, Ticks};

fn cubic(cubic: &Cubic, now: Ticks) -> sock::Cubic {
    sock::Cubic {
        k: cubic.k,
        sum_rtt_usecs: cubic.sum_rtt_usecs,
        w_max: cubic.w_max,
        cwnd_epoch: cubic.cwnd_epoch,
        flags: cubic.flags,
        min_rtt_usecs: cubic.min_rtt_usecs as i32,
        mean_rtt_usecs: cubic.mean_rtt_usecs as i32,
        epoch_ack_count: cubic.epoch_ack_count as i32,
        t_epoch: age(now, cubic.t_epoch),
        undo_t_epoch: age(now, cubic.undo_t_epoch),
        undo_k: cubic.undo_k,
        undo_w_max: cubic.undo_w_max,
        undo_cwnd_epoch: cubic.undo_cwnd_epoch,
        ..sock::Cubic::default()
    }
}

fn from_cubic(record: &sock::Cubic, now: Ticks) -> Cubic {
    Cubic {
        k: record.k,
        sum_rtt_usecs: record.sum_rtt_usecs,
        w_max: record.w_max,
        cwnd_epoch: record.cwnd_epoch,
        flags: record.flags,
        min_rtt_usecs: record.min_rtt_usecs as u32,
        mean_rtt_usecs: record.mean_rtt_usecs as u32,
        epoch_ack_count: record.epoch_ack_count as u32,
        t_epoch: ago(now, record.t_epoch),
        undo_t_epoch: ago(now, record.undo_t_epoch),
        undo_k: record.undo_k,
        undo_w_max: record.undo_w_max,
        undo_cwnd_epoch: record.undo_cwnd_epoch,
    }
}

pub(super) fn ccv(ccv: &CcVar, sysctl: &Sysctl, now: Ticks) -> sock::CcVar {
    let (algo, cubic) = match ccv.algo {
        Algorithm::NewReno => (sock::CcAlgo::NewReno, None),
        Algorithm::Cubic => (sock::CcAlgo::Cubic, Some(cubic(&ccv.cubic, now))),
    };
    sock::CcVar {
        algo,
        bytes_this_ack: ccv.bytes_this_ack as i32,
        curack: seq(ccv.curack),
        flags: ccv.flags,
        nsegs: 1,
        labc: u8::try_from(sysctl.abc_l_var).unwrap_or(u8::MAX),
        newreno: None,
        cubic,
    }
}

pub(super) fn from_ccv(record: &sock::CcVar, now: Ticks) -> CcVar {
    let (algo, cubic) = match record.algo {
        sock::CcAlgo::NewReno => (Algorithm::NewReno, Cubic::default()),
        sock::CcAlgo::Cubic => {
            let cubic = record.cubic.as_ref();
            let cubic = cubic.map_or_else(Cubic::default, |c| from_cubic(c, now));
            (Algorithm::Cubic, cubic)
        }
    };
    CcVar {
        algo,
        flags: record.flags,
        bytes_this_ack: record.bytes_this_ack as u32,
        curack: from_seq(record.curack),
        cubic,
    }
}
