// SPDX-License-Identifier: BSD-2-Clause
//! Images of stacks in all kinds of states, captured from worlds that got there by themselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use sim::join::net::moved::image_of;
use sim::net::cx::SoId;
use sim::net::link::{Link, WireConfig};
use sim::net::socket::{Domain, Proto, SendFlags, Shut};
use sim::time::Duration;
use vpscore::image::Object;
use vpscore::sock::Tcpcb;

use crate::image::{Item, read};
use crate::two_stacks::{CLEAN, TwoStacks};

/// The images, each of another kind of state; the same in every run.
pub fn templates() -> &'static [Vec<Item>] {
    static ALL: OnceLock<Vec<Vec<Item>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = BTreeMap::new();
        for seed in 0..2 {
            transfer(seed, &mut found);
        }
        orderly(&mut found);
        strangers(&mut found);
        fast_open(&mut found);
        found
            .into_values()
            .filter(|items| !items.is_empty())
            .collect()
    })
}

type Found = BTreeMap<String, Vec<Item>>;

/// Captures both hosts, where they are in a state that none was in before. What a glance shows decides
/// whether that is looked at; `closely` skips the glance.
fn look(two: &mut TwoStacks, closely: bool, found: &mut Found) {
    for host in 0..2 {
        let glance = glance(two, host);
        if !closely && found.contains_key(&glance) {
            continue;
        }
        found.entry(glance).or_default();
        let stack = &two.stacks[host];
        let (bytes, _) = image_of(stack, two.now).expect("a stack can be captured at any moment");
        let items = read(&bytes, usize::MAX).expect("what was captured can be read");
        found.entry(kind(&items)).or_insert(items);
    }
}

/// What programs may know of the connections of a host.
fn glance(two: &mut TwoStacks, host: usize) -> String {
    let now = two.now;
    two.stacks[host].with_transports(now, |inet, cx| {
        let mut all = vec![format!("glance {}", inet.syncache_count().min(1))];
        for so in inet.tcp_sockets() {
            let (Some(x), Ok(info)) = (inet.xtcpcb(so), inet.tcp_info(cx, so)) else {
                continue;
            };
            let marks = [x.t_segqlen, info.dupacks, info.rcv_numsacks, x.so_rcv.sb_cc];
            all.push(format!("{:?} {:?}", x.t_state, marks.map(|mark| mark > 0)));
        }
        all.join(" ")
    })
}

/// What is special about a state.
fn kind(items: &[Item]) -> String {
    let mut all: Vec<String> = items.iter().filter_map(special).collect();
    all.sort();
    all.dedup();
    all.join(" ")
}

fn special(item: &Item) -> Option<String> {
    let Item::Object(_, object) = item else {
        return None;
    };
    match &**object {
        Object::Syncache(_) => Some("syncache".to_owned()),
        Object::TcpVnet(tcp) => Some(format!(
            "{} {} {}",
            tcp.hostcache.is_empty(),
            tcp.fastopen_ccache.is_empty(),
            tcp.md5_keys.is_some(),
        )),
        Object::Socket(so) => Some(match &so.tcpcb {
            Some(tp) => connection(tp),
            None => format!(
                "{:?} {}",
                so.so_type,
                so.so_rcv.iter().any(|sb| sb.sb_ccc > 0)
            ),
        }),
        _ => None,
    }
}

fn connection(tp: &Tcpcb) -> String {
    let timers = &tp.t_timers;
    let marks = [
        ("holes", !tp.snd_holes.is_empty()),
        ("segq", !tp.t_segq.is_empty()),
        ("persist", timers.persist.is_some()),
        ("rexmt", tp.t_rxtshift > 0),
        ("recovery", tp.t_flags & 0x2010_0000 != 0),
        (
            "urgent",
            tp.t_oobflags != 0 || tp.snd_up.since(tp.snd_una) > 0,
        ),
        ("delack", timers.delack.is_some()),
        ("tfo", tp.tfo.is_some()),
    ];
    let marks: Vec<&str> = marks.iter().filter(|m| m.1).map(|m| m.0).collect();
    format!("{:?} {}", tp.t_state, marks.join(","))
}

/// Runs for so long, and looks after every event.
fn run(two: &mut TwoStacks, ms: u64, found: &mut Found) {
    let end = two.now.after(Duration::from_millis(ms));
    let mut events = 0_u32;
    while two.step(end) {
        events += 1;
        look(two, events.is_multiple_of(64), found);
    }
    look(two, true, found);
}

fn link(seed: u64) -> Link {
    Link::new(WireConfig {
        latency: Duration::from_millis(20),
        loss_ppm: if seed == 0 { 0 } else { 80_000 },
        reorder_ppm: if seed == 0 { 0 } else { 50_000 },
        reorder_delay: Duration::from_millis(15),
        ..CLEAN
    })
}

/// A connection both ways, from its SYN to the end of TIME-WAIT.
fn transfer(seed: u64, found: &mut Found) {
    let mut two = TwoStacks::new(seed, 1500, link(seed));
    let listener = two.listen(1, 80, 3);
    look(&mut two, true, found);
    let client = two.connect(0, 80);
    let waiting = two.connect(0, 80);
    run(&mut two, 5_000, found);
    let Some(server) = two.accept(1, listener) else {
        return;
    };
    let data: Vec<u8> = (0..30_000_u32).map(|n| n as u8).collect();
    push(&mut two, 0, client, &data);
    run(&mut two, 300, found);
    push(&mut two, 1, server, &data[..5_000]);
    two.call(0, |inet, cx| {
        let oob = SendFlags {
            oob: true,
            ..SendFlags::default()
        };
        let _room = inet.sosend(cx, client, b"urgent", oob, None);
    });
    run(&mut two, 8_000, found);
    // The window closes, and the peer probes it.
    for _ in 0..4 {
        push(&mut two, 0, client, &data);
        run(&mut two, 8_000, found);
    }
    two.call(1, |inet, cx| {
        let _all = inet.soreceive(cx, server, 1 << 20, Default::default());
    });
    run(&mut two, 2_000, found);
    shut(&mut two, 0, client);
    run(&mut two, 10, found);
    if seed.is_multiple_of(2) {
        shut(&mut two, 1, server);
    }
    run(&mut two, 3_000, found);
    shut(&mut two, 1, server);
    two.call(0, |inet, cx| inet.soclose_now(cx, client));
    two.call(0, |inet, cx| inet.soclose_now(cx, waiting));
    run(&mut two, 90_000, found);
}

fn push(two: &mut TwoStacks, host: usize, so: SoId, data: &[u8]) {
    two.call(host, |inet, cx| {
        let _room = inet.sosend(cx, so, data, SendFlags::default(), None);
    });
}

fn shut(two: &mut TwoStacks, host: usize, so: SoId) {
    two.call(host, |inet, cx| {
        let _gone = inet.soshutdown(cx, so, Shut::Wr);
    });
}

/// A connection that is closed by one end, then by the other.
fn orderly(found: &mut Found) {
    let mut two = TwoStacks::new(5, 1500, link(0));
    let (client, server) = two.pair();
    for (host, so) in [(0, client), (1, server)] {
        shut(&mut two, host, so);
        look(&mut two, true, found);
        run(&mut two, 500, found);
    }
}

/// Datagrams and raw packets, and sockets of IPv6.
fn strangers(found: &mut Found) {
    let mut two = TwoStacks::new(9, 1500, Link::new(CLEAN));
    let any6 = SocketAddr::from(([0_u16; 8], 80));
    let (to, from) = (two.addr(1, 53), two.addr(0, 53));
    two.call(0, |inet, cx| {
        inet.cc_algorithm_set("newreno").expect("a known algorithm");
        inet.tcp_md5_key(from.ip(), to.ip(), b"secret");
        let so = inet.socreate(cx, Domain::Inet, Proto::Tcp).expect("room");
        inet.set_nonblocking(so, true);
        // Nobody listens there.
        let _refused = inet.soconnect(cx, so, to);
    });
    for (host, own) in [(0, from), (1, to)] {
        two.call(host, |inet, cx| {
            let udp = inet.socreate(cx, Domain::Inet, Proto::Udp).expect("room");
            inet.sobind(cx, udp, own).expect("a free port");
            if host == 0 {
                inet.soconnect(cx, udp, to).expect("a route");
                let sent = inet.sosend(cx, udp, b"datagram", SendFlags::default(), None);
                sent.expect("sent");
            }
            inet.socreate(cx, Domain::Inet, Proto::Raw(1))
                .expect("room");
            let six = inet.socreate(cx, Domain::Inet6, Proto::Tcp).expect("room");
            inet.sobind(cx, six, any6).expect("a free port");
            inet.solisten(cx, six, 2).expect("bound");
            let other = inet.socreate(cx, Domain::Inet6, Proto::Udp).expect("room");
            inet.sobind(cx, other, any6).expect("a free port");
        });
    }
    run(&mut two, 1_000, found);
}

/// A connection whose SYN carries data.
fn fast_open(found: &mut Found) {
    const IPPROTO_TCP: i32 = 6;
    const TCP_FASTOPEN: i32 = 1025;
    let mut two = TwoStacks::new(11, 1500, link(0));
    let (own, peer) = (two.addr(1, 80), two.addr(1, 80));
    let on = 1_i32.to_le_bytes();
    two.call(1, |inet, cx| {
        inet.sysctl_set(cx, "net.inet.tcp.fastopen.server_enable", 1)
            .expect("a known variable");
        let so = inet.socreate(cx, Domain::Inet, Proto::Tcp).expect("room");
        inet.sosetopt(cx, so, IPPROTO_TCP, TCP_FASTOPEN, &on)
            .expect("a known option");
        inet.sobind(cx, so, own).expect("a free port");
        inet.solisten(cx, so, 5).expect("bound");
    });
    for _ in 0..2 {
        two.call(0, |inet, cx| {
            let so = inet.socreate(cx, Domain::Inet, Proto::Tcp).expect("room");
            inet.set_nonblocking(so, true);
            inet.sosetopt(cx, so, IPPROTO_TCP, TCP_FASTOPEN, &on)
                .expect("a known option");
            let _begun = inet.sosend(cx, so, b"at once", SendFlags::default(), Some(peer));
        });
        run(&mut two, 2_000, found);
    }
}
