// SPDX-License-Identifier: BSD-2-Clause
//! Segments that do not fit, as packetdrill scripts: each holds where the stack stays and where it
//! moves after every event.

use super::*;
use crate::net::tcp::TcpOpt;
use crate::net::tcp::wire::{Header, fill_checksum};
use crate::packetdrill::parser::parse;
use crate::packetdrill::run::{self, emulated::Emulated, moved::Moving};

/// A listener on descriptor 3.
const LISTENER: &str = " 0.00 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.00 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0.00 bind(3, ..., ...) = 0
+0.00 listen(3, 1) = 0
";

/// A SYN, and the answer to it.
const SYN: &str = "+0.00 < S 0:0(0) win 65535 <mss 1460,sackOK,eol,eol>
+0.00 > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,eol,eol>
";

/// The end of the handshake.
const ACCEPT: &str = "+0.01 < . 1:1(0) ack 1 win 65535
+0.00 accept(3, ..., ...) = 4
";

#[track_caller]
fn holds(parts: &[&str]) {
    let script = parse(&parts.concat(), &[]).expect("a script");
    let emulated = Emulated { seed: 1 };
    assert_eq!(run::run(&emulated, &script).failure, None, "stays");
    assert_eq!(
        run::run(&Moving { emulated }, &script).failure,
        None,
        "moves"
    );
}

/// FreeBSD commit 8af2f06a99b1; RFC 9293 section 3.10.7.4, fifth check.
#[test]
fn a_wrong_acknowledgement_in_the_syn_cache_is_reset_and_the_handshake_goes_on() {
    let wrong = "+0.01 < . 1:1(0) ack 2 win 65535
+0.00 > R 2:2(0) win 0
+0.01 < . 1:1(0) ack 0 win 65535
+0.00 > R 0:0(0) win 0
";
    holds(&[LISTENER, SYN, wrong, ACCEPT]);
}

/// The same section, first check.
#[test]
fn a_number_outside_the_window_in_the_syn_cache_is_challenged_and_the_handshake_goes_on() {
    let outside = "+0.01 < . 0:0(0) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535
+0.01 < . 65536:65536(0) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535
";
    holds(&[LISTENER, SYN, outside, ACCEPT]);
    let edge = "+0.01 < . 65535:65535(0) ack 1 win 65535
+0.00 accept(3, ..., ...) = 4
";
    holds(&[LISTENER, SYN, edge]);
}

/// `net.inet.tcp.ack_war_cnt`, `tcp_challenge_ack_check`.
#[test]
fn an_entry_of_the_syn_cache_challenges_five_times_a_second() {
    // A span shorter than the time to the next SYN-ACK.
    let span = " 0.00 `sysctl -w net.inet.tcp.ack_war_timewindow=300`\n";
    let one = "+0.01 < R 2:2(0) win 0
+0.00 > . 1:1(0) ack 1 win 65535
";
    let many = one.repeat(5);
    let silent = "+0.01 < R 2:2(0) win 0\n".repeat(2);
    let later = one.replace("+0.01", "+0.30");
    holds(&[span, LISTENER, SYN, &many, &silent, &later, ACCEPT]);
}

/// `tcp_ecn_input_segment`: the flag counts only where SYN is not set.
#[test]
fn an_echo_flag_on_a_stray_syn_is_no_sign_of_congestion() {
    let opened = "+0.00 < SEW 0:0(0) win 65535 <mss 1460,sackOK,eol,eol>
+0.00 > SE. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,eol,eol>
";
    let stray = "+0.01 < SE 9:9(0) win 65535
+0.00 > . 1:1(0) ack 1 win 65535
+0.01 write(4, ..., 10) = 10
+0.00 > [ect0] P. 1:11(10) ack 1 win 65535
";
    holds(&[LISTENER, opened, ACCEPT, stray]);
}

/// `tcp_reass`: a segment that the queue holds already is freed with its FIN.
#[test]
fn a_fin_behind_text_that_is_held_already_waits_for_its_repetition() {
    let text = "+0.01 < . 11:21(10) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 11:21>
+0.01 < F. 11:21(10) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 11:21 11:21>
+0.01 < . 1:11(10) ack 1 win 65535
+0.00 > . 1:1(0) ack 21 win 65535
+0.01 < F. 21:21(0) ack 1 win 65535
+0.00 > . 1:1(0) ack 22 win 65535
";
    holds(&[LISTENER, SYN, ACCEPT, text]);
}

/// `tcp_respond` writes the flow label of 0 into what it answers.
#[test]
fn an_answer_outside_the_stream_has_no_flow_label() {
    let mut net = Net::new(3);
    let (_, server) = net.pair(true);
    let Some(Pcb::Tcp(tp)) = net.hosts[1].inet.get(server).map(|entry| &entry.pcb) else {
        panic!("a connection");
    };
    let inc = net.hosts[1].inet.get(server).unwrap().inp.inc;
    let header = Header {
        src: (inc.faddr, inc.fport),
        dst: (inc.laddr, inc.lport),
        seq: tp.rcv_nxt,
        ack: super::super::Seq(0),
        flags: TH_SYN,
        win: 1000,
        urp: 0,
    };
    let options = TcpOpt {
        ts: Some((1, 0)),
        ..TcpOpt::default()
    };
    let mut payload = header.emit(&options.emit().bytes, 0);
    fill_checksum(inc.faddr, inc.laddr, &mut payload);
    let stray = IpPacket {
        src: inc.faddr,
        dst: inc.laddr,
        tos: 0,
        ttl: 64,
        flow: 7,
        df: true,
        proto: 6,
        payload,
    };
    let now = net.now;
    net.hosts[1].with(now, |inet, cx| inet.tcp_input(cx, stray));
    let flows: Vec<u32> = net.hosts[1].wire.out.iter().map(|p| p.flow).collect();
    assert_eq!(flows, [0]);
    net.hosts[1].wire.out.clear();
    net.send(1, server, b"labelled").unwrap();
    let labels: Vec<u32> = net.flying.values().map(|(_, p)| p.flow).collect();
    assert!(labels.iter().all(|label| *label != 0), "{labels:?}");
}
