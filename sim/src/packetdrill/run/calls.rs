// SPDX-License-Identifier: BSD-2-Clause
//! The system calls of the program under test: a script's call as registers and memory, and what came back
//! in the script's terms. The script's descriptor numbers are its own.
//!
//! A call with vectors is made as the one with a single buffer of as many bytes, for scripts cannot say what is
//! in them, and the kernel moves what is in them as one piece either way (`uiomove`).

use super::args::{self, address, int, len, number, open, small, vectors};
use super::names;
use super::stack::{Output, Returned, Room, Trap};
use super::written::{Written, polled};
use crate::errno::Errno;
use crate::guest::abi::{LP64, get, put};
use crate::guest::consts::sys;
use crate::kern::syscall::encode_sockaddr;
use crate::packetdrill::ast::{Arg, Syscall};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Bytes of one write. The program has so many to send; no send buffer takes more at once, for
/// `kern.ipc.maxsockbuf` is 2 MiB.
const WRITE_MAX: usize = 16 << 20;

/// Where in the program's scratch memory the length of an option's value is, the value behind it, and what is
/// polled.
const OPTLEN: u64 = 0x7c;
const OPTVAL: u64 = 0x80;
const POLLED: u64 = 0x1100;
/// Descriptors that there is room for.
const POLLED_MAX: usize = 256;

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
    /// The program's own number of it.
    pub fd: i32,
    /// It is a `SOCK_DGRAM`.
    pub datagrams: bool,
}

/// The program under test.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its descriptors by the script's numbers.
    pub descriptors: BTreeMap<i64, Descriptor>,
    /// What it binds.
    pub local: SocketAddr,
    /// What it connects and sends to.
    pub remote: SocketAddr,
    /// Memory that it has for its calls.
    pub room: Room,
}

/// A call that cannot be made as written.
pub type ScriptError = String;

fn plain(code: u32, args: [u64; 6]) -> Trap {
    Trap {
        code,
        args,
        ..Trap::default()
    }
}

impl Program {
    /// A call of the script as the program makes it.
    ///
    /// # Errors
    /// What in the script cannot be understood.
    pub fn trap(&self, call: &Syscall) -> Result<Trap, ScriptError> {
        match call.name.as_str() {
            "socket" => return self.socket(call),
            "poll" => return self.poll(call),
            _ => {}
        }
        let fd = self.own(number(call, 0)?);
        let arg = |index| int(call, index).map(word);
        Ok(match call.name.as_str() {
            "fcntl" => fcntl(fd, call)?,
            "ioctl" => self.ioctl(fd, call)?,
            "bind" => self.with_address(sys::SYS_BIND, fd, address(call, 1, self.local)?),
            "connect" => self.with_address(sys::SYS_CONNECT, fd, address(call, 1, self.remote)?),
            "listen" => plain(sys::SYS_LISTEN, [fd, arg(1)?, 0, 0, 0, 0]),
            "shutdown" => plain(sys::SYS_SHUTDOWN, [fd, arg(1)?, 0, 0, 0, 0]),
            "accept" => {
                open(call, 1, "the peer's address")?;
                plain(sys::SYS_ACCEPT, [fd, 0, 0, 0, 0, 0])
            }
            "close" => plain(sys::SYS_CLOSE, [fd, 0, 0, 0, 0, 0]),
            "setsockopt" => {
                let mut value = args::value(call, 3)?.bytes;
                let len = args::value_len(call, 4)?.unwrap_or(value.len());
                if len > args::VALUE_MAX {
                    return Err(args::value_too_long(call));
                }
                value.resize(len, 0);
                let (at, len) = (self.room.scratch + OPTVAL, value.len() as u64);
                Trap {
                    memory: vec![(at, value)],
                    ..plain(sys::SYS_SETSOCKOPT, [fd, arg(1)?, arg(2)?, at, len, 0])
                }
            }
            "getsockopt" => {
                let wanted = args::value(call, 3)?;
                let len = args::value_len(call, 4)?.unwrap_or(wanted.bytes.len());
                let (at, value) = (self.room.scratch + OPTLEN, self.room.scratch + OPTVAL);
                let mut memory = (len as u32).to_le_bytes().to_vec();
                memory.resize(4 + len, 0);
                Trap {
                    output: Output::Value(at, memory.len()),
                    memory: vec![(at, memory)],
                    ..plain(sys::SYS_GETSOCKOPT, [fd, arg(1)?, arg(2)?, value, at, 0])
                }
            }
            "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => self.receive(fd, call)?,
            "write" | "writev" | "send" | "sendto" | "sendmsg" => self.send(fd, call)?,
            other => return Err(format!("system call {other} is not known here")),
        })
    }

    /// The program's own number of a descriptor; where there is none, one that is the kernel's to refuse.
    fn own(&self, fd: i64) -> u64 {
        word(self.descriptors.get(&fd).map_or(-1, |known| known.fd))
    }

    fn socket(&self, call: &Syscall) -> Result<Trap, ScriptError> {
        let family = if self.local.is_ipv4() {
            "AF_INET"
        } else {
            "AF_INET6"
        };
        let value = |index, own: &str| {
            let value = match call.args.get(index) {
                Some(Arg::Ellipsis) => names::constant(own).unwrap_or(0),
                _ => number(call, index)?,
            };
            small(value).map(word)
        };
        let (domain, kind) = (value(0, family)?, value(1, "SOCK_STREAM")?);
        let proto = value(2, "IPPROTO_IP")?;
        Ok(plain(sys::SYS_SOCKET, [domain, kind, proto, 0, 0, 0]))
    }

    fn with_address(&self, code: u32, fd: u64, addr: SocketAddr) -> Trap {
        let addr = encode_sockaddr(addr);
        let (at, len) = (self.room.scratch, addr.len() as u64);
        Trap {
            memory: vec![(at, addr)],
            ..plain(code, [fd, at, len, 0, 0, 0])
        }
    }

    fn receive(&self, fd: u64, call: &Syscall) -> Result<Trap, ScriptError> {
        let (flags, len) = match call.name.as_str() {
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
        let code = match call.name.as_str() {
            "read" | "readv" => sys::SYS_READ,
            _ => sys::SYS_RECVFROM,
        };
        let buf = self.room.receive;
        Ok(Trap {
            output: Output::Received(buf),
            ..plain(code, [fd, buf, len as u64, word(flags), 0, 0])
        })
    }

    fn send(&self, fd: u64, call: &Syscall) -> Result<Trap, ScriptError> {
        let (flags, len) = match call.name.as_str() {
            "write" => (0, len(call, 2)?),
            "send" | "sendto" => (int(call, 3)?, len(call, 2)?),
            "writev" => (0, vectors(call, 1)?),
            _ => (int(call, 2)?, vectors(call, 1)?),
        };
        if len > WRITE_MAX {
            return Err(format!("{}: more than {WRITE_MAX} bytes", call.name));
        }
        if !matches!(call.name.as_str(), "writev" | "sendmsg") {
            open(call, 1, "the data")?;
        }
        let (buf, len) = (self.room.zeros, len as u64);
        if call.name == "sendto" {
            let to = address(call, 4, self.remote)?;
            let mut trap = self.with_address(sys::SYS_SENDTO, fd, to);
            let [_, to, tolen, ..] = trap.args;
            trap.args = [fd, buf, len, word(flags), to, tolen];
            return Ok(trap);
        }
        // A message without a name goes where the socket is connected to.
        let code = match call.name.as_str() {
            "write" | "writev" => sys::SYS_WRITE,
            _ => sys::SYS_SENDTO,
        };
        Ok(plain(code, [fd, buf, len, word(flags), 0, 0]))
    }

    fn ioctl(&self, fd: u64, call: &Syscall) -> Result<Trap, ScriptError> {
        let command = int(call, 1)?;
        if call.args.len() < 3 {
            return Ok(plain(sys::SYS_IOCTL, [fd, word(command), 0, 0, 0, 0]));
        }
        let at = self.room.scratch + OPTVAL;
        let value = args::value(call, 2)?.bytes;
        if value.len() != size_of::<i32>() {
            return Err("ioctl: the argument is one number, [N]".into());
        }
        Ok(Trap {
            output: Output::Value(at, value.len()),
            memory: vec![(at, value)],
            ..plain(sys::SYS_IOCTL, [fd, word(command), at, 0, 0, 0])
        })
    }

    fn poll(&self, call: &Syscall) -> Result<Trap, ScriptError> {
        let polled = polled(call)?;
        if usize::try_from(number(call, 1)?) != Ok(polled.len()) {
            return Err("poll: the second argument is not the number of descriptors".into());
        }
        if polled.len() > POLLED_MAX {
            return Err(format!("poll: more than {POLLED_MAX} descriptors"));
        }
        let layout = &LP64.pollfd;
        let mut memory = vec![0; polled.len() * layout.size];
        for ((fd, events, _), entry) in polled.iter().zip(memory.chunks_mut(layout.size)) {
            let events = u16::try_from(*events).map_err(|_| "poll: no such events".to_owned())?;
            // A negative number is passed over; one that names nothing is told to be so.
            let own = match self.descriptors.get(fd) {
                Some(known) => known.fd,
                None if *fd < 0 => -1,
                None => i32::MAX,
            };
            put(entry, layout.fd, word(own));
            put(entry, layout.events, u64::from(events));
        }
        let at = self.room.scratch + POLLED;
        let args = [at, polled.len() as u64, word(int(call, 2)?), 0, 0, 0];
        Ok(Trap {
            output: Output::Value(at, memory.len()),
            memory: vec![(at, memory)],
            ..plain(sys::SYS_POLL, args)
        })
    }

    /// Takes note of what a call has returned, and says it as the script does.
    pub fn answer(&mut self, call: &Syscall, returned: &Returned) -> (Result<i64, Errno>, Written) {
        let value = match returned.result {
            Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
            Err(errno) => return (Err(errno), Written::Nothing),
        };
        let bytes = &returned.output;
        match call.name.as_str() {
            "socket" | "accept" => (Ok(self.opened(value, call)), Written::Nothing),
            "close" => {
                if let Ok(fd) = number(call, 0) {
                    self.descriptors.remove(&fd);
                }
                (Ok(0), Written::Nothing)
            }
            "getsockopt" => {
                let (len, value) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
                let len = u32::from_le_bytes(*len) as usize;
                let value = value.get(..len).unwrap_or(value);
                (Ok(0), Written::Bytes(value.to_vec()))
            }
            "ioctl" if call.args.len() > 2 => (Ok(value), Written::Bytes(bytes.clone())),
            "poll" => {
                let layout = &LP64.pollfd;
                let entries = bytes.chunks(layout.size);
                let events = entries.map(|entry| get(entry, layout.revents) as i64);
                (Ok(value), Written::Events(events.collect()))
            }
            _ => (Ok(value), Written::Nothing),
        }
    }

    /// A new descriptor gets the number that the script expects, as long as it is free.
    fn opened(&mut self, fd: i64, call: &Syscall) -> i64 {
        let free = |fd: &i64| !self.descriptors.contains_key(fd);
        let wanted = call.result.filter(|fd| *fd >= 3).filter(free);
        let name = wanted.or_else(|| (3..).find(free)).unwrap_or(3);
        let kind = number(call, 1).map_or(0, |kind| kind & 0xffff);
        let datagrams = call.name == "socket" && names::constant("SOCK_DGRAM") == Some(kind);
        let fd = fd as i32;
        self.descriptors.insert(name, Descriptor { fd, datagrams });
        name
    }
}

fn fcntl(fd: u64, call: &Syscall) -> Result<Trap, ScriptError> {
    let command = int(call, 1)?;
    let named = |name| names::constant(name) == Some(i64::from(command));
    if named("F_DUPFD") || named("F_DUP2FD") {
        return Err("fcntl: a script has no name for a second descriptor".into());
    }
    let arg = if call.args.len() > 2 {
        int(call, 2)?
    } else {
        0
    };
    Ok(plain(
        sys::SYS_FCNTL,
        [fd, word(command), word(arg), 0, 0, 0],
    ))
}

/// An `int` in a register.
fn word(value: i32) -> u64 {
    i64::from(value) as u64
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
