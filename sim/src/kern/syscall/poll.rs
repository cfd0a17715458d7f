// SPDX-License-Identifier: BSD-2-Clause
//! poll(2) (`kern_poll`, `sys_generic.c`, 15.0).

use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::abi::{LP64, get, get_signed, put};
use crate::kern::Kern;
use crate::kern::file::FileKind;
use crate::kern::sleep::{Chan, WaitState, Wmesg};
use crate::kern::socklayer::SocketLayer as _;
use crate::net::cx::SoWait;
use crate::time::Duration;

/// `POLLNVAL`
const POLLNVAL: u16 = 0x20;
/// `POLLIN | POLLOUT` and their relatives that the console is always ready for.
const ALWAYS: u16 = 0x1 | 0x4 | 0x40;

impl Kern {
    pub(super) fn sys_poll(&mut self, call: &mut Call<'_>) -> Outcome {
        self.poll(call).into()
    }

    fn poll(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let [at, count, ..] = call.args;
        let timeout = call.int(2);
        let layout = &LP64.pollfd;
        let count = usize::try_from(count as u32).unwrap_or(usize::MAX);
        if count > self.config.nofile {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; count * layout.size];
        self.copyin(call.p, at, &mut bytes)?;
        let mut ready = 0;
        let mut chans = Vec::new();
        for entry in bytes.chunks_mut(layout.size) {
            let fd = get_signed(entry, layout.fd);
            let events = get(entry, layout.events) as u16;
            let found = if fd < 0 {
                0
            } else {
                self.poll_one(call, fd as u64, events, &mut chans)
            };
            put(entry, layout.revents, u64::from(found));
            ready += u64::from(found != 0);
        }
        let deadline = match &call.prev {
            Some(wait) => wait.deadline,
            None => u64::try_from(timeout)
                .ok()
                .map(|ms| self.now.after(Duration::from_millis(ms))),
        };
        if ready > 0 || deadline.is_some_and(|at| at <= self.now) {
            self.copyout(call.p, at, &bytes)?;
            return Ok(Outcome::Done(ready));
        }
        Ok(Outcome::Block(
            WaitState::on(chans, Wmesg::Select).until(deadline),
        ))
    }

    /// Which events a descriptor has; what to sleep on goes to `chans`.
    fn poll_one(&mut self, call: &Call<'_>, fd: u64, events: u16, chans: &mut Vec<Chan>) -> u16 {
        let Ok((_, file)) = self.fget(call.p, fd) else {
            return POLLNVAL;
        };
        match file.kind {
            FileKind::Console => events & ALWAYS,
            FileKind::Pipe(pipe, side) => {
                chans.push(Chan::PipeRead(pipe, side));
                chans.push(Chan::PipeWrite(pipe, side));
                self.pipe_poll(pipe, side, events)
            }
            FileKind::Socket(vnet, so) => {
                for what in [SoWait::Rcv, SoWait::Snd, SoWait::Timeo] {
                    chans.push(Chan::Socket(vnet, so, what));
                }
                let now = self.now;
                let layer = self.vnets.get_mut(&vnet);
                layer.map_or(POLLNVAL, |layer| layer.sopoll(now, so, events))
            }
        }
    }
}
