// SPDX-License-Identifier: BSD-2-Clause
//! Writes a small corpus for each fuzz target that random bytes would not get far into:
//! `cargo run -p model-tests --example fuzz_seeds -- fuzz/corpus`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use model_tests::fuzz::frames::spelled;
use model_tests::fuzz::migrate::sample_messages;
use model_tests::image::{sample, socket, tcpcb};
use vpscore::cbor::{Encode, Text, encode_to_list};
use vpscore::ctl::{Op, Request, VERSION};

const SCRIPT: &str = "\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1460,sackOK,nop,wscale 7>
+0 > S. 0:0(0) ack 1 win 65535 <mss 1460,...>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
+0 < P. 1:1001(1000) ack 1 win 257
+0 read(4, ..., 1000) = 1000
+0 write(4, ..., 1000) = 1000
+0 close(4) = 0
";

const PROGRAM: &str = "\
        sys fork -> r8
        beq r1, 1, child
        sys wait r8 0 0
        exit 0
child:  exit 3
";

fn bytes<T: Encode>(value: &T) -> Vec<u8> {
    encode_to_list(value).expect("memory").as_slice().to_vec()
}

fn put(root: &Path, target: &str, seeds: &[Vec<u8>]) -> io::Result<()> {
    let folder = root.join(target);
    fs::create_dir_all(&folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

/// A frame for the body `frames`: everything is made right before it goes in.
fn frame(packet: &[u8]) -> Vec<u8> {
    let mut ether = vec![0; 14];
    ether.extend(packet);
    let mut seed = vec![0x7e];
    seed.extend((ether.len() as u16).to_be_bytes());
    seed.extend(ether);
    seed
}

fn frames() -> Vec<Vec<u8>> {
    let mut v4 = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 1, 0, 0];
    v4.extend([0; 8]);
    let mut echo = v4.clone();
    echo.extend([8, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4]);
    let mut fragment = v4.clone();
    fragment[6] = 0x20;
    fragment.extend([0; 16]);
    let mut tcp = v4;
    tcp[9] = 6;
    tcp.extend([
        0, 9, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 58, 255];
    v6.extend([0; 32]);
    v6.extend([128, 0, 0, 0, 0, 1, 0, 1]);
    let mut all: Vec<_> = [echo, fragment, tcp, v6].iter().map(|p| frame(p)).collect();
    // Handshake, text, an end: for each family.
    let peer = [(2, 0), (0x10, 0), (0x18, 200), (0x11, 7), (0x10, 0)];
    for v6 in [false, true] {
        let segments = peer.map(|(flags, len)| spelled(v6, (flags, 0, 0, 65_535, len)));
        all.push(segments.concat());
    }
    all
}

fn main() -> io::Result<()> {
    let root = env::args_os()
        .nth(1)
        .map_or("fuzz/corpus".into(), PathBuf::from);
    let image = sample().expect("the sample is right");
    let forgeries = [[&[0], image.as_slice()].concat(), vec![1; 13]];
    put(&root, "image_decode", &forgeries)?;
    let sockets = [
        bytes(&tcpcb()),
        bytes(&socket(1, 2, None)),
        bytes(&socket(1, 2, Some(3))),
    ];
    put(&root, "sock_decode", &sockets)?;
    let request = |op, path: &str| Request {
        version: VERSION,
        op,
        path: Text::copy(path).expect("memory"),
        after: None,
        pid_max: None,
    };
    let requests = [
        bytes(&request(Op::List, ".")),
        bytes(&request(Op::Create, "a.b")),
    ];
    put(&root, "ctl_decode", &requests)?;
    let messages: Vec<_> = sample_messages().iter().map(bytes).collect();
    put(&root, "migrate_decode", &messages)?;
    put(&root, "frames", &frames())?;
    for target in ["packetdrill_parse", "packetdrill_run"] {
        put(&root, target, &[SCRIPT.into()])?;
    }
    put(&root, "guest_source", &[PROGRAM.into()])
}
