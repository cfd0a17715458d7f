// SPDX-License-Identifier: BSD-2-Clause
//! The tree of instances as a map from a number to its record, and the privileges in it.

use std::collections::BTreeMap;

use vpscore::instance::{Event, State};
use vpscore::limits::DEPTH_MAX;
use vpscore::privilege::{DEFAULT_ALLOW, DEFAULT_NOSYS, Priv, Verdict};

use super::racct::Account;

/// How the model names an instance: the how-manieth ever created; 0 is vps0.
pub type Key = usize;

/// What the model knows of an instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `None` for vps0.
    pub parent: Option<Key>,
    /// Its name.
    pub name: String,
    /// Its own state.
    pub state: State,
    /// Wishes that differ from the defaults.
    pub wishes: BTreeMap<Priv, Verdict>,
    /// Usage and limits.
    pub account: Account,
}

/// All instances that are not reaped.
#[derive(Clone, Debug)]
pub struct Model {
    /// By key.
    pub instances: BTreeMap<Key, Instance>,
    next: Key,
}

impl Default for Model {
    fn default() -> Self {
        let mut model = Self {
            instances: BTreeMap::new(),
            next: 0,
        };
        model.insert(None, "", State::Running);
        model
    }
}

fn at_rest(state: State) -> bool {
    matches!(
        state,
        State::Created | State::Running | State::Suspended { .. }
    )
}

impl Model {
    fn insert(&mut self, parent: Option<Key>, name: &str, state: State) -> Key {
        let key = self.next;
        self.next += 1;
        self.instances.insert(
            key,
            Instance {
                parent,
                name: name.to_owned(),
                state,
                wishes: BTreeMap::new(),
                account: Account::default(),
            },
        );
        key
    }

    /// The instance, its parent, and so on.
    pub fn up(&self, key: Key) -> Vec<Key> {
        let mut path = vec![key];
        while let Some(parent) = self.instances[path.last().expect("not empty")].parent {
            path.push(parent);
        }
        path
    }

    /// The direct children.
    pub fn children(&self, key: Key) -> Vec<Key> {
        let child = |entry: (&Key, &Instance)| (entry.1.parent == Some(key)).then_some(*entry.0);
        self.instances.iter().filter_map(child).collect()
    }

    /// All below.
    pub fn below(&self, key: Key) -> Vec<Key> {
        let inside = |other: &Key| *other != key && self.up(*other).contains(&key);
        self.instances.keys().copied().filter(inside).collect()
    }

    /// Creates an instance, if its parent and all above it run or wait for a first process, the
    /// name is free and it is not too deep.
    pub fn create(&mut self, parent: Key, name: &str) -> Option<Key> {
        let open = self
            .up(parent)
            .iter()
            .all(|at| matches!(self.instances[at].state, State::Created | State::Running));
        let taken = self.children(parent).iter().any(|child| {
            let child = &self.instances[child];
            child.name == name && child.state != State::Dead
        });
        if !open || taken || self.up(parent).len() > DEPTH_MAX {
            return None;
        }
        Some(self.insert(Some(parent), name, State::Created))
    }

    /// Applies an event, if the table and the instances above and below let it.
    pub fn transition(&mut self, key: Key, event: Event) -> Option<State> {
        if key == 0 {
            return None;
        }
        let next = self.instances[&key].state.next(event).ok()?;
        let states_below: Vec<State> = self
            .below(key)
            .iter()
            .map(|k| self.instances[k].state)
            .collect();
        let mut above = self
            .up(key)
            .into_iter()
            .skip(1)
            .map(|k| self.instances[&k].state);
        let fits = match event {
            Event::Drained => states_below.is_empty(),
            Event::Halted => true,
            Event::Suspend | Event::Snapshot | Event::Migrate => {
                above.all(at_rest) && states_below.into_iter().all(at_rest)
            }
            Event::Destroy => {
                let gone = |state| matches!(state, State::Dying | State::Dead);
                above.all(at_rest) && states_below.into_iter().all(|s| at_rest(s) || gone(s))
            }
            _ => above.all(at_rest),
        };
        if !fits {
            return None;
        }
        self.instances.get_mut(&key)?.state = next;
        if next == State::Dying {
            for k in self.below(key) {
                let instance = self.instances.get_mut(&k)?;
                if instance.state != State::Dead {
                    instance.state = State::Dying;
                }
            }
        }
        Some(next)
    }

    /// Takes out a dead instance that uses nothing.
    pub fn reap(&mut self, key: Key) -> bool {
        let instance = &self.instances[&key];
        let idle = instance.account.own.values().all(|own| *own == 0);
        let gone = instance.state == State::Dead && idle;
        if gone {
            self.instances.remove(&key);
        }
        gone
    }

    /// What an instance says of a privilege, whatever is above it.
    fn wish(&self, key: Key, privilege: Priv) -> Verdict {
        if key == 0 {
            Verdict::Allow
        } else if let Some(wish) = self.instances[&key].wishes.get(&privilege) {
            *wish
        } else if DEFAULT_ALLOW.contains(&privilege) {
            Verdict::Allow
        } else if DEFAULT_NOSYS.contains(&privilege) {
            Verdict::Nosys
        } else {
            Verdict::Deny
        }
    }

    /// The first on the way up that does not allow it decides.
    pub fn verdict(&self, key: Key, privilege: Priv) -> Verdict {
        let path = self.up(key);
        let wishes = path.iter().map(|at| self.wish(*at, privilege));
        wishes
            .into_iter()
            .find(|wish| *wish != Verdict::Allow)
            .unwrap_or(Verdict::Allow)
    }

    /// Changes a wish, asked for by somebody above, who has what they give.
    pub fn set_privilege(&mut self, asker: Key, key: Key, privilege: Priv, wish: Verdict) -> bool {
        let has = self.verdict(asker, privilege) == Verdict::Allow;
        if asker == key || !self.up(key).contains(&asker) || (wish == Verdict::Allow && !has) {
            return false;
        }
        let instance = self.instances.get_mut(&key).expect("in the model");
        instance.wishes.insert(privilege, wish);
        true
    }
}
