// SPDX-License-Identifier: BSD-2-Clause
//! A segment arrives: whose is it, and what becomes of it (`tcp_input_with_port`, `tcp_twcheck`;
//! `tcp_input.c`, `tcp_timewait.c`, 15-CURRENT of 2024 and 2025).

mod ack;
mod data;
mod dupack;
mod icmp;
mod listen;
mod prr;
mod rtt;
mod segment;
mod synsent;
mod validate;

use super::flags::TF_SIGNATURE;
use super::fsm::State;
use super::sack::Changed;
use super::tcpcb::Timer;
use super::wire::{Malformed, Segment, TH_ACK, TH_FIN, TH_RST, TH_SYN};
use super::{Conn, Conninfo};
use crate::net::cx::{Cx, SoId};
use crate::net::packet::IpPacket;
use crate::net::socket::{Inet, Pcb};

/// How the processing of a segment ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// `drop`: nothing more happens.
    Drop,
    /// `dropafterack`: the peer learns where this side stands.
    DropAfterAck,
    /// `dropwithreset`
    DropWithReset,
    /// `dropwithreset` after the block is gone.
    ResetClosed,
    /// `check_delack`: all is done but a delayed acknowledgement.
    CheckDelack,
}

/// A segment on its way through a connection.
pub(crate) struct Pass<'s> {
    pub(crate) seg: &'s mut Segment,
    /// `thflags`: the flags that still count.
    pub(crate) flags: u16,
    /// `tiwin`: the peer's window, scaled.
    pub(crate) win: u32,
    pub(crate) needoutput: bool,
    pub(crate) ourfinisacked: bool,
    pub(crate) incforsyn: bool,
    pub(crate) changed: Changed,
    /// The segment arrived without text, before anything was trimmed.
    pub(crate) no_data: bool,
    /// 1 where the out-of-band byte was taken out of the text.
    pub(crate) pulled: u32,
}

impl Pass<'_> {
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// Whose a segment is.
enum Owner {
    /// Nobody's, or of a block that is gone.
    None,
    /// Of no interest to its owner (`IP_MINTTL`).
    Ignored,
    /// A socket's that is bound, no more.
    Closed(SoId),
    /// A connection's in any state but the following.
    Conn(SoId),
    /// Of a connection that has ended lately.
    TimeWait(SoId),
    /// A listener's.
    Listen(SoId),
}

impl Inet {
    /// Takes a packet for TCP in (`tcp_input`).
    pub fn tcp_input(&mut self, cx: &mut Cx<'_>, packet: IpPacket) {
        self.tcp_input_port(cx, packet, 0);
    }

    /// Takes a packet in that came in UDP from this port, whose checksum was verified there
    /// (`tcp_recv_udp_tunneled_packet`).
    pub fn tcp_input_port(&mut self, cx: &mut Cx<'_>, packet: IpPacket, port: u16) {
        self.tcp.stat.rcvtotal += 1;
        let accept = self.tcp.accept();
        let mut seg = match Segment::parse(packet, port, accept) {
            Ok(seg) => seg,
            Err(error) => {
                let stat = &mut self.tcp.stat;
                match error {
                    Malformed::Short => stat.rcvshort += 1,
                    Malformed::BadSum => stat.rcvbadsum += 1,
                    Malformed::BadOffset => stat.rcvbadoff += 1,
                }
                return;
            }
        };
        if seg.src.0.is_unspecified() {
            return;
        }
        self.tcp_dispatch(cx, &mut seg);
        if !self.tcp.tfo_released.is_empty() {
            self.release_tfo();
        }
    }

    fn owner(&self, inc: &Conninfo, seg: &Segment, wildcard: bool) -> Owner {
        let Some(so) = self.tcp.tcbinfo.lookup(inc, wildcard) else {
            return Owner::None;
        };
        let Some(entry) = self.get(so) else {
            return Owner::None;
        };
        let Pcb::Tcp(tp) = &entry.pcb else {
            return Owner::None;
        };
        if entry.inp.inp_ip_minttl > seg.ttl {
            return Owner::Ignored;
        }
        match tp.t_state {
            State::Listen if entry.so.sol.is_some() => Owner::Listen(so),
            State::Closed | State::Listen => Owner::Closed(so),
            State::TimeWait => Owner::TimeWait(so),
            _ => Owner::Conn(so),
        }
    }

    fn tcp_dispatch(&mut self, cx: &mut Cx<'_>, seg: &mut Segment) {
        let inc = Conninfo {
            faddr: seg.src.0,
            laddr: seg.dst.0,
            fport: seg.src.1,
            lport: seg.dst.1,
        };
        let mut owner = self.owner(&inc, seg, true);
        if let Owner::TimeWait(so) = owner {
            let again = self.with_conn(so, cx, |conn| conn.twcheck(seg));
            if again != Some(true) {
                return;
            }
            owner = self.owner(&inc, seg, true);
        }
        match owner {
            Owner::None | Owner::TimeWait(_) => self.no_connection(cx, seg),
            Owner::Ignored => {}
            Owner::Closed(so) => {
                self.with_conn(so, cx, |conn| conn.dropwithreset(seg));
            }
            Owner::Listen(so) => self.listen_input(cx, so, &inc, seg),
            Owner::Conn(so) => self.conn_input(cx, so, seg),
        }
    }

    /// No connection: a reset, unless the system plays dead (`blackhole(4)`).
    fn no_connection(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        let sysctl = &self.tcp.sysctl;
        let silent = sysctl.blackhole == 2 || (sysctl.blackhole == 1 && seg.has(TH_SYN));
        if silent && (sysctl.blackhole_local != 0 || !cx.ip.is_near(seg.src.0)) {
            return;
        }
        self.tcp.dropwithreset(cx, seg);
    }

    /// A segment of a connection that is beyond listening.
    pub(crate) fn conn_input(&mut self, cx: &mut Cx<'_>, so: SoId, seg: &mut Segment) {
        self.with_conn(so, cx, |conn| {
            if conn.tp.t_port != seg.port {
                conn.dropwithreset(seg);
            } else if !conn.tp.has(TF_SIGNATURE) || conn.tcp.md5_check(seg) {
                conn.do_segment(seg);
            }
        });
    }
}

impl Conn<'_, '_> {
    /// A segment for a connection in TIME-WAIT (`tcp_twcheck`); true where the block is gone and
    /// the segment may open a new connection.
    fn twcheck(&mut self, seg: &Segment) -> bool {
        if seg.has(TH_RST) {
            return false; // RFC 1337: a reset must not end TIME-WAIT.
        }
        if seg.has(TH_SYN) && seg.has(TH_FIN) && self.tcp.sysctl.drop_synfin != 0 {
            return false;
        }
        // RFC 9293 section 3.10.7.4, first check: a later SYN may reopen.
        if seg.flags & (TH_SYN | TH_ACK) == TH_SYN && seg.seq.gt(self.tp.rcv_nxt) {
            self.close();
            return true;
        }
        if self.tp.t_port != seg.port {
            self.dropwithreset(seg);
            return false;
        }
        if !seg.has(TH_ACK) {
            return false;
        }
        let missing = seg.to.ts.is_none() && self.tp.ts_recent != 0;
        if missing && self.tcp.sysctl.tolerate_missing_ts == 0 {
            return false;
        }
        if seg.has(TH_FIN) {
            let end = seg.seq + (seg.tlen() + u32::from(seg.has(TH_SYN)) + 1);
            if end == self.tp.rcv_nxt {
                let wait = self.two_msl();
                self.activate(Timer::Msl2, wait);
            }
        }
        let plain = seg.flags == TH_ACK && seg.tlen() == 0;
        if !plain || seg.seq != self.tp.rcv_nxt || seg.ack != self.tp.snd_nxt {
            let (ack, seq) = (self.tp.rcv_nxt, self.tp.snd_nxt);
            self.respond(seg, ack, seq, TH_ACK);
        }
        false
    }

    /// Enters TIME-WAIT (`tcp_twstart`).
    pub(crate) fn twstart(&mut self) {
        use super::flags::TF_ACKNOW;
        self.state_change(State::TimeWait);
        self.so.soisdisconnected(self.cx);
        if self.tp.has(TF_ACKNOW) {
            let _ = self.output();
        }
        if self.tcp.sysctl.nolocaltimewait != 0 && self.cx.ip.is_near(self.inp.inc.faddr) {
            self.close();
            return;
        }
        let wait = self.two_msl();
        self.activate(Timer::Msl2, wait);
    }

    /// How long TIME-WAIT lasts: a connection of this host with itself has a segment lifetime of its
    /// own (`net.inet.tcp.msl_local`). Where it applies is from `tcp(4)`; the code was not at hand.
    fn two_msl(&self) -> u32 {
        let sysctl = &self.tcp.sysctl;
        let own = self.cx.ip.is_local(self.inp.inc.faddr);
        2 * if own { sysctl.msl_local } else { sysctl.msl } as u32
    }
}
