// SPDX-License-Identifier: BSD-2-Clause
//! An encoded record as a tree whose leaves can be altered, led by the published schema.

use vpscore::cbor::{Bound, FieldInfo, RecordInfo, TypeInfo};

/// An item of deterministic CBOR, as far as records use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// An unsigned integer.
    Uint(u64),
    /// The negative integer -1 - n.
    Negative(u64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// Text.
    Text(Vec<u8>),
    /// An array.
    Array(Vec<Tree>),
    /// A record: values by keys.
    Map(Vec<(u64, Tree)>),
    /// `false` and `true`.
    Bool(bool),
}

impl Tree {
    /// The tree of an encoded record.
    ///
    /// # Panics
    /// Where the bytes are none.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let tree = item(&mut bytes);
        assert!(bytes.is_empty(), "one item");
        tree
    }

    /// The bytes of the tree.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(n) => head(out, 0, *n),
            Self::Negative(n) => head(out, 1, *n),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend(bytes);
            }
            Self::Text(bytes) => {
                head(out, 3, bytes.len() as u64);
                out.extend(bytes);
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(fields) => {
                head(out, 5, fields.len() as u64);
                for (key, value) in fields {
                    head(out, 0, *key);
                    value.write(out);
                }
            }
            Self::Bool(value) => out.push(0xf4 + u8::from(*value)),
        }
    }

    /// The value of a field that is there.
    pub fn field(&mut self, key: u64) -> Option<&mut Self> {
        match self {
            Self::Map(fields) => {
                let found = fields.iter_mut().find(|(k, _)| *k == key);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Takes a field away.
    pub fn remove(&mut self, key: u64) -> bool {
        match self {
            Self::Map(fields) => {
                let before = fields.len();
                fields.retain(|(k, _)| *k != key);
                fields.len() < before
            }
            _ => false,
        }
    }

    /// Gives a field a value, whether it had one or not.
    pub fn set(&mut self, key: u64, value: Self) {
        if let Self::Map(fields) = self {
            fields.retain(|(k, _)| *k != key);
            let at = fields.partition_point(|(k, _)| *k < key);
            fields.insert(at, (key, value));
        }
    }

    /// The place that a path leads to: keys of records, and of lists the first item.
    pub fn at(&mut self, path: &[u64]) -> Option<&mut Self> {
        path.iter().try_fold(self, |tree, key| {
            let tree = match tree {
                Self::Array(items) => items.first_mut()?,
                other => other,
            };
            tree.field(*key)
        })
    }
}

fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    match n {
        0..24 => out.push(major | n as u8),
        24..0x100 => out.extend([major | 24, n as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend((n as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend((n as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(n.to_be_bytes());
        }
    }
}

fn item(bytes: &mut &[u8]) -> Tree {
    let first = take(bytes, 1)[0];
    let n = match first & 31 {
        small @ 0..24 => u64::from(small),
        size => take(bytes, 1 << (size - 24))
            .iter()
            .fold(0, |n, byte| n << 8 | u64::from(*byte)),
    };
    let length = n as usize;
    match first >> 5 {
        0 => Tree::Uint(n),
        1 => Tree::Negative(n),
        2 => Tree::Bytes(take(bytes, length).to_vec()),
        3 => Tree::Text(take(bytes, length).to_vec()),
        4 => Tree::Array((0..length).map(|_| item(bytes)).collect()),
        5 => Tree::Map(
            (0..length)
                .map(|_| match item(bytes) {
                    Tree::Uint(key) => (key, item(bytes)),
                    other => panic!("{other:?} is no key"),
                })
                .collect(),
        ),
        _ => Tree::Bool(first & 31 == 21),
    }
}

fn take<'b>(bytes: &mut &'b [u8], n: usize) -> &'b [u8] {
    let (front, rest) = bytes.split_at(n);
    *bytes = rest;
    front
}

/// A field of a record, or of a record within it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The keys that lead to it; on the way through a list its first item is meant.
    pub path: Vec<u64>,
    /// The names of them, with dots.
    pub name: String,
    /// The field.
    pub field: &'static FieldInfo,
}

/// Every field of a record and of the records in it, outermost first.
pub fn places(record: &'static RecordInfo) -> Vec<Place> {
    let mut all = Vec::new();
    collect(record, &[], record.schema.name, &mut all);
    all
}

fn collect(record: &'static RecordInfo, path: &[u64], name: &str, all: &mut Vec<Place>) {
    for field in record.fields {
        let path = [path, &[field.key]].concat();
        let name = format!("{name}.{}", field.name);
        all.push(Place {
            path: path.clone(),
            name: name.clone(),
            field,
        });
        let inner = match field.ty {
            TypeInfo::Record(inner) => inner,
            TypeInfo::Array(TypeInfo::Record(inner)) => *inner,
            _ => continue,
        };
        collect(inner, &path, &name, all);
    }
}

/// The integers at and around the edges of a field.
pub fn edges(field: &FieldInfo) -> Vec<i128> {
    let (least, most) = match field.ty {
        TypeInfo::Uint(most) => (0, i128::from(most)),
        TypeInfo::Int(least, most) => (i128::from(least), i128::from(most)),
        _ => (0, 0),
    };
    let mut all = vec![
        least,
        least + 1,
        0,
        1,
        most / 2,
        most / 2 + 1,
        most - 1,
        most,
    ];
    match field.bound {
        Some(Bound::Within(low, high)) => {
            let (low, high) = (i128::from(low), i128::from(high));
            all.extend([low - 1, low, low + 1, high - 1, high, high + 1]);
        }
        Some(Bound::Bits(bits)) => all.extend([i128::from(bits), i128::from(bits) + 1]),
        None => {}
    }
    all.retain(|n| (least..=most).contains(n));
    all
}

/// An integer as an item.
pub fn integer(n: i128) -> Tree {
    match u64::try_from(n) {
        Ok(n) => Tree::Uint(n),
        Err(_) => Tree::Negative(u64::try_from(-1 - n).unwrap_or(u64::MAX)),
    }
}
