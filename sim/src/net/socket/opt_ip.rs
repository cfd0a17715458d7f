// SPDX-License-Identifier: BSD-2-Clause
//! Options of the levels `IPPROTO_IP` and `IPPROTO_IPV6` (`ip_ctloutput`, `ip6_ctloutput`, 15.0).

use super::{Entry, Pcb, Proto, int};
use crate::errno::Errno;
use crate::net::inpcb::{IN6P_IPV6_V6ONLY, INP_DONTFRAG, INP_HIGHPORT, INP_LOWPORT, Inpcb};

const IP_TOS: i32 = 3;
const IP_TTL: i32 = 4;
const IP_PORTRANGE: i32 = 19;
const IP_MINTTL: i32 = 66;
const IP_DONTFRAG: i32 = 67;
const IPV6_UNICAST_HOPS: i32 = 4;
const IPV6_PORTRANGE: i32 = 14;
const IPV6_CHECKSUM: i32 = 26;
const IPV6_V6ONLY: i32 = 27;
/// Send no more than the minimum MTU: for multicast (-1), never (0), always (1); RFC 3542
/// section 11.1.
pub(super) const IPV6_USE_MIN_MTU: i32 = 42;
const IPV6_TCLASS: i32 = 61;

fn byte(value: i32) -> Result<u8, Errno> {
    u8::try_from(value).map_err(|_| Errno::EINVAL)
}

/// `IP_PORTRANGE_DEFAULT`, `_HIGH` and `_LOW`.
fn set_port_range(inp: &mut Inpcb, value: i32) -> Result<(), Errno> {
    let flag = match value {
        0 => 0,
        1 => INP_HIGHPORT,
        2 => INP_LOWPORT,
        _ => return Err(Errno::EINVAL),
    };
    inp.inp_flags &= !(INP_HIGHPORT | INP_LOWPORT);
    inp.inp_flags |= flag;
    Ok(())
}

fn port_range(inp: &Inpcb) -> i32 {
    match inp.inp_flags & (INP_HIGHPORT | INP_LOWPORT) {
        0 => 0,
        INP_LOWPORT => 2,
        _ => 1,
    }
}

pub(super) fn set_ip(entry: &mut Entry, name: i32, value: &[u8]) -> Result<(), Errno> {
    let value = int(value)?;
    match name {
        IP_TOS => {
            // TCP owns the two ECN bits (tcp_ctloutput_set).
            let mask = if matches!(entry.pcb, Pcb::Tcp(_)) {
                !3
            } else {
                !0
            };
            entry.inp.inp_ip_tos = value as u8 & mask;
        }
        IP_TTL if value == 0 => return Err(Errno::EINVAL),
        IP_TTL => entry.inp.inp_ip_ttl = byte(value)?,
        IP_MINTTL => entry.inp.inp_ip_minttl = byte(value)?,
        IP_PORTRANGE => set_port_range(&mut entry.inp, value)?,
        IP_DONTFRAG => {
            entry.inp.inp_flags &= !INP_DONTFRAG;
            entry.inp.inp_flags |= if value != 0 { INP_DONTFRAG } else { 0 };
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

pub(super) fn get_ip(entry: &Entry, name: i32) -> Result<Vec<u8>, Errno> {
    let inp = &entry.inp;
    let value = match name {
        IP_TOS => i32::from(inp.inp_ip_tos),
        IP_TTL => i32::from(inp.inp_ip_ttl),
        IP_MINTTL => i32::from(inp.inp_ip_minttl),
        IP_PORTRANGE => port_range(inp),
        IP_DONTFRAG => i32::from(inp.inp_flags & INP_DONTFRAG != 0),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(value.to_le_bytes().to_vec())
}

pub(super) fn set_ip6(entry: &mut Entry, name: i32, value: &[u8]) -> Result<(), Errno> {
    let value = int(value)?;
    let inp = &mut entry.inp;
    match name {
        IPV6_UNICAST_HOPS if value == -1 => inp.in6p_hops = None,
        IPV6_UNICAST_HOPS => inp.in6p_hops = Some(byte(value)?),
        IPV6_TCLASS if value == -1 => inp.in6p_tclass = 0,
        IPV6_TCLASS => inp.in6p_tclass = byte(value)?,
        IPV6_PORTRANGE => set_port_range(inp, value)?,
        IPV6_USE_MIN_MTU => match value {
            -1..=1 => inp.ip6po_minmtu = value as i8,
            _ => return Err(Errno::EINVAL),
        },
        IPV6_V6ONLY => {
            if inp.inc.lport != 0 || !inp.inc.laddr.is_unspecified() {
                return Err(Errno::EINVAL);
            }
            inp.set_v6only(value != 0);
        }
        IPV6_CHECKSUM => {
            let Proto::Raw(proto) = entry.so.so_proto else {
                return Err(Errno::ENOPROTOOPT);
            };
            // An odd offset is none; ICMPv6's checksum is the kernel's (ip6_raw_ctloutput).
            if value > 0 && value % 2 != 0 || proto == 58 && value != 2 {
                return Err(Errno::EINVAL);
            }
            inp.in6p_cksum = if proto == 58 { -1 } else { value };
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

pub(super) fn get_ip6(entry: &Entry, name: i32) -> Result<Vec<u8>, Errno> {
    let inp = &entry.inp;
    let value = match name {
        IPV6_UNICAST_HOPS => inp.in6p_hops.map_or(-1, i32::from),
        IPV6_TCLASS => i32::from(inp.in6p_tclass),
        IPV6_PORTRANGE => port_range(inp),
        IPV6_USE_MIN_MTU => i32::from(inp.ip6po_minmtu),
        IPV6_V6ONLY => i32::from(inp.inp_flags & IN6P_IPV6_V6ONLY != 0),
        IPV6_CHECKSUM => match entry.so.so_proto {
            Proto::Raw(58) => 2,
            Proto::Raw(_) => inp.in6p_cksum,
            Proto::Tcp | Proto::Udp => return Err(Errno::ENOPROTOOPT),
        },
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(value.to_le_bytes().to_vec())
}
