// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces and the objects behind them: every object once, what it shadows before it.

use super::{Capture, CaptureError};
use crate::kern::proc::Proc;
use crate::vm::{Inherit, ObjId, PAGE_SIZE, VM_MAXUSER_ADDRESS, VM_MIN_ADDRESS, Vmspace};
use std::collections::BTreeMap;
use vpscore::image::schema;

/// `MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY` (`vm_map.h`, 15.0).
pub(in crate::join) const NEEDS_COPY: u32 = 0x4 | 0x8;
/// `VM_PROT_ALL`.
pub(in crate::join) const PROT_ALL: u8 = 7;

/// What the image needs to know of an object before it is written.
#[derive(Clone, Copy, Default)]
struct Extent {
    /// Pages.
    size: u64,
    /// Mappings and shadows in the image that name it.
    refs: u32,
}

impl Capture<'_> {
    pub(super) fn memory(&mut self) -> Result<(), CaptureError> {
        let mut spaces: Vec<(&Proc, &Vmspace)> = Vec::new();
        let mut users: BTreeMap<_, u32> = BTreeMap::new();
        for proc in self.procs.iter().filter(|proc| !proc.is_zombie()) {
            let used = users.entry(proc.vm).or_default();
            *used += 1;
            if let (1, Some(space)) = (*used, self.kern.vmspaces.get(&proc.vm)) {
                spaces.push((proc, space));
            }
        }
        for (proc, space) in &spaces {
            if users.get(&proc.vm) != Some(&space.refs) {
                return Err(CaptureError::VmspaceOutside(proc.id()));
            }
        }
        let extents = self.extents(&spaces);
        for (proc, space) in &spaces {
            for entry in space.entries() {
                let inside = extents.get(&entry.object).map(|extent| extent.refs);
                let all = self
                    .kern
                    .objects
                    .get(entry.object)
                    .map(|object| object.refs);
                if !entry.needs_copy && inside != all {
                    return Err(CaptureError::MemoryOutside(proc.id(), entry.start));
                }
            }
        }
        for (_, space) in &spaces {
            for entry in space.entries() {
                self.chain(entry.object, &extents)?;
            }
        }
        for (proc, space) in &spaces {
            self.vmspace(proc, space)?;
        }
        Ok(())
    }

    /// Sizes and references of all objects that the spaces reach.
    fn extents(&self, spaces: &[(&Proc, &Vmspace)]) -> BTreeMap<ObjId, Extent> {
        let mut extents: BTreeMap<ObjId, Extent> = BTreeMap::new();
        for (_, space) in spaces {
            for entry in space.entries() {
                let end = entry.pindex + (entry.end - entry.start) / PAGE_SIZE;
                extents.entry(entry.object).or_default().refs += 1;
                let mut at = Some(entry.object);
                while let Some((id, object)) =
                    at.and_then(|id| Some((id, self.kern.objects.get(id)?)))
                {
                    let new = extents.get(&id).is_none_or(|extent| extent.size == 0);
                    let last = object.pages().last().map_or(0, |(index, _)| index + 1);
                    let extent = extents.entry(id).or_default();
                    extent.size = extent.size.max(end).max(last);
                    at = object.backing();
                    if let (true, Some(backing)) = (new, at) {
                        extents.entry(backing).or_default().refs += 1;
                    }
                }
            }
        }
        extents
    }

    /// Writes an object and what it shadows, the innermost first.
    fn chain(
        &mut self,
        front: ObjId,
        extents: &BTreeMap<ObjId, Extent>,
    ) -> Result<(), CaptureError> {
        let mut chain = Vec::new();
        let mut at = Some(front);
        while let Some(id) = at.filter(|id| !self.objects.contains_key(id)) {
            chain.push(id);
            at = self
                .kern
                .objects
                .get(id)
                .and_then(|object| object.backing());
        }
        for id in chain.into_iter().rev() {
            let Some(object) = self.kern.objects.get(id) else {
                continue;
            };
            let backing = object.backing().and_then(|id| self.objects.get(&id));
            let reference = self.w.put(&schema::VmObject {
                ty: schema::ObjType::Anon,
                size: extents.get(&id).map_or(0, |extent| extent.size),
                backing_object: backing.copied(),
                backing_object_offset: 0,
                flags: 0,
                charge: 0,
            })?;
            for (index, slot) in object.pages() {
                self.w.page(index, &slot.data)?;
            }
            self.objects.insert(id, reference);
        }
        Ok(())
    }

    fn vmspace(&mut self, proc: &Proc, space: &Vmspace) -> Result<(), CaptureError> {
        let reference = self.w.put(&schema::Vmspace {
            vm_map_min: VM_MIN_ADDRESS,
            vm_map_max: VM_MAXUSER_ADDRESS,
            vm_tsize: 0,
            vm_dsize: space.dsize / PAGE_SIZE,
            vm_ssize: 0,
            vm_taddr: 0,
            vm_daddr: space.daddr,
            vm_maxsaddr: 0,
            vm_stacktop: 0,
            vm_map_flags: 0,
            vm_shp_base: 0,
        })?;
        self.vmspaces.insert(proc.vm, reference);
        for entry in space.entries() {
            let protection = u8::try_from(entry.prot.bits()).unwrap_or(PROT_ALL);
            self.w.object(&schema::VmMapEntry {
                start: entry.start,
                end: entry.end,
                object: self.objects.get(&entry.object).copied(),
                offset: entry.pindex * PAGE_SIZE,
                protection,
                max_protection: PROT_ALL,
                inheritance: match entry.inherit {
                    Inherit::Share => schema::Inherit::Share,
                    Inherit::Copy => schema::Inherit::Copy,
                    Inherit::None => schema::Inherit::None,
                },
                eflags: if entry.needs_copy { NEEDS_COPY } else { 0 },
                user_wired: false,
            })?;
        }
        Ok(())
    }
}
