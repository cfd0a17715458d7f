// SPDX-License-Identifier: BSD-2-Clause
//! Whatever values the variables of a stack have, the kernel stays one: no arithmetic of it goes out of its range,
//! and an instance moves with them.

use super::parser::parse;
use super::run::{self, emulated::Emulated, moved::Form, moved::Moving};
use crate::net::ip::IpStack;
use crate::net::tcp::Sysctl;
use crate::rng::Rng;

/// A connection with data both ways, one segment of the peer's lost and one of the stack's own, a closed window, and
/// an end that nobody acknowledges. Nothing but the handshake is expected of the stack.
const BUSY: &str = "
+0.00 `sysctl -w net.inet.tcp.initcwnd_segments=40`
+0.00 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.00 bind(3, ..., ...) = 0
+0.00 listen(3, 1) = 0
+0.00 < S 0:0(0) win 65535 <mss 1460,sackOK,eol,eol>
+0.00 > S. 0:0(0) ack 1 <...>
+0.10 < . 1:1(0) ack 1 win 65535
+0.00 accept(3, ..., ...) = 4
SET
+0.00 send(4, ..., 30000, MSG_DONTWAIT) = 30000
+0.00 < . 1:1(0) ack 1 win 65535 <nop,nop,sack 1461:2921>
+0.00 < P. 1:1001(1000) ack 1 win 65535
+0.00 < P. 2001:3001(1000) ack 1 win 65535
+0.00 send(4, ..., 2000, MSG_DONTWAIT) = 2000
+1.00 < . 3001:3001(0) ack 1 win 0
+1.00 close(4) = 0
+2.00 close(3) = 0
";

/// Ends of the ranges that variables have, in C and by their own rules.
const ENDS: [i64; 14] = [
    i64::MIN,
    i32::MIN as i64,
    -1,
    0,
    1,
    8,
    216,
    1_024,
    2_304,
    65_535,
    2_097_152,
    i32::MAX as i64,
    u32::MAX as i64,
    i64::MAX,
];

/// Whether a stack takes this value of this variable.
fn is_taken(name: &str, value: i64) -> bool {
    let mut ip = IpStack::new(Rng::new(0, "sysctl"));
    ip.sysctl_set(name, value).is_ok() || Sysctl::default().set(name, value).is_ok()
}

/// How the script ends that sets a variable so, before its connection or in the midst of it; the text of what failed.
fn ends(form: Option<Form>, early: bool, set: &str) -> Option<String> {
    let (before, midst) = if early { (set, "") } else { ("", set) };
    let text = format!("{before}{}", BUSY.replace("SET\n", midst));
    let script = parse(&text, &["FreeBSD"]).expect("a script");
    let emulated = Emulated { seed: 1 };
    let remap = true;
    let failure = match form {
        None => run::run(&emulated, &script).failure,
        Some(form) => {
            let moving = Moving {
                emulated,
                form,
                remap,
            };
            let outcome = moving.run(&script);
            outcome.failure.filter(|_| outcome.move_seen)
        }
    };
    failure.map(|failure| format!("line {}: {} {:?}", failure.line, failure.what, failure.seen))
}

/// Each variable with the commands that set it to the least value that it takes, to none, and to the most.
fn each_end(mut run: impl FnMut(&str, [Option<String>; 3])) {
    for name in IpStack::SYSCTL_NAMES.iter().chain(Sysctl::NAMES) {
        let mut taken = ENDS.iter().filter(|value| is_taken(name, **value));
        let (least, most) = (taken.next(), taken.next_back());
        let none = Some(&0).filter(|none| is_taken(name, **none));
        // What a mark leaves of a window can be set only while marks are not like losses.
        let abe = |value: i64| format!("+0.00 `sysctl -w net.inet.tcp.cc.abe={value}`\n");
        let [before, after] = match name.ends_with("beta_ecn") {
            true => [abe(1), abe(0)],
            false => Default::default(),
        };
        let set = |value: &i64| format!("{before}+0.00 `sysctl -w {name}={value}`\n{after}");
        run(name, [least, none, most].map(|value| value.map(set)));
    }
}

#[test]
fn a_connection_survives_each_variable_at_each_end_of_its_range() {
    assert_eq!(ends(None, true, ""), None);
    let mut passed = std::collections::BTreeMap::<String, bool>::new();
    each_end(|name, sets| {
        let good = |set: &&String| ends(None, true, set).is_none();
        let any = sets.iter().flatten().filter(good).count() > 0;
        passed.insert(name.to_owned(), any);
    });
    // One of them at least leaves this connection as it is, but for buffers that no socket gets (soreserve).
    let never = passed.iter().filter(|(_, passed)| !**passed);
    let never: Vec<&str> = never.map(|(name, _)| name.as_str()).collect();
    assert_eq!(never, ["net.inet.tcp.recvspace", "net.inet.tcp.sendspace"]);
}

#[test]
fn a_variable_set_in_the_midst_of_a_connection_moves_along() {
    each_end(|_, [least, none, most]| {
        for set in [none.or(least), most].into_iter().flatten() {
            assert_eq!(ends(Some(Form::At(19)), false, &set), None, "{set}");
        }
    });
}
