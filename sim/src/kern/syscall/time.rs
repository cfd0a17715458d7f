// SPDX-License-Identifier: BSD-2-Clause
//! Calls about time (`kern_time.c`, 15.0).

use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::abi::{LP64, get, get_signed, put};
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::kern::hooks::Clock;
use crate::kern::sleep::{WaitState, Wmesg};
use crate::kern::types::{ProcId, SyscallFrame, Tid};
use crate::time::Duration;

const NS_PER_S: u64 = 1_000_000_000;

impl Kern {
    pub(super) fn time_call(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        match code {
            sys::SYS_NANOSLEEP => self.sys_nanosleep(call).into(),
            sys::SYS_CLOCK_GETTIME => self.sys_clock_gettime(call).into(),
            sys::SYS_GETTIMEOFDAY => self.sys_gettimeofday(call).into(),
            sys::SYS_SETITIMER => self.sys_setitimer(call).into(),
            _ => self.sys_getitimer(call).into(),
        }
    }

    fn sys_nanosleep(&mut self, call: &mut Call<'_>) -> Result<Outcome, Errno> {
        let deadline = match &call.prev {
            Some(wait) => wait.deadline.ok_or(Errno::EINVAL)?,
            None => {
                let [rqtp, ..] = call.args;
                self.now.after(self.copyin_span(call.p, rqtp, NS_PER_S)?)
            }
        };
        if deadline <= self.now {
            return Ok(Outcome::Done(0));
        }
        let wait = WaitState::on(Vec::new(), Wmesg::Nanslp).until(Some(deadline));
        Ok(Outcome::Block(wait))
    }

    /// A signal has cut the sleep short: what was left is told.
    pub(super) fn nanosleep_interrupted(
        &mut self,
        td: Tid,
        frame: SyscallFrame,
        wait: Option<WaitState>,
    ) -> Outcome {
        let [_, rmtp, ..] = frame.args;
        let left = wait.and_then(|wait| wait.deadline).map(|at| self.left(at));
        let left = left.unwrap_or(Duration::ZERO);
        if left == Duration::ZERO {
            return Outcome::Done(0);
        }
        let Some(p) = self.proc_of(td) else {
            return Outcome::JustReturn;
        };
        if rmtp != 0
            && self
                .copyout_span(p, rmtp, left.as_nanos(), NS_PER_S)
                .is_err()
        {
            return Outcome::Err(Errno::EFAULT);
        }
        Outcome::Err(Errno::EINTR)
    }

    /// What the clock shows to the process, in nanoseconds.
    fn clock(&self, call: &mut Call<'_>, clock: Clock) -> u64 {
        let offset = call.hooks.clock_offset(self, call.p, clock);
        let base = match clock {
            Clock::Realtime => self.config.boottime,
            Clock::Monotonic => 0,
        };
        base.saturating_add(self.now.as_nanos())
            .saturating_add_signed(offset)
    }

    fn sys_clock_gettime(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        // CLOCK_REALTIME and CLOCK_MONOTONIC, CLOCK_UPTIME with their _PRECISE and _FAST forms.
        let clock = match call.int(0) {
            0 | 9 | 10 | 13 => Clock::Realtime,
            4 | 5 | 7 | 8 | 11 | 12 => Clock::Monotonic,
            _ => return Err(Errno::EINVAL),
        };
        let [_, at, ..] = call.args;
        let now = self.clock(call, clock);
        self.copyout_span(call.p, at, now, NS_PER_S)?;
        Ok(0)
    }

    fn sys_gettimeofday(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [at, ..] = call.args;
        let now = self.clock(call, Clock::Realtime);
        if at != 0 {
            self.copyout_span(call.p, at, now, 1_000_000)?;
        }
        Ok(0)
    }

    fn sys_setitimer(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [_, new, old, ..] = call.args;
        if call.int(0) != 0 {
            return Err(Errno::EINVAL);
        }
        let size = LP64.timespec.size as u64;
        let mut timer = None;
        if new != 0 {
            let interval = self.copyin_span(call.p, new, 1_000_000)?;
            let value = self.copyin_span(call.p, new.wrapping_add(size), 1_000_000)?;
            timer = Some((value, interval));
        }
        if old != 0 {
            self.copyout_itimer(call.p, old)?;
        }
        if let Some((value, interval)) = timer {
            self.set_itimer(call.p, value, interval);
        }
        Ok(0)
    }

    fn sys_getitimer(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let [_, at, ..] = call.args;
        if call.int(0) != 0 {
            return Err(Errno::EINVAL);
        }
        self.copyout_itimer(call.p, at)?;
        Ok(0)
    }

    /// `struct itimerval`: interval and what is left.
    fn copyout_itimer(&mut self, p: ProcId, at: u64) -> Result<(), Errno> {
        let timer = self
            .procs
            .get(&p)
            .map(|proc| proc.itimer)
            .unwrap_or_default();
        let left = timer
            .callout
            .map_or(Duration::ZERO, |(at, _)| self.left(at));
        let size = LP64.timespec.size as u64;
        self.copyout_span(p, at, timer.interval.as_nanos(), 1_000_000)?;
        self.copyout_span(p, at.wrapping_add(size), left.as_nanos(), 1_000_000)
    }

    /// A `timespec` or `timeval`, its fraction counted in `parts` of a second.
    fn copyin_span(&mut self, p: ProcId, at: u64, parts: u64) -> Result<Duration, Errno> {
        let layout = &LP64.timespec;
        let mut bytes = vec![0; layout.size];
        self.copyin(p, at, &mut bytes)?;
        let sec = u64::try_from(get_signed(&bytes, layout.sec)).map_err(|_| Errno::EINVAL)?;
        let frac = get(&bytes, layout.frac);
        if frac >= parts {
            return Err(Errno::EINVAL);
        }
        let frac = frac.saturating_mul(NS_PER_S / parts.max(1));
        Ok(Duration::from_secs(sec).plus(Duration::from_nanos(frac)))
    }

    fn copyout_span(&mut self, p: ProcId, at: u64, ns: u64, parts: u64) -> Result<(), Errno> {
        let layout = &LP64.timespec;
        let mut bytes = vec![0; layout.size];
        put(&mut bytes, layout.sec, ns / NS_PER_S);
        let unit = NS_PER_S / parts.max(1);
        put(&mut bytes, layout.frac, ns % NS_PER_S / unit.max(1));
        self.copyout(p, at, &bytes)
    }
}
