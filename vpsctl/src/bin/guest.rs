// SPDX-License-Identifier: BSD-2-Clause
//! A program that looks at PID spaces from inside an instance, and says what it sees.
//!
//! Started as the init of an instance on a real kernel (docs/kernel-module.md). Every line is
//! `ok` or `NO` with what was found; the exit status is the number of `NO`s.
#![no_std]
#![cfg_attr(target_os = "none", no_main)]

use core::ffi::CStr;

use vpsctl::start::Args;
use vpsctl::sys;
use vpsctl::tally::{self, Tally, for_ever, in_child, spawn, status_of};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 20;
const SIGUSR1: i32 = 30;
const ESRCH: i32 = 3;

vpsctl::program!(run);

fn run(args: Args) -> i32 {
    let mut tally = Tally::new("guest");
    match args.text(1) {
        None | Some("init") => init(&mut tally, args.get(0).unwrap_or(c"")),
        Some("outer") => match (args.get(0), args.get(2)) {
            (Some(own), Some(vpsctl)) => outer(&mut tally, own, vpsctl),
            _ => return 64,
        },
        Some("second") => second(&mut tally),
        Some("exec") => return i32::from(sys::getpid() != number(&args, 2)),
        Some("storm") => return storm(number(&args, 2)),
        Some("ticker") => return ticker(number(&args, 2)),
        Some("sleep") => return for_ever(),
        Some("reaper") => return reaper(),
        Some(_) => return 64,
    }
    tally.end()
}

fn number(args: &Args, index: usize) -> i32 {
    let text = args.text(index);
    text.and_then(|text| text.parse().ok()).unwrap_or(-1)
}

fn init(tally: &mut Tally, own: &CStr) {
    tally.is("init's getpid", sys::getpid(), 1);
    tally.is("init's parent is out of view", sys::getppid(), 0);
    tally.is("nobody else there", sys::kill(2, 0), Err(sys::Errno(ESRCH)));
    child_sees(tally);
    signals(tally);
    groups(tally);
    orphan(tally);
    let (_, same) = in_child(|| {
        let mut text = [0; 8];
        tally::become_program(&[own, c"exec", decimal(sys::getpid(), &mut text)])
    });
    tally.is("a program run by execve keeps the number", same, 0);
    tally.is(
        "init protects itself from SIGTERM",
        sys::kill(1, SIGTERM),
        Ok(()),
    );
    tally.is("and from SIGKILL", sys::kill(1, SIGKILL), Ok(()));
    let (_, queued) = in_child(|| sys::sigqueue(1, SIGKILL).map_or_else(|errno| errno.0, |()| 0));
    tally.is("and from sigqueue", queued, 1);
    sys::sleep_ms(20);
    tally.is("still there", sys::getpid(), 1);
}

/// A small number as text.
fn decimal(number: i32, text: &mut [u8; 8]) -> &CStr {
    let mut at = text.len() - 1;
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 || at == 0 {
            break;
        }
    }
    CStr::from_bytes_until_nul(&text[at..]).unwrap_or(c"")
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
    match sys::rfork() {
        Ok(0) => sys::exit(sys::getpid()),
        Ok(pid) => {
            let waited = sys::wait4(pid, 0).map(|(who, status)| (who, status_of(status)));
            tally.is("rfork as fork", waited, Ok((pid, pid)));
        }
        Err(errno) => tally.is("rfork", errno.0, 0),
    }
    let child = spawn(|| 0).unwrap_or(-1);
    tally.is(
        "wait6 names the child twice",
        sys::wait6(child),
        Ok((child, child)),
    );
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
    let Ok(pid) = spawn(for_ever) else {
        tally.is("fork", false, true);
        return;
    };
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
    let (Ok(one), Ok(two)) = (spawn(for_ever), spawn(for_ever)) else {
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
            0
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

/// Init of an instance that makes another inside, and runs programs there.
fn outer(tally: &mut Tally, own: &CStr, vpsctl: &CStr) {
    tally.is("outer is init", sys::getpid(), 1);
    let create = [vpsctl, c"create", c"inner"];
    tally.is("an instance makes one inside", tally::run(&create), 0);
    let up = [vpsctl, c"show", c"a"];
    tally.is("and cannot name itself from above", tally::run(&up), 1);
    let inner = [vpsctl, c"exec", c"inner", own, c"init"];
    tally.is("all is well in the inner one", tally::run(&inner), 0);
    let Ok(runner) = spawn(|| tally::become_program(&[vpsctl, c"exec", c"inner", own, c"sleep"]))
    else {
        tally.is("fork", false, true);
        return;
    };
    sys::sleep_ms(100);
    // The runner's child has entered: it is the next number here, and 1 in there.
    let below = runner + 1;
    tally.is(
        "what is below has a number above",
        sys::kill(below, 0),
        Ok(()),
    );
    tally.is(
        "a signal from above is obeyed",
        sys::kill(below, SIGKILL),
        Ok(()),
    );
    let ended = sys::wait4(runner, 0).map(|(pid, status)| (pid, status_of(status)));
    tally.is(
        "and ends the inner init",
        ended,
        Ok((runner, 128 + SIGKILL)),
    );
    tally.is(
        "and it is gone",
        sys::kill(below, 0),
        Err(sys::Errno(ESRCH)),
    );
    let destroy = [vpsctl, c"destroy", c"inner"];
    tally.is("the inner one is destroyed", tally::run(&destroy), 0);
}

/// Forks, kills and reaps as fast as it can, some rounds: 0 where every number was as it should be.
fn storm(rounds: i32) -> i32 {
    for round in 0..rounds {
        let mut children = [0; 8];
        for child in &mut children {
            let made = spawn(move || {
                let (pid, seen) = in_child(|| sys::getpid() & 0x7f);
                if seen != pid & 0x7f {
                    return 1;
                }
                if round % 3 == 0 { for_ever() } else { 0 }
            });
            match made {
                Ok(pid) => *child = pid,
                Err(_) => return 2,
            }
        }
        for child in children {
            if round % 3 == 0 && sys::kill(child, SIGKILL).is_err() {
                return 3;
            }
            let wanted = if round % 3 == 0 { 128 + SIGKILL } else { 0 };
            match sys::wait4(child, 0) {
                Ok((pid, status)) if pid == child && status_of(status) == wanted => {}
                Ok(_) => return 4,
                Err(_) => return 5,
            }
        }
        // What the killed left goes to init.
        while matches!(sys::wait4(-1, 1), Ok((pid, _)) if pid > 0) {}
    }
    0
}

/// Writes a byte every 20 ms, so many times; the status says how often a sleep was cut short.
fn ticker(times: i32) -> i32 {
    let mut cut = 0;
    for _ in 0..times {
        cut += i32::from(sys::try_sleep_ms(20).is_err());
        if sys::write(1, b".").is_err() {
            return 99;
        }
    }
    cut
}

/// What an init does in the long run.
fn reaper() -> i32 {
    loop {
        if sys::wait4(-1, 0).is_err() {
            sys::sleep_ms(10);
        }
    }
}
