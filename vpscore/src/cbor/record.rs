// SPDX-License-Identifier: BSD-2-Clause
//! Records: structures that declare their keys once.

use super::Error;
use super::bound::Breach;
use super::decode::{Decoder, MapReader};
use super::encode::Encoder;
use super::info::{RecordInfo, TypeInfo};
use crate::collections::NoMemory;

/// The name of a record and the names of its keys, for errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// The record's name.
    pub name: &'static str,
    /// Keys with their names, increasing.
    pub keys: &'static [(u64, &'static str)],
}

impl Schema {
    /// The name of the field under `key`.
    pub fn field(&self, key: u64) -> Option<&'static str> {
        let found = self.keys.iter().find(|(k, _)| *k == key);
        found.map(|(_, name)| *name)
    }
}

/// A value that can be written.
pub trait Encode {
    /// Writes it as one item.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory>;

    /// Writes it after the key of a map: the same bytes as those of key and value one by one.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline(always)]
    fn encode_keyed(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.uint(key)?;
        self.encode(to)
    }

    /// Whether a reader would accept what [`encode`](Self::encode) writes: the bounds and checks of every
    /// record in it.
    ///
    /// # Errors
    /// The first record, from inside out, that breaks a rule.
    fn valid(&self) -> Result<(), Breach> {
        Ok(())
    }
}

/// A value that can be read.
pub trait Decode: Sized {
    /// Its type in the schema.
    const TYPE: TypeInfo;

    /// Reads it from one item.
    ///
    /// # Errors
    /// Whatever is wrong with the item.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error>;
}

/// A value as a field of a record: a plain value is required, an `Option` is optional.
pub trait Field: Sized {
    /// The type of the value when it is there.
    const TYPE: TypeInfo;
    /// Whether it may be absent.
    const OPTIONAL: bool;

    /// Whether it is to be written.
    fn present(&self) -> bool;

    /// Writes key and value, if it is to be written.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn encode_field(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory>;

    /// [`Encode::valid`] of the value, if it is there.
    ///
    /// # Errors
    /// As there.
    fn field_valid(&self) -> Result<(), Breach>;

    /// Reads it from a record.
    ///
    /// # Errors
    /// What is wrong with it, or its absence.
    fn decode_field(key: u64, from: &mut MapReader<'_, '_>) -> Result<Self, Error>;
}

/// A structure declared by [`record!`](crate::record).
pub trait Record: Encode + Decode {
    /// Its name and keys.
    const SCHEMA: &'static Schema;
    /// All that is published of it.
    const INFO: &'static RecordInfo;

    /// Whether a kernel could be in this state.
    ///
    /// # Errors
    /// The key of a field that contradicts the others.
    fn check(&self) -> Result<(), u64>;
}

/// An enumeration declared by [`codes!`](crate::codes): each variant has a number.
pub trait Code: Sized + Copy + 'static {
    /// The name of the type and of all variants with their numbers.
    const NAMES: (&'static str, &'static [(&'static str, u64)]);
    /// The number of the variant.
    fn code(self) -> u64;
    /// The variant with this number.
    fn from_code(code: u64) -> Option<Self>;
}

impl<T: Encode + Decode> Field for T {
    const TYPE: TypeInfo = <T as Decode>::TYPE;
    const OPTIONAL: bool = false;

    #[inline]
    fn present(&self) -> bool {
        true
    }

    #[inline(always)]
    fn encode_field(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.encode_keyed(key, to)
    }

    #[inline]
    fn field_valid(&self) -> Result<(), Breach> {
        self.valid()
    }

    #[inline(always)]
    fn decode_field(key: u64, from: &mut MapReader<'_, '_>) -> Result<Self, Error> {
        from.required(key)
    }
}

impl<T: Encode + Decode> Field for Option<T> {
    const TYPE: TypeInfo = <T as Decode>::TYPE;
    const OPTIONAL: bool = true;

    #[inline]
    fn present(&self) -> bool {
        self.is_some()
    }

    #[inline(always)]
    fn encode_field(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        match self {
            Some(value) => value.encode_keyed(key, to),
            None => Ok(()),
        }
    }

    fn field_valid(&self) -> Result<(), Breach> {
        self.as_ref().map_or(Ok(()), Encode::valid)
    }

    #[inline(always)]
    fn decode_field(key: u64, from: &mut MapReader<'_, '_>) -> Result<Self, Error> {
        from.optional(key)
    }
}

/// Declares a structure that travels as a CBOR map. The keys are literals in increasing order
/// (checked at compile time); an `Option` field is left out where it is `None`. After decoding, the
/// function named by `check` says whether a kernel could be in that state, and names the field that
/// contradicts the others: for each field there is an associated constant of its name with its key.
///
/// A field that can have fewer values in a kernel than in its type says so by `where` and a
/// [`Bound`](crate::cbor::Bound); what is beyond it is refused in that field, before `check` sees it.
///
/// ```
/// vpscore::record! {
///     /// A point on a plane.
///     #[derive(Debug, PartialEq, Eq)]
///     pub struct Point, check = Point::on_plane {
///         /// Distance to the east.
///         0 => x: i32,
///         /// Distance to the north.
///         1 => y: i32,
///         /// Height, where it is known.
///         2 => z: Option<u32> where Bound::most(8_848),
///     }
/// }
///
/// # use vpscore::cbor::Bound;
/// impl Point {
///     fn on_plane(&self) -> Result<(), u64> {
///         if self.x == self.y { Err(Self::y) } else { Ok(()) }
///     }
/// }
///
/// use vpscore::cbor::{Fault, decode_all, encode_to_list};
/// let bytes = encode_to_list(&Point { x: 1, y: -1, z: None })?;
/// assert_eq!(bytes.as_slice(), [0xa2, 0x00, 0x01, 0x01, 0x20]);
/// let error = decode_all::<Point>(&[0xa2, 0x00, 0x01, 0x01, 0x01]).unwrap_err();
/// assert_eq!((error.fault, error.field()), (Fault::Invalid, Some("y")));
/// let error = decode_all::<Point>(&[0xa3, 0, 1, 1, 0x20, 2, 0x19, 0x22, 0x91]).unwrap_err();
/// assert_eq!((error.fault, error.field()), (Fault::Invalid, Some("z")));
/// # Ok::<(), vpscore::collections::NoMemory>(())
/// ```
#[macro_export]
macro_rules! record {
    (
        $(#[doc = $rdoc:literal])+
        $(#[derive($($derive:ident),* $(,)?)])?
        $vis:vis struct $Name:ident $(, check = $check:path)? {
            $($(#[doc = $doc:literal])+
            $key:literal => $field:ident : $ty:ty $(where $bound:expr)?,)*
        }
    ) => {
        $(#[doc = $rdoc])+
        $(#[derive($($derive),*)])?
        $vis struct $Name {
            $($(#[doc = $doc])+ pub $field: $ty,)*
        }

        #[allow(non_upper_case_globals, reason = "a key is named as its field")]
        #[allow(dead_code, reason = "not every field needs a check")]
        impl $Name {
            $(#[doc = concat!("The key of `", stringify!($field), "`.")]
            pub const $field: u64 = $key;)*

            /// The key of the first field in which another differs; what a kernel would lose of a record is
            /// seen by comparing it with the record of what it made.
            pub fn difference(&self, other: &Self) -> Option<u64> {
                $(if self.$field != other.$field {
                    return Some($key);
                })*
                None
            }
        }

        const _: () = {
            let keys: &[u64] = &[$($key),*];
            let mut rest = keys;
            while let [first, tail @ ..] = rest {
                if let [second, ..] = tail {
                    assert!(*first < *second, "keys must increase");
                }
                rest = tail;
            }
        };

        impl $crate::cbor::Record for $Name {
            const SCHEMA: &'static $crate::cbor::Schema = &$crate::cbor::Schema {
                name: stringify!($Name),
                keys: &[$(($key, stringify!($field))),*],
            };
            const INFO: &'static $crate::cbor::RecordInfo = &$crate::cbor::RecordInfo {
                schema: <Self as $crate::cbor::Record>::SCHEMA,
                doc: &[$($rdoc),+],
                fields: &[$($crate::cbor::FieldInfo {
                    key: $key,
                    name: stringify!($field),
                    ty: <$ty as $crate::cbor::Field>::TYPE,
                    optional: <$ty as $crate::cbor::Field>::OPTIONAL,
                    bound: $crate::bound!($($bound)?),
                    doc: &[$($doc),+],
                }),*],
            };

            fn check(&self) -> Result<(), u64> {
                $($(if !$bound.holds(&self.$field) {
                    return Err($key);
                })?)*
                $($check(self)?;)?
                Ok(())
            }
        }

        impl $crate::cbor::Encode for $Name {
            fn encode(
                &self,
                to: &mut $crate::cbor::Encoder<'_>,
            ) -> Result<(), $crate::collections::NoMemory> {
                let present = 0_usize
                    $(.wrapping_add($crate::cbor::Field::present(&self.$field).into()))*;
                to.map(present)?;
                $($crate::cbor::Field::encode_field(&self.$field, $key, to)?;)*
                Ok(())
            }

            fn valid(&self) -> Result<(), $crate::cbor::Breach> {
                $($crate::cbor::Field::field_valid(&self.$field)?;)*
                $crate::cbor::Record::check(self).map_err(|key| $crate::cbor::Breach {
                    record: <Self as $crate::cbor::Record>::SCHEMA,
                    key,
                })
            }
        }

        impl $crate::cbor::Decode for $Name {
            const TYPE: $crate::cbor::TypeInfo =
                $crate::cbor::TypeInfo::Record(<Self as $crate::cbor::Record>::INFO);

            fn decode(
                from: &mut $crate::cbor::Decoder<'_>,
            ) -> Result<Self, $crate::cbor::Error> {
                let schema = <Self as $crate::cbor::Record>::SCHEMA;
                let at = from.offset();
                let mut map = from.record(schema)?;
                let value = Self {
                    $($field: $crate::cbor::Field::decode_field($key, &mut map)?,)*
                };
                map.finish()?;
                match $crate::cbor::Record::check(&value) {
                    Ok(()) => Ok(value),
                    Err(key) => Err($crate::cbor::Error::at($crate::cbor::Fault::Invalid, at)
                        .within(schema, Some(key))),
                }
            }
        }
    };
}

/// Declares an enumeration that travels as its numbers; other numbers are refused.
#[macro_export]
macro_rules! codes {
    (
        $(#[doc = $edoc:literal])+
        $vis:vis enum $Name:ident {
            $($(#[doc = $doc:literal])+ $Variant:ident = $code:literal,)+
        }
    ) => {
        $(#[doc = $edoc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $Name {
            $($(#[doc = $doc])+ $Variant,)+
        }

        impl $crate::cbor::Code for $Name {
            const NAMES: (&'static str, &'static [(&'static str, u64)]) =
                (stringify!($Name), &[$((stringify!($Variant), $code)),+]);

            fn code(self) -> u64 {
                match self {
                    $(Self::$Variant => $code,)+
                }
            }

            fn from_code(code: u64) -> Option<Self> {
                match code {
                    $($code => Some(Self::$Variant),)+
                    _ => None,
                }
            }
        }

        impl $crate::cbor::Encode for $Name {
            fn encode(
                &self,
                to: &mut $crate::cbor::Encoder<'_>,
            ) -> Result<(), $crate::collections::NoMemory> {
                to.uint($crate::cbor::Code::code(*self))
            }

            #[inline(always)]
            fn encode_keyed(
                &self,
                key: u64,
                to: &mut $crate::cbor::Encoder<'_>,
            ) -> Result<(), $crate::collections::NoMemory> {
                to.keyed_uint(key, $crate::cbor::Code::code(*self))
            }
        }

        impl $crate::cbor::Decode for $Name {
            const TYPE: $crate::cbor::TypeInfo = $crate::cbor::TypeInfo::Code(
                <Self as $crate::cbor::Code>::NAMES.0,
                <Self as $crate::cbor::Code>::NAMES.1,
            );

            fn decode(
                from: &mut $crate::cbor::Decoder<'_>,
            ) -> Result<Self, $crate::cbor::Error> {
                let at = from.offset();
                let code = from.uint()?;
                <Self as $crate::cbor::Code>::from_code(code)
                    .ok_or($crate::cbor::Error::at($crate::cbor::Fault::Range, at))
            }
        }
    };
}
