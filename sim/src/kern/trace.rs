// SPDX-License-Identifier: BSD-2-Clause
//! What the kernel tells about what it does.

use super::types::{PrisonId, ProcId, SysResult, Tid};

/// One thing that happened. Arguments and results are those that the program sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceItem {
    /// A thread enters a system call.
    Enter {
        /// The thread.
        tid: Tid,
        /// Number of the call.
        code: u32,
        /// The argument registers.
        args: [u64; 6],
    },
    /// A system call returns to the program.
    Return {
        /// The thread.
        tid: Tid,
        /// Number of the call.
        code: u32,
        /// What the program gets.
        result: SysResult,
    },
    /// A system call sleeps.
    Block {
        /// The thread.
        tid: Tid,
        /// Why, as `ps -o wchan` shows it.
        wmesg: &'static str,
    },
    /// A sleeping thread can run again.
    Wakeup {
        /// The thread.
        tid: Tid,
    },
    /// A signal takes its effect.
    Signal {
        /// The process.
        p: ProcId,
        /// The signal.
        signo: i32,
        /// The handler, or 0 for the default action.
        handler: u64,
    },
    /// A process was forked.
    Fork {
        /// The parent.
        parent: ProcId,
        /// The child.
        child: ProcId,
    },
    /// A process executes a program.
    Exec {
        /// The process.
        p: ProcId,
        /// The program's path.
        path: String,
    },
    /// A process exits.
    Exit {
        /// The process.
        p: ProcId,
        /// Its exit value.
        status: i32,
        /// The signal it dies of, or 0.
        signo: i32,
    },
    /// A zombie was waited for.
    Reap {
        /// The process that was.
        p: ProcId,
    },
    /// A process wrote to its console.
    Console {
        /// The process.
        p: ProcId,
        /// Its prison.
        prison: PrisonId,
        /// What it wrote.
        text: Vec<u8>,
    },
}
