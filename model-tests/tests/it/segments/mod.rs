// SPDX-License-Identifier: BSD-2-Clause
//! Every segment in every state: all combinations of flags, numbers at each edge of the window and of what was
//! sent, with and without text, over both versions of IP, under each rule that a sysctl loosens. What must come
//! of each is written down in `spec`; the scripts of `script` are judged by the stack as anybody's are.

mod script;
mod spec;

use script::{Case, Version, segments, view};
use sim::packetdrill::parser::parse;
use sim::packetdrill::run::Manner;
use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::moved::{Form, Moving, RunScript};
use spec::{Flags, Rules, State};

/// The rules that matter for a segment: FreeBSD's own, and each that loosens something for it.
fn rules(flags: Flags) -> Vec<Rules> {
    let usual = Rules::default();
    let mut all = vec![usual];
    if flags.rst {
        all.push(Rules {
            insecure_rst: true,
            ..usual
        });
    }
    if flags.syn {
        all.push(Rules {
            insecure_syn: true,
            ..usual
        });
    }
    if flags.syn && flags.fin {
        all.push(Rules {
            drop_synfin: true,
            ..usual
        });
    }
    all
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for state in State::ALL {
        for version in [Version::V4, Version::V6] {
            for segment in segments(view(version, state)) {
                all.extend(rules(segment.flags).into_iter().map(|rules| Case {
                    version,
                    rules,
                    state,
                    segment,
                }));
            }
        }
    }
    all
}

/// Scripts that do not end as they say, with their text.
fn wrong(how: &impl RunScript, cases: impl Iterator<Item = Case>) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let text = case.script();
        let script = parse(&text, &["FreeBSD"]).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let outcome = how.run_script(&script, Manner::default(), &mut |_, _, _| {});
        if let Some(failure) = outcome.failure {
            wrong.push(format!("{case:?}\n{text}{failure:#?}"));
        }
    }
    wrong
}

#[test]
fn every_segment_in_every_state_is_answered_as_the_table_says() {
    // All of them where that takes seconds; else every seventh, which are of every kind.
    let step = if cfg!(debug_assertions) { 7 } else { 1 };
    let wrong = wrong(&Emulated { seed: 1 }, some(step));
    assert!(
        wrong.is_empty(),
        "{} wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
}

/// Some of the cases, of every state, by a step that hits all flags and edges in turn.
fn some(step: usize) -> impl Iterator<Item = Case> {
    cases().into_iter().step_by(step)
}

fn moving(form: Form) -> Moving {
    Moving {
        emulated: Emulated { seed: 1 },
        form,
        remap: false,
    }
}

#[test]
fn moves_after_every_event_change_no_answer() {
    let wrong = wrong(&moving(Form::Every), some(251));
    assert!(
        wrong.is_empty(),
        "{} wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
}

#[test]
fn a_move_after_any_one_event_changes_no_answer() {
    let wrong = wrong(&moving(Form::Once), some(811));
    assert!(
        wrong.is_empty(),
        "{} wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
}
