// SPDX-License-Identifier: BSD-2-Clause
//! ICMP errors about this host's own segments (RFC 1122 section 4.2.3.9, RFC 5927, RFC 1191;
//! `tcp_ctlinput`, `tcp6_ctlinput`, `tcp_notify`; `tcp_subr.c`, 15-CURRENT of 2025).

use std::net::IpAddr;

use super::super::flags::{TF_FASTOPEN, TF_FASTRECOVERY, TF_SACK_PERMIT};
use super::super::fsm::State;
use super::super::seq::Seq;
use super::super::subr::{IPV6_MMTU, min_protoh};
use super::super::{Conn, Conninfo};
use crate::errno::Errno;
use crate::net::cx::{Cx, IcmpError};
use crate::net::errmap::icmp_errmap;
use crate::net::socket::Inet;

/// What an ICMP error does to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notify {
    /// A smaller path MTU (`tcp_mtudisc`).
    Mtu,
    /// Ends a connection attempt (`tcp_drop_syn_sent`).
    DropSynSent(Errno),
    /// Is remembered (`tcp_notify`).
    Soft(Errno),
}

fn notify(error: IcmpError, v6: bool, may_rst: bool) -> Option<Notify> {
    let errno = icmp_errmap(error, v6)?;
    let hard = match errno {
        Errno::EMSGSIZE => return Some(Notify::Mtu),
        Errno::ECONNREFUSED => true,
        Errno::EHOSTUNREACH if v6 => error.kind == 3 && error.code == 0,
        Errno::EHOSTUNREACH => error.kind == 11,
        _ => false,
    };
    Some(if hard && may_rst {
        Notify::DropSynSent(errno)
    } else {
        Notify::Soft(errno)
    })
}

impl Inet {
    /// Takes in an ICMP error about a segment of this host (`tcp_ctlinput`).
    ///
    /// The segment went from `ends.0` to `ends.1`; of its bytes `quoted` is the beginning, of which
    /// eight are needed. `port` is the UDP encapsulation port it went to, 0 for none.
    pub fn tcp_ctlinput(
        &mut self,
        cx: &mut Cx<'_>,
        error: IcmpError,
        ends: (IpAddr, IpAddr),
        quoted: &[u8],
        port: u16,
    ) {
        let v6 = ends.1.is_ipv6();
        let may_rst = self.tcp.sysctl.icmp_may_rst != 0;
        let Some(notify) = notify(error, v6, may_rst) else {
            return;
        };
        let [s0, s1, d0, d1, q0, q1, q2, q3, ..] = *quoted else {
            return;
        };
        let inc = Conninfo {
            faddr: ends.1,
            laddr: ends.0,
            fport: u16::from_be_bytes([d0, d1]),
            lport: u16::from_be_bytes([s0, s1]),
        };
        let seq = Seq(u32::from_be_bytes([q0, q1, q2, q3]));
        let Some(so) = self.tcp.tcbinfo.lookup_exact(&inc) else {
            self.tcp.syncache_unreach(&inc, seq, port);
            return;
        };
        let mtu = self.next_mtu(error.mtu, v6);
        self.with_conn(so, cx, |conn| {
            let known = seq.geq(conn.tp.snd_una) && seq.lt(conn.tp.snd_max);
            if conn.tp.t_port == port && known {
                conn.icmp_notify(notify, mtu);
            }
        });
    }

    /// Notes the path MTU that an ICMPv6 error tells, whatever the transport
    /// (`icmp6_mtudisc_update`, `icmp6.c`).
    pub(crate) fn tcp_mtudisc_update(&mut self, cx: &mut Cx<'_>, peer: IpAddr, mtu: u32) {
        let mtu = mtu.max(IPV6_MMTU);
        if mtu < cx.ip.mtu_for(peer) {
            let limits = self.tcp.hostcache_limits();
            self.tcp.hostcache.update_mtu(peer, mtu, cx.now, limits);
        }
    }

    /// The path MTU to try, no less than what must always work (`tcp_next_pmtu`,
    /// `tcp6_next_pmtu`).
    fn next_mtu(&self, offered: u32, v6: bool) -> u32 {
        if v6 {
            if offered < IPV6_MMTU {
                IPV6_MMTU - 8
            } else {
                offered
            }
        } else {
            offered.max(self.tcp.sysctl.minmss as u32 + min_protoh(false))
        }
    }
}

impl Conn<'_, '_> {
    fn icmp_notify(&mut self, notify: Notify, mtu: u32) {
        match notify {
            Notify::Mtu => {
                // Only a smaller one: an attacker must not be able to make segments grow.
                if mtu < self.tp.t_maxseg + min_protoh(self.is_v6()) {
                    let limits = self.tcp.hostcache_limits();
                    let peer = self.inp.inc.faddr;
                    self.tcp
                        .hostcache
                        .update_mtu(peer, mtu, self.cx.now, limits);
                    self.mtudisc(mtu);
                }
            }
            Notify::DropSynSent(errno) => {
                if self.tp.t_state == State::SynSent {
                    if self.tp.has(TF_FASTOPEN) {
                        self.fastopen_disable_path();
                    }
                    self.drop_connection(Some(errno));
                }
            }
            Notify::Soft(errno) => self.soft_error(errno),
        }
    }

    /// `tcp_notify`
    fn soft_error(&mut self, errno: Errno) {
        let unreachable = matches!(
            errno,
            Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EHOSTDOWN
        );
        if self.tp.t_state == State::Established && unreachable {
            return;
        }
        let hopeless = self.tp.t_state < State::Established
            && self.tp.t_rxtshift > 3
            && self.tp.t_softerror.is_some();
        if hopeless {
            self.drop_connection(Some(errno));
        } else {
            self.tp.t_softerror = Some(errno);
        }
    }

    /// Sends what was too long again in smaller segments (`tcp_mtudisc`).
    fn mtudisc(&mut self, mtu: u32) {
        self.mss_update(None, Some(mtu));
        let hiwat = self.so.so_snd.sb_hiwat.max(1);
        if hiwat < self.tp.t_maxseg {
            self.set_maxseg(hiwat);
        }
        self.tp.t_rtttime = 0;
        self.tp.snd_nxt = self.tp.snd_una;
        self.free_sackholes();
        self.tp.snd_recover = self.tp.snd_max;
        if self.tp.has(TF_SACK_PERMIT) {
            self.tp.clear(TF_FASTRECOVERY);
        }
        let _ = self.output();
    }
}
