// SPDX-License-Identifier: BSD-2-Clause
//! Which address becomes which.

use crate::cbor::{Decode, Decoder, Encode, Encoder, Error, Fault, TypeInfo};
use crate::collections::{List, NoMemory};
use crate::errno::Errno;
use crate::limits::REMAP_MAX;
use crate::record;
use crate::sock::InAddr;

record! {
    /// One address of an instance, and the one it has in another network.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mapping {
        /// The address until now.
        0 => from: InAddr,
        /// The address from now on, of the same family.
        1 => to: InAddr,
        /// The bits of its mask in the new network.
        2 => prefixlen: u8,
        /// The router to go by for what is not on the new link; absent where there is none.
        3 => router: Option<InAddr>,
    }
}

/// Why addresses cannot be changed. Each names the address, but where none is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemapError {
    /// Memory was short.
    NoMemory,
    /// More than [`REMAP_MAX`] mappings.
    TooMany,
    /// A `from` that is not greater than the one before it.
    Order(InAddr),
    /// A `to` that two mappings have.
    Twice(InAddr),
    /// An address that would become one of the other family.
    Family(InAddr),
    /// An address that no host has, or that does not leave the link: unspecified, loopback,
    /// multicast, broadcast, link-local, IPv4 within IPv6.
    Special(InAddr),
    /// A mask of no bits or too many, or one in which the address is the network's own or its
    /// broadcast.
    Mask(InAddr),
    /// A router that is no neighbour of the address, or is an address of the instance itself.
    Router(InAddr),
    /// A `from` that no interface of the instance has.
    NotOwn(InAddr),
    /// A `from` that two interfaces of the instance have.
    Ambiguous(InAddr),
    /// A `to` that another interface of the instance has and keeps.
    Taken(InAddr),
    /// A `to` that is the address of somebody the instance talks to.
    Peer(InAddr),
    /// A gateway that is no neighbour in the new network, where no router was named instead.
    Gateway(InAddr),
    /// The socket or embryonic connection with this number in the image is signed with MD5 (RFC
    /// 2385): no translation can stand before it.
    Signed(u32),
}

impl RemapError {
    /// What a request is answered with.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoMemory => Errno::ENOMEM,
            Self::TooMany => Errno::E2BIG,
            Self::Order(_) | Self::Mask(_) | Self::Router(_) => Errno::EINVAL,
            Self::Family(_) => Errno::EAFNOSUPPORT,
            Self::Special(_) | Self::NotOwn(_) => Errno::EADDRNOTAVAIL,
            Self::Twice(_) | Self::Ambiguous(_) | Self::Taken(_) | Self::Peer(_) => {
                Errno::EADDRINUSE
            }
            Self::Gateway(_) => Errno::ENETUNREACH,
            Self::Signed(_) => Errno::EOPNOTSUPP,
        }
    }
}

impl From<NoMemory> for RemapError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Which side of the translation a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the instance: addresses that peers know become those that it has.
    In,
    /// From the instance.
    Out,
}

/// Addresses of an instance and what they become; see I1 of [`crate::net`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remap(List<Mapping>);

impl Remap {
    /// The remap of these mappings, sorted by `from`.
    ///
    /// # Errors
    /// [`RemapError`]: the first mapping that cannot be.
    pub fn new(mappings: List<Mapping>) -> Result<Self, RemapError> {
        if mappings.len() > REMAP_MAX {
            return Err(RemapError::TooMany);
        }
        let mut before: Option<InAddr> = None;
        for (index, mapping) in mappings.iter().enumerate() {
            possible(mapping)?;
            if before.is_some_and(|before| before >= mapping.from) {
                return Err(RemapError::Order(mapping.from));
            }
            before = Some(mapping.from);
            if mappings.iter().take(index).any(|m| m.to == mapping.to) {
                return Err(RemapError::Twice(mapping.to));
            }
        }
        for mapping in &mappings {
            if let Some(router) = mapping.router
                && mappings.iter().any(|m| m.to == router)
            {
                return Err(RemapError::Router(router));
            }
        }
        Ok(Self(mappings))
    }

    /// The mappings, sorted by `from`.
    pub fn mappings(&self) -> &[Mapping] {
        self.0.as_slice()
    }

    /// Whether no address changes.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mapping of an address that the instance had.
    pub fn of(&self, from: InAddr) -> Option<&Mapping> {
        let at = self.0.as_slice().binary_search_by(|m| m.from.cmp(&from));
        at.ok().and_then(|at| self.0.get(at))
    }

    /// Whether it is an address that the instance gets.
    pub fn gives(&self, addr: InAddr) -> bool {
        self.0.iter().any(|mapping| mapping.to == addr)
    }

    /// What an address is on the other side; an address of somebody else stays.
    pub fn translate(&self, way: Way, addr: InAddr) -> InAddr {
        match way {
            Way::In => self.of(addr).map_or(addr, |mapping| mapping.to),
            Way::Out => {
                let found = self.0.iter().find(|mapping| mapping.to == addr);
                found.map_or(addr, |mapping| mapping.from)
            }
        }
    }
}

impl Encode for Remap {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.0.encode(to)
    }
}

impl Decode for Remap {
    const TYPE: TypeInfo = <List<Mapping> as Decode>::TYPE;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        Self::new(List::decode(from)?).map_err(|error| match error {
            RemapError::NoMemory => Error::at(Fault::NoMemory, at),
            _ => Error::at(Fault::Invalid, at),
        })
    }
}

/// What holds of a mapping by itself.
fn possible(mapping: &Mapping) -> Result<(), RemapError> {
    let Mapping {
        from,
        to,
        prefixlen,
        router,
    } = *mapping;
    if from.is_v6() != to.is_v6() {
        return Err(RemapError::Family(from));
    }
    for addr in [from, to] {
        if is_special(addr) {
            return Err(RemapError::Special(addr));
        }
    }
    if prefixlen == 0 || prefixlen > to.bits() || is_end(to, prefixlen) {
        return Err(RemapError::Mask(to));
    }
    match router {
        Some(router)
            if router == to
                || is_special(router)
                || is_end(router, prefixlen)
                || !same_prefix(router, to, prefixlen) =>
        {
            Err(RemapError::Router(router))
        }
        _ => Ok(()),
    }
}

/// Addresses that no host has as its own on a link, or that are not valid beyond it (RFC 6890; RFC
/// 4291 section 2.5).
fn is_special(addr: InAddr) -> bool {
    match addr {
        InAddr::V4([first, second, ..]) => {
            matches!(first, 0 | 127 | 224..=255) || (first == 169 && second == 254)
        }
        InAddr::V6(bytes) => {
            let [first, second, ..] = bytes;
            // The unspecified and the loopback address, and IPv4 addresses, compatible or mapped.
            let (high, _) = bytes.split_at(10);
            let low = high.iter().all(|byte| *byte == 0);
            low || first == 0xff || (first == 0xfe && second & 0xc0 == 0x80)
        }
    }
}

/// Whether an IPv4 address is that of its network, or the broadcast address.
fn is_end(addr: InAddr, prefixlen: u8) -> bool {
    let InAddr::V4(bytes) = addr else {
        return false;
    };
    let host = u32::MAX.checked_shr(prefixlen.into()).unwrap_or(0);
    let part = u32::from_be_bytes(bytes) & host;
    prefixlen < 31 && (part == 0 || part == host)
}

/// The broadcast address of the network of an IPv4 address.
pub(super) fn broadcast(addr: InAddr, prefixlen: u8) -> Option<InAddr> {
    let InAddr::V4(bytes) = addr else {
        return None;
    };
    let host = u32::MAX.checked_shr(prefixlen.into()).unwrap_or(0);
    let all = u32::from_be_bytes(bytes) | host;
    Some(InAddr::V4(all.to_be_bytes()))
}

/// Whether two addresses agree in so many bits.
pub(super) fn same_prefix(a: InAddr, b: InAddr, bits: u8) -> bool {
    let wide = |addr: InAddr| match addr {
        InAddr::V4(bytes) => u128::from(u32::from_be_bytes(bytes)).wrapping_shl(96),
        InAddr::V6(bytes) => u128::from_be_bytes(bytes),
    };
    let beyond = 128_u32.saturating_sub(bits.into());
    let differ = wide(a) ^ wide(b);
    a.is_v6() == b.is_v6() && (beyond >= 128 || differ.wrapping_shr(beyond) == 0)
}
