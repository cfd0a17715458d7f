// SPDX-License-Identifier: BSD-2-Clause
//! The bytes that chunks carry: pages ahead of the image, then the image without them.
//!
//! Pre-copy sends pages while the instance runs. Which object a page will belong to in the image, and
//! whether it will still be there, is not known then; so pages are sent by *content*: each gets a
//! number in the order of sending, and the image that follows at last is the canonical one
//! ([`crate::image`]) with every stored page that was sent before replaced by its number. The target
//! puts the image together again and compares the digest of the whole, so a mistake here can
//! cost a migration but never alter an instance. A page that was written again after it was sent
//! costs only the bytes.
//!
//! ```text
//! stream = item...
//! item   = 1 page[4096]                 the next page
//!        | 2 length:u32 bytes[length]   the next bytes of the image
//!        | 3 number:u32                 the next bytes of the image: that page
//! ```
//! Numbers are little endian; pages are numbered from 0; a length is 1 to [`LITERAL_MAX`].
//!
//! # Invariants
//! * I1: what [`Receiver`] builds from what [`Sender`] wrote is the image that [`Sender::image`] was
//!   given.
//! * I2: the receiver holds at most the pages and image bytes it was told to allow for, and room
//!   is made before bytes are taken.

use crate::collections::{List, NoMemory};
use crate::image::{FRAME_HEADER_LEN, HEADER_LEN, PAGE_SIZE, PAGES, PAGES_HEADER_LEN};
use crate::sha256::sha256;

/// Bytes of a page.
pub const PAGE: usize = PAGE_SIZE;
/// Bytes of the image in one item at most.
pub const LITERAL_MAX: u32 = 1 << 20;

const ITEM_PAGE: u8 = 1;
const ITEM_BYTES: u8 = 2;
const ITEM_NUMBER: u8 = 3;

/// Why a stream cannot be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// Memory was short.
    NoMemory,
    /// It is no stream; at this byte of it.
    Bad {
        /// Bytes taken in before.
        at: u64,
    },
    /// More than was agreed on.
    TooLarge,
}

impl StreamError {
    /// What the request that carried it returns.
    pub const fn errno(self) -> crate::errno::Errno {
        match self {
            Self::NoMemory => crate::errno::Errno::ENOMEM,
            Self::Bad { .. } => crate::errno::Errno::EBADMSG,
            Self::TooLarge => crate::errno::Errno::EFBIG,
        }
    }
}

impl From<NoMemory> for StreamError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// One page that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    digest: [u8; 32],
    number: u32,
}

/// The source's side: which pages were sent.
#[derive(Debug, Default)]
pub struct Sender {
    /// Open addressing; a power of two long, at most half full.
    table: List<Option<Known>>,
    sent: u32,
}

impl Sender {
    /// Nothing was sent.
    pub const fn new() -> Self {
        Self {
            table: List::new(),
            sent: 0,
        }
    }

    /// How many pages were sent.
    pub const fn pages(&self) -> u32 {
        self.sent
    }

    /// Appends a page to the stream, unless one of the same content was sent before.
    ///
    /// # Errors
    /// [`NoMemory`]; the page counts as not sent then, and `out` must not be.
    pub fn page(&mut self, page: &[u8; PAGE], out: &mut List<u8>) -> Result<(), NoMemory> {
        self.grow()?;
        let digest = sha256(page);
        let Some(slot) = self.slot(&digest) else {
            return Err(NoMemory);
        };
        if slot.is_some() {
            return Ok(());
        }
        out.reserve(PAGE.saturating_add(1))?;
        out.push(ITEM_PAGE)?;
        out.extend(page)?;
        let number = self.sent;
        if let Some(slot) = self.slot(&digest) {
            *slot = Some(Known { digest, number });
        }
        self.sent = self.sent.checked_add(1).ok_or(NoMemory)?;
        Ok(())
    }

    /// Appends the image to the stream, pages that were sent before by their numbers.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn image(&mut self, image: &[u8], out: &mut List<u8>) -> Result<(), NoMemory> {
        let mut literal = image;
        let mut at = 0_usize;
        for (start, page) in stored_pages(image) {
            let digest = sha256(page);
            let Some(number) = self.number(&digest) else {
                continue;
            };
            let Some(before) = image.get(at..start) else {
                continue;
            };
            bytes(before, out)?;
            out.push(ITEM_NUMBER)?;
            out.extend(&number.to_le_bytes())?;
            at = start.saturating_add(PAGE);
            literal = image.get(at..).unwrap_or(&[]);
        }
        bytes(literal, out)
    }

    fn number(&mut self, digest: &[u8; 32]) -> Option<u32> {
        self.slot(digest)?.map(|known| known.number)
    }

    /// The place of a digest: where it is, or the empty one where it belongs.
    fn slot(&mut self, digest: &[u8; 32]) -> Option<&mut Option<Known>> {
        let mask = self.table.len().checked_sub(1)?;
        let (first, _) = digest.split_first_chunk::<8>()?;
        let mut at = usize::try_from(u64::from_le_bytes(*first) & u64::from(u32::MAX)).ok()? & mask;
        for _ in 0..self.table.len() {
            let found = match self.table.get(at)? {
                None => true,
                Some(known) => known.digest == *digest,
            };
            if found {
                return self.table.get_mut(at);
            }
            at = at.wrapping_add(1) & mask;
        }
        None
    }

    /// Keeps the table at most half full.
    fn grow(&mut self) -> Result<(), NoMemory> {
        let used = usize::try_from(self.sent).map_err(|_| NoMemory)?;
        if used.saturating_mul(2) < self.table.len() {
            return Ok(());
        }
        let size = self.table.len().saturating_mul(2).max(64);
        let old = core::mem::replace(&mut self.table, List::filled(None, size)?);
        for known in old.iter().flatten() {
            if let Some(slot) = self.slot(&known.digest) {
                *slot = Some(*known);
            }
        }
        Ok(())
    }
}

/// The stored pages of an image, each with the offset of its first byte.
fn stored_pages(image: &[u8]) -> impl Iterator<Item = (usize, &[u8; PAGE])> {
    let mut at = HEADER_LEN;
    core::iter::from_fn(move || {
        loop {
            let header = image.get(at..)?.first_chunk::<FRAME_HEADER_LEN>()?;
            let [k0, k1, _, _, _, _, _, _, l0, l1, l2, l3, ..] = *header;
            let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
            let payload = at.checked_add(FRAME_HEADER_LEN)?;
            at = payload.checked_add(length)?;
            let stored = length == PAGES_HEADER_LEN.saturating_add(PAGE);
            if u16::from_le_bytes([k0, k1]) == PAGES && stored {
                let start = payload.checked_add(PAGES_HEADER_LEN)?;
                return Some((start, image.get(start..)?.first_chunk::<PAGE>()?));
            }
        }
    })
}

/// Appends bytes of the image, in items no longer than [`LITERAL_MAX`].
fn bytes(mut rest: &[u8], out: &mut List<u8>) -> Result<(), NoMemory> {
    let most = usize::try_from(LITERAL_MAX).unwrap_or(usize::MAX);
    while !rest.is_empty() {
        let (item, after) = rest
            .split_at_checked(rest.len().min(most))
            .unwrap_or((rest, &[]));
        let length = u32::try_from(item.len()).map_err(|_| NoMemory)?;
        out.push(ITEM_BYTES)?;
        out.extend(&length.to_le_bytes())?;
        out.extend(item)?;
        rest = after;
    }
    Ok(())
}

/// What the receiver is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Between two items.
    Items,
    /// The first bytes of a number or length.
    Number { item: u8, bytes: [u8; 4], have: u8 },
    /// A page of which so many bytes are to come.
    Page { left: usize },
    /// Bytes of the image.
    Bytes { left: usize },
}

/// The target's side: the pages that came ahead, and the image as far as it has come.
#[derive(Debug)]
pub struct Receiver {
    pages: List<u8>,
    image: List<u8>,
    within: Within,
    taken: u64,
    most: u64,
}

impl Receiver {
    /// Nothing has come. Pages and image together may have `most` bytes.
    pub const fn new(most: u64) -> Self {
        Self {
            pages: List::new(),
            image: List::new(),
            within: Within::Items,
            taken: 0,
            most,
        }
    }

    /// Takes the next bytes of the stream in.
    ///
    /// # Errors
    /// [`StreamError`]; the receiver is of no more use then.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while let Some((first, rest)) = bytes.split_first() {
            let before = bytes.len();
            bytes = match self.within {
                Within::Items => {
                    self.begin(*first)?;
                    rest
                }
                Within::Number {
                    item,
                    bytes: mut got,
                    have,
                } => {
                    if let Some(place) = got.get_mut(usize::from(have)) {
                        *place = *first;
                    }
                    self.numbered(item, got, have.saturating_add(1))?;
                    rest
                }
                Within::Page { left } => {
                    let (now, after) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
                    Self::keep(&mut self.pages, self.image.len(), self.most, now)?;
                    self.within = match left.saturating_sub(now.len()) {
                        0 => Within::Items,
                        left => Within::Page { left },
                    };
                    after
                }
                Within::Bytes { left } => {
                    let (now, after) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
                    Self::keep(&mut self.image, self.pages.len(), self.most, now)?;
                    self.within = match left.saturating_sub(now.len()) {
                        0 => Within::Items,
                        left => Within::Bytes { left },
                    };
                    after
                }
            };
            let used = before.saturating_sub(bytes.len());
            self.taken = self
                .taken
                .saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// The image, once all has come.
    ///
    /// # Errors
    /// [`StreamError::Bad`] in the middle of an item.
    pub fn finish(self) -> Result<List<u8>, StreamError> {
        match self.within {
            Within::Items => Ok(self.image),
            _ => Err(StreamError::Bad { at: self.taken }),
        }
    }

    fn begin(&mut self, item: u8) -> Result<(), StreamError> {
        self.within = match item {
            ITEM_PAGE => Within::Page { left: PAGE },
            ITEM_BYTES | ITEM_NUMBER => Within::Number {
                item,
                bytes: [0; 4],
                have: 0,
            },
            _ => return Err(StreamError::Bad { at: self.taken }),
        };
        Ok(())
    }

    fn numbered(&mut self, item: u8, bytes: [u8; 4], have: u8) -> Result<(), StreamError> {
        if have < 4 {
            self.within = Within::Number { item, bytes, have };
            return Ok(());
        }
        let bad = StreamError::Bad { at: self.taken };
        let number = u32::from_le_bytes(bytes);
        let index = usize::try_from(number).map_err(|_| bad)?;
        if item == ITEM_BYTES {
            if number == 0 || number > LITERAL_MAX {
                return Err(bad);
            }
            self.within = Within::Bytes { left: index };
            return Ok(());
        }
        let start = index.checked_mul(PAGE).ok_or(bad)?;
        let page = self
            .pages
            .as_slice()
            .get(start..)
            .and_then(|p| p.first_chunk::<PAGE>());
        let page = page.ok_or(bad)?;
        Self::keep(&mut self.image, self.pages.len(), self.most, page)?;
        self.within = Within::Items;
        Ok(())
    }

    fn keep(to: &mut List<u8>, other: usize, most: u64, more: &[u8]) -> Result<(), StreamError> {
        let sum = to
            .len()
            .checked_add(other)
            .and_then(|sum| sum.checked_add(more.len()));
        let sum = sum
            .and_then(|sum| u64::try_from(sum).ok())
            .ok_or(StreamError::TooLarge)?;
        if sum > most {
            return Err(StreamError::TooLarge);
        }
        to.extend(more)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn page(fill: u8) -> [u8; PAGE] {
        [fill; PAGE]
    }

    /// Something laid out as an image: a header, then frames of the given pages and records.
    fn image(pages: &[[u8; PAGE]]) -> Vec<u8> {
        let mut out = std::vec![7; HEADER_LEN];
        for page in pages {
            let frame = |out: &mut Vec<u8>, kind: u16, payload: &[u8]| {
                out.extend(kind.to_le_bytes());
                out.extend([0; 6]);
                out.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
                out.extend([0; 4]);
                out.extend(payload);
            };
            frame(&mut out, 0x60, b"a record");
            frame(
                &mut out,
                PAGES,
                &[&[0; PAGES_HEADER_LEN][..], page].concat(),
            );
        }
        out.extend(b"tail");
        out
    }

    fn receive(stream: &[u8], step: usize, most: u64) -> Result<Vec<u8>, StreamError> {
        let mut receiver = Receiver::new(most);
        for part in stream.chunks(step) {
            receiver.feed(part)?;
        }
        receiver.finish().map(|image| image.as_slice().to_vec())
    }

    #[test]
    fn the_image_comes_out_as_it_was_and_sent_pages_are_not_sent_again() {
        let whole = image(&[page(1), page(2), page(1), page(3)]);
        let mut sender = Sender::new();
        let mut stream = List::new();
        for fill in [1, 2, 9, 1] {
            sender.page(&page(fill), &mut stream).unwrap();
        }
        assert_eq!(sender.pages(), 3);
        let ahead = stream.len();
        sender.image(&whole, &mut stream).unwrap();
        // Only the page of threes, and what is around the pages, follows.
        assert!(stream.len() - ahead < PAGE + 600);
        for step in [1, 7, 4096, 100_000] {
            assert_eq!(receive(stream.as_slice(), step, 1 << 20).unwrap(), whole);
        }
    }

    #[test]
    fn many_pages_are_found_again() {
        let mut sender = Sender::new();
        let mut stream = List::new();
        let numbered = |n: u32| {
            let mut page = page(0);
            page[..4].copy_from_slice(&n.to_le_bytes());
            page
        };
        for n in 0..300 {
            sender.page(&numbered(n), &mut stream).unwrap();
        }
        for n in 0..300 {
            assert_eq!(sender.number(&sha256(&numbered(n))), Some(n));
        }
        assert_eq!(sender.number(&sha256(&numbered(300))), None);
    }

    #[test]
    fn a_stream_that_is_none_is_refused() {
        let bad = |stream: &[u8]| receive(stream, 3, 100).unwrap_err();
        assert_eq!(bad(&[0]), StreamError::Bad { at: 0 });
        assert_eq!(bad(&[ITEM_NUMBER, 0, 0, 0, 0]), StreamError::Bad { at: 4 });
        assert_eq!(bad(&[ITEM_BYTES, 0, 0, 0, 0]), StreamError::Bad { at: 4 });
        assert_eq!(
            bad(&[ITEM_BYTES, 0xff, 0xff, 0xff, 0xff]),
            StreamError::Bad { at: 4 }
        );
        assert_eq!(
            bad(&[ITEM_BYTES, 2, 0, 0, 0, 5]),
            StreamError::Bad { at: 6 }
        );
        let mut page = std::vec![ITEM_PAGE];
        page.extend([0; PAGE]);
        assert_eq!(bad(&page), StreamError::TooLarge);
    }
}
