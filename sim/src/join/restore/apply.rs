// SPDX-License-Identifier: BSD-2-Clause
//! Memory and descriptors into the kernel. What processes take over is counted for all of them at
//! once, from the image.

use super::check::contradiction;
use super::staged::Staged;
use super::{Made, RestoreError};
use crate::join::capture::memory::NEEDS_COPY;
use crate::join::capture::objects::{FNONBLOCK, UF_EXCLOSE};
use crate::join::capture::procs::RLIMIT_VMEM;
use crate::kern::Kern;
use crate::kern::file::{Fde, FileKind, Filedesc};
use crate::kern::pipe::Pipe;
use crate::kern::types::{FileId, PipeId, VmId, VnetId};
use crate::net::cx::SoId;
use crate::vm::{Inherit, MapEntry, PAGE_SIZE, Prot};
use std::collections::BTreeMap;
use std::sync::Arc;
use vpscore::image::schema::{self, FileType, VmMapEntry};

/// What descriptors name, by object of the image.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) files: BTreeMap<u32, FileId>,
    pub(super) pipes: BTreeMap<u32, PipeId>,
    pub(super) sockets: BTreeMap<u32, (VnetId, SoId)>,
}

/// The memory objects, each with one reference that the restore gives up at its end.
pub(super) fn memory(
    kern: &mut Kern,
    staged: &Staged,
    made: &mut Made,
) -> Result<(), RestoreError> {
    let objects = kern.objects();
    for object in &staged.objects {
        let backing = object.record.backing_object;
        let backing = backing.and_then(|backing| made.objects.get(&backing.id()).copied());
        if let Some(backing) = backing {
            objects.hold(backing);
        }
        let id = objects.create(backing);
        made.objects.insert(object.id, id);
        for (index, page) in &object.pages {
            let put = objects.put(id, *index, Arc::clone(page));
            put.ok_or(RestoreError::Pages(object.pages.len()))?;
        }
    }
    Ok(())
}

/// Pipes and open files, with as many references as descriptors name them.
pub(super) fn files(kern: &mut Kern, staged: &Staged, made: &mut Made) -> Files {
    let mut refs: BTreeMap<u32, u32> = BTreeMap::new();
    for slot in staged.filedescs.values().flat_map(|table| &table.fd_ofiles) {
        *refs.entry(slot.fde_file.id()).or_default() += 1;
    }
    let mut files = Files {
        sockets: made.sockets.clone(),
        ..Files::default()
    };
    let mut ends: BTreeMap<u32, [bool; 2]> = BTreeMap::new();
    for file in staged.files.values() {
        if let Some(pipe) = file.pipe {
            let [first, second] = ends.entry(pipe.id()).or_default();
            *(if file.pipe_end { second } else { first }) = true;
        }
    }
    for (id, pipe) in &staged.pipes {
        let open = ends.get(id).copied().unwrap_or_default();
        let made_pipe = kern.restore_pipe(Pipe {
            buffers: pipe.buffers.clone(),
            open,
        });
        made.mark.pipes.push(made_pipe);
        files.pipes.insert(*id, made_pipe);
    }
    for (id, file) in &staged.files {
        let pipe = file.pipe.and_then(|pipe| files.pipes.get(&pipe.id()));
        let kind = match (file.f_type, pipe) {
            (FileType::Socket, _) => {
                let socket = file.socket.and_then(|so| files.sockets.get(&so.id()));
                match socket {
                    Some((vnet, so)) => FileKind::Socket(*vnet, *so),
                    None => FileKind::Console,
                }
            }
            (FileType::Pipe, Some(pipe)) => FileKind::Pipe(*pipe, u8::from(file.pipe_end)),
            _ => FileKind::Console,
        };
        let nonblock = file.f_flag & FNONBLOCK != 0;
        let made_file = kern.restore_file(kind, nonblock, refs.get(id).copied().unwrap_or(0));
        made.mark.files.push(made_file);
        files.files.insert(*id, made_file);
    }
    files
}

/// The descriptors of a process.
pub(super) fn filedesc(record: &schema::Filedesc, files: &Files) -> Filedesc {
    let mut table = Filedesc::default();
    for slot in &record.fd_ofiles {
        if let (Ok(fd), Some(file)) = (i32::try_from(slot.fd), files.files.get(&slot.fde_file.id()))
        {
            let fde = Fde {
                file: *file,
                cloexec: slot.fde_flags & UF_EXCLOSE != 0,
            };
            table.fds.insert(fd, fde);
        }
    }
    table
}

/// The address spaces, with as many references as processes have them.
pub(super) fn vmspaces(
    kern: &mut Kern,
    staged: &Staged,
    made: &mut Made,
) -> Result<BTreeMap<u32, VmId>, RestoreError> {
    let mut spaces = BTreeMap::new();
    for (id, space) in &staged.spaces {
        let mut users = staged.procs.iter().filter(|proc| {
            let named = proc.record.p_vmspace.map(|space| space.id());
            named == Some(*id)
        });
        let unused = || contradiction::<schema::Vmspace>(*id, schema::Vmspace::vm_map_min);
        let first = users.next().ok_or_else(unused)?;
        let limit = first.record.p_limit.get(RLIMIT_VMEM);
        let limit = limit.map_or(0, |limit| limit.rlim_cur);
        let mut built = crate::vm::Vmspace::new(limit);
        (built.daddr, built.dsize) = (space.record.vm_daddr, space.record.vm_dsize * PAGE_SIZE);
        for record in &space.entries {
            let object = record
                .object
                .and_then(|object| made.objects.get(&object.id()));
            let missing = || contradiction::<VmMapEntry>(*id, VmMapEntry::object);
            let object = *object.ok_or_else(missing)?;
            kern.objects().hold(object);
            let mapped = built.map_object(MapEntry {
                start: record.start,
                end: record.end,
                object,
                pindex: record.offset / PAGE_SIZE,
                prot: Prot::from_bits(u64::from(record.protection)),
                inherit: match record.inheritance {
                    schema::Inherit::Share => Inherit::Share,
                    schema::Inherit::Copy => Inherit::Copy,
                    schema::Inherit::None | schema::Inherit::Zero => Inherit::None,
                },
                needs_copy: record.eflags == NEEDS_COPY,
            });
            if let Err(error) = mapped {
                kern.objects().rele(object);
                built.free(kern.objects());
                return Err(RestoreError::Kernel(*id, error.errno()));
            }
        }
        let vm = kern.restore_vmspace(built);
        made.mark.vms.push(vm);
        spaces.insert(*id, vm);
        for _ in users {
            kern.share_vmspace(vm);
        }
    }
    Ok(spaces)
}
