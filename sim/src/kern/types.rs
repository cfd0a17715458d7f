// SPDX-License-Identifier: BSD-2-Clause
//! The numbers and small values of the kernel, each a type of its own.

use crate::errno::Errno;
use std::borrow::Cow;

/// A number in the kernel's own space of process, group and session ids (`pid_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

/// A thread id (`lwpid_t`); never equal to a process id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub i32);

/// What a process is known by inside the kernel, as the address of its `struct proc` is on the
/// real one, but never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcId(pub u64);

/// A prison; 0 is the host itself (`prison0`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrisonId(pub u64);

/// A network stack; 0 is the host's (`vnet0`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VnetId(pub u64);

/// An open file description (`struct file`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// A pipe, both directions (`struct pipepair`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeId(pub u64);

/// An address space (`struct vmspace`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(pub u64);

impl PrisonId {
    /// The host itself.
    pub const HOST: Self = Self(0);
}

/// A set of signals (`sigset_t`): 1 to 128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigSet(pub u128);

impl SigSet {
    /// The signals that cannot be caught, blocked or ignored (`sigcantmask`).
    pub const CANTMASK: Self = Self(bit(SIGKILL) | bit(SIGSTOP));

    /// Whether the signal is in the set.
    pub const fn has(self, signo: i32) -> bool {
        self.0 & bit(signo) != 0
    }

    /// The set with the signal.
    pub const fn with(self, signo: i32) -> Self {
        Self(self.0 | bit(signo))
    }

    /// The union.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in the other.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

const fn bit(signo: i32) -> u128 {
    if signo < 1 || signo > SIG_MAXSIG {
        return 0;
    }
    1 << (signo - 1)
}

/// The largest signal number (`_SIG_MAXSIG`).
pub const SIG_MAXSIG: i32 = 128;

macro_rules! signals {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: i32 = $number;)*

        /// The name of a signal; of one that nothing here speaks of, its number.
        pub fn signal_name(signo: i32) -> Cow<'static, str> {
            match signo {
                $($number => stringify!($name).into(),)*
                other => format!("signal {other}").into(),
            }
        }
    };
}

signals! {
    SIGHUP = 1, "Hangup.";
    SIGINT = 2, "Interrupt from the terminal.";
    SIGQUIT = 3, "Quit.";
    SIGILL = 4, "No such instruction.";
    SIGTRAP = 5, "Breakpoint.";
    SIGABRT = 6, "abort(3).";
    SIGFPE = 8, "Arithmetic exception.";
    SIGKILL = 9, "Kill; cannot be caught.";
    SIGBUS = 10, "No page could be had.";
    SIGSEGV = 11, "Address not mapped or protected.";
    SIGSYS = 12, "No such system call.";
    SIGPIPE = 13, "Write on a pipe or stream that nobody reads.";
    SIGALRM = 14, "Timer.";
    SIGTERM = 15, "Please terminate.";
    SIGURG = 16, "Urgent data.";
    SIGSTOP = 17, "Stop; cannot be caught.";
    SIGTSTP = 18, "Stop from the terminal.";
    SIGCONT = 19, "Continue.";
    SIGCHLD = 20, "A child changed its state.";
    SIGTTIN = 21, "Background read of the terminal.";
    SIGTTOU = 22, "Background write to the terminal.";
    SIGIO = 23, "Input or output is possible.";
    SIGWINCH = 28, "Window size.";
    SIGINFO = 29, "Status request.";
    SIGUSR1 = 30, "For programs.";
    SIGUSR2 = 31, "For programs.";
}

/// What a signal does by default (`sigproptbl`, `kern_sig.c`, 15.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process dies; whether with a core is the second thing a parent learns.
    Kill {
        /// `SIGPROP_CORE`.
        core: bool,
    },
    /// The process stops; from the terminal or not.
    Stop {
        /// `SIGPROP_TTYSTOP`.
        tty: bool,
    },
    /// Nothing.
    Ignore,
    /// The process goes on where it was stopped; nothing otherwise.
    Continue,
}

/// What the signal does by default.
pub const fn sigprop(signo: i32) -> DefaultAction {
    match signo {
        SIGQUIT | SIGILL | SIGTRAP | SIGABRT | 7 | SIGFPE | SIGBUS | SIGSEGV | SIGSYS => {
            DefaultAction::Kill { core: true }
        }
        SIGSTOP => DefaultAction::Stop { tty: false },
        SIGTSTP | SIGTTIN | SIGTTOU => DefaultAction::Stop { tty: true },
        SIGCONT => DefaultAction::Continue,
        SIGURG | SIGCHLD | SIGIO | SIGWINCH | SIGINFO => DefaultAction::Ignore,
        _ => DefaultAction::Kill { core: false },
    }
}

/// What a signal brings with it (`siginfo_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Siginfo {
    /// The signal.
    pub signo: i32,
    /// Why it came (`SI_*`, `CLD_*`).
    pub code: i32,
    /// Who sent it, or the child; a number of the kernel's own space.
    pub pid: Pid,
    /// The sender's or child's real user.
    pub uid: u32,
    /// A child's exit value or signal.
    pub status: i32,
    /// The address of a fault.
    pub addr: u64,
}

/// `SI_USER`: by kill(2).
pub const SI_USER: i32 = 0x10001;
/// `SI_KERNEL`: by the kernel itself.
pub const SI_KERNEL: i32 = 0x10006;
/// `CLD_EXITED`: the child has exited.
pub const CLD_EXITED: i32 = 1;
/// `CLD_KILLED`: the child was killed.
pub const CLD_KILLED: i32 = 2;
/// `CLD_DUMPED`: the child was killed with a core.
pub const CLD_DUMPED: i32 = 3;
/// `CLD_STOPPED`: the child has stopped.
pub const CLD_STOPPED: i32 = 5;
/// `CLD_CONTINUED`: the child goes on.
pub const CLD_CONTINUED: i32 = 6;

/// A system call on its way: what the program passed and what the kernel works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallFrame {
    /// Number of the call.
    pub code: u32,
    /// The argument registers as the program set them.
    pub orig: [u64; 6],
    /// The arguments that the kernel works with: ids in them are the kernel's own.
    pub args: [u64; 6],
}

/// Both return values of a system call, or its error.
pub type SysResult = Result<[u64; 2], Errno>;
