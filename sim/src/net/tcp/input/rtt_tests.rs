// SPDX-License-Identifier: BSD-2-Clause
//! The estimator (RFC 6298) in FreeBSD's fixed point: five bits for the mean, four for the deviation.

use super::super::super::Conn;
use super::super::super::tests::with_established;

/// Forgets the handshake's measurement.
fn fresh(conn: &mut Conn<'_, '_>) {
    conn.tp.t_srtt = 0;
    conn.tp.t_rxtshift = 0;
}

#[test]
fn the_first_measurement_is_the_mean_and_half_of_it_the_deviation() {
    // RFC 6298 (2.2): the timeout is three times the measurement; then the slop.
    with_established(|conn| {
        fresh(conn);
        conn.xmit_timer(100);
        assert_eq!((conn.tp.t_srtt, conn.tp.t_rttvar), (100 << 5, 50 << 4));
        assert_eq!(conn.rexmtval(), 300);
        assert_eq!(conn.tp.t_rxtcur, 500);
    });
}

#[test]
fn later_ones_move_mean_and_deviation_as_the_rfc_has_it() {
    // RFC 6298 (2.3), with measurements counted from 0 as tcp_xmit_timer does.
    with_established(|conn| {
        fresh(conn);
        let (mut srtt, mut rttvar) = (0.0_f64, 0.0_f64);
        for (n, rtt) in [100, 120, 80, 300, 90, 95, 1_000, 100, 100, 100]
            .into_iter()
            .enumerate()
        {
            conn.xmit_timer(rtt);
            let r = f64::from(rtt);
            if n == 0 {
                (srtt, rttvar) = (r, r / 2.0);
            } else {
                rttvar = 0.75 * rttvar + 0.25 * (srtt - (r - 1.0)).abs();
                srtt = 0.875 * srtt + 0.125 * (r - 1.0);
            }
            let (mean, deviation) = (
                f64::from(conn.tp.t_srtt) / 32.0,
                f64::from(conn.tp.t_rttvar) / 16.0,
            );
            assert!((mean - srtt).abs() < 1.0, "{n}: {mean} for {srtt}");
            assert!(
                (deviation - rttvar).abs() < 1.0,
                "{n}: {deviation} for {rttvar}"
            );
        }
    });
}

#[test]
fn a_measurement_ends_the_backoff_and_the_soft_error() {
    with_established(|conn| {
        conn.tp.t_rxtshift = 3;
        conn.tp.t_softerror = Some(crate::errno::Errno::EHOSTUNREACH);
        conn.xmit_timer(50);
        assert_eq!((conn.tp.t_rxtshift, conn.tp.t_softerror), (0, None));
    });
}

#[test]
fn after_many_timeouts_the_estimate_starts_anew() {
    // TCP_RTT_INVALIDATE: three are taken in.
    with_established(|conn| {
        for (shift, anew) in [(3, false), (4, true)] {
            conn.tp.t_srtt = 100 << 5;
            conn.tp.t_rttvar = 50 << 4;
            conn.tp.t_rxtshift = shift;
            conn.xmit_timer(1_000);
            assert_eq!(conn.tp.t_srtt == 1_000 << 5, anew, "after {shift}");
        }
    });
}

#[test]
fn the_timeout_keeps_within_its_limits() {
    with_established(|conn| {
        conn.tcp.sysctl.rexmit_slop = 0;
        for _ in 0..40 {
            conn.xmit_timer(1);
        }
        assert_eq!(conn.tp.t_rxtcur, conn.tp.t_rttmin);
        fresh(conn);
        conn.xmit_timer(60_000);
        assert_eq!(i64::from(conn.tp.t_rxtcur), conn.tcp.sysctl.rexmit_max);
        // Not below the measurement itself and two ticks.
        for _ in 0..200 {
            conn.xmit_timer(500);
        }
        assert!(conn.tp.t_rxtcur >= 502, "{}", conn.tp.t_rxtcur);
    });
}
