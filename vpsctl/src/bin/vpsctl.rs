// SPDX-License-Identifier: BSD-2-Clause
//! Drives the module through `/dev/vps`.
#![no_std]
#![cfg_attr(target_os = "none", no_main)]

use vpscore::cbor::{Encode as _, Encoder, Text, decode_all};
use vpscore::collections::{List, NoMemory};
use vpscore::ctl::{Answer, LifeState, Op, Request, VERSION};
use vpscore::errno::Errno;
use vpsctl::start::Args;
use vpsctl::{complain, say, sys};

const HELP: &str = "\
usage: vpsctl list [PATH]
       vpsctl show | create | destroy | suspend | resume PATH
       vpsctl exec PATH PROGRAM [ARGUMENT...]

PATH names an instance downward from the caller's own: names joined by dots, or \".\" for its own.
exec runs PROGRAM (a path) inside; the first process of an instance is its init, and the
instance ends with it. Exit status: that of the program; 1 refused, 64 wrong usage, 69 no module,
126 not entered, 127 not run, 128 and the signal that killed it.";

/// `struct vps_control` (`kmod-adapter/c/vps_dev.c`).
#[repr(C)]
struct Control {
    request: u64,
    answer: u64,
    request_len: u32,
    answer_room: u32,
    answer_len: u32,
    reserved: u32,
}

/// `struct vps_enter`.
#[repr(C)]
struct Enter {
    path: u64,
    path_len: u32,
    reserved: u32,
}

/// `_IOWR('V', 1, struct vps_control)` (`sys/ioccom.h`).
const VPS_CONTROL: u64 = 0xc000_0000 | 32 << 16 | 0x56 << 8 | 1;
/// `_IOW('V', 2, struct vps_enter)`.
const VPS_ENTER: u64 = 0x8000_0000 | 16 << 16 | 0x56 << 8 | 2;
const O_RDWR: i32 = 2;
const ANSWER_ROOM: usize = 32768;

vpsctl::program!(run);

/// Why a command ends without success.
enum Trouble {
    Usage,
    /// There is no module, or no right to use it.
    Device(sys::Errno),
    Refused(i32),
    Memory,
    /// The answer makes no sense.
    Answer,
}

impl From<NoMemory> for Trouble {
    fn from(_: NoMemory) -> Self {
        Self::Memory
    }
}

fn run(args: Args) -> i32 {
    let command = args.text(1).unwrap_or("help");
    let path = args.text(2);
    let done = match (command, path) {
        ("help" | "-h" | "--help", _) => {
            say!("{HELP}");
            return 0;
        }
        ("list", path) => list(path.unwrap_or(".")),
        ("show", Some(path)) => ask(Op::Show, path, None).map(|answer| print(&answer)),
        ("create", Some(path)) => ask(Op::Create, path, None).map(|_| ()),
        ("destroy", Some(path)) => ask(Op::Destroy, path, None).map(|_| ()),
        ("suspend", Some(path)) => ask(Op::Suspend, path, None).map(|_| ()),
        ("resume", Some(path)) => ask(Op::Resume, path, None).map(|_| ()),
        ("exec", Some(path)) if args.get(3).is_some() => return exec(&args, path),
        _ => Err(Trouble::Usage),
    };
    match done {
        Ok(()) => 0,
        Err(trouble) => complain_of(command, path.unwrap_or(""), &trouble),
    }
}

fn complain_of(command: &str, path: &str, trouble: &Trouble) -> i32 {
    match trouble {
        Trouble::Usage => {
            complain!("{HELP}");
            return 64;
        }
        Trouble::Device(errno) => {
            complain!("vpsctl: /dev/vps: {}", text(errno.0));
            return 69;
        }
        Trouble::Refused(errno) => complain!("vpsctl: {command} {path}: {}", text(*errno)),
        Trouble::Memory => complain!("vpsctl: {command} {path}: out of memory"),
        Trouble::Answer => complain!("vpsctl: {command} {path}: no answer of this version"),
    }
    1
}

fn text(errno: i32) -> &'static str {
    Errno::from_raw(errno).map_or("unknown error", Errno::text)
}

/// Asks the module, and reads its answer.
fn ask(op: Op, path: &str, after: Option<&str>) -> Result<Answer, Trouble> {
    let request = Request {
        version: VERSION,
        op,
        path: Text::copy(path)?,
        after: match after {
            Some(after) => Some(Text::copy(after)?),
            None => None,
        },
        pid_max: None,
    };
    let mut bytes = List::new();
    request.encode(&mut Encoder::new(&mut bytes))?;
    let answer = List::filled(0u8, ANSWER_ROOM)?;
    let mut control = Control {
        request: bytes.as_slice().as_ptr() as u64,
        answer: answer.as_slice().as_ptr() as u64,
        request_len: bytes.len() as u32,
        answer_room: ANSWER_ROOM as u32,
        answer_len: 0,
        reserved: 0,
    };
    let fd = sys::open(c"/dev/vps", O_RDWR).map_err(Trouble::Device)?;
    let asked = sys::ioctl(fd, VPS_CONTROL, &mut control);
    sys::close(fd);
    asked.map_err(Trouble::Device)?;
    let len = control.answer_len as usize;
    let bytes = answer.as_slice().get(..len).ok_or(Trouble::Answer)?;
    let answer: Answer = decode_all(bytes).map_err(|_| Trouble::Answer)?;
    match answer.errno {
        0 => Ok(answer),
        errno => Err(Trouble::Refused(errno.into())),
    }
}

fn list(path: &str) -> Result<(), Trouble> {
    say!("STATE         PROCS  LAST PID  PATH");
    let mut answer = ask(Op::List, path, None)?;
    loop {
        print(&answer);
        let last = answer.entries.as_slice().last();
        let Some(last) = last.filter(|_| answer.more) else {
            return Ok(());
        };
        answer = ask(Op::List, path, Some(last.path.as_str()))?;
    }
}

fn print(answer: &Answer) {
    for entry in &answer.entries {
        let state = match entry.state {
            LifeState::Created => "created",
            LifeState::Running => "running",
            LifeState::Suspending => "suspending",
            LifeState::Suspended => "suspended",
            LifeState::Snapshotting => "snapshotting",
            LifeState::Migrating => "migrating",
            LifeState::Restoring => "restoring",
            LifeState::Dying => "dying",
            LifeState::Dead => "dead",
        };
        let fenced = if entry.fenced { "  FENCED" } else { "" };
        let (procs, last, path) = (entry.procs, entry.last_pid, entry.path.as_str());
        say!("{state:<13} {procs:>5}  {last:>8}  {path}{fenced}");
    }
}

/// The calling process becomes one of the instance.
fn enter(path: &str) -> Result<(), Trouble> {
    let fd = sys::open(c"/dev/vps", O_RDWR).map_err(Trouble::Device)?;
    let mut argument = Enter {
        path: path.as_ptr() as u64,
        path_len: path.len() as u32,
        reserved: 0,
    };
    let entered = sys::ioctl(fd, VPS_ENTER, &mut argument);
    sys::close(fd);
    entered.map_err(|errno| Trouble::Refused(errno.0))
}

/// A child enters and runs the program; its status becomes ours.
fn exec(args: &Args, path: &str) -> i32 {
    let failed = |errno: sys::Errno| complain_of("exec", path, &Trouble::Refused(errno.0));
    match sys::fork() {
        Ok(0) => {
            if let Err(trouble) = enter(path) {
                complain_of("exec", path, &trouble);
                return 126;
            }
            let Some(program) = args.get(3) else {
                return 127;
            };
            // SAFETY: the kernel's own pointers.
            failed(unsafe { sys::execve(program, args.rest(3), args.environment()) });
            127
        }
        Ok(pid) => match sys::wait4(pid, 0) {
            Ok((_, status)) if status & 0x7f == 0 => status >> 8,
            Ok((_, status)) => {
                complain!("vpsctl: exec {path}: killed by signal {}", status & 0x7f);
                128 + (status & 0x7f)
            }
            Err(errno) => failed(errno),
        },
        Err(errno) => failed(errno),
    }
}
