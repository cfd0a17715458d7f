// SPDX-License-Identifier: BSD-2-Clause
//! What was found out about the addresses of the last packets (`struct route` of an inpcb, whose next
//! hop is good while the table's `rib_gen` is the same; `netinet/ip_output.c`, 15-CURRENT).
//!
//! - I1: nothing here changes what is found, only how soon: a change of interfaces or routes voids it.

use std::net::IpAddr;

use super::IpStack;
use super::output::Hop;

/// Generations of interfaces and routing table.
type Generation = (u64, u64);

/// The last destination of a packet that left, and the last of one that came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routed {
    out: Option<(Generation, IpAddr, (Hop, usize))>,
    own: Option<(Generation, IpAddr)>,
}

/// It can be found out again, so it is no part of a stack's state.
impl PartialEq for Routed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Routed {}

impl IpStack {
    fn generation(&self) -> Generation {
        (self.ifnets.generation(), self.fib.generation())
    }

    /// Where a packet to `dst` goes next, and how long it may be.
    pub(super) fn route_to(&mut self, dst: IpAddr) -> Option<(Hop, usize)> {
        let generation = self.generation();
        if let Some((at, to, found)) = &self.routed.out
            && *at == generation
            && *to == dst
        {
            return Some(*found);
        }
        let hop = self.hop_to(dst)?;
        let found = (hop, self.mtu_of(hop) as usize);
        self.routed.out = Some((generation, dst, found));
        Some(found)
    }

    /// Whether `dst` is a unicast address of this host.
    pub(super) fn is_own_unicast(&mut self, dst: IpAddr) -> bool {
        let found = (self.generation(), dst);
        if self.routed.own == Some(found) {
            return true;
        }
        let own = !self.has_broadcast(dst) && self.is_own(dst);
        if own {
            self.routed.own = Some(found);
        }
        own
    }
}
