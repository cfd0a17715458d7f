// SPDX-License-Identifier: BSD-2-Clause
//! Putting back what processes have between them: ids, groups, sessions, turns; and taking all of it
//! away again where a restore fails half-way.

use super::Kern;
use super::file::FileKind;
use super::proc::{Pgrp, Place, Session, SigQueue};
use super::types::{FileId, Pid, PipeId, ProcId, Tid, VmId};
use crate::errno::Errno;
use std::collections::BTreeSet;

/// Where the kernel stood before a restore, and what that has made since.
#[derive(Clone, Debug, Default)]
pub struct RestoreMark {
    lastpid: i32,
    lasttid: i32,
    trace: usize,
    /// Address spaces made.
    pub vms: Vec<VmId>,
    /// Open files made.
    pub files: Vec<FileId>,
    /// Pipes made.
    pub pipes: Vec<PipeId>,
    /// Ids handed out.
    pub ids: BTreeSet<Pid>,
}

impl Kern {
    /// How many pages more it can hold.
    pub fn room_for_pages(&self) -> usize {
        let used = self.objects.resident();
        self.config.pages.saturating_sub(used)
    }

    /// How many processes more it can have.
    pub fn room_for_procs(&self) -> usize {
        self.config.maxproc.saturating_sub(self.procs.len())
    }

    /// Where the kernel stands.
    pub fn restore_mark(&self) -> RestoreMark {
        RestoreMark {
            lastpid: self.lastpid,
            lasttid: self.lasttid,
            trace: self.trace.len(),
            ..RestoreMark::default()
        }
    }

    /// Takes away what a failed restore has left when its prisons are gone, so that nothing shows
    /// that there was one.
    pub fn restore_undo(&mut self, mark: RestoreMark) {
        for file in mark.files {
            self.files.remove(&file);
        }
        for pipe in mark.pipes {
            self.pipes.remove(&pipe);
        }
        for vm in mark.vms {
            if let Some(mut space) = self.vmspaces.remove(&vm) {
                space.free(&mut self.objects);
            }
        }
        for id in mark.ids {
            self.pgrps.remove(&id);
            self.sessions.remove(&id);
        }
        (self.lastpid, self.lasttid) = (mark.lastpid, mark.lasttid);
        self.trace.truncate(mark.trace);
    }

    /// Hands out a process id that nothing carries yet and that `taken` has not; notes it there.
    ///
    /// # Errors
    /// `EAGAIN` where no id is free.
    pub fn restore_pid(&mut self, taken: &mut BTreeSet<Pid>) -> Result<Pid, Errno> {
        for _ in 0..=self.config.pid_max {
            let pid = self.find_pid().ok_or(Errno::EAGAIN)?;
            if taken.insert(pid) {
                return Ok(pid);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Hands out a thread id.
    ///
    /// # Errors
    /// `EAGAIN` where no id is free.
    pub fn restore_tid(&mut self) -> Result<Tid, Errno> {
        self.find_tid().ok_or(Errno::EAGAIN)
    }

    /// Adds a session whose leader, if it lives, is yet to come.
    pub fn restore_session(&mut self, sid: Pid) {
        self.sessions.insert(
            sid,
            Session {
                sid,
                leader: None,
                groups: 0,
            },
        );
    }

    /// Adds a group to a session that is there; its members are yet to come.
    pub fn restore_group(&mut self, id: Pid, session: Pid) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.groups += 1;
        }
        let members = Vec::new();
        self.pgrps.insert(
            id,
            Pgrp {
                id,
                session,
                members,
            },
        );
    }

    /// Puts the children, the group members, the threads into their order: the earlier in
    /// `procs` and `tids` the earlier in theirs, members by `place`. Makes the living process whose
    /// id a session has its leader.
    pub fn restore_orders(&mut self, procs: &[ProcId], tids: &[Tid], place: &[u32]) {
        let rank = |p: &ProcId| procs.iter().position(|q| q == p);
        for p in procs {
            let Some(proc) = self.procs.get_mut(p) else {
                continue;
            };
            proc.children.sort_by_key(rank);
            proc.threads
                .sort_by_key(|td| tids.iter().position(|t| t == td));
            let (pid, pgrp, zombie) = (proc.pid, proc.pgrp, proc.is_zombie());
            if let Some(session) = self.sessions.get_mut(&pid)
                && !zombie
            {
                session.leader = Some(*p);
            }
            if let Some(pgrp) = self.pgrps.get_mut(&pgrp) {
                pgrp.members
                    .sort_by_key(|p| rank(p).and_then(|at| place.get(at)));
            }
        }
    }

    /// Gives a restored process the signals that wait for it.
    pub fn restore_sigqueue(&mut self, p: ProcId, queue: SigQueue) {
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.sigqueue = queue;
        }
    }

    /// Gives the interval timer of a restored process its turn: after all that have one.
    pub fn restore_itimer_turn(&mut self, p: ProcId) {
        let order = self.unique();
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.itimer.order = order;
        }
    }

    /// Puts a thread that is on the run queue onto a processor, if that is free.
    pub(super) fn take_cpu(&mut self, tid: Tid, cpu: usize) {
        let free = self.cpus.get(cpu).is_some_and(|cpu| cpu.current.is_none());
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        if let Place::Queue(turn) = thread.place
            && free
        {
            self.runq.remove(&turn);
            thread.place = Place::Cpu(cpu, turn);
            if let Some(cpu) = self.cpus.get_mut(cpu) {
                cpu.current = Some(tid);
            }
        }
    }

    /// The kind of an open file, and whether it is non-blocking.
    pub fn file(&self, file: FileId) -> Option<(FileKind, bool)> {
        let file = self.files.get(&file)?;
        Some((file.kind, file.nonblock))
    }
}
