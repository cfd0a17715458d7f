// SPDX-License-Identifier: BSD-2-Clause
//! FreeBSD's error numbers, as a type.
//!
//! Every error that a guest program, an ioctl caller or a kernel sees is one of these; the typed
//! errors of the other modules map to them totally. The numbers are FreeBSD's (`sys/errno.h`,
//! 15.0), not the build machine's, so that the simulator gives the same answer on every platform.

use core::fmt;

macro_rules! errnos {
    ($($name:ident = $num:literal, $text:literal;)*) => {
        /// A FreeBSD error number (`intro(2)`); never zero.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum Errno {
            $(#[doc = $text] $name = $num,)*
        }

        impl Errno {
            /// The error with this number, or `None` where FreeBSD has no such error.
            pub const fn from_raw(raw: i32) -> Option<Self> {
                match raw {
                    $($num => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name as `errno.h` has it, for example `ESRCH`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The text that `strerror(3)` gives.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The error with this `errno.h` name (`"ESRCH"`), or `None`.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "Operation not permitted";
    ENOENT = 2, "No such file or directory";
    ESRCH = 3, "No such process";
    EINTR = 4, "Interrupted system call";
    EIO = 5, "Input/output error";
    ENXIO = 6, "Device not configured";
    E2BIG = 7, "Argument list too long";
    ENOEXEC = 8, "Exec format error";
    EBADF = 9, "Bad file descriptor";
    ECHILD = 10, "No child processes";
    EDEADLK = 11, "Resource deadlock avoided";
    ENOMEM = 12, "Cannot allocate memory";
    EACCES = 13, "Permission denied";
    EFAULT = 14, "Bad address";
    ENOTBLK = 15, "Block device required";
    EBUSY = 16, "Device busy";
    EEXIST = 17, "File exists";
    EXDEV = 18, "Cross-device link";
    ENODEV = 19, "Operation not supported by device";
    ENOTDIR = 20, "Not a directory";
    EISDIR = 21, "Is a directory";
    EINVAL = 22, "Invalid argument";
    ENFILE = 23, "Too many open files in system";
    EMFILE = 24, "Too many open files";
    ENOTTY = 25, "Inappropriate ioctl for device";
    ETXTBSY = 26, "Text file busy";
    EFBIG = 27, "File too large";
    ENOSPC = 28, "No space left on device";
    ESPIPE = 29, "Illegal seek";
    EROFS = 30, "Read-only file system";
    EMLINK = 31, "Too many links";
    EPIPE = 32, "Broken pipe";
    EDOM = 33, "Numerical argument out of domain";
    ERANGE = 34, "Result too large";
    EAGAIN = 35, "Resource temporarily unavailable";
    EINPROGRESS = 36, "Operation now in progress";
    EALREADY = 37, "Operation already in progress";
    ENOTSOCK = 38, "Socket operation on non-socket";
    EDESTADDRREQ = 39, "Destination address required";
    EMSGSIZE = 40, "Message too long";
    EPROTOTYPE = 41, "Protocol wrong type for socket";
    ENOPROTOOPT = 42, "Protocol not available";
    EPROTONOSUPPORT = 43, "Protocol not supported";
    ESOCKTNOSUPPORT = 44, "Socket type not supported";
    EOPNOTSUPP = 45, "Operation not supported";
    EPFNOSUPPORT = 46, "Protocol family not supported";
    EAFNOSUPPORT = 47, "Address family not supported by protocol family";
    EADDRINUSE = 48, "Address already in use";
    EADDRNOTAVAIL = 49, "Can't assign requested address";
    ENETDOWN = 50, "Network is down";
    ENETUNREACH = 51, "Network is unreachable";
    ENETRESET = 52, "Network dropped connection on reset";
    ECONNABORTED = 53, "Software caused connection abort";
    ECONNRESET = 54, "Connection reset by peer";
    ENOBUFS = 55, "No buffer space available";
    EISCONN = 56, "Socket is already connected";
    ENOTCONN = 57, "Socket is not connected";
    ESHUTDOWN = 58, "Can't send after socket shutdown";
    ETOOMANYREFS = 59, "Too many references: can't splice";
    ETIMEDOUT = 60, "Operation timed out";
    ECONNREFUSED = 61, "Connection refused";
    ELOOP = 62, "Too many levels of symbolic links";
    ENAMETOOLONG = 63, "File name too long";
    EHOSTDOWN = 64, "Host is down";
    EHOSTUNREACH = 65, "No route to host";
    ENOTEMPTY = 66, "Directory not empty";
    EPROCLIM = 67, "Too many processes";
    EUSERS = 68, "Too many users";
    EDQUOT = 69, "Disc quota exceeded";
    ESTALE = 70, "Stale NFS file handle";
    ENOSYS = 78, "Function not implemented";
    EIDRM = 82, "Identifier removed";
    ENOMSG = 83, "No message of desired type";
    EOVERFLOW = 84, "Value too large to be stored in data type";
    ECANCELED = 85, "Operation canceled";
    EILSEQ = 86, "Illegal byte sequence";
    ENOATTR = 87, "Attribute not found";
    EBADMSG = 89, "Bad message";
    EPROTO = 92, "Protocol error";
    ENOTCAPABLE = 93, "Capabilities insufficient";
    ECAPMODE = 94, "Not permitted in capability mode";
    ENOTRECOVERABLE = 95, "State not recoverable";
    EOWNERDEAD = 96, "Previous owner died";
    EINTEGRITY = 97, "Integrity check failed";
}

impl Errno {
    /// The number itself.
    pub const fn raw(self) -> i32 {
        self as i32
    }

    /// `EWOULDBLOCK` is another name of `EAGAIN` (`sys/errno.h`).
    pub const EWOULDBLOCK: Self = Self::EAGAIN;
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        f.write_str(" (")?;
        f.write_str(self.text())?;
        f.write_str(")")
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_name_lead_back_to_the_same_error() {
        let mut known = 0;
        for raw in -1..=120 {
            if let Some(e) = Errno::from_raw(raw) {
                assert_eq!(e.raw(), raw);
                assert_eq!(Errno::from_name(e.name()), Some(e));
                known += 1;
            }
        }
        assert_eq!(known, 84);
        assert_eq!(Errno::ESRCH.raw(), 3);
        assert_eq!(Errno::EAGAIN.raw(), 35);
        assert_eq!(Errno::ECAPMODE.raw(), 94);
    }
}
