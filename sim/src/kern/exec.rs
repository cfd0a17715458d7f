// SPDX-License-Identifier: BSD-2-Clause
//! Programs into processes (`sys/kern/kern_exec.c`, 15.0).

use super::Kern;
use super::file::FileKind;
use super::hooks::Hooks;
use super::proc::Ucred;
use super::sendsig::{SIGCODE, sigcode};
use super::sig::SIG_IGN;
use super::trace::TraceItem;
use super::types::{ProcId, SigSet, Tid, VmId};
use crate::errno::Errno;
use crate::guest::asm::{DATA_BASE, TEXT_BASE};
use crate::guest::{Program, Regs};
use crate::vm::{Inherit, Objects, PAGE_SIZE, Prot, View, VmError, Vmspace, round_page};
use std::sync::Arc;

/// One past the highest address of the stack.
pub const USRSTACK: u64 = SIGCODE - PAGE_SIZE;
/// Bytes of stack.
pub const STACK_SIZE: u64 = 1 << 16;
/// Bytes of arguments and environment at most; `ARG_MAX`, bounded by the stack.
pub const ARGS_MAX: usize = 1 << 14;
/// Bytes in the name of a program that `p_comm` keeps (`MAXCOMLEN`).
pub const MAXCOMLEN: usize = 19;

/// What a program is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecArgs {
    /// `argv`, each without its NUL.
    pub argv: Vec<Vec<u8>>,
    /// `envp`, each without its NUL.
    pub envp: Vec<Vec<u8>>,
}

impl Kern {
    /// Starts a program as a new child of the kernel's init, in a session of its own, with the
    /// console as descriptors 0 to 2.
    ///
    /// # Errors
    /// `ENOENT` where no such program or prison is; `EAGAIN`, `ENOMEM` as fork and exec.
    pub fn spawn(
        &mut self,
        hooks: &mut dyn Hooks,
        path: &str,
        args: &[&str],
        ucred: Ucred,
    ) -> Result<ProcId, Errno> {
        let program = self.programs.get(path).cloned().ok_or(Errno::ENOENT)?;
        if !self.prisons.contains_key(&ucred.prison) {
            return Err(Errno::ENOENT);
        }
        let argv = std::iter::once(path).chain(args.iter().copied());
        let args = ExecArgs {
            argv: argv.map(|arg| arg.as_bytes().to_vec()).collect(),
            envp: Vec::new(),
        };
        let (space, regs) = self.load(&program, &args)?;
        let tid = self.find_tid().ok_or(Errno::EAGAIN)?;
        let p = match self.make_proc(comm(path), ucred) {
            Ok(p) => p,
            Err(errno) => {
                self.discard(space);
                return Err(errno);
            }
        };
        self.replace_vm(p, space);
        for _ in 0..3 {
            self.falloc(p, FileKind::Console, false, false)?;
        }
        self.add_thread(tid, p, regs, SigSet::default());
        hooks.thread_ctor(self, tid);
        let parent = self.initproc();
        self.trace.push(TraceItem::Fork { parent, child: p });
        hooks.process_fork(self, parent, p);
        self.exec_done(hooks, p, path);
        self.setrunnable(tid);
        Ok(p)
    }

    /// `kern_execve`: replaces the program of the thread's process.
    ///
    /// # Errors
    /// `ENOENT`, `ENOMEM`, `E2BIG`; the old program is as it was.
    pub(crate) fn execve(
        &mut self,
        hooks: &mut dyn Hooks,
        td: Tid,
        path: &str,
        args: &ExecArgs,
    ) -> Result<(), Errno> {
        let program = self.programs.get(path).cloned().ok_or(Errno::ENOENT)?;
        let p = self.proc_of(td).ok_or(Errno::ESRCH)?;
        let (space, regs) = self.load(&program, args)?;
        for other in self.threads_of(p) {
            if other != td {
                self.end_thread(hooks, other);
            }
        }
        self.replace_vm(p, space);
        self.fdcloseexec(p);
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.regs = regs;
        }
        if let Some(proc) = self.procs.get_mut(&p) {
            // Caught signals go back to their default, ignored ones stay (`execsigs`).
            proc.sigacts.retain(|_, action| action.handler == SIG_IGN);
            proc.execed = true;
            proc.comm = comm(path).into();
        }
        self.vfork_done(p);
        self.exec_done(hooks, p, path);
        Ok(())
    }

    fn exec_done(&mut self, hooks: &mut dyn Hooks, p: ProcId, path: &str) {
        self.trace.push(TraceItem::Exec {
            p,
            path: path.into(),
        });
        hooks.process_exec(self, p);
    }

    fn replace_vm(&mut self, p: ProcId, space: Vmspace) {
        let id = VmId(self.unique());
        self.vmspaces.insert(id, space);
        if let Some(proc) = self.procs.get_mut(&p) {
            let old = std::mem::replace(&mut proc.vm, id);
            self.rele_vm(old);
        }
    }

    fn discard(&mut self, mut space: Vmspace) {
        space.free(&mut self.objects);
    }

    /// A new address space with the program in it, and the registers to begin with.
    fn load(&mut self, program: &Program, args: &ExecArgs) -> Result<(Vmspace, Regs), Errno> {
        let mut space = Vmspace::new(self.config.vmem_max);
        let built = build(&mut space, &mut self.objects, program, args);
        match built {
            Ok(regs) => Ok((space, regs)),
            Err(errno) => {
                self.discard(space);
                Err(errno)
            }
        }
    }
}

fn build(
    space: &mut Vmspace,
    objects: &mut Objects,
    program: &Program,
    args: &ExecArgs,
) -> Result<Regs, Errno> {
    segment(space, objects, TEXT_BASE, &program.text, Prot::RX)?;
    segment(space, objects, DATA_BASE, &program.data, Prot::RW)?;
    segment(space, objects, SIGCODE, &sigcode(), Prot::RX)?;
    space.daddr = round_page(DATA_BASE + program.data.len() as u64).ok_or(Errno::ENOMEM)?;
    let stack = USRSTACK - STACK_SIZE;
    let mapped = space.map_at(objects, stack, STACK_SIZE, Prot::RW, Inherit::Copy);
    mapped.map_err(VmError::errno)?;
    let mut regs = Regs {
        pc: program.entry,
        ..Regs::default()
    };
    let (argv, envp, sp) = copy_strings(&mut View { space, objects }, args)?;
    let [_, r1, r2, r3, .., r15] = &mut regs.r;
    *r1 = args.argv.len() as u64;
    (*r2, *r3, *r15) = (argv, envp, sp);
    Ok(regs)
}

/// Maps a segment with its contents; nothing where it is empty.
fn segment(
    space: &mut Vmspace,
    objects: &mut Objects,
    base: u64,
    bytes: &[u8],
    prot: Prot,
) -> Result<(), Errno> {
    if bytes.is_empty() {
        return Ok(());
    }
    let object = space.map_at(objects, base, bytes.len() as u64, prot, Inherit::Copy);
    let object = object.map_err(VmError::errno)?;
    for (index, chunk) in (0_u64..).zip(bytes.chunks(PAGE_SIZE as usize)) {
        let mut page = [0; PAGE_SIZE as usize];
        for (to, from) in page.iter_mut().zip(chunk) {
            *to = *from;
        }
        let put = objects.put(object, index, Arc::new(page));
        put.ok_or(Errno::ENOMEM)?;
    }
    Ok(())
}

/// `exec_copyout_strings`: returns where `argv` and `envp` lie, and the stack pointer below.
fn copy_strings(view: &mut View<'_>, args: &ExecArgs) -> Result<(u64, u64, u64), Errno> {
    let all = args.argv.iter().chain(&args.envp);
    let bytes: usize = all.clone().map(|arg| arg.len() + 1).sum();
    let pointers = args.argv.len() + args.envp.len() + 2;
    if bytes + 8 * pointers > ARGS_MAX {
        return Err(Errno::E2BIG);
    }
    let strings = (USRSTACK - bytes as u64) & !15;
    let table = (strings - 8 * pointers as u64) & !15;
    let mut text = Vec::new();
    let mut words: Vec<u64> = Vec::new();
    for group in [&args.argv, &args.envp] {
        for arg in group {
            words.push(strings + text.len() as u64);
            text.extend_from_slice(arg);
            text.push(0);
        }
        words.push(0);
    }
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let fault = |_| Errno::ENOMEM;
    view.write(strings, &text).map_err(fault)?;
    view.write(table, &words).map_err(fault)?;
    Ok((table, table + 8 * (args.argv.len() as u64 + 1), table))
}

/// The name that `p_comm` keeps of a path.
fn comm(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let end = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = end.take_while(|end| *end <= MAXCOMLEN).last().unwrap_or(0);
    name.get(..end).unwrap_or(name)
}
