// SPDX-License-Identifier: BSD-2-Clause
//! The system-call gate and the hooks: joints called where FreeBSD has hooks.
//!
//! Numbers that come in are made the kernel's before it works with them, and made the program's
//! again when the call returns, as the core's table of crossings says. `fork`, `kill` and `wait4`,
//! where more than a number is at stake, have a branch each.

use super::{Join, SimKpi, handle, host_id, host_tid};
use crate::errno::Errno;
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::hooks::{Clock, Gate, Hooks};
use crate::kern::sig::SIG_IGN;
use crate::kern::types::{PrisonId, ProcId, SIGKILL, Siginfo, SysResult, SyscallFrame, Tid};
use vpscore::ids::{
    Addressed, Carries, Class, Crossing, Direction, KillPlan, Place, SignalVerdict, Table,
    WaitPlan, classify, command,
};
use vpscore::state::Committed;
use vpscore::types::{HostId, InstanceId, ProcHandle, ViewId};
use vpscore::view::IdKind;

/// Processes that a broadcast asks the core for at once.
const BATCH: usize = 16;

impl Hooks for Join {
    fn syscall_enter(&mut self, kern: &mut Kern, td: Tid, frame: &mut SyscallFrame) -> Gate {
        let Some(p) = kern.proc_of(td) else {
            return Gate::Pass;
        };
        if self.instance_of(p) == InstanceId::VPS0 {
            return Gate::Pass;
        }
        let entered = match frame.code {
            sys::SYS_FORK | sys::SYS_VFORK => self.enter_fork(kern, td, p),
            sys::SYS_KILL => return self.enter_kill(kern, p, frame),
            sys::SYS_WAIT4 => self.enter_wait(p, frame),
            _ => self.enter_ids(p, frame),
        };
        match entered {
            Ok(()) => Gate::Pass,
            Err(errno) => Gate::Return(Err(errno)),
        }
    }

    fn syscall_return(
        &mut self,
        kern: &mut Kern,
        td: Tid,
        frame: &SyscallFrame,
        result: &mut SysResult,
    ) {
        self.syscall_abandoned(kern, td, frame);
        let reaped = self.reaped.take();
        let Some(p) = kern.proc_of(td) else { return };
        let instance = self.instance_of(p);
        if instance == InstanceId::VPS0 {
            return;
        }
        let Ok([value, _]) = result else { return };
        let Class::Carries(call) = classify(number_of(frame.code)) else {
            return;
        };
        let crossings = call.crossings.iter();
        for crossing in
            crossings.filter(|c| c.place == Place::Result && c.direction != Direction::In)
        {
            let id = *value as i32;
            let gone = reaped.filter(|gone| frame.code == sys::SYS_WAIT4 && gone.host.0 == id);
            let seen = match gone {
                Some(gone) => self.number_of_gone(instance, &gone),
                None => self.core.id_out(handle(p), crossing.carries, 0, id),
            };
            *value = i64::from(seen) as u64;
        }
    }

    fn syscall_abandoned(&mut self, _kern: &mut Kern, td: Tid, _frame: &SyscallFrame) {
        // A reservation that the hook has not taken belongs to a fork that failed.
        if let Some(reservation) = self.reserved.remove(&td) {
            self.core.fork_abort(reservation);
        }
    }

    fn process_fork(&mut self, kern: &mut Kern, parent: ProcId, child: ProcId) {
        let Some((pid, tid)) = kern
            .proc(child)
            .and_then(|c| Some((c.pid(), *c.threads().first()?)))
        else {
            return;
        };
        let forking = kern
            .proc(parent)
            .map(|parent| parent.threads().to_vec())
            .unwrap_or_default();
        let reservation = forking.iter().find_map(|td| self.reserved.remove(td));
        let Some(reservation) = reservation else {
            self.core.host_id_taken(host_id(pid));
            return;
        };
        let committed =
            self.core
                .fork_commit(reservation, handle(child), host_id(pid), host_tid(tid));
        if committed == Committed::Doomed {
            kern.psignal(child, SIGKILL, None);
        }
    }

    fn process_exit(&mut self, kern: &mut Kern, p: ProcId) {
        let core = self.core();
        core.proc_exit(&mut SimKpi { kern, join: self }, handle(p));
    }

    fn process_dtor(&mut self, kern: &mut Kern, p: ProcId) {
        let report = self.core.proc_report(handle(p));
        let host = report.map_or(HostId(0), |report| report.host);
        self.core.proc_reap(handle(p), host, None);
        self.reaped = report;
        let _ = kern;
    }

    fn thread_dtor(&mut self, _kern: &mut Kern, td: Tid) {
        self.core.thread_exit(host_tid(td));
    }

    fn proc_check_see(&mut self, _kern: &Kern, who: ProcId, target: ProcId) -> Result<(), Errno> {
        if self.core.visible(handle(who), handle(target)) {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    fn proc_check_signal(
        &mut self,
        _kern: &Kern,
        who: ProcId,
        target: ProcId,
        _signo: i32,
    ) -> Result<(), Errno> {
        if self.core.visible(handle(who), handle(target)) {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    fn priv_check(&mut self, _kern: &Kern, p: ProcId, privilege: i32) -> Result<(), Errno> {
        self.core.priv_check(handle(p), privilege)
    }

    fn clock_offset(&mut self, _kern: &Kern, p: ProcId, clock: Clock) -> i64 {
        match clock {
            Clock::Realtime => 0,
            Clock::Monotonic => self
                .uptime_offset
                .get(&self.instance_of(p))
                .copied()
                .unwrap_or(0),
        }
    }

    fn sendsig(&mut self, kern: &Kern, td: Tid, info: &mut Siginfo) {
        if let Some(p) = kern.proc_of(td) {
            info.pid.0 = self
                .core
                .id_to_view(handle(p), IdKind::Pid, host_id(info.pid))
                .0;
        }
    }

    fn prison_destroy(&mut self, _kern: &mut Kern, prison: PrisonId) {
        let prison = vpscore::types::PrisonHandle(prison.0);
        if let Some(instance) = self.core.by_prison(prison) {
            self.uptime_offset.remove(&instance);
        }
    }
}

impl Join {
    fn enter_fork(&mut self, kern: &mut Kern, td: Tid, p: ProcId) -> Result<(), Errno> {
        let core = self.core();
        let reservation = core
            .fork_reserve(&mut SimKpi { kern, join: self }, handle(p))
            .map_err(|refused| refused.errno())?;
        if let Some(stale) = self.reserved.insert(td, reservation) {
            core.fork_abort(stale);
        }
        Ok(())
    }

    pub(super) fn enter_wait(&mut self, p: ProcId, frame: &mut SyscallFrame) -> Result<(), Errno> {
        let [pid, ..] = &mut frame.args;
        let plan = self
            .core
            .wait_plan(handle(p), *pid as i32)
            .map_err(|e| e.errno())?;
        let native = match plan {
            WaitPlan::Native => *pid as i32,
            WaitPlan::Any => -1,
            WaitPlan::OwnGroup => 0,
            WaitPlan::Child(host) => host.0,
            WaitPlan::Group(host) => host.0.wrapping_neg(),
        };
        *pid = i64::from(native) as u64;
        Ok(())
    }

    /// Translates the ids among the arguments.
    pub(super) fn enter_ids(&mut self, p: ProcId, frame: &mut SyscallFrame) -> Result<(), Errno> {
        let Class::Carries(call) = classify(number_of(frame.code)) else {
            return Ok(());
        };
        for crossing in call
            .crossings
            .iter()
            .filter(|c| c.direction != Direction::Out)
        {
            match crossing.place {
                Place::Arg(n) => self.translate_arg(p, frame, usize::from(n), crossing)?,
                Place::By(n, Table::Fcntl) => {
                    let selected = frame.args.get(usize::from(n)).map_or(0, |arg| *arg as u32);
                    for known in command(vpscore::ids::FCNTLS, selected) {
                        if known.direction != Direction::Out && known.field.is_empty() {
                            let value = frame.args.get(2).map_or(0, |arg| *arg as i32);
                            let host = self.id_in(p, known.carries, 0, value, Errno::ESRCH)?;
                            if let Some(arg) = frame.args.get_mut(2) {
                                *arg = i64::from(host) as u64;
                            }
                        }
                    }
                }
                // The emulated kernel has none of these calls yet.
                Place::Result | Place::Behind(..) | Place::By(..) => {}
            }
        }
        Ok(())
    }

    fn translate_arg(
        &self,
        p: ProcId,
        frame: &mut SyscallFrame,
        n: usize,
        crossing: &Crossing,
    ) -> Result<(), Errno> {
        let selector = match crossing.carries {
            Carries::ByIdType(arg)
            | Carries::ByCpuWhich(arg)
            | Carries::ByPrioWhich(arg)
            | Carries::ByClockWhich(arg) => frame
                .args
                .get(usize::from(arg))
                .map_or(0, |arg| *arg as i32),
            _ => 0,
        };
        let Some(arg) = frame.args.get_mut(n) else {
            return Ok(());
        };
        let host = self.id_in(p, crossing.carries, selector, *arg as i32, crossing.missing)?;
        *arg = i64::from(host) as u64;
        Ok(())
    }

    fn id_in(
        &self,
        p: ProcId,
        carries: Carries,
        selector: i32,
        number: i32,
        missing: Errno,
    ) -> Result<i32, Errno> {
        self.core
            .id_in(handle(p), carries, selector, number)
            .map_err(|_| missing)
    }

    /// The number that a process, reaped just now, had in an instance; 0 where it had none there.
    fn number_of_gone(&self, instance: InstanceId, gone: &vpscore::state::ProcReport) -> i32 {
        let depth = self
            .core
            .report(InstanceId::VPS0, instance)
            .map_or(0, |r| r.depth);
        let index = depth.checked_sub(1);
        index
            .and_then(|index| gone.numbers().get(index))
            .copied()
            .unwrap_or(0)
    }

    /// `kill(2)`: one process is left to the kernel; a set is gone through here, since the kernel's
    /// own way leaves out its own init and nobody else's.
    fn enter_kill(&mut self, kern: &mut Kern, p: ProcId, frame: &mut SyscallFrame) -> Gate {
        let [pid, signo, ..] = &mut frame.args;
        let (number, signum) = (*pid as i32, *signo as i32);
        let plan = match self.core.kill_plan(handle(p), number, signum) {
            Ok(plan) => plan,
            Err(error) => return Gate::Return(Err(error.errno())),
        };
        let result = match plan {
            KillPlan::Native => return Gate::Pass,
            KillPlan::One(host) => {
                let Some(target) = kern.pfind(crate::kern::types::Pid(host.0)) else {
                    return Gate::Return(Err(Errno::ESRCH));
                };
                self.kill_one(kern, p, target, signum, Addressed::One)
            }
            KillPlan::OwnGroup => {
                let own = kern.proc(p).map(|proc| proc.pgrp());
                self.kill_group(kern, p, own, signum)
            }
            KillPlan::Group(host) => {
                self.kill_group(kern, p, Some(crate::kern::types::Pid(host.0)), signum)
            }
            KillPlan::Broadcast(broadcast) => self.kill_all(kern, p, broadcast.instance, signum),
        };
        Gate::Return(result.map(|()| [0, frame.orig[1]]))
    }

    fn kill_one(
        &mut self,
        kern: &mut Kern,
        sender: ProcId,
        target: ProcId,
        signum: i32,
        addressed: Addressed,
    ) -> Result<(), Errno> {
        let verdict = self
            .core
            .signal_check(Some(handle(sender)), handle(target), signum, addressed)
            .map_err(|error| error.errno())?;
        let delivered = match verdict {
            SignalVerdict::Deliver => true,
            SignalVerdict::DeliverIfCaught => kern
                .proc(target)
                .is_some_and(|target| target.action(signum).handler > SIG_IGN),
            SignalVerdict::Skip if addressed == Addressed::One => false,
            SignalVerdict::Skip => return Err(Errno::ESRCH),
        };
        let pid = kern.proc(target).map_or(0, |target| target.pid().0);
        // Signal 0 asks the kernel's permission and does nothing.
        kern.kill(self, sender, pid, if delivered { signum } else { 0 })
    }

    fn kill_group(
        &mut self,
        kern: &mut Kern,
        sender: ProcId,
        group: Option<crate::kern::types::Pid>,
        signum: i32,
    ) -> Result<(), Errno> {
        let group = group.and_then(|id| kern.pgfind(id)).ok_or(Errno::ESRCH)?;
        let members = group.members.clone();
        let mut result = Err(Errno::ESRCH);
        for target in members {
            result = reached(
                result,
                self.kill_one(kern, sender, target, signum, Addressed::Group),
            );
        }
        result
    }

    fn kill_all(
        &mut self,
        kern: &mut Kern,
        sender: ProcId,
        instance: InstanceId,
        signum: i32,
    ) -> Result<(), Errno> {
        let mut result = Err(Errno::ESRCH);
        let mut after = ViewId::NONE;
        loop {
            let mut batch: [Option<ProcHandle>; BATCH] = [None; BATCH];
            let last = self.core.procs_after(instance, after, &mut batch);
            for target in batch.into_iter().flatten() {
                let target = ProcId(target.0);
                let one = self.kill_one(kern, sender, target, signum, Addressed::Broadcast);
                result = reached(result, one);
            }
            match last {
                Some(last) => after = last,
                None => return result,
            }
        }
    }
}

/// What a call says that reached some: success if any, else the first refusal that is not "none".
fn reached(before: Result<(), Errno>, one: Result<(), Errno>) -> Result<(), Errno> {
    match (before, one) {
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        (Err(Errno::ESRCH), Err(errno)) => Err(errno),
        (before, Err(_)) => before,
    }
}

fn number_of(code: u32) -> u16 {
    u16::try_from(code).unwrap_or(u16::MAX)
}
