// SPDX-License-Identifier: BSD-2-Clause
//! PID and TID spaces: one number per level for every process and thread.

mod numbers;
mod space;

pub use numbers::{Leaf, NumberError, Numbers, Range, Slot};
pub use space::Space;
