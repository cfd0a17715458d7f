// SPDX-License-Identifier: BSD-2-Clause
//! The emulated FreeBSD, for scripts: an instance on an emulated host, with one process, whose calls are the
//! script's.
//!
//! The process executes a program of two instructions, a system call and a jump back to it. Between two calls its
//! thread stands before the first. Whoever wants a call puts it into the thread's registers and memory, as a
//! debugger would, and lets the thread run until it has come round or sleeps: so a call of the script takes the
//! kernel's own way, and what it waits for is in the kernel's sleep queues.
//!
//! # Moves
//! After an event the instance may be taken off its host, as bytes, and put on another one, which has others
//! already; [`Moves`] says after which. Packets that went out are on the cable then, outside. Where each move
//! leads to another network ([`super::networks`]), the cable is outside of the translation too.
//!
//! # Invariants
//! * I1: without moves and with any, the same things happen at the same moments ([`Stack::happened`]).
//! * I2: no number by which the new host knows something of the instance is one by which the old one did.

mod travel;

use super::machine::{Machine, OWN_MAC, Place, ROUTER_MAC};
use super::networks::Networks;
use super::stack::{
    Connection, Ends, Happened, MakeStack, Output, Returned, Room, Stack, Trap, What,
};
use crate::errno::Errno;
use crate::guest::Regs;
use crate::guest::asm::{DATA_BASE, TEXT_BASE};
use crate::guest::consts::sys;
use crate::kern::socklayer::SocketLayer as _;
use crate::kern::types::SIGPIPE;
use crate::net::cx::SoId;
use crate::net::ether::{ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader};
use crate::net::socket::{Inet, Pcb};
use crate::net::stack::InetVnet;
use crate::net::tcp::State;
use crate::rng::fnv1a;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use vpscore::net::Way;

/// The program.
const PROGRAM: &str = "
again:   syscall
         jmp again
.data
scratch: space 8192
";
/// Bytes of zeros that the program has to send.
const ZEROS: usize = 16 << 20;
/// Bytes that it can receive at once; no receive buffer holds more (`kern.ipc.maxsockbuf`).
const RECEIVE: usize = 4 << 20;

/// The clock of the second host is so much behind that of the first.
const BEHIND: Duration = Duration::from_nanos(613_000_217_003);
/// Processes that the hosts have had before.
const USED: [u32; 2] = [100, 5_000];

/// After which events the instance moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// None.
    #[default]
    Never,
    /// Each.
    Each,
    /// This one, counted from 1.
    After(usize),
}

impl Moves {
    fn after(self, event: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Each => true,
            Self::After(n) => n == event,
        }
    }
}

/// Makes instances that stay where they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Emulated {
    /// The seed of initial sequence numbers, timestamp offsets and the like.
    pub seed: u64,
}

/// Makes instances that move.
#[derive(Clone, Copy, Debug)]
pub struct Travelling {
    /// The instance.
    pub emulated: Emulated,
    /// When it moves.
    pub moves: Moves,
    /// Whether it gets another address with each move, behind a translation.
    pub remap: bool,
    /// What a move loses of the stack, as an image would that lacked it: nothing, but where somebody wants to see
    /// that it is missed.
    pub lose: fn(&mut InetVnet),
}

impl MakeStack for Emulated {
    type Stack = Instance;

    fn make(&self, now: Instant, ends: Ends, mtu: u32) -> Result<Instance, String> {
        let travelling = Travelling {
            emulated: *self,
            moves: Moves::Never,
            remap: false,
            lose: |_| {},
        };
        travelling.make(now, ends, mtu)
    }
}

/// The instance, wherever it is.
pub struct Instance {
    make: Travelling,
    /// Two hosts; the second is there from the first move on.
    machines: [Option<Machine>; 2],
    /// Which one the instance is on.
    at: usize,
    place: Place,
    networks: Networks,
    room: Room,
    /// When the script began.
    began: Instant,
    /// IP packets on the cable, with nobody's Ethernet.
    cable: VecDeque<Vec<u8>>,
    happened: Vec<Happened>,
    /// A call that the program is about to make.
    entering: Option<Trap>,
    /// The call that is under way leaves this.
    call: Option<Output>,
    returned: Option<Returned>,
    /// Why a move failed, the first time.
    broken: Option<String>,
}

impl MakeStack for Travelling {
    type Stack = Instance;

    fn make(&self, now: Instant, ends: Ends, mtu: u32) -> Result<Instance, String> {
        let seed = self.emulated.seed;
        let mut machine = Machine::boot("alpha", seed, Duration::ZERO, USED[0])?;
        let id = machine.settle(now, ends, mtu)?;
        if self.moves != Moves::Never {
            machine.populate(now)?;
        }
        let place = machine.inhabit(id, PROGRAM)?;
        let mut instance = Instance {
            make: *self,
            machines: [Some(machine), None],
            at: 0,
            place,
            networks: Networks::new(ends),
            room: Room {
                scratch: DATA_BASE,
                zeros: 0,
                receive: 0,
            },
            began: now,
            cable: VecDeque::new(),
            happened: Vec::new(),
            entering: None,
            call: None,
            returned: None,
            broken: None,
        };
        instance.prepare(now)?;
        Ok(instance)
    }
}

impl Instance {
    /// What the program does before the script begins: it gets memory, and ignores `SIGPIPE` as packetdrill's
    /// `main` does.
    fn prepare(&mut self, now: Instant) -> Result<(), String> {
        let act = [&1_u64.to_le_bytes()[..], &[0; 24]].concat();
        let ignore = Trap {
            code: sys::SYS_SIGACTION,
            args: [SIGPIPE as u64, self.room.scratch, 0, 0, 0, 0],
            memory: vec![(self.room.scratch, act)],
            output: Output::Nothing,
        };
        // PROT_READ | PROT_WRITE, MAP_ANON | MAP_PRIVATE
        let len = (ZEROS + RECEIVE) as u64;
        let map = Trap {
            code: sys::SYS_MMAP,
            args: [0, len, 3, 0x1002, u64::MAX, 0],
            ..Trap::default()
        };
        for trap in [ignore, map] {
            self.enter(&trap);
            self.slice(now);
            let returned = self.take_returned().map(|returned| returned.result);
            match returned {
                Some(Ok(value)) => self.room.zeros = value,
                other => return Err(format!("call {} before the script: {other:?}", trap.code)),
            }
        }
        self.room.receive = self.room.zeros + ZEROS as u64;
        self.flush();
        self.cable.clear();
        Ok(())
    }

    fn machine(&self) -> Option<&Machine> {
        self.machines.get(self.at)?.as_ref()
    }

    fn machine_mut(&mut self) -> Option<&mut Machine> {
        self.machines.get_mut(self.at)?.as_mut()
    }

    /// Something has happened; now may be the time to move.
    fn happen(&mut self, now: Instant, what: What) {
        self.flush();
        let at = now.since(self.began);
        self.happened.push(Happened { at, what });
        let event = self.happened.len();
        if self.broken.is_none()
            && self.make.moves.after(event)
            && let Err(why) = self.go(now)
        {
            self.broken = Some(format!("the move after event {event} failed: {why}"));
        }
    }

    /// What the stack has sent goes onto the cable. Other instances are on another one.
    fn flush(&mut self) {
        let vnet = self.place.vnet;
        let Some(machine) = self.machines.get_mut(self.at).and_then(Option::as_mut) else {
            return;
        };
        while let Some((from, _, frame)) = machine.kern.net_output() {
            let parsed = EtherHeader::parse(&frame);
            let ip = parsed.filter(|(header, _)| {
                from == vnet && [ETHERTYPE_IP, ETHERTYPE_IPV6].contains(&header.kind)
            });
            self.cable.extend(ip.map(|(_, packet)| {
                let mut packet = packet.to_vec();
                self.networks.packet(Way::Out, &mut packet);
                packet
            }));
        }
    }

    /// Puts a call into the thread's registers and memory.
    fn enter(&mut self, trap: &Trap) {
        let Place { p, td, .. } = self.place;
        let networks = &self.networks;
        let Some(machine) = self.machines.get_mut(self.at).and_then(Option::as_mut) else {
            return;
        };
        let kern = &mut machine.kern;
        let mut written = true;
        for (at, bytes) in &trap.memory {
            let mut bytes = bytes.clone();
            networks.sockaddr(trap.code, &mut bytes);
            let view = kern.view(p);
            written &= view.is_some_and(|mut view| view.write(*at, &bytes).is_ok());
        }
        let mut regs = kern.thread(td).map_or(Regs::default(), |td| *td.regs());
        let [code, args @ ..] = &mut regs.r;
        *code = trap.code.into();
        for (reg, arg) in args.iter_mut().zip(trap.args) {
            *reg = arg;
        }
        regs.pc = TEXT_BASE;
        if !written || !kern.set_regs(td, regs) {
            self.broken = Some("the program cannot make a call".to_owned());
            return;
        }
        self.call = Some(trap.output);
    }

    /// Lets the thread run to where it sleeps or is before its next call; false where it cannot run.
    fn slice(&mut self, now: Instant) -> bool {
        let Place { p, td, .. } = self.place;
        let Some(machine) = self.machine_mut() else {
            return false;
        };
        let here = machine.here(now);
        let (kern, join) = (&mut machine.kern, &mut machine.join);
        let asleep = |kern: &crate::kern::Kern| kern.thread(td).is_none_or(|td| td.asleep);
        // Programs of others have their turns too.
        let mut ran = None;
        while !asleep(kern) && ran != Some(td) {
            match kern.run_slice(here, join) {
                Some(report) => ran = Some(report.tid),
                None => return false,
            }
        }
        if ran.is_none() {
            return false;
        }
        let _ = kern.take_trace();
        let Some(thread) = kern.thread(td).filter(|thread| thread.frame.is_none()) else {
            return true;
        };
        let [value, ..] = thread.regs().r;
        let result = if thread.regs().carry {
            Err(Errno::from_raw(value as i32).unwrap_or(Errno::EINVAL))
        } else {
            Ok(value)
        };
        let (at, len) = match (self.call.take().unwrap_or_default(), result) {
            (Output::Received(at), Ok(len)) => (at, (len as usize).min(RECEIVE)),
            (Output::Value(at, len), Ok(_)) => (at, len),
            _ => (0, 0),
        };
        let mut output = vec![0; len];
        let read = self
            .machine_mut()
            .and_then(|machine| machine.kern.view(p).map(|view| view.read(at, &mut output)));
        if len > 0 && !matches!(read, Some(Ok(()))) {
            self.broken = Some("what a call left cannot be read".to_owned());
        }
        self.returned = Some(Returned { result, output });
        true
    }

    /// One slice of the program, and what came of it.
    fn step(&mut self, now: Instant) -> bool {
        if self.call.is_none() || !self.slice(now) {
            return false;
        }
        let what = match &self.returned {
            None => What::Sleeps,
            Some(returned) => What::Returns {
                result: returned.result,
                output: fnv1a(&returned.output),
            },
        };
        self.happen(now, what);
        true
    }

    /// An end of a connection as the script knows it.
    fn outside(&self, inside: SocketAddr) -> SocketAddr {
        SocketAddr::new(
            self.networks.translate(Way::Out, inside.ip()),
            inside.port(),
        )
    }

    fn stack(&self) -> Option<&InetVnet> {
        self.machine()?.kern.vnets.get(&self.place.vnet)
    }

    /// Does something to the stack at a moment of its host, and wakes whom that wakes.
    fn with_stack<R>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut InetVnet, Instant) -> R,
    ) -> Result<R, Errno> {
        let vnet = self.place.vnet;
        let machine = self.machine_mut().ok_or(Errno::ENXIO)?;
        let here = machine.here(now);
        machine.kern.advance(here);
        let stack = machine.kern.vnets.get_mut(&vnet).ok_or(Errno::ENXIO)?;
        let result = act(stack, here);
        machine.kern.socket_wakeups();
        Ok(result)
    }

    /// The same, as one event.
    fn command<R>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut InetVnet, Instant) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let result = self.with_stack(now, act).flatten();
        self.happen(now, What::Command);
        result
    }
}

impl Stack for Instance {
    fn room(&self) -> Room {
        self.room
    }

    fn begin_call(&mut self, now: Instant, trap: &Trap) {
        self.enter(trap);
        let (code, args) = (trap.code, trap.args);
        self.entering = Some(trap.clone());
        self.happen(now, What::Calls { code, args });
        self.entering = None;
        self.step(now);
    }

    fn run_program(&mut self, now: Instant) -> bool {
        self.step(now)
    }

    fn take_returned(&mut self) -> Option<Returned> {
        self.returned.take()
    }

    fn option(
        &mut self,
        now: Instant,
        fd: i32,
        (level, name): (i32, i32),
        len: usize,
    ) -> Result<Vec<u8>, Errno> {
        let machine = self.machine().ok_or(Errno::ENXIO)?;
        let so = machine.socket_of(self.place.p, fd).ok_or(Errno::EBADF)?;
        let got = self.with_stack(now, |stack, here| {
            stack.sogetopt(here, so, level, name, len)
        });
        got.flatten()
    }

    fn sockname(&mut self, fd: i32) -> Option<SocketAddr> {
        let so = self.machine()?.socket_of(self.place.p, fd)?;
        let inside = self.stack()?.transports().sockname(so).ok()?;
        Some(self.outside(inside))
    }

    fn inject(&mut self, now: Instant, packet: Vec<u8>) {
        let kind = match packet.first() {
            Some(first) if first >> 4 == 6 => ETHERTYPE_IPV6,
            _ => ETHERTYPE_IP,
        };
        let header = EtherHeader {
            dst: OWN_MAC,
            src: ROUTER_MAC,
            kind,
        };
        let mut inside = packet.clone();
        self.networks.packet(Way::In, &mut inside);
        let frame = header.emit(&inside);
        let Place { vnet, ifindex, .. } = self.place;
        if let Some(machine) = self.machine_mut() {
            let here = machine.here(now);
            machine.kern.net_input(here, vnet, ifindex, &frame);
        }
        self.happen(now, What::PacketIn(packet));
    }

    fn take_packet(&mut self, now: Instant) -> Option<Vec<u8>> {
        let packet = self.cable.pop_front()?;
        self.happen(now, What::PacketOut(packet.clone()));
        Some(packet)
    }

    fn next_callout(&self) -> Option<Instant> {
        let machine = self.machine()?;
        // The program is the only one that sleeps with a deadline on its host.
        let kernel = machine.kern.next_callout();
        let stack = self.stack()?.next_callout();
        let at = kernel.into_iter().chain(stack).min()?;
        Some(machine.script(at))
    }

    fn run_callouts(&mut self, now: Instant) {
        if let Some(machine) = self.machine_mut() {
            let here = machine.here(now);
            machine.kern.run_net_callouts(here);
            machine.kern.run_callouts(here, &mut machine.join);
        }
        self.happen(now, What::Callout);
    }

    fn sysctl(&mut self, now: Instant, name: &str, value: &str) -> Result<(), Errno> {
        // The variables of these whose value is a word.
        let word = |set: fn(&mut Inet, &str) -> Result<(), Errno>| {
            move |stack: &mut InetVnet, here| {
                stack.with_transports(here, |inet, _| set(inet, value))
            }
        };
        match name {
            "net.inet.tcp.cc.algorithm" => return self.command(now, word(Inet::cc_algorithm_set)),
            "net.inet.tcp.functions_default" => {
                return self.command(now, word(|inet, name| inet.functions_default_set(name)));
            }
            _ => {}
        }
        let value = value.trim().parse::<i64>().map_err(|_| Errno::EINVAL)?;
        self.command(now, |stack, here| {
            let set = stack.with_transports(here, |inet, cx| inet.sysctl_set(cx, name, value));
            match set {
                Err(Errno::ENOENT) => stack.configure(here, |ip| ip.sysctl_set(name, value)),
                set => set,
            }
        })
    }

    fn connections(&self) -> Vec<Connection> {
        let (Some(machine), Some(stack)) = (self.machine(), self.stack()) else {
            return Vec::new();
        };
        let open = machine.open_sockets(self.place.p);
        let inet = stack.transports();
        let sockets = inet.iter().filter_map(|entry| {
            let Pcb::Tcp(tp) = &entry.pcb else {
                return None;
            };
            let inc = entry.inp.inc;
            Some(Connection {
                open: open.contains(&entry.so.id),
                local: self.outside(SocketAddr::new(inc.laddr, inc.lport)),
                foreign: self.outside(SocketAddr::new(inc.faddr, inc.fport)),
                state: tp.t_state.name(),
            })
        });
        // sockstat(1) shows embryonic connections too: net.inet.tcp.pcblist has the SYN cache.
        let embryos = inet.tcp.syncache.entries.keys().map(|inc| Connection {
            open: false,
            local: self.outside(SocketAddr::new(inc.laddr, inc.lport)),
            foreign: self.outside(SocketAddr::new(inc.faddr, inc.fport)),
            state: "SYN_RCVD",
        });
        sockets.chain(embryos).collect()
    }

    fn drop_connections(&mut self, now: Instant, state: &str) {
        // A listener is never dropped (sysctl_drop, tcp_subr.c; tcpdrop(8) passes them over).
        let in_state =
            |tp: &crate::net::tcp::Tcpcb| tp.t_state.name() == state && tp.t_state != State::Listen;
        let dropped = self.command(now, |stack, here| {
            let inet = stack.transports();
            let doomed: Vec<SoId> = inet
                .iter()
                .filter(|entry| matches!(&entry.pcb, Pcb::Tcp(tp) if in_state(tp)))
                .map(|entry| entry.so.id)
                .collect();
            for so in doomed {
                stack.with_transports(here, |inet, cx| {
                    inet.with_conn(so, cx, |conn| {
                        conn.drop_connection(Some(Errno::ECONNABORTED))
                    })
                });
            }
            Ok(())
        });
        debug_assert_eq!(dropped, Ok(()), "the instance has a stack");
    }

    fn md5_key(&mut self, now: Instant, key: Option<(IpAddr, IpAddr, &str)>) {
        let inside = |addr| self.networks.translate(Way::In, addr);
        let key = key.map(|(src, dst, key)| (inside(src), inside(dst), key));
        let set = self.command(now, |stack, here| {
            stack.with_transports(here, |inet, _| {
                let keys = &mut inet.tcp.md5_keys.by_pair;
                match key {
                    Some((src, dst, key)) => drop(keys.insert((src, dst), key.as_bytes().to_vec())),
                    None => keys.clear(),
                }
            });
            Ok(())
        });
        debug_assert_eq!(set, Ok(()), "the instance has a stack");
    }

    fn happened(&self) -> &[Happened] {
        &self.happened
    }

    fn broken(&self) -> Option<String> {
        self.broken.clone()
    }
}
