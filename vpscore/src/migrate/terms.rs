// SPDX-License-Identifier: BSD-2-Clause
//! What two hosts must agree on before anything is copied.

use super::message::{Offer, Reason};

/// The oldest protocol version spoken here.
pub const PROTOCOL_MIN: u16 = 1;
/// The newest one.
pub const PROTOCOL_MAX: u16 = 1;

/// What a target host can take, apart from limits and room, which its kernel checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The oldest protocol version it speaks.
    pub version_min: u16,
    /// The newest one.
    pub version_max: u16,
    /// Its release (`__FreeBSD_version`).
    pub release: u32,
    /// The ABI it runs, by the image format's number.
    pub abi: u32,
    /// The features it can restore, by the image format's bits.
    pub features: u64,
    /// How many chunks it takes at once; at least 1.
    pub window: u32,
}

impl Capabilities {
    /// The protocol version for `offer`.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub const fn judge(&self, offer: &Offer) -> Result<u16, Reason> {
        let newest = if offer.version_max < self.version_max {
            offer.version_max
        } else {
            self.version_max
        };
        if newest < offer.version_min || newest < self.version_min {
            return Err(Reason::Version);
        }
        if self.abi != offer.abi || self.release < offer.release_min {
            return Err(Reason::Abi);
        }
        if offer.features & !self.features != 0 {
            return Err(Reason::Feature);
        }
        Ok(newest)
    }
}
