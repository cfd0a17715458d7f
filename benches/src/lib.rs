// SPDX-License-Identifier: BSD-2-Clause
//! What the benches share. The benches themselves are in `benches/`, one file a subject; each
//! states its sizes, its key distribution and what a worse figure would mean.
//!
//! `cargo bench -p benches` builds the core without its checks; building the whole workspace at
//! once turns them on for everyone, and then nothing is measured ([`assert_unchecked`]).

pub mod host;

/// Refuses to measure a core that checks its invariants after every change.
///
/// # Panics
/// Where it does and this is a measurement, not a test run of the bench.
pub fn assert_unchecked() {
    let measuring = std::env::args().any(|arg| arg == "--bench");
    assert!(
        !(measuring && vpscore::CHECKED),
        "the core was built with its checks: run `cargo bench -p benches`"
    );
}

/// How much of a core's time `run` takes, in the thread that calls: what others do at the same time does
/// not count, but for the caches and the units of a core that they share with it.
///
/// # Panics
/// Where the system has no such clock.
pub fn core_time(run: impl FnOnce()) -> std::time::Duration {
    let now = || {
        let at = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
        std::time::Duration::from(at.expect("a clock of the thread"))
    };
    let start = now();
    run();
    now().saturating_sub(start)
}

/// How long `run` takes.
pub fn timed(run: impl FnOnce()) -> std::time::Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "real time is what is measured here"
    )]
    let start = std::time::Instant::now();
    run();
    start.elapsed()
}
