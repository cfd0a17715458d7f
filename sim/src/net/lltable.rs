// SPDX-License-Identifier: BSD-2-Clause
//! Neighbours of Ethernet interfaces: the ARP table and the ND cache (`lltable`, `llentry`).
//!
//! ARP (`netinet/if_ether.c`, FreeBSD 15.0): a request goes out with a packet that needs it, at
//! most one a second; what waits is dropped, with the entry, 20 s after the last request; an entry
//! lives 20 minutes and is verified near its end if it was used. ND (`netinet6/nd6.c`, RFC 4861
//! section 7.3) has the states of the RFC and asks again by timer.
//!
//! - I1: an entry without a MAC address is [`LlState::Incomplete`], and only such an entry holds packets.
//! - I2: at most [`HOLD_MAX`] packets wait per entry (the oldest goes first) and there are at most
//!   [`ENTRIES_MAX`] entries.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::ether::MacAddr;
use super::ifnet::IfIndex;
use super::packet::OutPacket;
use crate::errno::Errno;
use crate::time::{Duration, Instant};

/// Packets that wait for one neighbour (`net.link.ether.inet.maxhold`, `net.inet6.icmp6.nd6_maxqueuelen`).
pub const HOLD_MAX: usize = 16;
/// Entries of a table.
pub const ENTRIES_MAX: usize = 4096;
/// Life of an ARP entry (`net.link.ether.inet.max_age`).
pub const ARP_KEEP: Duration = Duration::from_secs(20 * 60);
/// How long an unanswered ARP entry is kept (`net.link.ether.inet.wait`).
pub const ARP_DOWN: Duration = Duration::from_secs(20);
/// Requests before a sender learns that the host is down (`net.link.ether.inet.maxtries`).
pub const ARP_MAXTRIES: u8 = 5;
/// Between two requests or solicitations for one neighbour (`V_arpt_rexmit`, `RETRANS_TIMER`).
pub const RETRANS: Duration = Duration::from_secs(1);
/// How long a neighbour counts as reachable (`REACHABLE_TIME`; FreeBSD varies it by a half).
pub const ND_REACHABLE: Duration = Duration::from_secs(30);
/// `DELAY_FIRST_PROBE_TIME`.
pub const ND_DELAY: Duration = Duration::from_secs(5);
/// `MAX_MULTICAST_SOLICIT` and `MAX_UNICAST_SOLICIT`.
pub const ND_TRIES: u8 = 3;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlState {
    /// Asked for, not yet heard of.
    Incomplete,
    /// Known.
    Reachable,
    /// ND: known, perhaps no more true.
    Stale,
    /// ND: used though stale; probed unless confirmed soon.
    Delay,
    /// ND: being asked directly. ARP: being verified near the end of its life.
    Probe,
}

/// A neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlEntry {
    /// Its address, once known.
    pub mac: Option<MacAddr>,
    /// What is known.
    pub state: LlState,
    /// Requests since the last answer.
    pub asked: u8,
    /// When the last request went out.
    pub asked_at: Instant,
    /// When something has to be done about the entry; `None` for a stale or static one.
    pub deadline: Option<Instant>,
    /// Used since its deadline was set.
    pub used: bool,
    /// IP packets that wait for the address.
    pub hold: VecDeque<OutPacket>,
}

/// What becomes of a packet for a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Send it to this address.
    Send(MacAddr, OutPacket),
    /// It waits; a request or solicitation is to be sent where `ask` is set.
    Held {
        /// Send a request.
        ask: bool,
    },
    /// It is dropped and its sender told; a request is to be sent all the same where `ask` is set.
    Down {
        /// Send a request.
        ask: bool,
        /// What the sender is told.
        errno: Errno,
    },
}

/// What a timer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LlAction {
    /// Ask for this neighbour; directly where `unicast` is known.
    Ask {
        /// Interface.
        ifindex: IfIndex,
        /// Neighbour.
        addr: IpAddr,
        /// Its address so far.
        unicast: Option<MacAddr>,
    },
    /// The neighbour did not answer; this packet waited for it.
    Unreachable(OutPacket),
}

/// The neighbours of a vnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlTable {
    /// Entries by interface and address.
    pub entries: BTreeMap<(IfIndex, IpAddr), LlEntry>,
}

impl LlTable {
    /// Decides about an IP packet for a neighbour (`arpresolve`, `nd6_resolve`).
    ///
    /// `gateway` says that the neighbour is the next hop, not the destination itself.
    pub fn resolve(
        &mut self,
        now: Instant,
        (ifindex, addr): (IfIndex, IpAddr),
        packet: OutPacket,
        gateway: bool,
    ) -> Resolved {
        let room = self.entries.len() < ENTRIES_MAX;
        let v6 = addr.is_ipv6();
        if !room && !self.entries.contains_key(&(ifindex, addr)) {
            return Resolved::Down {
                ask: false,
                errno: Errno::ENOBUFS,
            };
        }
        let entry = self
            .entries
            .entry((ifindex, addr))
            .or_insert_with(|| LlEntry::incomplete(now));
        entry.used = true;
        if let Some(mac) = entry.mac {
            if entry.state == LlState::Stale {
                entry.state = LlState::Delay;
                entry.deadline = Some(now.after(ND_DELAY));
            }
            return Resolved::Send(mac, packet);
        }
        let due = entry.asked == 0 || !v6 && now.since(entry.asked_at) >= RETRANS;
        if due {
            entry.ask(now, if v6 { RETRANS } else { ARP_DOWN });
        }
        if !v6 && entry.asked > ARP_MAXTRIES {
            let errno = if gateway {
                Errno::EHOSTUNREACH
            } else {
                Errno::EHOSTDOWN
            };
            return Resolved::Down { ask: due, errno };
        }
        if entry.hold.len() >= HOLD_MAX {
            entry.hold.pop_front();
        }
        entry.hold.push_back(packet);
        Resolved::Held { ask: due }
    }

    /// Takes in what an ARP packet says of its sender; gives the packets that waited for it.
    ///
    /// An unknown sender is remembered only where `create` is set: it asked for one of our addresses.
    pub fn arp_heard(
        &mut self,
        now: Instant,
        at: (IfIndex, IpAddr),
        mac: MacAddr,
        create: bool,
    ) -> VecDeque<OutPacket> {
        let Some(entry) = self.entry_or_create(now, at, create) else {
            return VecDeque::new();
        };
        if entry.deadline.is_none() && entry.mac.is_some() {
            return VecDeque::new(); // a static entry is not changed by what is heard
        }
        entry.known(mac, LlState::Reachable, Some(now.after(ARP_KEEP)))
    }

    /// Takes in the link-layer address of the sender of a solicitation (`nd6_cache_lladdr`).
    pub fn nd_solicited_by(
        &mut self,
        now: Instant,
        at: (IfIndex, IpAddr),
        mac: MacAddr,
    ) -> VecDeque<OutPacket> {
        let Some(entry) = self.entry_or_create(now, at, true) else {
            return VecDeque::new();
        };
        if entry.mac == Some(mac) {
            return VecDeque::new();
        }
        if entry.hold.is_empty() {
            return entry.known(mac, LlState::Stale, None);
        }
        entry.known(mac, LlState::Delay, Some(now.after(ND_DELAY)))
    }

    /// Takes in a neighbour advertisement (`nd6_na_input`, RFC 4861 section 7.2.5).
    pub fn nd_advertised(
        &mut self,
        now: Instant,
        at: (IfIndex, IpAddr),
        mac: Option<MacAddr>,
        solicited: bool,
        overrides: bool,
    ) -> VecDeque<OutPacket> {
        let Some(entry) = self.entries.get_mut(&at) else {
            return VecDeque::new();
        };
        let reachable = Some(now.after(ND_REACHABLE));
        let (state, deadline) = if solicited {
            (LlState::Reachable, reachable)
        } else {
            (LlState::Stale, None)
        };
        match (entry.mac, mac) {
            (None, None) => VecDeque::new(),
            (None, Some(mac)) => entry.known(mac, state, deadline),
            (Some(old), Some(new)) if old != new && !overrides => {
                if entry.state == LlState::Reachable {
                    (entry.state, entry.deadline) = (LlState::Stale, None);
                }
                VecDeque::new()
            }
            (Some(old), new) => {
                let changed = new.is_some_and(|new| new != old);
                if solicited || changed {
                    return entry.known(new.unwrap_or(old), state, deadline);
                }
                VecDeque::new()
            }
        }
    }

    fn entry_or_create(
        &mut self,
        now: Instant,
        at: (IfIndex, IpAddr),
        create: bool,
    ) -> Option<&mut LlEntry> {
        if create && self.entries.len() < ENTRIES_MAX {
            return Some(
                self.entries
                    .entry(at)
                    .or_insert_with(|| LlEntry::incomplete(now)),
            );
        }
        self.entries.get_mut(&at)
    }

    /// Adds an entry that never changes (`arp -s`).
    pub fn add_static(&mut self, at: (IfIndex, IpAddr), mac: MacAddr) {
        let mut entry = LlEntry::incomplete(Instant::BOOT);
        entry.known(mac, LlState::Reachable, None);
        self.entries.insert(at, entry);
    }

    /// Forgets the neighbours of an interface.
    pub fn flush_interface(&mut self, ifindex: IfIndex) {
        self.entries.retain(|(at, _), _| *at != ifindex);
    }

    /// When the next timer is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.entries.values().filter_map(|e| e.deadline).min()
    }

    /// Runs the timers that are due.
    pub fn run(&mut self, now: Instant) -> Vec<LlAction> {
        let due: Vec<(IfIndex, IpAddr)> = self
            .entries
            .iter()
            .filter(|(_, e)| e.deadline.is_some_and(|d| d <= now))
            .map(|(at, _)| *at)
            .collect();
        let mut actions = Vec::new();
        for at in due {
            self.timer(now, at, &mut actions);
        }
        actions
    }

    fn timer(&mut self, now: Instant, at: (IfIndex, IpAddr), actions: &mut Vec<LlAction>) {
        let (ifindex, addr) = at;
        let Some(entry) = self.entries.get_mut(&at) else {
            return;
        };
        let tries = if addr.is_ipv6() {
            ND_TRIES
        } else {
            ARP_MAXTRIES
        };
        let ask = match entry.state {
            LlState::Incomplete => addr.is_ipv6() && entry.asked < tries,
            LlState::Probe => entry.asked < tries,
            LlState::Delay => true,
            // ARP verifies an entry that is in use; ND lets it grow stale.
            LlState::Reachable if addr.is_ipv4() => entry.used,
            LlState::Reachable | LlState::Stale => {
                (entry.state, entry.deadline) = (LlState::Stale, None);
                return;
            }
        };
        if !ask {
            if let Some(entry) = self.entries.remove(&at)
                && addr.is_ipv6()
            {
                actions.extend(entry.hold.into_iter().map(LlAction::Unreachable));
            }
            return;
        }
        if entry.state != LlState::Incomplete && entry.state != LlState::Probe {
            entry.state = LlState::Probe;
            entry.asked = 0;
        }
        entry.ask(now, RETRANS);
        let unicast = entry.mac.filter(|_| addr.is_ipv6());
        actions.push(LlAction::Ask {
            ifindex,
            addr,
            unicast,
        });
    }

    /// Moves every deadline from a clock that reads `from` to one that reads `to`.
    #[cfg(test)]
    pub fn shift(&mut self, from: Instant, to: Instant) {
        for entry in self.entries.values_mut() {
            entry.deadline = entry.deadline.map(|d| to.after(d.since(from)));
            let age = from.since(entry.asked_at).as_nanos();
            entry.asked_at = Instant::from_nanos(to.as_nanos().saturating_sub(age));
        }
    }
}

impl LlEntry {
    fn incomplete(now: Instant) -> Self {
        Self {
            mac: None,
            state: LlState::Incomplete,
            asked: 0,
            asked_at: now,
            deadline: None,
            used: false,
            hold: VecDeque::new(),
        }
    }

    fn ask(&mut self, now: Instant, wait: Duration) {
        self.asked = self.asked.saturating_add(1);
        self.asked_at = now;
        self.deadline = Some(now.after(wait));
    }

    /// The address is known from now on; gives the packets that waited.
    fn known(
        &mut self,
        mac: MacAddr,
        state: LlState,
        deadline: Option<Instant>,
    ) -> VecDeque<OutPacket> {
        self.mac = Some(mac);
        self.state = state;
        self.asked = 0;
        self.used = false;
        self.deadline = deadline;
        std::mem::take(&mut self.hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
    const BOOT: Instant = Instant::BOOT;

    fn at(addr: &str) -> (IfIndex, IpAddr) {
        (IfIndex(1), addr.parse().unwrap())
    }

    fn packet(bytes: &[u8]) -> OutPacket {
        OutPacket::of(&[bytes])
    }

    fn secs(s: u64) -> Instant {
        BOOT.after(Duration::from_secs(s))
    }

    #[test]
    fn arp_asks_once_a_second_with_traffic_and_then_says_host_down() {
        let mut table = LlTable::default();
        let peer = at("10.0.0.2");
        let mut send = |t: Instant| table.resolve(t, peer, packet(&[1]), false);
        assert_eq!(send(secs(0)), Resolved::Held { ask: true });
        assert_eq!(send(secs(0)), Resolved::Held { ask: false });
        for s in 1..5 {
            assert_eq!(send(secs(s)), Resolved::Held { ask: true });
        }
        let down = Resolved::Down {
            ask: true,
            errno: Errno::EHOSTDOWN,
        };
        assert_eq!(send(secs(5)), down);
        assert_eq!(table.next_deadline(), Some(secs(25)));
        assert_eq!(table.run(secs(25)), []);
        assert!(table.entries.is_empty());
    }

    #[test]
    fn packets_wait_in_order_and_the_oldest_gives_way() {
        let mut table = LlTable::default();
        let peer = at("10.0.0.2");
        for n in 0..=HOLD_MAX as u8 {
            table.resolve(BOOT, peer, packet(&[n]), false);
        }
        let held = table.arp_heard(BOOT, peer, MAC, false);
        assert_eq!(held.len(), HOLD_MAX);
        assert_eq!(held[0].bytes(), [1]);
        assert_eq!(
            table.resolve(BOOT, peer, packet(&[7]), false),
            Resolved::Send(MAC, packet(&[7]))
        );
    }

    #[test]
    fn an_arp_entry_in_use_is_verified_and_an_idle_one_goes() {
        let mut table = LlTable::default();
        let (used, idle) = (at("10.0.0.2"), at("10.0.0.3"));
        for peer in [used, idle] {
            table.arp_heard(BOOT, peer, MAC, true);
        }
        table.resolve(BOOT, used, packet(&[]), false);
        let end = BOOT.after(ARP_KEEP);
        let asked = table.run(end);
        assert_eq!(asked.len(), 1);
        assert!(!table.entries.contains_key(&idle));
        table.arp_heard(end, used, MAC, false);
        assert_eq!(table.entries[&used].state, LlState::Reachable);
    }

    #[test]
    fn strangers_are_remembered_only_when_they_ask_for_us() {
        let mut table = LlTable::default();
        table.arp_heard(BOOT, at("10.0.0.2"), MAC, false);
        assert!(table.entries.is_empty());
    }

    #[test]
    fn nd_asks_three_times_and_reports_what_waited() {
        let mut table = LlTable::default();
        let peer = at("fe80::2");
        let held = table.resolve(BOOT, peer, packet(&[6]), false);
        assert_eq!(held, Resolved::Held { ask: true });
        for s in 1..3 {
            assert!(matches!(table.run(secs(s))[..], [LlAction::Ask { .. }]));
        }
        assert_eq!(table.run(secs(3)), [LlAction::Unreachable(packet(&[6]))]);
        assert!(table.entries.is_empty());
    }

    #[test]
    fn nd_entry_grows_stale_and_is_probed_when_used() {
        let mut table = LlTable::default();
        let peer = at("fe80::2");
        table.resolve(BOOT, peer, packet(&[6]), false);
        table.nd_advertised(BOOT, peer, Some(MAC), true, true);
        assert_eq!(table.run(secs(30)), []);
        assert_eq!(table.entries[&peer].state, LlState::Stale);
        table.resolve(secs(31), peer, packet(&[6]), false);
        assert_eq!(table.entries[&peer].state, LlState::Delay);
        let probe = table.run(secs(36));
        assert_eq!(
            probe,
            [LlAction::Ask {
                ifindex: peer.0,
                addr: peer.1,
                unicast: Some(MAC)
            }]
        );
        table.nd_advertised(secs(36), peer, None, true, true);
        assert_eq!(table.entries[&peer].state, LlState::Reachable);
    }

    #[test]
    fn an_unsolicited_override_replaces_the_address() {
        let mut table = LlTable::default();
        let peer = at("fe80::2");
        table.nd_solicited_by(BOOT, peer, MacAddr([2; 6]));
        table.nd_advertised(BOOT, peer, Some(MAC), false, false);
        assert_eq!(table.entries[&peer].mac, Some(MacAddr([2; 6])));
        table.nd_advertised(BOOT, peer, Some(MAC), false, true);
        assert_eq!(table.entries[&peer].mac, Some(MAC));
        assert_eq!(table.entries[&peer].state, LlState::Stale);
    }
}
