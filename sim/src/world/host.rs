// SPDX-License-Identifier: BSD-2-Clause
//! A machine: an emulated kernel with its core, and the bridge that joins its stacks to its cable.
//!
//! The bridge has the cable, the host's own stack and one interface of each instance as members, as
//! `if_bridge(4)` with `epair(4)` does on a real host.

use super::trace::Place;
use crate::errno::Errno;
use crate::join::Join;
use crate::kern::trace::TraceItem;
use crate::kern::types::{PrisonId, ProcId, Tid, VnetId};
use crate::kern::{Config, Kern};
use crate::net::bridge::{Bridge, PortId};
use crate::net::ether::MacAddr;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::socket::Inet;
use crate::net::vnet::Vnet;
use crate::time::Instant;
use crate::vm::PAGE_SIZE;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vpscore::collections::NoMemory;
use vpscore::state::ManageError;
use vpscore::types::{HostId, InstanceId, ProcHandle};

/// The stack of the host itself.
const VNET0: VnetId = VnetId(0);
/// Ethernet's own.
const MTU: u32 = 1_500;

/// A machine.
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its kernel.
    pub kern: Kern,
    /// Its core, and what stands between the two.
    pub join: Join,
    /// Its network card's address.
    pub mac: MacAddr,
    bridge: Bridge,
    uplink: PortId,
    members: BTreeMap<PortId, (VnetId, IfIndex, MacAddr)>,
    places: BTreeMap<ProcId, Place>,
    /// When the world wakes it next.
    pub(super) wake_at: Option<Instant>,
}

impl Host {
    /// A machine that has just booted and has run `populated` processes already.
    ///
    /// # Errors
    /// [`NoMemory`]; the errno of the network's refusal as `EINVAL` cannot happen for one address.
    pub fn boot(
        name: &str,
        number: u8,
        seed: u64,
        address: IfAddr,
        populated: u32,
    ) -> Result<Self, NoMemory> {
        let mut kern = Kern::new(Config::default());
        kern.populate(populated);
        let join = Join::new(&mut kern, seed, name)?;
        let mut bridge = Bridge::new();
        let uplink = bridge.add_port();
        let mut host = Self {
            name: name.to_owned(),
            kern,
            join,
            mac: MacAddr([0x02, 0, 0, 0, 0, number]),
            bridge,
            uplink,
            members: BTreeMap::new(),
            places: BTreeMap::new(),
            wake_at: None,
        };
        let stack = Vnet::new(seed, &format!("{name}/vnet0"), Inet::new);
        host.kern.vnets.insert(VNET0, stack);
        let attached = host.attach_interface(VNET0, "em0", host.mac, address);
        debug_assert!(attached.is_ok(), "an empty stack takes one address");
        Ok(host)
    }

    /// Gives a stack an Ethernet interface with an address, on the host's bridge.
    ///
    /// # Errors
    /// `ENXIO` where there is no such stack; `EEXIST` where it has the address.
    pub fn attach_interface(
        &mut self,
        vnet: VnetId,
        name: &str,
        mac: MacAddr,
        address: IfAddr,
    ) -> Result<(), Errno> {
        let now = self.kern.now();
        let stack = self.kern.vnets.get_mut(&vnet).ok_or(Errno::ENXIO)?;
        let kind = IfKind::Ethernet { mac };
        let ifindex = stack.attach(now, name, kind, MTU, &[address])?;
        let port = self.bridge.add_port();
        self.members.insert(port, (vnet, ifindex, mac));
        Ok(())
    }

    /// Joins the Ethernet interfaces of stacks that came with an image to the bridge, and takes out
    /// those of stacks that are gone. An interface that came in place of one with the same address
    /// gets its port.
    pub fn rewire(&mut self) {
        let kern = &self.kern;
        let there = |vnet: &VnetId| kern.vnets.contains_key(vnet);
        let gone = self.members.extract_if(.., |_, (vnet, ..)| !there(vnet));
        let mut gone: Vec<(PortId, MacAddr)> = gone.map(|(port, (.., mac))| (port, mac)).collect();
        for (vnet, stack) in &kern.vnets {
            for (ifindex, ifnet) in stack.ip.ifnets() {
                let IfKind::Ethernet { mac } = ifnet.kind else {
                    continue;
                };
                let wired = (*vnet, ifindex, mac);
                if self.members.values().any(|member| *member == wired) {
                    continue;
                }
                let before = gone.iter().position(|(_, former)| *former == mac);
                let port = match before {
                    Some(at) => gone.swap_remove(at).0,
                    None => self.bridge.add_port(),
                };
                self.members.insert(port, wired);
            }
        }
        for (port, _) in gone {
            self.bridge.delete_port(port);
        }
    }

    /// A frame has come by the cable: it goes to the stacks that the bridge finds for it. Returns
    /// what goes back out by the cable.
    pub fn from_cable(&mut self, now: Instant, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        self.forward(now, self.uplink, frame, &mut out);
        out.extend(self.flush(now));
        out
    }

    /// Takes what the stacks have to send, through the bridge; returns what goes out by the cable.
    pub fn flush(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some((vnet, ifindex, frame)) = self.kern.net_output() {
            let from = self
                .members
                .iter()
                .find(|(_, (v, i, _))| (*v, *i) == (vnet, ifindex));
            if let Some((&port, _)) = from {
                self.forward(now, port, frame, &mut out);
            }
        }
        out
    }

    fn forward(&mut self, now: Instant, from: PortId, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let mut queue = VecDeque::from(self.bridge.input(now, from, &frame));
        while let Some(port) = queue.pop_front() {
            if port == self.uplink {
                out.push(frame.clone());
            } else if let Some((vnet, ifindex, _)) = self.members.get(&port).copied() {
                self.kern.net_input(now, vnet, ifindex, &frame);
            }
        }
    }

    /// Creates the instance `path` (`web`, `web.db`) with an interface of its own.
    ///
    /// # Errors
    /// The errno of the refusal; nothing is there then.
    pub fn create_instance(
        &mut self,
        path: &str,
        mac: MacAddr,
        address: IfAddr,
    ) -> Result<InstanceId, Errno> {
        let (parent, name) = self.parent_of(path)?;
        let birth = vpscore::instance::Birth::Empty;
        let id = self
            .join
            .create(&mut self.kern, parent, name, birth)
            .map_err(|refused| refused.errno())?;
        let prison = self.join.prison_of(id).unwrap_or(PrisonId::HOST);
        let vnet = self
            .kern
            .prison(prison)
            .map(|prison| prison.vnet)
            .ok_or(Errno::ENOENT)?;
        self.attach_interface(vnet, "epair0b", mac, address)?;
        Ok(id)
    }

    /// The instance in which `path` lies, and its name there.
    ///
    /// # Errors
    /// `EINVAL` for a name that is none, `ESRCH` where the parent is not there.
    pub fn parent_of(&self, path: &str) -> Result<(InstanceId, vpscore::instance::Name), Errno> {
        let (above, name) = path
            .rsplit_once('.')
            .map_or((None, path), |(a, n)| (Some(a), n));
        let name = vpscore::instance::Name::parse(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
        let parent = match above {
            None => InstanceId::VPS0,
            Some(above) => self.instance(above).ok_or(Errno::ESRCH)?,
        };
        Ok((parent, name))
    }

    /// The instance with this path, if it is on this host.
    pub fn instance(&self, path: &str) -> Option<InstanceId> {
        self.join
            .core()
            .lookup(InstanceId::VPS0, path.as_bytes())
            .ok()
    }

    /// The pages of an instance and of all below it that were written since this was last asked for,
    /// or all of them.
    pub fn pages_written(&mut self, top: InstanceId, all: bool) -> Vec<[u8; PAGE_SIZE as usize]> {
        let Some(prison) = self.join.prison_of(top) else {
            return Vec::new();
        };
        let mut objects = BTreeSet::new();
        for p in self.kern.prison_procs(prison) {
            let vm = self
                .kern
                .procs
                .get(&p)
                .and_then(|proc| self.kern.vmspaces.get(&proc.vm));
            for entry in vm.into_iter().flat_map(|vm| vm.entries.values()) {
                let mut object = Some(entry.object);
                while let Some(id) = object.filter(|id| objects.insert(*id)) {
                    object = self
                        .kern
                        .objects
                        .get(id)
                        .and_then(|object| object.backing());
                }
            }
        }
        let mut pages = Vec::new();
        for id in objects {
            let dirty: BTreeSet<u64> = self.kern.objects.dirty_pages(id).into_iter().collect();
            if let Some(object) = self.kern.objects.get(id) {
                let wanted = object
                    .pages()
                    .filter(|(index, _)| all || dirty.contains(index));
                pages.extend(wanted.map(|(_, slot)| *slot.data));
            }
            self.kern.objects.clear_dirty(id);
        }
        pages
    }

    /// Announces the addresses of an instance and of all below it, so that bridges and neighbours learn
    /// where it is now.
    pub fn announce(&mut self, now: Instant, top: InstanceId) {
        let core = self.join.core();
        let mut here = Some(top);
        while let Some(id) = here {
            let prison = self.join.prison_of(id);
            let vnet = prison
                .and_then(|p| self.kern.prison(p))
                .map(|prison| prison.vnet);
            if let Some(stack) = vnet.and_then(|vnet| self.kern.vnets.get_mut(&vnet)) {
                stack.announce(now);
            }
            here = core.next_instance(top, id);
        }
    }

    /// Lets go of the copy of an instance that lives on elsewhere. Nobody can see the old processes die, so what
    /// the kernel tells of it is dropped: it is no part of what happens in the world. What it told before must have
    /// been taken.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn release(&mut self, instance: InstanceId) -> Result<(), ManageError> {
        let released = self.join.release(&mut self.kern, instance);
        for item in self.kern.take_trace() {
            if let TraceItem::Reap { p } = item {
                self.forget_place(p);
            }
        }
        released
    }

    /// Where a process is, as records tell it.
    pub fn place(&mut self, p: ProcId, tid: Option<Tid>) -> Place {
        let core = self.join.core();
        let name = &self.name;
        let kern = &self.kern;
        let place = self.places.entry(p).or_insert_with(|| {
            let own = Place {
                instance: name.clone(),
                pid: kern.proc(p).map_or(0, |proc| proc.pid().0),
                tid: 0,
            };
            let Some(report) = core.proc_report(ProcHandle(p.0)) else {
                return own;
            };
            let path = core
                .report(InstanceId::VPS0, report.instance)
                .map(|r| r.path);
            let path = path.map(|path| path.as_str().to_owned());
            Place {
                instance: path.unwrap_or(own.instance),
                pid: report.numbers().last().copied().unwrap_or(0),
                tid: 0,
            }
        });
        let mut place = place.clone();
        if let Some(tid) = tid {
            let numbers = core.thread_report(HostId(tid.0));
            place.tid = match numbers {
                Some(report) => report.numbers().last().copied().unwrap_or(0),
                None => tid.0,
            };
        }
        place
    }

    /// What [`Self::place`] told of a process holds no more: it is in no table, or it has entered
    /// an instance and is known by another number.
    pub fn forget_place(&mut self, p: ProcId) {
        self.places.remove(&p);
    }
}
