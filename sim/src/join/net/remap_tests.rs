// SPDX-License-Identifier: BSD-2-Clause
//! What is on its way inside a stack, or waits there, when the stack gets another address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use vpscore::collections::List;
use vpscore::net::{Mapping, Remap, RemapError, Way};

use super::moved::{MoveError, image_of, may_be_remapped, stack_remapped};
use super::values::in_addr;
use crate::net::checksum::transport_cksum;
use crate::net::cx::{Cx, SoId};
use crate::net::ether::{ArpOp, ArpPacket, ETHERTYPE_ARP, ETHERTYPE_IP, EtherHeader, MacAddr};
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::ipv4::Ipv4Header;
use crate::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags};
use crate::net::vnet::Vnet;
use crate::time::{Duration, Instant};

const OLD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 254);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

struct Host {
    stack: Vnet<Inet>,
    ether: IfIndex,
    now: Instant,
}

fn remap(to: Ipv4Addr, router: Option<Ipv4Addr>) -> Remap {
    let mut list = List::new();
    let mapping = Mapping {
        from: in_addr(OLD.into()),
        to: in_addr(to.into()),
        prefixlen: 24,
        router: router.map(|router| in_addr(router.into())),
    };
    list.push(mapping).unwrap();
    Remap::new(list).unwrap()
}

impl Host {
    fn new() -> Self {
        let mut stack = Vnet::new(1, "stack", Inet::new);
        let own = IfAddr {
            addr: OLD.into(),
            prefix_len: 24,
        };
        let kind = IfKind::Ethernet { mac: MAC };
        let ether = stack.attach(Instant::BOOT, "epair0b", kind, 1500, &[own]);
        Self {
            stack,
            ether: ether.unwrap(),
            now: Instant::BOOT.after(Duration::from_secs(1)),
        }
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        self.stack.with_transports(self.now, call)
    }

    fn socket(&mut self, proto: Proto) -> SoId {
        self.call(|inet, cx| inet.socreate(cx, Domain::Inet, proto))
            .unwrap()
    }

    fn send(&mut self, so: SoId, data: &[u8], to: Option<SocketAddr>) -> usize {
        self.call(|inet, cx| inet.sosend(cx, so, data, SendFlags::default(), to))
            .unwrap()
    }

    fn receive(&mut self, so: SoId) -> Vec<u8> {
        self.call(|inet, cx| inet.soreceive(cx, so, 9_000, RecvFlags::default()))
            .unwrap()
            .data
    }

    /// Lets a millisecond pass; gives the frames that went out.
    fn run(&mut self) -> Vec<Vec<u8>> {
        let end = self.now.after(Duration::from_millis(1));
        while let Some(at) = self.stack.next_callout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.stack.run_callouts(self.now);
        }
        self.now = end;
        std::iter::from_fn(|| self.stack.take_output())
            .map(|(_, frame)| frame)
            .collect()
    }

    fn input(&mut self, kind: u16, packet: &[u8]) {
        let (dst, src) = (MAC, PEER_MAC);
        let frame = EtherHeader { dst, src, kind }.emit(packet);
        self.stack.input(self.now, self.ether, frame);
    }

    fn says(&mut self, whose: Ipv4Addr) {
        let answer = ArpPacket {
            op: ArpOp::Reply,
            sha: PEER_MAC,
            spa: whose,
            tha: MAC,
            tpa: self.own(),
        };
        self.input(ETHERTYPE_ARP, &answer.emit());
    }

    fn own(&self) -> Ipv4Addr {
        let mut addrs = self.stack.ip.ifnets().flat_map(|(_, ifnet)| &ifnet.addrs);
        let own = addrs.find(|ifa| ifa.addr.is_ipv4() && !ifa.addr.is_loopback());
        match own.unwrap().addr {
            IpAddr::V4(own) => own,
            IpAddr::V6(_) => unreachable!(),
        }
    }

    /// Moves; gives the new name of a socket.
    fn go(&mut self, remap: &Remap) -> impl Fn(SoId) -> SoId + use<> {
        let (image, names) = image_of(&self.stack, self.now).unwrap();
        let mut built = stack_remapped(&image, 2, remap).unwrap();
        built.stack.resume(self.now);
        self.stack = built.stack;
        move |old| {
            let by = names.iter().find(|((_, so), _)| *so == old).unwrap().1;
            built.sockets[&by.id()]
        }
    }
}

fn to(addr: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(addr.into(), port)
}

#[test]
fn a_connection_to_itself_goes_on_with_what_is_in_its_loopback() {
    for (new, router) in [(NEAR, None), (FAR, Some(ROUTER))] {
        let mut host = Host::new();
        let (listener, client) = (host.socket(Proto::Tcp), host.socket(Proto::Tcp));
        host.call(|inet, cx| {
            inet.sobind(cx, listener, to(OLD, 80)).unwrap();
            inet.solisten(cx, listener, 5).unwrap();
            inet.soconnect(cx, client, to(OLD, 80)).unwrap();
        });
        host.run();
        host.send(client, b"on its way", None);
        assert!(!host.stack.ip.loopback.is_empty());
        let name = host.go(&remap(new, router));
        let (listener, client) = (name(listener), name(client));
        assert_eq!(host.run(), [[0_u8; 0]; 0], "nothing leaves the host");
        let (server, from) = host.call(|inet, cx| inet.soaccept(cx, listener)).unwrap();
        assert_eq!(from.ip(), IpAddr::from(new));
        assert_eq!(host.receive(server), b"on its way");
        host.send(server, b"and back", None);
        host.run();
        assert_eq!(host.receive(client), b"and back");
        for so in [listener, client, server] {
            let own = host.stack.transports().sockname(so).unwrap();
            assert_eq!(own.ip(), IpAddr::from(new));
        }
        assert_eq!(host.stack.transports().peername(client), Ok(to(new, 80)));
    }
}

/// The two fragments of a datagram from the peer.
fn fragments(dst: Ipv4Addr) -> [Vec<u8>; 2] {
    let mut udp = [&[0, 7, 0, 53, 0, 40, 0, 0][..], &[b'x'; 32]].concat();
    let sum = transport_cksum(PEER.into(), dst.into(), 17, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let header = |offset: u16| Ipv4Header {
        tos: 0,
        id: 7,
        df: false,
        mf: offset == 0,
        offset,
        ttl: 64,
        proto: 17,
        src: PEER,
        dst,
        options: Vec::new(),
    };
    [header(0).emit(&udp[..24]), header(24).emit(&udp[24..])]
}

#[test]
fn a_datagram_is_whole_whose_fragments_come_before_and_after() {
    for first in [0, 1] {
        let mut host = Host::new();
        let so = host.socket(Proto::Udp);
        host.call(|inet, cx| inet.sobind(cx, so, to(OLD, 53)))
            .unwrap();
        let sent = fragments(OLD);
        host.input(ETHERTYPE_IP, &sent[first]);
        let remap = remap(NEAR, None);
        let so = host.go(&remap)(so);
        let mut other = sent[1 - first].clone();
        remap.packet(Way::In, &mut other);
        host.input(ETHERTYPE_IP, &other);
        assert_eq!(host.receive(so), [b'x'; 32], "fragment {first} first");
    }
}

/// Source, destination and soundness of what a frame carries.
fn carried(frame: &[u8]) -> Option<(MacAddr, Ipv4Addr, Ipv4Addr, bool)> {
    let (ether, packet) = EtherHeader::parse(frame)?;
    let (header, payload) = Ipv4Header::parse(packet).ok()?;
    let sum = transport_cksum(header.src.into(), header.dst.into(), header.proto, payload);
    (ether.kind == ETHERTYPE_IP).then_some((ether.dst, header.src, header.dst, sum == 0))
}

#[test]
fn a_packet_that_waits_for_a_neighbour_goes_to_it_or_to_the_router_in_its_place() {
    for (new, router, asked) in [(NEAR, None, PEER), (FAR, Some(ROUTER), ROUTER)] {
        let mut host = Host::new();
        let so = host.socket(Proto::Udp);
        host.send(so, b"waits", Some(to(PEER, 9)));
        assert!(host.run().iter().all(|frame| carried(frame).is_none()));
        let _names = host.go(&remap(new, router));
        host.says(asked);
        let out = host.run();
        let carried: Vec<_> = out.iter().filter_map(|frame| carried(frame)).collect();
        assert_eq!(carried, [(PEER_MAC, new, PEER, true)]);
    }
}

#[test]
fn what_is_signed_is_refused_while_it_runs() {
    const IPPROTO_TCP: i32 = 6;
    const TCP_MD5SIG: i32 = 16;
    let mut host = Host::new();
    let possible = |host: &Host| may_be_remapped(&[&host.stack], host.now, &remap(NEAR, None));
    assert!(possible(&host).is_ok());
    let so = host.socket(Proto::Tcp);
    host.call(|inet, cx| {
        inet.sosetopt(cx, so, IPPROTO_TCP, TCP_MD5SIG, &1_i32.to_le_bytes())
            .unwrap();
        inet.sobind(cx, so, to(OLD, 179)).unwrap();
        inet.solisten(cx, so, 5).unwrap();
    });
    let refused = possible(&host);
    assert!(
        matches!(refused, Err(MoveError::Remap(RemapError::Signed(_)))),
        "{refused:?}"
    );
    assert!(!host.stack.is_suspended(), "nothing has stopped");
    // With its addresses it may move.
    let (image, _) = image_of(&host.stack, host.now).unwrap();
    assert!(stack_remapped(&image, 2, &Remap::default()).is_ok());
}
