// SPDX-License-Identifier: BSD-2-Clause
//! The values that a field of a record can have: integers, truth, spans of time, bytes, text and lists of them.
//!
//! Whatever a value owns is allocated as it is read, never as its length claims: a few bytes of a hostile image cost
//! a few bytes of memory.

use super::bound::Breach;
use super::decode::Decoder;
use super::encode::Encoder;
use super::info::TypeInfo;
use super::record::{Decode, Encode};
use super::{Error, Fault};
use crate::collections::{List, NoMemory};
use crate::time::Duration;
use crate::types::ViewId;
use core::fmt;

macro_rules! integers {
    ($read:ident, $keyed:ident, $wide:ty, $info:expr; $($ty:ty)*) => {$(
        impl Encode for $ty {
            #[inline]
            fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
                to.$read(<$wide>::from(*self))
            }

            #[inline(always)]
            fn encode_keyed(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
                to.$keyed(key, <$wide>::from(*self))
            }
        }

        impl Decode for $ty {
            const TYPE: TypeInfo = $info(<$ty>::MIN as $wide, <$ty>::MAX as $wide);

            #[inline(always)]
            fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
                let at = from.offset();
                <$ty>::try_from(from.$read()?).map_err(|_| Error::at(Fault::Range, at))
            }
        }
    )*};
}

const fn unsigned(_min: u64, max: u64) -> TypeInfo {
    TypeInfo::Uint(max)
}

integers!(uint, keyed_uint, u64, unsigned; u8 u16 u32 u64);
integers!(int, keyed_int, i64, TypeInfo::Int; i8 i16 i32 i64);

impl Encode for bool {
    #[inline]
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.bool(*self)
    }
}

impl Decode for bool {
    const TYPE: TypeInfo = TypeInfo::Bool;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.bool()
    }
}

/// Nanoseconds.
impl Encode for Duration {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.uint(self.as_nanos())
    }

    #[inline(always)]
    fn encode_keyed(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.keyed_uint(key, self.as_nanos())
    }
}

impl Decode for Duration {
    const TYPE: TypeInfo = TypeInfo::Uint(u64::MAX);

    #[inline(always)]
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.uint().map(Self::from_nanos)
    }
}

impl Encode for ViewId {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.0.encode(to)
    }
}

impl Decode for ViewId {
    const TYPE: TypeInfo = <i32 as Decode>::TYPE;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        i32::decode(from).map(Self)
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.bytes(self)
    }
}

impl<const N: usize> Decode for [u8; N] {
    const TYPE: TypeInfo = TypeInfo::BytesExactly(N);

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        let bytes = from.bytes()?;
        Self::try_from(bytes).map_err(|_| Error::at(Fault::TooLong, at))
    }
}

impl<T: Encode> Encode for List<T> {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.array(self.len())?;
        self.iter().try_for_each(|item| item.encode(to))
    }

    fn valid(&self) -> Result<(), Breach> {
        self.iter().try_for_each(Encode::valid)
    }
}

impl<T: Decode> Decode for List<T> {
    const TYPE: TypeInfo = TypeInfo::Array(&T::TYPE);

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let items = from.array()?;
        // Grown as items are read: what the input declares costs nothing.
        let mut list = Self::new();
        for _ in 0..items {
            let at = from.offset();
            let item = T::decode(from)?;
            list.push(item).map_err(|e| Error::at(e.into(), at))?;
        }
        from.leave();
        Ok(list)
    }
}

/// A byte string that a record owns.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub List<u8>);

impl Bytes {
    /// A copy of `bytes`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn copy(bytes: &[u8]) -> Result<Self, NoMemory> {
        let mut list = List::new();
        list.extend(bytes)?;
        Ok(Self(list))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second copy.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn duplicate(&self) -> Result<Self, NoMemory> {
        self.0.duplicate().map(Self)
    }
}

impl Encode for Bytes {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.bytes(self.as_slice())
    }
}

impl Decode for Bytes {
    const TYPE: TypeInfo = TypeInfo::Bytes;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        Self::copy(from.bytes()?).map_err(|e| Error::at(e.into(), at))
    }
}

/// UTF-8 text that a record owns.
#[derive(Default, PartialEq, Eq, Hash)]
pub struct Text(List<u8>);

impl Text {
    /// A copy of `text`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn copy(text: &str) -> Result<Self, NoMemory> {
        Bytes::copy(text.as_bytes()).map(|bytes| Self(bytes.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ever made from a str, so the fallback is not reached.
        core::str::from_utf8(self.0.as_slice()).unwrap_or_default()
    }

    /// A second copy.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn duplicate(&self) -> Result<Self, NoMemory> {
        self.0.duplicate().map(Self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Encode for Text {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.text(self.as_str())
    }
}

impl Decode for Text {
    const TYPE: TypeInfo = TypeInfo::Text;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        Self::copy(from.text()?).map_err(|e| Error::at(e.into(), at))
    }
}
