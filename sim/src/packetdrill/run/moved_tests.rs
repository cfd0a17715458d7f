// SPDX-License-Identifier: BSD-2-Clause
use super::emulated::Emulated;
use super::moved::{Comparison, Form};
use super::stack::What;
use super::{Manner, Outcome, run};
use crate::net::socket::{Entry, Pcb};
use crate::net::stack::InetVnet;
use crate::net::tcp::Timer;
use crate::packetdrill::parser;

/// A server that waits for its client: SYN cache, a sleeping accept, data out of order, an acknowledgement that is
/// delayed, a sleeping receive, and an end that the client begins.
const SERVER: &str = "
0.000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.00 bind(3, ..., ...) = 0
+0.00 listen(3, 2) = 0
0.000...0.200 accept(3, ..., ...) = 4
+0.10 < S 0:0(0) win 65535 <mss 1460>
+0.00 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+0.10 < . 1:1(0) ack 1 win 65535
+0.10 < . 1001:2001(1000) ack 1 win 65535
+0.00 > . 1:1(0) ack 1
+0.10 < . 1:1001(1000) ack 1 win 65535
+0.00 > . 1:1(0) ack 2001
+0.00 recv(4, ..., 4000, 0) = 2000
+0.10 < . 2001:2101(100) ack 1 win 65535
+0.04 > . 1:1(0) ack 2101
+0.00 recv(4, ..., 4000, 0) = 100
0.600...0.700 recv(4, ..., 4000, 0) = 50
0.700 < P. 2101:2151(50) ack 1 win 65535
+0.04 > . 1:1(0) ack 2151
+0.10 < F. 2151:2151(0) ack 1 win 65535
+0.00 > . 1:1(0) ack 2152
+0.00 close(4) = 0
+0.00 > F. 1:1(0) ack 2152
+0.10 < . 2152:2152(0) ack 2 win 65535
";

/// A client that waits to be let in, sends, loses a segment and sends it again when its timer says so.
const CLIENT: &str = "
0.000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
0.100...0.200 connect(3, ..., ...) = 0
0.100 > S 0:0(0) win 65535 <...>
0.200 < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,eol,eol>
+0.00 > . 1:1(0) ack 1
+0.00 send(3, ..., 4380, 0) = 4380
+0.00 > . 1:1461(1460) ack 1
+0.00 > . 1461:2921(1460) ack 1
+0.00 > P. 2921:4381(1460) ack 1
+0.10 < . 1:1(0) ack 1461 win 65535
0.750 > . 1461:2921(1460) ack 1
+0.10 < . 1:1(0) ack 4381 win 65535
+0.10 close(3) = 0
+0.00 > F. 4381:4381(0) ack 1
+0.10 < F. 1:1(0) ack 4382 win 65535
+0.00 > . 4382:4382(0) ack 2
";

/// Two clients that are let in later, in the order in which they came.
const QUEUE: &str = "
0.000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.00 bind(3, ..., ...) = 0
+0.00 listen(3, 2) = 0
+0.10 < S 0:0(0) win 65535 <mss 1460>
+0.00 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+0.10 < . 1:1(0) ack 1 win 65535
+0.10 < P. 1:11(10) ack 1 win 65535
+0.04 > . 1:1(0) ack 11
+0.00 listen(3, 2) = 0
+0.10 < S 0:0(0) win 65535 <mss 1460>
+0.00 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+0.10 < . 1:1(0) ack 1 win 65535
+0.10 < P. 1:21(20) ack 1 win 65535
+0.04 > . 1:1(0) ack 21
+0.00 accept(3, ..., ...) = 4
+0.00 accept(3, ..., ...) = 5
+0.00 recv(4, ..., 100, 0) = 10
+0.00 recv(5, ..., 100, 0) = 20
";

const SCRIPTS: [(&str, &str); 3] = [("server", SERVER), ("client", CLIENT), ("queue", QUEUE)];

fn moving(form: Form, text: &str, lose: fn(&mut InetVnet)) -> Outcome {
    comparing(form, text, false, lose)
}

/// The same, to another network with each move.
fn remapped(form: Form, text: &str, lose: fn(&mut InetVnet)) -> Outcome {
    comparing(form, text, true, lose)
}

fn comparing(form: Form, text: &str, remap: bool, lose: fn(&mut InetVnet)) -> Outcome {
    let script = parser::parse(text, &["FreeBSD"]).unwrap_or_else(|e| panic!("{e:?}"));
    let emulated = Emulated { seed: 1 };
    let plain = run(&emulated, &script);
    let comparison = Comparison {
        emulated,
        script: &script,
        manner: Manner::default(),
        remap,
        lose,
    };
    comparison.with(plain, form)
}

fn whole(_: &mut InetVnet) {}

#[test]
fn scripts_hold_and_nothing_differs_wherever_the_instance_moves() {
    for (name, text) in SCRIPTS {
        let every = moving(Form::Every, text, whole);
        assert_eq!(every.failure, None, "{name}");
        assert!(every.moves > 20, "{name}: {} moves", every.moves);
        let once = moving(Form::Once, text, whole);
        assert_eq!(once.failure, None, "{name}");
        assert_eq!((once.moves, once.runs), (every.moves, every.moves + 1));
        let each = moving(Form::Each, text, whole);
        assert_eq!(each.failure, None, "{name}");
        assert_eq!((each.moves, each.runs), (2 * every.moves, every.moves + 2));
    }
}

#[test]
fn nothing_differs_where_the_instance_gets_another_address_with_each_move() {
    for (name, text) in SCRIPTS {
        for options in ["", "--ip_version=ipv6\n"] {
            // An IPv6 segment is 20 bytes shorter; the segments of SERVER and QUEUE are short anyway.
            if name == "client" && !options.is_empty() {
                continue;
            }
            let text = match options {
                "" => text.to_owned(),
                _ => format!("{options}{}", text.replace("1460", "1440")),
            };
            for form in [Form::Each, Form::Once] {
                let outcome = remapped(form, &text, whole);
                assert_eq!(outcome.failure, None, "{name} {form:?}");
            }
        }
    }
}

/// Whoever connects later gets the sequence numbers, cookies and timestamps of the address that its
/// peer knows.
#[test]
fn what_peers_know_an_address_as_is_missed_where_it_is_lost() {
    let lose = |stack: &mut InetVnet| stack.transports.tcp.syncache.known_as = Default::default();
    assert!(remapped(Form::Once, CLIENT, lose).failure.is_some());
}

/// A cookie is accepted by a listener that has another address by then.
#[test]
fn a_syn_cookie_outlives_the_address_that_it_was_made_for() {
    let cookies = "
0.000 `sysctl -w net.inet.tcp.syncookies_only=1`
+0.00 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.00 bind(3, ..., ...) = 0
+0.00 listen(3, 2) = 0
+0.10 < S 0:0(0) win 65535 <mss 1460>
+0.00 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+0.10 < . 1:1(0) ack 1 win 65535
+0.00 accept(3, ..., ...) = 4
";
    for form in [Form::Each, Form::Once] {
        assert_eq!(remapped(form, cookies, whole).failure, None, "{form:?}");
    }
    let lose = |stack: &mut InetVnet| stack.transports.tcp.syncache.known_as = Default::default();
    let refused = remapped(Form::Once, cookies, lose);
    assert!(
        refused.failure.is_some(),
        "the cookie is for another address"
    );
}

#[test]
fn a_call_that_sleeps_is_moved_in_its_sleep() {
    let script = parser::parse(SERVER, &["FreeBSD"]).unwrap();
    let plain = run(&Emulated { seed: 1 }, &script);
    let sleeps = plain.happened.iter();
    let sleeps = sleeps.filter(|happened| happened.what == What::Sleeps);
    assert_eq!(sleeps.count(), 2);
}

fn each_entry(stack: &mut InetVnet, mut act: impl FnMut(&mut Entry)) {
    let ids: Vec<_> = stack.transports().iter().map(|e| e.so.id).collect();
    for id in ids {
        stack.transports.get_mut(id).map(&mut act);
    }
}

fn no_timer(stack: &mut InetVnet, timer: Timer) {
    let now = stack.ip.now;
    each_entry(stack, |entry| {
        if let Pcb::Tcp(tp) = &mut entry.pcb {
            tp.t_timers[timer as usize] = None;
        }
    });
    let ids: Vec<_> = stack.transports().iter().map(|e| e.so.id).collect();
    for id in ids {
        stack.transports.settle(id, now);
    }
}

#[test]
fn what_an_image_would_leave_out_is_missed_by_a_script() {
    type Lose = fn(&mut InetVnet);
    let losses: [(&str, &str, Lose); 6] = [
        ("delayed acknowledgement", SERVER, |stack| {
            no_timer(stack, Timer::Delack);
        }),
        ("retransmission", CLIENT, |stack| {
            no_timer(stack, Timer::Rexmt);
        }),
        ("order of the accept queue", QUEUE, |stack| {
            each_entry(stack, |entry| {
                if let Some(sol) = &mut entry.so.sol {
                    sol.sol_comp.make_contiguous().reverse();
                }
            });
        }),
        ("reassembly queue", SERVER, |stack| {
            each_entry(stack, |entry| {
                if let Pcb::Tcp(tp) = &mut entry.pcb {
                    tp.t_segq = Default::default();
                }
            });
        }),
        ("SYN cache", SERVER, |stack| {
            stack.transports.tcp.syncache.entries.clear();
        }),
        ("a nanosecond of the clock", CLIENT, |stack| {
            stack.clock_ahead += 1;
        }),
    ];
    for (name, text, lose) in losses {
        for form in [Form::Each, Form::Every, Form::Once] {
            let outcome = moving(form, text, lose);
            let failure = outcome.failure.unwrap_or_else(|| panic!("{name} {form:?}"));
            assert!(failure.what.contains("a move after event"), "{failure:?}");
            let culprit = outcome.culprit.unwrap();
            // That one move is enough to see it again.
            let again = moving(Form::At(culprit), text, lose);
            assert_eq!(again.failure, Some(failure), "{name}");
            assert_eq!(again.runs, 2);
        }
    }
}
