// SPDX-License-Identifier: BSD-2-Clause
//! System calls: the gate, the table, and how a call that slept goes on
//! (`syscallenter`, `syscallret`, `sys/kern/subr_syscall.c`, 15.0).
//!
//! A call's body gets its arguments and, where it has slept, the [`WaitState`] it left. It answers
//! `Outcome`. Nothing else of it survives a sleep.

mod file;
mod ioctl;
mod mem;
mod poll;
mod proc;
mod signal;
mod sock;
mod time;

pub(crate) use sock::encode_sockaddr;

use super::Kern;
use super::hooks::{Gate, Hooks};
use super::proc::Interrupt;
use super::sleep::{CallState, WaitState};
use super::trace::TraceItem;
use super::types::{ProcId, SIGSYS, SysResult, SyscallFrame, Tid};
use crate::errno::Errno;
use crate::guest::consts::sys;
use crate::guest::isa::INSN_SIZE;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It returns this value; the second return register stays as it is.
    Done(u64),
    /// It returns both values.
    Both(u64, u64),
    /// It failed.
    Err(Errno),
    /// It sleeps.
    Block(WaitState),
    /// It does not return: the registers are what they should be, or the thread is gone.
    JustReturn,
}

impl From<Result<u64, Errno>> for Outcome {
    fn from(result: Result<u64, Errno>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(errno) => Self::Err(errno),
        }
    }
}

impl From<Result<Outcome, Errno>> for Outcome {
    fn from(result: Result<Outcome, Errno>) -> Self {
        result.unwrap_or_else(Self::Err)
    }
}

/// A call being served.
pub(crate) struct Call<'a> {
    pub(crate) td: Tid,
    pub(crate) p: ProcId,
    pub(crate) args: [u64; 6],
    /// What it left when it slept.
    pub(crate) prev: Option<WaitState>,
    pub(crate) hooks: &'a mut dyn Hooks,
}

impl Call<'_> {
    /// An argument as the C type `int`.
    pub(crate) fn int(&self, n: usize) -> i32 {
        self.args.get(n).map_or(0, |arg| *arg as i32)
    }
}

impl Kern {
    /// A thread has executed a system call instruction.
    pub(crate) fn syscall(&mut self, td: Tid, hooks: &mut dyn Hooks) {
        let Some(thread) = self.threads.get(&td) else {
            return;
        };
        let [code, a, b, c, d, e, f, ..] = thread.regs.r;
        let args = [a, b, c, d, e, f];
        let mut frame = SyscallFrame {
            code: u32::try_from(code).unwrap_or(u32::MAX),
            orig: args,
            args,
        };
        self.trace.push(TraceItem::Enter {
            tid: td,
            code: frame.code,
            args,
        });
        match hooks.syscall_enter(self, td, &mut frame) {
            Gate::Return(result) => self.set_result(td, &frame, result),
            Gate::Pass => {
                if let Some(thread) = self.threads.get_mut(&td) {
                    thread.frame = Some(frame);
                    thread.wait = None;
                    thread.abort = None;
                }
                self.evaluate(td, frame, None, hooks);
            }
        }
    }

    /// A thread that slept in a call, and was woken, looks again.
    pub(crate) fn continue_syscall(&mut self, td: Tid, hooks: &mut dyn Hooks) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        let Some(frame) = thread.frame else {
            return;
        };
        let wait = thread.wait.take();
        let Some(interrupt) = thread.abort.take() else {
            return self.evaluate(td, frame, wait, hooks);
        };
        if let Some((signo, info)) = self.issignal(td, hooks) {
            // The handler runs, or the process dies, when the call has returned.
            if let Some(thread) = self.threads.get_mut(&td) {
                thread.sigqueue.insert(signo, info);
            }
            return self.interrupted(td, frame, wait, interrupt, hooks);
        }
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.wait = wait.clone();
        }
        let stopped = self.proc_of(td).is_none_or(|p| self.is_stopped(p));
        if !stopped {
            self.evaluate(td, frame, wait, hooks);
        }
    }

    fn evaluate(
        &mut self,
        td: Tid,
        frame: SyscallFrame,
        prev: Option<WaitState>,
        hooks: &mut dyn Hooks,
    ) {
        let Some(p) = self.proc_of(td) else {
            return;
        };
        let mut call = Call {
            td,
            p,
            args: frame.args,
            prev,
            hooks: &mut *hooks,
        };
        let outcome = self.dispatch(frame.code, &mut call);
        self.conclude(td, frame, outcome, hooks);
    }

    fn conclude(&mut self, td: Tid, frame: SyscallFrame, outcome: Outcome, hooks: &mut dyn Hooks) {
        let [second, ..] = frame.orig;
        let mut result: SysResult = match outcome {
            Outcome::Done(value) => Ok([value, second]),
            Outcome::Both(first, second) => Ok([first, second]),
            Outcome::Err(errno) => Err(errno),
            Outcome::Block(wait) => {
                // A signal that came before the sleep cuts it short as one that comes after.
                let pending = self.threads.get(&td).map(|thread| thread.sigmask);
                let pending = pending.map(|mask| self.pending(td).minus(mask).0 != 0);
                let catch = wait.catch && pending == Some(true);
                self.sleep(td, wait);
                if catch {
                    let interrupt = self.pending_interrupt(td);
                    self.sleep_abort(td, interrupt);
                }
                return;
            }
            Outcome::JustReturn => {
                self.abandon(td, hooks);
                return;
            }
        };
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.frame = None;
            thread.wait = None;
        }
        hooks.syscall_return(self, td, &frame, &mut result);
        self.set_result(td, &frame, result);
    }

    /// The call ends without a return.
    fn abandon(&mut self, td: Tid, hooks: &mut dyn Hooks) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        thread.wait = None;
        if let Some(frame) = thread.frame.take() {
            hooks.syscall_abandoned(self, td, &frame);
        }
    }

    fn set_result(&mut self, td: Tid, frame: &SyscallFrame, result: SysResult) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        let [r0, r1, ..] = &mut thread.regs.r;
        match result {
            Ok([first, second]) => {
                (*r0, *r1) = (first, second);
                thread.regs.carry = false;
            }
            Err(errno) => {
                *r0 = errno.raw() as u64;
                thread.regs.carry = true;
            }
        }
        self.trace.push(TraceItem::Return {
            tid: td,
            code: frame.code,
            result,
        });
    }

    /// A signal has cut the call's sleep short: what it has done counts, or it fails, or it is
    /// made again after the handler.
    fn interrupted(
        &mut self,
        td: Tid,
        frame: SyscallFrame,
        wait: Option<WaitState>,
        interrupt: Interrupt,
        hooks: &mut dyn Hooks,
    ) {
        let state = wait.as_ref().map_or(CallState::Fresh, |wait| wait.state);
        let never_again = matches!(
            frame.code,
            sys::SYS_NANOSLEEP | sys::SYS_POLL | sys::SYS_SIGSUSPEND | sys::SYS_CONNECT
        );
        let outcome = match state {
            CallState::Progress(done) if done > 0 => Outcome::Done(done),
            _ if frame.code == sys::SYS_NANOSLEEP => self.nanosleep_interrupted(td, frame, wait),
            _ if never_again || interrupt == Interrupt::Eintr => Outcome::Err(Errno::EINTR),
            _ => {
                if let Some(thread) = self.threads.get_mut(&td) {
                    thread.regs.pc = thread.regs.pc.wrapping_sub(INSN_SIZE);
                }
                Outcome::JustReturn
            }
        };
        self.conclude(td, frame, outcome, hooks);
    }

    fn pending_interrupt(&self, td: Tid) -> Interrupt {
        let mask = self
            .threads
            .get(&td)
            .map(|thread| (thread.sigmask, thread.proc));
        let Some((mask, p)) = mask else {
            return Interrupt::Restart;
        };
        let signo = self.pending(td).minus(mask).0.trailing_zeros() as i32 + 1;
        self.interrupt_kind(p, signo)
    }

    fn dispatch(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        match code {
            sys::SYS_EXIT
            | sys::SYS_FORK
            | sys::SYS_VFORK
            | sys::SYS_WAIT4
            | sys::SYS_EXECVE
            | sys::SYS_GETPID
            | sys::SYS_GETPPID
            | sys::SYS_GETUID
            | sys::SYS_GETEUID
            | sys::SYS_GETGID
            | sys::SYS_GETPGRP
            | sys::SYS_GETPGID
            | sys::SYS_SETPGID
            | sys::SYS_SETSID
            | sys::SYS_GETSID
            | sys::SYS_THR_SELF
            | sys::SYS_SCHED_YIELD
            | sys::SYS_PROCCTL => self.proc_call(code, call),
            sys::SYS_KILL
            | sys::SYS_SIGACTION
            | sys::SYS_SIGPROCMASK
            | sys::SYS_SIGSUSPEND
            | sys::SYS_SIGPENDING
            | sys::SYS_SIGRETURN => self.signal_call(code, call),
            sys::SYS_NANOSLEEP
            | sys::SYS_CLOCK_GETTIME
            | sys::SYS_GETTIMEOFDAY
            | sys::SYS_SETITIMER
            | sys::SYS_GETITIMER => self.time_call(code, call),
            sys::SYS_READ
            | sys::SYS_WRITE
            | sys::SYS_CLOSE
            | sys::SYS_DUP
            | sys::SYS_DUP2
            | sys::SYS_FCNTL
            | sys::SYS_PIPE2 => self.file_call(code, call),
            sys::SYS_IOCTL => self.sys_ioctl(call),
            sys::SYS_POLL => self.sys_poll(call),
            sys::SYS_BREAK
            | sys::SYS_MMAP
            | sys::SYS_MUNMAP
            | sys::SYS_MPROTECT
            | sys::SYS_MINHERIT => self.mem_call(code, call),
            sys::SYS_SOCKET
            | sys::SYS_BIND
            | sys::SYS_LISTEN
            | sys::SYS_ACCEPT
            | sys::SYS_ACCEPT4
            | sys::SYS_CONNECT
            | sys::SYS_SENDTO
            | sys::SYS_RECVFROM
            | sys::SYS_SHUTDOWN
            | sys::SYS_SETSOCKOPT
            | sys::SYS_GETSOCKOPT
            | sys::SYS_GETSOCKNAME
            | sys::SYS_GETPEERNAME => self.sock_call(code, call),
            // `nosys`: the caller is signalled.
            _ => {
                self.psignal(call.p, SIGSYS, None);
                Outcome::Err(Errno::ENOSYS)
            }
        }
    }

    /// `copyin`
    pub(crate) fn copyin(&mut self, p: ProcId, va: u64, out: &mut [u8]) -> Result<(), Errno> {
        let view = self.view(p).ok_or(Errno::EFAULT)?;
        view.read(va, out).map_err(|_| Errno::EFAULT)
    }

    /// `copyout`
    pub(crate) fn copyout(&mut self, p: ProcId, va: u64, data: &[u8]) -> Result<(), Errno> {
        let mut view = self.view(p).ok_or(Errno::EFAULT)?;
        view.write(va, data).map_err(|_| Errno::EFAULT)
    }

    /// `copyinstr`: a string of at most `max` bytes, without its NUL.
    pub(crate) fn copyinstr(&mut self, p: ProcId, va: u64, max: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut at = va;
        loop {
            let mut byte = [0];
            self.copyin(p, at, &mut byte)?;
            let [byte] = byte;
            if byte == 0 {
                return Ok(text);
            }
            if text.len() >= max {
                return Err(Errno::ENAMETOOLONG);
            }
            text.push(byte);
            at = at.wrapping_add(1);
        }
    }
}
