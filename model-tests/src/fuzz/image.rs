// SPDX-License-Identifier: BSD-2-Clause
//! Any bytes as an image.

use super::forge::forged;
use crate::image::{Item, list, read, write};
use vpscore::cbor::{Decode, Decoder, Encode, decode_all, encode_to_list};
use vpscore::image::KINDS;
use vpscore::image::schema::{Abi, Object};
use vpscore::net::{Mapping, Remap, Remapping, Way};
use vpscore::sock::{InAddr, Socket, Tcpcb};

/// Reads an image that is [`forged`]; what is accepted is written again as the same bytes.
///
/// # Panics
/// Where it is not.
pub fn image_decode(data: &[u8]) {
    decode(&forged(data));
}

/// Reads the bytes as an image; what is accepted is written again as the same bytes.
///
/// # Panics
/// Where it is not.
pub fn decode(data: &[u8]) {
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

/// Reads the bytes as a remap of so many bytes as the first says and a packet, which passes the
/// translation both ways; or, where they are no remap, as a record that gets other addresses.
///
/// # Panics
/// Where a packet changes its length, or one that names none of the addresses changes.
pub fn remap(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (head, packet) = rest.split_at(rest.len().min((*first).into()));
    match decode_all::<Remap>(head) {
        Ok(remap) => translated(&remap, packet),
        Err(_) => remapped(*first, rest),
    }
}

fn translated(remap: &Remap, packet: &[u8]) {
    let octets = |addr: InAddr| match addr {
        InAddr::V4(octets) => octets.to_vec(),
        InAddr::V6(octets) => octets.to_vec(),
    };
    for way in [Way::In, Way::Out] {
        let mut bytes = packet.to_vec();
        remap.packet(way, &mut bytes);
        assert_eq!(bytes.len(), packet.len());
        let named = remap.mappings().iter().any(|mapping| {
            let from = octets(if way == Way::In {
                mapping.from
            } else {
                mapping.to
            });
            packet.windows(from.len()).any(|part| part == from)
        });
        assert!(named || bytes == packet, "{way:?} {packet:02x?}");
    }
}

fn remapped(kind: u8, bytes: &[u8]) {
    let info = &KINDS[usize::from(kind) % KINDS.len()];
    let Ok(Some(mut object)) = Object::decode(info.kind, &mut Decoder::new(bytes)) else {
        return;
    };
    let mapping = Mapping {
        from: InAddr::V4([10, 0, 0, 2]),
        to: InAddr::V4([10, 7, 7, 7]),
        prefixlen: 24,
        router: None,
    };
    let remap = Remap::new(list([mapping])).expect("possible");
    for abi in [Abi::SimLp64, Abi::FreebsdI386] {
        let mut remapping = Remapping::new(&remap, abi).expect("memory");
        let _fate = remapping.object(1, &mut object);
        if let Object::Socket(socket) = &object {
            remapping.received(socket, &mut bytes.to_vec());
        }
        let _routes = remapping.finish();
    }
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
