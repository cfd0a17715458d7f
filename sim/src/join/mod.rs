// SPDX-License-Identifier: BSD-2-Clause
//! Where the emulated kernel meets the core; the only code here that names both.
//!
//! The kernel raises its hooks and serves system calls in its own numbers. [`Join`] stands at these
//! hooks as the module does in a real kernel, under the same constraints: a fork is reserved when
//! the call enters and committed in a hook that cannot fail; checks only read; numbers are
//! translated where they cross, by the core's table. No rule of the virtualization is written
//! here: each branch is about which joint to call with which numbers.
//!
//! * `gate`: the system-call gate and the hooks.
//! * [`capture`], [`restore`]: a suspended instance as an image, and back.
//! * [`kpi`]: what the core asks of a kernel.
//! * [`locks`]: hosted locks that check the lock rules.
//! * `manage`: instances made, entered, stopped and destroyed.

pub mod capture;
pub mod digest;
mod gate;
#[cfg(test)]
mod image_refusals;
#[cfg(test)]
mod image_tests;
pub mod kpi;
pub mod locks;
mod manage;
pub mod net;
pub mod restore;
#[cfg(test)]
mod tests;

use crate::kern::Kern;
use crate::kern::types::{Pid, ProcId, Tid};
use crate::rng::Rng;
use locks::HostedLocks;
use std::collections::BTreeMap;
use std::rc::Rc;
use vpscore::collections::NoMemory;
use vpscore::state::{Config, Core, ForkReservation, ProcReport};
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

pub use kpi::SimKpi;

/// The core of one host with what stands between it and the kernel.
pub struct Join {
    core: Rc<Core<HostedLocks>>,
    /// Forks that were reserved when their call entered, by thread.
    reserved: BTreeMap<Tid, ForkReservation>,
    /// The numbers of the process reaped last: wait4 returns one of them.
    reaped: Option<ProcReport>,
    /// What is added to the kernel's uptime inside an instance, in nanoseconds.
    uptime_offset: BTreeMap<InstanceId, i64>,
    rng: Rng,
    seed: u64,
    /// What is being destroyed has moved away: no frame may leave its network stack.
    silent: bool,
    host: String,
}

impl Join {
    /// A core for a kernel that has just booted; `host` names its random streams.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(kern: &mut Kern, seed: u64, host: &str) -> Result<Self, NoMemory> {
        // The core draws its hash seeds through the Kpi, which draws from the join: so the join is
        // made around a core for the moment of its making.
        let mut rng = Rng::new(seed, &format!("{host}/core"));
        let core = Core::create(
            &mut Boot {
                kern,
                rng: &mut rng,
            },
            Config::DEFAULT,
        )?;
        Ok(Self {
            core: Rc::new(core),
            reserved: BTreeMap::new(),
            reaped: None,
            uptime_offset: BTreeMap::new(),
            rng,
            seed,
            silent: false,
            host: host.to_owned(),
        })
    }

    /// The core.
    pub fn core(&self) -> Rc<Core<HostedLocks>> {
        Rc::clone(&self.core)
    }

    /// A number from the host's stream of random ones.
    pub fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// What the host is called.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The instance that a process is in; vps0 for the host's.
    pub fn instance_of(&self, p: ProcId) -> InstanceId {
        self.core.instance_of(handle(p))
    }
}

fn handle(p: ProcId) -> ProcHandle {
    ProcHandle(p.0)
}

fn host_id(pid: Pid) -> HostId {
    HostId(pid.0)
}

fn host_tid(tid: Tid) -> HostId {
    HostId(tid.0)
}

/// The Kpi of a kernel whose core is just being made: only randomness is asked for.
struct Boot<'a> {
    kern: &'a mut Kern,
    rng: &'a mut Rng,
}

impl vpscore::kpi::Kpi for Boot<'_> {
    fn uptime(&mut self) -> vpscore::time::Instant {
        self.kern.now()
    }

    fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    fn id_named(&mut self, id: HostId) -> bool {
        self.kern.id_named(Pid(id.0))
    }

    fn prison_create(
        &mut self,
        _parent: Option<PrisonHandle>,
        _instance: InstanceId,
        _name: &str,
    ) -> Result<PrisonHandle, vpscore::errno::Errno> {
        Err(vpscore::errno::Errno::EAGAIN)
    }

    fn prison_destroy(&mut self, _prison: PrisonHandle) -> Result<(), vpscore::errno::Errno> {
        Err(vpscore::errno::Errno::ENOENT)
    }

    fn signal(&mut self, _proc: ProcHandle, _signum: i32) {}

    fn prison_suspend(&mut self, _prison: PrisonHandle) -> Result<(), vpscore::errno::Errno> {
        Err(vpscore::errno::Errno::ENOENT)
    }

    fn prison_resume(&mut self, _prison: PrisonHandle) {}

    fn prison_drain(&mut self, _prison: PrisonHandle) -> Result<(), vpscore::errno::Errno> {
        Err(vpscore::errno::Errno::ENOENT)
    }
}
