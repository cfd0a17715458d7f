// SPDX-License-Identifier: BSD-2-Clause
//! An instance that gets other addresses: no field of the schema that names one is forgotten, and
//! what cannot be is refused by name.

mod sample;
mod schema;

use model_tests::fuzz::image::remap as fuzzed;
use model_tests::image::list;
use proptest::collection::vec;
use proptest::prelude::*;
use vpscore::cbor::encode_to_list;
use vpscore::image::schema::{Abi, IpqPiece, LlState};
use vpscore::image::{KINDS, Object};
use vpscore::net::{Fate, Mapping, Remap, RemapError, Remapping};
use vpscore::sock::{Domain, InAddr, SbRecord, SoType, Socket, TF_SIGNATURE};

use sample::{SAMPLE, bytes, encoded, objects, octets, packet};

fn mapping(from: InAddr, to: InAddr) -> Mapping {
    Mapping {
        from,
        to,
        prefixlen: to.bits() - 8,
        router: None,
    }
}

fn remap(mappings: impl IntoIterator<Item = Mapping>) -> Remap {
    Remap::new(list(mappings)).expect("possible")
}

fn apply(remap: &Remap, objects: &mut Vec<(u32, Object)>) -> Result<(), RemapError> {
    let mut remapping = Remapping::new(remap, Abi::SimLp64)?;
    let mut left = Vec::new();
    for (id, mut object) in objects.drain(..) {
        if remapping.object(id, &mut object)? == Fate::Stays {
            left.push((id, object));
        }
    }
    *objects = left;
    remapping.finish().map(|_| ())
}

#[test]
fn what_an_address_is_known_as_is_what_it_was_at_first_until_it_is_that_again() {
    let addr = |n: u8| InAddr::V4([10, 0, 0, n]);
    let mut all = objects(addr(1));
    let known = |all: &[(u32, Object)]| {
        let list = all.iter().find_map(|(_, object)| match object {
            Object::TcpVnet(record) => record.known_as.as_ref(),
            _ => None,
        });
        let pairs = list.into_iter().flatten();
        pairs.map(|k| (k.addr, k.known_as)).collect::<Vec<_>>()
    };
    for (_, object) in &mut all {
        if let Object::TcpVnet(record) = object {
            record.known_as = None;
        }
    }
    let before: Vec<_> = all.iter().map(|(_, object)| encoded(object)).collect();
    let pair = |n: u8, at: u8| vec![(addr(n), addr(at))];
    for (from, to, then) in [(1, 2, pair(2, 1)), (2, 3, pair(3, 1)), (3, 1, vec![])] {
        apply(&remap([mapping(addr(from), addr(to))]), &mut all).expect("possible");
        assert_eq!(known(&all), then, "{from} to {to}");
    }
    let after: Vec<_> = all.iter().map(|(_, object)| encoded(object)).collect();
    let differ = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!(
        differ, 1,
        "only the interface, whose broadcast address was none"
    );
}

fn refused(change: impl Fn(&mut Object), mappings: &[Mapping]) -> RemapError {
    let mut all = objects(SAMPLE);
    all.iter_mut().for_each(|(_, object)| change(object));
    apply(&remap(mappings.iter().copied()), &mut all).expect_err("impossible")
}

#[test]
fn what_cannot_get_another_address_is_refused_by_name() {
    let (new, other) = (InAddr::V4([10, 7, 7, 7]), InAddr::V4([10, 7, 7, 8]));
    let one = [mapping(SAMPLE, new)];
    let nothing = |_: &mut Object| {};
    assert_eq!(
        refused(
            nothing,
            &[
                mapping(SAMPLE, new),
                mapping(InAddr::V4([10, 0, 0, 3]), other)
            ]
        ),
        RemapError::NotOwn(InAddr::V4([10, 0, 0, 3]))
    );
    let again = |object: &mut Object, addr: InAddr| {
        if let Object::Ifnet(record) = object {
            let mut second = record.if_addrs.as_slice()[0];
            second.ia_addr = addr;
            record.if_addrs.push(second).expect("memory");
        }
    };
    assert_eq!(
        refused(|o| again(o, SAMPLE), &one),
        RemapError::Ambiguous(SAMPLE)
    );
    assert_eq!(refused(|o| again(o, new), &one), RemapError::Taken(new));
    let peer = |object: &mut Object| match object {
        Object::Socket(record) => {
            record
                .inpcb
                .as_mut()
                .expect("of the internet")
                .inp_inc
                .faddr = new;
        }
        Object::Syncache(record) => record.sc_inc.faddr = new,
        _ => {}
    };
    assert_eq!(refused(peer, &one), RemapError::Peer(new));
    let gateway = |object: &mut Object| {
        if let Object::Route(record) = object {
            record.gateway = Some(InAddr::V4([10, 0, 0, 1]));
        }
    };
    assert_eq!(
        refused(gateway, &one),
        RemapError::Gateway(InAddr::V4([10, 0, 0, 1]))
    );
    let signed = |object: &mut Object| {
        if let Object::Socket(Socket {
            tcpcb: Some(tp), ..
        }) = object
        {
            tp.t_flags |= TF_SIGNATURE;
        }
    };
    assert!(matches!(refused(signed, &one), RemapError::Signed(_)));
    let signed = |object: &mut Object| {
        if let Object::Syncache(record) = object {
            record.sc_flags |= 0x20;
        }
    };
    assert!(matches!(refused(signed, &one), RemapError::Signed(_)));
}

/// The route of the sample that leads everywhere, its neighbours, and what the new network makes of
/// them.
#[test]
fn in_another_network_its_router_takes_the_place_of_the_old_one() {
    let (new, router) = (InAddr::V4([10, 7, 7, 7]), InAddr::V4([10, 7, 7, 1]));
    let map = remap([Mapping {
        router: Some(router),
        ..mapping(SAMPLE, new)
    }]);
    let old = InAddr::V4([10, 0, 0, 1]);
    let through = |own_default: bool, state: LlState, neighbour: InAddr| {
        let mut remapping = Remapping::new(&map, Abi::SimLp64).expect("memory");
        let mut seen = (None, None);
        for (id, mut object) in objects(SAMPLE) {
            match &mut object {
                Object::Route(record) => {
                    record.gateway = Some(old);
                    (record.dst, record.prefixlen) = match own_default {
                        true => (InAddr::ANY4, 0),
                        false => (InAddr::V4([10, 3, 0, 0]), 16),
                    };
                }
                Object::Llentry(record) => {
                    (record.addr, record.state) = (neighbour, state);
                    record.lladdr = (state != LlState::Incomplete).then_some([2; 6]);
                }
                _ => {}
            }
            let fate = remapping.object(id, &mut object).expect("possible");
            match object {
                Object::Route(record) => seen.0 = record.gateway,
                Object::Llentry(record) => seen.1 = (fate == Fate::Stays).then_some(record.addr),
                _ => {}
            }
        }
        let added = remapping.finish().expect("possible");
        let added: Vec<_> = added
            .iter()
            .map(|route| (route.dst, route.gateway))
            .collect();
        (seen, added)
    };
    let default = vec![(InAddr::ANY4, Some(router))];
    // A neighbour that is none any more goes; packets for it wait for the router.
    let seen = through(true, LlState::Reachable, old);
    assert_eq!(seen, ((Some(router), None), vec![]));
    let seen = through(false, LlState::Incomplete, old);
    assert_eq!(seen, ((Some(router), Some(router)), default.clone()));
    // One that is on the new link too stays; the instance itself is the same neighbour.
    let near = InAddr::V4([10, 7, 7, 200]);
    assert_eq!(through(true, LlState::Stale, near).0.1, Some(near));
    assert_eq!(through(true, LlState::Stale, SAMPLE).0.1, Some(new));
}

#[test]
fn packets_that_a_raw_socket_has_received_are_changed_and_streams_are_not() {
    let new = InAddr::V4([10, 0, 0, 66]);
    let map = remap([mapping(SAMPLE, new)]);
    let remapping = Remapping::new(&map, Abi::SimLp64).expect("memory");
    let both = [packet(SAMPLE).as_slice(), packet(SAMPLE).as_slice()].concat();
    for (so_type, changed) in [
        (SoType::Raw, true),
        (SoType::Dgram, false),
        (SoType::Stream, false),
    ] {
        let socket = objects(SAMPLE)
            .into_iter()
            .find_map(|(_, object)| match object {
                Object::Socket(record) if record.so_rcv.is_some() => Some(record),
                _ => None,
            });
        let mut socket = socket.expect("a connection");
        (socket.so_type, socket.domain) = (so_type, Domain::Inet);
        let record = || SbRecord {
            len: 20,
            ..SbRecord::default()
        };
        socket.so_rcv.as_mut().expect("connected").records = list([record(), record()]);
        let mut data = both.clone();
        remapping.received(&socket, &mut data);
        for packet in data.chunks(20) {
            let expected = if changed { new } else { SAMPLE };
            assert_eq!(packet[12..16], octets(expected), "{so_type:?}");
            assert_eq!(packet[16..20], octets(expected), "{so_type:?}");
        }
    }
}

/// UDP's checksum is in the first fragment, which is here or has yet to come.
#[test]
fn the_checksum_of_a_datagram_in_fragments_follows_its_addresses() {
    let new = InAddr::V4([10, 0, 0, 66]);
    let map = remap([mapping(SAMPLE, new)]);
    let checksums = |offset: u16, to: InAddr| {
        let mut all = objects(SAMPLE);
        for (_, object) in &mut all {
            let Object::Vnet(record) = object else {
                continue;
            };
            for part in record.fragments.iter_mut().flat_map(|all| all.iter_mut()) {
                (part.src, part.dst) = (InAddr::V4([10, 0, 0, 9]), to);
                part.pieces = list([IpqPiece {
                    offset,
                    data: bytes(&[&[0, 7, 0, 9, 0, 16, 0x12, 0x34]]),
                }]);
            }
        }
        apply(&map, &mut all).expect("possible");
        let data = all.iter().find_map(|(_, object)| match object {
            Object::Vnet(record) => {
                let part = record.fragments.as_ref()?.get(0)?;
                part.pieces
                    .get(0)
                    .map(|piece| piece.data.as_slice().to_vec())
            }
            _ => None,
        });
        u16::from_be_bytes(data.expect("a piece")[6..8].try_into().expect("two"))
    };
    // 66 takes the place of 2 in what is summed.
    assert_eq!(checksums(0, SAMPLE), 0x1234 - 64);
    assert_eq!(checksums(8, SAMPLE), 0x1234);
    assert_eq!(checksums(0, InAddr::V4([10, 0, 0, 5])), 0x1234);
}

/// A packet with this address somewhere, and headers that lead on.
fn near_packet() -> impl Strategy<Value = Vec<u8>> {
    let own = prop_oneof![
        Just([10_u8, 0, 0, 2]),
        Just([10, 7, 7, 7]),
        any::<[u8; 4]>()
    ];
    let proto = prop_oneof![
        Just(1_u8),
        Just(6),
        Just(17),
        Just(58),
        Just(44),
        Just(0),
        any::<u8>()
    ];
    (
        any::<bool>(),
        any::<[u8; 4]>(),
        own.clone(),
        own,
        proto,
        vec(any::<u8>(), 0..90),
    )
        .prop_map(|(v6, noise, src, dst, proto, rest)| {
            let head = match v6 {
                true => [
                    &[0x60, 0, 0, 0, 0, 0, proto, 255][..],
                    &[0; 12],
                    &src,
                    &[0; 12],
                    &dst,
                ]
                .concat(),
                false => {
                    let [a, b, c, d] = noise;
                    let ihl = 0x40 | (5 + (a & 3));
                    let head = [ihl, 0, 0, 0, 0, 0, b & 0x20, c & 3, 64, proto, d, 0];
                    [&head[..], &src, &dst].concat()
                }
            };
            [head, rest].concat()
        })
}

proptest! {
    /// Whatever it is, it passes; what names none of the addresses passes unchanged.
    #[test]
    fn any_packet_passes_the_translation(
        packet in prop_oneof![3 => near_packet(), 1 => vec(any::<u8>(), 0..120)],
    ) {
        let map = remap([mapping(SAMPLE, InAddr::V4([10, 7, 7, 7]))]);
        let map = encode_to_list(&map).expect("memory");
        let length = [map.len() as u8];
        fuzzed(&[&length, map.as_slice(), &packet].concat());
    }

    /// A record with whatever is in its bytes gets other addresses or is refused.
    #[test]
    fn any_record_gets_other_addresses_or_is_refused(
        n in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        noise in vec(any::<u8>(), 0..12),
    ) {
        let all = objects(SAMPLE);
        let (_, object) = n.get(&all);
        let mut bytes = encoded(object);
        let kind = KINDS.iter().position(|info| info.kind == object.kind());
        let from = at.index(bytes.len());
        let to = bytes.len().min(from + noise.len());
        bytes[from..to].copy_from_slice(&noise[..to - from]);
        fuzzed(&[&[kind.expect("of the schema") as u8], bytes.as_slice()].concat());
    }
}
