// SPDX-License-Identifier: BSD-2-Clause
//! TCP: how fast it runs beside another, how it does on a link that loses, how long a suite of
//! scripts takes. `cargo bench -p benches --bench tcp -- goodput` does one of them only.

mod goodput;
mod loss;
mod ours;
mod smol;
mod suite;

use criterion::Criterion;

/// For all that runs here. The system's gives the pages of freed frames back to the kernel after every
/// burst, which then costs more than all else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    benches::assert_unchecked();
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let tables: [(&str, fn()); 2] = [("loss", loss::table), ("suite", suite::table)];
    let others = tables.map(|(name, _)| name);
    if !wanted.iter().any(|arg| others.contains(&arg.as_str())) {
        let mut criterion = Criterion::default().configure_from_args();
        goodput::bench(&mut criterion);
        criterion.final_summary();
    }
    for (name, table) in tables {
        if wanted.is_empty() || wanted.iter().any(|arg| arg == name) {
            table();
        }
    }
}
