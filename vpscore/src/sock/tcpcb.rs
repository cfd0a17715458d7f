// SPDX-License-Identifier: BSD-2-Clause
//! The TCP control block: all that the default stack of FreeBSD 15.0 needs to go on with a
//! connection (`struct tcpcb`, `tcp_var.h`), under its own names.
//!
//! # Units
//! Ticks and absolute times of the source mean nothing on the target. Every moment is a span
//! from the snapshot: an *age* where it lies behind, a *remainder* where it lies ahead. Spans in
//! ticks are nanoseconds here (at 1000 Hz `t_srtt`, kept in 1/32 tick, is a multiple of 31250).
//!
//! # Left out, and why
//! Counters that only statistics read by other stacks use (`gput_*`, `t_stats`, `t_log*`,
//! `t_end_info*`, `t_tcpreq_*`), offload (`tod`, `t_toe`), the pacing wheel (`t_hpts*`) and fields that
//! are derived here (`t_segqlen`, `t_segqmbuflen`, `rcv_numsacks`, `snd_numholes`).

use super::cc::CcVar;
use super::{
    ELAST, IP_MAXPACKET, MAX_SACK_BLKS, Seq, TCP_FASTOPEN_MAX_COOKIE_LEN, TCP_KEYLEN_MAX,
    TCP_MAX_WINSHIFT, TCP_MAXRXTSHIFT, TCP_WIN_MAX, check,
};
use crate::cbor::Bound;
use crate::codes;
use crate::collections::List;
use crate::image::SocketRef;
use crate::limits::{SPAN_MAX, TCP_HOLES_MAX, TCP_SEGQ_MAX};
use crate::record;
use crate::time::Duration;

codes! {
    /// `t_state` (`tcp_fsm.h`), numbered as there.
    pub enum TcpState {
        /// `TCPS_CLOSED`.
        Closed = 0,
        /// `TCPS_LISTEN`.
        Listen = 1,
        /// `TCPS_SYN_SENT`.
        SynSent = 2,
        /// `TCPS_SYN_RECEIVED`.
        SynReceived = 3,
        /// `TCPS_ESTABLISHED`.
        Established = 4,
        /// `TCPS_CLOSE_WAIT`.
        CloseWait = 5,
        /// `TCPS_FIN_WAIT_1`.
        FinWait1 = 6,
        /// `TCPS_CLOSING`.
        Closing = 7,
        /// `TCPS_LAST_ACK`.
        LastAck = 8,
        /// `TCPS_FIN_WAIT_2`.
        FinWait2 = 9,
        /// `TCPS_TIME_WAIT`.
        TimeWait = 10,
    }
}

impl TcpState {
    /// `TCPS_HAVERCVDFIN`: the peer's FIN has been received in order.
    pub const fn have_rcvd_fin(self) -> bool {
        matches!(
            self,
            Self::CloseWait | Self::Closing | Self::LastAck | Self::TimeWait
        )
    }

    /// `TCPS_HAVEESTABLISHED`: the handshake is over.
    pub const fn have_established(self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Listen | Self::SynSent | Self::SynReceived
        )
    }

    /// `t_state > TCPS_CLOSE_WAIT`: this side has closed.
    pub const fn have_closed(self) -> bool {
        self.have_established() && !matches!(self, Self::Established | Self::CloseWait)
    }
}

record! {
    /// A hole in what the peer has acknowledged (`struct sackhole`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SackHole {
        /// `start`: its first sequence number.
        0 => start: Seq,
        /// `end`: the sequence number after its last.
        1 => end: Seq,
        /// `rxmit`: what to retransmit next within it; beyond it where all was, and lost
        /// retransmissions are looked for from there on.
        2 => rxmit: Seq,
    }
}

record! {
    /// A block of received data that is out of order (`struct sackblk`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SackBlk {
        /// `start`: its first sequence number.
        0 => start: Seq,
        /// `end`: the sequence number after its last.
        1 => end: Seq,
    }
}

record! {
    /// `struct sackhint`: sums over the scoreboard, and proportional rate reduction (RFC 6937).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SackHint {
        /// `nexthole`: the index in `snd_holes` of the next hole to send from; absent for none.
        0 => nexthole: Option<u32>,
        /// `sack_bytes_rexmit`: bytes of holes retransmitted.
        1 => sack_bytes_rexmit: i32 where Bound::within(0, TCP_WIN_MAX as u64),
        /// `last_sack_ack`: the most recent or largest selective acknowledgement.
        2 => last_sack_ack: Seq,
        /// `delivered_data`: bytes that the last SACK newly acknowledged.
        3 => delivered_data: i32 where Bound::within(0, TCP_WIN_MAX as u64),
        /// `sacked_bytes`: all bytes that the peer reported by SACK.
        4 => sacked_bytes: i32 where Bound::within(0, TCP_WIN_MAX as u64),
        /// `recover_fs`: bytes in flight when recovery began.
        5 => recover_fs: u32,
        /// `prr_delivered`: bytes delivered during recovery.
        6 => prr_delivered: u32,
        /// `prr_out`: bytes sent during recovery.
        7 => prr_out: u32,
        /// `hole_bytes`: bytes in the holes.
        8 => hole_bytes: i32 where Bound::within(0, TCP_WIN_MAX as u64),
        /// `lost_bytes`: bytes that RFC 6675 counts as lost.
        9 => lost_bytes: i32 where Bound::within(0, TCP_WIN_MAX as u64),
    }
}

record! {
    /// A segment of the reassembly queue (`struct tseg_qent`). Its bytes travel in the stream
    /// [`SockStream::Reass`](super::SockStream::Reass), one segment after the other.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Tseg {
        /// `tqe_start`: its first sequence number.
        0 => tqe_start: Seq,
        /// `tqe_len`: its bytes.
        1 => tqe_len: u32 where Bound::most(TCP_WIN_MAX as u64),
        /// `tqe_flags`: the TCP header's flags. With `TH_URG` the last byte was taken out as urgent
        /// data: it has its place here and its sequence number, but is not presented.
        2 => tqe_flags: u16 where Bound::bits(TH_ALL),
    }
}

record! {
    /// `t_timers`: what remains of each timer that runs. A remainder of zero fires at once.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TcpTimers {
        /// `TT_REXMT`: retransmission.
        0 => rexmt: Option<Duration> where Bound::span(SPAN_MAX),
        /// `TT_PERSIST`: window probes.
        1 => persist: Option<Duration> where Bound::span(SPAN_MAX),
        /// `TT_KEEP`: keep-alive, or the time allowed for connecting.
        2 => keep: Option<Duration> where Bound::span(SPAN_MAX),
        /// `TT_2MSL`: the end of TIME-WAIT or of FIN-WAIT-2.
        3 => msl2: Option<Duration> where Bound::span(SPAN_MAX),
        /// `TT_DELACK`: the delayed acknowledgement.
        4 => delack: Option<Duration> where Bound::span(SPAN_MAX),
    }
}

record! {
    /// TCP Fast Open of one connection (RFC 7413).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Tfo {
        /// `t_tfo_client_cookie_len`: bytes of the cookie that the client sends; 0 to request one.
        0 => t_tfo_client_cookie_len: u8 where Bound::most(TCP_FASTOPEN_MAX_COOKIE_LEN as u64),
        /// `t_tfo_cookie`: the client's cookie (the server's in its first 8 bytes), zero-padded.
        1 => t_tfo_cookie: [u8; 16],
        /// `t_tfo_pending`: whether the connection counts as pending at its listener.
        2 => t_tfo_pending: bool,
    }
}

record! {
    /// The state of one TCP connection.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Tcpcb, check = check::tcpcb {
        /// `t_state`.
        0 => t_state: TcpState,
        /// `t_flags`, bits `TF_*`.
        1 => t_flags: u32 where Bound::bits(TF_AT_REST as u64),
        /// `t_flags2`, bits `TF2_*`.
        2 => t_flags2: u32 where Bound::bits(TF2_ALL),
        /// `t_maxseg`: the largest segment to send, options excluded, bytes.
        3 => t_maxseg: u32 where Bound::within(1, IP_MAXPACKET),
        /// `t_port`: the peer's UDP encapsulation port (RFC 6951), host order; 0 for none.
        4 => t_port: u16,
        /// `t_delayed_ack`: segments to acknowledge with one.
        5 => t_delayed_ack: u8 where Bound::most(0x7f),
        /// `t_idle_reduce`: whether the window shrinks after idleness.
        6 => t_idle_reduce: bool,
        /// `t_fin_is_rst`: whether a FIN counts as a reset.
        7 => t_fin_is_rst: bool,
        /// `iss`: the initial send sequence number.
        8 => iss: Seq,
        /// `irs`: the initial receive sequence number.
        9 => irs: Seq,
        /// `snd_una`: sent, unacknowledged.
        10 => snd_una: Seq,
        /// `snd_nxt`: to send next.
        11 => snd_nxt: Seq,
        /// `snd_max`: the highest sent.
        12 => snd_max: Seq,
        /// `snd_up`: the send urgent pointer.
        13 => snd_up: Seq,
        /// `snd_wl1`: the segment's sequence number at the last window update.
        14 => snd_wl1: Seq,
        /// `snd_wl2`: the segment's acknowledgement at the last window update.
        15 => snd_wl2: Seq,
        /// `snd_wnd`: the peer's window, bytes.
        16 => snd_wnd: u32 where Bound::most(TCP_WIN_MAX as u64),
        /// `max_sndwnd`: the largest the peer offered, bytes.
        17 => max_sndwnd: u32 where Bound::most(TCP_WIN_MAX as u64),
        /// `snd_cwnd`: the congestion window, bytes.
        18 => snd_cwnd: u32,
        /// `snd_ssthresh`: the slow start threshold, bytes.
        19 => snd_ssthresh: u32,
        /// `snd_recover`: the highest sent when recovery began.
        20 => snd_recover: Seq,
        /// `snd_limited`: segments sent by limited transmit.
        21 => snd_limited: u8,
        /// `rcv_nxt`: to receive next.
        22 => rcv_nxt: Seq,
        /// `rcv_adv`: the right edge of the window advertised.
        23 => rcv_adv: Seq,
        /// `rcv_wnd`: the receive window, bytes.
        24 => rcv_wnd: u32 where Bound::most(TCP_WIN_MAX as u64),
        /// `rcv_up`: the receive urgent pointer.
        25 => rcv_up: Seq,
        /// `last_ack_sent`: the last acknowledgement sent.
        26 => last_ack_sent: Seq,
        /// `snd_scale`: the shift of the peer's windows.
        27 => snd_scale: u8 where Bound::most(TCP_MAX_WINSHIFT as u64),
        /// `rcv_scale`: the shift of our windows.
        28 => rcv_scale: u8 where Bound::most(TCP_MAX_WINSHIFT as u64),
        /// `request_r_scale`: the shift that we ask for.
        29 => request_r_scale: u8 where Bound::most(TCP_MAX_WINSHIFT as u64),
        /// `ts_recent`: the peer's timestamp to echo.
        30 => ts_recent: u32,
        /// `ts_recent_age`: the age of `ts_recent`; absent where it was never set.
        31 => ts_recent_age: Option<Duration> where Bound::span(SPAN_MAX),
        /// The timestamp that a segment sent at the snapshot would carry. It stands for `ts_offset`,
        /// which the target chooses so that its own clock goes on from here.
        32 => ts_val: u32,
        /// `rfbuf_ts`: the timestamp, as the peer sees them, at which the measurement of the receive
        /// buffer's growth began; absent where none runs.
        33 => rfbuf_ts: Option<u32>,
        /// `rfbuf_cnt`: bytes received since then.
        34 => rfbuf_cnt: i32,
        /// `t_srtt`: the smoothed round-trip time, nanoseconds; zero where there is no sample. Negative
        /// where the timestamps of a peer made it wrap.
        35 => t_srtt: i64 where Bound::within(-SPAN_NANOS, SPAN_MAX.as_nanos()),
        /// `t_rttvar`: its variance, nanoseconds, likewise.
        36 => t_rttvar: i64 where Bound::within(-SPAN_NANOS, SPAN_MAX.as_nanos()),
        /// `t_rttmin`: the least retransmission timeout.
        37 => t_rttmin: Duration where Bound::span(SPAN_MAX),
        /// `t_rttlow`: the smallest round-trip time seen; zero for none.
        38 => t_rttlow: Duration where Bound::span(SPAN_MAX),
        /// `t_rttupdated`: samples taken.
        39 => t_rttupdated: u8,
        /// `t_rtttime`: how long the running measurement has run; absent where none runs.
        40 => t_rtttime: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_rtseq`: the sequence number being timed.
        41 => t_rtseq: Seq,
        /// `t_rxtcur`: the current retransmission timeout.
        42 => t_rxtcur: Duration where Bound::span(SPAN_MAX),
        /// `t_rxtshift`: how often it was doubled.
        43 => t_rxtshift: u8 where Bound::most(TCP_MAXRXTSHIFT as u64),
        /// `snd_cwnd_prev`: `snd_cwnd` before the retransmission.
        44 => snd_cwnd_prev: u32,
        /// `snd_ssthresh_prev`: `snd_ssthresh` likewise.
        45 => snd_ssthresh_prev: u32,
        /// `snd_recover_prev`: `snd_recover` likewise.
        46 => snd_recover_prev: Seq,
        /// `t_badrxtwin`: the moment until which an acknowledgement shows that the retransmission
        /// was needless, nanoseconds from the snapshot, negative behind it; absent for 0.
        47 => t_badrxtwin: Option<i64> where Bound::within(-SPAN_NANOS, SPAN_MAX.as_nanos()),
        /// `t_dupacks`: duplicate acknowledgements in a row.
        48 => t_dupacks: u32,
        /// `snd_fack`: the sequence number after the highest that the peer reported by SACK.
        49 => snd_fack: Seq,
        /// `snd_holes`: the scoreboard, by increasing sequence number.
        50 => snd_holes: List<SackHole> where Bound::most(TCP_HOLES_MAX as u64),
        /// `sackhint`.
        51 => sackhint: SackHint,
        /// `sackblks`: blocks to report, the most recent first, at most `MAX_SACK_BLKS`.
        52 => sackblks: List<SackBlk> where Bound::most(MAX_SACK_BLKS as u64),
        /// `t_segq`: segments received out of order, by increasing sequence number.
        53 => t_segq: List<Tseg> where Bound::most(TCP_SEGQ_MAX as u64),
        /// `t_timers`.
        54 => t_timers: TcpTimers,
        /// `t_rcvtime`: how long ago a segment was received.
        55 => t_rcvtime: Duration where Bound::span(SPAN_MAX),
        /// `t_starttime`: how long ago the connection was established; absent before.
        56 => t_starttime: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_acktime`: how long ago new data was acknowledged; absent for 0.
        57 => t_acktime: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_sndtime`: how long ago data was last sent; absent for 0.
        58 => t_sndtime: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_keepinit`: the time allowed for connecting; zero is the vnet's.
        59 => t_keepinit: Duration where Bound::span(SPAN_MAX),
        /// `t_keepidle`: idleness before the first probe; zero is the vnet's.
        60 => t_keepidle: Duration where Bound::span(SPAN_MAX),
        /// `t_keepintvl`: time between probes; zero is the vnet's.
        61 => t_keepintvl: Duration where Bound::span(SPAN_MAX),
        /// `t_keepcnt`: probes before giving up; 0 is the vnet's.
        62 => t_keepcnt: u32,
        /// `t_maxunacktime`: the longest time without acknowledged progress; zero is the vnet's.
        63 => t_maxunacktime: Duration where Bound::span(SPAN_MAX),
        /// `t_oobflags`, bits `TCPOOB_*`.
        64 => t_oobflags: u8 where Bound::bits(TCPOOB_ALL),
        /// `t_iobc`: the byte of urgent data.
        65 => t_iobc: u8,
        /// `t_softerror`: an error not yet reported, an errno of FreeBSD; 0 for none.
        66 => t_softerror: u16 where Bound::most(ELAST),
        /// `t_pmtud_saved_maxseg`: `t_maxseg` before the search for a black hole.
        67 => t_pmtud_saved_maxseg: u32 where Bound::most(IP_MAXPACKET),
        /// `t_blackhole_enter`: retransmissions before the search begins.
        68 => t_blackhole_enter: i32,
        /// `t_blackhole_exit`: retransmissions before it ends.
        69 => t_blackhole_exit: i32,
        /// `t_bytes_acked`: bytes acknowledged during this round trip (RFC 3465).
        70 => t_bytes_acked: i32,
        /// `t_cc` and `t_ccv`.
        71 => t_ccv: CcVar,
        /// `t_rcep`: received segments with a congestion mark.
        72 => t_rcep: u32,
        /// `t_scep`: marks that the peer has counted for us.
        73 => t_scep: u32,
        /// `t_challenge_ack_end`: what remains of the epoch of challenge ACKs; absent for none.
        74 => t_challenge_ack_end: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_challenge_ack_cnt`: challenge ACKs sent in it.
        75 => t_challenge_ack_cnt: u32,
        /// TCP Fast Open; absent where the connection has nothing of it.
        76 => tfo: Option<Tfo>,
        /// The key of TCP MD5 signatures (RFC 2385), which FreeBSD keeps in its security
        /// associations, where the connection has its own.
        77 => signature_key: Option<crate::cbor::Bytes> where Bound::within(1, TCP_KEYLEN_MAX as u64),
        /// `t_sndzerowin`: zero-window updates sent.
        78 => t_sndzerowin: u32,
        /// `t_sndrexmitpack`: segments retransmitted.
        79 => t_sndrexmitpack: u32,
        /// `t_rcvoopack`: segments received out of order.
        80 => t_rcvoopack: u32,
        /// `t_sndbytes`: bytes sent.
        81 => t_sndbytes: u64,
        /// `t_snd_rxt_bytes`: bytes retransmitted.
        82 => t_snd_rxt_bytes: u64,
        /// `t_dsack_bytes`: bytes that the peer reported as duplicates.
        83 => t_dsack_bytes: u32,
        /// `t_dsack_pack`: how often it did.
        84 => t_dsack_pack: u32,
        /// `t_fbyte_in`: how long ago the first byte was received; absent before.
        85 => t_fbyte_in: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_fbyte_out`: how long ago the first byte was sent; absent before.
        86 => t_fbyte_out: Option<Duration> where Bound::span(SPAN_MAX),
        /// `t_tfo_pending`: the listener at which the connection counts as pending.
        128 => tfo_listener: Option<SocketRef>,
    }
}

/// What there is of `t_flags` at rest, that is, while the pcb is unlocked: `TF_WAKESOR`,
/// `TF_MORETOCOME` and `TF_FORCEDATA` last as long as one call, and what `TF_TOE` says is not in the
/// kernel.
const TF_AT_REST: u32 = !(TF_TOE | 0x4000 | 0x0001_0000 | 0x0080_0000);
/// Every bit of `t_flags2` (15.0).
const TF2_ALL: u64 = 0x007f_ffff;
/// `TCPOOB_HAVEDATA`, `TCPOOB_HADDATA`.
const TCPOOB_ALL: u64 = 0x3;
/// Every flag of a TCP header (RFC 9293, section 3.1; RFC 9768).
const TH_ALL: u64 = 0x1ff;
/// [`SPAN_MAX`], to be negated.
#[allow(clippy::cast_possible_wrap, reason = "below 2^63")]
const SPAN_NANOS: i64 = SPAN_MAX.as_nanos() as i64;

/// `TF_ACKNOW`: acknowledge at once.
pub const TF_ACKNOW: u32 = 0x1;
/// `TF_DELACK`: an acknowledgement is owed, but delayed.
pub const TF_DELACK: u32 = 0x2;
/// `TF_SENTFIN`: the FIN has been sent.
pub const TF_SENTFIN: u32 = 0x10;
/// `TF_REQ_SCALE`: window scaling was or will be asked for.
pub const TF_REQ_SCALE: u32 = 0x20;
/// `TF_RCVD_SCALE`: the peer asked for window scaling.
pub const TF_RCVD_SCALE: u32 = 0x40;
/// `TF_SACK_PERMIT`: the peer permits SACK.
pub const TF_SACK_PERMIT: u32 = 0x200;
/// `TF_NEEDSYN`: a SYN is still to be sent.
pub const TF_NEEDSYN: u32 = 0x400;
/// `TF_NEEDFIN`: a FIN is still to be sent.
pub const TF_NEEDFIN: u32 = 0x800;
/// `TF_FASTRECOVERY`: in fast recovery.
pub const TF_FASTRECOVERY: u32 = 0x0010_0000;
/// `TF_CONGRECOVERY`: in recovery from a congestion mark.
pub const TF_CONGRECOVERY: u32 = 0x2000_0000;
/// `TF_SIGNATURE`: segments carry MD5 digests.
pub const TF_SIGNATURE: u32 = 0x0040_0000;
/// `TF_TOE`: the connection is offloaded to hardware, so its state is not in the kernel.
pub const TF_TOE: u32 = 0x0200_0000;
/// `TF_LRD`: lost retransmissions are looked for.
pub const TF_LRD: u32 = 0x1000_0000;
/// `TF_FASTOPEN`: TCP Fast Open.
pub const TF_FASTOPEN: u32 = 0x8000_0000;
