// SPDX-License-Identifier: BSD-2-Clause
//! Every pair of states in which two TCP endpoints can be, by a search over what may happen next.
//!
//! A world here has no clock that runs by itself: frames wait in two queues until a [`Choice`] takes
//! one out, and time goes on only where the choice is that a timer fires. So every order of events
//! is tried, within the bounds of [`Bounds`], and not only those that some latency brings about.
//! Each program opens one connection in its life, so both states are those of one connection.
//!
//! - I1: worlds that look the same (states, what the programs did, kinds of frames under way, faults
//!   spent) are searched on from once: from the one that was reached in the fewest steps.
//! - I2: whatever was reached, both ends can be moved and closed there, with their addresses and with
//!   others behind a translation; what is then on the wire is bit for bit what it would have been
//!   without the moves, and in the end nothing is left.
//! - I3: the wire is judged by the same [`Observer`] as everywhere.
//! - I4: an end gets an error only where the peer let go of the connection or frames were lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use sim::errno::Errno;
use sim::net::cx::{Cx, SoError, SoId};
use sim::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags, Shut};
use sim::net::tcp::State;
use sim::time::{Duration, Instant};

use super::host::{Host, ip};
use super::plan::{MTU, Plan};
use crate::net::app::{SO_LINGER, SOL_SOCKET};
use crate::net::ledger::Ledger;
use crate::net::observer::Observer;
use crate::net::packet::{Packet, RST, read};

const PORT: u16 = 1_000;
/// How long a world may take until nothing is left in it: all keep-alives, and a retransmission.
const REST: Duration = Duration::from_secs(6 * 3_600);

/// What may happen next; the number is a host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// The program calls `connect(2)`.
    Connect(usize),
    /// The program calls `listen(2)`; it accepts the first connection and then stops listening.
    Listen(usize),
    /// The program writes a few bytes, once.
    Send(usize),
    /// The program calls `shutdown(SHUT_WR)`.
    Shutdown(usize),
    /// The program calls `close(2)`; what it has not read is refused.
    Close(usize),
    /// The program closes with a linger time of 0: a reset goes out.
    Abort(usize),
    /// The next frame reaches the host.
    Deliver(usize),
    /// The next frame to the host is lost.
    Lose(usize),
    /// Time goes on until the next timer of TCP fires.
    Fire,
}

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Frames that may be lost.
    pub lost: u8,
    /// Timers that may fire.
    pub fired: u8,
    /// Frames that may be under way to one host.
    pub queued: usize,
}

/// The states of host 0 and of host 1.
pub type Pair = (State, State);

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// The fewest choices that lead to each pair.
    pub pairs: BTreeMap<Pair, Vec<Choice>>,
    /// Worlds that differ.
    pub worlds: usize,
    /// Endings that were run to their end, each with and without moves.
    pub endings: usize,
}

struct End {
    host: Host,
    so: Option<SoId>,
    listener: Option<SoId>,
    opened: bool,
    sent: bool,
    shut: bool,
    closed: bool,
    /// Resets that arrived.
    resets: u8,
    error: Option<Errno>,
    /// Frames under way to this host.
    inbound: VecDeque<Vec<u8>>,
}

impl End {
    fn duplicate(&self) -> Self {
        Self {
            host: self.host.duplicate(),
            inbound: self.inbound.clone(),
            ..*self
        }
    }

    fn state(&self) -> State {
        let inet = self.host.stack.transports();
        let sockets = inet.tcp_sockets().into_iter();
        let states: Vec<_> = sockets
            .filter_map(|so| Some(inet.xtcpcb(so)?.t_state))
            .collect();
        let idle = |state: &State| matches!(state, State::Closed | State::Listen);
        match states.iter().find(|state| !idle(state)) {
            Some(state) => *state,
            None if inet.syncache_count() > 0 => State::SynReceived,
            None if states.contains(&State::Listen) => State::Listen,
            None => State::Closed,
        }
    }
}

/// What makes two worlds the same for the search.
type Digest = ([(u8, [bool; 4], Vec<u8>, bool); 2], u8, u8);

struct World {
    /// The connection is one of IPv6.
    v6: bool,
    now: Duration,
    ends: [End; 2],
    ledgers: [Ledger; 2],
    observer: Observer,
    trace: Vec<(Duration, usize, Vec<u8>)>,
    lost: u8,
    fired: u8,
    path: Vec<Choice>,
}

fn end(n: usize) -> End {
    End {
        host: Host::new(n, &Plan::new(1)),
        so: None,
        listener: None,
        opened: false,
        sent: false,
        shut: false,
        closed: false,
        resets: 0,
        error: None,
        inbound: VecDeque::new(),
    }
}

impl World {
    fn new(v6: bool) -> Self {
        Self {
            v6,
            now: Duration::ZERO,
            ends: [end(0), end(1)],
            ledgers: Default::default(),
            observer: Observer::new(MTU as usize, 0, false, false),
            trace: Vec::new(),
            lost: 0,
            fired: 0,
            path: Vec::new(),
        }
    }

    fn duplicate(&self) -> Self {
        let [zero, one] = &self.ends;
        Self {
            ends: [zero.duplicate(), one.duplicate()],
            ledgers: self.ledgers.clone(),
            observer: self.observer.clone(),
            trace: self.trace.clone(),
            path: self.path.clone(),
            ..*self
        }
    }

    fn pair(&self) -> Pair {
        (self.ends[0].state(), self.ends[1].state())
    }

    fn digest(&self) -> Digest {
        let ends = [0, 1].map(|n| {
            let e = &self.ends[n];
            let kind = |frame: &Vec<u8>| match read(frame, 0) {
                Ok(Packet::Tcp(seg)) => seg.flags as u8 | u8::from(!seg.text.is_empty()) << 6,
                _ => u8::MAX,
            };
            let did = [e.opened, e.sent, e.shut, e.closed];
            let frames = e.inbound.iter().map(kind).collect();
            (e.state() as u8, did, frames, e.so.is_some())
        });
        (ends, self.lost, self.fired)
    }

    fn call<R>(&mut self, n: usize, call: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        let host = &mut self.ends[n].host;
        let clock = host.clock(self.now);
        let result = host.stack.with_transports(clock, call);
        self.settle(n);
        result
    }

    /// Puts what a host has to say under way, and lets its program accept.
    fn settle(&mut self, n: usize) {
        while let Some(frame) = self.ends[n].host.take_output() {
            if self.observer.is_neighbour(&frame) {
                self.input(1 - n, &frame);
                continue;
            }
            self.observer.sends(n, &frame);
            self.trace.push((self.now, n, frame.clone()));
            self.ends[1 - n].inbound.push_back(frame);
        }
        while self.ends[n].host.stack.take_wakeup().is_some() {}
        let Some(listener) = self.ends[n].listener else {
            return;
        };
        match self.call_quietly(n, |inet, cx| inet.soaccept(cx, listener)) {
            Ok((so, _)) => {
                self.ends[n].so = Some(so);
                self.ends[n].listener = None;
                self.call(n, |inet, cx| inet.soclose(cx, listener))
                    .expect("open");
            }
            Err(SoError::Errno(errno)) => assert!(
                errno == Errno::ECONNABORTED && self.ends[n].resets > 0,
                "{errno:?} from accept: {:?}",
                self.path
            ),
            Err(SoError::Blocked(_)) => {}
        }
    }

    /// As `call`, but what the host then has to say is not taken up yet.
    fn call_quietly<R>(&mut self, n: usize, call: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        let host = &mut self.ends[n].host;
        let clock = host.clock(self.now);
        host.stack.with_transports(clock, call)
    }

    fn input(&mut self, n: usize, frame: &[u8]) {
        self.ends[n].host.input(self.now, frame);
        self.settle(n);
    }

    fn deliver(&mut self, n: usize) {
        let frame = self.ends[n].inbound.pop_front().expect("a frame");
        self.observer.reaches(n, &frame);
        if matches!(read(&frame, 0), Ok(Packet::Tcp(seg)) if seg.has(RST)) {
            self.ends[n].resets = self.ends[n].resets.saturating_add(1);
        }
        self.input(n, &frame);
    }

    /// How long it is until a timer of TCP fires.
    fn timer(&self) -> Option<Duration> {
        let due = |e: &End| {
            let stack = &e.host.stack;
            let at = stack.transports().next_timer()?;
            Some(at.since(stack.local(e.host.clock(self.now))))
        };
        self.ends.iter().filter_map(due).min()
    }

    /// Lets time go on, and with it the timers of both hosts in their order.
    fn wait(&mut self, span: Duration) {
        let end = self.now.plus(span);
        while let Some((at, n)) = self.callout().filter(|(at, _)| *at <= end) {
            self.now = at;
            let host = &mut self.ends[n].host;
            let clock = host.clock(self.now);
            host.stack.run_callouts(clock);
            self.settle(n);
        }
        self.now = end;
    }

    fn callout(&self) -> Option<(Duration, usize)> {
        let due = |n: usize| {
            let host = &self.ends[n].host;
            let at = host.stack.next_callout()?;
            let at = at.since(Instant::BOOT.after(host.uptime));
            Some((at.max(self.now), n))
        };
        [0, 1].into_iter().filter_map(due).min()
    }

    fn choices(&self, bounds: Bounds) -> Vec<Choice> {
        let mut all = Vec::new();
        for n in [0, 1] {
            let e = &self.ends[n];
            let state = e.state();
            if !e.opened {
                all.extend([Choice::Connect(n), Choice::Listen(n)]);
            }
            let live = e.so.is_some() && !e.closed && !e.shut && state != State::Closed;
            let open = matches!(state, State::Established | State::CloseWait);
            if live && open && !e.sent {
                all.push(Choice::Send(n));
            }
            if live {
                all.push(Choice::Shutdown(n));
            }
            if e.opened && !e.closed {
                all.push(Choice::Close(n));
            }
            if live || (e.so.is_some() && e.shut && !e.closed) {
                all.push(Choice::Abort(n));
            }
            if !e.inbound.is_empty() {
                all.push(Choice::Deliver(n));
                if self.lost < bounds.lost {
                    all.push(Choice::Lose(n));
                }
            }
        }
        if self.fired < bounds.fired && self.timer().is_some() {
            all.push(Choice::Fire);
        }
        all
    }

    fn apply(&mut self, choice: Choice) {
        self.path.push(choice);
        match choice {
            Choice::Connect(n) | Choice::Listen(n) => {
                self.open(n, matches!(choice, Choice::Listen(_)));
            }
            Choice::Send(n) => {
                let so = self.ends[n].so.expect("open");
                let data = self.ledgers[n].next(n, 10);
                let flags = SendFlags::default();
                let sent = self.call(n, |inet, cx| inet.sosend(cx, so, &data, flags, None));
                self.ends[n].sent = true;
                self.ledgers[n].wrote(sent.expect("connected, and room"), false);
            }
            Choice::Shutdown(n) => {
                let so = self.ends[n].so.expect("open");
                self.ends[n].shut = true;
                self.ledgers[n].ended = true;
                self.call(n, |inet, cx| inet.soshutdown(cx, so, Shut::Wr))
                    .expect("not yet ended");
            }
            Choice::Close(n) => self.close(n),
            Choice::Abort(n) => {
                let so = self.ends[n].so.expect("open");
                let linger = [1_i32.to_le_bytes(), 0_i32.to_le_bytes()].concat();
                self.call(n, |inet, cx| {
                    inet.sosetopt(cx, so, SOL_SOCKET, SO_LINGER, &linger)
                })
                .expect("a known option");
                self.close(n);
            }
            Choice::Deliver(n) => self.deliver(n),
            Choice::Lose(n) => {
                self.ends[n].inbound.pop_front();
                self.lost += 1;
            }
            Choice::Fire => {
                self.fired += 1;
                let span = self.timer().expect("a timer");
                self.wait(span);
            }
        }
    }

    fn open(&mut self, n: usize, listens: bool) {
        let (v6, domain) = match self.v6 {
            true => (true, Domain::Inet6),
            false => (false, Domain::Inet),
        };
        let at = |n: usize| SocketAddr::new(ip(n, v6), PORT);
        let so = self.call(n, |inet, cx| {
            let so = inet.socreate(cx, domain, Proto::Tcp).expect("a socket");
            inet.sobind(cx, so, at(n)).expect("a free port");
            if listens {
                inet.solisten(cx, so, 5).expect("bound");
            } else {
                inet.soconnect(cx, so, at(1 - n)).expect("a route");
            }
            so
        });
        self.ends[n].opened = true;
        if listens {
            self.ends[n].listener = Some(so);
        } else {
            self.ends[n].so = Some(so);
        }
    }

    fn close(&mut self, n: usize) {
        let so = self.ends[n].so.take();
        let listener = self.ends[n].listener.take();
        self.ends[n].closed = true;
        self.ledgers[n].ended = true;
        for so in [so, listener].into_iter().flatten() {
            self.call(n, |inet, cx| inet.soclose(cx, so)).expect("open");
        }
    }

    /// The stack goes through an image, to a host that was booted at another time, in this network.
    fn go_away(&mut self, n: usize, network: u8) {
        let e = &mut self.ends[n];
        e.host.leave(self.now, self.now, true);
        let (names, held) = e.host.arrive(self.now, 3 + n as u64, network);
        assert!(held.is_empty());
        let renamed = |so: SoId| names.get(&so).copied().expect("a socket that moved");
        e.so = e.so.map(renamed);
        e.listener = e.listener.map(renamed);
    }

    /// The program reads what there is.
    fn look(&mut self, n: usize) {
        let Some(so) = self.ends[n].so else {
            return;
        };
        loop {
            let got = self.call(n, |inet, cx| {
                if inet.connecting(so) {
                    return inet.soconnected(so).map(|()| None);
                }
                let flags = RecvFlags::default();
                inet.soreceive(cx, so, 1_000, flags).map(Some)
            });
            match got {
                Ok(Some(got)) if got.data.is_empty() => {
                    let reset = self.ends[n].error.is_some();
                    if !reset {
                        self.ledgers[1 - n].end();
                    }
                    return;
                }
                Ok(Some(got)) => self.ledgers[1 - n].got(1 - n, &got.data),
                Ok(None) => {}
                Err(SoError::Blocked(_)) => return,
                Err(SoError::Errno(errno)) => {
                    let known = self.ends[n].error.is_some();
                    assert!(known || self.has_cause(n, errno), "{errno:?}: {self:?}");
                    self.ends[n].error.get_or_insert(errno);
                    return;
                }
            }
        }
    }

    /// True where an end may get this error.
    fn has_cause(&self, n: usize, errno: Errno) -> bool {
        let (own, peer) = (&self.ends[n], &self.ends[1 - n]);
        let gone = peer.closed || !peer.opened || peer.resets > 0 || peer.error.is_some();
        match errno {
            Errno::ECONNRESET | Errno::ECONNREFUSED => own.resets > 0 && gone,
            Errno::ETIMEDOUT => self.lost > 0 || gone,
            _ => false,
        }
    }

    /// Frames go to and fro until there are none.
    fn deliver_all(&mut self) {
        let mut patience = 200;
        while let Some(n) = [0, 1]
            .into_iter()
            .find(|n| !self.ends[*n].inbound.is_empty())
        {
            patience -= 1;
            assert!(patience > 0, "a storm of frames: {self:?}");
            self.deliver(n);
        }
    }

    /// Both programs read and close, in this order; then the world comes to rest.
    fn finish(&mut self, order: Order) {
        let first = usize::from(order == Order::OneFirst);
        for n in [first, 1 - first] {
            self.look(n);
            if !self.ends[n].closed {
                self.close(n);
            }
            if order != Order::Together {
                self.deliver_all();
            }
        }
        self.deliver_all();
        let until = self.now.plus(REST);
        while let Some((at, _)) = self.callout().filter(|(at, _)| *at < until) {
            self.wait(at.minus(self.now));
            self.deliver_all();
        }
        for (n, e) in self.ends.iter().enumerate() {
            let inet = e.host.stack.transports();
            let left = (inet.tcp_sockets().len(), inet.syncache_count());
            assert_eq!(left, (0, 0), "host {n} keeps sockets: {self:?}");
            let timers = (inet.next_timer(), e.host.stack.next_callout());
            assert_eq!(timers, (None, None), "host {n} keeps timers: {self:?}");
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}, {:?}", self.pair(), self.now, self.path)
    }
}

/// Who closes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    ZeroFirst,
    OneFirst,
    Together,
}

/// From here both close, with moves of the hosts in `mask` to this network and without: nothing tells
/// them apart.
fn ends_alike(world: &World, order: Order, mask: usize, network: u8) {
    let mut there = world.duplicate();
    there.finish(order);
    let mut here = world.duplicate();
    for n in (0..2).filter(|n| mask & (1 << n) != 0) {
        here.go_away(n, network);
    }
    assert_eq!(
        here.pair(),
        world.pair(),
        "a move changes a state: {world:?}"
    );
    here.finish(order);
    let errors = |world: &World| [0, 1].map(|n| world.ends[n].error);
    assert_eq!(
        errors(&there),
        errors(&here),
        "{order:?}, moved {mask}: {world:?}"
    );
    let differ = |(a, b): (&_, &_)| a != b;
    let at = there.trace.iter().zip(&here.trace).position(differ);
    assert_eq!(
        (at, there.trace.len()),
        (None, here.trace.len()),
        "{order:?}, moved {mask}: {world:?}"
    );
}

/// Searches what can be reached over this version of IP, and ends each world that is reached.
///
/// # Panics
/// Where something does not hold that must.
pub fn search(bounds: Bounds, v6: bool) -> Found {
    let mut found = Found::default();
    let start = World::new(v6);
    let mut known = BTreeSet::from([start.digest()]);
    let mut next = VecDeque::from([start]);
    let mut ended: BTreeMap<Pair, usize> = BTreeMap::new();
    while let Some(world) = next.pop_front() {
        found.worlds += 1;
        let pair = world.pair();
        found
            .pairs
            .entry(pair)
            .or_insert_with(|| world.path.clone());
        // The first world of a pair in each order; some more, each in one.
        let before = ended.entry(pair).or_default();
        let orders = [Order::Together, Order::ZeroFirst, Order::OneFirst];
        for (n, order) in orders.into_iter().enumerate() {
            if *before == 0 || (*before < 7 && *before % 3 == n) {
                // With their addresses kept, and with others: the first worlds in both ways.
                for network in 0..2 {
                    if *before == 0 || *before / 3 % 2 == usize::from(network) {
                        ends_alike(&world, order, 3 - *before % 3, network);
                        found.endings += 1;
                    }
                }
            }
        }
        *before += 1;
        for choice in world.choices(bounds) {
            let mut after = world.duplicate();
            after.apply(choice);
            after.trace.clear();
            let small = after.ends.iter().all(|e| e.inbound.len() <= bounds.queued);
            if small && known.insert(after.digest()) {
                next.push_back(after);
            }
        }
    }
    found
}
