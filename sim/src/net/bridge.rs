// SPDX-License-Identifier: BSD-2-Clause
//! A learning bridge: joins the outer ends of epairs and a host's uplink (`if_bridge`).
//!
//! Addresses are learned from the sources of frames, forgotten after twenty minutes, and move with
//! the last frame seen (`bridge_rtupdate`, `net/if_bridge.c`, FreeBSD 15.0): that is how an instance
//! that announces itself on another host is found there. There is no spanning tree: whoever builds
//! a world keeps it free of loops.

use std::collections::BTreeMap;

use super::ether::{EtherHeader, MacAddr};
use crate::time::{Duration, Instant};

/// Addresses that a bridge remembers (`BRIDGE_RTABLE_MAX`).
pub const RTABLE_MAX: usize = 2000;
/// How long an address is remembered (`BRIDGE_RTABLE_TIMEOUT`).
pub const RTABLE_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// A member of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

/// A learning bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    ports: Vec<PortId>,
    next_port: u32,
    rtable: BTreeMap<MacAddr, (PortId, Instant)>,
}

impl Bridge {
    /// A bridge without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member; its name is never used again.
    pub fn add_port(&mut self) -> PortId {
        let port = PortId(self.next_port);
        self.next_port += 1;
        self.ports.push(port);
        port
    }

    /// Takes a member out, with what was learned behind it. False where it was none.
    pub fn delete_port(&mut self, port: PortId) -> bool {
        let members = self.ports.len();
        self.ports.retain(|p| *p != port);
        self.rtable.retain(|_, (at, _)| *at != port);
        self.ports.len() < members
    }

    /// The members in the order of addition.
    pub fn ports(&self) -> &[PortId] {
        &self.ports
    }

    /// Where an address was seen last, as far as it is still remembered.
    pub fn port_of(&self, now: Instant, mac: MacAddr) -> Option<PortId> {
        self.rtable
            .get(&mac)
            .filter(|(_, expire)| *expire > now)
            .map(|(port, _)| *port)
    }

    /// Takes a frame in from a member; gives the members that it goes out by.
    pub fn input(&mut self, now: Instant, from: PortId, frame: &[u8]) -> Vec<PortId> {
        let Some((header, _)) = EtherHeader::parse(frame) else {
            return Vec::new();
        };
        if !self.ports.contains(&from) || header.src.is_group() {
            return Vec::new();
        }
        self.learn(now, header.src, from);
        let known = if header.dst.is_group() {
            None
        } else {
            self.port_of(now, header.dst)
        };
        match known {
            Some(to) if to == from => Vec::new(),
            Some(to) => vec![to],
            None => self.ports.iter().copied().filter(|p| *p != from).collect(),
        }
    }

    fn learn(&mut self, now: Instant, mac: MacAddr, port: PortId) {
        if self.rtable.len() >= RTABLE_MAX && !self.rtable.contains_key(&mac) {
            self.rtable.retain(|_, (_, expire)| *expire > now);
            if self.rtable.len() >= RTABLE_MAX {
                return;
            }
        }
        self.rtable.insert(mac, (port, now.after(RTABLE_TIMEOUT)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u16) -> MacAddr {
        let [a, b] = n.to_be_bytes();
        MacAddr([2, 0, 0, 0, a, b])
    }

    fn frame(src: MacAddr, dst: MacAddr) -> Vec<u8> {
        EtherHeader {
            dst,
            src,
            kind: 0x0800,
        }
        .emit(&[])
    }

    const NOW: Instant = Instant::BOOT;

    #[test]
    fn unknown_and_group_frames_flood_and_known_ones_go_one_way() {
        let mut bridge = Bridge::new();
        let [a, b, c] = std::array::from_fn(|_| bridge.add_port());
        assert_eq!(bridge.input(NOW, a, &frame(mac(1), mac(2))), [b, c]);
        assert_eq!(bridge.input(NOW, b, &frame(mac(2), mac(1))), [a]);
        assert_eq!(bridge.input(NOW, a, &frame(mac(1), mac(2))), [b]);
        assert_eq!(
            bridge.input(NOW, a, &frame(mac(1), MacAddr::BROADCAST)),
            [b, c]
        );
        assert_eq!(bridge.input(NOW, b, &frame(mac(3), mac(2))), []);
    }

    #[test]
    fn an_address_moves_with_its_last_frame() {
        let mut bridge = Bridge::new();
        let [a, b] = std::array::from_fn(|_| bridge.add_port());
        bridge.input(NOW, a, &frame(mac(1), MacAddr::BROADCAST));
        bridge.input(NOW, b, &frame(mac(1), MacAddr::BROADCAST));
        assert_eq!(bridge.port_of(NOW, mac(1)), Some(b));
    }

    #[test]
    fn learned_addresses_expire_and_go_with_their_port() {
        let mut bridge = Bridge::new();
        let [a, b] = std::array::from_fn(|_| bridge.add_port());
        bridge.input(NOW, a, &frame(mac(1), mac(9)));
        bridge.input(NOW, b, &frame(mac(2), mac(9)));
        let end = NOW.after(RTABLE_TIMEOUT);
        assert_eq!(bridge.port_of(end, mac(1)), None);
        assert!(bridge.delete_port(b));
        assert!(!bridge.delete_port(b));
        assert_eq!(bridge.port_of(NOW, mac(2)), None);
        assert_eq!(bridge.input(NOW, b, &frame(mac(2), mac(9))), []);
    }

    #[test]
    fn a_full_table_floods_but_learns_no_more() {
        let mut bridge = Bridge::new();
        let [a, b] = std::array::from_fn(|_| bridge.add_port());
        for n in 0..=RTABLE_MAX as u16 {
            bridge.input(NOW, a, &frame(mac(n), mac(9)));
        }
        let last = mac(RTABLE_MAX as u16);
        assert_eq!(bridge.port_of(NOW, last), None);
        let later = NOW.after(RTABLE_TIMEOUT);
        bridge.input(later, b, &frame(last, mac(9)));
        assert_eq!(bridge.port_of(later, last), Some(b));
    }
}
