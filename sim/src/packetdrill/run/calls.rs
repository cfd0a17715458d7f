// SPDX-License-Identifier: BSD-2-Clause
//! The system calls of the program under test.
//!
//! Blocking is the caller's: a call that would sleep says so and is tried again when the stack has
//! moved. `fcntl` and descriptor numbers are kept here, the rest is the stack's.

use super::names::{self, O_NONBLOCK, O_RDWR};
use super::stack::Stack;
use crate::errno::Errno;
use crate::net::cx::{SoError, SoId};
use crate::packetdrill::ast::{Arg, Syscall, Value};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// The script's remote port, and the local one that it binds.
pub const PORT: u16 = 8_080;

/// Bytes of one write. The runner makes the data; no send buffer takes more at once, for
/// `kern.ipc.maxsockbuf` is 2 MiB.
const WRITE_MAX: usize = 16 << 20;

/// An open socket of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The stack's socket.
    pub so: SoId,
    /// `O_NONBLOCK` is set.
    pub nonblocking: bool,
}

/// The program under test.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its descriptors by number.
    pub descriptors: BTreeMap<i64, Descriptor>,
    /// Address of the stack's interface.
    pub local: IpAddr,
    /// Address of the script's side.
    pub remote: IpAddr,
}

/// How far a call got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It returned this, with what it wrote for its caller.
    Done(Result<i64, Errno>, Option<i64>),
    /// It sleeps. `Resume::Connect` only waits; `Resume::Again` makes the call again.
    Sleeps(Resume),
}

/// How a sleeping call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// By making the call once more.
    Again,
    /// By asking whether the connection is there.
    Connect,
}

/// A call that cannot be made as written.
pub type ScriptError = String;

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
        resume: Option<Resume>,
    ) -> Result<Progress, ScriptError> {
        let sockets = stack.sockets();
        if call.name == "socket" {
            let family = if self.local.is_ipv4() {
                "AF_INET"
            } else {
                "AF_INET6"
            };
            let value = |i, default: &str| match call.args.get(i) {
                Some(Arg::Value(value)) => names::number(value),
                _ => names::constant(default).ok_or_else(String::new),
            };
            let (domain, kind) = (value(0, family)?, value(1, "SOCK_STREAM")?);
            let nonblocking = kind & 0x2000_0000 != 0;
            let made = sockets.socreate(
                now,
                small(domain)?,
                small(kind & 0xffff)?,
                small(value(2, "IPPROTO_TCP")?)?,
            );
            return Ok(self.opened(made, nonblocking, call));
        }
        let fd = self.number(call, 0)?;
        let Some(descriptor) = self.descriptors.get(&fd).copied() else {
            return Ok(Progress::Done(Err(Errno::EBADF), None));
        };
        let so = descriptor.so;
        let peer = SocketAddr::new(self.remote, PORT);
        let plain = |result: Result<(), Errno>| Ok(Progress::Done(result.map(|()| 0), None));
        match call.name.as_str() {
            "fcntl" => return self.fcntl(fd, call),
            "bind" => return plain(sockets.sobind(now, so, SocketAddr::new(self.local, PORT))),
            "listen" => {
                return plain(sockets.solisten(now, so, small(self.number(call, 1)?)?));
            }
            "shutdown" => {
                return plain(sockets.soshutdown(now, so, small(self.number(call, 1)?)?));
            }
            "setsockopt" | "getsockopt" => return self.option(stack, now, so, call),
            _ => {}
        }
        let outcome = match call.name.as_str() {
            "connect" => {
                if resume.is_none()
                    && let Err(errno) = sockets.soconnect(now, so, peer)
                {
                    return plain(Err(errno));
                }
                sockets.soconnected(now, so).map(|()| 0)
            }
            "accept" => match sockets.soaccept(now, so) {
                Ok((so, _)) => return Ok(self.opened(Ok(so), false, call)),
                Err(error) => Err(error),
            },
            "close" => match sockets.soclose(now, so) {
                Ok(()) => {
                    self.descriptors.remove(&fd);
                    Ok(0)
                }
                Err(error) => Err(error),
            },
            "read" | "recv" | "recvfrom" => {
                let len = self.len(call)?;
                let flags = if call.name == "read" {
                    0
                } else {
                    small(self.number(call, 3)?)?
                };
                sockets
                    .soreceive(now, so, len, flags)
                    .map(|got| length(got.data.len()))
            }
            "write" | "send" | "sendto" => {
                let len = self.len(call)?;
                if len > WRITE_MAX {
                    return Err(format!("{}: more than {WRITE_MAX} bytes", call.name));
                }
                let flags = if call.name == "write" {
                    0
                } else {
                    small(self.number(call, 3)?)?
                };
                let to = (call.name == "sendto").then_some(peer);
                sockets
                    .sosend(now, so, &vec![0; len], to, flags)
                    .map(length)
            }
            other => return Err(format!("system call {other} is not known here")),
        };
        Ok(self.settle(call, descriptor, outcome))
    }

    /// What a call comes to that may have to sleep.
    fn settle(
        &self,
        call: &Syscall,
        descriptor: Descriptor,
        outcome: Result<i64, SoError>,
    ) -> Progress {
        let connect = call.name == "connect";
        match outcome {
            Ok(value) => Progress::Done(Ok(value), None),
            Err(SoError::Errno(errno)) => Progress::Done(Err(errno), None),
            Err(SoError::Blocked(_)) if descriptor.nonblocking => {
                let errno = if connect {
                    Errno::EINPROGRESS
                } else {
                    Errno::EWOULDBLOCK
                };
                Progress::Done(Err(errno), None)
            }
            Err(SoError::Blocked(_)) if connect => Progress::Sleeps(Resume::Connect),
            Err(SoError::Blocked(_)) => Progress::Sleeps(Resume::Again),
        }
    }

    /// A new descriptor gets the number that the script expects, as long as it is free.
    fn opened(&mut self, so: Result<SoId, Errno>, nonblocking: bool, call: &Syscall) -> Progress {
        match so {
            Err(errno) => Progress::Done(Err(errno), None),
            Ok(so) => {
                let free = |fd: &i64| !self.descriptors.contains_key(fd);
                let wanted = call.result.filter(|fd| *fd >= 3).filter(free);
                let fd = wanted.or_else(|| (3..).find(free)).unwrap_or(3);
                self.descriptors.insert(fd, Descriptor { so, nonblocking });
                Progress::Done(Ok(fd), None)
            }
        }
    }

    fn fcntl(&mut self, fd: i64, call: &Syscall) -> Result<Progress, ScriptError> {
        let command = self.number(call, 1)?;
        let Some(descriptor) = self.descriptors.get_mut(&fd) else {
            return Ok(Progress::Done(Err(Errno::EBADF), None));
        };
        let flags = O_RDWR
            | if descriptor.nonblocking {
                O_NONBLOCK
            } else {
                0
            };
        match (Some(command), call.args.get(2)) {
            (get, _) if get == names::constant("F_GETFL") => Ok(Progress::Done(Ok(flags), None)),
            (set, Some(Arg::Value(value))) if set == names::constant("F_SETFL") => {
                descriptor.nonblocking = names::number(value)? & O_NONBLOCK != 0;
                Ok(Progress::Done(Ok(0), None))
            }
            _ => Err("fcntl: only F_GETFL and F_SETFL are known here".into()),
        }
    }

    fn option<S: Stack>(
        &self,
        stack: &mut S,
        now: Instant,
        so: SoId,
        call: &Syscall,
    ) -> Result<Progress, ScriptError> {
        let (level, name) = (small(self.number(call, 1)?)?, small(self.number(call, 2)?)?);
        if call.name == "setsockopt" {
            let result = stack
                .sockets()
                .sosetopt(now, so, level, name, &value_bytes(call)?);
            return Ok(Progress::Done(result.map(|()| 0), None));
        }
        match stack.sockets().sogetopt(now, so, level, name, 4) {
            Ok(bytes) => {
                let mut word = [0; 4];
                word.iter_mut()
                    .zip(&bytes)
                    .for_each(|(to, from)| *to = *from);
                Ok(Progress::Done(
                    Ok(0),
                    Some(i64::from(i32::from_le_bytes(word))),
                ))
            }
            Err(errno) => Ok(Progress::Done(Err(errno), None)),
        }
    }

    /// The third argument, as bytes to move.
    fn len(&self, call: &Syscall) -> Result<usize, ScriptError> {
        let len = self.number(call, 2)?;
        usize::try_from(len).map_err(|_| format!("{}: {len} is no length", call.name))
    }

    fn number(&self, call: &Syscall, index: usize) -> Result<i64, ScriptError> {
        match call.args.get(index) {
            Some(Arg::Value(value)) => names::number(value),
            _ => Err(format!(
                "{}: argument {} is no number",
                call.name,
                index + 1
            )),
        }
    }
}

/// What `setsockopt` is given, as bytes in memory.
fn value_bytes(call: &Syscall) -> Result<Vec<u8>, ScriptError> {
    match call.args.get(3) {
        Some(Arg::List(items)) => {
            let mut bytes = Vec::new();
            for item in items {
                bytes.extend_from_slice(&small(names::number(item)?)?.to_le_bytes());
            }
            Ok(bytes)
        }
        Some(Arg::Text(text)) => Ok(text.as_bytes().to_vec()),
        Some(Arg::Struct(fields)) => {
            // struct tcp_function_set (netinet/tcp.h): the only structure scripts set.
            let mut bytes = vec![0; 36];
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("function_set_name", Value::Text(text)) if text.len() < 32 => {
                        bytes[..text.len()].copy_from_slice(text.as_bytes());
                    }
                    ("pcbcnt", value) => {
                        bytes[32..].copy_from_slice(&small(names::number(value)?)?.to_le_bytes());
                    }
                    _ => return Err(format!("setsockopt: field {name} is not known here")),
                }
            }
            Ok(bytes)
        }
        _ => Err("setsockopt: the value is missing".into()),
    }
}

/// What `getsockopt` must have given, where the script says.
///
/// # Errors
/// The name that is unknown.
pub fn expected_option(call: &Syscall) -> Result<Option<i64>, ScriptError> {
    match (call.name.as_str(), call.args.get(3)) {
        ("getsockopt", Some(Arg::List(items))) => items.first().map(names::number).transpose(),
        _ => Ok(None),
    }
}

fn small(value: i64) -> Result<i32, ScriptError> {
    i32::try_from(value).map_err(|_| format!("{value} does not fit an int"))
}

fn length(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
