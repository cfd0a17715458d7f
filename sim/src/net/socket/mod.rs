// SPDX-License-Identifier: BSD-2-Clause
//! The socket layer: what a program holds, above any transport (`sys/kern/uipc_socket.c`, 15.0).
//!
//! [`Inet`] is the transport half of a vnet: its sockets and its protocols' state. The calls (`so*`)
//! never sleep; see [`super::cx`].
//!
//! - I1: a [`SoId`] names one socket for ever; a freed one names nothing.
//! - I2: a socket is freed when nobody refers to it: no descriptor, no accept queue, no protocol.
//! - I3: a socket is on at most one accept queue, of the listener it names.
//! - I4: after every public call the index of timers and the tables of addresses agree with the
//!   control blocks (`Inet::settle`).

mod calls;
mod export;
mod opt;
mod opt_ip;
mod table;
#[cfg(test)]
mod tests;
mod transfer;

pub use calls::Shut;
pub use export::{XSockbuf, XTcpcb};
pub(crate) use opt::int;
pub use table::{Entry, Inet, Pcb};
pub use transfer::{Recv, RecvFlags, SendFlags};

use std::collections::VecDeque;

use super::cx::{Cx, SoId, SoWait};
use super::sockbuf::{SBS_CANTRCVMORE, SBS_CANTSENDMORE, Sockbuf};
use crate::errno::Errno;
use crate::time::Duration;

/// Address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// `AF_INET`
    Inet,
    /// `AF_INET6`
    Inet6,
}

/// Protocol of a socket (`struct protosw`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// `SOCK_STREAM`, `IPPROTO_TCP`
    Tcp,
    /// `SOCK_DGRAM`, `IPPROTO_UDP`
    Udp,
    /// `SOCK_RAW` with this protocol number
    Raw(u8),
}

/// `so_state` and `so_options` bits, with FreeBSD's values (`sys/socketvar.h`, `sys/socket.h`).
pub mod bits {
    /// Connected to a peer.
    pub const SS_ISCONNECTED: u32 = 0x0002;
    /// In the process of connecting.
    pub const SS_ISCONNECTING: u32 = 0x0004;
    /// In the process of disconnecting.
    pub const SS_ISDISCONNECTING: u32 = 0x0008;
    /// Non-blocking.
    pub const SS_NBIO: u32 = 0x0100;
    /// Disconnected from the peer.
    pub const SS_ISDISCONNECTED: u32 = 0x2000;

    /// Debugging.
    pub const SO_DEBUG: u32 = 0x0001;
    /// Accepts connections.
    pub const SO_ACCEPTCONN: u32 = 0x0002;
    /// Local address may be reused.
    pub const SO_REUSEADDR: u32 = 0x0004;
    /// Keep-alives.
    pub const SO_KEEPALIVE: u32 = 0x0008;
    /// Bypass routing.
    pub const SO_DONTROUTE: u32 = 0x0010;
    /// May send broadcasts.
    pub const SO_BROADCAST: u32 = 0x0020;
    /// Use the loopback where possible; routing sockets listen to it.
    pub const SO_USELOOPBACK: u32 = 0x0040;
    /// Linger on close.
    pub const SO_LINGER: u32 = 0x0080;
    /// Out-of-band data stay in line.
    pub const SO_OOBINLINE: u32 = 0x0100;
    /// Local address and port may be shared.
    pub const SO_REUSEPORT: u32 = 0x0200;
    /// Datagrams carry a time stamp.
    pub const SO_TIMESTAMP: u32 = 0x0400;
    /// Datagrams carry a time stamp of finer grain.
    pub const SO_BINTIME: u32 = 0x2000;
    /// Not for an offload engine.
    pub const SO_NO_OFFLOAD: u32 = 0x4000;
    /// No direct data placement.
    pub const SO_NO_DDP: u32 = 0x8000;
    /// A lost datagram is an error to be read.
    pub const SO_RERROR: u32 = 0x0002_0000;
    /// No SIGPIPE.
    pub const SO_NOSIGPIPE: u32 = 0x0800;
    /// Local address and port shared with load balancing.
    pub const SO_REUSEPORT_LB: u32 = 0x0001_0000;
}

use bits::{SS_ISCONNECTED, SS_ISCONNECTING, SS_ISDISCONNECTED, SS_ISDISCONNECTING};

/// What only a listening socket has (`sol_*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Most connections that may wait.
    pub(crate) sol_qlimit: u32,
    /// Connections that wait to be accepted, oldest first.
    pub(crate) sol_comp: VecDeque<SoId>,
    /// Limits and flags that accepted sockets start with.
    pub(crate) sol_sbrcv: BufSettings,
    /// The same for sending.
    pub(crate) sol_sbsnd: BufSettings,
}

/// The settings of a buffer, without contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufSettings {
    pub(crate) hiwat: u32,
    pub(crate) lowat: u32,
    pub(crate) timeo: Duration,
    pub(crate) flags: u16,
}

impl BufSettings {
    pub(crate) fn of(sb: &Sockbuf) -> Self {
        Self {
            hiwat: sb.sb_hiwat,
            lowat: sb.sb_lowat,
            timeo: sb.sb_timeo,
            flags: sb.sb_flags,
        }
    }

    pub(crate) fn fresh(self) -> Sockbuf {
        let mut sb = Sockbuf::reserve(self.hiwat, self.lowat);
        sb.sb_timeo = self.timeo;
        sb.sb_flags = self.flags;
        sb
    }
}

/// A socket (`struct socket`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its name.
    pub(crate) id: SoId,
    pub(crate) so_domain: Domain,
    pub(crate) so_proto: Proto,
    /// `SO_*`
    pub(crate) so_options: u32,
    /// `SS_*`
    pub(crate) so_state: u32,
    pub(crate) so_error: Option<Errno>,
    /// Seconds to linger, with `SO_LINGER`.
    pub(crate) so_linger: i32,
    /// References: one of the descriptor, one of an accept queue, one of the protocol.
    pub(crate) so_count: u32,
    /// Bytes before the out-of-band mark, 0 for none.
    pub(crate) so_oobmark: u32,
    pub(crate) so_rcv: Sockbuf,
    pub(crate) so_snd: Sockbuf,
    /// Present where the socket listens (`SOLISTENING`).
    pub(crate) sol: Option<Box<Listen>>,
    /// The listener on whose accept queue the socket waits (`so_listen`, `SQ_COMP`).
    pub(crate) so_listen: Option<SoId>,
}

impl Socket {
    /// True where any of these `so_state` bits is set.
    pub(crate) fn state(&self, bits: u32) -> bool {
        self.so_state & bits != 0
    }

    /// True where any of these `so_options` is set.
    pub(crate) fn option(&self, bits: u32) -> bool {
        self.so_options & bits != 0
    }

    /// A connection attempt has begun (`soisconnecting`).
    pub(crate) fn soisconnecting(&mut self) {
        self.so_state &= !(SS_ISCONNECTED | SS_ISDISCONNECTING);
        self.so_state |= SS_ISCONNECTING;
    }

    /// The connection is there (`soisconnected`).
    pub(crate) fn soisconnected(&mut self, cx: &mut Cx<'_>) {
        self.so_state &= !(SS_ISCONNECTING | SS_ISDISCONNECTING);
        self.so_state |= SS_ISCONNECTED;
        cx.wakeup(self.id, SoWait::Timeo);
        cx.wakeup(self.id, SoWait::Rcv);
        cx.wakeup(self.id, SoWait::Snd);
    }

    /// Disconnecting has begun (`soisdisconnecting`).
    pub(crate) fn soisdisconnecting(&mut self, cx: &mut Cx<'_>) {
        self.so_state &= !SS_ISCONNECTING;
        self.so_state |= SS_ISDISCONNECTING;
        if self.sol.is_none() {
            self.socantrcvmore(cx);
            self.socantsendmore(cx);
        }
        cx.wakeup(self.id, SoWait::Timeo);
    }

    /// The connection is gone (`soisdisconnected`).
    pub(crate) fn soisdisconnected(&mut self, cx: &mut Cx<'_>) {
        self.so_state &= !(SS_ISCONNECTING | SS_ISCONNECTED | SS_ISDISCONNECTING);
        self.so_state |= SS_ISDISCONNECTED;
        if self.sol.is_none() {
            self.socantrcvmore(cx);
            self.so_snd.flush();
            self.socantsendmore(cx);
        }
        cx.wakeup(self.id, SoWait::Timeo);
    }

    /// No more data will arrive (`socantrcvmore`).
    pub(crate) fn socantrcvmore(&mut self, cx: &mut Cx<'_>) {
        self.so_rcv.sb_state |= SBS_CANTRCVMORE;
        cx.wakeup(self.id, SoWait::Rcv);
    }

    /// No more data may be written (`socantsendmore`).
    pub(crate) fn socantsendmore(&mut self, cx: &mut Cx<'_>) {
        self.so_snd.sb_state |= SBS_CANTSENDMORE;
        cx.wakeup(self.id, SoWait::Snd);
    }
}
