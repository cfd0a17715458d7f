// SPDX-License-Identifier: BSD-2-Clause
//! Moving a stack to a clock that reads something else: after a suspension, or on another host.
//!
//! Deadlines keep the time left, ages stay what they were, and the timestamps that peers see go on
//! without a gap, since a peer would take one that goes back for an old segment (RFC 7323
//! section 5.3).

use std::collections::BTreeSet;

use super::syncache::SCF_TIMESTAMP;
use super::tcpcb::{Tcpcb, ticks};
use crate::net::socket::{Inet, Pcb};
use crate::time::Instant;

impl Inet {
    /// Moves everything that depends on the clock from one that reads `from` to one that reads
    /// `to`.
    pub fn shift_clock(&mut self, from: Instant, to: Instant) {
        let delta = ticks(to).wrapping_sub(ticks(from));
        let ahead = |at: Instant| to.after(at.since(from));
        let around = |at: Instant| {
            if at >= from {
                ahead(at)
            } else {
                Instant::from_nanos(to.as_nanos().saturating_sub(from.since(at).as_nanos()))
            }
        };
        let mut timerq = BTreeSet::new();
        for entry in self.iter_mut() {
            let so = entry.so.id;
            if let Pcb::Tcp(tp) = &mut entry.pcb {
                shift_tcpcb(tp, delta);
                tp.t_timers = tp.t_timers.map(|timer| timer.map(ahead));
                tp.t_callout = tp.t_callout.map(ahead);
                tp.t_challenge_ack_end = around(tp.t_challenge_ack_end);
                timerq.extend(tp.t_callout.map(|at| (at, so)));
            }
        }
        self.tcp.timerq = timerq;
        let cache = &mut self.tcp.syncache;
        cache.timerq.clear();
        for (inc, sc) in &mut cache.entries {
            sc.sc_rxttime = sc.sc_rxttime.map(ahead);
            cache.timerq.extend(sc.sc_rxttime.map(|at| (at, *inc)));
            if sc.sc_flags & SCF_TIMESTAMP != 0 {
                sc.sc_tsoff = sc.sc_tsoff.wrapping_sub(delta);
            }
        }
        for row in cache.buckets.values_mut() {
            row.last_overflow = row.last_overflow.map(around);
        }
        cache.cookies.reseed = around(cache.cookies.reseed);
        for (_, expires) in self.tcp.hostcache.entries.values_mut() {
            *expires = around(*expires);
        }
        for client in self.tcp.fastopen.clients.values_mut() {
            client.disable_time = client.disable_time.map(around);
        }
        self.tcp.isn.last = self.tcp.isn.last.wrapping_add(delta);
        self.tcp.isn.last_reseed = self.tcp.isn.last_reseed.wrapping_add(delta);
        self.tcp.bandlim.shift(around);
    }
}

/// Moves a block's moments; 0 stays "never".
fn shift_tcpcb(tp: &mut Tcpcb, delta: u32) {
    tp.ts_offset = tp.ts_offset.wrapping_sub(delta);
    let moments = [
        &mut tp.t_rcvtime,
        &mut tp.t_starttime,
        &mut tp.t_rtttime,
        &mut tp.t_acktime,
        &mut tp.t_sndtime,
        &mut tp.t_fbyte_in,
        &mut tp.t_fbyte_out,
        &mut tp.t_badrxtwin,
        &mut tp.rfbuf_ts,
        &mut tp.ts_recent_age,
        &mut tp.t_ccv.cubic.t_epoch,
        &mut tp.t_ccv.cubic.undo_t_epoch,
    ];
    for moment in moments {
        if *moment != 0 {
            // A sum of 0 would read as "never"; a tick later is next to it.
            *moment = moment.wrapping_add(delta).max(1);
        }
    }
}
