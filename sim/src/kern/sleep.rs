// SPDX-License-Identifier: BSD-2-Clause
//! Sleeping and waking (`sys/kern/subr_sleepqueue.c`, 15.0), with the sleep as data.
//!
//! A call that cannot go on leaves a [`WaitState`]: the channels that may wake it, its deadline,
//! and what it has done so far. When woken it is evaluated again from that, as a loop around
//! `msleep` would; whether the reason to wait is gone is its own to find out.

use super::Kern;
use super::callout::Callout;
use super::proc::{Interrupt, Place};
use super::trace::TraceItem;
use super::types::{Pid, PipeId, ProcId, Tid, VnetId};
use crate::net::cx::{SoId, SoWait};
use crate::time::{Duration, Instant};

macro_rules! wmesgs {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What sleeps are called (`wmesg`), as ps(1) shows them. A name that is here is one that an image can
        /// bring.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Wmesg {
            $($(#[$doc])* $name,)*
        }

        impl Wmesg {
            /// Every name.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The sleep that is called so.
            pub fn named(name: &[u8]) -> Option<Self> {
                let mut all = Self::ALL.iter().copied();
                all.find(|wmesg| wmesg.as_str().as_bytes() == name)
            }
        }
    };
}

wmesgs! {
    /// `nanosleep(2)`.
    Nanslp = "nanslp",
    /// `poll(2)`.
    Select = "select",
    /// The parent of a `vfork(2)`.
    Ppwait = "ppwait",
    /// `wait4(2)`.
    Wait = "wait",
    /// `sigsuspend(2)`.
    Pause = "pause",
    /// A read of an empty pipe.
    Piperd = "piperd",
    /// A write into a full pipe.
    Pipewr = "pipewr",
    /// `connect(2)`.
    Connec = "connec",
    /// A read or write of a socket.
    Sbwait = "sbwait",
    /// `accept(2)`.
    Accept = "accept",
    /// A `close(2)` that lingers.
    Soclos = "soclos",
}

/// What threads sleep on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chan {
    /// A change of state of one of the process's children (wait4).
    Children(ProcId),
    /// The child giving back the parent's address space (vfork).
    Vfork(ProcId),
    /// Side `side` of a pipe becoming readable.
    PipeRead(PipeId, u8),
    /// Side `side` of a pipe becoming writable.
    PipeWrite(PipeId, u8),
    /// A channel of a socket.
    Socket(VnetId, SoId, SoWait),
}

/// What a call has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Nothing that must be remembered.
    Fresh,
    /// A write or send: bytes taken.
    Progress(u64),
    /// A connect that was begun.
    Connecting,
    /// A vfork: the child that has the address space, and its id for the result.
    Vfork(ProcId, Pid),
}

/// A blocked system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitState {
    /// Any of these wakes it.
    pub chans: Vec<Chan>,
    /// When it is woken at the latest.
    pub deadline: Option<Instant>,
    /// What was left until the deadline when the prison was suspended.
    pub frozen: Option<Duration>,
    /// What it has done so far.
    pub state: CallState,
    /// Whether signals cut it short (`PCATCH`).
    pub catch: bool,
    /// Shown by ps.
    pub wmesg: Wmesg,
    /// Its turn on the sleep queues.
    pub(crate) turn: u64,
    /// The callout of the deadline.
    pub(crate) callout: Option<(Instant, u64)>,
}

impl WaitState {
    /// A sleep that signals cut short, without a deadline.
    pub fn on(chans: Vec<Chan>, wmesg: Wmesg) -> Self {
        Self {
            chans,
            deadline: None,
            frozen: None,
            state: CallState::Fresh,
            catch: true,
            wmesg,
            turn: 0,
            callout: None,
        }
    }

    /// The same with a deadline.
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same with what was done so far.
    pub fn having(mut self, state: CallState) -> Self {
        self.state = state;
        self
    }

    /// The same, not to be cut short by signals.
    pub fn uncatchable(mut self) -> Self {
        self.catch = false;
        self
    }
}

impl Kern {
    /// Puts the thread to sleep.
    pub(crate) fn sleep(&mut self, td: Tid, mut wait: WaitState) {
        wait.turn = self.unique();
        if let Some(deadline) = wait.deadline {
            wait.callout = Some(self.callout_reset(deadline, Callout::Wakeup(td)));
        }
        for &chan in &wait.chans {
            self.sleepq.entry(chan).or_default().insert(wait.turn, td);
        }
        self.trace.push(TraceItem::Block {
            tid: td,
            wmesg: wait.wmesg.as_str(),
        });
        self.unplace(td);
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.asleep = true;
            thread.wait = Some(wait);
        }
    }

    /// Wakes all that sleep on the channel, the one that slept first first.
    pub(crate) fn wakeup(&mut self, chan: Chan) {
        let sleepers = self.sleepq.remove(&chan).unwrap_or_default();
        for td in sleepers.into_values() {
            self.wake(td);
        }
    }

    /// Wakes one thread; it keeps its wait state until it has looked again.
    pub(crate) fn wake(&mut self, td: Tid) {
        if self.threads.get(&td).is_none_or(|thread| !thread.asleep) {
            return;
        }
        self.unsleep(td);
        self.trace.push(TraceItem::Wakeup { tid: td });
        self.setrunnable(td);
    }

    /// Wakes a thread because of a signal, if its sleep can be cut short (`sleepq_abort`).
    pub(crate) fn sleep_abort(&mut self, td: Tid, interrupt: Interrupt) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        if thread.asleep && thread.wait.as_ref().is_some_and(|wait| wait.catch) {
            thread.abort = Some(interrupt);
            self.wake(td);
        }
    }

    /// Takes a thread off its sleep queues and stops its deadline.
    pub(crate) fn unsleep(&mut self, td: Tid) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        thread.asleep = false;
        let Some(wait) = &mut thread.wait else {
            return;
        };
        if let Some(callout) = wait.callout.take() {
            self.callouts.remove(&callout);
        }
        for chan in &wait.chans {
            if let Some(queue) = self.sleepq.get_mut(chan) {
                queue.remove(&wait.turn);
                if queue.is_empty() {
                    self.sleepq.remove(chan);
                }
            }
        }
    }

    /// Gives a thread that is not asleep a turn, unless its process is stopped. One whose prison is
    /// suspended keeps its turn and is passed over.
    pub(crate) fn setrunnable(&mut self, td: Tid) {
        let Some(thread) = self.threads.get(&td) else {
            return;
        };
        if thread.asleep || thread.place != Place::Nowhere || self.is_stopped(thread.proc) {
            return;
        }
        let turn = self.unique();
        self.runq.insert(turn, td);
        if let Some(thread) = self.threads.get_mut(&td) {
            thread.place = Place::Queue(turn);
        }
    }

    /// Takes a thread off the run queue or its processor.
    pub(crate) fn unplace(&mut self, td: Tid) {
        let Some(thread) = self.threads.get_mut(&td) else {
            return;
        };
        match thread.place {
            Place::Nowhere => {}
            Place::Queue(turn) => {
                self.runq.remove(&turn);
            }
            Place::Cpu(cpu, _) => {
                if let Some(cpu) = self.cpus.get_mut(cpu) {
                    cpu.current = None;
                }
            }
        }
        thread.place = Place::Nowhere;
    }

    /// Whether threads of the process have no turn: it is stopped or has exited.
    pub(crate) fn is_stopped(&self, p: ProcId) -> bool {
        let proc = self.procs.get(&p);
        proc.is_none_or(|proc| proc.stopped || proc.is_zombie())
    }
}
