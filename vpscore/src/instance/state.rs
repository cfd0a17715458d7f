// SPDX-License-Identifier: BSD-2-Clause
//! The life cycle as a table: state and event give the next state, or a refusal.

/// What an instance was before it was stopped, and becomes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Live {
    /// It has no process.
    Created,
    /// It has an init.
    Running,
}

/// The state of an instance itself, whatever its ancestors are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It holds no process: none has entered yet, or its init has exited.
    Created,
    /// Its init runs.
    Running,
    /// It is being stopped; some threads may still run.
    Suspending {
        /// What it goes back to.
        from: Live,
    },
    /// All threads in it and below are stopped where they were.
    Suspended {
        /// What it goes back to.
        from: Live,
    },
    /// Suspended, and its image is being taken.
    Snapshotting {
        /// What it goes back to at last.
        from: Live,
    },
    /// It is the source of a live migration.
    Migrating {
        /// What it goes back to should the migration be aborted.
        from: Live,
        /// Whether its threads are stopped; they run during pre-copy.
        stopped: bool,
    },
    /// It is being filled from an image, or waits to learn whether it owns what it was sent.
    Restoring,
    /// It is being torn down.
    Dying,
    /// Its prison is gone; only what the kernel has not given back yet keeps the record.
    Dead,
}

/// What happens to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The first process enters and becomes its init.
    Start,
    /// Its init has exited and been reaped.
    Halted,
    /// Stop its threads.
    Suspend,
    /// Its threads, and those below it, are stopped.
    Stopped,
    /// A thread did not stop by the deadline; those that did go on again.
    StopFailed,
    /// Let its threads go on.
    Resume,
    /// Take its image.
    Snapshot,
    /// The image is taken, or given up.
    SnapshotDone,
    /// Begin to move it to another host.
    Migrate,
    /// For the migration: its threads, and those below it, are stopped.
    MigrateStopped,
    /// The migration failed before its commit point.
    MigrateAborted,
    /// The migration is past its commit point: the target owns the instance.
    MigrateCommitted,
    /// All of it has been restored, and it is this host's.
    Restored {
        /// What it was in the image.
        to: Live,
        /// Whether it is to stay stopped until it is resumed.
        suspended: bool,
    },
    /// The restore failed, or the instance stays with its source.
    RestoreFailed,
    /// Tear it down, with everything below it.
    Destroy,
    /// Its processes are gone and so is its prison.
    Drained,
}

/// Why the table has no next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// What the event asks for is so already.
    Already,
    /// The event does not fit the state.
    Invalid,
}

impl Live {
    const fn state(self) -> State {
        match self {
            Self::Created => State::Created,
            Self::Running => State::Running,
        }
    }
}

impl State {
    /// The table.
    ///
    /// # Errors
    /// [`Refusal`]; the state stays as it was.
    pub const fn next(self, event: Event) -> Result<Self, Refusal> {
        use Event as E;
        use Refusal::{Already, Invalid};
        use State as S;
        Ok(match (self, event) {
            (S::Created, E::Start) => S::Running,
            (S::Running, E::Start) => return Err(Already),

            (S::Running, E::Halted) => S::Created,
            (S::Suspending { .. }, E::Halted) => S::Suspending {
                from: Live::Created,
            },
            (S::Migrating { stopped: false, .. }, E::Halted) => S::Migrating {
                from: Live::Created,
                stopped: false,
            },
            (S::Created | S::Dying | S::Dead, E::Halted) => return Err(Already),

            (S::Created, E::Suspend) => S::Suspending {
                from: Live::Created,
            },
            (S::Running, E::Suspend) => S::Suspending {
                from: Live::Running,
            },
            (S::Suspending { .. } | S::Suspended { .. }, E::Suspend) => return Err(Already),
            (S::Suspending { from }, E::Stopped) => S::Suspended { from },
            (S::Suspending { from }, E::StopFailed) => from.state(),
            (S::Suspended { from }, E::Resume) => from.state(),
            (S::Created | S::Running, E::Resume) => return Err(Already),

            (S::Suspended { from }, E::Snapshot) => S::Snapshotting { from },
            (S::Snapshotting { .. }, E::Snapshot) => return Err(Already),
            (S::Snapshotting { from }, E::SnapshotDone) => S::Suspended { from },

            (S::Created, E::Migrate) => S::Migrating {
                from: Live::Created,
                stopped: false,
            },
            (S::Running, E::Migrate) => S::Migrating {
                from: Live::Running,
                stopped: false,
            },
            (S::Migrating { .. }, E::Migrate) => return Err(Already),
            (
                S::Migrating {
                    from,
                    stopped: false,
                },
                E::MigrateStopped,
            ) => S::Migrating {
                from,
                stopped: true,
            },
            (S::Migrating { stopped: true, .. }, E::MigrateStopped) => return Err(Already),
            (S::Migrating { from, .. }, E::MigrateAborted) => from.state(),
            (S::Migrating { stopped: true, .. }, E::MigrateCommitted) => S::Dying,

            (
                S::Restoring,
                E::Restored {
                    to,
                    suspended: true,
                },
            ) => S::Suspended { from: to },
            (
                S::Restoring,
                E::Restored {
                    to,
                    suspended: false,
                },
            ) => to.state(),
            (S::Restoring, E::RestoreFailed) => S::Dying,

            (S::Created | S::Running | S::Suspended { .. }, E::Destroy) => S::Dying,
            (S::Dying | S::Dead, E::Destroy | E::RestoreFailed) => return Err(Already),
            (S::Dying, E::Drained) => S::Dead,
            (S::Dead, E::Drained) => return Err(Already),
            _ => return Err(Invalid),
        })
    }

    /// Whether no operation is under way on it, so that one on an ancestor may begin.
    pub const fn at_rest(self) -> bool {
        matches!(self, Self::Created | Self::Running | Self::Suspended { .. })
    }

    /// Whether its threads, and those below it, are stopped or must not start.
    pub const fn stops(self) -> bool {
        match self {
            Self::Suspended { .. }
            | Self::Snapshotting { .. }
            | Self::Restoring
            | Self::Migrating { stopped: true, .. } => true,
            Self::Created
            | Self::Running
            | Self::Suspending { .. }
            | Self::Migrating { stopped: false, .. }
            | Self::Dying
            | Self::Dead => false,
        }
    }

    /// Every state there is, for tests that go through the whole table.
    pub const ALL: &[Self] = &[
        Self::Created,
        Self::Running,
        Self::Suspending {
            from: Live::Created,
        },
        Self::Suspending {
            from: Live::Running,
        },
        Self::Suspended {
            from: Live::Created,
        },
        Self::Suspended {
            from: Live::Running,
        },
        Self::Snapshotting {
            from: Live::Created,
        },
        Self::Snapshotting {
            from: Live::Running,
        },
        Self::Migrating {
            from: Live::Created,
            stopped: false,
        },
        Self::Migrating {
            from: Live::Running,
            stopped: false,
        },
        Self::Migrating {
            from: Live::Created,
            stopped: true,
        },
        Self::Migrating {
            from: Live::Running,
            stopped: true,
        },
        Self::Restoring,
        Self::Dying,
        Self::Dead,
    ];
}

impl Event {
    /// Every event there is, for tests that go through the whole table.
    pub const ALL: &[Self] = &[
        Self::Start,
        Self::Halted,
        Self::Suspend,
        Self::Stopped,
        Self::StopFailed,
        Self::Resume,
        Self::Snapshot,
        Self::SnapshotDone,
        Self::Migrate,
        Self::MigrateStopped,
        Self::MigrateAborted,
        Self::MigrateCommitted,
        Self::Restored {
            to: Live::Created,
            suspended: false,
        },
        Self::Restored {
            to: Live::Running,
            suspended: false,
        },
        Self::Restored {
            to: Live::Created,
            suspended: true,
        },
        Self::Restored {
            to: Live::Running,
            suspended: true,
        },
        Self::RestoreFailed,
        Self::Destroy,
        Self::Drained,
    ];
}
