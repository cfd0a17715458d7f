// SPDX-License-Identifier: BSD-2-Clause
//! Reading items, refusing whatever the encoder would not have written.

use super::record::{Decode, Schema};
use super::{Error, Fault, SKIPPABLE};
use crate::limits::CBOR_DEPTH_MAX;

/// Major types (RFC 8949, section 3.1), in the upper three bits of the first byte.
const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// The longest head.
const HEAD_MAX: usize = 9;
/// First byte of `false`; `true` follows it.
const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// Reads CBOR items from a byte slice; strings are borrowed from it.
#[derive(Clone, Debug)]
pub struct Decoder<'b> {
    rest: &'b [u8],
    offset: usize,
    /// Arrays and maps open around the next item.
    depth: usize,
    /// The objects that references may name; none is checked where this is absent.
    objects: Option<&'b dyn Objects>,
}

/// The objects that have come before, as far as a reference needs to know them.
pub trait Objects: core::fmt::Debug {
    /// Whether object `id` has come, and is of this kind (any, for `None`).
    fn exists(&self, id: u32, kind: Option<u16>) -> bool;
}

impl<'b> Decoder<'b> {
    /// A decoder at the start of `bytes`.
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
            depth: 0,
            objects: None,
        }
    }

    /// The same decoder, refusing references to objects that are not among `objects`.
    #[must_use]
    pub const fn with_objects(self, objects: &'b dyn Objects) -> Self {
        Self {
            objects: Some(objects),
            ..self
        }
    }

    /// Whether a reference to object `id` of this kind may stand here.
    pub fn refers(&self, id: u32, kind: Option<u16>) -> bool {
        self.objects.is_none_or(|objects| objects.exists(id, kind))
    }

    /// How many bytes have been read.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// An error at the next item.
    pub const fn error(&self, fault: Fault) -> Error {
        Error::at(fault, self.offset)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Fault::Trailing`] where bytes are left.
    pub const fn finish(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(Fault::Trailing))
        }
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// As for every method here, the encoding's faults, and [`Fault::Type`] for another item.
    #[inline(always)]
    pub fn uint(&mut self) -> Result<u64, Error> {
        match self.quick(UINT) {
            Some(value) => Ok(value),
            None => self.any_uint(),
        }
    }

    #[inline(never)]
    fn any_uint(&mut self) -> Result<u64, Error> {
        let at = self.offset;
        match self.head()? {
            (UINT, value) => Ok(value),
            (NEGATIVE, _) => Err(Error::at(Fault::Range, at)),
            _ => Err(Error::at(Fault::Type, at)),
        }
    }

    /// A signed integer.
    ///
    /// # Errors
    /// [`Fault::Range`] where it does not fit 64 bits.
    #[inline(always)]
    pub fn int(&mut self) -> Result<i64, Error> {
        let at = self.offset;
        match self.quick(UINT).map(i64::try_from) {
            Some(Ok(value)) => Ok(value),
            Some(Err(_)) => Err(Error::at(Fault::Range, at)),
            None => self.any_int(),
        }
    }

    #[inline(never)]
    fn any_int(&mut self) -> Result<i64, Error> {
        let at = self.offset;
        let (major, argument) = self.head()?;
        let magnitude = i64::try_from(argument);
        match (major, magnitude) {
            (UINT, Ok(value)) => Ok(value),
            (NEGATIVE, Ok(value)) => Ok(!value),
            (UINT | NEGATIVE, Err(_)) => Err(Error::at(Fault::Range, at)),
            _ => Err(Error::at(Fault::Type, at)),
        }
    }

    /// A byte string, borrowed.
    ///
    /// # Errors
    /// [`Fault::Truncated`] where its length reaches past the input.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'b [u8], Error> {
        if let Some(length) = self.quick(BYTES) {
            return self.take(length);
        }
        let at = self.offset;
        match self.head()? {
            (BYTES, length) => self.take(length),
            _ => Err(Error::at(Fault::Type, at)),
        }
    }

    /// Text, borrowed.
    ///
    /// # Errors
    /// [`Fault::Utf8`] where it is not UTF-8.
    pub fn text(&mut self) -> Result<&'b str, Error> {
        let at = self.offset;
        match self.head()? {
            (TEXT, length) => {
                let bytes = self.take(length)?;
                core::str::from_utf8(bytes).map_err(|_| Error::at(Fault::Utf8, at))
            }
            _ => Err(Error::at(Fault::Type, at)),
        }
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// [`Fault::Type`] for another item.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, Error> {
        let at = self.offset;
        match self.head()? {
            (7, FALSE) => Ok(false),
            (7, TRUE) => Ok(true),
            _ => Err(Error::at(Fault::Type, at)),
        }
    }

    /// `null`.
    ///
    /// # Errors
    /// [`Fault::Type`] for another item.
    pub fn null(&mut self) -> Result<(), Error> {
        let at = self.offset;
        match self.head()? {
            (7, NULL) => Ok(()),
            _ => Err(Error::at(Fault::Type, at)),
        }
    }

    /// Opens an array and returns how many items follow; [`Decoder::leave`] closes it. The number
    /// is at most that of the bytes left, since every item has one.
    ///
    /// # Errors
    /// [`Fault::Depth`], [`Fault::Truncated`].
    pub fn array(&mut self) -> Result<usize, Error> {
        self.open(ARRAY, 1)
    }

    /// Opens a map, likewise, and returns how many keys with values follow.
    ///
    /// # Errors
    /// [`Fault::Depth`], [`Fault::Truncated`].
    pub fn map(&mut self) -> Result<usize, Error> {
        self.open(MAP, 2)
    }

    /// Closes the array or map opened last, all of whose items have been read.
    pub const fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Opens a map that holds a record.
    ///
    /// # Errors
    /// As [`Decoder::map`], placed in the record.
    pub fn record(&mut self, schema: &'static Schema) -> Result<MapReader<'_, 'b>, Error> {
        let left = self.map().map_err(|e| e.within(schema, None))?;
        Ok(MapReader {
            decoder: self,
            schema,
            left,
            last: None,
            peeked: None,
        })
    }

    /// Reads over one whole item of any type, checking that it is in the deterministic subset.
    ///
    /// # Errors
    /// Any fault of the encoding.
    pub fn skip(&mut self) -> Result<(), Error> {
        // One level per open array or map inside the item: items left, whether it is a map whose
        // key is due, and the key read last.
        let mut levels = [Level::NONE; CBOR_DEPTH_MAX];
        let mut open = 0_usize;
        loop {
            let level = open.checked_sub(1).and_then(|i| levels.get_mut(i));
            if let Some(level) = level {
                let Some(left) = level.left.checked_sub(1) else {
                    self.leave();
                    open = open.saturating_sub(1);
                    if open == 0 {
                        return Ok(());
                    }
                    continue;
                };
                level.left = left;
                if level.map {
                    level.last = Some(self.key(level.last)?);
                }
            }
            let at = self.offset;
            match self.head()? {
                (UINT | NEGATIVE | 7, _) => {}
                (BYTES, length) => {
                    self.take(length)?;
                }
                (TEXT, length) => {
                    let bytes = self.take(length)?;
                    core::str::from_utf8(bytes).map_err(|_| Error::at(Fault::Utf8, at))?;
                }
                (major, length) => {
                    let map = major == MAP;
                    let left = self.enter(length, if map { 2 } else { 1 }, at)?;
                    let slot = levels.get_mut(open);
                    let slot = slot.ok_or(Error::at(Fault::Depth, at))?;
                    *slot = Level {
                        left,
                        map,
                        last: None,
                    };
                    open = open.saturating_add(1);
                }
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// A map key that follows `last`.
    fn key(&mut self, last: Option<u64>) -> Result<u64, Error> {
        let at = self.offset;
        let (major, key) = match self.quick(UINT) {
            Some(key) => (UINT, key),
            None => self.head()?,
        };
        if major != UINT {
            return Err(Error::at(Fault::KeyType, at));
        }
        if last.is_some_and(|last| key <= last) {
            return Err(Error::at(Fault::KeyOrder, at));
        }
        Ok(key)
    }

    fn open(&mut self, wanted: u8, bytes_per_item: usize) -> Result<usize, Error> {
        let at = self.offset;
        if let Some(length) = self.quick(wanted) {
            return self.enter(length, bytes_per_item, at);
        }
        let (major, length) = self.head()?;
        if major != wanted {
            return Err(Error::at(Fault::Type, at));
        }
        self.enter(length, bytes_per_item, at)
    }

    /// Goes one level down, into `length` items of at least `bytes_per_item` bytes each.
    fn enter(&mut self, length: u64, bytes_per_item: usize, at: usize) -> Result<usize, Error> {
        if self.depth >= CBOR_DEPTH_MAX {
            return Err(Error::at(Fault::Depth, at));
        }
        let items = usize::try_from(length).map_err(|_| Error::at(Fault::Truncated, at))?;
        match items.checked_mul(bytes_per_item) {
            Some(least) if least <= self.rest.len() => {
                self.depth = self.depth.saturating_add(1);
                Ok(items)
            }
            _ => Err(Error::at(Fault::Truncated, at)),
        }
    }

    /// The argument of the next item's head, where that is of type `major` and in its shortest form and
    /// has some bytes behind it; otherwise reads nothing. All but the last of a record's are such.
    #[inline]
    fn quick(&mut self, major: u8) -> Option<u64> {
        let [first, argument @ ..] = self.rest.first_chunk::<HEAD_MAX>()?;
        let low = first & 0x1f;
        if first >> 5 != major {
            return None;
        }
        let all = u64::from_be_bytes(*argument);
        let (value, least, length) = match low {
            0..24 => (low.into(), 0, 1),
            24 => (all >> 56, 24, 2),
            25 => (all >> 48, 0x100, 3),
            26 => (all >> 32, 0x1_0000, 5),
            27 => (all, 0x1_0000_0000, HEAD_MAX),
            _ => return None,
        };
        if value < least {
            return None;
        }
        self.rest = self.rest.get(length..)?;
        self.offset = self.offset.wrapping_add(length);
        Some(value)
    }

    /// The head of the next item: major type and argument.
    #[inline(never)]
    fn head(&mut self) -> Result<(u8, u64), Error> {
        let at = self.offset;
        let fault = |fault| Error::at(fault, at);
        let (&first, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| fault(Fault::Truncated))?;
        let (major, low) = (first >> 5, first & 0x1f);
        // RFC 8949, section 3: additional information below 24 is the argument, 24 to 27 say that
        // 1, 2, 4 or 8 bytes of it follow.
        let (size, least) = match low {
            0..24 => (0, 0),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 if (BYTES..=MAP).contains(&major) || major == 7 => {
                return Err(fault(Fault::Indefinite));
            }
            _ => return Err(fault(Fault::Reserved)),
        };
        match major {
            TAG => return Err(fault(Fault::Tag)),
            7 if !(20..=22).contains(&low) => return Err(fault(Fault::Simple)),
            _ => {}
        }
        let (argument, rest) = rest
            .split_at_checked(size)
            .ok_or_else(|| fault(Fault::Truncated))?;
        let value = if size == 0 {
            u64::from(low)
        } else {
            let value = argument.iter().fold(0, |v, b| (v << 8) | u64::from(*b));
            if value < least {
                return Err(fault(Fault::NotShortest));
            }
            value
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(1).saturating_add(size);
        Ok((major, value))
    }

    fn take(&mut self, length: u64) -> Result<&'b [u8], Error> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|n| self.rest.split_at_checked(n));
        let (taken, rest) = split.ok_or(self.error(Fault::Truncated))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(taken.len());
        Ok(taken)
    }
}

#[derive(Clone, Copy)]
struct Level {
    left: usize,
    map: bool,
    last: Option<u64>,
}

impl Level {
    const NONE: Self = Self {
        left: 0,
        map: false,
        last: None,
    };
}

/// Reads a record's fields, which the caller asks for in the order of their keys.
#[derive(Debug)]
pub struct MapReader<'d, 'b> {
    decoder: &'d mut Decoder<'b>,
    schema: &'static Schema,
    left: usize,
    last: Option<u64>,
    /// A key that has been read, but whose value has not.
    peeked: Option<u64>,
}

impl MapReader<'_, '_> {
    /// The field under `key`, which must be there.
    ///
    /// # Errors
    /// [`Fault::MissingKey`], or the value's own fault.
    #[inline(always)]
    pub fn required<T: Decode>(&mut self, key: u64) -> Result<T, Error> {
        let at = self.decoder.offset;
        if !self.reach(key)? {
            return Err(Error::at(Fault::MissingKey, at).within(self.schema, Some(key)));
        }
        self.peeked = None;
        T::decode(self.decoder).map_err(|e| e.within(self.schema, Some(key)))
    }

    /// The field under `key`, or `None` where it is absent.
    ///
    /// # Errors
    /// The value's own fault, or that of an unknown key before it.
    #[inline(always)]
    pub fn optional<T: Decode>(&mut self, key: u64) -> Result<Option<T>, Error> {
        if !self.reach(key)? {
            return Ok(None);
        }
        self.peeked = None;
        let value = T::decode(self.decoder).map_err(|e| e.within(self.schema, Some(key)))?;
        Ok(Some(value))
    }

    /// Ends the record; keys left over are unknown to it.
    ///
    /// # Errors
    /// [`Fault::UnknownKey`] for one that may not be skipped.
    pub fn finish(mut self) -> Result<(), Error> {
        self.reach(u64::MAX)?;
        if let Some(key) = self.peeked {
            self.pass(key)?;
        }
        self.decoder.leave();
        Ok(())
    }

    /// Reads keys up to `key`; whether it is there.
    #[inline(always)]
    fn reach(&mut self, key: u64) -> Result<bool, Error> {
        if self.follows(key) {
            return Ok(true);
        }
        self.search(key)
    }

    /// Reads `key` if it has been peeked at or is the very next; otherwise reads nothing. Nearly every key is.
    #[inline]
    fn follows(&mut self, key: u64) -> bool {
        if self.peeked.is_some() {
            return self.peeked == Some(key);
        }
        let decoder = &mut *self.decoder;
        let (length, rest) = match (key, decoder.rest) {
            (0..24, [first, rest @ ..]) if u64::from(*first) == key => (1, rest),
            (24..0x100, [0x18, second, rest @ ..]) if u64::from(*second) == key => (2, rest),
            _ => return false,
        };
        let (Some(left), true) = (
            self.left.checked_sub(1),
            self.last.is_none_or(|last| last < key),
        ) else {
            return false;
        };
        self.left = left;
        self.last = Some(key);
        decoder.rest = rest;
        decoder.offset = decoder.offset.wrapping_add(length);
        true
    }

    /// [`reach`](Self::reach) of any key.
    #[inline(never)]
    fn search(&mut self, key: u64) -> Result<bool, Error> {
        loop {
            let next = match self.peeked {
                Some(next) => next,
                None => match self.left.checked_sub(1) {
                    None => return Ok(false),
                    Some(left) => {
                        self.left = left;
                        let next = self.decoder.key(self.last);
                        let next = next.map_err(|e| e.within(self.schema, None))?;
                        self.last = Some(next);
                        self.peeked = Some(next);
                        next
                    }
                },
            };
            if next >= key {
                return Ok(next == key);
            }
            self.pass(next)?;
        }
    }

    /// Skips the value of an unknown key, if that is allowed.
    fn pass(&mut self, key: u64) -> Result<(), Error> {
        let place = |e: Error| e.within(self.schema, Some(key));
        if key < SKIPPABLE {
            return Err(place(self.decoder.error(Fault::UnknownKey)));
        }
        self.peeked = None;
        self.decoder.skip().map_err(place)
    }
}

/// The one value that `bytes` hold.
///
/// # Errors
/// Any fault of the encoding, and [`Fault::Trailing`].
pub fn decode_all<T: Decode>(bytes: &[u8]) -> Result<T, Error> {
    let mut decoder = Decoder::new(bytes);
    let value = T::decode(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}
