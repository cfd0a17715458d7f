// SPDX-License-Identifier: BSD-2-Clause
//! Every decision of Virtual Private Systems, in one core that runs in any kernel.
//!
//! An *instance* behaves like a whole FreeBSD host: its own processes with their own PID 1, its
//! own network stack, its own limits; instances nest, and a running instance moves to another
//! machine with its TCP connections open. The kernel owns mechanism state (processes, sockets,
//! memory); this crate owns instance state, the rules, and the schema of images. A kernel calls
//! it at its joints and serves it through a [kpi::Kpi]; two kernels do so, the
//! simulator's and the module for real FreeBSD.
//!
//! The crate never panics, never allocates infallibly and holds no unsafe code; every image,
//! message and request is taken as hostile. `ARCHITECTURE.md` in the workspace root has the map.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(no_global_oom_handling, feature(vec_push_within_capacity))]
#![deny(
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
#![deny(clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// Whether every change is followed by a check of the invariants (feature `invariants`). A bench
/// refuses to measure that.
pub const CHECKED: bool = cfg!(feature = "invariants");

pub mod cbor;
pub mod collections;
pub mod crc32c;
pub mod ctl;
pub mod errno;
pub mod ids;
pub mod image;
pub mod instance;
pub mod joints;
pub mod kpi;
pub mod limits;
pub mod migrate;
pub mod net;
pub mod pid;
pub mod privilege;
pub mod racct;
pub mod sha256;
pub mod sock;
pub mod state;
pub mod time;
pub mod types;
pub mod view;
