// SPDX-License-Identifier: BSD-2-Clause
//! Sessions, groups and processes.

use super::{Capture, CaptureError};
use crate::kern::proc::{Proc, SigQueue};
use crate::kern::types::{Pid, ProcId};
use crate::time::Duration;
use vpscore::cbor::Bytes;
use vpscore::collections::List;
use vpscore::image::PgrpRef;
use vpscore::image::schema::{self, Abi, Ksiginfo, ProcState, Rlimit, Rusage, Sigqueue};
use vpscore::types::HostId;
use vpscore::view::IdKind;

use crate::join::handle;

/// `P_*` (`proc.h`, 15.0) that last.
pub(in crate::join) mod flags {
    /// `P_PPWAIT`
    pub(in crate::join) const PPWAIT: u32 = 0x10;
    /// `P_WAITED`
    pub(in crate::join) const WAITED: u32 = 0x1000;
    /// `P_EXEC`
    pub(in crate::join) const EXEC: u32 = 0x4000;
    /// `P_CONTINUED`
    pub(in crate::join) const CONTINUED: u32 = 0x1_0000;
    /// `P_STOPPED_SIG`
    pub(in crate::join) const STOPPED_SIG: u32 = 0x2_0000;
    /// All that an image of the emulated kernel has.
    pub(in crate::join) const ALL: u32 = PPWAIT | WAITED | EXEC | CONTINUED | STOPPED_SIG;
    /// `P_TREE_REAPER`
    pub(in crate::join) const TREE_REAPER: u32 = 0x4;
}

/// `RLIMIT_NOFILE`, `RLIMIT_VMEM` (`resource.h`), and how many limits there are.
pub(in crate::join) const RLIMIT_NOFILE: usize = 8;
pub(in crate::join) const RLIMIT_VMEM: usize = 10;
pub(in crate::join) const RLIM_NLIMITS: usize = 16;
/// `RLIM_INFINITY`.
pub(in crate::join) const RLIM_INFINITY: u64 = i64::MAX as u64;
/// `SIGCHLD`, which every parent gets.
pub(in crate::join) const SIGPARENT: u16 = 20;

impl Capture<'_> {
    pub(super) fn groups(&mut self) -> Result<(), CaptureError> {
        let groups: Vec<(ProcId, Pid)> = self
            .procs
            .iter()
            .map(|proc| (proc.id(), proc.pgrp()))
            .collect();
        for (p, id) in &groups {
            let sid = self.session_of(*id);
            if self.sessions.contains_key(&sid) {
                continue;
            }
            let outside = CaptureError::SessionOutside(*p, sid);
            let (instance, s_sid) = self.numbers(sid).ok_or(outside)?;
            let reference = self.w.put(&schema::Session {
                instance,
                s_sid: list(s_sid)?,
                s_login: Bytes::default(),
            })?;
            self.sessions.insert(sid, reference);
        }
        for (p, id) in groups {
            if self.pgrps.contains_key(&id) {
                continue;
            }
            let outside = || CaptureError::GroupOutside(p, id);
            let (instance, pg_id) = self.numbers(id).ok_or_else(outside)?;
            let session = self.sessions.get(&self.session_of(id));
            let reference: PgrpRef = self.w.put(&schema::Pgrp {
                pg_session: *session.ok_or_else(outside)?,
                pg_id: list(pg_id)?,
                pg_flags: 0,
                instance,
            })?;
            self.pgrps.insert(id, reference);
        }
        Ok(())
    }

    fn session_of(&self, pgrp: Pid) -> Pid {
        self.kern.pgfind(pgrp).map_or(pgrp, |pgrp| pgrp.session)
    }

    pub(super) fn processes(&mut self) -> Result<(), CaptureError> {
        for proc in self.procs.clone() {
            let record = self.process(proc)?;
            let reference = self.w.put(&record)?;
            self.done.insert(proc.id(), reference);
            for td in proc.threads() {
                let record = self.thread(proc, *td, reference)?;
                self.w.object(&record)?;
            }
        }
        Ok(())
    }

    fn process(&mut self, proc: &Proc) -> Result<schema::Proc, CaptureError> {
        let p = proc.id();
        let outside = || CaptureError::GroupOutside(p, proc.pgrp());
        let (_, p_pid) = self.numbers(proc.pid()).ok_or_else(outside)?;
        let mut p_reapsubtree = self
            .numbers(proc.reapsubtree)
            .map_or(Vec::new(), |(_, n)| n);
        p_reapsubtree.resize(p_pid.len(), 0);
        let zombie = proc.is_zombie();
        let p_limit = if zombie {
            List::new()
        } else {
            self.limits(proc)?
        };
        Ok(schema::Proc {
            p_pid: list(p_pid)?,
            p_pptr: self.done.get(&proc.parent()).copied(),
            p_reaper: self.done.get(&proc.reaper).copied(),
            p_treeflag: if proc.is_reaper {
                flags::TREE_REAPER
            } else {
                0
            },
            p_reapsubtree: list(p_reapsubtree)?,
            p_pgrp: *self.pgrps.get(&proc.pgrp()).ok_or_else(outside)?,
            p_ucred: self.cred(proc.ucred())?,
            p_state: if zombie {
                ProcState::Zombie
            } else {
                ProcState::Normal
            },
            p_flag: flags_of(proc),
            p_flag2: 0,
            p_comm: Bytes::copy(proc.comm().as_bytes())?,
            p_args: Bytes::default(),
            p_abi: Abi::SimLp64,
            p_osrel: super::OSRELDATE as i32,
            p_xexit: proc.xexit,
            // What it was stopped by before says nothing any more.
            p_xsig: if zombie || proc.stopped {
                u16::try_from(proc.xsig).unwrap_or(0)
            } else {
                0
            },
            p_sigparent: SIGPARENT,
            p_pdeathsig: 0,
            p_acflag: 0,
            p_nice: 0,
            p_sigacts: self.sigacts.get(&p).copied(),
            p_sigqueue: self.sigqueue(proc, &proc.sigqueue)?,
            p_vmspace: self.vmspaces.get(&proc.vm).copied().filter(|_| !zombie),
            p_fd: self.filedescs.get(&p).copied(),
            p_limit,
            p_ru: Rusage {
                ru_utime: proc.runtime(),
                ..Rusage::default()
            },
            p_cru: Rusage::default(),
            p_start: Duration::ZERO,
            itimer_real: proc.itimer.frozen.map(|left| schema::Itimer {
                it_value: left,
                it_interval: proc.itimer.interval,
                seq: self.turns.itimer(p),
            }),
            itimer_virtual: None,
            itimer_prof: None,
            p_textpath: Bytes::default(),
            p_pglist: self.place_in_group(proc),
        })
    }

    /// Its place among those members of its group that are in the image.
    fn place_in_group(&self, proc: &Proc) -> u32 {
        let members = self.kern.pgfind(proc.pgrp()).map(|pgrp| &pgrp.members);
        let inside = members.into_iter().flatten().filter(|member| {
            let mut all = self.procs.iter();
            all.any(|proc| proc.id() == **member)
        });
        let before = inside.take_while(|member| **member != proc.id()).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    fn limits(&self, proc: &Proc) -> Result<List<Rlimit>, CaptureError> {
        let config = self.kern.config();
        let space = self.kern.vmspaces.get(&proc.vm);
        let mut limits = List::new();
        for resource in 0..RLIM_NLIMITS {
            let limit = match resource {
                RLIMIT_NOFILE => config.nofile as u64,
                RLIMIT_VMEM => space.map_or(config.vmem_max, |space| space.size_max),
                _ => RLIM_INFINITY,
            };
            limits.push(Rlimit {
                rlim_cur: limit,
                rlim_max: limit,
            })?;
        }
        Ok(limits)
    }

    /// Signals that wait, with the numbers of their senders as the process's instance sees them.
    pub(super) fn sigqueue(&self, proc: &Proc, queue: &SigQueue) -> Result<Sigqueue, CaptureError> {
        let mut record = Sigqueue::default();
        let mut pending = 0_u128;
        for (signo, info) in queue {
            let host = HostId(info.pid.0);
            let sender = self
                .join
                .core
                .id_to_view(handle(proc.id()), IdKind::Pid, host);
            pending |= 1 << (signo - 1).clamp(0, 127);
            record.sq_list.push(Ksiginfo {
                si_signo: u16::try_from(*signo).unwrap_or(0),
                si_errno: 0,
                si_code: info.code,
                si_pid: sender.0,
                si_uid: info.uid,
                si_status: info.status,
                si_addr: info.addr,
                si_value: 0,
                reason0: 0,
                reason1: 0,
                ksi_flags: 0,
            })?;
        }
        record.sq_signals = pending.to_le_bytes();
        Ok(record)
    }
}

fn flags_of(proc: &Proc) -> u32 {
    let flag = |is: bool, flag: u32| if is { flag } else { 0 };
    flag(proc.ppwait, flags::PPWAIT)
        | flag(proc.stopped && proc.waited, flags::WAITED)
        | flag(proc.execed, flags::EXEC)
        | flag(proc.continued, flags::CONTINUED)
        | flag(proc.stopped, flags::STOPPED_SIG)
}

fn list(numbers: Vec<i32>) -> Result<List<i32>, CaptureError> {
    let mut list = List::new();
    list.extend(&numbers)?;
    Ok(list)
}
