// SPDX-License-Identifier: BSD-2-Clause
//! SipHash-2-4 (Aumasson and Bernstein, 2012), which FreeBSD uses for everything a stranger must not
//! be able to guess: initial sequence numbers, timestamp offsets, SYN cookies, Fast Open cookies.

use super::Conninfo;
use std::net::IpAddr;

/// SipHash-2-4 of `data` under a 128-bit key.
pub(crate) fn siphash24(key: [u64; 2], data: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut chunks = data.chunks_exact(8);
    for chunk in &mut chunks {
        absorb(&mut v, word(chunk));
    }
    absorb(
        &mut v,
        word(chunks.remainder()) | (data.len() as u64 & 0xff) << 56,
    );
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn absorb(v: &mut [u64; 4], m: u64) {
    v[3] ^= m;
    round(v);
    round(v);
    v[0] ^= m;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// The two halves of a hash folded into 32 bits, as FreeBSD's users of it do.
pub(crate) fn fold(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

/// The bytes of an address.
pub(crate) fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// `tcp_keyed_hash`: of ports and addresses.
pub(crate) fn keyed_hash(inc: &Conninfo, key: [u64; 2]) -> u32 {
    let mut data = Vec::with_capacity(36);
    data.extend(inc.fport.to_be_bytes());
    data.extend(inc.lport.to_be_bytes());
    data.extend(octets(inc.faddr));
    data.extend(octets(inc.laddr));
    fold(siphash24(key, &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_paper_comes_out() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let data: Vec<u8> = (0..15).collect();
        assert_eq!(siphash24(key, &data), 0xa129_ca61_49be_45e5);
    }
}
