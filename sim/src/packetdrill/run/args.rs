// SPDX-License-Identifier: BSD-2-Clause
//! Arguments of system calls: addresses, vectors, and structures as they lie in a program's memory (LP64,
//! little endian; `sys/socket.h`, `netinet/tcp.h`, `sys/time.h`, 15.0).

use super::calls::ScriptError;
use super::names;
use crate::packetdrill::ast::{Arg, Field, Syscall};
use std::net::{IpAddr, SocketAddr};

/// Bytes of an option's value.
pub const VALUE_MAX: usize = 4_096;

/// Bytes in memory, and which of them a script says something of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the byte is given.
    pub given: Vec<bool>,
}

impl Memory {
    fn push(&mut self, bytes: &[u8], given: bool) {
        self.bytes.extend_from_slice(bytes);
        self.given.extend(bytes.iter().map(|_| given));
    }

    /// Whether these bytes are there, where they are given.
    pub fn agrees(&self, seen: &[u8]) -> bool {
        self.bytes.len() == seen.len()
            && self
                .bytes
                .iter()
                .zip(seen)
                .zip(&self.given)
                .all(|((wanted, seen), given)| !given || wanted == seen)
    }
}

/// The fields of a structure that scripts write.
#[derive(Clone, Copy)]
enum Kind {
    I32,
    I64,
    Text(usize),
    Bytes(usize),
}

/// Structures by the name of their first field.
const LAYOUTS: [&[(&str, Kind)]; 5] = [
    &[("onoff", Kind::I32), ("linger", Kind::I32)],
    &[("tv_sec", Kind::I64), ("tv_usec", Kind::I64)],
    &[("function_set_name", Kind::Text(32)), ("pcbcnt", Kind::I32)],
    &[("enable", Kind::I32), ("psk", Kind::Bytes(16))],
    &[("af_name", Kind::Text(16)), ("af_arg", Kind::Text(240))],
];

/// A number among the arguments.
pub fn number(call: &Syscall, index: usize) -> Result<i64, ScriptError> {
    match call.args.get(index) {
        Some(Arg::Value(value)) => names::number(value),
        _ => Err(format!(
            "{}: argument {} must be a number",
            call.name,
            index + 1
        )),
    }
}

/// A number that fits an `int`.
pub fn int(call: &Syscall, index: usize) -> Result<i32, ScriptError> {
    small(number(call, index)?)
}

/// A number of bytes.
pub fn len(call: &Syscall, index: usize) -> Result<usize, ScriptError> {
    let len = number(call, index)?;
    usize::try_from(len).map_err(|_| format!("{}: {len} is no length", call.name))
}

pub(super) fn small(value: i64) -> Result<i32, ScriptError> {
    let unsigned = u32::try_from(value).map(u32::cast_signed);
    i32::try_from(value)
        .or(unsigned)
        .map_err(|_| format!("{value} does not fit an int"))
}

/// What an argument must leave open, for it is not judged.
pub fn open(call: &Syscall, index: usize, what: &str) -> Result<(), ScriptError> {
    match call.args.get(index) {
        Some(Arg::Ellipsis) | None => Ok(()),
        Some(_) => Err(format!(
            "{}: {what} (argument {}) must be `...`: it cannot be judged here",
            call.name,
            index + 1
        )),
    }
}

/// The address in a `struct sockaddr`, or the given one for `...`.
pub fn address(call: &Syscall, index: usize, own: SocketAddr) -> Result<SocketAddr, ScriptError> {
    let wrong = || {
        format!(
            "{}: argument {} must be `...` or {{sa_family=AF_INET, sin_port=htons(PORT), sin_addr=inet_addr(\"ADDRESS\")}}",
            call.name,
            index + 1
        )
    };
    let fields = match call.args.get(index) {
        Some(Arg::Ellipsis) => return Ok(own),
        Some(Arg::Struct(fields)) => fields,
        _ => return Err(wrong()),
    };
    let [family, port, addr] = fields.as_slice() else {
        return Err(wrong());
    };
    let named = |field: &Field, name: &str| field.name == name;
    if !(named(family, "sa_family") && named(port, "sin_port") && named(addr, "sin_addr")) {
        return Err(wrong());
    }
    let (Arg::Value(family), Arg::Value(port), Arg::Text(addr)) =
        (&family.value, &port.value, &addr.value)
    else {
        return Err(wrong());
    };
    let port = u16::try_from(names::number(port)?).map_err(|_| wrong())?;
    let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
    let wanted = if addr.is_ipv4() {
        "AF_INET"
    } else {
        "AF_INET6"
    };
    if names::constant(wanted) != Some(names::number(family)?) {
        return Err(wrong());
    }
    Ok(SocketAddr::new(addr, port))
}

/// The bytes that the vectors of `readv`, `recvmsg` and their like have room for.
pub fn vectors(call: &Syscall, index: usize) -> Result<usize, ScriptError> {
    let list = match call.args.get(index) {
        Some(Arg::List(list)) => {
            let count = number(call, index + 1)?;
            if usize::try_from(count) != Ok(list.len()) {
                return Err(format!(
                    "{}: {count} is not the number of vectors",
                    call.name
                ));
            }
            list
        }
        Some(Arg::Struct(message)) => message_vectors(call, message)?,
        _ => {
            return Err(format!(
                "{}: argument {} must be vectors, [{{..., LEN}}]",
                call.name,
                index + 1
            ));
        }
    };
    let mut sum = 0_usize;
    for vector in list {
        let fields = match vector {
            Arg::Struct(fields) => fields.as_slice(),
            _ => &[],
        };
        let [base, len] = fields else {
            return Err(format!("{}: a vector is {{..., LEN}}", call.name));
        };
        let (Arg::Ellipsis, Arg::Value(len)) = (&base.value, &len.value) else {
            return Err(format!("{}: the data of a vector must be `...`", call.name));
        };
        let len = usize::try_from(names::number(len)?)
            .map_err(|_| format!("{}: a vector has no negative length", call.name))?;
        sum = sum.saturating_add(len);
    }
    Ok(sum)
}

fn message_vectors<'a>(call: &Syscall, message: &'a [Field]) -> Result<&'a [Arg], ScriptError> {
    let mut vectors: &[Arg] = &[];
    for field in message {
        match (field.name.as_str(), &field.value) {
            ("msg_name", Arg::Ellipsis) => {}
            ("msg_iov", Arg::List(list)) => vectors = list,
            ("msg_control", Arg::List(list)) if list.is_empty() => {}
            ("msg_control", Arg::Ellipsis) | ("msg_flags", Arg::Ellipsis) => {}
            ("msg_flags", Arg::Value(flags)) if names::number(flags)? == 0 => {}
            (name, _) => {
                return Err(format!(
                    "{}: {name} of a message can only be empty, 0 or `...` here",
                    call.name
                ));
            }
        }
    }
    Ok(vectors)
}

/// The value of an option as it lies in memory: `[1]`, `"cubic"` or a structure.
pub fn value(call: &Syscall, index: usize) -> Result<Memory, ScriptError> {
    let mut memory = Memory::default();
    match call.args.get(index) {
        Some(Arg::List(items)) => {
            for item in items {
                match item {
                    Arg::Ellipsis => memory.push(&[0; 4], false),
                    Arg::Value(value) => {
                        memory.push(&small(names::number(value)?)?.to_le_bytes(), true);
                    }
                    _ => return Err(format!("{}: the value is a list of numbers", call.name)),
                }
            }
        }
        Some(Arg::Text(text)) => memory.push(text.as_bytes(), true),
        Some(Arg::Struct(fields)) => return structure(call, fields),
        Some(Arg::Ellipsis) => {}
        _ => {
            return Err(format!(
                "{}: the value must be [N], a text or a structure",
                call.name
            ));
        }
    }
    Ok(memory)
}

fn structure(call: &Syscall, fields: &[Field]) -> Result<Memory, ScriptError> {
    let first = fields.first().map_or("", |field| &field.name);
    let layout = LAYOUTS
        .iter()
        .find(|layout| layout.first().is_some_and(|(name, _)| *name == first))
        .ok_or_else(|| {
            format!(
                "{}: a structure with a field `{first}` is not known here",
                call.name
            )
        })?;
    if let Some(field) = fields
        .iter()
        .find(|field| !layout.iter().any(|(name, _)| *name == field.name))
    {
        return Err(format!(
            "{}: field `{}` is not known here",
            call.name, field.name
        ));
    }
    let mut memory = Memory::default();
    for (name, kind) in *layout {
        let value = fields.iter().find(|field| field.name == *name);
        let value = value.map_or(&Arg::Ellipsis, |field| &field.value);
        put(&mut memory, *kind, value)
            .ok_or_else(|| format!("{}: field `{name}` has no such value", call.name))?;
    }
    Ok(memory)
}

fn put(memory: &mut Memory, kind: Kind, value: &Arg) -> Option<()> {
    match (kind, value) {
        (Kind::I32, Arg::Ellipsis) => memory.push(&[0; 4], false),
        (Kind::I64, Arg::Ellipsis) => memory.push(&[0; 8], false),
        (Kind::Text(len) | Kind::Bytes(len), Arg::Ellipsis) => memory.push(&vec![0; len], false),
        (Kind::I32, Arg::Value(value)) => {
            memory.push(&small(names::number(value).ok()?).ok()?.to_le_bytes(), true);
        }
        (Kind::I64, Arg::Value(value)) => {
            memory.push(&names::number(value).ok()?.to_le_bytes(), true);
        }
        (Kind::Text(len), Arg::Text(text)) if text.len() < len => {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(len, 0);
            memory.push(&bytes, true);
        }
        (Kind::Bytes(len), Arg::Text(digits)) if digits.len() == 2 * len => {
            let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
            memory.push(&bytes?, true);
        }
        _ => return None,
    }
    Some(())
}

/// The length of an option's value, `4` or `[4]`.
pub fn value_len(call: &Syscall, index: usize) -> Result<Option<usize>, ScriptError> {
    let value = match call.args.get(index) {
        Some(Arg::Value(value)) => value,
        Some(Arg::List(items)) => match items.as_slice() {
            [Arg::Value(value)] => value,
            [Arg::Ellipsis] => return Ok(None),
            _ => return Err(format!("{}: the length is one number", call.name)),
        },
        _ => return Ok(None),
    };
    let len = names::number(value)?;
    match usize::try_from(len).ok().filter(|len| *len <= VALUE_MAX) {
        Some(len) => Ok(Some(len)),
        None => Err(value_too_long(call)),
    }
}

/// The complaint about a value of more than [`VALUE_MAX`] bytes, or of less than none.
pub fn value_too_long(call: &Syscall) -> ScriptError {
    format!("{}: a value has 0 to {VALUE_MAX} bytes", call.name)
}
