// SPDX-License-Identifier: BSD-2-Clause
//! The scenario file: what a world is made of, what happens in it, and what must come of it.
//!
//! A file is checked whole before the world is built, so that a run never fails half-way over a
//! mistake that could have been seen; each complaint names the line and what to write instead.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
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
/// Bytes of a scenario file.
const FILE_MAX: u64 = 1 << 20;

/// A whole scenario, as read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the scenario is called in reports.
    pub name: String,
    /// One sentence on what it shows.
    #[serde(default)]
    pub about: String,
    /// The world's seed; `--seed` overrides it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Virtual milliseconds after which the world is stopped and judged.
    #[serde(default = "default_deadline")]
    pub deadline_ms: u64,
    /// The machines; each hangs on one Ethernet switch.
    #[serde(default)]
    pub host: Vec<HostSpec>,
    /// The instances, parents before children.
    #[serde(default)]
    pub instance: Vec<InstanceSpec>,
    /// The programs started in hosts and instances.
    #[serde(default)]
    pub program: Vec<ProgramSpec>,
    /// The moves.
    #[serde(default)]
    pub migrate: Vec<MigrateSpec>,
    /// Directory of the file: programs are named relative to it.
    #[serde(skip)]
    pub directory: PathBuf,
}

fn default_seed() -> u64 {
    1
}

fn default_deadline() -> u64 {
    60_000
}

/// A machine and its cable to the switch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Address and prefix length of its network card, `10.0.0.1/24`.
    pub address: Spanned<Cidr>,
    /// PIDs, thread ids and ephemeral ports begin as far on as if it had run this many processes.
    #[serde(default)]
    pub populated: u32,
    /// One-way delay of its cable in microseconds.
    #[serde(default = "default_latency")]
    pub latency_us: u64,
    /// Rate of its cable in megabits per second.
    #[serde(default = "default_bandwidth")]
    pub bandwidth_mbps: u64,
    /// Frames lost on its cable, each way, in a million.
    #[serde(default)]
    pub loss_ppm: u32,
}

fn default_latency() -> u64 {
    100
}

fn default_bandwidth() -> u64 {
    1_000
}

/// An instance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Path from the host's own instance: `web`, or `web.db` for `db` inside `web`.
    pub name: Spanned<String>,
    /// The host it begins on.
    pub host: Spanned<String>,
    /// Address and prefix length of its interface.
    pub address: Spanned<Cidr>,
    /// Most processes it may have, its children's included; 0 is no limit.
    #[serde(default)]
    pub maxproc: u64,
}

/// A program to start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramSpec {
    /// What reports call it.
    pub name: Spanned<String>,
    /// Instance path or host name; the first program of an instance is its init.
    #[serde(rename = "in")]
    pub place: Spanned<String>,
    /// The program's text, relative to the scenario file.
    pub file: Spanned<PathBuf>,
    /// What `$NAME` stands for in its text.
    #[serde(default)]
    pub define: BTreeMap<String, String>,
    /// When it starts, in virtual milliseconds.
    #[serde(default)]
    pub at_ms: u64,
    /// The exit status it must end with; without it, it need not end.
    pub expect_exit: Option<i32>,
    /// Words that its console output must contain.
    #[serde(default)]
    pub expect_output: Vec<String>,
}

/// A live migration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrateSpec {
    /// The instance, with all below it.
    pub instance: Spanned<String>,
    /// The host it moves to.
    pub to: Spanned<String>,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// The longest time it may be stopped, in virtual milliseconds.
    pub max_downtime_ms: Option<u64>,
    /// Addresses of `[[instance]]` and what they are in the network of the target, before which a
    /// translation stands then: peers go on with those of `[[instance]]`. Others stay as they are.
    #[serde(default)]
    pub addresses: BTreeMap<Ipv4Addr, Spanned<Cidr>>,
    /// The router in the network of the target by which they reach others.
    pub router: Option<Ipv4Addr>,
}

/// Where in the text something is wrong, as a byte offset, and what.
type Complaint = (usize, String);

/// An IPv4 address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length in bits, at most 32.
    pub prefix: u8,
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no address; write it as 10.0.0.1/24");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        let prefix = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(wrong)?;
        Ok(Self { address, prefix })
    }
}

impl Cidr {
    /// Whether an Ethernet interface can have it: neither of a special range, nor the network itself or its
    /// broadcast.
    fn is_for_an_interface(self) -> bool {
        let ip = self.address;
        let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        let part = u32::from(ip) & host;
        let [first, ..] = ip.octets();
        let special = first == 0 || first >= 224 || ip.is_loopback();
        let end = self.prefix < 31 && (part == 0 || part == host);
        self.prefix > 0 && !special && !end
    }
}

impl Cidr {
    /// Whether another address is in its network.
    fn has(self, other: Ipv4Addr) -> bool {
        let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        (u32::from(self.address) ^ u32::from(other)) & !host == 0 && self.address != other
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What is wrong with a scenario file, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// Line in it, from 1; `None` where the file could not be read.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.what),
            None => write!(f, "{}: {}", self.file.display(), self.what),
        }
    }
}

impl std::error::Error for ScenarioError {}

/// Reads a text file that has at most `most` bytes; of a longer one, or of an endless device, no more is read.
///
/// # Errors
/// What the system says, or `FileTooLarge`.
pub fn read_bounded(file: &Path, most: u64) -> std::io::Result<String> {
    let mut text = Vec::new();
    std::fs::File::open(file)?
        .take(most.saturating_add(1))
        .read_to_end(&mut text)?;
    if text.len() as u64 > most {
        let what = format!("longer than {most} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what));
    }
    String::from_utf8(text)
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "not UTF-8 text"))
}

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`] at the first thing that is wrong.
    pub fn load(file: &Path) -> Result<Self, ScenarioError> {
        let text = read_bounded(file, FILE_MAX).map_err(|e| ScenarioError {
            file: file.to_owned(),
            line: None,
            what: format!("cannot be read: {e}"),
        })?;
        Self::parse(&text, file)
    }

    /// Checks the text of a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`] at the first thing that is wrong.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ScenarioError> {
        let fail = |at: Option<usize>, what: String| ScenarioError {
            file: file.to_owned(),
            line: at.map(|at| 1 + text[..at.min(text.len())].matches('\n').count()),
            what,
        };
        let mut scenario: Self = toml::from_str(text)
            .map_err(|e| fail(e.span().map(|s| s.start), e.message().trim().to_owned()))?;
        scenario.directory = file.parent().unwrap_or(Path::new("")).to_owned();
        scenario
            .check()
            .map_err(|(at, what)| fail(Some(at), what))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), Complaint> {
        let at = |spanned: &Spanned<String>| spanned.span().start;
        let mut hosts = BTreeSet::new();
        if self.host.is_empty() {
            return Err((0, "there is no [[host]]; add at least one".into()));
        }
        self.check_bounds()?;
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
        }
        for host in &self.host {
            let name = host.name.get_ref();
            if host.latency_us > LATENCY_MAX_US {
                let what = format!("host \"{name}\" has a latency_us above {LATENCY_MAX_US}");
                return Err((at(&host.name), what));
            }
            if host.populated > POPULATED_MAX {
                let what = format!("host \"{name}\" has a populated above {POPULATED_MAX}");
                return Err((at(&host.name), what));
            }
        }
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
            let near = migrate.router.is_none_or(|router| cidr.has(router));
            if !near {
                let what = format!("the router is not in the network of {cidr}");
                return Err((at, what));
            }
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

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
