// SPDX-License-Identifier: BSD-2-Clause
//! The adapter's own code over the emulated kernel.

use std::string::String;
use std::vec;
use std::vec::Vec;

use vpscore::cbor::{Encode as _, Encoder, Text, decode_all};
use vpscore::collections::List;
use vpscore::ctl::{Answer as CtlAnswer, LifeState, Op, Request, VERSION};

use super::natives::{
    EXECVE, FORK, GETPGID, GETPGRP, GETPID, GETPPID, GETSID, KILL, RFORK, SETPGID, SETSID,
    SIGTIMEDWAIT, WAIT4,
};
use super::{Answer, Handle, Machine, procs, world};

const ESRCH: i32 = 3;
const ECHILD: i32 = 10;
const ENOMEM: i32 = 12;
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const RFPROC: i64 = 1 << 4;

fn request(op: Op, path: &str) -> Vec<u8> {
    let mut bytes = List::new();
    let request = Request {
        version: VERSION,
        op,
        path: Text::copy(path).unwrap(),
        after: None,
        pid_max: None,
    };
    request.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes.as_slice().to_vec()
}

impl Machine {
    fn ask(&self, proc: Handle, op: Op, path: &str) -> Result<CtlAnswer, i32> {
        let bytes = self.control(proc, &request(op, path))?;
        let answer: CtlAnswer = decode_all(&bytes).unwrap();
        match answer.errno {
            0 => Ok(answer),
            errno => Err(errno.into()),
        }
    }

    fn create(&self, path: &str) {
        self.ask(self.init(), Op::Create, path).unwrap();
    }

    fn destroy(&self, path: &str) {
        self.ask(self.init(), Op::Destroy, path).unwrap();
    }

    fn states(&self) -> Vec<(String, LifeState)> {
        let answer = self.ask(self.init(), Op::List, ".").unwrap();
        let entries = answer.entries.iter();
        entries.map(|e| (e.path.as_str().into(), e.state)).collect()
    }

    /// Forks; the child's number as the parent was told it, and the child.
    fn fork(&self, parent: Handle) -> (i32, Handle) {
        let pid = self.call(parent, FORK, &[]).unwrap();
        let child = world(|world| {
            let children = world.procs.iter();
            let own = children.filter(|(_, p)| p.parent == parent && p.status.is_none());
            own.max_by_key(|(_, p)| p.serial).map(|(h, _)| Handle(*h))
        });
        (pid, child.unwrap())
    }

    fn pid(&self, proc: Handle) -> i32 {
        self.call(proc, GETPID, &[]).unwrap()
    }

    fn kill(&self, proc: Handle, pid: i32, signum: i32) -> Answer {
        self.call(proc, KILL, &[pid.into(), signum.into()])
    }

    /// Nothing of any instance is left.
    fn is_quiet(&self) {
        assert_eq!(crate::module::vps_rs_busy(), 0, "busy");
        assert!(world(|world| world.prisons.is_empty()), "prisons left");
    }
}

#[test]
fn the_first_to_enter_an_instance_is_its_init_and_its_parent_is_out_of_view() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    assert_eq!(m.pid(init), 1);
    assert_eq!(m.call(init, GETPPID, &[]), Ok(0));
    assert_eq!(m.call(init, GETPGRP, &[]), Ok(0), "the group is the host's");
    let second = m.enter("a").unwrap();
    assert_eq!(m.pid(second), 2);
}

#[test]
fn fork_returns_the_number_that_the_child_reads_and_wait_names_it_so() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (pid, child) = m.fork(init);
    assert_eq!(pid, 2);
    assert_eq!(m.pid(child), 2);
    assert_eq!(m.call(child, GETPPID, &[]), Ok(1));
    let host = world(|world| world.proc(child).pid);
    assert_ne!(host, 2, "or the test tells nothing");
    m.exit(child, 0);
    assert_eq!(m.call(init, WAIT4, &[2]), Ok(2));
    assert_eq!(m.kill(init, 2, 0), Err(ESRCH));
    assert_eq!(m.call(init, WAIT4, &[-1]), Err(ECHILD));
}

#[test]
fn a_parent_instance_sees_and_signals_what_is_below_and_not_the_other_way() {
    let m = Machine::boot();
    m.create("a");
    m.create("a.b");
    let outer = m.enter("a").unwrap();
    let (pid, mover) = m.fork(outer);
    m.enter_as(mover, "b").unwrap();
    assert_eq!(m.pid(mover), 1, "init of the inner one");
    assert_eq!(m.call(mover, GETPPID, &[]), Ok(0));
    assert_eq!(m.kill(outer, pid, 0), Ok(0), "keeps its number above");
    let (inner, child) = m.fork(mover);
    assert_eq!(inner, 2);
    let seen = (2..20).filter(|pid| m.kill(outer, *pid, 0).is_ok()).count();
    assert_eq!(seen, 2, "both have a number in the outer one");
    let reach = (2..600).filter(|pid| m.kill(child, *pid, 0).is_ok());
    assert_eq!(reach.collect::<Vec<_>>(), [2], "nothing but itself");
    assert_eq!(
        m.call(outer, WAIT4, &[pid.into()]),
        Ok(0),
        "still its child"
    );
}

#[test]
fn an_init_ignores_from_inside_what_it_has_no_handler_for_and_obeys_from_above() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (_, child) = m.fork(init);
    assert_eq!(m.kill(child, 1, SIGTERM), Ok(0));
    assert_eq!(m.kill(child, 1, SIGKILL), Ok(0));
    assert_eq!(m.kill(init, 1, SIGKILL), Ok(0));
    assert!(m.signals(init).is_empty());
    m.handle(init, SIGTERM);
    assert_eq!(m.kill(child, 1, SIGTERM), Ok(0));
    assert_eq!(m.signals(init), [SIGTERM]);
    m.create("b");
    let beside = m.enter("b").unwrap();
    assert_eq!(
        m.kill(beside, 2, SIGKILL),
        Err(ESRCH),
        "nothing leads beside"
    );
    m.create("a.in");
    let (below, mover) = m.fork(init);
    m.enter_as(mover, "in").unwrap();
    assert_eq!(m.kill(init, below, SIGKILL), Ok(0));
    assert_eq!(m.signals(mover), [SIGKILL], "no init for those above");
}

#[test]
fn the_policy_keeps_an_init_from_signals_by_any_call_and_hides_what_is_outside() {
    let m = Machine::boot();
    m.create("a");
    m.create("a.b");
    let init = m.enter("a").unwrap();
    let (_, child) = m.fork(init);
    let inner = m.enter("a.b").unwrap();
    let asks = |from: Handle, target: Handle, signum| {
        let instance = crate::module::core().unwrap();
        let instance = instance.instance_of(vpscore::types::ProcHandle(from.0));
        crate::check::vps_rs_check_signal(crate::kernel::pack(instance), target.0, signum)
    };
    assert_eq!(asks(child, init, SIGKILL), 1);
    assert_eq!(asks(child, init, 0), 0);
    m.handle(init, SIGTERM);
    assert_eq!(asks(child, init, SIGTERM), 0);
    assert_eq!(asks(init, child, SIGKILL), 0);
    assert_eq!(asks(init, inner, SIGKILL), 0, "no init for those above");
    assert_eq!(asks(inner, init, SIGKILL), ESRCH);
    assert_eq!(asks(m.init(), init, SIGKILL), 0);
}

#[test]
fn broadcast_leaves_out_init_and_sender_and_everything_outside() {
    let m = Machine::boot();
    let outside = m.host_proc();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (_, one) = m.fork(init);
    let (_, two) = m.fork(init);
    let (_, sender) = m.fork(init);
    m.handle(init, SIGTERM);
    assert_eq!(m.kill(sender, -1, SIGTERM), Ok(0));
    assert_eq!(m.signals(one), [SIGTERM]);
    assert_eq!(m.signals(two), [SIGTERM]);
    for spared in [init, sender, outside, m.init()] {
        assert!(m.signals(spared).is_empty());
    }
    assert_eq!(m.kill(one, -1, 0), Ok(0));
    assert_eq!(
        m.kill(one, 0, 200),
        Err(22),
        "no such signal, before anything else"
    );
}

#[test]
fn groups_and_sessions_go_by_the_numbers_of_the_instance() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (pid, leader) = m.fork(init);
    assert_eq!(m.call(leader, SETSID, &[]), Ok(pid));
    assert_eq!(m.call(leader, GETPGRP, &[]), Ok(pid));
    let (inner, member) = m.fork(leader);
    assert_eq!(m.call(init, GETPGID, &[inner.into()]), Ok(pid));
    assert_eq!(m.call(member, GETSID, &[0]), Ok(pid));
    assert_eq!(m.call(init, SETPGID, &[inner.into(), inner.into()]), Ok(0));
    assert_eq!(m.call(member, GETPGRP, &[]), Ok(inner));
    assert_eq!(m.kill(init, -inner, SIGTERM), Ok(0));
    assert_eq!(m.signals(member), [SIGTERM]);
    assert!(m.signals(leader).is_empty());
    assert_eq!(m.kill(init, -500, SIGTERM), Err(ESRCH));
}

#[test]
fn exec_gives_the_kernels_vector_and_the_wrapper_puts_ours_back() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (pid, child) = m.fork(init);
    assert_eq!(m.call(child, EXECVE, &[0, 0, 0]), Ok(0));
    assert_eq!(m.pid(child), pid);
}

#[test]
fn rfork_without_rfproc_reserves_nothing() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (before, child) = m.fork(init);
    m.exit(child, 0);
    assert_eq!(m.call(init, WAIT4, &[-1]), Ok(before));
    assert_eq!(m.call(init, RFORK, &[RFPROC]), Ok(before + 1));
}

#[test]
fn si_pid_is_the_receivers_number_for_the_sender() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (pid, child) = m.fork(init);
    let mut info = [0i32; 20];
    info[3] = world(|world| world.proc(child).pid);
    let address = (&raw mut info) as usize as i64;
    assert!(m.call(init, SIGTIMEDWAIT, &[0, address, 0]).is_ok());
    assert_eq!(info[3], pid);
    info[3] = 1;
    assert!(m.call(init, SIGTIMEDWAIT, &[0, address, 0]).is_ok());
    assert_eq!(info[3], 0, "the host's init is nobody here");
}

#[test]
fn a_failed_fork_leaves_no_number_and_no_charge() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    for at in 0.. {
        m.fail_memory_after(at);
        let forked = m.call(init, FORK, &[]);
        if m.memory_back() {
            assert_eq!(
                forked,
                Ok(2 + at as i32),
                "each failure before took a number only"
            );
            break;
        }
        assert_eq!(forked, Err(ENOMEM));
        assert_eq!(m.call(init, WAIT4, &[-1]), Err(ECHILD));
    }
}

#[test]
fn entering_fails_whole_when_the_kernel_has_no_memory() {
    let m = Machine::boot();
    m.create("a");
    let proc = m.host_proc();
    m.fail_memory_after(0);
    assert_eq!(m.enter_as(proc, "a"), Err(ENOMEM));
    assert_eq!(m.enter_as(proc, "a"), Ok(()));
    assert_eq!(m.pid(proc), 1);
}

#[test]
fn a_prison_that_the_kernel_refuses_leaves_no_instance() {
    let m = Machine::boot();
    m.fail_memory_after(0);
    assert_eq!(m.ask(m.init(), Op::Create, "a").map(|_| ()), Err(ENOMEM));
    m.is_quiet();
    m.create("a");
    assert_eq!(
        m.states(),
        [
            (String::from("."), LifeState::Running),
            ("a".into(), LifeState::Created)
        ]
    );
}

#[test]
fn destruction_kills_all_inside_and_takes_down_the_innermost_first() {
    let m = Machine::boot();
    m.create("a");
    m.create("a.b");
    m.create("a.b.c");
    let init = m.enter("a").unwrap();
    for path in ["a.b", "a.b.c"] {
        let inner = m.enter(path).unwrap();
        m.fork(inner);
    }
    m.fork(init);
    m.destroy("a");
    m.is_quiet();
    assert_eq!(m.procs(), 1, "only the host's init is left");
}

#[test]
fn an_unreaped_process_holds_its_instance_and_destruction_can_be_repeated() {
    let m = Machine::boot();
    m.create("a");
    let parent = m.host_proc();
    let (pid, entering) = m.fork(parent);
    m.enter_as(entering, "a").unwrap();
    assert_eq!(m.ask(m.init(), Op::Destroy, "a").map(|_| ()), Err(16));
    assert_eq!(
        crate::module::vps_rs_busy(),
        1,
        "no unload while a zombie is ours"
    );
    assert_eq!(
        m.call(parent, WAIT4, &[pid.into()]),
        Ok(pid),
        "the host's own number"
    );
    m.destroy("a");
    m.is_quiet();
}

#[test]
fn the_death_of_init_kills_the_others_and_nobody_forks_there_any_more() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let (_, child) = m.fork(init);
    m.exit(init, 0);
    assert_eq!(m.signals(child), [SIGKILL]);
    assert_eq!(m.call(child, FORK, &[]), Err(35));
    procs::let_the_killed_exit();
    procs::init_reaps();
    assert_eq!(m.states()[1].1, LifeState::Created, "may be started again");
    let again = m.enter("a").unwrap();
    assert_eq!(m.pid(again), 1);
}

#[test]
fn a_child_that_nobody_reserved_may_not_run() {
    let m = Machine::boot();
    m.create("a");
    let init = m.enter("a").unwrap();
    let pid = procs::fork(init).unwrap();
    let child = m.by_pid(pid).unwrap();
    assert_eq!(m.signals(child), [SIGKILL]);
}

#[test]
fn suspend_stops_all_inside_and_resume_lets_them_go_on() {
    let m = Machine::boot();
    m.create("a");
    let outside = m.host_proc();
    let init = m.enter("a").unwrap();
    let (_, child) = m.fork(init);
    m.ask(m.init(), Op::Suspend, "a").unwrap();
    assert!(m.stopped(init) && m.stopped(child) && !m.stopped(outside));
    assert_eq!(m.states()[1].1, LifeState::Suspended);
    m.ask(m.init(), Op::Resume, "a").unwrap();
    assert!(!m.stopped(init) && !m.stopped(child));
    m.ask(m.init(), Op::Suspend, "a").unwrap();
    m.destroy("a");
    m.is_quiet();
}

#[test]
fn requests_reach_downward_only() {
    let m = Machine::boot();
    m.create("a");
    m.create("b");
    let init = m.enter("a").unwrap();
    assert_eq!(
        m.ask(init, Op::Create, "b").map(|_| ()),
        Ok(()),
        "its own b"
    );
    assert_eq!(m.ask(init, Op::Destroy, ".").map(|_| ()), Err(1));
    let listed = m.ask(init, Op::List, ".").unwrap();
    assert_eq!(listed.entries.len(), 2);
    let (_, child) = m.fork(init);
    assert_eq!(
        m.enter_as(child, "a"),
        Err(ESRCH),
        "not there, seen from within"
    );
    assert_eq!(m.enter_as(child, "b"), Ok(()));
}

#[test]
fn hostile_requests_get_an_answer_and_change_nothing() {
    let m = Machine::boot();
    m.create("a");
    let good = request(Op::Destroy, "a");
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n as u64) as usize
    };
    for round in 0..2000 {
        let mut bytes = if round % 2 == 0 {
            good.clone()
        } else {
            vec![0; random(64)]
        };
        for _ in 0..=random(6) {
            if bytes.is_empty() {
                break;
            }
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        bytes.truncate(random(bytes.len() + 1));
        let answer = m.control(m.init(), &bytes);
        let answer: CtlAnswer = decode_all(&answer.unwrap()).unwrap();
        assert_ne!(answer.errno, 0, "{bytes:x?}");
    }
    let long = vec![0x61; 1 << 16];
    assert!(m.control(m.init(), &long).is_ok());
    assert_eq!(
        m.enter_as(m.host_proc(), core::str::from_utf8(&long).unwrap()),
        Err(63)
    );
    assert_eq!(m.states().len(), 2);
}

#[test]
fn unload_is_refused_while_an_instance_exists_and_leaves_nothing_after() {
    let m = Machine::boot();
    assert_eq!(crate::module::vps_rs_busy(), 0);
    m.create("a");
    assert_eq!(crate::module::vps_rs_busy(), 1);
    m.destroy("a");
    assert_eq!(crate::module::vps_rs_busy(), 0);
    crate::module::vps_rs_unload();
    assert_eq!(
        m.control(m.init(), &request(Op::List, ".")).map(|_| ()),
        Err(6)
    );
    assert_eq!(crate::module::vps_rs_load(), 0);
    assert_eq!(crate::module::vps_rs_load(), 17, "loaded once only");
}

#[test]
fn host_processes_pay_nothing_and_are_never_translated() {
    let m = Machine::boot();
    m.create("a");
    let host = m.host_proc();
    let (pid, child) = m.fork(host);
    assert_eq!(m.pid(child), pid);
    assert_eq!(world(|world| world.proc(child).pid), pid);
    m.exit(child, 0);
    assert_eq!(m.call(host, WAIT4, &[-1]), Ok(pid));
}

#[test]
fn storms_of_forks_exits_and_reaps_from_many_threads_leave_nothing() {
    let m = Machine::boot();
    let paths = ["a", "a.b", "c", "c.d"];
    for path in paths {
        m.create(path);
    }
    let inits: Vec<Handle> = paths.iter().map(|path| m.enter(path).unwrap()).collect();
    std::thread::scope(|scope| {
        for init in &inits {
            let m = &m;
            scope.spawn(move || {
                for round in 0..60i32 {
                    let pid = m.call(*init, FORK, &[]).unwrap();
                    let host = host_of(*init);
                    assert_eq!(m.pid(host), pid);
                    assert_eq!(m.call(host, GETPPID, &[]), Ok(1));
                    let _ = m.kill(host, -1, 0);
                    let _ = m.kill(*init, round, 0);
                    m.exit(host, round);
                    assert_eq!(m.call(*init, WAIT4, &[pid.into()]), Ok(pid));
                }
            });
        }
    });
    for path in ["a", "c"] {
        m.destroy(path);
    }
    m.is_quiet();
    assert_eq!(m.procs(), 1);
}

/// The one living child of a process.
fn host_of(parent: Handle) -> Handle {
    world(|world| {
        let mut children = world.procs.iter();
        let child = children.find(|(_, p)| p.parent == parent && p.status.is_none());
        Handle(*child.unwrap().0)
    })
}

/// Fails the test that allocates or frees with the state lock held (R2 of [`vpscore::kpi`]).
struct Watched;

#[global_allocator]
static WATCHED: Watched = Watched;

// SAFETY: passes everything on to the system's allocator.
unsafe impl std::alloc::GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        watch();
        // SAFETY: the caller's duty.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: std::alloc::Layout) {
        watch();
        // SAFETY: the caller's duty.
        unsafe { std::alloc::System.dealloc(ptr, layout) }
    }
}

fn watch() {
    if super::lock::in_section() && !std::thread::panicking() {
        std::eprintln!("allocation with the state lock held");
        std::process::abort();
    }
}
