// SPDX-License-Identifier: BSD-2-Clause
//! Our own scripts for packetdrill, about ground that FreeBSD's suite does not cover: as they are, and
//! with the stack moved to another host through an image after every event.

use std::path::PathBuf;

use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::moved::Moving;
use sim::packetdrill::run::stack::MakeStack;
use sim::packetdrill::suite::{Settings, Verdict, find, run_all};

fn run(make: &impl MakeStack) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packetdrill");
    let scripts = find(&[folder]).expect("scripts");
    let reports = run_all(make, &scripts, &Settings::default());
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
fn scripts_pass_on_a_stack_that_moves_after_every_event() {
    run(&Moving {
        emulated: Emulated { seed: 1 },
    });
}
