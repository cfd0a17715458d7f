// SPDX-License-Identifier: BSD-2-Clause
//! Two stacks on a bad link; after every event one or both are replaced by what their image makes
//! on another host. Every frame must come at the same time with the same bytes, and every call give
//! the same answer, as where nobody moved.

mod data;
mod datagrams;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::moved::{image_of, stack_of};
use crate::errno::Errno;
use crate::net::cx::{Cx, SoError, SoId};
use crate::net::ether::MacAddr;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::socket::{Domain, Inet, Pcb, Proto, RecvFlags, SendFlags, Shut};
use crate::net::tcp::{State, Timer};
use crate::net::vnet::Vnet;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Who is replaced after an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    Nobody,
    Host(usize),
    Both,
}

/// A socket as a scenario names it: host and number.
type Name = (usize, usize);

struct Host {
    stack: Vnet<Inet>,
    ether: IfIndex,
    /// What this host's kernel clock is ahead of the world's.
    uptime: Duration,
    sockets: Vec<Option<SoId>>,
}

struct Link {
    latency: Duration,
    jitter: u64,
    loss: u32,
    repeat: u32,
    rng: Rng,
    cut: bool,
}

struct World {
    now: Duration,
    hosts: [Host; 2],
    link: Link,
    flight: BTreeMap<(Duration, u64), (usize, Vec<u8>)>,
    sent: u64,
    moves: Moves,
    moved: u64,
    log: Vec<String>,
    /// What there was when somebody moved, or would have.
    seen: BTreeSet<String>,
}

fn ip(host: usize, v6: bool) -> IpAddr {
    if v6 {
        format!("2001:db8::{}", host + 1).parse().unwrap()
    } else {
        IpAddr::from([10, 0, 0, host as u8 + 1])
    }
}

fn addr(host: usize, port: u16, v6: bool) -> SocketAddr {
    SocketAddr::new(ip(host, v6), port)
}

impl Host {
    fn new(n: usize) -> Self {
        let mut stack = Vnet::new(n as u64 + 1, "source", Inet::new);
        let kind = IfKind::Ethernet {
            mac: MacAddr([2, 0, 0, 0, 0, n as u8 + 1]),
        };
        let addrs = [(ip(n, false), 24), (ip(n, true), 64)];
        let addrs = addrs.map(|(addr, prefix_len)| IfAddr { addr, prefix_len });
        let ether = stack
            .attach(Instant::BOOT, "epair0b", kind, 1500, &addrs)
            .unwrap();
        Self {
            stack,
            ether,
            uptime: Duration::from_secs(1 + n as u64),
            sockets: Vec::new(),
        }
    }

    fn clock(&self, now: Duration) -> Instant {
        Instant::BOOT.after(self.uptime.plus(now))
    }

    /// Goes on on a host that was booted at another time.
    fn replace(&mut self, now: Duration, seed: u64) {
        let (bytes, refs) = image_of(&self.stack, self.clock(now)).unwrap();
        let mut built = stack_of(&bytes, seed).unwrap();
        self.uptime = Duration::from_micros(1_234_567 * (seed % 97));
        built.stack.resume(self.clock(now));
        let by_old: BTreeMap<SoId, u32> = refs.iter().map(|((_, so), to)| (*so, to.id())).collect();
        for so in &mut self.sockets {
            *so = so
                .and_then(|so| by_old.get(&so))
                .map(|id| built.sockets[id]);
        }
        assert_eq!(
            self.stack.next_callout().is_some(),
            built.stack.next_callout().is_some()
        );
        self.stack = built.stack;
        // What was restored is written again as it was.
        let (again, _) = image_of(&self.stack, self.clock(now)).unwrap();
        assert_eq!(
            bytes, again,
            "restoring and writing again changes the image"
        );
    }
}

impl World {
    fn new(moves: Moves) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            hosts: [Host::new(0), Host::new(1)],
            link: Link {
                latency: Duration::from_micros(10_123),
                jitter: 0,
                loss: 0,
                repeat: 0,
                rng: Rng::new(3, "link"),
                cut: false,
            },
            flight: BTreeMap::new(),
            sent: 0,
            moves: Moves::Nobody,
            moved: 0,
            log: Vec::new(),
            seen: BTreeSet::new(),
        };
        world.after(0);
        world.after(1);
        world.moves = moves;
        world.run(2_000);
        world
    }

    /// Sends what a host has to say, then replaces it.
    fn after(&mut self, host: usize) {
        while let Some((out, frame)) = self.hosts[host].stack.take_output() {
            assert_eq!(out, self.hosts[host].ether);
            self.log.push(format!("{:?} {host} {frame:02x?}", self.now));
            let link = &mut self.link;
            let copies = if link.rng.chance(link.repeat) { 2 } else { 1 };
            for _ in 0..copies {
                let lost = link.rng.chance(link.loss) || link.cut;
                let late = Duration::from_micros(link.rng.below(link.jitter + 1));
                if lost {
                    continue;
                }
                let at = self.now.plus(link.latency).plus(late);
                self.flight
                    .insert((at, self.sent), (1 - host, frame.clone()));
                self.sent += 1;
            }
        }
        while self.hosts[host].stack.take_wakeup().is_some() {}
        for host in &self.hosts {
            look(&host.stack, &mut self.seen);
        }
        for who in [0, 1] {
            if self.moves == Moves::Both || self.moves == Moves::Host(who) {
                self.moved += 1;
                self.hosts[who].replace(self.now, self.moved);
            }
        }
    }

    fn due(&self, host: usize) -> Option<Duration> {
        let host = &self.hosts[host];
        let at = host.stack.next_callout()?;
        Some(
            at.since(Instant::BOOT.after(host.uptime))
                .minus(Duration::ZERO),
        )
    }

    /// One event not after `end`.
    fn step(&mut self, end: Duration) -> bool {
        let frame = self.flight.first_key_value().map(|((at, _), _)| *at);
        let timers = [self.due(0), self.due(1)];
        let next = timers.into_iter().flatten().chain(frame).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        for (host, due) in timers.into_iter().enumerate() {
            if due.is_some_and(|due| due <= self.now) {
                let clock = self.hosts[host].clock(self.now);
                self.hosts[host].stack.run_callouts(clock);
                self.after(host);
                return true;
            }
        }
        let (_, (host, frame)) = self.flight.pop_first().unwrap();
        let clock = self.hosts[host].clock(self.now);
        let ether = self.hosts[host].ether;
        self.hosts[host].stack.input(clock, ether, &frame);
        self.after(host);
        true
    }

    fn run(&mut self, ms: u64) {
        let end = self.now.plus(Duration::from_millis(ms));
        while self.step(end) {}
        self.now = end;
    }

    fn call<R: std::fmt::Debug>(
        &mut self,
        host: usize,
        f: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R,
    ) -> R {
        let clock = self.hosts[host].clock(self.now);
        let result = self.hosts[host].stack.with_transports(clock, f);
        self.after(host);
        result
    }

    /// A call whose answer is part of the trace.
    fn ask<R: std::fmt::Debug>(
        &mut self,
        (host, n): Name,
        f: impl FnOnce(&mut Inet, &mut Cx<'_>, SoId) -> R,
    ) -> R {
        let so = self.hosts[host].sockets[n].unwrap_or(SoId(u64::MAX));
        let result = self.call(host, |inet, cx| f(inet, cx, so));
        self.log
            .push(format!("{:?} {host}/{n} {result:?}", self.now));
        result
    }

    fn name(&mut self, host: usize, so: SoId) -> Name {
        self.hosts[host].sockets.push(Some(so));
        (host, self.hosts[host].sockets.len() - 1)
    }

    fn socket(&mut self, host: usize, v6: bool, proto: Proto) -> Name {
        let domain = if v6 { Domain::Inet6 } else { Domain::Inet };
        let clock = self.hosts[host].clock(self.now);
        let so = self.hosts[host]
            .stack
            .with_transports(clock, |inet, cx| {
                let so = inet.socreate(cx, domain, proto)?;
                if let Some(entry) = inet.get_mut(so).filter(|_| v6) {
                    // One listener for both families.
                    entry.inp.set_v6only(false);
                }
                Ok::<_, Errno>(so)
            })
            .unwrap();
        let name = self.name(host, so);
        self.after(host);
        name
    }

    fn listener(&mut self, host: usize, port: u16, backlog: i32) -> Name {
        let so = self.socket(host, true, Proto::Tcp);
        let any = SocketAddr::new("::".parse().unwrap(), port);
        self.ask(so, |inet, cx, so| inet.sobind(cx, so, any))
            .unwrap();
        self.ask(so, |inet, cx, so| inet.solisten(cx, so, backlog))
            .unwrap();
        so
    }

    fn connect(&mut self, host: usize, to: SocketAddr) -> Name {
        let so = self.socket(host, to.is_ipv6(), Proto::Tcp);
        self.ask(so, |inet, cx, so| inet.soconnect(cx, so, to))
            .unwrap();
        so
    }

    fn accept(&mut self, listener: Name) -> Option<Name> {
        let (host, n) = listener;
        let so = self.hosts[host].sockets[n].unwrap();
        let clock = self.hosts[host].clock(self.now);
        let stack = &mut self.hosts[host].stack;
        let got = stack.with_transports(clock, |inet, cx| inet.soaccept(cx, so));
        let name = got.ok().map(|(so, peer)| {
            self.log.push(format!("accepted {peer}"));
            self.name(host, so)
        });
        self.after(host);
        name
    }

    fn send(&mut self, so: Name, data: &[u8]) -> Result<usize, SoError> {
        self.ask(so, |inet, cx, so| {
            inet.sosend(cx, so, data, SendFlags::default(), None)
        })
    }

    fn recv(&mut self, so: Name, len: usize) -> Result<Vec<u8>, SoError> {
        self.ask(so, |inet, cx, so| {
            inet.soreceive(cx, so, len, RecvFlags::default())
                .map(|got| got.data)
        })
    }

    fn shut(&mut self, so: Name, how: Shut) -> Result<(), Errno> {
        self.ask(so, |inet, cx, so| inet.soshutdown(cx, so, how))
    }

    fn send_to(&mut self, so: Name, data: &[u8], to: SocketAddr) -> Result<usize, SoError> {
        self.ask(so, |inet, cx, so| {
            inet.sosend(cx, so, data, SendFlags::default(), Some(to))
        })
    }

    fn bind(&mut self, so: Name, addr: SocketAddr) {
        self.ask(so, |inet, cx, so| inet.sobind(cx, so, addr))
            .unwrap();
    }

    fn close(&mut self, (host, n): Name) {
        let _ = self.ask((host, n), |inet, cx, so| inet.soclose(cx, so));
        self.hosts[host].sockets[n] = None;
    }

    fn setopt(&mut self, so: Name, level: i32, name: i32, value: i32) {
        self.ask(so, |inet, cx, so| {
            inet.sosetopt(cx, so, level, name, &value.to_le_bytes())
        })
        .unwrap();
    }

    fn sysctl(&mut self, host: usize, name: &str, value: i64) {
        self.call(host, |inet, cx| inet.sysctl_set(cx, name, value))
            .unwrap();
    }

    fn state(&self, (host, n): Name) -> Option<State> {
        let so = self.hosts[host].sockets[n]?;
        match &self.hosts[host].stack.transports().get(so)?.pcb {
            Pcb::Tcp(tp) => Some(tp.t_state),
            Pcb::Udp | Pcb::Raw => None,
        }
    }
}

/// Notes what is in a stack that a move must carry.
fn look(stack: &Vnet<Inet>, seen: &mut BTreeSet<String>) {
    let inet = stack.transports();
    let mut note = |there: bool, what: &str| {
        if there {
            seen.insert(what.to_owned());
        }
    };
    note(!inet.tcp.syncache.entries.is_empty(), "syncache");
    note(!inet.tcp.hostcache.entries.is_empty(), "hostcache");
    note(!inet.tcp.fastopen.clients.is_empty(), "cookie");
    note(!stack.ip.loopback.is_empty(), "loopback");
    let counted = stack.ip.bandlim.rates();
    let mut counted = counted.filter(|(_, rate)| rate.count > 0);
    note(counted.next().is_some(), "answers");
    note(!stack.ip.reass4.is_empty(), "fragments of IPv4");
    note(!stack.ip.reass6.is_empty(), "fragments of IPv6");
    for entry in inet.iter() {
        let so = &entry.so;
        let waits = so.sol.as_ref().map_or(0, |sol| sol.sol_comp.len());
        note(waits > 1, "accept queue");
        note(!so.so_rcv.records.is_empty(), "datagrams");
        note(
            so.so_rcv.records.iter().any(|r| !r.control.is_empty()),
            "control",
        );
        note(!so.so_rcv.bytes.is_empty(), "unread");
        note(so.so_oobmark != 0, "mark");
        note(so.so_error.is_some(), "error");
        let Pcb::Tcp(tp) = &entry.pcb else { continue };
        note(true, tp.t_state.name());
        for timer in Timer::ALL {
            note(tp.t_timers[timer as usize].is_some(), &format!("{timer:?}"));
        }
        note(!tp.t_segq.is_empty(), "segq");
        note(tp.t_segq.entries.len() > 1, "two holes");
        note(tp.t_segq.entries.iter().any(|e| e.fin), "FIN out of order");
        note(!tp.snd_holes.is_empty(), "scoreboard");
        note(tp.t_oobflags & 1 != 0, "urgent byte");
        note(tp.t_rxtshift > 1, "backoff");
        note(tp.t_tfo_pending.is_some(), "pending Fast Open");
        note(
            tp.t_tfo_pending_count.is_some_and(|n| n > 0),
            "counted Fast Open",
        );
        note(tp.t_challenge_ack.cnt > 0, "challenge");
        note(tp.t_ccv.cubic.t_epoch != 0, "epoch");
        note(tp.t_rtttime != 0, "timed segment");
        note(tp.t_softerror.is_some(), "soft error");
    }
}

/// Runs a scenario with nobody moving, then with each side and with both replaced after every event.
/// There must have been all of `wanted` to move.
fn invisible(wanted: &[&str], scenario: impl Fn(&mut World)) {
    let trace = |moves| {
        let mut world = World::new(moves);
        scenario(&mut world);
        for what in wanted {
            assert!(world.seen.contains(*what), "{what} not in {:?}", world.seen);
        }
        (world.log, world.moved)
    };
    let (there, _) = trace(Moves::Nobody);
    for moves in [Moves::Host(0), Moves::Host(1), Moves::Both] {
        let (here, moved) = trace(moves);
        assert!(moved > 10, "{moved} moves");
        let differ = there.iter().zip(&here).find(|(a, b)| a != b);
        assert_eq!(differ, None, "after {moved} moves");
        assert_eq!(there.len(), here.len());
    }
}

/// Connects, and accepts at the other side.
fn pair(world: &mut World, listener: Name, v6: bool) -> (Name, Name) {
    let client = world.connect(0, addr(1, 80, v6));
    world.run(200);
    let server = world.accept(listener).unwrap();
    (client, server)
}
