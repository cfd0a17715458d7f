// SPDX-License-Identifier: BSD-2-Clause
//! Seeded randomness: one seed per world, split into a stream per component.
//!
//! A component that draws more or fewer numbers than before must not shift what the others draw,
//! so each gets a stream of its own, named by a label. The generator is ChaCha8, whose output is
//! the same on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// One component's stream of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of the component `label` in the world with this seed.
    pub fn new(seed: u64, label: &str) -> Self {
        // The label picks the ChaCha stream; the seed picks the key.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fnv1a(label.as_bytes()));
        Self(rng)
    }

    /// Where the stream stands: key, nonce and 32-bit words drawn.
    pub fn state(&self) -> ([u8; 32], u64, u64) {
        let words = self.0.get_word_pos() as u64;
        (self.0.get_seed(), self.0.get_stream(), words)
    }

    /// The stream that stands there.
    pub fn at(key: [u8; 32], nonce: u64, words: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(nonce);
        rng.set_word_pos(words.into());
        Self(rng)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 where `bound` is 0.
    ///
    /// The bias of the plain product is below 2^-32 for the bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with a probability of `parts_per_million` in a million.
    pub fn chance(&mut self, parts_per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(parts_per_million)
    }
}

/// FNV-1a with 64 bits: tells labels and frames apart, the same on every platform.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_by_label_and_repeat_by_seed() {
        let draw = |seed, label| Rng::new(seed, label).next_u64();
        assert_eq!(draw(1, "link0"), draw(1, "link0"));
        assert_ne!(draw(1, "link0"), draw(1, "link1"));
        assert_ne!(draw(1, "link0"), draw(2, "link0"));
    }

    #[test]
    fn the_stream_is_the_same_on_every_platform() {
        assert_eq!(Rng::new(42, "pin").next_u64(), PIN);
    }

    const PIN: u64 = 2_959_525_622_749_393_104;
}
