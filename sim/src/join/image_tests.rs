// SPDX-License-Identifier: BSD-2-Clause
//! Instances taken apart and put together again after every step, and nobody inside notices.

use super::Join;
use crate::guest::assemble;
use crate::kern::proc::Ucred;
use crate::kern::trace::TraceItem;
use crate::kern::types::{ProcId, Tid};
use crate::kern::{Config, Kern};
use std::collections::BTreeMap;
use vpscore::instance::{Birth, Name};
use vpscore::types::{HostId, InstanceId};

/// What a program is called in a projected trace: its numbers from the image's instance down.
type Numbers = Vec<i32>;

pub(super) struct Host {
    pub(super) kern: Kern,
    pub(super) join: Join,
    procs: BTreeMap<ProcId, Numbers>,
    threads: BTreeMap<Tid, Numbers>,
    trace: Vec<String>,
}

impl Host {
    pub(super) fn new(ncpu: usize) -> Self {
        Self::with(Config {
            ncpu,
            quantum: 40,
            ..Config::default()
        })
    }

    pub(super) fn with(config: Config) -> Self {
        let mut kern = Kern::new(config);
        let join = Join::new(&mut kern, 1, "alpha").unwrap();
        Self {
            kern,
            join,
            procs: BTreeMap::new(),
            threads: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    pub(super) fn instance(&mut self, parent: InstanceId, name: &str) -> InstanceId {
        let name = Name::parse(name.as_bytes()).unwrap();
        self.join
            .create(&mut self.kern, parent, name, Birth::Empty)
            .unwrap()
    }

    pub(super) fn start(&mut self, instance: InstanceId, text: &str) -> ProcId {
        let path = format!("/bin/test{}", text.len());
        let program = assemble(text, &[]).unwrap_or_else(|error| panic!("{error:?}"));
        self.kern.install_program(&path, program);
        let p = self
            .kern
            .spawn(&mut self.join, &path, &[], Ucred::default())
            .unwrap();
        if instance != InstanceId::VPS0 {
            self.join.attach(&mut self.kern, p, instance).unwrap();
        }
        let _ = self.kern.take_trace();
        p
    }

    /// Notes the numbers of all that is there.
    fn note(&mut self) {
        let core = self.join.core();
        for proc in self.kern.procs() {
            if let Some(report) = core.proc_report(super::handle(proc.id())) {
                self.procs.insert(proc.id(), report.numbers().to_vec());
            }
            for td in proc.threads() {
                if let Some(report) = core.thread_report(HostId(td.0)) {
                    self.threads.insert(*td, report.numbers().to_vec());
                }
            }
        }
    }

    fn project(&mut self) {
        let now = self.kern.now().as_nanos();
        for item in self.kern.take_trace() {
            let proc = |p: &ProcId| self.procs.get(p).cloned();
            let thread = |td: &Tid| self.threads.get(td).cloned();
            let line = match &item {
                TraceItem::Enter { tid, code, args } => {
                    format!("{:?} enter {code} {args:x?}", thread(tid))
                }
                TraceItem::Return { tid, code, result } => {
                    format!("{:?} return {code} {result:x?}", thread(tid))
                }
                TraceItem::Block { tid, wmesg } => format!("{:?} block {wmesg}", thread(tid)),
                TraceItem::Wakeup { tid } => format!("{:?} wakeup", thread(tid)),
                TraceItem::Signal { p, signo, handler } => {
                    format!("{:?} signal {signo} {handler:x}", proc(p))
                }
                TraceItem::Fork { parent, child } => {
                    format!("{:?} fork {:?}", proc(parent), proc(child))
                }
                TraceItem::Exec { p, path } => format!("{:?} exec {path}", proc(p)),
                TraceItem::Exit { p, status, signo } => {
                    format!("{:?} exit {status} {signo}", proc(p))
                }
                TraceItem::Reap { p } => format!("{:?} reap", proc(p)),
                TraceItem::Console { p, text, .. } => format!("{:?} console {text:?}", proc(p)),
            };
            self.trace.push(format!("{now} {line}"));
        }
    }

    /// One step of the world; false where nothing is left to do.
    pub(super) fn step(&mut self) -> bool {
        let Some(at) = self.kern.next_event() else {
            return false;
        };
        let at = at.max(self.kern.now());
        self.note();
        self.kern.run_callouts(at, &mut self.join);
        self.kern.run_slice(at, &mut self.join);
        self.note();
        self.project();
        true
    }

    /// Takes the instance apart and puts it together again, under other numbers of the host.
    fn replace(&mut self, id: InstanceId) -> InstanceId {
        let core = self.join.core();
        let parent = core.report(InstanceId::VPS0, id).unwrap().parent.unwrap();
        self.join.suspend(&mut self.kern, id).unwrap();
        let image = self.join.capture(&mut self.kern, id).unwrap();
        self.join.release(&mut self.kern, id).unwrap();
        self.kern.populate(13);
        let restored = self.join.restore(&mut self.kern, parent, None, &image);
        let id = restored.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(self.kern.invariants(), Ok(()));
        assert!(core.invariants());
        assert_eq!(core.outstanding(), 0);
        let again = self.join.capture(&mut self.kern, id).unwrap();
        assert!(again == image, "the image of the restored instance differs");
        self.join.resume(&mut self.kern, id).unwrap();
        let _ = self.kern.take_trace();
        id
    }
}

/// Runs the programs of an instance and of one nested in it; taken apart after every `every`th step.
fn trace(ncpu: usize, init: &str, nested: Option<&str>, every: Option<usize>) -> Vec<String> {
    let mut host = Host::new(ncpu);
    let mut web = host.instance(InstanceId::VPS0, "web");
    host.start(web, init);
    if let Some(text) = nested {
        let db = host.instance(web, "db");
        host.start(db, text);
    }
    for steps in 1..4000 {
        if !host.step() {
            return host.trace;
        }
        if every.is_some_and(|every| steps % every == 0) {
            web = host.replace(web);
        }
    }
    panic!("the programs do not end");
}

fn unnoticed(init: &str, nested: Option<&str>) {
    for ncpu in [1, 2] {
        let plain = trace(ncpu, init, nested, None);
        assert!(plain.len() > 5, "{plain:?}");
        let moved = trace(ncpu, init, nested, Some(1));
        for (n, (left, right)) in plain.iter().zip(&moved).enumerate() {
            assert_eq!(left, right, "line {n} with {ncpu} processors");
        }
        assert_eq!(plain.len(), moved.len());
    }
}

const FORK_TREE: &str = "
        set r12 3
more:   sys fork -> r8
        beq r1, 1, child
        sub r12, r12, 1
        bne r12, 0, more
again:  sys wait4 -1 status 0 0 -> r9
        jerr over
        jmp again
over:   sys getpid -> r8
        exit r8
child:  sys fork -> r8
        beq r1, 1, grand
        sys wait4 r8 status 0 0 -> r9
        bne r8, r9, bad
        sys getppid -> r9
        exit r9
grand:  set r10 100
spin:   sub r10, r10, 1
        bne r10, 0, spin
        sys getpid -> r8
        exit r8
bad:    exit 99
.data
status: word 0
";

#[test]
fn a_tree_of_forks_is_moved_after_every_step() {
    unnoticed(FORK_TREE, None);
}

#[test]
fn sleepers_are_moved_after_every_step_and_sleep_no_longer_than_they_said() {
    unnoticed(
        "
        sys fork -> r8
        sys nanosleep nap 0
        print dot
        sys nanosleep nap 0
        sys clock_gettime 4 now
        set r9 now
        ld64 r10, [r9 + 8]
        rem r10, r10, 251
        exit r10
.data
nap:    timespec 0 10000000
now:    timespec 0 0
dot:    string \".\"
",
        None,
    );
}

#[test]
fn an_instance_in_an_instance_is_moved_with_it() {
    unnoticed(FORK_TREE, Some(FORK_TREE));
}

#[test]
fn pipes_keep_their_bytes_and_their_readers_and_writers_wait_on() {
    unnoticed(
        "
        sys pipe2 fds 0
        set r9 fds
        ld32 r10, [r9]
        ld32 r11, [r9 + 4]
        sys fork -> r8
        beq r1, 1, reader
        sys close r10
        sys nanosleep nap 0
        sys write r11 text 5
        sys write r11 big 60000
        sys write r11 big 60000
        sys close r11
        sys wait4 r8 status 0 0
        set r9 status
        ld32 r10, [r9]
        shr r10, r10, 8
        exit r10
reader: sys close r11
        set r12 0
next:   sys read r10 buf 50000 -> r8
        jerr bad
        beq r8, 0, done
        add r12, r12, r8
        sys nanosleep nap 0
        jmp next
done:   rem r12, r12, 251
        exit r12
bad:    exit 99
.data
fds:    word 0 0
status: word 0
nap:    timespec 0 1000000
text:   string \"hello\"
big:    space 60000
buf:    space 60000
",
        None,
    );
}

#[test]
fn handlers_run_for_whom_the_sender_meant_with_the_numbers_inside() {
    unnoticed(
        "
        sys sigaction SIGUSR1 act 0
        sys sigprocmask 1 block 0
        sys getpid -> r11
        sys fork -> r8
        beq r1, 1, child
        sys wait4 r8 0 0 0
        sys nanosleep nap 0
        sys sigsuspend none
        jok bad
        set r9 count
        ld32 r10, [r9]
        exit r10
child:  sys kill r11 SIGUSR1
        sys kill r11 SIGUSR1
        exit 3
bad:    exit 99
hand:   set r9 count
        ld32 r10, [r9]
        add r10, r10, 1
        st32 r10, [r9]
        ret
.data
act:    quad hand 0 0 0
block:  quad 0x20000000 0
none:   quad 0 0
count:  word 0
nap:    timespec 0 1000000
",
        None,
    );
}

#[test]
fn stopped_and_continued_children_are_reported_once() {
    unnoticed(
        "
        sys fork -> r8
        beq r1, 1, child
        sys nanosleep nap 0
        sys kill r8 SIGSTOP
        sys wait4 r8 status 2 0
        sys wait4 r8 status 3 0 -> r9
        bne r9, 0, bad
        sys nanosleep nap 0
        sys kill r8 SIGCONT
        sys wait4 r8 status 4 0
        sys kill r8 SIGTERM
        sys wait4 r8 status 0 0
        set r9 status
        ld32 r10, [r9]
        exit r10
child:  add r9, r9, 1
        jmp child
bad:    exit 99
.data
status: word 0
nap:    timespec 0 2000
",
        None,
    );
}

#[test]
fn timers_fire_when_they_would_have_in_the_order_they_were_set() {
    unnoticed(
        "
        sys sigaction SIGALRM act 0
        sys setitimer ITIMER_REAL timer 0
        sys fork -> r8
        set r12 3
more:   sys nanosleep nap 0
        sub r12, r12, 1
        bne r12, 0, more
        sys getitimer ITIMER_REAL timer
        set r9 timer
        ld64 r10, [r9 + 24]
        rem r10, r10, 251
        beq r8, 0, over
        sys wait4 -1 0 0 0
over:   exit r10
hand:   sys write 1 dot 1
        ret
.data
act:    quad hand 0 0 0
timer:  quad 0 3 0 3
nap:    timespec 0 9000
dot:    string \".\"
",
        None,
    );
}

#[test]
fn a_parent_gets_its_memory_back_from_a_vfork() {
    unnoticed(
        "
        sys vfork -> r8
        beq r1, 1, child
        set r9 cell
        ld32 r10, [r9]
        sys wait4 r8 0 0 0
        exit r10
child:  set r9 cell
        set r10 42
        st32 r10, [r9]
        sys nanosleep nap 0
        exit 0
.data
cell:   word 0
nap:    timespec 0 1000
",
        None,
    );
}

#[test]
fn poll_waits_for_all_of_its_descriptors_and_no_longer_than_asked() {
    unnoticed(
        "
        sys pipe2 fds 0
        sys fork -> r8
        beq r1, 1, writer
        sys poll poll 2 1
        sys poll poll 2 5000 -> r9
        sys wait4 r8 0 0 0
        exit r9
writer: sys nanosleep nap 0
        sys write 4 nap 1
        exit 0
.data
fds:    word 0 0
poll:   pollfd 3 POLLIN
        pollfd 4 POLLIN
nap:    timespec 0 3000000
",
        None,
    );
}

#[test]
fn groups_outlive_their_leaders_and_orphans_find_their_reaper() {
    unnoticed(
        "
        sys fork -> r8
        beq r1, 1, leader
        sys wait4 r8 0 0 0
        set r9 0
        sub r9, r9, r8
        sys nanosleep nap 0
        sys kill r9 SIGTERM
        jerr bad
        sys wait4 -1 status 0 0 -> r10
        sys wait4 -1 status 0 0 -> r11
        sub r10, r11, r10
        set r9 status
        ld32 r9, [r9]
        mul r10, r10, 16
        add r9, r9, r10
        exit r9
leader: sys setsid
        sys fork
        beq r1, 1, member
        sys fork
        beq r1, 1, member
        exit 0
member: sys nanosleep long 0
        sys getpgrp
        jmp member
bad:    exit 99
.data
nap:    timespec 0 100000
long:   timespec 1 0
status: word 0
",
        None,
    );
}

#[test]
fn memory_written_after_a_fork_is_copied_once_and_shared_memory_stays_shared() {
    unnoticed(
        "
        sys mmap 0 8192 3 0x1000 -1 0 -> r12
        sys minherit r12 4096 0
        set r9 1
        st64 r9, [r12]
        st64 r9, [r12 + 4096]
        sys fork -> r8
        beq r1, 1, child
        sys fork -> r7
        beq r1, 1, child
        set r9 5
        st64 r9, [r12 + 4096]
        sys wait4 -1 0 0 0
        sys wait4 -1 0 0 0
        ld64 r9, [r12]
        ld64 r10, [r12 + 4096]
        mul r10, r10, 16
        add r9, r9, r10
        exit r9
child:  ld64 r9, [r12]
        add r9, r9, 1
        st64 r9, [r12]
        set r9 7
        st64 r9, [r12 + 4096]
        sys munmap r12 4096
        exit 0
",
        None,
    );
}

#[test]
fn threads_keep_their_turn_and_their_processor() {
    unnoticed(
        "
        sys fork
        sys fork
        sys fork
        set r12 60
spin:   add r9, r9, r12
        sub r12, r12, 1
        bne r12, 0, spin
        sys sched_yield
        sys getpid -> r8
again:  sys wait4 -1 0 0 0
        jok again
        exit r8
",
        Some(
            "
        sys fork
        set r12 90
spin:   sub r12, r12, 1
        bne r12, 0, spin
again:  sys wait4 -1 0 0 0
        jok again
        exit 0
",
        ),
    );
}

#[test]
fn an_instance_that_its_owner_has_suspended_stays_so() {
    let mut host = Host::new(1);
    let web = host.instance(InstanceId::VPS0, "web");
    let db = host.instance(web, "db");
    host.start(db, "x: sys getpid\njmp x");
    host.step();
    host.join.suspend(&mut host.kern, db).unwrap();
    let web = host.replace(web);
    assert_eq!(host.kern.next_slice(), None);
    let core = host.join.core();
    let db = core.lookup(web, b"db").unwrap();
    host.join.resume(&mut host.kern, db).unwrap();
    assert!(host.kern.next_slice().is_some());
}
