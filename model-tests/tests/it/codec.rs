// SPDX-License-Identifier: BSD-2-Clause
//! CBOR, CRC-32C and SHA-256 against implementations that nobody here wrote.

use ciborium::Value;
use proptest::prelude::*;
use sha2::Digest;
use vpscore::cbor::{Decoder, Encoder};
use vpscore::collections::{List, NoMemory};

/// Any value of the subset that the core writes.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..300).prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let keyed = proptest::collection::btree_map(any::<u64>(), inner.clone(), 0..8);
        prop_oneof![
            proptest::collection::vec(inner, 0..30).prop_map(Value::Array),
            keyed.prop_map(|map| {
                let pairs = map.into_iter().map(|(k, v)| (Value::from(k), v));
                Value::Map(pairs.collect())
            }),
        ]
    })
}

fn encode(value: &Value, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
    match value {
        Value::Integer(n) => match u64::try_from(*n) {
            Ok(n) => to.uint(n),
            Err(_) => to.int(i64::try_from(*n).expect("made of 64 bits")),
        },
        Value::Bytes(bytes) => to.bytes(bytes),
        Value::Text(text) => to.text(text),
        Value::Bool(is) => to.bool(*is),
        Value::Null => to.null(),
        Value::Array(items) => {
            to.array(items.len())?;
            items.iter().try_for_each(|item| encode(item, to))
        }
        Value::Map(pairs) => {
            to.map(pairs.len())?;
            pairs.iter().try_for_each(|(key, value)| {
                encode(key, to)?;
                encode(value, to)
            })
        }
        other => panic!("not in the subset: {other:?}"),
    }
}

fn accepted(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().and_then(|()| decoder.finish()).is_ok()
}

proptest! {
    #[test]
    fn values_are_written_as_ciborium_writes_them(value in value()) {
        let mut ours = List::new();
        encode(&value, &mut Encoder::new(&mut ours)).expect("memory");
        let mut theirs = Vec::new();
        ciborium::into_writer(&value, &mut theirs).expect("memory");
        prop_assert_eq!(ours.as_slice(), theirs.as_slice());
        prop_assert!(accepted(&theirs));
    }

    #[test]
    fn bytes_that_are_accepted_have_no_other_encoding(
        value in value(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).expect("memory");
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if accepted(&bytes) {
            let read: Value = ciborium::from_reader(bytes.as_slice()).expect("it is CBOR");
            let mut again = Vec::new();
            ciborium::into_writer(&read, &mut again).expect("memory");
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_have_no_other_encoding(
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        if accepted(&bytes) {
            let read: Value = ciborium::from_reader(bytes.as_slice()).expect("it is CBOR");
            let mut again = Vec::new();
            ciborium::into_writer(&read, &mut again).expect("memory");
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn digests_are_those_of_the_crates(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let theirs: [u8; 32] = sha2::Sha256::digest(&bytes).into();
        prop_assert_eq!(vpscore::sha256::sha256(&bytes), theirs);
        prop_assert_eq!(vpscore::crc32c::crc32c(&bytes), crc32c::crc32c(&bytes));
    }

    #[test]
    fn altered_socket_state_is_refused_or_has_no_other_encoding(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let value = model_tests::image::socket(1, 2, Some(3));
        let bytes = vpscore::cbor::encode_to_list(&value).expect("memory");
        let mut bytes = bytes.as_slice().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        model_tests::fuzz::image::sock_decode(&bytes);
    }
}
