// SPDX-License-Identifier: BSD-2-Clause
//! A suspended instance, with all below it, as an image.
//!
//! The order of the image is that of its kinds; within a kind it follows from a walk that does not
//! depend on the host: instances by age, processes from parents to children, what they share at its
//! first mention. So equal instances on different hosts have equal images.
//!
//! # What is cut
//! A parent outside reads 0 inside, and is left out; so is a reaper outside. Numbers above the
//! image's own instance are left out. A console that is open outside too is opened anew.
//!
//! # What is refused
//! A pipe with an end outside, an open file of a pipe or socket that is shared with a process outside,
//! memory shared with one, a group or session that is named after one: by process and object, in
//! [`CaptureError`]. Nothing has changed then.

pub(super) mod memory;
pub(super) mod objects;
pub(super) mod procs;
pub(super) mod sockets;
pub(super) mod threads;

use super::digest::{ImageWriter as W, image_writer};
use super::net::{error, stacks};
use super::{Join, SimKpi, handle};
use crate::kern::Kern;
use crate::kern::proc::{Proc, Ucred};
use crate::kern::types::{FileId, Pid, PipeId, PrisonId, ProcId, Tid, VmId, VnetId};
use crate::net::cx::SoId;
use crate::net::socket::{Domain, Proto};
use crate::vm::ObjId;
use std::collections::BTreeMap;
use vpscore::cbor::Text;
use vpscore::collections::{List, NoMemory};
use vpscore::image::schema::{self, Abi};
use vpscore::image::{
    FileRef, FiledescRef, Header, InstanceRef, PgrpRef, PipeRef, ProcRef, SessionRef, SigactsRef,
    SocketRef, UcredRef, VmObjectRef, VmspaceRef, VnetRef, WriteError, features,
};
use vpscore::instance::{Ceilings, Event, Live, State};
use vpscore::kpi::Kpi;
use vpscore::privilege::{Bits, Priv};
use vpscore::racct::{Limit, Resource, UNLIMITED};
use vpscore::state::ManageError;
use vpscore::time::Duration;
use vpscore::types::{HostId, InstanceId, PrisonHandle};

/// `__FreeBSD_version` of the release emulated.
pub(super) const OSRELDATE: u32 = 1_500_068;
/// `kern.osrelease` of it.
pub(super) const OSRELEASE: &str = "15.0-RELEASE";

/// Why no image was taken. Processes are named by the kernel's handle.
#[derive(Debug)]
pub enum CaptureError {
    /// There is no such instance, or it is the host.
    NoInstance(InstanceId),
    /// It is not suspended, or something is under way in it.
    State(ManageError),
    /// The instance nested in it is in a state that no image has.
    Busy(InstanceId, State),
    /// The process is in a group that is named after a process outside.
    GroupOutside(ProcId, Pid),
    /// The process is in a session that is named after a process outside.
    SessionOutside(ProcId, Pid),
    /// The descriptor's open file is open in a process outside too.
    FileOutside(ProcId, i32),
    /// The other end of the descriptor's pipe is open in a process outside.
    PipeOutside(ProcId, i32),
    /// The descriptor is a socket, which no image of this version carries.
    Socket(ProcId, i32),
    /// The memory at this address is shared with a process outside.
    MemoryOutside(ProcId, u64),
    /// The whole address space is shared with a process outside.
    VmspaceOutside(ProcId),
    /// The thread is in a state that no record describes.
    Thread(ProcId, Tid),
    /// Something in a network stack cannot be moved.
    Net(error::CaptureError),
    /// The image could not be written.
    Write(WriteError<NoMemory>),
}

impl From<WriteError<NoMemory>> for CaptureError {
    fn from(error: WriteError<NoMemory>) -> Self {
        Self::Write(error)
    }
}

impl From<NoMemory> for CaptureError {
    fn from(_: NoMemory) -> Self {
        Self::Write(WriteError::NoMemory)
    }
}

/// An image being written, with the numbers of what is in it already.
struct Capture<'a> {
    kern: &'a Kern,
    join: &'a Join,
    w: W,
    /// Levels of numbers above the image's own instance.
    cut: usize,
    /// All processes, in the image's order.
    procs: Vec<&'a Proc>,
    instances: BTreeMap<InstanceId, InstanceRef>,
    creds: Vec<(Ucred, UcredRef)>,
    objects: BTreeMap<ObjId, VmObjectRef>,
    vmspaces: BTreeMap<VmId, VmspaceRef>,
    pipes: BTreeMap<PipeId, PipeRef>,
    files: BTreeMap<FileId, FileRef>,
    filedescs: BTreeMap<ProcId, FiledescRef>,
    sigacts: BTreeMap<ProcId, SigactsRef>,
    sessions: BTreeMap<Pid, SessionRef>,
    pgrps: BTreeMap<Pid, PgrpRef>,
    done: BTreeMap<ProcId, ProcRef>,
    turns: threads::Turns,
    /// The moment of the image, on the kernel's clock.
    now: crate::time::Instant,
    /// The stacks with their instances, and what they became, in the same order.
    stacks: Vec<(InstanceRef, VnetId)>,
    vnets: Vec<VnetRef>,
    sockets: BTreeMap<(VnetId, SoId), SocketRef>,
}

impl Join {
    /// Takes the image of a suspended instance and of all below it.
    ///
    /// # Errors
    /// [`CaptureError`]; the instance is as it was in any case.
    pub fn capture(&mut self, kern: &mut Kern, id: InstanceId) -> Result<Vec<u8>, CaptureError> {
        let core = self.core();
        let report = core.report(InstanceId::VPS0, id);
        let report = report.filter(|report| report.depth > 0);
        let report = report.ok_or(CaptureError::NoInstance(id))?;
        // The source of a migration is stopped already, and no snapshot begins in it.
        if matches!(report.state, State::Migrating { stopped: true, .. }) {
            return self.capture_stopped(kern, id);
        }
        let begun = core.instance_event(id, Event::Snapshot);
        begun.map_err(CaptureError::State)?;
        let image = self.capture_stopped(kern, id);
        let ended = core.instance_event(id, Event::SnapshotDone);
        ended.map_err(CaptureError::State)?;
        image
    }

    fn capture_stopped(
        &mut self,
        kern: &mut Kern,
        id: InstanceId,
    ) -> Result<Vec<u8>, CaptureError> {
        let tree = self.instances_by_age(id);
        let now = SimKpi {
            kern: &mut *kern,
            join: &mut *self,
        }
        .uptime();
        let procs = self.procs_by_birth(kern, id);
        let report = self.core.report(InstanceId::VPS0, id);
        let cut = report.map_or(0, |report| report.depth).saturating_sub(1);
        let mut features = 0;
        if tree.len() > 1 {
            features |= features::NESTED;
        }
        if procs.iter().any(|proc| proc.threads().len() > 1) {
            features |= features::THREADS;
        }
        if objects::has_pipe(kern, &procs) {
            features |= features::PIPES;
        }
        features |= self.socket_features(kern, &tree);
        let header = Header {
            osreldate: OSRELDATE,
            abi: Abi::SimLp64,
            features,
            optional_features: 0,
        };
        let mut capture = Capture {
            kern,
            join: self,
            w: image_writer(&header)?,
            cut,
            turns: threads::Turns::of(kern, &procs),
            procs,
            instances: BTreeMap::new(),
            creds: Vec::new(),
            objects: BTreeMap::new(),
            vmspaces: BTreeMap::new(),
            pipes: BTreeMap::new(),
            files: BTreeMap::new(),
            filedescs: BTreeMap::new(),
            sigacts: BTreeMap::new(),
            sessions: BTreeMap::new(),
            pgrps: BTreeMap::new(),
            done: BTreeMap::new(),
            now,
            stacks: Vec::new(),
            vnets: Vec::new(),
            sockets: BTreeMap::new(),
        };
        capture.w.object(&schema::Info {
            osrelease: Text::copy(OSRELEASE)?,
            machine_arch: Text::copy("sim")?,
            writer: Text::copy("vps sim")?,
        })?;
        for id in &tree {
            capture.instance(*id, now.as_nanos())?;
        }
        capture.stacks(&tree, now)?;
        capture.creds()?;
        capture.memory()?;
        capture.files()?;
        capture.sigacts()?;
        capture.groups()?;
        capture.processes()?;
        Ok(capture.w.finish()?.as_slice().to_vec())
    }

    /// What the sockets of the instances' stacks ask of a reader.
    fn socket_features(&self, kern: &Kern, tree: &[InstanceId]) -> u64 {
        let prisons = tree
            .iter()
            .filter_map(|id| kern.prison(self.prison_of(*id)?));
        let stacks = prisons.filter_map(|prison| kern.vnets.get(&prison.vnet));
        let sockets = stacks.flat_map(|stack| stack.transports().iter());
        sockets.fold(0, |all, entry| {
            all | match (entry.so.so_proto, entry.so.so_domain) {
                (Proto::Tcp, Domain::Inet) => features::TCP4,
                (Proto::Tcp, Domain::Inet6) => features::TCP6,
                (Proto::Udp | Proto::Raw(_), _) => features::UDP,
            }
        })
    }

    /// The instances from `top` down, each followed by those in it, the oldest first.
    fn instances_by_age(&self, top: InstanceId) -> Vec<InstanceId> {
        let mut below: BTreeMap<InstanceId, Vec<InstanceId>> = BTreeMap::new();
        let mut at = Some(top);
        while let Some(id) = at {
            let parent = self.core.report(InstanceId::VPS0, id);
            if let Some(parent) = parent.and_then(|report| report.parent) {
                // The walk meets the youngest of siblings first, and so does the stack below.
                below.entry(parent).or_default().push(id);
            }
            at = self.core.next_instance(top, id);
        }
        let mut order = Vec::new();
        let mut stack = vec![top];
        while let Some(id) = stack.pop() {
            order.push(id);
            stack.extend(below.get(&id).into_iter().flatten());
        }
        order
    }

    /// The processes of an instance and of all below it: each before its children, these in the order
    /// of `p_children`, and those whose parent is outside by their numbers.
    fn procs_by_birth<'a>(&self, kern: &'a Kern, top: InstanceId) -> Vec<&'a Proc> {
        let prison = self.prison_of(top).unwrap_or(PrisonId::HOST);
        let inside = |p: &ProcId| {
            let proc = kern.proc(*p);
            proc.filter(|proc| kern.prison_within(proc.ucred().prison, prison))
        };
        let all = kern.prison_procs(prison);
        let mut roots: Vec<&Proc> = all.iter().filter_map(|p| kern.proc(*p)).collect();
        roots.retain(|proc| inside(&proc.parent()).is_none());
        let number = |proc: &&Proc| {
            let report = self.core.proc_report(handle(proc.id()));
            report.map(|report| report.numbers().to_vec())
        };
        roots.sort_by_key(number);
        let mut order = Vec::new();
        let mut stack: Vec<&Proc> = roots.into_iter().rev().collect();
        while let Some(proc) = stack.pop() {
            order.push(proc);
            stack.extend(proc.children().iter().rev().filter_map(inside));
        }
        order
    }
}

impl Capture<'_> {
    fn instance(&mut self, id: InstanceId, now: u64) -> Result<(), CaptureError> {
        let core = &self.join.core;
        let missing = CaptureError::NoInstance(id);
        let report = core.report(InstanceId::VPS0, id);
        let (Some(report), Some(settings)) = (report, core.settings(id)) else {
            return Err(missing);
        };
        let top = self.instances.is_empty();
        let state = match report.state {
            State::Running => schema::InstanceState::Running,
            State::Created => schema::InstanceState::Created,
            State::Snapshotting { from } | State::Migrating { from, .. } if top => match from {
                Live::Running => schema::InstanceState::Running,
                Live::Created => schema::InstanceState::Created,
            },
            State::Suspended { .. } => schema::InstanceState::Suspended,
            state => return Err(CaptureError::Busy(id, state)),
        };
        let parent = report.parent.filter(|_| !top);
        let parent = parent.and_then(|parent| self.instances.get(&parent).copied());
        let mut limits = List::new();
        for resource in Resource::ALL {
            let limit = core.usage(id, *resource).map(|usage| usage.limit);
            if let Some(limit) = limit.filter(|limit| *limit != Limit::NONE) {
                limits.push(schema::InstanceLimit {
                    resource: *resource as u16,
                    soft: Some(limit.soft).filter(|soft| *soft != UNLIMITED),
                    hard: Some(limit.hard).filter(|hard| *hard != UNLIMITED),
                })?;
            }
        }
        let offset = self.join.uptime_offset.get(&id).copied().unwrap_or(0);
        let most = Ceilings::MOST;
        let ceilings = settings.ceilings;
        let reference = self.w.put(&schema::Instance {
            parent,
            name: Text::copy(settings.name.as_str())?,
            state,
            priv_allow: privileges(&settings.allow)?,
            priv_nosys: privileges(&settings.nosys)?,
            limits,
            children_max: (ceilings.instances != most.instances).then_some(ceilings.instances),
            pid_max: settings.pid_max,
            last_pid: settings.last_pid,
            last_tid: settings.last_tid,
            randompid: 0,
            hostname: Text::default(),
            domainname: Text::default(),
            hostuuid: Text::default(),
            hostid: 0,
            uptime: Duration::from_nanos(now.saturating_add_signed(offset)),
            securelevel: -1,
            depth_max: (ceilings.depth != most.depth).then_some(ceilings.depth),
        })?;
        self.instances.insert(id, reference);
        Ok(())
    }

    fn stacks(
        &mut self,
        tree: &[InstanceId],
        now: crate::time::Instant,
    ) -> Result<(), CaptureError> {
        let mut stacks = Vec::new();
        for id in tree {
            let prison = self.join.prison_of(*id);
            let vnet = prison.and_then(|prison| self.kern.prison(prison));
            let vnet = vnet.map(|prison| prison.vnet);
            let stack = vnet.and_then(|vnet| Some((vnet, self.kern.vnets.get(&vnet)?)));
            if let (Some((vnet, stack)), Some(reference)) = (stack, self.instances.get(id)) {
                stacks.push((*reference, stack));
                self.stacks.push((*reference, vnet));
            }
        }
        let written = stacks::capture_stacks(&mut self.w, &stacks, now);
        self.vnets = written.map_err(CaptureError::Net)?;
        Ok(())
    }

    /// The instance of a prison, in the image.
    fn instance_ref(&self, prison: PrisonId) -> Result<InstanceRef, CaptureError> {
        let id = self.join.core.by_prison(PrisonHandle(prison.0));
        let id = id.unwrap_or(InstanceId::VPS0);
        let found = self.instances.get(&id).copied();
        found.ok_or(CaptureError::NoInstance(id))
    }

    /// What a number of the kernel is in the image: its instance, and a number per level. `None` where
    /// it is outside.
    fn numbers(&self, id: Pid) -> Option<(InstanceRef, Vec<i32>)> {
        let report = self.join.core.id_report(HostId(id.0))?;
        let instance = *self.instances.get(&report.instance)?;
        Some((instance, report.numbers().get(self.cut..)?.to_vec()))
    }

    fn cred(&self, cred: &Ucred) -> Result<UcredRef, CaptureError> {
        let found = self.creds.iter().find(|(known, _)| known == cred);
        let found = found.map(|(_, reference)| *reference);
        found.ok_or(CaptureError::NoInstance(InstanceId::VPS0))
    }

    /// The credentials of processes, and root's of an instance whose sockets have outlived all of them.
    fn creds(&mut self) -> Result<(), CaptureError> {
        for proc in self.procs.clone() {
            let cred = proc.ucred();
            if !self.creds.iter().any(|(known, _)| known == cred) {
                self.put_cred(cred.clone())?;
            }
        }
        for id in self.instances.keys().copied().collect::<Vec<_>>() {
            let Some(prison) = self.join.prison_of(id) else {
                continue;
            };
            let inhabited = self.creds.iter().any(|(known, _)| known.prison == prison);
            if !inhabited && self.has_sockets(prison) {
                self.put_cred(Ucred {
                    uid: 0,
                    ruid: 0,
                    svuid: 0,
                    gid: 0,
                    prison,
                })?;
            }
        }
        Ok(())
    }

    fn put_cred(&mut self, cred: Ucred) -> Result<(), CaptureError> {
        let mut cr_groups = List::new();
        cr_groups.push(cred.gid)?;
        let record = schema::Ucred {
            cr_prison: self.instance_ref(cred.prison)?,
            cr_uid: cred.uid,
            cr_ruid: cred.ruid,
            cr_svuid: cred.svuid,
            cr_gid: cred.gid,
            cr_rgid: cred.gid,
            cr_svgid: cred.gid,
            cr_groups,
            cr_flags: 0,
            cr_loginclass: Text::copy("default")?,
        };
        let reference = self.w.put(&record)?;
        self.creds.push((cred, reference));
        Ok(())
    }
}

fn privileges(bits: &Bits) -> Result<List<u16>, NoMemory> {
    let mut list = List::new();
    for raw in vpscore::privilege::LOWEST..vpscore::privilege::HIGHEST {
        if Priv::from_raw(i32::from(raw)).is_some_and(|privilege| bits.contains(privilege)) {
            list.push(raw)?;
        }
    }
    Ok(list)
}
