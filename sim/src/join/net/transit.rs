// SPDX-License-Identifier: BSD-2-Clause
//! What is on its way through an IP layer, or counted in its running second, in the record of the
//! vnet.
//!
//! - I1: a record has room for a mebibyte: of packets and of fragments a quarter of that is taken,
//!   the oldest first; what goes beyond is lost, as on a wire.

use std::net::IpAddr;

use vpscore::cbor::Bytes;
use vpscore::collections::{List, NoMemory};
use vpscore::image::schema::{Ipq, IpqPiece, LoopbackPacket, RateCount, Vnet};

use super::error::Unfit;
use super::ticks::before;
use super::values::{in_addr, ip_addr};
use crate::net::bandlim::{Rate, RateLimit};
use crate::net::ip::{IpStack, Ipv6First, LOOPBACK_MAX};
use crate::net::ipv4::Ipv4Header;
use crate::net::ipv6::Ipv6Header;
use crate::net::packet::OutPacket;
use crate::net::reass::{FragKey, Queue};
use crate::time::{Duration, Instant};

/// Bytes that packets, or fragments, take of a record at most.
const ROOM: usize = 256 << 10;
/// Bytes beside the data of a packet or fragment, more or less.
const OVERHEAD: usize = 64;

fn some<T>(list: List<T>) -> Option<List<T>> {
    (!list.is_empty()).then_some(list)
}

/// The packets of the loopback queue.
pub(super) fn loopback(
    ip: &IpStack,
    now: Instant,
) -> Result<Option<List<LoopbackPacket>>, NoMemory> {
    let (mut list, mut taken) = (List::new(), 0);
    for (due, packet) in &ip.loopback {
        taken += packet.bytes().len() + OVERHEAD;
        if taken > ROOM {
            break;
        }
        list.push(LoopbackPacket {
            remaining: due.since(now),
            packet: Bytes::copy(&packet.completed())?,
        })?;
    }
    Ok(some(list))
}

/// The answers of the running seconds, and the jitter of each class. Of a second that is over it does not matter for
/// how long.
pub(super) fn rates<const N: usize>(
    limit: &RateLimit<N>,
    now: Instant,
) -> Result<Option<List<RateCount>>, NoMemory> {
    let mut list = List::new();
    for (class, rate) in limit.rates() {
        list.push(RateCount {
            class,
            age: now.since(rate.since).min(Duration::from_secs(1)),
            count: rate.count,
            jitter: rate.jitter,
        })?;
    }
    Ok(Some(list))
}

/// Restores what [`rates`] says.
fn restore_rates<const N: usize>(
    record: Option<&List<RateCount>>,
    limit: &mut RateLimit<N>,
    now: Instant,
) -> Result<(), Unfit> {
    let rates = record.into_iter().flatten().map(|rate| {
        let counted = Rate {
            since: before(now, rate.age),
            count: rate.count,
            jitter: rate.jitter,
        };
        (rate.class, counted)
    });
    limit.restore(rates).map_err(Unfit::Sysctl)
}

fn queue<H>(
    key: &FragKey,
    queue: &Queue<H>,
    now: Instant,
    (header, next, quote): (Option<Vec<u8>>, u8, Option<&[u8]>),
) -> Result<Ipq, NoMemory> {
    let mut pieces = List::new();
    for (offset, data) in &queue.pieces {
        pieces.push(IpqPiece {
            offset: u16::try_from(*offset).unwrap_or(u16::MAX),
            data: Bytes::copy(data)?,
        })?;
    }
    Ok(Ipq {
        src: in_addr(key.src),
        dst: in_addr(key.dst),
        proto: key.proto,
        id: key.id,
        remaining: queue.deadline.since(now),
        ecn: queue.ecn,
        total: queue.total.and_then(|total| u16::try_from(total).ok()),
        header: header.map(|bytes| Bytes::copy(&bytes)).transpose()?,
        next,
        quote: quote.map(Bytes::copy).transpose()?,
        pieces,
    })
}

/// The datagrams of which fragments are missing: IPv4's, then IPv6's.
pub(super) fn fragments(ip: &IpStack, now: Instant) -> Result<Option<List<Ipq>>, NoMemory> {
    let (mut list, mut taken) = (List::new(), 0);
    let size = |pieces: &[(usize, Vec<u8>)]| {
        let bytes = pieces.iter().map(|(_, data)| data.len() + OVERHEAD);
        bytes.sum::<usize>()
    };
    for (key, waiting) in ip.reass4.by_age() {
        taken += size(&waiting.pieces);
        if taken <= ROOM {
            let header = waiting.first.as_ref().map(|header| header.bytes(0));
            list.push(queue(key, waiting, now, (header, 0, None))?)?;
        }
    }
    for (key, waiting) in ip.reass6.by_age() {
        let first = waiting.first.as_ref();
        taken += size(&waiting.pieces) + first.map_or(0, |first| first.quote.len());
        if taken <= ROOM {
            let header = first.map(|first| first.header.bytes(0).to_vec());
            let next = first.map_or(0, |first| first.next);
            let quote = first.map(|first| first.quote.as_slice());
            list.push(queue(key, waiting, now, (header, next, quote))?)?;
        }
    }
    Ok(some(list))
}

fn from_queue<H>(record: &Ipq, first: Option<H>, now: Instant) -> Queue<H> {
    let piece = |piece: &IpqPiece| (piece.offset.into(), piece.data.as_slice().to_vec());
    Queue {
        born: 0,
        deadline: now.after(record.remaining),
        first,
        ecn: record.ecn & 3,
        total: record.total.map(usize::from),
        pieces: record.pieces.iter().map(piece).collect(),
    }
}

fn restore_fragments(record: &Ipq, ip: &mut IpStack) -> Option<()> {
    let now = ip.now;
    let key = FragKey {
        src: ip_addr(record.src),
        dst: ip_addr(record.dst),
        proto: record.proto,
        id: record.id,
    };
    let header = record.header.as_ref().map(|header| header.as_slice());
    let done = match (key.src, key.dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let first = match header {
                Some(bytes) => Some(Ipv4Header::parse_quoted(bytes)?.0),
                None => None,
            };
            ip.reass4.restore(key, from_queue(record, first, now))
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => {
            let first = match header {
                Some(bytes) => Some(Ipv6First {
                    header: Ipv6Header::parse_quoted(bytes)?.0,
                    next: record.next,
                    quote: record.quote.as_ref()?.as_slice().to_vec(),
                }),
                None => None,
            };
            ip.reass6.restore(key, from_queue(record, first, now))
        }
        _ => false,
    };
    done.then_some(())
}

/// Puts everything back; the moment of the stack is set.
///
/// # Errors
/// [`Unfit::Queue`] for fragments that no reassembly could hold, [`Unfit::Limit`] for a loopback
/// queue that is too long.
pub(super) fn restore(record: &Vnet, ip: &mut IpStack) -> Result<(), Unfit> {
    let now = ip.now;
    for waiting in record.loopback.iter().flatten() {
        if ip.loopback.len() >= LOOPBACK_MAX {
            return Err(Unfit::Limit);
        }
        let packet = OutPacket::of(&[waiting.packet.as_slice()]);
        ip.loopback
            .push_back((now.after(waiting.remaining), packet));
    }
    restore_rates(record.rates.as_ref(), &mut ip.bandlim, now)?;
    restore_rates(record.rates6.as_ref(), &mut ip.ratelim6, now)?;
    for waiting in record.fragments.iter().flatten() {
        restore_fragments(waiting, ip).ok_or(Unfit::Queue)?;
    }
    Ok(())
}
