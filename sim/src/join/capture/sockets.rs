// SPDX-License-Identifier: BSD-2-Clause
//! The sockets of an image: those of the instances' own stacks, whoever holds them.
//!
//! A socket belongs to its stack and goes along with it, also where no descriptor names it any more:
//! one in TIME_WAIT, one that waits to be accepted.

use super::{Capture, CaptureError};
use crate::join::net::sockets::capture_sockets;
use crate::kern::file::FileKind;
use crate::kern::types::{PrisonId, VnetId};
use crate::net::cx::{SoId, SoWait};
use std::collections::BTreeMap;
use vpscore::image::schema::Wchan;
use vpscore::image::{SocketRef, UcredRef, VnetRef};

impl Capture<'_> {
    /// Writes the sockets and embryonic connections of all stacks.
    pub(super) fn sockets(&mut self) -> Result<(), CaptureError> {
        let kern = self.kern;
        let mut owners: BTreeMap<(VnetId, SoId), UcredRef> = BTreeMap::new();
        for (p, _, file) in self.descriptors() {
            let proc = kern.proc(p);
            if let (Some((FileKind::Socket(vnet, so), _)), Some(proc)) = (kern.file(file), proc) {
                owners.insert((vnet, so), self.cred(proc.ucred())?);
            }
        }
        let mut stacks = Vec::new();
        let mut nobodys: BTreeMap<VnetRef, UcredRef> = BTreeMap::new();
        for ((instance, vnet), reference) in self.stacks.iter().zip(&self.vnets) {
            if let Some(stack) = kern.vnets.get(vnet) {
                stacks.push((*instance, stack));
            }
            // What nobody holds any more counts as its instance's first process's, or as root's.
            let inside = self.creds.iter().find(|(cred, _)| {
                let found = self.instance_ref(cred.prison);
                found.is_ok_and(|found| found == *instance)
            });
            if let Some((_, cred)) = inside {
                nobodys.insert(*reference, *cred);
            }
        }
        let by_ref: BTreeMap<VnetRef, VnetId> = self
            .vnets
            .iter()
            .zip(&self.stacks)
            .map(|(reference, (_, vnet))| (*reference, *vnet))
            .collect();
        let owner = |vnet: VnetRef, so: Option<SoId>| {
            let id = by_ref.get(&vnet)?;
            let held = so.and_then(|so| owners.get(&(*id, so)));
            held.or_else(|| nobodys.get(&vnet)).copied()
        };
        let now = self.now;
        let all = (stacks.as_slice(), self.vnets.as_slice());
        let refs = capture_sockets(&mut self.w, all, owner, now).map_err(CaptureError::Net)?;
        for ((vnet, so), reference) in refs {
            if let Some(id) = by_ref.get(&vnet) {
                self.sockets.insert((*id, so), reference);
            }
        }
        Ok(())
    }

    /// The socket in the image; `None` where it is of a stack outside.
    pub(super) fn socket(&self, vnet: VnetId, so: SoId) -> Option<SocketRef> {
        self.sockets.get(&(vnet, so)).copied()
    }

    /// Whether anything in the stack of a prison has a credential.
    pub(super) fn has_sockets(&self, prison: PrisonId) -> bool {
        let vnet = self.kern.prison(prison).map(|prison| prison.vnet);
        let stack = vnet.and_then(|vnet| self.kern.vnets.get(&vnet));
        stack.is_some_and(|stack| {
            let inet = stack.transports();
            inet.iter().next().is_some() || inet.syncache_count() > 0
        })
    }

    /// Whether the stack goes along.
    pub(super) fn has_stack(&self, vnet: VnetId) -> bool {
        self.stacks.iter().any(|(_, own)| *own == vnet)
    }
}

/// What a thread sleeps on at a socket, in the image.
pub(in crate::join) fn wchan(what: SoWait) -> Wchan {
    match what {
        SoWait::Rcv => Wchan::SockRcv,
        SoWait::Snd => Wchan::SockSnd,
        SoWait::Timeo => Wchan::Connect,
    }
}

/// The same the other way round.
pub(in crate::join) fn so_wait(wchan: Wchan) -> Option<SoWait> {
    match wchan {
        Wchan::SockRcv | Wchan::Accept => Some(SoWait::Rcv),
        Wchan::SockSnd => Some(SoWait::Snd),
        Wchan::Connect => Some(SoWait::Timeo),
        _ => None,
    }
}
