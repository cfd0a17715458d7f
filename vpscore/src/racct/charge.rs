// SPDX-License-Identifier: BSD-2-Clause
//! Charging, releasing and moving usage along the path from an instance to the root.

use super::{Limit, Resource, UNLIMITED};
use crate::errno::Errno;
use crate::instance::Tree;
use crate::types::InstanceId;

/// Why usage was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The caller named an instance that is not there.
    NoInstance {
        /// As named.
        id: InstanceId,
    },
    /// A limit refused; counted as a hit there, nothing else changed.
    Refused {
        /// Whose limit it was: the instance itself or one above it.
        at: InstanceId,
        /// Of what there was not enough.
        resource: Resource,
        /// What it has in use.
        usage: u64,
        /// Its hard limit.
        limit: u64,
        /// What was asked for.
        amount: u64,
    },
    /// Our bug: more given back than was charged. Nothing changed; `at` is fenced.
    Underflow {
        /// Whose account it was.
        at: InstanceId,
        /// Of what.
        resource: Resource,
    },
}

impl Error {
    /// What the system call that needed the resource returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::Refused { resource, .. } => resource.errno(),
            Self::Underflow { .. } => Errno::ENOTRECOVERABLE,
        }
    }
}

/// Charges `amount` of one resource to `id` and all above it, or nothing.
///
/// # Errors
/// [`Error::NoInstance`], [`Error::Refused`].
pub fn charge<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    resource: Resource,
    amount: u64,
) -> Result<(), Error> {
    charge_all(tree, id, &[(resource, amount)])
}

/// Charges several resources at once, all or nothing, as a fork does (one process, one thread).
///
/// # Errors
/// [`Error::NoInstance`], [`Error::Refused`] for the first that is refused.
pub fn charge_all<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    amounts: &[(Resource, u64)],
) -> Result<(), Error> {
    known(tree, id)?;
    admit(tree, id, None, amounts, true)?;
    apply_charge(tree, id, None, amounts);
    tree.check_invariants();
    Ok(())
}

/// Charges whatever the limits say (`racct_add_force`): for usage that exists already.
///
/// # Errors
/// [`Error::NoInstance`]; [`Error::Refused`] with a limit of [`UNLIMITED`] where a counter would
/// wrap.
pub fn charge_forced<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    resource: Resource,
    amount: u64,
) -> Result<(), Error> {
    known(tree, id)?;
    admit(tree, id, None, &[(resource, amount)], false)?;
    apply_charge(tree, id, None, &[(resource, amount)]);
    tree.check_invariants();
    Ok(())
}

/// Gives back what [`charge`] took.
///
/// # Errors
/// [`Error::NoInstance`], [`Error::Underflow`].
pub fn release<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    resource: Resource,
    amount: u64,
) -> Result<(), Error> {
    release_all(tree, id, &[(resource, amount)])
}

/// Gives back several resources at once, all or nothing.
///
/// # Errors
/// [`Error::NoInstance`], [`Error::Underflow`].
pub fn release_all<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    amounts: &[(Resource, u64)],
) -> Result<(), Error> {
    known(tree, id)?;
    covered(tree, id, amounts)?;
    apply_release(tree, id, None, amounts);
    tree.check_invariants();
    Ok(())
}

/// Moves usage from one instance to another, all or nothing, as a process that enters an instance
/// takes its usage along. Instances above both keep theirs, and their limits are not asked.
///
/// # Errors
/// [`Error::NoInstance`], [`Error::Refused`] by an instance that has `to` in it and not `from`,
/// [`Error::Underflow`] where `from` has less.
pub fn transfer_all<S>(
    tree: &mut Tree<S>,
    from: InstanceId,
    to: InstanceId,
    amounts: &[(Resource, u64)],
) -> Result<(), Error> {
    known(tree, from)?;
    known(tree, to)?;
    let shared = tree.common_ancestor(from, to);
    covered(tree, from, amounts)?;
    admit(tree, to, shared, amounts, true)?;
    apply_release(tree, from, shared, amounts);
    apply_charge(tree, to, shared, amounts);
    tree.check_invariants();
    Ok(())
}

fn known<S>(tree: &Tree<S>, id: InstanceId) -> Result<(), Error> {
    tree.node(id).map(|_| ()).ok_or(Error::NoInstance { id })
}

/// What `amounts` asks of the resource of entry `index` up to and with that entry; `None` where the
/// sum wraps. Lists are as long as there are resources, so the square is small.
fn asked(amounts: &[(Resource, u64)], index: usize) -> Option<u64> {
    let (resource, _) = amounts.get(index)?;
    amounts
        .iter()
        .take(index.saturating_add(1))
        .filter(|(other, _)| other == resource)
        .try_fold(0_u64, |sum, (_, amount)| sum.checked_add(*amount))
}

/// Asks every limit from `id` up to, and without, `stop`.
fn admit<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    stop: Option<InstanceId>,
    amounts: &[(Resource, u64)],
    limited: bool,
) -> Result<(), Error> {
    for (index, (resource, _)) in amounts.iter().enumerate() {
        let amount = asked(amounts, index);
        let mut here = Some(id);
        while let Some(at) = here.filter(|at| Some(*at) != stop) {
            let Some(node) = tree.node_mut(at) else { break };
            here = node.parent();
            let Some(usage) = node.account_mut().usage_mut(*resource) else {
                continue;
            };
            let limit = if limited && resource.deniable() {
                usage.limit.hard
            } else {
                UNLIMITED
            };
            let fits = amount == Some(0)
                || amount
                    .and_then(|amount| usage.total.checked_add(amount))
                    .is_some_and(|sum| sum <= limit);
            if !fits {
                usage.hard_hits = usage.hard_hits.saturating_add(1);
                return Err(Error::Refused {
                    at,
                    resource: *resource,
                    usage: usage.total,
                    limit,
                    amount: amount.unwrap_or(u64::MAX),
                });
            }
        }
    }
    Ok(())
}

/// Whether `id` itself has in use what is to be given back. What it has, every ancestor has (I1).
fn covered<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    amounts: &[(Resource, u64)],
) -> Result<(), Error> {
    for (index, (resource, _)) in amounts.iter().enumerate() {
        let amount = asked(amounts, index).unwrap_or(u64::MAX);
        let mut here = Some(id);
        while let Some(at) = here {
            let Some(node) = tree.node(at) else { break };
            let usage = node.account().usage(*resource);
            let enough = usage.total >= amount && (at != id || usage.own >= amount);
            if !enough {
                tree.fence(id);
                return Err(Error::Underflow {
                    at,
                    resource: *resource,
                });
            }
            here = node.parent();
        }
    }
    Ok(())
}

fn apply_charge<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    stop: Option<InstanceId>,
    amounts: &[(Resource, u64)],
) {
    for (resource, amount) in amounts {
        let mut here = Some(id);
        while let Some(at) = here {
            let Some(node) = tree.node_mut(at) else { break };
            here = node.parent();
            let Some(usage) = node.account_mut().usage_mut(*resource) else {
                continue;
            };
            if at == id {
                usage.own = usage.own.saturating_add(*amount);
            }
            if Some(at) == stop {
                break;
            }
            usage.total = usage.total.saturating_add(*amount);
            if *amount == 0 {
                continue;
            }
            if usage.total > usage.limit.hard {
                usage.hard_hits = usage.hard_hits.saturating_add(1);
            } else if usage.total > usage.limit.soft {
                usage.soft_hits = usage.soft_hits.saturating_add(1);
            }
        }
    }
}

fn apply_release<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    stop: Option<InstanceId>,
    amounts: &[(Resource, u64)],
) {
    for (resource, amount) in amounts {
        let mut here = Some(id);
        while let Some(at) = here {
            let Some(node) = tree.node_mut(at) else { break };
            here = node.parent();
            let Some(usage) = node.account_mut().usage_mut(*resource) else {
                continue;
            };
            if at == id {
                usage.own = usage.own.saturating_sub(*amount);
            }
            if Some(at) == stop {
                break;
            }
            usage.total = usage.total.saturating_sub(*amount);
        }
    }
}

/// Why a limit was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// The caller named an instance that is not there.
    NoInstance {
        /// As named.
        id: InstanceId,
    },
    /// The soft limit is above the hard one.
    SoftAboveHard {
        /// As given.
        limit: Limit,
    },
    /// vps0 is the host, which no instance limits.
    Host,
    /// More than what holds in the instance's parent.
    AboveParent {
        /// Whose limit stands in the way: the parent or one above it.
        at: InstanceId,
        /// That limit.
        limit: u64,
    },
}

impl LimitError {
    /// What the ioctl returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoInstance { .. } => Errno::ESRCH,
            Self::SoftAboveHard { .. } => Errno::EINVAL,
            Self::Host | Self::AboveParent { .. } => Errno::EPERM,
        }
    }
}

/// Sets the limits of one resource. Usage already above the new limit stays, and nothing more is
/// granted. [`UNLIMITED`] asks for as much as the parent has.
///
/// # Errors
/// [`LimitError`]; nothing has changed.
pub fn set_limit<S>(
    tree: &mut Tree<S>,
    id: InstanceId,
    resource: Resource,
    limit: Limit,
) -> Result<(), LimitError> {
    let node = tree.node(id).ok_or(LimitError::NoInstance { id })?;
    let parent = node.parent().ok_or(LimitError::Host)?;
    if limit.soft > limit.hard {
        return Err(LimitError::SoftAboveHard { limit });
    }
    if limit.hard != UNLIMITED {
        let (at, held) = effective_limit(tree, parent, resource);
        if limit.hard > held {
            return Err(LimitError::AboveParent { at, limit: held });
        }
    }
    if let Some(usage) = tree
        .node_mut(id)
        .and_then(|node| node.account_mut().usage_mut(resource))
    {
        usage.limit = limit;
    }
    tree.check_invariants();
    Ok(())
}

/// The hard limit that holds for `id`: the least on the way to the root, and whose it is; of equal
/// ones that of the nearest.
pub fn effective_limit<S>(tree: &Tree<S>, id: InstanceId, resource: Resource) -> (InstanceId, u64) {
    let mut least = (id, UNLIMITED);
    let mut here = Some(id);
    while let Some(at) = here {
        let Some(node) = tree.node(at) else { break };
        let hard = node.account().usage(resource).limit.hard;
        if hard < least.1 {
            least = (at, hard);
        }
        here = node.parent();
    }
    least
}
