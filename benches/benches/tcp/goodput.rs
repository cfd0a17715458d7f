// SPDX-License-Identifier: BSD-2-Clause
//! One gibibyte through one connection on a clean link, beside smoltcp on its loopback device.
//!
//! Both run in one thread, in memory, under a clock of their own, with packets of the same length; a
//! program writes and reads 64 KiB at a time. What each does for its bytes:
//!
//! * ours, over `lo0`: one stack that sends to itself, as FreeBSD's loopback does without checksums;
//!   routing table and socket layer; time stamps, SACK, CUBIC, buffers that grow by themselves up
//!   to FreeBSD's 2 MiB.
//! * ours, between hosts: the same with two stacks, Ethernet frames and neighbours, and with
//!   checksums made and looked at.
//! * smoltcp: one interface that sends to itself in Ethernet frames; neither time stamps nor
//!   congestion control; buffers of 64 KiB, the size in its own examples; checksums as the table
//!   says (its loopback device, as it comes, has them off).
//!
//! Like is compared with like where both make checksums or neither does. What is measured is the time
//! of a core that each spends: the machine has other things to do. The two run in turn, and what
//! counts is the ratio of one turn, of which the median is told. A fall of the ratio means that the
//! path of a segment has become longer.

use benches::core_time;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::cell::RefCell;
use std::time::Duration;

use super::ours::{ETHER, Ours};
use super::smol::Smol;

/// Bytes of a transfer.
const TOTAL: usize = 1 << 30;
/// Bytes that a program writes or reads in one call.
const PIECE: usize = 1 << 16;
/// Samples of each: the fewest that criterion takes.
const SAMPLES: usize = 10;

/// What is compared.
#[derive(Clone, Copy)]
struct Row {
    /// Over `lo0`, not between hosts.
    lo0: bool,
    /// Longest IP packet, in bytes.
    mtu: usize,
    /// Whether smoltcp makes and looks at checksums.
    checksums: bool,
}

const fn row(lo0: bool, mtu: usize, checksums: bool) -> Row {
    Row {
        lo0,
        mtu,
        checksums,
    }
}

const ROWS: [Row; 6] = [
    row(true, 16_384, false),
    row(true, 65_535, false),
    row(false, 1500, true),
    row(false, 65_521, true),
    row(false, 1500, false),
    row(false, 65_521, false),
];

impl Row {
    fn name(self) -> String {
        let ours = if self.lo0 { "lo0" } else { "hosts" };
        let sums = if self.checksums { "checksums" } else { "stock" };
        format!("{ours}-{}-{sums}", self.mtu)
    }

    /// Whether both make checksums or neither does.
    fn alike(self) -> bool {
        self.checksums != self.lo0
    }

    /// One turn: ours, then theirs.
    fn turn(self) -> (Duration, Duration) {
        let mut chunk = vec![0x5a; PIECE];
        let mut ours = if self.lo0 {
            Ours::lo0(self.mtu as u32)
        } else {
            Ours::hosts(self.mtu + ETHER)
        };
        let mine = core_time(|| ours.transfer(TOTAL, &chunk));
        let mut smol = Smol::new(self.mtu + ETHER, self.checksums, PIECE);
        let theirs = core_time(|| smol.transfer(TOTAL, &mut chunk));
        (mine, theirs)
    }
}

/// Measures both with each row, and prints the table.
pub(crate) fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("goodput");
    group.throughput(Throughput::BytesDecimal(TOTAL as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    group.warm_up_time(Duration::from_millis(1));
    group.measurement_time(Duration::from_secs(1));
    let mut table = Vec::new();
    for row in ROWS {
        let turns = RefCell::new(Vec::new());
        let run = |iterations: u64, of: fn(&(Duration, Duration)) -> Duration| {
            let new: Vec<_> = (0..iterations).map(|_| row.turn()).collect();
            turns.borrow_mut().extend_from_slice(&new);
            new.iter().map(of).sum::<Duration>()
        };
        group.bench_function(BenchmarkId::new("ours", row.name()), |b| {
            b.iter_custom(|n| run(n, |turn| turn.0));
        });
        group.bench_function(BenchmarkId::new("smoltcp", row.name()), |b| {
            b.iter_custom(|n| run(n, |turn| turn.1));
        });
        table.push((row, turns.into_inner()));
    }
    group.finish();
    print(&table);
}

fn print(table: &[(Row, Vec<(Duration, Duration)>)]) {
    println!("goodput of one connection, {} MiB, one core", TOTAL >> 20);
    println!(
        "| ours | longest packet | smoltcp's checksums | alike | ours, best MiB/s | smoltcp, best MiB/s | ratio, median |"
    );
    println!("|---|---|---|---|---|---|---|");
    let rate =
        |took: Option<Duration>| (TOTAL >> 20) as f64 / took.unwrap_or_default().as_secs_f64();
    for (row, turns) in table.iter().filter(|(_, turns)| !turns.is_empty()) {
        let mut ratios: Vec<f64> = turns
            .iter()
            .map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {} | {} | {} | {} | {:.0} | {:.0} | {:.2} |",
            if row.lo0 { "lo0" } else { "two hosts" },
            row.mtu,
            if row.checksums { "on" } else { "off" },
            if row.alike() { "yes" } else { "no" },
            rate(turns.iter().map(|turn| turn.0).min()),
            rate(turns.iter().map(|turn| turn.1).min()),
            ratios.get(ratios.len() / 2).copied().unwrap_or_default(),
        );
    }
}
