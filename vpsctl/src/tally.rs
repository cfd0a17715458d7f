// SPDX-License-Identifier: BSD-2-Clause
//! Lines that say what was found, and children to find it in.

use core::ffi::CStr;

use crate::{say, sys};

/// Counts what is not as it should be.
pub struct Tally {
    who: &'static str,
    bad: i32,
}

impl Tally {
    /// A tally whose lines begin with `who`.
    pub const fn new(who: &'static str) -> Self {
        Self { who, bad: 0 }
    }

    /// Says whether `found` is as wanted.
    pub fn is<T: PartialEq + core::fmt::Debug>(&mut self, what: &str, found: T, wanted: T) {
        let good = found == wanted;
        if !good {
            self.bad += 1;
        }
        let (mark, who) = (if good { "ok" } else { "NO" }, self.who);
        say!("{who}: {mark} {what}: {found:?} (wanted {wanted:?})");
    }

    /// Says how many were not, which is the exit status.
    pub fn end(self) -> i32 {
        say!("{}: {} not as wanted", self.who, self.bad);
        self.bad
    }
}

/// Forks a child that runs `f` and exits with what it gives.
pub fn spawn(f: impl FnOnce() -> i32) -> sys::Result<i32> {
    match sys::fork()? {
        0 => sys::exit(f()),
        pid => Ok(pid),
    }
}

/// Forks such a child and waits for it: its PID, and its status, or what else came.
pub fn in_child(f: impl FnOnce() -> i32) -> (i32, i32) {
    match spawn(f) {
        Ok(pid) => match sys::wait4(pid, 0) {
            Ok((who, status)) if who == pid => (pid, status_of(status)),
            Ok((who, _)) => (pid, 1000 + who),
            Err(errno) => (pid, 2000 + errno.0),
        },
        Err(errno) => (-errno.0, 0),
    }
}

/// An exit status, or 128 and the signal.
pub fn status_of(status: i32) -> i32 {
    match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => 128 + signal,
    }
}

/// Sleeps until somebody puts an end to it.
pub fn for_ever() -> i32 {
    loop {
        sys::sleep_ms(100);
    }
}

/// Becomes another program with these arguments; returns 127 where that fails.
pub fn become_program(words: &[&CStr]) -> i32 {
    let mut argv = [core::ptr::null(); 12];
    for (to, from) in argv.iter_mut().take(11).zip(words) {
        *to = from.as_ptr().cast();
    }
    let environment = [core::ptr::null()];
    if let Some(program) = words.first() {
        // SAFETY: pointers to strings with a NUL, and a null behind the last.
        let _ = unsafe { sys::execve(program, &argv, environment.as_ptr()) };
    }
    127
}

/// Runs another program to its end: its status.
pub fn run(words: &[&CStr]) -> i32 {
    in_child(|| become_program(words)).1
}
