// SPDX-License-Identifier: BSD-2-Clause
#![allow(unreachable_pub)]
use super::*;
use crate::collections::List;
use std::vec::Vec;

crate::codes! {
    /// A code.
    pub enum Colour {
        /// Red.
        Red = 1,
        /// Blue.
        Blue = 300,
    }
}

crate::record! {
    /// Inside.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Inner {
        /// A number.
        0 => n: u8,
    }
}

crate::record! {
    /// A record with one field of each type.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Sample, check = Sample::not_thirteen {
        /// An unsigned number.
        0 => count: u32,
        /// A signed number that may be absent.
        1 => delta: Option<i16>,
        /// Records.
        5 => inner: List<Inner>,
        /// Bytes.
        24 => bytes: Bytes,
        /// Six bytes.
        25 => mac: [u8; 6],
        /// Text.
        30 => text: Text,
        /// A code.
        31 => colour: Colour,
        /// A later addition that a reader may skip.
        128 => extra: Option<bool>,
    }
}

impl Sample {
    fn not_thirteen(&self) -> Result<(), u64> {
        if self.count == 13 {
            return Err(Self::count);
        }
        Ok(())
    }
}

fn sample() -> Sample {
    let mut inner = List::new();
    inner.push(Inner { n: 7 }).unwrap();
    Sample {
        count: 1000,
        delta: Some(-500),
        inner,
        bytes: Bytes::copy(&[1, 2, 3]).unwrap(),
        mac: [2, 0, 0, 0, 0, 1],
        text: Text::copy("vps").unwrap(),
        colour: Colour::Blue,
        extra: Some(true),
    }
}

fn encode(f: impl FnOnce(&mut Encoder<'_>) -> Result<(), crate::collections::NoMemory>) -> Vec<u8> {
    let mut list = List::new();
    f(&mut Encoder::new(&mut list)).unwrap();
    list.as_slice().to_vec()
}

#[test]
fn integers_encode_as_in_rfc_8949_appendix_a() {
    let vectors: &[(u64, &[u8])] = &[
        (0, &[0x00]),
        (23, &[0x17]),
        (24, &[0x18, 0x18]),
        (100, &[0x18, 0x64]),
        (255, &[0x18, 0xff]),
        (256, &[0x19, 0x01, 0x00]),
        (1000, &[0x19, 0x03, 0xe8]),
        (65535, &[0x19, 0xff, 0xff]),
        (65536, &[0x1a, 0x00, 0x01, 0x00, 0x00]),
        (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
        (0xffff_ffff, &[0x1a, 0xff, 0xff, 0xff, 0xff]),
        (
            1_000_000_000_000,
            &[0x1b, 0x00, 0x00, 0x00, 0xe8, 0xd4, 0xa5, 0x10, 0x00],
        ),
        (
            u64::MAX,
            &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
    ];
    for (value, bytes) in vectors {
        assert_eq!(encode(|e| e.uint(*value)), *bytes);
        assert_eq!(decode_all::<u64>(bytes), Ok(*value));
    }
    let negative: &[(i64, &[u8])] = &[
        (-1, &[0x20]),
        (-10, &[0x29]),
        (-24, &[0x37]),
        (-25, &[0x38, 0x18]),
        (-100, &[0x38, 0x63]),
        (-1000, &[0x39, 0x03, 0xe7]),
        (
            i64::MIN,
            &[0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
    ];
    for (value, bytes) in negative {
        assert_eq!(encode(|e| e.int(*value)), *bytes);
        assert_eq!(decode_all::<i64>(bytes), Ok(*value));
    }
}

#[test]
fn strings_and_simple_values_encode_as_in_rfc_8949_appendix_a() {
    assert_eq!(encode(|e| e.bytes(&[])), [0x40]);
    assert_eq!(encode(|e| e.bytes(&[1, 2, 3, 4])), [0x44, 1, 2, 3, 4]);
    assert_eq!(encode(|e| e.text("IETF")), [0x64, 0x49, 0x45, 0x54, 0x46]);
    assert_eq!(encode(|e| e.text("\u{6c34}")), [0x63, 0xe6, 0xb0, 0xb4]);
    assert_eq!(encode(|e| e.array(25)), [0x98, 25]);
    assert_eq!(encode(|e| e.map(2)), [0xa2]);
    assert_eq!(encode(|e| e.bool(false)), [0xf4]);
    assert_eq!(encode(|e| e.bool(true)), [0xf5]);
    assert_eq!(encode(|e| e.null()), [0xf6]);
}

fn skip_fault(bytes: &[u8]) -> Option<Fault> {
    let mut decoder = Decoder::new(bytes);
    let read = decoder.skip().and_then(|()| decoder.finish());
    read.err().map(|e| e.fault)
}

#[test]
fn encodings_outside_the_subset_are_refused_by_name() {
    let cases: &[(&[u8], Fault)] = &[
        (&[], Fault::Truncated),
        (&[0x18], Fault::Truncated),
        (&[0x18, 0x17], Fault::NotShortest),
        (&[0x19, 0x00, 0xff], Fault::NotShortest),
        (&[0x1a, 0x00, 0x00, 0xff, 0xff], Fault::NotShortest),
        (
            &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            Fault::NotShortest,
        ),
        (&[0x58, 0x01, 0x00], Fault::NotShortest),
        (&[0x1c], Fault::Reserved),
        (&[0x1f], Fault::Reserved),
        (&[0x5f, 0xff], Fault::Indefinite),
        (&[0x7f, 0xff], Fault::Indefinite),
        (&[0x9f, 0xff], Fault::Indefinite),
        (&[0xbf, 0xff], Fault::Indefinite),
        (&[0xff], Fault::Indefinite),
        (&[0xc0, 0x00], Fault::Tag),
        (&[0xf9, 0x00, 0x00], Fault::Simple),
        (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], Fault::Simple),
        (&[0xf7], Fault::Simple),
        (&[0xf8, 0xff], Fault::Simple),
        (&[0xe0], Fault::Simple),
        (&[0x62, 0xff, 0xff], Fault::Utf8),
        (&[0xa1, 0x20, 0x00], Fault::KeyType),
        (&[0xa1, 0x61, 0x61, 0x00], Fault::KeyType),
        (&[0xa2, 0x01, 0x00, 0x00, 0x00], Fault::KeyOrder),
        (&[0xa2, 0x01, 0x00, 0x01, 0x00], Fault::KeyOrder),
        (&[0x00, 0x00], Fault::Trailing),
        (
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            Fault::Truncated,
        ),
        (
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            Fault::Truncated,
        ),
        (&[0x82, 0x00], Fault::Truncated),
    ];
    for (bytes, fault) in cases {
        assert_eq!(skip_fault(bytes), Some(*fault), "{bytes:02x?}");
    }
}

#[test]
fn nesting_is_accepted_up_to_the_bound_and_no_deeper() {
    let deep = |n: usize| {
        let mut bytes = std::vec![0x81; n];
        bytes.push(0x00);
        skip_fault(&bytes)
    };
    assert_eq!(deep(crate::limits::CBOR_DEPTH_MAX), None);
    assert_eq!(deep(crate::limits::CBOR_DEPTH_MAX + 1), Some(Fault::Depth));
}

#[test]
fn skip_reads_exactly_one_item() {
    let bytes = [0xa2, 0x00, 0x82, 0x01, 0x80, 0x01, 0xa0, 0x05];
    let mut decoder = Decoder::new(&bytes);
    decoder.skip().unwrap();
    assert_eq!(decoder.uint(), Ok(5));
    decoder.finish().unwrap();
}

#[test]
fn record_decodes_to_what_was_encoded() {
    let value = sample();
    let bytes = encode_to_list(&value).unwrap();
    assert_eq!(decode_all::<Sample>(bytes.as_slice()), Ok(value));
    let mut without = sample();
    without.delta = None;
    without.extra = None;
    let bytes = encode_to_list(&without).unwrap();
    assert_eq!(bytes.get(0), Some(&0xa6));
    assert_eq!(decode_all::<Sample>(bytes.as_slice()), Ok(without));
}

#[test]
fn record_cut_short_anywhere_is_refused() {
    let bytes = encode_to_list(&sample()).unwrap();
    for end in 0..bytes.len() {
        assert!(decode_all::<Sample>(&bytes.as_slice()[..end]).is_err());
    }
}

#[test]
fn unknown_key_is_refused_below_the_skippable_ones_and_skipped_from_there_on() {
    let inner = |bytes: &[u8]| decode_all::<Inner>(bytes);
    assert_eq!(inner(&[0xa1, 0x00, 0x07]), Ok(Inner { n: 7 }));
    let error = inner(&[0xa2, 0x00, 0x07, 0x18, 0x7f, 0x00]).unwrap_err();
    assert_eq!((error.fault, error.key), (Fault::UnknownKey, Some(127)));
    assert_eq!(
        inner(&[0xa2, 0x00, 0x07, 0x18, 0x80, 0x81, 0x00]),
        Ok(Inner { n: 7 })
    );
    let huge = [
        0xa2, 0x00, 0x07, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf6,
    ];
    assert_eq!(inner(&huge), Ok(Inner { n: 7 }));
    assert!(inner(&huge[..12]).is_err());
}

#[test]
fn errors_name_the_innermost_record_and_its_field() {
    let missing = decode_all::<Inner>(&[0xa0]).unwrap_err();
    assert_eq!(
        (missing.fault, missing.field()),
        (Fault::MissingKey, Some("n"))
    );

    let mut bytes = encode_to_list(&sample()).unwrap().as_slice().to_vec();
    // The value of Inner.n: map(8), 0, u32, 1, i16, 5, array(1), map(1), 0.
    let at = 1 + 1 + 3 + 1 + 3 + 1 + 1 + 1 + 1;
    assert_eq!(bytes[at], 7);
    bytes[at] = 0x20;
    let error = decode_all::<Sample>(&bytes).unwrap_err();
    assert_eq!(error.fault, Fault::Range);
    assert_eq!(error.offset, at);
    assert_eq!(error.record, Some(Inner::SCHEMA));
    assert_eq!(std::format!("{error}"), "Range at offset 13 in Inner.n");
}

#[test]
fn state_that_the_check_refuses_is_invalid_in_the_named_field() {
    let mut value = sample();
    value.count = 13;
    let bytes = encode_to_list(&value).unwrap();
    let error = decode_all::<Sample>(bytes.as_slice()).unwrap_err();
    assert_eq!(
        (error.fault, error.field()),
        (Fault::Invalid, Some("count"))
    );
}

#[test]
fn codes_that_name_nothing_are_out_of_range() {
    assert_eq!(decode_all::<Colour>(&[0x01]), Ok(Colour::Red));
    assert_eq!(
        decode_all::<Colour>(&[0x02]).map_err(|e| e.fault),
        Err(Fault::Range)
    );
}

#[test]
fn key_and_value_at_once_are_the_bytes_of_both_wherever_the_list_grows() {
    let numbers = [0, 23, 24, 255, 256, 65535, 65536, u64::from(u32::MAX) + 1];
    let (mut one_by_one, mut at_once) = (List::new(), List::new());
    for list in [&mut one_by_one, &mut at_once] {
        list.extend(b"before").unwrap();
    }
    let mut to = Encoder::new(&mut at_once);
    for (n, key) in numbers.into_iter().cycle().take(2000).enumerate() {
        let value = numbers[n / numbers.len() % numbers.len()];
        let signed = !value.cast_signed();
        to.keyed_uint(key, value).unwrap();
        to.keyed_int(key, signed).unwrap();
        for part in [
            encode(|e| e.uint(key)),
            encode(|e| e.uint(value)),
            encode(|e| e.uint(key)),
            encode(|e| e.int(signed)),
        ] {
            one_by_one.extend(&part).unwrap();
        }
        if n % 100 == 0 {
            to.bytes(&[7; 700]).unwrap();
            one_by_one.extend(&encode(|e| e.bytes(&[7; 700]))).unwrap();
        }
    }
    drop(to);
    assert_eq!(at_once, one_by_one);
}

/// What a method of the decoder says of the front of `bytes`, and where it stops.
fn read<'b, T>(
    bytes: &'b [u8],
    method: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
) -> (Result<T, Error>, usize) {
    let mut decoder = Decoder::new(bytes);
    let result = method(&mut decoder);
    (result, decoder.offset())
}

#[test]
fn a_head_is_read_alike_at_the_end_of_the_input_and_before_it() {
    for first in 0..=u8::MAX {
        for second in [0, 1, 23, 24, 255] {
            let mut bytes = [0; 16];
            bytes[0] = first;
            bytes[1] = second;
            let alone = match first & 0x1f {
                24 => &bytes[..2],
                25 => &bytes[..3],
                26 => &bytes[..5],
                27 => continue,
                _ => &bytes[..1],
            };
            let why = std::format!("{alone:?}");
            let same = |a: (Result<u64, Error>, usize), b| assert_eq!(a, b, "{why}");
            same(read(alone, Decoder::uint), read(&bytes, Decoder::uint));
            let int = |d: &mut Decoder<'_>| d.int().map(i64::cast_unsigned);
            same(read(alone, int), read(&bytes, int));
            let bool = |d: &mut Decoder<'_>| d.bool().map(u64::from);
            same(read(alone, bool), read(&bytes, bool));
        }
    }
    // An argument of eight bytes, which nothing need follow.
    let long = [0x1b, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(read(&long, Decoder::uint), (Ok(1 << 32), 9));
    let short = [0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    let refused = Err(Error::at(Fault::NotShortest, 0));
    assert_eq!(read(&short, Decoder::uint), (refused, 0));
    let far = [0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(read(&far, Decoder::int).0, Err(Error::at(Fault::Range, 0)));
}

#[test]
fn fields_are_found_whatever_is_absent_before_them() {
    for (delta, extra) in [(None, None), (Some(-1), None), (None, Some(false))] {
        let value = Sample {
            delta,
            extra,
            ..sample()
        };
        let bytes = encode_to_list(&value).unwrap();
        assert_eq!(decode_all::<Sample>(bytes.as_slice()), Ok(value));
    }
}

#[test]
fn a_key_twice_or_out_of_order_is_refused() {
    let twice = [0xa2, 0x00, 0x01, 0x00, 0x01];
    for (bytes, fault) in [
        (twice, Fault::KeyOrder),
        ([0xa2, 0x01, 0x01, 0x00, 0x01], Fault::MissingKey),
        ([0xa2, 0x00, 0x01, 0x18, 0x00], Fault::NotShortest),
    ] {
        let error = decode_all::<Inner>(&bytes).unwrap_err();
        assert_eq!(error.fault, fault, "{error}");
    }
    let mut decoder = Decoder::new(&twice);
    let mut map = decoder.record(Inner::SCHEMA).unwrap();
    assert_eq!(map.optional::<u8>(0), Ok(Some(1)));
    let error = map.optional::<u8>(0).unwrap_err();
    assert_eq!((error.fault, error.offset), (Fault::KeyOrder, 3));
}
