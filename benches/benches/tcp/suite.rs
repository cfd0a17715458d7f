// SPDX-License-Identifier: BSD-2-Clause
//! How long a folder of packetdrill scripts takes, plain and with moves.
//!
//! The folder is that of the variable `TCP_TESTSUITE`; without it there is nothing to do.

use benches::timed;
use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::moved::{Form, Moving};
use sim::packetdrill::{report, suite};
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
    let settings = suite::Settings::default();
    println!("\nsuite: {} scripts", scripts.len());
    println!("| run | seconds | passed | expected to fail | failed |");
    println!("|---|---|---|---|---|");
    let runs = [
        ("plain", None),
        ("moved after every event", Some(Form::Every)),
        ("a run for each event, moved after it", Some(Form::Once)),
    ];
    for (run, form) in runs {
        let mut reports = Vec::new();
        let took = timed(|| {
            reports = match form {
                None => suite::run_all(&emulated, &scripts, &settings),
                Some(form) => {
                    let remap = false;
                    let moving = Moving {
                        emulated,
                        form,
                        remap,
                    };
                    suite::run_all(&moving, &scripts, &settings)
                }
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
