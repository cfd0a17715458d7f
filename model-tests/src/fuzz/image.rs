// SPDX-License-Identifier: BSD-2-Clause
//! Any bytes as an image.

use crate::image::{Item, read, write};
use vpscore::cbor::{Decode, Decoder, Encode, decode_all, encode_to_list};
use vpscore::image::KINDS;
use vpscore::image::schema::Object;
use vpscore::sock::{Socket, Tcpcb};

/// Reads the bytes as an image; what is accepted is written again as the same bytes.
///
/// # Panics
/// Where it is not.
pub fn image_decode(data: &[u8]) {
    let whole = read(data, usize::MAX);
    let piecewise = read(data, 7);
    assert_eq!(whole, piecewise, "the pieces must not matter");
    let Ok(items) = whole else { return };
    let skipped = items.iter().any(|i| matches!(i, Item::Skipped(_)));
    let long = items
        .iter()
        .any(|i| matches!(i, Item::Zeros(_, _, n) if *n > 1 << 16));
    if !skipped && !long {
        let again = write(&items).expect("what was read can be written");
        // Keys that were skipped are lost; without them the bytes are the same.
        assert!(again.len() <= data.len());
        if again.len() == data.len() {
            assert_eq!(again, data);
        }
    }
}

/// Reads the bytes as one record of a kind that the first byte chooses; what is accepted and has
/// no unknown keys encodes to the same bytes.
///
/// # Panics
/// Where it does not.
pub fn record_decode(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let info = &KINDS[usize::from(*first) % KINDS.len()];
    let mut decoder = Decoder::new(bytes);
    let _ = Object::decode(info.kind, &mut decoder);
}

/// Reads the bytes as a TCP control block and as a socket.
///
/// # Panics
/// Where one that is accepted does not encode to what it was decoded from.
pub fn sock_decode(data: &[u8]) {
    again::<Tcpcb>(data);
    again::<Socket>(data);
}

fn again<T: Decode + Encode>(data: &[u8]) {
    if let Ok(value) = decode_all::<T>(data) {
        let bytes = encode_to_list(&value).expect("memory");
        assert!(bytes.len() <= data.len());
        if bytes.len() == data.len() {
            assert_eq!(bytes.as_slice(), data);
        }
    }
}
