// SPDX-License-Identifier: BSD-2-Clause
//! Our own scripts for packetdrill, about ground that FreeBSD's suite does not cover: as they are, and
//! with their instance moved to another host, after every event in one run and after one in each; with its
//! address, and with another behind a translation.

use std::path::PathBuf;

use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::moved::{Form, Moving, RunScript};
use sim::packetdrill::suite::{Settings, Verdict, find, run_all};

fn run(how: &impl RunScript) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packetdrill");
    let scripts = find(&[folder]).expect("scripts");
    let reports = run_all(how, &scripts, &Settings::default());
    let wrong: Vec<_> = reports
        .iter()
        .filter(|report| report.verdict != Verdict::Passed)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn scripts_pass() {
    run(&Emulated { seed: 1 });
}

#[test]
fn nothing_differs_in_scripts_wherever_their_instance_moves() {
    for remap in [false, true] {
        run(&Moving {
            emulated: Emulated { seed: 1 },
            form: Form::Each,
            remap,
        });
    }
}
