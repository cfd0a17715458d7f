// SPDX-License-Identifier: BSD-2-Clause
//! Where an image comes from, and the instances in it.

use crate::cbor::Text;
use crate::codes;
use crate::collections::List;
use crate::image::InstanceRef;
use crate::instance::Name;
use crate::limits::{PID_MAX_LEAST, PID_MAX_WIDE, TID_MAX, TID_MIN};
use crate::record;
use crate::time::Duration;

record! {
    /// The source, in words; the fixed header has it in numbers.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Info {
        /// `kern.osrelease` of the source.
        0 => osrelease: Text,
        /// `hw.machine_arch` of the source.
        1 => machine_arch: Text,
        /// What wrote the image, with its version.
        2 => writer: Text,
    }
}

codes! {
    /// What an instance was doing when the snapshot was asked for.
    pub enum InstanceState {
        /// Made, but its init has not been started.
        Created = 1,
        /// Running; the instance of the image itself goes on like this when it is resumed.
        Running = 2,
        /// Suspended by its owner, and stays so.
        Suspended = 3,
    }
}

record! {
    /// A limit of an instance on one resource.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InstanceLimit {
        /// The number of the resource in `racct(9)` (`RACCT_*`).
        0 => resource: u16,
        /// Above this, the owner is told; absent for no such limit.
        1 => soft: Option<u64>,
        /// Above this, charges are refused; absent for no such limit.
        2 => hard: Option<u64>,
    }
}

record! {
    /// An instance: the image's own first, those nested in it after their parents.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Instance, check = Instance::plausible {
        /// The instance it is nested in; absent for the image's own.
        0 => parent: Option<InstanceRef>,
        /// Its name within its parent.
        1 => name: Text,
        /// What it was doing.
        2 => state: InstanceState,
        /// Privileges of `priv(9)` it asks for, increasing.
        3 => priv_allow: List<u16>,
        /// Privileges that fail with `ENOSYS` instead of `EPERM`, increasing.
        4 => priv_nosys: List<u16>,
        /// Its limits, by increasing resource.
        5 => limits: List<InstanceLimit>,
        /// How many instances, at all levels, it may have below it; absent for no limit of its own.
        6 => children_max: Option<u32>,
        /// `kern.pid_max` of its PID space.
        7 => pid_max: i32,
        /// The PID handed out last in its space.
        8 => last_pid: i32,
        /// The thread id handed out last in its space.
        9 => last_tid: i32,
        /// `kern.randompid` of its space: the modulus; 0 for consecutive PIDs.
        10 => randompid: i32,
        /// `kern.hostname`.
        11 => hostname: Text,
        /// `kern.domainname`.
        12 => domainname: Text,
        /// `kern.hostuuid`.
        13 => hostuuid: Text,
        /// `kern.hostid`.
        14 => hostid: u64,
        /// Its monotonic clock at the snapshot (`CLOCK_MONOTONIC`, `kern.boottime` counts from it).
        15 => uptime: Duration,
        /// `security.jail` `securelevel` of its own.
        16 => securelevel: i32,
        /// How many levels of instances it may have below it; absent for no limit of its own.
        17 => depth_max: Option<u8>,
    }
}

impl Instance {
    fn plausible(&self) -> Result<(), u64> {
        if Name::parse(self.name.as_str().as_bytes()).is_err() {
            return Err(Self::name);
        }
        if !increasing(self.priv_allow.iter().copied()) {
            return Err(Self::priv_allow);
        }
        if !increasing(self.priv_nosys.iter().copied()) {
            return Err(Self::priv_nosys);
        }
        if !increasing(self.limits.iter().map(|l| l.resource)) {
            return Err(Self::limits);
        }
        if !(PID_MAX_LEAST..=PID_MAX_WIDE).contains(&self.pid_max) {
            return Err(Self::pid_max);
        }
        if !(0..=self.pid_max).contains(&self.last_pid) {
            return Err(Self::last_pid);
        }
        if !(TID_MIN.saturating_sub(1)..=TID_MAX).contains(&self.last_tid) {
            return Err(Self::last_tid);
        }
        if !(0..=self.pid_max).contains(&self.randompid) {
            return Err(Self::randompid);
        }
        Ok(())
    }
}

/// Whether every number is greater than the one before it.
pub(super) fn increasing(numbers: impl Iterator<Item = u16>) -> bool {
    let mut last = None;
    for number in numbers {
        if last.is_some_and(|last| number <= last) {
            return false;
        }
        last = Some(number);
    }
    true
}
