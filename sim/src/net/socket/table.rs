// SPDX-License-Identifier: BSD-2-Clause
//! The table of sockets, and what keeps it and the protocols' indices in step.

use super::bits::{SO_REUSEADDR, SO_REUSEPORT, SO_REUSEPORT_LB};
use super::{Domain, Proto, Socket};
use crate::net::cx::{Cx, SoId};
use crate::net::inpcb::{InConninfo, Inpcb, Inpcbinfo, Reuse};
use crate::net::sockbuf::Sockbuf;
use crate::net::tcp::{Conn, Tcp, Tcpcb};
use crate::rng::Rng;
use crate::time::Instant;

/// A protocol's control block beyond the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pcb {
    /// TCP.
    Tcp(Box<Tcpcb>),
    /// UDP: addresses are all it has.
    Udp,
    /// Raw IP.
    Raw,
}

/// A socket with its control blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The socket.
    pub(crate) so: Socket,
    /// Its addresses.
    pub(crate) inp: Inpcb,
    /// Its protocol's block.
    pub(crate) pcb: Pcb,
    /// The addresses under which the block is in its protocol's table (`INP_INHASHLIST`).
    pub(crate) inhash: Option<InConninfo>,
}

impl Entry {
    /// How the socket shares its local address.
    pub(crate) fn reuse(&self) -> Reuse {
        Reuse {
            addr: self.so.option(SO_REUSEADDR),
            port: self.so.option(SO_REUSEPORT),
            lb: self.so.option(SO_REUSEPORT_LB),
        }
    }
}

/// The sockets and transports of one vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inet {
    slots: Vec<(u32, Option<Box<Entry>>)>,
    free: Vec<u32>,
    /// How many sockets there have been, modulo 2^32: the upper half of the next name, so that
    /// names order by age.
    births: u32,
    /// TCP's state beyond the connections.
    pub(crate) tcp: Tcp,
    /// UDP's addresses.
    pub(crate) udb: Inpcbinfo,
}

impl Inet {
    /// The transports of a new vnet; secrets are drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            births: 0,
            tcp: Tcp::new(rng),
            udb: Inpcbinfo::default(),
        }
    }

    /// Begins the names of sockets elsewhere: those of a restored vnet mean nothing here.
    pub(crate) fn number_from(&mut self, births: u32) {
        self.births = births;
    }

    /// The socket with this name.
    pub fn get(&self, so: SoId) -> Option<&Entry> {
        match self.slots.get(so.0 as u32 as usize) {
            Some((generation, Some(entry))) if u64::from(*generation) == so.0 >> 32 => Some(entry),
            _ => None,
        }
    }

    /// The socket with this name, to be changed.
    pub(crate) fn get_mut(&mut self, so: SoId) -> Option<&mut Entry> {
        lookup(&mut self.slots, so)
    }

    /// All sockets, in no meaningful but a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|(_, entry)| entry.as_deref())
    }

    /// All sockets, oldest first.
    pub(crate) fn by_age(&self) -> Vec<&Entry> {
        let mut all: Vec<&Entry> = self.iter().collect();
        all.sort_by_key(|entry| entry.so.id);
        all
    }

    /// Enters a new socket with no references yet.
    pub(crate) fn alloc(
        &mut self,
        domain: Domain,
        proto: Proto,
        buffers: (Sockbuf, Sockbuf),
        pcb: Pcb,
    ) -> SoId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.0 = self.births;
        self.births = self.births.wrapping_add(1);
        let id = SoId(u64::from(slot.0) << 32 | u64::from(index));
        let so = Socket {
            id,
            so_domain: domain,
            so_proto: proto,
            so_options: 0,
            so_state: 0,
            so_error: None,
            so_linger: 0,
            so_count: 0,
            so_oobmark: 0,
            so_rcv: buffers.0,
            so_snd: buffers.1,
            sol: None,
            so_listen: None,
        };
        let inp = Inpcb::new(domain == Domain::Inet6);
        slot.1 = Some(Box::new(Entry {
            so,
            inp,
            pcb,
            inhash: None,
        }));
        id
    }

    /// Runs `f` on a TCP socket with everything a connection may touch, then settles.
    pub(crate) fn with_conn<R>(
        &mut self,
        so: SoId,
        cx: &mut Cx<'_>,
        f: impl FnOnce(&mut Conn<'_, '_>) -> R,
    ) -> Option<R> {
        let entry = lookup(&mut self.slots, so)?;
        let Pcb::Tcp(tp) = &mut entry.pcb else {
            return None;
        };
        let mut conn = Conn {
            so: &mut entry.so,
            inp: &mut entry.inp,
            tp,
            tcp: &mut self.tcp,
            cx,
        };
        let result = f(&mut conn);
        self.settle(so, cx.now);
        Some(result)
    }

    /// Brings timer index and address table in step with the blocks; frees what nobody refers to.
    pub(crate) fn settle(&mut self, so: SoId, now: Instant) {
        let Some(entry) = lookup(&mut self.slots, so) else {
            return;
        };
        let info = match entry.so.so_proto {
            Proto::Tcp => &mut self.tcp.tcbinfo,
            Proto::Udp | Proto::Raw(_) => &mut self.udb,
        };
        let gone = entry.so.so_count == 0;
        let wanted = entry.inp.inc.lport != 0 && !entry.inp.dropped() && !gone;
        let same = match &entry.inhash {
            Some(inc) => wanted && *inc == entry.inp.inc,
            None => !wanted,
        };
        if !same {
            if let Some(old) = entry.inhash.take() {
                info.remove(so, &old);
            }
            if wanted {
                info.insert(so, &entry.inp, entry.reuse());
                entry.inhash = Some(entry.inp.inc);
            }
        }
        if let Pcb::Tcp(tp) = &mut entry.pcb {
            if gone || entry.inp.dropped() {
                tp.t_timers = [None; 5];
            }
            let next = tp.next_timer().map(|(at, _)| at);
            self.tcp.timerq.set(so, next);
        }
        if gone {
            self.free_socket(so, now);
        }
    }

    /// Frees a socket without references (`sofree`, `tcp_usr_detach`).
    fn free_socket(&mut self, so: SoId, now: Instant) {
        let index = so.0 as u32;
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(entry) = slot.1.take() else { return };
        self.free.push(index);
        if let Pcb::Tcp(tp) = &entry.pcb {
            self.tcp.discardcb(tp, &entry.inp, &entry.so, now);
        }
    }

    /// Adds a reference (`soref`).
    pub(crate) fn soref(&mut self, so: SoId) {
        if let Some(entry) = self.get_mut(so) {
            entry.so.so_count += 1;
        }
    }

    /// Drops a reference (`sorele`), and with the last the socket.
    pub(crate) fn sorele(&mut self, so: SoId, now: Instant) {
        if let Some(entry) = self.get_mut(so) {
            entry.so.so_count = entry.so.so_count.saturating_sub(1);
            self.settle(so, now);
        }
    }
}

fn lookup(slots: &mut [(u32, Option<Box<Entry>>)], so: SoId) -> Option<&mut Entry> {
    match slots.get_mut(so.0 as u32 as usize) {
        Some((generation, Some(entry))) if u64::from(*generation) == so.0 >> 32 => Some(entry),
        _ => None,
    }
}
