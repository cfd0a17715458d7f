// SPDX-License-Identifier: BSD-2-Clause
//! Congestion control against the model of it that its RFC gives.

use model_tests::cubic::{Measured, Path, measure};
use sim::time::Duration;

/// Of a small window, recovery and timeouts take a part that the model leaves out; a large one gains by
/// losses at random distances, since after a long one the cubic curve grows ever faster.
#[test]
fn a_bulk_transfer_with_losses_has_the_window_that_cubics_model_predicts() {
    let rows = [
        // Reno-friendly: 12 segments, at one and ten times the bandwidth.
        (10_000_000, 50, 10_000, 100),
        (100_000_000, 50, 10_000, 100),
        // The cubic curve: 94 segments, where Reno's would be 39.
        (100_000_000, 400, 1_000, 160),
    ];
    for (bandwidth_bps, rtt, loss_ppm, seconds) in rows {
        let path = Path {
            bandwidth_bps,
            rtt: Duration::from_millis(rtt),
            loss_ppm,
        };
        let runs = [1, 2].map(|seed| measure(path, seed, Duration::from_secs(seconds)));
        let mean = |of: fn(&Measured) -> f64| runs.iter().map(of).sum::<f64>() / 2.0;
        let window = mean(|m| m.window) / path.window();
        let used = mean(|m| m.utilisation) / path.utilisation();
        assert!((0.85..1.3).contains(&window), "{window} {path:?} {runs:?}");
        assert!((0.7..1.3).contains(&used), "{used} {path:?} {runs:?}");
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
