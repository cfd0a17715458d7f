// SPDX-License-Identifier: BSD-2-Clause
//! What passes between the IP layer and a transport protocol.

use std::net::IpAddr;

/// An IP packet as a transport sees it: reassembled, header checked and taken off.
///
/// Both families in one type: the transports differ by pseudo header and header size only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// Source address; of the same family as `dst`.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IPv4 type of service or IPv6 traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// IPv4 time to live or IPv6 hop limit.
    pub ttl: u8,
    /// IPv6 flow label; 0 for IPv4.
    pub flow: u32,
    /// IPv4 don't-fragment; always true for IPv6.
    pub df: bool,
    /// Protocol number (IANA; `IPPROTO_TCP` is 6).
    pub proto: u8,
    /// The transport's header and data.
    pub payload: Vec<u8>,
}
