// SPDX-License-Identifier: BSD-2-Clause
//! What programs have done wrong without the scenario saying anything of it: deaths by a signal, calls that the
//! kernel has not. A world goes on with them; who looks for a mistake in a program wants to see them.

use super::trace::Place;
use super::trace::call_name;
use crate::errno::Errno;
use crate::kern::trace::TraceItem;
use crate::kern::types::signal_name;
use crate::time::Instant;
use serde::Serialize;

/// Faults that are kept; of a guest that goes wrong without end the rest is counted.
const FAULTS_MAX: usize = 100;

/// A fault of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// The instance, or the host.
    pub instance: String,
    /// The process as it knows it.
    pub pid: i32,
    /// What.
    pub what: String,
}

/// The faults of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first ones.
    pub first: Vec<Fault>,
    /// How many there are.
    pub count: u64,
}

impl Faults {
    /// Notes what an item tells.
    pub fn note(&mut self, now: Instant, place: &Place, item: &TraceItem) {
        let what = match item {
            TraceItem::Exit { signo, .. } if *signo != 0 => {
                format!("died of {}", signal_name(*signo))
            }
            TraceItem::Return {
                code,
                result: Err(Errno::ENOSYS),
                ..
            } => format!(
                "made the system call {}, which is not there",
                call_name(*code)
            ),
            _ => return,
        };
        self.count += 1;
        if self.first.len() < FAULTS_MAX {
            self.first.push(Fault {
                at_ms: now.as_nanos() / 1_000_000,
                instance: place.instance.clone(),
                pid: place.pid,
                what,
            });
        }
    }
}
