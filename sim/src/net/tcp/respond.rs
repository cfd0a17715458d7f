// SPDX-License-Identifier: BSD-2-Clause
//! Segments outside the stream: resets, challenge acknowledgements, keep-alive probes
//! (`tcp_respond`, `tcp_dropwithreset`, `tcp_send_challenge_ack`; 15.0).

use std::net::IpAddr;

use super::ecn::ECN_MASK;
use super::flags::{TF_NOOPT, TF_RCVD_TSTMP, TF_SIGNATURE};
use super::options::TcpOpt;
use super::seq::Seq;
use super::subr::not_unicast;
use super::sysctl::Sysctl;
use super::wire::{Header, IPPROTO_TCP, Segment, TH_ACK, TH_FIN, TH_RST, TH_SUM, TH_SYN};
use super::{Conn, Tcp};
use crate::errno::Errno;
use crate::net::bandlim::Bandlim;
use crate::net::checksum::transport_cksum;
use crate::net::cx::Cx;
use crate::net::packet::{IpPacket, Mbuf};
use crate::net::udp::PROTO_UDP;
use crate::time::{Duration, Instant};

/// Challenge acknowledgements of a connection or of an entry of the SYN cache: when the span in which
/// they are counted ends, and how many were sent in it (`tcp_challenge_ack_check`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChallengeAck {
    pub(crate) end: Instant,
    pub(crate) cnt: u32,
}

impl ChallengeAck {
    /// Counts one more; false where it is one too many
    /// (`net.inet.tcp.ack_war_timewindow`, `net.inet.tcp.ack_war_cnt`).
    pub(crate) fn allow(&mut self, sysctl: &Sysctl, now: Instant) -> bool {
        let (window, count) = (sysctl.ack_war_timewindow, sysctl.ack_war_cnt);
        if window == 0 || count == 0 {
            return true;
        }
        if self.end <= now {
            self.cnt = 0;
            self.end = now.after(Duration::from_millis(window as u64));
        }
        if i64::from(self.cnt) >= count {
            return false;
        }
        self.cnt += 1;
        true
    }
}

/// Everything of an outgoing packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) flow: u32,
    pub(crate) df: bool,
    /// UDP encapsulation port of the peer, 0 for none.
    pub(crate) port: u16,
}

impl Tcp {
    /// Wraps the segment in UDP where wanted, and hands it to IP. Its checksum is left to IP, that of
    /// the datagram is made here.
    pub(crate) fn ip_output(
        &self,
        cx: &mut Cx<'_>,
        out: Outgoing,
        bytes: Mbuf,
    ) -> Result<(), Errno> {
        let mut packet = IpPacket {
            src: out.src,
            dst: out.dst,
            tos: out.tos,
            ttl: out.ttl,
            flow: out.flow,
            df: out.df || out.dst.is_ipv6(),
            proto: IPPROTO_TCP,
            payload: bytes,
        };
        if out.port == 0 {
            packet.delay_cksum(TH_SUM);
        } else {
            packet.proto = PROTO_UDP;
            packet.payload = self.in_udp(&out, &packet.payload).into();
        }
        cx.ip.output(packet)
    }

    /// A segment in a datagram of the tunnel.
    fn in_udp(&self, out: &Outgoing, segment: &[u8]) -> Vec<u8> {
        let mut udp = Vec::with_capacity(8 + segment.len());
        udp.extend((self.sysctl.udp_tunneling_port as u16).to_be_bytes());
        udp.extend(out.port.to_be_bytes());
        udp.extend((8 + segment.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend_from_slice(segment);
        let sum = match transport_cksum(out.src, out.dst, PROTO_UDP, &udp) {
            0 => 0xffff,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&u16::to_be_bytes(sum));
        udp
    }

    /// Answers a segment that belongs to no connection.
    pub(crate) fn respond(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        ack: Seq,
        seq: Seq,
        flags: u16,
    ) {
        let header = Header {
            src: seg.dst,
            dst: seg.src,
            seq,
            ack,
            flags,
            win: 0,
            urp: 0,
        };
        let out = Outgoing {
            src: seg.dst.0,
            dst: seg.src.0,
            tos: 0,
            ttl: cx.ip.default_ttl(seg.src.0),
            flow: 0,
            df: self.sysctl.path_mtu_discovery != 0,
            port: seg.port,
        };
        let bytes = header.emit(&[], 0);
        self.stat.sndtotal += 1;
        let _ = self.ip_output(cx, out, bytes);
    }

    /// Whether a segment may be answered with a reset: the limit is one for all (`tcp_dropwithreset`, `tcp_input.c`,
    /// CURRENT of 2025).
    fn may_reset(cx: &mut Cx<'_>, seg: &Segment) -> bool {
        if seg.has(TH_RST)
            || not_unicast(seg.src.0)
            || not_unicast(seg.dst.0)
            || cx.ip.is_broadcast(seg.dst.0)
        {
            return false;
        }
        cx.ip.badport_bandlim(Bandlim::TcpRst)
    }

    /// Resets whoever sent a segment for no connection (`tcp_dropwithreset`, RFC 9293
    /// section 3.10.7.1).
    pub(crate) fn dropwithreset(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        if Self::may_reset(cx, seg) {
            let (ack, seq, flags) = reset_numbers(seg);
            self.respond(cx, seg, ack, seq, flags);
        }
    }
}

/// Acknowledgement, sequence number and flags of the reset that answers a segment.
fn reset_numbers(seg: &Segment) -> (Seq, Seq, u16) {
    if seg.has(TH_ACK) {
        return (Seq(0), seg.ack, TH_RST);
    }
    let len = seg.tlen() + u32::from(seg.has(TH_SYN)) + u32::from(seg.has(TH_FIN));
    (seg.seq + len, Seq(0), TH_RST | TH_ACK)
}

impl Conn<'_, '_> {
    /// Signs a segment where wanted and sends it.
    pub(crate) fn send_segment(
        &mut self,
        header: Header,
        bytes: Mbuf,
        signature_at: Option<usize>,
        ect: u8,
        df: bool,
        port: u16,
    ) -> Result<(), Errno> {
        let out = Outgoing {
            flow: if header.dst.0.is_ipv6() {
                self.inp.inp_flow
            } else {
                0
            },
            ..self.outgoing(&header, ect, df, port)
        };
        self.sign_and_send(out, bytes, signature_at)
    }

    /// A packet with the connection's hop limit and traffic class, and no flow label.
    fn outgoing(&self, header: &Header, ect: u8, df: bool, port: u16) -> Outgoing {
        let v6 = header.dst.0.is_ipv6();
        let ttl = self.inp.ttl(v6);
        Outgoing {
            src: header.src.0,
            dst: header.dst.0,
            tos: self.inp.tos(v6) & !ECN_MASK | ect,
            ttl: ttl.unwrap_or_else(|| self.cx.ip.hop_limit_to(header.dst.0)),
            flow: 0,
            df,
            port,
        }
    }

    fn sign_and_send(
        &mut self,
        out: Outgoing,
        mut bytes: Mbuf,
        signature_at: Option<usize>,
    ) -> Result<(), Errno> {
        if let Some(at) = signature_at {
            self.tcp.md5_sign(out.src, out.dst, &mut bytes, at)?;
        }
        self.tcp.ip_output(self.cx, out, bytes)
    }

    /// Sends a segment without text in the name of the connection (`tcp_respond`), in UDP to `port`
    /// unless that is 0.
    fn respond_as(&mut self, mut header: Header, port: u16) {
        if header.flags & TH_RST == 0 {
            let win = self.so.so_rcv.space().clamp(0, i64::from(self.maxwin())) as u32;
            header.win = (win >> self.tp.rcv_scale) as u16;
        }
        let mut to = TcpOpt::default();
        let mut ect = 0;
        if !self.tp.has(TF_NOOPT) {
            ect = self.ecn_output_established(&mut header.flags, 0, false);
            if self.tp.has(TF_RCVD_TSTMP) {
                to.ts = Some((
                    self.ticks().wrapping_add(self.tp.ts_offset),
                    self.tp.ts_recent,
                ));
            }
            if self.tp.has(TF_SIGNATURE) {
                to.signature = Some([0; 16]);
            }
        }
        let options = to.emit();
        let bytes = header.emit(&options.bytes, 0);
        let df = self.tcp.sysctl.path_mtu_discovery != 0;
        self.tcp.stat.sndtotal += 1;
        // tcp_respond writes the first word of an IPv6 header anew, without a flow label.
        let out = self.outgoing(&header, ect, df, port);
        let _ = self.sign_and_send(out, bytes, options.signature_at);
    }

    /// Answers a segment in the name of the connection, the way it came.
    pub(crate) fn respond(&mut self, seg: &Segment, ack: Seq, seq: Seq, flags: u16) {
        let header = Header {
            src: seg.dst,
            dst: seg.src,
            seq,
            ack,
            flags,
            win: 0,
            urp: 0,
        };
        self.respond_as(header, seg.port);
    }

    /// A keep-alive probe.
    pub(crate) fn keepalive_probe(&mut self, ack: Seq, seq: Seq) {
        let inc = self.inp.inc;
        let header = Header {
            src: (inc.laddr, inc.lport),
            dst: (inc.faddr, inc.fport),
            seq,
            ack,
            flags: TH_ACK,
            win: 0,
            urp: 0,
        };
        self.respond_as(header, self.tp.t_port);
    }

    /// Asks the peer to prove that it is the peer (RFC 5961), not more often than is healthy
    /// (`tcp_send_challenge_ack`).
    pub(crate) fn challenge_ack(&mut self, seg: &Segment) {
        let now = self.cx.now;
        if !self.tp.t_challenge_ack.allow(&self.tcp.sysctl, now) {
            return;
        }
        let (ack, seq) = (self.tp.rcv_nxt, self.tp.snd_nxt);
        self.respond(seg, ack, seq, TH_ACK);
        self.tp.last_ack_sent = self.tp.rcv_nxt;
    }

    /// Resets whoever sent an impossible segment for this connection.
    pub(crate) fn dropwithreset(&mut self, seg: &Segment) {
        if Tcp::may_reset(self.cx, seg) {
            let (ack, seq, flags) = reset_numbers(seg);
            self.respond(seg, ack, seq, flags);
        }
    }
}
