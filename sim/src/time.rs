// SPDX-License-Identifier: BSD-2-Clause
//! Virtual time as every part of the emulated kernel uses it.
pub use vpscore::time::{Duration, Instant};
