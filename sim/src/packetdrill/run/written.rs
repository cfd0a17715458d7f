// SPDX-License-Identifier: BSD-2-Clause
//! What a call writes into its caller's memory, and whether that is what the script says.

use super::args;
use super::calls::ScriptError;
use super::names;
use crate::packetdrill::ast::{Arg, Syscall};

/// What a call wrote for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The events of each descriptor that was polled.
    Events(Vec<i64>),
}

/// Descriptor, events and expected events of each `struct pollfd`; no `revents` means none.
pub(super) fn polled(call: &Syscall) -> Result<Vec<(i64, i64, Option<i64>)>, ScriptError> {
    let wrong = || "poll: argument 1 must be [{fd=N, events=POLLIN, revents=POLLIN}]".to_owned();
    let Some(Arg::List(list)) = call.args.first() else {
        return Err(wrong());
    };
    let mut all = Vec::new();
    for item in list {
        let Arg::Struct(fields) = item else {
            return Err(wrong());
        };
        if fields
            .iter()
            .any(|f| !matches!(f.name.as_str(), "fd" | "events" | "revents"))
        {
            return Err(wrong());
        }
        let field = |name: &str| fields.iter().find(|field| field.name == name);
        let number = |name: &str| match field(name).map(|field| &field.value) {
            Some(Arg::Value(value)) => names::number(value),
            _ => Err(wrong()),
        };
        let revents = match field("revents").map(|field| &field.value) {
            None => Some(0),
            Some(Arg::Ellipsis) => None,
            Some(_) => Some(number("revents")?),
        };
        all.push((number("fd")?, number("events")?, revents));
    }
    Ok(all)
}

/// What a call should have written and what it wrote, where the two differ.
///
/// # Errors
/// What in the script cannot be understood.
pub fn miswritten(
    call: &Syscall,
    written: &Written,
) -> Result<Option<(String, String)>, ScriptError> {
    match written {
        Written::Nothing => Ok(None),
        Written::Events(events) => {
            let wanted: Vec<Option<i64>> =
                polled(call)?.iter().map(|(_, _, wanted)| *wanted).collect();
            let same = wanted
                .iter()
                .zip(events)
                .all(|(wanted, seen)| wanted.is_none_or(|w| w == *seen));
            let hex = |events: &[Option<i64>]| {
                let all = events
                    .iter()
                    .map(|e| e.map_or("...".into(), |e| format!("{e:#x}")));
                format!("revents {}", all.collect::<Vec<String>>().join(", "))
            };
            let seen: Vec<Option<i64>> = events.iter().copied().map(Some).collect();
            Ok((!same).then(|| (hex(&wanted), hex(&seen))))
        }
        Written::Bytes(bytes) => {
            let index = if call.name == "ioctl" { 2 } else { 3 };
            let mut wanted = args::value(call, index)?;
            let text = matches!(call.args.get(index), Some(Arg::Text(_)));
            let open = matches!(call.args.get(index), Some(Arg::Ellipsis));
            let mut seen = bytes.clone();
            if text {
                // Names end with a zero, or with the room for them.
                let end = seen
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(seen.len());
                seen.truncate(end);
            }
            let len = args::value_len(call, index + 1)?;
            let judged = call.name == "getsockopt" && !text;
            let told = !judged || len.is_none_or(|len| len == bytes.len());
            // A list shorter than the value speaks of its beginning.
            if matches!(call.args.get(index), Some(Arg::List(_))) && wanted.bytes.len() < seen.len()
            {
                wanted.given.resize(seen.len(), false);
                wanted.bytes.resize(seen.len(), 0);
            }
            if open || (told && wanted.agrees(&seen)) {
                return Ok(None);
            }
            Ok(Some((shown(&wanted.bytes, text), shown(&seen, text))))
        }
    }
}

fn shown(bytes: &[u8], text: bool) -> String {
    if text {
        return format!("value {:?}", String::from_utf8_lossy(bytes));
    }
    let words: Vec<String> = bytes
        .chunks(4)
        .map(|word| match word.try_into() {
            Ok(word) => i32::from_le_bytes(word).to_string(),
            Err(_) => format!("{word:02x?}"),
        })
        .collect();
    format!("value [{}] of {} bytes", words.join(", "), bytes.len())
}
