// SPDX-License-Identifier: BSD-2-Clause
//! PID lookup and allocation in the core.
//!
//! **Sizes**: 10^3 and 10^5 live processes, all in the innermost instance, at depth 1 and 4; PIDs
//! end at 1048575, so that 10^5 fit. **Keys**: 65536 processes drawn uniformly with repetition before
//! the measurement (SplitMix64, seed `host::SEED`), gone through in turn; the order of handles says
//! nothing about that of keys. **Locks**: parking_lot's, uncontended; one thread.
//!
//! * `getpid`: the PID of the caller from its handle. One hash chain and one field, so the same at
//!   every depth; a rise between sizes is cache misses, or chains that have grown.
//! * `to_view`: the number under which init sees a process named by the kernel's id (`getppid`,
//!   `wait4`). A hash chain for each of viewer and target and one array cell.
//! * `from_view`: the kernel's id for a number that init says (`kill`): the viewer's hash chain and
//!   two array cells. If it grows with depth, somebody walks the tree on the read path.
//! * `fork+exit+reap`: reserve, commit, exit, reap of a child of init among the others, the sweep of
//!   its number included. Grows with depth, a number a level; should not grow with the size.
//! * `crowded`: the same with all but 256 numbers of the space in use, the free ones uniformly
//!   scattered, at depth 1: the search for a free number looks at about *n*/256 cells.

use benches::assert_unchecked;
use benches::host::Host;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vpscore::kpi::Kpi;
use vpscore::limits::PID_MAX_WIDE;
use vpscore::view::IdKind;

const SIZES: [usize; 2] = [1_000, 100_000];
const DEPTHS: [usize; 2] = [1, 4];

fn lookup(c: &mut Criterion, depth: usize, size: usize) {
    let mut host = Host::new(depth, size, PID_MAX_WIDE);
    let keys = host.keys();
    let numbers: Vec<_> = keys.iter().map(|key| host.pid(*key)).collect();
    let (core, init) = (&host.core, host.procs[0].handle);
    let id = format!("depth={depth}/procs={size}");
    let mut turn = keys.iter().cycle();
    c.bench_function(&format!("pid/getpid/{id}"), |b| {
        b.iter(|| {
            turn.next()
                .map(|key| core.own_pid(black_box(key.handle), key.host))
        });
    });
    let mut turn = keys.iter().cycle();
    c.bench_function(&format!("pid/to_view/{id}"), |b| {
        b.iter(|| {
            turn.next()
                .map(|key| core.id_to_view(init, IdKind::Pid, black_box(key.host)))
        });
    });
    let mut turn = numbers.iter().cycle();
    c.bench_function(&format!("pid/from_view/{id}"), |b| {
        b.iter(|| {
            turn.next()
                .map(|number| core.id_from_view(init, IdKind::Pid, black_box(*number)))
        });
    });
}

fn pid(c: &mut Criterion) {
    assert_unchecked();
    for depth in DEPTHS {
        for size in SIZES {
            lookup(c, depth, size);
        }
    }
    let mut group = c.benchmark_group("pid/fork+exit+reap");
    for depth in DEPTHS {
        for size in SIZES {
            let mut host = Host::new(depth, size, PID_MAX_WIDE);
            group.bench_function(format!("depth={depth}/procs={size}"), |b| {
                b.iter(|| {
                    let child = host.fork();
                    host.end(child);
                });
            });
        }
    }
    for size in SIZES {
        let end = i32::try_from(size).expect("a small number") + 1;
        let mut host = Host::new(1, size, end);
        for _ in 0..256 {
            let others = host.procs.len() as u64 - 1;
            let victim = 1 + (host.kernel.random() % others) as usize;
            let victim = host.procs.swap_remove(victim);
            host.end(victim);
        }
        group.bench_function(BenchmarkId::new("crowded", size), |b| {
            b.iter(|| {
                let child = host.fork();
                host.end(child);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pid);
criterion_main!(benches);
