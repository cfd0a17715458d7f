// SPDX-License-Identifier: BSD-2-Clause
//! Deterministic CBOR (RFC 8949, section 4.2): the one encoding that equal values have.
//!
//! Images, messages and requests cross machines, so what is read may have been written by an
//! enemy, and what is written must not depend on who writes it. This module holds the codec and
//! the [`record!`](crate::record) macro, by which a structure declares its fields with integer keys
//! once; encoding, decoding and the published schema follow from that one declaration.
//!
//! # The subset
//! Unsigned and negative integers of 64 bits, byte strings, text (UTF-8), arrays, maps, `false`,
//! `true`, `null`. Map keys are unsigned integers in strictly increasing order. Floats, tags, other
//! simple values, indefinite lengths and integers not in their shortest form are refused.
//!
//! # Records
//! A record is a map. A field is *required* or, as an `Option`, *optional*: left out where it is
//! `None`, never `null`. A key that the reader does not know is refused below [`SKIPPABLE`] and
//! skipped from there on, so a later version adds under `SKIPPABLE` what a reader must understand
//! and above it what it may ignore.
//!
//! # Invariants
//! * I1: bytes that decode as a value without unknown keys are the bytes that the value encodes to.
//! * I2: decoding allocates at most in proportion to the bytes read so far, never to a length that
//!   the input merely declares.
//! * I3: nesting is bounded by [`CBOR_DEPTH_MAX`](crate::limits::CBOR_DEPTH_MAX), and nothing
//!   recurses over the input.
//!
//! # Failure
//! Every refusal is an [`Error`] with the offset, the record and the key it was found in. A value
//! is built whole or not at all.

mod bound;
mod decode;
mod encode;
mod info;
mod record;
#[cfg(test)]
mod tests;
mod values;

pub use bound::{Bound, Breach, Measure};
pub use decode::{Decoder, MapReader, Objects, decode_all};
pub use encode::{Encoder, encode_to_list};
pub use info::{FieldInfo, RecordInfo, TypeInfo};
pub use record::{Code, Decode, Encode, Field, Record, Schema};
pub use values::{Bytes, Text};

use crate::collections::NoMemory;
use crate::errno::Errno;
use core::fmt;

/// The first key that a reader may skip without understanding it.
pub const SKIPPABLE: u64 = 128;

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input ends inside an item, or a length reaches past its end.
    Truncated,
    /// Bytes follow the item that was asked for.
    Trailing,
    /// An integer or length is not in its shortest form.
    NotShortest,
    /// A length is indefinite.
    Indefinite,
    /// Additional information 28 to 30, which RFC 8949 reserves.
    Reserved,
    /// A tag (major type 6).
    Tag,
    /// A float, or a simple value other than `false`, `true`, `null`.
    Simple,
    /// Text that is not UTF-8.
    Utf8,
    /// An item of another type than the field has.
    Type,
    /// An integer outside the field's range, or a code that names nothing.
    Range,
    /// A map key that is not an unsigned integer.
    KeyType,
    /// A map key not greater than the one before it.
    KeyOrder,
    /// A key below [`SKIPPABLE`] that the record does not have.
    UnknownKey,
    /// A required field is absent.
    MissingKey,
    /// Arrays and maps nest deeper than [`CBOR_DEPTH_MAX`](crate::limits::CBOR_DEPTH_MAX).
    Depth,
    /// More items or bytes than the field may hold.
    TooLong,
    /// A reference to an object that has not come before it, or is of another kind.
    Reference,
    /// The fields are well formed, but no kernel could be in the state they describe.
    Invalid,
    /// The reader had no memory; the input is not at fault.
    NoMemory,
}

/// Why bytes were refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub fault: Fault,
    /// Offset of the offending item in the bytes given to the decoder.
    pub offset: usize,
    /// The innermost record being read.
    pub record: Option<&'static Schema>,
    /// The key of its field.
    pub key: Option<u64>,
}

impl Error {
    /// A fault at `offset`, outside any record.
    pub const fn at(fault: Fault, offset: usize) -> Self {
        Self {
            fault,
            offset,
            record: None,
            key: None,
        }
    }

    /// The same error placed in a field, unless it already names a deeper one.
    #[must_use]
    pub fn within(self, record: &'static Schema, key: Option<u64>) -> Self {
        if self.record.is_some() {
            return self;
        }
        Self {
            record: Some(record),
            key,
            ..self
        }
    }

    /// The name of the field it was found in, where the record has that key.
    pub fn field(&self) -> Option<&'static str> {
        self.record?.field(self.key?)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at offset {}", self.fault, self.offset)?;
        if let Some(record) = self.record {
            write!(f, " in {}", record.name)?;
        }
        match (self.field(), self.key) {
            (Some(name), _) => write!(f, ".{name}"),
            (None, Some(key)) => write!(f, ", key {key}"),
            (None, None) => Ok(()),
        }
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error.fault {
            Fault::NoMemory => Self::ENOMEM,
            Fault::Truncated
            | Fault::Trailing
            | Fault::NotShortest
            | Fault::Indefinite
            | Fault::Reserved
            | Fault::Tag
            | Fault::Simple
            | Fault::Utf8
            | Fault::Type
            | Fault::Range
            | Fault::KeyType
            | Fault::KeyOrder
            | Fault::UnknownKey
            | Fault::MissingKey
            | Fault::Depth
            | Fault::TooLong
            | Fault::Reference
            | Fault::Invalid => Self::EINVAL,
        }
    }
}

impl From<NoMemory> for Fault {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}
