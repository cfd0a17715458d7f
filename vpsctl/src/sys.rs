// SPDX-License-Identifier: BSD-2-Clause
//! System calls, raw.

use core::arch::asm;
use core::ffi::CStr;

/// An error number of the kernel (`errno(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a call gives.
pub type Result<T> = core::result::Result<T, Errno>;

/// System call numbers (`sys/syscall.h`).
mod nr {
    pub(super) const EXIT: usize = 1;
    pub(super) const FORK: usize = 2;
    pub(super) const READ: usize = 3;
    pub(super) const WRITE: usize = 4;
    pub(super) const OPEN: usize = 5;
    pub(super) const CLOSE: usize = 6;
    pub(super) const WAIT4: usize = 7;
    pub(super) const GETPID: usize = 20;
    pub(super) const KILL: usize = 37;
    pub(super) const GETPPID: usize = 39;
    pub(super) const PIPE2: usize = 542;
    pub(super) const IOCTL: usize = 54;
    pub(super) const EXECVE: usize = 59;
    pub(super) const GETPGRP: usize = 81;
    pub(super) const DUP2: usize = 90;
    pub(super) const SETPGID: usize = 82;
    pub(super) const SETSID: usize = 147;
    pub(super) const GETPGID: usize = 207;
    pub(super) const NANOSLEEP: usize = 240;
    pub(super) const GETSID: usize = 310;
    pub(super) const RFORK: usize = 251;
    pub(super) const WAIT6: usize = 532;
    pub(super) const SIGQUEUE: usize = 456;
    pub(super) const KLDUNLOAD: usize = 305;
    pub(super) const KLDFIND: usize = 306;
    pub(super) const SIGPROCMASK: usize = 340;
    pub(super) const SIGTIMEDWAIT: usize = 345;
    pub(super) const SIGACTION: usize = 416;
}

/// Does a system call; on amd64 the carry flag tells an error, and `rdx` holds a second result.
///
/// # Safety
/// The arguments must be what the call's manual page asks for; memory that the kernel is given to
/// write must be valid for that.
unsafe fn syscall(number: usize, args: [usize; 6]) -> Result<(usize, usize)> {
    let (first, second): (usize, usize);
    let failed: u8;
    // SAFETY: the caller's duty; the kernel keeps all registers but those named.
    unsafe {
        asm!(
            "syscall",
            "setc {failed}",
            failed = out(reg_byte) failed,
            inlateout("rax") number => first,
            in("rdi") args[0],
            in("rsi") args[1],
            inlateout("rdx") args[2] => second,
            in("r10") args[3],
            inlateout("r8") args[4] => _,
            inlateout("r9") args[5] => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if failed == 0 {
        Ok((first, second))
    } else {
        Err(Errno(first as i32))
    }
}

macro_rules! call {
    ($number:expr $(, $arg:expr)*) => {{
        let given = [$($arg as usize),*];
        let mut args = [0usize; 6];
        args[..given.len()].copy_from_slice(&given);
        // SAFETY: each use below passes what the call's manual page asks for, by reference where
        // the kernel reads or writes memory.
        unsafe { syscall($number, args) }
    }};
}

/// Ends the process.
pub fn exit(status: i32) -> ! {
    loop {
        let _ = call!(nr::EXIT, status);
    }
}

/// `fork(2)`: 0 in the child.
pub fn fork() -> Result<i32> {
    // The kernel tells the child by rdx = 1 (`cpu_fork`, amd64).
    let (pid, child) = call!(nr::FORK, 0usize)?;
    Ok(if child == 1 { 0 } else { pid as i32 })
}

/// `rfork(2)` with a process and a copy of the descriptors, as `fork(2)` makes them: 0 in the child.
pub fn rfork() -> Result<i32> {
    // RFPROC | RFFDG (`sys/unistd.h`).
    let (pid, child) = call!(nr::RFORK, 1usize << 4 | 1 << 2)?;
    Ok(if child == 1 { 0 } else { pid as i32 })
}

/// `wait6(2)` for a child to exit: who, and the `si_pid` that came with it.
pub fn wait6(pid: i32) -> Result<(i32, i32)> {
    let mut status = 0i32;
    let mut info = [0i32; 20];
    let (status, info_at) = (&raw mut status, info.as_mut_ptr());
    // P_PID is 0; WEXITED is 16 (`sys/wait.h`).
    let (who, _) = call!(
        nr::WAIT6,
        0usize,
        pid as isize,
        status,
        16usize,
        0usize,
        info_at
    )?;
    Ok((who as i32, info[3]))
}

/// `read(2)`.
pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    call!(nr::READ, fd, buffer.as_mut_ptr(), buffer.len()).map(|(n, _)| n)
}

/// `write(2)`.
pub fn write(fd: i32, bytes: &[u8]) -> Result<usize> {
    call!(nr::WRITE, fd, bytes.as_ptr(), bytes.len()).map(|(n, _)| n)
}

/// `open(2)`.
pub fn open(path: &CStr, flags: i32) -> Result<i32> {
    call!(nr::OPEN, path.as_ptr(), flags, 0usize).map(|(fd, _)| fd as i32)
}

/// `close(2)`.
pub fn close(fd: i32) {
    let _ = call!(nr::CLOSE, fd);
}

/// `dup2(2)`.
pub fn dup2(from: i32, to: i32) {
    let _ = call!(nr::DUP2, from, to);
}

/// `pipe2(2)`: the end to read and the end to write.
pub fn pipe() -> Result<(i32, i32)> {
    let mut ends = [0i32; 2];
    call!(nr::PIPE2, ends.as_mut_ptr(), 0usize)?;
    Ok((ends[0], ends[1]))
}

/// `wait4(2)`: who, and the status.
pub fn wait4(pid: i32, options: i32) -> Result<(i32, i32)> {
    let mut status = 0i32;
    let (who, _) = call!(nr::WAIT4, pid as isize, &raw mut status, options, 0usize)?;
    Ok((who as i32, status))
}

/// `getpid(2)`.
pub fn getpid() -> i32 {
    call!(nr::GETPID).map_or(-1, |(pid, _)| pid as i32)
}

/// `getppid(2)`.
pub fn getppid() -> i32 {
    call!(nr::GETPPID).map_or(-1, |(pid, _)| pid as i32)
}

/// `getpgrp(2)`.
pub fn getpgrp() -> i32 {
    call!(nr::GETPGRP).map_or(-1, |(pid, _)| pid as i32)
}

/// `getpgid(2)`.
pub fn getpgid(pid: i32) -> Result<i32> {
    call!(nr::GETPGID, pid as isize).map(|(pid, _)| pid as i32)
}

/// `getsid(2)`.
pub fn getsid(pid: i32) -> Result<i32> {
    call!(nr::GETSID, pid as isize).map(|(pid, _)| pid as i32)
}

/// `setsid(2)`.
pub fn setsid() -> Result<i32> {
    call!(nr::SETSID).map(|(pid, _)| pid as i32)
}

/// `setpgid(2)`.
pub fn setpgid(pid: i32, pgid: i32) -> Result<()> {
    call!(nr::SETPGID, pid as isize, pgid as isize).map(|_| ())
}

/// `kill(2)`.
pub fn kill(pid: i32, signum: i32) -> Result<()> {
    call!(nr::KILL, pid as isize, signum).map(|_| ())
}

/// `sigqueue(2)` with the value 0.
pub fn sigqueue(pid: i32, signum: i32) -> Result<()> {
    call!(nr::SIGQUEUE, pid as isize, signum, 0usize).map(|_| ())
}

/// `ioctl(2)` with an argument that the kernel reads and writes.
pub fn ioctl<T>(fd: i32, request: u64, argument: &mut T) -> Result<()> {
    call!(nr::IOCTL, fd, request, core::ptr::from_mut(argument)).map(|_| ())
}

/// Unloads a kernel module by its file's name (`kldunload(2)`).
pub fn kldunload(file: &CStr) -> Result<()> {
    let (id, _) = call!(nr::KLDFIND, file.as_ptr())?;
    call!(nr::KLDUNLOAD, id).map(|_| ())
}

/// Bytes that wait to be read (`FIONREAD`).
pub fn unread(fd: i32) -> i32 {
    let mut count = 0;
    let _ = ioctl(fd, 0x4004_667f, &mut count);
    count
}

/// `execve(2)`; `argv` and `envp` end with a null pointer. Returns only where it fails.
///
/// # Safety
/// The pointers lead to strings that end with a NUL.
pub unsafe fn execve(path: &CStr, argv: &[*const u8], envp: *const *const u8) -> Errno {
    match call!(nr::EXECVE, path.as_ptr(), argv.as_ptr(), envp) {
        Ok(_) => Errno(0),
        Err(errno) => errno,
    }
}

/// Sleeps so many milliseconds.
pub fn sleep_ms(ms: u64) {
    let _ = try_sleep_ms(ms);
}

/// The same, telling whether a signal has cut it short.
pub fn try_sleep_ms(ms: u64) -> Result<()> {
    let time = [(ms / 1000) as i64, ((ms % 1000) * 1_000_000) as i64];
    call!(nr::NANOSLEEP, time.as_ptr(), 0usize).map(|_| ())
}

/// Blocks a signal, so that [`take_signal`] can wait for it.
pub fn block(signum: i32) {
    let set = mask(signum);
    let _ = call!(nr::SIGPROCMASK, 1usize, set.as_ptr(), 0usize);
}

/// Waits up to `ms` milliseconds for a blocked signal (`sigtimedwait(2)`); its `si_pid`.
pub fn take_signal(signum: i32, ms: u64) -> Result<i32> {
    let set = mask(signum);
    let time = [(ms / 1000) as i64, ((ms % 1000) * 1_000_000) as i64];
    // struct siginfo: si_signo, si_errno, si_code, si_pid, ... in 80 bytes.
    let mut info = [0i32; 20];
    call!(
        nr::SIGTIMEDWAIT,
        set.as_ptr(),
        info.as_mut_ptr(),
        time.as_ptr()
    )?;
    Ok(info[3])
}

/// Ignores a signal.
pub fn ignore(signum: i32) {
    // struct sigaction: handler (SIG_IGN is 1), flags, mask.
    let action = [1u64, 0, 0, 0];
    let _ = call!(nr::SIGACTION, signum, action.as_ptr(), 0usize);
}

fn mask(signum: i32) -> [u32; 4] {
    let bit = (signum - 1) as usize;
    let mut set = [0; 4];
    set[bit / 32] = 1 << (bit % 32);
    set
}
