// SPDX-License-Identifier: BSD-2-Clause
//! The names that programs use for system calls and constants, with FreeBSD's numbers
//! (`sys/syscall.h` and the headers named below, 15.0).

use crate::errno::Errno;

/// A system call as a program names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallName {
    /// Its name in `syscalls.master`, without a prefix.
    pub name: &'static str,
    /// Its number.
    pub number: u32,
    /// How many arguments it takes.
    pub nargs: usize,
}

macro_rules! syscalls {
    ($($constant:ident = $number:literal, $name:literal, $nargs:literal;)*) => {
        /// The numbers, by FreeBSD's names.
        #[allow(missing_docs)]
        pub mod sys {
            $(pub const $constant: u32 = $number;)*
        }

        /// Every system call that the emulated kernel has, in order of its number.
        pub static SYSCALLS: &[SyscallName] = &[
            $(SyscallName { name: $name, number: $number, nargs: $nargs },)*
        ];
    };
}

syscalls! {
    SYS_EXIT = 1, "exit", 1;
    SYS_FORK = 2, "fork", 0;
    SYS_READ = 3, "read", 3;
    SYS_WRITE = 4, "write", 3;
    SYS_CLOSE = 6, "close", 1;
    SYS_WAIT4 = 7, "wait4", 4;
    SYS_BREAK = 17, "break", 1;
    SYS_GETPID = 20, "getpid", 0;
    SYS_GETUID = 24, "getuid", 0;
    SYS_GETEUID = 25, "geteuid", 0;
    SYS_RECVFROM = 29, "recvfrom", 6;
    SYS_ACCEPT = 30, "accept", 3;
    SYS_GETPEERNAME = 31, "getpeername", 3;
    SYS_GETSOCKNAME = 32, "getsockname", 3;
    SYS_KILL = 37, "kill", 2;
    SYS_GETPPID = 39, "getppid", 0;
    SYS_DUP = 41, "dup", 1;
    SYS_GETGID = 47, "getgid", 0;
    SYS_IOCTL = 54, "ioctl", 3;
    SYS_EXECVE = 59, "execve", 3;
    SYS_VFORK = 66, "vfork", 0;
    SYS_MUNMAP = 73, "munmap", 2;
    SYS_MPROTECT = 74, "mprotect", 3;
    SYS_GETPGRP = 81, "getpgrp", 0;
    SYS_SETPGID = 82, "setpgid", 2;
    SYS_SETITIMER = 83, "setitimer", 3;
    SYS_GETITIMER = 86, "getitimer", 2;
    SYS_DUP2 = 90, "dup2", 2;
    SYS_FCNTL = 92, "fcntl", 3;
    SYS_SOCKET = 97, "socket", 3;
    SYS_CONNECT = 98, "connect", 3;
    SYS_BIND = 104, "bind", 3;
    SYS_SETSOCKOPT = 105, "setsockopt", 5;
    SYS_LISTEN = 106, "listen", 2;
    SYS_GETTIMEOFDAY = 116, "gettimeofday", 2;
    SYS_GETSOCKOPT = 118, "getsockopt", 5;
    SYS_SENDTO = 133, "sendto", 6;
    SYS_SHUTDOWN = 134, "shutdown", 2;
    SYS_SETSID = 147, "setsid", 0;
    SYS_GETPGID = 207, "getpgid", 1;
    SYS_POLL = 209, "poll", 3;
    SYS_CLOCK_GETTIME = 232, "clock_gettime", 2;
    SYS_NANOSLEEP = 240, "nanosleep", 2;
    SYS_MINHERIT = 250, "minherit", 3;
    SYS_GETSID = 310, "getsid", 1;
    SYS_SCHED_YIELD = 331, "sched_yield", 0;
    SYS_SIGPROCMASK = 340, "sigprocmask", 3;
    SYS_SIGSUSPEND = 341, "sigsuspend", 1;
    SYS_SIGPENDING = 343, "sigpending", 1;
    SYS_SIGACTION = 416, "sigaction", 3;
    SYS_SIGRETURN = 417, "sigreturn", 1;
    SYS_THR_SELF = 432, "thr_self", 1;
    SYS_MMAP = 477, "mmap", 6;
    SYS_ACCEPT4 = 541, "accept4", 4;
    SYS_PIPE2 = 542, "pipe2", 2;
    SYS_PROCCTL = 544, "procctl", 4;
}

/// The system call with this name.
pub fn syscall_by_name(name: &str) -> Option<SyscallName> {
    SYSCALLS.iter().copied().find(|call| call.name == name)
}

/// The system call with this number.
pub fn syscall_by_number(number: u32) -> Option<SyscallName> {
    let at = SYSCALLS.binary_search_by_key(&number, |call| call.number);
    at.ok().and_then(|at| SYSCALLS.get(at)).copied()
}

/// What libc has as a function on top of a system call: `(name, call, arguments)`, where the
/// further arguments of the call are 0.
pub static LIBC: &[(&str, &str, usize)] = &[
    ("recv", "recvfrom", 4),
    ("send", "sendto", 4),
    ("wait", "wait4", 3),
    ("pipe", "pipe2", 1),
];

/// The value of a constant of the C headers.
pub fn constant(name: &str) -> Option<i64> {
    if let Some(errno) = Errno::from_name(name) {
        return Some(i64::from(errno.raw()));
    }
    CONSTANTS
        .iter()
        .find(|(constant, _)| *constant == name)
        .map(|&(_, value)| value)
}

/// Constants by name; errnos are not among them.
static CONSTANTS: &[(&str, i64)] = &[
    ("EWOULDBLOCK", 35),
    ("NULL", 0),
    // sys/unistd.h
    ("STDIN", 0),
    ("STDOUT", 1),
    ("STDERR", 2),
    // sys/signal.h
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGBUS", 10),
    ("SIGSEGV", 11),
    ("SIGSYS", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGURG", 16),
    ("SIGSTOP", 17),
    ("SIGTSTP", 18),
    ("SIGCONT", 19),
    ("SIGCHLD", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGIO", 23),
    ("SIGUSR1", 30),
    ("SIGUSR2", 31),
    ("SIG_DFL", 0),
    ("SIG_IGN", 1),
    ("SIG_BLOCK", 1),
    ("SIG_UNBLOCK", 2),
    ("SIG_SETMASK", 3),
    ("SA_ONSTACK", 1),
    ("SA_RESTART", 2),
    ("SA_RESETHAND", 4),
    ("SA_NOCLDSTOP", 8),
    ("SA_NODEFER", 16),
    ("SA_NOCLDWAIT", 32),
    ("SA_SIGINFO", 64),
    // sys/wait.h
    ("WNOHANG", 1),
    ("WUNTRACED", 2),
    ("WCONTINUED", 4),
    ("WNOWAIT", 8),
    ("WAIT_ANY", -1),
    ("WAIT_MYPGRP", 0),
    // sys/time.h, sys/_clock_id.h
    ("ITIMER_REAL", 0),
    ("CLOCK_REALTIME", 0),
    ("CLOCK_MONOTONIC", 4),
    ("CLOCK_UPTIME", 5),
    // sys/mman.h
    ("PROT_NONE", 0),
    ("PROT_READ", 1),
    ("PROT_WRITE", 2),
    ("PROT_EXEC", 4),
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_FIXED", 0x10),
    ("MAP_ANON", 0x1000),
    ("INHERIT_SHARE", 0),
    ("INHERIT_COPY", 1),
    ("INHERIT_NONE", 2),
    // sys/fcntl.h
    ("F_DUPFD", 0),
    ("F_GETFD", 1),
    ("F_SETFD", 2),
    ("F_GETFL", 3),
    ("F_SETFL", 4),
    ("F_DUPFD_CLOEXEC", 17),
    ("FD_CLOEXEC", 1),
    ("O_NONBLOCK", 4),
    ("O_CLOEXEC", 0x10_0000),
    // sys/poll.h
    ("POLLIN", 1),
    ("POLLPRI", 2),
    ("POLLOUT", 4),
    ("POLLERR", 8),
    ("POLLHUP", 0x10),
    ("POLLNVAL", 0x20),
    ("INFTIM", -1),
    // sys/socket.h, netinet/in.h, netinet/tcp.h
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 28),
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_CLOEXEC", 0x1000_0000),
    ("SOCK_NONBLOCK", 0x2000_0000),
    ("SOL_SOCKET", 0xffff),
    ("SO_REUSEADDR", 4),
    ("SO_KEEPALIVE", 8),
    ("SO_LINGER", 0x80),
    ("SO_REUSEPORT", 0x200),
    ("SO_SNDBUF", 0x1001),
    ("SO_RCVBUF", 0x1002),
    ("SO_SNDLOWAT", 0x1003),
    ("SO_RCVLOWAT", 0x1004),
    ("SO_ERROR", 0x1007),
    ("IPPROTO_IP", 0),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
    ("IPPROTO_IPV6", 41),
    ("TCP_NODELAY", 1),
    ("TCP_MAXSEG", 2),
    ("TCP_KEEPIDLE", 256),
    ("TCP_KEEPINTVL", 512),
    ("TCP_KEEPCNT", 1024),
    ("SHUT_RD", 0),
    ("SHUT_WR", 1),
    ("SHUT_RDWR", 2),
    ("MSG_OOB", 1),
    ("MSG_PEEK", 2),
    ("MSG_WAITALL", 0x40),
    ("MSG_DONTWAIT", 0x80),
    ("MSG_NOSIGNAL", 0x2_0000),
    ("INADDR_ANY", 0),
    // sys/procctl.h, sys/wait.h
    ("P_PID", 0),
    ("P_PGID", 2),
    ("PROC_REAP_ACQUIRE", 2),
    ("PROC_REAP_RELEASE", 3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_each_name_leads_to_its_number() {
        assert!(SYSCALLS.is_sorted_by_key(|call| call.number));
        for call in SYSCALLS {
            assert_eq!(syscall_by_number(call.number), Some(*call));
            assert_eq!(syscall_by_name(call.name), Some(*call));
            assert!(call.nargs <= 6);
        }
        assert_eq!(syscall_by_number(999), None);
    }

    #[test]
    fn what_libc_adds_exists_with_more_arguments() {
        for (name, call, nargs) in LIBC {
            assert_eq!(syscall_by_name(name), None);
            assert!(syscall_by_name(call).is_some_and(|call| call.nargs > *nargs));
        }
    }
}
