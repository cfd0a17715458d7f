// SPDX-License-Identifier: BSD-2-Clause
//! A remap applied to the records of an image, in the order in which they are read.
//!
//! Every record that holds an address is taken apart here, or in `sockets`, without `..`: whoever
//! adds a field has to say what becomes of it.

use super::packet::{Delta, checksum_at};
use super::remap::{broadcast, same_prefix};
use super::{Remap, RemapError, Way};
use crate::collections::List;
use crate::image::schema::{
    Abi, Ifaddr, Ifnet, Ipq, IpqPiece, LlState, Llentry, LoopbackPacket, Route, Vnet,
};
use crate::image::{IfnetRef, Object, VnetRef};
use crate::sock::{Domain, InAddr, SoType, Socket};

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It stays, changed as the remap wants it.
    Stays,
    /// It has no meaning in the new network and is left out: a neighbour that is none there.
    Goes,
}

/// An address of an interface in the new network.
struct Link {
    ifnet: u32,
    vnet: u32,
    addr: InAddr,
    prefixlen: u8,
    router: Option<InAddr>,
}

/// A remap on its way through an image: takes the objects in their order.
pub struct Remapping<'r> {
    pub(super) remap: &'r Remap,
    pub(super) abi: Abi,
    /// Addresses of interfaces, by increasing number of the interface.
    links: List<Link>,
    /// How often each `from` was the address of an interface.
    found: List<u8>,
    /// Vnets that have a default route of their own, by family.
    defaults: List<(u32, bool)>,
}

impl<'r> Remapping<'r> {
    /// To be applied to an image of this ABI, from its first object on.
    ///
    /// # Errors
    /// [`RemapError::NoMemory`].
    pub fn new(remap: &'r Remap, abi: Abi) -> Result<Self, RemapError> {
        Ok(Self {
            remap,
            abi,
            links: List::new(),
            found: List::filled(0, remap.mappings().len())?,
            defaults: List::new(),
        })
    }

    /// Changes the object with the number `id` as the remap wants it.
    ///
    /// # Errors
    /// [`RemapError`]: the instance cannot be moved so; the object is in an unknown state.
    pub fn object(&mut self, id: u32, object: &mut Object) -> Result<Fate, RemapError> {
        if self.remap.is_empty() {
            return Ok(Fate::Stays);
        }
        match object {
            Object::Vnet(record) => self.vnet(record),
            Object::Ifnet(record) => self.ifnet(id, record)?,
            Object::Route(record) => self.route(record)?,
            Object::Llentry(record) => return self.llentry(record),
            Object::TcpVnet(record) => self.tcp_vnet(record)?,
            Object::Socket(record) => self.socket(id, record)?,
            Object::Syncache(record) => self.syncache(id, record)?,
            // Without an address.
            Object::Info(_)
            | Object::Instance(_)
            | Object::Ucred(_)
            | Object::VmObject(_)
            | Object::Vmspace(_)
            | Object::VmMapEntry(_)
            | Object::Pipe(_)
            | Object::File(_)
            | Object::Filedesc(_)
            | Object::InFlight(_)
            | Object::Sigacts(_)
            | Object::Session(_)
            | Object::Pgrp(_)
            | Object::Proc(_)
            | Object::Thread(_) => {}
        }
        Ok(Fate::Stays)
    }

    /// Changes the bytes of `so_rcv` of a raw socket, all of them: the packets of IPv4, what ICMPv6
    /// errors quote. Other sockets' bytes are programs' own, and stay.
    pub fn received(&self, socket: &Socket, mut bytes: &mut [u8]) {
        if socket.so_type != SoType::Raw || self.remap.is_empty() {
            return;
        }
        for record in socket.so_rcv.iter().flat_map(|sb| &sb.records) {
            let len = usize::try_from(record.len).unwrap_or(usize::MAX);
            let Some((datagram, rest)) = bytes.split_at_mut_checked(len) else {
                return;
            };
            match socket.domain {
                Domain::Inet => self.remap.packet(Way::In, datagram),
                // The kernel has looked at its checksum, and nobody will again.
                _ => self.remap.quote(Way::In, datagram),
            }
            bytes = rest;
        }
    }

    /// When all objects have come: default routes that the new network demands, to be added.
    ///
    /// # Errors
    /// [`RemapError::NotOwn`], [`RemapError::Ambiguous`], [`RemapError::NoMemory`].
    pub fn finish(mut self) -> Result<List<Route>, RemapError> {
        for (mapping, found) in self.remap.mappings().iter().zip(&self.found) {
            match found {
                0 => return Err(RemapError::NotOwn(mapping.from)),
                1 => {}
                _ => return Err(RemapError::Ambiguous(mapping.from)),
            }
        }
        let mut routes = List::new();
        for link in &self.links {
            let Some(router) = link.router else { continue };
            let by = (link.vnet, router.is_v6());
            if self.defaults.iter().any(|known| *known == by) {
                continue;
            }
            self.defaults.push(by)?;
            routes.push(Route {
                vnet: VnetRef::new(link.vnet),
                fibnum: 0,
                dst: if router.is_v6() {
                    InAddr::ANY6
                } else {
                    InAddr::ANY4
                },
                prefixlen: 0,
                gateway: Some(router),
                ifp: IfnetRef::new(link.ifnet),
                flags: 0,
                mtu: 0,
            })?;
        }
        Ok(routes)
    }

    /// An address that the instance has, or one nested in it, wherever it is named.
    pub(super) fn own(&self, addr: &mut InAddr) {
        *addr = self.remap.translate(Way::In, *addr);
    }

    /// The address of a peer, which may be the instance itself.
    pub(super) fn peer(&self, addr: &mut InAddr) -> Result<(), RemapError> {
        if self.remap.of(*addr).is_none() && self.remap.gives(*addr) {
            return Err(RemapError::Peer(*addr));
        }
        self.own(addr);
        Ok(())
    }

    fn vnet(&self, record: &mut Vnet) {
        let Vnet {
            instance: _,
            sysctls: _,
            ip_id: _,
            lastport: _,
            clock: _,
            frag6_id: _,
            next_ifindex: _,
            loopback,
            rates: _,
            rates6: _,
            rng: _,
            fragments,
        } = record;
        for LoopbackPacket {
            remaining: _,
            packet,
        } in loopback.iter_mut().flat_map(List::iter_mut)
        {
            self.remap.packet(Way::In, packet.0.as_mut_slice());
        }
        for fragmented in fragments.iter_mut().flat_map(List::iter_mut) {
            self.fragments(fragmented);
        }
    }

    fn fragments(&self, record: &mut Ipq) {
        let Ipq {
            src,
            dst,
            proto,
            id: _,
            remaining: _,
            ecn: _,
            total: _,
            header,
            next,
            quote,
            pieces,
        } = record;
        let before = (*src, *dst);
        self.own(src);
        self.own(dst);
        let pseudo = Delta::default().addr(before.0, *src).addr(before.1, *dst);
        if let Some(header) = header {
            self.remap.packet(Way::In, header.0.as_mut_slice());
        }
        let v6 = dst.is_v6();
        let proto = if v6 { *next } else { *proto };
        if let Some(quote) = quote {
            self.quoted_fragment(quote.0.as_mut_slice(), pseudo);
        }
        for IpqPiece { offset, data } in pieces.iter_mut() {
            let offset = usize::from(*offset);
            super::packet::transport(data.0.as_mut_slice(), proto, offset, pseudo, v6);
        }
    }

    /// What followed the fixed header of a first fragment of IPv6: its fragment header, and the
    /// beginning of what is fragmented.
    fn quoted_fragment(&self, quote: &mut [u8], pseudo: Delta) {
        if let Some((&mut [next, ..], payload)) = quote.split_first_chunk_mut::<8>()
            && checksum_at(next, true).is_some()
        {
            super::packet::transport(payload, next, 0, pseudo, true);
        }
    }

    fn ifnet(&mut self, id: u32, record: &mut Ifnet) -> Result<(), RemapError> {
        let Ifnet {
            if_vnet,
            if_xname: _,
            if_index: _,
            if_type: _,
            if_flags: _,
            if_mtu: _,
            lladdr: _,
            if_addrs,
            if_description: _,
        } = record;
        for Ifaddr {
            ia_addr,
            prefixlen,
            ia_broadaddr,
            ia_flags: _,
            vltime: _,
            pltime: _,
        } in if_addrs.iter_mut()
        {
            let mut router = None;
            let mappings = self.remap.mappings();
            match mappings.binary_search_by(|m| m.from.cmp(ia_addr)) {
                Ok(at) => {
                    if let Some(found) = self.found.get_mut(at) {
                        *found = found.saturating_add(1);
                    }
                    if let Some(mapping) = mappings.get(at) {
                        (*ia_addr, *prefixlen) = (mapping.to, mapping.prefixlen);
                        router = mapping.router;
                        *ia_broadaddr =
                            ia_broadaddr.and_then(|_| broadcast(mapping.to, mapping.prefixlen));
                    }
                }
                Err(_) if self.remap.gives(*ia_addr) => {
                    return Err(RemapError::Taken(*ia_addr));
                }
                Err(_) => {}
            }
            self.links.push(Link {
                ifnet: id,
                vnet: if_vnet.id(),
                addr: *ia_addr,
                prefixlen: *prefixlen,
                router,
            })?;
        }
        Ok(())
    }

    /// The addresses of an interface.
    fn links(&self, ifp: IfnetRef) -> &[Link] {
        let all = self.links.as_slice();
        let from = all.partition_point(|link| link.ifnet < ifp.id());
        let rest = all.get(from..).unwrap_or_default();
        let to = rest.partition_point(|link| link.ifnet == ifp.id());
        rest.get(..to).unwrap_or_default()
    }

    /// Whether something of the family of `addr` has changed on the interface.
    fn has_moved(&self, ifp: IfnetRef, addr: InAddr) -> bool {
        let mut links = self.links(ifp).iter();
        links.any(|link| link.addr.is_v6() == addr.is_v6() && self.remap.gives(link.addr))
    }

    /// Whether an address is on the link of an interface. A link-local one always is.
    fn is_neighbour(&self, ifp: IfnetRef, addr: InAddr) -> bool {
        let local = matches!(addr, InAddr::V6([0xfe, second, ..]) if second & 0xc0 == 0x80);
        let mut links = self.links(ifp).iter();
        local || links.any(|link| same_prefix(link.addr, addr, link.prefixlen))
    }

    /// The router that the new network names for an interface.
    fn router(&self, ifp: IfnetRef, v6: bool) -> Option<InAddr> {
        let routers = self.links(ifp).iter().filter_map(|link| link.router);
        routers.into_iter().find(|router| router.is_v6() == v6)
    }

    fn route(&mut self, record: &mut Route) -> Result<(), RemapError> {
        let Route {
            vnet,
            fibnum: _,
            dst,
            prefixlen,
            gateway,
            ifp,
            flags: _,
            mtu: _,
        } = record;
        if *prefixlen == dst.bits() {
            self.peer(dst)?;
        }
        if *prefixlen == 0 {
            self.defaults.push((vnet.id(), dst.is_v6()))?;
        }
        let Some(gateway) = gateway else {
            return Ok(());
        };
        self.peer(gateway)?;
        if self.has_moved(*ifp, *gateway) && !self.is_neighbour(*ifp, *gateway) {
            let router = self.router(*ifp, gateway.is_v6());
            *gateway = router.ok_or(RemapError::Gateway(*gateway))?;
        }
        Ok(())
    }

    /// One who is no neighbour any more is forgotten; packets that wait for one wait for the router
    /// that leads there.
    fn llentry(&self, record: &mut Llentry) -> Result<Fate, RemapError> {
        let Llentry {
            ifp,
            addr,
            lladdr: _,
            state,
            la_asked: _,
            remaining: _,
            la_hold,
            r_skip_req: _,
        } = record;
        for packet in la_hold.iter_mut() {
            self.remap.packet(Way::In, packet.0.as_mut_slice());
        }
        self.own(addr);
        if !self.has_moved(*ifp, *addr) || self.is_neighbour(*ifp, *addr) {
            return Ok(Fate::Stays);
        }
        match self.router(*ifp, addr.is_v6()) {
            Some(router) if *state == LlState::Incomplete => {
                *addr = router;
                Ok(Fate::Stays)
            }
            _ => Ok(Fate::Goes),
        }
    }
}
