// SPDX-License-Identifier: BSD-2-Clause
//! The stacks of an image: all vnets of the instances in it, written in one pass and built again.
//!
//! The order of kinds in an image makes phases over *all* vnets: every vnet, then every interface,
//! every route, every neighbour, every TCP. The sockets ([`super::sockets`]) come in later phases.
//!
//! - I1: what is read is only collected; [`NetImage::build`] makes the stacks when the whole image
//!   has been vouched for, and a failure of it leaves nothing behind.
//! - I2: built stacks are suspended: they are silent, and their timers stand, until they go on.

use std::collections::BTreeMap;

use vpscore::image::schema;
use vpscore::image::{IfnetRef, InstanceRef, Object, VnetRef};
use vpscore::net::{RemapError, Remapping};
use vpscore::sock::{Ceilings, Domain, Socket};

use super::super::digest::ImageWriter;
use super::error::{BuildError, CaptureError};
use super::error::{Unfit, Unmovable};
use super::ip::{
    ifnet_record, llentry_record, restore_ifnet, restore_llentry, restore_route, restore_vnet,
    route_record, vnet_record,
};
use super::sockets::BuiltStack;
use super::sockets::{SocketImage, local};
use super::tcp_vnet::tcp_vnet_record;
use crate::net::ifnet::IfIndex;
use crate::net::socket::Inet;
use crate::net::vnet::Vnet;
use crate::rng::fnv1a;
use crate::time::{Duration, Instant};

/// The latest that a vnet's clock may read: 146 years.
const CLOCK_MAX: Duration = Duration::from_nanos(1 << 62);
/// Names of sockets begin beyond this on a target, so that nobody relies on names that stay the same.
const FIRST_NAME: u32 = 1 << 16;

/// Where the names of the sockets of a stack begin that is restored under this label.
fn first_name(label: &str) -> u32 {
    FIRST_NAME + (fnv1a(label.as_bytes()) % (1 << 30)) as u32
}

fn is_internet(record: &Socket) -> bool {
    matches!(record.domain, Domain::Inet | Domain::Inet6)
}

/// Writes the IP layers of `stacks` as they are at the kernel's moment `now`, or were when they were
/// suspended; gives the references to their vnets in the same order.
///
/// # Errors
/// What cannot be moved is found before anything is written, but for want of memory.
pub fn capture_stacks(
    w: &mut ImageWriter,
    stacks: &[(InstanceRef, &Vnet<Inet>)],
    now: Instant,
) -> Result<Vec<VnetRef>, CaptureError> {
    let unmovable = |at| move |what| CaptureError::Unmovable(at, what);
    for (at, (_, stack)) in stacks.iter().enumerate() {
        for (index, ifnet) in stack.ip.ifnets() {
            ifnet_record(index, ifnet, VnetRef::new(0)).map_err(unmovable(at))?;
        }
    }
    let mut vnets = Vec::new();
    for (at, (instance, stack)) in stacks.iter().enumerate() {
        let tcp = &stack.transports.tcp.sysctl;
        let record = vnet_record(&stack.ip, tcp, *instance, local(stack, now));
        let record = record.map_err(unmovable(at))?;
        vnets.push(w.put(&record)?);
    }
    let mut ifnets: BTreeMap<(usize, IfIndex), IfnetRef> = BTreeMap::new();
    for (at, (vnet, (_, stack))) in vnets.iter().zip(stacks).enumerate() {
        for (index, ifnet) in stack.ip.ifnets() {
            let record = ifnet_record(index, ifnet, *vnet).map_err(unmovable(at))?;
            ifnets.insert((at, index), w.put(&record)?);
        }
    }
    let ifp = |at: usize, index: IfIndex| ifnets.get(&(at, index)).copied();
    for (at, (vnet, (_, stack))) in vnets.iter().zip(stacks).enumerate() {
        for route in stack.ip.fib().routes() {
            let record = route_record(route, *vnet, |index| ifp(at, index));
            if let Some(record) = record.map_err(unmovable(at))? {
                w.object(&record)?;
            }
        }
    }
    for (at, (_, stack)) in stacks.iter().enumerate() {
        let local = local(stack, now);
        for ((index, addr), entry) in &stack.ip.lltable.entries {
            let by = ifp(at, *index).ok_or(Unmovable::Interface(*index));
            let record = by.and_then(|by| llentry_record(local, *addr, entry, by));
            w.object(&record.map_err(unmovable(at))?)?;
        }
    }
    for (vnet, (_, stack)) in vnets.iter().zip(stacks) {
        let local = local(stack, now);
        let record = tcp_vnet_record(&stack.transports.tcp, &stack.rng, *vnet, local);
        w.object(&record.map_err(unmovable(0))?)?;
    }
    Ok(vnets)
}

/// The stacks of an image that is being read.
#[derive(Debug, Default)]
pub struct NetImage {
    vnets: BTreeMap<u32, schema::Vnet>,
    ifnets: BTreeMap<u32, schema::Ifnet>,
    routes: Vec<(u32, schema::Route)>,
    llentries: Vec<(u32, schema::Llentry)>,
    sockets: SocketImage,
}

impl NetImage {
    /// Takes a record of a stack in; gives any other back.
    pub fn object(&mut self, id: u32, object: Object) -> Option<Object> {
        match object {
            Object::Vnet(record) => {
                self.vnets.insert(id, record);
            }
            Object::Ifnet(record) => {
                self.ifnets.insert(id, record);
            }
            Object::Route(record) => self.routes.push((id, record)),
            Object::Llentry(record) => self.llentries.push((id, record)),
            Object::TcpVnet(record) => self.sockets.tcp_vnet(id, record),
            Object::Socket(record) if is_internet(&record) => self.sockets.socket(id, record),
            Object::Syncache(record) => self.sockets.syncache(id, record),
            other => return Some(other),
        }
        None
    }

    /// Takes bytes of a stream in; false where they are not of a socket of a stack.
    pub fn data(&mut self, id: u32, stream: u32, bytes: &[u8]) -> bool {
        self.sockets.data(id, stream, bytes)
    }

    /// The image has come to its end, and with it the remap that its objects went through: what
    /// sockets have received is changed, and routes that the new network demands are added.
    ///
    /// # Errors
    /// Why the instance cannot have the other addresses.
    pub fn remapped(&mut self, remapping: Remapping<'_>) -> Result<(), RemapError> {
        self.sockets
            .received(|record, bytes| remapping.received(record, bytes));
        for route in &remapping.finish()? {
            self.routes.push((0, *route));
        }
        Ok(())
    }

    /// Builds the stacks, by the number of their vnet in the image; each is suspended.
    ///
    /// `label` names the random streams of the stack of an instance, `local` is the moment on its own
    /// clock where the image does not say it, `host` what the host allows.
    ///
    /// # Errors
    /// Which record does not fit.
    pub fn build(
        self,
        seed: u64,
        label: impl Fn(InstanceRef) -> String,
        local: impl Fn(InstanceRef) -> Instant,
        host: Ceilings,
    ) -> Result<BTreeMap<u32, BuiltStack>, BuildError> {
        let unfit = |id| move |why| BuildError::Unfit(id, why);
        let mut built = BTreeMap::new();
        for (id, record) in &self.vnets {
            let instance = record.instance;
            let label = label(instance);
            let mut stack = Vnet::new(seed, &label, Inet::new);
            let clock = match record.clock {
                Some(clock) if clock > CLOCK_MAX => return Err(unfit(*id)(Unfit::Limit)),
                Some(clock) => Instant::BOOT.after(clock),
                None => local(instance),
            };
            stack.suspended_at = Some(clock);
            stack.ip.set_now(clock);
            let inet = &mut stack.transports;
            inet.number_from(first_name(&label));
            restore_vnet(record, &mut stack.ip, |name, value| {
                inet.tcp.sysctl.set(name, value)
            })
            .map_err(unfit(*id))?;
            let sockets = BTreeMap::new();
            let target = BuiltStack {
                instance,
                stack,
                sockets,
            };
            built.insert(*id, target);
        }
        let mut places: BTreeMap<u32, (u32, IfIndex)> = BTreeMap::new();
        for (id, record) in &self.ifnets {
            let vnet = record.if_vnet.id();
            let target = built.get_mut(&vnet).ok_or(BuildError::Reference(*id))?;
            let index = restore_ifnet(record, &mut target.stack.ip).map_err(unfit(*id))?;
            places.insert(*id, (vnet, index));
        }
        let place = |id: u32, by: IfnetRef| {
            let found = places.get(&by.id()).copied();
            found.ok_or(BuildError::Reference(id))
        };
        for (id, record) in &self.routes {
            let (vnet, index) = place(*id, record.ifp)?;
            if vnet != record.vnet.id() {
                return Err(BuildError::Reference(*id));
            }
            let target = built.get_mut(&vnet).ok_or(BuildError::Reference(*id))?;
            restore_route(record, &mut target.stack.ip, index).map_err(unfit(*id))?;
        }
        for (id, record) in &self.llentries {
            let (vnet, index) = place(*id, record.ifp)?;
            let target = built.get_mut(&vnet).ok_or(BuildError::Reference(*id))?;
            let now = target.stack.suspended_at.unwrap_or_default();
            restore_llentry(now, record, &mut target.stack.ip, index);
        }
        self.sockets.build(&mut built, host)?;
        Ok(built)
    }
}
