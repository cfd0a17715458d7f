// SPDX-License-Identifier: BSD-2-Clause
//! Backoff, the persist timer, and how long TIME-WAIT lasts.

use super::super::tests::with_established;
use super::*;

/// What is left of a timer, in milliseconds.
fn left(conn: &Conn<'_, '_>, timer: Timer) -> Option<u64> {
    let at = conn.tp.t_timers[timer as usize]?;
    Some(at.since(conn.cx.now).as_nanos() / 1_000_000)
}

#[test]
fn the_backoff_doubles_to_five_hundred_and_twelve() {
    for (n, pair) in BACKOFF.windows(2).enumerate() {
        assert_eq!(pair[1], if n < 9 { 2 * pair[0] } else { 512 });
    }
    let sum: u32 = BACKOFF.iter().sum();
    assert_eq!(i64::from(sum), TOTBACKOFF);
}

#[test]
fn probes_of_a_closed_window_back_off_between_five_seconds_and_a_minute() {
    with_established(|conn| {
        // A mean of a second and no deviation: half of that is what is backed off.
        conn.tp.t_srtt = 1_000 << RTT_SHIFT;
        conn.tp.t_rttvar = 0;
        conn.tp.t_rxtshift = 0;
        let mut seen = Vec::new();
        for _ in 0..8 {
            conn.setpersist();
            seen.push(left(conn, Timer::Persist).unwrap());
        }
        // (srtt >> 2) >> 1 is in units of a quarter of a tick: 4000.
        assert_eq!(
            seen,
            [5_000, 8_200, 16_200, 32_200, 60_000, 60_000, 60_000, 60_000]
        );
        assert_eq!(conn.tp.t_rxtshift, 8);
    });
}

#[test]
fn probing_ends_where_no_progress_is_allowed_any_longer() {
    with_established(|conn| {
        conn.tp.t_maxunacktime = 3_000;
        conn.tp.t_acktime = conn.ticks() - 1_000;
        conn.setpersist();
        assert_eq!(left(conn, Timer::Persist), Some(2_000));
    });
}

#[test]
fn a_timeout_keeps_what_an_undo_needs_once() {
    with_established(|conn| {
        conn.tp.snd_cwnd = 7_777;
        conn.tp.snd_ssthresh = 8_888;
        conn.tp.set(TF_FASTRECOVERY);
        conn.tp.t_rxtshift = 1;
        conn.save_for_undo();
        assert!(conn.tp.has_all(TF_PREVVALID | TF_WASFRECOVERY));
        conn.tp.clear(TF_FASTRECOVERY);
        (conn.tp.snd_cwnd, conn.tp.snd_ssthresh) = (1, 2);
        conn.cc_cong_signal(None, Signal::RtoErr);
        assert_eq!((conn.tp.snd_cwnd, conn.tp.snd_ssthresh), (7_777, 8_888));
        assert!(conn.tp.has(TF_FASTRECOVERY) && !conn.tp.has(TF_PREVVALID));
        assert_eq!(conn.tp.t_rxtshift, 0);
        conn.tp.t_rxtshift = 2;
        conn.tp.set(TF_PREVVALID);
        conn.save_for_undo();
        assert!(
            !conn.tp.has(TF_PREVVALID),
            "a second timeout is never undone"
        );
    });
}

#[test]
fn time_wait_lasts_two_lifetimes_and_a_host_that_talks_to_itself_has_its_own() {
    with_established(|conn| {
        conn.tcp.sysctl.msl = 7_000;
        conn.tcp.sysctl.msl_local = 1_500;
        conn.twstart();
        assert_eq!(left(conn, Timer::Msl2), Some(14_000));
        conn.inp.inc.faddr = conn.inp.inc.laddr;
        conn.twstart();
        assert_eq!(left(conn, Timer::Msl2), Some(3_000));
    });
}
