// SPDX-License-Identifier: BSD-2-Clause
//! Values of a network as records of an image have them, and back.

use std::net::IpAddr;

use vpscore::image::schema::RngState;
use vpscore::sock::{InAddr, Seq};

use super::error::Unfit;
use crate::errno::Errno;
use crate::rng::Rng;

/// An address as records have it.
pub fn in_addr(addr: IpAddr) -> InAddr {
    match addr {
        IpAddr::V4(v4) => InAddr::V4(v4.octets()),
        IpAddr::V6(v6) => InAddr::V6(v6.octets()),
    }
}

/// An address as the network has it.
pub fn ip_addr(addr: InAddr) -> IpAddr {
    match addr {
        InAddr::V4(octets) => octets.into(),
        InAddr::V6(octets) => octets.into(),
    }
}

/// A sequence number as records have it.
pub(super) fn seq(number: crate::net::tcp::Seq) -> Seq {
    Seq(number.0)
}

/// A sequence number as the network has it.
pub(super) fn from_seq(number: Seq) -> crate::net::tcp::Seq {
    crate::net::tcp::Seq(number.0)
}

/// The number of an error, 0 for none.
pub(super) fn errno_of(error: Option<Errno>) -> u16 {
    error.map_or(0, |e| u16::try_from(e.raw()).unwrap_or(0))
}

/// The error of a number.
pub(super) fn errno_from(raw: u16) -> Result<Option<Errno>, Unfit> {
    match raw {
        0 => Ok(None),
        raw => Errno::from_raw(raw.into())
            .map(Some)
            .ok_or(Unfit::Errno(raw)),
    }
}

/// Where a generator stands.
pub(super) fn rng_state(rng: &Rng) -> RngState {
    let (key, nonce, words) = rng.state();
    RngState { key, nonce, words }
}

/// The generator that stands there.
pub(super) fn from_rng_state(state: &RngState) -> Rng {
    Rng::at(state.key, state.nonce, state.words)
}
