// SPDX-License-Identifier: BSD-2-Clause
//! Socket state as an enemy writes it: what is accepted behaves like a kernel's own.
//!
//! The input takes a captured image, alters fields of its records at will, and, if the result is
//! accepted, lets a peer, programs and timers work on it. No step may panic or overflow; after every
//! step the stack must be in a state that the schema accepts, with its buffers within the host's
//! limits; nothing may be sent outside the windows that the peer offered; and a second restore of the same
//! image, on a host booted at another time, must do the same to the bit.

mod templates;
mod traffic;

pub use templates::templates;

use std::collections::BTreeMap;

use sim::join::net::moved::{MoveError, image_of, stack_of};
use sim::net::cx::SoId;
use sim::net::stack::InetVnet;
use sim::time::{Duration, Instant};
use vpscore::cbor::{Decode, Encode, Record, TypeInfo, decode_all, encode_to_list};
use vpscore::image::Object;
use vpscore::sock::{SockStream, Socket, Syncache, TcpVnet};

use crate::cbor_tree::{Place, Tree, edges, integer, places};
use crate::image::{Item, read, write};
use traffic::Traffic;

/// Bytes of a stream that a case may have; hostile lengths beyond it are the readers' matter.
const STREAM_MAX: u64 = 1 << 18;
/// Alterations of one image.
const ALTERATIONS_MAX: u8 = 8;

/// The input, byte by byte; zeros where it has ended.
#[derive(Debug)]
pub(super) struct Input<'d>(&'d [u8]);

impl Input<'_> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(super) fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// One of `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let two = usize::from(self.byte()) << 8 | usize::from(self.byte());
        two.checked_rem(n).unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Alters an image and uses it, as `data` says.
///
/// # Panics
/// Where a promise is broken.
pub fn sock_restore(data: &[u8]) {
    let mut input = Input(data);
    let all = templates();
    let template = &all[input.below(all.len())];
    let Some(items) = altered(template, &mut input) else {
        return;
    };
    let Ok(bytes) = write(&items) else {
        return;
    };
    use_it(&bytes, &mut input);
}

/// Restores an image twice and uses both in the same way.
fn use_it(bytes: &[u8], input: &mut Input<'_>) {
    let (one, other) = match (stack_of(bytes, 1), stack_of(bytes, 2)) {
        (Ok(one), Ok(other)) => (one.stack, other.stack),
        (Err(MoveError::Build(_) | MoveError::Read(_)), Err(_)) => return,
        (one, other) => panic!("{:?}, but {:?}", one.err(), other.err()),
    };
    let hosts = [
        (one, Duration::from_secs(3)),
        (other, Duration::from_secs(70_000)),
    ];
    let mut twins = hosts.map(|(mut stack, uptime): (InetVnet, Duration)| {
        stack.resume(Instant::BOOT.after(uptime));
        Traffic::new(stack, uptime)
    });
    twins.iter_mut().for_each(Traffic::look);
    let mut steps = 0;
    while !input.is_empty() && steps < 64 {
        let step = traffic::Step::of(input);
        let seen = twins.each_mut().map(|twin| twin.step(&step));
        let [one, other] = &seen;
        assert_eq!(one, other, "the twins differ after {step:?}");
        steps += 1;
    }
    let rest = twins.each_mut().map(Traffic::settle);
    let [one, other] = &rest;
    assert_eq!(one, other, "the twins differ in what is left to do");
}

/// The template with some fields altered; nothing where the schema refuses the result by itself.
fn altered(template: &[Item], input: &mut Input<'_>) -> Option<Vec<Item>> {
    let records: Vec<usize> = (0..template.len())
        .filter(|at| matches!(&template[*at], Item::Object(_, object) if tree(object).is_some()))
        .collect();
    let mut trees: BTreeMap<usize, Tree> = BTreeMap::new();
    for _ in 0..input.byte() % ALTERATIONS_MAX {
        let at = records[input.below(records.len())];
        let Item::Object(_, object) = &template[at] else {
            continue;
        };
        let (fresh, fields) = tree(object)?;
        let tree = trees.entry(at).or_insert(fresh);
        let place = &fields[input.below(fields.len())];
        alter(tree, place, input);
    }
    replaced(template, &trees)
}

/// The template with the records at some places replaced; nothing where the schema refuses one by itself.
pub fn replaced(template: &[Item], trees: &BTreeMap<usize, Tree>) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    // Streams are as long as the altered records say.
    let mut streams: Option<(u32, [u64; 3])> = None;
    for (at, item) in template.iter().enumerate() {
        match item {
            Item::Object(id, object) => {
                flush(&mut items, streams.take());
                let object = match trees.get(&at) {
                    Some(tree) => object_of(object, &tree.encode())?,
                    None => duplicate(object),
                };
                if let Object::Socket(so) = &object {
                    let all = [SockStream::Rcv, SockStream::Snd, SockStream::Reass];
                    let lens = all.map(|stream| so.stream_len(stream));
                    if lens.iter().any(|len| *len > STREAM_MAX) {
                        return None;
                    }
                    streams = Some((*id, lens));
                }
                items.push(Item::Object(*id, Box::new(object)));
            }
            Item::Header(header) => items.push(Item::Header(*header)),
            _ => {}
        }
    }
    flush(&mut items, streams);
    Some(items)
}

fn flush(items: &mut Vec<Item>, streams: Option<(u32, [u64; 3])>) {
    let Some((id, lens)) = streams else { return };
    for (stream, len) in (0..).zip(lens) {
        if len > 0 {
            let bytes = (0..len).map(|n| n as u8).collect();
            items.push(Item::Data(id, stream, bytes));
        }
    }
}

fn encoded<R: Record>(record: &R) -> (Tree, Vec<Place>) {
    let bytes = encode_to_list(record).expect("memory");
    (Tree::parse(bytes.as_slice()), places(R::INFO))
}

/// The tree of a record that is sockets' own, and its fields.
pub fn tree(object: &Object) -> Option<(Tree, Vec<Place>)> {
    match object {
        Object::Socket(record) => Some(encoded(record)),
        Object::Syncache(record) => Some(encoded(record)),
        Object::TcpVnet(record) => Some(encoded(record)),
        _ => None,
    }
}

fn object_of(like: &Object, bytes: &[u8]) -> Option<Object> {
    match like {
        Object::Socket(_) => decode_all::<Socket>(bytes).ok().map(Object::Socket),
        Object::Syncache(_) => decode_all::<Syncache>(bytes).ok().map(Object::Syncache),
        Object::TcpVnet(_) => decode_all::<TcpVnet>(bytes).ok().map(Object::TcpVnet),
        _ => None,
    }
}

fn duplicate(object: &Object) -> Object {
    fn again<R: Encode + Decode>(record: &R) -> R {
        let bytes = encode_to_list(record).expect("memory");
        decode_all(bytes.as_slice()).expect("what was read")
    }
    match object {
        Object::Info(r) => Object::Info(again(r)),
        Object::Instance(r) => Object::Instance(again(r)),
        Object::Vnet(r) => Object::Vnet(again(r)),
        Object::Ifnet(r) => Object::Ifnet(again(r)),
        Object::Route(r) => Object::Route(again(r)),
        Object::Llentry(r) => Object::Llentry(again(r)),
        Object::TcpVnet(r) => Object::TcpVnet(again(r)),
        Object::Ucred(r) => Object::Ucred(again(r)),
        Object::Socket(r) => Object::Socket(again(r)),
        Object::Syncache(r) => Object::Syncache(again(r)),
        other => panic!("{other:?} is nothing of a stack"),
    }
}

/// Gives a field another value: an edge, one near the old one, any, or none.
fn alter(tree: &mut Tree, place: &Place, input: &mut Input<'_>) {
    let Some((key, above)) = place.path.split_last() else {
        return;
    };
    let Some(record) = tree.at(above) else { return };
    let record = match record {
        Tree::Array(items) => match items.len() {
            0 => return,
            n => &mut items[input.below(n)],
        },
        other => other,
    };
    let old = record.field(*key).cloned();
    let how = input.byte();
    if how.is_multiple_of(16) {
        record.remove(*key);
        return;
    }
    let near = |n: u64, by: u8| n.wrapping_add_signed(i64::from(by as i8));
    let value = match (place.field.ty, old) {
        (TypeInfo::Uint(_) | TypeInfo::Int(..), old) => {
            let edges = edges(place.field);
            match (how % 4, old) {
                (0, _) => integer(edges[input.below(edges.len())]),
                (1, Some(Tree::Uint(n))) => Tree::Uint(near(n, input.byte())),
                (2, Some(Tree::Uint(n))) => Tree::Uint(n ^ 1 << (input.byte() % 64)),
                _ => Tree::Uint(input.word() >> (input.byte() % 64)),
            }
        }
        (TypeInfo::Code(_, codes), _) => Tree::Uint(codes[input.below(codes.len())].1),
        (TypeInfo::Bool, _) => Tree::Bool(how & 1 != 0),
        (_, Some(Tree::Bytes(mut bytes))) => {
            match how % 3 {
                0 => bytes.truncate(input.below(bytes.len() + 1)),
                1 => bytes.extend(vec![how; input.below(64)]),
                _ => bytes.iter_mut().for_each(|b| *b ^= how),
            }
            Tree::Bytes(bytes)
        }
        (_, Some(Tree::Array(mut items))) => {
            let n = items.len();
            match how % 3 {
                0 => items.truncate(input.below(n + 1)),
                1 if n > 0 => items.push(items[input.below(n)].clone()),
                _ if n > 1 => items.swap(0, input.below(n)),
                _ => {}
            }
            Tree::Array(items)
        }
        (TypeInfo::Array(TypeInfo::Record(inner)), None) => {
            let fields = inner.fields.iter().filter(|f| !f.optional);
            let fields = fields.map(|f| (f.key, Tree::Uint(input.word() >> 32)));
            Tree::Array(vec![Tree::Map(fields.collect())])
        }
        (_, Some(old)) => old,
        (_, None) => return,
    };
    record.set(*key, value);
}

/// What an image says of the sockets of a stack, and the stack's own names of them.
pub(super) fn sockets(stack: &InetVnet, now: Instant) -> Vec<(SoId, Socket)> {
    let (bytes, refs) = image_of(stack, now).expect("every state that is reached can be captured");
    let items = read(&bytes, usize::MAX).expect("what was captured can be read");
    let mut records: BTreeMap<u32, Socket> = BTreeMap::new();
    for item in items {
        if let Item::Object(id, object) = item
            && let Object::Socket(so) = *object
        {
            records.insert(id, so);
        }
    }
    refs.iter()
        .filter_map(|((_, so), object)| Some((*so, records.remove(&object.id())?)))
        .collect()
}
