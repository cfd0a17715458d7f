// SPDX-License-Identifier: BSD-2-Clause
//! The socket layer's and the internet layer's part of a socket as records of an image, and back.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use vpscore::cbor::Bytes;
use vpscore::collections::{List, NoMemory};
use vpscore::sock;

use super::error::Unfit;
use super::values::{in_addr, ip_addr};
use crate::net::inpcb::{
    IN6P_IPV6_V6ONLY, INP_ANONPORT, INP_DONTFRAG, INP_DROPPED, INP_HIGHPORT, INP_LOWPORT,
    INP_SOCKREF, InConninfo, Inpcb,
};
use crate::net::sockbuf::{Record, Sockbuf};
use crate::net::socket::{BufSettings, Domain, Listen, Proto};
use crate::net::tcp::Sysctl;

/// `INC_ISIPV6`, `INC_IPV6MINMTU` (`netinet/in_pcb.h`).
const INC_ISIPV6: u8 = 0x1;
const INC_IPV6MINMTU: u8 = 0x2;
const IPPROTO_IPV6: i32 = 41;
/// What this kernel has of `inp_flags`.
const INP_FLAGS: u32 = INP_HIGHPORT
    | INP_LOWPORT
    | INP_ANONPORT
    | INP_DONTFRAG
    | IN6P_IPV6_V6ONLY
    | INP_DROPPED
    | INP_SOCKREF;
const IPV6_USE_MIN_MTU: i32 = 42;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 28;
/// Bytes of a `cmsghdr` of an LP64 ABI, and what everything in a control message is aligned to.
const CMSG_HDR: usize = 16;
const CMSG_ALIGN: usize = 8;

/// The numbers of a protocol: type and protocol of the socket.
pub(super) fn protocol_of(proto: Proto) -> (sock::SoType, u8) {
    match proto {
        Proto::Tcp => (sock::SoType::Stream, 6),
        Proto::Udp => (sock::SoType::Dgram, 17),
        Proto::Raw(number) => (sock::SoType::Raw, number),
    }
}

/// Domain and protocol of a record.
pub(super) fn protocol_from(record: &sock::Socket) -> Result<(Domain, Proto), Unfit> {
    let domain = match record.domain {
        sock::Domain::Inet => Domain::Inet,
        sock::Domain::Inet6 => Domain::Inet6,
        sock::Domain::Unix | sock::Domain::Route => return Err(Unfit::Protocol),
    };
    let proto = match (record.so_type, record.protocol) {
        (sock::SoType::Stream, 0 | 6) => Proto::Tcp,
        (sock::SoType::Dgram, 0 | 17) => Proto::Udp,
        (sock::SoType::Raw, number) => Proto::Raw(number),
        _ => return Err(Unfit::Protocol),
    };
    Ok((domain, proto))
}

/// A `sockaddr_in` or `sockaddr_in6` (`netinet/in.h`, `netinet6/in6.h`).
fn sockaddr(addr: &SocketAddr) -> Vec<u8> {
    let port = addr.port().to_be_bytes();
    match addr {
        SocketAddr::V4(v4) => [&[16, AF_INET], &port[..], &v4.ip().octets(), &[0; 8]].concat(),
        SocketAddr::V6(v6) => [
            &[28, AF_INET6],
            &port[..],
            &v6.flowinfo().to_be_bytes(),
            &v6.ip().octets(),
            &v6.scope_id().to_le_bytes(),
        ]
        .concat(),
    }
}

fn from_sockaddr(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
    match (bytes.len(), bytes.get(1)?) {
        (16, &AF_INET) => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::new(ip.into(), port))
        }
        (28, &AF_INET6) => {
            let flow = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let scope = u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?);
            Some(SocketAddrV6::new(ip.into(), port, flow, scope).into())
        }
        _ => None,
    }
}

/// Ancillary data as control messages (`CMSG_*`, `sys/socket.h`).
fn control_messages(control: &[(i32, i32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (level, kind, data) in control {
        let len = (CMSG_HDR + data.len()) as u32;
        out.extend(len.to_le_bytes());
        out.extend(level.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend([0; 4]);
        out.extend(data);
        out.resize(out.len().next_multiple_of(CMSG_ALIGN), 0);
    }
    out
}

fn from_control_messages(mut bytes: &[u8]) -> Option<Vec<(i32, i32, Vec<u8>)>> {
    let mut control = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let len = usize::try_from(word(0)?).ok()?;
        let data = bytes.get(CMSG_HDR..len)?.to_vec();
        control.push((word(4)?, word(8)?, data));
        bytes = bytes.get(len.next_multiple_of(CMSG_ALIGN)..)?;
    }
    Some(control)
}

/// `sb_mbmax` of a buffer with this limit (`sbreserve_locked`; `kern.ipc.sockbuf_waste_factor` is 8).
fn mbmax(hiwat: u32, sysctl: &Sysctl) -> u32 {
    let most = u32::try_from(sysctl.maxsockbuf).unwrap_or(u32::MAX);
    hiwat.saturating_mul(8).min(most)
}

/// The record of a buffer, and its bytes.
pub(super) fn sockbuf_record(
    sb: &Sockbuf,
    sysctl: &Sysctl,
) -> Result<(sock::Sockbuf, Vec<u8>), NoMemory> {
    let mut bytes = sb.bytes.to_vec();
    let mut records = List::new();
    for record in &sb.records {
        let control = control_messages(&record.control);
        records.push(sock::SbRecord {
            len: u32::try_from(record.data.len()).map_err(|_| NoMemory)?,
            from: Some(Bytes::copy(&sockaddr(&record.from))?),
            control: match control.is_empty() {
                true => None,
                false => Some(Bytes::copy(&control)?),
            },
        })?;
        bytes.extend_from_slice(&record.data);
    }
    let record = sock::Sockbuf {
        sb_state: sb.sb_state,
        sb_flags: sb.sb_flags,
        sb_ccc: u32::try_from(bytes.len()).map_err(|_| NoMemory)?,
        sb_hiwat: sb.sb_hiwat,
        // A buffer whose reading side is shut has no room, and any mark is beyond it.
        sb_lowat: sb.sb_lowat.min(sb.sb_hiwat),
        sb_mbmax: mbmax(sb.sb_hiwat, sysctl),
        sb_timeo: sb.sb_timeo,
        records,
    };
    Ok((record, bytes))
}

/// The buffer of a record with these bytes.
pub(super) fn restore_sockbuf(
    record: &sock::Sockbuf,
    bytes: &[u8],
    keeps_records: bool,
    sysctl: &Sysctl,
) -> Result<Sockbuf, Unfit> {
    if record.sb_mbmax != mbmax(record.sb_hiwat, sysctl) {
        return Err(Unfit::Field(sock::Sockbuf::sb_mbmax));
    }
    let mut sb = Sockbuf::reserve(record.sb_hiwat, record.sb_lowat);
    sb.sb_state = record.sb_state;
    sb.sb_flags = record.sb_flags;
    sb.sb_timeo = record.sb_timeo;
    if !keeps_records {
        if !record.records.is_empty() {
            return Err(Unfit::Queue);
        }
        sb.bytes.extend(bytes);
        return Ok(sb);
    }
    let mut rest = bytes;
    for record in &record.records {
        let len = usize::try_from(record.len).map_err(|_| Unfit::Stream)?;
        let (data, after) = rest.split_at_checked(len).ok_or(Unfit::Stream)?;
        rest = after;
        let from = record.from.as_ref().map(|from| from.as_slice());
        let control = record.control.as_ref().map_or(&[][..], |c| c.as_slice());
        sb.record_bytes = sb.record_bytes.saturating_add(record.len);
        sb.records.push_back(Record {
            from: from.and_then(from_sockaddr).ok_or(Unfit::Address)?,
            data: data.to_vec(),
            control: from_control_messages(control).ok_or(Unfit::Address)?,
        });
    }
    if rest.is_empty() {
        Ok(sb)
    } else {
        Err(Unfit::Stream)
    }
}

/// The record of a listener.
pub(super) fn listen_record(sol: &Listen) -> sock::Listen {
    sock::Listen {
        sol_qlimit: sol.sol_qlimit,
        accept_filter: None,
        accept_filter_arg: None,
        sbrcv_hiwat: sol.sol_sbrcv.hiwat,
        sbsnd_hiwat: sol.sol_sbsnd.hiwat,
        sbrcv_lowat: sol.sol_sbrcv.lowat,
        sbsnd_lowat: sol.sol_sbsnd.lowat,
        sbrcv_flags: sol.sol_sbrcv.flags,
        sbsnd_flags: sol.sol_sbsnd.flags,
        sbrcv_timeo: sol.sol_sbrcv.timeo,
        sbsnd_timeo: sol.sol_sbsnd.timeo,
        sol_overcount: 0,
    }
}

/// The listener of a record, with an empty queue.
pub(super) fn restore_listen(record: &sock::Listen) -> Result<Listen, Unfit> {
    if record.accept_filter.is_some() {
        return Err(Unfit::Protocol);
    }
    Ok(Listen {
        sol_qlimit: record.sol_qlimit,
        sol_comp: Default::default(),
        sol_sbrcv: BufSettings {
            hiwat: record.sbrcv_hiwat,
            lowat: record.sbrcv_lowat,
            timeo: record.sbrcv_timeo,
            flags: record.sbrcv_flags,
        },
        sol_sbsnd: BufSettings {
            hiwat: record.sbsnd_hiwat,
            lowat: record.sbsnd_lowat,
            timeo: record.sbsnd_timeo,
            flags: record.sbsnd_flags,
        },
    })
}

/// The two ends as a record has them.
pub(super) fn conninfo_record(inc: &InConninfo, minmtu: bool) -> sock::InConninfo {
    let v6 = if inc.is_v6() { INC_ISIPV6 } else { 0 };
    sock::InConninfo {
        inc_fibnum: 0,
        laddr: in_addr(inc.laddr),
        lport: inc.lport,
        faddr: in_addr(inc.faddr),
        fport: inc.fport,
        zoneid: 0,
        inc_flags: v6 | if minmtu { INC_IPV6MINMTU } else { 0 },
    }
}

/// The two ends of a record, and whether packets keep to the least MTU of IPv6.
pub(super) fn restore_conninfo(record: &sock::InConninfo) -> (InConninfo, bool) {
    let inc = InConninfo {
        faddr: ip_addr(record.faddr),
        laddr: ip_addr(record.laddr),
        fport: record.fport,
        lport: record.lport,
    };
    (inc, record.inc_flags & INC_IPV6MINMTU != 0)
}

/// The record of an internet control block.
pub(super) fn inpcb_record(inp: &Inpcb, proto: Proto) -> Result<sock::Inpcb, NoMemory> {
    let mut inc = inp.inc;
    // An unbound end takes the family of the other.
    if inc.laddr.is_ipv6() != inc.faddr.is_ipv6() {
        let v6 = inc.laddr.is_ipv6();
        if inc.faddr.is_unspecified() {
            inc.faddr = crate::net::inpcb::unspecified(v6);
        }
    }
    Ok(sock::Inpcb {
        inp_inc: conninfo_record(&inc, inp.minmtu),
        inp_flags: inp.inp_flags,
        inp_flags2: 0,
        inp_vflag: inp.inp_vflag,
        inp_ip_p: match proto {
            Proto::Raw(number) => number,
            Proto::Tcp | Proto::Udp => 0,
        },
        inp_ip_ttl: inp.inp_ip_ttl,
        inp_ip_minttl: inp.inp_ip_minttl,
        inp_ip_tos: inp.inp_ip_tos,
        inp_flow: inp.inp_flow,
        inp_options: None,
        in6p_hops: inp.in6p_hops.map_or(-1, i16::from),
        in6p_cksum: inp.in6p_cksum,
        in6p_outputopts: outputopts(inp)?,
        in6p_icmp6filt: inp.icmp6filt,
        in6p_tclass: (inp.in6p_tclass != 0).then_some(inp.in6p_tclass),
    })
}

/// The options of what an IPv6 socket sends, those that are not the default.
fn outputopts(inp: &Inpcb) -> Result<Option<Bytes>, NoMemory> {
    if inp.ip6po_minmtu == -1 {
        return Ok(None);
    }
    let value = i32::from(inp.ip6po_minmtu).to_le_bytes().to_vec();
    let options = control_messages(&[(IPPROTO_IPV6, IPV6_USE_MIN_MTU, value)]);
    Ok(Some(Bytes::copy(&options)?))
}

/// `ip6po_minmtu` of the options of a record, which has no others.
fn restore_minmtu(record: &sock::Inpcb) -> Result<i8, Unfit> {
    let Some(options) = &record.in6p_outputopts else {
        return Ok(-1);
    };
    let options = from_control_messages(options.as_slice()).ok_or(Unfit::Protocol)?;
    match options.as_slice() {
        [(IPPROTO_IPV6, IPV6_USE_MIN_MTU, value)] => match value.as_slice() {
            [0, 0, 0, 0] => Ok(0),
            [1, 0, 0, 0] => Ok(1),
            _ => Err(Unfit::Protocol),
        },
        _ => Err(Unfit::Protocol),
    }
}

/// The internet control block of a record.
pub(super) fn restore_inpcb(record: &sock::Inpcb, v6: bool) -> Result<Inpcb, Unfit> {
    let (mut inc, minmtu) = restore_conninfo(&record.inp_inc);
    let mapped = |addr: IpAddr| v6 && addr.is_ipv4();
    // As this kernel keeps them: the unconnected end of an IPv6 socket is IPv6's.
    if mapped(inc.faddr) && inc.fport == 0 && inc.faddr.is_unspecified() {
        inc.faddr = crate::net::inpcb::unspecified(true);
    }
    if !v6 && record.inp_vflag & sock::INP_IPV6PROTO != 0 {
        return Err(Unfit::Protocol);
    }
    if record.inp_flags & !INP_FLAGS != 0 {
        return Err(Unfit::Field(sock::Inpcb::inp_flags));
    }
    Ok(Inpcb {
        inc,
        inp_vflag: record.inp_vflag,
        inp_flags: record.inp_flags,
        inp_ip_tos: record.inp_ip_tos,
        inp_ip_ttl: record.inp_ip_ttl,
        inp_ip_minttl: record.inp_ip_minttl,
        in6p_tclass: record.in6p_tclass.unwrap_or(0),
        in6p_hops: u8::try_from(record.in6p_hops).ok(),
        inp_flow: record.inp_flow,
        minmtu,
        ip6po_minmtu: restore_minmtu(record)?,
        in6p_cksum: record.in6p_cksum,
        icmp6filt: record.in6p_icmp6filt,
    })
}
