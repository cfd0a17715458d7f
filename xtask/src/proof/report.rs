// SPDX-License-Identifier: BSD-2-Clause
//! The result: one line per property, the figures, and why a property does not hold.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::module::Arch;

/// A property and whether it holds.
struct Check {
    name: &'static str,
    figure: String,
    faults: Vec<String>,
}

/// All properties of one module.
pub(crate) struct Report {
    path: PathBuf,
    size: usize,
    arch: Arch,
    checks: Vec<Check>,
    figures: Map<String, Value>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(path: &Path, size: usize, arch: Arch) -> Self {
        Self {
            path: path.to_owned(),
            size,
            arch,
            checks: Vec::new(),
            figures: Map::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a property; it holds where `faults` is empty.
    pub(crate) fn check(&mut self, name: &'static str, figure: String, faults: Vec<String>) {
        self.checks.push(Check {
            name,
            figure,
            faults,
        });
    }

    /// Adds a figure for the JSON form.
    pub(crate) fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// Why a property does not hold.
    #[cfg(test)]
    pub(crate) fn faults(&self, name: &str) -> &[String] {
        let check = self.checks.iter().find(|check| check.name == name);
        &check.expect("no such property").faults
    }

    /// A figure.
    #[cfg(test)]
    pub(crate) fn value(&self, name: &str) -> &Value {
        &self.figures[name]
    }

    pub(crate) fn print(&self) {
        println!(
            "{} ({}, {} bytes)",
            self.path.display(),
            self.arch.name(),
            self.size
        );
        for check in &self.checks {
            let mark = if check.faults.is_empty() { "ok" } else { "NO" };
            println!("  {mark}  {:<44} {}", check.name, check.figure);
            for fault in &check.faults {
                println!("        {fault}");
            }
        }
        for note in &self.notes {
            println!("  {note}");
        }
    }

    pub(crate) fn json(&self) -> String {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "holds": check.faults.is_empty(),
                    "figure": check.figure,
                    "faults": check.faults,
                })
            })
            .collect();
        let all = json!({
            "module": self.path.file_name().map(|name| name.to_string_lossy()),
            "arch": self.arch.name(),
            "size": self.size,
            "checks": checks,
            "figures": self.figures,
        });
        format!("{all:#}\n")
    }

    /// Fails where a property does not hold.
    pub(crate) fn verdict(&self) -> Result<()> {
        let broken: Vec<&str> = self
            .checks
            .iter()
            .filter(|check| !check.faults.is_empty())
            .map(|check| check.name)
            .collect();
        if !broken.is_empty() {
            bail!("the module does not hold: {}", broken.join("; "));
        }
        Ok(())
    }
}
