// SPDX-License-Identifier: BSD-2-Clause
//! Reading an image as its bytes arrive.

use super::header::take;
use super::kind::{KINDS, OPTIONAL_KINDS};
use super::order::Order;
use super::pages::{PageForm, PageWindow, is_zero};
use super::{
    DATA, DATA_HEADER_LEN, END, Error, FRAME_HEADER_LEN, Fault, HEADER_LEN, Header, Object,
    PAGE_SIZE, PAGES, PAGES_HEADER_LEN, TRAILER_LEN, Trailer,
};
use crate::cbor::Decoder;
use crate::collections::List;
use crate::crc32c::Crc32c;
use crate::limits::{FRAME_DATA_MAX, FRAME_META_MAX};
use crate::sha256::{Digest, Sha256};

/// What the reader found.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Event<'r> {
    /// The header.
    Header(Header),
    /// A record.
    Object {
        /// Its number, or that of the object it belongs to.
        id: u32,
        /// The record.
        object: Object,
    },
    /// A page of memory.
    Page {
        /// The memory object.
        object: u32,
        /// Its place in it.
        pindex: u64,
        /// Its bytes.
        bytes: &'r [u8; PAGE_SIZE],
    },
    /// Pages of zeros.
    Zeros {
        /// The memory object.
        object: u32,
        /// The place of the first.
        pindex: u64,
        /// How many.
        count: u32,
    },
    /// Bytes of a stream.
    Data {
        /// The socket or pipe.
        object: u32,
        /// Which of its streams.
        stream: u32,
        /// The bytes, which follow those of the event before.
        bytes: &'r [u8],
    },
    /// A frame of a kind that this version does not know, and may skip.
    Skipped {
        /// Its kind.
        kind: u16,
    },
    /// The trailer: the image is whole.
    End(Trailer),
}

/// What the bytes being gathered are.
#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    FrameHeader,
    Payload(Frame),
    Ended,
    Failed(Error),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: u16,
    id: u32,
    length: u32,
    crc: u32,
    /// Of the frame's header, over which the payload's goes on.
    running: Crc32c,
}

/// Reads an image from pieces of any size.
#[derive(Debug)]
pub struct Reader<D = Sha256> {
    state: State,
    order: Order,
    window: PageWindow,
    digest: D,
    totals: Trailer,
    /// The bytes gathered of what `state` says.
    held: List<u8>,
    /// Whether these have been given out, and are to be dropped.
    given: bool,
    /// Where in the image they begin.
    offset: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader at the start of an image. Allocates nothing yet.
    pub const fn new() -> Self {
        Self::with_digest(Sha256::new())
    }
}

impl<D> Reader<D> {
    /// A reader at the start of an image, with somebody else's digest of nothing yet.
    pub const fn with_digest(digest: D) -> Self {
        Self {
            state: State::Header,
            order: Order::new(),
            window: PageWindow::new(),
            digest,
            totals: Trailer {
                objects: 0,
                frames: 0,
                pages: 0,
                bytes: 0,
                digest: [0; 32],
            },
            held: List::new(),
            given: false,
            offset: 0,
        }
    }
}

impl<D: Digest> Reader<D> {
    /// Takes bytes from the front of `input` until something is complete, and returns that; `None`
    /// where the input ran out before.
    ///
    /// # Errors
    /// What is wrong with the image; the same error ever after.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Event<'_>>, Error> {
        match self.gather(input) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.fail(error)),
        }
        let frame = match self.state {
            State::Payload(frame) => frame,
            _ => {
                return match self.header() {
                    Ok(header) => {
                        self.advance(State::FrameHeader);
                        Ok(Some(Event::Header(header)))
                    }
                    Err(fault) => Err(self.fail(self.error(fault))),
                };
            }
        };
        if let Err(fault) = self.verify(frame) {
            return Err(self.fail(self.error(fault)));
        }
        let result = match frame.kind {
            PAGES => self.check_page(),
            DATA => self.check_data(),
            _ => Ok(()),
        };
        if let Err(fault) = result {
            return Err(self.fail(self.error(fault)));
        }
        self.deliver(frame)
    }

    /// Whether the whole image has been read.
    pub const fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Says that no more bytes will come.
    ///
    /// # Errors
    /// [`Fault::Truncated`] where the trailer has not been read.
    pub const fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Ended => Ok(()),
            State::Failed(error) => Err(error),
            _ => Err(self.error(Fault::Truncated)),
        }
    }

    /// Collects bytes until what `state` says is whole, going from frame header to payload.
    fn gather(&mut self, input: &mut &[u8]) -> Result<bool, Error> {
        if core::mem::take(&mut self.given) {
            self.advance(State::FrameHeader);
        }
        loop {
            let want = match self.state {
                State::Failed(error) => return Err(error),
                State::Ended if input.is_empty() => return Ok(false),
                State::Ended => return Err(self.error(Fault::Trailing)),
                State::Header => HEADER_LEN,
                State::FrameHeader => FRAME_HEADER_LEN,
                State::Payload(frame) => usize::try_from(frame.length).unwrap_or(usize::MAX),
            };
            let missing = want.saturating_sub(self.held.len());
            let (now, later) = input.split_at_checked(missing).unwrap_or((*input, &[]));
            // What a frame declares is allocated only as it arrives.
            let kept = self.held.extend(now);
            kept.map_err(|e| self.error(e.into()))?;
            *input = later;
            if self.held.len() < want {
                return Ok(false);
            }
            if !matches!(self.state, State::FrameHeader) {
                return Ok(true);
            }
            let frame = self.frame_header().map_err(|fault| self.error(fault))?;
            self.held.clear();
            self.state = State::Payload(frame);
        }
    }

    fn header(&mut self) -> Result<Header, Fault> {
        let bytes = self.held.as_slice().first_chunk::<HEADER_LEN>();
        let bytes = bytes.ok_or(Fault::Truncated)?;
        let header = Header::decode(bytes)?;
        self.digest.update(bytes);
        self.totals.bytes = HEADER_LEN as u64;
        Ok(header)
    }

    fn frame_header(&mut self) -> Result<Frame, Fault> {
        let bytes = self.held.as_slice().first_chunk::<FRAME_HEADER_LEN>();
        let bytes = bytes.ok_or(Fault::Truncated)?;
        let mut rest: &[u8] = bytes;
        let kind = u16::from_le_bytes(take(&mut rest));
        let flags = u16::from_le_bytes(take(&mut rest));
        let id = u32::from_le_bytes(take(&mut rest));
        let length = u32::from_le_bytes(take(&mut rest));
        let crc = u32::from_le_bytes(take(&mut rest));
        if flags != 0 {
            return Err(Fault::FrameFlags(flags));
        }
        let fits = match kind {
            END => length == TRAILER_LEN as u32,
            PAGES => {
                length == PAGES_HEADER_LEN as u32 || length == (PAGES_HEADER_LEN + PAGE_SIZE) as u32
            }
            DATA => {
                length > DATA_HEADER_LEN as u32
                    && length <= FRAME_DATA_MAX.saturating_add(DATA_HEADER_LEN as u32)
            }
            _ => length <= FRAME_META_MAX,
        };
        if !fits {
            return Err(Fault::FrameLength(length));
        }
        let mut running = Crc32c::new();
        if let Some((front, _)) = bytes.split_last_chunk::<4>() {
            running = D::crc32c(running, front);
        }
        if kind != END {
            self.digest.update(bytes);
        }
        Ok(Frame {
            kind,
            id,
            length,
            crc,
            running,
        })
    }

    /// Compares the checksum, and counts.
    fn verify(&mut self, frame: Frame) -> Result<(), Fault> {
        let payload = self.held.as_slice();
        let crc = D::crc32c(frame.running, payload);
        if crc.value() != frame.crc {
            return Err(Fault::FrameCrc);
        }
        let raw = frame.kind == PAGES || frame.kind == DATA;
        let id = match frame.kind {
            END => 0,
            PAGES | DATA => self.order.objects(),
            // A frame that may be skipped says nothing of the order.
            kind if kind >= OPTIONAL_KINDS && !known(kind) => frame.id,
            kind => self.order.place(kind)?,
        };
        if raw && id == 0 {
            return Err(Fault::Owner);
        }
        if frame.id != id {
            return Err(Fault::ObjectId);
        }
        if frame.kind != END {
            self.digest.update(payload);
            let length = u64::from(frame.length).saturating_add(FRAME_HEADER_LEN as u64);
            self.totals.bytes = self.totals.bytes.saturating_add(length);
            self.totals.frames = self.totals.frames.saturating_add(1);
        }
        Ok(())
    }

    fn check_page(&mut self) -> Result<(), Fault> {
        let mut rest = self.held.as_slice();
        let pindex = u64::from_le_bytes(take(&mut rest));
        let form = u32::from_le_bytes(take(&mut rest));
        let argument = u32::from_le_bytes(take(&mut rest));
        let form = PageForm::decode(form, argument).ok_or(Fault::Page)?;
        let page = rest.first_chunk::<PAGE_SIZE>();
        match (form, page) {
            (PageForm::Zero(count), None) => self.order.pages(pindex, count, true),
            (PageForm::Copy(distance), None) => {
                self.window.get(distance).ok_or(Fault::Page)?;
                self.order.pages(pindex, 1, false)
            }
            (PageForm::Raw, Some(page)) => {
                self.order.pages(pindex, 1, false)?;
                // A page that could have been elided has to be.
                if is_zero(page) || self.window.find(page).is_some() {
                    return Err(Fault::Page);
                }
                self.window.push(page)?;
                self.totals.pages = self.totals.pages.saturating_add(1);
                Ok(())
            }
            (PageForm::Raw, None) | (PageForm::Zero(_) | PageForm::Copy(_), Some(_)) => {
                Err(Fault::Page)
            }
        }
    }

    fn check_data(&mut self) -> Result<(), Fault> {
        let mut rest = self.held.as_slice();
        let stream = u32::from_le_bytes(take(&mut rest));
        self.order.data(stream, rest.len())
    }

    /// Makes the event of a frame that has been checked as far as its kind allows without decoding.
    fn deliver(&mut self, frame: Frame) -> Result<Option<Event<'_>>, Error> {
        let id = frame.id;
        match frame.kind {
            END => match self.trailer() {
                Ok(trailer) => {
                    self.state = State::Ended;
                    Ok(Some(Event::End(trailer)))
                }
                Err(fault) => Err(self.fail(self.error(fault))),
            },
            kind if kind >= OPTIONAL_KINDS && !known(kind) => {
                self.advance(State::FrameHeader);
                Ok(Some(Event::Skipped { kind }))
            }
            PAGES | DATA => {
                self.given = true;
                Ok(Some(self.raw_event(frame)))
            }
            kind => match self.record(kind) {
                Ok(object) => {
                    self.advance(State::FrameHeader);
                    Ok(Some(Event::Object { id, object }))
                }
                Err(fault) => Err(self.fail(self.error(fault))),
            },
        }
    }

    fn record(&mut self, kind: u16) -> Result<Object, Fault> {
        let mut decoder = Decoder::new(self.held.as_slice()).with_objects(&self.order);
        let decoded = Object::decode(kind, &mut decoder).map_err(Fault::Record)?;
        let object = decoded.ok_or(Fault::UnknownKind)?;
        decoder.finish().map_err(Fault::Record)?;
        self.order.add(kind, object.summary())?;
        Ok(object)
    }

    fn trailer(&mut self) -> Result<Trailer, Fault> {
        self.order.complete()?;
        let bytes = self.held.as_slice().first_chunk::<TRAILER_LEN>();
        let trailer = Trailer::decode(bytes.ok_or(Fault::Truncated)?);
        self.totals.objects = u64::from(self.order.objects());
        if trailer.totals() != self.totals.totals() {
            return Err(Fault::Totals);
        }
        let mut digest = self.digest.clone();
        digest.update(&self.totals.totals());
        if trailer.digest != digest.finish() {
            return Err(Fault::Digest);
        }
        Ok(trailer)
    }

    /// The event of a page or of data, out of the bytes held, which the next frame replaces.
    fn raw_event(&self, frame: Frame) -> Event<'_> {
        let object = frame.id;
        let mut rest = self.held.as_slice();
        if frame.kind == DATA {
            let stream = u32::from_le_bytes(take(&mut rest));
            return Event::Data {
                object,
                stream,
                bytes: rest,
            };
        }
        let pindex = u64::from_le_bytes(take(&mut rest));
        let form = u32::from_le_bytes(take(&mut rest));
        let argument = u32::from_le_bytes(take(&mut rest));
        let stored = match PageForm::decode(form, argument) {
            Some(PageForm::Zero(count)) => {
                return Event::Zeros {
                    object,
                    pindex,
                    count,
                };
            }
            Some(PageForm::Copy(distance)) => self.window.get(distance),
            Some(PageForm::Raw) | None => rest.first_chunk::<PAGE_SIZE>(),
        };
        Event::Page {
            object,
            pindex,
            // check_page has seen that there is one.
            bytes: stored.unwrap_or(&[0; PAGE_SIZE]),
        }
    }

    fn advance(&mut self, state: State) {
        self.held.clear();
        self.offset = self.totals.bytes;
        self.state = state;
    }

    const fn error(&self, fault: Fault) -> Error {
        let (kind, object) = match &self.state {
            State::Payload(frame) => (frame.kind, frame.id),
            _ => (0, 0),
        };
        Error {
            fault,
            offset: self.offset,
            kind,
            object,
        }
    }

    const fn fail(&mut self, error: Error) -> Error {
        self.state = State::Failed(error);
        error
    }
}

/// Whether this version knows the kind.
fn known(kind: u16) -> bool {
    KINDS.iter().any(|info| info.kind == kind)
}
