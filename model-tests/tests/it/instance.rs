// SPDX-License-Identifier: BSD-2-Clause
//! The tree of instances, accounts and privileges beside their reference models, step by step.

use std::collections::BTreeMap;

use model_tests::model::instance::{Key, Model};
use proptest::prelude::*;
use vpscore::instance::{Birth, Event, Name, Seed, Tree};
use vpscore::privilege::{Priv, Verdict};
use vpscore::racct::{self, Limit, Resource};
use vpscore::types::InstanceId;

#[derive(Clone, Debug)]
enum Op {
    Create(usize, u8),
    Transition(usize, usize),
    Reap(usize),
    Charge(usize, usize, u64),
    Release(usize, usize, u64),
    Transfer(usize, usize, usize, u64),
    Limit(usize, usize, u64),
    Privilege(usize, usize, usize, Verdict),
}

const RESOURCES: [Resource; 3] = [Resource::Nproc, Resource::Vmem, Resource::Nofile];
const PRIVILEGES: [Priv; 3] = [Priv::NET_RAW, Priv::KLD_LOAD, Priv::AUDIT_SUBMIT];
const NAMES: [&str; 3] = ["a", "b", "c"];
const EVENTS: [Event; 9] = [
    Event::Start,
    Event::Suspend,
    Event::Stopped,
    Event::Resume,
    Event::Migrate,
    Event::MigrateAborted,
    Event::Halted,
    Event::Destroy,
    Event::Drained,
];

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..24_usize;
    let verdict = prop_oneof![
        Just(Verdict::Allow),
        Just(Verdict::Deny),
        Just(Verdict::Nosys)
    ];
    prop_oneof![
        4 => (who(), 0..3_u8).prop_map(|(p, n)| Op::Create(p, n)),
        4 => (who(), 0..EVENTS.len()).prop_map(|(w, e)| Op::Transition(w, e)),
        2 => who().prop_map(Op::Reap),
        3 => (who(), 0..3_usize, 0..6_u64).prop_map(|(w, r, n)| Op::Charge(w, r, n)),
        2 => (who(), 0..3_usize, 0..6_u64).prop_map(|(w, r, n)| Op::Release(w, r, n)),
        2 => (who(), who(), 0..3_usize, 0..6_u64).prop_map(|(f, t, r, n)| Op::Transfer(f, t, r, n)),
        2 => (who(), 0..3_usize, 0..12_u64).prop_map(|(w, r, n)| Op::Limit(w, r, n)),
        2 => (who(), who(), 0..3_usize, verdict).prop_map(|(a, w, p, v)| Op::Privilege(a, w, p, v)),
    ]
}

struct Pair {
    tree: Tree<()>,
    model: Model,
    ids: BTreeMap<Key, InstanceId>,
}

impl Pair {
    fn new() -> Self {
        Self {
            tree: Tree::new(()).expect("memory"),
            model: Model::default(),
            ids: BTreeMap::from([(0, InstanceId::VPS0)]),
        }
    }

    fn pick(&self, n: usize) -> (Key, InstanceId) {
        let at = n % self.ids.len();
        let (key, id) = self.ids.iter().nth(at).expect("vps0 is there");
        (*key, *id)
    }

    fn name_of(&self, id: InstanceId) -> Option<Key> {
        self.ids
            .iter()
            .find(|(_, other)| **other == id)
            .map(|(key, _)| *key)
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Create(parent, name) => self.create(parent, NAMES[usize::from(name)]),
            Op::Transition(who, event) => {
                let (key, id) = self.pick(who);
                let ours = self.tree.transition(id, EVENTS[event]).ok();
                assert_eq!(ours, self.model.transition(key, EVENTS[event]));
            }
            Op::Reap(who) => {
                let (key, id) = self.pick(who);
                let gone = self.tree.reap(id).is_ok();
                assert_eq!(gone, self.model.reap(key));
                if gone {
                    self.ids.remove(&key);
                }
            }
            Op::Charge(who, resource, amount) => {
                let (key, id) = self.pick(who);
                let resource = RESOURCES[resource];
                let ours = racct::charge(&mut self.tree, id, resource, amount);
                let theirs = self.model.charge(key, resource, amount);
                assert_eq!(ours.map_err(|e| self.refuser(e)), theirs.map_err(Some));
            }
            Op::Release(who, resource, amount) => self.release(who, RESOURCES[resource], amount),
            Op::Transfer(from, to, resource, amount) => {
                self.transfer(from, to, RESOURCES[resource], amount);
            }
            Op::Limit(who, resource, hard) => {
                let (key, id) = self.pick(who);
                let limit = Limit { soft: hard, hard };
                let ours = racct::set_limit(&mut self.tree, id, RESOURCES[resource], limit);
                assert_eq!(
                    ours.is_ok(),
                    self.model.limit(key, RESOURCES[resource], hard)
                );
            }
            Op::Privilege(asker, who, privilege, wish) => {
                let ((a, asker), (k, id)) = (self.pick(asker), self.pick(who));
                let privilege = PRIVILEGES[privilege];
                let raw = i32::from(privilege.raw());
                let ours = self.tree.set_privilege(asker, id, raw, wish).is_ok();
                assert_eq!(ours, self.model.set_privilege(a, k, privilege, wish));
            }
        }
    }

    fn create(&mut self, parent: usize, name: &str) {
        let (key, id) = self.pick(parent);
        let mut seed = Seed::prepare((), self.tree.has_room()).expect("memory");
        let name_parsed = Name::parse(name.as_bytes()).expect("a name");
        let ours = self.tree.create(&mut seed, id, name_parsed, Birth::Empty);
        let theirs = self.model.create(key, name);
        assert_eq!(ours.is_ok(), theirs.is_some(), "{ours:?}");
        if let (Ok(id), Some(key)) = (ours, theirs) {
            self.ids.insert(key, id);
        }
    }

    /// More than is there would fence the instance, which the model does not know; so no more.
    fn release(&mut self, who: usize, resource: Resource, amount: u64) {
        let (key, id) = self.pick(who);
        let own = self
            .tree
            .node(id)
            .expect("there")
            .account()
            .usage(resource)
            .own;
        let amount = amount.min(own);
        assert!(racct::release(&mut self.tree, id, resource, amount).is_ok());
        assert!(self.model.release(key, resource, amount));
    }

    fn transfer(&mut self, from: usize, to: usize, resource: Resource, amount: u64) {
        let ((f, from), (t, to)) = (self.pick(from), self.pick(to));
        let own = self
            .tree
            .node(from)
            .expect("there")
            .account()
            .usage(resource)
            .own;
        let amounts = [(resource, amount.min(own))];
        let ours = racct::transfer_all(&mut self.tree, from, to, &amounts);
        let theirs = self.model.transfer(f, t, resource, amount.min(own));
        assert_eq!(ours.map_err(|e| self.refuser(e)), theirs);
    }

    fn refuser(&self, error: racct::Error) -> Option<Key> {
        match error {
            racct::Error::Refused { at, .. } => self.name_of(at),
            other => panic!("{other:?}"),
        }
    }

    /// Everything that can be read of the one can be read of the other.
    fn compare(&self) {
        assert!(self.tree.invariants());
        assert_eq!(self.tree.len() as usize, self.model.instances.len());
        for (key, id) in &self.ids {
            let node = self.tree.node(*id).expect("the model has it");
            let theirs = &self.model.instances[key];
            assert_eq!(node.state(), theirs.state);
            assert_eq!(node.name().as_str(), theirs.name);
            assert_eq!(node.parent().and_then(|p| self.name_of(p)), theirs.parent);
            assert_eq!(node.below() as usize, self.model.below(*key).len());
            for resource in RESOURCES {
                let usage = node.account().usage(resource);
                assert_eq!(usage.total, self.model.total(*key, resource));
                let refused = theirs.account.refused.get(&resource).copied();
                assert_eq!(usage.hard_hits, refused.unwrap_or(0));
            }
            for privilege in PRIVILEGES {
                let ours = node.privileges().verdict(privilege);
                assert_eq!(ours, self.model.verdict(*key, privilege));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_its_accounts_and_privileges_do_as_the_model(ops in prop::collection::vec(op(), 1..120)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op);
            pair.compare();
        }
    }
}
