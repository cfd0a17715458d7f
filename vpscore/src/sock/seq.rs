// SPDX-License-Identifier: BSD-2-Clause
//! TCP sequence numbers, compared modulo 2^32 only (RFC 9293, section 3.4).

use crate::cbor::{Decode, Decoder, Encode, Encoder, Error, TypeInfo};
use crate::collections::NoMemory;

/// A TCP sequence number (FreeBSD: `tcp_seq`). It has no order of its own: which of two is earlier
/// depends on the half of the circle they lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// How far `self` lies after `earlier`, negative where it lies before it.
    #[allow(
        clippy::cast_possible_wrap,
        reason = "the sign of the difference is the order"
    )]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// `SEQ_LEQ`: not after `other`.
    pub const fn at_most(self, other: Self) -> bool {
        self.since(other) <= 0
    }

    /// `SEQ_LT`: before `other`.
    pub const fn before(self, other: Self) -> bool {
        self.since(other) < 0
    }

    /// The number `n` after this one.
    #[must_use]
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl Encode for Seq {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.0.encode(to)
    }

    #[inline(always)]
    fn encode_keyed(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.0.encode_keyed(key, to)
    }
}

impl Decode for Seq {
    const TYPE: TypeInfo = <u32 as Decode>::TYPE;

    #[inline(always)]
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        u32::decode(from).map(Self)
    }
}
