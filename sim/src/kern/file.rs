// SPDX-License-Identifier: BSD-2-Clause
//! Descriptors and open files (`sys/kern/kern_descrip.c`, 15.0).

use super::Kern;
use super::types::{FileId, PipeId, ProcId, VnetId};
use crate::errno::Errno;
use crate::kern::socklayer::SocketLayer as _;
use crate::net::cx::SoId;
use std::collections::BTreeMap;

/// What an open file is (`f_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The console: what is written is told to the trace; reading finds end of file.
    Console,
    /// One side of a pipe.
    Pipe(PipeId, u8),
    /// A socket of a vnet.
    Socket(VnetId, SoId),
}

/// An open file (`struct file`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Descriptors that name it (`f_count`).
    pub refs: u32,
    /// What it is.
    pub kind: FileKind,
    /// `FNONBLOCK`
    pub nonblock: bool,
}

/// A descriptor (`struct filedescent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fde {
    /// The file.
    pub file: FileId,
    /// `FD_CLOEXEC`
    pub cloexec: bool,
}

/// The descriptors of a process (`struct filedesc`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filedesc {
    /// By number.
    pub fds: BTreeMap<i32, Fde>,
}

impl Filedesc {
    /// The lowest number at or above `from` that is free.
    fn lowest_free(&self, from: i32) -> i32 {
        let taken = self.fds.range(from..).zip(from..);
        let run = taken.take_while(|((fd, _), n)| *fd == n).count();
        from.saturating_add(i32::try_from(run).unwrap_or(i32::MAX))
    }
}

impl Kern {
    /// The descriptor of a process, and its file (`fget`).
    pub(crate) fn fget(&self, p: ProcId, fd: u64) -> Result<(Fde, File), Errno> {
        let fd = i32::try_from(fd as i64).map_err(|_| Errno::EBADF)?;
        let proc = self.procs.get(&p).ok_or(Errno::EBADF)?;
        let fde = proc.fds.fds.get(&fd).copied().ok_or(Errno::EBADF)?;
        let file = self.files.get(&fde.file).copied().ok_or(Errno::EBADF)?;
        Ok((fde, file))
    }

    /// Opens a file of this kind at the lowest free descriptor (`falloc`).
    ///
    /// # Errors
    /// `EMFILE`
    pub(crate) fn falloc(
        &mut self,
        p: ProcId,
        kind: FileKind,
        nonblock: bool,
        cloexec: bool,
    ) -> Result<i32, Errno> {
        let file = FileId(self.unique());
        let fd = self.fdalloc(p, 0, Fde { file, cloexec })?;
        self.files.insert(
            file,
            File {
                refs: 1,
                kind,
                nonblock,
            },
        );
        Ok(fd)
    }

    /// Whether `more` descriptors are free.
    pub(crate) fn fd_room(&self, p: ProcId, more: usize) -> Result<(), Errno> {
        let used = self.procs.get(&p).map_or(0, |proc| proc.fds.fds.len());
        if used.saturating_add(more) > self.config.nofile {
            return Err(Errno::EMFILE);
        }
        Ok(())
    }

    fn fdalloc(&mut self, p: ProcId, from: i32, fde: Fde) -> Result<i32, Errno> {
        let max = self.config.nofile;
        let proc = self.procs.get_mut(&p).ok_or(Errno::ESRCH)?;
        let fd = proc.fds.lowest_free(from);
        if usize::try_from(fd).map_or(true, |fd| fd >= max) {
            return Err(Errno::EMFILE);
        }
        proc.fds.fds.insert(fd, fde);
        Ok(fd)
    }

    /// `kern_dup`: a second descriptor of the same file, the lowest at or above `from`, or exactly
    /// `to`.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`, `EINVAL`
    pub(crate) fn dup(
        &mut self,
        p: ProcId,
        fd: u64,
        from: i64,
        to: Option<u64>,
        cloexec: bool,
    ) -> Result<i32, Errno> {
        let (fde, _) = self.fget(p, fd)?;
        let new = Fde {
            file: fde.file,
            cloexec,
        };
        let max = self.config.nofile;
        let number = match to {
            Some(to) => {
                let to = i32::try_from(to as i64).map_err(|_| Errno::EBADF)?;
                if usize::try_from(to).map_or(true, |to| to >= max) {
                    return Err(Errno::EBADF);
                }
                if to as u64 == fd {
                    return Ok(to);
                }
                self.hold_file(fde.file);
                let _ = self.close(p, to as u64);
                if let Some(proc) = self.procs.get_mut(&p) {
                    proc.fds.fds.insert(to, new);
                }
                return Ok(to);
            }
            None => {
                let from = i32::try_from(from).ok().filter(|from| *from >= 0);
                self.fdalloc(p, from.ok_or(Errno::EINVAL)?, new)?
            }
        };
        self.hold_file(fde.file);
        Ok(number)
    }

    /// `kern_close`; nobody waits for a socket that lingers, which `close(2)` does before.
    ///
    /// # Errors
    /// `EBADF`
    pub(crate) fn close(&mut self, p: ProcId, fd: u64) -> Result<(), Errno> {
        let number = i32::try_from(fd as i64).map_err(|_| Errno::EBADF)?;
        let proc = self.procs.get_mut(&p).ok_or(Errno::EBADF)?;
        let fde = proc.fds.fds.remove(&number).ok_or(Errno::EBADF)?;
        self.fdrop(fde.file);
        Ok(())
    }

    /// `fdcopy`: the descriptors of a child.
    pub(crate) fn fdcopy(&mut self, fds: &Filedesc) -> Filedesc {
        for fde in fds.fds.values() {
            self.hold_file(fde.file);
        }
        fds.clone()
    }

    /// `fdescfree`: closes all.
    pub(crate) fn fdescfree(&mut self, p: ProcId) {
        self.close_where(p, |_| true);
    }

    /// `fdcloseexec`
    pub(crate) fn fdcloseexec(&mut self, p: ProcId) {
        self.close_where(p, |fde| fde.cloexec);
    }

    fn close_where(&mut self, p: ProcId, which: impl Fn(&Fde) -> bool) {
        let Some(proc) = self.procs.get_mut(&p) else {
            return;
        };
        let all = std::mem::take(&mut proc.fds.fds);
        let (gone, kept) = all.into_iter().partition(|(_, fde)| which(fde));
        proc.fds.fds = kept;
        let gone: BTreeMap<i32, Fde> = gone;
        for fde in gone.into_values() {
            self.fdrop(fde.file);
        }
    }

    pub(crate) fn hold_file(&mut self, file: FileId) {
        if let Some(file) = self.files.get_mut(&file) {
            file.refs += 1;
        }
    }

    /// `fdrop`: the last reference closes the file.
    pub(crate) fn fdrop(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        file.refs = file.refs.saturating_sub(1);
        if file.refs > 0 {
            return;
        }
        let kind = file.kind;
        self.files.remove(&id);
        match kind {
            FileKind::Console => {}
            FileKind::Pipe(pipe, side) => self.pipe_close(pipe, side),
            FileKind::Socket(vnet, so) => {
                let now = self.now;
                if let Some(layer) = self.vnets.get_mut(&vnet) {
                    layer.soclose(now, so);
                }
                self.socket_wakeups();
            }
        }
    }
}
