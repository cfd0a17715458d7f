// SPDX-License-Identifier: BSD-2-Clause
//! A segment for a listener (RFC 9293 section 3.10.7.2).

use super::super::Conninfo;
use super::super::fastopen::Cookie;
use super::super::flags::{TF_FASTOPEN, TF_SIGNATURE};
use super::super::subr::not_unicast;
use super::super::syncache::Expand;
use super::super::syncache::{Listener, Sc};
use super::super::wire::{Segment, TH_ACK, TH_FIN, TH_RST, TH_SYN};
use crate::net::cx::{Cx, SoId};
use crate::net::socket::{Inet, Pcb};

impl Inet {
    fn listener(&self, so: SoId) -> Option<Listener> {
        let entry = self.get(so)?;
        let Pcb::Tcp(tp) = &entry.pcb else {
            return None;
        };
        let hiwat = entry.so.sol.as_ref()?.sol_sbrcv.hiwat;
        Some(Listener::of(tp, &entry.inp, hiwat))
    }

    /// Sorts a listener's segment by its flags.
    pub(super) fn listen_input(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        inc: &Conninfo,
        seg: &mut Segment,
    ) {
        let Some(listener) = self.listener(so) else {
            return;
        };
        match seg.flags & (TH_RST | TH_ACK | TH_SYN) {
            TH_ACK => self.listen_ack(cx, so, inc, seg, &listener),
            flags if flags & TH_RST != 0 => self.tcp.syncache_chkrst(cx, inc, seg),
            flags if flags & TH_SYN == 0 => {}
            // RFC 9293 would have a reset, and so would `tcp_input_with_port` in three revisions of 15-CURRENT up
            // to 2025. That FreeBSD stays silent is what its suite holds, in all four scripts of
            // state-event-engine/rcv-syn-ack-listen.
            flags if flags & TH_ACK != 0 => self.tcp.syncache_badack(inc, seg.port),
            _ => self.listen_syn(cx, so, inc, seg, &listener),
        }
    }

    /// The third segment of a handshake, or a stray one.
    fn listen_ack(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        inc: &Conninfo,
        seg: &mut Segment,
        listener: &Listener,
    ) {
        let sc = match self.tcp.syncache_expand(cx, inc, seg, listener) {
            Expand::Silent => return,
            Expand::Unknown => {
                self.tcp.dropwithreset(cx, seg);
                return;
            }
            Expand::Found(sc) => sc,
        };
        match self.syncache_socket(cx, so, &sc) {
            Some(new) => {
                self.tcp.stat.accepts += 1;
                self.with_conn(new, cx, |conn| conn.do_segment(seg));
            }
            None if self.tcp.sysctl.syncache_rst_on_sock_fail != 0 => {
                self.tcp.dropwithreset(cx, seg);
            }
            None => {}
        }
    }

    /// A new connection is asked for.
    fn listen_syn(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        inc: &Conninfo,
        seg: &mut Segment,
        listener: &Listener,
    ) {
        if seg.has(TH_FIN) && self.tcp.sysctl.drop_synfin != 0 {
            return;
        }
        let to_self = seg.src == seg.dst;
        if to_self
            || not_unicast(seg.src.0)
            || not_unicast(seg.dst.0)
            || cx.ip.is_broadcast(seg.dst.0)
        {
            return;
        }
        // A signed listener wants a good digest, an unsigned one none (RFC 2385 section 2.0).
        let signed = listener.t_flags & TF_SIGNATURE != 0;
        let wanted = self
            .tcp
            .md5_keys
            .by_pair
            .contains_key(&(seg.src.0, seg.dst.0));
        match (signed, seg.to.signature.is_some()) {
            (true, true) if !self.tcp.md5_check(seg) => return,
            (true, false) if wanted => return,
            (false, true) => return,
            _ => {}
        }
        let cookie = self.tfo_admit(so, inc, seg);
        if self.tcp.syncache_dup(cx, inc, seg) {
            if cookie.is_some() {
                self.tcp.tfo_released.push(so);
            }
            return;
        }
        let mut sc = self.tcp.syncache_new(cx, inc, seg, listener);
        match cookie {
            Some(Some(Cookie::Valid(cookie))) => self.tfo_open(cx, so, sc, seg, cookie),
            Some(other) => {
                if let Some(Cookie::Invalid(cookie)) = other {
                    sc.sc_tfo_cookie = Some(cookie);
                }
                self.tcp.tfo_released.push(so);
                self.tcp.syncache_admit(cx, sc);
            }
            None => self.tcp.syncache_admit(cx, sc),
        }
    }

    /// Counts a SYN with a Fast Open option and judges its cookie; `None` where Fast Open has no
    /// part in it, the inner `None` where too many are pending.
    fn tfo_admit(&mut self, so: SoId, inc: &Conninfo, seg: &Segment) -> Option<Option<Cookie>> {
        if self.tcp.sysctl.fastopen_server_enable == 0 {
            return None;
        }
        let cookie = seg.to.fastopen.as_ref()?;
        let entry = self.get_mut(so)?;
        let qlimit = entry.so.sol.as_ref()?.sol_qlimit;
        let Pcb::Tcp(tp) = &mut entry.pcb else {
            return None;
        };
        if !tp.has(TF_FASTOPEN) {
            return None;
        }
        let pending = tp.t_tfo_pending_count.as_mut()?;
        let room = *pending <= qlimit / 2;
        *pending += 1;
        Some(
            room.then(|| self.tcp.fastopen_check_cookie(inc, cookie))
                .flatten(),
        )
    }

    /// The cookie is good: the connection exists at once, and the SYN's text is taken
    /// (`syncache_tfo_expand`).
    fn tfo_open(&mut self, cx: &mut Cx<'_>, so: SoId, sc: Sc, seg: &mut Segment, cookie: u64) {
        let Some(new) = self.syncache_socket(cx, so, &sc) else {
            // Unlike a completed handshake's failure this one is silent: syncache_add has no socket to
            // return and tcp_input takes that for an entry made.
            self.tcp.tfo_released.push(so);
            return;
        };
        self.with_conn(new, cx, |conn| {
            conn.tfo_embryo(cookie, so);
            conn.do_segment(seg);
        });
    }
}
