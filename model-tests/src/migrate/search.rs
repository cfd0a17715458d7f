// SPDX-License-Identifier: BSD-2-Clause
//! The search through all states.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use vpscore::migrate::source;

use super::{Faults, Step, World};

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored {
    /// Different states reached.
    pub states: usize,
    /// Steps taken from them.
    pub steps: usize,
    /// States in which the target runs it.
    pub moved: usize,
    /// States in which it is lost.
    pub lost: usize,
    /// States past the commit point in which nobody runs it.
    pub nowhere: usize,
}

fn print_of(world: &World) -> u128 {
    let mut halves = [0_u64; 2];
    for (salt, half) in halves.iter_mut().enumerate() {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        *half = hasher.finish();
    }
    u128::from(halves[0]) << 64 | u128::from(halves[1])
}

/// Goes through every state that `faults` allow, breadth first, checking each and that it settles.
///
/// # Errors
/// The shortest history that breaks a rule, and the rule.
pub fn explore(faults: &Faults) -> Result<Explored, String> {
    let mut found = Explored {
        states: 0,
        steps: 0,
        moved: 0,
        lost: 0,
        nowhere: 0,
    };
    let start = World::new();
    let mut seen = BTreeMap::from([(print_of(&start), 0_usize)]);
    let mut history: Vec<(usize, Option<Step>)> = vec![(0, None)];
    let mut level = vec![(0_usize, start)];
    while !level.is_empty() {
        let mut below = Vec::new();
        for (id, world) in level {
            world
                .check()
                .map_err(String::from)
                .and_then(|()| world.settles())
                .map_err(|rule| told(&history, id, &rule))?;
            found.states += 1;
            found.moved += usize::from(world.t.runs);
            found.lost += usize::from(
                world
                    .source
                    .as_ref()
                    .is_some_and(|s| s.phase() == source::Phase::Lost),
            );
            found.nowhere += usize::from(world.committed && !world.t.runs && !world.s.runs);
            for step in world.steps(faults) {
                found.steps += 1;
                let next = world.after(step, faults);
                let fresh = history.len();
                let known = *seen.entry(print_of(&next)).or_insert(fresh);
                if known == fresh {
                    history.push((id, Some(step)));
                    below.push((fresh, next));
                }
            }
        }
        level = below;
    }
    Ok(found)
}

fn told(history: &[(usize, Option<Step>)], end: usize, rule: &str) -> String {
    let mut lines = Vec::new();
    let mut at = end;
    while let Some((before, Some(step))) = history.get(at) {
        lines.push(format!("{step:?}"));
        at = *before;
    }
    lines.reverse();
    format!("{rule}\nafter:\n{}", lines.join("\n"))
}
