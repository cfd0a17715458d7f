// SPDX-License-Identifier: BSD-2-Clause
//! Prisons.

use core::ffi::c_int;
use std::string::String;

use super::{lock, natives, procs, world};

/// `struct prison`, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Prison {
    pub(super) parent: u64,
    pub(super) name: String,
    pub(super) instance: u64,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vps_k_prison_create(
    parent: u64,
    instance: u64,
    name: *const u8,
    namelen: usize,
    out: *mut u64,
) -> c_int {
    lock::may_sleep();
    if super::out_of_memory() {
        return 12;
    }
    // SAFETY: readable for its length.
    let name = unsafe { core::slice::from_raw_parts(name, namelen) };
    let name = String::from_utf8_lossy(name).into_owned();
    let made = world(|world| {
        let twice = world.prisons.values().any(|p| p.instance == instance);
        assert!(!twice, "two prisons of one instance");
        let exists = world
            .prisons
            .values()
            .any(|p| p.parent == parent && p.name == name);
        if exists || (parent != 0 && !world.prisons.contains_key(&parent)) {
            return Err(if exists { 17 } else { 2 });
        }
        let handle = world
            .prisons
            .keys()
            .next_back()
            .map_or(0x1000, |last| last + 0x1000);
        let prison = Prison {
            parent,
            name,
            instance,
        };
        world.prisons.insert(handle, prison);
        Ok(handle)
    });
    match made {
        Ok(handle) => {
            // SAFETY: writable.
            unsafe { *out = handle };
            0
        }
        Err(errno) => errno,
    }
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_prison_destroy(prison: u64) -> c_int {
    lock::may_sleep();
    world(|world| {
        assert!(
            !world.prisons.values().any(|p| p.parent == prison),
            "a prison with children removed"
        );
        assert!(
            !world.procs.values().any(|p| p.prison == prison),
            "a prison with processes removed"
        );
        assert!(world.prisons.remove(&prison).is_some(), "no such prison");
    });
    0
}

fn stop(prison: u64, stopped: bool) {
    lock::may_sleep();
    world(|world| {
        let inside: std::vec::Vec<u64> = world
            .procs
            .iter()
            .filter(|(_, p)| p.status.is_none() && world.inside(p, prison))
            .map(|(handle, _)| *handle)
            .collect();
        for handle in inside {
            world.proc_mut(super::Handle(handle)).stopped = stopped;
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_prison_suspend(prison: u64) -> c_int {
    stop(prison, true);
    0
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_prison_resume(prison: u64) {
    stop(prison, false);
}

/// Lets what was killed exit, and those reap who would: then what is left stays.
#[unsafe(no_mangle)]
extern "C" fn vps_k_prison_drain(prison: u64) -> c_int {
    lock::may_sleep();
    procs::let_the_killed_exit();
    procs::init_reaps();
    let left = world(|world| world.procs.values().any(|p| world.inside(p, prison)));
    if left { 16 } else { 0 }
}

#[unsafe(no_mangle)]
extern "C" fn vps_k_prison_enter(prison: u64, init: c_int) -> c_int {
    lock::may_sleep();
    if super::out_of_memory() {
        return 12;
    }
    let proc = natives::current();
    world(|world| {
        assert!(world.prisons.contains_key(&prison), "no such prison");
        let entering = world.proc_mut(proc);
        entering.prison = prison;
        entering.armed = true;
        if init != 0 {
            entering.reaper = proc;
        }
    });
    0
}
