// SPDX-License-Identifier: BSD-2-Clause
//! PID and TID spaces: one number per level for every process and thread.
//!
//! A process in an instance at depth *d* has the kernel's own number and *d* others, one in each
//! instance from the outermost down to its own, so that every instance on the way can name it, and
//! none beside them. The host's own space is the kernel's; the core allocates below.
//!
//! ```text
//!  kernel p_pid 4711 ──┐
//!  handle 0xfff..80 ───┤        ┌─ space of a    : 17
//!                      ├─ Entry ┼─ space of a.b  : 5
//!                      │        └─ space of a.b.c: 1     (init of a.b.c)
//! ```
//!
//! [`Space`] is the part that an instance holds: which number stands for which entry. [`Table`]
//! holds the entries of all instances, for processes and (a second one) for threads.
//!
//! # Invariants
//! * I1: a number of a space stands for one entry, and an entry has one number in each space on the
//!   way from the outermost instance to its own, and in no other.
//! * I2: the first process of an instance has the number 1 there.
//! * I3: a number is not handed out again while the kernel names it as a process, zombie, group,
//!   session or reaper subtree: it *lingers* after the process is reaped until the kernel says that
//!   nothing carries it, or hands the same id of its own to a new process.
//! * I4: nothing is keyed by the kernel's number alone, since the kernel may hand it out again
//!   before our record of the old process is gone. The newest process with it wins.
//!
//! # Failure and memory
//! An allocation is worked out first ([`Table::plan`], changes nothing), says what memory it lacks,
//! and is then applied ([`Table::apply`]) with memory that the caller allocated outside the lock
//! ([`Spares`]). Nothing here allocates or frees in between.

mod chains;
mod entry;
#[cfg(any(test, feature = "invariants"))]
mod invariants;
mod numbers;
mod plan;
mod space;
mod table;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Stage};
pub use numbers::{Leaf, NumberError, Numbers, Range, Slot};
pub use plan::{Plan, PlanError, Spares};
pub use space::Space;
pub use table::{Kind, Spaces, Table};
