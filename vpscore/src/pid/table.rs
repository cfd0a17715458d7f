// SPDX-License-Identifier: BSD-2-Clause
//! The table of entries: found by the process, by the kernel's number, and by a number in a space.

use super::chains::Chains;
use super::entry::{Entry, Stage};
use super::numbers::{NumberError, Numbers, Slot};
use super::plan::{Plan, PlanError, Spares};
use super::space::Space;
use crate::collections::{NoMemory, Slab};
use crate::limits::DEPTH_MAX;
use crate::types::{HostId, InstanceId, ProcHandle};

/// What a table needs of the tree of instances: each one's space, parent and depth.
pub trait Spaces {
    /// The space of an instance; `None` for the host and for what is not there.
    fn space(&self, id: InstanceId) -> Option<&Space>;

    /// The same, to be changed.
    fn space_mut(&mut self, id: InstanceId) -> Option<&mut Space>;

    /// The instance above; `None` for the host.
    fn parent(&self, id: InstanceId) -> Option<InstanceId>;

    /// How many instances lie above; 0 for the host and for what is not there.
    fn depth(&self, id: InstanceId) -> usize;
}

/// Which numbers of a [`Space`] a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Of processes.
    Pid,
    /// Of threads.
    Tid,
}

impl Space {
    /// A process has got a number here; as `init`, it is the instance's.
    const fn joined(&mut self, kind: Kind, init: bool, slot: Slot) {
        if matches!(kind, Kind::Pid) {
            self.members = self.members.saturating_add(1);
            if init {
                self.init = Some(slot);
            }
        }
    }

    /// A process that had a number here is reaped, or never was.
    fn left(&mut self, kind: Kind, slot: Slot) {
        if kind == Kind::Pid {
            self.members = self.members.saturating_sub(1);
            if self.init == Some(slot) {
                self.init = None;
            }
        }
    }

    pub(super) const fn numbers(&self, kind: Kind) -> &Numbers {
        match kind {
            Kind::Pid => &self.pids,
            Kind::Tid => &self.tids,
        }
    }

    pub(super) const fn numbers_mut(&mut self, kind: Kind) -> &mut Numbers {
        match kind {
            Kind::Pid => &mut self.pids,
            Kind::Tid => &mut self.tids,
        }
    }
}

/// All processes (or all threads) of all instances below the host.
///
/// # Invariants
/// * I1: an entry's number at depth *d* stands for it in the space of its ancestor at depth *d*,
///   for every *d* from 1 to its own depth, and no number of a space stands for anything else.
/// * I2: every entry but the reserved ones is in the chain of its host id, unless the kernel has
///   handed the id out again (it is 0 then, of live and zombie ones only); live and zombie ones are
///   in the chain of their process as well; no chain holds any other.
/// * I3: `lingering` counts the lingering entries, and the list from the oldest to the newest has
///   exactly these; `reserved` counts the reserved ones.
#[derive(Debug)]
pub struct Table {
    kind: Kind,
    pub(super) slab: Slab<Entry>,
    pub(super) by_handle: Chains,
    pub(super) by_host: Chains,
    pub(super) oldest: Option<Slot>,
    pub(super) newest: Option<Slot>,
    lingering: usize,
    reserved: usize,
    serial: u64,
}

impl Table {
    /// An empty table for at most `max` entries, with a chain for every four of them as
    /// `procinit` makes them (`kern_proc.c`, 15.0).
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn create(kind: Kind, max: usize, seed: u64) -> Result<Self, NoMemory> {
        let buckets = max / 4;
        Ok(Self {
            kind,
            slab: Slab::create(max)?,
            by_handle: Chains::create(buckets, seed)?,
            by_host: Chains::create(buckets, seed.rotate_left(32))?,
            oldest: None,
            newest: None,
            lingering: 0,
            reserved: 0,
            serial: 0,
        })
    }

    /// How many entries there are, reserved and lingering ones with them.
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// How many are reserved, neither committed nor aborted yet.
    pub const fn reserved(&self) -> usize {
        self.reserved
    }

    /// How many are lingering.
    pub const fn lingering(&self) -> usize {
        self.lingering
    }

    /// The entry in `slot`.
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.slab.get(slot)
    }

    /// All entries, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.slab.iter()
    }

    /// The live or zombie entry of a process; in a table of threads, the newest of its threads.
    #[inline]
    pub fn by_handle(&self, handle: ProcHandle) -> Option<(Slot, &Entry)> {
        let mut at = self.by_handle.head(handle.0);
        while let Some(slot) = at {
            let entry = self.slab.get(slot)?;
            if entry.handle == handle {
                return Some((slot, entry));
            }
            at = entry.next_by_handle;
        }
        None
    }

    /// How many live or zombie entries a process has: in a table of threads, how many threads.
    pub fn count_by_handle(&self, handle: ProcHandle) -> usize {
        let first = self.by_handle.head(handle.0);
        let chain = core::iter::successors(first.and_then(|slot| self.slab.get(slot)), |entry| {
            entry.next_by_handle.and_then(|slot| self.slab.get(slot))
        });
        chain.filter(|entry| entry.handle == handle).count()
    }

    /// The entry with a number of the kernel: the newest that is there, else the newest that
    /// lingers.
    #[inline]
    pub fn by_host(&self, host: HostId) -> Option<(Slot, &Entry)> {
        let mut at = self.by_host.head(key(host));
        let mut lingering = None;
        while let Some(slot) = at {
            let entry = self.slab.get(slot)?;
            if entry.host == host {
                if entry.is_there() {
                    return Some((slot, entry));
                }
                lingering = lingering.or(Some((slot, entry)));
            }
            at = entry.next_by_host;
        }
        lingering
    }

    /// What a number stands for in a space.
    #[inline]
    pub fn by_number(&self, space: &Space, number: i32) -> Option<(Slot, &Entry)> {
        let slot = space.numbers(self.kind).get(number)?;
        Some((slot, self.slab.get(slot)?))
    }

    /// Whether the entry in `slot` has a number in `space`, which is that of the instance at
    /// `depth`; if so, which.
    #[inline]
    pub fn number_in(&self, space: &Space, depth: usize, slot: Slot) -> Option<i32> {
        let number = self.slab.get(slot)?.number_at(depth).0;
        (space.numbers(self.kind).get(number) == Some(slot)).then_some(number)
    }

    /// Picks the numbers of a new entry in `instance`: those `given` for the innermost instances,
    /// those of `keep` (an entry of an instance above) for the outermost, new ones in between.
    /// Changes nothing.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn plan<S: Spaces>(
        &self,
        spaces: &S,
        instance: InstanceId,
        given: &[i32],
        keep: Option<Slot>,
    ) -> Result<Plan, PlanError> {
        let kept = keep.and_then(|slot| self.get(slot));
        let kept = kept.map_or(&[][..], Entry::numbers);
        let mut plan = Plan::new(instance, spaces.depth(instance), given, kept)?;
        let mut at = instance;
        while let Some(level) = plan.next_level() {
            let space = spaces
                .space(at)
                .ok_or(PlanError::NoInstance { instance: at })?;
            let numbers = space.numbers(self.kind);
            let (number, needs_leaf) = match level.given {
                Some(number) => (number, numbers.probe(number)),
                None => match numbers.pick() {
                    Ok((number, needs_leaf)) => (number, Ok(needs_leaf)),
                    Err(error) => (0, Err(error)),
                },
            };
            let needs_leaf = needs_leaf.map_err(|error| PlanError::at(at, error))?;
            plan.settle(number, needs_leaf);
            at = spaces
                .parent(at)
                .ok_or(PlanError::NoInstance { instance: at })?;
        }
        plan.needs_chunk = !self.slab.has_room();
        if plan.needs_chunk && self.slab.is_at_limit() {
            return Err(PlanError::TableFull {
                entries: self.len(),
            });
        }
        Ok(plan)
    }

    /// Does what `plan` says, which was made under the same hold of the lock. The memory for it
    /// is in `spares`, of which more is never taken than the plan needs.
    ///
    /// # Errors
    /// [`PlanError`] where the plan is stale or the spares are short: a mistake of the caller.
    /// Nothing has changed then.
    pub fn apply<S: Spaces>(
        &mut self,
        spaces: &mut S,
        plan: &Plan,
        spares: &mut Spares,
    ) -> Result<Slot, PlanError> {
        if plan.needs_chunk {
            let chunk = spares.chunk(self.kind).ok_or(PlanError::SparesShort)?;
            if self.slab.grow(chunk).is_err() {
                return Err(PlanError::TableFull {
                    entries: self.len(),
                });
            }
        }
        let entry = Entry::reserved(plan.instance(), plan.numbers(), self.serial)
            .ok_or(PlanError::SparesShort)?;
        let slot = self
            .slab
            .insert(entry)
            .map_err(|_| PlanError::SparesShort)?;
        self.serial = self.serial.wrapping_add(1);
        self.reserved = self.reserved.saturating_add(1);
        let mut at = plan.instance();
        for (number, given) in plan.levels() {
            let taken = spaces
                .space_mut(at)
                .ok_or(NumberError::NeedsLeaf)
                .and_then(|space| {
                    let numbers = space.numbers_mut(self.kind);
                    numbers.take(number, slot, !given, &mut spares.leaves)?;
                    space.joined(self.kind, at == plan.instance() && number == 1, slot);
                    Ok(())
                });
            let parent = spaces.parent(at);
            let (Ok(()), Some(parent)) = (taken, parent) else {
                self.release(spaces, slot);
                return Err(PlanError::SparesShort);
            };
            at = parent;
        }
        Ok(slot)
    }

    /// Makes a reserved entry live: the kernel has the process (for a thread: the process has it).
    /// Whatever lingers under the same host id goes, since the kernel would not have given it to
    /// anyone while something carried it.
    pub fn commit<S: Spaces>(
        &mut self,
        spaces: &mut S,
        slot: Slot,
        handle: ProcHandle,
        host: HostId,
    ) {
        self.host_taken(spaces, host);
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        if entry.stage != Stage::Reserved {
            return;
        }
        entry.stage = Stage::Live;
        entry.handle = handle;
        entry.host = host;
        entry.next_by_handle = self.by_handle.push(handle.0, slot);
        entry.next_by_host = self.by_host.push(key(host), slot);
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Makes the numbers of `old`, a live entry, those of `new`, which is reserved and has a copy
    /// of them, and drops `old`: its process has entered a deeper instance.
    pub fn supersede<S: Spaces>(&mut self, spaces: &mut S, old: Slot, new: Slot) {
        let Some(entry) = self.slab.get(old) else {
            return;
        };
        for (depth, id) in levels(spaces, entry) {
            if let Some(space) = spaces.space_mut(id) {
                let number = entry.number_at(depth).0;
                space.numbers_mut(self.kind).repoint(number, old, new);
            }
        }
        self.release(spaces, old);
    }

    /// The process has exited; it keeps its numbers as a zombie.
    pub fn exit(&mut self, slot: Slot) {
        if let Some(entry) = self.slab.get_mut(slot)
            && entry.stage == Stage::Live
        {
            entry.stage = Stage::Zombie;
        }
    }

    /// The process is reaped: its numbers linger, since a group, session or reaper subtree may
    /// carry them.
    pub fn reap<S: Spaces>(&mut self, spaces: &mut S, slot: Slot) {
        let Some(entry) = self.slab.get(slot) else {
            return;
        };
        if !entry.is_there() {
            return;
        }
        if entry.host.0 == 0 {
            // Nothing can carry the id for it: it is another's.
            self.release(spaces, slot);
            return;
        }
        for (depth, id) in levels(spaces, entry) {
            let number = entry.number_at(depth).0;
            if let Some(space) = spaces.space_mut(id)
                && space.numbers(self.kind).get(number) == Some(slot)
            {
                space.left(self.kind, slot);
            }
        }
        self.unlink_handle(slot);
        if let Some(entry) = self.slab.get_mut(slot) {
            entry.stage = Stage::Lingering;
            self.lingering = self.lingering.saturating_add(1);
            self.linger_last(slot);
        }
    }

    /// The kernel has given `host` to a new process. Whatever lingers under it goes; a process that
    /// is still there, since its end is under way to us, has no id of the kernel any more.
    pub fn host_taken<S: Spaces>(&mut self, spaces: &mut S, host: HostId) {
        let mut at = self.by_host.head(key(host));
        while let Some(slot) = at {
            let Some(entry) = self.slab.get(slot) else {
                return;
            };
            at = entry.next_by_host;
            if entry.host != host {
                continue;
            }
            if entry.stage == Stage::Lingering {
                self.release(spaces, slot);
            } else {
                self.unlink_host(slot);
                if let Some(entry) = self.slab.get_mut(slot) {
                    entry.host = HostId(0);
                }
            }
        }
    }

    /// The entry that has lingered longest, moved to the end of the line: its slot, serial and
    /// host id, for the caller to ask the kernel about outside the lock.
    pub fn sweep_next(&mut self) -> Option<(Slot, u64, HostId)> {
        let slot = self.oldest?;
        self.unlink_linger(slot);
        self.linger_last(slot);
        let entry = self.slab.get(slot)?;
        Some((slot, entry.serial, entry.host))
    }

    /// Drops an entry of [`Table::sweep_next`] if it still is that one and lingers.
    pub fn sweep_drop<S: Spaces>(&mut self, spaces: &mut S, slot: Slot, serial: u64) {
        let same = |entry: &Entry| entry.serial == serial && entry.stage == Stage::Lingering;
        if self.get(slot).is_some_and(same) {
            self.release(spaces, slot);
        }
    }

    /// Gives all numbers of an entry back and forgets it, whatever its stage.
    pub fn release<S: Spaces>(&mut self, spaces: &mut S, slot: Slot) {
        let Some(entry) = self.slab.get(slot) else {
            return;
        };
        for (depth, id) in levels(spaces, entry) {
            if let Some(space) = spaces.space_mut(id) {
                let number = entry.number_at(depth).0;
                if space.numbers_mut(self.kind).give_back(number, slot)
                    && entry.stage != Stage::Lingering
                {
                    space.left(self.kind, slot);
                }
            }
        }
        match entry.stage {
            Stage::Reserved => self.reserved = self.reserved.saturating_sub(1),
            Stage::Live | Stage::Zombie => {
                self.unlink_handle(slot);
                self.unlink_host(slot);
            }
            Stage::Lingering => {
                self.unlink_host(slot);
                self.unlink_linger(slot);
                self.lingering = self.lingering.saturating_sub(1);
            }
        }
        self.slab.remove(slot);
    }

    fn unlink_handle(&mut self, slot: Slot) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let (handle, next) = (entry.handle.0, entry.next_by_handle.take());
        let mut at = self.by_handle.head(handle);
        if at == Some(slot) {
            self.by_handle.set_head(handle, next);
            return;
        }
        while let Some(entry) = at.and_then(|at| self.slab.get_mut(at)) {
            if entry.next_by_handle == Some(slot) {
                entry.next_by_handle = next;
                return;
            }
            at = entry.next_by_handle;
        }
    }

    fn unlink_host(&mut self, slot: Slot) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let (host, next) = (key(entry.host), entry.next_by_host.take());
        let mut at = self.by_host.head(host);
        if at == Some(slot) {
            self.by_host.set_head(host, next);
            return;
        }
        while let Some(entry) = at.and_then(|at| self.slab.get_mut(at)) {
            if entry.next_by_host == Some(slot) {
                entry.next_by_host = next;
                return;
            }
            at = entry.next_by_host;
        }
    }

    fn unlink_linger(&mut self, slot: Slot) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let (prev, next) = (entry.linger_prev.take(), entry.linger_next.take());
        match prev.and_then(|prev| self.slab.get_mut(prev)) {
            Some(before) => before.linger_next = next,
            None => self.oldest = next,
        }
        match next.and_then(|next| self.slab.get_mut(next)) {
            Some(after) => after.linger_prev = prev,
            None => self.newest = prev,
        }
    }

    fn linger_last(&mut self, slot: Slot) {
        let last = self.newest.replace(slot);
        if let Some(entry) = self.slab.get_mut(slot) {
            entry.linger_prev = last;
            entry.linger_next = None;
        }
        match last.and_then(|last| self.slab.get_mut(last)) {
            Some(before) => before.linger_next = Some(slot),
            None => self.oldest = Some(slot),
        }
    }
}

/// The instances that an entry has numbers in, with their depths, its own first. An array, since
/// the walk needs the tree that is changed along it.
fn levels<S: Spaces>(
    spaces: &S,
    entry: &Entry,
) -> impl Iterator<Item = (usize, InstanceId)> + use<S> {
    let mut path = [None; DEPTH_MAX];
    let mut at = Some(entry.instance);
    let mut depth = entry.depth();
    for level in &mut path {
        let Some(id) = at.filter(|_| depth > 0) else {
            break;
        };
        *level = Some((depth, id));
        depth = depth.saturating_sub(1);
        at = spaces.parent(id);
    }
    path.into_iter().flatten()
}

/// A host id as the key of a chain.
#[inline]
const fn key(host: HostId) -> u64 {
    host.0 as u32 as u64
}
