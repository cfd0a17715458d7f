// SPDX-License-Identifier: BSD-2-Clause
//! Why stacks cannot be written, and why records do not make stacks.

use vpscore::cbor::Breach;
use vpscore::collections::NoMemory;
use vpscore::image::WriteError;
use vpscore::sock::Rule;

use crate::errno::Errno;
use crate::net::cx::SoId;
use crate::net::ifnet::IfIndex;

/// Why a vnet's IP layer cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmovable {
    /// No memory for the records.
    NoMemory,
    /// An interface that no record describes: a `tun`.
    Interface(IfIndex),
    /// A route that leaves by an interface which was not written.
    Route(IfIndex),
    /// A socket that nobody has credentials for.
    Socket(SoId),
    /// The socket, or an embryonic connection where none is named, breaks a rule by which every host
    /// counts what comes to it: its address is gone, or it has the ends of another.
    Census(Option<SoId>, Rule),
}

impl From<NoMemory> for Unmovable {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Why records of an IP layer do not make a vnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A variable that this kernel does not have, or a value that it refuses.
    Sysctl(Errno),
    /// Two interfaces or addresses claim the same, or a route lacks its interface.
    Conflict(Errno),
    /// A socket of a family or protocol that this network does not have, or with an accept filter.
    Protocol,
    /// An error number that this kernel does not know.
    Errno(u16),
    /// The bytes of a stream are not as many as the record says.
    Stream,
    /// A buffer or queue in which nothing could stand so.
    Queue,
    /// The address or ancillary data of a datagram.
    Address,
    /// More than this kernel lets anybody have.
    Limit,
    /// A secret that is too short.
    Secret,
    /// The field under this key of the record says what this kernel does not have.
    Field(u64),
    /// It cannot stand beside the other sockets, or on this host.
    Census(Rule),
    /// What this kernel would make of it differs in this field, which it cannot hold.
    Lost(Breach),
}

impl From<Rule> for Unfit {
    fn from(rule: Rule) -> Self {
        Self::Census(rule)
    }
}

/// Why stacks cannot be written.
#[derive(Debug)]
pub enum CaptureError {
    /// Something in the stack at this place cannot be moved.
    Unmovable(usize, Unmovable),
    /// The image could not be written.
    Write(WriteError<NoMemory>),
}

impl From<WriteError<NoMemory>> for CaptureError {
    fn from(error: WriteError<NoMemory>) -> Self {
        Self::Write(error)
    }
}

/// Why records do not make stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A record of this object refers to one that is not there.
    Reference(u32),
    /// The record of this object does not fit.
    Unfit(u32, Unfit),
}
