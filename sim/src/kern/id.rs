// SPDX-License-Identifier: BSD-2-Clause
//! Which id comes next (`fork_findpid`, `sys/kern/kern_fork.c`; `tid_alloc`,
//! `sys/kern/kern_thread.c`, both 15.0).

use super::Kern;
use super::types::{Pid, Tid};

/// Thread ids begin above this (`NO_PID`, `sys/proc.h`).
pub const NO_PID: i32 = 100_000;

/// Where the search begins again when it has passed the largest id. `fork_findpid` goes back to 2
/// since 13.0; until 12.x it was 100.
const PID_AGAIN: i32 = 2;

impl Kern {
    /// Whether anything carries the id: a process, a group, a session, a reaper subtree.
    pub fn id_named(&self, id: Pid) -> bool {
        self.pids.contains_key(&id)
            || self.pgrps.contains_key(&id)
            || self.sessions.contains_key(&id)
            || self.procs.values().any(|proc| proc.reapsubtree == id)
    }

    /// The next process id; `None` where every one is taken.
    pub(crate) fn find_pid(&mut self) -> Option<Pid> {
        let max = self.config.pid_max;
        let mut trial = self.lastpid + 1;
        for _ in 0..=max {
            if trial >= max {
                trial = PID_AGAIN;
            }
            if !self.id_named(Pid(trial)) {
                self.lastpid = trial;
                return Some(Pid(trial));
            }
            trial += 1;
        }
        None
    }

    /// The next thread id; `None` where every one is taken.
    pub(crate) fn find_tid(&mut self) -> Option<Tid> {
        for _ in 0..=self.threads.len() {
            self.lasttid = match self.lasttid.checked_add(1) {
                Some(next) => next,
                None => NO_PID + 1,
            };
            if !self.threads.contains_key(&Tid(self.lasttid)) {
                return Some(Tid(self.lasttid));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Kern};
    use super::*;

    #[test]
    fn after_the_largest_id_the_search_begins_again_at_the_first_after_init() {
        let mut kern = Kern::new(Config::default());
        let max = kern.config().pid_max;
        kern.lastpid = max - 2;
        assert_eq!(kern.find_pid(), Some(Pid(max - 1)));
        assert_eq!(kern.find_pid(), Some(Pid(2)));
        assert_eq!(kern.find_pid(), Some(Pid(3)));
    }
}
