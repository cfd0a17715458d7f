// SPDX-License-Identifier: BSD-2-Clause
//! The emulated network: one stack per vnet, links, bridge, capture.
pub mod cx;
pub mod packet;
