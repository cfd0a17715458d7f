// SPDX-License-Identifier: BSD-2-Clause
//! Writing an image, in one pass.

use super::order::Order;
use super::pages::{PageForm, PageWindow, is_zero};
use super::schema::ImageRecord;
use super::{
    DATA, END, FRAME_HEADER_LEN, Fault, Header, PAGE_SIZE, PAGES, PAGES_HEADER_LEN, Ref, Trailer,
};
use crate::cbor::{Breach, Encoder, Schema};
use crate::collections::{List, NoMemory};
use crate::crc32c::Crc32c;
use crate::limits::{FRAME_DATA_MAX, FRAME_META_MAX};
use crate::sha256::{Digest, Sha256};

/// Where an image goes: a file, a socket, a list of bytes.
pub trait Sink {
    /// Why bytes cannot go there.
    type Error;

    /// Takes all of `bytes`.
    ///
    /// # Errors
    /// The sink's own.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl Sink for List<u8> {
    type Error = NoMemory;

    fn write(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        self.extend(bytes)
    }
}

/// Why writing an image stopped. What went to the sink is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError<E> {
    /// The sink refused.
    Sink(E),
    /// There was no memory.
    NoMemory,
    /// The caller broke the order of an image, or wrote a page or stream that its object lacks.
    Order(Fault),
    /// The record, or one in it, describes a state that no kernel could be in: what wrote it is wrong, or
    /// the schema is.
    Invalid(Breach),
    /// The record is too long for a frame.
    TooLong(&'static Schema),
}

impl<E> From<NoMemory> for WriteError<E> {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Writes an image to a [`Sink`]. Records come in the order of [`KINDS`](super::KINDS); pages and
/// streams follow the object that they belong to. After an error the writer is of no use.
#[derive(Debug)]
pub struct Writer<S, D = Sha256> {
    sink: S,
    order: Order,
    window: PageWindow,
    digest: D,
    totals: Trailer,
    scratch: List<u8>,
    /// Bytes of a stream that do not fill a frame yet.
    pending: List<u8>,
    /// Zero pages not written yet: the first, and how many.
    zeros: Option<(u64, u32)>,
}

impl<S: Sink> Writer<S> {
    /// Begins an image.
    ///
    /// # Errors
    /// The sink's.
    pub fn new(sink: S, header: &Header) -> Result<Self, WriteError<S::Error>> {
        Self::with_digest(sink, header, Sha256::new())
    }
}

impl<S: Sink, D: Digest> Writer<S, D> {
    /// Begins an image, with somebody else's digest of nothing yet.
    ///
    /// # Errors
    /// The sink's.
    pub fn with_digest(sink: S, header: &Header, digest: D) -> Result<Self, WriteError<S::Error>> {
        let mut writer = Self {
            sink,
            order: Order::new(),
            window: PageWindow::default(),
            digest,
            totals: Trailer::default(),
            scratch: List::new(),
            pending: List::new(),
            zeros: None,
        };
        writer.emit(&header.encode())?;
        Ok(writer)
    }

    /// Writes a record; its number is what later records refer to it by. A record that belongs to
    /// another object (a thread, a mapping) has that object's number.
    ///
    /// # Errors
    /// [`WriteError::Order`] where it may not stand here, [`WriteError::Invalid`].
    pub fn object<R: ImageRecord>(&mut self, record: &R) -> Result<u32, WriteError<S::Error>> {
        self.flush_zeros()?;
        record.valid().map_err(WriteError::Invalid)?;
        let id = self.order.place(R::KIND).map_err(WriteError::Order)?;
        // The record is encoded behind the room of its frame's header, so that both go as one piece.
        let mut frame = core::mem::take(&mut self.scratch);
        frame.clear();
        frame.extend(&[0; FRAME_HEADER_LEN])?;
        record.encode(&mut Encoder::new(&mut frame))?;
        let parts = frame.as_mut_slice().split_first_chunk_mut();
        let (header, payload) = parts.ok_or(WriteError::NoMemory)?;
        match u32::try_from(payload.len()) {
            Ok(length) if length <= FRAME_META_MAX => {}
            _ => return Err(WriteError::TooLong(R::SCHEMA)),
        }
        *header = frame_header::<D>(R::KIND, id, &[], payload);
        let summary = record.summary();
        self.order
            .add(R::KIND, summary)
            .map_err(WriteError::Order)?;
        self.emit(frame.as_slice())?;
        self.totals.frames = self.totals.frames.saturating_add(1);
        self.scratch = frame;
        Ok(id)
    }

    /// [`Writer::object`], with the reference to the record.
    ///
    /// # Errors
    /// As there.
    pub fn put<R: ImageRecord, const K: u16>(
        &mut self,
        record: &R,
    ) -> Result<Ref<K>, WriteError<S::Error>> {
        const { assert!(R::KIND == K, "a reference has the kind of its record") };
        self.object(record).map(Ref::new)
    }

    /// Writes a page of the memory object written last, the first being 0; pages come in order.
    ///
    /// # Errors
    /// [`WriteError::Order`] where the object has no such page, or that place has passed.
    pub fn page(
        &mut self,
        pindex: u64,
        page: &[u8; PAGE_SIZE],
    ) -> Result<(), WriteError<S::Error>> {
        if is_zero(page) {
            return self.zero_page(pindex);
        }
        self.flush_zeros()?;
        let placed = self.order.pages(pindex, 1, false);
        placed.map_err(WriteError::Order)?;
        match self.window.find(page) {
            Some(distance) => self.page_frame(pindex, PageForm::Copy(distance), &[]),
            None => {
                self.window.push(page)?;
                self.totals.pages = self.totals.pages.saturating_add(1);
                self.page_frame(pindex, PageForm::Raw, page)
            }
        }
    }

    /// Writes bytes of a stream of the object written last. A stream may come in pieces; it must
    /// come whole, and streams come in order.
    ///
    /// # Errors
    /// [`WriteError::Order`] where they are more than the object says, or of a stream not due.
    pub fn stream(&mut self, stream: u32, bytes: &[u8]) -> Result<(), WriteError<S::Error>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = self.order.stream_left(stream);
            let left = *left.map_err(WriteError::Order)?;
            let whole = usize::try_from(left.min(u64::from(FRAME_DATA_MAX))).unwrap_or(usize::MAX);
            let room = whole.saturating_sub(self.pending.len());
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.pending.extend(now)?;
            rest = later;
            if self.pending.len() >= whole {
                let placed = self.order.data(stream, self.pending.len());
                placed.map_err(WriteError::Order)?;
                let payload = core::mem::take(&mut self.pending);
                let id = self.order.objects();
                self.frame(DATA, id, &stream.to_le_bytes(), payload.as_slice())?;
                self.pending = payload;
                self.pending.clear();
            }
        }
        Ok(())
    }

    /// Ends the image and gives the sink back.
    ///
    /// # Errors
    /// [`WriteError::Order`] where something is missing.
    pub fn finish(mut self) -> Result<S, WriteError<S::Error>> {
        self.flush_zeros()?;
        self.order.complete().map_err(WriteError::Order)?;
        let mut trailer = self.totals;
        trailer.objects = u64::from(self.order.objects());
        let mut digest = self.digest.clone();
        digest.update(&trailer.totals());
        trailer.digest = digest.finish();
        self.frame(END, 0, &[], &trailer.encode())?;
        Ok(self.sink)
    }

    /// Adds a zero page to the run at the end, or begins a run with it.
    fn zero_page(&mut self, pindex: u64) -> Result<(), WriteError<S::Error>> {
        if let Some((first, count)) = self.zeros
            && first.checked_add(u64::from(count)) == Some(pindex)
            && count < u32::MAX
        {
            self.zeros = Some((first, count.saturating_add(1)));
            return Ok(());
        }
        self.flush_zeros()?;
        self.zeros = Some((pindex, 1));
        Ok(())
    }

    fn flush_zeros(&mut self) -> Result<(), WriteError<S::Error>> {
        let Some((first, count)) = self.zeros.take() else {
            return Ok(());
        };
        let placed = self.order.pages(first, count, true);
        placed.map_err(WriteError::Order)?;
        self.page_frame(first, PageForm::Zero(count), &[])
    }

    fn page_frame(
        &mut self,
        pindex: u64,
        form: PageForm,
        page: &[u8],
    ) -> Result<(), WriteError<S::Error>> {
        let (form, argument) = form.encode();
        let mut front = [0; PAGES_HEADER_LEN];
        let fields = pindex
            .to_le_bytes()
            .into_iter()
            .chain(form.to_le_bytes())
            .chain(argument.to_le_bytes());
        for (to, from) in front.iter_mut().zip(fields) {
            *to = from;
        }
        self.frame(PAGES, self.order.objects(), &front, page)
    }

    fn frame(
        &mut self,
        kind: u16,
        id: u32,
        front: &[u8],
        payload: &[u8],
    ) -> Result<(), WriteError<S::Error>> {
        self.emit(&frame_header::<D>(kind, id, front, payload))?;
        self.emit(front)?;
        self.emit(payload)?;
        self.totals.frames = self.totals.frames.saturating_add(1);
        Ok(())
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), WriteError<S::Error>> {
        self.digest.update(bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.totals.bytes = self.totals.bytes.saturating_add(length);
        self.sink.write(bytes).map_err(WriteError::Sink)
    }
}

/// The header of a frame that holds `front` and then `payload`.
fn frame_header<D: Digest>(
    kind: u16,
    id: u32,
    front: &[u8],
    payload: &[u8],
) -> [u8; FRAME_HEADER_LEN] {
    let length = front.len().saturating_add(payload.len());
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut header = [0; FRAME_HEADER_LEN];
    let fields = kind
        .to_le_bytes()
        .into_iter()
        .chain([0; 2])
        .chain(id.to_le_bytes())
        .chain(length.to_le_bytes());
    for (to, from) in header.iter_mut().zip(fields) {
        *to = from;
    }
    if let Some((fields, check)) = header.split_last_chunk_mut::<4>() {
        let parts: [&[u8]; 3] = [fields, front, payload];
        let crc = parts.into_iter().fold(Crc32c::new(), D::crc32c);
        *check = crc.value().to_le_bytes();
    }
    header
}
