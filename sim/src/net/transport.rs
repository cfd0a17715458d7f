// SPDX-License-Identifier: BSD-2-Clause
//! The transports as a vnet's IP layer sees them (`inetsw`, `ip_protox`).

use std::net::IpAddr;

use super::cx::{Cx, IcmpError};
use super::packet::IpPacket;
use super::socket::Inet;
use super::tcp::wire::IPPROTO_TCP;
use super::udp::{PROTO_UDP, UdpHeader};
use super::vnet::{Refused, Transport, Unwanted};
use crate::time::Instant;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
const ICMP6_PACKET_TOO_BIG: u8 = 2;
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

impl Inet {
    /// The port at which TCP in UDP is taken in (`net.inet.tcp.udp_tunneling_port`).
    pub(crate) fn tunnel_port(&self) -> Option<u16> {
        let port = u16::try_from(self.tcp.sysctl.udp_tunneling_port).ok()?;
        (port != 0).then_some(port)
    }

    /// The sender's port of a datagram that carries TCP; its checksum was verified then.
    fn tunneled_from(&self, packet: &IpPacket) -> Option<u16> {
        let tunnel = self.tunnel_port()?;
        let parsed = UdpHeader::parse(packet.src, packet.dst, &packet.payload).ok()?;
        (parsed.0.dport == tunnel).then_some(parsed.0.sport)
    }
}

impl Transport for Inet {
    fn input(&mut self, cx: &mut Cx<'_>, packet: IpPacket, group: bool) -> Result<(), Refused> {
        let taken = match packet.proto {
            // TCP does not talk to groups (RFC 1122 section 4.2.3.10).
            IPPROTO_TCP if group => Err(Unwanted::Silently),
            IPPROTO_TCP => {
                self.tcp_input(cx, packet);
                return Ok(());
            }
            PROTO_UDP => {
                if let Some(port) = self.tunneled_from(&packet).filter(|_| !group) {
                    let mut inner = packet;
                    inner.proto = IPPROTO_TCP;
                    inner.payload.trim_front(UDP_HEADER);
                    self.tcp_input_port(cx, inner, port);
                    return Ok(());
                }
                self.udp_input(cx, &packet, group)
            }
            _ if self.raw_input(cx, &packet) => Ok(()),
            IPPROTO_ICMP | IPPROTO_ICMPV6 => Ok(()),
            _ => Err(Unwanted::Protocol),
        };
        taken.map_err(|why| Refused { why, packet })
    }

    fn ctlinput(
        &mut self,
        cx: &mut Cx<'_>,
        error: IcmpError,
        ends: (IpAddr, IpAddr),
        proto: u8,
        quoted: &[u8],
    ) {
        if ends.1.is_ipv6() && error.kind == ICMP6_PACKET_TOO_BIG {
            self.tcp_mtudisc_update(cx, ends.1, error.mtu);
        }
        match proto {
            IPPROTO_TCP => self.tcp_ctlinput(cx, error, ends, quoted, 0),
            PROTO_UDP => {
                let ports = quoted.first_chunk::<4>().map(|p| {
                    let word = |at: usize| u16::from_be_bytes([p[at], p[at + 1]]);
                    (word(0), word(2))
                });
                match ports {
                    Some((sport, dport)) if Some(sport) == self.tunnel_port() => {
                        let inner = quoted.get(UDP_HEADER..).unwrap_or_default();
                        self.tcp_ctlinput(cx, error, ends, inner, dport);
                    }
                    _ => self.udp_ctlinput(cx, error, ends, quoted),
                }
            }
            _ => {}
        }
    }

    fn next_callout(&self) -> Option<Instant> {
        self.next_timer()
    }

    fn run_callouts(&mut self, cx: &mut Cx<'_>) {
        self.run_timers(cx);
    }
}
