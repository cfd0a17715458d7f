// SPDX-License-Identifier: BSD-2-Clause
//! CUBIC's arithmetic against RFC 9438's.

use super::*;

#[test]
fn the_window_grows_from_its_start_back_to_its_maximum_in_k() {
    // From 70 to 100 segments: K = cbrt(30 / 0.4) = 4.217 s.
    let k = cubic_k(100, 70);
    assert!((k - 1080).abs() < 30, "{k}");
    let wmax = 100 * 1448;
    let at_k = cubic_cwnd(k * 1_000_000 / 256, wmax, 1448, k);
    assert!(at_k.abs_diff(wmax) < 2 * 1448, "{at_k}");
    let at_0 = cubic_cwnd(0, wmax, 1448, k);
    assert!(at_0.abs_diff(70 * 1448) < 3 * 1448, "{at_0}");
    assert!(cubic_cwnd(8_000_000, wmax, 1448, k) > wmax / 100 * 110);
}

#[test]
fn a_window_that_starts_at_its_maximum_needs_no_time_to_get_there() {
    assert_eq!(cubic_k(10, 10), 0);
    assert_eq!(cubic_k(10, 11), 0);
    assert!(cubic_k(11, 10) > 0);
}

#[test]
fn extreme_times_and_windows_do_not_overflow() {
    for usecs in [0, 1, i64::from(i32::MAX), 2 * i64::from(i32::MAX)] {
        for wmax in [0, 1, u32::MAX] {
            let k = cubic_k(wmax / 536, 0);
            assert!(cubic_cwnd(usecs, wmax, 65_535, k) <= i32::MAX as u32);
        }
    }
    let hour = 3_600_000_000;
    assert_eq!(cubic_cwnd(hour, 0, 1_448, 0), i32::MAX as u32);
    assert_eq!(cubic_cwnd(0, 0, 1_448, hour << SHIFT), 0);
}

/// RFC 9438 figure 2 and figure 1, in floating point.
fn model(wmax: f64, epoch: f64, t: f64) -> (f64, f64) {
    let k = ((wmax - epoch).max(0.0) / 0.4).cbrt();
    (k, 0.4 * (t - k).powi(3) + wmax)
}

#[test]
fn the_cube_root_is_that_of_the_rfc_within_three_percent() {
    for gap in (1..200).chain((200..20_000).step_by(97)) {
        let (k, _) = model(f64::from(gap + 10), 10.0, 0.0);
        let fixed = cubic_k(gap + 10, 10) as f64 / 256.0;
        assert!((fixed - k).abs() < 0.03 * k, "{gap}: {fixed} for {k}");
    }
}

#[test]
fn the_curve_is_that_of_the_rfc_within_a_segment() {
    let mss = 1_000;
    for (wmax, epoch) in [(10, 7), (100, 70), (1_000, 700), (5_000, 3_500)] {
        let k = cubic_k(wmax, epoch);
        // The curve around its own K, which the other test holds to the RFC's.
        let own = k as f64 / 256.0;
        for tenth in 0..300 {
            let t = f64::from(tenth) / 10.0;
            let exact = (0.4 * (t - own).powi(3) + f64::from(wmax)).max(0.0);
            let usecs = i64::from(tenth) * 100_000;
            let fixed = f64::from(cubic_cwnd(usecs, wmax * mss, mss, k)) / f64::from(mss);
            // 8 bits of time are 4 ms, which count the more the steeper the curve; C is 102 / 256.
            let slack =
                1.1 + 1.2 * (t - own).powi(2) / 256.0 + 0.005 * (exact - f64::from(wmax)).abs();
            assert!(
                (fixed - exact).abs() <= slack,
                "{wmax} at {t}: {fixed} for {exact}"
            );
        }
    }
}

#[test]
fn a_multiplicative_decrease_keeps_seven_tenths() {
    assert_eq!(times_beta(0), 0);
    assert_eq!(times_beta(256), 179);
    assert_eq!(
        times_beta(u64::from(u32::MAX)),
        u64::from(u32::MAX) * 179 / 256
    );
}
