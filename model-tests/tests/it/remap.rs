// SPDX-License-Identifier: BSD-2-Clause
//! An instance that gets other addresses: no field of the schema that names one is forgotten, and
//! what cannot be is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use model_tests::image::{Item, list, read, sample};
use vpscore::cbor::{Bytes, RecordInfo, TypeInfo, encode_to_list};
use vpscore::image::Object;
use vpscore::image::schema::{Abi, IpqPiece, LlState, LoopbackPacket, SCHEMA, inner_record};
use vpscore::net::{Fate, Mapping, Remap, RemapError, Remapping};
use vpscore::sock::{Domain, InAddr, SbRecord, SoType, Socket, TF_SIGNATURE};

/// What a field holds that could name an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// An address of the instance's own, or of whoever it talks to, itself perhaps.
    Address,
    /// An address in bytes: of a packet, a socket address, control messages, IP options.
    Inside,
    /// The address that peers know, which never changes.
    Known,
}

use Holds::{Address, Inside, Known};

/// Every field of the schema whose type can hold an address.
const FIELDS: &[(&str, Holds)] = &[
    ("HcMetrics.addr", Address),
    ("Ifaddr.ia_addr", Address),
    ("Ifaddr.ia_broadaddr", Address),
    ("InConninfo.faddr", Address),
    ("InConninfo.laddr", Address),
    ("Inpcb.in6p_outputopts", Inside),
    ("Inpcb.inp_options", Inside),
    ("Ipq.dst", Address),
    ("Ipq.header", Inside),
    ("Ipq.src", Address),
    ("KnownAs.addr", Address),
    ("KnownAs.known_as", Known),
    ("Llentry.addr", Address),
    ("Llentry.la_hold", Inside),
    ("LoopbackPacket.packet", Inside),
    ("Route.dst", Address),
    ("Route.gateway", Address),
    ("SbRecord.control", Inside),
    ("SbRecord.from", Inside),
    ("Syncache.sc_ipopts", Inside),
    ("TcpMd5Key.dst", Address),
    ("TcpMd5Key.src", Address),
    ("TfoCookie.client", Address),
    ("TfoCookie.server", Address),
];

/// Other byte strings: secrets and cookies that hashes are made with or of, names, numbers, state of
/// processes.
const NOTHING: &[&str] = &[
    "Blocked.wmesg",
    "File.dev",
    "Filedesc.pwd_cdir",
    "Filedesc.pwd_rdir",
    "Filedescent.fde_rights",
    "Ifnet.if_description",
    "Ifnet.lladdr",
    "Inpcb.in6p_icmp6filt",
    "Listen.accept_filter",
    "Listen.accept_filter_arg",
    "Llentry.lladdr",
    "Proc.p_args",
    "Proc.p_comm",
    "Proc.p_textpath",
    "Registers.frame",
    "RngState.key",
    "Session.s_login",
    "Sigaction.mask",
    "Sigqueue.sq_kill",
    "Sigqueue.sq_signals",
    "Syncache.sc_tfo_cookie",
    "TcpMd5Key.key",
    "TcpVnet.fastopen_keys",
    "TcpVnet.fastopen_psks",
    "TcpVnet.isn_secret",
    "TcpVnet.syncache_hash_secret",
    "TcpVnet.syncookie_keys",
    "TcpVnet.ts_offset_secret",
    "Tcpcb.signature_key",
    "Tfo.t_tfo_cookie",
    "TfoCookie.cookie",
    "Thread.td_name",
    "Thread.td_oldsigmask",
    "Thread.td_sigmask",
    // Parts of a packet behind its addresses; its checksum, which covers them, is another test's.
    "Ipq.quote",
    "IpqPiece.data",
];

fn leaf(ty: &TypeInfo) -> &TypeInfo {
    match ty {
        TypeInfo::Array(item) | TypeInfo::ArrayExactly(item, _) => leaf(item),
        other => other,
    }
}

/// The fields of a record, and of those in it, whose type can hold an address.
fn fields(record: &'static RecordInfo, found: &mut BTreeMap<String, TypeInfo>) {
    for field in record.fields {
        let ty = leaf(&field.ty);
        if matches!(
            ty,
            TypeInfo::InAddr | TypeInfo::Bytes | TypeInfo::BytesExactly(_)
        ) {
            found.insert(format!("{}.{}", record.schema.name, field.name), *ty);
        }
        if let Some(inner) = inner_record(field) {
            fields(inner, found);
        }
    }
}

#[test]
fn every_field_that_can_hold_an_address_is_decided_on() {
    let mut found = BTreeMap::new();
    for (_, record) in SCHEMA {
        fields(record, &mut found);
    }
    let decided: BTreeSet<&str> = FIELDS
        .iter()
        .map(|(name, _)| *name)
        .chain(NOTHING.iter().copied())
        .collect();
    let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(found, decided);
}

/// An item of CBOR (RFC 8949), as far as records have them.
#[derive(Debug)]
enum Value {
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(u64, Value)>),
    Other,
}

fn value(bytes: &mut &[u8]) -> Value {
    let (&head, rest) = bytes.split_first().expect("an item");
    *bytes = rest;
    let wide = match head & 0x1f {
        small @ 0..24 => return item(head >> 5, small.into(), bytes),
        size => 1 << (size - 24),
    };
    let (argument, rest) = bytes.split_at(wide);
    *bytes = rest;
    let argument = argument.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    item(head >> 5, argument, bytes)
}

fn item(major: u8, argument: u64, bytes: &mut &[u8]) -> Value {
    match major {
        2 | 3 => {
            let (text, rest) = bytes.split_at(argument as usize);
            *bytes = rest;
            Value::Bytes(text.to_vec())
        }
        4 => Value::Array((0..argument).map(|_| value(bytes)).collect()),
        5 => {
            let pair = |_| {
                let (&key, rest) = bytes.split_first().expect("a key");
                *bytes = rest;
                let key = match key {
                    0..24 => key.into(),
                    _ => {
                        let (key, rest) = bytes.split_first().expect("a key");
                        *bytes = rest;
                        u64::from(*key)
                    }
                };
                (key, value(bytes))
            };
            Value::Map((0..argument).map(pair).collect())
        }
        _ => Value::Other,
    }
}

/// Every byte string of a record, by field.
fn strings(record: &RecordInfo, value: &Value, found: &mut Vec<(String, Vec<u8>)>) {
    let Value::Map(pairs) = value else {
        panic!("{} is a map, not {value:?}", record.schema.name)
    };
    for (key, value) in pairs {
        let field = record.fields.iter().find(|field| field.key == *key);
        let field = field.expect("a known key");
        let name = format!("{}.{}", record.schema.name, field.name);
        let mut todo = vec![value];
        while let Some(value) = todo.pop() {
            match value {
                Value::Array(items) => todo.extend(items),
                Value::Bytes(bytes) => found.push((name.clone(), bytes.clone())),
                Value::Map(_) => {
                    strings(inner_record(field).expect("a record"), value, found);
                }
                Value::Other => {}
            }
        }
    }
}

fn encoded(object: &Object) -> Vec<u8> {
    let bytes = match object {
        Object::Vnet(r) => encode_to_list(r),
        Object::Ifnet(r) => encode_to_list(r),
        Object::Route(r) => encode_to_list(r),
        Object::Llentry(r) => encode_to_list(r),
        Object::TcpVnet(r) => encode_to_list(r),
        Object::Socket(r) => encode_to_list(r),
        Object::Syncache(r) => encode_to_list(r),
        _ => return Vec::new(),
    };
    bytes.expect("memory").as_slice().to_vec()
}

/// The fields of objects in which these bytes stand.
fn naming(objects: &[(u32, Object)], octets: &[u8]) -> BTreeSet<String> {
    let mut found = Vec::new();
    for (_, object) in objects {
        let bytes = encoded(object);
        let info = SCHEMA.iter().find(|(kind, _)| *kind == object.kind());
        if !bytes.is_empty() {
            let (_, info) = info.expect("a kind of the schema");
            strings(info, &value(&mut bytes.as_slice()), &mut found);
        }
    }
    let holds = |bytes: &[u8]| bytes.windows(octets.len()).any(|part| part == octets);
    let naming = found.into_iter().filter(|(_, bytes)| holds(bytes));
    naming.map(|(name, _)| name).collect()
}

/// The sample's own address, in whose place another is put everywhere.
const SAMPLE: InAddr = InAddr::V4([10, 0, 0, 2]);

fn octets(addr: InAddr) -> Vec<u8> {
    match addr {
        InAddr::V4(bytes) => bytes.to_vec(),
        InAddr::V6(bytes) => bytes.to_vec(),
    }
}

fn bytes(parts: &[&[u8]]) -> Bytes {
    Bytes::copy(&parts.concat()).expect("memory")
}

/// A packet from an address to itself.
fn packet(own: InAddr) -> Bytes {
    let own = octets(own);
    match own.len() {
        4 => bytes(&[&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0], &own, &own]),
        _ => bytes(&[&[0x60, 0, 0, 0, 0, 0, 59, 64], &own, &own]),
    }
}

fn sockaddr(addr: InAddr) -> Vec<u8> {
    match addr {
        InAddr::V4(addr) => [&[16, 2, 0, 7][..], &addr, &[0; 8]].concat(),
        InAddr::V6(addr) => [&[28, 28, 0, 7, 0, 0, 0, 0][..], &addr, &[0; 4]].concat(),
    }
}

/// What is kept with a datagram: to which address it came, in the ways that programs can ask for.
fn control(addr: InAddr) -> Bytes {
    let message = |level: u8, kind: u8, data: &[u8]| {
        let len = 16 + data.len() as u32;
        let mut all = [
            &len.to_le_bytes()[..],
            &[level, 0, 0, 0, kind, 0, 0, 0],
            &[0; 4],
        ]
        .concat();
        all.extend(data);
        all.resize(all.len().next_multiple_of(8), 0);
        all
    };
    let all = match addr {
        // IP_RECVTTL before; IP_RECVDSTADDR, IP_ORIGDSTADDR.
        InAddr::V4(octets) => [
            message(0, 65, &[9]),
            message(0, 7, &octets),
            message(0, 27, &sockaddr(addr)),
        ],
        // IPV6_PKTINFO, IPV6_NEXTHOP, IPV6_ORIGDSTADDR.
        InAddr::V6(octets) => [
            message(41, 46, &[&octets[..], &[1, 0, 0, 0]].concat()),
            message(41, 48, &sockaddr(addr)),
            message(41, 72, &sockaddr(addr)),
        ],
    };
    bytes(&[&all.concat()])
}

/// The network objects of the sample, in all of whose fields this is the address.
fn objects(own: InAddr) -> Vec<(u32, Object)> {
    let items = read(&sample().expect("memory"), usize::MAX).expect("an image");
    let objects = items.into_iter().filter_map(|item| match item {
        Item::Object(id, object) if !encoded(&object).is_empty() => Some((id, *object)),
        _ => None,
    });
    let mut objects: Vec<_> = objects.collect();
    for (_, object) in &mut objects {
        fill(object, own);
    }
    objects
}

fn fill(object: &mut Object, own: InAddr) {
    let options = matches!(own, InAddr::V4(_)).then(|| {
        let own = octets(own);
        // The first hop; no operation, and a source route over two.
        bytes(&[&own, &[1, 131, 11, 4], &own, &own])
    });
    match object {
        Object::Vnet(record) => {
            record.loopback = Some(list([LoopbackPacket {
                remaining: Default::default(),
                packet: packet(own),
            }]));
            for part in record.fragments.iter_mut().flat_map(|all| all.iter_mut()) {
                (part.src, part.dst, part.header) = (own, own, Some(packet(own)));
            }
        }
        Object::Ifnet(record) => {
            for ifa in record.if_addrs.iter_mut() {
                (ifa.ia_addr, ifa.ia_broadaddr) = (own, Some(own));
            }
        }
        Object::Route(record) => {
            (record.dst, record.prefixlen) = (own, own.bits());
            record.gateway = Some(own);
        }
        Object::Llentry(record) => {
            (record.addr, record.state, record.lladdr) = (own, LlState::Incomplete, None);
            record.la_hold = list([packet(own)]);
        }
        Object::TcpVnet(record) => {
            record.fastopen_ccache.as_mut_slice()[0].client = own;
            record.fastopen_ccache.as_mut_slice()[0].server = own;
            record.hostcache.as_mut_slice()[0].addr = own;
            for key in record.md5_keys.iter_mut().flat_map(|all| all.iter_mut()) {
                (key.src, key.dst) = (own, own);
            }
            for known in record.known_as.iter_mut().flat_map(|all| all.iter_mut()) {
                known.addr = own;
            }
        }
        Object::Socket(record) => {
            let inp = record.inpcb.as_mut().expect("of the internet");
            (inp.inp_inc.laddr, inp.inp_inc.faddr) = (own, own);
            (inp.inp_options, inp.in6p_outputopts) = (options, Some(control(own)));
            for sb in [&mut record.so_rcv, &mut record.so_snd]
                .into_iter()
                .flatten()
            {
                sb.records = list([SbRecord {
                    len: sb.sb_ccc,
                    from: Some(bytes(&[&sockaddr(own)])),
                    control: Some(control(own)),
                }]);
            }
        }
        Object::Syncache(record) => {
            (record.sc_inc.laddr, record.sc_inc.faddr) = (own, own);
            record.sc_ipopts = options;
        }
        _ => {}
    }
}

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

fn names() -> BTreeSet<String> {
    let moving = FIELDS.iter().filter(|(_, holds)| *holds != Known);
    moving.map(|(name, _)| (*name).to_owned()).collect()
}

/// Fields that a record of IPv6 does not have.
const OF_IPV4: [&str; 3] = [
    "Inpcb.inp_options",
    "Syncache.sc_ipopts",
    "Ifaddr.ia_broadaddr",
];

#[test]
fn the_old_address_is_left_in_no_field_but_as_what_peers_know() {
    let six = |last: u8| {
        let mut bytes = [0xfd; 16];
        bytes[15] = last;
        InAddr::V6(bytes)
    };
    for (own, new) in [
        (InAddr::V4([10, 99, 88, 77]), InAddr::V4([10, 99, 88, 66])),
        (six(77), six(66)),
    ] {
        let mut all = objects(own);
        let expected: BTreeSet<String> = names()
            .into_iter()
            .filter(|name| own.bits() == 32 || !OF_IPV4.contains(&name.as_str()))
            .chain((own.bits() == 128).then(|| "Ifaddr.ia_broadaddr".to_owned()))
            .collect();
        assert_eq!(naming(&all, &octets(own)), expected, "before");
        apply(&remap([mapping(own, new)]), &mut all).expect("possible");
        assert_eq!(naming(&all, &octets(own)), BTreeSet::new(), "after");
        // A broadcast address is made anew.
        let expected = expected
            .into_iter()
            .filter(|name| name != "Ifaddr.ia_broadaddr")
            .collect();
        assert_eq!(naming(&all, &octets(new)), expected, "after");
    }
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
