// SPDX-License-Identifier: BSD-2-Clause
//! Socket buffers: the bytes or datagrams between a program and its transport.
//!
//! Bytes are kept in chunks as they came, so that a segment's text is taken over without a copy and
//! dropping acknowledged data moves nothing. Where the chunks end is not observable.
//!
//! - I1: [`Bytes::len`] is the sum of the chunks; no chunk is empty.
//! - I2: limits are the caller's to check ([`Sockbuf::space`]), as in `sys/kern/uipc_sockbuf.c`
//!   (15.0): a peer's segment that was accepted is never cut here.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::time::Duration;

/// `SBS_CANTSENDMORE`: no more may be written (`sys/sockbuf.h`).
pub const SBS_CANTSENDMORE: u16 = 0x0010;
/// `SBS_CANTRCVMORE`: no more will arrive.
pub const SBS_CANTRCVMORE: u16 = 0x0020;
/// `SBS_RCVATMARK`: the next byte is the one at the out-of-band mark.
pub const SBS_RCVATMARK: u16 = 0x0040;
/// `SB_AUTOSIZE`: the transport may grow the buffer.
pub const SB_AUTOSIZE: u16 = 0x0800;

/// Appended bytes are gathered in chunks of at least this size.
const CHUNK: usize = 2048;
/// Received text up to this size is copied behind the last chunk instead of being kept as it is.
const COPY_BELOW: usize = 512;

/// A queue of bytes.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    chunks: VecDeque<Chunk>,
    len: usize,
    /// Index of a chunk and the offset at which it starts (`sb_sndptr`): where the last copy ended.
    hint: (usize, usize),
}

#[derive(Clone, Debug)]
struct Chunk {
    buf: Vec<u8>,
    start: usize,
}

impl Chunk {
    fn live(&self) -> &[u8] {
        &self.buf[self.start..]
    }
}

/// Equal bytes are equal, however they are chunked.
impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.to_vec() == other.to_vec()
    }
}

impl Eq for Bytes {}

impl Bytes {
    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of `data`.
    pub fn extend(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.len += data.len();
        let mut rest = data;
        if let Some(last) = self.chunks.back_mut() {
            let room = last.buf.capacity() - last.buf.len();
            let (fits, more) = rest.split_at(room.min(rest.len()));
            last.buf.extend_from_slice(fits);
            rest = more;
        }
        if !rest.is_empty() {
            let mut buf = Vec::with_capacity(rest.len().max(CHUNK));
            buf.extend_from_slice(rest);
            self.chunks.push_back(Chunk { buf, start: 0 });
        }
    }

    /// Appends `buf[start..]`, taking the buffer over where that pays.
    pub fn append(&mut self, buf: Vec<u8>, start: usize) {
        let len = buf.len().saturating_sub(start);
        if len <= COPY_BELOW {
            self.extend(&buf[buf.len() - len..]);
        } else {
            self.len += len;
            self.chunks.push_back(Chunk { buf, start });
        }
    }

    /// Removes up to `n` bytes from the front.
    pub fn drop_front(&mut self, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        let dropped = left;
        let mut popped = 0;
        while let Some(first) = self.chunks.front_mut() {
            let live = first.buf.len() - first.start;
            if left < live {
                first.start += left;
                break;
            }
            left -= live;
            self.chunks.pop_front();
            popped += 1;
        }
        let (index, offset) = self.hint;
        self.hint = if index > popped {
            (index - popped, offset - dropped)
        } else {
            (0, 0)
        };
    }

    /// Copies `len` bytes from `offset` on to the end of `out`; stops at the end of the queue.
    pub fn copy_out(&mut self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let (mut index, mut at) = if self.hint.1 <= offset {
            self.hint
        } else {
            (0, 0)
        };
        let mut left = len;
        let mut skip = offset - at;
        while left > 0 {
            let Some(chunk) = self.chunks.get(index) else {
                break;
            };
            let live = chunk.live();
            if skip < live.len() {
                let take = left.min(live.len() - skip);
                out.extend_from_slice(&live[skip..skip + take]);
                left -= take;
                skip += take;
                if left == 0 {
                    break;
                }
            }
            skip -= live.len();
            at += live.len();
            index += 1;
        }
        self.hint = (index, at);
    }

    /// The first `len` bytes, copied, and removed unless `peek`.
    pub fn read(&mut self, len: usize, peek: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(len.min(self.len));
        self.copy_out(0, len, &mut out);
        if !peek {
            self.drop_front(out.len());
        }
        out
    }

    /// All bytes, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        for chunk in &self.chunks {
            all.extend_from_slice(chunk.live());
        }
        all
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A datagram in a buffer, with the address it came from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Source of a received datagram.
    pub from: SocketAddr,
    /// Its data.
    pub data: Vec<u8>,
    /// Ancillary data as (level, type, bytes).
    pub control: Vec<(i32, i32, Vec<u8>)>,
}

/// One direction's buffer (`struct sockbuf`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockbuf {
    /// `SBS_*`.
    pub(crate) sb_state: u16,
    /// `SB_*`.
    pub(crate) sb_flags: u16,
    /// Most bytes that should be held.
    pub(crate) sb_hiwat: u32,
    /// Fewest bytes (or bytes of space) for which a sleeper is woken.
    pub(crate) sb_lowat: u32,
    /// How long a call sleeps at most; zero is for ever.
    pub(crate) sb_timeo: Duration,
    /// Stream bytes.
    pub(crate) bytes: Bytes,
    /// Datagrams; `record_bytes` is their total size.
    pub(crate) records: VecDeque<Record>,
    pub(crate) record_bytes: u32,
}

impl Sockbuf {
    /// A buffer with this limit and FreeBSD's low-water mark (`soreserve`).
    pub(crate) fn reserve(hiwat: u32, lowat: u32) -> Self {
        Self {
            sb_hiwat: hiwat,
            sb_lowat: lowat.min(hiwat),
            ..Self::default()
        }
    }

    /// Bytes held (`sbused`, `sbavail`: nothing here is ever not ready).
    pub fn used(&self) -> u32 {
        self.bytes.len() as u32 + self.record_bytes
    }

    /// Room left; negative where more is held than the limit, as after the limit was lowered
    /// (`sbspace`).
    pub fn space(&self) -> i64 {
        i64::from(self.sb_hiwat) - i64::from(self.used())
    }

    /// True where the flags of `sb_state` include this one.
    pub fn state(&self, flag: u16) -> bool {
        self.sb_state & flag != 0
    }

    /// Throws away everything held (`sbflush`).
    pub(crate) fn flush(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.record_bytes = 0;
    }

    /// Appends a datagram; false, and nothing done, where it does not fit (`sbappendaddr`).
    pub fn append_record(&mut self, record: Record) -> bool {
        if i64::from(record.data.len() as u32) > self.space() {
            return false;
        }
        self.record_bytes += record.data.len() as u32;
        self.records.push_back(record);
        true
    }

    /// Takes the first datagram.
    pub fn pop_record(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.record_bytes -= record.data.len() as u32;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_behave_as_one_flat_queue() {
        let mut queue = Bytes::default();
        let mut model: Vec<u8> = Vec::new();
        let mut seed = 1_u32;
        for step in 0..2000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let n = (seed >> 16) as usize % 1500;
            let data: Vec<u8> = (0..n).map(|i| (i + step) as u8).collect();
            match seed >> 30 {
                0 => {
                    queue.extend(&data);
                    model.extend(&data);
                }
                1 => {
                    let start = n / 3;
                    model.extend(&data[start..]);
                    queue.append(data, start);
                }
                2 => {
                    queue.drop_front(n);
                    model.drain(..n.min(model.len()));
                }
                _ => {
                    let mut out = Vec::new();
                    let offset = n.min(model.len());
                    queue.copy_out(offset, 700, &mut out);
                    assert_eq!(out, model[offset..(offset + 700).min(model.len())]);
                }
            }
            assert_eq!(queue.len(), model.len());
        }
        assert_eq!(queue.to_vec(), model);
    }

    #[test]
    fn a_peek_leaves_what_a_read_takes() {
        let mut queue = Bytes::default();
        queue.extend(b"abc");
        assert_eq!(queue.read(2, true), b"ab");
        assert_eq!(queue.read(2, false), b"ab");
        assert_eq!(queue.read(2, false), b"c");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_datagram_that_does_not_fit_changes_nothing() {
        let mut sb = Sockbuf::reserve(10, 1);
        let record = |n| Record {
            from: SocketAddr::from(([127, 0, 0, 1], 9)),
            data: vec![0; n],
            control: Vec::new(),
        };
        assert!(sb.append_record(record(8)));
        assert!(!sb.append_record(record(3)));
        assert_eq!(sb.space(), 2);
        assert_eq!(sb.pop_record().map(|r| r.data.len()), Some(8));
        assert_eq!(sb.used(), 0);
    }
}
