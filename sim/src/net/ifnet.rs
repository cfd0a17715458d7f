// SPDX-License-Identifier: BSD-2-Clause
//! Interfaces and their addresses (`ifnet`, `ifaddr`).

use std::net::{IpAddr, Ipv4Addr};

use super::ether::MacAddr;

/// Index of an interface in its vnet (`if_index`); never reused while the vnet lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

/// What an interface is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfKind {
    /// `lo`: every packet comes back.
    Loopback,
    /// An Ethernet, or one end of an epair: Ethernet frames, neighbours are resolved.
    Ethernet {
        /// The interface's own address.
        mac: MacAddr,
    },
    /// `tun`: bare IP packets, no neighbours.
    Tun,
}

/// An address of an interface with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfAddr {
    /// The address.
    pub addr: IpAddr,
    /// Length of the prefix in bits: at most 32 for IPv4 and 128 for IPv6.
    pub prefix_len: u8,
}

/// Counters of an interface (`if_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IfData {
    /// Frames that arrived.
    pub ipackets: u64,
    /// Frames that were sent.
    pub opackets: u64,
    /// Bytes that arrived.
    pub ibytes: u64,
    /// Bytes that were sent.
    pub obytes: u64,
    /// Frames that arrived and were not for this host, or not understood.
    pub iqdrops: u64,
}

/// An interface of a vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ifnet {
    /// Name, for example `epair0b`.
    pub name: String,
    /// What it is.
    pub kind: IfKind,
    /// Greatest IP packet that it carries, in bytes.
    pub mtu: u32,
    /// `IFF_UP`.
    pub up: bool,
    /// Addresses in the order in which they were added.
    pub addrs: Vec<IfAddr>,
    /// Counters.
    pub data: IfData,
}

impl Ifnet {
    /// The IPv4 address whose subnet holds `addr`, or else the first one.
    pub fn v4_for(&self, addr: Ipv4Addr) -> Option<Ipv4Addr> {
        let all = || {
            self.addrs.iter().filter_map(|a| match a.addr {
                IpAddr::V4(v4) => Some((a, v4)),
                IpAddr::V6(_) => None,
            })
        };
        all()
            .find(|(a, _)| in_prefix(addr.into(), a.addr, a.prefix_len))
            .or_else(|| all().next())
            .map(|(_, v4)| v4)
    }

    /// True where `addr` is the limited broadcast address or that of one of the subnets.
    pub fn is_broadcast(&self, addr: Ipv4Addr) -> bool {
        if !matches!(self.kind, IfKind::Ethernet { .. }) {
            return false;
        }
        addr == Ipv4Addr::BROADCAST
            || self
                .addrs
                .iter()
                .any(|a| broadcast_of(a.addr, a.prefix_len) == Some(addr))
    }
}

/// The interfaces of a vnet in the order of their indexes: few, so that to walk them is quickest.
#[derive(Clone, Debug, Default)]
pub struct Ifnets {
    list: Vec<(IfIndex, Ifnet)>,
    generation: u64,
}

/// What was found out about them does not tell them apart.
impl PartialEq for Ifnets {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Ifnets {}

impl Ifnets {
    /// Changes with every change that may alter where a packet goes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn position(&self, index: IfIndex) -> Option<usize> {
        self.list.iter().position(|(at, _)| *at == index)
    }

    /// One interface.
    pub fn get(&self, index: IfIndex) -> Option<&Ifnet> {
        Some(&self.list.get(self.position(index)?)?.1)
    }

    /// One interface, to be changed.
    pub fn get_mut(&mut self, index: IfIndex) -> Option<&mut Ifnet> {
        self.generation += 1;
        let at = self.position(index)?;
        Some(&mut self.list.get_mut(at)?.1)
    }

    /// One interface, only its counters to be changed.
    pub(crate) fn counting(&mut self, index: IfIndex) -> Option<&mut Ifnet> {
        let at = self.position(index)?;
        Some(&mut self.list.get_mut(at)?.1)
    }

    /// Adds an interface; one with this index is replaced.
    pub fn insert(&mut self, index: IfIndex, ifnet: Ifnet) {
        self.remove(index);
        let at = self.list.partition_point(|(other, _)| *other < index);
        self.list.insert(at, (index, ifnet));
    }

    /// Takes an interface out.
    pub fn remove(&mut self, index: IfIndex) -> Option<Ifnet> {
        self.generation += 1;
        let at = self.position(index)?;
        Some(self.list.remove(at).1)
    }

    /// The interfaces with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (IfIndex, &Ifnet)> {
        self.list.iter().map(|(index, ifnet)| (*index, ifnet))
    }

    /// The interfaces.
    pub fn values(&self) -> impl Iterator<Item = &Ifnet> {
        self.list.iter().map(|(_, ifnet)| ifnet)
    }
}

/// The broadcast address of an IPv4 subnet; `None` where it has none (RFC 3021: /31, /32).
pub fn broadcast_of(addr: IpAddr, prefix_len: u8) -> Option<Ipv4Addr> {
    match addr {
        IpAddr::V4(v4) if prefix_len < 31 => {
            let host = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
            Some(Ipv4Addr::from(u32::from(v4) | host))
        }
        _ => None,
    }
}

/// True where `addr` lies in the prefix that the first `len` bits of `net` spell.
pub fn in_prefix(addr: IpAddr, net: IpAddr, len: u8) -> bool {
    let (addr, net, width) = match (addr, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(u32::from(a)), u128::from(u32::from(n)), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (u128::from(a), u128::from(n), 128),
        _ => return false,
    };
    let host_bits = u32::saturating_sub(width, u32::from(len));
    (addr ^ net).checked_shr(host_bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_match_at_both_ends_of_their_length() {
        assert!(in_prefix(ip("1.2.3.4"), ip("9.9.9.9"), 0));
        assert!(in_prefix(ip("10.0.0.255"), ip("10.0.0.0"), 24));
        assert!(!in_prefix(ip("10.0.1.0"), ip("10.0.0.0"), 24));
        assert!(!in_prefix(ip("10.0.0.1"), ip("10.0.0.0"), 32));
        assert!(in_prefix(ip("2001:db8::1"), ip("2001:db8::"), 64));
        assert!(in_prefix(ip("2001:db8::1"), ip("::"), 0));
        assert!(!in_prefix(ip("2001:db8::1"), ip("2001:db8::"), 128));
        assert!(!in_prefix(ip("::1"), ip("0.0.0.0"), 0));
    }

    #[test]
    fn broadcast_is_the_subnets_last_address() {
        assert_eq!(
            broadcast_of(ip("10.1.2.3"), 24),
            Some(Ipv4Addr::new(10, 1, 2, 255))
        );
        assert_eq!(broadcast_of(ip("10.1.2.3"), 31), None);
        assert_eq!(broadcast_of(ip("10.1.2.3"), 0), Some(Ipv4Addr::BROADCAST));
        assert_eq!(broadcast_of(ip("fe80::1"), 10), None);
    }
}
