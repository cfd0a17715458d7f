// SPDX-License-Identifier: BSD-2-Clause
//! Initial sequence numbers and timestamp offsets (RFC 6528, RFC 7323 section 5.4; `tcp_subr.c`, 15.0).

use super::seq::Seq;
use super::siphash::keyed_hash;
use super::sysctl::Sysctl;
use super::tcpcb::{Ticks, ticks};
use super::{Conninfo, Tcp};
use crate::net::cx::Cx;
use crate::rng::Rng;

/// `ISN_BYTES_PER_SECOND`, per tick.
const BYTES_PER_TICK: u32 = 1_048_576 / 1_000;
/// `ISN_STATIC_INCREMENT`
const STATIC_INCREMENT: u32 = 4096;

/// The generator of a vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Isn {
    pub(crate) secret: [u64; 2],
    pub(crate) last: Ticks,
    pub(crate) last_reseed: Ticks,
    pub(crate) offset: u32,
    pub(crate) offset_old: u32,
}

impl Isn {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            secret: [rng.next_u64(), rng.next_u64()],
            last: 0,
            last_reseed: 0,
            offset: 0,
            offset_old: 0,
        }
    }

    /// `tcp_new_isn`: monotonic per connection, unguessable between connections.
    pub(crate) fn next(&mut self, inc: &Conninfo, sysctl: &Sysctl, cx: &mut Cx<'_>) -> Seq {
        let now = ticks(cx.now);
        let interval = sysctl.isn_reseed_interval;
        if interval > 0 && i64::from(self.last_reseed) + interval * 1000 < i64::from(now) {
            self.secret = [cx.rng.next_u64(), cx.rng.next_u64()];
            self.last_reseed = now;
        }
        let hash = keyed_hash(inc, self.secret);
        self.offset = self
            .offset
            .wrapping_add(STATIC_INCREMENT + (cx.rng.next_u64() as u32 & 0xfff));
        if now != self.last {
            let elapsed = now.wrapping_sub(self.last);
            let projected = self
                .offset_old
                .wrapping_add(BYTES_PER_TICK.wrapping_mul(elapsed));
            if Seq(projected).gt(Seq(self.offset)) {
                self.offset = projected;
            }
            self.offset_old = self.offset;
            self.last = now;
        }
        Seq(hash.wrapping_add(self.offset))
    }
}

impl Tcp {
    /// `tcp_new_ts_offset`
    pub(crate) fn ts_offset(&self, inc: &Conninfo) -> u32 {
        let mut inc = self.syncache.known_as.ends(inc);
        if self.sysctl.ts_offset_per_conn == 0 {
            inc.lport = 0;
            inc.fport = 0;
        }
        keyed_hash(&inc, self.ts_offset_secret)
    }
}
