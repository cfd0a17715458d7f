// SPDX-License-Identifier: BSD-2-Clause
//! Which data that crosses between a program and the kernel carries an id, and how it is turned.
//!
//! Inside a kernel there are host ids only. A program of an instance says and reads numbers of its
//! own space. [`SYSCALLS`] lists for every system call of FreeBSD 15 which of its arguments, results
//! and structures carry an id; calls that are told apart by a command (`fcntl`, `ioctl`, `procctl`,
//! socket options, sysctls) refer to tables by command. Both kernels read the same tables.
//!
//! The machinery is two functions on one `int`: [`Core::id_in`] and [`Core::id_out`], directed by
//! what the table says of it ([`Carries`]). `kill(2)` and `wait4(2)`, where the number selects a set
//! of processes, have plans of their own ([`Core::kill_plan`], [`Core::wait_plan`]).
//!
//! # Invariants
//! * I1: every system call number up to [`SYSCALL_MAX`] has a class: carries ids, or carries none.
//! * I2: [`SYSCALLS`] is sorted by number, each listed once.
//!
//! # Failure modes
//! A number inside which leads to nothing there is [`IdError::NoSuch`]; the errno is the call's own
//! for a process that does not exist, which the table names.

mod commands;
mod kill;
mod no_id;
#[cfg(test)]
mod prototypes_tests;
mod syscalls;
#[cfg(test)]
mod tests;

pub use commands::{Command, FCNTLS, IOCTLS, PROCCTLS, SOCKETS, STRUCTS, SYSCTLS, command};
pub use kill::{
    Addressed, Broadcast, KillError, KillPlan, SIGSTOP, SignalVerdict, WaitError, WaitPlan,
};
pub use no_id::NO_IDS;
pub use syscalls::{SYSCALLS, Syscall};

use crate::errno::Errno;
use crate::kpi::LockFamily;
use crate::state::{Core, State};
use crate::types::{HostId, ViewId};
use crate::view::{IdKind, Viewer};

/// One more than the largest system call number (`SYS_MAXSYSCALL`, `sys/syscall.h`, 15.0).
pub const SYSCALL_MAX: u16 = 599;

/// Where in a call an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In an argument, counted from 0.
    Arg(u8),
    /// In the value that the call returns.
    Result,
    /// In what an argument points to: a field of that name in a structure of [`STRUCTS`], or the
    /// thing itself where the name is empty.
    Behind(u8, &'static str),
    /// In a structure that is told apart by a command in an argument, or by the kind of object
    /// there: see the table.
    By(u8, Table),
}

/// The tables of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// [`FCNTLS`], by the command.
    Fcntl,
    /// [`IOCTLS`], by the request.
    Ioctl,
    /// [`PROCCTLS`], by the command.
    Procctl,
    /// [`SOCKETS`]: options and ancillary data, by level and name.
    Socket,
    /// [`SYSCTLS`], by the name.
    Sysctl,
}

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the program to the kernel.
    In,
    /// From the kernel to the program.
    Out,
    /// Both.
    InOut,
}

/// What an `int` (or a `long`, for a TID) carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// An id of this kind.
    Id(IdKind),
    /// The same, but 0 is the caller, or nothing, and goes through unchanged.
    IdOrZero(IdKind),
    /// The same, but -1 is the caller and goes through unchanged.
    IdOrMinusOne(IdKind),
    /// A PID, a group as its negative, -1 for any, 0 for the caller's group or for nobody.
    PidOrGroup,
    /// An id whose kind is in the argument of this number, as an `idtype_t`.
    ByIdType(u8),
    /// An id whose kind is in the argument of this number, as a `cpuwhich_t`; -1 is the caller.
    ByCpuWhich(u8),
    /// An id whose kind is in the argument of this number, as for `getpriority(2)`; 0 is the
    /// caller.
    ByPrioWhich(u8),
    /// A PID or TID, as the argument of this number says it for `clock_getcpuclockid2(2)`; 0 is
    /// the caller.
    ByClockWhich(u8),
    /// A `clockid_t`: that of a process or thread has its id in the lower bits.
    Clock,
    /// Depends on a command: nothing to turn here.
    Command,
}

/// One crossing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Where.
    pub place: Place,
    /// Which way.
    pub direction: Direction,
    /// What.
    pub carries: Carries,
    /// What the call fails with where the number leads to nothing.
    pub missing: Errno,
}

/// What is known of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It carries ids.
    Carries(&'static Syscall),
    /// It carries none.
    NoId,
    /// There is no such call in FreeBSD 15.
    Unknown,
}

/// The class of a system call.
pub fn classify(number: u16) -> Class {
    if let Ok(at) = SYSCALLS.binary_search_by_key(&number, |call| call.number)
        && let Some(call) = SYSCALLS.get(at)
    {
        return Class::Carries(call);
    }
    match NO_IDS.binary_search(&number) {
        Ok(_) => Class::NoId,
        Err(_) => Class::Unknown,
    }
}

/// Why an id was not turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The viewer sees no such thing.
    NoSuch {
        /// What kind of thing.
        kind: IdKind,
        /// The number it said.
        number: i32,
    },
}

impl Carries {
    /// The kind of id, where `selector` is the argument that says it, and the value that goes
    /// through unchanged; no kind where what it carries is no id (a uid, a cpuset).
    const fn kind(self, selector: i32) -> (Option<IdKind>, Option<i32>) {
        match self {
            Self::Id(kind) => (Some(kind), None),
            Self::IdOrZero(kind) => (Some(kind), Some(0)),
            Self::IdOrMinusOne(kind) => (Some(kind), Some(-1)),
            Self::PidOrGroup => (Some(IdKind::Pid), Some(0)),
            Self::ByIdType(_) => (id_type(selector), Some(0)),
            Self::ByCpuWhich(_) => (cpu_which(selector), Some(-1)),
            Self::ByPrioWhich(_) => (prio_which(selector), Some(0)),
            Self::ByClockWhich(_) => (clock_which(selector), Some(0)),
            Self::Clock | Self::Command => (None, None),
        }
    }
}

/// `idtype_t` (`sys/wait.h`, 15.0).
const fn id_type(value: i32) -> Option<IdKind> {
    match value {
        0 | 1 => Some(IdKind::Pid),
        2 => Some(IdKind::Pgid),
        3 => Some(IdKind::Sid),
        8 => Some(IdKind::Tid),
        _ => None,
    }
}

/// `CPU_WHICH_*` (`sys/cpuset.h`, 15.0). `CPU_WHICH_TIDPID` is told apart by the number itself.
const fn cpu_which(value: i32) -> Option<IdKind> {
    match value {
        1 => Some(IdKind::Tid),
        2 | 9 => Some(IdKind::Pid),
        _ => None,
    }
}

/// `PRIO_*` (`sys/resource.h`, 15.0).
const fn prio_which(value: i32) -> Option<IdKind> {
    match value {
        0 => Some(IdKind::Pid),
        1 => Some(IdKind::Pgid),
        _ => None,
    }
}

/// `CPUCLOCK_WHICH_*` (`sys/time.h`, 15.0).
const fn clock_which(value: i32) -> Option<IdKind> {
    match value {
        0 => Some(IdKind::Pid),
        1 => Some(IdKind::Tid),
        _ => None,
    }
}

/// `CPUCLOCK_BIT` (`kern_time.c`, 15.0): the clock is that of a process or thread.
const CLOCK_BIT: i32 = i32::MIN;
/// `CPUCLOCK_PROCESS_BIT`: of a process.
const CLOCK_PROCESS_BIT: i32 = 0x4000_0000;
const CLOCK_BITS: i32 = CLOCK_BIT | CLOCK_PROCESS_BIT;

/// What the clock is that of, and whose; `None` for a clock of the system.
const fn clock_of(clock: i32) -> Option<(IdKind, i32)> {
    if clock & CLOCK_BIT == 0 {
        None
    } else if clock & CLOCK_PROCESS_BIT != 0 {
        Some((IdKind::Pid, clock & !CLOCK_BITS))
    } else {
        Some((IdKind::Tid, clock & !CLOCK_BITS))
    }
}

impl State {
    fn id_in(
        &self,
        viewer: Viewer,
        carries: Carries,
        selector: i32,
        number: i32,
    ) -> Result<i32, IdError> {
        if carries == Carries::Clock
            && let Some((kind, said)) = clock_of(number)
        {
            let host = self.host_id_of(viewer, kind, ViewId(said));
            let host = host.ok_or(IdError::NoSuch { kind, number })?;
            return Ok(number & CLOCK_BITS | host.0 & !CLOCK_BITS);
        }
        let (kind, plain) = carries.kind(selector);
        let Some(kind) = kind.filter(|_| plain != Some(number)) else {
            return Ok(number);
        };
        let group = carries == Carries::PidOrGroup && number < 0;
        if group && number == -1 {
            return Ok(number);
        }
        let tid_too = matches!(carries, Carries::ByCpuWhich(_)) && selector == 9;
        let kind = match kind {
            _ if group => IdKind::Pgid,
            _ if tid_too && number > crate::limits::PID_MAX => IdKind::Tid,
            kind => kind,
        };
        let missing = IdError::NoSuch { kind, number };
        let said = if group {
            number.checked_neg().ok_or(missing)?
        } else {
            number
        };
        let host = self.host_id_of(viewer, kind, ViewId(said)).ok_or(missing)?;
        if group {
            host.0.checked_neg().ok_or(missing)
        } else {
            Ok(host.0)
        }
    }

    fn id_out(&self, viewer: Viewer, carries: Carries, selector: i32, id: i32) -> i32 {
        if carries == Carries::Clock
            && let Some((kind, host)) = clock_of(id)
        {
            let seen = self.view_id_of(viewer, kind, HostId(host));
            return id & CLOCK_BITS | seen.0 & !CLOCK_BITS;
        }
        let (kind, plain) = carries.kind(selector);
        let Some(kind) = kind.filter(|_| plain != Some(id)) else {
            return id;
        };
        match id.checked_neg() {
            Some(group) if carries == Carries::PidOrGroup && group > 0 => {
                let seen = self.view_id_of(viewer, IdKind::Pgid, HostId(group));
                seen.0.checked_neg().unwrap_or(0)
            }
            _ => self.view_id_of(viewer, kind, HostId(id)).0,
        }
    }
}

impl<F: LockFamily> Core<F> {
    /// Turns a number that a program says into the kernel's, as `carries` has it; `selector` is the
    /// argument that [`Carries`] refers to, where it does.
    ///
    /// # Errors
    /// [`IdError`].
    pub fn id_in<V: Into<Viewer>>(
        &self,
        viewer: V,
        carries: Carries,
        selector: i32,
        number: i32,
    ) -> Result<i32, IdError> {
        let viewer = viewer.into();
        self.read(|state| state.id_in(viewer, carries, selector, number))
    }

    /// Turns an id of the kernel into what the program reads: 0 where it is outside its view.
    pub fn id_out<V: Into<Viewer>>(
        &self,
        viewer: V,
        carries: Carries,
        selector: i32,
        id: i32,
    ) -> i32 {
        let viewer = viewer.into();
        self.read(|state| state.id_out(viewer, carries, selector, id))
    }
}
