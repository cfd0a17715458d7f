// SPDX-License-Identifier: BSD-2-Clause
//! Embryonic connections (`struct syncache`, `tcp_syncache.h`) and what TCP remembers of hosts and
//! of itself (`tcp_hostcache.c`, `tcp_syncache.c`, `tcp_fastopen.c`, `tcp_subr.c`; 15.0).

use super::{
    InAddr, InConninfo, Seq, TCP_FASTOPEN_MAX_COOKIE_LEN, TCP_KEYLEN_MAX, TCP_MAX_WINSHIFT,
    TCP_MAXRXTSHIFT,
};
use crate::cbor::{Bound, Bytes};
use crate::collections::List;
use crate::image::schema::RngState;
use crate::image::{UcredRef, VnetRef};
use crate::limits::{
    HOSTCACHE_MAX, KNOWN_AS_MAX, MD5_KEYS_MAX, SPAN_MAX, SYNCACHE_MAX, TFO_CCACHE_MAX,
};
use crate::record;
use crate::time::Duration;

/// Every `SCF_*` (15.0).
const SCF_ALL: u64 = 0x7b7;
/// One more than `net.inet.tcp.syncache.rexmtlimit` may be (`TCP_MAXRXTSHIFT`): counted before it is compared.
const SC_RXMITS_MAX: u64 = 13;
const _: () = assert!(SC_RXMITS_MAX == TCP_MAXRXTSHIFT as u64 + 1);
/// `TCP_SYNCACHE_MAX_BACKOFF` (15.0).
const TCP_SYNCACHE_MAX_BACKOFF: u64 = 6;
/// `TCP_FASTOPEN_MAX_KEYS`, `TCP_FASTOPEN_MAX_PSKS` (15.0).
const TCP_FASTOPEN_MAX_KEYS: u64 = 2;

record! {
    /// An entry of the SYN cache: a SYN answered, whose handshake is not over.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Syncache, check = Syncache::has_ends {
        /// The vnet; the listener is whoever has the address when the handshake ends.
        0 => vnet: VnetRef,
        /// `sc_inc`.
        1 => sc_inc: InConninfo,
        /// `sc_rxttime`: what remains until the SYN-ACK is sent again.
        2 => sc_rxttime: Duration where Bound::span(SPAN_MAX),
        /// `sc_rxmits`: how often it was.
        3 => sc_rxmits: u16 where Bound::most(SC_RXMITS_MAX),
        /// `sc_port`: the peer's UDP encapsulation port, host order; 0 for none.
        4 => sc_port: u16,
        /// `sc_tsreflect`: the peer's timestamp to echo.
        5 => sc_tsreflect: u32,
        /// The timestamp that a SYN-ACK sent at the snapshot would carry; stands for `sc_tsoff`.
        6 => ts_val: u32,
        /// `sc_flowlabel`.
        7 => sc_flowlabel: u32 where Bound::most(0x0fff_ffff),
        /// `sc_irs`: the peer's initial sequence number.
        8 => sc_irs: Seq,
        /// `sc_iss`: ours.
        9 => sc_iss: Seq,
        /// `sc_ipopts`: the IP options of the answer.
        10 => sc_ipopts: Option<Bytes> where Bound::within(1, 40),
        /// `sc_peer_mss`.
        11 => sc_peer_mss: u16,
        /// `sc_wnd`: the window advertised.
        12 => sc_wnd: u16,
        /// `sc_ip_ttl`: the time to live or hop limit of the answer.
        13 => sc_ip_ttl: u8,
        /// `sc_ip_tos`.
        14 => sc_ip_tos: u8,
        /// `sc_requested_s_scale`: the peer's window shift.
        15 => sc_requested_s_scale: u8 where Bound::most(TCP_MAX_WINSHIFT as u64),
        /// `sc_requested_r_scale`: ours.
        16 => sc_requested_r_scale: u8 where Bound::most(TCP_MAX_WINSHIFT as u64),
        /// `sc_flags`, bits `SCF_*`.
        17 => sc_flags: u16 where Bound::bits(SCF_ALL),
        /// `sc_challenge_ack_cnt`: challenge ACKs sent in this epoch.
        18 => sc_challenge_ack_cnt: u32,
        /// `sc_challenge_ack_end`: what remains of the epoch; absent for none.
        19 => sc_challenge_ack_end: Option<Duration> where Bound::span(SPAN_MAX),
        /// `sc_cred`.
        20 => sc_cred: UcredRef,
        /// `sc_tfo_cookie`: the Fast Open cookie to answer with.
        21 => sc_tfo_cookie: Option<[u8; 8]>,
    }
}

impl Syncache {
    fn has_ends(&self) -> Result<(), u64> {
        if self.sc_inc.lport == 0 || !self.sc_inc.is_connected() {
            return Err(Self::sc_inc);
        }
        Ok(())
    }
}

record! {
    /// An entry of the host cache (`struct hc_metrics`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HcMetrics {
        /// `hc_addr`: the host.
        0 => addr: InAddr,
        /// Its scope zone; 0 for none.
        1 => zoneid: u32,
        /// `hc_mtu`, bytes; 0 for unknown.
        2 => hc_mtu: u32,
        /// `hc_ssthresh`, bytes.
        3 => hc_ssthresh: u32,
        /// `hc_rtt`, in `TCP_RTTDFLT`'s scale of the host cache (1/65536 s).
        4 => hc_rtt: u32,
        /// `hc_rttvar`, likewise.
        5 => hc_rttvar: u32,
        /// `hc_cwnd`, bytes.
        6 => hc_cwnd: u32,
        /// `hc_sendpipe`, bytes.
        7 => hc_sendpipe: u32,
        /// `hc_recvpipe`, bytes.
        8 => hc_recvpipe: u32,
        /// `hc_expire`: what remains of its life.
        9 => hc_expire: Duration where Bound::span(SPAN_MAX),
    }
}

record! {
    /// A Fast Open cookie that a server gave us (`struct tcp_fastopen_ccache_entry`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct TfoCookie {
        /// `cce_client_ip`.
        0 => client: InAddr,
        /// `cce_server_ip`.
        1 => server: InAddr,
        /// `server_port`, host order.
        2 => server_port: u16,
        /// `server_mss`.
        3 => server_mss: u16,
        /// `cookie`.
        4 => cookie: Bytes where Bound::most(TCP_FASTOPEN_MAX_COOKIE_LEN as u64),
        /// `disable_time`: for how long the path has been disabled; absent where it is not.
        5 => disabled: Option<Duration> where Bound::span(SPAN_MAX),
    }
}

record! {
    /// A row of the SYN cache that was full (`sch_last_overflow`): cookies are honoured for a while.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SchOverflow {
        /// The row.
        0 => bucket: u32,
        /// How long ago an entry was dropped from it.
        1 => age: Duration where Bound::span(SPAN_MAX),
    }
}

record! {
    /// A key of TCP MD5 signatures (RFC 2385) for the segments from one address to another, as a
    /// security association has it (`setkey(8)`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct TcpMd5Key {
        /// The source.
        0 => src: InAddr,
        /// The destination.
        1 => dst: InAddr,
        /// The key.
        2 => key: Bytes where Bound::within(1, TCP_KEYLEN_MAX as u64),
    }
}

record! {
    /// An address that has changed, and what peers know it as, for they reach it through a
    /// translation (see [`crate::net`]): hashes over the address are those over the old one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KnownAs {
        /// The address.
        0 => addr: InAddr,
        /// What peers know it as.
        1 => known_as: InAddr,
    }
}

record! {
    /// What TCP keeps per vnet: secrets from which sequence numbers, timestamps and cookies of new
    /// connections follow, and what it has learned of hosts.
    #[derive(Debug, PartialEq, Eq)]
    pub struct TcpVnet {
        /// The vnet.
        0 => vnet: VnetRef,
        /// `V_isn_secret` (`tcp_subr.c`).
        1 => isn_secret: Bytes where Bound::within(16, 64),
        /// `V_isn_offset`: the offset of the initial sequence numbers at the snapshot.
        2 => isn_offset: u32,
        /// `V_ts_offset_secret`.
        3 => ts_offset_secret: Bytes where Bound::within(16, 64),
        /// `secret.key` of the SYN cache: the two keys of SYN cookies.
        4 => syncookie_keys: List<[u8; 16]> where Bound::within(2, 2),
        /// `secret.oddeven`: which of them is in use.
        5 => syncookie_oddeven: u32,
        /// What remains until `secret.reseed`.
        6 => syncookie_reseed: Option<Duration> where Bound::span(SPAN_MAX),
        /// What remains of the pause in which only cookies are used (`pause_until`).
        7 => syncache_pause: Option<Duration> where Bound::span(SPAN_MAX),
        /// `pause_backoff`.
        8 => syncache_pause_backoff: u8 where Bound::most(TCP_SYNCACHE_MAX_BACKOFF),
        /// `V_tcp_fastopen_keys`: the server's keys, the newest first.
        9 => fastopen_keys: List<[u8; 16]> where Bound::most(TCP_FASTOPEN_MAX_KEYS),
        /// `V_tcp_fastopen_psks`: pre-shared keys, the newest first.
        10 => fastopen_psks: List<[u8; 16]> where Bound::most(TCP_FASTOPEN_MAX_KEYS),
        /// The client's cookies by server, in the order of the cache.
        11 => fastopen_ccache: List<TfoCookie> where Bound::most(TFO_CCACHE_MAX as u64),
        /// The host cache, by bucket.
        12 => hostcache: List<HcMetrics> where Bound::most(HOSTCACHE_MAX as u64),
        /// `V_isn_offset_old`.
        128 => isn_offset_old: Option<u32>,
        /// `V_isn_last`: how long ago a number was made; absent where none was.
        129 => isn_last: Option<Duration> where Bound::span(SPAN_MAX),
        /// `V_isn_last_reseed`: the age of the secret; absent where it is the first.
        130 => isn_last_reseed: Option<Duration> where Bound::span(SPAN_MAX),
        /// `hash_secret` of the SYN cache, from which the rows of its table follow.
        131 => syncache_hash_secret: Option<Bytes> where Bound::within(16, 64),
        /// Rows that were full.
        132 => syncache_overflows: Option<List<SchOverflow>> where Bound::most(SYNCACHE_MAX as u64),
        /// Keys of MD5 signatures, by addresses.
        133 => md5_keys: Option<List<TcpMd5Key>> where Bound::most(MD5_KEYS_MAX as u64),
        /// What remains until the server's next key is made.
        135 => fastopen_autokey: Option<Duration> where Bound::span(SPAN_MAX),
        /// The random numbers of the transports, where the kernel has a generator for them.
        136 => rng: Option<RngState>,
        /// For how long a change of the secret has been due, where it waits until that is needed.
        137 => syncookie_overdue: Option<Duration> where Bound::span(SPAN_MAX),
        /// How long ago the last pause ended, where none lasts: another soon after it is longer.
        138 => syncache_pause_over: Option<Duration> where Bound::span(SPAN_MAX),
        /// Addresses that peers know by others; those of vnets of the same image with them.
        139 => known_as: Option<List<KnownAs>> where Bound::most(KNOWN_AS_MAX as u64),
    }
}
