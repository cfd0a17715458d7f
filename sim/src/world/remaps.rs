// SPDX-License-Identifier: BSD-2-Clause
//! Instances that have other addresses than their peers know them by, and the translations on the
//! cables of the hosts where they are.

use super::World;
use super::moves::told;
use super::scenario::Cidr;
use super::translator::Translator;
use crate::join::net::moved::may_be_remapped;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use vpscore::collections::{List, NoMemory};
use vpscore::net::{Mapping, Remap, RemapError, Way};
use vpscore::sock::InAddr;
use vpscore::types::InstanceId;

/// What the world keeps of it, by the index of the instance in the scenario.
#[derive(Debug, Default)]
pub(super) struct Remaps {
    /// Addresses that are not those of the scenario, with their router.
    present: BTreeMap<usize, (Cidr, Option<Ipv4Addr>)>,
    /// On the cable of this host.
    translators: BTreeMap<usize, (usize, Translator)>,
}

impl Remaps {
    /// A frame on the cable of a host passes the translations there: what goes on its way, and
    /// what goes the other way for its sake.
    pub(super) fn pass(
        &mut self,
        host: usize,
        way: Way,
        frame: Vec<u8>,
    ) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut on, mut back) = (vec![frame], Vec::new());
        let here = self.translators.values_mut().filter(|(at, _)| *at == host);
        for (_, translator) in here {
            for frame in std::mem::take(&mut on) {
                match way {
                    Way::In => {
                        let passed = translator.inward(frame);
                        on.extend(passed.inward);
                        back.extend(passed.outward);
                    }
                    Way::Out => {
                        let passed = translator.outward(frame);
                        on.extend(passed.outward);
                        back.extend(passed.inward);
                    }
                }
            }
        }
        (on, back)
    }
}

#[cfg(test)]
impl Remaps {
    /// How many instances a translation stands before.
    pub(super) fn translated(&self) -> usize {
        self.translators.len()
    }
}

fn mapping(from: Ipv4Addr, to: Cidr, router: Option<Ipv4Addr>) -> Mapping {
    Mapping {
        from: InAddr::V4(from.octets()),
        to: InAddr::V4(to.address.octets()),
        prefixlen: to.prefix,
        router: router.map(|router| InAddr::V4(router.octets())),
    }
}

fn remap(mut mappings: Vec<Mapping>) -> Result<Remap, RemapError> {
    mappings.sort_by_key(|mapping| mapping.from);
    let mut list = List::new();
    list.extend(&mappings)
        .map_err(|NoMemory| RemapError::NoMemory)?;
    Remap::new(list)
}

impl World {
    /// Instances of the scenario that a move takes along, with their addresses in it.
    fn taken_along(&self, migrate: usize) -> Vec<(usize, Ipv4Addr)> {
        let Some(spec) = self.scenario.migrate.get(migrate) else {
            return Vec::new();
        };
        let (path, below) = (
            spec.instance.get_ref(),
            format!("{}.", spec.instance.get_ref()),
        );
        let instances = self.scenario.instance.iter().enumerate();
        let taken = instances.filter(|(_, instance)| {
            let name = instance.name.get_ref();
            name == path || name.starts_with(&below)
        });
        taken
            .map(|(index, instance)| (index, instance.address.get_ref().address))
            .collect()
    }

    /// What a move changes: from the addresses that the instances have now.
    pub(super) fn remap_of(&self, migrate: usize) -> Result<Remap, RemapError> {
        let Some(spec) = self.scenario.migrate.get(migrate) else {
            return Ok(Remap::default());
        };
        let changed = self
            .taken_along(migrate)
            .into_iter()
            .filter_map(|(index, known)| {
                let to = spec.addresses.get(&known)?;
                let now = self.remaps.present.get(&index);
                let now = now.map_or(known, |(now, _)| now.address);
                Some(mapping(now, *to.get_ref(), spec.router()))
            });
        remap(changed.collect())
    }

    /// Whether an instance may be moved so, with the addresses it has or with others, as far as that can be said
    /// while it runs.
    pub(super) fn may_move(
        &self,
        host: usize,
        instance: InstanceId,
        migrate: usize,
    ) -> Result<(), String> {
        let remap = self.remap_of(migrate);
        let remap = remap.map_err(told::remap)?;
        let Some(machine) = self.hosts.get(host) else {
            return Ok(());
        };
        let (core, kern) = (machine.join.core(), &machine.kern);
        let below = |at: &InstanceId| core.next_instance(instance, *at);
        let all = std::iter::successors(Some(instance), below);
        let prisons = all.filter_map(|id| kern.prison(machine.join.prison_of(id)?));
        let stacks: Vec<_> = prisons
            .filter_map(|prison| kern.vnets.get(&prison.vnet))
            .collect();
        let possible = may_be_remapped(&stacks, kern.now(), &remap);
        possible.map_err(|error| told::stacks(&error))
    }

    /// The instances of a move are on another host now, with the addresses that it gives them: so
    /// are the translations before them.
    pub(super) fn translate_moved(&mut self, migrate: usize, to: usize) {
        for (index, known) in self.taken_along(migrate) {
            let spec = self.scenario.migrate.get(migrate);
            if let Some(spec) = spec
                && let Some(new) = spec.addresses.get(&known)
            {
                let present = (*new.get_ref(), spec.router());
                self.remaps.present.insert(index, present);
            }
            self.remaps.translators.remove(&index);
            let Some((now, router)) = self.remaps.present.get(&index).copied() else {
                continue;
            };
            if now.address == known {
                self.remaps.present.remove(&index);
            } else if let Ok(before) = remap(vec![mapping(known, now, router)]) {
                let translator = (to, Translator::new(before));
                self.remaps.translators.insert(index, translator);
            }
        }
    }
}
