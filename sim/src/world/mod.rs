// SPDX-License-Identifier: BSD-2-Clause
//! A world: virtual clock, one event queue, hosts, links, fault plan, observers.

pub mod fabric;
pub mod queue;
pub mod scenario;
pub mod trace;
