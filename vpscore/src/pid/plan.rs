// SPDX-License-Identifier: BSD-2-Clause
//! What an allocation will do, worked out before anything is changed, and the memory it needs.

use super::entry::Entry;
use super::numbers::{Leaf, NumberError};
use super::table::Kind;
use crate::collections::{Chunk, List, NoMemory};
use crate::errno::Errno;
use crate::limits::DEPTH_MAX;
use crate::types::InstanceId;

/// Why numbers cannot be had. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The instance, or one above it, has no space: it is not there, or is the host.
    NoInstance {
        /// Which.
        instance: InstanceId,
    },
    /// Every number of a space is in use.
    Exhausted {
        /// Whose space.
        instance: InstanceId,
    },
    /// A number asked for is in use.
    InUse {
        /// In whose space.
        instance: InstanceId,
        /// The number.
        number: i32,
    },
    /// A number asked for does not lie in the range of the space.
    OutOfRange {
        /// Whose space.
        instance: InstanceId,
        /// The number.
        number: i32,
    },
    /// More numbers were given than there are levels to put them.
    TooDeep {
        /// How many were given.
        given: usize,
    },
    /// The table holds all the entries it may.
    TableFull {
        /// How many.
        entries: usize,
    },
    /// Our bug: a plan was applied without the memory that it asked for, or is stale.
    SparesShort,
}

impl PlanError {
    pub(super) const fn at(instance: InstanceId, error: NumberError) -> Self {
        match error {
            NumberError::OutOfRange { number } => Self::OutOfRange { instance, number },
            NumberError::InUse { number } => Self::InUse { instance, number },
            NumberError::NeedsLeaf => Self::SparesShort,
            NumberError::Exhausted => Self::Exhausted { instance },
        }
    }

    /// What the system call returns; running out of ids is `EAGAIN` as for `fork(2)`.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::Exhausted { .. } | Self::TableFull { .. } => Errno::EAGAIN,
            Self::InUse { .. } => Errno::EEXIST,
            Self::OutOfRange { .. } | Self::TooDeep { .. } => Errno::EINVAL,
            Self::SparesShort => Errno::ENOTRECOVERABLE,
        }
    }
}

/// A level that a plan has still to settle.
pub(super) struct Level {
    /// The number it is to have; `None` for the next free one.
    pub(super) given: Option<i32>,
}

/// The numbers of an entry to be, from the outermost instance to its own.
#[derive(Debug)]
pub struct Plan {
    instance: InstanceId,
    depth: usize,
    numbers: [i32; DEPTH_MAX],
    /// Levels (from the outermost) whose numbers an older entry of the same process has.
    kept: usize,
    /// Levels (from the innermost) whose numbers were given.
    given: usize,
    /// Levels (from the innermost) that are settled.
    settled: usize,
    pub(super) needs_leaves: usize,
    pub(super) needs_chunk: bool,
}

impl Plan {
    pub(super) fn new(
        instance: InstanceId,
        depth: usize,
        given: &[i32],
        kept: &[i32],
    ) -> Result<Self, PlanError> {
        if depth == 0 || depth > DEPTH_MAX {
            return Err(PlanError::NoInstance { instance });
        }
        let open = depth
            .checked_sub(kept.len())
            .and_then(|open| open.checked_sub(given.len()))
            .ok_or(PlanError::TooDeep { given: given.len() })?;
        let mut numbers = [0; DEPTH_MAX];
        let fill = kept
            .iter()
            .copied()
            .chain(core::iter::repeat_n(0, open))
            .chain(given.iter().copied());
        for (to, from) in numbers.iter_mut().zip(fill) {
            *to = from;
        }
        Ok(Self {
            instance,
            depth,
            numbers,
            kept: kept.len(),
            given: given.len(),
            settled: 0,
            needs_leaves: 0,
            needs_chunk: false,
        })
    }

    /// The next level to settle, from the innermost outwards; `None` when all are.
    pub(super) fn next_level(&self) -> Option<Level> {
        let left = self.depth.checked_sub(self.settled)?;
        if left <= self.kept {
            return None;
        }
        let given = (self.settled < self.given)
            .then(|| self.numbers.get(left.checked_sub(1)?).copied())
            .flatten();
        Some(Level { given })
    }

    pub(super) fn settle(&mut self, number: i32, needs_leaf: bool) {
        let left = self.depth.saturating_sub(self.settled);
        if let Some(to) = left.checked_sub(1).and_then(|i| self.numbers.get_mut(i)) {
            *to = number;
        }
        self.settled = self.settled.saturating_add(1);
        self.needs_leaves = self.needs_leaves.saturating_add(usize::from(needs_leaf));
    }

    /// The levels whose numbers have to be taken, from the innermost outwards: the number, and
    /// whether it was given.
    pub(super) fn levels(&self) -> impl Iterator<Item = (i32, bool)> + '_ {
        let count = self.depth.saturating_sub(self.kept);
        let own = self.numbers().iter().rev().copied().take(count);
        own.enumerate()
            .map(|(index, number)| (number, index < self.given))
    }

    /// The instance of the entry to be.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The numbers, outermost instance first.
    pub fn numbers(&self) -> &[i32] {
        self.numbers.get(..self.depth).unwrap_or(&[])
    }
}

/// Memory brought along to an allocation under the lock; what is left is freed after it.
#[derive(Debug, Default)]
pub struct Spares {
    pub(super) leaves: List<Leaf>,
    procs: Option<Chunk<Entry>>,
    threads: Option<Chunk<Entry>>,
}

impl Spares {
    /// Nothing at hand.
    pub const fn none() -> Self {
        Self {
            leaves: List::new(),
            procs: None,
            threads: None,
        }
    }

    /// All that a process with its first thread can need at `depth`: a leaf per level for each of
    /// the two, since every level is a space of its own and takes one number of each kind, and a
    /// chunk for each table, since each takes one entry.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn for_depth(depth: usize) -> Result<Self, NoMemory> {
        let count = depth.min(DEPTH_MAX).saturating_mul(2);
        let mut leaves = List::with_capacity(count)?;
        for _ in 0..count {
            leaves
                .push_reserved(Leaf::create()?)
                .map_err(|_| NoMemory)?;
        }
        Ok(Self {
            leaves,
            procs: Some(Chunk::create()?),
            threads: Some(Chunk::create()?),
        })
    }

    /// Whether these are enough for all the plans together.
    pub fn cover(&self, pid: Option<&Plan>, tid: Option<&Plan>) -> bool {
        let leaves = |plan: Option<&Plan>| plan.map_or(0, |plan| plan.needs_leaves);
        let chunk = |plan: Option<&Plan>| plan.is_some_and(|plan| plan.needs_chunk);
        self.leaves.len() >= leaves(pid).saturating_add(leaves(tid))
            && (self.procs.is_some() || !chunk(pid))
            && (self.threads.is_some() || !chunk(tid))
    }

    pub(super) fn chunk(&mut self, kind: Kind) -> Option<Chunk<Entry>> {
        match kind {
            Kind::Pid => self.procs.take(),
            Kind::Tid => self.threads.take(),
        }
    }
}
