// SPDX-License-Identifier: BSD-2-Clause
//! Frames as an observer on the wire reads them, from the RFCs: Ethernet, IPv4 (RFC 791), IPv6
//! (RFC 8200), UDP (RFC 768) where it carries TCP, TCP (RFC 9293) with its options, and the two ICMP
//! errors by which a router tells its MTU (RFC 1191, RFC 8201).

use std::net::IpAddr;

/// `FIN`
pub const FIN: u16 = 0x01;
/// `SYN`
pub const SYN: u16 = 0x02;
/// `RST`
pub const RST: u16 = 0x04;
/// `ACK`
pub const ACK: u16 = 0x10;

/// Octets of an Ethernet header.
const ETHER: usize = 14;

/// The options of a segment; an absent one is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window scale (RFC 7323 section 2).
    pub wscale: Option<u8>,
    /// SACK permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// SACK blocks (RFC 2018 section 3).
    pub sack: Vec<(u32, u32)>,
    /// Timestamp and its echo (RFC 7323 section 3).
    pub ts: Option<(u32, u32)>,
    /// An MD5 signature is there (RFC 2385).
    pub signed: bool,
    /// Fast Open is there (RFC 7413).
    pub fast_open: bool,
    /// Octets of all options with their padding.
    pub len: usize,
}

/// A segment with what of its packet matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seg {
    /// Source.
    pub src: (IpAddr, u16),
    /// Destination.
    pub dst: (IpAddr, u16),
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u16,
    /// Window as it stands in the header.
    pub window: u16,
    /// Options.
    pub options: Options,
    /// Data.
    pub text: Vec<u8>,
    /// Octets of the IP packet.
    pub ip_len: usize,
    /// It may not be fragmented.
    pub df: bool,
}

impl Seg {
    /// True where any of these flags is set.
    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// How much sequence space the segment takes.
    pub fn len(&self) -> i64 {
        self.text.len() as i64 + i64::from(self.has(SYN)) + i64::from(self.has(FIN))
    }

    /// True where it takes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a frame is to the observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A whole segment.
    Tcp(Seg),
    /// A router could not pass a segment on.
    TooBig {
        /// What would pass.
        mtu: usize,
        /// Source and destination port, and sequence number, of the segment.
        about: (u16, u16, u32),
    },
    /// Neighbour discovery or address resolution: how hosts on a link find each other.
    Neighbour,
    /// A fragment, another protocol, another ICMP message.
    Other,
}

/// Why a frame is none that a sound host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Too short, or a length that does not fit.
    Length,
    /// The IPv4 header's checksum is wrong.
    HeaderSum,
    /// The transport's checksum is wrong.
    Sum,
}

fn be16(b: &[u8], at: usize) -> Result<u16, Bad> {
    let two = b.get(at..at + 2).ok_or(Bad::Length)?;
    Ok(u16::from_be_bytes([two[0], two[1]]))
}

fn be32(b: &[u8], at: usize) -> Result<u32, Bad> {
    Ok(u32::from(be16(b, at)?) << 16 | u32::from(be16(b, at + 2)?))
}

/// The one's complement sum of 16-bit words (RFC 1071).
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0_u64;
    for part in parts {
        for word in part.chunks(2) {
            total += u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0));
        }
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// Source, destination, protocol, payload, packet length and DF of an IP packet; no payload where
/// it is a fragment.
struct Ip<'a> {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    body: Option<&'a [u8]>,
    len: usize,
    df: bool,
}

fn ip(b: &[u8]) -> Result<Ip<'_>, Bad> {
    match b.first().ok_or(Bad::Length)? >> 4 {
        4 => {
            let header = usize::from(b[0] & 15) * 4;
            let len = usize::from(be16(b, 2)?);
            if header < 20 || len < header || b.len() < len {
                return Err(Bad::Length);
            }
            if sum(&[&b[..header]]) != 0xffff {
                return Err(Bad::HeaderSum);
            }
            let frag = be16(b, 6)?;
            let addr = |at: usize| IpAddr::from([b[at], b[at + 1], b[at + 2], b[at + 3]]);
            Ok(Ip {
                src: addr(12),
                dst: addr(16),
                proto: b[9],
                body: (frag & 0x3fff == 0).then_some(&b[header..len]),
                len,
                df: frag & 0x4000 != 0,
            })
        }
        6 => {
            let len = 40 + usize::from(be16(b, 4)?);
            if b.len() < len {
                return Err(Bad::Length);
            }
            let addr = |at: usize| IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| b[at + i]));
            Ok(Ip {
                src: addr(8),
                dst: addr(24),
                proto: b[6],
                body: Some(&b[40..len]),
                len,
                df: true,
            })
        }
        _ => Err(Bad::Length),
    }
}

fn pseudo(ip: &Ip<'_>, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for addr in [ip.src, ip.dst] {
        match addr {
            IpAddr::V4(a) => out.extend(a.octets()),
            IpAddr::V6(a) => out.extend(a.octets()),
        }
    }
    out.extend((len as u32).to_be_bytes());
    out.extend(u32::from(ip.proto).to_be_bytes());
    out
}

fn options(b: &[u8]) -> Result<Options, Bad> {
    let mut options = Options {
        len: b.len(),
        ..Options::default()
    };
    let mut at = 0;
    while let Some(kind) = b.get(at) {
        match kind {
            0 => break,
            1 => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let len = usize::from(*b.get(at + 1).ok_or(Bad::Length)?);
        let body = b.get(at + 2..at + len).ok_or(Bad::Length)?;
        match kind {
            2 => options.mss = Some(be16(body, 0)?),
            3 => options.wscale = body.first().copied(),
            4 => options.sack_permitted = true,
            5 => {
                for block in body.chunks(8) {
                    options.sack.push((be32(block, 0)?, be32(block, 4)?));
                }
            }
            8 => options.ts = Some((be32(body, 0)?, be32(body, 4)?)),
            19 => options.signed = body.len() == 16,
            34 => options.fast_open = true,
            _ => {}
        }
        at += len;
    }
    Ok(options)
}

fn tcp(ip: &Ip<'_>, b: &[u8]) -> Result<Packet, Bad> {
    let offset = usize::from(b.get(12).ok_or(Bad::Length)? >> 4) * 4;
    if offset < 20 {
        return Err(Bad::Length);
    }
    let head = b.get(20..offset).ok_or(Bad::Length)?;
    Ok(Packet::Tcp(Seg {
        src: (ip.src, be16(b, 0)?),
        dst: (ip.dst, be16(b, 2)?),
        seq: be32(b, 4)?,
        ack: be32(b, 8)?,
        flags: be16(b, 12)? & 0x0fff,
        window: be16(b, 14)?,
        options: options(head)?,
        text: b[offset..].to_vec(),
        ip_len: ip.len,
        df: ip.df,
    }))
}

/// The ports and the sequence number of the segment that an ICMP error quotes.
fn about(quote: &[u8], encapsulated: u16) -> Result<(u16, u16, u32), Bad> {
    let (header, proto) = match quote.first().ok_or(Bad::Length)? >> 4 {
        4 => (
            usize::from(quote[0] & 15) * 4,
            *quote.get(9).ok_or(Bad::Length)?,
        ),
        _ => (40, *quote.get(6).ok_or(Bad::Length)?),
    };
    let udp = proto == 17 && be16(quote, header + 2)? == encapsulated;
    let at = header + if udp { 8 } else { 0 };
    Ok((be16(quote, at)?, be16(quote, at + 2)?, be32(quote, at + 4)?))
}

/// Reads a frame; `encapsulated` is the UDP port to which TCP may be sent, or 0.
///
/// # Errors
/// [`Bad`] where a host that computes its checksums and lengths as the RFCs say sends no such frame.
pub fn read(frame: &[u8], encapsulated: u16) -> Result<Packet, Bad> {
    match be16(frame, 12)? {
        0x0806 => return Ok(Packet::Neighbour),
        0x0800 | 0x86dd => {}
        _ => return Ok(Packet::Other),
    }
    let ip = ip(&frame[ETHER..])?;
    let Some(body) = ip.body else {
        return Ok(Packet::Other);
    };
    let checked = |covered: bool| {
        let head = if covered {
            pseudo(&ip, body.len())
        } else {
            Vec::new()
        };
        if sum(&[&head, body]) == 0xffff {
            Ok(())
        } else {
            Err(Bad::Sum)
        }
    };
    match (ip.proto, ip.src.is_ipv6()) {
        (6, _) => {
            checked(true)?;
            tcp(&ip, body)
        }
        (17, _) if be16(body, 2)? == encapsulated => {
            checked(true)?;
            if usize::from(be16(body, 4)?) != body.len() {
                return Err(Bad::Length);
            }
            tcp(&ip, &body[8..])
        }
        (1, false) => {
            checked(false)?;
            let mtu = usize::from(be16(body, 6)?);
            match (body[0], body[1]) {
                (3, 4) => Ok(Packet::TooBig {
                    mtu,
                    about: about(&body[8..], encapsulated)?,
                }),
                _ => Ok(Packet::Other),
            }
        }
        (58, true) => {
            checked(true)?;
            match body.first().ok_or(Bad::Length)? {
                2 => Ok(Packet::TooBig {
                    mtu: be32(body, 4)? as usize,
                    about: about(&body[8..], encapsulated)?,
                }),
                133..=137 => Ok(Packet::Neighbour),
                _ => Ok(Packet::Other),
            }
        }
        _ => Ok(Packet::Other),
    }
}
