// SPDX-License-Identifier: BSD-2-Clause
//! The translation of a packet (RFC 3022 section 4; RFC 5508 for ICMP errors).
//!
//! Checksums are not computed anew but changed by what has changed (RFC 1624): a packet that was
//! wrong stays wrong by as much, and nothing has to be known of the bytes that are not there.

use super::{Remap, Way};
use crate::sock::InAddr;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const UDPLITE: u8 = 136;
/// Extension headers of IPv6 that are passed over: hop-by-hop options, routing, fragment,
/// destination options (RFC 8200).
const HOPOPTS: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DSTOPTS: u8 = 60;
/// Extension headers looked at; a packet with more is left as it is beyond them.
const HEADERS_MAX: usize = 8;
/// Bytes of an ICMP error before what it quotes.
const QUOTE: usize = 8;

/// What a checksum has to change by: a sum in one's complement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta(u16);

/// The sum of two words in one's complement.
const fn plus(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry as u16)
}

impl Delta {
    fn word(self, old: [u8; 2], new: [u8; 2]) -> Self {
        let (old, new) = (u16::from_be_bytes(old), u16::from_be_bytes(new));
        if old == new {
            return self;
        }
        Self(plus(self.0, plus(!old, new)))
    }

    fn bytes(mut self, old: &[u8], new: &[u8]) -> Self {
        let (old, _) = old.as_chunks::<2>();
        let (new, _) = new.as_chunks::<2>();
        for (old, new) in old.iter().zip(new) {
            self = self.word(*old, *new);
        }
        self
    }

    /// By what a pseudo-header changes in which one address becomes another.
    pub(super) fn addr(self, old: InAddr, new: InAddr) -> Self {
        match (old, new) {
            (InAddr::V4(old), InAddr::V4(new)) => self.bytes(&old, &new),
            (InAddr::V6(old), InAddr::V6(new)) => self.bytes(&old, &new),
            _ => self,
        }
    }

    const fn and(self, other: Self) -> Self {
        Self(plus(self.0, other.0))
    }

    /// Changes the checksum at `at`, if it is there; gives by what that changes a sum over it.
    /// `optional`: 0 stands for none, and is written as 0xffff (RFC 768).
    fn apply(self, bytes: &mut [u8], at: usize, optional: bool) -> Self {
        let field = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        let Some(field) = field else {
            return Self::default();
        };
        let old: [u8; 2] = *field;
        let sum = u16::from_be_bytes(old);
        if self.0 == 0 || (optional && sum == 0) {
            return Self::default();
        }
        let sum = if optional && sum == 0xffff { 0 } else { sum };
        let new = !plus(!sum, self.0);
        *field = if optional && new == 0 { 0xffff } else { new }.to_be_bytes();
        Self::default().word(old, *field)
    }
}

impl Remap {
    /// Translates a packet, which begins with its IP header, for the side that `way` leads to:
    /// source and destination, the checksums that cover them, and what an ICMP error quotes. What
    /// is no packet stays as it is.
    pub fn packet(&self, way: Way, bytes: &mut [u8]) {
        self.datagram(way, bytes, false);
    }

    /// The same of what an error quotes: it may be cut short, and quotes nothing itself. Gives by
    /// what it changes a sum over all of it.
    fn datagram(&self, way: Way, bytes: &mut [u8], quoted: bool) -> Delta {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => self.datagram4(way, bytes, quoted),
            Some(6) => self.datagram6(way, bytes, quoted),
            _ => Delta::default(),
        }
    }

    /// Translates the address at `at`.
    fn addr_at<const N: usize>(
        &self,
        way: Way,
        bytes: &mut [u8],
        at: usize,
        family: fn([u8; N]) -> InAddr,
    ) -> Option<Delta> {
        let field = bytes.get_mut(at..)?.first_chunk_mut::<N>()?;
        let old = family(*field);
        let new = self.translate(way, old);
        let same = match new {
            InAddr::V4(new) => new.as_slice().try_into().map(|new| *field = new),
            InAddr::V6(new) => new.as_slice().try_into().map(|new| *field = new),
        };
        // A remap keeps the family.
        same.ok()?;
        Some(Delta::default().addr(old, new))
    }

    fn datagram4(&self, way: Way, bytes: &mut [u8], quoted: bool) -> Delta {
        let Some((header, _)) = bytes.split_first_chunk::<20>() else {
            return Delta::default();
        };
        let [first, _, _, _, _, _, flags, low, _, proto, ..] = *header;
        let hlen = usize::from(first & 0xf).saturating_mul(4);
        let offset = u16::from_be_bytes([flags & 0x1f, low]);
        let src = self.addr_at(way, bytes, 12, InAddr::V4).unwrap_or_default();
        let dst = self.addr_at(way, bytes, 16, InAddr::V4).unwrap_or_default();
        let pseudo = src.and(dst);
        let header = pseudo.and(pseudo.apply(bytes, 10, false));
        let Some(payload) = bytes.get_mut(hlen.max(20)..) else {
            return header;
        };
        let offset = usize::from(offset).saturating_mul(8);
        if proto == ICMP && offset == 0 && !quoted {
            return header.and(self.icmp(way, payload, &[3, 4, 5, 11, 12], Delta::default()));
        }
        header.and(transport(payload, proto, offset, pseudo, false))
    }

    fn datagram6(&self, way: Way, bytes: &mut [u8], quoted: bool) -> Delta {
        let Some((header, _)) = bytes.split_first_chunk::<40>() else {
            return Delta::default();
        };
        let [_, _, _, _, _, _, mut next, ..] = *header;
        let src = self.addr_at(way, bytes, 8, InAddr::V6).unwrap_or_default();
        let dst = self.addr_at(way, bytes, 24, InAddr::V6).unwrap_or_default();
        let pseudo = src.and(dst);
        let (mut at, mut offset) = (40_usize, 0_usize);
        for _ in 0..HEADERS_MAX {
            let extension = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
            let Some([then, len, high, low]) = extension.copied() else {
                break;
            };
            let len = match next {
                HOPOPTS | ROUTING | DSTOPTS => usize::from(len).saturating_add(1),
                FRAGMENT => {
                    offset = usize::from(u16::from_be_bytes([high, low]) & 0xfff8);
                    1
                }
                _ => break,
            };
            (next, at) = (then, at.saturating_add(len.saturating_mul(8)));
        }
        let Some(payload) = bytes.get_mut(at..) else {
            return pseudo;
        };
        if next == ICMPV6 && offset == 0 && !quoted {
            return pseudo.and(self.icmp(way, payload, &[1, 2, 3, 4], pseudo));
        }
        pseudo.and(transport(payload, next, offset, pseudo, true))
    }

    /// An ICMP message; those of the types `errors` quote a packet. `pseudo` is what has changed
    /// in the pseudo-header.
    fn icmp(&self, way: Way, bytes: &mut [u8], errors: &[u8], pseudo: Delta) -> Delta {
        let mut inside = Delta::default();
        if bytes.first().is_some_and(|kind| errors.contains(kind))
            && let Some(quote) = bytes.get_mut(QUOTE..)
        {
            inside = self.datagram(way, quote, true);
        }
        let sum = pseudo.and(inside);
        inside.and(sum.apply(bytes, 2, false))
    }

    /// Translates what an ICMP message quotes where nobody looks at its checksum any more.
    pub(super) fn quote(&self, way: Way, message: &mut [u8]) {
        let error = message.first().is_some_and(|kind| matches!(kind, 1..=4));
        if error && let Some(quote) = message.get_mut(QUOTE..) {
            self.datagram(way, quote, true);
        }
    }
}

/// Where a protocol has the checksum that covers the pseudo-header, and whether 0 there is none.
/// TCP in UDP (RFC 6951) has none inside.
pub(super) const fn checksum_at(proto: u8, v6: bool) -> Option<(usize, bool)> {
    match proto {
        TCP => Some((16, false)),
        UDP => Some((6, true)),
        UDPLITE => Some((6, false)),
        ICMPV6 if v6 => Some((2, false)),
        _ => None,
    }
}

/// Changes the checksum of a segment, datagram or message of which `payload` is the part from
/// `offset` on, if the checksum is in it.
pub(super) fn transport(
    payload: &mut [u8],
    proto: u8,
    offset: usize,
    pseudo: Delta,
    v6: bool,
) -> Delta {
    let Some((at, optional)) = checksum_at(proto, v6) else {
        return Delta::default();
    };
    match at.checked_sub(offset) {
        Some(at) => pseudo.apply(payload, at, optional),
        None => Delta::default(),
    }
}
