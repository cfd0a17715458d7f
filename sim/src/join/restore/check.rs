// SPDX-License-Identifier: BSD-2-Clause
//! Whether an image is one of this kernel: fields that it does not keep have their one value, and
//! objects agree with one another beyond what a reader of one pass can see.

use super::RestoreError;
use super::staged::Staged;
use crate::join::capture::memory::{NEEDS_COPY, PROT_ALL};
use crate::join::capture::objects::{CMASK, FNONBLOCK, FREAD_FWRITE, PIPE_EOF, UF_EXCLOSE};
use crate::join::capture::{OSRELDATE, OSRELEASE};
use crate::kern::Config;
use crate::kern::pipe::PIPE_SIZE;
use crate::kern::types::{SIGKILL, SIGSTOP};
use crate::time::Duration;
use crate::vm::{CHAIN_MAX, PAGE_SIZE, VM_MAXUSER_ADDRESS, VM_MIN_ADDRESS};
use std::collections::{BTreeMap, BTreeSet};
use vpscore::cbor::Record;
use vpscore::image::schema::{
    Abi, File, FileType, Filedesc, Filedescent, Info, Inherit, Instance, InstanceLimit,
    InstanceState, ObjType, Pgrp, Pipe, PipeBuf, Session, Sigacts, Ucred, VmMapEntry, VmObject,
    Vmspace,
};
use vpscore::instance::{Ceilings, Name};
use vpscore::privilege::{Bits, Priv};
use vpscore::racct::{Limit, Resource, UNLIMITED};
use vpscore::state::Settings;

/// The field has a value that this kernel cannot have.
pub(super) fn unsupported<R: Record>(object: u32, key: u64) -> RestoreError {
    RestoreError::Unsupported {
        object,
        record: R::SCHEMA,
        key,
    }
}

/// The field contradicts another object.
pub(super) fn contradiction<R: Record>(object: u32, key: u64) -> RestoreError {
    RestoreError::Contradiction {
        object,
        record: R::SCHEMA,
        key,
    }
}

/// Refuses a record whose fields have other than these values.
macro_rules! fixed {
    ($id:expr, $record:expr, $Type:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $(if $record.$field != $value {
            return Err($crate::join::restore::check::unsupported::<$Type>($id, $Type::$field));
        })*
    };
}
pub(super) use fixed;

impl Staged {
    /// Looks at all of the image.
    pub(super) fn check(&self, config: &Config) -> Result<(), RestoreError> {
        if let Some((id, info)) = &self.info {
            let release = self.header.map(|header| (header.osreldate, header.abi));
            if info.osrelease.as_str() != OSRELEASE || release != Some((OSRELDATE, Abi::SimLp64)) {
                return Err(unsupported::<Info>(*id, Info::osrelease));
            }
            if info.machine_arch.as_str() != "sim" {
                return Err(unsupported::<Info>(*id, Info::machine_arch));
            }
        }
        self.check_instances()?;
        for (id, cred) in &self.creds {
            fixed!(
                *id,
                cred,
                Ucred {
                    cr_rgid: cred.cr_gid,
                    cr_svgid: cred.cr_gid,
                    cr_flags: 0
                }
            );
            if cred.cr_groups.as_slice() != [cred.cr_gid] {
                return Err(unsupported::<Ucred>(*id, Ucred::cr_groups));
            }
            if cred.cr_loginclass.as_str() != "default" {
                return Err(unsupported::<Ucred>(*id, Ucred::cr_loginclass));
            }
        }
        self.check_memory()?;
        self.check_files(config)?;
        self.check_groups()?;
        self.check_procs(config)
    }

    /// Levels of each instance below the image's own, which has 1.
    pub(super) fn levels(&self) -> BTreeMap<u32, usize> {
        let mut levels: BTreeMap<u32, usize> = BTreeMap::new();
        for (id, record) in &self.instances {
            let above = record.parent.and_then(|parent| levels.get(&parent.id()));
            levels.insert(*id, above.copied().unwrap_or(0).saturating_add(1));
        }
        levels
    }

    fn check_instances(&self) -> Result<(), RestoreError> {
        for (id, record) in &self.instances {
            fixed!(
                *id,
                record,
                Instance {
                    randompid: 0,
                    hostid: 0,
                    securelevel: -1
                }
            );
            for (text, key) in [
                (&record.hostname, Instance::hostname),
                (&record.domainname, Instance::domainname),
                (&record.hostuuid, Instance::hostuuid),
            ] {
                if !text.as_str().is_empty() {
                    return Err(unsupported::<Instance>(*id, key));
                }
            }
            let agrees = match record.state {
                InstanceState::Running => self.is_inhabited_below(*id),
                InstanceState::Created => !self.is_inhabited(*id),
                InstanceState::Suspended => record.parent.is_some(),
            };
            if !agrees {
                return Err(contradiction::<Instance>(*id, Instance::state));
            }
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), RestoreError> {
        // Per object: pages that mappings reach, and shadows from it to the innermost.
        let mut sizes: BTreeMap<u32, u64> = BTreeMap::new();
        for (id, space) in &self.spaces {
            fixed!(
                *id,
                space.record,
                Vmspace {
                    vm_map_min: VM_MIN_ADDRESS,
                    vm_map_max: VM_MAXUSER_ADDRESS,
                    vm_tsize: 0,
                    vm_ssize: 0,
                    vm_taddr: 0,
                    vm_maxsaddr: 0,
                    vm_stacktop: 0,
                    vm_map_flags: 0,
                    vm_shp_base: 0,
                }
            );
            let daddr = space.record.vm_daddr;
            let data = space.record.vm_dsize.checked_mul(PAGE_SIZE);
            let end = data.and_then(|data| data.checked_add(daddr));
            if !daddr.is_multiple_of(PAGE_SIZE) || daddr < VM_MIN_ADDRESS {
                return Err(unsupported::<Vmspace>(*id, Vmspace::vm_daddr));
            }
            if end.is_none_or(|end| end > VM_MAXUSER_ADDRESS) {
                return Err(unsupported::<Vmspace>(*id, Vmspace::vm_dsize));
            }
            for entry in &space.entries {
                fixed!(
                    *id,
                    entry,
                    VmMapEntry {
                        max_protection: PROT_ALL,
                        user_wired: false
                    }
                );
                if entry.eflags != 0 && entry.eflags != NEEDS_COPY {
                    return Err(unsupported::<VmMapEntry>(*id, VmMapEntry::eflags));
                }
                if entry.inheritance == Inherit::Zero {
                    return Err(unsupported::<VmMapEntry>(*id, VmMapEntry::inheritance));
                }
                let object = entry.object.ok_or(());
                let object =
                    object.map_err(|()| unsupported::<VmMapEntry>(*id, VmMapEntry::object))?;
                let end = (entry.offset + (entry.end - entry.start)) / PAGE_SIZE;
                let size = sizes.entry(object.id()).or_default();
                *size = end.max(*size);
            }
        }
        let mut depths: BTreeMap<u32, usize> = BTreeMap::new();
        for object in &self.objects {
            let backing = object.record.backing_object.map(|backing| backing.id());
            let below = backing.and_then(|id| depths.get(&id)).copied().unwrap_or(0);
            if below >= CHAIN_MAX {
                return Err(unsupported::<VmObject>(object.id, VmObject::backing_object));
            }
            depths.insert(object.id, below + 1);
        }
        for object in self.objects.iter().rev() {
            let id = object.id;
            fixed!(
                id,
                object.record,
                VmObject {
                    ty: ObjType::Anon,
                    backing_object_offset: 0,
                    flags: 0,
                    charge: 0,
                }
            );
            let last = object.pages.last().map_or(0, |(index, _)| index + 1);
            let mapped = sizes.get(&id).copied();
            let size = mapped.ok_or_else(|| unsupported::<VmObject>(id, VmObject::size))?;
            if object.record.size != size.max(last) {
                return Err(unsupported::<VmObject>(id, VmObject::size));
            }
            if let Some(backing) = object.record.backing_object {
                let behind = sizes.entry(backing.id()).or_default();
                *behind = (*behind).max(size);
            }
        }
        Ok(())
    }

    fn check_files(&self, config: &Config) -> Result<(), RestoreError> {
        let mut named: BTreeMap<u32, u32> = BTreeMap::new();
        let mut tables: BTreeSet<u32> = BTreeSet::new();
        for proc in &self.procs {
            let cred = proc.record.p_ucred.id();
            let Some(table) = proc.record.p_fd.map(|table| table.id()) else {
                continue;
            };
            if !tables.insert(table) {
                let key = vpscore::image::schema::Proc::p_fd;
                return Err(unsupported::<vpscore::image::schema::Proc>(proc.id, key));
            }
            for slot in self.filedescs.get(&table).iter().flat_map(|t| &t.fd_ofiles) {
                named.entry(slot.fde_file.id()).or_insert(cred);
            }
        }
        for (id, table) in &self.filedescs {
            fixed!(*id, table, Filedesc { pd_cmask: CMASK });
            if table.pwd_cdir.as_slice() != b"/" {
                return Err(unsupported::<Filedesc>(*id, Filedesc::pwd_cdir));
            }
            if table.pwd_rdir.as_slice() != b"/" {
                return Err(unsupported::<Filedesc>(*id, Filedesc::pwd_rdir));
            }
            let last = table.fd_ofiles.iter().last().map_or(0, |slot| slot.fd);
            if !tables.contains(id) || usize::try_from(last).map_or(true, |fd| fd >= config.nofile)
            {
                return Err(unsupported::<Filedesc>(*id, Filedesc::fd_ofiles));
            }
            for slot in &table.fd_ofiles {
                if slot.fde_flags & !UF_EXCLOSE != 0 {
                    return Err(unsupported::<Filedescent>(*id, Filedescent::fde_flags));
                }
                if slot.fde_rights.is_some() {
                    return Err(unsupported::<Filedescent>(*id, Filedescent::fde_rights));
                }
            }
        }
        let mut ends: BTreeMap<u32, ([bool; 2], u32)> = BTreeMap::new();
        for (id, file) in &self.files {
            fixed!(*id, file, File { f_offset: 0 });
            if file.f_flag & !FNONBLOCK != FREAD_FWRITE {
                return Err(unsupported::<File>(*id, File::f_flag));
            }
            // Which process opened it first is all that says whose it is.
            if named.get(id) != Some(&file.f_cred.id()) {
                return Err(contradiction::<File>(*id, File::f_cred));
            }
            match (file.f_type, &file.dev, file.pipe) {
                (FileType::Dev, Some(dev), _) if dev.as_slice() == b"console" => {}
                (FileType::Socket, _, _) => {}
                (FileType::Pipe, _, Some(pipe)) => {
                    let owner = file.f_cred.id();
                    let (open, _) = ends.entry(pipe.id()).or_insert(([false; 2], owner));
                    let [first, second] = open;
                    *(if file.pipe_end { second } else { first }) = true;
                }
                _ => return Err(unsupported::<File>(*id, File::f_type)),
            }
        }
        for (id, pipe) in &self.pipes {
            let none = ([false; 2], pipe.record.pp_owner.id());
            let ([first, second], owner) = ends.get(id).copied().unwrap_or(none);
            fixed!(*id, pipe.record, Pipe { pipe_ino: 0 });
            if !first && !second || owner != pipe.record.pp_owner.id() {
                return Err(contradiction::<Pipe>(*id, Pipe::pp_owner));
            }
            pipe_buf(*id, &pipe.record.pp_rpipe, second)?;
            pipe_buf(*id, &pipe.record.pp_wpipe, first)?;
        }
        for (id, acts) in &self.sigacts {
            fixed!(*id, acts, Sigacts { ps_flag: 0 });
            let uncatchable = |signo: u16| [SIGKILL, SIGSTOP].contains(&i32::from(signo));
            if acts.actions.iter().any(|action| uncatchable(action.signo)) {
                return Err(unsupported::<Sigacts>(*id, Sigacts::actions));
            }
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), RestoreError> {
        let levels = self.levels();
        // Groups first: each has a process, and each session a group, so that neither are more than processes.
        for (id, pgrp) in &self.pgrps {
            fixed!(*id, pgrp, Pgrp { pg_flags: 0 });
            if levels.get(&pgrp.instance.id()) != Some(&pgrp.pg_id.len()) {
                return Err(contradiction::<Pgrp>(*id, Pgrp::pg_id));
            }
            let mut members = self.procs.iter();
            if !members.any(|proc| proc.record.p_pgrp.id() == *id) {
                return Err(contradiction::<Pgrp>(*id, Pgrp::pg_session));
            }
        }
        for (id, session) in &self.sessions {
            if !session.s_login.is_empty() {
                return Err(unsupported::<Session>(*id, Session::s_login));
            }
            if levels.get(&session.instance.id()) != Some(&session.s_sid.len()) {
                return Err(contradiction::<Session>(*id, Session::s_sid));
            }
            let mut groups = self.pgrps.values();
            if !groups.any(|pgrp| pgrp.pg_session.id() == *id) {
                return Err(contradiction::<Session>(*id, Session::instance));
            }
        }
        let numbers = self.pgrps.values().map(|pgrp| pgrp.pg_id.get(0));
        if numbers.collect::<BTreeSet<_>>().len() != self.pgrps.len() {
            return Err(contradiction::<Pgrp>(0, Pgrp::pg_id));
        }
        let numbers = self.sessions.values().map(|session| session.s_sid.get(0));
        if numbers.collect::<BTreeSet<_>>().len() != self.sessions.len() {
            return Err(contradiction::<Session>(0, Session::s_sid));
        }
        Ok(())
    }
}

/// One direction of a pipe; `other` is whether the end that writes it is open.
fn pipe_buf(id: u32, buf: &PipeBuf, other: bool) -> Result<(), RestoreError> {
    fixed!(
        id,
        buf,
        PipeBuf {
            size: PIPE_SIZE as u32,
            pipe_state: if other { 0 } else { PIPE_EOF },
            pipe_atime: Duration::ZERO,
            pipe_mtime: Duration::ZERO,
            pipe_ctime: Duration::ZERO,
        }
    );
    Ok(())
}

/// What the core is told of an instance.
pub(super) fn settings(id: u32, record: &Instance, name: Name) -> Result<Settings, RestoreError> {
    let bits = |list: &vpscore::collections::List<u16>, key| {
        let mut words = *Bits::NONE.words();
        for raw in list {
            let known = Priv::from_raw(i32::from(*raw));
            let word = words.get_mut(usize::from(*raw >> 6));
            match (known, word) {
                (Some(_), Some(word)) => *word |= 1 << (raw & 63),
                _ => return Err(unsupported::<Instance>(id, key)),
            }
        }
        Bits::from_words(words).ok_or_else(|| unsupported::<Instance>(id, key))
    };
    Ok(Settings {
        name,
        allow: bits(&record.priv_allow, Instance::priv_allow)?,
        nosys: bits(&record.priv_nosys, Instance::priv_nosys)?,
        ceilings: Ceilings {
            instances: record.children_max.unwrap_or(Ceilings::MOST.instances),
            depth: record.depth_max.unwrap_or(Ceilings::MOST.depth),
        },
        pid_max: record.pid_max,
        last_pid: record.last_pid,
        last_tid: record.last_tid,
    })
}

/// A limit of an instance.
pub(super) fn limit(id: u32, record: &InstanceLimit) -> Result<(Resource, Limit), RestoreError> {
    let resource = u8::try_from(record.resource)
        .ok()
        .and_then(Resource::from_raw);
    let resource =
        resource.ok_or_else(|| unsupported::<InstanceLimit>(id, InstanceLimit::resource))?;
    let limit = Limit {
        soft: record.soft.unwrap_or(UNLIMITED),
        hard: record.hard.unwrap_or(UNLIMITED),
    };
    Ok((resource, limit))
}
