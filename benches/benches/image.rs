// SPDX-License-Identifier: BSD-2-Clause
//! Writing and reading a snapshot image, digest and check sums included.
//!
//! * `records`: an image of one instance with a nested one, with every kind of record once or twice
//!   (`model_tests::image::sample`). A rise means dearer metadata: the pause of a migration.
//! * `pages`: the same with 16 MiB of memory: half of the pages random (SplitMix64, seed
//!   `host::SEED`), a quarter equal to the page 64 places before, a quarter zeros, in turn. Bytes per
//!   second are those of the memory. A fall means longer pre-copy rounds.
//!
//! Written bytes are counted and dropped; the reader is fed the whole image at once.

use benches::assert_unchecked;
use benches::host::SEED;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model_tests::host_kernel::HostKernel;
use model_tests::image::{self, Item};
use std::convert::Infallible;
use vpscore::image::{Object, PAGE_SIZE, Reader, Sink, WriteError, Writer};
use vpscore::kpi::Kpi;

/// Counts bytes.
struct Count(u64);

impl Sink for Count {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

fn encode(items: &[Item]) -> Result<u64, WriteError<Infallible>> {
    let Some(Item::Header(header)) = items.first() else {
        panic!("an image begins with its header");
    };
    let mut writer = Writer::new(Count(0), header)?;
    for item in items {
        match item {
            Item::Header(_) | Item::Skipped(_) | Item::End(_) => {}
            Item::Object(_, object) => {
                image::put(&mut writer, object)?;
            }
            Item::Page(_, pindex, bytes) => writer.page(*pindex, bytes)?,
            Item::Zeros(_, pindex, count) => {
                for n in 0..u64::from(*count) {
                    writer.page(pindex + n, &[0; PAGE_SIZE])?;
                }
            }
            Item::Data(_, stream, bytes) => writer.stream(*stream, bytes)?,
        }
    }
    writer.finish().map(|count| count.0)
}

fn decode(mut bytes: &[u8]) -> usize {
    let mut reader = Reader::new();
    let mut events = 0;
    while let Ok(Some(_)) = reader.feed(&mut bytes) {
        events += 1;
    }
    events
}

/// Gives the first memory object `count` pages.
fn with_pages(items: Vec<Item>, count: u64) -> Vec<Item> {
    let mut random = HostKernel::new(SEED);
    let mut page = |at: u64| -> Option<Box<[u8; PAGE_SIZE]>> {
        let bytes = match at % 4 {
            0 | 1 => {
                let mut bytes = Box::new([0; PAGE_SIZE]);
                for word in bytes.chunks_exact_mut(8) {
                    word.copy_from_slice(&random.random().to_le_bytes());
                }
                bytes
            }
            2 => Box::new([at.checked_div(64)? as u8 | 1; PAGE_SIZE]),
            _ => return None,
        };
        Some(bytes)
    };
    let mut out = Vec::new();
    let mut filled = None;
    for mut item in items {
        let memory = match &mut item {
            Item::Object(id, object) => match &mut **object {
                Object::VmObject(object) if filled.is_none() => {
                    object.size = count;
                    Some(*id)
                }
                _ => None,
            },
            Item::Page(id, ..) | Item::Zeros(id, ..) if Some(*id) == filled => continue,
            _ => None,
        };
        out.push(item);
        if let Some(id) = memory {
            for at in 0..count {
                match page(at) {
                    Some(bytes) => out.push(Item::Page(id, at, bytes)),
                    None => out.push(Item::Zeros(id, at, 1)),
                }
            }
            filled = Some(id);
        }
    }
    out
}

fn image(c: &mut Criterion) {
    assert_unchecked();
    let sample = image::sample().expect("a right image");
    let items = image::read(&sample, sample.len()).expect("a right image");
    let pages = 4096;
    let records = (items, sample.len() as u64);
    let items = image::read(&sample, sample.len()).expect("a right image");
    let memory = (with_pages(items, pages), pages * PAGE_SIZE as u64);
    let mut group = c.benchmark_group("image");
    for (name, (items, size)) in [("records", records), ("pages", memory)] {
        let bytes = image::write(&items).expect("a right image");
        assert!(matches!(decode(&bytes), n if n >= items.len() / 2));
        group.throughput(Throughput::Bytes(size));
        group.sample_size(20);
        group.bench_function(format!("encode/{name}"), |b| b.iter(|| encode(&items)));
        group.bench_function(format!("decode/{name}"), |b| b.iter(|| decode(&bytes)));
    }
    group.finish();
}

criterion_group!(benches, image);
criterion_main!(benches);
