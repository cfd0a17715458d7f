// SPDX-License-Identifier: BSD-2-Clause
//! A vnet with the transports of FreeBSD's inet domain, as the kernel's system calls use it.
//!
//! A joint and no rules: the kernel's socket calls go to the socket layer with the surroundings that
//! the vnet has.

use std::net::SocketAddr;

use super::cx::{SoError, SoId, Wakeup};
use super::sockbuf::{SBS_CANTRCVMORE, SBS_CANTSENDMORE};
use super::socket::bits::SO_NOSIGPIPE;
use super::socket::{Domain, Inet, Proto, RecvFlags, SendFlags, Shut};
use super::vnet::Vnet;
use crate::errno::Errno;
use crate::kern::socklayer::{Received, SoIoctl, SocketLayer};
use crate::time::{Duration, Instant};

/// A network stack as an instance has it.
pub type InetVnet = Vnet<Inet>;

/// `AF_INET`, `AF_INET6`, `SOCK_*` (`sys/socket.h`, 15.0).
const AF_INET: i32 = 2;
const AF_INET6: i32 = 28;
const SOCK_STREAM: i32 = 1;
const SOCK_DGRAM: i32 = 2;
const SOCK_RAW: i32 = 3;
const MSG_OOB: i32 = 0x1;
const MSG_PEEK: i32 = 0x2;
const MSG_DONTWAIT: i32 = 0x80;
const MSG_EOF: i32 = 0x100;

/// `POLL*` (`sys/poll.h`, 15.0).
const POLLIN: u16 = 0x0001;
const POLLPRI: u16 = 0x0002;
const POLLOUT: u16 = 0x0004;
const POLLRDNORM: u16 = 0x0040;
const POLLRDBAND: u16 = 0x0080;
const POLLHUP: u16 = 0x0010;

impl SocketLayer for InetVnet {
    fn socreate(
        &mut self,
        now: Instant,
        domain: i32,
        kind: i32,
        proto: i32,
    ) -> Result<SoId, Errno> {
        let domain = match domain {
            AF_INET => Domain::Inet,
            AF_INET6 => Domain::Inet6,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let proto = match (kind, proto) {
            (SOCK_STREAM, 0 | 6) => Proto::Tcp,
            (SOCK_DGRAM, 0 | 17) => Proto::Udp,
            (SOCK_RAW, number) => Proto::Raw(u8::try_from(number).map_err(|_| Errno::EINVAL)?),
            (SOCK_STREAM | SOCK_DGRAM, _) => return Err(Errno::EPROTONOSUPPORT),
            _ => return Err(Errno::EPROTOTYPE),
        };
        self.with_transports(now, |inet, cx| inet.socreate(cx, domain, proto))
    }

    fn sobind(&mut self, now: Instant, so: SoId, addr: SocketAddr) -> Result<(), Errno> {
        self.with_transports(now, |inet, cx| inet.sobind(cx, so, addr))
    }

    fn solisten(&mut self, now: Instant, so: SoId, backlog: i32) -> Result<(), Errno> {
        self.with_transports(now, |inet, cx| inet.solisten(cx, so, backlog))
    }

    fn soaccept(&mut self, now: Instant, so: SoId) -> Result<(SoId, SocketAddr), SoError> {
        self.with_transports(now, |inet, cx| inet.soaccept(cx, so))
    }

    fn soconnect(&mut self, now: Instant, so: SoId, addr: SocketAddr) -> Result<(), Errno> {
        self.with_transports(now, |inet, cx| inet.soconnect(cx, so, addr))
    }

    fn soconnected(&mut self, now: Instant, so: SoId) -> Result<(), SoError> {
        self.with_transports(now, |inet, _| inet.soconnected(so))
    }

    fn sosend(
        &mut self,
        now: Instant,
        so: SoId,
        data: &[u8],
        to: Option<SocketAddr>,
        flags: i32,
    ) -> Result<usize, SoError> {
        let flags = SendFlags {
            oob: flags & MSG_OOB != 0,
            dontwait: flags & MSG_DONTWAIT != 0,
            eof: flags & MSG_EOF != 0,
        };
        self.with_transports(now, |inet, cx| inet.sosend(cx, so, data, flags, to))
    }

    fn soreceive(
        &mut self,
        now: Instant,
        so: SoId,
        len: usize,
        flags: i32,
    ) -> Result<Received, SoError> {
        let flags = RecvFlags {
            oob: flags & MSG_OOB != 0,
            peek: flags & MSG_PEEK != 0,
            dontwait: flags & MSG_DONTWAIT != 0,
        };
        let got = self.with_transports(now, |inet, cx| inet.soreceive(cx, so, len, flags))?;
        Ok(Received {
            data: got.data,
            from: got.from,
        })
    }

    fn soshutdown(&mut self, now: Instant, so: SoId, how: i32) -> Result<(), Errno> {
        let how = match how {
            0 => Shut::Rd,
            1 => Shut::Wr,
            2 => Shut::RdWr,
            _ => return Err(Errno::EINVAL),
        };
        self.with_transports(now, |inet, cx| inet.soshutdown(cx, so, how))
    }

    fn solinger(&mut self, now: Instant, so: SoId) -> Option<Duration> {
        let seconds = self.with_transports(now, |inet, cx| inet.solinger(cx, so));
        seconds.map(Duration::from_secs)
    }

    fn soclose(&mut self, now: Instant, so: SoId) {
        self.with_transports(now, |inet, cx| {
            inet.solinger(cx, so);
            inet.soclose_now(cx, so);
        });
    }

    fn sosetopt(
        &mut self,
        now: Instant,
        so: SoId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        self.with_transports(now, |inet, cx| inet.sosetopt(cx, so, level, name, value))
    }

    fn sogetopt(
        &mut self,
        now: Instant,
        so: SoId,
        level: i32,
        name: i32,
        len: usize,
    ) -> Result<Vec<u8>, Errno> {
        let mut value = self.with_transports(now, |inet, cx| inet.sogetopt(cx, so, level, name))?;
        value.truncate(len);
        Ok(value)
    }

    fn sopoll(&mut self, _now: Instant, so: SoId, events: u16) -> u16 {
        let inet = self.transports();
        let mut ready = 0;
        // Hanging up is told without being asked for.
        let wanted = events | POLLHUP;
        let mut note = |there: bool, bits: u16| ready |= if there { wanted & bits } else { 0 };
        note(inet.readable(so), POLLIN | POLLRDNORM);
        note(inet.writable(so), POLLOUT);
        note(inet.exceptional(so), POLLPRI | POLLRDBAND);
        // sopoll_generic: both directions are shut.
        let shut = |so: &super::socket::Socket| {
            so.so_rcv.state(SBS_CANTRCVMORE) && so.so_snd.state(SBS_CANTSENDMORE)
        };
        note(inet.get(so).is_some_and(|entry| shut(&entry.so)), POLLHUP);
        ready
    }

    fn sotimeo(&mut self, so: SoId) -> (Duration, Duration) {
        self.transports().timeouts(so)
    }

    fn nosigpipe(&mut self, so: SoId) -> bool {
        let entry = self.transports().get(so);
        entry.is_some_and(|entry| entry.so.option(SO_NOSIGPIPE))
    }

    fn soioctl(&mut self, so: SoId, what: SoIoctl) -> Result<i32, Errno> {
        let inet = self.transports();
        match what {
            SoIoctl::Nread => inet.fionread(so),
            SoIoctl::Nwrite => inet.fionwrite(so),
            SoIoctl::Nspace => inet.fionspace(so),
            SoIoctl::AtMark => inet.siocatmark(so),
        }
    }

    fn sockname(&mut self, so: SoId) -> Result<SocketAddr, Errno> {
        self.transports().sockname(so)
    }

    fn peername(&mut self, so: SoId) -> Result<SocketAddr, Errno> {
        self.transports().peername(so)
    }

    fn take_wakeup(&mut self) -> Option<Wakeup> {
        Vnet::take_wakeup(self)
    }
}
