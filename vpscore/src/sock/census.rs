// SPDX-License-Identifier: BSD-2-Clause
//! What sockets demand of each other, of their vnet and of the host they come to.
//!
//! A record alone may be a state that a kernel can be in, and still two of them not: two connections
//! with the same ends, a queue without its listener. A kernel counts the records of an image here
//! before it makes anything of them.
//!
//! # Without a rule, and why
//! Two unconnected sockets may have the same local address whatever their options say, as these can be
//! taken back after `bind(2)`. More may wait in a queue than its backlog lets in (`solisten_clone`), for the
//! listener may have asked for a shorter one since, and may have been allowed a longer one than any other now:
//! how many wait is bounded as the number of sockets is.
//!
//! # Use
//! Addresses first, then sockets in the order of the image, then embryonic connections, then
//! [`Census::finish`].

use super::inpcb::{INP_BINDANY, INP_DROPPED, InAddr, InConninfo};
use super::{SoType, Socket, Syncache, Tcpcb};
use crate::collections::{List, NoMemory, sort};
use crate::errno::Errno;
use crate::limits::{SOCKETS_MAX, SYNCACHE_MAX, TCP_HOLES_MAX, TCP_SEGQ_MAX};

/// What the host allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// `kern.ipc.maxsockbuf` (`sb_max`), bytes.
    pub maxsockbuf: u64,
    /// How many more sockets `kern.ipc.maxsockets` has room for.
    pub sockets: usize,
}

impl Ceilings {
    /// A host that sets no limits of its own.
    pub const MOST: Self = Self {
        maxsockbuf: u64::MAX,
        sockets: SOCKETS_MAX,
    };

    /// `sb_max_adj`: the most that `sbreserve_locked` lets a buffer have. `sb_max` also pays for the
    /// mbufs around the clusters (`uipc_sockbuf.c`, 15.0).
    pub const fn sb_max_adj(&self) -> u64 {
        const MSIZE: u64 = 256;
        const MCLBYTES: u64 = 2048;
        // sb_max * MCLBYTES / (MSIZE + MCLBYTES), without an intermediate that overflows.
        let (whole, rest) = (self.maxsockbuf / 9, self.maxsockbuf % 9);
        const { assert!((MSIZE + MCLBYTES) / MSIZE == 9 && MCLBYTES / MSIZE == 8) };
        whole
            .saturating_mul(8)
            .saturating_add(rest.saturating_mul(8) / 9)
    }
}

/// Why an object cannot stand beside the others, or on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Its local address is none of its vnet's, and it may not have others (`INP_BINDANY`).
    Address,
    /// Another has the same ends.
    Ends,
    /// It waits in the queue of something that is no listener of its vnet.
    Listener,
    /// A buffer, or the window that the peer may still fill, is beyond `kern.ipc.maxsockbuf`.
    Maxsockbuf,
    /// There are more sockets than `kern.ipc.maxsockets` has room for.
    Maxsockets,
    /// There are more embryonic connections than any SYN cache holds.
    Syncache,
    /// There are more holes in scoreboards than `net.inet.tcp.sack.globalmaxholes` ever allows.
    Holes,
    /// There are more segments out of order than `net.inet.tcp.reass.maxsegments` ever allows.
    Segments,
    /// There is no memory to count.
    NoMemory,
}

impl From<Rule> for Errno {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Address => Self::EADDRNOTAVAIL,
            Rule::Ends => Self::EADDRINUSE,
            Rule::Listener => Self::EINVAL,
            Rule::Maxsockbuf | Rule::Maxsockets | Rule::Syncache | Rule::Holes | Rule::Segments => {
                Self::ENOBUFS
            }
            Rule::NoMemory => Self::ENOMEM,
        }
    }
}

/// A rule and the object of the image that breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// The object.
    pub object: u32,
    /// The rule.
    pub rule: Rule,
}

/// The two ends of a connection, in an order; the object comes last, so that equal ends are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    vnet: u32,
    kind: Kind,
    ports: (u16, u16),
    zoneid: u32,
    laddr: InAddr,
    faddr: InAddr,
    object: u32,
}

/// Which table of a vnet has the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tcp,
    Udp,
    Syncache,
}

/// A listener.
#[derive(Clone, Copy, Debug)]
struct Listener {
    object: u32,
    vnet: u32,
}

/// The sockets of an image, counted.
#[derive(Debug)]
pub struct Census {
    ceilings: Ceilings,
    /// Own addresses by vnet, sorted when the first socket comes.
    addresses: List<(u32, InAddr)>,
    sorted: bool,
    listeners: List<Listener>,
    ends: List<Ends>,
    sockets: usize,
    syncaches: usize,
    holes: usize,
    segments: usize,
}

impl Census {
    /// Nothing counted yet.
    pub const fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            addresses: List::new(),
            sorted: false,
            listeners: List::new(),
            ends: List::new(),
            sockets: 0,
            syncaches: 0,
            holes: 0,
            segments: 0,
        }
    }

    /// An address of an interface of a vnet, with its prefix; its broadcast address is one too
    /// (`ifa_ifwithaddr`, `if.c`, 15.0).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn address(&mut self, vnet: u32, addr: InAddr, prefixlen: u8) -> Result<(), NoMemory> {
        self.sorted = false;
        self.addresses.push((vnet, without_zone(addr)))?;
        if let InAddr::V4(octets) = addr
            && prefixlen < 31
        {
            let hosts = u32::MAX.checked_shr(prefixlen.into()).unwrap_or(0);
            let last = u32::from_be_bytes(octets) | hosts;
            self.addresses
                .push((vnet, InAddr::V4(last.to_be_bytes())))?;
        }
        Ok(())
    }

    /// A socket.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn socket(&mut self, object: u32, so: &Socket) -> Result<(), Offence> {
        let offence = |rule| Offence { object, rule };
        self.sockets = self.sockets.saturating_add(1);
        if self.sockets > self.ceilings.sockets {
            return Err(offence(Rule::Maxsockets));
        }
        self.buffers(so).map_err(offence)?;
        self.queue(object, so).map_err(offence)?;
        let Some(inp) = &so.inpcb else {
            return Ok(());
        };
        if inp.inp_flags & INP_DROPPED != 0 {
            return Ok(());
        }
        let vnet = so.so_vnet.id();
        let any = inp.inp_flags & INP_BINDANY != 0;
        if !any && !self.is_local(vnet, inp.inp_inc.laddr) {
            return Err(offence(Rule::Address));
        }
        if let Some(tp) = &so.tcpcb {
            self.queues(tp).map_err(offence)?;
        }
        let kind = match so.so_type {
            SoType::Stream => Kind::Tcp,
            SoType::Dgram => Kind::Udp,
            SoType::Raw | SoType::Seqpacket => return Ok(()),
        };
        self.connected(object, vnet, kind, &inp.inp_inc)
            .map_err(|_| offence(Rule::NoMemory))
    }

    /// An embryonic connection.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn syncache(&mut self, object: u32, sc: &Syncache) -> Result<(), Offence> {
        let offence = |rule| Offence { object, rule };
        self.syncaches = self.syncaches.saturating_add(1);
        if self.syncaches > SYNCACHE_MAX {
            return Err(offence(Rule::Syncache));
        }
        let vnet = sc.vnet.id();
        if !self.is_local(vnet, sc.sc_inc.laddr) {
            return Err(offence(Rule::Address));
        }
        self.connected(object, vnet, Kind::Syncache, &sc.sc_inc)
            .map_err(|_| offence(Rule::NoMemory))
    }

    /// What only all of them together show.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn finish(mut self) -> Result<(), Offence> {
        sort(self.ends.as_mut_slice());
        let mut before: Option<Ends> = None;
        for ends in &self.ends {
            let same = before.is_some_and(|before| {
                Ends {
                    object: 0,
                    ..before
                } == Ends { object: 0, ..*ends }
            });
            if same {
                return Err(Offence {
                    object: ends.object,
                    rule: Rule::Ends,
                });
            }
            before = Some(*ends);
        }
        Ok(())
    }

    fn connected(
        &mut self,
        object: u32,
        vnet: u32,
        kind: Kind,
        inc: &InConninfo,
    ) -> Result<(), NoMemory> {
        if inc.fport == 0 {
            return Ok(());
        }
        self.ends.push(Ends {
            vnet,
            kind,
            ports: (inc.lport, inc.fport),
            zoneid: inc.zoneid,
            laddr: inc.laddr,
            faddr: inc.faddr,
            object,
        })
    }

    fn is_local(&mut self, vnet: u32, addr: InAddr) -> bool {
        if !self.sorted {
            sort(self.addresses.as_mut_slice());
            self.sorted = true;
        }
        let key = (vnet, without_zone(addr));
        addr.is_any()
            || addr.is_multicast()
            || self.addresses.as_slice().binary_search(&key).is_ok()
    }

    /// What `sbreserve_locked` would have refused on this host, and what the peer may add to it.
    fn buffers(&self, so: &Socket) -> Result<(), Rule> {
        let most = self.ceilings.sb_max_adj();
        let all = self.ceilings.maxsockbuf;
        for sb in [&so.so_rcv, &so.so_snd].into_iter().flatten() {
            let large = u64::from(sb.sb_hiwat) > most;
            if large || u64::from(sb.sb_ccc) > all || u64::from(sb.sb_mbmax) > all {
                return Err(Rule::Maxsockbuf);
            }
        }
        if let Some(sol) = &so.listen
            && u64::from(sol.sbrcv_hiwat.max(sol.sbsnd_hiwat)) > most
        {
            return Err(Rule::Maxsockbuf);
        }
        if let (Some(tp), Some(rcv)) = (&so.tcpcb, &so.so_rcv)
            && tp.t_state.have_established()
        {
            let window = u64::try_from(tp.rcv_adv.since(tp.rcv_nxt)).unwrap_or(0);
            if window.saturating_add(rcv.sb_ccc.into()) > all {
                return Err(Rule::Maxsockbuf);
            }
        }
        Ok(())
    }

    fn queue(&mut self, object: u32, so: &Socket) -> Result<(), Rule> {
        let vnet = so.so_vnet.id();
        if so.listen.is_some() {
            let listener = Listener { object, vnet };
            return self.listeners.push(listener).map_err(|_| Rule::NoMemory);
        }
        let Some(by) = so.so_listen else {
            return Ok(());
        };
        // Listeners were counted in the order of their numbers.
        let found = self
            .listeners
            .as_slice()
            .binary_search_by_key(&by.id(), |listener| listener.object);
        let listener = found.ok().and_then(|at| self.listeners.get(at));
        match listener {
            Some(listener) if listener.vnet == vnet => Ok(()),
            _ => Err(Rule::Listener),
        }
    }

    fn queues(&mut self, tp: &Tcpcb) -> Result<(), Rule> {
        self.holes = self.holes.saturating_add(tp.snd_holes.len());
        self.segments = self.segments.saturating_add(tp.t_segq.len());
        if self.holes > TCP_HOLES_MAX {
            return Err(Rule::Holes);
        }
        if self.segments > TCP_SEGQ_MAX {
            return Err(Rule::Segments);
        }
        Ok(())
    }
}

/// A link-local address without the zone that the kernel writes into it (`in6_setscope`).
fn without_zone(addr: InAddr) -> InAddr {
    match addr {
        InAddr::V6([0xfe, second, _, _, rest @ ..]) if second & 0xc0 == 0x80 => {
            let mut bytes = [0; 16];
            let front = [0xfe, second, 0, 0].into_iter();
            for (to, from) in bytes.iter_mut().zip(front.chain(rest)) {
                *to = from;
            }
            InAddr::V6(bytes)
        }
        other => other,
    }
}
