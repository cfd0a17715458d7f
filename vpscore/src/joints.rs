// SPDX-License-Identifier: BSD-2-Clause
//! Where a kernel calls the core, in which context, and what FreeBSD has there.
//!
//! A joint is named after the hook of FreeBSD at which a module can call it. One that may sleep is
//! called with no lock of the kernel's held and takes the kernel's [`crate::kpi::Kpi`]; one that may
//! not is called from a handler, a MAC check or with a lock held, and gets none, so that it cannot
//! call back. The simulator and the module both call these and no others.

/// Whether a joint may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// It may: it allocates, or asks the kernel.
    Sleepable,
    /// It may not: it neither allocates nor asks.
    NonSleepable,
}

/// What a joint does to the core's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads; any number run at once.
    Reads,
    /// It changes something.
    Writes,
}

/// One joint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joint {
    /// The method of [`crate::state::Core`].
    pub name: &'static str,
    /// The hook, or the function in which a kernel of its own calls it.
    pub hook: &'static str,
    /// Its source file in FreeBSD 15.0.
    pub file: &'static str,
    /// Whether it may sleep.
    pub context: Context,
    /// What it does to the core's state.
    pub effect: Effect,
}

macro_rules! joints {
    ($($name:ident, $hook:literal, $file:literal, $context:ident, $effect:ident;)*) => {
        /// All joints.
        pub const JOINTS: &[Joint] = &[$(Joint {
            name: stringify!($name),
            hook: $hook,
            file: $file,
            context: Context::$context,
            effect: Effect::$effect,
        },)*];

        /// Names every method, so that the table cannot list one that is not there.
        #[cfg(test)]
        macro_rules! each_joint {
            ($each:ident) => { $($each!($name, $context);)* };
        }
    };
}

joints! {
    fork_reserve, "before sys_fork, sys_vfork, sys_rfork, sys_pdfork", "kern_fork.c", Sleepable, Writes;
    fork_commit, "process_fork", "kern_fork.c", NonSleepable, Writes;
    fork_abort, "after a failed fork1", "kern_fork.c", NonSleepable, Writes;
    host_id_taken, "process_fork, for the host's processes", "kern_fork.c", NonSleepable, Writes;
    thread_reserve, "before sys_thr_new, sys_thr_create", "kern_thr.c", Sleepable, Writes;
    thread_commit, "thread_create, with the process locked", "kern_thr.c", NonSleepable, Writes;
    thread_abort, "after a failed thread_create", "kern_thr.c", NonSleepable, Writes;
    thread_exit, "thread_dtor", "kern_thread.c", NonSleepable, Writes;
    attach_reserve, "before sys_jail_attach", "kern_jail.c", Sleepable, Writes;
    attach_commit, "after sys_jail_attach", "kern_jail.c", NonSleepable, Writes;
    attach_abort, "after a failed sys_jail_attach", "kern_jail.c", NonSleepable, Writes;
    proc_restore, "before fork1, for an image", "kern_fork.c", Sleepable, Writes;
    thread_restore, "before thread_create, for an image", "kern_thr.c", Sleepable, Writes;
    proc_exit, "process_exit", "kern_exit.c", Sleepable, Writes;
    proc_reap, "process_dtor", "kern_proc.c", NonSleepable, Writes;
    own_pid, "sys_getpid", "kern_prot.c", NonSleepable, Reads;
    id_to_view, "wherever an id goes out", "syscalls.master", NonSleepable, Reads;
    id_from_view, "wherever an id comes in", "syscalls.master", NonSleepable, Reads;
    id_in, "wherever the table of crossings says so", "syscalls.master", NonSleepable, Reads;
    id_out, "wherever the table of crossings says so", "syscalls.master", NonSleepable, Reads;
    kill_plan, "sys_kill", "kern_sig.c", NonSleepable, Reads;
    signal_check, "mac_proc_check_signal", "kern_prot.c", NonSleepable, Reads;
    wait_plan, "sys_wait4", "kern_exit.c", NonSleepable, Reads;
    visible, "mac_proc_check_see", "kern_prot.c", NonSleepable, Reads;
    procs_after, "killpg1, sysctl_kern_proc", "kern_sig.c", NonSleepable, Reads;
    reaper_of, "proc_realparent, exit1", "kern_exit.c", NonSleepable, Reads;
    instance_of, "every check by instance", "kern_prot.c", NonSleepable, Reads;
    init_of, "exit1", "kern_exit.c", NonSleepable, Reads;
    priv_check, "mac_priv_check", "kern_priv.c", NonSleepable, Reads;
    charge, "racct_add", "kern_racct.c", NonSleepable, Writes;
    release, "racct_sub", "kern_racct.c", NonSleepable, Writes;
    instance_create, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
    instance_suspend, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
    instance_resume, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
    instance_destroy, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
    migrate_begin, "ioctl on /dev/vps", "kern_jail.c", NonSleepable, Writes;
    migrate_stop, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
    migrate_abort, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
    migrate_release, "ioctl on /dev/vps", "kern_jail.c", Sleepable, Writes;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Core;
    use crate::state::tests::{Kernel, StdLocks};
    use std::collections::BTreeSet;

    #[test]
    fn every_joint_is_a_method_and_the_sleepable_ones_are_those_that_take_the_kpi() {
        type C = Core<StdLocks>;
        let (mut sleepable, mut others) = (0, 0);
        macro_rules! exists {
            // A method that is generic over a Kpi can be named with one, and no other can.
            (id_to_view, NonSleepable) => {
                let _ = C::id_to_view::<crate::types::ProcHandle>;
                others += 1;
            };
            (id_from_view, NonSleepable) => {
                let _ = C::id_from_view::<crate::types::ProcHandle>;
                others += 1;
            };
            (id_in, NonSleepable) => {
                let _ = C::id_in::<crate::types::ProcHandle>;
                others += 1;
            };
            (id_out, NonSleepable) => {
                let _ = C::id_out::<crate::types::ProcHandle>;
                others += 1;
            };
            (visible, NonSleepable) => {
                let _ = C::visible::<crate::types::ProcHandle>;
                others += 1;
            };
            ($name:ident, Sleepable) => {
                let _ = C::$name::<Kernel>;
                sleepable += 1;
            };
            ($name:ident, NonSleepable) => {
                let _ = C::$name;
                others += 1;
            };
        }
        each_joint!(exists);
        assert_eq!(sleepable + others, JOINTS.len());
        let marked = |context| JOINTS.iter().filter(|j| j.context == context).count();
        assert_eq!(marked(Context::Sleepable), sleepable);
    }

    #[test]
    fn a_joint_that_only_reads_does_not_sleep_and_none_is_listed_twice() {
        for joint in JOINTS {
            assert!(joint.effect == Effect::Writes || joint.context == Context::NonSleepable);
        }
        let names: BTreeSet<_> = JOINTS.iter().map(|joint| joint.name).collect();
        assert_eq!(names.len(), JOINTS.len());
    }
}
