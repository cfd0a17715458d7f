// SPDX-License-Identifier: BSD-2-Clause
//! What the transport half of a vnet asks of everything around it.
//!
//! The transports (`socket`, `tcp`, UDP, raw) know neither routes nor interfaces nor clocks. Each
//! call into them carries a [`Cx`]: the moment, the IP layer below, a stream of random numbers and
//! a place to leave wakeups for the kernel above.
//!
//! - I1: a transport never waits. What would sleep in FreeBSD returns [`SoError::Blocked`]; the
//!   kernel tries again after a [`Wakeup`] for that socket and wait channel.
//! - I2: [`IpLayer::output`] never calls back into a transport. A packet to one of the vnet's own
//!   addresses is queued by the IP layer and delivered later, as `netisr` does for `lo0`.
//! - I3: the same calls with the same contexts give the same packets and wakeups.

use std::net::IpAddr;

use super::bandlim::Bandlim;
use super::packet::IpPacket;
use crate::errno::Errno;
use crate::rng::Rng;
use crate::time::Instant;

/// Names a socket of one vnet; never reused while the vnet lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SoId(pub u64);

/// What a thread can sleep on at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SoWait {
    /// Data, end of file or an error to read, or a connection to accept (`so_rcv`, `sol_comp`).
    Rcv,
    /// Room to write, or an error instead (`so_snd`).
    Snd,
    /// A change of the connection's state: `connect(2)` and a lingering `close(2)` (`so_timeo`).
    Timeo,
}

/// A socket whose sleepers and pollers should look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wakeup {
    /// The socket.
    pub so: SoId,
    /// The channel on which something changed.
    pub what: SoWait,
}

/// Why a socket call did not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoError {
    /// The call would sleep on this channel of the socket; nothing of it was done yet.
    Blocked(SoWait),
    /// The call failed.
    Errno(Errno),
}

impl From<Errno> for SoError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// The IP layer as a transport sees it.
pub trait IpLayer {
    /// Routes and sends a packet (`ip_output`, `ip6_output`). The transport's checksum is made here
    /// where it was left open ([`IpPacket::delay_cksum`]) and the interface does not take it so.
    ///
    /// A packet longer than the route's MTU is fragmented, or refused with `EMSGSIZE` where `df` is
    /// set. Other errors are the route's (`EHOSTUNREACH`, `ENETUNREACH`, `ENETDOWN`) or the
    /// interface's (`ENOBUFS`).
    fn output(&mut self, packet: IpPacket) -> Result<(), Errno>;

    /// The source address for a new flow to `dst` (`in_pcbladdr`, `in6_selectsrc`).
    fn source_for(&self, dst: IpAddr) -> Result<IpAddr, Errno>;

    /// True where `addr` is configured on an interface of this vnet.
    fn is_local(&self, addr: IpAddr) -> bool;

    /// True where `addr` counts as this host's own or its neighbour: one of its addresses (IPv4,
    /// `in_localip`), or any on a link of its own, link-local or loopback (IPv6, `in6_localaddr`).
    fn is_near(&self, addr: IpAddr) -> bool {
        let local = match addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
        };
        local || self.is_local(addr)
    }

    /// True where `addr` is on a link of this vnet's own (`in_localaddr`, `in6_localaddr`).
    fn is_on_link(&self, addr: IpAddr) -> bool {
        self.is_near(addr)
    }

    /// True where `addr` is a broadcast address of one of the vnet's interfaces.
    fn is_broadcast(&self, addr: IpAddr) -> bool;

    /// The MTU of the route to `dst` in bytes, IP header included; 0 where there is no route.
    fn mtu_for(&self, dst: IpAddr) -> u32;

    /// The default TTL or hop limit for `dst` (`net.inet.ip.ttl`, `net.inet6.ip6.hlim`).
    fn default_ttl(&self, dst: IpAddr) -> u8;

    /// The hop limit of a connected IPv6 socket for which none was set: that of the link (`in6_selecthlim`, `in6_src.c`),
    /// which is `IPV6_DEFHLIM` as long as no router advertises another; the default where there is no route.
    fn hop_limit_to(&self, dst: IpAddr) -> u8 {
        const IPV6_DEFHLIM: u8 = 64;
        if self.mtu_for(dst) == 0 {
            self.default_ttl(dst)
        } else {
            IPV6_DEFHLIM
        }
    }

    /// True where one more answer of this class may go out now; it is counted then (`badport_bandlim`).
    fn badport_bandlim(&mut self, class: Bandlim) -> bool;
}

/// The surroundings of one call into a transport.
pub struct Cx<'a> {
    /// The moment of the call on the kernel's monotonic clock.
    pub now: Instant,
    /// The layer below.
    pub ip: &'a mut dyn IpLayer,
    /// The transports' stream of random numbers.
    pub rng: &'a mut Rng,
    /// Wakeups for the layer above, in order; repeated ones are allowed.
    pub wakeups: &'a mut Vec<Wakeup>,
}

impl Cx<'_> {
    /// Leaves a wakeup.
    pub fn wakeup(&mut self, so: SoId, what: SoWait) {
        self.wakeups.push(Wakeup { so, what });
    }
}

/// An ICMP or ICMPv6 error that concerns a transport's own packet (`PRC_*`, `icmp_errmap`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Type, of ICMP for IPv4 and of ICMPv6 for IPv6.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Next-hop MTU of a "fragmentation needed" or "packet too big", or where a router names none
    /// the next smaller one of RFC 1191; 0 for other errors.
    pub mtu: u32,
}
