// SPDX-License-Identifier: BSD-2-Clause
//! Text that comes in any order, and text that comes twice: what the receiver acknowledges and reports (RFC 2018
//! section 4, RFC 2883 section 4), by a receiver of its own that knows octets and no queue.
//!
//! FreeBSD reports as RFC 2883 says, the block of the newest segment first; what came twice before that, and of
//! several pieces that did the first (`tcp_sack.c`, `tcp_reass.c`, 15-CURRENT).

use std::fmt::Write as _;

use sim::packetdrill::parser::parse;
use sim::packetdrill::run::Manner;
use sim::packetdrill::run::emulated::Emulated;
use sim::packetdrill::run::moved::{Form, Moving, RunScript};

/// A half-open range of sequence numbers.
type Block = (u32, u32);

/// Octets of the receive buffer: 65,536 in whole segments of 1460.
const BUFFER: u32 = 65_700;

/// A receiver that has agreed on SACK and nothing else.
struct Receiver {
    rcv_nxt: u32,
    /// What waits, the newest first.
    blocks: Vec<Block>,
    /// An acknowledgement is delayed.
    delayed: bool,
}

impl Receiver {
    fn new() -> Self {
        Self {
            rcv_nxt: 1,
            blocks: Vec::new(),
            delayed: false,
        }
    }

    /// The first part of the segment that is there already.
    fn twice(&self, (from, to): Block) -> Option<Block> {
        let mut known = vec![(1, self.rcv_nxt)];
        known.extend(&self.blocks);
        known.sort_unstable();
        known
            .into_iter()
            .map(|(a, b)| (a.max(from), b.min(to)))
            .find(|(a, b)| a < b)
    }

    /// Takes a segment; the acknowledgement that it brings about at once, as a script writes it.
    fn take(&mut self, segment: Block) -> Option<String> {
        let twice = self.twice(segment);
        let plain = segment.0 == self.rcv_nxt && self.blocks.is_empty();
        // What touches the segment becomes one with it.
        let (mut from, mut to) = segment;
        let mut old = std::mem::take(&mut self.blocks);
        while let Some(at) = old.iter().position(|(a, b)| *a <= to && from <= *b) {
            let (a, b) = old.remove(at);
            (from, to) = (from.min(a), to.max(b));
        }
        if from <= self.rcv_nxt {
            self.rcv_nxt = self.rcv_nxt.max(to);
        } else {
            self.blocks.push((from, to));
        }
        self.blocks.append(&mut old);
        // Every other segment in order is acknowledged at once (RFC 9293 section 3.8.6.3).
        self.delayed = plain && !self.delayed;
        if self.delayed {
            return None;
        }
        Some(self.acknowledgement(twice))
    }

    fn acknowledgement(&self, twice: Option<Block>) -> String {
        let window = (BUFFER - (self.rcv_nxt - 1)).min(65_535);
        let mut line = format!("> . 1:1(0) ack {} win {window}", self.rcv_nxt);
        // Four blocks fill the options (RFC 2018 section 3).
        let all = twice.iter().chain(&self.blocks).take(4);
        let all: Vec<String> = all.map(|(a, b)| format!("{a}:{b}")).collect();
        if !all.is_empty() {
            let _ = write!(line, " <nop,nop,sack {}>", all.join(" "));
        }
        line
    }
}

/// A connection, and these segments in this order.
fn script(segments: &[Block]) -> String {
    let mut text = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
                    +0 bind(3, ..., ...) = 0\n\
                    +0 listen(3, 1) = 0\n\
                    +0 < S 0:0(0) win 65535 <mss 1460,sackOK,eol,eol>\n\
                    +0 > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,eol,eol>\n\
                    +.01 < . 1:1(0) ack 1 win 65535\n\
                    +0 accept(3, ..., ...) = 4\n"
        .to_owned();
    let mut receiver = Receiver::new();
    for &(from, to) in segments {
        let _ = writeln!(text, "+0 < . {from}:{to}({}) ack 1 win 65535", to - from);
        if let Some(answer) = receiver.take((from, to)) {
            let _ = writeln!(text, "+0 {answer}");
        }
    }
    if receiver.delayed {
        let _ = writeln!(text, "+.04 {}", receiver.acknowledgement(None));
    }
    let there = receiver.rcv_nxt - 1;
    if there > 0 {
        let _ = writeln!(text, "+0 recv(4, ..., 2000, MSG_PEEK) = {there}");
        let _ = writeln!(text, "+0 ioctl(4, FIONREAD, [{there}]) = 0");
    }
    text
}

fn judge(how: &impl RunScript, text: &str) {
    let script = parse(text, &["FreeBSD"]).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let outcome = how.run_script(&script, Manner::default(), &mut |_, _, _| {});
    assert_eq!(outcome.failure, None, "{text}");
}

/// Every order of five segments of 1, 2, 4, 8 and 16 octets.
fn orders() -> Vec<Vec<Block>> {
    let mut all = vec![Vec::new()];
    for n in 0..5_u32 {
        let new = (1 << n, 2 << n);
        all = all
            .into_iter()
            .flat_map(|order: Vec<Block>| {
                (0..=order.len()).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, new);
                    order
                })
            })
            .collect();
    }
    all
}

/// Three islands behind the beginning of the stream, one segment across them in every way, and then all of it.
fn overlaps() -> Vec<Vec<Block>> {
    let mut all = Vec::new();
    for from in (25..775).step_by(25) {
        for to in (from + 25..800).step_by(25) {
            let islands = [(1, 100), (200, 300), (400, 500), (600, 700)];
            all.push([&islands[..], &[(from, to), (1, 800)]].concat());
        }
    }
    all
}

fn stays() -> Emulated {
    Emulated { seed: 1 }
}

fn moves() -> Moving {
    Moving {
        emulated: stays(),
        form: Form::Every,
        remap: false,
    }
}

#[test]
fn every_order_of_five_segments_is_acknowledged_and_reported() {
    let orders = orders();
    assert_eq!(orders.len(), 120);
    for order in orders {
        judge(&stays(), &script(&order));
    }
}

#[test]
fn text_that_comes_twice_is_reported_wherever_it_lies() {
    let overlaps = overlaps();
    assert_eq!(overlaps.len(), 465);
    for overlap in overlaps {
        judge(&stays(), &script(&overlap));
    }
}

#[test]
fn what_waits_and_what_is_reported_moves_along() {
    for segments in orders().into_iter().step_by(7) {
        judge(&moves(), &script(&segments));
    }
    for segments in overlaps().into_iter().step_by(29) {
        judge(&moves(), &script(&segments));
    }
}
