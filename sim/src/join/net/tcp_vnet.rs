// SPDX-License-Identifier: BSD-2-Clause
//! What TCP keeps per vnet, and its SYN cache, as records of an image, and back.

use vpscore::cbor::Bytes;
use vpscore::collections::{List, NoMemory};
use vpscore::image::{UcredRef, VnetRef};
use vpscore::sock::{self, Seq};

use super::error::{Unfit, Unmovable};
use super::so::{conninfo_record, restore_conninfo};
use super::ticks::{age, ago, before, left, past};
use super::values::{from_rng_state, rng_state};
use super::values::{in_addr, ip_addr};
use crate::net::tcp::{Bucket, ChallengeAck, ClientEntry, KnownAs, Metrics, Pause, Sc, Tcp, ticks};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

fn key(key: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    let words = key.iter().flat_map(|word| word.to_le_bytes());
    for (to, from) in bytes.iter_mut().zip(words) {
        *to = from;
    }
    bytes
}

fn from_key(bytes: &[u8; 16]) -> [u64; 2] {
    let word = |at: usize| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    };
    [word(0), word(8)]
}

fn from_secret(bytes: &Bytes) -> Result<[u64; 2], Unfit> {
    let (first, _) = bytes
        .as_slice()
        .split_first_chunk::<16>()
        .ok_or(Unfit::Secret)?;
    Ok(from_key(first))
}

fn fastopen(tcp: &Tcp, now: Instant) -> Result<List<sock::TfoCookie>, NoMemory> {
    let mut list = List::new();
    let mut entries: Vec<_> = tcp.fastopen.clients.iter().collect();
    entries.sort_by_key(|(_, entry)| entry.serial);
    for ((client, server, port), entry) in entries {
        list.push(sock::TfoCookie {
            client: in_addr(*client),
            server: in_addr(*server),
            server_port: *port,
            server_mss: entry.server_mss,
            cookie: Bytes::copy(&entry.cookie)?,
            disabled: entry.disable_time.map(|then| past(now, then)),
        })?;
    }
    Ok(list)
}

fn hostcache(tcp: &Tcp, now: Instant) -> Result<List<sock::HcMetrics>, NoMemory> {
    let mut list = List::new();
    for (addr, (metrics, expires)) in &tcp.hostcache.entries {
        // One that has expired is as good as gone.
        let Some(hc_expire) = left(now, *expires) else {
            continue;
        };
        list.push(sock::HcMetrics {
            addr: in_addr(*addr),
            zoneid: 0,
            hc_mtu: metrics.rmx_mtu,
            hc_ssthresh: metrics.rmx_ssthresh,
            hc_rtt: metrics.rmx_rtt.max(0) as u32,
            hc_rttvar: metrics.rmx_rttvar.max(0) as u32,
            hc_cwnd: metrics.rmx_cwnd,
            hc_sendpipe: 0,
            hc_recvpipe: 0,
            hc_expire,
        })?;
    }
    Ok(list)
}

/// The record of what TCP keeps in a vnet.
///
/// # Errors
/// [`Unmovable::NoMemory`].
pub(super) fn tcp_vnet_record(
    tcp: &Tcp,
    rng: &Rng,
    vnet: VnetRef,
    now: Instant,
) -> Result<sock::TcpVnet, Unmovable> {
    let tick = ticks(now);
    let cookies = &tcp.syncache.cookies;
    let Pause {
        paused,
        until,
        backoff,
    } = tcp.syncache.pause;
    let (mut syncookie_keys, mut fastopen_keys) = (List::new(), List::new());
    for secret in cookies.key {
        syncookie_keys.push(key(secret))?;
    }
    for secret in &tcp.fastopen.keys {
        fastopen_keys.push(key(*secret))?;
    }
    let mut fastopen_psks = List::new();
    for secret in &tcp.fastopen.psks {
        fastopen_psks.push(key(*secret))?;
    }
    let mut overflows = List::new();
    for (bucket, row) in &tcp.syncache.buckets {
        if let Some(at) = row.last_overflow {
            overflows.push(sock::SchOverflow {
                bucket: *bucket,
                age: past(now, at),
            })?;
        }
    }
    let mut md5_keys = List::new();
    for ((src, dst), secret) in &tcp.md5_keys.by_pair {
        md5_keys.push(sock::TcpMd5Key {
            src: in_addr(*src),
            dst: in_addr(*dst),
            key: Bytes::copy(secret)?,
        })?;
    }
    let mut known_as = List::new();
    for (addr, known) in &tcp.syncache.known_as.0 {
        known_as.push(sock::KnownAs {
            addr: in_addr(*addr),
            known_as: in_addr(*known),
        })?;
    }
    Ok(sock::TcpVnet {
        vnet,
        isn_secret: Bytes::copy(&key(tcp.isn.secret))?,
        isn_offset: tcp.isn.offset,
        ts_offset_secret: Bytes::copy(&key(tcp.ts_offset_secret))?,
        syncookie_keys,
        syncookie_oddeven: cookies.oddeven,
        syncookie_reseed: left(now, cookies.reseed),
        syncache_pause: until.filter(|_| paused).map(|at| at.since(now)),
        syncache_pause_backoff: backoff,
        fastopen_keys,
        fastopen_psks,
        fastopen_ccache: fastopen(tcp, now)?,
        hostcache: hostcache(tcp, now)?,
        isn_offset_old: Some(tcp.isn.offset_old),
        isn_last: age(tick, tcp.isn.last),
        isn_last_reseed: age(tick, tcp.isn.last_reseed),
        syncache_hash_secret: Some(Bytes::copy(&key(tcp.syncache.hash_secret))?),
        syncache_overflows: (!overflows.is_empty()).then_some(overflows),
        md5_keys: (!md5_keys.is_empty()).then_some(md5_keys),
        fastopen_autokey: tcp.fastopen.autokey_at.map(|at| at.since(now)),
        rng: Some(rng_state(rng)),
        syncookie_overdue: (now > cookies.reseed).then(|| past(now, cookies.reseed)),
        syncache_pause_over: until.filter(|_| !paused).map(|at| past(now, at)),
        known_as: (!known_as.is_empty()).then_some(known_as),
    })
}

/// Gives a new vnet's TCP what a record says of it.
///
/// # Errors
/// [`Unfit::Secret`] for secrets that are too short.
pub(super) fn restore_tcp_vnet(
    record: &sock::TcpVnet,
    tcp: &mut Tcp,
    rng: &mut Rng,
    now: Instant,
) -> Result<(), Unfit> {
    let over = record.syncache_pause_over;
    tcp.syncache.pause = Pause {
        paused: record.syncache_pause.is_some(),
        until: match record.syncache_pause {
            Some(left) => Some(now.after(left)),
            None => over.map(|age| before(now, age)),
        },
        backoff: record.syncache_pause_backoff,
    };
    let tick = ticks(now);
    tcp.isn.secret = from_secret(&record.isn_secret)?;
    tcp.isn.offset = record.isn_offset;
    // Without an old offset the sequence numbers go on from the offset at this moment.
    tcp.isn.offset_old = record.isn_offset_old.unwrap_or(record.isn_offset);
    tcp.isn.last = match record.isn_offset_old {
        Some(_) => ago(tick, record.isn_last),
        None => tick,
    };
    tcp.isn.last_reseed = ago(tick, record.isn_last_reseed);
    tcp.ts_offset_secret = from_secret(&record.ts_offset_secret)?;
    let mut keys = record.syncookie_keys.iter().map(from_key);
    if let (Some(even), Some(odd)) = (keys.next(), keys.next()) {
        tcp.syncache.cookies.key = [even, odd];
        tcp.syncache.cookies.oddeven = record.syncookie_oddeven & 1;
        let overdue = before(now, record.syncookie_overdue.unwrap_or_default());
        let reseed = record.syncookie_reseed.map(|left| now.after(left));
        tcp.syncache.cookies.reseed = reseed.unwrap_or(overdue);
    }
    if let Some(secret) = &record.syncache_hash_secret {
        tcp.syncache.hash_secret = from_secret(secret)?;
    }
    let known = record.known_as.iter().flatten();
    let known = known.map(|pair| (ip_addr(pair.addr), ip_addr(pair.known_as)));
    tcp.syncache.known_as = KnownAs(known.collect());
    for row in record.syncache_overflows.iter().flatten() {
        let bucket: &mut Bucket = tcp.syncache.buckets.entry(row.bucket).or_default();
        bucket.last_overflow = Some(before(now, row.age));
    }
    // Setting the variables may have made a key: none but the image's count.
    tcp.fastopen.keys = record.fastopen_keys.iter().map(from_key).collect();
    tcp.fastopen.psks = record.fastopen_psks.iter().map(from_key).collect();
    tcp.fastopen.autokey_at = record.fastopen_autokey.map(|left| now.after(left));
    for cookie in &record.fastopen_ccache {
        let by = (
            ip_addr(cookie.client),
            ip_addr(cookie.server),
            cookie.server_port,
        );
        tcp.fastopen.serial = tcp.fastopen.serial.saturating_add(1);
        let entry = ClientEntry {
            serial: tcp.fastopen.serial,
            cookie: cookie.cookie.as_slice().to_vec(),
            server_mss: cookie.server_mss,
            disable_time: cookie.disabled.map(|age| before(now, age)),
        };
        tcp.fastopen.clients.insert(by, entry);
    }
    for host in &record.hostcache {
        let signed = |value: u32| i32::try_from(value).unwrap_or(i32::MAX).min(1 << 28);
        let metrics = Metrics {
            rmx_mtu: host.hc_mtu,
            rmx_ssthresh: host.hc_ssthresh,
            rmx_rtt: signed(host.hc_rtt),
            rmx_rttvar: signed(host.hc_rttvar),
            rmx_cwnd: host.hc_cwnd,
        };
        let entry = (metrics, now.after(host.hc_expire));
        tcp.hostcache.entries.insert(ip_addr(host.addr), entry);
    }
    for secret in record.md5_keys.iter().flatten() {
        let pair = (ip_addr(secret.src), ip_addr(secret.dst));
        let key = secret.key.as_slice().to_vec();
        tcp.md5_keys.by_pair.insert(pair, key);
    }
    if let Some(state) = &record.rng {
        *rng = from_rng_state(state);
    }
    Ok(())
}

/// The record of an embryonic connection.
pub(super) fn syncache_record(
    sc: &Sc,
    vnet: VnetRef,
    sc_cred: UcredRef,
    now: Instant,
) -> sock::Syncache {
    sock::Syncache {
        vnet,
        sc_inc: conninfo_record(&sc.sc_inc, sc.minmtu),
        sc_rxttime: sc.sc_rxttime.map_or(Duration::ZERO, |at| at.since(now)),
        sc_rxmits: u16::try_from(sc.sc_rxmits).unwrap_or(u16::MAX),
        sc_port: sc.sc_port,
        sc_tsreflect: sc.sc_tsreflect,
        ts_val: sc.sc_tsoff.wrapping_add(ticks(now)),
        sc_flowlabel: sc.sc_flowlabel,
        sc_irs: Seq(sc.sc_irs.0),
        sc_iss: Seq(sc.sc_iss.0),
        sc_ipopts: None,
        sc_peer_mss: sc.sc_peer_mss,
        sc_wnd: sc.sc_wnd,
        sc_ip_ttl: sc.sc_ip_ttl,
        sc_ip_tos: sc.sc_ip_tos,
        sc_requested_s_scale: sc.sc_requested_s_scale,
        sc_requested_r_scale: sc.sc_requested_r_scale,
        sc_flags: sc.sc_flags,
        sc_challenge_ack_cnt: sc.sc_challenge_ack.cnt,
        sc_challenge_ack_end: left(now, sc.sc_challenge_ack.end),
        sc_cred,
        sc_tfo_cookie: sc.sc_tfo_cookie.map(u64::to_ne_bytes),
    }
}

/// Enters the embryonic connection of a record; entries come from the oldest to the newest. Where
/// there is no room left the oldest goes, as when one more had been asked for.
pub(super) fn restore_syncache(record: &sock::Syncache, tcp: &mut Tcp, now: Instant) {
    let (sc_inc, minmtu) = restore_conninfo(&record.sc_inc);
    let sc = Sc {
        sc_inc,
        sc_rxttime: Some(now.after(record.sc_rxttime)),
        sc_rxmits: record.sc_rxmits.into(),
        sc_port: record.sc_port,
        sc_tsreflect: record.sc_tsreflect,
        sc_tsoff: record.ts_val.wrapping_sub(ticks(now)),
        sc_flowlabel: record.sc_flowlabel,
        sc_irs: crate::net::tcp::Seq(record.sc_irs.0),
        sc_iss: crate::net::tcp::Seq(record.sc_iss.0),
        sc_peer_mss: record.sc_peer_mss,
        sc_wnd: record.sc_wnd,
        sc_ip_ttl: record.sc_ip_ttl,
        sc_ip_tos: record.sc_ip_tos,
        sc_requested_s_scale: record.sc_requested_s_scale,
        sc_requested_r_scale: record.sc_requested_r_scale,
        sc_flags: record.sc_flags,
        sc_tfo_cookie: record.sc_tfo_cookie.map(u64::from_ne_bytes),
        sc_challenge_ack: ChallengeAck {
            end: record
                .sc_challenge_ack_end
                .map_or(Instant::BOOT, |left| now.after(left)),
            cnt: record.sc_challenge_ack_cnt,
        },
        minmtu,
        age: 0,
    };
    tcp.syncache_restore(sc, now);
}
