// SPDX-License-Identifier: BSD-2-Clause
//! The socket layer's part (`struct socket`, `socketvar.h`; `struct sockbuf`, `sockbuf.h`; 15.0).

use super::{ELAST, Inpcb, Tcpcb, check_socket};
use crate::cbor::{Bound, Bytes};
use crate::codes;
use crate::collections::List;
use crate::image::{SocketRef, UcredRef, VnetRef};
use crate::limits::{SBRECORDS_MAX, SOCKBUF_MAX, SOMAXCONN_MAX, SPAN_MAX};
use crate::record;
use crate::time::Duration;

/// `SO_ACCEPTCONN`: the socket listens.
pub const SO_ACCEPTCONN: u32 = 0x2;
/// `SBS_CANTSENDMORE`: nothing more can be sent to the peer.
pub const SBS_CANTSENDMORE: u16 = 0x10;
/// `SBS_CANTRCVMORE`: nothing more can be received from the peer.
pub const SBS_CANTRCVMORE: u16 = 0x20;
/// `SB_AUTOSIZE`: the buffer grows by itself.
pub const SB_AUTOSIZE: u16 = 0x800;

/// `SS_ISCONNECTED`: it has a peer.
pub const SS_ISCONNECTED: u16 = 0x2;

/// `SBS_CANTSENDMORE`, `SBS_CANTRCVMORE`, `SBS_RCVATMARK`.
const SBS_ALL: u64 = 0x70;
/// `SB_ASYNC`, `SB_AUTOLOWAT`, `SB_NOCOALESCE`, `SB_AUTOSIZE`.
const SB_CARRIED: u64 = 0xa50;
/// Every bit of `so_options` (15.0).
const SO_ALL: u64 = 0x0003_ffff;
/// `SS_ISCONNECTED`, `SS_ISCONNECTING`, `SS_ISDISCONNECTING`, `SS_NBIO`, `SS_ASYNC`,
/// `SS_ISDISCONNECTED`.
const SS_ALL: u64 = 0x230e;
/// Ancillary data of one record: `sockargs` takes `MCLBYTES` from a program (`uipc_syscalls.c`, 15.0), and
/// what the kernel adds is some hundred bytes.
const CONTROL_MAX: u64 = 4096;

codes! {
    /// `so_type` (`socket.h`), numbered as there.
    pub enum SoType {
        /// `SOCK_STREAM`.
        Stream = 1,
        /// `SOCK_DGRAM`.
        Dgram = 2,
        /// `SOCK_RAW`.
        Raw = 3,
        /// `SOCK_SEQPACKET`.
        Seqpacket = 5,
    }
}

codes! {
    /// `dom_family` (`socket.h`), numbered as there.
    pub enum Domain {
        /// `AF_UNIX`.
        Unix = 1,
        /// `AF_INET`.
        Inet = 2,
        /// `AF_ROUTE`.
        Route = 17,
        /// `AF_INET6`.
        Inet6 = 28,
    }
}

codes! {
    /// `so_qstate`: which queue of its listener a connection waits in.
    pub enum SoQstate {
        /// `SQ_INCOMP`: not yet complete.
        Incomp = 1024,
        /// `SQ_COMP`: waiting for `accept(2)`.
        Comp = 2048,
    }
}

codes! {
    /// Which bytes of a socket a data frame holds.
    pub enum SockStream {
        /// Those of `so_rcv`.
        Rcv = 0,
        /// Those of `so_snd`.
        Snd = 1,
        /// Those of the reassembly queue, segment after segment.
        Reass = 2,
    }
}

record! {
    /// One record of a buffer that keeps boundaries: a datagram with what was said of it.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct SbRecord {
        /// Bytes of data; they travel in the buffer's stream.
        0 => len: u32 where Bound::most(SOCKBUF_MAX as u64),
        /// The sender's address as a `sockaddr` of the image's ABI; absent where none is kept.
        1 => from: Option<Bytes> where Bound::within(2, u8::MAX as u64),
        /// Ancillary data other than descriptors, as `cmsghdr`s of the image's ABI.
        2 => control: Option<Bytes> where Bound::within(1, CONTROL_MAX),
    }
}

record! {
    /// A socket buffer (`struct sockbuf`). Its bytes travel in data frames.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Sockbuf, check = Sockbuf::consistent {
        /// `sb_state`, bits `SBS_*`.
        0 => sb_state: u16 where Bound::bits(SBS_ALL),
        /// `sb_flags`: `SB_AUTOSIZE`, `SB_AUTOLOWAT`, `SB_NOCOALESCE`, `SB_ASYNC`; the others are who
        /// waits, which the waiters themselves carry.
        1 => sb_flags: u16 where Bound::bits(SB_CARRIED),
        /// `sb_ccc`: bytes of data in the buffer.
        2 => sb_ccc: u32 where Bound::most(SOCKBUF_MAX as u64),
        /// `sb_hiwat`: the most it may hold.
        3 => sb_hiwat: u32 where Bound::most(SOCKBUF_MAX as u64),
        /// `sb_lowat`: how much makes it readable or writable.
        4 => sb_lowat: u32,
        /// `sb_mbmax`: the most mbuf storage it may use, bytes.
        5 => sb_mbmax: u32,
        /// `sb_timeo`: how long a call waits; zero is for ever.
        6 => sb_timeo: Duration where Bound::span(SPAN_MAX),
        /// Records, where the protocol keeps boundaries; empty for a stream.
        7 => records: List<SbRecord> where Bound::most(SBRECORDS_MAX as u64),
    }
}

impl Sockbuf {
    fn consistent(&self) -> Result<(), u64> {
        // sbreserve_locked lowers the low mark to the high one (uipc_sockbuf.c).
        if self.sb_lowat > self.sb_hiwat {
            return Err(Self::sb_lowat);
        }
        let mut sum = 0_u64;
        for record in &self.records {
            sum = sum.saturating_add(u64::from(record.len));
        }
        if !self.records.is_empty() && sum != u64::from(self.sb_ccc) {
            return Err(Self::records);
        }
        Ok(())
    }
}

record! {
    /// What only a listening socket has (`sol_*`). The connections in its queues are sockets of
    /// their own that name it in `so_listen`, in the order of the queue.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Listen, check = Listen::marks_below {
        /// `sol_qlimit`: the backlog.
        0 => sol_qlimit: u32 where Bound::most(SOMAXCONN_MAX as u64),
        /// `sol_accept_filter`: its name; absent for none.
        1 => accept_filter: Option<Bytes> where Bound::within(1, 15),
        /// `sol_accept_filter_str`: its argument.
        2 => accept_filter_arg: Option<Bytes> where Bound::most(239),
        /// `sol_sbrcv_hiwat`, given to connections.
        3 => sbrcv_hiwat: u32 where Bound::most(SOCKBUF_MAX as u64),
        /// `sol_sbsnd_hiwat`, likewise.
        4 => sbsnd_hiwat: u32 where Bound::most(SOCKBUF_MAX as u64),
        /// `sol_sbrcv_lowat`, likewise.
        5 => sbrcv_lowat: u32,
        /// `sol_sbsnd_lowat`, likewise.
        6 => sbsnd_lowat: u32,
        /// `sol_sbrcv_flags`, likewise.
        7 => sbrcv_flags: u16 where Bound::bits(SB_CARRIED),
        /// `sol_sbsnd_flags`, likewise.
        8 => sbsnd_flags: u16 where Bound::bits(SB_CARRIED),
        /// `sol_sbrcv_timeo`, likewise.
        9 => sbrcv_timeo: Duration where Bound::span(SPAN_MAX),
        /// `sol_sbsnd_timeo`, likewise.
        10 => sbsnd_timeo: Duration where Bound::span(SPAN_MAX),
        /// `sol_overcount`: connections dropped since the last message about it.
        11 => sol_overcount: u32,
    }
}

impl Listen {
    fn marks_below(&self) -> Result<(), u64> {
        if self.sbrcv_lowat > self.sbrcv_hiwat {
            return Err(Self::sbrcv_lowat);
        }
        if self.sbsnd_lowat > self.sbsnd_hiwat {
            return Err(Self::sbsnd_lowat);
        }
        Ok(())
    }
}

record! {
    /// A socket with its control blocks.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Socket, check = check_socket::socket {
        /// `so_vnet`.
        0 => so_vnet: VnetRef,
        /// `so_proto->pr_domain`.
        1 => domain: Domain,
        /// `so_type`.
        2 => so_type: SoType,
        /// `so_proto->pr_protocol`: `IPPROTO_TCP` and so on; 0 for the domain's only one.
        3 => protocol: u8,
        /// `so_options`, bits `SO_*`.
        4 => so_options: u32 where Bound::bits(SO_ALL),
        /// `so_state`, bits `SS_*`.
        5 => so_state: u16 where Bound::bits(SS_ALL),
        /// `so_linger`, seconds.
        6 => so_linger: i16,
        /// `so_error`: an errno of FreeBSD to be reported; 0 for none.
        7 => so_error: u16 where Bound::most(ELAST),
        /// `so_rerror`: likewise, to receivers.
        8 => so_rerror: u16 where Bound::most(ELAST),
        /// `so_cred`.
        9 => so_cred: UcredRef,
        /// `so_sigio`: to whom `SIGIO` goes, a pid as the image's root instance sees it, or a
        /// process group as its negative; absent for none.
        10 => so_sigio: Option<i32>,
        /// `so_fibnum`: the routing table.
        11 => so_fibnum: u16,
        /// `so_user_cookie`.
        12 => so_user_cookie: u32,
        /// `so_ts_clock`: the clock of `SO_TIMESTAMP`.
        13 => so_ts_clock: u8 where Bound::most(3),
        /// `so_max_pacing_rate`, bytes a second; 0 for none.
        14 => so_max_pacing_rate: u32,
        /// `so_oobmark`: bytes to the mark of urgent data; 0 for none.
        15 => so_oobmark: u32 where Bound::most(SOCKBUF_MAX as u64),
        /// `so_listen`: the listener in whose queue it waits.
        16 => so_listen: Option<SocketRef>,
        /// `so_qstate`: in which queue.
        17 => so_qstate: Option<SoQstate>,
        /// `so_rcv`; absent while listening.
        18 => so_rcv: Option<Sockbuf>,
        /// `so_snd`; absent while listening.
        19 => so_snd: Option<Sockbuf>,
        /// What a listening socket has.
        20 => listen: Option<Listen>,
        /// The internet control block; absent in other domains.
        21 => inpcb: Option<Inpcb>,
        /// The TCP control block; absent for other protocols.
        22 => tcpcb: Option<Tcpcb>,
        /// Whether an open file holds it; absent where the files of the image say that alone.
        128 => so_fdref: Option<bool>,
    }
}

impl Socket {
    /// How many bytes its data frames hold in `stream`.
    pub fn stream_len(&self, stream: SockStream) -> u64 {
        match stream {
            SockStream::Rcv => self.so_rcv.as_ref().map_or(0, |sb| u64::from(sb.sb_ccc)),
            SockStream::Snd => self.so_snd.as_ref().map_or(0, |sb| u64::from(sb.sb_ccc)),
            SockStream::Reass => {
                let queue = self.tcpcb.iter().flat_map(|tp| tp.t_segq.iter());
                queue.fold(0_u64, |sum, q| sum.saturating_add(u64::from(q.tqe_len)))
            }
        }
    }
}
