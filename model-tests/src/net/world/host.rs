// SPDX-License-Identifier: BSD-2-Clause
//! A host with its stack, and the router.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sim::join::net::moved::{image_of, stack_remapped};
use sim::join::net::sockets::SocketRefs;
use sim::join::net::values::in_addr;
use sim::net::cx::SoId;
use sim::net::ether::MacAddr;
use sim::net::ifnet::{IfAddr, IfIndex, IfKind};
use sim::net::socket::Inet;
use sim::net::vnet::Vnet;
use sim::time::{Duration, Instant};
use sim::world::translator::Translator;
use vpscore::collections::List;
use vpscore::net::{Mapping, Remap};

use super::plan::{MTU, Plan};

/// Networks that a host can be in.
pub(super) const NETWORKS: u8 = 3;

/// A stack on its way.
pub(super) struct Away {
    image: Vec<u8>,
    names: SocketRefs,
    pub(super) until: Duration,
    pub(super) held: Vec<Vec<u8>>,
    pub(super) queued: bool,
}

pub(super) struct Host {
    pub(super) stack: Vnet<Inet>,
    pub(super) ether: IfIndex,
    /// What the kernel's clock is ahead of the world's.
    pub(super) uptime: Duration,
    /// Its number.
    n: usize,
    /// Bits of its masks, by family.
    lens: [u8; 2],
    /// The network in which it is; at home in 0.
    network: u8,
    /// What stands before it in another network.
    translator: Translator,
    pub(super) away: Option<Away>,
    /// The highest marks that the buffers of its sockets ever had: receiving and sending.
    pub(super) marks: (u32, u32),
    /// Events since the buffers were empty.
    pub(super) since_empty: u32,
}

/// The address of a host.
pub(super) fn ip(host: usize, v6: bool) -> IpAddr {
    if v6 {
        format!("2001:db8:{}::1", host + 1)
            .parse()
            .expect("an address")
    } else {
        IpAddr::from([10, 0, host as u8 + 1, 1])
    }
}

/// The address of a host in one of [`NETWORKS`], on the same link.
pub(super) fn ip_in(host: usize, v6: bool, network: u8) -> IpAddr {
    match ip(host, v6) {
        IpAddr::V4(addr) => {
            let [a, b, c, d] = addr.octets();
            IpAddr::from([a, b, c, d + 50 * network])
        }
        IpAddr::V6(addr) => {
            let mut segments = addr.segments();
            segments[6] += 0x5a00 * u16::from(network);
            IpAddr::from(segments)
        }
    }
}

fn gateway(host: usize, v6: bool) -> IpAddr {
    if v6 {
        format!("2001:db8:{}::ff", host + 1)
            .parse()
            .expect("an address")
    } else {
        IpAddr::from([10, 0, host as u8 + 1, 254])
    }
}

pub(super) fn mac(node: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, node as u8 + 1]
}

fn attach(
    stack: &mut Vnet<Inet>,
    name: &str,
    node: usize,
    mtu: u32,
    addrs: [IpAddr; 2],
    lens: [u8; 2],
) -> IfIndex {
    let kind = IfKind::Ethernet {
        mac: MacAddr(mac(node)),
    };
    let [four, six] = addrs;
    let addrs =
        [(four, lens[0]), (six, lens[1])].map(|(addr, prefix_len)| IfAddr { addr, prefix_len });
    stack
        .attach(Instant::BOOT, name, kind, mtu, &addrs)
        .expect("fresh addresses")
}

impl Host {
    pub(super) fn new(n: usize, plan: &Plan) -> Self {
        let mut stack = Vnet::new(plan.seed, &format!("host{n}"), Inet::new);
        let lens = if plan.router.is_some() {
            [24, 64]
        } else {
            [16, 32]
        };
        let ether = attach(
            &mut stack,
            "epair0b",
            n,
            MTU,
            [ip(n, false), ip(n, true)],
            lens,
        );
        if plan.router.is_some() {
            for (zero, v6) in [
                (IpAddr::from([0; 4]), false),
                (IpAddr::from([0_u16; 8]), true),
            ] {
                stack
                    .ip
                    .route_add(zero, 0, gateway(n, v6))
                    .expect("a gateway on the link");
            }
        }
        let host = Self {
            stack,
            ether,
            n,
            lens,
            network: 0,
            translator: Translator::new(Remap::default()),
            uptime: Duration::from_millis(1_000 + 77_777 * n as u64),
            away: None,
            marks: (0, 0),
            since_empty: 0,
        };
        host.prepared(n, plan)
    }

    fn prepared(mut self, n: usize, plan: &Plan) -> Self {
        let clock = self.clock(Duration::ZERO);
        self.stack.with_transports(clock, |inet, cx| {
            for (name, value) in &plan.sysctls[n] {
                inet.sysctl_set(cx, name, *value)
                    .expect("a variable and its range");
            }
            if plan.kind.signed {
                for v6 in [false, true] {
                    inet.tcp_md5_key(ip(0, v6), ip(1, v6), b"there");
                    inet.tcp_md5_key(ip(1, v6), ip(0, v6), b"and back");
                }
            }
        });
        self
    }

    /// The same host once more.
    pub(super) fn duplicate(&self) -> Self {
        assert!(self.away.is_none(), "on its way");
        Self {
            stack: self.stack.clone(),
            translator: Translator::new(self.known(self.network)),
            away: None,
            ..*self
        }
    }

    pub(super) fn clock(&self, now: Duration) -> Instant {
        Instant::BOOT.after(self.uptime.plus(now))
    }

    pub(super) fn leave(&mut self, now: Duration, until: Duration, queued: bool) {
        while self.stack.take_wakeup().is_some() {}
        let (image, names) = image_of(&self.stack, self.clock(now)).expect("a stack that can move");
        self.away = Some(Away {
            image,
            names,
            until,
            held: Vec::new(),
            queued,
        });
        self.stack.suspend(self.clock(now));
    }

    /// From the addresses at home to those in another network.
    fn known(&self, network: u8) -> Remap {
        self.remap(0, network)
    }

    fn remap(&self, from: u8, to: u8) -> Remap {
        let mut mappings = List::new();
        for (v6, prefixlen) in [(false, self.lens[0]), (true, self.lens[1])] {
            let [from, to] = [from, to].map(|network| in_addr(ip_in(self.n, v6, network)));
            let router = None;
            let mapping = Mapping {
                from,
                to,
                prefixlen,
                router,
            };
            if from != to {
                mappings.push(mapping).expect("memory");
            }
        }
        Remap::new(mappings).expect("possible")
    }

    /// Its own address, where it is.
    pub(super) fn own(&self, v6: bool) -> IpAddr {
        ip_in(self.n, v6, self.network)
    }

    /// What it has to send next, as it is outside.
    pub(super) fn take_output(&mut self) -> Option<Vec<u8>> {
        let (_, frame) = self.stack.take_output()?;
        let mut passed = self.translator.outward(frame);
        assert!(passed.inward.is_empty() && passed.outward.len() == 1);
        passed.outward.pop()
    }

    /// A frame reaches it from outside.
    pub(super) fn input(&mut self, now: Duration, frame: &[u8]) {
        let clock = self.clock(now);
        for frame in self.translator.inward(frame.to_vec()).inward {
            self.stack.input(clock, self.ether, &frame);
        }
    }

    /// Goes on on a host that was booted at another time, in this network; gives the new names of
    /// sockets and the frames that waited.
    pub(super) fn arrive(
        &mut self,
        now: Duration,
        seed: u64,
        network: u8,
    ) -> (BTreeMap<SoId, SoId>, Vec<Vec<u8>>) {
        let away = self.away.take().expect("away");
        let remap = self.remap(self.network, network);
        let built = stack_remapped(&away.image, seed, &remap);
        let mut built = built.expect("an image that can be read, and addresses to be had");
        self.translator = Translator::new(self.known(network));
        self.network = network;
        self.uptime = Duration::from_micros(1_234_567 * (seed % 97));
        built.stack.resume(self.clock(now));
        let names = away.names.iter();
        let names = names.filter_map(|((_, old), to)| Some((*old, *built.sockets.get(&to.id())?)));
        let names = names.collect();
        self.stack = built.stack;
        (names, away.held)
    }
}

pub(super) fn router(plan: &Plan) -> Option<(Vnet<Inet>, [IfIndex; 2])> {
    let mtu = plan.router?.mtu;
    let mut stack = Vnet::new(plan.seed, "router", Inet::new);
    let sides = [0, 1].map(|n| {
        let addrs = [gateway(n, false), gateway(n, true)];
        attach(
            &mut stack,
            &format!("epair{n}b"),
            2 + n,
            mtu,
            addrs,
            [24, 64],
        )
    });
    for name in ["net.inet.ip.forwarding", "net.inet6.ip6.forwarding"] {
        stack.ip.sysctl_set(name, 1).expect("a known variable");
    }
    Some((stack, sides))
}
