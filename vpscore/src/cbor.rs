// SPDX-License-Identifier: BSD-2-Clause
//! Deterministic CBOR (RFC 8949, section 4.2): the one encoding that equal values have.
