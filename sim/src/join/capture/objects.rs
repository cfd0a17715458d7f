// SPDX-License-Identifier: BSD-2-Clause
//! What descriptors name: pipes, open files, and the tables themselves; and signal actions.

use super::{Capture, CaptureError};
use crate::kern::Kern;
use crate::kern::file::FileKind;
use crate::kern::pipe::PIPE_SIZE;
use crate::kern::proc::Proc;
use crate::kern::types::{FileId, PipeId, ProcId};
use std::collections::BTreeMap;
use vpscore::cbor::Bytes;
use vpscore::collections::List;
use vpscore::image::schema::{self, FileType, PipeBuf};
use vpscore::time::Duration;

/// `PIPE_EOF` (`pipe.h`, 15.0).
pub(in crate::join) const PIPE_EOF: u32 = 0x80;
/// `FREAD | FWRITE` (`fcntl.h`).
pub(in crate::join) const FREAD_FWRITE: u32 = 0x3;
/// `FNONBLOCK`.
pub(in crate::join) const FNONBLOCK: u32 = 0x4;
/// `UF_EXCLOSE` (`filedesc.h`).
pub(in crate::join) const UF_EXCLOSE: u8 = 0x1;
/// The mask that processes have, which no program changes.
pub(in crate::join) const CMASK: u16 = 0o022;

/// Whether a process has a pipe open.
pub(super) fn has_pipe(kern: &Kern, procs: &[&Proc]) -> bool {
    let fdes = procs.iter().flat_map(|proc| proc.fds.fds.values());
    let mut kinds = fdes.filter_map(|fde| kern.file(fde.file));
    kinds.any(|(kind, _)| matches!(kind, FileKind::Pipe(..)))
}

impl Capture<'_> {
    /// Every descriptor in the image: whose, its number and its file.
    pub(super) fn descriptors(&self) -> Vec<(ProcId, i32, FileId)> {
        let of = |proc: &&Proc| {
            let (p, fds) = (proc.id(), proc.fds.fds.clone());
            fds.into_iter().map(move |(fd, fde)| (p, fd, fde.file))
        };
        self.procs.iter().flat_map(of).collect()
    }

    pub(super) fn files(&mut self) -> Result<(), CaptureError> {
        let descriptors = self.descriptors();
        self.check_files(&descriptors)?;
        for (p, _, file) in &descriptors {
            if let Some((FileKind::Pipe(pipe, _), _)) = self.kern.file(*file) {
                self.pipe(*p, pipe)?;
            }
        }
        self.sockets()?;
        for (p, fd, file) in &descriptors {
            if !self.files.contains_key(file) {
                self.file(*p, *fd, *file)?;
            }
        }
        for proc in self.procs.clone() {
            if !proc.is_zombie() {
                self.filedesc(proc)?;
            }
        }
        Ok(())
    }

    /// Refuses what is open outside as well.
    fn check_files(&self, descriptors: &[(ProcId, i32, FileId)]) -> Result<(), CaptureError> {
        let mut inside: BTreeMap<FileId, u32> = BTreeMap::new();
        let mut ends: BTreeMap<PipeId, [bool; 2]> = BTreeMap::new();
        for (_, _, file) in descriptors {
            *inside.entry(*file).or_default() += 1;
            if let Some((FileKind::Pipe(pipe, side), _)) = self.kern.file(*file) {
                let [first, second] = ends.entry(pipe).or_default();
                *(if side == 0 { first } else { second }) = true;
            }
        }
        for (p, fd, file) in descriptors {
            let shared =
                self.kern.files.get(file).map(|file| file.refs) != inside.get(file).copied();
            match self.kern.file(*file).map(|(kind, _)| kind) {
                Some(FileKind::Console) | None => {}
                // A socket of a stack that stays behind.
                Some(FileKind::Socket(vnet, _)) if !self.has_stack(vnet) => {
                    return Err(CaptureError::Socket(*p, *fd));
                }
                Some(FileKind::Pipe(..) | FileKind::Socket(..)) if shared => {
                    return Err(CaptureError::FileOutside(*p, *fd));
                }
                Some(FileKind::Socket(..)) => {}
                Some(FileKind::Pipe(pipe, _)) => {
                    let open = self.kern.pipes.get(&pipe).map(|pipe| pipe.open);
                    if open != ends.get(&pipe).copied() {
                        return Err(CaptureError::PipeOutside(*p, *fd));
                    }
                }
            }
        }
        Ok(())
    }

    fn pipe(&mut self, p: ProcId, id: PipeId) -> Result<(), CaptureError> {
        let (Some(pipe), Some(owner)) = (self.kern.pipes.get(&id), self.kern.proc(p)) else {
            return Ok(());
        };
        if self.pipes.contains_key(&id) {
            return Ok(());
        }
        let buf = |side: usize, other_open: bool| PipeBuf {
            cnt: pipe
                .buffers
                .get(side)
                .map_or(0, |buffer| u32::try_from(buffer.len()).unwrap_or(u32::MAX)),
            size: PIPE_SIZE as u32,
            pipe_state: if other_open { 0 } else { PIPE_EOF },
            pipe_atime: Duration::ZERO,
            pipe_mtime: Duration::ZERO,
            pipe_ctime: Duration::ZERO,
        };
        let reference = self.w.put(&schema::Pipe {
            pp_rpipe: buf(0, pipe.is_open(1)),
            pp_wpipe: buf(1, pipe.is_open(0)),
            pipe_ino: 0,
            pp_owner: self.cred(owner.ucred())?,
        })?;
        for (stream, buffer) in (0..).zip(&pipe.buffers) {
            let (first, second) = buffer.as_slices();
            self.w.stream(stream, first)?;
            self.w.stream(stream, second)?;
        }
        self.pipes.insert(id, reference);
        Ok(())
    }

    fn file(&mut self, p: ProcId, fd: i32, id: FileId) -> Result<(), CaptureError> {
        let (Some((kind, nonblock)), Some(proc)) = (self.kern.file(id), self.kern.proc(p)) else {
            return Ok(());
        };
        let mut socket = None;
        let (f_type, pipe, pipe_end, dev) = match kind {
            FileKind::Console => {
                let dev = Bytes::copy(b"console")?;
                (FileType::Dev, None, false, Some(dev))
            }
            FileKind::Pipe(pipe, side) => {
                let pipe = self.pipes.get(&pipe).copied();
                (FileType::Pipe, pipe, side == 1, None)
            }
            FileKind::Socket(vnet, so) => {
                let gone = CaptureError::Socket(p, fd);
                socket = Some(self.socket(vnet, so).ok_or(gone)?);
                (FileType::Socket, None, false, None)
            }
        };
        let reference = self.w.put(&schema::File {
            f_type,
            f_flag: FREAD_FWRITE | if nonblock { FNONBLOCK } else { 0 },
            f_offset: 0,
            f_cred: self.cred(proc.ucred())?,
            socket,
            pipe,
            pipe_end,
            dev,
        })?;
        self.files.insert(id, reference);
        Ok(())
    }

    fn filedesc(&mut self, proc: &Proc) -> Result<(), CaptureError> {
        let mut fd_ofiles = List::new();
        for (fd, fde) in &proc.fds.fds {
            if let (Some(file), Ok(fd)) = (self.files.get(&fde.file), u32::try_from(*fd)) {
                fd_ofiles.push(schema::Filedescent {
                    fd,
                    fde_file: *file,
                    fde_flags: if fde.cloexec { UF_EXCLOSE } else { 0 },
                    fde_rights: None,
                })?;
            }
        }
        let reference = self.w.put(&schema::Filedesc {
            fd_ofiles,
            pd_cmask: CMASK,
            pwd_cdir: Bytes::copy(b"/")?,
            pwd_rdir: Bytes::copy(b"/")?,
        })?;
        self.filedescs.insert(proc.id(), reference);
        Ok(())
    }

    pub(super) fn sigacts(&mut self) -> Result<(), CaptureError> {
        for proc in self.procs.clone() {
            if proc.is_zombie() {
                continue;
            }
            let mut actions = List::new();
            for (signo, action) in &proc.sigacts {
                actions.push(schema::Sigaction {
                    signo: u16::try_from(*signo).unwrap_or(0),
                    handler: action.handler,
                    mask: action.mask.0.to_le_bytes(),
                    flags: action.flags,
                })?;
            }
            let reference = self.w.put(&schema::Sigacts {
                actions,
                ps_flag: 0,
            })?;
            self.sigacts.insert(proc.id(), reference);
        }
        Ok(())
    }
}
