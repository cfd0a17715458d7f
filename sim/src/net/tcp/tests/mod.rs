// SPDX-License-Identifier: BSD-2-Clause
//! Two stacks on a link that can lose, repeat, delay and reorder, under one clock.

mod fastopen;
mod faults;
mod states;
mod strays;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::State;
use super::wire::{Segment, TH_ACK, TH_FIN, TH_PUSH, TH_RST, TH_SYN};
use crate::errno::Errno;
use crate::net::bandlim::Bandlim;
use crate::net::cx::{Cx, IpLayer, SoError, SoId, Wakeup};
use crate::net::packet::IpPacket;
use crate::net::socket::{Domain, Inet, Pcb, Proto, Recv, RecvFlags, SendFlags};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// An IP layer with one address per family that sends everything to the link.
struct Wire {
    addrs: [IpAddr; 2],
    mtu: u32,
    out: Vec<IpPacket>,
}

impl IpLayer for Wire {
    fn output(&mut self, mut packet: IpPacket) -> Result<(), Errno> {
        packet.delayed_cksum();
        let header = if packet.dst.is_ipv6() { 40 } else { 20 };
        if packet.payload.len() + header > self.mtu as usize {
            return Err(Errno::EMSGSIZE);
        }
        self.out.push(packet);
        Ok(())
    }

    fn source_for(&self, dst: IpAddr) -> Result<IpAddr, Errno> {
        Ok(self.addrs[usize::from(dst.is_ipv6())])
    }

    fn is_local(&self, addr: IpAddr) -> bool {
        self.addrs.contains(&addr)
    }

    fn is_broadcast(&self, _: IpAddr) -> bool {
        false
    }

    fn mtu_for(&self, _: IpAddr) -> u32 {
        self.mtu
    }

    fn default_ttl(&self, _: IpAddr) -> u8 {
        64
    }

    fn badport_bandlim(&mut self, _: Bandlim) -> bool {
        true
    }
}

/// A stack with its surroundings.
struct Host {
    inet: Inet,
    wire: Wire,
    rng: Rng,
    wakeups: Vec<Wakeup>,
}

impl Host {
    fn new(n: u8, seed: u64) -> Self {
        let mut rng = Rng::new(seed, &format!("host{n}"));
        let six: IpAddr = format!("2001:db8::{n}").parse().unwrap();
        Self {
            inet: Inet::new(&mut rng),
            wire: Wire {
                addrs: [IpAddr::from([10, 0, 0, n]), six],
                mtu: 1500,
                out: Vec::new(),
            },
            rng,
            wakeups: Vec::new(),
        }
    }

    fn with<R>(&mut self, now: Instant, f: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now,
            ip: &mut self.wire,
            rng: &mut self.rng,
            wakeups: &mut self.wakeups,
        };
        f(&mut self.inet, &mut cx)
    }

    fn state(&self, so: SoId) -> Option<State> {
        match &self.inet.get(so)?.pcb {
            Pcb::Tcp(tp) => Some(tp.t_state),
            _ => None,
        }
    }
}

/// Runs `f` on the client's end of a connection that was just opened with SACK and time stamps, with
/// segments of 1000 bytes.
pub(in crate::net::tcp) fn with_established<R>(f: impl FnOnce(&mut super::Conn<'_, '_>) -> R) -> R {
    let mut net = Net::new(1);
    let (client, _) = net.pair(false);
    net.call(0, |inet, cx| {
        inet.with_conn(client, cx, |conn| {
            conn.tp.t_maxseg = 1_012;
            f(conn)
        })
    })
    .expect("a connection")
}

/// An acknowledgement of `ack` with these blocks.
pub(in crate::net::tcp) fn report(ack: u32, blocks: &[(u32, u32)]) -> Segment {
    let addr = (IpAddr::from([10, 0, 0, 2]), 80);
    let sacks = blocks.iter().map(|&(start, end)| super::SackBlk {
        start: super::Seq(start),
        end: super::Seq(end),
    });
    Segment {
        src: addr,
        dst: addr,
        tos: 0,
        ttl: 64,
        seq: super::Seq(0),
        ack: super::Seq(ack),
        flags: TH_ACK,
        win: 65_535,
        urp: 0,
        to: super::TcpOpt {
            sacks: sacks.collect(),
            ..super::TcpOpt::default()
        },
        payload: Vec::new(),
        header: 0,
        start: 0,
        port: 0,
    }
}

/// What the link does to packets, in parts per million.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    loss: u32,
    dup: u32,
    corrupt: u32,
    /// Greatest extra delay.
    jitter: Duration,
}

/// Two hosts, 0 and 1, and the link between them.
struct Net {
    hosts: [Host; 2],
    now: Instant,
    delay: Duration,
    faults: Faults,
    rng: Rng,
    /// By arrival and order of sending: destination host and packet.
    flying: BTreeMap<(Instant, u64), (usize, IpPacket)>,
    sent: u64,
    /// Every segment that was sent: host and segment.
    log: Vec<(usize, Segment)>,
    keep_log: bool,
}

impl Net {
    fn new(seed: u64) -> Self {
        Self {
            hosts: [Host::new(1, seed), Host::new(2, seed)],
            now: Instant::BOOT.after(Duration::from_secs(10)),
            delay: Duration::from_millis(10),
            faults: Faults::default(),
            rng: Rng::new(seed, "link"),
            flying: BTreeMap::new(),
            sent: 0,
            log: Vec::new(),
            keep_log: true,
        }
    }

    /// Makes a call on a host and puts what it sends on the link.
    fn call<R>(&mut self, host: usize, f: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        let result = self.hosts[host].with(self.now, f);
        self.flush(host);
        result
    }

    fn flush(&mut self, host: usize) {
        for packet in std::mem::take(&mut self.hosts[host].wire.out) {
            let accept = super::Accept {
                sack: true,
                fastopen: true,
            };
            let seg = Segment::parse(packet.clone(), 0, accept).expect("a sound segment");
            if self.keep_log {
                self.log.push((host, seg));
            }
            if self.rng.chance(self.faults.loss) {
                continue;
            }
            let copies = if self.rng.chance(self.faults.dup) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let mut packet = packet.clone();
                if self.rng.chance(self.faults.corrupt) {
                    let bit = self.rng.below(packet.payload.len() as u64 * 8) as usize;
                    packet.payload[bit / 8] ^= 1 << (bit % 8);
                }
                let jitter = self.rng.below(self.faults.jitter.as_nanos() + 1);
                let at = self
                    .now
                    .after(self.delay)
                    .after(Duration::from_nanos(jitter));
                self.flying.insert((at, self.sent), (1 - host, packet));
                self.sent += 1;
            }
        }
    }

    /// The next moment at which something happens.
    fn next(&self) -> Option<Instant> {
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let timers = self.hosts.iter().filter_map(|h| h.inet.next_timer());
        timers.chain(arrival).min()
    }

    /// Lets one thing happen, if there is one before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let Some(at) = self.next().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        for host in 0..2 {
            self.call(host, |inet, cx| inet.run_timers(cx));
        }
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (host, packet) = entry.remove();
            self.call(host, |inet, cx| inet.tcp_input(cx, packet));
        }
        true
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.after(span);
        while self.step(end) {}
    }

    fn addr(&self, host: usize, port: u16, v6: bool) -> SocketAddr {
        SocketAddr::new(self.hosts[host].wire.addrs[usize::from(v6)], port)
    }

    fn socket(&mut self, host: usize, v6: bool) -> SoId {
        let domain = if v6 { Domain::Inet6 } else { Domain::Inet };
        let so = self
            .call(host, |inet, cx| inet.socreate(cx, domain, Proto::Tcp))
            .unwrap();
        self.hosts[host].inet.set_nonblocking(so, true);
        so
    }

    fn listener(&mut self, host: usize, port: u16, v6: bool) -> SoId {
        let so = self.socket(host, v6);
        let addr = self.addr(host, port, v6);
        self.call(host, |inet, cx| inet.sobind(cx, so, addr))
            .unwrap();
        self.call(host, |inet, cx| inet.solisten(cx, so, 10))
            .unwrap();
        so
    }

    fn connect(&mut self, host: usize, port: u16, v6: bool) -> SoId {
        let so = self.socket(host, v6);
        let addr = self.addr(1 - host, port, v6);
        self.call(host, |inet, cx| inet.soconnect(cx, so, addr))
            .unwrap();
        so
    }

    fn accept(&mut self, host: usize, so: SoId) -> Result<SoId, SoError> {
        let new = self
            .call(host, |inet, cx| inet.soaccept(cx, so))
            .map(|(new, _)| new)?;
        self.hosts[host].inet.set_nonblocking(new, true);
        Ok(new)
    }

    /// A connection from host 0 to host 1, established.
    fn pair(&mut self, v6: bool) -> (SoId, SoId) {
        let listener = self.listener(1, 80, v6);
        let client = self.connect(0, 80, v6);
        self.run(Duration::from_millis(100));
        let server = self.accept(1, listener).unwrap();
        assert_eq!(self.hosts[0].inet.soconnected(client), Ok(()));
        (client, server)
    }

    fn send(&mut self, host: usize, so: SoId, data: &[u8]) -> Result<usize, SoError> {
        self.call(host, |inet, cx| {
            inet.sosend(cx, so, data, SendFlags::default(), None)
        })
    }

    fn recv(&mut self, host: usize, so: SoId, len: usize) -> Result<Vec<u8>, SoError> {
        let got = self.call(host, |inet, cx| {
            inet.soreceive(cx, so, len, RecvFlags::default())
        });
        got.map(|Recv { data, .. }| data)
    }

    fn close(&mut self, host: usize, so: SoId) {
        self.call(host, |inet, cx| inet.soclose(cx, so)).unwrap();
    }

    /// The segments sent since the last call, as text: host, flags, relative length.
    fn trace(&mut self) -> Vec<String> {
        let name = |flags: u16| {
            let names = [
                (TH_SYN, 'S'),
                (TH_FIN, 'F'),
                (TH_RST, 'R'),
                (TH_PUSH, 'P'),
                (TH_ACK, '.'),
            ];
            names
                .iter()
                .filter(|(bit, _)| flags & bit != 0)
                .map(|(_, c)| *c)
                .collect::<String>()
        };
        std::mem::take(&mut self.log)
            .into_iter()
            .map(|(host, seg)| format!("{host} {} {}", name(seg.flags), seg.tlen()))
            .collect()
    }
}
