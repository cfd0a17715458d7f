// SPDX-License-Identifier: BSD-2-Clause
//! The panic handler that must not exist in the module.
//!
//! `core` demands a handler, but nothing in the module may reach it: a panic in a kernel is the end of the
//! machine, decided by code that never asked. The handler calls a symbol that no kernel has. Where
//! every panic path is gone the handler is dropped as dead and the symbol with it; where one is
//! left, the symbol stays undefined, `cargo xtask proof` names who reaches it, and the kernel's
//! linker would refuse the module as well.

unsafe extern "C" {
    fn vps_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never executed: a module in which this call is linked does not load.
    unsafe { vps_panic_is_reachable() }
}
