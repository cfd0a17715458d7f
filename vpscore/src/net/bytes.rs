// SPDX-License-Identifier: BSD-2-Clause
//! Addresses in byte strings whose layout is FreeBSD's: socket addresses, control messages, IP
//! options (`netinet/in.h`, `netinet6/in6.h`, `sys/socket.h`, `netinet/ip_var.h`; 15.0).

use super::{Remap, Way};
use crate::image::schema::Abi;
use crate::sock::InAddr;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 28;
const IPPROTO_IP: u32 = 0;
const IPPROTO_IPV6: u32 = 41;
const IP_RECVDSTADDR: u32 = 7;
const IP_ORIGDSTADDR: u32 = 27;
const IPV6_PKTINFO: u32 = 46;
const IPV6_NEXTHOP: u32 = 48;
const IPV6_ORIGDSTADDR: u32 = 72;
const IPOPT_EOL: u8 = 0;
const IPOPT_NOP: u8 = 1;
const IPOPT_LSRR: u8 = 131;
const IPOPT_SSRR: u8 = 137;

/// Bytes of a `cmsghdr`, padded, and what control messages are aligned to (`_ALIGN`).
const fn cmsg_layout(abi: Abi) -> (usize, usize) {
    match abi {
        Abi::SimLp64 | Abi::FreebsdAmd64 | Abi::FreebsdArm64 => (16, 8),
        Abi::FreebsdI386 => (12, 4),
    }
}

impl Remap {
    /// An `in_addr` in its bytes.
    fn in_addr(&self, bytes: &mut [u8]) {
        if let Some(field) = bytes.first_chunk_mut::<4>()
            && let InAddr::V4(new) = self.translate(Way::In, InAddr::V4(*field))
        {
            *field = new;
        }
    }

    /// An `in6_addr` in its bytes, or an IPv4 address mapped into one (RFC 4291 section 2.5.5.2).
    fn in6_addr(&self, bytes: &mut [u8]) {
        let Some(field) = bytes.first_chunk_mut::<16>() else {
            return;
        };
        if let [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..] = field {
            return self.in_addr(rest);
        }
        if let InAddr::V6(new) = self.translate(Way::In, InAddr::V6(*field)) {
            *field = new;
        }
    }

    /// A `sockaddr_in` or `sockaddr_in6`.
    pub(super) fn sockaddr(&self, bytes: &mut [u8]) {
        match bytes {
            [_, AF_INET, _, _, addr @ ..] => self.in_addr(addr),
            [_, AF_INET6, _, _, _, _, _, _, addr @ ..] => self.in6_addr(addr),
            _ => {}
        }
    }

    /// Control messages, one after the other.
    pub(super) fn control(&self, mut bytes: &mut [u8], abi: Abi) {
        let (header, align) = cmsg_layout(abi);
        while let Some([l0, l1, l2, l3, v0, v1, v2, v3, t0, t1, t2, t3]) =
            bytes.first_chunk::<12>().copied()
        {
            let len = u32::from_le_bytes([l0, l1, l2, l3]);
            let Ok(len) = usize::try_from(len) else {
                return;
            };
            let level = u32::from_le_bytes([v0, v1, v2, v3]);
            let kind = u32::from_le_bytes([t0, t1, t2, t3]);
            if let Some(data) = bytes.get_mut(header..len) {
                match (level, kind) {
                    (IPPROTO_IP, IP_RECVDSTADDR) => self.in_addr(data),
                    (IPPROTO_IPV6, IPV6_PKTINFO) => self.in6_addr(data),
                    (IPPROTO_IP, IP_ORIGDSTADDR)
                    | (IPPROTO_IPV6, IPV6_NEXTHOP | IPV6_ORIGDSTADDR) => self.sockaddr(data),
                    _ => {}
                }
            }
            let step = len.max(header).checked_next_multiple_of(align);
            let rest = step.and_then(|step| bytes.split_at_mut_checked(step));
            let Some((_, rest)) = rest else {
                return;
            };
            bytes = rest;
        }
    }

    /// IP options as the kernel keeps them (`struct ipoption`): the first hop of a source route or
    /// zero, then the list. Only hops of source routes are addresses to go to.
    pub(super) fn ip_options(&self, bytes: &mut [u8]) {
        self.in_addr(bytes);
        let Some((_, mut rest)) = bytes.split_at_mut_checked(4) else {
            return;
        };
        loop {
            let len = match rest {
                [IPOPT_NOP, ..] => 1,
                [] | [_] | [IPOPT_EOL, ..] | [_, 0..2, ..] => return,
                [_, len, ..] => usize::from(*len),
            };
            let Some((option, after)) = rest.split_at_mut_checked(len) else {
                return;
            };
            if let [IPOPT_LSRR | IPOPT_SSRR, _, _, hops @ ..] = option {
                for hop in hops.chunks_exact_mut(4) {
                    self.in_addr(hop);
                }
            }
            rest = after;
        }
    }
}
