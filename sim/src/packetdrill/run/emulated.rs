// SPDX-License-Identifier: BSD-2-Clause
//! The emulated FreeBSD stack, for scripts: a vnet whose one interface is a `tun(4)`.

use super::stack::{Connection, MakeStack, Stack};
use crate::errno::Errno;
use crate::kern::socklayer::SocketLayer;
use crate::net::cx::SoId;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::socket::{Inet, Pcb};
use crate::net::stack::InetVnet;
use crate::net::vnet::Vnet;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

/// Prefix length of the interface's address: the script's side is behind the route, not on it.
const PREFIX_V4: u8 = 16;
const PREFIX_V6: u8 = 64;

/// Makes emulated stacks; all draw from one seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Emulated {
    /// The seed of initial sequence numbers, timestamp offsets and the like.
    pub seed: u64,
}

/// A vnet behind a tun.
pub struct TunStack {
    pub(super) vnet: InetVnet,
    pub(super) tun: IfIndex,
}

impl MakeStack for Emulated {
    type Stack = TunStack;

    fn make(&self, local: IpAddr, mtu: u32) -> TunStack {
        let mut vnet = Vnet::new(self.seed, "packetdrill", Inet::new);
        let prefix_len = if local.is_ipv4() {
            PREFIX_V4
        } else {
            PREFIX_V6
        };
        let addr = IfAddr {
            addr: local,
            prefix_len,
        };
        let tun = match vnet.attach(Instant::BOOT, "tun0", IfKind::Tun, mtu, &[addr]) {
            Ok(tun) => tun,
            Err(errno) => unreachable!("an empty vnet refuses its first address: {errno}"),
        };
        let any: IpAddr = if local.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let routed = vnet.configure(Instant::BOOT, |ip| ip.route_add_interface(any, 0, tun));
        debug_assert_eq!(routed, Ok(()), "an empty vnet has no default route yet");
        TunStack { vnet, tun }
    }
}

impl Stack for TunStack {
    fn sockets(&mut self) -> &mut dyn SocketLayer {
        &mut self.vnet
    }

    fn inject(&mut self, now: Instant, packet: Vec<u8>) {
        self.vnet.input(now, self.tun, &packet);
    }

    fn take_packet(&mut self) -> Option<Vec<u8>> {
        while let Some((out, packet)) = self.vnet.take_output() {
            if out == self.tun {
                return Some(packet);
            }
        }
        None
    }

    fn next_callout(&self) -> Option<Instant> {
        self.vnet.next_callout()
    }

    fn run_callouts(&mut self, now: Instant) {
        self.vnet.run_callouts(now);
    }

    fn sysctl(&mut self, now: Instant, name: &str, value: &str) -> Result<(), Errno> {
        // The one variable of these whose value is a word.
        if name == "net.inet.tcp.cc.algorithm" {
            return self
                .vnet
                .with_transports(now, |inet, _| inet.cc_algorithm_set(value));
        }
        let value = value.trim().parse::<i64>().map_err(|_| Errno::EINVAL)?;
        let set = self
            .vnet
            .with_transports(now, |inet, cx| inet.sysctl_set(cx, name, value));
        match set {
            Err(Errno::ENOENT) => self.vnet.configure(now, |ip| ip.sysctl_set(name, value)),
            set => set,
        }
    }

    fn connections(&self) -> Vec<Connection> {
        let inet = self.vnet.transports();
        let sockets = inet.iter().filter_map(|entry| {
            let Pcb::Tcp(tp) = &entry.pcb else {
                return None;
            };
            let inc = entry.inp.inc;
            Some(Connection {
                so: Some(entry.so.id),
                local: SocketAddr::new(inc.laddr, inc.lport),
                foreign: SocketAddr::new(inc.faddr, inc.fport),
                state: tp.t_state.name(),
            })
        });
        // sockstat(1) shows embryonic connections too: net.inet.tcp.pcblist has the SYN cache.
        let embryos = inet.tcp.syncache.entries.keys().map(|inc| Connection {
            so: None,
            local: SocketAddr::new(inc.laddr, inc.lport),
            foreign: SocketAddr::new(inc.faddr, inc.fport),
            state: "SYN_RCVD",
        });
        sockets.chain(embryos).collect()
    }

    fn drop_connections(&mut self, now: Instant, state: &str) {
        let in_state = |tp: &crate::net::tcp::Tcpcb| tp.t_state.name() == state;
        let inet = self.vnet.transports();
        let doomed: Vec<SoId> = inet
            .iter()
            .filter(|entry| matches!(&entry.pcb, Pcb::Tcp(tp) if in_state(tp)))
            .map(|entry| entry.so.id)
            .collect();
        for so in doomed {
            self.vnet.with_transports(now, |inet, cx| {
                inet.with_conn(so, cx, |conn| {
                    conn.drop_connection(Some(Errno::ECONNABORTED))
                })
            });
        }
    }

    fn md5_key(&mut self, key: Option<(IpAddr, IpAddr, &str)>) {
        self.vnet.with_transports(Instant::BOOT, |inet, _| {
            let keys = &mut inet.tcp.md5_keys.by_pair;
            match key {
                Some((src, dst, key)) => drop(keys.insert((src, dst), key.as_bytes().to_vec())),
                None => keys.clear(),
            }
        });
    }
}
