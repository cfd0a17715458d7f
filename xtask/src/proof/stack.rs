// SPDX-License-Identifier: BSD-2-Clause
//! How deep the module's part of a kernel stack gets.
//!
//! A kernel thread has four pages (`KSTACK_PAGES`) for everything: the kernel's way to us, our
//! frames, and what we call. The deepest chain of our own frames is computed over the call graph
//! and held below a ceiling. A call through a pointer is a fault unless `stack.allow` says where
//! it leads; so is a recursion unless it says how deep.

use super::code::{Callee, Code};
use super::declared::Declared;
use super::report::Report;

/// The deepest way down from one function.
#[derive(Clone, Default)]
struct Deepest {
    bytes: u64,
    next: Option<usize>,
}

struct Search<'a> {
    code: &'a Code,
    declared: &'a Declared,
    known: Vec<Option<Deepest>>,
    path: Vec<usize>,
    faults: Vec<String>,
}

pub(crate) fn check(code: &Code, declared: &Declared, report: &mut Report) {
    let mut search = Search {
        code,
        declared,
        known: vec![None; code.names.len()],
        path: Vec::new(),
        faults: Vec::new(),
    };
    for index in 0..code.names.len() {
        search.deepest(index);
    }
    let mut faults = search.faults;
    for (name, body) in code.names.iter().zip(&code.bodies) {
        if let Some(why) = &body.unbounded {
            faults.push(format!("{name}: {why}"));
        }
        if body.calls.iter().any(|call| call.callee == Callee::Unknown) {
            faults.push(format!("{name}: calls through a pointer, undeclared"));
        }
    }
    let known: Vec<Deepest> = search
        .known
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect();
    let top = (0..known.len()).max_by_key(|index| known[*index].bytes);
    let bytes = top.map_or(0, |index| known[index].bytes);
    if bytes > declared.ceiling {
        faults.push(format!("{bytes} bytes, ceiling {}", declared.ceiling));
    }
    let mut chain = Vec::new();
    let mut at = top;
    while let Some(index) = at {
        chain.push(format!(
            "{} ({})",
            code.names[index], code.bodies[index].frame
        ));
        at = known[index].next;
    }
    let (frame, who) = code
        .bodies
        .iter()
        .zip(&code.names)
        .map(|(body, name)| (body.frame, name.as_str()))
        .max()
        .unwrap_or_default();
    report.figure("stack_deepest", bytes);
    report.figure("stack_ceiling", declared.ceiling);
    report.figure("stack_chain", serde_json::json!(chain));
    report.figure("frame_largest", frame);
    report.check(
        "stack within its ceiling",
        format!("deepest chain {bytes} of {} bytes", declared.ceiling),
        faults,
    );
    report.note(format!("deepest chain: {}", chain.join(" > ")));
    report.note(format!("largest frame: {who} ({frame})"));
}

impl Search<'_> {
    /// Bytes below `index`'s return address, its callees' included.
    fn deepest(&mut self, index: usize) -> u64 {
        if let Some(known) = &self.known[index] {
            return known.bytes;
        }
        if self.path.contains(&index) {
            return 0;
        }
        self.path.push(index);
        let code = self.code;
        let body = &code.bodies[index];
        let mut best = Deepest {
            bytes: body.frame,
            next: None,
        };
        for call in &body.calls {
            let Callee::Own(callee) = call.callee else {
                best.bytes = best.bytes.max(call.depth);
                continue;
            };
            let bytes = if self.path.contains(&callee) {
                self.recursion(callee)
            } else {
                call.depth + self.deepest(callee)
            };
            if bytes > best.bytes {
                best = Deepest {
                    bytes,
                    next: Some(callee).filter(|callee| !self.path.contains(callee)),
                };
            }
        }
        self.path.pop();
        let bytes = best.bytes;
        self.known[index] = Some(best);
        bytes
    }

    /// A cycle back to `callee`: what its rounds cost, where it is declared how many they are.
    fn recursion(&mut self, callee: usize) -> u64 {
        let from = self
            .path
            .iter()
            .position(|index| *index == callee)
            .unwrap_or(0);
        let cycle = &self.path[from..];
        let round: u64 = cycle
            .iter()
            .map(|index| self.code.bodies[*index].frame + 8)
            .sum();
        let depth = cycle
            .iter()
            .find_map(|index| self.declared.recursion.get(&self.code.names[*index]));
        match depth {
            Some(depth) => round * depth,
            None => {
                let names: Vec<&str> = cycle
                    .iter()
                    .map(|index| self.code.names[*index].as_str())
                    .collect();
                self.faults
                    .push(format!("recursion, undeclared: {}", names.join(" > ")));
                0
            }
        }
    }
}
