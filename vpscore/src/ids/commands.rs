// SPDX-License-Identifier: BSD-2-Clause
//! Crossings that are told apart by a command, an option or a name, and the structures that carry
//! ids, by field.

use super::Carries::{Id, IdOrZero, PidOrGroup};
use super::Direction::{In, InOut, Out};
use super::{Carries, Direction};
use crate::view::IdKind::{Pgid, Pid, ReapSubtree, Sid, Tid};

/// A command and one id that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The number of the command, where it has one that is the same on every ABI; 0 where it is
    /// known by its name.
    pub number: u32,
    /// Its name: of the command, option or node, or of the structure.
    pub name: &'static str,
    /// The field that carries the id; empty where it is the value itself.
    pub field: &'static str,
    /// Which way.
    pub direction: Direction,
    /// What.
    pub carries: Carries,
}

const fn c(
    number: u32,
    name: &'static str,
    field: &'static str,
    direction: Direction,
    carries: Carries,
) -> Command {
    Command {
        number,
        name,
        field,
        direction,
        carries,
    }
}

/// The rows of a table with this number.
pub fn command(table: &'static [Command], number: u32) -> impl Iterator<Item = &'static Command> {
    table.iter().filter(move |row| row.number == number)
}

/// `fcntl(2)` commands (`sys/fcntl.h`, 15.0). The holder of a lock on another machine is named by
/// `l_sysid`; its `l_pid` is no id of this host.
pub const FCNTLS: &[Command] = &[
    c(5, "F_GETOWN", "", Out, PidOrGroup),
    c(6, "F_SETOWN", "", In, PidOrGroup),
    c(7, "F_OGETLK", "l_pid", Out, IdOrZero(Pid)),
    c(11, "F_GETLK", "l_pid", Out, IdOrZero(Pid)),
    c(14, "F_SETLK_REMOTE", "l_pid", In, IdOrZero(Pid)),
];

/// `ioctl(2)` requests (`sys/ttycom.h`, `sys/filio.h`, `sys/sockio.h`, 15.0), whose numbers are the
/// same on every ABI since they carry one `int`.
pub const IOCTLS: &[Command] = &[
    c(0x4004_7477, "TIOCGPGRP", "", Out, IdOrZero(Pgid)),
    c(0x8004_7476, "TIOCSPGRP", "", In, Id(Pgid)),
    c(0x4004_7463, "TIOCGSID", "", Out, IdOrZero(Sid)),
    c(0x8004_667c, "FIOSETOWN", "", In, PidOrGroup),
    c(0x4004_667b, "FIOGETOWN", "", Out, PidOrGroup),
    c(0x8004_7308, "SIOCSPGRP", "", In, PidOrGroup),
    c(0x4004_7309, "SIOCGPGRP", "", Out, PidOrGroup),
];

/// `procctl(2)` commands (`sys/procctl.h`, 15.0).
pub const PROCCTLS: &[Command] = &[
    c(4, "PROC_REAP_STATUS", "rs_reaper", Out, IdOrZero(Pid)),
    c(4, "PROC_REAP_STATUS", "rs_pid", Out, IdOrZero(Pid)),
    c(5, "PROC_REAP_GETPIDS", "pi_pid", Out, IdOrZero(Pid)),
    c(
        5,
        "PROC_REAP_GETPIDS",
        "pi_subtree",
        Out,
        IdOrZero(ReapSubtree),
    ),
    c(6, "PROC_REAP_KILL", "rk_subtree", In, IdOrZero(ReapSubtree)),
    c(6, "PROC_REAP_KILL", "rk_fpid", Out, IdOrZero(Pid)),
    c(8, "PROC_TRACE_STATUS", "", Out, IdOrZero(Pid)),
];

/// Socket options and ancillary data (`sys/un.h`, `sys/socket.h`, 15.0). What was sent is stored
/// with host ids and turned for whoever receives it.
pub const SOCKETS: &[Command] = &[
    c(1, "LOCAL_PEERCRED", "cr_pid", Out, IdOrZero(Pid)),
    c(3, "SCM_CREDS", "cmcred_pid", Out, IdOrZero(Pid)),
    c(8, "SCM_CREDS2", "sc_pid", Out, IdOrZero(Pid)),
];

/// Nodes of the sysctl tree whose name or value has ids (`kern_proc.c`, `kern_descrip.c`,
/// `kern_mib.c`, 15.0). The id in the name is its last component.
pub const SYSCTLS: &[Command] = &[
    c(0, "kern.proc.all", "kinfo_proc", Out, IdOrZero(Pid)),
    c(0, "kern.proc.proc", "kinfo_proc", Out, IdOrZero(Pid)),
    c(0, "kern.proc.pid", "name", In, Id(Pid)),
    c(0, "kern.proc.pgrp", "name", In, Id(Pgid)),
    c(0, "kern.proc.session", "name", In, Id(Sid)),
    c(0, "kern.proc.args", "name", In, Id(Pid)),
    c(0, "kern.proc.env", "name", In, Id(Pid)),
    c(0, "kern.proc.auxv", "name", In, Id(Pid)),
    c(0, "kern.proc.pathname", "name", In, Id(Pid)),
    c(0, "kern.proc.sv_name", "name", In, Id(Pid)),
    c(0, "kern.proc.vmmap", "name", In, Id(Pid)),
    c(0, "kern.proc.ovmmap", "name", In, Id(Pid)),
    c(0, "kern.proc.filedesc", "name", In, Id(Pid)),
    c(0, "kern.proc.ofiledesc", "name", In, Id(Pid)),
    c(0, "kern.proc.cwd", "name", In, Id(Pid)),
    c(0, "kern.proc.kstack", "name", In, Id(Pid)),
    c(0, "kern.proc.groups", "name", In, Id(Pid)),
    c(0, "kern.proc.rlimit", "name", In, Id(Pid)),
    c(0, "kern.proc.ps_strings", "name", In, Id(Pid)),
    c(0, "kern.proc.umask", "name", In, Id(Pid)),
    c(0, "kern.proc.osrel", "name", In, Id(Pid)),
    c(0, "kern.proc.sigtramp", "name", In, Id(Pid)),
    c(0, "kern.proc.nfds", "name", In, Id(Pid)),
    c(0, "kern.proc.sigfastblk", "name", In, Id(Pid)),
    c(0, "kern.proc.vm_layout", "name", In, Id(Pid)),
    c(0, "kern.file", "xf_pid", Out, IdOrZero(Pid)),
    c(0, "kern.lastpid", "", Out, IdOrZero(Pid)),
    c(0, "kern.ipc.shmsegs", "shm_lpid", Out, IdOrZero(Pid)),
    c(0, "kern.ipc.msqids", "msg_lspid", Out, IdOrZero(Pid)),
];

/// Structures that carry ids, by field: what the kernel fills in wherever it hands one out.
pub const STRUCTS: &[Command] = &[
    c(0, "siginfo", "si_pid", Out, IdOrZero(Pid)),
    c(0, "sigevent", "sigev_notify_thread_id", In, IdOrZero(Tid)),
    c(0, "kinfo_proc", "ki_pid", Out, IdOrZero(Pid)),
    c(0, "kinfo_proc", "ki_ppid", Out, IdOrZero(Pid)),
    c(0, "kinfo_proc", "ki_pgid", Out, IdOrZero(Pgid)),
    c(0, "kinfo_proc", "ki_tpgid", Out, IdOrZero(Pgid)),
    c(0, "kinfo_proc", "ki_sid", Out, IdOrZero(Sid)),
    c(0, "kinfo_proc", "ki_tsid", Out, IdOrZero(Sid)),
    c(0, "kinfo_proc", "ki_tid", Out, IdOrZero(Tid)),
    c(0, "kinfo_proc", "ki_reaper", Out, IdOrZero(Pid)),
    c(0, "kinfo_proc", "ki_tracer", Out, IdOrZero(Pid)),
    c(0, "kinfo_file", "kf_pid", Out, IdOrZero(Pid)),
    c(0, "kinfo_kstack", "kkst_tid", Out, IdOrZero(Tid)),
    c(0, "ptrace_lwpinfo", "pl_lwpid", Out, IdOrZero(Tid)),
    c(0, "ptrace_lwpinfo", "pl_child_pid", Out, IdOrZero(Pid)),
    c(0, "ktr_header", "ktr_pid", Out, IdOrZero(Pid)),
    c(0, "ktr_header", "ktr_tid", Out, IdOrZero(Tid)),
    c(0, "flock", "l_pid", Out, IdOrZero(Pid)),
    c(0, "auditpinfo", "ap_pid", In, Id(Pid)),
    c(0, "umtx", "u_owner", InOut, IdOrZero(Tid)),
    c(0, "shmid_ds", "shm_lpid", Out, IdOrZero(Pid)),
    c(0, "shmid_ds", "shm_cpid", Out, IdOrZero(Pid)),
    c(0, "msqid_ds", "msg_lspid", Out, IdOrZero(Pid)),
    c(0, "msqid_ds", "msg_lrpid", Out, IdOrZero(Pid)),
    c(0, "xucred", "cr_pid", Out, IdOrZero(Pid)),
    c(0, "cmsgcred", "cmcred_pid", Out, IdOrZero(Pid)),
    c(0, "sockcred2", "sc_pid", Out, IdOrZero(Pid)),
    c(0, "umutex", "m_owner", InOut, IdOrZero(Tid)),
    c(0, "thr_param", "child_tid", Out, Id(Tid)),
    c(0, "thr_param", "parent_tid", Out, Id(Tid)),
];
