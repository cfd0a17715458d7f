// SPDX-License-Identifier: BSD-2-Clause
//! Messages as frames between the hosts' network cards.

use super::Side;
use crate::net::ether::{EtherHeader, MacAddr};
use crate::world::World;
use vpscore::crc32c::crc32c;
use vpscore::migrate::source::Source;
use vpscore::migrate::{Chunk, Message};

/// Ethertype of the messages: IEEE 802's for experiments at one place.
pub(super) const ETHERTYPE: u16 = 0x88b5;

impl World {
    pub(super) fn send_chunks(&mut self, index: usize, first: u64, count: u64) {
        for seq in first..first.saturating_add(count) {
            let Some(mv) = self.moves.get_mut(index) else {
                return;
            };
            let bytes = usize::try_from(seq)
                .ok()
                .and_then(|i| mv.stream.get(i))
                .cloned();
            let attempt = mv.source.as_ref().and_then(Source::attempt);
            let (Some(bytes), Some(attempt)) = (bytes, attempt) else {
                return;
            };
            mv.chunks_sent += 1;
            mv.handed = mv.handed.max(usize::try_from(seq).map_or(0, |seq| seq + 1));
            let chunk = Chunk {
                migration: mv.id,
                seq,
                bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                attempt,
            };
            self.send_message(index, Side::Source, &Message::Chunk(chunk), &bytes);
        }
    }

    pub(super) fn send_message(
        &mut self,
        index: usize,
        side: Side,
        message: &Message,
        bytes: &[u8],
    ) {
        let Some(mv) = self.moves.get_mut(index) else {
            return;
        };
        if let (Side::Source, Message::Final(last)) = (side, message) {
            mv.digest = Some(last.digest);
        }
        let (from, to) = match side {
            Side::Source => (mv.from, mv.to),
            Side::Target => (mv.to, mv.from),
        };
        let mac = |host: usize| self.hosts.get(host).map(|machine| machine.mac);
        let (Some(src), Some(dst), Some(payload)) = (mac(from), mac(to), pack(message, bytes))
        else {
            return;
        };
        self.send(from, vec![frame(src, dst, &payload)]);
    }
}

fn frame(src: MacAddr, dst: MacAddr, payload: &[u8]) -> Vec<u8> {
    EtherHeader {
        dst,
        src,
        kind: ETHERTYPE,
    }
    .emit(payload)
}

/// CRC-32C over the rest, length of the message, the message, length of the bytes, the bytes.
fn pack(message: &Message, bytes: &[u8]) -> Option<Vec<u8>> {
    let message = message.write().ok()?;
    let mut body = Vec::new();
    body.extend_from_slice(&u16::try_from(message.len()).ok()?.to_be_bytes());
    body.extend_from_slice(message.as_slice());
    body.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
    body.extend_from_slice(bytes);
    let mut payload = crc32c(&body).to_be_bytes().to_vec();
    payload.extend_from_slice(&body);
    Some(payload)
}

/// Undoes [`pack`]; Ethernet may have padded the end.
pub(super) fn unpack(payload: &[u8]) -> Option<(Message, &[u8])> {
    let (sum, body) = payload.split_first_chunk::<4>()?;
    let take = |from: &mut &[u8]| -> Option<usize> {
        let (length, rest) = from.split_first_chunk::<2>()?;
        *from = rest;
        Some(usize::from(u16::from_be_bytes(*length)))
    };
    let mut rest = body;
    let length = take(&mut rest)?;
    let (message, after) = rest.split_at_checked(length)?;
    let mut rest = after;
    let length = take(&mut rest)?;
    let (bytes, padding) = rest.split_at_checked(length)?;
    let used = body.len() - padding.len();
    if crc32c(&body[..used]) != u32::from_be_bytes(*sum) {
        return None;
    }
    Some((Message::read(message).ok()?, bytes))
}
