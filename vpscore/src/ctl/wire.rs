// SPDX-License-Identifier: BSD-2-Clause
//! The records of the management plane.

use crate::cbor::Text;
use crate::codes;
use crate::collections::List;
use crate::limits::MAXHOSTNAMELEN;
use crate::record;

/// The version of requests and answers.
pub const VERSION: u16 = 1;

codes! {
    /// What is asked for. 7 to 11 are kept for privileges, limits, snapshot, restore, migration.
    pub enum Op {
        /// Lists an instance and what is below it.
        List = 1,
        /// Shows one instance.
        Show = 2,
        /// Creates an instance.
        Create = 3,
        /// Destroys an instance with all that is below it.
        Destroy = 4,
        /// Stops an instance with all that is below it.
        Suspend = 5,
        /// Lets it go on.
        Resume = 6,
    }
}

record! {
    /// A request.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Request, check = Request::plausible {
        /// The version, [`VERSION`].
        0 => version: u16,
        /// What is asked for.
        1 => op: Op,
        /// Which instance, as the asker names it: names joined by dots, or "." for its own.
        2 => path: Text,
        /// Of a list: the path listed last; absent to begin.
        3 => after: Option<Text>,
        /// Of a creation: the largest PID of the new instance; absent for the default.
        4 => pid_max: Option<i32>,
    }
}

impl Request {
    fn plausible(&self) -> Result<(), u64> {
        let long = |text: &Text| text.as_str().len() >= MAXHOSTNAMELEN;
        if self.path.as_str().is_empty() || long(&self.path) {
            return Err(Self::path);
        }
        if let Some(after) = &self.after
            && (self.op != Op::List || long(after))
        {
            return Err(Self::after);
        }
        if self.pid_max.is_some() && self.op != Op::Create {
            return Err(Self::pid_max);
        }
        Ok(())
    }
}

codes! {
    /// The state of an instance, as it is shown.
    pub enum LifeState {
        /// It holds no process.
        Created = 1,
        /// Its init runs.
        Running = 2,
        /// It is being stopped.
        Suspending = 3,
        /// It is stopped.
        Suspended = 4,
        /// Its image is being taken.
        Snapshotting = 5,
        /// It is on its way to another host.
        Migrating = 6,
        /// It is being filled from an image.
        Restoring = 7,
        /// It is being torn down.
        Dying = 8,
        /// It is gone, but the kernel still holds something of it.
        Dead = 9,
    }
}

record! {
    /// What is told of one instance.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Entry {
        /// Its path from the asker; "." for the asker's own.
        0 => path: Text,
        /// Its state.
        1 => state: LifeState,
        /// Processes in it and below, zombies with them; 0 for the host, which counts its own.
        2 => procs: u64,
        /// The PID handed out last in it.
        3 => last_pid: i32,
        /// How often it was restored.
        4 => restores: u32,
        /// Whether a broken invariant was found in it.
        5 => fenced: bool,
    }
}

record! {
    /// An answer.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Answer {
        /// The version, [`VERSION`].
        0 => version: u16,
        /// 0, or the errno of FreeBSD that says why the request was refused.
        1 => errno: u16,
        /// Of a list or a show: instances, parents before children.
        2 => entries: List<Entry>,
        /// Of a list: whether there are more after the last of these.
        3 => more: bool,
    }
}

impl Answer {
    /// An answer that says no more than whether it was done.
    pub const fn plain(errno: u16) -> Self {
        Self {
            version: VERSION,
            errno,
            entries: List::new(),
            more: false,
        }
    }
}
