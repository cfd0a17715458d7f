// SPDX-License-Identifier: BSD-2-Clause
//! A host with its stack, and the router.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sim::join::net_moved::{image_of, stack_of};
use sim::join::net_sockets::SocketRefs;
use sim::net::cx::SoId;
use sim::net::ether::MacAddr;
use sim::net::ifnet::{IfAddr, IfIndex, IfKind};
use sim::net::socket::Inet;
use sim::net::vnet::Vnet;
use sim::time::{Duration, Instant};

use super::plan::{MTU, Plan};

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

    /// Goes on on a host that was booted at another time; gives the new names of sockets and the
    /// frames that waited.
    pub(super) fn arrive(
        &mut self,
        now: Duration,
        seed: u64,
    ) -> (BTreeMap<SoId, SoId>, Vec<Vec<u8>>) {
        let away = self.away.take().expect("away");
        let mut built = stack_of(&away.image, seed).expect("an image that can be read");
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
