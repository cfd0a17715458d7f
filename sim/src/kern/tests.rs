// SPDX-License-Identifier: BSD-2-Clause
//! Guest programs as tests: what they print and how they end says what the kernel did.

mod sockets;

use super::hooks::{Hooks, NoHooks};
use super::proc::Ucred;
use super::types::{PrisonId, ProcId, SIGKILL};
use super::*;
use crate::guest::assemble;

/// What a run came to.
struct Run {
    kern: Kern,
    /// All that was written to consoles.
    out: String,
    trace: Vec<(u64, TraceItem)>,
    ended: Instant,
}

/// Slices after which a program is taken to run for ever.
const SLICES_MAX: usize = 200_000;

fn boot(ncpu: usize) -> Run {
    let config = Config {
        ncpu,
        ..Config::default()
    };
    Run {
        kern: Kern::new(config),
        out: String::new(),
        trace: Vec::new(),
        ended: Instant::BOOT,
    }
}

impl Run {
    fn install(&mut self, path: &str, source: &str) {
        let program = assemble(source, &[]);
        let program = program.unwrap_or_else(|error| panic!("{path}: {error}"));
        self.kern.install_program(path, program);
    }

    fn spawn(&mut self, path: &str) -> ProcId {
        self.spawn_in(path, PrisonId::HOST)
    }

    fn spawn_in(&mut self, path: &str, prison: PrisonId) -> ProcId {
        let ucred = Ucred {
            prison,
            ..Ucred::default()
        };
        let spawned = self.kern.spawn(&mut NoHooks, path, &[], ucred);
        spawned.expect("the program is installed")
    }

    fn collect(&mut self) {
        for item in self.kern.take_trace() {
            if let TraceItem::Console { text, .. } = &item {
                self.out.push_str(&String::from_utf8_lossy(text));
            }
            self.trace.push((self.kern.now.as_nanos(), item));
        }
    }

    /// Runs until nothing happens any more, or a moment is reached.
    fn run_until(&mut self, hooks: &mut dyn Hooks, end: Instant) {
        for _ in 0..SLICES_MAX {
            let Some(next) = self.kern.next_event().filter(|at| *at <= end) else {
                self.ended = self.ended.max(self.kern.now);
                return;
            };
            let now = next.max(self.kern.now);
            self.kern.run_callouts(now, hooks);
            while self.kern.run_slice(now, hooks).is_some() {}
            self.collect();
        }
        panic!("runs for ever");
    }

    fn finish(&mut self) {
        self.run_until(&mut NoHooks, Instant::from_nanos(u64::MAX));
    }
}

fn run_on(ncpu: usize, source: &str) -> Run {
    let mut run = boot(ncpu);
    run.install("/bin/test", source);
    run.spawn("/bin/test");
    run.finish();
    run
}

fn run(source: &str) -> Run {
    run_on(2, source)
}

fn exits(run: &Run) -> Vec<(i32, i32)> {
    let exit = |item: &TraceItem| match item {
        TraceItem::Exit { status, signo, .. } => Some((*status, *signo)),
        _ => None,
    };
    run.trace
        .iter()
        .filter_map(|(_, item)| exit(item))
        .collect()
}

/// Nothing but the kernel's init is left.
fn is_clean(kern: &Kern) -> bool {
    kern.procs.len() == 1
        && kern.threads.is_empty()
        && kern.files.is_empty()
        && kern.pipes.is_empty()
        && kern.runq.is_empty()
        && kern.sleepq.is_empty()
        && kern.callouts.is_empty()
        && kern.pgrps.len() == 1
        && kern.sessions.len() == 1
        && kern.objects.resident() == 0
}

#[test]
fn a_program_writes_and_exits_and_leaves_nothing() {
    let run = run(".data\nmsg: string \"hello\\n\"\n.text\nprint msg\nexit 3");
    assert_eq!(run.out, "hello\n");
    assert_eq!(exits(&run), [(3, 0)]);
    assert!(is_clean(&run.kern));
}

const FORK_WAIT: &str = "
.data
status: word 0
ok:     string \"ok\"
.text
        sys fork -> r8
        beq r1, 1, child
        sys wait r8 status 0 -> r9
        bne r8, r9, bad
        ld32 r2, status
        bne r2, 0x700, bad
        sys wait WAIT_ANY status 0
        jok bad
        bne r0, ECHILD, bad
        print ok
        exit 0
child:  exit 7
bad:    exit 1
";

#[test]
fn wait_reaps_the_child_with_its_status_and_then_there_is_none() {
    let run = run(FORK_WAIT);
    assert_eq!(run.out, "ok");
    assert_eq!(exits(&run), [(7, 0), (0, 0)]);
    assert!(is_clean(&run.kern));
}

#[test]
fn the_same_program_gives_the_same_trace_and_processors_change_only_time() {
    let (a, b) = (run(FORK_WAIT), run(FORK_WAIT));
    assert_eq!(a.trace, b.trace);
    assert_eq!(a.ended, b.ended);
    let one = run_on(1, FORK_WAIT);
    assert_eq!(one.out, "ok");
    assert!(one.ended > a.ended);
}

#[test]
fn a_child_writes_to_its_own_copy_of_memory() {
    let run = run("
.data
cell:   string \"p\"
.text
        sys fork -> r8
        beq r1, 1, child
        sys wait r8 0 0
        print cell
        exit 0
child:  set r2 'c'
        st8 r2, cell
        print cell
        exit 0
");
    assert_eq!(run.out, "cp");
    assert!(is_clean(&run.kern));
}

#[test]
fn an_orphan_becomes_inits_child() {
    let run = run("
.data
nap:    timespec 0 1000000
yes:    string \"orphan of 1\"
.text
        sys fork
        beq r1, 1, child
        exit 0
child:  sys nanosleep nap 0
        sys getppid
        bne r0, 1, bad
        print yes
        exit 0
bad:    exit 1
");
    assert_eq!(run.out, "orphan of 1");
    assert!(is_clean(&run.kern));
}

#[test]
fn a_reaper_gets_the_orphans_below_it() {
    let run = run("
.data
nap:    timespec 0 1000000
yes:    string \"mine\"
.text
        sys procctl P_PID 0 PROC_REAP_ACQUIRE 0
        jerr bad
        sys getpid -> r10
        sys fork
        beq r1, 1, child
        sys wait WAIT_ANY 0 0
        sys wait WAIT_ANY 0 0
        jerr bad
        exit 0
child:  sys fork
        beq r1, 1, grand
        exit 0
grand:  sys nanosleep nap 0
        sys getppid
        bne r0, r10, bad
        print yes
        exit 0
bad:    exit 1
");
    assert_eq!(run.out, "mine");
    assert!(exits(&run).iter().all(|exit| *exit == (0, 0)));
    assert!(is_clean(&run.kern));
}

#[test]
fn a_sleep_takes_the_virtual_time_it_says() {
    let run = run("
.data
nap:    timespec 2 500000000
.text
        sys nanosleep nap 0
        jerr bad
        exit 0
bad:    exit 1
");
    assert_eq!(exits(&run), [(0, 0)]);
    let over = run.ended.as_nanos() - 2_500_000_000;
    assert!(over < 10_000, "{over} ns more than asked for");
}

#[test]
fn a_reader_sleeps_until_the_writer_has_written() {
    let run = run("
.data
ends:   word 0 0
buf:    space 16
text:   string \"data\"
nap:    timespec 0 5000000
.text
        sys pipe ends
        jerr bad
        sys fork
        beq r1, 1, child
        ld32 r8, ends
        sys read r8 buf 16 -> r9
        sys write STDOUT buf r9
        set r2 ends
        ld32 r3, [r2 + 4]
        sys close r3
        sys read r8 buf 16 -> r9
        bne r9, 0, bad
        exit 0
child:  sys nanosleep nap 0
        set r2 ends
        ld32 r8, [r2 + 4]
        sys write r8 text text.len
        exit 0
bad:    exit 1
");
    assert_eq!(run.out, "data");
    assert_eq!(exits(&run), [(0, 0), (0, 0)]);
    assert!(is_clean(&run.kern));
}

#[test]
fn a_write_without_a_reader_kills_with_sigpipe() {
    let run = run("
.data
ends:   word 0 0
.text
        sys pipe ends
        ld32 r8, ends
        sys close r8
        set r2 ends
        ld32 r8, [r2 + 4]
        sys write r8 ends 4
        exit 0
");
    assert_eq!(exits(&run), [(0, 13)]);
}

#[test]
fn a_handler_runs_and_the_program_goes_on_where_it_was() {
    let run = run("
.data
act:    quad 0 0 0 0
got:    string \"h\"
end:    string \"e\"
.text
start:  set r2 handler
        st64 r2, act
        sys sigaction SIGUSR1 act 0
        jerr bad
        sys getpid -> r8
        set r9 42
        sys kill r8 SIGUSR1
        bne r9, 42, bad
        print end
        exit 0
handler: bne r1, SIGUSR1, bad
        set r9 0
        print got
        ret
bad:    exit 1
");
    assert_eq!(run.out, "he");
    assert_eq!(exits(&run), [(0, 0)]);
}

/// A child that sleeps ten seconds in `nanosleep`, or in `read` where `$WAIT` says so, and a
/// parent that signals it after a second.
fn interrupted(flags: &str, wait: &str) -> Run {
    let source = "
.data
act:    quad handler_at 0 0 0
ends:   word 0 0
buf:    space 8
long:   timespec 10 0
left:   timespec 0 0
second: timespec 1 0
eintr:  string \"eintr\"
again:  string \"again\"
.text
start:  set r2 handler
        st64 r2, act
        set r2 FLAGS
        set r3 act
        st32 r2, [r3 + 8]
        sys sigaction SIGUSR1 act 0
        sys pipe ends
        ld32 r9, ends
        set r2 ends
        ld32 r10, [r2 + 4]
        sys fork -> r8
        beq r1, 1, child
        sys nanosleep second 0
        sys kill r8 SIGUSR1
        sys nanosleep second 0
        sys write r10 buf 1
        sys wait r8 0 0
        exit 0
child:  WAIT
        jerr failed
        print again
        exit 0
failed: bne r0, EINTR, bad
        print eintr
        ld64 r0, left
        exit r0
handler: ret
bad:    exit 1
";
    let source = source.replace("handler_at", "0").replace("FLAGS", flags);
    run(&source.replace("WAIT\n", &format!("{wait}\n")))
}

#[test]
fn a_handler_without_restart_makes_the_call_fail() {
    let run = interrupted("0", "sys read r9 buf 8");
    assert_eq!(run.out, "eintr");
}

#[test]
fn a_handler_with_restart_makes_the_call_go_on() {
    let run = interrupted("SA_RESTART", "sys read r9 buf 8");
    assert_eq!(run.out, "again");
}

#[test]
fn an_interrupted_sleep_fails_even_with_restart_and_tells_what_was_left() {
    let run = interrupted("SA_RESTART", "sys nanosleep long left");
    assert_eq!(run.out, "eintr");
    assert_eq!(exits(&run), [(8, 0), (0, 0)]);
}

#[test]
fn a_stopped_child_is_reported_and_goes_on_when_continued() {
    let run = run("
.data
status: word 0
half:   timespec 0 500000000
more:   timespec 0 900000000
done:   string \"done\"
.text
        sys fork -> r8
        beq r1, 1, child
        sys kill r8 SIGSTOP
        sys wait r8 status WUNTRACED
        ld32 r2, status
        bne r2, 0x117f, bad
        sys nanosleep half 0
        sys kill r8 SIGCONT
        sys wait r8 status WCONTINUED
        ld32 r2, status
        bne r2, SIGCONT, bad
        sys wait r8 status 0
        ld32 r2, status
        bne r2, 0, bad
        print done
        exit 0
child:  sys nanosleep more 0
        exit 0
bad:    exit 1
");
    assert_eq!(run.out, "done");
    assert_eq!(exits(&run), [(0, 0), (0, 0)]);
}

#[test]
fn an_alarm_ends_a_pause() {
    let run = run("
.data
act:    quad 0 0 0 0
timer:  quad 0 0 1 0
none:   space 16
ok:     string \"alarm\"
.text
start:  set r2 handler
        st64 r2, act
        sys sigaction SIGALRM act 0
        sys setitimer ITIMER_REAL timer 0
        sys sigsuspend none
        jok bad
        bne r0, EINTR, bad
        exit 0
handler: print ok
        ret
bad:    exit 1
");
    assert_eq!(run.out, "alarm");
    assert_eq!(exits(&run), [(0, 0)]);
    assert_eq!(run.ended.as_nanos() / 1_000_000, 1_000);
}

#[test]
fn a_fault_kills_with_the_signal_it_deserves() {
    let killed = |source: &str| exits(&run(source));
    assert_eq!(killed("set r1 0\nld8 r2, [r1]"), [(0, 11)]);
    assert_eq!(killed("set r1 0x400000\nst8 r2, [r1]"), [(0, 11)]);
    assert_eq!(killed("set r2 0\ndiv r1, r1, r2"), [(0, 8)]);
    assert_eq!(killed("brk"), [(0, 5)]);
    assert_eq!(killed("set r1 0x400001\njmpr r1"), [(0, 4)]);
    assert_eq!(killed("set r0 9999\nsyscall\nexit 0"), [(0, 12)]);
}

#[test]
fn groups_and_sessions_follow_the_rules() {
    let run = run("
.data
ok:     string \"ok\"
none:   space 16
.text
        sys getpid -> r8
        sys setsid
        jok bad
        bne r0, EPERM, bad
        sys setpgid 0 0
        jok bad
        bne r0, EPERM, bad
        sys fork -> r9
        beq r1, 1, child
        sys setpgid r9 r9
        jerr bad
        sys getpgid r9
        bne r0, r9, bad
        sys getsid r9
        bne r0, r8, bad
        sys kill r9 SIGTERM
        sub r9, r10, r9
        sys wait r9 0 0
        jerr bad
        print ok
        exit 0
child:  sys sigsuspend none
        exit 0
bad:    exit 1
");
    assert_eq!(run.out, "ok");
    assert_eq!(exits(&run), [(0, 15), (0, 0)]);
}

#[test]
fn a_signal_to_a_group_reaches_its_members_only() {
    let run = run("
.data
nap:    timespec 0 1000000
.text
        sys fork -> r8
        beq r1, 1, child
        sys setpgid r8 r8
        sys fork -> r9
        beq r1, 1, other
        sub r10, r10, r8
        sys kill r10 SIGKILL
        jerr bad
        sys wait r8 0 0
        sys wait r9 0 0
        exit 0
child:  sys nanosleep nap 0
        jmp child
other:  sys nanosleep nap 0
        exit 5
bad:    exit 1
");
    assert_eq!(exits(&run), [(0, 9), (5, 0), (0, 0)]);
}

#[test]
fn exec_replaces_the_program_and_passes_arguments() {
    let mut run = boot(1);
    run.install(
        "/bin/echo",
        "ld64 r8, [r2 + 8]\nbne r1, 2, bad\nsys write STDOUT r8 3\nexit 0\nbad: exit 1",
    );
    run.install(
        "/bin/test",
        "
.data
path:   asciz \"/bin/echo\"
arg:    asciz \"arg\"
argv:   quad path arg 0
.text
        sys vfork -> r8
        beq r1, 1, child
        sys wait r8 0 0
        jerr bad
        exit 0
child:  sys execve path argv 0
bad:    exit 1
",
    );
    run.spawn("/bin/test");
    run.finish();
    assert_eq!(run.out, "arg");
    assert_eq!(exits(&run), [(0, 0), (0, 0)]);
    assert!(is_clean(&run.kern));
}

#[test]
fn poll_sleeps_until_the_pipe_is_readable_or_its_time_is_over() {
    let run = run("
.data
ends:   word 0 0
fds:    pollfd 0 POLLIN
ms:     timespec 0 3000000
ok:     string \"ok\"
.text
        sys pipe ends
        ld32 r8, ends
        st32 r8, fds
        sys poll fds 1 10
        bne r0, 0, bad
        sys fork
        beq r1, 1, child
        sys poll fds 1 INFTIM
        bne r0, 1, bad
        set r2 fds
        ld16 r3, [r2 + 6]
        bne r3, POLLIN, bad
        print ok
        exit 0
child:  sys nanosleep ms 0
        set r2 ends
        ld32 r8, [r2 + 4]
        sys write r8 ends 1
        sys nanosleep ms 0
        exit 0
bad:    exit 1
");
    assert_eq!(run.out, "ok");
}

#[test]
fn the_other_processes_of_a_prison_cannot_be_seen_from_beside_it() {
    let mut run = boot(1);
    let (inside, _) = run
        .kern
        .prison_create(&mut NoHooks, PrisonId::HOST, "j")
        .expect("the host is there");
    run.install(
        "/bin/sleeper",
        ".data\nt: timespec 9 0\n.text\nsys nanosleep t 0\nexit 0",
    );
    run.install(
        "/bin/killer",
        "sys kill 2 SIGKILL\njok bad\nbne r0, ESRCH, bad\nexit 0\nbad: exit 1",
    );
    let sleeper = run.spawn("/bin/sleeper");
    assert_eq!(run.kern.proc(sleeper).map(|p| p.pid), Some(Pid(2)));
    run.spawn_in("/bin/killer", inside);
    run.finish();
    assert_eq!(exits(&run), [(0, 0), (0, 0)]);
    assert_eq!(run.kern.prison_destroy(&mut NoHooks, inside), Ok(()));
}

#[test]
fn a_suspended_prison_stands_still_and_its_sleeps_keep_what_was_left() {
    let mut run = boot(1);
    let (inside, _) = run
        .kern
        .prison_create(&mut NoHooks, PrisonId::HOST, "j")
        .expect("the host is there");
    run.install(
        "/bin/sleeper",
        ".data\nt: timespec 2 0\n.text\nsys nanosleep t 0\nexit 4",
    );
    run.spawn_in("/bin/sleeper", inside);
    let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
    run.run_until(&mut NoHooks, at(1));
    run.kern.advance(at(1));
    assert_eq!(run.kern.prison_suspend(inside), Ok(()));
    assert_eq!(
        run.kern.prison_suspend(inside),
        Err(crate::errno::Errno::EALREADY)
    );
    assert_eq!(run.kern.next_event(), None);
    run.kern.advance(at(10));
    run.kern.prison_resume(inside);
    run.finish();
    assert_eq!(exits(&run), [(4, 0)]);
    assert_eq!(run.ended.as_nanos() / 1_000_000_000, 11);
}

#[test]
fn suspending_and_resuming_at_once_after_every_step_changes_nothing() {
    let drive = |disturb: bool| {
        let mut run = boot(2);
        let (inside, _) = run
            .kern
            .prison_create(&mut NoHooks, PrisonId::HOST, "j")
            .expect("the host is there");
        run.install("/bin/test", FORK_WAIT);
        run.spawn_in("/bin/test", inside);
        while let Some(next) = run.kern.next_event() {
            let now = next.max(run.kern.now);
            run.kern.run_callouts(now, &mut NoHooks);
            run.kern.run_slice(now, &mut NoHooks);
            if disturb {
                assert_eq!(run.kern.prison_suspend(inside), Ok(()));
                run.kern.prison_resume(inside);
            }
            run.collect();
        }
        (run.trace, run.out)
    };
    assert_eq!(drive(true), drive(false));
}

#[test]
fn a_drained_prison_has_no_process_left_and_can_be_destroyed() {
    let mut run = boot(2);
    let (inside, _) = run
        .kern
        .prison_create(&mut NoHooks, PrisonId::HOST, "j")
        .expect("the host is there");
    run.install(
        "/bin/bomb",
        ".data\nt: timespec 9 0\n.text\nsys fork\nsys fork\nx: sys nanosleep t 0\njmp x",
    );
    run.spawn_in("/bin/bomb", inside);
    run.run_until(&mut NoHooks, Instant::from_nanos(1_000_000_000));
    assert_eq!(run.kern.prison_procs(inside).len(), 4);
    assert_eq!(
        run.kern.prison_destroy(&mut NoHooks, inside),
        Err(crate::errno::Errno::EBUSY)
    );
    assert_eq!(run.kern.prison_drain(&mut NoHooks, inside), Ok(()));
    assert_eq!(run.kern.prison_procs(inside), []);
    run.collect();
    assert_eq!(exits(&run), [(0, SIGKILL); 4]);
    assert_eq!(run.kern.prison_destroy(&mut NoHooks, inside), Ok(()));
    assert!(is_clean(&run.kern));
}

#[test]
fn an_id_is_not_given_out_while_a_group_carries_it() {
    let mut run = boot(1);
    run.kern.config.pid_max = 110;
    run.install(
        "/bin/test",
        "
        sys fork -> r8
        beq r1, 1, leader
        sys wait r8 0 0
        set r9 200
again:  sys fork -> r10
        jerr bad
        beq r1, 1, short
        beq r10, r8, bad
        sys wait r10 0 0
        sub r9, r9, 1
        bne r9, 0, again
        exit 0
short:  exit 0
bad:    exit 1
leader: sys setpgid 0 0
        sys fork
        beq r1, 1, member
        exit 0
member: sys sigsuspend again
        exit 0
",
    );
    run.spawn("/bin/test");
    run.run_until(&mut NoHooks, Instant::from_nanos(u64::MAX));
    assert!(!exits(&run).contains(&(1, 0)));
    assert_eq!(exits(&run).len(), 202);
    assert!(run.kern.id_named(Pid(3)));
}

/// Takes the one process of a suspended prison apart and puts it back into another kernel, where
/// other processes are and no number is the same.
fn move_single(from: &mut Kern, p: ProcId, to: &mut Kern, prison: PrisonId) -> ProcId {
    use super::restore::ProcSeed;
    use crate::vm::MapEntry;
    let old = from.procs.get(&p).expect("the process").clone();
    let space = from.vmspaces.get(&old.vm).expect("its memory");
    let mut copy = crate::vm::Vmspace::new(space.size_max);
    (copy.daddr, copy.dsize) = (space.daddr, space.dsize);
    for entry in space.entries() {
        let object = to.objects.create(None);
        let pages = (entry.end - entry.start) / crate::vm::PAGE_SIZE;
        for index in entry.pindex..entry.pindex + pages {
            if let Some(page) = from.objects.lookup(entry.object, index) {
                to.objects.put(object, index, page.clone()).expect("room");
            }
        }
        let entry = MapEntry {
            object,
            needs_copy: false,
            ..entry.clone()
        };
        assert_eq!(copy.map_object(entry), Ok(()));
    }
    let vm = to.restore_vmspace(copy);
    let mut fds = file::Filedesc::default();
    for (&fd, fde) in &old.fds.fds {
        let file = to.restore_file(file::FileKind::Console, false, 1);
        fds.fds.insert(fd, file::Fde { file, ..*fde });
    }
    let seed = ProcSeed {
        pid: None,
        reapsubtree: None,
        comm: old.comm.clone(),
        parent: to.initproc(),
        reaper: None,
        is_reaper: false,
        pgrp: None,
        session: None,
        ucred: Ucred {
            prison,
            ..old.ucred.clone()
        },
        vm,
        fds,
        sigacts: old.sigacts.clone(),
        sigqueue: old.sigqueue.clone(),
        zombie: None,
        stopped: None,
        continued: false,
        ppwait: false,
        execed: old.execed,
        itimer: old.itimer.frozen.map(|left| (left, old.itimer.interval)),
        runtime: old.runtime,
    };
    let new = to.restore_proc(&mut NoHooks, seed).expect("room");
    for td in &old.threads {
        let seed = from.threads.get(td).expect("its thread").seed();
        to.restore_thread(&mut NoHooks, new, seed).expect("room");
    }
    new
}

#[test]
fn a_process_moved_after_every_step_goes_on_and_sleeps_no_longer_than_it_said() {
    const COUNTER: &str = "
.data
nap:    timespec 0 10000000
dot:    string \".\"
.text
        set r8 5
again:  sys nanosleep nap 0
        jerr bad
        print dot
        sub r8, r8, 1
        bne r8, 0, again
        exit 6
bad:    exit 1
";
    let host = |others: usize| {
        let mut run = boot(1);
        run.install("/bin/test", COUNTER);
        for _ in 0..others {
            run.spawn("/bin/test");
        }
        run.finish();
        // The processor has finished with the others.
        let idle = run.kern.now.after(Duration::from_secs(1));
        run.kern.advance(idle);
        run.out.clear();
        run.trace.clear();
        let made = run.kern.prison_create(&mut NoHooks, PrisonId::HOST, "j");
        let (inside, _) = made.expect("the host is there");
        (run, inside)
    };
    let stay = {
        let (mut run, inside) = host(0);
        let begin = run.kern.now;
        run.spawn_in("/bin/test", inside);
        run.finish();
        run.ended.since(begin)
    };
    let (mut at, mut inside) = host(0);
    let mut p = at.spawn_in("/bin/test", inside);
    let mut out = String::new();
    let mut spent = Duration::ZERO;
    let mut moves = 0;
    while let Some(next) = at.kern.next_event() {
        let before = at.kern.now;
        let now = next.max(before);
        at.kern.run_callouts(now, &mut NoHooks);
        at.kern.run_slice(now, &mut NoHooks);
        spent = spent.plus(at.kern.now.since(before));
        at.collect();
        out.push_str(&std::mem::take(&mut at.out));
        if at.kern.proc(p).is_none() {
            break;
        }
        let (mut to, target) = host(moves % 3 + 1);
        assert_eq!(at.kern.prison_suspend(inside), Ok(()));
        assert_eq!(to.kern.prison_suspend(target), Ok(()));
        p = move_single(&mut at.kern, p, &mut to.kern, target);
        to.kern.prison_resume(target);
        (at, inside) = (to, target);
        moves += 1;
    }
    assert!(moves > 10, "{moves} moves");
    assert_eq!(out, ".....");
    assert_eq!(exits(&at), [(6, 0)]);
    assert_eq!(spent, stay);
}
