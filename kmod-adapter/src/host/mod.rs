// SPDX-License-Identifier: BSD-2-Clause
//! An emulated kernel in user space, so that tests run the adapter's own code.
//!
//! It has what the adapter touches of a kernel and no more: processes with their groups, sessions
//! and parents, wait and exit, signals as a list of what arrived, prisons. It is strict where a real
//! one would go wrong later: process handles and PIDs are reused at once, locks are checked
//! ([`lock`]), memory fails when told to, a prison with processes cannot be removed.
//!
//! A [`Machine`] is the one there is: making it waits until the former is dropped.

pub(crate) mod lock;
mod natives;
mod prison;
mod procs;
#[cfg(test)]
mod tests;

use core::ffi::{c_int, c_void};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::ffi::{CALL_NATIVE, Call};
use procs::Proc;

/// PIDs of the host start over here, so that they are reused while a test runs.
const HOST_PID_MAX: i32 = 512;

/// What the kernel knows.
#[derive(Default)]
pub(crate) struct World {
    procs: BTreeMap<u64, Proc>,
    prisons: BTreeMap<u64, prison::Prison>,
    last_pid: i32,
    /// Where the addresses of processes start.
    first_handle: u64,
    clock: u64,
    births: u64,
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Requests for memory until one fails; negative for never.
static MEMORY_LEFT: AtomicI64 = AtomicI64::new(-1);

std::thread_local! {
    /// What the current thread has pending: `osd_thread_set`.
    static PENDING: core::cell::Cell<*mut c_void> = const { core::cell::Cell::new(core::ptr::null_mut()) };
}

/// Whether this request for memory is the one to fail.
pub(crate) fn out_of_memory() -> bool {
    MEMORY_LEFT
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            (left >= 0).then(|| left - 1)
        })
        .is_ok_and(|left| left == 0)
}

/// Runs `f` with the kernel's state. Never held while Rust's side is called.
pub(crate) fn world<R>(f: impl FnOnce(&mut World) -> R) -> R {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    f(world.as_mut().expect("no machine"))
}

/// A booted kernel with the module loaded.
pub(crate) struct Machine {
    /// Held while this machine runs.
    _only: MutexGuard<'static, ()>,
}

/// A process of the machine: the address of its `struct proc`, so to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle(pub(crate) u64);

/// The answer of a system call: a result or an errno.
pub(crate) type Answer = Result<i32, i32>;

impl Machine {
    /// Boots, and loads the module.
    pub(crate) fn boot() -> Self {
        let only = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        MEMORY_LEFT.store(-1, Ordering::SeqCst);
        let mut world = World {
            first_handle: 0xffff_f800_0000_0000,
            ..World::default()
        };
        world.spawn_init();
        *WORLD.lock().unwrap_or_else(PoisonError::into_inner) = Some(world);
        crate::module::vps_rs_unload();
        assert_eq!(crate::module::vps_rs_load(), 0);
        Self { _only: only }
    }

    /// The host's init.
    pub(crate) fn init(&self) -> Handle {
        world(|world| world.by_pid(1).expect("init"))
    }

    /// Lets the request for memory after `n` others fail, once.
    pub(crate) fn fail_memory_after(&self, n: i64) {
        MEMORY_LEFT.store(n, Ordering::SeqCst);
    }

    /// Memory does not fail any more. Whether the failure asked for had still to come.
    pub(crate) fn memory_back(&self) -> bool {
        MEMORY_LEFT.swap(-1, Ordering::SeqCst) >= 0
    }

    /// A system call of a process, through its vector.
    pub(crate) fn call(&self, proc: Handle, code: i32, args: &[i64]) -> Answer {
        let mut words = [0u64; 8];
        for (word, arg) in words.iter_mut().zip(args) {
            *word = *arg as u64;
        }
        let (pid, armed) = world(|world| {
            let proc = world.proc(proc);
            (proc.pid, proc.armed)
        });
        natives::set_current(proc);
        let mut call = Call {
            proc: proc.0,
            pid,
            code,
            args: words.as_mut_ptr(),
            ret: 0,
            options: CALL_NATIVE,
            reserved: 0,
            td: core::ptr::null_mut(),
            live: core::ptr::null_mut(),
        };
        let error = if armed && crate::syscall::vps_rs_wraps(code, 1) != 0 {
            // SAFETY: a call of this thread, with eight arguments.
            unsafe { crate::syscall::vps_rs_syscall(&raw mut call) }
        } else {
            natives::forward(&mut call)
        };
        if error == 0 {
            Ok(call.ret as u32 as i32)
        } else {
            Err(error)
        }
    }

    /// A request at `/dev/vps`.
    pub(crate) fn control(&self, proc: Handle, request: &[u8]) -> Result<Vec<u8>, i32> {
        let mut answer = [0u8; 8192];
        let mut answered = 0;
        // SAFETY: buffers of this frame, with their lengths.
        let error = unsafe {
            crate::control::vps_rs_control(
                proc.0,
                request.as_ptr(),
                request.len(),
                answer.as_mut_ptr(),
                answer.len(),
                &raw mut answered,
            )
        };
        if error == 0 {
            Ok(answer[..answered].to_vec())
        } else {
            Err(error)
        }
    }

    /// `exit(2)` with a status.
    pub(crate) fn exit(&self, proc: Handle, status: i32) {
        procs::exit(proc, status);
    }

    /// Signals that have arrived at a process, oldest first.
    pub(crate) fn signals(&self, proc: Handle) -> Vec<i32> {
        world(|world| world.proc(proc).arrived.clone())
    }

    /// Who has this number on the host, dead or alive.
    pub(crate) fn by_pid(&self, pid: i32) -> Option<Handle> {
        world(|world| world.by_pid(pid))
    }

    /// A process of the host, a child of its init.
    pub(crate) fn host_proc(&self) -> Handle {
        let pid = self.call(self.init(), natives::FORK, &[]).expect("fork");
        self.by_pid(pid).expect("child")
    }

    /// A host process that has entered the instance at `path`.
    pub(crate) fn enter(&self, path: &str) -> Result<Handle, i32> {
        let proc = self.host_proc();
        match self.enter_as(proc, path) {
            Ok(()) => Ok(proc),
            Err(errno) => {
                self.exit(proc, 0);
                let pid = world(|world| world.proc(proc).pid);
                assert_eq!(
                    self.call(self.init(), natives::WAIT4, &[pid.into()]),
                    Ok(pid)
                );
                Err(errno)
            }
        }
    }

    /// `proc` enters the instance at `path`.
    pub(crate) fn enter_as(&self, proc: Handle, path: &str) -> Result<(), i32> {
        let (pid, tid) = world(|world| (world.proc(proc).pid, world.proc(proc).tid));
        natives::set_current(proc);
        // SAFETY: bytes of this frame, with their length.
        let error =
            unsafe { crate::control::vps_rs_enter(proc.0, pid, tid, path.as_ptr(), path.len()) };
        if error == 0 { Ok(()) } else { Err(error) }
    }

    /// Lets a process have a handler for a signal.
    pub(crate) fn handle(&self, proc: Handle, signum: i32) {
        world(|world| world.proc_mut(proc).handled.push(signum));
    }

    /// Whether the threads of a process are stopped.
    pub(crate) fn stopped(&self, proc: Handle) -> bool {
        world(|world| world.proc(proc).stopped)
    }

    /// How many processes the kernel holds, zombies too.
    pub(crate) fn procs(&self) -> usize {
        world(|world| world.procs.len())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        crate::module::vps_rs_unload();
        *WORLD.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_pending_set(pending: *mut c_void) -> c_int {
    lock::may_sleep();
    if !pending.is_null() && out_of_memory() {
        return 12;
    }
    PENDING.set(pending);
    0
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_uptime() -> u64 {
    lock::may_sleep();
    world(|world| {
        world.clock += 1_000;
        world.clock
    })
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_random() -> u64 {
    lock::may_sleep();
    0x9e37_79b9_7f4a_7c15
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_pause() {
    lock::may_sleep();
    std::thread::yield_now();
}
