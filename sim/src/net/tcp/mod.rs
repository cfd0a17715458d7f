// SPDX-License-Identifier: BSD-2-Clause
//! TCP as FreeBSD 15's default stack speaks it (RFC 9293; `sys/netinet/tcp_*.c`).
//!
//! The release's own sources were not at hand. Each file names what it was written from, a revision of
//! 15-CURRENT on the way to 15.0: `tcp_input.c`, `tcp_output.c`, `tcp_subr.c` and `cc.c` are of 2025
//! and nearest to it; `tcp_sack.c`, `tcp_timer.c`, `tcp_usrreq.c` and `tcp_ecn.c` are of early 2024.
//!
//! The stack knows segments and addresses, not IP versions: it takes and gives
//! [`crate::net::packet::IpPacket`]s. It has no clock, no randomness and no timers of its own: each
//! call carries a [`Cx`], and deadlines are data that the owner asks for and runs.
//!
//! | what | where |
//! |---|---|
//! | sequence numbers, options, headers | `seq`, `options`, `wire` |
//! | a connection's memory | `tcpcb`, `flags`, `fsm` |
//! | a segment arrives | `input`, `reass`, `sackrcv`, `ecn` |
//! | losses are found, recovery | `input::dupack`, `input::prr`, `sack` (the scoreboard) |
//! | a segment leaves | `output`, `respond`, `md5` |
//! | connections that are asked for | `syncache`, `fastopen` |
//! | time passes | `timer`, `timerq` |
//! | congestion | `cc` |
//! | a program calls | `usrreq`, `info` |
//! | what is shared by all connections | `sysctl`, `hostcache`, `isn` |
//!
//! - I1: a connection is changed only through a `Conn`, after which `Inet::settle` brings the
//!   indices in step.
//! - I2: nothing here panics on what a peer sends; what is out of bounds is dropped or answered as
//!   the RFCs say.

mod cc;
mod ecn;
mod fastopen;
pub mod flags;
mod fsm;
mod hostcache;
mod info;
mod input;
mod isn;
mod known;
mod md5;
mod options;
mod output;
mod reass;
mod respond;
mod sack;
mod sackrcv;
mod seq;
mod siphash;
mod sockopt;
mod subr;
mod syncache;
mod sysctl;
mod tcpcb;
mod timer;
mod timerq;
mod usrreq;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

pub use cc::{Algorithm, CcVar, Cubic};
pub(crate) use fastopen::ClientEntry;
pub use fsm::State;
pub use hostcache::{Hostcache, Metrics};
pub use info::TcpInfo;
pub use known::KnownAs;
pub use options::{Accept, SackBlk, TcpOpt};
pub use reass::{Segq, SegqEntry};
pub(crate) use respond::ChallengeAck;
pub use seq::Seq;
#[cfg(test)]
pub(crate) use syncache::Cookies;
pub(crate) use syncache::{Bucket, Pause, Sc};
pub use sysctl::Sysctl;
pub(crate) use tcpcb::ticks;
pub use tcpcb::{SackHint, SackHole, Tcpcb, Ticks, Timer};
pub use wire::{Malformed, Segment};

use super::cx::{Cx, SoId};
use super::inpcb::{InConninfo as Conninfo, Inpcb, Inpcbinfo};
use super::socket::{Inet, Socket};
use crate::errno::Errno;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
pub(crate) use fastopen::Fastopen;
use hostcache::Limits;
pub(crate) use isn::Isn;
pub(crate) use md5::Keys;
use subr::min_protoh;
use syncache::Syncache;
use timerq::Timerq;

/// Counters (`struct tcpstat`, the part that somebody reads).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Each has the name of its tcps_ field.
pub struct TcpStat {
    pub rcvtotal: u64,
    pub rcvbadsum: u64,
    pub rcvbadoff: u64,
    pub rcvshort: u64,
    pub rcvreassfull: u64,
    pub rcvdupack: u64,
    pub rcvackpack: u64,
    pub rcvackbyte: u64,
    pub predack: u64,
    pub preddat: u64,
    pub pawsdrop: u64,
    pub sndtotal: u64,
    pub sndpack: u64,
    pub sndbyte: u64,
    pub sndrexmitpack: u64,
    pub sndrexmitbyte: u64,
    pub sndrexmitbad: u64,
    pub sndprobe: u64,
    pub sndctrl: u64,
    pub rexmttimeo: u64,
    pub timeoutdrop: u64,
    pub persistdrop: u64,
    pub keepdrops: u64,
    pub drops: u64,
    pub conndrops: u64,
    pub closed: u64,
    pub accepts: u64,
    pub connects: u64,
    pub listendrop: u64,
}

/// TCP's state in a vnet beyond the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub(crate) sysctl: Sysctl,
    pub(crate) stat: TcpStat,
    /// Connections and listeners by address.
    pub(crate) tcbinfo: Inpcbinfo,
    /// Each connection's next deadline (`t_callout`).
    pub(crate) timerq: Timerq,
    pub(crate) syncache: Syncache,
    pub(crate) hostcache: Hostcache,
    pub(crate) isn: Isn,
    pub(crate) ts_offset_secret: [u64; 2],
    pub(crate) fastopen: Fastopen,
    pub(crate) md5_keys: Keys,
    /// Listeners one of whose pending Fast Open connections has ended.
    pub(crate) tfo_released: Vec<SoId>,
}

/// A connection with all it may touch while a segment, a timer or a call works on it.
pub(crate) struct Conn<'c, 'e> {
    pub(crate) so: &'c mut Socket,
    pub(crate) inp: &'c mut Inpcb,
    pub(crate) tp: &'c mut Tcpcb,
    pub(crate) tcp: &'c mut Tcp,
    pub(crate) cx: &'c mut Cx<'e>,
}

impl Tcp {
    /// The state of a new vnet; secrets are drawn from `rng`.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            sysctl: Sysctl::default(),
            stat: TcpStat::default(),
            tcbinfo: Inpcbinfo::default(),
            timerq: Timerq::default(),
            syncache: Syncache::new(rng),
            hostcache: Hostcache::default(),
            isn: Isn::new(rng),
            ts_offset_secret: [rng.next_u64(), rng.next_u64()],
            fastopen: Fastopen::default(),
            md5_keys: Keys::default(),
            tfo_released: Vec::new(),
        }
    }

    /// The options that the settings let in.
    pub(crate) fn accept(&self) -> Accept {
        Accept {
            sack: self.sysctl.sack_enable != 0,
            fastopen: self.sysctl.fastopen_client_enable != 0
                || self.sysctl.fastopen_server_enable != 0,
        }
    }

    pub(crate) fn hostcache_limits(&self) -> Limits {
        Limits {
            enable: self.sysctl.hostcache_enable != 0,
            cachelimit: self.sysctl.hostcache_cachelimit.max(0) as usize,
            expire: Duration::from_secs(self.sysctl.hostcache_expire.max(0) as u64),
        }
    }

    /// A connection ends: what it learned is kept (`tcp_discardcb`).
    pub(crate) fn discardcb(&mut self, tp: &Tcpcb, inp: &Inpcb, so: &Socket, now: Instant) {
        if tp.t_rttupdated < 4 {
            return;
        }
        let mut ssthresh = tp.snd_ssthresh;
        if ssthresh != 0 && ssthresh < so.so_snd.sb_hiwat / 2 {
            let maxseg = tp.t_maxseg.max(1);
            let segs = ((ssthresh + maxseg / 2) / maxseg).max(2);
            ssthresh = segs * (maxseg + min_protoh(inp.inc.is_v6()));
        } else {
            ssthresh = 0;
        }
        let metrics = Metrics {
            rmx_mtu: 0,
            rmx_ssthresh: ssthresh,
            rmx_rtt: tp.t_srtt,
            rmx_rttvar: tp.t_rttvar,
            rmx_cwnd: tp.snd_cwnd,
        };
        let limits = self.hostcache_limits();
        self.hostcache.update(inp.inc.faddr, metrics, now, limits);
    }
}

/// What is left of a window after a mark, in percent.
const BETA_ECN: &str = "net.inet.tcp.cc.newreno.beta_ecn";
/// What the UDP encapsulation of TCP listens on.
const TUNNELING_PORT: &str = "net.inet.tcp.udp_tunneling_port";

impl Inet {
    /// When a timer of TCP is due next.
    pub fn next_timer(&self) -> Option<Instant> {
        let conns = self.tcp.timerq.first().map(|(at, _)| at);
        let embryos = self.tcp.syncache_next_timer();
        let autokey = self.tcp.fastopen.autokey_at;
        [conns, embryos, autokey].into_iter().flatten().min()
    }

    /// Runs what is due, earliest first.
    pub fn run_timers(&mut self, cx: &mut Cx<'_>) {
        self.tcp.syncache_run(cx);
        self.tcp.fastopen_run(cx);
        while let Some((at, so)) = self.tcp.timerq.first() {
            if at > cx.now {
                break;
            }
            if self.with_conn(so, cx, |conn| conn.timer_enter()).is_none() {
                self.tcp.timerq.set(so, None);
            }
        }
        self.release_tfo();
    }

    /// Chooses the congestion control of new connections (`net.inet.tcp.cc.algorithm`): `ESRCH` for
    /// one that does not exist.
    pub fn cc_algorithm_set(&mut self, name: &str) -> Result<(), Errno> {
        let cubic = match Algorithm::from_name(name.trim()).ok_or(Errno::ESRCH)? {
            Algorithm::Cubic => 1,
            Algorithm::NewReno => 0,
        };
        self.tcp.sysctl.cubic = cubic;
        Ok(())
    }

    /// Chooses the stack of new connections (`net.inet.tcp.functions_default`): `ENOENT` for one that is not loaded.
    pub fn functions_default_set(&self, name: &str) -> Result<(), Errno> {
        sockopt::known_function_set(name.trim().as_bytes())
    }

    /// A variable's value by name (`sysctl(8)`): `ENOENT` for an unknown one.
    pub fn sysctl_get(&self, name: &str) -> Result<i64, Errno> {
        self.tcp.sysctl.get(name)
    }

    /// Sets a variable by name: `ENOENT` for an unknown one, `EINVAL` outside its range, `EADDRINUSE`
    /// for a tunneling port that a socket has, which leaves tunneling off, `EACCES` for what is left of a window
    /// after a mark as long as marks are like losses (`newreno_beta_handler`, `cc_newreno.c`).
    pub fn sysctl_set(&mut self, cx: &mut Cx<'_>, name: &str, value: i64) -> Result<(), Errno> {
        let old = self.tcp.sysctl.clone();
        if name == BETA_ECN && old.cc_abe == 0 {
            return Err(Errno::EACCES);
        }
        self.tcp.sysctl.set(name, value)?;
        let tunnel = self.tunnel_port().filter(|_| name == TUNNELING_PORT);
        if tunnel.is_some_and(|port| self.udb.has_port(port)) {
            // The kernel's own sockets find the port taken (tcp_over_udp_start).
            self.tcp.sysctl.udp_tunneling_port = 0;
            return Err(Errno::EADDRINUSE);
        }
        self.tcp.fastopen_sysctl(cx, &old);
        self.tcp.syncache_resize(&old, cx.now);
        if self.tcp.sysctl.hostcache_purgenow != 0 {
            self.tcp.sysctl.hostcache_purgenow = 0;
            self.tcp.hostcache.purge();
        }
        Ok(())
    }
}
