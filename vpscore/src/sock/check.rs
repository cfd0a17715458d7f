// SPDX-License-Identifier: BSD-2-Clause
//! TCP control blocks that no kernel could be in. Each rule returns the key of the field that breaks it.
//!
//! An image is hostile: a restored connection must not make the target send outside its window,
//! read data that it does not have, or hold more than its limits. The rules are relations that
//! `tcp_input.c`, `tcp_output.c`, `tcp_sack.c` and `tcp_reass.c` (15.0) keep at rest, that is,
//! whenever the pcb is unlocked; bounds of single fields stand with the fields.
//!
//! # Without a rule, and why
//! A peer can leave `snd_wl1`, `snd_wl2`, `rcv_up`, `ts_recent`, `t_rtseq`, `snd_recover_prev` and `irs`
//! anywhere in the sequence space: by reordering, or by two gibibytes sent since. A rule for them
//! would let it make an instance that cannot move. So could one for `snd_cwnd`, which duplicate
//! acknowledgements inflate without bound, and for the counters; arithmetic on these wraps, as in C.

use super::TCP_WIN_MAX;
use super::tcpcb::{
    SackHint, TF_CONGRECOVERY, TF_FASTOPEN, TF_FASTRECOVERY, TF_LRD, TF_NEEDSYN, TF_RCVD_SCALE,
    TF_REQ_SCALE, TF_SACK_PERMIT, TF_SENTFIN, TF_SIGNATURE, TcpState, Tcpcb,
};

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

/// Without a peer nothing has been received or reported; what a closed block still holds of it is freed
/// without being looked at again, and left out.
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
    // Both sides asked, or windows are not scaled (RFC 7323, section 2.2).
    let scaled = tp.t_flags & TF_RCVD_SCALE != 0 && tp.t_flags & TF_REQ_SCALE != 0;
    let established = tp.t_state.have_established();
    for (scale, key) in [
        (tp.snd_scale, Tcpcb::snd_scale),
        (tp.rcv_scale, Tcpcb::rcv_scale),
    ] {
        if established && !scaled && scale != 0 {
            return Err(key);
        }
    }
    // Who counts as pending counts at a listener.
    let pending = tp.tfo.is_some_and(|tfo| tfo.t_tfo_pending);
    if pending && tp.t_flags & TF_FASTOPEN == 0 {
        return Err(Tcpcb::tfo);
    }
    if tp.tfo_listener.is_some() && !pending {
        return Err(Tcpcb::tfo_listener);
    }
    if tp.signature_key.is_some() && tp.t_flags & TF_SIGNATURE == 0 {
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
    let over = matches!(
        tp.t_state,
        TcpState::FinWait2 | TcpState::TimeWait | TcpState::Listen
    );
    if timers.msl2.is_some() && !over {
        return Err(Tcpcb::t_timers);
    }
    // listen(2) on a connection that is over for the program leaves the timers that end it (tcp_usr_listen,
    // tcp_usrreq.c), and no others run then.
    let ends = super::TcpTimers {
        keep: timers.keep,
        msl2: timers.msl2,
        ..super::TcpTimers::default()
    };
    if tp.t_state == TcpState::Listen && *timers != ends {
        return Err(Tcpcb::t_timers);
    }
    // Without its timer TIME-WAIT would last for ever.
    if tp.t_state == TcpState::TimeWait && timers.msl2.is_none() {
        return Err(Tcpcb::t_timers);
    }
    Ok(())
}

fn send_space(tp: &Tcpcb) -> Result<(), u64> {
    // Each segment is a SYN as long as one is to be sent, and begins where that stands: none is acknowledged.
    if tp.t_flags & TF_NEEDSYN != 0 && tp.snd_una != tp.iss {
        return Err(Tcpcb::t_flags);
    }
    // After a retransmission timeout snd_nxt goes back to snd_una; never behind it.
    if !tp.snd_una.at_most(tp.snd_nxt) || !tp.snd_nxt.at_most(tp.snd_max) {
        return Err(Tcpcb::snd_nxt);
    }
    // The widest window that a peer can offer, with SYN and FIN.
    let flight = tp.snd_max.since(tp.snd_una);
    if flight < 0 || flight.unsigned_abs() > TCP_WIN_MAX.saturating_add(2) {
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
    // Recovery ends where it began to be needed; an ECN mark puts that one past snd_max.
    let recovery = tp.t_flags & (TF_FASTRECOVERY | TF_CONGRECOVERY) != 0;
    if recovery && tp.snd_recover.since(tp.snd_max) > 1 {
        return Err(Tcpcb::snd_recover);
    }
    Ok(())
}

fn receive_space(tp: &Tcpcb) -> Result<(), u64> {
    if tp.t_state == TcpState::SynSent {
        return Ok(());
    }
    // What fits into the buffer is taken, also beyond the window advertised (tcp_input.c: rcv_wnd), so
    // rcv_nxt may pass rcv_adv; the peer's FIN may stand one further.
    let ahead = tp.rcv_adv.since(tp.rcv_nxt);
    if ahead.unsigned_abs() > TCP_WIN_MAX.saturating_add(1) {
        return Err(Tcpcb::rcv_adv);
    }
    if !tp.last_ack_sent.at_most(tp.rcv_nxt) {
        return Err(Tcpcb::last_ack_sent);
    }
    Ok(())
}

fn scoreboard(tp: &Tcpcb) -> Result<(), u64> {
    let sack = tp.t_flags & TF_SACK_PERMIT != 0;
    // Blocks below rcv_nxt report duplicates (RFC 2883); none reports what was not received.
    for block in &tp.sackblks {
        let far = block.end.since(tp.rcv_nxt);
        let beyond = far > 0 && far.unsigned_abs() > TCP_WIN_MAX;
        if !sack || !block.start.before(block.end) || beyond {
            return Err(Tcpcb::sackblks);
        }
    }
    if !sack && !tp.snd_holes.is_empty() {
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

/// The sums over the scoreboard are those of its holes: tcp_sack.c counts them as they change, and asserts
/// that none is negative. What lost retransmission detection opens again (tcp_sack_lost_retransmission) stays
/// counted in `sack_bytes_rexmit`. `sacked_bytes` has no such relation: of an acknowledgement that passes all that was
/// reported, tcp_sack_doack takes off what it newly covers and not what was counted before, until the list of
/// holes has been empty once.
fn hint(tp: &Tcpcb, hint: &SackHint) -> Result<(), u64> {
    let (mut missing, mut again) = (0_u32, 0_u32);
    for hole in &tp.snd_holes {
        let whole = hole.end.since(hole.start).unsigned_abs();
        missing = missing.saturating_add(whole);
        again = again.saturating_add(hole.rxmit.since(hole.start).unsigned_abs().min(whole));
    }
    let flight = tp.snd_max.since(tp.snd_una).unsigned_abs();
    let rexmit = hint.sack_bytes_rexmit.unsigned_abs();
    let more = tp.t_flags & TF_LRD != 0 && rexmit > again;
    let sums = hint.hole_bytes.unsigned_abs() == missing
        && (rexmit == again || more)
        && hint.lost_bytes.unsigned_abs() <= flight;
    if !sums {
        return Err(Tcpcb::sackhint);
    }
    let next = hint.nexthole.map(usize::try_from);
    match next {
        None => Ok(()),
        Some(Ok(index)) if index < tp.snd_holes.len() => Ok(()),
        Some(_) => Err(Tcpcb::sackhint),
    }
}

fn reassembly(tp: &Tcpcb) -> Result<(), u64> {
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
