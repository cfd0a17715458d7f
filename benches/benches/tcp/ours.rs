// SPDX-License-Identifier: BSD-2-Clause
//! The emulated stack with one connection: between two hosts, or of a host with itself.

use model_tests::two_stacks::{CLEAN, TwoStacks};
use sim::net::cx::SoId;
use sim::net::ip::LOOPBACK_DELAY;
use sim::net::link::Link;
use sim::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags};
use sim::net::vnet::Vnet;
use sim::time::{Duration, Instant};
use std::net::SocketAddr;

/// Bytes of an Ethernet header.
pub(crate) const ETHER: usize = 14;

/// A connection that stands.
pub(crate) enum Ours {
    /// Between two hosts with an Ethernet between them.
    Hosts {
        net: Box<TwoStacks>,
        client: SoId,
        server: SoId,
    },
    /// Over a host's `lo0`.
    Lo {
        stack: Box<Vnet<Inet>>,
        now: Instant,
        client: SoId,
        server: SoId,
    },
}

impl Ours {
    /// Two hosts; frames of at most `frame` bytes, Ethernet header included.
    pub(crate) fn hosts(frame: usize) -> Self {
        let mut net = Box::new(TwoStacks::new(1, (frame - ETHER) as u32, Link::new(CLEAN)));
        let (client, server) = net.pair();
        Self::Hosts {
            net,
            client,
            server,
        }
    }

    /// One host; `lo0` with this MTU.
    pub(crate) fn lo0(mtu: u32) -> Self {
        let mut stack = Box::new(Vnet::new(1, "host", Inet::new));
        let mut now = Instant::BOOT.after(Duration::from_secs(10));
        let lo = stack.ip.ifindex_of("lo0").expect("every vnet has one");
        stack.ip.ifnet_mut(lo).expect("it is there").mtu = mtu;
        let at = SocketAddr::from(([127, 0, 0, 1], 80));
        let (listener, client) = stack.with_transports(now, |inet, cx| {
            let listener = inet
                .socreate(cx, Domain::Inet, Proto::Tcp)
                .expect("a socket");
            inet.sobind(cx, listener, at).expect("a free port");
            inet.solisten(cx, listener, 1).expect("a listener");
            let client = inet
                .socreate(cx, Domain::Inet, Proto::Tcp)
                .expect("a socket");
            for so in [listener, client] {
                inet.set_nonblocking(so, true);
            }
            inet.soconnect(cx, client, at).expect("a connection");
            (listener, client)
        });
        loop_back(&mut stack, &mut now);
        let server = stack.with_transports(now, |inet, cx| {
            let (server, _) = inet.soaccept(cx, listener).expect("established");
            inet.set_nonblocking(server, true);
            server
        });
        Self::Lo {
            stack,
            now,
            client,
            server,
        }
    }

    /// Sends what fits; how much that was.
    fn send(&mut self, piece: &[u8]) -> usize {
        let (stack, now, client) = match self {
            Self::Hosts { net, client, .. } => (&mut net.stacks[0], net.now, *client),
            Self::Lo {
                stack, now, client, ..
            } => (&mut **stack, *now, *client),
        };
        let sent = stack.with_transports(now, |inet, cx| {
            inet.sosend(cx, client, piece, SendFlags::default(), None)
        });
        sent.unwrap_or_default()
    }

    /// Receives all that is there, `most` bytes in a call; how much that was.
    fn receive(&mut self, most: usize) -> usize {
        let (stack, now, server) = match self {
            Self::Hosts { net, server, .. } => (&mut net.stacks[1], net.now, *server),
            Self::Lo {
                stack, now, server, ..
            } => (&mut **stack, *now, *server),
        };
        let mut got = 0;
        while let Ok(read) = stack.with_transports(now, |inet, cx| {
            inet.soreceive(cx, server, most, RecvFlags::default())
        }) {
            got += read.data.len();
        }
        got
    }

    /// Takes all packets where they go, until there are none, and forgets who would be woken.
    fn exchange(&mut self) {
        match self {
            Self::Hosts { net, .. } => {
                let now = net.now;
                let [a_ether, b_ether] = net.ether;
                let [a, b] = &mut net.stacks;
                let mut silent = false;
                while !silent {
                    silent = true;
                    while let Some((_, frame)) = a.take_output() {
                        b.input(now, b_ether, frame);
                        silent = false;
                    }
                    while let Some((_, frame)) = b.take_output() {
                        a.input(now, a_ether, frame);
                        silent = false;
                    }
                }
                while a.take_wakeup().or(b.take_wakeup()).is_some() {}
            }
            Self::Lo { stack, now, .. } => {
                loop_back(stack, now);
                while stack.take_wakeup().is_some() {}
            }
        }
    }

    /// Lets the next timer fire.
    fn wait(&mut self) {
        match self {
            Self::Hosts { net, .. } => {
                let end = net.now.after(Duration::MAX);
                net.step(end);
            }
            Self::Lo { stack, now, .. } => {
                if let Some(at) = stack.next_callout() {
                    *now = at;
                    stack.run_callouts(at);
                }
            }
        }
    }

    /// Sends `total` bytes, a piece of `chunk` at a time, and receives them.
    pub(crate) fn transfer(&mut self, total: usize, chunk: &[u8]) {
        let (mut sent, mut got) = (0, 0);
        while got < total {
            let piece = chunk.len().min(total - sent);
            sent += self.send(chunk.get(..piece).unwrap_or_default());
            self.exchange();
            let read = self.receive(chunk.len());
            self.exchange();
            got += read;
            if read == 0 {
                // Only a timer can bring it on.
                self.wait();
            }
        }
    }
}

/// Lets the packets of the loopback queue arrive, and those that answer them.
fn loop_back(stack: &mut Vnet<Inet>, now: &mut Instant) {
    while let Some(at) = stack.next_callout()
        && at <= now.after(LOOPBACK_DELAY)
    {
        *now = at.max(*now);
        stack.run_callouts(*now);
    }
}
