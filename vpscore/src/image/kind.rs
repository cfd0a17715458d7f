// SPDX-License-Identifier: BSD-2-Clause
//! The kinds of frames, and the order in which they come: the order of restore, as data.

use crate::cbor::{Decode, Decoder, Encode, Encoder, Error, Fault, TypeInfo};
use crate::collections::NoMemory;

/// Kinds from here on may be skipped by a reader that does not know them.
pub const OPTIONAL_KINDS: u16 = 0x8000;

/// Where frames of a kind may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// The number in the frame.
    pub kind: u16,
    /// The name of its record.
    pub name: &'static str,
    /// Frames come by increasing rank.
    pub rank: u8,
    /// The kind it belongs to: its frames follow an object of that kind directly.
    pub owner: Option<u16>,
    /// How many an image holds at least.
    pub least: u32,
    /// How many an image holds at most.
    pub most: u32,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $NAME:ident = $kind:literal, $name:literal, $rank:literal,
        $owner:expr, $least:literal, $most:expr;)*) => {
        $($(#[doc = $doc])+ pub const $NAME: u16 = $kind;)*

        /// All kinds of metadata, in the order in which they are restored.
        pub const KINDS: &[KindInfo] = &[$(KindInfo {
            kind: $kind, name: $name, rank: $rank, owner: $owner, least: $least, most: $most,
        }),*];
    };
}

kinds! {
    /// What the image was taken from.
    INFO = 0x10, "Info", 1, None, 1, 1;
    /// An instance.
    INSTANCE = 0x20, "Instance", 2, None, 1, u32::MAX;
    /// A network stack.
    VNET = 0x30, "Vnet", 3, None, 0, u32::MAX;
    /// An interface.
    IFNET = 0x31, "Ifnet", 4, None, 0, u32::MAX;
    /// A route.
    ROUTE = 0x32, "Route", 5, None, 0, u32::MAX;
    /// A neighbour's link-layer address.
    LLENTRY = 0x33, "Llentry", 6, None, 0, u32::MAX;
    /// What TCP keeps per vnet.
    TCP_VNET = 0x34, "TcpVnet", 7, None, 0, u32::MAX;
    /// Credentials.
    UCRED = 0x40, "Ucred", 8, None, 0, u32::MAX;
    /// A memory object; its pages follow it.
    VM_OBJECT = 0x60, "VmObject", 10, None, 0, u32::MAX;
    /// An address space.
    VMSPACE = 0x62, "Vmspace", 11, None, 0, u32::MAX;
    /// A mapping of the address space before it.
    VM_MAP_ENTRY = 0x63, "VmMapEntry", 11, Some(VMSPACE), 0, u32::MAX;
    /// A pipe; its bytes follow it.
    PIPE = 0x70, "Pipe", 12, None, 0, u32::MAX;
    /// A socket; its bytes follow it.
    SOCKET = 0x71, "Socket", 13, None, 0, u32::MAX;
    /// An embryonic connection.
    SYNCACHE = 0x73, "Syncache", 14, None, 0, u32::MAX;
    /// An open file.
    FILE = 0x80, "File", 16, None, 0, u32::MAX;
    /// A descriptor table.
    FILEDESC = 0x81, "Filedesc", 17, None, 0, u32::MAX;
    /// Descriptors in flight in a socket's buffer.
    IN_FLIGHT = 0x82, "InFlight", 18, None, 0, u32::MAX;
    /// Signal actions.
    SIGACTS = 0x90, "Sigacts", 19, None, 0, u32::MAX;
    /// A session.
    SESSION = 0xa0, "Session", 20, None, 0, u32::MAX;
    /// A process group.
    PGRP = 0xa1, "Pgrp", 21, None, 0, u32::MAX;
    /// A process.
    PROC = 0xb0, "Proc", 22, None, 0, u32::MAX;
    /// A thread of the process before it.
    THREAD = 0xb1, "Thread", 22, Some(PROC), 0, u32::MAX;
}

/// Raw frames: a page, a repeated page or a run of zero pages of the object before it.
pub const PAGES: u16 = 0x61;
/// Raw frames: bytes of a stream of the socket or pipe before it.
pub const DATA: u16 = 0x72;
/// The trailer.
pub const END: u16 = 0x7fff;

/// The entry of `kind` in [`KINDS`].
pub fn kind_info(kind: u16) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == kind)
}

/// A reference to an object of kind `K` that came before: objects are numbered from 1 in the order
/// of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref<const K: u16>(u32);

impl<const K: u16> Ref<K> {
    /// A reference to object `id`. Whether that is of kind `K` is checked where it is read.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The object's number.
    pub const fn id(self) -> u32 {
        self.0
    }
}

impl<const K: u16> Encode for Ref<K> {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.0.encode(to)
    }

    #[inline(always)]
    fn encode_keyed(&self, key: u64, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        self.0.encode_keyed(key, to)
    }
}

impl<const K: u16> Decode for Ref<K> {
    const TYPE: TypeInfo = TypeInfo::Ref(if K == 0 { None } else { Some(K) });

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        let id = u32::decode(from)?;
        let kind = if K == 0 { None } else { Some(K) };
        if from.refers(id, kind) {
            Ok(Self(id))
        } else {
            Err(Error::at(Fault::Reference, at))
        }
    }
}

/// Any object.
pub type AnyRef = Ref<0>;
/// An instance.
pub type InstanceRef = Ref<INSTANCE>;
/// A network stack.
pub type VnetRef = Ref<VNET>;
/// An interface.
pub type IfnetRef = Ref<IFNET>;
/// Credentials.
pub type UcredRef = Ref<UCRED>;
/// A memory object.
pub type VmObjectRef = Ref<VM_OBJECT>;
/// An address space.
pub type VmspaceRef = Ref<VMSPACE>;
/// A pipe.
pub type PipeRef = Ref<PIPE>;
/// A socket.
pub type SocketRef = Ref<SOCKET>;
/// An open file.
pub type FileRef = Ref<FILE>;
/// A descriptor table.
pub type FiledescRef = Ref<FILEDESC>;
/// Signal actions.
pub type SigactsRef = Ref<SIGACTS>;
/// A session.
pub type SessionRef = Ref<SESSION>;
/// A process group.
pub type PgrpRef = Ref<PGRP>;
/// A process.
pub type ProcRef = Ref<PROC>;
