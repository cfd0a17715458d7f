// SPDX-License-Identifier: BSD-2-Clause
//! Scripts whose instance moves to another host while they run, against the same scripts without a move.
//!
//! To the script all must be as if the instance had stayed: the same packets with the same bytes at the same
//! moments, the same returns of its calls, the same callouts. So a script is run plain first, and what happens
//! with moves is compared with that, event by event. What the script itself makes of it is then the same too.
//!
//! * [`Form::Every`]: one more run, with a move after every event. Nothing is missed that two moves do together.
//! * [`Form::Once`]: one more run for every event, with one move after it and none before or later. So the
//!   event is known at which an image lacks something.
//! * [`Form::Each`][]: both.

use super::emulated::{Emulated, Moves, Travelling};
use super::stack::Happened;
use super::{Failure, Manner, Outcome, Watch, run_watched};
use crate::net::stack::InetVnet;
use crate::packetdrill::ast::Script;
use std::ops::RangeInclusive;

/// Runs a script in one way or another.
pub trait RunScript: Sync {
    /// What comes of it. Each packet is told to `watch`, as [`run_watched`] does.
    fn run_script<'w>(&self, script: &Script, manner: Manner, watch: &'w mut Watch<'w>) -> Outcome;
}

impl RunScript for Emulated {
    fn run_script<'w>(&self, script: &Script, manner: Manner, watch: &'w mut Watch<'w>) -> Outcome {
        run_watched(self, script, manner, watch)
    }
}

/// When the instance moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// After each event, in one run, and then in a run of its own for each: [`Form::Every`] and [`Form::Once`].
    Each,
    /// After every event, in one run.
    Every,
    /// After each event, in a run of its own that goes on to the end.
    Once,
    /// After this event only, counted from 1.
    At(usize),
}

/// Runs scripts with moves.
#[derive(Clone, Copy, Debug)]
pub struct Moving {
    /// The instance before its first move.
    pub emulated: Emulated,
    /// When it moves.
    pub form: Form,
    /// Whether each move gives it another address, behind a translation.
    pub remap: bool,
}

impl RunScript for Moving {
    fn run_script<'w>(&self, script: &Script, manner: Manner, watch: &'w mut Watch<'w>) -> Outcome {
        let plain = run_watched(&self.emulated, script, manner, watch);
        let comparison = Comparison {
            emulated: self.emulated,
            script,
            manner,
            remap: self.remap,
            lose: |_| {},
        };
        comparison.with(plain, self.form)
    }
}

impl Moving {
    /// What comes of a script.
    pub fn run(&self, script: &Script) -> Outcome {
        self.run_script(script, Manner::default(), &mut |_, _, _| {})
    }
}

/// The runs of one script that are compared with the plain one.
pub(super) struct Comparison<'a> {
    pub(super) emulated: Emulated,
    pub(super) script: &'a Script,
    pub(super) manner: Manner,
    pub(super) remap: bool,
    pub(super) lose: fn(&mut InetVnet),
}

impl Comparison<'_> {
    /// The plain run's outcome, or the first difference from it as a failure.
    pub(super) fn with(&self, plain: Outcome, form: Form) -> Outcome {
        let events = plain.happened.len();
        match form {
            Form::Each => {
                let every = self.every(plain);
                if every.move_seen {
                    return every;
                }
                let (runs, moves) = (every.runs, every.moves);
                let once = self.once(every, 1..=events);
                let (runs, moves) = (runs + once.runs - 1, moves + once.moves);
                once.having(runs, moves)
            }
            Form::Every => self.every(plain),
            Form::Once => self.once(plain, 1..=events),
            Form::At(event) if (1..=events).contains(&event) => self.once(plain, event..=event),
            Form::At(event) => {
                let what = format!("there is no event {event} to move after, only {events}");
                Outcome {
                    failure: Some(Failure::at(0, what)),
                    ..plain
                }
            }
        }
    }

    fn moving(&self, moves: Moves) -> Outcome {
        let travelling = Travelling {
            emulated: self.emulated,
            moves,
            // A signature covers the addresses, so that a script with a key for it has to keep its own.
            remap: self.remap && self.script.options.md5_secret.is_none(),
            lose: self.lose,
        };
        run_watched(&travelling, self.script, self.manner, &mut |_, _, _| {})
    }

    fn every(&self, plain: Outcome) -> Outcome {
        let moved = self.moving(Moves::Each);
        let moves = moved.happened.len();
        let Some(difference) = difference(&plain, &moved) else {
            return plain.having(2, moves);
        };
        // No later move can have done it.
        let culprits = 1..=difference.event.min(plain.happened.len());
        let searched = self.once(plain.clone(), culprits);
        if searched.culprit.is_some() {
            return searched;
        }
        let what = "moves after every event, though none alone";
        let (runs, moves) = (searched.runs + 1, searched.moves + moves);
        let failure = Some(difference.failure(&plain, what.to_owned()));
        let move_seen = true;
        Outcome {
            failure,
            move_seen,
            ..plain
        }
        .having(runs, moves)
    }

    fn once(&self, plain: Outcome, events: RangeInclusive<usize>) -> Outcome {
        let mut runs = 1;
        for event in events {
            let moved = self.moving(Moves::After(event));
            runs += 1;
            let Some(difference) = difference(&plain, &moved) else {
                continue;
            };
            let after = event.checked_sub(1).and_then(|i| plain.happened.get(i));
            let name = after.map(tell).unwrap_or_default();
            let what = format!("a move after event {event} ({name})");
            let failure = difference.failure(&plain, what);
            let line = plain.line_of(event).unwrap_or(failure.line);
            let failed = Outcome {
                failure: Some(Failure { line, ..failure }),
                culprit: Some(event),
                move_seen: true,
                ..plain
            };
            return failed.having(runs, runs - 1);
        }
        plain.having(runs, runs - 1)
    }
}

impl Outcome {
    fn having(self, runs: usize, moves: usize) -> Self {
        Self {
            runs,
            moves,
            ..self
        }
    }
}

/// The first event at which two runs of one script differ.
struct Difference {
    /// Counted from 1; one more than there are where only the end differs.
    event: usize,
    /// What happened without a move.
    plain: String,
    /// What happened with it.
    moved: String,
}

impl Difference {
    fn failure(self, plain: &Outcome, what: String) -> Failure {
        let line = plain.line_of(self.event).unwrap_or(0);
        let what = format!("{what} is seen at event {}", self.event);
        Failure::at(line, what).with(self.plain, self.moved)
    }
}

fn difference(plain: &Outcome, moved: &Outcome) -> Option<Difference> {
    let longer = plain.happened.len().max(moved.happened.len());
    let other = (0..longer).find(|i| plain.happened.get(*i) != moved.happened.get(*i));
    if let Some(first) = other {
        let at = |outcome: &Outcome| {
            let failure = || match &outcome.failure {
                Some(failure) => format!("the end: {}", failure.what),
                None => "the end".to_owned(),
            };
            // Where the instance was lost, nothing that came after tells more than why.
            let next = outcome.happened.get(first).filter(|_| !outcome.broken);
            next.map_or_else(failure, tell)
        };
        return Some(Difference {
            event: first + 1,
            plain: at(plain),
            moved: at(moved),
        });
    }
    let ends = |outcome: &Outcome| {
        let Outcome {
            failure,
            warnings,
            took,
            ..
        } = outcome;
        let failure = failure.as_ref().map(|failure| failure.what.clone());
        let us = took.as_micros();
        format!("{failure:?} after {us} us, {} warnings", warnings.len())
    };
    let same = plain.failure == moved.failure
        && plain.warnings == moved.warnings
        && plain.took == moved.took;
    (!same).then(|| Difference {
        event: longer + 1,
        plain: ends(plain),
        moved: ends(moved),
    })
}

/// An event in words; of a packet so much that two can be told apart.
fn tell(happened: &Happened) -> String {
    let us = happened.at.as_micros();
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    format!("{} at {s}.{us:06} s", happened.what.name())
}
