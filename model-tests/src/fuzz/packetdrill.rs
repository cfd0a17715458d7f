// SPDX-License-Identifier: BSD-2-Clause
//! Any text as a packetdrill script: it is refused by line and column, or runs to its end.

use sim::packetdrill::ast::Script;
use sim::packetdrill::parser;
use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::run;

/// Events of a script that is run; a longer one is only read.
const EVENTS_MAX: usize = 64;

/// Reads the bytes as a script.
///
/// # Panics
/// Where it is refused at no place in it.
pub fn parse(data: &[u8]) {
    script(data);
}

/// Reads the bytes as a script, and runs it twice against the emulated stack.
///
/// # Panics
/// Where parser, runner or stack do, or the second run differs.
pub fn execute(data: &[u8]) {
    let Some(script) = script(data).filter(|script| script.events.len() <= EVENTS_MAX) else {
        return;
    };
    let make = Emulated::default();
    assert_eq!(run(&make, &script), run(&make, &script));
}

fn script(data: &[u8]) -> Option<Script> {
    let text = String::from_utf8_lossy(data);
    let script = parser::parse(&text, &["IPV4"]);
    if let Err(error) = &script {
        assert!(error.line >= 1 && error.column >= 1);
        assert!(error.line <= text.lines().count() + 1);
    }
    script.ok()
}
