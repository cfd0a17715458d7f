// SPDX-License-Identifier: BSD-2-Clause
//! Sockets that a host cannot have: beyond its ceilings, or with what this kernel does not keep.

use std::net::SocketAddr;

use vpscore::cbor::{Breach, Record};
use vpscore::image::{Event, Object, Reader};
use vpscore::sock::{self, Ceilings, Rule};

use super::error::{BuildError, Unfit};
use super::moved::image_of;
use super::stacks::NetImage;
use crate::net::ifnet::{IfAddr, IfIndex, IfKind};
use crate::net::socket::{Domain, Inet, Proto};
use crate::net::vnet::Vnet;
use crate::time::Instant;

const NOW: Instant = Instant::from_nanos(5_000_000_000);

/// A stack with a listener, a bound socket and a datagram socket, and its interface.
fn source() -> (Vnet<Inet>, IfIndex) {
    let mut stack = Vnet::new(3, "source", Inet::new);
    let addr = [10, 0, 0, 1].into();
    let mac = crate::net::ether::MacAddr([2, 0, 0, 0, 0, 1]);
    let own = [IfAddr {
        addr,
        prefix_len: 24,
    }];
    let kind = IfKind::Ethernet { mac };
    let index = stack
        .attach(NOW, "epair0b", kind, 1500, &own)
        .expect("a fresh address");
    stack.with_transports(NOW, |inet, cx| {
        for (port, proto) in [(80, Proto::Tcp), (81, Proto::Tcp), (82, Proto::Udp)] {
            let so = inet.socreate(cx, Domain::Inet, proto).expect("room");
            inet.sobind(cx, so, SocketAddr::new(addr, port))
                .expect("a free port");
            if port == 80 {
                inet.solisten(cx, so, 7).expect("bound");
            }
        }
    });
    (stack, index)
}

/// It as an image.
fn image() -> Vec<u8> {
    image_of(&source().0, NOW).expect("a stack").0
}

/// Builds the image on a host; `alter` sees each socket first.
fn build(host: Ceilings, alter: impl Fn(&mut sock::Socket)) -> Result<(), Unfit> {
    let bytes = image();
    let (mut net, mut reader, mut input) = (NetImage::default(), Reader::new(), &bytes[..]);
    while let Some(event) = reader.feed(&mut input).expect("an image") {
        match event {
            Event::Object { id, mut object } => {
                if let Object::Socket(so) = &mut object {
                    alter(so);
                }
                let _other = net.object(id, object);
            }
            Event::Data {
                object,
                stream,
                bytes,
            } => assert!(net.data(object, stream, bytes)),
            _ => {}
        }
    }
    let built = net.build(9, |_| "target".to_owned(), |_| Instant::BOOT, host);
    built.map(drop).map_err(|error| match error {
        BuildError::Unfit(_, why) => why,
        BuildError::Reference(id) => panic!("nothing refers to {id}"),
    })
}

#[test]
fn a_host_takes_the_sockets_that_its_ceilings_have_room_for() {
    // The default buffer of 64 KiB needs a ninth more for its mbufs, as the datagram's 42,080 do.
    let host = |maxsockbuf, sockets| Ceilings {
        maxsockbuf,
        sockets,
    };
    let unaltered = |_: &mut sock::Socket| {};
    let waste = 8 * 65_536;
    assert_eq!(build(host(waste, 3), unaltered), Ok(()));
    let few = Err(Unfit::Census(Rule::Maxsockbuf));
    assert_eq!(build(host(65_536, 3), unaltered), few);
    assert_eq!(
        build(host(waste, 2), unaltered),
        Err(Unfit::Census(Rule::Maxsockets))
    );
}

#[test]
fn an_address_of_no_interface_is_refused() {
    let elsewhere = |so: &mut sock::Socket| {
        let inp = so.inpcb.as_mut().expect("inpcb");
        inp.inp_inc.laddr = sock::InAddr::V4([10, 0, 0, 2]);
    };
    let refused = Err(Unfit::Census(Rule::Address));
    assert_eq!(build(Ceilings::MOST, elsewhere), refused);
    // This kernel has no IP_BINDANY: what may have any address elsewhere may not come here.
    let bindany = |so: &mut sock::Socket| {
        elsewhere(so);
        so.inpcb.as_mut().expect("inpcb").inp_flags |= sock::INP_BINDANY;
    };
    let refused = Err(Unfit::Field(sock::Inpcb::inp_flags));
    assert_eq!(build(Ceilings::MOST, bindany), refused);
}

#[test]
fn a_socket_that_has_outlived_its_address_is_refused_by_its_source() {
    let (mut stack, index) = source();
    let gone = stack.ip.ifaddr_delete(index, [10, 0, 0, 1].into());
    gone.expect("its address");
    let listener = stack.transports.by_age().into_iter().next();
    let listener = listener.expect("the oldest").so.id;
    let refused = image_of(&stack, NOW).map(drop);
    let refused = format!("{:?}", refused.expect_err("no host would take it"));
    let why = format!("Capture(Unmovable(0, Census(Some({listener:?}), Address)))");
    assert_eq!(refused, why);
}

#[test]
fn what_this_kernel_does_not_keep_is_refused_by_record_and_field() {
    let lost = |record, key| Err(Unfit::Lost(Breach { record, key }));
    let delayed = build(Ceilings::MOST, |so| {
        if let Some(tp) = &mut so.tcpcb {
            tp.t_delayed_ack = 3;
        }
    });
    let key = sock::Tcpcb::t_delayed_ack;
    assert_eq!(delayed, lost(<sock::Tcpcb as Record>::SCHEMA, key));
    let cookie = build(Ceilings::MOST, |so| so.so_user_cookie = 1);
    let key = sock::Socket::so_user_cookie;
    assert_eq!(cookie, lost(<sock::Socket as Record>::SCHEMA, key));
}
