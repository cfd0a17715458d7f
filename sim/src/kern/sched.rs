// SPDX-License-Identifier: BSD-2-Clause
//! The scheduler: threads take turns, in the order in which they became ready, on N processors.
//!
//! A slice begins with at most one trap, at the exact moment of the world, and goes on with plain
//! instructions up to the next trap, which begins the thread's next slice. So nothing that a
//! program can do to others happens at any moment but the world's. What a slice takes is the cost
//! of its call plus that of its instructions; the processor and the thread are busy for that long.

use super::Kern;
use super::hooks::Hooks;
use super::proc::Place;
use super::types::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, Siginfo, Tid};
use crate::guest::isa::INSN_SIZE;
use crate::guest::{Ran, Stop, run};
use crate::time::{Duration, Instant};
use crate::vm::{FaultKind, View};

/// What a slice was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceReport {
    /// The processor.
    pub cpu: usize,
    /// The thread.
    pub tid: Tid,
    /// How long it took.
    pub spent: Duration,
}

impl Kern {
    /// Whether a slice can be run at this moment.
    pub fn runnable(&self, now: Instant) -> bool {
        self.next_slice().is_some_and(|at| at <= now)
    }

    /// When the next slice can be run; a moment in the past where it already can.
    pub fn next_slice(&self) -> Option<Instant> {
        let idle = self
            .cpus
            .iter()
            .filter(|cpu| self.holder(cpu.current).is_none());
        let idle = idle.map(|cpu| cpu.busy_until).min();
        let queued = self.runq.values().filter_map(|td| self.ready_at(*td)).min();
        let queued = idle.zip(queued).map(|(cpu, td)| cpu.max(td));
        let kept = self.cpus.iter().filter_map(|cpu| {
            let ready = self.ready_at(cpu.current?)?;
            Some(ready.max(cpu.busy_until))
        });
        kept.chain(queued).min()
    }

    /// Runs one thread from a trap to the next. `None` where none is to run at this moment.
    pub fn run_slice(&mut self, now: Instant, hooks: &mut dyn Hooks) -> Option<SliceReport> {
        self.advance(now);
        let (cpu, td) = self.choose(now)?;
        let spent = self.run_thread(td, hooks);
        let until = now.after(spent);
        if let Some(cpu) = self.cpus.get_mut(cpu) {
            cpu.busy_until = until;
        }
        self.socket_wakeups();
        self.after_slice(td, until, spent);
        Some(SliceReport {
            cpu,
            tid: td,
            spent,
        })
    }

    /// The processor and the thread of the next slice; the thread is on the processor then.
    fn choose(&mut self, now: Instant) -> Option<(usize, Tid)> {
        for cpu in 0..self.cpus.len() {
            let (busy, current) = self.cpus.get(cpu).map(|c| (c.busy_until, c.current))?;
            if busy > now {
                continue;
            }
            if let Some(td) = current {
                match self.ready_at(td) {
                    Some(ready) if ready <= now => return Some((cpu, td)),
                    Some(_) => continue,
                    None => self.give_up_cpu(td),
                }
            }
            let ready = |td: &Tid| self.ready_at(*td).is_some_and(|at| at <= now);
            let first = self.runq.iter().find(|(_, td)| ready(td));
            let Some((&turn, &td)) = first else {
                continue;
            };
            self.runq.remove(&turn);
            if let Some(cpu) = self.cpus.get_mut(cpu) {
                cpu.current = Some(td);
            }
            if let Some(thread) = self.threads.get_mut(&td) {
                thread.place = Place::Cpu(cpu, turn);
            }
            return Some((cpu, td));
        }
        None
    }

    /// From when on the thread can run; `None` while its prison is suspended.
    fn ready_at(&self, td: Tid) -> Option<Instant> {
        let thread = self.threads.get(&td)?;
        let prison = self.procs.get(&thread.proc)?.ucred.prison;
        (!self.prison_suspended(prison)).then_some(thread.ready_at)
    }

    /// The thread, if it keeps its processor from others.
    fn holder(&self, current: Option<Tid>) -> Option<Tid> {
        current.filter(|td| self.ready_at(*td).is_some())
    }

    /// Puts a thread back onto the queue, at its own turn.
    fn give_up_cpu(&mut self, td: Tid) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        if let Place::Cpu(cpu, turn) = thread.place {
            thread.place = Place::Queue(turn);
            self.runq.insert(turn, td);
            if let Some(cpu) = self.cpus.get_mut(cpu) {
                cpu.current = None;
            }
        }
    }

    fn after_slice(&mut self, td: Tid, until: Instant, spent: Duration) {
        let quantum = self.config.quantum;
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        thread.ready_at = until;
        let used_up = thread.quantum_used >= quantum;
        let p = thread.proc;
        if used_up {
            thread.quantum_used = 0;
            if thread.place != Place::Nowhere {
                self.unplace(td);
                self.setrunnable(td);
            }
        }
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.runtime = proc.runtime.plus(spent);
        }
    }

    /// One slice of the thread; returns what it took.
    fn run_thread(&mut self, td: Tid, hooks: &mut dyn Hooks) -> Duration {
        let call = Duration::from_nanos(self.config.syscall_ns);
        let mut spent = Duration::ZERO;
        let mut trapped = false;
        if self
            .threads
            .get(&td)
            .is_some_and(|thread| thread.frame.is_some())
        {
            self.continue_syscall(td, hooks);
            (spent, trapped) = (call, true);
        }
        loop {
            if !self.userret(td, hooks) {
                return if trapped { spent } else { call };
            }
            let Some(ran) = self.run_guest(td) else {
                return call;
            };
            if ran.stop == Stop::Budget {
                return spent.plus(self.cost(ran.used));
            }
            if trapped || ran.used > 1 {
                self.undo_trap(td, ran.stop);
                return spent.plus(self.cost(ran.used - 1));
            }
            self.trap(td, ran.stop, hooks);
            (spent, trapped) = (call, true);
        }
    }

    fn cost(&self, insns: u64) -> Duration {
        Duration::from_nanos(self.config.insn_ns).times(insns)
    }

    /// Executes instructions for what is left of the quantum.
    fn run_guest(&mut self, td: Tid) -> Option<Ran> {
        let thread = self.threads.get_mut(&td)?;
        let vm = self.procs.get(&thread.proc)?.vm;
        let space = self.vmspaces.get_mut(&vm)?;
        let objects = &mut self.objects;
        let budget = self
            .config
            .quantum
            .saturating_sub(thread.quantum_used)
            .max(1);
        let ran = run(&mut thread.regs, &mut View { space, objects }, budget);
        thread.quantum_used = thread.quantum_used.saturating_add(ran.used);
        Some(ran)
    }

    /// Leaves the trap to the thread's next slice.
    fn undo_trap(&mut self, td: Tid, stop: Stop) {
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.quantum_used = thread.quantum_used.saturating_sub(1);
            if stop == Stop::Syscall {
                thread.regs.pc = thread.regs.pc.wrapping_sub(INSN_SIZE);
            }
        }
    }

    /// `trap`: a system call or a signal for what the thread has done (amd64 `trap.c`).
    fn trap(&mut self, td: Tid, stop: Stop, hooks: &mut dyn Hooks) {
        let pc = self.threads.get(&td).map_or(0, |thread| thread.regs.pc);
        let (signo, code, addr) = match stop {
            Stop::Budget => return,
            Stop::Syscall => return self.syscall(td, hooks),
            // SEGV_MAPERR, SEGV_ACCERR, BUS_OOMERR, ILL_ILLOPC, FPE_INTDIV, TRAP_BRKPT
            Stop::Fault(fault) => match fault.kind {
                FaultKind::NotMapped => (SIGSEGV, 1, fault.va),
                FaultKind::Protection => (SIGSEGV, 2, fault.va),
                FaultKind::NoMemory => (SIGBUS, 100, fault.va),
            },
            Stop::Illegal => (SIGILL, 1, pc),
            Stop::DivideByZero => (SIGFPE, 2, pc),
            Stop::Breakpoint => (SIGTRAP, 1, pc),
        };
        let info = Siginfo {
            signo,
            code,
            addr,
            ..Siginfo::default()
        };
        self.trapsignal(td, info, hooks);
    }
}
