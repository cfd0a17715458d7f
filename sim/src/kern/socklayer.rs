// SPDX-License-Identifier: BSD-2-Clause
//! Sockets as the system calls need them (`sys/socketvar.h`, 15-CURRENT); a vnet is one of these.

use crate::errno::Errno;
use crate::net::cx::{SoError, SoId, Wakeup};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// What a receive brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The data; empty at end of file.
    pub data: Vec<u8>,
    /// The sender, where the protocol tells it.
    pub from: Option<SocketAddr>,
}

/// What `ioctl(2)` tells of a socket (`soo_ioctl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoIoctl {
    /// `FIONREAD`: bytes to read.
    Nread,
    /// `FIONWRITE`: bytes that are written and not acknowledged.
    Nwrite,
    /// `FIONSPACE`: bytes that a write may bring.
    Nspace,
    /// `SIOCATMARK`: 1 where what is read next follows the mark of urgent data, else 0.
    AtMark,
}

/// The sockets of one vnet. What would sleep says so and has done nothing; the caller tries again
/// after a [`Wakeup`] on that channel. `now` is the moment of the call.
pub trait SocketLayer {
    /// Makes a socket of this domain (`AF_*`), type (`SOCK_*`) and protocol.
    fn socreate(&mut self, now: Instant, domain: i32, kind: i32, proto: i32)
    -> Result<SoId, Errno>;
    /// Gives it a local address.
    fn sobind(&mut self, now: Instant, so: SoId, addr: SocketAddr) -> Result<(), Errno>;
    /// Makes it accept connections.
    fn solisten(&mut self, now: Instant, so: SoId, backlog: i32) -> Result<(), Errno>;
    /// Takes a connection off its queue, with the peer's address.
    fn soaccept(&mut self, now: Instant, so: SoId) -> Result<(SoId, SocketAddr), SoError>;
    /// Begins to connect, or gives the socket its peer.
    fn soconnect(&mut self, now: Instant, so: SoId, addr: SocketAddr) -> Result<(), Errno>;
    /// Whether what [`SocketLayer::soconnect`] began is done: `Blocked` while it is not, then
    /// success or the socket's error, which is taken off it.
    fn soconnected(&mut self, now: Instant, so: SoId) -> Result<(), SoError>;
    /// Sends; returns how much was taken, at least one byte unless `data` is empty.
    fn sosend(
        &mut self,
        now: Instant,
        so: SoId,
        data: &[u8],
        to: Option<SocketAddr>,
        flags: i32,
    ) -> Result<usize, SoError>;
    /// Receives at most `len` bytes.
    fn soreceive(
        &mut self,
        now: Instant,
        so: SoId,
        len: usize,
        flags: i32,
    ) -> Result<Received, SoError>;
    /// Shuts down one or both directions (`SHUT_*`).
    fn soshutdown(&mut self, now: Instant, so: SoId, how: i32) -> Result<(), Errno>;
    /// Begins to give up the socket: how long the caller should wait at most for a wakeup on `so_timeo` and ask
    /// again before [`SocketLayer::soclose`]; `None` where there is nothing to wait for (`SO_LINGER`).
    fn solinger(&mut self, now: Instant, so: SoId) -> Option<Duration>;
    /// Gives up the socket; no further call names it.
    fn soclose(&mut self, now: Instant, so: SoId);
    /// Sets an option.
    fn sosetopt(
        &mut self,
        now: Instant,
        so: SoId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno>;
    /// Reads an option, at most `len` bytes.
    fn sogetopt(
        &mut self,
        now: Instant,
        so: SoId,
        level: i32,
        name: i32,
        len: usize,
    ) -> Result<Vec<u8>, Errno>;
    /// Which of the events (`POLL*`) are there.
    fn sopoll(&mut self, now: Instant, so: SoId, events: u16) -> u16;
    /// How long a sleep for reading and for writing may last; zero is for ever (`SO_RCVTIMEO`,
    /// `SO_SNDTIMEO`).
    fn sotimeo(&mut self, so: SoId) -> (Duration, Duration);
    /// Whether a write without a reader raises no signal (`SO_NOSIGPIPE`).
    fn nosigpipe(&mut self, so: SoId) -> bool;
    /// Tells something of the socket; `EINVAL` for a listener.
    fn soioctl(&mut self, so: SoId, what: SoIoctl) -> Result<i32, Errno>;
    /// The local address.
    fn sockname(&mut self, so: SoId) -> Result<SocketAddr, Errno>;
    /// The peer's address.
    fn peername(&mut self, so: SoId) -> Result<SocketAddr, Errno>;
    /// The next socket whose sleepers should look again.
    fn take_wakeup(&mut self) -> Option<Wakeup>;
}
