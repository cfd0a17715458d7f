// SPDX-License-Identifier: BSD-2-Clause
//! What may follow what: the one set of rules that writer and reader both keep.

use super::Fault;
use super::kind::{KINDS, kind_info};
use crate::cbor::Objects;
use crate::limits::FRAME_DATA_MAX;

/// What the rules need to know of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Nothing but its kind.
    Plain,
    /// An instance, and whether it has a parent in the image.
    Instance {
        /// Whether it has a parent in the image.
        nested: bool,
    },
    /// A memory object of so many pages.
    Pages(u64),
    /// An address space from the first to before the second address.
    Space(u64, u64),
    /// A mapping from the first to before the second address.
    Mapping(u64, u64),
    /// An object with so many bytes in each of its streams.
    Streams([u64; 3]),
    /// A process.
    Proc {
        /// Whether it is not a zombie.
        alive: bool,
        /// How many numbers it has.
        levels: usize,
    },
    /// A thread with so many numbers.
    Thread {
        /// How many numbers it has.
        levels: usize,
    },
}

/// What is still due to the object read last, by its kind.
#[derive(Clone, Copy, Debug)]
enum Due {
    Nothing,
    Pages {
        next: u64,
        size: u64,
        after_zero: bool,
    },
    Mappings {
        floor: u64,
        end: u64,
    },
    Streams([u64; 3]),
    Threads {
        alive: bool,
        levels: usize,
        seen: bool,
    },
}

/// Where in the order of an image we are.
#[derive(Debug)]
pub(super) struct Order {
    /// Objects so far, which is the number of the last.
    objects: u32,
    /// Per entry of [`KINDS`]: the first object and how many there are.
    ranges: [(u32, u32); KINDS.len()],
    rank: u8,
    /// The kind of the last object.
    last: u16,
    due: Due,
}

impl Order {
    pub(super) const fn new() -> Self {
        Self {
            objects: 0,
            ranges: [(0, 0); KINDS.len()],
            rank: 0,
            last: 0,
            due: Due::Nothing,
        }
    }

    /// How many objects there are.
    pub(super) const fn objects(&self) -> u32 {
        self.objects
    }

    /// The number that a frame of `kind` bears if it stands here.
    pub(super) fn place(&self, kind: u16) -> Result<u32, Fault> {
        let info = kind_info(kind).ok_or(Fault::UnknownKind)?;
        if info.rank < self.rank {
            return Err(Fault::KindOrder);
        }
        match info.owner {
            Some(owner) if owner == self.last => Ok(self.objects),
            Some(_) => Err(Fault::Owner),
            None => {
                self.settled()?;
                self.objects.checked_add(1).ok_or(Fault::ObjectId)
            }
        }
    }

    /// Takes note of a record that stands where [`Order::place`] allowed it.
    pub(super) fn add(&mut self, kind: u16, summary: Summary) -> Result<(), Fault> {
        let at = KINDS.iter().position(|info| info.kind == kind);
        let info = at.and_then(|at| KINDS.get(at)).ok_or(Fault::UnknownKind)?;
        if info.owner.is_some() {
            return self.belong(summary);
        }
        let number = self.objects.checked_add(1).ok_or(Fault::ObjectId)?;
        let range = at.and_then(|at| self.ranges.get_mut(at));
        let range = range.ok_or(Fault::UnknownKind)?;
        if range.1 >= info.most {
            return Err(Fault::KindCount(kind));
        }
        let first = range.1 == 0;
        self.due = match summary {
            Summary::Instance { nested } if nested == first => return Err(Fault::InstanceTree),
            Summary::Pages(size) => Due::Pages {
                next: 0,
                size,
                after_zero: false,
            },
            Summary::Space(floor, end) => Due::Mappings { floor, end },
            Summary::Streams(bytes) => Due::Streams(bytes),
            Summary::Proc { alive, levels } => Due::Threads {
                alive,
                levels,
                seen: false,
            },
            _ => Due::Nothing,
        };
        *range = (
            if first { number } else { range.0 },
            range.1.saturating_add(1),
        );
        self.objects = number;
        self.rank = info.rank;
        self.last = kind;
        Ok(())
    }

    /// Takes note of a record that belongs to the last object.
    fn belong(&mut self, summary: Summary) -> Result<(), Fault> {
        match (&mut self.due, summary) {
            (Due::Mappings { floor, end }, Summary::Mapping(from, to)) => {
                if from < *floor || to > *end {
                    return Err(Fault::Mapping);
                }
                *floor = to;
                Ok(())
            }
            (
                Due::Threads {
                    alive,
                    levels,
                    seen,
                },
                Summary::Thread { levels: given },
            ) => {
                if !*alive {
                    return Err(Fault::Threads);
                }
                if *levels != given {
                    return Err(Fault::Levels);
                }
                *seen = true;
                Ok(())
            }
            _ => Err(Fault::Owner),
        }
    }

    /// `count` pages of the last object from `pindex` on, of zeros or not.
    pub(super) fn pages(&mut self, pindex: u64, count: u32, zero: bool) -> Result<(), Fault> {
        let Due::Pages {
            next,
            size,
            after_zero,
        } = &mut self.due
        else {
            return Err(Fault::Owner);
        };
        let end = pindex.checked_add(u64::from(count)).ok_or(Fault::Page)?;
        // Two runs of zeros that touch would be one, unless that were too long for one.
        let split = zero && *after_zero && pindex == *next;
        if pindex < *next || end > *size || split {
            return Err(Fault::Page);
        }
        *next = end;
        *after_zero = zero && count != u32::MAX;
        Ok(())
    }

    /// `length` bytes of a stream of the last object.
    pub(super) fn data(&mut self, stream: u32, length: usize) -> Result<(), Fault> {
        let left = self.stream_left(stream)?;
        let length = u64::try_from(length).map_err(|_| Fault::Stream)?;
        if length != (*left).min(u64::from(FRAME_DATA_MAX)) {
            return Err(Fault::Stream);
        }
        *left = left.saturating_sub(length);
        Ok(())
    }

    /// How many bytes are due of a stream of the last object; those before it must be complete.
    pub(super) fn stream_left(&mut self, stream: u32) -> Result<&mut u64, Fault> {
        let Due::Streams(left) = &mut self.due else {
            return Err(Fault::Owner);
        };
        let index = usize::try_from(stream).map_err(|_| Fault::Stream)?;
        let (before, rest) = left.split_at_mut_checked(index).ok_or(Fault::Stream)?;
        match rest.first_mut() {
            Some(left) if *left > 0 && before.iter().all(|b| *b == 0) => Ok(left),
            _ => Err(Fault::Stream),
        }
    }

    /// Whether the last object has got all that is due to it.
    fn settled(&self) -> Result<(), Fault> {
        match self.due {
            Due::Streams(left) if left != [0; 3] => Err(Fault::Stream),
            Due::Threads {
                alive: true,
                seen: false,
                ..
            } => Err(Fault::Threads),
            Due::Nothing
            | Due::Pages { .. }
            | Due::Mappings { .. }
            | Due::Streams(_)
            | Due::Threads { .. } => Ok(()),
        }
    }

    /// Whether the image may end here.
    pub(super) fn complete(&self) -> Result<(), Fault> {
        self.settled()?;
        for (info, range) in KINDS.iter().zip(&self.ranges) {
            if range.1 < info.least {
                return Err(Fault::KindCount(info.kind));
            }
        }
        Ok(())
    }
}

impl Objects for Order {
    fn exists(&self, id: u32, kind: Option<u16>) -> bool {
        match kind {
            None => (1..=self.objects).contains(&id),
            Some(kind) => {
                let mut pairs = KINDS.iter().zip(&self.ranges);
                let found = pairs.find(|(info, _)| info.kind == kind);
                found.is_some_and(|(_, (first, count))| {
                    id.checked_sub(*first).is_some_and(|n| n < *count)
                })
            }
        }
    }
}

pub(super) const fn plain<T>(_: &T) -> Summary {
    Summary::Plain
}

pub(super) fn instance(record: &super::schema::Instance) -> Summary {
    Summary::Instance {
        nested: record.parent.is_some(),
    }
}

pub(super) const fn vm_object(record: &super::schema::VmObject) -> Summary {
    Summary::Pages(record.size)
}

pub(super) const fn vmspace(record: &super::schema::Vmspace) -> Summary {
    Summary::Space(record.vm_map_min, record.vm_map_max)
}

pub(super) const fn vm_map_entry(record: &super::schema::VmMapEntry) -> Summary {
    Summary::Mapping(record.start, record.end)
}

pub(super) fn pipe(record: &super::schema::Pipe) -> Summary {
    let streams = [record.pp_rpipe.cnt, record.pp_wpipe.cnt, 0];
    Summary::Streams(streams.map(u64::from))
}

pub(super) fn socket(record: &crate::sock::Socket) -> Summary {
    use crate::sock::SockStream::{Rcv, Reass, Snd};
    Summary::Streams([Rcv, Snd, Reass].map(|stream| record.stream_len(stream)))
}

pub(super) fn proc(record: &super::schema::Proc) -> Summary {
    Summary::Proc {
        alive: record.p_state == super::schema::ProcState::Normal,
        levels: record.p_pid.len(),
    }
}

pub(super) const fn thread(record: &super::schema::Thread) -> Summary {
    Summary::Thread {
        levels: record.td_tid.len(),
    }
}

// The order of the table is the order of the ranks, and an owner stands before what it owns.
const _: () = {
    let mut rest = KINDS;
    while let [first, tail @ ..] = rest {
        if let [second, ..] = tail {
            assert!(first.rank < second.rank || second.owner.is_some());
        }
        rest = tail;
    }
};
