// SPDX-License-Identifier: BSD-2-Clause
//! The Internet checksum (RFC 1071) and the pseudo headers that transports add to it.

use std::net::IpAddr;

/// A one's complement sum under construction.
///
/// Parts may have odd lengths: the sum goes on as if they were one string of octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    acc: u64,
    odd: bool,
}

impl Sum {
    /// A sum of nothing.
    pub const fn new() -> Self {
        Self { acc: 0, odd: false }
    }

    /// Adds the octets of `data`.
    #[must_use]
    pub fn with(mut self, data: &[u8]) -> Self {
        let mut rest = data;
        if self.odd
            && let Some((&first, tail)) = rest.split_first()
        {
            self.acc += u64::from(first);
            self.odd = false;
            rest = tail;
        }
        // 2^16 is 1 modulo 2^16 - 1, so wider words add up to the same, and the order of bytes may be
        // put right at the end (RFC 1071 section 2): the compiler makes wide additions of this.
        let (words, rest) = rest.as_chunks::<4>();
        let swapped: u64 = words
            .iter()
            .map(|word| u64::from(u32::from_le_bytes(*word)))
            .sum();
        self.acc += u64::from(fold(swapped).swap_bytes());
        let (pairs, rest) = rest.as_chunks::<2>();
        for pair in pairs {
            self.acc += u64::from(u16::from_be_bytes(*pair));
        }
        if let [last] = rest {
            self.acc += u64::from(*last) << 8;
            self.odd = true;
        }
        self
    }

    /// Adds the pseudo header of RFC 9293 section 3.1 (IPv4) or RFC 8200 section 8.1 (IPv6).
    ///
    /// `len` is the length of the transport's header and data in bytes. Addresses of different
    /// families give a sum that no receiver accepts.
    #[must_use]
    pub fn pseudo(self, src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Self {
        let sum = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.with(&src.octets()).with(&dst.octets()),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.with(&src.octets()).with(&dst.octets()),
            _ => self.with(&[0xff, 0xfe]),
        };
        sum.with(&[0, proto]).with(&(len as u32).to_be_bytes())
    }

    /// The checksum: the complement of the folded sum. 0 for data whose own checksum is included
    /// and right.
    pub fn finish(self) -> u16 {
        !fold(self.acc)
    }
}

/// The one's complement sum of the 16-bit words of `acc`.
fn fold(mut acc: u64) -> u16 {
    while acc > 0xffff {
        acc = (acc & 0xffff) + (acc >> 16);
    }
    acc as u16
}

/// The checksum of `data` alone.
pub fn in_cksum(data: &[u8]) -> u16 {
    Sum::new().with(data).finish()
}

/// The checksum of a transport's header and data with its pseudo header.
pub fn transport_cksum(src: IpAddr, dst: IpAddr, proto: u8, segment: &[u8]) -> u16 {
    Sum::new()
        .pseudo(src, dst, proto, segment.len())
        .with(segment)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 1071 section 3.
    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        assert_eq!(
            in_cksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
    }

    #[test]
    fn odd_parts_sum_as_if_joined() {
        let whole = [1, 2, 3, 4, 5, 6, 7];
        for cut in 0..whole.len() {
            let (a, b) = whole.split_at(cut);
            assert_eq!(
                Sum::new().with(a).with(b).finish(),
                in_cksum(&whole),
                "{cut}"
            );
        }
    }
}
