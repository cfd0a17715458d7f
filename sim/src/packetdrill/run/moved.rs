// SPDX-License-Identifier: BSD-2-Clause
//! A stack that moves to another host after everything that happens to it.
//!
//! A script that holds without moves must hold with them: to the script all is as if the stack
//! had stayed. Packets on their way out and wakeups are taken before a move, and the script keeps the
//! names of sockets that it was given.

use super::emulated::{Emulated, TunStack};
use super::stack::{Connection, MakeStack, Stack};
use crate::errno::Errno;
use crate::join::net_moved::moved;
use crate::kern::socklayer::{Received, SocketLayer};
use crate::net::cx::{SoError, SoId, Wakeup};
use crate::net::ether::MacAddr;
use crate::net::ifnet::IfKind;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// What a host has been up at most when the stack comes to it.
const UPTIME_MAX: u64 = 1_000_000;

/// Makes emulated stacks that move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moving {
    /// The stacks before their first move.
    pub emulated: Emulated,
}

/// A stack that moves.
pub struct MovingStack {
    stack: TunStack,
    /// The names that the script knows, and those of now; and back.
    names: BTreeMap<SoId, SoId>,
    known: BTreeMap<SoId, SoId>,
    next_name: u64,
    packets: VecDeque<Vec<u8>>,
    wakeups: VecDeque<Wakeup>,
    moves: u64,
    /// What the clock of the present host is ahead of the script's.
    ahead: Duration,
    /// Why a move failed, the first time.
    broken: Option<String>,
}

impl MakeStack for Moving {
    type Stack = MovingStack;

    fn make(&self, local: IpAddr, mtu: u32) -> MovingStack {
        MovingStack {
            stack: self.emulated.make(local, mtu),
            names: BTreeMap::new(),
            known: BTreeMap::new(),
            next_name: 1,
            packets: VecDeque::new(),
            wakeups: VecDeque::new(),
            moves: 0,
            ahead: Duration::ZERO,
            broken: None,
        }
    }
}

impl MovingStack {
    fn here(&self, now: Instant) -> Instant {
        now.after(self.ahead)
    }

    /// The present name of a socket that the script names.
    fn present(&self, so: SoId) -> SoId {
        self.names.get(&so).copied().unwrap_or(SoId(u64::MAX))
    }

    /// The script's name of a socket; a new one gets one.
    fn script_name(&mut self, so: SoId) -> SoId {
        if let Some(name) = self.known.get(&so) {
            return *name;
        }
        let name = SoId(self.next_name);
        self.next_name += 1;
        self.names.insert(name, so);
        self.known.insert(so, name);
        name
    }

    /// Does something to the stack, then moves it.
    fn act<R>(&mut self, now: Instant, act: impl FnOnce(&mut TunStack, Instant) -> R) -> R {
        let here = self.here(now);
        let result = act(&mut self.stack, here);
        self.go(now);
        result
    }

    fn go(&mut self, now: Instant) {
        while let Some(packet) = self.stack.take_packet() {
            self.packets.push_back(packet);
        }
        while let Some(Wakeup { so, what }) = self.stack.sockets().take_wakeup() {
            let so = self.script_name(so);
            self.wakeups.push_back(Wakeup { so, what });
        }
        let here = self.here(now);
        self.moves += 1;
        self.ahead = Duration::from_micros(self.moves.wrapping_mul(7_919_393) % UPTIME_MAX);
        let there = self.here(now);
        // The device of a tun is not the stack's, so the interface crosses as what an image has.
        let tun = self.stack.tun;
        let placeholder = IfKind::Ethernet {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
        };
        let mut parting = self.stack.vnet.clone();
        if let Some(ifnet) = parting.ip.ifnets.get_mut(&tun) {
            ifnet.kind = placeholder;
        }
        match moved(&parting, here, there, self.moves) {
            Ok((mut vnet, names)) => {
                if let Some(ifnet) = vnet.ip.ifnets.get_mut(&tun) {
                    ifnet.kind = IfKind::Tun;
                }
                self.stack.vnet = vnet;
                self.names.retain(|_, so| names.contains_key(so));
                for so in self.names.values_mut() {
                    *so = names.get(so).copied().unwrap_or(*so);
                }
                self.known = self.names.iter().map(|(name, so)| (*so, *name)).collect();
            }
            Err(why) => {
                self.broken.get_or_insert_with(|| format!("{why:?}"));
            }
        }
    }
}

impl Stack for MovingStack {
    fn sockets(&mut self) -> &mut dyn SocketLayer {
        self
    }

    fn inject(&mut self, now: Instant, packet: Vec<u8>) {
        self.act(now, |stack, here| stack.inject(here, packet));
    }

    fn take_packet(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }

    fn next_callout(&self) -> Option<Instant> {
        let at = self.stack.next_callout()?;
        let since = at.since(Instant::BOOT.after(self.ahead));
        Some(Instant::BOOT.after(since))
    }

    fn run_callouts(&mut self, now: Instant) {
        self.act(now, |stack, here| stack.run_callouts(here));
    }

    fn sysctl(&mut self, now: Instant, name: &str, value: &str) -> Result<(), Errno> {
        self.act(now, |stack, here| stack.sysctl(here, name, value))
    }

    fn connections(&self) -> Vec<Connection> {
        let mut all = self.stack.connections();
        for connection in &mut all {
            let name = connection.so.and_then(|so| self.known.get(&so));
            connection.so = name.copied();
        }
        all
    }

    fn drop_connections(&mut self, now: Instant, state: &str) {
        self.act(now, |stack, here| stack.drop_connections(here, state));
    }

    fn md5_key(&mut self, key: Option<(IpAddr, IpAddr, &str)>) {
        self.stack.md5_key(key);
    }

    fn broken(&self) -> Option<String> {
        self.broken.clone()
    }
}

impl SocketLayer for MovingStack {
    fn socreate(
        &mut self,
        now: Instant,
        domain: i32,
        kind: i32,
        proto: i32,
    ) -> Result<SoId, Errno> {
        let here = self.here(now);
        let so = self.stack.vnet.socreate(here, domain, kind, proto)?;
        let name = self.script_name(so);
        self.go(now);
        Ok(name)
    }

    fn sobind(&mut self, now: Instant, so: SoId, addr: SocketAddr) -> Result<(), Errno> {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.sobind(here, so, addr))
    }

    fn solisten(&mut self, now: Instant, so: SoId, backlog: i32) -> Result<(), Errno> {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.solisten(here, so, backlog))
    }

    fn soaccept(&mut self, now: Instant, so: SoId) -> Result<(SoId, SocketAddr), SoError> {
        let (so, here) = (self.present(so), self.here(now));
        let got = self.stack.vnet.soaccept(here, so);
        let got = got.map(|(so, peer)| (self.script_name(so), peer));
        self.go(now);
        got
    }

    fn soconnect(&mut self, now: Instant, so: SoId, addr: SocketAddr) -> Result<(), Errno> {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.soconnect(here, so, addr))
    }

    fn soconnected(&mut self, now: Instant, so: SoId) -> Result<(), SoError> {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.soconnected(here, so))
    }

    fn sosend(
        &mut self,
        now: Instant,
        so: SoId,
        data: &[u8],
        to: Option<SocketAddr>,
        flags: i32,
    ) -> Result<usize, SoError> {
        let so = self.present(so);
        self.act(now, |stack, here| {
            stack.vnet.sosend(here, so, data, to, flags)
        })
    }

    fn soreceive(
        &mut self,
        now: Instant,
        so: SoId,
        len: usize,
        flags: i32,
    ) -> Result<Received, SoError> {
        let so = self.present(so);
        self.act(now, |stack, here| {
            stack.vnet.soreceive(here, so, len, flags)
        })
    }

    fn soshutdown(&mut self, now: Instant, so: SoId, how: i32) -> Result<(), Errno> {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.soshutdown(here, so, how))
    }

    fn soclose(&mut self, now: Instant, so: SoId) -> Result<(), SoError> {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.soclose(here, so))
    }

    fn sosetopt(
        &mut self,
        now: Instant,
        so: SoId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let so = self.present(so);
        self.act(now, |stack, here| {
            stack.vnet.sosetopt(here, so, level, name, value)
        })
    }

    fn sogetopt(
        &mut self,
        now: Instant,
        so: SoId,
        level: i32,
        name: i32,
        len: usize,
    ) -> Result<Vec<u8>, Errno> {
        let so = self.present(so);
        self.act(now, |stack, here| {
            stack.vnet.sogetopt(here, so, level, name, len)
        })
    }

    fn sopoll(&mut self, now: Instant, so: SoId, events: u16) -> u16 {
        let so = self.present(so);
        self.act(now, |stack, here| stack.vnet.sopoll(here, so, events))
    }

    fn sotimeo(&mut self, so: SoId) -> (Duration, Duration) {
        let so = self.present(so);
        self.stack.vnet.sotimeo(so)
    }

    fn nosigpipe(&mut self, so: SoId) -> bool {
        let so = self.present(so);
        self.stack.vnet.nosigpipe(so)
    }

    fn sockname(&mut self, so: SoId) -> Result<SocketAddr, Errno> {
        let so = self.present(so);
        self.stack.vnet.sockname(so)
    }

    fn peername(&mut self, so: SoId) -> Result<SocketAddr, Errno> {
        let so = self.present(so);
        self.stack.vnet.peername(so)
    }

    fn take_wakeup(&mut self) -> Option<Wakeup> {
        self.wakeups.pop_front()
    }
}
