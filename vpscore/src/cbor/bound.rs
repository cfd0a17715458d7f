// SPDX-License-Identifier: BSD-2-Clause
//! Bounds of fields: what a kernel can have of what a type can say.

use super::Bytes;
use super::record::Schema;
use crate::collections::List;
use crate::time::Duration;
use core::fmt;

/// A rule of the schema that a record breaks. Shown, also for debugging, as `record.field`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// The record.
    pub record: &'static Schema,
    /// The key of the field.
    pub key: u64,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.record.field(self.key).unwrap_or("?");
        write!(f, "{}.{field}", self.record.name)
    }
}

impl fmt::Debug for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The values that a field can have. Of a string or list it is the length that is bounded, of an
/// absent field nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// From the first to the second.
    Within(i64, u64),
    /// No other bits than these.
    Bits(u64),
}

impl Bound {
    /// At most this.
    pub const fn most(most: u64) -> Self {
        Self::Within(i64::MIN, most)
    }

    /// From `least` to `most`.
    pub const fn within(least: i64, most: u64) -> Self {
        Self::Within(least, most)
    }

    /// No other bits than these.
    pub const fn bits(bits: u64) -> Self {
        Self::Bits(bits)
    }

    /// At most this span.
    pub const fn span(most: Duration) -> Self {
        Self::most(most.as_nanos())
    }

    /// Whether the value is one of these.
    pub fn holds(self, value: &impl Measure) -> bool {
        let Some(value) = value.measure() else {
            return true;
        };
        match self {
            Self::Within(least, most) => (i128::from(least)..=i128::from(most)).contains(&value),
            Self::Bits(bits) => value & !i128::from(bits) == 0,
        }
    }
}

/// What can be bounded.
pub trait Measure {
    /// The number, or the length; nothing where there is no value.
    fn measure(&self) -> Option<i128>;
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Measure for $ty {
            fn measure(&self) -> Option<i128> {
                Some(i128::from(*self))
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 i8 i16 i32 i64);

impl Measure for Duration {
    fn measure(&self) -> Option<i128> {
        Some(i128::from(self.as_nanos()))
    }
}

impl<T> Measure for List<T> {
    fn measure(&self) -> Option<i128> {
        i128::try_from(self.len()).ok()
    }
}

impl Measure for Bytes {
    fn measure(&self) -> Option<i128> {
        self.0.measure()
    }
}

impl<T: Measure> Measure for Option<T> {
    fn measure(&self) -> Option<i128> {
        self.as_ref().and_then(Measure::measure)
    }
}

/// `Some` of the bound of a field that has one: what [`record!`](crate::record) publishes.
#[doc(hidden)]
#[macro_export]
macro_rules! bound {
    () => {
        None
    };
    ($bound:expr) => {
        Some($bound)
    };
}
