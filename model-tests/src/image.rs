// SPDX-License-Identifier: BSD-2-Clause
//! The image's reading and writing as values, and samples of what it holds.

mod records;
mod sample;

pub use records::{
    HEADER, ProcRefs, inpcb, instance, proc, sockbuf, socket, syncache, tcpcb, thread,
};
pub use sample::sample;

use sim::join::digest::image_writer;
use vpscore::collections::List;
use vpscore::image::{
    Error, Event, Header, Object, PAGE_SIZE, Reader, Sink, Trailer, WriteError, Writer,
};
use vpscore::sha256::Digest;

/// What an image holds, with each event as a value of its own.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The header.
    Header(Header),
    /// A record with its number.
    Object(u32, Box<Object>),
    /// A page of an object.
    Page(u32, u64, Box<[u8; PAGE_SIZE]>),
    /// So many pages of zeros of an object.
    Zeros(u32, u64, u32),
    /// Bytes of a stream of an object.
    Data(u32, u32, Vec<u8>),
    /// A kind skipped.
    Skipped(u16),
    /// The trailer.
    End(Trailer),
}

impl From<Event<'_>> for Item {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Header(header) => Self::Header(header),
            Event::Object { id, object } => Self::Object(id, Box::new(object)),
            Event::Page {
                object,
                pindex,
                bytes,
            } => Self::Page(object, pindex, Box::new(*bytes)),
            Event::Zeros {
                object,
                pindex,
                count,
            } => Self::Zeros(object, pindex, count),
            Event::Data {
                object,
                stream,
                bytes,
            } => Self::Data(object, stream, bytes.to_vec()),
            Event::Skipped { kind } => Self::Skipped(kind),
            Event::End(trailer) => Self::End(trailer),
        }
    }
}

/// Reads a whole image, given to the reader in pieces of `piece` bytes.
///
/// # Errors
/// The reader's.
pub fn read(image: &[u8], piece: usize) -> Result<Vec<Item>, Error> {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    for chunk in image.chunks(piece.max(1)) {
        let mut input = chunk;
        while let Some(event) = reader.feed(&mut input)? {
            items.push(Item::from(event));
        }
    }
    reader.finish()?;
    Ok(items)
}

/// Writes what was read as an image again. Items that were skipped are lost.
///
/// # Errors
/// The writer's.
///
/// # Panics
/// Where the items do not begin with a header.
pub fn write(items: &[Item]) -> Result<Vec<u8>, WriteError<vpscore::collections::NoMemory>> {
    let Some(Item::Header(header)) = items.first() else {
        panic!("an image begins with its header");
    };
    let mut writer = image_writer(header)?;
    for item in &items[1..] {
        match item {
            Item::Header(_) | Item::Skipped(_) | Item::End(_) => {}
            Item::Object(_, object) => {
                put(&mut writer, object)?;
            }
            Item::Page(_, pindex, bytes) => writer.page(*pindex, bytes)?,
            Item::Zeros(_, pindex, count) => {
                for n in 0..u64::from(*count) {
                    writer.page(pindex + n, &[0; PAGE_SIZE])?;
                }
            }
            Item::Data(_, stream, bytes) => writer.stream(*stream, bytes)?,
        }
    }
    writer.finish().map(|list| list.as_slice().to_vec())
}

/// Writes one object, whatever it is.
///
/// # Errors
/// The writer's.
pub fn put<S: Sink, D: Digest>(
    writer: &mut Writer<S, D>,
    object: &Object,
) -> Result<u32, WriteError<S::Error>> {
    match object {
        Object::Info(r) => writer.object(r),
        Object::Instance(r) => writer.object(r),
        Object::Vnet(r) => writer.object(r),
        Object::Ifnet(r) => writer.object(r),
        Object::Route(r) => writer.object(r),
        Object::Llentry(r) => writer.object(r),
        Object::TcpVnet(r) => writer.object(r),
        Object::Ucred(r) => writer.object(r),
        Object::VmObject(r) => writer.object(r),
        Object::Vmspace(r) => writer.object(r),
        Object::VmMapEntry(r) => writer.object(r),
        Object::Pipe(r) => writer.object(r),
        Object::Socket(r) => writer.object(r),
        Object::Syncache(r) => writer.object(r),
        Object::File(r) => writer.object(r),
        Object::Filedesc(r) => writer.object(r),
        Object::InFlight(r) => writer.object(r),
        Object::Sigacts(r) => writer.object(r),
        Object::Session(r) => writer.object(r),
        Object::Pgrp(r) => writer.object(r),
        Object::Proc(r) => writer.object(r),
        Object::Thread(r) => writer.object(r),
    }
}

/// A list of these items.
///
/// # Panics
/// Where memory is short.
pub fn list<T>(items: impl IntoIterator<Item = T>) -> List<T> {
    let mut list = List::new();
    for item in items {
        list.push(item).expect("memory");
    }
    list
}

/// An image in words: one line per frame, with its offset, and the record beneath it.
///
/// # Errors
/// The reader's.
pub fn diagnostic(image: &[u8]) -> Result<String, Error> {
    use std::fmt::Write;
    let mut out = String::new();
    for item in read(image, usize::MAX)? {
        let line = match item {
            Item::Header(header) => format!("header {header:?}"),
            Item::Object(id, object) => format!("object {id}: {object:#?}"),
            Item::Page(id, pindex, bytes) => {
                format!("page {pindex} of {id}: {:#04x}...", bytes[0])
            }
            Item::Zeros(id, pindex, count) => format!("zeros {pindex}+{count} of {id}"),
            Item::Data(id, stream, bytes) => {
                format!("stream {stream} of {id}: {} bytes", bytes.len())
            }
            Item::Skipped(kind) => format!("skipped {kind:#06x}"),
            Item::End(t) => format!(
                "end: {} objects, {} frames, {} pages, {} bytes",
                t.objects, t.frames, t.pages, t.bytes
            ),
        };
        writeln!(out, "{line}").expect("string");
    }
    Ok(out)
}
