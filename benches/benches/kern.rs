// SPDX-License-Identifier: BSD-2-Clause
//! What the emulated kernel's own work costs in real time: a null system call, and a fork with its
//! exit and wait. One processor, no hooks; a rise means that every scenario gets slower.

use criterion::{Criterion, criterion_group, criterion_main};
use sim::guest::assemble;
use sim::kern::hooks::NoHooks;
use sim::kern::proc::Ucred;
use sim::kern::{Config, Kern};

const GETPID: &str = "again: sys getpid\njmp again";

const FORK_WAIT: &str = "
again:  sys fork -> r8
        beq r1, 1, child
        sys wait r8 0 0
        jmp again
child:  exit 0
";

fn boot(source: &str) -> Kern {
    let config = Config {
        ncpu: 1,
        ..Config::default()
    };
    let mut kern = Kern::new(config);
    let program = assemble(source, &[]).expect("the program is right");
    kern.install_program("/bin/bench", program);
    let spawned = kern.spawn(&mut NoHooks, "/bin/bench", &[], Ucred::default());
    spawned.expect("the program is installed");
    kern
}

/// Runs so many slices.
fn step(kern: &mut Kern, slices: usize) {
    for _ in 0..slices {
        let Some(next) = kern.next_event() else {
            return;
        };
        let now = next.max(kern.now());
        kern.run_slice(now, &mut NoHooks);
    }
    kern.take_trace();
}

fn bench(c: &mut Criterion) {
    benches::assert_unchecked();
    let mut kern = boot(GETPID);
    // A slice is one call and the instructions up to the next.
    c.bench_function("kern/getpid", |b| b.iter(|| step(&mut kern, 1)));
    let mut kern = boot(FORK_WAIT);
    // fork, wait, the child's exit, the wait's return: one turn of the loop is about four slices.
    c.bench_function("kern/fork+exit+wait", |b| b.iter(|| step(&mut kern, 4)));
}

criterion_group!(benches, bench);
criterion_main!(benches);
