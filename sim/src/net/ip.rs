// SPDX-License-Identifier: BSD-2-Clause
//! The IP layer of one vnet: everything between frames and transports.
//!
//! It owns interfaces, addresses, routes, neighbours, reassembly queues and ICMP. It owns no
//! sockets: what arrives for a transport is left in a queue of [`Delivery`]s.
//!
//! ```text
//!   frame -> input -> (ARP, ND, ICMP answered here) -> reassembly -> deliveries
//!   packet -> output -> route -> fragment -> neighbour -> frames out, or the loopback queue
//! ```
//!
//! - I1: all state is data; the moment is set on entry ([`IpStack::set_now`]), timers are deadlines.
//! - I2: output never calls a transport; packets to own addresses wait in the loopback queue for
//!   [`LOOPBACK_DELAY`], so that time passes however long a local conversation is.
//! - I3: every queue is bounded; hostile frames cost what they are long and leave counters behind.

mod arp;
mod icmp;
mod icmp6;
mod input;
mod output;
mod routed;
#[cfg(test)]
mod routed_tests;
mod sysctl;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;

use super::bandlim::{BANDLIM_CLASSES, Bandlim, RATELIM6_CLASSES, RateLimit, Ratelim6};
use super::cx::IcmpError;
use super::ether::MacAddr;
use super::ifnet::{IfAddr, IfIndex, IfKind, Ifnet, Ifnets, in_prefix};
use super::inpcb::IPDEFTTL;
use super::ipv4::Ipv4Header;
use super::ipv6::Ipv6Header;
use super::lltable::{LlAction, LlTable};
use super::packet::{IpPacket, OutPacket};
use super::reass::Reass;
use super::route::{Fib, Route, RouteOrigin};
use crate::errno::Errno;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use routed::Routed;

/// Time that a packet spends in the loopback queue.
pub const LOOPBACK_DELAY: Duration = Duration::from_micros(1);
/// Packets that the loopback queue holds (`net.route.netisr_maxqlen`'s kind of bound).
pub const LOOPBACK_MAX: usize = 4096;
/// Frames that wait for the links (`ifqmaxlen` per vnet, generous: the owner drains it each step).
pub const OUTPUT_MAX: usize = 65_536;
/// `net.inet.icmp.icmplim` and `icmplim_jitter` (`ip_icmp.c`, CURRENT of 2025).
const ICMPLIM: u32 = 200;
const ICMPLIM_JITTER: u32 = 16;
/// `net.inet6.icmp6.errppslimit` and `icmp6lim_jitter` (`icmp6.c`, CURRENT of 2025).
const ICMP6ERRPPSLIM: u32 = 100;
const ICMP6LIM_JITTER: u32 = 8;
/// `LOMTU`, `net/if_loop.c`, FreeBSD 15.0.
pub const LOMTU: u32 = 16_384;

/// Something for a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A packet.
    Packet {
        /// The packet, reassembled.
        packet: IpPacket,
        /// Identification of the (first) IPv4 packet, for an ICMP error that quotes it.
        id: u16,
        /// Arrived as a link-layer or IP broadcast or multicast: never answered by an error.
        broadcast: bool,
        /// Interface by which it came.
        rcvif: IfIndex,
    },
    /// An ICMP error about a packet that this host sent (`ctlinput`).
    Error {
        /// The error.
        error: IcmpError,
        /// Source of the quoted packet: an address of this host.
        src: IpAddr,
        /// Destination of the quoted packet.
        dst: IpAddr,
        /// Its protocol.
        proto: u8,
        /// What was quoted of its transport header and data.
        quoted: Vec<u8>,
    },
}

/// The IP layer's tunables (`net.inet.ip`, `net.inet6.ip6`, `net.inet.icmp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpSysctls {
    /// `net.inet.ip.forwarding`.
    pub forwarding: bool,
    /// `net.inet6.ip6.forwarding`.
    pub forwarding6: bool,
    /// `net.inet.ip.ttl`.
    pub ttl: u8,
    /// `net.inet6.ip6.hlim`.
    pub hlim: u8,
    /// `net.inet.icmp.bmcastecho`.
    pub bmcastecho: bool,
    /// `net.inet.icmp.quotelen`, bytes.
    pub quotelen: u32,
    /// `net.inet.icmp.tstamprepl`.
    pub tstamprepl: bool,
}

impl Default for IpSysctls {
    fn default() -> Self {
        Self {
            forwarding: false,
            forwarding6: false,
            ttl: IPDEFTTL,
            hlim: 64,
            bmcastecho: false,
            quotelen: 548,
            tstamprepl: true,
        }
    }
}

/// Counters (`ipstat`, `ip6stat`, `icmpstat`; both families together).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpStats {
    /// Packets that arrived.
    pub total: u64,
    /// Dropped: malformed header, checksum or length.
    pub bad: u64,
    /// Dropped: an address that may not stand there (`ips_badaddr`).
    pub badaddr: u64,
    /// Dropped: not for this host and not forwarded.
    pub cantforward: u64,
    /// Forwarded.
    pub forward: u64,
    /// Fragments that arrived.
    pub fragments: u64,
    /// Datagrams put together.
    pub reassembled: u64,
    /// Reassemblies given up for time.
    pub fragtimeout: u64,
    /// Handed to a transport.
    pub delivered: u64,
    /// Sent by a transport of this host.
    pub localout: u64,
    /// Not sent for want of a route.
    pub noroute: u64,
    /// Fragments made.
    pub ofragments: u64,
    /// Dropped because a queue of ours was full.
    pub odropped: u64,
    /// ICMP messages that arrived malformed.
    pub icmp_bad: u64,
    /// ICMP errors and replies sent.
    pub icmp_sent: u64,
    /// ICMP answers that the rate limit held back.
    pub icmp_limited: u64,
}

/// The IP layer of one vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpStack {
    pub(crate) now: Instant,
    pub(crate) ifnets: Ifnets,
    pub(crate) next_ifindex: u32,
    pub(crate) fib: Fib,
    pub(crate) lltable: LlTable,
    pub(crate) reass4: Reass<Ipv4Header>,
    pub(crate) reass6: Reass<Ipv6First>,
    pub(crate) bandlim: RateLimit<BANDLIM_CLASSES>,
    pub(crate) ratelim6: RateLimit<RATELIM6_CLASSES>,
    pub(crate) ip_id: u16,
    pub(crate) frag6_id: u32,
    pub(crate) rng: Rng,
    pub(crate) loopback: VecDeque<(Instant, OutPacket)>,
    pub(crate) output: VecDeque<(IfIndex, Vec<u8>)>,
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) routed: Routed,
    /// Tunables.
    pub sysctls: IpSysctls,
    /// Counters.
    pub stats: IpStats,
}

/// What is kept of the first fragment of an IPv6 datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6First {
    /// Its fixed header.
    pub header: Ipv6Header,
    /// Type of the header that the fragmented part begins with.
    pub next: u8,
    /// What followed the fixed header, for an error that quotes it.
    pub quote: Vec<u8>,
}

impl IpStack {
    /// A stack without interfaces.
    pub fn new(mut rng: Rng) -> Self {
        Self {
            now: Instant::BOOT,
            ifnets: Ifnets::default(),
            next_ifindex: 1,
            fib: Fib::default(),
            lltable: LlTable::default(),
            reass4: Reass::v4(),
            reass6: Reass::v6(),
            ip_id: rng.next_u64() as u16,
            frag6_id: rng.next_u64() as u32,
            bandlim: RateLimit::new(ICMPLIM, ICMPLIM_JITTER, &mut rng),
            ratelim6: RateLimit::new(ICMP6ERRPPSLIM, ICMP6LIM_JITTER, &mut rng),
            rng,
            loopback: VecDeque::new(),
            output: VecDeque::new(),
            deliveries: VecDeque::new(),
            routed: Routed::default(),
            sysctls: IpSysctls::default(),
            stats: IpStats::default(),
        }
    }

    /// Sets the moment of what is called next.
    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// Attaches an interface, which is up and has no address yet.
    pub fn if_attach(&mut self, name: &str, kind: IfKind, mtu: u32) -> IfIndex {
        let index = IfIndex(self.next_ifindex);
        self.next_ifindex += 1;
        let ifnet = Ifnet {
            name: name.to_owned(),
            kind,
            mtu,
            up: true,
            addrs: Vec::new(),
            data: Default::default(),
        };
        self.ifnets.insert(index, ifnet);
        index
    }

    /// Detaches an interface with its addresses, routes and neighbours.
    ///
    /// # Errors
    /// `ENXIO` where there is no such interface.
    pub fn if_detach(&mut self, index: IfIndex) -> Result<Ifnet, Errno> {
        let ifnet = self.ifnets.remove(index).ok_or(Errno::ENXIO)?;
        self.fib.delete_interface(index);
        self.lltable.flush_interface(index);
        self.output.retain(|(at, _)| *at != index);
        Ok(ifnet)
    }

    /// Adds an address, its connected route, and announces it on an Ethernet.
    ///
    /// # Errors
    /// `ENXIO` where there is no such interface, `EINVAL` for a prefix longer than the family
    /// allows, `EEXIST` where an interface of the vnet has the address already.
    pub fn ifaddr_add(&mut self, index: IfIndex, ifa: IfAddr) -> Result<(), Errno> {
        let width = if ifa.addr.is_ipv4() { 32 } else { 128 };
        if ifa.prefix_len > width {
            return Err(Errno::EINVAL);
        }
        if self.is_own(ifa.addr) {
            return Err(Errno::EEXIST);
        }
        self.ifaddr_install(index, ifa)?;
        self.announce_addr(index, ifa.addr);
        Ok(())
    }

    /// Gives an interface an address without telling anybody: a restored host announces itself when
    /// it goes on.
    pub(crate) fn ifaddr_install(&mut self, index: IfIndex, ifa: IfAddr) -> Result<(), Errno> {
        let ifnet = self.ifnets.get_mut(index).ok_or(Errno::ENXIO)?;
        ifnet.addrs.push(ifa);
        let connected = Route {
            dst: ifa.addr,
            prefix_len: ifa.prefix_len,
            gateway: None,
            ifindex: index,
            origin: RouteOrigin::Connected,
        };
        // A second address of the same subnet shares the route of the first.
        let _shared = self.fib.add(connected);
        Ok(())
    }

    /// Removes an address and, with the last one of its subnet, the connected route.
    ///
    /// # Errors
    /// `ENXIO` where there is no such interface, `EADDRNOTAVAIL` where it lacks the address.
    pub fn ifaddr_delete(&mut self, index: IfIndex, addr: IpAddr) -> Result<(), Errno> {
        let ifnet = self.ifnets.get_mut(index).ok_or(Errno::ENXIO)?;
        let at = ifnet
            .addrs
            .iter()
            .position(|a| a.addr == addr)
            .ok_or(Errno::EADDRNOTAVAIL)?;
        let gone = ifnet.addrs.remove(at);
        let shared = ifnet.addrs.iter().any(|a| {
            a.prefix_len == gone.prefix_len && in_prefix(a.addr, gone.addr, gone.prefix_len)
        });
        if !shared {
            let _absent = self.fib.delete(gone.addr, gone.prefix_len);
        }
        Ok(())
    }

    /// Adds a static route through `gateway`, whose own connected route names the interface.
    ///
    /// # Errors
    /// `ENETUNREACH` where the gateway is not on a link, else as [`Fib::add`].
    pub fn route_add(&mut self, dst: IpAddr, prefix_len: u8, gateway: IpAddr) -> Result<(), Errno> {
        let via = self
            .fib
            .lookup(gateway)
            .filter(|r| r.gateway.is_none())
            .ok_or(Errno::ENETUNREACH)?;
        let route = Route {
            dst,
            prefix_len,
            gateway: Some(gateway),
            ifindex: via.ifindex,
            origin: RouteOrigin::Static,
        };
        self.fib.add(route)
    }

    /// Adds a route to a prefix that is on the link of an interface.
    ///
    /// # Errors
    /// `ENXIO` where there is no such interface, else as [`Fib::add`].
    pub fn route_add_interface(
        &mut self,
        dst: IpAddr,
        prefix_len: u8,
        ifindex: IfIndex,
    ) -> Result<(), Errno> {
        if self.ifnets.get(ifindex).is_none() {
            return Err(Errno::ENXIO);
        }
        let route = Route {
            dst,
            prefix_len,
            gateway: None,
            ifindex,
            origin: RouteOrigin::Static,
        };
        self.fib.add(route)
    }

    /// The interfaces in the order of their indexes.
    pub fn ifnets(&self) -> impl Iterator<Item = (IfIndex, &Ifnet)> {
        self.ifnets.iter()
    }

    /// One interface.
    pub fn ifnet(&self, index: IfIndex) -> Option<&Ifnet> {
        self.ifnets.get(index)
    }

    /// One interface, to be changed.
    pub fn ifnet_mut(&mut self, index: IfIndex) -> Option<&mut Ifnet> {
        self.ifnets.get_mut(index)
    }

    /// The interface with this name.
    pub fn ifindex_of(&self, name: &str) -> Option<IfIndex> {
        self.ifnets().find(|(_, i)| i.name == name).map(|(i, _)| i)
    }

    /// The routing table.
    pub fn fib(&self) -> &Fib {
        &self.fib
    }

    /// The neighbours.
    pub fn lltable_mut(&mut self) -> &mut LlTable {
        &mut self.lltable
    }

    /// Datagrams that wait for fragments.
    pub fn reassembly_queues(&self) -> usize {
        self.reass4.len() + self.reass6.len()
    }

    /// True where `addr` is one of this host's unicast addresses.
    pub(crate) fn is_own(&self, addr: IpAddr) -> bool {
        self.ifnets
            .values()
            .any(|i| i.addrs.iter().any(|a| a.addr == addr))
    }

    /// `in_localip` for IPv4, `in6_localaddr` for IPv6 (`in.c`, `in6.c`, 15.0): only the latter counts
    /// neighbours.
    pub(crate) fn is_own_or_on_link(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(_) => self.is_own(addr),
            IpAddr::V6(_) => self.is_own_or_neighbour(addr),
        }
    }

    /// `in_localaddr`, `in6_localaddr`: in the subnet of one of its addresses, or beyond no router by
    /// what it is.
    pub(crate) fn is_own_or_neighbour(&self, addr: IpAddr) -> bool {
        let by_scope = match addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
        };
        let mut addrs = self.ifnets.values().flat_map(|i| &i.addrs);
        by_scope || addrs.any(|a| in_prefix(addr, a.addr, a.prefix_len))
    }

    pub(crate) fn has_broadcast(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(v4) => self.ifnets.values().any(|i| i.is_broadcast(v4)),
            IpAddr::V6(_) => false,
        }
    }

    /// True where one more answer of this class may go out now (`badport_bandlim`).
    pub(crate) fn may_answer(&mut self, class: Bandlim) -> bool {
        let allowed = self.bandlim.allow(self.now, &mut self.rng, class as usize);
        self.stats.icmp_limited += u64::from(!allowed);
        allowed
    }

    /// True where one more ICMPv6 message of this type may go out now (`icmp6_ratelimit`).
    pub(crate) fn icmp6_ratelimit(&mut self, kind: u8) -> bool {
        let class = Ratelim6::of_type(kind) as usize;
        let allowed = self.ratelim6.allow(self.now, &mut self.rng, class);
        self.stats.icmp_limited += u64::from(!allowed);
        allowed
    }

    /// The next thing for a transport, in order of arrival.
    pub fn take_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// The next frame for a link, in order of sending.
    pub fn take_output(&mut self) -> Option<(IfIndex, Vec<u8>)> {
        self.output.pop_front()
    }

    /// When the next timer, or packet of the loopback queue, is due.
    pub fn next_callout(&self) -> Option<Instant> {
        [
            self.lltable.next_deadline(),
            self.reass4.next_deadline(),
            self.reass6.next_deadline(),
            self.loopback.front().map(|(due, _)| *due),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Runs what is due at the moment set.
    pub fn run_callouts(&mut self) {
        let now = self.now;
        self.run_loopback();
        self.stats.fragtimeout += self.reass4.expire(now).len() as u64;
        for first in self.reass6.expire(now) {
            self.stats.fragtimeout += 1;
            self.reassembly_timeout6(&first);
        }
        for action in self.lltable.run(now) {
            match action {
                LlAction::Ask {
                    ifindex,
                    addr,
                    unicast,
                } => self.ask_neighbour(ifindex, addr, unicast),
                LlAction::Unreachable(packet) => self.neighbour_unreachable(packet.bytes()),
            }
        }
    }

    /// Announces every address of every Ethernet: gratuitous ARP and unsolicited advertisements.
    ///
    /// Bridges and neighbours learn from it where the host is after it moved.
    pub fn announce(&mut self) {
        let all: Vec<(IfIndex, IpAddr)> = self
            .ifnets
            .iter()
            .flat_map(|(index, i)| i.addrs.iter().map(move |a| (index, a.addr)))
            .collect();
        for (index, addr) in all {
            self.announce_addr(index, addr);
        }
    }

    /// Moves every timer from a clock that reads `from` to one that reads `to`; what remains of
    /// each stays the same.
    #[cfg(test)]
    pub fn shift_timers(&mut self, from: Instant, to: Instant) {
        self.lltable.shift(from, to);
        self.reass4.shift(from, to);
        self.reass6.shift(from, to);
        self.bandlim.shift(from, to);
        self.ratelim6.shift(from, to);
        for (due, _) in &mut self.loopback {
            *due = to.after(due.since(from));
        }
        self.now = to;
    }

    pub(crate) fn mac_of(&self, index: IfIndex) -> Option<MacAddr> {
        match self.ifnets.get(index)?.kind {
            IfKind::Ethernet { mac } => Some(mac),
            IfKind::Loopback | IfKind::Tun => None,
        }
    }
}

/// An address that may not be the source of a packet from a link: group, broadcast.
pub(crate) fn is_multicast(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}
