// SPDX-License-Identifier: BSD-2-Clause
//! Resource usage of instances, and the limits on it.
//!
//! The resources are those of `racct(9)`. What an instance uses counts in every instance above it
//! too, and every limit on the way up is asked before anything is charged; the original charged the
//! one instance only, gave charges back on no failure path and subtracted without looking.
//!
//! An [`Account`] sits in each node of the tree. The functions of this module work on a whole
//! [`crate::instance::Tree`], since a charge is a walk to the root, at most
//! [`crate::limits::DEPTH_MAX`] + 1 nodes long. They allocate nothing and need no `Kpi`.
//!
//! # Invariants
//! * I1: usage of a node = its own usage + the usage of its children.
//! * I2: no counter is ever negative or wraps: a release of more than is there is our bug, changes
//!   nothing, is reported ([`Error::Underflow`]) and fences the instance.
//! * I3: a refused charge changes nothing but the count of hits at the instance that refused.
//! * I4: a limit set on an instance is at most what holds in its parent at that moment; and as a
//!   charge asks every limit up to the root, what holds below shrinks as soon as it shrinks above.
//! * I5: an instance is freed only when its account is zero.
//!
//! # Enforcement
//! [`Resource::deniable`] says whose charges a hard limit refuses, as `RACCT_IS_DENIABLE` does; the
//! others (CPU time, resident memory, I/O rates) are charged whatever the limit is, and a hit is
//! counted for whoever throttles. `docs/privileges.md` says what each kernel enforces.

mod account;
mod charge;
mod resource;
#[cfg(test)]
mod tests;

pub use account::{Account, Limit, UNLIMITED, Usage};
pub use charge::{
    Error, LimitError, charge, charge_all, charge_forced, effective_limit, release, release_all,
    set_limit, transfer_all,
};
pub use resource::{COUNT, Resource};
