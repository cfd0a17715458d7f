// SPDX-License-Identifier: BSD-2-Clause
//! Sockets whose parts contradict each other. Each rule returns the key of the field that breaks it.

use super::inpcb::{INP_IPV6PROTO, Inpcb};
use super::socket::{
    Domain, SBS_CANTRCVMORE, SBS_CANTSENDMORE, SO_ACCEPTCONN, SS_ISCONNECTED, SoType, Socket,
};
use super::tcpcb::{TF_SENTFIN, TcpState, Tcpcb};

/// `IPPROTO_TCP`.
const IPPROTO_TCP: u8 = 6;

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
    // A connection is its listener's until it is accepted, and no descriptor has it before.
    if so.so_listen.is_some() && so.so_fdref == Some(true) {
        return Err(Socket::so_fdref);
    }
    blocks(so)?;
    if let Some(inp) = &so.inpcb {
        internet(so, inp)?;
    }
    match &so.tcpcb {
        Some(tp) => tcp(so, tp, listening),
        None => Ok(()),
    }
}

/// Which control blocks a socket of a domain and protocol has.
fn blocks(so: &Socket) -> Result<(), u64> {
    let internet = matches!(so.domain, Domain::Inet | Domain::Inet6);
    if so.inpcb.is_some() != internet {
        return Err(Socket::inpcb);
    }
    let tcp = so.so_type == SoType::Stream && matches!(so.protocol, 0 | IPPROTO_TCP);
    if so.tcpcb.is_some() != (internet && tcp) {
        return Err(Socket::tcpcb);
    }
    // A stream has no records (sbappendstream).
    let records =
        |sb: &Option<super::Sockbuf>| sb.as_ref().is_some_and(|sb| !sb.records.is_empty());
    if so.so_type == SoType::Stream && so.domain != Domain::Unix && records(&so.so_rcv) {
        return Err(Socket::so_rcv);
    }
    // What is sent as a datagram never waits.
    let keeps = so.so_snd.as_ref().is_some_and(|sb| sb.sb_ccc != 0);
    if internet && ((keeps && !tcp) || records(&so.so_snd)) {
        return Err(Socket::so_snd);
    }
    Ok(())
}

fn internet(so: &Socket, inp: &Inpcb) -> Result<(), u64> {
    let v6 = so.domain == Domain::Inet6;
    if (inp.inp_vflag & INP_IPV6PROTO != 0) != v6 {
        return Err(Socket::inpcb);
    }
    // A datagram socket that has a peer knows its address (udp_connect, rip_connect).
    let peer = !inp.inp_inc.faddr.is_any();
    if so.tcpcb.is_none() && so.so_state & SS_ISCONNECTED != 0 && !peer {
        return Err(Socket::so_state);
    }
    Ok(())
}

fn tcp(so: &Socket, tp: &Tcpcb, listening: bool) -> Result<(), u64> {
    // What a timer has closed under a listener's feet leaves the listener.
    let listens = match tp.t_state {
        TcpState::Listen => listening,
        TcpState::Closed => true,
        _ => !listening,
    };
    if !listens {
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
