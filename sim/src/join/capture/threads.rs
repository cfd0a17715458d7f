// SPDX-License-Identifier: BSD-2-Clause
//! Threads: registers, the call each is in as data, and whose turn comes when.

use super::{Capture, CaptureError};
use crate::guest::Regs;
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::proc::{Interrupt, Place, Proc, Thread};
use crate::kern::sleep::{CallState, Chan, WaitState};
use crate::kern::types::{ProcId, SyscallFrame, Tid};
use crate::time::Duration;
use std::collections::BTreeMap;
use vpscore::cbor::Bytes;
use vpscore::collections::List;
use vpscore::image::schema::{self, Abi, Blocked, Registers, Selected, Wchan, Woken};
use vpscore::image::{AnyRef, ProcRef};

use crate::join::host_tid;

/// `SS_DISABLE` (`signal.h`): no alternate stack.
pub(in crate::join) const SS_DISABLE: u32 = 4;
/// `PUSER`, `PRI_TIMESHARE` (`priority.h`, 15.0).
pub(in crate::join) const PUSER: u8 = 120;
pub(in crate::join) const PRI_TIMESHARE: u8 = 3;

/// What the first word of [`Blocked::state`] says.
pub(in crate::join) mod state {
    /// Bytes were taken: `progress` says how many.
    pub(in crate::join) const PROGRESS: u64 = 1;
    /// A connect was begun.
    pub(in crate::join) const CONNECTING: u64 = 2;
    /// A vfork: the second word is the child's number in its instance, 0 where it is gone.
    pub(in crate::join) const VFORK: u64 = 3;
}

/// Who comes when: the order of the threads that can run, and that of what is due and who sleeps.
#[derive(Debug, Default)]
pub(super) struct Turns {
    running: BTreeMap<Tid, u32>,
    sleeping: BTreeMap<Tid, u32>,
    itimers: BTreeMap<ProcId, u32>,
}

impl Turns {
    pub(super) fn of(kern: &Kern, procs: &[&Proc]) -> Self {
        let mut running = Vec::new();
        let mut due = Vec::new();
        for proc in procs {
            if proc.itimer.frozen.is_some() {
                due.push((proc.itimer.order, None, proc.id()));
            }
            for td in proc.threads() {
                let turn = kern.thread(*td).and_then(Thread::turn);
                match (turn, kern.thread(*td).map(|thread| thread.asleep)) {
                    (Some(turn), Some(true)) => due.push((turn, Some(*td), proc.id())),
                    (Some(turn), _) => running.push((turn, *td)),
                    (None, _) => {}
                }
            }
        }
        running.sort_unstable();
        due.sort_unstable();
        let running = (0..).zip(running).map(|(seq, (_, td))| (td, seq));
        let mut turns = Self {
            running: running.collect(),
            ..Self::default()
        };
        for (seq, (_, td, p)) in (0..).zip(due) {
            match td {
                Some(td) => turns.sleeping.insert(td, seq),
                None => turns.itimers.insert(p, seq),
            };
        }
        turns
    }

    pub(super) fn itimer(&self, p: ProcId) -> Option<u32> {
        self.itimers.get(&p).copied()
    }
}

impl Capture<'_> {
    pub(super) fn thread(
        &self,
        proc: &Proc,
        td: Tid,
        own: ProcRef,
    ) -> Result<schema::Thread, CaptureError> {
        let unknown = || CaptureError::Thread(proc.id(), td);
        let thread = self.kern.thread(td).ok_or_else(unknown)?;
        let report = self.join.core.thread_report(host_tid(td));
        let report = report.ok_or_else(unknown)?;
        let mut td_tid = List::new();
        td_tid.extend(report.numbers().get(self.cut..).unwrap_or(&[]))?;
        let blocked = match (thread.frame, &thread.wait) {
            (None, None) => None,
            (Some(frame), Some(wait)) => Some(self.blocked(proc, thread, frame, wait, own)?),
            _ => return Err(unknown()),
        };
        let seed = thread.seed();
        let config = self.kern.config();
        let insn = config.insn_ns.max(1);
        let left = config.quantum.saturating_sub(thread.quantum_used);
        Ok(schema::Thread {
            td_tid,
            td_name: Bytes::default(),
            td_frame: Registers {
                abi: Abi::SimLp64,
                frame: Bytes::copy(&registers(&thread.regs))?,
            },
            td_ucred: self.cred(proc.ucred())?,
            td_sigmask: thread.sigmask.0.to_le_bytes(),
            td_oldsigmask: thread.oldsigmask.map(|mask| mask.0.to_le_bytes()),
            td_sigqueue: self.sigqueue(proc, &thread.sigqueue)?,
            ss_sp: 0,
            ss_size: 0,
            ss_flags: SS_DISABLE,
            td_flags: 0,
            suspended: proc.stopped,
            blocked,
            td_base_user_pri: PUSER,
            td_pri_class: PRI_TIMESHARE,
            td_runtime: Duration::ZERO,
            slice: (thread.quantum_used > 0).then(|| Duration::from_nanos(insn).times(left)),
            runq_seq: self.turns.running.get(&td).copied(),
            td_oncpu: match thread.place {
                Place::Cpu(cpu, _) => u32::try_from(cpu).ok(),
                Place::Queue(_) | Place::Nowhere => None,
            },
            busy: Some(seed.busy).filter(|busy| *busy != Duration::ZERO),
        })
    }

    fn blocked(
        &self,
        proc: &Proc,
        thread: &Thread,
        frame: SyscallFrame,
        wait: &WaitState,
        own: ProcRef,
    ) -> Result<Blocked, CaptureError> {
        let mut args = List::new();
        args.extend(&frame.orig)?;
        let mut channels = Vec::new();
        for chan in &wait.chans {
            let found = self.channel(*chan, own);
            channels.push(found.ok_or(CaptureError::Thread(proc.id(), thread.tid()))?);
        }
        let (progress, state) = match wait.state {
            CallState::Fresh => (0, vec![]),
            CallState::Progress(done) => (done, vec![state::PROGRESS]),
            CallState::Connecting => (0, vec![state::CONNECTING]),
            CallState::Vfork(_, pid) => {
                let numbers = self.numbers(pid).map(|(_, numbers)| numbers);
                let number = numbers.and_then(|numbers| numbers.last().copied());
                let number = u64::try_from(number.unwrap_or(0)).unwrap_or(0);
                (0, vec![state::VFORK, number])
            }
        };
        let mut words = List::new();
        words.extend(&state)?;
        let one = match channels.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let mut selected = List::new();
        if one.is_none() {
            selected.extend(&channels)?;
        }
        let none = match frame.code {
            sys::SYS_SIGSUSPEND => Wchan::Signal,
            sys::SYS_POLL => Wchan::Select,
            _ => Wchan::Sleep,
        };
        let woken = match thread.abort {
            _ if thread.asleep => None,
            Some(Interrupt::Eintr) => Some(Woken::Eintr),
            Some(Interrupt::Restart) => Some(Woken::Restart),
            None => Some(Woken::Look),
        };
        Ok(Blocked {
            code: frame.code,
            args,
            wchan: one.map_or(none, |one| one.wchan),
            object: one.map(|one| one.object),
            arg: one.map_or(0, |one| one.arg),
            remaining: wait.frozen,
            wmesg: Bytes::copy(wait.wmesg.as_str().as_bytes())?,
            pcatch: wait.catch,
            progress,
            state: words,
            woken,
            selected: (!selected.is_empty()).then_some(selected),
            sleepq_seq: self.turns.sleeping.get(&thread.tid()).copied(),
        })
    }

    fn channel(&self, chan: Chan, own: ProcRef) -> Option<Selected> {
        let own = AnyRef::new(own.id());
        let on = |wchan, object, arg| Selected { wchan, object, arg };
        Some(match chan {
            Chan::Children(_) => on(Wchan::Wait, own, 0),
            Chan::Vfork(_) => on(Wchan::Vfork, own, 0),
            Chan::PipeRead(pipe, side) => {
                let pipe = AnyRef::new(self.pipes.get(&pipe)?.id());
                on(Wchan::PipeRead, pipe, u64::from(side))
            }
            Chan::PipeWrite(pipe, side) => {
                let pipe = AnyRef::new(self.pipes.get(&pipe)?.id());
                on(Wchan::PipeWrite, pipe, u64::from(side))
            }
            Chan::Socket(vnet, so, what) => {
                let socket = AnyRef::new(self.socket(vnet, so)?.id());
                on(super::sockets::wchan(what), socket, 0)
            }
        })
    }
}

/// The registers as the image has them: sixteen general ones, the pc, the carry, each a word.
pub(in crate::join) fn registers(regs: &Regs) -> Vec<u8> {
    let words = regs
        .r
        .iter()
        .copied()
        .chain([regs.pc, u64::from(regs.carry)]);
    words.flat_map(u64::to_le_bytes).collect()
}
