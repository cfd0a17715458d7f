// SPDX-License-Identifier: BSD-2-Clause
//! The connection under test: how the script's numbers stand to those on the wire.
//!
//! A script counts the local sequence numbers from 0, though the stack draws its initial one; and
//! it writes timestamps as it likes, though the stack draws an offset. Both are learned from the
//! first packet that shows them. The remote side's numbers are the script's own.

use super::read::REASON_MAGIC;
use crate::packetdrill::ast::{self, TcpOption, flag};
use crate::packetdrill::wire::{Frame, Segment};
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
    /// Ports (stack's, script's) as the script's first packet names them; 0 where it does not.
    named: Option<(u16, u16)>,
    /// Timestamps of the script and those on the wire for them.
    timestamps: BTreeMap<u32, u32>,
    /// The first of these: script's and the stack's.
    first_timestamp: Option<(u32, u32)>,
}

impl Flow {
    /// A connection of which only the ends are known.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            local_isn: None,
            named: None,
            timestamps: BTreeMap::new(),
            first_timestamp: None,
        }
    }

    /// Whether the stack sent this packet on this connection, and learns its port from the first.
    pub fn owns(&mut self, frame: &Frame) -> bool {
        let Some((src, dst)) = frame.ends() else {
            return false;
        };
        if self.local.port() == 0 && src.ip() == self.local.ip() && dst == self.remote {
            self.local.set_port(src.port());
        }
        (src, dst) == (self.local, self.remote)
    }

    /// Whether the ports that a packet names are those of this connection; the first packet names them.
    pub fn named(&mut self, packet: &ast::Packet) -> bool {
        let (source, destination) = packet.ports.unwrap_or((0, 0));
        let ports = match packet.direction {
            ast::Direction::In => (destination, source),
            ast::Direction::Out => (source, destination),
        };
        // An ICMP message has no ports.
        matches!(packet.body, ast::Body::Icmp(_)) || *self.named.get_or_insert(ports) == ports
    }

    /// The ports of a packet as the script names them: not at all, where it names none for this connection. Those
    /// of another connection are told as they are.
    pub(super) fn ports_of(&self, frame: &Frame, way: ast::Direction) -> Option<(u16, u16)> {
        let (source, destination) = frame.ends()?;
        let (local, remote) = match way {
            ast::Direction::In => (destination, source),
            ast::Direction::Out => (source, destination),
        };
        let (ours, theirs) = match (local, remote) == (self.local, self.remote) {
            true => self.named.filter(|named| *named != (0, 0))?,
            false if self.local.port() == 0 => return None,
            false => (local.port(), remote.port()),
        };
        Some(match way {
            ast::Direction::In => (theirs, ours),
            ast::Direction::Out => (ours, theirs),
        })
    }

    /// Learns from a packet that the stack sent and the script expects here.
    pub fn learn(&mut self, expected: &ast::Tcp, seen: &Segment) {
        // An unjudged number is that of a new connection between the same ends.
        if seen.flags & flag::SYN != 0 && (self.local_isn.is_none() || expected.seq.is_none()) {
            self.local_isn = Some(seen.seq.wrapping_sub(expected.seq.unwrap_or(0)));
        }
        let timestamp = |options: &[TcpOption]| {
            options.iter().find_map(|option| match option {
                TcpOption::Timestamp { val, .. } => Some(*val),
                _ => None,
            })
        };
        let script = expected.options.as_deref().and_then(timestamp);
        if let (Some(script), Some(live)) = (script, timestamp(&seen.options)) {
            if !expected.ts_val_any {
                self.timestamps.insert(script, live);
            }
            self.first_timestamp.get_or_insert((script, live));
        }
    }

    /// A timestamp of the stack as the script would write it, counted from the first.
    pub fn script_timestamp(&self, live: u32) -> u32 {
        match self.first_timestamp {
            Some((script, first)) => script.wrapping_add(live.wrapping_sub(first)),
            None => live,
        }
    }

    /// A sequence number of the stack's side on the wire.
    pub fn script_seq(&self, seq: u32) -> u32 {
        seq.wrapping_add(self.isn())
    }

    /// A sequence number of the stack's side as the script counts it.
    pub fn counted(&self, wire: u32) -> u32 {
        wire.wrapping_sub(self.isn())
    }

    fn isn(&self) -> u32 {
        self.local_isn.unwrap_or(0)
    }

    /// A segment of the script's side as it goes on the wire.
    ///
    /// # Errors
    /// A timestamp that it echoes and that no packet had.
    pub fn outgoing_of_script(&self, tcp: &ast::Tcp) -> Result<Segment, String> {
        let acks = tcp.flags & flag::ACK != 0;
        let mut options = tcp.options.clone().unwrap_or_default();
        for option in &mut options {
            match option {
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        *left = self.script_seq(*left);
                        *right = self.script_seq(*right);
                    }
                }
                TcpOption::Timestamp { ecr, .. } if acks && !tcp.ts_ecr_absolute => {
                    *ecr = *self.timestamps.get(ecr).ok_or_else(|| {
                        format!("no packet of the stack had `TS val {ecr}`; write `ecr {ecr}!` for the number itself")
                    })?;
                }
                _ => {}
            }
        }
        let ack = tcp.ack.unwrap_or(0);
        Ok(Segment {
            sport: self.remote.port(),
            dport: self.local.port(),
            seq: tcp.seq.unwrap_or(0),
            ack: if acks { self.script_seq(ack) } else { ack },
            flags: tcp.flags,
            window: tcp.window.unwrap_or(0),
            urgent: tcp.urgent.unwrap_or(0),
            options,
            option_bytes: Vec::new(),
            data: data(tcp),
            udp: None,
        })
    }

    /// A segment of the script's side as the script wrote it.
    pub fn as_script_wrote(&self, sent: &Segment) -> Segment {
        let mut segment = sent.clone();
        if segment.flags & flag::ACK != 0 {
            segment.ack = segment.ack.wrapping_sub(self.isn());
        }
        for option in &mut segment.options {
            match option {
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        *left = left.wrapping_sub(self.isn());
                        *right = right.wrapping_sub(self.isn());
                    }
                }
                TcpOption::Timestamp { ecr, .. } => {
                    let echoed = self.timestamps.iter().find(|(_, live)| *live == ecr);
                    *ecr = echoed.map_or(*ecr, |(script, _)| *script);
                }
                _ => {}
            }
        }
        segment
    }

    /// A segment of the stack in the script's numbers.
    pub fn in_script_numbers(&self, seen: &Segment, absolute: bool) -> Segment {
        let mut segment = seen.clone();
        if !absolute {
            segment.seq = seen.seq.wrapping_sub(self.isn());
        }
        for option in &mut segment.options {
            if let TcpOption::Timestamp { val, .. } = option {
                *val = self.script_timestamp(*val);
            }
        }
        segment
    }
}

/// The data of a script's segment: zeros, or the diagnostic payload of a reset.
pub fn data(tcp: &ast::Tcp) -> Vec<u8> {
    match tcp.reason {
        None => vec![0; tcp.len as usize],
        Some((code, pen)) => [&REASON_MAGIC[..], &code.to_be_bytes(), &pen.to_be_bytes()].concat(),
    }
}
