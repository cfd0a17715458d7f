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
    let (_, action) =
        action("--udp_encapsulation=tcp\n+0.00 > S. ...(0) ack 4 <...>/udp(9811 > 2)");
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
    assert_eq!(call.end, Some(6_000_000));
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
        "line 2, column 6: expected a packet: TCP flags out of FSRP.UEWA and 0 to 7, or -, or udp or icmp, not `Q`"
    );
    assert_eq!(
        wrong("0 close(3) = -1 EFOO"),
        "line 1, column 17: expected an error of errno(2), not `EFOO`"
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
    assert!(refusal("0 < icmp unreachable frag_needed [1:65537(65536)]").contains("65535 bytes"));
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
fn every_form_of_an_option_is_understood() {
    let options = |text: &str| {
        let Action::Packet(packet) = action(&format!("+0 > . 1:1(0) ack 1 <{text}>")).1 else {
            panic!()
        };
        let Body::Tcp(tcp) = packet.body else {
            panic!()
        };
        (tcp.options.unwrap(), tcp.ts_val_any, tcp.ts_ecr_absolute)
    };
    let raw = |kind, payload: &[u8]| TcpOption::Raw(kind, payload.to_vec());
    assert_eq!(options("gen-99 0aff").0, [raw(99, &[0x0a, 0xff])]);
    assert_eq!(options("gen-253,eol,eol").0[0], raw(253, &[]));
    assert_eq!(
        options("exp-dead 01,nop,nop,nop").0[0],
        raw(254, &[0xde, 0xad, 1])
    );
    assert_eq!(
        options("EXP-FO 0102,eol,eol").0[0],
        TcpOption::FastOpenExperimental(vec![1, 2])
    );
    assert_eq!(
        options("AccECN0 ee0b 1 eceb 2,nop,nop,nop,nop").0[0],
        raw(172, &[0, 0, 1, 0, 0, 2])
    );
    assert_eq!(options("exp-AccECN1").0, [raw(254, &[0xac, 0xc1])]);
    assert_eq!(
        options("exp-tarr 3,nop,nop,nop").0[0],
        raw(254, &[0, 0xac, 6])
    );
    assert_eq!(
        options("02040579").0,
        [TcpOption::Blob(vec![2, 4, 5, 0x79])]
    );
    let md5 = "md5 000102030405060708090a0b0c0d0e0f,nop,nop";
    assert_eq!(options(md5).0[0], raw(19, &(0..16).collect::<Vec<u8>>()));
    let (list, any, absolute) = options("nop,nop,TS val ... ecr 7!");
    assert_eq!(list[2], TcpOption::Timestamp { val: 0, ecr: 7 });
    assert!(any && absolute);
    for wrong in [
        "mss 1460,sackOK",
        "gen-256",
        "mss",
        "exp-tarr 128,nop,nop,nop",
        "sack,nop,nop",
        "020",
    ] {
        let text = format!("+0 > . 1:1(0) ack 1 <{wrong}>");
        assert!(parse(&text, &[]).is_err(), "{wrong}");
    }
}

#[test]
fn a_misspelt_word_is_named_at_its_line_and_column() {
    let first = "0 `a`\n";
    for (line, column, told) in [
        (
            "+0 < S 0:0(0) wind 100",
            15,
            "`win N` and `urg N`, in this order, or the end of the packet, not `wind`",
        ),
        ("+0 > . 1:1(0) akc 1", 15, "not `akc`"),
        ("+0 > . 1:1(0) win 5 ack 1", 21, "not `ack`"),
        ("+0 > . 1:1(0) ack one", 19, "a number, not `one`"),
        (
            "+0 > . 1:1(0) ack 1 <mss 1460,sackok>",
            31,
            "exp-EXID), not `sackok`",
        ),
        (
            "+0 > . 1:1(0) ack 1 <mss 1460 sackOK>",
            31,
            "`,` or `>`, not `sackOK`",
        ),
        ("+0 > X. 1:1(0) ack 1", 6, "or -, or udp or icmp, not `X`"),
        ("+0 > [etc0] . 1:1(0)", 7, "an ECN code point, not `etc0`"),
        ("+0 > . 1;1(0)", 9, "`:`, not `;`"),
        (
            "+0 > . 1:1(0) ack",
            18,
            "a number, not the end of the script",
        ),
        (
            "+0 < icmp unreachable port_unreachible",
            23,
            "code_N), not `port_unreachible`",
        ),
        ("+0 close(3) = -1 EBAAD", 18, "errno(2), not `EBAAD`"),
        ("close(3) = 0", 1, "not `close`"),
    ] {
        let error = parse(&format!("{first}{line}"), &[]).unwrap_err();
        assert_eq!((error.line, error.column), (2, column), "{line}: {error}");
        assert!(error.expected.ends_with(told), "{line}: {error}");
    }
}

#[test]
fn a_comment_that_does_not_end_is_told_where_it_begins() {
    for text in [
        "/* what this is about\n0 `a`\n",
        "0 `a`\n  /* the rest\n+0 `b`\n",
        "0 > . 1:1(0) /* why ack 1\n+0 `b`\n",
        "0 close(3 /* it ) = 0\n",
        "0 `a`\n/*/\n",
        "--mtu=1500 /*\n0 `a`\n",
    ] {
        let error = parse(text, &[]).unwrap_err();
        let before = &text[..text.find("/*").unwrap()];
        let column = before.len() - before.rfind('\n').map_or(0, |nl| nl + 1) + 1;
        let line = 1 + before.matches('\n').count();
        assert_eq!(
            (error.line, error.column),
            (line, column),
            "{text}: {error}"
        );
        assert!(error.expected.starts_with("`*/`"), "{text}: {error}");
    }
    assert!(parse("/**/ 0 `a` /* * / */\n", &[]).is_ok());
}

#[test]
fn what_the_dialect_forbids_is_refused_with_the_reason() {
    for (text, reason) in [
        ("* < . 1:1(0) ack 1 win 1", "`*` and ranges"),
        ("0~1 close(3) = 0", "`*` and ranges"),
        ("2~1 > . 1:1(0) ack 1", "not before the beginning"),
        ("1 `a`\n0 `b`", "not before that of the last"),
        ("0 `a`\n`b`\n0 `c`", "the end of the script"),
        ("0 < . 1:1(0) ack 1", "window"),
        ("0 < . 1:1(0) ack 1 win 1 <...>", "`<...>`"),
        ("0 > . 1:3(1) ack 1", "1:2(1)"),
        ("0 > (ttl 64, ttl) . 1:1(0) ack 1", "number"),
        ("0 > (tos 1, ecn ce) . 1:1(0) ack 1", "not set yet"),
        ("0 < [ect01] . 1:1(0) ack 1 win 1", "ect01"),
        ("0 > .5E 1:1(0) ack 1", "both"),
        ("0 > icmp unreachable", "ICMP of the stack"),
        ("0 < icmp nonsense", "a type of ICMP"),
        ("0 < icmp unreachable port_unreachable mtu 9", "no mtu"),
        ("0 < sctp: INIT[flgs=0]", "sctp"),
        ("0 < ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0) ack 1 win 1", "ipv4"),
        ("0 > . 1:1(0) ack 1 /udp(1 > 2)", "--udp_encapsulation"),
        ("0 sctp_send(3) = 0", "SCTP"),
        ("0 sendfile(3) = 0", "no files"),
        ("0 dup(3) = 4", "a system call of the dialect"),
        ("0 close(3, 4) = 0", "1 arguments of close, not 2"),
        ("0 close(3)", "`=`"),
        ("0 listen(3, SO_NOTHING) = 0", "SO_NOTHING"),
        (
            "0 writev(3, {msg_iov(2)=[{..., 1}]}, 1) = 0",
            "as many items",
        ),
        ("0 %{ import os }%", "`assert`"),
        ("--wire_client\n0 `a`", "there is no wire"),
        ("--local_ip=::1\n0 `a`", "of the family"),
        ("--tolerance_percent=101\n0 `a`", "0 to 100"),
        ("--define=X\n0 `a`", "NAME=VALUE"),
    ] {
        let told = refusal(text);
        assert!(told.contains(reason), "{text}: {told}");
    }
}

#[test]
fn options_at_the_top_and_defined_words_are_taken() {
    let text = "--ip_version=ipv6 --tolerance_percent=2.5\n--tcp_ts_tick_usecs=1000\n--local_ip=fd00::9\n\
                --bind_port=99\n--non_fatal=packet,syscall\n--define=FD=7\n\
                0 close(FD) = 0 // FD\n+0 `echo FD`\n";
    let script = parse(text, &[]).unwrap();
    let options = &script.options;
    assert!(options.ipv6 && options.non_fatal_packets && options.non_fatal_syscalls);
    assert_eq!(
        (
            options.tolerance_permyriad,
            options.ts_tick_us,
            options.bind_port
        ),
        (Some(250), 1_000, 99)
    );
    assert_eq!(options.local, "fd00::9".parse().ok());
    let Action::Syscall(call) = &script.events[0].action else {
        panic!()
    };
    assert_eq!(call.args, [Arg::Value(Value::Number(7))]);
    assert_eq!(script.events[1].action, Action::Command("echo FD".into()));
}

#[test]
fn what_nobody_can_see_is_told_by_its_number_and_endless_commands_are_refused() {
    assert!(refusal("\u{feff}0 `a`").ends_with("not `U+FEFF`"));
    assert!(refusal("0 `a`\n\u{1b}").ends_with("not `U+001B`"));
    let command = |len: usize| format!("0 `{}`", "a".repeat(len));
    assert!(parse(&command(4096), &[]).is_ok());
    assert!(refusal(&command(4097)).contains("at most 4096 bytes"));
}

#[test]
fn a_complaint_names_line_and_column_behind_lines_comments_and_at_the_end() {
    for (text, place) in [
        ("0 `a`\n+0 < . 1:1(0) ack 1 win 9 zzz", (2, 27)),
        ("0 `a` /* \n\n */ +0 zzz", (3, 8)),
        ("0 `a`\n\n  +0 close(3", (3, 13)),
        ("0 `a`\n+0 close(3\n\n \n", (2, 11)),
    ] {
        let error = parse(text, &[]).unwrap_err();
        assert_eq!((error.line, error.column), place, "{text:?}");
    }
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
