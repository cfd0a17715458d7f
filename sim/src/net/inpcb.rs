// SPDX-License-Identifier: BSD-2-Clause
//! Internet protocol control blocks: who is bound and connected where (`sys/netinet/in_pcb.c`, 15.0).
//!
//! - I1: every bound block is in the port list of its local port, every connected one in the table
//!   of connections, under exactly its own addresses.
//! - I2: two blocks never have the same four addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cx::SoId;
use crate::errno::Errno;
use crate::rng::Rng;

/// `INP_IPV4`: the block takes part in IPv4.
pub const INP_IPV4: u8 = 0x1;
/// `INP_IPV6`: the block takes part in IPv6.
pub const INP_IPV6: u8 = 0x2;
/// `INP_IPV6PROTO`: the socket was opened in `AF_INET6`.
pub const INP_IPV6PROTO: u8 = 0x4;

/// `INP_DROPPED`: the protocol has let go of the block.
pub const INP_DROPPED: u32 = 0x0400_0000;
/// `INP_SOCKREF`: the protocol holds a reference to the socket.
pub const INP_SOCKREF: u32 = 0x0800_0000;
/// `INP_HIGHPORT`: the port is to be picked high (`IP_PORTRANGE_HIGH`).
pub const INP_HIGHPORT: u32 = 0x0000_0010;
/// `INP_LOWPORT`: the port is to be picked among the reserved ones (`IP_PORTRANGE_LOW`).
pub const INP_LOWPORT: u32 = 0x0000_0020;
/// `INP_DONTFRAG`: what is sent may not be fragmented (`IP_DONTFRAG`).
pub const INP_DONTFRAG: u32 = 0x0000_0800;
/// `INP_ANONPORT`: the port was picked, not asked for.
pub const INP_ANONPORT: u32 = 0x0000_0040;
/// `IN6P_IPV6_V6ONLY`: no IPv4-mapped addresses.
pub const IN6P_IPV6_V6ONLY: u32 = 0x0000_8000;

/// `IPDEFTTL`: the time to live where nobody says otherwise (`netinet/ip.h`).
pub const IPDEFTTL: u8 = 64;

/// The addresses of a block or of a segment, seen from here (`struct in_conninfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InConninfo {
    /// Foreign address.
    pub faddr: IpAddr,
    /// Local address.
    pub laddr: IpAddr,
    /// Foreign port.
    pub fport: u16,
    /// Local port.
    pub lport: u16,
}

impl InConninfo {
    /// `INC_ISIPV6`.
    pub fn is_v6(&self) -> bool {
        self.faddr.is_ipv6()
    }
}

/// An internet protocol control block (`struct inpcb`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inpcb {
    /// Addresses; unspecified address or port 0 where not bound or connected.
    pub(crate) inc: InConninfo,
    /// `INP_IPV4`, `INP_IPV6`, `INP_IPV6PROTO`.
    pub(crate) inp_vflag: u8,
    /// `INP_*`.
    pub(crate) inp_flags: u32,
    /// IPv4 type of service.
    pub(crate) inp_ip_tos: u8,
    /// IPv4 time to live: that of the system when the socket was made, or what was set.
    pub(crate) inp_ip_ttl: u8,
    /// Least TTL or hop limit of a packet that is accepted; 0 for any.
    pub(crate) inp_ip_minttl: u8,
    /// IPv6 traffic class.
    pub(crate) in6p_tclass: u8,
    /// IPv6 hop limit; `None` for the default of the system.
    pub(crate) in6p_hops: Option<u8>,
    /// IPv6 flow label.
    pub(crate) inp_flow: u32,
    /// `INC_IPV6MINMTU`: TCP offers no more than the minimum MTU. Any use of `IPV6_USE_MIN_MTU` sets it,
    /// whatever the value, and nothing takes it away.
    pub(crate) minmtu: bool,
    /// `ip6po_minmtu`: the value of `IPV6_USE_MIN_MTU`, from -1 (for multicast alone) to 1.
    pub(crate) ip6po_minmtu: i8,
    /// Offset of the checksum in what a raw socket of IPv6 sends and takes; -1 for none.
    pub(crate) in6p_cksum: i32,
    /// Which types a raw socket of ICMPv6 takes, a bit each; `None` for all.
    pub(crate) icmp6filt: Option<[u8; 32]>,
}

impl Inpcb {
    /// A block of a new socket of this domain (`in_pcballoc`).
    pub fn new(v6: bool) -> Self {
        let any = unspecified(v6);
        Self {
            inc: InConninfo {
                faddr: any,
                laddr: any,
                fport: 0,
                lport: 0,
            },
            inp_vflag: if v6 {
                INP_IPV6 | INP_IPV6PROTO
            } else {
                INP_IPV4
            },
            inp_flags: 0,
            inp_ip_tos: 0,
            inp_ip_ttl: IPDEFTTL,
            inp_ip_minttl: 0,
            in6p_tclass: 0,
            in6p_hops: None,
            inp_flow: 0,
            minmtu: false,
            ip6po_minmtu: -1,
            in6p_cksum: -1,
            icmp6filt: None,
        }
    }

    /// Whether the block is for IPv6 only, before it is bound (`IPV6_V6ONLY`).
    pub(crate) fn set_v6only(&mut self, on: bool) {
        if on {
            self.inp_flags |= IN6P_IPV6_V6ONLY;
            self.inp_vflag &= !INP_IPV4;
        } else {
            self.inp_flags &= !IN6P_IPV6_V6ONLY;
            self.inp_vflag |= INP_IPV4;
        }
    }

    /// True where the protocol has let go of the block.
    pub(crate) fn dropped(&self) -> bool {
        self.inp_flags & INP_DROPPED != 0
    }

    /// TTL or hop limit for a packet of this family; `None` for the default of the system.
    pub(crate) fn ttl(&self, v6: bool) -> Option<u8> {
        if v6 {
            self.in6p_hops
        } else {
            Some(self.inp_ip_ttl)
        }
    }

    /// Type of service or traffic class for a packet of this family.
    pub(crate) fn tos(&self, v6: bool) -> u8 {
        if v6 {
            self.in6p_tclass
        } else {
            self.inp_ip_tos
        }
    }
}

/// The unspecified address of a family.
pub fn unspecified(v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}

/// A bound block as the other blocks of its port see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its socket.
    pub so: SoId,
    /// Its addresses.
    pub inc: InConninfo,
    /// Its `inp_vflag`.
    pub vflag: u8,
    /// Whether it shares its address: `SO_REUSEADDR` or `SO_REUSEPORT`.
    pub reuse: Reuse,
}

/// How a socket shares a local address (`in_pcbbind_avail`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// `SO_REUSEADDR`.
    pub addr: bool,
    /// `SO_REUSEPORT`.
    pub port: bool,
    /// `SO_REUSEPORT_LB`.
    pub lb: bool,
}

impl Reuse {
    fn any(self) -> bool {
        self.addr || self.port || self.lb
    }

    /// Whether a socket that says this may have the address of one that says `other`. For a group
    /// address, `SO_REUSEADDR` stands for the others.
    fn shares(self, other: Self, multicast: bool) -> bool {
        let (port, lb) = if multicast {
            (self.addr || self.port, self.addr || self.lb)
        } else {
            (self.port, self.lb)
        };
        let addr = multicast && self.any() && other.addr;
        addr || (port && other.port) || (lb && other.lb)
    }
}

/// Ports and family, foreign and local address, as numbers: they compare soonest so.
type Key = (u64, u128, u128);

fn key(inc: &InConninfo) -> Key {
    let number = |addr| match addr {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let families = u64::from(inc.faddr.is_ipv6()) << 1 | u64::from(inc.laddr.is_ipv6());
    let ports = u64::from(inc.fport) << 16 | u64::from(inc.lport);
    (families << 32 | ports, number(inc.faddr), number(inc.laddr))
}

/// All blocks of one protocol in one vnet (`struct inpcbinfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inpcbinfo {
    /// By ports first: they differ soonest.
    connected: BTreeMap<Key, SoId>,
    ports: BTreeMap<u16, Port>,
}

/// The blocks with one local port, each kind from old to new: a busy listener has very many
/// connected ones, which no search for a listener may walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Port {
    bound: BTreeMap<SoId, Bound>,
    connected: BTreeMap<SoId, Bound>,
}

impl Port {
    fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.bound.values().chain(self.connected.values())
    }

    fn remove(&mut self, so: SoId) {
        if self.bound.remove(&so).is_none() {
            self.connected.remove(&so);
        }
    }
}

impl Inpcbinfo {
    /// The connected block with exactly these addresses (`in_pcblookup_hash_exact`).
    pub fn lookup_exact(&self, inc: &InConninfo) -> Option<SoId> {
        self.connected.get(&key(inc)).copied()
    }

    /// The block that a packet with these addresses belongs to (`in_pcblookup_hash`).
    ///
    /// First a connected one, then one bound to the local address, then one bound to any; of the
    /// latter those of the packet's own family first.
    pub fn lookup(&self, inc: &InConninfo, wildcard: bool) -> Option<SoId> {
        if let Some(so) = self.lookup_exact(inc) {
            return Some(so);
        }
        if !wildcard {
            return None;
        }
        let family = if inc.is_v6() { INP_IPV6 } else { INP_IPV4 };
        let mut best: Option<(u8, SoId)> = None;
        for bound in self.ports.get(&inc.lport)?.bound.values() {
            if bound.vflag & family == 0 {
                continue;
            }
            let rank = if bound.inc.laddr == inc.laddr {
                0
            } else if !bound.inc.laddr.is_unspecified() {
                continue;
            } else if bound.inc.laddr.is_ipv6() == inc.is_v6() {
                1
            } else {
                2
            };
            if best.is_none_or(|(other, _)| rank < other) {
                best = Some((rank, bound.so));
            }
        }
        best.map(|(_, so)| so)
    }

    /// Whether any block has this local port.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// Every bound block, by port, the unconnected ones first, and then by age: what `sockstat(1)` shows.
    pub fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.ports.values().flat_map(Port::iter)
    }

    /// Whether a local address can be bound (`in_pcbbind_avail`, `in6_pcbbind_avail`): `EADDRINUSE`
    /// where not.
    ///
    /// A socket that says `SO_REUSE*` meets only an unconnected block with the very same address, one
    /// that says none of them every block that has the port on its address; it is that block's
    /// options that then decide.
    pub fn bind_available(
        &self,
        laddr: IpAddr,
        lport: u16,
        vflag: u8,
        reuse: Reuse,
    ) -> Result<(), Errno> {
        let taken = |laddr: IpAddr| {
            let found = self.lookup_local(laddr, lport, !reuse.any());
            found.filter(|t| !reuse.shares(t.reuse, laddr.is_multicast()))
        };
        let any = |t: &Bound| t.inc.laddr.is_unspecified();
        let v6proto = |vflag: u8| vflag & INP_IPV6PROTO != 0;
        if laddr.is_ipv4() {
            // Two sockets of AF_INET6 do not quarrel about 0.0.0.0.
            let quarrel = taken(laddr).is_some_and(|t| {
                !(laddr.is_unspecified() && any(t) && v6proto(vflag) && v6proto(t.vflag))
            });
            return if quarrel {
                Err(Errno::EADDRINUSE)
            } else {
                Ok(())
            };
        }
        // A socket for both families takes over from one of AF_INET that is bound to any address.
        let both = laddr.is_unspecified() && vflag & INP_IPV4 != 0;
        let four = || taken(unspecified(false)).is_some_and(|t| !any(t) || v6proto(t.vflag));
        if taken(laddr).is_some() || (both && four()) {
            return Err(Errno::EADDRINUSE);
        }
        Ok(())
    }

    /// The block that fits a local address best (`in_pcblookup_local`, `in6_pcblookup_local`); without
    /// `wildcard` an unconnected one with exactly this address.
    fn lookup_local(&self, laddr: IpAddr, lport: u16, wildcard: bool) -> Option<&Bound> {
        let family = if laddr.is_ipv6() { INP_IPV6 } else { INP_IPV4 };
        let port = self.ports.get(&lport)?;
        let same = |t: &&Bound| {
            t.vflag & family != 0
                && (t.inc.laddr == laddr || laddr.is_unspecified() && t.inc.laddr.is_unspecified())
        };
        if !wildcard {
            return port.bound.values().find(same);
        }
        let fits = port.iter().filter(|t| t.vflag & family != 0).filter(|t| {
            t.inc.laddr == laddr || laddr.is_unspecified() || t.inc.laddr.is_unspecified()
        });
        // INP_LOOKUP_MAPPED_PCB_COST is 3.
        fits.min_by_key(|t| {
            let mapped = family == INP_IPV4 && t.vflag & INP_IPV6 != 0;
            let inexact = t.inc.laddr.is_unspecified() != laddr.is_unspecified();
            u8::from(t.inc.fport != 0) + u8::from(inexact) + if mapped { 3 } else { 0 }
        })
    }

    /// A free ephemeral port (`in_pcb_lport_dest`): one random start, then upwards round the range.
    ///
    /// With a destination only the four addresses together must be new; without one, the port.
    ///
    /// `first..=last` are the ports that it may be.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` where none of them is free.
    pub fn ephemeral_port(
        &self,
        inc: &InConninfo,
        (first, last): (u16, u16),
        rng: &mut Rng,
    ) -> Result<u16, Errno> {
        let count = u64::from(last.saturating_sub(first)) + 1;
        let start = rng.below(count);
        (0..count)
            .map(|n| first + ((start + n) % count) as u16)
            .find(|&port| {
                let candidate = InConninfo {
                    lport: port,
                    ..*inc
                };
                let used = self.ports.get(&port);
                if inc.fport == 0 {
                    used.is_none()
                } else {
                    self.lookup_exact(&candidate).is_none()
                        && used.is_none_or(|port| port.bound.is_empty())
                }
            })
            .ok_or(Errno::EADDRNOTAVAIL)
    }

    /// Enters a block under its present addresses (`in_pcbinshash`, `in_pcbrehash`).
    pub fn insert(&mut self, so: SoId, inp: &Inpcb, reuse: Reuse) {
        let bound = Bound {
            so,
            inc: inp.inc,
            vflag: inp.inp_vflag,
            reuse,
        };
        let port = self.ports.entry(inp.inc.lport).or_default();
        port.remove(so);
        if inp.inc.fport == 0 {
            port.bound.insert(so, bound);
        } else {
            port.connected.insert(so, bound);
            self.connected.insert(key(&inp.inc), so);
        }
    }

    /// Takes a block out (`in_pcbremhash`); `inc` is what it was entered under.
    pub fn remove(&mut self, so: SoId, inc: &InConninfo) {
        if let Some(port) = self.ports.get_mut(&inc.lport) {
            port.remove(so);
            if port.bound.is_empty() && port.connected.is_empty() {
                self.ports.remove(&inc.lport);
            }
        }
        if self.connected.get(&key(inc)) == Some(&so) {
            self.connected.remove(&key(inc));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn block(laddr: IpAddr, lport: u16, faddr: IpAddr, fport: u16) -> Inpcb {
        let mut inp = Inpcb::new(laddr.is_ipv6());
        inp.inc = InConninfo {
            faddr,
            laddr,
            fport,
            lport,
        };
        inp
    }

    #[test]
    fn lookup_prefers_connected_then_bound_then_any() {
        let any = unspecified(false);
        let mut info = Inpcbinfo::default();
        info.insert(SoId(1), &block(any, 80, any, 0), Reuse::default());
        info.insert(SoId(2), &block(addr(1), 80, any, 0), Reuse::default());
        info.insert(SoId(3), &block(addr(1), 80, addr(9), 5), Reuse::default());
        let of = |laddr, fport| InConninfo {
            faddr: addr(9),
            laddr,
            fport,
            lport: 80,
        };
        assert_eq!(info.lookup(&of(addr(1), 5), true), Some(SoId(3)));
        assert_eq!(info.lookup(&of(addr(1), 6), true), Some(SoId(2)));
        assert_eq!(info.lookup(&of(addr(2), 6), true), Some(SoId(1)));
        assert_eq!(info.lookup(&of(addr(2), 6), false), None);
        info.remove(SoId(1), &block(any, 80, any, 0).inc);
        assert_eq!(info.lookup(&of(addr(2), 6), true), None);
    }

    #[test]
    fn a_v6_wildcard_takes_v4_only_where_nothing_of_v4_is_bound() {
        let mut info = Inpcbinfo::default();
        let mut six = block(unspecified(true), 80, unspecified(true), 0);
        six.inp_vflag |= INP_IPV4;
        info.insert(SoId(6), &six, Reuse::default());
        let inc = InConninfo {
            faddr: addr(9),
            laddr: addr(1),
            fport: 5,
            lport: 80,
        };
        assert_eq!(info.lookup(&inc, true), Some(SoId(6)));
        let any = unspecified(false);
        info.insert(SoId(4), &block(any, 80, any, 0), Reuse::default());
        assert_eq!(info.lookup(&inc, true), Some(SoId(4)));
    }

    #[test]
    fn binding_twice_needs_consent_of_both() {
        let any = unspecified(false);
        let share = Reuse {
            port: true,
            ..Reuse::default()
        };
        let mut info = Inpcbinfo::default();
        info.insert(SoId(1), &block(any, 80, any, 0), share);
        let bind = |reuse| info.bind_available(any, 80, INP_IPV4, reuse);
        assert_eq!(bind(Reuse::default()), Err(Errno::EADDRINUSE));
        assert_eq!(bind(share), Ok(()));
        assert_eq!(
            info.bind_available(any, 81, INP_IPV4, Reuse::default()),
            Ok(())
        );
    }

    #[test]
    fn reuse_of_an_address_is_the_new_sockets_wish_and_stops_at_the_very_same_one() {
        let any = unspecified(false);
        let addr_only = Reuse {
            addr: true,
            ..Reuse::default()
        };
        let mut info = Inpcbinfo::default();
        info.insert(SoId(1), &block(any, 80, any, 0), Reuse::default());
        let bind = |laddr, reuse| info.bind_available(laddr, 80, INP_IPV4, reuse);
        assert_eq!(bind(addr(1), Reuse::default()), Err(Errno::EADDRINUSE));
        assert_eq!(bind(addr(1), addr_only), Ok(()));
        assert_eq!(bind(any, addr_only), Err(Errno::EADDRINUSE));
        let lb = Reuse {
            lb: true,
            ..Reuse::default()
        };
        let mut info = Inpcbinfo::default();
        info.insert(SoId(1), &block(any, 80, any, 0), lb);
        let bind = |reuse| info.bind_available(any, 80, INP_IPV4, reuse);
        let port = Reuse {
            port: true,
            ..Reuse::default()
        };
        assert_eq!(bind(port), Err(Errno::EADDRINUSE), "not the same consent");
        assert_eq!(bind(lb), Ok(()));
    }

    #[test]
    fn a_socket_for_both_families_binds_beside_one_of_ipv4_but_not_the_other_way_round() {
        let any = unspecified(false);
        let mut info = Inpcbinfo::default();
        info.insert(SoId(1), &block(any, 80, any, 0), Reuse::default());
        let both = INP_IPV4 | INP_IPV6 | INP_IPV6PROTO;
        let none = Reuse::default();
        let six = unspecified(true);
        assert_eq!(info.bind_available(six, 80, both, none), Ok(()));
        let mut dual = block(six, 80, six, 0);
        dual.inp_vflag = both;
        let mut info = Inpcbinfo::default();
        info.insert(SoId(2), &dual, none);
        let four = info.bind_available(any, 80, INP_IPV4, none);
        assert_eq!(four, Err(Errno::EADDRINUSE));
        let only6 = info.bind_available(six, 80, INP_IPV6 | INP_IPV6PROTO, none);
        assert_eq!(only6, Err(Errno::EADDRINUSE));
    }

    #[test]
    fn an_ephemeral_port_is_shared_between_destinations_only() {
        let mut info = Inpcbinfo::default();
        let mut rng = Rng::new(1, "ports");
        let inc = |fport| InConninfo {
            faddr: addr(9),
            laddr: addr(1),
            fport,
            lport: 0,
        };
        for n in 0..2000 {
            let port = info
                .ephemeral_port(&inc(5), (10_000, 65_535), &mut rng)
                .unwrap();
            let new = block(addr(1), port, addr(9), 5);
            assert_eq!(info.lookup_exact(&new.inc), None);
            info.insert(SoId(n), &new, Reuse::default());
        }
        assert!(
            info.ephemeral_port(&inc(6), (10_000, 65_535), &mut rng)
                .is_ok()
        );
    }
}
