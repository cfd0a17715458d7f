// SPDX-License-Identifier: BSD-2-Clause
//! Images as an enemy makes them: whatever is altered, every checksum and the digest are right.
//!
//! A reader refuses what was damaged by accident at the first checksum, and whoever only alters bytes never gets
//! further than that. An enemy computes the checksums.

use std::sync::OnceLock;

use vpscore::crc32c::crc32c;
use vpscore::image::{END, FRAME_HEADER_LEN, HEADER_LEN, TRAILER_LEN};
use vpscore::sha256::Sha256;

use crate::image::sample;

/// Alterations of one image.
const ALTERATIONS_MAX: usize = 16;
/// Bytes of the four totals of a trailer.
const TOTALS_LEN: usize = 32;

/// A frame: its header without the checksum, and its payload.
#[derive(Clone, Debug)]
struct Frame {
    kind: u16,
    id: u32,
    payload: Vec<u8>,
}

/// The image that an input stands for: by its first byte either its own bytes, or the sample with frames altered,
/// dropped, doubled and moved; sealed in either case.
pub fn forged(data: &[u8]) -> Vec<u8> {
    let Some((first, rest)) = data.split_first() else {
        return Vec::new();
    };
    let (header, mut frames) = if first & 1 == 0 {
        split(rest)
    } else {
        let (header, mut frames) = parts().clone();
        for words in rest.chunks_exact(6).take(ALTERATIONS_MAX) {
            alter(&mut frames, words);
        }
        (header, frames)
    };
    sealed(header, &mut frames)
}

fn parts() -> &'static (Vec<u8>, Vec<Frame>) {
    static PARTS: OnceLock<(Vec<u8>, Vec<Frame>)> = OnceLock::new();
    PARTS.get_or_init(|| split(&sample().expect("the sample can be written")))
}

/// The header of an image and its frames, as far as they go; a frame that is cut short ends where the bytes do.
fn split(image: &[u8]) -> (Vec<u8>, Vec<Frame>) {
    let (header, mut rest) = image.split_at(image.len().min(HEADER_LEN));
    let mut frames = Vec::new();
    while let Some((front, after)) = rest.split_first_chunk::<FRAME_HEADER_LEN>() {
        let [k0, k1, _, _, i0, i1, i2, i3, l0, l1, l2, l3, ..] = *front;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let (payload, after) = after.split_at(after.len().min(length));
        frames.push(Frame {
            kind: u16::from_le_bytes([k0, k1]),
            id: u32::from_le_bytes([i0, i1, i2, i3]),
            payload: payload.to_vec(),
        });
        rest = after;
    }
    (header.to_vec(), frames)
}

/// One alteration: what, of which frame, where in it, and by which value.
fn alter(frames: &mut Vec<Frame>, words: &[u8]) {
    let &[what, f0, f1, p0, p1, value] = words else {
        return;
    };
    let among = |low, high, n: usize| usize::from(u16::from_le_bytes([low, high])) % n.max(1);
    let at = among(f0, f1, frames.len());
    let Some(frame) = frames.get_mut(at) else {
        return;
    };
    let place = among(p0, p1, frame.payload.len());
    match what % 9 {
        0..=2 => {
            if let Some(byte) = frame.payload.get_mut(place) {
                *byte = value;
            }
        }
        3 => frame.payload.insert(place, value),
        4 if !frame.payload.is_empty() => {
            frame.payload.remove(place);
        }
        5 => frame.id = frame.id.wrapping_add_signed(i32::from(value as i8)),
        6 => {
            frames.remove(at);
        }
        7 => {
            let twin = frame.clone();
            frames.insert(at, twin);
        }
        _ => {
            let with = usize::from(value) % frames.len();
            frames.swap(at, with);
        }
    }
}

/// The whole image, with the sums of header and frames, and the digest and the counts of frames and bytes of the
/// trailer, as they have to be.
fn sealed(mut header: Vec<u8>, frames: &mut [Frame]) -> Vec<u8> {
    if let Some((front, check)) = header.split_last_chunk_mut::<4>()
        && front.len() + 4 == HEADER_LEN
    {
        *check = crc32c(front).to_le_bytes();
    }
    let mut image = header;
    for (before, frame) in (0_u64..).zip(frames) {
        if frame.kind == END && frame.payload.len() == TRAILER_LEN {
            let (totals, digest) = frame.payload.split_at_mut(TOTALS_LEN);
            totals[8..16].copy_from_slice(&before.to_le_bytes());
            totals[24..32].copy_from_slice(&(image.len() as u64).to_le_bytes());
            let mut sum = Sha256::new();
            sum.update(&image);
            sum.update(totals);
            digest.copy_from_slice(&sum.finish());
        }
        let mut covered = frame.kind.to_le_bytes().to_vec();
        covered.extend([0; 2]);
        covered.extend(frame.id.to_le_bytes());
        covered.extend((frame.payload.len() as u32).to_le_bytes());
        image.extend(&covered);
        covered.extend(&frame.payload);
        image.extend(crc32c(&covered).to_le_bytes());
        image.extend(&frame.payload);
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::read;

    #[test]
    fn without_alterations_the_sample_comes_out() {
        let whole = sample().expect("sample");
        assert_eq!(forged(&[1]), whole);
        assert_eq!(forged(&[&[0], whole.as_slice()].concat()), whole);
    }

    #[test]
    fn an_altered_byte_gets_past_every_checksum() {
        use vpscore::image::Fault;
        let mut reached = 0;
        for frame in 0..parts().1.len() as u16 {
            let [low, high] = frame.to_le_bytes();
            // 0xff begins nothing; as a byte of a page or of a stream it is as good as any.
            if let Err(error) = read(&forged(&[1, 0, low, high, 0, 0, 0xff]), usize::MAX) {
                let sums = [Fault::FrameCrc, Fault::HeaderCrc, Fault::Digest];
                assert!(!sums.contains(&error.fault), "frame {frame}: {error:?}");
                reached += 1;
            }
        }
        assert!(reached > 30, "{reached}");
    }
}
