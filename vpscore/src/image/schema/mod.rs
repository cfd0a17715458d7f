// SPDX-License-Identifier: BSD-2-Clause
//! What an image says: one record per object, under FreeBSD's names.
//!
//! [`SCHEMA`] lists every record with every field. The published document is checked against it,
//! and so is the sensitivity of the tests: losing or altering any field must be noticed.

mod file;
mod net;
mod proc;
mod system;
mod vm;

pub use file::{File, FileType, Filedesc, Filedescent, InFlight, Pipe, PipeBuf};
pub use net::{
    IfType, Ifaddr, Ifnet, Ipq, IpqPiece, LlState, Llentry, LoopbackPacket, RateCount, RngState,
    Route, SysctlVar, Vnet,
};
pub use proc::{
    Abi, Blocked, Itimer, Ksiginfo, Pgrp, Proc, ProcState, Registers, Rlimit, Rusage, Selected,
    Session, SigSet, Sigaction, Sigacts, Sigqueue, Thread, Ucred, Wchan, Woken,
};
pub use system::{Info, Instance, InstanceLimit, InstanceState};
pub use vm::{Inherit, ObjType, VmMapEntry, VmObject, Vmspace};

use super::order::Summary;
use super::{kind, order};
use crate::cbor::{Decode, Decoder, Error, FieldInfo, Record, RecordInfo, TypeInfo};
use crate::sock::{Socket, Syncache, TcpVnet};

/// A record that stands in a frame of its own.
pub trait ImageRecord: Record {
    /// The kind of its frames.
    const KIND: u16;

    /// What the order of frames depends on.
    fn summary(&self) -> Summary;
}

macro_rules! objects {
    ($($Name:ident = $kind:ident, $summary:ident;)*) => {
        /// One decoded object of an image.
        #[derive(Debug, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "there is one at a time")]
        pub enum Object {
            $(#[doc = concat!("A [`", stringify!($Name), "`].")] $Name($Name),)*
        }

        $(impl ImageRecord for $Name {
            const KIND: u16 = kind::$kind;

            fn summary(&self) -> Summary {
                order::$summary(self)
            }
        })*

        impl Object {
            /// The kind of its frame.
            pub const fn kind(&self) -> u16 {
                match self {
                    $(Self::$Name(_) => kind::$kind,)*
                }
            }

            /// What the order of frames depends on.
            pub fn summary(&self) -> Summary {
                match self {
                    $(Self::$Name(record) => ImageRecord::summary(record),)*
                }
            }

            /// Reads an object of this kind; `None` where there is no such kind.
            ///
            /// # Errors
            /// What is wrong with it.
            pub fn decode(kind: u16, from: &mut Decoder<'_>) -> Result<Option<Self>, Error> {
                match kind {
                    $(kind::$kind => $Name::decode(from).map(|r| Some(Self::$Name(r))),)*
                    _ => Ok(None),
                }
            }
        }

        /// Every kind of object with its record, in the order of restore.
        pub const SCHEMA: &[(u16, &RecordInfo)] = &[$((kind::$kind, <$Name as Record>::INFO)),*];
    };
}

objects! {
    Info = INFO, plain;
    Instance = INSTANCE, instance;
    Vnet = VNET, plain;
    Ifnet = IFNET, plain;
    Route = ROUTE, plain;
    Llentry = LLENTRY, plain;
    TcpVnet = TCP_VNET, plain;
    Ucred = UCRED, plain;
    VmObject = VM_OBJECT, vm_object;
    Vmspace = VMSPACE, vmspace;
    VmMapEntry = VM_MAP_ENTRY, vm_map_entry;
    Pipe = PIPE, pipe;
    Socket = SOCKET, socket;
    Syncache = SYNCACHE, plain;
    File = FILE, plain;
    Filedesc = FILEDESC, plain;
    InFlight = IN_FLIGHT, plain;
    Sigacts = SIGACTS, plain;
    Session = SESSION, plain;
    Pgrp = PGRP, plain;
    Proc = PROC, proc;
    Thread = THREAD, thread;
}

/// The record that a field holds, in place or in an array, if it holds one.
pub const fn inner_record(field: &FieldInfo) -> Option<&'static RecordInfo> {
    let mut ty = &field.ty;
    loop {
        match ty {
            TypeInfo::Record(record) => return Some(record),
            TypeInfo::Array(item) | TypeInfo::ArrayExactly(item, _) => ty = item,
            _ => return None,
        }
    }
}
