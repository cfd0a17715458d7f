// SPDX-License-Identifier: BSD-2-Clause
//! How long a folder of packetdrill scripts takes, plain and with a move after every event.
//!
//! The folder is that of the variable `TCP_TESTSUITE`; without it there is nothing to do.

use benches::timed;
use sim::packetdrill::report;
use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::moved::Moving;
use sim::packetdrill::suite::{self, Settings};
use std::path::PathBuf;

/// Prints the table.
pub(crate) fn table() {
    let Some(folder) = std::env::var_os("TCP_TESTSUITE") else {
        println!("\nsuite: set TCP_TESTSUITE to the folder of the scripts to time them");
        return;
    };
    let scripts = match suite::find(&[PathBuf::from(folder)]) {
        Ok(scripts) => scripts,
        Err(why) => {
            println!("\nsuite: {why}");
            return;
        }
    };
    let emulated = Emulated { seed: 1 };
    let settings = Settings::default();
    println!("\nsuite: {} scripts", scripts.len());
    println!("| run | seconds | passed | expected to fail | failed |");
    println!("|---|---|---|---|---|");
    for run in ["plain", "moved after every event"] {
        let mut reports = Vec::new();
        let took = timed(|| {
            reports = if run == "plain" {
                suite::run_all(&emulated, &scripts, &settings)
            } else {
                suite::run_all(&Moving { emulated }, &scripts, &settings)
            };
        });
        if let Some((_, total)) = report::count(&reports).last() {
            println!(
                "| {run} | {:.2} | {} | {} | {} |",
                took.as_secs_f64(),
                total.passed,
                total.exfail,
                total.failed
            );
        }
    }
}
