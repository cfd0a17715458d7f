// SPDX-License-Identifier: BSD-2-Clause
//! A program that looks at PID spaces from inside an instance, and says what it sees.
//!
//! Started as the init of an instance on a real kernel (docs/kernel-module.md). Every line is
//! `ok` or `NO` with what was found; the exit status is the number of `NO`s.
#![no_std]
#![cfg_attr(target_os = "none", no_main)]

use vpsctl::start::Args;
use vpsctl::{say, sys};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 20;
const SIGUSR1: i32 = 30;
const ESRCH: i32 = 3;

vpsctl::program!(run);

/// Counts what is not as it should be.
struct Tally {
    bad: i32,
}

impl Tally {
    fn is<T: PartialEq + core::fmt::Debug>(&mut self, what: &str, found: T, wanted: T) {
        let good = found == wanted;
        if !good {
            self.bad += 1;
        }
        let mark = if good { "ok" } else { "NO" };
        say!("guest: {mark} {what}: {found:?} (wanted {wanted:?})");
    }
}

fn run(args: Args) -> i32 {
    let mut tally = Tally { bad: 0 };
    match args.text(1) {
        None | Some("init") => init(&mut tally),
        Some("second") => second(&mut tally),
        Some("exec") => {
            return if sys::getpid() == number(&args, 2) {
                0
            } else {
                1
            };
        }
        Some("sleep") => loop {
            sys::sleep_ms(100);
        },
        Some(_) => return 64,
    }
    say!("guest: {} not as wanted", tally.bad);
    tally.bad
}

fn number(args: &Args, index: usize) -> i32 {
    args.text(index)
        .and_then(|text| text.parse().ok())
        .unwrap_or(-1)
}

fn init(tally: &mut Tally) {
    tally.is("init's getpid", sys::getpid(), 1);
    tally.is("init's parent is out of view", sys::getppid(), 0);
    tally.is("nobody else there", sys::kill(2, 0), Err(sys::Errno(ESRCH)));
    child_sees(tally);
    signals(tally);
    groups(tally);
    orphan(tally);
    tally.is(
        "init protects itself from SIGTERM",
        sys::kill(1, SIGTERM),
        Ok(()),
    );
    tally.is("and from SIGKILL", sys::kill(1, SIGKILL), Ok(()));
    sys::sleep_ms(20);
    tally.is("still there", sys::getpid(), 1);
}

/// Forks a child that runs `f` and exits with what it gives; its PID and that status.
fn in_child(f: impl FnOnce() -> i32) -> (i32, i32) {
    match sys::fork() {
        Ok(0) => sys::exit(f()),
        Ok(pid) => match sys::wait4(pid, 0) {
            Ok((who, status)) if who == pid => (pid, status >> 8),
            Ok((who, _)) => (pid, 1000 + who),
            Err(errno) => (pid, 2000 + errno.0),
        },
        Err(errno) => (-errno.0, 0),
    }
}

fn child_sees(tally: &mut Tally) {
    let (pid, seen) = in_child(sys::getpid);
    tally.is("fork returns what the child's getpid says", pid, seen);
    let (_, parent) = in_child(sys::getppid);
    tally.is("a child sees its parent as 1", parent, 1);
    let (_, small) = in_child(|| i32::from(sys::getpid() > 99));
    tally.is("numbers start small", small, 0);
    let grandchild = || {
        let me = sys::getpid();
        let (_, parent) = in_child(sys::getppid);
        i32::from(parent != me)
    };
    tally.is("a grandchild sees the child", in_child(grandchild).1, 0);
    let (pid, _) = in_child(|| 0);
    let gone = sys::kill(pid, 0);
    tally.is("a reaped child is gone", gone, Err(sys::Errno(ESRCH)));
    tally.is(
        "no child left",
        sys::wait4(-1, 0).err().map(|e| e.0),
        Some(10),
    );
}

fn signals(tally: &mut Tally) {
    let Ok(pid) = sys::fork() else {
        tally.is("fork", false, true);
        return;
    };
    if pid == 0 {
        loop {
            sys::sleep_ms(100);
        }
    }
    tally.is("kill(child, 0)", sys::kill(pid, 0), Ok(()));
    tally.is("kill(child, SIGTERM)", sys::kill(pid, SIGTERM), Ok(()));
    tally.is(
        "wait4 names the child",
        sys::wait4(pid, 0),
        Ok((pid, SIGTERM)),
    );
    sys::block(SIGUSR1);
    let (child, sent) = in_child(|| i32::from(sys::kill(1, SIGUSR1).is_err()));
    tally.is("a child can signal init", sent, 0);
    tally.is(
        "si_pid is the child's",
        sys::take_signal(SIGUSR1, 500),
        Ok(child),
    );
    sys::block(SIGCHLD);
    let _ = sys::take_signal(SIGCHLD, 0);
    let (child, _) = in_child(|| 0);
    let taken = sys::take_signal(SIGCHLD, 0);
    tally.is(
        "SIGCHLD was for the child or gone",
        taken.is_err() || taken == Ok(child),
        true,
    );
    broadcast(tally);
}

/// `kill(-1)` reaches all but init and the caller.
fn broadcast(tally: &mut Tally) {
    let sleeper = || loop {
        sys::sleep_ms(100);
    };
    let (Ok(one), Ok(two)) = (spawn(sleeper), spawn(sleeper)) else {
        tally.is("fork", false, true);
        return;
    };
    let (caller, sent) = in_child(|| i32::from(sys::kill(-1, SIGKILL).is_err()));
    tally.is("kill(-1) succeeds and spares its caller", sent, 0);
    tally.is("it got the first", sys::wait4(one, 0), Ok((one, SIGKILL)));
    tally.is("and the second", sys::wait4(two, 0), Ok((two, SIGKILL)));
    tally.is("and not init", sys::getpid(), 1);
    tally.is("numbers differ", caller != one && one != two, true);
}

fn spawn(f: impl FnOnce()) -> sys::Result<i32> {
    let pid = sys::fork()?;
    if pid == 0 {
        f();
        sys::exit(0);
    }
    Ok(pid)
}

fn groups(tally: &mut Tally) {
    let own = || {
        let me = sys::getpid();
        let ok = sys::setpgid(0, 0).is_ok() && sys::getpgrp() == me && sys::getpgid(0) == Ok(me);
        i32::from(!ok)
    };
    tally.is("a child makes a group of its own", in_child(own).1, 0);
    let session = || {
        let me = sys::getpid();
        let ok = sys::setsid() == Ok(me) && sys::getsid(0) == Ok(me) && sys::getpgrp() == me;
        i32::from(!ok)
    };
    tally.is("a child makes a session of its own", in_child(session).1, 0);
    let killed = || {
        let _ = sys::setpgid(0, 0);
        let Ok(pid) = spawn(|| {
            loop {
                sys::sleep_ms(100);
            }
        }) else {
            return 1;
        };
        sys::ignore(SIGTERM);
        let sent = sys::kill(0, SIGTERM);
        i32::from(sent.is_err() || sys::wait4(pid, 0) != Ok((pid, SIGTERM)))
    };
    tally.is("kill(0) reaches its group", in_child(killed).1, 0);
}

/// What loses its parent gets init for one.
fn orphan(tally: &mut Tally) {
    let Ok((read, write)) = sys::pipe() else {
        tally.is("pipe", false, true);
        return;
    };
    let (_, _) = in_child(|| {
        let _ = spawn(|| {
            sys::sleep_ms(50);
            let _ = sys::write(write, &[sys::getppid() as u8, sys::getpid() as u8]);
        });
        0
    });
    let mut heard = [0; 2];
    let _ = sys::read(read, &mut heard);
    tally.is("an orphan's parent is init", heard[0], 1);
    let reaped = sys::wait4(-1, 0).map(|(pid, _)| pid as u8);
    tally.is("init reaps the orphan", reaped, Ok(heard[1]));
}

/// For a process that enters an instance that has an init already.
fn second(tally: &mut Tally) {
    tally.is("not init", sys::getpid() > 1, true);
    tally.is("parent out of view", sys::getppid(), 0);
    tally.is("init is there", sys::kill(1, 0), Ok(()));
}
