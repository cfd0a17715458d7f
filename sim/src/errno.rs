// SPDX-License-Identifier: BSD-2-Clause
//! Error numbers as every part of the emulated kernel uses them.
pub use vpscore::errno::Errno;
