// SPDX-License-Identifier: BSD-2-Clause
//! The core's locks: small cases in every order in which their threads can take turns.
//!
//! The core is generic over its locks, so it runs on loom's without a special build. A thread may be
//! stopped before each hold of a lock and each call to the kernel, which are the only places where
//! threads of the core can meet; loom goes through all orders that differ (in one case, those with
//! few switches). The watched locks check on the way that ranks rise, and that nothing is allocated,
//! freed or asked of the kernel within `State`.
//!
//! Every case ends with the whole state checked and no reservation outstanding, and says which
//! outcomes it must have met, so that an exploration that met only one of them fails.

mod forks;
mod management;
mod numbers;
mod world;
