// SPDX-License-Identifier: BSD-2-Clause
//! A process enters an instance below its own: downward only, one way, alone.
//!
//! It keeps the numbers it has in its instance and above, and gets new ones from there down; the
//! first to enter an instance becomes its init. (The original let it keep the number of the
//! caller's instance without looking whether it was free.)

use super::error::{AttachError, ForkError};
use super::fork::{Committed, PROC_CHARGE, Pair, Try, runs};
use super::{Core, State};
use crate::instance::{Event, State as Life};
use crate::kpi::{Kpi, LockFamily};
use crate::pid::{Slot, Spaces, Spares};
use crate::racct;
use crate::types::{HostId, InstanceId, ProcHandle, ViewId};

/// A process that may enter an instance: charged and numbered there.
#[derive(Debug)]
#[must_use = "commit or abort it"]
pub struct AttachReservation {
    pair: Pair,
    from: InstanceId,
    /// The process and its thread as they were; `None` for those of the host.
    old: Option<(Slot, Slot)>,
}

impl AttachReservation {
    /// The PID that it will have inside; 1 for init.
    pub fn pid(&self) -> ViewId {
        self.pair.pid
    }
}

/// Why the common part of a reservation stopped: `reserve` knows of fork's errors only.
enum Stop {
    Fork(ForkError),
    Attach(AttachError),
}

impl<F: LockFamily> Core<F> {
    /// Reserves the entry of `proc` into `to`, before the kernel moves it (`jail_attach`). An
    /// instance that holds no process is started by it.
    ///
    /// # Errors
    /// [`AttachError`]; nothing is charged, taken or started then.
    pub fn attach_reserve<K: Kpi>(
        &self,
        kpi: &mut K,
        proc: ProcHandle,
        to: InstanceId,
    ) -> Result<AttachReservation, AttachError> {
        let mut refused = None;
        let done = self.reserve(kpi, |state, spares| {
            match state.reserve_attach(proc, to, spares) {
                Ok(done) => Ok(done.map_done(Some)),
                Err(Stop::Fork(error)) => Err(error),
                Err(Stop::Attach(error)) => {
                    refused = Some(error);
                    Ok(Try::Done(None))
                }
            }
        })?;
        done.ok_or_else(|| refused.unwrap_or(AttachError::NoInstance { instance: to }))
    }

    /// The process is inside now: `host` and `tid` are its ids in the kernel, which it keeps.
    /// Neither sleeps nor fails.
    pub fn attach_commit(
        &self,
        reservation: AttachReservation,
        proc: ProcHandle,
        host: HostId,
        tid: HostId,
    ) -> Committed {
        self.write(|state| {
            let pair = reservation.pair;
            if let Some((old, thread)) = reservation.old {
                state.procs.supersede(&mut state.tree, old, pair.proc);
                state
                    .threads
                    .supersede(&mut state.tree, thread, pair.thread);
            }
            state.commit_pair(&pair, proc, host, tid);
            state.checked(pair.instance, &[pair.proc], &[pair.thread]);
            state.committed(pair.instance)
        })
    }

    /// The kernel could not move it after all. Neither sleeps nor fails.
    pub fn attach_abort(&self, reservation: AttachReservation) {
        self.write(|state| {
            let pair = reservation.pair;
            state.procs.release(&mut state.tree, pair.proc);
            state.threads.release(&mut state.tree, pair.thread);
            state.move_charge(pair.instance, reservation.from);
            state.settle(pair.instance);
            state.checked(pair.instance, &[], &[]);
        });
    }
}

impl<R> Try<R> {
    fn map_done<T>(self, f: impl FnOnce(R) -> T) -> Try<T> {
        match self {
            Self::Done(done) => Try::Done(f(done)),
            Self::Needs(depth) => Try::Needs(depth),
        }
    }
}

impl State {
    fn reserve_attach(
        &mut self,
        proc: ProcHandle,
        to: InstanceId,
        spares: &mut Spares,
    ) -> Result<Try<AttachReservation>, Stop> {
        let from = self.instance_of(proc);
        let old = self.may_attach(proc, from, to).map_err(Stop::Attach)?;
        let first = self.may_enter(to)?;
        let given: &[i32] = if first { &[1] } else { &[] };
        let (old_proc, old_thread) = old.unzip();
        let fork = |error| Stop::Fork(ForkError::Numbers(error));
        let pid = self.procs.plan(&self.tree, to, given, old_proc);
        let pid = pid.map_err(fork)?;
        let tid = self.threads.plan(&self.tree, to, &[], old_thread);
        let tid = tid.map_err(fork)?;
        if !spares.cover(Some(&pid), Some(&tid)) {
            return Ok(Try::Needs(self.tree.depth(to)));
        }
        let charged = if from == InstanceId::VPS0 {
            racct::charge_all(&mut self.tree, to, PROC_CHARGE)
        } else {
            racct::transfer_all(&mut self.tree, from, to, PROC_CHARGE)
        };
        charged.map_err(|error| Stop::Fork(ForkError::Limit(error)))?;
        let taken = self
            .procs
            .apply(&mut self.tree, &pid, spares)
            .and_then(|proc| {
                let thread = self.threads.apply(&mut self.tree, &tid, spares);
                if thread.is_err() {
                    self.procs.release(&mut self.tree, proc);
                }
                Ok((proc, thread?))
            });
        let (proc, thread) = taken.map_err(|error| {
            self.move_charge(to, from);
            fork(error)
        })?;
        if first && let Err(error) = self.tree.transition(to, Event::Start) {
            self.procs.release(&mut self.tree, proc);
            self.threads.release(&mut self.tree, thread);
            self.move_charge(to, from);
            return Err(Stop::Attach(AttachError::Start(error)));
        }
        self.checked(to, &[proc], &[thread]);
        Ok(Try::Done(AttachReservation {
            pair: self.pair(to, proc, thread),
            from,
            old,
        }))
    }

    /// Whether `proc` may leave for `to`; its slot and its thread's where it is not the host's.
    fn may_attach(
        &self,
        proc: ProcHandle,
        from: InstanceId,
        to: InstanceId,
    ) -> Result<Option<(Slot, Slot)>, AttachError> {
        if self.tree.node(to).is_none() {
            return Err(AttachError::NoInstance { instance: to });
        }
        if from == to || !self.tree.is_within(to, from) {
            return Err(AttachError::NotBelow { from, to });
        }
        let Some((slot, _)) = self.proc(proc) else {
            return Ok(None);
        };
        let init = self.tree.node(from).and_then(|node| node.space.init());
        if init == Some(slot) {
            return Err(AttachError::Init { instance: from });
        }
        let count = self.threads.count_by_handle(proc);
        match self.threads.by_handle(proc) {
            Some((thread, _)) if count == 1 => Ok(Some((slot, thread))),
            _ => Err(AttachError::Threads { count }),
        }
    }

    /// Whether a process may enter `to`; if so, whether it starts it.
    fn may_enter(&self, to: InstanceId) -> Result<bool, Stop> {
        let Some(node) = self.tree.node(to) else {
            return Err(Stop::Attach(AttachError::NoInstance { instance: to }));
        };
        let first = match node.state() {
            Life::Created => {
                let start = self.tree.may(to, Event::Start);
                start.map_err(|error| Stop::Attach(AttachError::Start(error)))?;
                true
            }
            Life::Running if runs(node.state()) => false,
            state => {
                return Err(Stop::Fork(ForkError::WrongState {
                    instance: to,
                    state,
                }));
            }
        };
        match self.halting(to) {
            Some(instance) => Err(Stop::Fork(ForkError::Halting { instance })),
            None if first => Ok(true),
            None => self.may_fork(to).map(|()| false).map_err(Stop::Fork),
        }
    }

    /// Gives the charge of one process back to where it came from.
    fn move_charge(&mut self, here: InstanceId, from: InstanceId) {
        if from == InstanceId::VPS0 {
            self.uncharge(here, PROC_CHARGE);
        } else if racct::transfer_all(&mut self.tree, here, from, PROC_CHARGE).is_err() {
            self.tree.fence(here);
        }
    }
}
