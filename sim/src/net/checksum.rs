// SPDX-License-Identifier: BSD-2-Clause
//! The Internet checksum (RFC 1071) and the pseudo headers that transports add to it.

use std::net::IpAddr;

/// A one's complement sum under construction.
///
/// Parts may have odd lengths: the sum goes on as if they were one string of octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    acc: u16,
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
        self.add(sum_of(data));
        self.odd ^= data.len() % 2 == 1;
        self
    }

    /// Adds the pseudo header of RFC 9293 section 3.1 (IPv4) or RFC 8200 section 8.1 (IPv6).
    ///
    /// `len` is the length of the transport's header and data in bytes. Addresses of different
    /// families give a sum that no receiver accepts.
    #[must_use]
    pub fn pseudo(mut self, src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Self {
        let ends = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                u64::from(u32::from(src)) + u64::from(u32::from(dst))
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let halves = |addr: u128| (addr >> 64) as u64 % MODULUS + addr as u64 % MODULUS;
                halves(src.into()) + halves(dst.into())
            }
            _ => 0xfffe,
        };
        self.add(fold(ends + u64::from(proto) + u64::from(len as u32)));
        self
    }

    /// Adds a sum of words; after an odd number of octets its two octets stand the other way round
    /// (RFC 1071 section 2).
    fn add(&mut self, sum: u16) {
        let sum = if self.odd { sum.swap_bytes() } else { sum };
        self.acc = fold(u64::from(self.acc) + u64::from(sum));
    }

    /// The checksum: the complement of the folded sum. 0 for data whose own checksum is included
    /// and right.
    pub fn finish(self) -> u16 {
        !self.acc
    }
}

/// 2^16 is 1 modulo this, and so is 2^64: words of any width add up to the same.
const MODULUS: u64 = 0xffff;

/// The one's complement sum of the 16-bit words of `acc`.
fn fold(acc: u64) -> u16 {
    let acc = (acc >> 32) + (acc & 0xffff_ffff);
    let acc = (acc >> 32) + (acc & 0xffff_ffff);
    let acc = (acc >> 16) + (acc & 0xffff);
    ((acc >> 16) + (acc & 0xffff)) as u16
}

/// The one's complement sum of the words of `data`, an odd octet at the end followed by zero.
///
/// Words are taken as wide as the machine adds them, carries counted above them, and in the order of
/// bytes of most machines, which is put right in the sum (RFC 1071 section 2, (B) and (C)).
fn sum_of(data: &[u8]) -> u16 {
    let (blocks, rest) = data.as_chunks::<32>();
    let mut wide = [0_u128; 2];
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (at, word) in words.iter().enumerate() {
            wide[at % 2] += u128::from(u64::from_le_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        wide[0] += u128::from(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let wide = wide[0] + wide[1] + u128::from(u64::from_le_bytes(last));
    let carries = (wide >> 64) as u64;
    let (low, over) = (wide as u64).overflowing_add(carries);
    let halves = (low >> 32) + (low & 0xffff_ffff) + u64::from(over);
    fold(halves).swap_bytes()
}

/// The checksum of `data` alone.
pub fn in_cksum(data: &[u8]) -> u16 {
    Sum::new().with(data).finish()
}

/// The checksum of an IPv4 header without options, which every packet has made or looked at
/// (`in_cksum_hdr`).
pub fn in_cksum_hdr(header: &[u8; 20]) -> u16 {
    let (words, _) = header.as_chunks::<4>();
    let sum = words
        .iter()
        .map(|word| u64::from(u32::from_le_bytes(*word)));
    !fold(sum.sum()).swap_bytes()
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

    /// Octet by octet, as RFC 1071 section 1 says it.
    fn by_the_book(data: &[u8]) -> u16 {
        let mut sum = 0_u64;
        for (at, octet) in data.iter().enumerate() {
            sum += u64::from(*octet) << if at % 2 == 0 { 8 } else { 0 };
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    #[test]
    fn every_length_and_content_sums_as_the_rfc_says() {
        let fill: [fn(usize) -> u8; 4] =
            [|_| 0, |_| 0xff, |at| (at * 37) as u8, |at| (at / 3) as u8];
        for octet in fill {
            for len in (0..200).chain([1479, 1480, 65_535]) {
                let data: Vec<u8> = (0..len).map(octet).collect();
                assert_eq!(in_cksum(&data), by_the_book(&data), "{len}");
            }
        }
    }

    #[test]
    fn a_header_of_twenty_octets_sums_as_any_data() {
        let fill: [fn(usize) -> u8; 3] = [|_| 0, |_| 0xff, |at| (at * 37) as u8];
        for octet in fill {
            let header = std::array::from_fn(octet);
            assert_eq!(in_cksum_hdr(&header), by_the_book(&header));
        }
    }

    #[test]
    fn the_pseudo_header_sums_as_its_octets() {
        let (a, b) = ([0xff, 0xff, 3, 4], [0xff, 0xfe, 0xfd, 9]);
        let octets = [&a[..], &b, &[0, 6], &70_000_u32.to_be_bytes()].concat();
        let sum = Sum::new().pseudo(a.into(), b.into(), 6, 70_000);
        assert_eq!(sum.finish(), by_the_book(&octets));
        let (a, b) = (
            [0xff; 16],
            std::array::from_fn::<u8, 16, _>(|at| (at * 19) as u8),
        );
        let octets = [&a[..], &b, &[0, 6], &1_u32.to_be_bytes()].concat();
        let sum = Sum::new().pseudo(a.into(), b.into(), 6, 1);
        assert_eq!(sum.finish(), by_the_book(&octets));
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
