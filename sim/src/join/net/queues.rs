// SPDX-License-Identifier: BSD-2-Clause
//! What a TCP connection holds out of order as records of an image, and back: the SACK scoreboard of what the peer
//! has, the blocks reported to it, and the reassembly queue.

use vpscore::collections::List;
use vpscore::sock;

use super::error::{Unfit, Unmovable};
use super::values::{from_seq, seq};
use crate::net::tcp::{SackHint, SackHole, Segq, SegqEntry, Tcpcb};

/// `TH_FIN`.
const TH_FIN: u16 = 0x01;
/// `TH_URG`.
const TH_URG: u16 = 0x20;

pub(super) fn hint(tp: &Tcpcb) -> sock::SackHint {
    let hint = &tp.sackhint;
    let hole = |h: &SackHole| h.end - h.start;
    let missing = tp.snd_holes.iter().map(hole).fold(0, u32::wrapping_add);
    sock::SackHint {
        nexthole: hint.nexthole.and_then(|n| u32::try_from(n).ok()),
        sack_bytes_rexmit: hint.sack_bytes_rexmit,
        last_sack_ack: seq(hint.last_sack_ack),
        delivered_data: hint.delivered_data,
        sacked_bytes: hint.sacked_bytes,
        recover_fs: hint.recover_fs,
        prr_delivered: hint.prr_delivered as u32,
        prr_out: hint.prr_out as u32,
        hole_bytes: missing as i32,
        lost_bytes: hint.lost_bytes,
    }
}

pub(super) fn from_hint(record: &sock::SackHint) -> SackHint {
    SackHint {
        nexthole: record.nexthole.and_then(|n| usize::try_from(n).ok()),
        sack_bytes_rexmit: record.sack_bytes_rexmit,
        last_sack_ack: from_seq(record.last_sack_ack),
        delivered_data: record.delivered_data,
        sacked_bytes: record.sacked_bytes,
        recover_fs: record.recover_fs,
        prr_delivered: record.prr_delivered as i32,
        prr_out: record.prr_out as i32,
        lost_bytes: record.lost_bytes,
    }
}

pub(super) fn scoreboard(
    tp: &Tcpcb,
) -> Result<(List<sock::SackHole>, List<sock::SackBlk>), Unmovable> {
    let mut holes = List::new();
    for hole in &tp.snd_holes {
        holes.push(sock::SackHole {
            start: seq(hole.start),
            end: seq(hole.end),
            rxmit: seq(hole.rxmit),
        })?;
    }
    let mut blocks = List::new();
    for block in tp.sackblks.iter().take(tp.rcv_numsacks) {
        blocks.push(sock::SackBlk {
            start: seq(block.start),
            end: seq(block.end),
        })?;
    }
    Ok((holes, blocks))
}

/// The reassembly queue: its records, and its bytes one entry after the other. A run is cut behind
/// each byte that was taken out as urgent data.
pub(super) fn segq(queue: &Segq) -> Result<(List<sock::Tseg>, Vec<u8>), Unmovable> {
    let (mut list, mut bytes) = (List::new(), Vec::new());
    for entry in &queue.entries {
        let whole = u32::try_from(entry.text.len()).map_err(|_| Unmovable::NoMemory)?;
        let (mut start, end) = (entry.start, entry.start + whole);
        for cut in entry
            .oob
            .iter()
            .map(|at| *at + 1)
            .filter(|cut| cut.leq(end))
        {
            list.push(sock::Tseg {
                tqe_start: seq(start),
                tqe_len: cut - start,
                tqe_flags: TH_URG | if cut == end && entry.fin { TH_FIN } else { 0 },
            })?;
            start = cut;
        }
        if start != end || entry.text.is_empty() {
            list.push(sock::Tseg {
                tqe_start: seq(start),
                tqe_len: end - start,
                tqe_flags: if entry.fin { TH_FIN } else { 0 },
            })?;
        }
        bytes.extend_from_slice(&entry.text);
    }
    Ok((list, bytes))
}

pub(super) fn from_segq(record: &sock::Tcpcb, mut bytes: &[u8]) -> Result<Segq, Unfit> {
    let mut entries: Vec<SegqEntry> = Vec::new();
    for seg in &record.t_segq {
        let len = usize::try_from(seg.tqe_len).map_err(|_| Unfit::Stream)?;
        let (text, rest) = bytes.split_at_checked(len).ok_or(Unfit::Stream)?;
        bytes = rest;
        let fin = seg.tqe_flags & TH_FIN != 0;
        let start = from_seq(seg.tqe_start);
        let oob = (seg.tqe_flags & TH_URG != 0 && len > 0).then(|| start + (seg.tqe_len - 1));
        // This kernel merges what touches, and queues nothing behind a FIN; others keep the segments.
        match entries.last_mut() {
            Some(last) if last.fin => return Err(Unfit::Queue),
            Some(last) if last.start + last.text.len() as u32 == start => {
                last.text.extend_from_slice(text);
                last.fin = fin;
                last.oob.extend(oob);
            }
            _ if text.is_empty() && !fin => return Err(Unfit::Queue),
            _ => entries.push(SegqEntry {
                start,
                text: text.to_vec(),
                fin,
                oob: oob.into_iter().collect(),
            }),
        }
    }
    Ok(Segq { entries })
}
