// SPDX-License-Identifier: BSD-2-Clause
//! Reference models, operations and fuzz bodies, shared by the tests and the fuzz targets.
#![forbid(unsafe_code)]

pub mod cbor_tree;
pub mod cubic;
pub mod fake_kernel;
pub mod format;
pub mod fuzz;
pub mod host_kernel;
pub mod host_lock;
pub mod image;
pub mod migrate;
pub mod net;
// The models ask the core for its invariants.
#[cfg(feature = "checks")]
pub mod model;
pub mod two_stacks;
