// SPDX-License-Identifier: BSD-2-Clause
//! A kernel that only knows which processes it has: what the core's tests and benches run under.
//!
//! It makes processes and their ids, remembers what the core asked of it, and does nothing by
//! itself: whoever drives it reads [`HostKernel::asked`] and lets killed processes exit. Ids go up
//! and are not used twice unless [`HostKernel::hand_out`] says so.

use std::collections::{BTreeMap, BTreeSet};
use vpscore::errno::Errno;
use vpscore::kpi::Kpi;
use vpscore::time::Instant;
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

/// A process as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostProc {
    /// Its `struct proc`.
    pub handle: ProcHandle,
    /// `p_pid`.
    pub host: HostId,
    /// `td_tid` of its first thread.
    pub tid: HostId,
}

/// Something the core asked for that changes the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// [`Kpi::prison_create`].
    Create(PrisonHandle),
    /// [`Kpi::prison_destroy`].
    Destroy(PrisonHandle),
    /// [`Kpi::prison_suspend`].
    Suspend(PrisonHandle),
    /// [`Kpi::prison_resume`].
    Resume(PrisonHandle),
    /// [`Kpi::prison_drain`].
    Drain(PrisonHandle),
    /// [`Kpi::signal`].
    Signal(ProcHandle, i32),
}

/// The kernel's side, written down.
#[derive(Clone, Debug)]
pub struct HostKernel {
    next_id: i32,
    next_handle: u64,
    next_tid: i32,
    next_prison: u64,
    random: u64,
    /// Ids that a process group, session or reaper subtree carries.
    pub named: BTreeSet<HostId>,
    /// Prisons that are there; whether each is suspended.
    pub prisons: BTreeMap<PrisonHandle, bool>,
    /// All that was asked for and granted, in order.
    pub asked: Vec<Asked>,
    /// What [`Kpi::prison_create`], [`Kpi::prison_suspend`] and [`Kpi::prison_drain`] answer.
    pub refuse: Option<Errno>,
}

impl Default for HostKernel {
    fn default() -> Self {
        Self::new(0x0123_4567_89ab_cdef)
    }
}

impl HostKernel {
    /// A kernel whose random numbers follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            next_id: 1000,
            next_handle: 0xffff_f800_0000_0000,
            next_tid: 100_100,
            next_prison: 1,
            random: seed,
            named: BTreeSet::new(),
            prisons: BTreeMap::new(),
            asked: Vec::new(),
            refuse: None,
        }
    }

    /// A new process, of the host as yet.
    pub const fn make(&mut self) -> HostProc {
        self.next_id += 1;
        self.hand_out(HostId(self.next_id))
    }

    /// A new process with an id that the kernel may have given out before.
    pub const fn hand_out(&mut self, host: HostId) -> HostProc {
        // As far apart as the slab of `struct proc` puts them, so that the low bits say nothing.
        self.next_handle += 0x540;
        HostProc {
            handle: ProcHandle(self.next_handle),
            host,
            tid: self.make_tid(),
        }
    }

    /// The id of a new thread.
    pub const fn make_tid(&mut self) -> HostId {
        self.next_tid += 1;
        HostId(self.next_tid)
    }

    /// Who has been sent `SIGKILL`, in order.
    pub fn killed(&self) -> impl Iterator<Item = ProcHandle> + '_ {
        self.asked.iter().filter_map(|asked| match asked {
            Asked::Signal(proc, 9) => Some(*proc),
            _ => None,
        })
    }

    /// Whether a prison is there and suspended.
    pub fn is_suspended(&self, prison: PrisonHandle) -> bool {
        self.prisons.get(&prison).copied().unwrap_or(false)
    }

    fn granted(&self) -> Result<(), Errno> {
        self.refuse.map_or(Ok(()), Err)
    }
}

impl Kpi for HostKernel {
    fn uptime(&mut self) -> Instant {
        Instant::BOOT
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn id_named(&mut self, id: HostId) -> bool {
        self.named.contains(&id)
    }

    fn prison_create(
        &mut self,
        _: Option<PrisonHandle>,
        _: InstanceId,
        _: &str,
    ) -> Result<PrisonHandle, Errno> {
        self.granted()?;
        let prison = PrisonHandle(self.next_prison);
        self.next_prison += 1;
        self.prisons.insert(prison, false);
        self.asked.push(Asked::Create(prison));
        Ok(prison)
    }

    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        let there = self.prisons.remove(&prison);
        assert!(there.is_some(), "{prison:?} is destroyed and is not there");
        self.asked.push(Asked::Destroy(prison));
        Ok(())
    }

    fn signal(&mut self, proc: ProcHandle, signum: i32) {
        self.asked.push(Asked::Signal(proc, signum));
    }

    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.granted()?;
        self.prisons.insert(prison, true);
        self.asked.push(Asked::Suspend(prison));
        Ok(())
    }

    fn prison_resume(&mut self, prison: PrisonHandle) {
        self.prisons.insert(prison, false);
        self.asked.push(Asked::Resume(prison));
    }

    fn prison_drain(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        self.granted()?;
        self.asked.push(Asked::Drain(prison));
        Ok(())
    }
}
