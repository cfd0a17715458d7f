// SPDX-License-Identifier: BSD-2-Clause
//! What an ICMP error means to a program (`icmp_errmap`, `netinet/ip_icmp.c`; `icmp6_errmap`,
//! `netinet6/icmp6.c`; FreeBSD 15.0).

use super::cx::IcmpError;
use crate::errno::Errno;

/// The error number for an ICMP error about a packet of IPv4, or of IPv6 where `v6` is set; `None`
/// where a transport takes no notice.
pub fn icmp_errmap(error: IcmpError, v6: bool) -> Option<Errno> {
    if v6 { v6_errno(error) } else { v4_errno(error) }
}

fn v4_errno(error: IcmpError) -> Option<Errno> {
    match (error.kind, error.code) {
        (3, 0 | 1 | 5..=8 | 11 | 12 | 14 | 15) | (11, 0) => Some(Errno::EHOSTUNREACH),
        (3, 4) => Some(Errno::EMSGSIZE),
        (3, 2 | 3 | 9 | 10 | 13) => Some(Errno::ECONNREFUSED),
        (12, 0 | 1) => Some(Errno::ENOPROTOOPT),
        _ => None,
    }
}

fn v6_errno(error: IcmpError) -> Option<Errno> {
    match (error.kind, error.code) {
        (1, 0 | 3) | (3, 0) => Some(Errno::EHOSTUNREACH),
        (1, 1 | 4) | (4, 1) => Some(Errno::ECONNREFUSED),
        (1, 2) | (4, 0 | 2) => Some(Errno::ENOPROTOOPT),
        (2, _) => Some(Errno::EMSGSIZE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_lost_ways_are_told_apart_in_both_families() {
        let of = |kind, code, v6| icmp_errmap(IcmpError { kind, code, mtu: 0 }, v6);
        assert_eq!(of(3, 3, false), Some(Errno::ECONNREFUSED));
        assert_eq!(of(3, 1, false), Some(Errno::EHOSTUNREACH));
        assert_eq!(of(3, 4, false), Some(Errno::EMSGSIZE));
        assert_eq!(of(11, 1, false), None);
        assert_eq!(of(1, 4, true), Some(Errno::ECONNREFUSED));
        assert_eq!(of(1, 3, true), Some(Errno::EHOSTUNREACH));
        assert_eq!(of(2, 0, true), Some(Errno::EMSGSIZE));
        assert_eq!(of(3, 1, true), None);
    }
}
