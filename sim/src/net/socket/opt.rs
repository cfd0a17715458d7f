// SPDX-License-Identifier: BSD-2-Clause
//! Socket options as the system calls pass them: level, name and bytes in FreeBSD's layout for
//! 64-bit little-endian programs (`sosetopt`, `sogetopt`, `tcp_default_ctloutput`; 15.0).

use super::bits::{
    SO_ACCEPTCONN, SO_BROADCAST, SO_DEBUG, SO_DONTROUTE, SO_KEEPALIVE, SO_LINGER, SO_NOSIGPIPE,
    SO_OOBINLINE, SO_REUSEADDR, SO_REUSEPORT, SO_REUSEPORT_LB, SO_TIMESTAMP,
};
use super::{BufSettings, Entry, Inet, Pcb, Proto};
use crate::errno::Errno;
use crate::net::cx::{Cx, SoId};
use crate::net::inpcb::IN6P_IPV6_V6ONLY;
use crate::net::sockbuf::{SB_AUTOSIZE, Sockbuf};
use crate::time::Duration;

/// Levels.
pub(super) const SOL_SOCKET: i32 = 0xffff;
/// `IPPROTO_IP`
pub(super) const IPPROTO_IP: i32 = 0;
/// `IPPROTO_TCP`
pub(super) const IPPROTO_TCP: i32 = 6;
/// `IPPROTO_IPV6`
pub(super) const IPPROTO_IPV6: i32 = 41;

const SO_SNDBUF: i32 = 0x1001;
const SO_RCVBUF: i32 = 0x1002;
const SO_SNDLOWAT: i32 = 0x1003;
const SO_RCVLOWAT: i32 = 0x1004;
const SO_SNDTIMEO: i32 = 0x1005;
const SO_RCVTIMEO: i32 = 0x1006;
const SO_ERROR: i32 = 0x1007;
const SO_TYPE: i32 = 0x1008;
const SO_LISTENQLIMIT: i32 = 0x1011;
const SO_LISTENQLEN: i32 = 0x1012;
const SO_PROTOCOL: i32 = 0x1016;
const SO_DOMAIN: i32 = 0x1019;

const IP_TOS: i32 = 3;
const IP_TTL: i32 = 4;
const IP_MINTTL: i32 = 66;
const IPV6_UNICAST_HOPS: i32 = 4;
const IPV6_V6ONLY: i32 = 27;
const IPV6_USE_MIN_MTU: i32 = 42;
const IPV6_TCLASS: i32 = 61;

/// The options that are bits of `so_options`.
const BITS: u32 = SO_DEBUG
    | SO_KEEPALIVE
    | SO_DONTROUTE
    | SO_BROADCAST
    | SO_REUSEADDR
    | SO_REUSEPORT
    | SO_REUSEPORT_LB
    | SO_OOBINLINE
    | SO_TIMESTAMP
    | SO_NOSIGPIPE;

/// An `int` out of an option's bytes (`sooptcopyin`): `EINVAL` where there are too few.
pub(crate) fn int(value: &[u8]) -> Result<i32, Errno> {
    let bytes = value.first_chunk::<4>().ok_or(Errno::EINVAL)?;
    Ok(i32::from_le_bytes(*bytes))
}

/// A `struct timeval`: `EDOM` where it is no span.
fn timeval(value: &[u8]) -> Result<Duration, Errno> {
    let (sec, rest) = value.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let usec = rest.first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let (sec, usec) = (i64::from_le_bytes(*sec), i64::from_le_bytes(*usec));
    if sec < 0 || !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    Ok(Duration::from_secs(sec as u64).plus(Duration::from_micros(usec as u64)))
}

impl Inet {
    /// Sets an option (`setsockopt(2)`).
    ///
    /// # Errors
    /// `EINVAL` for a value too short or out of range, `ENOPROTOOPT` for an unknown option,
    /// `ENOBUFS` for a buffer too large, `ECONNRESET` where the connection has ended.
    pub fn sosetopt(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let proto = self.get(so).ok_or(Errno::EBADF)?.so.so_proto;
        if level == SOL_SOCKET {
            let result = self.set_socket(so, name, value);
            self.settle_reuse(so, cx);
            return result;
        }
        let entry = self.get_mut(so).ok_or(Errno::EBADF)?;
        if entry.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        match level {
            IPPROTO_IP => set_ip(entry, name, value),
            IPPROTO_IPV6 => set_ip6(entry, name, value),
            IPPROTO_TCP if proto == Proto::Tcp => self
                .with_conn(so, cx, |conn| conn.set_option(name, value))
                .unwrap_or(Err(Errno::EBADF)),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// A changed `SO_REUSE*` counts for the address that is bound already.
    fn settle_reuse(&mut self, so: SoId, cx: &Cx<'_>) {
        if let Some(entry) = self.get_mut(so) {
            if let Some(inc) = entry.inhash.take() {
                let tcp = entry.so.so_proto == Proto::Tcp;
                let info = if tcp {
                    &mut self.tcp.tcbinfo
                } else {
                    &mut self.udb
                };
                info.remove(so, &inc);
            }
            self.settle(so, cx.now);
        }
    }

    fn set_socket(&mut self, so: SoId, name: i32, value: &[u8]) -> Result<(), Errno> {
        let max = self.tcp.sysctl.sb_max_adj();
        let entry = self.get_mut(so).ok_or(Errno::EBADF)?;
        if name > 0 && name as u32 & BITS == name as u32 {
            let bit = name as u32;
            entry.so.so_options &= !bit;
            entry.so.so_options |= if int(value)? != 0 { bit } else { 0 };
            return Ok(());
        }
        match name {
            n if n == SO_LINGER as i32 => {
                let onoff = int(value)?;
                let linger = int(&value[4..])?;
                if !(0..=i32::from(u16::MAX)).contains(&linger) {
                    return Err(Errno::EINVAL);
                }
                entry.so.so_linger = linger;
                entry.so.so_options &= !SO_LINGER;
                entry.so.so_options |= if onoff != 0 { SO_LINGER } else { 0 };
                Ok(())
            }
            SO_SNDBUF | SO_RCVBUF | SO_SNDLOWAT | SO_RCVLOWAT => {
                set_buffer(entry, name, int(value)?, max)
            }
            SO_SNDTIMEO => {
                entry.so.so_snd.sb_timeo = timeval(value)?;
                Ok(())
            }
            SO_RCVTIMEO => {
                entry.so.so_rcv.sb_timeo = timeval(value)?;
                Ok(())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// Reads an option (`getsockopt(2)`).
    ///
    /// # Errors
    /// `ENOPROTOOPT` for an unknown option, `ECONNRESET` where the connection has ended.
    pub fn sogetopt(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        level: i32,
        name: i32,
    ) -> Result<Vec<u8>, Errno> {
        let entry = self.get_mut(so).ok_or(Errno::EBADF)?;
        let proto = entry.so.so_proto;
        if level == SOL_SOCKET {
            return get_socket(entry, name);
        }
        if entry.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        match level {
            IPPROTO_IP => get_ip(entry, cx, name),
            IPPROTO_IPV6 => get_ip6(entry, cx, name),
            IPPROTO_TCP if proto == Proto::Tcp => self
                .with_conn(so, cx, |conn| conn.get_option(name))
                .unwrap_or(Err(Errno::EBADF)),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// How long a sleep for reading and for writing may last (`SO_RCVTIMEO`, `SO_SNDTIMEO`);
    /// zero is for ever.
    pub fn timeouts(&self, so: SoId) -> (Duration, Duration) {
        self.get(so).map_or_else(Default::default, |entry| {
            (entry.so.so_rcv.sb_timeo, entry.so.so_snd.sb_timeo)
        })
    }

    /// Seconds that a close may linger (`SO_LINGER`), where it does.
    pub fn linger(&self, so: SoId) -> Option<u32> {
        let entry = self.get(so)?;
        entry
            .so
            .option(SO_LINGER)
            .then_some(entry.so.so_linger as u32)
    }
}

/// `SO_SNDBUF` and the like (`sbsetopt`); of a listener for those it will accept.
fn set_buffer(entry: &mut Entry, name: i32, value: i32, max: u32) -> Result<(), Errno> {
    if value < 1 {
        return Err(Errno::EINVAL);
    }
    let value = value as u32;
    let apply = |settings: &mut BufSettings| match name {
        SO_SNDBUF | SO_RCVBUF if value > max => Err(Errno::ENOBUFS),
        SO_SNDBUF | SO_RCVBUF => {
            settings.hiwat = value;
            settings.lowat = settings.lowat.min(value);
            settings.flags &= !SB_AUTOSIZE;
            Ok(())
        }
        _ => {
            settings.lowat = value.min(settings.hiwat);
            Ok(())
        }
    };
    let send = matches!(name, SO_SNDBUF | SO_SNDLOWAT);
    if let Some(sol) = &mut entry.so.sol {
        return apply(if send {
            &mut sol.sol_sbsnd
        } else {
            &mut sol.sol_sbrcv
        });
    }
    let sb: &mut Sockbuf = if send {
        &mut entry.so.so_snd
    } else {
        &mut entry.so.so_rcv
    };
    let mut settings = BufSettings::of(sb);
    apply(&mut settings)?;
    sb.sb_hiwat = settings.hiwat;
    sb.sb_lowat = settings.lowat;
    sb.sb_flags = settings.flags;
    Ok(())
}

fn get_socket(entry: &mut Entry, name: i32) -> Result<Vec<u8>, Errno> {
    let so = &mut entry.so;
    let sides = match &so.sol {
        Some(sol) => (sol.sol_sbrcv, sol.sol_sbsnd),
        None => (BufSettings::of(&so.so_rcv), BufSettings::of(&so.so_snd)),
    };
    let value = match name {
        n if n > 0 && n as u32 & (BITS | SO_ACCEPTCONN) == n as u32 => {
            (so.so_options & n as u32) as i32
        }
        n if n == SO_LINGER as i32 => {
            let onoff = (so.so_options & SO_LINGER) as i32;
            return Ok([onoff.to_le_bytes(), so.so_linger.to_le_bytes()].concat());
        }
        SO_SNDBUF => sides.1.hiwat as i32,
        SO_RCVBUF => sides.0.hiwat as i32,
        SO_SNDLOWAT => sides.1.lowat as i32,
        SO_RCVLOWAT => sides.0.lowat as i32,
        SO_SNDTIMEO => return Ok(timeval_bytes(sides.1.timeo)),
        SO_RCVTIMEO => return Ok(timeval_bytes(sides.0.timeo)),
        SO_ERROR => so.so_error.take().map_or(0, Errno::raw),
        SO_TYPE => match so.so_proto {
            Proto::Tcp => 1,
            Proto::Udp => 2,
            Proto::Raw(_) => 3,
        },
        SO_PROTOCOL => match so.so_proto {
            Proto::Tcp => 6,
            Proto::Udp => 17,
            Proto::Raw(proto) => i32::from(proto),
        },
        SO_DOMAIN => match so.so_domain {
            super::Domain::Inet => 2,
            super::Domain::Inet6 => 28,
        },
        SO_LISTENQLIMIT => so.sol.as_ref().map_or(0, |sol| sol.sol_qlimit as i32),
        SO_LISTENQLEN => so.sol.as_ref().map_or(0, |sol| sol.sol_comp.len() as i32),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(value.to_le_bytes().to_vec())
}

fn timeval_bytes(span: Duration) -> Vec<u8> {
    let (sec, usec) = (span.as_micros() / 1_000_000, span.as_micros() % 1_000_000);
    [sec.to_le_bytes(), usec.to_le_bytes()].concat()
}

fn byte(value: i32) -> Result<u8, Errno> {
    u8::try_from(value).map_err(|_| Errno::EINVAL)
}

fn set_ip(entry: &mut Entry, name: i32, value: &[u8]) -> Result<(), Errno> {
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
        IP_TTL => entry.inp.inp_ip_ttl = Some(byte(value)?),
        IP_MINTTL => entry.inp.inp_ip_minttl = byte(value)?,
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

fn get_ip(entry: &Entry, cx: &Cx<'_>, name: i32) -> Result<Vec<u8>, Errno> {
    let value = match name {
        IP_TOS => entry.inp.inp_ip_tos,
        IP_TTL => {
            let any = crate::net::inpcb::unspecified(false);
            entry
                .inp
                .inp_ip_ttl
                .unwrap_or_else(|| cx.ip.default_ttl(any))
        }
        IP_MINTTL => entry.inp.inp_ip_minttl,
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(i32::from(value).to_le_bytes().to_vec())
}

fn set_ip6(entry: &mut Entry, name: i32, value: &[u8]) -> Result<(), Errno> {
    let value = int(value)?;
    match name {
        IPV6_UNICAST_HOPS if value == -1 => entry.inp.in6p_hops = None,
        IPV6_UNICAST_HOPS => entry.inp.in6p_hops = Some(byte(value)?),
        IPV6_TCLASS if value == -1 => entry.inp.in6p_tclass = 0,
        IPV6_TCLASS => entry.inp.in6p_tclass = byte(value)?,
        IPV6_USE_MIN_MTU => entry.inp.minmtu = value == 1,
        IPV6_V6ONLY => {
            if entry.inp.inc.lport != 0 {
                return Err(Errno::EINVAL);
            }
            entry.inp.inp_flags &= !IN6P_IPV6_V6ONLY;
            entry.inp.inp_flags |= if value != 0 { IN6P_IPV6_V6ONLY } else { 0 };
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

fn get_ip6(entry: &Entry, cx: &Cx<'_>, name: i32) -> Result<Vec<u8>, Errno> {
    let value = match name {
        IPV6_UNICAST_HOPS => {
            let any = crate::net::inpcb::unspecified(true);
            i32::from(
                entry
                    .inp
                    .in6p_hops
                    .unwrap_or_else(|| cx.ip.default_ttl(any)),
            )
        }
        IPV6_TCLASS => i32::from(entry.inp.in6p_tclass),
        IPV6_USE_MIN_MTU => i32::from(entry.inp.minmtu),
        IPV6_V6ONLY => i32::from(entry.inp.inp_flags & IN6P_IPV6_V6ONLY != 0),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(value.to_le_bytes().to_vec())
}
