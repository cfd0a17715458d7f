// SPDX-License-Identifier: BSD-2-Clause
//! An instance from its image, below an instance of this host.
//!
//! The image is read to its end and looked at as a whole before anything of the host is touched:
//! what is hostile or not of this kernel ends there. Then instances, memory, descriptors, groups,
//! processes and threads are made in this order; where the host refuses one (a limit, a number, a
//! name), all that was made is taken away again, and the host is as it was.
//!
//! # Invariants
//! * I1: nothing of the host has changed unless [`Join::restore`] returned an instance.
//! * I2: the instance is suspended, and nothing in it has run.
//! * I3: no number, handle or place of the source is used on this host; what an image says in
//!   numbers is said in those that the image's own instance sees.
//! * I4: every field of every record is either restored or has the one value that this kernel can
//!   have ([`RestoreError::Unsupported`]); none is passed over.

mod apply;
mod check;
mod check_procs;
mod people;
mod staged;
mod threads;

use super::{Join, SimKpi};
use crate::errno::Errno;
use crate::kern::Kern;
use crate::kern::restore_ids::RestoreMark;
use crate::kern::types::{PrisonId, ProcId, VnetId};
use crate::net::cx::SoId;
use crate::time::Instant;
use crate::vm::ObjId;
use std::collections::BTreeMap;
use vpscore::cbor::Schema;
use vpscore::image;
use vpscore::image::schema::InstanceState;
use vpscore::instance::{Birth, Event, Live, Name, NameError};
use vpscore::kpi::Kpi;
use vpscore::limits::{INSTANCES_MAX, SOCKETS_MAX};
use vpscore::net::{Remap, RemapError};
use vpscore::racct::LimitError;
use vpscore::sock::Ceilings;
use vpscore::state::{ForkError, ManageError, ThreadError};
use vpscore::types::{InstanceId, PrisonHandle};

use super::net::error::BuildError;
use super::net::sockets::BuiltStack;
use staged::Staged;

/// Why an image was not restored. Objects are named by their number in the image.
#[derive(Debug)]
pub enum RestoreError {
    /// It is no image, or contradicts itself.
    Image(image::Error),
    /// The object's field has a value that this kernel cannot have.
    Unsupported {
        /// The object.
        object: u32,
        /// Its record.
        record: &'static Schema,
        /// The key of the field.
        key: u64,
    },
    /// The object's field contradicts another object.
    Contradiction {
        /// The object.
        object: u32,
        /// Its record.
        record: &'static Schema,
        /// The key of the field.
        key: u64,
    },
    /// Memory was short while the image was read.
    NoMemory,
    /// The host has no room for so many pages.
    Pages(usize),
    /// No host has room for so many instances.
    Instances(usize),
    /// The host has no room for so many processes.
    Procs(usize),
    /// The name is none.
    Name(NameError),
    /// The core refuses an instance.
    Manage(ManageError),
    /// The core refuses a process.
    Proc(u32, ForkError),
    /// The core refuses a thread of a process.
    Thread(u32, ThreadError),
    /// The core refuses a limit of an instance.
    Limit(u32, LimitError),
    /// The kernel refuses an object.
    Kernel(u32, Errno),
    /// A network stack cannot be built.
    Net(BuildError),
    /// The instance cannot have the other addresses.
    Remap(RemapError),
}

impl From<RemapError> for RestoreError {
    fn from(error: RemapError) -> Self {
        Self::Remap(error)
    }
}

impl From<image::Error> for RestoreError {
    fn from(error: image::Error) -> Self {
        Self::Image(error)
    }
}

impl From<ManageError> for RestoreError {
    fn from(error: ManageError) -> Self {
        Self::Manage(error)
    }
}

/// What a restore has made so far.
#[derive(Default)]
struct Made {
    mark: RestoreMark,
    top: Option<InstanceId>,
    instances: BTreeMap<u32, InstanceId>,
    /// Memory objects, each with a reference of the restore's own.
    objects: BTreeMap<u32, ObjId>,
    procs: Vec<ProcId>,
    stacks: Vec<BuiltStack>,
    /// Which socket each object of the image became.
    sockets: BTreeMap<u32, (VnetId, SoId)>,
    /// The last PIDs and TIDs of the instances above, which a failure gives back.
    above: Vec<(InstanceId, i32, i32)>,
}

impl Join {
    /// Restores an image below `parent`, under `name` or that which it had, with the addresses that it
    /// had. The instance is suspended, and resumed by whoever wanted it.
    ///
    /// # Errors
    /// [`RestoreError`]; the host is as it was.
    pub fn restore(
        &mut self,
        kern: &mut Kern,
        parent: InstanceId,
        name: Option<Name>,
        bytes: &[u8],
    ) -> Result<InstanceId, RestoreError> {
        self.restore_remapped(kern, parent, name, bytes, &Remap::default())
    }

    /// The same, with other addresses: the peers go on with the old ones, and a translation stands
    /// before the instance.
    ///
    /// # Errors
    /// [`RestoreError`]; the host is as it was.
    pub fn restore_remapped(
        &mut self,
        kern: &mut Kern,
        parent: InstanceId,
        name: Option<Name>,
        bytes: &[u8],
        remap: &Remap,
    ) -> Result<InstanceId, RestoreError> {
        let most = kern.room_for_pages();
        let mut staged = Staged::read(bytes, most, remap)?;
        // How many there are comes first: what follows compares each with each.
        if staged.instances.len() > INSTANCES_MAX {
            return Err(RestoreError::Instances(staged.instances.len()));
        }
        if staged.procs.len() > kern.room_for_procs() {
            return Err(RestoreError::Procs(staged.procs.len()));
        }
        staged.check(kern.config())?;
        let mut made = Made {
            mark: kern.restore_mark(),
            stacks: self.build_stacks(kern, &mut staged)?,
            above: self.last_ids_from(parent),
            ..Made::default()
        };
        let done = self.apply(kern, parent, name, &staged, &mut made);
        let core = self.core();
        for object in made.objects.values().rev() {
            kern.objects().rele(*object);
        }
        match (done, made.top) {
            (Ok(()), Some(top)) => Ok(top),
            (done, top) => {
                if let Some(top) = top {
                    let _ = core.instance_event(top, Event::RestoreFailed);
                    let _ = self.release(kern, top);
                }
                kern.restore_undo(made.mark);
                for (id, last_pid, last_tid) in made.above {
                    core.set_last_ids(id, last_pid, last_tid);
                }
                let nothing = RestoreError::Manage(ManageError::NoMemory);
                Err(done.err().unwrap_or(nothing))
            }
        }
    }

    fn build_stacks(
        &self,
        kern: &Kern,
        staged: &mut Staged,
    ) -> Result<Vec<BuiltStack>, RestoreError> {
        let uptime = |instance: image::InstanceRef| {
            let found = staged.instances.iter().find(|(id, _)| *id == instance.id());
            let uptime = found.map_or(0, |(_, record)| record.uptime.as_nanos());
            Instant::from_nanos(uptime)
        };
        let label = |instance: image::InstanceRef| {
            format!("{}/restored{}/{}", self.host, staged.digest, instance.id())
        };
        let net = std::mem::take(&mut staged.net);
        let built = net.build(self.seed, label, uptime, ceilings(kern));
        let built = built.map_err(RestoreError::Net)?;
        Ok(built.into_values().collect())
    }

    /// Where the numbers of an instance and those above it stand.
    fn last_ids_from(&self, id: InstanceId) -> Vec<(InstanceId, i32, i32)> {
        let mut above = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            if let Some(settings) = self.core.settings(id) {
                above.push((id, settings.last_pid, settings.last_tid));
            }
            let report = self.core.report(InstanceId::VPS0, id);
            at = report.and_then(|report| report.parent);
        }
        above
    }

    fn apply(
        &mut self,
        kern: &mut Kern,
        parent: InstanceId,
        name: Option<Name>,
        staged: &Staged,
        made: &mut Made,
    ) -> Result<(), RestoreError> {
        self.make_instances(kern, parent, name, staged, made)?;
        apply::memory(kern, staged, made)?;
        let files = apply::files(kern, staged, made);
        let spaces = apply::vmspaces(kern, staged, made)?;
        let mut numbers = self.make_groups(kern, staged, made)?;
        self.make_procs(kern, staged, made, &mut numbers, &files, &spaces)?;
        self.keep_numbers(kern, made, &numbers)?;
        self.keep_senders(kern, staged, made, &numbers)?;
        self.make_threads(kern, staged, made, &numbers, &files)?;
        self.finish(staged, made)
    }

    fn make_instances(
        &mut self,
        kern: &mut Kern,
        parent: InstanceId,
        name: Option<Name>,
        staged: &Staged,
        made: &mut Made,
    ) -> Result<(), RestoreError> {
        let core = self.core();
        let now = i64::try_from(kern.now().as_nanos()).unwrap_or(i64::MAX);
        for (object, record) in &staged.instances {
            let above = record.parent.map(|parent| parent.id());
            let above = above.and_then(|id| made.instances.get(&id).copied());
            let top = above.is_none();
            let own = Name::parse(record.name.as_str().as_bytes()).map_err(RestoreError::Name)?;
            let name = name.filter(|_| top).unwrap_or(own);
            let above = above.unwrap_or(parent);
            let id = core.instance_create(
                &mut SimKpi { kern, join: self },
                above,
                name,
                Birth::Restore,
                record.pid_max,
            )?;
            made.instances.insert(*object, id);
            made.top.get_or_insert(id);
            let settings = check::settings(*object, record, name)?;
            core.restore_settings(id, &settings, top)?;
            let uptime = i64::try_from(record.uptime.as_nanos()).unwrap_or(i64::MAX);
            self.uptime_offset.insert(id, uptime.saturating_sub(now));
        }
        for (object, id) in &made.instances {
            let prison = self.prison_of(*id).unwrap_or(PrisonId::HOST);
            let stopped = SimKpi { kern, join: self }.prison_suspend(PrisonHandle(prison.0));
            stopped.map_err(|errno| RestoreError::Kernel(*object, errno))?;
        }
        for built in std::mem::take(&mut made.stacks) {
            let id = made.instances.get(&built.instance.id()).copied();
            let prison = id.and_then(|id| self.prison_of(id));
            if let Some(vnet) = prison.and_then(|prison| Some(kern.prison(prison)?.vnet)) {
                kern.vnets.insert(vnet, built.stack);
                let sockets = built.sockets.into_iter();
                made.sockets
                    .extend(sockets.map(|(object, so)| (object, (vnet, so))));
            }
        }
        Ok(())
    }

    /// Numbers, limits and states, when all that they apply to is there.
    fn finish(&self, staged: &Staged, made: &Made) -> Result<(), RestoreError> {
        let core = self.core();
        let of = |object: &u32| {
            made.instances
                .get(object)
                .copied()
                .unwrap_or(InstanceId::VPS0)
        };
        for (object, record) in &staged.instances {
            let id = of(object);
            core.set_last_ids(id, record.last_pid, record.last_tid);
            for limit in &record.limits {
                let (resource, wanted) = check::limit(*object, limit)?;
                let set = core.set_limit(id, resource, wanted);
                set.map_err(|error| RestoreError::Limit(*object, error))?;
            }
        }
        for (object, record) in staged.instances.iter().rev() {
            let id = of(object);
            let suspended = record.parent.is_none() || record.state == InstanceState::Suspended;
            let to = match record.state {
                InstanceState::Running => Live::Running,
                InstanceState::Suspended if staged.is_inhabited(*object) => Live::Running,
                InstanceState::Created | InstanceState::Suspended => Live::Created,
            };
            core.instance_event(id, Event::Restored { to, suspended })?;
        }
        Ok(())
    }
}

/// What the host allows of sockets: its own variables, and what the instances there are leave of the
/// most that any kernel has.
fn ceilings(kern: &Kern) -> Ceilings {
    let host = kern.prison(PrisonId::HOST).map(|prison| prison.vnet);
    let host = host.and_then(|vnet| kern.vnets.get(&vnet));
    let value = |name: &str| host.and_then(|stack| stack.transports().sysctl_get(name).ok());
    let used = kern
        .vnets
        .values()
        .map(|stack| stack.transports().iter().count());
    Ceilings {
        maxsockbuf: value("kern.ipc.maxsockbuf").map_or(u64::MAX, i64::unsigned_abs),
        sockets: SOCKETS_MAX.saturating_sub(used.sum()),
    }
}
