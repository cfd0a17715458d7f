// SPDX-License-Identifier: BSD-2-Clause
//! Packets as bytes, for the script's side of the wire.
//!
//! This is the judge's own reading of a packet, written over the `etherparse` library and sharing no
//! code with the stack under test: an error in the stack's options or checksums must not be
//! forgiven by the same error here.

use super::ast::{TcpOption, flag};
use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader,
};
use md5::{Digest, Md5};
use std::net::{IpAddr, SocketAddr};

/// A packet taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Flow label of IPv6; 0 in IPv4.
    pub flow_label: u32,
    /// What it carries.
    pub body: FrameBody,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameBody {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp(Datagram),
    /// Anything else: protocol number and bytes.
    Other(u8, Vec<u8>),
}

/// A UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Its data.
    pub data: Vec<u8>,
}

/// A TCP segment with its numbers as they stand in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags, see [`flag`].
    pub flags: u16,
    /// Window as in the header.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options in order, all of them.
    pub options: Vec<TcpOption>,
    /// The options as they stand in a header that was taken apart; empty in one to be made.
    pub option_bytes: Vec<u8>,
    /// Bytes of data: zeros, for that is what scripts write.
    pub data: Vec<u8>,
    /// UDP ports of the encapsulation.
    pub udp: Option<(u16, u16)>,
}

impl Frame {
    /// The segment, where it is one.
    pub fn segment(&self) -> Option<&Segment> {
        match &self.body {
            FrameBody::Tcp(segment) => Some(segment),
            FrameBody::Udp(_) | FrameBody::Other(..) => None,
        }
    }

    /// Source and destination as socket addresses of the connection.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (sport, dport) = match &self.body {
            FrameBody::Tcp(segment) => (segment.sport, segment.dport),
            FrameBody::Udp(datagram) => (datagram.sport, datagram.dport),
            FrameBody::Other(..) => return None,
        };
        let src = SocketAddr::new(self.src, sport);
        Some((src, SocketAddr::new(self.dst, dport)))
    }

    /// The bytes of the packet, with all checksums. `key` signs an MD5 option that is to be valid.
    pub fn encode(&self, key: Option<&str>) -> Vec<u8> {
        match &self.body {
            FrameBody::Other(proto, bytes) => self.ip(*proto, bytes),
            FrameBody::Udp(datagram) => {
                let bytes = self.udp_bytes(datagram.sport, datagram.dport, &datagram.data);
                self.ip(17, &bytes)
            }
            FrameBody::Tcp(segment) => {
                let mut bytes = self.tcp_bytes(segment, key);
                let Some((sport, dport)) = segment.udp else {
                    return self.ip(6, &bytes);
                };
                // FreeBSD leaves the inner checksum zero: UDP's covers it (tcp_output.c, 15.0).
                bytes[16..18].fill(0);
                let datagram = self.udp_bytes(sport, dport, &bytes);
                self.ip(17, &datagram)
            }
        }
    }

    fn udp_bytes(&self, sport: u16, dport: u16, data: &[u8]) -> Vec<u8> {
        let mut header = UdpHeader {
            source_port: sport,
            destination_port: dport,
            length: u16::try_from(data.len() + 8).unwrap_or(u16::MAX),
            checksum: 0,
        };
        header.checksum = udp_checksum(self.src, self.dst, &header, data);
        [&header.to_bytes()[..], data].concat()
    }

    /// The first bytes of this packet as an ICMP error quotes them: IP header and `n` bytes.
    pub fn quoted(&self, n: usize) -> Vec<u8> {
        let bytes = self.encode(None);
        let header = if self.src.is_ipv4() { 20 } else { 40 };
        bytes[..bytes.len().min(header + n)].to_vec()
    }

    fn ip(&self, proto: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut header = Ipv4Header {
                    dscp: (self.tos >> 2).try_into().unwrap_or_default(),
                    ecn: (self.tos & 3).try_into().unwrap_or_default(),
                    total_len: u16::try_from(20 + payload.len()).unwrap_or(u16::MAX),
                    dont_fragment: true,
                    fragment_offset: IpFragOffset::ZERO,
                    time_to_live: self.ttl,
                    protocol: IpNumber(proto),
                    source: src.octets(),
                    destination: dst.octets(),
                    ..Default::default()
                };
                header.header_checksum = header.calc_header_checksum();
                header.to_bytes().to_vec()
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6Header {
                traffic_class: self.tos,
                flow_label: Ipv6FlowLabel::try_new(self.flow_label).unwrap_or(Ipv6FlowLabel::ZERO),
                payload_length: u16::try_from(payload.len()).unwrap_or(u16::MAX),
                next_header: IpNumber(proto),
                hop_limit: self.ttl,
                source: src.octets(),
                destination: dst.octets(),
            }
            .to_bytes()
            .to_vec(),
            _ => Vec::new(),
        };
        bytes.extend_from_slice(payload);
        bytes
    }

    fn tcp_bytes(&self, segment: &Segment, key: Option<&str>) -> Vec<u8> {
        let mut header = TcpHeader::new(segment.sport, segment.dport, segment.seq, segment.window);
        header.acknowledgment_number = segment.ack;
        header.urgent_pointer = segment.urgent;
        let has = |bit: u16| segment.flags & bit != 0;
        header.fin = has(flag::FIN);
        header.syn = has(flag::SYN);
        header.rst = has(flag::RST);
        header.psh = has(flag::PSH);
        header.ack = has(flag::ACK);
        header.urg = has(flag::URG);
        header.ece = has(flag::ECE);
        header.cwr = has(flag::CWR);
        header.ns = has(flag::AE);
        let mut options = option_bytes(&segment.options);
        while !options.bytes.len().is_multiple_of(4) {
            options.bytes.push(0);
        }
        let _ = header.set_options_raw(&options.bytes);
        let mut bytes = header.to_bytes().to_vec();
        if let Some(at) = options.digest_at {
            let digest = md5_digest(self.src, self.dst, &bytes[..20], &segment.data, key);
            let sign = options.sign && key.is_some();
            let slot = &mut bytes[20 + at..20 + at + 16];
            slot.copy_from_slice(&digest);
            slot[0] ^= u8::from(!sign);
        }
        bytes.extend_from_slice(&segment.data);
        let sum = tcp_checksum(self.src, self.dst, &bytes);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

struct OptionBytes {
    bytes: Vec<u8>,
    digest_at: Option<usize>,
    sign: bool,
}

/// The bytes of one option as it stands in a header; those of a digest are zeros.
pub(super) fn one_option(option: &TcpOption) -> Vec<u8> {
    option_bytes(std::slice::from_ref(option)).bytes
}

/// Bytes that the options take, without what fills them up.
pub(super) fn options_len(options: &[TcpOption]) -> usize {
    option_bytes(options).bytes.len()
}

/// Options as bytes.
fn option_bytes(options: &[TcpOption]) -> OptionBytes {
    let mut out = OptionBytes {
        bytes: Vec::new(),
        digest_at: None,
        sign: false,
    };
    for option in options {
        let mut put = |kind: u8, payload: &[u8]| {
            out.bytes.push(kind);
            out.bytes
                .push(u8::try_from(payload.len() + 2).unwrap_or(u8::MAX));
            out.bytes.extend_from_slice(payload);
        };
        match option {
            TcpOption::Nop => out.bytes.push(1),
            TcpOption::Eol => out.bytes.push(0),
            TcpOption::Mss(mss) => put(2, &mss.to_be_bytes()),
            TcpOption::Wscale(shift) => put(3, &[*shift]),
            TcpOption::SackPermitted => put(4, &[]),
            TcpOption::Sack(blocks) => {
                let words = blocks
                    .iter()
                    .flat_map(|(l, r)| [l.to_be_bytes(), r.to_be_bytes()]);
                put(5, &words.flatten().collect::<Vec<u8>>());
            }
            TcpOption::Timestamp { val, ecr } => {
                put(8, &[val.to_be_bytes(), ecr.to_be_bytes()].concat());
            }
            TcpOption::FastOpen(cookie) => put(34, cookie),
            TcpOption::FastOpenExperimental(cookie) => {
                put(254, &[&[0xf9, 0x89], &cookie[..]].concat())
            }
            TcpOption::Md5 { valid } => {
                put(19, &[0; 16]);
                out.digest_at = Some(out.bytes.len() - 16);
                out.sign = *valid;
            }
            TcpOption::Raw(kind, payload) => put(*kind, payload),
            TcpOption::Blob(bytes) => out.bytes.extend_from_slice(bytes),
        }
    }
    out
}

/// RFC 2385, section 2.0: pseudo header, TCP header without options and with a zero checksum,
/// data, key.
fn md5_digest(src: IpAddr, dst: IpAddr, header: &[u8], data: &[u8], key: Option<&str>) -> [u8; 16] {
    let mut md5 = Md5::new();
    let length = usize::from(header[12] >> 4) * 4 + data.len();
    md5.update(pseudo_header(
        src,
        dst,
        u32::try_from(length).unwrap_or(u32::MAX),
    ));
    let mut bare = header[..20].to_vec();
    bare[16..18].fill(0);
    md5.update(&bare);
    md5.update(data);
    md5.update(key.unwrap_or_default().as_bytes());
    md5.finalize().into()
}

fn pseudo_header(src: IpAddr, dst: IpAddr, length: u32) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            [
                &src.octets()[..],
                &dst.octets(),
                &[0, 6],
                &length.to_be_bytes(),
            ]
            .concat()
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => [
            &src.octets()[..],
            &dst.octets(),
            &length.to_be_bytes(),
            &[0, 0, 0, 6],
        ]
        .concat(),
        _ => Vec::new(),
    }
}

fn udp_checksum(src: IpAddr, dst: IpAddr, header: &UdpHeader, data: &[u8]) -> u16 {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => header
            .calc_checksum_ipv4_raw(src.octets(), dst.octets(), data)
            .unwrap_or_default(),
        (IpAddr::V6(src), IpAddr::V6(dst)) => header
            .calc_checksum_ipv6_raw(src.octets(), dst.octets(), data)
            .unwrap_or_default(),
        _ => 0,
    }
}

fn tcp_checksum(src: IpAddr, dst: IpAddr, bytes: &[u8]) -> u16 {
    let mut all = pseudo_header(src, dst, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    all.extend_from_slice(bytes);
    let at = all.len() - bytes.len() + 16;
    all[at..at + 2].fill(0);
    !sum(&all)
}

/// The ones' complement sum of RFC 1071. Not the stack's own, which it is there to check.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Takes a packet apart. `udp_port` is the local port of the TCP encapsulation, if one is open;
/// `key` verifies MD5 options.
///
/// # Errors
/// What is wrong with the packet: a stack must never send such.
pub fn decode(bytes: &[u8], encapsulated: bool, key: Option<&str>) -> Result<Frame, String> {
    let (mut frame, proto, payload) = decode_ip(bytes)?;
    let (src, dst) = (frame.src, frame.dst);
    let (tcp, udp) = match proto {
        6 => (payload, None),
        17 => {
            let (header, data) = decode_udp(src, dst, payload)?;
            if !encapsulated {
                frame.body = FrameBody::Udp(Datagram {
                    sport: header.source_port,
                    dport: header.destination_port,
                    data: data.to_vec(),
                });
                return Ok(frame);
            }
            (data, Some((header.source_port, header.destination_port)))
        }
        _ => return Ok(frame),
    };
    let (header, data) = TcpHeader::from_slice(tcp).map_err(|e| format!("TCP header: {e}"))?;
    let wanted = if udp.is_some() {
        0
    } else {
        tcp_checksum(src, dst, tcp)
    };
    if header.checksum != wanted {
        return Err(format!(
            "TCP checksum {:#06x}, should be {wanted:#06x}",
            header.checksum
        ));
    }
    let digest = md5_digest(src, dst, tcp, data, key);
    let bits = [
        (header.fin, flag::FIN),
        (header.syn, flag::SYN),
        (header.rst, flag::RST),
        (header.psh, flag::PSH),
        (header.ack, flag::ACK),
        (header.urg, flag::URG),
        (header.ece, flag::ECE),
        (header.cwr, flag::CWR),
        (header.ns, flag::AE),
    ];
    frame.body = FrameBody::Tcp(Segment {
        sport: header.source_port,
        dport: header.destination_port,
        seq: header.sequence_number,
        ack: header.acknowledgment_number,
        flags: bits
            .iter()
            .filter(|(set, _)| *set)
            .fold(0, |all, (_, bit)| all | bit),
        window: header.window_size,
        urgent: header.urgent_pointer,
        options: decode_options(header.options.as_slice(), &digest)?,
        option_bytes: header.options.as_slice().to_vec(),
        data: data.to_vec(),
        udp,
    });
    Ok(frame)
}

fn decode_udp(src: IpAddr, dst: IpAddr, payload: &[u8]) -> Result<(UdpHeader, &[u8]), String> {
    let (header, rest) = UdpHeader::from_slice(payload).map_err(|e| format!("UDP header: {e}"))?;
    let data = usize::from(header.length)
        .checked_sub(8)
        .filter(|len| *len == rest.len())
        .and_then(|len| rest.get(..len))
        .ok_or_else(|| format!("UDP length {} in {} bytes", header.length, payload.len()))?;
    // Without a checksum only over IPv4 (RFC 8200, section 8.1).
    let none = header.checksum == 0 && src.is_ipv4();
    let wanted = udp_checksum(src, dst, &header, data);
    if !none && header.checksum != wanted {
        return Err(format!(
            "UDP checksum {:#06x}, should be {wanted:#06x}",
            header.checksum
        ));
    }
    Ok((header, data))
}

/// The fields of the IP header, with protocol and payload.
fn decode_ip(bytes: &[u8]) -> Result<(Frame, u8, &[u8]), String> {
    if bytes.first().is_some_and(|b| b >> 4 == 6) {
        let (header, rest) =
            Ipv6Header::from_slice(bytes).map_err(|e| format!("IPv6 header: {e}"))?;
        let payload = rest
            .get(..usize::from(header.payload_length))
            .ok_or("IPv6 payload length beyond the packet")?;
        let proto = header.next_header.0;
        let frame = Frame {
            src: IpAddr::V6(header.source.into()),
            dst: IpAddr::V6(header.destination.into()),
            tos: header.traffic_class,
            ttl: header.hop_limit,
            flow_label: header.flow_label.value(),
            body: FrameBody::Other(proto, payload.to_vec()),
        };
        return Ok((frame, proto, payload));
    }
    let (header, _) = Ipv4Header::from_slice(bytes).map_err(|e| format!("IPv4 header: {e}"))?;
    if header.header_checksum != header.calc_header_checksum() {
        return Err(format!(
            "IPv4 header checksum {:#06x} is wrong",
            header.header_checksum
        ));
    }
    let payload = bytes
        .get(header.header_len()..usize::from(header.total_len))
        .ok_or("IPv4 total length beyond the packet")?;
    let proto = header.protocol.0;
    let frame = Frame {
        src: IpAddr::V4(header.source.into()),
        dst: IpAddr::V4(header.destination.into()),
        tos: header.dscp.value() << 2 | header.ecn.value(),
        ttl: header.time_to_live,
        flow_label: 0,
        body: FrameBody::Other(proto, payload.to_vec()),
    };
    Ok((frame, proto, payload))
}

fn decode_options(mut bytes: &[u8], digest: &[u8; 16]) -> Result<Vec<TcpOption>, String> {
    let mut all = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        if *kind < 2 {
            all.push(if *kind == 0 {
                TcpOption::Eol
            } else {
                TcpOption::Nop
            });
            bytes = rest;
            continue;
        }
        let length = usize::from(*rest.first().ok_or("a TCP option without length")?);
        let payload = rest
            .get(1..length.wrapping_sub(1))
            .ok_or_else(|| format!("TCP option {kind} of length {length}"))?;
        let word = |at: usize| {
            let bytes = payload.get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        all.push(match (kind, payload) {
            (2, [high, low]) => TcpOption::Mss(u16::from_be_bytes([*high, *low])),
            (3, [shift]) => TcpOption::Wscale(*shift),
            (4, []) => TcpOption::SackPermitted,
            (5, _) if payload.len() % 8 == 0 => TcpOption::Sack(
                (0..payload.len())
                    .step_by(8)
                    .filter_map(|i| Some((word(i)?, word(i + 4)?)))
                    .collect(),
            ),
            (8, _) if payload.len() == 8 => TcpOption::Timestamp {
                val: word(0).unwrap_or_default(),
                ecr: word(4).unwrap_or_default(),
            },
            (19, _) => TcpOption::Md5 {
                valid: payload == digest,
            },
            (34, cookie) => TcpOption::FastOpen(cookie.to_vec()),
            (254, [0xf9, 0x89, cookie @ ..]) => TcpOption::FastOpenExperimental(cookie.to_vec()),
            (kind, payload) => TcpOption::Raw(*kind, payload.to_vec()),
        });
        bytes = rest.get(length - 1..).unwrap_or_default();
    }
    Ok(all)
}
