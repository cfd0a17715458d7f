// SPDX-License-Identifier: BSD-2-Clause
//! Requests of the management plane and their answers: what `vpsctl` says to `/dev/vps`, to the
//! simulator's control socket, and to nothing else.
//!
//! A request is one record of deterministic CBOR, the answer another. Who asks is not in the
//! request: the kernel says from which instance it came, and names lead downward from there only,
//! so that nobody can name what is above or beside them.
//!
//! # Invariants
//! * I1: a request that is refused has changed nothing, but for a destruction that the kernel cut
//!   short: that instance stays dying and the request can be repeated.
//! * I2: the answer's memory is had before anything is done, so that nothing is done unanswered.
//! * I3: whatever the bytes, there is an answer or [`NoMemory`](crate::collections::NoMemory).
//!
//! # Failure modes
//! [`Error`] is typed and maps totally to an errno, which is what the answer carries.

mod execute;
#[cfg(test)]
mod tests;
mod wire;

pub use execute::{Error, execute, serve};
pub use wire::{Answer, Entry, LifeState, Op, Request, VERSION};

/// Instances in one answer of [`Op::List`]; a longer list is asked for in parts.
pub const ENTRIES_MAX: usize = 64;
/// Bytes of one request: a path and a few numbers.
pub const REQUEST_MAX: usize = 1024;
