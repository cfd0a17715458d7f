// SPDX-License-Identifier: BSD-2-Clause
//! A TCP control block as a record of an image, and back.
//!
//! Fixed-point times are exact in nanoseconds; ticks are as [`super::ticks`] says.

use vpscore::image::SocketRef;
use vpscore::sock::{self};

use super::cc::{ccv, from_ccv};
use super::error::{Unfit, Unmovable};
use super::queues::{from_hint, from_segq, hint, scoreboard, segq};
use super::ticks::{
    RTTVAR_UNIT, SRTT_UNIT, age, ago, as_long_ticks, as_ticks, fixed, from_fixed, left, span,
};
use super::values::{errno_from, errno_of, from_seq, seq};
use crate::net::cx::SoId;
use crate::net::tcp::{ChallengeAck, SackBlk, SackHole, State, Sysctl, Tcpcb, Ticks, Timer, ticks};
use crate::time::Instant;

fn state_of(state: State) -> sock::TcpState {
    use sock::TcpState as T;
    match state {
        State::Closed => T::Closed,
        State::Listen => T::Listen,
        State::SynSent => T::SynSent,
        State::SynReceived => T::SynReceived,
        State::Established => T::Established,
        State::CloseWait => T::CloseWait,
        State::FinWait1 => T::FinWait1,
        State::Closing => T::Closing,
        State::LastAck => T::LastAck,
        State::FinWait2 => T::FinWait2,
        State::TimeWait => T::TimeWait,
    }
}

fn state_from(state: sock::TcpState) -> State {
    use sock::TcpState as T;
    match state {
        T::Closed => State::Closed,
        T::Listen => State::Listen,
        T::SynSent => State::SynSent,
        T::SynReceived => State::SynReceived,
        T::Established => State::Established,
        T::CloseWait => State::CloseWait,
        T::FinWait1 => State::FinWait1,
        T::Closing => State::Closing,
        T::LastAck => State::LastAck,
        T::FinWait2 => State::FinWait2,
        T::TimeWait => State::TimeWait,
    }
}

fn timers(tp: &Tcpcb, now: Instant) -> sock::TcpTimers {
    let left = |timer: Timer| tp.t_timers[timer as usize].map(|at| at.since(now));
    sock::TcpTimers {
        rexmt: left(Timer::Rexmt),
        persist: left(Timer::Persist),
        keep: left(Timer::Keep),
        msl2: left(Timer::Msl2),
        delack: left(Timer::Delack),
    }
}

fn from_timers(timers: &sock::TcpTimers, now: Instant) -> [Option<Instant>; 5] {
    let mut at = [None; 5];
    for (timer, left) in [
        (Timer::Rexmt, timers.rexmt),
        (Timer::Persist, timers.persist),
        (Timer::Keep, timers.keep),
        (Timer::Msl2, timers.msl2),
        (Timer::Delack, timers.delack),
    ] {
        at[timer as usize] = left.map(|left| now.after(left));
    }
    at
}

/// Fast Open: a client has a cookie to send, a server one to answer with, never both. `pending` is
/// whether the listener at which the connection counts is still there.
fn tfo(tp: &Tcpcb, pending: bool) -> Option<sock::Tfo> {
    let server = tp.t_tfo_server_cookie.to_ne_bytes();
    let cookie: &[u8] = if tp.t_tfo_client_cookie.is_empty() {
        &server
    } else {
        &tp.t_tfo_client_cookie
    };
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().zip(cookie) {
        *to = *from;
    }
    let record = sock::Tfo {
        t_tfo_client_cookie_len: tp.t_tfo_client_cookie.len().min(16) as u8,
        t_tfo_cookie: padded,
        t_tfo_pending: pending,
    };
    // Only a listener, or what may become one, counts.
    let counts = tp.t_tfo_pending_count.is_some() && may_listen(tp);
    let something = record != sock::Tfo::default() || counts;
    something.then_some(record)
}

fn may_listen(tp: &Tcpcb) -> bool {
    matches!(tp.t_state, State::Listen | State::Closed)
}

/// The record of a control block, and the bytes of its reassembly queue.
///
/// # Errors
/// [`Unmovable::NoMemory`].
pub(super) fn tcpcb_record(
    tp: &Tcpcb,
    now: Instant,
    sysctl: &Sysctl,
    listener: impl Fn(SoId) -> Option<SocketRef>,
) -> Result<(sock::Tcpcb, Vec<u8>), Unmovable> {
    let tick = ticks(now);
    let (snd_holes, sackblks) = scoreboard(tp)?;
    let (t_segq, bytes) = segq(&tp.t_segq)?;
    let badrxtwin = tp.t_badrxtwin.wrapping_sub(tick) as i32;
    let tfo_listener = tp.t_tfo_pending.and_then(listener);
    let record = sock::Tcpcb {
        t_state: state_of(tp.t_state),
        t_flags: tp.t_flags,
        t_flags2: tp.t_flags2,
        t_maxseg: tp.t_maxseg,
        t_port: tp.t_port,
        t_delayed_ack: 2,
        t_idle_reduce: true,
        t_fin_is_rst: false,
        iss: seq(tp.iss),
        irs: seq(tp.irs),
        snd_una: seq(tp.snd_una),
        snd_nxt: seq(tp.snd_nxt),
        snd_max: seq(tp.snd_max),
        snd_up: seq(tp.snd_up),
        snd_wl1: seq(tp.snd_wl1),
        snd_wl2: seq(tp.snd_wl2),
        snd_wnd: tp.snd_wnd,
        max_sndwnd: tp.max_sndwnd,
        snd_cwnd: tp.snd_cwnd,
        snd_ssthresh: tp.snd_ssthresh,
        snd_recover: seq(tp.snd_recover),
        snd_limited: tp.snd_limited.min(255) as u8,
        rcv_nxt: seq(tp.rcv_nxt),
        rcv_adv: seq(tp.rcv_adv),
        rcv_wnd: tp.rcv_wnd,
        rcv_up: seq(tp.rcv_up),
        last_ack_sent: seq(tp.last_ack_sent),
        snd_scale: tp.snd_scale,
        rcv_scale: tp.rcv_scale,
        request_r_scale: tp.request_r_scale,
        ts_recent: tp.ts_recent,
        ts_recent_age: age(tick, tp.ts_recent_age),
        ts_val: tp.ts_offset.wrapping_add(tick),
        rfbuf_ts: (tp.rfbuf_ts != 0).then_some(tp.rfbuf_ts),
        rfbuf_cnt: tp.rfbuf_cnt as i32,
        t_srtt: fixed(tp.t_srtt, SRTT_UNIT),
        t_rttvar: fixed(tp.t_rttvar, RTTVAR_UNIT),
        t_rttmin: span(tp.t_rttmin.max(0) as u32),
        t_rttlow: span(tp.t_rttlow),
        t_rttupdated: tp.t_rttupdated.min(255) as u8,
        t_rtttime: age(tick, tp.t_rtttime),
        t_rtseq: seq(tp.t_rtseq),
        t_rxtcur: span(tp.t_rxtcur.max(0) as u32),
        t_rxtshift: tp.t_rxtshift.min(255) as u8,
        snd_cwnd_prev: tp.snd_cwnd_prev,
        snd_ssthresh_prev: tp.snd_ssthresh_prev,
        snd_recover_prev: seq(tp.snd_recover_prev),
        t_badrxtwin: (tp.t_badrxtwin != 0).then(|| i64::from(badrxtwin) * 1_000_000),
        t_dupacks: tp.t_dupacks,
        snd_fack: seq(tp.snd_fack),
        snd_holes,
        sackhint: hint(tp),
        sackblks,
        t_segq,
        t_timers: timers(tp, now),
        t_rcvtime: span(tick.wrapping_sub(tp.t_rcvtime)),
        t_starttime: age(tick, tp.t_starttime),
        t_acktime: age(tick, tp.t_acktime),
        t_sndtime: age(tick, tp.t_sndtime),
        t_keepinit: span(tp.t_keepinit),
        t_keepidle: span(tp.t_keepidle),
        t_keepintvl: span(tp.t_keepintvl),
        t_keepcnt: tp.t_keepcnt,
        t_maxunacktime: span(tp.t_maxunacktime),
        t_oobflags: tp.t_oobflags,
        t_iobc: tp.t_iobc,
        t_softerror: errno_of(tp.t_softerror),
        t_pmtud_saved_maxseg: tp.t_pmtud_saved_maxseg,
        t_blackhole_enter: tp.t_blackhole_enter as i32,
        t_blackhole_exit: tp.t_blackhole_exit as i32,
        t_bytes_acked: tp.t_bytes_acked as i32,
        t_ccv: ccv(&tp.t_ccv, sysctl, tick),
        t_rcep: tp.t_rcep,
        t_scep: tp.t_scep,
        t_challenge_ack_end: left(now, tp.t_challenge_ack.end),
        t_challenge_ack_cnt: tp.t_challenge_ack.cnt,
        tfo: tfo(tp, tfo_listener.is_some()),
        signature_key: None,
        t_sndzerowin: tp.t_sndzerowin,
        t_sndrexmitpack: tp.t_sndrexmitpack,
        t_rcvoopack: tp.t_rcvoopack,
        t_sndbytes: tp.t_sndbytes,
        t_snd_rxt_bytes: 0,
        t_dsack_bytes: 0,
        t_dsack_pack: 0,
        t_fbyte_in: age(tick, tp.t_fbyte_in),
        t_fbyte_out: age(tick, tp.t_fbyte_out),
        tfo_listener,
    };
    Ok((record, bytes))
}

/// The control block of a record; `bytes` are those of its reassembly queue, `listener` the socket
/// that `tfo_listener` names.
///
/// # Errors
/// [`Unfit`].
pub(super) fn restore_tcpcb(
    record: &sock::Tcpcb,
    bytes: &[u8],
    listener: Option<SoId>,
    (sysctl, v6, now): (&Sysctl, bool, Instant),
) -> Result<Tcpcb, Unfit> {
    let mut tp = Tcpcb::new(sysctl, v6, now);
    sequences(&mut tp, record);
    congestion(&mut tp, record, ticks(now));
    times(&mut tp, record, now)?;
    tp.t_softerror = errno_from(record.t_softerror)?;
    tp.t_segq = from_segq(record, bytes)?;
    if let Some(tfo) = &record.tfo {
        let length = usize::from(tfo.t_tfo_client_cookie_len);
        if length == 0 {
            let [a, b, c, d, e, f, g, h, ..] = tfo.t_tfo_cookie;
            tp.t_tfo_server_cookie = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        } else {
            tp.t_tfo_client_cookie = tfo.t_tfo_cookie.iter().take(length).copied().collect();
        }
        tp.t_tfo_pending = listener.filter(|_| tfo.t_tfo_pending);
        if may_listen(&tp) {
            tp.t_tfo_pending_count = Some(0);
        }
    }
    Ok(tp)
}

fn sequences(tp: &mut Tcpcb, record: &sock::Tcpcb) {
    tp.t_state = state_from(record.t_state);
    tp.t_flags = record.t_flags;
    tp.t_flags2 = record.t_flags2;
    tp.t_maxseg = record.t_maxseg;
    tp.t_port = record.t_port;
    tp.iss = from_seq(record.iss);
    tp.irs = from_seq(record.irs);
    tp.snd_una = from_seq(record.snd_una);
    tp.snd_nxt = from_seq(record.snd_nxt);
    tp.snd_max = from_seq(record.snd_max);
    tp.snd_up = from_seq(record.snd_up);
    tp.snd_wl1 = from_seq(record.snd_wl1);
    tp.snd_wl2 = from_seq(record.snd_wl2);
    tp.snd_wnd = record.snd_wnd;
    tp.max_sndwnd = record.max_sndwnd;
    tp.snd_scale = record.snd_scale;
    tp.rcv_nxt = from_seq(record.rcv_nxt);
    tp.rcv_adv = from_seq(record.rcv_adv);
    tp.rcv_wnd = record.rcv_wnd;
    tp.rcv_up = from_seq(record.rcv_up);
    tp.last_ack_sent = from_seq(record.last_ack_sent);
    tp.rcv_scale = record.rcv_scale;
    tp.request_r_scale = record.request_r_scale;
    tp.rfbuf_ts = record.rfbuf_ts.unwrap_or(0);
    tp.rfbuf_cnt = record.rfbuf_cnt as u32;
    tp.ts_recent = record.ts_recent;
    tp.t_oobflags = record.t_oobflags;
    tp.t_iobc = record.t_iobc;
    tp.t_pmtud_saved_maxseg = record.t_pmtud_saved_maxseg;
    tp.t_blackhole_enter = record.t_blackhole_enter as u32;
    tp.t_blackhole_exit = record.t_blackhole_exit as u32;
    tp.t_rcep = record.t_rcep;
    tp.t_scep = record.t_scep;
    tp.t_sndzerowin = record.t_sndzerowin;
    tp.t_sndrexmitpack = record.t_sndrexmitpack;
    tp.t_rcvoopack = record.t_rcvoopack;
    tp.t_sndbytes = record.t_sndbytes;
    let block = |b: &sock::SackBlk| SackBlk {
        start: from_seq(b.start),
        end: from_seq(b.end),
    };
    tp.rcv_numsacks = 0;
    for (to, from) in tp.sackblks.iter_mut().zip(&record.sackblks) {
        *to = block(from);
        tp.rcv_numsacks += 1;
    }
    tp.snd_fack = from_seq(record.snd_fack);
    tp.snd_holes = record
        .snd_holes
        .iter()
        .map(|hole| SackHole {
            start: from_seq(hole.start),
            end: from_seq(hole.end),
            rxmit: from_seq(hole.rxmit),
        })
        .collect();
    tp.sackhint = from_hint(&record.sackhint);
}

fn congestion(tp: &mut Tcpcb, record: &sock::Tcpcb, tick: Ticks) {
    tp.snd_cwnd = record.snd_cwnd;
    tp.snd_ssthresh = record.snd_ssthresh;
    tp.snd_recover = from_seq(record.snd_recover);
    tp.snd_limited = record.snd_limited.into();
    tp.t_dupacks = record.t_dupacks;
    tp.t_bytes_acked = record.t_bytes_acked as u32;
    tp.snd_cwnd_prev = record.snd_cwnd_prev;
    tp.snd_ssthresh_prev = record.snd_ssthresh_prev;
    tp.snd_recover_prev = from_seq(record.snd_recover_prev);
    tp.t_badrxtwin = record.t_badrxtwin.map_or(0, |ahead| {
        let ahead = ahead.div_euclid(1_000_000);
        match tick.wrapping_add(ahead.clamp(i32::MIN.into(), i32::MAX.into()) as u32) {
            0 => u32::MAX,
            at => at,
        }
    });
    tp.t_ccv = from_ccv(&record.t_ccv, tick);
}

fn times(tp: &mut Tcpcb, record: &sock::Tcpcb, now: Instant) -> Result<(), Unfit> {
    let tick = ticks(now);
    tp.t_timers = from_timers(&record.t_timers, now);
    tp.ts_recent_age = ago(tick, record.ts_recent_age);
    tp.ts_offset = record.ts_val.wrapping_sub(tick);
    tp.t_srtt = from_fixed(record.t_srtt, SRTT_UNIT)?;
    tp.t_rttvar = from_fixed(record.t_rttvar, RTTVAR_UNIT)?;
    tp.t_rttmin = as_ticks(record.t_rttmin) as i32;
    tp.t_rttlow = u32::try_from(record.t_rttlow.as_millis()).unwrap_or(u32::MAX);
    tp.t_rttupdated = record.t_rttupdated.into();
    tp.t_rtttime = ago(tick, record.t_rtttime);
    tp.t_rtseq = from_seq(record.t_rtseq);
    tp.t_rxtcur = as_ticks(record.t_rxtcur) as i32;
    tp.t_rxtshift = record.t_rxtshift.into();
    let then = u32::try_from(record.t_rcvtime.as_millis()).unwrap_or(u32::MAX);
    tp.t_rcvtime = tick.wrapping_sub(then);
    tp.t_starttime = ago(tick, record.t_starttime);
    tp.t_acktime = ago(tick, record.t_acktime);
    tp.t_sndtime = ago(tick, record.t_sndtime);
    tp.t_fbyte_in = ago(tick, record.t_fbyte_in);
    tp.t_fbyte_out = ago(tick, record.t_fbyte_out);
    tp.t_keepinit = as_long_ticks(record.t_keepinit);
    tp.t_keepidle = as_long_ticks(record.t_keepidle);
    tp.t_keepintvl = as_long_ticks(record.t_keepintvl);
    tp.t_keepcnt = record.t_keepcnt;
    tp.t_maxunacktime = as_long_ticks(record.t_maxunacktime);
    tp.t_challenge_ack = ChallengeAck {
        end: record
            .t_challenge_ack_end
            .map_or(Instant::BOOT, |left| now.after(left)),
        cnt: record.t_challenge_ack_cnt,
    };
    Ok(())
}
