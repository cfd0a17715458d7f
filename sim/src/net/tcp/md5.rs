// SPDX-License-Identifier: BSD-2-Clause
//! Segments signed with MD5 (RFC 2385; `sys/netipsec/xform_tcp.c`, 15.0).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Tcp;
use super::siphash::octets;
use super::wire::{IPPROTO_TCP, Segment, TCPHDR};
use crate::errno::Errno;

/// Keys by source and destination address, as `setkey(8)` sets them (`tcpmd5` associations).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) by_pair: BTreeMap<(IpAddr, IpAddr), Vec<u8>>,
}

impl Tcp {
    /// Fills in the digest of an outgoing segment; `EINVAL` without a key for the pair.
    ///
    /// `at` is the digest's offset in the option bytes.
    pub(crate) fn md5_sign(
        &self,
        src: IpAddr,
        dst: IpAddr,
        bytes: &mut [u8],
        at: usize,
    ) -> Result<(), Errno> {
        let key = self
            .md5_keys
            .by_pair
            .get(&(src, dst))
            .ok_or(Errno::EINVAL)?;
        let digest = digest(src, dst, bytes, key);
        bytes[TCPHDR + at..TCPHDR + at + 16].copy_from_slice(&digest);
        Ok(())
    }

    /// Whether a received segment carries the right digest.
    pub(crate) fn md5_check(&self, seg: &Segment) -> bool {
        let Some(signature) = seg.to.signature else {
            return false;
        };
        let (src, dst) = (seg.src.0, seg.dst.0);
        let Some(key) = self.md5_keys.by_pair.get(&(src, dst)) else {
            return false;
        };
        digest(src, dst, seg.whole(), key) == signature
    }
}

/// The digest over pseudo header, header without options and with zero checksum, text and key.
fn digest(src: IpAddr, dst: IpAddr, segment: &[u8], key: &[u8]) -> [u8; 16] {
    let mut data = Vec::with_capacity(60 + segment.len() + key.len());
    data.extend(octets(src));
    data.extend(octets(dst));
    let len = segment.len() as u32;
    if src.is_ipv6() {
        data.extend(len.to_be_bytes());
        data.extend([0, 0, 0, IPPROTO_TCP]);
    } else {
        data.extend([0, IPPROTO_TCP]);
        data.extend((len as u16).to_be_bytes());
    }
    let off = (usize::from(segment[12] >> 4) * 4).min(segment.len());
    data.extend(&segment[..16]);
    data.extend([0, 0]);
    data.extend(&segment[18..TCPHDR]);
    data.extend(&segment[off..]);
    data.extend(key);
    md5(&data)
}

const SHIFTS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

/// The sines of 1 to 64 in fixed point.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// MD5 (RFC 1321).
fn md5(data: &[u8]) -> [u8; 16] {
    let mut message = data.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend((data.len() as u64 * 8).to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in message.chunks_exact(64) {
        let word = |i: usize| {
            u32::from_le_bytes([
                block[4 * i],
                block[4 * i + 1],
                block[4 * i + 2],
                block[4 * i + 3],
            ])
        };
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (f, g) = match i / 16 {
                0 => (b & c | !b & d, i),
                1 => (d & b | !d & c, (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), 7 * i % 16),
            };
            let sum = a
                .wrapping_add(f)
                .wrapping_add(SINES[i])
                .wrapping_add(word(g));
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        for (s, v) in state.iter_mut().zip([a, b, c, d]) {
            *s = s.wrapping_add(v);
        }
    }
    let mut out = [0; 16];
    for (chunk, word) in out.chunks_exact_mut(4).zip(state) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: [u8; 16]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_vectors_of_rfc_1321_come_out() {
        assert_eq!(hex(md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        let long =
            b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hex(md5(long)), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
