// SPDX-License-Identifier: BSD-2-Clause
//! A bulk transfer with losses, beside what CUBIC's model predicts (`model_tests::cubic`).
//!
//! Virtual time and seeded loss: the table is the same wherever it is printed. A test holds the ratios
//! of its rows within a band.

use model_tests::cubic::{Path, measure};
use sim::time::Duration;

/// Seeds of the losses.
const SEEDS: u64 = 4;

/// Prints the table.
pub(crate) fn table() {
    println!("\nutilisation and average window (segments), {SEEDS} seeds");
    println!(
        "| Mbit/s | RTT ms | loss % | window: predicted | measured | ratio \
         | utilisation: predicted | measured | ratio | sent again % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let rows = [
        (10, 50, 10_000, 300),
        (100, 50, 10_000, 300),
        (100, 50, 1_000, 300),
        (100, 400, 1_000, 300),
        (1_000, 100, 100, 200),
    ];
    for (mbits, rtt, loss_ppm, seconds) in rows {
        let path = Path {
            bandwidth_bps: mbits * 1_000_000,
            rtt: Duration::from_millis(rtt),
            loss_ppm,
        };
        let runs: Vec<_> = (1..=SEEDS)
            .map(|seed| measure(path, seed, Duration::from_secs(seconds)))
            .collect();
        let mean = |of: fn(&model_tests::cubic::Measured) -> f64| {
            runs.iter().map(of).sum::<f64>() / runs.len() as f64
        };
        let (window, used) = (mean(|m| m.window), mean(|m| m.utilisation));
        let predicted = path.window();
        println!(
            "| {mbits} | {rtt} | {:.2} | {predicted:.1} | {window:.1} | {:.2} \
             | {:.4} | {used:.4} | {:.2} | {:.2} |",
            f64::from(loss_ppm) / 10_000.0,
            window / predicted,
            path.utilisation(),
            used / path.utilisation(),
            mean(|m| m.again) * 100.0,
        );
    }
}
