// SPDX-License-Identifier: BSD-2-Clause
//! Every field of the kernel's own structures is carried by an image, or stands in a table with the
//! reason why nothing later depends on it.
//!
//! The names are those that `Debug` derives, so a new field is seen here without anybody's doing; it
//! must have another value in a sample than in a new structure, and come back with it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::carry_tests::{NOW, cubic, embryo, hint, inpcb, tcp, tcpcbs, through};
use super::moved::{image_of, stack_of};
use super::so::{inpcb_record, restore_inpcb, restore_sockbuf, sockbuf_record};
use crate::errno::Errno;
use crate::net::cx::SoId;
use crate::net::ifnet::{IfAddr, IfKind};
use crate::net::inpcb::{InConninfo, Inpcb};
use crate::net::sockbuf::{SB_AUTOSIZE, SBS_CANTRCVMORE, Sockbuf};
use crate::net::socket::{Domain, Entry, Inet, Proto, bits};
use crate::net::tcp::{CcVar, Cubic, SackHint, Sysctl, Tcp, Tcpcb};
use crate::net::vnet::Vnet;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Fields that no image has, and why.
type Table = &'static [(&'static str, &'static str)];

const TCPCB: Table = &[];
const SOCKBUF: Table = &[("record_bytes", "the sum over records")];
const ENTRY: Table = &[
    ("inhash", "entered again under the addresses of inp"),
    ("so", "field by field in SOCKET"),
    ("pcb", "field by field in TCPCB"),
];
const SOCKET: Table = &[
    (
        "id",
        "a name of this kernel; objects of the image stand for it",
    ),
    ("so_count", "counted anew: descriptor, queue, protocol"),
];
const TCP: Table = &[
    ("sysctl", "in the record of the vnet, by name"),
    (
        "stat",
        "counters that programs only look at; they begin anew, as after a boot",
    ),
    ("tcbinfo", "made as sockets are entered"),
    ("timerq", "made as sockets are entered"),
    ("tfo_released", "empty between calls"),
];
const INET: Table = &[
    ("slots", "the sockets, one by one in ENTRY"),
    ("free", "places of this kernel"),
    ("births", "names of this kernel"),
    ("udb", "made as sockets are entered"),
    ("tcp", "field by field in TCP"),
];
const VNET: Table = &[
    ("ip", "in records of its own, see net"),
    ("transports", "field by field in INET"),
    ("wakeups", "taken by the kernel after each event"),
    ("woken", "empty between calls"),
    ("suspended_at", "the moment of the image, its clock"),
    ("clock_ahead", "made as the vnet goes on"),
    ("lost_suspended", "a counter"),
    (
        "rng",
        "carried, and compared by itself, for Debug does not show where it stands",
    ),
];

/// The fields of a structure and what they hold.
fn fields(of: &impl Debug) -> BTreeMap<String, String> {
    let text = format!("{of:#?}");
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut last = None;
    for line in text.lines().skip(1) {
        let own = line
            .strip_prefix("    ")
            .filter(|rest| !rest.starts_with([' ', ']', '}', ')']));
        if let Some((name, value)) = own.and_then(|rest| rest.split_once(": ")) {
            all.insert(name.to_owned(), value.to_owned());
            last = Some(name.to_owned());
        } else if let Some(value) = last.as_ref().and_then(|name| all.get_mut(name)) {
            value.push_str(line.trim());
        }
    }
    all
}

/// Every field but those of the table has another value in a sample than in `fresh`, and comes back.
fn complete<T: Debug>(fresh: &T, pairs: &[(T, T)], table: Table) {
    let fresh = fields(fresh);
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| (fields(a), fields(b))).collect();
    for (name, reason) in table {
        assert!(
            fresh.contains_key(*name) && !reason.is_empty(),
            "no field {name}"
        );
    }
    for (name, value) in &fresh {
        if table.iter().any(|(known, _)| known == name) {
            continue;
        }
        let said = pairs.iter().any(|(sample, _)| sample[name] != *value);
        assert!(said, "no sample says anything of {name}");
        for (sample, back) in &pairs {
            assert_eq!(sample[name], back[name], "{name} does not come back");
        }
    }
}

#[test]
fn every_field_of_a_tcpcb_is_carried_or_excused() {
    let fresh = Tcpcb::new(&Sysctl::default(), false, Instant::BOOT);
    let pairs: Vec<_> = tcpcbs()
        .into_iter()
        .map(|tp| (tp.clone(), through(&tp)))
        .collect();
    complete(&fresh, &pairs, TCPCB);
    let tp = tcpcbs().remove(0);
    let back = through(&tp);
    complete(
        &CcVar::new(&newreno()),
        &[(tp.t_ccv, back.t_ccv.clone())],
        &[],
    );
    complete(&Cubic::default(), &[(cubic(), back.t_ccv.cubic)], &[]);
    complete(&SackHint::default(), &[(hint(), back.sackhint)], &[]);
}

fn newreno() -> Sysctl {
    Sysctl {
        cubic: 0,
        ..Sysctl::default()
    }
}

#[test]
fn every_field_of_an_inpcb_is_carried_or_excused() {
    let record = inpcb_record(&inpcb(), Proto::Tcp).expect("memory");
    let back = restore_inpcb(&record, true).expect("its own record");
    complete(&Inpcb::new(false), &[(inpcb(), back)], &[]);
}

#[test]
fn every_field_of_a_sockbuf_is_carried_or_excused() {
    let sysctl = Sysctl::default();
    let mut stream = Sockbuf::reserve(65_536, 3);
    stream.bytes.extend(b"stream");
    (stream.sb_state, stream.sb_flags) = (SBS_CANTRCVMORE, SB_AUTOSIZE);
    stream.sb_timeo = Duration::from_millis(5);
    let mut datagrams = Sockbuf::reserve(42_080, 1);
    let from = "10.0.0.9:53".parse().expect("an address");
    let (data, control) = (b"data".to_vec(), Vec::new());
    assert!(datagrams.append_record(crate::net::sockbuf::Record {
        from,
        data,
        control
    }));
    let pairs = [(stream, false), (datagrams, true)].map(|(sb, records)| {
        let (record, bytes) = sockbuf_record(&sb, &sysctl).expect("memory");
        let back = restore_sockbuf(&record, &bytes, records, &sysctl);
        (sb, back.expect("its own record"))
    });
    complete(&Sockbuf::default(), &pairs, SOCKBUF);
}

#[test]
fn every_field_of_what_tcp_keeps_is_carried_or_excused() {
    let inc = InConninfo {
        faddr: [10, 0, 0, 2].into(),
        laddr: [10, 0, 0, 1].into(),
        fport: 4_000,
        lport: 80,
    };
    let mut stack = vnet();
    stack.transports.tcp = tcp();
    stack.transports.tcp.syncache_restore(embryo(inc), NOW);
    let back = again(&stack);
    let fresh = Tcp::new(&mut Rng::new(5, "fresh"));
    complete(&fresh, &[(stack.transports.tcp, back.transports.tcp)], TCP);
}

fn vnet() -> Vnet<Inet> {
    let mut stack = Vnet::new(3, "complete", Inet::new);
    let own = IfAddr {
        addr: [10, 0, 0, 1].into(),
        prefix_len: 24,
    };
    let mac = crate::net::ether::MacAddr([2, 0, 0, 0, 0, 1]);
    stack
        .attach(NOW, "epair0b", IfKind::Ethernet { mac }, 1500, &[own])
        .expect("a fresh address");
    stack
}

fn again(stack: &Vnet<Inet>) -> Vnet<Inet> {
    let (bytes, _) = image_of(stack, NOW).expect("a stack");
    stack_of(&bytes, 77).expect("its own image").stack
}

/// The youngest socket.
fn last(stack: &Vnet<Inet>) -> Entry {
    let all = stack.transports.by_age();
    (*all.last().expect("a socket")).clone()
}

#[test]
fn every_field_of_a_socket_and_of_a_vnet_is_carried_or_excused() {
    let mut stack = vnet();
    let fresh_vnet = stack.clone();
    let own = std::net::SocketAddr::from(([10, 0, 0, 1], 80));
    let (listener, waiting) = stack.with_transports(NOW, |inet, cx| {
        let listener = inet.socreate(cx, Domain::Inet6, Proto::Udp).expect("room");
        inet.soclose_now(cx, listener);
        let listener = inet.socreate(cx, Domain::Inet, Proto::Tcp).expect("room");
        inet.sobind(cx, listener, own).expect("a free port");
        inet.solisten(cx, listener, 7).expect("bound");
        let waiting = inet.socreate(cx, Domain::Inet, Proto::Tcp).expect("room");
        (listener, waiting)
    });
    // What a socket can have while it waits to be accepted, and what a listener has.
    let entry = stack.transports.get_mut(waiting).expect("a socket");
    entry.so.so_options = bits::SO_KEEPALIVE | bits::SO_LINGER;
    entry.so.so_state = bits::SS_ISCONNECTED | bits::SS_NBIO;
    entry.so.so_error = Some(Errno::ECONNRESET);
    (entry.so.so_linger, entry.so.so_oobmark) = (40_000, 3);
    entry.so.so_listen = Some(listener);
    entry.so.so_rcv.bytes.extend(b"received");
    entry.so.so_snd.bytes.extend(b"to send");
    entry.inp.inp_ip_tos = 0x28;
    let sol = stack
        .transports
        .get_mut(listener)
        .and_then(|entry| entry.so.sol.as_mut());
    sol.expect("a listener").sol_comp.push_back(waiting);
    let back = again(&stack);
    let sample = last(&stack);
    let same_listener = |mut entry: Entry| {
        entry.so.so_listen = entry.so.so_listen.map(|_| SoId(0));
        entry
    };
    let (sample, restored) = (same_listener(sample), same_listener(last(&back)));
    assert!(
        back.transports
            .get(last(&back).so.so_listen.expect("waits"))
            .is_some()
    );
    let by_age = |stack: &Vnet<Inet>| {
        let all = stack.transports.by_age();
        all.first()
            .map(|entry| (*entry).clone())
            .expect("a listener")
    };
    let other_family = by_age(&{
        let mut stack = vnet();
        stack.with_transports(NOW, |inet, cx| {
            inet.socreate(cx, Domain::Inet6, Proto::Udp).expect("room")
        });
        stack
    });
    let sol = |entry: Entry| {
        let mut entry = entry;
        // Names of those that wait are this kernel's.
        entry.so.sol.as_mut().expect("listens").sol_comp.clear();
        entry
    };
    let listeners = (sol(by_age(&stack)), sol(by_age(&back)));
    complete(
        &other_family.so,
        &[
            (sample.so.clone(), restored.so.clone()),
            (listeners.0.so, listeners.1.so),
        ],
        SOCKET,
    );
    complete(&other_family, &[(sample, restored)], ENTRY);
    complete(
        &fresh_vnet.transports,
        &[(stack.transports.clone(), back.transports.clone())],
        INET,
    );
    stack.rng.next_u64();
    let back = again(&stack);
    assert_ne!(stack.rng, fresh_vnet.rng);
    assert_eq!(stack.rng, back.rng);
    complete(&fresh_vnet, &[(stack, back)], VNET);
}
