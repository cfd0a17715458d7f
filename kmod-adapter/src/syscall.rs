// SPDX-License-Identifier: BSD-2-Clause
//! System calls of processes in instances: ids in arguments become the kernel's, the kernel does
//! the call, ids in results become the caller's.
//!
//! Which call carries an id where is [`vpscore::ids::SYSCALLS`]. Of its crossings the module turns
//! arguments, results and the `si_pid` of a `siginfo_t`; TIDs and the other structures stay the
//! kernel's (`docs/kernel-module.md` lists what follows from that).

use core::ffi::c_int;

use vpscore::errno::Errno;
use vpscore::ids::{self, Addressed, Carries, Direction, KillPlan, Place};
use vpscore::state::ForkReservation;
use vpscore::types::{HostId, ProcHandle, ViewId};
use vpscore::view::IdKind;

use crate::event::{Filter, Pending, with_pending};
use crate::ffi::{self, Call};
use crate::kernel::{Kernel, done};
use crate::module::{TheCore, core};

/// How a call is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// `getpid(2)`: answered without the kernel.
    OwnPid,
    /// Makes a process.
    Fork,
    /// `rfork(2)`: makes one if its flags say so.
    Rfork,
    /// May reap a process.
    Wait(&'static ids::Syscall),
    /// `kill(2)`.
    Kill,
    /// Runs another program: forwarded, and the vector put back.
    Exec,
    /// Ids cross in it.
    Ids(&'static ids::Syscall),
}

/// `RFPROC` (`sys/unistd.h`): `rfork(2)` makes a process.
const RFPROC: u64 = 1 << 4;
/// Bytes before `si_pid` in a `siginfo_t` (`sys/signal.h`).
const SI_PID: u64 = 12;

/// How a call by FreeBSD's own number is treated; `None` where it goes straight on.
pub(crate) fn class(code: i32) -> Option<Class> {
    match code {
        59 | 415 | 492 => return Some(Class::Exec),
        _ => {}
    }
    let ids::Class::Carries(call) = ids::classify(u16::try_from(code).ok()?) else {
        return None;
    };
    match code {
        2 | 66 | 518 => Some(Class::Fork),
        7 | 532 => Some(Class::Wait(call)),
        20 => Some(Class::OwnPid),
        37 => Some(Class::Kill),
        251 => Some(Class::Rfork),
        _ => call
            .crossings
            .iter()
            .any(|crossing| turned(crossing.place, crossing.carries))
            .then_some(Class::Ids(call)),
    }
}

/// Whether the module turns what crosses there.
fn turned(place: Place, carries: Carries) -> bool {
    let place = match place {
        Place::Arg(_) | Place::Result => true,
        Place::Behind(_, field) => field == "si_pid",
        Place::By(..) => false,
    };
    place
        && match carries {
            Carries::Id(kind) | Carries::IdOrZero(kind) | Carries::IdOrMinusOne(kind) => {
                kind != IdKind::Tid
            }
            Carries::PidOrGroup
            | Carries::ByIdType(_)
            | Carries::ByCpuWhich(_)
            | Carries::ByPrioWhich(_) => true,
            Carries::ByClockWhich(_) | Carries::Clock | Carries::Command => false,
        }
}

/// The argument that says what kind of id it is, and the value of it that says a thread.
const fn selector(carries: Carries) -> Option<(u8, i32)> {
    match carries {
        Carries::ByIdType(arg) => Some((arg, 8)),
        Carries::ByCpuWhich(arg) => Some((arg, 1)),
        Carries::ByPrioWhich(arg) => Some((arg, -1)),
        _ => None,
    }
}

/// Whether a call goes through [`vps_rs_syscall`]; in a foreign ABI, whose numbers these are not,
/// every call does, so that one which execs puts the vector back.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn vps_rs_wraps(code: c_int, native: c_int) -> c_int {
    c_int::from(native == 0 || class(code).is_some())
}

/// Does a call.
///
/// # Safety
/// `call` is the C side's, with eight arguments, and this thread's alone.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vps_rs_syscall(call: *mut Call) -> c_int {
    let Some(core) = core() else {
        return Errno::ENOSYS as c_int;
    };
    // SAFETY: the caller's duty.
    let mut call = unsafe { Syscall::new(call) };
    let class = if call.options() & ffi::CALL_NATIVE != 0 {
        class(call.code())
    } else {
        Some(Class::Exec)
    };
    let result = match class {
        Some(class) => call.run(core, class),
        None => call.forward(),
    };
    match result {
        Ok(()) => 0,
        Err(Outcome::Raw(raw)) => raw,
        Err(Outcome::Errno(errno)) => errno as c_int,
    }
}

/// Why a call gives no result: an errno of ours, or what the kernel said, which may be one of its
/// own codes (`ERESTART`, `EJUSTRETURN`) that no program sees.
#[derive(Debug)]
enum Outcome {
    Raw(c_int),
    Errno(Errno),
}

impl From<Errno> for Outcome {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

type Answer = Result<(), Outcome>;

/// A call under way.
struct Syscall {
    call: *mut Call,
}

impl Syscall {
    /// # Safety
    /// As for [`vps_rs_syscall`]; `call` outlives the value.
    unsafe fn new(call: *mut Call) -> Self {
        Self { call }
    }

    fn proc(&self) -> ProcHandle {
        // SAFETY: live and ours (`new`).
        ProcHandle(unsafe { (*self.call).proc })
    }

    fn host_pid(&self) -> HostId {
        // SAFETY: live and ours (`new`).
        HostId(unsafe { (*self.call).pid })
    }

    fn code(&self) -> i32 {
        // SAFETY: live and ours (`new`).
        unsafe { (*self.call).code }
    }

    fn options(&self) -> i32 {
        // SAFETY: live and ours (`new`).
        unsafe { (*self.call).options }
    }

    fn arg(&self, index: usize) -> u64 {
        if index >= 8 {
            return 0;
        }
        // SAFETY: eight words, ours (`new`).
        unsafe { *(*self.call).args.add(index) }
    }

    fn set_arg(&mut self, index: usize, value: u64) {
        if index < 8 {
            // SAFETY: eight words, ours (`new`).
            unsafe { *(*self.call).args.add(index) = value };
        }
    }

    fn ret(&self) -> u64 {
        // SAFETY: live and ours (`new`).
        unsafe { (*self.call).ret }
    }

    fn set_ret(&mut self, value: i32) {
        // SAFETY: live and ours (`new`). Negative results do not occur; ids are not.
        unsafe { (*self.call).ret = u64::from(value.unsigned_abs()) };
    }

    fn forward(&mut self) -> Answer {
        // SAFETY: live and ours (`new`).
        match unsafe { ffi::vps_k_forward(self.call) } {
            0 => Ok(()),
            raw => Err(Outcome::Raw(raw)),
        }
    }

    fn run(&mut self, core: &TheCore, class: Class) -> Answer {
        match class {
            Class::OwnPid => {
                self.set_ret(core.own_pid(self.proc(), self.host_pid()).0);
                Ok(())
            }
            Class::Fork => self.fork(core),
            Class::Rfork if self.arg(0) & RFPROC != 0 => self.fork(core),
            Class::Rfork | Class::Exec => self.forward(),
            Class::Wait(table) => {
                self.turn_in(core, table)?;
                self.reaping(core)?;
                self.turn_behind(core, table);
                Ok(())
            }
            Class::Kill => self.kill(core),
            Class::Ids(table) => {
                self.turn_in(core, table)?;
                self.forward()?;
                self.turn_behind(core, table);
                self.turn_result(core, table);
                Ok(())
            }
        }
    }

    /// The value of the argument that says what kind of id `carries` is; `None` where it says a
    /// thread.
    fn kind_said(&self, carries: Carries) -> Option<i32> {
        match selector(carries) {
            None => Some(0),
            Some((arg, thread)) => {
                Some(word(self.arg(usize::from(arg)))).filter(|said| *said != thread)
            }
        }
    }

    /// Turns the ids in arguments into the kernel's.
    fn turn_in(&mut self, core: &TheCore, table: &ids::Syscall) -> Answer {
        for crossing in table.crossings {
            let Place::Arg(arg) = crossing.place else {
                continue;
            };
            if crossing.direction == Direction::Out || !turned(crossing.place, crossing.carries) {
                continue;
            }
            let arg = usize::from(arg);
            if let Some(kind) = self.kind_said(crossing.carries) {
                let host = core.id_in(self.proc(), crossing.carries, kind, word(self.arg(arg)));
                self.set_arg(arg, widen(host.map_err(|_| crossing.missing)?));
            }
        }
        Ok(())
    }

    /// Turns the id that the call returns.
    fn turn_result(&mut self, core: &TheCore, table: &ids::Syscall) {
        for crossing in table.crossings {
            if crossing.place == Place::Result {
                let host = word(self.ret());
                self.set_ret(core.id_out(self.proc(), crossing.carries, 0, host));
            }
        }
    }

    /// Turns what the kernel has written to a `siginfo_t`. Failures to reach it are the program's
    /// own: the kernel has just written there.
    fn turn_behind(&mut self, core: &TheCore, table: &ids::Syscall) {
        for crossing in table.crossings {
            let Place::Behind(arg, "si_pid") = crossing.place else {
                continue;
            };
            let address = self.arg(usize::from(arg));
            if address == 0 {
                continue;
            }
            let at = address.wrapping_add(SI_PID);
            let mut pid = 0;
            // SAFETY: the kernel checks the address; `pid` is writable.
            if unsafe { ffi::vps_k_user_get(at, &raw mut pid) } == 0 && pid > 0 {
                let seen = match table.number {
                    // A wait has named whom it found, who may be gone.
                    532 => word(self.ret()),
                    _ => core.id_out(self.proc(), crossing.carries, 0, pid),
                };
                // SAFETY: the kernel checks the address.
                let _ = unsafe { ffi::vps_k_user_put(at, seen) };
            }
        }
    }

    fn fork(&mut self, core: &TheCore) -> Answer {
        let reservation = core
            .fork_reserve(&mut Kernel, self.proc())
            .map_err(|error| error.errno())?;
        let pid = reservation.pid();
        let mut pending = Pending::Fork {
            reservation: Some(reservation),
        };
        let done = with_pending(&mut pending, || self.forward());
        if let Some(unused) = take_fork(&mut pending) {
            core.fork_abort(unused);
        }
        done??;
        if let Some(pid) = pid {
            self.set_ret(pid.0);
        }
        Ok(())
    }

    /// Forwards a wait, and names whom it found as the caller knows it.
    fn reaping(&mut self, core: &TheCore) -> Answer {
        let mut pending = Pending::Wait {
            waiter: self.proc(),
            reaped: None,
        };
        with_pending(&mut pending, || self.forward())??;
        let host = HostId(word(self.ret()));
        if host.0 <= 0 {
            return Ok(());
        }
        let seen = match pending {
            Pending::Wait {
                reaped: Some(seen), ..
            } => seen,
            Pending::Wait { .. } | Pending::Fork { .. } => {
                core.id_to_view(self.proc(), IdKind::Pid, host)
            }
        };
        if seen == ViewId::NONE {
            return Err(Errno::ECHILD.into());
        }
        self.set_ret(seen.0);
        Ok(())
    }

    fn kill(&mut self, core: &TheCore) -> Answer {
        let (id, signum) = (word(self.arg(0)), word(self.arg(1)));
        let own = core.own_pid(self.proc(), self.host_pid()).0;
        if self.options() & ffi::CALL_CAPMODE != 0 && id != own {
            return Err(Errno::ECAPMODE.into());
        }
        let plan = core
            .kill_plan(self.proc(), id, signum)
            .map_err(|error| error.errno())?;
        let error = match plan {
            KillPlan::Native => return self.forward(),
            KillPlan::One(host) => self.signal_one(host, signum),
            KillPlan::OwnGroup => {
                // SAFETY: the calling process.
                let group = unsafe { ffi::vps_k_pgid(self.proc().0) };
                self.signal_each(ffi::EACH_GROUP, group, signum, Addressed::Group)
            }
            KillPlan::Group(host) => {
                self.signal_each(ffi::EACH_GROUP, host.0, signum, Addressed::Group)
            }
            KillPlan::Broadcast(_) => {
                self.signal_each(ffi::EACH_ALL, 0, signum, Addressed::Broadcast)
            }
        };
        self.set_ret(0);
        Ok(done(error)?)
    }

    fn signal_one(&mut self, host: HostId, signum: i32) -> c_int {
        let filter = Filter {
            sender: self.proc(),
            addressed: Addressed::One,
        };
        let place: *const Filter = &raw const filter;
        // SAFETY: `call` and the filter stay until this returns.
        unsafe { ffi::vps_k_signal_one(self.call, host.0, signum, place.cast()) }
    }

    fn signal_each(
        &mut self,
        which: c_int,
        group: i32,
        signum: i32,
        addressed: Addressed,
    ) -> c_int {
        let filter = Filter {
            sender: self.proc(),
            addressed,
        };
        let place: *const Filter = &raw const filter;
        // SAFETY: `call` and the filter stay until this returns.
        unsafe { ffi::vps_k_signal_each(self.call, which, group, signum, place.cast()) }
    }
}

fn take_fork(pending: &mut Pending) -> Option<ForkReservation> {
    match pending {
        Pending::Fork { reservation } => reservation.take(),
        Pending::Wait { .. } => None,
    }
}

/// An `int` argument: the lower half of its word.
const fn word(word: u64) -> i32 {
    (word & 0xffff_ffff) as u32 as i32
}

/// An `int` as a word, its sign with it.
const fn widen(value: i32) -> u64 {
    value as i64 as u64
}
