// SPDX-License-Identifier: BSD-2-Clause
//! Joins `vpscore` to the real FreeBSD kernel, as a loadable module.
//!
//! The C files in `c/` hold what needs the kernel's headers; this crate holds what joins their
//! functions to the core. With feature `kernel` it is the module's static library; without, it
//! builds for user space, where tests run it.
#![no_std]

extern crate alloc;
#[cfg(not(feature = "kernel"))]
extern crate std;

#[cfg(feature = "kernel")]
mod ffi;
#[cfg(feature = "kernel")]
mod lock;
#[cfg(feature = "kernel")]
mod malloc;
#[cfg(feature = "kernel")]
mod module;
#[cfg(feature = "kernel")]
mod panic;
