// SPDX-License-Identifier: BSD-2-Clause
//! The internet protocol control block (`struct inpcb`, `in_pcb.h`, 15.0).

use crate::cbor::{Bound, Bytes, Decode, Decoder, Encode, Encoder, Error, Fault, TypeInfo};
use crate::collections::NoMemory;
use crate::record;

/// `INP_IPV4`: the pcb speaks IPv4.
pub const INP_IPV4: u8 = 0x1;
/// `INP_IPV6`: the pcb speaks IPv6.
pub const INP_IPV6: u8 = 0x2;
/// `INP_IPV6PROTO`: opened as an IPv6 socket.
pub const INP_IPV6PROTO: u8 = 0x4;

/// `INP_BINDANY`: the address need not be one of the vnet's.
pub const INP_BINDANY: u32 = 0x1000;
/// `INP_DROPPED`: the protocol has let go of the pcb.
pub const INP_DROPPED: u32 = 0x0400_0000;

/// `IPV6_FLOWINFO_MASK` (`ip6.h`): traffic class and flow label.
const IPV6_FLOWINFO_MASK: u64 = 0x0fff_ffff;
/// What an IPv4 header has room for (RFC 791).
const MAX_IPOPTLEN: u64 = 40;
/// Three headers of options and a routing header, each of 2040 bytes at most (RFC 8200, section 4), and the
/// rest (RFC 3542).
const PKTOPTS_MAX: u64 = 8_704;

/// An internet address: 4 bytes of IPv4 or 16 of IPv6, in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InAddr {
    /// `struct in_addr`.
    V4([u8; 4]),
    /// `struct in6_addr`.
    V6([u8; 16]),
}

impl InAddr {
    /// `INADDR_ANY`.
    pub const ANY4: Self = Self::V4([0; 4]);
    /// `in6addr_any`.
    pub const ANY6: Self = Self::V6([0; 16]);

    /// Whether it is the wildcard of its family.
    pub fn is_any(self) -> bool {
        self == Self::ANY4 || self == Self::ANY6
    }

    /// Whether it is a group's.
    pub const fn is_multicast(self) -> bool {
        match self {
            Self::V4([first, ..]) => first & 0xf0 == 0xe0,
            Self::V6([first, ..]) => first == 0xff,
        }
    }

    /// Whether it is an IPv6 address.
    pub const fn is_v6(self) -> bool {
        matches!(self, Self::V6(_))
    }

    /// The bits of its family.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }
}

impl Encode for InAddr {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        match self {
            Self::V4(bytes) => to.bytes(bytes),
            Self::V6(bytes) => to.bytes(bytes),
        }
    }
}

impl Decode for InAddr {
    const TYPE: TypeInfo = TypeInfo::InAddr;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        let bytes = from.bytes()?;
        if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
            return Ok(Self::V4(v4));
        }
        let v6 = <[u8; 16]>::try_from(bytes);
        v6.map(Self::V6).map_err(|_| Error::at(Fault::TooLong, at))
    }
}

record! {
    /// `inp_inc` (`struct in_conninfo`): the two ends of a connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InConninfo, check = InConninfo::one_family {
        /// `inc_fibnum`: the routing table.
        0 => inc_fibnum: u16,
        /// `ie_laddr` or `ie6_laddr`: the local address.
        1 => laddr: InAddr,
        /// `ie_lport`: the local port, host order; 0 where it is not bound.
        2 => lport: u16,
        /// `ie_faddr` or `ie6_faddr`: the foreign address.
        3 => faddr: InAddr,
        /// `ie_fport`: the foreign port, host order; 0 where it is not connected.
        4 => fport: u16,
        /// `ie6_zoneid`: the scope zone of a link-local address; 0 otherwise.
        5 => zoneid: u32,
        /// `inc_flags`, bits `INC_*`.
        6 => inc_flags: u8 where Bound::bits(0x3),
    }
}

impl InConninfo {
    fn one_family(&self) -> Result<(), u64> {
        if self.laddr.is_v6() != self.faddr.is_v6() {
            return Err(Self::faddr);
        }
        if self.zoneid != 0 && !self.laddr.is_v6() {
            return Err(Self::zoneid);
        }
        Ok(())
    }

    /// Whether both ends are known.
    pub fn is_connected(&self) -> bool {
        self.fport != 0 && !self.faddr.is_any()
    }
}

record! {
    /// What the internet layer keeps of a socket.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Inpcb, check = Inpcb::versions_agree {
        /// `inp_inc`: the ends.
        0 => inp_inc: InConninfo,
        /// `inp_flags`, bits `INP_*` and `IN6P_*`, without `INP_INHASHLIST`, which the target sets.
        1 => inp_flags: u32,
        /// `inp_flags2`, bits `INP_*`.
        2 => inp_flags2: u32,
        /// `inp_vflag`: `INP_IPV4`, `INP_IPV6`, `INP_IPV6PROTO`.
        3 => inp_vflag: u8 where Bound::bits((INP_IPV4 | INP_IPV6 | INP_IPV6PROTO) as u64),
        /// `inp_ip_p`: the protocol of a raw socket.
        4 => inp_ip_p: u8,
        /// `inp_ip_ttl`: the time to live of what is sent over IPv4.
        5 => inp_ip_ttl: u8,
        /// `inp_ip_minttl`: below this, what arrives is dropped.
        6 => inp_ip_minttl: u8,
        /// `inp_ip_tos`: the type of service of what is sent.
        7 => inp_ip_tos: u8,
        /// `inp_flow`: the IPv6 flow information, host order.
        8 => inp_flow: u32 where Bound::most(IPV6_FLOWINFO_MASK),
        /// `inp_options`: the IP options of what is sent, as `ip_pcbopts` keeps them.
        9 => inp_options: Option<Bytes> where Bound::within(1, MAX_IPOPTLEN),
        /// `in6p_hops`: the hop limit of what is sent; -1 is the vnet's default.
        10 => in6p_hops: i16 where Bound::within(-1, 255),
        /// `in6p_cksum`: the offset of a raw socket's checksum; -1 is none.
        11 => in6p_cksum: i32,
        /// `in6p_outputopts`: the options of what is sent, as `ip6_pktopts` in the ABI of RFC 3542.
        12 => in6p_outputopts: Option<Bytes> where Bound::within(1, PKTOPTS_MAX),
        /// `in6p_icmp6filt`: which ICMPv6 types a raw socket receives.
        13 => in6p_icmp6filt: Option<[u8; 32]>,
        /// `ip6po_tclass`: the traffic class of what is sent; absent for none.
        128 => in6p_tclass: Option<u8>,
    }
}

impl Inpcb {
    fn versions_agree(&self) -> Result<(), u64> {
        if self.inp_vflag & (INP_IPV4 | INP_IPV6) == 0 {
            return Err(Self::inp_vflag);
        }
        // A socket of AF_INET speaks IPv4 only; one of AF_INET6 may hold a mapped connection.
        if self.inp_vflag & INP_IPV6 != 0 && self.inp_vflag & INP_IPV6PROTO == 0 {
            return Err(Self::inp_vflag);
        }
        let wanted = if self.inp_inc.laddr.is_v6() {
            INP_IPV6
        } else {
            INP_IPV4
        };
        if self.inp_vflag & wanted == 0 {
            return Err(Self::inp_inc);
        }
        Ok(())
    }
}
