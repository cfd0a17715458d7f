// SPDX-License-Identifier: BSD-2-Clause
//! An observer beside each host's link: it sees every frame that the host sends and every one that
//! reaches it, keeps its own record of both sequence spaces, and holds the hosts to the rules.
//!
//! | rule | source |
//! |---|---|
//! | lengths and checksums are right | RFC 791, 8200, 9293 section 3.1 |
//! | a sequence number has one byte for ever | RFC 9293 section 3.4 |
//! | nothing beyond the right edge that the peer has offered, but a probe of one byte or a FIN | RFC 9293 section 3.8.6 |
//! | the right edge does not go back, but by what the window's scale cuts off | RFC 9293 section 3.8.6, RFC 7323 section 2.4 |
//! | acknowledgements do not go back, and tell of what has arrived only | RFC 9293 section 3.4 |
//! | blocks tell of what has arrived only, where they are permitted | RFC 2018 section 4 |
//! | timestamps are on every segment or none, do not go back, and echo one that arrived | RFC 7323 section 3.2, 4.1 |
//! | no segment is larger than the peer's MSS, the link's MTU, or a router's once it is told | RFC 9293 section 3.7.1, RFC 1191 |
//!
//! - I1: an observer judges by what passed its point alone, never by a stack's state.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::packet::{ACK, FIN, Packet, RST, SYN, Seg, read};

/// A connection as the wire names it: is it IPv6, the port of host 0, the port of host 1.
type Key = (bool, u16, u16);

/// What is known of one direction of a connection: of its sender.
#[derive(Clone, Debug, Default)]
struct Half {
    isn: Option<u32>,
    mss: Option<u16>,
    wscale: Option<u8>,
    sack_permitted: bool,
    timestamps: bool,
    /// The bytes sent, by offset from the first.
    sent: Vec<Option<u8>>,
    fin: Option<i64>,
    /// Sequence space that reached the peer, by offset from the SYN.
    arrived: Vec<bool>,
    /// How much of it is whole from the start.
    whole: i64,
    last_ack: Option<i64>,
    /// The furthest right edge that the sender offered, and that the peer has heard of.
    offered: Option<i64>,
    heard: Option<i64>,
    /// The greatest acknowledgement that reached the peer.
    acked: i64,
    tsval: Option<u32>,
    tsval_arrived: Option<u32>,
    /// What a router on the sender's way out lets through.
    path: Option<usize>,
}

impl Half {
    fn offset(&self, seq: u32) -> Option<i64> {
        Some(i64::from(seq.wrapping_sub(self.isn?) as i32))
    }

    fn mark_arrived(&mut self, from: i64, to: i64) {
        let to = to.max(0) as usize;
        if self.arrived.len() < to {
            self.arrived.resize(to, false);
        }
        for slot in &mut self.arrived[from.clamp(0, to as i64) as usize..to] {
            *slot = true;
        }
        while self.arrived.get(self.whole as usize) == Some(&true) {
            self.whole += 1;
        }
    }
}

/// Counts of what an observer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Segments sent.
    pub segments: u64,
    /// Of these, such as carried data that were sent before.
    pub repeated: u64,
    /// Window probes.
    pub probes: u64,
    /// Resets.
    pub resets: u64,
    /// Segments with blocks.
    pub sacks: u64,
    /// Errors of routers that arrived.
    pub too_big: u64,
}

/// The observer of both hosts.
#[derive(Clone, Debug)]
pub struct Observer {
    mtu: usize,
    encapsulated: u16,
    signed: bool,
    /// Segments may arrive in fragments, which are not followed: what is sent counts as arrived.
    fragments: bool,
    halves: BTreeMap<Key, [Half; 2]>,
    /// Hosts on which a program has made a receive buffer smaller: challenges and keep-alives tell
    /// of the room there is, whatever was offered before (`tcp_respond`, 15.0).
    pub shrank: [bool; 2],
    /// Counts.
    pub seen: Seen,
}

fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

fn key(host: usize, seg: &Seg, sending: bool) -> Key {
    let own = if sending { seg.src.1 } else { seg.dst.1 };
    let other = if sending { seg.dst.1 } else { seg.src.1 };
    let v6 = matches!(seg.src.0, IpAddr::V6(_));
    if host == 0 {
        (v6, own, other)
    } else {
        (v6, other, own)
    }
}

impl Observer {
    /// An observer of links with this MTU; `encapsulated` is the UDP port of TCP or 0, `signed`
    /// says that every segment carries a signature.
    pub fn new(mtu: usize, encapsulated: u16, signed: bool, fragments: bool) -> Self {
        Self {
            mtu,
            encapsulated,
            signed,
            fragments,
            halves: BTreeMap::new(),
            shrank: [false; 2],
            seen: Seen::default(),
        }
    }

    /// True where the frame only serves to find a neighbour.
    pub fn is_neighbour(&self, frame: &[u8]) -> bool {
        matches!(read(frame, self.encapsulated), Ok(Packet::Neighbour))
    }

    /// A host sends a frame.
    pub fn sends(&mut self, host: usize, frame: &[u8]) {
        let seg = match read(frame, self.encapsulated) {
            Ok(Packet::Tcp(seg)) => seg,
            Ok(_) => return,
            Err(bad) => panic!("host {host} sends a frame with a bad {bad:?}: {frame:02x?}"),
        };
        self.seen.segments += 1;
        if let Err(why) = self.judge(host, &seg) {
            let length = seg.text.len();
            let head = Seg {
                text: Vec::new(),
                ..seg
            };
            panic!("host {host}: {why}, with {length} bytes of data in {head:?}");
        }
        if self.fragments {
            self.arrived_segment(1 - host, &seg);
        }
    }

    /// A frame reaches a host, whole or not.
    pub fn reaches(&mut self, host: usize, frame: &[u8]) {
        match read(frame, self.encapsulated) {
            Ok(Packet::Tcp(seg)) => self.arrived_segment(host, &seg),
            Ok(Packet::TooBig { mtu, about }) => self.too_big(host, frame, mtu, about),
            _ => {}
        }
    }

    fn judge(&mut self, host: usize, seg: &Seg) -> Result<(), String> {
        if seg.ip_len > self.mtu {
            return Err(format!("longer than the link's {}", self.mtu));
        }
        if seg.has(RST) {
            self.seen.resets += 1;
            return Ok(());
        }
        let halves = self.halves.entry(key(host, seg, true)).or_default();
        if seg.has(SYN) {
            begin(halves, host, seg);
        }
        let [zero, one] = halves;
        let (own, peer) = if host == 0 { (zero, one) } else { (one, zero) };
        // A challenge before there is a connection is not signed (syncache_respond, 15.0).
        let challenge = seg.is_empty() && own.sent.is_empty();
        if self.signed && !seg.options.signed && !challenge {
            return Err("not signed".into());
        }
        size(own, peer, seg)?;
        content(own, peer, seg, &mut self.seen)?;
        acknowledgement(own, peer, seg, self.shrank[host])?;
        timestamps(own, peer, seg)?;
        blocks(peer, own, seg, &mut self.seen)
    }

    fn arrived_segment(&mut self, host: usize, seg: &Seg) {
        if seg.has(RST) {
            return;
        }
        let halves = self.halves.entry(key(host, seg, false)).or_default();
        let [zero, one] = halves;
        let (own, peer) = if host == 0 { (zero, one) } else { (one, zero) };
        let Some(from) = peer.offset(seg.seq) else {
            return;
        };
        if seg.has(SYN) && from != 0 {
            return; // of a connection that was before
        }
        peer.mark_arrived(from, from + seg.len());
        if let Some((val, _)) = seg.options.ts
            && peer.tsval_arrived.is_none_or(|last| after(val, last))
        {
            peer.tsval_arrived = Some(val);
        }
        if seg.has(ACK)
            && let Some(ack) = own.offset(seg.ack)
        {
            let edge = ack + window(peer, own, seg);
            peer.heard = Some(peer.heard.map_or(edge, |heard| heard.max(edge)));
            peer.acked = peer.acked.max(ack);
        }
    }

    fn too_big(&mut self, host: usize, frame: &[u8], mtu: usize, about: (u16, u16, u32)) {
        self.seen.too_big += 1;
        let v6 = frame[14] >> 4 == 6;
        let (own, other, seq) = about;
        let key = if host == 0 {
            (v6, own, other)
        } else {
            (v6, other, own)
        };
        let Some([zero, one]) = self.halves.get_mut(&key) else {
            return;
        };
        let (own, peer) = if host == 0 { (zero, one) } else { (one, zero) };
        // One about a segment that is acknowledged is old, and may be passed over (RFC 5927).
        if own.offset(seq).is_some_and(|at| at >= peer.acked) {
            own.path = Some(own.path.map_or(mtu, |path| path.min(mtu)));
        }
    }
}

/// A SYN: a new connection, or a new attempt at the same.
fn begin(halves: &mut [Half; 2], host: usize, seg: &Seg) {
    if halves[host].isn.is_some_and(|isn| isn != seg.seq) && !seg.has(ACK) {
        halves[1 - host] = Half::default();
    }
    if halves[host].isn != Some(seg.seq) {
        halves[host] = Half {
            isn: Some(seg.seq),
            ..Half::default()
        };
    }
    let own = &mut halves[host];
    // The peer goes by the first that came; one that is sent again may know a smaller path.
    own.mss = own.mss.max(seg.options.mss);
    own.wscale = seg.options.wscale;
    own.sack_permitted = seg.options.sack_permitted;
    own.timestamps = seg.options.ts.is_some();
}

/// The window of a segment in bytes: scaled where both have said so, never in a SYN.
fn window(own: &Half, peer: &Half, seg: &Seg) -> i64 {
    let shift = match (own.wscale, peer.wscale) {
        (Some(shift), Some(_)) if !seg.has(SYN) => shift.min(14),
        _ => 0,
    };
    i64::from(seg.window) << shift
}

fn size(own: &Half, peer: &Half, seg: &Seg) -> Result<(), String> {
    let default = if seg.src.0.is_ipv6() { 1220 } else { 536 };
    let mss = match (seg.has(SYN) && !seg.has(ACK), peer.mss) {
        // A first SYN with data goes by what an earlier connection learned (RFC 7413 section 4.1.3).
        (true, _) => return Ok(()),
        (_, mss) => usize::from(mss.unwrap_or(default)),
    };
    if !seg.text.is_empty() && seg.text.len() + seg.options.len > mss {
        return Err(format!("more than the peer's MSS of {mss}"));
    }
    match own.path {
        Some(path) if seg.df && seg.ip_len > path => Err(format!("more than the path's {path}")),
        _ => Ok(()),
    }
}

fn content(own: &mut Half, peer: &Half, seg: &Seg, seen: &mut Seen) -> Result<(), String> {
    let Some(seq) = own.offset(seg.seq) else {
        return Ok(());
    };
    let first = seq + i64::from(seg.has(SYN)) - 1;
    let end = first + seg.text.len() as i64;
    if seg.text.is_empty() && !seg.has(FIN) {
        return Ok(());
    }
    if first < 0 {
        return Err("data before the first byte".into());
    }
    if own.sent.len() < end as usize {
        own.sent.resize(end as usize, None);
    }
    let mut again = false;
    for (slot, byte) in own.sent[first as usize..].iter_mut().zip(&seg.text) {
        again |= slot.is_some();
        if slot.get_or_insert(*byte) != byte {
            return Err("another byte under a sequence number that was sent".into());
        }
    }
    seen.repeated += u64::from(again);
    if seg.has(FIN) && *own.fin.get_or_insert(end) != end {
        return Err("a second end of the stream".into());
    }
    if own.fin.is_some_and(|fin| end > fin) {
        return Err("data after the end of the stream".into());
    }
    // `heard` is in offsets from the SYN, `end` from the first byte.
    let Some(edge) = peer.heard.filter(|_| !seg.has(SYN)) else {
        return Ok(());
    };
    let over = end + 1 - edge;
    if over == 1 && seg.text.len() == 1 {
        seen.probes += 1;
        return Ok(());
    }
    if over > 0 {
        return Err(format!("{over} bytes beyond the window"));
    }
    Ok(())
}

fn acknowledgement(own: &mut Half, peer: &Half, seg: &Seg, shrank: bool) -> Result<(), String> {
    let Some(ack) = peer.offset(seg.ack).filter(|_| seg.has(ACK)) else {
        return Ok(());
    };
    if ack > peer.whole {
        return Err(format!("acknowledges {ack} of {}", peer.whole));
    }
    if own.last_ack.is_some_and(|last| ack < last) {
        return Err(format!(
            "acknowledgement back to {ack} from {:?}",
            own.last_ack
        ));
    }
    own.last_ack = Some(ack);
    if seg.is_empty() && own.sent.is_empty() {
        // A challenge before there is a connection has the unscaled window (syncache_respond, 15.0).
        return Ok(());
    }
    let edge = ack + window(own, peer, seg);
    // Challenges and keep-alives tell of the room in the buffer, cut off to the scale, where others
    // round up and stay with what was offered (tcp_respond and tcp_output, 15.0).
    let cut = match (own.wscale, peer.wscale) {
        (Some(shift), Some(_)) if shrank || seg.is_empty() => 16_i64 << shift.min(14),
        _ => 0,
    };
    // After the peer's FIN there is nothing left for which to have room.
    let over = (shrank && seg.is_empty()) || peer.fin.is_some_and(|fin| ack > fin + 1);
    if !over && own.offered.is_some_and(|offered| edge + cut < offered) {
        return Err(format!("right edge back to {edge} from {:?}", own.offered));
    }
    own.offered = Some(own.offered.map_or(edge, |offered| offered.max(edge)));
    Ok(())
}

fn timestamps(own: &mut Half, peer: &Half, seg: &Seg) -> Result<(), String> {
    let agreed = own.timestamps && peer.timestamps;
    let Some((val, ecr)) = seg.options.ts else {
        // It is agreed upon once the sender takes up the peer's SYN, which it then acknowledges.
        let due = agreed && !seg.has(SYN) && seg.has(ACK);
        return if due {
            Err("no timestamp".into())
        } else {
            Ok(())
        };
    };
    if !agreed && !seg.has(SYN) {
        return Err("a timestamp that was not agreed upon".into());
    }
    if own.tsval.is_some_and(|last| after(last, val)) {
        return Err(format!("timestamp back from {:?}", own.tsval));
    }
    own.tsval = Some(val);
    if seg.has(ACK) && peer.tsval_arrived.is_none_or(|last| after(ecr, last)) {
        return Err(format!(
            "echo of a timestamp that did not come: {:?}",
            peer.tsval_arrived
        ));
    }
    Ok(())
}

fn blocks(peer: &Half, own: &Half, seg: &Seg, seen: &mut Seen) -> Result<(), String> {
    if seg.options.sack.is_empty() {
        return Ok(());
    }
    seen.sacks += 1;
    if !(own.sack_permitted && peer.sack_permitted) {
        return Err("blocks that were not agreed upon".into());
    }
    for (start, end) in &seg.options.sack {
        let (Some(from), Some(to)) = (peer.offset(*start), peer.offset(*end)) else {
            continue;
        };
        let range = peer.arrived.get(from.max(0) as usize..to.max(0) as usize);
        if from < 0 || !range.is_some_and(|r| !r.is_empty() && r.iter().all(|got| *got)) {
            return Err(format!("a block of what has not come: {from} to {to}"));
        }
    }
    Ok(())
}
