// SPDX-License-Identifier: BSD-2-Clause
//! Threads, in the order of their turns, each in the call it was in.

use super::apply::Files;
use super::check::{contradiction, fixed, unsupported};
use super::check_procs::check_sigqueue;
use super::people::Numbers;
use super::staged::{Staged, StagedProc};
use super::{Made, RestoreError};
use crate::guest::Regs;
use crate::guest::consts::sys;
use crate::join::capture::procs::flags;
use crate::join::capture::sockets::so_wait;
use crate::join::capture::threads::{PRI_TIMESHARE, PUSER, SS_DISABLE, registers, state};
use crate::join::{Join, handle};
use crate::kern::proc::{Interrupt, SigQueue};
use crate::kern::restore::ThreadSeed;
use crate::kern::sleep::{CallState, Chan, WaitState, Wmesg};
use crate::kern::types::{Pid, ProcId, SigSet, Siginfo, SyscallFrame};
use crate::kern::{Config, Kern};
use crate::time::Duration;
use vpscore::image::schema::{
    Abi, Blocked, Ksiginfo, Registers, Selected, Sigqueue, Thread, Wchan, Woken,
};
use vpscore::types::ViewId;
use vpscore::view::IdKind;

/// A `wait4` argument that no process or group fits: what it was for is gone.
const NOBODY: u64 = i32::MIN as i64 as u64;

/// Looks at a thread and the call that it is in.
pub(super) fn check(
    proc: &StagedProc,
    thread: &Thread,
    config: &Config,
) -> Result<(), RestoreError> {
    let id = proc.id;
    let stopped = proc.record.p_flag & flags::STOPPED_SIG != 0;
    fixed!(
        id,
        thread,
        Thread {
            td_ucred: proc.record.p_ucred,
            ss_sp: 0,
            ss_size: 0,
            ss_flags: SS_DISABLE,
            td_flags: 0,
            suspended: stopped,
            td_base_user_pri: PUSER,
            td_pri_class: PRI_TIMESHARE,
            td_runtime: Duration::ZERO,
        }
    );
    check_sigqueue(id, &thread.td_sigqueue)?;
    let blocks = |mask: [u8; 16]| u128::from_le_bytes(mask) & SigSet::CANTMASK.0 != 0;
    let asleep = thread.blocked.as_ref().is_some_and(|b| b.woken.is_none());
    let quantum = quantum_used(thread, config);
    for (bad, key) in [
        (!thread.td_name.is_empty(), Thread::td_name),
        (regs(&thread.td_frame).is_none(), Thread::td_frame),
        (blocks(thread.td_sigmask), Thread::td_sigmask),
        (
            thread.td_oldsigmask.is_some_and(blocks),
            Thread::td_oldsigmask,
        ),
        (quantum.is_none(), Thread::slice),
        (
            thread.runq_seq.is_some() == (asleep || stopped),
            Thread::runq_seq,
        ),
        (thread.busy == Some(Duration::ZERO), Thread::busy),
    ] {
        if bad {
            return Err(unsupported::<Thread>(id, key));
        }
    }
    match &thread.blocked {
        None => Ok(()),
        Some(blocked) => check_blocked(id, blocked, asleep),
    }
}

fn check_blocked(id: u32, blocked: &Blocked, asleep: bool) -> Result<(), RestoreError> {
    let one = matches!(
        blocked.wchan,
        Wchan::Wait | Wchan::PipeRead | Wchan::PipeWrite | Wchan::Vfork
    ) || so_wait(blocked.wchan).is_some();
    let none = match blocked.code {
        sys::SYS_SIGSUSPEND => Wchan::Signal,
        sys::SYS_POLL => Wchan::Select,
        _ => Wchan::Sleep,
    };
    let count = blocked.selected.as_ref().map_or(0, |list| list.len());
    for (bad, key) in [
        (blocked.args.len() != 6, Blocked::args),
        (!one && blocked.wchan != none, Blocked::wchan),
        (one != blocked.object.is_some(), Blocked::object),
        (!one && blocked.arg != 0, Blocked::arg),
        (
            Wmesg::named(blocked.wmesg.as_slice()).is_none(),
            Blocked::wmesg,
        ),
        (
            blocked.selected.is_some() && (one || count < 2),
            Blocked::selected,
        ),
        (blocked.sleepq_seq.is_some() != asleep, Blocked::sleepq_seq),
        (call_state(blocked).is_none(), Blocked::state),
    ] {
        if bad {
            return Err(unsupported::<Blocked>(id, key));
        }
    }
    Ok(())
}

/// What the call has done so far; a vfork's child is a number yet.
enum Done {
    State(CallState),
    Vfork(i32),
}

fn call_state(blocked: &Blocked) -> Option<Done> {
    let done = match (blocked.state.as_slice(), blocked.progress) {
        ([], 0) => Done::State(CallState::Fresh),
        ([state::PROGRESS], done) => Done::State(CallState::Progress(done)),
        ([state::CONNECTING], 0) => Done::State(CallState::Connecting),
        ([state::VFORK, child], 0) => Done::Vfork(i32::try_from(*child).ok()?),
        _ => return None,
    };
    Some(done)
}

fn quantum_used(thread: &Thread, config: &Config) -> Option<u64> {
    let Some(slice) = thread.slice else {
        return Some(0);
    };
    let insn = config.insn_ns.max(1);
    let left = slice.as_nanos().checked_div(insn)?;
    let exact = slice.as_nanos().is_multiple_of(insn) && left > 0;
    let used = config.quantum.checked_sub(left)?;
    (exact && used > 0).then_some(used)
}

fn regs(record: &Registers) -> Option<Regs> {
    let (words, rest) = record.frame.as_slice().as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mut regs = Regs::default();
    for register in &mut regs.r {
        *register = words.next()?;
    }
    regs.pc = words.next()?;
    regs.carry = words.next()? == 1;
    let same = registers(&regs) == record.frame.as_slice();
    (record.abi == Abi::SimLp64 && rest.is_empty() && same).then_some(regs)
}

/// One that has a turn, in the order in which turns are given.
enum Turn<'a> {
    Thread(&'a StagedProc, usize, &'a Thread),
    Itimer(&'a StagedProc),
}

impl Join {
    pub(super) fn make_threads(
        &mut self,
        kern: &mut Kern,
        staged: &Staged,
        made: &Made,
        numbers: &Numbers,
        files: &Files,
    ) -> Result<(), RestoreError> {
        let mut turns = Vec::new();
        for proc in &staged.procs {
            if let Some(timer) = &proc.record.itimer_real {
                turns.push((0, timer.seq.unwrap_or(u32::MAX), Turn::Itimer(proc)));
            }
            for (place, thread) in proc.threads.iter().enumerate() {
                let sleeps = thread.blocked.as_ref().and_then(|b| b.sleepq_seq);
                let (class, seq) = match (sleeps, thread.runq_seq) {
                    (Some(seq), _) => (0, seq),
                    (None, Some(seq)) => (1, seq),
                    (None, None) => (2, 0),
                };
                turns.push((class, seq, Turn::Thread(proc, place, thread)));
            }
        }
        turns.sort_by_key(|(class, seq, _)| (*class, *seq));
        for (_, _, turn) in turns {
            match turn {
                Turn::Thread(proc, place, thread) => {
                    self.make_thread(kern, proc, place, thread, numbers, files)?;
                }
                Turn::Itimer(proc) => {
                    if let Some(p) = numbers.procs.get(&proc.id) {
                        kern.restore_itimer_turn(*p);
                    }
                }
            }
        }
        for proc in &staged.procs {
            if let Some(p) = numbers.procs.get(&proc.id).copied() {
                let queue = self.signals(p, proc.id, &proc.record.p_sigqueue)?;
                kern.restore_sigqueue(p, queue);
            }
        }
        let tids: Vec<_> = staged
            .procs
            .iter()
            .flat_map(|proc| (0..proc.threads.len()).map(move |place| (proc.id, place)))
            .filter_map(|key| numbers.tids.get(&key).copied())
            .collect();
        let places: Vec<_> = staged
            .procs
            .iter()
            .map(|proc| proc.record.p_pglist)
            .collect();
        kern.restore_orders(&made.procs, &tids, &places);
        Ok(())
    }

    fn make_thread(
        &mut self,
        kern: &mut Kern,
        proc: &StagedProc,
        place: usize,
        thread: &Thread,
        numbers: &Numbers,
        files: &Files,
    ) -> Result<(), RestoreError> {
        let lost = || contradiction::<Thread>(proc.id, Thread::td_tid);
        let p = numbers.procs.get(&proc.id).copied().ok_or_else(lost)?;
        let blocked = thread.blocked.as_ref();
        let (frame, wait) = match blocked {
            None => (None, None),
            Some(blocked) => {
                let wait = self.wait(kern, p, proc.id, blocked, files)?;
                (Some(self.frame(p, blocked)), Some(wait))
            }
        };
        let seed = ThreadSeed {
            tid: numbers.tids.get(&(proc.id, place)).copied(),
            regs: regs(&thread.td_frame).unwrap_or_default(),
            frame,
            wait,
            asleep: blocked.is_some_and(|blocked| blocked.woken.is_none()),
            abort: match blocked.and_then(|blocked| blocked.woken) {
                Some(Woken::Eintr) => Some(Interrupt::Eintr),
                Some(Woken::Restart) => Some(Interrupt::Restart),
                Some(Woken::Look) | None => None,
            },
            sigmask: SigSet(u128::from_le_bytes(thread.td_sigmask)),
            sigqueue: self.signals(p, proc.id, &thread.td_sigqueue)?,
            oldsigmask: thread
                .td_oldsigmask
                .map(|mask| SigSet(u128::from_le_bytes(mask))),
            quantum_used: quantum_used(thread, kern.config()).unwrap_or(0),
            busy: thread.busy.unwrap_or(Duration::ZERO),
            oncpu: thread.td_oncpu.and_then(|cpu| usize::try_from(cpu).ok()),
        };
        let restored = kern.restore_thread(self, p, seed);
        restored.map_err(|errno| RestoreError::Kernel(proc.id, errno))?;
        Ok(())
    }

    /// The call as the kernel works on it: ids among its arguments are the host's.
    fn frame(&mut self, p: ProcId, blocked: &Blocked) -> SyscallFrame {
        let mut args = [0; 6];
        for (to, from) in args.iter_mut().zip(&blocked.args) {
            *to = *from;
        }
        let mut frame = SyscallFrame {
            code: blocked.code,
            orig: args,
            args,
        };
        let known = match blocked.code {
            sys::SYS_WAIT4 => self.enter_wait(p, &mut frame),
            _ => self.enter_ids(p, &mut frame),
        };
        if known.is_err() && blocked.code == sys::SYS_WAIT4 {
            let [pid, ..] = &mut frame.args;
            *pid = NOBODY;
        }
        frame
    }

    fn wait(
        &self,
        kern: &Kern,
        p: ProcId,
        id: u32,
        blocked: &Blocked,
        files: &Files,
    ) -> Result<WaitState, RestoreError> {
        let state = match call_state(blocked) {
            Some(Done::Vfork(number)) => {
                let (child, pid) = self.child(kern, p, number);
                CallState::Vfork(child, pid)
            }
            Some(Done::State(state)) => state,
            None => CallState::Fresh,
        };
        let mut channels = Vec::new();
        if let Some(object) = blocked.object {
            channels.push(Selected {
                wchan: blocked.wchan,
                object,
                arg: blocked.arg,
            });
        }
        channels.extend(blocked.selected.iter().flatten().copied());
        let mut chans = Vec::new();
        for channel in channels {
            let side = u8::try_from(channel.arg).ok().filter(|side| *side < 2);
            let pipe = files.pipes.get(&channel.object.id()).copied();
            let own = channel.object.id() == id && channel.arg == 0;
            let socket = files.sockets.get(&channel.object.id()).copied();
            let socket = socket.zip(so_wait(channel.wchan));
            let chan = match (channel.wchan, pipe, side) {
                _ if let Some(((vnet, so), what)) = socket => Chan::Socket(vnet, so, what),
                (Wchan::Wait, _, _) if own => Chan::Children(p),
                (Wchan::Vfork, _, _) if own => match state {
                    CallState::Vfork(child, _) => Chan::Vfork(child),
                    _ => return Err(contradiction::<Blocked>(id, Blocked::state)),
                },
                (Wchan::PipeRead, Some(pipe), Some(side)) => Chan::PipeRead(pipe, side),
                (Wchan::PipeWrite, Some(pipe), Some(side)) => Chan::PipeWrite(pipe, side),
                _ => return Err(contradiction::<Blocked>(id, Blocked::object)),
            };
            chans.push(chan);
        }
        let wmesg = Wmesg::named(blocked.wmesg.as_slice()).unwrap_or(Wmesg::Wait);
        let mut wait = WaitState::on(chans, wmesg).having(state);
        wait.catch = blocked.pcatch;
        wait.frozen = blocked.remaining;
        wait.deadline = blocked.remaining.map(|left| kern.now().after(left));
        Ok(wait)
    }

    /// The child with this number in the process's instance, and its id on the host.
    fn child(&self, kern: &Kern, p: ProcId, number: i32) -> (ProcId, Pid) {
        let instance = self.instance_of(p);
        let found = self.core.proc_by_number(instance, ViewId(number));
        let child = ProcId(found.map_or(0, |found| found.0));
        (child, kern.proc(child).map_or(Pid(0), |child| child.pid()))
    }

    /// Signals that wait, from whom the host calls them.
    fn signals(&self, p: ProcId, id: u32, queue: &Sigqueue) -> Result<SigQueue, RestoreError> {
        let mut signals = SigQueue::new();
        for info in &queue.sq_list {
            // A sender may be gone and its number linger, which a process's would not be found by.
            let view = ViewId(info.si_pid);
            let host = match info.si_pid {
                0 => Some(0),
                _ => self
                    .core
                    .id_from_view(handle(p), IdKind::Pgid, view)
                    .map(|host| host.0),
            };
            let host = host.ok_or_else(|| contradiction::<Ksiginfo>(id, Ksiginfo::si_pid))?;
            let signo = i32::from(info.si_signo);
            let restored = Siginfo {
                signo,
                code: info.si_code,
                pid: Pid(host),
                uid: info.si_uid,
                status: info.si_status,
                addr: info.si_addr,
            };
            signals.insert(signo, restored);
        }
        Ok(signals)
    }
}
