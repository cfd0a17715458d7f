// SPDX-License-Identifier: BSD-2-Clause
//! From an entry of the SYN cache to a connection (`syncache_expand`, `syncache_socket`).

use super::super::flags::{
    TF_FASTOPEN, TF_LRD, TF_NODELAY, TF_NOOPT, TF_NOPUSH, TF_RCVD_SCALE, TF_RCVD_TSTMP,
    TF_REQ_SCALE, TF_REQ_TSTMP, TF_SACK_PERMIT, TF_SIGNATURE,
};
use super::super::fsm::State;
use super::super::seq::tstmp_lt;
use super::super::tcpcb::{Tcpcb, Timer, ticks};
use super::super::wire::Segment;
use super::super::{Conn, Conninfo, Tcp};
use super::cookie::LIFETIME;
use super::{Listener, SCF_NOOPT, SCF_SACK, SCF_SIGNATURE, SCF_TIMESTAMP, SCF_WINSCALE, Sc};
use crate::net::cx::{Cx, SoId, SoWait};
use crate::net::inpcb::{INP_IPV4, INP_IPV6, INP_SOCKREF};
use crate::net::socket::bits::{SO_ACCEPTCONN, SS_ISCONNECTED, SS_NBIO};
use crate::net::socket::{Inet, Pcb, Proto};
use crate::time::Instant;

/// What an acknowledgement for a listener amounts to.
pub(crate) enum Expand {
    /// The third segment of a handshake that was begun so.
    Found(Box<Sc>),
    /// Drop it without a word.
    Silent,
    /// Not ours; perhaps for a connection that exists meanwhile.
    Unknown,
}

impl Tcp {
    /// Finds the embryonic connection that an acknowledgement completes (`syncache_expand`).
    pub(crate) fn syncache_expand(
        &mut self,
        cx: &mut Cx<'_>,
        inc: &Conninfo,
        seg: &Segment,
        listener: &Listener,
    ) -> Expand {
        let cached = if self.cookies_only() {
            None
        } else {
            self.syncache.entries.get(inc).cloned()
        };
        let Some(sc) = cached else {
            return self.syncache_from_cookie(cx, inc, seg, listener);
        };
        if sc.sc_port != seg.port {
            return Expand::Unknown;
        }
        if !self.syncache_acceptable(&sc, seg) {
            return Expand::Silent;
        }
        // RFC 9293 section 3.10.7.4, first check: the number must lie in the window.
        if seg.seq.leq(sc.sc_irs) || seg.seq.gt(sc.sc_irs + u32::from(sc.sc_wnd)) {
            self.syncache_challenge(cx, sc);
            return Expand::Silent;
        }
        // Fifth check: an acknowledgement of something else is reset, and changes nothing here (FreeBSD
        // commit 8af2f06a99b1).
        if seg.ack != sc.sc_iss + 1 {
            return Expand::Unknown;
        }
        self.syncache.remove(inc, self.sysctl.syncache_hashsize);
        Expand::Found(Box::new(sc))
    }

    /// Timestamps must be there where they were agreed on, and not go back (RFC 7323 section 5).
    fn syncache_acceptable(&self, sc: &Sc, seg: &Segment) -> bool {
        if sc.sc_flags & SCF_SIGNATURE != 0 && !self.md5_check(seg) {
            return false;
        }
        if sc.sc_flags & SCF_TIMESTAMP == 0 {
            return true;
        }
        match seg.to.ts {
            Some((val, _)) => !tstmp_lt(val, sc.sc_tsreflect),
            None => self.sysctl.tolerate_missing_ts != 0,
        }
    }

    /// A cookie is honoured only where one can have been sent lately.
    fn syncache_from_cookie(
        &mut self,
        cx: &mut Cx<'_>,
        inc: &Conninfo,
        seg: &Segment,
        listener: &Listener,
    ) -> Expand {
        let expected = self.sysctl.syncookies != 0
            && (self.cookies_only() || self.bucket_overflowed(inc, cx.now));
        let sc = expected.then(|| self.syncookie_lookup(cx, inc, seg, listener));
        let Some(sc) = sc.flatten() else {
            return Expand::Unknown;
        };
        if sc.sc_flags & SCF_SIGNATURE != 0 && !self.md5_check(seg) {
            return Expand::Silent;
        }
        Expand::Found(Box::new(sc))
    }

    /// Whether an entry of this connection's row was dropped lately for want of room; the clock of
    /// `sch_last_overflow` counts whole seconds.
    fn bucket_overflowed(&self, inc: &Conninfo, now: Instant) -> bool {
        let bucket = self.syncache.bucket(inc, self.sysctl.syncache_hashsize);
        let row = self.syncache.buckets.get(&bucket);
        let uptime = |at: Instant| at.as_nanos() / 1_000_000_000;
        row.and_then(|row| row.last_overflow)
            .is_some_and(|at| uptime(now) - uptime(at) <= LIFETIME.as_nanos() / 1_000_000_000)
    }
}

impl Inet {
    /// Builds the socket of a completed handshake and puts it on the accept queue
    /// (`syncache_socket`, `solisten_clone`, `solisten_enqueue`).
    ///
    /// `None` where the queue is full.
    pub(crate) fn syncache_socket(
        &mut self,
        cx: &mut Cx<'_>,
        listener: SoId,
        sc: &Sc,
    ) -> Option<SoId> {
        let entry = self.get(listener)?;
        let sol = entry.so.sol.as_ref()?;
        // solisten_clone: half as much again as was asked for.
        if sol.sol_comp.len() as u64 > u64::from(sol.sol_qlimit) * 3 / 2 {
            self.tcp.stat.listendrop += 1;
            return None;
        }
        let Pcb::Tcp(ltp) = &entry.pcb else {
            return None;
        };
        let (ltp, linp) = ((**ltp).clone(), entry.inp.clone());
        let options = entry.so.so_options & !SO_ACCEPTCONN;
        let (linger, nbio) = (entry.so.so_linger, entry.so.so_state & SS_NBIO);
        let domain = entry.so.so_domain;
        let buffers = (sol.sol_sbrcv.fresh(), sol.sol_sbsnd.fresh());
        let tp = Tcpcb::new(&self.tcp.sysctl, sc.sc_inc.is_v6(), cx.now);
        let so = self.alloc(domain, Proto::Tcp, buffers, Pcb::Tcp(Box::new(tp)));
        let new = self.get_mut(so)?;
        new.so.so_options = options;
        new.so.so_linger = linger;
        new.so.so_state = SS_ISCONNECTED | nbio;
        new.so.so_listen = Some(listener);
        // One reference of the queue, one of the protocol: nobody else holds the socket yet.
        new.so.so_count = 2;
        new.inp.inp_flags = linp.inp_flags | INP_SOCKREF;
        new.inp.inp_vflag = linp.inp_vflag & !(INP_IPV4 | INP_IPV6)
            | if sc.sc_inc.is_v6() {
                INP_IPV6
            } else {
                INP_IPV4
            };
        new.inp.inc = sc.sc_inc;
        // The listener's at the SYN, not what it has been set to since.
        new.inp.inp_ip_ttl = if sc.sc_inc.is_v6() {
            linp.inp_ip_ttl
        } else {
            sc.sc_ip_ttl
        };
        new.inp.inp_ip_tos = sc.sc_ip_tos;
        new.inp.in6p_hops = linp.in6p_hops;
        new.inp.in6p_tclass = linp.in6p_tclass;
        new.inp.inp_flow = sc.sc_flowlabel;
        new.inp.minmtu = sc.minmtu;
        self.with_conn(so, cx, |conn| conn.embryo(sc, &ltp));
        let sol = self.get_mut(listener)?.so.sol.as_mut()?;
        sol.sol_comp.push_back(so);
        cx.wakeup(listener, SoWait::Rcv);
        Some(so)
    }
}

impl Conn<'_, '_> {
    /// Fills a new connection from its SYN cache entry and its listener.
    fn embryo(&mut self, sc: &Sc, listener: &Tcpcb) {
        let now = ticks(self.cx.now);
        let tp = &mut self.tp;
        tp.t_state = State::SynReceived;
        tp.iss = sc.sc_iss;
        tp.irs = sc.sc_irs;
        tp.t_port = sc.sc_port;
        tp.rcvseqinit();
        tp.sendseqinit();
        tp.snd_wl1 = sc.sc_irs;
        tp.snd_max = tp.iss + 1;
        tp.snd_nxt = tp.iss + 1;
        tp.rcv_up = sc.sc_irs + 1;
        tp.rcv_wnd = u32::from(sc.sc_wnd);
        tp.rcv_adv += tp.rcv_wnd;
        tp.last_ack_sent = tp.rcv_nxt;
        tp.t_flags = listener.t_flags & (TF_LRD | TF_NOPUSH | TF_NODELAY);
        if sc.sc_flags & SCF_NOOPT != 0 {
            tp.set(TF_NOOPT);
        } else {
            if sc.sc_flags & SCF_WINSCALE != 0 {
                tp.set(TF_REQ_SCALE | TF_RCVD_SCALE);
                tp.snd_scale = sc.sc_requested_s_scale;
                tp.request_r_scale = sc.sc_requested_r_scale;
            }
            if sc.sc_flags & SCF_TIMESTAMP != 0 {
                tp.set(TF_REQ_TSTMP | TF_RCVD_TSTMP);
                tp.ts_recent = sc.sc_tsreflect;
                tp.ts_recent_age = now;
                tp.ts_offset = sc.sc_tsoff;
            }
            if sc.sc_flags & SCF_SIGNATURE != 0 {
                tp.set(TF_SIGNATURE);
            }
            if sc.sc_flags & SCF_SACK != 0 {
                tp.set(TF_SACK_PERMIT);
            }
        }
        tp.ecn_syncache_socket(sc.sc_flags);
        tp.t_maxunacktime = listener.t_maxunacktime;
        tp.t_keepinit = listener.t_keepinit;
        tp.t_keepidle = listener.t_keepidle;
        tp.t_keepintvl = listener.t_keepintvl;
        tp.t_keepcnt = listener.t_keepcnt;
        tp.t_ccv.algo = listener.t_ccv.algo;
        self.mss(Some(u32::from(sc.sc_peer_mss)));
        if sc.sc_rxmits > 1 {
            self.tp.snd_cwnd = 1;
        }
        let keepinit = self.keepinit();
        self.activate(Timer::Keep, keepinit);
    }

    /// Turns a new connection into one opened by a SYN with a valid cookie
    /// (`syncache_tfo_expand`).
    pub(crate) fn tfo_embryo(&mut self, cookie: u64, listener: SoId) {
        self.tp.set(TF_FASTOPEN);
        self.tp.t_tfo_server_cookie = cookie;
        self.tp.snd_max = self.tp.iss;
        self.tp.snd_nxt = self.tp.iss;
        self.tp.t_tfo_pending = Some(listener);
    }
}
