// SPDX-License-Identifier: BSD-2-Clause
//! The module's one core: made at load, reached by every entry point, gone at unload.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

use vpscore::errno::Errno;
use vpscore::state::{Config, Core};
use vpscore::types::InstanceId;

use crate::kernel::Kernel;
use crate::lock::KernelLocks;

/// The core over the kernel's locks.
pub(crate) type TheCore = Core<KernelLocks>;

/// Where the core lies.
///
/// # Invariants
/// `core` is initialised while `loaded` is true. It changes in [`vps_rs_load`] and
/// [`vps_rs_unload`] only, while no other entry point runs: the C side calls the first before it
/// registers anything with the kernel, and the second when everything is deregistered and drained.
struct Place {
    loaded: AtomicBool,
    core: UnsafeCell<MaybeUninit<TheCore>>,
}

// SAFETY: shared as `&Core`, which is `Sync`, except in load and unload, when nobody else is there.
unsafe impl Sync for Place {}

static PLACE: Place = Place {
    loaded: AtomicBool::new(false),
    core: UnsafeCell::new(MaybeUninit::uninit()),
};

/// The core; `None` before load and after unload, when nothing should ask.
pub(crate) fn core() -> Option<&'static TheCore> {
    if !PLACE.loaded.load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: initialised while `loaded` (invariant), and not changed before everybody has left.
    Some(unsafe { (*PLACE.core.get()).assume_init_ref() })
}

/// Makes the core. Called once, before anything is registered with the kernel.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_load() -> c_int {
    if PLACE.loaded.load(Ordering::Acquire) {
        return Errno::EEXIST as c_int;
    }
    match Core::create(&mut Kernel, Config::DEFAULT) {
        Ok(made) => {
            // SAFETY: not loaded, so nobody else reaches it.
            unsafe { (*PLACE.core.get()).write(made) };
            PLACE.loaded.store(true, Ordering::Release);
            0
        }
        Err(error) => Errno::from(error) as c_int,
    }
}

/// Whether an instance exists, or a process of one that has not been reaped: then code and data of
/// the module are still in use.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_busy() -> c_int {
    let busy = core().is_some_and(|core| {
        core.outstanding() > 0
            || core
                .next_instance(InstanceId::VPS0, InstanceId::VPS0)
                .is_some()
    });
    c_int::from(busy)
}

/// Unmakes the core. Called once, when the kernel can reach the module no more.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_unload() {
    if PLACE.loaded.swap(false, Ordering::AcqRel) {
        // SAFETY: initialised, and nobody else reaches it any more (invariant).
        unsafe { (*PLACE.core.get()).assume_init_drop() };
    }
}
