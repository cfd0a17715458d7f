// SPDX-License-Identifier: BSD-2-Clause
//! The scenario file: what a world is made of, what happens in it, and what must come of it.
//!
//! A file is checked whole before the world is built, so that a run never fails half-way over a
//! mistake that could have been seen; each complaint names the line and what to write instead.

mod check;

use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use toml::Spanned;

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
    /// The file that it was read from.
    #[serde(skip)]
    pub source: Source,
}

/// The file of a scenario: programs are named relative to it, and complaints name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub file: PathBuf,
    /// Where its lines end, as byte offsets.
    line_ends: Vec<usize>,
}

impl Source {
    fn new(file: &Path, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            line_ends: text.match_indices('\n').map(|(at, _)| at).collect(),
        }
    }

    /// A file that the scenario names.
    pub fn beside(&self, file: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(file)
    }

    /// A complaint about what stands at a byte offset, or about the whole.
    pub fn complaint(&self, at: Option<usize>, what: String) -> ScenarioError {
        ScenarioError {
            file: self.file.clone(),
            line: at.map(|at| 1 + self.line_ends.partition_point(|end| *end < at)),
            what,
        }
    }
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
    pub router: Option<Spanned<Ipv4Addr>>,
}

impl MigrateSpec {
    /// The router, wherever it stands in the file.
    pub fn router(&self) -> Option<Ipv4Addr> {
        self.router.as_ref().map(|router| *router.get_ref())
    }
}

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
        let wrong = || format!("\"{text}\" is no address; write one of IPv4 as 10.0.0.1/24");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        let prefix = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(wrong)?;
        Ok(Self { address, prefix })
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
    /// Whether another address is one of a neighbour in its network.
    fn has(self, other: Ipv4Addr) -> bool {
        let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        let near = (u32::from(self.address) ^ u32::from(other)) & !host == 0;
        let other = Self {
            address: other,
            ..self
        };
        near && self.address != other.address && other.is_for_an_interface()
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
        let source = Source::new(file, text);
        let mut scenario: Self = toml::from_str(text).map_err(|e| {
            source.complaint(e.span().map(|s| s.start), e.message().trim().to_owned())
        })?;
        let checked = scenario.check();
        checked.map_err(|(at, what)| source.complaint(Some(at), what))?;
        scenario.source = source;
        Ok(scenario)
    }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
