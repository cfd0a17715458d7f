// SPDX-License-Identifier: BSD-2-Clause
//! Sockets beside each other: what is refused, by rule and object, and what is not.

use model_tests::image::{list, socket, syncache};
use vpscore::errno::Errno;
use vpscore::image::Ref;
use vpscore::limits::{SOCKETS_MAX, TCP_HOLES_MAX};
use vpscore::sock::{
    Ceilings, Census, INP_BINDANY, INP_DROPPED, InAddr, Offence, Rule, SackHole, Seq, Socket,
    Syncache,
};

const VNET: u32 = 1;
const LISTENER: u32 = 3;
const SERVER: InAddr = InAddr::V4([10, 0, 0, 2]);

/// The listener of the sample, then these connections from the fourth object on, then these embryos.
fn census(
    host: Ceilings,
    connections: impl IntoIterator<Item = Socket>,
    embryos: impl IntoIterator<Item = Syncache>,
) -> Result<(), Offence> {
    let mut census = Census::new(host);
    census.address(VNET, SERVER, 24).expect("memory");
    census
        .address(9, InAddr::V4([10, 9, 9, 9]), 24)
        .expect("memory");
    census.socket(LISTENER, &socket(VNET, 2, None))?;
    let mut object = LISTENER;
    for so in connections {
        object += 1;
        census.socket(object, &so)?;
    }
    for sc in embryos {
        object += 1;
        census.syncache(object, &sc)?;
    }
    census.finish()
}

fn most(connections: impl IntoIterator<Item = Socket>) -> Result<(), Offence> {
    census(Ceilings::MOST, connections, [])
}

/// A connection from this port of the client, waiting at the listener.
fn from_port(fport: u16) -> Socket {
    let mut so = socket(VNET, 2, Some(LISTENER));
    so.inpcb.as_mut().expect("inpcb").inp_inc.fport = fport;
    so
}

fn altered(alter: impl Fn(&mut Socket)) -> Socket {
    let mut so = from_port(40_000);
    alter(&mut so);
    so
}

fn breaks(rule: Rule, object: u32) -> Result<(), Offence> {
    Err(Offence { object, rule })
}

#[test]
fn two_connections_with_the_same_ends_are_refused_and_one_that_was_dropped_has_none() {
    assert_eq!(most([from_port(1), from_port(2)]), Ok(()));
    assert_eq!(
        most([from_port(7), from_port(2), from_port(7)]),
        breaks(Rule::Ends, 6)
    );
    let mut dropped = from_port(7);
    dropped.inpcb.as_mut().expect("inpcb").inp_flags |= INP_DROPPED;
    assert_eq!(most([from_port(7), dropped]), Ok(()));
    let mut embryo = syncache(VNET, 2);
    let inc = from_port(7).inpcb.expect("inpcb").inp_inc;
    embryo.sc_inc = inc;
    // A new SYN may be on its way while the old connection lingers.
    assert_eq!(census(Ceilings::MOST, [from_port(7)], [embryo]), Ok(()));
    let twice = [syncache(VNET, 2), syncache(VNET, 2)];
    assert_eq!(census(Ceilings::MOST, [], twice), breaks(Rule::Ends, 5));
}

#[test]
fn ends_are_the_same_in_one_vnet_and_protocol_only() {
    let mut other = from_port(1);
    other.so_vnet = Ref::new(9);
    other.so_listen = None;
    other.inpcb.as_mut().expect("inpcb").inp_flags |= INP_BINDANY;
    assert_eq!(most([from_port(1), other]), Ok(()));
}

#[test]
fn a_local_address_is_one_of_the_vnets_own_or_was_allowed_to_be_another() {
    let at = |laddr| altered(move |so| so.inpcb.as_mut().expect("inpcb").inp_inc.laddr = laddr);
    // Of another vnet, of nobody.
    for laddr in [[10, 9, 9, 9], [10, 0, 0, 3], [10, 0, 1, 255]] {
        assert_eq!(most([at(InAddr::V4(laddr))]), breaks(Rule::Address, 4));
    }
    for laddr in [SERVER, InAddr::ANY4, InAddr::V4([10, 0, 0, 255])] {
        assert_eq!(most([at(laddr)]), Ok(()));
    }
    for flag in [INP_BINDANY, INP_DROPPED] {
        let mut so = at(InAddr::V4([10, 0, 0, 3]));
        so.inpcb.as_mut().expect("inpcb").inp_flags |= flag;
        assert_eq!(most([so]), Ok(()));
    }
    let mut embryo = syncache(VNET, 2);
    embryo.sc_inc.laddr = InAddr::V4([10, 0, 0, 3]);
    assert_eq!(
        census(Ceilings::MOST, [], [embryo]),
        breaks(Rule::Address, 4)
    );
}

#[test]
fn a_link_local_address_is_the_same_with_and_without_its_zone() {
    let link_local = |zone| {
        let mut bytes = [0; 16];
        (bytes[0], bytes[1], bytes[3], bytes[15]) = (0xfe, 0x80, zone, 1);
        InAddr::V6(bytes)
    };
    let mut census = Census::new(Ceilings::MOST);
    census.address(VNET, link_local(0), 64).expect("memory");
    let so = altered(|so| {
        so.so_listen = None;
        so.inpcb.as_mut().expect("inpcb").inp_inc.laddr = link_local(2);
    });
    assert_eq!(census.socket(1, &so), Ok(()));
}

#[test]
fn a_connection_waits_at_a_listener_of_its_vnet() {
    for listener in [2, 4] {
        let so = altered(|so| so.so_listen = Some(Ref::new(listener)));
        assert_eq!(most([so]), breaks(Rule::Listener, 4));
    }
    let so = altered(|so| so.so_vnet = Ref::new(9));
    assert_eq!(most([so]), breaks(Rule::Listener, 4));
}

#[test]
fn a_queue_may_be_longer_than_the_backlog_that_its_listener_has_now() {
    // The sample's backlog is 128: solisten_clone lets in the 193rd, and no more.
    assert_eq!(most((0..194).map(from_port)), Ok(()));
}

#[test]
fn buffers_and_the_window_that_is_open_stay_within_the_hosts_maxsockbuf() {
    let host = Ceilings {
        maxsockbuf: 2_097_152,
        ..Ceilings::MOST
    };
    // 2 MiB * 2048 / (256 + 2048).
    assert_eq!(host.sb_max_adj(), 1_864_135);
    assert_eq!(
        Ceilings::MOST.sb_max_adj(),
        u64::MAX / 9 * 8 + u64::MAX % 9 * 8 / 9
    );
    type Alter = fn(&mut Socket, u32);
    let cases: &[(u32, Alter)] = &[
        (1_864_135, |so, n| {
            so.so_rcv.as_mut().expect("so_rcv").sb_hiwat = n
        }),
        (1_864_135, |so, n| {
            so.so_snd.as_mut().expect("so_snd").sb_hiwat = n
        }),
        (2_097_152, |so, n| {
            so.so_snd.as_mut().expect("so_snd").sb_ccc = n
        }),
        (2_097_152, |so, n| {
            so.so_snd.as_mut().expect("so_snd").sb_mbmax = n
        }),
        // Five bytes are in the buffer.
        (2_097_147, |so, n| {
            let tp = so.tcpcb.as_mut().expect("tcpcb");
            tp.rcv_adv = tp.rcv_nxt.plus(n);
        }),
    ];
    for (limit, alter) in cases {
        assert_eq!(census(host, [altered(|so| alter(so, *limit))], []), Ok(()));
        let over = altered(|so| alter(so, *limit + 1));
        assert_eq!(census(host, [over], []), breaks(Rule::Maxsockbuf, 4));
    }
    let mut listener = socket(VNET, 2, None);
    listener.listen.as_mut().expect("listen").sbrcv_hiwat = 1_864_136;
    assert_eq!(census(host, [listener], []), breaks(Rule::Maxsockbuf, 4));
}

#[test]
fn sockets_and_holes_are_counted_together() {
    let host = Ceilings {
        sockets: 3,
        ..Ceilings::MOST
    };
    assert_eq!(census(host, [1, 2].map(from_port), []), Ok(()));
    assert_eq!(
        census(host, [1, 2, 3].map(from_port), []),
        breaks(Rule::Maxsockets, 6)
    );
    assert_eq!(Ceilings::MOST.sockets, SOCKETS_MAX);
    let holed = |fport| {
        let mut so = from_port(fport);
        let holes = (0..TCP_HOLES_MAX as u32 / 2).map(|n| SackHole {
            start: Seq(2 * n),
            end: Seq(2 * n + 1),
            rxmit: Seq(2 * n),
        });
        so.tcpcb.as_mut().expect("tcpcb").snd_holes = list(holes);
        so
    };
    assert_eq!(most([1, 2].map(holed)), Ok(()));
    assert_eq!(most([1, 2, 3].map(holed)), breaks(Rule::Holes, 6));
}

#[test]
fn every_rule_has_an_errno() {
    assert_eq!(Errno::from(Rule::Address), Errno::EADDRNOTAVAIL);
    assert_eq!(Errno::from(Rule::Ends), Errno::EADDRINUSE);
    assert_eq!(Errno::from(Rule::Maxsockbuf), Errno::ENOBUFS);
}
