// SPDX-License-Identifier: BSD-2-Clause
//! What a packetdrill script says, as data.
//!
//! The dialect is that of the FreeBSD TCP test suite (nplab's packetdrill). Every node keeps the
//! line it came from, for a failure is told at the line of the script.

use crate::errno::Errno;
use std::net::IpAddr;

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The `--name=value` lines at the top.
    pub options: Options,
    /// Command run before the clock starts, if any (`kldload` and the like).
    pub init: Vec<(usize, String)>,
    /// What happens, in order.
    pub events: Vec<Event>,
    /// Commands without a time after the last event.
    pub cleanup: Vec<(usize, String)>,
}

/// The options that a script sets for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--ip_version=ipv6`.
    pub ipv6: bool,
    /// `--tolerance_usecs`: how far from its time an event may be, in microseconds.
    pub tolerance_us: u64,
    /// `--tolerance_percent`, in hundredths of a percent of the time since the event before; the larger
    /// of the two tolerances holds. `None` where the script leaves it to whoever runs it.
    pub tolerance_permyriad: Option<u32>,
    /// `--tcp_ts_tick_usecs`: microseconds of a tick of the stack's timestamps; 0 judges no timestamp.
    pub ts_tick_us: u64,
    /// `--bind_port`: local port of `bind`.
    pub bind_port: u16,
    /// `--connect_port`: remote port of `connect` and `sendto`.
    pub connect_port: u16,
    /// `--local_ip`: address of the stack's interface.
    pub local: Option<IpAddr>,
    /// `--remote_ip`: address of the script's side.
    pub remote: Option<IpAddr>,
    /// `--mtu` of the interface in bytes.
    pub mtu: u32,
    /// `--udp_encapsulation=tcp`: segments travel in UDP.
    pub udp_encapsulation: bool,
    /// `--tcp_md5_secret`: key of the TCP-MD5 security associations.
    pub md5_secret: Option<String>,
    /// `--non_fatal=syscall`: a system call's wrong result is a warning.
    pub non_fatal_syscalls: bool,
    /// `--non_fatal=packet`: a wrong packet is a warning.
    pub non_fatal_packets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ipv6: false,
            tolerance_us: 4_000,
            tolerance_permyriad: None,
            ts_tick_us: 0,
            bind_port: 8_080,
            connect_port: 8_080,
            local: None,
            remote: None,
            mtu: 1_500,
            udp_encapsulation: false,
            md5_secret: None,
            non_fatal_syscalls: false,
            non_fatal_packets: false,
        }
    }
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Line in the script, from 1.
    pub line: usize,
    /// When.
    pub time: Time,
    /// What.
    pub action: Action,
}

/// When an event happens; all times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// `1.5`: since the script began.
    Absolute(u64),
    /// `+.1`: since the event before.
    Relative(u64),
    /// `*`: whenever.
    Any,
    /// `1.0~2.0`: between the two.
    AbsoluteRange(u64, u64),
    /// `+0~+1`: between the two, since the event before.
    RelativeRange(u64, u64),
}

/// What an event does or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A packet to inject or to expect.
    Packet(Packet),
    /// A system call of the program under test.
    Syscall(Syscall),
    /// A shell command, in backquotes.
    Command(String),
    /// Assertions over `tcp_info`, in `%{ }%`.
    Code(Vec<Assertion>),
}

/// The way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `<`: the script's remote side sends it to the stack.
    In,
    /// `>`: the stack must send it.
    Out,
}

/// Fields of the IP header that a script may set or demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpSpec {
    /// DSCP in bits 2..8; not judged where absent.
    pub dscp: Option<u8>,
    /// ECN code point in bits 0..2; not judged where absent.
    pub ecn: Option<u8>,
    /// `ect01`: the ECN code point must be ECT(0) or ECT(1).
    pub ect01: bool,
    /// Time to live or hop limit.
    pub ttl: Option<u8>,
    /// IPv6 flow label, 20 bits; not judged where absent.
    pub flow_label: Option<u32>,
}

/// A packet of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// In or out.
    pub direction: Direction,
    /// Fields of the IP header.
    pub ip: IpSpec,
    /// What is in it.
    pub body: Body,
    /// UDP ports (source, destination) of the encapsulation.
    pub udp: Option<(u16, u16)>,
    /// Ports (source, destination) as the script names them: names, not those on the wire.
    pub ports: Option<(u16, u16)>,
}

/// The transport part of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram with so many bytes of data.
    Udp(u16),
    /// An ICMP message.
    Icmp(Icmp),
}

/// TCP flags, as they stand in the header's bytes 12 and 13.
pub mod flag {
    /// No more data.
    pub const FIN: u16 = 0x001;
    /// Synchronise sequence numbers.
    pub const SYN: u16 = 0x002;
    /// Reset.
    pub const RST: u16 = 0x004;
    /// Push.
    pub const PSH: u16 = 0x008;
    /// The acknowledgement field counts.
    pub const ACK: u16 = 0x010;
    /// The urgent pointer counts.
    pub const URG: u16 = 0x020;
    /// ECN echo.
    pub const ECE: u16 = 0x040;
    /// Congestion window reduced.
    pub const CWR: u16 = 0x080;
    /// Accurate ECN (nonce sum).
    pub const AE: u16 = 0x100;
}

/// A TCP segment of a script; sequence numbers count from the initial ones unless `absolute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Flags, see [`flag`].
    pub flags: u16,
    /// First sequence number; `None` for `...`, which is not judged.
    pub seq: Option<u32>,
    /// Bytes of data.
    pub len: u32,
    /// `!`: the sequence number stands in the packet as written.
    pub absolute: bool,
    /// Acknowledgement number.
    pub ack: Option<u32>,
    /// Window, unscaled as in the header.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: Option<u16>,
    /// Options in order; `None` for `<...>`, which is not judged.
    pub options: Option<Vec<TcpOption>>,
    /// `TS val ...`: the timestamp's value is not remembered.
    pub ts_val_any: bool,
    /// `ecr N!`: the echoed timestamp stands in the packet as written.
    pub ts_ecr_absolute: bool,
    /// `[code N, pen N]`: diagnostic payload of a reset (draft-boucadair-tcpm-rst-diagnostic-payload).
    pub reason: Option<(u16, u32)>,
}

/// A TCP option of a script, in the order of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// `nop`.
    Nop,
    /// `eol`.
    Eol,
    /// `mss N`.
    Mss(u16),
    /// `wscale N`.
    Wscale(u8),
    /// `sackOK`.
    SackPermitted,
    /// `sack A:B C:D`.
    Sack(Vec<(u32, u32)>),
    /// `TS val N ecr N`.
    Timestamp {
        /// TSval; compared relative to the first one that the stack sent.
        val: u32,
        /// TSecr.
        ecr: u32,
    },
    /// `FO 0123abcd`: a Fast Open cookie, empty for a request (RFC 7413).
    FastOpen(Vec<u8>),
    /// `EXP-FO 0123abcd`: the experimental form (option 254, magic 0xF989).
    FastOpenExperimental(Vec<u8>),
    /// `md5 valid` or `md5 invalid`.
    Md5 {
        /// Whether the digest must be right.
        valid: bool,
    },
    /// An option by its bytes: kind and payload.
    Raw(u8, Vec<u8>),
    /// `<0204>`: all options as they stand in the header, right or wrong.
    Blob(Vec<u8>),
}

/// An ICMP message of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// `mtu N`.
    pub mtu: Option<u32>,
    /// `id N`: identifier of an echo.
    pub id: u16,
    /// What it quotes.
    pub quoted: Quoted,
}

impl Icmp {
    /// A message of this type and code that says nothing more; what it quotes is the script's own segment.
    pub(super) fn new(kind: u8, code: u8) -> Self {
        Self {
            kind,
            code,
            mtu: None,
            id: 0,
            quoted: Quoted::Tcp {
                seq: None,
                len: 0,
                udp: None,
            },
        }
    }
}

/// The packet that an ICMP message quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// A TCP segment.
    Tcp {
        /// First sequence number; `None` where the script says nothing of it.
        seq: Option<u32>,
        /// Bytes of data.
        len: u32,
        /// UDP ports of the encapsulation.
        udp: Option<(u16, u16)>,
    },
    /// A UDP datagram with so many bytes of data.
    Udp(u16),
}

/// A system call with what it must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// Its end in microseconds, where it blocks: `0.1...0.5`; counted as its time is.
    pub end: Option<u64>,
    /// What it returns; `None` for `...` or nothing written.
    pub result: Option<i64>,
    /// The error it fails with.
    pub errno: Option<Errno>,
}

/// An argument of a system call, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// `...`: the tool's own choice, and nothing to judge.
    Ellipsis,
    /// A number, or symbols joined by `|`.
    Value(Value),
    /// `[a, b]`.
    List(Vec<Arg>),
    /// `"text"`.
    Text(String),
    /// `{name=value, ...}`.
    Struct(Vec<Field>),
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; empty where it is told by its place.
    pub name: String,
    /// Its value.
    pub value: Arg,
}

/// A number or a word of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Decimal or hexadecimal.
    Number(i64),
    /// A symbol, or several joined by `|`; numbers may be among them.
    Symbols(Vec<String>),
}

/// `assert expression` over fields of `tcp_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// What must be true.
    pub expr: Expr,
    /// As written, for the report.
    pub text: String,
}

/// An expression of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A number.
    Number(i64),
    /// A field (`tcpi_state`) or a constant (`TCPI_LISTEN`).
    Name(String),
    /// An operator before its operand.
    Unary(Operator, Box<Expr>),
    /// Two joined by an operator.
    Binary(Box<Expr>, Operator, Box<Expr>),
}

/// Operators of an assertion, with the meaning that Python gives them over integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `not`
    Not,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `&`
    BitAnd,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `+`
    Add,
    /// `-`, before one or between two
    Subtract,
    /// `*`
    Multiply,
    /// `/`, which must come out whole
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
    /// `~`
    BitNot,
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What was expected there.
    pub expected: String,
}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "line {}, column {}: expected {}",
            self.line, self.column, self.expected
        )
    }
}

impl std::error::Error for SyntaxError {}
