// SPDX-License-Identifier: BSD-2-Clause
//! What no kernel could be in. Each rule returns the key of the field that breaks it.
//!
//! An image is hostile: a restored connection must not make the target send outside its window,
//! read data that it does not have, or hold more than its limits. The rules are relations that
//! `tcp_input.c`, `tcp_output.c`, `tcp_sack.c` and `tcp_reass.c` (15.0) keep at rest, that is,
//! whenever the pcb is unlocked. Fields that only tune behaviour are left to their types.

use super::TCP_WIN_MAX;
use super::socket::{SBS_CANTRCVMORE, SBS_CANTSENDMORE, SO_ACCEPTCONN, Socket};
use super::tcpcb::{
    SackHint, TF_FASTOPEN, TF_LRD, TF_RCVD_SCALE, TF_REQ_SCALE, TF_SACK_PERMIT, TF_SENTFIN,
    TF_SIGNATURE, TF_TOE, TcpState, Tcpcb, Tfo,
};
use super::{MAX_SACK_BLKS, TCP_FASTOPEN_MAX_COOKIE_LEN, TCP_MAX_WINSHIFT, TCP_MAXRXTSHIFT};
use crate::limits::{TCP_HOLES_MAX, TCP_SEGQ_MAX};

pub(super) fn tfo(tfo: &Tfo) -> Result<(), u64> {
    let length = usize::from(tfo.t_tfo_client_cookie_len);
    if length > TCP_FASTOPEN_MAX_COOKIE_LEN {
        return Err(Tfo::t_tfo_client_cookie_len);
    }
    Ok(())
}

pub(super) fn tcpcb(tp: &Tcpcb) -> Result<(), u64> {
    if tp.t_state == TcpState::Closed && tp.t_timers != super::TcpTimers::default() {
        return Err(Tcpcb::t_timers);
    }
    options(tp)?;
    timers(tp)?;
    if tp.t_state == TcpState::Listen || tp.t_state == TcpState::Closed {
        return without_peer(tp);
    }
    send_space(tp)?;
    receive_space(tp)?;
    scoreboard(tp)?;
    reassembly(tp)
}

/// Without a peer nothing has been received or reported.
fn without_peer(tp: &Tcpcb) -> Result<(), u64> {
    for (empty, key) in [
        (tp.snd_holes.is_empty(), Tcpcb::snd_holes),
        (tp.sackblks.is_empty(), Tcpcb::sackblks),
        (tp.t_segq.is_empty(), Tcpcb::t_segq),
        (tp.sackhint.nexthole.is_none(), Tcpcb::sackhint),
    ] {
        if !empty {
            return Err(key);
        }
    }
    Ok(())
}

fn options(tp: &Tcpcb) -> Result<(), u64> {
    if tp.t_flags & TF_TOE != 0 {
        return Err(Tcpcb::t_flags);
    }
    if tp.t_maxseg == 0 || tp.t_maxseg > 0xffff {
        return Err(Tcpcb::t_maxseg);
    }
    if tp.t_delayed_ack > 0x7f {
        return Err(Tcpcb::t_delayed_ack);
    }
    // Both sides asked, or windows are not scaled (RFC 7323, section 2.2).
    let scaled = tp.t_flags & TF_RCVD_SCALE != 0 && tp.t_flags & TF_REQ_SCALE != 0;
    let established = tp.t_state.have_established();
    for (scale, key) in [
        (tp.snd_scale, Tcpcb::snd_scale),
        (tp.rcv_scale, Tcpcb::rcv_scale),
    ] {
        if scale > TCP_MAX_WINSHIFT || (established && !scaled && scale != 0) {
            return Err(key);
        }
    }
    if tp.request_r_scale > TCP_MAX_WINSHIFT {
        return Err(Tcpcb::request_r_scale);
    }
    if tp.t_flags & TF_FASTOPEN == 0 && tp.tfo.is_some_and(|tfo| tfo.t_tfo_pending) {
        return Err(Tcpcb::tfo);
    }
    if let Some(key) = &tp.signature_key
        && (tp.t_flags & TF_SIGNATURE == 0 || key.is_empty() || key.len() > super::TCP_KEYLEN_MAX)
    {
        return Err(Tcpcb::signature_key);
    }
    Ok(())
}

fn timers(tp: &Tcpcb) -> Result<(), u64> {
    let timers = &tp.t_timers;
    // tcp_setpersist panics where the retransmission timer runs (tcp_output.c).
    if timers.rexmt.is_some() && timers.persist.is_some() {
        return Err(Tcpcb::t_timers);
    }
    if timers.msl2.is_some() && !matches!(tp.t_state, TcpState::FinWait2 | TcpState::TimeWait) {
        return Err(Tcpcb::t_timers);
    }
    if tp.t_state == TcpState::Listen && *timers != super::TcpTimers::default() {
        return Err(Tcpcb::t_timers);
    }
    // Without its timer TIME-WAIT would last for ever.
    if tp.t_state == TcpState::TimeWait && timers.msl2.is_none() {
        return Err(Tcpcb::t_timers);
    }
    if tp.t_rxtshift > TCP_MAXRXTSHIFT {
        return Err(Tcpcb::t_rxtshift);
    }
    Ok(())
}

fn send_space(tp: &Tcpcb) -> Result<(), u64> {
    // After a retransmission timeout snd_nxt goes back to snd_una; never behind it.
    if !tp.snd_una.at_most(tp.snd_nxt) || !tp.snd_nxt.at_most(tp.snd_max) {
        return Err(Tcpcb::snd_nxt);
    }
    if !tp.snd_una.at_most(tp.snd_max) {
        return Err(Tcpcb::snd_max);
    }
    let before_sync = matches!(tp.t_state, TcpState::SynSent | TcpState::SynReceived);
    if before_sync && tp.snd_una != tp.iss {
        return Err(Tcpcb::snd_una);
    }
    // A FIN that was sent was sent by somebody who has closed.
    if tp.t_flags & TF_SENTFIN != 0 && !tp.t_state.have_closed() && !before_sync {
        return Err(Tcpcb::t_flags);
    }
    if tp.snd_wnd > TCP_WIN_MAX {
        return Err(Tcpcb::snd_wnd);
    }
    if tp.max_sndwnd > TCP_WIN_MAX {
        return Err(Tcpcb::max_sndwnd);
    }
    Ok(())
}

fn receive_space(tp: &Tcpcb) -> Result<(), u64> {
    if tp.t_state == TcpState::SynSent {
        return Ok(());
    }
    if tp.rcv_wnd > TCP_WIN_MAX {
        return Err(Tcpcb::rcv_wnd);
    }
    // The peer's FIN may stand one past the window advertised.
    let ahead = tp.rcv_adv.since(tp.rcv_nxt);
    if ahead < -1 || ahead.unsigned_abs() > TCP_WIN_MAX {
        return Err(Tcpcb::rcv_adv);
    }
    if !tp.last_ack_sent.at_most(tp.rcv_nxt) {
        return Err(Tcpcb::last_ack_sent);
    }
    Ok(())
}

fn scoreboard(tp: &Tcpcb) -> Result<(), u64> {
    if tp.sackblks.len() > MAX_SACK_BLKS {
        return Err(Tcpcb::sackblks);
    }
    if tp.sackblks.iter().any(|b| !b.start.before(b.end)) {
        return Err(Tcpcb::sackblks);
    }
    if tp.snd_holes.len() > TCP_HOLES_MAX {
        return Err(Tcpcb::snd_holes);
    }
    if tp.t_flags & TF_SACK_PERMIT == 0 && !tp.snd_holes.is_empty() {
        return Err(Tcpcb::snd_holes);
    }
    // A retransmission that may be lost again waits for what was sent after it: tcp_output.c sets
    // rxmit to snd_recover, which an ECN mark puts one past snd_max.
    let lrd = tp.t_flags & TF_LRD != 0;
    let mut floor = tp.snd_una;
    for (index, hole) in tp.snd_holes.iter().enumerate() {
        // Two holes with nothing acknowledged between them would be one.
        let apart = index == 0 || floor.before(hole.start);
        let ordered = floor.at_most(hole.start)
            && hole.start.before(hole.end)
            && hole.start.at_most(hole.rxmit)
            && (hole.rxmit.at_most(hole.end) || (lrd && hole.rxmit.at_most(tp.snd_max.plus(1))))
            && hole.end.at_most(tp.snd_max);
        if !apart || !ordered {
            return Err(Tcpcb::snd_holes);
        }
        floor = hole.end;
    }
    if let Some(last) = tp.snd_holes.iter().next_back() {
        // What was never reported missing is behind nothing that was: the last hole alone may be the
        // one of a rescue retransmission (tcp_sack_partialack).
        let reported = floor.at_most(tp.snd_fack);
        let rescue = tp.snd_fack.at_most(last.start);
        if !(reported || rescue) || !tp.snd_fack.at_most(tp.snd_max) {
            return Err(Tcpcb::snd_fack);
        }
    }
    hint(tp, &tp.sackhint)
}

fn hint(tp: &Tcpcb, hint: &SackHint) -> Result<(), u64> {
    let next = hint.nexthole.map(usize::try_from);
    match next {
        None => Ok(()),
        Some(Ok(index)) if index < tp.snd_holes.len() => Ok(()),
        Some(_) => Err(Tcpcb::sackhint),
    }
}

fn reassembly(tp: &Tcpcb) -> Result<(), u64> {
    if tp.t_segq.len() > TCP_SEGQ_MAX {
        return Err(Tcpcb::t_segq);
    }
    let mut floor = tp.rcv_nxt;
    for segment in &tp.t_segq {
        // Within the widest window there is, and after all that came before it.
        let end = segment.tqe_start.plus(segment.tqe_len);
        let length = end.since(segment.tqe_start);
        let far = end.since(tp.rcv_nxt);
        if !floor.at_most(segment.tqe_start) || length < 0 || far < 0 {
            return Err(Tcpcb::t_segq);
        }
        if far.unsigned_abs() > TCP_WIN_MAX {
            return Err(Tcpcb::t_segq);
        }
        floor = end;
    }
    Ok(())
}

/// What socket and control blocks demand of each other.
pub(super) fn socket(so: &Socket) -> Result<(), u64> {
    let listening = so.so_options & SO_ACCEPTCONN != 0;
    if so.listen.is_some() != listening {
        return Err(Socket::listen);
    }
    if listening && (so.so_snd.is_some() || so.so_rcv.is_some()) {
        return Err(Socket::so_rcv);
    }
    if !listening && (so.so_snd.is_none() || so.so_rcv.is_none()) {
        return Err(Socket::so_snd);
    }
    if so.so_listen.is_some() != so.so_qstate.is_some() || (listening && so.so_listen.is_some()) {
        return Err(Socket::so_qstate);
    }
    if so.tcpcb.is_some() && so.inpcb.is_none() {
        return Err(Socket::inpcb);
    }
    match &so.tcpcb {
        Some(tp) => tcp(so, tp, listening),
        None => Ok(()),
    }
}

fn tcp(so: &Socket, tp: &Tcpcb, listening: bool) -> Result<(), u64> {
    if (tp.t_state == TcpState::Listen) != listening {
        return Err(Socket::tcpcb);
    }
    if tp.t_state != TcpState::Listen
        && tp.t_state != TcpState::Closed
        && !so.inpcb.as_ref().is_some_and(|i| i.inp_inc.is_connected())
    {
        return Err(Socket::inpcb);
    }
    let (Some(rcv), Some(snd)) = (&so.so_rcv, &so.so_snd) else {
        return Ok(());
    };
    // What is unacknowledged is in the send buffer, but for SYN and FIN, which take a sequence
    // number and no byte.
    if tp.t_state != TcpState::Closed {
        let syn = u64::from(tp.snd_una == tp.iss);
        let fin = u64::from(tp.t_flags & TF_SENTFIN != 0);
        let flight = u64::from(tp.snd_max.since(tp.snd_una).unsigned_abs());
        let room = u64::from(snd.sb_ccc)
            .saturating_add(syn)
            .saturating_add(fin);
        if flight > room {
            return Err(Socket::so_snd);
        }
        let urgent = tp.snd_up.since(tp.snd_una);
        if urgent > 0 && u64::from(urgent.unsigned_abs()) > room {
            return Err(Socket::tcpcb);
        }
    }
    if tp.t_state.have_rcvd_fin() && rcv.sb_state & SBS_CANTRCVMORE == 0 {
        return Err(Socket::so_rcv);
    }
    if tp.t_state.have_closed() && snd.sb_state & SBS_CANTSENDMORE == 0 {
        return Err(Socket::so_snd);
    }
    Ok(())
}
