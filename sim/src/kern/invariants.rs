// SPDX-License-Identifier: BSD-2-Clause
//! Whether the kernel's tables agree with one another; for tests and fuzzing.

use super::Kern;
use super::proc::Place;
use super::types::{FileId, Pid, ProcId, Tid};
use std::collections::BTreeMap;

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// I2: the thread is in more or fewer places than one.
    Thread(Tid),
    /// I3: the process is not where it says it is.
    Proc(ProcId),
    /// I3: the group's members or its session disagree.
    Pgrp(Pid),
    /// The session's count is wrong.
    Session(Pid),
    /// The file's count is not that of its descriptors.
    File(FileId),
    /// Memory: entries, chains or counts.
    Memory,
}

impl Kern {
    /// Checks I2, I3 and the counts of files and memory.
    ///
    /// # Errors
    /// The first thing found that does not agree.
    pub fn invariants(&self) -> Result<(), Broken> {
        for thread in self.threads.values() {
            self.check_thread(thread.tid)?;
        }
        for proc in self.procs.values() {
            self.check_proc(proc.id)?;
        }
        for (&id, pgrp) in &self.pgrps {
            let members = pgrp.members.iter();
            let agree = members
                .clone()
                .all(|p| self.procs.get(p).is_some_and(|p| p.pgrp == id));
            if !agree || pgrp.members.is_empty() || !self.sessions.contains_key(&pgrp.session) {
                return Err(Broken::Pgrp(id));
            }
        }
        for (&sid, session) in &self.sessions {
            let groups = self
                .pgrps
                .values()
                .filter(|pgrp| pgrp.session == sid)
                .count();
            if usize::try_from(session.groups) != Ok(groups) {
                return Err(Broken::Session(sid));
            }
        }
        self.check_files()?;
        let spaces = self.vmspaces.values().all(|space| space.invariants());
        if !spaces || !self.objects.invariants() {
            return Err(Broken::Memory);
        }
        Ok(())
    }

    fn check_thread(&self, td: Tid) -> Result<(), Broken> {
        let thread = self.threads.get(&td).ok_or(Broken::Thread(td))?;
        let placed = match thread.place {
            Place::Nowhere => thread.asleep || self.is_stopped(thread.proc),
            Place::Queue(turn) => !thread.asleep && self.runq.get(&turn) == Some(&td),
            Place::Cpu(cpu, _) => {
                let cpu = self.cpus.get(cpu);
                !thread.asleep && cpu.is_some_and(|cpu| cpu.current == Some(td))
            }
        };
        let waits = !thread.asleep
            || thread.wait.as_ref().is_some_and(|wait| {
                wait.chans.iter().all(|chan| {
                    let queue = self.sleepq.get(chan);
                    queue.and_then(|queue| queue.get(&wait.turn)) == Some(&td)
                })
            });
        let listed = self.procs.get(&thread.proc);
        let listed = listed.is_some_and(|proc| proc.threads.contains(&td));
        if placed && waits && listed {
            Ok(())
        } else {
            Err(Broken::Thread(td))
        }
    }

    fn check_proc(&self, p: ProcId) -> Result<(), Broken> {
        let proc = self.procs.get(&p).ok_or(Broken::Proc(p))?;
        let parent = self.procs.get(&proc.parent);
        let child = proc.parent == p || parent.is_some_and(|par| par.children.contains(&p));
        let pgrp = self.pgrps.get(&proc.pgrp);
        let member = pgrp.is_some_and(|pgrp| pgrp.members.contains(&p));
        let reaper = self
            .procs
            .get(&proc.reaper)
            .is_some_and(|reaper| reaper.is_reaper);
        let named = self.pids.get(&proc.pid) == Some(&p);
        let threads = proc.threads.iter().all(|td| self.threads.contains_key(td));
        let memory = proc.is_zombie() || self.vmspaces.contains_key(&proc.vm);
        if child && member && reaper && named && threads && memory {
            Ok(())
        } else {
            Err(Broken::Proc(p))
        }
    }

    fn check_files(&self) -> Result<(), Broken> {
        let mut counts: BTreeMap<FileId, u32> = BTreeMap::new();
        for proc in self.procs.values() {
            for fde in proc.fds.fds.values() {
                *counts.entry(fde.file).or_default() += 1;
            }
        }
        for (&id, file) in &self.files {
            if counts.remove(&id) != Some(file.refs) {
                return Err(Broken::File(id));
            }
        }
        counts
            .keys()
            .next()
            .map_or(Ok(()), |&id| Err(Broken::File(id)))
    }
}
