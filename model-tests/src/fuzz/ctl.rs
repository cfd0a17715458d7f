// SPDX-License-Identifier: BSD-2-Clause
//! Any bytes as a request of the management plane, or as an answer.

use vpscore::cbor::{Decode, Encode, decode_all, encode_to_list};
use vpscore::ctl::{Answer, Request};

/// Reads the bytes as a request and as an answer; what is accepted, and has no keys that are
/// skipped, has no other encoding.
///
/// # Panics
/// Where it has.
pub fn ctl_decode(data: &[u8]) {
    again::<Request>(data);
    again::<Answer>(data);
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
