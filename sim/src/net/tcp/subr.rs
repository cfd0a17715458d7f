// SPDX-License-Identifier: BSD-2-Clause
//! What all parts of a connection share: its end, its timers, its segment size
//! (`sys/netinet/tcp_subr.c`, 15-CURRENT of 2025).

use std::net::IpAddr;

use super::Conn;
use super::flags::{
    TF_NOOPT, TF_RCVD_TSTMP, TF_REQ_SCALE, TF_REQ_TSTMP, TF_SACK_PERMIT, TF_SIGNATURE,
    TF2_PROC_SACK_PROHIBIT,
};
use super::fsm::State;
use super::options::MAXOLEN;
use super::reass::Segq;
use super::tcpcb::{DELTA_SHIFT, MAXWIN, RTT_SHIFT, Tcpcb, Ticks, Timer, ticks};
use super::wire::TCPHDR;
use crate::errno::Errno;
use crate::net::inpcb::{INP_DROPPED, INP_SOCKREF, InConninfo};
use crate::time::Duration;

/// Bytes of an IPv4 header without options.
pub(crate) const IPHDR: u32 = 20;
/// Bytes of an IPv6 header without extensions.
pub(crate) const IP6HDR: u32 = 40;
/// The minimum MTU of IPv6 (RFC 8200 section 5).
pub(crate) const IPV6_MMTU: u32 = 1280;

/// IP and TCP header of a family, without options.
pub(crate) fn min_protoh(v6: bool) -> u32 {
    (if v6 { IP6HDR } else { IPHDR }) + TCPHDR as u32
}

impl Conn<'_, '_> {
    /// `ticks`, also `tcp_ts_getticks`: both count milliseconds.
    pub(crate) fn ticks(&self) -> Ticks {
        ticks(self.cx.now)
    }

    /// Starts a timer (`tcp_timer_activate`), or stops it where `delta` is 0.
    pub(crate) fn activate(&mut self, timer: Timer, delta: u32) {
        self.tp.t_timers[timer as usize] =
            (delta > 0).then(|| self.cx.now.after(Duration::from_millis(u64::from(delta))));
    }

    /// Whether the connection runs over IPv6.
    pub(crate) fn is_v6(&self) -> bool {
        self.inp.inc.is_v6()
    }

    /// `tcp_state_change`.
    pub(crate) fn state_change(&mut self, state: State) {
        self.tp.t_state = state;
    }

    /// Ends the connection with an error, and with a reset where the peer knows of it (`tcp_drop`).
    pub(crate) fn drop_connection(&mut self, errno: Option<Errno>) {
        if self.tp.t_state.have_rcvd_syn() {
            self.state_change(State::Closed);
            let _ = self.output();
            self.tcp.stat.drops += 1;
        } else {
            self.tcp.stat.conndrops += 1;
        }
        self.so.so_error = match (errno, self.tp.t_softerror) {
            (Some(Errno::ETIMEDOUT), Some(soft)) => Some(soft),
            (errno, _) => errno,
        };
        self.close();
    }

    /// Ends the connection on this side without a word (`tcp_close`).
    ///
    /// True where the block survives, since a descriptor still refers to the socket.
    pub(crate) fn close(&mut self) -> bool {
        if let Some(listener) = self.tp.t_tfo_pending.take() {
            self.tcp.tfo_released.push(listener);
        }
        self.tp.t_tfo_pending_count = None;
        self.tp.t_timers = [None; 5];
        // tcp_discardcb, 15-CURRENT of 2025: what was queued goes at once, however long the program keeps the socket.
        self.tp.t_segq = Segq::default();
        self.tp.snd_holes.clear();
        self.tp.sackhint.nexthole = None;
        self.tp.rcv_numsacks = 0;
        self.inp.inp_flags |= INP_DROPPED;
        self.tcp.stat.closed += 1;
        self.state_change(State::Closed);
        self.so.soisdisconnected(self.cx);
        if self.inp.inp_flags & INP_SOCKREF != 0 {
            self.inp.inp_flags &= !INP_SOCKREF;
            self.so.so_count = self.so.so_count.saturating_sub(1);
            return false;
        }
        true
    }

    /// Keep-alive settings: the connection's own or the vnet's (`TP_KEEPINIT` and the like).
    pub(crate) fn keepinit(&self) -> u32 {
        own_or(self.tp.t_keepinit, self.tcp.sysctl.keepinit)
    }

    /// `TP_KEEPIDLE`
    pub(crate) fn keepidle(&self) -> u32 {
        own_or(self.tp.t_keepidle, self.tcp.sysctl.keepidle)
    }

    /// `TP_KEEPINTVL`
    pub(crate) fn keepintvl(&self) -> u32 {
        own_or(self.tp.t_keepintvl, self.tcp.sysctl.keepintvl)
    }

    /// `TP_KEEPCNT`
    pub(crate) fn keepcnt(&self) -> u32 {
        own_or(self.tp.t_keepcnt, self.tcp.sysctl.keepcnt)
    }

    /// `TP_MAXIDLE`
    pub(crate) fn maxidle(&self) -> u32 {
        self.keepcnt().wrapping_mul(self.keepintvl())
    }

    /// `TP_MAXUNACKTIME`; 0 for no limit.
    pub(crate) fn maxunacktime(&self) -> u32 {
        own_or(self.tp.t_maxunacktime, self.tcp.sysctl.maxunacktime)
    }

    /// `TP_RXTCUR`: the retransmission timeout, no later than the limit on time without progress.
    pub(crate) fn rxtcur(&self) -> u32 {
        let rxtcur = self.tp.t_rxtcur;
        let maxunack = self.maxunacktime();
        if maxunack == 0 || self.tp.t_acktime == 0 {
            return rxtcur.max(1) as u32;
        }
        let left = self
            .tp
            .t_acktime
            .wrapping_add(maxunack)
            .wrapping_sub(self.ticks()) as i32;
        rxtcur.min(left).max(1) as u32
    }

    /// `TCP_REXMTVAL`: smoothed round-trip time plus four deviations.
    pub(crate) fn rexmtval(&self) -> i32 {
        let smoothed = self.tp.t_srtt >> (RTT_SHIFT - DELTA_SHIFT);
        (smoothed.saturating_add(self.tp.t_rttvar) >> DELTA_SHIFT).max(self.tp.t_rttmin)
    }

    /// `TCPT_RANGESET`: `value` plus the slop, within `min` and `max`.
    pub(crate) fn rangeset(&self, value: i64, min: i64, max: i64) -> i32 {
        (value + self.tcp.sysctl.rexmit_slop).max(min).min(max) as i32
    }

    /// Space in the receive buffer, not negative.
    pub(crate) fn rcv_space(&self) -> u32 {
        self.so.so_rcv.space().max(0) as u32
    }

    /// The largest window that the scale can express.
    pub(crate) fn maxwin(&self) -> u32 {
        MAXWIN << self.tp.rcv_scale
    }
}

fn own_or(own: u32, vnet: i64) -> u32 {
    if own != 0 { own } else { vnet as u32 }
}

/// Rounds an option length up to a multiple of four (`PADTCPOLEN`).
fn pad(len: u32) -> u32 {
    len.div_ceil(4) * 4
}

/// The effective maximum segment size: what is left of `t_maxseg` beside the options (`tcp_maxseg`;
/// without the SACK option, `tcp_fixed_maxseg`).
pub(crate) fn maxseg(tp: &Tcpcb, fixed: bool) -> u32 {
    if tp.has(TF_NOOPT) {
        return tp.t_maxseg;
    }
    let signature = if tp.has(TF_SIGNATURE) { pad(18) } else { 0 };
    let optlen = if tp.t_state.have_established() {
        let mut len = if tp.has(TF_RCVD_TSTMP) { 12 } else { 0 } + signature;
        if !fixed && tp.has(TF_SACK_PERMIT) && tp.rcv_numsacks > 0 {
            len = pad(len + 2 + 8 * tp.rcv_numsacks as u32);
        }
        len
    } else {
        (if tp.has(TF_REQ_TSTMP) { 12 } else { 4 })
            + if tp.has(TF_REQ_SCALE) { 4 } else { 0 }
            + signature
            + if tp.has(TF_SACK_PERMIT) { 4 } else { 0 }
    };
    tp.t_maxseg
        .saturating_sub(optlen.min(MAXOLEN as u32))
        .max(1)
}

impl Conn<'_, '_> {
    /// `tcp_maxseg`
    pub(crate) fn maxseg(&self) -> u32 {
        maxseg(self.tp, false)
    }

    /// The MTU towards the peer, 0 without a route (`tcp_maxmtu`, `tcp_maxmtu6`).
    fn maxmtu(&self) -> u32 {
        if self.is_v6() && self.inp.minmtu {
            return IPV6_MMTU;
        }
        self.cx.ip.mtu_for(self.inp.inc.faddr)
    }

    /// Sets `t_maxseg` from the peer's offer, the route and the host cache (`tcp_mss_update`).
    ///
    /// `offer`: `Some` is the MSS of a SYN, 0 where it had none; `mtu` that of an ICMP error.
    pub(crate) fn mss_update(&mut self, offer: Option<u32>, mtu: Option<u32>) {
        let v6 = self.is_v6();
        let mut protoh = min_protoh(v6);
        if self.tp.t_port != 0 {
            protoh += self.tcp.sysctl.udp_tunneling_overhead as u32;
        }
        let offer = mtu.map_or(offer, |mtu| Some(mtu.saturating_sub(protoh)));
        let dflt = self.tcp.mssdflt(v6);
        self.tp.t_maxseg = dflt;
        let maxmtu = self.maxmtu();
        if maxmtu == 0 {
            return;
        }
        let minmss = self.tcp.sysctl.minmss as u32;
        // An unsigned maximum: "no SYN yet" (-1) is larger than anything.
        let offer = match offer {
            Some(0) => dflt,
            Some(offer) => offer.max(minmss),
            None => u32::MAX,
        };
        let limits = self.tcp.hostcache_limits();
        let peer = self.inp.inc.faddr;
        let cached = self.tcp.hostcache.mtu(peer, self.cx.now, limits);
        let mss = if cached != 0 {
            cached.min(maxmtu).saturating_sub(protoh)
        } else {
            let mss = maxmtu.saturating_sub(protoh);
            let near = self.cx.ip.is_on_link(peer);
            if self.tcp.sysctl.path_mtu_discovery == 0 && !near {
                mss.min(dflt)
            } else {
                mss
            }
        };
        self.set_maxseg(mss.min(offer).max(64));
    }

    /// Sets the segment size; where it is below `net.inet.tcp.mssdflt` (of IPv4, whatever the
    /// family), SACK is not looked at any more.
    pub(crate) fn set_maxseg(&mut self, maxseg: u32) {
        self.tp.t_maxseg = maxseg;
        if i64::from(maxseg) < self.tcp.sysctl.mssdflt {
            self.tp.t_flags2 |= TF2_PROC_SACK_PROHIBIT;
        } else {
            self.tp.t_flags2 &= !TF2_PROC_SACK_PROHIBIT;
        }
    }

    /// Settles segment size and buffer sizes when the peer's SYN is known (`tcp_mss`).
    pub(crate) fn mss(&mut self, offer: Option<u32>) {
        self.mss_update(offer, None);
        let sb_max = u32::try_from(self.tcp.sysctl.maxsockbuf).unwrap_or(u32::MAX);
        let mss = self.tp.t_maxseg;
        let hiwat = self.so.so_snd.sb_hiwat;
        if hiwat < mss {
            self.set_maxseg(hiwat.max(64));
        } else {
            let size = (hiwat.div_ceil(mss) * mss).min(sb_max);
            if size > hiwat {
                self.tcp.reserve(&mut self.so.so_snd, size);
            }
        }
        let mss = mss.min(hiwat);
        let hiwat = self.so.so_rcv.sb_hiwat;
        if hiwat > mss && mss > 0 {
            let size = (hiwat.div_ceil(mss) * mss).min(sb_max);
            if size > hiwat {
                self.tcp.reserve(&mut self.so.so_rcv, size);
            }
        }
    }

    /// The MSS to offer in a SYN (`tcp_mssopt`).
    pub(crate) fn mssopt(&mut self) -> u32 {
        self.tcp.mssopt(self.cx, &self.inp.inc, self.inp.minmtu)
    }
}

impl super::Tcp {
    /// The segment size where nothing better is known.
    pub(crate) fn mssdflt(&self, v6: bool) -> u32 {
        (if v6 {
            self.sysctl.v6mssdflt
        } else {
            self.sysctl.mssdflt
        }) as u32
    }

    /// `tcp_mssopt`
    pub(crate) fn mssopt(
        &mut self,
        cx: &crate::net::cx::Cx<'_>,
        inc: &InConninfo,
        minmtu: bool,
    ) -> u32 {
        let v6 = inc.is_v6();
        let max = if v6 && minmtu {
            IPV6_MMTU
        } else {
            cx.ip.mtu_for(inc.faddr)
        };
        let limits = self.hostcache_limits();
        let cached = self.hostcache.mtu(inc.faddr, cx.now, limits);
        match (max, cached) {
            (0, 0) => self.mssdflt(v6),
            (0, mtu) | (mtu, 0) => mtu.saturating_sub(min_protoh(v6)),
            (a, b) => a.min(b).saturating_sub(min_protoh(v6)),
        }
    }

    /// Sets a buffer's limit, no more than the system allows (`sbreserve_locked`).
    ///
    /// False, and nothing done, where that is too much.
    pub(crate) fn reserve(&self, sb: &mut crate::net::sockbuf::Sockbuf, size: u32) -> bool {
        if size > self.sysctl.sb_max_adj() {
            return false;
        }
        sb.sb_hiwat = size;
        sb.sb_lowat = sb.sb_lowat.min(size);
        true
    }
}

/// True where TCP may not talk to this address: multicast or limited broadcast.
pub(crate) fn not_unicast(addr: IpAddr) -> bool {
    addr.is_multicast() || addr == IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}
