// SPDX-License-Identifier: BSD-2-Clause
//! A core full of processes.

use model_tests::host_kernel::{HostKernel, HostProc};
use model_tests::host_lock::HostLocks;
use vpscore::instance::{Birth, Name};
use vpscore::kpi::Kpi;
use vpscore::state::{Config, Core};
use vpscore::types::{InstanceId, ViewId};

/// Where the generator of keys and hash seeds starts.
pub const SEED: u64 = 0x0076_7073;

/// How many keys are drawn before a measurement, to be gone through in turn.
pub const KEYS: usize = 1 << 16;

/// A core and its kernel, with an instance below an instance to a depth, and processes in the
/// innermost.
pub struct Host {
    /// The core, under locks that check nothing.
    pub core: Core<HostLocks>,
    /// Its kernel.
    pub kernel: HostKernel,
    /// The innermost instance.
    pub inner: InstanceId,
    /// The processes in it, its init first.
    pub procs: Vec<HostProc>,
}

impl Host {
    /// `procs` processes at `depth`, in spaces whose PIDs end at `pid_max`. The instances in between
    /// hold none of their own.
    ///
    /// # Panics
    /// Where memory is short.
    pub fn new(depth: usize, procs: usize, pid_max: i32) -> Self {
        let mut kernel = HostKernel::new(SEED);
        let config = Config {
            procs_max: procs + 64,
            threads_max: procs + 64,
        };
        let core = Core::create(&mut kernel, config).expect("memory");
        let mut inner = InstanceId::VPS0;
        for _ in 0..depth {
            let name = Name::parse(b"a").expect("a name");
            inner = core
                .instance_create(&mut kernel, inner, name, Birth::Empty, pid_max)
                .expect("an instance");
        }
        let mut host = Self {
            core,
            kernel,
            inner,
            procs: Vec::with_capacity(procs),
        };
        let init = host.kernel.make();
        let entered = host
            .core
            .attach_reserve(&mut host.kernel, init.handle, inner)
            .expect("it enters");
        let _ = host
            .core
            .attach_commit(entered, init.handle, init.host, init.tid);
        host.procs.push(init);
        while host.procs.len() < procs {
            let child = host.fork();
            host.procs.push(child);
        }
        host
    }

    /// A child of init.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn fork(&mut self) -> HostProc {
        let child = self.kernel.make();
        let init = self.procs[0].handle;
        let reserved = self.core.fork_reserve(&mut self.kernel, init);
        let reserved = reserved.expect("a fork");
        let _ = self
            .core
            .fork_commit(reserved, child.handle, child.host, child.tid);
        child
    }

    /// From the exit of a process to the end of its zombie.
    pub fn end(&mut self, proc: HostProc) {
        self.core.proc_exit(&mut self.kernel, proc.handle);
        self.core.proc_reap(proc.handle, proc.host, None);
    }

    /// The PID of a process in the innermost instance.
    pub fn pid(&self, proc: HostProc) -> ViewId {
        self.core.own_pid(proc.handle, proc.host)
    }

    /// [`KEYS`] of the processes, drawn uniformly with repetition.
    pub fn keys(&mut self) -> Vec<HostProc> {
        let count = self.procs.len() as u64;
        let kernel = &mut self.kernel;
        // 2^64 is so much larger than the count that the bias is below 2^-47.
        let drawn = (0..KEYS).map(|_| self.procs[(kernel.random() % count) as usize]);
        drawn.collect()
    }
}
