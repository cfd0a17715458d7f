// SPDX-License-Identifier: BSD-2-Clause
//! `t_flags` and `t_flags2` of a tcpcb, with FreeBSD's values (`netinet/tcp_var.h` of
//! November 2024).

/// Acknowledge the peer at once.
pub const TF_ACKNOW: u32 = 0x0000_0001;
/// Acknowledge, but try to delay it.
pub const TF_DELACK: u32 = 0x0000_0002;
/// Don't delay packets to coalesce (`TCP_NODELAY`).
pub const TF_NODELAY: u32 = 0x0000_0004;
/// Don't use TCP options (`TCP_NOOPT`).
pub const TF_NOOPT: u32 = 0x0000_0008;
/// The connection was in the middle of a burst when it went idle.
pub const TF_LASTIDLE: u32 = 0x0004_0000;
/// A FIN was sent.
pub const TF_SENTFIN: u32 = 0x0000_0010;
/// Window scaling is wanted.
pub const TF_REQ_SCALE: u32 = 0x0000_0020;
/// The peer wants window scaling too.
pub const TF_RCVD_SCALE: u32 = 0x0000_0040;
/// Timestamps are wanted.
pub const TF_REQ_TSTMP: u32 = 0x0000_0080;
/// The peer sent a timestamp in its SYN.
pub const TF_RCVD_TSTMP: u32 = 0x0000_0100;
/// The peer agreed to SACK, or it is offered.
pub const TF_SACK_PERMIT: u32 = 0x0000_0200;
/// A SYN is to be sent: the connection is half synchronised.
pub const TF_NEEDSYN: u32 = 0x0000_0400;
/// A FIN is to be sent: the user closed before the connection was established.
pub const TF_NEEDFIN: u32 = 0x0000_0800;
/// Don't send less than a full segment (`TCP_NOPUSH`).
pub const TF_NOPUSH: u32 = 0x0000_1000;
/// Values saved for a wrong retransmission are valid.
pub const TF_PREVVALID: u32 = 0x0000_2000;
/// Wake the reader at the end of input processing.
pub const TF_WAKESOR: u32 = 0x0000_4000;
/// More data is about to be appended.
pub const TF_MORETOCOME: u32 = 0x0001_0000;
/// The socket layer was not yet told of the connection.
pub const TF_SONOTCONN: u32 = 0x0002_0000;
/// The last window sent was zero.
pub const TF_RXWIN0SENT: u32 = 0x0008_0000;
/// In fast recovery (`ENTER_FASTRECOVERY`).
pub const TF_FASTRECOVERY: u32 = 0x0010_0000;
/// Was in fast recovery at the first timeout.
pub const TF_WASFRECOVERY: u32 = 0x0020_0000;
/// Segments carry MD5 digests (`TCP_MD5SIG`).
pub const TF_SIGNATURE: u32 = 0x0040_0000;
/// Send at least a byte, window or not.
pub const TF_FORCEDATA: u32 = 0x0080_0000;
/// The user has closed the socket.
pub const TF_CLOSED: u32 = 0x0400_0000;
/// Lost retransmissions are looked for (`net.inet.tcp.sack.lrd`).
pub const TF_LRD: u32 = 0x1000_0000;
/// In recovery from a congestion signal other than loss.
pub const TF_CONGRECOVERY: u32 = 0x2000_0000;
/// Was so at the first timeout.
pub const TF_WASCRECOVERY: u32 = 0x4000_0000;
/// Fast Open (`TCP_FASTOPEN`).
pub const TF_FASTOPEN: u32 = 0x8000_0000;

/// Either recovery (`IN_RECOVERY`).
pub const TF_RECOVERY: u32 = TF_FASTRECOVERY | TF_CONGRECOVERY;

/// The path may be a black hole.
pub const TF2_PLPMTU_BLACKHOLE: u32 = 0x0000_0001;
/// Path MTU discovery is on.
pub const TF2_PLPMTU_PMTUD: u32 = 0x0000_0002;
/// The last segment sent was of full size.
pub const TF2_PLPMTU_MAXSEGSNT: u32 = 0x0000_0004;
/// The first bytes went in both directions.
pub const TF2_FBYTES_COMPLETE: u32 = 0x0000_0400;
/// Both ends do classic ECN.
pub const TF2_ECN_PERMIT: u32 = 0x0000_0020;
/// The next data segment carries CWR.
pub const TF2_ECN_SND_CWR: u32 = 0x0000_0040;
/// Acknowledgements carry ECE.
pub const TF2_ECN_SND_ECE: u32 = 0x0000_0080;
/// Both ends do AccECN.
pub const TF2_ACE_PERMIT: u32 = 0x0000_0100;
/// Segments are so small that blocks reported by SACK are not looked at: a scoreboard of them
/// would cost more than it is worth.
pub const TF2_PROC_SACK_PROHIBIT: u32 = 0x0010_0000;
/// Acknowledgements are not checked against the initial sequence number any more.
pub const TF2_NO_ISS_CHECK: u32 = 0x0040_0000;

/// Out-of-band byte is held (`t_oobflags`).
pub const TCPOOB_HAVEDATA: u8 = 0x01;
/// Out-of-band byte was read.
pub const TCPOOB_HADDATA: u8 = 0x02;
