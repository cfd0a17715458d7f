// SPDX-License-Identifier: BSD-2-Clause
//! The sockets of the vnets of an image, and what TCP keeps beside them, written and built again.
//!
//! The order of kinds makes three phases of it: TCP's own state stands with the IP layer, sockets
//! after credentials, and embryonic connections after sockets. Sockets come by age, so that a
//! listener stands before what waits in its queue, and what waits in the order of the queue.
//!
//! - I1: names of sockets do not cross: [`capture_sockets`] says which object each became, and a
//!   built stack which socket each object became.
//! - I2: restored sockets have the order of age of the captured ones: what is due at the same moment
//!   happens in the same order.
//! - I3: a restored table of addresses is one that the calls could have made: no two connections
//!   have the same ends.
//!
//! # Failure
//! As of [`super::stacks`]: what does not fit is found while nothing is suspended for good.

use std::collections::BTreeMap;

use vpscore::cbor::{Breach, Record};
use vpscore::collections::NoMemory;
use vpscore::image::{InstanceRef, SocketRef, UcredRef, VnetRef, WriteError};
use vpscore::sock::{self, Ceilings, Census, SoQstate};

use super::super::digest::ImageWriter;
use super::error::{BuildError, CaptureError, Unfit, Unmovable};
use super::so::{
    inpcb_record, listen_record, protocol_from, protocol_of, restore_inpcb, restore_listen,
    restore_sockbuf, sockbuf_record,
};
use super::tcp_vnet::{restore_syncache, restore_tcp_vnet, syncache_record, tcp_vnet_record};
use super::tcpcb::{restore_tcpcb, tcpcb_record};
use super::values::{errno_from, errno_of, in_addr};
use crate::net::cx::SoId;
use crate::net::inpcb::INP_SOCKREF;
use crate::net::sockbuf::Sockbuf;
use crate::net::socket::{Domain, Entry, Inet, Pcb, Proto, Socket};
use crate::net::tcp::Sc;
use crate::net::vnet::Vnet;
use crate::time::Instant;

/// Which object of the image each socket became.
pub type SocketRefs = BTreeMap<(VnetRef, SoId), SocketRef>;

/// The stacks of an image with the instances that own them.
pub type Stacks<'s> = [(InstanceRef, &'s Vnet<Inet>)];

/// Bytes of a socket's streams, by the numbers of [`sock::SockStream`].
type Streams = [Vec<u8>; 3];

/// A stack built from an image.
#[derive(Debug)]
pub struct BuiltStack {
    /// The instance's object in the image.
    pub instance: InstanceRef,
    /// The stack, suspended.
    pub stack: Vnet<Inet>,
    /// Which socket each object of the image became.
    pub sockets: BTreeMap<u32, SoId>,
}

/// The vnet's own moment.
pub(super) fn local(stack: &Vnet<Inet>, now: Instant) -> Instant {
    stack.suspended_at.unwrap_or_else(|| stack.local(now))
}

/// What is written, counted as a target will count it: what no host would take is refused here.
struct Counted {
    census: Census,
    /// The stack of each object, and the socket where it is one.
    whose: BTreeMap<u32, (usize, Option<SoId>)>,
}

impl Counted {
    /// The addresses of all stacks. What only some hosts forbid, they refuse themselves.
    fn of(stacks: &Stacks<'_>, vnets: &[VnetRef]) -> Result<Self, CaptureError> {
        let mut census = Census::new(Ceilings::MOST);
        for ((_, stack), vnet) in stacks.iter().zip(vnets) {
            count_addresses(&mut census, vnet.id(), stack).map_err(WriteError::from)?;
        }
        let whose = BTreeMap::new();
        Ok(Self { census, whose })
    }

    fn socket(
        &mut self,
        object: u32,
        (at, so): (usize, SoId),
        record: &sock::Socket,
    ) -> Result<(), CaptureError> {
        self.whose.insert(object, (at, Some(so)));
        let counted = self.census.socket(object, record);
        counted.map_err(|offence| refused(&self.whose, offence))
    }

    fn syncache(
        &mut self,
        object: u32,
        at: usize,
        record: &sock::Syncache,
    ) -> Result<(), CaptureError> {
        self.whose.insert(object, (at, None));
        let counted = self.census.syncache(object, record);
        counted.map_err(|offence| refused(&self.whose, offence))
    }

    fn finish(self) -> Result<(), CaptureError> {
        let counted = self.census.finish();
        counted.map_err(|offence| refused(&self.whose, offence))
    }
}

fn refused(whose: &BTreeMap<u32, (usize, Option<SoId>)>, offence: sock::Offence) -> CaptureError {
    let (at, so) = whose.get(&offence.object).copied().unwrap_or_default();
    CaptureError::Unmovable(at, Unmovable::Census(so, offence.rule))
}

fn count_addresses(census: &mut Census, vnet: u32, stack: &Vnet<Inet>) -> Result<(), NoMemory> {
    for ifa in stack.ip.ifnets().flat_map(|(_, ifnet)| &ifnet.addrs) {
        census.address(vnet, in_addr(ifa.addr), ifa.prefix_len)?;
    }
    Ok(())
}

/// Writes the internet sockets of `stacks`, of which `vnets` are the references, and their embryonic
/// connections. `cred` knows the credentials of a socket; of one that no process holds any more, those it
/// was made with; of an embryonic connection, those of its listener.
///
/// # Errors
/// [`Unmovable::Socket`] where it does not know them, [`Unmovable::Census`] where no host would take what
/// was written.
pub fn capture_sockets(
    w: &mut ImageWriter,
    (stacks, vnets): (&Stacks<'_>, &[VnetRef]),
    cred: impl Fn(VnetRef, Option<SoId>) -> Option<UcredRef>,
    now: Instant,
) -> Result<SocketRefs, CaptureError> {
    let mut counted = Counted::of(stacks, vnets)?;
    let mut refs = SocketRefs::new();
    for (at, ((_, stack), vnet)) in stacks.iter().zip(vnets).enumerate() {
        let unmovable = |what| CaptureError::Unmovable(at, what);
        for entry in stack.transports.by_age() {
            let id = entry.so.id;
            let so_cred = cred(*vnet, Some(id)).ok_or(unmovable(Unmovable::Socket(id)))?;
            let known = |so: SoId| refs.get(&(*vnet, so)).copied();
            let (record, streams) =
                socket_record(stack, entry, (*vnet, so_cred), known, local(stack, now))
                    .map_err(unmovable)?;
            let so: SocketRef = w.put(&record)?;
            counted.socket(so.id(), (at, id), &record)?;
            for (stream, bytes) in (0_u32..).zip(&streams) {
                if !bytes.is_empty() {
                    w.stream(stream, bytes)?;
                }
            }
            refs.insert((*vnet, id), so);
        }
    }
    for (at, ((_, stack), vnet)) in stacks.iter().zip(vnets).enumerate() {
        let tcp = &stack.transports.tcp;
        for sc in tcp.syncache.by_age() {
            let listener = tcp.tcbinfo.lookup(&sc.sc_inc, true);
            let nobody = Unmovable::Socket(listener.unwrap_or(SoId(u64::MAX)));
            let sc_cred = cred(*vnet, listener).ok_or(CaptureError::Unmovable(at, nobody))?;
            let record = syncache_record(sc, *vnet, sc_cred, local(stack, now));
            let object = w.object(&record)?;
            counted.syncache(object, at, &record)?;
        }
    }
    counted.finish()?;
    Ok(refs)
}

fn socket_record(
    stack: &Vnet<Inet>,
    entry: &Entry,
    (so_vnet, so_cred): (VnetRef, UcredRef),
    known: impl Fn(SoId) -> Option<SocketRef>,
    now: Instant,
) -> Result<(sock::Socket, Streams), Unmovable> {
    // Whoever adds a field has to say here how it is carried.
    let Entry {
        so,
        inp,
        pcb,
        inhash,
    } = entry;
    let _entered_again = inhash;
    let Socket {
        id: _,
        so_domain,
        so_proto,
        so_options,
        so_state,
        so_error,
        so_linger,
        so_count,
        so_oobmark,
        so_rcv: rcv_buffer,
        so_snd: snd_buffer,
        sol,
        so_listen,
    } = so;
    let sysctl = &stack.transports.tcp.sysctl;
    let (so_type, protocol) = protocol_of(*so_proto);
    let mut streams = Streams::default();
    let [rcv, snd, reass] = &mut streams;
    let (mut so_rcv, mut so_snd) = (None, None);
    if sol.is_none() {
        let (record, bytes) = sockbuf_record(rcv_buffer, sysctl)?;
        (so_rcv, *rcv) = (Some(record), bytes);
        let (record, bytes) = sockbuf_record(snd_buffer, sysctl)?;
        (so_snd, *snd) = (Some(record), bytes);
    }
    let mut tcpcb = None;
    if let Pcb::Tcp(tp) = pcb {
        let (record, bytes) = tcpcb_record(tp, now, sysctl, &known)?;
        (tcpcb, *reass) = (Some(record), bytes);
    }
    let others = u32::from(so_listen.is_some()) + u32::from(inp.inp_flags & INP_SOCKREF != 0);
    let so_listen = so_listen.and_then(&known);
    let record = sock::Socket {
        so_vnet,
        domain: match so_domain {
            Domain::Inet => sock::Domain::Inet,
            Domain::Inet6 => sock::Domain::Inet6,
        },
        so_type,
        protocol,
        so_options: *so_options,
        so_state: *so_state as u16,
        so_linger: *so_linger as u16 as i16,
        so_error: errno_of(*so_error),
        so_rerror: 0,
        so_cred,
        so_sigio: None,
        so_fibnum: 0,
        so_user_cookie: 0,
        so_ts_clock: 0,
        so_max_pacing_rate: 0,
        so_oobmark: *so_oobmark,
        so_listen,
        so_qstate: so_listen.map(|_| SoQstate::Comp),
        so_rcv,
        so_snd,
        listen: sol.as_deref().map(listen_record),
        inpcb: Some(inpcb_record(inp, *so_proto)?),
        tcpcb,
        so_fdref: Some(*so_count > others),
    };
    Ok((record, streams))
}

/// The sockets of an image that is being read, and TCP's state beside them.
#[derive(Debug, Default)]
pub(super) struct SocketImage {
    tcp_vnets: Vec<(u32, sock::TcpVnet)>,
    sockets: BTreeMap<u32, (sock::Socket, Streams)>,
    syncaches: Vec<(u32, sock::Syncache)>,
}

/// Stacks being built, by the number of their vnet.
type Built = BTreeMap<u32, BuiltStack>;

impl SocketImage {
    pub(super) fn tcp_vnet(&mut self, id: u32, record: sock::TcpVnet) {
        self.tcp_vnets.push((id, record));
    }

    pub(super) fn socket(&mut self, id: u32, record: sock::Socket) {
        self.sockets.insert(id, (record, Streams::default()));
    }

    pub(super) fn syncache(&mut self, id: u32, record: sock::Syncache) {
        self.syncaches.push((id, record));
    }

    /// Takes bytes of a stream in; false where they are not of a socket of ours.
    pub(super) fn data(&mut self, id: u32, stream: u32, bytes: &[u8]) -> bool {
        let Some((_, streams)) = self.sockets.get_mut(&id) else {
            return false;
        };
        let stream = usize::try_from(stream).ok();
        match stream.and_then(|stream| streams.get_mut(stream)) {
            Some(stream) => stream.extend_from_slice(bytes),
            None => return false,
        }
        true
    }

    /// Changes what each socket has received and nobody has read.
    pub(super) fn received(&mut self, change: impl Fn(&sock::Socket, &mut [u8])) {
        for (record, [rcv, ..]) in self.sockets.values_mut() {
            change(record, rcv);
        }
    }

    /// Whether the sockets go together, with their vnets and with this host.
    fn census(&self, built: &Built, host: Ceilings) -> Result<(), BuildError> {
        let unfit = |offence: sock::Offence| BuildError::Unfit(offence.object, offence.rule.into());
        let mut census = Census::new(host);
        for (vnet, target) in built {
            let counted = count_addresses(&mut census, *vnet, &target.stack);
            counted.map_err(|_| BuildError::Unfit(*vnet, sock::Rule::NoMemory.into()))?;
        }
        for (id, (record, _)) in &self.sockets {
            census.socket(*id, record).map_err(unfit)?;
        }
        for (id, record) in &self.syncaches {
            census.syncache(*id, record).map_err(unfit)?;
        }
        census.finish().map_err(unfit)
    }

    /// Gives the stacks their sockets.
    pub(super) fn build(&self, built: &mut Built, host: Ceilings) -> Result<(), BuildError> {
        self.census(built, host)?;
        for (id, record) in &self.tcp_vnets {
            let vnet = record.vnet.id();
            let target = built.get_mut(&vnet).ok_or(BuildError::Reference(*id))?;
            let stack = &mut target.stack;
            let now = stack.suspended_at.unwrap_or_default();
            restore_tcp_vnet(record, &mut stack.transports.tcp, &mut stack.rng, now)
                .map_err(|why| BuildError::Unfit(*id, why))?;
        }
        for (id, (record, streams)) in &self.sockets {
            let vnet = record.so_vnet.id();
            let target = built.get_mut(&vnet).ok_or(BuildError::Reference(*id))?;
            restore_socket(*id, record, streams, target)?;
        }
        self.enter_addresses(built)?;
        for (id, record) in &self.syncaches {
            let vnet = record.vnet.id();
            let target = built.get_mut(&vnet).ok_or(BuildError::Reference(*id))?;
            let now = target.stack.suspended_at.unwrap_or_default();
            restore_syncache(record, &mut target.stack.transports.tcp, now);
        }
        self.compare(built)
    }

    /// Whether an image of what was built would say the same: what it would not is refused, for this
    /// kernel would have lost it.
    fn compare(&self, built: &Built) -> Result<(), BuildError> {
        for (id, record) in &self.tcp_vnets {
            let target = built
                .get(&record.vnet.id())
                .ok_or(BuildError::Reference(*id))?;
            let (tcp, rng) = (&target.stack.transports.tcp, &target.stack.rng);
            let now = target.stack.suspended_at.unwrap_or_default();
            let made = tcp_vnet_record(tcp, rng, record.vnet, now);
            let made = made.map_err(|_| BuildError::Unfit(*id, sock::Rule::NoMemory.into()))?;
            kept::<sock::TcpVnet>(*id, record.difference(&made))?;
        }
        let mut names: BTreeMap<(u32, SoId), SocketRef> = BTreeMap::new();
        for (vnet, target) in built {
            let all = target.sockets.iter();
            names.extend(all.map(|(id, so)| ((*vnet, *so), SocketRef::new(*id))));
        }
        for (id, (record, streams)) in &self.sockets {
            let vnet = record.so_vnet.id();
            let target = built.get(&vnet).ok_or(BuildError::Reference(*id))?;
            let known = |so| names.get(&(vnet, so)).copied();
            compare_socket(*id, (record, streams), target, known)?;
        }
        let mut embryos: BTreeMap<u32, Vec<&Sc>> = BTreeMap::new();
        for (vnet, target) in built {
            let all = target.stack.transports.tcp.syncache.by_age();
            embryos.insert(*vnet, all.into_iter().rev().collect());
        }
        for (id, record) in &self.syncaches {
            let vnet = record.vnet.id();
            let target = built.get(&vnet).ok_or(BuildError::Reference(*id))?;
            let sc = embryos.get_mut(&vnet).and_then(Vec::pop);
            // Where there was no room, the oldest went.
            let sc = sc.ok_or(BuildError::Unfit(*id, Unfit::Limit))?;
            let now = target.stack.suspended_at.unwrap_or_default();
            let made = syncache_record(sc, record.vnet, record.sc_cred, now);
            kept::<sock::Syncache>(*id, record.difference(&made))?;
        }
        Ok(())
    }

    /// Enters the sockets in the tables of addresses and timers.
    fn enter_addresses(&self, built: &mut Built) -> Result<(), BuildError> {
        for (&id, (record, _)) in &self.sockets {
            let target = built.get_mut(&record.so_vnet.id());
            let target = target.ok_or(BuildError::Reference(id))?;
            let so = target.sockets.get(&id).copied();
            let so = so.ok_or(BuildError::Reference(id))?;
            let now = target.stack.suspended_at.unwrap_or_default();
            target.stack.transports.settle(so, now);
        }
        Ok(())
    }
}

/// Nothing differs.
fn kept<R: Record>(id: u32, difference: Option<u64>) -> Result<(), BuildError> {
    let record = R::SCHEMA;
    let lost = |key| BuildError::Unfit(id, Unfit::Lost(Breach { record, key }));
    difference.map_or(Ok(()), |key| Err(lost(key)))
}

fn compare_socket(
    id: u32,
    (record, streams): (&sock::Socket, &Streams),
    target: &BuiltStack,
    known: impl Fn(SoId) -> Option<SocketRef>,
) -> Result<(), BuildError> {
    let so = target.sockets.get(&id).copied();
    let entry = so.and_then(|so| target.stack.transports.get(so));
    let entry = entry.ok_or(BuildError::Reference(id))?;
    let owner = (record.so_vnet, record.so_cred);
    let now = target.stack.suspended_at.unwrap_or_default();
    let made = socket_record(&target.stack, entry, owner, known, now);
    let (mut made, bytes) = made.map_err(|_| BuildError::Unfit(id, sock::Rule::NoMemory.into()))?;
    if record.so_fdref.is_none() {
        made.so_fdref = None;
    }
    if let (Some(tp), Some(other)) = (&record.tcpcb, &made.tcpcb) {
        kept::<sock::Tcpcb>(id, tp.difference(other))?;
    }
    kept::<sock::Socket>(id, record.difference(&made))?;
    if bytes != *streams {
        return Err(BuildError::Unfit(id, Unfit::Stream));
    }
    Ok(())
}

fn restore_socket(
    id: u32,
    record: &sock::Socket,
    [rcv, snd, reass]: &Streams,
    target: &mut BuiltStack,
) -> Result<(), BuildError> {
    let unfit = |why| BuildError::Unfit(id, why);
    let (domain, proto) = protocol_from(record).map_err(unfit)?;
    let stack = &mut target.stack;
    let now = stack.suspended_at.unwrap_or_default();
    let named = |by: Option<SocketRef>| match by {
        None => Ok(None),
        Some(by) => {
            let so = target.sockets.get(&by.id()).copied();
            so.map(Some).ok_or(BuildError::Reference(id))
        }
    };
    let (listener, so_listen) = (
        named(record.tcpcb.as_ref().and_then(|tp| tp.tfo_listener))?,
        named(record.so_listen)?,
    );
    let inet = &mut stack.transports;
    let v6 = domain == Domain::Inet6;
    let pcb = match (proto, &record.tcpcb) {
        (Proto::Tcp, Some(tp)) => {
            let around = (&inet.tcp.sysctl, v6, now);
            let tp = restore_tcpcb(tp, reass, listener, around).map_err(unfit)?;
            Pcb::Tcp(Box::new(tp))
        }
        (Proto::Udp, None) => Pcb::Udp,
        (Proto::Raw(_), None) => Pcb::Raw,
        _ => return Err(unfit(Unfit::Protocol)),
    };
    let datagrams = proto != Proto::Tcp;
    let buffer = |sb: &Option<sock::Sockbuf>, bytes: &[u8], records: bool| match sb {
        Some(sb) => restore_sockbuf(sb, bytes, records, &inet.tcp.sysctl),
        None => Ok(Sockbuf::default()),
    };
    let mut buffers = (
        buffer(&record.so_rcv, rcv, datagrams).map_err(unfit)?,
        buffer(&record.so_snd, snd, datagrams).map_err(unfit)?,
    );
    let sol = record.listen.as_ref().map(restore_listen);
    let sol = sol.transpose().map_err(unfit)?;
    if let Some(sol) = &sol {
        buffers = (sol.sol_sbrcv.fresh(), sol.sol_sbsnd.fresh());
    }
    let inp = record.inpcb.as_ref().ok_or(unfit(Unfit::Protocol))?;
    let inp = restore_inpcb(inp, v6).map_err(unfit)?;
    let so_error = errno_from(record.so_error).map_err(unfit)?;
    let so = inet.alloc(domain, proto, buffers, pcb);
    if let Some(entry) = inet.get_mut(so) {
        let protocol = u32::from(inp.inp_flags & INP_SOCKREF != 0);
        let queue = u32::from(so_listen.is_some());
        let held = record.so_fdref.unwrap_or(queue == 0);
        entry.inp = inp;
        entry.so.so_options = record.so_options;
        entry.so.so_state = record.so_state.into();
        entry.so.so_error = so_error;
        entry.so.so_linger = i32::from(record.so_linger as u16);
        entry.so.so_oobmark = record.so_oobmark;
        entry.so.sol = sol.map(Box::new);
        entry.so.so_listen = so_listen;
        entry.so.so_count = u32::from(held) + queue + protocol;
    }
    if let Some(sol) = so_listen
        .and_then(|listener| inet.get_mut(listener))
        .and_then(|entry| entry.so.sol.as_mut())
    {
        sol.sol_comp.push_back(so);
    }
    inet.tfo_recount(so);
    target.sockets.insert(id, so);
    Ok(())
}
