// SPDX-License-Identifier: BSD-2-Clause
//! Names of instances, and paths of names.
//!
//! A name is unique within the parent and is 1 to [`NAME_MAX`] printable ASCII bytes, without `.`
//! (which parts the levels) and `/` (a jail name becomes part of paths elsewhere).

use crate::errno::Errno;
use crate::limits::{MAXHOSTNAMELEN, NAME_MAX};

/// The name of one instance within its parent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    bytes: [u8; NAME_MAX],
    len: u8,
}

const _: () = assert!(NAME_MAX <= u8::MAX as usize);

/// Why a string is no name. Maps to `EINVAL`, a too long one to `ENAMETOOLONG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It has more than [`NAME_MAX`] bytes.
    TooLong {
        /// How many.
        len: usize,
    },
    /// It has a dot, a slash, a space, a control character or a byte beyond ASCII.
    BadByte {
        /// The first such byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
}

impl NameError {
    /// What the ioctl returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Empty | Self::BadByte { .. } => Errno::EINVAL,
            Self::TooLong { .. } => Errno::ENAMETOOLONG,
        }
    }
}

impl Name {
    /// vps0 has no name within a parent.
    pub(super) const HOST: Self = Self {
        bytes: [0; NAME_MAX],
        len: 0,
    };

    /// The name that `text` spells.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &[u8]) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong { len: text.len() });
        }
        let mut name = Self::HOST;
        for (at, (to, byte)) in name.bytes.iter_mut().zip(text).enumerate() {
            if !byte.is_ascii_graphic() || matches!(byte, b'.' | b'/') {
                return Err(NameError::BadByte { byte: *byte, at });
            }
            *to = *byte;
            name.len = name.len.saturating_add(1);
        }
        Ok(name)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The name as text; empty for vps0.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names joined by dots, from just below the viewer down; "." for the viewer itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path {
    bytes: [u8; MAXHOSTNAMELEN],
    start: u16,
}

impl Path {
    /// A path to which names are put in front, the lowest first.
    pub(super) const EMPTY: Self = Self {
        bytes: [0; MAXHOSTNAMELEN],
        start: MAXHOSTNAMELEN as u16,
    };

    /// Puts `name` in front. `DEPTH_MAX` names fit (`limits`); a further one is left out.
    pub(super) fn prepend(&mut self, name: &Name) {
        if usize::from(self.start) != MAXHOSTNAMELEN {
            self.prepend_bytes(b".");
        }
        self.prepend_bytes(name.as_bytes());
    }

    pub(super) fn prepend_bytes(&mut self, text: &[u8]) {
        for byte in text.iter().rev() {
            let Some(start) = self.start.checked_sub(1) else {
                return;
            };
            if let Some(to) = self.bytes.get_mut(usize::from(start)) {
                *to = *byte;
                self.start = start;
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.start as usize == MAXHOSTNAMELEN
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(usize::from(self.start)..).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

impl core::fmt::Debug for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
