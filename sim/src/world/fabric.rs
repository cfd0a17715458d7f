// SPDX-License-Identifier: BSD-2-Clause
//! The network between the hosts of a world: one Ethernet switch, a cable to each host.
//!
//! Pure data: a frame that is sent becomes arrivals, which the world puts into its queue. Every
//! cable draws its faults from a stream of its own, so that one more frame on a cable shifts no
//! fault on another.

use crate::net::bridge::{Bridge, PortId};
use crate::net::link::{End, Link, WireConfig, WireStats};
use crate::rng::Rng;
use crate::time::Instant;

/// A frame on its way between a host and the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transit {
    /// It arrives at the switch, on the cable of this host.
    AtSwitch {
        /// Index of the host.
        host: usize,
        /// The frame.
        frame: Vec<u8>,
    },
    /// It arrives at this host.
    AtHost {
        /// Index of the host.
        host: usize,
        /// The frame.
        frame: Vec<u8>,
    },
}

struct Cable {
    link: Link,
    rng: Rng,
    port: PortId,
}

/// The switch with its cables.
pub struct Fabric {
    switch: Bridge,
    cables: Vec<Cable>,
}

impl Fabric {
    /// A switch with one cable for each configuration; host *i* has cable *i*.
    pub fn new(seed: u64, wires: &[WireConfig]) -> Self {
        let mut switch = Bridge::new();
        let cable = |(index, config): (usize, &WireConfig)| Cable {
            link: Link::new(*config),
            rng: Rng::new(seed, &format!("cable{index}")),
            port: switch.add_port(),
        };
        let cables = wires.iter().enumerate().map(cable).collect();
        Self { switch, cables }
    }

    /// A host sends a frame.
    pub fn send(&mut self, now: Instant, host: usize, frame: Vec<u8>) -> Vec<(Instant, Transit)> {
        let Some(cable) = self.cables.get_mut(host) else {
            return Vec::new();
        };
        let arrivals = cable.link.send(now, &mut cable.rng, End::A, frame);
        let transit = |frame| Transit::AtSwitch { host, frame };
        arrivals
            .into_iter()
            .map(|a| (a.at, transit(a.frame)))
            .collect()
    }

    /// A frame has come to the switch: it goes out by the ports that the switch finds for it.
    pub fn forward(&mut self, now: Instant, from: usize, frame: &[u8]) -> Vec<(Instant, Transit)> {
        let Some(port) = self.cables.get(from).map(|cable| cable.port) else {
            return Vec::new();
        };
        let mut transits = Vec::new();
        for out in self.switch.input(now, port, frame) {
            let found = self
                .cables
                .iter_mut()
                .enumerate()
                .find(|(_, cable)| cable.port == out);
            let Some((host, cable)) = found else { continue };
            for arrival in cable.link.send(now, &mut cable.rng, End::B, frame.to_vec()) {
                transits.push((
                    arrival.at,
                    Transit::AtHost {
                        host,
                        frame: arrival.frame,
                    },
                ));
            }
        }
        transits
    }

    /// Cuts the cable of a host, or mends it.
    pub fn set_cut(&mut self, host: usize, cut: bool) {
        if let Some(cable) = self.cables.get_mut(host) {
            cable.link.set_cut(cut);
        }
    }

    /// What became of the frames on the cable of a host: those it sent, those sent to it.
    pub fn stats(&self, host: usize) -> Option<(WireStats, WireStats)> {
        let link = &self.cables.get(host)?.link;
        Some((link.a_to_b.stats, link.b_to_a.stats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ether::{EtherHeader, MacAddr};

    fn frame(dst: u8, src: u8) -> Vec<u8> {
        let mac = |n| {
            if n == 0xff {
                MacAddr::BROADCAST
            } else {
                MacAddr([2, 0, 0, 0, 0, n])
            }
        };
        EtherHeader {
            dst: mac(dst),
            src: mac(src),
            kind: 0x0800,
        }
        .emit(&[0; 46])
    }

    fn hosts_reached(fabric: &mut Fabric, from: usize, frame: Vec<u8>) -> Vec<usize> {
        let mut reached = Vec::new();
        for (at, transit) in fabric.send(Instant::BOOT, from, frame) {
            let Transit::AtSwitch { host, frame } = transit else {
                panic!()
            };
            for (_, transit) in fabric.forward(at, host, &frame) {
                let Transit::AtHost { host, .. } = transit else {
                    panic!()
                };
                reached.push(host);
            }
        }
        reached
    }

    #[test]
    fn a_station_that_moved_is_found_behind_its_new_cable_once_it_speaks() {
        let mut fabric = Fabric::new(1, &[WireConfig::default(); 3]);
        assert_eq!(hosts_reached(&mut fabric, 0, frame(0xff, 7)), [1, 2]);
        assert_eq!(hosts_reached(&mut fabric, 2, frame(7, 9)), [0]);
        hosts_reached(&mut fabric, 1, frame(0xff, 7));
        assert_eq!(hosts_reached(&mut fabric, 2, frame(7, 9)), [1]);
    }

    #[test]
    fn nothing_passes_a_cut_cable() {
        let mut fabric = Fabric::new(1, &[WireConfig::default(); 3]);
        fabric.set_cut(1, true);
        assert_eq!(hosts_reached(&mut fabric, 0, frame(0xff, 7)), [2]);
        assert!(hosts_reached(&mut fabric, 1, frame(0xff, 8)).is_empty());
        fabric.set_cut(1, false);
        assert_eq!(hosts_reached(&mut fabric, 1, frame(0xff, 8)), [0, 2]);
    }
}
