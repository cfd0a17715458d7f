// SPDX-License-Identifier: BSD-2-Clause
//! A deterministic emulated FreeBSD kernel, and worlds made of several of them.
//!
//! One seed and one scenario give one trace, on every machine. The subsystems (`kern`, `vm`, `net`)
//! are a kernel: they raise hooks where FreeBSD has them and do not know what is behind; `join`
//! puts the VPS core there.
#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod errno;
pub mod guest;
pub mod join;
pub mod kern;
pub mod net;
pub mod packetdrill;
mod progress;
pub mod rng;
pub mod time;
pub mod vm;
pub mod world;
