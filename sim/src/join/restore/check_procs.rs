// SPDX-License-Identifier: BSD-2-Clause
//! Whether processes, groups and turns of an image agree with one another and with this kernel.

use super::RestoreError;
use super::check::{contradiction, fixed, unsupported};
use super::staged::{Staged, StagedProc};
use crate::join::capture::OSRELDATE;
use crate::join::capture::procs::{
    RLIM_INFINITY, RLIM_NLIMITS, RLIMIT_NOFILE, RLIMIT_VMEM, SIGPARENT, flags,
};
use crate::kern::Config;
use crate::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use vpscore::image::schema::{
    Abi, Blocked, Pgrp, Proc, ProcState, Rlimit, Rusage, Session, Sigqueue, Thread,
};

impl Staged {
    pub(super) fn check_procs(&self, config: &Config) -> Result<(), RestoreError> {
        self.check_named()?;
        self.check_turns()?;
        let levels = self.levels();
        let mut seen: BTreeMap<u32, &StagedProc> = BTreeMap::new();
        for proc in &self.procs {
            let (id, record) = (proc.id, &proc.record);
            if levels.get(&self.instance_of(record)) != Some(&record.p_pid.len()) {
                return Err(contradiction::<Proc>(id, Proc::p_pid));
            }
            check_constants(id, record)?;
            self.check_limits(id, record, config)?;
            let alive = |proc: &&&StagedProc| proc.record.p_state == ProcState::Normal;
            let parent = record.p_pptr.map(|parent| parent.id());
            if parent.is_some_and(|id| seen.get(&id).filter(alive).is_none()) {
                return Err(contradiction::<Proc>(id, Proc::p_pptr));
            }
            let reaper = record.p_reaper.and_then(|reaper| seen.get(&reaper.id()));
            let reaps = reaper.is_some_and(|r| r.record.p_treeflag == flags::TREE_REAPER);
            if record.p_reaper.is_some() && !reaps {
                return Err(contradiction::<Proc>(id, Proc::p_reaper));
            }
            if let Some(space) = record.p_vmspace {
                let shares = self.procs.iter().find(|other| {
                    let named = other.record.p_vmspace.map(|space| space.id());
                    named == Some(space.id())
                });
                let limit = |proc: &Proc| proc.p_limit.get(RLIMIT_VMEM).copied();
                if shares.map(|other| limit(&other.record)) != Some(limit(record)) {
                    return Err(contradiction::<Proc>(id, Proc::p_limit));
                }
            }
            let acts = record.p_sigacts.map(|acts| acts.id());
            let again = |other: &&StagedProc| other.record.p_sigacts.map(|acts| acts.id()) == acts;
            if acts.is_some() && seen.values().any(again) {
                return Err(unsupported::<Proc>(id, Proc::p_sigacts));
            }
            for thread in &proc.threads {
                super::threads::check(proc, thread, config)?;
            }
            seen.insert(id, proc);
        }
        Ok(())
    }

    /// Places are counted from 0 without a gap: of the members of each group, of the threads that can
    /// run, and of what is due and who sleeps.
    fn check_turns(&self) -> Result<(), RestoreError> {
        let mut members: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let (mut running, mut due) = (BTreeSet::new(), BTreeSet::new());
        let (mut run, mut sleep) = (0, 0);
        for proc in &self.procs {
            let group = members.entry(proc.record.p_pgrp.id()).or_default();
            group.insert(proc.record.p_pglist);
            let sleepers = proc
                .threads
                .iter()
                .filter_map(|thread| thread.blocked.as_ref());
            let sleepers = sleepers.filter(|blocked| blocked.woken.is_none());
            for seq in sleepers.map(|blocked| blocked.sleepq_seq) {
                sleep += 1;
                due.extend(seq);
            }
            if let Some(timer) = &proc.record.itimer_real {
                sleep += 1;
                due.extend(timer.seq);
            }
            for seq in proc.threads.iter().filter_map(|thread| thread.runq_seq) {
                run += 1;
                running.insert(seq);
            }
        }
        for (id, places) in &members {
            let count = self
                .procs
                .iter()
                .filter(|p| p.record.p_pgrp.id() == *id)
                .count();
            if !dense(places, count) {
                return Err(contradiction::<Proc>(*id, Proc::p_pglist));
            }
        }
        if !dense(&running, run) {
            return Err(contradiction::<Thread>(0, Thread::runq_seq));
        }
        if !dense(&due, sleep) {
            return Err(contradiction::<Blocked>(0, Blocked::sleepq_seq));
        }
        Ok(())
    }

    /// A group or session has all the numbers of the process that it is named after.
    fn check_named(&self) -> Result<(), RestoreError> {
        let agrees = |instance: u32, list: &[i32]| {
            let mut procs = self.procs.iter();
            let leader = procs.find(|proc| Some(&proc.number()) == list.first());
            leader.is_none_or(|leader| {
                leader.record.p_pid.as_slice() == list
                    && self.instance_of(&leader.record) == instance
            })
        };
        for (id, session) in &self.sessions {
            if !agrees(session.instance.id(), session.s_sid.as_slice()) {
                return Err(contradiction::<Session>(*id, Session::s_sid));
            }
        }
        for (id, pgrp) in &self.pgrps {
            if !agrees(pgrp.instance.id(), pgrp.pg_id.as_slice()) {
                return Err(contradiction::<Pgrp>(*id, Pgrp::pg_id));
            }
        }
        for proc in &self.procs {
            let list = proc.record.p_reapsubtree.as_slice();
            let head = self
                .procs
                .iter()
                .find(|head| Some(&head.number()) == list.first());
            let own = head.map(|head| head.record.p_pid.iter().chain([&0; 8]));
            let fits = own.is_none_or(|own| own.zip(list).all(|(own, said)| own == said));
            let outside = list.first() == Some(&0) && list.iter().any(|said| *said != 0);
            if !fits || outside {
                return Err(contradiction::<Proc>(proc.id, Proc::p_reapsubtree));
            }
        }
        Ok(())
    }

    fn check_limits(&self, id: u32, record: &Proc, config: &Config) -> Result<(), RestoreError> {
        let refused = || unsupported::<Proc>(id, Proc::p_limit);
        if record.p_state == ProcState::Zombie {
            return record.p_limit.is_empty().then_some(()).ok_or_else(refused);
        }
        if record.p_limit.len() != RLIM_NLIMITS {
            return Err(refused());
        }
        for (resource, limit) in record.p_limit.iter().enumerate() {
            let fits = match resource {
                RLIMIT_NOFILE => limit.rlim_cur == config.nofile as u64,
                RLIMIT_VMEM => limit.rlim_cur <= config.vmem_max,
                _ => limit.rlim_cur == RLIM_INFINITY,
            };
            if !fits || limit.rlim_max != limit.rlim_cur {
                return Err(unsupported::<Rlimit>(id, Rlimit::rlim_cur));
            }
        }
        Ok(())
    }
}

fn check_constants(id: u32, record: &Proc) -> Result<(), RestoreError> {
    fixed!(
        id,
        record,
        Proc {
            p_flag2: 0,
            p_abi: Abi::SimLp64,
            p_osrel: OSRELDATE as i32,
            p_sigparent: SIGPARENT,
            p_pdeathsig: 0,
            p_acflag: 0,
            p_nice: 0,
            p_cru: Rusage::default(),
            p_start: Duration::ZERO,
            itimer_virtual: None,
            itimer_prof: None,
        }
    );
    let used = Rusage {
        ru_utime: record.p_ru.ru_utime,
        ..Rusage::default()
    };
    fixed!(id, record, Proc { p_ru: used });
    let zombie = record.p_state == ProcState::Zombie;
    let stopped = record.p_flag & flags::STOPPED_SIG != 0;
    let lasting = if zombie {
        flags::EXEC | flags::CONTINUED
    } else {
        flags::ALL
    };
    for (bad, key) in [
        (!record.p_args.is_empty(), Proc::p_args),
        (!record.p_textpath.is_empty(), Proc::p_textpath),
        (
            std::str::from_utf8(record.p_comm.as_slice()).is_err(),
            Proc::p_comm,
        ),
        (
            record.p_treeflag & !flags::TREE_REAPER != 0,
            Proc::p_treeflag,
        ),
        (record.p_flag & !lasting != 0, Proc::p_flag),
        (!stopped && record.p_flag & flags::WAITED != 0, Proc::p_flag),
        (!zombie && stopped != (record.p_xsig != 0), Proc::p_xsig),
        (stopped && record.p_xsig > 128, Proc::p_xsig),
        (!zombie && record.p_xexit != 0, Proc::p_xexit),
        (!(0..=255).contains(&record.p_xexit), Proc::p_xexit),
        (zombie && record.itimer_real.is_some(), Proc::itimer_real),
        (
            zombie && record.p_sigqueue != Sigqueue::default(),
            Proc::p_sigqueue,
        ),
    ] {
        if bad {
            return Err(unsupported::<Proc>(id, key));
        }
    }
    check_sigqueue(id, &record.p_sigqueue)
}

/// Every signal that is pending has its entry, and each but one.
pub(super) fn check_sigqueue(id: u32, queue: &Sigqueue) -> Result<(), RestoreError> {
    use vpscore::image::schema::Ksiginfo;
    fixed!(id, queue, Sigqueue { sq_kill: [0; 16] });
    let mut last = 0;
    let mut pending = 0_u128;
    for info in &queue.sq_list {
        fixed!(
            id,
            info,
            Ksiginfo {
                si_errno: 0,
                si_value: 0,
                reason0: 0,
                reason1: 0,
                ksi_flags: 0
            }
        );
        if info.si_signo <= last {
            return Err(unsupported::<Ksiginfo>(id, Ksiginfo::si_signo));
        }
        last = info.si_signo;
        pending |= 1 << (last - 1);
    }
    if queue.sq_signals != pending.to_le_bytes() {
        return Err(contradiction::<Sigqueue>(id, Sigqueue::sq_signals));
    }
    Ok(())
}

/// Whether these are the numbers from 0 to before `count`.
fn dense(places: &BTreeSet<u32>, count: usize) -> bool {
    let last = places.last().map_or(0, |last| u64::from(*last) + 1);
    places.len() == count && last == count as u64
}
