// SPDX-License-Identifier: BSD-2-Clause
//! The system calls of FreeBSD 15 that carry an id (`sys/kern/syscalls.master`).

use super::Carries::{
    ByClockWhich, ByCpuWhich, ByIdType, ByPrioWhich, Clock, Command, Id, IdOrMinusOne, IdOrZero,
    PidOrGroup,
};
use super::Direction::{In, InOut, Out};
use super::Place::{Arg, Behind, By, Result};
use super::{Carries, Crossing, Direction, Place, Table};
use crate::errno::Errno;
use crate::view::IdKind::{Pgid, Pid, Sid, Tid};

/// A system call that carries ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its number.
    pub number: u16,
    /// Its name in `syscalls.master`.
    pub name: &'static str,
    /// What it carries where.
    pub crossings: &'static [Crossing],
}

const fn call(number: u16, name: &'static str, crossings: &'static [Crossing]) -> Syscall {
    Syscall {
        number,
        name,
        crossings,
    }
}

const fn x(place: Place, direction: Direction, carries: Carries) -> Crossing {
    Crossing {
        place,
        direction,
        carries,
        missing: Errno::ESRCH,
    }
}

/// As [`x`], for calls that say otherwise that there is no such process.
const fn or(place: Place, carries: Carries, missing: Errno) -> Crossing {
    Crossing {
        place,
        direction: In,
        carries,
        missing,
    }
}

const fn by(arg: u8, table: Table) -> Crossing {
    x(By(arg, table), InOut, Command)
}

/// A `struct sigevent` with `SIGEV_THREAD_ID` names a thread of the caller's own process.
const fn sigevent(arg: u8, field: &'static str) -> Crossing {
    x(Behind(arg, field), In, IdOrZero(Tid))
}

/// By number. A call that has two forms is listed with both.
pub const SYSCALLS: &[Syscall] = &[
    // syscall(2) and __syscall(2) carry what the call they name carries.
    call(0, "syscall", &[]),
    call(2, "fork", &[x(Result, Out, IdOrZero(Pid))]),
    call(
        7,
        "wait4",
        &[
            or(Arg(0), PidOrGroup, Errno::ECHILD),
            x(Result, Out, IdOrZero(Pid)),
        ],
    ),
    call(20, "getpid", &[x(Result, Out, Id(Pid))]),
    // PT_LWPINFO, PT_GETLWPLIST and the like name threads; requests that act on one thread take a
    // TID where others take a PID.
    call(
        26,
        "ptrace",
        &[
            x(Arg(1), In, IdOrZero(Pid)),
            x(Behind(2, "pl_lwpid"), Out, IdOrZero(Tid)),
            x(Behind(2, "pl_child_pid"), Out, IdOrZero(Pid)),
            x(Behind(2, "si_pid"), Out, IdOrZero(Pid)),
            x(Behind(2, "kf_pid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(27, "recvmsg", &[by(1, Table::Socket)]),
    call(28, "sendmsg", &[by(1, Table::Socket)]),
    call(37, "kill", &[x(Arg(0), In, PidOrGroup)]),
    call(39, "getppid", &[x(Result, Out, IdOrZero(Pid))]),
    call(45, "ktrace", &[x(Arg(3), In, PidOrGroup)]),
    call(54, "ioctl", &[by(1, Table::Ioctl)]),
    call(66, "vfork", &[x(Result, Out, IdOrZero(Pid))]),
    call(81, "getpgrp", &[x(Result, Out, Id(Pgid))]),
    call(
        82,
        "setpgid",
        &[x(Arg(0), In, IdOrZero(Pid)), x(Arg(1), In, IdOrZero(Pgid))],
    ),
    call(92, "fcntl", &[by(1, Table::Fcntl)]),
    call(96, "setpriority", &[x(Arg(1), In, ByPrioWhich(0))]),
    call(100, "getpriority", &[x(Arg(1), In, ByPrioWhich(0))]),
    call(105, "setsockopt", &[by(2, Table::Socket)]),
    call(118, "getsockopt", &[by(2, Table::Socket)]),
    call(147, "setsid", &[x(Result, Out, Id(Sid))]),
    call(166, "rtprio", &[x(Arg(1), In, IdOrZero(Pid))]),
    // semctl(GETPID) returns sempid; the older forms are reached through semsys and the like.
    call(169, "semsys", &[x(Result, Out, IdOrZero(Pid))]),
    call(
        170,
        "msgsys",
        &[
            x(Behind(3, "msg_lspid"), Out, IdOrZero(Pid)),
            x(Behind(3, "msg_lrpid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(
        171,
        "shmsys",
        &[
            x(Behind(3, "shm_lpid"), Out, IdOrZero(Pid)),
            x(Behind(3, "shm_cpid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(198, "__syscall", &[]),
    call(202, "__sysctl", &[by(0, Table::Sysctl)]),
    call(
        207,
        "getpgid",
        &[x(Arg(0), In, IdOrZero(Pid)), x(Result, Out, Id(Pgid))],
    ),
    call(220, "freebsd7___semctl", &[x(Result, Out, IdOrZero(Pid))]),
    call(
        224,
        "freebsd7_msgctl",
        &[
            x(Behind(2, "msg_lspid"), Out, IdOrZero(Pid)),
            x(Behind(2, "msg_lrpid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(
        229,
        "freebsd7_shmctl",
        &[
            x(Behind(2, "shm_lpid"), Out, IdOrZero(Pid)),
            x(Behind(2, "shm_cpid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(232, "clock_gettime", &[or(Arg(0), Clock, Errno::EINVAL)]),
    call(234, "clock_getres", &[or(Arg(0), Clock, Errno::EINVAL)]),
    call(
        235,
        "ktimer_create",
        &[sigevent(1, "sigev_notify_thread_id")],
    ),
    call(
        247,
        "clock_getcpuclockid2",
        &[
            or(Arg(0), ByClockWhich(1), Errno::EINVAL),
            x(Behind(2, ""), Out, Clock),
        ],
    ),
    call(251, "rfork", &[x(Result, Out, IdOrZero(Pid))]),
    call(255, "aio_read", &[sigevent(0, "sigev_notify_thread_id")]),
    call(256, "aio_write", &[sigevent(0, "sigev_notify_thread_id")]),
    // One for the list, and one in each aiocb.
    call(
        257,
        "lio_listio",
        &[
            sigevent(1, "sigev_notify_thread_id"),
            sigevent(3, "sigev_notify_thread_id"),
        ],
    ),
    call(
        310,
        "getsid",
        &[x(Arg(0), In, IdOrZero(Pid)), x(Result, Out, Id(Sid))],
    ),
    call(327, "sched_setparam", &[x(Arg(0), In, IdOrZero(Pid))]),
    call(328, "sched_getparam", &[x(Arg(0), In, IdOrZero(Pid))]),
    call(329, "sched_setscheduler", &[x(Arg(0), In, IdOrZero(Pid))]),
    call(330, "sched_getscheduler", &[x(Arg(0), In, IdOrZero(Pid))]),
    call(
        334,
        "sched_rr_get_interval",
        &[x(Arg(0), In, IdOrZero(Pid))],
    ),
    call(
        345,
        "sigtimedwait",
        &[x(Behind(1, "si_pid"), Out, IdOrZero(Pid))],
    ),
    call(
        346,
        "sigwaitinfo",
        &[x(Behind(1, "si_pid"), Out, IdOrZero(Pid))],
    ),
    call(
        363,
        "freebsd11_kevent",
        &[
            x(Behind(1, "ident"), In, Id(Pid)),
            x(Behind(3, "ident"), Out, Id(Pid)),
            x(Behind(3, "data"), Out, IdOrZero(Pid)),
        ],
    ),
    call(409, "__mac_get_pid", &[x(Arg(0), In, Id(Pid))]),
    call(430, "thr_create", &[x(Behind(1, ""), Out, Id(Tid))]),
    call(432, "thr_self", &[x(Behind(0, ""), Out, Id(Tid))]),
    // -1 is every other thread of the process.
    call(433, "thr_kill", &[x(Arg(0), In, IdOrMinusOne(Tid))]),
    // The word of a lock of 10.x holds the owner's TID, as those of _umtx_op do.
    call(
        434,
        "freebsd10__umtx_lock",
        &[x(Behind(0, "u_owner"), InOut, IdOrZero(Tid))],
    ),
    call(
        435,
        "freebsd10__umtx_unlock",
        &[x(Behind(0, "u_owner"), InOut, IdOrZero(Tid))],
    ),
    call(442, "thr_suspend", &[]),
    call(443, "thr_wake", &[x(Arg(0), In, Id(Tid))]),
    // A_GETPINFO, A_GETPINFO_ADDR and A_SETPMASK name a process.
    call(446, "auditon", &[x(Behind(1, "ap_pid"), In, Id(Pid))]),
    // The words of a PI or robust mutex hold the owner's TID, written by programs.
    call(
        454,
        "_umtx_op",
        &[x(Behind(0, "m_owner"), InOut, IdOrZero(Tid))],
    ),
    call(
        455,
        "thr_new",
        &[
            x(Behind(0, "child_tid"), Out, Id(Tid)),
            x(Behind(0, "parent_tid"), Out, Id(Tid)),
        ],
    ),
    call(456, "sigqueue", &[x(Arg(0), In, Id(Pid))]),
    call(461, "kmq_notify", &[sigevent(1, "sigev_notify_thread_id")]),
    call(464, "thr_set_name", &[x(Arg(0), In, Id(Tid))]),
    call(465, "aio_fsync", &[sigevent(1, "sigev_notify_thread_id")]),
    call(466, "rtprio_thread", &[x(Arg(1), In, IdOrZero(Tid))]),
    call(
        481,
        "thr_kill2",
        &[x(Arg(0), In, Id(Pid)), x(Arg(1), In, IdOrMinusOne(Tid))],
    ),
    call(485, "cpuset_setid", &[x(Arg(1), In, ByCpuWhich(0))]),
    call(486, "cpuset_getid", &[x(Arg(2), In, ByCpuWhich(1))]),
    call(487, "cpuset_getaffinity", &[x(Arg(2), In, ByCpuWhich(1))]),
    call(488, "cpuset_setaffinity", &[x(Arg(2), In, ByCpuWhich(1))]),
    call(510, "__semctl", &[x(Result, Out, IdOrZero(Pid))]),
    call(
        511,
        "msgctl",
        &[
            x(Behind(2, "msg_lspid"), Out, IdOrZero(Pid)),
            x(Behind(2, "msg_lrpid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(
        512,
        "shmctl",
        &[
            x(Behind(2, "shm_lpid"), Out, IdOrZero(Pid)),
            x(Behind(2, "shm_cpid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(518, "pdfork", &[x(Result, Out, IdOrZero(Pid))]),
    call(520, "pdgetpid", &[x(Behind(1, ""), Out, Id(Pid))]),
    // The rule text of rctl(4) has "process:PID:" in it.
    call(
        525,
        "rctl_get_racct",
        &[x(Behind(0, "process"), In, Id(Pid))],
    ),
    call(
        526,
        "rctl_get_rules",
        &[
            x(Behind(0, "process"), In, Id(Pid)),
            x(Behind(2, "process"), Out, Id(Pid)),
        ],
    ),
    call(
        527,
        "rctl_get_limits",
        &[
            x(Behind(0, "process"), In, Id(Pid)),
            x(Behind(2, "process"), Out, Id(Pid)),
        ],
    ),
    call(
        528,
        "rctl_add_rule",
        &[x(Behind(0, "process"), In, Id(Pid))],
    ),
    call(
        529,
        "rctl_remove_rule",
        &[x(Behind(0, "process"), In, Id(Pid))],
    ),
    call(
        532,
        "wait6",
        &[
            or(Arg(1), ByIdType(0), Errno::ECHILD),
            x(Result, Out, IdOrZero(Pid)),
            x(Behind(5, "si_pid"), Out, IdOrZero(Pid)),
        ],
    ),
    call(543, "aio_mlock", &[sigevent(0, "sigev_notify_thread_id")]),
    call(
        544,
        "procctl",
        &[x(Arg(1), In, ByIdType(0)), by(2, Table::Procctl)],
    ),
    // EVFILT_PROC has a PID for its ident, and reports the child's in data.
    call(
        560,
        "kevent",
        &[
            x(Behind(1, "ident"), In, Id(Pid)),
            x(Behind(3, "ident"), Out, Id(Pid)),
            x(Behind(3, "data"), Out, IdOrZero(Pid)),
        ],
    ),
    call(561, "cpuset_getdomain", &[x(Arg(2), In, ByCpuWhich(1))]),
    call(562, "cpuset_setdomain", &[x(Arg(2), In, ByCpuWhich(1))]),
    call(570, "__sysctlbyname", &[by(0, Table::Sysctl)]),
    call(578, "aio_writev", &[sigevent(0, "sigev_notify_thread_id")]),
    call(579, "aio_readv", &[sigevent(0, "sigev_notify_thread_id")]),
    call(
        588,
        "kcmp",
        &[x(Arg(0), In, Id(Pid)), x(Arg(1), In, Id(Pid))],
    ),
];
