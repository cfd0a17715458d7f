// SPDX-License-Identifier: BSD-2-Clause
//! Options of level `IPPROTO_TCP` (`tcp_default_ctloutput`, 15-CURRENT of early 2024; `tcp(4)`).

use super::Conn;
use super::cc::{Algorithm, CcVar};
use super::fastopen::PSK_LEN;
use super::flags::{TF_FASTOPEN, TF_NODELAY, TF_NOOPT, TF_NOPUSH, TF_SIGNATURE};
use super::fsm::State;
use super::info::TcpInfo;
use super::tcpcb::Timer;
use crate::errno::Errno;

const TCP_NODELAY: i32 = 1;
const TCP_MAXSEG: i32 = 2;
const TCP_NOPUSH: i32 = 4;
const TCP_NOOPT: i32 = 8;
const TCP_MD5SIG: i32 = 16;
const TCP_INFO: i32 = 32;
const TCP_CONGESTION: i32 = 64;
const TCP_MAXUNACKTIME: i32 = 68;
const TCP_REMOTE_UDP_ENCAPS_PORT: i32 = 71;
const TCP_KEEPINIT: i32 = 128;
const TCP_KEEPIDLE: i32 = 256;
const TCP_KEEPINTVL: i32 = 512;
const TCP_KEEPCNT: i32 = 1024;
const TCP_FASTOPEN: i32 = 1025;
const TCP_STATS: i32 = 33;
const TCP_CCALGOOPT: i32 = 65;
const TCP_TXTLS_MODE: i32 = 40;
const TCP_RXTLS_MODE: i32 = 42;
const TCP_FUNCTION_ALIAS: i32 = 8193;
const TCP_FUNCTION_BLK: i32 = 8192;

/// The segment size that fits the minimum MTU of IPv6 (`netinet/tcp.h`).
const TCP6_MSS: u32 = 1220;
/// Bytes of a stack's name in `struct tcp_function_set`, which a count follows.
const TCP_FUNCTION_NAME_LEN_MAX: usize = 32;
/// The one stack that there is.
const FUNCTION_SET: &[u8] = b"freebsd";

use crate::net::socket::int;

/// Chooses the stack of a connection: `ENOENT` for any but the default one (`tcp_ctloutput_set`).
fn set_function(value: &[u8]) -> Result<(), Errno> {
    let name = value
        .get(..TCP_FUNCTION_NAME_LEN_MAX)
        .ok_or(Errno::EINVAL)?;
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    known_function_set(&name[..end])
}

/// Whether there is a stack of this name (`find_tcp_functions_locked`): `ENOENT` where not.
pub(super) fn known_function_set(name: &[u8]) -> Result<(), Errno> {
    if name == FUNCTION_SET {
        Ok(())
    } else {
        Err(Errno::ENOENT)
    }
}

impl Conn<'_, '_> {
    pub(crate) fn set_option(&mut self, name: i32, value: &[u8]) -> Result<(), Errno> {
        match name {
            TCP_NODELAY => self.set_flag(TF_NODELAY, int(value)? != 0),
            TCP_NOOPT => self.set_flag(TF_NOOPT, int(value)? != 0),
            TCP_MD5SIG => self.set_flag(TF_SIGNATURE, int(value)? != 0),
            TCP_NOPUSH => return self.set_nopush(int(value)? != 0),
            TCP_MAXSEG => {
                let maxseg = int(value)?;
                let minmss = self.tcp.sysctl.minmss;
                let fits = maxseg > 0 && maxseg as u32 <= self.tp.t_maxseg;
                if !fits || i64::from(maxseg) + 40 < minmss {
                    return Err(Errno::EINVAL);
                }
                self.tp.t_maxseg = maxseg as u32;
            }
            TCP_REMOTE_UDP_ENCAPS_PORT => return self.set_encaps_port(int(value)?),
            TCP_CONGESTION => return self.set_congestion(value),
            TCP_KEEPIDLE | TCP_KEEPINTVL | TCP_KEEPINIT | TCP_MAXUNACKTIME => {
                let ticks = (int(value)? as u32)
                    .checked_mul(1000)
                    .ok_or(Errno::EINVAL)?;
                self.set_keep(name, ticks);
            }
            TCP_KEEPCNT => {
                self.tp.t_keepcnt = int(value)? as u32;
                self.rearm_finwait2();
            }
            TCP_FASTOPEN => return self.set_fastopen(value),
            TCP_FUNCTION_BLK => return set_function(value),
            TCP_INFO => return Err(Errno::EINVAL),
            // No statistics in GENERIC (options STATS), and no algorithm here takes options.
            TCP_STATS => return Err(Errno::EOPNOTSUPP),
            TCP_CCALGOOPT => return Err(Errno::ENOENT),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// `IPV6_USE_MIN_MTU` was set: the SYN offers what fits the minimum MTU from now on, whatever the
    /// value, and a connection that has begun sends no more where it is to be always
    /// (`tcp6_use_min_mtu`).
    pub(crate) fn use_min_mtu(&mut self) {
        self.inp.minmtu = true;
        let begun = self.tp.t_state >= State::SynSent && self.inp.inc.is_v6();
        if begun && self.inp.ip6po_minmtu == 1 && self.tp.t_maxseg > TCP6_MSS {
            self.set_maxseg(TCP6_MSS);
        }
    }

    fn set_flag(&mut self, flag: u32, on: bool) {
        if on {
            self.tp.set(flag);
        } else {
            self.tp.clear(flag);
        }
    }

    fn set_nopush(&mut self, on: bool) -> Result<(), Errno> {
        let pushed = !on && self.tp.has(TF_NOPUSH);
        self.set_flag(TF_NOPUSH, on);
        if pushed && self.tp.t_state.have_established() {
            return self.output();
        }
        Ok(())
    }

    fn set_encaps_port(&mut self, port: i32) -> Result<(), Errno> {
        let port = u16::try_from(port).map_err(|_| Errno::EINVAL)?;
        let off = self.tcp.sysctl.udp_tunneling_port == 0;
        if (off && port != 0) || self.tp.t_state != State::Closed {
            return Err(Errno::EINVAL);
        }
        self.tp.t_port = port;
        Ok(())
    }

    fn set_congestion(&mut self, value: &[u8]) -> Result<(), Errno> {
        if value.is_empty() {
            return Err(Errno::EINVAL);
        }
        let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
        let name = std::str::from_utf8(&value[..end]).map_err(|_| Errno::ESRCH)?;
        // The new algorithm starts afresh, the same one too (tcp_set_cc_mod).
        self.tp.t_ccv = CcVar::of(Algorithm::from_name(name).ok_or(Errno::ESRCH)?);
        if self.tp.t_state.have_established() {
            self.cc_algo_conn_init();
        }
        Ok(())
    }

    fn set_keep(&mut self, name: i32, ticks: u32) {
        match name {
            TCP_MAXUNACKTIME => self.tp.t_maxunacktime = ticks,
            TCP_KEEPIDLE => {
                self.tp.t_keepidle = ticks;
                if self.tp.t_state > State::Listen && self.tp.t_state <= State::Closing {
                    let keepidle = self.keepidle();
                    self.activate(Timer::Keep, keepidle);
                }
            }
            TCP_KEEPINTVL => {
                self.tp.t_keepintvl = ticks;
                self.rearm_finwait2();
            }
            _ => {
                self.tp.t_keepinit = ticks;
                if matches!(self.tp.t_state, State::SynReceived | State::SynSent) {
                    let keepinit = self.keepinit();
                    self.activate(Timer::Keep, keepinit);
                }
            }
        }
    }

    fn rearm_finwait2(&mut self) {
        let maxidle = self.maxidle();
        if self.tp.t_state == State::FinWait2 && maxidle > 0 {
            self.activate(Timer::Msl2, maxidle);
        }
    }

    fn set_fastopen(&mut self, value: &[u8]) -> Result<(), Errno> {
        let client = self.tcp.sysctl.fastopen_client_enable != 0;
        let server = self.tcp.sysctl.fastopen_server_enable != 0;
        if !client && !server {
            return Err(Errno::EPERM);
        }
        let enable = int(value)? != 0;
        if !matches!(self.tp.t_state, State::Closed | State::Listen) {
            return Err(Errno::EINVAL);
        }
        if !enable {
            self.tp.clear(TF_FASTOPEN);
            return Ok(());
        }
        if self.tp.t_state == State::Listen {
            if !server {
                return Err(Errno::EPERM);
            }
            self.tp.t_tfo_pending_count.get_or_insert(0);
        } else if value.len() == 4 + PSK_LEN {
            self.tp.t_tfo_client_cookie = value[4..].to_vec();
        }
        self.tp.set(TF_FASTOPEN);
        Ok(())
    }

    pub(crate) fn get_option(&mut self, name: i32) -> Result<Vec<u8>, Errno> {
        let value = match name {
            TCP_NODELAY => self.tp.t_flags & TF_NODELAY,
            TCP_MAXSEG => self.tp.t_maxseg,
            TCP_REMOTE_UDP_ENCAPS_PORT => u32::from(self.tp.t_port),
            TCP_NOOPT => self.tp.t_flags & TF_NOOPT,
            TCP_NOPUSH => self.tp.t_flags & TF_NOPUSH,
            TCP_MD5SIG => u32::from(self.tp.has(TF_SIGNATURE)),
            TCP_FASTOPEN => self.tp.t_flags & TF_FASTOPEN,
            TCP_KEEPINIT => self.keepinit() / 1000,
            TCP_KEEPIDLE => self.keepidle() / 1000,
            TCP_KEEPINTVL => self.keepintvl() / 1000,
            TCP_KEEPCNT => self.keepcnt(),
            TCP_MAXUNACKTIME => self.maxunacktime() / 1000,
            TCP_INFO => return Ok(TcpInfo::of(self.tp, self.cx.now).to_bytes()),
            TCP_CONGESTION => {
                let mut name = self.tp.t_ccv.algo.name().as_bytes().to_vec();
                name.push(0);
                return Ok(name);
            }
            // No connection is encrypted by the kernel (TCP_TLS_MODE_NONE).
            TCP_TXTLS_MODE | TCP_RXTLS_MODE => 0,
            TCP_STATS => return Err(Errno::EOPNOTSUPP),
            TCP_CCALGOOPT => return Err(Errno::ENOENT),
            // The one stack has one name.
            TCP_FUNCTION_ALIAS => return Ok(vec![0; TCP_FUNCTION_NAME_LEN_MAX + 4]),
            TCP_FUNCTION_BLK => {
                let mut set = FUNCTION_SET.to_vec();
                set.resize(TCP_FUNCTION_NAME_LEN_MAX + 4, 0);
                return Ok(set);
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(value.to_le_bytes().to_vec())
    }
}
