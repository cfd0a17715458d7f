// SPDX-License-Identifier: BSD-2-Clause
//! The snapshot image: instances, with all that runs in them, as bytes (`docs/image-format.md`).
//!
//! An image is written in one pass and read in one pass, in bounded memory, by machines that trust
//! neither each other nor the wire. It has one encoding per state, so that equal states can be told
//! by equal bytes, and what is read and written again stays the same.
//!
//! ```text
//! ┌────────┬───────┬───────┬─    ─┬───────┬─────────┐   frame: kind, flags, object, length, CRC-32C,
//! │ header │ frame │ frame │  ...  │ frame │ trailer │          payload
//! └────────┴───────┴───────┴─    ─┴───────┴─────────┘
//! ```
//! A frame holds one record (deterministic CBOR), or bytes of a page or stream of the object before
//! it. Kinds come in the order of [`KINDS`], which is the order of restore; objects are numbered
//! from 1 in the order of the image; a reference names an object that came before.
//!
//! # Invariants
//! * I1: what [`Reader`] accepts, [`Writer`] writes again byte for byte, unless it holds keys or
//!   kinds that this version skips.
//! * I2: each side holds one frame, one window of pages, and a byte per instance; no more.
//! * I3: no event is given out before the checksum of its frame has been compared; but only the
//!   trailer vouches for the whole, so a restore commits after [`Event::End`] and not before.
//!
//! # What is checked where
//! The reader refuses what can be seen in one pass: encoding, order, references, each record by
//! itself, pages and streams against their object, mappings against their address space, threads
//! against their process. Whether numbers are unique, limits fit the parent and names are free is
//! for the modules that own these to say when the objects are restored.
//!
//! # Failure
//! [`Error`] names the offset, the frame and, in a record, the field. After an error the reader gives
//! nothing more.

mod error;
mod header;
mod kind;
mod order;
mod pages;
mod reader;
pub mod schema;
mod writer;

pub use error::{Error, Fault};
pub use header::{FEATURES, Header, MAGIC, Trailer, VERSION, features};
pub use kind::{
    AnyRef, DATA, END, FILE, FILEDESC, FileRef, FiledescRef, IFNET, IN_FLIGHT, INFO, INSTANCE,
    IfnetRef, InstanceRef, KINDS, KindInfo, LLENTRY, OPTIONAL_KINDS, PAGES, PGRP, PIPE, PROC,
    PgrpRef, PipeRef, ProcRef, ROUTE, Ref, SESSION, SIGACTS, SOCKET, SYNCACHE, SessionRef,
    SigactsRef, SocketRef, TCP_VNET, THREAD, UCRED, UcredRef, VM_MAP_ENTRY, VM_OBJECT, VMSPACE,
    VNET, VmObjectRef, VmspaceRef, VnetRef, kind_info,
};
pub use reader::{Event, Reader};
pub use schema::{ImageRecord, Object};
pub use writer::{Sink, WriteError, Writer};

/// Bytes in a page of an image.
pub const PAGE_SIZE: usize = 4096;
/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 48;
/// Bytes before the payload of a frame.
pub const FRAME_HEADER_LEN: usize = 16;
/// Bytes in the payload of the trailer.
pub const TRAILER_LEN: usize = 64;
/// Bytes before the page in a frame of [`PAGES`].
pub const PAGES_HEADER_LEN: usize = 16;
/// Bytes before the data in a frame of [`DATA`].
pub const DATA_HEADER_LEN: usize = 4;
