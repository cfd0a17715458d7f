// SPDX-License-Identifier: BSD-2-Clause
//! The IP layer of a vnet as records of an image, and back.
//!
//! Interfaces keep their indexes and names, timers what remains of them. Connected routes follow
//! from the addresses and are not written. A restored vnet is silent until it goes on.
//!
//! # What is lost, as on a wire
//! What goes beyond the room of a record: of packets in the loopback queue and of datagrams whose
//! fragments have not all come, the newest beyond a quarter of a mebibyte each (`transit`).
//!
//! # Failure
//! What no record can hold is refused by name ([`Unmovable`]) before anything is written.

use std::collections::btree_map::Entry;
use std::net::IpAddr;

use vpscore::cbor::{Bytes, Text};
use vpscore::collections::List;
use vpscore::image::schema::{self, IfType};
use vpscore::image::{IfnetRef, InstanceRef, VnetRef};

use super::error::{Unfit, Unmovable};
use super::transit;
use super::values::{from_rng_state, in_addr, ip_addr, rng_state};
use crate::errno::Errno;
use crate::net::ether::MacAddr;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind, Ifnet};
use crate::net::ip::IpStack;
use crate::net::lltable::{ARP_DOWN, LlEntry, LlState};
use crate::net::packet::OutPacket;
use crate::net::route::{Route, RouteOrigin};
use crate::net::tcp::Sysctl;
use crate::rng::Rng;
use crate::time::Instant;

/// `IFF_UP`.
const IFF_UP: u32 = 0x1;

/// The record of a vnet: the variables whose values are not the defaults, of IP and of TCP.
///
/// # Errors
/// [`Unmovable::NoMemory`].
pub fn vnet_record(
    ip: &IpStack,
    tcp: &Sysctl,
    instance: InstanceRef,
    now: Instant,
) -> Result<schema::Vnet, Unmovable> {
    // Whoever adds a field has to say here how it is carried.
    let IpStack {
        now: _,
        ip_id,
        next_ifindex,
        frag6_id,
        rng,
        bandlim,
        ratelim6,
        // Its variables, below.
        sysctls: _,
        // In records of their own.
        ifnets: _,
        fib: _,
        lltable: _,
        // In transit, in this record.
        reass4: _,
        reass6: _,
        loopback: _,
        // On the wire already, delivered before a capture, and counted anew.
        output: _,
        deliveries: _,
        stats: _,
        // Found out again.
        routed: _,
    } = ip;
    let (fresh, fresh_tcp) = (IpStack::new(Rng::new(0, "defaults")), Sysctl::default());
    let of_ip = IpStack::SYSCTL_NAMES
        .iter()
        .map(|name| (*name, ip.sysctl_get(name), fresh.sysctl_get(name)));
    let of_tcp = Sysctl::NAMES
        .iter()
        .map(|name| (*name, tcp.get(name), fresh_tcp.get(name)));
    let mut sysctls = List::new();
    for (name, value, default) in of_ip.chain(of_tcp) {
        if let Ok(value) = value
            && Ok(value) != default
        {
            let name = Text::copy(name)?;
            sysctls.push(schema::SysctlVar { name, value })?;
        }
    }
    Ok(schema::Vnet {
        instance,
        sysctls,
        ip_id: *ip_id,
        lastport: 0,
        clock: Some(now.since(Instant::BOOT)),
        frag6_id: Some(*frag6_id),
        next_ifindex: u16::try_from(*next_ifindex).ok(),
        loopback: transit::loopback(ip, now)?,
        rates: transit::rates(bandlim, now)?,
        rates6: transit::rates(ratelim6, now)?,
        rng: Some(rng_state(rng)),
        fragments: transit::fragments(ip, now)?,
    })
}

/// Sets the variables of a new vnet from its record, and what is in transit in it.
///
/// # Errors
/// [`Unfit::Sysctl`].
pub fn restore_vnet(
    record: &schema::Vnet,
    ip: &mut IpStack,
    mut set_tcp: impl FnMut(&str, i64) -> Result<(), Errno>,
) -> Result<(), Unfit> {
    ip.ip_id = record.ip_id;
    if let Some(id) = record.frag6_id {
        ip.frag6_id = id;
    }
    if let Some(next) = record.next_ifindex {
        ip.next_ifindex = ip.next_ifindex.max(next.into());
    }
    if let Some(state) = &record.rng {
        ip.rng = from_rng_state(state);
    }
    for var in &record.sysctls {
        let name = var.name.as_str();
        let set = match ip.sysctl_restore(name, var.value) {
            Err(Errno::ENOENT) => set_tcp(name, var.value),
            done => done,
        };
        set.map_err(Unfit::Sysctl)?;
    }
    transit::restore(record, ip)
}

/// The record of an interface.
///
/// # Errors
/// [`Unmovable::Interface`] for a `tun` and for an index beyond 65,535.
pub fn ifnet_record(
    index: IfIndex,
    ifnet: &Ifnet,
    vnet: VnetRef,
) -> Result<schema::Ifnet, Unmovable> {
    let (if_type, lladdr) = match ifnet.kind {
        IfKind::Loopback => (IfType::Loop, None),
        IfKind::Ethernet { mac } => (IfType::Ether, Some(mac.0)),
        IfKind::Tun => return Err(Unmovable::Interface(index)),
    };
    let mut if_addrs = List::new();
    for ifa in &ifnet.addrs {
        if_addrs.push(schema::Ifaddr {
            ia_addr: in_addr(ifa.addr),
            prefixlen: ifa.prefix_len,
            ia_broadaddr: None,
            ia_flags: 0,
            vltime: None,
            pltime: None,
        })?;
    }
    Ok(schema::Ifnet {
        if_vnet: vnet,
        if_xname: Text::copy(&ifnet.name)?,
        if_index: u16::try_from(index.0).map_err(|_| Unmovable::Interface(index))?,
        if_type,
        if_flags: if ifnet.up { IFF_UP } else { 0 },
        if_mtu: ifnet.mtu,
        lladdr,
        if_addrs,
        if_description: None,
    })
}

/// Gives a vnet the interface of a record, under its old index, in silence. A loopback that the new
/// vnet has under that index is taken over.
///
/// # Errors
/// [`Unfit::Conflict`].
pub fn restore_ifnet(record: &schema::Ifnet, ip: &mut IpStack) -> Result<IfIndex, Unfit> {
    let index = IfIndex(record.if_index.into());
    let kind = match (record.if_type, record.lladdr) {
        (IfType::Loop, _) => IfKind::Loopback,
        (IfType::Ether, Some(mac)) => IfKind::Ethernet { mac: MacAddr(mac) },
        (IfType::Ether, None) => return Err(Unfit::Conflict(Errno::EINVAL)),
    };
    if let Some(old) = ip.ifnets.get(index) {
        if old.kind != IfKind::Loopback || kind != IfKind::Loopback {
            return Err(Unfit::Conflict(Errno::EEXIST));
        }
        ip.if_detach(index).map_err(Unfit::Conflict)?;
    }
    let ifnet = Ifnet {
        name: record.if_xname.as_str().to_owned(),
        kind,
        mtu: record.if_mtu,
        up: record.if_flags & IFF_UP != 0,
        addrs: Vec::new(),
        data: Default::default(),
    };
    ip.ifnets.insert(index, ifnet);
    ip.next_ifindex = ip.next_ifindex.max(index.0.saturating_add(1));
    for ifa in &record.if_addrs {
        let ifa = IfAddr {
            addr: ip_addr(ifa.ia_addr),
            prefix_len: ifa.prefixlen,
        };
        if ip.is_own(ifa.addr) {
            return Err(Unfit::Conflict(Errno::EEXIST));
        }
        ip.ifaddr_install(index, ifa).map_err(Unfit::Conflict)?;
    }
    Ok(index)
}

/// The record of a route; `None` for one that an address brings by itself.
///
/// # Errors
/// [`Unmovable::Route`] where its interface was not written.
pub fn route_record(
    route: &Route,
    vnet: VnetRef,
    ifp: impl Fn(IfIndex) -> Option<IfnetRef>,
) -> Result<Option<schema::Route>, Unmovable> {
    if route.origin == RouteOrigin::Connected {
        return Ok(None);
    }
    Ok(Some(schema::Route {
        vnet,
        fibnum: 0,
        dst: in_addr(route.dst),
        prefixlen: route.prefix_len,
        gateway: route.gateway.map(in_addr),
        ifp: ifp(route.ifindex).ok_or(Unmovable::Route(route.ifindex))?,
        flags: 0,
        mtu: 0,
    }))
}

/// Adds the route of a record; `ifindex` is the interface that its reference names.
///
/// # Errors
/// [`Unfit::Conflict`].
pub fn restore_route(
    record: &schema::Route,
    ip: &mut IpStack,
    ifindex: IfIndex,
) -> Result<(), Unfit> {
    let route = Route {
        dst: ip_addr(record.dst),
        prefix_len: record.prefixlen,
        gateway: record.gateway.map(ip_addr),
        ifindex,
        origin: RouteOrigin::Static,
    };
    ip.fib.add(route).map_err(Unfit::Conflict)
}

/// The record of a neighbour.
///
/// # Errors
/// [`Unmovable::NoMemory`].
pub fn llentry_record(
    now: Instant,
    addr: IpAddr,
    entry: &LlEntry,
    ifp: IfnetRef,
) -> Result<schema::Llentry, Unmovable> {
    let state = match entry.state {
        LlState::Incomplete => schema::LlState::Incomplete,
        LlState::Reachable if entry.deadline.is_none() => schema::LlState::Static,
        LlState::Reachable => schema::LlState::Reachable,
        LlState::Stale => schema::LlState::Stale,
        LlState::Delay => schema::LlState::Delay,
        LlState::Probe => schema::LlState::Probe,
    };
    let mut la_hold = List::new();
    for packet in &entry.hold {
        la_hold.push(Bytes::copy(packet.bytes())?)?;
    }
    Ok(schema::Llentry {
        ifp,
        addr: in_addr(addr),
        lladdr: entry.mac.map(|mac| mac.0),
        state,
        la_asked: entry.asked.into(),
        remaining: entry.deadline.map(|at| at.since(now)),
        la_hold,
        r_skip_req: (!entry.used).then_some(true),
    })
}

/// Adds the neighbour of a record; `ifindex` is the interface that its reference names.
pub fn restore_llentry(now: Instant, record: &schema::Llentry, ip: &mut IpStack, ifindex: IfIndex) {
    let state = match record.state {
        schema::LlState::Incomplete => LlState::Incomplete,
        schema::LlState::Static | schema::LlState::Reachable => LlState::Reachable,
        schema::LlState::Stale => LlState::Stale,
        schema::LlState::Delay => LlState::Delay,
        schema::LlState::Probe => LlState::Probe,
    };
    // The last request went out when the wait began that `remaining` is left of.
    let waited = record
        .remaining
        .map_or(ARP_DOWN, |left| ARP_DOWN.minus(left));
    let asked_at = Instant::from_nanos(now.as_nanos().saturating_sub(waited.as_nanos()));
    let entry = LlEntry {
        mac: record.lladdr.map(MacAddr),
        state,
        asked: u8::try_from(record.la_asked).unwrap_or(u8::MAX),
        asked_at,
        deadline: record.remaining.map(|left| now.after(left)),
        used: record.r_skip_req != Some(true),
        hold: record
            .la_hold
            .iter()
            .map(|bytes| OutPacket::of(&[bytes.as_slice()]))
            .collect(),
    };
    match ip.lltable.entries.entry((ifindex, ip_addr(record.addr))) {
        // Packets that wait for somebody who is no neighbour any more wait for the router, with
        // others; where that is known already, they are lost as on a wire.
        Entry::Occupied(mut there) if entry.mac.is_none() => {
            if there.get().mac.is_none() {
                there.get_mut().hold.extend(entry.hold);
            }
        }
        Entry::Occupied(mut there) => drop(there.insert(entry)),
        Entry::Vacant(place) => drop(place.insert(entry)),
    }
}
