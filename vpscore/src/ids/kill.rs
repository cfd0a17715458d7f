// SPDX-License-Identifier: BSD-2-Clause
//! Whom `kill(2)` and `wait4(2)` mean, and which signals reach the init of an instance.
//!
//! A kernel's own `kill(-1)`, `killpg` and default actions leave out `p_pid <= 1` (`killpg1` and
//! `issignal`, `kern_sig.c`, 15.0), which protects the host's init and no other. So the core says
//! for each process whether a signal goes to it:
//!
//! | sender | target | to one | to a group, broadcast |
//! |---|---|---|---|
//! | same instance | its init | only if it has a handler: the default action, and with it `SIGKILL` and `SIGSTOP`, is not taken | left out |
//! | same instance | another | delivered | delivered; a broadcast leaves out the sender |
//! | an instance above | any, init too | delivered | delivered |
//! | an instance below or beside | any | `ESRCH` | left out |
//!
//! These are what FreeBSD does for the host's init, taken one level down. What users may signal
//! whom (`p_cansignal`) is the kernel's to check, as ever.

use crate::errno::Errno;
use crate::kpi::LockFamily;
use crate::state::{Core, SIGKILL, State};
use crate::types::{HostId, InstanceId, ProcHandle, ViewId};
use crate::view::{IdKind, Sight, Viewer};

/// `_SIG_MAXSIG` (`sys/_sigset.h`, 15.0).
pub(super) const SIG_MAX: i32 = 128;
/// `SIGSTOP` (`sys/signal.h`).
pub const SIGSTOP: i32 = 17;

/// What `kill(2)` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPlan {
    /// As the kernel would without the core, with the number as it is: the caller is the host's.
    Native,
    /// Signal this process, asking [`Core::signal_check`] as [`Addressed::One`].
    One(HostId),
    /// Signal the members of the caller's group, each after [`Core::signal_check`].
    OwnGroup,
    /// Signal the members of this group, each after [`Core::signal_check`].
    Group(HostId),
    /// Signal every process that [`Core::procs_after`] lists, each after [`Core::signal_check`].
    Broadcast(Broadcast),
}

/// A signal to all that the caller sees. `ESRCH` where it reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Whose processes, and of what is below it.
    pub instance: InstanceId,
}

/// Why there is nobody to signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillError {
    /// There is no such signal.
    BadSignal {
        /// As asked for.
        signum: i32,
    },
    /// The caller sees no such process or group.
    NoSuch {
        /// As asked for.
        pid: i32,
    },
}

impl KillError {
    /// What `kill(2)` returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::BadSignal { .. } => Errno::EINVAL,
            Self::NoSuch { .. } => Errno::ESRCH,
        }
    }
}

/// How a signal came to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// It was named (`kill`, `sigqueue`, `pdkill`, `thr_kill2`, `PROC_REAP_KILL`).
    One,
    /// Its group was named.
    Group,
    /// Everybody was meant.
    Broadcast,
}

/// What a kernel is to do with a signal to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalVerdict {
    /// Deliver it.
    Deliver,
    /// Deliver it if the process has a handler for it; otherwise the call succeeds and nothing
    /// happens.
    DeliverIfCaught,
    /// Leave the process out, as if it were not there.
    Skip,
}

/// What `wait4(2)` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPlan {
    /// As the kernel would without the core: the caller is the host's.
    Native,
    /// Any child (the argument was -1).
    Any,
    /// This child.
    Child(HostId),
    /// Any child in the caller's group (0).
    OwnGroup,
    /// Any child in this group.
    Group(HostId),
}

/// Why there is nothing to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// The caller sees no such process or group.
    NoSuch {
        /// As asked for.
        pid: i32,
    },
}

impl WaitError {
    /// What `wait4(2)` returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoSuch { .. } => Errno::ECHILD,
        }
    }
}

impl State {
    fn kill_plan(&self, caller: ProcHandle, pid: i32, signum: i32) -> Result<KillPlan, KillError> {
        if !(0..=SIG_MAX).contains(&signum) {
            return Err(KillError::BadSignal { signum });
        }
        let Some((_, entry)) = self.proc(caller) else {
            return Ok(KillPlan::Native);
        };
        let viewer = Viewer::Proc(caller);
        let missing = KillError::NoSuch { pid };
        match pid {
            0 => Ok(KillPlan::OwnGroup),
            -1 => Ok(KillPlan::Broadcast(Broadcast {
                instance: entry.instance(),
            })),
            1.. => self
                .host_id_of(viewer, IdKind::Pid, ViewId(pid))
                .map(KillPlan::One)
                .ok_or(missing),
            _ => pid
                .checked_neg()
                .and_then(|group| self.host_id_of(viewer, IdKind::Pgid, ViewId(group)))
                .map(KillPlan::Group)
                .ok_or(missing),
        }
    }

    fn signal_check(
        &self,
        sender: Option<ProcHandle>,
        target: ProcHandle,
        signum: i32,
        addressed: Addressed,
    ) -> Result<SignalVerdict, KillError> {
        // The kernel itself, and processes of the host, reach everything.
        let Some(sender) = sender.filter(|sender| self.proc(*sender).is_some()) else {
            return Ok(SignalVerdict::Deliver);
        };
        let Some((slot, entry)) = self.proc(target) else {
            return unseen(addressed);
        };
        if !self.sees(Viewer::Proc(sender), slot) {
            return unseen(addressed);
        }
        if addressed == Addressed::Broadcast && sender == target {
            return Ok(SignalVerdict::Skip);
        }
        let own = self.instance_of(sender) == entry.instance();
        let node = self.tree.node(entry.instance());
        let is_init = node.is_some_and(|node| node.space.init() == Some(slot));
        Ok(match addressed {
            _ if !own || !is_init => SignalVerdict::Deliver,
            Addressed::Group | Addressed::Broadcast => SignalVerdict::Skip,
            Addressed::One if matches!(signum, SIGKILL | SIGSTOP) => SignalVerdict::Skip,
            Addressed::One => SignalVerdict::DeliverIfCaught,
        })
    }

    fn wait_plan(&self, caller: ProcHandle, pid: i32) -> Result<WaitPlan, WaitError> {
        let viewer = Viewer::Proc(caller);
        if matches!(self.sight(self.instance_of(caller)), Sight::Host) {
            return Ok(WaitPlan::Native);
        }
        let missing = WaitError::NoSuch { pid };
        match pid {
            0 => Ok(WaitPlan::OwnGroup),
            -1 => Ok(WaitPlan::Any),
            1.. => self
                .host_id_of(viewer, IdKind::Pid, ViewId(pid))
                .map(WaitPlan::Child)
                .ok_or(missing),
            _ => pid
                .checked_neg()
                .and_then(|group| self.host_id_of(viewer, IdKind::Pgid, ViewId(group)))
                .map(WaitPlan::Group)
                .ok_or(missing),
        }
    }
}

/// What becomes of a target that the sender does not see.
const fn unseen(addressed: Addressed) -> Result<SignalVerdict, KillError> {
    match addressed {
        Addressed::One => Err(KillError::NoSuch { pid: 0 }),
        Addressed::Group | Addressed::Broadcast => Ok(SignalVerdict::Skip),
    }
}

impl<F: LockFamily> Core<F> {
    /// Whom `kill(pid, signum)` of `caller` means, with every number read as the caller's instance
    /// sees it (`sys_kill`, `kern_sig.c`, 15.0).
    ///
    /// # Errors
    /// [`KillError`].
    pub fn kill_plan(
        &self,
        caller: ProcHandle,
        pid: i32,
        signum: i32,
    ) -> Result<KillPlan, KillError> {
        self.read(|state| state.kill_plan(caller, pid, signum))
    }

    /// Whether a signal goes to one process. `sender` is `None` for the kernel itself.
    ///
    /// # Errors
    /// [`KillError::NoSuch`] where a process that was named is outside the sender's sight.
    pub fn signal_check(
        &self,
        sender: Option<ProcHandle>,
        target: ProcHandle,
        signum: i32,
        addressed: Addressed,
    ) -> Result<SignalVerdict, KillError> {
        self.read(|state| state.signal_check(sender, target, signum, addressed))
    }

    /// What `wait4(pid, ...)` of `caller` waits for. The number that it returns is what
    /// [`Core::proc_reap`] said, or [`Core::id_to_view`] for a child that is not reaped.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_plan(&self, caller: ProcHandle, pid: i32) -> Result<WaitPlan, WaitError> {
        self.read(|state| state.wait_plan(caller, pid))
    }
}
