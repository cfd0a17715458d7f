// SPDX-License-Identifier: BSD-2-Clause
//! The programs of a scenario and what has become of them.
//!
//! A program is known by where it runs and its number there; both stay when its instance moves.

use super::World;
use super::scenario::ProgramSpec;
use super::trace::Place;
use crate::guest;
use crate::kern::proc::Ucred;
use crate::kern::trace::TraceItem;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Bytes of a program's console output that are kept, for reports; a guest may write without end.
const OUTPUT_MAX: usize = 1 << 20;

/// What has become of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Where it runs and its number there, once started.
    pub place: Option<(String, i32)>,
    /// What it and its children wrote to the console, as far as it is kept.
    pub output: String,
    /// Exit value, and the signal it died of or 0, once it has ended.
    pub ended: Option<(i32, i32)>,
    /// Why it could not be started.
    pub refused: Option<String>,
    /// Texts that it must write and has not written yet.
    pub missing: Vec<String>,
}

impl Fate {
    /// Of a program that must write these texts.
    fn new(expected: &[String]) -> Self {
        let missing = expected.iter().filter(|text| !text.is_empty());
        Self {
            missing: missing.cloned().collect(),
            ..Self::default()
        }
    }

    /// Keeps what was written, up to [`OUTPUT_MAX`] bytes in all.
    fn write(&mut self, text: &str) {
        let before = self.output.len();
        let room = OUTPUT_MAX.saturating_sub(before);
        self.output
            .push_str(&text[..text.floor_char_boundary(room)]);
        // A text may have begun in what was there; the rest was looked through when it came.
        let output = &self.output;
        self.missing.retain(|wanted| {
            let from = output.floor_char_boundary(before.saturating_sub(wanted.len()));
            !output[from..].contains(wanted.as_str())
        });
    }
}

/// All programs, by their index in the scenario.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// One for each program of the scenario.
    pub fates: Vec<Fate>,
    texts: Vec<guest::Program>,
    by_place: BTreeMap<(String, i32), usize>,
}

impl Programs {
    /// Programs that have not started, with their texts, for what a scenario demands of them.
    pub fn new(specs: &[ProgramSpec], texts: Vec<guest::Program>) -> Self {
        let fates = specs.iter().map(|spec| Fate::new(&spec.expect_output));
        let fates = fates.collect();
        Self {
            fates,
            texts,
            by_place: BTreeMap::new(),
        }
    }

    /// Notes what an item tells of a program.
    pub fn note(&mut self, place: &Place, item: &TraceItem) {
        let key = (place.instance.clone(), place.pid);
        let Some(fate) = self.by_place.get(&key).and_then(|i| self.fates.get_mut(*i)) else {
            return;
        };
        match item {
            TraceItem::Exit { status, signo, .. } => fate.ended = Some((*status, *signo)),
            TraceItem::Console { text, .. } => fate.write(&String::from_utf8_lossy(text)),
            _ => {}
        }
    }

    /// Whether every program has been started, or refused.
    pub fn all_started(&self) -> bool {
        let known = |fate: &Fate| fate.place.is_some() || fate.refused.is_some();
        self.fates.iter().all(known)
    }

    /// From now on what the process at `place` does is the program's.
    fn started(&mut self, index: usize, place: (String, i32)) {
        self.by_place.insert(place.clone(), index);
        if let Some(fate) = self.fates.get_mut(index) {
            fate.place = Some(place);
        }
    }
}

impl World {
    /// Starts a program of the scenario where its place is now.
    pub(super) fn start_program(&mut self, index: usize) {
        let refused = self.try_start(index).err();
        if let (Some(why), Some(fate)) = (refused, self.programs.fates.get_mut(index)) {
            fate.refused = Some(why);
        }
    }

    fn try_start(&mut self, index: usize) -> Result<(), String> {
        let spec = self.scenario.program.get(index).ok_or("no such program")?;
        let text = self
            .programs
            .texts
            .get(index)
            .ok_or("no such program")?
            .clone();
        let (place, name) = (spec.place.get_ref().clone(), spec.name.get_ref().clone());
        let (host, instance) = self.find(&place).ok_or(format!("{place} is on no host"))?;
        let now = self.now();
        let machine = self.hosts.get_mut(host).ok_or("no such host")?;
        machine.kern.run_callouts(now, &mut machine.join);
        let path = format!("/scenario/{name}");
        machine.kern.install_program(&path, text);
        let p = machine
            .kern
            .spawn(&mut machine.join, &path, &[], Ucred::default())
            .map_err(|errno| format!("spawn: {errno}"))?;
        if let Some(instance) = instance
            && let Err(errno) = machine.join.attach(&mut machine.kern, p, instance)
        {
            machine.kern.psignal(p, crate::kern::types::SIGKILL, None);
            return Err(format!("entering {place}: {errno}"));
        }
        machine.forget_place(p);
        let at = machine.place(p, None);
        self.programs.started(index, (at.instance, at.pid));
        self.settle(host);
        Ok(())
    }

    /// The host where a place is, and the instance if it is one.
    pub fn find(&self, place: &str) -> Option<(usize, Option<vpscore::types::InstanceId>)> {
        if let Some(host) = self.hosts.iter().position(|host| host.name == place) {
            return Some((host, None));
        }
        self.hosts.iter().enumerate().find_map(|(host, machine)| {
            let instance = machine.instance(place)?;
            Some((host, Some(instance)))
        })
    }

    /// Whether every program that must end has ended, and every other one has written what it must.
    pub fn all_ended(&self) -> bool {
        let specs = self.scenario.program.iter().zip(&self.programs.fates);
        specs.into_iter().all(|(spec, fate)| {
            let done = spec.expect_exit.is_none() && fate.missing.is_empty();
            done || fate.ended.is_some() || fate.refused.is_some()
        })
    }

    /// When a program that was to start at `ms` starts.
    pub(super) fn at_ms(ms: u64) -> Instant {
        Instant::BOOT.after(crate::time::Duration::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_without_end_is_kept_up_to_its_bound() {
        let mut fate = Fate::default();
        for _ in 0..=OUTPUT_MAX / 1_000 {
            fate.write(&"é".repeat(500));
        }
        assert_eq!(fate.output.len(), OUTPUT_MAX);
        assert!(fate.output.starts_with("éé"));
    }

    #[test]
    fn a_text_is_found_however_it_is_cut_into_writes() {
        let all = "é one é two";
        for cut in (0..=all.len()).filter(|at| all.is_char_boundary(*at)) {
            let mut fate = Fate::new(&["one é".into(), "é two".into(), "three".into(), "".into()]);
            fate.write(&all[..cut]);
            fate.write(&all[cut..]);
            assert_eq!(fate.missing, ["three"], "cut at {cut}");
        }
    }
}
