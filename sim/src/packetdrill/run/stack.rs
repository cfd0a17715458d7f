// SPDX-License-Identifier: BSD-2-Clause
//! What a script needs of the system it tests: a program that makes calls, and a stack with one interface.

use crate::errno::Errno;
use crate::rng::fnv1a;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// One line of `sockstat -P tcp -s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The program has it open.
    pub open: bool,
    /// Local end.
    pub local: SocketAddr,
    /// The other end.
    pub foreign: SocketAddr,
    /// State as `sockstat` writes it, `TIME_WAIT`.
    pub state: &'static str,
}

/// What a call leaves in the program's memory for its caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Nothing.
    #[default]
    Nothing,
    /// As many bytes at this address as the call returns.
    Received(u64),
    /// So many bytes at this address.
    Value(u64, usize),
}

/// A system call as the program makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trap {
    /// Its number.
    pub code: u32,
    /// The argument registers.
    pub args: [u64; 6],
    /// What is in memory before it, by address.
    pub memory: Vec<(u64, Vec<u8>)>,
    /// What it leaves there.
    pub output: Output,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The first return register, or the error.
    pub result: Result<u64, Errno>,
    /// What it left in memory; nothing where it failed.
    pub output: Vec<u8>,
}

/// Memory of the program that calls may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Two pages for what is small: addresses, values of options.
    pub scratch: u64,
    /// Zeros to send; nothing is ever written there.
    pub zeros: u64,
    /// Where to receive to.
    pub receive: u64,
}

/// Something that happened to the system, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When, since the script began.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// See [`Happened`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A packet came in on the interface.
    PacketIn(Vec<u8>),
    /// A packet went out of it.
    PacketOut(Vec<u8>),
    /// The program is about to make this call.
    Calls {
        /// Its number.
        code: u32,
        /// The argument registers.
        args: [u64; 6],
    },
    /// The call sleeps, at first or once more.
    Sleeps,
    /// The call has returned.
    Returns {
        /// What it returned.
        result: Result<u64, Errno>,
        /// Digest of what it left in memory.
        output: u64,
    },
    /// A callout has run.
    Callout,
    /// Somebody outside the program has set or dropped something.
    Command,
}

impl What {
    /// In a few words.
    pub fn name(&self) -> String {
        match self {
            Self::PacketIn(bytes) => format!("packet {} in", digest(bytes)),
            Self::PacketOut(bytes) => format!("packet {} out", digest(bytes)),
            Self::Calls { code, .. } => format!("system call {code} begins"),
            Self::Sleeps => "the system call sleeps".to_owned(),
            Self::Returns { result: Ok(n), .. } => format!("the system call returns {n}"),
            Self::Returns { result: Err(e), .. } => format!("the system call returns {e}"),
            Self::Callout => "a callout".to_owned(),
            Self::Command => "a command".to_owned(),
        }
    }
}

fn digest(packet: &[u8]) -> String {
    format!("{:016x} of {} bytes", fnv1a(packet), packet.len())
}

/// A program on a system whose one interface carries the script's packets.
///
/// Moments are the script's clock; what the system's own clock reads is its own affair.
pub trait Stack {
    /// The memory of the program.
    fn room(&self) -> Room;

    /// The program, which is in no call, makes one.
    fn begin_call(&mut self, now: Instant, trap: &Trap);

    /// Lets the program go on where it was woken; false where it was not, or is in no call.
    fn run_program(&mut self, now: Instant) -> bool;

    /// What the call came to, once; `None` while it sleeps.
    fn take_returned(&mut self) -> Option<Returned>;

    /// A socket option of a descriptor, as a debugger looks at it.
    ///
    /// # Errors
    /// That of `getsockopt`.
    fn option(
        &mut self,
        now: Instant,
        fd: i32,
        of: (i32, i32),
        len: usize,
    ) -> Result<Vec<u8>, Errno>;

    /// The local address of a descriptor's socket, as a debugger looks at it.
    fn sockname(&mut self, fd: i32) -> Option<SocketAddr>;

    /// A packet comes in on the interface.
    fn inject(&mut self, now: Instant, packet: Vec<u8>);

    /// The next packet that goes out of the interface.
    fn take_packet(&mut self, now: Instant) -> Option<Vec<u8>>;

    /// When the next callout is due.
    fn next_callout(&self) -> Option<Instant>;

    /// Runs the callouts that are due.
    fn run_callouts(&mut self, now: Instant);

    /// `sysctl -w name=value`.
    ///
    /// # Errors
    /// `ENOENT` where there is no such variable, `EINVAL` where the value is refused.
    fn sysctl(&mut self, now: Instant, name: &str, value: &str) -> Result<(), Errno>;

    /// Its TCP connections, listening sockets included.
    fn connections(&self) -> Vec<Connection>;

    /// `tcpdrop -s STATE`: drops the connections in that state.
    fn drop_connections(&mut self, now: Instant, state: &str);

    /// Sets the TCP-MD5 key between the two addresses (`setkey`), or takes all away.
    fn md5_key(&mut self, now: Instant, key: Option<(IpAddr, IpAddr, &str)>);

    /// What has happened so far.
    fn happened(&self) -> &[Happened];

    /// What went wrong with the system itself, whatever the script says.
    fn broken(&self) -> Option<String> {
        None
    }
}

/// The addresses of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// `--local_ip`: the stack's.
    pub local: IpAddr,
    /// `--remote_ip`: the script's own.
    pub remote: IpAddr,
}

/// Makes a system for one script.
pub trait MakeStack: Sync {
    /// The system.
    type Stack: Stack;

    /// A system whose interface has `local` and this MTU, with a route to everything through it. Its clock
    /// reads `now` on the script's.
    ///
    /// # Errors
    /// Why it could not be made.
    fn make(&self, now: Instant, ends: Ends, mtu: u32) -> Result<Self::Stack, String>;
}
