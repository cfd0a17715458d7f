// SPDX-License-Identifier: BSD-2-Clause
//! `/dev/vps`: requests of the management plane, and the way into an instance.

use core::ffi::c_int;

use vpscore::ctl;
use vpscore::errno::Errno;
use vpscore::kpi::Kpi;
use vpscore::state::{Committed, SIGKILL};
use vpscore::types::{HostId, ProcHandle, ViewId};

use crate::ffi;
use crate::kernel::{Kernel, done};
use crate::module::{TheCore, core};

/// Answers one request. What was refused is said in the answer; an errno here means that there is
/// none: no memory for it, or no room for it in the caller's buffer.
///
/// # Safety
/// `request` is readable for `len` bytes, `answer` writable for `room`, `answered` writable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vps_rs_control(
    proc: u64,
    request: *const u8,
    len: usize,
    answer: *mut u8,
    room: usize,
    answered: *mut usize,
) -> c_int {
    let Some(core) = core() else {
        return Errno::ENXIO as c_int;
    };
    // SAFETY: the caller's duty.
    let (request, answer, answered) = unsafe {
        (
            core::slice::from_raw_parts(request, len),
            core::slice::from_raw_parts_mut(answer, room),
            &mut *answered,
        )
    };
    *answered = 0;
    let caller = core.instance_of(ProcHandle(proc));
    let Ok(bytes) = ctl::serve(core, &mut Kernel, caller, request) else {
        return Errno::ENOMEM as c_int;
    };
    if bytes.len() > answer.len() {
        return Errno::EMSGSIZE as c_int;
    }
    for (to, from) in answer.iter_mut().zip(&bytes) {
        *to = *from;
    }
    *answered = bytes.len();
    0
}

/// The calling process, of one thread, becomes one of the instance at a path, as it names it.
///
/// # Safety
/// `path` is readable for `len` bytes; the ids are those of the calling thread.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vps_rs_enter(
    proc: u64,
    pid: i32,
    tid: i32,
    path: *const u8,
    len: usize,
) -> c_int {
    let Some(core) = core() else {
        return Errno::ENXIO as c_int;
    };
    // SAFETY: the caller's duty.
    let path = unsafe { core::slice::from_raw_parts(path, len) };
    let entered = enter(core, ProcHandle(proc), HostId(pid), HostId(tid), path);
    entered.map_or_else(|errno| errno as c_int, |()| 0)
}

fn enter(
    core: &TheCore,
    proc: ProcHandle,
    pid: HostId,
    tid: HostId,
    path: &[u8],
) -> Result<(), Errno> {
    let viewer = core.instance_of(proc);
    let to = core.lookup(viewer, path).map_err(|error| error.errno())?;
    let reservation = core
        .attach_reserve(&mut Kernel, proc, to)
        .map_err(|error| error.errno())?;
    let init = c_int::from(reservation.pid() == ViewId::INIT);
    let prison = core.report(viewer, to).and_then(|report| report.prison);
    let entered = match prison {
        // SAFETY: a prison that we hold: with a reservation in it the instance stays.
        Some(prison) => done(unsafe { ffi::vps_k_prison_enter(prison.0, init) }),
        None => Err(Errno::ENXIO),
    };
    match entered {
        // What killed all others in the instance has missed this one.
        Ok(()) => match core.attach_commit(reservation, proc, pid, tid) {
            Committed::Runs => {}
            Committed::Doomed => Kernel.signal(proc, SIGKILL),
        },
        Err(_) => core.attach_abort(reservation),
    }
    entered
}
