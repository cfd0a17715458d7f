// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::state::tests::{Proc, World};
use crate::types::InstanceId;
use std::collections::BTreeSet;

const VPS0: InstanceId = InstanceId::VPS0;

#[test]
fn both_tables_are_sorted_and_share_no_number() {
    assert!(SYSCALLS.windows(2).all(|w| w[0].number < w[1].number));
    assert!(NO_IDS.windows(2).all(|w| w[0] < w[1]));
    let carries: BTreeSet<u16> = SYSCALLS.iter().map(|call| call.number).collect();
    assert!(NO_IDS.iter().all(|number| !carries.contains(number)));
    assert!(NO_IDS.iter().chain(&carries).all(|n| *n < SYSCALL_MAX));
}

#[test]
fn a_call_is_found_by_number_and_one_that_is_not_there_is_unknown() {
    let Class::Carries(call) = classify(37) else {
        panic!("kill carries a pid");
    };
    assert_eq!(call.name, "kill");
    assert_eq!(classify(3), Class::NoId);
    assert_eq!(classify(8), Class::Unknown);
    assert_eq!(classify(SYSCALL_MAX), Class::Unknown);
}

#[test]
fn every_field_that_a_call_names_is_in_a_structure() {
    for call in SYSCALLS {
        for crossing in call.crossings {
            if let Place::Behind(_, field) = crossing.place {
                let known = STRUCTS.iter().any(|row| row.field == field);
                let other = ["", "ident", "data", "process"].contains(&field);
                assert!(known || other, "{}: {field}", call.name);
            }
        }
    }
}

#[test]
fn requests_have_the_numbers_that_the_headers_give_them() {
    // _IOR and _IOW of an int (sys/ioccom.h): direction, length 4, group, number.
    let number = |out: bool, group: u8, n: u32| {
        (if out { 0x4000_0000 } else { 0x8000_0000 }) | 4 << 16 | u32::from(group) << 8 | n
    };
    let named = |name: &str| IOCTLS.iter().find(|row| row.name == name).unwrap().number;
    assert_eq!(named("TIOCGPGRP"), number(true, b't', 119));
    assert_eq!(named("TIOCSPGRP"), number(false, b't', 118));
    assert_eq!(named("TIOCGSID"), number(true, b't', 99));
    assert_eq!(named("FIOSETOWN"), number(false, b'f', 124));
    assert_eq!(named("FIOGETOWN"), number(true, b'f', 123));
    assert_eq!(named("SIOCSPGRP"), number(false, b's', 8));
    assert_eq!(named("SIOCGPGRP"), number(true, b's', 9));
    assert_eq!(command(PROCCTLS, 4).count(), 2);
    assert_eq!(command(PROCCTLS, 99).count(), 0);
}

/// An instance with an init and a child, a nested one with an init, one beside them, and a process
/// of the host.
struct Family {
    world: World,
    init: Proc,
    child: Proc,
    nested: Proc,
    beside: Proc,
    outsider: Proc,
}

fn family() -> Family {
    let mut world = World::new();
    let (a, init) = world.started(VPS0, "a");
    let child = world.fork(init);
    let (_, nested) = world.started(a, "b");
    let (_, beside) = world.started(VPS0, "c");
    let outsider = world.outsider();
    Family {
        world,
        init,
        child,
        nested,
        beside,
        outsider,
    }
}

#[test]
fn numbers_go_in_and_out_as_the_table_says_and_special_values_unchanged() {
    let f = family();
    let core = &f.world.core;
    let me = f.init.handle;
    let pid = Carries::Id(IdKind::Pid);
    assert_eq!(core.id_in(me, pid, 0, 2), Ok(f.child.host.0));
    assert_eq!(core.id_out(me, pid, 0, f.child.host.0), 2);
    assert_eq!(
        core.id_in(me, pid, 0, 0),
        Err(IdError::NoSuch {
            kind: IdKind::Pid,
            number: 0
        })
    );
    assert_eq!(core.id_in(me, Carries::IdOrZero(IdKind::Pid), 0, 0), Ok(0));
    let tid = Carries::IdOrMinusOne(IdKind::Tid);
    assert_eq!(core.id_in(me, tid, 0, -1), Ok(-1));
    assert!(core.id_in(me, tid, 0, 0).is_err());
    // A host id that a guest guesses leads nowhere.
    assert!(core.id_in(me, pid, 0, f.outsider.host.0).is_err());
    assert_eq!(core.id_out(me, pid, 0, f.outsider.host.0), 0);
    // The host's own processes say and read the kernel's numbers.
    let host = f.outsider.handle;
    assert_eq!(core.id_in(host, pid, 0, 12345), Ok(12345));
    assert_eq!(core.id_out(host, pid, 0, f.child.host.0), f.child.host.0);
}

#[test]
fn a_negative_number_is_a_group_in_both_directions() {
    let f = family();
    let core = &f.world.core;
    let me = f.init.handle;
    let owner = Carries::PidOrGroup;
    assert_eq!(core.id_in(me, owner, 0, -2), Ok(-f.child.host.0));
    assert_eq!(core.id_out(me, owner, 0, -f.child.host.0), -2);
    assert_eq!(core.id_out(me, owner, 0, -f.beside.host.0), 0);
    assert_eq!(core.id_in(me, owner, 0, -1), Ok(-1));
    assert!(core.id_in(me, owner, 0, i32::MIN).is_err());
    assert!(core.id_in(me, owner, 0, -77).is_err());
    assert_eq!(core.id_out(me, owner, 0, i32::MIN), 0);
}

#[test]
fn a_selector_says_what_the_number_is() {
    let f = family();
    let core = &f.world.core;
    let me = f.init.handle;
    let tid = crate::limits::TID_MIN;
    assert_eq!(
        core.id_in(me, Carries::ByIdType(0), 0, 2),
        Ok(f.child.host.0)
    );
    assert_eq!(
        core.id_in(me, Carries::ByIdType(0), 8, tid),
        Ok(f.init.tid.0)
    );
    assert_eq!(
        core.id_in(me, Carries::ByIdType(0), 5, 1001),
        Ok(1001),
        "a uid"
    );
    assert_eq!(
        core.id_in(me, Carries::ByCpuWhich(0), 1, tid),
        Ok(f.init.tid.0)
    );
    assert_eq!(
        core.id_in(me, Carries::ByCpuWhich(0), 9, tid),
        Ok(f.init.tid.0)
    );
    assert_eq!(
        core.id_in(me, Carries::ByCpuWhich(0), 9, 2),
        Ok(f.child.host.0)
    );
    assert_eq!(core.id_in(me, Carries::ByCpuWhich(0), 3, 4), Ok(4), "a set");
    assert_eq!(core.id_in(me, Carries::ByPrioWhich(0), 2, 0), Ok(0));
    assert_eq!(
        core.id_in(me, Carries::ByPrioWhich(0), 1, 2),
        Ok(f.child.host.0)
    );
}

#[test]
fn the_clock_of_a_process_or_thread_has_its_number_in_it() {
    let f = family();
    let core = &f.world.core;
    let me = f.init.handle;
    let process = |id: i32| CLOCK_BITS | id;
    let thread = |id: i32| CLOCK_BIT | id;
    let tid = crate::limits::TID_MIN;
    let clock = Carries::Clock;
    assert_eq!(
        core.id_in(me, clock, 0, process(2)),
        Ok(process(f.child.host.0))
    );
    assert_eq!(
        core.id_out(me, clock, 0, process(f.child.host.0)),
        process(2)
    );
    assert_eq!(
        core.id_in(me, clock, 0, thread(tid)),
        Ok(thread(f.init.tid.0))
    );
    assert_eq!(core.id_out(me, clock, 0, thread(f.beside.tid.0)), CLOCK_BIT);
    assert!(core.id_in(me, clock, 0, process(77)).is_err());
    assert_eq!(core.id_in(me, clock, 0, 4), Ok(4), "CLOCK_MONOTONIC");
    assert_eq!(
        core.id_in(me, Carries::ByClockWhich(1), 1, tid),
        Ok(f.init.tid.0)
    );
    assert_eq!(core.id_in(me, Carries::ByClockWhich(1), 1, 0), Ok(0));
}

#[test]
fn kill_means_what_the_callers_instance_means() {
    let f = family();
    let core = &f.world.core;
    let me = f.child.handle;
    let plan = |pid| core.kill_plan(me, pid, 15);
    assert_eq!(plan(1), Ok(KillPlan::One(f.init.host)));
    assert_eq!(plan(2), Ok(KillPlan::One(f.child.host)));
    assert_eq!(plan(3), Ok(KillPlan::One(f.nested.host)));
    assert_eq!(plan(4), Err(KillError::NoSuch { pid: 4 }));
    assert_eq!(plan(0), Ok(KillPlan::OwnGroup));
    assert_eq!(plan(-2), Ok(KillPlan::Group(f.child.host)));
    assert_eq!(plan(-4), Err(KillError::NoSuch { pid: -4 }));
    assert_eq!(plan(i32::MIN), Err(KillError::NoSuch { pid: i32::MIN }));
    let everybody = core.instance_of(me);
    assert_eq!(
        plan(-1),
        Ok(KillPlan::Broadcast(Broadcast {
            instance: everybody
        }))
    );
    assert_eq!(
        core.kill_plan(f.outsider.handle, -1, 15),
        Ok(KillPlan::Native)
    );
    assert_eq!(
        core.kill_plan(f.nested.handle, 2, 15).unwrap_err().errno(),
        Errno::ESRCH
    );
}

#[test]
fn the_signal_number_is_checked_first_and_its_bounds_are_in() {
    let f = family();
    let check = |signum| f.world.core.kill_plan(f.init.handle, 99, signum);
    for bad in [-1, 129, i32::MIN] {
        assert_eq!(check(bad).unwrap_err().errno(), Errno::EINVAL);
    }
    for good in [0, 1, 128] {
        assert_eq!(check(good).unwrap_err().errno(), Errno::ESRCH);
    }
}

#[test]
fn init_is_protected_from_its_own_and_not_from_above() {
    let f = family();
    let core = &f.world.core;
    let to = |sender: Proc, target: Proc, signum, how| {
        core.signal_check(Some(sender.handle), target.handle, signum, how)
    };
    use Addressed::{Broadcast, Group, One};
    use SignalVerdict::{Deliver, DeliverIfCaught, Skip};
    assert_eq!(to(f.child, f.init, 15, One), Ok(DeliverIfCaught));
    assert_eq!(to(f.child, f.init, 9, One), Ok(Skip));
    assert_eq!(to(f.child, f.init, SIGSTOP, One), Ok(Skip));
    assert_eq!(to(f.init, f.init, 15, One), Ok(DeliverIfCaught));
    assert_eq!(to(f.child, f.init, 15, Group), Ok(Skip));
    assert_eq!(to(f.child, f.init, 15, Broadcast), Ok(Skip));
    assert_eq!(to(f.child, f.nested, 9, One), Ok(Deliver));
    assert_eq!(to(f.child, f.nested, 9, Broadcast), Ok(Deliver));
    assert_eq!(to(f.outsider, f.init, 9, One), Ok(Deliver));
    assert_eq!(
        core.signal_check(None, f.init.handle, 9, One),
        Ok(Deliver),
        "the kernel itself"
    );
    assert_eq!(to(f.init, f.child, 9, Broadcast), Ok(Deliver));
    assert_eq!(to(f.child, f.child, 9, Broadcast), Ok(Skip));
    assert_eq!(to(f.child, f.child, 9, Group), Ok(Deliver));
}

#[test]
fn nothing_outside_the_view_is_signalled() {
    let f = family();
    let core = &f.world.core;
    for target in [f.init, f.beside, f.outsider] {
        let to = |how| core.signal_check(Some(f.nested.handle), target.handle, 0, how);
        assert_eq!(to(Addressed::One).unwrap_err().errno(), Errno::ESRCH);
        assert_eq!(to(Addressed::Group), Ok(SignalVerdict::Skip));
        assert_eq!(to(Addressed::Broadcast), Ok(SignalVerdict::Skip));
    }
}

#[test]
fn wait_takes_numbers_of_the_callers_instance() {
    let mut f = family();
    f.world.exit(f.child);
    let core = &f.world.core;
    let plan = |pid| core.wait_plan(f.init.handle, pid);
    assert_eq!(plan(2), Ok(WaitPlan::Child(f.child.host)), "a zombie");
    assert_eq!(plan(-2), Ok(WaitPlan::Group(f.child.host)));
    assert_eq!(plan(0), Ok(WaitPlan::OwnGroup));
    assert_eq!(plan(-1), Ok(WaitPlan::Any));
    assert_eq!(plan(9).unwrap_err().errno(), Errno::ECHILD);
    assert_eq!(plan(i32::MIN).unwrap_err().errno(), Errno::ECHILD);
    assert_eq!(core.wait_plan(f.outsider.handle, 1), Ok(WaitPlan::Native));
}
