// SPDX-License-Identifier: BSD-2-Clause
//! The account of one instance: usage, limits and hits per resource.

use super::{COUNT, Resource};

/// A limit that limits nothing.
pub const UNLIMITED: u64 = u64::MAX;

/// A soft and a hard limit on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Charges beyond it are counted as soft hits and granted. At most `hard`.
    pub soft: u64,
    /// Charges beyond it are refused, for resources that can be denied.
    pub hard: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self {
        soft: UNLIMITED,
        hard: UNLIMITED,
    };
}

/// Usage of one resource by one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Used by the instance itself, its children not counted.
    pub own: u64,
    /// Used by the instance and everything below it.
    pub total: u64,
    /// The limits on `total`, as set here; those of the ancestors hold as well.
    pub limit: Limit,
    /// Charges granted beyond the soft limit of this instance; saturating.
    pub soft_hits: u32,
    /// Charges refused, or granted though over, at the hard limit of this instance; saturating.
    pub hard_hits: u32,
}

impl Usage {
    const ZERO: Self = Self {
        own: 0,
        total: 0,
        limit: Limit::NONE,
        soft_hits: 0,
        hard_hits: 0,
    };
}

/// Usage and limits of one instance. Changed by the functions of [`crate::racct`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account([Usage; COUNT]);

impl Account {
    /// Nothing used, nothing limited.
    pub const NEW: Self = Self([Usage::ZERO; COUNT]);

    /// Usage and limits of one resource.
    pub fn usage(&self, resource: Resource) -> &Usage {
        // The array has a place for every resource, so the default is never read.
        self.0.get(resource as usize).unwrap_or(&Usage::ZERO)
    }

    pub(super) fn usage_mut(&mut self, resource: Resource) -> Option<&mut Usage> {
        self.0.get_mut(resource as usize)
    }

    /// The first resource that is still in use; `None` where the account is zero.
    pub fn first_in_use(&self) -> Option<(Resource, u64)> {
        Resource::ALL
            .iter()
            .map(|resource| (*resource, self.usage(*resource).total))
            .find(|(_, total)| *total != 0)
    }
}
