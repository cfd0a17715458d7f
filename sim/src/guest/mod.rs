// SPDX-License-Identifier: BSD-2-Clause
//! What runs inside a process: a small register machine, and the text form of its programs.
//!
//! A process that is to be stopped anywhere and continued on another host must keep all that it
//! is in two places the kernel can read: registers and memory. So a guest is not Rust code but a
//! program for a machine whose text, data and stack lie in guest memory. The kernel sees one
//! function, [`run`]: it executes until something needs the kernel ([`Stop`]) or the budget is
//! spent.
//!
//! * [`isa`]: sixteen 64-bit registers, a pc, a carry flag; instructions of eight bytes.
//! * [`asm`]: programs as people write them; the symbolic system calls make the same text
//!   executable by an interpreter on a real FreeBSD.
//! * [`abi`]: where the fields of the structures lie that cross between program and kernel.
//!
//! # Invariants
//! * I1: no bytes, as text or as an image, make the machine panic; what is no instruction traps.
//! * I2: [`run`] executes at most as many instructions as its budget says.
//! * I3: a trap leaves the pc at the instruction that caused it, save for a system call, which
//!   leaves it behind the instruction, as the hardware does.

pub mod abi;
pub mod asm;
pub mod consts;
pub mod isa;
mod machine;

pub use asm::{AsmError, Program, assemble};
pub use machine::{Ran, Regs, Stop, run};
