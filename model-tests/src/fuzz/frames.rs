// SPDX-License-Identifier: BSD-2-Clause
//! Hostile frames into a vnet: none panics, every queue stays bounded, every answer is well formed.
//!
//! Random bytes die at the first checksum, so the input says for each frame how much of it is made
//! right before it goes in: addresses, lengths, checksums, and whether TCP's numbers count from where the connection
//! is. A program accepts what comes, reads it and writes back.

use std::net::{IpAddr, SocketAddr};

use sim::net::checksum::{in_cksum, transport_cksum};
use sim::net::cx::{SoError, SoId};
use sim::net::ether::{ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader, MacAddr};
use sim::net::ifnet::{IfAddr, IfIndex, IfKind};
use sim::net::ip::IpStack;
use sim::net::ipv4::Ipv4Header;
use sim::net::ipv6::Ipv6Header;
use sim::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags};
use sim::net::vnet::Vnet;
use sim::time::{Duration, Instant};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const V4: [u8; 4] = [10, 0, 0, 1];
const PEER4: [u8; 4] = [10, 0, 0, 2];
const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// A vnet with two interfaces, of which the second is routed through, and its sockets.
fn vnet() -> (Vnet<Inet>, [IfIndex; 2], Program) {
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
    // The peer is known, or nothing would be sent to it; all others have to be asked for.
    for peer in [IpAddr::from(PEER4), IpAddr::from(PEER6)] {
        let table = vnet.ip.lltable_mut();
        table.add_static((ether, peer), MacAddr([2, 0, 0, 0, 0, 2]));
    }
    let program = open_sockets(&mut vnet);
    (vnet, [ether, tun], program)
}

/// The sockets that the program has.
#[derive(Debug, Default)]
struct Program {
    listeners: Vec<SoId>,
    connections: Vec<SoId>,
    others: Vec<SoId>,
    /// Bytes it has read.
    read: usize,
}

/// A listener and a datagram socket for each family, and raw ones that see the rest.
fn open_sockets(vnet: &mut Vnet<Inet>) -> Program {
    let any = |port| {
        [
            SocketAddr::from(([0; 4], port)),
            SocketAddr::from(([0_u16; 8], port)),
        ]
    };
    let mut program = Program::default();
    vnet.with_transports(Instant::BOOT, |inet, cx| {
        for (domain, at) in [Domain::Inet, Domain::Inet6].into_iter().zip(any(PORT)) {
            let listener = inet.socreate(cx, domain, Proto::Tcp).expect("room");
            inet.sobind(cx, listener, at).expect("a free port");
            inet.solisten(cx, listener, BACKLOG).expect("bound");
            program.listeners.push(listener);
            let datagrams = inet.socreate(cx, domain, Proto::Udp).expect("room");
            inet.sobind(cx, datagrams, at).expect("a free port");
            let raw = inet.socreate(cx, domain, Proto::Raw(0)).expect("room");
            program.others.extend([datagrams, raw]);
        }
    });
    program
}

const BACKLOG: i32 = 5;
/// Bytes that the program reads at once.
const READ_MAX: usize = 1 << 16;

/// The port of every open socket.
pub const PORT: u16 = 80;

/// How far the connections of each family are, as their peer knows it: what it sends next and what it acknowledges.
#[derive(Debug, Default)]
struct Peers([Option<(u32, u32)>; 2]);

impl Peers {
    /// Learns from a segment that was sent to the peer.
    fn heard(&mut self, v6: bool, segment: &[u8]) {
        let word = |at: usize| {
            segment
                .get(at..at + 4)
                .map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
        };
        let (Some(seq), Some(ack), Some([offset, flags])) = (word(4), word(8), segment.get(12..14))
        else {
            return;
        };
        let text = segment.len().saturating_sub(usize::from(offset >> 4) * 4) as u32;
        let controls = u32::from(flags & TH_SYN != 0) + u32::from(flags & TH_FIN != 0);
        if flags & TH_RST == 0 {
            self.0[usize::from(v6)] = Some((ack, seq.wrapping_add(text + controls)));
        }
    }

    /// Lets the numbers of a segment count from where its peer is.
    fn speak(&self, v6: bool, segment: &mut [u8]) {
        let Some((next, heard)) = self.0[usize::from(v6)] else {
            return;
        };
        for (at, base) in [(4, next), (8, heard)] {
            if let Some(Ok(word)) = segment.get_mut(at..at + 4).map(<&mut [u8; 4]>::try_from) {
                // The lower half says how far off it is.
                let off = u32::from_be_bytes(*word) as i16;
                *word = base.wrapping_add_signed(off.into()).to_be_bytes();
            }
        }
    }
}

const TH_FIN: u8 = 1;
const TH_SYN: u8 = 2;
const TH_RST: u8 = 4;

/// Makes the upper header of a packet right: the numbers of TCP, and the checksum at its place.
fn mend_upper((src, dst, proto): (IpAddr, IpAddr, u8), upper: &mut [u8], fix: u8, peers: &Peers) {
    let v6 = src.is_ipv6();
    let (at, room) = match proto {
        1 if !v6 => (2, 8),
        58 if v6 => (2, 8),
        6 => (16, 20),
        17 => (6, 8),
        _ => return,
    };
    if upper.len() < room {
        return;
    }
    if proto == 6 && fix & 128 != 0 {
        peers.speak(v6, upper);
    }
    if fix & 16 != 0 {
        let plain = proto == 1;
        put_sum(upper, at, |d| {
            if plain {
                in_cksum(d)
            } else {
                transport_cksum(src, dst, proto, d)
            }
        });
    }
}

/// Makes parts of an IP packet right, as `fix` says.
fn mend(packet: &mut [u8], fix: u8, peers: &Peers) {
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
            let addr =
                |at: usize| IpAddr::from(std::array::from_fn::<u8, 4, _>(|i| packet[at + i]));
            let about = (addr(12), addr(16), packet[9]);
            mend_upper(about, &mut packet[hlen..], fix, peers);
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
            let addr =
                |at: usize| IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| packet[at + i]));
            let about = (addr(8), addr(24), packet[6]);
            mend_upper(about, &mut packet[40..], fix, peers);
        }
        _ => {}
    }
}

fn put_sum(data: &mut [u8], at: usize, sum: impl Fn(&[u8]) -> u16) {
    data[at..at + 2].fill(0);
    let sum = sum(data).to_be_bytes();
    data[at..at + 2].copy_from_slice(&sum);
}

/// Every frame that goes out is one that a peer would read, and he does.
fn check_output(frame: &[u8], bare: bool, mtu: usize, peers: &mut Peers) {
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
            // A router passes on what nobody sent: it looks at the destination only (`ip_forward`).
            assert!(header.ttl > 0, "{header:?}");
            let own = header.src.octets() == V4;
            let whole = !header.mf && header.offset == 0;
            if own && whole && header.proto == 1 {
                assert_eq!(in_cksum(payload), 0);
            }
            if own && whole && header.proto == 6 {
                let sum = transport_cksum(header.src.into(), header.dst.into(), 6, payload);
                assert_eq!(sum, 0);
                peers.heard(false, payload);
            }
        }
        ETHERTYPE_IPV6 => {
            let (header, payload) = Ipv6Header::parse(packet).expect("a right header");
            assert!(!header.src.is_multicast() && header.hlim > 0, "{header:?}");
            if [6, 58].contains(&header.next) && header.src.octets() == V6 {
                let (src, dst) = (header.src.into(), header.dst.into());
                assert_eq!(transport_cksum(src, dst, header.next, payload), 0);
                if header.next == 6 {
                    peers.heard(true, payload);
                }
            }
        }
        _ => {}
    }
}

fn drain(vnet: &mut Vnet<Inet>, tun: IfIndex, peers: &mut Peers) {
    while let Some((ifindex, frame)) = vnet.take_output() {
        let mtu = if ifindex == tun { 1280 } else { 1500 };
        check_output(&frame, ifindex == tun, mtu, peers);
    }
}

impl Program {
    /// Accepts, writes back what it reads, and closes what has ended.
    fn serve(&mut self, vnet: &mut Vnet<Inet>, now: Instant) {
        vnet.with_transports(now, |inet, cx| {
            for listener in &self.listeners {
                while let Ok((so, _)) = inet.soaccept(cx, *listener) {
                    self.connections.push(so);
                }
            }
            self.connections.retain(|so| {
                match inet.soreceive(cx, *so, READ_MAX, RecvFlags::default()) {
                    Ok(got) if !got.data.is_empty() => {
                        self.read += got.data.len();
                        // What has no room is the peer's loss.
                        let _sent = inet.sosend(cx, *so, &got.data, SendFlags::default(), None);
                        true
                    }
                    Err(SoError::Blocked(_)) => true,
                    Ok(_) | Err(_) => {
                        inet.soclose_now(cx, *so);
                        false
                    }
                }
            });
        });
    }

    /// Closes all that it has.
    fn exit(self, vnet: &mut Vnet<Inet>, now: Instant) {
        let all = [self.listeners, self.connections, self.others].concat();
        vnet.with_transports(now, |inet, cx| {
            all.into_iter().for_each(|so| inet.soclose_now(cx, so));
        });
    }
}

/// Feeds the frames that `data` spells into a vnet: for each a byte of what to mend, two of length
/// (at most 2047 bytes), the bytes themselves. In the end the program exits, and when all timers have run nothing is
/// left of what it had. How many bytes the program read is told.
///
/// # Panics
/// Where a promise is broken.
pub fn frames(data: &[u8]) -> usize {
    let (mut vnet, [ether, tun], mut program) = vnet();
    let mut peers = Peers::default();
    drain(&mut vnet, tun, &mut peers);
    let mut now = Instant::BOOT;
    let mut rest = data;
    while let [fix, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]) & 0x7ff).min(tail.len());
        let (bytes, tail) = tail.split_at(length);
        rest = tail;
        let mut frame = bytes.to_vec();
        let ifindex = if fix & 1 != 0 { tun } else { ether };
        if ifindex == tun {
            mend(&mut frame, *fix, &peers);
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
            mend(&mut frame[14..], *fix, &peers);
        }
        vnet.input(now, ifindex, &frame);
        program.serve(&mut vnet, now);
        drain(&mut vnet, tun, &mut peers);
        now = now.after(Duration::from_millis(u64::from(*low)));
        if vnet.next_callout().is_some_and(|due| due <= now) {
            vnet.run_callouts(now);
            drain(&mut vnet, tun, &mut peers);
        }
    }
    let read = program.read;
    program.exit(&mut vnet, now);
    settle(&mut vnet, tun, now, &mut peers);
    read
}

/// Runs the vnet until it has nothing to do: it comes to rest, and nothing is left waiting.
fn settle(vnet: &mut Vnet<Inet>, tun: IfIndex, start: Instant, peers: &mut Peers) {
    let mut now = start;
    for _ in 0..100_000 {
        let Some(due) = vnet.next_callout() else {
            assert_eq!(waiting(&vnet.ip), 0);
            vnet.with_transports(now, |inet, _| {
                assert_eq!(inet.syncache_count(), 0);
                assert_eq!(inet.iter().count(), 0, "sockets that nobody has");
            });
            return;
        };
        now = now.max(due);
        vnet.run_callouts(now);
        drain(vnet, tun, peers);
    }
    panic!("the vnet does not come to rest");
}

fn waiting(ip: &IpStack) -> usize {
    ip.reassembly_queues()
}

/// A segment of a peer: flags, how far its numbers are off, its window and its text.
pub type Segment = (u8, i16, i16, u16, u8);

/// A segment to the open port as a frame for [`frames`], with everything made right but what it says itself.
pub fn spelled(v6: bool, (flags, seq, ack, win, len): Segment) -> Vec<u8> {
    let mut packet = if v6 {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
        header.resize(40, 0);
        header
    } else {
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6];
        header.resize(20, 0);
        header
    };
    packet.extend(4242_u16.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    for off in [seq, ack] {
        packet.extend(u32::from(off as u16).to_be_bytes());
    }
    packet.extend([0x50, flags]);
    packet.extend(win.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(vec![b'x'; len.into()]);
    let mut frame = vec![0; 12];
    frame.extend([8, 0]);
    frame.extend(packet);
    let mut all = vec![0xfe];
    all.extend((frame.len() as u16).to_be_bytes());
    all.extend(frame);
    all
}
