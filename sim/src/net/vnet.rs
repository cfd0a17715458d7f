// SPDX-License-Identifier: BSD-2-Clause
//! A vnet: one whole network stack, of a host or of an instance.
//!
//! It joins the IP layer to the transports and keeps what both need: the moment, random numbers,
//! wakeups for the kernel above. It is entered by frames, by callouts and by the socket calls of the
//! kernel; what it has to say afterwards is taken out frame by frame and wakeup by wakeup.
//!
//! - I1: everything that arrived has reached its transport when a call returns, but for the
//!   loopback queue, which is a callout.
//! - I2: a suspended vnet does nothing: no input, no timers, no calls. Frames for it are lost as on
//!   a wire; what it sent before is on the wire already.
//! - I3: a vnet lives by a clock of its own, which stands still while it is suspended and which it
//!   takes along when it moves. So every timer keeps what it has left, no round trip is measured
//!   across a pause, and timestamps (RFC 7323) never go back.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::cx::{Cx, IcmpError, Wakeup};
use super::ifnet::{IfAddr, IfIndex, IfKind};
use super::ip::{Delivery, IpStack, LOMTU};
use super::packet::{IpPacket, Mbuf};
use crate::errno::Errno;
use crate::rng::Rng;
use crate::time::Instant;

/// Why a transport did not want a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// Nobody has the port.
    Port,
    /// The protocol is not spoken here.
    Protocol,
    /// It is dropped in silence.
    Silently,
}

/// A packet that no transport wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why not.
    pub why: Unwanted,
    /// The packet.
    pub packet: IpPacket,
}

/// The transport half of a vnet.
pub trait Transport {
    /// Takes in a packet for this host; `group` where it came as broadcast or multicast.
    ///
    /// # Errors
    /// Why it was not wanted, with the packet; the IP layer tells the sender.
    fn input(&mut self, cx: &mut Cx<'_>, packet: IpPacket, group: bool) -> Result<(), Refused>;

    /// Takes in an ICMP error about a packet from `src` to `dst` of this host, of whose transport
    /// header and data `quoted` is the beginning.
    fn ctlinput(
        &mut self,
        cx: &mut Cx<'_>,
        error: IcmpError,
        ends: (IpAddr, IpAddr),
        proto: u8,
        quoted: &[u8],
    );

    /// When the next timer is due.
    fn next_callout(&self) -> Option<Instant>;

    /// Runs the timers that are due.
    fn run_callouts(&mut self, cx: &mut Cx<'_>);
}

/// A network stack with transports `T`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vnet<T> {
    /// The IP layer: interfaces, addresses, routes.
    pub ip: IpStack,
    /// The transports and their sockets.
    pub(crate) transports: T,
    pub(crate) rng: Rng,
    pub(crate) wakeups: VecDeque<Wakeup>,
    /// Memory for the wakeups of one call; empty between calls.
    woken: Vec<Wakeup>,
    /// The vnet's own clock when it was suspended.
    pub(crate) suspended_at: Option<Instant>,
    /// What the vnet's own clock is ahead of the kernel's, in nanoseconds.
    pub(crate) clock_ahead: i64,
    /// Frames that were lost because the vnet was suspended.
    pub(crate) lost_suspended: u64,
}

impl<T: Transport> Vnet<T> {
    /// A stack with `lo0` and its addresses. `make` gets the transports' random numbers.
    ///
    /// `label` names the streams of random numbers, so it is different for every vnet of a world.
    pub fn new(seed: u64, label: &str, make: impl FnOnce(&mut Rng) -> T) -> Self {
        let mut ip = IpStack::new(Rng::new(seed, &format!("{label}/ip")));
        let lo = ip.if_attach("lo0", IfKind::Loopback, LOMTU);
        let loopback = [
            (IpAddr::from([127, 0, 0, 1]), 8),
            (std::net::Ipv6Addr::LOCALHOST.into(), 128),
        ];
        for (addr, prefix_len) in loopback {
            let added = ip.ifaddr_add(lo, IfAddr { addr, prefix_len });
            debug_assert_eq!(added, Ok(()));
        }
        let mut rng = Rng::new(seed, &format!("{label}/transports"));
        Self {
            ip,
            transports: make(&mut rng),
            rng,
            wakeups: VecDeque::new(),
            woken: Vec::new(),
            suspended_at: None,
            clock_ahead: 0,
            lost_suspended: 0,
        }
    }

    /// Takes in a frame from the link of an interface.
    ///
    /// A frame that is given away is not copied again.
    pub fn input(&mut self, now: Instant, ifindex: IfIndex, frame: impl Into<Mbuf>) {
        if self.suspended_at.is_some() {
            self.lost_suspended += 1;
            return;
        }
        self.ip.set_now(self.local(now));
        self.ip.input(ifindex, frame);
        self.deliver(now);
    }

    /// Runs a call into the transports (the `so*` calls) with everything they need.
    ///
    /// The kernel makes no calls for a suspended instance: its threads are suspended with it.
    pub fn with_transports<R>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut T, &mut Cx<'_>) -> R,
    ) -> R {
        debug_assert!(self.suspended_at.is_none(), "a suspended vnet does nothing");
        let now = self.local(now);
        self.ip.set_now(now);
        let mut wakeups = std::mem::take(&mut self.woken);
        let mut cx = Cx {
            now,
            ip: &mut self.ip,
            rng: &mut self.rng,
            wakeups: &mut wakeups,
        };
        let result = call(&mut self.transports, &mut cx);
        for wakeup in wakeups.drain(..) {
            if self.wakeups.back() != Some(&wakeup) {
                self.wakeups.push_back(wakeup);
            }
        }
        self.woken = wakeups;
        result
    }

    /// The transports, to be looked at.
    pub fn transports(&self) -> &T {
        &self.transports
    }

    /// When the vnet next has something to do by itself; `None` while it is suspended.
    pub fn next_callout(&self) -> Option<Instant> {
        if self.suspended_at.is_some() {
            return None;
        }
        let local = match (self.ip.next_callout(), self.transports.next_callout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        local.map(|at| self.of_kernel(at))
    }

    /// Runs every callout that is due.
    pub fn run_callouts(&mut self, now: Instant) {
        if self.suspended_at.is_some() {
            return;
        }
        self.ip.set_now(self.local(now));
        self.ip.run_callouts();
        self.deliver(now);
        self.with_transports(now, |transports, cx| transports.run_callouts(cx));
    }

    /// The next frame for the link of an interface.
    pub fn take_output(&mut self) -> Option<(IfIndex, Vec<u8>)> {
        self.ip.take_output()
    }

    /// The next socket whose sleepers should look again.
    pub fn take_wakeup(&mut self) -> Option<Wakeup> {
        self.wakeups.pop_front()
    }

    /// True while the vnet is suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }

    /// Stops everything, the vnet's own clock too.
    pub fn suspend(&mut self, now: Instant) {
        let local = self.local(now);
        self.suspended_at.get_or_insert(local);
    }

    /// Goes on where the vnet was suspended.
    pub fn resume(&mut self, now: Instant) {
        if let Some(local) = self.suspended_at.take() {
            self.set_local(now, local);
        }
    }

    /// Announces the vnet's addresses on its Ethernets, as after a move.
    pub fn announce(&mut self, now: Instant) {
        self.configure(now, IpStack::announce);
    }

    /// Sets the moment before interfaces or addresses are changed, which may send announcements.
    pub fn configure<R>(&mut self, now: Instant, change: impl FnOnce(&mut IpStack) -> R) -> R {
        self.ip.set_now(self.local(now));
        change(&mut self.ip)
    }

    /// Hands what arrived to the transports.
    fn deliver(&mut self, now: Instant) {
        while let Some(delivery) = self.ip.take_delivery() {
            match delivery {
                Delivery::Packet {
                    packet,
                    id,
                    broadcast,
                    rcvif,
                } => {
                    let taken = self.with_transports(now, |t, cx| t.input(cx, packet, broadcast));
                    let Err(Refused { why, packet }) = taken else {
                        continue;
                    };
                    let code = match why {
                        Unwanted::Port => 3,
                        Unwanted::Protocol => 2,
                        Unwanted::Silently => continue,
                    };
                    if !broadcast {
                        self.ip.icmp_unreach(rcvif, code, id, &packet);
                    }
                }
                Delivery::Error {
                    error,
                    src,
                    dst,
                    proto,
                    quoted,
                } => self.with_transports(now, |t, cx| {
                    t.ctlinput(cx, error, (src, dst), proto, &quoted);
                }),
            }
        }
    }
}

impl<T> Vnet<T> {
    /// The vnet's own clock at a moment of the kernel's.
    pub fn local(&self, now: Instant) -> Instant {
        let ns = now.as_nanos();
        Instant::from_nanos(ns.saturating_add_signed(self.clock_ahead))
    }

    /// The kernel's moment at which the vnet's own clock will read `local`.
    fn of_kernel(&self, local: Instant) -> Instant {
        let ns = local.as_nanos();
        Instant::from_nanos(ns.saturating_add_signed(self.clock_ahead.saturating_neg()))
    }

    /// Sets the vnet's own clock, as an image says it.
    pub fn set_local(&mut self, now: Instant, local: Instant) {
        let ahead = i128::from(local.as_nanos()) - i128::from(now.as_nanos());
        self.clock_ahead = i64::try_from(ahead).unwrap_or(0);
    }

    /// Attaches an interface and gives it addresses.
    ///
    /// # Errors
    /// As [`IpStack::ifaddr_add`]; the interface is taken away again then.
    pub fn attach(
        &mut self,
        now: Instant,
        name: &str,
        kind: IfKind,
        mtu: u32,
        addrs: &[IfAddr],
    ) -> Result<IfIndex, Errno> {
        self.ip.set_now(self.local(now));
        let index = self.ip.if_attach(name, kind, mtu);
        for ifa in addrs {
            if let Err(errno) = self.ip.ifaddr_add(index, *ifa) {
                let _undone = self.ip.if_detach(index);
                return Err(errno);
            }
        }
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::cx::{SoId, SoWait};
    use crate::net::ether::MacAddr;
    use crate::time::Duration;

    /// Echoes protocol 99, keeps what it saw, and has one timer.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Echo {
        seen: Vec<Vec<u8>>,
        errors: Vec<(IcmpError, u8)>,
        timer: Option<Instant>,
        fired: u32,
    }

    impl Transport for Echo {
        fn input(&mut self, cx: &mut Cx<'_>, p: IpPacket, _: bool) -> Result<(), Refused> {
            let refused = |why| {
                Err(Refused {
                    why,
                    packet: p.clone(),
                })
            };
            match p.proto {
                99 => {
                    self.seen.push(p.payload.to_vec());
                    cx.wakeup(SoId(1), SoWait::Rcv);
                    if p.payload.starts_with(b"ask") {
                        let mut back = p.clone();
                        (back.src, back.dst) = (p.dst, p.src);
                        back.payload[..3].copy_from_slice(b"ans");
                        cx.ip.output(back).unwrap();
                    }
                    Ok(())
                }
                1 => Ok(()),
                17 => refused(Unwanted::Port),
                _ => refused(Unwanted::Protocol),
            }
        }

        fn ctlinput(
            &mut self,
            _: &mut Cx<'_>,
            error: IcmpError,
            _: (IpAddr, IpAddr),
            proto: u8,
            _: &[u8],
        ) {
            self.errors.push((error, proto));
        }

        fn next_callout(&self) -> Option<Instant> {
            self.timer
        }

        fn run_callouts(&mut self, cx: &mut Cx<'_>) {
            if self.timer.is_some_and(|t| t <= cx.now) {
                self.timer = None;
                self.fired += 1;
            }
        }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn vnet(last: u8) -> (Vnet<Echo>, IfIndex) {
        let mut vnet = Vnet::new(u64::from(last), "vnet", |_| Echo::default());
        let kind = IfKind::Ethernet {
            mac: MacAddr([2, 0, 0, 0, 0, last]),
        };
        let addr = IfAddr {
            addr: ip(last),
            prefix_len: 24,
        };
        let ether = vnet
            .attach(Instant::BOOT, "epair0b", kind, 1500, &[addr])
            .unwrap();
        while vnet.take_output().is_some() {}
        (vnet, ether)
    }

    fn send(vnet: &mut Vnet<Echo>, dst: IpAddr, proto: u8, payload: &[u8]) {
        let packet = |src| IpPacket {
            src,
            dst,
            tos: 0,
            ttl: 64,
            flow: 0,
            df: false,
            proto,
            payload: payload.into(),
        };
        vnet.with_transports(Instant::BOOT, |_, cx| {
            let src = cx.ip.source_for(dst).unwrap();
            cx.ip.output(packet(src)).unwrap();
        });
    }

    fn settle(a: &mut (Vnet<Echo>, IfIndex), b: &mut (Vnet<Echo>, IfIndex)) {
        for _ in 0..10 {
            while let Some((_, frame)) = a.0.take_output() {
                b.0.input(Instant::BOOT, b.1, &frame);
            }
            while let Some((_, frame)) = b.0.take_output() {
                a.0.input(Instant::BOOT, a.1, &frame);
            }
        }
    }

    #[test]
    fn packets_reach_the_transport_and_its_answers_the_link() {
        let (mut a, mut b) = (vnet(1), vnet(2));
        send(&mut a.0, ip(2), 99, b"ask me");
        settle(&mut a, &mut b);
        assert_eq!(b.0.transports().seen, [b"ask me"]);
        assert_eq!(a.0.transports().seen, [b"ans me"]);
        assert_eq!(a.0.take_wakeup().unwrap().so, SoId(1));
        assert_eq!(a.0.take_wakeup(), None);
    }

    #[test]
    fn what_no_transport_wants_is_refused_by_icmp() {
        let (mut a, mut b) = (vnet(1), vnet(2));
        send(&mut a.0, ip(2), 17, &[0; 8]);
        send(&mut a.0, ip(2), 200, &[0; 8]);
        settle(&mut a, &mut b);
        let codes: Vec<(u8, u8)> = (a.0.transports().errors.iter())
            .map(|(e, proto)| (e.code, *proto))
            .collect();
        assert_eq!(codes, [(3, 17), (2, 200)]);
    }

    #[test]
    fn loopback_traffic_is_a_callout() {
        let (mut a, _) = vnet(1);
        send(&mut a, ip(1), 99, b"self");
        assert!(a.transports().seen.is_empty());
        let due = a.next_callout().unwrap();
        a.run_callouts(due);
        assert_eq!(a.transports().seen, [b"self"]);
    }

    #[test]
    fn a_suspended_vnet_does_nothing_and_keeps_the_time_left() {
        let (mut a, mut b) = (vnet(1), vnet(2));
        let ms = |n| Instant::BOOT.after(Duration::from_millis(n));
        b.0.transports.timer = Some(ms(50));
        b.0.suspend(ms(20));
        send(&mut a.0, ip(2), 99, b"lost");
        settle(&mut a, &mut b);
        assert_eq!(b.0.next_callout(), None);
        b.0.run_callouts(ms(100));
        assert_eq!((b.0.transports().fired, b.0.lost_suspended), (0, 1));
        b.0.resume(ms(1000));
        assert_eq!(b.0.take_output(), None);
        assert_eq!(b.0.next_callout(), Some(ms(1030)));
        assert_eq!(b.0.local(ms(1000)), ms(20));
        b.0.announce(ms(1000));
        let (_, garp) = b.0.take_output().unwrap();
        assert_eq!(garp[..6], [0xff; 6]);
    }

    #[test]
    fn a_failed_attachment_leaves_no_interface() {
        let (mut a, _) = vnet(1);
        let twice = IfAddr {
            addr: ip(1),
            prefix_len: 24,
        };
        let before = a.ip.ifnets().count();
        let failed = a.attach(Instant::BOOT, "tun0", IfKind::Tun, 1500, &[twice]);
        assert_eq!(failed, Err(Errno::EEXIST));
        assert_eq!(a.ip.ifnets().count(), before);
    }
}
