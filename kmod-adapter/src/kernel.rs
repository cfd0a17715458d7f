// SPDX-License-Identifier: BSD-2-Clause
//! [`Kpi`] over the kernel's functions.

use core::ffi::c_int;

use vpscore::errno::Errno;
use vpscore::kpi::Kpi;
use vpscore::time::Instant;
use vpscore::types::{HostId, InstanceId, PrisonHandle, ProcHandle};

use crate::ffi;

/// The kernel that the module is loaded in. Made where a joint may sleep, and nowhere else.
#[derive(Debug)]
pub(crate) struct Kernel;

/// An errno of the kernel's: 0 is success, a number that FreeBSD does not know is `EIO`.
pub(crate) fn done(error: c_int) -> Result<(), Errno> {
    match error {
        0 => Ok(()),
        raw => Err(Errno::from_raw(raw).unwrap_or(Errno::EIO)),
    }
}

/// An instance's id as the C side carries it; 0 is vps0 alone, which has slot 0.
pub(crate) fn pack(instance: InstanceId) -> u64 {
    u64::from(instance.generation) << 32 | u64::from(instance.slot)
}

/// The instance that [`pack`] packed.
pub(crate) fn unpack(packed: u64) -> InstanceId {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    InstanceId {
        slot: u32::from_be_bytes([e, f, g, h]),
        generation: u32::from_be_bytes([a, b, c, d]),
    }
}

impl Kpi for Kernel {
    fn uptime(&mut self) -> Instant {
        // SAFETY: takes nothing.
        Instant::from_nanos(unsafe { ffi::vps_k_uptime() })
    }

    fn random(&mut self) -> u64 {
        // SAFETY: takes nothing.
        unsafe { ffi::vps_k_random() }
    }

    fn id_named(&mut self, id: HostId) -> bool {
        // SAFETY: any number will do.
        unsafe { ffi::vps_k_id_named(id.0) != 0 }
    }

    fn prison_create(
        &mut self,
        parent: Option<PrisonHandle>,
        instance: InstanceId,
        name: &str,
    ) -> Result<PrisonHandle, Errno> {
        let parent = parent.map_or(0, |prison| prison.0);
        let mut prison = 0;
        // SAFETY: `parent` is a prison that we hold, by the core's tree; `name` is readable for its
        // length; `prison` is writable.
        let error = unsafe {
            ffi::vps_k_prison_create(
                parent,
                pack(instance),
                name.as_ptr(),
                name.len(),
                &raw mut prison,
            )
        };
        done(error).map(|()| PrisonHandle(prison))
    }

    fn prison_destroy(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        // SAFETY: a prison that we hold; the core forgets it when this succeeds.
        done(unsafe { ffi::vps_k_prison_destroy(prison.0) })
    }

    fn signal(&mut self, proc: ProcHandle, signum: i32) {
        // SAFETY: the address is looked for among the living before it is used.
        unsafe { ffi::vps_k_signal(proc.0, signum) }
    }

    fn prison_suspend(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        // SAFETY: a prison that we hold.
        done(unsafe { ffi::vps_k_prison_suspend(prison.0) })
    }

    fn prison_resume(&mut self, prison: PrisonHandle) {
        // SAFETY: a prison that we hold.
        unsafe { ffi::vps_k_prison_resume(prison.0) }
    }

    fn prison_drain(&mut self, prison: PrisonHandle) -> Result<(), Errno> {
        // SAFETY: a prison that we hold.
        done(unsafe { ffi::vps_k_prison_drain(prison.0) })?;
        // A process leaves the kernel's lists a little before process_dtor tells of it.
        for _ in 0..DTOR_TRIES {
            if !has_members(prison) {
                return Ok(());
            }
            // SAFETY: takes nothing.
            unsafe { ffi::vps_k_pause() };
        }
        Err(Errno::EBUSY)
    }
}

/// How often the last process is waited for, with a [`ffi::vps_k_pause`] between.
const DTOR_TRIES: u32 = 200;

fn has_members(prison: PrisonHandle) -> bool {
    crate::module::core().is_some_and(|core| {
        let id = core.by_prison(prison);
        let report = id.and_then(|id| core.report(InstanceId::VPS0, id));
        report.is_some_and(|report| report.members > 0)
    })
}
