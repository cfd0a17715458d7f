// SPDX-License-Identifier: BSD-2-Clause
//! SHA-256 (FIPS 180-4): the digest of a whole image.
//!
//! [`Sha256`] runs everywhere. Machines have instructions that are several times as fast, for the checksums
//! of frames too, which this crate, without unsafe code, cannot use; whoever has them at hand gives his own
//! [`Digest`] to the reader and writer of images. The bytes are the same.

use crate::crc32c::Crc32c;

/// The fractional parts of the cube roots of the first 64 primes (FIPS 180-4, section 4.2.2).
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The fractional parts of the square roots of the first eight primes (section 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// A running SHA-256, and the way of whoever brings it to a frame's CRC-32C: an implementation gives what FIPS 180-4
/// and RFC 3720 say, or what it writes is no image and what it reads is refused.
pub trait Digest: Clone {
    /// Continues over `bytes`.
    fn update(&mut self, bytes: &[u8]);

    /// The digest of all that went in.
    fn finish(self) -> [u8; 32];

    /// A frame's checksum, continued over `bytes`.
    #[must_use]
    fn crc32c(mut running: Crc32c, bytes: &[u8]) -> Crc32c {
        running.update(bytes);
        running
    }
}

impl Digest for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }

    fn finish(self) -> [u8; 32] {
        Self::finish(self)
    }
}

/// A running digest.
#[derive(Clone, Debug)]
pub struct Sha256 {
    state: [u32; 8],
    /// Bytes of the block begun, and how many they are.
    block: [u8; 64],
    filled: usize,
    total: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// The digest of nothing yet.
    pub const fn new() -> Self {
        Self {
            state: INITIAL,
            block: [0; 64],
            filled: 0,
            total: 0,
        }
    }

    /// Continues over `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let added = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.total = self.total.wrapping_add(added);
        let mut rest = bytes;
        if self.filled > 0 {
            rest = self.fill(rest);
            if self.filled < 64 {
                return;
            }
            compress(&mut self.state, &self.block);
            self.filled = 0;
        }
        let (blocks, tail) = rest.as_chunks::<64>();
        for block in blocks {
            compress(&mut self.state, block);
        }
        self.fill(tail);
    }

    /// The digest of all that went in.
    pub fn finish(mut self) -> [u8; 32] {
        let bits = self.total.wrapping_mul(8);
        // A one bit, zeros up to 56 bytes of a block, the length in bits (section 5.1.1).
        self.update(&[0x80]);
        while self.filled != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_be_bytes());
        let mut digest = [0; 32];
        let words = self.state.iter().flat_map(|word| word.to_be_bytes());
        for (to, from) in digest.iter_mut().zip(words) {
            *to = from;
        }
        digest
    }

    /// Copies into the block begun what fits, and returns the rest.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let room = self.block.get_mut(self.filled..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.filled = self.filled.saturating_add(taken);
        bytes.get(taken..).unwrap_or_default()
    }
}

/// The digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(bytes);
    digest.finish()
}

/// One step of section 6.2.2. The eight words do not move: the next step names them the other way.
macro_rules! round {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $k:ident, $w:ident) => {
        let s1 = $e.rotate_right(6) ^ $e.rotate_right(11) ^ $e.rotate_right(25);
        let choice = $g ^ ($e & ($f ^ $g));
        let t1 = $h
            .wrapping_add(s1)
            .wrapping_add(choice)
            .wrapping_add($k)
            .wrapping_add($w);
        let s0 = $a.rotate_right(2) ^ $a.rotate_right(13) ^ $a.rotate_right(22);
        let majority = ($a & $b) ^ ($c & ($a ^ $b));
        $d = $d.wrapping_add(t1);
        $h = t1.wrapping_add(s0).wrapping_add(majority);
    };
}

/// The word of the message schedule 16 after `$w16`, in its place.
macro_rules! schedule {
    ($w16:ident, $w15:ident, $w7:ident, $w2:ident) => {
        let s0 = $w15.rotate_right(7) ^ $w15.rotate_right(18) ^ ($w15 >> 3);
        let s1 = $w2.rotate_right(17) ^ $w2.rotate_right(19) ^ ($w2 >> 10);
        $w16 = $w16.wrapping_add(s0).wrapping_add($w7).wrapping_add(s1);
    };
}

/// Section 6.2.2, sixteen steps at a time.
fn compress(state: &mut [u32; 8], block: &[u8; 64]) {
    let mut words = [0_u32; 16];
    for (to, from) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *to = u32::from_be_bytes(*from);
    }
    let [
        mut w0,
        mut w1,
        mut w2,
        mut w3,
        mut w4,
        mut w5,
        mut w6,
        mut w7,
        mut w8,
        mut w9,
        mut w10,
        mut w11,
        mut w12,
        mut w13,
        mut w14,
        mut w15,
    ] = words;
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    let (rows, _) = K.as_chunks::<16>();
    for (at, row) in rows.iter().enumerate() {
        let [
            k0,
            k1,
            k2,
            k3,
            k4,
            k5,
            k6,
            k7,
            k8,
            k9,
            k10,
            k11,
            k12,
            k13,
            k14,
            k15,
        ] = *row;
        if at > 0 {
            schedule!(w0, w1, w9, w14);
            schedule!(w1, w2, w10, w15);
            schedule!(w2, w3, w11, w0);
            schedule!(w3, w4, w12, w1);
            schedule!(w4, w5, w13, w2);
            schedule!(w5, w6, w14, w3);
            schedule!(w6, w7, w15, w4);
            schedule!(w7, w8, w0, w5);
            schedule!(w8, w9, w1, w6);
            schedule!(w9, w10, w2, w7);
            schedule!(w10, w11, w3, w8);
            schedule!(w11, w12, w4, w9);
            schedule!(w12, w13, w5, w10);
            schedule!(w13, w14, w6, w11);
            schedule!(w14, w15, w7, w12);
            schedule!(w15, w0, w8, w13);
        }
        round!(a b c d e f g h, k0, w0);
        round!(h a b c d e f g, k1, w1);
        round!(g h a b c d e f, k2, w2);
        round!(f g h a b c d e, k3, w3);
        round!(e f g h a b c d, k4, w4);
        round!(d e f g h a b c, k5, w5);
        round!(c d e f g h a b, k6, w6);
        round!(b c d e f g h a, k7, w7);
        round!(a b c d e f g h, k8, w8);
        round!(h a b c d e f g, k9, w9);
        round!(g h a b c d e f, k10, w10);
        round!(f g h a b c d e, k11, w11);
        round!(e f g h a b c d, k12, w12);
        round!(d e f g h a b c, k13, w13);
        round!(c d e f g h a b, k14, w14);
        round!(b c d e f g h a, k15, w15);
    }
    let worked = [a, b, c, d, e, f, g, h];
    for (to, add) in state.iter_mut().zip(worked) {
        *to = to.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: [u8; 32]) -> std::string::String {
        digest.iter().map(|b| std::format!("{b:02x}")).collect()
    }

    #[test]
    fn vectors_of_fips_180_hold() {
        assert_eq!(
            hex(sha256(b"")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(sha256(
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
            )),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        );
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole_around_block_borders() {
        let bytes: std::vec::Vec<u8> = (0..200).collect();
        for length in 0..bytes.len() {
            let whole = sha256(&bytes[..length]);
            for cut in [0, 1, 55, 56, 63, 64, 65, 127, 128] {
                let cut = cut.min(length);
                let mut digest = Sha256::new();
                digest.update(&bytes[..cut]);
                digest.update(&bytes[cut..length]);
                assert_eq!(digest.finish(), whole, "{length} cut at {cut}");
            }
        }
    }
}
