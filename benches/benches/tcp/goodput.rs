// SPDX-License-Identifier: BSD-2-Clause
//! One gibibyte through one connection on a clean link, beside smoltcp on its loopback device.
//!
//! Both run in one thread, in memory, under a clock of their own, over Ethernet frames of the same
//! length; a program writes and reads 64 KiB at a time. What each does for its bytes:
//!
//! * ours: two stacks as of two hosts, each with a routing table, neighbours and a socket layer; time
//!   stamps, SACK, CUBIC, buffers that grow by themselves up to FreeBSD's 2 MiB; checksums made and
//!   looked at, always.
//! * smoltcp: one interface that sends to itself; neither time stamps nor congestion control; buffers
//!   of 64 KiB, the size in its own examples; checksums as the table says (its loopback device, as it
//!   comes, has them off).
//!
//! The two are run in turn and the best run of each counts, since this is a measurement of the
//! programs and not of what else the machine does. A fall of the ratio means that the path of a
//! segment has become longer.

use benches::timed;
use model_tests::two_stacks::{CLEAN, TwoStacks};
use sim::net::cx::SoId;
use sim::net::link::Link;
use sim::net::socket::{RecvFlags, SendFlags};
use std::time::Duration;

use super::smol::Smol;

/// Bytes of a transfer.
const TOTAL: usize = 1 << 30;
/// Bytes that a program writes or reads in one call.
const PIECE: usize = 1 << 16;
/// Bytes of an Ethernet header.
const ETHER: usize = 14;
/// Turns that each gets.
const TURNS: usize = 5;

struct Ours {
    net: TwoStacks,
    client: SoId,
    server: SoId,
}

impl Ours {
    /// Frames of at most `frame` bytes, Ethernet header included.
    fn new(frame: usize) -> Self {
        let mut net = TwoStacks::new(1, (frame - ETHER) as u32, Link::new(CLEAN));
        let (client, server) = net.pair();
        Self {
            net,
            client,
            server,
        }
    }

    /// Lets each stack take in what the other has to say, until both are silent.
    fn exchange(&mut self) {
        let now = self.net.now;
        let [a, b] = &mut self.net.stacks;
        let [a_ether, b_ether] = self.net.ether;
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
    }

    /// Sends `total` bytes, a piece of `chunk` at a time, and receives them.
    fn transfer(&mut self, total: usize, chunk: &[u8]) {
        let (client, server) = (self.client, self.server);
        let (mut sent, mut got) = (0, 0);
        while got < total {
            let piece = chunk
                .get(..chunk.len().min(total - sent))
                .unwrap_or_default();
            let (now, before) = (self.net.now, got);
            let [a, _] = &mut self.net.stacks;
            let taken = a.with_transports(now, |inet, cx| {
                inet.sosend(cx, client, piece, SendFlags::default(), None)
            });
            sent += taken.unwrap_or_default();
            self.exchange();
            let [_, b] = &mut self.net.stacks;
            while let Ok(read) = b.with_transports(now, |inet, cx| {
                inet.soreceive(cx, server, PIECE, RecvFlags::default())
            }) {
                got += read.data.len();
            }
            self.exchange();
            while self
                .net
                .stacks
                .iter_mut()
                .any(|stack| stack.take_wakeup().is_some())
            {}
            if got == before {
                // Only a timer can bring it on.
                self.net.step(now.after(sim::time::Duration::MAX));
            }
        }
    }
}

/// Prints the table.
pub(crate) fn table() {
    println!("goodput of one connection, {} MiB, one core", TOTAL >> 20);
    println!("| frame | checksums | ours MiB/s | smoltcp MiB/s | ratio |");
    println!("|---|---|---|---|---|");
    for (frame, checksums) in [(1514, true), (65_535, true), (1514, false), (65_535, false)] {
        let mut chunk = vec![0x5a; PIECE];
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        for _ in 0..TURNS {
            let mut net = Ours::new(frame);
            ours = ours.min(timed(|| net.transfer(TOTAL, &chunk)));
            let mut smol = Smol::new(frame, checksums, PIECE);
            theirs = theirs.min(timed(|| smol.transfer(TOTAL, &mut chunk)));
        }
        let rate = |took: Duration| (TOTAL >> 20) as f64 / took.as_secs_f64();
        let asked = if checksums { "both" } else { "ours only" };
        println!(
            "| {frame} | {asked} | {:.0} | {:.0} | {:.2} |",
            rate(ours),
            rate(theirs),
            rate(ours) / rate(theirs)
        );
    }
}
