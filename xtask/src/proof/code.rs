// SPDX-License-Identifier: BSD-2-Clause
//! The machine code as a call graph with the depth of the stack at each call.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;

use super::declared::Declared;
use super::module::{Arch, Module};
use super::report::Report;
use super::symbols::demangle;
use super::{amd64, arm64};

/// Where a call leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Callee {
    /// A function of the module, by index.
    Own(usize),
    /// A function of the kernel.
    Kernel(String),
    /// Through a pointer, or somewhere that no function of the module is.
    Unknown,
}

/// A call and how many bytes of stack the caller holds when it happens, return address included.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) callee: Callee,
    pub(crate) depth: u64,
}

/// What decoding one function gives.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) calls: Vec<Call>,
    /// Deepest stack of the function itself, in bytes below its return address.
    pub(crate) frame: u64,
    /// Instructions on floating point or vector registers.
    pub(crate) float: Vec<String>,
    /// Why its stack cannot be bounded.
    pub(crate) unbounded: Option<String>,
}

/// The functions of a module and their calls.
pub(crate) struct Code {
    pub(crate) names: Vec<String>,
    pub(crate) bodies: Vec<Body>,
    pub(crate) instructions: usize,
}

impl Code {
    pub(crate) fn decode(module: &Module, declared: &Declared) -> Result<Self> {
        let names: Vec<String> = module.functions.iter().map(|f| demangle(&f.name)).collect();
        let mut code = Self {
            bodies: Vec::with_capacity(names.len()),
            names,
            instructions: 0,
        };
        let branches: BTreeMap<u64, &super::module::Target> = module
            .relocs
            .iter()
            .filter(|reloc| reloc.section == ".text")
            .map(|reloc| (reloc.offset, &reloc.target))
            .collect();
        for function in &module.functions {
            let (mut body, count) = match module.arch {
                Arch::Amd64 => amd64::body(module, function, &branches),
                Arch::Arm64 => arm64::body(module, function),
            };
            code.instructions += count;
            code.declare(&mut body, &demangle(&function.name), declared);
            code.bodies.push(body);
        }
        Ok(code)
    }

    /// Replaces calls through pointers by where they are declared to lead.
    fn declare(&self, body: &mut Body, name: &str, declared: &Declared) {
        let Some(targets) = declared.indirect.get(name) else {
            return;
        };
        let callees: Vec<Callee> = targets
            .iter()
            .map(|target| match self.names.iter().position(|n| n == target) {
                Some(index) => Callee::Own(index),
                None if target == "kernel" => Callee::Kernel("(through a pointer)".to_owned()),
                None => Callee::Unknown,
            })
            .collect();
        let calls = std::mem::take(&mut body.calls);
        for call in calls {
            if call.callee == Callee::Unknown {
                body.calls.extend(callees.iter().map(|callee| Call {
                    callee: callee.clone(),
                    depth: call.depth,
                }));
            } else {
                body.calls.push(call);
            }
        }
    }

    /// Up to `most` of the shortest chains from a function that nothing in the module calls to a
    /// kernel symbol, written out.
    pub(crate) fn ways_to(&self, symbol: &str, most: usize) -> Vec<String> {
        let mut next: Vec<Option<usize>> = vec![None; self.names.len()];
        let mut seen = vec![false; self.names.len()];
        let mut queue = VecDeque::new();
        for (index, body) in self.bodies.iter().enumerate() {
            let wanted = Callee::Kernel(symbol.to_owned());
            if body.calls.iter().any(|call| call.callee == wanted) {
                seen[index] = true;
                queue.push_back(index);
            }
        }
        let mut ends = Vec::new();
        while let Some(at) = queue.pop_front() {
            let mut callers = 0;
            for (caller, body) in self.bodies.iter().enumerate() {
                if body.calls.iter().any(|call| call.callee == Callee::Own(at)) {
                    callers += 1;
                    if !seen[caller] {
                        seen[caller] = true;
                        next[caller] = Some(at);
                        queue.push_back(caller);
                    }
                }
            }
            if callers == 0 {
                ends.push(at);
            }
        }
        ends.iter()
            .take(most)
            .map(|end| {
                let mut way = self.names[*end].clone();
                let mut at = *end;
                while let Some(to) = next[at] {
                    way.push_str(" > ");
                    way.push_str(&self.names[to]);
                    at = to;
                }
                way
            })
            .collect()
    }
}

/// No instruction touches floating point or vector registers: the kernel does not save them.
pub(crate) fn check(code: &Code, report: &mut Report) {
    let mut faults = Vec::new();
    for (name, body) in code.names.iter().zip(&code.bodies) {
        faults.extend(body.float.iter().map(|what| format!("{name}: {what}")));
    }
    report.figure("instructions", code.instructions);
    report.figure("functions", code.names.len());
    report.check(
        "no floating point or vector instruction",
        format!(
            "{} instructions in {} functions",
            code.instructions,
            code.names.len()
        ),
        faults,
    );
}
