// SPDX-License-Identifier: BSD-2-Clause
//! Making processes and threads: reserve before the kernel makes them, commit when it has.
//!
//! # Tries
//! A reservation is worked out under the lock; where it lacks memory, it says for which depth, the
//! lock is let go, the memory is had, and the whole is worked out anew. See
//! [`crate::limits::RESERVE_TRIES`] for why three tries are enough.

use super::error::{ForkError, ThreadError};
use super::{Core, State};
use crate::instance::{Live, State as Life};
use crate::kpi::{Kpi, LockFamily};
use crate::limits::{DEPTH_MAX, RESERVE_TRIES, SWEEP_MAX};
use crate::pid::{PlanError, Slot, Spaces, Spares, Stage};
use crate::racct::{self, Resource};
use crate::types::{HostId, InstanceId, ProcHandle, ViewId};

/// A process of an instance with its first thread, and the charge that each has made.
pub(super) const PROC_CHARGE: &[(Resource, u64)] = &[(Resource::Nproc, 1), (Resource::Nthr, 1)];

/// The slots of a reserved process and its first thread.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) instance: InstanceId,
    pub(super) proc: Slot,
    pub(super) thread: Slot,
    pub(super) pid: ViewId,
    pub(super) tid: ViewId,
}

/// A process that may be made: charged, numbered, not there yet.
#[derive(Debug)]
#[must_use = "commit or abort it"]
pub struct ForkReservation(Option<Pair>);

impl ForkReservation {
    /// The PID of the child in its instance, which is what the parent's `fork(2)` returns; `None`
    /// where the parent is the host's, and the kernel's own number is meant.
    pub fn pid(&self) -> Option<ViewId> {
        self.0.as_ref().map(|pair| pair.pid)
    }

    /// The same for the TID of its first thread.
    pub fn tid(&self) -> Option<ViewId> {
        self.0.as_ref().map(|pair| pair.tid)
    }
}

/// A thread that may be made.
#[derive(Debug)]
#[must_use = "commit or abort it"]
pub struct ThreadReservation(Option<(Slot, ViewId)>);

impl ThreadReservation {
    /// The TID in its instance; `None` where the process is the host's.
    pub fn tid(&self) -> Option<ViewId> {
        self.0.map(|(_, tid)| tid)
    }
}

/// What has become of a process at its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a doomed process is to be killed"]
pub enum Committed {
    /// It may run.
    Runs,
    /// After the reservation the init of its instance, or of one above it, exited, or the instance
    /// was destroyed: all that lived there was killed, and the kernel sends this one `SIGKILL`
    /// before it runs.
    Doomed,
}

/// One try of a reservation.
pub(super) enum Try<R> {
    Done(R),
    /// Memory for an entry at this depth is needed.
    Needs(usize),
}

impl<F: LockFamily> Core<F> {
    /// Reserves a child for `parent`: `fork(2)`, `vfork(2)`, `rfork(2)` with `RFPROC`,
    /// `pdfork(2)`, before the kernel does anything.
    ///
    /// # Errors
    /// [`ForkError`]; nothing is charged or taken then.
    pub fn fork_reserve<K: Kpi>(
        &self,
        kpi: &mut K,
        parent: ProcHandle,
    ) -> Result<ForkReservation, ForkError> {
        if self.read(|state| state.proc(parent).is_none()) {
            return Ok(ForkReservation(None));
        }
        self.sweep(kpi, SWEEP_MAX);
        let pair = self.reserve(kpi, |state, spares| {
            let instance = state.instance_of(parent);
            if instance == InstanceId::VPS0 {
                return Ok(Try::Done(None));
            }
            state.may_fork(instance)?;
            Ok(match state.reserve_proc(instance, &[], &[], spares)? {
                Try::Done(pair) => Try::Done(Some(pair)),
                Try::Needs(depth) => Try::Needs(depth),
            })
        })?;
        Ok(ForkReservation(pair))
    }

    /// Reserves a process that an image brings, with the numbers it had: `pids` and `tids` are
    /// those in the restored instance and the ones below it, outermost first; above, the numbers
    /// are new. Further threads follow by [`Core::thread_restore`].
    ///
    /// # Errors
    /// [`ForkError`]; a number that is in use or out of range is [`ForkError::Numbers`].
    pub fn proc_restore<K: Kpi>(
        &self,
        kpi: &mut K,
        instance: InstanceId,
        pids: &[i32],
        tids: &[i32],
    ) -> Result<ForkReservation, ForkError> {
        let pair = self.reserve(kpi, |state, spares| {
            state.may_restore(instance)?;
            state.reserve_proc(instance, pids, tids, spares)
        })?;
        Ok(ForkReservation(Some(pair)))
    }

    /// The process is there (`process_fork`): from here on it has its numbers, and so has its first
    /// thread. Neither sleeps nor fails. For a process of the host it ends the lingering of ids
    /// that the kernel has now handed out again.
    pub fn fork_commit(
        &self,
        reservation: ForkReservation,
        child: ProcHandle,
        host: HostId,
        tid: HostId,
    ) -> Committed {
        let Some(pair) = reservation.0 else {
            self.host_id_taken(host);
            return Committed::Runs;
        };
        self.write(|state| {
            state.commit_pair(&pair, child, host, tid);
            state.checked(pair.instance, &[pair.proc], &[pair.thread]);
            state.committed(pair.instance)
        })
    }

    /// The kernel could not make the process after all. Neither sleeps nor fails.
    pub fn fork_abort(&self, reservation: ForkReservation) {
        if let Some(pair) = reservation.0 {
            self.write(|state| state.abort_pair(&pair));
        }
    }

    /// Reserves another thread for `proc`: `thr_new(2)`, before the kernel does anything.
    ///
    /// # Errors
    /// [`ThreadError`]; nothing is charged or taken then.
    pub fn thread_reserve<K: Kpi>(
        &self,
        kpi: &mut K,
        proc: ProcHandle,
    ) -> Result<ThreadReservation, ThreadError> {
        if self.read(|state| state.proc(proc).is_none()) {
            return Ok(ThreadReservation(None));
        }
        self.reserve(kpi, |state, spares| {
            let instance = state.instance_of(proc);
            if instance == InstanceId::VPS0 {
                return Ok(Try::Done(ThreadReservation(None)));
            }
            state.reserve_thread(instance, &[], spares)
        })
        .map_err(ThreadError::Refused)
    }

    /// Reserves another thread of a process that an image brings, with the numbers it had.
    ///
    /// # Errors
    /// [`ThreadError`].
    pub fn thread_restore<K: Kpi>(
        &self,
        kpi: &mut K,
        proc: ProcHandle,
        tids: &[i32],
    ) -> Result<ThreadReservation, ThreadError> {
        self.reserve(kpi, |state, spares| {
            let instance = state.instance_of(proc);
            state.may_restore(instance)?;
            state.reserve_thread(instance, tids, spares)
        })
        .map_err(ThreadError::Refused)
    }

    /// The thread is there, as one of `proc`. Neither sleeps nor fails.
    pub fn thread_commit(&self, reservation: ThreadReservation, proc: ProcHandle, tid: HostId) {
        if let Some((slot, _)) = reservation.0 {
            self.write(|state| {
                state.threads.commit(&mut state.tree, slot, proc, tid);
                state.checked(InstanceId::VPS0, &[], &[slot]);
            });
        }
    }

    /// The kernel could not make the thread after all. Neither sleeps nor fails.
    pub fn thread_abort(&self, reservation: ThreadReservation) {
        if let Some((slot, _)) = reservation.0 {
            self.write(|state| state.drop_thread(slot));
        }
    }

    /// The kernel has handed `host` to a new process of the host itself (`process_fork`): whatever
    /// lingered under it goes, and a process that had it, of whose end we have not been told yet,
    /// has it no more. [`Core::fork_commit`] sees to it for the processes it commits. Neither
    /// sleeps nor fails; costs a look where nothing has the id.
    pub fn host_id_taken(&self, host: HostId) {
        if self.read(|state| state.procs.by_host(host).is_some()) {
            self.write(|state| state.procs.host_taken(&mut state.tree, host));
        }
    }

    /// Works a reservation out until it has the memory it needs. Where ids have run out, those that
    /// linger for nothing are swept first, once.
    pub(super) fn reserve<K: Kpi, R>(
        &self,
        kpi: &mut K,
        mut work: impl FnMut(&mut State, &mut Spares) -> Result<Try<R>, ForkError>,
    ) -> Result<R, ForkError> {
        let mut swept = false;
        let mut spares = Spares::none();
        let mut tries = RESERVE_TRIES;
        loop {
            match self.write(|state| work(state, &mut spares)) {
                Ok(Try::Done(done)) => return Ok(done),
                Ok(Try::Needs(depth)) => {
                    tries = tries.checked_sub(1).ok_or(ForkError::NoMemory)?;
                    let first = tries.saturating_add(1) == RESERVE_TRIES;
                    spares = Spares::for_depth(if first { depth } else { DEPTH_MAX })?;
                }
                Err(ForkError::Numbers(error)) if !swept && runs_out(error) => {
                    swept = true;
                    self.sweep(kpi, usize::MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the kernel about ids that linger, the oldest first, and drops those that nothing
    /// carries any more: `most` of them, and each at most once.
    pub(super) fn sweep<K: Kpi>(&self, kpi: &mut K, most: usize) {
        let mut left = self.read(|state| state.procs.lingering()).min(most);
        while left > 0 {
            let mut batch = [None; SWEEP_MAX];
            let count = left.min(SWEEP_MAX);
            self.write(|state| {
                for place in batch.iter_mut().take(count) {
                    *place = state.procs.sweep_next();
                }
            });
            for place in &mut batch {
                if place.is_some_and(|(_, _, host)| kpi.id_named(host)) {
                    *place = None;
                }
            }
            self.write(|state| {
                for (slot, serial, _) in batch.into_iter().flatten() {
                    state.procs.sweep_drop(&mut state.tree, slot, serial);
                }
            });
            left = left.saturating_sub(count);
        }
    }
}

const fn runs_out(error: PlanError) -> bool {
    matches!(
        error,
        PlanError::Exhausted { .. } | PlanError::TableFull { .. } | PlanError::InUse { .. }
    )
}

impl State {
    /// The nearest instance, from `id` up, whose init has exited while it has not come to rest.
    pub(crate) fn halting(&self, id: InstanceId) -> Option<InstanceId> {
        self.tree
            .path_up(id)
            .filter(|node| node.depth() > 0)
            .find(|node| {
                let stage = node.space.init().and_then(|slot| self.procs.get(slot));
                let alive =
                    stage.is_some_and(|init| matches!(init.stage(), Stage::Reserved | Stage::Live));
                runs(node.state()) && !alive
            })
            .map(|node| node.id())
    }

    /// Whether a process that is now in `instance` has missed the killing of all others there.
    pub(super) fn committed(&self, instance: InstanceId) -> Committed {
        if self.is_doomed(instance) || self.halting(instance).is_some() {
            Committed::Doomed
        } else {
            Committed::Runs
        }
    }

    pub(super) fn not_fenced(&self, id: InstanceId) -> Result<(), ForkError> {
        let fenced = self.tree.path_up(id).find(|node| node.fenced());
        fenced.map_or(Ok(()), |node| {
            Err(ForkError::Fenced {
                instance: node.id(),
            })
        })
    }

    /// Whether a process of `instance` may fork.
    pub(super) fn may_fork(&self, instance: InstanceId) -> Result<(), ForkError> {
        self.not_fenced(instance)?;
        let node = self.tree.node(instance);
        let node = node.ok_or(ForkError::Numbers(PlanError::NoInstance { instance }))?;
        if !runs(node.state()) {
            return Err(ForkError::WrongState {
                instance,
                state: node.state(),
            });
        }
        match self.halting(instance) {
            Some(instance) => Err(ForkError::Halting { instance }),
            None => Ok(()),
        }
    }

    /// Charges, numbers and notes a process with its first thread in `instance`, all or nothing.
    pub(super) fn reserve_proc(
        &mut self,
        instance: InstanceId,
        pids: &[i32],
        tids: &[i32],
        spares: &mut Spares,
    ) -> Result<Try<Pair>, ForkError> {
        let pid = self.procs.plan(&self.tree, instance, pids, None)?;
        let tid = self.threads.plan(&self.tree, instance, tids, None)?;
        if !spares.cover(Some(&pid), Some(&tid)) {
            return Ok(Try::Needs(self.tree.depth(instance)));
        }
        racct::charge_all(&mut self.tree, instance, PROC_CHARGE)?;
        let taken = self
            .procs
            .apply(&mut self.tree, &pid, spares)
            .and_then(
                |proc| match self.threads.apply(&mut self.tree, &tid, spares) {
                    Ok(thread) => Ok((proc, thread)),
                    Err(error) => {
                        self.procs.release(&mut self.tree, proc);
                        Err(error)
                    }
                },
            );
        match taken {
            Ok((proc, thread)) => {
                self.checked(instance, &[proc], &[thread]);
                Ok(Try::Done(self.pair(instance, proc, thread)))
            }
            Err(error) => {
                self.uncharge(instance, PROC_CHARGE);
                Err(error.into())
            }
        }
    }

    pub(super) fn pair(&self, instance: InstanceId, proc: Slot, thread: Slot) -> Pair {
        let number = |entry: Option<&crate::pid::Entry>| {
            entry.map_or(ViewId::NONE, crate::pid::Entry::own_number)
        };
        Pair {
            instance,
            proc,
            thread,
            pid: number(self.procs.get(proc)),
            tid: number(self.threads.get(thread)),
        }
    }

    pub(super) fn commit_pair(
        &mut self,
        pair: &Pair,
        child: ProcHandle,
        host: HostId,
        tid: HostId,
    ) {
        self.procs.commit(&mut self.tree, pair.proc, child, host);
        self.threads.commit(&mut self.tree, pair.thread, child, tid);
    }

    pub(super) fn abort_pair(&mut self, pair: &Pair) {
        self.procs.release(&mut self.tree, pair.proc);
        self.threads.release(&mut self.tree, pair.thread);
        self.uncharge(pair.instance, PROC_CHARGE);
        self.checked(pair.instance, &[], &[]);
        self.settle(pair.instance);
    }

    fn reserve_thread(
        &mut self,
        instance: InstanceId,
        tids: &[i32],
        spares: &mut Spares,
    ) -> Result<Try<ThreadReservation>, ForkError> {
        self.not_fenced(instance)?;
        let plan = self.threads.plan(&self.tree, instance, tids, None)?;
        if !spares.cover(None, Some(&plan)) {
            return Ok(Try::Needs(self.tree.depth(instance)));
        }
        racct::charge(&mut self.tree, instance, Resource::Nthr, 1)?;
        match self.threads.apply(&mut self.tree, &plan, spares) {
            Ok(slot) => {
                self.checked(instance, &[], &[slot]);
                let entry = self.threads.get(slot);
                let tid = entry.map_or(ViewId::NONE, crate::pid::Entry::own_number);
                Ok(Try::Done(ThreadReservation(Some((slot, tid)))))
            }
            Err(error) => {
                self.uncharge(instance, &[(Resource::Nthr, 1)]);
                Err(error.into())
            }
        }
    }

    /// Forgets a thread and gives back what it was charged.
    pub(super) fn drop_thread(&mut self, slot: Slot) {
        let Some(instance) = self.threads.get(slot).map(|entry| entry.instance()) else {
            return;
        };
        self.threads.release(&mut self.tree, slot);
        self.uncharge(instance, &[(Resource::Nthr, 1)]);
        self.checked(instance, &[], &[]);
    }

    /// Gives back what was charged before. An account that has less is our bug, which fences the
    /// instance; there is nobody to tell.
    pub(super) fn uncharge(&mut self, instance: InstanceId, amounts: &[(Resource, u64)]) {
        if racct::release_all(&mut self.tree, instance, amounts).is_err() {
            self.tree.fence(instance);
        }
    }

    /// Under feature `invariants`, checks what a change has touched.
    #[inline]
    pub(crate) fn checked(&self, instance: InstanceId, procs: &[Slot], threads: &[Slot]) {
        #[cfg(any(test, feature = "invariants"))]
        assert!(
            self.invariants_of(instance, procs, threads),
            "state: a broken invariant"
        );
        let _ = (instance, procs, threads);
    }
}

/// Whether an instance in this state has an init that runs, or is to run again.
pub(super) const fn runs(state: Life) -> bool {
    match state {
        Life::Running
        | Life::Suspending {
            from: Live::Running,
        }
        | Life::Suspended {
            from: Live::Running,
        }
        | Life::Snapshotting {
            from: Live::Running,
        }
        | Life::Migrating {
            from: Live::Running,
            ..
        } => true,
        Life::Created
        | Life::Suspending {
            from: Live::Created,
        }
        | Life::Suspended {
            from: Live::Created,
        }
        | Life::Snapshotting {
            from: Live::Created,
        }
        | Life::Migrating {
            from: Live::Created,
            ..
        }
        | Life::Restoring
        | Life::Dying
        | Life::Dead => false,
    }
}
