// SPDX-License-Identifier: BSD-2-Clause
//! Linux's `getpid` and fork + wait in nested PID namespaces, as a yardstick for `pid.rs`.
//!
//! A figure here is the machine's kernel, not this project: it only tells what the same work costs
//! elsewhere. Skipped where namespaces are not allowed.
use criterion::{Criterion, criterion_group, criterion_main};
use std::process::Command;
use std::time::Duration;

fn measure(depth: u32, what: &str, count: u64) -> Option<Duration> {
    let output = Command::new(env!("CARGO_BIN_EXE_pidns"))
        .args([&depth.to_string(), what, &count.to_string()])
        .output()
        .ok()?;
    let nanos = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn linux(c: &mut Criterion) {
    if measure(1, "getpid", 1).is_none() {
        eprintln!("PID namespaces are not allowed here; nothing measured");
        return;
    }
    let mut group = c.benchmark_group("linux-pidns");
    group.sample_size(10);
    for depth in [0, 1, 4] {
        for what in ["getpid", "fork"] {
            group.bench_function(format!("{what}/depth={depth}"), |b| {
                b.iter_custom(|count| measure(depth, what, count).unwrap_or_default());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, linux);
criterion_main!(benches);
