// SPDX-License-Identifier: BSD-2-Clause
//! The questions of the MAC policy. Asked with locks held: nothing here sleeps or allocates.

use core::ffi::c_int;

use vpscore::errno::Errno;
use vpscore::types::{InstanceId, ProcHandle};

use crate::ffi;
use crate::kernel::unpack;
use crate::module::core;

/// Whether what belongs to `to` may be seen from `from`: `ESRCH` where not.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_check_visible(from: u64, to: u64) -> c_int {
    let (from, to) = (unpack(from), unpack(to));
    if from == InstanceId::VPS0 {
        return 0;
    }
    let visible = core().is_none_or(|core| core.report(from, to).is_some());
    if visible { 0 } else { Errno::ESRCH as c_int }
}

/// Whether a process, which is locked, may be signalled from an instance. Its own init is kept from
/// signals that it has no handler for, by whatever call they come; `kill(2)` has seen to that
/// before, and asks with signal 0.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_check_signal(from: u64, proc: u64, signum: c_int) -> c_int {
    let Some(core) = core() else { return 0 };
    let (from, target) = (unpack(from), ProcHandle(proc));
    if !core.visible(from, target) {
        return Errno::ESRCH as c_int;
    }
    if signum == 0 || from == InstanceId::VPS0 || core.init_of(from) != Some(target) {
        return 0;
    }
    // SAFETY: the policy's caller has the process locked.
    match unsafe { ffi::vps_k_default_action(proc, signum) } {
        0 => 0,
        _ => Errno::EPERM as c_int,
    }
}

/// Whether a process may be debugged, or scheduled, from an instance.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_check_debug(from: u64, proc: u64) -> c_int {
    vps_rs_check_signal(from, proc, 0)
}

/// Whether an instance has a privilege.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_check_priv(instance: u64, raw: c_int) -> c_int {
    let allowed = core().map_or(Ok(()), |core| core.priv_check_in(unpack(instance), raw));
    allowed.map_or_else(|errno| errno as c_int, |()| 0)
}
