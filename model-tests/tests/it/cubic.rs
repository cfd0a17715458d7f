// SPDX-License-Identifier: BSD-2-Clause
//! Congestion control against the model of it that its RFC gives.

use model_tests::cubic::{Measured, Path, measure};
use sim::time::Duration;

/// Over sixteen seeds the mean is 1.06 of the model's window in all three rows; the bounds leave room
/// for what few runs differ by.
#[test]
fn a_bulk_transfer_with_losses_has_the_window_that_cubics_model_predicts() {
    let rows = [
        // Reno-friendly: 10 segments, at one and ten times the bandwidth.
        (10_000_000, 50, 10_000, 100, 2),
        (100_000_000, 50, 10_000, 100, 2),
        // The cubic curve: 71 segments, where Reno's would be about 30.
        (100_000_000, 400, 1_000, 160, 6),
    ];
    for (bandwidth_bps, rtt, loss_ppm, seconds, seeds) in rows {
        let path = Path {
            bandwidth_bps,
            rtt: Duration::from_millis(rtt),
            loss_ppm,
        };
        let runs: Vec<_> = (1..=seeds)
            .map(|seed| measure(path, seed, Duration::from_secs(seconds)))
            .collect();
        let mean = |of: fn(&Measured) -> f64| runs.iter().map(of).sum::<f64>() / seeds as f64;
        let window = mean(|m| m.window) / path.window();
        let used = mean(|m| m.utilisation) / path.utilisation();
        assert!((0.92..1.2).contains(&window), "{window} {path:?} {runs:?}");
        assert!((0.9..1.15).contains(&used), "{used} {path:?} {runs:?}");
    }
}

/// Nothing is lost but where the queue overflows: the link is full.
#[test]
fn a_bulk_transfer_without_losses_fills_the_link() {
    let path = Path {
        bandwidth_bps: 10_000_000,
        rtt: Duration::from_millis(50),
        loss_ppm: 0,
    };
    let measured = measure(path, 1, Duration::from_secs(30));
    assert!(measured.utilisation > 0.95, "{measured:?}");
}
