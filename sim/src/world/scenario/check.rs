// SPDX-License-Identifier: BSD-2-Clause
//! What must hold of a scenario beyond the form of its file, checked before a world is built of it.

use super::{InstanceSpec, MigrateSpec, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use toml::Spanned;
use vpscore::instance::Name;
use vpscore::limits::DEPTH_MAX;

/// Hosts of a world: the last byte of a network card's address is the host's number.
const HOSTS_MAX: usize = 254;
/// Instances of a world.
const INSTANCES_MAX: usize = 1_024;
/// Virtual milliseconds of a run: a day.
const DEADLINE_MAX_MS: u64 = 86_400_000;
/// Microseconds of delay on a cable: ten seconds.
const LATENCY_MAX_US: u64 = 10_000_000;
/// Processes that a host may have run before: PIDs have come round ten times by then.
const POPULATED_MAX: u32 = 1_000_000;

/// Where in the text something is wrong, as a byte offset, and what.
type Complaint = (usize, String);

impl Scenario {
    /// Checks all of it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn check(&self) -> Result<(), Complaint> {
        let at = |spanned: &Spanned<String>| spanned.span().start;
        if self.host.is_empty() {
            return Err((0, "there is no [[host]]; add at least one".into()));
        }
        self.check_bounds()?;
        let hosts = self.check_hosts()?;
        let known_host = |host: &Spanned<String>| {
            if hosts.contains(host.get_ref().as_str()) {
                return Ok(());
            }
            let all: Vec<_> = hosts.iter().copied().collect();
            let what = format!(
                "no host \"{}\"; hosts are: {}",
                host.get_ref(),
                all.join(", ")
            );
            Err((at(host), what))
        };
        let instances = self.check_instances(&known_host)?;
        if let Some(both) = self
            .instance
            .iter()
            .find(|i| hosts.contains(i.name.get_ref().as_str()))
        {
            let what = format!(
                "\"{}\" is a host too; name one differently",
                both.name.get_ref()
            );
            return Err((at(&both.name), what));
        }
        self.check_addresses()?;
        self.check_programs(&hosts, &instances)?;
        for migrate in &self.migrate {
            known_host(&migrate.to)?;
            let name = migrate.instance.get_ref();
            if !instances.contains(name.as_str()) {
                let what = format!("no instance \"{name}\"; add an [[instance]] of that name");
                return Err((at(&migrate.instance), what));
            }
            if migrate.at_ms > self.deadline_ms {
                let what = format!(
                    "\"{name}\" is to move after deadline_ms = {}",
                    self.deadline_ms
                );
                return Err((at(&migrate.instance), what));
            }
            self.check_new_addresses(migrate)?;
        }
        self.check_ways()
    }

    /// The hosts and their cables; gives their names.
    fn check_hosts(&self) -> Result<BTreeSet<&str>, Complaint> {
        let at = |spanned: &Spanned<String>| spanned.span().start;
        let mut hosts = BTreeSet::new();
        for host in &self.host {
            let name = host.name.get_ref();
            if name.is_empty() || name.contains(|c: char| c.is_control() || c.is_whitespace()) {
                let what = "a host needs a name without blanks, such as \"alpha\"".into();
                return Err((at(&host.name), what));
            }
            if !hosts.insert(name.as_str()) {
                return Err((at(&host.name), format!("host \"{name}\" is there twice")));
            }
            if host.loss_ppm > 1_000_000 {
                let loss = host.loss_ppm;
                let what = format!("host \"{name}\" has loss_ppm = {loss}; at most 1000000");
                return Err((at(&host.name), what));
            }
            if host.bandwidth_mbps == 0 {
                let what = format!("host \"{name}\" has bandwidth_mbps = 0; at least 1");
                return Err((at(&host.name), what));
            }
            if host.latency_us > LATENCY_MAX_US {
                let what = format!("host \"{name}\" has a latency_us above {LATENCY_MAX_US}");
                return Err((at(&host.name), what));
            }
            if host.populated > POPULATED_MAX {
                let what = format!("host \"{name}\" has a populated above {POPULATED_MAX}");
                return Err((at(&host.name), what));
            }
        }
        Ok(hosts)
    }

    /// Numbers of the whole.
    fn check_bounds(&self) -> Result<(), Complaint> {
        if self.deadline_ms > DEADLINE_MAX_MS {
            return Err((
                0,
                format!("deadline_ms is at most {DEADLINE_MAX_MS}, which is a day"),
            ));
        }
        let line = |over: Option<&Spanned<String>>| over.map_or(0, |name| name.span().start);
        if let Some(over) = self.host.get(HOSTS_MAX) {
            return Err((
                line(Some(&over.name)),
                format!("more than {HOSTS_MAX} hosts"),
            ));
        }
        if let Some(over) = self.instance.get(INSTANCES_MAX) {
            return Err((
                line(Some(&over.name)),
                format!("more than {INSTANCES_MAX} instances"),
            ));
        }
        Ok(())
    }

    /// No move goes to where its instance is by then, should the moves before have gone well.
    fn check_ways(&self) -> Result<(), Complaint> {
        let at = |i: &InstanceSpec| (i.name.get_ref().clone(), i.host.get_ref().clone());
        let mut places: BTreeMap<String, String> = self.instance.iter().map(at).collect();
        let mut moves: Vec<&MigrateSpec> = self.migrate.iter().collect();
        moves.sort_by_key(|migrate| migrate.at_ms);
        for migrate in moves {
            let (name, to) = (migrate.instance.get_ref(), migrate.to.get_ref());
            if places.get(name) == Some(to) {
                let what = format!("\"{name}\" is on \"{to}\" by then; move it to another host");
                return Err((migrate.to.span().start, what));
            }
            let below = format!("{name}.");
            for (path, place) in &mut places {
                if path == name || path.starts_with(&below) {
                    place.clone_from(to);
                }
            }
        }
        Ok(())
    }

    fn check_instances(
        &self,
        known_host: &dyn Fn(&Spanned<String>) -> Result<(), Complaint>,
    ) -> Result<BTreeSet<&str>, Complaint> {
        let mut seen = BTreeSet::new();
        for instance in &self.instance {
            known_host(&instance.host)?;
            let name = instance.name.get_ref().as_str();
            let at = instance.name.span().start;
            if !seen.insert(name) {
                return Err((at, format!("instance \"{name}\" is there twice")));
            }
            if let Some(part) = name
                .split('.')
                .find(|part| Name::parse(part.as_bytes()).is_err())
            {
                let what = format!(
                    "\"{part}\" is no name for an instance; use letters and digits, {} at most",
                    vpscore::limits::NAME_MAX
                );
                return Err((at, what));
            }
            if name.split('.').count() > DEPTH_MAX {
                return Err((
                    at,
                    format!("\"{name}\" is more than {DEPTH_MAX} levels deep"),
                ));
            }
            let Some((parent, _)) = name.rsplit_once('.') else {
                continue;
            };
            match self.instance.iter().find(|i| i.name.get_ref() == parent) {
                Some(p)
                    if !seen.contains(parent) || p.host.get_ref() != instance.host.get_ref() =>
                {
                    let what =
                        format!("\"{parent}\" must come before \"{name}\", on the same host");
                    return Err((at, what));
                }
                Some(_) => {}
                None => {
                    let what = format!("\"{name}\" has no parent; add instance \"{parent}\" first");
                    return Err((at, what));
                }
            }
        }
        Ok(seen)
    }

    fn check_addresses(&self) -> Result<(), Complaint> {
        let mut used = BTreeSet::new();
        let all = self.host.iter().map(|h| &h.address);
        for address in all.chain(self.instance.iter().map(|i| &i.address)) {
            let cidr = address.get_ref();
            if !cidr.is_for_an_interface() {
                let what =
                    format!("{cidr} cannot be an interface's; write one such as 10.0.0.1/24");
                return Err((address.span().start, what));
            }
            if !used.insert(cidr.address) {
                let what = format!("address {} is used twice", address.get_ref().address);
                return Err((address.span().start, what));
            }
        }
        Ok(())
    }

    /// A move gives addresses to instances that it takes along, and to each its own.
    fn check_new_addresses(&self, migrate: &MigrateSpec) -> Result<(), Complaint> {
        let path = migrate.instance.get_ref();
        let along = |name: &str| {
            let below = name.strip_prefix(path.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut others: BTreeSet<Ipv4Addr> = self
            .host
            .iter()
            .map(|h| h.address.get_ref().address)
            .collect();
        let kept = |i: &&InstanceSpec| {
            let address = i.address.get_ref().address;
            !along(i.name.get_ref()) || !migrate.addresses.contains_key(&address)
        };
        let kept = self.instance.iter().filter(kept);
        others.extend(kept.map(|i| i.address.get_ref().address));
        for (known, new) in &migrate.addresses {
            let at = new.span().start;
            let mut taken = self.instance.iter().filter(|i| along(i.name.get_ref()));
            if !taken.any(|i| i.address.get_ref().address == *known) {
                let what =
                    format!("{known} is no address of \"{path}\" or of an instance below it");
                return Err((at, what));
            }
            let cidr = new.get_ref();
            if !cidr.is_for_an_interface() {
                let what =
                    format!("{cidr} cannot be an interface's; write one such as 10.0.0.1/24");
                return Err((at, what));
            }
            if !others.insert(cidr.address) {
                return Err((at, format!("address {} is used twice", cidr.address)));
            }
            if let Some(router) = &migrate.router
                && !cidr.has(*router.get_ref())
            {
                let what = format!(
                    "the router is not in the network of {cidr}; name one that is, or another address"
                );
                return Err((at, what));
            }
        }
        self.check_router(migrate, &others)
    }

    /// A router is on the link of the target, and nobody else's address.
    fn check_router(
        &self,
        migrate: &MigrateSpec,
        others: &BTreeSet<Ipv4Addr>,
    ) -> Result<(), Complaint> {
        let Some(router) = &migrate.router else {
            return Ok(());
        };
        let (at, router) = (router.span().start, *router.get_ref());
        if migrate.addresses.is_empty() {
            let what = "a router is for instances that get other addresses; add `addresses`, or take it out";
            return Err((at, what.into()));
        }
        if others.contains(&router) {
            let what =
                format!("router {router} is the address of a host or an instance; name another");
            return Err((at, what));
        }
        let target = migrate.to.get_ref();
        let host = self.host.iter().find(|h| h.name.get_ref() == target);
        let link = host.map(|host| *host.address.get_ref());
        if let Some(link) = link.filter(|link| !link.has(router)) {
            let what = format!(
                "router {router} cannot be reached: \"{target}\" has {link}, so name an address of that network"
            );
            return Err((at, what));
        }
        Ok(())
    }

    fn check_programs(
        &self,
        hosts: &BTreeSet<&str>,
        instances: &BTreeSet<&str>,
    ) -> Result<(), Complaint> {
        let mut names = BTreeSet::new();
        for program in &self.program {
            let place = program.place.get_ref().as_str();
            if !hosts.contains(place) && !instances.contains(place) {
                let what = format!("no instance or host \"{place}\"; declare one of that name");
                return Err((program.place.span().start, what));
            }
            let name = program.name.get_ref().as_str();
            if !names.insert(name) {
                let what = format!("program \"{name}\" is there twice; name one differently");
                return Err((program.name.span().start, what));
            }
        }
        Ok(())
    }
}
