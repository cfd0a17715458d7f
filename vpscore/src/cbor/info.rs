// SPDX-License-Identifier: BSD-2-Clause
//! The schema as data: what the published format document and the sensitivity tests are checked
//! against. Kernels never touch it, so it costs them nothing.

use super::bound::Bound;
use super::record::Schema;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeInfo {
    /// `false` or `true`.
    Bool,
    /// Unsigned, at most the bound.
    Uint(u64),
    /// Signed, from the first to the second bound.
    Int(i64, i64),
    /// A byte string of any length.
    Bytes,
    /// A byte string of exactly so many bytes.
    BytesExactly(usize),
    /// UTF-8 text.
    Text,
    /// One of the named codes.
    Code(&'static str, &'static [(&'static str, u64)]),
    /// Any number of the type.
    Array(&'static TypeInfo),
    /// Exactly so many of the type.
    ArrayExactly(&'static TypeInfo, usize),
    /// A byte string of 4 bytes (IPv4) or 16 (IPv6).
    InAddr,
    /// The id of an earlier object of this kind (of any, for `None`).
    Ref(Option<u16>),
    /// Another record, in place.
    Record(&'static RecordInfo),
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its key in the map.
    pub key: u64,
    /// Its name in the source.
    pub name: &'static str,
    /// Its type; of an optional field, when it is there.
    pub ty: TypeInfo,
    /// Whether it may be absent.
    pub optional: bool,
    /// Which of the type's values a kernel can have.
    pub bound: Option<Bound>,
    /// What it means, as the source documents it.
    pub doc: &'static [&'static str],
}

/// A record with all its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordInfo {
    /// Name and keys.
    pub schema: &'static Schema,
    /// What it is, as the source documents it.
    pub doc: &'static [&'static str],
    /// The fields by increasing key.
    pub fields: &'static [FieldInfo],
}
