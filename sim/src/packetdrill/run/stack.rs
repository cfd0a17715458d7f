// SPDX-License-Identifier: BSD-2-Clause
//! What a script needs of the stack it tests.

use crate::errno::Errno;
use crate::kern::socklayer::SocketLayer;
use crate::net::cx::SoId;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

/// One line of `sockstat -P tcp -s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The socket a descriptor refers to; `None` where nobody has it open any more.
    pub so: Option<SoId>,
    /// Local end.
    pub local: SocketAddr,
    /// The other end.
    pub foreign: SocketAddr,
    /// State as `sockstat` writes it, `TIME_WAIT`.
    pub state: &'static str,
}

/// A whole stack with one interface that carries IP packets (`tun(4)`).
pub trait Stack {
    /// Its system calls on sockets.
    fn sockets(&mut self) -> &mut dyn SocketLayer;

    /// A packet comes in on the interface.
    fn inject(&mut self, now: Instant, packet: Vec<u8>);

    /// The next packet that went out of the interface.
    fn take_packet(&mut self) -> Option<Vec<u8>>;

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
    fn md5_key(&mut self, key: Option<(IpAddr, IpAddr, &str)>);

    /// What went wrong with the stack itself, whatever the script says.
    fn broken(&self) -> Option<String> {
        None
    }
}

/// Makes a stack for one script.
pub trait MakeStack: Sync {
    /// The stack.
    type Stack: Stack;

    /// A stack whose interface has `local` and this MTU, with a route to everything through it.
    fn make(&self, local: IpAddr, mtu: u32) -> Self::Stack;
}
