// SPDX-License-Identifier: BSD-2-Clause
//! `ioctl(2)` on what a descriptor can be here (`sys_ioctl`, `kern_ioctl`, `sys_generic.c`; `soo_ioctl`,
//! `sys_socket.c`; `pipe_ioctl`, `sys_pipe.c`; 15-CURRENT of 2025).
//!
//! Owners of a descriptor (`FIOSETOWN`) are not kept, and interfaces are configured from outside: such requests
//! are refused as by a device that does not know them.

use super::file::int;
use super::{Call, Outcome};
use crate::errno::Errno;
use crate::kern::Kern;
use crate::kern::file::FileKind;
use crate::kern::socklayer::{SoIoctl, SocketLayer as _};

/// What a request says of its argument (`sys/ioccom.h`): none, the kernel's, the caller's; and its bytes.
const IOC_VOID: u32 = 0x2000_0000;
const IOC_OUT: u32 = 0x4000_0000;
const IOC_IN: u32 = 0x8000_0000;
const IOCPARM_MASK: u32 = 0x1fff;

/// Requests (`sys/filio.h`, `sys/sockio.h`).
const FIOCLEX: u32 = 0x2000_6601;
const FIONCLEX: u32 = 0x2000_6602;
const FIONSPACE: u32 = 0x4004_6676;
const FIONWRITE: u32 = 0x4004_6677;
const FIONREAD: u32 = 0x4004_667f;
const FIONBIO: u32 = 0x8004_667e;
const SIOCATMARK: u32 = 0x4004_7307;

impl Kern {
    pub(super) fn sys_ioctl(&mut self, call: &mut Call<'_>) -> Outcome {
        self.ioctl(call).into()
    }

    fn ioctl(&mut self, call: &Call<'_>) -> Result<u64, Errno> {
        let [fd, command, data, ..] = call.args;
        // An `unsigned long` of which the lower half counts.
        let command = command as u32;
        let size = (command >> 16 & IOCPARM_MASK) as usize;
        let copies = command & (IOC_IN | IOC_OUT) != 0;
        let word = size_of::<i32>();
        if (command & IOC_VOID == 0 && !copies)
            || (copies && size == 0)
            || (command & IOC_VOID != 0 && size != 0 && size != word)
        {
            return Err(Errno::ENOTTY);
        }
        let mut value = [0; size_of::<i32>()];
        if command & IOC_IN != 0 && size == word {
            self.copyin(call.p, data, &mut value)?;
        }
        let (fde, file) = self.fget(call.p, int(fd))?;
        match command {
            FIOCLEX | FIONCLEX => {
                let proc = self.procs.get_mut(&call.p).ok_or(Errno::EBADF)?;
                let fde = proc.fds.fds.get_mut(&(fd as i32)).ok_or(Errno::EBADF)?;
                fde.cloexec = command == FIOCLEX;
                return Ok(0);
            }
            FIONBIO => {
                let file = self.files.get_mut(&fde.file).ok_or(Errno::EBADF)?;
                file.nonblock = value != [0; size_of::<i32>()];
                return Ok(0);
            }
            _ => {}
        }
        let told = match (file.kind, command) {
            (FileKind::Socket(vnet, so), FIONREAD | FIONWRITE | FIONSPACE | SIOCATMARK) => {
                let what = match command {
                    FIONREAD => SoIoctl::Nread,
                    FIONWRITE => SoIoctl::Nwrite,
                    FIONSPACE => SoIoctl::Nspace,
                    _ => SoIoctl::AtMark,
                };
                let layer = self.vnets.get_mut(&vnet).ok_or(Errno::ENXIO)?;
                layer.soioctl(so, what)?
            }
            (FileKind::Pipe(pipe, side), FIONREAD) => {
                let pipe = self.pipes.get(&pipe).ok_or(Errno::EBADF)?;
                i32::try_from(pipe.held(side)).unwrap_or(i32::MAX)
            }
            _ => return Err(Errno::ENOTTY),
        };
        self.copyout(call.p, data, &told.to_le_bytes())?;
        Ok(0)
    }
}
