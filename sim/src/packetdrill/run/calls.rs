// SPDX-License-Identifier: BSD-2-Clause
//! The system calls of the program under test.
//!
//! Blocking is the caller's: a call that would sleep says so and is tried again when the stack has
//! moved. `fcntl` and descriptor numbers are kept here, the rest is the stack's.

use super::args::{self, address, int, len, number, open, small, vectors};
use super::names::{self, O_NONBLOCK, O_RDWR};
use super::stack::Stack;
use super::written::{Written, polled};
use crate::errno::Errno;
use crate::net::cx::{SoError, SoId};
use crate::packetdrill::ast::{Arg, Syscall};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Bytes of one write. The runner makes the data; no send buffer takes more at once, for
/// `kern.ipc.maxsockbuf` is 2 MiB.
const WRITE_MAX: usize = 16 << 20;

/// `MSG_PEEK` and `MSG_DONTWAIT` (`sys/socket.h`).
const MSG_PEEK: i32 = 0x2;
const MSG_DONTWAIT: i32 = 0x80;

/// More than a receive buffer holds, for `FIONREAD`.
const EVERYTHING: usize = 64 << 20;

/// The calls that a script may make, with how many arguments they have.
const CALLS: [(&str, RangeInclusive<usize>); 22] = [
    ("socket", 3..=3),
    ("bind", 3..=3),
    ("listen", 2..=2),
    ("accept", 3..=3),
    ("connect", 3..=3),
    ("read", 3..=3),
    ("readv", 3..=3),
    ("recv", 4..=4),
    ("recvfrom", 6..=6),
    ("recvmsg", 3..=3),
    ("write", 3..=3),
    ("writev", 3..=3),
    ("send", 4..=4),
    ("sendto", 6..=6),
    ("sendmsg", 3..=3),
    ("fcntl", 2..=3),
    ("ioctl", 2..=3),
    ("close", 1..=1),
    ("shutdown", 2..=2),
    ("getsockopt", 5..=5),
    ("setsockopt", 5..=5),
    ("poll", 3..=3),
];

/// How many arguments a call has; `None` where scripts cannot make it.
pub fn arguments(name: &str) -> Option<RangeInclusive<usize>> {
    let found = CALLS.iter().find(|(known, _)| *known == name);
    found.map(|(_, arguments)| arguments.clone())
}

/// The names of the calls, for a message.
pub fn known() -> String {
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// An open socket of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The stack's socket.
    pub so: SoId,
    /// `O_NONBLOCK` is set.
    pub nonblocking: bool,
    /// It is a `SOCK_DGRAM`.
    pub datagrams: bool,
}

/// The program under test.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its descriptors by number.
    pub descriptors: BTreeMap<i64, Descriptor>,
    /// What it binds.
    pub local: SocketAddr,
    /// What it connects and sends to.
    pub remote: SocketAddr,
}

/// How far a call got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It returned this, with what it wrote for its caller.
    Done(Result<i64, Errno>, Written),
    /// It sleeps.
    Sleeps(Sleep),
}

/// How a sleeping call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// What was sent of its data.
    sent: usize,
    /// When it gives up.
    pub until: Option<Instant>,
}

/// A call that cannot be made as written.
pub type ScriptError = String;

fn done(result: Result<i64, Errno>) -> Progress {
    Progress::Done(result, Written::Nothing)
}

impl Program {
    /// The sockets it has open.
    pub fn open(&self) -> BTreeSet<SoId> {
        self.descriptors.values().map(|d| d.so).collect()
    }

    /// Makes a call, or goes on with one that sleeps.
    ///
    /// # Errors
    /// What in the script cannot be understood.
    pub fn call<S: Stack>(
        &mut self,
        stack: &mut S,
        now: Instant,
        call: &Syscall,
        sleep: Option<Sleep>,
    ) -> Result<Progress, ScriptError> {
        match call.name.as_str() {
            "socket" => return self.socket(stack, now, call),
            "poll" => return self.poll(stack, now, call, sleep),
            _ => {}
        }
        let fd = number(call, 0)?;
        let Some(descriptor) = self.descriptors.get(&fd).copied() else {
            return Ok(done(Err(Errno::EBADF)));
        };
        let so = descriptor.so;
        let sockets = stack.sockets();
        let plain = |result: Result<(), Errno>| Ok(done(result.map(|()| 0)));
        match call.name.as_str() {
            "fcntl" => self.fcntl(fd, call),
            "ioctl" => self.ioctl(stack, now, fd, call),
            "bind" => plain(sockets.sobind(now, so, address(call, 1, self.local)?)),
            "listen" => plain(sockets.solisten(now, so, int(call, 1)?)),
            "shutdown" => plain(sockets.soshutdown(now, so, int(call, 1)?)),
            "setsockopt" => {
                let mut value = args::value(call, 3)?.bytes;
                if let Some(len) = args::value_len(call, 4)? {
                    value.resize(len, 0);
                }
                plain(sockets.sosetopt(now, so, int(call, 1)?, int(call, 2)?, &value))
            }
            "getsockopt" => self.getsockopt(stack, now, so, call),
            "connect" => self.connect(stack, now, descriptor, call, sleep),
            "accept" => self.accept(stack, now, descriptor, call),
            "close" => match sockets.soclose(now, so) {
                Ok(()) => {
                    self.descriptors.remove(&fd);
                    Ok(done(Ok(0)))
                }
                Err(error) => Ok(settle(descriptor, Err(error), Errno::EWOULDBLOCK)),
            },
            "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => {
                receive(stack, now, descriptor, call, sleep)
            }
            "write" | "writev" | "send" | "sendto" | "sendmsg" => {
                self.send(stack, now, descriptor, call, sleep)
            }
            other => Err(format!("system call {other} is not known here")),
        }
    }

    fn socket<S: Stack>(
        &mut self,
        stack: &mut S,
        now: Instant,
        call: &Syscall,
    ) -> Result<Progress, ScriptError> {
        let family = if self.local.is_ipv4() {
            "AF_INET"
        } else {
            "AF_INET6"
        };
        let value = |index, own: &str| match call.args.get(index) {
            Some(Arg::Ellipsis) => Ok(names::constant(own).unwrap_or(0)),
            _ => number(call, index),
        };
        let (domain, kind) = (value(0, family)?, value(1, "SOCK_STREAM")?);
        let flags = names::constant("SOCK_NONBLOCK").unwrap_or(0);
        let proto = value(2, "IPPROTO_IP")?;
        let made =
            stack
                .sockets()
                .socreate(now, small(domain)?, small(kind & 0xffff)?, small(proto)?);
        let datagrams = names::constant("SOCK_DGRAM") == Some(kind & 0xffff);
        Ok(self.opened(made, kind & flags != 0, datagrams, call))
    }

    /// A new descriptor gets the number that the script expects, as long as it is free.
    fn opened(
        &mut self,
        so: Result<SoId, Errno>,
        nonblocking: bool,
        datagrams: bool,
        call: &Syscall,
    ) -> Progress {
        let so = match so {
            Err(errno) => return done(Err(errno)),
            Ok(so) => so,
        };
        let free = |fd: &i64| !self.descriptors.contains_key(fd);
        let wanted = call.result.filter(|fd| *fd >= 3).filter(free);
        let fd = wanted.or_else(|| (3..).find(free)).unwrap_or(3);
        let descriptor = Descriptor {
            so,
            nonblocking,
            datagrams,
        };
        self.descriptors.insert(fd, descriptor);
        done(Ok(fd))
    }

    fn connect<S: Stack>(
        &mut self,
        stack: &mut S,
        now: Instant,
        descriptor: Descriptor,
        call: &Syscall,
        sleep: Option<Sleep>,
    ) -> Result<Progress, ScriptError> {
        let (sockets, so) = (stack.sockets(), descriptor.so);
        let peer = address(call, 1, self.remote)?;
        if sleep.is_none()
            && let Err(errno) = sockets.soconnect(now, so, peer)
        {
            return Ok(done(Err(errno)));
        }
        let outcome = sockets.soconnected(now, so).map(|()| 0);
        Ok(settle(descriptor, outcome, Errno::EINPROGRESS))
    }

    fn accept<S: Stack>(
        &mut self,
        stack: &mut S,
        now: Instant,
        descriptor: Descriptor,
        call: &Syscall,
    ) -> Result<Progress, ScriptError> {
        open(call, 1, "the peer's address")?;
        match stack.sockets().soaccept(now, descriptor.so) {
            Ok((so, _)) => Ok(self.opened(Ok(so), false, false, call)),
            Err(error) => Ok(settle(descriptor, Err(error), Errno::EWOULDBLOCK)),
        }
    }

    fn send<S: Stack>(
        &self,
        stack: &mut S,
        now: Instant,
        descriptor: Descriptor,
        call: &Syscall,
        sleep: Option<Sleep>,
    ) -> Result<Progress, ScriptError> {
        let (flags, to, all) = match call.name.as_str() {
            "write" => (0, None, len(call, 2)?),
            "send" => (int(call, 3)?, None, len(call, 2)?),
            "sendto" => (
                int(call, 3)?,
                Some(address(call, 4, self.remote)?),
                len(call, 2)?,
            ),
            "writev" => (0, None, vectors(call, 1)?),
            // A message without a name goes where the socket is connected to.
            _ => (int(call, 2)?, None, vectors(call, 1)?),
        };
        if all > WRITE_MAX {
            return Err(format!("{}: more than {WRITE_MAX} bytes", call.name));
        }
        if !matches!(call.name.as_str(), "writev" | "sendmsg") {
            open(call, 1, "the data")?;
        }
        let waits = !descriptor.nonblocking && flags & MSG_DONTWAIT == 0;
        let mut sent = sleep.map_or(0, |sleep| sleep.sent);
        let data = vec![0; all - sent.min(all)];
        let mut rest = data.as_slice();
        loop {
            match stack.sockets().sosend(now, descriptor.so, rest, to, flags) {
                Ok(taken) => {
                    sent += taken;
                    rest = rest.get(taken..).unwrap_or_default();
                    // A blocking write ends when all of it is in the buffer (`sosend_generic`).
                    if rest.is_empty() || !waits || taken == 0 {
                        return Ok(done(Ok(length(sent))));
                    }
                }
                Err(SoError::Blocked(_)) if waits => {
                    let until = match sleep {
                        Some(sleep) => sleep.until,
                        None => timeout(stack, now, descriptor.so, "SO_SNDTIMEO"),
                    };
                    if until.is_some_and(|until| until <= now) {
                        let partly = sent > 0;
                        let result = if partly {
                            Ok(length(sent))
                        } else {
                            Err(Errno::EWOULDBLOCK)
                        };
                        return Ok(done(result));
                    }
                    return Ok(Progress::Sleeps(Sleep { sent, until }));
                }
                Err(SoError::Blocked(_)) if sent > 0 => return Ok(done(Ok(length(sent)))),
                Err(error) => return Ok(settle(descriptor, Err(error), Errno::EWOULDBLOCK)),
            }
        }
    }

    fn fcntl(&mut self, fd: i64, call: &Syscall) -> Result<Progress, ScriptError> {
        let command = Some(number(call, 1)?);
        let Some(descriptor) = self.descriptors.get_mut(&fd) else {
            return Ok(done(Err(Errno::EBADF)));
        };
        if command == names::constant("F_GETFL") {
            let nonblocking = if descriptor.nonblocking {
                O_NONBLOCK
            } else {
                0
            };
            return Ok(done(Ok(O_RDWR | nonblocking)));
        }
        if command == names::constant("F_SETFL") {
            descriptor.nonblocking = number(call, 2)? & O_NONBLOCK != 0;
            return Ok(done(Ok(0)));
        }
        Err("fcntl: only F_GETFL and F_SETFL are known here".into())
    }

    fn ioctl<S: Stack>(
        &mut self,
        stack: &mut S,
        now: Instant,
        fd: i64,
        call: &Syscall,
    ) -> Result<Progress, ScriptError> {
        let command = Some(number(call, 1)?);
        let Some(descriptor) = self.descriptors.get_mut(&fd) else {
            return Ok(done(Err(Errno::EBADF)));
        };
        if command == names::constant("FIONBIO") {
            let value = args::value(call, 2)?.bytes;
            descriptor.nonblocking = value.iter().any(|byte| *byte != 0);
            return Ok(Progress::Done(Ok(0), Written::Bytes(value)));
        }
        if command == names::constant("FIONREAD") {
            let flags = MSG_PEEK | MSG_DONTWAIT;
            let got = stack
                .sockets()
                .soreceive(now, descriptor.so, EVERYTHING, flags);
            let there = got.map_or(0, |got| got.data.len());
            let there = i32::try_from(there).unwrap_or(i32::MAX);
            return Ok(Progress::Done(
                Ok(0),
                Written::Bytes(there.to_le_bytes().to_vec()),
            ));
        }
        Err("ioctl: only FIONREAD and FIONBIO are known here".into())
    }

    fn getsockopt<S: Stack>(
        &self,
        stack: &mut S,
        now: Instant,
        so: SoId,
        call: &Syscall,
    ) -> Result<Progress, ScriptError> {
        let (level, name) = (int(call, 1)?, int(call, 2)?);
        let wanted = args::value(call, 3)?;
        let len = args::value_len(call, 4)?.unwrap_or(wanted.bytes.len());
        Ok(match stack.sockets().sogetopt(now, so, level, name, len) {
            Ok(bytes) => Progress::Done(Ok(0), Written::Bytes(bytes)),
            Err(errno) => done(Err(errno)),
        })
    }

    fn poll<S: Stack>(
        &self,
        stack: &mut S,
        now: Instant,
        call: &Syscall,
        sleep: Option<Sleep>,
    ) -> Result<Progress, ScriptError> {
        let polled = polled(call)?;
        if usize::try_from(number(call, 1)?) != Ok(polled.len()) {
            return Err("poll: the second argument is not the number of descriptors".into());
        }
        let invalid = names::constant("POLLNVAL").unwrap_or(0);
        let mut events = Vec::new();
        for (fd, wanted, _) in &polled {
            let mask = u16::try_from(*wanted).map_err(|_| "poll: no such events".to_owned())?;
            events.push(match self.descriptors.get(fd) {
                _ if *fd < 0 => 0,
                None => invalid,
                Some(descriptor) => i64::from(stack.sockets().sopoll(now, descriptor.so, mask)),
            });
        }
        let ready = events.iter().filter(|events| **events != 0).count();
        let millis = int(call, 2)?;
        let until = match sleep {
            Some(sleep) => sleep.until,
            None => u64::try_from(millis)
                .ok()
                .map(|millis| now.after(Duration::from_micros(millis.saturating_mul(1_000)))),
        };
        if ready > 0 || until.is_some_and(|until| until <= now) {
            return Ok(Progress::Done(Ok(length(ready)), Written::Events(events)));
        }
        Ok(Progress::Sleeps(Sleep { sent: 0, until }))
    }
}

fn receive<S: Stack>(
    stack: &mut S,
    now: Instant,
    descriptor: Descriptor,
    call: &Syscall,
    sleep: Option<Sleep>,
) -> Result<Progress, ScriptError> {
    let (flags, room) = match call.name.as_str() {
        "read" => (0, len(call, 2)?),
        "recv" | "recvfrom" => (int(call, 3)?, len(call, 2)?),
        "readv" => (0, vectors(call, 1)?),
        _ => (int(call, 2)?, vectors(call, 1)?),
    };
    if !matches!(call.name.as_str(), "readv" | "recvmsg") {
        open(call, 1, "the data")?;
    }
    if call.name == "recvfrom" {
        open(call, 4, "the sender's address")?;
    }
    let got = stack.sockets().soreceive(now, descriptor.so, room, flags);
    let waits = !descriptor.nonblocking && flags & MSG_DONTWAIT == 0;
    match got {
        Ok(got) => Ok(done(Ok(length(got.data.len())))),
        Err(SoError::Blocked(_)) if waits => {
            let until = match sleep {
                Some(sleep) => sleep.until,
                None => timeout(stack, now, descriptor.so, "SO_RCVTIMEO"),
            };
            if until.is_some_and(|until| until <= now) {
                return Ok(done(Err(Errno::EWOULDBLOCK)));
            }
            Ok(Progress::Sleeps(Sleep { sent: 0, until }))
        }
        Err(error) => Ok(settle(descriptor, Err(error), Errno::EWOULDBLOCK)),
    }
}

/// When a sleep on this socket ends by its `SO_RCVTIMEO` or `SO_SNDTIMEO`.
fn timeout<S: Stack>(stack: &mut S, now: Instant, so: SoId, name: &str) -> Option<Instant> {
    let constant = |name| i32::try_from(names::constant(name)?).ok();
    let (level, name) = (constant("SOL_SOCKET")?, constant(name)?);
    let bytes = stack.sockets().sogetopt(now, so, level, name, 16).ok()?;
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let micros = word(0)?.saturating_mul(1_000_000).saturating_add(word(8)?);
    (micros > 0).then(|| now.after(Duration::from_micros(micros)))
}

/// What a call comes to that may have to sleep; `refusal` is what it says instead where it must not.
fn settle(descriptor: Descriptor, outcome: Result<i64, SoError>, refusal: Errno) -> Progress {
    match outcome {
        Ok(value) => done(Ok(value)),
        Err(SoError::Errno(errno)) => done(Err(errno)),
        Err(SoError::Blocked(_)) if descriptor.nonblocking => done(Err(refusal)),
        Err(SoError::Blocked(_)) => Progress::Sleeps(Sleep {
            sent: 0,
            until: None,
        }),
    }
}

fn length(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// The address that a call connects or sends to; `None` where it does neither.
///
/// # Errors
/// What in the script cannot be understood.
pub fn destination(call: &Syscall, own: SocketAddr) -> Result<Option<SocketAddr>, ScriptError> {
    match call.name.as_str() {
        "connect" => address(call, 1, own).map(Some),
        "sendto" => address(call, 4, own).map(Some),
        _ => Ok(None),
    }
}
