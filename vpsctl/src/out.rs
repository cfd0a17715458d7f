// SPDX-License-Identifier: BSD-2-Clause
//! Output to a descriptor, a line at a time.

use core::fmt::{self, Write};

use crate::sys;

/// A descriptor to write to. Bytes gather in a buffer, so that a line is one `write(2)`.
pub struct Out {
    fd: i32,
    buffer: [u8; 512],
    len: usize,
}

impl Out {
    /// Writes to `fd`.
    pub const fn new(fd: i32) -> Self {
        Self {
            fd,
            buffer: [0; 512],
            len: 0,
        }
    }

    fn flush(&mut self) {
        let mut from = 0;
        while let Some(rest) = self.buffer.get(from..self.len).filter(|r| !r.is_empty()) {
            match sys::write(self.fd, rest) {
                Ok(n) => from += n,
                Err(_) => break,
            }
        }
        self.len = 0;
    }
}

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {{
        let mut out = $crate::out::Out::new(1);
        let _ = core::fmt::Write::write_fmt(&mut out, format_args!($($arg)*));
        let _ = core::fmt::Write::write_str(&mut out, "\n");
    }};
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! complain {
    ($($arg:tt)*) => {{
        let mut out = $crate::out::Out::new(2);
        let _ = core::fmt::Write::write_fmt(&mut out, format_args!($($arg)*));
        let _ = core::fmt::Write::write_str(&mut out, "\n");
    }};
}
