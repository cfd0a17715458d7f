// SPDX-License-Identifier: BSD-2-Clause
//! A kernel that has nothing but process ids, which it hands out again as soon as it may.
//!
//! It checks that it is never asked while the core holds its state (R1 of [`vpscore::kpi`]).

use std::collections::BTreeSet;

use vpscore::errno::Errno;
use vpscore::kpi::Kpi;
use vpscore::time::Instant;
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

use crate::host_lock::{Context, OsThreads};

/// The kernel.
#[derive(Debug)]
pub struct FakeKernel {
    /// Ids that a group, session or reaper subtree carries.
    pub named: BTreeSet<i32>,
    /// Processes that it was told to kill, until somebody takes them.
    pub killed: Vec<ProcHandle>,
    /// Whether it refuses to make prisons.
    pub refuses: bool,
    used: BTreeSet<i32>,
    handles: u64,
    prisons: u64,
}

impl Default for FakeKernel {
    fn default() -> Self {
        Self::new()
    }
}

/// The lowest id that it hands out.
const FIRST: i32 = 4000;

impl FakeKernel {
    /// A kernel without processes.
    pub fn new() -> Self {
        Self {
            named: BTreeSet::new(),
            // Its own memory is none of the core's business, so it is had before.
            killed: Vec::with_capacity(4096),
            refuses: false,
            used: BTreeSet::new(),
            handles: 0,
            prisons: 0,
        }
    }

    /// Ids for a new process: the lowest host id that nothing carries, and a handle never used.
    pub fn new_proc(&mut self) -> (ProcHandle, HostId) {
        let free = |id: &i32| !self.used.contains(id) && !self.named.contains(id);
        let id = (FIRST..).find(free).expect("ids without end");
        self.used.insert(id);
        self.handles += 1;
        (ProcHandle(0xf000_0000 + self.handles * 0x80), HostId(id))
    }

    /// The process is reaped: its id may be handed out again unless something carries it.
    pub fn reaped(&mut self, id: HostId) {
        self.used.remove(&id.0);
    }
}

fn asked() {
    let held = OsThreads::held(std::cell::Cell::get);
    assert!(!held.state, "the kernel was asked under the state lock");
}

impl Kpi for FakeKernel {
    fn uptime(&mut self) -> Instant {
        asked();
        Instant::BOOT
    }

    fn random(&mut self) -> u64 {
        asked();
        0x5851_f42d_4c95_7f2d
    }

    fn id_named(&mut self, id: HostId) -> bool {
        asked();
        self.named.contains(&id.0)
    }

    fn prison_create(
        &mut self,
        _: Option<PrisonHandle>,
        _: InstanceId,
        _: &str,
    ) -> Result<PrisonHandle, Errno> {
        asked();
        if self.refuses {
            return Err(Errno::EAGAIN);
        }
        self.prisons += 1;
        Ok(PrisonHandle(self.prisons))
    }

    fn prison_destroy(&mut self, _: PrisonHandle) -> Result<(), Errno> {
        asked();
        Ok(())
    }

    fn signal(&mut self, proc: ProcHandle, _: i32) {
        asked();
        self.killed.push(proc);
    }

    fn prison_suspend(&mut self, _: PrisonHandle) -> Result<(), Errno> {
        asked();
        Ok(())
    }

    fn prison_resume(&mut self, _: PrisonHandle) {
        asked();
    }

    fn prison_drain(&mut self, _: PrisonHandle) -> Result<(), Errno> {
        asked();
        Ok(())
    }
}
