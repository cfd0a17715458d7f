// SPDX-License-Identifier: BSD-2-Clause
//! A judge that accepts too much is worth nothing: scripts that hold are altered in one place, and each
//! must fail there.

use super::parser::parse;
use super::run::emulated::Emulated;
use super::run::{Outcome, run};

fn outcome(script: &str) -> Outcome {
    let script = parse(script, &["FreeBSD"]).unwrap_or_else(|e| panic!("{e}\n{script}"));
    run(&Emulated { seed: 1 }, &script)
}

/// A server that answers, closes and is reset; every kind of event and all fields of a segment.
const SERVER: &str = "\
--tolerance_usecs=1000
`sysctl -w net.inet.tcp.ecn.enable=1`
0.00 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.00 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0.00 setsockopt(3, IPPROTO_IP, IP_TTL, [33], 4) = 0
+0.00 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=7}, 8) = 0
+0.00 getsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=128, linger=7}, [8]) = 0
+0.00 bind(3, ..., ...) = 0
+0.00 listen(3, 1) = 0
+0.10...0.30 accept(3, ..., ...) = 4
+0.10 < SEW 0:0(0) win 65535 <mss 1460,nop,wscale 7,sackOK,TS val 100 ecr 0>
+0.00 > (ttl 33) SE. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 10 ecr 100>
+0.10 < . 1:1(0) ack 1 win 514 <nop,nop,TS val 200 ecr 10>
+0.00 getsockopt(4, IPPROTO_TCP, TCP_MAXSEG, [1460], [4]) = 0
+0.00 fcntl(4, F_GETFL) = 0x2
+0.00 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1
+0.00 poll([{fd=4, events=POLLIN}], 1, 0) = 0
+0.00 write(4, ..., 100) = 100
+0.00 > [ect0] P. 1:101(100) ack 1 win 1027 <nop,nop,TS val 20 ecr 200>
+0.00 %{ assert tcpi_state == TCPI_ESTABLISHED }%
+0.10 < P. 1:51(50) ack 101 win 514 <nop,nop,TS val 300 ecr 20>
+0.00 ioctl(4, FIONREAD, [50]) = 0
+0.00 readv(4, [{..., 20}, {..., 40}], 2) = 50
+0.00 recv(4, ..., 10, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)
+0.04 > . 101:101(0) ack 51 win 1027 <nop,nop,TS val 30 ecr 300>
+0.00 `sockstat -4 -P tcp -s | grep -c ESTABLISHED | grep 1`
+0.10 < F. 51:51(0) ack 101 win 514 <nop,nop,TS val 400 ecr 30>
+0.00 > . 101:101(0) ack 52 win 1027 <nop,nop,TS val 40 ecr 400>
+0.10...0.20 close(4) = 0
+0.00 > F. 101:101(0) ack 52 win 1027 <nop,nop,TS val 50 ecr 400>
+0.10 < R 52:52(0) win 0
+0.00 close(3) = 0
";

/// Datagrams both ways.
const DATAGRAMS: &str = "\
0.00 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0.00 setsockopt(3, IPPROTO_IP, IP_TOS, [IPTOS_DSCP_AF11], 4) = 0
+0.00 setsockopt(3, IPPROTO_IP, IP_TTL, [7], 4) = 0
+0.00 sendto(3, ..., 64, 0, ..., ...) = 64
+0.00 > (dscp af11, ttl 7) udp (64)
+0.50 < udp (10)
+0.00 recvfrom(3, ..., 100, 0, ..., ...) = 10
";

fn altered(script: &str, line: &str, old: &str, new: &str) -> (usize, String) {
    let at = script.lines().position(|l| l.contains(line));
    let at = at.unwrap_or_else(|| panic!("no line has {line}"));
    let lines = script.lines().enumerate().map(|(index, text)| {
        if index == at {
            assert!(text.contains(old), "{text} has no {old}");
            text.replacen(old, new, 1)
        } else {
            text.to_owned()
        }
    });
    (at + 1, lines.collect::<Vec<_>>().join("\n"))
}

fn must_fail(script: &str, cases: &[(&str, &str, &str, &str)]) {
    assert_eq!(outcome(script).failure, None);
    for (line, old, new, what) in cases {
        let (number, text) = altered(script, line, old, new);
        let Some(failure) = outcome(&text).failure else {
            panic!("{line}: {old} became {new}, and the script still holds");
        };
        assert_eq!(failure.line, number, "{line}: {old} -> {new}: {failure:?}");
        assert!(
            failure.what.contains(what),
            "{line}: {old} -> {new}: {failure:?}"
        );
    }
}

const DATA: &str = "P. 1:101(100) ack 1";
const SYN_ACK: &str = "SE. 0:0(0)";

#[test]
fn each_altered_field_of_an_expected_segment_fails_the_script() {
    must_fail(
        SERVER,
        &[
            (DATA, "P.", ".", "flags"),
            (DATA, "P.", "FP.", "flags"),
            (DATA, "P.", "SP.", "flags"),
            (DATA, "P.", "RP.", "flags"),
            (DATA, "P.", "UP.", "flags"),
            (DATA, "P.", "EP.", "flags"),
            (DATA, "P.", "WP.", "flags"),
            (DATA, "P.", "AP.", "flags"),
            (DATA, "P.", "P.1", "flags"),
            (SYN_ACK, "SE.", "S.", "flags"),
            (DATA, "1:101(100)", "2:102(100)", "sequence number"),
            (DATA, "1:101(100)", "1:100(99)", "length"),
            (DATA, "1:101(100)", "1:102(101)", "length"),
            (DATA, "1:101(100)", "...(99)", "length"),
            (DATA, "ack 1", "ack 2", "acknowledgement"),
            (DATA, "ack 1 ", "", "acknowledgement"),
            (DATA, "win 1027", "win 1026", "window"),
            (DATA, "win 1027", "win 1027 urg 1", "urgent"),
            (DATA, "ecr 200", "ecr 201", "options"),
            (DATA, "<nop,nop,TS val 20 ecr 200>", "", "options"),
            (
                DATA,
                "nop,nop,TS val 20 ecr 200",
                "TS val 20 ecr 200,nop,nop",
                "options",
            ),
            (DATA, "nop,nop,TS", "nop,eol,TS", "options"),
            (
                DATA,
                "<nop,nop,TS val 20 ecr 200>",
                "<0101080a0000000000000000>",
                "options",
            ),
            (SYN_ACK, "mss 1460", "mss 1461", "options"),
            (SYN_ACK, "wscale 6", "wscale 7", "options"),
            (SYN_ACK, "nop,wscale 6", "nop,nop,nop,nop", "options"),
            (SYN_ACK, "sackOK", "nop,nop", "options"),
            (SYN_ACK, "sackOK", "gen-4", ""),
        ]
        .iter()
        .copied()
        .filter(|case| !case.3.is_empty())
        .collect::<Vec<_>>(),
    );
    // An option by its number is the same option.
    let (_, text) = altered(SERVER, SYN_ACK, "sackOK", "gen-4");
    assert_eq!(outcome(&text).failure, None);
    let (_, text) = altered(SERVER, SYN_ACK, "mss 1460,", "gen-2 05b4,");
    assert_eq!(outcome(&text).failure, None);
}

#[test]
fn each_altered_field_of_the_ip_header_and_each_altered_time_fails_the_script() {
    must_fail(
        SERVER,
        &[
            (SYN_ACK, "ttl 33", "ttl 34", "TTL"),
            (SYN_ACK, "(ttl 33)", "(ttl 33, dscp cs1)", "DSCP"),
            (SYN_ACK, "(ttl 33)", "(tos 0x02)", "ECN"),
            (SYN_ACK, "(ttl 33)", "[ect01]", "ECN"),
            (DATA, "[ect0]", "[noecn]", "ECN"),
            (DATA, "[ect0]", "[ect1]", "ECN"),
            (DATA, "[ect0]", "[ce]", "ECN"),
            (DATA, "[ect0]", "(flowlabel 0x00001)", "flow label"),
            (DATA, "+0.00", "+0.002", "time"),
            (DATA, "+0.00", "+0.002~+1", "time"),
            (DATA, "+0.00", "0~0.1", "time"),
            ("ack 51 win", "+0.04", "+0.038", "time"),
            ("ack 51 win", "+0.04", "+0.042", "time"),
            ("ack 51 win", "+0.04", "+0~+0.03", "time"),
            ("accept", "0.30", "0.29", "time"),
            ("accept", "0.30", "0.31", "time"),
            ("close(4)", "0.20", "0.21", "time"),
        ],
    );
    for (line, old, new) in [
        (DATA, "[ect0]", "[ect01]"),
        (DATA, "+0.00", "*"),
        ("ack 51 win", "+0.04", "+0.03~+0.05"),
    ] {
        let (_, text) = altered(SERVER, line, old, new);
        assert_eq!(outcome(&text).failure, None, "{line}: {old} -> {new}");
    }
}

#[test]
fn each_altered_result_fails_the_script() {
    must_fail(
        SERVER,
        &[
            ("write(4", "= 100", "= 99", "returns"),
            ("write(4", "= 100", "= -1 EPIPE", "returns"),
            ("readv(4", "= 50", "= 60", "returns"),
            ("recv(4", "= -1 EAGAIN", "= -1 ENOTCONN", "returns"),
            (
                "recv(4",
                "= -1 EAGAIN (Resource temporarily unavailable)",
                "= 0",
                "returns",
            ),
            ("F_GETFL", "0x2", "0x6", "returns"),
            ("FIONREAD", "[50]", "[49]", "gives"),
            ("TCP_MAXSEG", "[1460]", "[1448]", "gives"),
            ("TCP_MAXSEG", "[4]", "[8]", "gives"),
            ("getsockopt(3", "onoff=128", "onoff=0", "gives"),
            ("getsockopt(3", "linger=7", "linger=8", "gives"),
            (
                "POLLIN|POLLOUT",
                "revents=POLLOUT",
                "revents=POLLIN",
                "gives",
            ),
            ("POLLIN|POLLOUT", ", revents=POLLOUT", "", "gives"),
            ("POLLIN|POLLOUT", "= 1", "= 0", "returns"),
            ("events=POLLIN}", "= 0", "= 1", "returns"),
            ("assert", "==", "!=", "assertion"),
            ("assert", "ESTABLISHED", "LISTEN", "assertion"),
            ("sockstat", "grep 1", "grep 2", "grep 2"),
            ("listen(3", "= 0", "= -1 EINVAL", "returns"),
        ],
    );
}

#[test]
fn a_script_that_makes_more_happen_than_may_has_failed() {
    use super::run::{Manner, run_watched};
    let text = "0 `sysctl net.inet.tcp.keepidle=1 net.inet.tcp.keepintvl=1 net.inet.tcp.keepcnt=2147483647`\n\
                +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
                +0 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0\n\
                +0 bind(3, ..., ...) = 0\n\
                +0 listen(3, 1) = 0\n\
                +0 < S 0:0(0) win 65535 <mss 1460>\n\
                +0 > S. 0:0(0) ack 1 win 65535 <mss 1460>\n\
                +0 < . 1:1(0) ack 1 win 65535\n\
                +1000000000 close(3) = 0\n";
    let script = parse(text, &[]).unwrap();
    let manner = Manner {
        happened_max: 1000,
        ..Manner::default()
    };
    let outcome = run_watched(&Emulated { seed: 1 }, &script, manner, &mut |_, _, _| {});
    let failure = outcome.failure.unwrap();
    assert_eq!(failure.line, 9);
    assert_eq!(failure.what, "more than 1000 packets, calls and callouts");
    assert!(outcome.happened.len() < 1100, "{}", outcome.happened.len());
}

#[test]
fn a_packet_too_many_and_one_too_few_fail_the_script() {
    let (number, text) = altered(SERVER, "ack 51 win", "> . 101:101(0)", "> . 101:101(0)");
    let twice = text.lines().nth(number - 1).unwrap().to_owned();
    let more = text.replacen(
        &twice,
        &format!("{twice}\n{}", twice.replace("+0.04", "+0")),
        1,
    );
    assert_eq!(outcome(&more).failure.map(|f| f.line), Some(number + 1));
    let less = text.replacen(&twice, "+0.04 `true`", 1);
    assert!(outcome(&less).failure.is_some_and(|f| f.line > number));
}

#[test]
fn each_altered_field_of_a_datagram_fails_the_script() {
    must_fail(
        DATAGRAMS,
        &[
            ("> (dscp", "(64)", "(63)", "length"),
            ("> (dscp", "af11", "af12", "DSCP"),
            ("> (dscp", "ttl 7", "ttl 8", "TTL"),
            ("> (dscp", "udp (64)", ". 1:1(0) ack 1", "transport"),
            ("recvfrom", "= 10", "= 11", "returns"),
            ("sendto", "= 64", "= 63", "returns"),
        ],
    );
    let named = DATAGRAMS
        .replace("udp (64)", "udp 1 > 2 (64)")
        .replace("udp (10)", "udp 2 > 1 (10)");
    assert_eq!(outcome(&named).failure, None);
    assert!(outcome(&named.replace("2 > 1", "2 > 3")).failure.is_some());
}

#[test]
fn a_timestamp_is_judged_where_the_script_names_its_tick() {
    let ticking = format!("--tcp_ts_tick_usecs=1000\n{SERVER}");
    let failure = outcome(&ticking).failure.unwrap();
    assert!(failure.what.contains("timestamp"), "{failure:?}");
    let right = ticking
        .replace("TS val 20 ", "TS val 110 ")
        .replace("ecr 20>", "ecr 110>");
    let failure = outcome(&right).failure.unwrap();
    assert!(failure.line > 21, "{failure:?}");
}

#[test]
fn a_wrong_time_is_told_with_how_far_it_is_off_and_both_moments() {
    let told = |line: &str, old: &str, new: &str| {
        let failure = outcome(&altered(SERVER, line, old, new).1).failure.unwrap();
        let side = |text: Option<String>| text.unwrap_or_default();
        (failure.what, side(failure.expected), side(failure.seen))
    };
    let all = |what: &str, expected: &str, seen: &str| {
        (what.to_owned(), expected.to_owned(), seen.to_owned())
    };
    let ack = "ack 51 win";
    assert_eq!(
        told(ack, "+0.04", "+0.0375"),
        all(
            "wrong time: the packet comes 2.5 ms late; 1 ms are tolerated",
            "at 0.437500 s",
            "at 0.440000 s"
        )
    );
    assert_eq!(
        told(ack, "+0.04", "+1~+2"),
        all(
            "wrong time: the packet comes 960 ms early; 1 ms are tolerated",
            "from 1.400000 s to 2.400000 s",
            "at 0.440000 s"
        )
    );
    assert_eq!(
        told("accept", "0.30", "0.25"),
        all(
            "wrong time: accept returns 50 ms late; 1 ms are tolerated",
            "at 0.250000 s",
            "at 0.300000 s"
        )
    );
    assert_eq!(
        told("+0.10 < F.", "+0.10", "0.41"),
        all(
            "wrong time: its turn comes 30 ms late; 1 ms are tolerated",
            "at 0.410000 s",
            "at 0.440000 s"
        )
    );
    let script = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0.5 > S 0:0(0) win 1\n";
    let failure = outcome(script).failure.unwrap();
    assert_eq!(failure.what, "no packet came; expected at 0.500000 s");
    assert_eq!(failure.seen.unwrap(), "nothing until 120.500000 s");
    let open = outcome(&script.replace("+0.5", "*")).failure.unwrap();
    assert_eq!(open.what, "no packet came; expected from 0.000000 s on");
    let script = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n\
                  +0 listen(3, 1) = 0\n+0...0.2 accept(3, ..., ...) = 4\n";
    let failure = outcome(script).failure.unwrap();
    assert_eq!(failure.what, "accept does not return");
    assert_eq!(failure.expected.unwrap(), "at 0.200000 s");
    assert_eq!(failure.seen.unwrap(), "nothing until 120.000000 s");
}

#[test]
fn a_failure_shows_both_packets_with_carets_and_those_before() {
    let (_, text) = altered(SERVER, DATA, "win 1027", "win 1");
    let outcome = outcome(&text);
    let (failure, before) = (outcome.failure.unwrap(), outcome.before);
    let seen = failure.seen.unwrap();
    let at = seen.find("win 1027").unwrap();
    assert_eq!(*failure.marks, format!("{}^^^^^^^^", " ".repeat(at)));
    assert!(failure.expected.unwrap().contains("win 1 <"));
    assert_eq!(failure.differs, ["window"]);
    assert_eq!(
        before,
        [
            "0.200000 < SEW 0:0(0) win 65535 <mss 1460,nop,wscale 7,sackOK,TS val 100 ecr 0>",
            "0.200000 > (ttl 33) SE. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 6,sackOK,TS val 10 ecr 100>",
            "0.300000 < . 1:1(0) ack 1 win 514 <nop,nop,TS val 200 ecr 10>",
            "0.300000 > (ttl 33, ecn ect0) P. 1:101(100) ack 1 win 1027 <nop,nop,TS val 110 ecr 200>",
        ]
    );
}

#[test]
fn packets_before_a_failure_keep_their_marks_their_icmp_and_their_ports() {
    let script = SERVER
        .replace("IP_TTL, [33]", "IP_TTL, [64]")
        .replace("ttl 33", "ttl 64")
        .replace(
            "+0.10 < P. 1:51(50)",
            "+0.10 < [ce] P. 1:51(50)",
        )
        .replace(
            "+0.00 ioctl(4, FIONREAD, [50]) = 0",
            "+0.00 < icmp unreachable frag_needed mtu 1400 [101:201(100)]\n+0.00 ioctl(4, FIONREAD, [9]) = 0",
        );
    let before = outcome(&script).before;
    let last = &before[before.len() - 3..];
    assert!(
        last[0].starts_with("0.300000 > [ect0] P. 1:101(100) ack 1"),
        "{last:?}"
    );
    assert!(
        last[1].starts_with("0.400000 < [ce] P. 1:51(50) ack 101"),
        "{last:?}"
    );
    let icmp = "0.400000 < icmp unreachable frag_needed mtu 1400 [101:201(100)]";
    assert_eq!(last[2], icmp);
    let named = DATAGRAMS
        .replace("udp (64)", "udp 1 > 2 (64)")
        .replace("udp (10)", "udp 2 > 1 (11)");
    let before = outcome(&named).before;
    assert_eq!(
        before,
        [
            "0.000000 > (ttl 7, dscp 0x0a) udp 1 > 2 (64)",
            "0.500000 < udp 2 > 1 (11)"
        ]
    );
}

#[test]
fn carets_stand_below_the_option_that_is_wrong() {
    let below = |line: &str, old: &str, new: &str| {
        let failure = outcome(&altered(SERVER, line, old, new).1).failure.unwrap();
        let seen = failure.seen.unwrap();
        let marks = failure.marks.chars().chain(std::iter::repeat(' '));
        let marked = seen.chars().zip(marks).filter(|(_, mark)| *mark == '^');
        marked.map(|(c, _)| c).collect::<String>()
    };
    assert_eq!(below(SYN_ACK, "mss 1460", "mss 1461"), "mss 1460");
    assert_eq!(
        below(SYN_ACK, "nop,wscale 6,", "wscale 6,nop,"),
        "nopwscale 6"
    );
    assert_eq!(below(SYN_ACK, "sackOK,", "nop,nop,"), "sackOK");
    assert_eq!(
        below(
            SYN_ACK,
            "TS val 10 ecr 100>",
            "TS val 10 ecr 100,nop,nop,nop,nop>"
        ),
        ">"
    );
    assert_eq!(below(DATA, "ecr 200", "ecr 201"), "TS val 110 ecr 200");
    assert_eq!(below(SYN_ACK, "ttl 33", "ttl 34, ecn noecn"), "ttl 33");
    let bytes = "<0101080a0000000000000000>";
    let failure = outcome(&altered(SERVER, DATA, "<nop,nop,TS val 20 ecr 200>", bytes).1).failure;
    assert!(failure.unwrap().seen.unwrap().contains(" <0101080a"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// A script with a number changed, a line gone or one repeated ends, in a verdict.
    #[test]
    fn no_mangled_script_makes_the_runner_panic(
        line in 0usize..40,
        repeat in 0usize..3,
        with in "[0-9]{1,10}|-1|\\.\\.\\.",
    ) {
        let lines = SERVER.lines().enumerate().flat_map(|(index, text)| {
            let digit = text.rfind(|c: char| c.is_ascii_digit()).unwrap_or(0);
            let mangled = match index == line && text.is_char_boundary(digit) {
                true if digit > 0 => format!("{}{with}{}", &text[..digit], &text[digit + 1..]),
                _ => text.to_owned(),
            };
            std::iter::repeat_n(mangled, if index == line { repeat } else { 1 })
        });
        if let Ok(script) = parse(&lines.collect::<Vec<_>>().join("\n"), &["FreeBSD"]) {
            let make = Emulated { seed: 1 };
            proptest::prop_assert_eq!(run(&make, &script), run(&make, &script));
        }
    }
}
