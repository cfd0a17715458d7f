// SPDX-License-Identifier: BSD-2-Clause
//! Two stacks joined by a link, under one virtual clock: the smallest network there is.
//!
//! Everything goes over Ethernet frames, addresses resolved by ARP, as between two hosts. Host 0 has
//! 10.0.0.1, host 1 has 10.0.0.2.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use sim::net::cx::{Cx, SoError, SoId};
use sim::net::ether::MacAddr;
use sim::net::ifnet::{IfAddr, IfIndex, IfKind};
use sim::net::link::{End, Link, WireConfig};
use sim::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags};
use sim::net::tcp::TcpInfo;
use sim::net::vnet::Vnet;
use sim::rng::Rng;
use sim::time::{Duration, Instant};

/// A link that takes no time and loses nothing.
pub const CLEAN: WireConfig = WireConfig {
    latency: Duration::ZERO,
    bandwidth_bps: 0,
    queue_limit_bytes: 0,
    loss_ppm: 0,
    duplicate_ppm: 0,
    corrupt_ppm: 0,
    reorder_ppm: 0,
    reorder_delay: Duration::ZERO,
};

/// A frame on its way, ordered by arrival and then by sending.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    sent: u64,
    to: usize,
    frame: Vec<u8>,
}

/// Two hosts, 0 and 1, and the link between them.
pub struct TwoStacks {
    /// The hosts' stacks.
    pub stacks: [Vnet<Inet>; 2],
    /// Their interfaces on the link.
    pub ether: [IfIndex; 2],
    /// The link; host 0 is its end A.
    pub link: Link,
    /// The moment.
    pub now: Instant,
    rng: Rng,
    flying: BinaryHeap<Reverse<Flight>>,
    sent: u64,
}

impl TwoStacks {
    /// Two hosts on a link of this kind, which know each other's Ethernet addresses.
    ///
    /// # Panics
    /// Where `mtu` is none that an interface can have.
    pub fn new(seed: u64, mtu: u32, link: Link) -> Self {
        let host = |n: u8| {
            let mut stack = Vnet::new(seed, &format!("host{n}"), Inet::new);
            let addr = IfAddr {
                addr: [10, 0, 0, n].into(),
                prefix_len: 8,
            };
            let kind = IfKind::Ethernet { mac: mac(n) };
            let ether = stack
                .attach(Instant::BOOT, "epair0a", kind, mtu, &[addr])
                .expect("fresh addresses");
            (stack, ether)
        };
        let ((a, a_ether), (b, b_ether)) = (host(1), host(2));
        let mut two = Self {
            stacks: [a, b],
            ether: [a_ether, b_ether],
            link,
            now: Instant::BOOT.after(Duration::from_secs(10)),
            rng: Rng::new(seed, "link"),
            flying: BinaryHeap::new(),
            sent: 0,
        };
        for host in 0..2 {
            let peer = (two.ether[host], [10, 0, 0, 2 - host as u8].into());
            let to = mac(2 - host as u8);
            two.stacks[host].configure(two.now, |ip| ip.lltable_mut().add_static(peer, to));
            while two.stacks[host].take_output().is_some() {}
        }
        two
    }

    /// The address of a host.
    pub fn addr(&self, host: usize, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host as u8 + 1], port))
    }

    /// Makes a call on a host, and puts what it sends on the link.
    pub fn call<R>(&mut self, host: usize, f: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        let result = self.stacks[host].with_transports(self.now, f);
        self.flush(host);
        result
    }

    fn flush(&mut self, host: usize) {
        let from = if host == 0 { End::A } else { End::B };
        while let Some((_, frame)) = self.stacks[host].take_output() {
            for arrival in self.link.send(self.now, &mut self.rng, from, frame) {
                self.sent += 1;
                self.flying.push(Reverse(Flight {
                    at: arrival.at,
                    sent: self.sent,
                    to: 1 - host,
                    frame: arrival.frame,
                }));
            }
        }
        while self.stacks[host].take_wakeup().is_some() {}
    }

    /// Lets the next thing happen, unless that is after `end`; false where nothing is left to happen.
    pub fn step(&mut self, end: Instant) -> bool {
        let arrival = self.flying.peek().map(|Reverse(flight)| flight.at);
        let timers = [0, 1].map(|host| self.stacks[host].next_callout());
        let next = timers.iter().flatten().copied().chain(arrival).min();
        let Some(at) = next.filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        if arrival.is_some_and(|arrival| arrival <= at) {
            if let Some(Reverse(flight)) = self.flying.pop() {
                let to = flight.to;
                self.stacks[to].input(self.now, self.ether[to], flight.frame);
                self.flush(to);
            }
            return true;
        }
        for (host, timer) in timers.into_iter().enumerate() {
            if timer.is_some_and(|at| at <= self.now) {
                self.stacks[host].run_callouts(self.now);
                self.flush(host);
            }
        }
        true
    }

    /// Lets happen what happens in a span of time.
    pub fn run(&mut self, span: Duration) {
        let end = self.now.after(span);
        while self.step(end) {}
    }

    /// Lets happen what happens at this very moment.
    pub fn settle(&mut self) {
        self.run(Duration::ZERO);
    }

    /// A socket that does not block.
    ///
    /// # Panics
    /// Where the stack refuses.
    pub fn socket(&mut self, host: usize) -> SoId {
        let so = self.call(host, |inet, cx| {
            inet.socreate(cx, Domain::Inet, Proto::Tcp).inspect(|so| {
                inet.set_nonblocking(*so, true);
            })
        });
        so.expect("a socket")
    }

    /// A listener on a port.
    ///
    /// # Panics
    /// Where the stack refuses.
    pub fn listen(&mut self, host: usize, port: u16, backlog: i32) -> SoId {
        let so = self.socket(host);
        let addr = self.addr(host, port);
        self.call(host, |inet, cx| {
            inet.sobind(cx, so, addr)?;
            inet.solisten(cx, so, backlog)
        })
        .expect("a listener");
        so
    }

    /// Begins a connection from a host to a port of the other.
    ///
    /// # Panics
    /// Where the stack refuses.
    pub fn connect(&mut self, host: usize, port: u16) -> SoId {
        let so = self.socket(host);
        let addr = self.addr(1 - host, port);
        self.call(host, |inet, cx| inet.soconnect(cx, so, addr))
            .expect("a connection");
        so
    }

    /// A connection that waits at a listener, if there is one.
    pub fn accept(&mut self, host: usize, listener: SoId) -> Option<SoId> {
        self.call(host, |inet, cx| {
            let (so, _) = inet.soaccept(cx, listener).ok()?;
            inet.set_nonblocking(so, true);
            Some(so)
        })
    }

    /// A connection from host 0 to port 80 of host 1: its two ends.
    ///
    /// # Panics
    /// Where it is not established within ten seconds.
    pub fn pair(&mut self) -> (SoId, SoId) {
        let listener = self.listen(1, 80, 10);
        let client = self.connect(0, 80);
        self.run(Duration::from_secs(10));
        let server = self.accept(1, listener).expect("established");
        (client, server)
    }

    /// Sends what fits; how much that was.
    ///
    /// # Panics
    /// Where the connection is broken.
    pub fn send(&mut self, host: usize, so: SoId, data: &[u8]) -> usize {
        let sent = self.call(host, |inet, cx| {
            inet.sosend(cx, so, data, SendFlags::default(), None)
        });
        taken(sent).unwrap_or_default()
    }

    /// Receives what is there, `len` bytes at most.
    ///
    /// # Panics
    /// Where the connection is broken.
    pub fn recv(&mut self, host: usize, so: SoId, len: usize) -> Vec<u8> {
        let got = self.call(host, |inet, cx| {
            inet.soreceive(cx, so, len, RecvFlags::default())
        });
        taken(got).map(|got| got.data).unwrap_or_default()
    }

    /// What a program may know of a connection.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn info(&mut self, host: usize, so: SoId) -> TcpInfo {
        self.call(host, |inet, cx| inet.tcp_info(cx, so))
            .expect("a connection")
    }
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

/// What a call gave; nothing where it would block.
fn taken<T>(result: Result<T, SoError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(SoError::Blocked(_) | SoError::Errno(sim::errno::Errno::EWOULDBLOCK)) => None,
        Err(error) => panic!("the connection is broken: {error:?}"),
    }
}
