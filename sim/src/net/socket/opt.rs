// SPDX-License-Identifier: BSD-2-Clause
//! Socket options as the system calls pass them: level, name and bytes in FreeBSD's layout for
//! 64-bit little-endian programs (`sosetopt`, `sogetopt`, `tcp_default_ctloutput`; 15.0).

use super::bits::{
    SO_ACCEPTCONN, SO_BINTIME, SO_BROADCAST, SO_DEBUG, SO_DONTROUTE, SO_KEEPALIVE, SO_LINGER,
    SO_NO_DDP, SO_NO_OFFLOAD, SO_NOSIGPIPE, SO_OOBINLINE, SO_RERROR, SO_REUSEADDR, SO_REUSEPORT,
    SO_REUSEPORT_LB, SO_TIMESTAMP, SO_USELOOPBACK,
};
use super::opt_ip::{IPV6_USE_MIN_MTU, get_ip, get_ip6, set_ip, set_ip6};
use super::{BufSettings, Domain, Entry, Inet, Proto};
use crate::errno::Errno;
use crate::net::cx::{Cx, SoId};
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

/// `IPPROTO_UDP`
const IPPROTO_UDP: i32 = 17;
/// `IPPROTO_ICMPV6`
const IPPROTO_ICMPV6: i32 = 58;

const ICMP6_FILTER: i32 = 18;
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
const SO_LISTENINCQLEN: i32 = 0x1013;
const SO_SETFIB: i32 = 0x1014;
const SO_PROTOCOL: i32 = 0x1016;
const SO_DOMAIN: i32 = 0x1019;

/// The options that are bits of `so_options`.
const BITS: u32 = SO_DEBUG
    | SO_KEEPALIVE
    | SO_DONTROUTE
    | SO_BROADCAST
    | SO_REUSEADDR
    | SO_REUSEPORT
    | SO_REUSEPORT_LB
    | SO_OOBINLINE
    | SO_USELOOPBACK
    | SO_TIMESTAMP
    | SO_BINTIME
    | SO_NOSIGPIPE
    | SO_NO_DDP
    | SO_NO_OFFLOAD
    | SO_RERROR;

/// The one bit of `so_options` that an option is, if it is one of `bits`.
fn option_bit(name: i32, bits: u32) -> Option<u32> {
    let bit = u32::try_from(name).ok()?;
    (bit.is_power_of_two() && bits & bit != 0).then_some(bit)
}

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
    // Beyond what an sbintime_t holds, it is SBT_MAX, just under 2^31 seconds.
    if sec > i64::from(i32::MAX) {
        return Ok(Duration::from_secs(1 << 31));
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
        match (level, entry.so.so_domain) {
            (IPPROTO_IP, Domain::Inet) => set_ip(entry, name, value),
            (IPPROTO_IPV6, Domain::Inet6) => {
                set_ip6(entry, name, value)?;
                if name == IPV6_USE_MIN_MTU {
                    self.with_conn(so, cx, |conn| conn.use_min_mtu());
                }
                Ok(())
            }
            (IPPROTO_ICMPV6, Domain::Inet6) if proto == Proto::Raw(58) => {
                set_icmp6(entry, name, value)
            }
            (IPPROTO_TCP, _) if proto == Proto::Tcp => self
                .with_conn(so, cx, |conn| conn.set_option(name, value))
                .unwrap_or(Err(Errno::EBADF)),
            (IPPROTO_UDP, _) if proto == Proto::Udp => Err(Errno::ENOPROTOOPT),
            // Neither ip_ctloutput nor ip6_ctloutput knows another level than its own.
            _ => Err(Errno::EINVAL),
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
        if let Some(bit) = option_bit(name, BITS) {
            entry.so.so_options &= !bit;
            entry.so.so_options |= if int(value)? != 0 { bit } else { 0 };
            return Ok(());
        }
        match name {
            n if n == SO_LINGER as i32 => {
                let onoff = int(value)?;
                let linger = int(&value[4..])?;
                if !(0..=i32::from(u16::MAX)).contains(&linger) {
                    return Err(Errno::EDOM);
                }
                entry.so.so_linger = linger;
                entry.so.so_options &= !SO_LINGER;
                entry.so.so_options |= if onoff != 0 { SO_LINGER } else { 0 };
                Ok(())
            }
            SO_SNDBUF | SO_RCVBUF | SO_SNDLOWAT | SO_RCVLOWAT => {
                set_buffer(entry, name, int(value)?, max)
            }
            SO_SNDTIMEO | SO_RCVTIMEO => {
                let span = timeval(value)?;
                let so = &mut entry.so;
                // A listener keeps it for those that it will accept.
                *match (&mut so.sol, name == SO_SNDTIMEO) {
                    (Some(sol), true) => &mut sol.sol_sbsnd.timeo,
                    (Some(sol), false) => &mut sol.sol_sbrcv.timeo,
                    (None, true) => &mut so.so_snd.sb_timeo,
                    (None, false) => &mut so.so_rcv.sb_timeo,
                } = span;
                Ok(())
            }
            // There is one forwarding table.
            SO_SETFIB if int(value)? == 0 => Ok(()),
            SO_SETFIB => Err(Errno::EINVAL),
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
        match (level, entry.so.so_domain) {
            (IPPROTO_IP, Domain::Inet) => get_ip(entry, name),
            (IPPROTO_IPV6, Domain::Inet6) => get_ip6(entry, name),
            (IPPROTO_ICMPV6, Domain::Inet6) if proto == Proto::Raw(58) => match name {
                ICMP6_FILTER => Ok(entry.inp.icmp6filt.map_or(vec![0xff; 32], |f| f.to_vec())),
                _ => Err(Errno::ENOPROTOOPT),
            },
            (IPPROTO_TCP, _) if proto == Proto::Tcp => self
                .with_conn(so, cx, |conn| conn.get_option(name))
                .unwrap_or(Err(Errno::EBADF)),
            (IPPROTO_UDP, _) if proto == Proto::Udp => Err(Errno::ENOPROTOOPT),
            _ => Err(Errno::EINVAL),
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
        n if option_bit(n, BITS | SO_ACCEPTCONN).is_some() => (so.so_options & n as u32) as i32,
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
        // Connections wait in the SYN cache, not in a queue (sol_incqlen is always 0).
        SO_LISTENINCQLEN => 0,
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

/// Which ICMPv6 types a raw socket receives (`icmp6_ctloutput`; RFC 3542 section 3.2).
fn set_icmp6(entry: &mut Entry, name: i32, value: &[u8]) -> Result<(), Errno> {
    if name != ICMP6_FILTER {
        return Err(Errno::ENOPROTOOPT);
    }
    let filter = value.try_into().map_err(|_| Errno::EMSGSIZE)?;
    entry.inp.icmp6filt = Some(filter);
    Ok(())
}
