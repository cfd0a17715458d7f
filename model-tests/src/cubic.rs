// SPDX-License-Identifier: BSD-2-Clause
//! A bulk transfer over a link that loses packets by chance, and the window that CUBIC's model
//! predicts for it.
//!
//! RFC 9438 section 5.1 gives the average window, in segments, of a sender that loses one of every
//! 1/p segments, with C = 0.4 and beta = 0.7 as FreeBSD has them (`sys/netinet/cc/cc_cubic.h`, 15.0):
//!
//! * of the cubic curve (equation 5): (C (3 + beta) / (4 (1 - beta)))^(1/4) RTT^(3/4) / p^(3/4);
//! * of the Reno-friendly region (section 4.3): that of AIMD with the same average as Reno's,
//!   alpha = 3 (1 - beta) / (1 + beta), which is (3 / (2 p))^(1/2).
//!
//! A sender follows whichever is larger. The model has losses at even distances, no timeout and no
//! time spent in recovery.

use crate::two_stacks::{CLEAN, TwoStacks};
use sim::net::link::{Link, PPM, WireConfig};
use sim::time::Duration;

/// FreeBSD's constants.
const BETA: f64 = 0.7;
const C: f64 = 0.4;
/// Bytes of an Ethernet and an IPv4 header, a TCP header with time stamps.
const HEADERS: u64 = 14 + 20 + 32;
/// Bytes in a segment: what is left of an MTU of 1500.
const SEGMENT: u64 = 1448;
/// Bytes that the sender keeps in its buffer at least.
const AHEAD: usize = 1 << 16;

/// A way through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Bits per second in each direction.
    pub bandwidth_bps: u64,
    /// Round-trip time, apart from waiting and sending.
    pub rtt: Duration,
    /// Frames lost in each direction, per million.
    pub loss_ppm: u32,
}

impl Path {
    /// The average window that the model predicts, in segments, when it is loss that limits it:
    /// of the cubic curve, and of the Reno-friendly region.
    pub fn windows(&self) -> [f64; 2] {
        let p = f64::from(self.loss_ppm) / f64::from(PPM);
        let rtt = self.rtt.as_nanos() as f64 / 1e9;
        let cubic = (C * (3.0 + BETA) / (4.0 * (1.0 - BETA))).powf(0.25);
        [cubic * (rtt / p).powf(0.75), (1.5 / p).sqrt()]
    }

    /// The larger of the two.
    pub fn window(&self) -> f64 {
        let [cubic, reno] = self.windows();
        cubic.max(reno)
    }

    /// The part of the bandwidth that this window makes use of.
    pub fn utilisation(&self) -> f64 {
        let per_rtt = self.bandwidth_bps as f64 * self.rtt.as_nanos() as f64 / 1e9;
        let used = self.window() * 8.0 * (SEGMENT + HEADERS) as f64 / per_rtt;
        used.min(1.0)
    }
}

/// What a transfer did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The average window in segments, sampled at even distances of time.
    pub window: f64,
    /// The part of the bandwidth that new data and their headers took.
    pub utilisation: f64,
    /// Segments sent again, per segment of data.
    pub again: f64,
}

/// Sends for `span` over `path` and looks at the window every tenth of a round trip, after as long
/// again to let slow start pass.
pub fn measure(path: Path, seed: u64, span: Duration) -> Measured {
    let config = WireConfig {
        latency: Duration::from_nanos(path.rtt.as_nanos() / 2),
        bandwidth_bps: path.bandwidth_bps,
        // One product of bandwidth and delay.
        queue_limit_bytes: path.bandwidth_bps / 8 * path.rtt.as_millis() / 1000,
        loss_ppm: 0,
        ..CLEAN
    };
    let mut net = TwoStacks::new(seed, 1500, Link::new(config));
    let (client, server) = net.pair();
    for wire in [&mut net.link.a_to_b, &mut net.link.b_to_a] {
        wire.config.loss_ppm = path.loss_ppm;
    }
    let data = vec![0; AHEAD];
    let tenth = Duration::from_nanos(path.rtt.as_nanos() / 10);
    let rounds = span.as_nanos() / tenth.as_nanos();
    let (mut got, mut windows, mut again) = (0, 0.0, 0);
    for round in 0..2 * rounds {
        while net.send(0, client, &data) > 0 {}
        net.run(tenth);
        let mut read = 0;
        loop {
            let piece = net.recv(1, server, AHEAD).len();
            if piece == 0 {
                break;
            }
            read += piece;
        }
        let info = net.info(0, client);
        if round < rounds {
            again = info.snd_rexmitpack;
            continue;
        }
        got += read;
        windows += f64::from(info.snd_cwnd) / f64::from(info.snd_mss);
        if round + 1 == 2 * rounds {
            again = info.snd_rexmitpack - again;
        }
    }
    let segments = got as f64 / SEGMENT as f64;
    let seconds = span.as_nanos() as f64 / 1e9;
    let bits = segments * 8.0 * (SEGMENT + HEADERS) as f64;
    Measured {
        window: windows / rounds as f64,
        utilisation: bits / seconds / path.bandwidth_bps as f64,
        again: f64::from(again) / segments,
    }
}
