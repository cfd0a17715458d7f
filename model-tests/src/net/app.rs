// SPDX-License-Identifier: BSD-2-Clause
//! The programs at the ends of a connection: a script of socket calls, in the background a reader,
//! and at the end an orderly close. A call that would sleep is made again after its wakeup, never
//! before: a wakeup that is forgotten leaves the program hanging.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use sim::errno::Errno;
use sim::net::cx::{Cx, SoError, SoId, SoWait};
use sim::net::socket::{Domain, Inet, Proto, RecvFlags, SendFlags, Shut};
use sim::time::Duration;

use super::ledger::Ledger;

/// A step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes so many bytes, as room comes.
    Write(u32),
    /// Writes so many bytes at once, the last urgent; what has no room is not written.
    Urgent(u32),
    /// Stops reading: the window closes.
    Stall,
    /// Reads in the background again, at most so many bytes a call.
    Read(u32),
    /// One read, which may find nothing.
    ReadOnce(u32),
    /// Reads one urgent byte.
    ReadUrgent,
    /// `shutdown(SHUT_WR)` when all is written.
    ShutWr,
    /// `shutdown(SHUT_RD)`
    ShutRd,
    /// Closes when all is written, whatever has come.
    Close,
    /// Closes at once with a linger time of 0.
    Abort,
    /// Sets an option: level, name, value.
    Set(i32, i32, i32),
    /// Chooses NewReno.
    NewReno,
}

/// `SOL_SOCKET`, `IPPROTO_TCP` (`sys/socket.h`, `netinet/in.h`).
pub const SOL_SOCKET: i32 = 0xffff;
/// `IPPROTO_TCP`
pub const TCP: i32 = 6;
/// `SO_LINGER`
pub const SO_LINGER: i32 = 0x80;
const SO_SNDBUF: i32 = 0x1001;
const SO_RCVBUF: i32 = 0x1002;
const TCP_MD5SIG: i32 = 16;
const TCP_CONGESTION: i32 = 64;
const TCP_REMOTE_UDP_ENCAPS_PORT: i32 = 71;
const TCP_FASTOPEN: i32 = 1025;

/// What is asked of a connection when it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// IPv6.
    pub v6: bool,
    /// Signed with MD5.
    pub signed: bool,
    /// The UDP port for TCP in UDP, or 0.
    pub encapsulated: u16,
    /// Data in the SYN, if there is a cookie.
    pub fast_open: bool,
}

/// How a program began to have a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It connects to this address.
    Connects(SocketAddr),
    /// It listens there and accepts once.
    Accepts(SocketAddr),
}

/// Where a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun.
    Waiting,
    /// It connects, or listens.
    Opening,
    /// It has a connection.
    Open,
    /// It has closed, or failed to open.
    Done,
}

/// A program.
#[derive(Clone, Debug)]
pub struct App {
    /// On which host it runs: also the name of its stream.
    pub host: usize,
    role: Role,
    kind: Kind,
    script: Vec<(Duration, Op)>,
    pc: usize,
    /// When the next step is due.
    pub due: Option<Duration>,
    /// Where it is.
    pub stage: Stage,
    /// The address of its host, where that has moved.
    pub own: Option<IpAddr>,
    /// Its connection's socket.
    pub so: Option<SoId>,
    /// Its listening socket.
    pub listener: Option<SoId>,
    waits: BTreeSet<(SoId, SoWait)>,
    reading: Option<u32>,
    pending: usize,
    shut_wr: bool,
    shut_rd: bool,
    closing: bool,
    /// It has made a buffer smaller, or gave it up.
    pub shrank: bool,
    /// It had a connection.
    pub opened: bool,
    /// What its calls complained of first.
    pub error: Option<Errno>,
    /// It let go of its connection before it had read the end: what comes then is refused.
    pub left: bool,
    calls: u64,
}

impl App {
    /// A program that begins at `start`; each step comes so long after the one before.
    pub fn new(
        host: usize,
        role: Role,
        kind: Kind,
        start: Duration,
        script: Vec<(Duration, Op)>,
    ) -> Self {
        Self {
            host,
            role,
            kind,
            script,
            pc: 0,
            due: Some(start),
            stage: Stage::Waiting,
            own: None,
            so: None,
            listener: None,
            waits: BTreeSet::new(),
            reading: Some(u32::MAX),
            pending: 0,
            shut_wr: false,
            shut_rd: false,
            closing: false,
            shrank: false,
            opened: false,
            error: None,
            left: false,
            calls: 0,
        }
    }

    /// True where a wakeup is one that a call of the program sleeps for.
    pub fn wakes(&mut self, so: SoId, what: SoWait) -> bool {
        self.waits.remove(&(so, what))
    }

    /// How many socket calls were made.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The stack has moved: its sockets have other names.
    pub fn rename(&mut self, new: impl Fn(SoId) -> Option<SoId>) {
        self.so = self.so.and_then(&new);
        self.listener = self.listener.and_then(&new);
        let waits = std::mem::take(&mut self.waits);
        self.waits = waits
            .into_iter()
            .filter_map(|(so, what)| Some((new(so)?, what)))
            .collect();
    }

    /// Goes on as far as it can. `ours` is the stream it writes, `theirs` the one it reads.
    pub fn run(
        &mut self,
        now: Duration,
        inet: &mut Inet,
        cx: &mut Cx<'_>,
        ours: &mut Ledger,
        theirs: &mut Ledger,
    ) {
        if self.stage == Stage::Waiting && self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.begin(inet, cx, ours);
        }
        if self.stage == Stage::Opening {
            self.open(now, inet, cx);
        }
        while self.stage == Stage::Open {
            self.read(inet, cx, theirs);
            self.write(inet, cx, ours);
            if self.stage != Stage::Open || self.due.is_none_or(|due| due > now) {
                break;
            }
            self.step(now, inet, cx, (ours, theirs));
        }
        if self.stage == Stage::Open {
            self.finish(inet, cx, ours, theirs);
        }
    }

    /// Lets go of everything: nothing will happen any more.
    pub fn give_up(&mut self, inet: &mut Inet, cx: &mut Cx<'_>) {
        for so in [self.so.take(), self.listener.take()].into_iter().flatten() {
            let _ended = inet.soclose(cx, so);
        }
        self.stage = Stage::Done;
        self.due = None;
    }

    fn set(
        &mut self,
        inet: &mut Inet,
        cx: &mut Cx<'_>,
        so: SoId,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        self.calls += 1;
        inet.sosetopt(cx, so, level, name, value)
    }

    fn begin(&mut self, inet: &mut Inet, cx: &mut Cx<'_>, ours: &mut Ledger) {
        let domain = if self.kind.v6 {
            Domain::Inet6
        } else {
            Domain::Inet
        };
        let so = inet.socreate(cx, domain, Proto::Tcp).expect("a socket");
        if self.kind.signed {
            self.set(inet, cx, so, TCP, TCP_MD5SIG, &1_i32.to_le_bytes())
                .expect("signed");
        }
        self.stage = Stage::Opening;
        match self.role {
            Role::Accepts(at) => {
                let at = SocketAddr::new(self.own.unwrap_or(at.ip()), at.port());
                inet.sobind(cx, so, at).expect("a free port");
                inet.solisten(cx, so, 5).expect("bound");
                if self.kind.fast_open {
                    self.set(inet, cx, so, TCP, TCP_FASTOPEN, &1_i32.to_le_bytes())
                        .expect("allowed");
                }
                self.listener = Some(so);
            }
            Role::Connects(to) => {
                if self.kind.encapsulated != 0 {
                    let port = i32::from(self.kind.encapsulated).to_le_bytes();
                    self.set(inet, cx, so, TCP, TCP_REMOTE_UDP_ENCAPS_PORT, &port)
                        .expect("allowed");
                }
                self.so = Some(so);
                let begun = if self.kind.fast_open {
                    self.set(inet, cx, so, TCP, TCP_FASTOPEN, &1_i32.to_le_bytes())
                        .expect("allowed");
                    let data = ours.next(self.host, 700);
                    let sent = inet.sosend(cx, so, &data, SendFlags::default(), Some(to));
                    sent.map(|n| ours.wrote(n, false))
                } else {
                    inet.soconnect(cx, so, to).map_err(SoError::from)
                };
                if let Err(SoError::Errno(errno)) = begun {
                    self.fail(errno);
                    self.close(inet, cx);
                }
            }
        }
    }

    fn open(&mut self, now: Duration, inet: &mut Inet, cx: &mut Cx<'_>) {
        self.calls += 1;
        let opened = match (self.role, self.listener) {
            (Role::Accepts(_), Some(listener)) => inet.soaccept(cx, listener).map(|(so, _)| {
                self.so = Some(so);
            }),
            _ => inet.soconnected(self.so.expect("connecting")),
        };
        match opened {
            Ok(()) => {
                self.opened = true;
                self.stage = Stage::Open;
                self.due = self.script.first().map(|(gap, _)| now.plus(*gap));
                if let Some(listener) = self.listener.take() {
                    let _closed = inet.soclose(cx, listener);
                }
            }
            Err(SoError::Blocked(what)) => {
                let so = self.listener.or(self.so).expect("one of them");
                self.waits.insert((so, what));
            }
            Err(SoError::Errno(errno)) => {
                self.fail(errno);
                self.close(inet, cx);
            }
        }
    }

    fn fail(&mut self, errno: Errno) {
        self.error.get_or_insert(errno);
    }

    fn close(&mut self, inet: &mut Inet, cx: &mut Cx<'_>) {
        self.give_up(inet, cx);
    }

    /// Reads what there is; true where that was something.
    fn read_once(
        &mut self,
        inet: &mut Inet,
        cx: &mut Cx<'_>,
        theirs: &mut Ledger,
        len: usize,
    ) -> bool {
        let so = self.so.expect("open");
        self.calls += 1;
        match inet.soreceive(cx, so, len, RecvFlags::default()) {
            Ok(got) if got.data.is_empty() => {
                if !self.shut_rd && self.error.is_none() {
                    theirs.end();
                }
                self.reading = None;
                self.shut_rd = true;
                false
            }
            Ok(got) => {
                theirs.got(1 - self.host, &got.data);
                true
            }
            Err(SoError::Blocked(what)) => {
                self.waits.insert((so, what));
                false
            }
            Err(SoError::Errno(errno)) => {
                self.fail(errno);
                self.left = true;
                self.close(inet, cx);
                false
            }
        }
    }

    fn read(&mut self, inet: &mut Inet, cx: &mut Cx<'_>, theirs: &mut Ledger) {
        while self.stage == Stage::Open
            && let Some(len) = self.reading
        {
            if !self.read_once(inet, cx, theirs, len as usize) {
                break;
            }
        }
    }

    fn write(&mut self, inet: &mut Inet, cx: &mut Cx<'_>, ours: &mut Ledger) {
        while self.pending > 0 && self.stage == Stage::Open {
            let so = self.so.expect("open");
            let data = ours.next(self.host, self.pending.min(50_000));
            self.calls += 1;
            match inet.sosend(cx, so, &data, SendFlags::default(), None) {
                Ok(n) => {
                    ours.wrote(n, false);
                    self.pending -= n;
                }
                Err(SoError::Blocked(what)) => {
                    self.waits.insert((so, what));
                    return;
                }
                Err(SoError::Errno(errno)) => {
                    self.fail(errno);
                    self.pending = 0;
                }
            }
        }
    }

    fn step(
        &mut self,
        now: Duration,
        inet: &mut Inet,
        cx: &mut Cx<'_>,
        (ours, theirs): (&mut Ledger, &mut Ledger),
    ) {
        let (_, op) = self.script[self.pc];
        self.pc += 1;
        self.due = self.script.get(self.pc).map(|(gap, _)| now.plus(*gap));
        let so = self.so.expect("open");
        let ending = self.shut_wr || self.closing;
        match op {
            Op::Write(n) if !ending => self.pending += n as usize,
            Op::Urgent(n) if !ending && self.pending == 0 && near(inet, so, n) => {
                let flags = SendFlags {
                    oob: true,
                    ..SendFlags::default()
                };
                let data = ours.next(self.host, n as usize);
                self.calls += 1;
                match inet.sosend(cx, so, &data, flags, None) {
                    // All went, and the last is the urgent one; else the last that went is.
                    Ok(sent) => ours.wrote(sent, true),
                    Err(SoError::Blocked(_)) => {}
                    Err(SoError::Errno(errno)) => self.fail(errno),
                }
            }
            Op::Write(_) | Op::Urgent(_) => {}
            Op::Stall => self.reading = None,
            Op::Read(len) => self.reading = (!self.shut_rd).then_some(len.max(1)),
            Op::ReadOnce(len) => {
                if !self.shut_rd {
                    self.read_once(inet, cx, theirs, len.max(1) as usize);
                }
            }
            Op::ReadUrgent => {
                let flags = RecvFlags {
                    oob: true,
                    ..RecvFlags::default()
                };
                self.calls += 1;
                let _maybe = inet.soreceive(cx, so, 1, flags);
            }
            Op::ShutWr => self.shut_wr = true,
            Op::ShutRd => {
                self.calls += 1;
                let _maybe = inet.soshutdown(cx, so, Shut::Rd);
                self.left |= !theirs.eof;
                self.shut_rd = true;
                self.shrank = true;
                self.reading = None;
            }
            Op::Close => self.closing = true,
            Op::Abort => {
                let linger = [1_i32.to_le_bytes(), 0_i32.to_le_bytes()].concat();
                let _set = self.set(inet, cx, so, SOL_SOCKET, SO_LINGER, &linger);
                self.left = true;
                self.close(inet, cx);
            }
            Op::Set(level, name, value) => {
                self.shrank |= level == SOL_SOCKET && [SO_SNDBUF, SO_RCVBUF].contains(&name);
                let _refused = self.set(inet, cx, so, level, name, &value.to_le_bytes());
            }
            Op::NewReno => {
                let _refused = self.set(inet, cx, so, TCP, TCP_CONGESTION, b"newreno\0");
            }
        }
    }

    /// Ends the stream and the connection when all is written, and read.
    fn finish(&mut self, inet: &mut Inet, cx: &mut Cx<'_>, ours: &mut Ledger, theirs: &mut Ledger) {
        let over = self.pc >= self.script.len();
        if over && self.reading.is_none() && !self.shut_rd {
            self.reading = Some(u32::MAX);
            self.read(inet, cx, theirs);
            if self.stage != Stage::Open {
                return;
            }
        }
        if self.pending > 0 {
            return;
        }
        let so = self.so.expect("open");
        if self.closing {
            self.left |= !theirs.eof;
            ours.ended |= self.error.is_none();
            self.close(inet, cx);
            return;
        }
        if (over || self.shut_wr) && !ours.ended && self.error.is_none() {
            self.calls += 1;
            match inet.soshutdown(cx, so, Shut::Wr) {
                Ok(()) => ours.ended = true,
                Err(errno) => self.fail(errno),
            }
        }
        if over && self.shut_rd {
            self.left |= !theirs.eof;
            self.close(inet, cx);
        }
    }
}

/// True where an urgent pointer reaches over all that is not acknowledged and `n` bytes more.
/// FreeBSD cuts a longer one off to 16 bits (`tcp_output.c`, 15.0), and so marks another byte.
fn near(inet: &Inet, so: SoId, n: u32) -> bool {
    inet.xtcpcb(so).is_some_and(|x| x.so_snd.sb_cc + n < 60_000)
}
