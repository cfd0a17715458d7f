// SPDX-License-Identifier: BSD-2-Clause
//! Programs in instances, told by their exit values what they saw.

use super::Join;
use crate::guest::assemble;
use crate::kern::proc::Ucred;
use crate::kern::trace::TraceItem;
use crate::kern::types::ProcId;
use crate::kern::{Config, Kern};
use vpscore::instance::{Birth, Name};
use vpscore::types::InstanceId;

struct Host {
    kern: Kern,
    join: Join,
    exits: Vec<(ProcId, i32, i32)>,
    console: Vec<u8>,
}

impl Host {
    fn new() -> Self {
        let mut kern = Kern::new(Config::default());
        let join = Join::new(&mut kern, 1, "alpha").unwrap();
        Self {
            kern,
            join,
            exits: Vec::new(),
            console: Vec::new(),
        }
    }

    fn instance(&mut self, parent: InstanceId, name: &str) -> InstanceId {
        let name = Name::parse(name.as_bytes()).unwrap();
        self.join
            .create(&mut self.kern, parent, name, Birth::Empty)
            .unwrap()
    }

    fn start(&mut self, instance: InstanceId, text: &str) -> ProcId {
        let program = assemble(text, &[]).unwrap();
        self.kern.install_program("/bin/test", program);
        let p = self
            .kern
            .spawn(&mut self.join, "/bin/test", &[], Ucred::default())
            .unwrap();
        if instance != InstanceId::VPS0 {
            self.join.attach(&mut self.kern, p, instance).unwrap();
        }
        p
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            let Some(at) = self.kern.next_event() else {
                return;
            };
            self.kern.run_callouts(at, &mut self.join);
            self.kern.run_slice(at, &mut self.join);
            for item in self.kern.take_trace() {
                match item {
                    TraceItem::Exit { p, status, signo } => self.exits.push((p, status, signo)),
                    TraceItem::Console { text, .. } => self.console.extend(text),
                    _ => {}
                }
            }
        }
        panic!("the programs do not end");
    }

    fn exit_of(&self, p: ProcId) -> Option<(i32, i32)> {
        self.exits
            .iter()
            .find(|(q, ..)| *q == p)
            .map(|(_, status, signo)| (*status, *signo))
    }
}

#[test]
fn init_is_one_inside_and_its_parent_is_nobody() {
    let mut host = Host::new();
    let web = host.instance(InstanceId::VPS0, "web");
    let init = host.start(
        web,
        "sys getpid -> r8\nsys getppid -> r9\nmul r9, r9, 16\nadd r8, r8, r9\nexit r8",
    );
    host.run();
    assert_eq!(host.exit_of(init), Some((1, 0)));
}

#[test]
fn a_child_sees_its_parent_and_the_parent_waits_for_it_by_the_numbers_inside() {
    let mut host = Host::new();
    let web = host.instance(InstanceId::VPS0, "web");
    let db = host.instance(web, "db");
    let text = "
        sys fork -> r8
        jerr fail
        beq r8, 0, child
        sys wait4 r8 status 0 0 -> r9
        bne r8, r9, fail
        set r10 status
        ld32 r11, [r10]
        shr r11, r11, 8
        exit r11
child:  sys getpid -> r9
        sys getppid -> r10
        mul r9, r9, 16
        add r9, r9, r10
        exit r9
fail:   exit 99
.data
status: word 0
";
    for instance in [web, db] {
        let init = host.start(instance, text);
        host.run();
        // The child is 2, its parent 1.
        assert_eq!(host.exit_of(init), Some((2 * 16 + 1, 0)));
    }
}

#[test]
fn kill_reaches_what_is_inside_and_nothing_else() {
    let mut host = Host::new();
    // The instance has numbers up to 2, so that of the last one outside leads nowhere in it.
    for _ in 0..3 {
        host.start(InstanceId::VPS0, "exit 0");
    }
    let outside = host.start(
        InstanceId::VPS0,
        "loop: sys nanosleep long 0\njmp loop\n.data\nlong: timespec 1000 0\n",
    );
    let web = host.instance(InstanceId::VPS0, "web");
    let outside_pid = host.kern.proc(outside).unwrap().pid().0;
    let text = format!(
        "
        sys fork -> r8
        beq r8, 0, child
        sys kill {outside_pid} SIGKILL
        jok fail
        bne r0, ESRCH, fail
        sys kill -1 SIGTERM
        jerr fail
        sys wait4 -1 0 0 0 -> r9
        bne r8, r9, fail
        sys kill -1 SIGTERM
        jok fail
        bne r0, ESRCH, fail
        exit 7
fail:   exit 99
child:  sys nanosleep long 0
        jmp child
.data
long:   timespec 500 0
"
    );
    let init = host.start(web, &text);
    for _ in 0..400 {
        let Some(at) = host
            .kern
            .next_event()
            .filter(|at| at.as_nanos() < 400_000_000_000)
        else {
            break;
        };
        host.kern.run_callouts(at, &mut host.join);
        host.kern.run_slice(at, &mut host.join);
    }
    for item in host.kern.take_trace() {
        if let TraceItem::Exit { p, status, signo } = item {
            host.exits.push((p, status, signo));
        }
    }
    assert_eq!(host.exit_of(init), Some((7, 0)));
    assert_eq!(host.exit_of(outside), None);
}

#[test]
fn destroying_an_instance_leaves_nothing_of_it() {
    let mut host = Host::new();
    let web = host.instance(InstanceId::VPS0, "web");
    let db = host.instance(web, "db");
    let before = host.kern.procs().count();
    for instance in [web, db] {
        host.start(
            instance,
            "sys fork\nloop: sys nanosleep long 0\njmp loop\n.data\nlong: timespec 1000 0\n",
        );
    }
    for _ in 0..50 {
        let at = host.kern.next_event().unwrap();
        if at.as_nanos() > 1_000_000_000 {
            break;
        }
        host.kern.run_slice(at, &mut host.join);
    }
    assert_eq!(host.kern.procs().count(), before + 4);
    host.join.destroy(&mut host.kern, web).unwrap();
    assert_eq!(host.kern.procs().count(), before);
    assert_eq!(host.join.core().outstanding(), 0);
    assert!(host.join.core().report(InstanceId::VPS0, web).is_none());
    assert!(host.join.core().invariants());
}
