// SPDX-License-Identifier: BSD-2-Clause
//! The ledger of one direction of a connection: what its writer handed over, what its reader got,
//! and how each found the end. From tcp(4), send(2), recv(2), shutdown(2), close(2) and RFC 9293.
//!
//! - I1: what is read is what was written, from the first byte on, in order, each byte once; only
//!   a byte sent as urgent may be missing, where it is not kept in line (RFC 6093).
//! - I2: the end of the stream is seen only after the writer has ended it and all of it was read.

/// Byte `n` of the stream that host `dir` writes; two neighbours are never equal.
pub fn byte(dir: usize, n: usize) -> u8 {
    (n.wrapping_mul(167) + (n >> 8).wrapping_mul(13) + dir * 85) as u8
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Bytes that the writer's calls took.
    pub written: usize,
    /// Where urgent bytes were written.
    urgent: Vec<usize>,
    /// The writer has ended the stream.
    pub ended: bool,
    /// Position of the reader in the stream.
    pub at: usize,
    /// Bytes that it got.
    pub read: usize,
    /// The reader has seen the end.
    pub eof: bool,
}

impl Ledger {
    /// The next `len` bytes to be written by host `dir`.
    pub fn next(&self, dir: usize, len: usize) -> Vec<u8> {
        (self.written..self.written + len)
            .map(|n| byte(dir, n))
            .collect()
    }

    /// A call took `n` bytes, of which the last is urgent if `urgent`.
    pub fn wrote(&mut self, n: usize, urgent: bool) {
        assert!(!self.ended || n == 0, "a write after the end of the stream");
        self.written += n;
        if urgent && n > 0 {
            self.urgent.push(self.written - 1);
        }
    }

    /// The reader got these bytes of host `dir`'s stream.
    pub fn got(&mut self, dir: usize, bytes: &[u8]) {
        for b in bytes {
            while *b != byte(dir, self.at) && self.urgent.contains(&self.at) {
                self.at += 1;
            }
            assert!(
                self.at < self.written,
                "more is read than the {} written",
                self.written
            );
            assert_eq!(*b, byte(dir, self.at), "another byte at {}", self.at);
            self.at += 1;
        }
        self.read += bytes.len();
    }

    /// The reader sees the end.
    pub fn end(&mut self) {
        while self.urgent.contains(&self.at) {
            self.at += 1;
        }
        assert!(
            self.ended,
            "the end of a stream that its writer has not ended"
        );
        assert_eq!(
            self.at, self.written,
            "the end of the stream before its last byte"
        );
        self.eof = true;
    }
}
