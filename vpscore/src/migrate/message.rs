// SPDX-License-Identifier: BSD-2-Clause
//! The messages of the protocol and their encoding: an array of a kind and a record, in
//! deterministic CBOR ([`crate::cbor`]), at most [`MIGRATE_MESSAGE_MAX`] bytes.

use crate::cbor::{
    Code, Decode, Decoder, Encode, Encoder, Error, Fault, TypeInfo, decode_all, encode_to_list,
};
use crate::collections::{List, NoMemory};
use crate::instance::Name;
use crate::limits::{INSTANCES_MAX, MIGRATE_CHUNKS_MAX, MIGRATE_MESSAGE_MAX, MIGRATE_WINDOW_MAX};

/// Names one migration for ever: random, chosen by the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MigrationId(pub [u8; 16]);

/// Names one instance wherever it is: random, chosen when it was created, and moves with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey(pub [u8; 16]);

/// Names one attempt of the target to take part in a migration: random, chosen by the target for
/// each machine it makes. A target that has crashed and is offered the same migration by an old
/// message must not be mistaken for the one that had said it was prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

impl Encode for Attempt {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.uint(self.0)
    }
}

impl Decode for Attempt {
    const TYPE: TypeInfo = TypeInfo::Uint(u64::MAX);

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        from.uint().map(Self)
    }
}

macro_rules! opaque {
    ($($ty:ident)*) => {$(
        impl Encode for $ty {
            fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
                self.0.encode(to)
            }
        }

        impl Decode for $ty {
            const TYPE: TypeInfo = TypeInfo::BytesExactly(16);

            fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
                Decode::decode(from).map(Self)
            }
        }
    )*};
}

opaque!(MigrationId InstanceKey);

impl Encode for Name {
    fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
        to.text(self.as_str())
    }
}

impl Decode for Name {
    const TYPE: TypeInfo = TypeInfo::Text;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
        let at = from.offset();
        Self::parse(from.text()?.as_bytes()).map_err(|_| Error::at(Fault::Invalid, at))
    }
}

crate::codes! {
    /// Why a migration was refused or aborted.
    pub enum Reason {
        /// An operator said so.
        Operator = 0,
        /// A phase took longer than its budget.
        Deadline = 1,
        /// Pages were dirtied faster than they could be sent, to the end of the budget.
        NotConverging = 2,
        /// The threads did not stop by the deadline.
        StopFailed = 3,
        /// The source's kernel could not go on; it reports what it was.
        SourceFailed = 4,
        /// The target's kernel could not go on; it reports what it was.
        TargetFailed = 5,
        /// The hosts have no protocol version in common.
        Version = 6,
        /// The target cannot run programs of that release or ABI.
        Abi = 7,
        /// The instance uses a feature that the target lacks.
        Feature = 8,
        /// A limit or resource of the target does not suffice.
        Resources = 9,
        /// The name or the instance itself is there already.
        Exists = 10,
        /// What has arrived is not what was sent.
        Mismatch = 11,
        /// The sender knows nothing of this migration.
        Unknown = 12,
        /// The target lost what it had in a crash.
        TargetLost = 13,
    }
}

crate::record! {
    /// The source proposes to move an instance and says what it takes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Offer, check = Offer::sane {
        /// The migration.
        0 => migration: MigrationId,
        /// The instance.
        1 => instance: InstanceKey,
        /// Its name within the target's parent instance.
        2 => name: Name,
        /// The oldest protocol version the source speaks.
        3 => version_min: u16,
        /// The newest one.
        4 => version_max: u16,
        /// The source's release (`__FreeBSD_version`).
        5 => release: u32,
        /// The oldest release whose kernel has all that the instance uses.
        6 => release_min: u32,
        /// The ABI of the registers and guest structures, by the image format's number.
        7 => abi: u32,
        /// The features the instance uses, by the image format's bits.
        8 => features: u64,
        /// Instances, those below counted in.
        9 => instances: u32,
        /// Processes in all of them.
        10 => procs: u64,
        /// Bytes of memory to be copied in the first round.
        11 => memory: u64,
    }
}

impl Offer {
    fn sane(&self) -> Result<(), u64> {
        if self.version_min > self.version_max {
            return Err(Self::version_max);
        }
        if self.release_min > self.release {
            return Err(Self::release_min);
        }
        let count = usize::try_from(self.instances).unwrap_or(usize::MAX);
        if count == 0 || count >= INSTANCES_MAX {
            return Err(Self::instances);
        }
        Ok(())
    }
}

crate::record! {
    /// The target agrees.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Accept, check = Accept::sane {
        /// The migration.
        0 => migration: MigrationId,
        /// The protocol version both will speak.
        1 => version: u16,
        /// How many chunks may be under way at once.
        2 => window: u32,
        /// Names this attempt of the target; all that follows is said within it.
        3 => attempt: Attempt,
    }
}

impl Accept {
    const fn sane(&self) -> Result<(), u64> {
        if self.window == 0 || self.window > MIGRATE_WINDOW_MAX {
            return Err(Self::window);
        }
        Ok(())
    }
}

crate::record! {
    /// The target does not agree, and holds nothing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Refuse {
        /// The migration.
        0 => migration: MigrationId,
        /// Why.
        1 => reason: Reason,
    }
}

crate::record! {
    /// Goes before the bytes of one chunk of the image, which the kernels move.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Chunk, check = Chunk::sane {
        /// The migration.
        0 => migration: MigrationId,
        /// Its number, from 0, through all rounds.
        1 => seq: u64,
        /// How many bytes follow.
        2 => bytes: u32,
        /// The target's attempt.
        3 => attempt: Attempt,
    }
}

impl Chunk {
    const fn sane(&self) -> Result<(), u64> {
        if self.seq >= MIGRATE_CHUNKS_MAX {
            return Err(Self::seq);
        }
        Ok(())
    }
}

crate::record! {
    /// The target has applied every chunk below a number.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Ack {
        /// The migration.
        0 => migration: MigrationId,
        /// The first chunk that it has not applied.
        1 => through: u64,
        /// The target's attempt.
        2 => attempt: Attempt,
    }
}

crate::record! {
    /// Everything has been sent.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Final {
        /// The migration.
        0 => migration: MigrationId,
        /// How many chunks there were.
        1 => chunks: u64,
        /// The digest of the whole, which the target's kernel compares.
        2 => digest: [u8; 32],
        /// The target's attempt.
        3 => attempt: Attempt,
    }
}

crate::record! {
    /// The sender has given the migration up and never commits it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Abort {
        /// The migration.
        0 => migration: MigrationId,
        /// Why.
        1 => reason: Reason,
    }
}

crate::record! {
    /// A message that says nothing but which it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Bare {
        /// The migration.
        0 => migration: MigrationId,
        /// The target's attempt.
        1 => attempt: Attempt,
    }
}

macro_rules! messages {
    ($($name:ident($body:ident) = $code:literal, $doc:literal;)*) => {
        /// A message between the two ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Message {
            $(#[doc = $doc] $name($body),)*
        }

        $crate::codes! {
            /// Which message it is.
            pub enum MessageKind {
                $(#[doc = $doc] $name = $code,)*
            }
        }

        impl Message {
            /// Which message it is.
            pub const fn kind(&self) -> MessageKind {
                match self { $(Self::$name(_) => MessageKind::$name,)* }
            }

            /// The migration it is about.
            pub const fn migration(&self) -> MigrationId {
                match self { $(Self::$name(body) => body.migration,)* }
            }
        }

        impl Encode for Message {
            fn encode(&self, to: &mut Encoder<'_>) -> Result<(), NoMemory> {
                to.array(2)?;
                self.kind().encode(to)?;
                match self { $(Self::$name(body) => body.encode(to),)* }
            }
        }

        impl Decode for Message {
            const TYPE: TypeInfo = TypeInfo::Code(MessageKind::NAMES.0, MessageKind::NAMES.1);

            fn decode(from: &mut Decoder<'_>) -> Result<Self, Error> {
                let at = from.offset();
                if from.array()? != 2 {
                    return Err(Error::at(Fault::TooLong, at));
                }
                let message = match MessageKind::decode(from)? {
                    $(MessageKind::$name => Self::$name($body::decode(from)?),)*
                };
                from.leave();
                Ok(message)
            }
        }
    };
}

messages! {
    Offer(Offer) = 0, "Source: may this instance come?";
    Accept(Accept) = 1, "Target: it may.";
    Refuse(Refuse) = 2, "Target: it may not.";
    Chunk(Chunk) = 3, "Source: a chunk of the image.";
    Ack(Ack) = 4, "Target: chunks applied.";
    Final(Final) = 5, "Source: that was all.";
    Prepared(Bare) = 6, "Target: all is there and checked; the source decides. Repeated while in doubt.";
    Commit(Bare) = 7, "Source: the target owns the instance. Repeated until answered.";
    Owned(Bare) = 8, "Target: its journal says so too. Repeated until answered.";
    Done(Bare) = 9, "Source: it has noted the outcome; the target may forget the migration.";
    Abort(Abort) = 10, "Either: given up before the commit point.";
    Lost(Bare) = 11, "Target: what it had prepared is gone and it never ran. Repeated until answered.";
}

impl Message {
    /// The attempt it is said within; `None` for those that need none.
    pub const fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::Accept(body) => Some(body.attempt),
            Self::Chunk(body) => Some(body.attempt),
            Self::Ack(body) => Some(body.attempt),
            Self::Final(body) => Some(body.attempt),
            Self::Prepared(body)
            | Self::Commit(body)
            | Self::Owned(body)
            | Self::Done(body)
            | Self::Lost(body) => Some(body.attempt),
            Self::Offer(_) | Self::Refuse(_) | Self::Abort(_) => None,
        }
    }

    /// Reads a message from all of `bytes`.
    ///
    /// # Errors
    /// Whatever is wrong with it; [`Fault::TooLong`] above [`MIGRATE_MESSAGE_MAX`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MIGRATE_MESSAGE_MAX {
            return Err(Error::at(Fault::TooLong, 0));
        }
        decode_all(bytes)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn write(&self) -> Result<List<u8>, NoMemory> {
        encode_to_list(self)
    }
}
