// SPDX-License-Identifier: BSD-2-Clause
//! What a congestion control algorithm remembers of a connection (`struct cc_var` and its
//! `cc_data`; `sys/netinet/cc`, 15.0). Images carry NewReno and CUBIC; a connection under another
//! algorithm is refused by name when it is captured.

use super::Seq;
use crate::cbor::Bound;
use crate::codes;
use crate::limits::SPAN_MAX;
use crate::record;
use crate::time::Duration;

/// `K` in fixed point: the cube root of the widest window in segments is below 2^10 s, and the rest is
/// room.
const CUBIC_K_MAX: u64 = 1 << 24;
/// Samples of an epoch: 2^30 of them, each below 2^32 us, which only the timestamps of a hostile peer reach;
/// as many again fit.
const CUBIC_SUM_MAX: u64 = 1 << 62;
/// Every `CUBICFLAG_*` (15.0).
const CUBICFLAG_ALL: u64 = 0x7f;
/// Every `CCF_*` (15.0).
const CCF_ALL: u64 = 0x1fff;

codes! {
    /// A congestion control algorithm (`struct cc_algo`, by its `name`).
    pub enum CcAlgo {
        /// `newreno`, RFC 5681 and 6582.
        NewReno = 1,
        /// `cubic`, RFC 9438.
        Cubic = 2,
    }
}

record! {
    /// HyStart++ (RFC 9406), which NewReno and CUBIC both keep in fields of these names.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Hystart {
        /// `css_baseline_minrtt`, microseconds; `u32::MAX` where there is none.
        0 => css_baseline_minrtt: u32,
        /// `css_current_round_minrtt`, microseconds; `u32::MAX` where there is none.
        1 => css_current_round_minrtt: u32,
        /// `css_lastround_minrtt`, microseconds; `u32::MAX` where there is none.
        2 => css_lastround_minrtt: u32,
        /// `css_rttsample_count`: samples taken in this round.
        3 => css_rttsample_count: u32,
        /// `css_entered_at_round`: the round in which conservative slow start began.
        4 => css_entered_at_round: u32,
        /// `css_current_round`: rounds counted.
        5 => css_current_round: u32,
        /// `css_fas_at_css_entry`: bytes in flight when conservative slow start began.
        6 => css_fas_at_css_entry: u32,
        /// `css_lowrtt_fas`: bytes in flight at the lowest round-trip time.
        7 => css_lowrtt_fas: u32,
        /// `css_last_fas`: bytes in flight at the last sample.
        8 => css_last_fas: u32,
    }
}

record! {
    /// NewReno's own memory (`struct newreno`, `cc_newreno.h`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NewReno {
        /// `beta`: percentage of the window kept after a loss.
        0 => beta: u32 where Bound::within(1, 100),
        /// `beta_ecn`: percentage of the window kept after a congestion mark.
        1 => beta_ecn: u32 where Bound::within(1, 100),
        /// `newreno_flags`.
        2 => newreno_flags: u32,
        /// HyStart++.
        3 => hystart: Hystart,
    }
}

record! {
    /// CUBIC's own memory (`struct cubic`, `cc_cubic.h`). Fixed-point values have `CUBIC_SHIFT` (8)
    /// fraction bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Cubic {
        /// `K`: seconds, fixed point, in which the window grows back to `w_max`.
        0 => k: i64 where Bound::within(0, CUBIC_K_MAX),
        /// `sum_rtt_usecs`: sum of the samples of this epoch, microseconds.
        1 => sum_rtt_usecs: i64 where Bound::within(0, CUBIC_SUM_MAX),
        /// `W_max`: the window just before the last reduction, bytes.
        2 => w_max: u32,
        /// `W_est`: the window in the Reno-friendly region, bytes.
        3 => w_est: u32,
        /// `W_cubic`: the window in the CUBIC region, bytes.
        4 => w_cubic: u32,
        /// `cwnd_epoch`: the window when this epoch began, bytes.
        5 => cwnd_epoch: u32,
        /// `flags`, bits `CUBICFLAG_*`.
        6 => flags: u32 where Bound::bits(CUBICFLAG_ALL),
        /// `min_rtt_usecs`: the least round-trip time seen, microseconds; 0 where there is none.
        7 => min_rtt_usecs: i32,
        /// `mean_rtt_usecs`: the mean between congestion epochs, microseconds.
        8 => mean_rtt_usecs: i32,
        /// `epoch_ack_count`: acknowledgements since the last congestion event.
        9 => epoch_ack_count: i32,
        /// `t_epoch`: how long ago this epoch began; absent where none has.
        10 => t_epoch: Option<Duration> where Bound::span(SPAN_MAX),
        /// `undo_t_epoch`: how long ago the epoch before it began; absent where there was none.
        11 => undo_t_epoch: Option<Duration> where Bound::span(SPAN_MAX),
        /// `undo_K`: `k` as it was before a retransmission timeout.
        12 => undo_k: i64 where Bound::within(0, CUBIC_K_MAX),
        /// `undo_W_max`: `w_max` likewise.
        13 => undo_w_max: u32,
        /// `undo_cwnd_epoch`: `cwnd_epoch` likewise.
        14 => undo_cwnd_epoch: u32,
        /// HyStart++.
        15 => hystart: Hystart,
    }
}

record! {
    /// `t_cc` and `t_ccv`: the algorithm of a connection and what it remembers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CcVar, check = CcVar::one_algorithm {
        /// `t_cc`: the algorithm.
        0 => algo: CcAlgo,
        /// `bytes_this_ack`: bytes that the current acknowledgement covered.
        1 => bytes_this_ack: i32 where Bound::within(0, i32::MAX as u64),
        /// `curack`: the most recent acknowledgement.
        2 => curack: Seq,
        /// `flags`, bits `CCF_*`.
        3 => flags: u32 where Bound::bits(CCF_ALL),
        /// `nsegs`: segments coalesced into the current chain.
        4 => nsegs: u16,
        /// `labc`: the limit of appropriate byte counting in use instead of the vnet's.
        5 => labc: u8,
        /// `cc_data` of NewReno, where the algorithm is that and has allocated it.
        6 => newreno: Option<NewReno>,
        /// `cc_data` of CUBIC, where the algorithm is that.
        7 => cubic: Option<Cubic>,
    }
}

impl CcVar {
    fn one_algorithm(&self) -> Result<(), u64> {
        match (self.algo, &self.newreno, &self.cubic) {
            // NewReno works without memory of its own until an option asks for it.
            (CcAlgo::NewReno, _, None) | (CcAlgo::Cubic, None, Some(_)) => Ok(()),
            (CcAlgo::NewReno, _, Some(_)) | (CcAlgo::Cubic, None, None) => Err(Self::cubic),
            (CcAlgo::Cubic, Some(_), _) => Err(Self::newreno),
        }
    }
}
