// SPDX-License-Identifier: BSD-2-Clause
//! Processes, threads, credentials, sessions and process groups.
//!
//! # Numbers
//! A process, group, session or thread in an instance *d* levels below the image's own has *d* + 1
//! numbers: what the image's root instance sees first, its own instance's last. Its numbers above
//! the image are new on the target.
//!
//! # Order
//! A parent comes before its children, and siblings come in the order of `p_children`, so that
//! `wait4(2)` finds them in the same order.

use super::system::increasing;
use crate::cbor::{Bytes, Text};
use crate::codes;
use crate::collections::List;
use crate::image::{
    AnyRef, FiledescRef, InstanceRef, PgrpRef, ProcRef, SessionRef, SigactsRef, UcredRef,
    VmspaceRef,
};
use crate::limits::{DEPTH_MAX, NGROUPS_MAX, PID_MAX_WIDE, RLIMITS_MAX, TID_MAX, TID_MIN};
use crate::record;
use crate::time::Duration;

/// A set of signals (`sigset_t`): signal *n* is bit (*n* - 1) % 8 of byte (*n* - 1) / 8.
pub type SigSet = [u8; 16];

record! {
    /// Credentials (`struct ucred`), shared by whoever names them.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Ucred, check = Ucred::groups_fit {
        /// `cr_prison`: the instance.
        0 => cr_prison: InstanceRef,
        /// `cr_uid`: the effective user.
        1 => cr_uid: u32,
        /// `cr_ruid`: the real user.
        2 => cr_ruid: u32,
        /// `cr_svuid`: the saved user.
        3 => cr_svuid: u32,
        /// `cr_gid`: the effective group.
        4 => cr_gid: u32,
        /// `cr_rgid`: the real group.
        5 => cr_rgid: u32,
        /// `cr_svgid`: the saved group.
        6 => cr_svgid: u32,
        /// `cr_groups`: the supplementary groups, in the kernel's order.
        7 => cr_groups: List<u32>,
        /// `cr_flags`, bits `CRED_FLAG_*`.
        8 => cr_flags: u32,
        /// `cr_loginclass`.
        9 => cr_loginclass: Text,
    }
}

impl Ucred {
    fn groups_fit(&self) -> Result<(), u64> {
        if self.cr_groups.len() > NGROUPS_MAX {
            return Err(Self::cr_groups);
        }
        Ok(())
    }
}

record! {
    /// A session (`struct session`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct Session, check = Session::numbered {
        /// Its instance.
        0 => instance: InstanceRef,
        /// `s_sid`, one number per level.
        1 => s_sid: List<i32>,
        /// `s_login`: the name set by `setlogin(2)`.
        2 => s_login: Bytes,
    }
}

impl Session {
    fn numbered(&self) -> Result<(), u64> {
        numbers(&self.s_sid, 1, PID_MAX_WIDE, Self::s_sid)
    }
}

record! {
    /// A process group (`struct pgrp`).
    #[derive(Debug, PartialEq, Eq)]
    pub struct Pgrp, check = Pgrp::numbered {
        /// `pg_session`.
        0 => pg_session: SessionRef,
        /// `pg_id`, one number per level.
        1 => pg_id: List<i32>,
        /// `pg_flags`, bits `PGRP_*`.
        2 => pg_flags: u32,
        /// The instance of the process after which it is numbered; a process that enters a deeper
        /// one keeps its session.
        3 => instance: InstanceRef,
    }
}

impl Pgrp {
    fn numbered(&self) -> Result<(), u64> {
        numbers(&self.pg_id, 1, PID_MAX_WIDE, Self::pg_id)
    }
}

record! {
    /// What one signal does (`ps_sigact` and the sets about it).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Sigaction {
        /// The signal.
        0 => signo: u16,
        /// `ps_sigact`: the handler's address; 0 for the default, 1 for ignored.
        1 => handler: u64,
        /// `ps_catchmask`: what is blocked meanwhile.
        2 => mask: SigSet,
        /// `sa_flags`, bits `SA_*`.
        3 => flags: u32,
    }
}

record! {
    /// Signal actions (`struct sigacts`), shared by whoever names them.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Sigacts, check = Sigacts::increasing {
        /// Signals whose action is not the default without flags, by increasing number.
        0 => actions: List<Sigaction>,
        /// `ps_flag`, bits `PS_*`.
        1 => ps_flag: u32,
    }
}

impl Sigacts {
    fn increasing(&self) -> Result<(), u64> {
        let known = self.actions.iter().all(|a| (1..=128).contains(&a.signo));
        if !known || !increasing(self.actions.iter().map(|a| a.signo)) {
            return Err(Self::actions);
        }
        Ok(())
    }
}

record! {
    /// A queued signal (`ksiginfo_t`). Its pid is as the receiver's instance sees it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ksiginfo, check = Ksiginfo::known {
        /// `si_signo`.
        0 => si_signo: u16,
        /// `si_errno`.
        1 => si_errno: i32,
        /// `si_code`.
        2 => si_code: i32,
        /// `si_pid`.
        3 => si_pid: i32,
        /// `si_uid`.
        4 => si_uid: u32,
        /// `si_status`.
        5 => si_status: i32,
        /// `si_addr`.
        6 => si_addr: u64,
        /// `si_value`.
        7 => si_value: u64,
        /// The first of the two words of `_reason`.
        8 => reason0: u64,
        /// The second.
        9 => reason1: u64,
        /// `ksi_flags`, bits `KSI_*`.
        10 => ksi_flags: u32,
    }
}

impl Ksiginfo {
    fn known(&self) -> Result<(), u64> {
        if (1..=128).contains(&self.si_signo) {
            Ok(())
        } else {
            Err(Self::si_signo)
        }
    }
}

record! {
    /// Pending signals (`sigqueue_t`).
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Sigqueue {
        /// `sq_signals`: pending with an entry in the queue.
        0 => sq_signals: SigSet,
        /// `sq_kill`: pending without one.
        1 => sq_kill: SigSet,
        /// `sq_list`: the queue.
        2 => sq_list: List<Ksiginfo>,
    }
}

record! {
    /// A limit of `setrlimit(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rlimit, check = Rlimit::ordered {
        /// `rlim_cur`.
        0 => rlim_cur: u64,
        /// `rlim_max`.
        1 => rlim_max: u64,
    }
}

impl Rlimit {
    fn ordered(&self) -> Result<(), u64> {
        if self.rlim_cur > self.rlim_max {
            return Err(Self::rlim_cur);
        }
        Ok(())
    }
}

record! {
    /// Resources used (`struct rusage`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Rusage {
        /// `ru_utime`.
        0 => ru_utime: Duration,
        /// `ru_stime`.
        1 => ru_stime: Duration,
        /// `ru_maxrss`, kilobytes.
        2 => ru_maxrss: u64,
        /// `ru_minflt`.
        3 => ru_minflt: u64,
        /// `ru_majflt`.
        4 => ru_majflt: u64,
        /// `ru_inblock`.
        5 => ru_inblock: u64,
        /// `ru_oublock`.
        6 => ru_oublock: u64,
        /// `ru_msgsnd`.
        7 => ru_msgsnd: u64,
        /// `ru_msgrcv`.
        8 => ru_msgrcv: u64,
        /// `ru_nsignals`.
        9 => ru_nsignals: u64,
        /// `ru_nvcsw`.
        10 => ru_nvcsw: u64,
        /// `ru_nivcsw`.
        11 => ru_nivcsw: u64,
    }
}

record! {
    /// An interval timer (`struct itimerval`) that runs.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Itimer {
        /// `it_value`: what remains.
        0 => it_value: Duration,
        /// `it_interval`; zero for once.
        1 => it_interval: Duration,
        /// Its place among what is due at the same moment, as [`Blocked::sleepq_seq`]; absent where
        /// the source has no such order.
        2 => seq: Option<u32>,
    }
}

codes! {
    /// `p_state` (`proc.h`): whether it has exited.
    pub enum ProcState {
        /// `PRS_NORMAL`.
        Normal = 1,
        /// `PRS_ZOMBIE`.
        Zombie = 2,
    }
}

codes! {
    /// The ABI of a process: how its registers and structures lie.
    pub enum Abi {
        /// The readable program form of the simulator, with 64-bit words.
        SimLp64 = 1,
        /// `FreeBSD ELF64`, amd64.
        FreebsdAmd64 = 2,
        /// `FreeBSD ELF64`, arm64.
        FreebsdArm64 = 3,
        /// `FreeBSD ELF32`, i386.
        FreebsdI386 = 4,
    }
}

record! {
    /// A process (`struct proc`). Its threads follow it.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Proc, check = Proc::alive_or_zombie {
        /// `p_pid`, one number per level.
        0 => p_pid: List<i32>,
        /// `p_pptr`; absent where the parent is outside the image.
        1 => p_pptr: Option<ProcRef>,
        /// `p_reaper`; absent where that is outside the image, or is the process itself.
        2 => p_reaper: Option<ProcRef>,
        /// `p_treeflag`: `P_TREE_REAPER` and the like.
        3 => p_treeflag: u32,
        /// `p_reapsubtree`: the child of the reaper it descends from, one number per level.
        4 => p_reapsubtree: List<i32>,
        /// `p_pgrp`.
        5 => p_pgrp: PgrpRef,
        /// `p_ucred`.
        6 => p_ucred: UcredRef,
        /// `p_state`.
        7 => p_state: ProcState,
        /// `p_flag`, bits `P_*` that last.
        8 => p_flag: u32,
        /// `p_flag2`, bits `P2_*` that last.
        9 => p_flag2: u32,
        /// `p_comm`, at most `MAXCOMLEN` (19) bytes.
        10 => p_comm: Bytes,
        /// `p_args`: the arguments that `ps(1)` shows.
        11 => p_args: Bytes,
        /// `p_sysent`, as the ABI.
        12 => p_abi: Abi,
        /// `p_osrel`: the release the program was built for.
        13 => p_osrel: i32,
        /// `p_xexit`: the exit status.
        14 => p_xexit: i32,
        /// `p_xsig`: the signal that stopped or ended it; 0 for none.
        15 => p_xsig: u16,
        /// `p_sigparent`: the signal its parent gets when it exits.
        16 => p_sigparent: u16,
        /// `p_pdeathsig`: the signal it gets when its parent exits; 0 for none.
        17 => p_pdeathsig: u16,
        /// `p_acflag`, bits of accounting.
        18 => p_acflag: u16,
        /// `p_nice`.
        19 => p_nice: i8,
        /// `p_sigacts`; absent for a zombie.
        20 => p_sigacts: Option<SigactsRef>,
        /// `p_sigqueue`: what is pending for the process.
        21 => p_sigqueue: Sigqueue,
        /// `p_vmspace`; absent for a zombie.
        22 => p_vmspace: Option<VmspaceRef>,
        /// `p_fd`; absent for a zombie.
        23 => p_fd: Option<FiledescRef>,
        /// `p_limit`, by resource.
        24 => p_limit: List<Rlimit>,
        /// `p_ru`: used by itself.
        25 => p_ru: Rusage,
        /// `p_stats->p_cru`: used by the children it has waited for.
        26 => p_cru: Rusage,
        /// `p_stats->p_start`: its age.
        27 => p_start: Duration,
        /// `p_realtimer`.
        28 => itimer_real: Option<Itimer>,
        /// `p_stats->p_timer[ITIMER_VIRTUAL]`.
        29 => itimer_virtual: Option<Itimer>,
        /// `p_stats->p_timer[ITIMER_PROF]`.
        30 => itimer_prof: Option<Itimer>,
        /// Its executable, as a path from the instance's root; empty where there is none.
        31 => p_textpath: Bytes,
        /// `p_pglist`: its place among the members of its group, the first being 0.
        32 => p_pglist: u32,
    }
}

impl Proc {
    fn alive_or_zombie(&self) -> Result<(), u64> {
        numbers(&self.p_pid, 1, PID_MAX_WIDE, Self::p_pid)?;
        numbers(&self.p_reapsubtree, 0, PID_MAX_WIDE, Self::p_reapsubtree)?;
        if self.p_reapsubtree.len() != self.p_pid.len() {
            return Err(Self::p_reapsubtree);
        }
        let alive = self.p_state == ProcState::Normal;
        for (present, key) in [
            (self.p_sigacts.is_some(), Self::p_sigacts),
            (self.p_vmspace.is_some(), Self::p_vmspace),
            (self.p_fd.is_some(), Self::p_fd),
        ] {
            if present != alive {
                return Err(key);
            }
        }
        if self.p_comm.len() > 19 {
            return Err(Self::p_comm);
        }
        if self.p_limit.len() > RLIMITS_MAX {
            return Err(Self::p_limit);
        }
        if !(-20..=20).contains(&self.p_nice) {
            return Err(Self::p_nice);
        }
        Ok(())
    }
}

record! {
    /// Registers, as a blob of the ABI they belong to.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Registers {
        /// The ABI.
        0 => abi: Abi,
        /// `td_frame` and what belongs to it, as that ABI lays it out.
        1 => frame: Bytes,
    }
}

codes! {
    /// What a blocked thread waits for.
    pub enum Wchan {
        /// Time only: `nanosleep(2)`.
        Sleep = 1,
        /// A child: `wait4(2)` and its like. The object is its own process.
        Wait = 2,
        /// Bytes in a pipe.
        PipeRead = 3,
        /// Room in a pipe.
        PipeWrite = 4,
        /// `so_rcv`: data, a connection or an error.
        SockRcv = 5,
        /// `so_snd`: room.
        SockSnd = 6,
        /// `so_comp` of a listening socket: a connection.
        Accept = 7,
        /// `so_timeo`: the end of a handshake or of a lingering close.
        Connect = 8,
        /// `select(2)` and `poll(2)`.
        Select = 9,
        /// A signal: `sigsuspend(2)`, `sigwait(2)`.
        Signal = 10,
        /// The child of a `vfork(2)`. The object is its own process.
        Vfork = 11,
        /// A `umtx` key: the argument is the offset in the memory object.
        Umtx = 12,
    }
}

codes! {
    /// How a sleep has ended whose call has not gone on yet.
    pub enum Woken {
        /// What it waits for may be there, or its time is over: it looks.
        Look = 1,
        /// By a signal, with `EINTR`.
        Eintr = 2,
        /// By a signal, with `ERESTART`.
        Restart = 3,
    }
}

record! {
    /// One of several things that a thread waits for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Selected {
        /// What.
        0 => wchan: Wchan,
        /// Of which object.
        1 => object: AnyRef,
        /// What of the object.
        2 => arg: u64,
    }
}

record! {
    /// A blocked system call, as data: on the target it is blocked in the same place, with the
    /// time that remained, having done what it had done.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Blocked, check = Blocked::bounded {
        /// `td_sa.code`: the number of the call.
        0 => code: u32,
        /// `td_sa.args`: its arguments, as register words.
        1 => args: List<u64>,
        /// What it waits for.
        2 => wchan: Wchan,
        /// The object waited on; absent where there is none.
        3 => object: Option<AnyRef>,
        /// What of the object, where it has several things to wait on.
        4 => arg: u64,
        /// `td_slpcallout`: what remains of its time; absent for ever.
        5 => remaining: Option<Duration>,
        /// `td_wmesg`.
        6 => wmesg: Bytes,
        /// `PCATCH`: whether signals interrupt it.
        7 => pcatch: bool,
        /// Bytes already transferred.
        8 => progress: u64,
        /// Further state of the call, in words whose meaning the call defines.
        9 => state: List<u64>,
        /// How the sleep has ended; absent where it goes on.
        10 => woken: Option<Woken>,
        /// `st_selq`: all that it waits for, where that is not `object` alone.
        11 => selected: Option<List<Selected>>,
        /// Its place on the sleep queues, and among what is due at the same moment; absent where
        /// its sleep is over.
        12 => sleepq_seq: Option<u32>,
    }
}

impl Blocked {
    fn bounded(&self) -> Result<(), u64> {
        if self.args.len() > 10 {
            return Err(Self::args);
        }
        if self.state.len() > 64 {
            return Err(Self::state);
        }
        if self.woken.is_some() && self.sleepq_seq.is_some() {
            return Err(Self::sleepq_seq);
        }
        Ok(())
    }
}

record! {
    /// A thread (`struct thread`) of the process before it.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Thread, check = Thread::numbered {
        /// `td_tid`, one number per level.
        0 => td_tid: List<i32>,
        /// `td_name`, at most `MAXCOMLEN` (19) bytes.
        1 => td_name: Bytes,
        /// The registers with which it returns to its program.
        2 => td_frame: Registers,
        /// `td_ucred`.
        3 => td_ucred: UcredRef,
        /// `td_sigmask`.
        4 => td_sigmask: SigSet,
        /// `td_oldsigmask`, to be restored when the call returns (`TDP_OLDMASK`).
        5 => td_oldsigmask: Option<SigSet>,
        /// `td_sigqueue`: what is pending for the thread.
        6 => td_sigqueue: Sigqueue,
        /// `td_sigstk.ss_sp`: the alternate signal stack.
        7 => ss_sp: u64,
        /// `td_sigstk.ss_size`, bytes.
        8 => ss_size: u64,
        /// `td_sigstk.ss_flags`, bits `SS_*`.
        9 => ss_flags: u32,
        /// `td_flags` and `td_pflags` that last, as the source's release numbers them.
        10 => td_flags: u32,
        /// Whether job control or a debugger has stopped it.
        11 => suspended: bool,
        /// The system call in which it is blocked; absent where it can run.
        12 => blocked: Option<Blocked>,
        /// `td_base_user_pri`.
        13 => td_base_user_pri: u8,
        /// `td_pri_class`, `PRI_*`.
        14 => td_pri_class: u8,
        /// `td_incruntime` with what is already in `p_ru`: time it has run.
        15 => td_runtime: Duration,
        /// `ts_slice`: what remains of its time slice; absent where it has used nothing of it.
        16 => slice: Option<Duration>,
        /// Its place among the threads that can run: the order in which they get a CPU; absent
        /// where it is blocked or suspended.
        17 => runq_seq: Option<u32>,
        /// `td_oncpu`: the CPU that it keeps until its slice is over; absent where it has none.
        18 => td_oncpu: Option<u32>,
        /// What remains of the time that its last step takes, where a kernel executes first and lets
        /// the time pass afterwards; absent for none.
        128 => busy: Option<Duration>,
    }
}

impl Thread {
    fn numbered(&self) -> Result<(), u64> {
        numbers(&self.td_tid, TID_MIN, TID_MAX, Self::td_tid)?;
        if self.td_name.len() > 19 {
            return Err(Self::td_name);
        }
        let sleeps = |blocked: &Blocked| blocked.woken.is_none();
        if self.blocked.as_ref().is_some_and(sleeps) && self.runq_seq.is_some() {
            return Err(Self::runq_seq);
        }
        if self.td_oncpu.is_some() && self.runq_seq.is_none() {
            return Err(Self::td_oncpu);
        }
        Ok(())
    }
}

/// Whether there is a number for each level, from `least` to `most`.
fn numbers(list: &List<i32>, least: i32, most: i32, key: u64) -> Result<(), u64> {
    let depth = !list.is_empty() && list.len() <= DEPTH_MAX;
    if depth && list.iter().all(|n| (least..=most).contains(n)) {
        Ok(())
    } else {
        Err(key)
    }
}
