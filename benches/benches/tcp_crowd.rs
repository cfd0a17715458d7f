// SPDX-License-Identifier: BSD-2-Clause
//! A crowd of connections: 100,000 established ones in one instance, idle as most are.
//!
//! * Memory: bytes that stay allocated when all are open, both ends counted and halved.
//! * Snapshot: an image of the stack with all its sockets, in the format of `docs/image-format.md`;
//!   and what restores it.
//! * Encoding: the records of the sockets alone (`vpscore::sock`), as CBOR; then as frames of an image
//!   with check sums and digest. Decoding, likewise.
//!
//! This binary counts allocations, which costs a little; each time is the best of some runs.

use benches::core_time;
use model_tests::image::{self, Item};
use model_tests::two_stacks::{CLEAN, TwoStacks};
use sim::join::digest::NativeSha256;
use sim::join::net::moved::{image_of, stack_of};
use sim::net::link::Link;
use std::convert::Infallible;
use std::time::Duration;
use vpscore::cbor::{Encode as _, Encoder, decode_all};
use vpscore::collections::List;
use vpscore::crc32c::crc32c;
use vpscore::image::{Object, Reader, Sink, Writer};
use vpscore::sha256::{Digest, Sha256, sha256};
use vpscore::sock::Socket;

/// Connections, and the ports that they are spread over: fewer than there are ephemeral ports each.
const CROWD: usize = 100_000;
const PORTS: usize = 4;
/// Runs of which the best counts.
const RUNS: usize = 5;

fn best(mut run: impl FnMut()) -> Duration {
    (0..RUNS)
        .map(|_| core_time(&mut run))
        .min()
        .unwrap_or_default()
}

/// Opens them all, from host 0 to host 1.
fn open() -> TwoStacks {
    let mut net = TwoStacks::new(1, 1500, Link::new(CLEAN));
    for port in 0..PORTS {
        let number = 1000 + port as u16;
        let listener = net.listen(1, number, 128);
        for _ in 0..CROWD / PORTS {
            net.connect(0, number);
            net.settle();
            net.accept(1, listener).expect("established");
        }
    }
    net
}

/// Takes bytes and forgets them.
struct Nowhere;

impl Sink for Nowhere {
    type Error = Infallible;

    fn write(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}

fn write(items: &[Item], digest: impl Digest) {
    let Some(Item::Header(header)) = items.first() else {
        panic!("an image begins with its header");
    };
    let mut writer = Writer::with_digest(Nowhere, header, digest).expect("a header");
    for item in items {
        if let Item::Object(_, object) = item {
            image::put(&mut writer, object).expect("a right image");
        }
    }
    writer.finish().expect("a right image");
}

fn read(mut bytes: &[u8], digest: impl Digest) -> usize {
    let mut reader = Reader::with_digest(digest);
    let mut events = 0;
    while let Ok(Some(_)) = reader.feed(&mut bytes) {
        events += 1;
    }
    events
}

fn encode(sockets: &[&Socket], out: &mut List<u8>) {
    for socket in sockets {
        out.clear();
        socket.encode(&mut Encoder::new(out)).expect("memory");
    }
}

fn per_second(took: Duration) -> f64 {
    CROWD as f64 / took.as_secs_f64() / 1e6
}

fn main() {
    benches::assert_unchecked();
    let mut opened = None;
    let mut took = Duration::ZERO;
    let memory = allocation_counter::measure(|| took = core_time(|| opened = Some(open())));
    let net = opened.expect("it is open");
    println!("{CROWD} connections in one instance");
    println!("| what | figure |\n|---|---|");
    println!(
        "| open, both ends, handshake and accept | {:.2} s, {:.1} us each |",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / CROWD as f64
    );
    println!(
        "| memory of one end | {:.0} bytes |",
        memory.bytes_current as f64 / 2.0 / CROWD as f64
    );
    let stack = &net.stacks[1];
    let (bytes, _) = image_of(stack, net.now).expect("it can be written");
    println!(
        "| snapshot | {:.1} MB, {:.0} bytes each |",
        bytes.len() as f64 / 1e6,
        bytes.len() as f64 / CROWD as f64
    );
    let took = best(|| drop(image_of(stack, net.now)));
    println!("| snapshot, time | {:.3} s |", took.as_secs_f64());
    let took = best(|| drop(stack_of(&bytes, 1)));
    println!("| restore, time | {:.3} s |", took.as_secs_f64());

    let items = image::read(&bytes, bytes.len()).expect("a right image");
    let sockets: Vec<&Socket> = items
        .iter()
        .filter_map(|item| match item {
            Item::Object(_, object) => match &**object {
                Object::Socket(socket) if socket.tcpcb.is_some() => Some(socket),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let mut out = List::new();
    let native = NativeSha256::default;
    let read = |how: &str| {
        best(|| {
            std::hint::black_box(match how {
                "core" => read(&bytes, Sha256::new()),
                _ => read(&bytes, native()),
            });
        })
    };
    let rows: [(&str, Duration); 5] = [
        ("encode, records alone", best(|| encode(&sockets, &mut out))),
        ("encode, as an image", best(|| write(&items, native()))),
        (
            "encode, as an image, the core's own digest",
            best(|| write(&items, Sha256::new())),
        ),
        ("decode, as an image", read("native")),
        ("decode, as an image, the core's own digest", read("core")),
    ];
    for (what, took) in rows {
        println!("| {what} | {:.2} million/s |", per_second(took));
    }
    let record = sockets.first().map(|socket| {
        out.clear();
        socket.encode(&mut Encoder::new(&mut out)).expect("memory");
        out.as_slice().to_vec()
    });
    let record = record.expect("a socket");
    let took = best(|| {
        for _ in 0..CROWD {
            decode_all::<Socket>(&record).expect("a right record");
        }
    });
    println!(
        "| decode, records alone | {:.2} million/s |",
        per_second(took)
    );
    println!("| one record | {} bytes |", record.len());
    let rate = |took: Duration| bytes.len() as f64 / 1e6 / took.as_secs_f64();
    let took = best(|| {
        std::hint::black_box(crc32c(&bytes));
    });
    println!("| CRC-32C, the core's own | {:.0} MB/s |", rate(took));
    let took = best(|| {
        std::hint::black_box(sha256(&bytes));
    });
    println!("| SHA-256, the core's own | {:.0} MB/s |", rate(took));
    let took = best(|| {
        let mut digest = native();
        digest.update(&bytes);
        std::hint::black_box(digest.finish());
    });
    println!("| SHA-256, the machine's | {:.0} MB/s |", rate(took));
}
