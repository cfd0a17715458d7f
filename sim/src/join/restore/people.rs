// SPDX-License-Identifier: BSD-2-Clause
//! Sessions, groups and processes, each with the numbers that it had in the image's instance.

use super::apply::{Files, filedesc};
use super::check::contradiction;
use super::staged::{Staged, StagedProc};
use super::{Made, RestoreError};
use crate::join::capture::procs::flags;
use crate::join::{Join, SimKpi, handle, host_id, host_tid};
use crate::kern::Kern;
use crate::kern::proc::{SigAction, SigQueue, Ucred};
use crate::kern::restore::ProcSeed;
use crate::kern::types::{Pid, PrisonId, ProcId, SigSet, Tid, VmId};
use std::collections::BTreeMap;
use vpscore::image::schema::{Proc, ProcState};
use vpscore::types::{InstanceId, ProcHandle, ViewId};
use vpscore::view::IdKind;

/// The ids of the host for what the image has numbers for.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By the number in the image's own instance.
    pub(super) pids: BTreeMap<i32, Pid>,
    /// Numbers whose process is gone: the instance and all levels.
    gone: Vec<(u32, Vec<i32>)>,
    /// The threads' ids, by process and place.
    pub(super) tids: BTreeMap<(u32, usize), Tid>,
    /// The processes, by object.
    pub(super) procs: BTreeMap<u32, ProcId>,
}

impl Join {
    /// Hands out ids, and makes sessions and groups.
    pub(super) fn make_groups(
        &mut self,
        kern: &mut Kern,
        staged: &Staged,
        made: &mut Made,
    ) -> Result<Numbers, RestoreError> {
        let mut numbers = Numbers::default();
        let levels = staged.levels();
        for proc in &staged.procs {
            let pid = kern.restore_pid(&mut made.mark.ids);
            let pid = pid.map_err(|errno| RestoreError::Kernel(proc.id, errno))?;
            if numbers.pids.insert(proc.number(), pid).is_some() {
                return Err(contradiction::<Proc>(proc.id, Proc::p_pid));
            }
        }
        let mut named: Vec<(u32, u32, &[i32])> = Vec::new();
        for (id, session) in &staged.sessions {
            named.push((*id, session.instance.id(), session.s_sid.as_slice()));
        }
        for (id, pgrp) in &staged.pgrps {
            named.push((*id, pgrp.instance.id(), pgrp.pg_id.as_slice()));
        }
        for proc in &staged.procs {
            let list = proc.record.p_reapsubtree.as_slice();
            let deep = list.iter().take_while(|number| **number != 0).count();
            let mut at = staged.instance_of(&proc.record);
            while levels.get(&at).is_some_and(|levels| *levels > deep.max(1)) {
                let record = staged.instances.iter().find(|(id, _)| *id == at);
                at = record
                    .and_then(|(_, record)| record.parent)
                    .map_or(0, |parent| parent.id());
            }
            if let Some(own) = list.get(..deep).filter(|own| !own.is_empty()) {
                named.push((proc.id, at, own));
            }
        }
        for (object, instance, list) in named {
            let Some(first) = list.first().copied() else {
                continue;
            };
            if numbers.pids.contains_key(&first) {
                continue;
            }
            let pid = kern.restore_pid(&mut made.mark.ids);
            let pid = pid.map_err(|errno| RestoreError::Kernel(object, errno))?;
            numbers.pids.insert(first, pid);
            numbers.gone.push((instance, list.to_vec()));
        }
        for session in staged.sessions.values() {
            kern.restore_session(numbers.of(session.s_sid.as_slice()));
        }
        for pgrp in staged.pgrps.values() {
            let session = staged.sessions.get(&pgrp.pg_session.id());
            let session = session.map_or(Pid(0), |s| numbers.of(s.s_sid.as_slice()));
            kern.restore_group(numbers.of(pgrp.pg_id.as_slice()), session);
        }
        Ok(numbers)
    }

    /// Makes the processes, without their threads, whose numbers are taken with them.
    pub(super) fn make_procs(
        &mut self,
        kern: &mut Kern,
        staged: &Staged,
        made: &mut Made,
        numbers: &mut Numbers,
        files: &Files,
        spaces: &BTreeMap<u32, VmId>,
    ) -> Result<(), RestoreError> {
        for proc in &staged.procs {
            let seed = self.seed(kern, staged, proc, made, numbers, files, spaces);
            let instance = staged.instance_of(&proc.record);
            let instance = made.instances.get(&instance).copied();
            let instance = instance.unwrap_or(InstanceId::VPS0);
            let p = if proc.record.p_state == ProcState::Zombie {
                self.make_zombie(kern, instance, proc, seed)?
            } else {
                self.make_living(kern, instance, proc, seed, numbers)?
            };
            made.procs.push(p);
            numbers.procs.insert(proc.id, p);
        }
        Ok(())
    }

    fn make_zombie(
        &mut self,
        kern: &mut Kern,
        instance: InstanceId,
        proc: &StagedProc,
        seed: ProcSeed,
    ) -> Result<ProcId, RestoreError> {
        let core = self.core();
        let pids = proc.record.p_pid.as_slice();
        let reserved = core.zombie_restore(&mut SimKpi { kern, join: self }, instance, pids);
        let reserved = reserved.map_err(|error| RestoreError::Proc(proc.id, error))?;
        let host = seed.pid.unwrap_or_default();
        match kern.restore_proc(self, seed) {
            Ok(p) => {
                core.zombie_commit(reserved, handle(p), host_id(host));
                Ok(p)
            }
            Err(errno) => {
                core.zombie_abort(reserved);
                Err(RestoreError::Kernel(proc.id, errno))
            }
        }
    }

    fn make_living(
        &mut self,
        kern: &mut Kern,
        instance: InstanceId,
        proc: &StagedProc,
        seed: ProcSeed,
        numbers: &mut Numbers,
    ) -> Result<ProcId, RestoreError> {
        let core = self.core();
        let refused = |errno| RestoreError::Kernel(proc.id, errno);
        let mut tids = Vec::new();
        for place in 0..proc.threads.len() {
            let tid = kern.restore_tid().map_err(refused)?;
            numbers.tids.insert((proc.id, place), tid);
            tids.push(tid);
        }
        let pids = proc.record.p_pid.as_slice();
        let mut threads = proc.threads.iter().zip(tids);
        let Some((first, tid)) = threads.next() else {
            return Err(contradiction::<Proc>(proc.id, Proc::p_state));
        };
        let first = first.td_tid.as_slice();
        let reserved = core.proc_restore(&mut SimKpi { kern, join: self }, instance, pids, first);
        let reserved = reserved.map_err(|error| RestoreError::Proc(proc.id, error))?;
        let host = seed.pid.unwrap_or_default();
        let p = match kern.restore_proc(self, seed) {
            Ok(p) => p,
            Err(errno) => {
                core.fork_abort(reserved);
                return Err(refused(errno));
            }
        };
        // Nobody has killed the instance: it is not there yet.
        let _ = core.fork_commit(reserved, handle(p), host_id(host), host_tid(tid));
        for (thread, tid) in threads {
            let list = thread.td_tid.as_slice();
            let reserved = core.thread_restore(&mut SimKpi { kern, join: self }, handle(p), list);
            let reserved = reserved.map_err(|error| RestoreError::Thread(proc.id, error))?;
            core.thread_commit(reserved, handle(p), host_tid(tid));
        }
        Ok(p)
    }

    #[allow(clippy::too_many_arguments, reason = "all that a process refers to")]
    fn seed(
        &self,
        kern: &Kern,
        staged: &Staged,
        proc: &StagedProc,
        made: &Made,
        numbers: &Numbers,
        files: &Files,
        spaces: &BTreeMap<u32, VmId>,
    ) -> ProcSeed {
        let record = &proc.record;
        let init = kern.initproc();
        let found = |id: u32| numbers.procs.get(&id).copied();
        let parent = record.p_pptr.and_then(|parent| found(parent.id()));
        let reaper = record.p_reaper.and_then(|reaper| found(reaper.id()));
        let pid = numbers.pids.get(&proc.number()).copied();
        let pgrp = staged.pgrps.get(&record.p_pgrp.id());
        let instance = made.instances.get(&staged.instance_of(record));
        let prison = instance.and_then(|id| self.prison_of(*id));
        let cred = staged.creds.get(&record.p_ucred.id());
        let number = |get: fn(&vpscore::image::schema::Ucred) -> u32| cred.map_or(0, get);
        let space = record.p_vmspace.and_then(|space| spaces.get(&space.id()));
        let table = record
            .p_fd
            .and_then(|table| staged.filedescs.get(&table.id()));
        let acts = record
            .p_sigacts
            .and_then(|acts| staged.sigacts.get(&acts.id()));
        let acts = acts.iter().flat_map(|acts| &acts.actions);
        let zombie = record.p_state == ProcState::Zombie;
        let signo = i32::from(record.p_xsig);
        let flag = |flag: u32| record.p_flag & flag != 0;
        let reapsubtree = record.p_reapsubtree.as_slice();
        ProcSeed {
            pid,
            comm: String::from_utf8_lossy(record.p_comm.as_slice()).into_owned(),
            parent: parent.unwrap_or(init),
            reaper: Some(reaper.unwrap_or(init)),
            reapsubtree: match reapsubtree.first() {
                // Outside: no number of this host either.
                None | Some(0) => Some(Pid(0)),
                Some(_) => Some(numbers.of(reapsubtree)),
            },
            is_reaper: record.p_treeflag & flags::TREE_REAPER != 0,
            pgrp: pgrp.map(|pgrp| numbers.of(pgrp.pg_id.as_slice())),
            session: None,
            ucred: Ucred {
                uid: number(|cred| cred.cr_uid),
                ruid: number(|cred| cred.cr_ruid),
                svuid: number(|cred| cred.cr_svuid),
                gid: number(|cred| cred.cr_gid),
                prison: prison.unwrap_or(PrisonId::HOST),
            },
            vm: space.copied().unwrap_or(VmId(0)),
            fds: table
                .map(|table| filedesc(table, files))
                .unwrap_or_default(),
            sigacts: acts
                .map(|act| {
                    let action = SigAction {
                        handler: act.handler,
                        flags: act.flags,
                        mask: SigSet(u128::from_le_bytes(act.mask)),
                    };
                    (i32::from(act.signo), action)
                })
                .collect(),
            sigqueue: SigQueue::new(),
            zombie: zombie.then_some((record.p_xexit, signo)),
            stopped: flag(flags::STOPPED_SIG).then_some((signo, flag(flags::WAITED))),
            continued: flag(flags::CONTINUED),
            ppwait: flag(flags::PPWAIT),
            execed: flag(flags::EXEC),
            itimer: record
                .itimer_real
                .map(|timer| (timer.it_value, timer.it_interval)),
            runtime: record.p_ru.ru_utime,
        }
    }

    /// Keeps the numbers of senders of waiting signals that are gone: whoever gets the signal is
    /// told its number.
    pub(super) fn keep_senders(
        &mut self,
        kern: &mut Kern,
        staged: &Staged,
        made: &mut Made,
        numbers: &Numbers,
    ) -> Result<(), RestoreError> {
        let core = self.core();
        for proc in &staged.procs {
            let Some(p) = numbers.procs.get(&proc.id).copied() else {
                continue;
            };
            let queues = proc.threads.iter().map(|thread| &thread.td_sigqueue);
            let queues = queues.chain([&proc.record.p_sigqueue]);
            for info in queues.flat_map(|queue| &queue.sq_list) {
                let view = ViewId(info.si_pid);
                let known = core.id_from_view(handle(p), IdKind::Pgid, view);
                if info.si_pid == 0 || known.is_some() {
                    continue;
                }
                let host = kern.restore_pid(&mut made.mark.ids);
                let host = host.map_err(|errno| RestoreError::Kernel(proc.id, errno))?;
                let instance = self.instance_of(p);
                let list = [info.si_pid];
                let kept = core.id_restore(&mut SimKpi { kern, join: self }, instance, &list);
                let kept = kept.map_err(|error| RestoreError::Proc(proc.id, error))?;
                core.id_commit(kept, ProcHandle(u64::MAX), host_id(host));
            }
        }
        Ok(())
    }

    /// Keeps numbers whose process is gone from being handed out, as long as the kernel carries them.
    pub(super) fn keep_numbers(
        &mut self,
        kern: &mut Kern,
        made: &Made,
        numbers: &Numbers,
    ) -> Result<(), RestoreError> {
        let core = self.core();
        for (object, list) in &numbers.gone {
            let instance = made.instances.get(object).copied();
            let instance = instance.unwrap_or(InstanceId::VPS0);
            let kept = core.id_restore(&mut SimKpi { kern, join: self }, instance, list);
            let kept = kept.map_err(|error| RestoreError::Proc(*object, error))?;
            // No process ever has this handle.
            core.id_commit(kept, ProcHandle(u64::MAX), host_id(numbers.of(list)));
        }
        Ok(())
    }
}

impl Numbers {
    /// The host's id for what has these numbers.
    pub(super) fn of(&self, list: &[i32]) -> Pid {
        let found = list.first().and_then(|first| self.pids.get(first));
        found.copied().unwrap_or_default()
    }
}
