// SPDX-License-Identifier: BSD-2-Clause
//! Captures of links in the pcapng format, as Wireshark reads it.
//!
//! Section header, one interface description per link (nanosecond time stamps) and enhanced packet
//! blocks, little endian (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3). Virtual time counts from
//! the epoch, so equal worlds give equal files.

use std::io::{self, Write};

use crate::time::Instant;

/// What the frames of a captured interface are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`.
    Ethernet,
    /// `LINKTYPE_RAW`: bare IP packets.
    Raw,
}

/// Names a captured interface in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureId(u32);

/// The way of a captured frame, seen from the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// A capture file being written.
#[derive(Debug)]
pub struct PcapNg<W: Write> {
    out: W,
    interfaces: u32,
}

/// Most bytes of a frame that are kept; no frame of ours is longer.
const SNAPLEN: u32 = 262_144;

impl<W: Write> PcapNg<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of the writer, here and below.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&u64::MAX.to_le_bytes()); // section length not stated
        option(&mut body, 4, b"vpsim");
        end_of_options(&mut body);
        block(&mut out, 0x0a0d_0d0a, &body)?;
        Ok(Self { out, interfaces: 0 })
    }

    /// Describes an interface.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn interface(&mut self, name: &str, kind: LinkType) -> io::Result<CaptureId> {
        let linktype: u16 = match kind {
            LinkType::Ethernet => 1,
            LinkType::Raw => 101,
        };
        let mut body = Vec::new();
        body.extend_from_slice(&linktype.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&SNAPLEN.to_le_bytes());
        option(&mut body, 2, name.as_bytes());
        option(&mut body, 9, &[9]); // if_tsresol: nanoseconds
        end_of_options(&mut body);
        block(&mut self.out, 1, &body)?;
        let id = CaptureId(self.interfaces);
        self.interfaces += 1;
        Ok(id)
    }

    /// Writes a frame; `comment` may be empty.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn frame(
        &mut self,
        at: Instant,
        interface: CaptureId,
        way: Way,
        frame: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let stamp = at.as_nanos();
        let kept = frame.get(..SNAPLEN as usize).unwrap_or(frame);
        let mut body = Vec::with_capacity(kept.len() + 48);
        body.extend_from_slice(&interface.0.to_le_bytes());
        body.extend_from_slice(&((stamp >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(stamp as u32).to_le_bytes());
        body.extend_from_slice(&(kept.len() as u32).to_le_bytes());
        body.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        padded(&mut body, kept);
        let flags: u32 = match way {
            Way::In => 1,
            Way::Out => 2,
        };
        option(&mut body, 2, &flags.to_le_bytes());
        if !comment.is_empty() {
            option(&mut body, 1, comment.as_bytes());
        }
        end_of_options(&mut body);
        block(&mut self.out, 6, &body)
    }

    /// Ends the file and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn block<W: Write>(out: &mut W, kind: u32, body: &[u8]) -> io::Result<()> {
    let total = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&total)?;
    out.write_all(body)?;
    out.write_all(&total)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let kept = value.get(..0xffff).unwrap_or(value);
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(kept.len() as u16).to_le_bytes());
    padded(body, kept);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the blocks of a file: type and body of each.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word =
            |b: &[u8], at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let mut found = Vec::new();
        while !file.is_empty() {
            let total = word(file, 4) as usize;
            assert!(total.is_multiple_of(4) && total >= 12);
            assert_eq!(word(file, total - 4) as usize, total, "trailing length");
            found.push((word(file, 0), file[8..total - 4].to_vec()));
            file = &file[total..];
        }
        found
    }

    #[test]
    fn a_file_is_whole_blocks_with_the_frames_in_order() {
        let mut pcap = PcapNg::new(Vec::new()).unwrap();
        let eth = pcap.interface("alpha-uplink", LinkType::Ethernet).unwrap();
        let tun = pcap.interface("tun0", LinkType::Raw).unwrap();
        let at = Instant::from_nanos(0x1_0000_0005);
        pcap.frame(at, eth, Way::Out, &[1, 2, 3], "").unwrap();
        pcap.frame(at, tun, Way::In, &[4; 61], "dropped: cut")
            .unwrap();
        let file = blocks(&pcap.finish().unwrap());
        let kinds: Vec<u32> = file.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 1, 6, 6]);
        let first = &file[3].1;
        assert_eq!(first[..4], [0; 4], "interface");
        assert_eq!(
            first[4..12],
            [1, 0, 0, 0, 5, 0, 0, 0],
            "high and low half of the time"
        );
        assert_eq!(first[12..24], [3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 0]);
        assert_eq!(file[4].1[0], 1);
        assert_eq!(file[2].1[..2], [101, 0]);
    }
}
