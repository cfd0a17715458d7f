// SPDX-License-Identifier: BSD-2-Clause
//! What is remembered of peers, and for how long.

use super::*;

const LIMITS: Limits = Limits {
    enable: true,
    cachelimit: 2,
    expire: Duration::from_secs(100),
};

fn at(secs: u64) -> Instant {
    Instant::BOOT.after(Duration::from_secs(secs))
}

fn peer(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn learned(cwnd: u32) -> Metrics {
    Metrics {
        rmx_cwnd: cwnd,
        ..Metrics::default()
    }
}

#[test]
fn old_and_new_are_mixed_in_equal_parts_and_nothing_is_no_news() {
    let mut cache = Hostcache::default();
    cache.update(peer(1), learned(1_000), at(0), LIMITS);
    cache.update(peer(1), learned(3_000), at(1), LIMITS);
    cache.update(peer(1), learned(0), at(2), LIMITS);
    cache.update_mtu(peer(1), 1_400, at(3), LIMITS);
    let metrics = cache.metrics(peer(1), at(4), LIMITS);
    assert_eq!((metrics.rmx_cwnd, metrics.rmx_mtu), (2_000, 1_400));
}

#[test]
fn what_is_asked_for_lives_on_and_what_is_not_expires() {
    let mut cache = Hostcache::default();
    cache.update(peer(1), learned(1), at(0), LIMITS);
    cache.update(peer(2), learned(2), at(0), LIMITS);
    assert_eq!(cache.metrics(peer(1), at(90), LIMITS), learned(1));
    assert_eq!(cache.metrics(peer(1), at(180), LIMITS), learned(1));
    assert_eq!(cache.metrics(peer(2), at(100), LIMITS), Metrics::default());
}

#[test]
fn the_least_used_gives_way() {
    let mut cache = Hostcache::default();
    for n in 1..=2 {
        cache.update(peer(n), learned(u32::from(n)), at(u64::from(n)), LIMITS);
    }
    cache.metrics(peer(1), at(5), LIMITS);
    cache.update(peer(3), learned(3), at(6), LIMITS);
    let known = |cache: &mut Hostcache, n| cache.metrics(peer(n), at(7), LIMITS).rmx_cwnd;
    assert_eq!([1, 2, 3].map(|n| known(&mut cache, n)), [1, 0, 3]);
}

#[test]
fn a_cache_that_is_off_neither_tells_nor_learns() {
    let off = Limits {
        enable: false,
        ..LIMITS
    };
    let mut cache = Hostcache::default();
    cache.update(peer(1), learned(1), at(0), LIMITS);
    assert_eq!(cache.metrics(peer(1), at(1), off), Metrics::default());
    cache.update(peer(1), learned(9), at(1), off);
    assert_eq!(cache.metrics(peer(1), at(1), LIMITS), learned(1));
}
