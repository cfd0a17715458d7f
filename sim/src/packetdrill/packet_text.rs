// SPDX-License-Identifier: BSD-2-Clause
//! Packets as a script writes them: the one printer of the dialect that [`super::packet_syntax`] reads.
//!
//! - I1: what is printed of a packet that was read is read as the same packet.

use super::ast::{Body, Icmp, IpSpec, Packet, Quoted, Tcp, TcpOption, flag};
use super::icmp_syntax;
use super::option_text;

/// What a piece of the text shows, for the carets below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// These fields, by the names that differences have.
    Fields(&'static [&'static str]),
    /// The option of this index.
    Option(usize),
    /// The end of the options: what is missing is missing before it.
    OptionsEnd,
}

/// A part of a packet as a script writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    shows: Shows,
    text: String,
    /// Without a blank before it.
    joined: bool,
}

/// The text of a packet, without its direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PacketText {
    pieces: Vec<Piece>,
}

impl PacketText {
    /// A packet in a script of this version of IP.
    pub(super) fn new(packet: &Packet, ipv6: bool) -> Self {
        let mut text = Self::default();
        text.ip(&packet.ip, ipv6);
        let ports = packet.ports.map(|(from, to)| format!("{from} > {to}"));
        match &packet.body {
            Body::Udp(len) => {
                let ports = ports.map(|ports| ports + " ").unwrap_or_default();
                text.piece(
                    &["transport", "length", "data"],
                    format!("udp {ports}({len})"),
                );
            }
            Body::Tcp(tcp) => {
                text.pieces_of(&[], ports);
                text.tcp(tcp);
            }
            Body::Icmp(icmp) => {
                text.pieces_of(&[], ports);
                text.piece(&["transport"], self::icmp(icmp, ipv6));
            }
        }
        if let Some((from, to)) = packet.udp {
            text.piece(&["UDP encapsulation"], format!("/udp({from} > {to})"));
            text.join();
        }
        text
    }

    /// What is no packet of the dialect.
    pub(super) fn other(text: String) -> Self {
        let mut all = Self::default();
        all.piece(&["transport"], text);
        all
    }

    /// The line.
    pub(super) fn line(&self) -> String {
        self.marked(&[], &[]).0
    }

    /// The line, and a line of carets below what shows a wrong field or an option that is wrong by its
    /// index; what is missing is pointed at behind the end.
    pub(super) fn marked(&self, wrong: &[&'static str], options: &[usize]) -> (String, String) {
        let mut text = String::new();
        let mut marks = String::new();
        let missing_options = wrong.contains(&"options") && options.is_empty();
        let points = |shows: &Shows, field: &str| match shows {
            Shows::Fields(fields) => fields.contains(&field),
            Shows::Option(_) | Shows::OptionsEnd => matches!(field, "options" | "timestamp"),
        };
        for piece in &self.pieces {
            if !text.is_empty() && !piece.joined {
                text.push(' ');
                marks.push(' ');
            }
            let bad = match &piece.shows {
                Shows::Option(index) => options.contains(index),
                Shows::OptionsEnd => missing_options,
                shows => wrong.iter().any(|field| points(shows, field)),
            };
            text.push_str(&piece.text);
            marks.extend(piece.text.chars().map(|_| if bad { '^' } else { ' ' }));
        }
        let shown = |field: &str| self.pieces.iter().any(|piece| points(&piece.shows, field));
        if wrong.iter().any(|field| !shown(field)) {
            marks.push_str(" ^");
        }
        (text, marks.trim_end().to_owned())
    }

    fn piece(&mut self, fields: &'static [&'static str], text: String) {
        self.pieces.push(Piece {
            shows: Shows::Fields(fields),
            text,
            joined: false,
        });
    }

    fn pieces_of(&mut self, fields: &'static [&'static str], text: Option<String>) {
        text.into_iter().for_each(|text| self.piece(fields, text));
    }

    /// Takes the blank before the last piece away.
    fn join(&mut self) {
        if let Some(last) = self.pieces.last_mut() {
            last.joined = true;
        }
    }

    /// `[ect0]` where it is all, `(ttl 64, dscp 0x0a, ecn ect0)` else.
    fn ip(&mut self, spec: &IpSpec, ipv6: bool) {
        let hops = if ipv6 { "hlim" } else { "ttl" };
        let code = |ecn: u8| ["noecn", "ect1", "ect0", "ce"][usize::from(ecn & 3)];
        let ecn = spec.ecn.map(code).or(spec.ect01.then_some("ect01"));
        let others = [
            ("TTL", spec.ttl.map(|ttl| format!("{hops} {ttl}"))),
            ("DSCP", spec.dscp.map(|dscp| format!("dscp {dscp:#04x}"))),
            ("ECN", ecn.map(|code| format!("ecn {code}"))),
            (
                "flow label",
                spec.flow_label
                    .map(|label| format!("flowlabel {label:#07x}")),
            ),
        ];
        let fields = others.into_iter();
        let fields: Vec<_> = fields
            .filter_map(|(name, text)| Some((name, text?)))
            .collect();
        if let ([(_, _)], Some(code)) = (fields.as_slice(), ecn) {
            self.piece(&["ECN"], format!("[{code}]"));
            return;
        }
        let last = fields.len().wrapping_sub(1);
        for (index, (name, text)) in fields.into_iter().enumerate() {
            let shows: &'static [&'static str] = match name {
                "TTL" => &["TTL"],
                "DSCP" => &["DSCP"],
                "ECN" => &["ECN"],
                _ => &["flow label"],
            };
            if index == 0 {
                self.piece(&[], "(".to_owned());
            }
            self.piece(shows, text);
            if index == 0 {
                self.join();
            }
            let end = if index == last { ")" } else { "," };
            self.piece(&[], end.to_owned());
            self.join();
        }
    }

    fn tcp(&mut self, tcp: &Tcp) {
        self.piece(&["flags", "transport"], flags(tcp.flags));
        let numbers = sequence(tcp.seq, tcp.len);
        let end = if tcp.absolute { "!" } else { "" };
        self.piece(&["sequence number", "length", "data"], numbers + end);
        let number = |name: &str, n: Option<u32>| n.map(|n| format!("{name} {n}"));
        self.pieces_of(&["acknowledgement number"], number("ack", tcp.ack));
        self.pieces_of(&["window"], number("win", tcp.window.map(u32::from)));
        self.pieces_of(
            &["urgent pointer"],
            number("urg", tcp.urgent.map(u32::from)),
        );
        self.options(tcp);
        let reason = tcp.reason;
        let reason = reason.map(|(code, pen)| format!("[code {code}, pen {pen}]"));
        self.pieces_of(&["data"], reason);
    }

    fn options(&mut self, tcp: &Tcp) {
        let Some(options) = &tcp.options else {
            return self.piece(&["options", "timestamp"], "<...>".to_owned());
        };
        let mut joined = false;
        for (index, option) in options.iter().enumerate() {
            let before = if index == 0 { "<" } else { "," };
            self.piece(&[], before.to_owned());
            self.pieces
                .last_mut()
                .into_iter()
                .for_each(|piece| piece.joined = joined);
            joined = true;
            self.pieces.push(Piece {
                shows: Shows::Option(index),
                text: option_text::option(option, tcp),
                joined,
            });
        }
        if joined {
            self.pieces.push(Piece {
                shows: Shows::OptionsEnd,
                text: ">".to_owned(),
                joined,
            });
        }
    }
}

/// `SEWA`, `S.`, `FP.`: in the order in which nplab's scripts have the letters, the dot last.
fn flags(flags: u16) -> String {
    let letters = [
        (flag::SYN, 'S'),
        (flag::FIN, 'F'),
        (flag::RST, 'R'),
        (flag::PSH, 'P'),
        (flag::URG, 'U'),
        (flag::ECE, 'E'),
        (flag::CWR, 'W'),
        (flag::AE, 'A'),
        (flag::ACK, '.'),
    ];
    let set = letters.iter().filter(|(bit, _)| flags & bit != 0);
    let text: String = set.map(|(_, letter)| letter).collect();
    if text.is_empty() { "-".into() } else { text }
}

/// `1:1001(1000)` or `...(1000)`.
fn sequence(seq: Option<u32>, len: u32) -> String {
    match seq {
        Some(seq) => format!("{seq}:{}({len})", seq.wrapping_add(len)),
        None => format!("...({len})"),
    }
}

fn icmp(icmp: &Icmp, ipv6: bool) -> String {
    let mut text = icmp_syntax::name(icmp.kind, icmp.code, ipv6);
    if let Some(mtu) = icmp.mtu {
        text += &format!(" mtu {mtu}");
    }
    if icmp.id != 0 {
        text += &format!(" id {}", icmp.id);
    }
    match icmp.quoted {
        Quoted::Tcp {
            seq: None,
            len: 0,
            udp: None,
        } => {}
        Quoted::Tcp { seq, len, udp } => {
            let udp = udp.map(|(from, to)| format!("/udp({from} > {to})"));
            text += &format!(" [{}{}]", sequence(seq, len), udp.unwrap_or_default());
        }
        Quoted::Udp(len) => text += &format!(" [udp ({len})]"),
    }
    text
}

/// Which options are not the expected ones, by their index: what is left between those that are the same at
/// both ends. `same` compares two by their indices.
pub(super) fn odd_options(
    expected: &[TcpOption],
    seen: &[TcpOption],
    same: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    if expected.len() == seen.len() {
        return (0..seen.len()).filter(|i| !same(*i, *i)).collect();
    }
    let most = expected.len().min(seen.len());
    let front = (0..most).take_while(|i| same(*i, *i)).count();
    let back = |i: &usize| same(expected.len() - 1 - i, seen.len() - 1 - i);
    let back = (0..most - front).take_while(back).count();
    // Where one is missing, what stands in its place is pointed at.
    let end = (seen.len() - back).max(front + 1).min(seen.len());
    (front..end).collect()
}
