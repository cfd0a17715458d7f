// SPDX-License-Identifier: BSD-2-Clause
//! What a world depends on, and what becomes of it.

use std::collections::BTreeMap;

use sim::errno::Errno;
use sim::net::link::WireConfig;
use sim::time::Duration;

use crate::net::app::{Kind, Op};
use crate::net::observer::Seen;

/// MTU of the hosts' own links.
pub const MTU: u32 = 1500;

/// Until when all programs of a gentle world have ended where each stayed to the end.
pub(super) const PROMPT: Duration = Duration::from_secs(1_800);

/// How long a program may wait that waits for a keep-alive.
pub const PATIENCE: Duration = Duration::from_secs(4 * 3_600);

/// No connection that is asked for is remembered.
pub(super) const COOKIES_ONLY: (&str, i64) = ("net.inet.tcp.syncookies_only", 1);

/// A router between the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    /// The MTU that it goes on with.
    pub mtu: u32,
    /// It tells nobody what it cannot pass on: a black hole.
    pub silent: bool,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    /// The host that connects.
    pub active: usize,
    /// When it does.
    pub start: Duration,
    /// What the programs on host 0 and host 1 do, once they are connected.
    pub scripts: [Vec<(Duration, Op)>; 2],
}

/// A move that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When the stack stops.
    pub at: Duration,
    /// Whose stack.
    pub host: usize,
    /// For how long.
    pub length: Duration,
    /// Frames wait for it meanwhile; else they are lost.
    pub queued: bool,
}

/// Everything that a world depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seed of the hosts' and the link's random numbers.
    pub seed: u64,
    /// What the connections are like.
    pub kind: Kind,
    /// Settings of host 0 and host 1.
    pub sysctls: [Vec<(&'static str, i64)>; 2],
    /// The wires from host 0 and from host 1.
    pub wires: [WireConfig; 2],
    /// What is between.
    pub router: Option<Router>,
    /// Spans in which the link is cut; a world whose last one does not end is cut for ever.
    pub cuts: Vec<(Duration, Option<Duration>)>,
    /// From when on the wires have no faults any more.
    pub heals: Duration,
    /// The connections.
    pub conns: Vec<Conn>,
    /// All connections are to the same port, each listened for from 100 ms before its start: the
    /// one before must have ended, and its active end closed first.
    pub one_port: bool,
    /// Moves that take no time: after the event with this number, of host 0 (bit 0) and 1 (bit 1).
    pub moves: BTreeMap<u64, u8>,
    /// Moves after every event, as `moves`.
    pub every: u8,
    /// Moves that take time.
    pub pauses: Vec<Pause>,
    /// Each move leads to a network drawn from this seed, where the host has other addresses behind a
    /// translation; to the one it is in, at times. Without it, addresses are kept.
    pub networks: Option<u64>,
    /// Faults and cuts are few enough that no connection may break for their sake.
    pub gentle: bool,
    /// When all programs must have ended; a shorter time than [`PATIENCE`] only ends the watch.
    pub limit: Duration,
}

impl Plan {
    /// A sound link, no connection, nobody moves.
    pub fn new(seed: u64) -> Self {
        let wire = WireConfig {
            latency: Duration::from_millis(10),
            bandwidth_bps: 100_000_000,
            ..WireConfig::default()
        };
        Self {
            seed,
            kind: Kind::default(),
            sysctls: Default::default(),
            wires: [wire; 2],
            router: None,
            cuts: Vec::new(),
            heals: Duration::ZERO,
            conns: Vec::new(),
            one_port: false,
            moves: BTreeMap::new(),
            every: 0,
            pauses: Vec::new(),
            networks: None,
            gentle: true,
            limit: PATIENCE,
        }
    }
}

/// What became of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Every frame with its moment and sender.
    pub trace: Vec<(Duration, usize, Vec<u8>)>,
    /// What the programs complained of, connection by connection, host 0 first.
    pub errors: Vec<[Option<Errno>; 2]>,
    /// Bytes read, likewise, by the stream of host 0 and of host 1.
    pub read: Vec<[usize; 2]>,
    /// How many events there were.
    pub events: u64,
    /// When the last program ended, and with it the trace.
    pub ended: Duration,
    /// What the observer counted.
    pub seen: Seen,
    /// How many moves there were.
    pub moved: u64,
}
