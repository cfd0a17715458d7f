// SPDX-License-Identifier: BSD-2-Clause
//! Hostile frames into a vnet: none panics, every queue stays bounded, every answer is well formed.
//!
//! Random bytes die at the first checksum, so the input says for each frame how much of it is made
//! right before it goes in: addresses, IPv4 header, ICMP checksum.

use std::net::{IpAddr, SocketAddr};

use sim::net::checksum::{in_cksum, transport_cksum};
use sim::net::ether::{ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader, MacAddr};
use sim::net::ifnet::{IfAddr, IfIndex, IfKind};
use sim::net::ip::IpStack;
use sim::net::ipv4::Ipv4Header;
use sim::net::ipv6::Ipv6Header;
use sim::net::socket::{Domain, Inet, Proto};
use sim::net::vnet::Vnet;
use sim::time::{Duration, Instant};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const V4: [u8; 4] = [10, 0, 0, 1];
const PEER4: [u8; 4] = [10, 0, 0, 2];
const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fn vnet() -> (Vnet<Inet>, IfIndex, IfIndex) {
    let mut vnet = Vnet::new(1, "fuzz", Inet::new);
    let v4 = IfAddr {
        addr: V4.into(),
        prefix_len: 24,
    };
    let v6 = IfAddr {
        addr: V6.into(),
        prefix_len: 64,
    };
    let kind = IfKind::Ethernet { mac: MacAddr(MAC) };
    let ether = vnet
        .attach(Instant::BOOT, "epair0b", kind, 1500, &[v4, v6])
        .expect("fresh addresses");
    let tun = vnet
        .attach(Instant::BOOT, "tun0", IfKind::Tun, 1280, &[])
        .expect("no addresses");
    let routed = [172, 16, 0, 0].into();
    vnet.ip
        .route_add_interface(routed, 12, tun)
        .expect("a new route");
    vnet.ip
        .sysctl_set("net.inet.ip.forwarding", 1)
        .expect("a known variable");
    vnet.ip
        .sysctl_set("net.inet6.ip6.forwarding", 1)
        .expect("a known variable");
    open_sockets(&mut vnet);
    (vnet, ether, tun)
}

/// A listener and a datagram socket for each family, and raw ones that see the rest.
fn open_sockets(vnet: &mut Vnet<Inet>) {
    let any = |port| {
        [
            SocketAddr::from(([0; 4], port)),
            SocketAddr::from(([0_u16; 8], port)),
        ]
    };
    vnet.with_transports(Instant::BOOT, |inet, cx| {
        for (domain, at) in [Domain::Inet, Domain::Inet6].into_iter().zip(any(PORT)) {
            let listener = inet.socreate(cx, domain, Proto::Tcp).expect("room");
            inet.sobind(cx, listener, at).expect("a free port");
            inet.solisten(cx, listener, 5).expect("bound");
            let datagrams = inet.socreate(cx, domain, Proto::Udp).expect("room");
            inet.sobind(cx, datagrams, at).expect("a free port");
            inet.socreate(cx, domain, Proto::Raw(0)).expect("room");
        }
    });
}

/// The port of every open socket.
pub const PORT: u16 = 80;

/// Makes parts of an IP packet right, as `fix` says.
fn mend(packet: &mut [u8], fix: u8) {
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            if fix & 4 != 0 {
                packet[12..16].copy_from_slice(&PEER4);
                packet[16..20].copy_from_slice(&V4);
            }
            if fix & 8 != 0 {
                let total = (packet.len() as u16).to_be_bytes();
                packet[2..4].copy_from_slice(&total);
            }
            let hlen = (usize::from(packet[0] & 0xf) * 4).clamp(20, packet.len());
            if fix & 16 != 0 && packet[9] == 1 && packet.len() >= hlen + 8 {
                put_sum(&mut packet[hlen..], 2, in_cksum);
            }
            if fix & 16 != 0 && packet[9] == 6 && packet.len() >= hlen + 20 {
                let addr =
                    |at: usize| IpAddr::from(std::array::from_fn::<u8, 4, _>(|i| packet[at + i]));
                let (src, dst) = (addr(12), addr(16));
                put_sum(&mut packet[hlen..], 16, |d| transport_cksum(src, dst, 6, d));
            }
            if fix & 2 != 0 {
                put_sum(&mut packet[..hlen], 10, in_cksum);
            }
        }
        Some(6) if packet.len() >= 40 => {
            if fix & 4 != 0 {
                packet[8..24].copy_from_slice(&PEER6);
                packet[24..40].copy_from_slice(&V6);
            }
            if fix & 8 != 0 {
                let length = ((packet.len() - 40) as u16).to_be_bytes();
                packet[4..6].copy_from_slice(&length);
            }
            if fix & 16 != 0 && packet[6] == 58 && packet.len() >= 48 {
                let addr =
                    |at: usize| IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| packet[at + i]));
                let (src, dst) = (addr(8), addr(24));
                put_sum(&mut packet[40..], 2, |d| transport_cksum(src, dst, 58, d));
            }
        }
        _ => {}
    }
}

fn put_sum(data: &mut [u8], at: usize, sum: impl Fn(&[u8]) -> u16) {
    data[at..at + 2].fill(0);
    let sum = sum(data).to_be_bytes();
    data[at..at + 2].copy_from_slice(&sum);
}

/// Every frame that goes out is one that a peer would read.
fn check_output(frame: &[u8], bare: bool, mtu: usize) {
    let (kind, packet) = if bare {
        let v4 = frame.first().is_some_and(|first| first >> 4 == 4);
        let kind = if v4 { ETHERTYPE_IP } else { ETHERTYPE_IPV6 };
        (kind, frame)
    } else {
        let (header, packet) = EtherHeader::parse(frame).expect("a whole header");
        assert_eq!(header.src, MacAddr(MAC));
        (header.kind, packet)
    };
    assert!(packet.len() <= mtu, "{} > {mtu}", packet.len());
    match kind {
        ETHERTYPE_IP => {
            let (header, payload) = Ipv4Header::parse(packet).expect("a right header");
            assert!(!header.src.is_unspecified() && header.ttl > 0);
            let own = header.src.octets() == V4;
            if own && header.proto == 1 && !header.mf && header.offset == 0 {
                assert_eq!(in_cksum(payload), 0);
            }
        }
        ETHERTYPE_IPV6 => {
            let (header, payload) = Ipv6Header::parse(packet).expect("a right header");
            assert!(!header.src.is_multicast() && header.hlim > 0);
            if header.next == 58 && header.src.octets() == V6 {
                let sum = transport_cksum(header.src.into(), header.dst.into(), 58, payload);
                assert_eq!(sum, 0);
            }
        }
        _ => {}
    }
}

fn drain(vnet: &mut Vnet<Inet>, tun: IfIndex) {
    while let Some((ifindex, frame)) = vnet.take_output() {
        let mtu = if ifindex == tun { 1280 } else { 1500 };
        check_output(&frame, ifindex == tun, mtu);
    }
}

/// Feeds the frames that `data` spells into a vnet: for each a byte of what to mend, two of length
/// (at most 2047 bytes), the bytes themselves.
pub fn frames(data: &[u8]) {
    let (mut vnet, ether, tun) = vnet();
    drain(&mut vnet, tun);
    let mut now = Instant::BOOT;
    let mut rest = data;
    while let [fix, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]) & 0x7ff).min(tail.len());
        let (bytes, tail) = tail.split_at(length);
        rest = tail;
        let mut frame = bytes.to_vec();
        let ifindex = if fix & 1 != 0 { tun } else { ether };
        if ifindex == tun {
            mend(&mut frame, *fix);
        } else if frame.len() >= 14 {
            if fix & 32 != 0 {
                frame[..6].copy_from_slice(&MAC);
                frame[6] &= 0xfe;
            }
            if fix & 64 != 0 {
                let v6 = frame.get(14).is_some_and(|first| first >> 4 == 6);
                let kind = if v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IP };
                frame[12..14].copy_from_slice(&kind.to_be_bytes());
            }
            mend(&mut frame[14..], *fix);
        }
        vnet.input(now, ifindex, &frame);
        drain(&mut vnet, tun);
        now = now.after(Duration::from_millis(u64::from(*low)));
        if vnet.next_callout().is_some_and(|due| due <= now) {
            vnet.run_callouts(now);
            drain(&mut vnet, tun);
        }
    }
    settle(&mut vnet, tun, now);
}

/// Runs the vnet until it has nothing to do: it comes to rest, and nothing is left waiting.
fn settle(vnet: &mut Vnet<Inet>, tun: IfIndex, start: Instant) {
    let mut now = start;
    for _ in 0..100_000 {
        let Some(due) = vnet.next_callout() else {
            assert_eq!(waiting(&vnet.ip), 0);
            return;
        };
        now = now.max(due);
        vnet.run_callouts(now);
        drain(vnet, tun);
    }
    panic!("the vnet does not come to rest");
}

fn waiting(ip: &IpStack) -> usize {
    ip.reassembly_queues()
}
