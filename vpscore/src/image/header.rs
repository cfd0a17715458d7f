// SPDX-License-Identifier: BSD-2-Clause
//! What can be read without knowing anything else: the fixed header, and the trailer. All numbers
//! are little endian.

use super::{Fault, HEADER_LEN, PAGE_SIZE, TRAILER_LEN};
use crate::cbor::Code;
use crate::crc32c::crc32c;
use crate::image::schema::Abi;

/// The first bytes of every image; the first is not ASCII and the last is a line feed, so that a
/// transfer that takes the image for text shows.
pub const MAGIC: [u8; 8] = *b"\x89VPSIMG\n";
/// The format version.
pub const VERSION: u16 = 1;

/// What an image may need of its reader, as bits of [`Header::features`].
pub mod features {
    /// Instances nested in the image's own.
    pub const NESTED: u64 = 1 << 0;
    /// Processes with more than one thread.
    pub const THREADS: u64 = 1 << 1;
    /// Pipes.
    pub const PIPES: u64 = 1 << 2;
    /// TCP over IPv4.
    pub const TCP4: u64 = 1 << 3;
    /// TCP over IPv6.
    pub const TCP6: u64 = 1 << 4;
    /// UDP.
    pub const UDP: u64 = 1 << 5;
    /// Local-domain sockets.
    pub const UNIX: u64 = 1 << 6;
}

/// Every feature that this version has.
pub const FEATURES: u64 = (1 << 7) - 1;

/// The fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `__FreeBSD_version` of the source.
    pub osreldate: u32,
    /// The ABI of the source kernel; a process may have another.
    pub abi: Abi,
    /// Features that a reader must have to restore the image.
    pub features: u64,
    /// Features that it may do without.
    pub optional_features: u64,
}

impl Header {
    /// The bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let length = HEADER_LEN as u16;
        let abi = u32::try_from(self.abi.code()).unwrap_or_default();
        let mut out = [0; HEADER_LEN];
        let fields = MAGIC
            .into_iter()
            .chain(VERSION.to_le_bytes())
            .chain(length.to_le_bytes())
            .chain(self.osreldate.to_le_bytes())
            .chain(abi.to_le_bytes())
            .chain((PAGE_SIZE as u32).to_le_bytes())
            .chain(self.features.to_le_bytes())
            .chain(self.optional_features.to_le_bytes())
            .chain([0; 4]);
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        if let Some((front, check)) = out.split_last_chunk_mut::<4>() {
            *check = crc32c(front).to_le_bytes();
        }
        out
    }

    /// The header in these bytes.
    ///
    /// # Errors
    /// [`Fault::Magic`], [`Fault::Version`], [`Fault::HeaderCrc`], [`Fault::HeaderField`],
    /// [`Fault::Features`], in this order.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
        let mut rest: &[u8] = bytes;
        if take::<8>(&mut rest) != MAGIC {
            return Err(Fault::Magic);
        }
        let version = u16::from_le_bytes(take(&mut rest));
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let (front, check) = bytes.split_last_chunk::<4>().ok_or(Fault::Truncated)?;
        if crc32c(front).to_le_bytes() != *check {
            return Err(Fault::HeaderCrc);
        }
        let length = u16::from_le_bytes(take(&mut rest));
        let osreldate = u32::from_le_bytes(take(&mut rest));
        let abi = u32::from_le_bytes(take(&mut rest));
        let page_size = u32::from_le_bytes(take(&mut rest));
        let features = u64::from_le_bytes(take(&mut rest));
        let optional_features = u64::from_le_bytes(take(&mut rest));
        let reserved = u32::from_le_bytes(take(&mut rest));
        let known =
            usize::from(length) == HEADER_LEN && page_size == PAGE_SIZE as u32 && reserved == 0;
        let abi = Abi::from_code(u64::from(abi)).ok_or(Fault::HeaderField)?;
        if !known {
            return Err(Fault::HeaderField);
        }
        if features & !FEATURES != 0 {
            return Err(Fault::Features(features & !FEATURES));
        }
        Ok(Self {
            osreldate,
            abi,
            features,
            optional_features,
        })
    }
}

/// The totals of an image, with its digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trailer {
    /// Objects: records with a number of their own.
    pub objects: u64,
    /// Frames before the trailer.
    pub frames: u64,
    /// Pages stored whole.
    pub pages: u64,
    /// Bytes before the trailer's frame.
    pub bytes: u64,
    /// SHA-256 of these bytes and of the four totals.
    pub digest: [u8; 32],
}

impl Trailer {
    /// The four totals, which the digest covers too.
    pub fn totals(&self) -> [u8; 32] {
        let mut out = [0; 32];
        let totals = [self.objects, self.frames, self.pages, self.bytes];
        for (to, from) in out
            .iter_mut()
            .zip(totals.iter().flat_map(|n| n.to_le_bytes()))
        {
            *to = from;
        }
        out
    }

    /// The payload of the trailer's frame.
    pub fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut out = [0; TRAILER_LEN];
        let bytes = self.totals().into_iter().chain(self.digest);
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = from;
        }
        out
    }

    /// The trailer in this payload.
    pub fn decode(bytes: &[u8; TRAILER_LEN]) -> Self {
        let mut rest: &[u8] = bytes;
        Self {
            objects: u64::from_le_bytes(take(&mut rest)),
            frames: u64::from_le_bytes(take(&mut rest)),
            pages: u64::from_le_bytes(take(&mut rest)),
            bytes: u64::from_le_bytes(take(&mut rest)),
            digest: take(&mut rest),
        }
    }
}

/// The next `N` bytes, zeros where there are fewer; the callers read arrays of known length.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((chunk, tail)) => {
            *rest = tail;
            *chunk
        }
        None => [0; N],
    }
}
