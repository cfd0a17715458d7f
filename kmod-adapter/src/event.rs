// SPDX-License-Identifier: BSD-2-Clause
//! What the kernel tells: fork, exit, reap; and whom a signal is for.
//!
//! `process_fork` cannot refuse and comes when fork can no longer fail, and a wait returns a number
//! of a process that is gone by then. So the system call leaves a [`Pending`] with its thread, and
//! the events, which run in the same thread, find it there.

use core::ffi::{c_int, c_void};

use vpscore::ids::{Addressed, SignalVerdict};
use vpscore::state::{Committed, ForkReservation};
use vpscore::types::{HostId, InstanceId, ProcHandle, ViewId};
use vpscore::view::IdKind;

use crate::ffi;
use crate::kernel::Kernel;
use crate::module::core;

/// What a thread has under way.
#[derive(Debug)]
pub(crate) enum Pending {
    /// It forks; taken by the event when the child is there.
    Fork {
        /// The child's numbers, until they are the child's.
        reservation: Option<ForkReservation>,
    },
    /// It waits.
    Wait {
        /// Who.
        waiter: ProcHandle,
        /// What the process reaped was called in the waiter's instance.
        reaped: Option<ViewId>,
    },
}

/// Runs `f` while the thread's events find `pending`.
///
/// # Errors
/// The kernel's, where it has no memory for that; `f` has not run then.
pub(crate) fn with_pending<R>(
    pending: &mut Pending,
    f: impl FnOnce() -> R,
) -> Result<R, vpscore::errno::Errno> {
    let place: *mut Pending = pending;
    // SAFETY: the kernel keeps the pointer for this thread's events, until it is taken back below,
    // before `pending` goes; nothing else touches it meanwhile.
    crate::kernel::done(unsafe { ffi::vps_k_pending_set(place.cast()) })?;
    let result = f();
    // SAFETY: takes the pointer back.
    let _ = unsafe { ffi::vps_k_pending_set(core::ptr::null_mut()) };
    Ok(result)
}

/// The pending record behind a pointer that [`with_pending`] gave.
///
/// # Safety
/// `pending` is null, or what this thread's `with_pending` has set and not yet taken back.
unsafe fn pending<'a>(pending: *mut c_void) -> Option<&'a mut Pending> {
    // SAFETY: the caller's duty; the frame of `with_pending` is suspended in the call that raised
    // this event, so the reference is the only one.
    unsafe { pending.cast::<Pending>().as_mut() }
}

/// `process_fork`: the child is there and does not run yet. Not 0 where it must not.
///
/// # Safety
/// `record` is what the kernel keeps for this thread.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vps_rs_fork(
    record: *mut c_void,
    parent: u64,
    child: u64,
    pid: i32,
    tid: i32,
) -> c_int {
    let Some(core) = core() else { return 0 };
    let (parent, child) = (ProcHandle(parent), ProcHandle(child));
    // SAFETY: the caller's duty.
    let record = unsafe { pending(record) };
    let reservation = match record {
        Some(Pending::Fork { reservation }) => reservation.take(),
        Some(Pending::Wait { .. }) | None => None,
    };
    match reservation {
        Some(reservation) => match core.fork_commit(reservation, child, HostId(pid), HostId(tid)) {
            Committed::Runs => 0,
            Committed::Doomed => 1,
        },
        None => {
            core.host_id_taken(HostId(pid));
            // A child of an instance that nobody reserved has no number there and may not run.
            c_int::from(core.instance_of(parent) != InstanceId::VPS0)
        }
    }
}

/// `process_exec`: nothing of ours changes; the vector is put back when the call returns.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_exec(_proc: u64) {}

/// `process_exit`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_exit(proc: u64) {
    if let Some(core) = core() {
        let _ = core.proc_exit(&mut Kernel, ProcHandle(proc));
    }
}

/// `process_dtor`: reaped, or never run.
///
/// # Safety
/// As for [`vps_rs_fork`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vps_rs_reap(record: *mut c_void, proc: u64, pid: i32) {
    let Some(core) = core() else { return };
    // SAFETY: the caller's duty.
    match unsafe { pending(record) } {
        Some(Pending::Wait { waiter, reaped }) => {
            *reaped = Some(core.proc_reap(ProcHandle(proc), HostId(pid), Some(*waiter)));
        }
        Some(Pending::Fork { .. }) | None => {
            let _ = core.proc_reap(ProcHandle(proc), HostId(pid), None);
        }
    }
}

/// What a process reads for a process of the kernel: `si_pid`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_view(proc: u64, pid: i32) -> i32 {
    core().map_or(0, |core| {
        core.id_to_view(ProcHandle(proc), IdKind::Pid, HostId(pid))
            .0
    })
}

/// Whom one `kill(2)` means.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Who sends.
    pub(crate) sender: ProcHandle,
    /// Whether one process was named, or a group, or everybody meant.
    pub(crate) addressed: Addressed,
}

/// Whether a signal is for a process, which is locked: does not sleep.
///
/// # Safety
/// `filter` is what was given to the kernel's function that asks.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vps_rs_wanted(
    filter: *const c_void,
    proc: u64,
    signum: c_int,
) -> c_int {
    // SAFETY: the caller's duty; the frame that holds it waits for the function to return.
    let filter = unsafe { filter.cast::<Filter>().as_ref() };
    let (Some(core), Some(filter)) = (core(), filter) else {
        return ffi::WANTED_NOT;
    };
    let (sender, addressed) = (Some(filter.sender), filter.addressed);
    match core.signal_check(sender, ProcHandle(proc), signum, addressed) {
        Ok(SignalVerdict::Deliver) => ffi::WANTED,
        Ok(SignalVerdict::DeliverIfCaught) => {
            // SAFETY: the process is locked by the kernel's function that asks.
            match unsafe { ffi::vps_k_default_action(proc, signum) } {
                0 => ffi::WANTED,
                _ => ffi::WANTED_QUIET,
            }
        }
        // One that was named is there: the call succeeds, as it does for the host's init.
        Ok(SignalVerdict::Skip) if addressed == Addressed::One => ffi::WANTED_QUIET,
        Ok(SignalVerdict::Skip) | Err(_) => ffi::WANTED_NOT,
    }
}
