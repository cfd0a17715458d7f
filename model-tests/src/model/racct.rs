// SPDX-License-Identifier: BSD-2-Clause
//! Accounts as the rules have them: what an instance uses is its own plus its children's, and a
//! charge fits if it fits everywhere on the way up. Nothing is kept that can be added up.

use std::collections::BTreeMap;

use vpscore::racct::Resource;

use super::instance::{Key, Model};

/// What one instance uses itself, and its limits.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Used by the instance itself.
    pub own: BTreeMap<Resource, u64>,
    /// Hard limits set on it.
    pub hard: BTreeMap<Resource, u64>,
    /// Charges its hard limits refused.
    pub refused: BTreeMap<Resource, u32>,
}

impl Model {
    /// The instance's own plus its children's.
    pub fn total(&self, key: Key, resource: Resource) -> u64 {
        let own = self.instances[&key]
            .account
            .own
            .get(&resource)
            .copied()
            .unwrap_or(0);
        let children: Vec<Key> = self.children(key);
        own + children
            .iter()
            .map(|child| self.total(*child, resource))
            .sum::<u64>()
    }

    /// Who refuses `amount` more on the way from `key` up to, and without, `stop`.
    fn refuser(&self, key: Key, stop: Option<Key>, resource: Resource, amount: u64) -> Option<Key> {
        let path = self.up(key);
        let asked = path.into_iter().take_while(|at| Some(*at) != stop);
        asked.into_iter().find(|at| {
            let hard = self.instances[at].account.hard.get(&resource);
            amount > 0 && hard.is_some_and(|hard| self.total(*at, resource) + amount > *hard)
        })
    }

    /// Charges, or names who refuses.
    pub fn charge(&mut self, key: Key, resource: Resource, amount: u64) -> Result<(), Key> {
        if let Some(at) = self.refuser(key, None, resource, amount) {
            self.refused(at, resource);
            return Err(at);
        }
        *self.own(key, resource) += amount;
        Ok(())
    }

    /// Gives back, if there is as much.
    pub fn release(&mut self, key: Key, resource: Resource, amount: u64) -> bool {
        let own = self.own(key, resource);
        let enough = *own >= amount;
        if enough {
            *own -= amount;
        }
        enough
    }

    /// Moves usage; `Err(None)` where there is not as much.
    pub fn transfer(
        &mut self,
        from: Key,
        to: Key,
        resource: Resource,
        amount: u64,
    ) -> Result<(), Option<Key>> {
        if *self.own(from, resource) < amount {
            return Err(None);
        }
        let above = self.up(from);
        let shared = self.up(to).into_iter().find(|at| above.contains(at));
        if let Some(at) = self.refuser(to, shared, resource, amount) {
            self.refused(at, resource);
            return Err(Some(at));
        }
        *self.own(from, resource) -= amount;
        *self.own(to, resource) += amount;
        Ok(())
    }

    /// Sets a hard limit, unless an instance above has a lower one, or it is the host's.
    pub fn limit(&mut self, key: Key, resource: Resource, hard: u64) -> bool {
        let above: Vec<Key> = self.up(key).into_iter().skip(1).collect();
        let least = above
            .iter()
            .filter_map(|at| self.instances[at].account.hard.get(&resource))
            .min();
        if above.is_empty() || least.is_some_and(|least| hard > *least) {
            return false;
        }
        self.account(key).hard.insert(resource, hard);
        true
    }

    fn refused(&mut self, key: Key, resource: Resource) {
        *self.account(key).refused.entry(resource).or_default() += 1;
    }

    fn own(&mut self, key: Key, resource: Resource) -> &mut u64 {
        self.account(key).own.entry(resource).or_default()
    }

    fn account(&mut self, key: Key) -> &mut Account {
        &mut self.instances.get_mut(&key).expect("in the model").account
    }
}
