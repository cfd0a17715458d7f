// SPDX-License-Identifier: BSD-2-Clause
//! Raw sockets, as `ping(8)` uses them: `rip_input`, `rip_output`, and theirs for IPv6.
//!
//! A program of IPv4 gets the IP header before the payload, one of IPv6 the payload alone
//! (RFC 3542 section 3). `IP_HDRINCL` is not there.

use std::net::{IpAddr, SocketAddr};

use crate::errno::Errno;
use crate::net::checksum::transport_cksum;
use crate::net::cx::{Cx, SoId};
use crate::net::ipv4::Ipv4Header;
use crate::net::packet::IpPacket;
use crate::net::socket::{Domain, Entry, Inet, Proto};

const ICMPV6: u8 = 58;

impl Inet {
    /// Gives every raw socket that asked for such a packet a copy; false where none did.
    pub fn raw_input(&mut self, cx: &mut Cx<'_>, packet: &IpPacket) -> bool {
        let takers: Vec<SoId> = self
            .iter()
            .filter(|entry| wants(entry, packet))
            .map(|entry| entry.so.id)
            .collect();
        let whole = match Ipv4Header::of(packet, 0) {
            Some(header) if packet.payload.len() <= 65_515 => header.emit(&packet.payload),
            _ => packet.payload.to_vec(),
        };
        let from = SocketAddr::new(packet.src, 0);
        for so in &takers {
            self.append_datagram(cx, *so, packet.ttl, from, &whole);
        }
        !takers.is_empty()
    }

    /// Sends a packet of the socket's protocol; gives the length of its payload.
    ///
    /// # Errors
    /// As [`Inet::udp_send`], but for ports.
    pub(crate) fn raw_send(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let (dst, _) = self.datagram_peer(so, data.len(), to)?;
        let entry = self.get(so).ok_or(Errno::EBADF)?;
        let Proto::Raw(proto) = entry.so.so_proto else {
            return Err(Errno::EOPNOTSUPP);
        };
        let src = match entry.inp.inc.laddr {
            any if any.is_unspecified() => cx.ip.source_for(dst)?,
            src => src,
        };
        let mut payload = data.to_vec();
        if let Some(at) = checksum_at(entry).filter(|_| dst.is_ipv6()) {
            // The kernel's to fill in (RFC 3542 section 3.1; rip6_output).
            let Some(field) = payload.get_mut(at..at + 2) else {
                return Err(Errno::EINVAL);
            };
            field.fill(0);
            let sum = transport_cksum(src, dst, proto, &payload).to_be_bytes();
            payload[at..at + 2].copy_from_slice(&sum);
        }
        self.send_datagram(cx, so, proto, (src, dst), payload)?;
        Ok(data.len())
    }
}

/// Where in its payload a packet of this socket has a checksum.
fn checksum_at(entry: &Entry) -> Option<usize> {
    match entry.so.so_proto {
        Proto::Raw(ICMPV6) => Some(2),
        _ => usize::try_from(entry.inp.in6p_cksum).ok(),
    }
}

/// Whether a filter lets a type of ICMPv6 through (`ICMP6_FILTER_WILLPASS`, `netinet/icmp6.h`): bit
/// `type % 32` of the 32-bit word `type / 32`, little endian here.
fn passes(filter: &[u8; 32], kind: usize) -> bool {
    filter
        .get(kind / 8)
        .is_some_and(|byte| byte & (1 << (kind % 8)) != 0)
}

/// True where a raw socket takes a packet: family, protocol (0 is any), bound and peer address.
fn wants(entry: &Entry, packet: &IpPacket) -> bool {
    let Proto::Raw(proto) = entry.so.so_proto else {
        return false;
    };
    let family = match entry.so.so_domain {
        Domain::Inet => packet.dst.is_ipv4(),
        Domain::Inet6 => packet.dst.is_ipv6(),
    };
    // What a filter blocks, and what has a wrong checksum where there is to be one (rip6_input).
    let kind = usize::from(packet.payload.first().copied().unwrap_or(0));
    let blocked = packet.proto == ICMPV6
        && entry
            .inp
            .icmp6filt
            .is_some_and(|filter| !passes(&filter, kind));
    let sum = || transport_cksum(packet.src, packet.dst, packet.proto, &packet.payload);
    let summed = proto != ICMPV6 && entry.inp.in6p_cksum != -1;
    if family && packet.dst.is_ipv6() && (blocked || (summed && sum() != 0)) {
        return false;
    }
    let bound_to = |own: IpAddr, theirs: IpAddr| own.is_unspecified() || own == theirs;
    family
        && (proto == 0 || proto == packet.proto)
        && bound_to(entry.inp.inc.laddr, packet.dst)
        && bound_to(entry.inp.inc.faddr, packet.src)
}
