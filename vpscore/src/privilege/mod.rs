// SPDX-License-Identifier: BSD-2-Clause
//! Which of FreeBSD's privileges hold inside an instance.
//!
//! Root of an instance is not root of the host. Every `priv_check(9)` of the kernel names one
//! privilege of `sys/priv.h`; an instance says of each of them *allow*, *deny* (`EPERM`) or *nosys*
//! (`ENOSYS`, for programs that cope with a missing call but not with a refused one). The sets only
//! subtract: a process still needs uid 0 where FreeBSD asks for it.
//!
//! An instance keeps its own wish ([`Set`]) and what comes of it under its ancestors
//! ([`Set::check`] answers from that alone): a privilege holds where the instance and every
//! ancestor allow it. The original compared the two only at the moment of the request, so a later
//! removal from a parent missed its children and a restored set was never checked at all.
//!
//! # Invariants
//! * I1: what holds in an instance holds in its parent.
//! * I2: the effective sets are those that `Set::inherit` makes from the parent's and the own.
//! * I3: the check is one bit test where it allows, two where it refuses, and writes nothing, for
//!   it runs in a non-sleepable read-only section (`mac_priv_check`, `kern_priv.c`).
//!
//! # Failure modes
//! A request for a privilege that the asker lacks is refused ([`Error::NotHeld`]) and changes
//! nothing. A number outside `PRIV_VALID` is denied, never indexed.

mod set;
mod table;
#[cfg(test)]
mod tests;

pub use set::{Bits, Set, Verdict};
pub use table::NAMED;

use crate::errno::Errno;

/// `_PRIV_LOWEST`: every privilege is above it.
pub const LOWEST: u16 = 1;
/// `_PRIV_HIGHEST` (15.0): every privilege is below it.
pub const HIGHEST: u16 = 703;

/// A privilege number for which `PRIV_VALID` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priv(u16);

impl Priv {
    /// The privilege with this number; `None` where `PRIV_VALID` does not hold.
    pub const fn from_raw(raw: i32) -> Option<Self> {
        if raw > LOWEST as i32 && raw < HIGHEST as i32 {
            Some(Self(raw as u16))
        } else {
            None
        }
    }

    /// Its number in `sys/priv.h`.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Its name without `PRIV_`; `None` where the number is reserved or its privilege removed.
    pub fn name(self) -> Option<&'static str> {
        let at = NAMED.binary_search_by_key(&self, |row| row.0).ok()?;
        NAMED.get(at).map(|row| row.1)
    }

    /// The privilege of this name, with or without `PRIV_`.
    pub fn from_name(name: &str) -> Option<Self> {
        let bare = name.strip_prefix("PRIV_").unwrap_or(name);
        NAMED.iter().find(|row| row.1 == bare).map(|row| row.0)
    }
}

/// Why a change of privileges was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The number is no privilege (`PRIV_VALID`).
    Invalid {
        /// The number given.
        raw: i32,
    },
    /// Only what holds in the asker's own instance can be passed on.
    NotHeld {
        /// The first privilege that does not hold there.
        privilege: Priv,
    },
}

impl Error {
    /// What the ioctl returns (`EINVAL` and `EPERM` as the original's).
    pub const fn errno(self) -> Errno {
        match self {
            Self::Invalid { .. } => Errno::EINVAL,
            Self::NotHeld { .. } => Errno::EPERM,
        }
    }
}

/// What a new instance is allowed, before its ancestors are asked: the original's list by the
/// names of 15.0, and `CRED_SETCRED`, which does in one call what the other `CRED_SET*` do in
/// nine. Clocks, modules, devices, real-time scheduling and packet filters are not in it.
pub const DEFAULT_ALLOW: &[Priv] = &[
    Priv::KTRACE,
    Priv::REBOOT,
    Priv::CRED_SETUID,
    Priv::CRED_SETEUID,
    Priv::CRED_SETGID,
    Priv::CRED_SETEGID,
    Priv::CRED_SETGROUPS,
    Priv::CRED_SETREUID,
    Priv::CRED_SETREGID,
    Priv::CRED_SETRESUID,
    Priv::CRED_SETRESGID,
    Priv::CRED_SETCRED,
    Priv::SEEOTHERGIDS,
    Priv::SEEOTHERUIDS,
    Priv::DEBUG_DIFFCRED,
    Priv::DEBUG_SUGID,
    Priv::DEBUG_UNPRIV,
    Priv::JAIL_ATTACH,
    Priv::JAIL_SET,
    Priv::PROC_LIMIT,
    Priv::PROC_SETLOGIN,
    Priv::PROC_SETRLIMIT,
    Priv::IPC_READ,
    Priv::IPC_WRITE,
    Priv::IPC_ADMIN,
    Priv::IPC_MSGSIZE,
    Priv::MQ_ADMIN,
    Priv::SCHED_DIFFCRED,
    Priv::SCHED_CPUSET,
    Priv::SIGNAL_DIFFCRED,
    Priv::SIGNAL_SUGID,
    Priv::SYSCTL_WRITE,
    Priv::SYSCTL_WRITEJAIL,
    Priv::VFS_READ,
    Priv::VFS_WRITE,
    Priv::VFS_ADMIN,
    Priv::VFS_EXEC,
    Priv::VFS_LOOKUP,
    Priv::VFS_BLOCKRESERVE,
    Priv::VFS_CHFLAGS_DEV,
    Priv::VFS_CHOWN,
    Priv::VFS_CHROOT,
    Priv::VFS_RETAINSUGID,
    Priv::VFS_FCHROOT,
    Priv::VFS_GENERATION,
    Priv::VFS_GETQUOTA,
    Priv::VFS_LINK,
    Priv::VFS_MOUNT,
    Priv::VFS_MOUNT_NONUSER,
    Priv::VFS_SETGID,
    Priv::VFS_SETQUOTA,
    Priv::VFS_STICKYFILE,
    Priv::VFS_UNMOUNT,
    Priv::VFS_STAT,
    Priv::NET_BRIDGE,
    Priv::NET_GRE,
    Priv::NET_BPF,
    Priv::NET_RAW,
    Priv::NET_ROUTE,
    Priv::NET_TAP,
    Priv::NET_SETIFMTU,
    Priv::NET_SETIFFLAGS,
    Priv::NET_SETIFCAP,
    Priv::NET_SETIFNAME,
    Priv::NET_SETIFMETRIC,
    Priv::NET_SETIFPHYS,
    Priv::NET_SETIFMAC,
    Priv::NET_ADDMULTI,
    Priv::NET_DELMULTI,
    Priv::NET_HWIOCTL,
    Priv::NET_SETLLADDR,
    Priv::NET_ADDIFGROUP,
    Priv::NET_DELIFGROUP,
    Priv::NET_IFCREATE,
    Priv::NET_IFDESTROY,
    Priv::NET_ADDIFADDR,
    Priv::NET_DELIFADDR,
    Priv::NET_LAGG,
    Priv::NETINET_RESERVEDPORT,
    Priv::NETINET_RAW,
    Priv::NETINET_GETCRED,
    Priv::NETINET_ADDRCTRL6,
    Priv::NETINET_REUSEPORT,
    Priv::NETINET_SETHDROPTS,
];

/// What a new instance answers with `ENOSYS`: audit, as the original did.
pub const DEFAULT_NOSYS: &[Priv] = &[
    Priv::AUDIT_CONTROL,
    Priv::AUDIT_FAILSTOP,
    Priv::AUDIT_GETAUDIT,
    Priv::AUDIT_SETAUDIT,
    Priv::AUDIT_SUBMIT,
];
