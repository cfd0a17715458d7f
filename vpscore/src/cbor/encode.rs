// SPDX-License-Identifier: BSD-2-Clause
//! Writing items, always in their shortest form.

use super::record::Encode;
use crate::collections::{List, NoMemory};

/// Writes CBOR items to the end of a list. The caller announces how many items an array or map has
/// and then writes exactly these, map keys in increasing order; [`crate::record`] does so.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut List<u8>,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub const fn new(out: &'a mut List<u8>) -> Self {
        Self { out }
    }

    /// An unsigned integer (major type 0).
    ///
    /// # Errors
    /// [`NoMemory`], as for every method here.
    #[inline]
    pub fn uint(&mut self, value: u64) -> Result<(), NoMemory> {
        self.head(0x00, value)
    }

    /// A signed integer (major type 0 or 1).
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn int(&mut self, value: i64) -> Result<(), NoMemory> {
        match u64::try_from(value) {
            Ok(value) => self.head(0x00, value),
            // RFC 8949, section 3.1: the argument of a negative integer n is -1 - n, which is !n.
            Err(_) => self.head(0x20, (!value).unsigned_abs()),
        }
    }

    /// A byte string (major type 2).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), NoMemory> {
        self.head(0x40, length(value.len()))?;
        self.out.extend(value)
    }

    /// Text (major type 3).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn text(&mut self, value: &str) -> Result<(), NoMemory> {
        self.head(0x60, length(value.len()))?;
        self.out.extend(value.as_bytes())
    }

    /// The head of an array of `items` items (major type 4).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn array(&mut self, items: usize) -> Result<(), NoMemory> {
        self.head(0x80, length(items))
    }

    /// The head of a map of `pairs` keys with their values (major type 5).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn map(&mut self, pairs: usize) -> Result<(), NoMemory> {
        self.head(0xa0, length(pairs))
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn bool(&mut self, value: bool) -> Result<(), NoMemory> {
        self.out.push(if value { 0xf5 } else { 0xf4 })
    }

    /// `null`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn null(&mut self) -> Result<(), NoMemory> {
        self.out.push(0xf6)
    }

    // Nearly all of a record is heads, most with a number that is known when this is compiled.
    #[inline]
    fn head(&mut self, major: u8, argument: u64) -> Result<(), NoMemory> {
        let (size, size_bits, shift) = match argument {
            0..24 => {
                let [.., low] = argument.to_be_bytes();
                return self.out.push(major | low);
            }
            24..0x100 => (1_usize, 24, 56_u32),
            0x100..0x1_0000 => (2, 25, 48),
            0x1_0000..0x1_0000_0000 => (4, 26, 32),
            _ => (8, 27, 0),
        };
        let [a, b, c, d, e, f, g, h] = argument.wrapping_shl(shift).to_be_bytes();
        let bytes = [major | size_bits, a, b, c, d, e, f, g, h];
        self.out.extend_part(&bytes, size.saturating_add(1))
    }
}

/// A length in memory as CBOR counts it; no platform has a wider `usize`.
fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// The encoding of `value`, alone.
///
/// # Errors
/// [`NoMemory`].
pub fn encode_to_list<T: Encode>(value: &T) -> Result<List<u8>, NoMemory> {
    let mut out = List::new();
    value.encode(&mut Encoder::new(&mut out))?;
    Ok(out)
}
