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

use crate::time::Instant;
use serde::Serialize;
use sha2::{Digest, Sha256};

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
    /// An empty trace; `keep` tells whether the records are kept for [`Trace::perfetto`].
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

    /// The kept records as a Chrome trace, which Perfetto opens: an instance is a process there
    /// and a PID a thread.
    pub fn perfetto(&self) -> serde_json::Value {
        let mut instances: Vec<&str> = Vec::new();
        let mut events = Vec::new();
        for record in self.records() {
            let name = record.place.instance.as_str();
            let row = instances
                .iter()
                .position(|known| *known == name)
                .unwrap_or_else(|| {
                    instances.push(name);
                    events.push(serde_json::json!({
                        "ph": "M", "name": "process_name", "pid": instances.len(),
                        "args": { "name": name },
                    }));
                    instances.len() - 1
                });
            events.push(serde_json::json!({
                "ph": "i", "s": "t",
                "ts": record.at_ns as f64 / 1_000.0,
                "pid": row + 1,
                "tid": record.place.pid,
                "name": format!("{} {}", record.kind, record.detail),
                "cat": record.kind,
                "args": { "tid": record.place.tid },
            }));
        }
        serde_json::json!({ "traceEvents": events, "displayTimeUnit": "ns" })
    }
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
    fn perfetto_names_each_instance_once() {
        let mut trace = Trace::new(true);
        for pid in 1..=3 {
            trace.record(Instant::from_nanos(9), place(pid), "fork", String::new());
        }
        let events = trace.perfetto()["traceEvents"].as_array().unwrap().len();
        assert_eq!(events, 4);
    }
}
