// SPDX-License-Identifier: BSD-2-Clause
//! Segments that do not fit, as packetdrill scripts: each holds where the stack stays and where it
//! moves after every event.

use super::*;
use crate::net::tcp::TcpOpt;
use crate::net::tcp::wire::{Header, fill_checksum};
use crate::packetdrill::parser::parse;
use crate::packetdrill::run::emulated::Emulated;
use crate::packetdrill::run::moved::{Form, Moving};
use crate::packetdrill::run::run;

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
    assert_eq!(run(&emulated, &script).failure, None, "stays");
    let form = Form::Each;
    let moved = Moving {
        emulated,
        form,
        remap: false,
    }
    .run(&script);
    assert_eq!(moved.failure, None, "moves");
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

/// A SYN from a further port of the peer, sent by the test.
fn syn(net: &mut Net, sport: u16) -> Vec<Segment> {
    let (src, dst) = (net.hosts[0].wire.addrs[0], net.hosts[1].wire.addrs[0]);
    let header = Header {
        src: (src, sport),
        dst: (dst, 80),
        seq: super::super::Seq(1000),
        ack: super::super::Seq(0),
        flags: TH_SYN,
        win: 1000,
        urp: 0,
    };
    send(net, header)
}

/// Gives host 1 a segment; what it answers.
fn send(net: &mut Net, header: Header) -> Vec<Segment> {
    let (src, dst) = (header.src.0, header.dst.0);
    let mut payload = header.emit(&[], 0);
    fill_checksum(src, dst, &mut payload);
    let packet = IpPacket {
        src,
        dst,
        tos: 0,
        ttl: 64,
        flow: 0,
        df: true,
        proto: 6,
        payload,
    };
    let now = net.now;
    net.hosts[1].with(now, |inet, cx| inet.tcp_input(cx, packet));
    let accept = super::super::Accept {
        sack: true,
        fastopen: true,
    };
    let out = std::mem::take(&mut net.hosts[1].wire.out);
    out.into_iter()
        .map(|packet| Segment::parse(packet, 0, accept).unwrap())
        .collect()
}

/// The acknowledgement that completes a handshake; whether a connection came of it.
fn complete(net: &mut Net, listener: SoId, answer: &Segment) -> bool {
    let header = Header {
        src: answer.dst,
        dst: answer.src,
        seq: answer.ack,
        ack: answer.seq + 1,
        flags: TH_ACK,
        win: 1000,
        urp: 0,
    };
    send(net, header);
    net.accept(1, listener).is_ok()
}

/// A server whose SYN cache is one row of two entries.
fn small_cache(net: &mut Net, limit: &str, syncookies: i64) -> SoId {
    for (name, value) in [
        ("net.inet.tcp.syncache.hashsize", 1),
        (limit, 2),
        ("net.inet.tcp.syncookies", syncookies),
    ] {
        net.call(1, |inet, cx| inet.sysctl_set(cx, name, value))
            .unwrap();
    }
    net.listener(1, 80, false)
}

const LIMITS: [&str; 2] = [
    "net.inet.tcp.syncache.bucketlimit",
    "net.inet.tcp.syncache.cachelimit",
];

/// `syncache_pause`: 15 s at first, and twice as long where the next is not later than that after it.
#[test]
fn an_overflow_leaves_the_syn_cache_alone_for_a_while() {
    for limit in LIMITS {
        let mut net = Net::new(5);
        let listener = small_cache(&mut net, limit, 1);
        let answers: Vec<Segment> = (1..=4).flat_map(|port| syn(&mut net, port)).collect();
        assert_eq!(answers.len(), 4, "each is answered");
        let held = |net: &Net| net.hosts[1].inet.tcp.syncache.entries.len();
        assert_eq!(held(&net), 2, "the fourth came during the pause");
        for answer in &answers {
            assert!(complete(&mut net, listener, answer), "its cookie is good");
        }
        net.run(Duration::from_millis(14_900));
        assert_eq!(held(&net), 0, "their timer dropped them unanswered");
        assert!(net.trace().is_empty());
        syn(&mut net, 5);
        assert_eq!(held(&net), 0);
        net.run(Duration::from_millis(200));
        for port in 6..=8 {
            syn(&mut net, port);
        }
        assert_eq!(held(&net), 2, "in use, and full again");
        net.run(Duration::from_secs(29));
        assert!(net.hosts[1].inet.tcp.syncache.pause.paused);
        net.run(Duration::from_secs(2));
        assert!(!net.hosts[1].inet.tcp.syncache.pause.paused);
    }
}

#[test]
fn without_cookies_an_overflow_drops_the_oldest_and_nothing_pauses() {
    for limit in LIMITS {
        let mut net = Net::new(5);
        let listener = small_cache(&mut net, limit, 0);
        let answers: Vec<Segment> = (1..=3).flat_map(|port| syn(&mut net, port)).collect();
        let good: Vec<bool> = answers
            .iter()
            .map(|answer| complete(&mut net, listener, answer))
            .collect();
        assert_eq!(good, [false, true, true]);
    }
}

/// The limits are tunables of the loader in FreeBSD; here whoever sets them finds the cache as if they had
/// always been so, which an image cannot tell from that.
#[test]
fn a_cache_that_is_made_smaller_keeps_its_newest_entries() {
    for (limit, value) in [
        (LIMITS[0], 1),
        (LIMITS[1], 1),
        ("net.inet.tcp.syncache.hashsize", 1),
    ] {
        let mut net = Net::new(5);
        let listener = small_cache(&mut net, LIMITS[0], 0);
        let wide = |inet: &mut Inet, cx: &mut Cx<'_>| {
            inet.sysctl_set(cx, "net.inet.tcp.syncache.hashsize", 1 << 20)?;
            inet.sysctl_set(cx, LIMITS[0], 1)
        };
        if limit.ends_with("hashsize") {
            net.call(1, wide).unwrap();
        }
        let answers: Vec<Segment> = (1..=2).flat_map(|port| syn(&mut net, port)).collect();
        net.call(1, |inet, cx| inet.sysctl_set(cx, limit, value))
            .unwrap();
        let tcp = &net.hosts[1].inet.tcp;
        assert_eq!(tcp.syncache.entries.len(), 1, "{limit}");
        assert_eq!(tcp.syncache.timerq.len(), 1, "{limit}");
        assert!(!tcp.syncache.pause.paused);
        let good: Vec<bool> = answers
            .iter()
            .map(|answer| complete(&mut net, listener, answer))
            .collect();
        assert_eq!(good, [false, true], "{limit}");
    }
}

#[test]
fn without_cookies_and_an_entry_to_drop_a_syn_is_not_answered() {
    let mut net = Net::new(5);
    small_cache(&mut net, LIMITS[1], 0);
    net.call(1, |inet, cx| inet.sysctl_set(cx, LIMITS[1], 0))
        .unwrap();
    assert_eq!(syn(&mut net, 1), []);
    net.call(1, |inet, cx| {
        inet.sysctl_set(cx, "net.inet.tcp.syncookies", 1)
    })
    .unwrap();
    assert_eq!(syn(&mut net, 1).len(), 1);
    assert_eq!(net.next(), None, "no entry was made");
}

/// `net.inet.tcp.reass.new_limit`: beyond the guard an entry of less than an mbuf is not queued.
#[test]
fn the_newer_limit_of_the_reassembly_queue_spares_full_segments() {
    let limits = " 0.00 `sysctl -w net.inet.tcp.reass.new_limit=1`
+0.00 `sysctl -w net.inet.tcp.reass.queueguard=1`
";
    let text = "+0.01 < . 11:21(10) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 11:21>
+0.01 < . 31:41(10) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 31:41 11:21>
+0.01 < . 51:61(10) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 31:41 11:21>
+0.01 < . 51:307(256) ack 1 win 65535
+0.00 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 51:307 31:41 11:21>
";
    holds(&[limits, LISTENER, SYN, ACCEPT, text]);
}

/// `blackhole(4)`: who is local by `in_localip` or `in6_localaddr` is answered all the same.
#[test]
fn a_neighbour_counts_as_local_over_ipv6_and_not_over_ipv4() {
    use crate::net::cx::IpLayer;
    use crate::net::ifnet::{IfAddr, IfKind};
    use crate::net::vnet::Vnet;
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let own = |addr, prefix_len| IfAddr {
        addr: ip(addr),
        prefix_len,
    };
    let mut vnet = Vnet::new(1, "near", Inet::new);
    let addrs = [own("10.0.0.1", 24), own("2001:db8::1", 64)];
    vnet.attach(Instant::BOOT, "tun0", IfKind::Tun, 1500, &addrs)
        .unwrap();
    let addrs = [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.1.1",
        "2001:db8::2",
        "2001:db9::2",
        "fe80::9",
    ];
    let near = vnet.configure(Instant::BOOT, |stack| {
        addrs.map(|addr| (stack.is_near(ip(addr)), stack.is_on_link(ip(addr))))
    });
    assert_eq!(
        near.map(|(near, _)| near),
        [true, false, false, true, false, true]
    );
    // in_localaddr, which the segment size without path MTU discovery asks for (tcp_mss_update).
    assert_eq!(
        near.map(|(_, on_link)| on_link),
        [true, true, false, true, false, true]
    );
}
