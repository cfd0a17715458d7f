// SPDX-License-Identifier: BSD-2-Clause
//! Linux's own figures, to stand beside the core's: `getpid` and fork + wait in PID namespaces
//! nested so deep.
//!
//! `pidns DEPTH getpid|fork COUNT` enters DEPTH new PID namespaces, one in the other, does the
//! operation COUNT times in the innermost, and prints the nanoseconds that took. Needs root.
#[cfg(target_os = "linux")]
fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize| args.get(i).and_then(|a| a.parse::<u64>().ok());
    let (Some(depth), Some(what), Some(count)) = (number(1), args.get(2), number(3)) else {
        return Err("usage: pidns DEPTH getpid|fork COUNT".into());
    };
    let operation = match what.as_str() {
        "getpid" => getpid,
        "fork" => fork_and_wait,
        other => return Err(format!("\"{other}\" is no operation; use getpid or fork")),
    };
    linux::nested(depth, &|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "real time is what is measured here"
        )]
        let start = std::time::Instant::now();
        for _ in 0..count {
            operation();
        }
        println!("{}", start.elapsed().as_nanos());
    })
}

#[cfg(target_os = "linux")]
use linux::{fork_and_wait, getpid};

#[cfg(target_os = "linux")]
mod linux {
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, fork};

    /// Asks the kernel for the caller's PID; the C library keeps no copy of it.
    pub(crate) fn getpid() {
        std::hint::black_box(nix::unistd::getpid());
    }

    /// Makes a child that exits at once, and reaps it.
    pub(crate) fn fork_and_wait() {
        // SAFETY: the process has one thread, so the child may do anything; it only exits.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => std::process::exit(0),
            Ok(ForkResult::Parent { child }) => drop(waitpid(child, None)),
            Err(_) => {}
        }
    }

    /// Runs `f` as PID 1 of the innermost of `depth` new PID namespaces.
    pub(crate) fn nested(depth: u64, f: &dyn Fn()) -> Result<(), String> {
        if depth == 0 {
            f();
            return Ok(());
        }
        let failed = |e: nix::Error| format!("PID namespace at depth {depth}: {e}; run as root");
        unshare(CloneFlags::CLONE_NEWPID).map_err(failed)?;
        // SAFETY: the process has one thread, so the child may do anything.
        match unsafe { fork() }.map_err(failed)? {
            ForkResult::Child => {
                let status = i32::from(nested(depth - 1, f).is_err());
                std::process::exit(status);
            }
            ForkResult::Parent { child } => {
                waitpid(child, None).map_err(failed)?;
                Ok(())
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> Result<(), String> {
    Err("PID namespaces are Linux's; there is nothing to measure here".into())
}
