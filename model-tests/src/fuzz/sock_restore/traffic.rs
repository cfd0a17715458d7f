// SPDX-License-Identifier: BSD-2-Clause
//! A peer, programs and timers at a restored stack, and what is looked for after each step.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sim::net::checksum::{in_cksum, transport_cksum};
use sim::net::cx::SoId;
use sim::net::ether::{ETHERTYPE_IP, EtherHeader};
use sim::net::ifnet::IfIndex;
use sim::net::ipv4::Ipv4Header;
use sim::net::socket::{RecvFlags, SendFlags, Shut};
use sim::net::stack::InetVnet;
use sim::time::{Duration, Instant};
use vpscore::sock::{InAddr, Seq, Socket, TcpState};

use super::{Input, sockets};

/// `kern.ipc.maxsockbuf` of the stacks.
const MAXSOCKBUF: u32 = 2_097_152;
const IPPROTO_TCP: u8 = 6;
const SYN: u8 = 2;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A segment of the peer of a connection, its numbers relative to what the connection expects.
    Segment {
        which: usize,
        seq: i32,
        ack: i32,
        flags: u8,
        win: u16,
        urp: u16,
        options: Vec<u8>,
        len: usize,
    },
    /// A call of a program.
    Call(usize, u8, u16),
    /// Time until the next timers are due, and a little more.
    Timers(u8),
    /// Time alone.
    Wait(u32),
}

impl Step {
    pub(super) fn of(input: &mut Input<'_>) -> Self {
        let kind = input.byte();
        let which = usize::from(input.byte());
        match kind % 8 {
            0..=3 => {
                let near = |input: &mut Input<'_>| match input.byte() {
                    0..0x60 => 0,
                    n @ 0x60..0xc0 => i32::from(n as i8),
                    n @ 0xc0..0xf0 => i32::from(n as i8) * 1448,
                    _ => input.word() as i32,
                };
                let (seq, ack) = (near(input), near(input));
                let (flags, win) = (input.byte(), input.word() as u16);
                let options = options(input);
                Self::Segment {
                    which,
                    seq,
                    ack,
                    // Most segments of a connection acknowledge.
                    flags: flags & 0x3f | if flags & 0xc0 != 0 { 0x10 } else { 0 },
                    win,
                    urp: u16::from(input.byte()),
                    options,
                    len: input.below(1449) & usize::from(input.byte()).wrapping_mul(0x101),
                }
            }
            4 | 5 => Self::Call(which, input.byte(), input.word() as u16),
            6 => Self::Timers(input.byte()),
            _ => Self::Wait(input.word() as u32 % 100_000_000),
        }
    }
}

/// Options that a segment carries: timestamps, blocks, or anything.
fn options(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = match input.byte() % 4 {
        0 | 1 => Vec::new(),
        2 => {
            let mut ts = vec![1, 1, 8, 10];
            ts.extend(input.word().to_be_bytes());
            ts
        }
        _ => {
            let n = input.below(41);
            (0..n).map(|_| input.byte()).collect()
        }
    };
    out.resize(out.len().next_multiple_of(4).min(40), 0);
    out
}

/// A restored stack at work.
pub(super) struct Traffic {
    stack: InetVnet,
    ether: IfIndex,
    now: Instant,
    sockets: Vec<(SoId, Socket)>,
    /// The furthest that each connection may send to, by its ends.
    edges: BTreeMap<(u16, u16, InAddr), Seq>,
}

impl Traffic {
    pub(super) fn new(stack: InetVnet, uptime: Duration) -> Self {
        let ethernet = stack.ip.ifnets().map(|(index, _)| index).last();
        Self {
            ether: ethernet.expect("an interface"),
            stack,
            now: Instant::BOOT.after(uptime),
            sockets: Vec::new(),
            edges: BTreeMap::new(),
        }
    }

    /// Lets something happen; what was seen of it.
    pub(super) fn step(&mut self, step: &Step) -> Vec<String> {
        let mut seen = Vec::new();
        match step {
            Step::Segment { which, .. } => {
                if let Some(packet) = self.segment(*which, step) {
                    let header = EtherHeader {
                        dst: self.mac(),
                        src: sim::net::ether::MacAddr([2, 0, 0, 0, 0, 9]),
                        kind: ETHERTYPE_IP,
                    };
                    let frame = [&header.bytes()[..], &packet].concat();
                    self.stack.input(self.now, self.ether, frame);
                }
            }
            Step::Call(which, call, n) => seen.push(self.call(*which, *call, *n)),
            Step::Timers(more) => {
                if let Some(due) = self.stack.next_callout() {
                    let more = Duration::from_millis(u64::from(*more));
                    self.now = self.now.max(due).after(more);
                    self.stack.run_callouts(self.now);
                }
            }
            Step::Wait(us) => {
                self.now = self.now.after(Duration::from_micros(u64::from(*us)));
                if self.stack.next_callout().is_some_and(|due| due <= self.now) {
                    self.stack.run_callouts(self.now);
                }
            }
        }
        self.output(&mut seen);
        self.look();
        seen
    }

    /// Runs timers for a while; what is sent, and how far it is to the next one.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..8 {
            seen.extend(self.step(&Step::Timers(0)));
        }
        let next = self.stack.next_callout().map(|due| due.since(self.now));
        seen.push(format!("{next:?}"));
        seen
    }

    /// Looks at all sockets: their states are ones that the schema knows, their buffers within limits.
    pub(super) fn look(&mut self) {
        self.sockets = sockets(&self.stack, self.now);
        for (id, so) in &self.sockets {
            for sb in [&so.so_rcv, &so.so_snd].into_iter().flatten() {
                assert!(sb.sb_ccc <= MAXSOCKBUF, "{id:?}: {} bytes", sb.sb_ccc);
                assert!(
                    sb.sb_hiwat <= MAXSOCKBUF,
                    "{id:?}: room for {}",
                    sb.sb_hiwat
                );
            }
            let (Some(tp), Some(inp)) = (&so.tcpcb, &so.inpcb) else {
                continue;
            };
            if tp.t_state == TcpState::Closed || tp.t_state == TcpState::Listen {
                continue;
            }
            let inc = &inp.inp_inc;
            let edge = self
                .edges
                .entry((inc.lport, inc.fport, inc.faddr))
                .or_insert(tp.snd_max);
            let offered = tp.snd_una.plus(tp.snd_wnd);
            if edge.before(offered) {
                *edge = offered;
            }
        }
    }

    /// What is sent: segments of known connections lie within what their peer offered, but for a probe
    /// of one byte, and FIN and SYN, which are none.
    fn output(&mut self, seen: &mut Vec<String>) {
        while let Some((_, frame)) = self.stack.take_output() {
            seen.push(format!("{frame:02x?}"));
            let (header, packet) = EtherHeader::parse(&frame).expect("a whole header");
            if header.kind != ETHERTYPE_IP {
                continue;
            }
            let (ip, payload) = Ipv4Header::parse(packet).expect("a right header");
            if ip.proto != IPPROTO_TCP || ip.offset != 0 || ip.mf {
                continue;
            }
            let (src, dst) = (IpAddr::from(ip.src), IpAddr::from(ip.dst));
            assert_eq!(transport_cksum(src, dst, IPPROTO_TCP, payload), 0);
            let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
            let text = payload.len() - usize::from(payload[12] >> 4) * 4;
            let key = (port(0), port(2), InAddr::V4(ip.dst.octets()));
            let start = u32::from_be_bytes(payload[4..8].try_into().expect("four bytes"));
            let syn = u32::from(payload[13] & SYN != 0);
            let end = Seq(start).plus(text as u32 + syn);
            if let Some(edge) = self.edges.get(&key).filter(|_| text > 0) {
                let beyond = end.since(*edge);
                assert!(beyond <= 1, "{text} bytes, {beyond} beyond the window");
            }
        }
        while self.stack.take_wakeup().is_some() {}
    }

    fn mac(&self) -> sim::net::ether::MacAddr {
        let found = self
            .stack
            .ip
            .ifnets()
            .find_map(|(_, ifnet)| match ifnet.kind {
                sim::net::ifnet::IfKind::Ethernet { mac } => Some(mac),
                _ => None,
            });
        found.expect("an Ethernet")
    }

    /// The packet of a segment; of a listener's, one from a stranger.
    fn segment(&mut self, which: usize, step: &Step) -> Option<Vec<u8>> {
        let Step::Segment {
            seq,
            ack,
            flags,
            win,
            urp,
            options,
            len,
            ..
        } = step
        else {
            return None;
        };
        let tcp: Vec<&Socket> = self.sockets.iter().map(|(_, so)| so).collect();
        let tcp: Vec<&&Socket> = tcp.iter().filter(|so| so.tcpcb.is_some()).collect();
        let so = tcp.get(which.checked_rem(tcp.len())?)?;
        let (tp, inc) = (so.tcpcb.as_ref()?, so.inpcb.as_ref()?.inp_inc);
        let (InAddr::V4(laddr), InAddr::V4(faddr)) = (inc.laddr, inc.faddr) else {
            return None;
        };
        let stranger = inc.fport == 0;
        let faddr = if stranger { [10, 0, 0, 77] } else { faddr };
        let fport = if stranger { 7_777 } else { inc.fport };
        let seq = tp.rcv_nxt.0.wrapping_add_signed(*seq);
        let ack = tp.snd_max.0.wrapping_add_signed(*ack);
        if *flags & 0x10 != 0 {
            // Also what is ignored counts as offered: that only makes the check milder.
            let offered = Seq(ack).plus(u32::from(*win) << tp.snd_scale.min(14));
            let known = Seq(ack).at_most(tp.snd_max) && tp.snd_una.at_most(Seq(ack));
            let edge = self.edges.get_mut(&(inc.lport, inc.fport, inc.faddr));
            if let Some(edge) = edge.filter(|edge| known && edge.before(offered)) {
                *edge = offered;
            }
        }
        let mut tcp = Vec::new();
        tcp.extend(fport.to_be_bytes());
        tcp.extend(inc.lport.to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        tcp.extend([((20 + options.len()) * 4) as u8, *flags]);
        tcp.extend(win.to_be_bytes());
        tcp.extend([0; 2]);
        tcp.extend(urp.to_be_bytes());
        tcp.extend(options);
        tcp.extend((0..*len).map(|n| n as u8));
        let sum = transport_cksum(faddr.into(), laddr.into(), IPPROTO_TCP, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        Some(packet(faddr, laddr, &tcp))
    }

    /// A call on a socket; what it gave.
    fn call(&mut self, which: usize, call: u8, n: u16) -> String {
        let all = &self.sockets;
        let Some(&(so, _)) = which.checked_rem(all.len()).and_then(|at| all.get(at)) else {
            return String::new();
        };
        let len = usize::from(n);
        let peer = SocketAddr::from(([10, 0, 0, 99], n.max(1)));
        self.stack.with_transports(self.now, |inet, cx| {
            inet.set_nonblocking(so, true);
            match call % 12 {
                0..=2 => {
                    let flags = SendFlags {
                        oob: call & 0x80 != 0,
                        ..SendFlags::default()
                    };
                    format!("{:?}", inet.sosend(cx, so, &vec![call; len], flags, None))
                }
                3 | 4 => {
                    let flags = RecvFlags {
                        oob: call & 0x80 != 0,
                        ..RecvFlags::default()
                    };
                    format!(
                        "{:?}",
                        inet.soreceive(cx, so, len, flags).map(|got| got.data)
                    )
                }
                5 => format!("{:?}", inet.soshutdown(cx, so, Shut::Wr)),
                6 => format!("{:?}", inet.soshutdown(cx, so, Shut::Rd)),
                7 if n.is_multiple_of(4) => {
                    inet.soclose_now(cx, so);
                    String::new()
                }
                8 => format!("{:?}", inet.soconnect(cx, so, peer)),
                9 => {
                    let level = [0xffff, 6][usize::from(call >> 7)];
                    let name = i32::from(n & 0xff) | if level == 6 { 0 } else { 0x1000 };
                    let value = (i32::from(n) << (call & 0xf)).to_le_bytes();
                    format!("{:?}", inet.sosetopt(cx, so, level, name, &value))
                }
                10 => format!("{:?}", inet.tcp_info(cx, so)),
                _ => format!("{:?}", inet.soaccept(cx, so).map(|(_, from)| from)),
            }
        })
    }
}

/// An IPv4 packet without options.
fn packet(src: [u8; 4], dst: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend(((20 + payload.len()) as u16).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, IPPROTO_TCP, 0, 0]);
    ip.extend(src);
    ip.extend(dst);
    let sum = in_cksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    ip.extend(payload);
    ip
}
