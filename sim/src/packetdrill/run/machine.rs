// SPDX-License-Identifier: BSD-2-Clause
//! An emulated host that the instance under test lives on, and others with it.

use super::networks::{Networks, network_of};
use super::stack::Ends;
use crate::guest::assemble;
use crate::join::Join;
use crate::join::restore::RestoreError;
use crate::kern::file::FileKind;
use crate::kern::proc::Ucred;
use crate::kern::types::{PrisonId, ProcId, Tid, VnetId};
use crate::kern::{Config, Kern};
use crate::net::cx::SoId;
use crate::net::ether::MacAddr;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::time::{Duration, Instant};
use vpscore::instance::{Birth, Name};
use vpscore::net::{Remap, RemapError};
use vpscore::types::InstanceId;

/// The instance under test.
pub const INSTANCE: &str = "packetdrill";
/// Its interface, with the address of the end that it sees.
const INTERFACE: &str = "epair0b";
/// Address of the instance's end of the epair.
pub const OWN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 11]);
/// Address of the router at the other end, behind which the script's side is.
pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);
/// Processes that come and go on a host between two things of the instance's.
const STRANGERS: u32 = 7;
/// What is on a host has been there for so long.
const AGE: Duration = Duration::from_secs(10);
/// Slices that the programs of the other instances may take until they sleep.
const SLICES_MAX: u32 = 1_000;

/// What runs in the other instances: a listener on the port that scripts use, a connection to itself, with data
/// on the way, a datagram socket, a pipe, a child; all asleep.
const NEIGHBOUR: &str = "
start:  sys socket AF_INET SOCK_STREAM 0 -> r8
        sys bind r8 here here.len
        sys listen r8 5
        sys socket AF_INET SOCK_STREAM 0 -> r9
        sys connect r9 here here.len
        sys accept r8 0 0 -> r10
        sys write r9 text text.len
        sys socket AF_INET SOCK_DGRAM 0 -> r11
        sys bind r11 here here.len
        sys pipe2 fds 0
        sys fork -> r12
wait:   sys accept r8 0 0
        jmp wait
.data
here:   sockaddr_in 127.0.0.1:8080
text:   string \"unread\"
fds:    word 0 0
";

/// The instance under test on its present host; all are the host's own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The instance.
    pub instance: InstanceId,
    /// Its prison.
    pub prison: PrisonId,
    /// Its stack.
    pub vnet: VnetId,
    /// The interface that the script's packets come by.
    pub ifindex: IfIndex,
    /// The program.
    pub p: ProcId,
    /// Its one thread.
    pub td: Tid,
}

/// A host.
pub struct Machine {
    /// Its kernel.
    pub kern: Kern,
    /// Its core.
    pub join: Join,
    /// How much its clock is behind the script's.
    behind: Duration,
}

/// When hosts are filled that are to be ready at `now`.
fn before(now: Instant) -> Instant {
    Instant::BOOT.after(now.since(Instant::BOOT).minus(AGE))
}

fn said(what: &str) -> impl Fn(String) -> String + '_ {
    move |why| format!("{what}: {why}")
}

impl Machine {
    /// A host that has just booted, `behind` the script's clock, which has given out numbers for `used`
    /// processes already.
    ///
    /// # Errors
    /// No memory.
    pub fn boot(name: &str, seed: u64, behind: Duration, used: u32) -> Result<Self, String> {
        let mut kern = Kern::new(Config {
            // A script gives the moment of each call; what it takes would be added to that.
            syscall_ns: 0,
            insn_ns: 0,
            ..Config::default()
        });
        kern.populate(used);
        let join = Join::new(&mut kern, seed, name).map_err(|e| format!("{e:?}"))?;
        Ok(Self { kern, join, behind })
    }

    /// The host's clock at a moment of the script's.
    pub fn here(&self, now: Instant) -> Instant {
        Instant::BOOT.after(now.since(Instant::BOOT).minus(self.behind))
    }

    /// The script's clock at a moment of the host's.
    pub fn script(&self, here: Instant) -> Instant {
        here.after(self.behind)
    }

    /// An instance, below `parent`.
    fn create(&mut self, parent: InstanceId, name: &str) -> Result<InstanceId, String> {
        let name = Name::parse(name.as_bytes()).map_err(|e| format!("{e:?}"))?;
        let made = self.join.create(&mut self.kern, parent, name, Birth::Empty);
        made.map_err(|e| said("create")(e.errno().to_string()))
    }

    /// Starts a program in an instance.
    fn start(&mut self, instance: InstanceId, path: &str, text: &str) -> Result<ProcId, String> {
        let program = assemble(text, &[]).map_err(|e| format!("{path}: {e:?}"))?;
        self.kern.install_program(path, program);
        let refused = |errno: crate::errno::Errno| said(path)(errno.to_string());
        let spawned = self.kern.spawn(&mut self.join, path, &[], Ucred::default());
        let p = spawned.map_err(refused)?;
        self.join
            .attach(&mut self.kern, p, instance)
            .map_err(refused)?;
        Ok(p)
    }

    /// Makes the instance under test, with its interface and a route to everything, some time before `now`.
    ///
    /// # Errors
    /// What was refused.
    pub fn settle(&mut self, now: Instant, ends: Ends, mtu: u32) -> Result<InstanceId, String> {
        let local = ends.local;
        let here = self.here(before(now));
        self.kern.advance(here);
        let id = self.create(InstanceId::VPS0, INSTANCE)?;
        let vnet = self.join.prison_of(id).and_then(|p| self.kern.prison(p));
        let vnet = vnet.map(|prison| prison.vnet);
        let stack = vnet.and_then(|vnet| self.kern.vnets.get_mut(&vnet));
        let stack = stack.ok_or("the instance has no stack")?;
        let any = crate::net::inpcb::unspecified(local.is_ipv6());
        let (prefix_len, router) = network_of(local);
        let own = IfAddr {
            addr: local,
            prefix_len,
        };
        let kind = IfKind::Ethernet { mac: OWN_MAC };
        let attached = stack.attach(here, INTERFACE, kind, mtu, &[own]);
        let refused = |errno: crate::errno::Errno| said(INTERFACE)(errno.to_string());
        let ifindex = attached.map_err(refused)?;
        let routed = stack.configure(here, |ip| ip.route_add(any, 0, router));
        routed.map_err(refused)?;
        let neighbours = stack.ip.lltable_mut();
        for neighbour in Networks::new(ends).neighbours() {
            neighbours.add_static((ifindex, neighbour), ROUTER_MAC);
        }
        Ok(id)
    }

    /// Fills the host with others: two instances, one in the other, with processes, sockets and connections, all
    /// at rest at the moment `now`.
    ///
    /// # Errors
    /// What was refused.
    pub fn populate(&mut self, now: Instant) -> Result<(), String> {
        let here = self.here(now);
        self.kern.advance(self.here(before(now)));
        let mail = self.create(InstanceId::VPS0, "mail")?;
        let queue = self.create(mail, "queue")?;
        for instance in [mail, queue] {
            self.start(instance, "/bin/neighbour", NEIGHBOUR)?;
        }
        for _ in 0..SLICES_MAX {
            let Some(at) = self.kern.next_event().filter(|at| *at <= here) else {
                let _ = self.kern.take_trace();
                return Ok(());
            };
            let at = at.max(self.kern.now());
            self.kern.run_net_callouts(at);
            self.kern.run_callouts(at, &mut self.join);
            self.kern.run_slice(at, &mut self.join);
        }
        Err("the neighbours do not come to rest".to_owned())
    }

    /// Starts the program under test in the instance.
    ///
    /// # Errors
    /// What was refused.
    pub fn inhabit(&mut self, instance: InstanceId, text: &str) -> Result<Place, String> {
        self.start(instance, "/bin/packetdrill", text)?;
        self.place(instance)
            .ok_or_else(|| "the program is not there".to_owned())
    }

    /// Where the instance under test is.
    fn place(&self, instance: InstanceId) -> Option<Place> {
        let prison = self.join.prison_of(instance)?;
        let vnet = self.kern.prison(prison)?.vnet;
        let p = *self.kern.prison_procs(prison).first()?;
        Some(Place {
            instance,
            prison,
            vnet,
            ifindex: self.kern.vnets.get(&vnet)?.ip.ifindex_of(INTERFACE)?,
            p,
            td: *self.kern.proc(p)?.threads().first()?,
        })
    }

    /// Takes the instance off this host, as the bytes of its image; nothing of it is left here.
    ///
    /// # Errors
    /// What the host said where it could not be done.
    pub fn take_off(&mut self, now: Instant, instance: InstanceId) -> Result<Vec<u8>, String> {
        let here = self.here(now);
        self.kern.advance(here);
        let suspended = self.join.suspend(&mut self.kern, instance);
        suspended.map_err(|e| said("suspend")(e.errno().to_string()))?;
        let image = self.join.capture(&mut self.kern, instance);
        let image = image.map_err(|e| said("capture")(format!("{e:?}")))?;
        let released = self.join.release(&mut self.kern, instance);
        released.map_err(|e| said("release")(e.errno().to_string()))?;
        let _ = self.kern.take_trace();
        Ok(image)
    }

    /// Puts the instance on this host, with the addresses that `remap` says, and lets it go on.
    /// `None` where the instance cannot have others.
    ///
    /// # Errors
    /// What the host said where it could not be done.
    pub fn put_on(
        &mut self,
        now: Instant,
        image: &[u8],
        remap: &Remap,
    ) -> Result<Option<Place>, String> {
        let here = self.here(now);
        self.kern.advance(here);
        self.kern.populate(STRANGERS);
        let (kern, join) = (&mut self.kern, &mut self.join);
        let restored = join.restore_remapped(kern, InstanceId::VPS0, None, image, remap);
        let instance = match restored {
            Err(RestoreError::Remap(RemapError::Signed(_))) => return Ok(None),
            restored => restored.map_err(|e| said("restore")(format!("{e:?}")))?,
        };
        let resumed = self.join.resume(&mut self.kern, instance);
        resumed.map_err(|e| said("resume")(e.errno().to_string()))?;
        let place = self.place(instance);
        place
            .map(Some)
            .ok_or_else(|| "the program is not there".to_owned())
    }

    /// Every number by which the host knows something of the instance, with its kind.
    pub fn numbers(&self, place: &Place) -> Vec<(&'static str, u64)> {
        let mut all = vec![
            ("prison", place.prison.0),
            ("vnet", place.vnet.0),
            ("process", place.p.0),
            ("tid", place.td.0 as u64),
        ];
        if let Some(proc) = self.kern.proc(place.p) {
            all.push(("pid", proc.pid().0 as u64));
            all.push(("address space", proc.vm.0));
            all.extend(proc.fds.fds.values().map(|fde| ("file", fde.file.0)));
        }
        if let Some(stack) = self.kern.vnets.get(&place.vnet) {
            let sockets = stack.transports().iter();
            all.extend(sockets.map(|entry| ("socket", entry.so.id.0)));
        }
        all
    }

    /// The sockets that the program has open.
    pub fn open_sockets(&self, p: ProcId) -> Vec<SoId> {
        let fds = self.kern.proc(p).map(|proc| &proc.fds.fds);
        let files = fds.into_iter().flat_map(|fds| fds.values());
        let files = files.filter_map(|fde| self.kern.files.get(&fde.file));
        files
            .filter_map(|file| match file.kind {
                FileKind::Socket(_, so) => Some(so),
                FileKind::Console | FileKind::Pipe(..) => None,
            })
            .collect()
    }

    /// The socket behind a descriptor.
    pub fn socket_of(&self, p: ProcId, fd: i32) -> Option<SoId> {
        let fde = self.kern.proc(p)?.fds.fds.get(&fd)?;
        match self.kern.files.get(&fde.file)?.kind {
            FileKind::Socket(_, so) => Some(so),
            FileKind::Console | FileKind::Pipe(..) => None,
        }
    }
}
