// SPDX-License-Identifier: BSD-2-Clause
//! Every field of the schema that can hold an address, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use vpscore::cbor::{RecordInfo, TypeInfo};
use vpscore::image::Object;
use vpscore::image::schema::{SCHEMA, inner_record};
use vpscore::sock::InAddr;

use super::sample::{encoded, objects, octets};
use super::{apply, mapping, remap};

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
