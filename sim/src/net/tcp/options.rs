// SPDX-License-Identifier: BSD-2-Clause
//! TCP options: what a segment may carry, parsed and emitted as FreeBSD does.
//!
//! - I1: emitted options are at most 40 bytes, padded to a multiple of four with an end-of-list
//!   octet and zeros (RFC 9293 section 3.2).
//! - I2: order and inner padding are those of `tcp_addoptions` (`sys/netinet/tcp_output.c`, 15.0).
//! - I3: parsing never reads past the header; a malformed length ends it, an option of a wrong size
//!   is skipped (`tcp_dooptions`, `sys/netinet/tcp_input.c`).

use std::ops::Deref;

use super::seq::Seq;

/// The longest option space (`TCP_MAXOLEN`).
pub(crate) const MAXOLEN: usize = 40;
/// The most SACK blocks that a header can hold, and that a receiver remembers at once.
pub(crate) const MAX_SACK_BLKS: usize = 6;
/// The largest window scale (`TCP_MAX_WINSHIFT`, RFC 7323 section 2.3).
pub(crate) const MAX_WINSHIFT: u8 = 14;

const EOL: u8 = 0;
const NOP: u8 = 1;
const MAXSEG: u8 = 2;
const WINDOW: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMP: u8 = 8;
const SIGNATURE: u8 = 19;
const FAST_OPEN: u8 = 34;

/// A block of sequence space, `start` included and `end` not (`struct sackblk`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlk {
    /// First sequence number of the block.
    pub start: Seq,
    /// First sequence number after the block.
    pub end: Seq,
}

/// The options of one segment (`struct tcpopt`). An absent option is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOpt {
    /// Maximum segment size; in SYNs only.
    pub mss: Option<u16>,
    /// Window scale shift; in SYNs only.
    pub wscale: Option<u8>,
    /// SACK permitted; in SYNs only.
    pub sackperm: bool,
    /// Timestamp value and echo reply.
    pub ts: Option<(u32, u32)>,
    /// MD5 digest (RFC 2385).
    pub signature: Option<[u8; 16]>,
    /// SACK blocks; a present option has at least one.
    pub sacks: Vec<SackBlk>,
    /// Fast Open cookie, possibly empty; in SYNs only.
    pub fastopen: Option<Vec<u8>>,
}

/// Which options the vnet's settings allow to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Accept {
    /// `net.inet.tcp.sack.enable`.
    pub sack: bool,
    /// `net.inet.tcp.fastopen.client_enable` or `server_enable`.
    pub fastopen: bool,
}

impl TcpOpt {
    /// Parses the option bytes of a segment; `syn` tells whether its SYN flag is set.
    pub fn parse(bytes: &[u8], syn: bool, accept: Accept) -> Self {
        let mut opt = Self::default();
        // The layout of RFC 7323 appendix A, which all but few segments have.
        if let [NOP, NOP, TIMESTAMP, 10, body @ ..] = bytes
            && body.len() == 8
        {
            opt.ts = Some((be32(body), be32(&body[4..])));
            return opt;
        }
        let mut rest = bytes;
        while let Some((&kind, after)) = rest.split_first() {
            match kind {
                EOL => break,
                NOP => rest = after,
                _ => {
                    let len = match after.first() {
                        Some(&len) if len >= 2 && usize::from(len) <= rest.len() => len,
                        _ => break,
                    };
                    let (one, more) = rest.split_at(usize::from(len));
                    opt.take(kind, &one[2..], syn, accept);
                    rest = more;
                }
            }
        }
        opt
    }

    fn take(&mut self, kind: u8, body: &[u8], syn: bool, accept: Accept) {
        match (kind, body) {
            (MAXSEG, [a, b]) if syn => self.mss = Some(u16::from_be_bytes([*a, *b])),
            (WINDOW, [shift]) if syn => self.wscale = Some((*shift).min(MAX_WINSHIFT)),
            (SACK_PERMITTED, []) if syn && accept.sack => self.sackperm = true,
            (TIMESTAMP, body) if body.len() == 8 => self.ts = Some((be32(body), be32(&body[4..]))),
            (SIGNATURE, body) => self.signature = body.try_into().ok().or(self.signature),
            (SACK, body) if !syn && !body.is_empty() && body.len() % 8 == 0 => {
                self.sacks = body
                    .chunks_exact(8)
                    .map(|b| SackBlk {
                        start: Seq(be32(b)),
                        end: Seq(be32(&b[4..])),
                    })
                    .collect();
            }
            (FAST_OPEN, body) if syn && accept.fastopen => self.fastopen = Some(body.to_vec()),
            _ => {}
        }
    }

    /// True where there is no option but the timestamps, if these: so it is with nearly all segments.
    fn alone(&self) -> bool {
        self.mss.is_none()
            && self.wscale.is_none()
            && !self.sackperm
            && self.signature.is_none()
            && self.sacks.is_empty()
            && self.fastopen.is_none()
    }

    /// The option bytes as `tcp_addoptions` lays them out.
    ///
    /// An option that does not fit is left out; which ones went in is told by `Emitted`.
    pub fn emit(&self) -> Emitted {
        let mut out = Emitted {
            bytes: Space::default(),
            signature_at: None,
            fastopen: false,
        };
        if let Some((val, ecr)) = self.ts
            && self.alone()
        {
            out.bytes.extend(&[NOP, NOP, TIMESTAMP, 10]);
            out.bytes.extend(&val.to_be_bytes());
            out.bytes.extend(&ecr.to_be_bytes());
            return out;
        }
        if let Some(mss) = self.mss {
            out.put(0, MAXSEG, &mss.to_be_bytes());
        }
        if let Some(shift) = self.wscale {
            out.put(3, WINDOW, &[shift]);
        }
        if self.sackperm {
            out.put(4, SACK_PERMITTED, &[]);
        }
        if let Some((val, ecr)) = self.ts {
            let mut body = [0; 8];
            body[..4].copy_from_slice(&val.to_be_bytes());
            body[4..].copy_from_slice(&ecr.to_be_bytes());
            out.put(2, TIMESTAMP, &body);
        }
        if self.signature.is_some() && out.put(2, SIGNATURE, &[0; 16]) {
            out.signature_at = Some(out.bytes.len() - 16);
        }
        out.put_sack(&self.sacks);
        if let Some(cookie) = &self.fastopen
            && MAXOLEN - out.bytes.len() >= 2 + cookie.len()
        {
            out.bytes.extend(&[FAST_OPEN, 2 + cookie.len() as u8]);
            out.bytes.extend(cookie);
            out.fastopen = true;
        }
        // EOL, and the padding behind it, which is the same octet.
        let end = [EOL; 4];
        let rest = out.bytes.len().next_multiple_of(4) - out.bytes.len();
        out.bytes.extend(&end[..rest]);
        out
    }
}

/// Options in wire form.
#[derive(Clone, Debug, Default)]
pub struct Emitted {
    /// The bytes, a multiple of four.
    pub bytes: Space,
    /// Where the sixteen bytes of the MD5 digest go, if the option fitted.
    pub signature_at: Option<usize>,
    /// Whether the Fast Open option fitted.
    pub fastopen: bool,
}

/// Up to [`MAXOLEN`] bytes of options.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    bytes: [u8; MAXOLEN],
    len: usize,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            bytes: [0; MAXOLEN],
            len: 0,
        }
    }
}

impl Deref for Space {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Space {
    /// Adds bytes, for which the caller has seen that there is room.
    fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }
}

impl Emitted {
    /// Pads with no-operations for the alignment FreeBSD uses for the option, then adds it.
    ///
    /// `align`: 0 none beyond four-byte, 3 odd offset (window scale), 4 even offset (SACK
    /// permitted), 2 two past a four-byte boundary.
    fn put(&mut self, align: u8, kind: u8, body: &[u8]) -> bool {
        if self.bytes.len() == MAXOLEN {
            return false;
        }
        self.align(align);
        if MAXOLEN.saturating_sub(self.bytes.len()) < 2 + body.len() {
            return false;
        }
        self.bytes.extend(&[kind, 2 + body.len() as u8]);
        self.bytes.extend(body);
        true
    }

    fn align(&mut self, align: u8) {
        loop {
            let len = self.bytes.len();
            let aligned = match align {
                0 => len.is_multiple_of(4),
                3 => len % 2 == 1,
                4 => len.is_multiple_of(2),
                _ => len % 4 == 2,
            };
            if aligned || len >= MAXOLEN {
                return;
            }
            self.bytes.extend(&[NOP]);
        }
    }

    /// As many blocks as fit behind the other options.
    fn put_sack(&mut self, sacks: &[SackBlk]) {
        if sacks.is_empty() || self.bytes.len() == MAXOLEN {
            return;
        }
        self.align(2);
        let room = MAXOLEN.saturating_sub(self.bytes.len());
        if room < 2 + 8 {
            return;
        }
        let count = sacks.len().min((room - 2) / 8);
        self.bytes.extend(&[SACK, 2 + 8 * count as u8]);
        for sack in &sacks[..count] {
            self.bytes.extend(&sack.start.0.to_be_bytes());
            self.bytes.extend(&sack.end.0.to_be_bytes());
        }
    }
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, b| n << 8 | u32::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Accept = Accept {
        sack: true,
        fastopen: true,
    };

    #[test]
    fn syn_options_have_the_order_and_padding_of_freebsd() {
        let opt = TcpOpt {
            mss: Some(1460),
            wscale: Some(6),
            sackperm: true,
            ts: Some((100, 0)),
            ..TcpOpt::default()
        };
        let bytes = opt.emit().bytes;
        assert_eq!(
            *bytes,
            [
                2, 4, 5, 180, 1, 3, 3, 6, 4, 2, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0
            ]
        );
        assert_eq!(TcpOpt::parse(&bytes, true, ALL), opt);
    }

    #[test]
    fn timestamps_alone_read_as_with_other_options_beside_them() {
        let alone = [NOP, NOP, TIMESTAMP, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        let opt = TcpOpt::parse(&alone, false, ALL);
        assert_eq!(opt.ts, Some((0x0102_0304, 0x0506_0708)));
        assert_eq!(
            TcpOpt::parse(&[&alone[..], &[EOL]].concat(), false, ALL),
            opt
        );
        assert_eq!(*opt.emit().bytes, alone);
    }

    #[test]
    fn sack_permitted_without_timestamp_is_closed_by_two_ends() {
        let opt = TcpOpt {
            mss: Some(1460),
            sackperm: true,
            ..TcpOpt::default()
        };
        assert_eq!(*opt.emit().bytes, [2, 4, 5, 180, 4, 2, 0, 0]);
    }

    #[test]
    fn sack_blocks_fill_what_timestamps_leave() {
        let blk = |n| SackBlk {
            start: Seq(n),
            end: Seq(n + 1),
        };
        let opt = TcpOpt {
            ts: Some((1, 2)),
            sacks: (0..6).map(blk).collect(),
            ..TcpOpt::default()
        };
        let bytes = opt.emit().bytes;
        assert_eq!(bytes.len(), 40);
        let back = TcpOpt::parse(&bytes, false, ALL);
        assert_eq!(back.sacks, opt.sacks[..3]);
        assert!(TcpOpt::parse(&bytes, true, ALL).sacks.is_empty());
    }

    #[test]
    fn bad_lengths_end_or_skip_the_parsing() {
        assert_eq!(TcpOpt::parse(&[2], true, ALL), TcpOpt::default());
        assert_eq!(TcpOpt::parse(&[2, 0, 1, 1], true, ALL), TcpOpt::default());
        assert_eq!(TcpOpt::parse(&[2, 40, 1, 1], true, ALL), TcpOpt::default());
        let skipped = TcpOpt::parse(&[2, 3, 9, 3, 3, 15], true, ALL);
        assert_eq!((skipped.mss, skipped.wscale), (None, Some(14)));
        assert_eq!(TcpOpt::parse(&[2, 4, 1, 1], false, ALL).mss, None);
    }
}
