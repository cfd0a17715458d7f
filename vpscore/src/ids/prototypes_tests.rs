// SPDX-License-Identifier: BSD-2-Clause
//! Argument positions of the table, against the names that the prototypes give the arguments.

use super::*;
use std::string::String;
use std::vec::Vec;

/// What each call of the table returns, as far as it is an id, and its arguments: names as in
/// `sys/kern/syscalls.master` (12.1, newer calls 15.0), pointers with a star.
const PROTOTYPES: &str = "
    - syscall()
    pid fork()
    pid wait4(pid, *status, options, *rusage)
    pid getpid()
    - ptrace(req, pid, *addr, data)
    - recvmsg(s, *msg, flags)
    - sendmsg(s, *msg, flags)
    - kill(pid, signum)
    pid getppid()
    - ktrace(*fname, ops, facs, pid)
    - ioctl(fd, com, *data)
    pid vfork()
    pgid getpgrp()
    - setpgid(pid, pgid)
    - fcntl(fd, cmd, arg)
    - setpriority(which, who, prio)
    - getpriority(which, who)
    - setsockopt(s, level, name, *val, valsize)
    - getsockopt(s, level, name, *val, *avalsize)
    sid setsid()
    - rtprio(function, pid, *rtp)
    pid semsys(which, a2, a3, a4, a5)
    - msgsys(which, a2, a3, *a4, a5, a6)
    - shmsys(which, a2, a3, *a4)
    - __syscall()
    - __sysctl(*name, namelen, *old, *oldlenp, *new, newlen)
    pgid getpgid(pid)
    pid freebsd7___semctl(semid, semnum, cmd, arg)
    - freebsd7_msgctl(msqid, cmd, *buf)
    - freebsd7_shmctl(shmid, cmd, *buf)
    - clock_gettime(clock_id, *tp)
    - clock_getres(clock_id, *tp)
    - ktimer_create(clock_id, *evp, *timerid)
    - clock_getcpuclockid2(id, which, *clock_id)
    pid rfork(flags)
    - aio_read(*aiocbp)
    - aio_write(*aiocbp)
    - lio_listio(mode, *acb_list, nent, *sig)
    sid getsid(pid)
    - sched_setparam(pid, *param)
    - sched_getparam(pid, *param)
    - sched_setscheduler(pid, policy, *param)
    - sched_getscheduler(pid)
    - sched_rr_get_interval(pid, *interval)
    - sigtimedwait(*set, *info, *timeout)
    - sigwaitinfo(*set, *info)
    - freebsd11_kevent(fd, *changelist, nchanges, *eventlist, nevents, *timeout)
    - __mac_get_pid(pid, *mac_p)
    - thr_create(*ctx, *id, flags)
    - thr_self(*id)
    - thr_kill(id, sig)
    - freebsd10__umtx_lock(*umtx)
    - freebsd10__umtx_unlock(*umtx)
    - thr_suspend(*timeout)
    - thr_wake(id)
    - auditon(cmd, *data, length)
    - _umtx_op(*obj, op, val, *uaddr1, *uaddr2)
    - thr_new(*param, param_size)
    - sigqueue(pid, signum, value)
    - kmq_notify(mqd, *sigev)
    - thr_set_name(id, *name)
    - aio_fsync(op, *aiocbp)
    - rtprio_thread(function, lwpid, *rtp)
    - thr_kill2(pid, id, sig)
    - cpuset_setid(which, id, setid)
    - cpuset_getid(level, which, id, *setid)
    - cpuset_getaffinity(level, which, id, cpusetsize, *mask)
    - cpuset_setaffinity(level, which, id, cpusetsize, *mask)
    pid __semctl(semid, semnum, cmd, arg)
    - msgctl(msqid, cmd, *buf)
    - shmctl(shmid, cmd, *buf)
    pid pdfork(*fdp, flags)
    - pdgetpid(fd, *pidp)
    - rctl_get_racct(*inbufp, inbuflen, *outbufp, outbuflen)
    - rctl_get_rules(*inbufp, inbuflen, *outbufp, outbuflen)
    - rctl_get_limits(*inbufp, inbuflen, *outbufp, outbuflen)
    - rctl_add_rule(*inbufp, inbuflen, *outbufp, outbuflen)
    - rctl_remove_rule(*inbufp, inbuflen, *outbufp, outbuflen)
    pid wait6(idtype, id, *status, options, *wrusage, *info)
    - aio_mlock(*aiocbp)
    - procctl(idtype, id, com, *data)
    - kevent(fd, *changelist, nchanges, *eventlist, nevents, *timeout)
    - cpuset_getdomain(level, which, id, domainsetsize, *mask, policy)
    - cpuset_setdomain(level, which, id, domainsetsize, *mask, policy)
    - __sysctlbyname(*name, namelen, *old, *oldlenp, *new, newlen)
    - aio_writev(*aiocbp)
    - aio_readv(*aiocbp)
    - kcmp(pid1, pid2, type, idx1, idx2)
";

/// The names that an argument may have where a structure with this field is behind it.
fn pointers(field: &str) -> &'static [&'static str] {
    match field {
        "" => &["*id", "*clock_id", "*pidp"],
        "pl_lwpid" | "pl_child_pid" | "kf_pid" => &["*addr"],
        "si_pid" => &["*info", "*addr"],
        "sigev_notify_thread_id" => &["*aiocbp", "*acb_list", "*evp", "*sig", "*sigev"],
        "msg_lspid" | "msg_lrpid" | "shm_lpid" | "shm_cpid" => &["*buf", "*a4"],
        "m_owner" => &["*obj"],
        "u_owner" => &["*umtx"],
        "child_tid" | "parent_tid" => &["*param"],
        "process" => &["*inbufp", "*outbufp"],
        "ap_pid" => &["*data"],
        "ident" | "data" => &["*changelist", "*eventlist"],
        _ => &[],
    }
}

/// The names that an argument with this in it may have.
fn plain(carries: Carries) -> &'static [&'static str] {
    match carries {
        Carries::Id(IdKind::Pid) | Carries::IdOrZero(IdKind::Pid) | Carries::PidOrGroup => {
            &["pid", "pid1", "pid2"]
        }
        Carries::Id(IdKind::Pgid) | Carries::IdOrZero(IdKind::Pgid) => &["pgid"],
        Carries::Id(IdKind::Tid)
        | Carries::IdOrZero(IdKind::Tid)
        | Carries::IdOrMinusOne(IdKind::Tid) => &["id", "lwpid"],
        Carries::ByIdType(_) | Carries::ByCpuWhich(_) | Carries::ByClockWhich(_) => &["id"],
        Carries::ByPrioWhich(_) => &["who"],
        Carries::Clock => &["clock_id"],
        _ => &[],
    }
}

/// The argument that says the kind, and the name it must have.
fn selector(carries: Carries) -> Option<(u8, &'static str)> {
    match carries {
        Carries::ByIdType(at) => Some((at, "idtype")),
        Carries::ByCpuWhich(at) | Carries::ByPrioWhich(at) | Carries::ByClockWhich(at) => {
            Some((at, "which"))
        }
        _ => None,
    }
}

fn commands(table: Table) -> &'static [&'static str] {
    match table {
        Table::Fcntl => &["cmd"],
        Table::Ioctl | Table::Procctl => &["com"],
        Table::Socket => &["name", "*msg"],
        Table::Sysctl => &["*name"],
    }
}

/// Return kind, name and arguments of each prototype.
fn prototypes() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let lines = PROTOTYPES.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (returns, rest) = line.trim().split_once(' ').unwrap();
            let (name, args) = rest.trim_end_matches(')').split_once('(').unwrap();
            let args = args.split(", ").filter(|arg| !arg.is_empty());
            (returns, name, args.collect())
        })
        .collect()
}

fn wrong(args: &[&str], crossing: &Crossing) -> Option<String> {
    let at = |n: u8| args.get(usize::from(n)).copied().unwrap_or("(none)");
    let (is, may_be) = match crossing.place {
        Place::Result => return None,
        Place::Arg(n) => (at(n), plain(crossing.carries)),
        Place::Behind(n, field) => (at(n), pointers(field)),
        Place::By(n, table) => (at(n), commands(table)),
    };
    if !may_be.contains(&is) {
        return Some(std::format!("{crossing:?} is in {is}"));
    }
    let (n, name) = selector(crossing.carries)?;
    (at(n) != name).then(|| std::format!("{crossing:?} is told by {}", at(n)))
}

#[test]
fn every_crossing_stands_at_the_argument_that_the_prototype_names_so() {
    let prototypes = prototypes();
    assert_eq!(prototypes.len(), SYSCALLS.len());
    for (call, (_, name, args)) in SYSCALLS.iter().zip(&prototypes) {
        assert_eq!(call.name, *name);
        for crossing in call.crossings {
            assert_eq!(wrong(args, crossing), None, "{name}");
        }
    }
}

#[test]
fn every_argument_and_result_with_the_name_of_an_id_is_in_the_table() {
    const IDS: [&str; 5] = ["pid", "pgid", "lwpid", "pid1", "pid2"];
    for (call, (returns, name, args)) in SYSCALLS.iter().zip(prototypes()) {
        for (at, _) in args.iter().enumerate().filter(|(_, arg)| IDS.contains(arg)) {
            let there = |c: &&Crossing| c.place == Place::Arg(u8::try_from(at).unwrap());
            assert!(call.crossings.iter().any(|c| there(&c)), "{name}: {at}");
        }
        let kind = match returns {
            "pid" => Some(IdKind::Pid),
            "pgid" => Some(IdKind::Pgid),
            "sid" => Some(IdKind::Sid),
            _ => None,
        };
        let result = call.crossings.iter().find(|c| c.place == Place::Result);
        let said = result.map(|crossing| match crossing.carries {
            Carries::Id(kind) | Carries::IdOrZero(kind) => kind,
            other => panic!("{name} returns {other:?}"),
        });
        assert_eq!(said, kind, "{name}");
    }
}
