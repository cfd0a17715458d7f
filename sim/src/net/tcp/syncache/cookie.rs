// SPDX-License-Identifier: BSD-2-Clause
//! SYN cookies: a sequence number that carries the connection (RFC 4987 section 3.6; layout of
//! `tcp_syncache.c`, 15.0: 24 bits of MAC, 3 of window scale, 3 of MSS, SACK, which secret).

use super::super::seq::Seq;
use super::super::siphash::{fold, octets, siphash24};
use super::super::wire::Segment;
use super::super::{Conninfo, Tcp};
use super::{Listener, SCF_NOOPT, SCF_SACK, SCF_SIGNATURE, SCF_TIMESTAMP, SCF_WINSCALE, Sc};
use crate::net::cx::Cx;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

use super::super::flags::{TF_NOOPT, TF_SIGNATURE};
use super::super::tcpcb::MAXWIN;

/// `SYNCOOKIE_LIFETIME`: a secret is used for so many seconds and honoured for as many more.
pub(crate) const LIFETIME: Duration = Duration::from_secs(15);

const MSSTAB: [u16; 8] = [216, 536, 1200, 1360, 1400, 1440, 1452, 1460];
const WSTAB: [u8; 8] = [0, 0, 1, 2, 4, 6, 7, 8];

/// The two secrets and the time of the next change (`tcp_syncache.secret`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookies {
    pub(crate) key: [[u64; 2]; 2],
    pub(crate) oddeven: u32,
    /// When the other secret is replaced and used.
    pub(crate) reseed: Instant,
}

impl Cookies {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut key = || [rng.next_u64(), rng.next_u64()];
        Self {
            key: [key(), key()],
            oddeven: 0,
            reseed: Instant::BOOT.after(LIFETIME),
        }
    }

    /// Changes secrets that are due (`syncookie_reseed`); done when they are needed.
    fn refresh(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..2 {
            if cx.now < self.reseed {
                return;
            }
            self.oddeven = (self.oddeven + 1) & 1;
            self.key[self.oddeven as usize] = [cx.rng.next_u64(), cx.rng.next_u64()];
            let next = self.reseed.after(LIFETIME);
            self.reseed = if next > cx.now {
                next
            } else {
                cx.now.after(LIFETIME)
            };
        }
    }
}

/// `syncookie_mac`
fn mac(inc: &Conninfo, irs: Seq, flags: u8, key: [u64; 2], bucket: u32) -> u32 {
    let mut data = Vec::with_capacity(48);
    data.extend(octets(inc.faddr));
    data.extend(octets(inc.laddr));
    data.extend(inc.fport.to_be_bytes());
    data.extend(inc.lport.to_be_bytes());
    data.extend(irs.0.to_be_bytes());
    data.push(flags);
    data.extend(bucket.to_be_bytes());
    fold(siphash24(key, &data))
}

impl Tcp {
    /// The sequence number that carries this connection (`syncookie_generate`).
    pub(crate) fn syncookie_generate(&mut self, cx: &mut Cx<'_>, sc: &Sc) -> Seq {
        self.syncache.cookies.refresh(cx);
        let mss = MSSTAB
            .iter()
            .rposition(|m| *m <= sc.sc_peer_mss)
            .unwrap_or(0) as u8;
        let scale = if sc.sc_flags & SCF_WINSCALE != 0 {
            WSTAB
                .iter()
                .rposition(|w| *w <= sc.sc_requested_s_scale)
                .unwrap_or(0) as u8
        } else {
            0
        };
        let sack = u8::from(sc.sc_flags & SCF_SACK != 0);
        let secret = self.syncache.cookies.oddeven as u8;
        let bits = scale << 5 | mss << 2 | sack << 1 | secret;
        let key = self.syncache.cookies.key[usize::from(secret)];
        let bucket = self
            .syncache
            .bucket(&sc.sc_inc, self.sysctl.syncache_hashsize);
        let ends = self.syncache.known_as.ends(&sc.sc_inc);
        let hash = mac(&ends, sc.sc_irs, bits, key, bucket);
        // The bits are hidden by others of the hash, so that they do not show on the wire.
        Seq(hash & !0xff | u32::from(bits) ^ hash >> 24)
    }

    /// The connection that an acknowledgement's number carries, if it is one of ours
    /// (`syncookie_lookup`).
    pub(crate) fn syncookie_lookup(
        &mut self,
        cx: &mut Cx<'_>,
        inc: &Conninfo,
        seg: &Segment,
        listener: &Listener,
    ) -> Option<Sc> {
        self.syncache.cookies.refresh(cx);
        let (iss, irs) = (seg.ack - 1, seg.seq - 1);
        let bucket = self.syncache.bucket(inc, self.sysctl.syncache_hashsize);
        let bits = (iss.0 ^ iss.0 >> 24) as u8;
        let key = self.syncache.cookies.key[usize::from(bits & 1)];
        let hash = mac(&self.syncache.known_as.ends(inc), irs, bits, key, bucket);
        if (hash ^ iss.0) & !0xff != 0 {
            return None;
        }
        let scale = bits >> 5;
        let mut sc = Sc {
            sc_inc: *inc,
            sc_rxttime: None,
            sc_rxmits: 0,
            sc_port: seg.port,
            sc_tsreflect: 0,
            sc_tsoff: 0,
            sc_flowlabel: iss.0 & 0x000f_ffff,
            sc_irs: irs,
            sc_iss: iss,
            sc_peer_mss: MSSTAB[usize::from(bits >> 2 & 7)],
            sc_wnd: listener.hiwat.min(MAXWIN) as u16,
            sc_ip_ttl: listener.ttl(cx, inc),
            sc_ip_tos: listener.inp.tos(inc.is_v6()),
            sc_requested_s_scale: 0,
            sc_requested_r_scale: 0,
            sc_flags: 0,
            sc_tfo_cookie: None,
            sc_challenge_ack: Default::default(),
            minmtu: listener.inp.minmtu,
            age: 0,
        };
        if !inc.is_v6() {
            sc.sc_flowlabel = 0;
        }
        if listener.t_flags & TF_NOOPT != 0 {
            sc.sc_flags |= SCF_NOOPT;
        } else if scale > 0 && self.sysctl.rfc1323 != 0 {
            sc.sc_requested_r_scale = self.sysctl.window_scale();
            sc.sc_requested_s_scale = WSTAB[usize::from(scale)];
            sc.sc_flags |= SCF_WINSCALE;
        }
        if bits >> 1 & 1 != 0 {
            sc.sc_flags |= SCF_SACK;
        }
        if let Some((val, _)) = seg.to.ts {
            sc.sc_flags |= SCF_TIMESTAMP;
            sc.sc_tsreflect = val;
            sc.sc_tsoff = self.ts_offset(inc);
        }
        if seg.to.signature.is_some() && listener.t_flags & TF_SIGNATURE != 0 {
            sc.sc_flags |= SCF_SIGNATURE;
        }
        Some(sc)
    }
}
