// SPDX-License-Identifier: BSD-2-Clause
//! An image as it was read, whole and vouched for, with nothing of the host touched.

use super::super::digest::image_reader;
use super::RestoreError;
use crate::join::net::stacks::NetImage;
use crate::vm::{PAGE_SIZE, Page};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use vpscore::cbor::Record;
use vpscore::image::schema::{
    Abi, File, Filedesc, Info, Instance, Pgrp, Pipe, Proc, Session, Sigacts, Thread, Ucred,
    VmMapEntry, VmObject, Vmspace,
};
use vpscore::image::{Event, Header, ImageRecord, Object};
use vpscore::net::{Fate, Remap, Remapping};

/// A memory object with its pages.
#[derive(Debug)]
pub(super) struct StagedObject {
    pub(super) id: u32,
    pub(super) record: VmObject,
    pub(super) pages: Vec<(u64, Page)>,
}

/// An address space with its mappings.
#[derive(Debug)]
pub(super) struct StagedSpace {
    pub(super) record: Vmspace,
    pub(super) entries: Vec<VmMapEntry>,
}

/// A pipe with its bytes.
#[derive(Debug)]
pub(super) struct StagedPipe {
    pub(super) record: Pipe,
    pub(super) buffers: [VecDeque<u8>; 2],
}

/// A process with its threads.
#[derive(Debug)]
pub(super) struct StagedProc {
    pub(super) id: u32,
    pub(super) record: Proc,
    pub(super) threads: Vec<Thread>,
}

impl StagedProc {
    /// Its number in the image's own instance, which no other has.
    pub(super) fn number(&self) -> i32 {
        self.record.p_pid.get(0).copied().unwrap_or(0)
    }
}

/// All of an image.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) header: Option<Header>,
    pub(super) info: Option<(u32, Info)>,
    /// The first bytes of the image's digest, which name its random streams.
    pub(super) digest: u64,
    pub(super) instances: Vec<(u32, Instance)>,
    pub(super) net: NetImage,
    pub(super) creds: BTreeMap<u32, Ucred>,
    pub(super) objects: Vec<StagedObject>,
    pub(super) spaces: BTreeMap<u32, StagedSpace>,
    pub(super) pipes: BTreeMap<u32, StagedPipe>,
    pub(super) files: BTreeMap<u32, File>,
    pub(super) filedescs: BTreeMap<u32, Filedesc>,
    pub(super) sigacts: BTreeMap<u32, Sigacts>,
    pub(super) sessions: BTreeMap<u32, Session>,
    pub(super) pgrps: BTreeMap<u32, Pgrp>,
    pub(super) procs: Vec<StagedProc>,
    /// Pages held, those of zeros with them.
    held: usize,
}

impl Staged {
    /// Reads an image of at most `most` pages, whose instance gets the addresses that `remap` says.
    pub(super) fn read(bytes: &[u8], most: usize, remap: &Remap) -> Result<Self, RestoreError> {
        let mut staged = Self::default();
        let mut remapping = Remapping::new(remap, Abi::SimLp64)?;
        let mut reader = image_reader();
        let mut input = bytes;
        // Pages of zeros, and pages that come again, share their memory as they did in the image.
        let zero: Page = Arc::new([0; PAGE_SIZE as usize]);
        let mut last: Option<Page> = None;
        while let Some(event) = reader.feed(&mut input)? {
            match event {
                Event::Header(header) => staged.header = Some(header),
                Event::Object { id, mut object } => {
                    if remapping.object(id, &mut object)? == Fate::Stays {
                        staged.object(id, object)?;
                    }
                }
                Event::Page { pindex, bytes, .. } => {
                    staged.count(1, most)?;
                    let same = last.take().filter(|page| **page == *bytes);
                    let page = same.unwrap_or_else(|| Arc::new(*bytes));
                    last = Some(Arc::clone(&page));
                    staged.page(pindex, page);
                }
                Event::Zeros { pindex, count, .. } => {
                    staged.count(count, most)?;
                    for index in 0..u64::from(count) {
                        staged.page(pindex.saturating_add(index), Arc::clone(&zero));
                    }
                }
                Event::Data {
                    object: id,
                    stream,
                    bytes,
                } => {
                    if !staged.net.data(id, stream, bytes) {
                        staged.data(stream, bytes);
                    }
                }
                Event::Skipped { .. } => {}
                Event::End(trailer) => {
                    let [a, b, c, d, e, f, g, h, ..] = trailer.digest;
                    staged.digest = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                }
            }
        }
        reader.finish()?;
        staged.net.remapped(remapping)?;
        Ok(staged)
    }

    /// Whether the instance has a process, alive or not: its init, or one that init's end has killed.
    pub(super) fn is_inhabited(&self, instance: u32) -> bool {
        let mut procs = self.procs.iter();
        procs.any(|proc| self.instance_of(&proc.record) == instance)
    }

    /// Whether that holds for the instance or for one below it.
    pub(super) fn is_inhabited_below(&self, instance: u32) -> bool {
        let mut within = std::collections::BTreeSet::from([instance]);
        for (id, record) in &self.instances {
            if record
                .parent
                .is_some_and(|parent| within.contains(&parent.id()))
            {
                within.insert(*id);
            }
        }
        within.into_iter().any(|id| self.is_inhabited(id))
    }

    /// The instance of a process.
    pub(super) fn instance_of(&self, proc: &Proc) -> u32 {
        let cred = self.creds.get(&proc.p_ucred.id());
        cred.map_or(0, |cred| cred.cr_prison.id())
    }

    fn count(&mut self, pages: u32, most: usize) -> Result<(), RestoreError> {
        let pages = usize::try_from(pages).unwrap_or(usize::MAX);
        self.held = self.held.saturating_add(pages);
        if self.held > most {
            return Err(RestoreError::Pages(self.held));
        }
        Ok(())
    }

    fn page(&mut self, pindex: u64, page: Page) {
        if let Some(object) = self.objects.last_mut() {
            object.pages.push((pindex, page));
        }
    }

    fn data(&mut self, stream: u32, bytes: &[u8]) {
        if let Some(mut pipe) = self.pipes.last_entry() {
            let [first, second] = &mut pipe.get_mut().buffers;
            let buffer = if stream == 0 { first } else { second };
            buffer.extend(bytes);
        }
    }

    fn object(&mut self, id: u32, object: Object) -> Result<(), RestoreError> {
        let Some(object) = self.net.object(id, object) else {
            return Ok(());
        };
        match object {
            Object::Info(record) => self.info = Some((id, record)),
            Object::Instance(record) => self.instances.push((id, record)),
            Object::Ucred(record) => {
                self.creds.insert(id, record);
            }
            Object::VmObject(record) => self.objects.push(StagedObject {
                id,
                record,
                pages: Vec::new(),
            }),
            Object::Vmspace(record) => {
                let entries = Vec::new();
                self.spaces.insert(id, StagedSpace { record, entries });
            }
            Object::VmMapEntry(record) => {
                if let Some(space) = self.spaces.get_mut(&id) {
                    space.entries.push(record);
                }
            }
            Object::Pipe(record) => {
                let buffers = Default::default();
                self.pipes.insert(id, StagedPipe { record, buffers });
            }
            Object::File(record) => {
                self.files.insert(id, record);
            }
            Object::Filedesc(record) => {
                self.filedescs.insert(id, record);
            }
            Object::Sigacts(record) => {
                self.sigacts.insert(id, record);
            }
            Object::Session(record) => {
                self.sessions.insert(id, record);
            }
            Object::Pgrp(record) => {
                self.pgrps.insert(id, record);
            }
            Object::Proc(record) => self.procs.push(StagedProc {
                id,
                record,
                threads: Vec::new(),
            }),
            Object::Thread(record) => {
                if let Some(proc) = self.procs.last_mut() {
                    proc.threads.push(record);
                }
            }
            Object::Vnet(_) | Object::Ifnet(_) | Object::Route(_) | Object::Llentry(_) => {}
            Object::TcpVnet(record) => return Err(whole(id, &record)),
            Object::Socket(record) => return Err(whole(id, &record)),
            Object::Syncache(record) => return Err(whole(id, &record)),
            Object::InFlight(record) => return Err(whole(id, &record)),
        }
        Ok(())
    }
}

/// The record as a whole is of a kind that this kernel does not restore.
fn whole<R: ImageRecord + Record>(object: u32, _record: &R) -> RestoreError {
    RestoreError::Unsupported {
        object,
        record: R::SCHEMA,
        key: 0,
    }
}
