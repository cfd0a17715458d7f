// SPDX-License-Identifier: BSD-2-Clause
//! Calls about sockets (`uipc_syscalls.c`, 15.0), onto the vnet of the caller's prison.

use super::file::{IOSIZE_MAX, int, progress};
use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::file::FileKind;
use crate::kern::sleep::{CallState, Chan, WaitState, Wmesg};
use crate::kern::socklayer::SocketLayer;
use crate::kern::types::{ProcId, SIGPIPE, VnetId};
use crate::net::cx::{SoError, SoId};
use crate::net::stack::InetVnet;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SOCK_CLOEXEC: i32 = 0x1000_0000;
const SOCK_NONBLOCK: i32 = 0x2000_0000;
const MSG_OOB: i32 = 0x1;
const MSG_PEEK: i32 = 0x2;
const MSG_WAITALL: i32 = 0x40;
const MSG_DONTWAIT: i32 = 0x80;
const MSG_NOSIGNAL: i32 = 0x2_0000;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 28;
/// Bytes that are offered to a socket at once: no send buffer has room for more (`kern.ipc.maxsockbuf`), and
/// what it has room for goes to the protocol in one piece (`sosend_generic_locked`).
const SEND_MAX: usize = 2 << 20;
/// Bytes in an option's value at most.
const OPTLEN_MAX: usize = 2048;

/// `POLLPRI`
const POLLPRI: u16 = 0x2;

/// When a sleep that begins now is over by itself (`sbwait`, `SO_RCVTIMEO`, `SO_SNDTIMEO`); zero is
/// never. Each sleep of a call has the whole time again.
fn deadline(now: Instant, timeo: Duration) -> Option<Instant> {
    (timeo != Duration::default()).then(|| now.after(timeo))
}

/// Whether the call's last sleep was over by itself.
fn expired(call: &Call<'_>, now: Instant) -> bool {
    let deadline = call.prev.as_ref().and_then(|wait| wait.deadline);
    deadline.is_some_and(|at| at <= now)
}

/// A socket that a descriptor names.
struct Sock {
    vnet: VnetId,
    so: SoId,
    nonblock: bool,
}

impl Kern {
    pub(super) fn sock_call(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        if code == sys::SYS_SOCKET {
            return self.sys_socket(call).into();
        }
        let [fd, ..] = call.args;
        let sock = match self.getsock(call.p, int(fd)) {
            Ok(sock) => sock,
            Err(errno) => return Outcome::Err(errno),
        };
        let args = call.args;
        match code {
            sys::SYS_BIND => self.sys_bind(call, &sock).into(),
            sys::SYS_LISTEN => {
                let (now, backlog) = (self.now, call.int(1));
                let done = self.layer(sock.vnet);
                let done = done.and_then(|layer| layer.solisten(now, sock.so, backlog));
                done.map(|()| 0).into()
            }
            sys::SYS_ACCEPT | sys::SYS_ACCEPT4 => self.sys_accept(call, &sock, code).into(),
            sys::SYS_CONNECT => self.sys_connect(call, &sock).into(),
            sys::SYS_SENDTO => self
                .send(call, sock.vnet, sock.so, sock.nonblock, args)
                .into(),
            sys::SYS_RECVFROM => self
                .receive(call, sock.vnet, sock.so, sock.nonblock, args)
                .into(),
            sys::SYS_SHUTDOWN => {
                let (now, how) = (self.now, call.int(1));
                let done = self.layer(sock.vnet);
                let done = done.and_then(|layer| layer.soshutdown(now, sock.so, how));
                done.map(|()| 0).into()
            }
            sys::SYS_SETSOCKOPT => self.sys_setsockopt(call, &sock).into(),
            sys::SYS_GETSOCKOPT => self.sys_getsockopt(call, &sock).into(),
            _ => self.sys_name(call, &sock, code).into(),
        }
    }

    fn layer(&mut self, vnet: VnetId) -> Result<&mut InetVnet, Errno> {
        self.vnets.get_mut(&vnet).ok_or(Errno::ENXIO)
    }

    fn getsock(&self, p: ProcId, fd: u64) -> Result<Sock, Errno> {
        let (_, file) = self.fget(p, fd)?;
        match file.kind {
            FileKind::Socket(vnet, so) => Ok(Sock {
                vnet,
                so,
                nonblock: file.nonblock,
            }),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    fn sys_socket(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let (domain, kind, proto) = (call.int(0), call.int(1), call.int(2));
        self.fd_room(call.p, 1)?;
        let prison = self.procs.get(&call.p).map(|proc| proc.ucred.prison);
        let prison = prison
            .and_then(|id| self.prisons.get(&id))
            .ok_or(Errno::ENXIO)?;
        let (vnet, now) = (prison.vnet, self.now);
        let (nonblock, cloexec) = (kind & SOCK_NONBLOCK != 0, kind & SOCK_CLOEXEC != 0);
        let kind = kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC);
        let layer = self.vnets.get_mut(&vnet).ok_or(Errno::EAFNOSUPPORT)?;
        let so = layer.socreate(now, domain, kind, proto)?;
        let fd = self.falloc(call.p, FileKind::Socket(vnet, so), nonblock, cloexec)?;
        Ok(fd as u64)
    }

    fn sys_bind(&mut self, call: &mut Call<'_>, sock: &Sock) -> Result<u64, Errno> {
        let [_, at, len, ..] = call.args;
        let addr = self.getsockaddr(call.p, at, len)?;
        let now = self.now;
        self.layer(sock.vnet)?.sobind(now, sock.so, addr)?;
        Ok(0)
    }

    fn sys_accept(
        &mut self,
        call: &mut Call<'_>,
        sock: &Sock,
        code: u32,
    ) -> Result<Outcome, Errno> {
        let [_, at, len_at, flags, ..] = call.args;
        let flags = if code == sys::SYS_ACCEPT4 {
            flags as i32
        } else {
            0
        };
        self.fd_room(call.p, 1)?;
        let now = self.now;
        let accepted = self.layer(sock.vnet)?.soaccept(now, sock.so);
        let (so, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.wait_or_fail(sock, error, sock.nonblock, Wmesg::Accept),
        };
        // accept(2) inherits O_NONBLOCK from the listening socket, accept4(2) does not.
        let nonblock = if code == sys::SYS_ACCEPT4 {
            flags & SOCK_NONBLOCK != 0
        } else {
            sock.nonblock
        };
        let cloexec = flags & SOCK_CLOEXEC != 0;
        let fd = self.falloc(call.p, FileKind::Socket(sock.vnet, so), nonblock, cloexec)?;
        if let Err(errno) = self.copyout_sockaddr(call.p, at, len_at, peer) {
            self.close(call.p, fd as u64)?;
            return Err(errno);
        }
        Ok(Outcome::Done(fd as u64))
    }

    /// `kern_connectat`: begins, then sleeps until the connection's state is settled.
    fn sys_connect(&mut self, call: &mut Call<'_>, sock: &Sock) -> Result<Outcome, Errno> {
        let [_, at, len, ..] = call.args;
        let now = self.now;
        if call.prev.is_none() {
            let addr = self.getsockaddr(call.p, at, len)?;
            self.layer(sock.vnet)?.soconnect(now, sock.so, addr)?;
        }
        match self.layer(sock.vnet)?.soconnected(now, sock.so) {
            Ok(()) => Ok(Outcome::Done(0)),
            Err(SoError::Blocked(_)) if sock.nonblock => Err(Errno::EINPROGRESS),
            Err(SoError::Blocked(what)) => {
                let chan = Chan::Socket(sock.vnet, sock.so, what);
                let wait = WaitState::on(vec![chan], Wmesg::Connec);
                Ok(Outcome::Block(wait.having(CallState::Connecting)))
            }
            Err(SoError::Errno(errno)) => Err(errno),
        }
    }

    /// `kern_sendit`, `soo_write`: until all is taken, sleeping in between.
    pub(super) fn send(
        &mut self,
        call: &mut Call<'_>,
        vnet: VnetId,
        so: SoId,
        nonblock: bool,
        args: [u64; 6],
    ) -> Result<Outcome, Errno> {
        let [_, buf, len, flags, to, tolen] = args;
        let flags = flags as i32;
        if len > IOSIZE_MAX {
            return Err(Errno::EINVAL);
        }
        let to = if to == 0 {
            None
        } else {
            Some(self.getsockaddr(call.p, to, tolen)?)
        };
        let nonblock = nonblock || flags & MSG_DONTWAIT != 0;
        let mut done = progress(call);
        loop {
            let mut data = Vec::new();
            self.copyin_chunk(
                call.p,
                buf.wrapping_add(done),
                len - done,
                SEND_MAX,
                &mut data,
            )?;
            let now = self.now;
            match self.layer(vnet)?.sosend(now, so, &data, to, flags) {
                Ok(taken) => done += taken.min(data.len()) as u64,
                Err(SoError::Blocked(_)) if (nonblock || expired(call, now)) && done > 0 => {
                    return Ok(Outcome::Done(done));
                }
                Err(SoError::Blocked(_)) if nonblock || expired(call, now) => {
                    return Err(Errno::EAGAIN);
                }
                Err(SoError::Blocked(what)) => {
                    let deadline = deadline(now, self.layer(vnet)?.sotimeo(so).1);
                    let wait = WaitState::on(vec![Chan::Socket(vnet, so, what)], Wmesg::Sbwait);
                    let state = CallState::Progress(done);
                    return Ok(Outcome::Block(wait.until(deadline).having(state)));
                }
                Err(SoError::Errno(errno)) => {
                    let quiet = flags & MSG_NOSIGNAL != 0 || self.layer(vnet)?.nosigpipe(so);
                    if errno == Errno::EPIPE && !quiet {
                        self.psignal(call.p, SIGPIPE, None);
                    }
                    return Err(errno);
                }
            }
            if done >= len {
                return Ok(Outcome::Done(done));
            }
        }
    }

    /// `kern_recvit`, `soo_read`; with `MSG_WAITALL` until all is there, sleeping in between.
    pub(super) fn receive(
        &mut self,
        call: &mut Call<'_>,
        vnet: VnetId,
        so: SoId,
        nonblock: bool,
        args: [u64; 6],
    ) -> Result<Outcome, Errno> {
        let [_, buf, len, flags, from, fromlen] = args;
        let flags = flags as i32;
        let len = len.min(IOSIZE_MAX);
        let nonblock = nonblock || flags & MSG_DONTWAIT != 0;
        // A peek moves nothing, and urgent data are one byte: there is nothing more to wait for.
        let waits = flags & (MSG_WAITALL | MSG_PEEK | MSG_OOB) == MSG_WAITALL && !nonblock;
        let mut done = progress(call);
        loop {
            let rest = usize::try_from(len - done).map_err(|_| Errno::EINVAL)?;
            let now = self.now;
            let layer = self.layer(vnet)?;
            // What went wrong behind data that were taken is for the next call.
            let wrong = |layer: &mut InetVnet| layer.soreceive(now, so, rest, flags | MSG_PEEK);
            if done > 0 && matches!(wrong(layer), Err(SoError::Errno(_))) {
                return Ok(Outcome::Done(done));
            }
            match layer.soreceive(now, so, rest, flags) {
                Ok(received) => {
                    let at_mark = layer.sopoll(now, so, POLLPRI) != 0;
                    let got = received.data.len() as u64;
                    self.copyout(call.p, buf.wrapping_add(done), &received.data)?;
                    if let Some(peer) = received.from {
                        self.copyout_sockaddr(call.p, from, fromlen, peer)?;
                    }
                    done += got;
                    let enough = done >= len || got == 0 || at_mark || received.from.is_some();
                    if !waits || enough {
                        return Ok(Outcome::Done(done));
                    }
                }
                Err(SoError::Blocked(_)) if done > 0 && expired(call, now) => {
                    return Ok(Outcome::Done(done));
                }
                Err(SoError::Blocked(_)) if nonblock || expired(call, now) => {
                    return Err(Errno::EAGAIN);
                }
                Err(SoError::Blocked(what)) => {
                    let deadline = deadline(now, layer.sotimeo(so).0);
                    let wait = WaitState::on(vec![Chan::Socket(vnet, so, what)], Wmesg::Sbwait);
                    let state = if done > 0 {
                        CallState::Progress(done)
                    } else {
                        CallState::Fresh
                    };
                    return Ok(Outcome::Block(wait.until(deadline).having(state)));
                }
                Err(SoError::Errno(errno)) => return Err(errno),
            }
        }
    }

    fn wait_or_fail(
        &self,
        sock: &Sock,
        error: SoError,
        nonblock: bool,
        wmesg: Wmesg,
    ) -> Result<Outcome, Errno> {
        match error {
            SoError::Blocked(_) if nonblock => Err(Errno::EAGAIN),
            SoError::Blocked(what) => {
                let chan = Chan::Socket(sock.vnet, sock.so, what);
                Ok(Outcome::Block(WaitState::on(vec![chan], wmesg)))
            }
            SoError::Errno(errno) => Err(errno),
        }
    }

    fn sys_setsockopt(&mut self, call: &mut Call<'_>, sock: &Sock) -> Result<u64, Errno> {
        let [_, _, _, at, len, ..] = call.args;
        let len = usize::try_from(len as u32).unwrap_or(usize::MAX);
        if len > OPTLEN_MAX {
            return Err(Errno::EINVAL);
        }
        let mut value = vec![0; len];
        self.copyin(call.p, at, &mut value)?;
        let (now, level, name) = (self.now, call.int(1), call.int(2));
        self.layer(sock.vnet)?
            .sosetopt(now, sock.so, level, name, &value)?;
        Ok(0)
    }

    fn sys_getsockopt(&mut self, call: &mut Call<'_>, sock: &Sock) -> Result<u64, Errno> {
        let [_, _, _, at, len_at, ..] = call.args;
        let mut room = [0; 4];
        self.copyin(call.p, len_at, &mut room)?;
        let room = usize::try_from(u32::from_le_bytes(room))
            .unwrap_or(0)
            .min(OPTLEN_MAX);
        let (now, level, name) = (self.now, call.int(1), call.int(2));
        let layer = self.layer(sock.vnet)?;
        let mut value = layer.sogetopt(now, sock.so, level, name, room)?;
        value.truncate(room);
        self.copyout(call.p, at, &value)?;
        self.copyout(call.p, len_at, &(value.len() as u32).to_le_bytes())?;
        Ok(0)
    }

    fn sys_name(&mut self, call: &mut Call<'_>, sock: &Sock, code: u32) -> Result<u64, Errno> {
        let [_, at, len_at, ..] = call.args;
        let layer = self.layer(sock.vnet)?;
        let addr = if code == sys::SYS_GETSOCKNAME {
            layer.sockname(sock.so)?
        } else {
            layer.peername(sock.so)?
        };
        if at == 0 || len_at == 0 {
            return Err(Errno::EFAULT);
        }
        self.copyout_sockaddr(call.p, at, len_at, addr)?;
        Ok(0)
    }

    /// `getsockaddr`: an address from a program, of a family that there is.
    fn getsockaddr(&mut self, p: ProcId, at: u64, len: u64) -> Result<SocketAddr, Errno> {
        // SOCK_MAXADDRLEN
        if len > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut bytes = [0; 28];
        let len = usize::try_from(len).unwrap_or(0).min(bytes.len());
        if let Some(part) = bytes.get_mut(..len) {
            self.copyin(p, at, part)?;
        }
        decode_sockaddr(&bytes, len)
    }

    /// Writes an address as far as there is room, and its whole length; nothing where `at` is null.
    fn copyout_sockaddr(
        &mut self,
        p: ProcId,
        at: u64,
        len_at: u64,
        addr: SocketAddr,
    ) -> Result<(), Errno> {
        if at == 0 {
            return Ok(());
        }
        let mut room = [0; 4];
        self.copyin(p, len_at, &mut room)?;
        let room = usize::try_from(u32::from_le_bytes(room)).unwrap_or(0);
        let bytes = encode_sockaddr(addr);
        let part = bytes.get(..room.min(bytes.len())).unwrap_or(&bytes);
        self.copyout(p, at, part)?;
        self.copyout(p, len_at, &(bytes.len() as u32).to_le_bytes())
    }
}

/// `struct sockaddr_in`, `sockaddr_in6`: the family tells which; the port in network order.
fn decode_sockaddr(bytes: &[u8; 28], len: usize) -> Result<SocketAddr, Errno> {
    let [_, family, p0, p1, rest @ ..] = *bytes;
    let port = u16::from_be_bytes([p0, p1]);
    match family {
        AF_INET if len >= 16 => {
            let [a, b, c, d, ..] = rest;
            Ok(SocketAddr::from((Ipv4Addr::new(a, b, c, d), port)))
        }
        AF_INET6 if len >= 28 => {
            let [_, _, _, _, addr @ .., _, _, _, _] = rest;
            Ok(SocketAddr::from((Ipv6Addr::from(addr), port)))
        }
        AF_INET | AF_INET6 => Err(Errno::EINVAL),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// `struct sockaddr_in` or `sockaddr_in6` of an address.
pub(crate) fn encode_sockaddr(addr: SocketAddr) -> Vec<u8> {
    let port = addr.port().to_be_bytes();
    match addr.ip() {
        IpAddr::V4(ip) => {
            let mut bytes = vec![16, AF_INET];
            bytes.extend(port);
            bytes.extend(ip.octets());
            bytes.resize(16, 0);
            bytes
        }
        IpAddr::V6(ip) => {
            let mut bytes = vec![28, AF_INET6];
            bytes.extend(port);
            bytes.extend([0; 4]);
            bytes.extend(ip.octets());
            bytes.resize(28, 0);
            bytes
        }
    }
}
