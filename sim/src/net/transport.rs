// SPDX-License-Identifier: BSD-2-Clause
//! The transports as a vnet's IP layer sees them (`inetsw`, `ip_protox`).

use std::net::IpAddr;

use super::cx::{Cx, IcmpError};
use super::packet::IpPacket;
use super::socket::Inet;
use super::tcp::wire::IPPROTO_TCP;
use super::vnet::{Refused, Transport, Unwanted};
use crate::time::Instant;

impl Transport for Inet {
    fn input(&mut self, cx: &mut Cx<'_>, packet: IpPacket, group: bool) -> Result<(), Refused> {
        match packet.proto {
            // TCP does not talk to groups (RFC 1122 section 4.2.3.10).
            IPPROTO_TCP if group => Ok(()),
            IPPROTO_TCP => {
                self.tcp_input(cx, packet);
                Ok(())
            }
            _ => Err(Refused {
                why: Unwanted::Protocol,
                packet,
            }),
        }
    }

    fn ctlinput(
        &mut self,
        cx: &mut Cx<'_>,
        error: IcmpError,
        ends: (IpAddr, IpAddr),
        proto: u8,
        quoted: &[u8],
    ) {
        if proto == IPPROTO_TCP {
            self.tcp_ctlinput(cx, error, ends, quoted, 0);
        }
    }

    fn next_callout(&self) -> Option<Instant> {
        self.next_timer()
    }

    fn run_callouts(&mut self, cx: &mut Cx<'_>) {
        self.run_timers(cx);
    }

    fn shift_timers(&mut self, from: Instant, to: Instant) {
        self.shift_clock(from, to);
    }
}
