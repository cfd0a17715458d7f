// SPDX-License-Identifier: BSD-2-Clause
//! Handlers: the frame on the program's stack, and the way back (`sendsig`, `sys_sigreturn`,
//! `sys/amd64/amd64/exec_machdep.c`, 15.0).

use super::Kern;
use super::hooks::Hooks;
use super::sig::SIG_IGN;
use super::trace::TraceItem;
use super::types::{SIGILL, SigSet, Siginfo, Tid};
use crate::errno::Errno;
use crate::guest::Regs;
use crate::guest::abi::{Field, LP64, get, put};
use crate::guest::consts::sys::SYS_SIGRETURN;
use crate::guest::isa::{Insn, Op, SP};

/// Where the code lies that a handler returns to: the shared page, above the stack.
pub(crate) const SIGCODE: u64 = 0x7fff_ffff_e000;

/// `SA_RESETHAND`: the handler is for one signal only.
const SA_RESETHAND: u32 = 0x4;
/// `SA_NODEFER`: the signal is not blocked in its own handler.
const SA_NODEFER: u32 = 0x10;

/// The code at [`SIGCODE`]: the handler's `ret` has left `sp` at the signal's information, behind
/// which the context lies that sigreturn takes.
pub(crate) fn sigcode() -> Vec<u8> {
    let insn = |op, a, b, imm| Insn {
        op,
        a,
        b,
        c: 0,
        imm,
    };
    let code = [
        insn(Op::AddI, 1, SP, LP64.siginfo.size as i32),
        insn(Op::Li, 0, 0, SYS_SIGRETURN as i32),
        insn(Op::Syscall, 0, 0, 0),
        insn(Op::Brk, 0, 0, 0),
    ];
    code.iter().flat_map(|insn| insn.encode()).collect()
}

/// Reads a set of signals from its words.
pub(crate) fn get_sigset(bytes: &[u8], words: &[Field; 4]) -> SigSet {
    let words = words.iter().rev();
    SigSet(words.fold(0, |set, word| set << 32 | u128::from(get(bytes, *word))))
}

/// Writes a set of signals as its words.
pub(crate) fn put_sigset(bytes: &mut [u8], words: &[Field; 4], set: SigSet) {
    for (n, word) in words.iter().enumerate() {
        put(bytes, *word, (set.0 >> (32 * n)) as u64 & 0xffff_ffff);
    }
}

impl Kern {
    /// `postsig`: calls the handler, or the process dies.
    pub(crate) fn postsig(
        &mut self,
        td: Tid,
        signo: i32,
        mut info: Siginfo,
        hooks: &mut dyn Hooks,
    ) {
        let Some(p) = self.proc_of(td) else {
            return;
        };
        let Some(action) = self.procs.get(&p).map(|proc| proc.action(signo)) else {
            return;
        };
        if action.handler <= SIG_IGN {
            return self.sigexit(p, signo, hooks);
        }
        hooks.sendsig(self, td, &mut info);
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        let return_mask = thread.oldsigmask.take().unwrap_or(thread.sigmask);
        let regs = thread.regs;
        let Some(entered) = self.push_frame(td, &regs, return_mask, &info, action.handler) else {
            return self.sigexit(p, SIGILL, hooks);
        };
        let mut block = action.mask;
        if action.flags & SA_NODEFER == 0 {
            block = block.with(signo);
        }
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.regs = entered;
            thread.sigmask = thread.sigmask.union(block).minus(SigSet::CANTMASK);
        }
        if action.flags & SA_RESETHAND != 0
            && let Some(proc) = self.procs.get_mut(&p)
        {
            proc.sigacts.remove(&signo);
        }
        self.trace.push(TraceItem::Signal {
            p,
            signo,
            handler: action.handler,
        });
    }

    /// Writes the frame; returns the registers with which the handler begins. `None` where the
    /// stack cannot be written.
    fn push_frame(
        &mut self,
        td: Tid,
        regs: &Regs,
        mask: SigSet,
        info: &Siginfo,
        handler: u64,
    ) -> Option<Regs> {
        let (si, mc) = (&LP64.siginfo, &LP64.mcontext);
        let mut frame = vec![0; LP64.pointer + si.size + mc.size];
        let (ret, rest) = frame.split_at_mut_checked(LP64.pointer)?;
        ret.copy_from_slice(&SIGCODE.to_le_bytes());
        let (siginfo, context) = rest.split_at_mut_checked(si.size)?;
        put(siginfo, si.signo, info.signo as u64);
        put(siginfo, si.code, info.code as u64);
        put(siginfo, si.pid, info.pid.0 as u64);
        put(siginfo, si.uid, u64::from(info.uid));
        put(siginfo, si.status, info.status as u64);
        put(siginfo, si.addr, info.addr);
        put_sigset(context, &mc.mask, mask);
        put(context, mc.pc, regs.pc);
        put(context, mc.carry, u64::from(regs.carry));
        for (n, value) in regs.r.iter().enumerate() {
            put(context, register(n), *value);
        }
        let [.., sp] = regs.r;
        let top = sp.checked_sub(frame.len() as u64)? & !15;
        let p = self.proc_of(td)?;
        self.view(p)?.write(top, &frame).ok()?;
        let mut entered = Regs {
            pc: handler,
            ..*regs
        };
        let at = top + LP64.pointer as u64;
        let [_, r1, r2, r3, .., sp] = &mut entered.r;
        *r1 = info.signo as u64;
        *r2 = at;
        *r3 = at + si.size as u64;
        *sp = top;
        Some(entered)
    }

    /// `sys_sigreturn`: registers and mask as the context says.
    ///
    /// # Errors
    /// `EFAULT` where it cannot be read.
    pub(crate) fn sigreturn(&mut self, td: Tid, context: u64) -> Result<(), Errno> {
        let mc = &LP64.mcontext;
        let mut bytes = vec![0; mc.size];
        let p = self.proc_of(td).ok_or(Errno::ESRCH)?;
        let view = self.view(p).ok_or(Errno::EFAULT)?;
        view.read(context, &mut bytes).map_err(|_| Errno::EFAULT)?;
        let thread = self.threads.get_mut(&td).ok_or(Errno::ESRCH)?;
        thread.sigmask = get_sigset(&bytes, &mc.mask).minus(SigSet::CANTMASK);
        thread.regs.pc = get(&bytes, mc.pc);
        thread.regs.carry = get(&bytes, mc.carry) != 0;
        for (n, value) in thread.regs.r.iter_mut().enumerate() {
            *value = get(&bytes, register(n));
        }
        Ok(())
    }
}

fn register(n: usize) -> Field {
    let first = LP64.mcontext.regs;
    Field {
        offset: first.offset + n * first.width,
        width: first.width,
    }
}
