// SPDX-License-Identifier: BSD-2-Clause
//! CRC-32C (Castagnoli; RFC 3720, appendix B.4): finds accidental damage in one frame of an image.

/// The polynomial 0x1EDC6F41 with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// A running checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32c {
    /// The checksum of nothing.
    pub const fn new() -> Self {
        Self(!0)
    }

    /// Continues over `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut crc = self.0;
        let (words, tail) = bytes.as_chunks::<16>();
        for word in words {
            let [a, b, c, d, after @ ..] = *word;
            let [p, q, r, s] = crc.to_le_bytes();
            crc = lookup(15, a ^ p) ^ lookup(14, b ^ q) ^ lookup(13, c ^ r) ^ lookup(12, d ^ s);
            for (byte, left) in after.into_iter().zip((0..12).rev()) {
                crc ^= lookup(left, byte);
            }
        }
        let (words, tail) = tail.as_chunks::<4>();
        for [a, b, c, d] in words {
            let [p, q, r, s] = crc.to_le_bytes();
            crc = lookup(3, a ^ p) ^ lookup(2, b ^ q) ^ lookup(1, c ^ r) ^ lookup(0, d ^ s);
        }
        for byte in tail {
            let [low, ..] = crc.to_le_bytes();
            crc = (crc >> 8) ^ lookup(0, low ^ byte);
        }
        self.0 = crc;
    }

    /// Goes on where somebody else's computation of the same checksum is.
    pub const fn at(value: u32) -> Self {
        Self(!value)
    }

    /// The checksum of all that went in.
    pub const fn value(self) -> u32 {
        !self.0
    }
}

/// The checksum of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(bytes);
    crc.value()
}

/// What `byte` contributes when `after` more bytes of its word follow it.
fn lookup(after: usize, byte: u8) -> u32 {
    let table = TABLES.get(after);
    let entry = table.and_then(|table| table.get(usize::from(byte)));
    entry.copied().unwrap_or_default()
}

/// One table per position in a word of sixteen bytes (slicing by sixteen), made at compile time.
static TABLES: [[u32; 256]; 16] = tables();

#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler only"
)]
const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut position = 1;
    while position < 16 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[position - 1][byte];
            tables[position][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        position += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_digits_is_as_published() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn vectors_of_rfc_3720_hold() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let up: std::vec::Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&up), 0x46dd_794e);
    }

    #[test]
    fn pieces_give_the_checksum_of_the_whole() {
        let bytes: std::vec::Vec<u8> = (0..=255).collect();
        for cut in 0..=bytes.len() {
            let mut crc = Crc32c::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), crc32c(&bytes));
        }
    }
}
