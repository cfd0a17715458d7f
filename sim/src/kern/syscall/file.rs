// SPDX-License-Identifier: BSD-2-Clause
//! Calls about descriptors (`sys_generic.c`, `kern_descrip.c`, `sys_pipe.c`, 15.0).

use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::file::{File, FileKind};
use crate::kern::pipe::Piped;
use crate::kern::sleep::{CallState, Chan, WaitState, Wmesg};
use crate::kern::socklayer::SocketLayer as _;
use crate::kern::trace::TraceItem;
use crate::kern::types::{ProcId, SIGPIPE};
use crate::net::cx::SoWait;

/// `O_NONBLOCK`
pub(super) const O_NONBLOCK: i32 = 0x4;
/// `O_CLOEXEC`
const O_CLOEXEC: i32 = 0x10_0000;
/// `IOSIZE_MAX`
pub(super) const IOSIZE_MAX: u64 = i32::MAX as u64;
/// Bytes that one step of a transfer to a pipe or console moves at most; a longer one takes several.
const CHUNK: usize = 65_536;

impl Kern {
    pub(super) fn file_call(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        let [fd, second, ..] = call.args;
        match code {
            sys::SYS_READ => self.sys_read(call).into(),
            sys::SYS_WRITE => self.sys_write(call).into(),
            sys::SYS_CLOSE => self.sys_close(call).into(),
            sys::SYS_DUP => self
                .dup(call.p, int(fd), 0, None, false)
                .map(|fd| fd as u64)
                .into(),
            sys::SYS_DUP2 => {
                let dup = self.dup(call.p, int(fd), 0, Some(int(second)), false);
                dup.map(|fd| fd as u64).into()
            }
            sys::SYS_FCNTL => self.sys_fcntl(call).into(),
            _ => self.sys_pipe2(call).into(),
        }
    }

    /// `kern_close`, and the wait of `soclose` (`uipc_socket.c`) before it: the descriptor goes when that is over.
    fn sys_close(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let [fd, ..] = call.args;
        let (_, file) = self.fget(call.p, int(fd))?;
        let mut result = Ok(Outcome::Done(0));
        if let FileKind::Socket(vnet, so) = file.kind
            && file.refs == 1
            && !file.nonblock
        {
            let now = self.now;
            let layer = self.vnets.get_mut(&vnet);
            if let Some(time) = layer.and_then(|layer| layer.solinger(now, so)) {
                let until = call.prev.as_ref().and_then(|wait| wait.deadline);
                let until = until.unwrap_or(now.after(time));
                if now < until {
                    let chan = Chan::Socket(vnet, so, SoWait::Timeo);
                    let wait = WaitState::on(vec![chan], Wmesg::Soclos).until(Some(until));
                    return Ok(Outcome::Block(wait));
                }
                result = Err(Errno::EAGAIN);
            }
        }
        self.close(call.p, int(fd))?;
        result
    }

    fn sys_read(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let [fd, buf, len, ..] = call.args;
        let (_, file) = self.fget(call.p, int(fd))?;
        if len > IOSIZE_MAX {
            return Err(Errno::EINVAL);
        }
        match file.kind {
            FileKind::Console => Ok(Outcome::Done(0)),
            FileKind::Socket(vnet, so) => {
                let mut args = call.args;
                let [.., flags, from, fromlen] = &mut args;
                (*flags, *from, *fromlen) = (0, 0, 0);
                self.receive(call, vnet, so, file.nonblock, args)
            }
            FileKind::Pipe(pipe, side) => {
                let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
                match self.pipe_read(pipe, side, len)? {
                    Piped::Done(data) => {
                        self.copyout(call.p, buf, &data)?;
                        Ok(Outcome::Done(data.len() as u64))
                    }
                    Piped::Blocked(_) if file.nonblock => Err(Errno::EAGAIN),
                    Piped::Blocked(chan) => {
                        Ok(Outcome::Block(WaitState::on(vec![chan], Wmesg::Piperd)))
                    }
                }
            }
        }
    }

    fn sys_write(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let [fd, buf, len, ..] = call.args;
        let (_, file) = self.fget(call.p, int(fd))?;
        if len > IOSIZE_MAX {
            return Err(Errno::EINVAL);
        }
        match file.kind {
            FileKind::Console => self.console_write(call.p, buf, len),
            FileKind::Socket(vnet, so) => {
                let mut args = call.args;
                let [.., flags, to, tolen] = &mut args;
                (*flags, *to, *tolen) = (0, 0, 0);
                self.send(call, vnet, so, file.nonblock, args)
            }
            FileKind::Pipe(..) => self.pipe_write_all(call, file, buf, len),
        }
    }

    fn console_write(&mut self, p: ProcId, buf: u64, len: u64) -> Result<Outcome, Errno> {
        let mut text = Vec::new();
        self.copyin_chunk(p, buf, len, CHUNK, &mut text)?;
        let prison = self
            .procs
            .get(&p)
            .map(|proc| proc.ucred.prison)
            .unwrap_or_default();
        let written = text.len() as u64;
        self.trace.push(TraceItem::Console { p, prison, text });
        Ok(Outcome::Done(written))
    }

    /// Writes until all is taken; sleeps in between, or stops where the pipe does not block.
    fn pipe_write_all(
        &mut self,
        call: &mut Call<'_>,
        file: File,
        buf: u64,
        len: u64,
    ) -> Result<Outcome, Errno> {
        let FileKind::Pipe(pipe, side) = file.kind else {
            return Err(Errno::EBADF);
        };
        let mut done = progress(call);
        loop {
            let mut data = Vec::new();
            self.copyin_chunk(call.p, buf.wrapping_add(done), len - done, CHUNK, &mut data)?;
            match self.pipe_write(pipe, side, &data) {
                Ok(Piped::Done(taken)) => done += taken as u64,
                Ok(Piped::Blocked(_)) if file.nonblock && done > 0 => {
                    return Ok(Outcome::Done(done));
                }
                Ok(Piped::Blocked(_)) if file.nonblock => return Err(Errno::EAGAIN),
                Ok(Piped::Blocked(chan)) => {
                    let wait = WaitState::on(vec![chan], Wmesg::Pipewr);
                    return Ok(Outcome::Block(wait.having(CallState::Progress(done))));
                }
                Err(Errno::EPIPE) => {
                    self.psignal(call.p, SIGPIPE, None);
                    return Err(Errno::EPIPE);
                }
                Err(errno) => return Err(errno),
            }
            if done >= len {
                return Ok(Outcome::Done(done));
            }
        }
    }

    /// At most `most` bytes of a program's buffer.
    pub(super) fn copyin_chunk(
        &mut self,
        p: ProcId,
        at: u64,
        len: u64,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        out.resize(len, 0);
        self.copyin(p, at, out)
    }

    fn sys_fcntl(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [fd, _, arg, ..] = call.args;
        let number = int(fd);
        let (fde, file) = self.fget(call.p, number)?;
        match call.int(1) {
            // F_DUPFD, F_DUPFD_CLOEXEC
            command @ (0 | 17) => {
                let from = i64::from(arg as i32);
                let fd = self.dup(call.p, number, from, None, command == 17)?;
                Ok(fd as u64)
            }
            // F_GETFD
            1 => Ok(u64::from(fde.cloexec)),
            // F_SETFD
            2 => {
                let proc = self.procs.get_mut(&call.p).ok_or(Errno::EBADF)?;
                let fde = proc.fds.fds.get_mut(&(number as i32)).ok_or(Errno::EBADF)?;
                fde.cloexec = arg & 1 != 0;
                Ok(0)
            }
            // F_GETFL: O_RDWR, and O_NONBLOCK where it is set
            3 => Ok(2 | if file.nonblock { O_NONBLOCK as u64 } else { 0 }),
            // F_SETFL
            4 => {
                if let Some(file) = self.files.get_mut(&fde.file) {
                    file.nonblock = arg as i32 & O_NONBLOCK != 0;
                }
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn sys_pipe2(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [at, ..] = call.args;
        let flags = call.int(1);
        if flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        self.fd_room(call.p, 2)?;
        let (nonblock, cloexec) = (flags & O_NONBLOCK != 0, flags & O_CLOEXEC != 0);
        let pipe = self.pipe_create();
        let read = self.falloc(call.p, FileKind::Pipe(pipe, 0), nonblock, cloexec)?;
        let write = self.falloc(call.p, FileKind::Pipe(pipe, 1), nonblock, cloexec)?;
        let mut both = read.to_le_bytes().to_vec();
        both.extend(write.to_le_bytes());
        if let Err(errno) = self.copyout(call.p, at, &both) {
            self.close(call.p, read as u64)?;
            self.close(call.p, write as u64)?;
            return Err(errno);
        }
        Ok(0)
    }
}

/// A descriptor as the `int` that it is.
pub(super) fn int(register: u64) -> u64 {
    i64::from(register as i32) as u64
}

/// How much of a transfer was done before it slept.
pub(super) fn progress(call: &Call<'_>) -> u64 {
    match call.prev.as_ref().map(|wait| wait.state) {
        Some(CallState::Progress(done)) => done,
        _ => 0,
    }
}
