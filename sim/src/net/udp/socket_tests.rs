// SPDX-License-Identifier: BSD-2-Clause
//! Datagram and raw sockets of two hosts on a wire without faults, and over the loopback.

use std::net::{IpAddr, SocketAddr};

use crate::errno::Errno;
use crate::net::cx::{Cx, SoError, SoId, SoWait};
use crate::net::ether::MacAddr;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::inpcb::InConninfo;
use crate::net::socket::bits::{SO_BROADCAST, SO_REUSEPORT};
use crate::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags};
use crate::net::vnet::Vnet;
use crate::time::Instant;

const NOW: Instant = Instant::BOOT;

struct Host {
    vnet: Vnet<Inet>,
    ether: IfIndex,
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Host {
    fn new(n: u8) -> Self {
        let mut vnet = Vnet::new(u64::from(n), "udp", Inet::new);
        let addrs = [
            IfAddr {
                addr: [10, 0, 0, n].into(),
                prefix_len: 24,
            },
            IfAddr {
                addr: addr(&format!("2001:db8::{n}")),
                prefix_len: 64,
            },
        ];
        let mac = MacAddr([2, 0, 0, 0, 0, n]);
        let kind = IfKind::Ethernet { mac };
        let ether = vnet.attach(NOW, "epair0b", kind, 1500, &addrs).unwrap();
        while vnet.take_output().is_some() {}
        Self { vnet, ether }
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        self.vnet.with_transports(NOW, call)
    }

    fn socket(&mut self, domain: Domain, proto: Proto) -> SoId {
        self.with(|inet, cx| inet.socreate(cx, domain, proto))
            .unwrap()
    }

    fn bound(&mut self, domain: Domain, laddr: &str) -> SoId {
        let so = self.socket(domain, Proto::Udp);
        self.with(|inet, cx| {
            inet.get_mut(so).unwrap().so.so_options |= SO_REUSEPORT;
            if domain == Domain::Inet6 {
                inet.get_mut(so).unwrap().inp.set_v6only(false);
            }
            inet.sobind(cx, so, at(laddr)).unwrap();
        });
        so
    }

    fn connect(&mut self, so: SoId, peer: &str) -> Result<(), Errno> {
        self.with(|inet, cx| inet.soconnect(cx, so, at(peer)))
    }

    fn send(&mut self, so: SoId, data: &[u8], to: Option<&str>) -> Result<usize, SoError> {
        let flags = SendFlags::default();
        self.with(|inet, cx| inet.sosend(cx, so, data, flags, to.map(at)))
    }

    /// The next datagram; `None` where a receive would sleep.
    fn recv(&mut self, so: SoId) -> Result<Option<(Vec<u8>, SocketAddr)>, Errno> {
        let flags = RecvFlags::default();
        match self.with(|inet, cx| inet.soreceive(cx, so, 100, flags)) {
            Ok(got) => Ok(got.from.map(|from| (got.data, from))),
            Err(SoError::Blocked(SoWait::Rcv)) => Ok(None),
            Err(SoError::Errno(errno)) => Err(errno),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn settle(a: &mut Host, b: &mut Host) {
    for _ in 0..10 {
        while let Some((_, frame)) = a.vnet.take_output() {
            b.vnet.input(NOW, b.ether, &frame);
        }
        while let Some((_, frame)) = b.vnet.take_output() {
            a.vnet.input(NOW, a.ether, &frame);
        }
    }
}

#[test]
fn datagrams_reach_the_bound_socket_with_their_sender_and_can_be_answered() {
    for (domain, server, client) in [
        (Domain::Inet, "10.0.0.2:53", "10.0.0.1"),
        (Domain::Inet6, "[2001:db8::2]:53", "2001:db8::1"),
    ] {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        let any = if domain == Domain::Inet {
            "0.0.0.0:53"
        } else {
            "[::]:53"
        };
        let listener = b.bound(domain, any);
        let so = a.socket(domain, Proto::Udp);
        assert_eq!(a.send(so, b"ping", Some(server)), Ok(4));
        settle(&mut a, &mut b);
        let (data, from) = b.recv(listener).unwrap().unwrap();
        assert_eq!(
            (data.as_slice(), from.ip()),
            (b"ping".as_slice(), addr(client))
        );
        assert!(from.port() >= 10_000, "an ephemeral port");
        b.send(listener, b"pong", Some(&from.to_string())).unwrap();
        settle(&mut a, &mut b);
        assert_eq!(a.recv(so).unwrap().unwrap(), (b"pong".to_vec(), at(server)));
        assert_eq!(a.recv(so), Ok(None));
    }
}

#[test]
fn ipv4_reaches_a_socket_of_ipv6_as_a_mapped_address() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let six = b.bound(Domain::Inet6, "[::]:53");
    let so = a.socket(Domain::Inet, Proto::Udp);
    a.send(so, b"x", Some("10.0.0.2:53")).unwrap();
    settle(&mut a, &mut b);
    let (_, from) = b.recv(six).unwrap().unwrap();
    assert_eq!(from.ip(), addr("::ffff:10.0.0.1"));
    b.send(six, b"y", Some(&from.to_string())).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(a.recv(so).unwrap().unwrap().0, b"y");
}

#[test]
fn a_closed_port_refuses_the_connected_sender() {
    for (domain, server) in [
        (Domain::Inet, "10.0.0.2:9"),
        (Domain::Inet6, "[2001:db8::2]:9"),
    ] {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        let so = a.socket(domain, Proto::Udp);
        a.connect(so, server).unwrap();
        assert_eq!(
            a.send(so, b"x", Some(server)),
            Err(SoError::Errno(Errno::EISCONN))
        );
        a.send(so, b"x", None).unwrap();
        settle(&mut a, &mut b);
        assert_eq!(a.recv(so), Err(Errno::ECONNREFUSED));
        assert_eq!(a.recv(so), Ok(None), "told once");
        a.send(so, b"x", None).unwrap();
        settle(&mut a, &mut b);
        assert_eq!(
            a.send(so, b"x", None),
            Err(SoError::Errno(Errno::ECONNREFUSED))
        );
    }
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let server = b.bound(Domain::Inet, "10.0.0.2:53");
    let so = a.bound(Domain::Inet, "10.0.0.1:1000");
    a.connect(so, "10.0.0.2:53").unwrap();
    let other = b.socket(Domain::Inet, Proto::Udp);
    b.send(other, b"no", Some("10.0.0.1:1000")).unwrap();
    b.send(server, b"yes", Some("10.0.0.1:1000")).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(a.recv(so).unwrap().unwrap().0, b"yes");
    assert_eq!(a.recv(so), Ok(None));
    a.connect(so, "10.0.0.2:54").unwrap();
    b.send(server, b"old", Some("10.0.0.1:1000")).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(a.recv(so), Ok(None), "it has another peer now");
}

#[test]
fn sends_are_refused_for_their_own_reasons() {
    let mut a = Host::new(1);
    let so = a.socket(Domain::Inet, Proto::Udp);
    let big = vec![0; 9217];
    assert_eq!(
        a.send(so, &big, Some("10.0.0.2:9")),
        Err(SoError::Errno(Errno::EMSGSIZE))
    );
    assert_eq!(
        a.send(so, b"x", None),
        Err(SoError::Errno(Errno::EDESTADDRREQ))
    );
    assert_eq!(
        a.send(so, b"x", Some("10.0.0.2:0")),
        Err(SoError::Errno(Errno::EADDRNOTAVAIL))
    );
    assert_eq!(
        a.send(so, b"x", Some("10.0.0.255:9")),
        Err(SoError::Errno(Errno::EACCES))
    );
    assert_eq!(
        a.send(so, b"x", Some("192.0.2.1:9")),
        Err(SoError::Errno(Errno::ENETUNREACH))
    );
    assert_eq!(
        a.send(so, b"x", Some("[::1]:9")),
        Err(SoError::Errno(Errno::EAFNOSUPPORT))
    );
}

#[test]
fn a_broadcast_reaches_every_socket_of_the_port_and_is_never_refused() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let all: Vec<SoId> = (0..2)
        .map(|_| b.bound(Domain::Inet, "0.0.0.0:67"))
        .collect();
    let so = a.socket(Domain::Inet, Proto::Udp);
    a.with(|inet, _| inet.get_mut(so).unwrap().so.so_options |= SO_BROADCAST);
    a.send(so, b"who", Some("10.0.0.255:67")).unwrap();
    a.send(so, b"who", Some("10.0.0.255:68")).unwrap();
    settle(&mut a, &mut b);
    for so in all {
        assert_eq!(b.recv(so).unwrap().unwrap().0, b"who");
    }
    assert_eq!(a.recv(so), Ok(None), "no port unreachable");
}

#[test]
fn closed_ports_are_answered_up_to_the_limit_of_each_class() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let refused = |a: &mut Host, b: &mut Host, domain, proto, to: &str| {
        let refuses = |_: &u32| {
            let so = a.socket(domain, proto);
            a.connect(so, to).unwrap();
            if proto == Proto::Udp {
                a.send(so, b"x", None).unwrap();
            }
            settle(a, b);
            a.with(|inet, _| inet.get_mut(so).unwrap().so.so_error.is_some())
        };
        (0..300).filter(refuses).count()
    };
    // icmplim is 200 with a jitter of 16, errppslimit 100 with one of 8 (ip_icmp.c, icmp6.c, CURRENT of 2025).
    let (four, six) = ("10.0.0.2:9", "[2001:db8::2]:9");
    for (domain, proto, to, limit) in [
        (Domain::Inet, Proto::Udp, four, 184..=216),
        (Domain::Inet, Proto::Tcp, four, 184..=216),
        (Domain::Inet6, Proto::Udp, six, 92..=108),
        // Resets are one class for both families: that of this second is used up.
        (Domain::Inet6, Proto::Tcp, six, 0..=0),
    ] {
        let count = refused(&mut a, &mut b, domain, proto, to);
        assert!(limit.contains(&count), "{count} of {proto:?} to {to}");
    }
}

#[test]
fn a_full_buffer_drops_whole_datagrams() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let server = b.bound(Domain::Inet, "10.0.0.2:53");
    let so = a.socket(Domain::Inet, Proto::Udp);
    a.send(so, b"resolves the neighbour", Some("10.0.0.2:53"))
        .unwrap();
    settle(&mut a, &mut b);
    assert!(b.recv(server).unwrap().is_some());
    for n in 0..6 {
        a.send(so, &[n; 9000], Some("10.0.0.2:53")).unwrap();
    }
    settle(&mut a, &mut b);
    let got = std::iter::from_fn(|| b.recv(server).unwrap()).count();
    assert_eq!(got, 42_080 / 9000);
}

#[test]
fn datagrams_to_oneself_go_over_the_loopback() {
    let mut a = Host::new(1);
    let server = a.bound(Domain::Inet, "127.0.0.1:53");
    let so = a.socket(Domain::Inet, Proto::Udp);
    a.send(so, b"me", Some("127.0.0.1:53")).unwrap();
    assert!(a.vnet.take_output().is_none());
    let due = a.vnet.next_callout().unwrap();
    a.vnet.run_callouts(due);
    let (data, from) = a.recv(server).unwrap().unwrap();
    assert_eq!(
        (data.as_slice(), from.ip()),
        (b"me".as_slice(), addr("127.0.0.1"))
    );
}

#[test]
fn a_raw_socket_pings() {
    for (domain, proto, dst, echo, reply) in [
        (Domain::Inet, 1, "10.0.0.2:0", 8, 0),
        (Domain::Inet6, 58, "[2001:db8::2]:0", 128, 129),
    ] {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        let so = a.socket(domain, Proto::Raw(proto));
        let mut message = vec![echo, 0, 0, 0, 0, 1, 0, 1];
        if proto == 1 {
            let sum = crate::net::checksum::in_cksum(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        a.with(|inet, cx| inet.sosend(cx, so, &message, SendFlags::default(), Some(at(dst))))
            .unwrap();
        settle(&mut a, &mut b);
        let mut seen = Vec::new();
        while let Some((data, from)) = a.recv(so).unwrap() {
            let header = if proto == 1 { 20 } else { 0 };
            seen.push((data[header], from.ip()));
        }
        assert!(seen.contains(&(reply, at(dst).ip())), "{seen:?}");
    }
}

#[test]
fn two_sockets_never_share_four_addresses() {
    let mut a = Host::new(1);
    let first = a.bound(Domain::Inet, "10.0.0.1:1000");
    let second = a.bound(Domain::Inet, "0.0.0.0:1000");
    let connect = |a: &mut Host, so| a.with(|i, cx| i.soconnect(cx, so, at("10.0.0.2:53")));
    assert_eq!(connect(&mut a, first), Ok(()));
    assert_eq!(connect(&mut a, second), Err(Errno::EADDRINUSE));
    let inc = InConninfo {
        faddr: addr("10.0.0.2"),
        laddr: addr("10.0.0.1"),
        fport: 53,
        lport: 1000,
    };
    let found = a.with(|inet, _| inet.udb.lookup_exact(&inc));
    assert_eq!(found, Some(first));
}
