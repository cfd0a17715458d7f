// SPDX-License-Identifier: BSD-2-Clause
//! A world out of a scenario.

use super::fabric::Fabric;
use super::faults::Faults;
use super::host::Host;
use super::programs::Programs;
use super::queue::Queue;
use super::scenario::{Cidr, Scenario, ScenarioError, read_bounded};
use super::trace::Trace;
use super::{Event, World};
use crate::guest;
use crate::net::ether::MacAddr;
use crate::net::ifnet::IfAddr;
use crate::net::link::WireConfig;
use crate::time::Duration;
use std::collections::BTreeMap;
use toml::Spanned;
use vpscore::racct::{Limit, Resource};

impl World {
    /// Builds the hosts and instances of a scenario; nothing has happened in it yet. `seed` is used
    /// in place of the scenario's, and `keep` tells whether the trace is kept to be looked at.
    ///
    /// # Errors
    /// [`ScenarioError`]: a program that is none, an instance that is refused.
    pub fn build(scenario: Scenario, seed: Option<u64>, keep: bool) -> Result<Self, ScenarioError> {
        let seed = seed.unwrap_or(scenario.seed);
        let texts = assemble(&scenario)?;
        let wires: Vec<WireConfig> = scenario.host.iter().map(wire).collect();
        let mut hosts = Vec::new();
        for (number, spec) in scenario.host.iter().enumerate() {
            let number = u8::try_from(number + 1).unwrap_or(u8::MAX);
            let address = if_addr(*spec.address.get_ref());
            let host = Host::boot(spec.name.get_ref(), number, seed, address, spec.populated);
            let host = host.map_err(|_| refused(&scenario, &spec.name, "ENOMEM"))?;
            hosts.push(host);
        }
        let mut world = Self {
            fabric: Fabric::new(seed, &wires),
            seed,
            hosts,
            programs: Programs::new(&scenario.program, texts),
            trace: Trace::new(keep),
            faults: Faults::default(),
            remaps: Default::default(),
            moves: Vec::new(),
            refused_moves: BTreeMap::new(),
            pids: Vec::new(),
            queue: Queue::default(),
            capture: None,
            steps: 0,
            scenario,
        };
        for index in 0..world.scenario.instance.len() {
            world.create_instance(index)?;
        }
        for host in 0..world.hosts.len() {
            world.settle(host);
        }
        for (index, program) in world.scenario.program.iter().enumerate() {
            world
                .queue
                .push(Self::at_ms(program.at_ms), Event::Start { program: index });
        }
        for (index, migrate) in world.scenario.migrate.iter().enumerate() {
            world
                .queue
                .push(Self::at_ms(migrate.at_ms), Event::Move { migrate: index });
        }
        Ok(world)
    }

    fn create_instance(&mut self, index: usize) -> Result<(), ScenarioError> {
        let Some(spec) = self.scenario.instance.get(index) else {
            return Ok(());
        };
        let path = spec.name.get_ref().clone();
        let mac = mac_of(index);
        let (address, maxproc) = (if_addr(*spec.address.get_ref()), spec.maxproc);
        let host = self.find(spec.host.get_ref()).map(|(host, _)| host);
        let made = host.and_then(|host| self.hosts.get_mut(host)).map(|host| {
            let id = host.create_instance(&path, mac, address)?;
            if maxproc > 0 {
                let limit = Limit {
                    soft: maxproc,
                    hard: maxproc,
                };
                host.join
                    .core()
                    .set_limit(id, Resource::Nproc, limit)
                    .map_err(|error| error.errno())?;
            }
            Ok::<(), crate::errno::Errno>(())
        });
        match made {
            Some(Ok(())) => Ok(()),
            Some(Err(errno)) => Err(refused(&self.scenario, &spec.name, errno.name())),
            None => Err(refused(&self.scenario, &spec.name, "no such host")),
        }
    }
}

/// The address of the interface of the scenario's instance of this index; locally administered.
fn mac_of(index: usize) -> MacAddr {
    let [.., high, low] = (index as u64).to_be_bytes();
    MacAddr([0x02, 0x56, 0x50, 0x53, high, low])
}

fn refused(scenario: &Scenario, name: &Spanned<String>, why: &str) -> ScenarioError {
    let what = format!("\"{}\" cannot be made: {why}", name.get_ref());
    let at = name.span().start;
    scenario.source.complaint(Some(at), what)
}

fn if_addr(cidr: Cidr) -> IfAddr {
    IfAddr {
        addr: cidr.address.into(),
        prefix_len: cidr.prefix,
    }
}

fn wire(spec: &super::scenario::HostSpec) -> WireConfig {
    WireConfig {
        latency: Duration::from_micros(spec.latency_us),
        bandwidth_bps: spec.bandwidth_mbps.saturating_mul(1_000_000),
        loss_ppm: spec.loss_ppm,
        ..WireConfig::default()
    }
}

/// Reads and assembles the programs, in the order of the scenario.
fn assemble(scenario: &Scenario) -> Result<Vec<guest::Program>, ScenarioError> {
    let mut programs = Vec::new();
    for program in &scenario.program {
        let file = scenario.source.beside(program.file.get_ref());
        let text = read_bounded(&file, guest::asm::SOURCE_MAX as u64).map_err(|e| {
            let (name, file) = (program.name.get_ref(), file.display());
            let what = format!("program \"{name}\": {file}: cannot be read: {e}");
            let at = program.file.span().start;
            scenario.source.complaint(Some(at), what)
        })?;
        let define: Vec<(&str, &str)> = program
            .define
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let assembled = guest::assemble(&text, &define).map_err(|e| ScenarioError {
            file,
            line: Some(e.line),
            what: format!("column {}: {}", e.column, e.kind),
        })?;
        programs.push(assembled);
    }
    Ok(programs)
}
