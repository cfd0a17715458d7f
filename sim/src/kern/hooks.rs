// SPDX-License-Identifier: BSD-2-Clause
//! Where something outside the kernel may look on or say no: FreeBSD's own places and contexts.
//!
//! The system-call gate is what wrapped entries of a `sysentvec` are; the process and thread hooks
//! are event handlers (`sys/eventhandler.h`): void, after the point of no return; the checks are a
//! MAC policy's: they can refuse what the kernel would allow, never allow what it refuses.

use super::Kern;
use super::types::{PrisonId, ProcId, Siginfo, SysResult, SyscallFrame, Tid};
use crate::errno::Errno;

/// What becomes of a system call at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The kernel executes it, with the frame's `args`.
    Pass,
    /// It is answered at once; [`Hooks::syscall_return`] is not raised for it.
    Return(SysResult),
}

/// A clock that programs read (`CLOCK_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time of day.
    Realtime,
    /// Uptime.
    Monotonic,
}

/// The hooks. Every default is that of a kernel nobody has hooked.
pub trait Hooks {
    /// A system call enters. Ids in `frame.args` may be replaced; `frame.orig` stays. Raised once
    /// for a call, however often it sleeps. Sleepable.
    fn syscall_enter(&mut self, kern: &mut Kern, td: Tid, frame: &mut SyscallFrame) -> Gate {
        let _ = (kern, td, frame);
        Gate::Pass
    }

    /// A system call that passed the gate returns; not raised where it does not (exit, exec,
    /// sigreturn) and not for a call that is to be made again. Sleepable.
    fn syscall_return(
        &mut self,
        kern: &mut Kern,
        td: Tid,
        frame: &SyscallFrame,
        result: &mut SysResult,
    ) {
        let _ = (kern, td, frame, result);
    }

    /// A call that passed the gate ends without a return: the thread's process exits within it, it
    /// is to be made again, or it replaced the registers (exec, sigreturn). Sleepable.
    fn syscall_abandoned(&mut self, kern: &mut Kern, td: Tid, frame: &SyscallFrame) {
        let _ = (kern, td, frame);
    }

    /// `process_fork`: after fork can no longer fail, before the child runs.
    fn process_fork(&mut self, kern: &mut Kern, parent: ProcId, child: ProcId) {
        let _ = (kern, parent, child);
    }

    /// `process_exec`: the new image is in place.
    fn process_exec(&mut self, kern: &mut Kern, p: ProcId) {
        let _ = (kern, p);
    }

    /// `process_exit`: at the beginning of exit, descriptors and children still there.
    fn process_exit(&mut self, kern: &mut Kern, p: ProcId) {
        let _ = (kern, p);
    }

    /// `process_dtor`: a zombie was waited for; the process is in no table any more, but groups,
    /// sessions and reaper subtrees may still carry its id.
    fn process_dtor(&mut self, kern: &mut Kern, p: ProcId) {
        let _ = (kern, p);
    }

    /// `thread_ctor`: the thread has its id and is in its process.
    fn thread_ctor(&mut self, kern: &mut Kern, td: Tid) {
        let _ = (kern, td);
    }

    /// `thread_dtor`: the thread is gone.
    fn thread_dtor(&mut self, kern: &mut Kern, td: Tid) {
        let _ = (kern, td);
    }

    /// `mpo_proc_check_see_*`: may `who` know of `target`? Reads only.
    ///
    /// # Errors
    /// The refusal, `ESRCH` mostly.
    fn proc_check_see(&mut self, kern: &Kern, who: ProcId, target: ProcId) -> Result<(), Errno> {
        let _ = (kern, who, target);
        Ok(())
    }

    /// `mpo_proc_check_signal`: may `who` signal `target`? Reads only.
    ///
    /// # Errors
    /// The refusal.
    fn proc_check_signal(
        &mut self,
        kern: &Kern,
        who: ProcId,
        target: ProcId,
        signo: i32,
    ) -> Result<(), Errno> {
        let _ = (kern, who, target, signo);
        Ok(())
    }

    /// `mpo_priv_check`: may the process use the privilege? Reads only.
    ///
    /// # Errors
    /// The refusal.
    fn priv_check(&mut self, kern: &Kern, p: ProcId, privilege: i32) -> Result<(), Errno> {
        let _ = (kern, p, privilege);
        Ok(())
    }

    /// `PR_METHOD_CREATE`: a prison was made.
    fn prison_create(&mut self, kern: &mut Kern, prison: PrisonId) {
        let _ = (kern, prison);
    }

    /// `PR_METHOD_REMOVE`: a prison is going.
    fn prison_destroy(&mut self, kern: &mut Kern, prison: PrisonId) {
        let _ = (kern, prison);
    }

    /// Whether default actions of signals do not apply to the process, as `issignal` has it for
    /// the host's `p_pid <= 1`.
    fn init_protected(&mut self, kern: &Kern, p: ProcId) -> bool {
        let _ = (kern, p);
        false
    }

    /// What is added to a clock as the process reads it, in nanoseconds.
    fn clock_offset(&mut self, kern: &Kern, p: ProcId, clock: Clock) -> i64 {
        let _ = (kern, p, clock);
        0
    }

    /// Before a signal's information is written to the program's stack (`sv_sendsig`): ids in it
    /// may be replaced.
    fn sendsig(&mut self, kern: &Kern, td: Tid, info: &mut Siginfo) {
        let _ = (kern, td, info);
    }
}

/// A kernel that nobody has hooked.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {}
