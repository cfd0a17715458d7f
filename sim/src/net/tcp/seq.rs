// SPDX-License-Identifier: BSD-2-Clause
//! Sequence numbers: arithmetic modulo 2^32, ordered within half the space (RFC 9293 section 3.4).

use std::ops::{Add, AddAssign, Sub, SubAssign};

/// A sequence number (`tcp_seq`). Has no total order, so it has no `Ord`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// `SEQ_LT`: before `other`.
    pub const fn lt(self, other: Self) -> bool {
        self.diff(other) < 0
    }

    /// `SEQ_LEQ`: before `other` or equal to it.
    pub const fn leq(self, other: Self) -> bool {
        self.diff(other) <= 0
    }

    /// `SEQ_GT`: after `other`.
    pub const fn gt(self, other: Self) -> bool {
        self.diff(other) > 0
    }

    /// `SEQ_GEQ`: after `other` or equal to it.
    pub const fn geq(self, other: Self) -> bool {
        self.diff(other) >= 0
    }

    /// The signed distance from `other` to this number.
    pub const fn diff(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// `SEQ_MAX`: the later of the two.
    pub const fn max(self, other: Self) -> Self {
        if self.gt(other) { self } else { other }
    }

    /// `SEQ_MIN`: the earlier of the two.
    pub const fn min(self, other: Self) -> Self {
        if self.lt(other) { self } else { other }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    fn sub(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }
}

/// The unsigned distance, as C's `tcp_seq` subtraction gives it.
impl Sub for Seq {
    type Output = u32;
    fn sub(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl SubAssign<u32> for Seq {
    fn sub_assign(&mut self, n: u32) {
        *self = *self - n;
    }
}

/// `TSTMP_LT`: whether timestamp `a` is before `b` (RFC 7323 section 5.2).
pub(crate) const fn tstmp_lt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// `TSTMP_GT`: whether timestamp `a` is after `b`.
pub(crate) const fn tstmp_gt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        let before = Seq(u32::MAX - 1);
        let after = before + 5;
        assert!(before.lt(after) && after.gt(before) && before.leq(before) && after.geq(after));
        assert_eq!(after - before, 5);
        assert_eq!(before.max(after), after);
        assert_eq!(before.min(after), before);
        assert!(tstmp_lt(u32::MAX, 0) && tstmp_gt(0, u32::MAX));
    }
}
