// SPDX-License-Identifier: BSD-2-Clause
//! Calls about processes (`kern_fork.c`, `kern_exit.c`, `kern_prot.c`, `kern_exec.c`,
//! `kern_procctl.c`, 15.0).

use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::abi::LP64;
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::exec::{ARGS_MAX, ExecArgs};
use crate::kern::exit::{WNOHANG, Waited};
use crate::kern::sleep::{CallState, Chan, WaitState, Wmesg};
use crate::kern::types::{Pid, ProcId};

/// `MAXPATHLEN`
const MAXPATHLEN: usize = 1024;
/// `PROC_REAP_ACQUIRE`
const PROC_REAP_ACQUIRE: i32 = 2;
/// `PROC_REAP_RELEASE`
const PROC_REAP_RELEASE: i32 = 3;

impl Kern {
    pub(super) fn proc_call(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        let Some(proc) = self.procs.get(&call.p) else {
            return Outcome::Err(Errno::ESRCH);
        };
        match code {
            sys::SYS_GETPID => Outcome::Done(proc.pid.0 as u64),
            sys::SYS_GETPPID => {
                let parent = self.procs.get(&proc.parent);
                Outcome::Done(parent.map_or(0, |parent| parent.pid.0 as u64))
            }
            sys::SYS_GETUID => Outcome::Done(u64::from(proc.ucred.ruid)),
            sys::SYS_GETEUID => Outcome::Done(u64::from(proc.ucred.uid)),
            sys::SYS_GETGID => Outcome::Done(u64::from(proc.ucred.gid)),
            sys::SYS_GETPGRP => Outcome::Done(proc.pgrp.0 as u64),
            sys::SYS_GETPGID => self.sys_getpgid(call).into(),
            sys::SYS_GETSID => self.sys_getsid(call).into(),
            sys::SYS_SETPGID => self.sys_setpgid(call).into(),
            sys::SYS_SETSID => self.setsid(call.p).map(|id| id.0 as u64).into(),
            sys::SYS_THR_SELF => self.sys_thr_self(call).into(),
            sys::SYS_SCHED_YIELD => {
                self.unplace(call.td);
                self.setrunnable(call.td);
                Outcome::Done(0)
            }
            sys::SYS_PROCCTL => self.sys_procctl(call).into(),
            sys::SYS_EXIT => {
                let status = call.int(0);
                self.exit1(call.hooks, call.p, status, 0);
                Outcome::JustReturn
            }
            sys::SYS_FORK => self.sys_fork(call).into(),
            sys::SYS_VFORK => self.sys_vfork(call).into(),
            sys::SYS_WAIT4 => self.sys_wait4(call).into(),
            _ => self.sys_execve(call).into(),
        }
    }

    fn sys_fork(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let child = self.fork1(call.hooks, call.td, false)?;
        let pid = self.procs.get(&child).map_or(0, |child| child.pid.0);
        Ok(Outcome::Both(pid as u64, 0))
    }

    /// The parent sleeps, and no signal wakes it, until the child has executed a program or is
    /// gone.
    fn sys_vfork(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let state = call.prev.take().map(|wait| wait.state);
        let (child, pid) = match state {
            Some(CallState::Vfork(child, pid)) => (child, pid),
            _ => {
                let child = self.fork1(call.hooks, call.td, true)?;
                let pid = self.procs.get(&child).map(|child| child.pid);
                (child, pid.unwrap_or_default())
            }
        };
        if self.procs.get(&child).is_some_and(|child| child.ppwait) {
            let wait = WaitState::on(vec![Chan::Vfork(child)], Wmesg::Ppwait);
            let wait = wait.having(CallState::Vfork(child, pid)).uncatchable();
            return Ok(Outcome::Block(wait));
        }
        Ok(Outcome::Both(pid.0 as u64, 0))
    }

    fn sys_wait4(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let (pid, options) = (call.int(0), call.int(2));
        let [_, status_at, _, rusage_at, ..] = call.args;
        let (pid, status) = match self.kern_wait(call.hooks, call.p, pid, options)? {
            Waited::Child(pid, status) => (pid, Some(status)),
            Waited::Nothing if options & WNOHANG != 0 => (Pid(0), None),
            Waited::Nothing => {
                let chan = Chan::Children(call.p);
                return Ok(Outcome::Block(WaitState::on(vec![chan], Wmesg::Wait)));
            }
        };
        if let Some(status) = status {
            if status_at != 0 {
                self.copyout(call.p, status_at, &status.to_le_bytes())?;
            }
            if rusage_at != 0 {
                self.copyout(call.p, rusage_at, &vec![0; LP64.rusage_size])?;
            }
        }
        Ok(Outcome::Done(pid.0 as u64))
    }

    fn sys_execve(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let [path, argv, envp, ..] = call.args;
        let path = self.copyinstr(call.p, path, MAXPATHLEN)?;
        let path = String::from_utf8(path).map_err(|_| Errno::ENOENT)?;
        let args = ExecArgs {
            argv: self.copyin_strings(call.p, argv)?,
            envp: self.copyin_strings(call.p, envp)?,
        };
        self.execve(call.hooks, call.td, &path, &args)?;
        Ok(Outcome::JustReturn)
    }

    /// A null-terminated array of strings; none where the pointer is null.
    fn copyin_strings(&mut self, p: ProcId, at: u64) -> Result<Vec<Vec<u8>>, Errno> {
        let mut all = Vec::new();
        let mut left = ARGS_MAX;
        let mut at = at;
        while at != 0 {
            let mut word = [0; 8];
            self.copyin(p, at, &mut word)?;
            let string = u64::from_le_bytes(word);
            if string == 0 {
                break;
            }
            let string = self
                .copyinstr(p, string, left)
                .map_err(|errno| match errno {
                    Errno::ENAMETOOLONG => Errno::E2BIG,
                    other => other,
                })?;
            left = left.checked_sub(string.len() + 9).ok_or(Errno::E2BIG)?;
            all.push(string);
            at = at.wrapping_add(8);
        }
        Ok(all)
    }

    /// The process with this id, or the caller for 0, if the caller may know of it.
    fn target(&self, call: &mut Call<'_>, pid: i32) -> Result<ProcId, Errno> {
        if pid == 0 {
            return Ok(call.p);
        }
        let target = self.pfind(Pid(pid)).ok_or(Errno::ESRCH)?;
        if self.procs.get(&target).is_some_and(|proc| proc.is_zombie()) {
            return Err(Errno::ESRCH);
        }
        self.p_cansee(call.hooks, call.p, target)?;
        Ok(target)
    }

    fn sys_getpgid(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let target = self.target(call, call.int(0))?;
        let proc = self.procs.get(&target).ok_or(Errno::ESRCH)?;
        Ok(proc.pgrp.0 as u64)
    }

    fn sys_getsid(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let target = self.target(call, call.int(0))?;
        self.session_of(target)
            .map(|sid| sid.0 as u64)
            .ok_or(Errno::ESRCH)
    }

    fn sys_setpgid(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let (pid, pgid) = (call.int(0), call.int(1));
        if pgid < 0 {
            return Err(Errno::EINVAL);
        }
        let own = self.procs.get(&call.p).map(|proc| proc.pid.0);
        let pid = if own == Some(pid) { 0 } else { pid };
        let target = self.target(call, pid)?;
        self.setpgid(call.p, target, Pid(pgid))?;
        Ok(0)
    }

    fn sys_thr_self(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [at, ..] = call.args;
        // `long *`
        let tid = i64::from(call.td.0).to_le_bytes();
        self.copyout(call.p, at, &tid)?;
        Ok(0)
    }

    /// `procctl(P_PID, self, PROC_REAP_ACQUIRE | PROC_REAP_RELEASE)`.
    fn sys_procctl(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let (idtype, id, command) = (call.int(0), call.int(1), call.int(2));
        if idtype != 0 {
            return Err(Errno::EINVAL);
        }
        if self.target(call, id)? != call.p {
            return Err(Errno::EPERM);
        }
        let proc = self.procs.get(&call.p).ok_or(Errno::ESRCH)?;
        let (is_reaper, heir) = (proc.is_reaper, proc.reaper);
        match command {
            PROC_REAP_ACQUIRE if is_reaper => Err(Errno::EBUSY),
            PROC_REAP_ACQUIRE => {
                self.reap_acquire(call.p);
                Ok(0)
            }
            PROC_REAP_RELEASE if !is_reaper => Err(Errno::EINVAL),
            PROC_REAP_RELEASE => {
                self.reaper_abandon(call.p, heir);
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// `reap_acquire`: from now on orphans below the process become its children. Those it has
    /// already stay with the reaper above.
    pub fn reap_acquire(&mut self, p: ProcId) {
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.is_reaper = true;
        }
    }
}
