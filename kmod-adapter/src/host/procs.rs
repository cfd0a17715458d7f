// SPDX-License-Identifier: BSD-2-Clause
//! Processes: made, ended, reaped, signalled.

use core::ffi::{c_int, c_void};
use std::vec::Vec;

use super::{HOST_PID_MAX, Handle, PENDING, World, lock, natives, world};
use crate::event;
use crate::ffi::{self, Call};

pub(super) const SIGKILL: i32 = 9;

/// `struct proc`, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    pub(super) pid: i32,
    pub(super) tid: i32,
    /// Order of birth.
    pub(super) serial: u64,
    pub(super) parent: Handle,
    /// To whom its children go.
    pub(super) reaper: Handle,
    pub(super) pgid: i32,
    pub(super) sid: i32,
    /// The prison, 0 for the host.
    pub(super) prison: u64,
    /// Whether `p_sysent` is ours.
    pub(super) armed: bool,
    /// The status of a zombie.
    pub(super) status: Option<i32>,
    pub(super) stopped: bool,
    pub(super) arrived: Vec<i32>,
    /// Signals for which it has a handler.
    pub(super) handled: Vec<i32>,
}

impl World {
    pub(super) fn proc(&self, proc: Handle) -> &Proc {
        self.procs.get(&proc.0).expect("no such process")
    }

    pub(super) fn proc_mut(&mut self, proc: Handle) -> &mut Proc {
        self.procs.get_mut(&proc.0).expect("no such process")
    }

    pub(super) fn by_pid(&self, pid: i32) -> Option<Handle> {
        self.procs
            .iter()
            .find(|(_, proc)| proc.pid == pid)
            .map(|(handle, _)| Handle(*handle))
    }

    /// The host's init, its own parent.
    pub(super) fn spawn_init(&mut self) {
        let handle = self.free_handle();
        let init = Proc {
            pid: 1,
            tid: 100_001,
            serial: 0,
            parent: handle,
            reaper: handle,
            pgid: 1,
            sid: 1,
            prison: 0,
            armed: false,
            status: None,
            stopped: false,
            arrived: Vec::new(),
            handled: Vec::new(),
        };
        self.procs.insert(handle.0, init);
        self.last_pid = 1;
    }

    /// The lowest address that no process has: an allocator gives back at once what was freed last.
    fn free_handle(&self) -> Handle {
        let mut handle = self.first_handle;
        while self.procs.contains_key(&handle) {
            handle += 0x500;
        }
        Handle(handle)
    }

    /// The next PID that nothing carries (`fork_findpid`).
    fn free_pid(&mut self) -> Option<i32> {
        for _ in 0..HOST_PID_MAX {
            self.last_pid = if self.last_pid >= HOST_PID_MAX {
                2
            } else {
                self.last_pid + 1
            };
            let pid = self.last_pid;
            let taken = self
                .procs
                .values()
                .any(|p| p.pid == pid || p.pgid == pid || p.sid == pid);
            if !taken {
                return Some(pid);
            }
        }
        None
    }

    /// Whether a process is in a prison or in one below it.
    pub(super) fn inside(&self, proc: &Proc, prison: u64) -> bool {
        let mut at = proc.prison;
        while at != 0 {
            if at == prison {
                return true;
            }
            at = self.prisons.get(&at).map_or(0, |prison| prison.parent);
        }
        false
    }
}

/// `fork1`: the child's PID, or an errno.
pub(super) fn fork(parent: Handle) -> Result<i32, i32> {
    lock::may_sleep();
    if super::out_of_memory() {
        return Err(12);
    }
    let (child, pid, tid) = world(|world| {
        let pid = world.free_pid().ok_or(35)?;
        let child = world.free_handle();
        let mut proc = world.proc(parent).clone();
        proc.pid = pid;
        proc.tid = 100_001 + pid;
        world.births += 1;
        proc.serial = world.births;
        proc.parent = parent;
        proc.arrived.clear();
        let tid = proc.tid;
        world.procs.insert(child.0, proc);
        Ok::<_, i32>((child, pid, tid))
    })?;
    // SAFETY: what this thread has pending.
    let refused = unsafe { event::vps_rs_fork(PENDING.get(), parent.0, child.0, pid, tid) };
    if refused != 0 {
        kill(child);
    }
    Ok(pid)
}

/// `exit1`: a zombie, its children with their reaper.
pub(super) fn exit(proc: Handle, status: i32) {
    lock::may_sleep();
    event::vps_rs_exit(proc.0);
    world(|world| {
        let reaper = world.proc(proc).reaper;
        // An exiting reaper gives its role to the one above.
        let heir = if reaper == proc {
            world.proc(world.proc(proc).parent).reaper
        } else {
            reaper
        };
        for child in world.procs.values_mut() {
            if child.parent == proc {
                child.parent = heir;
            }
            if child.reaper == proc {
                child.reaper = heir;
            }
        }
        let gone = world.proc_mut(proc);
        gone.status = Some(status);
        gone.stopped = false;
    });
}

/// What `SIGKILL` does to a process that runs: it exits in a thread of its own, which is not ours.
fn kill(proc: Handle) {
    world(|world| world.proc_mut(proc).arrived.push(SIGKILL));
}

/// Ends every process to which `SIGKILL` has come. A kernel's processes do it by themselves; here
/// it is a step of the test, and of waiting for a prison to drain.
pub(super) fn let_the_killed_exit() {
    while let Some(proc) = world(|world| {
        world
            .procs
            .iter()
            .find(|(_, p)| p.status.is_none() && p.pid != 1 && p.arrived.contains(&SIGKILL))
            .map(|(handle, _)| Handle(*handle))
    }) {
        exit(proc, SIGKILL);
    }
}

/// `proc_reap`.
fn reap(proc: Handle) {
    let pid = world(|world| world.proc(proc).pid);
    // SAFETY: what this thread has pending.
    unsafe { event::vps_rs_reap(PENDING.get(), proc.0, pid) };
    world(|world| world.procs.remove(&proc.0));
}

/// `kern_wait6` for a caller that does not want to block: PID and status of a zombie, 0 where no
/// child has ended yet, `ECHILD` where there is none.
pub(super) fn wait(parent: Handle, id: i32) -> Result<(i32, i32), i32> {
    lock::may_sleep();
    let found = world(|world| {
        let own = world.proc(parent).pgid;
        let children = world.procs.iter().filter(|(handle, p)| {
            p.parent == parent
                && **handle != parent.0
                && match id {
                    -1 => true,
                    0 => p.pgid == own,
                    1.. => p.pid == id,
                    _ => p.pgid == -id,
                }
        });
        let mut any = false;
        for (handle, child) in children {
            any = true;
            if let Some(status) = child.status {
                return Ok(Some((Handle(*handle), child.pid, status)));
            }
        }
        if any { Ok(None) } else { Err(10) }
    })?;
    match found {
        Some((proc, pid, status)) => {
            reap(proc);
            Ok((pid, status))
        }
        None => Ok((0, 0)),
    }
}

/// Children of the host's init that have ended, which it reaps as a matter of course.
pub(super) fn init_reaps() {
    let Some(init) = world(|world| world.by_pid(1)) else {
        return;
    };
    while matches!(wait(init, -1), Ok((pid, _)) if pid > 0) {}
}

fn deliver(proc: Handle, signum: i32, filter: *const c_void) -> Option<c_int> {
    // SAFETY: what was given with the call.
    match unsafe { event::vps_rs_wanted(filter, proc.0, signum) } {
        ffi::WANTED_NOT => None,
        ffi::WANTED_QUIET => Some(0),
        _ => {
            world(|world| {
                let target = world.proc_mut(proc);
                if signum != 0 && target.status.is_none() {
                    target.arrived.push(signum);
                }
            });
            Some(0)
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_signal_one(
    _call: *mut Call,
    pid: i32,
    signum: c_int,
    filter: *const c_void,
) -> c_int {
    lock::may_sleep();
    let target = world(|world| world.by_pid(pid));
    target
        .and_then(|target| deliver(target, signum, filter))
        .unwrap_or(3)
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_signal_each(
    _call: *mut Call,
    which: c_int,
    pgid: i32,
    signum: c_int,
    filter: *const c_void,
) -> c_int {
    lock::may_sleep();
    let targets: Vec<Handle> = world(|world| {
        let meant = world
            .procs
            .iter()
            .filter(|(_, p)| which == ffi::EACH_ALL || p.pgid == pgid);
        meant.map(|(handle, _)| Handle(*handle)).collect()
    });
    let reached = targets
        .into_iter()
        .filter(|target| deliver(*target, signum, filter).is_some());
    if reached.count() > 0 { 0 } else { 3 }
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_signal(proc: u64, signum: c_int) {
    lock::may_sleep();
    world(|world| {
        if let Some(proc) = world
            .procs
            .get_mut(&proc)
            .filter(|proc| proc.status.is_none())
        {
            proc.arrived.push(signum);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_default_action(proc: u64, signum: c_int) -> c_int {
    world(|world| c_int::from(!world.proc(Handle(proc)).handled.contains(&signum)))
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_pgid(proc: u64) -> i32 {
    world(|world| world.proc(Handle(proc)).pgid)
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_id_named(id: i32) -> c_int {
    lock::may_sleep();
    world(|world| c_int::from(world.procs.values().any(|p| p.pgid == id || p.sid == id)))
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_forward(call: *mut Call) -> c_int {
    lock::may_sleep();
    // SAFETY: the call under way, which the kernel may change.
    natives::forward(unsafe { &mut *call })
}
