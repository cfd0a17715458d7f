// SPDX-License-Identifier: BSD-2-Clause
//! Tries the module on a real kernel, from the host: `trial VPSCTL GUEST`.
//!
//! Every line is `ok` or `NO` with what was found; the exit status is the number of `NO`s.
#![no_std]
#![cfg_attr(target_os = "none", no_main)]

use core::ffi::CStr;

use vpsctl::start::Args;
use vpsctl::sys;
use vpsctl::tally::{Tally, become_program, run as run_program, spawn, status_of};

const SIGKILL: i32 = 9;
const WNOHANG: i32 = 1;

vpsctl::program!(run);

/// The two programs.
struct Programs {
    vpsctl: &'static CStr,
    guest: &'static CStr,
}

impl Programs {
    /// `vpsctl COMMAND PATH`.
    fn ctl(&self, command: &CStr, path: &CStr) -> i32 {
        run_program(&[self.vpsctl, command, path])
    }

    /// `vpsctl exec PATH guest ...`, in the background: whom to wait for.
    fn start(&self, path: &CStr, words: [&CStr; 2]) -> i32 {
        let [one, two] = words;
        spawn(|| become_program(&[self.vpsctl, c"exec", path, self.guest, one, two])).unwrap_or(-1)
    }
}

fn run(args: Args) -> i32 {
    let (Some(vpsctl), Some(guest)) = (args.get(1), args.get(2)) else {
        return 64;
    };
    let programs = Programs { vpsctl, guest };
    let mut tally = Tally::new("trial");
    spaces(&mut tally, &programs);
    nested(&mut tally, &programs);
    suspended(&mut tally, &programs);
    storms(&mut tally, &programs);
    destroyed_while_running(&mut tally, &programs);
    tally.end()
}

fn spaces(tally: &mut Tally, p: &Programs) {
    tally.is("create a", p.ctl(c"create", c"a"), 0);
    tally.is("create a again", p.ctl(c"create", c"a"), 1);
    tally.is("a second level", p.ctl(c"create", c"a.b"), 0);
    tally.is("a third", p.ctl(c"create", c"a.b.c"), 0);
    tally.is("list", p.ctl(c"list", c"."), 0);
    for path in [c"a", c"a.b", c"a.b.c"] {
        let whole = run_program(&[p.vpsctl, c"exec", path, p.guest, c"init"]);
        tally.is("a guest as init there", whole, 0);
    }
    let first = p.start(c"a", [c"sleep", c""]);
    sys::sleep_ms(100);
    let second = run_program(&[p.vpsctl, c"exec", c"a", p.guest, c"second"]);
    tally.is("a second process enters", second, 0);
    tally.is("it runs", sys::wait4(first, WNOHANG), Ok((0, 0)));
    tally.is(
        "the host signals init by its own number",
        sys::kill(first + 1, SIGKILL),
        Ok(()),
    );
    let ended = sys::wait4(first, 0).map(|(_, status)| status_of(status));
    tally.is("and that is the end of it", ended, Ok(128 + SIGKILL));
    tally.is("destroy all", p.ctl(c"destroy", c"a"), 0);
    tally.is("gone", p.ctl(c"show", c"a"), 1);
}

fn nested(tally: &mut Tally, p: &Programs) {
    tally.is("create a", p.ctl(c"create", c"a"), 0);
    let outer = run_program(&[p.vpsctl, c"exec", c"a", p.guest, c"outer", p.vpsctl]);
    tally.is("an instance that makes another", outer, 0);
    tally.is("destroy a", p.ctl(c"destroy", c"a"), 0);
}

/// A process stands still, and its sleeps go on as if nothing had been.
fn suspended(tally: &mut Tally, p: &Programs) {
    tally.is("create s", p.ctl(c"create", c"s"), 0);
    let Ok((read, write)) = sys::pipe() else {
        tally.is("pipe", false, true);
        return;
    };
    let ticker = spawn(|| {
        sys::dup2(write, 1);
        sys::close(read);
        become_program(&[p.vpsctl, c"exec", c"s", p.guest, c"ticker", c"40"])
    });
    sys::close(write);
    let mut rest = [0; 64];
    let mut heard = sys::read(read, &mut rest).unwrap_or(0);
    tally.is("suspend s", p.ctl(c"suspend", c"s"), 0);
    tally.is("suspend s again", p.ctl(c"suspend", c"s"), 1);
    let before = sys::unread(read);
    sys::sleep_ms(400);
    tally.is("nothing moved meanwhile", sys::unread(read), before);
    tally.is("resume s", p.ctl(c"resume", c"s"), 0);
    while let Ok(more @ 1..) = sys::read(read, &mut rest) {
        heard += more;
    }
    tally.is("it went on to its end", heard, 40);
    let status = ticker.and_then(|pid| sys::wait4(pid, 0));
    let cut = status.map(|(_, status)| status_of(status));
    tally.is("and no sleep was cut short", cut, Ok(0));
    tally.is("destroy s", p.ctl(c"destroy", c"s"), 0);
}

/// Four instances, two of them inside the others, fork and kill at once. The outer ones have an
/// init that stays, since all inside ends with it.
fn storms(tally: &mut Tally, p: &Programs) {
    let paths = [c"w", c"w.x", c"y", c"y.z"];
    for path in paths {
        tally.is("create", p.ctl(c"create", path), 0);
    }
    let inits = [c"w", c"y"].map(|path| p.start(path, [c"reaper", c""]));
    sys::sleep_ms(100);
    let running = paths.map(|path| p.start(path, [c"storm", c"40"]));
    for pid in running {
        let ended = sys::wait4(pid, 0).map(|(_, status)| status_of(status));
        tally.is("a storm passes", ended, Ok(0));
    }
    // Each is the parent of an init, and reaps it while it is destroyed.
    tally.is("destroy w", p.ctl(c"destroy", c"w"), 0);
    tally.is("destroy y", p.ctl(c"destroy", c"y"), 0);
    for pid in inits {
        let ended = sys::wait4(pid, 0).map(|(_, status)| status_of(status));
        tally.is("its init was killed", ended, Ok(128 + SIGKILL));
    }
}

fn destroyed_while_running(tally: &mut Tally, p: &Programs) {
    tally.is("create d", p.ctl(c"create", c"d"), 0);
    tally.is("create d.e", p.ctl(c"create", c"d.e"), 0);
    let outer = p.start(c"d", [c"storm", c"100000"]);
    let inner = p.start(c"d.e", [c"storm", c"100000"]);
    sys::sleep_ms(300);
    tally.is(
        "no unload meanwhile",
        sys::kldunload(c"vps.ko"),
        Err(sys::Errno(16)),
    );
    let destroyer = spawn(|| become_program(&[p.vpsctl, c"destroy", c"d"]));
    for pid in [outer, inner] {
        let ended = sys::wait4(pid, 0).map(|(_, status)| status_of(status));
        tally.is("killed", ended, Ok(128 + SIGKILL));
    }
    let ended = destroyer.and_then(|pid| sys::wait4(pid, 0));
    tally.is(
        "destroyed while it ran",
        ended.map(|(_, status)| status_of(status)),
        Ok(0),
    );
    tally.is("nothing is left", p.ctl(c"show", c"d"), 1);
}
