// SPDX-License-Identifier: BSD-2-Clause
//! What the machines ask of a kernel, done by the emulated ones.

use super::{IMAGE_MOST, Side, told};
use crate::world::World;
use sha2::{Digest, Sha256};
use vpscore::collections::List;
use vpscore::migrate::stream::Receiver;
use vpscore::migrate::{Action, Outputs, Reason, source, target};
use vpscore::types::InstanceId;

impl World {
    pub(super) fn act(
        &mut self,
        index: usize,
        side: Side,
        action: Action,
        bytes: &[u8],
    ) -> Outputs {
        let now = self.now();
        match side {
            Side::Source => {
                let Some(local) = self.act_source(index, action) else {
                    return Outputs::NONE;
                };
                let source = self.moves.get_mut(index).and_then(|mv| mv.source.as_mut());
                source
                    .and_then(|source| source.local(local, now).ok())
                    .unwrap_or(Outputs::NONE)
            }
            Side::Target => {
                let Some(local) = self.act_target(index, action, bytes) else {
                    return Outputs::NONE;
                };
                let target = self.moves.get_mut(index).and_then(|mv| mv.target.as_mut());
                target
                    .and_then(|target| target.local(local, now).ok())
                    .unwrap_or(Outputs::NONE)
            }
        }
    }

    fn act_source(&mut self, index: usize, action: Action) -> Option<source::Local> {
        let (host, path) = self.moves.get(index).map(|mv| (mv.from, mv.path.clone()))?;
        let instance = self.hosts.get(host)?.instance(&path)?;
        match action {
            Action::Scan => Some(self.scan(index, host, instance)),
            Action::SendChunks { first, count } => {
                self.send_chunks(index, first, count);
                None
            }
            Action::Stop => Some(self.stop(index, host, instance)),
            Action::Resume => {
                let machine = self.hosts.get_mut(host)?;
                let aborted = machine.join.migrate_abort(&mut machine.kern, instance);
                debug_assert!(aborted.is_ok(), "abort is free: {aborted:?}");
                let now = self.now();
                if let Some(mv) = self.moves.get_mut(index) {
                    mv.resumed = Some(now);
                }
                self.settle(host);
                None
            }
            Action::Release => {
                self.drain_trace(host);
                let machine = self.hosts.get_mut(host)?;
                let released = machine.release(instance);
                debug_assert!(released.is_ok(), "the copy can be let go: {released:?}");
                machine.rewire();
                self.settle(host);
                None
            }
            Action::Forget => {
                let mv = self.moves.get_mut(index)?;
                mv.journal[Side::Source as usize].clear();
                None
            }
            _ => None,
        }
    }

    /// Collects the pages written since the last round; in the first, all.
    fn scan(&mut self, index: usize, host: usize, instance: InstanceId) -> source::Local {
        let now = self.now();
        let (Some(machine), Some(mv)) = (self.hosts.get_mut(host), self.moves.get_mut(index))
        else {
            return source::Local::Failed;
        };
        let mut round = List::new();
        let pages = machine.pages_written(instance, mv.scans.is_empty());
        for page in pages {
            if mv.sender.page(&page, &mut round).is_err() {
                return source::Local::Failed;
            }
        }
        mv.scans.push(now);
        mv.precopied += round.len();
        let (chunks, bytes) = mv.append(round.as_slice());
        source::Local::Scanned { chunks, bytes }
    }

    fn stop(&mut self, index: usize, host: usize, instance: InstanceId) -> source::Local {
        let now = self.now();
        let Some(machine) = self.hosts.get_mut(host) else {
            return source::Local::Failed;
        };
        if machine
            .join
            .migrate_stop(&mut machine.kern, instance)
            .is_err()
        {
            return source::Local::StopFailed;
        }
        let image = machine.join.capture(&mut machine.kern, instance);
        let Some(mv) = self.moves.get_mut(index) else {
            return source::Local::Failed;
        };
        let image = match image {
            Ok(image) => image,
            Err(error) => {
                mv.complaint = Some(told::capture(&error));
                return source::Local::Failed;
            }
        };
        mv.stopped = Some(now);
        mv.image_bytes = image.len();
        let mut rest = List::new();
        if mv.sender.image(&image, &mut rest).is_err() {
            return source::Local::Failed;
        }
        let (chunks, bytes) = mv.append(rest.as_slice());
        source::Local::Stopped {
            chunks,
            bytes,
            digest: Sha256::digest(&image).into(),
        }
    }

    fn act_target(&mut self, index: usize, action: Action, bytes: &[u8]) -> Option<target::Local> {
        let now = self.now();
        let mv = self.moves.get_mut(index)?;
        let (host, path) = (mv.to, mv.path.clone());
        match action {
            Action::Check => {
                let machine = self.hosts.get(host)?;
                let taken = machine.instance(&path).is_some();
                let parent = machine.parent_of(&path).is_ok();
                if !parent {
                    mv.complaint = Some("its parent instance is not there".to_owned());
                }
                Some(match (taken, parent) {
                    (false, true) => target::Local::Checked,
                    (true, _) => target::Local::CheckFailed(Reason::Exists),
                    (false, false) => target::Local::CheckFailed(Reason::Resources),
                })
            }
            Action::Apply { seq } => Some(match mv.receiver.feed(bytes) {
                Ok(()) => target::Local::Applied { seq },
                Err(_) => target::Local::Failed(Reason::Mismatch),
            }),
            Action::Restore => Some(self.build_restored(index, host, &path)),
            Action::Discard => {
                mv.receiver = Receiver::new(IMAGE_MOST);
                let restored = mv.restored.take()?;
                self.drain_trace(host);
                let machine = self.hosts.get_mut(host)?;
                let gone = machine.release(restored);
                debug_assert!(gone.is_ok(), "what was built can be let go: {gone:?}");
                machine.rewire();
                None
            }
            Action::Activate => {
                mv.resumed = Some(now);
                let (restored, spec) = (mv.restored?, mv.spec);
                self.translate_moved(spec, host);
                let machine = self.hosts.get_mut(host)?;
                machine.rewire();
                let resumed = machine.join.resume(&mut machine.kern, restored);
                debug_assert!(resumed.is_ok(), "what was restored can run: {resumed:?}");
                machine.announce(now, restored);
                self.settle(host);
                self.pids
                    .extend(self.pid_table(host, &format!("after {path} has moved")));
                None
            }
            Action::Forget => {
                mv.journal[Side::Target as usize].clear();
                None
            }
            _ => None,
        }
    }

    fn build_restored(&mut self, index: usize, host: usize, path: &str) -> target::Local {
        let Some(mv) = self.moves.get_mut(index) else {
            return target::Local::Failed(Reason::TargetFailed);
        };
        let spec = mv.spec;
        let receiver = std::mem::replace(&mut mv.receiver, Receiver::new(IMAGE_MOST));
        let Ok(image) = receiver.finish() else {
            return target::Local::Failed(Reason::Mismatch);
        };
        let image = image.as_slice();
        if mv.digest != Some(Sha256::digest(image).into()) {
            return target::Local::Failed(Reason::Mismatch);
        }
        let Ok(remap) = self.remap_of(spec) else {
            return target::Local::Failed(Reason::TargetFailed);
        };
        let Some(machine) = self.hosts.get_mut(host) else {
            return target::Local::Failed(Reason::TargetFailed);
        };
        let Ok((parent, name)) = machine.parent_of(path) else {
            return target::Local::Failed(Reason::Exists);
        };
        let (kern, join) = (&mut machine.kern, &mut machine.join);
        match join.restore_remapped(kern, parent, Some(name), image, &remap) {
            Ok(restored) => {
                if let Some(mv) = self.moves.get_mut(index) {
                    mv.restored = Some(restored);
                }
                target::Local::Restored
            }
            Err(error) => {
                if let Some(mv) = self.moves.get_mut(index) {
                    mv.complaint = Some(told::restore(&error));
                }
                target::Local::Failed(Reason::TargetFailed)
            }
        }
    }
}
