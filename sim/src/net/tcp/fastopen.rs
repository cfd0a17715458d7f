// SPDX-License-Identifier: BSD-2-Clause
//! TCP Fast Open: data in the SYN, against a cookie (RFC 7413; `tcp_fastopen.c`, 15.0).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::flags::TF_FASTOPEN;
use super::siphash::{octets, siphash24};
use super::sysctl::Sysctl;
use super::{Conn, Conninfo, Tcp};
use crate::net::cx::{Cx, SoId};
use crate::net::socket::{Inet, Pcb};
use crate::time::{Duration, Instant};

/// `TCP_FASTOPEN_COOKIE_LEN`: what the server hands out.
pub(crate) const COOKIE_LEN: usize = 8;
/// `TCP_FASTOPEN_MIN_COOKIE_LEN`
const MIN_COOKIE_LEN: usize = 4;
/// `TCP_FASTOPEN_MAX_COOKIE_LEN`
const MAX_COOKIE_LEN: usize = 16;

/// `TCP_FASTOPEN_MAX_KEYS`
const MAX_KEYS: usize = 2;
/// `TCP_FASTOPEN_MAX_PSKS`
const MAX_PSKS: usize = 2;
/// `TCP_FASTOPEN_PSK_LEN`
pub(crate) const PSK_LEN: usize = 16;
/// `TCP_FASTOPEN_CCACHE_BUCKETS_DEFAULT`
const CCACHE_BUCKETS: usize = 2048;

/// What a client remembers of a server (`struct tcp_fastopen_ccache_entry`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientEntry {
    /// Rises with every entry made: the oldest goes first.
    pub(crate) serial: u64,
    pub(crate) cookie: Vec<u8>,
    pub(crate) server_mss: u16,
    /// Fast Open failed on this path at this moment.
    pub(crate) disable_time: Option<Instant>,
}

impl ClientEntry {
    /// A cookie of no allowed length disables the path.
    fn set(&mut self, mss: u16, cookie: &[u8], now: Instant) {
        let valid = (MIN_COOKIE_LEN..=MAX_COOKIE_LEN).contains(&cookie.len())
            && cookie.len().is_multiple_of(2);
        if valid {
            self.server_mss = mss;
            self.cookie = cookie.to_vec();
            self.disable_time = None;
        } else {
            self.server_mss = 0;
            self.cookie.clear();
            self.disable_time.get_or_insert(now);
        }
    }
}

/// Fast Open in a vnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fastopen {
    /// Keys of the server's cookies, newest first.
    pub(crate) keys: Vec<[u64; 2]>,
    /// Pre-shared keys, newest first.
    pub(crate) psks: Vec<[u64; 2]>,
    /// When the server's next key is drawn.
    pub(crate) autokey_at: Option<Instant>,
    /// By local and foreign address and foreign port.
    pub(crate) clients: BTreeMap<(IpAddr, IpAddr, u16), ClientEntry>,
    /// The next entry's serial number.
    pub(crate) serial: u64,
}

/// Bytes as the key of a hash.
fn key_of(bytes: &[u8]) -> [u64; 2] {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let (low, high) = bytes.split_at(bytes.len().min(8));
    [word(low), word(high)]
}

fn push_front(keys: &mut Vec<[u64; 2]>, key: [u64; 2], max: usize) {
    keys.insert(0, key);
    keys.truncate(max);
}

impl Fastopen {
    fn cookie(client: IpAddr, key: [u64; 2]) -> u64 {
        siphash24(key, &octets(client))
    }

    /// `tcp_fastopen_autokey_locked`
    fn autokey(&mut self, cx: &mut Cx<'_>, seconds: i64) {
        let key = [cx.rng.next_u64(), cx.rng.next_u64()];
        push_front(&mut self.keys, key, MAX_KEYS);
        self.autokey_at = (seconds > 0).then(|| cx.now.after(Duration::from_secs(seconds as u64)));
    }

    fn enter(&mut self, key: (IpAddr, IpAddr, u16), limit: i64) -> &mut ClientEntry {
        let limit = usize::try_from(limit).unwrap_or(0).max(1) * CCACHE_BUCKETS;
        if !self.clients.contains_key(&key) {
            while self.clients.len() >= limit {
                let oldest = self.clients.iter().min_by_key(|(_, e)| e.serial);
                let Some(oldest) = oldest.map(|(key, _)| *key) else {
                    break;
                };
                self.clients.remove(&oldest);
            }
            self.serial += 1;
        }
        let serial = self.serial;
        self.clients.entry(key).or_insert_with(|| ClientEntry {
            serial,
            ..ClientEntry::default()
        })
    }
}

/// The server's judgement of a cookie (`tcp_fastopen_check_cookie`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Valid; a connection may be opened at once. The cookie to answer with.
    Valid(u64),
    /// Not valid; the cookie to hand out.
    Invalid(u64),
}

impl Tcp {
    /// Checks a client's cookie; `None` where there is neither a valid one nor one to hand out.
    pub(crate) fn fastopen_check_cookie(&self, inc: &Conninfo, cookie: &[u8]) -> Option<Cookie> {
        if self.sysctl.fastopen_acceptany != 0 {
            return Some(Cookie::Valid(0));
        }
        let client = self.syncache.known_as.addr(inc.faddr);
        let latest = Fastopen::cookie(client, *self.fastopen.keys.first()?);
        let matches = |key: &[u64; 2]| {
            let current = Fastopen::cookie(client, *key).to_ne_bytes();
            if self.sysctl.fastopen_psk_enable == 0 {
                return cookie == current;
            }
            let shared = |psk: &[u64; 2]| cookie == siphash24(*psk, &current).to_ne_bytes();
            self.fastopen.psks.iter().any(shared)
        };
        let valid = cookie.len() == COOKIE_LEN && self.fastopen.keys.iter().any(matches);
        Some(if valid {
            Cookie::Valid(latest)
        } else {
            Cookie::Invalid(latest)
        })
    }

    /// What a change of a variable entails; `old` are the values before.
    pub(super) fn fastopen_sysctl(&mut self, cx: &mut Cx<'_>, old: &Sysctl) {
        let new = &self.sysctl;
        let seconds = new.fastopen_autokey;
        match (old.fastopen_server_enable, new.fastopen_server_enable) {
            (0, 1) if seconds != 0 && self.fastopen.keys.is_empty() => {
                self.fastopen.autokey(cx, seconds);
            }
            (1, 0) => {
                self.fastopen.keys.clear();
                self.fastopen.psks.clear();
                self.fastopen.autokey_at = None;
            }
            (1, 1) if seconds != old.fastopen_autokey => {
                let pause = Duration::from_secs(seconds as u64);
                self.fastopen.autokey_at = (seconds != 0).then(|| cx.now.after(pause));
            }
            _ => {}
        }
        if old.fastopen_psk_enable != 0 && new.fastopen_psk_enable == 0 {
            self.fastopen.psks.clear();
        }
        if old.fastopen_client_enable != 0 && new.fastopen_client_enable == 0 {
            self.fastopen.clients.clear();
        }
    }

    /// Draws a key where it is time (`tcp_fastopen_autokey_callout`).
    pub(super) fn fastopen_run(&mut self, cx: &mut Cx<'_>) {
        while self.fastopen.autokey_at.is_some_and(|at| at <= cx.now) {
            self.fastopen.autokey(cx, self.sysctl.fastopen_autokey);
        }
    }
}

impl Conn<'_, '_> {
    fn client_key(&self) -> (IpAddr, IpAddr, u16) {
        (self.inp.inc.laddr, self.inp.inc.faddr, self.inp.inc.fport)
    }

    /// At connect: takes the cookie for this server, if there is one (`tcp_fastopen_connect`).
    pub(crate) fn fastopen_connect(&mut self) {
        let key = self.client_key();
        let Some(entry) = self.tcp.fastopen.clients.get_mut(&key) else {
            self.mss(None);
            return;
        };
        if let Some(since) = entry.disable_time {
            let pause = self.tcp.sysctl.fastopen_path_disable_time as u64;
            if self.cx.now.since(since) > Duration::from_secs(pause) {
                // Another try, from the beginning.
                entry.disable_time = None;
                entry.server_mss = 0;
                entry.cookie.clear();
            } else {
                self.tp.clear(TF_FASTOPEN);
            }
            self.mss(None);
            return;
        }
        let psk = &self.tp.t_tfo_client_cookie;
        let cookie = if psk.len() == PSK_LEN && !entry.cookie.is_empty() {
            let shared = siphash24(key_of(psk), &entry.cookie);
            shared.to_ne_bytes().to_vec()
        } else {
            entry.cookie.clone()
        };
        let mss = u32::from(entry.server_mss);
        self.tp.t_tfo_client_cookie = cookie;
        self.mss((mss != 0).then_some(mss));
        self.tp.snd_wnd = self.tp.t_maxseg;
    }

    /// The server sent a cookie (`tcp_fastopen_update_cache`).
    pub(crate) fn fastopen_update_cache(&mut self, mss: u16, cookie: &[u8]) {
        let limit = self.tcp.sysctl.fastopen_ccache_bucket_limit;
        let key = self.client_key();
        let now = self.cx.now;
        self.tcp.fastopen.enter(key, limit).set(mss, cookie, now);
    }

    /// Fast Open does not work with this server for now (`tcp_fastopen_disable_path`).
    pub(crate) fn fastopen_disable_path(&mut self) {
        self.fastopen_update_cache(0, &[]);
        self.tp.clear(TF_FASTOPEN);
    }
}

impl Inet {
    /// Adds a key for the server's cookies (`net.inet.tcp.fastopen.setkey`).
    pub fn fastopen_setkey(&mut self, key: &[u8; 16]) {
        push_front(&mut self.tcp.fastopen.keys, key_of(key), MAX_KEYS);
    }

    /// Adds a pre-shared key (`net.inet.tcp.fastopen.setpsk`).
    pub fn fastopen_setpsk(&mut self, key: &[u8; 16]) {
        push_front(&mut self.tcp.fastopen.psks, key_of(key), MAX_PSKS);
    }

    /// Counts a restored connection at its listener, if it is pending there.
    pub(crate) fn tfo_recount(&mut self, so: SoId) {
        let Some(Pcb::Tcp(tp)) = self.get(so).map(|entry| &entry.pcb) else {
            return;
        };
        let Some(listener) = tp.t_tfo_pending else {
            return;
        };
        if let Some(Pcb::Tcp(tp)) = self.get_mut(listener).map(|entry| &mut entry.pcb) {
            let count = tp.t_tfo_pending_count.unwrap_or(0);
            tp.t_tfo_pending_count = Some(count.saturating_add(1));
        }
    }

    /// Listeners get the places of ended Fast Open connections back
    /// (`tcp_fastopen_decrement_counter`).
    pub(crate) fn release_tfo(&mut self) {
        for listener in std::mem::take(&mut self.tcp.tfo_released) {
            if let Some(Pcb::Tcp(tp)) = self.get_mut(listener).map(|e| &mut e.pcb) {
                tp.t_tfo_pending_count = tp.t_tfo_pending_count.map(|n| n.saturating_sub(1));
            }
        }
    }
}
