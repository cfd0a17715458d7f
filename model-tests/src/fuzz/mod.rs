// SPDX-License-Identifier: BSD-2-Clause
//! Bodies of the fuzz targets: each takes bytes, and panics where a promise is broken.

pub mod ctl;
pub mod forge;
pub mod frames;
pub mod guest;
pub mod image;
pub mod migrate;
pub mod packetdrill;
pub mod sock_restore;
