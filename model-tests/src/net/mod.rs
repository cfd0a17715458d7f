// SPDX-License-Identifier: BSD-2-Clause
//! Two network stacks joined by a faulty link, and what must hold whatever the link does.
//!
//! The stacks are the emulated kernel's; everything that judges them is written here anew, from the
//! RFCs and the manual pages: the reader of packets, the observer on the wire, the ledger of a
//! stream. So a mistake in the stack is not repeated by its judge.
//!
//! * [`packet`]: frames as an observer reads them.
//! * [`observer`]: what may be seen on the wire.
//! * [`ledger`]: what the programs at the ends may see.
//! * [`app`]: these programs.
//! * [`world`]: the stacks, the link, the clock, the moves.
//!
//! - I1: a world is a function of its [`world::Plan`]; the same plan gives the same trace.
//! - I2: a broken rule panics where it is seen, and says when and what.

pub mod app;
pub mod ledger;
pub mod observer;
pub mod packet;
pub mod world;
