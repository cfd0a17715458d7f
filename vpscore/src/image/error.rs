// SPDX-License-Identifier: BSD-2-Clause
//! Why an image was refused.

use crate::cbor;
use crate::collections::NoMemory;
use crate::errno::Errno;
use core::fmt;

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin as an image does.
    Magic,
    /// Its format version is not [`VERSION`](super::VERSION).
    Version(u16),
    /// The header's checksum does not match.
    HeaderCrc,
    /// A field of the header has a value that this version does not know.
    HeaderField,
    /// It needs features, by their bits, that this version does not have.
    Features(u64),
    /// A frame has flags, which none has.
    FrameFlags(u16),
    /// A frame is longer or shorter than its kind may be.
    FrameLength(u32),
    /// A frame's checksum does not match.
    FrameCrc,
    /// A kind that may not be skipped is not known.
    UnknownKind,
    /// A frame comes after one that belongs behind it.
    KindOrder,
    /// A frame does not follow the object that it belongs to.
    Owner,
    /// An object is not numbered by its place.
    ObjectId,
    /// A kind comes less often than it must, or more often than it may.
    KindCount(u16),
    /// A page lies outside its object, out of order, or is not in its one encoding.
    Page,
    /// A stream's bytes are more, fewer, or cut otherwise than its object says.
    Stream,
    /// A mapping overlaps the one before it or leaves its address space.
    Mapping,
    /// A zombie has a thread, or a process that lives has none.
    Threads,
    /// Only the first instance has no parent in the image.
    InstanceTree,
    /// A thread has another number of numbers than its process.
    Levels,
    /// The totals of the trailer are not those counted.
    Totals,
    /// The digest of the trailer is not that of the image.
    Digest,
    /// Bytes follow the trailer.
    Trailing,
    /// The image ends before its trailer.
    Truncated,
    /// A record is wrong.
    Record(cbor::Error),
    /// The reader had no memory; the image is not at fault.
    NoMemory,
}

impl From<NoMemory> for Fault {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Why an image was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub fault: Fault,
    /// Offset of the frame (or of the header) in the image; a record's own offset counts from the
    /// frame's payload.
    pub offset: u64,
    /// The kind of the frame; 0 in the header.
    pub kind: u16,
    /// The object of the frame.
    pub object: u32,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Record(error) => write!(f, "{error}")?,
            fault => write!(f, "{fault:?}")?,
        }
        let name = super::kind_info(self.kind).map_or("frame", |info| info.name);
        write!(
            f,
            " ({name} {:#x}, object {}, image offset {})",
            self.kind, self.object, self.offset
        )
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error.fault {
            Fault::NoMemory => Self::ENOMEM,
            Fault::Record(record) => record.into(),
            // Not hostile, but more than this version can do.
            Fault::Version(_) | Fault::Features(_) | Fault::UnknownKind => Self::EOPNOTSUPP,
            Fault::Magic
            | Fault::HeaderCrc
            | Fault::HeaderField
            | Fault::FrameFlags(_)
            | Fault::FrameLength(_)
            | Fault::FrameCrc
            | Fault::KindOrder
            | Fault::Owner
            | Fault::ObjectId
            | Fault::KindCount(_)
            | Fault::Page
            | Fault::Stream
            | Fault::Mapping
            | Fault::Threads
            | Fault::InstanceTree
            | Fault::Levels
            | Fault::Totals
            | Fault::Digest
            | Fault::Trailing
            | Fault::Truncated => Self::EINVAL,
        }
    }
}
