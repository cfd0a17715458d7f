// SPDX-License-Identifier: BSD-2-Clause
//! A remap applied to sockets, embryonic connections and what TCP keeps beside them.

use super::{RemapError, Remapping, Way};
use crate::collections::List;
use crate::sock::{
    HcMetrics, InConninfo, Inpcb, KnownAs, SbRecord, Sockbuf, Socket, Syncache, TF_SIGNATURE,
    TcpMd5Key, TcpVnet, TfoCookie,
};

/// `SCF_SIGNATURE` (`tcp_syncache.h`): the SYN was signed with MD5.
const SCF_SIGNATURE: u16 = 0x20;

impl Remapping<'_> {
    pub(super) fn tcp_vnet(&self, record: &mut TcpVnet) -> Result<(), RemapError> {
        let TcpVnet {
            vnet: _,
            isn_secret: _,
            isn_offset: _,
            ts_offset_secret: _,
            syncookie_keys: _,
            syncookie_oddeven: _,
            syncookie_reseed: _,
            syncache_pause: _,
            syncache_pause_backoff: _,
            fastopen_keys: _,
            fastopen_psks: _,
            fastopen_ccache,
            hostcache,
            isn_offset_old: _,
            isn_last: _,
            isn_last_reseed: _,
            syncache_hash_secret: _,
            syncache_overflows: _,
            md5_keys,
            fastopen_autokey: _,
            rng: _,
            syncookie_overdue: _,
            syncache_pause_over: _,
            known_as,
        } = record;
        for TfoCookie {
            client,
            server,
            server_port: _,
            server_mss: _,
            cookie: _,
            disabled: _,
        } in fastopen_ccache.iter_mut()
        {
            self.own(client);
            self.own(server);
        }
        for HcMetrics {
            addr,
            zoneid: _,
            hc_mtu: _,
            hc_ssthresh: _,
            hc_rtt: _,
            hc_rttvar: _,
            hc_cwnd: _,
            hc_sendpipe: _,
            hc_recvpipe: _,
            hc_expire: _,
        } in hostcache.iter_mut()
        {
            self.own(addr);
        }
        for TcpMd5Key { src, dst, key: _ } in md5_keys.iter_mut().flat_map(List::iter_mut) {
            self.own(src);
            self.own(dst);
        }
        self.known_as(known_as)
    }

    /// Peers know an address by what it was at first, however often it has changed.
    fn known_as(&self, list: &mut Option<List<KnownAs>>) -> Result<(), RemapError> {
        let mut all = List::new();
        for known in list.iter().flatten() {
            let addr = self.remap.translate(Way::In, known.addr);
            if addr != known.known_as {
                all.push(KnownAs { addr, ..*known })?;
            }
        }
        for mapping in self.remap.mappings() {
            let mut before = list.iter().flatten();
            if mapping.from != mapping.to && !before.any(|known| known.addr == mapping.from) {
                let (addr, known_as) = (mapping.to, mapping.from);
                all.push(KnownAs { addr, known_as })?;
            }
        }
        *list = (!all.is_empty()).then_some(all);
        Ok(())
    }

    /// Whether an end changes, or may where it is any address.
    fn changes(&self, inc: &InConninfo) -> bool {
        let any = inc.laddr.is_any() && !self.remap.is_empty();
        any || self.remap.of(inc.laddr).is_some() || self.remap.of(inc.faddr).is_some()
    }

    fn conninfo(&self, inc: &mut InConninfo) -> Result<(), RemapError> {
        let InConninfo {
            inc_fibnum: _,
            laddr,
            lport: _,
            faddr,
            fport: _,
            zoneid: _,
            inc_flags: _,
        } = inc;
        self.own(laddr);
        self.peer(faddr)
    }

    pub(super) fn syncache(&self, id: u32, record: &mut Syncache) -> Result<(), RemapError> {
        let Syncache {
            vnet: _,
            sc_inc,
            sc_rxttime: _,
            sc_rxmits: _,
            sc_port: _,
            sc_tsreflect: _,
            ts_val: _,
            sc_flowlabel: _,
            sc_irs: _,
            sc_iss: _,
            sc_ipopts,
            sc_peer_mss: _,
            sc_wnd: _,
            sc_ip_ttl: _,
            sc_ip_tos: _,
            sc_requested_s_scale: _,
            sc_requested_r_scale: _,
            sc_flags,
            sc_challenge_ack_cnt: _,
            sc_challenge_ack_end: _,
            sc_cred: _,
            sc_tfo_cookie: _,
        } = record;
        if *sc_flags & SCF_SIGNATURE != 0 && self.changes(sc_inc) {
            return Err(RemapError::Signed(id));
        }
        if let Some(options) = sc_ipopts {
            self.remap.ip_options(options.0.as_mut_slice());
        }
        self.conninfo(sc_inc)
    }

    pub(super) fn socket(&self, id: u32, record: &mut Socket) -> Result<(), RemapError> {
        let Socket {
            so_rcv,
            so_snd,
            inpcb,
            tcpcb,
            // Without an address.
            so_vnet: _,
            domain: _,
            so_type: _,
            protocol: _,
            so_options: _,
            so_state: _,
            so_linger: _,
            so_error: _,
            so_rerror: _,
            so_cred: _,
            so_sigio: _,
            so_fibnum: _,
            so_user_cookie: _,
            so_ts_clock: _,
            so_max_pacing_rate: _,
            so_oobmark: _,
            so_listen: _,
            so_qstate: _,
            listen: _,
            so_fdref: _,
        } = record;
        // A tcpcb names no address, but a signature covers those of its segments.
        let signed = |flags: u32| flags & TF_SIGNATURE != 0;
        if tcpcb.as_ref().is_some_and(|tp| signed(tp.t_flags))
            && inpcb.as_ref().is_some_and(|inp| self.changes(&inp.inp_inc))
        {
            return Err(RemapError::Signed(id));
        }
        for buffer in [so_rcv, so_snd].into_iter().flatten() {
            self.sockbuf(buffer);
        }
        match inpcb {
            Some(inp) => self.inpcb(inp),
            None => Ok(()),
        }
    }

    fn sockbuf(&self, record: &mut Sockbuf) {
        let Sockbuf {
            sb_state: _,
            sb_flags: _,
            sb_ccc: _,
            sb_hiwat: _,
            sb_lowat: _,
            sb_mbmax: _,
            sb_timeo: _,
            records,
        } = record;
        for SbRecord {
            len: _,
            from,
            control,
        } in records.iter_mut()
        {
            if let Some(from) = from {
                self.remap.sockaddr(from.0.as_mut_slice());
            }
            if let Some(control) = control {
                self.remap.control(control.0.as_mut_slice(), self.abi);
            }
        }
    }

    fn inpcb(&self, record: &mut Inpcb) -> Result<(), RemapError> {
        let Inpcb {
            inp_inc,
            inp_flags: _,
            inp_flags2: _,
            inp_vflag: _,
            inp_ip_p: _,
            inp_ip_ttl: _,
            inp_ip_minttl: _,
            inp_ip_tos: _,
            inp_flow: _,
            inp_options,
            in6p_hops: _,
            in6p_cksum: _,
            in6p_outputopts,
            in6p_icmp6filt: _,
            in6p_tclass: _,
        } = record;
        if let Some(options) = inp_options {
            self.remap.ip_options(options.0.as_mut_slice());
        }
        if let Some(options) = in6p_outputopts {
            self.remap.control(options.0.as_mut_slice(), self.abi);
        }
        self.conninfo(inp_inc)
    }
}
