// SPDX-License-Identifier: BSD-2-Clause
//! Open files, descriptor tables, pipes.

use crate::cbor::Bytes;
use crate::codes;
use crate::collections::List;
use crate::image::{FileRef, PipeRef, SocketRef, UcredRef};
use crate::limits::{FDS_MAX, PIPE_MAX};
use crate::record;
use crate::time::Duration;

codes! {
    /// `f_type` (`file.h`), numbered as there.
    pub enum FileType {
        /// `DTYPE_SOCKET`.
        Socket = 2,
        /// `DTYPE_PIPE`.
        Pipe = 3,
        /// `DTYPE_DEV`, a character device that holds no state: `null`, `zero`, `console`.
        Dev = 11,
    }
}

record! {
    /// An open file (`struct file`), shared by every descriptor that names it.
    #[derive(Debug, PartialEq, Eq)]
    pub struct File, check = File::one_object {
        /// `f_type`.
        0 => f_type: FileType,
        /// `f_flag`, bits `FREAD`, `FWRITE`, `O_*` as `fcntl(F_GETFL)` shows them.
        1 => f_flag: u32,
        /// `f_offset`, bytes.
        2 => f_offset: i64,
        /// `f_cred`.
        3 => f_cred: UcredRef,
        /// `f_data` of a socket.
        4 => socket: Option<SocketRef>,
        /// `f_data` of a pipe.
        5 => pipe: Option<PipeRef>,
        /// Which end of the pipe: false is the end that `pipe(2)` returns first.
        6 => pipe_end: bool,
        /// The device's name below `/dev`.
        7 => dev: Option<Bytes>,
    }
}

impl File {
    fn one_object(&self) -> Result<(), u64> {
        let named = [
            (FileType::Socket, self.socket.is_some(), Self::socket),
            (FileType::Pipe, self.pipe.is_some(), Self::pipe),
            (FileType::Dev, self.dev.is_some(), Self::dev),
        ];
        for (ty, present, key) in named {
            if present != (self.f_type == ty) {
                return Err(key);
            }
        }
        if self.pipe_end && self.f_type != FileType::Pipe {
            return Err(Self::pipe_end);
        }
        if self.f_offset < 0 {
            return Err(Self::f_offset);
        }
        Ok(())
    }
}

record! {
    /// One slot of a descriptor table (`struct filedescent`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Filedescent {
        /// The descriptor.
        0 => fd: u32,
        /// `fde_file`.
        1 => fde_file: FileRef,
        /// `fde_flags`: `UF_EXCLOSE` and, from 15, `UF_FOCLOSE`, `UF_RESOLVE_BENEATH`.
        2 => fde_flags: u8,
        /// `fde_rights`: the rights of `capsicum(4)`, as two words; absent for all.
        3 => fde_rights: Option<[u8; 16]>,
    }
}

record! {
    /// A descriptor table (`struct filedesc` with its `pwddesc`), shared by whoever names it.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Filedesc, check = Filedesc::increasing {
        /// `fd_ofiles`, by increasing descriptor.
        0 => fd_ofiles: List<Filedescent>,
        /// `pd_cmask`: the file mode creation mask.
        1 => pd_cmask: u16,
        /// `pwd_cdir`: the working directory, as a path from the instance's root.
        2 => pwd_cdir: Bytes,
        /// `pwd_rdir`: the root directory, likewise.
        3 => pwd_rdir: Bytes,
    }
}

impl Filedesc {
    fn increasing(&self) -> Result<(), u64> {
        let mut next = 0_u32;
        for slot in &self.fd_ofiles {
            if slot.fd < next || slot.fd >= FDS_MAX {
                return Err(Self::fd_ofiles);
            }
            next = slot.fd.saturating_add(1);
        }
        if self.pd_cmask > 0o777 {
            return Err(Self::pd_cmask);
        }
        Ok(())
    }
}

record! {
    /// Descriptors in flight: the files of an `SCM_RIGHTS` message in a receive buffer.
    #[derive(Debug, PartialEq, Eq)]
    pub struct InFlight {
        /// The receiving socket.
        0 => so: SocketRef,
        /// The index in `so_rcv.records` of the message.
        1 => record: u32,
        /// The files, in order.
        2 => files: List<FileRef>,
    }
}

record! {
    /// One direction of a pipe (`struct pipe`). Its bytes travel in a data frame.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PipeBuf {
        /// `pipe_buffer.cnt`: bytes in it.
        0 => cnt: u32,
        /// `pipe_buffer.size`: the bytes it can hold.
        1 => size: u32,
        /// `pipe_state`: `PIPE_EOF`, `PIPE_ASYNC`.
        2 => pipe_state: u32,
        /// `pipe_atime`: how long ago it was read.
        3 => pipe_atime: Duration,
        /// `pipe_mtime`: how long ago it was written.
        4 => pipe_mtime: Duration,
        /// `pipe_ctime`: how long ago its status changed.
        5 => pipe_ctime: Duration,
    }
}

record! {
    /// A pipe (`struct pipepair`), both of whose directions can carry bytes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Pipe, check = Pipe::fits {
        /// `pp_rpipe`: what is read at the first end.
        0 => pp_rpipe: PipeBuf,
        /// `pp_wpipe`: what is read at the second end.
        1 => pp_wpipe: PipeBuf,
        /// `pipe_ino`: the inode number that `fstat(2)` shows.
        2 => pipe_ino: u64,
        /// Its owner.
        3 => pp_owner: UcredRef,
    }
}

impl Pipe {
    fn fits(&self) -> Result<(), u64> {
        for (end, key) in [
            (&self.pp_rpipe, Self::pp_rpipe),
            (&self.pp_wpipe, Self::pp_wpipe),
        ] {
            if end.cnt > end.size || end.size > PIPE_MAX {
                return Err(key);
            }
        }
        Ok(())
    }
}
