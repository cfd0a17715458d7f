// SPDX-License-Identifier: BSD-2-Clause
//! What happened in a world: one record per event, a running digest, and a file to look at.
//!
//! The trace is the ground of every comparison: two runs are equal if their digests are. So a
//! record holds only what a program inside or a peer outside can observe: times, places as
//! (host, instance path), numbers as the instance sees them, frames on cables. Host ids, handles
//! and addresses of the emulated kernel never enter it; that is what lets a run that was restored
//! after every step be compared with one that never was.
//!
//! The digest is SHA-256 over a length-prefixed encoding, so no two different traces share bytes.

use crate::guest::consts::syscall_by_number;
use crate::time::Instant;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use vpscore::ids::SYSCALLS;

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Instance path (`web.db`), or the host's name for the host itself. An instance keeps its
    /// path when it moves, so the path says where without saying on which machine.
    pub instance: String,
    /// Process and thread as that instance numbers them; 0 for none.
    pub pid: i32,
    /// Thread id as that instance numbers it; 0 for none.
    pub tid: i32,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// Where.
    pub place: Place,
    /// What kind of thing: `call`, `return`, `signal`, `fork`, `exit`, `frame`, ...
    pub kind: &'static str,
    /// The details, as text that is equal where the thing is.
    pub detail: String,
}

/// The trace of one world.
pub struct Trace {
    digest: Sha256,
    count: u64,
    kept: Option<Vec<Record>>,
}

impl Trace {
    /// An empty trace; `keep` tells whether the records are kept to be looked at.
    pub fn new(keep: bool) -> Self {
        Self {
            digest: Sha256::new(),
            count: 0,
            kept: keep.then(Vec::new),
        }
    }

    /// Adds a record.
    pub fn record(&mut self, at: Instant, place: Place, kind: &'static str, detail: String) {
        let mut text = |bytes: &[u8]| {
            self.digest.update((bytes.len() as u64).to_le_bytes());
            self.digest.update(bytes);
        };
        text(place.instance.as_bytes());
        text(kind.as_bytes());
        text(detail.as_bytes());
        self.digest.update(at.as_nanos().to_le_bytes());
        self.digest.update(place.pid.to_le_bytes());
        self.digest.update(place.tid.to_le_bytes());
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(Record {
                at_ns: at.as_nanos(),
                place,
                kind,
                detail,
            });
        }
    }

    /// How many records it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The records, where they are kept.
    pub fn records(&self) -> &[Record] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// The digest of all records so far, in hexadecimal.
    pub fn digest(&self) -> String {
        self.digest
            .clone()
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// A system call by its name, or by its number where it has none here.
pub fn call_name(code: u32) -> Cow<'static, str> {
    if let Some(call) = syscall_by_number(code) {
        return call.name.into();
    }
    let known = SYSCALLS.iter().find(|call| u32::from(call.number) == code);
    known.map_or_else(|| format!("#{code}").into(), |call| call.name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pid: i32) -> Place {
        Place {
            instance: "web".into(),
            pid,
            tid: 0,
        }
    }

    #[test]
    fn the_digest_tells_any_difference() {
        let digest = |at, pid, kind, detail: &str| {
            let mut trace = Trace::new(false);
            trace.record(Instant::from_nanos(at), place(pid), kind, detail.into());
            trace.digest()
        };
        let base = digest(1, 1, "call", "getpid");
        assert_eq!(base, digest(1, 1, "call", "getpid"));
        assert_ne!(base, digest(2, 1, "call", "getpid"));
        assert_ne!(base, digest(1, 2, "call", "getpid"));
        assert_ne!(base, digest(1, 1, "callg", "etpid"));
    }

    #[test]
    fn calls_have_the_names_of_the_emulated_kernel_or_of_the_core() {
        assert_eq!(call_name(20), "getpid");
        // In the emulated kernel there is no ptrace(2).
        assert_eq!(call_name(26), "ptrace");
        assert_eq!(call_name(4_000), "#4000");
    }
}
