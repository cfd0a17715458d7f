// SPDX-License-Identifier: BSD-2-Clause
//! Joins `vpscore` to the real FreeBSD kernel, as a loadable module.
//!
//! The C files in `c/` hold what needs the kernel's headers; this crate holds what joins their
//! functions to the core, and neither holds a rule: if a branch is not about a pointer, a lock, an
//! allocation or an errno, it belongs to the core. With feature `kernel` it is the module's static
//! library; without, it builds for user space, where tests run the same code over an emulated
//! kernel (`host`).
//!
//! `docs/kernel-module.md` tells how the module meets a stock kernel, `docs/unsafe.md` lists each
//! unsafe boundary.
#![no_std]

extern crate alloc;
#[cfg(not(feature = "kernel"))]
extern crate std;

mod check;
mod control;
mod event;
mod ffi;
#[cfg(all(test, not(feature = "kernel")))]
mod host;
mod kernel;
mod lock;
#[cfg(feature = "kernel")]
mod malloc;
mod module;
#[cfg(feature = "kernel")]
mod panic;
mod syscall;
