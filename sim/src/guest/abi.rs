// SPDX-License-Identifier: BSD-2-Clause
//! Where the fields of the structures lie that cross between a program and the kernel, per ABI.
//!
//! A system call's body reads and writes structures by field, never by offset; the offsets are in
//! one table per ABI ([`LP64`]: FreeBSD's amd64 and arm64 headers, 15.0), so that a 32-bit ABI is
//! another table and nothing else.

/// A field: its offset and its width in bytes (1, 2, 4 or 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes it takes.
    pub width: usize,
}

const fn field(offset: usize, width: usize) -> Field {
    Field { offset, width }
}

/// The layouts of one ABI.
#[derive(Debug, PartialEq, Eq)]
pub struct Abi {
    /// The tag that images carry.
    pub name: &'static str,
    /// Bytes in a pointer.
    pub pointer: usize,
    /// `struct timespec` and, with microseconds, `struct timeval`.
    pub timespec: PairLayout,
    /// `struct sigaction`.
    pub sigaction: SigactionLayout,
    /// `siginfo_t`.
    pub siginfo: SiginfoLayout,
    /// `sigset_t`: its words.
    pub sigset: [Field; 4],
    /// `struct pollfd`.
    pub pollfd: PollfdLayout,
    /// Bytes in `struct rusage`.
    pub rusage_size: usize,
    /// The machine's context on a signal's stack frame: mask, pc, flag, registers.
    pub mcontext: McontextLayout,
}

/// Two numbers one after the other.
#[derive(Debug, PartialEq, Eq)]
pub struct PairLayout {
    /// Bytes in all.
    pub size: usize,
    /// Seconds.
    pub sec: Field,
    /// The fraction.
    pub frac: Field,
}

/// `struct sigaction` (`sys/signal.h`).
#[derive(Debug, PartialEq, Eq)]
pub struct SigactionLayout {
    /// Bytes in all.
    pub size: usize,
    /// `sa_handler`.
    pub handler: Field,
    /// `sa_flags`.
    pub flags: Field,
    /// The words of `sa_mask`: signals 1 to 128, 32 in each.
    pub mask: [Field; 4],
}

/// `siginfo_t` (`sys/signal.h`).
#[derive(Debug, PartialEq, Eq)]
pub struct SiginfoLayout {
    /// Bytes in all.
    pub size: usize,
    /// `si_signo`.
    pub signo: Field,
    /// `si_code`.
    pub code: Field,
    /// `si_pid`.
    pub pid: Field,
    /// `si_uid`.
    pub uid: Field,
    /// `si_status`.
    pub status: Field,
    /// `si_addr`.
    pub addr: Field,
}

/// `struct pollfd` (`sys/poll.h`).
#[derive(Debug, PartialEq, Eq)]
pub struct PollfdLayout {
    /// Bytes in all.
    pub size: usize,
    /// `fd`.
    pub fd: Field,
    /// `events`.
    pub events: Field,
    /// `revents`.
    pub revents: Field,
}

/// What a signal handler returns to.
#[derive(Debug, PartialEq, Eq)]
pub struct McontextLayout {
    /// Bytes in all.
    pub size: usize,
    /// The words of the signal mask to return to.
    pub mask: [Field; 4],
    /// The pc.
    pub pc: Field,
    /// The carry flag.
    pub carry: Field,
    /// The first general register; the others follow.
    pub regs: Field,
}

/// The 64-bit ABI.
pub static LP64: Abi = Abi {
    name: "vm64-lp64",
    pointer: 8,
    timespec: PairLayout {
        size: 16,
        sec: field(0, 8),
        frac: field(8, 8),
    },
    sigaction: SigactionLayout {
        size: 32,
        handler: field(0, 8),
        flags: field(8, 4),
        mask: [field(12, 4), field(16, 4), field(20, 4), field(24, 4)],
    },
    siginfo: SiginfoLayout {
        size: 80,
        signo: field(0, 4),
        code: field(8, 4),
        pid: field(12, 4),
        uid: field(16, 4),
        status: field(20, 4),
        addr: field(24, 8),
    },
    sigset: [field(0, 4), field(4, 4), field(8, 4), field(12, 4)],
    pollfd: PollfdLayout {
        size: 8,
        fd: field(0, 4),
        events: field(4, 2),
        revents: field(6, 2),
    },
    rusage_size: 144,
    mcontext: McontextLayout {
        size: 160,
        mask: [field(0, 4), field(4, 4), field(8, 4), field(12, 4)],
        pc: field(16, 8),
        carry: field(24, 8),
        regs: field(32, 8),
    },
};

/// Reads a field, zero extended; 0 where it lies outside `bytes`.
pub fn get(bytes: &[u8], field: Field) -> u64 {
    let mut word = [0; 8];
    let from = bytes.iter().skip(field.offset).take(field.width);
    for (to, from) in word.iter_mut().zip(from) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// Reads a field as a signed number of its width.
pub fn get_signed(bytes: &[u8], field: Field) -> i64 {
    let unused = 64 - 8 * field.width.clamp(1, 8) as u32;
    ((get(bytes, field) << unused) as i64) >> unused
}

/// Writes the low bytes of `value` into a field; nothing where it lies outside `bytes`.
pub fn put(bytes: &mut [u8], field: Field, value: u64) {
    let to = bytes.iter_mut().skip(field.offset).take(field.width);
    for (to, from) in to.zip(value.to_le_bytes()) {
        *to = from;
    }
}
