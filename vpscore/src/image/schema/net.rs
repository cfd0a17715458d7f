// SPDX-License-Identifier: BSD-2-Clause
//! Network stacks: interfaces, routes, neighbours. Sockets are in [`crate::sock`].

use crate::cbor::{Bound, Bytes, Text};
use crate::codes;
use crate::collections::List;
use crate::image::{IfnetRef, InstanceRef, VnetRef};
use crate::record;
use crate::sock::InAddr;
use crate::time::Duration;

/// What answers are counted in.
const SECOND: Duration = Duration::from_secs(1);
/// Beyond every `BANDLIM_*` and `RATELIM_*`.
const BANDLIM_MAX: u64 = 15;

record! {
    /// A variable of a vnet whose value is not the default (`sysctl(8)`, `CTLFLAG_VNET`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct SysctlVar {
        /// Its name, as `net.inet.tcp.keepidle`.
        0 => name: Text,
        /// Its value: an integer.
        1 => value: i64,
    }
}

record! {
    /// Answers of a class counted against a limit per second (`struct counter_rate`), and by how much the limit of the
    /// class is off (`badport_bandlim`, `ip_icmp.c`; `icmp6_ratelimit`, `icmp6.c`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RateCount {
        /// The class of answers, `BANDLIM_*` or `RATELIM_*`.
        0 => class: u8 where Bound::most(BANDLIM_MAX),
        /// How long ago the second began; 1 s where it is over.
        1 => age: Duration where Bound::span(SECOND),
        /// The answers in it.
        2 => count: u64,
        /// `icmplim_curr_jitter`, `icmp6lim_curr_jitter`: how many more or fewer go out.
        3 => jitter: i32,
    }
}

record! {
    /// A packet on its way through the loopback (`netisr(9)`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct LoopbackPacket {
        /// What remains until it arrives.
        0 => remaining: Duration,
        /// The packet.
        1 => packet: Bytes,
    }
}

record! {
    /// Bytes of a datagram whose fragments have not all come.
    #[derive(Debug, PartialEq, Eq)]
    pub struct IpqPiece {
        /// Where they stand in it.
        0 => offset: u16,
        /// The bytes.
        1 => data: Bytes,
    }
}

record! {
    /// A datagram whose fragments have not all come (`struct ipq`, `ip_var.h`; `struct ip6q`,
    /// `frag6.c`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct Ipq {
        /// Its source.
        0 => src: InAddr,
        /// Its destination.
        1 => dst: InAddr,
        /// Its protocol; 0 for IPv6.
        2 => proto: u8,
        /// Its identification.
        3 => id: u32,
        /// `ipq_ttl`: what remains of its time.
        4 => remaining: Duration,
        /// `ipq_ecn`: its ECN field so far.
        5 => ecn: u8,
        /// Its length; absent until the last fragment has come.
        6 => total: Option<u16>,
        /// The header of the packet that carried the first fragment; absent until that has come.
        7 => header: Option<Bytes>,
        /// `ip6q_nxt`: the type of the header that the fragmented part begins with; 0 for IPv4.
        8 => next: u8,
        /// What followed the fixed header of IPv6, for an error that quotes it.
        9 => quote: Option<Bytes>,
        /// Its bytes, by increasing offset.
        10 => pieces: List<IpqPiece>,
    }
}

record! {
    /// Where a generator of random numbers stands: ChaCha with 8 rounds.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RngState {
        /// The key.
        0 => key: [u8; 32],
        /// The nonce.
        1 => nonce: u64,
        /// 32-bit words drawn.
        2 => words: u64,
    }
}

record! {
    /// A network stack (`struct vnet`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct Vnet {
        /// The instance it belongs to.
        0 => instance: InstanceRef,
        /// Its variables, by name.
        1 => sysctls: List<SysctlVar>,
        /// `V_ip_id`: the next identification of an IPv4 fragment, where they are consecutive.
        2 => ip_id: u16,
        /// `ipport_*`: the anonymous port handed out last, where they are consecutive.
        3 => lastport: u16,
        /// What its own clock reads, where it has one that stands still with it.
        128 => clock: Option<Duration>,
        /// The next identification of an IPv6 fragment, where they are consecutive.
        129 => frag6_id: Option<u32>,
        /// The index of the next interface.
        130 => next_ifindex: Option<u16>,
        /// Packets of the loopback queue, in order.
        131 => loopback: Option<List<LoopbackPacket>>,
        /// `V_icmp_rates`: answers counted against `net.inet.icmp.icmplim`.
        132 => rates: Option<List<RateCount>>,
        /// `V_icmp6_rates`: answers counted against `net.inet6.icmp6.errppslimit`.
        133 => rates6: Option<List<RateCount>>,
        /// The random numbers of the IP layer, where the kernel has a generator for them.
        134 => rng: Option<RngState>,
        /// Datagrams of which fragments are missing, oldest first.
        135 => fragments: Option<List<Ipq>>,
    }
}

codes! {
    /// `if_type` (`if_types.h`), numbered as there.
    pub enum IfType {
        /// `IFT_ETHER`.
        Ether = 6,
        /// `IFT_LOOP`.
        Loop = 24,
    }
}

record! {
    /// An address of an interface (`struct in_ifaddr`, `struct in6_ifaddr`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ifaddr, check = Ifaddr::mask_fits {
        /// `ia_addr`.
        0 => ia_addr: InAddr,
        /// The bits of `ia_sockmask` or `ia_prefixmask`.
        1 => prefixlen: u8,
        /// `ia_broadaddr`; absent for none.
        2 => ia_broadaddr: Option<InAddr>,
        /// `ia_flags` or `ia6_flags`.
        3 => ia_flags: u32,
        /// `ia6_lifetime.ia6t_vltime`: what remains of its validity; absent for ever.
        4 => vltime: Option<Duration>,
        /// `ia6_lifetime.ia6t_pltime`: for how long it is still preferred; absent for ever.
        5 => pltime: Option<Duration>,
    }
}

impl Ifaddr {
    fn mask_fits(&self) -> Result<(), u64> {
        if self.prefixlen > self.ia_addr.bits() {
            return Err(Self::prefixlen);
        }
        Ok(())
    }
}

record! {
    /// An interface (`struct ifnet`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct Ifnet, check = Ifnet::named {
        /// `if_vnet`.
        0 => if_vnet: VnetRef,
        /// `if_xname`, at most `IFNAMSIZ` - 1 bytes.
        1 => if_xname: Text,
        /// `if_index` within its vnet.
        2 => if_index: u16,
        /// `if_type`.
        3 => if_type: IfType,
        /// `if_flags`, bits `IFF_*`.
        4 => if_flags: u32,
        /// `if_mtu`, bytes.
        5 => if_mtu: u32,
        /// The link-layer address; absent where there is none.
        6 => lladdr: Option<[u8; 6]>,
        /// `if_addrhead`: its addresses, in order.
        7 => if_addrs: List<Ifaddr>,
        /// `if_description`.
        8 => if_description: Option<Bytes>,
    }
}

impl Ifnet {
    fn named(&self) -> Result<(), u64> {
        let name = self.if_xname.as_str();
        if name.is_empty() || name.len() > 15 || name.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(Self::if_xname);
        }
        if self.if_index == 0 {
            return Err(Self::if_index);
        }
        Ok(())
    }
}

record! {
    /// A route (`struct nhop_object` with its prefix) that no interface address brings by itself.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Route, check = Route::one_family {
        /// The vnet.
        0 => vnet: VnetRef,
        /// The routing table.
        1 => fibnum: u16,
        /// The destination.
        2 => dst: InAddr,
        /// The bits of its mask.
        3 => prefixlen: u8,
        /// The gateway; absent where the destination is on the link.
        4 => gateway: Option<InAddr>,
        /// The interface.
        5 => ifp: IfnetRef,
        /// Bits `RTF_*`.
        6 => flags: u32,
        /// `rmx_mtu`, bytes; 0 for the interface's.
        7 => mtu: u32,
    }
}

impl Route {
    fn one_family(&self) -> Result<(), u64> {
        if self.prefixlen > self.dst.bits() {
            return Err(Self::prefixlen);
        }
        Ok(())
    }
}

codes! {
    /// How far a neighbour is known (`ln_state`, `nd6.h`; ARP uses two of them).
    pub enum LlState {
        /// Being asked for.
        Incomplete = 1,
        /// Known.
        Reachable = 2,
        /// Known, to be confirmed when used.
        Stale = 3,
        /// Used, about to be confirmed.
        Delay = 4,
        /// Being confirmed.
        Probe = 5,
        /// Set by hand.
        Static = 6,
    }
}

record! {
    /// A neighbour (`struct llentry`: ARP, RFC 826; neighbour discovery, RFC 4861).
    #[derive(Debug, PartialEq, Eq)]
    pub struct Llentry, check = Llentry::known_or_asked {
        /// The interface.
        0 => ifp: IfnetRef,
        /// Its internet address.
        1 => addr: InAddr,
        /// Its link-layer address; absent while it is being asked for.
        2 => lladdr: Option<[u8; 6]>,
        /// How far it is known.
        3 => state: LlState,
        /// `la_asked`: how often it was asked for.
        4 => la_asked: u16,
        /// What remains until the state changes by itself; absent for never.
        5 => remaining: Option<Duration>,
        /// `la_hold`: packets that wait for the answer, link-layer header excluded.
        6 => la_hold: List<Bytes>,
        /// `r_skip_req`: nothing was sent to it since it was learned or asked for, so that it ends without being asked
        /// again; absent where something was.
        128 => r_skip_req: Option<bool>,
    }
}

impl Llentry {
    fn known_or_asked(&self) -> Result<(), u64> {
        if self.lladdr.is_none() != (self.state == LlState::Incomplete) {
            return Err(Self::lladdr);
        }
        if self.lladdr.is_some() && !self.la_hold.is_empty() {
            return Err(Self::la_hold);
        }
        Ok(())
    }
}
