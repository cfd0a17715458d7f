// SPDX-License-Identifier: BSD-2-Clause
//! The networks that the instance under test is moved between, and the translation before it.
//!
//! The script knows the instance by one address, and goes on with that wherever the instance is. At
//! home it is the instance's own; in the other networks the instance has another, and a translation
//! changes what goes in and out. The program's calls name the address that the instance has, as its
//! `getsockname(2)` would say.

use super::stack::Ends;
use crate::guest::consts::sys;
use crate::join::net::values::{in_addr, ip_addr};
use crate::net::ifnet::in_prefix;
use std::net::IpAddr;
use vpscore::collections::List;
use vpscore::net::{Mapping, Remap, RemapError, Way};

/// Prefix length of the interface's address: the script's side is behind the route, not on it.
const PREFIX_V4: u8 = 16;
const PREFIX_V6: u8 = 64;
/// Networks beside the one at home.
const OTHERS: usize = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 28;

/// The bits of the mask of an address, and the router of its network.
pub fn network_of(addr: IpAddr) -> (u8, IpAddr) {
    match addr {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            (PREFIX_V4, [a, b, 255, 254].into())
        }
        IpAddr::V6(v6) => {
            let mut router = v6.octets();
            router[15] ^= 0xff;
            (PREFIX_V6, router.into())
        }
    }
}

/// Which network the instance is in.
pub struct Networks {
    home: IpAddr,
    /// The script's own address.
    remote: IpAddr,
    /// 0 is at home.
    at: usize,
    /// From the address at home to the one here.
    before: Remap,
}

fn mapped(from: IpAddr, to: IpAddr) -> Result<Remap, RemapError> {
    let mut mappings = List::new();
    if from != to {
        let (prefixlen, router) = network_of(to);
        mappings.push(Mapping {
            from: in_addr(from),
            to: in_addr(to),
            prefixlen,
            router: Some(in_addr(router)),
        })?;
    }
    Remap::new(mappings)
}

impl Networks {
    /// At home, where the instance has the address that the script knows.
    pub fn new(ends: Ends) -> Self {
        Self {
            home: ends.local,
            remote: ends.remote,
            at: 0,
            before: Remap::default(),
        }
    }

    /// The address of the instance in a network: in those for benchmarks (RFC 2544, RFC 5180) for
    /// which no script has a use.
    fn addr(&self, network: usize) -> IpAddr {
        let Some(other) = network.checked_sub(1).map(|other| other as u8) else {
            return self.home;
        };
        match self.home {
            IpAddr::V4(v4) => {
                let [.., c, d] = v4.octets();
                [198, 18 + other, c, d].into()
            }
            IpAddr::V6(v6) => {
                let [.., e, f, g, h] = v6.segments();
                [0x2001, 2, 0, other.into(), e, f, g, h].into()
            }
        }
    }

    /// What a move to the next network changes.
    ///
    /// # Errors
    /// As of [`Remap::new`].
    pub fn to_next(&self) -> Result<Remap, RemapError> {
        mapped(self.addr(self.at), self.addr(self.next()))
    }

    fn next(&self) -> usize {
        (self.at + 1) % (1 + OTHERS)
    }

    /// The instance is in the next network.
    ///
    /// # Errors
    /// As of [`Remap::new`].
    pub fn arrive(&mut self) -> Result<(), RemapError> {
        self.at = self.next();
        self.before = mapped(self.home, self.addr(self.at))?;
        Ok(())
    }

    /// Whom the instance has on its link where it is: the router, and the script if that is on it. Neither answers when
    /// it is asked for.
    pub fn neighbours(&self) -> impl Iterator<Item = IpAddr> {
        let here = self.addr(self.at);
        let (prefix_len, router) = network_of(here);
        let near = in_prefix(self.remote, here, prefix_len);
        [Some(router), near.then_some(self.remote)]
            .into_iter()
            .flatten()
    }

    /// A packet to or from the instance passes the translation.
    pub fn packet(&self, way: Way, packet: &mut [u8]) {
        self.before.packet(way, packet);
    }

    /// What an address is inside or outside.
    pub fn translate(&self, way: Way, addr: IpAddr) -> IpAddr {
        ip_addr(self.before.translate(way, in_addr(addr)))
    }

    /// The socket address of a call that the script's program makes, as it is inside.
    pub fn sockaddr(&self, code: u32, bytes: &mut [u8]) {
        if ![sys::SYS_BIND, sys::SYS_CONNECT, sys::SYS_SENDTO].contains(&code) {
            return;
        }
        match bytes {
            [16, AF_INET, _, _, rest @ ..] => {
                if let Some(addr) = rest.first_chunk_mut::<4>()
                    && let IpAddr::V4(inside) = self.translate(Way::In, (*addr).into())
                {
                    *addr = inside.octets();
                }
            }
            [28, AF_INET6, _, _, _, _, _, _, rest @ ..] => {
                if let Some(addr) = rest.first_chunk_mut::<16>()
                    && let IpAddr::V6(inside) = self.translate(Way::In, (*addr).into())
                {
                    *addr = inside.octets();
                }
            }
            _ => {}
        }
    }
}
