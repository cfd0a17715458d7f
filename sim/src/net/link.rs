// SPDX-License-Identifier: BSD-2-Clause
//! A wire: one direction of a link between two ports, with the faults that real ones have.
//!
//! A wire is data and a pure function over it: [`Wire::send`] says when which bytes arrive. The
//! caller keeps the event queue and the random numbers. A cable is two wires.
//!
//! - I1: without reordering, frames arrive in the order in which they were sent.
//! - I2: a frame arrives not before its last bit was sent and has travelled `latency`.
//! - I3: what waits for the wire never exceeds `queue_limit_bytes` by more than one frame.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Parts per million: the unit of every fault's probability.
pub const PPM: u32 = 1_000_000;

/// What a wire is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireConfig {
    /// Time that a bit travels.
    pub latency: Duration,
    /// Bits per second; 0 for a wire that takes no time to send.
    pub bandwidth_bps: u64,
    /// Bytes that may wait to be sent; meaningless without a bandwidth.
    pub queue_limit_bytes: u64,
    /// Frames lost, per million.
    pub loss_ppm: u32,
    /// Frames that arrive twice, per million.
    pub duplicate_ppm: u32,
    /// Frames with one wrong bit, per million: an error behind the frame check sequence, which only
    /// the checksums of the protocols can catch.
    pub corrupt_ppm: u32,
    /// Frames that are held back so that later ones overtake them, per million.
    pub reorder_ppm: u32,
    /// How long these are held back at most.
    pub reorder_delay: Duration,
}

impl Default for WireConfig {
    /// A gigabit Ethernet in a room, without faults.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(50),
            bandwidth_bps: 1_000_000_000,
            queue_limit_bytes: 1 << 20,
            loss_ppm: 0,
            duplicate_ppm: 0,
            corrupt_ppm: 0,
            reorder_ppm: 0,
            reorder_delay: Duration::from_millis(1),
        }
    }
}

/// What became of the frames of a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireStats {
    /// Frames given to it.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost while it was cut.
    pub cut: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Delivered with a wrong bit.
    pub corrupted: u64,
    /// Held back.
    pub reordered: u64,
}

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives.
    pub at: Instant,
    /// Its bytes on arrival.
    pub frame: Vec<u8>,
}

/// One direction of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// What it is like; may be changed at any time, for frames sent from then on.
    pub config: WireConfig,
    /// Nothing gets through while this is set.
    pub is_cut: bool,
    /// What became of the frames so far.
    pub stats: WireStats,
    busy_until: Instant,
}

impl Wire {
    /// A wire of this kind.
    pub fn new(config: WireConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// Sends a frame: gives its arrivals, none where it is lost and two where it is repeated.
    ///
    /// `now` never goes back from one call to the next.
    pub fn send(&mut self, now: Instant, rng: &mut Rng, frame: Vec<u8>) -> Vec<Arrival> {
        self.stats.sent += 1;
        if self.is_cut {
            self.stats.cut += 1;
            return Vec::new();
        }
        let Some(sent_at) = self.serialise(now, frame.len() as u64) else {
            self.stats.overflowed += 1;
            return Vec::new();
        };
        if hit(rng, self.config.loss_ppm) {
            self.stats.lost += 1;
            return Vec::new();
        }
        let on_time = sent_at.after(self.config.latency);
        let twice = hit(rng, self.config.duplicate_ppm);
        self.stats.duplicated += u64::from(twice);
        let mut arrivals = Vec::with_capacity(1 + usize::from(twice));
        if twice {
            arrivals.push(self.travel(rng, on_time, frame.clone()));
        }
        arrivals.push(self.travel(rng, on_time, frame));
        arrivals
    }

    /// When the last bit of a frame has been sent; `None` where the queue is full.
    fn serialise(&mut self, now: Instant, bytes: u64) -> Option<Instant> {
        let bps = u128::from(self.config.bandwidth_bps);
        if bps == 0 {
            return Some(now);
        }
        let wait = u128::from(self.busy_until.since(now).as_nanos());
        if wait * bps / 8_000_000_000 > u128::from(self.config.queue_limit_bytes) {
            return None;
        }
        let nanos = (u128::from(bytes) * 8_000_000_000).div_ceil(bps);
        let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until = self.busy_until.max(now).after(took);
        Some(self.busy_until)
    }

    fn travel(&mut self, rng: &mut Rng, on_time: Instant, mut frame: Vec<u8>) -> Arrival {
        if hit(rng, self.config.corrupt_ppm) && !frame.is_empty() {
            let bit = rng.below(frame.len() as u64 * 8) as usize;
            if let Some(byte) = frame.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
                self.stats.corrupted += 1;
            }
        }
        let mut at = on_time;
        if hit(rng, self.config.reorder_ppm) {
            self.stats.reordered += 1;
            let span = self.config.reorder_delay.as_nanos();
            at = at.after(Duration::from_nanos(rng.below(span) + 1));
        }
        Arrival { at, frame }
    }
}

/// Draws only where there is something to decide, so that a wire without faults costs no numbers.
fn hit(rng: &mut Rng, ppm: u32) -> bool {
    ppm > 0 && rng.chance(ppm)
}

/// One end of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The first port.
    A,
    /// The second port.
    B,
}

impl End {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Two wires between two ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// From end A to end B.
    pub a_to_b: Wire,
    /// From end B to end A.
    pub b_to_a: Wire,
}

impl Link {
    /// A link that is alike in both directions.
    pub fn new(config: WireConfig) -> Self {
        Self {
            a_to_b: Wire::new(config),
            b_to_a: Wire::new(config),
        }
    }

    /// The wire by which an end sends.
    pub fn wire_from(&mut self, end: End) -> &mut Wire {
        match end {
            End::A => &mut self.a_to_b,
            End::B => &mut self.b_to_a,
        }
    }

    /// Cuts or mends both directions.
    pub fn set_cut(&mut self, cut: bool) {
        self.a_to_b.is_cut = cut;
        self.b_to_a.is_cut = cut;
    }

    /// Sends a frame from one end; it arrives at the other.
    pub fn send(&mut self, now: Instant, rng: &mut Rng, from: End, frame: Vec<u8>) -> Vec<Arrival> {
        self.wire_from(from).send(now, rng, frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> WireConfig {
        WireConfig {
            latency: Duration::from_millis(10),
            bandwidth_bps: 8_000_000, // a byte a microsecond
            queue_limit_bytes: 3_000,
            ..WireConfig::default()
        }
    }

    fn ms(n: u64) -> Instant {
        Instant::BOOT.after(Duration::from_millis(n))
    }

    #[test]
    fn a_frame_takes_its_length_over_the_bandwidth_and_the_latency() {
        let mut wire = Wire::new(plain());
        let mut rng = Rng::new(1, "wire");
        let first = wire.send(ms(0), &mut rng, vec![0; 1000]);
        let second = wire.send(ms(0), &mut rng, vec![0; 1000]);
        assert_eq!(first[0].at, ms(11));
        assert_eq!(second[0].at, ms(12), "behind the first");
        wire.config.bandwidth_bps = 0;
        assert_eq!(wire.send(ms(5), &mut rng, vec![0; 1000])[0].at, ms(15));
    }

    #[test]
    fn a_full_queue_drops_and_drains_with_time() {
        let mut wire = Wire::new(plain());
        let mut rng = Rng::new(1, "wire");
        let mut send = |wire: &mut Wire, now| wire.send(now, &mut rng, vec![0; 1000]).len();
        let through: usize = (0..10).map(|_| send(&mut wire, ms(0))).sum();
        assert_eq!(through, 4, "three thousand bytes and one frame more");
        assert_eq!(wire.stats.overflowed, 6);
        assert_eq!(send(&mut wire, ms(1)), 1);
        assert_eq!(send(&mut wire, ms(1)), 0);
    }

    #[test]
    fn each_fault_happens_about_as_often_as_asked() {
        let mut rng = Rng::new(7, "wire");
        let mut wire = Wire::new(WireConfig {
            bandwidth_bps: 0,
            loss_ppm: 100_000,
            duplicate_ppm: 200_000,
            corrupt_ppm: 50_000,
            reorder_ppm: 300_000,
            ..plain()
        });
        let frame = vec![0xaa; 100];
        let mut wrong = 0;
        for _ in 0..10_000 {
            for arrival in wire.send(ms(0), &mut rng, frame.clone()) {
                let late = arrival.at.since(ms(10));
                assert!(late <= wire.config.reorder_delay);
                let flipped: u32 = (arrival.frame.iter().zip(&frame))
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum();
                assert!(flipped <= 1);
                wrong += u64::from(flipped);
            }
        }
        let s = wire.stats;
        assert!((900..1100).contains(&s.lost), "{s:?}");
        assert!((1600..2000).contains(&s.duplicated), "{s:?}");
        assert!((450..650).contains(&s.corrupted), "{s:?}");
        assert!((3000..3500).contains(&s.reordered), "{s:?}");
        assert_eq!(wrong, s.corrupted);
    }

    #[test]
    fn a_cut_link_carries_nothing_either_way_until_mended() {
        let mut link = Link::new(plain());
        let mut rng = Rng::new(1, "wire");
        link.set_cut(true);
        for end in [End::A, End::B] {
            assert!(link.send(ms(0), &mut rng, end, vec![1]).is_empty());
        }
        link.set_cut(false);
        link.b_to_a.is_cut = true;
        assert_eq!(link.send(ms(0), &mut rng, End::A, vec![1]).len(), 1);
        assert!(link.send(ms(0), &mut rng, End::B, vec![1]).is_empty());
        assert_eq!((link.a_to_b.stats.cut, link.b_to_a.stats.cut), (1, 2));
    }
}
