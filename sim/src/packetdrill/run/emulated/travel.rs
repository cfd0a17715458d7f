// SPDX-License-Identifier: BSD-2-Clause
//! The way of an instance from one host to the other, and from one network to the next.

use super::{BEHIND, Instance, USED};
use crate::packetdrill::run::machine::{Machine, Place, ROUTER_MAC};
use crate::time::Instant;
use std::collections::BTreeSet;
use vpscore::net::Remap;

impl Instance {
    /// Moves to the other host.
    pub(super) fn go(&mut self, now: Instant) -> Result<(), String> {
        let to = 1 - self.at;
        if let Some(machine @ None) = self.machines.get_mut(to) {
            let other = Machine::boot("beta", self.make.emulated.seed, BEHIND, USED[1])?;
            machine.insert(other).populate(now)?;
        }
        let from = self.machine().ok_or("no such host")?;
        let old: BTreeSet<_> = from.numbers(&self.place).into_iter().collect();
        let instance = self.place.instance;
        let from = self.machine_mut().ok_or("no such host")?;
        let image = from.take_off(now, instance)?;
        let lose = self.make.lose;
        self.at = to;
        let place = self.arrive(now, &image)?;
        let target = self.machine_mut().ok_or("no such host")?;
        target.kern.vnets.get_mut(&place.vnet).map(lose);
        let new = target.numbers(&place);
        self.place = place;
        if let Some(trap) = self.entering.clone().filter(|_| self.make.remap) {
            // The program's own memory is not changed: it has yet to write down the new address.
            self.enter(&trap);
        }
        match new.iter().find(|number| old.contains(number)) {
            Some((kind, number)) => Err(format!("{kind} {number} is the same on both hosts")),
            None => Ok(()),
        }
    }

    /// Puts the instance on the host where it now is, in the next network if it is to change that and
    /// has no signed connection.
    fn arrive(&mut self, now: Instant, image: &[u8]) -> Result<Place, String> {
        let said = |error| format!("remap: {error:?}");
        if self.make.remap {
            let remap = self.networks.to_next().map_err(said)?;
            let target = self.machine_mut().ok_or("no such host")?;
            if let Some(place) = target.put_on(now, image, &remap)? {
                self.networks.arrive().map_err(said)?;
                let neighbours: Vec<_> = self.networks.neighbours().collect();
                let target = self.machine_mut().ok_or("no such host")?;
                let stack = target.kern.vnets.get_mut(&place.vnet);
                let stack = stack.ok_or("the instance has no stack")?;
                for neighbour in neighbours {
                    let at = (place.ifindex, neighbour);
                    stack.ip.lltable_mut().add_static(at, ROUTER_MAC);
                }
                return Ok(place);
            }
        }
        let target = self.machine_mut().ok_or("no such host")?;
        let place = target.put_on(now, image, &Remap::default())?;
        place.ok_or_else(|| "the instance cannot keep its addresses".to_owned())
    }
}
