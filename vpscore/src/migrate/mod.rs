// SPDX-License-Identifier: BSD-2-Clause
//! Both ends of a live migration, as two state machines without I/O.
//!
//! A running instance moves to another host, and at no instant may two hosts run it, whatever
//! crashes or is lost on the way. The original had no commit point: a lost answer left two owners,
//! and a failed move left the source suspended. Here the target first makes sure that it has
//! everything (*prepared*), then the source decides, alone and durably, that the target owns the
//! instance (*committed*, the commit point), and only then does the target run it.
//!
//! ```text
//!  source                                            target
//!  Offering    -- Offer ------------------------->   Checking      versions, release, features, room
//!              <------------------------- Accept --  Receiving
//!  Scanning, Copying  == chunks, rounds ========>
//!  Stopping    (threads stop where they are)
//!  Finishing   == last chunks ==================>
//!  Preparing   -- Final ------------------------->   Restoring
//!                                                    Preparing     persist Prepared
//!              <----------------------- Prepared --  Prepared      in doubt: runs nowhere
//!  Committing  persist Committed: the commit point
//!  Committed   -- Commit ------------------------>   Owning        persist Owned
//!              <-------------------------- Owned --  Owned         runs
//!  Releasing   persist Released
//!  Released    -- Done -------------------------->   Finished
//! ```
//! [`source::Phase::rule`] and [`target::Phase::rule`] are the tables. An input (a message, a result
//! of the local kernel, the time) is first reduced, with the numbers at hand, to one of a few
//! events; the table gives the next phase and a list of things to do; the numbers are filled in.
//! Bytes of the image never pass through here: the kernel moves chunks, the machines count them.
//!
//! # Invariants
//! * I1: one owner. The target activates the instance only after its journal has `Owned`, which it
//!   writes only on `Commit`, which the source sends only after its journal has `Committed`, after
//!   which the source never resumes.
//! * I2: abort is free. In every phase before `Committing` every failure leads to `Aborted`, with
//!   the instance resumed if it was stopped, and to `Discarded` at the target.
//! * I3: a message that depends on a record is sent only when the journal has said that the record
//!   is there.
//! * I4: whatever is said twice, late or out of order changes nothing but what is said in answer.
//! * I5: pre-copy ends within its budget, by stopping or by giving up.
//!
//! # What survives a crash
//! The journals, nothing else: `recover` of each role makes the machine anew from them. Absence
//! means abort: a source whose journal has no `Committed` has aborted, and answers so
//! ([`answer_unknown`]). `docs/migration-protocol.md` has every case.
//!
//! # Duties of the driver
//! It performs outputs in their order, reports results of actions, calls with a tick at
//! [`source::Source::next_timer`], reads its journal before it answers anything, and gives each
//! migration and each attempt an id that was never used ([`crate::kpi::Kpi::random`]). Its journal
//! is a queue: [`Action::Forget`] takes effect after every record asked for before it. The channel is authenticated
//! by the hosts; the machines still take every message as hostile.

mod flow;
mod journal;
mod message;
mod output;
pub mod source;
pub mod stream;
pub mod target;
mod terms;
#[cfg(test)]
mod tests;

pub use flow::{Budget, Next, Progress};
pub use journal::{Mark, Record, Role};
pub use message::{
    Abort, Accept, Ack, Attempt, Bare, Chunk, Final, InstanceKey, Message, MessageKind,
    MigrationId, Offer, Reason, Refuse,
};
pub use output::{Action, Output, Outputs, Reject, Report};
pub use terms::{Capabilities, PROTOCOL_MAX, PROTOCOL_MIN};

/// What a host answers to a message about a migration of which its journal and memory know nothing.
/// Only sound once the journal has been read.
///
/// At the source, absence means abort, or that it released long ago; at the target, that it holds
/// nothing. An [`Message::Offer`] is not for here: it makes a new [`target::Target`].
pub fn answer_unknown(message: &Message) -> Option<Message> {
    let migration = message.migration();
    match message {
        Message::Prepared(_) | Message::Chunk(_) | Message::Final(_) => {
            Some(Message::Abort(Abort {
                migration,
                reason: Reason::Unknown,
            }))
        }
        Message::Owned(body) | Message::Lost(body) => Some(Message::Done(*body)),
        Message::Offer(_)
        | Message::Accept(_)
        | Message::Refuse(_)
        | Message::Ack(_)
        | Message::Commit(_)
        | Message::Done(_)
        | Message::Abort(_) => None,
    }
}
