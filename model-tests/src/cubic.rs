// SPDX-License-Identifier: BSD-2-Clause
//! A bulk transfer over a link that loses packets by chance, and the window that CUBIC's model
//! predicts for it.
//!
//! The average window that RFC 9438 section 5.1 gives in closed form is that of a sender that loses
//! exactly one of every 1/p segments. A link that loses by chance has losses at random distances, and a
//! window that grows with the square or the cube of the distance has a larger mean then. So the mean
//! is not computed but counted ([`Path::window`]): RFC 9438's rules in real numbers, round trip by
//! round trip, with C = 0.4 and beta = 0.7 as FreeBSD has them (`sys/netinet/cc/cc_cubic.h`).
//!
//! FreeBSD's way out of recovery is part of the model, for it costs a fifth of a window of a hundred
//! segments. `tcp_output.c` (15-CURRENT of 2025) sends new text in a recovery with SACK only where the
//! window exceeds what was sent beyond `snd_una`, reported or not, which a reduced one does not. So
//! nothing is in flight at the end, and `cubic_post_recovery` starts from there with two segments (RFC
//! 6582 section 3.2 step 3), in slow start to the threshold. Lost retransmissions and timeouts are left
//! out.

use crate::two_stacks::{CLEAN, TwoStacks};
use sim::net::link::{Link, WireConfig};
use sim::rng::Rng;
use sim::time::Duration;

/// Round trips whose mean the model is.
const ROUNDS: u32 = 50_000;
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
    /// The average window that the model predicts, in segments, when it is loss that limits it.
    pub fn window(&self) -> f64 {
        let mut rng = Rng::new(1, "cubic");
        let mut model = Model::default();
        let mut sum = 0.0;
        for _ in 0..ROUNDS {
            sum += model.window;
            let sent = model.window.round() as u32;
            let losses = (0..sent).filter(|_| rng.chance(self.loss_ppm)).count();
            model.round(self.rtt.as_nanos() as f64 / 1e9, losses > 0);
        }
        sum / f64::from(ROUNDS)
    }

    /// The part of the bandwidth that this window makes use of.
    pub fn utilisation(&self) -> f64 {
        let per_rtt = self.bandwidth_bps as f64 * self.rtt.as_nanos() as f64 / 1e9;
        let used = self.window() * 8.0 * (SEGMENT + HEADERS) as f64 / per_rtt;
        used.min(1.0)
    }
}

/// RFC 9438's sender. Windows are in segments, times in seconds.
struct Model {
    window: f64,
    /// `W_max`
    maximum: f64,
    /// `cwnd_prior`
    prior: f64,
    /// `W_est`
    estimate: f64,
    /// Since the epoch began.
    t: f64,
    k: f64,
    phase: Phase,
    ssthresh: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Avoidance,
    Recovery,
    SlowStart,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            window: 10.0,
            maximum: 10.0,
            prior: 10.0,
            estimate: 10.0,
            t: 0.0,
            k: 0.0,
            phase: Phase::Avoidance,
            ssthresh: 10.0,
        }
    }
}

impl Model {
    /// A round trip has passed.
    fn round(&mut self, rtt: f64, lost: bool) {
        if lost {
            self.reduce();
            return;
        }
        match self.phase {
            Phase::Avoidance => self.avoid_congestion(rtt),
            Phase::Recovery => {
                self.window = 2.0;
                self.phase = Phase::SlowStart;
            }
            Phase::SlowStart => {
                self.window *= 2.0;
                if self.window >= self.ssthresh {
                    self.begin_epoch();
                }
            }
        }
    }

    /// Section 4.2 to 4.5.
    fn avoid_congestion(&mut self, rtt: f64) {
        self.t += rtt;
        self.estimate += if self.estimate < self.prior {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        } else {
            1.0
        };
        let curve = |t: f64| C * (t - self.k).powi(3) + self.maximum;
        self.window = if curve(self.t) < self.estimate {
            self.estimate
        } else {
            curve(self.t + rtt).clamp(self.window, 1.5 * self.window)
        };
    }

    /// Multiplicative decrease and fast convergence (sections 4.6, 4.7).
    fn reduce(&mut self) {
        self.prior = self.window;
        self.maximum = if self.window < self.maximum {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.ssthresh = (self.window * BETA).max(2.0);
        self.window = self.ssthresh;
        self.phase = Phase::Recovery;
    }

    fn begin_epoch(&mut self) {
        self.window = self.ssthresh;
        self.estimate = self.window;
        self.t = 0.0;
        self.k = ((self.maximum - self.window).max(0.0) / C).cbrt();
        self.phase = Phase::Avoidance;
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
