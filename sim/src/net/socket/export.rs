// SPDX-License-Identifier: BSD-2-Clause
//! What `netstat(1)` and `setkey(8)` see and set from outside the program that holds a socket
//! (`struct xsocket`, `struct xtcpcb`, `sys/socketvar.h`, `netinet/tcp_var.h`, 15.0).

use std::net::IpAddr;

use super::{Inet, Pcb};
use crate::net::cx::SoId;
use crate::net::sockbuf::Sockbuf;
use crate::net::tcp::State;

/// How full a buffer is (`struct xsockbuf`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XSockbuf {
    /// Bytes held (`sb_cc`).
    pub sb_cc: u32,
    /// Most bytes that should be held (`sb_hiwat`).
    pub sb_hiwat: u32,
}

impl XSockbuf {
    fn of(sb: &Sockbuf) -> Self {
        Self {
            sb_cc: sb.used(),
            sb_hiwat: sb.sb_hiwat,
        }
    }
}

/// A TCP socket as the system shows it (`struct xtcpcb`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XTcpcb {
    /// State of the connection; CLOSED where it has ended and only the socket is left.
    pub t_state: State,
    /// The receive buffer.
    pub so_rcv: XSockbuf,
    /// The send buffer.
    pub so_snd: XSockbuf,
    /// Bytes that wait for the ones before them.
    pub t_segqlen: u32,
}

impl Inet {
    /// A TCP socket as the system shows it; `None` where there is none of this name.
    pub fn xtcpcb(&self, so: SoId) -> Option<XTcpcb> {
        let entry = self.get(so)?;
        let Pcb::Tcp(tp) = &entry.pcb else {
            return None;
        };
        let ended = entry.inp.dropped();
        Some(XTcpcb {
            t_state: if ended { State::Closed } else { tp.t_state },
            so_rcv: XSockbuf::of(&entry.so.so_rcv),
            so_snd: XSockbuf::of(&entry.so.so_snd),
            t_segqlen: tp.t_segq.entries.iter().map(|e| e.text.len() as u32).sum(),
        })
    }

    /// The names of all TCP sockets, oldest first.
    pub fn tcp_sockets(&self) -> Vec<SoId> {
        let tcp = |entry: &&super::Entry| matches!(entry.pcb, Pcb::Tcp(_));
        self.by_age()
            .into_iter()
            .filter(tcp)
            .map(|entry| entry.so.id)
            .collect()
    }

    /// Connections that are asked for and not yet there (`net.inet.tcp.syncache.count`).
    pub fn syncache_count(&self) -> usize {
        self.tcp.syncache.entries.len()
    }

    /// Adds the key by which segments from `src` to `dst` are signed (`setkey(8)`, protocol `tcp`).
    pub fn tcp_md5_key(&mut self, src: IpAddr, dst: IpAddr, key: &[u8]) {
        self.tcp.md5_keys.by_pair.insert((src, dst), key.to_vec());
    }
}
