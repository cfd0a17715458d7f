// SPDX-License-Identifier: BSD-2-Clause
//! Writing items, always in their shortest form.

use super::record::Encode;
use crate::collections::{List, NoMemory};

/// Room that is made at once, where the list has not grown by more.
const ROOM: usize = 512;
/// The longest head: one byte, and an argument of eight.
const HEAD_MAX: usize = 9;
/// What one store of a key and a head writes; what of it is surplus, later items overwrite.
const STORE: usize = 16;

/// Writes CBOR items to the end of a list. The caller announces how many items an array or map has
/// and then writes exactly these, map keys in increasing order; [`crate::record`] does so.
///
/// The list is filled with zeros some way ahead and items are stored over these, each by one store of a
/// fixed length, which costs less than copying the few bytes that an item has; what was not used goes when
/// the encoder does. What writes a number is expanded in the record, where its key is a constant.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut List<u8>,
    /// Where the next item goes; the list is at least as long.
    at: usize,
}

impl Drop for Encoder<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.at);
    }
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub const fn new(out: &'a mut List<u8>) -> Self {
        let at = out.len();
        Self { out, at }
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

    /// A map key with an unsigned integer, at once.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline(always)]
    pub fn keyed_uint(&mut self, key: u64, value: u64) -> Result<(), NoMemory> {
        self.keyed_head(key, 0x00, value)
    }

    /// A map key with a signed integer, at once.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline(always)]
    pub fn keyed_int(&mut self, key: u64, value: i64) -> Result<(), NoMemory> {
        match u64::try_from(value) {
            Ok(value) => self.keyed_head(key, 0x00, value),
            Err(_) => self.keyed_head(key, 0x20, (!value).unsigned_abs()),
        }
    }

    /// A byte string (major type 2).
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), NoMemory> {
        self.string(0x40, value)
    }

    /// Text (major type 3).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn text(&mut self, value: &str) -> Result<(), NoMemory> {
        self.string(0x60, value.as_bytes())
    }

    /// The head of an array of `items` items (major type 4).
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn array(&mut self, items: usize) -> Result<(), NoMemory> {
        self.head(0x80, length(items))
    }

    /// The head of a map of `pairs` keys with their values (major type 5).
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn map(&mut self, pairs: usize) -> Result<(), NoMemory> {
        self.head(0xa0, length(pairs))
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn bool(&mut self, value: bool) -> Result<(), NoMemory> {
        self.head(0xe0, if value { 21 } else { 20 })
    }

    /// `null`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn null(&mut self) -> Result<(), NoMemory> {
        self.head(0xe0, 22)
    }

    #[inline(always)]
    fn head(&mut self, major: u8, argument: u64) -> Result<(), NoMemory> {
        if argument < 24 {
            return self.store_word(u64::from(major) | argument, 1);
        }
        let (word, length) = head(major, argument);
        self.store(word, length)
    }

    // Nearly all of a record is this, with a key that is known when it is compiled and takes two bytes at
    // most (a key below 24 is its own head, one below 256 follows 0x18), and half of the numbers are small.
    #[inline(always)]
    fn keyed_head(&mut self, key: u64, major: u8, argument: u64) -> Result<(), NoMemory> {
        let (word, length) = head(major, argument);
        match key {
            0..24 => self.store(word << 8 | u128::from(key), length.wrapping_add(1)),
            24..0x100 => {
                let front = 0x18 | u128::from(key) << 8;
                self.store(word << 16 | front, length.wrapping_add(2))
            }
            _ => {
                self.uint(key)?;
                self.store(word, length)
            }
        }
    }

    fn string(&mut self, major: u8, value: &[u8]) -> Result<(), NoMemory> {
        self.make_room(value.len().saturating_add(HEAD_MAX))?;
        self.head(major, length(value.len()))?;
        let rest = self.out.as_mut_slice().get_mut(self.at..);
        let place = rest.and_then(|rest| rest.get_mut(..value.len()));
        place.ok_or(NoMemory)?.copy_from_slice(value);
        self.at = self.at.saturating_add(value.len());
        Ok(())
    }

    /// Stores the first `length` bytes of `word`, the lowest first.
    #[inline(always)]
    fn store(&mut self, word: u128, length: usize) -> Result<(), NoMemory> {
        let end = self.at.wrapping_add(STORE);
        let place = self.out.as_mut_slice().get_mut(self.at..end);
        match place.and_then(|place| place.first_chunk_mut::<STORE>()) {
            Some(place) => *place = word.to_le_bytes(),
            None => self.store_further(word)?,
        }
        self.at = self.at.wrapping_add(length);
        Ok(())
    }

    /// [`store`](Self::store) of at most eight bytes.
    #[inline(always)]
    fn store_word(&mut self, word: u64, length: usize) -> Result<(), NoMemory> {
        let rest = self.out.as_mut_slice().get_mut(self.at..);
        match rest.and_then(|rest| rest.first_chunk_mut::<8>()) {
            Some(place) => *place = word.to_le_bytes(),
            None => self.store_further(word.into())?,
        }
        self.at = self.at.wrapping_add(length);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn store_further(&mut self, word: u128) -> Result<(), NoMemory> {
        self.make_room(STORE)?;
        let rest = self.out.as_mut_slice().get_mut(self.at..);
        let place = rest.and_then(|rest| rest.first_chunk_mut::<STORE>());
        *place.ok_or(NoMemory)? = word.to_le_bytes();
        Ok(())
    }

    /// Makes the list reach `n` bytes past the next item, or further.
    fn make_room(&mut self, n: usize) -> Result<(), NoMemory> {
        let room = self.out.len().saturating_sub(self.at);
        let missing = n.saturating_sub(room);
        if missing == 0 {
            return Ok(());
        }
        self.out.extend_filled(0, missing.max(ROOM))
    }
}

/// A head, its first byte lowest, and how many bytes it has.
#[inline(always)]
fn head(major: u8, argument: u64) -> (u128, usize) {
    let (bits, length, shift) = match argument {
        0..24 => return (u128::from(u64::from(major) | argument), 1),
        24..0x100 => (24, 2, 56_u32),
        0x100..0x1_0000 => (25, 3, 48),
        0x1_0000..0x1_0000_0000 => (26, 5, 32),
        _ => (27, HEAD_MAX, 0),
    };
    let argument = argument.wrapping_shl(shift).swap_bytes();
    let word = u128::from(argument) << 8 | u128::from(major | bits);
    (word, length)
}

/// A length in memory as CBOR counts it; no platform has a wider `usize`.
#[inline]
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
