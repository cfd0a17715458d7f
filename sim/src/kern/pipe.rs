// SPDX-License-Identifier: BSD-2-Clause
//! Pipes, which on FreeBSD carry data both ways (`sys/kern/sys_pipe.c`, 15-CURRENT).

use super::Kern;
use super::sleep::Chan;
use super::types::PipeId;
use crate::errno::Errno;
use std::collections::VecDeque;

/// Bytes that one direction holds (`BIG_PIPE_SIZE`, to which the kernel grows a pipe in use).
pub const PIPE_SIZE: usize = 65_536;
/// A write of at most this many bytes is taken whole or not at all (`PIPE_BUF`).
pub const PIPE_BUF: usize = 512;

/// A pipe. What side `s` reads is in `buffers[s]`; the other side writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipe {
    /// Data on its way to side 0 and side 1.
    pub buffers: [VecDeque<u8>; 2],
    /// Which sides are open.
    pub open: [bool; 2],
}

/// What a read or write of a pipe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piped<T> {
    /// Done.
    Done(T),
    /// It would sleep on this channel.
    Blocked(Chan),
}

const fn other(side: u8) -> u8 {
    1 - (side & 1)
}

impl Pipe {
    fn buffer(&mut self, side: u8) -> &mut VecDeque<u8> {
        let [zero, one] = &mut self.buffers;
        if side == 0 { zero } else { one }
    }

    /// Bytes that the side has to read.
    pub fn held(&self, side: u8) -> usize {
        let [zero, one] = &self.buffers;
        if side == 0 { zero.len() } else { one.len() }
    }

    /// Whether the side is open.
    pub fn is_open(&self, side: u8) -> bool {
        let [zero, one] = self.open;
        if side == 0 { zero } else { one }
    }
}

impl Kern {
    pub(crate) fn pipe_create(&mut self) -> PipeId {
        let id = PipeId(self.unique());
        let pipe = Pipe {
            open: [true, true],
            ..Pipe::default()
        };
        self.pipes.insert(id, pipe);
        id
    }

    /// Reads at most `len` bytes; none at end of file.
    pub(crate) fn pipe_read(
        &mut self,
        id: PipeId,
        side: u8,
        len: usize,
    ) -> Result<Piped<Vec<u8>>, Errno> {
        let pipe = self.pipes.get_mut(&id).ok_or(Errno::EBADF)?;
        let closed = !pipe.is_open(other(side));
        let buffer = pipe.buffer(side);
        if buffer.is_empty() && !closed && len > 0 {
            return Ok(Piped::Blocked(Chan::PipeRead(id, side)));
        }
        let data = buffer.drain(..len.min(buffer.len())).collect();
        self.wakeup(Chan::PipeWrite(id, other(side)));
        Ok(Piped::Done(data))
    }

    /// Writes what there is room for; a write of at most [`PIPE_BUF`] bytes all or nothing.
    pub(crate) fn pipe_write(
        &mut self,
        id: PipeId,
        side: u8,
        data: &[u8],
    ) -> Result<Piped<usize>, Errno> {
        let pipe = self.pipes.get_mut(&id).ok_or(Errno::EBADF)?;
        if !pipe.is_open(other(side)) {
            return Err(Errno::EPIPE);
        }
        let buffer = pipe.buffer(other(side));
        let room = PIPE_SIZE.saturating_sub(buffer.len());
        let whole = data.len() <= PIPE_BUF;
        if !data.is_empty() && (room == 0 || (whole && room < data.len())) {
            return Ok(Piped::Blocked(Chan::PipeWrite(id, side)));
        }
        let taken = data.len().min(room);
        buffer.extend(data.iter().take(taken));
        self.wakeup(Chan::PipeRead(id, other(side)));
        Ok(Piped::Done(taken))
    }

    /// Which of `POLLIN`, `POLLOUT`, `POLLHUP` are there (`pipe_poll`).
    pub(crate) fn pipe_poll(&self, id: PipeId, side: u8, events: u16) -> u16 {
        let Some(pipe) = self.pipes.get(&id) else {
            return 0;
        };
        let [to0, to1] = &pipe.buffers;
        let (mine, theirs) = if side == 0 { (to0, to1) } else { (to1, to0) };
        let closed = !pipe.is_open(other(side));
        let mut found = 0;
        if !mine.is_empty() || closed {
            found |= events & 0x1;
        }
        if !closed && PIPE_SIZE.saturating_sub(theirs.len()) >= PIPE_BUF {
            found |= events & 0x4;
        }
        if closed {
            found = (found & !0x4) | 0x10;
        }
        found
    }

    pub(crate) fn pipe_close(&mut self, id: PipeId, side: u8) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        let [zero, one] = &mut pipe.open;
        *(if side == 0 { zero } else { one }) = false;
        if !pipe.is_open(0) && !pipe.is_open(1) {
            self.pipes.remove(&id);
        }
        self.wakeup(Chan::PipeRead(id, other(side)));
        self.wakeup(Chan::PipeWrite(id, other(side)));
    }
}
