// SPDX-License-Identifier: BSD-2-Clause
//! A vnet's IP layer, written, read back from bytes on a host with another clock, and gone on with.

use std::net::IpAddr;

use vpscore::cbor::{Decode, Encode, Text, decode_all, encode_to_list};
use vpscore::image::{Event, Reader, Ref, schema};
use vpscore::sock::Ceilings;

use super::super::digest::image_writer;
use super::error::CaptureError;
use super::error::{Unfit, Unmovable};
use super::ip::*;
use super::moved::{HEADER, owner};
use super::stacks::{NetImage, capture_stacks};
use crate::errno::Errno;
use crate::net::cx::IpLayer as _;
use crate::net::ether::MacAddr;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::ip::{IpStack, LOMTU};
use crate::net::packet::IpPacket;
use crate::net::socket::Inet;
use crate::net::tcp::Sysctl;
use crate::net::vnet::Vnet;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

const THEN: Instant = Instant::from_nanos(5_000_000_000);
const HERE: Instant = Instant::from_nanos(900_000_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Only bytes cross from one host to the other.
fn through_bytes<T: Encode + Decode>(record: &T) -> T {
    decode_all(encode_to_list(record).unwrap().as_slice()).unwrap()
}

/// A stack with a loopback as every vnet has it from the start.
fn fresh() -> IpStack {
    let mut stack = IpStack::new(Rng::new(7, "target"));
    let lo = stack.if_attach("lo0", IfKind::Loopback, LOMTU);
    for (addr, prefix_len) in [(ip("127.0.0.1"), 8), (ip("::1"), 128)] {
        stack.ifaddr_add(lo, IfAddr { addr, prefix_len }).unwrap();
    }
    stack
}

/// A stack with neighbours in every state of knowledge.
fn lived_in() -> (IpStack, IfIndex) {
    let mut stack = fresh();
    stack.set_now(THEN);
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let gone = stack.if_attach("epair9b", IfKind::Ethernet { mac }, 1500);
    stack.if_detach(gone).unwrap();
    let ether = stack.if_attach("epair0b", IfKind::Ethernet { mac }, 1400);
    for (addr, prefix_len) in [("10.0.0.1", 24), ("10.0.0.7", 24), ("2001:db8::1", 64)] {
        let addr = ip(addr);
        stack
            .ifaddr_add(ether, IfAddr { addr, prefix_len })
            .unwrap();
    }
    stack.route_add(ip("0.0.0.0"), 0, ip("10.0.0.254")).unwrap();
    stack.sysctl_set("net.inet.ip.forwarding", 1).unwrap();
    stack.sysctl_set("net.inet.ip.ttl", 33).unwrap();
    let table = stack.lltable_mut();
    let known = MacAddr([2, 0, 0, 0, 0, 9]);
    table.add_static((ether, ip("10.0.0.9")), known);
    table.arp_heard(THEN, (ether, ip("10.0.0.8")), known, true);
    table.nd_solicited_by(THEN, (ether, ip("2001:db8::8")), known);
    table.arp_heard(THEN, (ether, ip("10.0.0.6")), known, true);
    for dst in ["192.0.2.1", "2001:db8::9", "10.0.0.8"] {
        stack.output(packet(&stack, dst)).unwrap();
    }
    while stack.take_output().is_some() {}
    (stack, ether)
}

fn packet(stack: &IpStack, dst: &str) -> IpPacket {
    IpPacket {
        src: stack.source_for(ip(dst)).unwrap(),
        dst: ip(dst),
        tos: 0,
        ttl: 64,
        flow: 0,
        df: false,
        proto: 99,
        payload: vec![1, 2, 3].into(),
    }
}

fn moved(source: &IpStack) -> IpStack {
    let vnet_ref = Ref::new(3);
    let tcp = Sysctl::default();
    let mut target = fresh();
    target.set_now(HERE);
    let vnet = through_bytes(&vnet_record(source, &tcp, Ref::new(2), THEN).unwrap());
    restore_vnet(&vnet, &mut target, |_, _| Err(Errno::ENOENT)).unwrap();
    let ifp = |index: IfIndex| Some(Ref::new(index.0 + 100));
    let back = |at: vpscore::image::IfnetRef| IfIndex(at.id() - 100);
    for (index, ifnet) in source.ifnets() {
        let record = through_bytes(&ifnet_record(index, ifnet, vnet_ref).unwrap());
        assert_eq!(restore_ifnet(&record, &mut target), Ok(index));
    }
    for route in source.fib().routes() {
        if let Some(record) = route_record(route, vnet_ref, ifp).unwrap() {
            let record = through_bytes(&record);
            restore_route(&record, &mut target, back(record.ifp)).unwrap();
        }
    }
    for ((index, addr), entry) in &source.lltable.entries {
        let record = llentry_record(THEN, *addr, entry, ifp(*index).unwrap()).unwrap();
        let record = through_bytes(&record);
        restore_llentry(HERE, &record, &mut target, back(record.ifp));
    }
    target
}

#[test]
fn the_same_stack_stands_on_the_target_and_nobody_heard_of_it() {
    let (source, _) = lived_in();
    let mut target = moved(&source);
    assert!(target.take_output().is_none(), "a restore is silent");
    let mut expected = source.clone();
    expected.shift_timers(THEN, HERE);
    assert_eq!(target.fib, expected.fib);
    assert_eq!(target.sysctls, expected.sysctls);
    assert_eq!(target.ip_id, expected.ip_id);
    assert_eq!(target.next_ifindex, expected.next_ifindex);
    assert_eq!(target.next_callout(), expected.next_callout());
    for (index, ifnet) in expected.ifnets() {
        let same = target.ifnet(index).unwrap();
        assert_eq!((&same.name, same.kind), (&ifnet.name, ifnet.kind));
        assert_eq!((same.mtu, same.up), (ifnet.mtu, ifnet.up));
        assert_eq!(same.addrs, ifnet.addrs);
    }
    for (at, entry) in &expected.lltable.entries {
        let same = &target.lltable.entries[at];
        assert_eq!((same.mac, same.state), (entry.mac, entry.state), "{at:?}");
        assert_eq!((same.asked, same.deadline), (entry.asked, entry.deadline));
        assert_eq!(same.used, entry.used, "{at:?}");
        assert_eq!(same.hold, entry.hold, "{at:?}");
    }
}

#[test]
fn both_go_on_with_the_same_frames_at_the_same_distances() {
    let (mut source, ether) = lived_in();
    let mut target = moved(&source);
    let run = |stack: &mut IpStack, start: Instant| {
        let mut log = Vec::new();
        let later = |ms: u64| start.after(Duration::from_millis(ms));
        for ms in [300, 1_200, 2_500, 21_000, 1_300_000] {
            while let Some(due) = stack.next_callout().filter(|due| *due <= later(ms)) {
                stack.set_now(due);
                stack.run_callouts();
                while let Some((index, frame)) = stack.take_output() {
                    log.push((due.since(start), index, frame));
                }
            }
            stack.set_now(later(ms));
            for dst in ["192.0.2.1", "10.0.0.8", "2001:db8::8"] {
                let sent = stack.output(packet(stack, dst));
                assert!(sent.is_ok() || sent == Err(Errno::EHOSTUNREACH));
            }
            while let Some((index, frame)) = stack.take_output() {
                log.push((later(ms).since(start), index, frame));
            }
        }
        log
    };
    let there = run(&mut source, THEN);
    assert!(there.iter().any(|(_, index, _)| *index == ether));
    assert_eq!(run(&mut target, HERE), there);
}

#[test]
fn what_no_record_describes_is_refused_by_name() {
    let mut stack = fresh();
    let tun = stack.if_attach("tun0", IfKind::Tun, 1500);
    let ifnet = stack.ifnet(tun).unwrap();
    let refused = ifnet_record(tun, ifnet, Ref::new(3));
    assert_eq!(refused.unwrap_err(), Unmovable::Interface(tun));
    let net = ip("10.0.0.0");
    stack.route_add_interface(net, 8, tun).unwrap();
    let route = *stack.fib().lookup(net).unwrap();
    let refused = route_record(&route, Ref::new(3), |_| None);
    assert_eq!(refused.unwrap_err(), Unmovable::Route(tun));
}

#[test]
fn a_target_that_has_the_interface_already_refuses() {
    let (source, ether) = lived_in();
    let mut target = moved(&source);
    let record = ifnet_record(ether, source.ifnet(ether).unwrap(), Ref::new(3)).unwrap();
    assert_eq!(
        restore_ifnet(&record, &mut target),
        Err(Unfit::Conflict(Errno::EEXIST))
    );
}

#[test]
fn a_variable_that_the_target_lacks_is_refused() {
    let (source, _) = lived_in();
    let mut tcp = Sysctl::default();
    tcp.set("net.inet.tcp.keepidle", 5).unwrap();
    let record = vnet_record(&source, &tcp, Ref::new(2), THEN).unwrap();
    let mut seen = Vec::new();
    let refused = restore_vnet(&record, &mut fresh(), |name, value| {
        seen.push((name.to_owned(), value));
        Err(Errno::ENOENT)
    });
    assert_eq!(refused, Err(Unfit::Sysctl(Errno::ENOENT)));
    assert_eq!(seen, [("net.inet.tcp.keepidle".to_owned(), 5)]);
}

#[test]
fn a_limit_and_its_jitter_cross_in_whatever_order_they_were_set() {
    let of = |limit, jitter| {
        [
            ("net.inet.icmp.icmplim", limit),
            ("net.inet.icmp.icmplim_jitter", jitter),
        ]
    };
    for (set, last) in [
        // Each can only be set after the other, or not at all.
        (of(1_000, 500), None),
        (of(1_000, 500), Some(("net.inet.icmp.icmplim", 0))),
        (of(200, 5), Some(("net.inet.icmp.icmplim", 10))),
    ] {
        let mut source = fresh();
        source.set_now(THEN);
        for (name, value) in set.into_iter().chain(last) {
            source.sysctl_set(name, value).unwrap();
        }
        let target = moved(&source);
        let jitters = |stack: &IpStack| {
            stack
                .bandlim
                .rates()
                .map(|(_, rate)| rate.jitter)
                .collect::<Vec<_>>()
        };
        for (name, _) in set {
            assert_eq!(target.sysctl_get(name), source.sysctl_get(name), "{name}");
        }
        assert_eq!(jitters(&target), jitters(&source));
        assert_eq!(target.rng, source.rng);
    }
}

#[test]
fn a_second_that_ended_years_ago_is_one_that_is_over() {
    let years = |n: u64| Instant::BOOT.after(Duration::from_secs(n * 365 * 86_400));
    let mut source = fresh();
    source.set_now(years(100));
    let record = vnet_record(&source, &Sysctl::default(), Ref::new(2), years(100)).unwrap();
    let rates = through_bytes(&record).rates.unwrap();
    assert!(rates.iter().all(|rate| rate.age == Duration::from_secs(1)));
}

#[test]
fn a_limit_within_its_jitter_and_an_unknown_class_are_refused() {
    let of = |alter: fn(&mut schema::Vnet)| {
        let (source, _) = lived_in();
        let mut record = vnet_record(&source, &Sysctl::default(), Ref::new(2), THEN).unwrap();
        alter(&mut record);
        restore_vnet(&record, &mut fresh(), |_, _| Err(Errno::ENOENT))
    };
    let refused = Err(Unfit::Sysctl(Errno::EINVAL));
    let limit = |record: &mut schema::Vnet| {
        let name = Text::copy("net.inet6.icmp6.errppslimit").unwrap();
        record
            .sysctls
            .push(schema::SysctlVar { name, value: 8 })
            .unwrap();
    };
    assert_eq!(of(limit), refused);
    assert_eq!(
        of(|record| record.rates.as_mut().unwrap().get_mut(0).unwrap().class = 5),
        refused
    );
    assert_eq!(of(|_| {}), Ok(()));
}

/// An instance's record, as little as an image needs.
fn instance(parent: Option<u32>, name: &str) -> schema::Instance {
    schema::Instance {
        parent: parent.map(Ref::new),
        name: Text::copy(name).unwrap(),
        ..owner().unwrap()
    }
}

fn as_vnet(ip: IpStack) -> Vnet<Inet> {
    let mut vnet = Vnet::new(1, "source", Inet::new);
    vnet.ip = ip;
    vnet
}

#[test]
fn two_stacks_of_nested_instances_cross_in_one_image() {
    let (outer, inner) = (as_vnet(lived_in().0), as_vnet(lived_in().0));
    let mut w = image_writer(&HEADER).unwrap();
    let text = |s: &str| Text::copy(s).unwrap();
    w.object(&schema::Info {
        osrelease: text("15.0-RELEASE"),
        machine_arch: text("amd64"),
        writer: text("test"),
    })
    .unwrap();
    let root = w.object(&instance(None, "web")).unwrap();
    let nested = w.object(&instance(Some(root), "db")).unwrap();
    let stacks = [(Ref::new(root), &outer), (Ref::new(nested), &inner)];
    let vnets = capture_stacks(&mut w, &stacks, THEN).unwrap();
    let bytes = w.finish().unwrap();

    let mut image = NetImage::default();
    let mut reader = Reader::new();
    let mut input = bytes.as_slice();
    while let Some(event) = reader.feed(&mut input).unwrap() {
        if let Event::Object { id, object } = event {
            image.object(id, object);
        }
    }
    let mut built = image
        .build(9, |i| format!("i{}", i.id()), |_| HERE, Ceilings::MOST)
        .unwrap();
    for (vnet, (owner, source)) in vnets.iter().zip(stacks) {
        let mut target = built.remove(&vnet.id()).unwrap();
        assert_eq!(target.instance, owner);
        assert!(target.stack.is_suspended());
        assert_eq!(target.stack.take_output(), None);
        assert_eq!(target.stack.ip.fib, source.ip.fib);
        let later = HERE.after(Duration::from_secs(100));
        target.stack.resume(later);
        let mut expected = source.ip.clone();
        expected.shift_timers(THEN, later);
        assert_eq!(target.stack.next_callout(), expected.next_callout());
    }
    assert!(built.is_empty());
}

#[test]
fn a_stack_that_cannot_move_is_found_before_anything_is_written() {
    let (good, mut bad) = (as_vnet(fresh()), as_vnet(fresh()));
    let tun = bad.ip.if_attach("tun0", IfKind::Tun, 1500);
    let mut w = image_writer(&HEADER).unwrap();
    let stacks = [(Ref::new(2), &good), (Ref::new(2), &bad)];
    match capture_stacks(&mut w, &stacks, THEN) {
        Err(CaptureError::Unmovable(1, Unmovable::Interface(at))) => assert_eq!(at, tun),
        other => panic!("{other:?}"),
    }
}
