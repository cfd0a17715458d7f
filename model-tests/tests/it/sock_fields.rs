// SPDX-License-Identifier: BSD-2-Clause
//! Every field of what an image says of sockets matters: altered, it is refused, or the restored stack is another,
//! which its own image shows bit by bit.

use std::collections::{BTreeMap, BTreeSet};

use model_tests::cbor_tree::{Place, Tree, edges, integer};
use model_tests::fuzz::sock_restore::{replaced, templates, tree};
use model_tests::image::{Item, read, sample, write};
use sim::join::net::moved::{image_of, stack_of};
use sim::time::Instant;
use vpscore::cbor::{Bound, Decode, TypeInfo, decode_all};
use vpscore::image::Object;
use vpscore::sock::{Socket, Syncache, TcpVnet};

/// Alterations of a field that are tried until so many were accepted.
const ACCEPTED: usize = 3;

/// Other values of a field.
fn others(place: &Place, old: Option<&Tree>) -> Vec<Tree> {
    const MS: u64 = 1_000_000;
    match (place.field.ty, old) {
        // Times keep what is below a tick, or have none.
        (TypeInfo::Uint(u64::MAX) | TypeInfo::Int(..), Some(Tree::Uint(n))) => {
            [n + MS, n + 1000 * MS, n + 1, n.saturating_sub(1), 1]
                .map(Tree::Uint)
                .to_vec()
        }
        (TypeInfo::Uint(u64::MAX), _) => [0, 5 * MS].map(Tree::Uint).to_vec(),
        (TypeInfo::Uint(_) | TypeInfo::Int(..), old) => {
            let mut all = Vec::new();
            if let Some(Tree::Uint(n)) = old {
                let near = [
                    n.wrapping_add(1),
                    n.wrapping_sub(1),
                    n ^ 2,
                    n ^ 0x80,
                    n ^ 0x1000,
                ];
                all.extend(near.map(Tree::Uint));
            }
            all.extend(edges(place.field).into_iter().map(integer));
            all
        }
        (TypeInfo::Bool, _) => [false, true].map(Tree::Bool).to_vec(),
        (TypeInfo::Code(_, codes), _) => codes.iter().map(|code| Tree::Uint(code.1)).collect(),
        (_, Some(Tree::Bytes(bytes))) => {
            let turned = bytes.iter().map(|byte| !byte).collect();
            let mut longer = bytes.clone();
            longer.push(7);
            vec![Tree::Bytes(turned), Tree::Bytes(longer)]
        }
        (TypeInfo::Ref(_), Some(Tree::Uint(n))) => {
            vec![Tree::Uint(n + 1), Tree::Uint(n.saturating_sub(1))]
        }
        (TypeInfo::Ref(_), None) => (1..20).map(Tree::Uint).collect(),
        (TypeInfo::Bytes, None) => vec![Tree::Bytes(vec![1, 2, 3])],
        (TypeInfo::BytesExactly(n), None) => vec![Tree::Bytes(vec![5; n])],
        (TypeInfo::Array(_), Some(Tree::Array(items))) => {
            let mut twice = items.clone();
            twice.extend(items.clone());
            let shorter = items.iter().skip(1).cloned().collect();
            vec![Tree::Array(twice), Tree::Array(shorter)]
        }
        _ => Vec::new(),
    }
}

/// What came of an alteration.
enum Came {
    Refused,
    Carried,
    Lost,
}

fn through(items: &[Item]) -> Came {
    let Ok(bytes) = write(items) else {
        return Came::Refused;
    };
    let Ok(built) = stack_of(&bytes, 7) else {
        return Came::Refused;
    };
    let (again, _) = image_of(&built.stack, Instant::BOOT).expect("it was accepted");
    let again = read(&again, usize::MAX).expect("its own image");
    let bytes = read(&bytes, usize::MAX).expect("what was written");
    // All but the trailer, which follows from the rest.
    if again[..again.len() - 1] == bytes[..bytes.len() - 1] {
        Came::Carried
    } else {
        Came::Lost
    }
}

#[derive(Default)]
struct Tally {
    refused: usize,
    carried: usize,
    lost: usize,
}

fn tallies() -> BTreeMap<String, Tally> {
    let mut all: BTreeMap<String, Tally> = BTreeMap::new();
    for template in templates() {
        for (at, item) in template.iter().enumerate() {
            let Item::Object(_, object) = item else {
                continue;
            };
            let Some((fresh, places)) = tree(object) else {
                continue;
            };
            // A record in place is altered by its fields.
            let whole = |place: &&Place| !matches!(place.field.ty, TypeInfo::Record(_));
            for place in places.iter().filter(whole) {
                let tally = all.entry(place.name.clone()).or_default();
                if tally.carried + tally.lost >= ACCEPTED || tally.refused > 30 {
                    continue;
                }
                let (key, above) = place.path.split_last().expect("a key");
                let mut values: Vec<Option<Tree>> = Vec::new();
                let mut copy = fresh.clone();
                let Some(record) = copy.at(above) else {
                    continue;
                };
                let record = match record {
                    Tree::Array(items) if items.is_empty() => continue,
                    Tree::Array(items) => &mut items[0],
                    record => record,
                };
                let old = record.field(*key).cloned();
                values.extend(others(place, old.as_ref()).into_iter().map(Some));
                if place.field.optional {
                    values.push(None);
                }
                for value in values.into_iter().filter(|value| *value != old) {
                    let mut altered = fresh.clone();
                    let record = altered.at(above).expect("as before");
                    let record = match record {
                        Tree::Array(items) => &mut items[0],
                        record => record,
                    };
                    match value {
                        Some(value) => record.set(*key, value),
                        None => {
                            record.remove(*key);
                        }
                    }
                    let trees = BTreeMap::from([(at, altered)]);
                    match replaced(template, &trees).map(|items| through(&items)) {
                        None | Some(Came::Refused) => tally.refused += 1,
                        Some(Came::Carried) => tally.carried += 1,
                        Some(Came::Lost) => tally.lost += 1,
                    }
                }
            }
        }
    }
    all
}

/// Fields that a stack may be restored without, each with the reason.
const LOST: &[(&str, &str)] = &[(
    "Socket.so_fdref",
    "absent, it follows from the queue and the files of the image, and is written anew",
)];

/// Records that no captured image has, so that nothing could be altered; the tests beside the capture
/// carry those that this kernel has.
const NOT_THERE: &[&str] = &[
    "Socket.so_snd.records",
    "Socket.tcpcb.t_ccv.newreno",
    "TcpVnet.fastopen_psks",
    "TcpVnet.hostcache",
    "TcpVnet.known_as",
    "TcpVnet.syncache_overflows",
];

/// Values just beyond the bound of a field, and those at its ends.
fn about(place: &Place, bound: Bound) -> (Vec<Tree>, Vec<Tree>) {
    let repeat = |n: i128| usize::try_from(n).ok().filter(|n| *n <= 1 << 17);
    let make = |n: i128| match place.field.ty {
        TypeInfo::Uint(most) => (0..=i128::from(most)).contains(&n).then(|| integer(n)),
        TypeInfo::Int(least, most) => (i128::from(least)..=i128::from(most))
            .contains(&n)
            .then(|| integer(n)),
        TypeInfo::Bytes => repeat(n).map(|n| Tree::Bytes(vec![1; n])),
        _ => None,
    };
    let (beyond, ends) = match bound {
        Bound::Within(least, most) => {
            let (least, most) = (i128::from(least), i128::from(most));
            (vec![least - 1, most + 1], vec![least, most])
        }
        Bound::Bits(bits) => (vec![i128::from(bits) + 1], vec![i128::from(bits), 0]),
    };
    let all = |of: Vec<i128>| of.into_iter().filter_map(make).collect();
    (all(beyond), all(ends))
}

fn refused_in(object: &Object, tree: &Tree) -> Option<&'static str> {
    fn field<R: Decode>(bytes: &[u8]) -> Option<&'static str> {
        decode_all::<R>(bytes).err().and_then(|error| error.field())
    }
    let bytes = tree.encode();
    match object {
        Object::Socket(_) => field::<Socket>(&bytes),
        Object::Syncache(_) => field::<Syncache>(&bytes),
        Object::TcpVnet(_) => field::<TcpVnet>(&bytes),
        _ => None,
    }
}

#[test]
fn every_bound_is_held_in_the_name_of_its_field() {
    let items = read(&sample().expect("sample"), usize::MAX).expect("read");
    let (mut held, mut reached) = (0, 0);
    for item in &items {
        let Item::Object(_, object) = item else {
            continue;
        };
        let Some((fresh, places)) = tree(object) else {
            continue;
        };
        for place in &places {
            let Some(bound) = place.field.bound else {
                continue;
            };
            let (key, above) = place.path.split_last().expect("a key");
            let (beyond, ends) = about(place, bound);
            let altered = |value: Tree| {
                let mut altered = fresh.clone();
                match altered.at(above)? {
                    Tree::Array(items) => items.first_mut()?.set(*key, value),
                    record => record.set(*key, value),
                }
                Some(refused_in(object, &altered))
            };
            for field in beyond.into_iter().filter_map(altered) {
                assert_eq!(field, Some(place.field.name), "{}", place.name);
                held += 1;
            }
            let at_ends = ends.into_iter().filter_map(altered);
            reached += at_ends
                .filter(|field| *field != Some(place.field.name))
                .count();
        }
    }
    // Most ends are states by themselves; of the others another rule of the same field speaks.
    assert!(held > 100 && reached > 120, "{held} {reached}");
}

#[test]
fn every_field_that_is_altered_is_refused_or_makes_another_stack() {
    let tallies = tallies();
    let mut lost = BTreeSet::new();
    let mut untouched = BTreeSet::new();
    for (name, tally) in &tallies {
        if std::env::var_os("SHOW_FIELDS").is_some() {
            println!(
                "{name}: {} refused, {} carried, {} lost",
                tally.refused, tally.carried, tally.lost
            );
        }
        if tally.lost > 0 {
            lost.insert(name.as_str());
        }
        if tally.refused + tally.carried + tally.lost == 0 {
            untouched.insert(name.as_str());
        }
    }
    let known: BTreeSet<&str> = LOST.iter().map(|(name, _)| *name).collect();
    assert_eq!(lost, known, "fields that a restore passes over");
    untouched.retain(|name| !NOT_THERE.iter().any(|known| name.starts_with(known)));
    assert_eq!(untouched, BTreeSet::new(), "fields that nobody altered");
}
