// SPDX-License-Identifier: BSD-2-Clause
//! Two hosts with a stack each, a link or a router between, programs at both ends, and a plan of
//! what goes wrong and of who moves when.
//!
//! - I1: time goes on only from event to event; a world without one is at rest.
//! - I2: a move is an image, written, read and built on a host whose clock reads something else; of
//!   the old stack nothing is left.

mod host;
mod judge;
pub mod pairs;
mod plan;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim::net::ifnet::IfIndex;
use sim::net::link::{Wire, WireConfig};
use sim::net::socket::Inet;
use sim::net::vnet::Vnet;
use sim::rng::Rng;
use sim::time::{Duration, Instant};

use super::app::{App, Role, Stage};
use super::ledger::Ledger;
use super::observer::Observer;
use host::{Host, NETWORKS, ip, mac, router};
pub use plan::{Conn, MTU, Outcome, PATIENCE, Pause, Plan, Router};

struct World {
    plan: Plan,
    now: Duration,
    hosts: [Host; 2],
    router: Option<(Vnet<Inet>, [IfIndex; 2])>,
    wires: [Wire; 4],
    rng: Rng,
    /// Frames on their way: to node 0, 1, or the router's side 2, 3.
    flight: BTreeMap<(Duration, u64), (usize, Vec<u8>)>,
    sent: u64,
    apps: Vec<[App; 2]>,
    ledgers: Vec<[Ledger; 2]>,
    observer: Observer,
    trace: Vec<(Duration, usize, Vec<u8>)>,
    events: u64,
    moved: u64,
    /// Since when how many packets were sent, and how many may be.
    quiet: (Duration, u64, u64),
}

/// Runs a world to its end.
///
/// # Panics
/// Where something does not hold that must.
pub fn run(plan: &Plan) -> Outcome {
    let mut world = World::new(plan.clone());
    world.live();
    let ended = world.now;
    let trace = std::mem::take(&mut world.trace);
    world.judge();
    world.rest();
    Outcome {
        trace,
        errors: world
            .apps
            .iter()
            .map(|pair| [0, 1].map(|n| pair[n].error))
            .collect(),
        read: world
            .ledgers
            .iter()
            .map(|pair| [0, 1].map(|n| pair[n].read))
            .collect(),
        events: world.events,
        ended,
        seen: world.observer.seen,
        moved: world.moved,
    }
}

impl World {
    fn new(mut plan: Plan) -> Self {
        let kind = plan.kind;
        // Segments may be fragmented where path MTU discovery is off; it is for TCP in UDP.
        let undiscovered = |(name, _): &(&str, i64)| name.ends_with("path_mtu_discovery");
        let fragments = plan.sysctls.iter().flatten().any(undiscovered) || kind.encapsulated != 0;
        if fragments && plan.router.is_some() {
            // Two fragments with a wrong bit each may have a right sum together.
            plan.wires.iter_mut().for_each(|wire| wire.corrupt_ppm = 0);
        }
        let app = |n: usize, host: usize| {
            let conn = &plan.conns[n];
            let at = SocketAddr::new(
                ip(1 - conn.active, kind.v6),
                80 + if plan.one_port { 0 } else { n as u16 },
            );
            let (role, start) = if host == conn.active {
                (Role::Connects(at), conn.start)
            } else if plan.one_port {
                (
                    Role::Accepts(at),
                    conn.start.minus(Duration::from_millis(100)),
                )
            } else {
                (Role::Accepts(at), Duration::ZERO)
            };
            App::new(host, role, kind, start, conn.scripts[host].clone())
        };
        Self {
            now: Duration::ZERO,
            hosts: [Host::new(0, &plan), Host::new(1, &plan)],
            router: router(&plan),
            wires: std::array::from_fn(|n| {
                let near = WireConfig {
                    latency: Duration::from_millis(1),
                    ..WireConfig::default()
                };
                // With a router the wires of host 1 are short and sound.
                Wire::new(match (n, plan.router) {
                    (0, _) | (1, None) => plan.wires[n],
                    (2, _) => plan.wires[1],
                    _ => near,
                })
            }),
            rng: Rng::new(plan.seed, "link"),
            flight: BTreeMap::new(),
            sent: 0,
            apps: (0..plan.conns.len())
                .map(|n| [0, 1].map(|host| app(n, host)))
                .collect(),
            ledgers: vec![Default::default(); plan.conns.len()],
            observer: Observer::new(MTU as usize, kind.encapsulated, kind.signed, fragments),
            trace: Vec::new(),
            events: 0,
            moved: 0,
            quiet: (Duration::ZERO, 0, 400),
            plan,
        }
    }

    /// Until every program has ended, or nothing happens any more.
    fn live(&mut self) {
        let (zero, one) = (0, 1);
        for host in [zero, one] {
            self.after(host);
        }
        while self
            .apps
            .iter()
            .flatten()
            .any(|app| app.stage != Stage::Done)
            || self.hosts.iter().any(|host| host.away.is_some())
        {
            if self.now > self.plan.limit || !self.step() {
                break;
            }
        }
    }

    /// When the next thing happens, and what: a class of events in the order in which they go.
    fn next(&self) -> Option<(Duration, u8, usize)> {
        let mut next: Option<(Duration, u8, usize)> = None;
        let mut note = |at: Option<Duration>, class: u8, n: usize| {
            if let Some(at) = at {
                let this = (at.max(self.now), class, n);
                next = Some(next.map_or(this, |next| next.min(this)));
            }
        };
        for (n, host) in self.hosts.iter().enumerate() {
            note(host.away.as_ref().map(|away| away.until), 0, n);
            let due = host.stack.next_callout();
            note(
                due.map(|at| at.since(Instant::BOOT.after(host.uptime))),
                2,
                n,
            );
        }
        for (n, pause) in self.plan.pauses.iter().enumerate() {
            note(Some(pause.at), 1, n);
        }
        if let Some((router, _)) = &self.router {
            note(
                router.next_callout().map(|at| at.since(Instant::BOOT)),
                3,
                0,
            );
        }
        note(self.flight.keys().next().map(|(at, _)| *at), 4, 0);
        for (n, app) in self.apps.iter().flatten().enumerate() {
            if self.hosts[app.host].away.is_none() {
                note(app.due, 5, n);
            }
        }
        next
    }

    fn step(&mut self) -> bool {
        let Some((at, class, n)) = self.next() else {
            return false;
        };
        self.now = at;
        self.events += 1;
        match class {
            0 => self.arrive(n),
            1 => {
                let pause = self.plan.pauses.remove(n);
                if self.hosts[pause.host].away.is_none() {
                    let until = self.now.plus(pause.length);
                    self.hosts[pause.host].leave(self.now, until, pause.queued);
                }
            }
            2 => {
                let clock = self.hosts[n].clock(self.now);
                self.hosts[n].stack.run_callouts(clock);
                self.after(n);
            }
            3 => {
                if let Some((router, _)) = &mut self.router {
                    router.run_callouts(Instant::BOOT.after(self.now));
                }
                self.route();
            }
            4 => {
                let (_, (node, frame)) = self.flight.pop_first().expect("a frame");
                self.frame(node, frame);
            }
            _ => {
                let (conn, host) = (n / 2, n % 2);
                self.run_app(conn, host);
                self.after(host);
            }
        }
        let mask = self.plan.moves.get(&self.events).copied().unwrap_or(0) | self.plan.every;
        for host in [0, 1] {
            if mask & (1 << host) != 0 && self.hosts[host].away.is_none() {
                self.hosts[host].leave(self.now, self.now, false);
                self.arrive(host);
            }
        }
        true
    }

    fn arrive(&mut self, n: usize) {
        self.moved += 1;
        // Nothing signed passes a translation: such a host keeps its addresses.
        let network = match self.plan.networks {
            Some(seed) if !self.plan.kind.signed => {
                let draw = Rng::new(seed, &format!("network{}", self.moved)).next_u64();
                (draw % u64::from(NETWORKS)) as u8
            }
            _ => 0,
        };
        let (names, held) = self.hosts[n].arrive(self.now, self.moved, network);
        for pair in &mut self.apps {
            pair[n].own = Some(self.hosts[n].own(self.plan.kind.v6));
            pair[n].rename(|old| names.get(&old).copied());
        }
        for frame in held {
            self.frame(n, frame);
        }
    }

    fn frame(&mut self, node: usize, frame: Vec<u8>) {
        if let Some(side) = node.checked_sub(2) {
            if let Some((router, sides)) = &mut self.router {
                router.input(Instant::BOOT.after(self.now), sides[side], &frame);
            }
            return self.route();
        }
        if let Some(away) = &mut self.hosts[node].away {
            if away.queued || self.observer.is_neighbour(&frame) {
                away.held.push(frame);
            }
            return;
        }
        if frame.starts_with(&mac(node)) {
            self.observer.reaches(node, &frame);
        }
        self.hosts[node].input(self.now, &frame);
        self.after(node);
    }

    /// Sends what a router has to say.
    fn route(&mut self) {
        let silent = self.plan.router.is_some_and(|router| router.silent);
        while let Some((out, frame)) = self
            .router
            .as_mut()
            .and_then(|(router, _)| router.take_output())
        {
            let side = usize::from(
                self.router
                    .as_ref()
                    .is_some_and(|(_, sides)| sides[1] == out),
            );
            // Its own messages begin with its own address: ICMP of type 3, ICMPv6 of type 2.
            let error = match frame.get(12..14) {
                Some([8, 0]) => frame.get(23) == Some(&1) && frame.get(34) == Some(&3),
                Some([0x86, 0xdd]) => frame.get(20) == Some(&58) && frame.get(54) == Some(&2),
                _ => false,
            };
            if !(silent && error) {
                self.launch(2 + side, side, frame);
            }
        }
    }

    /// Sends what a host has to say, then lets its programs go on as far as they were woken.
    fn after(&mut self, host: usize) {
        loop {
            self.drain(host);
            let mut woken = Vec::new();
            while let Some(wakeup) = self.hosts[host].stack.take_wakeup() {
                for (n, pair) in self.apps.iter_mut().enumerate() {
                    if pair[host].wakes(wakeup.so, wakeup.what) {
                        woken.push(n);
                    }
                }
            }
            if woken.is_empty() {
                break;
            }
            for n in woken {
                self.run_app(n, host);
            }
        }
        self.check_memory(host);
    }

    fn run_app(&mut self, conn: usize, host: usize) {
        let (now, clock) = (self.now, self.hosts[host].clock(self.now));
        let app = &mut self.apps[conn][host];
        let before = app.calls();
        let [zero, one] = &mut self.ledgers[conn];
        let (ours, theirs) = if host == 0 { (zero, one) } else { (one, zero) };
        self.hosts[host]
            .stack
            .with_transports(clock, |inet, cx| app.run(now, inet, cx, ours, theirs));
        self.observer.shrank[host] |= app.shrank;
        // Each call may send something: a read, too, while urgent data is pending (tcp_output, 15.0).
        self.quiet = (now, 0, 400 + 2 * (app.calls() - before));
    }

    fn drain(&mut self, host: usize) {
        while let Some(frame) = self.hosts[host].take_output() {
            self.observer.sends(host, &frame);
            self.trace.push((self.now, host, frame.clone()));
            self.check_storm();
            let to = if self.router.is_some() {
                2 + host
            } else {
                1 - host
            };
            self.launch(host, to, frame);
        }
    }

    /// Puts a frame on the wire of a node.
    fn launch(&mut self, from: usize, to: usize, frame: Vec<u8>) {
        let wire = &mut self.wires[from];
        if self.observer.is_neighbour(&frame) {
            let at = self.now.plus(wire.config.latency);
            self.flight.insert((at, self.sent), (to, frame));
            self.sent += 1;
            return;
        }
        let cut = |(from, to): &(Duration, Option<Duration>)| {
            *from <= self.now && to.is_none_or(|to| self.now < to)
        };
        wire.is_cut = self.plan.cuts.iter().any(cut);
        if self.now >= self.plan.heals {
            wire.config.loss_ppm = 0;
            wire.config.duplicate_ppm = 0;
            wire.config.corrupt_ppm = 0;
            wire.config.reorder_ppm = 0;
        }
        for arrival in wire.send(Instant::BOOT.after(self.now), &mut self.rng, frame) {
            let at = arrival.at.since(Instant::BOOT);
            self.flight.insert((at, self.sent), (to, arrival.frame));
            self.sent += 1;
        }
    }
}
