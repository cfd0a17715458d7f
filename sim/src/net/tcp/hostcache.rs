// SPDX-License-Identifier: BSD-2-Clause
//! What earlier connections learned of a peer (`tcp_hostcache.c`, 15-CURRENT of 2024).
//!
//! FreeBSD looks every `net.inet.tcp.hostcache.prune` (300 s) for what has expired, so that an entry
//! lives up to that much longer; here it ends on time. Its rows, of 30 entries by a keyed hash, are
//! one list here: the entry that is used least recently gives way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::time::{Duration, Instant};

/// What is remembered of one peer (`struct hc_metrics_lite`); 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Path MTU.
    pub rmx_mtu: u32,
    /// Slow start threshold.
    pub rmx_ssthresh: u32,
    /// Smoothed round-trip time, as `t_srtt`.
    pub rmx_rtt: i32,
    /// Its deviation, as `t_rttvar`.
    pub rmx_rttvar: i32,
    /// Congestion window.
    pub rmx_cwnd: u32,
}

/// The cache of a vnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hostcache {
    /// Metrics and when they expire.
    pub(crate) entries: BTreeMap<IpAddr, (Metrics, Instant)>,
}

impl Hostcache {
    /// What is known of a peer; zeros where nothing is (`tcp_hc_get`). What is asked for lives on
    /// (`tcp_hc_lookup`).
    pub(crate) fn metrics(&mut self, peer: IpAddr, now: Instant, limits: Limits) -> Metrics {
        match self.entries.get_mut(&peer) {
            Some((metrics, expires)) if limits.enable && now < *expires => {
                *expires = now.after(limits.expire);
                *metrics
            }
            _ => Metrics::default(),
        }
    }

    /// The path MTU to a peer, 0 where unknown (`tcp_hc_getmtu`).
    pub(crate) fn mtu(&mut self, peer: IpAddr, now: Instant, limits: Limits) -> u32 {
        self.metrics(peer, now, limits).rmx_mtu
    }

    /// Remembers a path MTU (`tcp_hc_updatemtu`).
    pub(crate) fn update_mtu(&mut self, peer: IpAddr, mtu: u32, now: Instant, limits: Limits) {
        if let Some(metrics) = self.entry(peer, now, limits) {
            metrics.rmx_mtu = mtu;
        }
    }

    /// Mixes in what a connection measured: half old, half new (`tcp_hc_update`).
    pub(crate) fn update(&mut self, peer: IpAddr, new: Metrics, now: Instant, limits: Limits) {
        let Some(old) = self.entry(peer, now, limits) else {
            return;
        };
        let mix = |old: u32, new: u32| match (old, new) {
            (old, 0) => old,
            (0, new) => new,
            (old, new) => ((u64::from(old) + u64::from(new)) / 2) as u32,
        };
        old.rmx_rtt = mix(old.rmx_rtt as u32, new.rmx_rtt as u32) as i32;
        old.rmx_rttvar = mix(old.rmx_rttvar as u32, new.rmx_rttvar as u32) as i32;
        old.rmx_ssthresh = mix(old.rmx_ssthresh, new.rmx_ssthresh);
        old.rmx_cwnd = mix(old.rmx_cwnd, new.rmx_cwnd);
    }

    fn entry(&mut self, peer: IpAddr, now: Instant, limits: Limits) -> Option<&mut Metrics> {
        if !limits.enable || limits.cachelimit == 0 {
            return None;
        }
        if self
            .entries
            .get(&peer)
            .is_some_and(|(_, expires)| *expires <= now)
        {
            self.entries.remove(&peer);
        }
        if !self.entries.contains_key(&peer) && self.entries.len() >= limits.cachelimit {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, (_, at))| *at)
                .map(|(p, _)| *p);
            oldest.and_then(|p| self.entries.remove(&p));
        }
        let entry = self.entries.entry(peer).or_default();
        entry.1 = now.after(limits.expire);
        Some(&mut entry.0)
    }

    /// Forgets everything (`net.inet.tcp.hostcache.purgenow`).
    pub(crate) fn purge(&mut self) {
        self.entries.clear();
    }
}

/// `net.inet.tcp.hostcache.*`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) enable: bool,
    pub(crate) cachelimit: usize,
    pub(crate) expire: Duration,
}

#[cfg(test)]
#[path = "hostcache_tests.rs"]
mod tests;
