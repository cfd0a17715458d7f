// SPDX-License-Identifier: BSD-2-Clause
//! What a debugger sets of a thread that is not in a system call (`ptrace(2)`, `PT_SETREGS`, 15.0). What it
//! sees is at [`Thread::regs`](super::proc::Thread::regs) and [`Kern::view`].

use super::Kern;
use super::types::Tid;
use crate::guest::Regs;

impl Kern {
    /// Sets the registers of a thread; false where there is no such thread or it is in a system call, whose
    /// return would write over them.
    pub fn set_regs(&mut self, td: Tid, regs: Regs) -> bool {
        let thread = self.threads.get_mut(&td);
        let Some(thread) = thread.filter(|thread| thread.frame.is_none()) else {
            return false;
        };
        thread.regs = regs;
        true
    }
}
