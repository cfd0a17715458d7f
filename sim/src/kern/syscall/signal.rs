// SPDX-License-Identifier: BSD-2-Clause
//! Calls about signals (`kern_sig.c`, 15.0).

use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::abi::{LP64, get, put};
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::proc::SigAction;
use crate::kern::sendsig::{get_sigset, put_sigset};
use crate::kern::sig::SIG_IGN;
use crate::kern::sleep::{WaitState, Wmesg};
use crate::kern::types::{DefaultAction, ProcId, SIG_MAXSIG, SIGCONT, SigSet, sigprop};

/// Bytes in a `sigset_t`.
const SIGSET_SIZE: usize = 16;

impl Kern {
    pub(super) fn signal_call(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        match code {
            sys::SYS_KILL => {
                let (pid, signo) = (call.int(0), call.int(1));
                self.kill(call.hooks, call.p, pid, signo).map(|()| 0).into()
            }
            sys::SYS_SIGACTION => self.sys_sigaction(call).into(),
            sys::SYS_SIGPROCMASK => self.sys_sigprocmask(call).into(),
            sys::SYS_SIGSUSPEND => self.sys_sigsuspend(call).into(),
            sys::SYS_SIGPENDING => self.sys_sigpending(call).into(),
            _ => {
                let [context, ..] = call.args;
                match self.sigreturn(call.td, context) {
                    Ok(()) => Outcome::JustReturn,
                    Err(errno) => Outcome::Err(errno),
                }
            }
        }
    }

    fn sys_sigaction(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let signo = call.int(0);
        let [_, act, oact, ..] = call.args;
        let layout = &LP64.sigaction;
        if !(1..=SIG_MAXSIG).contains(&signo) {
            return Err(Errno::EINVAL);
        }
        let proc = self.procs.get(&call.p).ok_or(Errno::ESRCH)?;
        let old = proc.action(signo);
        let mut new = None;
        if act != 0 {
            let mut bytes = vec![0; layout.size];
            self.copyin(call.p, act, &mut bytes)?;
            let action = SigAction {
                handler: get(&bytes, layout.handler),
                flags: get(&bytes, layout.flags) as u32,
                mask: get_sigset(&bytes, &layout.mask).minus(SigSet::CANTMASK),
            };
            if SigSet::CANTMASK.has(signo) && action.handler != 0 {
                return Err(Errno::EINVAL);
            }
            new = Some(action);
        }
        if oact != 0 {
            let mut bytes = vec![0; layout.size];
            put(&mut bytes, layout.handler, old.handler);
            put(&mut bytes, layout.flags, u64::from(old.flags));
            put_sigset(&mut bytes, &layout.mask, old.mask);
            self.copyout(call.p, oact, &bytes)?;
        }
        if let Some(action) = new {
            self.set_action(call.p, signo, action);
        }
        Ok(0)
    }

    fn set_action(&mut self, p: ProcId, signo: i32, action: SigAction) {
        if let Some(proc) = self.procs.get_mut(&p) {
            proc.sigacts.insert(signo, action);
        }
        // What waits already is dropped where it would be ignored now.
        let ignored = match sigprop(signo) {
            DefaultAction::Ignore => action.handler <= SIG_IGN,
            _ => action.handler == SIG_IGN && signo != SIGCONT,
        };
        if ignored {
            self.dequeue_signal(p, signo);
        }
    }

    fn sys_sigprocmask(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let how = call.int(0);
        let [_, set, oset, ..] = call.args;
        let thread = self.threads.get(&call.td).ok_or(Errno::ESRCH)?;
        let old = thread.sigmask;
        let mut mask = old;
        if set != 0 {
            let set = self.copyin_sigset(call.p, set)?;
            // SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK
            mask = match how {
                1 => old.union(set),
                2 => old.minus(set),
                3 => set,
                _ => return Err(Errno::EINVAL),
            };
        }
        if oset != 0 {
            self.copyout_sigset(call.p, oset, old)?;
        }
        if let Some(thread) = self.threads.get_mut(&call.td) {
            thread.sigmask = mask.minus(SigSet::CANTMASK);
        }
        Ok(0)
    }

    /// The mask is set until the handler returns; the call never ends but by a signal.
    fn sys_sigsuspend(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        if call.prev.is_none() {
            let [set, ..] = call.args;
            let set = self.copyin_sigset(call.p, set)?;
            let thread = self.threads.get_mut(&call.td).ok_or(Errno::ESRCH)?;
            thread.oldsigmask = Some(thread.sigmask);
            thread.sigmask = set.minus(SigSet::CANTMASK);
        }
        Ok(Outcome::Block(WaitState::on(Vec::new(), Wmesg::Pause)))
    }

    fn sys_sigpending(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [at, ..] = call.args;
        let set = self.pending(call.td);
        self.copyout_sigset(call.p, at, set)?;
        Ok(0)
    }

    fn copyin_sigset(&mut self, p: ProcId, at: u64) -> Result<SigSet, Errno> {
        let mut bytes = [0; SIGSET_SIZE];
        self.copyin(p, at, &mut bytes)?;
        Ok(get_sigset(&bytes, &LP64.sigset))
    }

    fn copyout_sigset(&mut self, p: ProcId, at: u64, set: SigSet) -> Result<(), Errno> {
        let mut bytes = [0; SIGSET_SIZE];
        put_sigset(&mut bytes, &LP64.sigset, set);
        self.copyout(p, at, &bytes)
    }
}
