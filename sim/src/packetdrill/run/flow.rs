// SPDX-License-Identifier: BSD-2-Clause
//! The connection under test: how the script's numbers stand to those on the wire.
//!
//! A script counts the local sequence numbers from 0, though the stack draws its initial one; and
//! it writes timestamps as it likes, though the stack draws an offset. Both are learned from the
//! first packet that shows them. The remote side's numbers are the script's own.

use crate::packetdrill::ast::{self, TcpOption, flag};
use crate::packetdrill::wire::Segment;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A connection of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The stack's end; its port is 0 until the stack has shown it.
    pub local: SocketAddr,
    /// The script's end.
    pub remote: SocketAddr,
    /// The stack's initial sequence number, once seen.
    pub local_isn: Option<u32>,
    /// The script's UDP ports (stack's, script's), once seen.
    pub udp: Option<(u16, u16)>,
    /// Timestamps of the script and those on the wire for them.
    timestamps: BTreeMap<u32, u32>,
}

impl Flow {
    /// A connection of which only the ends are known.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            local_isn: None,
            udp: None,
            timestamps: BTreeMap::new(),
        }
    }

    /// Learns from a packet that the stack sent and the script expects here. Timestamps are learned
    /// from every packet, so they are not judged, as in the original without a tick option.
    pub fn learn(&mut self, expected: &ast::Tcp, seen: &Segment) {
        // An unjudged number is that of a new connection between the same ends.
        if seen.flags & flag::SYN != 0 && (self.local_isn.is_none() || expected.seq.is_none()) {
            self.local_isn = Some(seen.seq.wrapping_sub(expected.seq.unwrap_or(0)));
        }
        for option in expected.options.iter().flatten() {
            let TcpOption::Timestamp { val, .. } = option else {
                continue;
            };
            for seen in &seen.options {
                if let TcpOption::Timestamp { val: live, .. } = seen {
                    self.timestamps.insert(*val, *live);
                }
            }
        }
    }

    fn isn(&self) -> u32 {
        self.local_isn.unwrap_or(0)
    }

    /// A segment of the script's side as it goes on the wire.
    pub fn outgoing_of_script(&self, tcp: &ast::Tcp) -> Segment {
        let acks = tcp.flags & flag::ACK != 0 && !tcp.absolute;
        let options = tcp.options.iter().flatten().map(|option| match option {
            TcpOption::Sack(blocks) => TcpOption::Sack(
                blocks
                    .iter()
                    .map(|(l, r)| (l.wrapping_add(self.isn()), r.wrapping_add(self.isn())))
                    .collect(),
            ),
            TcpOption::Timestamp { val, ecr } => TcpOption::Timestamp {
                val: *val,
                ecr: self.timestamps.get(ecr).copied().unwrap_or(*ecr),
            },
            other => other.clone(),
        });
        Segment {
            sport: self.remote.port(),
            dport: self.local.port(),
            seq: tcp.seq.unwrap_or(0),
            ack: tcp
                .ack
                .unwrap_or(0)
                .wrapping_add(if acks { self.isn() } else { 0 }),
            flags: tcp.flags,
            window: tcp.window.unwrap_or(0),
            urgent: tcp.urgent.unwrap_or(0),
            options: options.collect(),
            data: vec![0; tcp.len as usize],
            udp: None,
        }
    }

    /// A segment of the stack in the script's numbers.
    pub fn in_script_numbers(&self, seen: &Segment, absolute: bool) -> Segment {
        let mut segment = seen.clone();
        if !absolute {
            segment.seq = seen.seq.wrapping_sub(self.isn());
        }
        let by_live: BTreeMap<u32, u32> = self
            .timestamps
            .iter()
            .map(|(script, live)| (*live, *script))
            .collect();
        for option in &mut segment.options {
            if let TcpOption::Timestamp { val, .. } = option
                && let Some(script) = by_live.get(val)
            {
                *val = *script;
            }
        }
        segment
    }
}
