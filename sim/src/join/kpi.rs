// SPDX-License-Identifier: BSD-2-Clause
//! What the core asks of a kernel, answered by the emulated one.

use super::Join;
use super::locks::state_locked;
use crate::kern::Kern;
use crate::kern::types::{Pid, PrisonId, ProcId};
use crate::net::socket::Inet;
use crate::net::stack::InetVnet;
use crate::net::vnet::Vnet;
use vpscore::errno::Errno;
use vpscore::kpi::Kpi;
use vpscore::time::Instant;
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

/// The emulated kernel as the core sees it during one joint.
pub struct SimKpi<'a> {
    /// The kernel.
    pub kern: &'a mut Kern,
    /// What the joints that the kernel raises meanwhile are served by.
    pub join: &'a mut Join,
}

impl SimKpi<'_> {
    fn stack_of(&mut self, prison: PrisonId) -> Option<&mut InetVnet> {
        let vnet = self.kern.prison(prison)?.vnet;
        self.kern.vnets.get_mut(&vnet)
    }

    fn called(&self) {
        assert!(
            !state_locked(),
            "the core calls its kernel while it holds its state"
        );
    }
}

impl Kpi for SimKpi<'_> {
    fn uptime(&mut self) -> Instant {
        self.called();
        self.kern.now()
    }

    fn random(&mut self) -> u64 {
        self.called();
        self.join.rng.next_u64()
    }

    fn id_named(&mut self, id: HostId) -> bool {
        self.called();
        self.kern.id_named(Pid(id.0))
    }

    fn prison_create(
        &mut self,
        parent: Option<PrisonHandle>,
        _instance: InstanceId,
        name: &str,
    ) -> Result<PrisonHandle, Errno> {
        self.called();
        let parent = parent.map_or(PrisonId::HOST, |handle| PrisonId(handle.0));
        let (prison, vnet) = self.kern.prison_create(self.join, parent, name)?;
        let label = format!("{}/vnet{}", self.join.host, vnet.0);
        self.kern
            .vnets
            .insert(vnet, Vnet::new(self.join.seed, &label, Inet::new));
        Ok(PrisonHandle(prison.0))
    }

    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.called();
        self.kern.prison_destroy(self.join, PrisonId(prison.0))
    }

    fn signal(&mut self, proc: ProcHandle, signum: i32) {
        self.called();
        self.kern.psignal(ProcId(proc.0), signum, None);
    }

    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.called();
        let prison = PrisonId(prison.0);
        let now = self.kern.now();
        self.kern.prison_suspend(prison)?;
        if let Some(stack) = self.stack_of(prison) {
            stack.suspend(now);
        }
        Ok(())
    }

    fn prison_resume(&mut self, prison: PrisonHandle) {
        self.called();
        let prison = PrisonId(prison.0);
        let now = self.kern.now();
        self.kern.prison_resume(prison);
        if !self.kern.prison_suspended(prison)
            && let Some(stack) = self.stack_of(prison)
        {
            stack.resume(now);
        }
    }

    fn prison_drain(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.called();
        let prison = PrisonId(prison.0);
        // What has moved away must not say goodbye: its sockets go with their stack.
        let stack = self.kern.prison(prison).map(|prison| prison.vnet);
        if let Some(vnet) = stack.filter(|_| self.join.silent) {
            self.kern.vnets.remove(&vnet);
        }
        self.kern.prison_drain(self.join, prison)
    }
}
