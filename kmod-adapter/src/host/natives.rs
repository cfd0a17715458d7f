// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's own system calls, as far as tests make them. All ids are the host's.

use core::ffi::c_int;

use super::{Answer, Handle, procs, world};
use crate::ffi::Call;

pub(crate) const FORK: i32 = 2;
pub(crate) const WAIT4: i32 = 7;
pub(crate) const GETPID: i32 = 20;
pub(crate) const KILL: i32 = 37;
pub(crate) const GETPPID: i32 = 39;
pub(crate) const EXECVE: i32 = 59;
pub(crate) const GETPGRP: i32 = 81;
pub(crate) const SETPGID: i32 = 82;
pub(crate) const SETSID: i32 = 147;
pub(crate) const GETPGID: i32 = 207;
pub(crate) const RFORK: i32 = 251;
pub(crate) const GETSID: i32 = 310;
pub(crate) const SIGTIMEDWAIT: i32 = 345;

std::thread_local! {
    static CURRENT: core::cell::Cell<Handle> = const { core::cell::Cell::new(Handle(0)) };
}

/// Says whose call this thread does.
pub(super) fn set_current(proc: Handle) {
    CURRENT.set(proc);
}

/// `curproc`.
pub(super) fn current() -> Handle {
    CURRENT.get()
}

/// Does the call natively.
pub(super) fn forward(call: &mut Call) -> c_int {
    let proc = Handle(call.proc);
    // SAFETY: a call has eight arguments.
    let arg = |index: usize| unsafe { *call.args.add(index) } as i32;
    let answer = native(proc, call.code, &arg);
    if call.code == EXECVE {
        rearm(proc);
    }
    match answer {
        Ok(value) => {
            call.ret = u64::from(value.unsigned_abs());
            0
        }
        Err(errno) => errno,
    }
}

/// exec gives a process the kernel's vector; on return to ours it is put back.
fn rearm(proc: Handle) {
    world(|world| {
        let proc = world.proc_mut(proc);
        proc.armed = proc.prison != 0;
    });
}

fn native(proc: Handle, code: i32, arg: &dyn Fn(usize) -> i32) -> Answer {
    match code {
        FORK | RFORK => procs::fork(proc),
        WAIT4 => procs::wait(proc, arg(0)).map(|(pid, _)| pid),
        EXECVE => {
            world(|world| world.proc_mut(proc).armed = false);
            Ok(0)
        }
        _ => world(|world| {
            let find = |pid| {
                if pid == 0 {
                    Some(proc)
                } else {
                    world.by_pid(pid)
                }
            };
            let own = world.proc(proc);
            match code {
                GETPID => Ok(own.pid),
                GETPPID => Ok(world.proc(own.parent).pid),
                GETPGRP => Ok(own.pgid),
                GETPGID => Ok(world.proc(find(arg(0)).ok_or(3)?).pgid),
                GETSID => Ok(world.proc(find(arg(0)).ok_or(3)?).sid),
                SETSID if own.pgid == own.pid => Err(1),
                SETSID => {
                    let proc = world.proc_mut(proc);
                    (proc.sid, proc.pgid) = (proc.pid, proc.pid);
                    Ok(proc.pid)
                }
                SETPGID => {
                    let target = find(arg(0)).ok_or(3)?;
                    let pgid = if arg(1) == 0 {
                        world.proc(target).pid
                    } else {
                        arg(1)
                    };
                    world.proc_mut(target).pgid = pgid;
                    Ok(0)
                }
                SIGTIMEDWAIT => Ok(20),
                _ => Err(78),
            }
        }),
    }
}

/// The program's memory is the test's own: a test passes addresses of its variables.
#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_user_get(address: u64, value: *mut i32) -> c_int {
    super::lock::may_sleep();
    if address < 4096 {
        return 14;
    }
    // SAFETY: a variable of the test, which waits for the call.
    unsafe { *value = *(address as *const i32) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_user_put(address: u64, value: i32) -> c_int {
    super::lock::may_sleep();
    if address < 4096 {
        return 14;
    }
    // SAFETY: a variable of the test, which waits for the call.
    unsafe { *(address as *mut i32) = value };
    0
}
