// SPDX-License-Identifier: BSD-2-Clause
//! Load and unload: the entry points that the C side's module event handler calls.

use core::ffi::c_int;

use vpscore::collections::List;
use vpscore::kpi::{Lock, LockFamily, LockRank};

use crate::lock::KernelLocks;

/// Loads the module.
#[unsafe(no_mangle)]
extern "C" fn vps_rs_load() -> c_int {
    let Ok(lock) = <KernelLocks as LockFamily>::Lock::create(LockRank::State, List::<u64>::new())
    else {
        return vpscore::errno::Errno::ENOMEM as c_int;
    };
    let pushed = lock.write(|list| list.push(1));
    let len = lock.read(List::len);
    if pushed.is_err() || len != 1 {
        return vpscore::errno::Errno::ENOMEM as c_int;
    }
    0
}

/// Unloads the module.
#[unsafe(no_mangle)]
extern "C" fn vps_rs_unload() -> c_int {
    0
}
