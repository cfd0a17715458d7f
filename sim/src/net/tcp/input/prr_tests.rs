// SPDX-License-Identifier: BSD-2-Clause
//! What proportional rate reduction lets out (RFC 6937 section 3.1, RFC 9937).

use super::super::super::Seq;
use super::super::super::flags::{TF_CONGRECOVERY, TF_FASTRECOVERY, TF_SACK_PERMIT};
use super::super::super::sack::Changed;
use super::super::super::tests::{report, with_established};
use super::super::Pass;

const SEGMENT: u32 = 1_000;

/// One acknowledgement in a recovery.
#[derive(Clone, Copy)]
struct Step {
    /// Bytes in flight when recovery began, and those which are now.
    recover_fs: u32,
    pipe: u32,
    ssthresh: u32,
    /// Bytes delivered and sent so far, and delivered by this.
    delivered: i32,
    out: i32,
    now: i32,
    changed: Changed,
}

/// What may go at once, in bytes.
fn grant(step: Step) -> i64 {
    with_established(|conn| {
        let tp = &mut conn.tp;
        tp.set(TF_FASTRECOVERY | TF_SACK_PERMIT);
        tp.snd_una = Seq(0);
        tp.snd_nxt = Seq(step.pipe);
        tp.snd_max = Seq(step.pipe);
        tp.snd_ssthresh = step.ssthresh;
        tp.sackhint.recover_fs = step.recover_fs;
        tp.sackhint.prr_delivered = step.delivered;
        tp.sackhint.prr_out = step.out;
        tp.sackhint.delivered_data = step.now;
        assert_eq!(conn.maxseg(), SEGMENT);
        let pass = Pass {
            seg: &mut report(0, &[(1, 2)]),
            flags: 0,
            win: 0,
            needoutput: false,
            ourfinisacked: false,
            incforsyn: false,
            changed: step.changed,
            no_data: true,
            pulled: 0,
        };
        conn.prr_ack(&pass);
        let tp = &conn.tp;
        assert_eq!(tp.sackhint.prr_delivered, step.delivered + step.now);
        i64::from(tp.snd_cwnd) - (i64::from(step.pipe) - i64::from(step.now))
    })
}

const STEP: Step = Step {
    recover_fs: 10_000,
    pipe: 9_000,
    ssthresh: 5_000,
    delivered: 0,
    out: 0,
    now: 1_000,
    changed: Changed::Yes,
};

#[test]
fn above_the_threshold_as_much_goes_as_keeps_its_share_of_what_arrives() {
    // Half of what is delivered, in whole segments, rounded up: never behind by one.
    let mut out = 0;
    for arrived in 1..=10 {
        let step = Step {
            delivered: (arrived - 1) * 1_000,
            out,
            ..STEP
        };
        out += grant(step) as i32;
        assert_eq!(out, (arrived + 1) / 2 * 1_000, "after {arrived}");
    }
}

#[test]
fn below_the_threshold_the_window_grows_by_a_segment_more_than_arrives() {
    let step = Step {
        pipe: 2_000,
        delivered: 4_000,
        out: 4_000,
        ..STEP
    };
    assert_eq!(grant(step), 2_000);
    // No further than the threshold.
    let near = Step {
        pipe: 4_000,
        ..step
    };
    assert_eq!(grant(near), 1_000);
}

#[test]
fn a_sign_of_further_loss_lets_no_more_out_than_arrived() {
    let step = Step {
        pipe: 2_000,
        delivered: 4_000,
        out: 4_000,
        changed: Changed::NewLoss,
        ..STEP
    };
    assert_eq!(grant(step), 1_000);
    let nothing = Step {
        now: 0,
        changed: Changed::Yes,
        ..step
    };
    assert_eq!(grant(nothing), 0);
}

#[test]
fn the_window_is_a_segment_at_least() {
    with_established(|conn| {
        let tp = &mut conn.tp;
        tp.set(TF_CONGRECOVERY);
        tp.snd_una = Seq(0);
        tp.snd_nxt = Seq(0);
        tp.snd_max = Seq(0);
        tp.snd_ssthresh = 0;
        tp.sackhint.delivered_data = 5_000;
        let pass = Pass {
            seg: &mut report(0, &[]),
            flags: 0,
            win: 0,
            needoutput: false,
            ourfinisacked: false,
            incforsyn: false,
            changed: Changed::Yes,
            no_data: true,
            pulled: 0,
        };
        conn.prr_ack(&pass);
        assert_eq!(conn.tp.snd_cwnd, SEGMENT);
    });
}
