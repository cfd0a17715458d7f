// SPDX-License-Identifier: BSD-2-Clause
//! Process groups, sessions, job control (`sys/kern/kern_proc.c`, `kern_prot.c`, 15.0).

use super::Kern;
use super::proc::{Pgrp, Session};
use super::types::{Pid, ProcId, SIGCONT, SIGHUP};
use crate::errno::Errno;

impl Kern {
    /// `enterpgrp`, `enterthispgrp`: puts the process into the group, made if it is not there yet,
    /// in the given session.
    pub(crate) fn enter_pgrp(&mut self, p: ProcId, id: Pid, session: Pid) {
        let before = self.orphan_candidates(p);
        self.leave_pgrp(p);
        let pgrp = self.pgrps.entry(id).or_insert_with(|| Pgrp {
            id,
            session,
            members: Vec::new(),
        });
        if pgrp.members.is_empty()
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.groups += 1;
        }
        pgrp.members.insert(0, p);
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.pgrp = id;
        }
        self.orphan_pgrps(&before);
    }

    /// `leavepgrp`: the last one deletes the group, the last group the session.
    pub(crate) fn leave_pgrp(&mut self, p: ProcId) {
        let Some(id) = self.procs.get(&p).map(|proc| proc.pgrp) else {
            return;
        };
        let Some(pgrp) = self.pgrps.get_mut(&id) else {
            return;
        };
        pgrp.members.retain(|&member| member != p);
        if !pgrp.members.is_empty() {
            return;
        }
        let sid = pgrp.session;
        self.pgrps.remove(&id);
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.groups = session.groups.saturating_sub(1);
            if session.groups == 0 {
                self.sessions.remove(&sid);
            }
        }
    }

    /// `sys_setsid`.
    pub(crate) fn setsid(&mut self, p: ProcId) -> Result<Pid, Errno> {
        let proc = self.procs.get(&p).ok_or(Errno::ESRCH)?;
        let id = proc.pid;
        if proc.pgrp == id || self.pgrps.contains_key(&id) {
            return Err(Errno::EPERM);
        }
        let session = Session {
            sid: id,
            leader: Some(p),
            groups: 0,
        };
        self.sessions.insert(id, session);
        self.enter_pgrp(p, id, id);
        Ok(id)
    }

    /// `sys_setpgid`, the target found already.
    pub(crate) fn setpgid(&mut self, cur: ProcId, target: ProcId, pgid: Pid) -> Result<(), Errno> {
        let session = self.session_of(cur).ok_or(Errno::ESRCH)?;
        let (pid, pgrp, parent, execed) = match self.procs.get(&target) {
            Some(proc) if !proc.is_zombie() => (proc.pid, proc.pgrp, proc.parent, proc.execed),
            _ => return Err(Errno::ESRCH),
        };
        if target != cur {
            if !self.is_descendant(parent, cur) {
                return Err(Errno::ESRCH);
            }
            if self.session_of(target) != Some(session) {
                return Err(Errno::EPERM);
            }
            if execed {
                return Err(Errno::EACCES);
            }
        }
        let leads = self.sessions.get(&session).and_then(|s| s.leader) == Some(target);
        if leads {
            return Err(Errno::EPERM);
        }
        let pgid = if pgid.0 == 0 { pid } else { pgid };
        match self.pgrps.get(&pgid) {
            None if pgid != pid => return Err(Errno::EPERM),
            None => {}
            Some(_) if pgid == pgrp => return Ok(()),
            Some(found) if found.session != session => return Err(Errno::EPERM),
            Some(_) => {}
        }
        self.enter_pgrp(target, pgid, session);
        Ok(())
    }

    /// `pg_jobc`: whether the group has a member whose parent is outside it but in its session,
    /// so that somebody could continue it.
    pub(crate) fn has_job_control(&self, id: Pid) -> bool {
        let Some(pgrp) = self.pgrps.get(&id) else {
            return false;
        };
        let counts = |p: &ProcId| {
            let parent = self.procs.get(p).filter(|proc| !proc.is_zombie())?.parent;
            let parent_pgrp = self.procs.get(&parent)?.pgrp;
            let session = self.pgrps.get(&parent_pgrp)?.session;
            Some(parent_pgrp != id && session == pgrp.session)
        };
        pgrp.members.iter().any(|p| counts(p) == Some(true))
    }

    /// The groups with job control that a change of this process could orphan: its own and its
    /// children's.
    pub(crate) fn orphan_candidates(&self, p: ProcId) -> Vec<Pid> {
        let Some(proc) = self.procs.get(&p) else {
            return Vec::new();
        };
        let children = proc.children.iter().filter_map(|c| self.procs.get(c));
        let mut ids: Vec<Pid> = children.map(|child| child.pgrp).collect();
        ids.push(proc.pgrp);
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| self.has_job_control(*id));
        ids
    }

    /// `orphanpg`: those of the groups that have lost their job control and have a stopped member
    /// are hung up and continued.
    pub(crate) fn orphan_pgrps(&mut self, candidates: &[Pid]) {
        for id in candidates {
            if self.has_job_control(*id) {
                continue;
            }
            let members = self.pgrps.get(id).map(|pgrp| pgrp.members.clone());
            let members = members.unwrap_or_default();
            let stopped = |p: &ProcId| self.procs.get(p).is_some_and(|proc| proc.stopped);
            if members.iter().any(stopped) {
                for p in members {
                    self.psignal(p, SIGHUP, None);
                    self.psignal(p, SIGCONT, None);
                }
            }
        }
    }

    /// `inferior`, from a process's parent on: whether it is `ancestor` or below it.
    fn is_descendant(&self, from: ProcId, ancestor: ProcId) -> bool {
        let mut at = from;
        for _ in 0..=self.procs.len() {
            if at == ancestor {
                return true;
            }
            match self.procs.get(&at) {
                Some(proc) if proc.parent != at => at = proc.parent,
                _ => return false,
            }
        }
        false
    }
}
