// SPDX-License-Identifier: BSD-2-Clause
//! The addresses of an instance, and what becomes of them where it arrives in another network.
//!
//! # A remap
//! An instance that moves to another network has other addresses there. Its peers go on with the
//! old ones: a stateless 1:1 translation stands before it (basic NAT, RFC 2663 section 4.1.1; for
//! IPv6 in the manner of RFC 6296), which changes addresses and nothing else; ports stay. So all in
//! the image that names an address of the instance's own has to name the new one, before the
//! instance goes on. [`Remap`] says which address becomes which, [`Remapping`] applies that to the
//! records of an image as they are read, and [`Remap::packet`] is the translation itself, of the
//! packets that are on their way inside the instance and of those on the wire.
//!
//! # What is translated
//! Addresses of interfaces, local addresses of sockets, and foreign ones that are an address of
//! the instance (or of one nested in it); the same of embryonic connections, caches and keys;
//! senders and ancillary data of datagrams that wait to be received; packets and fragments on
//! their way, with checksums and with what ICMP errors quote. A program that asks for an address
//! afterwards (`getsockname(2)`) is told the new one: that is what its interfaces have.
//!
//! # What stays as it was
//! * Hashes over an address, from which sequence numbers (RFC 6528), timestamp offsets, SYN cookies
//!   and Fast Open cookies follow: peers know the connection by the old address and were promised
//!   numbers that go on from there. The image keeps, for each address that has changed, the one
//!   that peers know ([`KnownAs`](crate::sock::KnownAs)), and the kernel hashes that.
//! * The payload of packets and streams, and of packets the IP options (RFC 3022 section 4.3).
//! * What was learned of paths: MTU, round-trip times, congestion windows.
//!
//! # What is refused, by name
//! See [`RemapError`]. Among it connections signed with MD5 (RFC 2385): the signature covers the
//! addresses, so no translation can stand before them.
//!
//! # Invariants
//! * I1: a [`Remap`] is a bijection between addresses that a host can have on a link and that leave
//!   it: sorted, each `from` and each `to` once.
//! * I2: after [`Remapping::finish`] every `from` was the address of exactly one interface of the
//!   image, and no two interfaces have the same address because of the remap.
//! * I3: every field of the schema that holds an address is decided on; a test walks the schema.

mod bytes;
mod packet;
mod records;
mod remap;
mod sockets;
#[cfg(test)]
mod tests;

pub use records::{Fate, Remapping};
pub use remap::{Mapping, Remap, RemapError, Way};
