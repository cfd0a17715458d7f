// SPDX-License-Identifier: BSD-2-Clause
//! The scoreboard, move by move.

use super::super::flags::{TF_FASTRECOVERY, TF_LRD, TF_SACK_PERMIT};
use super::super::tests::{report, with_established};
use super::super::{Conn, Seq};
use super::Changed;
use crate::rng::Rng;

/// Ten segments of 1000 bytes are in flight, from 1000 on.
fn flying(conn: &mut Conn<'_, '_>) {
    let tp = &mut conn.tp;
    tp.snd_una = Seq(1_000);
    tp.snd_nxt = Seq(11_000);
    tp.snd_max = Seq(11_000);
    tp.snd_recover = Seq(1_000);
    tp.snd_fack = Seq(1_000);
    tp.t_maxseg = 1_000;
    tp.set(TF_SACK_PERMIT);
}

fn holes(conn: &Conn<'_, '_>) -> Vec<(u32, u32, u32)> {
    let holes = conn.tp.snd_holes.iter();
    holes.map(|h| (h.start.0, h.end.0, h.rxmit.0)).collect()
}

fn on_flying(f: impl FnOnce(&mut Conn<'_, '_>)) {
    with_established(|conn| {
        flying(conn);
        f(conn);
    });
}

#[test]
fn what_lies_between_the_blocks_is_a_hole() {
    on_flying(|conn| {
        let changed = conn.sack_doack(&report(1_000, &[(6_000, 7_000), (3_000, 4_000)]));
        assert_eq!(changed, Changed::NewLoss);
        assert_eq!(holes(conn), [(1_000, 3_000, 1_000), (4_000, 6_000, 4_000)]);
        let hint = conn.tp.sackhint;
        assert_eq!((hint.sacked_bytes, hint.delivered_data), (2_000, 2_000));
        assert_eq!(conn.tp.snd_fack, Seq(7_000));
        assert_eq!(hint.last_sack_ack, Seq(7_000));
    });
}

#[test]
fn what_is_reported_twice_is_no_news() {
    on_flying(|conn| {
        conn.sack_doack(&report(1_000, &[(3_000, 4_000)]));
        let before = holes(conn);
        let changed = conn.sack_doack(&report(1_000, &[(3_000, 4_000)]));
        assert_eq!(changed, Changed::No);
        assert_eq!(conn.tp.sackhint.delivered_data, 0);
        assert_eq!(conn.tp.sackhint.sacked_bytes, 1_000);
        assert_eq!(holes(conn), before);
    });
}

#[test]
fn a_report_of_duplicates_below_the_acknowledgement_makes_no_hole() {
    on_flying(|conn| {
        let changed = conn.sack_doack(&report(1_000, &[(500, 900)]));
        assert_eq!(changed, Changed::No);
        assert!(conn.tp.snd_holes.is_empty());
    });
}

#[test]
fn blocks_of_what_was_never_sent_are_ignored() {
    on_flying(|conn| {
        for block in [
            (10_000, 12_000),
            (11_000, 12_000),
            (5_000, 5_000),
            (6_000, 5_000),
        ] {
            assert_eq!(conn.sack_doack(&report(1_000, &[block])), Changed::No);
            assert!(conn.tp.snd_holes.is_empty(), "{block:?}");
        }
    });
}

#[test]
fn an_acknowledgement_takes_holes_away_and_is_no_report() {
    on_flying(|conn| {
        conn.sack_doack(&report(1_000, &[(6_000, 7_000), (3_000, 4_000)]));
        let changed = conn.sack_doack(&report(5_000, &[]));
        assert_eq!(changed, Changed::No);
        assert_eq!(holes(conn), [(5_000, 6_000, 5_000)]);
        // Of the 4000 below it 3000 were not reported before; 1000 of 2000 are reported still.
        assert_eq!(conn.tp.sackhint.delivered_data, 3_000);
        assert_eq!(conn.tp.sackhint.sacked_bytes, 1_000);
    });
}

#[test]
fn a_hole_is_lost_below_three_blocks_or_more_than_two_segments() {
    let lost = |blocks: &[(u32, u32)]| {
        let mut lost = 0;
        on_flying(|conn| {
            conn.sack_doack(&report(1_000, blocks));
            lost = conn.tp.sackhint.lost_bytes;
        });
        lost
    };
    assert_eq!(lost(&[(2_000, 4_000)]), 0);
    assert_eq!(lost(&[(2_000, 4_001)]), 1_000);
    assert_eq!(lost(&[(2_000, 2_500), (3_000, 3_500)]), 0);
    assert_eq!(
        lost(&[(2_000, 2_500), (3_000, 3_500), (4_000, 4_500)]),
        1_000
    );
}

#[test]
fn what_was_sent_again_and_not_what_came_since_is_sent_once_more() {
    on_flying(|conn| {
        conn.tp.set(TF_LRD | TF_FASTRECOVERY);
        conn.sack_doack(&report(1_000, &[(2_000, 9_000)]));
        conn.tp.snd_recover = Seq(9_000);
        conn.tp.snd_cwnd = 8_000;
        conn.tp.snd_ssthresh = 8_000;
        // The whole hole went again: rxmit marks up to where that must be known by.
        conn.tp.snd_holes[0].rxmit = Seq(9_000);
        conn.tp.sackhint.sack_bytes_rexmit = 1_000;
        conn.sack_lost_retransmission(Seq(1_000));
        assert_eq!(
            holes(conn),
            [(1_000, 2_000, 9_000)],
            "nothing newer arrived"
        );
        conn.sack_doack(&report(1_000, &[(2_000, 10_000)]));
        conn.sack_lost_retransmission(Seq(1_000));
        assert_eq!(holes(conn), [(1_000, 2_000, 1_000)]);
        assert_eq!(conn.tp.snd_recover, Seq(11_000));
        assert!(conn.tp.has(TF_FASTRECOVERY));
        assert!(conn.tp.snd_ssthresh < 8_000, "another sign of congestion");
    });
}

#[test]
fn after_a_timeout_the_next_number_skips_what_is_reported() {
    on_flying(|conn| {
        conn.sack_doack(&report(1_000, &[(2_000, 4_000), (6_000, 7_000)]));
        for (nxt, then, reported) in [
            (1_000, 1_000, 0),
            (2_000, 4_000, 2_000),
            (5_000, 5_000, 2_000),
            (6_000, 7_000, 3_000),
            (9_000, 9_000, 3_000),
        ] {
            conn.tp.snd_nxt = Seq(nxt);
            assert_eq!(conn.sack_adjust(), reported, "from {nxt}");
            assert_eq!(conn.tp.snd_nxt, Seq(then), "from {nxt}");
        }
    });
}

#[test]
fn a_full_scoreboard_takes_no_further_hole() {
    on_flying(|conn| {
        conn.tcp.sysctl.sack_maxholes = 1;
        conn.sack_doack(&report(1_000, &[(2_000, 3_000)]));
        let changed = conn.sack_doack(&report(1_000, &[(5_000, 6_000)]));
        assert_eq!(holes(conn), [(1_000, 2_000, 1_000)]);
        assert_eq!(changed, Changed::No);
        assert_eq!(conn.tp.snd_fack, Seq(3_000));
    });
}

#[test]
fn whatever_is_reported_holes_are_sorted_apart_and_within_what_is_in_flight() {
    let mut rng = Rng::new(7, "scoreboard");
    let mut step = |bound: u64| rng.below(bound) as u32;
    on_flying(|conn| {
        for round in 0..2_000 {
            // Nothing beyond snd_recover goes again.
            conn.tp.snd_recover = conn.tp.snd_max;
            let (una, max) = (conn.tp.snd_una.0, conn.tp.snd_max.0);
            if una == max {
                conn.free_sackholes();
                flying(conn);
                continue;
            }
            let ack = if step(4) == 0 {
                una + step(u64::from(max - una)) + 1
            } else {
                una
            };
            let blocks: Vec<_> = (0..step(4))
                .map(|_| (una + step(11_000), step(3_000)))
                .map(|(start, len)| (start, start + len))
                .collect();
            conn.sack_doack(&report(ack, &blocks));
            if let (Some(hole), _) = conn.sack_output() {
                let hole = &mut conn.tp.snd_holes[hole];
                let len = (hole.end - hole.rxmit).min(700);
                hole.rxmit += len;
                conn.tp.sackhint.sack_bytes_rexmit += len as i32;
            }
            conn.tp.snd_una = Seq(ack);
            let (tp, mut last) = (&conn.tp, Seq(ack));
            let mut rexmitted = 0;
            for hole in &tp.snd_holes {
                assert!(
                    hole.start.geq(last) && hole.start.lt(hole.end),
                    "round {round}"
                );
                assert!(hole.rxmit.geq(hole.start) && hole.end.leq(tp.snd_fack));
                rexmitted += (hole.rxmit.min(hole.end) - hole.start) as i32;
                last = hole.end;
            }
            assert_eq!(tp.sackhint.sack_bytes_rexmit, rexmitted, "round {round}");
            assert!(tp.snd_fack.leq(tp.snd_max));
            assert!(tp.sackhint.sacked_bytes >= 0 && tp.sackhint.lost_bytes >= 0);
        }
    });
}
