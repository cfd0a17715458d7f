// SPDX-License-Identifier: BSD-2-Clause
use super::ast::{Action, Arg, Body, Direction, TcpOption, Time, Value, flag};
use super::parser::parse;
use crate::errno::Errno;

fn action(line: &str) -> (Time, Action) {
    let script = parse(line, &[]).unwrap();
    assert_eq!(script.events.len(), 1, "{line}");
    (script.events[0].time, script.events[0].action.clone())
}

#[test]
fn a_packet_has_its_flags_numbers_and_options_in_order() {
    let (time, action) =
        action("+0.10 < S. 0:0(0) ack 1 win 32767 <mss 1460,sackOK,TS val 1 ecr 100,FO 0aff>");
    assert_eq!(time, Time::Relative(100_000));
    let Action::Packet(packet) = action else {
        panic!()
    };
    assert_eq!(packet.direction, Direction::In);
    let Body::Tcp(tcp) = packet.body else {
        panic!()
    };
    assert_eq!(tcp.flags, flag::SYN | flag::ACK);
    assert_eq!(
        (tcp.seq, tcp.len, tcp.ack, tcp.window),
        (Some(0), 0, Some(1), Some(32_767))
    );
    assert_eq!(
        tcp.options.unwrap(),
        [
            TcpOption::Mss(1_460),
            TcpOption::SackPermitted,
            TcpOption::Timestamp { val: 1, ecr: 100 },
            TcpOption::FastOpen(vec![0x0a, 0xff]),
        ]
    );
}

#[test]
fn what_is_not_to_be_judged_is_absent() {
    let (_, action) = action("+0.00 > S. ...(0) ack 4 <...>/udp(9811 > 2)");
    let Action::Packet(packet) = action else {
        panic!()
    };
    assert_eq!(packet.udp, Some((9_811, 2)));
    let Body::Tcp(tcp) = packet.body else {
        panic!()
    };
    assert_eq!((tcp.seq, tcp.window, tcp.options), (None, None, None));
}

#[test]
fn ip_fields_stand_before_the_flags() {
    let ecn = |line: &str| match action(line).1 {
        Action::Packet(packet) => (packet.ip.dscp, packet.ip.ecn, packet.ip.ttl),
        _ => panic!(),
    };
    assert_eq!(ecn("+0 >[ect0] P. 1:11(10) ack 1"), (None, Some(2), None));
    assert_eq!(
        ecn("+0 > (tos 0xe0) . 1:1(0) ack 1"),
        (Some(0x38), Some(0), None)
    );
    assert_eq!(ecn("+0 > (hlim 4) . 1:1(0) ack 1"), (None, None, Some(4)));
}

#[test]
fn a_blocking_call_has_an_end_and_an_error() {
    let (time, action) =
        action("1.00...6.00 connect(3, ..., ...) = -1 ETIMEDOUT (Operation timed out)");
    assert_eq!(time, Time::Absolute(1_000_000));
    let Action::Syscall(call) = action else {
        panic!()
    };
    assert_eq!(call.end, Some(Time::Absolute(6_000_000)));
    assert_eq!(
        (call.result, call.errno),
        (Some(-1), Some(Errno::ETIMEDOUT))
    );
    assert_eq!(call.args[0], Arg::Value(Value::Number(3)));
    assert_eq!(call.args[1], Arg::Ellipsis);
}

#[test]
fn conditions_choose_lines_and_keep_line_numbers() {
    let text = "#ifdef A\n0 `a`\n#else\n0 `b`\n#endif\n0 `c`\n";
    let lines = |defined: &[&str]| -> Vec<usize> {
        parse(text, defined)
            .unwrap()
            .events
            .iter()
            .map(|e| e.line)
            .collect()
    };
    assert_eq!(lines(&["A"]), [2, 6]);
    assert_eq!(lines(&[]), [4, 6]);
    assert!(parse("#endif\n", &[]).is_err());
}

#[test]
fn a_mistake_is_told_with_line_and_column() {
    let wrong = |text: &str| parse(text, &[]).unwrap_err().to_string();
    assert_eq!(
        wrong("0 `x`\n+0 > Q 0:0(0)\n"),
        "line 2, column 6: expected TCP flags out of FSRP.UEWA, or -"
    );
    assert_eq!(
        wrong("0 close(3) = -1 EFOO"),
        "line 1, column 17: expected an error of errno(2)"
    );
    assert!(wrong("--mtu=x\n").contains("--mtu=BYTES"));
    assert!(wrong("0 `never closed").contains("`"));
}

fn refusal(text: &str) -> String {
    parse(text, &["FreeBSD"]).unwrap_err().expected
}

#[test]
fn lengths_that_no_packet_has_are_refused() {
    assert!(refusal("0 < . 1:4294967295(4294967294) ack 1 win 0").contains("65535 bytes"));
    assert!(refusal("0 > . 1:65537(65536) ack 1").contains("65535 bytes"));
    assert!(refusal("0 < icmp unreachable frag_needed [1:2(65536)]").contains("65535 bytes"));
    assert!(
        refusal(&format!(
            "0 < S 0:0(0) win 0 <{}md5 valid>",
            "mss 1,".repeat(10)
        ))
        .contains("40 bytes")
    );
    assert!(parse("0 < . 1:65536(65535) ack 1 win 0", &[]).is_ok());
}

#[test]
fn nesting_and_long_expressions_are_refused_before_they_use_up_the_stack() {
    assert!(
        refusal(&format!("0 %{{ assert {}1 == 1 }}%", "1+".repeat(100_000))).contains("operators")
    );
    assert!(refusal(&"#ifdef FreeBSD\n".repeat(100_000)).contains("#ifdef"));
}

#[test]
fn script_that_was_cut_short_is_none() {
    assert!(refusal("").contains("event"));
    assert!(refusal("--mtu=1500\n// nothing\n").contains("event"));
    let open = parse(
        "#ifdef Linux\n#endif\n\n#ifdef FreeBSD\n0 `true`\n",
        &["FreeBSD"],
    );
    assert_eq!(
        open.map_err(|e| (e.line, e.expected)),
        Err((4, "an #endif after this".to_owned()))
    );
}

#[test]
fn lines_are_counted_over_comments_and_texts() {
    let script = parse("/* a\nb */ // c\n0 `x\ny`\n+0 `z`\n", &[]).unwrap();
    let lines: Vec<usize> = script.events.iter().map(|event| event.line).collect();
    assert_eq!(lines, [3, 5]);
}

#[test]
fn every_script_of_the_suite_parses_where_the_suite_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tcp-testsuite");
    let mut folders = vec![root];
    let mut wrong = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pkt") {
                let text = std::fs::read_to_string(&path).unwrap();
                if let Err(error) = parse(&text, &["FreeBSD"]) {
                    wrong.push(format!("{}: {error}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[ -~\n]{0,200}") {
        let _ = parse(&text, &[]);
    }

    #[test]
    fn no_mangled_script_makes_the_parser_panic(cut in 0usize..200, with in "[<>().:0-9a-zA-Z`%{}~*+ é-]{0,9}") {
        let text = "--mtu=9000\n0 socket(..., A|B, [1]) = 3\n+0~+1 > S. 0:0(0)! ack 1 win 2 <mss 1,sack 1:2>\n\
                    +1 < icmp unreachable x mtu 9 [1:1(0)/udp(1 > 2)]\n* %{ assert a == (b|1) }%\n";
        let cut = (0..=cut.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let _ = parse(&format!("{}{with}{}", &text[..cut], &text[cut..]), &[]);
    }
}
