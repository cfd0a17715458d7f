// SPDX-License-Identifier: BSD-2-Clause
//! The kernel-neutral state of sockets: what a connection is, once no kernel runs it.
//!
//! A connection survives a move if the target's kernel goes on exactly where the source's stopped.
//! These records hold all that later behaviour depends on, under FreeBSD's own names, so that an
//! adapter fills them field by field; they hold no pointer, no tick and no absolute time. Bytes in
//! buffers travel in data frames beside them (see [`crate::image`]), since they can be large.
//!
//! # Invariants
//! * I1: `decode(encode(s)) == s`.
//! * I2: a state that decodes is one that a kernel could be in, as far as the rules of `check` go:
//!   sequence spaces, buffers and queues agree, limits hold.
//!
//! # Failure
//! What breaks a rule is refused as [`Fault::Invalid`](crate::cbor::Fault::Invalid) in the named
//! field; nothing is mended silently.

mod cc;
mod census;
mod check;
mod check_socket;
mod inpcb;
mod seq;
mod socket;
mod syncache;
mod tcpcb;

pub use cc::{CcAlgo, CcVar, Cubic, Hystart, NewReno};
pub use census::{Ceilings, Census, Offence, Rule};
pub use inpcb::{
    INP_BINDANY, INP_DROPPED, INP_IPV4, INP_IPV6, INP_IPV6PROTO, InAddr, InConninfo, Inpcb,
};
pub use seq::Seq;
pub use socket::{
    Domain, Listen, SB_AUTOSIZE, SBS_CANTRCVMORE, SBS_CANTSENDMORE, SO_ACCEPTCONN, SS_ISCONNECTED,
    SbRecord, SoQstate, SoType, SockStream, Sockbuf, Socket,
};
pub use syncache::{HcMetrics, KnownAs, SchOverflow, Syncache, TcpMd5Key, TcpVnet, TfoCookie};
pub use tcpcb::{
    SackBlk, SackHint, SackHole, TF_ACKNOW, TF_CONGRECOVERY, TF_DELACK, TF_FASTOPEN,
    TF_FASTRECOVERY, TF_LRD, TF_NEEDFIN, TF_NEEDSYN, TF_RCVD_SCALE, TF_REQ_SCALE, TF_SACK_PERMIT,
    TF_SENTFIN, TF_SIGNATURE, TF_TOE, TcpState, TcpTimers, Tcpcb, Tfo, Tseg,
};

/// `ELAST` (`errno.h`, 15.0): the largest errno.
const ELAST: u64 = 97;
/// `IP_MAXPACKET` (`ip.h`), bytes.
const IP_MAXPACKET: u64 = 65_535;
/// `TCP_MAX_WINSHIFT` (`tcp.h`): the largest window shift.
pub const TCP_MAX_WINSHIFT: u8 = 14;
/// `TCP_MAXWIN << TCP_MAX_WINSHIFT`: the largest window, bytes.
pub const TCP_WIN_MAX: u32 = 65_535 << 14;
/// `TCP_MAXRXTSHIFT` (`tcp_timer.h`): the most retransmissions of one segment.
pub const TCP_MAXRXTSHIFT: u8 = 12;
/// `MAX_SACK_BLKS` (`tcp.h`): SACK blocks kept by the receiver.
pub const MAX_SACK_BLKS: usize = 6;
/// `TCP_FASTOPEN_MAX_COOKIE_LEN` (`tcp.h`), bytes.
pub const TCP_FASTOPEN_MAX_COOKIE_LEN: usize = 16;
/// `TCP_KEYLEN_MAX` (`netipsec/xform_tcp.c`): bytes of a key for MD5 signatures.
pub const TCP_KEYLEN_MAX: usize = 80;
