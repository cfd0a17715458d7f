// SPDX-License-Identifier: BSD-2-Clause
//! The network of an instance as records of an image, and back.
//!
//! - [`ip`]: interfaces, routes, neighbours, variables; `transit` what is on its way in them.
//! - [`sockets`]: sockets with their buffers, control blocks, SYN caches and what TCP keeps beside them.
//! - [`stacks`]: all vnets of an image together, in the order of its kinds.
//! - [`moved`]: a stack alone, as an image of its own.
//! - [`error`], `values`, `ticks`: what all of these share; none of them knows those above.

mod cc;
pub mod error;
pub mod ip;
pub mod moved;
mod queues;
mod so;
pub mod sockets;
pub mod stacks;
mod tcp_vnet;
mod tcpcb;
mod ticks;
mod transit;
pub mod values;

#[cfg(test)]
mod carry_tests;
#[cfg(test)]
mod complete_tests;
#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod ip_tests;
#[cfg(test)]
mod remap_tests;
#[cfg(test)]
mod sockets_tests;
