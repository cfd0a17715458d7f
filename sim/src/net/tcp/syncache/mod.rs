// SPDX-License-Identifier: BSD-2-Clause
//! The SYN cache: connections that a peer asked for and did not yet confirm (`tcp_syncache.c`, 15-CURRENT).
//!
//! A SYN costs a small entry, not a socket; when the cache is over its limits, the answer's sequence
//! number carries all that matters ([`cookie`]).
//!
//! - I1: at most `bucketlimit` entries per bucket and `cachelimit` in all; an overflow drops the oldest
//!   of the bucket, and pauses the cache ([`pause`]).
//! - I2: an entry's timer is `sc_rxttime`; `timerq` holds exactly the entries.

pub(crate) mod cookie;
mod expand;
mod pause;

pub(crate) use expand::Expand;
pub(crate) use pause::Pause;

use std::collections::{BTreeMap, BTreeSet};

use super::ecn::{self, ECN_MASK, SCF_ECN};
use super::flags::{TF_NOOPT, TF_SIGNATURE};
use super::options::TcpOpt;
use super::respond::Outgoing;
use super::seq::Seq;
use super::siphash::{fold, octets, siphash24};
use super::tcpcb::{MAXWIN, ticks};
use super::timer::BACKOFF;
use super::wire::{Header, Segment, TH_ACK, TH_CWR, TH_ECE, TH_SYN};
use super::{Conninfo, KnownAs, Tcp, Tcpcb};
use crate::errno::Errno;
use crate::net::cx::Cx;
use crate::net::inpcb::Inpcb;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
pub(crate) use cookie::Cookies;

/// `SCF_*`
pub(crate) const SCF_NOOPT: u16 = 0x01;
pub(crate) const SCF_WINSCALE: u16 = 0x02;
pub(crate) const SCF_TIMESTAMP: u16 = 0x04;
pub(crate) const SCF_UNREACH: u16 = 0x10;
pub(crate) const SCF_SIGNATURE: u16 = 0x20;
pub(crate) const SCF_SACK: u16 = 0x80;

/// An embryonic connection (`struct syncache`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sc {
    pub(crate) sc_inc: Conninfo,
    /// When the SYN-ACK is sent again; `None` where no timer runs.
    pub(crate) sc_rxttime: Option<Instant>,
    /// How often it was sent.
    pub(crate) sc_rxmits: u32,
    pub(crate) sc_port: u16,
    pub(crate) sc_tsreflect: u32,
    pub(crate) sc_tsoff: u32,
    pub(crate) sc_flowlabel: u32,
    pub(crate) sc_irs: Seq,
    pub(crate) sc_iss: Seq,
    pub(crate) sc_peer_mss: u16,
    pub(crate) sc_wnd: u16,
    pub(crate) sc_ip_ttl: u8,
    pub(crate) sc_ip_tos: u8,
    pub(crate) sc_requested_s_scale: u8,
    pub(crate) sc_requested_r_scale: u8,
    pub(crate) sc_flags: u16,
    /// Fast Open cookie for the first SYN-ACK.
    pub(crate) sc_tfo_cookie: Option<u64>,
    /// End of the span in which challenge acknowledgements are counted, and their number.
    pub(crate) sc_challenge_ack: super::respond::ChallengeAck,
    /// `INC_IPV6MINMTU`
    pub(crate) minmtu: bool,
    /// Order of arrival, newest largest.
    pub(crate) age: u64,
}

/// The cache of a vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Syncache {
    pub(crate) entries: BTreeMap<Conninfo, Sc>,
    /// Addresses per bucket, oldest first.
    pub(crate) buckets: BTreeMap<u32, Bucket>,
    pub(crate) timerq: BTreeSet<(Instant, Conninfo)>,
    pub(crate) hash_secret: [u64; 2],
    /// Of the whole vnet: what its hashes take addresses for.
    pub(crate) known_as: KnownAs,
    pub(crate) cookies: Cookies,
    pub(crate) pause: Pause,
    pub(crate) next_age: u64,
}

/// A row of the hash table (`struct syncache_head`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) list: Vec<Conninfo>,
    /// When an entry was last dropped for want of room.
    pub(crate) last_overflow: Option<Instant>,
}

/// What a listener passes on to connections.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) hiwat: u32,
    pub(crate) t_flags: u32,
    pub(crate) inp: Inpcb,
}

impl Listener {
    pub(crate) fn of(tp: &Tcpcb, inp: &Inpcb, hiwat: u32) -> Self {
        Self {
            hiwat,
            t_flags: tp.t_flags,
            inp: inp.clone(),
        }
    }

    /// The TTL or hop limit of what answers for this listener, as it is now (`syncache_add`).
    fn ttl(&self, cx: &Cx<'_>, inc: &Conninfo) -> u8 {
        let ttl = self.inp.ttl(inc.is_v6());
        ttl.unwrap_or_else(|| cx.ip.default_ttl(inc.faddr))
    }
}

impl Syncache {
    /// All entries, the oldest first.
    pub(crate) fn by_age(&self) -> Vec<&Sc> {
        let mut all: Vec<&Sc> = self.entries.values().collect();
        all.sort_by_key(|sc| sc.age);
        all
    }

    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            entries: BTreeMap::new(),
            buckets: BTreeMap::new(),
            timerq: BTreeSet::new(),
            hash_secret: [rng.next_u64(), 0],
            known_as: KnownAs::default(),
            cookies: Cookies::new(rng),
            pause: Pause::default(),
            next_age: 0,
        }
    }

    /// `syncache_hashbucket`
    pub(crate) fn bucket(&self, inc: &Conninfo, hashsize: i64) -> u32 {
        let mut data = Vec::with_capacity(20);
        data.extend(inc.fport.to_be_bytes());
        data.extend(inc.lport.to_be_bytes());
        data.extend(octets(self.known_as.addr(inc.faddr)));
        let mask = (hashsize.max(1) as u32).next_power_of_two() - 1;
        fold(siphash24(self.hash_secret, &data)) & mask
    }

    /// Takes an entry out (`syncache_drop`).
    pub(crate) fn remove(&mut self, inc: &Conninfo, hashsize: i64) -> Option<Sc> {
        let sc = self.entries.remove(inc)?;
        if let Some(at) = sc.sc_rxttime {
            self.timerq.remove(&(at, *inc));
        }
        let bucket = self.bucket(inc, hashsize);
        if let Some(row) = self.buckets.get_mut(&bucket) {
            row.list.retain(|i| i != inc);
        }
        Some(sc)
    }
}

impl Tcp {
    /// Only cookies are used, by setting or during a pause (`syncache_cookiesonly`).
    pub(crate) fn cookies_only(&self) -> bool {
        self.sysctl.syncookies != 0
            && (self.syncache.pause.paused || self.sysctl.syncookies_only != 0)
    }

    /// The earliest retransmission of a SYN-ACK, or end of a pause.
    pub(crate) fn syncache_next_timer(&self) -> Option<Instant> {
        let entry = self.syncache.timerq.first().map(|(at, _)| *at);
        [entry, self.syncache.pause.ends()]
            .into_iter()
            .flatten()
            .min()
    }

    /// (Re)starts an entry's timer (`syncache_timeout`).
    fn syncache_timeout(&mut self, inc: &Conninfo, now: Instant) {
        let (initial, slop) = (self.sysctl.rexmit_initial, self.sysctl.rexmit_slop);
        let min = self.sysctl.rexmit_min;
        let Some(sc) = self.syncache.entries.get_mut(inc) else {
            return;
        };
        let rexmt = if sc.sc_rxmits == 0 {
            initial
        } else {
            let backoff = BACKOFF.get(sc.sc_rxmits as usize).copied().unwrap_or(512);
            (initial * i64::from(backoff) + slop)
                .max(min)
                .min(self.sysctl.rexmit_max)
        };
        let at = now.after(Duration::from_millis(rexmt as u64));
        if let Some(old) = sc.sc_rxttime.replace(at) {
            self.syncache.timerq.remove(&(old, *inc));
        }
        sc.sc_rxmits += 1;
        self.syncache.timerq.insert((at, *inc));
    }

    /// Sends SYN-ACKs again, or gives up (`syncache_timer`).
    pub(crate) fn syncache_run(&mut self, cx: &mut Cx<'_>) {
        self.syncache.pause.run(cx.now);
        while let Some(&(at, inc)) = self.syncache.timerq.first() {
            if at > cx.now {
                return;
            }
            if self.syncache.pause.paused {
                self.syncache_drop_row(&inc);
            }
            let Some(mut sc) = self.syncache.entries.get(&inc).cloned() else {
                self.syncache.timerq.pop_first();
                continue;
            };
            if i64::from(sc.sc_rxmits) > self.sysctl.ecn_maxretries {
                sc.sc_flags &= !SCF_ECN;
            }
            if i64::from(sc.sc_rxmits) > self.sysctl.syncache_rexmtlimit {
                self.syncache.remove(&inc, self.sysctl.syncache_hashsize);
                continue;
            }
            if self.syncache_answer(cx, sc, TH_SYN | TH_ACK) {
                self.syncache_timeout(&inc, cx.now);
            }
        }
    }

    /// Answers in the name of an entry and keeps what changes in it. One that cannot be answered is
    /// given up: SYN cookies may take its place (FreeBSD review D46428). False then.
    fn syncache_answer(&mut self, cx: &mut Cx<'_>, mut sc: Sc, flags: u16) -> bool {
        let inc = sc.sc_inc;
        let sent = self.syncache_respond(cx, &mut sc, flags).is_ok();
        if sent {
            self.syncache.entries.insert(inc, sc);
        } else {
            self.syncache.remove(&inc, self.sysctl.syncache_hashsize);
        }
        sent
    }

    /// Asks the peer to prove that it is the peer, not more often than is healthy
    /// (`syncache_send_challenge_ack`).
    fn syncache_challenge(&mut self, cx: &mut Cx<'_>, mut sc: Sc) {
        if sc.sc_challenge_ack.allow(&self.sysctl, cx.now) {
            self.syncache_answer(cx, sc, TH_ACK);
        }
    }

    /// Enters an entry (`syncache_insert`).
    fn syncache_insert(&mut self, mut sc: Sc, now: Instant) {
        let inc = sc.sc_inc;
        let bucket = self.syncache.bucket(&inc, self.sysctl.syncache_hashsize);
        let row = self.syncache.buckets.entry(bucket).or_default();
        row.list.push(inc);
        sc.age = self.syncache.next_age;
        self.syncache.next_age += 1;
        self.syncache.entries.insert(inc, sc);
        self.syncache_timeout(&inc, now);
    }

    /// Enters an entry as it was elsewhere, with what is left of its timer.
    pub(crate) fn syncache_restore(&mut self, sc: Sc, now: Instant) {
        let (inc, rxmits, at) = (sc.sc_inc, sc.sc_rxmits, sc.sc_rxttime);
        // What had room elsewhere may have none here; that is no attack.
        let (pause, hashsize) = (self.syncache.pause, self.sysctl.syncache_hashsize);
        self.syncache.remove(&inc, hashsize);
        if !self.syncache_has_room(&inc, now) {
            return;
        }
        self.syncache_row_room(&inc, now);
        self.syncache.pause = pause;
        self.syncache_insert(sc, now);
        if let Some(sc) = self.syncache.entries.get_mut(&inc) {
            sc.sc_rxmits = rxmits;
            if let Some(started) = std::mem::replace(&mut sc.sc_rxttime, at) {
                self.syncache.timerq.remove(&(started, inc));
            }
            self.syncache.timerq.extend(at.map(|at| (at, inc)));
        }
    }

    /// A SYN for a connection that is already in the cache: answers again (`syncache_add`).
    ///
    /// False where it is not.
    pub(crate) fn syncache_dup(&mut self, cx: &mut Cx<'_>, inc: &Conninfo, seg: &Segment) -> bool {
        if self.cookies_only() {
            return false;
        }
        let Some(mut sc) = self.syncache.entries.get(inc).cloned() else {
            return false;
        };
        match seg.to.ts {
            Some((val, _)) if sc.sc_flags & SCF_TIMESTAMP != 0 => sc.sc_tsreflect = val,
            _ => sc.sc_flags &= !SCF_TIMESTAMP,
        }
        if sc.sc_flags & SCF_ECN != 0 && !offers_ecn(seg) {
            sc.sc_flags &= !SCF_ECN;
        }
        sc.sc_rxmits = 0;
        if self.syncache_answer(cx, sc, TH_SYN | TH_ACK) {
            self.syncache_timeout(inc, cx.now);
        }
        true
    }

    /// Builds the entry that a SYN asks for (`syncache_add`).
    pub(crate) fn syncache_new(
        &mut self,
        cx: &mut Cx<'_>,
        inc: &Conninfo,
        seg: &Segment,
        listener: &Listener,
    ) -> Sc {
        let v6 = inc.is_v6();
        let noopt = listener.t_flags & TF_NOOPT != 0;
        let mut sc = Sc {
            sc_inc: *inc,
            sc_rxttime: None,
            sc_rxmits: 0,
            sc_port: seg.port,
            sc_tsreflect: 0,
            sc_tsoff: 0,
            sc_flowlabel: 0,
            sc_irs: seg.seq,
            sc_iss: Seq(0),
            sc_peer_mss: seg.to.mss.unwrap_or(0),
            sc_wnd: listener.hiwat.min(MAXWIN) as u16,
            sc_ip_ttl: listener.ttl(cx, inc),
            sc_ip_tos: listener.inp.tos(v6),
            sc_requested_s_scale: 0,
            sc_requested_r_scale: 0,
            sc_flags: 0,
            sc_tfo_cookie: None,
            sc_challenge_ack: Default::default(),
            minmtu: listener.inp.minmtu,
            age: 0,
        };
        let rfc1323 = self.sysctl.rfc1323;
        if rfc1323 != 0 && !noopt {
            if let (Some((val, _)), true) = (seg.to.ts, rfc1323 != 2) {
                sc.sc_tsreflect = val;
                sc.sc_flags |= SCF_TIMESTAMP;
                sc.sc_tsoff = self.ts_offset(inc);
            }
            if let (Some(scale), true) = (seg.to.wscale, rfc1323 != 3) {
                sc.sc_requested_r_scale = self.sysctl.window_scale();
                sc.sc_requested_s_scale = scale;
                sc.sc_flags |= SCF_WINSCALE;
            }
        }
        if seg.to.signature.is_some() && listener.t_flags & TF_SIGNATURE != 0 {
            sc.sc_flags |= SCF_SIGNATURE;
        }
        if seg.to.sackperm {
            sc.sc_flags |= SCF_SACK;
        }
        if noopt {
            sc.sc_flags |= SCF_NOOPT;
        }
        sc.sc_flags |= ecn::syncache_add(seg.flags, seg.tos, self.sysctl.ecn_enable);
        sc.sc_iss = if self.sysctl.syncookies != 0 {
            self.syncookie_generate(cx, &sc)
        } else {
            Seq(cx.rng.next_u64() as u32)
        };
        if v6 {
            sc.sc_flowlabel = sc.sc_iss.0 & 0x000f_ffff;
        }
        sc
    }

    /// Answers a SYN and remembers it (`syncache_add`).
    pub(crate) fn syncache_admit(&mut self, cx: &mut Cx<'_>, mut sc: Sc) {
        let keep = !self.cookies_only() && self.syncache_has_room(&sc.sc_inc, cx.now);
        // Without an entry only a cookie can bring the connection about.
        if !keep && self.sysctl.syncookies == 0 {
            return;
        }
        if self.syncache_respond(cx, &mut sc, TH_SYN | TH_ACK).is_ok() && keep {
            self.syncache_row_room(&sc.sc_inc, cx.now);
            self.syncache_insert(sc, cx.now);
        }
    }

    /// Sends the SYN-ACK, or a challenge acknowledgement (`syncache_respond`).
    pub(crate) fn syncache_respond(
        &mut self,
        cx: &mut Cx<'_>,
        sc: &mut Sc,
        flags: u16,
    ) -> Result<(), Errno> {
        let inc = sc.sc_inc;
        let syn = flags & TH_SYN != 0;
        let mut to = TcpOpt::default();
        if sc.sc_flags & SCF_NOOPT == 0 {
            if syn {
                self.syncache_syn_options(cx, sc, &mut to);
            }
            if sc.sc_flags & SCF_TIMESTAMP != 0 {
                to.ts = Some((sc.sc_tsoff.wrapping_add(ticks(cx.now)), sc.sc_tsreflect));
            }
        }
        let ecn = if syn {
            ecn::syncache_respond(sc.sc_flags)
        } else {
            0
        };
        let header = Header {
            src: (inc.laddr, inc.lport),
            dst: (inc.faddr, inc.fport),
            seq: sc.sc_iss + u32::from(!syn),
            ack: sc.sc_irs + 1,
            flags: flags | ecn,
            win: sc.sc_wnd,
            urp: 0,
        };
        let options = to.emit();
        let mut bytes = header.emit(&options.bytes, 0);
        if let Some(at) = options.signature_at {
            self.md5_sign(inc.laddr, inc.faddr, &mut bytes, at)?;
        }
        let out = Outgoing {
            src: inc.laddr,
            dst: inc.faddr,
            tos: sc.sc_ip_tos & !ECN_MASK,
            ttl: sc.sc_ip_ttl,
            flow: sc.sc_flowlabel,
            df: self.sysctl.path_mtu_discovery != 0 && sc.sc_flags & SCF_UNREACH == 0,
            port: sc.sc_port,
        };
        self.stat.sndtotal += 1;
        self.ip_output(cx, out, bytes)
    }

    /// The options that only a SYN-ACK carries.
    fn syncache_syn_options(&mut self, cx: &Cx<'_>, sc: &mut Sc, to: &mut TcpOpt) {
        let overhead = if sc.sc_port != 0 {
            self.sysctl.udp_tunneling_overhead as u32
        } else {
            0
        };
        let mss = self
            .mssopt(cx, &sc.sc_inc, sc.minmtu)
            .saturating_sub(overhead);
        to.mss = Some(mss.max(self.sysctl.minmss as u32) as u16);
        if sc.sc_flags & SCF_WINSCALE != 0 {
            to.wscale = Some(sc.sc_requested_r_scale);
        }
        to.sackperm = sc.sc_flags & SCF_SACK != 0;
        if sc.sc_flags & SCF_SIGNATURE != 0 {
            to.signature = Some([0; 16]);
        }
        // The cookie goes once: it may be what a middlebox dropped the SYN-ACK for.
        to.fastopen = sc
            .sc_tfo_cookie
            .take()
            .map(|cookie| cookie.to_ne_bytes().to_vec());
    }

    /// A reset for an embryonic connection (`syncache_chkrst`, RFC 5961 section 3.2).
    pub(crate) fn syncache_chkrst(&mut self, cx: &mut Cx<'_>, inc: &Conninfo, seg: &Segment) {
        if self.cookies_only() {
            return;
        }
        let Some(sc) = self.syncache.entries.get(inc).cloned() else {
            return;
        };
        if sc.sc_port != seg.port {
            return;
        }
        let expected = sc.sc_irs + 1;
        let wnd = u32::from(sc.sc_wnd);
        let inside = seg.seq.geq(expected) && seg.seq.lt(expected + wnd);
        let closed = wnd == 0 && seg.seq == expected;
        if !inside && !closed {
            return;
        }
        if self.sysctl.insecure_rst != 0 || seg.seq == expected {
            self.syncache.remove(inc, self.sysctl.syncache_hashsize);
        } else {
            self.syncache_challenge(cx, sc);
        }
    }

    /// A SYN-ACK for an embryonic connection: it is no good (`syncache_badack`).
    pub(crate) fn syncache_badack(&mut self, inc: &Conninfo, port: u16) {
        if !self.cookies_only()
            && self
                .syncache
                .entries
                .get(inc)
                .is_some_and(|s| s.sc_port == port)
        {
            self.syncache.remove(inc, self.sysctl.syncache_hashsize);
        }
    }

    /// An ICMP error about a SYN-ACK (`syncache_unreach`).
    pub(crate) fn syncache_unreach(&mut self, inc: &Conninfo, seq: Seq, port: u16) {
        if self.cookies_only() {
            return;
        }
        let Some(sc) = self.syncache.entries.get_mut(inc) else {
            return;
        };
        if sc.sc_port != port || sc.sc_iss != seq {
            return;
        }
        if sc.sc_flags & SCF_UNREACH == 0 || sc.sc_rxmits < 4 {
            sc.sc_flags |= SCF_UNREACH;
            return;
        }
        self.syncache.remove(inc, self.sysctl.syncache_hashsize);
    }
}

/// `tcp_ecn_syncache_add`
fn offers_ecn(seg: &Segment) -> bool {
    seg.flags & (TH_CWR | TH_ECE) == TH_CWR | TH_ECE
}
