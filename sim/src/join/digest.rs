// SPDX-License-Identifier: BSD-2-Clause
//! The digest of an image and the checksums of its frames by the machine's own instructions, where it has some.

use sha2::Digest as _;
use vpscore::collections::{List, NoMemory};
use vpscore::crc32c::Crc32c;
use vpscore::image::{Header, Reader, WriteError, Writer};
use vpscore::sha256::Digest;

/// SHA-256 and CRC-32C as the crates `sha2` and `crc32c` have them, which look what the machine offers.
#[derive(Clone, Debug, Default)]
pub struct NativeSha256(sha2::Sha256);

impl Digest for NativeSha256 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn crc32c(running: Crc32c, bytes: &[u8]) -> Crc32c {
        Crc32c::at(crc32c::crc32c_append(running.value(), bytes))
    }
}

/// Writes an image into memory.
pub type ImageWriter = Writer<List<u8>, NativeSha256>;

/// Begins an image in memory.
///
/// # Errors
/// `WriteError::NoMemory`.
pub fn image_writer(header: &Header) -> Result<ImageWriter, WriteError<NoMemory>> {
    Writer::with_digest(List::new(), header, NativeSha256::default())
}

/// A reader at the start of an image.
pub fn image_reader() -> Reader<NativeSha256> {
    Reader::with_digest(NativeSha256::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vpscore::sha256::sha256;

    #[test]
    fn the_machines_digest_and_checksum_are_the_cores() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * 31) as u8).collect();
        for length in [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000] {
            let mut digest = NativeSha256::default();
            let (front, back) = bytes[..length].split_at(length / 3);
            digest.update(front);
            digest.update(back);
            assert_eq!(digest.finish(), sha256(&bytes[..length]), "{length}");
            let pieces = [front, back];
            let crc = pieces.into_iter().fold(Crc32c::new(), NativeSha256::crc32c);
            assert_eq!(crc.value(), vpscore::crc32c::crc32c(&bytes[..length]));
        }
    }
}
