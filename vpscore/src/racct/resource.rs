// SPDX-License-Identifier: BSD-2-Clause
//! The resources of `racct(9)`, their properties and the error each gives where it runs out.

use crate::errno::Errno;

macro_rules! resources {
    ($($name:ident = $num:literal, $rctl:literal, $deniable:literal, $errno:ident, $doc:literal;)*) => {
        /// A resource, numbered as `RACCT_*` of `sys/racct.h` (15.0).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Resource {
            $(#[doc = $doc] $name = $num,)*
        }

        /// How many resources there are (`RACCT_MAX` + 1).
        pub const COUNT: usize = Resource::ALL.len();

        impl Resource {
            /// All of them, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The resource with this `RACCT_*` number.
            pub const fn from_raw(raw: u8) -> Option<Self> {
                match raw {
                    $($num => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that `rctl(8)` uses.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $rctl,)* }
            }

            /// The resource that `rctl(8)` calls so.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($rctl => Some(Self::$name),)* _ => None }
            }

            /// Whether a hard limit refuses a charge (`RACCT_DENIABLE`, `kern_racct.c`).
            pub const fn deniable(self) -> bool {
                match self { $(Self::$name => $deniable,)* }
            }

            /// What the system call that wants more of it returns where a limit refuses.
            pub const fn errno(self) -> Errno {
                match self { $(Self::$name => Errno::$errno,)* }
            }
        }
    };
}

// The error is the one that the call charging the resource returns: vm_mmap.c, vm_unix.c and
// swap_pager.c (ENOMEM), imgact_elf.c (EFAULT), kern_fork.c (EAGAIN), kern_thr.c (EPROCLIM),
// kern_descrip.c (EMFILE), tty_pts.c and sysv_msg.c (EAGAIN, ENOSPC), sysv_sem.c (ENOSPC, E2BIG),
// sysv_shm.c (ENOSPC, ENOMEM).
resources! {
    Cpu = 0, "cputime", false, EAGAIN, "CPU time, in microseconds.";
    Data = 1, "datasize", true, ENOMEM, "Data size, in bytes.";
    Stack = 2, "stacksize", true, ENOMEM, "Stack size, in bytes.";
    Core = 3, "coredumpsize", true, EFAULT, "Core dump size, in bytes.";
    Rss = 4, "memoryuse", false, ENOMEM, "Resident memory, in bytes.";
    Memlock = 5, "memorylocked", true, ENOMEM, "Locked memory, in bytes.";
    Nproc = 6, "maxproc", true, EAGAIN, "Processes.";
    Nofile = 7, "openfiles", true, EMFILE, "Size of descriptor tables.";
    Vmem = 8, "vmemoryuse", true, ENOMEM, "Address space, in bytes.";
    Npts = 9, "pseudoterminals", true, EAGAIN, "Pseudo-terminals.";
    Swap = 10, "swapuse", true, ENOMEM, "Swap space reserved or used, in bytes.";
    Nthr = 11, "nthr", true, EPROCLIM, "Threads; a fork that is refused for them gives EAGAIN.";
    Msgqqueued = 12, "msgqqueued", true, EAGAIN, "SysV messages queued.";
    Msgqsize = 13, "msgqsize", true, EAGAIN, "SysV message queue size, in bytes.";
    Nmsgq = 14, "nmsgq", true, ENOSPC, "SysV message queues.";
    Nsem = 15, "nsem", true, ENOSPC, "SysV semaphores.";
    Nsemop = 16, "nsemop", true, E2BIG, "SysV semaphores changed by one semop call.";
    Nshm = 17, "nshm", true, ENOSPC, "SysV shared memory segments.";
    Shmsize = 18, "shmsize", true, ENOMEM, "SysV shared memory, in bytes.";
    Wallclock = 19, "wallclock", false, EAGAIN, "Wall clock time, in microseconds.";
    Pctcpu = 20, "pcpu", true, EAGAIN, "CPU share, in millionths of a percent of one CPU.";
    Readbps = 21, "readbps", false, EAGAIN, "File system reads, in bytes per second.";
    Writebps = 22, "writebps", false, EAGAIN, "File system writes, in bytes per second.";
    Readiops = 23, "readiops", false, EAGAIN, "File system reads per second.";
    Writeiops = 24, "writeiops", false, EAGAIN, "File system writes per second.";
}
