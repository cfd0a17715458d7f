// SPDX-License-Identifier: BSD-2-Clause
//! The tree of instances under vps0, their names and their life cycle.
//!
//! Owned here: who is whose child, what an instance is called, which state it is in, what it may
//! have below it. Not owned: its processes ([`crate::pid`]), what it uses ([`crate::racct`]) and may
//! do ([`crate::privilege`]), whose data sit in the same [`Node`]; and anything of the kernel's but
//! the handle of its prison.
//!
//! ```text
//!            Start                Suspend             Stopped              Snapshot
//!  Created ---------> Running ------------> Suspending -------> Suspended ---------> Snapshotting
//!     ^  <-----------    |  <---------------    |    <--------------- |  <---------------
//!     |     Halted       |      StopFailed             Resume            SnapshotDone
//!     |                  |
//!     |  Migrate         v          MigrateStopped
//!     +----------> Migrating -------------------------> Migrating (stopped) -- MigrateCommitted --+
//!          <----------------------------------------------------  |                               |
//!                         MigrateAborted                                                          |
//!                                                                                                 v
//!  Restoring -- Restored --> Created, Running or Suspended         any at rest -- Destroy --> Dying
//!      |                                                                                      |
//!      +------------------------------- RestoreFailed --------------------------------------> |
//!                                                                          Dead <-- Drained --+
//! ```
//! [`State::next`] is the table; whatever it does not list is refused. A state is the instance's
//! own: one below a suspended instance keeps its state and is stopped all the same
//! ([`Tree::stopped_by`]), so that resuming the upper one does not wake a lower one which was
//! suspended by itself. (The original forgot children in suspend, snapshot and destroy.)
//!
//! # Invariants
//! * I1: the nodes are a tree under vps0 at most [`crate::limits::DEPTH_MAX`] deep; `below` counts
//!   all descendants of a node.
//! * I2: the names of the children of a node differ, those of dead ones aside.
//! * I3: under a dying instance all are dying or dead; teardown goes leaf by leaf and nothing is
//!   unlinked that has children or a charge on its account.
//! * I4: while an instance is being stopped, snapshot, moved, restored or torn down, nothing is
//!   created below it and nothing below it changes by itself.
//! * I5: [`crate::privilege`] I1, I2 and [`crate::racct`] I1 hold on every edge.
//!
//! # Failure modes
//! Every refusal is typed, says which instance stands in the way, and changes nothing. A broken
//! invariant *fences* an instance: nothing but its destruction is allowed from then on.
//!
//! # Memory and locks
//! The tree lies under the core's lock, so it never allocates or frees: [`Seed`] brings the memory
//! of a new node, made before the lock is taken, and [`Tree::reap`] hands a node's memory out, to be
//! dropped after the lock is given up. `S` is what [`crate::pid`] keeps per instance.

mod error;
mod life;
mod name;
mod node;
mod slab;
mod state;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use error::{CeilingError, CreateError, LookupError, ReapError, TransitionError};
pub use name::{Name, NameError, Path};
pub use node::{Ceilings, Node};
pub use slab::{Chunk, Remains, Seed};
pub use state::{Event, Live, Refusal, State};
pub use tree::{Birth, Tree};
pub use walk::Subtree;
