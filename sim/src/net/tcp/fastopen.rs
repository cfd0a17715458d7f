// SPDX-License-Identifier: BSD-2-Clause
//! TCP Fast Open: data in the SYN, against a cookie (RFC 7413; `tcp_fastopen.c`, 15.0).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::siphash::{octets, siphash24};
use super::{Conn, Conninfo, Tcp};
use crate::net::socket::{Inet, Pcb};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// `TCP_FASTOPEN_COOKIE_LEN`: what the server hands out.
pub(crate) const COOKIE_LEN: usize = 8;
/// `TCP_FASTOPEN_MIN_COOKIE_LEN`
const MIN_COOKIE_LEN: usize = 4;
/// `TCP_FASTOPEN_MAX_COOKIE_LEN`
const MAX_COOKIE_LEN: usize = 16;

/// What a client remembers of a server (`struct tcp_fastopen_ccache_entry`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientEntry {
    pub(crate) cookie: Vec<u8>,
    pub(crate) server_mss: u16,
    /// Fast Open failed on this path at this moment.
    pub(crate) disable_time: Option<Instant>,
}

/// Fast Open in a vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fastopen {
    /// Keys of the server's cookies, newest first.
    pub(crate) keys: Vec<[u64; 2]>,
    /// By local and foreign address and foreign port.
    pub(crate) clients: BTreeMap<(IpAddr, IpAddr, u16), ClientEntry>,
}

impl Fastopen {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            keys: vec![[rng.next_u64(), rng.next_u64()]],
            clients: BTreeMap::new(),
        }
    }

    pub(crate) fn purge_client_cache(&mut self) {
        self.clients.clear();
    }

    fn cookie(&self, inc: &Conninfo, key: [u64; 2]) -> u64 {
        siphash24(key, &octets(inc.faddr))
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
    /// Checks a client's cookie.
    pub(crate) fn fastopen_check_cookie(&self, inc: &Conninfo, cookie: &[u8]) -> Option<Cookie> {
        let latest = self.fastopen.cookie(inc, *self.fastopen.keys.first()?);
        if self.sysctl.fastopen_acceptany != 0 {
            return Some(Cookie::Valid(latest));
        }
        let matches = |key: &[u64; 2]| {
            cookie.len() == COOKIE_LEN && cookie == self.fastopen.cookie(inc, *key).to_ne_bytes()
        };
        Some(if self.fastopen.keys.iter().any(matches) {
            Cookie::Valid(latest)
        } else {
            Cookie::Invalid(latest)
        })
    }
}

impl Conn<'_, '_> {
    fn client_key(&self) -> (IpAddr, IpAddr, u16) {
        (self.inp.inc.laddr, self.inp.inc.faddr, self.inp.inc.fport)
    }

    /// At connect: takes the cookie for this server, if there is one (`tcp_fastopen_connect`).
    pub(crate) fn fastopen_connect(&mut self) {
        use super::flags::TF_FASTOPEN;
        let entry = self.tcp.fastopen.clients.get(&self.client_key()).cloned();
        let entry = entry.unwrap_or_default();
        let pause = Duration::from_secs(self.tcp.sysctl.fastopen_path_disable_time as u64);
        if let Some(since) = entry.disable_time
            && self.cx.now.since(since) <= pause
        {
            self.tp.clear(TF_FASTOPEN);
            return;
        }
        if entry.server_mss != 0 {
            self.mss(Some(u32::from(entry.server_mss)));
            self.tp.snd_wnd = entry.server_mss.into();
        } else {
            self.mss(None);
            self.tp.snd_wnd = self.tp.t_maxseg;
        }
        self.tp.t_tfo_client_cookie = entry.cookie;
    }

    /// The server sent a cookie (`tcp_fastopen_update_cache`).
    pub(crate) fn fastopen_update_cache(&mut self, mss: u16, cookie: &[u8]) {
        let key = self.client_key();
        let valid = (MIN_COOKIE_LEN..=MAX_COOKIE_LEN).contains(&cookie.len())
            && cookie.len().is_multiple_of(2);
        if cookie.is_empty() {
            if let Some(entry) = self.tcp.fastopen.clients.get_mut(&key) {
                entry.server_mss = mss;
            }
        } else if valid {
            let entry = ClientEntry {
                cookie: cookie.to_vec(),
                server_mss: mss,
                disable_time: None,
            };
            self.tcp.fastopen.clients.insert(key, entry);
        } else {
            self.fastopen_disable_path();
        }
    }

    /// Fast Open does not work with this server for now (`tcp_fastopen_disable_path`).
    pub(crate) fn fastopen_disable_path(&mut self) {
        let key = self.client_key();
        let entry = self.tcp.fastopen.clients.entry(key).or_default();
        *entry = ClientEntry {
            disable_time: Some(self.cx.now),
            ..ClientEntry::default()
        };
    }
}

impl Inet {
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
