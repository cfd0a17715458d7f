// SPDX-License-Identifier: BSD-2-Clause
//! UDP sockets: `udp_input`, `udp_send`, `udp_connect`, `udp_ctlinput`.

use std::net::{IpAddr, SocketAddr};

use super::{PROTO_UDP, UdpHeader};
use crate::errno::Errno;
use crate::net::cx::{Cx, IcmpError, SoId, SoWait};
use crate::net::errmap::icmp_errmap;
use crate::net::inpcb::{INP_ANONPORT, INP_DONTFRAG, INP_IPV4, INP_IPV6, InConninfo, unspecified};
use crate::net::packet::IpPacket;
use crate::net::sockbuf::{Record, SBS_CANTSENDMORE};
use crate::net::socket::bits::{SO_BROADCAST, SS_ISCONNECTED};
use crate::net::socket::{Domain, Inet, Proto};
use crate::net::vnet::Unwanted;

/// Longest datagram there can be: 65,535 bytes with IP and UDP headers.
const MAX_DATA: usize = 65_507;

impl Inet {
    /// Takes in a datagram.
    ///
    /// # Errors
    /// [`Unwanted::Port`] where nobody has the port; in silence where it is malformed, and where the
    /// host is a black hole (`net.inet.udp.blackhole`).
    pub fn udp_input(
        &mut self,
        cx: &mut Cx<'_>,
        packet: &IpPacket,
        group: bool,
    ) -> Result<(), Unwanted> {
        let (header, data) = UdpHeader::parse(packet.src, packet.dst, &packet.payload)
            .map_err(|_| Unwanted::Silently)?;
        let inc = InConninfo {
            faddr: packet.src,
            laddr: packet.dst,
            fport: header.sport,
            lport: header.dport,
        };
        let takers = if group {
            self.udp_group_members(&inc)
        } else {
            self.udb.lookup(&inc, true).into_iter().collect()
        };
        if takers.is_empty() {
            let sysctl = &self.tcp.sysctl;
            let hidden = sysctl.udp_blackhole_local != 0 || !cx.ip.is_local(packet.src);
            return Err(if sysctl.udp_blackhole != 0 && hidden {
                Unwanted::Silently
            } else {
                Unwanted::Port
            });
        }
        let from = SocketAddr::new(packet.src, header.sport);
        for so in takers {
            self.append_datagram(cx, so, packet.ttl, from, data);
        }
        Ok(())
    }

    /// The sockets that get a broadcast or multicast datagram: every one bound to the port and to
    /// the group or any address, and connected to nobody else than the sender.
    fn udp_group_members(&self, inc: &InConninfo) -> Vec<SoId> {
        let family = if inc.is_v6() { INP_IPV6 } else { INP_IPV4 };
        self.udb
            .iter()
            .filter(|b| b.inc.lport == inc.lport && b.vflag & family != 0)
            .filter(|b| b.inc.laddr.is_unspecified() || b.inc.laddr == inc.laddr)
            .filter(|b| b.inc.fport == 0 || b.inc.fport == inc.fport && b.inc.faddr == inc.faddr)
            .map(|b| b.so)
            .collect()
    }

    /// Queues a datagram at a socket, or drops it where it does not fit (`udp_append`).
    pub(super) fn append_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        ttl: u8,
        from: SocketAddr,
        data: &[u8],
    ) {
        let Some(entry) = self.get_mut(so) else {
            return;
        };
        if ttl < entry.inp.inp_ip_minttl {
            return;
        }
        let record = Record {
            from: Self::map(entry, from.ip(), from.port()),
            data: data.to_vec(),
            control: Vec::new(),
        };
        if entry.so.so_rcv.append_record(record) {
            cx.wakeup(so, SoWait::Rcv);
        }
    }

    /// Takes in an ICMP error about a datagram that went from `ends.0` to `ends.1`.
    pub fn udp_ctlinput(
        &mut self,
        cx: &mut Cx<'_>,
        error: IcmpError,
        ends: (IpAddr, IpAddr),
        quoted: &[u8],
    ) {
        let (Some(ports), Some(errno)) = (
            quoted.first_chunk::<4>(),
            icmp_errmap(error, ends.0.is_ipv6()),
        ) else {
            return;
        };
        let inc = InConninfo {
            laddr: ends.0,
            lport: u16::from_be_bytes([ports[0], ports[1]]),
            faddr: ends.1,
            fport: u16::from_be_bytes([ports[2], ports[3]]),
        };
        // Only a connected socket asked for this peer's packets (udp_common_ctlinput, in6_pcbnotify).
        let Some(so) = self.udb.lookup_exact(&inc) else {
            return;
        };
        if let Some(entry) = self.get_mut(so) {
            entry.so.so_error = Some(errno);
            cx.wakeup(so, SoWait::Rcv);
            cx.wakeup(so, SoWait::Snd);
        }
    }

    /// Sends a datagram (`udp_send`, `sosend_dgram`); gives its length.
    ///
    /// # Errors
    /// `EPIPE` after a shutdown, a pending error, `EMSGSIZE` where it is too long, `EISCONN` for an
    /// address where there is a peer already, `EDESTADDRREQ` for none at all, `EADDRNOTAVAIL` for port
    /// 0, `EACCES` for a broadcast without `SO_BROADCAST`, and those of the route.
    pub(crate) fn udp_send(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let (addr, port) = self.datagram_peer(so, data.len(), to)?;
        if port == 0 {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let addr = self.connect_address(addr)?;
        let entry = self.get(so).ok_or(Errno::EBADF)?;
        if cx.ip.is_broadcast(addr) && !entry.so.option(SO_BROADCAST) {
            return Err(Errno::EACCES);
        }
        let inc = entry.inp.inc;
        let src = if inc.laddr.is_unspecified() {
            cx.ip.source_for(addr)?
        } else {
            inc.laddr
        };
        if src.is_ipv4() != addr.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        let lport = self.datagram_port(cx, so, src, (addr, port))?;
        let header = UdpHeader {
            sport: lport,
            dport: port,
        };
        let mut payload = header.emit(src, addr, data);
        if self.tcp.sysctl.udp_checksum == 0
            && src.is_ipv4()
            && let Some(sum) = payload.get_mut(6..8)
        {
            sum.fill(0);
        }
        self.send_datagram(cx, so, PROTO_UDP, (src, addr), payload)?;
        Ok(data.len())
    }

    /// Who a datagram goes to, after the checks that precede every send.
    pub(super) fn datagram_peer(
        &mut self,
        so: SoId,
        len: usize,
        to: Option<SocketAddr>,
    ) -> Result<(IpAddr, u16), Errno> {
        let entry = self.get_mut(so).ok_or(Errno::EBADF)?;
        if entry.so.so_snd.state(SBS_CANTSENDMORE) {
            return Err(Errno::EPIPE);
        }
        if let Some(errno) = entry.so.so_error.take() {
            return Err(errno);
        }
        let connected = entry.so.state(SS_ISCONNECTED);
        if !connected && to.is_none() {
            return Err(Errno::EDESTADDRREQ);
        }
        if len > MAX_DATA || len as u64 > u64::from(entry.so.so_snd.sb_hiwat) {
            return Err(Errno::EMSGSIZE);
        }
        match to {
            Some(_) if connected => Err(Errno::EISCONN),
            Some(to) => Ok((Self::unmap(entry, to.ip())?, to.port())),
            None => Ok((entry.inp.inc.faddr, entry.inp.inc.fport)),
        }
    }

    /// The local port, picked now where there is none yet.
    fn datagram_port(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        src: IpAddr,
        (addr, port): (IpAddr, u16),
    ) -> Result<u16, Errno> {
        let entry = self.get(so).ok_or(Errno::EBADF)?;
        if entry.inp.inc.lport != 0 {
            return Ok(entry.inp.inc.lport);
        }
        let wanted = InConninfo {
            faddr: addr,
            laddr: src,
            fport: if entry.inp.inc.fport == 0 { 0 } else { port },
            lport: 0,
        };
        let range = self.port_range(entry);
        let lport = self.udb.ephemeral_port(&wanted, range, cx.rng)?;
        if let Some(entry) = self.get_mut(so) {
            entry.inp.inc.lport = lport;
            entry.inp.inp_flags |= INP_ANONPORT;
        }
        self.settle(so, cx.now);
        Ok(lport)
    }

    /// Hands a transport's bytes to IP with the socket's own header fields.
    pub(super) fn send_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        proto: u8,
        (src, dst): (IpAddr, IpAddr),
        payload: Vec<u8>,
    ) -> Result<(), Errno> {
        let entry = self.get(so).ok_or(Errno::EBADF)?;
        let v6 = dst.is_ipv6();
        let ttl = match entry.inp.ttl(v6) {
            Some(ttl) if !dst.is_multicast() => ttl,
            None if !entry.inp.inc.faddr.is_unspecified() && !dst.is_multicast() => {
                cx.ip.hop_limit_to(dst)
            }
            _ => cx.ip.default_ttl(dst),
        };
        cx.ip.output(IpPacket {
            src,
            dst,
            tos: entry.inp.tos(v6),
            ttl,
            flow: if v6 { entry.inp.inp_flow } else { 0 },
            df: !v6 && entry.inp.inp_flags & INP_DONTFRAG != 0,
            proto,
            payload: payload.into(),
        })
    }

    /// Gives a datagram socket its peer, in place of the one it has (`soconnectat`, `udp_connect`,
    /// `rip_connect`).
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` for port 0, `EADDRINUSE` where the four addresses are taken, `EAFNOSUPPORT`
    /// for the other family, and those of the route.
    pub(crate) fn datagram_connect(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        if self.get(so).ok_or(Errno::EBADF)?.so.state(SS_ISCONNECTED) {
            self.datagram_disconnect(cx, so)?;
        }
        let inc = self.datagram_addresses(cx, so, peer)?;
        let entry = self.get_mut(so).ok_or(Errno::EBADF)?;
        if entry.inp.inc.lport != inc.lport {
            entry.inp.inp_flags |= INP_ANONPORT;
        }
        entry.inp.inc = inc;
        entry.so.soisconnected(cx);
        self.settle(so, cx.now);
        Ok(())
    }

    /// The four addresses of a datagram socket that is to have this peer.
    fn datagram_addresses(
        &self,
        cx: &mut Cx<'_>,
        so: SoId,
        peer: SocketAddr,
    ) -> Result<InConninfo, Errno> {
        let entry = self.get(so).ok_or(Errno::EBADF)?;
        let raw = matches!(entry.so.so_proto, Proto::Raw(_));
        let addr = Self::unmap(entry, peer.ip())?;
        if peer.port() == 0 && !raw {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let addr = if raw {
            addr
        } else {
            self.connect_address(addr)?
        };
        let mut inc = entry.inp.inc;
        inc.faddr = addr;
        if inc.laddr.is_unspecified() {
            inc.laddr = cx.ip.source_for(addr)?;
        }
        if inc.laddr.is_ipv4() != addr.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        if raw {
            return Ok(inc);
        }
        inc.fport = peer.port();
        if inc.lport == 0 {
            let range = self.port_range(entry);
            inc.lport = self.udb.ephemeral_port(&inc, range, cx.rng)?;
        } else if self.udb.lookup_exact(&inc).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        Ok(inc)
    }

    /// Takes the peer of a datagram socket away again (`udp_disconnect`, `rip_disconnect`).
    fn datagram_disconnect(&mut self, cx: &mut Cx<'_>, so: SoId) -> Result<(), Errno> {
        let entry = self.get_mut(so).ok_or(Errno::EBADF)?;
        let any = unspecified(entry.so.so_domain == Domain::Inet6);
        (entry.inp.inc.faddr, entry.inp.inc.fport) = (any, 0);
        entry.inp.inc.laddr = any;
        entry.so.so_state &= !SS_ISCONNECTED;
        self.settle(so, cx.now);
        Ok(())
    }
}
